/* Streams in Responses: of providers, as canonical events; and canonical events as clients get
 * them. */
#include "tests/unit/check.h"

#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/http/sse.h"
#include "lib/json/view.h"

static struct arena a;
static void *decoder;
static struct buf log_; /* the canonical events, a line each */
static struct canon_error last_error;
static struct usage_report last_usage;

/* --- providers -------------------------------------------------------------------------------- */

static int
note(void *ctx, const struct canon_event *e)
{
    static const char *const names[] = {"start",    "begin",    "delta",  "data",  "sign",  "cite",
                                        "part_end", "logprobs", "finish", "usage", "error", "end"};
    (void)ctx;
    struct slice extra = e->kind == EVENT_PART_START ? e->of.raw : e->text;
    if (e->kind == EVENT_ERROR)
        last_error = e->error;
    if (e->kind == EVENT_USAGE)
        last_usage = e->usage;
    return buf_addf(&log_, "%s %u %.*s%.*s%.*s%.*s\n", names[e->kind], e->part,
                    SLICE_ARG(e->kind == EVENT_START ? e->id : e->of.id), SLICE_ARG(e->of.name),
                    SLICE_ARG(extra), SLICE_ARG(e->of.encrypted));
}

static int
fresh(void **state)
{
    struct dialect_exchange x = {.request = NULL};
    (void)state;
    arena_init(&a, 0);
    decoder = arena_zalloc(&a, dialect_responses.decoder->state_bytes);
    buf_init(&log_, 0);
    return dialect_responses.decoder->init(decoder, &a, &x);
}

static int
done(void **state)
{
    (void)state;
    buf_free(&log_);
    arena_free(&a);
    return 0;
}

static int
feed(const char *data)
{
    struct canon_sink sink = {note, NULL};
    struct wire_event e = {.data = slice_of(data)};
    return dialect_responses.decoder->event(decoder, &e, &a, &sink);
}

static void
feed_all(const char *const *events, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (feed(events[i]) != 0)
            fail_msg("%s", events[i]);
}
#define FEED(events) feed_all(events, sizeof(events) / sizeof(events[0]))

static int
end(void)
{
    struct canon_sink sink = {note, NULL};
    return dialect_responses.decoder->end(decoder, &sink);
}

#define CREATED "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"model\":\"m\"}}"
#define COMPLETED(output)                                                                          \
    "{\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":" output   \
    ",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}"

static void
test_text(void **state)
{
    (void)state;
    static const char *const events[] = {
        CREATED,
        "{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":"
        "\"message\",\"id\":\"msg_1\",\"phase\":\"commentary\"}}",
        "{\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
        "\"item_id\":\"msg_1\",\"delta\":\"a\",\"logprobs\":[{\"token\":\"a\"}]}",
        "{\"type\":\"response.some_new_sign_of_progress\"}",
        "{\"type\":\"response.output_text.annotation.added\",\"output_index\":0,"
        "\"content_index\":0,\"annotation\":{\"type\":\"url_citation\",\"url\":\"u\"}}",
        "{\"type\":\"response.refusal.delta\",\"output_index\":0,\"content_index\":1,"
        "\"item_id\":\"msg_1\",\"delta\":\"no\"}",
        "{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\","
        "\"id\":\"msg_1\",\"phase\":\"commentary\",\"content\":[{\"type\":\"output_text\",\"text\":"
        "\"a\",\"annotations\":[{\"url\":\"u\"}]},{\"type\":\"refusal\",\"refusal\":\"no\"},"
        "{\"type\":\"output_text\",\"text\":\"late\"}]}}",
        COMPLETED("[]"),
        "[DONE]",
        "{\"type\":\"response.output_text.delta\",\"delta\":\"after the end\"}",
    };
    FEED(events);
    assert_string_equal(buf_str(&log_),
                        "start 0 resp_1\n"
                        "begin 0 msg_1{\"phase\":\"commentary\"}\n"
                        "delta 0 a\n"
                        "logprobs 0 {\"content\":[{\"token\":\"a\"}],\"refusal\":null}\n"
                        "cite 0 \n"
                        "part_end 0 \n"
                        "begin 1 msg_1{\"phase\":\"commentary\"}\n"
                        "delta 1 no\n"
                        "part_end 1 \n"
                        "begin 2 msg_1{\"phase\":\"commentary\"}\n"
                        "delta 2 late\n"
                        "part_end 2 \n"
                        "finish 0 completed\n"
                        "usage 0 \n"
                        "end 0 \n");
    assert_int_equal(last_usage.tokens.input, 3);
    assert_int_equal(last_usage.tokens.output, 4);
}

static void
test_calls_interleave_and_ids_change(void **state)
{
    (void)state;
    static const char *const events[] = {
        CREATED,
        "{\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":"
        "\"function_call\",\"id\":\"x1\",\"call_id\":\"c0\",\"name\":\"f\",\"arguments\":\"\"}}",
        "{\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":"
        "\"custom_tool_call\",\"call_id\":\"c1\",\"name\":\"g\",\"input\":\"\"}}",
        "{\"type\":\"response.function_call_arguments.delta\",\"output_index\":0,\"item_id\":"
        "\"x2\",\"delta\":\"{\\\"a\\\"\"}",
        "{\"type\":\"response.custom_tool_call_input.delta\",\"output_index\":1,\"delta\":\"raw\"}",
        "{\"type\":\"response.function_call_arguments.delta\",\"output_index\":0,\"item_id\":"
        "\"x3\",\"delta\":\":1}\"}",
        "{\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"type\":"
        "\"custom_tool_call\",\"call_id\":\"c1\",\"name\":\"g\",\"input\":\"raw\"}}",
        "{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":"
        "\"function_call\",\"id\":\"x4\",\"call_id\":\"c0\",\"name\":\"f\",\"arguments\":"
        "\"{\\\"a\\\":1}\"}}",
        "{\"type\":\"response.output_item.done\",\"output_index\":2,\"item\":{\"type\":"
        "\"function_call\",\"call_id\":\"c2\",\"name\":\"h\",\"arguments\":\"{}\"}}",
        COMPLETED("[]"),
    };
    FEED(events);
    assert_string_equal(buf_str(&log_), "start 0 resp_1\n"
                                        "begin 0 c0f{\"id\":\"x1\"}\n"
                                        "begin 1 c1g\n"
                                        "delta 0 {\"a\"\n"
                                        "delta 1 raw\n"
                                        "delta 0 :1}\n"
                                        "part_end 1 \n"
                                        "part_end 0 \n"
                                        "begin 2 c2h\n"
                                        "delta 2 {}\n"
                                        "part_end 2 \n"
                                        "finish 0 completed\n"
                                        "usage 0 \n"
                                        "end 0 \n");
}

static void
test_reasoning(void **state)
{
    (void)state;
    static const char *const events[] = {
        CREATED,
        "{\"type\":\"response.reasoning_text.delta\",\"output_index\":0,\"item_id\":\"rs_1\","
        "\"delta\":\"all of it\"}",
        "{\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":0,\"delta\":\"in "
        "short\"}",
        "{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":"
        "\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"text\":\"in short\"}],"
        "\"encrypted_content\":\"E\"}}",
        "{\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"type\":"
        "\"reasoning\",\"id\":\"rs_2\",\"summary\":[]}}",
        COMPLETED("[]"),
    };
    FEED(events);
    assert_string_equal(buf_str(&log_), "start 0 resp_1\n"
                                        "begin 0 rs_1\n"
                                        "delta 0 all of it\n"
                                        "part_end 0 E\n"
                                        "finish 0 completed\n"
                                        "usage 0 \n"
                                        "end 0 \n");
}

static void
test_terminal_fills_in(void **state)
{
    (void)state;
    static const char *const events[] = {
        CREATED,
        COMPLETED("[{\"type\":\"web_search_call\",\"id\":\"ws\"},{\"type\":\"message\",\"content\":"
                  "[{\"type\":\"output_text\",\"text\":\"t\"}]}]"),
    };
    FEED(events);
    assert_string_equal(buf_str(&log_), "start 0 resp_1\n"
                                        "begin 0 ws{\"type\":\"web_search_call\",\"id\":\"ws\"}\n"
                                        "part_end 0 \n"
                                        "begin 1 \n"
                                        "delta 1 t\n"
                                        "part_end 1 \n"
                                        "finish 0 completed\n"
                                        "usage 0 \n"
                                        "end 0 \n");
}

static void
test_failures(void **state)
{
    static const struct {
        const char *data, *message, *code;
        int status;
    } rows[] = {
        {"{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}", "slow",
         "rate_limit_exceeded", 429},
        {"{\"type\":\"error\",\"error\":{\"type\":\"insufficient_quota\",\"code\":"
         "\"insufficient_quota\",\"message\":\"no money\"}}",
         "no money", "insufficient_quota", 429},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\","
         "\"message\":\"oops\"}}}",
         "oops", "server_error", 500},
        {"{\"type\":\"response.failed\",\"response\":{}}",
         "The provider answered with an error and no readable message.", "", 500},
        {"{\"error\":{\"message\":\"bad\",\"code\":\"invalid_prompt\"}}", "bad", "invalid_prompt",
         400},
        {"{\"error\":{\"message\":\"away\",\"code\":503}}", "away", "503", 503},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        done(state);
        fresh(state);
        assert_int_equal(feed(rows[i].data), 0);
        assert_string_equal(buf_str(&log_), "error 0 \n");
        assert_slice_is(last_error.message, rows[i].message);
        assert_slice_is(last_error.code, rows[i].code);
        assert_int_equal(last_error.status, rows[i].status);
        assert_int_equal(last_error.kind, canon_class_of_status(rows[i].status));
        assert_true(last_error.from_provider);
        assert_int_equal(feed("{\"type\":\"response.failed\"}"), 0); /* told already */
        assert_string_equal(buf_str(&log_), "error 0 \n");
    }
}

static void
test_no_terminal_is_a_cut(void **state)
{
    (void)state;
    assert_int_equal(feed(CREATED), 0);
    assert_int_equal(feed("[DONE]"), 0);
    assert_int_equal(end(), ERR_TRUNCATED);
}

static void
test_not_of_the_dialect(void **state)
{
    static const char *const rows[] = {
        "",
        "{",
        "[]",
        "7",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"response.output_text.delta\",\"delta\":7}",
        "{\"type\":\"response.output_text.delta\",\"delta\":\"x\",\"output_index\":-1}",
        "{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":7}",
        "{\"type\":\"response.completed\"}",
        "{\"type\":\"response.output_text.annotation.added\",\"annotation\":7}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        done(state);
        fresh(state);
        if (feed(rows[i]) != ERR_PROTOCOL)
            fail_msg("taken: %s", rows[i]);
    }
}

static void
test_limit_of_items(void **state)
{
    (void)state;
    assert_int_equal(feed("{\"type\":\"response.output_item.done\",\"output_index\":4095,\"item\":"
                          "{\"type\":\"x\"}}"),
                     0);
    assert_int_equal(feed("{\"type\":\"response.output_item.done\",\"output_index\":4096,\"item\":"
                          "{\"type\":\"x\"}}"),
                     ERR_LIMIT);
}

static void
test_limit_of_open_parts(void **state)
{
    (void)state;
    char event[256];
    for (int i = 0; i <= 128; i++) {
        snprintf(event, sizeof(event),
                 "{\"type\":\"response.output_item.added\",\"output_index\":%d,\"item\":{\"type\":"
                 "\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}}",
                 i);
        assert_int_equal(feed(event), i < 128 ? 0 : ERR_LIMIT);
    }
}

/* --- whole answers ---------------------------------------------------------------------------- */

static void
test_finishes(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum canon_finish finish;
        const char *native;
    } rows[] = {
        {"{\"output\":[],\"status\":\"completed\"}", FINISH_STOP, "completed"},
        {"{\"output\":[],\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":"
         "\"max_output_tokens\"}}",
         FINISH_LENGTH, "max_output_tokens"},
        {"{\"output\":[],\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":"
         "\"content_filter\"}}",
         FINISH_CONTENT_FILTER, "content_filter"},
        {"{\"output\":[{\"type\":\"function_call\",\"call_id\":\"c\"}],\"status\":\"completed\"}",
         FINISH_TOOL_CALLS, "completed"},
        {"{\"output\":[{\"type\":\"function_call\",\"call_id\":\"c\"}],\"status\":\"incomplete\","
         "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}",
         FINISH_LENGTH, "max_output_tokens"},
        {"{\"output\":[],\"status\":\"queued\"}", FINISH_NONE, "queued"},
        {"{\"output\":[],\"status\":\"cancelled\"}", FINISH_ERROR, "cancelled"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_exchange x = {.request = NULL};
        struct canon_answer answer;
        const char *reason;
        assert_int_equal(
            dialect_responses.read_answer(slice_of(rows[i].body), &x, &a, &answer, &reason), 0);
        assert_int_equal(answer.choices[0].finish, rows[i].finish);
        assert_slice_is(answer.choices[0].native_finish, rows[i].native);
    }
}

static void
test_no_answers(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"output\":7}",
        "{\"output\":[7]}",
        "{\"output\":[],\"status\":\"failed\",\"error\":{\"code\":\"x\"}}",
        "{\"output\":[],\"error\":\"no\"}",
        "{\"output\":[],\"id\":7}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_exchange x = {.request = NULL};
        struct canon_answer answer;
        const char *reason = NULL;
        assert_int_equal(dialect_responses.read_answer(slice_of(rows[i]), &x, &a, &answer, &reason),
                         ERR_PROTOCOL);
        assert_non_null(reason);
    }
}

static void
test_read_error(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *message;
        int want;
    } rows[] = {
        {400, "{\"error\":{\"message\":\"m\",\"code\":\"c\"}}", "m", 400},
        {400, "{\"code\":\"invalid argument\",\"error\":\"m\"}", "m", 400},
        {502, "<html>bad gateway</html>", NULL, 502},
        {503, "", NULL, 503},
        {200,
         "{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":"
         "\"m\"}}",
         "m", 429},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_fault f = {.status = rows[i].status, .body = slice_of(rows[i].body)};
        struct canon_error e;
        assert_int_equal(dialect_responses.read_error(&f, &a, &e), 0);
        assert_int_equal(e.status, rows[i].want);
        assert_int_equal(e.kind, canon_class_of_status(rows[i].want));
        assert_true(e.message.len > 0);
        if (rows[i].message)
            assert_slice_is(e.message, rows[i].message);
    }
}

/* --- clients ---------------------------------------------------------------------------------- */

static struct canon_request q;
static void *encoder;
static struct buf out;

static int
encoder_fresh(void **state)
{
    (void)state;
    static const struct answer_names names = {
        .id = {"ABC", 3}, .model = {"their-name", 10}, .now_unix_s = 1700000000};
    arena_init(&a, 0);
    buf_init(&out, 0);
    q = (struct canon_request){
        .origin = DIALECT_RESPONSES, .max_tokens = -1, .top_logprobs = -1, .choices = 1};
    encoder = arena_zalloc(&a, dialect_responses.encoder->state_bytes);
    return dialect_responses.encoder->init(encoder, &a, &q, &names);
}

static int
encoder_done(void **state)
{
    (void)state;
    dialect_responses.encoder->fini(encoder);
    buf_free(&out);
    arena_free(&a);
    return 0;
}

static int
encode(struct canon_event e)
{
    return dialect_responses.encoder->event(encoder, &e, &out);
}

static void
encode_well(struct canon_event e)
{
    assert_int_equal(encode(e), 0);
}

static void
encode_part(unsigned n, struct canon_part of, const char *text)
{
    encode_well((struct canon_event){.kind = EVENT_PART_START, .part = n, .of = of});
    if (text)
        encode_well((struct canon_event){.kind = EVENT_DELTA, .part = n, .text = slice_of(text)});
    encode_well((struct canon_event){.kind = EVENT_PART_END, .part = n});
}

static void
encode_end(enum canon_finish finish)
{
    struct usage_report u = {.seen = true, .tokens = {.input = 5, .cache_read = 2, .output = 1}};
    u.tokens.reasoning = 3;
    encode_well((struct canon_event){.kind = EVENT_FINISH, .finish = finish});
    encode_well((struct canon_event){.kind = EVENT_USAGE, .usage = u});
    encode_well((struct canon_event){.kind = EVENT_END});
}

/* The types of all events, in order; checks their framing and numbers. *ret_last: the last data. */
struct types {
    struct buf text;
    int64_t count;
    struct slice last;
};

static bool
see(void *ctx, const struct sse_event *e)
{
    struct types *t = ctx;
    struct json_span root;
    struct json_error wrong;
    assert_int_equal(json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &wrong), 0);
    struct json_view v = json_view_of(e->data);
    struct slice type = json_view_get(v, "type").raw;
    assert_true(slice_eq(slice_make(type.at + 1, type.len - 2), e->name));
    assert_int_equal(json_view_int_or(json_view_get(v, "sequence_number"), -1), t->count++);
    assert_int_equal(buf_addf(&t->text, "%.*s\n", SLICE_ARG(e->name)), 0);
    t->last = arena_copy(&a, e->data);
    return true;
}

static struct json_view
assert_events(const char *want)
{
    struct types t = {.count = 0};
    struct sse_parser p;
    sse_init(&p, 0);
    assert_int_equal(sse_push(&p, buf_slice(&out), see, &t), 0);
    assert_false(sse_is_partial(&p));
    assert_string_equal(buf_str(&t.text), want);
    buf_free(&t.text);
    sse_fini(&p);
    return json_view_of(t.last);
}

static void
test_grammar(void **state)
{
    (void)state;
    encode_well((struct canon_event){.kind = EVENT_START, .of = {.origin = DIALECT_CHAT}});
    encode_part(0, (struct canon_part){.kind = PART_REASONING, .origin = DIALECT_CHAT}, "hm");
    encode_part(1, (struct canon_part){.kind = PART_TEXT}, "one");
    encode_part(2, (struct canon_part){.kind = PART_TEXT}, "two");
    encode_part(
        3, (struct canon_part){.kind = PART_TOOL_CALL, .id = SLICE("c"), .name = SLICE("f")}, NULL);
    encode_part(4, (struct canon_part){.kind = PART_REFUSAL}, "no");
    encode_end(FINISH_TOOL_CALLS);
    struct json_view last = assert_events("response.created\n"
                                          "response.in_progress\n"
                                          "response.output_item.added\n"
                                          "response.reasoning_summary_part.added\n"
                                          "response.reasoning_summary_text.delta\n"
                                          "response.reasoning_summary_text.done\n"
                                          "response.reasoning_summary_part.done\n"
                                          "response.output_item.done\n"
                                          "response.output_item.added\n"
                                          "response.content_part.added\n"
                                          "response.output_text.delta\n"
                                          "response.output_text.done\n"
                                          "response.content_part.done\n"
                                          "response.content_part.added\n"
                                          "response.output_text.delta\n"
                                          "response.output_text.done\n"
                                          "response.content_part.done\n"
                                          "response.output_item.done\n"
                                          "response.output_item.added\n"
                                          "response.function_call_arguments.delta\n"
                                          "response.function_call_arguments.done\n"
                                          "response.output_item.done\n"
                                          "response.output_item.added\n"
                                          "response.content_part.added\n"
                                          "response.refusal.delta\n"
                                          "response.refusal.done\n"
                                          "response.content_part.done\n"
                                          "response.output_item.done\n"
                                          "response.completed\n");
    struct json_view response = json_view_get(last, "response");
    assert_slice_is(json_view_get(response, "id").raw, "\"resp_ABC\"");
    assert_slice_is(json_view_get(response, "model").raw, "\"their-name\"");
    assert_slice_is(json_view_get(response, "created_at").raw, "1700000000");
    assert_slice_is(json_view_get(response, "status").raw, "\"completed\"");
    assert_slice_is(json_view_get(response, "store").raw, "false");
    assert_slice_is(
        json_view_get(response, "output").raw,
        "[{\"id\":\"rs_ABC0000\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\","
        "\"text\":\"hm\"}]},{\"id\":\"msg_ABC0001\",\"type\":\"message\",\"status\":\"completed\","
        "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"one\","
        "\"annotations\":[],\"logprobs\":[]},{\"type\":\"output_text\",\"text\":\"two\","
        "\"annotations\":[],\"logprobs\":[]}]},{\"id\":\"fc_ABC0002\",\"type\":\"function_call\","
        "\"status\":\"completed\",\"arguments\":\"{}\",\"call_id\":\"c\",\"name\":\"f\"},{\"id\":"
        "\"msg_ABC0003\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\","
        "\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]");
    assert_slice_is(json_view_get(response, "usage").raw,
                    "{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":2,"
                    "\"cache_write_tokens\":0},\"output_tokens\":4,\"output_tokens_details\":"
                    "{\"reasoning_tokens\":3},\"total_tokens\":11}");
}

static void
test_foreign_state_is_carried(void **state)
{
    (void)state;
    struct canon_part thought, item;
    encode_well((struct canon_event){.kind = EVENT_START, .of = {.origin = DIALECT_ANTHROPIC}});
    encode_well((struct canon_event){.kind = EVENT_PART_START,
                                     .of = {.kind = PART_REASONING, .origin = DIALECT_ANTHROPIC}});
    encode_well((struct canon_event){.kind = EVENT_DELTA, .text = SLICE("hm")});
    encode_well((struct canon_event){.kind = EVENT_SIGNATURE, .text = SLICE("si")});
    encode_well((struct canon_event){.kind = EVENT_SIGNATURE, .text = SLICE("g")});
    encode_well((struct canon_event){.kind = EVENT_PART_END});
    encode_part(1,
                (struct canon_part){.kind = PART_OPAQUE,
                                    .origin = DIALECT_ANTHROPIC,
                                    .raw = SLICE("{\"type\":\"server_tool_use\"}")},
                NULL);
    encode_part(2,
                (struct canon_part){.kind = PART_TOOL_CALL,
                                    .origin = DIALECT_GEMINI,
                                    .id = SLICE("c"),
                                    .name = SLICE("f"),
                                    .signature = SLICE("gem")},
                "{}");
    encode_end(FINISH_TOOL_CALLS);
    /* What a client sends back is what came. */
    struct slice data = buf_slice(&out), id, signature;
    const char *terminal = memmem(data.at, data.len, "event: response.completed\ndata: ", 32);
    assert_non_null(terminal);
    struct json_view response = json_view_get(
        json_view_of(slice_make(terminal + 32, (size_t)(data.at + data.len - terminal - 32))),
        "response");
    struct json_view output = json_view_get(response, "output"), items[3];
    struct slice name, text;
    size_t cursor = 0;
    for (int i = 0; i < 3; i++)
        assert_true(json_view_next(output, &cursor, &name, &items[i]));
    assert_int_equal(json_view_text(json_view_get(items[0], "encrypted_content"), &a, &text), 0);
    assert_int_equal(carry_unpack(&a, text, &thought), 0);
    assert_slice_is(thought.signature, "sig");
    assert_int_equal(thought.origin, DIALECT_ANTHROPIC);
    assert_int_equal(json_view_text(json_view_get(items[1], "encrypted_content"), &a, &text), 0);
    assert_int_equal(carry_unpack(&a, text, &item), 0);
    assert_int_equal(item.kind, PART_OPAQUE);
    assert_slice_is(item.raw, "{\"type\":\"server_tool_use\"}");
    assert_int_equal(json_view_text(json_view_get(items[2], "call_id"), &a, &text), 0);
    enum dialect_id origin;
    assert_true(canon_unpack_id(&a, text, &id, &origin, &signature));
    assert_slice_is(id, "c");
    assert_slice_is(signature, "gem");
    assert_int_equal(origin, DIALECT_GEMINI);
}

static void
test_citations_and_logprobs(void **state)
{
    (void)state;
    encode_well((struct canon_event){.kind = EVENT_START});
    encode_well((struct canon_event){.kind = EVENT_PART_START, .of = {.kind = PART_TEXT}});
    encode_well((struct canon_event){.kind = EVENT_LOGPROBS,
                                     .text = SLICE("{\"content\":[{\"token\":\"a\"}]}")});
    encode_well((struct canon_event){.kind = EVENT_DELTA,
                                     .text = SLICE("\xc3\xa4"
                                                   "b")});
    encode_well((struct canon_event){.kind = EVENT_CITATION,
                                     .citation = {.url = SLICE("u"),
                                                  .title = SLICE("t"),
                                                  .start = -1,
                                                  .end = -1,
                                                  .origin = DIALECT_ANTHROPIC}});
    encode_well((struct canon_event){.kind = EVENT_LOGPROBS,
                                     .text = SLICE("{\"content\":[{\"token\":\"b\"}]}")});
    encode_well((struct canon_event){.kind = EVENT_PART_END});
    encode_end(FINISH_STOP);
    static const char want[] =
        "{\"type\":\"output_text\",\"text\":\"\xc3\xa4"
        "b\",\"annotations\":[{\"type\":"
        "\"url_citation\",\"url\":\"u\",\"title\":\"t\",\"start_index\":0,\"end_index\":2}],"
        "\"logprobs\":[{\"token\":\"a\"},{\"token\":\"b\"}]}";
    size_t found = 0;
    for (const char *at = out.at;
         (at = memmem(at, (size_t)(out.at + out.len - at), want, sizeof(want) - 1)); at++)
        found++;
    assert_int_equal(found, 3); /* the part, the item, the response */
}

static void
test_incomplete_and_failed(void **state)
{
    static const struct {
        enum canon_finish finish;
        const char *type, *status, *reason;
    } rows[] = {
        {FINISH_LENGTH, "response.incomplete", "\"incomplete\"",
         "{\"reason\":\"max_output_tokens\"}"},
        {FINISH_CONTENT_FILTER, "response.incomplete", "\"incomplete\"",
         "{\"reason\":\"content_filter\"}"},
        {FINISH_REFUSAL, "response.incomplete", "\"incomplete\"",
         "{\"reason\":\"content_filter\"}"},
        {FINISH_ERROR, "response.failed", "\"failed\"", "null"},
        {FINISH_STOP, "response.completed", "\"completed\"", "null"},
        {FINISH_NONE, "response.completed", "\"completed\"", "null"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char want[256];
        encoder_done(state);
        encoder_fresh(state);
        encode_well((struct canon_event){.kind = EVENT_START});
        /* a part that nothing ended */
        encode_well((struct canon_event){.kind = EVENT_PART_START, .of = {.kind = PART_TEXT}});
        encode_end(rows[i].finish);
        snprintf(want, sizeof(want),
                 "response.created\nresponse.in_progress\nresponse.output_item.added\n"
                 "response.content_part.added\nresponse.output_text.done\n"
                 "response.content_part.done\nresponse.output_item.done\n%s\n",
                 rows[i].type);
        struct json_view response = json_view_get(assert_events(want), "response");
        assert_slice_is(json_view_get(response, "status").raw, rows[i].status);
        assert_slice_is(json_view_get(response, "incomplete_details").raw, rows[i].reason);
        assert_int_equal(json_view_is_set(json_view_get(response, "error")),
                         rows[i].finish == FINISH_ERROR);
    }
}

static void
test_whole_is_what_the_stream_repeats(void **state)
{
    (void)state;
    struct canon_part parts[] = {
        {.kind = PART_REASONING, .text = SLICE("hm"), .signature = SLICE("s")},
        {.kind = PART_TEXT, .text = SLICE("a\"b")},
        {.kind = PART_IMAGE, .media = {.data = SLICE("AAAA"), .mime = SLICE("image/png")}},
        {.kind = PART_TOOL_CALL, .id = SLICE("c"), .name = SLICE("f"), .arguments = SLICE("{}")},
    };
    struct canon_choice_answer choice = {.parts = parts, .count = 4, .finish = FINISH_TOOL_CALLS};
    struct canon_answer answer = {.choices = &choice, .choice_count = 1, .usage = {.seen = true}};
    struct answer_names names = {
        .id = SLICE("ABC"), .model = SLICE("their-name"), .now_unix_s = 1700000000};
    struct buf whole;
    buf_init(&whole, 0);
    assert_int_equal(dialect_responses.write_answer(&q, &answer, &names, &whole), 0);
    encode_well((struct canon_event){.kind = EVENT_START});
    for (unsigned i = 0; i < 4; i++) {
        struct canon_part of = parts[i];
        const char *text = i == 3 ? "{}" : i == 1 ? "a\"b" : i == 0 ? "hm" : NULL;
        of.text = of.arguments = (struct slice){0};
        encode_part(i, of, text);
    }
    encode_well((struct canon_event){.kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS});
    encode_well((struct canon_event){.kind = EVENT_USAGE, .usage = {.seen = true}});
    encode_well((struct canon_event){.kind = EVENT_END});
    assert_non_null(memmem(out.at, out.len, whole.at, whole.len));
    struct slice items = json_view_get(json_view_of(buf_slice(&whole)), "output").raw;
    static const char picture[] =
        "\"type\":\"image_generation_call\",\"status\":\"completed\",\"result\":\"AAAA\"";
    assert_non_null(memmem(items.at, items.len, picture, sizeof(picture) - 1));
    buf_free(&whole);
}

static void
test_error_events(void **state)
{
    (void)state;
    struct canon_error e = {.kind = ERROR_RATE,
                            .status = 429,
                            .message = SLICE("slow \"down\""),
                            .code = SLICE("rate_limit_exceeded")};
    encode_well((struct canon_event){.kind = EVENT_START});
    encode_well((struct canon_event){.kind = EVENT_ERROR, .error = e});
    encode_well((struct canon_event){.kind = EVENT_END}); /* nothing comes behind it */
    struct json_view last = assert_events("response.created\nresponse.in_progress\nerror\n");
    assert_slice_is(json_view_get(last, "code").raw, "\"rate_limit_exceeded\"");
    assert_slice_is(json_view_get(last, "message").raw, "\"slow \\\"down\\\"\"");
    assert_slice_is(json_view_get(last, "param").raw, "null");
    assert_int_equal(json_view_get(last, "error").kind, JSON_MAP);
    buf_clear(&out);
    assert_int_equal(dialect_responses.write_error_event(&e, &out), 0);
    assert_events("error\n");
    buf_clear(&out);
    assert_int_equal(dialect_responses.write_error(&e, &out), 0);
    struct json_view body = json_view_get(json_view_of(buf_slice(&out)), "error");
    assert_slice_is(json_view_get(body, "type").raw, "\"rate_limit_error\"");
}

static void
test_events_out_of_order(void **state)
{
    (void)state;
    encode_well((struct canon_event){.kind = EVENT_START});
    assert_int_equal(encode((struct canon_event){.kind = EVENT_DELTA, .text = SLICE("x")}),
                     ERR_PROTOCOL);
    assert_int_equal(encode((struct canon_event){.kind = EVENT_PART_END}), ERR_PROTOCOL);
    encode_part(0, (struct canon_part){.kind = PART_TEXT}, "x");
    assert_int_equal(
        encode((struct canon_event){.kind = EVENT_PART_START, .of = {.kind = PART_TEXT}}),
        ERR_PROTOCOL);
    assert_int_equal(encode((struct canon_event){
                         .kind = EVENT_PART_START, .part = 4096, .of = {.kind = PART_TEXT}}),
                     ERR_LIMIT);
}

static void
test_limit_of_bytes(void **state)
{
    (void)state;
    size_t n = (size_t)1 << 20;
    char *at = arena_alloc(&a, n);
    memset(at, 'x', n);
    encode_well((struct canon_event){.kind = EVENT_START});
    encode_well((struct canon_event){.kind = EVENT_PART_START, .of = {.kind = PART_TEXT}});
    int err = 0, mebibytes = 0;
    while (!err && mebibytes < 64) {
        buf_clear(&out);
        err = encode((struct canon_event){.kind = EVENT_DELTA, .text = slice_make(at, n)});
        mebibytes += !err;
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(mebibytes, 31); /* of 32, names and ids included */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)
#define ENCODES(name) cmocka_unit_test_setup_teardown(name, encoder_fresh, encoder_done)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_text),
        TEST(test_calls_interleave_and_ids_change),
        TEST(test_reasoning),
        TEST(test_terminal_fills_in),
        TEST(test_failures),
        TEST(test_no_terminal_is_a_cut),
        TEST(test_not_of_the_dialect),
        TEST(test_limit_of_items),
        TEST(test_limit_of_open_parts),
        TEST(test_finishes),
        TEST(test_no_answers),
        TEST(test_read_error),
        ENCODES(test_grammar),
        ENCODES(test_foreign_state_is_carried),
        ENCODES(test_citations_and_logprobs),
        ENCODES(test_incomplete_and_failed),
        ENCODES(test_whole_is_what_the_stream_repeats),
        ENCODES(test_error_events),
        ENCODES(test_events_out_of_order),
        ENCODES(test_limit_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
