/*
 * Finds the policy that kills the workers which apply it. Three crashes in a row, each soon after
 * the same policy was taken up, are its doing: workers that start then leave it out, and go on with
 * the one before. Sans-I/O.
 *
 * Only what a program does to itself counts. SIGKILL and SIGTERM come from outside, and a machine
 * short of memory or an impatient operator must not turn a good policy back.
 */
#ifndef DATAPLANE_POISON_H
#define DATAPLANE_POISON_H

#include <stdbool.h>
#include <stdint.h>

#define POISON_WITHIN_MS 10000
#define POISON_CRASHES 3

struct policy_mark {
    uint64_t epoch, version; /* version 0: none */
};

struct poison {
    struct policy_mark suspect;
    unsigned crashes; /* in a row, with the suspect */
    struct policy_mark avoid;
};

/* Whether a signal is a crash. */
bool poison_is_crash(int signo);
/* A worker crashed at now_ms; it had taken up (or was about to take up) `with` at taken_ms. True
 * when this was one too many: p->avoid is new. */
bool poison_crashed(struct poison *p, struct policy_mark with, int64_t taken_ms, int64_t now_ms);
/* The newest policy under dir (STATE/policy) but the one to avoid: for a worker that crashed before
 * it could tell what it was starting from. */
struct policy_mark poison_newest(const char *dir, struct policy_mark avoid);

#endif
