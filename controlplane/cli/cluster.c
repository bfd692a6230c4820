#include "controlplane/cli/cluster.h"

#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/cli/logs.h"
#include "lib/base/file.h"

/* Small, durable, and reachable by the socket only. */
static const char settings[] =
    "# Written by `headgate up` when this cluster was made; yours to change.\n"
    "listen_addresses = ''\n"
    "unix_socket_permissions = 0700\n"
    "max_connections = 60\n"
    "shared_buffers = 32MB\n"
    "work_mem = 4MB\n"
    "maintenance_work_mem = 32MB\n"
    "max_wal_size = 512MB\n"
    "max_parallel_workers_per_gather = 0\n"
    "huge_pages = off\n"
    "jit = off\n"
    "timezone = 'UTC'\n"
    "log_timezone = 'UTC'\n"
    "log_checkpoints = off\n"
    "log_line_prefix = '%m [%p] %q%u@%d '\n";

/* --- programs ----------------------------------------------------------------------------------
 */

static bool
has_programs(const char *bin)
{
    char path[HOME_PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s/postgres", bin);
    bool server = access(path, X_OK) == 0;
    snprintf(path, sizeof(path), "%s/initdb", bin);
    return server && access(path, X_OK) == 0;
}

/* The major version in ".../16/bin" or ".../pgsql-16/bin"; 0: none. */
static unsigned long long
version_of(const char *bin)
{
    unsigned long long v = 0;
    const char *end = strrchr(bin, '/');
    const char *at = end;
    while (at && at > bin && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return at && at < end && slice_to_u64(slice_make(at, (size_t)(end - at)), &v) == 0 ? v : 0;
}

/* The newest installed one, or that of one version. */
static unsigned long long
newest(unsigned long long wanted, char ret_bin[static HOME_PATH_BYTES])
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", NULL};
    unsigned long long best = 0;
    for (const char *const *pattern = patterns; *pattern; pattern++) {
        glob_t found;
        if (glob(*pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc; i++) {
            unsigned long long v = version_of(found.gl_pathv[i]);
            if (v <= best || (wanted && v != wanted) || !has_programs(found.gl_pathv[i]))
                continue;
            best = v;
            snprintf(ret_bin, HOME_PATH_BYTES, "%s", found.gl_pathv[i]);
        }
        globfree(&found);
    }
    return best;
}

/* The version a cluster was made with; 0: there is none. */
static unsigned long long
cluster_version(const struct home *h)
{
    char path[HOME_PATH_BYTES];
    unsigned long long v = 0;
    struct buf text;
    buf_init(&text, 0);
    if (!home_data_path(h, path, sizeof(path), "postgres/PG_VERSION") ||
        file_read(path, 64, true, &text) != 0 ||
        slice_to_u64(slice_make(text.at, text.len ? text.len - 1 : 0), &v) != 0)
        v = 0;
    buf_free(&text);
    return v;
}

int
cluster_find_programs(const struct home *h, char ret_bin[static HOME_PATH_BYTES], char *why,
                      size_t why_bytes)
{
    const char *given = getenv("HEADGATE_POSTGRES_BIN");
    unsigned long long made = cluster_version(h);
    if (given && *given) {
        snprintf(ret_bin, HOME_PATH_BYTES, "%s", given);
        if (has_programs(given))
            return 0;
        snprintf(why, why_bytes, "HEADGATE_POSTGRES_BIN=%s holds no postgres and initdb", given);
        return ERR_NOT_FOUND;
    }
    unsigned long long v = newest(made, ret_bin);
    if (v >= CLUSTER_OLDEST)
        return 0;
    if (made)
        snprintf(why, why_bytes,
                 "the database in %s was made by PostgreSQL %llu, which is not installed: "
                 "apt-get install postgresql-%llu",
                 h->data, made, made);
    else if (v)
        snprintf(why, why_bytes, "PostgreSQL %llu is too old: %d or newer is needed", v,
                 CLUSTER_OLDEST);
    else
        snprintf(why, why_bytes,
                 "PostgreSQL is not installed: apt-get install postgresql (or set "
                 "HEADGATE_POSTGRES_BIN to the folder of its programs)");
    return ERR_NOT_FOUND;
}

/* --- running its programs ------------------------------------------------------------------------
 */

/* A small environment: nothing of the caller's reaches the server. */
static char *const environment[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C.UTF-8"},
                                    (char[]){"TZ=UTC"}, NULL};

static struct spawn
spawn_of(const struct home *h, const char *program, char *const *argv, const char *log)
{
    return (struct spawn){.program = program,
                          .argv = argv,
                          .env = environment,
                          .log = log,
                          .output = -1,
                          .drop = geteuid() == 0,
                          .user = h->user,
                          .uid = h->uid,
                          .gid = h->gid,
                          .same_session = true};
}

static int
run_program(const struct home *h, const char *program, char *const *argv, char *why,
            size_t why_bytes)
{
    char log[HOME_PATH_BYTES], line[300];
    if (!home_path(h, log, sizeof(log), "log/initdb.log"))
        return ERR_LIMIT;
    struct spawn s = spawn_of(h, program, argv, log);
    int status = process_run(&s, why, why_bytes);
    if (status == 0)
        return 0;
    if (status > 0) {
        logs_last_line(log, line, sizeof(line));
        snprintf(why, why_bytes, "%s failed (%d): %s (%s)", program, status, line, log);
    }
    return ERR_IO;
}

/* --- making it ---------------------------------------------------------------------------------
 */

static int
write_file(const struct home *h, const char *dir, const char *name, const char *text)
{
    char path[HOME_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int e = file_replace(path, slice_of(text), 0600);
    if (e == 0 && geteuid() == 0 && lchown(path, h->uid, h->gid) < 0)
        e = ERR_IO;
    return e;
}

/* Whoever runs the processes is the application; whoever ran `up` may be the owner too. */
static int
write_access(const struct home *h, const char *dir)
{
    char ident[400];
    const struct passwd *p = getpwuid(h->uid);
    const char *user = p ? p->pw_name : h->user;
    const char *owner = geteuid() == 0 ? "root" : user;
    snprintf(ident, sizeof(ident),
             "# MAP SYSTEM-USERNAME PG-USERNAME\n"
             "headgate \"%s\" headgate_app\n"
             "headgate \"%s\" headgate_owner\n"
             "headgate \"%s\" headgate_app\n",
             user, owner, owner);
    int e = write_file(h, dir, "pg_ident.conf", ident);
    return e != 0 ? e
                  : write_file(h, dir, "pg_hba.conf",
                               "# The socket only, and only the gateway's own users.\n"
                               "local all headgate_owner peer map=headgate\n"
                               "local headgate headgate_app peer map=headgate\n");
}

static int
write_settings(const struct home *h, const char *dir)
{
    char text[128];
    int e = write_file(h, dir, "headgate.conf", settings);
    snprintf(text, sizeof(text), "include 'headgate.conf'\n");
    if (e == 0)
        e = write_file(h, dir, "postgresql.conf", text);
    return e == 0 ? write_access(h, dir) : e;
}

static int
run_initdb(const struct home *h, const char *bin, const char *dir, char *why, size_t why_bytes)
{
    char program[HOME_PATH_BYTES + 16], data[HOME_PATH_BYTES + 32];
    snprintf(program, sizeof(program), "%s/initdb", bin);
    snprintf(data, sizeof(data), "--pgdata=%s", dir);
    char *argv[] = {program,
                    data,
                    (char[]){"--username=headgate_owner"},
                    (char[]){"--encoding=UTF8"},
                    (char[]){"--locale=C.UTF-8"},
                    (char[]){"--auth=peer"},
                    (char[]){"--data-checksums"},
                    (char[]){"--no-sync"}, /* synced when it is complete */
                    NULL};
    return run_program(h, program, argv, why, why_bytes);
}

/* CREATE DATABASE by the single-user server: no connection, no password, no client programs. */
static int
create_database(const struct home *h, const char *bin, const char *dir, char *why, size_t why_bytes)
{
    char program[16] = "/bin/sh", server[HOME_PATH_BYTES + 16], data[HOME_PATH_BYTES + 16];
    snprintf(server, sizeof(server), "%s/postgres", bin);
    snprintf(data, sizeof(data), "%s", dir);
    char *argv[] = {program,
                    (char[]){"-c"},
                    (char[]){"echo 'CREATE DATABASE headgate' | \"$1\" --single -F -D \"$2\" "
                             "postgres"},
                    (char[]){"sh"},
                    server,
                    data,
                    NULL};
    return run_program(h, program, argv, why, why_bytes);
}

static int
sync_cluster(const struct home *h, const char *bin, const char *dir, char *why, size_t why_bytes)
{
    char program[HOME_PATH_BYTES + 16], data[HOME_PATH_BYTES + 32];
    snprintf(program, sizeof(program), "%s/initdb", bin);
    snprintf(data, sizeof(data), "--pgdata=%s", dir);
    char *argv[] = {program, (char[]){"--sync-only"}, data, NULL};
    return run_program(h, program, argv, why, why_bytes);
}

/* rm -rf of a half-made cluster, as its user. */
static int
remove_tree(const struct home *h, const char *dir, char *why, size_t why_bytes)
{
    char program[16] = "/bin/rm", path[HOME_PATH_BYTES];
    snprintf(path, sizeof(path), "%s", dir);
    if (access(dir, F_OK) < 0)
        return 0;
    char *argv[] = {program, (char[]){"-rf"}, (char[]){"--"}, path, NULL};
    return run_program(h, program, argv, why, why_bytes);
}

bool
cluster_is_made(const struct home *h)
{
    return cluster_version(h) != 0;
}

/* initdb makes its own directory, in one that belongs to its user. */
static int
make_parent(const struct home *h, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return ERR_IO;
    return geteuid() == 0 && lchown(path, h->uid, h->gid) < 0 ? ERR_IO : 0;
}

/* Made under another name and renamed when complete: there is never half a cluster. */
int
cluster_init(const struct home *h, const char *bin, bool *ret_made, char *why, size_t why_bytes)
{
    char making[HOME_PATH_BYTES], final[HOME_PATH_BYTES], link[HOME_PATH_BYTES];
    *ret_made = false;
    if (cluster_is_made(h))
        return 0;
    snprintf(why, why_bytes, "cannot set up the database in %s", h->data);
    if (!home_data_path(h, making, sizeof(making), "postgres.new") ||
        !home_data_path(h, final, sizeof(final), "postgres"))
        return ERR_LIMIT;
    int e = remove_tree(h, making, why, why_bytes);
    if (e == 0 && make_parent(h, making) != 0)
        e = ERR_IO;
    if (e == 0)
        e = run_initdb(h, bin, making, why, why_bytes);
    if (e == 0)
        e = write_settings(h, making);
    if (e == 0)
        e = create_database(h, bin, making, why, why_bytes);
    if (e == 0)
        e = sync_cluster(h, bin, making, why, why_bytes);
    if (e == 0 && rename(making, final) < 0)
        e = ERR_IO;
    if (e == 0 && home_path(h, link, sizeof(link), "postgres") && strcmp(link, final) != 0 &&
        symlink(final, link) < 0 && errno != EEXIST)
        e = ERR_IO;
    *ret_made = e == 0;
    return e;
}

/* --- running it --------------------------------------------------------------------------------
 */

int
cluster_start(const struct home *h, const char *bin, struct process *ret_process, char *why,
              size_t why_bytes)
{
    char program[HOME_PATH_BYTES + 16], data[HOME_PATH_BYTES], sockets[HOME_PATH_BYTES + 32];
    char log[HOME_PATH_BYTES];
    snprintf(program, sizeof(program), "%s/postgres", bin);
    snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", h->run);
    if (!home_data_path(h, data, sizeof(data), "postgres") ||
        !home_path(h, log, sizeof(log), "log/postgres.log"))
        return ERR_LIMIT;
    char *argv[] = {program, (char[]){"-D"}, data, (char[]){"-c"}, sockets, NULL};
    struct spawn s = spawn_of(h, program, argv, log);
    s.same_session = false;
    return process_spawn(&s, ret_process, why, why_bytes);
}

/* The server writes its state into line 8 of postmaster.pid, its pid into line 1. */
bool
cluster_is_ready(const struct home *h, const struct process *p)
{
    char path[HOME_PATH_BYTES], pid[32];
    struct buf text;
    buf_init(&text, 0);
    bool ready = false;
    snprintf(pid, sizeof(pid), "%d", (int)p->pid);
    if (home_data_path(h, path, sizeof(path), "postgres/postmaster.pid") &&
        file_read(path, 4096, true, &text) == 0) {
        struct slice rest = buf_slice(&text), line = {0};
        ready = slice_is(slice_cut(&rest, '\n'), pid);
        for (int i = 2; i <= 8; i++)
            line = slice_cut(&rest, '\n');
        ready = ready && slice_is(slice_trim(line), "ready");
    }
    buf_free(&text);
    return ready;
}

/* A value of a connection string in quotes, with what must be escaped. */
static void
quote(const char *text, char *ret_text, size_t bytes)
{
    size_t n = 0;
    ret_text[n++] = '\'';
    for (; *text && n + 4 < bytes; text++) {
        if (*text == '\'' || *text == '\\')
            ret_text[n++] = '\\';
        ret_text[n++] = *text;
    }
    ret_text[n++] = '\'';
    ret_text[n] = '\0';
}

void
cluster_dsn(const struct home *h, const char *role, char *ret_dsn, size_t bytes)
{
    char host[HOME_PATH_BYTES + 64];
    quote(h->run, host, sizeof(host));
    snprintf(ret_dsn, bytes, "host=%s dbname=headgate user=%s", host, role);
}
