#include "tests/unit/check.h"

#include "lib/json/doc.h"

static struct json *
parsed(const char *text)
{
    char why[200] = "";
    struct json *j = NULL;
    if (json_parse(slice_of(text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", text, why);
    return j;
}

static void
assert_written(const struct json *j, bool sorted, int indent, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(json_write(j, sorted, indent, &b), 0);
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
}

static void
test_parse_and_write(void **state)
{
    (void)state;
    struct json *j = parsed(" {\"b\":[1,-2.5,true,null],\"a\":{\"x\":\"\\u00e9\\n\"}} ");
    assert_written(j, false, 0, "{\"b\":[1,-2.5,true,null],\"a\":{\"x\":\"\xc3\xa9\\n\"}}");
    assert_written(j, true, 0, "{\"a\":{\"x\":\"\xc3\xa9\\n\"},\"b\":[1,-2.5,true,null]}");
    assert_written(json_get(j, "a"), true, 2, "{\n  \"x\": \"\xc3\xa9\\n\"\n}");
    json_free(j);
    j = parsed("\"alone\"");
    assert_written(j, true, 0, "\"alone\"");
    json_free(j);
    json_free(NULL);
}

static void
test_write_within_a_bound(void **state)
{
    struct buf b;
    (void)state;
    struct json *j = parsed("{\"a\":\"0123456789\"}");
    buf_init(&b, 10);
    assert_int_equal(buf_add_str(&b, ">"), 0);
    assert_int_equal(json_write(j, false, 0, &b), ERR_LIMIT);
    assert_slice_is(buf_slice(&b), ">");
    buf_free(&b);
    json_free(j);
}

static void
test_parse_says_what_and_where(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "line 1, column 1: empty document"},
        {"{\n \"a\": tru\n}", "line 2, column 7: unexpected character"},
        {"{\"a\":1,}", "line 1, column 8: expected a member name"},
        {"{} {}", "line 1, column 4: unexpected text after the document"},
        {"{\"a\":1,\"a\":2}", "line 1, column 10: duplicate object key"},
        {"99999999999999999999", "line 1, column 20: too big integer"},
        {"\xef\xbb\xbf{}", "line 1, column 1: byte order mark"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[200] = "";
        struct json *j = NULL;
        assert_int_equal(json_parse(slice_of(rows[i].text), &j, why, sizeof(why)), ERR_SYNTAX);
        if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s: %s", rows[i].text, why);
        assert_null(j);
        assert_int_equal(json_parse(slice_of(rows[i].text), &j, why, 5), ERR_SYNTAX);
        assert_int_equal(strlen(why), 4);
        assert_int_equal(json_parse(slice_of(rows[i].text), &j, NULL, 0), ERR_SYNTAX);
    }
}

static void
test_f021_depth_of_documents(void **state)
{
    char text[200], why[100];
    struct json *j = NULL;
    (void)state;
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(json_parse(slice_make(text, 130), &j, why, sizeof(why)), ERR_SYNTAX);
    assert_string_equal(why, "line 1, column 65: nested too deeply");
    assert_int_equal(json_parse(slice_make(text + 1, 128), &j, why, sizeof(why)), 0);
    json_free(j);
}

static void
test_make_and_read(void **state)
{
    int64_t n = 0;
    (void)state;
    struct json *map = json_new_map(), *list = json_new_list();
    assert_int_equal(json_set_text(map, "text", SLICE("a\"b")), 0);
    assert_int_equal(json_set_str(map, "str", "c"), 0);
    assert_int_equal(json_set_str(map, "none", NULL), 0);
    assert_int_equal(json_set_int(map, "int", INT64_MIN), 0);
    assert_int_equal(json_set_bool(map, "yes", true), 0);
    assert_int_equal(json_set_bool(map, "no", false), 0);
    assert_int_equal(json_append(list, json_new_int(1)), 0);
    assert_int_equal(json_append(list, json_new_null()), 0);
    assert_int_equal(json_set(map, "list", list), 0);
    assert_written(map, false, 0,
                   "{\"text\":\"a\\\"b\",\"str\":\"c\",\"none\":null,\"int\":-9223372036854775808,"
                   "\"yes\":true,\"no\":false,\"list\":[1,null]}");
    assert_slice_is(json_str(json_get(map, "text")), "a\"b");
    assert_null(json_str(json_get(map, "int")).at);
    assert_null(json_str(NULL).at);
    assert_int_equal(json_to_int(json_get(map, "int"), &n), 0);
    assert_true(n == INT64_MIN);
    assert_int_equal(json_to_int(json_get(map, "text"), &n), ERR_SYNTAX);
    assert_int_equal(json_to_int(NULL, &n), ERR_SYNTAX);
    assert_true(json_is_true(json_get(map, "yes")));
    assert_false(json_is_true(json_get(map, "no")));
    assert_false(json_is_true(json_get(map, "absent")));
    assert_int_equal(json_size(map), 7);
    assert_int_equal(json_size(json_get(map, "list")), 2);
    assert_int_equal(json_size(json_get(map, "text")), 0);
    assert_int_equal(json_kind(json_at(list, 1)), JSON_NULL_);
    assert_null(json_at(list, 2));
    assert_null(json_get(list, "x"));
    assert_int_equal(json_remove(map, "text"), 0);
    assert_int_equal(json_remove(map, "text"), ERR_NOT_FOUND);
    json_free(map);
}

static void
test_kinds(void **state)
{
    static const enum json_kind want[] = {JSON_NULL_,  JSON_TRUE_, JSON_FALSE_, JSON_NUMBER,
                                          JSON_NUMBER, JSON_TEXT,  JSON_LIST,   JSON_MAP};
    (void)state;
    struct json *j = parsed("[null,true,false,1,1.5,\"\",[],{}]");
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(json_kind(json_at(j, i)), want[i]);
    assert_int_equal(json_kind(NULL), JSON_ABSENT);
    json_free(j);
}

static void
test_no_memory_is_reported_once(void **state)
{
    (void)state;
    struct json *map = json_new_map();
    assert_int_equal(json_set(map, "x", NULL), ERR_NOMEM); /* as a failed json_new_... gives */
    assert_int_equal(json_append(map, json_new_int(1)), ERR_NOMEM); /* freed: ASan would tell */
    assert_int_equal(json_set_text(map, "x", SLICE("\xff")), ERR_NOMEM);
    assert_null(json_new_text(SLICE("\xff")));
    assert_int_equal(json_size(map), 0);
    json_free(map);
}

static void
test_copies_and_references(void **state)
{
    (void)state;
    struct json *j = parsed("{\"a\":{\"b\":[1]},\"c\":\"d\"}");
    struct json *copy = json_copy(j), *same = json_ref(j);
    assert_true(json_equal(j, copy));
    assert_int_equal(json_set_int(json_get(copy, "a"), "x", 1), 0);
    assert_false(json_equal(j, copy));
    assert_null(json_get(json_get(j, "a"), "x"));
    json_free(j);
    assert_slice_is(json_str(json_get(same, "c")), "d");
    json_free(same);
    json_free(copy);
    struct json *x = parsed("{\"a\":1,\"b\":[{}]}"), *y = parsed("{\"b\":[{}],\"a\":1}");
    assert_true(json_equal(x, y));
    assert_false(json_equal(x, NULL));
    json_free(x);
    json_free(y);
}

static void
test_each_in_order(void **state)
{
    const char *name;
    struct json *value;
    void *iter = NULL;
    char seen[16] = "";
    (void)state;
    struct json *j = parsed("{\"z\":0,\"a\":1,\"m\":2}");
    while (json_each(j, &iter, &name, &value))
        strncat(seen, name, sizeof(seen) - strlen(seen) - 1);
    assert_string_equal(seen, "zam");
    json_free(j);
    j = json_new_map();
    iter = NULL;
    assert_false(json_each(j, &iter, &name, &value));
    json_free(j);
}

static void
test_decimals(void **state)
{
    static const struct {
        const char *json, *want;
    } rows[] = {{"\"2.50\"", "2.50"},
                {"2.50", "2.5"},
                {"3", "3"},
                {"-7", "-7"},
                {"0.1", "0.1"},
                {"0.000001", "0.000001"},
                {"1e-9", "0.000000001"},
                {"0.15", "0.15"},
                {"123456.789012", "123456.789012"},
                {"1e3", "1000"},
                {"\"x\"", "x"},
                {"true", NULL},
                {"null", NULL},
                {"[]", NULL},
                {"1e300", NULL},
                {"1e-13", NULL},
                {"\"01234567890123456789012345678901\"", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[JSON_DECIMAL_BYTES];
        struct json *j = parsed(rows[i].json);
        assert_int_equal(json_decimal(j, text), rows[i].want ? 0 : ERR_SYNTAX);
        if (rows[i].want)
            assert_string_equal(text, rows[i].want);
        json_free(j);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_write),
        cmocka_unit_test(test_write_within_a_bound),
        cmocka_unit_test(test_parse_says_what_and_where),
        cmocka_unit_test(test_f021_depth_of_documents),
        cmocka_unit_test(test_make_and_read),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_no_memory_is_reported_once),
        cmocka_unit_test(test_copies_and_references),
        cmocka_unit_test(test_each_in_order),
        cmocka_unit_test(test_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
