/*
 * What a worker may still take from each limit, and what it has taken. No input or output: the
 * caller gives the time and carries the claims to the leader (lease.c); tests and the simulation
 * drive it with a clock of their own.
 *
 * Every limit that a request meets has a counter here, one for each subject of its `per`. A counter
 * is allowed a share of the limit by the leader:
 *
 * - a rate: how much may lie in any window that ends now. What is taken at one moment is given back
 *   one window later, and no burst is allowed on top: no window of the whole fleet holds more than
 *   the limit.
 * - concurrency: how many may be in flight.
 * - a budget: how much the slice has held since it was granted. What is taken stays taken.
 *
 * A share is only ever used while it is ours: until its lease expires (a budget's slice: until its
 * period ends, or a day after the leader was last heard). Then a rate falls back to its safe share.
 */
#ifndef DATAPLANE_STATE_QUOTA_H
#define DATAPLANE_STATE_QUOTA_H

#include "lib/base/arena.h"
#include "lib/control/bus.h"
#include "lib/policy/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Of one worker: with 430 bytes each (make bench-quota) 56 MB when all are in use, and eight
 * workers full of them are as many as the leader has pools (LIMIT_POOLS). */
#define LIMIT_QUOTA_COUNTERS 131072

struct quota;
struct counter;

struct quota *quota_new(void); /* NULL: no memory */
void quota_free(struct quota *q);

/* What one request wants of one limit that counts it. */
struct quota_claim {
    const struct policy_limit *limit;
    struct slice subject;
    int64_t amount;
};

/* What one request holds of one counter. */
struct quota_part {
    struct counter *counter;
    int64_t amount;     /* reserved */
    int64_t beyond;     /* of that, what was not left when it was taken */
    int64_t bucket;     /* of the window: in which it was reserved */
    uint64_t slice;     /* of a budget; 0: none was to be had, and it was let go on */
    uint32_t slice_use; /* which of the counter's slices that was */
    enum limit_mode mode;
};

struct quota_hold {
    struct quota_part *parts; /* the caller's, as many as it has claims */
    size_t count;
};

enum quota_verdict {
    QUOTA_ADMITTED,
    QUOTA_ASK,          /* the share does not do, but more may be had: claims are waiting */
    QUOTA_REFUSED,      /* the limit is used up */
    QUOTA_UNVERIFIABLE, /* the leader is away, and the budget or rate must be verified */
    QUOTA_FULL,         /* more counters than a worker keeps, or no memory */
};

/* Why not, for the client; and how a limit stands. */
struct quota_stand {
    const struct policy_limit *limit; /* NULL: none */
    int64_t remaining;                /* of the whole limit, as far as is known here; not below 0 */
    int64_t reset_ms;                 /* until there is room again; -1: unknown */
    bool too_large;                   /* more than the limit as a whole */
};

enum quota_try {
    QUOTA_FIRST,
    QUOTA_AGAIN, /* the leader has answered */
    QUOTA_LAST,  /* nothing more can be waited for: QUOTA_ASK is not given */
};

/* Takes all of the claims or none. hold is filled when admitted; ret_stand when it is not. */
enum quota_verdict quota_reserve(struct quota *q, int64_t now_ms, const struct quota_claim *claims,
                                 size_t count, enum quota_try try, struct quota_hold *hold,
                                 struct quota_stand *ret_stand);
/* Takes back what a QUOTA_ASK of the same claims asked for: once after each, before trying again or
 * giving up. */
void quota_withdraw(struct quota *q, const struct quota_claim *claims, size_t count);
/* What a claim on a budget may come to at most, as far as is known here: what is in hand, and what
 * the leader had left. */
int64_t quota_room(struct quota *q, const struct quota_claim *claim);
/* What a part of a budget has come to, before it is settled: beyond what is held, it is taken of
 * what is left, in hand and at the leader, and `tolerance`, in all, beyond that. False: there is no
 * more, and nothing was taken. Of a slice that is no more, or where there was none, nothing is
 * known: true. */
bool quota_extend(struct quota_part *part, int64_t amount, int64_t tolerance);
/* What part i of the hold came to in the end, once: what was reserved beyond it is free again. */
void quota_settle(struct quota *q, int64_t now_ms, struct quota_part *part, int64_t amount);

struct slice quota_part_budget(const struct quota_part *part); /* its name; for the record */
struct slice quota_part_subject(const struct quota_part *part);

/* --- the lease ------------------------------------------------------------------------------- */

/* Whether something is to be asked at once, and not only at the next regular claim. */
bool quota_is_wanting(const struct quota *q);
/* Whether something is held ready of a budget that others may soon need: to be said again sooner.
 */
bool quota_is_near_end(const struct quota *q);
/* Whether the last claims could not say all that was due: the next are to follow soon. */
bool quota_has_backlog(const struct quota *q);
/* Whether there was no answer for so long that nothing is to be claimed before there is one: a
 * claim says then that it is a greeting. */
bool quota_has_lost_touch(const struct quota *q, int64_t now_ms);
size_t quota_counter_count(const struct quota *q);
/* The claims as they stand now: at most `room` of them into ret (borrowed until the next call on
 * q). How many: fewer than that, and all that there is has been said to this leader. Those first
 * that somebody waits for, then those that were said longest ago; not those that rest, of which
 * it knows all. The round is sent at now_ms. */
size_t quota_claims(struct quota *q, int64_t now_ms, struct bus_claim *ret, size_t room);
/* The leader's answer to the last quota_claims(), in its order. An answer to an older one, or of a
 * leader that was overruled, must not be given. */
void quota_grants(struct quota *q, int64_t now_ms, const struct bus_lease_grants *grants);
/* No answer came, or one of somebody who does not lead: what requests wait for is still wanted. */
void quota_unanswered(struct quota *q);
/* Claims that give everything back: a worker that leaves. */
void quota_leave(struct quota *q);

struct quota_counts {
    uint64_t overdrawn; /* settled above what was reserved as an upper bound: a bug, or a price */
    uint64_t shadow_refused, unverified;
};
struct quota_counts quota_counts(const struct quota *q);
/* Lets go of counters that nothing uses and the leader has been told of, of some at a time; now and
 * then. */
void quota_tend(struct quota *q, int64_t now_ms);

#endif
