/*
 * An OpenAI event stream on its way through, byte for byte: watched for usage, for an error event
 * and for its own [DONE], and freed of what only the gateway had asked for.
 *
 * Sans-I/O: upstream's bytes in, runs of bytes for the client out. Runs point into the bytes given
 * (or into the held part of an event) and are valid during the emit call; neighbouring events come
 * as one run. Nothing is emitted of an event before all of it is there.
 */
#ifndef DATAPLANE_STREAM_PASSAGE_H
#define DATAPLANE_STREAM_PASSAGE_H

#include "dataplane/dialects/openai.h"
#include "dataplane/stream/meter.h"
#include "lib/http/sse.h"

#include <stdbool.h>
#include <stdint.h>

enum passage_state {
    PASSAGE_OPEN,   /* more is to come */
    PASSAGE_DONE,   /* the upstream's own terminal went by; what follows is dropped */
    PASSAGE_BROKEN, /* an error event came: it is not emitted, its text is in `error` */
};

struct passage {
    enum passage_state state;
    bool strip_usage; /* usage was asked for by us, not by the client */
    struct sse_parser sse;
    struct meter meter; /* what the client has been given, for an estimate */
    struct usage_report *report;
    uint64_t events;  /* with data, emitted or not */
    struct buf error; /* the data of the error event */
    int err;          /* sticky: ERR_PROTOCOL */
    bool ended_cr;    /* the last event's last byte was a CR */
    bool dropped;     /* the last event was not emitted */

    /* during a push */
    void (*emit)(void *ctx, struct slice run);
    void *ctx;
    struct slice run, input;
};

/* report is kept: it must live as long as p. max_event_bytes: see sse_init. */
void passage_init(struct passage *p, struct usage_report *report, bool strip_usage,
                  size_t max_event_bytes);
void passage_fini(struct passage *p);
/* 0; ERR_LIMIT: an event is too long; ERR_PROTOCOL: one is no JSON object; ERR_NOMEM. What came
 * before the failure has been emitted. */
MUST_CHECK int passage_push(struct passage *p, struct slice bytes,
                            void (*emit)(void *ctx, struct slice run), void *ctx);

#endif
