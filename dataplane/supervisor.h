/*
 * The supervisor: starts the workers and starts them again, passes signals on, flushes their
 * spools, and serves their metrics. It touches no request.
 */
#ifndef DATAPLANE_SUPERVISOR_H
#define DATAPLANE_SUPERVISOR_H

#include "dataplane/worker.h"

#define LIMIT_WORKERS 256

struct supervisor_options {
    struct worker_options worker; /* the common part; slot, descriptors and page differ */
    unsigned workers;
    int listen_fds[LIMIT_WORKERS]; /* one a slot, or all the same; -1: none */
    int tls_listen_fds[LIMIT_WORKERS];
    int metrics_fd;             /* -1: none */
    struct metrics_page *pages; /* one a slot */
    /* Called in a new worker process before anything else: its title. */
    void (*on_worker)(unsigned slot);
};

/* Runs until SIGTERM or SIGINT and the end of the last worker. Returns the exit code. */
int supervisor_run(const struct supervisor_options *o);

#endif
