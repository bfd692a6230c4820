#include "lib/control/wire.h"

#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

#define VARINT_BYTES 10

static size_t
varint_put(unsigned char *at, uint64_t v)
{
    size_t n = 0;

    while (v > 0x7f) {
        at[n++] = (unsigned char)((v & 0x7f) | 0x80);
        v >>= 7;
    }
    at[n++] = (unsigned char)v;
    return n;
}

static void
add(struct wire *w, const void *bytes, size_t n)
{
    if (!w->err)
        w->err = buf_add(w->into, bytes, n);
}

static void
add_varint(struct wire *w, uint64_t v)
{
    unsigned char at[VARINT_BYTES];

    add(w, at, varint_put(at, v));
}

static void
add_tag(struct wire *w, unsigned field, enum wire_type type)
{
    add_varint(w, (uint64_t)field << 3 | type);
}

void
wire_uint(struct wire *w, unsigned field, uint64_t v)
{
    if (!v)
        return;
    add_tag(w, field, WIRE_VARINT);
    add_varint(w, v);
}

void
wire_int(struct wire *w, unsigned field, int64_t v)
{
    wire_uint(w, field, (uint64_t)v);
}

void
wire_bool(struct wire *w, unsigned field, bool v)
{
    wire_uint(w, field, v);
}

void
wire_bytes(struct wire *w, unsigned field, struct slice s)
{
    add_tag(w, field, WIRE_LENGTH);
    add_varint(w, s.len);
    if (s.len)
        add(w, s.at, s.len);
}

void
wire_text(struct wire *w, unsigned field, struct slice s)
{
    if (s.len)
        wire_bytes(w, field, s);
}

size_t
wire_begin(struct wire *w)
{
    return w->into->len;
}

/* The length is known only now: the content moves up to make room for the tag before it. */
void
wire_end(struct wire *w, unsigned field, size_t begun)
{
    size_t n = w->err ? 0 : w->into->len - begun;
    unsigned char head[2 * VARINT_BYTES];
    size_t head_len = varint_put(head, (uint64_t)field << 3 | WIRE_LENGTH);

    head_len += varint_put(head + head_len, n);
    add(w, head, head_len);
    if (w->err)
        return;
    memmove(w->into->at + begun + head_len, w->into->at + begun, n);
    memcpy(w->into->at + begun, head, head_len);
}

static int
take_varint(struct slice *rest, uint64_t *ret_value)
{
    uint64_t v = 0;

    for (size_t i = 0; i < VARINT_BYTES && i < rest->len; i++) {
        unsigned char c = (unsigned char)rest->at[i];

        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c & 0x80)
            continue;
        if (i == VARINT_BYTES - 1 && c > 1)
            return ERR_SYNTAX;
        *rest = slice_from(*rest, i + 1);
        *ret_value = v;
        return 0;
    }
    return ERR_SYNTAX;
}

static int
skip(struct slice *rest, size_t n)
{
    if (n > rest->len)
        return ERR_SYNTAX;
    *rest = slice_from(*rest, n);
    return 0;
}

static int
take_content(struct slice *rest, struct slice *ret_content)
{
    uint64_t n;

    if (take_varint(rest, &n) != 0 || n > rest->len)
        return ERR_SYNTAX;
    *ret_content = slice_make(rest->at, (size_t)n);
    return skip(rest, (size_t)n);
}

int
wire_next(struct slice *rest, unsigned *ret_field, struct slice *ret_content)
{
    uint64_t tag, ignored;
    int err;

    if (rest->len == 0)
        return 0;
    if (take_varint(rest, &tag) != 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return ERR_SYNTAX;
    *ret_field = (unsigned)(tag >> 3);
    *ret_content = (struct slice){0};
    switch (tag & 7) {
    case WIRE_VARINT:
        err = take_varint(rest, &ignored);
        break;
    case WIRE_64:
        err = skip(rest, 8);
        break;
    case WIRE_LENGTH:
        err = take_content(rest, ret_content);
        break;
    case WIRE_32:
        err = skip(rest, 4);
        break;
    default:
        err = ERR_SYNTAX;
        break;
    }
    return err ? err : 1;
}
