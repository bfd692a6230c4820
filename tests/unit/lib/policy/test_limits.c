/* Which limits count which request, and what the compiler refuses. */
#include "tests/unit/check.h"

#include "lib/policy/limits.h"

#include "tests/unit/lib/policy/snapshot_fixture.h"

static struct fixture fixture;

static int
set_up(void **state)
{
    (void)state;
    fixture_init(&fixture);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    fixture_free(&fixture);
    return 0;
}

static void
add_quota(const char *name, struct section_selector selector, const char *per)
{
    struct section_rate rates[] = {{SLICE("requests"), 60, 60000},
                                   {SLICE("concurrent_requests"), 3, 0}};
    struct section_quota q = {.name = slice_of(name),
                              .per = slice_of(per),
                              .selector = selector,
                              .rates = rates,
                              .rate_count = 2};

    assert_int_equal(section_put_quota(&fixture.limits, &q), 0);
}

static struct section_budget
a_budget(const char *name)
{
    static const uint32_t thresholds[] = {50, 100};

    return (struct section_budget){.name = slice_of(name),
                                   .unit = SLICE("usd"),
                                   .amount = 5 * NANOS_PER_USD,
                                   .period = SLICE("month"),
                                   .time_zone = SLICE("UTC"),
                                   .mode = SLICE("strict"),
                                   .on_unverifiable = SLICE("deny"),
                                   .thresholds = thresholds,
                                   .threshold_count = 2};
}

static void
add_budget(const struct section_budget *b)
{
    assert_int_equal(section_put_budget(&fixture.limits, b), 0);
}

/* The names of what counts a request, in the order they come, with one rate of each quota. */
static const char *
matches(const struct policy *p, const struct limit_facts *f)
{
    static char text[512];
    const struct policy_limit *found[LIMIT_REQUEST_LIMITS];
    size_t n = policy_limits_for(p, f, found);

    text[0] = '\0';
    for (size_t i = 0; i < n && i < LIMIT_REQUEST_LIMITS; i++)
        if (found[i]->metric != METRIC_CONCURRENT)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s ",
                     SLICE_ARG(found[i]->name));
    return text;
}

static struct limit_facts
facts(const char *key, const char *team, const char *model, const char *provider)
{
    struct limit_facts f = {0};

    f.by[BY_KEY] = slice_of(key);
    f.by[BY_TEAM] = slice_of(team);
    f.by[BY_MODEL] = slice_of(model);
    f.by[BY_PROVIDER] = slice_of(provider);
    return f;
}

static void
test_selectors(void **state)
{
    struct section_pair tag = {SLICE("env"), SLICE("prod")};

    (void)state;
    add_quota("all", (struct section_selector){0}, "");
    add_quota("red", (struct section_selector){.team = SLICE("red")}, "");
    add_quota("one", (struct section_selector){.key = SLICE("one"), .team = SLICE("red")}, "");
    add_quota("sm", (struct section_selector){.model = SLICE("sm*")}, "");
    add_quota("sim", (struct section_selector){.provider = SLICE("sim"), .team = SLICE("blue")},
              "");
    add_quota("prod", (struct section_selector){.tags = &tag, .tag_count = 1}, "");
    struct policy *p = fixture_policy(&fixture, NULL);
    struct limit_facts f = facts("one", "red", "smart", "local");
    assert_string_equal(matches(p, &f), "one red all sm ");
    f = facts("one", "blue", "toy", "local"); /* a key's limit is also its team's */
    assert_string_equal(matches(p, &f), "all ");
    f = facts("two", "blue", "toy", "sim");
    assert_string_equal(matches(p, &f), "sim all ");
    assert_int_equal(policy_limit_count(p), 12);
    assert_non_null(policy_find_limit(p, SLICE("red:requests_per_minute")));
    assert_non_null(policy_find_limit(p, SLICE("red:concurrent_requests")));
    policy_unref(p);
}

static void
test_tags_of_the_key(void **state)
{
    unsigned char digest[SHA256_BYTES];
    struct section_pair key_tags[] = {{SLICE("env"), SLICE("prod")},
                                      {SLICE("stage"), SLICE("prod")}};
    struct section_pair wanted[] = {{SLICE("env"), SLICE("prod")}};
    struct section_pair other[] = {{SLICE("env"), SLICE("test")}};
    struct policy_key scratch;

    (void)state;
    fixture_digest("sk-tagged", digest);
    fixture_put_key(&fixture, &(struct section_key){.digest = slice_make(digest, sizeof(digest)),
                                                    .name = SLICE("tagged"),
                                                    .team = SLICE("red"),
                                                    .all_models = true,
                                                    .tags = key_tags,
                                                    .tag_count = 2});
    add_quota("prod", (struct section_selector){.tags = wanted, .tag_count = 1}, "");
    add_quota("test", (struct section_selector){.tags = other, .tag_count = 1}, "");
    struct policy *p = fixture_policy(&fixture, NULL);
    struct limit_facts f = facts("tagged", "red", "smart", "local");
    f.key = policy_find_key(p, SLICE("sk-tagged"), &scratch);
    assert_non_null(f.key);
    assert_string_equal(matches(p, &f), "prod "); /* once, although two tags say "prod" */
    policy_unref(p);
}

static void
test_tags_of_the_request(void **state)
{
    struct section_pair wanted[] = {{SLICE("feature"), SLICE("chat")},
                                    {SLICE("env"), SLICE("prod")}};
    struct policy_tag tags[] = {{SLICE("feature"), SLICE("chat")},
                                {SLICE("again"), SLICE("chat")},
                                {SLICE("env"), SLICE("prod")}};

    (void)state;
    add_quota("both", (struct section_selector){.tags = wanted, .tag_count = 2}, "");
    add_quota("one", (struct section_selector){.tags = wanted, .tag_count = 1}, "");
    struct policy *p = fixture_policy(&fixture, NULL);
    struct limit_facts f = facts("k", "red", "smart", "local");
    assert_string_equal(matches(p, &f), "");
    f.tags = tags;
    f.tag_count = 2;
    assert_string_equal(matches(p, &f), "one "); /* once, although two tags say "chat" */
    f.tag_count = 3;
    assert_string_equal(matches(p, &f), "both one ");
    policy_unref(p);
}

static void
test_subjects(void **state)
{
    char text[LIMIT_SUBJECT_BYTES], long_user[200];
    struct limit_facts f = facts("one", "red", "smart", "local");

    (void)state;
    memset(long_user, 'u', sizeof(long_user));
    add_quota("per", (struct section_selector){0}, "end_user");
    add_quota("not", (struct section_selector){0}, "");
    struct policy *p = fixture_policy(&fixture, NULL);
    const struct policy_limit *l = policy_find_limit(p, SLICE("per:requests_per_minute"));
    assert_int_equal(limit_subject(l, &f, text).len, 0);
    f.by[BY_END_USER] = SLICE("ada");
    assert_true(slice_is(limit_subject(l, &f, text), "ada"));
    f.by[BY_END_USER] = slice_make(long_user, LIMIT_SUBJECT_BYTES);
    assert_int_equal(limit_subject(l, &f, text).len, LIMIT_SUBJECT_BYTES);
    f.by[BY_END_USER] = slice_make(long_user, LIMIT_SUBJECT_BYTES + 1);
    assert_true(slice_starts(limit_subject(l, &f, text), SLICE("sha256:")));
    l = policy_find_limit(p, SLICE("not:requests_per_minute"));
    assert_int_equal(limit_subject(l, &f, text).len, 0);
    policy_unref(p);
}

static void
refused(const char *expected)
{
    struct policy *p = NULL;
    struct buf why;

    buf_init(&why, 0);
    assert_int_not_equal(fixture_compile(&fixture, NULL, &p, &why), 0);
    if (!strstr(buf_str(&why), expected))
        fail_msg("'%s' is not in '%s'", expected, buf_str(&why));
    buf_free(&why);
    buf_free(&fixture.limits);
}

static void
test_what_can_never_match_is_refused(void **state)
{
    struct section_budget b = a_budget("b");

    (void)state;
    add_quota("q", (struct section_selector){.model = SLICE("smrat")}, "");
    refused("quotas[0] 'q': model: no model is called 'smrat'");
    add_quota("q", (struct section_selector){.model = SLICE("gpt-*")}, "");
    refused("no model is called 'gpt-*'");
    add_quota("q", (struct section_selector){.provider = SLICE("nobody")}, "");
    refused("provider: there is no provider 'nobody'");
    b.amount = 0;
    add_budget(&b);
    refused("budgets[0] 'b': the limit must be above zero");
    b = a_budget("b");
    b.period = SLICE("fortnight");
    add_budget(&b);
    refused("not known to this version");
    b = a_budget("b");
    add_budget(&b);
    add_budget(&b);
    refused("budgets[1] 'b': is there twice");
}

static void
test_direct_models_can_be_named(void **state)
{
    struct limit_facts f = facts("one", "red", "local/m1", "local");

    (void)state;
    add_quota("exact", (struct section_selector){.model = SLICE("local/m1")}, "");
    add_quota("glob", (struct section_selector){.model = SLICE("local/*")}, "");
    struct policy *p = fixture_policy(&fixture, NULL);
    assert_string_equal(matches(p, &f), "exact glob ");
    policy_unref(p);
}

/* An unchanged section is taken over with its bytes: one changed key costs no compilation, and a
 * changed model has the limits checked against it. */
static void
test_generations(void **state)
{
    struct section_budget b = a_budget("b");

    (void)state;
    b.selector.model = SLICE("smart");
    add_budget(&b);
    struct policy *first = fixture_policy(&fixture, NULL);
    fixture_add_key(&fixture, "three", "red");
    struct policy *second = fixture_policy(&fixture, first);
    assert_ptr_equal(policy_limit_at(first, 0), policy_limit_at(second, 0));
    fixture_add_model(&fixture, "another", "local", "m1");
    struct policy *third = fixture_policy(&fixture, second);
    assert_ptr_not_equal(policy_limit_at(first, 0), policy_limit_at(third, 0));
    policy_unref(first);
    policy_unref(second);
    const struct policy_limit *l = policy_find_limit(third, SLICE("b"));
    assert_int_equal(l->amount, 5 * NANOS_PER_USD);
    assert_int_equal(l->threshold_count, 2);
    assert_int_equal(l->mode, LIMIT_STRICT);
    policy_unref(third);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_selectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tags_of_the_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tags_of_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_subjects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_can_never_match_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_direct_models_can_be_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_generations, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
