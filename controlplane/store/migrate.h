/*
 * Brings a database to this program's schema: numbered files, each applied once in a transaction of
 * its own, recorded with its checksum, under one advisory lock. A file that was changed after it
 * was applied, or that the program does not know, is refused before anything is done.
 */
#ifndef CONTROLPLANE_STORE_MIGRATE_H
#define CONTROLPLANE_STORE_MIGRATE_H

#include "controlplane/store/db.h"
#include "lib/base/buf.h"

struct migration_file {
    const char *name; /* "0001_roles.sql" */
    const char *text; /* terminated */
    size_t len;
};
/* Embedded at build time, sorted by name. */
extern const struct migration_file migration_files[];
extern const size_t migration_file_count;

/* db: of the owner, from db_new_owner(). files: sorted by name. *ret_applied: how many were applied
 * now. 0; ERR_CONFLICT (changed, or unknown here), ERR_SYNTAX (a bad file name), ERR_UNAVAILABLE,
 * ERR_TIMEOUT (another migration holds the lock), ERR_IO; then one line in *why says what to do. */
MUST_CHECK int migrate_run(struct db *db, const struct migration_file *files, size_t count,
                           size_t *ret_applied, struct buf *why);
/* The same comparison without changing anything; *ret_pending: how many are not applied yet. The
 * application's role may do this. ERR_UNAVAILABLE also when the database was never migrated. */
MUST_CHECK int migrate_check(struct db *db, const struct migration_file *files, size_t count,
                             size_t *ret_pending, struct buf *why);

#endif
