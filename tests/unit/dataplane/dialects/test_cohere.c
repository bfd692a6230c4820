/* Cohere's v2 chat, on documents of our own and on recordings. */
#include "tests/unit/dataplane/dialects/recorded.h"

#include "dataplane/dialects/cohere_internal.h"

static const struct policy_provider provider = {.name = {"co", 2}, .kind = PROVIDER_COHERE};

struct written {
    struct arena a;
    struct buf text;
    struct dialect_target target;
    struct dialect_writer w;
    struct dialect_refusal why;
    int err;
};

static void
write_it(struct written *o, const struct canon_request *q, bool may_degrade)
{
    memset(o, 0, sizeof(*o));
    arena_init(&o->a, 0);
    buf_init(&o->text, 0);
    o->target = (struct dialect_target){&provider, SLICE("command-a")};
    o->w = (struct dialect_writer){
        .arena = &o->a, .target = &o->target, .may_degrade = may_degrade, .why = &o->why};
    o->err = dialect_cohere.write_request(q, &o->w, &o->text);
}

static void
written_free(struct written *o)
{
    buf_free(&o->text);
    arena_free(&o->a);
}

static void
assert_written(const struct canon_request *q, const char *want)
{
    struct written o;
    struct json *j = NULL;
    char why[128];
    write_it(&o, q, false);
    if (o.err)
        fail_msg("refused: %s", o.why.message);
    if (json_parse(buf_slice(&o.text), &j, why, sizeof(why)) != 0)
        fail_msg("%s in %s", why, buf_str(&o.text));
    json_free(j);
    if (!slice_is(buf_slice(&o.text), want))
        fail_msg("got  %s\nwant %s", buf_str(&o.text), want);
    written_free(&o);
}

/* Refused, naming the member; left out, and noted, where the key allows that. */
static void
assert_degrades(const struct canon_request *q, const char *member)
{
    struct written o;
    write_it(&o, q, false);
    assert_int_equal(o.err, ERR_DENIED);
    assert_string_equal(o.why.member, member);
    assert_non_null(strstr(o.why.message, "'co'"));
    written_free(&o);
    write_it(&o, q, true);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.w.degraded_count, 1);
    assert_slice_is(o.w.degraded[0], member);
    written_free(&o);
}

#define S(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
#define TEXT(s)                                                                                    \
    {                                                                                              \
        .kind = PART_TEXT, .text = S(s)                                                            \
    }
#define ONE(role_, part)                                                                           \
    {                                                                                              \
        .role = (role_), .parts = &(part), .count = 1                                              \
    }

static const struct canon_part hi = TEXT("hi");
static const struct canon_message hello[] = {ONE(ROLE_USER, hi)};

static struct canon_request
request_of(const struct canon_message *messages, size_t count)
{
    return (struct canon_request){.messages = messages,
                                  .message_count = count,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning = {.budget = -1}};
}

#define HEAD "{\"model\":\"command-a\",\"messages\":["
#define HI HEAD "{\"role\":\"user\",\"content\":\"hi\"}]"

/* --- writing ---------------------------------------------------------------------------------- */

static void
test_settings(void **state)
{
    struct canon_request q = request_of(hello, 1);
    (void)state;
    assert_written(&q, HI ",\"stream\":false}");
    q.stream = true;
    q.max_tokens = 9;
    q.temperature = SLICE("0.30");
    q.top_p = SLICE("0.9");
    q.top_k = SLICE("5");
    q.seed = SLICE("7");
    q.frequency_penalty = SLICE("0.1");
    q.presence_penalty = SLICE("0.2");
    q.stops[0] = SLICE("END");
    q.stop_count = 1;
    q.format = FORMAT_SCHEMA;
    q.format_schema_raw = SLICE("{\"type\":\"object\"}");
    q.reasoning.effort = SLICE("low");
    q.service_tier = SLICE("auto");
    assert_written(&q, HI ",\"stop_sequences\":[\"END\"],\"max_tokens\":9,\"temperature\":0.30,"
                          "\"p\":0.9,\"k\":5,\"seed\":7,\"frequency_penalty\":0.1,"
                          "\"presence_penalty\":0.2,\"response_format\":{\"type\":\"json_object\","
                          "\"json_schema\":{\"type\":\"object\"}},\"thinking\":{\"type\":"
                          "\"enabled\",\"token_budget\":2048},\"stream\":true}");
    q = request_of(hello, 1);
    q.format = FORMAT_JSON;
    q.reasoning.effort = SLICE("none");
    assert_written(&q, HI ",\"response_format\":{\"type\":\"json_object\"},"
                          "\"thinking\":{\"type\":\"disabled\"},\"stream\":false}");
}

static void
test_stop_limit(void **state)
{
    struct canon_request q = request_of(hello, 1);
    (void)state;
    for (size_t i = 0; i < 6; i++)
        q.stops[i] = SLICE("x");
    q.stop_count = 5;
    assert_written(&q, HI ",\"stop_sequences\":[\"x\",\"x\",\"x\",\"x\",\"x\"],\"stream\":false}");
    q.stop_count = 6;
    assert_degrades(&q, "stop");
}

/* Plan and thinking of its own go back; foreign reasoning does not. */
static void
test_conversation(void **state)
{
    static const struct canon_part sys = TEXT("be kind"), more = TEXT("more");
    static const struct canon_part said[] = {
        {.kind = PART_REASONING,
         .origin = DIALECT_COHERE,
         .text = S("I will"),
         .raw = S("{\"tool_plan\":true}")},
        {.kind = PART_REASONING, .origin = DIALECT_COHERE, .text = S("hm")},
        {.kind = PART_REASONING, .origin = DIALECT_ANTHROPIC, .text = S("x")},
        TEXT("ok"),
        {.kind = PART_TOOL_CALL, .id = S("a:1"), .name = S("f"), .arguments = S("")},
        {.kind = PART_TOOL_CALL, .id = S("b"), .name = S("g"), .arguments = S("{\"x\": 1}")},
    };
    static const struct canon_part texts[] = {TEXT("fi"), TEXT("ne")};
    static const struct canon_part results[] = {
        {.kind = PART_TOOL_RESULT, .id = S("a:1"), .parts = texts, .part_count = 2},
        TEXT("and now?"),
        {.kind = PART_TOOL_RESULT, .id = S("b"), .parts = texts, .part_count = 1},
    };
    static const struct canon_message messages[] = {
        ONE(ROLE_DEVELOPER, sys),
        ONE(ROLE_USER, hi),
        {.role = ROLE_ASSISTANT, .parts = said, .count = 6},
        {.role = ROLE_USER, .parts = results, .count = 3},
        ONE(ROLE_USER, more),
    };
    struct canon_request q = request_of(messages, 5);
    (void)state;
    assert_written(
        &q, HEAD
        "{\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"user\",\"content\":\"hi\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
        "{\"type\":\"text\",\"text\":\"ok\"}],\"tool_plan\":\"I will\",\"tool_calls\":["
        "{\"id\":\"a:1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
        "\"{\\\"x\\\": 1}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a:1\",\"content\":\"fine\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"fi\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"and now?\"}]},"
        "{\"role\":\"user\",\"content\":\"more\"}],\"stream\":false}");
}

static void
test_tools(void **state)
{
    static const struct canon_tool tools[] = {
        {.kind = TOOL_FUNCTION,
         .name = S("f"),
         .description = S("does f"),
         .schema_raw = S("{\"type\":\"object\"}")},
        {.kind = TOOL_FUNCTION, .name = S("g")},
    };
    struct canon_request q = request_of(hello, 1);
    (void)state;
    q.tools = tools;
    q.tool_count = 2;
#define F                                                                                          \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"does f\","              \
    "\"parameters\":{\"type\":\"object\"}}}"
#define G                                                                                          \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\","     \
    "\"properties\":{}}}}"
    q.tool_choice = CHOICE_AUTO;
    assert_written(&q, HI ",\"tools\":[" F "," G "],\"stream\":false}");
    q.tool_choice = CHOICE_REQUIRED;
    assert_written(&q,
                   HI ",\"tools\":[" F "," G "],\"tool_choice\":\"REQUIRED\",\"stream\":false}");
    q.tool_choice = CHOICE_NONE;
    assert_written(&q, HI ",\"tools\":[" F "," G "],\"tool_choice\":\"NONE\",\"stream\":false}");
    q.tool_choice = CHOICE_NAMED;
    q.tool_choice_name = SLICE("g");
    assert_written(&q, HI ",\"tools\":[" G "],\"tool_choice\":\"REQUIRED\",\"stream\":false}");
}

static void
test_media(void **state)
{
    struct canon_part parts[] = {
        TEXT("look"),
        {.kind = PART_IMAGE, .media = {.mime = S("image/webp"), .data = S("AAAA")}},
        {.kind = PART_IMAGE, .media = {.url = S("https://h/x.png"), .detail = S("low")}},
        {.kind = PART_FILE, .media = {.text = S("long"), .name = S("n.txt")}},
    };
    struct canon_message m = {.role = ROLE_USER, .parts = parts, .count = 4};
    struct canon_request q = request_of(&m, 1);
    (void)state;
    assert_written(&q, HEAD
                   "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"look\"},"
                   "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/webp;base64,"
                   "AAAA\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/x.png\","
                   "\"detail\":\"low\"}}]}],\"documents\":[{\"data\":{\"title\":\"n.txt\","
                   "\"text\":\"long\"}}],\"stream\":false}");
    parts[3] = (struct canon_part){.kind = PART_FILE, .media = {.data = SLICE("AAAA")}};
    assert_degrades(&q, "messages[0].content[3]");
    parts[3] = (struct canon_part){.kind = PART_AUDIO};
    assert_degrades(&q, "messages[0].content[3]");
    parts[3] = (struct canon_part){.kind = PART_OPAQUE, .raw = SLICE("{}")};
    assert_degrades(&q, "messages[0].content[3]");
    parts[3] = (struct canon_part){.kind = PART_IMAGE, .media = {.file_id = SLICE("f")}};
    assert_degrades(&q, "messages[0].content[3]");
    m = (struct canon_message){.role = ROLE_ASSISTANT, .parts = parts, .count = 2};
    assert_degrades(&q, "messages[0].content[1]");
    const struct canon_part result = {
        .kind = PART_TOOL_RESULT, .id = SLICE("a"), .parts = parts, .part_count = 2};
    m = (struct canon_message){.role = ROLE_TOOL, .parts = &result, .count = 1};
    assert_degrades(&q, "messages[0]");
}

static void
test_features_refused(void **state)
{
    static const struct canon_extra extras[] = {{S("prediction"), S("{}")},
                                                {S("safety_mode"), S("\"OFF\"")}};
    static const struct canon_tool strict = {
        .kind = TOOL_FUNCTION, .name = S("f"), .strict = TRI_YES};
    static const struct canon_tool custom = {.kind = TOOL_CUSTOM, .name = S("f")};
    static const struct canon_tool hosted = {.kind = TOOL_HOSTED, .raw = S("{}")};
    struct canon_request q;
    (void)state;
#define FEATURE(set, member)                                                                       \
    do {                                                                                           \
        q = request_of(hello, 1);                                                                  \
        set;                                                                                       \
        assert_degrades(&q, member);                                                               \
    } while (0)
    FEATURE(q.choices = 2, "n");
    FEATURE(q.logprobs = TRI_YES, "logprobs");
    FEATURE(q.logit_bias_raw = SLICE("{\"1\":2}"), "logit_bias");
    FEATURE((q.parallel_tools = TRI_NO, q.tools = &strict, q.tool_count = 1,
             q.tool_choice = CHOICE_NAMED),
            "parallel_tool_calls");
    FEATURE(q.verbosity = SLICE("low"), "verbosity");
    FEATURE(q.service_tier = SLICE("priority"), "service_tier");
    FEATURE((q.extras = extras, q.extra_count = 1), "prediction");
    FEATURE((q.tools = &custom, q.tool_count = 1), "tools[0]");
    FEATURE((q.tools = &hosted, q.tool_count = 1), "tools[0]");
    q = request_of(hello, 1);
    q.tools = &strict;
    q.tool_count = 1;
    assert_written(&q, HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                          "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
                          "\"strict_tools\":true,\"stream\":false}");
    q = request_of(hello, 1);
    q.extras = &extras[1];
    q.extra_count = 1;
    assert_written(&q, HI ",\"safety_mode\":\"OFF\",\"stream\":false}");
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
read_answer(struct slice body, struct arena *a, struct canon_answer *ret)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    const char *why = "";
    if (dialect_cohere.read_answer(body, &x, a, ret, &why) != 0)
        fail_msg("%s", why);
}

static void
assert_reads(const char *body, const char *want)
{
    struct canon_answer got;
    struct buf text;
    struct arena a;
    arena_init(&a, 0);
    buf_init(&text, 0);
    read_answer(slice_of(body), &a, &got);
    recorded_write(&text, &got);
    assert_slice_is(buf_slice(&text), want);
    buf_free(&text);
    arena_free(&a);
}

static void
test_reads(void **state)
{
    (void)state;
    assert_reads("{\"id\":\"i\",\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":"
                 "\"thinking\",\"thinking\":\"hm\"},{\"type\":\"text\",\"text\":\"a b\"},"
                 "{\"type\":\"text\",\"text\":\"\"}],"
                 "\"citations\":[{\"start\":0,\"end\":1,\"content_index\":1},{\"start\":2,"
                 "\"end\":3,\"content_index\":0}]},\"finish_reason\":\"COMPLETE\",\"usage\":{"
                 "\"billed_units\":{\"input_tokens\":1,\"output_tokens\":2},\"tokens\":{"
                 "\"input_tokens\":10.0,\"output_tokens\":20},\"cached_tokens\":4}}",
                 "2[hm|||||]0[a b|||||{0-1 {\"start\":0,\"end\":1,\"content_index\":1}}"
                 "{2-3 {\"start\":2,\"end\":3,\"content_index\":0}}]1 COMPLETE;"
                 "6,4,0,0,20,0,0,0,0,0,");
    assert_reads("{\"message\":{\"tool_plan\":\"I will\",\"tool_calls\":[{\"id\":\"a\",\"type\":"
                 "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"null\"}},{\"id\":\"b\","
                 "\"function\":{\"name\":\"g\",\"arguments\":\"{\\n \\\"x\\\":1}\"}}]},"
                 "\"finish_reason\":\"TOOL_CALL\",\"usage\":{\"billed_units\":{\"input_tokens\":1,"
                 "\"output_tokens\":2}}}",
                 "2[I will|||||]6[|a|f|{}||]6[|b|g|{\n \"x\":1}||]4 TOOL_CALL;"
                 "1,0,0,0,2,0,0,0,0,0,");
    assert_reads("{\"message\":{\"content\":\"plain\"},\"finish_reason\":\"MAX_TOKENS\"}",
                 "0[plain|||||]3 MAX_TOKENS;0,0,0,0,0,0,0,0,0,0,");
    assert_reads("{\"message\":{},\"finish_reason\":\"TIMEOUT\"}",
                 "8 TIMEOUT;0,0,0,0,0,0,0,0,0,0,");
}

static void
test_reads_sources(void **state)
{
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    read_answer(
        SLICE("{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"ab\"}],"
              "\"citations\":[{\"start\":0,\"end\":2,\"sources\":[{\"type\":\"document\","
              "\"document\":{\"title\":\"T\",\"url\":\"https://u\",\"snippet\":\"s\"}}]}]}}"),
        &a, &got);
    const struct canon_citation *c = got.choices[0].parts[0].citations;
    assert_slice_is(c->title, "T");
    assert_slice_is(c->url, "https://u");
    assert_slice_is(c->cited_text, "s");
    assert_int_equal(c->origin, DIALECT_COHERE);
    arena_free(&a);
}

static void
test_no_answers(void **state)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "{\"message\":\"x\"}",
        "{\"message\":{\"content\":[{\"text\":3}]}}",
        "{\"message\":{\"tool_calls\":[{}]}}",
    };
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const char *why = NULL;
        assert_int_equal(dialect_cohere.read_answer(slice_of(bodies[i]), &x, &a, &got, &why),
                         ERR_PROTOCOL);
        assert_non_null(why);
    }
    arena_free(&a);
}

static void
test_usage(void **state)
{
    struct usage_report r = {0};
    (void)state;
    cohere_read_usage(json_view_of(SLICE("{\"tokens\":{\"input_tokens\":3,\"output_tokens\":1.5},"
                                         "\"cached_tokens\":9}")),
                      &r);
    assert_true(r.suspect && r.has_input && !r.has_output);
    assert_int_equal(r.tokens.cache_read, 3);
    assert_int_equal(r.tokens.input, 0);
    r = (struct usage_report){0};
    cohere_read_usage(json_view_of(SLICE("null")), &r);
    assert_false(r.seen || r.suspect);
}

static void
test_errors(void **state)
{
    static const struct {
        int status;
        const char *body, *message;
        enum canon_error_class kind;
    } rows[] = {
        {401, "{\"id\":\"1\",\"message\":\"invalid api token\"}", "invalid api token", ERROR_AUTH},
        {498, "{\"message\":\"blocked\"}", "blocked", ERROR_AUTH},
        {422, "{\"message\":\"bad\"}", "bad", ERROR_INVALID},
        {429, "{\"message\":\"slow\"}", "slow", ERROR_RATE},
        {503, "<html>", "The provider answered with an error and no readable message.",
         ERROR_OVERLOAD},
    };
    struct canon_error got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct dialect_fault f = {.status = rows[i].status, .body = slice_of(rows[i].body)};
        assert_int_equal(dialect_cohere.read_error(&f, &a, &got), 0);
        assert_slice_is(got.message, rows[i].message);
        assert_int_equal(got.kind, rows[i].kind);
        assert_int_equal(got.status, rows[i].status);
        assert_true(got.from_provider);
    }
    arena_free(&a);
}

/* --- streams ---------------------------------------------------------------------------------- */

static int
run(struct recorded_stream *s, const char *const *data, size_t count)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    recorded_begin(s, &dialect_cohere, &x);
    for (size_t i = 0; i < count; i++) {
        const struct wire_event e = {.data = slice_of(data[i])};
        if (!recorded_event(s, &e))
            break;
    }
    return s->err;
}
#define RUN(s, data) run(s, data, sizeof(data) / sizeof((data)[0]))

static void
assert_gathers(struct recorded_stream *s, const char *want)
{
    struct canon_answer got;
    struct buf text;
    buf_init(&text, 0);
    assert_true(gather_has_ended(s->gather));
    assert_int_equal(gather_answer(s->gather, &s->keep, &got), 0);
    recorded_write(&text, &got);
    assert_slice_is(buf_slice(&text), want);
    buf_free(&text);
    recorded_free(s);
}

#define START "{\"type\":\"message-start\",\"id\":\"i\",\"delta\":{\"message\":{}}}"
#define MESSAGE(type, index, inner)                                                                \
    "{\"type\":\"" type "\",\"index\":" index ",\"delta\":{\"message\":{" inner "}}}"
#define END(reason)                                                                                \
    "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"" reason "\",\"usage\":{\"tokens\":" \
    "{\"input_tokens\":3,\"output_tokens\":5},\"cached_tokens\":1}}}"

/* Texts whose citations come behind their end; thinking before them. */
static void
test_stream_texts(void **state)
{
    static const char *const data[] = {
        START,
        MESSAGE("content-start", "0", "\"content\":{\"type\":\"thinking\",\"thinking\":\"\"}"),
        MESSAGE("content-delta", "0", "\"content\":{\"thinking\":\"hm\"}"),
        MESSAGE("content-end", "0", ""),
        MESSAGE("content-start", "1", "\"content\":{\"type\":\"text\",\"text\":\"\"}"),
        MESSAGE("content-delta", "1", "\"content\":{\"text\":\"a\"}"),
        MESSAGE("content-delta", "1", "\"content\":{\"text\":\" b\"}"),
        MESSAGE("content-end", "1", ""),
        MESSAGE("citation-start", "0", "\"citations\":{\"start\":0,\"end\":1}"),
        MESSAGE("citation-end", "0", ""),
        MESSAGE("later-event", "0", ""),
        MESSAGE("content-start", "2", "\"content\":{\"type\":\"text\",\"text\":\"c\"}"),
        END("COMPLETE"),
        "[DONE]",
    };
    struct recorded_stream s;
    (void)state;
    assert_int_equal(RUN(&s, data), 0);
    assert_gathers(&s, "2[hm|||||]0[a b|||||{0-1 {\"start\":0,\"end\":1}}]0[c|||||]"
                       "1 COMPLETE;2,1,0,0,5,0,0,0,0,0,");
}

static void
test_stream_calls(void **state)
{
#define CALL_START(index, id)                                                                      \
    MESSAGE("tool-call-start", index,                                                              \
            "\"tool_calls\":{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":"      \
            "\"f\",\"arguments\":\"\"}}")
#define CALL_DELTA(index, text)                                                                    \
    MESSAGE("tool-call-delta", index, "\"tool_calls\":{\"function\":{\"arguments\":\"" text "\"}}")
    static const char *const data[] = {
        START,
        MESSAGE("tool-plan-delta", "0", "\"tool_plan\":\"I\""),
        MESSAGE("tool-plan-delta", "0", "\"tool_plan\":\" will\""),
        CALL_START("0", "a"),
        CALL_DELTA("0", "{\\n"),
        CALL_DELTA("0", "}"),
        MESSAGE("tool-call-end", "0", ""),
        CALL_START("1", "b"),
        MESSAGE("tool-call-end", "1", ""),
        CALL_START("2", "c"),
        CALL_DELTA("2", "nu"),
        CALL_DELTA("2", "ll"),
        END("TOOL_CALL"),
    };
    struct recorded_stream s;
    struct canon_part plan;
    (void)state;
    assert_int_equal(RUN(&s, data), 0);
    assert_true(gather_part(s.gather, 0, 0, &plan));
    assert_slice_is(plan.raw, "{\"tool_plan\":true}");
    assert_gathers(&s, "2[I will|||||]6[|a|f|{\n}||]6[|b|f|{}||]6[|c|f|{}||]"
                       "4 TOOL_CALL;2,1,0,0,5,0,0,0,0,0,");
}

static void
test_stream_errors(void **state)
{
    static const char *const ended[] = {
        START, "{\"type\":\"message-end\",\"delta\":{\"error\":\"internal\",\"finish_reason\":"
               "\"ERROR\"}}"};
    static const char *const bare[] = {"{\"message\":\"too many\"}"};
    struct recorded_stream s;
    (void)state;
    assert_int_equal(RUN(&s, ended), 0);
    assert_true(s.has_error);
    assert_slice_is(s.error.message, "internal");
    assert_int_equal(s.error.kind, ERROR_UPSTREAM);
    assert_false(gather_has_ended(s.gather));
    recorded_free(&s);
    assert_int_equal(RUN(&s, bare), 0);
    assert_true(s.has_error);
    assert_slice_is(s.error.message, "too many");
    recorded_free(&s);
}

static void
test_stream_cut_and_malformed(void **state)
{
    static const char *const cut[] = {
        START, MESSAGE("content-delta", "0", "\"content\":{\"text\":\"a\"}")};
    static const char *const bad[][2] = {
        {"[]", ""},
        {"{", ""},
        {END("COMPLETE"), ""}, /* before the start */
        {START, START},
        {START, CALL_DELTA("0", "{}")},
        {START, MESSAGE("tool-call-start", "0", "\"tool_calls\":{}")},
        {START, MESSAGE("content-delta", "0", "\"content\":{\"text\":3}")},
        {START, MESSAGE("citation-start", "0", "\"citations\":3")},
    };
    struct recorded_stream s;
    const struct canon_sink sink = {recorded_take, &s};
    (void)state;
    assert_int_equal(RUN(&s, cut), 0);
    assert_int_equal(dialect_cohere.decoder->end(s.state, &sink), ERR_TRUNCATED);
    recorded_free(&s);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(run(&s, bad[i], bad[i][1][0] ? 2 : 1), ERR_PROTOCOL);
        recorded_free(&s);
    }
}

/* --- recordings ------------------------------------------------------------------------------- */

static void
decode(const struct recorded_case *r, size_t first, size_t piece, struct buf *text, bool check)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    struct recorded_stream s;
    struct canon_answer got;
    recorded_begin(&s, &dialect_cohere, &x);
    recorded_feed(&s, buf_slice(&r->response), first, piece);
    assert_int_equal(s.err, 0);
    assert_true(gather_has_ended(s.gather));
    assert_int_equal(gather_answer(s.gather, &s.keep, &got), 0);
    if (check)
        recorded_check(r, &got, false);
    buf_init(text, 0);
    recorded_write(text, &got);
    recorded_free(&s);
}

static void
check_stream(const struct recorded_case *r)
{
    struct buf whole, split;
    decode(r, r->response.len, 1, &whole, true);
    for (size_t at = 1; at<r->response.len; at += r->response.len> 8192 ? 13 : 3) {
        decode(r, at, at % 2 ? SIZE_MAX : 1 + at % 50, &split, false);
        assert_true(slice_eq(buf_slice(&whole), buf_slice(&split)));
        buf_free(&split);
    }
    buf_free(&whole);
}

static size_t streams;

static void
check_case(const struct recorded_case *r)
{
    int64_t status = 0;
    struct canon_answer got;
    struct canon_error error;
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(json_to_int(json_get(r->meta, "status"), &status), 0);
    if (status != 200) {
        const struct dialect_fault f = {.status = (int)status, .body = buf_slice(&r->response)};
        assert_int_equal(dialect_cohere.read_error(&f, &a, &error), 0);
        assert_slice_is(error.message, "Constructed: invalid api token");
    } else if (slice_ends(json_str(json_get(r->meta, "body_file")), SLICE(".sse"))) {
        check_stream(r);
        streams++;
    } else {
        read_answer(buf_slice(&r->response), &a, &got);
        recorded_check(r, &got, false);
    }
    arena_free(&a);
}

static void
test_recorded(void **state)
{
    (void)state;
    size_t cases = recorded_each("cohere", "cohere.v2.chat", check_case);
    print_message("%zu cases, %zu of them streams\n", cases, streams);
    if (cases == 0)
        skip();
    assert_true(cases - streams > 5 && streams > 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_stop_limit),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_media),
        cmocka_unit_test(test_features_refused),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_reads_sources),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_stream_texts),
        cmocka_unit_test(test_stream_calls),
        cmocka_unit_test(test_stream_errors),
        cmocka_unit_test(test_stream_cut_and_malformed),
        cmocka_unit_test(test_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
