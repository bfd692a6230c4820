/*
 * Between an nghttp2 session and its conn: what server and client connections have in common.
 *
 * Output is pumped out of the session at the end of a callback, so that all a turn has made leaves
 * in one write: a head and its body together. When the conn holds more than it should, pumping
 * stops and data stays in the bounded buffers of the streams, control frames in nghttp2's own queue
 * (whose limit on acknowledgements then ends a peer that floods without reading).
 */
#ifndef LIB_HTTP_H2_IO_H
#define LIB_HTTP_H2_IO_H

#include "lib/http/h2_guard.h"
#include "lib/http/message.h"
#include "lib/net/conn.h"
#include "lib/net/loop.h"

#include <nghttp2/nghttp2.h>

#define H2_FRAME_HEAD_BYTES 9

struct h2_io {
    nghttp2_session *session;
    struct conn *conn;
    struct loop *loop;
    struct h2_guard guard;
    struct task pump;             /* runs `on_pump` after the current callback */
    void (*on_pump)(void *owner); /* the owner's way to h2_io_pump */
    void *owner;
    uint32_t doom_code; /* why a callback ended the session, with a code for GOAWAY */
    const char *doom_why;
    uint32_t goaway_code; /* of the GOAWAY we sent, where nghttp2 found the peer at fault */
    bool lost;            /* the conn takes no more output: its end will be told */
    bool stopped;         /* the conn holds enough; on_drained continues */
    bool dead;            /* nothing may touch session or conn any more */
};

void h2_io_init(struct h2_io *io, struct loop *l, struct conn *c, void (*on_pump)(void *),
                void *owner);
/* Options both sides share; NULL: no memory. The caller frees with nghttp2_option_del. */
nghttp2_option *h2_io_options(void);
/* Frees the session; the conn is the owner's affair. */
void h2_io_fini(struct h2_io *io);
/* Asks for a pump when the current callback has returned. */
void h2_io_wake(struct h2_io *io);
/* Feeds input through the guard into the session. 0, or the code to doom the connection with. */
uint32_t h2_io_push(struct h2_io *io, struct slice bytes, size_t open_streams,
                    const char **ret_why);
/* Moves frames to the conn until there are none or it holds enough. Same result. */
uint32_t h2_io_pump(struct h2_io *io, const char **ret_why);
/* In a callback of nghttp2: remembers why the connection must end. Returns what the callback must
 * return. */
int h2_io_doom(struct h2_io *io, uint32_t code, const char *why);
/* Queues GOAWAY with this code and pumps it out, as far as that goes. */
void h2_io_say_goodbye(struct h2_io *io, uint32_t code);
/* Whether nghttp2 is done with the connection: nothing to read or write any more. */
bool h2_io_is_done(const struct h2_io *io);
/* For nghttp2's send_data callback: writes a DATA frame's head and its payload, which may come in
 * several pieces. What the callback must return. */
int h2_io_send_data(struct h2_io *io, const uint8_t *frame_head, const struct slice *pieces,
                    size_t count);

#endif
