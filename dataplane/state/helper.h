/*
 * A thread of low priority that does jobs one after the other, for what a worker's loop must not
 * wait for: hashing and compiling a policy, writing it to disk. A job shares nothing with the loop
 * while it runs; its end is told on the loop.
 */
#ifndef DATAPLANE_STATE_HELPER_H
#define DATAPLANE_STATE_HELPER_H

#include "lib/net/loop.h"

#include <stddef.h>
#include <sys/queue.h>

struct helper;

struct helper_job {
    STAILQ_ENTRY(helper_job) link;
    void (*run)(struct helper_job *job);  /* on the thread */
    void (*done)(struct helper_job *job); /* on the loop, once; owns the job again. Not called for
                                           * jobs that helper_free() drops */
    void (*drop)(struct helper_job *job); /* instead of done */
};

/* Starts the thread. NULL: no memory, no thread. */
struct helper *helper_new(struct loop *l);
/* Waits for the job that runs; drops it and all others. NULL is fine. */
void helper_free(struct helper *h);
/* Keeps the job until done or drop. */
void helper_submit(struct helper *h, struct helper_job *job);
/* Jobs submitted and not yet told of. */
size_t helper_pending(const struct helper *h);

#endif
