#include "tests/unit/check.h"

#include "lib/policy/policy_internal.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

#define MANY 20000

/* --- many keys ----------------------------------------------------------------------------- */

struct named {
    unsigned char digest[SHA256_BYTES];
    char name[32];
};

static int
by_digest(const void *a, const void *b)
{
    return memcmp(((const struct named *)a)->digest, ((const struct named *)b)->digest,
                  SHA256_BYTES);
}

/* "sk-key-0" to "sk-key-(n-1)". */
static void
add_many(struct fixture *f, size_t n)
{
    struct hmac *h = hmac_new(fixture_pepper, strlen(fixture_pepper));
    struct named *all = calloc(n, sizeof(*all));
    char text[48];

    for (size_t i = 0; i < n; i++) {
        snprintf(all[i].name, sizeof(all[i].name), "key-%zu", i);
        snprintf(text, sizeof(text), "sk-%s", all[i].name);
        hmac_sha256(h, text, strlen(text), all[i].digest);
    }
    qsort(all, n, sizeof(*all), by_digest);
    for (size_t i = 0; i < n; i++) {
        unsigned char id[16];

        memcpy(id, all[i].digest + 16, 16);
        fixture_put_key(f, &(struct section_key){.digest = slice_make(all[i].digest, SHA256_BYTES),
                                                 .name = slice_of(all[i].name),
                                                 .id = slice_make(id, 16),
                                                 .team = i % 2 ? SLICE("red") : SLICE("blue"),
                                                 .all_models = true});
    }
    free(all);
    hmac_free(h);
}

static void
test_each_of_many_is_found_and_small(void **state)
{
    struct policy_key k;
    struct fixture f;
    struct policy *p;
    size_t memory = 0;
    char text[48];

    (void)state;
    fixture_init_empty(&f);
    fixture_add_team(&f, "red");
    fixture_add_team(&f, "blue");
    add_many(&f, MANY);
    p = fixture_policy(&f, NULL);
    assert_int_equal(policy_key_count(p), MANY);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "sk-key-%zu", i);
        assert_ptr_equal(policy_find_key(p, slice_of(text), &k), &k);
        assert_slice_is(k.name, text + 3);
        snprintf(text, sizeof(text), "sk-key-%zu!", i);
        assert_null(policy_find_key(p, slice_of(text), &k));
    }
    for (size_t i = 0; i < KEY_SHARDS; i++)
        memory += p->bindings[i] ? shard_memory(binding_shard(p->bindings[i])) : 0;
    assert_true(memory / MANY < 120); /* the bound is 200 */
    policy_unref(p);
    fixture_free(&f);
}

/* --- one key, all it can say --------------------------------------------------------------- */

static void
test_all_members_survive_packing(void **state)
{
    unsigned char digest[SHA256_BYTES];
    struct slice models[] = {SLICE("gpt-*"), SLICE("a/b:c")};
    struct slice endpoints[] = {SLICE("chat.completions"), SLICE("embed*")};
    struct slice addresses[] = {slice_make("\x08\x0a\0\0\0", 5)};
    struct policy_scope scope;
    struct section_pair tags[] = {{SLICE("cost"), SLICE("42")}, {SLICE("empty"), SLICE("")}};
    struct slice pattern;
    struct policy_tag tag;
    struct policy_key k;
    struct fixture f;
    struct policy *p;
    size_t cursor = 0;

    (void)state;
    fixture_init(&f);
    assert_int_equal(section_put_project(&f.teams, &(struct section_project){.name = SLICE("web"),
                                                                             .team = SLICE("red")}),
                     0);
    assert_int_equal(section_put_user(&f.teams, &(struct section_user){.name = SLICE("ann")}), 0);
    fixture_digest("sk-full", digest);
    for (size_t i = 0; i < 256; i++)
        buf_clear(&f.shards[i]);
    fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                              .name = SLICE("full"),
                                              .team = SLICE("red"),
                                              .project = SLICE("web"),
                                              .user = SLICE("ann"),
                                              .models = models,
                                              .model_count = 2,
                                              .tags = tags,
                                              .tag_count = 2,
                                              .expires_ms = INT64_MAX,
                                              .refuse_on_partition = true,
                                              .scope = {.endpoints = endpoints,
                                                        .endpoint_count = 2,
                                                        .limits_endpoints = true,
                                                        .addresses = addresses,
                                                        .address_count = 1,
                                                        .limits_addresses = true,
                                                        .max_tokens = 4096,
                                                        .no_tools = true}});
    p = fixture_policy(&f, NULL);
    assert_non_null(policy_find_key(p, SLICE("sk-full"), &k));
    assert_slice_is(k.name, "full");
    assert_slice_is(k.id, "");
    assert_slice_is(k.project, "web");
    assert_slice_is(k.user, "ann");
    assert_slice_is(k.team->name, "red");
    assert_true(k.expires_ms == INT64_MAX);
    assert_true(k.refuse_on_partition);
    assert_false(k.all_models);
    assert_false(k.disabled);
    assert_memory_equal(k.digest, digest, SHA256_BYTES);
    assert_int_equal(k.model_count, 2);
    assert_true(policy_key_model(&k, &cursor, &pattern));
    assert_slice_is(pattern, "gpt-*");
    assert_true(policy_key_model(&k, &cursor, &pattern));
    assert_slice_is(pattern, "a/b:c");
    assert_false(policy_key_model(&k, &cursor, &pattern));
    cursor = 0;
    assert_true(policy_key_tag(&k, &cursor, &tag));
    assert_slice_is(tag.value, "42");
    assert_true(policy_key_tag(&k, &cursor, &tag));
    assert_slice_is(tag.name, "empty");
    assert_slice_is(tag.value, "");
    assert_false(policy_key_tag(&k, &cursor, &tag));
    policy_scope_read(k.scope, &scope);
    assert_true(scope.max_tokens == 4096 && !scope.tools && scope.stream);
    assert_true(policy_scope_has_endpoint(&scope, SLICE("chat.completions")));
    assert_true(policy_scope_has_endpoint(&scope, SLICE("embeddings")));
    assert_false(policy_scope_has_endpoint(&scope, SLICE("completions")));
    assert_true(policy_scope_has_address(&scope, SLICE("10.9.8.7")));
    assert_true(policy_scope_has_address(&scope, SLICE("::ffff:10.9.8.7")));
    assert_false(policy_scope_has_address(&scope, SLICE("11.0.0.1")));
    assert_false(policy_scope_has_address(&scope, SLICE("unix")));
    policy_unref(p);
    fixture_free(&f);
}

static void
owner_case(bool key, bool project, bool user, bool want)
{
    unsigned char digest[SHA256_BYTES];
    struct policy_key k;
    struct fixture f;
    struct policy *p;

    fixture_init_empty(&f);
    fixture_add_team(&f, "red");
    assert_int_equal(section_put_project(
                         &f.teams, &(struct section_project){SLICE("web"), SLICE("red"), project}),
                     0);
    assert_int_equal(
        section_put_user(&f.teams, &(struct section_user){.name = SLICE("ann"), .disabled = user}),
        0);
    fixture_digest("sk-k", digest);
    fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                              .name = SLICE("k"),
                                              .team = SLICE("red"),
                                              .project = SLICE("web"),
                                              .user = SLICE("ann"),
                                              .disabled = key});
    p = fixture_policy(&f, NULL);
    assert_non_null(policy_find_key(p, SLICE("sk-k"), &k));
    assert_int_equal(k.disabled, want);
    policy_unref(p);
    fixture_free(&f);
}

static void
test_disabled_by_any_owner(void **state)
{
    (void)state;
    owner_case(false, false, false, false);
    owner_case(true, false, false, true);
    owner_case(false, true, false, true);
    owner_case(false, false, true, true);
}

/* --- generations --------------------------------------------------------------------------- */

/* Drops the bytes of everything that the previous policy holds. */
static struct policy *
compile_with_missing_only(struct fixture *f, const struct policy *previous, size_t *ret_given)
{
    struct policy_input in = {
        .epoch = 1, .version = 2, .previous = previous, .keys = fixture_keys()};
    struct policy *p = NULL;
    struct buf why;

    fixture_list(f);
    *ret_given = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (policy_has_section(previous, f->list[i].name, f->list[i].digest))
            f->list[i].bytes = (struct slice){0};
        else
            ++*ret_given;
    }
    in.sections = f->list;
    in.count = f->count;
    buf_init(&why, 0);
    if (policy_compile(&in, &p, &why) != 0)
        fail_msg("%s", buf_str(&why));
    buf_free(&why);
    return p;
}

static void
test_one_changed_key_rebuilds_one_shard(void **state)
{
    unsigned char digest[SHA256_BYTES];
    struct policy *before, *after;
    struct policy_key k;
    struct fixture f;
    size_t given;

    (void)state;
    fixture_init_empty(&f);
    fixture_add_team(&f, "red");
    fixture_add_team(&f, "blue");
    add_many(&f, 2000);
    before = fixture_policy(&f, NULL);
    fixture_digest("sk-key-7", digest);
    buf_clear(&f.shards[digest[0]]);
    after = compile_with_missing_only(&f, before, &given);
    assert_int_equal(given, 0); /* an empty shard is not listed at all */
    assert_null(policy_find_key(after, SLICE("sk-key-7"), &k));
    assert_non_null(policy_find_key(before, SLICE("sk-key-7"), &k));
    for (size_t i = 0; i < KEY_SHARDS; i++)
        if (i == digest[0])
            assert_null(after->bindings[i]);
        else
            assert_ptr_equal(after->bindings[i], before->bindings[i]);
    assert_ptr_equal(after->core, before->core);
    assert_ptr_equal(after->people, before->people);
    policy_unref(before);
    assert_non_null(policy_find_key(after, SLICE("sk-key-8"), &k));
    fixture_digest("sk-fresh", digest);
    buf_clear(&f.shards[digest[0]]);
    fixture_add_key(&f, "fresh", "red");
    before = after;
    after = compile_with_missing_only(&f, before, &given);
    assert_int_equal(given, 1);
    assert_non_null(policy_find_key(after, SLICE("sk-fresh"), &k));
    policy_unref(before);
    policy_unref(after);
    fixture_free(&f);
}

/* A team that changes is seen by keys whose shards did not. */
static void
test_changed_people_are_bound_again(void **state)
{
    struct policy *before, *after;
    struct policy_key k;
    struct fixture f;
    size_t given;

    (void)state;
    fixture_init(&f);
    before = fixture_policy(&f, NULL);
    buf_clear(&f.teams);
    assert_int_equal(
        section_put_team(&f.teams, &(struct section_team){.name = SLICE("red"), .disabled = true}),
        0);
    fixture_add_team(&f, "blue");
    after = compile_with_missing_only(&f, before, &given);
    assert_int_equal(given, 1);
    policy_unref(before);
    assert_non_null(policy_find_key(after, SLICE("sk-one"), &k));
    assert_true(k.team->disabled);
    assert_non_null(policy_find_key(after, SLICE("sk-two"), &k));
    assert_false(k.team->disabled);
    policy_unref(after);
    fixture_free(&f);
}

/* The team of a key that did not change is gone: refused, although the shard's bytes were not
 * given. */
static void
test_lost_team_is_noticed(void **state)
{
    struct policy *before, *after = NULL;
    struct fixture f;
    struct buf why;

    (void)state;
    fixture_init(&f);
    before = fixture_policy(&f, NULL);
    buf_clear(&f.teams);
    fixture_add_team(&f, "blue");
    buf_init(&why, 0);
    assert_int_equal(fixture_compile(&f, before, &after, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(buf_str(&why), "'one': no team 'red'"));
    assert_null(after);
    buf_free(&why);
    policy_unref(before);
    fixture_free(&f);
}

/* Models point at prices and providers: what changes one is seen through the other. */
static void
test_changed_price_reaches_the_model(void **state)
{
    struct policy_model scratch;
    struct policy_target target;
    struct policy *before, *after;
    struct fixture f;
    size_t given;

    (void)state;
    fixture_init(&f);
    before = fixture_policy(&f, NULL);
    buf_clear(&f.prices);
    fixture_add_price(&f, "local", "m1", 7, 8);
    after = compile_with_missing_only(&f, before, &given);
    assert_int_equal(given, 1);
    policy_unref(before);
    assert_int_equal(
        policy_find_model(after, SLICE("smart"), &scratch, &target)->targets[0].price->rates.input,
        7);
    assert_null(policy_find_model(after, SLICE("toy"), &scratch, &target)->targets[0].price);
    policy_unref(after);
    fixture_free(&f);
}

/* Digests of no key's text, all of which belong into one slot, the last or the first: they stand
 * behind it, however many they are, and what is not there is not found behind them. */
static void
test_keys_that_crowd(void **state)
{
    enum { CROWD = 500 };

    (void)state;
    for (int last = 0; last < 2; last++) {
        unsigned char digest[SHA256_BYTES];
        struct policy_key k;
        struct fixture f;
        struct policy *p;
        char name[32];

        fixture_init_empty(&f);
        fixture_add_team(&f, "red");
        fixture_add_team(&f, "blue");
        memset(digest, last ? 0xff : 0, sizeof(digest));
        digest[0] = 7;
        for (unsigned i = 0; i < CROWD; i++) {
            digest[30] = (unsigned char)(i >> 8);
            digest[31] = (unsigned char)i;
            snprintf(name, sizeof(name), "crowd-%u", i);
            fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                                      .name = slice_of(name),
                                                      .team = i % 2 ? SLICE("red") : SLICE("blue"),
                                                      .all_models = true});
        }
        p = fixture_policy(&f, NULL);
        for (unsigned i = 0; i < CROWD; i++) {
            digest[30] = (unsigned char)(i >> 8);
            digest[31] = (unsigned char)i;
            snprintf(name, sizeof(name), "crowd-%u", i);
            assert_true(binding_find(p->bindings[7], digest, &k));
            assert_true(slice_is(k.name, name));
            assert_true(slice_is(k.team->name, i % 2 ? "red" : "blue"));
        }
        digest[30] = 0x7f;
        assert_false(binding_find(p->bindings[7], digest, &k));
        memset(digest + 1, last ? 0 : 0xff, SHA256_BYTES - 1);
        assert_false(binding_find(p->bindings[7], digest, &k));
        policy_unref(p);
        fixture_free(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_of_many_is_found_and_small),
        cmocka_unit_test(test_keys_that_crowd),
        cmocka_unit_test(test_all_members_survive_packing),
        cmocka_unit_test(test_disabled_by_any_owner),
        cmocka_unit_test(test_one_changed_key_rebuilds_one_shard),
        cmocka_unit_test(test_changed_people_are_bound_again),
        cmocka_unit_test(test_lost_team_is_noticed),
        cmocka_unit_test(test_changed_price_reaches_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
