/*
 * The leader's books about rates and concurrency: who is there, what each holds, and what it may
 * have next. In memory, no input or output, the caller gives the time; the simulation drives it.
 *
 * A limit is divided by weighted max-min: who wants less than an equal part gets it, what is left
 * goes to the others. A share that another still holds is not given before its holder has said that
 * it holds less, or its lease has run out and what it took has left the window. So what all hold
 * together never exceeds the limit, whatever messages are lost.
 *
 * A worker that falls silent is reckoned with twice: with its share until that can have no effect,
 * and then with the safe share that it falls back to, until FLEET_FORGET_MS.
 */
#ifndef CONTROLPLANE_LEASES_FLEET_H
#define CONTROLPLANE_LEASES_FLEET_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_FORGET_MS (INT64_C(15) * 60 * 1000)
#define FLEET_LEAST 4 /* the smallest size that is told: newcomers need no round of agreement */
/* What a process took that died together with its leader counts for this long at the most, also in
 * a longer window: a day's quota must not stand still for a day. */
#define FLEET_LEARN_MS 60000
#define LIMIT_HOLDERS 4096
#define LIMIT_POOLS 1000000 /* subjects of rates: some 0.4 KiB each, for as long as its window */

struct fleet;
struct holder;

struct fleet *fleet_new(int64_t life_ms); /* of a lease; NULL: no memory */
void fleet_free(struct fleet *f);

/* A new office: nothing is known of what anybody holds. */
void fleet_begin(struct fleet *f, int64_t now_ms);
/* A process that an earlier leader granted something: until it is heard, or anything it may have
 * taken has no effect any more, nobody's share grows. 0 or ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int fleet_expect(struct fleet *f, int64_t now_ms, struct slice node, uint32_t slot,
                            int64_t started_ms);

struct fleet_word { /* of a worker process */
    struct slice node;
    uint32_t slot;
    int64_t started_ms;
    uint64_t sequence;
    uint32_t told; /* the size it was told last: its safe share */
    bool leaving;
    bool partial; /* it may have more than its claims say: others are in its next words */
};
/* Whether it was heard within FLEET_NOTE_MS of when it was last written down. If not, write it down
 * for a later leader before it is heard. */
#define FLEET_NOTE_MS (INT64_C(3600) * 1000)
bool fleet_is_noted(const struct fleet *f, int64_t now_ms, const struct fleet_word *word);
/* Hears it: its claims follow. 0; ERR_STALE: a later word of it was heard
 * already, or a later process of its slot; ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int fleet_hear(struct fleet *f, int64_t now_ms, const struct fleet_word *word,
                          struct holder **ret_holder);
/* Whether what earlier processes of its slot held of budgets was given back; and that it was. */
bool fleet_is_released(const struct holder *h);
void fleet_released(struct fleet *f, const struct fleet_word *word);
/* What it is to be told as the fleet's size. */
uint32_t fleet_size_for(struct fleet *f, int64_t now_ms, struct holder *h);
size_t fleet_live(const struct fleet *f, int64_t now_ms);
/* Whether shares cannot grow yet, in a window of that length. */
bool fleet_is_learning(const struct fleet *f, int64_t now_ms, int64_t window_ms);

struct fleet_claim {
    struct slice key;  /* of the counter */
    int64_t amount;    /* of the limit */
    int64_t window_ms; /* 0: concurrency */
    int64_t has, used, wants;
    int64_t need; /* beyond used, to let one request go on: where there is less, none is given */
    bool dark;    /* its lease has run out: has is what it may fall back to */
};
struct fleet_grant {
    int64_t share;     /* in all */
    int64_t remaining; /* of the limit, not in use by anybody as far as is known */
    int64_t elsewhere; /* held by others, unused: may come back */
};
/* 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int fleet_claim(struct fleet *f, int64_t now_ms, struct holder *h,
                           const struct fleet_claim *c, struct fleet_grant *ret);

/* For people: what holder number i holds of a counter; false at the end. node is borrowed. */
bool fleet_held(const struct fleet *f, int64_t now_ms, struct slice key, size_t i,
                struct slice *ret_node, uint32_t *ret_slot, int64_t *ret_held, int64_t *ret_used);
/* Lets go of what has no effect any more: of so many pools each time, so that nobody waits; several
 * times a second. */
#define FLEET_TENDED 4096
void fleet_tend(struct fleet *f, int64_t now_ms);

#endif
