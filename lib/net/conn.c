/*
 * The stream of bytes to a peer. Read events stay armed while anybody listens; write events are
 * armed only while the kernel refuses output. Everything that must be told outside a readiness
 * callback (a failed write, an immediate connect) is told by the task at the callback's end.
 */
#include "lib/net/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/net/conn_internal.h"

#define LOW_BYTES (64 * 1024)
#define HIGH_BYTES (128 * 1024)
/* Pieces of this size together are worth a system call of their own instead of a copy. */
#define DIRECT_BYTES 8192
/* Corked output of this size does not wait for the end of the callback. */
#define FLUSH_BYTES 65536
/* Reads of one callback: then the others have their turn. */
#define READS_AT_ONCE 4
#define DRAIN_BYTES 65536
#define FULL_LINGER_MS 1000
#define PIECES_AT_ONCE 16
/* A remainder below this leaves the loop's block for an allocation of its own size. */
#define SHRINK_BYTES 4096

/* A conn that nobody listens to any more: its output leaves, then it goes. */
struct finishing {
    struct timer timer;
    struct orphan orphan;
    size_t drained;
};

struct peer {
    struct sockaddr_storage address;
    char text[INET6_ADDRSTRLEN];
};

static void on_linger_due(void *ctx);
static void on_ready(void *ctx, int what);
static void on_task(void *ctx);

/* --- output queue ------------------------------------------------------------------------------
 */

static void
out_release(struct loop *l, struct out *o)
{
    if (o->cap == LOOP_BLOCK_BYTES)
        loop_block_give(l, o->base);
    else
        free(o->base);
    *o = (struct out){0};
}

static int
out_grow(struct loop *l, struct out *o, size_t need)
{
    size_t cap = o->cap ? o->cap : LOOP_BLOCK_BYTES;
    while (cap < need)
        cap *= 2;
    if (cap > UINT32_MAX)
        return ERR_NOMEM;
    char *base = cap == LOOP_BLOCK_BYTES ? loop_block_take(l) : malloc(cap);
    if (!base)
        return ERR_NOMEM;
    uint32_t len = o->len;
    if (len > 0)
        memcpy(base, o->base + o->at, len);
    if (o->base)
        out_release(l, o);
    *o = (struct out){.base = base, .len = len, .cap = (uint32_t)cap};
    return 0;
}

static int
out_room(struct loop *l, struct out *o, size_t n)
{
    if ((size_t)o->at + o->len + n <= o->cap)
        return 0;
    /* Moving is worth it only when half of the room is won: each byte moves a few times in all. */
    if (o->len + n > o->cap || o->at < o->cap / 2)
        return out_grow(l, o, (o->len + n > o->cap ? o->len + n : (size_t)o->cap + 1));
    memmove(o->base, o->base + o->at, o->len);
    o->at = 0;
    return 0;
}

int
out_add(struct loop *l, struct out *o, const char *bytes, size_t n)
{
    if (n == 0)
        return 0;
    int err = out_room(l, o, n);
    if (err != 0)
        return err;
    memcpy(o->base + o->at + o->len, bytes, n);
    o->len += (uint32_t)n;
    return 0;
}

void
out_drop(struct loop *l, struct out *o, size_t n)
{
    assert(n <= o->len);
    o->at += (uint32_t)n;
    o->len -= (uint32_t)n;
    if (o->len == 0 && o->base)
        out_release(l, o);
}

/* A little that stays for long does not hold a whole block. */
static void
out_shrink(struct loop *l, struct out *o)
{
    if (o->len == 0 || o->len > SHRINK_BYTES || o->cap <= 2 * SHRINK_BYTES)
        return;
    char *base = malloc(o->len);
    if (!base)
        return; /* then it keeps the block */
    uint32_t len = o->len;
    memcpy(base, o->base + o->at, len);
    out_release(l, o);
    *o = (struct out){.base = base, .len = len, .cap = len};
}

void
out_free(struct loop *l, struct out *o)
{
    if (o->base)
        out_release(l, o);
}

/* --- birth and death ---------------------------------------------------------------------------
 */

static struct conn *
conn_new(struct loop *l, int fd, const struct conn_handlers *h, void *ctx)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    watch_init(&c->watch, l, fd, on_ready, c);
    c->handlers = h;
    c->ctx = ctx;
    c->low_bytes = LOW_BYTES;
    c->high_bytes = HIGH_BYTES;
    return c;
}

static void
destroy(void *arg)
{
    struct conn *c = arg;
    tls_session_free(c->watch.loop, c->tls);
    out_free(c->watch.loop, &c->out);
    free(c->finishing);
    free(c->peer);
    free(c);
}

/* The descriptor is closed at once, the memory goes after the callback. */
static void
drop(struct conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    loop_unqueue(c->watch.loop, &c->task);
    if (c->finishing) {
        timer_cancel(&c->finishing->timer);
        loop_disown(c->watch.loop, &c->finishing->orphan);
    }
    watch_fini(&c->watch);
    if (c->watch.fd >= 0)
        close(c->watch.fd);
    c->watch.fd = -1;
    loop_bury(c->watch.loop, c, destroy);
}

static void
queue_task(struct conn *c)
{
    loop_after(c->watch.loop, &c->task, on_task, c);
}

/* What is watched follows from the state; no system call when nothing changes. */
static int
watch_update(struct conn *c)
{
    int want = 0;
    if (c->opening) {
        want = c->connecting ? WATCH_WRITE : WATCH_READ;
        if (c->blocked)
            want |= WATCH_WRITE;
    } else {
        if (!c->paused && !c->read_over)
            want |= WATCH_READ;
        if (c->blocked)
            want |= WATCH_WRITE;
    }
    return watch_want(&c->watch, want);
}

struct conn *
conn_accepted(struct loop *l, int fd, struct tls_server *tls, const struct conn_handlers *h,
              void *ctx)
{
    struct conn *c = conn_new(l, fd, h, ctx);
    if (!c) {
        close(fd);
        return NULL;
    }
    if (tls) {
        c->tls = tls_session_server(c, tls);
        c->opening = true;
    }
    if ((tls && !c->tls) || watch_update(c) != 0) {
        drop(c);
        return NULL;
    }
    return c;
}

static int
open_socket(const struct sockaddr *to)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd >= 0 && to->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

struct conn *
conn_connect(struct loop *l, const struct sockaddr *to, socklen_t to_len, struct tls_client *tls,
             const char *tls_name, const struct conn_handlers *h, void *ctx)
{
    int fd = open_socket(to);
    struct conn *c = conn_new(l, fd, h, ctx);
    if (!c) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    c->opening = c->connecting = true;
    if (tls && !(c->tls = tls_session_client(c, tls, tls_name))) {
        c->end_err = ERR_TLS;
        c->end_why = "no TLS session can be made for this name";
        queue_task(c);
        return c;
    }
    if (fd < 0 || (connect(fd, to, to_len) != 0 && errno != EINPROGRESS)) {
        bool ours = fd < 0 || errno == EADDRNOTAVAIL || errno == ENOBUFS;
        c->end_err = ours ? ERR_FULL : ERR_CONNECT;
        c->end_why = fd < 0 ? "no descriptor for a connection"
                     : ours ? "no local port for a connection"
                            : "the connection was refused";
        queue_task(c);
    } else if (watch_update(c) != 0) {
        c->end_err = ERR_FULL;
        c->end_why = "the connection cannot be watched";
        queue_task(c);
    }
    return c; /* a connect that is done already shows as writability */
}

void
conn_set_handlers(struct conn *c, const struct conn_handlers *h, void *ctx)
{
    c->handlers = h;
    c->ctx = ctx;
}

void
conn_offer_alpn(struct conn *c, const char *const *protocols)
{
    if (c->tls)
        tls_offer_alpn(c->tls, protocols);
}

/* --- telling -------------------------------------------------------------------------------------
 */

static bool
is_deaf(const struct conn *c)
{
    return c->closed || c->finishing || c->told_end;
}

/* Tells the end, once. ERR_CLOSED leaves the writing half open: a later failure of it is told too.
 */
static void
tell_end(struct conn *c, int err, const char *why)
{
    if (c->finishing) {
        if (err != ERR_CLOSED || watch_update(c) != 0)
            drop(c);
        return; /* what is still to be sent may be wanted by a peer that has only finished sending
                 */
    }
    if (is_deaf(c))
        return;
    if (err != ERR_CLOSED) {
        c->told_end = true;
        c->read_over = c->write_over = true;
        c->blocked = false;
        out_free(c->watch.loop, &c->out);
        watch_fini(&c->watch);
    } else if (watch_update(c) != 0) {
        tell_end(c, ERR_NOMEM, "no memory");
        return;
    }
    c->handlers->on_end(c->ctx, err, why);
}

static void
tell_later(struct conn *c, int err, const char *why)
{
    if (c->end_err == 0) {
        c->end_err = (int16_t)err;
        c->end_why = why;
    }
    queue_task(c);
}

/* --- writing -------------------------------------------------------------------------------------
 */

static void
write_broke(struct conn *c)
{
    c->write_over = c->write_failed = true;
    c->blocked = false;
    out_free(c->watch.loop, &c->out);
    if (c->tls)
        out_free(c->watch.loop, tls_wire(c->tls));
    /* While we read, what the peer sent before it broke off comes first, and its end after that. */
    if (c->paused || c->read_over || c->finishing)
        tell_later(c, ERR_RESET, "the peer broke the connection");
    else if (watch_update(c) != 0)
        tell_later(c, ERR_NOMEM, "no memory");
}

ssize_t
conn_send_raw(struct conn *c, const void *bytes, size_t n)
{
    ssize_t sent;
    do
        sent = send(c->watch.fd, bytes, n, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* Notes what the kernel took, and whether it left something. */
static void
note_sent(struct conn *c, size_t taken, bool all)
{
    int64_t now = loop_now_ms(c->watch.loop);
    c->bytes_out += taken;
    if (taken > 0 || (!all && !c->blocked))
        c->moved_ms = now;
    if (c->blocked == !all)
        return;
    c->blocked = !all;
    if (watch_update(c) != 0)
        tell_later(c, ERR_NOMEM, "no memory");
}

/* Sends a queue; true when it is empty now. */
static bool
send_queue(struct conn *c, struct out *o)
{
    if (o->len == 0)
        return true;
    size_t want = o->len;
    ssize_t n = conn_send_raw(c, o->base + o->at, want);
    if (n < 0) {
        write_broke(c);
        return false;
    }
    out_drop(c->watch.loop, o, (size_t)n);
    note_sent(c, (size_t)n, (size_t)n == want);
    return (size_t)n == want;
}

static void
send_tls(struct conn *c)
{
    struct out *wire = tls_wire(c->tls);
    while (send_queue(c, wire) && c->out.len > 0 && !c->opening) {
        ssize_t n = tls_write(c->tls, c->out.base + c->out.at, c->out.len);
        if (n < 0) {
            write_broke(c);
            return;
        }
        out_drop(c->watch.loop, &c->out, (size_t)n);
    }
    if (wire->len > 0)
        out_shrink(c->watch.loop, wire);
}

static void
send_fin(struct conn *c)
{
    c->shut_wanted = false;
    c->write_over = true;
    if (c->tls && !c->opening) {
        tls_shutdown(c->tls);
        send_queue(c, tls_wire(c->tls));
    }
    if (c->watch.fd >= 0)
        shutdown(c->watch.fd, SHUT_WR);
}

static void
send_now(struct conn *c)
{
    if (c->write_failed || c->connecting)
        return;
    if (c->tls)
        send_tls(c);
    else if (!c->opening)
        send_queue(c, &c->out);
    if (c->write_failed || c->opening)
        return;
    if (conn_pending(c) == 0) {
        if (c->shut_wanted)
            send_fin(c);
    } else if (c->out.len > 0) {
        out_shrink(c->watch.loop, &c->out);
    }
}

static void
note_marks(struct conn *c)
{
    if (conn_pending(c) > c->high_bytes)
        c->above = true;
}

/* Whether output goes to the kernel right now, or can only be queued. */
static bool
can_send(const struct conn *c)
{
    return !c->opening && !c->blocked && !c->write_failed;
}

static int
after_queueing(struct conn *c)
{
    if (can_send(c)) {
        if (c->out.len >= FLUSH_BYTES)
            send_now(c);
        else
            queue_task(c);
    }
    note_marks(c);
    return 0;
}

int
conn_write(struct conn *c, struct slice bytes)
{
    if (bytes.len >= DIRECT_BYTES)
        return conn_writev(c, &bytes, 1);
    if (!conn_is_writable(c))
        return ERR_BAD_STATE;
    int err = out_add(c->watch.loop, &c->out, bytes.at, bytes.len);
    return err != 0 ? err : after_queueing(c);
}

char *
conn_reserve(struct conn *c, size_t n)
{
    if (!conn_is_writable(c) || out_room(c->watch.loop, &c->out, n) != 0)
        return NULL;
    return c->out.base + c->out.at + c->out.len;
}

void
conn_commit(struct conn *c, size_t n)
{
    assert(c->out.at + c->out.len + n <= c->out.cap);
    c->out.len += (uint32_t)n;
    (void)after_queueing(c);
}

/* Corked output and the pieces in one system call: how many bytes of the pieces were taken. */
static size_t
send_pieces(struct conn *c, const struct slice *pieces, size_t count)
{
    struct iovec iov[PIECES_AT_ONCE];
    struct msghdr message = {.msg_iov = iov};
    size_t queued = c->out.len, want = queued;
    if (queued > 0)
        iov[message.msg_iovlen++] = (struct iovec){c->out.base + c->out.at, queued};
    size_t i = 0;
    for (; i < count && message.msg_iovlen < PIECES_AT_ONCE; i++) {
        iov[message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)pieces[i].at, pieces[i].len};
        want += pieces[i].len;
    }
    ssize_t n;
    do
        n = sendmsg(c->watch.fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        write_broke(c);
        return 0;
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    size_t of_queue = sent < queued ? sent : queued;
    if (of_queue > 0)
        out_drop(c->watch.loop, &c->out, of_queue);
    note_sent(c, sent, sent == want);
    return sent - of_queue;
}

/* The same through TLS: what fits below the mark of waiting ciphertext. */
static size_t
encrypt_pieces(struct conn *c, const struct slice *pieces, size_t count)
{
    size_t taken = 0;
    send_now(c);
    for (size_t i = 0; i < count && can_send(c) && c->out.len == 0; i++) {
        size_t at = 0;
        while (at < pieces[i].len && can_send(c)) {
            ssize_t n = tls_write(c->tls, pieces[i].at + at, pieces[i].len - at);
            if (n < 0) {
                write_broke(c);
                return taken;
            }
            at += (size_t)n;
            taken += (size_t)n;
            if (tls_wire(c->tls)->len >= FLUSH_BYTES || at < pieces[i].len)
                send_queue(c, tls_wire(c->tls));
        }
        if (at < pieces[i].len)
            break;
    }
    send_tls(c);
    return taken;
}

static size_t
total_of(const struct slice *pieces, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].len;
    return total;
}

static size_t
send_direct(struct conn *c, const struct slice *pieces, size_t count)
{
    size_t taken = 0;
    if (c->tls && can_send(c))
        return encrypt_pieces(c, pieces, count);
    while (count > 0 && can_send(c)) {
        size_t some = count < PIECES_AT_ONCE - 1 ? count : PIECES_AT_ONCE - 1;
        taken += send_pieces(c, pieces, some);
        pieces += some;
        count -= some;
    }
    return taken;
}

size_t
conn_send(struct conn *c, const struct slice *pieces, size_t count)
{
    if (!conn_is_writable(c))
        return 0;
    size_t taken = send_direct(c, pieces, count);
    if (taken < total_of(pieces, count))
        c->above = true;
    return taken;
}

int
conn_writev(struct conn *c, const struct slice *pieces, size_t count)
{
    if (!conn_is_writable(c))
        return ERR_BAD_STATE;
    size_t taken = 0;
    if (can_send(c) && c->out.len + total_of(pieces, count) >= DIRECT_BYTES)
        taken = send_direct(c, pieces, count);
    if (c->write_failed)
        return 0; /* its end is told by on_end */
    for (size_t i = 0; i < count; i++) {
        size_t skip = taken < pieces[i].len ? taken : pieces[i].len;
        taken -= skip;
        int err = out_add(c->watch.loop, &c->out, pieces[i].at + skip, pieces[i].len - skip);
        if (err != 0)
            return err;
    }
    return c->out.len > 0 ? after_queueing(c) : 0;
}

void
conn_flush(struct conn *c)
{
    if (can_send(c) && !c->closed)
        send_now(c);
}

size_t
conn_pending(const struct conn *c)
{
    return c->out.len + (c->tls ? tls_wire(c->tls)->len : 0);
}

int64_t
conn_stalled_ms(const struct conn *c)
{
    return c->blocked ? loop_now_ms(c->watch.loop) - c->moved_ms : 0;
}

void
conn_shutdown(struct conn *c)
{
    if (c->closed || c->write_over)
        return;
    c->shut_wanted = true;
    queue_task(c);
}

/* --- reading -------------------------------------------------------------------------------------
 */

/* A peer that goes on sending after our last answer: beyond a bound it is no longer read, but given
 * a moment to read the answer, which a close with unread bytes would destroy. */
static void
drain(struct conn *c, size_t n)
{
    c->finishing->drained += n;
    if (c->finishing->drained <= DRAIN_BYTES)
        return;
    c->paused = true;
    if (watch_update(c) != 0)
        drop(c);
    else if (c->finishing->timer.due_ms > loop_now_ms(c->watch.loop) + FULL_LINGER_MS)
        timer_set(&c->finishing->timer, c->watch.loop, FULL_LINGER_MS, on_linger_due, c);
}

static void
tell_data(struct conn *c, size_t n)
{
    if (c->finishing) {
        drain(c, n);
        return;
    }
    c->handlers->on_data(c->ctx, slice_make(loop_scratch(c->watch.loop), n));
}

static bool
is_listening(const struct conn *c)
{
    return !c->closed && !c->paused && !c->read_over && !c->told_end;
}

static void
read_failed(struct conn *c, int err, const char *why)
{
    c->read_over = true;
    if (c->write_failed && err == ERR_CLOSED) {
        err = ERR_RESET;
        why = "the peer broke the connection";
    }
    tell_end(c, err, why);
}

static void
read_clear(struct conn *c)
{
    for (int i = 0; i < READS_AT_ONCE && is_listening(c); i++) {
        ssize_t n = recv(c->watch.fd, loop_scratch(c->watch.loop), LOOP_SCRATCH_BYTES, 0);
        if (n > 0) {
            c->bytes_in += (uint64_t)n;
            tell_data(c, (size_t)n);
            if (n < LOOP_SCRATCH_BYTES)
                return;
        } else if (n == 0) {
            read_failed(c, ERR_CLOSED, "the peer closed");
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            read_failed(c, ERR_RESET,
                        errno == ETIMEDOUT ? "the peer is silent"
                                           : "the peer broke the connection");
        }
    }
}

static void
read_tls(struct conn *c)
{
    const char *why = "";
    for (int i = 0; i < 4 * READS_AT_ONCE; i++) {
        ssize_t n = tls_read(c->tls, loop_scratch(c->watch.loop), LOOP_SCRATCH_BYTES, &why);
        if (tls_wire(c->tls)->len > 0 && !c->blocked)
            send_now(c); /* alerts, key updates */
        if (n > 0)
            tell_data(c, (size_t)n);
        else if (n == TLS_END)
            read_failed(c, ERR_CLOSED, "the peer closed");
        else if (n == TLS_CUT)
            read_failed(c, ERR_TRUNCATED, why);
        else if (n == TLS_BROKEN)
            read_failed(c, ERR_RESET, why);
        if (n <= 0 || !is_listening(c))
            return;
    }
    queue_task(c); /* OpenSSL may hold more, of which the kernel does not remind us */
}

static void
handshake(struct conn *c)
{
    const char *why = "";
    int done = tls_handshake(c->tls, &why);
    send_tls(c); /* our part of it, or the alert that says why not */
    if (c->closed || c->told_end)
        return;
    if (done == TLS_BROKEN) {
        tell_end(c, ERR_TLS, why);
        return;
    }
    if (done == TLS_WAIT) {
        if (watch_update(c) != 0)
            tell_end(c, ERR_NOMEM, "no memory");
        return;
    }
    c->opening = false;
    if (watch_update(c) != 0) {
        tell_end(c, ERR_NOMEM, "no memory");
        return;
    }
    queue_task(c); /* reads what came with the handshake, sends what was queued meanwhile */
    if (c->handlers->on_open && !c->finishing)
        c->handlers->on_open(c->ctx);
}

static const char *
connect_why(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "the connection was refused";
    case ETIMEDOUT:
        return "connecting timed out";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "the address cannot be reached";
    default:
        return "connecting failed";
    }
}

static void
connected(struct conn *c)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    if (error != 0) {
        tell_end(c, ERR_CONNECT, connect_why(error));
        return;
    }
    c->connecting = false;
    if (c->tls) {
        handshake(c);
        return;
    }
    c->opening = false;
    if (watch_update(c) != 0) {
        tell_end(c, ERR_NOMEM, "no memory");
        return;
    }
    if (conn_pending(c) > 0)
        queue_task(c);
    if (c->handlers->on_open)
        c->handlers->on_open(c->ctx);
}

static void
tell_drained(struct conn *c)
{
    if (c->above && !is_deaf(c) && conn_pending(c) < c->low_bytes) {
        c->above = false;
        if (c->handlers->on_drained)
            c->handlers->on_drained(c->ctx);
    }
}

static void
finish_if_done(struct conn *c)
{
    if (c->finishing && !c->closed && (c->write_failed || (c->write_over && c->read_over)))
        drop(c);
}

static void
on_ready(void *ctx, int what)
{
    struct conn *c = ctx;
    if (c->connecting) {
        connected(c);
        return;
    }
    if (what == WATCH_WRITE) {
        c->blocked = false;
        send_now(c);
        if (!c->closed && !c->blocked && watch_update(c) != 0)
            tell_later(c, ERR_NOMEM, "no memory");
        tell_drained(c);
    } else if (c->opening) {
        handshake(c);
    } else if (c->tls) {
        read_tls(c);
    } else {
        read_clear(c);
    }
    finish_if_done(c);
}

static void
on_task(void *ctx)
{
    struct conn *c = ctx;
    if (c->end_err != 0) {
        int err = c->end_err;
        c->end_err = 0;
        tell_end(c, err, c->end_why);
        return;
    }
    if (!c->blocked)
        send_now(c);
    if (c->end_err != 0)
        return; /* the task is queued again */
    tell_drained(c);
    if (c->tls && !c->opening && is_listening(c) && tls_has_buffered(c->tls))
        read_tls(c);
    finish_if_done(c);
}

void
conn_pause(struct conn *c)
{
    if (c->paused || c->closed)
        return;
    c->paused = true;
    if (!c->told_end && watch_update(c) != 0)
        tell_later(c, ERR_NOMEM, "no memory");
}

void
conn_resume(struct conn *c)
{
    if (!c->paused || c->closed)
        return;
    c->paused = false;
    if (c->told_end || c->opening)
        return;
    if (watch_update(c) != 0)
        tell_later(c, ERR_NOMEM, "no memory");
    if (c->tls && tls_has_buffered(c->tls))
        queue_task(c);
}

/* --- closing -------------------------------------------------------------------------------------
 */

void
conn_close(struct conn *c)
{
    if (!c || c->closed)
        return;
    if (!c->told_end && can_send(c)) {
        c->told_end = true; /* nothing that happens now is told */
        send_now(c);
        if (c->tls && !c->write_over && !c->blocked)
            send_fin(c);
    }
    drop(c);
}

void
conn_abort(struct conn *c)
{
    if (!c || c->closed)
        return;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    drop(c);
}

static void
on_linger_due(void *ctx)
{
    drop(ctx);
}

void
conn_finish(struct conn *c, int linger_ms)
{
    if (!c || c->closed)
        return;
    if (c->told_end || c->opening || c->write_failed ||
        !(c->finishing = calloc(1, sizeof *c->finishing))) {
        conn_close(c);
        return;
    }
    timer_set(&c->finishing->timer, c->watch.loop, linger_ms, on_linger_due, c);
    loop_adopt(c->watch.loop, &c->finishing->orphan, on_linger_due, c);
    c->paused = false;
    if (watch_update(c) != 0) {
        drop(c);
        return;
    }
    if (!c->write_over)
        c->shut_wanted = true;
    queue_task(c);
}

/* --- what it is ----------------------------------------------------------------------------------
 */

void
conn_set_marks(struct conn *c, size_t low_bytes, size_t high_bytes)
{
    c->low_bytes = (uint32_t)low_bytes;
    c->high_bytes = (uint32_t)high_bytes;
}

bool
conn_has_input(const struct conn *c)
{
    char byte;
    if (c->watch.fd < 0)
        return false;
    return (c->tls && tls_has_buffered(c->tls)) || recv(c->watch.fd, &byte, 1, MSG_PEEK) > 0;
}

bool
conn_is_writable(const struct conn *c)
{
    return !c->closed && !c->told_end && !c->write_over && !c->shut_wanted;
}

struct slice
conn_alpn(const struct conn *c)
{
    return c->tls ? tls_alpn(c->tls) : (struct slice){0};
}

bool
conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

static void
format_peer(struct peer *p)
{
    const struct sockaddr_in *v4 = (const void *)&p->address;
    const struct sockaddr_in6 *v6 = (const void *)&p->address;
    if (p->address.ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, p->text, sizeof p->text);
    else if (p->address.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, p->text, sizeof p->text);
    else
        memcpy(p->text, "unix", sizeof "unix");
}

/* Asked of the kernel on first use, since most connections are never asked. */
static const struct peer *
peer_of(const struct conn *c)
{
    static const struct peer unknown = {.text = ""};
    struct conn *own = (struct conn *)(uintptr_t)c;
    if (c->peer)
        return c->peer;
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return &unknown;
    socklen_t n = sizeof p->address;
    if (c->watch.fd < 0 || getpeername(c->watch.fd, (struct sockaddr *)&p->address, &n) != 0) {
        free(p);
        return &unknown;
    }
    format_peer(p);
    own->peer = p;
    return p;
}

const char *
conn_peer(const struct conn *c)
{
    return peer_of(c)->text;
}

const struct sockaddr *
conn_peer_addr(const struct conn *c)
{
    return (const struct sockaddr *)&peer_of(c)->address;
}

uint64_t
conn_bytes_in(const struct conn *c)
{
    return c->bytes_in;
}

uint64_t
conn_bytes_out(const struct conn *c)
{
    return c->bytes_out;
}
