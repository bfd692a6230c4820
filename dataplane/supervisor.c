#include "dataplane/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/front/front.h"
#include "dataplane/poison.h"
#include "dataplane/request/reply.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/server.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"

#define FLUSH_MS 10
#define STEADY_MS 10000 /* a worker that lived this long starts the back-off anew */
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MOST_MS 5000
#define KILL_AFTER_MS 10000 /* beyond the drain's time */

struct child {
    struct supervisor *s;
    unsigned slot;
    pid_t pid; /* 0: not running */
    int64_t started_ms;
    int backoff_ms;
    struct timer respawn;
};

struct supervisor {
    const struct supervisor_options *o;
    struct loop *loop;
    struct loop_signal *signals[4];
    struct listener *listener;
    struct http_server *server;
    struct spool_flusher *flusher;
    struct timer flush, kill;
    struct child children[LIMIT_WORKERS];
    unsigned running;
    bool stopping;
    struct poison poison;
    char policy_dir[512];
};

/* --- metrics ---------------------------------------------------------------------------------- */

static void
reply_metrics(struct supervisor *s, struct http_stream *stream)
{
    static const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("text/plain; version=0.0.4; charset=utf-8"), false}};
    const char *reasons[PROBLEMS];
    struct buf text;
    buf_init(&text, (size_t)8 << 20);
    for (size_t i = 0; i < PROBLEMS; i++)
        reasons[i] = problems[i].code && problems[i].code[0] ? problems[i].code : NULL;
    int err =
        metrics_write(s->o->pages, s->o->workers, reasons, PROBLEMS, front_endpoint_names, &text);
    if (http_reply(stream, err ? 500 : 200, fields, 1, err ? SLICE("") : buf_slice(&text)))
        http_abort(stream);
    buf_free(&text);
}

static void *
on_request(void *ctx, struct http_stream *stream, const struct http_head *head)
{
    static const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("text/plain; charset=utf-8"), false}};
    bool read = slice_is(head->method, "GET") || slice_is(head->method, "HEAD");
    if (read && slice_is(head->path, "/metrics"))
        reply_metrics(ctx, stream);
    else if (http_reply(stream, read && slice_is(head->path, "/healthz") ? 200 : 404, fields, 1,
                        read && slice_is(head->path, "/healthz") ? SLICE("ok\n")
                                                                 : SLICE("try /metrics\n")))
        http_abort(stream);
    return NULL;
}

static void
ignore_body(void *x, struct http_stream *s, struct slice bytes)
{
    (void)x;
    (void)s;
    (void)bytes;
}

static void
ignore(void *x, struct http_stream *s)
{
    (void)x;
    (void)s;
}

static void
ignore_abort(void *x, struct http_stream *s, int err, const char *why)
{
    (void)x;
    (void)s;
    (void)err;
    (void)why;
}

static const struct http_handlers handlers = {
    .on_request = on_request,
    .on_body = ignore_body,
    .on_body_end = ignore,
    .on_drained = ignore,
    .on_abort = ignore_abort,
};

static void
on_accept(void *ctx, int fd)
{
    struct supervisor *s = ctx;
    http_server_accept(s->server, fd, NULL);
}

/* --- workers ---------------------------------------------------------------------------------- */

/* In the child: nothing of the supervisor stays but what the options name. Its loop is not freed:
 * that would take the parent's descriptors out of an epoll instance that both share. */
static void
become_worker(const struct supervisor *s, unsigned slot, const sigset_t *unblocked)
{
    struct worker_options o = s->o->worker;
    int keep[2] = {s->o->listen_fds[slot], s->o->tls_listen_fds[slot]};
    int low = keep[0] < keep[1] ? keep[0] : keep[1], high = keep[0] < keep[1] ? keep[1] : keep[0];
    unsigned from = 3;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != o.supervisor)
        _exit(0);
    if (low >= 3) {
        if (low > 3)
            close_range(from, (unsigned)low - 1, 0);
        from = (unsigned)low + 1;
    }
    if (high >= 3 && high != low) {
        if ((unsigned)high > from)
            close_range(from, (unsigned)high - 1, 0);
        from = (unsigned)high + 1;
    }
    close_range(from, ~0u, 0);
    signal(SIGINT, SIG_IGN); /* from the terminal: the supervisor decides */
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, unblocked, NULL);
    s->o->on_worker(slot);
    o.slot = slot;
    o.listen_fd = keep[0];
    o.tls_listen_fd = keep[1];
    o.page = &s->o->pages[slot];
    o.avoid = s->poison.avoid;
    exit(worker_run(&o));
}

static void respawn(void *ctx);

static void
spawn(struct child *c)
{
    struct supervisor *s = c->s;
    s->o->pages[c->slot].candidate_mono_ms = 0;
    sigset_t all, before; /* a signal must not meet the child while it has our handlers */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become_worker(s, c->slot, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        log_error("worker.fork", F_INT("slot", c->slot), F_STR("why", strerror(errno)));
        timer_set(&c->respawn, s->loop, BACKOFF_MOST_MS, respawn, c);
        return;
    }
    c->pid = pid;
    c->started_ms = clock_mono_ms();
    s->running++;
}

static void
respawn(void *ctx)
{
    struct child *c = ctx;
    if (!c->s->stopping) {
        c->s->o->pages[c->slot].restarts++;
        spawn(c);
    }
}

/* Which policy the worker had, or was about to take up: see poison.h. */
static void
suspect_policy(struct supervisor *s, const struct child *c, int64_t now_ms)
{
    const struct metrics_page *page = &s->o->pages[c->slot];
    struct policy_mark with = {page->candidate_epoch, page->candidate_version};
    int64_t taken_ms = (int64_t)page->candidate_mono_ms;
    if (taken_ms == 0) { /* it did not get as far as to tell */
        with = poison_newest(s->policy_dir, s->poison.avoid);
        taken_ms = c->started_ms;
    }
    if (poison_crashed(&s->poison, with, taken_ms, now_ms))
        log_error("policy.poison", F_INT("epoch", with.epoch), F_INT("version", with.version));
}

static void
on_dead(struct child *c, int status)
{
    struct supervisor *s = c->s;
    int64_t now_ms = clock_mono_ms();
    bool crashed = WIFSIGNALED(status);
    c->pid = 0;
    s->running--;
    s->o->pages[c->slot].state = WORKER_DOWN;
    if (s->stopping)
        return;
    if (now_ms - c->started_ms >= STEADY_MS)
        c->backoff_ms = 0;
    log_error("worker.died", F_INT("slot", c->slot),
              F_INT("signal", crashed ? WTERMSIG(status) : 0),
              F_INT("code", crashed ? 0 : WEXITSTATUS(status)), F_INT("retry_ms", c->backoff_ms));
    if (crashed && poison_is_crash(WTERMSIG(status)))
        suspect_policy(s, c, now_ms);
    if (c->backoff_ms)
        timer_set(&c->respawn, s->loop, c->backoff_ms, respawn, c);
    c->backoff_ms = c->backoff_ms ? 2 * c->backoff_ms : BACKOFF_FIRST_MS;
    if (c->backoff_ms > BACKOFF_MOST_MS)
        c->backoff_ms = BACKOFF_MOST_MS;
    if (!timer_is_pending(&c->respawn))
        respawn(c);
}

static struct child *
find_child(struct supervisor *s, pid_t pid)
{
    for (unsigned i = 0; i < s->o->workers; i++)
        if (s->children[i].pid == pid)
            return &s->children[i];
    return NULL;
}

static void
signal_all(struct supervisor *s, int signo)
{
    for (unsigned i = 0; i < s->o->workers; i++)
        if (s->children[i].pid)
            kill(s->children[i].pid, signo);
}

/* --- signals and timers ----------------------------------------------------------------------- */

static void
on_child(void *ctx, int signo)
{
    struct supervisor *s = ctx;
    struct child *c;
    pid_t pid;
    int status;
    (void)signo;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if ((c = find_child(s, pid)) != NULL)
            on_dead(c, status);
    if (s->stopping && s->running == 0)
        loop_stop(s->loop);
}

static void
on_kill_due(void *ctx)
{
    struct supervisor *s = ctx;
    log_error("supervisor.kill", F_INT("workers", s->running));
    signal_all(s, SIGKILL);
}

/* Ours are copies, for workers to come: with the workers' own closed, clients are refused and go
 * elsewhere, instead of waiting in a queue that nobody serves. */
static void
close_doors(const struct supervisor *s)
{
    const struct supervisor_options *o = s->o;
    for (unsigned i = 0; i < o->workers; i++) {
        bool shared = i > 0 && o->listen_fds[i] == o->listen_fds[0];
        bool tls_shared = i > 0 && o->tls_listen_fds[i] == o->tls_listen_fds[0];
        if (o->listen_fds[i] >= 0 && !shared)
            close(o->listen_fds[i]);
        if (o->tls_listen_fds[i] >= 0 && !tls_shared)
            close(o->tls_listen_fds[i]);
    }
}

static void
on_term(void *ctx, int signo)
{
    struct supervisor *s = ctx;
    (void)signo;
    signal_all(s, SIGTERM); /* the second time, they hurry */
    if (s->stopping)
        return;
    s->stopping = true;
    close_doors(s);
    log_info("supervisor.stopping", F_INT("workers", s->running));
    for (unsigned i = 0; i < s->o->workers; i++)
        timer_cancel(&s->children[i].respawn);
    timer_set(&s->kill, s->loop, s->o->worker.drain_ms + KILL_AFTER_MS, on_kill_due, s);
    if (s->running == 0)
        loop_stop(s->loop);
}

static void
on_hup(void *ctx, int signo)
{
    (void)signo;
    signal_all(ctx, SIGHUP);
}

static void
on_flush(void *ctx)
{
    struct supervisor *s = ctx;
    spool_flush(s->flusher);
    timer_set(&s->flush, s->loop, FLUSH_MS, on_flush, s);
}

/* --- running ---------------------------------------------------------------------------------- */

static bool
set_up(struct supervisor *s, const char *spool_dir)
{
    static const struct http_server_config config = {
        .server_name = "headgate", .http1 = true, .error_body = reply_server_error};
    s->loop = loop_new();
    if (!s->loop)
        return false;
    s->signals[0] = loop_on_signal(s->loop, SIGCHLD, on_child, s);
    s->signals[1] = loop_on_signal(s->loop, SIGTERM, on_term, s);
    s->signals[2] = loop_on_signal(s->loop, SIGINT, on_term, s);
    s->signals[3] = loop_on_signal(s->loop, SIGHUP, on_hup, s);
    for (size_t i = 0; i < 4; i++)
        if (!s->signals[i])
            return false;
    if (s->o->metrics_fd >= 0) {
        s->server = http_server_new(s->loop, &config, &handlers, s);
        s->listener = listener_new(s->loop, s->o->metrics_fd, on_accept, s);
        if (!s->server || !s->listener)
            return false;
    }
    if (s->o->worker.spool.sync == SPOOL_SYNC_GROUP) {
        if (spool_flusher_new(spool_dir, s->o->workers, &s->flusher))
            return false;
        on_flush(s);
    }
    return true;
}

static void
tear_down(struct supervisor *s)
{
    if (s->flusher)
        spool_flush(s->flusher);
    spool_flusher_free(s->flusher);
    if (s->server)
        http_server_free(s->server);
    listener_free(s->listener);
    for (size_t i = 0; i < 4; i++)
        loop_signal_free(s->signals[i]);
    timer_cancel(&s->flush);
    timer_cancel(&s->kill);
    if (s->loop)
        loop_free(s->loop);
}

int
supervisor_run(const struct supervisor_options *o)
{
    char spool_dir[512];
    struct supervisor *s = calloc(1, sizeof(*s));
    int code = 1;
    if (!s)
        return 1;
    s->o = o;
    snprintf(spool_dir, sizeof(spool_dir), "%s/spool", o->worker.state_dir);
    snprintf(s->policy_dir, sizeof(s->policy_dir), "%s/policy", o->worker.state_dir);
    if (set_up(s, spool_dir)) {
        for (unsigned i = 0; i < o->workers; i++) {
            s->children[i] = (struct child){.s = s, .slot = i};
            spawn(&s->children[i]);
        }
        loop_run(s->loop);
        code = 0;
    } else {
        log_error("supervisor.setup", F_STR("why", "out of memory or descriptors"));
    }
    tear_down(s);
    free(s);
    return code;
}
