/* Looking into valid texts: kinds, members, escapes, numbers, and nothing where there is nothing.
 */
#include "tests/unit/check.h"

#include "lib/json/view.h"

static struct json_view
view(const char *text)
{
    return json_view_of(slice_of(text));
}

static void
test_kinds(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
        const char *raw;
    } rows[] = {
        {" {} ", JSON_MAP, "{}"},          {"[1]\r\n", JSON_LIST, "[1]"},
        {"\"a b\"", JSON_TEXT, "\"a b\""}, {"true", JSON_TRUE_, "true"},
        {"\tfalse", JSON_FALSE_, "false"}, {"null", JSON_NULL_, "null"},
        {"-1e3", JSON_NUMBER, "-1e3"},     {"", JSON_ABSENT, ""},
        {"  ", JSON_ABSENT, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_view v = view(rows[i].text);
        assert_int_equal(v.kind, rows[i].kind);
        assert_slice_is(v.raw, rows[i].raw);
    }
}

static void
test_members(void **state)
{
    static const char *const names[] = {"a", "b", "none"};
    struct json_view at[3], v = view("{\"a\": [1,{\"b\":2}], \"b\" : \"x\\\"}\", \"a\":3}");
    (void)state;
    json_view_fields(v, names, 3, at);
    assert_slice_is(at[0].raw, "3"); /* the last one wins */
    assert_slice_is(at[1].raw, "\"x\\\"}\"");
    assert_int_equal(at[2].kind, JSON_ABSENT);
    assert_int_equal(json_view_count(v), 3);
    assert_int_equal(json_view_count(view("[]")), 0);
    assert_int_equal(json_view_count(view("7")), 0);
    assert_int_equal(json_view_get(view("[\"a\"]"), "a").kind, JSON_ABSENT);
    assert_int_equal(json_view_get((struct json_view){0}, "a").kind, JSON_ABSENT);
}

static void
test_list_in_order(void **state)
{
    struct json_view v = view("[ \"\\\\\" , [\"]\"] ,{\"k\":\"}\"}, 4 ]"), item;
    static const char *const want[] = {"\"\\\\\"", "[\"]\"]", "{\"k\":\"}\"}", "4"};
    struct slice name;
    size_t cursor = 0, n = 0;
    (void)state;
    while (json_view_next(v, &cursor, &name, &item)) {
        assert_null(name.at);
        assert_slice_is(item.raw, want[n++]);
    }
    assert_int_equal(n, 4);
}

static void
test_values(void **state)
{
    struct arena a;
    struct slice text;
    int64_t n;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(json_view_text(view("\"\\u00e9\\n\""), &a, &text), 0);
    assert_slice_is(text, "\xc3\xa9\n");
    assert_int_equal(json_view_text(view("1"), &a, &text), ERR_SYNTAX);
    assert_int_equal(json_view_opt_text(view("null"), &a, &text), 0);
    assert_null(text.at);
    assert_int_equal(json_view_opt_text(view("\"\""), &a, &text), 0);
    assert_non_null(text.at);
    assert_int_equal(json_view_opt_text(view("[]"), &a, &text), ERR_SYNTAX);
    assert_int_equal(json_view_int(view("-12"), &n), 0);
    assert_int_equal(n, -12);
    assert_int_equal(json_view_int_or(view("1.5"), 9), 9);
    assert_int_equal(json_view_int_or(view("\"1\""), 9), 9);
    assert_true(json_view_is(view("\"abc\""), "abc"));
    assert_false(json_view_is(view("abc"), "abc"));
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_list_in_order),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
