/* Guts of the publisher, shared by publish.c (the thread), record.c (PostgreSQL and disk) and
 * answer.c (what workers ask). */
#ifndef CONTROLPLANE_PUBLISH_PUBLISHER_H
#define CONTROLPLANE_PUBLISH_PUBLISHER_H

#include "controlplane/publish/acks.h"
#include "controlplane/publish/compile.h"
#include "controlplane/publish/lead.h"
#include "controlplane/publish/publish.h"
#include "controlplane/publish/shelf.h"
#include "lib/policy/lkg.h"

#include <pthread.h>

#define LIMIT_ANSWER_THREADS 64

struct publisher {
    char *database;
    struct secrets *secrets;
    unsigned char sign_secret[SIGN_SECRET_BYTES], sign_public[SIGN_PUBLIC_BYTES];
    struct keyring disk_ring; /* what `disk` was opened with last */
    struct channel_host *host;
    struct shelf *shelf;
    struct acks *acks;
    struct leases *leases;
    struct lkg *disk;
    char build_path[4096];
    bool build_noted; /* what is on disk was made by this version of the program */
    struct db *answer_db[LIMIT_ANSWER_THREADS]; /* each its thread's own; NULL until needed */
    size_t threads;

    /* the publishing thread's own */
    struct db *db;
    struct lead lead;
    uint64_t connection; /* that LISTENs, by db_ping() */
    uint64_t published_epoch;
    bool refresh; /* what is not keys is made anew: the price book, or its form, may be another */
    int64_t published_revision;

    pthread_t thread, announcer;
    bool started, announcing;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stopping, kicked;
    struct built *built; /* what the head was made from; NULL: nothing yet */
    struct publisher_status status;
};

/* --- record.c --- */

/* Signs, records in PostgreSQL, puts on the shelf. 0; ERR_CONFLICT: we lead no more; or an error.
 */
MUST_CHECK int record_version(struct publisher *p, struct built *b, struct buf *why);
/* Takes over what the leader recorded, when that is newer. 1: something was; 0; or an error. */
int record_adopt(struct publisher *p, struct buf *why);
/* Whether PostgreSQL has recorded exactly this version: then everything it was made from is part of
 * the database's history. 1, 0, or an error. */
int record_is_known(struct publisher *p, const struct head *h);
/* Whether all that PostgreSQL has recorded is older: then it has forgotten this one, and what was
 * changed meanwhile; it says so in the log. 1, 0, or an error. */
int record_went_back(struct publisher *p, const struct head *h);
/* The newest head onto the disk; what the disk holds onto the shelf. */
void record_save(struct publisher *p);
void record_load(struct publisher *p);

/* --- answer.c --- */

/* The handler of the bus; ctx is the publisher. */
void answer(void *ctx, size_t thread, struct slice request, struct buf *reply);

/* --- publish.c --- */

void publisher_announce(struct publisher *p);
/* What is in force: counted, or NULL. */
struct built *publisher_built(struct publisher *p);
/* The same, to go on from: NULL also when the database has forgotten it. */
struct built *publisher_base(struct publisher *p);
/* Takes b. */
void publisher_set_built(struct publisher *p, struct built *b);
void publisher_count(struct publisher *p, uint64_t *counter); /* of its status */

#endif
