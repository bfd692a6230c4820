/*
 * HTTP/1.1 requests through a real server. The first byte says how the rest is cut into writes; the
 * same bytes in one write must be seen as the same requests with the same bodies (F019), and what a
 * handler sees must be what the interface promises.
 */
#include "tests/fuzz/fuzz_peer.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct transcript whole = {.live = 0}, pieces = {.live = 0};
    if (n < 2)
        return 0;
    if (!fuzz_peer.server)
        fuzz_peer_init(&fuzz_peer, true, false);
    size_t piece = data[0] % 64 + 1u;
    if (n / piece > 512)
        piece = n / 512 + 1;
    fuzz_peer_run(&fuzz_peer, NULL, 0, data + 1, n - 1, 0, &whole);
    fuzz_peer_run(&fuzz_peer, NULL, 0, data + 1, n - 1, piece, &pieces);
    CHECK(slice_eq(buf_slice(&whole.text), buf_slice(&pieces.text)));
    /* Every answer begins like one. */
    CHECK(fuzz_peer.got.len < 9 || memcmp(fuzz_peer.got.at, "HTTP/1.1 ", 9) == 0);
    buf_free(&whole.text);
    buf_free(&pieces.text);
    return 0;
}
