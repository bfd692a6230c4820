#include "tests/unit/check.h"

#include "lib/base/hash.h"
#include "lib/control/section.h"

/* What is written by hand is what protobuf-c reads. */

static struct slice
only_item(const char *section, const struct buf *bytes, enum section_item want)
{
    struct slice rest = buf_slice(bytes), item, none;

    assert_int_equal(section_next(slice_of(section), &rest, &item), want);
    assert_int_equal(section_next(slice_of(section), &rest, &none), SECTION_END);
    return item;
}

static void
test_provider_survives(void **state)
{
    struct section_pair headers[] = {{SLICE("a"), SLICE("b")}, {SLICE("c"), SLICE("")}};
    struct section_provider p = {.name = SLICE("p"),
                                 .kind = SLICE("openai"),
                                 .base_url = SLICE("https://x/v1"),
                                 .sealed_credential = slice_make("\x01\x00\xff", 3),
                                 .http = SLICE("2"),
                                 .on_disconnect = SLICE("drain"),
                                 .allow_private = true,
                                 .connect_ms = 1,
                                 .first_byte_ms = UINT32_MAX,
                                 .between_bytes_ms = 3,
                                 .total_ms = 4,
                                 .headers = headers,
                                 .header_count = 2};
    struct section_provider q;
    struct arena arena;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    arena_init(&arena, 0);
    assert_int_equal(section_put_provider(&bytes, &p), 0);
    assert_int_equal(
        section_get_provider(only_item("providers", &bytes, SECTION_PROVIDER), &arena, &q), 0);
    assert_slice_is(q.name, "p");
    assert_slice_is(q.kind, "openai");
    assert_slice_is(q.base_url, "https://x/v1");
    assert_true(slice_eq(q.sealed_credential, p.sealed_credential));
    assert_slice_is(q.http, "2");
    assert_slice_is(q.on_disconnect, "drain");
    assert_true(q.allow_private);
    assert_int_equal(q.connect_ms, 1);
    assert_true(q.first_byte_ms == UINT32_MAX);
    assert_int_equal(q.between_bytes_ms, 3);
    assert_int_equal(q.total_ms, 4);
    assert_int_equal(q.header_count, 2);
    assert_slice_is(q.headers[1].name, "c");
    assert_slice_is(q.headers[1].value, "");
    arena_free(&arena);
    buf_free(&bytes);
}

static void
test_model_survives(void **state)
{
    struct section_target targets[] = {{SLICE("a"), SLICE("m"), 3}, {SLICE("b"), SLICE("n"), 0}};
    struct slice fallbacks[] = {SLICE("x"), SLICE("y")};
    struct section_model m = {.name = SLICE("smart"),
                              .strategy = SLICE("priority"),
                              .targets = targets,
                              .target_count = 2,
                              .fallbacks = fallbacks,
                              .fallback_count = 2,
                              .created_unix_s = 1700000000,
                              .free = true,
                              .cache_ttl_s = 300,
                              .cache_scope = SLICE("user")};
    struct section_model n;
    struct arena arena;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    arena_init(&arena, 0);
    assert_int_equal(section_put_model(&bytes, &m), 0);
    assert_int_equal(section_get_model(only_item("models", &bytes, SECTION_MODEL), &arena, &n), 0);
    assert_slice_is(n.strategy, "priority");
    assert_int_equal(n.target_count, 2);
    assert_int_equal(n.targets[0].weight, 3);
    assert_int_equal(n.targets[1].weight, 0);
    assert_slice_is(n.targets[1].model, "n");
    assert_slice_is(n.fallbacks[1], "y");
    assert_true(n.created_unix_s == 1700000000);
    assert_true(n.free);
    assert_int_equal(n.cache_ttl_s, 300);
    assert_slice_is(n.cache_scope, "user");
    arena_free(&arena);
    buf_free(&bytes);
}

static void
test_price_survives(void **state)
{
    const struct section_variant variants[] = {
        {.service_tier = TIER_PRIORITY,
         .input_tokens_over = 200000,
         .rates = {.rates = {.input = 5, .image = 6}, .given = 1 | 1 << CLASS_IMAGES}},
        {.service_tier = 9, .input_tokens_over = -1}, /* not for us to judge */
    };
    struct section_price p = {
        .provider = SLICE("kind:openai"),
        .model = SLICE("gpt-*"),
        .version = SLICE("r7"),
        .base = {.rates = {.input = 1, .output = INT64_MAX, .reasoning = -1, .character = 7},
                 .given = 1 << CLASS_CACHE_READ | 1 << CLASS_REASONING | 1 << CLASS_CHARACTERS |
                          1 << CLASS_IMAGES},
        .variants = variants,
        .variant_count = 2};
    struct section_price q;
    struct arena arena;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    arena_init(&arena, 0);
    assert_int_equal(section_put_price(&bytes, &p), 0);
    assert_int_equal(section_get_price(only_item("prices", &bytes, SECTION_PRICE), &arena, &q), 0);
    assert_slice_is(q.provider, "kind:openai");
    assert_slice_is(q.model, "gpt-*");
    assert_slice_is(q.version, "r7");
    assert_memory_equal(&q.base.rates, &p.base.rates, sizeof(q.base.rates));
    assert_int_equal(q.base.given, p.base.given | 1 << CLASS_INPUT | 1 << CLASS_OUTPUT);
    assert_int_equal(q.variant_count, 2);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(&q.variants[i].rates, &variants[i].rates, sizeof(variants[i].rates));
    assert_int_equal(q.variants[0].service_tier, TIER_PRIORITY);
    assert_int_equal(q.variants[0].input_tokens_over, 200000);
    assert_int_equal(q.variants[1].service_tier, 9);
    assert_int_equal(q.variants[1].input_tokens_over, -1);
    assert_false(q.free);
    arena_free(&arena);
    buf_free(&bytes);
}

static void
test_people_survive(void **state)
{
    struct slice names[] = {SLICE("red"), SLICE("blue")};
    struct section_project project;
    struct slice rest, item;
    struct section_team team;
    struct section_user user;
    struct arena arena;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    arena_init(&arena, 0);
    assert_int_equal(
        section_put_team(&bytes, &(struct section_team){.name = SLICE("red"),
                                                        .disabled = true,
                                                        .models = names,
                                                        .model_count = 2,
                                                        .scope = {.endpoints = names,
                                                                  .endpoint_count = 2,
                                                                  .limits_endpoints = true,
                                                                  .limits_addresses = true,
                                                                  .max_tokens = INT64_MAX,
                                                                  .no_stream = true}}),
        0);
    assert_int_equal(
        section_put_project(&bytes, &(struct section_project){SLICE("web"), SLICE("red"), true}),
        0);
    assert_int_equal(
        section_put_user(&bytes, &(struct section_user){SLICE("bot"), true, true, names, 2}), 0);
    rest = buf_slice(&bytes);
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_TEAM);
    assert_int_equal(section_get_team(item, &arena, &team), 0);
    assert_slice_is(team.models[1], "blue");
    assert_true(!team.all_models && team.disabled);
    assert_slice_is(team.scope.endpoints[1], "blue");
    assert_true(team.scope.limits_endpoints && team.scope.limits_addresses && !team.scope.no_tools);
    assert_true(team.scope.address_count == 0 && team.scope.max_tokens == INT64_MAX);
    assert_true(team.scope.no_stream);
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_PROJECT);
    assert_int_equal(section_get_project(item, &arena, &project), 0);
    assert_slice_is(project.team, "red");
    assert_true(project.disabled);
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_USER);
    assert_int_equal(section_get_user(item, &arena, &user), 0);
    assert_true(user.service && user.disabled);
    assert_slice_is(user.teams[0], "red");
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_END);
    arena_free(&arena);
    buf_free(&bytes);
}

static void
test_key_survives(void **state)
{
    unsigned char digest[32] = {0}, back[32];
    struct slice models[] = {SLICE("a"), SLICE("b*")};
    struct section_pair tags[] = {{SLICE("t"), SLICE("v")}};
    struct section_key k = {.digest = slice_make(digest, 32),
                            .id = SLICE("0123456789abcdef"),
                            .name = SLICE("ci"),
                            .team = SLICE("red"),
                            .project = SLICE("web"),
                            .user = SLICE("ann"),
                            .all_models = true,
                            .disabled = true,
                            .refuse_on_partition = true,
                            .models = models,
                            .model_count = 2,
                            .expires_ms = 1700000000000,
                            .tags = tags,
                            .tag_count = 1};
    struct section_key q;
    struct arena arena;
    struct slice item;
    struct buf bytes;

    (void)state;
    digest[0] = 0x7f;
    buf_init(&bytes, 0);
    arena_init(&arena, 0);
    assert_int_equal(section_put_key(&bytes, &k), 0);
    item = only_item("keys/7f", &bytes, SECTION_KEY);
    assert_int_equal(section_get_key(item, &arena, &q), 0);
    assert_true(slice_eq(q.digest, k.digest));
    assert_true(slice_eq(q.id, k.id));
    assert_slice_is(q.name, "ci");
    assert_slice_is(q.project, "web");
    assert_slice_is(q.user, "ann");
    assert_true(q.all_models && q.disabled && q.refuse_on_partition);
    assert_slice_is(q.models[1], "b*");
    assert_true(q.expires_ms == 1700000000000);
    assert_slice_is(q.tags[0].value, "v");
    assert_int_equal(section_key_digest(item, back), 0);
    assert_memory_equal(back, digest, 32);
    arena_free(&arena);
    buf_free(&bytes);
}

static void
test_walk_is_strict_and_bounded(void **state)
{
    struct slice item, rest;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    rest = SLICE("");
    assert_int_equal(section_next(SLICE("nothing"), &rest, &item), ERR_NOT_FOUND);
    assert_int_equal(section_next(SLICE("keys/0"), &rest, &item), ERR_NOT_FOUND);
    rest = slice_make("\x0a\x05"
                      "abc",
                      5); /* says 5, has 3 */
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), ERR_SYNTAX);
    rest = slice_make("\x08\x01", 2); /* an item that is a number */
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), ERR_SYNTAX);
    rest = slice_make("\x0b", 1); /* a group */
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), ERR_SYNTAX);
    rest = slice_make("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11); /* beyond 64 bits */
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), ERR_SYNTAX);
    /* unknown fields of every wire type are passed over: 200 = varint, fixed64, bytes, fixed32 */
    rest = slice_make("\xc0\x0c\x05"
                      "\xc1\x0c"
                      "12345678"
                      "\xc2\x0c\x02xy"
                      "\xc5\x0c"
                      "1234"
                      "\x0a\x01z",
                      27);
    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_TEAM);
    assert_slice_is(item, "z");
    while (bytes.len <= LIMIT_ITEM_BYTES)
        assert_int_equal(buf_add(&bytes, "0123456789abcdef", 16), 0);
    assert_int_equal(section_put_pepper(&bytes, SLICE("x")), 0);
    {
        struct buf section;

        buf_init(&section, 0);
        assert_int_equal(section_put_pepper(&section, buf_slice(&bytes)), 0);
        rest = buf_slice(&section);
        assert_int_equal(section_next(SLICE("settings"), &rest, &item), ERR_LIMIT);
        buf_free(&section);
    }
    buf_free(&bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_survives), cmocka_unit_test(test_model_survives),
        cmocka_unit_test(test_price_survives),    cmocka_unit_test(test_people_survive),
        cmocka_unit_test(test_key_survives),      cmocka_unit_test(test_walk_is_strict_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
