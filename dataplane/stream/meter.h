/*
 * Counts what a stream has given the client, in case it breaks off before the provider reports:
 * chunks that carry text, and the bytes of that text. Sans-I/O.
 *
 * Chunks of a stream differ in little but their text, so the place where the text was found last
 * time is tried first: a comparison a chunk instead of a search.
 */
#ifndef DATAPLANE_STREAM_METER_H
#define DATAPLANE_STREAM_METER_H

#include "lib/base/slice.h"

#include <stdint.h>

struct meter {
    uint64_t chunks; /* that carried text: each is at least one token */
    uint64_t bytes;  /* of text, as escaped in JSON */
    size_t at;       /* where the text began last time; 0: not known */
    unsigned name;   /* under which of the known members */
};

/* data: one chunk's JSON. */
void meter_count(struct meter *m, struct slice data);

#endif
