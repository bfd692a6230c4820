/*
 * Answers that may be given again: in one worker's memory, bounded, the longest unused go first.
 * What makes two requests the same is the caller's to say; here it is a digest.
 *
 * No clock of its own: times are monotonic ms, and given. An answer is looked at by its reference,
 * so that one on its way to a client stays while others take its place.
 */
#ifndef DATAPLANE_STATE_CACHE_H
#define DATAPLANE_STATE_CACHE_H

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"
#include "lib/http/message.h"
#include "lib/policy/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_CACHED_BYTES                                                                         \
    ((size_t)1 << 20) /* of one answer, fields included: what is held whole */
#define LIMIT_CACHED_FIELDS 8
#define LIMIT_CACHED_ANSWERS 65536 /* all are looked at when the policy changes */

struct cache;

/* An answer as the client got it. The texts of one that is given to cache_put are borrowed. */
struct cached {
    unsigned char key[SHA256_BYTES];
    unsigned char config[SHA256_BYTES]; /* of the rule it was made under: policy_cache.config */
    struct slice model, team;           /* as the policy names them */
    size_t target;                      /* which of the model's it came from */
    int status;
    struct http_field fields[LIMIT_CACHED_FIELDS];
    size_t field_count;
    struct slice body;
    int64_t stored_ms;
};

/* NULL: no memory. max_bytes 0: keeps nothing. */
struct cache *cache_new(uint64_t max_bytes);
void cache_free(struct cache *c); /* NULL is fine; no reference may be out */

/* A reference to the answer of this key that is not older than its time; NULL: there is none. */
const struct cached *cache_get(struct cache *c, const unsigned char key[static SHA256_BYTES],
                               int64_t now_ms);
void cache_unref(const struct cached *a); /* NULL is fine */
/* Keeps a copy until now_ms + ttl_ms, in the place of one with the same key. 0; ERR_LIMIT: it is
 * too long; ERR_NOMEM. Either way what was kept under the key before is gone. */
MUST_CHECK int cache_put(struct cache *c, const struct cached *answer, int64_t now_ms,
                         int64_t ttl_ms);

/* Whether under this policy the answer is the one that its model would be asked for: its rule and
 * all that made it are as they were, and the team is there. */
bool cache_is_current(const struct cached *a, const struct policy *p);
/* Drops what is not, under a policy that has come into force. */
void cache_follow(struct cache *c, const struct policy *p);
/* Drops what is too old, wherever it stands. */
void cache_tend(struct cache *c, int64_t now_ms);

struct cache_counts {
    uint64_t answers, bytes; /* held now */
    uint64_t stored;         /* since the start */
    uint64_t evicted;        /* before their time, for others */
};
struct cache_counts cache_counts(const struct cache *c);

/* The digest of a sequence of texts: each goes in with its length, so that no other sequence gives
 * the same bytes. at == NULL (absent) and "" are two things. At most LIMIT_KEY_PARTS. */
#define LIMIT_KEY_PARTS 40
void cache_key(const struct slice *parts, size_t count, unsigned char ret_key[static SHA256_BYTES]);

#endif
