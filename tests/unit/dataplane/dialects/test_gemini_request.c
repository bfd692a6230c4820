/* What clients of Google's ask, and what others get of it. */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

#include "dataplane/dialects/gemini.h"

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

static int
read_body(const char *body, struct canon_request *q, struct dialect_refusal *why)
{
    struct dialect_call call = {.path_model = SLICE("gpt"), .path_stream = true};
    struct request_brief b;
    memset(why, 0, sizeof(*why));
    ASSERT_OK(dialect_gemini.brief(slice_of(body), &call, &arena, &b, why));
    return dialect_gemini.read_request(slice_of(body), &call, &arena, q, why);
}

static struct canon_request
request_of(const char *body)
{
    struct canon_request q;
    struct dialect_refusal why;
    if (read_body(body, &q, &why))
        fail_msg("%s: %s", body, why.message);
    return q;
}

#define C(rest) "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]" rest "}"

static void
test_settings(void **state)
{
    (void)state;
    struct canon_request q = request_of(C(
        ",\"generation_config\":{\"max_output_tokens\":5,\"temperature\":0.5,\"topP\":1,\"top_k\":"
        "2.0,\"candidateCount\":2,\"seed\":-3,\"stopSequences\":[\"a\",\"b\"],"
        "\"presencePenalty\":0.1,\"frequencyPenalty\":0.2,\"responseLogprobs\":true,"
        "\"logprobs\":4,\"responseMimeType\":\"application/json\",\"responseSchema\":{\"type\":"
        "\"STRING\"},\"thinkingConfig\":{\"thinkingBudget\":-1,\"includeThoughts\":true},"
        "\"responseModalities\":[\"TEXT\"],\"speechConfig\":{}},\"safetySettings\":[],"
        "\"labels\":{\"a\":\"b\"},\"serviceTier\":\"flex\""));
    assert_slice_is(q.model, "gpt");
    assert_true(q.stream && q.include_usage);
    assert_int_equal(q.max_tokens, 5);
    assert_slice_is(q.temperature, "0.5");
    assert_slice_is(q.top_p, "1");
    assert_slice_is(q.top_k, "2");
    assert_int_equal(q.choices, 2);
    assert_slice_is(q.seed, "-3");
    assert_int_equal(q.stop_count, 2);
    assert_slice_is(q.stops[1], "b");
    assert_slice_is(q.presence_penalty, "0.1");
    assert_slice_is(q.frequency_penalty, "0.2");
    assert_int_equal(q.logprobs, TRI_YES);
    assert_int_equal(q.top_logprobs, 4);
    assert_int_equal(q.format, FORMAT_SCHEMA);
    assert_slice_is(q.format_schema_raw, "{\"type\":\"string\"}");
    assert_int_equal(q.reasoning.budget, -2);
    assert_int_equal(q.reasoning.show, TRI_YES);
    assert_slice_is(q.metadata_raw, "{\"a\":\"b\"}");
    assert_slice_is(q.service_tier, "flex");
    assert_int_equal(q.extra_count, 2);
    assert_slice_is(q.extras[0].name, "generationConfig.speechConfig");
    assert_slice_is(q.extras[1].name, "safetySettings");
}

static void
test_levels(void **state)
{
    (void)state;
    struct canon_request q =
        request_of(C(",\"generationConfig\":{\"thinkingConfig\":{\"thinking_level\":\"HIGH\"},"
                     "\"responseModalities\":[\"TEXT\",\"IMAGE\"]}"));
    assert_slice_is(q.reasoning.effort, "high");
    assert_int_equal(q.extra_count, 1);
    assert_slice_is(q.extras[0].name, "generationConfig.responseModalities");
}

static void
test_tools(void **state)
{
    (void)state;
    struct canon_request q = request_of(
        C(",\"tools\":{\"function_declarations\":[{\"name\":\"f\",\"parameters\":{\"type\":6,"
          "\"properties\":{\"a\":{\"type\":1}}},\"behavior\":\"BLOCKING\"},{\"name\":\"g\"},{"
          "\"name\":\"h\",\"parameters_json_schema\":{\"x\":1}}],\"googleSearch\":{}},"
          "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":2,\"allowedFunctionNames\":[\"f\","
          "\"h\"]},\"retrievalConfig\":{}}"));
    assert_int_equal(q.tool_choice, CHOICE_REQUIRED);
    assert_int_equal(q.tool_count, 3); /* of several allowed ones the others go */
    assert_slice_is(q.tools[0].name, "f");
    assert_slice_is(q.tools[0].schema_raw,
                    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}");
    assert_slice_is(q.tools[0].raw, "{\"behavior\":\"BLOCKING\"}");
    assert_slice_is(q.tools[1].schema_raw, "{\"x\":1}");
    assert_int_equal(q.tools[2].kind, TOOL_HOSTED);
    assert_slice_is(q.tools[2].raw, "{\"googleSearch\":{}}");
    assert_slice_is(q.extras[0].name, "toolConfig.retrievalConfig");
    q = request_of(C(",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],\"toolConfig\":{"
                     "\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":"
                     "[\"f\"]}}"));
    assert_int_equal(q.tool_choice, CHOICE_NAMED);
    assert_slice_is(q.tool_choice_name, "f");
    q = request_of(C(",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],\"toolConfig\":{"
                     "\"functionCallingConfig\":{\"mode\":\"VALIDATED\"}}"));
    assert_int_equal(q.tool_choice, CHOICE_AUTO);
    assert_int_equal(q.tools[0].strict, TRI_YES);
}

/* Calls without ids get one that is the same whenever the history is sent, and results find them
 * by name, in order. */
static void
test_calls_without_ids(void **state)
{
    static const char body[] =
        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},{\"role\":\"model\","
        "\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":"
        "\"AAAA\"},{\"functionCall\":{\"name\":\"g\"}},{\"functionCall\":{\"name\":\"f\"}}]},{"
        "\"role\":\"user\",\"parts\":[{\"text\":\"and\"},{\"functionResponse\":{\"name\":\"g\","
        "\"response\":{\"result\":\"G\"}}},{\"functionResponse\":{\"name\":\"f\",\"response\":{"
        "\"error\":\"E\"}}},{\"functionResponse\":{\"name\":\"f\",\"response\":{\"b\":2},\"parts\":"
        "["
        "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"_-8\"}}]}}]}]}";
    (void)state;
    struct canon_request q = request_of(body), again = request_of(body);
    assert_int_equal(q.message_count, 4);
    const struct canon_part *calls = q.messages[1].parts, *results = q.messages[2].parts;
    assert_slice_is(calls[0].arguments, "{\"a\":1}");
    assert_slice_is(calls[0].signature, "AAAA");
    assert_int_equal(calls[0].origin, DIALECT_GEMINI);
    assert_slice_is(calls[1].arguments, "{}");
    for (size_t i = 0; i < 3; i++)
        assert_true(slice_eq(calls[i].id, again.messages[1].parts[i].id));
    assert_false(slice_eq(calls[0].id, calls[2].id));
    assert_int_equal(q.messages[2].role, ROLE_TOOL);
    assert_int_equal(q.messages[2].count, 3);
    assert_true(slice_eq(results[0].id, calls[1].id));
    assert_true(slice_eq(results[1].id, calls[0].id));
    assert_true(slice_eq(results[2].id, calls[2].id));
    assert_slice_is(results[0].parts[0].text, "G");
    assert_true(results[1].is_error);
    assert_slice_is(results[1].parts[0].text, "E");
    assert_slice_is(results[2].parts[0].text, "{\"b\":2}");
    assert_slice_is(results[2].parts[1].media.data, "/+8="); /* the standard alphabet */
    assert_int_equal(q.messages[3].role, ROLE_USER);
    assert_slice_is(q.messages[3].parts[0].text, "and");
}

static void
test_parts(void **state)
{
    (void)state;
    struct canon_request q = request_of(
        "{\"system_instruction\":\"s\",\"contents\":{\"role\":\"model\",\"parts\":[{\"text\":\"t\","
        "\"thought\":true},{\"executableCode\":{}},{\"fileData\":{\"fileUri\":\"gs://a/b\","
        "\"mimeType\":\"audio/wav\"}},{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":"
        "\"AAAA\"}},{\"fileData\":{\"fileUri\":"
        "\"https://generativelanguage.googleapis.com/v1beta/files/x\"}},{\"inlineData\":{"
        "\"mimeType\":\"video/mp4\",\"data\":\"AAAA\"},\"videoMetadata\":{\"fps\":1}}]}}");
    assert_int_equal(q.messages[0].role, ROLE_SYSTEM);
    assert_slice_is(q.messages[0].parts[0].text, "s");
    const struct canon_part *p = q.messages[1].parts;
    static const enum canon_part_kind kinds[] = {PART_REASONING, PART_OPAQUE, PART_AUDIO,
                                                 PART_FILE,      PART_FILE,   PART_OPAQUE};
    assert_int_equal(q.messages[1].count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(p[i].kind, kinds[i]);
    assert_slice_is(p[1].raw, "{\"executableCode\":{}}");
    assert_slice_is(p[2].media.url, "gs://a/b");
    assert_slice_is(p[4].media.file_id, "https://generativelanguage.googleapis.com/v1beta/files/x");
}

/* Thoughts that were streamed in pieces, and their signature at last: one part. What is signed
 * already, or is no thought, stays by itself. */
static void
test_signature_behind_thoughts(void **state)
{
    (void)state;
    struct canon_request q = request_of(
        "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"x\",\"thought\":true,"
        "\"thoughtSignature\":\"X\"},{\"text\":\"a\",\"thought\":true},{\"text\":\"b\","
        "\"thought\":true},{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"S\"},"
        "{\"text\":\"t\"},{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"T\"}]}]}");
    static const struct {
        enum canon_part_kind kind;
        const char *text, *signature;
    } rows[] = {{PART_REASONING, "x", "X"},
                {PART_REASONING, "ab", "S"},
                {PART_TEXT, "t", ""},
                {PART_REASONING, "", "T"}};
    assert_int_equal(q.messages[0].count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(q.messages[0].parts[i].kind, rows[i].kind);
        assert_slice_is(q.messages[0].parts[i].text, rows[i].text);
        assert_slice_is(q.messages[0].parts[i].signature, rows[i].signature);
    }
}

static void
test_refusals_name_the_member(void **state)
{
    static const struct {
        const char *body, *member;
    } bad[] = {
        {"{}", "contents"},
        {"{\"contents\":[]}", "contents"},
        {"{\"contents\":\"x\"}", "contents"},
        {"{\"contents\":[1]}", "contents[0]"},
        {"{\"contents\":[{\"role\":\"system\",\"parts\":[]}]}", "contents[0].role"},
        {"{\"contents\":[{\"parts\":\"x\"}]}", "contents[0].parts"},
        {"{\"contents\":[{\"parts\":[1]}]}", "contents[0].parts[0]"},
        {"{\"contents\":[{\"parts\":[{}]}]}", "contents[0].parts[0]"},
        {"{\"contents\":[{\"parts\":[{\"text\":1}]}]}", "contents[0].parts[0].text"},
        {"{\"contents\":[{\"parts\":[{\"inlineData\":{}}]}]}", "contents[0].parts[0].inlineData"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{}}]}]}",
         "contents[0].parts[0].functionCall.name"},
        {"{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":"
         "[]}}]}]}",
         "contents[0].parts[0].functionCall.args"},
        {"{\"contents\":[{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]}]}",
         "contents[0].parts[0].functionCall"}, /* no turn of the model's: it would be lost */
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{}}}]}]}",
         "contents[0].parts[0].functionResponse"},
        {"{\"contents\":[{\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":\"x\"}}]}]"
         "}",
         "contents[0].parts[0].functionResponse.response"},
        {C(",\"systemInstruction\":5"), "systemInstruction"},
        {C(",\"tools\":5"), "tools"},
        {C(",\"tools\":[{\"functionDeclarations\":[{}]}]"), "tools[0].functionDeclarations[0]"},
        {C(",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"SOME\"}}"),
         "toolConfig.functionCallingConfig.mode"},
        {C(",\"generationConfig\":5"), "generationConfig"},
        {C(",\"generationConfig\":{\"temperature\":\"x\"}"), "generationConfig.temperature"},
        {C(",\"generationConfig\":{\"maxOutputTokens\":0}"), "generationConfig.maxOutputTokens"},
        {C(",\"generationConfig\":{\"maxOutputTokens\":1.5}"), "generationConfig.maxOutputTokens"},
        {C(",\"generationConfig\":{\"stopSequences\":\"x\"}"), "generationConfig.stopSequences"},
        {C(",\"generationConfig\":{\"stopSequences\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
           "\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]}"),
         "generationConfig.stopSequences"},
        {C(",\"generationConfig\":{\"responseSchema\":[]}"), "generationConfig.responseSchema"},
        {C(",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"SOME\"}}"),
         "generationConfig.thinkingConfig.thinkingLevel"},
        {C(",\"labels\":[]"), "labels"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct canon_request q;
        struct dialect_refusal why;
        int err = read_body(bad[i].body, &q, &why);
        if (err != ERR_SYNTAX || strcmp(why.member, bad[i].member) != 0)
            fail_msg("row %zu: %d, %s: %s", i, err, why.member, why.message);
        assert_non_null(strstr(why.message, bad[i].member));
    }
}

/* Each result is looked for among the calls: there is an end to them. */
static void
test_calls_are_bounded(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct canon_request q;
        struct dialect_refusal why;
        struct buf body;
        buf_init(&body, 0);
        ASSERT_OK(buf_add_str(&body, "{\"contents\":[{\"role\":\"model\",\"parts\":["));
        for (int i = 0; i < 4096 + more; i++)
            ASSERT_OK(buf_addf(&body, "%s{\"functionCall\":{\"name\":\"f\"}}", i ? "," : ""));
        ASSERT_OK(buf_add_str(&body, "]}]}"));
        assert_int_equal(read_body(buf_str(&body), &q, &why), more ? ERR_SYNTAX : 0);
        if (more)
            assert_string_equal(why.member, "contents");
        buf_free(&body);
    }
}

/* --- embeddings and counts ---------------------------------------------------------------------
 */

static const struct policy_provider on_gemini = {.name = {"g", 1}, .kind = PROVIDER_GEMINI};
static const struct policy_provider on_vertex = {
    .name = {"v", 1}, .kind = PROVIDER_VERTEX, .project = {"p", 1}, .location = {"l", 1}};

static void
test_embeddings_are_asked(void **state)
{
    static const struct slice texts[] = {{"a", 1}, {"b", 1}};
    static const struct {
        const struct policy_provider *provider;
        const char *model;
        size_t count;
        const char *path, *body; /* NULL: refused */
    } rows[] = {
        {&on_gemini, "e", 2, "/models/e:batchEmbedContents",
         "{\"requests\":[{\"model\":\"models/e\",\"content\":{\"parts\":[{\"text\":\"a\"}]},"
         "\"taskType\":\"T\",\"outputDimensionality\":3},{\"model\":\"models/e\",\"content\":{"
         "\"parts\":[{\"text\":\"b\"}]},\"taskType\":\"T\",\"outputDimensionality\":3}]}"},
        {&on_vertex, "text-embedding-005", 2,
         "/projects/p/locations/l/publishers/google/models/text-embedding-005:predict",
         "{\"instances\":[{\"content\":\"a\",\"task_type\":\"T\"},{\"content\":\"b\",\"task_type\":"
         "\"T\"}],\"parameters\":{\"outputDimensionality\":3}}"},
        {&on_vertex, "gemini-embedding-2", 1,
         "/projects/p/locations/l/publishers/google/models/gemini-embedding-2:embedContent",
         "{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"taskType\":\"T\",\"outputDimensionality\":"
         "3}"},
        {&on_vertex, "gemini-embedding-2", 2,
         "/projects/p/locations/l/publishers/google/models/gemini-embedding-2:embedContent", NULL},
        {&on_vertex, "gemini-embedding-001", 2,
         "/projects/p/locations/l/publishers/google/models/gemini-embedding-001:predict", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_target t = {.provider = rows[i].provider, .model = slice_of(rows[i].model)};
        struct canon_embeddings q = {
            .texts = texts, .count = rows[i].count, .dimensions = 3, .task = SLICE("T")};
        struct dialect_address at;
        struct dialect_refusal why = {.duplicate = false};
        struct buf out;
        buf_init(&out, 0);
        ASSERT_OK(gemini_embed_address(&t, &arena, &at));
        assert_slice_is(at.path, rows[i].path);
        assert_int_equal(gemini_embed_write_request(&q, &t, &out, &why),
                         rows[i].body ? 0 : ERR_DENIED);
        if (rows[i].body)
            assert_slice_is(buf_slice(&out), rows[i].body);
        else
            assert_string_equal(why.member, "input");
        buf_free(&out);
    }
}

static void
test_embeddings_are_answered(void **state)
{
    static const struct {
        const char *body;
        size_t count;
        int err;
        int64_t tokens; /* -1: not said */
    } rows[] = {
        {"{\"embeddings\":[{\"values\":[1,2]},{\"values\":[3]}]}", 2, 0, -1},
        {"{\"embeddings\":[{\"values\":[1]}],\"usageMetadata\":{\"promptTokenCount\":7}}", 1, 0, 7},
        {"{\"embedding\":{\"values\":[1]},\"usageMetadata\":{\"promptTokenCount\":11}}", 1, 0, 11},
        {"{\"predictions\":[{\"embeddings\":{\"values\":[1],\"statistics\":{\"token_count\":4}}},{"
         "\"embeddings\":{\"values\":[2],\"statistics\":{\"token_count\":5}}}]}",
         2, 0, 9},
        {"{\"embeddings\":[{\"values\":[1]}]}", 2, ERR_PROTOCOL, -1},
        {"{\"embeddings\":[{\"values\":[1]},{\"values\":[1]}]}", 1, ERR_PROTOCOL, -1},
        {"{\"embeddings\":[{\"values\":1}]}", 1, ERR_PROTOCOL, -1},
        {"[]", 1, ERR_PROTOCOL, -1},
        {"", 1, ERR_PROTOCOL, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_vectors v;
        int err = gemini_embed_read_answer(slice_of(rows[i].body), rows[i].count, &arena, &v);
        if (err != rows[i].err)
            fail_msg("row %zu: %d", i, err);
        if (err)
            continue;
        assert_int_equal(v.count, rows[i].count);
        assert_int_equal(v.usage.seen, rows[i].tokens >= 0);
        if (rows[i].tokens >= 0)
            assert_int_equal(v.usage.tokens.input, rows[i].tokens);
    }
}

/* Recorded embeddings. */
static void
test_recordings(void **state)
{
    struct json *cases = shared_doc("", "INDEX.json");
    size_t n = 0;
    (void)state;
    if (!cases)
        skip();
    for (size_t i = 0; i < json_size(cases); i++) {
        struct json *c = json_at(cases, i);
        struct slice api = json_str(json_get(c, "api")), path = json_str(json_get(c, "path"));
        struct json *usage = json_get(c, "usage");
        int64_t status, want = -1, got = -1;
        struct buf body;
        if (!slice_is(api, "google.embed") || json_to_int(json_get(c, "status"), &status) ||
            status != 200)
            continue;
        if (json_kind(usage) == JSON_MAP)
            ASSERT_OK(json_to_int(json_get(usage, "prompt_tokens"), &want));
        assert_true(shared_read(path.at, json_str(json_get(c, "response_file")).at, &body));
        struct canon_vectors v;
        size_t count = slice_ends(path, SLICE("multiple-contents")) ? 2 : 1;
        ASSERT_OK(gemini_embed_read_answer(buf_slice(&body), count, &arena, &v));
        got = v.usage.seen ? v.usage.tokens.input : -1;
        assert_int_equal(got, want);
        buf_free(&body);
        n++;
    }
    assert_true(n >= 4);
    json_free(cases);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_calls_without_ids),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_signature_behind_thoughts),
        cmocka_unit_test(test_refusals_name_the_member),
        cmocka_unit_test(test_calls_are_bounded),
        cmocka_unit_test(test_embeddings_are_asked),
        cmocka_unit_test(test_embeddings_are_answered),
        cmocka_unit_test(test_recordings),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
