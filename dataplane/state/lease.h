/*
 * Carries the claims of a worker's counters to the leader and its grants back: one request in
 * flight, at once when a request waits for it, else every second. Wakes those that wait.
 *
 * Loses nothing when messages are lost, late or doubled: a claim says all there is to say, and only
 * the answer to the newest one is heard.
 */
#ifndef DATAPLANE_STATE_LEASE_H
#define DATAPLANE_STATE_LEASE_H

#include "dataplane/state/quota.h"
#include "lib/control/channel.h"
#include "lib/net/loop.h"

#include <sys/queue.h>

/* That a request waits for its share at most: longer than another worker takes to say what it
 * holds, to hear that it is needed, and to give it back. */
#define LEASE_WAIT_MS 1500

struct lease;
struct spool;

/* Embedded in what waits. */
struct lease_waiter {
    TAILQ_ENTRY(lease_waiter) link;
    /* The leader has answered, or (last) the time is over: try again. From the loop. */
    void (*on_turn)(void *ctx, bool last);
    void *ctx;
    int64_t until_ms;
    uint64_t turn; /* lease.c */
    bool waiting;
};

struct lease_options {
    struct loop *loop;
    struct channel *channel; /* NULL: there is no control plane; kept */
    struct quota *quota;     /* kept */
    struct spool *spool;     /* whether it is settled is told; kept */
    const struct bus_worker *from;
};

struct lease *lease_new(const struct lease_options *o); /* NULL: no memory */
void lease_free(struct lease *l);                       /* NULL is fine; nobody may wait */
/* Waits for the next answer; until_ms 0: a new wait begins, of LEASE_WAIT_MS. */
void lease_wait(struct lease *l, struct lease_waiter *w);
void lease_cancel(struct lease *l, struct lease_waiter *w); /* never calls back */
/* Gives everything back: a worker that leaves. */
void lease_leave(struct lease *l);
bool lease_has_left(const struct lease *l); /* and the leader has heard of it */

struct lease_counts {
    uint64_t claims, answered, failures, waits, late;
};
struct lease_counts lease_counts(const struct lease *l);

#endif
