/* Golden bodies: what goes up for what came in, byte for byte; and which fields go along. */
#include "tests/unit/dataplane/stand.h"

static struct stand stand;

static int
set_up(void **state)
{
    (void)state;
    stand_init(&stand);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    stand_fini(&stand);
    return 0;
}

static const struct endpoint chat = {.kind = ENDPOINT_CHAT,
                                     .name = "chat.completions",
                                     .way = WAY_CHAT,
                                     .dialect = DIALECT_CHAT,
                                     .can_stream = true};

/* A request that has come as far as translate. */
static struct request *
prepare(struct test_client *c, const char *model, const char *body)
{
    struct request *r = request_new(&stand.svc, &c->stream, &chat);
    struct dialect_refusal why;
    size_t n = strlen(body);
    assert_non_null(r);
    r->body.at = malloc(n + 1);
    memcpy(r->body.at, body, n);
    r->body.len = n;
    assert_int_equal(dialect_chat.brief(slice_make(r->body.at, n), &r->body.call, &r->arena,
                                        &r->body.brief, &why),
                     0);
    r->grant.name = SLICE("asked");
    r->grant.model =
        policy_find_model(r->policy, slice_of(model), &r->grant.scratch, &r->grant.scratch_target);
    assert_non_null(r->grant.model);
    r->plan.target = &r->grant.model->targets[0];
    return r;
}

static void
drop(struct request *r)
{
    request_bury(r);
    stand_run(&stand, 1);
}

static void
join(const struct request *r, struct buf *into)
{
    buf_init(into, 0);
    for (size_t i = 0; i < r->wire.piece_count; i++)
        assert_int_equal(buf_add_slice(into, r->wire.pieces[i]), 0);
}

#define ASK "\"include_usage\":true"

static void
test_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool usage_added;
    } rows[] = {
        {"{\"model\":\"asked\",\"messages\":[]}", "{\"model\":\"simulator\",\"messages\":[]}",
         false},
        {" { \"messages\" : [ ] , \"model\"\n:\t\"asked\" } ",
         " { \"messages\" : [ ] , \"model\"\n:\t\"simulator\" } ", false},
        {"{\"mod\\u0065l\":\"as\\u006bed\",\"x\":{\"model\":\"asked\"}}",
         "{\"mod\\u0065l\":\"simulator\",\"x\":{\"model\":\"asked\"}}", false},
        {"{\"model\":\"asked\",\"stream\":true}",
         "{\"model\":\"simulator\",\"stream\":true,\"stream_options\":{" ASK "}}", true},
        {"{\"stream\":true,\"model\":\"asked\"}",
         "{\"stream\":true,\"stream_options\":{" ASK "},\"model\":\"simulator\"}", true},
        {"{\"model\":\"asked\",\"stream\":false}", "{\"model\":\"simulator\",\"stream\":false}",
         false},
        {"{\"stream_options\":null,\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{" ASK "},\"stream\":true,\"model\":\"simulator\"}", true},
        {"{\"stream_options\":{},\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{" ASK "},\"stream\":true,\"model\":\"simulator\"}", true},
        {"{\"stream_options\":{ \"include_obfuscation\":false "
         "},\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{" ASK
         ", \"include_obfuscation\":false },\"stream\":true,\"model\":\"simulator\"}",
         true},
        {"{\"stream_options\":{\"include_usage\":false},\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"simulator\"}",
         true},
        {"{\"stream_options\":{\"include_usage\":null},\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"simulator\"}",
         true},
        {"{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"simulator\"}",
         false},
        {"{\"stream_options\":\"odd\",\"stream\":true,\"model\":\"asked\"}",
         "{\"stream_options\":\"odd\",\"stream\":true,\"model\":\"simulator\"}", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        struct buf out;
        client_init(&c, "POST", "/v1/chat/completions");
        struct request *r = prepare(&c, "simulator", rows[i].in);
        assert_int_equal(translate(r), NEXT);
        join(r, &out);
        assert_string_equal(buf_str(&out), rows[i].out);
        assert_int_equal(r->wire.usage_added, rows[i].usage_added);
        for (size_t k = 0; k < r->wire.piece_count; k++) /* a body is referred to, not copied */
            if (r->wire.pieces[k].len > 40)
                assert_true(r->wire.pieces[k].at >= r->body.at &&
                            r->wire.pieces[k].at < r->body.at + r->body.len);
        buf_free(&out);
        drop(r);
        client_fini(&c);
    }
}

#define TURNS(signature)                                                                           \
    "{\"model\":\"asked\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{"  \
    "\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":" \
    "\"" signature                                                                                 \
    "\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"user\",\"content\":\"c\"}]}"

/* Anthropic's own signatures pass untouched; those that the gateway made for another provider's
 * reasoning do not reach Anthropic, which would refuse them. */
static void
test_foreign_reasoning_stays_here(void **state)
{
    static const struct policy_provider anthropic = {.name = SLICE("a"),
                                                     .kind = PROVIDER_ANTHROPIC};
    static const struct policy_target target = {.provider = &anthropic,
                                                .model = SLICE("claude-sonnet-4-5")};
    static const struct endpoint messages = {.kind = ENDPOINT_MESSAGES,
                                             .name = "messages",
                                             .way = WAY_CHAT,
                                             .dialect = DIALECT_ANTHROPIC,
                                             .can_stream = true};
    static const struct policy_team team = {.name = SLICE("t")};
    static const struct policy_key key = {.name = SLICE("k"), .team = &team};
    static const char *const bodies[] = {TURNS("EqoB"), TURNS("hg1.gemini.e30")};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct test_client c;
        struct buf out;
        client_init(&c, "POST", "/v1/messages");
        struct request *r = prepare(&c, "simulator", bodies[i]);
        r->endpoint = &messages;
        r->who.key = &key;
        r->plan.target = &target;
        assert_int_equal(translate(r), NEXT);
        join(r, &out);
        const char *text = buf_str(&out);
        assert_int_equal(strstr(text, "EqoB") != NULL, i == 0);
        assert_null(strstr(text, "hg1."));
        assert_non_null(strstr(text, "claude-sonnet-4-5"));
        buf_free(&out);
        drop(r);
        client_fini(&c);
    }
}

/* The limit that the budget's stage has set goes up beside what the provider wants changed: also
 * where it wants the very member changed. */
static void
test_a_limit_of_the_budget_goes_up(void **state)
{
    static const struct policy_provider provider = {.name = SLICE("o"), .kind = PROVIDER_OPENAI};
    static const struct policy_target target = {.provider = &provider, .model = SLICE("gpt-5")};
    static const struct policy_team team = {.name = SLICE("t")};
    static const struct policy_key key = {.name = SLICE("k"), .team = &team};
    static const char *const rows[][2] = {
        {"{\"model\":\"asked\"}", "{\"max_completion_tokens\":300,\"model\":\"gpt-5\"}"},
        {"{\"max_tokens\":400,\"model\":\"asked\"}",
         "{\"max_completion_tokens\":300,\"model\":\"gpt-5\"}"},
        {"{\"max_tokens\":400,\"max_completion_tokens\":900,\"model\":\"asked\"}",
         "{\"max_completion_tokens\":300,\"model\":\"gpt-5\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        struct buf out;
        client_init(&c, "POST", "/v1/chat/completions");
        struct request *r = prepare(&c, "simulator", rows[i][0]);
        r->plan.target = &target;
        r->who.key = &key;
        r->output_limit = 300;
        assert_int_equal(translate(r), NEXT);
        join(r, &out);
        assert_string_equal(buf_str(&out), rows[i][1]);
        buf_free(&out);
        drop(r);
        client_fini(&c);
    }
}

static void
test_same_name_is_no_edit(void **state)
{
    struct test_client c;
    (void)state;
    client_init(&c, "POST", "/v1/chat/completions");
    struct request *r = prepare(&c, "simulator", "{\"model\":\"simulator\"}");
    r->grant.name = SLICE("simulator");
    assert_int_equal(translate(r), NEXT);
    assert_int_equal(r->wire.piece_count, 1);
    assert_ptr_equal(r->wire.pieces[0].at, r->body.at);
    drop(r);
    client_fini(&c);
}

static const struct http_field *
find_field(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->wire.field_count; i++)
        if (slice_is(r->wire.fields[i].name, name))
            return &r->wire.fields[i];
    return NULL;
}

/* F150: of the client's fields only a few go up, and never what names or authorises it. */
static void
test_f150_fields(void **state)
{
    (void)state;
    static const char *const kept_back[] = {
        "authorization",  "x-api-key",
        "api-key",        "x-goog-api-key",
        "cookie",         "x-forwarded-for",
        "forwarded",      "x-real-ip",
        "openai-project", "openai-organization",
        "referer",        "origin",
        "x-headgate-sim", "baggage",
        "x-request-id",   "host",
    };
    struct test_client c;
    client_init(&c, "POST", "/v1/chat/completions");
    for (size_t i = 0; i < sizeof(kept_back) / sizeof(kept_back[0]); i++)
        client_field(&c, kept_back[i], "canary");
    client_field(&c, "accept", "text/event-stream");
    client_field(&c, "idempotency-key", "abc");
    client_field(&c, "user-agent", "canary");
    struct request *r = prepare(&c, "renamed", "{\"model\":\"asked\"}");
    assert_int_equal(translate(r), NEXT);
    for (size_t i = 0; i < r->wire.field_count; i++)
        assert_false(slice_is(r->wire.fields[i].value, "canary"));
    assert_slice_is(find_field(r, "accept")->value, "text/event-stream");
    assert_slice_is(find_field(r, "idempotency-key")->value, "abc");
    assert_slice_is(find_field(r, "accept-encoding")->value, "identity");
    assert_slice_is(find_field(r, "content-type")->value, "application/json");
    assert_int_equal(find_field(r, "x-client-request-id")->value.len, 36);
    drop(r);
    client_fini(&c);
}

/* F178: a trace goes on under our own parent; a malformed one does not go on. */
static void
test_f178_traceparent(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool kept;
    } rows[] = {
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false},
        {"garbage", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct test_client c;
        client_init(&c, "POST", "/v1/chat/completions");
        client_field(&c, "traceparent", rows[i].in);
        struct request *r = prepare(&c, "simulator", "{\"model\":\"asked\"}");
        assert_int_equal(translate(r), NEXT);
        const struct http_field *f = find_field(r, "traceparent");
        assert_int_equal(f != NULL, rows[i].kept);
        if (f) {
            assert_memory_equal(f->value.at, rows[i].in, 36);
            assert_memory_not_equal(f->value.at + 36, rows[i].in + 36, 16);
            assert_memory_equal(f->value.at + 52, rows[i].in + 52, 3);
        }
        drop(r);
        client_fini(&c);
    }
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bodies),
        TEST(test_foreign_reasoning_stays_here),
        TEST(test_a_limit_of_the_budget_goes_up),
        TEST(test_same_name_is_no_edit),
        TEST(test_f150_fields),
        TEST(test_f178_traceparent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
