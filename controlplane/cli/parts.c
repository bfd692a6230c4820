#include "controlplane/cli/parts.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/client.h"
#include "controlplane/cli/cluster.h"
#include "controlplane/cli/logs.h"
#include "lib/base/clock.h"

#define MAX_ARGS 48
#define MAX_ENV 512
#define PROBE_MS 1000
#define QUICK_MS 5000
#define STEP_MS 50

int
programs_find(const struct home *h, struct programs *ret_programs, char *why, size_t why_bytes)
{
    if (!process_beside("headgate-controlplane", ret_programs->control_plane,
                        sizeof(ret_programs->control_plane)) ||
        !process_beside("headgate-dataplane", ret_programs->data_plane,
                        sizeof(ret_programs->data_plane))) {
        snprintf(why, why_bytes,
                 "headgate-controlplane and headgate-dataplane must lie beside this program: build "
                 "them with `make`");
        return ERR_NOT_FOUND;
    }
    return cluster_find_programs(h, ret_programs->postgres_bin, why, why_bytes);
}

/* --- a command line that grows ------------------------------------------------------------------
 */

struct words {
    char *at[MAX_ARGS + 1];
    size_t count;
    bool failed;
};

/* One word, formatted; kept until words_fini(). */
__attribute__((format(printf, 2, 3))) static void
add(struct words *w, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (w->count == MAX_ARGS || vasprintf(&text, format, args) < 0)
        w->failed = true;
    else
        w->at[w->count++] = text;
    va_end(args);
}

static void
words_fini(struct words *w)
{
    while (w->count > 0)
        free(w->at[--w->count]);
}

/* --- environments ------------------------------------------------------------------------------
 */

static bool
ends_with(struct slice name, const char *suffix)
{
    return slice_ends(name, slice_of(suffix));
}

/* Credentials of providers, which only the control plane resolves; our own client's secrets, which
 * no daemon needs. */
static bool
is_secret_name(struct slice name)
{
    return ends_with(name, "_KEY") || ends_with(name, "_TOKEN") || ends_with(name, "_SECRET") ||
           ends_with(name, "_SECRET_ID") || ends_with(name, "_ACCESS_KEY_ID") ||
           ends_with(name, "_PASSWORD") || ends_with(name, "_CREDENTIALS") ||
           ends_with(name, "_JSON") || slice_starts(name, SLICE("PG"));
}

/* The caller's environment without what this daemon has no use for. keep_secrets: the control plane
 * resolves env: references. */
static void
make_environment(char **ret_env, bool keep_secrets)
{
    size_t n = 0;
    for (char **e = environ; *e && n < MAX_ENV; e++) {
        struct slice rest = slice_of(*e);
        struct slice name = slice_cut(&rest, '=');
        bool own = slice_is(name, "HEADGATE_API_KEY") || slice_is(name, "HEADGATE_ADMIN_TOKEN") ||
                   slice_is(name, "HEADGATE_DATABASE_URL");
        if (!own && (keep_secrets || !is_secret_name(name)))
            ret_env[n++] = *e;
    }
    ret_env[n] = NULL;
}

static int
start_daemon(const struct home *h, const char *program, struct words *w, const char *log_name,
             bool drop, bool keep_secrets, struct process *ret_process, char *why, size_t why_bytes)
{
    char log[HOME_PATH_BYTES];
    char *env[MAX_ENV + 1];
    make_environment(env, keep_secrets);
    if (w->failed || !home_path(h, log, sizeof(log), log_name)) {
        snprintf(why, why_bytes, "the command line is too long");
        return ERR_LIMIT;
    }
    struct spawn s = {.program = program,
                      .argv = w->at,
                      .env = env,
                      .log = log,
                      .output = -1,
                      .drop = drop && geteuid() == 0,
                      .user = h->user,
                      .uid = h->uid,
                      .gid = h->gid};
    return process_spawn(&s, ret_process, why, why_bytes);
}

/* What both planes are told. */
static void
add_common(struct words *w, const struct home *h)
{
    add(w, "--bus-pub");
    add(w, "ipc://%s/pub.sock", h->run);
    add(w, "--bus-req");
    add(w, "ipc://%s/req.sock", h->run);
    add(w, "--seal-key");
    add(w, "%s/secrets/seal.key", h->data);
    add(w, "--log-level");
    add(w, "%s", h->log_level);
}

/* --- the parts ---------------------------------------------------------------------------------
 */

static int
start_postgres(const struct home *h, const struct programs *programs, struct process *ret_process,
               char *why, size_t why_bytes)
{
    return cluster_start(h, programs->postgres_bin, ret_process, why, why_bytes);
}

/* Where a browser of this machine reaches us in clear. */
static bool
is_loopback(const char *url)
{
    struct slice text = slice_of(url);
    return slice_starts(text, SLICE("http://127.0.0.1:")) ||
           slice_starts(text, SLICE("http://localhost:")) ||
           slice_starts(text, SLICE("http://[::1]:"));
}

static int
start_control_plane(const struct home *h, const struct programs *programs,
                    struct process *ret_process, char *why, size_t why_bytes)
{
    struct words w = {0};
    char dsn[HOME_PATH_BYTES + 128], url[HOME_ADDRESS_BYTES + 16];
    cluster_dsn(h, "headgate_app", dsn, sizeof(dsn));
    add(&w, "headgate-controlplane");
    add(&w, "serve");
    add(&w, "--database");
    add(&w, "%s", dsn);
    add(&w, "--admin-listen");
    add(&w, "%s", h->admin);
    home_url(h->admin, url, sizeof(url));
    if (!getenv("HEADGATE_ADMIN_PUBLIC_URL") && is_loopback(url)) { /* else the daemon reads it */
        add(&w, "--admin-public-url");
        add(&w, "%s", url);
    }
    add(&w, "--sign-key");
    add(&w, "%s/secrets/sign.key", h->data);
    add(&w, "--state-dir");
    add(&w, "%s/control", h->data);
    add(&w, "--credentials-dir");
    add(&w, "%s/credentials", h->data);
    add_common(&w, h);
    int e = start_daemon(h, programs->control_plane, &w, "log/controlplane.log", true, true,
                         ret_process, why, why_bytes);
    words_fini(&w);
    return e;
}

/* As root it opens its sockets first and then becomes --user itself. */
static int
start_data_plane(const struct home *h, const struct programs *programs, struct process *ret_process,
                 char *why, size_t why_bytes)
{
    struct words w = {0};
    add(&w, "headgate-dataplane");
    add(&w, "--listen");
    add(&w, "%s", h->listen);
    add(&w, "--metrics-listen");
    add(&w, "%s", h->metrics);
    if (h->workers > 0) {
        add(&w, "--workers");
        add(&w, "%ld", h->workers);
    }
    add(&w, "--state-dir");
    add(&w, "%s/state", h->data);
    add(&w, "--verify-key");
    add(&w, "%s/secrets/verify.pub", h->data);
    add(&w, "--drain-ms");
    add(&w, "%ld", h->drain_ms);
    if (geteuid() == 0) {
        add(&w, "--user");
        add(&w, "%s", h->user);
    }
    add_common(&w, h);
    struct slice rest = slice_of(h->data_plane_args);
    while (rest.at) {
        struct slice word = slice_cut(&rest, ' ');
        if (word.len)
            add(&w, "%.*s", SLICE_ARG(word));
    }
    int e = start_daemon(h, programs->data_plane, &w, "log/dataplane.log", false, false,
                         ret_process, why, why_bytes);
    words_fini(&w);
    return e;
}

static bool
answers_ready(const char *address)
{
    char url[HOME_ADDRESS_BYTES + 32];
    home_url(address, url, sizeof(url));
    size_t n = strlen(url);
    snprintf(url + n, sizeof(url) - n, "/readyz");
    return client_probe(url, NULL, PROBE_MS) == 200;
}

static bool
control_plane_is_ready(const struct home *h, const struct process *p)
{
    (void)p;
    return answers_ready(h->admin);
}

static bool
data_plane_is_ready(const struct home *h, const struct process *p)
{
    (void)p;
    return answers_ready(h->listen);
}

/* PostgreSQL: SIGINT is its fast shutdown, SIGQUIT the immediate one. The data plane: SIGTERM
 * drains, a second one ends it. */
const struct part parts[PART_COUNT] = {
    [PART_POSTGRES] = {"postgres", "PostgreSQL", start_postgres, cluster_is_ready, 120000, SIGINT,
                       SIGQUIT},
    [PART_CONTROL_PLANE] = {"controlplane", "the control plane", start_control_plane,
                            control_plane_is_ready, 30000, SIGTERM, SIGKILL},
    [PART_DATA_PLANE] = {"dataplane", "the data plane", start_data_plane, data_plane_is_ready,
                         30000, SIGTERM, SIGQUIT},
};

/* --- stopping ----------------------------------------------------------------------------------
 */

int64_t
part_stop_ms(const struct home *h, enum part_id id)
{
    switch (id) {
    case PART_DATA_PLANE:
        return h->drain_ms + 5000;
    case PART_POSTGRES:
    case PART_CONTROL_PLANE:
    case PART_COUNT:
        break;
    }
    return 20000;
}

bool
part_hurry(void)
{
    return true;
}

/* Waits for an orderly stop; false when it took too long or there is no time. */
static bool
wait_orderly(const struct home *h, enum part_id id, const struct process *p, bool (*hurry)(void))
{
    int64_t deadline = clock_mono_ms() + part_stop_ms(h, id);
    do /* at least one step: two signals at once would merge into one */
        if (process_wait_gone(p, STEP_MS))
            return true;
    while (!hurry() && clock_mono_ms() < deadline);
    return false;
}

void
part_stop(const struct home *h, enum part_id id, const struct process *p, bool (*hurry)(void))
{
    process_signal(p, parts[id].stop_signal);
    if (wait_orderly(h, id, p, hurry))
        return;
    process_signal(p, parts[id].quick_signal);
    if (process_wait_gone(p, QUICK_MS))
        return;
    process_signal(p, SIGKILL);
    process_wait_gone(p, QUICK_MS);
}

/* --- the database's schema ----------------------------------------------------------------------
 */

int
parts_migrate(const struct home *h, const struct programs *programs, char *why, size_t why_bytes)
{
    struct words w = {0};
    char dsn[HOME_PATH_BYTES + 128], log[HOME_PATH_BYTES], line[400];
    char *env[MAX_ENV + 1];
    make_environment(env, false);
    cluster_dsn(h, "headgate_owner", dsn, sizeof(dsn));
    add(&w, "headgate-controlplane");
    add(&w, "migrate");
    add(&w, "--owner-database");
    add(&w, "%s", dsn);
    int e = w.failed || !home_path(h, log, sizeof(log), "log/migrate.log") ? ERR_LIMIT : 0;
    struct spawn s = {.program = programs->control_plane,
                      .argv = w.at,
                      .env = env,
                      .log = log,
                      .output = -1,
                      .same_session = true};
    if (e == 0)
        e = process_run(&s, why, why_bytes);
    words_fini(&w);
    if (e <= 0)
        return e;
    logs_last_line(log, line, sizeof(line));
    snprintf(why, why_bytes, "the database could not be brought up to date: %s (%s)", line, log);
    return ERR_IO;
}

void
part_last_log(const struct home *h, enum part_id id, char *ret_line, size_t bytes)
{
    char path[HOME_PATH_BYTES], below[64];
    ret_line[0] = '\0';
    snprintf(below, sizeof(below), "log/%s.log", parts[id].name);
    if (home_path(h, path, sizeof(path), below))
        logs_last_line(path, ret_line, bytes);
}
