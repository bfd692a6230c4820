#include "dataplane/upstream/origins.h"

#include <stdlib.h>

void
origins_init(struct origins *o, struct http_client *client)
{
    *o = (struct origins){.client = client};
}

static void
let_go(struct http_origin **at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i])
            http_origin_unref(at[i]);
    free(at);
}

void
origins_fini(struct origins *o)
{
    let_go(o->at, o->count);
    *o = (struct origins){.client = o->client};
}

struct http_origin *
origins_get(struct http_client *client, const struct policy_provider *p)
{
    static const enum http_protocol protocols[] = {HTTP_AUTO, HTTP_1, HTTP_2};
    if (p->kind == PROVIDER_SIMULATOR)
        return NULL;
    return http_origin_get(client, p->https, p->host, p->port, protocols[p->http % 3],
                           p->allow_private);
}

void
origins_follow(struct origins *o, const struct policy *p)
{
    size_t count = p ? policy_provider_count(p) : 0, old_count = o->count;
    struct http_origin **at = count ? calloc(count, sizeof(*at)) : NULL, **old = o->at;
    if (count && !at)
        return; /* the pools live from call to call until the next policy */
    for (size_t i = 0; i < count; i++)
        at[i] = origins_get(o->client, policy_provider_at(p, i));
    o->at = at;
    o->count = count;
    o->policy = p;
    let_go(old, old_count); /* after the new ones are held: what both name is never without */
}

struct http_origin *
origins_peek(const struct origins *o, const struct policy_provider *p)
{
    if (p->index >= o->count || policy_provider_at(o->policy, p->index) != p)
        return NULL;
    return o->at[p->index];
}
