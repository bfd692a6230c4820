/*
 * Sends what waits in the outbox. A delivery counts as done when the other side has said so: a
 * status of 2xx, or the mail server's word. Whoever is killed between that and writing it down has
 * it sent twice, with the same id.
 */
#ifndef CONTROLPLANE_ALERTS_DELIVER_H
#define CONTROLPLANE_ALERTS_DELIVER_H

#include "controlplane/secrets/seal.h"
#include "controlplane/store/db.h"
#include "lib/net/tls.h"

#include <stdatomic.h>
#include <stdbool.h>

struct alert_counts { /* of this daemon since it started, for metrics */
    atomic_ullong sent, failed, given_up;
};

struct deliverer {
    struct db *db;
    struct secrets *secrets;
    struct alert_counts *counts;
    struct tls_client *tls; /* made when it is first needed; the owner frees */
    bool (*is_stopping)(void *ctx);
    void *ctx;
};

/* Everything that is due, each alert until one of its deliveries fails. *ret_changed: a provider's
 * credential is another now, publish. 0, or the database's error: what fails to be sent is logged
 * and noted. */
MUST_CHECK int alerts_deliver(struct deliverer *d, bool *ret_changed);

#endif
