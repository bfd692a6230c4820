#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/table.h"

static const struct table_column columns[] = {
    {"NAME", "name", false, 0},
    {"NOTE", "note", false, 2},
    {"COST", "cost", true, 0},
    {"EXTRA", "deep.er", true, 1},
};

/* The table at a width, as one text the caller frees. */
static char *
printed(const char *rows, size_t width)
{
    char why[200], *text = NULL;
    size_t size = 0;
    struct json *list = NULL;
    assert_int_equal(json_parse(slice_of(rows), &list, why, sizeof(why)), 0);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    table_print(out, columns, 4, list, width);
    fclose(out);
    json_free(list);
    return text;
}

static void
assert_printed(const char *rows, size_t width, const char *want)
{
    char *text = printed(rows, width);
    assert_string_equal(text, want);
    free(text);
}

static void
test_natural_width(void **state)
{
    (void)state;
    assert_printed("[{\"name\":\"a\",\"note\":\"first\",\"cost\":\"0.10\",\"deep\":{\"er\":7}},"
                   " {\"name\":\"longer\",\"note\":null,\"cost\":\"12.00\"}]",
                   200,
                   "NAME    NOTE    COST  EXTRA\n"
                   "a       first   0.10      7\n"
                   "longer  -      12.00      -\n");
    assert_printed("[]", 200, "NAME  NOTE  COST  EXTRA\n");
}

static void
test_narrow(void **state)
{
    (void)state;
    const char *rows =
        "[{\"name\":\"short\",\"note\":\"a note that does not fit\",\"cost\":\"1.00\","
        "\"deep\":{\"er\":1}}]";
    assert_printed(rows, 34,
                   "NAME   NOTE            COST  EXTRA\n"
                   "short  a note that d…  1.00      1\n");
    /* a column is left out before a number is cut */
    assert_printed(rows, 20,
                   "NAME   COST  EXTRA\n"
                   "short  1.00      1\n");
    assert_printed(rows, 12,
                   "NAME   COST\n"
                   "short  1.00\n");
}

static void
test_wide_characters(void **state)
{
    (void)state;
    assert_printed("[{\"name\":\"\\u4e2d\\u6587\",\"note\":\"e\\u0301\",\"cost\":1}]", 200,
                   "NAME  NOTE  COST  EXTRA\n"
                   "中文  e\xcc\x81        1      -\n");
}

/* What others wrote cannot move the cursor or break a line. */
static void
test_control_characters(void **state)
{
    (void)state;
    assert_printed("[{\"name\":\"a\\u001b[2Jb\\nc\",\"cost\":1}]", 200,
                   "NAME      NOTE  COST  EXTRA\n"
                   "a?[2Jb?c  -        1      -\n");
}

static void
test_every_width_holds(void **state)
{
    (void)state;
    const char *rows = "[{\"name\":\"some name of a thing\",\"note\":\"notes are long, mostly\","
                       "\"cost\":\"123456.789\",\"deep\":{\"er\":1234567}}]";
    for (size_t width = 22; width < 120; width++) {
        char *text = printed(rows, width);
        for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            if (table_text_width(line) > width)
                fail_msg("width %zu: \"%s\"", width, line);
        }
        free(text);
    }
}

static void
test_cells(void **state)
{
    (void)state;
    static const char *const cells[][2] = {
        {"null", "-"},
        {"\"\"", "-"},
        {"\"x\"", "x"},
        {"true", "yes"},
        {"[]", "-"},
        {"[\"a\",1]", "a, 1"},
        {"{\"a\":1}", "{\"a\":1}"},
        {"12", "12"},
    };
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        char why[200];
        struct json *value = NULL;
        assert_int_equal(json_parse(slice_of(cells[i][0]), &value, why, sizeof(why)), 0);
        char *cell = table_cell(value);
        assert_string_equal(cell, cells[i][1]);
        free(cell);
        json_free(value);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_natural_width),     cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_wide_characters),   cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_every_width_holds), cmocka_unit_test(test_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
