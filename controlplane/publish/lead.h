/*
 * Which of several control planes publishes, and under which epoch. The leader holds an advisory
 * lock on its connection: when the connection goes, so does the lock. Every leadership has an epoch
 * of its own, higher than any before it, also when the database was restored from a backup: the
 * highest one seen is kept in a file too.
 */
#ifndef CONTROLPLANE_PUBLISH_LEAD_H
#define CONTROLPLANE_PUBLISH_LEAD_H

#include "controlplane/store/db.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lead {
    char path[4096];     /* of the file */
    uint64_t seen;       /* the highest epoch known */
    bool force;          /* take an epoch although the database is behind `seen` */
    uint64_t connection; /* that holds the lock, by db_ping(); 0: we do not lead */
    uint64_t epoch;      /* ours, while we lead */
};

/* Reads the file in dir. ERR_SYNTAX: it is damaged, with what to do in *why; ERR_IO. */
MUST_CHECK int lead_init(struct lead *l, const char *dir, bool force, struct buf *why);
/* Whether we lead, trying to when nobody does: 1; 0: another does. ERR_STALE: the database is
 * behind (restored from a backup), with what to do in *why; ERR_UNAVAILABLE, ERR_IO. db is not in a
 * transaction. */
int lead_try(struct lead *l, struct db *db, struct buf *why);
/* Inside a transaction: whether this is still the connection that leads. 0, ERR_CONFLICT, or an
 * error. */
MUST_CHECK int lead_confirm(struct lead *l, struct db *db);
/* An epoch was seen (of another leader): remembered. 0 or ERR_IO, ERR_FULL. */
MUST_CHECK int lead_saw(struct lead *l, uint64_t epoch);
/* While we lead, PostgreSQL must hear of us every LEAD_IDLE_MS, or it ends our connection, and the
 * lock with it: a leader that hangs is followed by another. Before work that takes longer than that
 * without a word to PostgreSQL, and after it. 0 or the errors of db_query(). */
#define LEAD_IDLE_MS 2500
MUST_CHECK int lead_be_long(struct lead *l, struct db *db);
MUST_CHECK int lead_be_quick(struct lead *l, struct db *db);
static inline bool
lead_is(const struct lead *l)
{
    return l->connection != 0;
}

#endif
