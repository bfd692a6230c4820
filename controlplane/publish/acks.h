/*
 * What workers say of themselves: which version each holds, what it refused and why, how much usage
 * waits in its spool. Kept in memory as it is heard, and copied to the table `workers`, which the
 * control planes of a fleet share.
 */
#ifndef CONTROLPLANE_PUBLISH_ACKS_H
#define CONTROLPLANE_PUBLISH_ACKS_H

#include "controlplane/store/db.h"
#include "lib/base/err.h"
#include "lib/base/keyring.h"
#include "lib/control/bus.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_WORKERS 10000 /* known at a time; one more takes the place of the longest unheard */

struct worker_state {
    char node[64], host[64], build[32];
    uint32_t slot, pid;
    int64_t started_ms, seen_ms, applied_ms; /* wall clock; applied 0: never */
    uint64_t held_epoch, held_version;
    bool refused; /* then what and why; forgotten when it holds that one or a newer */
    uint64_t refused_epoch, refused_version;
    char refused_error[32], refused_detail[256];
    int64_t refused_ms;
    uint64_t spool_records, spool_bytes, requests, open_streams;
    bool draining;
    char
        seal_keys[KEYRING_IDS_TEXT]; /* ids of its sealing keys with blanks between; "": not told */
};

struct acks; /* thread-safe */
struct acks *acks_new(void);
void acks_free(struct acks *a);
/* From any thread, at now_ms (wall clock). ERR_SYNTAX: a worker without a node. */
MUST_CHECK int acks_applied(struct acks *a, const struct bus_worker *from,
                            const struct bus_applied *said, int64_t now_ms);
MUST_CHECK int acks_heartbeat(struct acks *a, const struct bus_worker *from,
                              const struct bus_heartbeat *said, int64_t now_ms);
/* A copy of all, in the order of (node, slot); the caller frees it. NULL with *ret_count 0: none,
 * or no memory. */
struct worker_state *acks_copy(struct acks *a, size_t *ret_count);
/* Writes to the table what was heard since the last call, and drops rows unheard for a day. db must
 * not be in a transaction. 0 or an error of db_query() (then it is tried again at the next call).
 */
MUST_CHECK int acks_flush(struct acks *a, struct db *db);

#endif
