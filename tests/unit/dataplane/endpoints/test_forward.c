#include "tests/unit/check.h"

#include "dataplane/endpoints/forward.h"

static struct arena arena;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void
test_paths_stay_below(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool good;
    } rows[] = {
        {"/files", true},
        {"/files/file-1/content", true},
        {"/models/g-1.5:generateContent", true},
        {"/model/a%3A0/invoke", true},
        {"/a/..b/c..", true},
        {"/a/.../b", true},
        {"/a%20b", true},

        {"", false},
        {"/", false},
        {"a", false},
        {"//a", false},
        {"/a//b", false},
        {"/a/", false},
        {"/.", false},
        {"/a/..", false},
        {"/../a", false},
        {"/a/./b", false},
        {"/%2e%2e/a", false},
        {"/.%2E/a", false},
        {"/a%2fb", false},
        {"/a%5Cb", false},
        {"/a\\b", false},
        {"/a%252e", false},
        {"/a%00", false},
        {"/a%0d%0a", false},
        {"/a%7f", false},
        {"/a%", false},
        {"/a%2", false},
        {"/a%zz", false},
        {"/a#b", false},
        {"/a b", false},
        {"/a\x80", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* without a byte behind it */
        char *copy = malloc(strlen(rows[i].path) + 1);
        memcpy(copy, rows[i].path, strlen(rows[i].path));
        bool got = forward_is_path(slice_make(copy, strlen(rows[i].path)));
        free(copy);
        if (got != rows[i].good)
            fail_msg("'%s'", rows[i].path);
    }
}

static void
test_providers_are_split_off(void **state)
{
    (void)state;
    static const struct {
        const char *path, *provider, *rest; /* NULL: none */
    } rows[] = {
        {"/providers/p/a/b", "p", "/a/b"},
        {"/providers/p/", NULL, NULL},
        {"/providers/p", NULL, NULL},
        {"/providers//a", NULL, NULL},
        {"/files", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice provider, rest;
        assert_int_equal(forward_split(slice_of(rows[i].path), &provider, &rest),
                         rows[i].provider != NULL);
        if (!rows[i].provider)
            continue;
        assert_slice_is(provider, rows[i].provider);
        assert_slice_is(rest, rows[i].rest);
    }
}

static void
test_queries_lose_keys(void **state)
{
    (void)state;
    static const struct {
        const char *query, *want;
    } rows[] = {
        {"", ""},
        {"a=1&b", "a=1&b"},
        {"provider=x&a=1", "a=1"},
        {"a=1&KEY=s&b=2", "a=1&b=2"},
        {"api_key=s&api-key=s&access_token=s&api%5Fkey=s", ""},
        {"&&a=1&", "a=1"},
        {"keys=1&monkey=2", "keys=1&monkey=2"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_slice_is(forward_query(slice_of(rows[i].query), &arena), rows[i].want);
    assert_slice_is(forward_query_get(SLICE("a=1&provider=x&provider=y"), "provider"), "x");
    assert_slice_is(forward_query_get(SLICE("provider"), "provider"), "");
    assert_null(forward_query_get(SLICE("providers=1"), "provider").at);
}

static void
test_models_in_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"/models/g-1.5:generateContent", "g-1.5"},
        {"/projects/p/locations/l/publishers/google/models/g:predict", "g"},
        {"/model/amazon.nova-v1%3A0/converse", "amazon.nova-v1:0"},
        {"/model/amazon.nova-v1:0/converse", "amazon.nova-v1:0"},
        {"/openai/deployments/d/chat/completions", "d"},
        {"/models", ""},
        {"/chat/completions", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_slice_is(forward_path_model(slice_of(rows[i].path), &arena), rows[i].want);
}

static void
test_where_the_named_model_works(void **state)
{
    (void)state;
    assert_true(forward_is_of_model(SLICE("/chat/completions")));
    assert_true(forward_is_of_model(SLICE("/openai/v1/responses")));
    assert_false(forward_is_of_model(SLICE("/batches")));
    assert_false(forward_is_of_model(SLICE("/xcompletions")));
    assert_false(forward_is_of_model(SLICE("/responses/r1/cancel")));
}

static void
test_what_is_metered(void **state)
{
    (void)state;
    static const struct {
        const struct codec *codec;
        const char *method, *path, *type, *body, *model;
        int err;
        bool costs_nothing, unbounded, has_text;
    } rows[] = {
        {&codec_files, "POST", "/files", "", "", "", 0, true, false, false},
        {&codec_batches, "POST", "/batches", "", "{\"model\":\"m\"}", "", 0, false, true, false},
        {&codec_batches, "POST", "/batches/b/cancel?x", "", "", "", 0, true, false, false},
        {&codec_batches, "GET", "/batches", "", "", "", 0, true, false, false},
        {&codec_passthrough, "GET", "/providers/p/models/m", "", "", "m", 0, true, false, false},
        {&codec_passthrough, "POST", "/providers/p/x", "", "", "", 0, false, true, false},
        {&codec_passthrough, "POST", "/providers/p/x", "application/json", "{\"model\":\"m\"}", "m",
         0, false, true, true},
        {&codec_passthrough, "POST", "/providers/p/x", "application/json; charset=utf-8",
         "{\"model\":\"m\",\"max_tokens\":5}", "m", 0, false, true, true},
        {&codec_passthrough, "POST", "/providers/p/model/m/x", "", "{\"a\":1}", "m", 0, false, true,
         true},
        {&codec_passthrough, "POST", "/providers/p/model/m/x", "", "{\"model\":\"n\"}", "",
         ERR_SYNTAX, false, false, false},
        {&codec_passthrough, "POST", "/providers/p/x", "", "{\"model\":\"m\",\"model\":\"n\"}", "",
         ERR_SYNTAX, false, false, false},
        {&codec_passthrough, "POST", "/providers/p/x", "application/json", "nonsense", "",
         ERR_SYNTAX, false, false, false},
        {&codec_passthrough, "POST", "/providers/p/chat/completions", "",
         "{\"model\":\"m\",\"max_tokens\":5}", "m", 0, false, false, true},
        {&codec_passthrough, "POST", "/providers/p/messages", "",
         "{\"model\":\"m\",\"max_tokens\":5}", "m", 0, false, false, true},
        {&codec_passthrough, "POST", "/providers/p/x", "text/plain", "nonsense", "", 0, false, true,
         false},
        {&codec_passthrough, "POST", "/providers/p/x", "multipart/form-data; boundary=b",
         "--b\r\ncontent-disposition: form-data; name=model\r\n\r\nm\r\n--b--", "m", 0, false, true,
         true},
        {&codec_passthrough, "POST", "/providers/p/x", "multipart/form-data; boundary=b", "--c", "",
         ERR_SYNTAX, false, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct codec_request q = {slice_of(rows[i].body), slice_of(rows[i].type),
                                        slice_of(rows[i].method), slice_of(rows[i].path)};
        struct dialect_refusal why = {.message = ""};
        struct request_brief brief;
        struct codec_units units;
        assert_int_equal(rows[i].codec->brief(&q, &arena, &brief, &units, &why), rows[i].err);
        if (rows[i].err)
            continue;
        assert_slice_is(brief.model, rows[i].model);
        assert_int_equal(units.costs_nothing, rows[i].costs_nothing);
        assert_int_equal(units.unbounded, rows[i].unbounded);
        assert_int_equal(units.text_bytes > 0, rows[i].has_text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_paths_stay_below, tear_down),
        cmocka_unit_test_teardown(test_providers_are_split_off, tear_down),
        cmocka_unit_test_teardown(test_queries_lose_keys, tear_down),
        cmocka_unit_test_teardown(test_models_in_paths, tear_down),
        cmocka_unit_test_teardown(test_where_the_named_model_works, tear_down),
        cmocka_unit_test_teardown(test_what_is_metered, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
