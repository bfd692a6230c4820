/*
 * The worker's side of the policy's way: hears of a new root, fetches it and the sections it lacks,
 * verifies, compiles beside the policy in force, saves it as the last good one, swaps, and tells
 * the control plane. Refused snapshots change nothing and are reported with their reason.
 *
 * Announcements are hints and may be lost, late, doubled or reordered: a worker also asks when it
 * connects, when an announced head differs from what it holds, and on a timer.
 *
 * Hashing, compiling and the disk are on a helper thread of low priority that shares nothing but
 * finished values; the loop only swaps a pointer. Start it after the fork, in the worker: nng has
 * threads too.
 */
#ifndef DATAPLANE_STATE_FOLLOW_H
#define DATAPLANE_STATE_FOLLOW_H

#include "dataplane/state/pin.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/control/bus.h"
#include "lib/control/channel.h"
#include "lib/control/snapshot.h"
#include "lib/net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct follow;

/* What the worker tells about itself once a second. */
struct follow_load {
    uint64_t spool_records, spool_bytes, requests, open_streams;
    bool draining;
};

struct follow_options {
    struct loop *loop; /* kept */
    struct pin *pin;   /* kept; filled before follow_start returns when disk has a policy */
    const char *pub_url, *req_url; /* see channel_open(); NULL: no control plane, from disk only */
    const struct channel_tls *tls; /* or NULL */
    const unsigned char (*public_keys)[SIGN_PUBLIC_BYTES]; /* copied */
    size_t key_count;
    const struct keyring *ring; /* opens what is sealed; copied */
    const char *policy_dir;     /* STATE/policy; copied; NULL: nothing on disk */
    const char *node;           /* node id; copied */
    unsigned slot;
    /* Asked at every heartbeat; may be NULL. */
    void (*load)(void *ctx, struct follow_load *ret_load);
    /* Told after every swap, from the loop; may be NULL. */
    void (*on_policy)(void *ctx, const struct policy *now);
    /* Told before a new root is fetched and compiled, from the loop; may be NULL. */
    void (*on_candidate)(void *ctx, uint64_t epoch, uint64_t version);
    void *ctx;
    uint64_t avoid_epoch, avoid_version; /* never loaded nor applied; version 0: none */
    int64_t pull_ms;                     /* of the timer; 0: 10 s */
    int64_t heartbeat_ms;                /* 0: 1 s */
};

/* Loads the last good policy from disk at once, then connects in the background. NULL with *ret_why
 * (static text) when it cannot work at all (a bad URL, no memory, a directory of someone else). */
struct follow *follow_start(const struct follow_options *o, const char **ret_why);
void follow_stop(struct follow *f); /* NULL is fine; joins the helper thread */

/* The fleet's sealing keys are others now (copied): what could not be opened is looked at again. */
void follow_set_ring(struct follow *f, const struct keyring *ring);

/* The bus, for whoever else sends requests (the uploader). NULL: no control plane. Lent until
 * follow_stop(). */
struct channel *follow_channel(const struct follow *f);

/* Who this worker is, for requests of others on the bus; valid until follow_stop(). */
const struct bus_worker *follow_identity(const struct follow *f);

struct follow_status {
    uint64_t epoch, version, revision; /* in force; 0: none */
    uint64_t head_epoch, head_version; /* last heard of */
    unsigned char root_digest[SHA256_BYTES];
    int64_t applied_wall_ms;
    int64_t contact_ms; /* monotonic time of the last reply or announcement; 0: never */
    bool stale_policy;  /* what is in force has expired */
    bool from_disk;     /* what is in force was never confirmed by a control plane */
    uint64_t applied, disk_errors, fetch_errors;
    uint64_t refused[SNAPSHOT_REFUSALS]; /* by enum snapshot_refusal */
};
void follow_status(const struct follow *f, struct follow_status *ret_status);

#endif
