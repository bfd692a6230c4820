/*
 * The counters of quota.h, shared by quota.c (what requests take) and quota_claim.c (what the
 * leader is told, and what rests).
 */
#ifndef DATAPLANE_STATE_QUOTA_INTERNAL_H
#define DATAPLANE_STATE_QUOTA_INTERNAL_H

#include "dataplane/state/due.h"
#include "dataplane/state/quota.h"
#include "dataplane/state/window.h"
#include "lib/base/map.h"

#include <sys/queue.h>

#define IDLE_MS 3000 /* then a counter gives back what it does not use */

enum counter_place {
    COUNTER_ACTIVE,  /* in a list: it is said in each round */
    COUNTER_URGENT,  /* in a list: somebody waits for it; it goes first */
    COUNTER_SENT,    /* in the claims under way */
    COUNTER_RESTING, /* in the heap: all has been said, until it is due */
};

struct counter {
    TAILQ_ENTRY(counter) link;
    struct due due;
    struct window window;
    struct quota *of; /* that has it */
    int64_t amount;   /* of the limit, as the last request's policy has it */

    int64_t share, used;
    int64_t expires_ms; /* of the share */
    uint32_t holds;     /* parts of requests that point here */
    uint32_t slice_use;
    uint64_t slice;        /* of a budget */
    int64_t unverified;    /* spent without a slice */
    int64_t period_end_ms; /* 0: none */

    int64_t need;               /* of those that wait, together */
    int64_t least;              /* of them, since the last answer: what lets one go on */
    int64_t demand, demand_was; /* asked for in this and the last span */
    int64_t demand_ms, touched_ms;
    int64_t size;       /* of the last request */
    int64_t sent, told; /* what was in use: in the claim under way, in the last answered */
    int64_t elsewhere;  /* as the leader told */
    int64_t remaining;  /* the same; of a budget, with what was given back since */
    int64_t heard_ms;   /* when; 0: never */
    int64_t said_ms;    /* when the last answered claim was sent; 0: not to this leader */
    int32_t window_ms;
    enum counter_place place : 8;
    enum unverifiable unverifiable : 8;
    bool is_budget;
    bool starved;             /* the leader had less than was needed */
    bool tight;               /* what lies about here is what another waits for */
    bool near_end;            /* so it may be soon */
    bool sent_bare, all_told; /* no more was held than was in use: as with sent, told */
    bool unknown;             /* to the leader, when it answered last */
    uint16_t id_len, name_len, key_len;
    char key[]; /* id, NUL, subject */
};

TAILQ_HEAD(counter_list, counter);

struct quota {
    struct map by_key;
    size_t count;
    struct counter_list active, urgent; /* those that were said longest ago go first */
    struct due_heap resting;
    struct counter *sent[LIMIT_CLAIMS]; /* of the claims under way */
    size_t sent_count;
    int64_t sent_ms;
    int64_t heard_ms; /* when an answered claim was sent; 0: never */
    int64_t life_ms;
    uint64_t epoch; /* of whom has answered last */
    uint32_t fleet; /* 0: never told */
    bool wanting, backlog, leaving;
    bool near_end; /* of a budget that something is held ready of: others may soon need it */
    struct quota_counts counts;
};

struct slice counter_id(const struct counter *c);
struct slice counter_subject(const struct counter *c);
void counter_free(struct counter *c);
/* Brings it up to the time: what was taken more than a window ago is given back. */
void counter_roll(struct quota *q, struct counter *c, int64_t now_ms);
/* Something is new about it: it is said with the next claims. */
void counter_wake(struct quota *q, struct counter *c);
/* Somebody waits for it to be said. */
void counter_hurry(struct quota *q, struct counter *c);
/* Out of whatever it is in, but for the claims under way. */
void counter_take_out(struct quota *q, struct counter *c);
bool counter_is_dark(const struct counter *c, int64_t now_ms);
int64_t quota_safe_share(const struct quota *q, const struct counter *c);
/* What c may have in use now. */
int64_t quota_allowance(const struct quota *q, const struct counter *c, int64_t now_ms);

static inline int64_t
not_below_zero(int64_t n)
{
    return n > 0 ? n : 0;
}

#endif
