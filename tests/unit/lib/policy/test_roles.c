/* Roles of those who hold keys: which count where, and what one of them must allow. */
#include "tests/unit/check.h"

#include "tests/unit/lib/policy/snapshot_fixture.h"

static struct fixture f;

static void
put_role(const char *name, const char *model)
{
    const struct slice endpoints[] = {SLICE("chat.*")}, models[] = {slice_of(model)};
    assert_int_equal(
        section_put_role(&f.teams, &(struct section_role){.name = slice_of(name),
                                                          .models = models,
                                                          .model_count = 1,
                                                          .scope = {.endpoints = endpoints,
                                                                    .endpoint_count = 1,
                                                                    .limits_endpoints = true,
                                                                    .max_tokens = 50}}),
        0);
}

static void
put_grant(const char *user, const char *role, const char *team, const char *project)
{
    assert_int_equal(
        section_put_grant(&f.teams, &(struct section_grant){slice_of(user), slice_of(role),
                                                            slice_of(team), slice_of(project)}),
        0);
}

static void
put_key(const char *name, const char *team, const char *project, const char *user)
{
    unsigned char digest[SHA256_BYTES];
    char text[64];
    snprintf(text, sizeof(text), "sk-%s", name);
    fixture_digest(text, digest);
    fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, sizeof(digest)),
                                              .name = slice_of(name),
                                              .team = slice_of(team),
                                              .project = slice_of(project),
                                              .user = slice_of(user),
                                              .all_models = true});
}

/* Teams red (with project p) and blue; ann may have "gpt-*" in red and "toy" everywhere, ben only
 * "toy" in p; cyd has no such role. */
static void
begin(void)
{
    static const char *const users[] = {"ann", "ben", "cyd"};
    fixture_init_empty(&f);
    fixture_add_team(&f, "red");
    fixture_add_team(&f, "blue");
    assert_int_equal(
        section_put_project(&f.teams, &(struct section_project){SLICE("p"), SLICE("red"), false}),
        0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            section_put_user(&f.teams, &(struct section_user){.name = slice_of(users[i])}), 0);
    put_role("gpt", "gpt-*");
    put_role("toys", "toy");
    put_grant("ann", "gpt", "red", "");
    put_grant("ann", "toys", "", "");
    put_grant("ben", "toys", "red", "p");
    put_grant("ann", "toys", "blue", "");
}

static void
test_which_models(void **state)
{
    static const struct {
        const char *team, *project, *user;
        bool gpt, toy;
    } rows[] = {
        {"red", "", "ann", true, true},   {"blue", "", "ann", false, true},
        {"red", "p", "ann", true, true},  {"red", "p", "ben", false, true},
        {"red", "", "ben", false, false}, {"blue", "", "ben", false, false},
        {"red", "", "cyd", true, true},   {"red", "p", "", true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_key k;
        begin();
        put_key("k", rows[i].team, rows[i].project, rows[i].user);
        struct policy *p = fixture_policy(&f, NULL);
        assert_non_null(policy_find_key(p, SLICE("sk-k"), &k));
        if (policy_may_use(&k, SLICE("gpt-4o")) != rows[i].gpt ||
            policy_may_use(&k, SLICE("toy")) != rows[i].toy)
            fail_msg("row %zu", i);
        policy_unref(p);
        fixture_free(&f);
    }
}

static void
test_the_roles_that_count(void **state)
{
    struct policy_scope scope;
    struct policy_key k;
    size_t cursor = 0;
    (void)state;
    begin();
    put_key("k", "red", "", "ann");
    struct policy *p = fixture_policy(&f, NULL);
    assert_non_null(policy_find_key(p, SLICE("sk-k"), &k));
    assert_int_equal(k.grant_count, 3);
    const struct policy_role *role = policy_key_role(&k, &cursor);
    assert_slice_is(role->name, "gpt");
    policy_scope_read(role->scope, &scope);
    assert_int_equal(scope.max_tokens, 50);
    assert_true(policy_scope_has_endpoint(&scope, SLICE("chat.completions")));
    assert_false(policy_scope_has_endpoint(&scope, SLICE("embeddings")));
    assert_slice_is(policy_key_role(&k, &cursor)->name, "toys");
    assert_null(policy_key_role(&k, &cursor)); /* the third is for blue */
    /* A token's user, who may be nobody we know. */
    struct policy_key token = {.team = k.team, .project = SLICE("")};
    policy_set_holder(p, SLICE("ben"), &token);
    cursor = 0;
    assert_int_equal(token.grant_count, 1);
    assert_null(policy_key_role(&token, &cursor));
    policy_set_holder(p, SLICE("stranger"), &token);
    assert_int_equal(token.grant_count, 0);
    policy_unref(p);
    fixture_free(&f);
}

static void
expect_refusal(const char *message)
{
    struct policy *p = NULL;
    struct buf why;
    buf_init(&why, 0);
    if (fixture_compile(&f, NULL, &p, &why) == 0 || !strstr(buf_str(&why), message))
        fail_msg("'%s', want '%s'", buf_str(&why), message);
    assert_null(p);
    buf_free(&why);
    fixture_free(&f);
}

static void
test_what_is_wrong_is_refused(void **state)
{
    (void)state;
    begin();
    put_grant("eve", "toys", "", "");
    expect_refusal("grants[4] 'eve': no such user");
    begin();
    put_grant("ann", "nothing", "", "");
    expect_refusal("grants[4] 'ann': no such user, role");
    begin();
    put_grant("ann", "toys", "green", "");
    expect_refusal("grants[4] 'ann'");
    begin();
    put_grant("ann", "toys", "red", "q");
    expect_refusal("grants[4] 'ann'");
    begin();
    put_role("toys", "x");
    expect_refusal("roles[2] 'toys': name: is malformed, or there twice");
    begin();
    put_role("r", "");
    expect_refusal("roles[2] 'r': allow.models[0]");
    begin();
    for (int i = 0; i < 256; i++)
        put_grant("ann", "toys", "", "");
    expect_refusal("more than 256 roles");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_models),
        cmocka_unit_test(test_the_roles_that_count),
        cmocka_unit_test(test_what_is_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
