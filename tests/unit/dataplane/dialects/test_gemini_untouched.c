#include "tests/unit/check.h"

#include "dataplane/dialects/gemini_internal.h"

static struct arena arena;

static int
begin(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int
finish(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* --- brief ------------------------------------------------------------------------------------ */

static void
test_brief_reads_both_spellings(void **state)
{
    static const struct {
        const char *body;
        const char *tools, *max_member;
        int64_t max, choices;
        bool odd;
    } rows[] = {
        {"{}", NULL, NULL, 0, 1, false},
        {"{\"tools\":[]}", NULL, NULL, 0, 1, false},
        {"{\"tools\":[{\"googleSearch\":{}}]}", "tools", NULL, 0, 1, false},
        {"{\"generationConfig\":{\"maxOutputTokens\":7,\"candidateCount\":3}}", NULL,
         "generationConfig.maxOutputTokens", 7, 3, false},
        {"{\"generation_config\":{\"max_output_tokens\":7,\"candidate_count\":3}}", NULL,
         "generationConfig.maxOutputTokens", 7, 3, false},
        {"{\"generationConfig\":{\"max\\u004futputTokens\":7}}", NULL,
         "generationConfig.maxOutputTokens", 7, 1, false},
        {"{\"generationConfig\":{\"maxOutputTokens\":\"7\"}}", NULL,
         "generationConfig.maxOutputTokens", 0, 1, true},
        {"{\"generationConfig\":{\"maxOutputTokens\":0}}", NULL, "generationConfig.maxOutputTokens",
         0, 1, true},
        {"{\"generationConfig\":null}", NULL, NULL, 0, 1, false},
    };
    struct dialect_call call = {.path_model = SLICE("gemini-2.5-pro"), .path_stream = true};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request_brief b;
        struct dialect_refusal why = {.duplicate = false};
        if (dialect_gemini.brief(slice_of(rows[i].body), &call, &arena, &b, &why))
            fail_msg("row %zu: %s", i, why.message);
        assert_slice_is(b.model, "gemini-2.5-pro");
        assert_true(b.stream);
        assert_int_equal(b.model_at.kind, JSON_ABSENT);
        assert_int_equal(b.max_tokens, rows[i].max);
        assert_int_equal(b.max_tokens_odd, rows[i].odd);
        assert_int_equal(b.choices, rows[i].choices);
        assert_int_equal(!b.tools_member, !rows[i].tools);
        assert_string_equal(b.max_tokens_member ? b.max_tokens_member : "",
                            rows[i].max_member ? rows[i].max_member : "");
    }
}

static void
test_brief_refuses_what_two_parsers_read_differently(void **state)
{
    static const struct {
        const char *body, *member;
        bool duplicate;
    } rows[] = {
        {"{\"tools\":[],\"tools\":[]}", "tools", true},
        {"{\"generationConfig\":{},\"generation_config\":{}}", "generationConfig", true},
        {"{\"generationConfig\":{\"maxOutputTokens\":1,\"max_output_tokens\":2}}",
         "generationConfig.maxOutputTokens", true},
        {"{\"generationConfig\":{\"maxOutputTokens\":1,\"maxOutputTokens\":2}}",
         "generationConfig.maxOutputTokens", true},
        {"{\"generationConfig\":{\"candidateCount\":1,\"candidate_count\":2}}",
         "generationConfig.candidateCount", true},
        {"[]", "", false},
        {"{", "", false},
    };
    struct dialect_call call = {.path_stream = false};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request_brief b;
        struct dialect_refusal why = {.duplicate = false};
        assert_int_equal(dialect_gemini.brief(slice_of(rows[i].body), &call, &arena, &b, &why),
                         ERR_SYNTAX);
        assert_string_equal(why.member, rows[i].member);
        assert_int_equal(why.duplicate, rows[i].duplicate);
        assert_true(why.message[0] != '\0');
    }
}

/* --- address ---------------------------------------------------------------------------------- */

static void
test_addresses(void **state)
{
    static const struct policy_provider gemini = {.kind = PROVIDER_GEMINI};
    struct policy_provider vertex = {
        .kind = PROVIDER_VERTEX, .project = SLICE("p-1"), .location = SLICE("us-central1")};
    const struct {
        const struct policy_provider *provider;
        const char *model;
        bool stream;
        const char *path;
    } rows[] = {
        {&gemini, "gemini-2.5-pro", false, "/models/gemini-2.5-pro:generateContent"},
        {&gemini, "models/gemini-2.5-pro", true,
         "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"},
        {&gemini, "tunedModels/mine", false, "/tunedModels/mine:generateContent"},
        {&gemini, "../../x?key=1#", false, "/models/..%2F..%2Fx%3Fkey%3D1%23:generateContent"},
        {&gemini, "a%2fb\r\n", false, "/models/a%252fb%0D%0A:generateContent"},
        {&vertex, "gemini-2.5-pro", true,
         "/projects/p-1/locations/us-central1/publishers/google/models/"
         "gemini-2.5-pro:streamGenerateContent?alt=sse"},
        {&vertex, "endpoints/123", false,
         "/projects/p-1/locations/us-central1/endpoints/123:generateContent"},
        {&vertex, "endpoints/../x", false,
         "/projects/p-1/locations/us-central1/endpoints/..%2Fx:generateContent"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_target t = {.provider = rows[i].provider, .model = slice_of(rows[i].model)};
        struct dialect_address at;
        assert_int_equal(dialect_gemini.address(&t, rows[i].stream, &arena, &at), 0);
        assert_slice_is(at.path, rows[i].path);
        assert_int_equal(at.field_count, 0);
    }
}

/* --- usage ------------------------------------------------------------------------------------ */

static void
test_usage_classes_are_disjoint(void **state)
{
    static const struct {
        const char *text;
        struct tokens want;
        bool in, out, suspect;
        enum service_tier tier;
    } rows[] = {
        {"{\"promptTokenCount\":5,\"candidatesTokenCount\":7,\"totalTokenCount\":12}",
         {{{.input = 5, .output = 7}}},
         true,
         true,
         false,
         TIER_STANDARD},
        {"{\"promptTokenCount\":100,\"toolUsePromptTokenCount\":50,\"cachedContentTokenCount\":40,"
         "\"candidatesTokenCount\":7,\"thoughtsTokenCount\":9,\"serviceTier\":\"flex\"}",
         {{{.input = 110, .cache_read = 40, .output = 7, .reasoning = 9}}},
         true,
         true,
         false,
         TIER_FLEX},
        {"{\"promptTokenCount\":100,\"cachedContentTokenCount\":30,\"promptTokensDetails\":["
         "{\"modality\":\"AUDIO\",\"tokenCount\":40},{\"modality\":2,\"tokenCount\":20},"
         "{\"modality\":\"VIDEO\",\"tokenCount\":40}],\"cacheTokensDetails\":["
         "{\"modality\":\"AUDIO\",\"tokenCount\":30}],\"candidatesTokenCount\":10,"
         "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":6},"
         "{\"modality\":\"AUDIO\",\"tokenCount\":3}],\"trafficType\":\"ON_DEMAND_PRIORITY\"}",
         {{{.input = 40,
            .cache_read = 30,
            .audio_input = 10,
            .image_input = 20,
            .output = 1,
            .audio_output = 3,
            .image_output = 6}}},
         true,
         true,
         false,
         TIER_PRIORITY},
        {"{\"promptTokenCount\":5,\"totalTokenCount\":5}",
         {{{.input = 5}}},
         true,
         false,
         false,
         TIER_STANDARD},
        {"{\"promptTokenCount\":5,\"cachedContentTokenCount\":6}",
         {{{.cache_read = 5}}},
         true,
         false,
         true,
         TIER_STANDARD},
        {"{\"promptTokenCount\":-5,\"candidatesTokenCount\":1}",
         {{{.output = 1}}},
         false,
         true,
         true,
         TIER_STANDARD},
        {"{\"promptTokenCount\":5,\"promptTokensDetails\":[{\"modality\":\"AUDIO\","
         "\"tokenCount\":6}]}",
         {{{.audio_input = 5}}},
         true,
         false,
         true,
         TIER_STANDARD},
        {"{\"trafficType\":\"ON_DEMAND\"}", {{{0}}}, false, false, false, TIER_STANDARD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        gemini_read_usage(json_view_of(slice_of(rows[i].text)), &r);
        for (int c = 0; c < USAGE_CLASSES; c++)
            if (r.tokens.of[c] != rows[i].want.of[c])
                fail_msg("row %zu: %s is %lld", i, usage_class_name((enum usage_class)c),
                         (long long)r.tokens.of[c]);
        assert_int_equal(r.has_input, rows[i].in);
        assert_int_equal(r.has_output, rows[i].out);
        assert_int_equal(r.seen, rows[i].in || rows[i].out);
        assert_int_equal(r.suspect, rows[i].suspect);
        assert_int_equal(r.tier, rows[i].tier);
    }
}

static void
test_usage_is_written_as_it_is_read(void **state)
{
    struct usage_report r = {.seen = true}, back = {0};
    struct buf out;
    (void)state;
    r.tokens = (struct tokens){{{.input = 10,
                                 .cache_read = 3,
                                 .audio_input = 4,
                                 .image_input = 5,
                                 .output = 6,
                                 .reasoning = 7,
                                 .image_output = 2}}};
    buf_init(&out, 0);
    struct json_emit e = json_emit_into(&out);
    gemini_write_usage(&e, &r);
    assert_int_equal(e.err, 0);
    gemini_read_usage(json_view_of(buf_slice(&out)), &back);
    for (int c = 0; c < USAGE_CLASSES; c++)
        assert_int_equal(back.tokens.of[c], r.tokens.of[c]);
    buf_free(&out);
}

/* --- watch and look --------------------------------------------------------------------------- */

#define USAGE "\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1}"

static void
test_watch(void **state)
{
    static const struct {
        const char *data;
        int err;
        enum watch_verdict want;
    } rows[] = {
        {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]," USAGE "}", 0,
         WATCH_PASS},
        {"{\"candidates\":[{\"finishReason\":\"STOP\"}]}", 0, WATCH_MAY_END},
        {"{\"candidates\":[{\"finishReason\":1}]}", 0, WATCH_MAY_END},
        {"{\"candidates\":[{\"finishReason\":0}]}", 0, WATCH_PASS},
        {"{\"candidates\":[{\"finishReason\":\"FINISH_REASON_UNSPECIFIED\"}]}", 0, WATCH_PASS},
        {"{\"candidates\":[{\"finishReason\":\"SOMETHING_NEW\"}]}", 0, WATCH_MAY_END},
        {"{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", 0, WATCH_MAY_END},
        {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\\\"finishReason\\\":1\"}]}}]}", 0,
         WATCH_PASS},
        {"{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}", 0,
         WATCH_BROKEN},
        {"[{\"error\":{\"code\":503}}]", 0, WATCH_BROKEN},
        {"{\"error\":null}", 0, WATCH_PASS},
        {"[]", ERR_PROTOCOL, WATCH_PASS},
        {"[DONE]", ERR_PROTOCOL, WATCH_PASS},
        {"\"x\"", ERR_PROTOCOL, WATCH_PASS},
        {"", ERR_PROTOCOL, WATCH_PASS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        struct watched w = {.report = &r};
        enum watch_verdict got = WATCH_PASS;
        assert_int_equal(dialect_gemini.watch(&w, SLICE(""), slice_of(rows[i].data), &got),
                         rows[i].err);
        if (got != rows[i].want)
            fail_msg("row %zu: %d", i, (int)got);
    }
}

/* Early chunks count other stages of a turn: the last one stands, also where it is smaller. */
static void
test_last_usage_stands(void **state)
{
    struct usage_report r = {0};
    struct watched w = {.report = &r};
    enum watch_verdict got;
    (void)state;
    static const char *const chunks[] = {
        "{\"usageMetadata\":{\"promptTokenCount\":15,\"thoughtsTokenCount\":400}}",
        "{\"candidates\":[{\"groundingMetadata\":{\"webSearchQueries\":[\"\",\"a\",\"b\"]}}],"
        "\"modelVersion\":\"gemini-3-pro\",\"usageMetadata\":{\"promptTokenCount\":13,"
        "\"candidatesTokenCount\":8}}",
        "{\"usageMetadata\":{\"trafficType\":\"ON_DEMAND\"}}",
    };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(dialect_gemini.watch(&w, SLICE(""), slice_of(chunks[i]), &got), 0);
    assert_int_equal(r.tokens.input, 13);
    assert_int_equal(r.tokens.output, 8);
    assert_int_equal(r.tokens.reasoning, 0);
    assert_int_equal(r.tokens.web_searches, 2);
    assert_false(r.suspect);
}

static void
test_look(void **state)
{
    struct usage_report r = {0};
    bool error = true;
    (void)state;
    assert_int_equal(
        dialect_gemini.look(SLICE("{\"candidates\":[{\"groundingMetadata\":{"
                                  "\"webSearchQueries\":[\"a\",\"b\"]}}],\"modelVersion"
                                  "\":\"gemini-2.5-pro\"," USAGE "}"),
                            &r, &error),
        0);
    assert_false(error);
    assert_int_equal(r.tokens.input, 9);
    assert_int_equal(r.tokens.web_searches, 1); /* before Gemini 3: one a request */
    assert_int_equal(dialect_gemini.look(SLICE("{\"error\":{}}"), &r, &error), 0);
    assert_true(error);
    assert_int_equal(dialect_gemini.look(SLICE("<html>"), &r, &error), ERR_PROTOCOL);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void
test_errors_of_all_shapes(void **state)
{
    static const char none[] = "The provider answered with an error and no readable message.";
    static const struct {
        int status;
        const char *body, *message, *type, *code;
        int want_status;
        enum canon_error_class kind;
        int64_t retry_ms;
    } rows[] = {
        {429,
         "{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":"
         "[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34.4s\"}]}}",
         "m", "RESOURCE_EXHAUSTED", "", 429, ERROR_RATE, 34400},
        {400,
         "[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\",\"details\":["
         "{"
         "\"reason\":\"API_KEY_INVALID\"},{\"retryDelay\":\"0.0001s\"}]}}]",
         "m", "INVALID_ARGUMENT", "API_KEY_INVALID", 400, ERROR_AUTH, 1},
        {0, "{\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}", "m",
         "UNAVAILABLE", "", 503, ERROR_OVERLOAD, 0},
        {200, "{\"error\":{\"message\":\"m\"}}", "m", "", "", 502, ERROR_UPSTREAM, 0},
        {502, "<html>", none, "", "", 502, ERROR_UPSTREAM, 0},
        {500, "", none, "", "", 500, ERROR_SERVER, 0},
        {404, "[]", none, "", "", 404, ERROR_NOT_FOUND, 0},
        {403, "{\"error\":\"text\"}", "text", "", "", 403, ERROR_DENIED, 0},
        {429, "{\"error\":{\"message\":\"m\",\"details\":[{\"retryDelay\":\"-1s\"}]}}", "m", "", "",
         429, ERROR_RATE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_fault f = {.status = rows[i].status, .body = slice_of(rows[i].body)};
        struct canon_error e;
        assert_int_equal(dialect_gemini.read_error(&f, &arena, &e), 0);
        assert_slice_is(e.message, rows[i].message);
        assert_slice_is(e.type, rows[i].type);
        assert_slice_is(e.code, rows[i].code);
        assert_int_equal(e.status, rows[i].want_status);
        assert_int_equal(e.kind, rows[i].kind);
        assert_int_equal(e.retry_ms, rows[i].retry_ms);
        assert_true(e.from_provider);
    }
}

static void
test_errors_are_written_as_google_does(void **state)
{
    struct canon_error e = {.kind = ERROR_RATE, .message = SLICE("slow \"down\"")};
    struct buf out;
    (void)state;
    buf_init(&out, 0);
    assert_int_equal(dialect_gemini.write_error(&e, &out), 0);
    assert_slice_is(buf_slice(&out), "{\"error\":{\"code\":429,\"message\":\"slow \\\"down\\\"\","
                                     "\"status\":\"RESOURCE_EXHAUSTED\"}}");
    buf_clear(&out);
    e = (struct canon_error){.kind = ERROR_INVALID,
                             .status = 422,
                             .message = SLICE("m"),
                             .code = SLICE("invalid_value"),
                             .param = SLICE("contents"),
                             .request_id = SLICE("r"),
                             .retry_ms = 1500};
    assert_int_equal(dialect_gemini.write_error_event(&e, &out), 0);
    assert_slice_is(
        buf_slice(&out),
        "data: {\"error\":{\"code\":422,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\","
        "\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":"
        "\"invalid_value\",\"domain\":\"headgate\",\"metadata\":{\"param\":\"contents\","
        "\"request_id\":\"r\"}},{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
        "\"retryDelay\":\"1.500s\"}]}}\r\n\r\n");
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brief_reads_both_spellings),
        cmocka_unit_test(test_brief_refuses_what_two_parsers_read_differently),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_usage_classes_are_disjoint),
        cmocka_unit_test(test_usage_is_written_as_it_is_read),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_last_usage_stands),
        cmocka_unit_test(test_look),
        cmocka_unit_test(test_errors_of_all_shapes),
        cmocka_unit_test(test_errors_are_written_as_google_does),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
