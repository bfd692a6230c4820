/*
 * A private PostgreSQL for one test program: a Unix socket in a temporary directory, no network. As
 * root it runs as the user postgres. pg_start() and pg_stop() are the setup and teardown of a test
 * group.
 */
#ifndef TESTS_UNIT_CONTROLPLANE_PG_H
#define TESTS_UNIT_CONTROLPLANE_PG_H

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/store/db.h"
#include "controlplane/store/migrate.h"

static char pg_dir[64], pg_bin[256];

__attribute__((format(printf, 1, 2))) static int
pg_run(const char *format, ...)
{
    char command[1024], line[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "%s%s >>%s/log.txt 2>&1",
             geteuid() == 0 ? "cd /tmp && runuser -u postgres -- " : "", command, pg_dir);
    return system(line);
}

static void
pg_find(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0)
        fail_msg("no PostgreSQL under /usr/lib/postgresql: run `make deps`");
    snprintf(pg_bin, sizeof(pg_bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static void
pg_up(void)
{
    if (pg_run("%s/pg_ctl -D %s/data -w -o \"-c listen_addresses='' -c fsync=off "
               "-c unix_socket_directories=%s\" start",
               pg_bin, pg_dir, pg_dir) != 0)
        fail_msg("PostgreSQL does not start: see %s/log.txt", pg_dir);
}

static void
pg_down(const char *mode)
{
    pg_run("%s/pg_ctl -D %s/data -m %s -w stop", pg_bin, pg_dir, mode);
}

static int
pg_start(void **state)
{
    char command[128];
    (void)state;
    pg_find();
    snprintf(pg_dir, sizeof(pg_dir), "/tmp/hgtest.XXXXXX");
    assert_non_null(mkdtemp(pg_dir));
    if (geteuid() == 0) {
        snprintf(command, sizeof(command), "chown postgres %s", pg_dir);
        assert_int_equal(system(command), 0);
    }
    if (pg_run("%s/initdb -D %s/data -A trust -U postgres -E UTF8 --locale=C --no-sync", pg_bin,
               pg_dir) != 0)
        fail_msg("initdb failed: see %s/log.txt", pg_dir);
    pg_up();
    return 0;
}

static int
pg_stop(void **state)
{
    char command[128];
    (void)state;
    pg_down("immediate");
    snprintf(command, sizeof(command), "rm -rf %s", pg_dir);
    return system(command);
}

static const char *
pg_dsn(const char *user, const char *database)
{
    static char dsn[2][256];
    static int turn;
    turn = !turn;
    snprintf(dsn[turn], sizeof(dsn[turn]), "host=%s user=%s dbname=%s", pg_dir, user, database);
    return dsn[turn];
}

static void
pg_sql(const char *database, const char *sql)
{
    struct db *db = db_new_owner(pg_dsn("postgres", database), "test");
    int err = db_script(db, sql);
    if (err)
        fail_msg("%s: %s", sql, db_error(db));
    db_free(db);
}

/* A database of its own for one test, owned by headgate_owner, who may make roles. */
static void
pg_database(const char *name)
{
    char sql[256];
    pg_sql("postgres",
           "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = "
           "'headgate_owner') THEN CREATE ROLE headgate_owner LOGIN CREATEROLE; END IF; "
           "END $$");
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s OWNER headgate_owner", name);
    pg_sql("postgres", sql);
}

__attribute__((unused)) static void
pg_migrated(const char *name)
{
    struct buf why;
    size_t applied;
    pg_database(name);
    struct db *owner = db_new_owner(pg_dsn("headgate_owner", name), "test");
    buf_init(&why, 0);
    if (migrate_run(owner, migration_files, migration_file_count, &applied, &why) != 0)
        fail_msg("%s", buf_str(&why));
    buf_free(&why);
    db_free(owner);
}

#endif
