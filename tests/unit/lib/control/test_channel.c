#include "tests/unit/check.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/control/channel.h"
#include "tests/unit/lib/net/free_port.h"

#define DEADLINE_MS 60000

static char dir[64];

struct ends {
    struct loop *loop;
    struct channel *channel;
    struct channel_host *host;
    char pub[96], req[96];
    /* what came */
    size_t replies, announcements;
    int last_err;
    char last_reply[64], last_announcement[64];
    size_t last_len;
    struct timer timer;
    bool late;
};

static int
start(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/hgbus.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
finish(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* --- the two ends -------------------------------------------------------------------------- */

/* Says what it was asked, backwards; "big" gets 5 MB, "slow" half a second. */
static void
mirror(void *ctx, size_t thread, struct slice request, struct buf *reply)
{
    (void)ctx;
    (void)thread;
    if (slice_is(request, "slow"))
        usleep(500000);
    if (slice_is(request, "big")) {
        char *at = buf_reserve(reply, 5 << 20);

        memset(at, 'x', 5 << 20);
        buf_commit(reply, 5 << 20);
        return;
    }
    for (size_t i = request.len; i > 0; i--)
        assert_int_equal(buf_add(reply, request.at + i - 1, 1), 0);
}

static void
on_announce(void *ctx, struct slice message)
{
    struct ends *e = ctx;

    e->announcements++;
    snprintf(e->last_announcement, sizeof(e->last_announcement), "%.*s", SLICE_ARG(message));
    loop_stop(e->loop);
}

static void
on_reply(void *ctx, int err, struct slice reply)
{
    struct ends *e = ctx;

    e->replies++;
    e->last_err = err;
    e->last_len = reply.len;
    snprintf(e->last_reply, sizeof(e->last_reply), "%.*s",
             reply.len < sizeof(e->last_reply) ? (int)reply.len : 0, reply.len ? reply.at : "");
    loop_stop(e->loop);
}

static void
on_late(void *ctx)
{
    struct ends *e = ctx;

    e->late = true;
    loop_stop(e->loop);
}

static int
open_host(struct ends *e, const char **why)
{
    return channel_host_open(e->pub, e->req, NULL, 3, mirror, e, &e->host, why);
}

static void
open_both(struct ends *e, const char *pub, const char *req)
{
    const char *why = "";

    memset(e, 0, sizeof(*e));
    snprintf(e->pub, sizeof(e->pub), "%s", pub);
    snprintf(e->req, sizeof(e->req), "%s", req);
    e->loop = loop_new();
    if (open_host(e, &why) != 0)
        fail_msg("host: %s", why);
    e->channel = channel_open(e->loop, e->pub, e->req, NULL, on_announce, e, &why);
    if (!e->channel)
        fail_msg("channel: %s", why);
}

/* Two addresses of a host that nobody has. */
static void
pick_addresses(const char *where, char pub[96], char req[96])
{
    int one = free_port(), other = free_port();

    while (other == one)
        other = free_port();
    snprintf(pub, 96, "%s:%d", where, one);
    snprintf(req, 96, "%s:%d", where, other);
}

static void
open_ipc(struct ends *e, const char *name)
{
    char pub[96], req[96];

    snprintf(pub, sizeof(pub), "ipc://%s/%s.pub", dir, name);
    snprintf(req, sizeof(req), "ipc://%s/%s.req", dir, name);
    open_both(e, pub, req);
}

static void
close_both(struct ends *e)
{
    timer_cancel(&e->timer);
    channel_close(e->channel);
    channel_host_close(e->host);
    loop_free(e->loop);
}

/* Runs the loop until `count` has grown to `want`. */
static void
run_until(struct ends *e, const size_t *count, size_t want)
{
    e->late = false;
    timer_set(&e->timer, e->loop, DEADLINE_MS, on_late, e);
    while (*count < want && !e->late)
        loop_run(e->loop);
    timer_cancel(&e->timer);
    if (e->late)
        fail_msg("%zu of %zu came in time", *count, want);
}

static struct channel_call *
request(struct ends *e, struct slice message, int timeout_ms)
{
    return channel_request(e->channel, &(struct channel_question){.message = message,
                                                                  .timeout_ms = timeout_ms,
                                                                  .on_reply = on_reply,
                                                                  .ctx = e});
}

static void
ask(struct ends *e, const char *text, int timeout_ms)
{
    size_t want = e->replies + 1;

    assert_non_null(request(e, slice_of(text), timeout_ms));
    run_until(e, &e->replies, want);
}

static void
on_tick(void *ctx)
{
    struct ends *e = ctx;

    loop_stop(e->loop);
}

/* Announces until one arrives: a subscriber may not be connected yet, and PUB keeps nothing. */
static void
announce_until_heard(struct ends *e, const char *text)
{
    int64_t end = clock_mono_ms() + DEADLINE_MS;
    struct timer tick = {0};

    e->last_announcement[0] = '\0';
    while (strcmp(e->last_announcement, text) != 0) {
        if (clock_mono_ms() > end)
            fail_msg("'%s' was not heard", text);
        assert_int_equal(channel_host_announce(e->host, slice_of(text)), 0);
        timer_set(&tick, e->loop, 20, on_tick, e);
        loop_run(e->loop);
    }
    timer_cancel(&tick);
}

/* --- both ways ----------------------------------------------------------------------------- */

static void
exchange(struct ends *e)
{
    ask(e, "hello", DEADLINE_MS);
    assert_int_equal(e->last_err, 0);
    assert_string_equal(e->last_reply, "olleh");
    ask(e, "", DEADLINE_MS);
    assert_int_equal(e->last_err, 0);
    assert_int_equal(e->last_len, 0);
    ask(e, "big", DEADLINE_MS);
    assert_int_equal(e->last_err, 0);
    assert_int_equal(e->last_len, 5 << 20);
    announce_until_heard(e, "first");
    announce_until_heard(e, "second");
}

static void
test_ipc(void **state)
{
    struct ends e;

    (void)state;
    open_ipc(&e, "plain");
    exchange(&e);
    close_both(&e);
}

static void
test_tcp_loopback(void **state)
{
    char pub[96], req[96];
    struct ends e;

    (void)state;
    pick_addresses("tcp://127.0.0.1", pub, req);
    open_both(&e, pub, req);
    exchange(&e);
    close_both(&e);
}

static void
test_many_in_flight(void **state)
{
    struct ends e;

    (void)state;
    open_ipc(&e, "many");
    for (int i = 0; i < 200; i++)
        assert_non_null(request(&e, SLICE("abc"), DEADLINE_MS));
    run_until(&e, &e.replies, 200);
    assert_int_equal(e.last_err, 0);
    close_both(&e);
}

static void
test_threads_answer_beside_a_slow_one(void **state)
{
    struct ends e;

    (void)state;
    open_ipc(&e, "beside");
    assert_non_null(request(&e, SLICE("slow"), DEADLINE_MS));
    ask(&e, "fast", DEADLINE_MS);
    assert_string_equal(e.last_reply, "tsaf"); /* the slow one has not answered yet */
    run_until(&e, &e.replies, 2);
    assert_string_equal(e.last_reply, "wols");
    close_both(&e);
}

static void
test_cancelled_request_never_calls_back(void **state)
{
    struct channel_call *call;
    struct ends e;

    (void)state;
    open_ipc(&e, "cancel");
    call = request(&e, SLICE("slow"), DEADLINE_MS);
    channel_cancel(call);
    call = request(&e, SLICE("now"), DEADLINE_MS);
    usleep(100000); /* its reply may well be waiting for the loop by now */
    channel_cancel(call);
    ask(&e, "abc", DEADLINE_MS);
    assert_string_equal(e.last_reply, "cba");
    assert_int_equal(e.replies, 1);
    close_both(&e);
}

static void
test_closed_with_requests_in_flight(void **state)
{
    struct ends e;

    (void)state;
    open_ipc(&e, "close");
    for (int i = 0; i < 20; i++)
        assert_non_null(request(&e, SLICE("slow"), DEADLINE_MS));
    close_both(&e);
    assert_int_equal(e.replies, 0);
}

/* --- the other end is away ----------------------------------------------------------------- */

static void
test_timeout_while_the_host_is_away(void **state)
{
    struct ends e;

    (void)state;
    open_ipc(&e, "away");
    channel_host_close(e.host);
    e.host = NULL;
    ask(&e, "hello", 200);
    assert_int_equal(e.last_err, ERR_TIMEOUT);
    close_both(&e);
}

/* A request made while the host is away is answered when it comes; so is one it had not answered.
 */
static void
test_host_restart(void **state)
{
    const char *why = "";
    struct ends e;

    (void)state;
    open_ipc(&e, "restart");
    exchange(&e);
    for (int round = 0; round < 3; round++) {
        size_t want = e.replies + 1;

        channel_host_close(e.host);
        e.host = NULL;
        assert_non_null(request(&e, SLICE("hello"), DEADLINE_MS));
        assert_int_equal(open_host(&e, &why), 0);
        run_until(&e, &e.replies, want);
        assert_int_equal(e.last_err, 0);
        assert_string_equal(e.last_reply, "olleh");
        announce_until_heard(&e, "again");
    }
    close_both(&e);
}

static void
test_worker_before_the_host(void **state)
{
    const char *why = "";
    struct ends e = {0};

    (void)state;
    snprintf(e.pub, sizeof(e.pub), "ipc://%s/late.pub", dir);
    snprintf(e.req, sizeof(e.req), "ipc://%s/late.req", dir);
    e.loop = loop_new();
    e.channel = channel_open(e.loop, e.pub, e.req, NULL, on_announce, &e, &why);
    assert_non_null(e.channel);
    assert_non_null(request(&e, SLICE("hello"), DEADLINE_MS));
    assert_int_equal(open_host(&e, &why), 0);
    run_until(&e, &e.replies, 1);
    assert_string_equal(e.last_reply, "olleh");
    close_both(&e);
}

/* Whoever is reached closes at once, as a daemon does that dies in this very moment: nng takes that
 * for its own end and dials no more. It must not be the end of us. */
static void *
slam(void *arg)
{
    const int *listening = arg;
    int fd;

    while ((fd = accept(*listening, NULL, NULL)) >= 0)
        close(fd);
    return NULL;
}

static int
listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 100), 0);
    return fd;
}

#define DIALERS 12

static void
test_a_door_that_is_slammed(void **state)
{
    struct channel *all[DIALERS];
    pthread_t thread;
    struct timer tick = {0};
    struct ends e = {0};
    const char *why = "";
    char path[96];
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/slam.req", dir);
    snprintf(e.req, sizeof(e.req), "ipc://%s/slam.req", dir);
    snprintf(e.pub, sizeof(e.pub), "ipc://%s/slam.pub", dir);
    fd = listen_at(path);
    assert_int_equal(pthread_create(&thread, NULL, slam, &fd), 0);
    e.loop = loop_new();
    for (size_t i = 0; i < DIALERS; i++)
        assert_non_null(all[i] = channel_open(e.loop, e.pub, e.req, NULL, on_announce, &e, &why));
    timer_set(&tick, e.loop, 1000, on_tick, &e); /* each is let in and out a few times */
    loop_run(e.loop);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fd);
    unlink(path);
    assert_int_equal(open_host(&e, &why), 0);
    for (size_t i = 0; i < DIALERS; i++) {
        e.channel = all[i];
        ask(&e, "hello", DEADLINE_MS);
        assert_int_equal(e.last_err, 0);
        channel_close(all[i]);
    }
    channel_host_close(e.host);
    loop_free(e.loop);
}

/* --- several control planes --------------------------------------------------------------------
 */

#define HOSTS 3

/* One control plane of several: says its name, or nothing for a while, or that it does not know. */
struct plane {
    struct channel_host *host;
    char pub[96], req[96], name[8];
    atomic_bool hangs, refuses;
    atomic_uint heard;
};

static void
say_name(void *ctx, size_t thread, struct slice request, struct buf *reply)
{
    struct plane *p = ctx;

    (void)thread;
    (void)request;
    atomic_fetch_add(&p->heard, 1);
    while (atomic_load(&p->hangs))
        usleep(1000);
    if (atomic_load(&p->refuses))
        assert_int_equal(buf_add_str(reply, "no: "), 0);
    assert_int_equal(buf_add_str(reply, p->name), 0);
}

static bool
is_no_refusal(void *ctx, struct slice reply)
{
    (void)ctx;
    return !slice_starts(reply, SLICE("no"));
}

static void
open_plane(struct plane *p)
{
    const char *why = "";

    if (channel_host_open(p->pub, p->req, NULL, 2, say_name, p, &p->host, &why) != 0)
        fail_msg("host: %s", why);
}

static void
close_plane(struct plane *p)
{
    atomic_store(&p->hangs, false);
    channel_host_close(p->host);
    p->host = NULL;
}

static void
open_fleet(struct ends *e, struct plane planes[static HOSTS], const char *name)
{
    char pubs[512] = "", reqs[512] = "";
    const char *why = "";

    memset(e, 0, sizeof(*e));
    memset(planes, 0, HOSTS * sizeof(*planes));
    for (size_t i = 0; i < HOSTS; i++) {
        struct plane *p = &planes[i];
        size_t n = strlen(pubs);

        snprintf(p->name, sizeof(p->name), "%zu", i);
        snprintf(p->pub, sizeof(p->pub), "ipc://%s/%s%zu.pub", dir, name, i);
        snprintf(p->req, sizeof(p->req), "ipc://%s/%s%zu.req", dir, name, i);
        snprintf(pubs + n, sizeof(pubs) - n, "%s%s", i ? "," : "", p->pub);
        snprintf(reqs + n, sizeof(reqs) - n, "%s%s", i ? "," : "", p->req);
        open_plane(p);
    }
    e->loop = loop_new();
    e->channel = channel_open(e->loop, pubs, reqs, NULL, on_announce, e, &why);
    if (!e->channel)
        fail_msg("channel: %s", why);
}

static void
close_fleet(struct ends *e, struct plane planes[static HOSTS])
{
    timer_cancel(&e->timer);
    channel_close(e->channel);
    for (size_t i = 0; i < HOSTS; i++)
        close_plane(&planes[i]);
    loop_free(e->loop);
}

/* Who answered; -1: nobody. */
static int
ask_any(struct ends *e, enum channel_lane lane, int timeout_ms)
{
    size_t want = e->replies + 1;

    assert_non_null(
        channel_request(e->channel, &(struct channel_question){.message = SLICE("who are you?"),
                                                               .timeout_ms = timeout_ms,
                                                               .lane = lane,
                                                               .is_answer = is_no_refusal,
                                                               .on_reply = on_reply,
                                                               .ctx = e}));
    run_until(e, &e->replies, want);
    if (e->last_err || e->last_reply[0] == 'n')
        return -1;
    return e->last_reply[0] - '0';
}

static void
test_whoever_is_there_answers(void **state)
{
    struct plane planes[HOSTS];
    struct ends e;
    int first, second;

    (void)state;
    open_fleet(&e, planes, "any");
    first = ask_any(&e, CHANNEL_ANY, DEADLINE_MS);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask_any(&e, CHANNEL_ANY, DEADLINE_MS), first); /* it is stayed with */
    close_plane(&planes[first]);
    second = ask_any(&e, CHANNEL_ANY, DEADLINE_MS);
    assert_true(second >= 0 && second != first);
    close_plane(&planes[second]);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, DEADLINE_MS), HOSTS - first - second);
    close_plane(&planes[HOSTS - first - second]);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, 300), -1);
    assert_int_equal(e.last_err, ERR_TIMEOUT);
    open_plane(&planes[first]);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, DEADLINE_MS), first);
    close_fleet(&e, planes);
}

/* One that is there and says nothing (stopped, or behind a network that swallows all): another is
 * asked while the request's time lasts, and it is not asked first again until it has spoken. */
static void
test_one_that_hangs_is_passed_over(void **state)
{
    struct plane planes[HOSTS];
    struct ends e;
    unsigned heard;
    int first, second;

    (void)state;
    open_fleet(&e, planes, "hang");
    first = ask_any(&e, CHANNEL_ANY, DEADLINE_MS);
    atomic_store(&planes[first].hangs, true);
    second = ask_any(&e, CHANNEL_ANY, DEADLINE_MS);
    assert_true(second >= 0 && second != first);
    heard = atomic_load(&planes[first].heard);
    close_plane(&planes[second]);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, DEADLINE_MS), HOSTS - first - second);
    assert_int_equal(atomic_load(&planes[first].heard), heard);
    close_plane(&planes[HOSTS - first - second]);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, 300), -1); /* it alone is there */
    atomic_store(&planes[first].hangs, false);
    assert_int_equal(ask_any(&e, CHANNEL_ANY, DEADLINE_MS), first);
    close_fleet(&e, planes);
}

/* Whether the leader is asked and nobody else. On a machine so busy that its answer is late another
 * is asked too, and then once more is looked. */
static bool
is_asked_alone(struct ends *e, struct plane *planes, int leader)
{
    for (int tries = 0; tries < 20; tries++) {
        unsigned heard[HOSTS];
        bool alone = true;

        for (int i = 0; i < HOSTS; i++)
            heard[i] = atomic_load(&planes[i].heard);
        assert_int_equal(ask_any(e, CHANNEL_LEADER, DEADLINE_MS), leader);
        for (int i = 0; i < HOSTS; i++)
            alone &= atomic_load(&planes[i].heard) == heard[i] + (i == leader);
        if (alone)
            return true;
    }
    return false;
}

/* What only one of them can answer is asked until it is found; each lane remembers its own. */
static void
test_who_refuses_sends_on(void **state)
{
    struct plane planes[HOSTS];
    struct ends e;

    (void)state;
    open_fleet(&e, planes, "lead");
    for (int leader = 0; leader < HOSTS; leader++) {
        for (int i = 0; i < HOSTS; i++)
            atomic_store(&planes[i].refuses, i != leader);
        assert_int_equal(ask_any(&e, CHANNEL_LEADER, DEADLINE_MS), leader);
        assert_true(is_asked_alone(&e, planes, leader)); /* now it is known */
    }
    for (int i = 0; i < HOSTS; i++)
        atomic_store(&planes[i].refuses, true);
    assert_int_equal(ask_any(&e, CHANNEL_LEADER, DEADLINE_MS), -1);
    assert_int_equal(e.last_err, 0); /* all have said no: the last one's word, at once */
    assert_memory_equal(e.last_reply, "no: ", 4);
    atomic_store(&planes[1].hangs, true); /* and not for ever when one says nothing at all */
    assert_int_equal(ask_any(&e, CHANNEL_LEADER, DEADLINE_MS), -1);
    assert_memory_equal(e.last_reply, "no: ", 4);
    close_fleet(&e, planes);
}

static void
test_all_announcers_are_heard(void **state)
{
    struct plane planes[HOSTS];
    struct ends e;

    (void)state;
    open_fleet(&e, planes, "announce");
    for (size_t i = 0; i < HOSTS; i++) {
        e.host = planes[i].host;
        announce_until_heard(&e, planes[i].name);
    }
    close_fleet(&e, planes);
}

static void
wait_heard(struct ends *e, struct plane *p)
{
    int64_t end = clock_mono_ms() + DEADLINE_MS;
    struct timer tick = {0};

    while (atomic_load(&p->heard) == 0) {
        if (clock_mono_ms() > end)
            fail_msg("plane %s was not asked", p->name);
        timer_set(&tick, e->loop, 20, on_tick, e);
        loop_run(e->loop);
    }
    timer_cancel(&tick);
}

/* Calls under way at several addresses end with the channel, or by themselves, and leave nothing.
 */
static void
test_cancelled_at_several(void **state)
{
    struct plane planes[HOSTS];
    struct channel_call *calls[10];
    struct ends e;

    (void)state;
    open_fleet(&e, planes, "cancels");
    int first = ask_any(&e, CHANNEL_ANY, DEADLINE_MS);
    for (size_t i = 0; i < HOSTS; i++) {
        atomic_store(&planes[i].hangs, true);
        atomic_store(&planes[i].heard, 0);
    }
    for (size_t i = 0; i < 10; i++)
        calls[i] = request(&e, SLICE("x"), 4 * DEADLINE_MS);
    wait_heard(&e, &planes[(first + 1) % HOSTS]); /* each is with two of them */
    for (size_t i = 0; i < 10; i++)
        channel_cancel(calls[i]);
    size_t before = e.replies;
    for (size_t i = 0; i < 10; i++)
        assert_non_null(request(&e, SLICE("x"), 600));
    run_until(&e, &e.replies, before + 10);
    assert_int_equal(e.last_err, ERR_TIMEOUT);
    for (size_t i = 0; i < 10; i++)
        assert_non_null(request(&e, SLICE("x"), DEADLINE_MS));
    close_fleet(&e, planes);
    assert_int_equal(e.replies, before + 10);
}

/* --- F094: abuse --------------------------------------------------------------------------- */

/* Whoever sends what is too large is another process: this program again, started as "rude-req URL"
 * or "rude-pub URL". nng 1.5.2 may fail to close a socket in the middle of such a message; that
 * must be the sender's trouble alone. */
static int
be_rude(const char *how, const char *url)
{
    size_t n = LIMIT_BUS_MESSAGE_BYTES + 1;
    char *huge = calloc(1, n);
    nng_socket s;

    if (strcmp(how, "rude-req") == 0) {
        if (nng_req0_open(&s) != 0 || nng_dial(s, url, NULL, 0) != 0)
            return 1;
        for (;;) {
            (void)nng_send(s, huge, n, 0);
            usleep(20000);
        }
    }
    if (nng_pub0_open(&s) != 0 || nng_listen(s, url, NULL, 0) != 0)
        return 1;
    for (int i = 0;; i++) {
        (void)nng_send(s, i % 2 ? (void *)(uintptr_t) "small" : huge, i % 2 ? 5 : n, 0);
        usleep(20000);
    }
}

static pid_t
start_rude(const char *how, const char *url)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/proc/self/exe", "test_channel", how, url, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void
stop_rude(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, WNOHANG), 0); /* it was there all the time */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* A message over the bound is never taken in; the host goes on. */
static void
test_f094_oversize_requests_are_dropped(void **state)
{
    struct ends e;
    pid_t child;

    (void)state;
    open_ipc(&e, "huge");
    child = start_rude("rude-req", e.req);
    for (int i = 0; i < 40; i++) {
        ask(&e, "hello", DEADLINE_MS);
        assert_string_equal(e.last_reply, "olleh");
        usleep(20000);
    }
    stop_rude(child);
    ask(&e, "hello", DEADLINE_MS);
    assert_string_equal(e.last_reply, "olleh");
    close_both(&e);
}

/* The same from an impostor in the host's place: the worker drops it and hears what is small
 * enough. */
static void
test_f094_oversize_announcements_are_dropped(void **state)
{
    const char *why = "";
    struct ends e;
    pid_t child;

    (void)state;
    open_ipc(&e, "hugepub");
    channel_host_close(e.host);
    e.host = NULL;
    child = start_rude("rude-pub", e.pub);
    run_until(&e, &e.announcements, 5);
    assert_string_equal(e.last_announcement, "small");
    stop_rude(child);
    assert_int_equal(open_host(&e, &why), 0); /* and the right one again */
    announce_until_heard(&e, "back");
    ask(&e, "hello", DEADLINE_MS);
    assert_string_equal(e.last_reply, "olleh");
    close_both(&e);
}

/* Garbage and another protocol on the socket: the host goes on. */
static void
test_f094_wrong_protocol(void **state)
{
    nng_socket wrong;
    struct ends e;

    (void)state;
    open_ipc(&e, "wrong");
    assert_int_equal(nng_sub0_open(&wrong), 0);
    (void)nng_dial(wrong, e.req, NULL, 0); /* refused now or dropped later */
    ask(&e, "hello", DEADLINE_MS);
    assert_string_equal(e.last_reply, "olleh");
    nng_close(wrong);
    close_both(&e);
}

/* Another user of the machine is told by the kernel, and dropped. */
static void
test_f094_another_user_is_refused(void **state)
{
    struct ends e;
    pid_t child;
    int status;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can become somebody else */
    assert_int_equal(chmod(dir, 0755), 0);
    if ((child = fork()) == 0) {
        /* nng must not have been used before a fork: this child is the host */
        struct ends h = {0};
        const char *why;

        snprintf(h.pub, sizeof(h.pub), "ipc://%s/other.pub", dir);
        snprintf(h.req, sizeof(h.req), "ipc://%s/other.req", dir);
        if (open_host(&h, &why) != 0)
            _exit(1);
        for (;;)
            pause();
    }
    memset(&e, 0, sizeof(e));
    snprintf(e.pub, sizeof(e.pub), "ipc://%s/other.pub", dir);
    snprintf(e.req, sizeof(e.req), "ipc://%s/other.req", dir);
    {
        pid_t stranger = fork();

        if (stranger == 0) {
            const char *why;

            if (setuid(65534) != 0)
                _exit(2);
            e.loop = loop_new();
            e.channel = channel_open(e.loop, e.pub, e.req, NULL, on_announce, &e, &why);
            ask(&e, "hello", 1500);
            _exit(e.last_err == ERR_TIMEOUT ? 0 : 3);
        }
        assert_int_equal(waitpid(stranger, &status, 0), stranger);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    {
        pid_t friend = fork();

        if (friend == 0) { /* the guard is what refused: the same as root is answered */
            const char *why;

            e.loop = loop_new();
            e.channel = channel_open(e.loop, e.pub, e.req, NULL, on_announce, &e, &why);
            ask(&e, "hello", DEADLINE_MS);
            _exit(e.last_err == 0 ? 0 : 3);
        }
        assert_int_equal(waitpid(friend, &status, 0), friend);
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* --- mutual TLS ---------------------------------------------------------------------------- */

/* A CA, and a certificate of it for localhost: DIR/NAME-ca.pem, NAME.pem, NAME.key. */
static void
make_certificates(const char *name)
{
    char command[2048];

    snprintf(command, sizeof(command),
             "cd %s && exec >/dev/null 2>&1 && "
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
             "-subj /CN=%s-ca -keyout %s-ca.key -out %s-ca.pem && "
             "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost "
             "-keyout %s.key -out %s.csr && "
             "openssl x509 -req -in %s.csr -CA %s-ca.pem -CAkey %s-ca.key -CAcreateserial -days 2 "
             "-out %s.pem",
             dir, name, name, name, name, name, name, name, name, name);
    assert_int_equal(system(command), 0);
}

static struct channel_tls
tls_of(const char *ca, const char *name)
{
    static char files[6][128];
    static size_t turn;
    size_t at = turn = turn ? 0 : 3;

    snprintf(files[at], sizeof(files[0]), "%s/%s-ca.pem", dir, ca);
    snprintf(files[at + 1], sizeof(files[0]), "%s/%s.pem", dir, name);
    snprintf(files[at + 2], sizeof(files[0]), "%s/%s.key", dir, name);
    return (struct channel_tls){files[at], files[at + 1], files[at + 2]};
}

static void
tls_case(const char *host_ca, const char *host_name, const char *worker_ca, const char *worker_name,
         int want)
{
    struct channel_tls host = tls_of(host_ca, host_name), worker = tls_of(worker_ca, worker_name);
    struct ends e = {0};
    const char *why = "";

    pick_addresses("tls+tcp://localhost", e.pub, e.req);
    e.loop = loop_new();
    if (channel_host_open(e.pub, e.req, &host, 2, mirror, &e, &e.host, &why) != 0)
        fail_msg("host: %s", why);
    e.channel = channel_open(e.loop, e.pub, e.req, &worker, on_announce, &e, &why);
    if (!e.channel)
        fail_msg("channel: %s", why);
    ask(&e, "hello", want ? 1000 : DEADLINE_MS);
    assert_int_equal(e.last_err, want);
    if (!want)
        exchange(&e);
    close_both(&e);
}

static void
test_mutual_tls(void **state)
{
    struct channel_tls missing = {"/nonexistent/ca", "/nonexistent/cert", "/nonexistent/key"};
    struct channel *c;
    struct loop *l = loop_new();
    const char *why = "";

    (void)state;
    make_certificates("ours");
    make_certificates("theirs");
    tls_case("ours", "ours", "ours", "ours", 0);
    tls_case("ours", "ours", "ours", "theirs", ERR_TIMEOUT); /* a worker of another fleet */
    tls_case("ours", "theirs", "ours", "ours", ERR_TIMEOUT); /* an impostor as the host */
    c = channel_open(l, "tls+tcp://localhost:1", "tls+tcp://localhost:2", &missing, on_announce,
                     NULL, &why);
    assert_null(c);
    assert_true(strlen(why) > 0);
    loop_free(l);
}

static void
test_urls_are_checked(void **state)
{
    static const char *const bad[] = {"tcp://192.0.2.1:5000", "tcp://0.0.0.0:5000",
                                      "http://127.0.0.1:1",   "tls+tcp://127.0.0.1:5000",
                                      "ipc://relative",       ""};
    struct loop *l = loop_new();
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why = "";
        assert_null(channel_open(l, bad[i], bad[i], NULL, on_announce, NULL, &why));
        assert_true(strlen(why) > 0);
        why = "";
        assert_int_equal(channel_check(bad[i], bad[i], NULL, &why), ERR_SYNTAX);
        assert_true(strlen(why) > 0);
    }
    assert_int_equal(channel_check("ipc:///a,ipc:///b", "ipc:///c,ipc:///d", NULL, &why), 0);
    assert_int_equal(channel_check("ipc:///a,ipc:///b", "ipc:///c", NULL, &why), ERR_SYNTAX);
    assert_string_equal(
        why, "each control plane has two addresses: give as many of the one as of the other");
    assert_int_equal(channel_check("ipc:///a,ipc:///b", "ipc:///c,ipc:///c", NULL, &why),
                     ERR_SYNTAX);
    assert_string_equal(why, "the same address twice");
    char many[512] = "";
    for (size_t i = 0; i < LIMIT_BUS_ADDRESSES; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%sipc:///x%zu", i ? "," : "",
                 i);
    assert_int_equal(channel_check(many, many, NULL, &why), 0);
    strncat(many, ",ipc:///y", sizeof(many) - strlen(many) - 1);
    assert_int_equal(channel_check(many, many, NULL, &why), ERR_SYNTAX);
    assert_string_equal(why, "more control planes than there may be");
    loop_free(l);
}

int
main(int argc, char **argv)
{
    if (argc == 3)
        return be_rude(argv[1], argv[2]);

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f094_another_user_is_refused), /* first: it forks */
        cmocka_unit_test(test_ipc),
        cmocka_unit_test(test_tcp_loopback),
        cmocka_unit_test(test_many_in_flight),
        cmocka_unit_test(test_threads_answer_beside_a_slow_one),
        cmocka_unit_test(test_cancelled_request_never_calls_back),
        cmocka_unit_test(test_closed_with_requests_in_flight),
        cmocka_unit_test(test_timeout_while_the_host_is_away),
        cmocka_unit_test(test_host_restart),
        cmocka_unit_test(test_worker_before_the_host),
        cmocka_unit_test(test_a_door_that_is_slammed),
        cmocka_unit_test(test_whoever_is_there_answers),
        cmocka_unit_test(test_one_that_hangs_is_passed_over),
        cmocka_unit_test(test_who_refuses_sends_on),
        cmocka_unit_test(test_all_announcers_are_heard),
        cmocka_unit_test(test_cancelled_at_several),
        cmocka_unit_test(test_f094_oversize_requests_are_dropped),
        cmocka_unit_test(test_f094_oversize_announcements_are_dropped),
        cmocka_unit_test(test_f094_wrong_protocol),
        cmocka_unit_test(test_mutual_tls),
        cmocka_unit_test(test_urls_are_checked),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
