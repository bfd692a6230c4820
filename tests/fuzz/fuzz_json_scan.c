/*
 * The scanner on any bytes. Beyond not crashing: its verdict is Jansson's, its spans lie inside the
 * text and are values themselves, walking reaches every one of them, and what is decoded can be
 * quoted and read again.
 */
#include <jansson.h>
#include <string.h>
#undef json_is_true

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/utf8.h"
#include "lib/json/scan.h"
#include "tests/fuzz/fuzz.h"

static const char *const names[] = {"model", "stream", "max_tokens", "user"};
#define COUNT (sizeof(names) / sizeof(names[0]))

/* Whether Jansson takes it; *ret_knows is false where its rules are other than ours. */
static bool
jansson_takes(struct slice text, bool *ret_knows)
{
    json_error_t error = {0};
    json_t *j = json_loadb(text.at, text.len, JSON_DECODE_ANY, &error);
    enum json_error_code code = json_error_code(&error);
    *ret_knows = j || (code != json_error_numeric_overflow && code != json_error_stack_overflow);
    if (memchr(text.at, '\0', text.len))
        *ret_knows = false; /* the end of the text to Jansson */
    json_decref(j);
    return j != NULL;
}

static void
check_string(struct slice text, struct json_span v, struct arena *a)
{
    struct slice s, again;
    struct json_span root;
    struct json_error error;
    struct buf b;
    uint32_t code;
    CHECK(json_text(text, v, a, &s) == 0);
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_take(s.at + i, s.len - i, &code);
        CHECK(n > 0);
    }
    buf_init(&b, 0);
    CHECK(json_quote(&b, s) == 0);
    CHECK(json_scan(buf_slice(&b), &json_limits_default, NULL, 0, NULL, &root, &error) == 0);
    CHECK(json_text(buf_slice(&b), root, a, &again) == 0);
    CHECK(slice_eq(s, again));
    buf_free(&b);
}

/* Depth is bounded by the scan that went before. */
static void
walk(struct slice text, struct json_span v, struct arena *a)
{
    struct json_span name, value;
    size_t cursor = v.start;
    int64_t n;
    CHECK(v.start < v.end && v.end <= text.len);
    if (v.kind == JSON_TEXT)
        check_string(text, v, a);
    if (v.kind == JSON_NUMBER)
        (void)!json_int(text, v, &n);
    while (json_next(text, v, &cursor, &name, &value)) {
        CHECK(value.start > v.start && value.end < v.end);
        if (v.kind == JSON_MAP)
            check_string(text, name, a);
        walk(text, value, a);
    }
}

static void
check_wanted(struct slice text, struct json_span root)
{
    struct json_span spans[COUNT], inner;
    struct json_error error;
    int e = json_scan(text, &json_limits_default, names, COUNT, spans, NULL, &error);
    if (root.kind != JSON_MAP) {
        CHECK(e == ERR_SYNTAX);
        return;
    }
    CHECK(e == 0 || (e == ERR_CONFLICT && error.member));
    for (size_t i = 0; e == 0 && i < COUNT; i++) {
        struct slice piece = json_raw(text, spans[i]), out[3];
        struct json_splice drop = {spans[i].start, spans[i].end, {"null", 4}};
        if (spans[i].kind == JSON_ABSENT)
            continue;
        CHECK(json_scan(piece, &json_limits_default, NULL, 0, NULL, &inner, &error) == 0);
        CHECK(inner.kind == spans[i].kind && inner.start == 0 && inner.end == piece.len);
        CHECK(text.at[spans[i].name_start] == '"');
        CHECK(json_pieces(text, &drop, 1, out) == 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct json_span root;
    struct json_error error = {0};
    bool knows;
    bool takes = jansson_takes(text, &knows);
    int e = json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &error);
    CHECK(e == 0 || (error.reason && error.offset <= size));
    if (knows && e != ERR_LIMIT)
        CHECK(takes == (e == 0));
    if (e == 0) {
        struct arena a;
        arena_init(&a, 0);
        walk(text, root, &a);
        check_wanted(text, root);
        arena_free(&a);
    }
    return 0;
}
