#include "tests/fault/fault.h"

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/json/doc.h"
#include "lib/json/scan.h"

#define CHAT                                                                                       \
    "{\"mod\\u0065l\":\"gpt\\u002d4o\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}],"  \
    "\"stream\":true,\"max_tokens\":16}"

static int
scan_and_splice(void)
{
    static const char *const names[] = {"model", "stream"};
    struct slice text = SLICE(CHAT), model, out[3];
    struct json_span spans[2];
    struct json_error error;
    struct arena a;
    struct buf b;
    arena_init(&a, 0);
    buf_init(&b, 0);
    int e = json_scan(text, &json_limits_default, names, 2, spans, NULL, &error);
    assert_int_equal(e, 0); /* it allocates nothing */
    e = json_text(text, spans[0], &a, &model);
    if (e == 0) {
        assert_true(slice_is(model, "gpt-4o"));
        e = json_quote(&b, model);
    }
    struct json_splice rename = {spans[0].start, spans[0].end, buf_slice(&b)};
    if (e == 0)
        assert_int_equal(json_pieces(text, &rename, 1, out), 3);
    for (int i = 0; e == 0 && i < 3; i++)
        e = buf_add_slice(&b, i == 1 ? SLICE("\"gpt-4o\"") : out[i]);
    buf_free(&b);
    arena_free(&a);
    return e;
}

static void
test_scanner(void **state)
{
    (void)state;
    fault_replay(scan_and_splice);
}

static int
parse_and_write(void)
{
    char why[200];
    struct json *doc = NULL, *copy = NULL;
    struct buf b;
    buf_init(&b, 0);
    int e = json_parse(SLICE(CHAT), &doc, why, sizeof(why));
    if (e < 0)
        assert_null(doc);
    if (e == 0 && !(copy = json_copy(doc)))
        e = ERR_NOMEM;
    if (e == 0)
        e = json_write(copy, true, 2, &b);
    if (e < 0)
        assert_int_equal(b.len, 0);
    json_free(copy);
    json_free(doc);
    buf_free(&b);
    return e;
}

static void
test_documents(void **state)
{
    (void)state;
    fault_replay(parse_and_write);
}

static int
build_document(void)
{
    struct json *map = json_new_map();
    struct json *list = json_new_list();
    int e = map && list ? 0 : ERR_NOMEM;
    for (int i = 0; i < 30 && e == 0; i++)
        e = json_append(list, json_new_text(SLICE("some text")));
    if (e == 0) {
        e = json_set(map, "list", list);
        list = NULL;
    }
    if (e == 0)
        e = json_set_int(map, "n", 1);
    if (e == 0)
        e = json_set_str(map, "s", "t");
    json_free(list);
    json_free(map);
    return e;
}

static void
test_building(void **state)
{
    (void)state;
    fault_replay(build_document);
}

static const struct field_row target_rows[] = {
    {.name = "provider", .kind = FIELD_TEXT, .required = true},
    {.name = "weight", .kind = FIELD_INT, .min = 1, .max = 100},
};
static const struct field_table target_table = {"target", target_rows, 2};
static const struct field_row model_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .help = "what clients ask for"},
    {.name = "targets", .kind = FIELD_LIST, .item = &target_table},
    {.name = "best", .kind = FIELD_MAP, .item = &target_table},
    {.name = "tags", .kind = FIELD_TAGS},
    {.name = "usd", .kind = FIELD_USD},
};
static const struct field_table model_table = {"model", model_rows, 5};

static int
check_document(void)
{
    char why[200];
    struct json *doc = NULL;
    struct buf b;
    buf_init(&b, 0);
    int e = json_parse(SLICE("{\"name\":\"a\",\"targets\":[{\"provider\":\"p\"},{\"wieght\":1}]}"),
                       &doc, why, sizeof(why));
    if (e == 0) {
        e = json_check(doc, &model_table, "models[0]", &b);
        assert_true(e == ERR_SYNTAX || e == ERR_NOMEM); /* it never passes */
        e = e == ERR_SYNTAX ? 0 : e;
    }
    json_free(doc);
    buf_free(&b);
    return e;
}

static void
test_checking(void **state)
{
    (void)state;
    fault_replay(check_document);
}

static int
make_schema(void)
{
    struct json *schema = json_schema(&model_table, NULL);
    json_free(schema);
    return schema ? 0 : ERR_NOMEM;
}

static void
test_schema(void **state)
{
    (void)state;
    fault_replay(make_schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scanner),  cmocka_unit_test(test_documents),
        cmocka_unit_test(test_building), cmocka_unit_test(test_checking),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
