/* The throttle of wrong credentials, with a clock of the test's own. */
#include "tests/unit/check.h"

#include "controlplane/api/throttle.h"

#define SECOND INT64_C(1000000000)
#define START (1000 * SECOND)
#define MANY 100000 /* F167 */

static struct throttle *throttle;

static int
set_up(void **state)
{
    (void)state;
    throttle = throttle_new(THROTTLE_PER_MINUTE);
    return throttle ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    throttle_free(throttle);
    throttle = NULL;
    return 0;
}

static struct attempt_by
by(const char *peer, const char *account, const char *credential)
{
    return (struct attempt_by){
        .peer = peer,
        .account = account ? slice_of(account) : slice_none(),
        .said = account ? slice_of(account) : slice_none(),
        .credential = credential ? slice_of(credential) : slice_none(),
    };
}

/* Whether it was looked at; what is looked at is wrong. */
static bool
guess(struct attempt_by who, int64_t now_ns)
{
    if (throttle_wait_s(throttle, &who, now_ns) > 0)
        return false;
    throttle_failed(throttle, &who, now_ns);
    return true;
}

static void
test_f167_of_many_guesses_at_one_account_few_are_looked_at(void **state)
{
    (void)state;
    struct attempt_by who = by("192.0.2.1", "hgat_abc", "hgat_abcd");
    unsigned looked_at = 0;
    for (int i = 0; i < MANY; i++) /* in ten minutes */
        looked_at += guess(who, START + i * (600 * SECOND / MANY));
    assert_in_range(looked_at, THROTTLE_PER_MINUTE * 10, THROTTLE_PER_MINUTE * 11);
    struct throttle_counts c = throttle_counts(throttle);
    assert_int_equal(c.failures, looked_at);
    assert_int_equal(c.refusals, MANY - looked_at);
}

static void
test_f167_of_many_guesses_at_many_accounts_few_are_looked_at(void **state)
{
    (void)state;
    unsigned looked_at = 0, most = THROTTLE_PER_MINUTE * THROTTLE_ADDRESS_TIMES;
    char account[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(account, sizeof(account), "hgat_%d", i);
        looked_at += guess(by("192.0.2.1", account, account), START + i * (600 * SECOND / MANY));
    }
    assert_in_range(looked_at, most * 10, most * 11);
}

static void
test_it_is_a_burst_then_a_rate_and_says_how_long(void **state)
{
    (void)state;
    struct attempt_by who = by("192.0.2.1", "ada", NULL);
    for (int i = 0; i < THROTTLE_PER_MINUTE; i++)
        assert_true(guess(who, START));
    assert_int_equal(throttle_wait_s(throttle, &who, START), 3);
    assert_int_equal(throttle_wait_s(throttle, &who, START + 2 * SECOND), 1);
    assert_int_equal(throttle_wait_s(throttle, &who, START + 3 * SECOND - 1), 1);
    assert_true(guess(who, START + 3 * SECOND));
    assert_false(guess(who, START + 3 * SECOND));
    /* To be refused makes it no longer. */
    for (int i = 0; i < 1000; i++)
        assert_false(guess(who, START + 4 * SECOND));
    assert_true(guess(who, START + 6 * SECOND));
    /* A minute later the burst is there again, and not more than that. */
    for (int i = 0; i < THROTTLE_PER_MINUTE; i++)
        assert_true(guess(who, START + 600 * SECOND));
    assert_false(guess(who, START + 600 * SECOND));
}

static void
test_nobody_is_shut_out_from_another_address(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++)
        guess(by("192.0.2.1", "ada", "wrong"), START);
    struct attempt_by ada = by("192.0.2.2", "ada", "right"),
                      mapped = by("::ffff:192.0.2.2", "ada", "x");
    assert_int_equal(throttle_wait_s(throttle, &ada, START), 0);
    assert_int_equal(throttle_wait_s(throttle, &mapped, START), 0);
    /* Nor another account at the same address, before the address's own bucket is full. */
    struct attempt_by bob = by("192.0.2.1", "bob", "right");
    assert_int_equal(throttle_wait_s(throttle, &bob, START), 0);
    struct attempt_by unnamed = by("192.0.2.1", NULL, NULL);
    assert_int_equal(throttle_wait_s(throttle, &unnamed, START), 0);
    for (int i = 0; i < MANY; i++)
        guess(by("192.0.2.1", NULL, NULL), START);
    assert_true(throttle_wait_s(throttle, &bob, START) > 0);
    assert_true(throttle_wait_s(throttle, &unnamed, START) > 0);
    assert_int_equal(throttle_wait_s(throttle, &ada, START), 0);
}

static void
test_addresses_count_as_their_owners_have_them(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"", "", true},
        {"", "192.0.2.9", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tear_down(NULL);
        assert_int_equal(set_up(NULL), 0);
        while (guess(by(rows[i].one, NULL, NULL), START))
            ;
        if (guess(by(rows[i].other, NULL, NULL), START) == rows[i].same)
            fail_msg("%s and %s", rows[i].one, rows[i].other);
    }
}

static void
test_what_was_good_here_is_let_through(void **state)
{
    (void)state;
    struct attempt_by good = by("192.0.2.1", "hgat_abc", "hgat_abcGOOD"),
                      wrong = by("192.0.2.1", "hgat_abc", "hgat_abcBAD"),
                      far = by("192.0.2.3", "hgat_abc", "hgat_abcGOOD");
    throttle_passed(throttle, &good, START);
    while (guess(wrong, START))
        ;
    while (guess(by("192.0.2.1", NULL, NULL), START))
        ;
    assert_int_equal(throttle_wait_s(throttle, &good, START + 60 * SECOND), 0);
    assert_true(throttle_wait_s(throttle, &wrong, START) > 0);
    /* It is known where it was seen only, */
    while (guess(by("192.0.2.3", "hgat_abc", "x"), START))
        ;
    assert_true(throttle_wait_s(throttle, &far, START) > 0);
    /* no more when it was wrong once, */
    throttle_failed(throttle, &good, START);
    assert_true(throttle_wait_s(throttle, &good, START) > 0);
    /* and for a day. */
    int64_t later = START + 86400 * SECOND;
    throttle_passed(throttle, &good, START);
    while (guess(wrong, later - 1))
        ;
    assert_int_equal(throttle_wait_s(throttle, &good, later - 1), 0);
    assert_true(throttle_wait_s(throttle, &good, later) > 0);
}

/* Strangers by the hundred thousand, each with a failure or two: who has many is not forgotten. */
static void
test_memory_is_bounded_and_the_worst_are_kept(void **state)
{
    (void)state;
    uint64_t seed = test_seed();
    struct attempt_by worst = by("192.0.2.1", "ada", "x"),
                      good = by("198.51.100.1", "bob", "right");
    char peer[64], text[32];
    while (guess(worst, START))
        ;
    throttle_passed(throttle, &good, START + SECOND);
    for (int i = 0; i < 4 * LIMIT_THROTTLE_BUCKETS; i++) {
        snprintf(peer, sizeof(peer), "2001:db8:%x:%x::1", (unsigned)(test_random(&seed) & 0xffff),
                 (unsigned)i & 0xffff);
        snprintf(text, sizeof(text), "hgat_%d", i);
        guess(by(peer, text, text), START);
    }
    assert_true(throttle_wait_s(throttle, &worst, START) > 0);
    while (guess(by("198.51.100.1", "bob", "wrong"), START))
        ;
    assert_int_equal(throttle_wait_s(throttle, &good, START + SECOND), 0);
}

static void
test_the_least_rate_is_one_a_minute(void **state)
{
    (void)state;
    tear_down(NULL);
    throttle = throttle_new(1);
    assert_non_null(throttle);
    assert_true(guess(by("192.0.2.1", "ada", NULL), START));
    struct attempt_by ada = by("192.0.2.1", "ada", NULL);
    assert_int_equal(throttle_wait_s(throttle, &ada, START), 60);
    tear_down(NULL);
    throttle = throttle_new(LIMIT_THROTTLE_PER_MINUTE);
    assert_non_null(throttle);
    for (int i = 0; i < MANY; i++)
        assert_true(guess(ada, START));
}

static void
test_none_is_no_limit(void **state)
{
    (void)state;
    struct attempt_by ada = by("192.0.2.1", "ada", "x");
    throttle_passed(NULL, &ada, START);
    for (int i = 0; i < 1000; i++)
        throttle_failed(NULL, &ada, START);
    assert_int_equal(throttle_wait_s(NULL, &ada, START), 0);
    assert_int_equal(throttle_counts(NULL).failures, 0);
    throttle_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_f167_of_many_guesses_at_one_account_few_are_looked_at),
        TEST(test_f167_of_many_guesses_at_many_accounts_few_are_looked_at),
        TEST(test_it_is_a_burst_then_a_rate_and_says_how_long),
        TEST(test_nobody_is_shut_out_from_another_address),
        TEST(test_addresses_count_as_their_owners_have_them),
        TEST(test_what_was_good_here_is_let_through),
        TEST(test_memory_is_bounded_and_the_worst_are_kept),
        TEST(test_the_least_rate_is_one_a_minute),
        TEST(test_none_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
