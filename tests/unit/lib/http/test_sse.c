/*
 * Server-sent events: every stream of a table, split at every offset and byte by byte, gives the
 * same events, and the raw bytes together are the stream (F062, F063).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/http/sse.h"

/* What the events of a stream were, written down: "name|data;" each, "-" where there is no data. */
struct seen {
    struct buf text;
    struct buf raw;
    int stop_after; /* events; 0: never */
    int events;
};

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct seen *s = ctx;
    s->events++;
    assert_int_equal(buf_add_slice(&s->text, e->name), 0);
    assert_int_equal(buf_add_str(&s->text, e->has_data ? "|" : "-"), 0);
    assert_int_equal(buf_add_slice(&s->text, e->data), 0);
    assert_int_equal(buf_add_str(&s->text, ";"), 0);
    assert_int_equal(buf_add_slice(&s->raw, e->raw), 0);
    return s->stop_after == 0 || s->events < s->stop_after;
}

static void
seen_init(struct seen *s)
{
    *s = (struct seen){.events = 0};
    buf_init(&s->text, 0);
    buf_init(&s->raw, 0);
}

static void
seen_fini(struct seen *s)
{
    buf_free(&s->text);
    buf_free(&s->raw);
}

struct stream {
    const char *bytes, *events, *rest; /* rest: the partial event at the end */
};

static const struct stream streams[] = {
    {"", "", ""},
    {"data: a\n\n", "|a;", ""},
    {"data:a\n\n", "|a;", ""},
    {"data:  a\n\n", "| a;", ""},
    {"data\n\n", "|;", ""},
    {"data:\n\n", "|;", ""},
    {"data: \n\n", "|;", ""},
    {"data: a\r\n\r\n", "|a;", ""},
    {"data: a\r\r", "|a;", ""},
    {"data: a\n\r\n", "|a;", ""},
    {"data: a\r\n\n", "|a;", ""},
    {"data: a\n\r", "|a;", ""},
    {"data: a\n\ndata: b\n\n", "|a;|b;", ""},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "|a;|b;", ""},
    {"data: a\r\rdata: b\r\r", "|a;|b;", ""},
    {"data: a\ndata: b\n\n", "|a\nb;", ""},
    {"data: a\r\ndata: b\r\ndata: c\r\n\r\n", "|a\nb\nc;", ""},
    {"data\ndata\n\n", "|\n;", ""},
    {"data:\ndata: x\n\n", "|\nx;", ""},
    {"event: tick\ndata: a\n\n", "tick|a;", ""},
    {"data: a\nevent:tick\n\n", "tick|a;", ""},
    {"event: a\nevent: b\ndata: x\n\n", "b|x;", ""},
    {"event: tick\n\n", "tick-;", ""},
    {": comment\n\n", "-;", ""},
    {": comment\ndata: a\n\n", "|a;", ""},
    {"id: 7\nretry: 10\ndata: a\n\n", "|a;", ""},
    {"\n\n\ndata: a\n\n", "-;-;-;|a;", ""},
    {"\r\n\r\ndata: a\n\n", "-;-;|a;", ""},
    {"unknown: x\ndata: a\n\n", "|a;", ""},
    {"databc: x\nxdata: y\n\n", "-;", ""},
    {"data : x\n\n", "-;", ""},
    {"data: a:b: c\n\n", "|a:b: c;", ""},
    {"data: a\n\ndata: b", "|a;", "data: b"},
    {"data: a\n\ndata: b\n", "|a;", "data: b\n"},
    {"data: a\n\ndata: b\r\n\r\nda", "|a;|b;", "da"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "|a;", ""},
    {"\xef\xbb\xbf"
     "data: a\n\n\xef\xbb\xbf"
     "data: b\n\n",
     "|a;-;", ""},
    {"\xef\xbb"
     "data: a\n\n",
     "-;", ""},
    {"\xef\xbb\xbf\n\n", "-;-;", ""},
    {"data: \xf0\x9f\x98\x80 \xe2\x82\xac\n\n", "|\xf0\x9f\x98\x80 \xe2\x82\xac;", ""},
    {"data: x\n\r\n\r\rdata: y\n\n", "|x;-;-;|y;", ""},
    {"data: {\"a\":1}\n\ndata: [DONE]\n\n", "|{\"a\":1};|[DONE];", ""},
    {"event: error\r\ndata: {\r\ndata: }\r\n\r\n", "error|{\n};", ""},
};
#define STREAMS (sizeof streams / sizeof *streams)

/* Feeds the stream in pieces cut at the given offsets and checks everything. */
static void
feed(const struct stream *st, const size_t *cuts, size_t count)
{
    struct sse_parser p;
    struct seen s;
    size_t len = strlen(st->bytes), at = 0;
    sse_init(&p, 0);
    seen_init(&s);
    for (size_t i = 0; i <= count; i++) {
        size_t end = i < count ? cuts[i] : len;
        /* A copy of exactly these bytes, so that a read beyond them is a read beyond the heap. */
        char *piece = malloc(end - at + 1);
        assert_non_null(piece);
        memcpy(piece, st->bytes + at, end - at);
        piece = realloc(piece, end - at > 0 ? end - at : 1);
        assert_int_equal(sse_push(&p, slice_make(piece, end - at), on_event, &s), 0);
        free(piece);
        at = end;
    }
    assert_string_equal(buf_str(&s.text), st->events);
    struct slice rest = sse_partial(&p);
    assert_int_equal(s.raw.len + rest.len, len);
    if (s.raw.len > 0)
        assert_memory_equal(s.raw.at, st->bytes, s.raw.len);
    if (rest.len > 0)
        assert_memory_equal(rest.at, st->bytes + s.raw.len, rest.len);
    assert_int_equal(sse_is_partial(&p), *st->rest != '\0');
    seen_fini(&s);
    sse_fini(&p);
}

static void
test_whole_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAMS; i++)
        feed(&streams[i], NULL, 0);
}

static void
test_f063_split_at_every_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t a = 0; a <= strlen(streams[i].bytes); a++)
            feed(&streams[i], &a, 1);
}

static void
test_f063_split_at_every_two_offsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t a = 0; a <= strlen(streams[i].bytes); a++)
            for (size_t b = a; b <= strlen(streams[i].bytes); b++)
                feed(&streams[i], (size_t[]){a, b}, 2);
}

static void
test_f063_byte_by_byte(void **state)
{
    size_t cuts[256];
    (void)state;
    for (size_t i = 0; i < 256; i++)
        cuts[i] = i;
    for (size_t i = 0; i < STREAMS; i++)
        feed(&streams[i], cuts, strlen(streams[i].bytes));
}

/* Random streams of the bytes that matter: any split gives what the whole gives. */
static void
test_f063_random_streams_do_not_depend_on_the_split(void **state)
{
    static const char *const atoms[] = {"\r", "\n",  "\r\n", "data:", "data: x",      "event: e",
                                        ":",  ": c", "x",    " ",     "\xef\xbb\xbf", "data"};
    (void)state;
    srand(63);
    for (int round = 0; round < 3000; round++) {
        char bytes[256] = "";
        int n = rand() % 24;
        for (int i = 0; i < n; i++)
            strncat(bytes, atoms[(size_t)rand() % (sizeof atoms / sizeof *atoms)],
                    sizeof bytes - strlen(bytes) - 1);
        struct sse_parser p;
        struct seen s;
        sse_init(&p, 0);
        seen_init(&s);
        assert_int_equal(sse_push(&p, slice_of(bytes), on_event, &s), 0);
        struct stream st = {bytes, buf_str(&s.text), sse_is_partial(&p) ? "yes" : ""};
        size_t len = strlen(bytes);
        for (int k = 0; k < 8; k++) {
            size_t a = (size_t)rand() % (len + 1), b = a + (size_t)rand() % (len - a + 1);
            feed(&st, (size_t[]){a, b}, 2);
        }
        seen_fini(&s);
        sse_fini(&p);
    }
}

static void
test_an_event_that_lies_whole_is_not_copied(void **state)
{
    static const char bytes[] = "data: a\n\nevent: x\ndata: b\n\n";
    struct sse_parser p;
    struct seen s;
    (void)state;
    sse_init(&p, 0);
    seen_init(&s);
    assert_int_equal(sse_push(&p, SLICE("data: a\n\nevent: x\ndata: b\n\n"), on_event, &s), 0);
    assert_null(p.pending.base);
    assert_int_equal(s.raw.len, sizeof bytes - 1);
    seen_fini(&s);
    sse_fini(&p);
}

static void
test_the_pending_memory_goes_when_the_event_is_whole(void **state)
{
    struct sse_parser p;
    struct seen s;
    (void)state;
    sse_init(&p, 0);
    seen_init(&s);
    assert_int_equal(sse_push(&p, SLICE("data: a"), on_event, &s), 0);
    assert_non_null(p.pending.base);
    assert_int_equal(sse_push(&p, SLICE("b\n\n"), on_event, &s), 0);
    assert_string_equal(buf_str(&s.text), "|ab;");
    assert_null(p.pending.base);
    seen_fini(&s);
    sse_fini(&p);
}

static int
push_event_of(size_t n, size_t max, size_t piece)
{
    struct sse_parser p;
    struct seen s;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    memset(bytes, 'x', n);
    memcpy(bytes, "data: ", 6);
    memcpy(bytes + n - 2, "\n\n", 2);
    sse_init(&p, max);
    seen_init(&s);
    int err = 0;
    for (size_t at = 0; at < n && err == 0; at += piece)
        err = sse_push(&p, slice_make(bytes + at, n - at < piece ? n - at : piece), on_event, &s);
    if (err == 0)
        assert_int_equal(s.events, 1);
    else
        assert_int_equal(sse_push(&p, SLICE("data: a\n\n"), on_event, &s), err); /* sticky */
    seen_fini(&s);
    sse_fini(&p);
    free(bytes);
    return err;
}

static void
test_f062_an_event_has_a_limit(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, 1 << 20};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(push_event_of(999, 1000, pieces[i]), 0);
        assert_int_equal(push_event_of(1000, 1000, pieces[i]), 0);
        assert_int_equal(push_event_of(1001, 1000, pieces[i]), ERR_LIMIT);
    }
    assert_int_equal(push_event_of(16 << 20, 0, 65536), 0);
    assert_int_equal(push_event_of((16 << 20) + 1, 0, 65536), ERR_LIMIT);
}

/* Sixteen megabytes in small pieces, no line end: each byte is looked at once, or this takes hours.
 */
static void
test_f062_a_long_line_costs_no_more_than_its_length(void **state)
{
    (void)state;
    assert_int_equal(push_event_of(8 << 20, 0, 100), 0);
}

static void
test_the_receiver_can_stop(void **state)
{
    struct sse_parser p;
    struct seen s;
    (void)state;
    sse_init(&p, 0);
    seen_init(&s);
    s.stop_after = 2;
    assert_int_equal(sse_push(&p, SLICE("data: 1\n\ndata: 2\n\ndata: 3\n\n"), on_event, &s),
                     ERR_CANCELLED);
    assert_int_equal(s.events, 2);
    assert_int_equal(sse_push(&p, SLICE("data: 4\n\n"), on_event, &s), ERR_CANCELLED);
    assert_int_equal(s.events, 2);
    seen_fini(&s);
    sse_fini(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_streams),
        cmocka_unit_test(test_f063_split_at_every_offset),
        cmocka_unit_test(test_f063_split_at_every_two_offsets),
        cmocka_unit_test(test_f063_byte_by_byte),
        cmocka_unit_test(test_f063_random_streams_do_not_depend_on_the_split),
        cmocka_unit_test(test_an_event_that_lies_whole_is_not_copied),
        cmocka_unit_test(test_the_pending_memory_goes_when_the_event_is_whole),
        cmocka_unit_test(test_f062_an_event_has_a_limit),
        cmocka_unit_test(test_f062_a_long_line_costs_no_more_than_its_length),
        cmocka_unit_test(test_the_receiver_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
