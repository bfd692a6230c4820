/*
 * The publisher: from the configuration in PostgreSQL to signed snapshots on the bus.
 *
 * One thread follows revisions (LISTEN headgate_changed, and a timer), compiles what changed with
 * the worker's own compiler, records the new root in `snapshots`, and announces it. What was
 * published last is kept in memory and under STATE_DIR/publish, so that workers are served while
 * PostgreSQL is away. Of several control planes one publishes (an advisory lock); the others serve
 * what it recorded.
 *
 * Whoever changes the configuration:
 *   1. takes a new revision number under a lock held to the end of its transaction, so that
 * revisions become visible in the order of their numbers;
 *   2. writes config_items and revision_changes (before and after) in that transaction;
 *   3. calls publish_check() in the same transaction, and gives up with its message when it fails;
 *   4. NOTIFYs headgate_changed in the transaction, or calls publisher_kick() after the commit.
 */
#ifndef CONTROLPLANE_PUBLISH_PUBLISH_H
#define CONTROLPLANE_PUBLISH_PUBLISH_H

#include "controlplane/secrets/seal.h"
#include "controlplane/store/db.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/control/channel.h"

#include <stdbool.h>
#include <stdint.h>

#define PUBLISH_CHANNEL "headgate_changed"     /* of NOTIFY */
#define PUBLISHED_CHANNEL "headgate_published" /* the same: for those that stand by */

struct publisher;
struct policy; /* lib/policy/policy.h */

struct publisher_options {
    const char *database;             /* DSN of the application's role */
    const char *state_dir;            /* the daemon's; "publish/" is made in it */
    struct secrets *secrets;          /* kept until publisher_stop */
    const unsigned char *sign_secret; /* SIGN_SECRET_BYTES; copied */
    const char *pub_url, *req_url;    /* of the bus; copied */
    const struct channel_tls *tls;    /* or NULL */
    size_t threads;                   /* that answer workers; 0: 4 */
    bool force_epoch; /* publish although the database's epoch is below the state file's (restored)
                       */
};

/* Opens the bus and starts the threads; PostgreSQL may be away. Returns at once: what is on disk is
 * served meanwhile. 0, or ERR_IO, ERR_SYNTAX (a URL), ERR_NOMEM with a message in *why. */
MUST_CHECK int publisher_start(const struct publisher_options *o, struct publisher **ret_publisher,
                               struct buf *why);
/* Stops taking requests, lets those in progress end, joins. NULL is fine. */
void publisher_stop(struct publisher *p);
/* Something was committed, or a credential changed: look now. Any thread; never blocks. */
void publisher_kick(struct publisher *p);

/* Compiles the configuration as it stands inside db's open transaction, with the workers' compiler.
 * p gives what is already compiled (only the difference is read); NULL: everything is read and
 * secrets stay closed. 0; ERR_SYNTAX, ERR_EXISTS, ERR_NOT_FOUND, ERR_LIMIT with the place and the
 * reason in *why ("models[3] 'smart': targets[0]: no provider 'opnai'"); ERR_UNAVAILABLE,
 * ERR_NOMEM. *ret_policy (may be NULL) gets what was compiled: a reference of the caller's. */
MUST_CHECK int publish_check(struct publisher *p, struct db *db, struct policy **ret_policy,
                             struct buf *why);

/* What is being served, for status, readiness and metrics. */
struct publisher_status {
    uint64_t epoch, version, revision; /* of the head; 0: nothing published yet */
    int64_t published_wall_ms;
    uint64_t key_count, section_bytes;
    bool leader;           /* this daemon publishes */
    uint64_t leader_epoch; /* under this epoch; 0: it does not */
    bool database;         /* the publisher's connection is up */
    char problem[256];     /* why the newest revision is not published; "" when it is */
    uint64_t published, announced, roots_served, sections_served, refusals, requests_malformed;
};
void publisher_status(struct publisher *p, struct publisher_status *ret_status);

/* The sealing keys that the newest published version needs, by their ids. */
#define PUBLISHER_KEYS_MOST 16
struct publisher_keys {
    uint64_t epoch, version; /* of it; 0: nothing is published yet */
    unsigned char ids[PUBLISHER_KEYS_MOST][KEYRING_ID_BYTES];
    size_t count;
    bool without_id; /* some value was sealed by a version before, which wrote none */
};
/* 0, ERR_SYNTAX, ERR_NOMEM. */
MUST_CHECK int publisher_seal_keys(struct publisher *p, struct publisher_keys *ret_keys);

#endif
