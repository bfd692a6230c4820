/* Requests to Anthropic, of clients who speak chat completions. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "lib/json/doc.h"
#include "lib/json/view.h"

static struct arena arena;
static const struct policy_provider provider = {.name = {"ant", 3}, .kind = PROVIDER_ANTHROPIC};

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

struct result {
    int err;
    struct slice body;
    struct dialect_refusal why;
    char degraded[512];
    bool json_by_tool;
};

static void
order(const struct canon_request *q, const char *model, bool may_degrade, struct result *ret)
{
    struct dialect_target target = {.provider = &provider, .model = slice_of(model)};
    struct dialect_writer w = {
        .arena = &arena, .target = &target, .may_degrade = may_degrade, .why = &ret->why};
    struct buf b;
    buf_init(&b, 0);
    ret->err = dialect_anthropic.write_request(q, &w, &b);
    ret->body = arena_copy(&arena, buf_slice(&b));
    ret->json_by_tool = w.json_by_tool;
    ret->degraded[0] = 0;
    for (size_t i = 0; i < w.degraded_count; i++) {
        size_t n = strlen(ret->degraded);
        snprintf(ret->degraded + n, sizeof(ret->degraded) - n, "%s%.*s", n ? "," : "",
                 SLICE_ARG(w.degraded[i]));
    }
    buf_free(&b);
}

/* A chat request, whose model is the provider's own name. */
static void
order_chat(const char *body, bool may_degrade, struct result *ret)
{
    struct canon_request q;
    struct request_brief brief;
    struct dialect_call call = {0};
    char model[128];
    memset(ret, 0, sizeof(*ret));
    if (dialect_chat.brief(slice_of(body), &call, &arena, &brief, &ret->why) != 0 ||
        dialect_chat.read_request(slice_of(body), &call, &arena, &q, &ret->why) != 0)
        fail_msg("%s: %s", body, ret->why.message);
    snprintf(model, sizeof(model), "%.*s", SLICE_ARG(q.model));
    order(&q, model, may_degrade, ret);
}

static bool
same_json(struct slice a, struct slice b)
{
    struct json *x = NULL, *y = NULL;
    char why[256];
    bool same = json_parse(a, &x, why, sizeof(why)) == 0 &&
                json_parse(b, &y, why, sizeof(why)) == 0 && json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static void
check_body(const char *chat, const char *want)
{
    struct result r;
    order_chat(chat, false, &r);
    if (r.err)
        fail_msg("%s\n%s", chat, r.why.message);
    if (!same_json(r.body, slice_of(want)))
        fail_msg("%s\n%.*s\n%s", chat, SLICE_ARG(r.body), want);
}

/* One member of what is sent. */
static void
check_member(const char *chat, const char *member, const char *want)
{
    struct result r;
    order_chat(chat, false, &r);
    if (r.err)
        fail_msg("%s\n%s", chat, r.why.message);
    struct json_view v = json_view_get(json_view_of(r.body), member);
    if (!want ? v.kind != JSON_ABSENT : !v.raw.at || !same_json(v.raw, slice_of(want)))
        fail_msg("%s\n%s: %.*s", chat, member, SLICE_ARG(v.raw));
}

#define HEAD "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":5000,"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define TOOL                                                                                       \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"               \
    "{\"type\":\"object\",\"properties\":{}}}}]"

/* --- turns ------------------------------------------------------------------------------------ */

static void
test_turns_alternate_and_results_come_first(void **state)
{
    (void)state;
    check_body(
        HEAD
        "\"stream\":true,\"messages\":["
        "{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"developer\",\"content\":\"D\"},"
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
        "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["
        "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
        "\\\"x\\\":"
        "1}\"}},"
        "{\"id\":\"c.2\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"one\"},"
        "{\"role\":\"system\",\"content\":\"later\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c.2\",\"content\":\"two\"},"
        "{\"role\":\"user\",\"content\":\"   \"},"
        "{\"role\":\"assistant\",\"content\":\"so \\n\"}]}",
        HEAD
        "\"stream\":true,\"system\":[{\"type\":\"text\",\"text\":\"S\"},{\"type\":\"text\","
        "\"text\":"
        "\"D\"}],\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
        "\"text\":\"b\"}]},"
        "{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"x\":1}},"
        "{\"type\":\"tool_use\",\"id\":\"b77273d71ee82c458fb9edd34483e922\",\"name\":\"f\","
        "\"input\":"
        "{}}]},"
        "{\"role\":\"user\",\"content\":["
        "{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":\"one\"},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"b77273d71ee82c458fb9edd34483e922\","
        "\"content\":"
        "\"two\"},"
        "{\"type\":\"text\",\"text\":\"<system>\\nlater\\n</system>\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"so\"}]}]}");
}

static void
test_the_first_turn_is_the_users(void **state)
{
    (void)state;
    check_member(
        HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":\"hello\"},"
             "{\"role\":\"user\",\"content\":\"hi\"}]}",
        "messages",
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"(The "
        "conversation begins with the "
        "assistant.)\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"hello\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]"
        "}]");
    check_member(HEAD "\"messages\":[{\"role\":\"system\",\"content\":\"alone\"}]}", "messages",
                 "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"alone\"}]}]");
}

static void
test_media(void **state)
{
    (void)state;
    check_member(
        HEAD "\"messages\":[{\"role\":\"user\",\"content\":["
             "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a.example/x.png\"}},"
             "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/jpeg;base64,QUJD\"}},"
             "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":"
             "\"data:application/pdf;base64,JVBERi0=\"}},"
             "{\"type\":\"file\",\"file\":{\"filename\":\"a.txt\",\"file_data\":"
             "\"data:text/plain;base64,aGV5\"}}]}]}",
        "messages",
        "[{\"role\":\"user\",\"content\":["
        "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://a.example/x.png\"}},"
        "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
        "jpeg\",\"data\":"
        "\"QUJD\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\","
        "\"data\":\"JVBERi0=\"},\"title\":\"a.pdf\"},"
        "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/"
        "plain\",\"data\":"
        "\"hey\"},\"title\":\"a.txt\"}]}]");
}

static void
test_what_is_fetched_first(void **state)
{
    (void)state;
    static const struct {
        struct canon_part part;
        bool want;
    } rows[] = {
        {{.kind = PART_IMAGE, .media.url = SLICE("https://a.example/x")}, false},
        {{.kind = PART_IMAGE, .media.url = SLICE("http://a.example/x")}, true},
        {{.kind = PART_IMAGE, .media.data = SLICE("QUJD")}, false},
        {{.kind = PART_FILE, .media.url = SLICE("https://a.example/x")}, false},
        {{.kind = PART_FILE,
          .media.url = SLICE("https://a.example/x"),
          .media.mime = SLICE("text/plain")},
         true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(dialect_anthropic.wants_inline(NULL, &rows[i].part), rows[i].want);
}

/* --- tools ------------------------------------------------------------------------------------ */

static void
test_tool_choices(void **state)
{
    (void)state;
    static const struct {
        const char *given, *want;
    } rows[] = {
        {"", NULL},
        {",\"tool_choice\":\"auto\"", "{\"type\":\"auto\"}"},
        {",\"tool_choice\":\"none\"", "{\"type\":\"none\"}"},
        {",\"tool_choice\":\"required\"", "{\"type\":\"any\"}"},
        {",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
         "{\"type\":\"tool\",\"name\":\"f\"}"},
        {",\"parallel_tool_calls\":false",
         "{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"},
        {",\"parallel_tool_calls\":false,\"tool_choice\":\"required\"",
         "{\"type\":\"any\",\"disable_parallel_tool_use\":true}"},
        {",\"parallel_tool_calls\":true", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[1024];
        snprintf(body, sizeof(body), HEAD USER "," TOOL "%s}", rows[i].given);
        check_member(body, "tool_choice", rows[i].want);
    }
}

static void
test_tools_are_said_with_schemas(void **state)
{
    (void)state;
    check_member(HEAD USER ",\"tools\":["
                           "{\"type\":\"function\",\"function\":{\"name\":\"none\"}},"
                           "{\"type\":\"function\",\"function\":{\"name\":\"s\",\"description\":"
                           "\"d\",\"strict\":true,\"parameters\":{\"type\":\"object\","
                           "\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1}},"
                           "\"required\":[\"n\"],\"additionalProperties\":false}}}]}",
                 "tools",
                 "[{\"name\":\"none\",\"input_schema\":{\"type\":\"object\"}},"
                 "{\"name\":\"s\",\"description\":\"d\",\"strict\":true,\"input_schema\":"
                 "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"description\":"
                 "\"{minimum: 1}\"}},\"required\":[\"n\"],\"additionalProperties\":false}}]");
    /* not on models without it */
    check_member("{\"model\":\"claude-3-5-haiku-latest\"," USER
                 ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"s\",\"strict\":true,"
                 "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]}",
                 "tools",
                 "[{\"name\":\"s\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]");
}

static void
test_a_search_of_the_web(void **state)
{
    (void)state;
    check_member(HEAD USER ",\"web_search_options\":{\"search_context_size\":\"low\","
                           "\"user_location\":{\"type\":\"approximate\",\"approximate\":"
                           "{\"country\":\"GB\",\"city\":\"London\"}}}}",
                 "tools",
                 "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"user_location\":"
                 "{\"type\":\"approximate\",\"city\":\"London\",\"country\":\"GB\"}}]");
    static const struct {
        enum dialect_id origin;
        const char *raw, *want;
    } rows[] = {
        {DIALECT_RESPONSES,
         "{\"type\":\"web_search\",\"filters\":{\"allowed_domains\":[\"a.example\"]}}",
         "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"allowed_domains\":"
         "[\"a.example\"]}]"},
        {DIALECT_GEMINI, "{\"googleSearch\":{}}",
         "[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]"},
        {DIALECT_RESPONSES, "{\"type\":\"file_search\"}", NULL},
        {DIALECT_GEMINI, "{\"codeExecution\":{}}", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_part part = {.kind = PART_TEXT, .text = SLICE("x")};
        struct canon_message m = {.role = ROLE_USER, .parts = &part, .count = 1};
        struct canon_tool tool = {
            .kind = TOOL_HOSTED, .origin = rows[i].origin, .raw = slice_of(rows[i].raw)};
        struct canon_request q = {.origin = rows[i].origin,
                                  .max_tokens = 9,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning.budget = -1,
                                  .messages = &m,
                                  .message_count = 1,
                                  .tools = &tool,
                                  .tool_count = 1};
        struct result r = {0};
        order(&q, "claude-sonnet-4-5", false, &r);
        if (!rows[i].want) {
            assert_int_equal(r.err, ERR_DENIED);
            assert_string_equal(r.why.member, "tools[0]");
            continue;
        }
        assert_int_equal(r.err, 0);
        assert_true(
            same_json(json_view_get(json_view_of(r.body), "tools").raw, slice_of(rows[i].want)));
    }
}

/* --- sampling and limits ---------------------------------------------------------------------- */

static void
test_sampling(void **state)
{
    (void)state;
    check_member(HEAD USER ",\"temperature\":0.7}", "temperature", "0.7");
    check_member(HEAD USER ",\"temperature\":1.8}", "temperature", "1");
    check_member(HEAD USER ",\"top_p\":0.5}", "top_p", "0.5");
    /* either, where the model takes one */
    check_member(HEAD USER ",\"temperature\":1,\"top_p\":0.5}", "temperature", NULL);
    check_member(HEAD USER ",\"temperature\":0.2,\"top_p\":1}", "top_p", NULL);
    /* none, where it takes none: what is the default anyway is not missed */
    check_member("{\"model\":\"claude-opus-4-7\"," USER ",\"temperature\":1.0,\"top_p\":1}",
                 "temperature", NULL);
    check_member(HEAD USER ",\"stop\":[\"a\",\"b\"]}", "stop_sequences", "[\"a\",\"b\"]");
    check_member(HEAD USER ",\"user\":\"u\"}", "metadata", "{\"user_id\":\"u\"}");
    check_member(HEAD USER ",\"service_tier\":\"default\"}", "service_tier", "\"standard_only\"");
    check_member(HEAD USER ",\"frequency_penalty\":0,\"presence_penalty\":0.0,\"n\":1,"
                           "\"logprobs\":false,\"logit_bias\":{}}",
                 "frequency_penalty", NULL);
}

static void
test_limits_by_model(void **state)
{
    (void)state;
    check_member("{\"model\":\"claude-3-haiku-20240307\"," USER "}", "max_tokens", "4096");
    check_member("{\"model\":\"claude-sonnet-4-5-20250929\"," USER "}", "max_tokens", "64000");
    check_member("{\"model\":\"claude-opus-4-20250514\"," USER "}", "max_tokens", "32000");
    check_member("{\"model\":\"claude-opus-5\"," USER "}", "max_tokens", "128000");
    check_member("{\"model\":\"claude-3-haiku-20240307\"," USER ",\"max_tokens\":9000}",
                 "max_tokens", "4096");
    check_member("{\"model\":\"claude-3-haiku-20240307\"," USER ",\"max_completion_tokens\":7}",
                 "max_tokens", "7");
}

/* --- refusals --------------------------------------------------------------------------------- */

static void
test_what_it_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *given, *member;
    } rows[] = {
        {"\"n\":2", "n"},
        {"\"seed\":7", "seed"},
        {"\"frequency_penalty\":0.5", "frequency_penalty"},
        {"\"presence_penalty\":-1", "presence_penalty"},
        {"\"logprobs\":true", "logprobs"},
        {"\"logit_bias\":{\"1\":2}", "logit_bias"},
        {"\"metadata\":{\"a\":\"b\"}", "metadata"},
        {"\"verbosity\":\"low\"", "verbosity"},
        {"\"service_tier\":\"flex\"", "service_tier"},
        {"\"stop\":\"\\n\"", "stop"},
        {"\"temperature\":0.2,\"top_p\":0.5", "top_p"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct result r;
        snprintf(body, sizeof(body), HEAD USER ",%s}", rows[i].given);
        order_chat(body, false, &r);
        if (r.err != ERR_DENIED || strcmp(r.why.member, rows[i].member) != 0)
            fail_msg("%s: %d, member '%s'", rows[i].given, r.err, r.why.member);
        order_chat(body, true, &r);
        if (r.err || strcmp(r.degraded, rows[i].member) != 0 ||
            json_view_get(json_view_of(r.body), rows[i].member).kind != JSON_ABSENT)
            fail_msg("%s: %d, degraded '%s'", rows[i].given, r.err, r.degraded);
    }
}

static void
test_media_it_cannot_read_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QUJD\",\"format\":\"wav\"}}",
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://a.example/x.png\"}}",
        "{\"type\":\"file\",\"file\":{\"filename\":\"a.docx\",\"file_data\":"
        "\"data:application/msword;base64,QUJD\"}}",
        "{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct result r;
        snprintf(body, sizeof(body),
                 HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                      "\"x\"},%s]}]}",
                 rows[i]);
        order_chat(body, false, &r);
        if (r.err != ERR_DENIED || strcmp(r.why.member, "messages[0].content[1]") != 0)
            fail_msg("row %zu: %d, member '%s'", i, r.err, r.why.member);
        order_chat(body, true, &r);
        assert_int_equal(r.err, 0);
        assert_true(same_json(json_view_get(json_view_of(r.body), "messages").raw,
                              SLICE("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                                    "\"x\"}]}]")));
    }
}

/* --- thinking --------------------------------------------------------------------------------- */

static void
test_thinking_by_model(void **state)
{
    (void)state;
    static const struct {
        const char *model, *effort;
        int max_tokens;
        const char *thinking, *output_config;
    } rows[] = {
        {"claude-sonnet-4-5", "medium", 64000, "{\"type\":\"enabled\",\"budget_tokens\":8192}",
         NULL},
        {"claude-sonnet-4-5", "minimal", 64000, "{\"type\":\"enabled\",\"budget_tokens\":1024}",
         NULL},
        /* a quarter is left for the answer */
        {"claude-sonnet-4-5", "high", 8000, "{\"type\":\"enabled\",\"budget_tokens\":6000}", NULL},
        /* too short to think */
        {"claude-sonnet-4-5", "low", 1000, NULL, NULL},
        {"claude-sonnet-4-5", "none", 1000, NULL, NULL},
        {"claude-opus-4-6", "high", 64000, "{\"type\":\"adaptive\"}", "{\"effort\":\"high\"}"},
        {"claude-opus-4-6", "xhigh", 64000, "{\"type\":\"adaptive\"}", "{\"effort\":\"high\"}"},
        {"claude-opus-4-7", "xhigh", 64000, "{\"type\":\"adaptive\",\"display\":\"summarized\"}",
         "{\"effort\":\"xhigh\"}"},
        {"claude-opus-4-7", "minimal", 64000, "{\"type\":\"adaptive\",\"display\":\"summarized\"}",
         "{\"effort\":\"low\"}"},
        {"claude-opus-4-7", "none", 64000, "{\"type\":\"disabled\"}", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        snprintf(body, sizeof(body),
                 "{\"model\":\"%s\",\"max_tokens\":%d,\"reasoning_effort\":\"%s\"," USER "}",
                 rows[i].model, rows[i].max_tokens, rows[i].effort);
        check_member(body, "thinking", rows[i].thinking);
        check_member(body, "output_config", rows[i].output_config);
    }
}

static void
test_thinking_excludes_what_it_must(void **state)
{
    (void)state;
    static const struct {
        const char *given, *member;
    } rows[] = {
        {"\"temperature\":0.5", "temperature"},
        {"\"top_p\":0.5", "top_p"},
        {TOOL ",\"tool_choice\":\"required\"", "reasoning_effort"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct result r;
        snprintf(body, sizeof(body), HEAD USER ",\"reasoning_effort\":\"low\",%s}", rows[i].given);
        order_chat(body, false, &r);
        if (r.err != ERR_DENIED || strcmp(r.why.member, rows[i].member) != 0)
            fail_msg("%s: %d, member '%s'", rows[i].given, r.err, r.why.member);
        order_chat(body, true, &r);
        assert_int_equal(r.err, 0);
        assert_string_equal(r.degraded, rows[i].member);
    }
    struct result r;
    order_chat("{\"model\":\"claude-3-5-haiku-latest\",\"reasoning_effort\":\"low\"," USER "}",
               false, &r);
    assert_int_equal(r.err, ERR_DENIED);
    assert_string_equal(r.why.member, "reasoning_effort");
}

#define LOOP                                                                                       \
    "\"reasoning_effort\":\"low\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"           \
    "{\"role\":\"assistant\",\"content\":null,%s\"tool_calls\":[{\"id\":\"c1\",\"type\":"          \
    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"                          \
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"r\"}]," TOOL "}"

static void
test_a_loop_without_signed_thinking(void **state)
{
    (void)state;
    char body[2048];
    struct result r;
    snprintf(body, sizeof(body), HEAD LOOP, "");
    order_chat(body, false, &r);
    assert_int_equal(r.err, ERR_DENIED);
    assert_string_equal(r.why.member, "reasoning_effort");
    order_chat(body, true, &r);
    assert_int_equal(r.err, 0);
    assert_string_equal(r.degraded, "reasoning_effort");
    assert_int_equal(json_view_get(json_view_of(r.body), "thinking").kind, JSON_ABSENT);
    /* unsigned reasoning is no help, and is not sent */
    snprintf(body, sizeof(body), HEAD LOOP, "\"reasoning_content\":\"hm\",");
    order_chat(body, true, &r);
    assert_string_equal(r.degraded, "reasoning_effort");
    assert_null(memmem(r.body.at, r.body.len, "hm", 2));
    /* models that see for themselves do not insist */
    snprintf(body, sizeof(body), "{\"model\":\"claude-opus-4-7\"," LOOP, "");
    order_chat(body, false, &r);
    assert_int_equal(r.err, 0);
}

static void
test_signed_thinking_goes_back_as_it_came(void **state)
{
    (void)state;
    char body[2048];
    snprintf(body, sizeof(body), HEAD LOOP,
             "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"h\\u00e9 \","
             "\"signature\":\"SIG==\",\"format\":\"anthropic\",\"index\":0},"
             "{\"type\":\"reasoning.encrypted\",\"data\":\"ENC\",\"format\":\"anthropic\","
             "\"index\":1}],");
    check_member(body, "messages",
                 "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]},"
                 "{\"role\":\"assistant\",\"content\":["
                 "{\"type\":\"thinking\",\"thinking\":\"h\xc3\xa9 \",\"signature\":\"SIG==\"},"
                 "{\"type\":\"redacted_thinking\",\"data\":\"ENC\"},"
                 "{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{}}]},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\","
                 "\"content\":\"r\"}]}]");
    check_member(body, "thinking", "{\"type\":\"enabled\",\"budget_tokens\":2048}");
}

/* --- structured output ------------------------------------------------------------------------ */

#define FORMAT(schema)                                                                             \
    ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","              \
    "\"schema\":" schema "}}}"
#define CLOSED "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3}}}"
#define OPEN "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}"

static void
test_structured_output(void **state)
{
    (void)state;
    struct result r;
    check_member(HEAD USER FORMAT(CLOSED), "output_config",
                 "{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\","
                 "\"properties\":{\"a\":{\"type\":\"string\",\"description\":\"{maxLength: 3}\"}},"
                 "\"additionalProperties\":false}}}");
    /* by a forced call where there is nothing better */
    static const char *const by_tool[] = {
        "{\"model\":\"claude-3-5-haiku-latest\"," USER FORMAT(CLOSED), HEAD USER FORMAT(OPEN)};
    for (size_t i = 0; i < 2; i++) {
        order_chat(by_tool[i], false, &r);
        assert_int_equal(r.err, 0);
        assert_true(r.json_by_tool);
        check_member(by_tool[i], "tool_choice",
                     "{\"type\":\"tool\",\"name\":\"" JSON_TOOL_NAME
                     "\",\"disable_parallel_tool_use\":true}");
    }
    /* the client's own tools stay callable */
    check_member(HEAD USER "," TOOL FORMAT(OPEN), "tool_choice", "{\"type\":\"any\"}");
    /* a forced call and thinking exclude each other: in words then */
    order_chat(HEAD USER ",\"reasoning_effort\":\"low\"" FORMAT(OPEN), false, &r);
    assert_int_equal(r.err, 0);
    assert_false(r.json_by_tool);
    assert_non_null(memmem(r.body.at, r.body.len, "additionalProperties\\\":{", 24));
    order_chat(HEAD USER ",\"response_format\":{\"type\":\"json_object\"}}", false, &r);
    assert_int_equal(r.err, 0);
    assert_int_equal(json_view_count(json_view_get(json_view_of(r.body), "system")), 1);
}

/* --- caches ----------------------------------------------------------------------------------- */

static size_t
count_breakpoints(struct slice body)
{
    size_t count = 0;
    for (size_t i = 0; i + 13 < body.len; i++)
        count += memcmp(body.at + i, "cache_control", 13) == 0;
    return count;
}

static void
test_no_more_than_four_breakpoints(void **state)
{
    (void)state;
    struct canon_part parts[6];
    struct canon_message m = {.role = ROLE_USER, .parts = parts, .count = 6};
    struct canon_request q = {.max_tokens = 9,
                              .choices = 1,
                              .top_logprobs = -1,
                              .reasoning.budget = -1,
                              .messages = &m,
                              .message_count = 1};
    struct result r = {0};
    for (size_t i = 0; i < 6; i++)
        parts[i] = (struct canon_part){
            .kind = PART_TEXT, .text = SLICE("x"), .cache = i == 5 ? CACHE_1H : CACHE_5M};
    order(&q, "claude-sonnet-4-5", false, &r);
    assert_int_equal(r.err, 0);
    assert_int_equal(count_breakpoints(r.body), 4);
    assert_non_null(memmem(r.body.at, r.body.len, "\"ttl\":\"1h\"", 10)); /* the last ones stay */
}

/* --- clients of Anthropic's own dialect ------------------------------------------------------- */

static void
order_messages(struct slice body, struct result *ret)
{
    struct canon_request q;
    struct request_brief brief;
    struct dialect_call call = {0};
    memset(ret, 0, sizeof(*ret));
    if (dialect_anthropic.brief(body, &call, &arena, &brief, &ret->why) != 0 ||
        dialect_anthropic.read_request(body, &call, &arena, &q, &ret->why) != 0)
        fail_msg("%.*s: %s", SLICE_ARG(body), ret->why.message);
    order(&q, "claude-sonnet-4-5", true, ret);
    assert_int_equal(ret->err, 0);
}

#define MARK ",\"cache_control\":{\"type\":\"ephemeral\"}"
#define TEXT(text, more) "{\"type\":\"text\",\"text\":\"" text "\"" more "}"
#define SAYS(role, parts) "{\"role\":\"" role "\",\"content\":[" parts "]}"
#define OWN(more, messages)                                                                        \
    "{\"model\":\"m\",\"max_tokens\":4096" more ",\"messages\":[" messages "]}"
#define CALLS "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}}"

/* What is not sent (blank texts) changes nothing else: what is written is read and written again as
 * the same bytes. */
static void
test_what_is_left_out_has_no_effect(void **state)
{
    static const struct {
        const char *body, *has;
    } rows[] = {
        /* the turn begins with signed thinking, since nothing stands between */
        {OWN(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}",
             SAYS("user", TEXT("q", "")) "," SAYS(
                 "assistant",
                 "{\"type\":\"thinking\",\"thinking\":"
                 "\"h\",\"signature\":\"SIG==\"}") "," SAYS("user",
                                                            TEXT(
                                                                " ",
                                                                "")) "," SAYS("assistant",
                                                                              CALLS) "," SAYS("use"
                                                                                              "r",
                                                                                              "{\"t"
                                                                                              "ype"
                                                                                              "\":"
                                                                                              "\"to"
                                                                                              "ol_"
                                                                                              "resu"
                                                                                              "lt\""
                                                                                              ",\"t"
                                                                                              "ool_"
                                                                                              "use_"
                                                                                              "id\""
                                                                                              ":\"t"
                                                                                              "1\","
                                                                                              "\"co"
                                                                                              "nten"
                                                                                              "t\":"
                                                                                              "\"x"
                                                                                              "\""
                                                                                              "}")),
         "\"budget_tokens\":2000"},
        /* the last words of the assistant's are the last words */
        {OWN("", SAYS("user", TEXT("q", "")) "," SAYS("assistant", TEXT("a ", "")) "," SAYS(
                     "user", TEXT(" ", ""))),
         "\"text\":\"a\""},
        {OWN("",
             SAYS("user", TEXT("q", "")) "," SAYS("assistant", TEXT("a ", "") "," TEXT(" ", ""))),
         "\"text\":\"a\""},
        /* four breakpoints, the last ones: those in results count, those of blank texts do not */
        {OWN("", SAYS("user", TEXT("1", MARK) "," TEXT(" ", MARK)) "," SAYS(
                     "assistant",
                     CALLS) "," SAYS("user",
                                     "{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":"
                                     "[" TEXT("r", MARK) "]" MARK
                                                         "}," TEXT("2", MARK) "," TEXT("3", MARK))),
         "{\"type\":\"text\",\"text\":\"r\"" MARK "}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct result once, twice;
        order_messages(slice_of(rows[i].body), &once);
        assert_non_null(memmem(once.body.at, once.body.len, rows[i].has, strlen(rows[i].has)));
        order_messages(once.body, &twice);
        assert_true(slice_eq(twice.body, once.body));
        assert_true(count_breakpoints(once.body) <= 4);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_turns_alternate_and_results_come_first, tear_down),
        cmocka_unit_test_teardown(test_the_first_turn_is_the_users, tear_down),
        cmocka_unit_test_teardown(test_media, tear_down),
        cmocka_unit_test_teardown(test_what_is_fetched_first, tear_down),
        cmocka_unit_test_teardown(test_tool_choices, tear_down),
        cmocka_unit_test_teardown(test_tools_are_said_with_schemas, tear_down),
        cmocka_unit_test_teardown(test_a_search_of_the_web, tear_down),
        cmocka_unit_test_teardown(test_sampling, tear_down),
        cmocka_unit_test_teardown(test_limits_by_model, tear_down),
        cmocka_unit_test_teardown(test_what_it_cannot_do_is_refused_by_name, tear_down),
        cmocka_unit_test_teardown(test_media_it_cannot_read_is_refused, tear_down),
        cmocka_unit_test_teardown(test_thinking_by_model, tear_down),
        cmocka_unit_test_teardown(test_thinking_excludes_what_it_must, tear_down),
        cmocka_unit_test_teardown(test_a_loop_without_signed_thinking, tear_down),
        cmocka_unit_test_teardown(test_signed_thinking_goes_back_as_it_came, tear_down),
        cmocka_unit_test_teardown(test_structured_output, tear_down),
        cmocka_unit_test_teardown(test_no_more_than_four_breakpoints, tear_down),
        cmocka_unit_test_teardown(test_what_is_left_out_has_no_effect, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
