/*
 * headgate up: everything that is missing is made, everything that is down is started, and what
 * runs is left alone. The processes belong to a supervisor (supervise.c) that outlives this program
 * with
 * --detach, and ends with it otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/cli/addresses.h"
#include "controlplane/cli/cli.h"
#include "controlplane/cli/cluster.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/config_file.h"
#include "controlplane/cli/parts.h"
#include "controlplane/cli/setup.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"

#define POLL_MS 50
#define WHY_BYTES 2048
#define REPAIR_MS 60000

enum { SUPERVISOR_GONE = -2 };

struct up {
    struct cli cli;
    struct home home;
    struct programs programs;
    struct config_file config;
    /* options; NULL or 0: not given */
    const char *listen, *admin, *metrics, *config_path, *log_level, *data_plane_args;
    long workers, drain_ms;
    bool detach;
    /* progress */
    int progress; /* the supervisor's pipe, or -1 */
    struct process supervisor;
    bool fresh_control_plane;
    int64_t started_ms;
};

static volatile sig_atomic_t stop_signals;

static void
on_stop(int signo)
{
    (void)signo;
    stop_signals++;
}

static bool
is_stopped(void)
{
    return stop_signals != 0;
}

static void
say(const char *text)
{
    fprintf(stderr, "  %s\n", text);
}

/* --- options ------------------------------------------------------------------------------------
 */

static int
take_text(const char *name, const char *given, char *into, size_t bytes)
{
    if (!given)
        return CLI_OK;
    if (strlen(given) >= bytes)
        return cli_fail("%s is too long", name);
    snprintf(into, bytes, "%s", given);
    return CLI_OK;
}

/* What was given replaces what an earlier start was given; the rest stays. */
static int
merge_options(struct up *u)
{
    struct home *h = &u->home;
    if (take_text("--listen", u->listen, h->listen, sizeof(h->listen)) != CLI_OK ||
        take_text("--admin", u->admin, h->admin, sizeof(h->admin)) != CLI_OK ||
        take_text("--metrics", u->metrics, h->metrics, sizeof(h->metrics)) != CLI_OK ||
        take_text("--log-level", u->log_level, h->log_level, sizeof(h->log_level)) != CLI_OK ||
        take_text("--data-plane-args", u->data_plane_args, h->data_plane_args,
                  sizeof(h->data_plane_args)) != CLI_OK)
        return CLI_FAILED;
    if (u->workers > 0)
        h->workers = u->workers;
    if (u->drain_ms > 0)
        h->drain_ms = u->drain_ms;
    return CLI_OK;
}

static bool
differs(const char *given, const char *now)
{
    /* Port 0 was resolved when the gateway started. */
    size_t n = given ? strlen(given) : 0;
    return given && strcmp(given, now) != 0 && !(n > 2 && strcmp(given + n - 2, ":0") == 0);
}

/* A gateway that runs is left as it is: other options for it are an error, not ignored. */
static int
check_same_options(const struct up *u)
{
    const struct home *h = &u->home;
    const char *what = differs(u->listen, h->listen)                   ? "--listen"
                       : differs(u->admin, h->admin)                   ? "--admin"
                       : differs(u->metrics, h->metrics)               ? "--metrics"
                       : differs(u->log_level, h->log_level)           ? "--log-level"
                       : u->workers > 0 && u->workers != h->workers    ? "--workers"
                       : u->drain_ms > 0 && u->drain_ms != h->drain_ms ? "--drain-ms"
                                                                       : NULL;
    if (!what)
        return CLI_OK;
    return cli_fail("the gateway in %s runs with another %s: `headgate down --home %s` first",
                    h->dir, what, h->dir);
}

/* --- the supervisor ------------------------------------------------------------------------------
 */

static int
start_supervisor(struct up *u)
{
    char log[HOME_PATH_BYTES], self[HOME_PATH_BYTES], why[WHY_BYTES], fd[16];
    int out[2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0 || !home_path(&u->home, log, sizeof(log), "log/supervisor.log") || pipe(out) < 0)
        return cli_fail("cannot start the supervisor: %s", strerror(errno));
    self[n] = '\0';
    fcntl(out[0], F_SETFD, FD_CLOEXEC);
    snprintf(fd, sizeof(fd), "%d", out[1]);
    char *argv[] = {(char[]){"headgate"},
                    (char[]){"supervise"},
                    (char[]){"--home"},
                    u->home.dir,
                    (char[]){"--progress-fd"},
                    fd,
                    u->detach ? NULL : (char[]){"--foreground"},
                    NULL};
    struct spawn s = {.program = self, .argv = argv, .env = environ, .log = log, .output = -1};
    int e = process_spawn(&s, &u->supervisor, why, sizeof(why));
    close(out[1]);
    if (e != 0) {
        close(out[0]);
        return cli_fail("%s", why);
    }
    u->progress = out[0];
    return CLI_OK;
}

/* One line of the supervisor's: 1 ready, 0 go on, CLI_FAILED (as -1) with the error printed. */
static int
on_line(char *line)
{
    if (line[0] == 'R')
        return 1;
    if (line[0] == 'P')
        say(line + 2);
    if (line[0] != 'E')
        return 0;
    cli_fail("%s", line + 2);
    return -1;
}

/* Shows the supervisor's progress until all is ready. */
static int
follow_progress(struct up *u)
{
    char line[WHY_BYTES + 64];
    size_t len = 0;
    for (bool told = false;;) {
        char c;
        if (stop_signals && !told) {
            process_signal(&u->supervisor, SIGTERM);
            told = true;
        }
        ssize_t n = read(u->progress, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return stop_signals ? cli_fail("interrupted")
                                : cli_fail("the supervisor stopped (see %s/log/supervisor.log)",
                                           u->home.dir);
        if (c != '\n') {
            if (len < sizeof(line) - 1)
                line[len++] = c;
            continue;
        }
        line[len] = '\0';
        len = 0;
        int r = on_line(line);
        if (r != 0)
            return r > 0 ? CLI_OK : CLI_FAILED;
    }
}

/* A supervisor runs: it repairs what is down by itself; this waits for it. SUPERVISOR_GONE: it was
 * on its way out, and another is needed. */
static int
wait_repaired(struct up *u)
{
    int64_t deadline = clock_mono_ms() + REPAIR_MS;
    for (int id = 0; id < PART_COUNT; id++)
        for (bool said = false;; said = true) {
            struct process p = process_load(&u->home, parts[id].name);
            if (p.pid > 0 && parts[id].is_ready(&u->home, &p))
                break;
            if (stop_signals)
                return cli_fail("interrupted");
            if (!process_is_alive(&u->supervisor))
                return SUPERVISOR_GONE;
            if (clock_mono_ms() >= deadline)
                return cli_fail("%s does not come up (see %s/log/%s.log)", parts[id].title,
                                u->home.dir, parts[id].name);
            if (!said)
                fprintf(stderr, "  waiting for %s\n", parts[id].title);
            process_pause(POLL_MS);
        }
    return process_is_alive(&u->supervisor) ? CLI_OK : SUPERVISOR_GONE;
}

/* --- the summary ---------------------------------------------------------------------------------
 */

static int
print_json(const struct up *u, const struct setup *s)
{
    char url[HOME_ADDRESS_BYTES + 16];
    struct json *j = json_new_map();
    int e = j ? json_set_str(j, "home", u->home.dir) : ERR_NOMEM;
    home_url(u->home.listen, url, sizeof(url));
    if (e == 0)
        e = json_set_str(j, "url", url);
    if (e == 0)
        e = json_set_str(j, "api_key", s->key);
    home_url(u->home.admin, url, sizeof(url));
    if (e == 0)
        e = json_set_str(j, "admin_url", url);
    if (e == 0)
        e = json_set_str(j, "admin_token", s->token);
    home_url(u->home.metrics, url, sizeof(url));
    if (e == 0)
        e = json_set_str(j, "metrics_url", url);
    e = e == 0 ? cli_print_json(j) : cli_fail("out of memory");
    json_free(j);
    return e;
}

static void
print_summary(const struct up *u, const struct setup *s, bool was_running)
{
    char url[HOME_ADDRESS_BYTES + 16], admin[HOME_ADDRESS_BYTES + 16];
    char metrics[HOME_ADDRESS_BYTES + 16];
    home_url(u->home.listen, url, sizeof(url));
    home_url(u->home.admin, admin, sizeof(admin));
    home_url(u->home.metrics, metrics, sizeof(metrics));
    printf("\nHeadgate %s (%lld ms).\n\n", was_running ? "was running already" : "is up",
           (long long)(clock_mono_ms() - u->started_ms));
    printf("  API          %s/v1\n", url);
    printf("  API key      %s\n", s->key);
    printf("  Admin API    %s/api/v1\n", admin);
    printf("  Admin token  %s\n", s->token);
    printf("  Metrics      %s/metrics\n", metrics);
    printf("  Environment  %s/env\n\n", u->home.dir);
    printf("Try it:\n\n  curl %s/v1/chat/completions -H 'Authorization: Bearer %s' "
           "-H 'Content-Type: application/json' -d '{\"model\":\"simulator\",\"messages\":"
           "[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n\n",
           url, s->key);
    if (!u->detach && !was_running)
        printf("Ctrl-C stops it.\n");
    else
        printf("Stop it with: headgate down --home %s\n", u->home.dir);
    fflush(stdout);
}

/* --- the command ---------------------------------------------------------------------------------
 */

/* Holds DIR itself, so that two `up` do not make the same things at once. */
static int
lock_home(const struct up *u)
{
    if (file_make_dirs(u->home.dir, 0700) != 0)
        return cli_fail("cannot make %s: %s", u->home.dir, strerror(errno)), -1;
    int fd = open(u->home.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0)
        if (errno != EINTR || stop_signals)
            return cli_fail("cannot lock %s: %s", u->home.dir, strerror(errno)), -1;
    if (fd < 0)
        cli_fail("cannot open %s: %s", u->home.dir, strerror(errno));
    return fd;
}

/* A gateway belongs to who made it: root would leave files behind that an ordinary user cannot
 * read, and the other way round it cannot work. */
static int
check_owner(const struct home *h)
{
    struct stat st;
    char path[HOME_PATH_BYTES];
    if (!h->exists || !home_path(h, path, sizeof(path), "gateway.json") || stat(path, &st) < 0 ||
        st.st_uid == geteuid())
        return CLI_OK;
    return cli_fail("the gateway in %s belongs to another user (uid %u): run this as that user, or "
                    "choose another directory with --home",
                    h->dir, (unsigned)st.st_uid);
}

/* All that can be known to be wrong before anything is changed. */
static int
check_all(struct up *u)
{
    char why[WHY_BYTES];
    enum log_level level;
    if (u->log_level && log_parse_level(u->log_level, &level) != 0)
        return cli_fail("--log-level must be debug, info, warn or error, not \"%s\"", u->log_level);
    if (check_owner(&u->home) != CLI_OK)
        return CLI_FAILED;
    if (u->config_path && config_file_read(&u->config, u->config_path) != CLI_OK)
        return CLI_FAILED;
    if (programs_find(&u->home, &u->programs, why, sizeof(why)) != 0)
        return cli_fail("%s", why);
    if (u->home.exists && process_load(&u->home, "supervisor").pid > 0)
        return check_same_options(u);
    if (merge_options(u) != CLI_OK)
        return CLI_FAILED;
    return addresses_check(&u->home, is_stopped);
}

static int
initialise(struct up *u)
{
    char why[WHY_BYTES];
    bool made = false;
    if (home_init(&u->home) != 0)
        return CLI_FAILED;
    if (!cluster_is_made(&u->home))
        say("creating the database");
    if (cluster_init(&u->home, u->programs.postgres_bin, &made, why, sizeof(why)) != 0)
        return cli_fail("%s", why);
    return CLI_OK;
}

static int
bring_up(struct up *u, bool *ret_was_running)
{
    u->supervisor = process_load(&u->home, "supervisor");
    *ret_was_running = u->supervisor.pid > 0;
    int e = *ret_was_running ? wait_repaired(u) : SUPERVISOR_GONE;
    if (e != SUPERVISOR_GONE)
        return e;
    *ret_was_running = false;
    e = initialise(u);
    u->fresh_control_plane = process_load(&u->home, parts[PART_CONTROL_PLANE].name).pid == 0;
    if (e == CLI_OK)
        e = start_supervisor(u);
    if (e == CLI_OK)
        e = follow_progress(u);
    return e;
}

/* Foreground: until a signal, or the end of the supervisor. */
static int
stay(struct up *u)
{
    char line[WHY_BYTES];
    bool asked = false, hurried = false;
    int flags = fcntl(u->progress, F_GETFL);
    fcntl(u->progress, F_SETFL, flags | O_NONBLOCK);
    while (process_is_alive(&u->supervisor)) {
        if (stop_signals && !asked) {
            fprintf(stderr, "\n  stopping; once more makes it quick\n");
            process_signal(&u->supervisor, SIGTERM);
            asked = true;
        }
        if (stop_signals > 1 && !hurried) {
            process_signal(&u->supervisor, SIGTERM);
            hurried = true;
        }
        while (read(u->progress, line, sizeof(line)) > 0)
            continue; /* its lines on the way down are not needed */
        process_pause(POLL_MS);
        waitpid(u->supervisor.pid, NULL, WNOHANG);
    }
    return asked ? CLI_OK
                 : cli_fail("the supervisor ended; run the same command again (see %s/log)",
                            u->home.dir);
}

/* After a failure: what this run started does not stay behind half set up. */
static int
give_up(struct up *u, bool was_running)
{
    if (!was_running && u->supervisor.pid > 0) {
        process_signal(&u->supervisor, SIGTERM);
        process_wait_gone(&u->supervisor, 60000);
    }
    return CLI_FAILED;
}

/* The checks, then the lock; a home that another `up` made meanwhile is looked at again. */
static int
check_and_lock(struct up *u, int *ret_lock)
{
    bool was_there = u->home.exists;
    *ret_lock = was_there ? lock_home(u) : -1;
    if (was_there && *ret_lock < 0)
        return CLI_FAILED;
    if (check_all(u) != CLI_OK)
        return CLI_FAILED;
    if (was_there)
        return CLI_OK;
    if ((*ret_lock = lock_home(u)) < 0)
        return CLI_FAILED;
    struct home now;
    int e = home_open(&now, u->home.dir);
    if (e == ERR_NOT_FOUND)
        return CLI_OK;
    u->home = now;
    config_file_free(&u->config);
    return e == 0 ? check_all(u) : CLI_FAILED;
}

static int
run(struct up *u)
{
    bool was_running = false;
    int lock;
    if (check_and_lock(u, &lock) != CLI_OK)
        return CLI_FAILED;
    int e = bring_up(u, &was_running);
    struct setup s = {.home = &u->home,
                      .programs = &u->programs,
                      .config = u->config_path ? &u->config : NULL,
                      .fresh_control_plane = u->fresh_control_plane,
                      .progress = say};
    if (e == CLI_OK)
        e = setup_run(&s);
    close(lock);
    if (e == CLI_OK && u->cli.json)
        e = print_json(u, &s);
    else if (e == CLI_OK)
        print_summary(u, &s, was_running);
    secret_wipe(s.key, sizeof(s.key));
    secret_wipe(s.token, sizeof(s.token));
    if (e != CLI_OK)
        return give_up(u, was_running);
    return u->detach || was_running ? CLI_OK : stay(u);
}

static void
catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int
up_run(const struct command *command, int argc, char **argv)
{
    struct up u = {.progress = -1, .started_ms = clock_mono_ms()};
    const struct option_row rows[] = {
        {.name = "listen",
         .into = &u.listen,
         .value = "ADDR",
         .help = "where applications call; first start: 127.0.0.1:8080"},
        {.name = "admin",
         .into = &u.admin,
         .value = "ADDR",
         .help = "the admin API; first start: 127.0.0.1:8081"},
        {.name = "metrics",
         .into = &u.metrics,
         .value = "ADDR",
         .help = "Prometheus metrics; first start: the port after the admin API's"},
        {.name = "workers",
         .kind = OPTION_NUMBER,
         .into = &u.workers,
         .value = "N",
         .min = 0,
         .max = 256,
         .help = "processes that serve; 0: as before, or one a core"},
        {.name = "config",
         .into = &u.config_path,
         .value = "FILE",
         .help = "configuration to apply once it runs"},
        {.name = "detach",
         .kind = OPTION_FLAG,
         .into = &u.detach,
         .letter = 'd',
         .help = "return when a request would succeed; run on in the background"},
        {.name = "log-level",
         .into = &u.log_level,
         .value = "LEVEL",
         .help = "debug, info, warn or error"},
        {.name = "data-plane-args",
         .into = &u.data_plane_args,
         .value = "ARGS",
         .help = "further arguments of headgate-dataplane, as one text"},
        {.name = "drain-ms",
         .kind = OPTION_NUMBER,
         .into = &u.drain_ms,
         .value = "MS",
         .min = 0,
         .max = 3600000,
         .help = "how long `down` lets streams finish; 0: as before, or 30 s"},
    };
    char dir[HOME_PATH_BYTES];
    int e = cli_begin(&u.cli, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    catch_signals();
    if (home_find(u.cli.home, true, dir) != 0)
        return cli_fail("give the gateway's directory with --home DIR (HOME is not set, or the "
                        "path cannot be used)");
    e = home_open(&u.home, dir);
    if (e != 0 && e != ERR_NOT_FOUND)
        return CLI_FAILED;
    e = run(&u);
    config_file_free(&u.config);
    return e;
}
