#include "tests/unit/check.h"

#include "dataplane/endpoints/codec.h"

static struct arena arena;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static const struct policy_provider cohere = {.name = {"c", 1}, .kind = PROVIDER_COHERE};
static const struct policy_provider vllm = {.name = {"v", 1}, .kind = PROVIDER_VLLM};
static const struct policy_provider openai = {.name = {"o", 1}, .kind = PROVIDER_OPENAI};
static const struct policy_provider gemini = {.name = {"g", 1}, .kind = PROVIDER_GEMINI};
static const struct policy_provider bedrock = {.name = {"b", 1}, .kind = PROVIDER_BEDROCK};
static const struct policy_provider voyage = {
    .name = {"y", 1}, .kind = PROVIDER_OPENAI_COMPATIBLE, .host = {"api.voyageai.com", 16}};

static void
test_who_is_asked_where(void **state)
{
    (void)state;
    static const struct {
        const struct policy_provider *provider;
        const char *model;
        enum codec_way way;
        const char *path; /* NULL: refused */
    } rows[] = {
        {&cohere, "rerank-v3.5", CODEC_TRANSLATED, "/rerank"},
        {&voyage, "rerank-2", CODEC_TRANSLATED, "/rerank"},
        {&vllm, "bge", CODEC_UNTOUCHED, "/rerank"},
        {&bedrock, "cohere.rerank-v3-5:0", CODEC_TRANSLATED,
         "/model/cohere.rerank-v3-5%3A0/invoke"},
        {&bedrock, "amazon.nova-lite-v1:0", CODEC_TRANSLATED, NULL},
        {&openai, "gpt-4o", CODEC_TRANSLATED, NULL},
        {&gemini, "g", CODEC_TRANSLATED, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_target t = {rows[i].provider, slice_of(rows[i].model)};
        struct dialect_refusal why = {.message = ""};
        struct codec_route got;
        int err = codec_rerank.route(&t, &arena, &got, &why);
        assert_int_equal(err, rows[i].path ? 0 : ERR_DENIED);
        if (err)
            continue;
        assert_int_equal(got.way, rows[i].way);
        assert_slice_is(got.address.path, rows[i].path);
    }
}

/* One search unit has up to 100 documents. */
static void
test_units_are_bounded_before(void **state)
{
    (void)state;
    static const struct {
        int documents, err;
        int64_t units;
    } rows[] = {{0, ERR_SYNTAX, 0}, {1, 0, 1}, {100, 0, 1}, {101, 0, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[1024];
        int n = snprintf(body, sizeof(body), "{\"model\":\"m\",\"query\":\"q\",\"documents\":[");
        for (int d = 0; d < rows[i].documents; d++)
            n += snprintf(body + n, sizeof(body) - (size_t)n, "%s\"d\"", d ? "," : "");
        snprintf(body + n, sizeof(body) - (size_t)n, "]}");
        const struct codec_request q = {.body = slice_of(body),
                                        .content_type = SLICE("application/json")};
        struct request_brief brief;
        struct codec_units units;
        struct dialect_refusal why = {.message = ""};
        assert_int_equal(codec_rerank.brief(&q, &arena, &brief, &units, &why), rows[i].err);
        if (rows[i].err) {
            assert_string_equal(why.member, "documents");
            continue;
        }
        assert_slice_is(brief.model, "m");
        assert_int_equal(units.unit, CLASS_SEARCH_UNITS);
        assert_int_equal(units.likely.search_units, rows[i].units);
        assert_true(units.most.search_units >= rows[i].units);
        assert_int_equal(units.text_bytes, strlen(body));
    }
}

static struct dialect_refusal why;

static const char *
asked(const struct dialect_target *t, const char *body, void **ret_asked)
{
    struct dialect_writer w = {.arena = &arena, .target = t, .why = &why};
    struct buf into;
    why = (struct dialect_refusal){.message = ""};
    buf_init(&into, 0);
    int err = codec_rerank.write(slice_of(body), &w, ret_asked, &into);
    const char *text = err ? err_name(err) : arena_strdup(&arena, buf_slice(&into));
    buf_free(&into);
    return text;
}

#define THREE                                                                                      \
    "{\"model\":\"m\",\"query\":\"q\\u0041\",\"documents\":[\"x\",{\"text\":\"y\"},\"z\"],"        \
    "\"top_n\":2,\"return_documents\":true}"

static void
test_requests_are_written_for_each(void **state)
{
    (void)state;
    const struct dialect_target at_cohere = {&cohere, SLICE("rerank-v3.5")};
    const struct dialect_target at_voyage = {&voyage, SLICE("rerank-2")};
    const struct dialect_target at_bedrock = {&bedrock, SLICE("cohere.rerank-v3-5:0")};
    void *x;
    assert_string_equal(asked(&at_cohere, THREE, &x),
                        "{\"model\":\"rerank-v3.5\",\"query\":\"q\\u0041\",\"documents\":[\"x\","
                        "\"y\",\"z\"],\"top_n\":2}");
    assert_string_equal(asked(&at_voyage, THREE, &x),
                        "{\"model\":\"rerank-2\",\"query\":\"q\\u0041\",\"documents\":[\"x\",\"y\","
                        "\"z\"],\"top_k\":2}");
    assert_string_equal(asked(&at_bedrock, THREE, &x),
                        "{\"api_version\":2,\"query\":\"q\\u0041\",\"documents\":[\"x\",\"y\","
                        "\"z\"],\"top_n\":2}");
}

static void
test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *member;
        int err;
    } rows[] = {
        {"{\"documents\":[\"x\"]}", "query", ERR_SYNTAX},
        {"{\"query\":1,\"documents\":[\"x\"]}", "query", ERR_SYNTAX},
        {"{\"query\":\"q\",\"documents\":[1]}", "documents", ERR_SYNTAX},
        {"{\"query\":\"q\",\"documents\":[{\"title\":\"x\"}]}", "documents", ERR_SYNTAX},
        {"{\"query\":\"q\",\"documents\":[\"x\"],\"top_n\":0}", "top_n", ERR_SYNTAX},
        {"{\"query\":\"q\",\"documents\":[\"x\"],\"rank_fields\":[\"t\"]}", "rank_fields",
         ERR_DENIED},
    };
    const struct dialect_target t = {&cohere, SLICE("m")};
    void *x;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(asked(&t, rows[i].body, &x), err_name(rows[i].err));
        assert_string_equal(why.member, rows[i].member);
    }
}

static struct usage_report report;

static const char *
answered(const struct policy_provider *p, const char *body, const char *answer)
{
    const struct dialect_target t = {p, SLICE("m")};
    struct codec_exchange x = {
        .target = &t, .model = SLICE("mine"), .id = SLICE("77"), .arena = &arena};
    const char *reason = NULL;
    struct buf into;
    report = (struct usage_report){.seen = false};
    assert_int_equal(asked(&t, body, &x.asked)[0], '{');
    buf_init(&into, 0);
    int err = codec_rerank.read(slice_of(answer), &x, &into, &report, &reason);
    const char *text = err ? err_name(err) : arena_strdup(&arena, buf_slice(&into));
    buf_free(&into);
    return text;
}

static void
test_answers_are_of_one_shape(void **state)
{
    (void)state;
    assert_string_equal(
        answered(&cohere, THREE,
                 "{\"id\":\"a\",\"results\":[{\"index\":1,\"relevance_score\":0.71},{\"index\":0,"
                 "\"relevance_score\":5e-1}],\"meta\":{\"billed_units\":{\"search_units\":1}}}"),
        "{\"id\":\"77\",\"model\":\"mine\",\"results\":[{\"index\":1,\"relevance_score\":0.71,"
        "\"document\":{\"text\":\"y\"}},{\"index\":0,\"relevance_score\":5e-1,\"document\":{"
        "\"text\""
        ":\"x\"}}],\"meta\":{\"billed_units\":{\"search_units\":1}}}");
    assert_true(report.has_units && !report.seen);
    assert_int_equal(report.tokens.search_units, 1);
    assert_string_equal(
        answered(&voyage, "{\"query\":\"q\",\"documents\":[\"x\"]}",
                 "{\"object\":\"list\",\"data\":[{\"relevance_score\":0.7,\"index\":0}],\"model\":"
                 "\"rerank-2-lite\",\"usage\":{\"total_tokens\":57}}"),
        "{\"id\":\"77\",\"model\":\"mine\",\"results\":[{\"index\":0,\"relevance_score\":0.7}],"
        "\"meta\":{\"billed_units\":{\"input_tokens\":57}},\"usage\":{\"total_tokens\":57}}");
    assert_true(report.seen && report.has_input && report.has_output && !report.has_units);
    assert_int_equal(report.tokens.input, 57);
}

static void
test_answers_of_another_shape(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "{}",
        "{\"results\":{}}",
        "{\"results\":[{\"index\":3,\"relevance_score\":1}]}",
        "{\"results\":[{\"index\":-1,\"relevance_score\":1}]}",
        "{\"results\":[{\"relevance_score\":1}]}",
        "{\"results\":[{\"index\":0,\"relevance_score\":\"1\"}]}",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_string_equal(answered(&cohere, THREE, answers[i]), err_name(ERR_PROTOCOL));
    answered(&cohere, THREE,
             "{\"results\":[],\"meta\":{\"billed_units\":{\"search_units\":99999999999}}}");
    assert_true(report.suspect && !report.has_units);
}

static void
test_untouched_answers_tell_usage(void **state)
{
    (void)state;
    bool is_error = true;
    report = (struct usage_report){.seen = false};
    assert_int_equal(codec_rerank.look(SLICE("{\"results\":[],\"usage\":{\"total_tokens\":9}}"),
                                       &report, &is_error),
                     0);
    assert_false(is_error);
    assert_int_equal(report.tokens.input, 9);
    assert_int_equal(codec_rerank.look(SLICE("{\"error\":{}}"), &report, &is_error), 0);
    assert_true(is_error);
    assert_int_equal(codec_rerank.look(SLICE("<html>"), &report, &is_error), ERR_PROTOCOL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_who_is_asked_where, tear_down),
        cmocka_unit_test_teardown(test_units_are_bounded_before, tear_down),
        cmocka_unit_test_teardown(test_requests_are_written_for_each, tear_down),
        cmocka_unit_test_teardown(test_what_is_refused, tear_down),
        cmocka_unit_test_teardown(test_answers_are_of_one_shape, tear_down),
        cmocka_unit_test_teardown(test_answers_of_another_shape, tear_down),
        cmocka_unit_test_teardown(test_untouched_answers_tell_usage, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
