/*
 * The parser of server-sent events. The first byte says how the rest is cut; cut or whole, the
 * events are the same, and the raw bytes of the events with the incomplete rest are the input
 * again.
 */
#include <string.h>

#include "lib/http/sse.h"
#include "tests/fuzz/fuzz.h"

#define MAX_EVENT_BYTES 256

struct events {
    struct buf text; /* names and data, to compare */
    struct buf raw;
};

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct events *to = ctx;
    CHECK(e->raw.len > 0);
    CHECK(e->has_data || e->data.len == 0);
    CHECK(buf_addf(&to->text, "%zu:", e->name.len) == 0);
    CHECK(buf_add_slice(&to->text, e->name) == 0);
    CHECK(buf_addf(&to->text, " %d %zu:", e->has_data, e->data.len) == 0);
    CHECK(buf_add_slice(&to->text, e->data) == 0);
    CHECK(buf_add_slice(&to->raw, e->raw) == 0);
    return true;
}

/* Returns the parser's last verdict. */
static int
parse(const uint8_t *data, size_t n, size_t piece, struct events *to)
{
    struct sse_parser p;
    int err = 0;
    sse_init(&p, MAX_EVENT_BYTES);
    for (size_t at = 0; at < n && err == 0; at += piece)
        err = sse_push(&p, slice_make(data + at, n - at < piece ? n - at : piece), on_event, to);
    if (err == 0) {
        /* An LF whose CR ended the last event may be left over: that is nothing cut off. */
        CHECK(sse_is_partial(&p) ? sse_partial(&p).len > 0 : sse_partial(&p).len <= 1);
        CHECK(buf_add_slice(&to->raw, sse_partial(&p)) == 0);
    }
    sse_fini(&p);
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    size_t piece = data[0] % 32 + 1u;
    struct events whole = {.text = {0}}, pieces = {.text = {0}};
    int err = parse(data + 1, n - 1, n - 1, &whole);
    int err_in_pieces = parse(data + 1, n - 1, piece, &pieces);
    CHECK(err == 0 || err == ERR_LIMIT);
    CHECK(err_in_pieces == 0 || err_in_pieces == ERR_LIMIT);
    /* At the limit itself the two may differ by that LF. */
    if (err == 0 && err_in_pieces == 0) {
        CHECK(slice_eq(buf_slice(&whole.text), buf_slice(&pieces.text)));
        CHECK(slice_eq(buf_slice(&whole.raw), slice_make(data + 1, n - 1)));
        CHECK(slice_eq(buf_slice(&pieces.raw), slice_make(data + 1, n - 1)));
    }
    buf_free(&whole.text);
    buf_free(&whole.raw);
    buf_free(&pieces.text);
    buf_free(&pieces.raw);
    return 0;
}
