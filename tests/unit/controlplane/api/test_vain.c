/* Limits that are sound by themselves, and in vain by what they name: refused, or warned about. */
#include "tests/unit/controlplane/admin.h"

/* clang-format off */
static const char base[] =
    "{\"providers\":[{\"name\":\"local\",\"kind\":\"openai-compatible\",\"base_url\":\"http://127.0.0.1:9/"
    "v1\",\"allow_private\":true},{\"name\":\"other\",\"kind\":\"openai-compatible\",\"base_url\":\"http://"
    "127.0.0.1:9/v1\",\"allow_private\":true}],\"prices\":[{\"provider\":\"local\",\"model\":\"m1\",\"input"
    "_per_mtok_usd\":\"1\",\"output_per_mtok_usd\":\"2\"}],\"models\":[{\"name\":\"priced\",\"targets\":[{\"p"
    "rovider\":\"local\",\"model\":\"m1\"}]},{\"name\":\"mixed\",\"targets\":[{\"provider\":\"local\",\"model\":"
    "\"m1\"},{\"provider\":\"local\",\"model\":\"m9\"}]},{\"name\":\"unpriced\",\"targets\":[{\"provider\":\"loc"
    "al\",\"model\":\"m9\"}]},{\"name\":\"gift\",\"free\":true,\"targets\":[{\"provider\":\"other\",\"model\":\"m"
    "9\"}]}],\"teams\":[{\"name\":\"red\"},{\"name\":\"blue\",\"allow\":{\"models\":[\"priced\"]}}],\"projects\""
    ":[{\"name\":\"rp\",\"team\":\"red\"},{\"name\":\"bp\",\"team\":\"blue\"}],\"users\":[{\"name\":\"ada\"}],\"keys"
    "\":[{\"name\":\"rk\",\"team\":\"red\",\"project\":\"rp\",\"models\":[\"mixed\"],\"tags\":{\"env\":\"live\"}},{\""
    "name\":\"bk\",\"team\":\"blue\"}]}";

static const struct {
    const char *kind, *item, *path, *part;
} never[] = {
    {"quotas", "{\"name\":\"x\",\"team\":\"blue\",\"project\":\"rp\",\"requests_per_minute\":1}",
     "quotas[0].project", "is of team 'red'"},
    {"quotas", "{\"name\":\"x\",\"team\":\"blue\",\"key\":\"rk\",\"requests_per_minute\":1}",
     "quotas[0].team", "the key 'rk' is of team 'red'"},
    {"quotas", "{\"name\":\"x\",\"project\":\"bp\",\"key\":\"rk\",\"requests_per_minute\":1}",
     "quotas[0].project", "is of project 'rp'"},
    {"quotas", "{\"name\":\"x\",\"user\":\"ada\",\"key\":\"rk\",\"requests_per_minute\":1}",
     "quotas[0].user", "has no user"},
    {"quotas", "{\"name\":\"x\",\"key\":\"rk\",\"tag\":{\"env\":\"test\"},\"requests_per_minute\":1}",
     "quotas[0].tag", "has 'env' as 'live'"},
    {"quotas", "{\"name\":\"x\",\"key\":\"rk\",\"model\":\"priced\",\"requests_per_minute\":1}",
     "quotas[0].model", "the key 'rk' may not use 'priced'"},
    {"quotas", "{\"name\":\"x\",\"team\":\"blue\",\"model\":\"mixed\",\"requests_per_minute\":1}",
     "quotas[0].model", "the team 'blue' may not use 'mixed'"},
    {"quotas", "{\"name\":\"x\",\"key\":\"bk\",\"model\":\"mixed\",\"requests_per_minute\":1}",
     "quotas[0].model", "the team 'blue' may not use 'mixed'"},
    {"quotas", "{\"name\":\"x\",\"model\":\"priced\",\"provider\":\"other\",\"requests_per_minute\":1}",
     "quotas[0].model", "does not go to provider 'other'"},
    {"quotas", "{\"name\":\"x\",\"model\":\"pri*\",\"provider\":\"other\",\"requests_per_minute\":1}",
     "quotas[0].model", "does not go to provider 'other'"},
    {"quotas", "{\"name\":\"x\",\"model\":\"local/m1\",\"provider\":\"other\",\"requests_per_minute\":1}",
     "quotas[0].model", "does not go to provider 'other'"},
    {"budgets", "{\"name\":\"x\",\"model\":\"unpriced\",\"period\":\"day\",\"limit_usd\":\"1\"}",
     "budgets[0].model", "has no price at provider 'local'"},
    {"budgets", "{\"name\":\"x\",\"model\":\"local/m9\",\"period\":\"day\",\"limit_usd\":\"1\",\"mode\":\"estimate\"}",
     "budgets[0].model", "has no price"},
    {"budgets", "{\"name\":\"x\",\"team\":\"blue\",\"project\":\"rp\",\"period\":\"day\",\"limit_tokens\":1}",
     "budgets[0].project", "never matches"},
};

static const struct {
    const char *kind, *item;
} sound[] = {
    {"quotas", "{\"name\":\"g1\",\"team\":\"red\",\"project\":\"rp\",\"key\":\"rk\",\"tag\":{\"env\":\"live\",\"more\":\"x\"},\"model\":\"mixed\",\"requests_per_minute\":1}"},
    {"quotas", "{\"name\":\"g2\",\"team\":\"blue\",\"model\":\"priced\",\"provider\":\"local\",\"requests_per_minute\":1}"},
    {"quotas", "{\"name\":\"g3\",\"model\":\"local/*\",\"provider\":\"local\",\"requests_per_minute\":1}"},
    {"quotas", "{\"name\":\"g4\",\"model\":\"local/m1\",\"provider\":\"local\",\"requests_per_minute\":1}"},
    {"quotas", "{\"name\":\"g5\",\"model\":\"*\",\"provider\":\"other\",\"requests_per_minute\":1}"},
    {"budgets", "{\"name\":\"g6\",\"model\":\"unpriced\",\"period\":\"day\",\"limit_tokens\":1000}"},
    {"budgets", "{\"name\":\"g7\",\"model\":\"priced\",\"period\":\"day\",\"limit_usd\":\"1\"}"},
};

static const struct {
    const char *item, *warning;
} doubtful[] = {
    {"{\"name\":\"w1\",\"model\":\"mixed\",\"period\":\"day\",\"limit_usd\":\"1\"}",
     "budgets[0].model: 'm9' of model 'mixed' has no price at provider 'local'"},
    {"{\"name\":\"w2\",\"provider\":\"local\",\"period\":\"day\",\"limit_usd\":\"1\"}",
     "budgets[0].provider: 'm9' of model"},
    {"{\"name\":\"w3\",\"period\":\"day\",\"limit_usd\":\"1\"}",
     "budgets[0].limit_usd: 'm9' of model"},
    {"{\"name\":\"w4\",\"model\":\"gift\",\"period\":\"day\",\"limit_usd\":\"1\"}",
     "budgets[0].model: all that 'gift' matches is free"},
};
/* clang-format on */

static struct got *
apply(const char *document)
{
    struct buf body;
    buf_init(&body, 0);
    assert_int_equal(buf_addf(&body, "{\"document\":%s}", document), 0);
    struct got *g = call_with(&(struct want){0}, "POST", "/api/v1/config/apply", buf_str(&body));
    buf_free(&body);
    return g;
}

static struct got *
apply_one(const char *kind, const char *item)
{
    char document[1024];
    snprintf(document, sizeof(document), "{\"%s\":[%s]}", kind, item);
    return apply(document);
}

static void
apply_base(void)
{
    struct got *g = apply(base);
    if (g->status != 200)
        fail_msg("%d %s", g->status, g->text);
    got_free(g);
}

static void
test_what_can_never_match_is_refused(void **state)
{
    (void)state;
    apply_base();
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        struct got *g = apply_one(never[i].kind, never[i].item);
        if (g->status != 400 || !slice_is(json_str(json_get(g->body, "code")), "limit_in_vain") ||
            !slice_is(json_str(json_get(g->body, "path")), never[i].path) ||
            !strstr(g->text, never[i].part))
            fail_msg("%s: %d %s; want %s at %s", never[i].item, g->status, g->text, never[i].part,
                     never[i].path);
        got_free(g);
    }
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind IN ('quotas', 'budgets')"),
                     0);
}

/* By whichever way it comes. */
static void
test_so_is_one_alone(void **state)
{
    (void)state;
    apply_base();
    struct got *g =
        call("POST", "/api/v1/budgets", never[sizeof(never) / sizeof(never[0]) - 1].item);
    assert_int_equal(g->status, 400);
    assert_true(slice_is(json_str(json_get(g->body, "path")), "project"));
    got_free(g);
}

static void
test_what_can_match_is_taken(void **state)
{
    (void)state;
    apply_base();
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
        struct got *g = apply_one(sound[i].kind, sound[i].item);
        if (g->status != 200 || json_size(json_get(g->body, "warnings")))
            fail_msg("%s: %d %s", sound[i].item, g->status, g->text);
        got_free(g);
    }
}

static void
test_what_is_doubtful_is_warned_about(void **state)
{
    (void)state;
    apply_base();
    for (size_t i = 0; i < sizeof(doubtful) / sizeof(doubtful[0]); i++) {
        struct got *g = apply_one("budgets", doubtful[i].item);
        const struct json *all = json_get(g->body, "warnings");
        if (g->status != 200 || json_size(all) != 1 || !strstr(g->text, doubtful[i].warning))
            fail_msg("%s: %d %s; want %s", doubtful[i].item, g->status, g->text,
                     doubtful[i].warning);
        got_free(g);
    }
}

static void
expect_applied(const char *document)
{
    struct got *g = apply(document);
    if (g->status != 200)
        fail_msg("%s: %d %s", document, g->status, g->text);
    got_free(g);
}

/* What was sound when it was made may become vain by another change. Going back to what was in
 * force once must be possible all the same. */
static void
test_a_rollback_only_warns(void **state)
{
    (void)state;
    apply_base();
    expect_applied("{\"quotas\":[{\"name\":\"q\",\"team\":\"red\",\"project\":\"rp\","
                   "\"requests_per_minute\":1}]}");
    expect_applied("{\"projects\":[{\"name\":\"rp\",\"team\":\"blue\"}],\"keys\":[{\"name\":"
                   "\"rk\",\"team\":\"blue\",\"project\":\"rp\"}]}");
    got_free(call("DELETE", "/api/v1/quotas/q", NULL));
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'quotas'"), 0);
    struct got *g = call("POST", "/api/v1/revisions/3/rollback", "{}");
    if (g->status != 200 || !strstr(g->text, "project: never matches"))
        fail_msg("%d %s", g->status, g->text);
    got_free(g);
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'quotas'"), 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, admin_fresh)
    const struct CMUnitTest tests[] = {
        TEST(test_what_can_never_match_is_refused), TEST(test_so_is_one_alone),
        TEST(test_what_can_match_is_taken),         TEST(test_what_is_doubtful_is_warned_about),
        TEST(test_a_rollback_only_warns),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
