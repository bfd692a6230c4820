/*
 * A worker process: one loop with its listeners, its requests and their connections. It holds no
 * truth: it can be killed at any time, and nothing but its open connections is lost.
 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

#include "dataplane/poison.h"
#include "dataplane/state/metrics.h"
#include "dataplane/state/services.h"
#include "dataplane/state/spool.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/control/channel.h"

#include <stdbool.h>

/* Exit codes that tell the supervisor something. */
#define WORKER_EXIT_SETUP 3 /* could not start; why is in the log */

/* What the supervisor hands down through the fork. Borrowed for the life of the process. */
struct worker_options {
    unsigned slot;
    int listen_fd, tls_listen_fd; /* -1: none */
    const char *tls_cert, *tls_key;
    const char *upstream_ca; /* NULL: the system's roots */
    const char *state_dir, *node;
    const char *bus_pub, *bus_req; /* see channel_open(); NULL: no control plane, from disk only */
    const struct channel_tls *bus_tls;
    struct keyring ring;        /* of sealing keys, as the supervisor read it */
    struct keyring_source keys; /* where it read it: looked at once a second */
    unsigned char verify_key[SIGN_PUBLIC_BYTES];
    struct spool_limits spool;
    struct limits limits;
    int drain_ms;
    bool access_log;
    unsigned workers; /* how many slots are run */
    struct metrics_page *page;
    pid_t supervisor;
    struct policy_mark avoid; /* a policy that crashes workers */
};

/* Runs until it has drained; returns the exit code. */
int worker_run(const struct worker_options *o);

#endif
