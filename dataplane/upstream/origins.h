/*
 * The origins of the policy in force, held so that their pools of connections outlive single calls.
 * A provider that stays the same across policies keeps its connections.
 */
#ifndef DATAPLANE_UPSTREAM_ORIGINS_H
#define DATAPLANE_UPSTREAM_ORIGINS_H

#include "lib/http/client.h"
#include "lib/policy/policy.h"

struct origins {
    struct http_client *client;
    const struct policy *policy; /* whose providers these are: the one in force, kept by the pin */
    struct http_origin **at;
    size_t count;
};

void origins_init(struct origins *o, struct http_client *client);
void origins_fini(struct origins *o);
/* Holds what p names and lets go what only the policy before named. NULL: lets all go. */
void origins_follow(struct origins *o, const struct policy *p);
/* A reference to the origin of a provider, to be given back with http_origin_unref. NULL: no
 * memory, or the provider has none (the simulator). */
struct http_origin *origins_get(struct http_client *client, const struct policy_provider *p);
/* The one held for a provider of the policy that is followed, lent; else NULL. */
struct http_origin *origins_peek(const struct origins *o, const struct policy_provider *p);

#endif
