/*
 * AWS event streams. The first byte says how the rest is cut, the second whether the checksums of
 * its first message are made right first (a fuzzer finds no CRC). Cut or whole, the messages are
 * the same, and encoding what was read gives the bytes again.
 */
#include <string.h>

#include "lib/base/encode.h"
#include "lib/http/eventstream.h"
#include "tests/fuzz/fuzz.h"

#define MAX_MESSAGE_BYTES 4096

static bool
on_message(void *ctx, const struct eventstream_message *m)
{
    struct buf *raw = ctx, again = {0};
    CHECK(m->raw.len >= EVENTSTREAM_FRAME_BYTES && m->raw.len <= MAX_MESSAGE_BYTES);
    CHECK(m->header_count <= LIMIT_EVENTSTREAM_HEADERS);
    CHECK(eventstream_encode(&again, m->headers, m->header_count, m->payload) == 0);
    CHECK(slice_eq(buf_slice(&again), m->raw));
    CHECK(buf_add_slice(raw, m->raw) == 0);
    buf_free(&again);
    return true;
}

static int
parse(const uint8_t *data, size_t n, size_t piece, struct buf *raw, bool *ret_partial)
{
    struct eventstream_parser p;
    int err = 0;
    eventstream_init(&p, MAX_MESSAGE_BYTES);
    for (size_t at = 0; at < n && err == 0; at += piece)
        err = eventstream_push(&p, slice_make(data + at, n - at < piece ? n - at : piece),
                               on_message, raw);
    *ret_partial = eventstream_is_partial(&p);
    eventstream_fini(&p);
    return err;
}

static void
put_u32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* The whole input as one message whose lengths and checksums are right, but for the headers' own
 * length, which stays within it. */
static void
make_right(uint8_t *data, size_t n)
{
    if (n < EVENTSTREAM_FRAME_BYTES)
        return;
    uint32_t room = (uint32_t)n - EVENTSTREAM_FRAME_BYTES;
    uint32_t headers = ((uint32_t)data[4] << 8 | data[5]) % (room + 1);
    put_u32(data, (uint32_t)n);
    put_u32(data + 4, headers);
    put_u32(data + 8, crc32(0, data, 8));
    put_u32(data + n - 4, crc32(0, data, n - 4));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole = {0}, pieces = {0};
    bool partial, partial_in_pieces;
    if (n < 3 || n > 2 * MAX_MESSAGE_BYTES)
        return 0;
    size_t piece = data[0] % 32 + 1u, len = n - 2;
    uint8_t *bytes = malloc(len);
    CHECK(bytes);
    memcpy(bytes, data + 2, len);
    if (data[1] & 1)
        make_right(bytes, len);
    int err = parse(bytes, len, len, &whole, &partial);
    CHECK(parse(bytes, len, piece, &pieces, &partial_in_pieces) == err);
    CHECK(err == 0 || err == ERR_LIMIT || err == ERR_AUTH || err == ERR_SYNTAX);
    CHECK(err != 0 || partial == partial_in_pieces);
    CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    CHECK(whole.len <= len && (whole.len == 0 || memcmp(whole.at, bytes, whole.len) == 0));
    buf_free(&whole);
    buf_free(&pieces);
    free(bytes);
    return 0;
}
