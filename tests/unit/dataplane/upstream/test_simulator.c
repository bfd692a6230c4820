/* What the simulator says: values that fit their schemas, directives, bodies that do not change. */
#include "tests/unit/check.h"

#include "dataplane/upstream/simulator_answer.h"
#include "dataplane/upstream/simulator_demand.h"
#include "dataplane/upstream/simulator_schema.h"

static struct json *
parse(const char *text)
{
    struct json *j = NULL;
    char why[128];
    if (json_parse(slice_of(text), &j, why, sizeof(why)))
        fail_msg("%s: %s", text, why);
    return j;
}

static void
test_schemas(void **state)
{
    static const struct {
        const char *schema, *value;
    } rows[] = {
        {"{\"type\":\"string\"}", "\"simulated\""},
        {"{\"type\":\"string\",\"maxLength\":3}", "\"sim\""},
        {"{\"type\":\"string\",\"minLength\":12}", "\"simulatedsim\""},
        {"{\"type\":\"string\",\"format\":\"date\"}", "\"2026-01-01\""},
        {"{\"type\":\"integer\"}", "1"},
        {"{\"type\":\"integer\",\"minimum\":5}", "5"},
        {"{\"type\":\"integer\",\"maximum\":-5}", "-5"},
        {"{\"type\":\"integer\",\"exclusiveMinimum\":5}", "6"},
        {"{\"type\":\"integer\",\"exclusiveMaximum\":1}", "0"},
        {"{\"type\":\"number\",\"multipleOf\":7}", "7"},
        {"{\"type\":\"boolean\"}", "true"},
        {"{\"type\":\"null\"}", "null"},
        {"{\"type\":[\"null\",\"boolean\"]}", "true"},
        {"{\"enum\":[\"a\",\"b\"]}", "\"a\""},
        {"{\"const\":{\"x\":1}}", "{\"x\":1}"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2}", "[1,1]"},
        {"{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}]}", "[1,2]"},
        {"{\"type\":\"array\",\"maxItems\":0}", "[]"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{}}}",
         "{\"a\":1,\"b\":\"simulated\"}"},
        {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"integer\"}]}", "1"},
        {"{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"const\":3}}}", "3"},
        {"{\"$ref\":\"#/nowhere\"}", "\"simulated\""},
        {"{}", "\"simulated\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *schema = parse(rows[i].schema);
        struct buf out;
        buf_init(&out, 0);
        assert_int_equal(simulator_schema_write(schema, &out), 0);
        assert_string_equal(buf_str(&out), rows[i].value);
        buf_free(&out);
        json_free(schema);
    }
}

/* A schema that refers to itself ends. */
static void
test_recursion_ends(void **state)
{
    static const char *const schemas[] = {
        "{\"$ref\":\"#\"}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"},\"b\":{\"$ref\":\"#\"}}}",
        "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#\"}}}",
        "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        struct json *schema = parse(schemas[i]);
        struct buf out;
        buf_init(&out, 1 << 20);
        assert_int_equal(simulator_schema_write(schema, &out), 0);
        json_free(parse(buf_str(&out)));
        buf_free(&out);
        json_free(schema);
    }
}

static void
test_directives(void **state)
{
    struct simulator_plan p;
    (void)state;
    simulator_plan_init(&p);
    simulator_plan_read(
        &p, SLICE(" latency=5 ;gap = 7; usage=10/20;no_usage=1;finish=length;status=503"));
    assert_int_equal(p.latency_ms, 5);
    assert_int_equal(p.gap_ms, 7);
    assert_int_equal(p.input_tokens, 10);
    assert_int_equal(p.output_tokens, 20);
    assert_true(p.no_usage);
    assert_string_equal(p.finish, "length");
    assert_int_equal(p.status, 503);

    simulator_plan_init(&p);
    simulator_plan_read(
        &p, SLICE("latency=-1;gap=99999999999;usage=1;usage=x/2;finish=\"};status=9999;=;;a=b"));
    assert_int_equal(p.latency_ms, 0);
    assert_int_equal(p.gap_ms, 0);
    assert_int_equal(p.input_tokens, -1);
    assert_string_equal(p.finish, "");
    assert_int_equal(p.status, 200);

    simulator_plan_init(&p);
    simulator_plan_model(&p, SLICE("simulator-error-429"));
    assert_int_equal(p.status, 429);
    simulator_plan_init(&p);
    simulator_plan_model(&p, SLICE("simulator-error-200"));
    assert_int_equal(p.status, 200);
    simulator_plan_model(&p, SLICE("simulator-slow"));
    assert_true(p.latency_ms > 0 && p.gap_ms > 0);

    simulator_plan_init(&p);
    simulator_plan_model(&p, SLICE("simulator-error-503+reasoning:4+tools:64+signature:1+x"));
    assert_int_equal(p.status, 503);
    assert_int_equal(p.reasoning, 4);
    assert_int_equal(p.tools, LIMIT_SIMULATED_CALLS);
    assert_true(p.signature);
    assert_string_equal(p.format, "simulator");
    simulator_plan_read(&p, SLICE("tools=65;signature=0;format=gemini;refusal=yes"));
    assert_int_equal(p.tools, LIMIT_SIMULATED_CALLS);
    assert_false(p.signature || p.refusal);
    assert_string_equal(p.format, "gemini");
}

static void
make(enum simulator_kind kind, const char *request, const char *directives,
     struct simulator_answer *a)
{
    struct simulator_plan p;
    struct json *j = parse(request);
    simulator_plan_init(&p);
    simulator_plan_read(&p, slice_of(directives));
    assert_int_equal(simulator_answer_make(kind, j, SLICE("simulator"), &p, a), 0);
    json_free(j);
}

#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

static void
test_the_same_every_time(void **state)
{
    struct simulator_answer a, b, c;
    (void)state;
    make(SIMULATE_CHAT, "{" HELLO "}", "", &a);
    make(SIMULATE_CHAT, "{" HELLO "}", "", &b);
    make(SIMULATE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"other\"}]}", "", &c);
    assert_true(slice_eq(buf_slice(&a.body), buf_slice(&b.body)));
    assert_false(slice_eq(buf_slice(&a.body), buf_slice(&c.body)));
    json_free(parse(buf_str(&a.body)));
    simulator_answer_free(&a);
    simulator_answer_free(&b);
    simulator_answer_free(&c);
}

/* Events end where they are said to, each is JSON, and the last is the end. */
static void
test_streams_are_whole_events(void **state)
{
    static const char *const requests[] = {
        "{\"stream\":true," HELLO "}",
        "{\"stream\":true,\"n\":3," HELLO "}",
        "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," HELLO "}",
        "{\"stream\":true,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"parameters\":"
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"minLength\":50}}}}}]"
        "," HELLO "}",
        "{\"stream\":true,\"response_format\":{\"type\":\"json_object\"}," HELLO "}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct simulator_answer a;
        make(SIMULATE_CHAT, requests[i], "", &a);
        assert_true(a.stream);
        assert_int_equal(a.ends[a.count - 1], a.body.len);
        size_t from = 0;
        for (size_t k = 0; k < a.count; k++) {
            struct slice event = slice_make(a.body.at + from, a.ends[k] - from);
            from = a.ends[k];
            assert_true(slice_starts(event, SLICE("data: ")));
            assert_true(slice_ends(event, SLICE("\n\n")));
            event = slice_make(event.at + 6, event.len - 8);
            if (k + 1 == a.count) {
                assert_slice_is(event, "[DONE]");
                continue;
            }
            struct json_error why;
            assert_int_equal(json_scan(event, &json_limits_default, NULL, 0, NULL, NULL, &why), 0);
        }
        simulator_answer_free(&a);
    }
}

static void
test_requests_that_make_no_sense(void **state)
{
    struct simulator_answer a;
    (void)state;
    make(SIMULATE_CHAT, "{}", "", &a);
    assert_int_equal(a.status, 400);
    simulator_answer_free(&a);
    make(SIMULATE_COMPLETION, "{}", "", &a);
    assert_int_equal(a.status, 400);
    simulator_answer_free(&a);
    make(SIMULATE_EMBEDDINGS, "{}", "", &a);
    assert_int_equal(a.status, 400);
    simulator_answer_free(&a);
    make(SIMULATE_CHAT, "{\"stream\":true," HELLO "}", "status=500", &a);
    assert_int_equal(a.status, 500);
    assert_false(a.stream);
    simulator_answer_free(&a);
}

/* --- what all dialects have ------------------------------------------------------------------- */

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"     \
    "\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"minLength\":30}}}}},"                 \
    "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\"}}}]"

static void
test_features(void **state)
{
    static const struct {
        const char *request, *directives, *says;
    } rows[] = {
        {"{" HELLO "}", "reasoning=3", "\"reasoning_content\":\"Let me think:\""},
        {"{" HELLO "}", "reasoning=3", "\"completion_tokens\":15"},
        {"{" HELLO "}", "reasoning=3", "\"reasoning_tokens\":3"},
        {"{\"max_tokens\":5," HELLO "}", "reasoning=9", "\"finish_reason\":\"length\""},
        {"{\"max_tokens\":5," HELLO "}", "reasoning=9", "\"reasoning_tokens\":5"},
        {"{" HELLO "}", "reasoning=1;signature=1", "\"type\":\"reasoning.text\",\"text\":\"Let\""},
        {"{" HELLO "}", "reasoning=1;signature=1", "\"format\":\"simulator\",\"index\":0"},
        {"{" HELLO "}", "reasoning=1;encrypted=1;format=anthropic", "\"format\":\"anthropic\""},
        {"{" HELLO "," TOOLS "}", "tools=3", "\"name\":\"g\""},
        {"{" HELLO "," TOOLS "}", "tools=3",
         "_3\",\"type\":\"function\",\"function\":{\"name\":\"f\""},
        {"{" HELLO "," TOOLS "}", "call_signature=1", "\"thought_signature\":\"+/+/"},
        {"{" HELLO "}", "citations=2", "\"start_index\":5,\"end_index\":7,\"title\":\"Source 2\""},
        {"{" HELLO "}", "cached=2", "\"cached_tokens\":2"},
        {"{" HELLO "}", "cached=9999", "\"cached_tokens\":6"},
        {"{" HELLO "}", "refusal=1;text=2", "\"content\":null,\"refusal\":\"This is\""},
        {"{" HELLO "}", "filter=1", "\"finish_reason\":\"content_filter\""},
        {"{" HELLO "}", "images=1", "\"image_url\":{\"url\":\"data:image/png;base64,"},
        {"{\"logprobs\":true,\"top_logprobs\":2," HELLO "}", "",
         "{\"token\":\" other1\",\"logprob\":-2.125,\"bytes\":null}]}"},
        {"{\"service_tier\":\"flex\"," HELLO "}", "", "\"service_tier\":\"flex\""},
        {"{\"service_tier\":\"auto\"," HELLO "}", "", "\"service_tier\":\"default\""},
        {"{\"stream\":true," HELLO "," TOOLS "}", "tools=2",
         "{\"index\":1,\"function\":{\"arguments\""},
        {"{\"stream\":true," HELLO "}", "reasoning=2;signature=1",
         "{\"reasoning_content\":\"Let\""},
        {"{\"stream\":true," HELLO "}", "citations=1", "{\"annotations\":[{"},
        {"{\"stream\":true," HELLO "}", "refusal=1", "{\"refusal\":\"This\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct simulator_answer a;
        make(SIMULATE_CHAT, rows[i].request, rows[i].directives, &a);
        if (!strstr(buf_str(&a.body), rows[i].says))
            fail_msg("%zu: %s is not in %s", i, rows[i].says, buf_str(&a.body));
        if (!a.stream)
            json_free(parse(buf_str(&a.body)));
        simulator_answer_free(&a);
    }
}

/* Encrypted reasoning is not told. */
static void
test_encrypted_is_not_told(void **state)
{
    struct simulator_answer a;
    (void)state;
    make(SIMULATE_CHAT, "{" HELLO "}", "reasoning=3;encrypted=1", &a);
    assert_null(strstr(buf_str(&a.body), "reasoning_content"));
    assert_non_null(strstr(buf_str(&a.body), "\"reasoning.encrypted\",\"data\":\"+/+/"));
    simulator_answer_free(&a);
}

/* All of a stream's features together fit into what is counted for its events. */
static void
test_the_longest_stream(void **state)
{
    struct simulator_answer a;
    (void)state;
    make(SIMULATE_CHAT,
         "{\"stream\":true,\"n\":8,\"stream_options\":{\"include_usage\":true}," HELLO "}",
         "reasoning=2;signature=1;encrypted=1;text=2;citations=1;images=1", &a);
    assert_int_equal(a.count, 8 * (1 + 2 + 1 + 2 + 1 + 1 + 1) + 2);
    simulator_answer_free(&a);
    make(SIMULATE_CHAT, "{\"stream\":true," HELLO "}", "reasoning=2;error_after=2", &a);
    assert_int_equal(a.count, 3);
    assert_non_null(strstr(buf_str(&a.body), "broke off"));
    simulator_answer_free(&a);
}

/* What was given comes back: as it was, altered, without a piece, in another turn. */
static void
replay(const char *directives, const char *message, int status)
{
    struct simulator_answer a;
    struct buf request;
    char demand[160];
    buf_init(&request, 0);
    snprintf(demand, sizeof(demand), "%s;demand_signature=1", directives);
    assert_int_equal(buf_addf(&request,
                              "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},%s,"
                              "{\"role\":\"tool\",\"tool_call_id\":\"?\",\"content\":\"y\"}]}",
                              message),
                     0);
    make(SIMULATE_CHAT, buf_str(&request), demand, &a);
    if (a.status != status)
        fail_msg("%d for %s (%s)", a.status, message, directives);
    buf_free(&request);
    simulator_answer_free(&a);
}

static void
test_demands(void **state)
{
    static const struct {
        const char *directives, *sign;
    } rows[] = {
        {"reasoning=4;signature=1", "+/+/"},
        {"reasoning=4;signature=1", "Let me"},
        {"reasoning=4;encrypted=1", "+/+/"},
        {"reasoning=4;call_signature=1", "+/+/"},
        {"reasoning=4;call_signature=1", "call_sim"},
        {"reasoning=4;signature=1;encrypted=1;call_signature=1", "data"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct simulator_answer a;
        make(SIMULATE_CHAT, "{" HELLO "," TOOLS "}", rows[i].directives, &a);
        struct json *whole = parse(buf_str(&a.body));
        struct buf message;
        buf_init(&message, 0);
        assert_int_equal(json_write(json_get(json_at(json_get(whole, "choices"), 0), "message"),
                                    false, 0, &message),
                         0);
        replay(rows[i].directives, buf_str(&message), 200);
        /* every place of it but in reasoning_content, which is no more than shown */
        char *at = strstr(message.at, "reasoning_details");
        at = strstr(at ? at : message.at, rows[i].sign);
        at[1] = '~';
        replay(rows[i].directives, buf_str(&message), 400);
        buf_free(&message);
        json_free(whole);
        simulator_answer_free(&a);
    }
    char pieces[640], signature[SIM_SIGNATURE_BYTES];
    simulator_sign(SIGNED_REASONING, 1, SLICE("ab"), signature);
    snprintf(pieces, sizeof(pieces),
             "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_sim00000001\"}],"
             "\"reasoning_details\":[{\"text\":\"a\"},{\"text\":\"b\"},{\"signature\":\"%s\"}]}",
             signature);
    replay("signature=1", pieces, 200);
    *strstr(pieces, "b\"}") = 'c';
    replay("signature=1", pieces, 400);
    replay("signature=1", "{\"role\":\"assistant\",\"content\":\"no call\"}", 200);
    replay("signature=1", "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_sim00000000\"}]}",
           400);
}

/* A signature is of its own turn. */
static void
test_signatures_differ(void **state)
{
    char a[SIM_SIGNATURE_BYTES], b[SIM_SIGNATURE_BYTES];
    (void)state;
    simulator_sign(SIGNED_REASONING, 1, SLICE("text"), a);
    simulator_sign(SIGNED_REASONING, 2, SLICE("text"), b);
    assert_string_not_equal(a, b);
    simulator_sign(SIGNED_REASONING, 1, SLICE("test"), b);
    assert_string_not_equal(a, b);
    simulator_sign(SIGNED_CALL, 1, SLICE("text"), b);
    assert_string_not_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_recursion_ends),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_the_same_every_time),
        cmocka_unit_test(test_streams_are_whole_events),
        cmocka_unit_test(test_requests_that_make_no_sense),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_encrypted_is_not_told),
        cmocka_unit_test(test_the_longest_stream),
        cmocka_unit_test(test_demands),
        cmocka_unit_test(test_signatures_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
