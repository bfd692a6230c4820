/*
 * The cache of access tokens against a token endpoint in the same loop: one fetch for all who wait,
 * renewal before the end, pauses after failures, and no token for another credential.
 */
#include "tests/unit/check.h"

#include "dataplane/upstream/oauth.c"
#include "lib/http/server.h"
#include "lib/net/listener.h"

static struct loop *loop;
static struct http_client *client;
static struct oauth *oauth;

/* --- the endpoint ----------------------------------------------------------------------------- */

static struct endpoint {
    struct http_server *server;
    struct listener *listener;
    int port, requests, status;
    char answer[256], body[1024], path[128], type[64];
    size_t body_len, padding; /* bytes of an answer before the JSON */
} endpoint;

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    (void)ctx;
    (void)s;
    endpoint.requests++;
    endpoint.body_len = 0;
    snprintf(endpoint.path, sizeof endpoint.path, "%.*s", SLICE_ARG(head->path));
    snprintf(endpoint.type, sizeof endpoint.type, "%.*s",
             SLICE_ARG(http_field_get(head, "content-type")));
    return &endpoint;
}

static void
on_request_body(void *x, struct http_stream *s, struct slice bytes)
{
    (void)x;
    (void)s;
    assert_true(endpoint.body_len + bytes.len < sizeof endpoint.body);
    memcpy(endpoint.body + endpoint.body_len, bytes.at, bytes.len);
    endpoint.body_len += bytes.len;
    endpoint.body[endpoint.body_len] = '\0';
}

static void
on_request_end(void *x, struct http_stream *s)
{
    static char text[LIMIT_OAUTH_ANSWER_BYTES + 512];
    (void)x;
    memset(text, ' ', endpoint.padding);
    size_t n = strlen(endpoint.answer);
    memcpy(text + endpoint.padding, endpoint.answer, n);
    assert_int_equal(
        http_reply(s, endpoint.status, NULL, 0, slice_make(text, endpoint.padding + n)), 0);
}

static void
on_request_abort(void *x, struct http_stream *s, int err, const char *why)
{
    (void)x;
    (void)s;
    (void)err;
    (void)why;
}

static const struct http_handlers server_handlers = {.on_request = on_request,
                                                     .on_body = on_request_body,
                                                     .on_body_end = on_request_end,
                                                     .on_abort = on_request_abort};

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    http_server_accept(endpoint.server, fd, NULL);
}

static void
answers(int status, const char *body)
{
    endpoint.status = status;
    snprintf(endpoint.answer, sizeof endpoint.answer, "%s", body);
}

/* --- the cache -------------------------------------------------------------------------------- */

static struct provider_under_test {
    struct policy_provider p;
    char json[512];
} azure;

static void
set_provider(struct provider_under_test *u, const char *name, const char *client_secret,
             const char *scheme)
{
    int n = snprintf(u->json, sizeof u->json,
                     "{\"tenant_id\":\"t\",\"client_id\":\"app\",\"client_secret\":\"%s\","
                     "\"authority\":\"%s://127.0.0.1:%d\"}",
                     client_secret, scheme, endpoint.port);
    secret_free(&u->p.credential);
    u->p = (struct policy_provider){
        .name = slice_of(name), .kind = PROVIDER_AZURE_OPENAI, .allow_private = true};
    assert_int_equal(secret_set(&u->p.credential, u->json, (size_t)n), 0);
}

static int
setup(void **state)
{
    const struct http_server_config config = {.http1 = true, .http2 = true};
    const char *why;
    int fd;
    (void)state;
    log_init("test", LOG_ERROR + 1, 2);
    loop = loop_new();
    memset(&endpoint, 0, sizeof endpoint);
    endpoint.server = http_server_new(loop, &config, &server_handlers, NULL);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    endpoint.port = listener_port(fd);
    endpoint.listener = listener_new(loop, fd, on_accept, NULL);
    client = http_client_new(loop, &(struct http_client_config){0});
    oauth = oauth_new(loop, client);
    assert_non_null(oauth);
    set_provider(&azure, "azure", "s1", "http");
    answers(200, "{\"access_token\":\"T1\",\"expires_in\":3600}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    oauth_free(oauth);
    http_client_free(client);
    listener_free(endpoint.listener);
    http_server_free(endpoint.server);
    loop_free(loop);
    secret_free(&azure.p.credential);
    memset(&azure, 0, sizeof azure);
    return 0;
}

struct told {
    struct oauth_wait *wait;
    int count, err;
    char token[64], why[128];
    struct oauth_wait *cancels; /* in its callback */
    bool asks_again;
};

static void
on_done(void *ctx, const struct oauth_result *r)
{
    struct told *t = ctx;
    t->wait = NULL;
    t->count++;
    t->err = r->err;
    snprintf(t->token, sizeof t->token, "%.*s", SLICE_ARG(r->token));
    snprintf(t->why, sizeof t->why, "%s", r->why);
    oauth_cancel(t->cancels);
    t->cancels = NULL;
    if (t->asks_again) {
        t->asks_again = false;
        t->wait = oauth_start(oauth, &azure.p, on_done, t);
    }
    loop_stop(loop);
}

static void
on_tick(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

/* Runs until the condition holds, or 5 s. */
#define WAIT(condition)                                                                            \
    do {                                                                                           \
        int64_t deadline = loop_now_ms(loop) + 5000;                                               \
        while (!(condition) && loop_now_ms(loop) < deadline) {                                     \
            struct timer tick = {0};                                                               \
            timer_set(&tick, loop, 10, on_tick, NULL);                                             \
            loop_run(loop);                                                                        \
            timer_cancel(&tick);                                                                   \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void
ask(struct told *t, const struct policy_provider *p)
{
    *t = (struct told){.err = 99};
    t->wait = oauth_start(oauth, p, on_done, t);
    assert_non_null(t->wait);
    assert_int_equal(t->count, 0);
}

static struct entry *
only_entry(void)
{
    assert_int_equal(oauth->count, 1);
    return TAILQ_FIRST(&oauth->entries);
}

static void
test_who_wants_one(void **state)
{
    struct policy_provider p = {.kind = PROVIDER_AZURE_OPENAI};
    (void)state;
    assert_true(oauth_is_wanted(&azure.p));
    assert_false(oauth_is_wanted(&p)); /* no credential */
    assert_int_equal(secret_set(&p.credential, "0123", 4), 0);
    assert_false(oauth_is_wanted(&p)); /* a key */
    p.kind = PROVIDER_VERTEX;
    assert_false(oauth_is_wanted(&p)); /* an API key */
    secret_free(&p.credential);
    assert_int_equal(secret_set(&p.credential, " {}", 3), 0);
    assert_true(oauth_is_wanted(&p));
    p.kind = PROVIDER_OPENAI;
    assert_false(oauth_is_wanted(&p));
    assert_null(oauth_peek(oauth, &p).at);
    secret_free(&p.credential);
}

static void
test_one_fetch_for_all(void **state)
{
    struct told a, b, c;
    (void)state;
    assert_null(oauth_peek(oauth, &azure.p).at);
    ask(&a, &azure.p);
    ask(&b, &azure.p);
    ask(&c, &azure.p);
    oauth_cancel(c.wait);
    WAIT(a.count && b.count);
    assert_int_equal(a.err, 0);
    assert_string_equal(a.token, "T1");
    assert_string_equal(b.token, "T1");
    assert_int_equal(c.count, 0);
    assert_int_equal(endpoint.requests, 1);
    assert_string_equal(endpoint.path, "/t/oauth2/v2.0/token");
    assert_string_equal(endpoint.type, "application/x-www-form-urlencoded");
    assert_non_null(strstr(endpoint.body, "&client_secret=s1&"));
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    ask(&a, &azure.p); /* in hand: told at once, but not from within */
    WAIT(a.count);
    assert_string_equal(a.token, "T1");
    assert_int_equal(endpoint.requests, 1);
    assert_null(only_entry()->form.at); /* nothing of the grant is kept */
}

static void
test_renewed_while_it_serves(void **state)
{
    struct told t;
    (void)state;
    ask(&t, &azure.p);
    WAIT(t.count);
    struct entry *e = only_entry();
    int64_t now = loop_now_ms(loop);
    assert_in_range(e->renew_at - now, 2600000, 2700000);
    assert_in_range(e->serves_until - now, 3530000, 3540000);
    answers(200, "{\"access_token\":\"T2\",\"expires_in\":10}");
    e->renew_at = now;
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1"); /* nobody waits */
    assert_non_null(e->call);
    ask(&t, &azure.p);
    assert_int_equal(endpoint.requests, 1);
    WAIT(t.count);
    assert_string_equal(t.token, "T1");
    WAIT(!e->call);
    assert_int_equal(endpoint.requests, 2);
    assert_slice_is(oauth_peek(oauth, &azure.p), "T2");
}

/* While the old token serves, a failure is nobody's; when it does not, it is told. */
static void
test_failures(void **state)
{
    struct told a, b;
    (void)state;
    ask(&a, &azure.p);
    WAIT(a.count);
    struct entry *e = only_entry();
    answers(401, "{\"error\":\"invalid_client\"}");
    e->renew_at = 0;
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    WAIT(!e->call);
    assert_int_equal(endpoint.requests, 2);
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    assert_null(e->call); /* not again at once */
    assert_in_range(e->not_before - loop_now_ms(loop), 1, 1300);

    e->serves_until = 0;
    ask(&a, &azure.p);
    WAIT(a.count);
    assert_int_equal(a.err, ERR_AUTH);
    assert_string_equal(a.why, "the token endpoint answered 401 (invalid_client)");
    assert_string_equal(a.token, "");
    assert_int_equal(endpoint.requests, 2);

    e->not_before = 0;
    ask(&a, &azure.p);
    ask(&b, &azure.p);
    a.asks_again = true;
    WAIT(a.count == 2 && b.count);
    assert_int_equal(endpoint.requests, 3);
    assert_int_equal(b.err, ERR_AUTH);
    assert_int_equal(e->failures, 2);

    answers(200, "{\"access_token\":\"T3\",\"expires_in\":3600}");
    e->not_before = 0;
    ask(&a, &azure.p);
    WAIT(a.count);
    assert_string_equal(a.token, "T3");
    assert_int_equal(e->failures, 0);
}

static void
test_pauses_grow_to_a_bound(void **state)
{
    struct told t;
    (void)state;
    answers(503, "");
    for (int i = 0; i < 10; i++) {
        if (oauth->count)
            only_entry()->not_before = 0;
        ask(&t, &azure.p);
        WAIT(t.count);
        int64_t pause = only_entry()->not_before - loop_now_ms(loop);
        int64_t base = i < 6 ? 1000 << i : 60000;
        assert_in_range(pause, base * 3 / 4 - 100, base * 5 / 4);
    }
    assert_int_equal(t.err, ERR_UNAVAILABLE);
    assert_int_equal(endpoint.requests, 10);
}

static void
test_answer_limit(void **state)
{
    struct told t;
    (void)state;
    endpoint.padding = LIMIT_OAUTH_ANSWER_BYTES - strlen(endpoint.answer);
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_string_equal(t.token, "T1");
    endpoint.padding++;
    only_entry()->serves_until = 0;
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_int_equal(t.err, ERR_LIMIT);
}

static void
test_cancelled_by_another(void **state)
{
    struct told a, b;
    (void)state;
    ask(&a, &azure.p);
    ask(&b, &azure.p);
    a.cancels = b.wait;
    WAIT(a.count);
    assert_int_equal(b.count, 0);
    WAIT(only_entry()->users == 0);
}

static void
test_other_credentials_get_other_tokens(void **state)
{
    struct provider_under_test other = {0};
    struct told t;
    (void)state;
    ask(&t, &azure.p);
    WAIT(t.count);
    set_provider(&other, "azure", "s2", "http");
    assert_null(oauth_peek(oauth, &other.p).at);
    other.p.name = SLICE("azure2");
    assert_null(oauth_peek(oauth, &other.p).at);
    set_provider(&other, "azure", "s1", "http");
    assert_slice_is(oauth_peek(oauth, &other.p), "T1");
    other.p.allow_private = false;
    assert_null(oauth_peek(oauth, &other.p).at);
    secret_free(&other.p.credential);
}

/* The guard stands before the token endpoint too, and nothing goes there in the clear. */
static void
test_egress_guard(void **state)
{
    struct told t;
    (void)state;
    azure.p.allow_private = false;
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_int_equal(t.err, ERR_DENIED);
    assert_string_equal(t.why, "the token endpoint must be https");
    set_provider(&azure, "azure", "s1", "https");
    azure.p.allow_private = false;
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_int_equal(t.err, ERR_DENIED);
    assert_string_equal(t.why, "the token endpoint could not be reached (denied)");
    assert_int_equal(endpoint.requests, 0);
}

static void
test_bad_credential(void **state)
{
    struct told t;
    (void)state;
    secret_free(&azure.p.credential);
    assert_int_equal(secret_set(&azure.p.credential, "{\"tenant_id\":7}", 15), 0);
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_int_equal(t.err, ERR_SYNTAX);
    assert_non_null(strstr(t.why, "tenant_id"));
    assert_int_equal(endpoint.requests, 0);
}

static void
test_nobody_listens(void **state)
{
    struct told t;
    (void)state;
    listener_free(endpoint.listener);
    endpoint.listener = NULL;
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_int_equal(t.err, ERR_CONNECT);
    assert_string_equal(t.why, "the token endpoint could not be reached (connect)");
    const char *why;
    int fd;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    endpoint.listener = listener_new(loop, fd, on_accept, NULL);
}

static void
test_rejected(void **state)
{
    struct told t;
    (void)state;
    ask(&t, &azure.p);
    WAIT(t.count);
    oauth_reject(oauth, &azure.p, SLICE("T1")); /* too new: the next would be no better */
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    only_entry()->got_at -= MIN_AGE_MS;
    oauth_reject(oauth, &azure.p, SLICE("T0"));
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    oauth_reject(oauth, &azure.p, SLICE("T1"));
    assert_null(oauth_peek(oauth, &azure.p).at);
    answers(200, "{\"access_token\":\"T2\"}");
    ask(&t, &azure.p);
    WAIT(t.count);
    assert_string_equal(t.token, "T2");
    assert_int_equal(endpoint.requests, 2);
}

static void
test_follow_forgets(void **state)
{
    struct told t;
    (void)state;
    ask(&t, &azure.p);
    oauth_follow(oauth, NULL); /* somebody waits */
    WAIT(t.count);
    assert_int_equal(oauth->count, 1);
    WAIT(only_entry()->users == 0);
    only_entry()->renew_at = 0;
    assert_slice_is(oauth_peek(oauth, &azure.p), "T1");
    assert_non_null(only_entry()->call); /* goes with it */
    oauth_follow(oauth, NULL);
    assert_int_equal(oauth->count, 0);
    assert_null(oauth_peek(oauth, &azure.p).at);
}

static void
test_entry_limit(void **state)
{
    struct provider_under_test other = {0};
    char name[16];
    (void)state;
    set_provider(&other, "other", "s", "ftp"); /* never fetched */
    for (int i = 0; i <= LIMIT_OAUTH_ENTRIES; i++) {
        struct told t;
        snprintf(name, sizeof name, "p%d", i);
        other.p.name = slice_of(name);
        ask(&t, &other.p);
        oauth_cancel(t.wait);
        assert_int_equal(oauth->count, i < LIMIT_OAUTH_ENTRIES ? i + 1 : LIMIT_OAUTH_ENTRIES);
    }
    assert_string_equal(TAILQ_FIRST(&oauth->entries)->name, "p1"); /* the oldest went */
    secret_free(&other.p.credential);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_who_wants_one),
        TEST(test_one_fetch_for_all),
        TEST(test_renewed_while_it_serves),
        TEST(test_failures),
        TEST(test_pauses_grow_to_a_bound),
        TEST(test_answer_limit),
        TEST(test_cancelled_by_another),
        TEST(test_other_credentials_get_other_tokens),
        TEST(test_egress_guard),
        TEST(test_bad_credential),
        TEST(test_nobody_listens),
        TEST(test_rejected),
        TEST(test_follow_forgets),
        TEST(test_entry_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
