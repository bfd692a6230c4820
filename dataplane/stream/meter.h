/*
 * Counts what a stream has given the client, in case it breaks off, or is cut, before the provider
 * reports: chunks that carry text, and the bytes of that text. Sans-I/O.
 *
 * Two numbers come of it. The likely one (state/estimates.h) is what is booked. The sure one here
 * is never more than the true one, however a provider cuts its text into chunks: a stream that is
 * within its limit by its provider's count is within it by this one.
 *
 * Chunks of a stream differ in little but their text, so the place where the text was found last
 * time is tried first: a comparison a chunk instead of a search.
 */
#ifndef DATAPLANE_STREAM_METER_H
#define DATAPLANE_STREAM_METER_H

#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct meter {
    uint64_t chunks;         /* that carried text: each is at least one token */
    uint64_t bytes;          /* of text, as escaped in JSON */
    uint64_t sure_bytes;     /* the same, of each chunk no more than a delta has */
    uint64_t opened, closed; /* chunks at whose beginning a word does; before which one ended */
    unsigned char edge;      /* how the last chunk ended */
    size_t at;               /* where the text began last time; 0: not known */
    unsigned name;           /* under which of the known members */
};

/* data: one chunk's JSON. */
void meter_count(struct meter *m, struct slice data);
/* One chunk's text, not empty. */
void meter_text(struct meter *m, struct slice text);
/* How many tokens it was at least. is_one: all of it is one answer (of several that come at once,
 * where a word ends is not to be seen). */
uint64_t meter_sure_tokens(const struct meter *m, bool is_one);

#endif
