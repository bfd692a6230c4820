/* Requests in Responses: what is read of them, what is refused, and what providers get. */
#include "tests/unit/check.h"

#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/dialect.h"
#include "lib/json/view.h"

static struct arena a;
static struct canon_request q;
static struct dialect_refusal why;

static int
fresh(void **state)
{
    (void)state;
    arena_init(&a, 0);
    return 0;
}

static int
done(void **state)
{
    (void)state;
    arena_free(&a);
    return 0;
}

static int
read_text(const char *body)
{
    struct dialect_call call = {.path_stream = false};
    memset(&why, 0, sizeof(why));
    return dialect_responses.read_request(slice_of(body), &call, &a, &q, &why);
}

static void
read_well(const char *body)
{
    if (read_text(body) != 0)
        fail_msg("%s: %s", why.member, why.message);
}

static const struct canon_part *
part(size_t message, size_t n)
{
    assert_true(message < q.message_count && n < q.messages[message].count);
    return &q.messages[message].parts[n];
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
test_plain_members(void **state)
{
    (void)state;
    read_well("{\"model\":\"m\",\"input\":\"hi\",\"instructions\":\"be brief\",\"stream\":true,"
              "\"max_output_tokens\":100,\"temperature\":0.50,\"top_p\":1,\"store\":true,"
              "\"parallel_tool_calls\":false,\"metadata\":{\"a\":\"b\"},\"user\":\"u\","
              "\"service_tier\":\"flex\",\"prompt_cache_key\":\"k\",\"top_logprobs\":3,"
              "\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},"
              "\"include\":[\"message.output_text.logprobs\"],\"truncation\":\"disabled\","
              "\"background\":false,\"previous_response_id\":null}");
    assert_slice_is(q.model, "m");
    assert_true(q.stream && q.include_usage);
    assert_int_equal(q.message_count, 2);
    assert_int_equal(q.messages[0].role, ROLE_SYSTEM);
    assert_slice_is(part(0, 0)->text, "be brief");
    assert_int_equal(q.messages[1].role, ROLE_USER);
    assert_slice_is(part(1, 0)->text, "hi");
    assert_int_equal(q.max_tokens, 100);
    assert_slice_is(q.temperature, "0.50");
    assert_slice_is(q.top_p, "1");
    assert_int_equal(q.store, TRI_YES);
    assert_int_equal(q.parallel_tools, TRI_NO);
    assert_slice_is(q.metadata_raw, "{\"a\":\"b\"}");
    assert_slice_is(q.user, "u");
    assert_slice_is(q.service_tier, "flex");
    assert_slice_is(q.cache_key, "k");
    assert_int_equal(q.top_logprobs, 3);
    assert_int_equal(q.logprobs, TRI_YES);
    assert_slice_is(q.reasoning.effort, "low");
    assert_slice_is(q.reasoning.summary, "auto");
    assert_int_equal(q.reasoning.show, TRI_YES);
    for (size_t i = 0; i < q.extra_count; i++) /* what says nothing is not kept */
        assert_true(slice_is(q.extras[i].name, "instructions") ||
                    slice_is(q.extras[i].name, "include"));
}

static void
test_defaults(void **state)
{
    (void)state;
    read_well("{\"model\":\"m\",\"input\":\"\"}");
    assert_int_equal(q.max_tokens, -1);
    assert_int_equal(q.top_logprobs, -1);
    assert_int_equal(q.reasoning.budget, -1);
    assert_int_equal(q.choices, 1);
    assert_int_equal(q.store, TRI_ABSENT);
    assert_int_equal(q.tool_choice, CHOICE_ABSENT);
    assert_int_equal(q.extra_count, 0);
}

static void
test_formats(void **state)
{
    (void)state;
    read_well("{\"input\":\"x\",\"text\":{\"verbosity\":\"low\",\"format\":{\"type\":"
              "\"json_schema\",\"name\":\"n\",\"strict\":true,\"schema\":{\"type\":\"object\"}}}}");
    assert_int_equal(q.format, FORMAT_SCHEMA);
    assert_slice_is(q.format_name, "n");
    assert_slice_is(q.format_schema_raw, "{\"type\":\"object\"}");
    assert_int_equal(q.format_strict, TRI_YES);
    assert_slice_is(q.verbosity, "low");
    read_well("{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_object\"}}}");
    assert_int_equal(q.format, FORMAT_JSON);
    read_well("{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"text\"}}}");
    assert_int_equal(q.format, FORMAT_TEXT);
}

static void
test_parts_of_a_message(void **state)
{
    (void)state;
    read_well("{\"input\":[{\"role\":\"user\",\"content\":["
              "{\"type\":\"input_text\",\"text\":\"see\",\"prompt_cache_breakpoint\":{}},"
              "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AAAA\"},"
              "{\"type\":\"input_image\",\"image_url\":\"https://h/i\",\"detail\":\"low\"},"
              "{\"type\":\"input_image\",\"file_id\":\"f1\"},"
              "{\"type\":\"input_file\",\"filename\":\"a.pdf\",\"file_data\":"
              "\"data:application/pdf;base64,BBBB\"},"
              "{\"type\":\"input_file\",\"filename\":\"b.pdf\",\"file_data\":\"CCCC\"},"
              "{\"type\":\"input_file\",\"file_url\":\"https://h/f\"},"
              "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"DDDD\",\"format\":\"mp3\"}}"
              "]}]}");
    assert_int_equal(q.messages[0].count, 8);
    assert_int_equal(part(0, 0)->cache, CACHE_5M);
    assert_slice_is(part(0, 1)->media.mime, "image/png");
    assert_slice_is(part(0, 1)->media.data, "AAAA");
    assert_int_equal(part(0, 1)->media.url.len, 0);
    assert_slice_is(part(0, 2)->media.url, "https://h/i");
    assert_slice_is(part(0, 2)->media.detail, "low");
    assert_slice_is(part(0, 3)->media.file_id, "f1");
    assert_int_equal(part(0, 4)->kind, PART_FILE);
    assert_slice_is(part(0, 4)->media.mime, "application/pdf");
    assert_slice_is(part(0, 4)->media.data, "BBBB");
    assert_slice_is(part(0, 5)->media.mime, "application/pdf");
    assert_slice_is(part(0, 5)->media.data, "CCCC");
    assert_slice_is(part(0, 6)->media.url, "https://h/f");
    assert_int_equal(part(0, 7)->kind, PART_AUDIO);
    assert_slice_is(part(0, 7)->media.mime, "audio/mpeg");
}

#define CALL(id, name) "{\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"" name "\"}"
#define OUTPUT(id) "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":\"ok\"}"
#define THOUGHT                                                                                    \
    "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"text\":\"a\"},{\"text\":\"b\"}],"     \
    "\"encrypted_content\":\"secret\"}"
#define SPOKE                                                                                      \
    "{\"type\":\"message\",\"role\":\"assistant\",\"id\":\"msg_1\",\"phase\":\"final_answer\","    \
    "\"content\":[{\"type\":\"output_text\",\"text\":\"t\"}]}"

static void
test_turns(void **state)
{
    (void)state;
    static const char *const items[] = {
        "{\"input\":[{\"role\":\"user\",\"content\":\"q\"}",
        THOUGHT,
        CALL("c1", "f"),
        CALL("c2", "g"),
        OUTPUT("c2"),
        OUTPUT("c1"),
        SPOKE,
        "{\"role\":\"assistant\",\"content\":\"u\"}]}",
    };
    struct buf body;
    buf_init(&body, 0);
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        assert_int_equal(buf_addf(&body, "%s%s", i ? "," : "", items[i]), 0);
    read_well(buf_str(&body));
    assert_int_equal(q.message_count, 5);
    assert_int_equal(q.messages[1].role, ROLE_ASSISTANT);
    assert_int_equal(q.messages[1].count, 3);
    assert_int_equal(part(1, 0)->kind, PART_REASONING);
    assert_slice_is(part(1, 0)->text, "ab");
    assert_slice_is(part(1, 0)->encrypted, "secret");
    assert_slice_is(part(1, 0)->id, "rs_1");
    assert_slice_is(part(1, 2)->id, "c2");
    assert_slice_is(part(1, 2)->name, "g");
    assert_int_equal(q.messages[2].role, ROLE_TOOL);
    assert_int_equal(q.messages[2].count, 2);
    assert_slice_is(part(2, 0)->id, "c2");
    assert_slice_is(part(2, 0)->name, "g");
    assert_slice_is(part(2, 1)->name, "f");
    assert_slice_is(part(2, 1)->parts[0].text, "ok");
    /* a turn that spoke is over when it speaks again */
    assert_slice_is(part(3, 0)->id, "msg_1");
    assert_slice_is(part(3, 0)->raw, "{\"phase\":\"final_answer\"}");
    assert_slice_is(part(4, 0)->text, "u");
    buf_free(&body);
}

static void
test_items_of_the_provider_alone(void **state)
{
    (void)state;
    read_well("{\"input\":[{\"type\":\"web_search_call\",\"id\":\"ws_1\",\"x\":1.0},"
              "{\"id\":\"msg_9\"},{\"type\":\"item_reference\",\"id\":\"r\"},"
              "{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"n\",\"input\":\"raw\"},"
              "{\"type\":\"custom_tool_call_output\",\"call_id\":\"c\",\"output\":[{\"type\":"
              "\"input_image\",\"file_id\":\"f\"}]}]}");
    assert_int_equal(part(0, 0)->kind, PART_OPAQUE);
    assert_slice_is(part(0, 0)->raw, "{\"type\":\"web_search_call\",\"id\":\"ws_1\",\"x\":1.0}");
    assert_int_equal(part(0, 1)->kind, PART_OPAQUE);
    assert_int_equal(part(0, 2)->kind, PART_OPAQUE);
    assert_true(part(0, 3)->custom);
    assert_slice_is(part(0, 3)->arguments, "raw");
    assert_true(part(1, 0)->custom);
    assert_int_equal(part(1, 0)->parts[0].kind, PART_IMAGE);
}

static void
test_foreign_reasoning_comes_back(void **state)
{
    (void)state;
    struct canon_part thought = {
        .kind = PART_REASONING, .origin = DIALECT_ANTHROPIC, .signature = SLICE("sig\"1")};
    struct slice packed;
    char body[1024];
    assert_int_equal(carry_pack(&a, &thought, &packed), 0);
    snprintf(body, sizeof(body),
             "{\"input\":[{\"type\":\"reasoning\",\"id\":\"rs_0\",\"summary\":[{\"text\":\"hm\"}],"
             "\"encrypted_content\":\"%.*s\"}]}",
             SLICE_ARG(packed));
    read_well(body);
    assert_int_equal(part(0, 0)->kind, PART_REASONING);
    assert_int_equal(part(0, 0)->origin, DIALECT_ANTHROPIC);
    assert_slice_is(part(0, 0)->signature, "sig\"1");
    assert_slice_is(part(0, 0)->text, "hm");
    assert_int_equal(part(0, 0)->encrypted.len, 0);
    assert_int_equal(read_text("{\"input\":[{\"type\":\"reasoning\",\"summary\":[],"
                               "\"encrypted_content\":\"hg1.anthropic.???\"}]}"),
                     ERR_SYNTAX);
    assert_string_equal(why.member, "input[0].encrypted_content");
}

static void
test_signature_in_an_id(void **state)
{
    (void)state;
    struct slice id;
    char body[1024];
    assert_int_equal(canon_pack_id(&a, SLICE("c7"), DIALECT_GEMINI, SLICE("sig"), &id), 0);
    snprintf(body, sizeof(body),
             "{\"input\":[{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"%.*s\","
             "\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\","
             "\"call_id\":\"%.*s\",\"output\":\"ok\"}]}",
             SLICE_ARG(id), SLICE_ARG(id));
    read_well(body);
    assert_slice_is(part(0, 0)->id, "c7");
    assert_slice_is(part(0, 0)->signature, "sig");
    assert_int_equal(part(0, 0)->origin, DIALECT_GEMINI);
    assert_slice_is(part(1, 0)->id, "c7");
    assert_slice_is(part(1, 0)->name, "f");
}

static void
test_a_mark_alone_is_an_id(void **state)
{
    (void)state;
    read_well(
        "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"__sig_ec2ln\",\"name\":\"f\"}]}");
    assert_slice_is(part(0, 0)->id, "__sig_ec2ln");
    assert_int_equal(part(0, 0)->signature.len, 0);
}

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"},"       \
    "\"strict\":true},{\"type\":\"function\",\"name\":\"g\"},{\"type\":\"web_search\"},"           \
    "{\"type\":\"custom\",\"name\":\"c\",\"format\":{\"type\":\"text\"}}]"

static void
test_tools(void **state)
{
    (void)state;
    read_well("{\"input\":\"x\"," TOOLS ",\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"}}");
    assert_int_equal(q.tool_count, 4);
    assert_int_equal(q.tools[0].kind, TOOL_FUNCTION);
    assert_slice_is(q.tools[0].schema_raw, "{\"type\":\"object\"}");
    assert_int_equal(q.tools[0].strict, TRI_YES);
    assert_int_equal(q.tools[1].strict, TRI_ABSENT);
    assert_int_equal(q.tools[2].kind, TOOL_HOSTED);
    assert_slice_is(q.tools[2].raw, "{\"type\":\"web_search\"}");
    assert_int_equal(q.tools[3].kind, TOOL_CUSTOM);
    assert_slice_is(q.tools[3].format_raw, "{\"type\":\"text\"}");
    assert_int_equal(q.tool_choice, CHOICE_NAMED);
    assert_slice_is(q.tool_choice_name, "g");
}

static void
test_a_grammar_is_that_of_chat(void **state)
{
    (void)state;
    read_well("{\"input\":\"x\",\"tools\":[{\"type\":\"custom\",\"name\":\"c\",\"format\":"
              "{\"type\":\"grammar\",\"syntax\":\"lark\",\"definition\":\"d\"}}]}");
    assert_slice_is(q.tools[0].format_raw, "{\"type\":\"grammar\",\"grammar\":{\"syntax\":"
                                           "\"lark\",\"definition\":\"d\"}}");
    assert_int_equal(read_text("{\"input\":\"x\",\"tools\":[{\"type\":\"custom\",\"name\":\"c\","
                               "\"format\":7}]}"),
                     ERR_SYNTAX);
}

static void
test_allowed_tools(void **state)
{
    (void)state;
    read_well("{\"input\":\"x\"," TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":"
              "\"required\",\"tools\":[{\"type\":\"web_search\"},{\"type\":\"function\",\"name\":"
              "\"g\"}]}}");
    assert_int_equal(q.tool_count, 2);
    assert_slice_is(q.tools[0].name, "g");
    assert_slice_is(q.tools[1].name, "web_search");
    assert_int_equal(q.tool_choice, CHOICE_REQUIRED);
}

static void
test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *body, *member, *message;
    } rows[] = {
        {"{}", "input", "The member 'input' is required."},
        {"{\"input\":7}", "input", "'input' must be a text or a list of items."},
        {"{\"input\":[\"x\"]}", "input[0]", "'input[0]' must be an object."},
        {"{\"input\":[{}]}", "input[0]", "'input[0]' must be an item with a 'type' or a 'role'."},
        {"{\"input\":[{\"role\":\"boss\",\"content\":\"x\"}]}", "input[0].role", NULL},
        {"{\"input\":[{\"role\":\"user\"}]}", "input[0].content", NULL},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "input[0].content[0]", NULL},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]}",
         "input[0].content[0]", NULL},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":{}}]"
         "}]}",
         "input[0].content[0].image_url", "'input[0].content[0].image_url' must be a text."},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]}",
         "input[0].content[0]", NULL},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]}",
         "input[0].content[0]", NULL},
        {"{\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}", "input[0].call_id", NULL},
        {"{\"input\":[{\"type\":\"function_call\",\"call_id\":\"c\"}]}", "input[0].name", NULL},
        {"{\"input\":[{\"type\":\"function_call_output\",\"output\":\"\"}]}", "input[0].call_id",
         NULL},
        {"{\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\"}]}", "input[0].output",
         NULL},
        {"{\"input\":\"x\",\"instructions\":[]}", "instructions", NULL},
        {"{\"input\":\"x\",\"temperature\":\"1\"}", "temperature",
         "'temperature' must be a number."},
        {"{\"input\":\"x\",\"max_output_tokens\":-5}", "max_output_tokens", NULL},
        {"{\"input\":\"x\",\"store\":\"yes\"}", "store", NULL},
        {"{\"input\":\"x\",\"metadata\":[]}", "metadata", NULL},
        {"{\"input\":\"x\",\"tools\":{}}", "tools", NULL},
        {"{\"input\":\"x\",\"tools\":[{}]}", "tools[0]", NULL},
        {"{\"input\":\"x\",\"tools\":[{\"type\":\"function\"}]}", "tools[0]", NULL},
        {"{\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":7}]}",
         "tools[0]", NULL},
        {"{\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"strict\":7}]}",
         "tools[0]", NULL},
        {"{\"input\":\"x\",\"tool_choice\":\"any\"}", "tool_choice", NULL},
        {"{\"input\":\"x\",\"tool_choice\":{\"type\":\"function\"}}", "tool_choice.name", NULL},
        {"{\"input\":\"x\",\"tool_choice\":{\"type\":\"allowed_tools\"}}", "tool_choice.mode",
         NULL},
        {"{\"input\":\"x\"," TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\","
         "\"tools\":[{\"name\":\"z\"}]}}",
         "tool_choice.tools", NULL},
        {"{\"input\":\"x\",\"text\":7}", "text", NULL},
        {"{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"xml\"}}}", "text.format", NULL},
        {"{\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\"}}}", "text.format.schema",
         NULL},
        {"{\"input\":\"x\",\"reasoning\":{\"effort\":1}}", "reasoning.effort", NULL},
        {"{\"input\":\"x\",\"include\":[1]}", "include", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (read_text(rows[i].body) != ERR_SYNTAX)
            fail_msg("taken: %s", rows[i].body);
        assert_string_equal(why.member, rows[i].member);
        if (rows[i].message)
            assert_string_equal(why.message, rows[i].message);
        assert_true(strlen(why.message) > strlen(why.member));
        assert_int_equal(why.missing, i == 0);
    }
}

static void
test_too_many_allowed_tools(void **state)
{
    (void)state;
    for (int n = 1024; n <= 1025; n++) {
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(buf_add_str(&b, "{\"input\":\"x\",\"tools\":[{\"type\":\"function\","
                                         "\"name\":\"f\"}],\"tool_choice\":{\"type\":"
                                         "\"allowed_tools\",\"mode\":\"auto\",\"tools\":["),
                         0);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_add_str(&b, i ? ",{}" : "{\"name\":\"f\"}"), 0);
        assert_int_equal(buf_add_str(&b, "]}}"), 0);
        assert_int_equal(read_text(buf_str(&b)), n == 1024 ? 0 : ERR_SYNTAX);
        buf_free(&b);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static struct buf out;
static struct dialect_writer w;

static int
write_for(enum provider_kind kind, bool may_degrade)
{
    static struct policy_provider p;
    static struct dialect_target t;
    p = (struct policy_provider){.name = SLICE("prov"), .kind = kind};
    t = (struct dialect_target){.provider = &p, .model = SLICE("their-model")};
    w = (struct dialect_writer){.arena = &a, .target = &t, .may_degrade = may_degrade, .why = &why};
    memset(&why, 0, sizeof(why));
    buf_free(&out);
    buf_init(&out, 0);
    int err = dialect_responses.write_request(&q, &w, &out);
    struct json_span root;
    struct json_error wrong;
    if (!err && json_scan(buf_slice(&out), &json_limits_default, NULL, 0, NULL, &root, &wrong))
        fail_msg("%s at %zu of %.*s", wrong.reason, wrong.offset, SLICE_ARG(buf_slice(&out)));
    return err;
}

static void
assert_member(const char *name, const char *want)
{
    struct json_view v = json_view_get(json_view_of(buf_slice(&out)), name);
    if (!want)
        assert_int_equal(v.kind, JSON_ABSENT);
    else
        assert_slice_is(v.raw, want);
}

static void
test_written_as_read(void **state)
{
    (void)state;
    read_well("{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"q\"},{\"type\":"
              "\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"e\"},"
              "{\"type\":\"mcp_call\",\"id\":\"m1\"}],\"instructions\":\"i\\n\",\"store\":false,"
              "\"include\":[\"x\"],\"previous_response_id\":\"resp_1\",\"odd\":{\"a\":[1]},"
              "\"reasoning\":{\"effort\":\"low\",\"mode\":\"standard\"}," TOOLS
              ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":"
              "[{\"type\":\"function\",\"name\":\"f\"}]}}");
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
    assert_member("model", "\"their-model\"");
    assert_member("instructions", "\"i\\n\"");
    assert_member("input",
                  "[{\"role\":\"user\",\"content\":\"q\"},{\"type\":\"reasoning\",\"id\":\"rs_1\","
                  "\"summary\":[],\"encrypted_content\":\"e\"},{\"type\":\"mcp_call\",\"id\":"
                  "\"m1\"}]");
    assert_member("store", "false");
    assert_member("include", "[\"x\"]");
    assert_member("previous_response_id", "\"resp_1\"");
    assert_member("odd", "{\"a\":[1]}");
    assert_member("reasoning", "{\"effort\":\"low\",\"mode\":\"standard\"}");
    assert_member("stream", NULL);
    struct slice tools = json_view_get(json_view_of(buf_slice(&out)), "tools").raw;
    assert_true(memmem(tools.at, tools.len, "web_search", 10) != NULL);
}

/* A request as a chat client would have made it. */
static struct canon_part said[] = {{.kind = PART_TEXT, .text = SLICE("hi")}};
static struct canon_part turn[3];
static struct canon_part content[] = {{.kind = PART_TEXT, .text = SLICE("22")}};
static struct canon_part results[1];
static struct canon_message messages[4];
static struct canon_tool tools[2];

static void
make_chat(void)
{
    turn[0] = (struct canon_part){.kind = PART_REASONING, .text = SLICE("hm")};
    turn[1] = (struct canon_part){.kind = PART_TEXT, .text = SLICE("let me see")};
    turn[2] = (struct canon_part){
        .kind = PART_TOOL_CALL, .id = SLICE("call_1"), .name = SLICE("f"), .arguments = SLICE("")};
    results[0] = (struct canon_part){
        .kind = PART_TOOL_RESULT, .id = SLICE("call_1"), .parts = content, .part_count = 1};
    messages[0] = (struct canon_message){.role = ROLE_DEVELOPER, .parts = said, .count = 1};
    messages[1] = (struct canon_message){.role = ROLE_USER, .parts = said, .count = 1};
    messages[2] = (struct canon_message){.role = ROLE_ASSISTANT, .parts = turn, .count = 3};
    messages[3] = (struct canon_message){.role = ROLE_TOOL, .parts = results, .count = 1};
    tools[0] = (struct canon_tool){.kind = TOOL_FUNCTION, .name = SLICE("f")};
    q = (struct canon_request){.origin = DIALECT_CHAT,
                               .stream = true,
                               .messages = messages,
                               .message_count = 4,
                               .tools = tools,
                               .tool_count = 1,
                               .max_tokens = 100,
                               .choices = 1,
                               .top_logprobs = -1,
                               .reasoning = {.budget = 5000, .show = TRI_YES}};
}

static void
test_written_for_a_chat_client(void **state)
{
    (void)state;
    make_chat();
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
    assert_member("input",
                  "[{\"role\":\"developer\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":"
                  "\"hi\"},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
                  "\"output_text\",\"text\":\"let me see\",\"annotations\":[]}]},{\"type\":"
                  "\"function_call\",\"call_id\":\"call_1\",\"name\":\"f\",\"arguments\":\"{}\"},"
                  "{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":\"22\"}]");
    assert_member("tools", "[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":"
                           "\"object\",\"properties\":{}},\"strict\":false}]");
    assert_member("store", "false");
    assert_member("stream", "true");
    assert_member("include", "[\"reasoning.encrypted_content\"]");
    assert_member("max_output_tokens", "100");
    assert_member("reasoning", "{\"effort\":\"medium\",\"summary\":\"auto\"}");
}

static void
test_open_weights_get_their_reasoning(void **state)
{
    (void)state;
    make_chat();
    assert_int_equal(write_for(PROVIDER_VLLM, false), 0);
    struct slice input = json_view_get(json_view_of(buf_slice(&out)), "input").raw;
    static const char want[] = "{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":"
                               "\"reasoning_text\",\"text\":\"hm\"}]}";
    assert_non_null(memmem(input.at, input.len, want, sizeof(want) - 1));
}

static void
test_long_ids_are_cut_alike(void **state)
{
    (void)state;
    make_chat();
    struct slice id = SLICE("call_0123456789012345678901234567890123456789012345678901234567890");
    turn[2].id = results[0].id = id;
    assert_true(id.len > 64);
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
    struct json_view input = json_view_get(json_view_of(buf_slice(&out)), "input"), item;
    struct slice name, ids[2] = {{0}};
    size_t cursor = 0, n = 0;
    while (json_view_next(input, &cursor, &name, &item))
        if (json_view_get(item, "call_id").kind == JSON_TEXT)
            ids[n++] = json_view_get(item, "call_id").raw;
    assert_int_equal(n, 2);
    assert_true(slice_eq(ids[0], ids[1]));
    assert_true(ids[0].len - 2 <= 64);
}

static void
test_what_the_dialect_lacks(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        static const char *const members[] = {
            "top_k", "frequency_penalty", "presence_penalty", "seed", "stop", "n", "logit_bias",
            "odd"};
        static const struct canon_extra odd = {{"odd", 3}, {"1", 1}};
        make_chat();
        q.top_k = i == 0 ? SLICE("4") : q.top_k;
        q.frequency_penalty = i == 1 ? SLICE("0.5") : SLICE("0.0");
        q.presence_penalty = i == 2 ? SLICE("-1") : SLICE("0");
        q.seed = i == 3 ? SLICE("7") : q.seed;
        q.stop_count = i == 4;
        q.stops[0] = SLICE("x");
        q.choices = i == 5 ? 2 : 1;
        q.logit_bias_raw = i == 6 ? SLICE("{\"1\":2}") : SLICE("{}");
        q.extras = &odd;
        q.extra_count = i == 7;
        assert_int_equal(write_for(PROVIDER_OPENAI, false), ERR_DENIED);
        assert_string_equal(why.member, members[i]);
        assert_int_equal(write_for(PROVIDER_OPENAI, true), 0);
        assert_int_equal(w.degraded_count, 1);
        assert_slice_is(w.degraded[0], members[i]);
        assert_member(members[i], NULL);
    }
}

/* What stands in a data URL is the client's: it must not end the text that it goes into. */
static void
test_media_cannot_leave_their_text(void **state)
{
    (void)state;
    read_well("{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":"
              "\"data:image/p\\\"ng;base64,AA\\\",\\\"x\\\":\\\"\"}]}]}");
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
    struct json_view input = json_view_get(json_view_of(buf_slice(&out)), "input");
    static const char want[] = "data:image/p\\\"ng;base64,AA\\\",\\\"x\\\":\\\"\"";
    assert_non_null(memmem(input.raw.at, input.raw.len, want, sizeof(want) - 1));
}

static void
test_too_few_tokens(void **state)
{
    (void)state;
    make_chat();
    q.max_tokens = 15;
    assert_int_equal(write_for(PROVIDER_OPENAI, true), ERR_DENIED);
    assert_string_equal(why.member, "max_tokens");
    assert_int_equal(write_for(PROVIDER_XAI, false), 0);
    q.max_tokens = 16;
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
}

static void
test_items_of_others_are_refused(void **state)
{
    (void)state;
    make_chat();
    turn[0] = (struct canon_part){
        .kind = PART_OPAQUE, .origin = DIALECT_ANTHROPIC, .raw = SLICE("{\"type\":\"x\"}")};
    assert_int_equal(write_for(PROVIDER_OPENAI, false), ERR_DENIED);
    assert_string_equal(why.member, "messages[2]");
    assert_int_equal(write_for(PROVIDER_OPENAI, true), 0);
    assert_int_equal(w.degraded_count, 1);
    make_chat();
    tools[1] = (struct canon_tool){
        .kind = TOOL_HOSTED, .origin = DIALECT_GEMINI, .raw = SLICE("{\"googleSearch\":{}}")};
    q.tool_count = 2;
    assert_int_equal(write_for(PROVIDER_OPENAI, false), ERR_DENIED);
    assert_string_equal(why.member, "tools[1]");
}

static void
test_custom_tools_of_chat(void **state)
{
    (void)state;
    make_chat();
    tools[0] = (struct canon_tool){
        .kind = TOOL_CUSTOM,
        .name = SLICE("c"),
        .format_raw = SLICE("{\"type\":\"grammar\",\"grammar\":{\n\"syntax\":\"regex\"}}")};
    assert_int_equal(write_for(PROVIDER_OPENAI, false), 0);
    assert_member("tools", "[{\"type\":\"custom\",\"name\":\"c\",\"format\":{\"type\":\"grammar\","
                           "\"syntax\":\"regex\"}}]");
}

/* --- what other providers do not keep --------------------------------------------------------- */

static int
leave_extras(bool may_degrade)
{
    static struct policy_provider p = {.name = SLICE("prov"), .kind = PROVIDER_ANTHROPIC};
    struct dialect_target t = {.provider = &p, .model = SLICE("m")};
    w = (struct dialect_writer){.arena = &a, .target = &t, .may_degrade = may_degrade, .why = &why};
    memset(&why, 0, sizeof(why));
    return dialect_leave_extras(&w, &q, NULL);
}

static void
test_stateful_members_are_refused_elsewhere(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"previous_response_id", "{\"input\":\"x\",\"previous_response_id\":\"r\"}"},
        {"conversation", "{\"conversation\":{\"id\":\"c\"}}"},
        {"prompt", "{\"prompt\":{\"id\":\"p\"}}"},
        {"background", "{\"input\":\"x\",\"background\":true}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_well(rows[i][1]);
        assert_int_equal(leave_extras(false), ERR_DENIED);
        assert_string_equal(why.member, rows[i][0]);
        assert_int_equal(leave_extras(true), ERR_DENIED); /* no key may leave them out */
        assert_string_equal(why.member, rows[i][0]);
    }
}

static void
test_harmless_members_elsewhere(void **state)
{
    (void)state;
    read_well("{\"input\":\"x\",\"instructions\":\"i\",\"include\":[\"reasoning.encrypted_"
              "content\"],\"truncation\":\"auto\",\"store\":true,\"stream_options\":{},"
              "\"max_tool_calls\":3,\"safety_identifier\":\"s\"}");
    assert_int_equal(leave_extras(false), 0);
    assert_slice_is(q.user, "s");
    read_well("{\"input\":\"x\",\"context_management\":[]}");
    assert_int_equal(leave_extras(false), ERR_DENIED);
    assert_string_equal(why.member, "context_management");
    assert_int_equal(leave_extras(true), 1);
    assert_slice_is(w.degraded[0], "context_management");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain_members),
        TEST(test_defaults),
        TEST(test_formats),
        TEST(test_parts_of_a_message),
        TEST(test_turns),
        TEST(test_items_of_the_provider_alone),
        TEST(test_foreign_reasoning_comes_back),
        TEST(test_signature_in_an_id),
        TEST(test_a_mark_alone_is_an_id),
        TEST(test_tools),
        TEST(test_a_grammar_is_that_of_chat),
        TEST(test_allowed_tools),
        TEST(test_refusals),
        TEST(test_too_many_allowed_tools),
        TEST(test_written_as_read),
        TEST(test_written_for_a_chat_client),
        TEST(test_open_weights_get_their_reasoning),
        TEST(test_long_ids_are_cut_alike),
        TEST(test_what_the_dialect_lacks),
        TEST(test_media_cannot_leave_their_text),
        TEST(test_too_few_tokens),
        TEST(test_items_of_others_are_refused),
        TEST(test_custom_tools_of_chat),
        TEST(test_stateful_members_are_refused_elsewhere),
        TEST(test_harmless_members_elsewhere),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&out);
    return failed;
}
