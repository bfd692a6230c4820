/*
 * A private PostgreSQL for one test program: a Unix socket in a temporary directory, no network. As
 * root it runs as the user postgres. pg_start() and pg_stop() are the setup and teardown of a test
 * group.
 */
#ifndef TESTS_UNIT_CONTROLPLANE_PG_H
#define TESTS_UNIT_CONTROLPLANE_PG_H

#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/store/db.h"
#include "controlplane/store/migrate.h"

static char pg_dir[64], pg_bin[256];
static pid_t pg_pid;

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

/* The server, as a child that ends with this program, however that ends. */
static void
pg_exec(void)
{
    char program[300], data[100], sockets[128], log[100];
    const struct passwd *pw = getpwnam("postgres");
    snprintf(program, sizeof(program), "%s/postgres", pg_bin);
    snprintf(data, sizeof(data), "%s/data", pg_dir);
    snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", pg_dir);
    snprintf(log, sizeof(log), "%s/log.txt", pg_dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644); /* while we may */
    dup2(fd, 1);
    dup2(fd, 2);
    if (geteuid() == 0 && (!pw || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (chdir("/tmp") == 0)
        execl(program, program, "-D", data, "-c", "listen_addresses=", "-c", "fsync=off", "-c",
              sockets, (char *)NULL);
    _exit(127);
}

static void
pg_up(void)
{
    pg_pid = fork();
    if (pg_pid == 0)
        pg_exec();
    for (int i = 0; i < 600; i++) {
        if (pg_run("%s/pg_isready -q -h %s", pg_bin, pg_dir) == 0)
            return;
        usleep(50000);
    }
    fail_msg("PostgreSQL does not start: see %s/log.txt", pg_dir);
}

/* mode: "fast" or "immediate" */
static void
pg_down(const char *mode)
{
    kill(pg_pid, strcmp(mode, "immediate") == 0 ? SIGQUIT : SIGINT);
    waitpid(pg_pid, NULL, 0);
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
