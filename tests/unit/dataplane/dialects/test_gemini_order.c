/* What Google is asked for, from requests of other dialects. */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

#include "dataplane/dialects/gemini_schema.h"

static struct policy_provider gemini = {.name = {"google", 6}, .kind = PROVIDER_GEMINI};
static struct policy_provider vertex = {.name = {"vertex", 6}, .kind = PROVIDER_VERTEX};

struct written {
    struct arena a;
    struct buf text;
    struct dialect_refusal why;
    struct dialect_writer w;
    int err;
};

/* The body of a client of `from` as Google gets it. */
static void
write_from(struct written *o, const struct dialect *from, const char *body,
           const struct policy_provider *provider, const char *model, bool may_degrade)
{
    struct dialect_call call = {.path_model = slice_of(model)};
    struct canon_request q;
    struct dialect_target target = {.provider = provider, .model = slice_of(model)};
    memset(o, 0, sizeof(*o));
    arena_init(&o->a, 0);
    buf_init(&o->text, 0);
    struct request_brief b;
    if (from->brief(slice_of(body), &call, &o->a, &b, &o->why) ||
        from->read_request(slice_of(body), &call, &o->a, &q, &o->why))
        fail_msg("%s: %s", body, o->why.message);
    o->w = (struct dialect_writer){
        .arena = &o->a, .target = &target, .why = &o->why, .may_degrade = may_degrade};
    o->err = dialect_gemini.write_request(&q, &o->w, &o->text);
}

static void
written_free(struct written *o)
{
    buf_free(&o->text);
    arena_free(&o->a);
}

#define M(rest) "{\"model\":\"m\",\"messages\":[" rest
#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define HI "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]"
#define TOOL                                                                                       \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","        \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}}}]"
#define TOOL_OUT                                                                                   \
    "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\","                 \
    "\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}}" \
    "]}]"

/* Chat's request, and the request that Google gets. */
static const struct row {
    const char *model, *chat, *google;
} rows[] = {
    {"gemini-2.5-pro",
     M("{\"role\":\"system\",\"content\":\"s\"}," USER ",{\"role\":\"user\",\"content\":\"ho\"},"
       "{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"t\"}],"
       "\"max_tokens\":5,\"temperature\":0.5,\"top_p\":0.9,\"n\":2,\"seed\":7,\"stop\":[\"x\"],"
       "\"presence_penalty\":0.1,\"frequency_penalty\":0.2,\"logprobs\":true,\"top_logprobs\":3}"),
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"role\":\"user\","
     "\"parts\":[{\"text\":\"hi\"},{\"text\":\"ho\"}]},{\"role\":\"model\",\"parts\":[{\"text\":"
     "\"a\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"<system>\\nt\\n</system>\"}]}],"
     "\"generationConfig\":{\"maxOutputTokens\":5,\"temperature\":0.5,\"topP\":0.9,"
     "\"candidateCount\":2,\"seed\":7,\"stopSequences\":[\"x\"],\"presencePenalty\":0.1,"
     "\"frequencyPenalty\":0.2,\"responseLogprobs\":true,\"logprobs\":3}}"},
    /* Gemma has no system */
    {"gemma-3-27b-it", M("{\"role\":\"system\",\"content\":\"s\"}," USER "]}"),
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"<system>\\ns\\n</system>\"},"
     "{\"text\":\"hi\"}]}],\"generationConfig\":{}}"},
    {"gemini-2.5-pro", M("{\"role\":\"system\",\"content\":\"s\"}]}"),
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"role\":\"user\","
     "\"parts\":[{\"text\":\"\"}]}],\"generationConfig\":{}}"},
    /* results of one turn: together, in the order of the calls */
    {"gemini-2.5-pro",
     M(USER
       ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
       "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"id\":\"c2\",\"type\":"
       "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"a\\\":1}\"}}]},"
       "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"{\\\"b\\\":2}\"},"
       "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"word\"}," USER "]}"),
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},{\"role\":\"model\","
     "\"parts\":[{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{}}},{\"functionCall\":{"
     "\"id\":\"c2\",\"name\":\"g\",\"args\":{\"a\":1}}}]},{\"role\":\"user\",\"parts\":[{"
     "\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{\"result\":\"word\"}}},{"
     "\"functionResponse\":{\"id\":\"c2\",\"name\":\"g\",\"response\":{\"b\":2}}}]},{\"role\":"
     "\"user\",\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":{}}"},
    /* Gemini 3 wants a signature on the first call of a turn; ids may carry one */
    {"gemini-3-pro-preview",
     M(USER ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","
            "\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}},{\"id\":\"c2\",\"type\":"
            "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
            "\"tool_call_id\":\"c1\",\"content\":\"x\"},{\"role\":\"tool\",\"tool_call_id\":\"c2\","
            "\"content\":\"y\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
            "\"c3__sig_bU0lHKw\",\"type\":\"function\",\"function\":{\"name\":\"f\","
            "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c3__sig_bU0lHKw\","
            "\"content\":\"z\"}]}"),
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},{\"role\":\"model\","
     "\"parts\":[{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{\"arguments\":\"[1]\"}},"
     "\"thoughtSignature\":\"skip_thought_signature_validator\"},{\"functionCall\":{\"id\":\"c2\","
     "\"name\":\"f\",\"args\":{}}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":"
     "\"c1\",\"name\":\"f\",\"response\":{\"result\":\"x\"}}},{\"functionResponse\":{\"id\":\"c2\","
     "\"name\":\"f\",\"response\":{\"result\":\"y\"}}}]},{\"role\":\"model\",\"parts\":[{"
     "\"functionCall\":{\"id\":\"c3\",\"name\":\"f\",\"args\":{}},\"thoughtSignature\":\"SIG+\"}]},"
     "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"c3\",\"name\":\"f\","
     "\"response\":{\"result\":\"z\"}}}]}],\"generationConfig\":{}}"},
    /* media */
    {"gemini-2.5-flash",
     M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
       "\"data:image/png;base64,AAAA\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":"
       "\"gs://b/x.jpg\"}},{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"BBBB\","
       "\"format\":\"wav\"}}]}]}"),
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
     "\"data\":\"AAAA\"}},{\"fileData\":{\"mimeType\":\"image/jpeg\",\"fileUri\":\"gs://b/"
     "x.jpg\"}},"
     "{\"inlineData\":{\"mimeType\":\"audio/wav\",\"data\":\"BBBB\"}}]}],\"generationConfig\":{}}"},
    /* tools and their choice */
    {"gemini-2.5-flash", M(USER "]," TOOL "}"), "{" HI "," TOOL_OUT ",\"generationConfig\":{}}"},
    {"gemini-2.5-flash", M(USER "]," TOOL ",\"tool_choice\":\"required\"}"),
     "{" HI "," TOOL_OUT ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}},"
     "\"generationConfig\":{}}"},
    {"gemini-2.5-flash",
     M(USER "]," TOOL ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}}"),
     "{" HI "," TOOL_OUT ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\","
     "\"allowedFunctionNames\":[\"f\"]}},\"generationConfig\":{}}"},
    {"gemini-2.5-flash", M(USER "]," TOOL ",\"tool_choice\":\"none\"}"),
     "{" HI "," TOOL_OUT ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}},"
     "\"generationConfig\":{}}"},
    {"gemini-2.0-flash", M(USER "]," TOOL "}"),
     "{" HI ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\","
     "\"parameters\":{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}}}}]}],"
     "\"generationConfig\":{}}"},
    /* JSON */
    {"gemini-2.5-flash", M(USER "],\"response_format\":{\"type\":\"json_object\"}}"),
     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}"},
    {"gemini-2.5-flash",
     M(USER "],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
            "\"schema\":{\"type\":\"object\"}}}}"),
     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
     "\"responseJsonSchema\":{\"type\":\"object\"}}}"},
    {"gemini-2.0-flash",
     M(USER "],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
            "\"schema\":{\"type\":[\"string\",\"null\"]}}}}"),
     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\",\"responseSchema\":{"
     "\"nullable\":true,\"type\":\"STRING\"}}}"},
    {"gemini-2.5-flash", M(USER "]," TOOL ",\"response_format\":{\"type\":\"json_object\"}}"),
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"Answer with a single JSON object and nothing "
     "else.\"}]}," HI "," TOOL_OUT ",\"generationConfig\":{}}"},
    {"gemini-3-flash-preview", M(USER "]," TOOL ",\"response_format\":{\"type\":\"json_object\"}}"),
     "{" HI "," TOOL_OUT ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}"},
    /* thinking */
    {"gemini-2.5-pro", M(USER "],\"reasoning_effort\":\"low\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":2048,\"includeThoughts\""
     ":true}}}"},
    {"gemini-2.5-pro", M(USER "],\"reasoning_effort\":\"none\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":128}}}"},
    {"gemini-2.5-flash", M(USER "],\"reasoning_effort\":\"none\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":0}}}"},
    {"gemini-2.5-flash", M(USER "],\"reasoning_effort\":\"xhigh\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":24576,"
     "\"includeThoughts\":true}}}"},
    {"gemini-3-pro-preview", M(USER "],\"reasoning_effort\":\"medium\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"high\","
     "\"includeThoughts\":true}}}"},
    {"gemini-3.1-pro-preview", M(USER "],\"reasoning_effort\":\"medium\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"medium\","
     "\"includeThoughts\":true}}}"},
    {"gemini-3-flash-preview", M(USER "],\"reasoning_effort\":\"none\"}"),
     "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"minimal\"}}}"},
    {"gemini-2.0-flash", M(USER "],\"reasoning_effort\":\"none\"}"),
     "{" HI ",\"generationConfig\":{}}"},
    /* a search in the web */
    {"gemini-2.5-flash", M(USER "],\"web_search_options\":{\"search_context_size\":\"low\"}}"),
     "{" HI ",\"tools\":[{\"googleSearch\":{}}],\"generationConfig\":{}}"},
    {"gemini-2.5-flash", M(USER "],\"service_tier\":\"flex\",\"user\":\"u\"}"),
     "{" HI ",\"generationConfig\":{},\"serviceTier\":\"flex\"}"},
};

static void
test_chat_becomes_googles(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct written o;
        write_from(&o, &dialect_chat, rows[i].chat, &gemini, rows[i].model, false);
        if (o.err)
            fail_msg("row %zu: %s", i, o.why.message);
        if (!json_same(buf_slice(&o.text), slice_of(rows[i].google)))
            fail_msg("row %zu: got\n%.*s\nwant\n%s", i, SLICE_ARG(buf_slice(&o.text)),
                     rows[i].google);
        written_free(&o);
    }
}

/* Before Gemini 3 a function stands for the schema, and its call is the answer. */
static void
test_schema_beside_tools_is_a_tool(void **state)
{
    struct written o;
    (void)state;
    write_from(&o, &dialect_chat,
               M(USER "]," TOOL ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                      "\"name\":\"n\",\"schema\":{\"type\":\"object\",\"properties\":{\"b\":{"
                      "\"type\":\"string\"}}}}}}"),
               &gemini, "gemini-2.5-flash", false);
    assert_int_equal(o.err, 0);
    assert_true(o.w.json_by_tool);
    assert_non_null(memmem(o.text.at, o.text.len, "\"mode\":\"ANY\"", 12));
    assert_non_null(memmem(o.text.at, o.text.len, JSON_TOOL_NAME, strlen(JSON_TOOL_NAME)));
    assert_null(memmem(o.text.at, o.text.len, "responseMimeType", 16));
    written_free(&o);

    struct arena a;
    struct canon_answer answer;
    const char *why;
    struct dialect_exchange x = {.json_by_tool = true};
    arena_init(&a, 0);
    assert_int_equal(
        dialect_gemini.read_answer(
            SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":"
                  "\"" JSON_TOOL_NAME "\",\"args\":{ \"b\" : \"x y\" }}}]},\"finishReason\":"
                  "\"STOP\"}]}"),
            &x, &a, &answer, &why),
        0);
    assert_int_equal(answer.choices[0].count, 1);
    assert_int_equal(answer.choices[0].parts[0].kind, PART_TEXT);
    assert_slice_is(answer.choices[0].parts[0].text, "{\"b\":\"x y\"}");
    assert_int_equal(answer.choices[0].finish, FINISH_STOP);
    arena_free(&a);
}

/* What Google has nothing for is refused by name, or left out where the key allows that. */
static void
test_refusals(void **state)
{
    const struct {
        const struct policy_provider *provider;
        const char *model, *chat, *member;
    } refused[] = {
        {&gemini, "gemini-2.5-pro", M(USER "],\"logit_bias\":{\"1\":2}}"), "logit_bias"},
        {&gemini, "gemini-2.5-pro",
         M(USER "],\"web_search_options\":{\"user_location\":{\"type\":\"approximate\"}}}"),
         "web_search_options"},
        {&gemini, "gemini-2.5-pro", M(USER "],\"verbosity\":\"low\"}"), "verbosity"},
        {&gemini, "gemini-2.5-pro", M(USER "],\"metadata\":{\"a\":\"b\"}}"), "metadata"},
        {&gemini, "gemini-2.5-pro", M(USER "],\"store\":true}"), "store"},
        {&vertex, "gemini-2.5-pro", M(USER "],\"service_tier\":\"flex\"}"), "service_tier"},
        {&gemini, "gemini-2.5-pro", M(USER "]," TOOL ",\"parallel_tool_calls\":false}"),
         "parallel_tool_calls"},
        {&gemini, "gemini-2.5-pro", M(USER "],\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]}"),
         "stop"},
        {&gemini, "gemini-2.0-flash", M(USER "],\"reasoning_effort\":\"high\"}"),
         "reasoning_effort"},
        {&gemini, "gemini-2.5-pro", M(USER "],\"prediction\":{\"type\":\"content\"}}"),
         "prediction"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct written o;
        write_from(&o, &dialect_chat, refused[i].chat, refused[i].provider, refused[i].model,
                   false);
        if (o.err != ERR_DENIED)
            fail_msg("row %zu: %d", i, o.err);
        assert_string_equal(o.why.member, refused[i].member);
        written_free(&o);
        write_from(&o, &dialect_chat, refused[i].chat, refused[i].provider, refused[i].model, true);
        if (o.err || o.w.degraded_count != 1)
            fail_msg("row %zu: %d, %zu", i, o.err, o.w.degraded_count);
        assert_slice_is(o.w.degraded[0], refused[i].member);
        written_free(&o);
    }
}

/* Vertex: no ids in calls, labels for metadata. */
static void
test_vertex_differs(void **state)
{
    struct written o;
    (void)state;
    write_from(&o, &dialect_chat,
               M(USER ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":"
                      "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{"
                      "\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"x\"}],"
                      "\"metadata\":{\"a\":\"b\"}}"),
               &vertex, "gemini-2.5-pro", false);
    assert_int_equal(o.err, 0);
    assert_null(memmem(o.text.at, o.text.len, "c1", 2));
    assert_non_null(memmem(o.text.at, o.text.len, "\"labels\":{\"a\":\"b\"}", 18));
    written_free(&o);
}

/* Results of n calls of one turn. */
static int
write_results(size_t n, struct dialect_refusal *why)
{
    struct arena a;
    struct buf out;
    struct dialect_target target = {.provider = &gemini, .model = SLICE("gemini-2.5-pro")};
    arena_init(&a, 0);
    buf_init(&out, 0);
    struct dialect_writer w = {.arena = &a, .target = &target, .why = why};
    struct canon_part *calls = arena_zalloc(&a, n * sizeof(*calls));
    struct canon_part *results = arena_zalloc(&a, n * sizeof(*results));
    for (size_t i = 0; i < n; i++) {
        calls[i].kind = PART_TOOL_CALL;
        calls[i].name = SLICE("f");
        calls[i].id = slice_of(arena_printf(&a, "c%zu", i));
        results[i].kind = PART_TOOL_RESULT;
        results[i].id = calls[i].id;
    }
    struct canon_message messages[] = {
        {.role = ROLE_ASSISTANT, .parts = calls, .count = n},
        {.role = ROLE_TOOL, .parts = results, .count = n},
    };
    struct canon_request q = {.origin = DIALECT_CHAT,
                              .messages = messages,
                              .message_count = 2,
                              .max_tokens = -1,
                              .choices = 1,
                              .top_logprobs = -1,
                              .reasoning = {.budget = -1}};
    int err = dialect_gemini.write_request(&q, &w, &out);
    buf_free(&out);
    arena_free(&a);
    return err;
}

static void
test_matching_is_bounded(void **state)
{
    struct dialect_refusal why = {.duplicate = false};
    (void)state;
    assert_int_equal(write_results(1000, &why), 0);
    assert_int_equal(write_results(3000, &why), ERR_DENIED);
    assert_string_equal(why.member, "messages");
}

static void
test_wants_inline(void **state)
{
    static const struct {
        const char *url;
        bool wanted;
    } urls[] = {
        {"https://example.com/x.png", true},
        {"http://example.com/x.png", true},
        {"gs://bucket/x.png", false},
        {"https://www.youtube.com/watch?v=1", false},
        {"https://youtu.be/1", false},
        {"https://generativelanguage.googleapis.com/v1beta/files/1", false},
        {"data:image/png;base64,AAAA", false},
        {"https://www.youtube.com.evil.example/", true},
    };
    struct dialect_target t = {.provider = &gemini};
    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct canon_part p = {.kind = PART_IMAGE, .media = {.url = slice_of(urls[i].url)}};
        assert_int_equal(dialect_gemini.wants_inline(&t, &p), urls[i].wanted);
        p.media.data = SLICE("AAAA");
        assert_false(dialect_gemini.wants_inline(&t, &p));
    }
}

/* --- schemas ---------------------------------------------------------------------------------- */

static void
test_schemas_for_old_models(void **state)
{
    static const struct {
        const char *json, *google; /* NULL: refused */
    } schemas[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/A\"}},\"$defs\":{\"A\":{"
         "\"type\":\"string\",\"const\":\"x\"}},\"additionalProperties\":false,\"$schema\":\"s\"}",
         "{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\",\"enum\":[\"x\"]}}}"},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}],\"description\":\"d\"}",
         "{\"nullable\":true,\"type\":\"INTEGER\",\"description\":\"d\"}"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"format\":\"email\"}]}",
         "{\"anyOf\":[{\"type\":\"INTEGER\"},{\"type\":\"STRING\"}]}"},
        {"{\"type\":[\"string\",\"integer\",\"null\"]}",
         "{\"nullable\":true,\"anyOf\":[{\"type\":\"STRING\"},{\"type\":\"INTEGER\"}]}"},
        {"{\"type\":\"array\",\"items\":{\"enum\":[\"a\",null]},\"minItems\":1}",
         "{\"type\":\"ARRAY\",\"items\":{\"nullable\":true,\"type\":\"STRING\",\"enum\":[\"a\"]},"
         "\"minItems\":1}"},
        {"{\"allOf\":[{\"$ref\":\"#/definitions/B\"}],\"definitions\":{\"B\":{\"type\":\"number\","
         "\"format\":\"float\"}}}",
         "{\"type\":\"NUMBER\",\"format\":\"float\"}"},
        {"{\"$ref\":\"#\"}", NULL},
        {"{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}}}", NULL},
        {"{\"$ref\":\"#/$defs/Missing\"}", NULL},
        {"{\"$ref\":\"https://example.com/s\"}", NULL},
        {"{\"not\":{\"type\":\"string\"}}", NULL},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", NULL},
        {"{\"enum\":[1,2]}", NULL},
        {"{\"oneOf\":{\"a\":{}}}", NULL},
        {"{\"anyOf\":true}", NULL},
        {"[]", NULL},
        {"{\"properties\":{\"a\":5}}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        struct arena a;
        struct slice got;
        const char *why = NULL;
        arena_init(&a, 0);
        int err = gemini_schema_write(slice_of(schemas[i].json), &a, &got, &why);
        if (err != (schemas[i].google ? 0 : ERR_DENIED))
            fail_msg("row %zu: %d %s", i, err, why);
        if (!err && !json_same(got, slice_of(schemas[i].google)))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(got));
        assert_non_null(why);
        arena_free(&a);
    }
}

/* Definitions that multiply: each names the one before it twice. */
static void
test_schemas_are_bounded(void **state)
{
    struct buf text;
    struct arena a;
    struct slice got;
    const char *why;
    (void)state;
    buf_init(&text, 0);
    arena_init(&a, 0);
    assert_int_equal(buf_add_str(&text, "{\"$ref\":\"#/$defs/a20\",\"$defs\":{\"a0\":{}"), 0);
    for (int i = 1; i <= 20; i++)
        assert_int_equal(buf_addf(&text,
                                  ",\"a%d\":{\"properties\":{\"l\":{\"$ref\":\"#/$defs/a%d\"},"
                                  "\"r\":{\"$ref\":\"#/$defs/a%d\"}}}",
                                  i, i - 1, i - 1),
                         0);
    assert_int_equal(buf_add_str(&text, "}}"), 0);
    assert_int_equal(gemini_schema_write(buf_slice(&text), &a, &got, &why), ERR_DENIED);
    buf_free(&text);
    arena_free(&a);
}

static void
test_schemas_of_googles(void **state)
{
    static const struct {
        const char *google, *json;
    } schemas[] = {
        {"{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\",\"nullable\":true,"
         "\"format\":\"date-time\"}},\"propertyOrdering\":[\"a\"],\"required\":[\"a\"]}",
         "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[\"string\",\"null\"],\"format\":"
         "\"date-time\"}},\"required\":[\"a\"]}"},
        {"{\"type\":6,\"properties\":{\"a\":{\"type\":1}}}",
         "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}"},
        {"{\"type\":\"ARRAY\",\"items\":{\"type\":\"INTEGER\"},\"min_items\":\"2\",\"maxItems\":4}",
         "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":4}"},
        {"{\"any_of\":[{\"type\":\"STRING\",\"enum\":[\"x\"],\"nullable\":true},{\"type\":"
         "\"TYPE_UNSPECIFIED\"}]}",
         "{\"anyOf\":[{\"type\":[\"string\",\"null\"],\"enum\":[\"x\",null]},{}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        struct arena a;
        struct slice got;
        const char *why;
        arena_init(&a, 0);
        assert_int_equal(gemini_schema_read(slice_of(schemas[i].google), &a, &got, &why), 0);
        if (!json_same(got, slice_of(schemas[i].json)))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(got));
        assert_int_equal(gemini_schema_read(SLICE("[1]"), &a, &got, &why), ERR_SYNTAX);
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_becomes_googles),
        cmocka_unit_test(test_schema_beside_tools_is_a_tool),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_vertex_differs),
        cmocka_unit_test(test_matching_is_bounded),
        cmocka_unit_test(test_wants_inline),
        cmocka_unit_test(test_schemas_for_old_models),
        cmocka_unit_test(test_schemas_are_bounded),
        cmocka_unit_test(test_schemas_of_googles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
