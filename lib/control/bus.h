/*
 * What the planes say to each other, in plain form, and its bytes (proto/bus.proto). protobuf-c
 * stays behind this. Sans-I/O; see channel.h for the way and snapshot.h for what an envelope holds.
 */
#ifndef LIB_CONTROL_BUS_H
#define LIB_CONTROL_BUS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/control/usage.h"

#include <stdbool.h>
#include <stdint.h>

struct bus_announcement {
    struct slice cluster_id;
    uint64_t epoch, version;
    unsigned char root_sha256[SHA256_BYTES]; /* of the envelope's bytes */
};
MUST_CHECK int bus_announcement_encode(const struct bus_announcement *a, struct buf *into);
/* 0, ERR_SYNTAX, ERR_NOMEM. */
MUST_CHECK int bus_announcement_decode(struct slice bytes, struct arena *a,
                                       struct bus_announcement *ret);

struct bus_worker {
    struct slice node, host, build;
    uint32_t slot, pid;
    int64_t started_ms; /* wall clock */
};

struct bus_applied {
    uint64_t epoch, version;
    struct slice error, detail; /* error empty: accepted */
    uint64_t held_epoch, held_version;
};

struct bus_heartbeat {
    uint64_t held_epoch, held_version;
    uint64_t spool_records, spool_bytes, requests, open_streams;
    bool draining;
    const struct slice *seal_keys; /* ids, the sealing one first */
    size_t seal_key_count;
};

#define LIMIT_SEAL_KEYS 8 /* of one worker */

#define LIMIT_CLAIMS 1024 /* of one request */

/* See LeaseClaim in bus.proto. */
struct bus_claim {
    struct slice limit, subject;
    uint64_t slice;
    int64_t has, used, wants, need, waiting;
    bool dark;
};

struct bus_lease {
    uint64_t sequence, epoch;
    uint32_t fleet;
    bool settled, leaving;
    bool greeting; /* no answer came for long: to be answered, and not to be heeded */
    const struct bus_claim *claims;
    size_t count;
};

struct bus_grant {
    int64_t share, limit, remaining, elsewhere, period_left_ms;
    uint64_t slice;
    bool tight, unknown;
};

struct bus_lease_grants {
    uint64_t epoch;
    uint32_t fleet, life_ms;
    const struct bus_grant *grants;
    size_t count;
};

enum bus_kind {
    BUS_NOTHING, /* a request of a kind we do not know */
    BUS_GET_ROOT,
    BUS_GET_SECTION,
    BUS_APPLIED,
    BUS_USAGE,
    BUS_HEARTBEAT,
    BUS_LEASE,
};

struct bus_request {
    struct bus_worker from;
    enum bus_kind kind;                 /* which of the following counts */
    bool last_good;                     /* GET_ROOT */
    unsigned char sha256[SHA256_BYTES]; /* GET_SECTION */
    struct bus_applied applied;
    struct usage_batch usage;
    struct bus_heartbeat heartbeat;
    struct bus_lease lease;
};
MUST_CHECK int bus_request_encode(const struct bus_request *r, struct buf *into);
/* Slices point into the arena. 0, ERR_SYNTAX, ERR_LIMIT (more records than a batch may have),
 * ERR_NOMEM. */
MUST_CHECK int bus_request_decode(struct slice bytes, struct arena *a, struct bus_request *ret);

enum bus_status { /* the numbers of bus.proto */
                  BUS_INVALID,
                  BUS_OK,
                  BUS_NOT_FOUND,
                  BUS_UNAVAILABLE,
                  BUS_REFUSED,
                  BUS_NOT_LEADER,
};

struct bus_reply {
    enum bus_status status;
    struct slice message;  /* for people */
    struct slice envelope; /* of GET_ROOT; at == NULL otherwise */
    struct slice section;  /* of GET_SECTION; at == NULL otherwise */
    bool acked;            /* USAGE */
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t sequence; /* committed up to here */
    bool leased;       /* LEASE */
    struct bus_lease_grants lease;
};
MUST_CHECK int bus_reply_encode(const struct bus_reply *r, struct buf *into);
/* envelope and section are borrowed from `bytes` where that is possible, else in the arena. */
MUST_CHECK int bus_reply_decode(struct slice bytes, struct arena *a, struct bus_reply *ret);

/* Whether a reply is the answer, for channel.h: not when the control plane that gave it lacks
 * something that another one may have. ctx is not used. */
bool bus_is_answer(void *ctx, struct slice reply);

#endif
