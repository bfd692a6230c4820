/* The leader's division of a rate: what is left over, and whom a new office has not heard. */
#include "tests/unit/check.h"

#include "controlplane/leases/fleet.h"

#define LIFE_MS 15000
#define WINDOW_MS 60000
#define NOW INT64_C(1000000)

static struct fleet *fleet;

static int
set_up(void **state)
{
    (void)state;
    fleet = fleet_new(LIFE_MS);
    fleet_begin(fleet, NOW);
    return fleet ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    fleet_free(fleet);
    return 0;
}

/* What a worker that has, and wants, so much is given, when it must have `need` more than it uses.
 */
static int64_t
claim_needing(int64_t now_ms, const struct fleet_word *word, int64_t amount, int64_t has,
              int64_t wants, int64_t need)
{
    const struct fleet_claim c = {.key = SLICE("q"),
                                  .amount = amount,
                                  .window_ms = WINDOW_MS,
                                  .has = has,
                                  .wants = wants,
                                  .need = need};
    struct holder *h;
    struct fleet_grant grant;
    assert_int_equal(fleet_hear(fleet, now_ms, word, &h), 0);
    assert_int_equal(fleet_claim(fleet, now_ms, h, &c, &grant), 0);
    return grant.share;
}

static int64_t
claim_at(int64_t now_ms, const struct fleet_word *word, int64_t amount, int64_t has, int64_t wants)
{
    return claim_needing(now_ms, word, amount, has, wants, 0);
}

static struct fleet_word
word_of(const char *node, uint64_t sequence)
{
    return (struct fleet_word){
        .node = slice_of(node), .started_ms = 1, .sequence = sequence, .told = FLEET_LEAST};
}

static int64_t
claim(const char *node, uint64_t sequence, int64_t amount, int64_t has, int64_t wants)
{
    const struct fleet_word word = word_of(node, sequence);
    return claim_at(NOW, &word, amount, has, wants);
}

static void
test_what_is_left_over_goes_to_the_first(void **state)
{
    (void)state;
    int64_t a = claim("a", 1, 3, 0, 3), b = claim("b", 1, 3, 0, 3);
    assert_int_equal(a, 3); /* nobody else wants any yet */
    assert_int_equal(b, 0); /* and what is held is not given twice */
    a = claim("a", 2, 3, 0, 3);
    b = claim("b", 2, 3, 0, 3);
    assert_int_equal(a, 2);
    assert_int_equal(b, 1);
    assert_int_equal(claim("a", 3, 3, 2, 3), 2);
    assert_int_equal(claim("b", 3, 3, 1, 3), 1);
}

/* Two workers have half each, and a request that takes more: one of them goes on. */
static void
test_halves_that_do_for_none_are_made_one(void **state)
{
    int64_t a = 500, b = 500;

    (void)state;
    assert_int_equal(claim("a", 1, 1000, 0, 500), 500);
    assert_int_equal(claim("b", 1, 1000, 0, 500), 500);
    for (uint64_t i = 2; i < 5 && a < 600 && b < 600; i++) {
        struct fleet_word of_a = word_of("a", i), of_b = word_of("b", i);
        a = claim_needing(NOW, &of_a, 1000, a, 1800, 600);
        b = claim_needing(NOW, &of_b, 1000, b, 1800, 600);
        assert_true(a + b <= 1000);
    }
    assert_true((a >= 600) != (b >= 600));
    assert_true(a == 0 || b == 0); /* what does not do is not kept from others */
}

static void
test_a_new_office_keeps_a_safe_share_for_whom_it_has_not_heard(void **state)
{
    (void)state;
    assert_int_equal(fleet_expect(fleet, NOW, SLICE("cut off"), 0, 1), 0);
    /* All was this one's under the leader before; a quarter may be in use by the other now. */
    assert_int_equal(claim("a", 1, 100, 100, 100), 100 - 100 / FLEET_LEAST);
    /* Once it has spoken, and holds nothing, that share is free. */
    assert_int_equal(claim("cut off", 1, 100, 0, 0), 0);
    assert_int_equal(claim("a", 2, 100, 75, 100), 100);
}

/* Whose claims fill a message may have more of them: what others want waits for those. */
static void
test_a_new_office_hears_all_of_one_who_speaks_in_parts(void **state)
{
    (void)state;
    const int64_t learned = NOW + LIFE_MS + FLEET_LEARN_MS;
    struct fleet_word many = word_of("many", 1);
    many.partial = true;
    assert_int_equal(fleet_expect(fleet, NOW, SLICE("many"), 0, 1), 0);
    assert_int_equal(claim_at(NOW, &many, 100, 0, 0), 0);
    assert_int_equal(claim("a", 1, 100, 10, 100), 10); /* no more than it has */
    many = word_of("many", 2);                         /* the rest of it */
    assert_int_equal(claim_at(NOW, &many, 100, 60, 60), 50);
    assert_int_equal(claim("a", 2, 100, 10, 100), 40);

    /* One who always has so much to say holds the others up for the time of learning. */
    fleet_begin(fleet, NOW);
    assert_int_equal(fleet_expect(fleet, NOW, SLICE("many"), 0, 1), 0);
    for (int i = 0; i < 2; i++) {
        struct fleet_word a = word_of("a", 3 + (uint64_t)i);
        int64_t now = i ? learned : learned - 1;
        many = word_of("many", 3 + (uint64_t)i);
        many.partial = true;
        assert_int_equal(claim_at(now, &many, 100, 0, 0), 0);
        assert_int_equal(claim_at(now, &a, 100, 10, 100), i ? 100 : 10);
    }
}

/* Of very many counters a part is looked at each time, and none stays; nor does who held them. */
static void
test_many_counters_are_let_go_of_in_parts(void **state)
{
    const struct fleet_word word = {
        .node = SLICE("a"), .started_ms = 1, .sequence = 1, .told = FLEET_LEAST};
    int64_t later = NOW + 2 * FLEET_FORGET_MS + WINDOW_MS;
    size_t counts[4] = {0};
    struct holder *h;

    (void)state;
    assert_int_equal(fleet_hear(fleet, NOW, &word, &h), 0);
    for (size_t turn = 0; turn < 4; turn++) {
        for (unsigned i = 0; i < 2 * FLEET_TENDED + 1; i++) {
            char key[16];
            int n = snprintf(key, sizeof(key), "%u", i);
            struct slice name = slice_make(key, (size_t)n), node;
            struct fleet_claim c = {.key = name, .amount = 9, .window_ms = WINDOW_MS, .has = 1};
            struct fleet_grant grant;
            uint32_t slot;
            int64_t held, used;

            if (turn == 0)
                assert_int_equal(fleet_claim(fleet, NOW, h, &c, &grant), 0);
            counts[turn] += fleet_held(fleet, later, name, 0, &node, &slot, &held, &used);
        }
        fleet_tend(fleet, turn ? later : NOW);
    }
    assert_int_equal(counts[0], 2 * FLEET_TENDED + 1);
    assert_int_equal(counts[1], counts[0]); /* of use yet */
    assert_int_equal(counts[2], counts[1] - FLEET_TENDED);
    assert_int_equal(counts[3], counts[2] - FLEET_TENDED);
    assert_false(fleet_is_noted(fleet, NOW, &word)); /* with the last of what it held */
}

/* One who was silent may use its safe share of what it has not spoken of yet. */
static void
test_a_safe_share_is_kept_until_all_has_been_said(void **state)
{
    const int64_t later = NOW + LIFE_MS + WINDOW_MS;
    struct fleet_word a = word_of("a", 1), b = word_of("b", 1);

    (void)state;
    assert_int_equal(claim_at(NOW, &a, 100, 0, 0), 0);
    a.sequence = 2;
    a.partial = true; /* of other counters, for all we know */
    struct holder *h;
    assert_int_equal(fleet_hear(fleet, later, &a, &h), 0);
    assert_int_equal(claim_at(later, &b, 100, 0, 100), 75);
    a.sequence = 3;
    a.partial = false;
    assert_int_equal(fleet_hear(fleet, later, &a, &h), 0);
    b.sequence = 2;
    assert_int_equal(claim_at(later, &b, 100, 75, 100), 100);
}

/* What was given back whole leaves no pool behind for a window. */
static void
test_an_empty_pool_is_let_go_of_at_once(void **state)
{
    struct slice node;
    uint32_t slot;
    int64_t held, used;

    (void)state;
    (void)claim("a", 1, 100, 0, 5);
    fleet_tend(fleet, NOW);
    assert_true(fleet_held(fleet, NOW, SLICE("q"), 0, &node, &slot, &held, &used));
    (void)claim("a", 2, 100, 0, 0);
    fleet_tend(fleet, NOW);
    assert_false(fleet_held(fleet, NOW, SLICE("q"), 0, &node, &slot, &held, &used));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_counters_are_let_go_of_in_parts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_office_hears_all_of_one_who_speaks_in_parts,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_safe_share_is_kept_until_all_has_been_said, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_empty_pool_is_let_go_of_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_left_over_goes_to_the_first, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_halves_that_do_for_none_are_made_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_new_office_keeps_a_safe_share_for_whom_it_has_not_heard, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
