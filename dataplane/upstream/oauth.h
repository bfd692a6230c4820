/*
 * Access tokens of the providers that take no key of their own: a Google service account's, and
 * those of Microsoft Entra. One cache a worker.
 *
 * A request asks oauth_peek() first and waits only where there is no token in hand. All who wait
 * for a provider share one fetch. A token that is used near its end is fetched anew while it still
 * serves; one that nobody uses expires. A failed fetch is not repeated at once: until then whoever
 * asks is told of the failure, unless the old token still serves.
 *
 * An entry belongs to a provider's name, credential and guard together: a changed credential never
 * gets the old one's token. Nothing here is ever logged but a provider's name and a reason.
 */
#ifndef DATAPLANE_UPSTREAM_OAUTH_H
#define DATAPLANE_UPSTREAM_OAUTH_H

#include "lib/http/client.h"
#include "lib/net/loop.h"
#include "lib/policy/policy.h"

#include <stdbool.h>

struct oauth;
struct oauth_wait;

#define LIMIT_OAUTH_ENTRIES 512 /* the oldest unused ones go first */

struct oauth *oauth_new(struct loop *l, struct http_client *client); /* NULL: no memory */
/* Nobody may be waiting any more. Wipes the tokens. NULL is fine. */
void oauth_free(struct oauth *o);
/* Forgets what the policy's providers do not name any more. NULL: all. */
void oauth_follow(struct oauth *o, const struct policy *p);

/* Whether the provider's calls carry such a token, instead of its credential. */
bool oauth_is_wanted(const struct policy_provider *p);
/* The token in hand: lent until the loop's next turn. at == NULL: there is none. */
struct slice oauth_peek(struct oauth *o, const struct policy_provider *p);

struct oauth_result {
    int err;            /* 0: there is a token */
    struct slice token; /* lent during the callback */
    /* "the token endpoint answered 401 (invalid_client)", without a full stop; during the callback.
     * Safe to be shown to clients: it names neither addresses nor credentials. */
    const char *why;
};
/* Waits for a token, fetching one if nobody does. on_done is called once, never before this
 * returns. NULL: no memory. */
struct oauth_wait *oauth_start(struct oauth *o, const struct policy_provider *p,
                               void (*on_done)(void *ctx, const struct oauth_result *r), void *ctx);
void oauth_cancel(struct oauth_wait *w); /* never calls back; NULL is fine */
/* The provider refused this token: it serves no more, unless it is so new that the next one would
 * fare no better. */
void oauth_reject(struct oauth *o, const struct policy_provider *p, struct slice token);

#endif
