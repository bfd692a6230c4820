/* Chat requests as they are written for providers. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

/* The texts of bodies stand as they are. */

struct rig {
    struct arena arena;
    struct policy_provider provider;
    struct dialect_target target;
    struct dialect_refusal why;
    struct dialect_writer w;
    struct buf out;
    int err;
};

static const char *
written(struct rig *r, enum provider_kind kind, bool may_degrade, const struct canon_request *q)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, 0);
    buf_init(&r->out, 0);
    r->provider.kind = kind;
    r->provider.name = SLICE("up");
    r->target = (struct dialect_target){&r->provider, SLICE("m")};
    r->w = (struct dialect_writer){
        .arena = &r->arena, .target = &r->target, .may_degrade = may_degrade, .why = &r->why};
    r->err = dialect_chat.write_request(q, &r->w, &r->out);
    return r->err ? r->why.member : buf_str(&r->out);
}

static void
done(struct rig *r)
{
    buf_free(&r->out);
    arena_free(&r->arena);
}

static struct canon_request
blank(void)
{
    return (struct canon_request){.origin = DIALECT_ANTHROPIC,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning = {.budget = -1}};
}

static void
expect(enum provider_kind kind, const struct canon_request *q, const char *want)
{
    struct rig r;
    assert_string_equal(written(&r, kind, false, q), want);
    assert_int_equal(r.err, 0);
    done(&r);
}

/* Refused by the member's name; and left out, noted, where the key allows that. */
static void
expect_refused(enum provider_kind kind, const struct canon_request *q, const char *member,
               const char *degraded)
{
    struct rig r;
    assert_string_equal(written(&r, kind, false, q), member);
    assert_int_equal(r.err, ERR_DENIED);
    done(&r);
    assert_string_equal(written(&r, kind, true, q), degraded);
    assert_int_equal(r.w.degraded_count, 1);
    assert_slice_is(r.w.degraded[0], member);
    done(&r);
}

#define BODY(rest) "{\"model\":\"m\",\"messages\":[]" rest "}"
#define TURNS(list) "{\"model\":\"m\",\"messages\":[" list "]}"

static void
test_members(void **state)
{
    (void)state;
    struct canon_request q = blank();
    expect(PROVIDER_OPENAI, &q, BODY(""));
    q.temperature = SLICE("0.50");
    q.top_p = SLICE("1");
    q.frequency_penalty = SLICE("-1");
    q.seed = SLICE("7");
    q.max_tokens = 5;
    q.choices = 2;
    q.stops[q.stop_count++] = SLICE("a\n");
    q.logprobs = TRI_YES;
    q.top_logprobs = 3;
    q.user = SLICE("u");
    q.service_tier = SLICE("flex");
    q.stream = true;
    expect(PROVIDER_OPENAI, &q,
           BODY(",\"temperature\":0.50,\"top_p\":1,\"frequency_penalty\":-1,\"seed\":7,"
                "\"max_completion_tokens\":5,\"n\":2,\"logprobs\":true,\"top_logprobs\":3,"
                "\"stop\":[\"a\\n\"],\"user\":\"u\",\"service_tier\":\"flex\",\"stream\":true,"
                "\"stream_options\":{\"include_usage\":true}"));
    q.logprobs = TRI_ABSENT;
    q.service_tier = SLICE("auto");
    expect(PROVIDER_MISTRAL, &q,
           BODY(",\"temperature\":0.50,\"top_p\":1,\"frequency_penalty\":-1,\"random_seed\":7,"
                "\"max_tokens\":5,\"n\":2,\"stop\":[\"a\\n\"],\"stream\":true"));
}

static void
test_refused_members(void **state)
{
    (void)state;
    struct canon_request q = blank();
    q.top_k = SLICE("5");
    expect_refused(PROVIDER_OPENAI, &q, "top_k", BODY(""));
    expect(PROVIDER_TOGETHER, &q, BODY(",\"top_k\":5"));
    q = blank();
    q.choices = 2;
    expect_refused(PROVIDER_DEEPSEEK, &q, "n", BODY(""));
    q = blank();
    const struct canon_extra extra = {SLICE("container"), SLICE("1")};
    q.extras = &extra;
    q.extra_count = 1;
    expect_refused(PROVIDER_OPENAI, &q, "container", BODY(""));
    q.origin = DIALECT_CHAT; /* the client's own spelling goes on */
    expect(PROVIDER_OPENAI, &q, BODY(",\"container\":1"));
}

static void
test_tools(void **state)
{
    (void)state;
    static const struct canon_tool tools[] = {
        {.name = {"f", 1},
         .description = {"d", 1},
         .schema_raw = {"{}", 2},
         .strict = TRI_YES,
         .cache = CACHE_1H},
        {.name = {"g", 1}},
    };
    static const struct canon_tool hosted = {
        .kind = TOOL_HOSTED, .origin = DIALECT_ANTHROPIC, .raw = {"{}", 2}};
    static const struct canon_tool custom = {.kind = TOOL_CUSTOM, .name = {"h", 1}};
    struct canon_request q = blank();
    q.tools = tools;
    q.tool_count = 2;
    q.tool_choice = CHOICE_NAMED;
    q.tool_choice_name = SLICE("g");
    q.parallel_tools = TRI_NO;
#define TOOL_F                                                                                     \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{}," \
    "\"strict\":true}"
#define TOOL_G "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"
#define NAMED                                                                                      \
    ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}},\"parallel_tool_"      \
    "calls\":false"
    expect(PROVIDER_OPENAI, &q, BODY(",\"tools\":[" TOOL_F "}," TOOL_G "]" NAMED));
    expect(PROVIDER_OPENROUTER, &q,
           BODY(",\"tools\":[" TOOL_F
                ",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}," TOOL_G "]" NAMED));
    expect(PROVIDER_MISTRAL, &q,
           BODY(",\"tools\":[" TOOL_G "],\"tool_choice\":\"any\",\"parallel_tool_calls\":false"));
    expect_refused(PROVIDER_CEREBRAS, &q, "parallel_tool_calls",
                   BODY(",\"tools\":[" TOOL_F "}," TOOL_G "],\"tool_choice\":{\"type\":"
                        "\"function\",\"function\":{\"name\":\"g\"}}"));
    expect_refused(PROVIDER_PERPLEXITY, &q, "tools", BODY(""));
    q = blank();
    q.tools = &hosted;
    q.tool_count = 1;
    expect_refused(PROVIDER_OPENAI, &q, "tools[0]", BODY(""));
    q.tools = &custom;
    expect(PROVIDER_OPENAI, &q,
           BODY(",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"h\"}}]"));
    expect_refused(PROVIDER_GROQ, &q, "tools[0]", BODY(""));
}

static void
test_format(void **state)
{
    (void)state;
    struct canon_request q = blank();
    q.format = FORMAT_SCHEMA;
    q.format_schema_raw = SLICE("{\"a\":1}");
    q.format_strict = TRI_YES;
    expect(PROVIDER_OPENAI, &q,
           BODY(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                "\"response\",\"schema\":{\"a\":1},\"strict\":true}}"));
    expect(PROVIDER_DEEPSEEK, &q,
           "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Answer with one JSON "
           "object and nothing else. It must match this JSON Schema:\\n{\\\"a\\\":1}\"}],"
           "\"response_format\":{\"type\":\"json_object\"}}");
    q.format = FORMAT_JSON;
    expect(PROVIDER_OPENAI, &q, BODY(",\"response_format\":{\"type\":\"json_object\"}"));
}

static void
test_reasoning(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *effort;
        int64_t budget;
        const char *want;
    } rows[] = {
        {PROVIDER_OPENAI, "high", -1, BODY(",\"reasoning_effort\":\"high\"")},
        {PROVIDER_OPENAI, NULL, 2048, BODY(",\"reasoning_effort\":\"low\"")},
        {PROVIDER_OPENAI, NULL, 0, BODY(",\"reasoning_effort\":\"none\"")},
        {PROVIDER_OPENAI, NULL, -2, BODY("")},
        {PROVIDER_XAI, "max", -1, BODY(",\"reasoning_effort\":\"high\"")},
        {PROVIDER_OPENROUTER, NULL, 2048, BODY(",\"reasoning\":{\"max_tokens\":2048}")},
        {PROVIDER_OPENROUTER, "low", -1, BODY(",\"reasoning\":{\"effort\":\"low\"}")},
        {PROVIDER_OPENROUTER, "none", -1, BODY(",\"reasoning\":{\"enabled\":false}")},
        {PROVIDER_OPENROUTER, NULL, -2, BODY(",\"reasoning\":{\"enabled\":true}")},
        {PROVIDER_DEEPSEEK, NULL, 2048, BODY(",\"thinking\":{\"type\":\"enabled\"}")},
        {PROVIDER_DEEPSEEK, NULL, 0, BODY(",\"thinking\":{\"type\":\"disabled\"}")},
        {PROVIDER_DEEPSEEK, "high", -1,
         BODY(",\"thinking\":{\"type\":\"enabled\"},\"reasoning_effort\":\"high\"")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_request q = blank();
        q.reasoning.effort = slice_of(rows[i].effort);
        q.reasoning.budget = rows[i].budget;
        expect(rows[i].kind, &q, rows[i].want);
    }
    struct canon_request q = blank();
    q.reasoning.effort = SLICE("none");
    expect_refused(PROVIDER_XAI, &q, "reasoning_effort", BODY(""));
}

/* --- messages --------------------------------------------------------------------------------- */

#define TEXT(s)                                                                                    \
    {                                                                                              \
        .kind = PART_TEXT, .text = SLICE(s)                                                        \
    }

static void
expect_turns(enum provider_kind kind, const struct canon_message *m, size_t count, const char *want)
{
    struct canon_request q = blank();
    q.messages = m;
    q.message_count = count;
    expect(kind, &q, want);
}

static void
test_plain_messages(void **state)
{
    (void)state;
    static const struct canon_part text = TEXT("a"), two[] = {TEXT("a"), TEXT("b")},
                                   marked = {
                                       .kind = PART_TEXT, .text = {"a", 1}, .cache = CACHE_5M};
    static const struct canon_message m[] = {
        {.role = ROLE_SYSTEM, .parts = &text, .count = 1},
        {.role = ROLE_DEVELOPER, .parts = &text, .count = 1},
        {.role = ROLE_USER, .name = {"bob", 3}, .parts = two, .count = 2},
        {.role = ROLE_USER, .parts = &marked, .count = 1},
    };
#define SYSTEM(role) "{\"role\":\"" role "\",\"content\":\"a\"}"
#define TWO "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}"
    expect_turns(PROVIDER_OPENAI, m, 4,
                 TURNS(SYSTEM("system") "," SYSTEM("developer") ",{\"role\":\"user\",\"name\":"
                                                                "\"bob\"," TWO "," SYSTEM("user")));
    expect_turns(PROVIDER_GROQ, m, 3,
                 TURNS(SYSTEM("system") "," SYSTEM("system") ",{\"role\":\"user\"," TWO));
    expect_turns(PROVIDER_OPENROUTER, m + 3, 1,
                 TURNS("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\","
                       "\"cache_control\":{\"type\":\"ephemeral\"}}]}"));
}

static void
expect_part(enum provider_kind kind, const struct canon_part *p, const char *part)
{
    char want[512];
    struct canon_message m = {.role = ROLE_USER, .parts = p, .count = 1};
    snprintf(want, sizeof(want), TURNS("{\"role\":\"user\",\"content\":[%s]}"), part);
    expect_turns(kind, &m, 1, want);
}

static void
refuse_part(enum provider_kind kind, const struct canon_part *p)
{
    struct canon_message m = {.role = ROLE_USER, .parts = p, .count = 1};
    struct canon_request q = blank();
    q.messages = &m;
    q.message_count = 1;
    expect_refused(kind, &q, "messages[0].content[0]", TURNS("{\"role\":\"user\",\"content\":[]}"));
}

static void
test_media(void **state)
{
    (void)state;
    static const struct canon_part
        image = {.kind = PART_IMAGE,
                 .media = {.mime = {"image/gif", 9}, .data = {"QQ==", 4}, .detail = {"low", 3}}},
        sound = {.kind = PART_AUDIO, .media = {.mime = {"audio/mpeg", 10}, .data = {"QQ==", 4}}},
        pdf = {.kind = PART_FILE,
               .media = {.mime = {"application/pdf", 15}, .data = {"QQ==", 4}, .name = {"n", 1}}},
        far = {.kind = PART_FILE, .media = {.url = {"https://papers.example/a", 24}}},
        own = {.kind = PART_FILE, .media = {.file_id = {"f1", 2}}},
        theirs = {.kind = PART_FILE, .origin = DIALECT_GEMINI, .media = {.file_id = {"f1", 2}}},
        told = {.kind = PART_FILE, .media = {.text = {"body", 4}, .name = {"title", 5}}},
        film = {.kind = PART_FILE,
                .media = {.mime = {"video/mp4", 9}, .url = {"https://films.example/a", 23}}};
    expect_part(PROVIDER_OPENAI, &image,
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/gif;base64,QQ==\","
                "\"detail\":\"low\"}}");
    expect_part(
        PROVIDER_OPENAI, &sound,
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"mp3\"}}");
    expect_part(PROVIDER_OPENAI, &pdf,
                "{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/pdf;base64,QQ==\","
                "\"filename\":\"n\"}}");
    expect_part(PROVIDER_MISTRAL, &pdf,
                "{\"type\":\"document_url\",\"document_url\":\"data:application/pdf;base64,QQ==\","
                "\"document_name\":\"n\"}");
    expect_part(PROVIDER_OPENROUTER, &far,
                "{\"type\":\"file\",\"file\":{\"file_data\":\"https://papers.example/a\","
                "\"filename\":\"file.pdf\"}}");
    refuse_part(PROVIDER_OPENAI, &far); /* it is fetched before it comes here */
    expect_part(PROVIDER_OPENAI, &own, "{\"type\":\"file\",\"file\":{\"file_id\":\"f1\"}}");
    refuse_part(PROVIDER_OPENAI, &theirs);
    refuse_part(PROVIDER_GROQ, &pdf);
    expect_part(PROVIDER_GROQ, &told, "{\"type\":\"text\",\"text\":\"title:\\nbody\"}");
    expect_part(PROVIDER_VLLM, &film,
                "{\"type\":\"video_url\",\"video_url\":{\"url\":\"https://films.example/a\"}}");
    refuse_part(PROVIDER_OPENAI, &film);
}

static void
test_wants_inline(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        enum canon_part_kind part;
        bool inlined;
    } rows[] = {
        {PROVIDER_OPENAI, PART_IMAGE, false},    {PROVIDER_OLLAMA, PART_IMAGE, true},
        {PROVIDER_OPENAI, PART_FILE, true},      {PROVIDER_MISTRAL, PART_FILE, false},
        {PROVIDER_OPENROUTER, PART_AUDIO, true}, {PROVIDER_OPENAI, PART_TEXT, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_provider p = {.kind = rows[i].kind};
        struct dialect_target t = {.provider = &p};
        struct canon_part part = {.kind = rows[i].part, .media = {.url = SLICE("https://a")}};
        assert_int_equal(dialect_chat.wants_inline(&t, &part), rows[i].inlined);
        part.media.data = SLICE("QQ==");
        assert_false(dialect_chat.wants_inline(&t, &part));
    }
}

static void
test_assistants(void **state)
{
    (void)state;
    static const struct canon_part all[] = {
        {.kind = PART_REASONING,
         .origin = DIALECT_ANTHROPIC,
         .text = {"r", 1},
         .signature = {"s", 1}},
        TEXT("a"),
        TEXT("b"),
        {.kind = PART_TOOL_CALL, .id = {"c", 1}, .name = {"f", 1}, .arguments = {"null", 4}},
    };
    static const struct canon_part refusal = {.kind = PART_REFUSAL, .text = {"no", 2}};
    static const struct canon_part own = {.kind = PART_REASONING,
                                          .origin = DIALECT_CHAT,
                                          .text = {"r", 1},
                                          .signature = {"s", 1},
                                          .raw = {"{\"type\":\"reasoning.text\",\"x\":1}", 31}};
    static const struct canon_part signed_call = {.kind = PART_TOOL_CALL,
                                                  .origin = DIALECT_GEMINI,
                                                  .id = {"c", 1},
                                                  .name = {"f", 1},
                                                  .signature = {"s", 1}};
    static const struct canon_part item = {
        .kind = PART_OPAQUE, .origin = DIALECT_ANTHROPIC, .raw = {"{}", 2}};
    struct canon_message m = {.role = ROLE_ASSISTANT, .parts = all, .count = 4};
#define CALLS                                                                                      \
    "\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\","            \
    "\"arguments\":\"{}\"}}]"
#define SAID(rest) TURNS("{\"role\":\"assistant\"," rest "}")
    expect_turns(PROVIDER_OPENAI, &m, 1, SAID("\"content\":\"ab\"," CALLS));
    expect_turns(PROVIDER_DEEPSEEK, &m, 1,
                 SAID("\"content\":\"ab\",\"reasoning_content\":\"r\"," CALLS));
    expect_turns(PROVIDER_GROQ, &m, 1, SAID("\"content\":\"ab\",\"reasoning\":\"r\"," CALLS));
    expect_turns(PROVIDER_MISTRAL, &m, 1,
                 SAID("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\","
                      "\"text\":\"r\"}]},{\"type\":\"text\",\"text\":\"ab\"}]," CALLS
                      ",\"prefix\":true"));
    m.parts = all + 3;
    m.count = 1;
    expect_turns(PROVIDER_OPENAI, &m, 1, SAID("\"content\":null," CALLS));
    m.parts = &refusal;
    expect_turns(PROVIDER_OPENAI, &m, 1, SAID("\"content\":\"\",\"refusal\":\"no\""));
    expect_turns(PROVIDER_GROQ, &m, 1, SAID("\"content\":\"no\""));
    m.parts = &own; /* an entry of the provider's own comes back as it was */
    expect_turns(PROVIDER_OPENROUTER, &m, 1,
                 SAID("\"content\":\"\",\"reasoning\":\"r\",\"reasoning_details\":[{\"type\":"
                      "\"reasoning.text\",\"x\":1,\"text\":\"r\",\"signature\":\"s\"}]"));
    expect_turns(PROVIDER_OPENAI_COMPATIBLE, &m, 1, /* perhaps a gateway */
                 SAID("\"content\":\"\",\"reasoning_content\":\"r\",\"reasoning_details\":[{"
                      "\"type\":\"reasoning.text\",\"x\":1,\"text\":\"r\",\"signature\":\"s\"}]"));
    m.parts = all; /* another dialect's is for that one, the simulator, or a gateway */
    expect_turns(PROVIDER_OPENROUTER, &m, 1, SAID("\"content\":\"\",\"reasoning\":\"r\""));
    expect_turns(PROVIDER_SIMULATOR, &m, 1,
                 SAID("\"content\":\"\",\"reasoning\":\"r\",\"reasoning_details\":[{\"type\":"
                      "\"reasoning.text\",\"text\":\"r\",\"signature\":\"s\",\"format\":"
                      "\"anthropic\",\"index\":0}]"));
    expect_turns(PROVIDER_OPENAI_COMPATIBLE, &m, 1,
                 SAID("\"content\":\"\",\"reasoning_content\":\"r\",\"reasoning_details\":[{"
                      "\"type\":\"reasoning.text\",\"text\":\"r\",\"signature\":\"s\","
                      "\"format\":\"anthropic\",\"index\":0}]"));
    m.parts = &signed_call;
    expect_turns(PROVIDER_SIMULATOR, &m, 1,
                 SAID("\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
                      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"},\"extra_content\":{"
                      "\"google\":{\"thought_signature\":\"s\"}}}]"));
    expect_turns(PROVIDER_OPENAI, &m, 1, SAID("\"content\":null," CALLS));
    struct canon_request q = blank();
    m.parts = &item;
    q.messages = &m;
    q.message_count = 1;
    expect_refused(PROVIDER_OPENAI, &q, "messages[0].content[0]", SAID("\"content\":\"\""));
}

static void
test_results(void **state)
{
    (void)state;
    static const struct canon_part plain = TEXT("r"), two[] = {TEXT("a"), TEXT("b")},
                                   picture[] = {TEXT("see"),
                                                {.kind = PART_IMAGE, .media = {.url = {"u", 1}}}};
    static const struct canon_part results[] = {
        {.kind = PART_TOOL_RESULT,
         .id = {"c1", 2},
         .name = {"f", 1},
         .parts = &plain,
         .part_count = 1},
        {.kind = PART_TOOL_RESULT, .id = {"c2", 2}, .parts = picture, .part_count = 2},
        {.kind = PART_TOOL_RESULT, .id = {"c3", 2}, .parts = two, .part_count = 2},
        {.kind = PART_TOOL_RESULT,
         .id = {"c4", 2},
         .parts = &plain,
         .part_count = 1,
         .is_error = true},
        {.kind = PART_TOOL_RESULT, .id = {"c5", 2}},
    };
    static const struct canon_message m[] = {
        {.role = ROLE_TOOL, .parts = results, .count = 2},
        {.role = ROLE_TOOL, .parts = results + 2, .count = 3},
        {.role = ROLE_USER, .parts = &plain, .count = 1},
    };
#define RESULT(id, content)                                                                        \
    "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":" content "}"
    /* pictures follow all results of the turn */
    expect_turns(
        PROVIDER_OPENAI, m, 3,
        TURNS(RESULT("c1", "\"r\"") "," RESULT("c2", "\"see\"") "," RESULT(
            "c3",
            "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}"
            "]") "," RESULT("c4", "\"Error: r\"") "," RESULT("c5", "\"\"") ",{\"role\":\"user\","
                                                                           "\"content\":[{"
                                                                           "\"type\":\"text\","
                                                                           "\"text\":\"What the "
                                                                           "tool call c2 "
                                                                           "returned besides "
                                                                           "text:\"},{\"type\":"
                                                                           "\"image_url\","
                                                                           "\"image_url\":{"
                                                                           "\"url\":\"u\"}}]},"
                                                                           "{\"role\":\"user\","
                                                                           "\"content\":"
                                                                           "\"r\"}"));
    struct canon_message one = {.role = ROLE_TOOL, .parts = results, .count = 1};
    expect_turns(
        PROVIDER_MISTRAL, &one, 1,
        TURNS("{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"r\"}"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),    cmocka_unit_test(test_refused_members),
        cmocka_unit_test(test_tools),      cmocka_unit_test(test_format),
        cmocka_unit_test(test_reasoning),  cmocka_unit_test(test_plain_messages),
        cmocka_unit_test(test_media),      cmocka_unit_test(test_wants_inline),
        cmocka_unit_test(test_assistants), cmocka_unit_test(test_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
