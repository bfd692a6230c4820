/* Whole requests through the story, with the simulator as provider and a client that takes notes.
 */
#include "tests/unit/dataplane/stand.h"

#define CHAT "/v1/chat/completions"
#define HELLO "{\"model\":\"simulator\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"
#define STREAM                                                                                     \
    "{\"model\":\"simulator\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"       \
    "\"hi\"}]}"

static struct stand stand;
static struct arena arena;
static struct usage usage;

static int
set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    stand_init(&stand);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    stand_fini(&stand);
    arena_free(&arena);
    return 0;
}

/* --- who may what ----------------------------------------------------------------------------- */

static void
test_credentials(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *name2, *value2;
        int status;
    } rows[] = {
        {NULL, NULL, NULL, NULL, 401},
        {"authorization", "Bearer " TEST_KEY, NULL, NULL, 200},
        {"authorization", "bearer  " TEST_KEY " ", NULL, NULL, 200},
        {"x-api-key", TEST_KEY, NULL, NULL, 200},
        {"api-key", TEST_KEY, NULL, NULL, 200},
        {"x-goog-api-key", TEST_KEY, NULL, NULL, 200},
        {"authorization", "Bearer " TEST_KEY, "x-api-key", TEST_KEY, 200},
        {"authorization", "Bearer " TEST_KEY, "x-api-key", "sk-other", 401},
        {"x-api-key", TEST_KEY, "x-api-key", TEST_KEY "x", 401},
        {"authorization", "Basic " TEST_KEY, NULL, NULL, 401},
        {"authorization", TEST_KEY, NULL, NULL, 401},
        {"authorization", "Bearer Bearer " TEST_KEY, NULL, NULL, 401},
        {"authorization", "Bearer " TEST_KEY "x", NULL, NULL, 401},
        {"authorization", "Bearer sk-hg-goo", NULL, NULL, 401},
        {"authorization", "Bearer " TEST_KEY_DISABLED, NULL, NULL, 401},
        {"authorization", "Bearer " TEST_KEY_EXPIRED, NULL, NULL, 401},
        {"authorization", "Bearer " TEST_KEY_OFF_TEAM, NULL, NULL, 403},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        client_init(&c, "POST", CHAT);
        if (rows[i].name)
            client_field(&c, rows[i].name, rows[i].value);
        if (rows[i].name2)
            client_field(&c, rows[i].name2, rows[i].value2);
        stand_start(&stand, &c, HELLO);
        stand_finish(&stand, &c);
        if (c.status != rows[i].status)
            fail_msg("row %zu: %d, want %d", i, c.status, rows[i].status);
        if (c.status == 401) {
            assert_slice_is(client_answer(&c, "x-headgate-error"), "invalid_api_key");
            assert_true(client_body_has(&c, "\"source\":\"gateway\""));
            assert_false(client_body_has(&c, "sk-"));
        }
        client_fini(&c);
    }
}

/* I14: an infrastructure fault is never a 401. */
static void
test_f087_no_policy_is_503(void **state)
{
    struct test_client c;
    (void)state;
    pin_swap(&stand.pin, NULL);
    stand_post(&stand, &c, CHAT, NULL, HELLO);
    assert_int_equal(c.status, 503);
    assert_slice_is(client_answer(&c, "x-headgate-error"), "no_policy");
    assert_slice_is(client_answer(&c, "retry-after"), "1");
    client_fini(&c);
}

/* I9: without a control plane for a minute, keys that ask for it are refused, and others are not.
 */
static void
test_i9_partition_stops_the_keys_that_ask_for_it(void **state)
{
    static const struct {
        const char *key;
        int64_t silence_ms;
        int status;
    } rows[] = {
        {TEST_KEY_STRICT, 0, 200},
        {TEST_KEY_STRICT, 59000, 200},
        {TEST_KEY_STRICT, 61000, 503},
        {TEST_KEY, 61000, 200},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        stand.svc.contact_ms = loop_now_ms(stand.svc.loop) - rows[i].silence_ms;
        client_init(&c, "POST", CHAT);
        client_field(&c, "x-api-key", rows[i].key);
        stand_start(&stand, &c, HELLO);
        stand_finish(&stand, &c);
        assert_int_equal(c.status, rows[i].status);
        if (c.status == 503)
            assert_slice_is(client_answer(&c, "x-headgate-error"), "partitioned");
        client_fini(&c);
    }
}

static void
test_models(void **state)
{
    (void)state;
    static const struct {
        const char *key, *body, *code;
        int status;
    } rows[] = {
        {TEST_KEY, HELLO, "", 200},
        {TEST_KEY, "{\"model\":\"sim/simulator\",\"messages\":[{}]}", "", 200},
        {TEST_KEY, "{\"model\":\"nope\",\"messages\":[]}", "model_not_found", 404},
        {TEST_KEY_LIMITED, HELLO, "model_not_found", 404},
        {TEST_KEY, "{\"model\":\"sim/a\\r\\nx: y\",\"messages\":[]}", "model_not_found", 404},
        {TEST_KEY, "{\"model\":\"sim/a\\u0001\",\"messages\":[]}", "model_not_found", 404},
        {TEST_KEY, "{\"messages\":[]}", "missing_required_parameter", 400},
        {TEST_KEY, "{\"model\":7}", "invalid_value", 400},
        {TEST_KEY, "{\"model\":\"unpriced\",\"messages\":[]}", "unpriced_model", 400},
        {TEST_KEY, "{\"model\":\"free\",\"messages\":[{}]}", "", 200},
        {TEST_KEY, "{\"model\":\"a\",\"model\":\"simulator\"}", "duplicate_member", 400},
        {TEST_KEY, "{\"model\":\"a\",\"mod\\u0065l\":\"simulator\"}", "duplicate_member", 400},
        {TEST_KEY, "{\"model\":\"simulator\",\"stream\":1}", "invalid_value", 400},
        {TEST_KEY, "{\"model\":\"simulator\",\"stream\":true,\"stream\":false}", "duplicate_member",
         400},
        {TEST_KEY, "", "invalid_json", 400},
        {TEST_KEY, "[]", "invalid_json", 400},
        {TEST_KEY, "{} {}", "invalid_json", 400},
        {TEST_KEY, "{\"model\":\"\xc0\x80\"}", "invalid_json", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        client_init(&c, "POST", CHAT);
        client_field(&c, "x-api-key", rows[i].key);
        stand_start(&stand, &c, rows[i].body);
        stand_finish(&stand, &c);
        if (c.status != rows[i].status)
            fail_msg("row %zu: %d, want %d", i, c.status, rows[i].status);
        if (rows[i].code[0])
            assert_slice_is(client_answer(&c, "x-headgate-error"), rows[i].code);
        client_fini(&c);
    }
}

#define ASK(more) "{\"model\":\"simulator\",\"messages\":[{}]" more "}"

/* A limit of the key and one of its team are refused alike, each by its name. */
static void
test_scopes(void **state)
{
    static const struct {
        const char *path, *body, *code, *says;
        int status;
    } rows[] = {
        {CHAT, ASK(",\"max_tokens\":100"), "", "", 200},
        {CHAT, ASK(",\"max_completion_tokens\":1,\"tools\":null,\"stream\":false"), "", "", 200},
        {CHAT, ASK(",\"max_tokens\":101"), "parameter_not_allowed", "from 1 to 100", 403},
        {CHAT, ASK(",\"max_tokens\":1,\"max_completion_tokens\":101"), "parameter_not_allowed",
         "max_completion_tokens", 403},
        {CHAT, ASK(",\"max_completion_tokens\":1,\"max_tokens\":1e9"), "parameter_not_allowed",
         "max_tokens", 403},
        {CHAT, ASK(",\"max_tokens\":\"5\""), "parameter_not_allowed", "max_tokens", 403},
        {CHAT, ASK(",\"max_tokens\":0"), "parameter_not_allowed", "max_tokens", 403},
        {CHAT, ASK(""), "parameter_not_allowed", "must give", 403},
        {CHAT, ASK(",\"max_tokens\":1,\"tools\":[]"), "parameter_not_allowed", "'tools'", 403},
        {CHAT, ASK(",\"max_tokens\":1,\"functions\":[{}]"), "parameter_not_allowed", "'functions'",
         403},
        {CHAT, ASK(",\"max_tokens\":1,\"stream\":true"), "parameter_not_allowed", "'stream'", 403},
        {"/v1/embeddings", "{\"model\":\"simulator\",\"input\":\"x\"}", "endpoint_not_allowed",
         "'embeddings'", 403},
    };
    static const char *const keys[][2] = {{TEST_KEY_SCOPED, "The key"},
                                          {TEST_KEY_NARROW_TEAM, "The team"}};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        client_init(&c, "POST", rows[i / 2].path);
        client_field(&c, "x-api-key", keys[i % 2][0]);
        stand_start(&stand, &c, rows[i / 2].body);
        stand_finish(&stand, &c);
        if (c.status != rows[i / 2].status)
            fail_msg("row %zu: %d, want %d", i / 2, c.status, rows[i / 2].status);
        if (c.status == 403) {
            assert_slice_is(client_answer(&c, "x-headgate-error"), rows[i / 2].code);
            assert_true(client_body_has(&c, rows[i / 2].says));
            assert_true(client_body_has(&c, keys[i % 2][1]));
        }
        client_fini(&c);
    }
}

static void
test_an_empty_list_of_endpoints_is_none(void **state)
{
    struct test_client c;
    (void)state;
    client_init(&c, "POST", CHAT);
    client_field(&c, "x-api-key", TEST_KEY_NO_ENDPOINT);
    stand_start(&stand, &c, HELLO);
    stand_finish(&stand, &c);
    assert_int_equal(c.status, 403);
    client_fini(&c);
}

static void
test_f022_media_types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int status;
    } rows[] = {
        {"content-type", "application/json", 200},
        {"content-type", "Application/JSON; charset=UTF-8", 200},
        {"content-type", "application/json; charset=utf-16", 415},
        {"content-type", "text/plain", 415},
        {"content-type", "multipart/form-data; boundary=x", 415},
        {"content-encoding", "gzip", 415},
        {"content-encoding", "identity", 200},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        client_init(&c, "POST", CHAT);
        client_field(&c, "x-api-key", TEST_KEY);
        client_field(&c, rows[i].name, rows[i].value);
        stand_start(&stand, &c, HELLO);
        stand_finish(&stand, &c);
        if (c.status != rows[i].status)
            fail_msg("row %zu: %d, want %d", i, c.status, rows[i].status);
        client_fini(&c);
    }
}

static void
test_body_budget_refuses_with_503(void **state)
{
    struct test_client c;
    (void)state;
    stand.svc.limits.held_bytes = 4096;
    client_init(&c, "POST", CHAT);
    client_field(&c, "x-api-key", TEST_KEY);
    c.stream.head.content_length = 4097;
    stand_start(&stand, &c, NULL);
    stand_finish(&stand, &c);
    assert_int_equal(c.status, 503);
    assert_slice_is(client_answer(&c, "x-headgate-error"), "overloaded");
    assert_true(client_answer(&c, "retry-after").len > 0);
    client_fini(&c);
}

static void
test_lists(void **state)
{
    struct test_client c;
    (void)state;
    client_init(&c, "GET", "/v1/models");
    client_field(&c, "authorization", "Bearer " TEST_KEY);
    stand_start(&stand, &c, NULL);
    assert_int_equal(c.status, 200);
    assert_true(client_body_has(&c, "\"id\":\"renamed\""));
    assert_true(client_body_has(&c, "\"id\":\"simulator\""));
    client_fini(&c);

    client_init(&c, "GET", "/openai/v1/models/simulator?x=1");
    client_field(&c, "authorization", "Bearer " TEST_KEY);
    stand_start(&stand, &c, NULL);
    assert_int_equal(c.status, 200);
    assert_true(client_body_has(&c, "{\"id\":\"simulator\",\"object\":\"model\""));
    client_fini(&c);

    client_init(&c, "GET", "/v1/models");
    client_field(&c, "authorization", "Bearer " TEST_KEY_LIMITED);
    stand_start(&stand, &c, NULL);
    assert_int_equal(c.status, 200);
    assert_false(client_body_has(&c, "\"simulator\""));
    client_fini(&c);

    client_init(&c, "GET", "/v1/models/nope");
    client_field(&c, "authorization", "Bearer " TEST_KEY);
    stand_start(&stand, &c, NULL);
    assert_int_equal(c.status, 404);
    client_fini(&c);
    stand_run(&stand, 10);
    assert_int_equal(stand_records(&stand, &arena, &usage), 0);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
test_chat_is_answered_counted_and_priced(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "usage=100/20", HELLO);
    assert_int_equal(c.status, 200);
    assert_true(c.ended);
    assert_true(client_body_has(&c, "\"object\":\"chat.completion\""));
    assert_slice_is(client_answer(&c, "content-type"), "application/json");
    assert_slice_is(client_answer(&c, "cache-control"), "no-store");
    assert_slice_is(client_answer(&c, "x-headgate-provider"), "sim");
    assert_slice_is(client_answer(&c, "x-headgate-model"), "simulator");
    assert_slice_is(client_answer(&c, "x-headgate-attempts"), "1");
    assert_slice_is(client_answer(&c, "x-headgate-cache"), "none");
    assert_slice_is(client_answer(&c, "x-headgate-policy"), "3.14");
    assert_slice_is(client_answer(&c, "x-headgate-cost-usd"), "0.00014");

    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.tokens.input, 100);
    assert_int_equal(usage.tokens.output, 20);
    assert_int_equal(usage.cost, 140000);
    assert_int_equal(usage.outcome, USAGE_DONE);
    assert_int_equal(usage.status, 200);
    assert_false(usage.estimated || usage.incomplete);
    assert_slice_is(usage.key, "good");
    assert_slice_is(usage.team, "t");
    assert_slice_is(usage.endpoint, "chat.completions");
    assert_slice_is(usage.price_version, "test-1");
    assert_true(slice_eq(usage.request_id, client_answer(&c, "x-request-id")));
    client_fini(&c);
}

static void
test_missing_usage_is_estimated(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "no_usage=1;text=30", HELLO);
    assert_int_equal(c.status, 200);
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_true(usage.estimated);
    assert_true(usage.tokens.input > 0);
    assert_true(usage.tokens.output >= 30);
    assert_true(usage.cost > 0);
    client_fini(&c);
}

/* F067: more than four times the limit cannot be. */
static void
test_f067_absurd_usage_is_estimated(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "usage=10/100000",
               "{\"model\":\"simulator\",\"max_tokens\":10,\"messages\":[{\"role\":\"user\","
               "\"content\":\"x\"}]}");
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_true(usage.estimated);
    assert_true(usage.tokens.output < 1000);
    assert_int_equal(stand.page->usage_suspect, 1);
    client_fini(&c);
}

static void
test_provider_error_keeps_status_and_text(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "status=429;retry_after=7", HELLO);
    assert_int_equal(c.status, 429);
    assert_slice_is(client_answer(&c, "retry-after"), "7");
    assert_slice_is(client_answer(&c, "x-headgate-error-source"), "provider");
    assert_true(client_body_has(&c, "\"code\":\"rate_limit_exceeded\""));
    assert_true(client_body_has(&c, "\"source\":\"provider\""));
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.upstream_status, 429);
    assert_int_equal(usage.cost, 0);
    assert_false(usage.estimated);
    client_fini(&c);
}

/* I14: the gateway's credential was refused, not the client's. */
static void
test_provider_401_is_not_the_clients(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "status=401", HELLO);
    assert_int_equal(c.status, 502);
    assert_slice_is(client_answer(&c, "x-headgate-error"), "upstream_auth");
    client_fini(&c);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void
test_stream_passes_without_the_usage_we_asked_for(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "chunks=5;usage=100/5", STREAM);
    assert_int_equal(c.status, 200);
    assert_true(c.ended);
    assert_slice_is(client_answer(&c, "content-type"), "text/event-stream; charset=utf-8");
    assert_false(client_body_has(&c, "usage"));
    assert_true(slice_ends(buf_slice(&c.body), SLICE("\n\ndata: [DONE]\n\n")));
    assert_slice_is(c.trailers[0].value, "0.00011");
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.tokens.input, 100);
    assert_int_equal(usage.tokens.output, 5);
    assert_false(usage.estimated);
    assert_true(usage.stream);
    client_fini(&c);
}

static void
test_stream_keeps_the_usage_the_client_asked_for(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "chunks=2;usage=9/2",
               "{\"model\":\"simulator\",\"stream\":true,\"stream_options\":{\"include_usage\":"
               "true},\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    assert_true(client_body_has(&c, "\"usage\":null"));
    assert_true(client_body_has(&c, "\"choices\":[],\"usage\":{\"prompt_tokens\":9"));
    client_fini(&c);
}

/* F058, F060: what breaks off never looks whole. */
static void
test_f058_cut_stream_ends_with_one_error_event(void **state)
{
    (void)state;
    static const char *const cuts[] = {"chunks=10;cut_after=1", "chunks=10;cut_after=5",
                                       "chunks=10;cut_after=12", "chunks=10;cut_after=13"};
    for (size_t i = 0; i < 4; i++) {
        struct test_client c;
        stand_post(&stand, &c, CHAT, cuts[i], STREAM);
        assert_int_equal(c.status, 200);
        assert_true(c.aborted);
        assert_false(client_body_has(&c, "[DONE]"));
        assert_true(client_body_has(&c, "data: {\"error\":{"));
        assert_true(client_body_has(&c, "\"code\":\"upstream_truncated\""));
        const char *first = memmem(c.body.at, c.body.len, "\"error\"", 7);
        size_t rest = (size_t)(c.body.at + c.body.len - first) - 7;
        assert_null(memmem(first + 7, rest, "\"error\"", 7));
        assert_int_equal(stand_records(&stand, &arena, &usage), i + 1);
        assert_int_equal(usage.outcome, USAGE_UPSTREAM_FAILED);
        assert_int_equal(usage.incomplete, i < 3); /* the last cut came after the usage */
        client_fini(&c);
    }
}

static void
test_f058_cut_before_the_first_event_is_a_502(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "cut_after=0", STREAM);
    assert_int_equal(c.status, 502);
    assert_true(c.ended);
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_true(usage.incomplete);
    client_fini(&c);
}

static void
test_f061_error_event_is_told_in_our_shape(void **state)
{
    struct test_client c;
    (void)state;
    stand_post(&stand, &c, CHAT, "chunks=8;error_after=4", STREAM);
    assert_int_equal(c.status, 200);
    assert_true(c.aborted);
    assert_true(client_body_has(&c, "The simulated model broke off."));
    assert_true(client_body_has(&c, "\"source\":\"provider\""));
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_true(usage.tokens.output >= 3);
    assert_true(usage.tokens.output < 20); /* the error's text is not billed */
    client_fini(&c);

    stand_post(&stand, &c, CHAT, "chunks=8;error_after=0", STREAM);
    assert_true(c.status >= 500);
    assert_true(c.ended);
    client_fini(&c);
}

static void
test_full_client_stops_the_upstream(void **state)
{
    struct test_client c;
    struct request *r;
    (void)state;
    client_init(&c, "POST", CHAT);
    client_field(&c, "x-api-key", TEST_KEY);
    client_field(&c, "x-headgate-sim", "chunks=2000");
    c.write_result = ERR_AGAIN;
    r = stand_start(&stand, &c, STREAM);
    stand_run(&stand, 100);
    assert_true(r->answer.attempt.paused);
    size_t held = c.body.len;
    assert_false(c.ended);
    stand_run(&stand, 100);
    assert_int_equal(c.body.len, held);
    c.write_result = 0;
    front_handlers.on_drained(r, &c.stream);
    stand_finish(&stand, &c);
    assert_true(c.ended);
    assert_true(c.body.len > held);
    client_fini(&c);
}

/* What cannot be written leaves a hole: the stream breaks off, and does not go on behind it. */
static void
test_a_failed_write_ends_the_stream(void **state)
{
    struct test_client c;
    (void)state;
    client_init(&c, "POST", CHAT);
    client_field(&c, "x-api-key", TEST_KEY);
    client_field(&c, "x-headgate-sim", "chunks=50;gap=10");
    stand_start(&stand, &c, STREAM);
    stand_run(&stand, 60);
    assert_int_equal(c.status, 200);
    c.write_result = ERR_NOMEM;
    stand_finish(&stand, &c);
    assert_true(c.aborted);
    assert_false(client_body_has(&c, "[DONE]"));
    stand_run(&stand, 30);
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.outcome, USAGE_CLIENT_GONE);
    assert_slice_is(usage.error_code, "client_write");
    client_fini(&c);
}

/* Streams share the outlet in turn, and nothing of one is in another (I6). */
static void
test_streams_do_not_mix(void **state)
{
    static const char *const bodies[] = {
        "{\"model\":\"simulator\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
        "\"a\"}]}",
        "{\"model\":\"renamed\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"b\"}"
        "]}",
    };
    static const char *const models[] = {"\"model\":\"simulator\"", "\"model\":\"simulator-x\""};
    struct test_client c[8];
    (void)state;
    for (int i = 0; i < 8; i++) {
        client_init(&c[i], "POST", CHAT);
        client_field(&c[i], "x-api-key", TEST_KEY);
        client_field(&c[i], "x-headgate-sim", i % 3 ? "chunks=30;gap=10" : "chunks=500");
        stand_start(&stand, &c[i], bodies[i % 2]);
    }
    for (int i = 0; i < 8; i++) {
        stand_finish(&stand, &c[i]);
        assert_true(c[i].ended);
        assert_true(slice_ends(buf_slice(&c[i].body), SLICE("data: [DONE]\n\n")));
        assert_true(client_body_has(&c[i], models[i % 2]));
        assert_false(client_body_has(&c[i], models[(i + 1) % 2]));
        client_fini(&c[i]);
    }
}

/* --- long answers ----------------------------------------------------------------------------- */

static void
test_a_long_answer_passes_and_its_usage_is_found(void **state)
{
    struct test_client whole, parts;
    static const char body[] = "{\"model\":\"simulator\",\"input\":[\"a\",\"b\",\"c\"]}";
    (void)state;
    stand_post(&stand, &whole, "/v1/embeddings", "usage=21/0", body);
    assert_int_equal(whole.status, 200);
    assert_true(client_answer(&whole, "x-headgate-cost-usd").len > 0);
    stand.svc.limits.answer_bytes = 1000;
    stand_post(&stand, &parts, "/v1/embeddings", "usage=21/0", body);
    assert_int_equal(parts.status, 200);
    assert_true(parts.ended);
    assert_null(client_answer(&parts, "x-headgate-cost-usd").at);
    assert_true(slice_eq(buf_slice(&whole.body), buf_slice(&parts.body)));
    assert_slice_is(parts.trailers[0].value, "0.000021");
    assert_int_equal(stand_records(&stand, &arena, &usage), 2);
    assert_int_equal(usage.tokens.input, 21);
    assert_int_equal(usage.tokens.output, 0);
    assert_false(usage.estimated);
    client_fini(&whole);
    client_fini(&parts);
}

static void
test_a_long_answer_without_usage_is_estimated(void **state)
{
    struct test_client c;
    (void)state;
    stand.svc.limits.answer_bytes = 1000;
    stand_post(&stand, &c, "/v1/embeddings", "no_usage=1",
               "{\"model\":\"simulator\",\"input\":\"some text\"}");
    assert_int_equal(c.status, 200);
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_true(usage.estimated);
    assert_true(usage.tokens.input > 0);
    assert_int_equal(usage.tokens.output, 0);
    client_fini(&c);
}

/* --- clients that leave ----------------------------------------------------------------------- */

static void
test_f023_client_gone_is_settled_at_what_it_got(void **state)
{
    (void)state;
    static const int waits[] = {0, 60, 150};
    for (size_t i = 0; i < 3; i++) {
        struct test_client c;
        client_init(&c, "POST", CHAT);
        client_field(&c, "x-api-key", TEST_KEY);
        client_field(&c, "x-headgate-sim", "chunks=100;gap=10;latency=20");
        struct request *r = stand_start(&stand, &c, STREAM);
        stand_run(&stand, 30 + waits[i]);
        size_t chunks = 0;
        for (const char *at = c.body.at; at && (at = strstr(buf_str(&c.body), "content\":\""));) {
            chunks++;
            buf_drop(&c.body, (size_t)(at - c.body.at) + 10);
        }
        c.aborted = true;
        front_handlers.on_abort(r, &c.stream, ERR_RESET, "reset");
        stand_run(&stand, 20);
        assert_int_equal(stand.svc.request_count, 0);
        assert_int_equal(stand_records(&stand, &arena, &usage), i + 1);
        assert_int_equal(usage.outcome, USAGE_CLIENT_GONE);
        assert_true(usage.estimated);
        assert_true(usage.tokens.input > 0);
        if (chunks > 1) /* the first has the role only */
            assert_true(usage.tokens.output >= (int64_t)chunks - 1);
        client_fini(&c);
    }
}

static void
test_f024_drain_learns_the_exact_usage(void **state)
{
    struct test_client c;
    (void)state;
    client_init(&c, "POST", CHAT);
    client_field(&c, "x-api-key", TEST_KEY);
    client_field(&c, "x-headgate-sim", "chunks=10;gap=10;usage=77/10");
    struct request *r = stand_start(&stand, &c,
                                    "{\"model\":\"drained\",\"stream\":true,\"messages\":[{"
                                    "\"role\":\"user\",\"content\":\"x\"}]}");
    stand_run(&stand, 40);
    c.aborted = true;
    front_handlers.on_abort(r, &c.stream, ERR_CLOSED, "closed");
    assert_int_equal(stand.svc.drain_count, 1);
    for (int i = 0; i < 100 && stand.svc.request_count; i++)
        stand_run(&stand, 10);
    assert_int_equal(stand.svc.drain_count, 0);
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.tokens.input, 77);
    assert_int_equal(usage.outcome, USAGE_CLIENT_GONE);
    assert_false(usage.estimated);
    client_fini(&c);
}

static void
test_f024_drains_are_capped_in_number_and_time(void **state)
{
    struct test_client c[2];
    struct request *r[2];
    (void)state;
    stand.svc.limits.drains = 1;
    stand.svc.limits.drain_ms = 50;
    for (int i = 0; i < 2; i++) {
        client_init(&c[i], "POST", CHAT);
        client_field(&c[i], "x-api-key", TEST_KEY);
        client_field(&c[i], "x-headgate-sim", "stall_after=2");
        r[i] =
            stand_start(&stand, &c[i], "{\"model\":\"drained\",\"stream\":true,\"messages\":[{}]}");
        stand_run(&stand, 20);
    }
    for (int i = 0; i < 2; i++) {
        c[i].aborted = true;
        front_handlers.on_abort(r[i], &c[i].stream, ERR_CLOSED, "closed");
    }
    assert_int_equal(stand.svc.request_count, 1); /* the second was cancelled at once */
    stand_run(&stand, 100);
    assert_int_equal(stand.svc.request_count, 0);
    assert_int_equal(stand_records(&stand, &arena, &usage), 2);
    client_fini(&c[0]);
    client_fini(&c[1]);
}

/* --- the shutdown's farewell ------------------------------------------------------------------ */

static void
test_farewell_at_every_stage_that_waits(void **state)
{
    (void)state;
    static const struct {
        const char *sim;
        bool body, aborted;
        int status;
    } rows[] = {{NULL, false, false, 503},
                {"latency=5000", true, false, 503},
                {"stall_after=3", true, true, 200}};
    for (size_t i = 0; i < 3; i++) {
        struct test_client c;
        client_init(&c, "POST", CHAT);
        client_field(&c, "x-api-key", TEST_KEY);
        if (rows[i].sim)
            client_field(&c, "x-headgate-sim", rows[i].sim);
        struct request *r = front_handlers.on_request(&stand.svc, &c.stream, &c.stream.head);
        if (rows[i].body) {
            front_handlers.on_body(r, &c.stream, SLICE(STREAM));
            front_handlers.on_body_end(r, &c.stream);
        }
        stand_run(&stand, 30);
        deliver_farewell(r);
        request_abort(r, USAGE_SHUTDOWN);
        assert_int_equal(c.status, rows[i].status);
        assert_int_equal(c.aborted, rows[i].aborted);
        assert_true(client_body_has(&c, "shutting_down"));
        stand_run(&stand, 10);
        client_fini(&c);
    }
    /* the first had no attempt, the second had not been sent */
    assert_int_equal(stand_records(&stand, &arena, &usage), 1);
    assert_int_equal(usage.outcome, USAGE_SHUTDOWN);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_credentials),
        TEST(test_f087_no_policy_is_503),
        TEST(test_i9_partition_stops_the_keys_that_ask_for_it),
        TEST(test_models),
        TEST(test_scopes),
        TEST(test_an_empty_list_of_endpoints_is_none),
        TEST(test_f022_media_types),
        TEST(test_body_budget_refuses_with_503),
        TEST(test_lists),
        TEST(test_chat_is_answered_counted_and_priced),
        TEST(test_missing_usage_is_estimated),
        TEST(test_f067_absurd_usage_is_estimated),
        TEST(test_provider_error_keeps_status_and_text),
        TEST(test_provider_401_is_not_the_clients),
        TEST(test_stream_passes_without_the_usage_we_asked_for),
        TEST(test_stream_keeps_the_usage_the_client_asked_for),
        TEST(test_f058_cut_stream_ends_with_one_error_event),
        TEST(test_f058_cut_before_the_first_event_is_a_502),
        TEST(test_f061_error_event_is_told_in_our_shape),
        TEST(test_full_client_stops_the_upstream),
        TEST(test_a_failed_write_ends_the_stream),
        TEST(test_streams_do_not_mix),
        TEST(test_a_long_answer_passes_and_its_usage_is_found),
        TEST(test_a_long_answer_without_usage_is_estimated),
        TEST(test_f023_client_gone_is_settled_at_what_it_got),
        TEST(test_f024_drain_learns_the_exact_usage),
        TEST(test_f024_drains_are_capped_in_number_and_time),
        TEST(test_farewell_at_every_stage_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
