#include "lib/http/eventstream.h"

#include "lib/base/encode.h"

#define CRC_BYTES 4
#define LIMIT_NAME_BYTES 255
#define LIMIT_VALUE_BYTES 32767
#define UUID_BYTES 16

/* What a type's value takes; 0: nothing; VARIABLE: a length of two bytes, then as many. */
#define VARIABLE SIZE_MAX
static const size_t value_bytes[] = {
    [EVENTSTREAM_TRUE] = 0,          [EVENTSTREAM_FALSE] = 0,       [EVENTSTREAM_I8] = 1,
    [EVENTSTREAM_I16] = 2,           [EVENTSTREAM_I32] = 4,         [EVENTSTREAM_I64] = 8,
    [EVENTSTREAM_BYTES] = VARIABLE,  [EVENTSTREAM_TEXT] = VARIABLE, [EVENTSTREAM_TIME] = 8,
    [EVENTSTREAM_UUID] = UUID_BYTES,
};
#define TYPES (sizeof value_bytes / sizeof value_bytes[0])

static uint64_t
read_number(const char *at, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

static uint32_t
read_u32(const char *at)
{
    return (uint32_t)read_number(at, 4);
}

/* --- decoding --------------------------------------------------------------------------------- */

void
eventstream_init(struct eventstream_parser *p, size_t max_message_bytes)
{
    *p = (struct eventstream_parser){.max_message_bytes = max_message_bytes > 0
                                                              ? max_message_bytes
                                                              : LIMIT_EVENTSTREAM_MESSAGE_BYTES};
    buf_init(&p->pending, 0);
}

void
eventstream_fini(struct eventstream_parser *p)
{
    buf_free(&p->pending);
}

struct slice
eventstream_text(const struct eventstream_message *m, const char *name)
{
    for (size_t i = 0; i < m->header_count; i++)
        if (m->headers[i].type == EVENTSTREAM_TEXT && slice_is(m->headers[i].name, name))
            return m->headers[i].bytes;
    return (struct slice){0};
}

/* Cuts n bytes off the front; at == NULL when there are fewer. */
static struct slice
take(struct slice *rest, size_t n)
{
    if (n > rest->len)
        return (struct slice){0};
    struct slice taken = {rest->at, n};
    rest->at += n;
    rest->len -= n;
    return taken;
}

static int64_t
sign_extended(struct slice value)
{
    unsigned unused = (unsigned)(8 * (8 - value.len));
    return (int64_t)(read_number(value.at, value.len) << unused) >> unused;
}

static int
read_value(struct slice *rest, struct eventstream_header *h)
{
    size_t n = value_bytes[h->type];
    if (n == 0)
        return 0;
    if (n == VARIABLE) {
        struct slice length = take(rest, 2);
        if (!length.at)
            return ERR_SYNTAX;
        n = (size_t)read_number(length.at, 2);
    }
    struct slice value = take(rest, n);
    if (!value.at)
        return ERR_SYNTAX;
    if (value_bytes[h->type] <= 8)
        h->number = sign_extended(value);
    else
        h->bytes = value;
    return 0;
}

static int
read_header(struct slice *rest, struct eventstream_header *h)
{
    struct slice length = take(rest, 1);
    *h = (struct eventstream_header){.name =
                                         take(rest, length.at ? (unsigned char)length.at[0] : 0)};
    struct slice type = take(rest, 1);
    if (!type.at || h->name.len == 0 || (unsigned char)type.at[0] >= TYPES)
        return ERR_SYNTAX;
    h->type = (enum eventstream_type)type.at[0];
    return read_value(rest, h);
}

static int
read_headers(struct eventstream_parser *p, struct slice rest, size_t *ret_count)
{
    size_t count = 0;
    while (rest.len > 0) {
        if (count == LIMIT_EVENTSTREAM_HEADERS)
            return ERR_LIMIT;
        int err = read_header(&rest, &p->headers[count++]);
        if (err != 0)
            return err;
    }
    *ret_count = count;
    return 0;
}

/* *ret_total gets the message's length as soon as its prelude is here; 0 before. */
static int
read_prelude(const struct eventstream_parser *p, struct slice s, size_t *ret_total)
{
    *ret_total = 0;
    if (s.len < EVENTSTREAM_PRELUDE_BYTES)
        return 0;
    if (crc32(0, s.at, 8) != read_u32(s.at + 8))
        return ERR_AUTH;
    size_t total = read_u32(s.at), headers = read_u32(s.at + 4);
    if (total < EVENTSTREAM_FRAME_BYTES || headers > total - EVENTSTREAM_FRAME_BYTES)
        return ERR_SYNTAX;
    if (total > p->max_message_bytes || headers > LIMIT_EVENTSTREAM_HEADERS_BYTES)
        return ERR_LIMIT;
    *ret_total = total;
    return 0;
}

static int
read_message(struct eventstream_parser *p, struct slice raw, struct eventstream_message *m)
{
    size_t end = raw.len - CRC_BYTES, headers = read_u32(raw.at + 4);
    if (crc32(0, raw.at, end) != read_u32(raw.at + end))
        return ERR_AUTH;
    struct slice body =
        slice_make(raw.at + EVENTSTREAM_PRELUDE_BYTES, end - EVENTSTREAM_PRELUDE_BYTES);
    *m = (struct eventstream_message){.headers = p->headers, .raw = raw};
    int err = read_headers(p, take(&body, headers), &m->header_count);
    m->payload = body;
    return err;
}

/* Tells the whole messages at the front of *s and cuts them off. */
static int
push_whole(struct eventstream_parser *p, struct slice *s,
           bool (*on_message)(void *ctx, const struct eventstream_message *m), void *ctx)
{
    for (;;) {
        struct eventstream_message m;
        size_t total;
        int err = read_prelude(p, *s, &total);
        if (err != 0 || total == 0 || s->len < total)
            return err;
        err = read_message(p, take(s, total), &m);
        if (err == 0 && !on_message(ctx, &m))
            err = ERR_CANCELLED;
        if (err != 0)
            return err;
    }
}

int
eventstream_push(struct eventstream_parser *p, struct slice bytes,
                 bool (*on_message)(void *ctx, const struct eventstream_message *m), void *ctx)
{
    bool was_pending = p->pending.len > 0;
    if (p->err != 0 || bytes.len == 0)
        return p->err;
    struct slice s = bytes;
    if (was_pending) {
        p->err = buf_add_slice(&p->pending, bytes);
        s = buf_slice(&p->pending);
    }
    if (p->err == 0)
        p->err = push_whole(p, &s, on_message, ctx);
    if (p->err != 0)
        return p->err;
    if (!was_pending) {
        p->err = buf_add_slice(&p->pending, s);
        return p->err;
    }
    buf_drop(&p->pending, p->pending.len - s.len);
    if (p->pending.len == 0)
        buf_free(&p->pending);
    return 0;
}

bool
eventstream_is_partial(const struct eventstream_parser *p)
{
    return p->pending.len > 0;
}

/* --- encoding --------------------------------------------------------------------------------- */

static char *
put_number(char *at, uint64_t v, size_t n)
{
    for (size_t i = n; i > 0; i--, v >>= 8)
        at[i - 1] = (char)(unsigned char)v;
    return at + n;
}

static char *
put_slice(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

static int
check_header(const struct eventstream_header *h)
{
    if (h->name.len == 0 || h->type >= TYPES ||
        (h->type == EVENTSTREAM_UUID && h->bytes.len != UUID_BYTES))
        return ERR_SYNTAX;
    size_t n = value_bytes[h->type];
    if (h->name.len > LIMIT_NAME_BYTES || (n == VARIABLE && h->bytes.len > LIMIT_VALUE_BYTES))
        return ERR_LIMIT;
    if (n == 0 || n >= 8)
        return 0;
    int64_t bound = INT64_C(1) << (8 * n - 1);
    return h->number < -bound || h->number >= bound ? ERR_RANGE : 0;
}

static size_t
header_bytes(const struct eventstream_header *h)
{
    size_t n = value_bytes[h->type];
    return 1 + h->name.len + 1 + (n == VARIABLE ? 2 + h->bytes.len : n);
}

static char *
put_header(char *at, const struct eventstream_header *h)
{
    size_t n = value_bytes[h->type];
    at = put_number(at, h->name.len, 1);
    at = put_slice(at, h->name);
    at = put_number(at, h->type, 1);
    if (n <= 8)
        return put_number(at, (uint64_t)h->number, n);
    if (n == VARIABLE)
        at = put_number(at, h->bytes.len, 2);
    return put_slice(at, h->bytes);
}

int
eventstream_encode(struct buf *into, const struct eventstream_header *headers, size_t count,
                   struct slice payload)
{
    size_t head = 0;
    if (count > LIMIT_EVENTSTREAM_HEADERS || payload.len > LIMIT_EVENTSTREAM_MESSAGE_BYTES)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        int err = check_header(&headers[i]);
        if (err != 0)
            return err;
        head += header_bytes(&headers[i]);
    }
    size_t total = EVENTSTREAM_FRAME_BYTES + head + payload.len;
    if (head > LIMIT_EVENTSTREAM_HEADERS_BYTES || total > LIMIT_EVENTSTREAM_MESSAGE_BYTES ||
        (into->max > 0 && total > into->max - into->len))
        return ERR_LIMIT;
    char *start = buf_reserve(into, total);
    if (!start)
        return ERR_NOMEM;
    char *at = put_number(put_number(start, total, 4), head, 4);
    at = put_number(at, crc32(0, start, 8), 4);
    for (size_t i = 0; i < count; i++)
        at = put_header(at, &headers[i]);
    at = put_slice(at, payload);
    put_number(at, crc32(0, start, total - CRC_BYTES), CRC_BYTES);
    buf_commit(into, total);
    return 0;
}
