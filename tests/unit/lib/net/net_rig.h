/*
 * For the tests of lib/net and HTTP/1.1: a loop that runs until a condition holds (or a generous
 * deadline fails the test), and raw sockets on it that send what a test wants and remember what
 * comes. One thread; nothing sleeps.
 */
#ifndef TESTS_UNIT_LIB_NET_NET_RIG_H
#define TESTS_UNIT_LIB_NET_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"

#define DEADLINE_MS 60000

/* --- running -------------------------------------------------------------------------------------
 */

static inline void
rig_stop(void *ctx)
{
    loop_stop(ctx);
}

/* Runs until something calls loop_stop, at most 10 ms. */
static inline void
rig_run(struct loop *l)
{
    struct timer t = {.loop = NULL};
    timer_set(&t, l, 10, rig_stop, l);
    loop_run(l);
    timer_cancel(&t);
}

#define WAIT(l, condition)                                                                         \
    do {                                                                                           \
        int64_t until_ms = clock_mono_ms() + DEADLINE_MS;                                          \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > until_ms)                                                        \
                fail_msg("never came true: %s", #condition);                                       \
            rig_run(l);                                                                            \
        }                                                                                          \
    } while (0)

/* Two whole turns: what is ready now is dealt with, nothing is waited for. */
struct turns {
    struct loop *loop;
    struct waker *waker;
    int left;
};

static inline void
turns_on_wake(void *ctx)
{
    struct turns *t = ctx;
    if (--t->left > 0)
        waker_wake(t->waker);
    else
        loop_stop(t->loop);
}

static inline void
turns_init(struct turns *t, struct loop *l)
{
    *t = (struct turns){.loop = l};
    t->waker = waker_new(l, turns_on_wake, t);
    assert_non_null(t->waker);
}

static inline void
turns_run(struct turns *t)
{
    t->left = 2;
    waker_wake(t->waker);
    loop_run(t->loop);
}

/* --- a raw socket --------------------------------------------------------------------------------
 */

struct raw {
    struct loop *loop;
    struct watch watch;
    struct buf in;
    bool ended; /* FIN came */
    bool reset; /* or a reset */
    bool deaf;  /* does not read */
};

static inline void
raw_on_ready(void *ctx, int what)
{
    struct raw *r = ctx;
    static char block[65536];
    (void)what;
    ssize_t n = recv(r->watch.fd, block, sizeof block, 0);
    if (n > 0) {
        assert_int_equal(buf_add(&r->in, block, (size_t)n), 0);
    } else if (n == 0 || errno != EAGAIN) {
        r->ended = n == 0;
        r->reset = n < 0;
        assert_int_equal(watch_want(&r->watch, 0), 0);
    }
    loop_stop(r->loop);
}

/* Takes fd. */
static inline struct raw *
raw_new(struct loop *l, int fd)
{
    struct raw *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    r->loop = l;
    buf_init(&r->in, 0);
    watch_init(&r->watch, l, fd, raw_on_ready, r);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    return r;
}

static inline void
raw_free(struct raw *r)
{
    if (!r)
        return;
    watch_fini(&r->watch);
    if (r->watch.fd >= 0)
        close(r->watch.fd);
    buf_free(&r->in);
    free(r);
}

static inline struct sockaddr_in
loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* Connects to a listening port of this process. */
static inline struct raw *
raw_connect(struct loop *l, int port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return raw_new(l, fd);
}

/* Sends it all, running the loop while the kernel is full; gives up when the peer is gone. */
static inline void
raw_send(struct raw *r, const void *bytes, size_t n)
{
    const char *at = bytes;
    int64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    while (n > 0) {
        ssize_t sent = send(r->watch.fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent < 0) {
            assert_true(clock_mono_ms() < until_ms);
            rig_run(r->loop);
            continue;
        }
        at += sent;
        n -= (size_t)sent;
    }
}

static inline void
raw_say(struct raw *r, const char *text)
{
    raw_send(r, text, strlen(text));
}

static inline const char *
raw_text(struct raw *r)
{
    const char *text = buf_str(&r->in);
    return text ? text : "";
}

static inline bool
raw_has(struct raw *r, const char *text)
{
    return strstr(raw_text(r), text) != NULL;
}

static inline bool
raw_is_over(const struct raw *r)
{
    return r->ended || r->reset;
}

#endif
