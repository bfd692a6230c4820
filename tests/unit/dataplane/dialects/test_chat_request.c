/* Chat requests as clients write them. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

struct rig {
    struct arena arena;
    struct canon_request q;
    struct dialect_refusal why;
};

static int
read_body(struct rig *rig, const char *body)
{
    memset(rig, 0, sizeof(*rig));
    arena_init(&rig->arena, 0);
    return dialect_chat.read_request(slice_of(body), &(struct dialect_call){.path_stream = false},
                                     &rig->arena, &rig->q, &rig->why);
}

static const struct canon_request *
good(struct rig *rig, const char *body)
{
    if (read_body(rig, body))
        fail_msg("%s", rig->why.message);
    return &rig->q;
}

static void
done(struct rig *rig)
{
    arena_free(&rig->arena);
}

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static void
test_members(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig, "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
              "\"include_obfuscation\":false},\"max_tokens\":5,\"max_completion_tokens\":7,"
              "\"temperature\":0.50,\"top_p\":1e-1,\"top_k\":3,\"frequency_penalty\":-2,"
              "\"presence_penalty\":1,\"random_seed\":9,\"n\":2,\"stop\":[\"a\",\"\\n\"],"
              "\"logit_bias\":{\"1\":2},\"logprobs\":true,\"top_logprobs\":4,"
              "\"parallel_tool_calls\":false,\"store\":true,\"safety_identifier\":\"u\","
              "\"metadata\":{\"k\":\"v\"},\"service_tier\":\"flex\",\"verbosity\":\"low\","
              "\"prompt_cache_key\":\"ck\",\"reasoning_effort\":\"high\",\"prediction\":{\"x\":1},"
              "\"modalities\":[\"text\"],\"seed\":null," USER "}");
    assert_int_equal(q->origin, DIALECT_CHAT);
    assert_slice_is(q->model, "m");
    assert_true(q->stream);
    assert_true(q->include_usage);
    assert_int_equal(q->max_tokens, 7); /* the newer spelling */
    assert_slice_is(q->temperature, "0.50");
    assert_slice_is(q->top_p, "1e-1");
    assert_slice_is(q->top_k, "3");
    assert_slice_is(q->frequency_penalty, "-2");
    assert_slice_is(q->presence_penalty, "1");
    assert_slice_is(q->seed, "9");
    assert_int_equal(q->choices, 2);
    assert_int_equal(q->stop_count, 2);
    assert_slice_is(q->stops[1], "\n");
    assert_slice_is(q->logit_bias_raw, "{\"1\":2}");
    assert_int_equal(q->logprobs, TRI_YES);
    assert_int_equal(q->top_logprobs, 4);
    assert_int_equal(q->parallel_tools, TRI_NO);
    assert_int_equal(q->store, TRI_YES);
    assert_slice_is(q->user, "u");
    assert_slice_is(q->metadata_raw, "{\"k\":\"v\"}");
    assert_slice_is(q->service_tier, "flex");
    assert_slice_is(q->verbosity, "low");
    assert_slice_is(q->cache_key, "ck");
    assert_slice_is(q->reasoning.effort, "high");
    assert_int_equal(q->reasoning.budget, -1);
    assert_int_equal(q->extra_count, 1);
    assert_slice_is(q->extras[0].name, "prediction");
    assert_slice_is(q->extras[0].raw, "{\"x\":1}");
    done(&rig);
}

static void
test_absent_members(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(&rig, "{\"model\":\"m\",\"stop\":\"s\"," USER "}");
    assert_int_equal(q->max_tokens, -1);
    assert_int_equal(q->choices, 1);
    assert_int_equal(q->top_logprobs, -1);
    assert_int_equal(q->reasoning.budget, -1);
    assert_false(q->stream);
    assert_false(q->include_usage);
    assert_int_equal(q->stop_count, 1);
    assert_int_equal(q->tool_choice, CHOICE_ABSENT);
    assert_int_equal(q->message_count, 1);
    assert_slice_is(q->messages[0].parts[0].text, "Hi");
    done(&rig);
}

static void
test_reasoning_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *members, *effort;
        int64_t budget;
    } rows[] = {
        {"\"reasoning\":{\"effort\":\"low\"}", "low", -1},
        {"\"reasoning\":{\"max_tokens\":2000}", "", 2000},
        {"\"reasoning\":{\"enabled\":false}", "", 0},
        {"\"reasoning\":{\"enabled\":true}", "", -2},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", "", 1024},
        {"\"thinking\":{\"type\":\"enabled\"}", "", -2},
        {"\"thinking\":{\"type\":\"disabled\"}", "", 0},
        {"\"thinking\":{\"type\":\"adaptive\"},\"reasoning_effort\":\"max\"", "max", -2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct rig rig;
        snprintf(body, sizeof(body), "{\"model\":\"m\",%s," USER "}", rows[i].members);
        const struct canon_request *q = good(&rig, body);
        assert_slice_is(q->reasoning.effort, rows[i].effort);
        assert_int_equal(q->reasoning.budget, rows[i].budget);
        assert_int_equal(q->extra_count, 0);
        done(&rig);
    }
}

static void
test_tools(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig,
        "{\"model\":\"m\"," USER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true},"
        "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}},{\"type\":\"custom\","
        "\"custom\":{\"name\":\"g\",\"format\":{\"type\":\"text\"}}},"
        "{\"type\":\"openrouter:web_search\",\"parameters\":{}},{\"function\":{\"name\":\"h\"}}],"
        "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"out\","
        "\"schema\":{\"a\":1},\"strict\":false}}}");
    assert_int_equal(q->tool_count, 4);
    assert_int_equal(q->tools[0].kind, TOOL_FUNCTION);
    assert_slice_is(q->tools[0].name, "f");
    assert_slice_is(q->tools[0].description, "d");
    assert_slice_is(q->tools[0].schema_raw, "{\"type\":\"object\"}");
    assert_int_equal(q->tools[0].strict, TRI_YES);
    assert_int_equal(q->tools[0].cache, CACHE_1H);
    assert_int_equal(q->tools[1].kind, TOOL_CUSTOM);
    assert_slice_is(q->tools[1].format_raw, "{\"type\":\"text\"}");
    assert_int_equal(q->tools[2].kind, TOOL_HOSTED);
    assert_slice_is(q->tools[2].raw, "{\"type\":\"openrouter:web_search\",\"parameters\":{}}");
    assert_slice_is(q->tools[3].name, "h");
    assert_int_equal(q->tool_choice, CHOICE_NAMED);
    assert_slice_is(q->tool_choice_name, "f");
    assert_int_equal(q->format, FORMAT_SCHEMA);
    assert_slice_is(q->format_name, "out");
    assert_slice_is(q->format_schema_raw, "{\"a\":1}");
    assert_int_equal(q->format_strict, TRI_NO);
    done(&rig);

    q = good(&rig, "{\"model\":\"m\"," USER
                   ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}},"
                   "{\"type\":\"function\",\"function\":{\"name\":\"b\"}}],\"tool_choice\":"
                   "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
                   "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"b\"}}]}}}");
    assert_int_equal(q->tool_count, 1);
    assert_slice_is(q->tools[0].name, "b");
    assert_int_equal(q->tool_choice, CHOICE_REQUIRED);
    done(&rig);
}

static void
test_old_functions(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig, "{\"model\":\"m\",\"functions\":[{\"name\":\"f\",\"parameters\":{}}],"
              "\"function_call\":{\"name\":\"f\"},\"messages\":[{\"role\":\"user\",\"content\":"
              "\"x\"},{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\","
              "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"1\"}]}");
    assert_true(q->old_functions);
    assert_int_equal(q->tool_count, 1);
    assert_int_equal(q->tool_choice, CHOICE_NAMED);
    const struct canon_part *call = &q->messages[1].parts[0], *result = &q->messages[2].parts[0];
    assert_int_equal(call->kind, PART_TOOL_CALL);
    assert_true(call->id.len > 0);
    assert_int_equal(q->messages[2].role, ROLE_TOOL);
    assert_true(slice_eq(call->id, result->id));
    assert_slice_is(result->name, "f");
    assert_slice_is(result->parts[0].text, "1");
    done(&rig);
}

static void
test_parts(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"name\":\"bob\",\"content\":["
              "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},"
              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,QUJD\","
              "\"detail\":\"low\"}},"
              "{\"type\":\"image_url\",\"image_url\":\"https://pictures.example/a.png\"},"
              "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QUJD\",\"format\":\"mp3\"}},"
              "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":"
              "\"data:application/pdf;base64,QUJD\"}},"
              "{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}},"
              "{\"type\":\"file\",\"file\":{\"file_data\":\"QUJD\"}},"
              "{\"type\":\"document_url\",\"document_url\":\"https://papers.example/a.pdf\"},"
              "{\"type\":\"video_url\",\"video_url\":{\"url\":\"https://films.example/a\"}}]}]}");
    const struct canon_part *p = q->messages[0].parts;
    assert_slice_is(q->messages[0].name, "bob");
    assert_int_equal(q->messages[0].count, 9);
    assert_int_equal(p[0].cache, CACHE_5M);
    assert_int_equal(p[1].kind, PART_IMAGE);
    assert_slice_is(p[1].media.mime, "image/png");
    assert_slice_is(p[1].media.data, "QUJD");
    assert_slice_is(p[1].media.detail, "low");
    assert_slice_is(p[2].media.url, "https://pictures.example/a.png");
    assert_int_equal(p[3].kind, PART_AUDIO);
    assert_slice_is(p[3].media.mime, "audio/mpeg");
    assert_int_equal(p[4].kind, PART_FILE);
    assert_slice_is(p[4].media.mime, "application/pdf");
    assert_slice_is(p[4].media.name, "a.pdf");
    assert_slice_is(p[5].media.file_id, "file-1");
    assert_int_equal(p[5].origin, DIALECT_CHAT);
    assert_slice_is(p[6].media.data, "QUJD");
    assert_slice_is(p[7].media.url, "https://papers.example/a.pdf");
    assert_slice_is(p[8].media.mime, "video/mp4");
    done(&rig);
}

static void
test_conversation(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
        "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"d\"}]},"
        "{\"role\":\"assistant\",\"content\":\"t\",\"refusal\":\"no\",\"audio\":{\"id\":\"au\"},"
        "\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"u\","
        "\"title\":\"ti\",\"start_index\":1,\"end_index\":2}}],\"tool_calls\":["
        "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"id\":\"c2\",\"type\":\"custom\",\"custom\":{\"name\":\"g\",\"input\":\"in\"}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"h\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"r1\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}"
        "]},"
        "{\"role\":\"tool\",\"content\":\"r3\"}]}");
    const struct canon_message *m = q->messages;
    assert_int_equal(m[0].role, ROLE_SYSTEM);
    assert_int_equal(m[1].role, ROLE_DEVELOPER);
    assert_int_equal(m[2].count, 6);
    assert_int_equal(m[2].parts[0].citation_count, 1);
    assert_slice_is(m[2].parts[0].citations[0].url, "u");
    assert_int_equal(m[2].parts[0].citations[0].end, 2);
    assert_int_equal(m[2].parts[1].kind, PART_REFUSAL);
    assert_slice_is(m[2].parts[2].media.id, "au");
    assert_slice_is(m[2].parts[3].id, "c1");
    assert_true(m[2].parts[4].custom);
    assert_slice_is(m[2].parts[4].arguments, "in");
    assert_slice_is(m[3].parts[0].name, "f");
    assert_true(m[4].parts[0].custom);
    assert_true(slice_eq(m[5].parts[0].id, m[2].parts[5].id));
    assert_slice_is(m[5].parts[0].name, "h");
    done(&rig);
}

/* What we told as reasoning_details comes back as it was, and where it was. */
static void
test_reasoning_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    const struct canon_request *q = good(
        &rig,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"text\","
        "\"reasoning_content\":\"shown\",\"reasoning_details\":["
        "{\"type\":\"reasoning.text\",\"text\":\"th\",\"format\":\"anthropic\",\"index\":0},"
        "{\"type\":\"reasoning.text\",\"text\":\"ink\",\"index\":0},"
        "{\"type\":\"reasoning.text\",\"signature\":\"sig\",\"index\":0},"
        "{\"type\":\"opaque\",\"format\":\"anthropic\",\"item\":{\"a\": 1},\"index\":2},"
        "{\"type\":\"reasoning.encrypted\",\"data\":\"enc\",\"id\":\"rs\",\"format\":\"responses\","
        "\"index\":3}],\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]}]}");
    const struct canon_part *p = q->messages[0].parts;
    assert_int_equal(q->messages[0].count, 5);
    assert_int_equal(p[0].kind, PART_REASONING);
    assert_int_equal(p[0].origin, DIALECT_ANTHROPIC);
    assert_slice_is(p[0].text, "think");
    assert_slice_is(p[0].signature, "sig");
    assert_slice_is(p[1].text, "text");
    assert_int_equal(p[2].kind, PART_OPAQUE);
    assert_slice_is(p[2].raw, "{\"a\": 1}");
    assert_slice_is(p[3].encrypted, "enc");
    assert_slice_is(p[3].id, "rs");
    assert_int_equal(p[3].origin, DIALECT_RESPONSES);
    assert_int_equal(p[4].kind, PART_TOOL_CALL);
    done(&rig);

    /* a provider's own entries keep what we do not know */
    q = good(&rig, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\","
                   "\"reasoning\":\"r\",\"reasoning_details\":[{\"type\":\"reasoning.text\","
                   "\"text\":\"r\",\"format\":\"anthropic-claude-v1\",\"index\":0,\"x\":[1]}]}]}");
    p = q->messages[0].parts;
    assert_int_equal(p[0].origin, DIALECT_CHAT);
    assert_slice_is(p[0].raw, "{\"type\":\"reasoning.text\",\"format\":\"anthropic-claude-v1\","
                              "\"index\":0,\"x\":[1]}");
    assert_slice_is(p[0].text, "r");
    done(&rig);

    /* encrypted reasoning and its summary, in the pieces of a stream, and two that are apart */
    q = good(&rig, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\","
                   "\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"e\","
                   "\"id\":\"rs\",\"format\":\"responses\",\"index\":0},{\"type\":"
                   "\"reasoning.text\",\"format\":\"responses\",\"text\":\"su\",\"index\":0},"
                   "{\"type\":\"reasoning.text\",\"text\":\"m\",\"index\":0},{\"type\":"
                   "\"reasoning.encrypted\",\"data\":\"f\",\"format\":\"responses\","
                   "\"index\":0}]}]}");
    p = q->messages[0].parts;
    assert_int_equal(q->messages[0].count, 3);
    assert_slice_is(p[0].text, "sum");
    assert_slice_is(p[0].encrypted, "e");
    assert_slice_is(p[0].id, "rs");
    assert_slice_is(p[1].encrypted, "f");
    done(&rig);

    /* the text alone; and a signature whose text stands beside */
    q = good(&rig, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\","
                   "\"reasoning_content\":\"r\"},{\"role\":\"assistant\",\"content\":\"a\","
                   "\"reasoning_content\":\"r2\",\"reasoning_details\":[{\"type\":"
                   "\"reasoning.text\",\"signature\":\"s\",\"format\":\"anthropic\"}]}]}");
    assert_slice_is(q->messages[0].parts[0].text, "r");
    assert_null(q->messages[0].parts[0].signature.at);
    assert_slice_is(q->messages[1].parts[0].text, "r2");
    assert_slice_is(q->messages[1].parts[0].signature, "s");
    done(&rig);

    /* Gemini's signature of a text, and of a call, in a member and in an id */
    q = good(&rig,
             "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"a\","
             "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"\",\"signature\":"
             "\"s\",\"format\":\"gemini\",\"index\":0}],\"tool_calls\":[{\"id\":\"c\","
             "\"function\":{\"name\":\"f\"},\"extra_content\":{\"google\":{"
             "\"thought_signature\":\"t\"}}},{\"id\":\"d__sig_eQUJD\",\"function\":{"
             "\"name\":\"f\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"d__sig_eQUJD\","
             "\"content\":\"\"}]}");
    p = q->messages[0].parts;
    assert_int_equal(q->messages[0].count, 3);
    assert_int_equal(p[0].kind, PART_TEXT);
    assert_slice_is(p[0].signature, "s");
    assert_slice_is(p[1].signature, "t");
    assert_int_equal(p[1].origin, DIALECT_GEMINI);
    assert_slice_is(p[2].id, "d");
    assert_slice_is(p[2].signature, "ABC");
    assert_int_equal(p[2].origin, DIALECT_CONVERSE);
    assert_slice_is(q->messages[1].parts[0].id, "d");
    done(&rig);
}

static void
test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *members, *path;
    } rows[] = {
        {"\"model\":\"m\"", "messages"},
        {"\"messages\":1", "messages"},
        {"\"messages\":[1]", "messages[0]"},
        {"\"messages\":[{\"role\":\"robot\"}]", "messages[0].role"},
        {"\"messages\":[{\"role\":\"user\",\"content\":1}]", "messages[0].content"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"hologram\"}]}]",
         "messages[0].content[0].type"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
         "messages[0].content[0].text"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]",
         "messages[0].content[0].image_url"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}]",
         "messages[0].content[0].file"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]",
         "messages[0].content[0].input_audio"},
        {"\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]", "messages[0].tool_call_id"},
        {"\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0].tool_calls"},
        {"\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "messages[0].tool_calls"},
        {"\"messages\":[{\"role\":\"assistant\",\"reasoning_details\":[1]}]",
         "messages[0].reasoning_details"},
        {USER ",\"temperature\":\"1\"", "temperature"},
        {USER ",\"max_tokens\":0", "max_tokens"},
        {USER ",\"n\":0", "n"},
        {USER ",\"logprobs\":1", "logprobs"},
        {USER ",\"stop\":{}", "stop"},
        {USER ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
              "\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]",
         "stop"},
        {USER ",\"tools\":[{}]", "tools[0]"},
        {USER ",\"tools\":[{\"function\":{}}]", "tools[0].name"},
        {USER ",\"functions\":[{\"name\":\"f\",\"parameters\":1}]", "functions[0].parameters"},
        {USER ",\"tool_choice\":\"maybe\"", "tool_choice"},
        {USER ",\"response_format\":{\"type\":\"xml\"}", "response_format.type"},
        {USER ",\"response_format\":{\"type\":\"json_schema\"}", "response_format.json_schema"},
        {USER ",\"thinking\":{\"type\":\"x\"}", "thinking.type"},
        {USER ",\"reasoning\":1", "reasoning"},
        {USER ",\"logit_bias\":[]", "logit_bias"},
        {USER ",\"user\":5", "user"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct rig rig;
        snprintf(body, sizeof(body), "{%s}", rows[i].members);
        assert_int_equal(read_body(&rig, body), ERR_SYNTAX);
        assert_string_equal(rig.why.member, rows[i].path);
        assert_non_null(strstr(rig.why.message, rows[i].path));
        assert_int_equal(rig.why.missing, strcmp(rows[i].path, "messages") == 0 &&
                                              rows[i].members[1] == 'm' &&
                                              rows[i].members[2] == 'o');
        done(&rig);
    }
}

static void
test_tools_limit(void **state)
{
    (void)state;
    for (size_t count = 1024; count <= 1025; count++) {
        struct rig rig;
        char *body = calloc(count, 64), *at = body;
        at += snprintf(at, 128, "{" USER ",\"tools\":[");
        for (size_t i = 0; i < count; i++)
            at += snprintf(at, 128, "%s{\"function\":{\"name\":\"f\"}}", i ? "," : "");
        snprintf(at, 128, "]}");
        assert_int_equal(read_body(&rig, body), count == 1024 ? 0 : ERR_SYNTAX);
        done(&rig);
        free(body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_absent_members),
        cmocka_unit_test(test_reasoning_spellings),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_old_functions),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_reasoning_comes_back),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_tools_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
