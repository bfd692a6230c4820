/*
 * Guts shared by h2_server.c (the connection) and h2_stream.c (its streams). Nobody else includes
 * it.
 *
 * Ownership: the connection owns its streams, on c->streams from the first byte of their head until
 * nghttp2 has closed them. A stream that the handler has ended (base.ended) lives on until its
 * output has left. nghttp2 is never pumped inside its own callbacks nor inside a handler's call, so
 * a stream is freed only where nobody holds it.
 */
#ifndef LIB_HTTP_H2_SERVER_INTERNAL_H
#define LIB_HTTP_H2_SERVER_INTERNAL_H

#include "lib/http/h2_fields.h"
#include "lib/http/h2_io.h"
#include "lib/http/stream.h"

struct h2_stream {
    struct http_stream base;
    TAILQ_ENTRY(h2_stream) link;
    TAILQ_ENTRY(h2_stream) ready_link; /* in c->ready while is_ready */
    int32_t id;
    struct buf out;              /* answer's body not yet in frames */
    struct buf held;             /* request's body that came while paused */
    size_t owed;                 /* of held: the connection's window has not been given back */
    int64_t declared;            /* length of the answer's body, -1: open */
    uint64_t written;            /* of the answer's body, by the handler */
    uint64_t received;           /* of the request's body */
    uint64_t most;               /* that it may have */
    uint64_t leftover;           /* of it, after the answer was out */
    uint64_t rate_bytes;         /* received when rate_ms was set */
    int64_t body_ms;             /* the last byte of the body came, or reading went on */
    int64_t rate_ms;             /* beginning of the span over which the rate is averaged */
    int64_t stall_ms;            /* output began to wait, or moved on enough */
    size_t stall_sent;           /* bytes sent since */
    struct http_field *trailers; /* in the arena */
    size_t trailer_count;
    bool known; /* the handler was told: on_abort is owed unless ended */
    bool is_ready;
    bool paused;       /* by the handler */
    bool remote_ended; /* the request is complete, as far as it was received */
    bool told_end;     /* on_body_end was called, or is not owed any more */
    bool bodiless;     /* no body may go out: HEAD, 204, 304 */
    bool deferred;     /* nghttp2 waits for http_write */
    bool with_data;    /* the answer has a data provider */
    bool eof;          /* the answer is complete in out */
    bool breaking;     /* RST_STREAM follows what is in out */
    bool unwanted;     /* the rest of the request: its window is not given back any more */
    bool sent_end;     /* END_STREAM has gone out */
    bool want_drained; /* http_write said ERR_AGAIN */
    bool was_reset;    /* by the client */
};

struct h2_server_conn {
    struct http_server_conn base;
    struct h2_io io;
    struct http_server_core *core;
    TAILQ_HEAD(, h2_stream) streams;
    TAILQ_HEAD(, h2_stream) ready; /* a handler is to be called from the pump */
    size_t stream_count;
    size_t held_bytes;   /* of all streams' out */
    size_t paused_bytes; /* of all streams' held */
    struct h2_head head; /* the header block being decoded: there is only ever one */
    struct h2_head trailers;
    int64_t opened_ms;
    int64_t idle_since_ms; /* no stream since */
    int64_t drain_ms;      /* shutdown was announced; 0: no */
    int64_t output_ms;     /* the conn last took something while output waited */
    uint64_t output_bytes; /* conn_bytes_out then */
    bool settings_acked;
    bool input_over; /* FIN came: what runs may finish */
    bool last_call;  /* the final GOAWAY was queued */
};

static inline struct h2_server_conn *
h2_conn_of(const struct h2_stream *st)
{
    return (struct h2_server_conn *)st->base.conn;
}

/* Opens a stream for a request whose head begins; NULL: no memory. */
struct h2_stream *h2_stream_new(struct h2_server_conn *c, int32_t id);
/* Unlinks and frees. */
void h2_stream_free(struct h2_stream *st);
/* The same after the current callback, for use where the stream may be on the call stack. */
void h2_stream_bury(struct h2_stream *st);
/* Tells the handler that it is over, once, if it does not know. */
void h2_stream_abandon(struct h2_stream *st, int err, const char *why);
/* Answers with an error of the server's own and abandons with err. */
void h2_stream_refuse(struct h2_stream *st, int status, const char *code, int err, const char *why);
/* The request's head is complete and fine: to the handler. */
void h2_stream_begin(struct h2_stream *st);
/* A piece of the request's body came; the end of it. */
void h2_stream_body(struct h2_stream *st, struct slice bytes);
void h2_stream_body_end(struct h2_stream *st);
/* What the pump owes this stream's handler: held body, on_drained. */
void h2_stream_serve(struct h2_stream *st);
/* Deadlines of body and output. */
void h2_stream_tick(struct h2_stream *st, int64_t now_ms);
/* nghttp2's send_data callback. */
int h2_stream_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t length, nghttp2_data_source *source, void *user_data);

#endif
