/*
 * One upstream attempt as both planes see it: the plain form of proto/bus.proto's Usage, and its
 * bytes. A worker writes it (spool), the control plane reads it (ledger). Sans-I/O.
 *
 * Encoding is done by hand, in one pass into a given buffer, because it is on the request's way;
 * decoding goes through protobuf-c. The two agree by test.
 */
#ifndef LIB_CONTROL_USAGE_H
#define LIB_CONTROL_USAGE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/money.h"
#include "lib/base/slice.h"
#include "lib/policy/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define ATTEMPT_ID_BYTES 16
#define SPOOL_ID_BYTES 16
/* A serialised record is never longer (usage_clip). */
#define LIMIT_USAGE_BYTES 20736
#define LIMIT_USAGE_NAME_BYTES 1024 /* names of configuration items, 200 characters at most */
#define LIMIT_USAGE_TEXT_BYTES                                                                     \
    256 /* what a client or an upstream chose: request ids, models, ... */
#define LIMIT_USAGE_TAGS_BYTES 7424 /* a key's, and 16 of 64 + 256 bytes of a request's */
/* Records of one batch, and their bytes together. */
#define LIMIT_BATCH_RECORDS 4096
#define LIMIT_BATCH_BYTES ((size_t)1 << 20)

#define LIMIT_DRAWS 8 /* budgets that one attempt may draw on */

/* What an attempt drew on a budget; amount in nanodollars or tokens, as the budget counts. */
struct usage_draw {
    struct slice budget, subject; /* at most LIMIT_USAGE_TEXT_BYTES each, not clipped */
    uint64_t slice;               /* 0: none was leased */
    int64_t amount;
};

enum usage_outcome { /* the numbers of bus.proto */
                     USAGE_DONE = 1,
                     USAGE_CLIENT_GONE,
                     USAGE_UPSTREAM_FAILED,
                     USAGE_DEADLINE,
                     USAGE_SHUTDOWN,
                     USAGE_LOST,
                     USAGE_BUDGET_EXHAUSTED,
};
const char *usage_outcome_name(enum usage_outcome o); /* "done", "client_gone", ...; never NULL */

/* All slices are borrowed: by usage_encode during the call; from the arena after usage_decode. */
struct usage {
    uint64_t sequence;                          /* given by the spool */
    unsigned char attempt_id[ATTEMPT_ID_BYTES]; /* uuid7(); also the record's time */
    struct slice request_id;
    uint32_t attempt_no; /* from 1, counting the attempts of a request that were not voided */
    int64_t started_ms;  /* wall clock */
    uint32_t latency_ms, ttft_ms;
    struct slice key, key_id, team, project, user, end_user;
    struct slice model, provider, provider_model, endpoint;
    uint32_t status, upstream_status;
    enum usage_outcome outcome;
    struct slice error_code; /* "" when it went well */
    bool stream, estimated, incomplete;
    bool cached; /* no attempt at all: an answer given before, which costs nothing */
    struct tokens tokens;
    nanos cost;                 /* rates_cost(price, tokens) */
    struct slice price_version; /* "" when the model is free */
    struct rates price;         /* as applied; of the rare classes only what was used travels */
    enum service_tier tier;
    uint64_t policy_epoch, policy_version;
    const struct policy_tag *tags;
    size_t tag_count;
    nanos reserved; /* upper bound held before the first byte */
    struct slice upstream_request_id;
    const struct usage_draw *draws; /* at most LIMIT_DRAWS */
    size_t draw_count;
};

/* Notes the tier, the version and the rates that applied; price NULL (a free model): all zero. The
 * cost is left to the caller, who must have it from policy_cost() under the same circumstances. */
void usage_set_price(struct usage *u, const struct policy_price *price,
                     const struct circumstances *c);
/* Shortens what is too long, at whole UTF-8 characters; tags beyond the bound are left out.
 * Afterwards usage_encode() fits LIMIT_USAGE_BYTES. */
void usage_clip(struct usage *u);
/* Serialises into ret_bytes[0..room): 0 with the length, or ERR_LIMIT when it does not fit. */
MUST_CHECK int usage_encode(const struct usage *u, void *ret_bytes, size_t room, size_t *ret_len);
/* 0, ERR_SYNTAX (not a Usage, or no 16-byte attempt id), ERR_NOMEM. Ranges are not judged here. */
MUST_CHECK int usage_decode(struct slice bytes, struct arena *a, struct usage *ret_usage);

/* A batch on the bus, taken apart: records still serialised, borrowed. */
struct usage_batch {
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t last_sequence;
    const struct slice *records;
    size_t count;
};

#endif
