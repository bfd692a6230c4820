/* Requests of a model with a cache, through the whole story, with the simulator as provider. */
#include "dataplane/state/cache.c"
#include "tests/unit/dataplane/stand.h"

#define CHAT "/v1/chat/completions"
#define RESPONSES "/v1/responses"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define BODY "{\"model\":\"cached\",\"max_tokens\":50," HI "}"
#define STREAM "{\"model\":\"cached\",\"stream\":true," HI "}"

static struct stand stand;
static struct arena arena;

static int
set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    stand_cache_scope = "team";
    stand_cache_ttl_s = 60;
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

struct asked {
    const char *key, *path, *body, *name, *value; /* NULL: the usual */
};

static void
begin(struct test_client *c, const struct asked *q)
{
    client_init(c, "POST", q->path ? q->path : CHAT);
    client_field(c, "x-api-key", q->key ? q->key : TEST_KEY);
    if (q->name)
        client_field(c, q->name, q->value);
    stand_start(&stand, c, q->body ? q->body : BODY);
}

static void
ask(struct test_client *c, const struct asked *q)
{
    begin(c, q);
    stand_finish(&stand, c);
    assert_int_equal(c->status, 200);
}

/* What x-headgate-cache says of it. */
static void
expect(const struct asked *q, const char *word)
{
    struct test_client c;
    ask(&c, q);
    if (!slice_is(client_answer(&c, "x-headgate-cache"), word))
        fail_msg("%s: %.*s, want %s", q->body ? q->body : BODY,
                 SLICE_ARG(client_answer(&c, "x-headgate-cache")), word);
    client_fini(&c);
}

static const struct asked usual = {0};

/* What is kept was stored so much earlier. */
static void
cache_age(int64_t ms)
{
    struct entry *e;
    TAILQ_FOREACH (e, &stand.svc.cache->by_use, link)
        e->answer.stored_ms -= ms;
}

static void
test_f159_given_again_as_it_was(void **state)
{
    static const char *const bodies[] = {BODY, STREAM};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct asked q = {.body = bodies[i]};
        struct test_client first, again;
        struct usage u;
        ask(&first, &q);
        assert_slice_is(client_answer(&first, "x-headgate-cache"), "miss");
        assert_null(client_answer(&first, "age").at);
        ask(&again, &q);
        assert_slice_is(client_answer(&again, "x-headgate-cache"), "hit");
        assert_slice_is(client_answer(&again, "age"), "0");
        assert_slice_is(client_answer(&again, "x-headgate-cost-usd"), "0.00");
        assert_slice_is(client_answer(&again, "x-headgate-attempts"), "0");
        assert_slice_is(client_answer(&again, "x-headgate-model"), "simulator-x");
        assert_true(
            slice_eq(client_answer(&first, "content-type"), client_answer(&again, "content-type")));
        assert_false(
            slice_eq(client_answer(&first, "x-request-id"), client_answer(&again, "x-request-id")));
        assert_int_equal(first.body.len, again.body.len);
        assert_memory_equal(first.body.at, again.body.at, again.body.len);
        /* it is on record, and came to nothing */
        assert_int_equal(stand_records(&stand, &arena, &u), 2 * (i + 1));
        assert_true(u.cached);
        assert_int_equal(u.cost, 0);
        assert_int_equal(u.reserved, 0);
        assert_int_equal(tokens_input(&u.tokens) + tokens_output(&u.tokens), 0);
        assert_int_equal(u.price_version.len, 0);
        assert_int_equal(u.outcome, USAGE_DONE);
        assert_int_equal(u.upstream_status, 0);
        assert_false(u.estimated);
        client_fini(&first);
        client_fini(&again);
    }
    assert_int_equal(stand.page->cache_hits, 2);
    assert_int_equal(stand.page->cache_misses, 2);
}

static void
test_f159_not_to_another_team(void **state)
{
    struct asked other = {.key = TEST_KEY_NARROW_TEAM};
    (void)state;
    expect(&usual, "miss");
    expect(&other, "miss");
    expect(&other, "hit");
    expect(&usual, "hit");
}

/* To a key of the same team; with the scope of a key to nobody else. */
static void
test_f159_the_scope_of_a_key(void **state)
{
    struct asked other = {.key = TEST_KEY_STRICT};
    (void)state;
    expect(&usual, "miss");
    expect(&other, "hit");
    stand_cache_scope = "key";
    pin_swap(&stand.pin, policy_make());
    expect(&usual, "miss");
    expect(&other, "miss");
    expect(&usual, "hit");
    expect(&other, "hit");
}

/* Also before the old answers are dropped. */
static void
test_another_configuration_is_another_question(void **state)
{
    (void)state;
    expect(&usual, "miss");
    stand_cache_ttl_s++;
    pin_swap(&stand.pin, policy_make());
    expect(&usual, "miss");
    stand_cache_ttl_s--;
    pin_swap(&stand.pin, policy_make());
    expect(&usual, "hit");
}

static void
test_what_is_not_for_a_cache(void **state)
{
    static const struct {
        const char *path, *more;
        bool fits;
    } rows[] = {
        {CHAT, "\"store\":false", true},
        {CHAT, "\"store\":null", true},
        {CHAT, "\"store\":true", false},
        {CHAT, "\"st\\u006fre\":true", false},
        {CHAT, "\"prompt\":\"x\"", true},
        {CHAT, "\"web_search_options\":{}", false},
        {CHAT, "\"tools\":[]", false},
        {CHAT, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", false},
        {RESPONSES, "\"input\":\"x\"", false}, /* it would be stored at the provider */
        {RESPONSES, "\"input\":\"x\",\"store\":null", false},
        {RESPONSES, "\"input\":\"x\",\"store\":true", false},
        {RESPONSES, "\"input\":\"x\",\"store\":false", true},
        {RESPONSES, "\"input\":\"x\",\"store\":false,\"background\":false", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[512];
        struct asked q = {.path = rows[i].path, .body = body};
        snprintf(body, sizeof(body), "{\"model\":\"cached\",%s%s%s}",
                 rows[i].path[4] == 'c' ? HI : "\"truncation\":\"disabled\"", ",", rows[i].more);
        expect(&q, rows[i].fits ? "miss" : "bypass");
        expect(&q, rows[i].fits ? "hit" : "bypass");
    }
}

/* Asked of what is wanted before anything is looked up: each kind of state has its name. */
static void
test_state_at_the_provider_passes_by(void **state)
{
    static const char *const members[] = {
        "previous_response_id", "conversation", "background",    "prompt",        "container",
        "mcp_servers",          "plugins",      "cachedContent", "cached_content"};
    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        char body[256];
        struct test_client c;
        struct asked q = {.path = RESPONSES, .body = body};
        uint64_t before = stand.page->cache_bypasses;
        snprintf(body, sizeof(body),
                 "{\"model\":\"cached\",\"input\":\"x\",\"store\":false,\"%s\":\"x\"}", members[i]);
        begin(&c, &q);
        stand_finish(&stand, &c); /* some of it is refused further on */
        if (stand.page->cache_bypasses != before + 1)
            fail_msg("%s", members[i]);
        client_fini(&c);
    }
}

static void
test_what_the_client_wants(void **state)
{
    static const struct {
        const char *value, *word;
    } rows[] = {
        {"no-store", "bypass"},
        {"No-Store", "bypass"},
        {"private,no-store", "bypass"},
        {"no-cache", "miss"},
        {"max-age=0", "miss"},
        {"max-age=600 , no-cache", "miss"},
        {"max-age", "hit"},
        {"max-age=", "miss"},
        {"max-age=-1", "miss"},
        {"max-age=60", "hit"},
        {"max-age=\"60\"", "miss"},
        {"max-stale=5", "hit"},
        {"only-if-cached", "hit"},
        {"", "hit"},
        {",,", "hit"},
        {"max-age=99999999999999999999", "miss"},
    };
    (void)state;
    expect(&usual, "miss");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct asked q = {.name = "cache-control", .value = rows[i].value};
        struct test_client c;
        ask(&c, &q);
        if (!slice_is(client_answer(&c, "x-headgate-cache"), rows[i].word))
            fail_msg("'%s': not %s", rows[i].value, rows[i].word);
        client_fini(&c);
        expect(&usual, "hit");
    }
}

static void
test_too_old_for_this_client(void **state)
{
    struct asked patient = {.name = "cache-control", .value = "max-age=3600"};
    struct asked hasty = {.name = "cache-control", .value = "max-age=5"};
    (void)state;
    expect(&usual, "miss");
    assert_int_equal(cache_counts(stand.svc.cache).answers, 1);
    cache_age(6000);
    expect(&patient, "hit");
    expect(&hasty, "miss"); /* and the new one is kept */
    expect(&usual, "hit");
    assert_int_equal(cache_counts(stand.svc.cache).stored, 2);
}

/* Another rule came into force while the provider was at work. */
static void
test_what_was_made_under_another_policy_is_not_kept(void **state)
{
    struct asked q = {.body = STREAM};
    struct test_client c;
    (void)state;
    begin(&c, &q);
    stand_cache_scope = "user";
    pin_swap(&stand.pin, policy_make());
    stand_finish(&stand, &c);
    assert_int_equal(c.status, 200);
    assert_int_equal(cache_counts(stand.svc.cache).stored, 0);
    client_fini(&c);
    expect(&q, "miss");
    assert_int_equal(cache_counts(stand.svc.cache).answers, 1);
    cache_follow(stand.svc.cache, pin_peek(&stand.pin));
    assert_int_equal(cache_counts(stand.svc.cache).answers, 1);
    stand_cache_scope = "team";
    pin_swap(&stand.pin, policy_make());
    cache_follow(stand.svc.cache, pin_peek(&stand.pin));
    assert_int_equal(cache_counts(stand.svc.cache).answers, 0);
}

static void
test_what_does_not_go_well_is_not_kept(void **state)
{
    static const char *const scripts[] = {"status=500", "status=429", "cut_after=2",
                                          "error_after=2"};
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        struct asked q = {.body = STREAM, .name = "x-headgate-sim", .value = scripts[i]};
        struct test_client c;
        begin(&c, &q);
        stand_finish(&stand, &c);
        assert_true(c.status >= 400 || c.aborted);
        client_fini(&c);
        assert_int_equal(cache_counts(stand.svc.cache).stored, 0);
    }
}

/* Answers go on where there is no room to keep them. */
static void
test_without_room_all_goes_on(void **state)
{
    struct asked q = {.body = STREAM};
    (void)state;
    cache_free(stand.svc.cache);
    stand.svc.cache = cache_new(100);
    for (int i = 0; i < 2; i++) {
        expect(&usual, "miss");
        expect(&q, "miss");
    }
    cache_free(stand.svc.cache);
    stand.svc.cache = NULL;
    expect(&usual, "none");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_f159_given_again_as_it_was),
        TEST(test_f159_not_to_another_team),
        TEST(test_f159_the_scope_of_a_key),
        TEST(test_another_configuration_is_another_question),
        TEST(test_what_is_not_for_a_cache),
        TEST(test_state_at_the_provider_passes_by),
        TEST(test_what_the_client_wants),
        TEST(test_too_old_for_this_client),
        TEST(test_what_was_made_under_another_policy_is_not_kept),
        TEST(test_what_does_not_go_well_is_not_kept),
        TEST(test_without_room_all_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
