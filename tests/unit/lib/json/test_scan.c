/* The scanner's cases, one by one; test_scan_oracle.c compares it with Jansson on generated ones.
 */
#include "tests/unit/check.h"

#include "lib/base/buf.h"
#include "lib/json/scan.h"

static const char *const names[] = {"model", "stream", "max_tokens", "user"};
#define COUNT (sizeof(names) / sizeof(names[0]))

static int
scan_text(struct slice text, struct json_span *spans, struct json_error *error)
{
    return json_scan(text, &json_limits_default, names, COUNT, spans, NULL, error);
}

/* Scans a document of any kind and checks the verdict and, where it fails, the offset. */
static void
expect(const char *text, size_t len, int err, size_t offset)
{
    struct json_error error = {0};
    int e = json_scan(slice_make(text, len), &json_limits_default, NULL, 0, NULL, NULL, &error);
    if (e != err || (e < 0 && error.offset != offset))
        fail_msg("%.*s: err %d at %zu (%s), want %d at %zu", (int)len, text, e, error.offset,
                 error.reason ? error.reason : "-", err, offset);
    if (e < 0)
        assert_non_null(error.reason);
}

#define GOOD(literal) expect(literal, sizeof(literal) - 1, 0, 0)
#define BAD(literal, offset) expect(literal, sizeof(literal) - 1, ERR_SYNTAX, offset)

static void
test_valid_documents(void **state)
{
    (void)state;
    GOOD("{}");
    GOOD("[]");
    GOOD(" \t\r\n{ } \n");
    GOOD("null");
    GOOD("true");
    GOOD("false");
    GOOD("\"\"");
    GOOD("0");
    GOOD("-0");
    GOOD("-0.0e-0");
    GOOD("1E+9");
    GOOD("1e999999");
    GOOD("123456789012345678901234567890.5");
    GOOD("[1,2 , 3]");
    GOOD("[[],{},[{}]]");
    GOOD("{\"\":1}");
    GOOD("{\"a\":{\"b\":[{\"c\":null}]},\"d\":\"e\"}");
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"");
    GOOD("\"\\ud83d\\ude00 \\uD83D\\uDE00\"");
    GOOD("\"\x7f\"");
    GOOD("\"h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\xef\xbf\xbf\"");
}

static void
test_f020_not_utf8(void **state)
{
    (void)state;
    BAD("\"\x80\"", 1);             /* lone continuation */
    BAD("\"ab\xbf\"", 3);           /* the same, later */
    BAD("\"\xc0\x80\"", 1);         /* overlong NUL */
    BAD("\"\xc1\xbf\"", 1);         /* overlong, two bytes */
    BAD("\"\xe0\x9f\xbf\"", 1);     /* overlong, three bytes */
    BAD("\"\xf0\x8f\xbf\xbf\"", 1); /* overlong, four bytes */
    BAD("\"\xed\xa0\x80\"", 1);     /* high surrogate */
    BAD("\"\xed\xbf\xbf\"", 1);     /* low surrogate */
    BAD("\"\xf4\x90\x80\x80\"", 1); /* U+110000 */
    BAD("\"\xf5\x80\x80\x80\"", 1);
    BAD("\"\xff\"", 1);
    BAD("\"\xc3\"", 1); /* cut off by the quote */
    BAD("\"\xe2\x82", 1);
    BAD("{\"\xc3(\":1}", 2); /* in a name */
    BAD("\xc3\xa9", 0);      /* outside a string */
}

static void
test_f020_byte_order_marks(void **state)
{
    (void)state;
    BAD("\xef\xbb\xbf{}", 0);
    BAD("\xff\xfe{\0}\0", 0);
    BAD("\xfe\xff\0{\0}", 0);
    BAD("{\0}\0", 1);
    GOOD("\"\xef\xbb\xbf\""); /* inside a string it is a character like others */
}

static void
test_f020_surrogate_and_nul_escapes(void **state)
{
    (void)state;
    BAD("\"\\ud800\"", 1);
    BAD("\"x\\udfff\"", 2);
    BAD("\"\\ud800\\u0041\"", 1);
    BAD("\"\\ud800\\ud800\"", 1);
    BAD("\"\\ud800\\\\udc00\"", 1);
    BAD("\"\\udc00\\ud800\"", 1);
    BAD("\"\\ud800\\u", 1);
    BAD("\"\\u0000\"", 1);
    BAD("{\"a\\u0000\":1}", 3);
    BAD("\"a\0b\"", 2); /* a NUL byte */
}

static void
test_strings(void **state)
{
    (void)state;
    BAD("\"", 1);
    BAD("\"abc", 4);
    BAD("\"abc\\", 5);
    BAD("\"abc\\\"", 6);
    BAD("\"\\x41\"", 1);
    BAD("\"\\u12g4\"", 1);
    BAD("\"\\u12\"", 1);
    BAD("\"\\U0041\"", 1);
    BAD("\"a\nb\"", 2);
    BAD("\"a\x1f\"", 2);
    BAD("'a'", 0);
}

/* Every byte value at every place of the eight- and sixteen-byte strides. */
static void
test_each_byte_at_each_place(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < 34; place++) {
            char text[38];
            struct json_error error;
            memset(text, 'x', sizeof(text));
            text[0] = text[36] = '"';
            text[1 + place] = (char)byte;
            int e =
                json_scan(slice_make(text, 37), &json_limits_default, NULL, 0, NULL, NULL, &error);
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            assert_int_equal(e, plain ? 0 : ERR_SYNTAX);
            /* a quote ends the string, so what is wrong is the byte after it */
            if (!plain && byte != '"')
                assert_int_equal(error.offset, 1 + place);
        }
    }
}

static void
test_numbers(void **state)
{
    (void)state;
    BAD("01", 1);
    BAD("-", 1);
    BAD("+1", 0);
    BAD(".5", 0);
    BAD("5.", 2);
    BAD("[5.]", 3);
    BAD("1e", 2);
    BAD("1e+", 3);
    BAD("1.e5", 2);
    BAD("0x10", 1);
    BAD("1_000", 1);
    BAD("-a", 1);
    BAD("1 2", 2);
}

static void
test_f022_what_is_no_json(void **state)
{
    (void)state;
    BAD("", 0);
    BAD("   \n", 4);
    BAD("{}x", 2);
    BAD("{} {}", 3);
    BAD("{}\0", 2);
    BAD("[1]]", 3);
    BAD("NaN", 0);
    BAD("[Infinity]", 1);
    BAD("[-Infinity]", 2);
    BAD("// comment\n{}", 0);
    BAD("{/* comment */}", 1);
    BAD("{\"a\":1} // end", 8);
    BAD("{a:1}", 1);
    BAD("True", 0);
    BAD("nul", 0);
    BAD("[truex]", 5);
    BAD("undefined", 0);
}

static void
test_structure(void **state)
{
    (void)state;
    BAD("{", 1);
    BAD("[", 1);
    BAD("}", 0);
    BAD("]", 0);
    BAD("[1", 2);
    BAD("[1,", 3);
    BAD("[1,]", 3);
    BAD("[,1]", 1);
    BAD("[1 2]", 3);
    BAD("[1}", 2);
    BAD("{\"a\"}", 4);
    BAD("{\"a\":}", 5);
    BAD("{\"a\":1,}", 7);
    BAD("{,}", 1);
    BAD("{\"a\":1]", 6);
    BAD("{\"a\" 1}", 5);
    BAD("{\"a\":1 \"b\":2}", 7);
    BAD("{1:2}", 1);
    BAD("{\"a\":", 5);
    BAD("{\"a\":1", 6);
    BAD("[[]", 3);
    BAD("[{]}", 2);
}

/* --- wanted members --- ----------------------------------------------------------------------- */

static void
test_wanted_members(void **state)
{
    struct slice text =
        SLICE(" { \"messages\": [{\"model\":\"no\",\"stream\":1}], \"model\" : \"gpt\" ,"
              "\"user\":{\"stream\":[]},\"max_tokens\":-12,\"stream\":true } ");
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    assert_int_equal(scan_text(text, spans, &error), 0);
    assert_int_equal(spans[0].kind, JSON_TEXT);
    assert_slice_is(json_raw(text, spans[0]), "\"gpt\"");
    assert_memory_equal(text.at + spans[0].name_start, "\"model\"", 7);
    assert_int_equal(spans[1].kind, JSON_TRUE_);
    assert_slice_is(json_raw(text, spans[1]), "true");
    assert_slice_is(json_raw(text, spans[2]), "-12");
    assert_slice_is(json_raw(text, spans[3]), "{\"stream\":[]}");
    assert_int_equal(spans[3].kind, JSON_MAP);
}

static void
test_absent_members(void **state)
{
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    memset(spans, 0xff, sizeof(spans));
    assert_int_equal(
        scan_text(SLICE("{\"mode\":1,\"models\":2,\"Model\":3,\"\":4}"), spans, &error), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(spans[i].kind, JSON_ABSENT);
}

static void
test_the_root_must_be_an_object(void **state)
{
    static const char *const texts[] = {"[]", "1", "\"model\"", "null", "[{\"model\":1}]"};
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(scan_text(slice_of(texts[i]), spans, &error), ERR_SYNTAX);
}

static void
test_the_root_span(void **state)
{
    struct json_span root;
    struct json_error error;
    (void)state;
    assert_int_equal(
        json_scan(SLICE("  [1,[]] "), &json_limits_default, NULL, 0, NULL, &root, &error), 0);
    assert_int_equal(root.kind, JSON_LIST);
    assert_int_equal(root.start, 2);
    assert_int_equal(root.end, 8);
}

static void
expect_duplicate(const char *text, const char *member, size_t offset)
{
    struct json_span spans[COUNT];
    struct json_error error = {0};
    int e = scan_text(slice_of(text), spans, &error);
    if (e != ERR_CONFLICT || error.offset != offset)
        fail_msg("%s: err %d at %zu", text, e, error.offset);
    assert_string_equal(error.member, member);
    assert_string_equal(error.reason, "duplicate member");
}

static void
test_f021_duplicates(void **state)
{
    (void)state;
    expect_duplicate("{\"model\":\"a\",\"model\":\"b\"}", "model", 13);
    expect_duplicate("{\"model\":\"a\",\"model\":\"a\"}", "model", 13);
    expect_duplicate("{\"stream\":true,\"stream\":false}", "stream", 15);
    expect_duplicate("{\"model\":{},\"x\":[],\"model\":1}", "model", 19);
    expect_duplicate("{\"model\":null,\"model\":1}", "model", 14);
}

static void
test_f021_duplicates_by_escapes(void **state)
{
    (void)state;
    expect_duplicate("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "model", 13);
    expect_duplicate("{\"mod\\u0065l\":\"a\",\"model\":\"b\"}", "model", 18);
    expect_duplicate("{\"\\u006dodel\":1,\"\\u006D\\u006f\\u0064\\u0065\\u006c\":2}", "model", 16);
    expect_duplicate("{\"max_tokens\":1,\"max\\u005ftokens\":2}", "max_tokens", 16);
}

static void
test_a_name_with_escapes_is_found(void **state)
{
    struct slice text = SLICE("{\"\\u0075ser\":\"u\",\"mo\\/del\":1,\"mod\\u00e9l\":2}");
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    assert_int_equal(scan_text(text, spans, &error), 0);
    assert_slice_is(json_raw(text, spans[3]), "\"u\"");
    assert_int_equal(spans[0].kind, JSON_ABSENT);
}

static void
test_duplicates_elsewhere_are_not_our_affair(void **state)
{
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    assert_int_equal(
        scan_text(SLICE("{\"x\":1,\"x\":2,\"y\":{\"model\":1,\"model\":2}}"), spans, &error), 0);
}

/* --- limits --- ------------------------------------------------------------------------------- */

static struct buf
repeated(const char *head, const char *unit, size_t times, const char *tail)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_add_str(&b, head), 0);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_add_str(&b, unit), 0);
    assert_int_equal(buf_add_str(&b, tail), 0);
    return b;
}

static int
scan_buf(struct buf *b, const struct json_limits *limits, struct json_error *error)
{
    int e = json_scan(buf_slice(b), limits, NULL, 0, NULL, NULL, error);
    buf_free(b);
    return e;
}

/* times openings and as many closings around an empty innermost list or map */
static struct buf
nested(const char *open, size_t times, const char *close)
{
    struct buf b = repeated("", open, times, open[0] == '{' ? "1" : "");
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buf_add_str(&b, close), 0);
    return b;
}

static void
test_f021_depth(void **state)
{
    struct json_error error;
    (void)state;
    struct buf b = nested("[", 64, "]");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
    b = nested("{\"a\":", 64, "}");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
    b = nested("[", 65, "]");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    assert_int_equal(error.offset, 64);
    b = nested("{\"a\":", 65, "}");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    b = nested("[", 100000, "]");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    b = repeated("", "[", 10000000, "");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    assert_int_equal(error.offset, 64);
}

static void
test_f021_depth_counts_what_is_open_only(void **state)
{
    struct json_error error;
    (void)state;
    struct buf b = repeated("[0", ",[[{\"a\":[]}]]", 1000, "]");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
}

static void
test_f021_deepest_stack(void **state)
{
    const struct json_limits deep = {.depth = 1000000, .tokens = 1000000};
    struct json_error error;
    (void)state;
    struct buf b = nested("{\"a\":", 1024, "}");
    assert_int_equal(scan_buf(&b, &deep, &error), 0);
    b = nested("{\"a\":", 1025, "}");
    assert_int_equal(scan_buf(&b, &deep, &error), ERR_LIMIT);
}

static void
test_f021_tokens(void **state)
{
    struct json_error error;
    (void)state;
    struct buf b = repeated("[1", ",1", 999998, "]"); /* and the list itself */
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
    b = repeated("[1", ",1", 999999, "]");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    assert_int_equal(error.offset, 2 * 999999 + 1);
    b = repeated("{\"a\":1", ",\"b\":2", 1000000, "}");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), ERR_LIMIT);
    const struct json_limits few = {.depth = 64, .tokens = 3};
    b = repeated("{\"a\":1}", "", 0, "");
    assert_int_equal(scan_buf(&b, &few, &error), 0);
    b = repeated("{\"a\":[1]}", "", 0, "");
    assert_int_equal(scan_buf(&b, &few, &error), ERR_LIMIT);
}

static void
test_f021_long_things(void **state)
{
    struct json_error error;
    (void)state;
    struct buf b = repeated("{\"", "key8byte", 131072, "\":1}"); /* a name of 1 MiB */
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
    b = repeated("[-1", "0123456789", 1000, "]"); /* 10,000 digits */
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
    b = repeated("{\"", "\\u0061", 100000, "\":1}");
    assert_int_equal(scan_buf(&b, &json_limits_default, &error), 0);
}

/* The text ends where its allocation does, so that ASan sees a byte read beyond it. */
static void
test_every_prefix_is_refused(void **state)
{
    static const char whole[] = "{\"mod\\u0065l\":\"\xc3\xa9\xf0\x9f\x98\x80\\ud83d\\ude00\\n\","
                                "\"stream\":[true,false,null,-1.5e+3,{}],\"user\":{\"a\":\"b\"}}";
    struct json_span spans[COUNT];
    struct json_error error;
    (void)state;
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        char *copy = malloc(n > 0 ? n : 1);
        assert_non_null(copy);
        memcpy(copy, whole, n);
        assert_int_equal(scan_text(slice_make(copy, n), spans, &error), ERR_SYNTAX);
        assert_true(error.offset <= n);
        free(copy);
    }
    assert_int_equal(scan_text(slice_make(whole, sizeof(whole) - 1), spans, &error), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_documents),
        cmocka_unit_test(test_f020_not_utf8),
        cmocka_unit_test(test_f020_byte_order_marks),
        cmocka_unit_test(test_f020_surrogate_and_nul_escapes),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_each_byte_at_each_place),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_f022_what_is_no_json),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_wanted_members),
        cmocka_unit_test(test_absent_members),
        cmocka_unit_test(test_the_root_must_be_an_object),
        cmocka_unit_test(test_the_root_span),
        cmocka_unit_test(test_f021_duplicates),
        cmocka_unit_test(test_f021_duplicates_by_escapes),
        cmocka_unit_test(test_a_name_with_escapes_is_found),
        cmocka_unit_test(test_duplicates_elsewhere_are_not_our_affair),
        cmocka_unit_test(test_f021_depth),
        cmocka_unit_test(test_f021_depth_counts_what_is_open_only),
        cmocka_unit_test(test_f021_deepest_stack),
        cmocka_unit_test(test_f021_tokens),
        cmocka_unit_test(test_f021_long_things),
        cmocka_unit_test(test_every_prefix_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
