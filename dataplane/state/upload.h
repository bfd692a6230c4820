/*
 * Carries settled records from the spool to the control plane: one batch in flight, sent again
 * until it is acknowledged. Nothing here can lose a record: the spool keeps it until the
 * acknowledgement.
 *
 * One worker (slot 0) also drains the slots that no worker runs any more.
 */
#ifndef DATAPLANE_STATE_UPLOAD_H
#define DATAPLANE_STATE_UPLOAD_H

#include "dataplane/state/spool.h"
#include "lib/control/bus.h"
#include "lib/control/channel.h"
#include "lib/net/loop.h"

#include <stdint.h>

struct upload;

struct upload_options {
    struct loop *loop;
    struct channel *channel;
    struct spool *spool;           /* kept until upload_free; also tended (spool_tend) */
    const struct bus_worker *from; /* kept until upload_free */
    const char *spool_dir;         /* with first_orphan; kept */
    unsigned first_orphan;         /* drain slots from here on; 0: do not look for any */
    int interval_ms;               /* 0: 200 */
    size_t batch_records;          /* 0: 1,000 */
    int timeout_ms;                /* of one batch; 0: 10 s */
    void (*on_acked)(void *ctx);   /* after records were dropped; NULL: nobody cares */
    void *ctx;
};

struct upload *upload_new(const struct upload_options *o); /* NULL: no memory */
/* Cancels what is in flight. NULL is fine. */
void upload_free(struct upload *u);
/* Sends what waits now instead of at the next interval (a worker that drains). */
void upload_kick(struct upload *u);
/* Nothing waits and nothing is in flight. */
bool upload_is_idle(const struct upload *u);

struct upload_counts {
    uint64_t batches, records; /* acknowledged */
    uint64_t failures;         /* no or a bad answer: sent again */
    uint64_t refused; /* the control plane cannot read it: sent again, slowly, and loudly */
};
struct upload_counts upload_counts(const struct upload *u);

#endif
