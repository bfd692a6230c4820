/* Clients who speak Anthropic's dialect: their requests, and what they are answered. */
#include "tests/unit/check.h"

#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/json/view.h"

static struct arena arena;
static const struct dialect *const anthropic = &dialect_anthropic;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static int
read_request(const char *body, struct canon_request *q, struct dialect_refusal *why)
{
    struct request_brief brief;
    struct dialect_call call = {0};
    memset(why, 0, sizeof(*why));
    int err = anthropic->brief(slice_of(body), &call, &arena, &brief, why);
    return err ? err : anthropic->read_request(slice_of(body), &call, &arena, q, why);
}

static struct canon_request
good_request(const char *body)
{
    struct canon_request q;
    struct dialect_refusal why;
    if (read_request(body, &q, &why) != 0)
        fail_msg("%s\n%s: %s", body, why.member, why.message);
    return q;
}

#define HEAD "{\"model\":\"m\",\"max_tokens\":2000,"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void
test_members_of_a_request(void **state)
{
    (void)state;
    struct canon_request q = good_request(
        HEAD USER ",\"stream\":true,\"temperature\":0.50,\"top_p\":1e-1,\"top_k\":40,"
                  "\"stop_sequences\":[\"a\",\"b\"],\"metadata\":{\"user_id\":\"u\"},"
                  "\"service_tier\":\"standard_only\",\"system\":\"S\","
                  "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\","
                  "\"disable_parallel_tool_use\":true},"
                  "\"output_config\":{\"effort\":\"max\",\"task_budget\":{\"n\":1},"
                  "\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}},"
                  "\"container\":\"c\",\"mcp_servers\":[{}],\"speed\":null}");
    assert_int_equal(q.origin, DIALECT_ANTHROPIC);
    assert_true(q.stream);
    assert_true(q.include_usage);
    assert_int_equal(q.max_tokens, 2000);
    assert_slice_is(q.temperature, "0.50");
    assert_slice_is(q.top_p, "1e-1");
    assert_slice_is(q.top_k, "40");
    assert_int_equal(q.stop_count, 2);
    assert_slice_is(q.user, "u");
    assert_slice_is(q.service_tier, "default");
    assert_int_equal(q.tool_choice, CHOICE_NAMED);
    assert_slice_is(q.tool_choice_name, "f");
    assert_int_equal(q.parallel_tools, TRI_NO);
    assert_slice_is(q.reasoning.effort, "max");
    assert_int_equal(q.reasoning.budget, -1);
    assert_int_equal(q.format, FORMAT_SCHEMA);
    assert_slice_is(q.format_schema_raw, "{\"type\":\"object\"}");
    assert_int_equal(q.message_count, 2);
    assert_int_equal(q.messages[0].role, ROLE_SYSTEM);
    assert_slice_is(q.messages[0].parts[0].text, "S");
    assert_int_equal(q.extra_count, 3);
    assert_slice_is(q.extras[0].name, "output_config.task_budget");
    assert_slice_is(q.extras[1].name, "container");
    assert_slice_is(q.extras[2].raw, "[{}]");
}

static void
test_thinking(void **state)
{
    (void)state;
    static const struct {
        const char *given;
        int64_t budget;
        enum tri show;
    } rows[] = {
        {"{\"type\":\"enabled\",\"budget_tokens\":1024}", 1024, TRI_YES},
        {"{\"type\":\"adaptive\"}", -2, TRI_ABSENT},
        {"{\"type\":\"adaptive\",\"display\":\"summarized\"}", -2, TRI_YES},
        {"{\"type\":\"adaptive\",\"display\":\"omitted\"}", -2, TRI_NO},
        {"{\"type\":\"disabled\"}", 0, TRI_ABSENT},
        {"null", -1, TRI_ABSENT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body), HEAD USER ",\"thinking\":%s}", rows[i].given);
        struct canon_request q = good_request(body);
        assert_int_equal(q.reasoning.budget, rows[i].budget);
        assert_int_equal(q.reasoning.show, rows[i].show);
    }
}

static void
test_blocks_become_parts(void **state)
{
    (void)state;
    struct canon_request q = good_request(
        HEAD
        "\"messages\":["
        "{\"role\":\"user\",\"content\":["
        "{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":"
        "\"1h\"}},"
        "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":"
        "\"QUJD\"}},"
        "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}},"
        "{\"type\":\"document\",\"title\":\"T\",\"context\":\"C\",\"citations\":{\"enabled\":true},"
        "\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"doc\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"text\","
        "\"text\":\"d1\"},{\"type\":\"text\",\"text\":\"d2\"}]}},"
        "{\"type\":\"search_result\",\"source\":\"s\",\"title\":\"t\",\"content\":[]}]},"
        "{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"SIG\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"ENC\"},"
        "{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{ }},"
        "{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"x\": 1},\"caller\":"
        "{\"type\":\"direct\"}}]},"
        "{\"role\":\"user\",\"content\":["
        "{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"is_error\":true,\"content\":["
        "{\"type\":\"text\",\"text\":\"r\"},{\"type\":\"image\",\"source\":{\"type\":\"url\","
        "\"url\":"
        "\"https://y\"}}]},"
        "{\"type\":\"text\",\"text\":\"and\"}]}]}");
    assert_int_equal(q.message_count, 4);
    const struct canon_part *p = q.messages[0].parts;
    assert_int_equal(q.messages[0].count, 6);
    assert_int_equal(p[0].cache, CACHE_1H);
    assert_slice_is(p[1].media.mime, "image/png");
    assert_slice_is(p[1].media.data, "QUJD");
    assert_slice_is(p[2].media.url, "https://x");
    assert_int_equal(p[3].kind, PART_FILE);
    assert_slice_is(p[3].media.text, "doc");
    assert_slice_is(p[3].media.name, "T");
    assert_slice_is(p[3].raw, "{\"context\":\"C\",\"citations\":{\"enabled\":true}}");
    assert_slice_is(p[4].media.text, "d1d2");
    assert_int_equal(p[5].kind, PART_OPAQUE);
    assert_slice_is(p[5].raw,
                    "{\"type\":\"search_result\",\"source\":\"s\",\"title\":\"t\",\"content\":[]}");
    p = q.messages[1].parts;
    assert_slice_is(p[0].signature, "SIG");
    assert_int_equal(p[0].origin, DIALECT_ANTHROPIC);
    assert_slice_is(p[1].encrypted, "ENC");
    assert_slice_is(p[2].raw, "{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":"
                              "\"web_search\",\"input\":{ }}");
    assert_slice_is(p[3].arguments, "{\"x\": 1}");
    assert_slice_is(p[3].raw, "{\"caller\":{\"type\":\"direct\"}}");
    assert_int_equal(q.messages[2].role, ROLE_TOOL);
    p = q.messages[2].parts;
    assert_true(p[0].is_error);
    assert_slice_is(p[0].name, "f");
    assert_int_equal(p[0].part_count, 2);
    assert_slice_is(p[0].parts[1].media.url, "https://y");
    assert_int_equal(q.messages[3].role, ROLE_USER);
}

static void
test_tools(void **state)
{
    (void)state;
    struct canon_request q = good_request(
        HEAD USER ",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":"
                  "{\"type\":\"object\"},\"strict\":true,\"defer_loading\":true,"
                  "\"cache_control\":{\"type\":\"ephemeral\"}},"
                  "{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\": 5}]}");
    assert_int_equal(q.tool_count, 2);
    assert_int_equal(q.tools[0].kind, TOOL_FUNCTION);
    assert_slice_is(q.tools[0].schema_raw, "{\"type\":\"object\"}");
    assert_int_equal(q.tools[0].strict, TRI_YES);
    assert_int_equal(q.tools[0].cache, CACHE_5M);
    assert_slice_is(q.tools[0].raw, "{\"defer_loading\":true}");
    assert_int_equal(q.tools[1].kind, TOOL_HOSTED);
    assert_int_equal(q.tools[1].origin, DIALECT_ANTHROPIC);
    assert_slice_is(q.tools[1].raw,
                    "{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\": 5}");
}

static void
test_caching_by_itself_marks_the_last_block(void **state)
{
    (void)state;
    struct canon_request q =
        good_request(HEAD USER ",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}");
    assert_int_equal(q.messages[0].parts[0].cache, CACHE_1H);
    assert_int_equal(q.extra_count, 0);
}

static void
test_refusals_name_the_member(void **state)
{
    (void)state;
#define TURN(content) "\"messages\":[{\"role\":\"user\",\"content\":" content "}]"
    static const struct {
        const char *body, *member;
    } rows[] = {
        {"\"messages\":[]", "messages"},
        {"\"messages\":[7]", "messages.0.role"},
        {"\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]", "messages.0.role"},
        {"\"messages\":[{\"role\":\"user\"}]", "messages.0.content"},
        {TURN("[7]"), "messages.0.content.0"},
        {TURN("[{\"type\":\"text\"}]"), "messages.0.content.0"},
        {TURN("[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image\"}]"), "messages.0.content.1"},
        {TURN("[{\"type\":\"image\",\"source\":{\"type\":\"tape\"}}]"), "messages.0.content.0"},
        {TURN("[{\"type\":\"image\",\"source\":{\"type\":\"text\",\"data\":\"x\"}}]"),
         "messages.0.content.0"},
        {TURN("[{\"type\":\"tool_result\"}]"), "messages.0.content.0"},
        {TURN("[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":[]}]"),
         "messages.0.content.0"},
        {TURN("[{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{\"type\":\"eternal\"}}]"),
         "messages.0.content.0"},
        {TURN("[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"hg1.x.y\"}]"),
         "messages.0.content.0"},
        {"\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_result\","
         "\"tool_use_id\":\"a\"}]}]",
         "messages.0.content.0"},
        {USER ",\"system\":7", "system"},
        {USER ",\"system\":[{\"type\":\"image\"}]", "system"},
        {USER ",\"temperature\":\"hot\"", "temperature"},
        {USER ",\"stop_sequences\":\"x\"", "stop_sequences"},
        {USER ",\"stop_sequences\":[1]", "stop_sequences"},
        {USER ",\"tools\":{}", "tools"},
        {USER ",\"tools\":[{\"name\":\"f\"}]", "tools.0"},
        {USER ",\"tools\":[{\"input_schema\":{}}]", "tools.0"},
        {USER ",\"tool_choice\":{\"type\":\"some\"}", "tool_choice.type"},
        {USER ",\"tool_choice\":{\"type\":\"tool\"}", "tool_choice.name"},
        {USER ",\"thinking\":{\"type\":\"deep\"}", "thinking.type"},
        {USER ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1023}",
         "thinking.budget_tokens"},
        {USER ",\"output_config\":[]", "output_config"},
        {USER ",\"output_config\":{\"effort\":\"huge\"}", "output_config.effort"},
        {USER ",\"output_config\":{\"format\":{\"type\":\"xml\"}}", "output_config.format.type"},
        {USER ",\"output_format\":{\"type\":\"json_schema\"}", "output_format.schema"},
        {USER ",\"metadata\":{\"user_id\":7}", "metadata.user_id"},
        {USER ",\"cache_control\":{}", "cache_control"},
        {USER ",\"system\":\"a\",\"system\":\"b\"", "system"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct canon_request q;
        struct dialect_refusal why;
        snprintf(body, sizeof(body), HEAD "%s}", rows[i].body);
        int err = read_request(body, &q, &why);
        if (err != ERR_SYNTAX || strcmp(why.member, rows[i].member) != 0 || !why.message[0])
            fail_msg("%s: %d, member '%s': %s", rows[i].body, err, why.member, why.message);
    }
}

static void
test_stops_are_bounded(void **state)
{
    (void)state;
    char body[1024] = HEAD USER ",\"stop_sequences\":[\"0\"";
    for (int i = 1; i < LIMIT_STOPS; i++)
        snprintf(body + strlen(body), sizeof(body) - strlen(body), ",\"%d\"", i);
    size_t n = strlen(body);
    struct canon_request q;
    struct dialect_refusal why;
    snprintf(body + n, sizeof(body) - n, "]}");
    assert_int_equal(read_request(body, &q, &why), 0);
    assert_int_equal(q.stop_count, LIMIT_STOPS);
    snprintf(body + n, sizeof(body) - n, ",\"x\"]}");
    assert_int_equal(read_request(body, &q, &why), ERR_SYNTAX);
    assert_string_equal(why.member, "stop_sequences");
}

/* --- what comes of others --------------------------------------------------------------------- */

static const struct canon_part foreign_parts[] = {
    {.kind = PART_REASONING,
     .origin = DIALECT_RESPONSES,
     .text = SLICE("hm"),
     .id = SLICE("rs_1"),
     .encrypted = SLICE("ENC")},
    {.kind = PART_REASONING, .origin = DIALECT_GEMINI, .signature = SLICE("c2ln")},
    {.kind = PART_TEXT, .origin = DIALECT_CHAT, .text = SLICE("so")},
    {.kind = PART_TEXT, .origin = DIALECT_CHAT, .text = SLICE("")},
    {.kind = PART_TOOL_CALL,
     .origin = DIALECT_GEMINI,
     .id = SLICE("c1"),
     .name = SLICE("f"),
     .signature = SLICE("SIG"),
     .arguments = SLICE("{\"x\":1}")},
    {.kind = PART_TOOL_CALL,
     .origin = DIALECT_CHAT,
     .id = SLICE("c2"),
     .name = SLICE("g"),
     .arguments = SLICE("null")},
    {.kind = PART_OPAQUE,
     .origin = DIALECT_RESPONSES,
     .id = SLICE("ws_1"),
     .raw = SLICE("{\"type\":\"web_search_call\"}")},
};
static const struct canon_choice_answer foreign_choice = {.parts = foreign_parts,
                                                          .count = sizeof(foreign_parts) /
                                                                   sizeof(foreign_parts[0]),
                                                          .finish = FINISH_TOOL_CALLS};
static const struct canon_answer foreign = {
    .id = SLICE("chatcmpl-1"),
    .origin = DIALECT_CHAT,
    .choices = &foreign_choice,
    .choice_count = 1,
    .usage = {.seen = true, .tokens = {.input = 5, .cache_read = 3, .output = 7, .reasoning = 2}}};
static const struct answer_names names = {.id = {"abc", 3}, .model = {"my-model", 8}};

static struct slice
written(const struct canon_answer *answer)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(anthropic->write_answer(NULL, answer, &names, &b), 0);
    struct slice s = arena_copy(&arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* The content of an answer, sent back: what a provider's writer would get. */
static void
check_comes_back(struct slice content)
{
    char *body = arena_printf(&arena,
                              HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":%.*s},"
                                   "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                                   "\"tool_use_id\":\"c1\"}]}]}",
                              SLICE_ARG(content));
    struct canon_request q = good_request(body);
    const struct canon_part *p = q.messages[0].parts;
    assert_int_equal(q.messages[0].count, 6); /* all but the empty text */
    assert_int_equal(p[0].origin, DIALECT_RESPONSES);
    assert_slice_is(p[0].text, "hm");
    assert_slice_is(p[0].id, "rs_1");
    assert_slice_is(p[0].encrypted, "ENC");
    assert_int_equal(p[1].origin, DIALECT_GEMINI);
    assert_slice_is(p[1].signature, "c2ln");
    assert_slice_is(p[2].text, "so");
    assert_slice_is(p[3].id, "c1");
    assert_int_equal(p[3].origin, DIALECT_GEMINI);
    assert_slice_is(p[3].signature, "SIG");
    assert_slice_is(p[4].arguments, "{}");
    assert_int_equal(p[5].kind, PART_OPAQUE);
    assert_int_equal(p[5].origin, DIALECT_RESPONSES);
    assert_slice_is(p[5].raw, "{\"type\":\"web_search_call\"}");
    assert_slice_is(q.messages[1].parts[0].name, "f");
}

static void
test_foreign_state_travels_through_a_whole_answer(void **state)
{
    (void)state;
    struct slice answer = written(&foreign);
    struct json_view v = json_view_of(answer);
    assert_true(json_view_is(json_view_get(v, "id"), "msg_abc"));
    assert_true(json_view_is(json_view_get(v, "type"), "message"));
    assert_true(json_view_is(json_view_get(v, "role"), "assistant"));
    assert_true(json_view_is(json_view_get(v, "model"), "my-model"));
    assert_true(json_view_is(json_view_get(v, "stop_reason"), "tool_use"));
    assert_int_equal(json_view_get(v, "stop_sequence").kind, JSON_NULL_);
    struct json_view usage = json_view_get(v, "usage");
    assert_int_equal(json_view_int_or(json_view_get(usage, "input_tokens"), -1), 5);
    assert_int_equal(json_view_int_or(json_view_get(usage, "cache_read_input_tokens"), -1), 3);
    assert_int_equal(json_view_int_or(json_view_get(usage, "output_tokens"), -1), 9);
    check_comes_back(json_view_get(v, "content").raw);
}

/* --- streams ---------------------------------------------------------------------------------- */

struct stream {
    void *state;
    struct buf out;
    struct arena keep;
    int err;
};

static void
open_stream(struct stream *s)
{
    memset(s, 0, sizeof(*s));
    buf_init(&s->out, 0);
    s->state = calloc(1, anthropic->encoder->state_bytes);
    assert_int_equal(anthropic->encoder->init(s->state, &s->keep, NULL, &names), 0);
}

static void
close_stream(struct stream *s)
{
    anthropic->encoder->fini(s->state);
    free(s->state);
    buf_free(&s->out);
    arena_free(&s->keep);
}

static int
tell(void *ctx, const struct canon_event *e)
{
    struct stream *s = ctx;
    return anthropic->encoder->event(s->state, e, &s->out);
}

static void
give(struct stream *s, struct canon_event e)
{
    assert_int_equal(tell(s, &e), 0);
}

/* The stream in short: one word an event. */
static void
check_order(struct stream *s, const char *want)
{
    char got[2048] = "";
    struct slice rest = buf_slice(&s->out);
    while (rest.len) {
        struct slice name = slice_cut(&rest, '\n'), data = slice_cut(&rest, '\n');
        slice_cut(&rest, '\n');
        assert_true(slice_starts(name, SLICE("event: ")));
        assert_true(slice_starts(data, SLICE("data: ")));
        struct json_view v = json_view_of(slice_from(data, 6));
        struct json_view type = json_view_get(v, "type"), index = json_view_get(v, "index");
        assert_true(slice_eq(slice_from(name, 7), slice_make(type.raw.at + 1, type.raw.len - 2)));
        const char *word = memmem(type.raw.at, type.raw.len, "_start", 6)   ? "+"
                           : memmem(type.raw.at, type.raw.len, "_delta", 6) ? "."
                                                                            : "-";
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%.*s ", word,
                 SLICE_ARG(index.raw));
        if (rest.at && rest.len == 0)
            break;
    }
    assert_string_equal(got, want);
}

static void
test_foreign_state_travels_through_a_stream(void **state)
{
    (void)state;
    struct stream s;
    struct canon_sink sink = {tell, &s};
    open_stream(&s);
    assert_int_equal(gather_replay(&foreign, &sink), 0);
    /* what the SDKs make of it: our own decoder stands for them */
    struct dialect_exchange x = {0};
    void *decoder = calloc(1, anthropic->decoder->state_bytes);
    struct gather *g = gather_new(1 << 20);
    struct canon_sink into = {(int (*)(void *, const struct canon_event *))gather_event, g};
    struct slice rest = buf_slice(&s.out);
    struct canon_answer got;
    assert_int_equal(anthropic->decoder->init(decoder, &s.keep, &x), 0);
    while (rest.len) {
        slice_cut(&rest, '\n');
        struct wire_event e = {.data = slice_from(slice_cut(&rest, '\n'), 6)};
        slice_cut(&rest, '\n');
        assert_int_equal(anthropic->decoder->event(decoder, &e, &arena, &into), 0);
    }
    assert_true(gather_has_ended(g));
    assert_int_equal(gather_answer(g, &arena, &got), 0);
    assert_slice_is(got.id, "msg_abc");
    assert_slice_is(got.model, "my-model");
    assert_int_equal(got.usage.tokens.input, 5);
    assert_int_equal(got.usage.tokens.cache_read, 3);
    assert_int_equal(got.usage.tokens.reasoning, 2);
    assert_int_equal(got.choices[0].finish, FINISH_TOOL_CALLS);
    check_comes_back(json_view_get(json_view_of(written(&got)), "content").raw);
    gather_free(g);
    free(decoder);
    close_stream(&s);
}

#define PART(k, n) .kind = EVENT_##k, .part = (n)

static void
test_blocks_come_one_after_the_other(void **state)
{
    (void)state;
    struct stream s;
    struct canon_part call = {.kind = PART_TOOL_CALL, .id = SLICE("a"), .name = SLICE("f")};
    open_stream(&s);
    give(&s, (struct canon_event){.kind = EVENT_START});
    give(&s, (struct canon_event){PART(PART_START, 0), .of.kind = PART_TEXT});
    give(&s, (struct canon_event){PART(PART_START, 1), .of = call});
    give(&s, (struct canon_event){PART(PART_START, 2), .of = call});
    give(&s, (struct canon_event){PART(PART_START, 3), .of = call});
    give(&s, (struct canon_event){PART(DELTA, 2), .text = SLICE("{\"y\":")});
    give(&s, (struct canon_event){PART(DELTA, 1), .text = SLICE("{\"x\":")});
    give(&s, (struct canon_event){PART(DELTA, 2), .text = SLICE("2}")});
    give(&s, (struct canon_event){PART(PART_END, 3)});
    give(&s, (struct canon_event){PART(DELTA, 1), .text = SLICE("1}")});
    check_order(&s, "+ +0 .0 .0 ");
    give(&s, (struct canon_event){PART(PART_END, 1)});
    check_order(&s, "+ +0 .0 .0 -0 +1 .1 .1 ");
    give(&s, (struct canon_event){PART(PART_END, 2)});
    check_order(&s, "+ +0 .0 .0 -0 +1 .1 .1 -1 +2 -2 ");
    give(&s, (struct canon_event){PART(PART_END, 0)}); /* nothing came of it */
    give(&s, (struct canon_event){.kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS});
    give(&s, (struct canon_event){.kind = EVENT_END});
    check_order(&s, "+ +0 .0 .0 -0 +1 .1 .1 -1 +2 -2 . - ");
    close_stream(&s);
}

static void
test_an_end_closes_what_is_open(void **state)
{
    (void)state;
    struct stream s;
    open_stream(&s);
    give(&s, (struct canon_event){.kind = EVENT_START});
    give(&s, (struct canon_event){PART(PART_START, 0), .of.kind = PART_TEXT});
    give(&s, (struct canon_event){PART(DELTA, 0), .text = SLICE("x")});
    give(&s, (struct canon_event){.kind = EVENT_FINISH,
                                  .finish = FINISH_STOP_SEQUENCE,
                                  .stop_sequence = SLICE("\"!")});
    give(&s, (struct canon_event){.kind = EVENT_USAGE,
                                  .usage = {.seen = true, .tokens = {.input = 4, .output = 2}}});
    give(&s, (struct canon_event){.kind = EVENT_END});
    check_order(&s, "+ +0 .0 -0 . - ");
    assert_non_null(strstr(buf_str(&s.out), "\"stop_sequence\":\"\\\"!\""));
    assert_non_null(strstr(buf_str(&s.out),
                           "\"usage\":{\"input_tokens\":4,\"cache_creation_input_tokens\":0,"
                           "\"cache_read_input_tokens\":0,\"output_tokens\":2}"));
    close_stream(&s);
}

static void
test_what_is_held_is_bounded(void **state)
{
    (void)state;
    struct stream s;
    struct canon_part call = {.kind = PART_TOOL_CALL, .id = SLICE("a"), .name = SLICE("f")};
    size_t n = 1 << 20;
    char *text = malloc(n);
    int err = 0, taken = 0;
    assert_non_null(text);
    memset(text, 'x', n);
    open_stream(&s);
    give(&s, (struct canon_event){.kind = EVENT_START});
    give(&s, (struct canon_event){PART(PART_START, 0), .of = call});
    give(&s, (struct canon_event){PART(DELTA, 0), .text = SLICE("{")});
    give(&s, (struct canon_event){PART(PART_START, 1), .of = call});
    for (; taken < 16 && !err; taken += !err)
        err = tell(&s, &(struct canon_event){PART(DELTA, 1), .text = slice_make(text, n)});
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(taken, 7);
    close_stream(&s);
    open_stream(&s);
    give(&s, (struct canon_event){.kind = EVENT_START});
    for (unsigned i = 0; i < 128; i++)
        give(&s, (struct canon_event){PART(PART_START, i), .of = call});
    assert_int_equal(tell(&s, &(struct canon_event){PART(PART_START, 128), .of = call}), ERR_LIMIT);
    assert_int_equal(tell(&s, &(struct canon_event){PART(DELTA, 500)}), ERR_PROTOCOL);
    close_stream(&s);
    free(text);
}

static void
test_reasons_for_clients(void **state)
{
    (void)state;
    static const struct {
        enum canon_finish finish;
        const char *want;
    } rows[] = {
        {FINISH_NONE, "end_turn"},       {FINISH_STOP, "end_turn"},
        {FINISH_LENGTH, "max_tokens"},   {FINISH_STOP_SEQUENCE, "stop_sequence"},
        {FINISH_TOOL_CALLS, "tool_use"}, {FINISH_CONTENT_FILTER, "refusal"},
        {FINISH_REFUSAL, "refusal"},     {FINISH_PAUSE, "pause_turn"},
        {FINISH_ERROR, "refusal"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_choice_answer c = {.finish = rows[i].finish};
        struct canon_answer a = {.choices = &c, .choice_count = 1};
        struct json_view v = json_view_get(json_view_of(written(&a)), "stop_reason");
        assert_true(json_view_is(v, rows[i].want));
    }
    struct canon_part words = {.kind = PART_REFUSAL, .text = SLICE("no")};
    struct canon_choice_answer c = {.finish = FINISH_STOP, .parts = &words, .count = 1};
    struct canon_answer a = {.choices = &c, .choice_count = 1};
    struct json_view v = json_view_of(written(&a));
    assert_true(json_view_is(json_view_get(v, "stop_reason"), "refusal"));
    assert_slice_is(json_view_get(v, "content").raw, "[{\"type\":\"text\",\"text\":\"no\"}]");
}

/* --- errors ----------------------------------------------------------------------------------- */

static void
test_errors(void **state)
{
    (void)state;
    static const struct {
        enum canon_error_class kind;
        const char *word;
    } rows[] = {
        {ERROR_INVALID, "invalid_request_error"},
        {ERROR_AUTH, "authentication_error"},
        {ERROR_BILLING, "billing_error"},
        {ERROR_DENIED, "permission_error"},
        {ERROR_NOT_FOUND, "not_found_error"},
        {ERROR_TOO_LARGE, "request_too_large"},
        {ERROR_RATE, "rate_limit_error"},
        {ERROR_SERVER, "api_error"},
        {ERROR_UPSTREAM, "api_error"},
        {ERROR_OVERLOAD, "overloaded_error"},
        {ERROR_TIMEOUT, "timeout_error"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_error e = {
            .kind = rows[i].kind, .message = SLICE("a \"b\""), .request_id = SLICE("req_1")};
        char want[256];
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(anthropic->write_error_event(&e, &b), 0);
        snprintf(want, sizeof(want),
                 "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":"
                 "\"a \\\"b\\\"\"},\"request_id\":\"req_1\"}\n\n",
                 rows[i].word);
        assert_slice_is(buf_slice(&b), want);
        buf_free(&b);
    }
}

static void
test_a_providers_errors(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *message;
        enum canon_error_class kind;
    } rows[] = {
        {529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}",
         "busy", ERROR_OVERLOAD},
        {401,
         "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"k\"}}",
         "k", ERROR_AUTH},
        {400, "{\"error\":\"plain\"}", "plain", ERROR_INVALID},
        {502, "<html>Bad gateway</html>",
         "The provider answered with an error and no readable message.", ERROR_UPSTREAM},
        {503, "", "The provider answered with an error and no readable message.", ERROR_OVERLOAD},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_fault f = {.status = rows[i].status, .body = slice_of(rows[i].body)};
        struct canon_error e;
        assert_int_equal(anthropic->read_error(&f, &arena, &e), 0);
        assert_slice_is(e.message, rows[i].message);
        assert_int_equal(e.kind, rows[i].kind);
        assert_int_equal(e.status, rows[i].status);
        assert_true(e.from_provider);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_members_of_a_request, tear_down),
        cmocka_unit_test_teardown(test_thinking, tear_down),
        cmocka_unit_test_teardown(test_blocks_become_parts, tear_down),
        cmocka_unit_test_teardown(test_tools, tear_down),
        cmocka_unit_test_teardown(test_caching_by_itself_marks_the_last_block, tear_down),
        cmocka_unit_test_teardown(test_refusals_name_the_member, tear_down),
        cmocka_unit_test_teardown(test_stops_are_bounded, tear_down),
        cmocka_unit_test_teardown(test_foreign_state_travels_through_a_whole_answer, tear_down),
        cmocka_unit_test_teardown(test_foreign_state_travels_through_a_stream, tear_down),
        cmocka_unit_test_teardown(test_blocks_come_one_after_the_other, tear_down),
        cmocka_unit_test_teardown(test_an_end_closes_what_is_open, tear_down),
        cmocka_unit_test_teardown(test_what_is_held_is_bounded, tear_down),
        cmocka_unit_test_teardown(test_reasons_for_clients, tear_down),
        cmocka_unit_test_teardown(test_errors, tear_down),
        cmocka_unit_test_teardown(test_a_providers_errors, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
