/*
 * What an HTTP/2 peer may cost us: token buckets fed by a walk over the frames of the input, beside
 * nghttp2 and before it. Sans-I/O; belongs to one connection.
 *
 * nghttp2 hides from its callbacks just those frames that a flood is made of (unknown types,
 * PRIORITY, ignored DATA), so the frame headers are read here once more: nine bytes a frame.
 *
 *   resets    RST_STREAM that come, and those that the peer makes us send (CVE-2023-44487,
 *             CVE-2025-8671): 1,000, then 33 a second
 *   glitches  frames that are legal and useless: 10,000, then 330 a second
 *
 * At a server it also keeps, from the input alone, which streams the client may still send on.
 * nghttp2 forgets closed streams and passes over what comes for them, at the price of decoding it;
 * what a client sends after its own END_STREAM or RST_STREAM ends the connection (RFC 9113 5.1).
 */
#ifndef LIB_HTTP_H2_GUARD_H
#define LIB_HTTP_H2_GUARD_H

#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_H2_CONTINUATIONS 8 /* frames after one HEADERS: CVE-2024-27316 */
#define LIMIT_H2_RESET_BURST 1000
#define LIMIT_H2_RESET_RATE 33
#define LIMIT_H2_GLITCH_BURST 10000
#define LIMIT_H2_GLITCH_RATE 330
/* Streams a client has begun to send and not ended. Beyond this the oldest are forgotten: they were
 * reset by us long ago, for we allow fewer at a time. */
#define LIMIT_H2_OPEN_IDS 256

struct h2_bucket {
    int64_t millitokens; /* thousandths, so that a rate needs no remainder */
    int64_t filled_ms;
    uint32_t burst, rate;
};

struct h2_guard {
    struct h2_bucket resets, glitches;
    size_t skip;                      /* preface bytes still to come */
    uint32_t left;                    /* payload bytes of the current frame still to come */
    unsigned have;                    /* bytes in head */
    unsigned continuations;           /* of the header block that is open */
    int64_t block_since_ms;           /* the header block began; -1: none is open */
    uint32_t last_id;                 /* the highest stream that had HEADERS */
    uint32_t open[LIMIT_H2_OPEN_IDS]; /* streams the client may still send on, oldest first */
    unsigned open_count;
    unsigned char head[13]; /* the frame header and what of the payload matters */
    bool block_ends;        /* the frame being read ends the open header block */
    bool is_client;         /* then the peer may reset what it wants */
};

/* preface_bytes: 24 at a server, 0 at a client. */
void h2_guard_init(struct h2_guard *g, size_t preface_bytes, bool is_client, int64_t now_ms);
/* Walks the bytes before nghttp2 gets them. open_streams weighs SETTINGS, whose handling costs a
 * step a stream. 0, or the HTTP/2 error code to end the connection with, and *ret_why (static). */
uint32_t h2_guard_push(struct h2_guard *g, struct slice bytes, size_t open_streams, int64_t now_ms,
                       const char **ret_why);
/* Takes from a bucket: false when it is empty. */
bool h2_guard_reset(struct h2_guard *g, int64_t now_ms);
bool h2_guard_glitch(struct h2_guard *g, unsigned weight, int64_t now_ms);

#endif
