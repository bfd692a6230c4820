/* The usage record's bytes: what is written by hand is what protobuf-c writes, and comes back
 * whole. */
#include "lib/control/usage.h"

#include "lib/base/rand.h"
#include "proto/bus.pb-c.h"
#include "tests/unit/check.h"

static struct usage
full(uint64_t *seed)
{
    static const struct usage_draw draws[] = {
        {{"research-month", 14}, {"", 0}, UINT64_C(1) << 40, INT64_MAX},
        {{"each", 4}, {"ada", 3}, 0, 1}};
    static const struct policy_tag tags[] = {{SLICE("env"), SLICE("prod")},
                                             {SLICE("a"), SLICE("")}};
    struct usage u = {
        .sequence = test_random(seed),
        .request_id = SLICE("req_1"),
        .attempt_no = 2,
        .started_ms = 1763805600123,
        .latency_ms = 300,
        .ttft_ms = 20,
        .key = SLICE("ci"),
        .key_id = SLICE("0192"),
        .team = SLICE("research"),
        .project = SLICE("p"),
        .user = SLICE("ada"),
        .end_user = SLICE("u-1"),
        .model = SLICE("smart"),
        .provider = SLICE("openai"),
        .provider_model = SLICE("gpt-4o"),
        .endpoint = SLICE("chat.completions"),
        .status = 200,
        .upstream_status = 201,
        .outcome = USAGE_CLIENT_GONE,
        .error_code = SLICE("client_gone"),
        .stream = true,
        .estimated = true,
        .incomplete = true,
        .tokens = {.of = {1, 2, 3, 4, 5, INT64_MAX, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
        .cost = INT64_MAX,
        .price_version = SLICE("v1"),
        .price = {.of = {1, 2, 3, 4, 5, -6 /* not for us to judge */, 17, 18, 19, 20, 21, 22, 23,
                         24, 25}},
        .tier = TIER_PRIORITY,
        .policy_epoch = 7,
        .policy_version = UINT64_MAX,
        .tags = tags,
        .tag_count = 2,
        .reserved = 9,
        .upstream_request_id = SLICE("up-1"),
        .draws = draws,
        .draw_count = 2,
    };

    uuid7(u.attempt_id);
    return u;
}

/* protobuf-c reads what we wrote and writes the same bytes again. */
static void
assert_same_as_protobuf(const void *bytes, size_t len)
{
    Headgate__Bus__Usage *m = headgate__bus__usage__unpack(NULL, len, bytes);
    unsigned char again[LIMIT_USAGE_BYTES];

    assert_non_null(m);
    assert_int_equal(headgate__bus__usage__get_packed_size(m), len);
    assert_int_equal(headgate__bus__usage__pack(m, again), len);
    assert_memory_equal(again, bytes, len);
    headgate__bus__usage__free_unpacked(m, NULL);
}

static void
test_our_bytes_are_protobufs(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct usage u = full(&seed);
        unsigned char bytes[LIMIT_USAGE_BYTES];
        int64_t *numbers[] = {&u.tokens.input, &u.tokens.output, &u.cost, &u.price.input,
                              &u.started_ms};
        struct slice *texts[] = {&u.team, &u.project, &u.end_user, &u.error_code};
        size_t len;
        for (size_t i = 0; i < 5; i++)
            *numbers[i] = (int64_t)(test_random(&seed) >> test_below(&seed, 64));
        for (size_t i = 0; i < 4; i++)
            texts[i]->len -= test_below(&seed, 2) ? texts[i]->len : 0;
        u.tag_count = test_below(&seed, 3);
        u.stream = test_below(&seed, 2);
        u.cached = test_below(&seed, 2);
        u.tier = (enum service_tier)test_below(&seed, SERVICE_TIERS);
        for (int c = 0; c < USAGE_CLASSES; c++)
            u.tokens.of[c] = test_below(&seed, 2) ? 0 : u.tokens.of[c];
        assert_int_equal(usage_encode(&u, bytes, sizeof(bytes), &len), 0);
        assert_same_as_protobuf(bytes, len);
    }
}

static void
test_everything_comes_back(void **state)
{
    uint64_t seed = test_seed();
    struct usage u = full(&seed), back;
    unsigned char bytes[LIMIT_USAGE_BYTES], again[LIMIT_USAGE_BYTES];
    struct arena a;
    size_t len, len_again;

    (void)state;
    arena_init(&a, 0);
    assert_int_equal(usage_encode(&u, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(usage_decode(slice_make(bytes, len), &a, &back), 0);
    assert_int_equal(back.sequence, u.sequence);
    assert_slice_is(back.team, "research");
    assert_int_equal(back.tokens.reasoning, INT64_MAX);
    for (int c = 0; c < USAGE_CLASSES; c++) {
        assert_int_equal(back.tokens.of[c], u.tokens.of[c]);
        assert_int_equal(back.price.of[c], u.price.of[c]);
    }
    assert_int_equal(back.tier, TIER_PRIORITY);
    assert_int_equal(back.tag_count, 2);
    assert_int_equal(back.draw_count, 2);
    assert_slice_is(back.draws[1].subject, "ada");
    assert_int_equal(back.draws[0].amount, INT64_MAX);
    assert_int_equal(back.outcome, USAGE_CLIENT_GONE);
    assert_int_equal(usage_encode(&back, again, sizeof(again), &len_again), 0);
    assert_int_equal(len_again, len);
    assert_memory_equal(again, bytes, len);
    arena_free(&a);
}

/* A record that uses no rare class is not a byte longer for their being there, whatever they would
 * have cost. */
static void
test_unused_classes_take_no_bytes(void **state)
{
    unsigned char bytes[LIMIT_USAGE_BYTES];
    struct usage plain = {.tokens = {.input = 10, .output = 5}, .price = {.input = 3, .output = 4}};
    struct usage priced = plain, back;
    struct arena a;
    size_t len, other;

    (void)state;
    arena_init(&a, 0);
    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        priced.price.of[c] = 1000 + c;
    uuid7(plain.attempt_id);
    assert_int_equal(usage_encode(&plain, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(usage_encode(&priced, bytes, sizeof(bytes), &other), 0);
    assert_int_equal(other, len);
    priced.tokens.images = 1;
    assert_int_equal(usage_encode(&priced, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(usage_decode(slice_make(bytes, len), &a, &back), 0);
    assert_int_equal(back.price.image, 1000 + CLASS_IMAGES);
    assert_int_equal(back.price.audio_minute, 0);
    arena_free(&a);
}

static void
test_too_little_room_is_an_error_at_every_length(void **state)
{
    uint64_t seed = test_seed();
    struct usage u = full(&seed);
    unsigned char bytes[LIMIT_USAGE_BYTES];
    size_t len, ignored;

    (void)state;
    assert_int_equal(usage_encode(&u, bytes, sizeof(bytes), &len), 0);
    for (size_t room = 0; room < len; room++) {
        bytes[room] = 0x5a;
        assert_int_equal(usage_encode(&u, bytes, room, &ignored), ERR_LIMIT);
        assert_int_equal(bytes[room], 0x5a);
    }
}

static void
test_what_is_no_record_is_refused(void **state)
{
    uint64_t seed = test_seed();
    struct usage u = full(&seed), back;
    unsigned char bytes[LIMIT_USAGE_BYTES];
    struct arena a;
    size_t len;

    (void)state;
    arena_init(&a, 0);
    assert_int_equal(usage_decode(SLICE(""), &a, &back), ERR_SYNTAX); /* no attempt id */
    assert_int_equal(usage_decode(SLICE("\xff\xff"), &a, &back), ERR_SYNTAX);
    assert_int_equal(usage_decode(SLICE("\x12\x03"
                                        "abc"),
                                  &a, &back),
                     ERR_SYNTAX); /* a short one */
    assert_int_equal(usage_encode(&u, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(usage_decode(slice_make(bytes, len - 1), &a, &back), ERR_SYNTAX);
    arena_free(&a);
    arena_init(&a, 64);
    assert_int_equal(usage_decode(slice_make(bytes, len), &a, &back), ERR_NOMEM);
    arena_free(&a);
}

/* Whatever is given, a clipped record fits, and no character is cut. */
static void
test_a_clipped_record_always_fits(void **state)
{
    static char text[100000];
    struct policy_tag tags[500];
    uint64_t seed = test_seed();
    struct usage u = full(&seed);
    struct slice *all[] = {&u.request_id,    &u.key,
                           &u.key_id,        &u.team,
                           &u.project,       &u.user,
                           &u.end_user,      &u.model,
                           &u.provider,      &u.provider_model,
                           &u.endpoint,      &u.error_code,
                           &u.price_version, &u.upstream_request_id};
    unsigned char bytes[LIMIT_USAGE_BYTES];
    size_t len;

    (void)state;
    for (size_t i = 0; i + 3 <= sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        *all[i] = slice_make(text, sizeof(text) - 1);
    for (size_t i = 0; i < 500; i++)
        tags[i] = (struct policy_tag){slice_make(text, 3 * (i % 30)), slice_make(text, 60)};
    u.tags = tags;
    u.tag_count = 500;
    struct slice name = slice_make(text, LIMIT_USAGE_TEXT_BYTES);
    struct usage_draw draws[LIMIT_DRAWS];
    for (size_t i = 0; i < LIMIT_DRAWS; i++)
        draws[i] = (struct usage_draw){name, name, UINT64_MAX, INT64_MAX};
    u.draws = draws;
    u.draw_count = LIMIT_DRAWS;
    usage_clip(&u);
    assert_int_equal(usage_encode(&u, bytes, sizeof(bytes), &len), 0);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        assert_int_equal(all[i]->len % 3, 0);
    assert_true(u.tag_count > 0 && u.tag_count < 500);
}

static void
test_outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(usage_outcome_name(USAGE_DONE), "done");
    assert_string_equal(usage_outcome_name(USAGE_LOST), "lost");
    assert_string_equal(usage_outcome_name(USAGE_BUDGET_EXHAUSTED), "budget_exhausted");
    assert_string_equal(usage_outcome_name((enum usage_outcome)0), "invalid");
    assert_string_equal(usage_outcome_name((enum usage_outcome)99), "invalid");
    assert_int_equal(USAGE_DONE, HEADGATE__BUS__OUTCOME__OUTCOME_DONE);
    assert_int_equal(USAGE_LOST, HEADGATE__BUS__OUTCOME__OUTCOME_LOST);
    assert_int_equal(USAGE_BUDGET_EXHAUSTED, HEADGATE__BUS__OUTCOME__OUTCOME_BUDGET_EXHAUSTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_bytes_are_protobufs),
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_unused_classes_take_no_bytes),
        cmocka_unit_test(test_too_little_room_is_an_error_at_every_length),
        cmocka_unit_test(test_what_is_no_record_is_refused),
        cmocka_unit_test(test_a_clipped_record_always_fits),
        cmocka_unit_test(test_outcomes_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
