/*
 * Fetches what a request names by URL, for providers that take only the bytes themselves. The URL
 * is the caller's: it is fetched through the egress guard, without any of the gateway's
 * credentials, no redirect is followed, and size and time are bounded.
 */
#ifndef DATAPLANE_UPSTREAM_MEDIA_H
#define DATAPLANE_UPSTREAM_MEDIA_H

#include "dataplane/state/services.h"

#define LIMIT_MEDIA_BYTES ((size_t)20 << 20) /* of one file: what providers take inline */
#define LIMIT_MEDIA_FETCHES 20               /* of one request */
#define MEDIA_FETCH_MS 15000

struct media_fetch;

struct media_result {
    int err;           /* 0: the bytes are there */
    const char *why;   /* "the address is private", without a full stop; safe to be shown */
    struct slice mime; /* without parameters; both are lent during the callback */
    struct slice bytes;
};

/* url: http or https. on_done is called once, never before this returns. NULL: no memory. */
struct media_fetch *media_fetch_start(struct services *s, struct slice url, bool allow_private,
                                      void (*on_done)(void *ctx, const struct media_result *r),
                                      void *ctx);
void media_fetch_cancel(struct media_fetch *f); /* never calls back; NULL is fine */

#endif
