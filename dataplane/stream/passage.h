/*
 * A provider's stream on its way to the client: untouched, byte for byte, where both speak the same
 * dialect; translated event by event where they do not (translation.h). Either way it is watched
 * for usage, for an error event and for the provider's own end, and whoever uses it cannot tell
 * which.
 *
 * Sans-I/O: upstream's bytes in, runs of bytes for the client out. Runs point into the bytes given
 * (or into held memory) and are valid during the emit call; neighbouring events come as one run.
 * Nothing is emitted of an event before all of it is there.
 */
#ifndef DATAPLANE_STREAM_PASSAGE_H
#define DATAPLANE_STREAM_PASSAGE_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/stream/meter.h"
#include "lib/http/sse.h"

#include <stdbool.h>
#include <stdint.h>

enum passage_state {
    PASSAGE_OPEN,   /* more is to come */
    PASSAGE_DONE,   /* the upstream's own terminal went by; what follows is dropped */
    PASSAGE_BROKEN, /* an error event came: it is not emitted; passage_error() tells it */
};

struct translation;

struct passage {
    enum passage_state state;
    const struct dialect *dialect;   /* the provider's */
    struct translation *translation; /* NULL: untouched */
    struct watched watched;
    struct sse_parser sse;
    struct meter meter; /* what the client has been given, for an estimate */
    uint64_t events;    /* with data, emitted or not; translated: those that say something */
    struct buf error;   /* untouched: the data of the error event */
    int err;            /* sticky: ERR_PROTOCOL */
    bool ended_cr;      /* the last event's last byte was a CR */
    bool dropped;       /* the last event was not emitted */

    /* during a push */
    void (*emit)(void *ctx, struct slice run);
    void *ctx;
    struct slice run, input;
};

/* Untouched. report is kept: it must live as long as p. max_event_bytes: see sse_init. */
void passage_init(struct passage *p, const struct dialect *dialect, struct usage_report *report,
                  bool strip_usage, size_t max_event_bytes);
/* From the provider's dialect into the client's; x, names and their texts are kept too. 0 or
 * ERR_NOMEM; p must be given to passage_fini either way. */
MUST_CHECK int passage_init_translated(struct passage *p, const struct dialect *provider,
                                       const struct dialect *client, struct usage_report *report,
                                       const struct dialect_exchange *x,
                                       const struct answer_names *names, size_t max_event_bytes);
void passage_fini(struct passage *p);
/* 0; ERR_LIMIT: an event is too long; ERR_PROTOCOL: one is malformed; ERR_NOMEM. What came before
 * the failure has been emitted. */
MUST_CHECK int passage_push(struct passage *p, struct slice bytes,
                            void (*emit)(void *ctx, struct slice run), void *ctx);
/* The connection has ended cleanly: 0 when that is (or may be) the stream's own end, and the rest
 * of it has been emitted; then the state is DONE, or BROKEN. ERR_TRUNCATED: it was cut. */
MUST_CHECK int passage_end(struct passage *p, void (*emit)(void *ctx, struct slice run), void *ctx);
/* After PASSAGE_BROKEN: the provider's error. 0 or ERR_NOMEM. */
MUST_CHECK int passage_error(const struct passage *p, struct arena *a, struct canon_error *ret);

#endif
