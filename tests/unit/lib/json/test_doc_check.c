#include "tests/unit/check.h"

#include "lib/json/doc.h"

static bool
no_slash(struct slice text, const char **ret_why)
{
    if (slice_find(text, '/', 0) == text.len)
        return true;
    *ret_why = "must not have a '/'";
    return false;
}

static const char *const strategies[] = {"weighted", "priority", "latency", NULL};

static const struct field_row target_rows[] = {
    {.name = "provider", .kind = FIELD_TEXT, .required = true, .help = "whose model"},
    {.name = "weight", .kind = FIELD_INT, .min = 1, .max = 100},
};
static const struct field_table target_table = {"target", target_rows, 2};

static const struct field_row model_rows[] = {
    {.name = "id", .kind = FIELD_TEXT, .read_only = true},
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 8, .check = no_slash},
    {.name = "strategy", .kind = FIELD_ENUM, .values = strategies},
    {.name = "targets", .kind = FIELD_LIST, .item = &target_table},
    {.name = "best", .kind = FIELD_MAP, .item = &target_table},
    {.name = "fallbacks", .kind = FIELD_TEXTS, .min = 1},
    {.name = "tags", .kind = FIELD_TAGS},
    {.name = "free", .kind = FIELD_BOOL},
    {.name = "limit_usd", .kind = FIELD_USD},
    {.name = "input_per_mtok_usd", .kind = FIELD_PRICE},
    {.name = "expires", .kind = FIELD_TIME},
    {.name = "count", .kind = FIELD_INT},
};
static const struct field_table model_table = {"model", model_rows, 12};

/* The message, or "" when it passes. */
static const char *
check_at(const char *text, const char *path)
{
    static char message[1024];
    char why[200];
    struct json *j = NULL;
    struct buf b;
    buf_init(&b, sizeof(message) - 1);
    assert_int_equal(json_parse(slice_of(text), &j, why, sizeof(why)), 0);
    int e = json_check(j, &model_table, path, &b);
    assert_int_equal(e, b.len > 0 ? ERR_SYNTAX : 0);
    snprintf(message, sizeof(message), "%.*s", SLICE_ARG(buf_slice(&b)));
    buf_free(&b);
    json_free(j);
    return message;
}

#define EXPECT(text, message) assert_string_equal(check_at(text, NULL), message)

static void
test_what_passes(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"smart\"}", "");
    EXPECT("{\"name\":\"smart\",\"strategy\":\"latency\",\"targets\":[{\"provider\":\"a\"},"
           "{\"provider\":\"b\",\"weight\":100}],\"best\":{\"provider\":\"c\"},\"fallbacks\":"
           "[\"x\",\"y\"],\"tags\":{\"a\":\"b\",\"c\":\"\"},\"free\":false,\"limit_usd\":\"0.5\","
           "\"input_per_mtok_usd\":2.5,\"expires\":\"2027-01-01\",\"count\":9000000000}",
           "");
    EXPECT("{\"name\":\"smart\",\"targets\":[],\"fallbacks\":[],\"tags\":{},\"limit_usd\":500}",
           "");
}

static void
test_unknown_fields(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"a\",\"tragets\":[]}",
           "tragets: unknown field of a model; did you mean \"targets\"?");
    EXPECT("{\"name\":\"a\",\"zebra\":1}", "zebra: unknown field of a model");
    EXPECT("{\"name\":\"a\",\"targets\":[{\"provider\":\"p\"},{\"provider\":\"p\",\"wieght\":1}]}",
           "targets[1].wieght: unknown field of a target; did you mean \"weight\"?");
    EXPECT("{\"name\":\"a\",\"\":1}", "unknown field of a model");
}

static void
test_required_and_read_only(void **state)
{
    (void)state;
    EXPECT("{}", "name: is required");
    EXPECT("{\"name\":\"a\",\"best\":{}}", "best.provider: is required");
    EXPECT("{\"name\":\"a\",\"targets\":[{\"provider\":\"p\"},{}]}",
           "targets[1].provider: is required");
    EXPECT("{\"name\":\"a\",\"id\":\"x\"}", "id: is set by the gateway and cannot be given");
}

static void
test_paths_begin_where_the_document_stands(void **state)
{
    (void)state;
    assert_string_equal(check_at("{\"name\":5}", "models[2]"),
                        "models[2].name: must be a text, not a number");
    assert_string_equal(check_at("[]", "models[2]"), "models[2]: must be a map, not a list");
    assert_string_equal(check_at("[]", NULL), "must be a map, not a list");
}

static void
test_kinds_of_values(void **state)
{
    (void)state;
    EXPECT("{\"name\":null}", "name: must be a text, not null");
    EXPECT("{\"name\":\"a\",\"free\":\"yes\"}", "free: must be true or false, not a text");
    EXPECT("{\"name\":\"a\",\"count\":1.5}", "count: must be a whole number, not a number");
    EXPECT("{\"name\":\"a\",\"targets\":{}}", "targets: must be a list, not a map");
    EXPECT("{\"name\":\"a\",\"targets\":[1]}", "targets[0]: must be a map, not a number");
    EXPECT("{\"name\":\"a\",\"best\":[]}", "best: must be a map, not a list");
    EXPECT("{\"name\":\"a\",\"fallbacks\":\"b\"}", "fallbacks: must be a list, not a text");
    EXPECT("{\"name\":\"a\",\"fallbacks\":[\"b\",true]}", "fallbacks[1]: must be a text, not true");
    EXPECT("{\"name\":\"a\",\"tags\":[]}", "tags: must be a map of texts, not a list");
    EXPECT("{\"name\":\"a\",\"tags\":{\"k\":1}}", "tags.k: must be a text, not a number");
    EXPECT("{\"name\":\"a\",\"strategy\":1}", "strategy: must be a text, not a number");
}

static void
test_texts(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"\"}", "name: must not be empty");
    EXPECT("{\"name\":\"012345678\"}", "name: is longer than 8 bytes");
    EXPECT("{\"name\":\"a/b\"}", "name: must not have a '/'");
    EXPECT("{\"name\":\"a\\rb\"}", "name: has a control character");
    EXPECT("{\"name\":\"a\\u007f\"}", "name: has a control character");
    EXPECT("{\"name\":\"a\\u001b[0m\"}", "name: has a control character");
    EXPECT("{\"name\":\"a\",\"fallbacks\":[\"\"]}", "fallbacks[0]: must not be empty");
    EXPECT("{\"name\":\"a\",\"tags\":{\"k\\u0001\":\"v\"}}", "tags: has a control character");
}

static void
test_long_texts(void **state)
{
    char text[2100] = "{\"name\":\"a\",\"tags\":{\"k\":\"";
    size_t n = strlen(text);
    (void)state;
    memset(text + n, 'v', 1025);
    memcpy(text + n + 1025, "\"}}", 4);
    EXPECT(text, "tags.k: is longer than 1024 bytes");
    memcpy(text + n + 1024, "\"}}", 4);
    EXPECT(text, "");
    /* a path that is too long is cut, not overrun */
    n = (size_t)snprintf(text, sizeof(text), "{\"name\":\"a\",\"");
    memset(text + n, 'k', 1500);
    memcpy(text + n + 1500, "\":1}", 5);
    assert_non_null(strstr(check_at(text, NULL), "kkk: unknown field of a model"));
    memset(text, 'p', 2000);
    text[2000] = '\0';
    assert_non_null(strstr(check_at("{}", text), "pp.name: is required"));
}

static void
test_numbers(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"a\",\"best\":{\"provider\":\"p\",\"weight\":0}}",
           "best.weight: must be from 1 to 100");
    EXPECT("{\"name\":\"a\",\"best\":{\"provider\":\"p\",\"weight\":101}}",
           "best.weight: must be from 1 to 100");
    EXPECT("{\"name\":\"a\",\"count\":-1}", "count: must be at least 0");
}

static void
test_amounts(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"a\",\"limit_usd\":\"ten\"}",
           "limit_usd: must be an amount such as \"2.50\"");
    EXPECT("{\"name\":\"a\",\"limit_usd\":true}",
           "limit_usd: must be an amount such as \"2.50\", not true");
    EXPECT("{\"name\":\"a\",\"limit_usd\":\"-0.5\"}", "limit_usd: must not be negative");
    EXPECT("{\"name\":\"a\",\"limit_usd\":\"0.0000000001\"}",
           "limit_usd: is out of range or finer than 9 decimal places");
    EXPECT("{\"name\":\"a\",\"limit_usd\":99999999999}",
           "limit_usd: is out of range or finer than 9 decimal places");
    EXPECT("{\"name\":\"a\",\"input_per_mtok_usd\":\"0.0000001\"}",
           "input_per_mtok_usd: is out of range or finer than 6 decimal places");
    EXPECT("{\"name\":\"a\",\"input_per_mtok_usd\":-1}",
           "input_per_mtok_usd: is out of range or finer than 6 decimal places");
}

static void
test_times_and_choices(void **state)
{
    (void)state;
    EXPECT("{\"name\":\"a\",\"expires\":\"soon\"}",
           "expires: must be a time such as 2027-01-31T12:00:00Z, or a date");
    EXPECT("{\"name\":\"a\",\"expires\":\"2027-02-30\"}",
           "expires: must be a time such as 2027-01-31T12:00:00Z, or a date");
    EXPECT("{\"name\":\"a\",\"strategy\":\"wieghted\"}",
           "strategy: unknown value; did you mean \"weighted\"?");
    EXPECT("{\"name\":\"a\",\"strategy\":\"zebra\"}",
           "strategy: unknown value; must be one of weighted, priority, latency");
}

static void
test_nearest(void **state)
{
    (void)state;
    assert_string_equal(json_nearest(&model_table, SLICE("Name")), "name");
    assert_string_equal(json_nearest(&model_table, SLICE("fallback")), "fallbacks");
    assert_null(json_nearest(&model_table, SLICE("zzz")));
    assert_null(json_nearest(&model_table, SLICE("")));
}

static void
test_schema(void **state)
{
    struct buf b;
    (void)state;
    struct json *schema = json_schema(&target_table, NULL);
    buf_init(&b, 0);
    assert_int_equal(json_write(schema, false, 0, &b), 0);
    assert_slice_is(
        buf_slice(&b),
        "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":"
        "\"target\",\"type\":\"object\",\"additionalProperties\":false,\"required\":"
        "[\"provider\"],\"properties\":{\"provider\":{\"type\":\"string\",\"maxLength\":1024,"
        "\"pattern\":\"^[^\\\\x00-\\\\x08\\\\x0b-\\\\x1f\\\\x7f]*$\",\"description\":\"whose "
        "model\"},\"weight\":{\"type\":\"integer\",\"minimum\":1,"
        "\"maximum\":100}}}");
    buf_free(&b);
    json_free(schema);
}

static void
test_schema_has_every_field(void **state)
{
    (void)state;
    struct json *schema = json_schema(&model_table, NULL),
                *properties = json_get(schema, "properties");
    assert_int_equal(json_size(properties), model_table.count);
    for (size_t i = 0; i < model_table.count; i++)
        assert_true(json_size(json_get(properties, model_rows[i].name)) > 0);
    struct json *target = json_get(json_get(properties, "targets"), "items");
    assert_slice_is(json_str(json_get(target, "title")), "target");
    assert_null(json_get(target, "$schema"));
    assert_true(json_is_true(json_get(json_get(properties, "id"), "readOnly")));
    assert_int_equal(json_size(json_get(json_get(properties, "strategy"), "enum")), 3);
    json_free(schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_passes),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_required_and_read_only),
        cmocka_unit_test(test_paths_begin_where_the_document_stands),
        cmocka_unit_test(test_kinds_of_values),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_times_and_choices),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_schema_has_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
