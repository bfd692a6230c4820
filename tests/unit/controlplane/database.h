/*
 * A private PostgreSQL for unit tests of the control plane: a cluster in a temporary directory, on
 * a socket there only, migrated with this tree's migrations. As root it runs as user postgres,
 * because PostgreSQL refuses root. Tests run from the top of the tree.
 */
#ifndef TESTS_UNIT_CONTROLPLANE_DATABASE_H
#define TESTS_UNIT_CONTROLPLANE_DATABASE_H

#include <glob.h>
#include <unistd.h>

#include "controlplane/store/db.h"
#include "controlplane/store/migrate.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "tests/unit/check.h"

struct database {
    char dir[64];
    char bin[256];
    char as[32]; /* "runuser -u postgres --", or "" */
    char app_dsn[256], owner_dsn[256];
};

static inline int
database_shell(const char *format, ...)
{
    char command[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return system(command);
}

static inline bool
database_find_bin(struct database *d)
{
    glob_t found;
    bool any = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0;

    if (any)
        (void)snprintf(d->bin, sizeof(d->bin), "%.*s",
                       (int)(strlen(found.gl_pathv[found.gl_pathc - 1]) - strlen("/initdb")),
                       found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return any;
}

static inline int
database_ctl(struct database *d, const char *what)
{
    return database_shell(
        "%s %s/pg_ctl -D %s/data -l %s/log -w -t 60 -o \"-c listen_addresses='' -k %s "
        "-c fsync=off -c shared_buffers=16MB\" %s >/dev/null 2>&1",
        d->as, d->bin, d->dir, d->dir, d->dir, what);
}

/* Applies migrations/ as headgate-controlplane migrate does. */
static inline void
database_migrate(struct database *d)
{
    struct migration_file files[200];
    struct db *owner = db_new_owner(d->owner_dsn, "test");
    struct buf texts[200], why;
    size_t applied, n;
    glob_t found;

    assert_non_null(owner);
    buf_init(&why, 0);
    assert_int_equal(glob("migrations/*.sql", 0, NULL, &found), 0);
    for (n = 0; n < found.gl_pathc && n < 200; n++) {
        buf_init(&texts[n], 0);
        assert_int_equal(file_read(found.gl_pathv[n], 1 << 20, false, &texts[n]), 0);
        files[n] = (struct migration_file){strrchr(found.gl_pathv[n], '/') + 1, buf_str(&texts[n]),
                                           texts[n].len};
    }
    if (migrate_run(owner, files, n, &applied, &why) != 0)
        fail_msg("migrate: %s", buf_str(&why));
    while (n-- > 0)
        buf_free(&texts[n]);
    buf_free(&why);
    globfree(&found);
    db_free(owner);
}

static inline int
database_start(struct database *d)
{
    log_init("test", LOG_ERROR + 1, 2);
    (void)snprintf(d->dir, sizeof(d->dir), "/tmp/headgate-pg-XXXXXX");
    (void)snprintf(d->as, sizeof(d->as), "%s", geteuid() == 0 ? "runuser -u postgres --" : "");
    if (!mkdtemp(d->dir) || !database_find_bin(d))
        return -1;
    if (geteuid() == 0 && database_shell("chown postgres %s", d->dir))
        return -1;
    if (database_shell("%s %s/initdb -D %s/data -A trust -U owner -N >/dev/null 2>&1", d->as,
                       d->bin, d->dir) ||
        database_ctl(d, "start"))
        return -1;
    (void)snprintf(d->owner_dsn, sizeof(d->owner_dsn), "host=%s user=owner dbname=postgres",
                   d->dir);
    (void)snprintf(d->app_dsn, sizeof(d->app_dsn), "host=%s user=headgate_app dbname=postgres",
                   d->dir);
    database_migrate(d);
    return 0;
}

static inline int
database_stop(struct database *d)
{
    (void)database_ctl(d, "-m immediate stop");
    return database_shell("rm -rf '%s'", d->dir);
}

/* The first cell of a query that must work, as a number. */
static inline int64_t
database_int(struct db *db, const char *sql)
{
    struct db_rows *rows = NULL;
    int64_t value;

    if (db_query(db, sql, NULL, 0, &rows) != 0)
        fail_msg("%s: %s", sql, db_error(db));
    assert_int_equal(db_count(rows), 1);
    value = db_int(rows, 0, 0);
    db_rows_free(rows);
    return value;
}

static inline void
database_do(struct db *db, const char *sql)
{
    if (db_query(db, sql, NULL, 0, NULL) != 0)
        fail_msg("%s: %s", sql, db_error(db));
}

#endif
