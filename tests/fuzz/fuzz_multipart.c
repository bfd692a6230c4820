/*
 * The reader of forms. The first byte says how the rest is cut; cut or whole, the parts are the
 * same, and every byte of data stands in the input where its offset says.
 */
#include <string.h>

#include "lib/base/buf.h"
#include "lib/http/multipart.h"
#include "tests/fuzz/fuzz.h"

struct seen {
    struct buf text;
    struct slice input;
    bool open;
};

static void
on_part(void *ctx, const struct multipart_part *part)
{
    struct seen *s = ctx;
    CHECK(!s->open && part->name.at);
    s->open = true;
    CHECK(buf_addf(&s->text, "\n%zu %d:", part->name.len, part->is_file) == 0);
    CHECK(buf_add_slice(&s->text, part->name) == 0);
}

static void
on_data(void *ctx, struct slice bytes, uint64_t offset)
{
    struct seen *s = ctx;
    CHECK(s->open && bytes.len && offset + bytes.len <= s->input.len);
    CHECK(memcmp(s->input.at + offset, bytes.at, bytes.len) == 0);
    CHECK(buf_add_slice(&s->text, bytes) == 0);
}

static void
on_part_end(void *ctx)
{
    struct seen *s = ctx;
    CHECK(s->open);
    s->open = false;
}

static const struct multipart_handlers handlers = {on_part, on_data, on_part_end};

static int
parse(struct slice input, size_t piece, struct seen *s)
{
    struct multipart m;
    int err = 0;
    s->input = input;
    multipart_init(&m, SLICE("b"), &handlers, s);
    for (size_t at = 0; at < input.len && !err; at += piece)
        err = multipart_push(
            &m, slice_make(input.at + at, input.len - at < piece ? input.len - at : piece));
    if (!err)
        err = multipart_end(&m);
    CHECK((err != 0) == (m.why != NULL));
    CHECK(err || !s->open);
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct seen whole = {.open = false}, cut = {.open = false};
    struct slice boundary;
    if (n == 0)
        return 0;
    struct slice input = slice_make(data + 1, n - 1);
    int err = parse(input, n, &whole);
    CHECK(parse(input, data[0] % 16 + 1u, &cut) == err);
    CHECK(err || slice_eq(buf_slice(&whole.text), buf_slice(&cut.text)));
    if (multipart_boundary(input, &boundary) == 0)
        CHECK(boundary.len > 0 && boundary.len <= LIMIT_BOUNDARY_BYTES);
    buf_free(&whole.text);
    buf_free(&cut.text);
    return 0;
}
