/*
 * Counters of the data plane: one page of shared memory a worker, written by that worker alone and
 * summed by the supervisor, which serves them as Prometheus text. A page outlives its worker, so
 * that counters never go back when one is replaced.
 *
 * All label sets are bounded: providers beyond METRICS_PROVIDERS share the label "other".
 */
#ifndef DATAPLANE_STATE_METRICS_H
#define DATAPLANE_STATE_METRICS_H

#include "lib/base/buf.h"
#include "lib/control/snapshot.h"
#include "lib/policy/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_PROVIDERS 32 /* the first is "none", the last "other" */
#define METRICS_NAME_BYTES 64
#define METRICS_ENDPOINTS 21 /* enum endpoint_kind, and "none" */
#define METRICS_CLASSES 6    /* no answer, 1xx..5xx */
#define METRICS_BUCKETS 15
#define METRICS_REASONS 48 /* enum problem */

struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t sum_ms;
};

enum worker_state { WORKER_DOWN, WORKER_STARTING, WORKER_READY, WORKER_DRAINING };

struct metrics_page {
    /* counters */
    uint64_t requests[METRICS_ENDPOINTS][METRICS_CLASSES][METRICS_PROVIDERS];
    struct metrics_histogram duration[METRICS_ENDPOINTS], first_byte[METRICS_ENDPOINTS];
    uint64_t usage[METRICS_PROVIDERS][USAGE_CLASSES];
    uint64_t cost_nanos[METRICS_PROVIDERS];
    uint64_t upstream_errors[METRICS_PROVIDERS][METRICS_REASONS];
    uint64_t refused[METRICS_REASONS];
    uint64_t snapshot_refused[SNAPSHOT_REFUSALS];
    uint64_t limit_unverifiable, limit_overdrawn, limit_shadowed, limit_unverified;
    uint64_t limit_cut;
    uint64_t lease_claims, lease_failures, lease_waits;
    uint64_t cache_hits, cache_misses, cache_bypasses;
    uint64_t usage_estimated, usage_suspect, usage_unpriced, usage_lost_disk, client_gone, drained;

    /* as last sampled by the worker */
    uint64_t open_requests, connections, accepted, head_timeouts, bad_requests, accept_refused;
    uint64_t upstream_connects, upstream_reuses, upstream_retries, upstream_connections;
    uint64_t spool_records, spool_open, spool_bytes, spool_limit_bytes;
    uint64_t spool_refused, spool_torn, spool_corrupt, spool_lost, spool_disk_errors;
    uint64_t upload_failures;
    uint64_t cache_answers, cache_bytes, cache_stored, cache_evicted;
    uint64_t log_dropped, held_bytes;
    uint64_t policy_epoch, policy_version, policy_revision, policy_stale, policy_disk_errors;

    /* the supervisor's board */
    uint64_t state;                              /* enum worker_state */
    uint64_t candidate_epoch, candidate_version; /* taken up, or about to be */
    uint64_t candidate_mono_ms;                  /* when; 0: not since the worker started */
    uint64_t restarts;                           /* written by the supervisor */

    char providers[METRICS_PROVIDERS][METRICS_NAME_BYTES]; /* "": free */
};

/* Shared pages for `slots` workers, zeroed. NULL: no memory. Before the fork. */
struct metrics_page *metrics_pages_new(size_t slots);

/* A worker's own hold on its page. */
struct metrics {
    struct metrics_page *page;
    /* the label of a provider, found by the address of its name in the policy in force */
    struct {
        const char *name;
        unsigned slot;
    } seen[METRICS_PROVIDERS];
};
void metrics_init(struct metrics *m, struct metrics_page *page);
/* The label's index; 0 ("none") for NULL. */
unsigned metrics_provider(struct metrics *m, const struct policy_provider *p);
void metrics_observe(struct metrics_histogram *h, int64_t ms);

/* What the pages say, in Prometheus' text format 0.0.4. names of reasons: reasons[0..count), NULL
 * where there is none. 0 or ERR_NOMEM. */
MUST_CHECK int metrics_write(const struct metrics_page *pages, size_t slots,
                             const char *const *reasons, size_t reason_count,
                             const char *const *endpoints, struct buf *into);

#endif
