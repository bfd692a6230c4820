/*
 * The supervisor of a local gateway: `headgate supervise`, started by `headgate up`, one a home.
 *
 * It starts what does not run, adopts what does (processes outlive a supervisor that was killed),
 * starts again what dies, and on SIGTERM stops all in order: the data plane finishes its streams,
 * then the control plane, then PostgreSQL. A second signal makes it quick. What it tells `up` goes
 * over a pipe, a line each: "P text" progress, "E text" it failed, "R" all is up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/logs.h"
#include "controlplane/cli/parts.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define WHY_BYTES 2048  /* a line of a log and a path fit */
#define POLL_MS 20      /* while something comes up */
#define WATCH_MS 250    /* the longest a signal may wait */
#define STABLE_MS 10000 /* running this long, its failures are forgotten */
#define BACKOFF_MOST_MS 2000
#define ROTATE_MS 60000
#define POSTGRES_TRIES 15
#define POSTGRES_PAUSE_MS 300

struct watched {
    struct process p; /* pid 0: does not run */
    int pidfd;        /* -1: none */
    bool started;     /* by us, in this bring-up */
    int failures;     /* in a row */
    int64_t since_ms, next_try_ms;
};

struct supervisor {
    struct home home;
    struct programs programs;
    struct watched watched[PART_COUNT];
    int progress; /* -1: nobody listens */
    int64_t next_rotate_ms;
};

/* The only way signals speak to a loop without one of libevent's. */
static volatile sig_atomic_t stop_signals;

static void
on_stop(int signo)
{
    (void)signo;
    stop_signals++;
}

static bool
is_hurried(void)
{
    return stop_signals > 1;
}

static void
catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* One line to `up`. It may be gone: then nobody is told. */
__attribute__((format(printf, 3, 4))) static void
tell(struct supervisor *s, char kind, const char *format, ...)
{
    char line[WHY_BYTES + 16];
    va_list args;
    if (s->progress < 0)
        return;
    va_start(args, format);
    int n = snprintf(line, sizeof(line), "%c ", kind);
    vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
    va_end(args);
    size_t len = strlen(line);
    line[len++] = '\n';
    if (write(s->progress, line, len) < 0 && errno == EPIPE) {
        close(s->progress);
        s->progress = -1;
    }
}

/* --- one process ---------------------------------------------------------------------------------
 */

static void
watch(struct watched *w, const struct process *p)
{
    w->p = *p;
    w->since_ms = clock_mono_ms();
    w->pidfd = pidfd_open(p->pid, 0);
}

static void
forget(struct supervisor *s, enum part_id id)
{
    struct watched *w = &s->watched[id];
    if (w->pidfd >= 0)
        close(w->pidfd);
    w->pidfd = -1;
    if (w->p.pid > 0)
        waitpid(w->p.pid, NULL, WNOHANG); /* when it is our child */
    w->p.pid = 0;
    process_forget(&s->home, parts[id].name);
}

static int
start(struct supervisor *s, enum part_id id, char *why, size_t why_bytes)
{
    struct process p;
    int e = parts[id].start(&s->home, &s->programs, &p, why, why_bytes);
    if (e != 0)
        return e;
    if ((e = process_save(&s->home, parts[id].name, &p)) != 0) {
        snprintf(why, why_bytes, "cannot record the pid of %s: %s", parts[id].title, err_name(e));
        part_stop(&s->home, id, &p, part_hurry);
        return e;
    }
    watch(&s->watched[id], &p);
    s->watched[id].started = true;
    log_info("process.started", F_STR("part", parts[id].name), F_INT("child", p.pid));
    return 0;
}

/* --- coming up -----------------------------------------------------------------------------------
 */

static int
wait_ready(struct supervisor *s, enum part_id id, char *why, size_t why_bytes)
{
    struct watched *w = &s->watched[id];
    int64_t deadline = clock_mono_ms() + parts[id].ready_ms;
    char line[700];
    while (!parts[id].is_ready(&s->home, &w->p)) {
        if (stop_signals) {
            snprintf(why, why_bytes, "stopped");
            return ERR_CANCELLED;
        }
        bool alive = process_is_alive(&w->p);
        if (alive && clock_mono_ms() < deadline) {
            process_pause(POLL_MS);
            continue;
        }
        part_last_log(&s->home, id, line, sizeof(line));
        snprintf(why, why_bytes, "%s %s: %s (%s/log/%s.log)", parts[id].title,
                 alive ? "does not become ready" : "stopped", line, s->home.dir, parts[id].name);
        return alive ? ERR_TIMEOUT : ERR_UNAVAILABLE;
    }
    w->failures = 0;
    return 0;
}

static int
bring_up_part(struct supervisor *s, enum part_id id, char *why, size_t why_bytes)
{
    struct process running = process_load(&s->home, parts[id].name);
    int e = 0;
    if (running.pid > 0) {
        watch(&s->watched[id], &running);
        log_info("process.adopted", F_STR("part", parts[id].name), F_INT("child", running.pid));
    } else {
        tell(s, 'P', "starting %s", parts[id].title);
        if (id == PART_CONTROL_PLANE)
            e = parts_migrate(&s->home, &s->programs, why, why_bytes);
        if (e == 0)
            e = start(s, id, why, why_bytes);
    }
    if (e == 0)
        e = wait_ready(s, id, why, why_bytes);
    return e;
}

/* What is left of a PostgreSQL that was killed (its children, its pid not yet reaped) keeps a new
 * one from starting for a moment. */
static int
bring_up_postgres(struct supervisor *s, char *why, size_t why_bytes)
{
    for (int i = 1;; i++) {
        int e = bring_up_part(s, PART_POSTGRES, why, why_bytes);
        if (e != ERR_UNAVAILABLE || i == POSTGRES_TRIES)
            return e;
        forget(s, PART_POSTGRES);
        process_pause(POSTGRES_PAUSE_MS);
    }
}

/* Stops in the reverse order; only_started: what this bring-up started itself. */
static void
stop_all(struct supervisor *s, bool only_started)
{
    for (int id = PART_COUNT - 1; id >= 0; id--) {
        struct watched *w = &s->watched[id];
        if (w->p.pid <= 0 || (only_started && !w->started))
            continue;
        if (!only_started)
            tell(s, 'P', "stopping %s", parts[id].title);
        part_stop(&s->home, (enum part_id)id, &w->p, is_hurried);
        log_info("process.stopped", F_STR("part", parts[id].name));
        forget(s, (enum part_id)id);
    }
}

static int
bring_up(struct supervisor *s)
{
    char why[WHY_BYTES] = "";
    int e = programs_find(&s->home, &s->programs, why, sizeof(why));
    if (e == 0)
        e = bring_up_postgres(s, why, sizeof(why));
    for (int id = PART_CONTROL_PLANE; id < PART_COUNT && e == 0; id++)
        e = bring_up_part(s, (enum part_id)id, why, sizeof(why));
    if (e == 0)
        return 0;
    log_error("supervisor.failed", F_STR("why", why), F_ERR(e));
    stop_all(s, true);
    tell(s, 'E', "%s", why);
    return e;
}

/* --- keeping up ----------------------------------------------------------------------------------
 */

static int64_t
backoff_ms(int failures)
{
    int64_t ms = failures <= 1 ? 0 : INT64_C(100) << (failures < 7 ? failures : 7);
    return ms > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : ms;
}

static void
on_death(struct supervisor *s, enum part_id id)
{
    struct watched *w = &s->watched[id];
    int64_t now = clock_mono_ms();
    char line[300];
    part_last_log(&s->home, id, line, sizeof(line));
    log_error("process.died", F_STR("part", parts[id].name), F_INT("child", w->p.pid),
              F_STR("last_line", line));
    forget(s, id);
    w->failures = now - w->since_ms > STABLE_MS ? 1 : w->failures + 1;
    w->next_try_ms = now + backoff_ms(w->failures);
}

static void
restart_due(struct supervisor *s)
{
    char why[WHY_BYTES];
    for (int id = 0; id < PART_COUNT; id++) {
        struct watched *w = &s->watched[id];
        if (w->p.pid > 0 || clock_mono_ms() < w->next_try_ms)
            continue;
        int e = start(s, (enum part_id)id, why, sizeof(why));
        if (e == 0)
            continue;
        w->failures++;
        w->next_try_ms = clock_mono_ms() + BACKOFF_MOST_MS;
        log_error("process.failed", F_STR("part", parts[id].name), F_STR("why", why));
    }
}

/* Sleeps until a process dies, a restart is due, or WATCH_MS passed. */
static void
wait_for_death(struct supervisor *s)
{
    struct pollfd fds[PART_COUNT];
    for (int id = 0; id < PART_COUNT; id++)
        fds[id] = (struct pollfd){.fd = s->watched[id].pidfd, .events = POLLIN};
    poll(fds, PART_COUNT, WATCH_MS);
    for (int id = 0; id < PART_COUNT; id++)
        if (s->watched[id].p.pid > 0 && !process_is_alive(&s->watched[id].p))
            on_death(s, (enum part_id)id);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void
keep_up(struct supervisor *s)
{
    while (!stop_signals) {
        wait_for_death(s);
        restart_due(s);
        if (clock_mono_ms() >= s->next_rotate_ms) {
            logs_rotate(&s->home);
            s->next_rotate_ms = clock_mono_ms() + ROTATE_MS;
        }
    }
}

/* --- the command ---------------------------------------------------------------------------------
 */

static int
run(struct supervisor *s, bool foreground)
{
    struct process self;
    if (!process_identify(getpid(), &self) || process_save(&s->home, "supervisor", &self) != 0) {
        tell(s, 'E', "cannot write in %s/pid: %s", s->home.dir, strerror(errno));
        return CLI_FAILED;
    }
    log_info("supervisor.started");
    if (bring_up(s) != 0) {
        process_forget(&s->home, "supervisor");
        return CLI_FAILED;
    }
    tell(s, 'R', "ready");
    if (!foreground && s->progress >= 0) {
        close(s->progress);
        s->progress = -1;
    }
    keep_up(s);
    log_info("supervisor.stopping");
    stop_all(s, false);
    process_forget(&s->home, "supervisor");
    return CLI_OK;
}

int
supervise_run(const struct command *command, int argc, char **argv)
{
    struct supervisor s = {.progress = -1};
    struct cli c;
    char dir[HOME_PATH_BYTES];
    bool foreground = false;
    long progress = -1;
    const struct option_row rows[] = {
        {.name = "foreground",
         .kind = OPTION_FLAG,
         .into = &foreground,
         .help = "stop all when the process that started this one ends"},
        {.name = "progress-fd",
         .kind = OPTION_NUMBER,
         .into = &progress,
         .value = "N",
         .min = -1,
         .max = 1023,
         .help = "descriptor to report to"},
    };
    int e = cli_begin(&c, command, rows, 2, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    catch_signals();
    if (foreground)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    s.progress = (int)progress;
    if (s.progress >= 0)
        fcntl(s.progress, F_SETFD, FD_CLOEXEC);
    for (int id = 0; id < PART_COUNT; id++)
        s.watched[id].pidfd = -1;
    log_init("supervisor", LOG_INFO, 2);
    if (home_find(c.home, true, dir) != 0 || home_open(&s.home, dir) != 0)
        return cli_fail("there is no gateway to supervise");
    int lock = process_lock(&s.home, "lock", false);
    if (lock < 0) {
        tell(&s, 'E', "another supervisor runs this gateway");
        return CLI_FAILED;
    }
    return run(&s, foreground);
}
