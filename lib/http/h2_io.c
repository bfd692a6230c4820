#include "lib/http/h2_io.h"

/* The conn's output at which pumping stops, and below which it goes on. */
#define HIGH_BYTES ((size_t)128 * 1024)
#define LOW_BYTES ((size_t)32 * 1024)
#define MAX_PIECES 64

void
h2_io_init(struct h2_io *io, struct loop *l, struct conn *c, void (*on_pump)(void *), void *owner)
{
    *io = (struct h2_io){.loop = l, .conn = c, .on_pump = on_pump, .owner = owner};
    conn_set_marks(c, LOW_BYTES, HIGH_BYTES);
}

nghttp2_option *
h2_io_options(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    /* nghttp2 counts one for each piece of input that a frame's head comes in: the guard counts
     * frames. */
    nghttp2_option_set_max_continuations(o, (LIMIT_H2_CONTINUATIONS + 1) * H2_FRAME_HEAD_BYTES);
    return o;
}

void
h2_io_fini(struct h2_io *io)
{
    io->dead = true;
    loop_unqueue(io->loop, &io->pump);
    nghttp2_session_del(io->session);
    io->session = NULL;
}

void
h2_io_wake(struct h2_io *io)
{
    if (!io->dead)
        loop_after_turn(io->loop, &io->pump, io->on_pump, io->owner);
}

int
h2_io_doom(struct h2_io *io, uint32_t code, const char *why)
{
    if (io->doom_code == 0) {
        io->doom_code = code;
        io->doom_why = why;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* What nghttp2's fatal errors mean for the peer. */
static uint32_t
fatal_code(const struct h2_io *io, int error, const char **ret_why)
{
    *ret_why = "HTTP/2 session failed";
    switch (error) {
    case NGHTTP2_ERR_CALLBACK_FAILURE:
        if (io->doom_code != 0)
            *ret_why = io->doom_why;
        return io->doom_code != 0 ? io->doom_code : NGHTTP2_INTERNAL_ERROR;
    case NGHTTP2_ERR_FLOODED:
        *ret_why = "too many acknowledgements not read";
        return NGHTTP2_ENHANCE_YOUR_CALM;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        *ret_why = "not the HTTP/2 preface";
        return NGHTTP2_PROTOCOL_ERROR;
    default:
        return NGHTTP2_INTERNAL_ERROR;
    }
}

uint32_t
h2_io_push(struct h2_io *io, struct slice bytes, size_t open_streams, const char **ret_why)
{
    uint32_t code = h2_guard_push(&io->guard, bytes, open_streams, loop_now_ms(io->loop), ret_why);
    if (code != 0)
        return code;
    ssize_t n = nghttp2_session_mem_recv(io->session, (const uint8_t *)bytes.at, bytes.len);
    return n < 0 ? fatal_code(io, (int)n, ret_why) : 0;
}

/* What a write of the conn said: true unless there was no memory for it. */
static bool
is_written(struct h2_io *io, int err)
{
    if (err != 0 && err != ERR_NOMEM)
        io->lost = true;
    return err != ERR_NOMEM;
}

/* Whether the conn holds too much, after trying to send it. */
static bool
is_full(struct h2_io *io)
{
    if (conn_pending(io->conn) < HIGH_BYTES)
        return false;
    conn_flush(io->conn);
    return conn_pending(io->conn) >= HIGH_BYTES;
}

uint32_t
h2_io_pump(struct h2_io *io, const char **ret_why)
{
    io->stopped = false;
    while (!io->dead && !io->lost) {
        if (is_full(io)) {
            io->stopped = true;
            break;
        }
        const uint8_t *frame;
        ssize_t n = nghttp2_session_mem_send(io->session, &frame);
        if (n < 0)
            return fatal_code(io, (int)n, ret_why);
        if (n == 0 && !io->stopped)
            break;
        io->stopped = false;
        if (n > 0 && !is_written(io, conn_write(io->conn, slice_make(frame, (size_t)n)))) {
            *ret_why = "no memory for the output";
            return NGHTTP2_INTERNAL_ERROR;
        }
    }
    return 0;
}

void
h2_io_say_goodbye(struct h2_io *io, uint32_t code)
{
    const char *why;
    if (io->dead || nghttp2_session_terminate_session(io->session, code) != 0)
        return;
    /* A failure here changes nothing: the connection ends either way. */
    (void)h2_io_pump(io, &why);
}

bool
h2_io_is_done(const struct h2_io *io)
{
    return !nghttp2_session_want_read(io->session) && !nghttp2_session_want_write(io->session);
}

int
h2_io_send_data(struct h2_io *io, const uint8_t *frame_head, const struct slice *pieces,
                size_t count)
{
    struct slice all[MAX_PIECES + 1];
    all[0] = slice_make(frame_head, H2_FRAME_HEAD_BYTES);
    size_t n = 1;
    for (size_t i = 0; i < count; i++) {
        if (n == MAX_PIECES + 1) {
            if (!is_written(io, conn_writev(io->conn, all, n)))
                return h2_io_doom(io, NGHTTP2_INTERNAL_ERROR, "no memory for the output");
            n = 0;
        }
        all[n++] = pieces[i];
    }
    if (!is_written(io, conn_writev(io->conn, all, n)))
        return h2_io_doom(io, NGHTTP2_INTERNAL_ERROR, "no memory for the output");
    if (!io->lost && conn_pending(io->conn) < HIGH_BYTES)
        return 0;
    io->stopped = true;
    return NGHTTP2_ERR_PAUSE;
}
