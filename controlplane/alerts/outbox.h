/*
 * The table alert_deliveries: what is to be sent, to whom, and how it went. Of several daemons one
 * has a row at a time; one that died with it holds it up for CLAIM_S, then it is sent again.
 */
#ifndef CONTROLPLANE_ALERTS_OUTBOX_H
#define CONTROLPLANE_ALERTS_OUTBOX_H

#include "controlplane/store/db.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stdint.h>

#define OUTBOX_CLAIM_S 60 /* longer than any sending takes */
#define LIMIT_ATTEMPTS 30 /* with these pauses: about 18 hours */
#define LIMIT_PAUSE_S 3600
#define OUTBOX_KEEP_DAYS 90 /* what was sent or given up */

struct delivery {
    char id[37];
    char alert[201];
    int64_t attempt; /* from 1 */
    struct json *event;
    struct json *body;    /* of the alert; NULL: it was deleted */
    struct json *settled; /* receivers of a mail: receivers.h. Kept by outbox_sent and _failed */
    bool last;            /* no further attempt after this one */
    bool beyond;          /* the attempts are used up: daemons died in the midst of them */
};
void delivery_free(struct delivery *d);

/* The next one that is due, of an alert that is not in `resting` (a list of names): 1 and it is
 * ours; 0: none; or an error. */
MUST_CHECK int outbox_claim(struct db *db, const struct json *resting, struct delivery *ret);
/* note: who of several was refused for good, or empty. */
MUST_CHECK int outbox_sent(struct db *db, const struct delivery *d, const char *note);
/* Tried again after a pause that doubles; for good, or after the last attempt: never. *ret_over:
 * whether it was given up. */
MUST_CHECK int outbox_failed(struct db *db, const struct delivery *d, const char *why,
                             bool for_good, bool *ret_over);
MUST_CHECK int outbox_forget(struct db *db);
/* How long to wait after attempt n: 1 s, 2 s, 4 s, ... */
int64_t outbox_pause_s(int64_t attempt);

#endif
