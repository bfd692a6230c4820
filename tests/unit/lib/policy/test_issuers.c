/* Issuers of tokens in a snapshot, and earlier secrets of keys. */
#include "tests/unit/check.h"

#include "lib/policy/policy_internal.h"
#include "lib/sign/bearer.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

static const char jwk[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d1\","
                          "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"; /* RFC 8037 */

static struct arena arena;
static struct section_issuer_key key;

static int
set_up(void **state)
{
    struct bearer_jwk read;

    (void)state;
    arena_init(&arena, 0);
    assert_int_equal(bearer_jwk_read(slice_of(jwk), &arena, &read), 0);
    key = (struct section_issuer_key){read.id, read.der, (uint32_t)read.kind};
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct section_issuer
good_issuer(void)
{
    return (struct section_issuer){.name = SLICE("idp"),
                                   .issuer = SLICE("https://idp.example"),
                                   .audience = SLICE("headgate"),
                                   .team = SLICE("red"),
                                   .user_claim = SLICE("sub"),
                                   .all_models = true,
                                   .keys = &key,
                                   .key_count = 1};
}

static void
test_an_issuer_is_found_by_its_claim(void **state)
{
    static const struct slice models[] = {{"gpt-*", 5}};
    struct section_issuer s = good_issuer();
    const struct policy_issuer *i;
    struct policy_scope scope;
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init(&f);
    s.all_models = false;
    s.models = models;
    s.model_count = 1;
    s.scope.max_tokens = 9;
    assert_int_equal(section_put_issuer(&f.teams, &s), 0);
    p = fixture_policy(&f, NULL);
    assert_null(policy_find_issuer(p, SLICE("https://idp.example/")));
    assert_null(policy_find_issuer(p, SLICE("idp")));
    i = policy_find_issuer(p, SLICE("https://idp.example"));
    assert_non_null(i);
    assert_slice_is(i->name, "jwt:idp");
    assert_slice_is(i->team->name, "red");
    assert_slice_is(i->user_claim, "sub");
    assert_int_equal(i->key_count, 1);
    assert_slice_is(i->keys[0].id, "d1");
    struct policy_key as = {.team = i->team, .models = i->models, .model_count = i->model_count};
    assert_true(policy_may_use(&as, SLICE("gpt-4o")));
    assert_false(policy_may_use(&as, SLICE("other")));
    policy_scope_read(i->scope, &scope);
    assert_true(scope.max_tokens == 9);
    assert_non_null(policy_find_team(p, SLICE("blue")));
    assert_null(policy_find_team(p, SLICE("green")));
    policy_unref(p);
    fixture_free(&f);
}

/* Appends to a good configuration; what the compiler says must contain the text. */
static void
expect_refused(const struct section_issuer *s, size_t times, const char *says)
{
    struct policy *p = NULL;
    struct fixture f;
    struct buf why;

    buf_init(&why, 0);
    fixture_init(&f);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(section_put_issuer(&f.teams, s), 0);
    if (fixture_compile(&f, NULL, &p, &why) == 0)
        fail_msg("compiles, want: %s", says);
    if (!strstr(buf_str(&why), says))
        fail_msg("\"%s\" is not in \"%s\"", says, buf_str(&why));
    buf_free(&why);
    fixture_free(&f);
}

static void
test_what_is_refused_names_its_place(void **state)
{
    struct section_issuer s;
    struct section_issuer_key bad = key, many[LIMIT_ISSUER_KEYS + 1];

    (void)state;
    s = good_issuer();
    expect_refused(&s, 2, "issuers[1] 'idp': the issuer 'https://idp.example' is there twice");
    s.team = SLICE("green");
    expect_refused(&s, 1, "issuers[0] 'idp': no team 'green'");
    s.team = SLICE("");
    expect_refused(&s, 1, "neither a team nor a claim");
    s = good_issuer();
    s.audience = SLICE("");
    expect_refused(&s, 1, "audience");
    s = good_issuer();
    s.user_claim = SLICE("");
    expect_refused(&s, 1, "user_claim");
    s = good_issuer();
    bad.der.len--;
    s.keys = &bad;
    expect_refused(&s, 1, "keys[0]: is malformed");
    bad = key;
    bad.kind = BEARER_RSA;
    expect_refused(&s, 1, "keys[0]: is malformed");
    for (size_t i = 0; i < LIMIT_ISSUER_KEYS + 1; i++)
        many[i] = key;
    s.keys = many;
    s.key_count = LIMIT_ISSUER_KEYS + 1;
    expect_refused(&s, 1, "more than 32 keys");
}

/* Two digests in one shard, of one key: the earlier one has its name and id a second time. */
static void
put_both(struct fixture *f, bool retired)
{
    unsigned char digest[SHA256_BYTES];

    fixture_digest("sk-now", digest);
    for (size_t i = 0; i < 256; i++)
        buf_clear(&f->shards[i]);
    struct section_key k = {.digest = slice_make(digest, sizeof(digest)),
                            .name = SLICE("one"),
                            .team = SLICE("red"),
                            .id = SLICE("0123456789abcdef"),
                            .all_models = true};
    unsigned char before[SHA256_BYTES];
    memcpy(before, digest, sizeof(before));
    before[31] = 0;
    digest[31] = 1;
    k.digest = slice_make(before, sizeof(before));
    k.retired = retired;
    k.expires_ms = 5;
    fixture_put_key(f, &k);
    k.digest = slice_make(digest, sizeof(digest));
    k.retired = false;
    k.expires_ms = 0;
    fixture_put_key(f, &k);
}

static void
test_an_earlier_secret_may_have_the_name_of_its_key(void **state)
{
    struct policy *p = NULL;
    struct fixture f;
    struct buf why;

    (void)state;
    fixture_init(&f);
    put_both(&f, true);
    p = fixture_policy(&f, NULL);
    assert_int_equal(policy_key_count(p), 2);
    policy_unref(p);
    put_both(&f, false);
    buf_init(&why, 0);
    assert_int_equal(fixture_compile(&f, NULL, &p, &why), ERR_EXISTS);
    assert_non_null(strstr(buf_str(&why), "the name is there twice"));
    buf_free(&why);
    fixture_free(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_issuer_is_found_by_its_claim),
        cmocka_unit_test(test_what_is_refused_names_its_place),
        cmocka_unit_test(test_an_earlier_secret_may_have_the_name_of_its_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
