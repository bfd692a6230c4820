/*
 * What an HTTP/2 client may send after its preface, through a real server. Bit 0 of the first byte
 * chooses raw bytes or records of which frames with true lengths are made (type, flags, stream,
 * length, payload), so that the fuzzer reaches what lies behind the frame header; the other bits
 * say how the bytes are cut into writes.
 */
#include "tests/fuzz/fuzz_peer.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0"

static void
make_frames(const uint8_t *data, size_t n, struct buf *into)
{
    while (n >= 4) {
        size_t len = data[3];
        if (len > n - 4)
            len = n - 4;
        const unsigned char head[9] = {0, 0,      (unsigned char)len, data[0], data[1], 0, 0,
                                       0, data[2]};
        CHECK(buf_add(into, head, sizeof(head)) == 0);
        CHECK(buf_add(into, data + 4, len) == 0);
        data += 4 + len;
        n -= 4 + len;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct transcript log = {.live = 0};
    struct buf frames;
    if (n < 2)
        return 0;
    if (!fuzz_peer.server)
        fuzz_peer_init(&fuzz_peer, false, true);
    buf_init(&frames, 0);
    if (data[0] & 1)
        CHECK(buf_add(&frames, data + 1, n - 1) == 0);
    else
        make_frames(data + 1, n - 1, &frames);
    size_t piece = data[0] >> 1;
    if (piece > 0 && frames.len / piece > 256)
        piece = frames.len / 256 + 1;
    fuzz_peer_run(&fuzz_peer, PREFACE, sizeof(PREFACE), (const uint8_t *)frames.at, frames.len,
                  piece, &log);
    /* Whatever came, the server's own SETTINGS were the first thing it said. */
    CHECK(fuzz_peer.got.len < 9 || fuzz_peer.got.at[3] == 4);
    buf_free(&frames);
    buf_free(&log.text);
    return 0;
}
