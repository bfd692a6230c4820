#include "tests/unit/check.h"

#include "controlplane/cli/yaml.h"

static struct json *
read_ok(const char *text, struct yaml_places **ret_places)
{
    struct json *doc = NULL;
    struct yaml_places *places = NULL;
    struct buf why;
    buf_init(&why, 0);
    if (yaml_read(slice_of(text), &doc, &places, &why) != 0)
        fail_msg("%s: %s", text, buf_str(&why));
    buf_free(&why);
    if (ret_places)
        *ret_places = places;
    else
        yaml_places_free(places);
    return doc;
}

static void
assert_reads(const char *text, const char *want)
{
    struct buf b;
    struct json *doc = read_ok(text, NULL);
    buf_init(&b, 0);
    assert_int_equal(json_write(doc, false, 0, &b), 0);
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
    json_free(doc);
}

static void
assert_refused(const char *text, int err, const char *want_start)
{
    struct json *doc = NULL;
    struct yaml_places *places = NULL;
    struct buf why;
    buf_init(&why, 0);
    assert_int_equal(yaml_read(slice_of(text), &doc, &places, &why), err);
    assert_null(doc);
    assert_null(places);
    if (!slice_starts(buf_slice(&why), slice_of(want_start)))
        fail_msg("%s: \"%s\" does not start with \"%s\"", text, buf_str(&why), want_start);
    buf_free(&why);
}

static void
test_scalars(void **state)
{
    (void)state;
    assert_reads("[a, 1, -7, 0, 1.50, 007, 1e3, 0x10, true, False, ~, null, ]",
                 "[\"a\",1,-7,0,\"1.50\",\"007\",\"1e3\",\"0x10\",true,false,null,null]");
    assert_reads("[yes, on, 2027-01-01, '1', \"true\", !!str 5, ! 6]",
                 "[\"yes\",\"on\",\"2027-01-01\",\"1\",\"true\",\"5\",\"6\"]");
    assert_reads("[9223372036854775807, 9223372036854775808, -9223372036854775807]",
                 "[9223372036854775807,\"9223372036854775808\",-9223372036854775807]");
    assert_reads("text: |\n  two\n  lines\n", "{\"text\":\"two\\nlines\\n\"}");
}

static void
test_documents(void **state)
{
    (void)state;
    assert_reads("", "{}");
    assert_reads("# only a comment\n", "{}");
    assert_reads("---\n...\n", "{}");
    assert_reads(
        "models:\n  - name: smart\n    targets:\n      - {provider: a, weight: 3}\n",
        "{\"models\":[{\"name\":\"smart\",\"targets\":[{\"provider\":\"a\",\"weight\":3}]}]}");
    assert_reads("{\"json\": [\"is\", {\"yaml\": true}]}", "{\"json\":[\"is\",{\"yaml\":true}]}");
    assert_reads("a: &x [1, 2]\nb: *x\n", "{\"a\":[1,2],\"b\":[1,2]}");
}

static void
test_refusals(void **state)
{
    (void)state;
    assert_refused("a: 1\na: 2\n", ERR_SYNTAX, "2:1: \"a\" is there twice");
    assert_refused("a: [1\nb: 2\n", ERR_SYNTAX, "2:");
    assert_refused("a: *gone\n", ERR_SYNTAX, "1:4: the alias *gone");
    assert_refused("? [1]\n: 2\n", ERR_SYNTAX, "1:3: the name of a member must be text");
    assert_refused("<<: {a: 1}\n", ERR_SYNTAX, "1:1: merge keys");
    assert_refused("a: !!binary aGk=\n", ERR_SYNTAX, "1:4: the tag");
    assert_refused("a: 1\n---\nb: 2\n", ERR_SYNTAX, "3:1: more than one document");
    assert_refused("\ta: 1\n", ERR_SYNTAX, "1:");
    assert_refused("a: \xff\n", ERR_SYNTAX, "1:");
    assert_refused("a: \"\\0\": 1\n", ERR_SYNTAX, "1:");
}

static void
test_depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * (LIMIT_YAML_DEPTH + 1) + 1];
    memset(text, '[', LIMIT_YAML_DEPTH);
    memset(text + LIMIT_YAML_DEPTH, ']', LIMIT_YAML_DEPTH);
    text[2 * LIMIT_YAML_DEPTH] = '\0';
    json_free(read_ok(text, NULL));
    memset(text, '[', LIMIT_YAML_DEPTH + 1);
    memset(text + LIMIT_YAML_DEPTH + 1, ']', LIMIT_YAML_DEPTH + 1);
    text[2 * (LIMIT_YAML_DEPTH + 1)] = '\0';
    assert_refused(text, ERR_LIMIT, "1:65: nested deeper");
}

/* Nine levels of nine aliases: 9^9 values from 300 bytes. */
static void
test_aliases_are_bounded(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(buf_add_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"), 0);
    for (int i = 1; i < 9; i++) {
        assert_int_equal(buf_addf(&text, "a%d: &a%d [", i, i), 0);
        for (int k = 0; k < 9; k++)
            assert_int_equal(buf_addf(&text, "%s*a%d", k ? ", " : "", i - 1), 0);
        assert_int_equal(buf_add_str(&text, "]\n"), 0);
    }
    assert_refused(buf_str(&text), ERR_LIMIT, "");
    buf_free(&text);
}

static void
assert_place(const struct yaml_places *p, const char *path, size_t line, size_t column)
{
    size_t l, c;
    yaml_places_find(p, slice_of(path), &l, &c);
    if (l != line || c != column)
        fail_msg("%s: %zu:%zu, not %zu:%zu", path, l, c, line, column);
}

static void
test_places(void **state)
{
    (void)state;
    struct yaml_places *p;
    struct json *doc = read_ok("providers:\n"
                               "  - name: a\n"
                               "    kind: openai\n"
                               "models:\n"
                               "  - name: smart\n"
                               "    targets:\n"
                               "      - { provider: a, weight: 3 }\n"
                               "      - provider: b\n",
                               &p);
    assert_place(p, "providers[0].kind", 3, 5);
    assert_place(p, "models[0]", 5, 5);
    assert_place(p, "models[0].targets[0].weight", 7, 24);
    assert_place(p, "models[0].targets[1]", 8, 9);
    /* what the file does not hold: the nearest thing around it */
    assert_place(p, "models[0].targets[1].model", 8, 9);
    assert_place(p, "models[0].strategy", 5, 5);
    assert_place(p, "models[7].name", 4, 1);
    assert_place(p, "teams", 1, 1);
    assert_place(p, "", 1, 1);
    json_free(doc);
    yaml_places_free(p);
}

static void
test_round_trip(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{}",
        "{\"teams\":[{\"name\":\"default\"}]}",
        "{\"a\":[],\"b\":{},\"c\":null,\"d\":true,\"e\":-1,\"f\":9223372036854775807}",
        "{\"text\":[\"\",\" lead\",\"trail "
        "\",\"1\",\"1.5\",\"0x1\",\"true\",\"no\",\"null\",\"~\"]}",
        "{\"text\":[\"a: b\",\"- x\",\"#c\",\"a "
        "#c\",\"'q'\",\"\\\"q\\\"\",\"{x}\",\"[x]\",\"*a\",\"&a\","
        "\"!t\",\"%d\",\"@a\",\"`a\",\"|\",\">\",\"?\",\":\",\",\",\"-\"]}",
        "{\"text\":[\"two\\nlines\",\"tab\\there\",\"\\u00e9\\u4e2d\\ud83d\\ude00\",\"\\u0001\"]}",
        "{\"date\":\"2027-01-01\",\"time\":\"2027-01-01T00:00:00Z\",\"price\":\"2.50\",\"n\":\"1_"
        "000\"}",
        "{\"k: y\":{\"yes\":{\"1\":[[1,[2]],{\"x\":[{\"y\":[]}]}]}}}",
    };
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        char why[200];
        struct json *doc = NULL;
        struct buf yaml;
        buf_init(&yaml, 0);
        assert_int_equal(json_parse(slice_of(documents[i]), &doc, why, sizeof(why)), 0);
        assert_int_equal(yaml_write(doc, &yaml), 0);
        struct json *again = read_ok(buf_str(&yaml), NULL);
        if (!json_equal(doc, again))
            fail_msg("%s became\n%s", documents[i], buf_str(&yaml));
        json_free(again);
        json_free(doc);
        buf_free(&yaml);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_aliases_are_bounded),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
