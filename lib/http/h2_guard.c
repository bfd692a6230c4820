#include "lib/http/h2_guard.h"

#include <nghttp2/nghttp2.h>

#define HEAD_BYTES 9
/* A window update or a DATA frame below these sizes costs more to handle than it is worth. */
#define TINY_WINDOW_BYTES 64
#define TINY_DATA_BYTES 8
/* Open streams whose windows one SETTINGS frame changes for the price of one glitch. */
#define STREAMS_A_GLITCH 8

static void
bucket_init(struct h2_bucket *b, uint32_t burst, uint32_t rate, int64_t now_ms)
{
    *b = (struct h2_bucket){(int64_t)burst * 1000, now_ms, burst, rate};
}

static bool
bucket_take(struct h2_bucket *b, unsigned tokens, int64_t now_ms)
{
    int64_t full = (int64_t)b->burst * 1000;
    int64_t passed_ms = now_ms - b->filled_ms;
    if (passed_ms > 0) {
        /* A rate of n a second is n thousandths a millisecond; a minute fills any bucket. */
        if (passed_ms > 60 * 1000)
            b->millitokens = full;
        else
            b->millitokens += passed_ms * b->rate;
        if (b->millitokens > full)
            b->millitokens = full;
        b->filled_ms = now_ms;
    }
    b->millitokens -= (int64_t)tokens * 1000;
    if (b->millitokens >= 0)
        return true;
    b->millitokens = 0;
    return false;
}

void
h2_guard_init(struct h2_guard *g, size_t preface_bytes, bool is_client, int64_t now_ms)
{
    *g = (struct h2_guard){.skip = preface_bytes, .block_since_ms = -1, .is_client = is_client};
    bucket_init(&g->resets, LIMIT_H2_RESET_BURST, LIMIT_H2_RESET_RATE, now_ms);
    bucket_init(&g->glitches, LIMIT_H2_GLITCH_BURST, LIMIT_H2_GLITCH_RATE, now_ms);
}

bool
h2_guard_reset(struct h2_guard *g, int64_t now_ms)
{
    return g->is_client || bucket_take(&g->resets, 1, now_ms);
}

bool
h2_guard_glitch(struct h2_guard *g, unsigned weight, int64_t now_ms)
{
    return weight == 0 || bucket_take(&g->glitches, weight, now_ms);
}

static uint32_t
frame_length(const struct h2_guard *g)
{
    return (uint32_t)g->head[0] << 16 | (uint32_t)g->head[1] << 8 | g->head[2];
}

static uint32_t
get_31(const unsigned char *p)
{
    return (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes wanted in head before the frame can be judged: its header, then the padding's length or the
 * window's increment or the priority's dependency where there is one. */
static unsigned
wanted_bytes(const struct h2_guard *g)
{
    if (g->have < HEAD_BYTES)
        return HEAD_BYTES;
    uint32_t length = frame_length(g);
    if (g->head[3] == NGHTTP2_DATA && (g->head[4] & NGHTTP2_FLAG_PADDED) && length > 0)
        return HEAD_BYTES + 1;
    if ((g->head[3] == NGHTTP2_WINDOW_UPDATE && length == 4) ||
        (g->head[3] == NGHTTP2_PRIORITY && length == 5))
        return HEAD_BYTES + 4;
    return HEAD_BYTES;
}

static unsigned
data_weight(const struct h2_guard *g)
{
    if (g->head[4] & NGHTTP2_FLAG_END_STREAM)
        return 0;
    uint32_t length = frame_length(g);
    if (g->have > HEAD_BYTES) {
        uint32_t padding = (uint32_t)g->head[HEAD_BYTES] + 1;
        length = padding < length ? length - padding : 0;
    }
    return length < TINY_DATA_BYTES;
}

static unsigned
window_weight(const struct h2_guard *g)
{
    if (g->have < HEAD_BYTES + 4)
        return 1;
    return get_31(g->head + HEAD_BYTES) < TINY_WINDOW_BYTES;
}

/* How many glitches a frame is. */
static unsigned
frame_weight(const struct h2_guard *g, size_t open_streams)
{
    bool ack = g->head[4] & NGHTTP2_FLAG_ACK;
    switch (g->head[3]) {
    case NGHTTP2_DATA:
        return data_weight(g);
    case NGHTTP2_HEADERS:
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_CONTINUATION:
        return 0; /* counted otherwise */
    case NGHTTP2_SETTINGS:
        return ack ? 1 : 1 + (unsigned)(open_streams / STREAMS_A_GLITCH);
    case NGHTTP2_WINDOW_UPDATE:
        return window_weight(g);
    default: /* PRIORITY, PRIORITY_UPDATE, PING, GOAWAY, PUSH_PROMISE, whatever is not known */
        return 1;
    }
}

/* Follows header blocks, for their deadline and the count of their frames. */
static bool
follow_block(struct h2_guard *g, int64_t now_ms)
{
    unsigned char type = g->head[3];
    if (type == NGHTTP2_CONTINUATION) {
        if (++g->continuations > LIMIT_H2_CONTINUATIONS)
            return false;
    } else if (type == NGHTTP2_HEADERS) {
        g->continuations = 0;
        if (g->block_since_ms < 0)
            g->block_since_ms = now_ms;
    } else {
        return true;
    }
    g->block_ends = g->head[4] & NGHTTP2_FLAG_END_HEADERS;
    return true;
}

static int
find_open(const struct h2_guard *g, uint32_t id)
{
    for (unsigned i = g->open_count; i-- > 0;)
        if (g->open[i] == id)
            return (int)i;
    return -1;
}

static void
drop_open(struct h2_guard *g, unsigned at)
{
    g->open_count--;
    memmove(g->open + at, g->open + at + 1, (g->open_count - at) * sizeof(g->open[0]));
}

static void
add_open(struct h2_guard *g, uint32_t id)
{
    if (g->open_count == LIMIT_H2_OPEN_IDS)
        drop_open(g, 0);
    g->open[g->open_count++] = id;
}

/* Follows what the client may still send; false when it may not send this frame. A stream that was
 * never opened is nghttp2's to refuse. */
static bool
follow_stream(struct h2_guard *g)
{
    unsigned char type = g->head[3];
    bool is_message = type == NGHTTP2_HEADERS || type == NGHTTP2_DATA;
    if (g->is_client || (!is_message && type != NGHTTP2_RST_STREAM))
        return true;
    bool is_last = type == NGHTTP2_RST_STREAM || (g->head[4] & NGHTTP2_FLAG_END_STREAM);
    uint32_t id = get_31(g->head + 5);
    if (id > g->last_id) {
        if (type == NGHTTP2_HEADERS) {
            g->last_id = id;
            if (!is_last)
                add_open(g, id);
        }
        return true;
    }
    int at = find_open(g, id);
    if (at >= 0 && is_last)
        drop_open(g, (unsigned)at);
    return at >= 0 || !is_message || id == 0;
}

/* nghttp2, told that priorities are not used, does not look at them. */
static bool
is_bad_priority(const struct h2_guard *g)
{
    uint32_t id = get_31(g->head + 5);
    return g->head[3] == NGHTTP2_PRIORITY &&
           (id == 0 || (g->have >= HEAD_BYTES + 4 && get_31(g->head + HEAD_BYTES) == id));
}

static uint32_t
judge_frame(struct h2_guard *g, size_t open_streams, int64_t now_ms, const char **ret_why)
{
    if (!follow_block(g, now_ms)) {
        *ret_why = "too many CONTINUATION frames";
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
    if (!follow_stream(g)) {
        *ret_why = "a frame on a stream that its sender had closed";
        return NGHTTP2_STREAM_CLOSED;
    }
    if (is_bad_priority(g)) {
        *ret_why = "a malformed PRIORITY frame";
        return NGHTTP2_PROTOCOL_ERROR;
    }
    if (g->head[3] == NGHTTP2_RST_STREAM && !h2_guard_reset(g, now_ms)) {
        *ret_why = "too many streams reset";
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
    if (!h2_guard_glitch(g, frame_weight(g, open_streams), now_ms)) {
        *ret_why = "too many useless frames";
        return NGHTTP2_ENHANCE_YOUR_CALM;
    }
    return 0;
}

static void
end_frame(struct h2_guard *g)
{
    if (g->block_ends)
        g->block_since_ms = -1;
    g->block_ends = false;
}

static struct slice
pass_over(struct slice bytes, size_t *left)
{
    size_t n = *left < bytes.len ? *left : bytes.len;
    *left -= n;
    return slice_from(bytes, n);
}

/* Takes bytes of a frame's head; true when the frame can be judged. */
static bool
take_head(struct h2_guard *g, struct slice *bytes)
{
    unsigned wanted = wanted_bytes(g);
    while (g->have < wanted && bytes->len > 0) {
        g->head[g->have++] = (unsigned char)bytes->at[0];
        *bytes = slice_from(*bytes, 1);
        if (g->have == HEAD_BYTES)
            wanted = wanted_bytes(g);
    }
    return g->have == wanted;
}

uint32_t
h2_guard_push(struct h2_guard *g, struct slice bytes, size_t open_streams, int64_t now_ms,
              const char **ret_why)
{
    bytes = pass_over(bytes, &g->skip);
    while (bytes.len > 0) {
        if (g->left > 0) {
            size_t left = g->left;
            bytes = pass_over(bytes, &left);
            g->left = (uint32_t)left;
            if (g->left == 0)
                end_frame(g);
            continue;
        }
        if (!take_head(g, &bytes))
            break;
        uint32_t code = judge_frame(g, open_streams, now_ms, ret_why);
        if (code != 0)
            return code;
        g->left = frame_length(g) - (g->have - HEAD_BYTES);
        g->have = 0;
        if (g->left == 0)
            end_frame(g);
    }
    return 0;
}
