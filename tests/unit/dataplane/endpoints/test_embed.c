#include "tests/unit/check.h"

#include "dataplane/endpoints/embed.h"

static struct arena arena;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static const struct policy_provider providers[PROVIDER_KINDS] = {
    [PROVIDER_OPENAI] = {.name = {"o", 1}, .kind = PROVIDER_OPENAI},
    [PROVIDER_AZURE_OPENAI] = {.name = {"z", 1},
                               .kind = PROVIDER_AZURE_OPENAI,
                               .api_version = {"2024-10-21", 10}},
    [PROVIDER_ANTHROPIC] = {.name = {"a", 1}, .kind = PROVIDER_ANTHROPIC},
    [PROVIDER_GEMINI] = {.name = {"g", 1}, .kind = PROVIDER_GEMINI},
    [PROVIDER_VERTEX] = {.name = {"v", 1},
                         .kind = PROVIDER_VERTEX,
                         .project = {"p", 1},
                         .location = {"l", 1}},
    [PROVIDER_COHERE] = {.name = {"c", 1}, .kind = PROVIDER_COHERE},
    [PROVIDER_BEDROCK] = {.name = {"b", 1}, .kind = PROVIDER_BEDROCK},
};

static struct dialect_target
target(enum provider_kind kind, const char *model)
{
    return (struct dialect_target){&providers[kind], slice_of(model)};
}

static void
test_who_is_asked_where(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *model;
        enum codec_way way;
        const char *path; /* NULL: refused */
    } rows[] = {
        {PROVIDER_OPENAI, "m", CODEC_UNTOUCHED, "/embeddings"},
        {PROVIDER_AZURE_OPENAI, "d e", CODEC_UNTOUCHED,
         "/openai/deployments/d%20e/embeddings?api-version=2024-10-21"},
        {PROVIDER_GEMINI, "e1", CODEC_TRANSLATED, "/models/e1:batchEmbedContents"},
        {PROVIDER_VERTEX, "text-embedding-005", CODEC_TRANSLATED,
         "/projects/p/locations/l/publishers/google/models/text-embedding-005:predict"},
        {PROVIDER_COHERE, "embed-v4.0", CODEC_TRANSLATED, "/embed"},
        {PROVIDER_BEDROCK, "amazon.titan-embed-text-v2:0", CODEC_TRANSLATED,
         "/model/amazon.titan-embed-text-v2%3A0/invoke"},
        {PROVIDER_BEDROCK, "cohere.embed-v4:0", CODEC_TRANSLATED,
         "/model/cohere.embed-v4%3A0/invoke"},
        {PROVIDER_BEDROCK, "amazon.nova-2-multimodal-embeddings-v1:0", CODEC_TRANSLATED,
         "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke"},
        {PROVIDER_BEDROCK, "amazon.nova-lite-v1:0", CODEC_TRANSLATED, NULL},
        {PROVIDER_ANTHROPIC, "claude", CODEC_TRANSLATED, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_target t = target(rows[i].kind, rows[i].model);
        struct dialect_refusal why = {.message = ""};
        struct codec_route got;
        int err = codec_embeddings.route(&t, &arena, &got, &why);
        assert_int_equal(err, rows[i].path ? 0 : ERR_DENIED);
        if (!rows[i].path) {
            assert_string_equal(why.member, "model");
            continue;
        }
        assert_int_equal(got.way, rows[i].way);
        assert_slice_is(got.address.path, rows[i].path);
    }
}

static struct dialect_refusal why;

/* What goes up, or "ERROR: member" when it is refused. */
static const char *
asked(enum provider_kind kind, const char *model, const char *body, void **ret_asked)
{
    struct dialect_target t = target(kind, model);
    struct dialect_writer w = {.arena = &arena, .target = &t, .why = &why};
    struct buf into;
    why = (struct dialect_refusal){.message = ""};
    buf_init(&into, 0);
    int err = codec_embeddings.write(slice_of(body), &w, ret_asked, &into);
    const char *text = err ? arena_printf(&arena, "%s: %s", err_name(err), why.member)
                           : arena_strdup(&arena, buf_slice(&into));
    buf_free(&into);
    return text;
}

#define TWO "{\"model\":\"m\",\"input\":[\"a\",\"b\\n\"],\"dimensions\":8}"
#define ONE "{\"model\":\"m\",\"input\":\"a\"}"

static void
test_requests_are_written_for_each(void **state)
{
    (void)state;
    void *x;
    assert_string_equal(asked(PROVIDER_COHERE, "embed-v4.0", TWO, &x),
                        "{\"model\":\"embed-v4.0\",\"texts\":[\"a\",\"b\\n\"],"
                        "\"input_type\":\"search_document\",\"embedding_types\":[\"float\"],"
                        "\"output_dimension\":8}");
    assert_string_equal(asked(PROVIDER_BEDROCK, "cohere.embed-v4:0", ONE, &x),
                        "{\"texts\":[\"a\"],\"input_type\":\"search_document\","
                        "\"embedding_types\":[\"float\"]}");
    assert_string_equal(asked(PROVIDER_BEDROCK, "amazon.titan-embed-text-v2:0",
                              "{\"input\":[\"a\"],\"dimensions\":256}", &x),
                        "{\"inputText\":\"a\",\"dimensions\":256}");
    assert_string_equal(
        asked(PROVIDER_BEDROCK, "amazon.nova-2-multimodal-embeddings-v1:0", ONE, &x),
        "{\"schemaVersion\":\"nova-multimodal-embed-v1\",\"taskType\":"
        "\"SINGLE_EMBEDDING\",\"singleEmbeddingParams\":{\"embeddingPurpose\":"
        "\"GENERIC_INDEX\",\"text\":{\"truncationMode\":\"END\",\"value\":\"a\"}}}");
    assert_string_equal(
        asked(PROVIDER_GEMINI, "e1", "{\"input\":\"a\",\"input_type\":\"search_query\"}", &x),
        "{\"requests\":[{\"model\":\"models/e1\",\"content\":{\"parts\":[{\"text\":"
        "\"a\"}]},\"taskType\":\"RETRIEVAL_QUERY\"}]}");
}

static void
test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *model, *body, *want;
    } rows[] = {
        {PROVIDER_COHERE, "m", "{\"input\":[1,2]}", "denied: input"},
        {PROVIDER_COHERE, "m", "{\"input\":[[1,2]]}", "denied: input"},
        {PROVIDER_COHERE, "m", "{\"input\":[]}", "syntax: input"},
        {PROVIDER_COHERE, "m", "{\"input\":{}}", "syntax: input"},
        {PROVIDER_COHERE, "m", "{\"input\":null}", "syntax: input"},
        {PROVIDER_COHERE, "m", "{}", "syntax: input"},
        {PROVIDER_COHERE, "m", "{\"input\":\"a\",\"encoding_format\":\"int8\"}",
         "syntax: encoding_format"},
        {PROVIDER_COHERE, "m", "{\"input\":\"a\",\"dimensions\":0}", "syntax: dimensions"},
        {PROVIDER_COHERE, "m", "{\"input\":\"a\",\"input_type\":3}", "syntax: input_type"},
        {PROVIDER_COHERE, "m", "{\"input\":\"a\",\"truncate\":\"END\"}", "denied: truncate"},
        {PROVIDER_BEDROCK, "titan-embed", TWO, "denied: input"},
        {PROVIDER_BEDROCK, "nova-embed", TWO, "denied: input"},
    };
    void *x;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = asked(rows[i].kind, rows[i].model, rows[i].body, &x);
        bool denied = rows[i].want[0] == 'd';
        assert_string_equal(why.member, strchr(rows[i].want, ' ') + 1);
        assert_true(strstr(got, err_name(denied ? ERR_DENIED : ERR_SYNTAX)) == got);
    }
}

/* 96 texts are Cohere's most, 97 too many. */
static void
test_cohere_takes_so_many(void **state)
{
    (void)state;
    char body[1024];
    void *x;
    for (int count = 96; count <= 97; count++) {
        int n = snprintf(body, sizeof(body), "{\"input\":[\"t\"");
        for (int i = 1; i < count; i++)
            n += snprintf(body + n, sizeof(body) - (size_t)n, ",\"t\"");
        snprintf(body + n, sizeof(body) - (size_t)n, "]}");
        const char *got = asked(PROVIDER_COHERE, "m", body, &x);
        assert_int_equal(got[0] == '{', count == 96);
    }
}

static struct usage_report report;

/* The client's answer, or the name of the error. */
static const char *
answered(enum provider_kind kind, const char *model, const char *body, const char *answer)
{
    struct codec_exchange x = {.model = SLICE("mine"), .id = SLICE("1"), .arena = &arena};
    struct dialect_target t = target(kind, model);
    const char *reason = NULL;
    struct buf into;
    x.target = &t;
    report = (struct usage_report){.seen = false};
    assert_int_equal(asked(kind, model, body, &x.asked)[0], '{');
    buf_init(&into, 0);
    int err = codec_embeddings.read(slice_of(answer), &x, &into, &report, &reason);
    const char *text = err ? err_name(err) : arena_strdup(&arena, buf_slice(&into));
    assert_int_equal(err == ERR_PROTOCOL, reason != NULL);
    buf_free(&into);
    return text;
}

static void
test_answers_are_openais(void **state)
{
    (void)state;
    assert_string_equal(
        answered(PROVIDER_COHERE, "m", TWO,
                 "{\"embeddings\":{\"float\":[[1,-0.5],[0.25, 2]]},\"meta\":{\"billed_units\":"
                 "{\"input_tokens\":10}}}"),
        "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[1,-0."
        "5]},{\"object\":\"embedding\",\"index\":1,\"embedding\":[0.25, 2]}],\"model\":\"mine\","
        "\"usage\":{\"prompt_tokens\":10,\"total_tokens\":10}}");
    assert_true(report.seen && report.has_input && report.has_output);
    assert_int_equal(report.tokens.input, 10);
    assert_non_null(strstr(answered(PROVIDER_BEDROCK, "titan-embed", ONE,
                                    "{\"embedding\":[3],\"inputTextTokenCount\":7}"),
                           "\"embedding\":[3]"));
    assert_int_equal(report.tokens.input, 7);
    assert_non_null(strstr(
        answered(PROVIDER_BEDROCK, "nova-embed", ONE, "{\"embeddings\":[{\"embedding\":[3]}]}"),
        "\"embedding\":[3]"));
    assert_false(report.seen);
    assert_non_null(
        strstr(answered(PROVIDER_GEMINI, "e", ONE, "{\"embeddings\":[{\"values\":[4]}]}"),
               "\"embedding\":[4]"));
}

/* 1.0, -0.5, 0.1 and 3e2 as little-endian floats. */
static void
test_base64_is_of_little_endian_floats(void **state)
{
    (void)state;
    const char *body = "{\"input\":\"a\",\"encoding_format\":\"base64\"}";
    assert_non_null(strstr(
        answered(PROVIDER_COHERE, "m", body, "{\"embeddings\":{\"float\":[[1,-0.5,0.1,3e2]]}}"),
        "\"embedding\":\"AACAPwAAAL/NzMw9AACWQw==\""));
    assert_string_equal(
        answered(PROVIDER_COHERE, "m", body, "{\"embeddings\":{\"float\":[[\"x\"]]}}"),
        err_name(ERR_PROTOCOL));
}

static void
test_answers_of_another_shape(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "[]",
        "{}",
        "{\"embeddings\":{\"float\":[[1]]}}",
        "{\"embeddings\":{\"float\":[[1],[2],[3]]}}",
        "{\"embeddings\":{\"float\":[[1],2]}}",
        "{\"embeddings\":{\"int8\":[[1],[2]]}}",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_string_equal(answered(PROVIDER_COHERE, "m", TWO, answers[i]),
                            err_name(ERR_PROTOCOL));
    answered(PROVIDER_COHERE, "m", ONE,
             "{\"embeddings\":[[1]],\"meta\":{\"billed_units\":{\"input_tokens\":999999999999}}}");
    assert_true(report.suspect && !report.seen);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_who_is_asked_where, tear_down),
        cmocka_unit_test_teardown(test_requests_are_written_for_each, tear_down),
        cmocka_unit_test_teardown(test_what_is_refused, tear_down),
        cmocka_unit_test_teardown(test_cohere_takes_so_many, tear_down),
        cmocka_unit_test_teardown(test_answers_are_openais, tear_down),
        cmocka_unit_test_teardown(test_base64_is_of_little_endian_floats, tear_down),
        cmocka_unit_test_teardown(test_answers_of_another_shape, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
