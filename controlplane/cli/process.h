/*
 * Processes of one gateway: started in a session of their own, found again after the starter is
 * gone. A process is known by its pid and its start time, so that a reused pid is never taken for
 * it.
 */
#ifndef CONTROLPLANE_CLI_PROCESS_H
#define CONTROLPLANE_CLI_PROCESS_H

#include "controlplane/cli/home.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;      /* 0: none */
    uint64_t start; /* clock ticks after boot */
};

struct spawn {
    const char *program; /* path */
    char *const *argv, *const *env;
    const char *log; /* file for standard output and error, appended to; NULL: inherited */
    int output;      /* descriptor for standard output instead, or -1 */
    bool drop;       /* become `uid`, `gid`, with the groups of `user` */
    const char *user;
    uid_t uid;
    gid_t gid;
    bool same_session; /* it ends with us: a helper, not a daemon */
};

/* 0 with the process, or an error with a message in why. A program that cannot be executed is an
 * error here, not a process that dies. */
MUST_CHECK int process_spawn(const struct spawn *s, struct process *ret_process, char *why,
                             size_t why_bytes);
/* Runs a helper to its end: its exit status (0..255, 128+n for a signal), or a negative error. */
MUST_CHECK int process_run(const struct spawn *s, char *why, size_t why_bytes);

/* The same process, not a zombie. */
bool process_is_alive(const struct process *p);
/* Fills in the start time; false when there is no such process. */
bool process_identify(pid_t pid, struct process *ret_process);
void process_signal(const struct process *p, int signo); /* only if it is alive */
/* Waits until it is gone; reaps it if it is ours. false when the time is over. */
bool process_wait_gone(const struct process *p, int64_t ms);

/* DIR/pid/NAME. */
MUST_CHECK int process_save(const struct home *h, const char *name, const struct process *p);
/* The recorded process if it is alive; else pid 0. */
struct process process_load(const struct home *h, const char *name);
void process_forget(const struct home *h, const char *name);

/* DIR/pid/lock: held by the supervisor for its life. A descriptor, ERR_EXISTS (held by another), or
 * ERR_IO. */
MUST_CHECK int process_lock(const struct home *h, const char *name, bool wait);
/* The path of a program beside this one; false when it is not there or cannot be executed. */
bool process_beside(const char *name, char *ret_path, size_t bytes);
/* Sleeps; a signal ends it early. */
void process_pause(int64_t ms);

#endif
