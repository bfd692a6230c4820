#include "tests/unit/check.h"

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/json/scan.h"

static struct json_span
span_of(struct slice text)
{
    struct json_span root;
    struct json_error error;
    assert_int_equal(json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &error), 0);
    return root;
}

static void
test_text_borrows_or_decodes(void **state)
{
    struct arena a;
    struct slice v;
    (void)state;
    arena_init(&a, 0);
    struct slice plain = SLICE(" \"gpt-4o \xe2\x82\xac\" ");
    assert_int_equal(json_text(plain, span_of(plain), &a, &v), 0);
    assert_slice_is(v, "gpt-4o \xe2\x82\xac");
    assert_ptr_equal(v.at, plain.at + 2);
    assert_int_equal(a.total, 0);
    struct slice escaped =
        SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00!\"");
    assert_int_equal(json_text(escaped, span_of(escaped), &a, &v), 0);
    assert_slice_is(v, "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!");
    assert_int_equal(json_text(SLICE("12"), span_of(SLICE("12")), &a, &v), ERR_SYNTAX);
    assert_int_equal(json_text(SLICE("\"\""), span_of(SLICE("\"\"")), &a, &v), 0);
    assert_int_equal(v.len, 0);
    arena_free(&a);
}

static void
test_text_within_a_full_arena(void **state)
{
    struct arena a;
    struct slice v, text = SLICE("\"a\\nb\"");
    (void)state;
    arena_init(&a, 1);
    assert_int_equal(json_text(text, span_of(text), &a, &v), ERR_NOMEM);
    arena_free(&a);
}

static void
test_int(void **state)
{
    static const struct {
        const char *text;
        int err;
        int64_t value;
    } rows[] = {{"0", 0, 0},
                {"-0", 0, 0},
                {"42", 0, 42},
                {"-42", 0, -42},
                {"9223372036854775807", 0, INT64_MAX},
                {"-9223372036854775808", 0, INT64_MIN},
                {"9223372036854775808", ERR_RANGE, 0},
                {"-9223372036854775809", ERR_RANGE, 0},
                {"99999999999999999999999999", ERR_RANGE, 0},
                {"1.0", ERR_SYNTAX, 0},
                {"1e3", ERR_SYNTAX, 0},
                {"\"1\"", ERR_SYNTAX, 0},
                {"true", ERR_SYNTAX, 0},
                {"[1]", ERR_SYNTAX, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t v = 7;
        struct slice text = slice_of(rows[i].text);
        assert_int_equal(json_int(text, span_of(text), &v), rows[i].err);
        if (rows[i].err == 0)
            assert_true(v == rows[i].value);
    }
}

/* --- splicing --- ----------------------------------------------------------------------------- */

static void
expect_pieces(const struct json_splice *edits, size_t count, const char *want, size_t pieces)
{
    struct slice text = SLICE("{\"model\":\"a\",\"n\":1}"), out[16];
    struct buf b;
    size_t n = json_pieces(text, edits, count, out);
    assert_int_equal(n, pieces);
    assert_true(n <= 2 * count + 1);
    buf_init(&b, 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(out[i].len > 0);
        assert_int_equal(buf_add_slice(&b, out[i]), 0);
    }
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
}

static void
test_pieces(void **state)
{
    const struct json_splice rename = {9, 12, {"\"gpt\"", 5}};
    const struct json_splice insert = {1, 1, {"\"x\":0,", 6}};
    const struct json_splice drop = {12, 18, {NULL, 0}};
    const struct json_splice first = {0, 1, {"[", 1}}, last = {18, 19, {"]", 1}};
    const struct json_splice append = {19, 19, {"\n", 1}};
    (void)state;
    expect_pieces(NULL, 0, "{\"model\":\"a\",\"n\":1}", 1);
    expect_pieces(&rename, 1, "{\"model\":\"gpt\",\"n\":1}", 3);
    expect_pieces(&insert, 1, "{\"x\":0,\"model\":\"a\",\"n\":1}", 3);
    expect_pieces(&drop, 1, "{\"model\":\"a\"}", 2);
    expect_pieces(&append, 1, "{\"model\":\"a\",\"n\":1}\n", 2);
    expect_pieces((const struct json_splice[]){first, last}, 2, "[\"model\":\"a\",\"n\":1]", 3);
    expect_pieces((const struct json_splice[]){insert, rename, drop}, 3,
                  "{\"x\":0,\"model\":\"gpt\"}", 5);
}

/* --- quoting --- ------------------------------------------------------------------------------ */

static void
expect_quoted(struct slice text, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(json_quote(&b, text), 0);
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
}

static void
test_quote(void **state)
{
    (void)state;
    expect_quoted(SLICE(""), "\"\"");
    expect_quoted(SLICE("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    expect_quoted(SLICE("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
    expect_quoted(SLICE("\0"), "\"\\u0000\"");
    expect_quoted(SLICE("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    expect_quoted(SLICE("x\xff\xc3y"), "\"x\xef\xbf\xbd\xef\xbf\xbdy\"");
    expect_quoted(SLICE("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void
test_quote_leaves_a_full_buffer_as_it_was(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_add_str(&b, "12345"), 0);
    assert_int_equal(json_quote(&b, SLICE("ab")), ERR_LIMIT);
    assert_slice_is(buf_slice(&b), "12345");
    assert_int_equal(json_quote(&b, SLICE("a")), 0);
    assert_slice_is(buf_slice(&b), "12345\"a\"");
    buf_free(&b);
}

/* --- walking --- ------------------------------------------------------------------------------ */

static void
test_next_over_a_map(void **state)
{
    struct slice text =
        SLICE("{ \"a\" : [1,{\"x\":\"]}\"}] , \"b\\\"\":\"\\\\\",\"c\":{} ,\"d\":-1}");
    static const char *const want[] = {
        "\"a\"", "[1,{\"x\":\"]}\"}]", "\"b\\\"\"", "\"\\\\\"", "\"c\"", "{}", "\"d\"", "-1"};
    struct json_span root = span_of(text), name, value;
    size_t cursor = root.start, n = 0;
    (void)state;
    while (json_next(text, root, &cursor, &name, &value)) {
        assert_true(n < 8);
        assert_slice_is(json_raw(text, name), want[n++]);
        assert_slice_is(json_raw(text, value), want[n++]);
        assert_int_equal(value.name_start, name.start);
    }
    assert_int_equal(n, 8);
    assert_false(json_next(text, root, &cursor, &name, &value));
}

static void
test_next_over_lists(void **state)
{
    static const struct {
        const char *text;
        size_t values;
    } rows[] = {{"[]", 0}, {"[ ]", 0}, {" [1]", 1}, {"[[],[]]", 2}, {"[\"a,b\" , null,true ]", 3},
                {"{}", 0}, {"1", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice text = slice_of(rows[i].text);
        struct json_span root = span_of(text), name, value;
        size_t cursor = root.start, n = 0;
        while (json_next(text, root, &cursor, &name, &value))
            n++;
        assert_int_equal(n, rows[i].values);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_borrows_or_decodes),
        cmocka_unit_test(test_text_within_a_full_arena),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_quote_leaves_a_full_buffer_as_it_was),
        cmocka_unit_test(test_next_over_a_map),
        cmocka_unit_test(test_next_over_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
