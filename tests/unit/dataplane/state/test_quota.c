/* A worker's counters, one at a time: windows, settling, the end of a lease, budgets unverified.
 * The two sides together are in test_lease_simulation.c. */
#include "tests/unit/check.h"

#include "dataplane/state/quota.h"

#define LIFE_MS 15000

static struct quota *quota;
static struct policy_limit limit;
static struct quota_part part;
static struct quota_hold hold;
static struct quota_stand stand;
static int64_t now;

static int
begin(void **state)
{
    (void)state;
    quota = quota_new();
    now = 1000000;
    limit = (struct policy_limit){.name = SLICE("q"),
                                  .id = SLICE("q:requests_per_minute"),
                                  .metric = METRIC_REQUESTS,
                                  .mode = LIMIT_ENFORCE,
                                  .amount = 10,
                                  .window_ms = 60000};
    hold = (struct quota_hold){.parts = &part};
    return quota ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    quota_free(quota);
    return 0;
}

static void
make_budget(enum unverifiable how)
{
    limit = (struct policy_limit){.name = SLICE("b"),
                                  .id = SLICE("b"),
                                  .is_budget = true,
                                  .metric = METRIC_SPEND,
                                  .mode = LIMIT_STRICT,
                                  .amount = 1000,
                                  .on_unverifiable = how};
}

static enum quota_verdict
take(int64_t amount, enum quota_try how)
{
    struct quota_claim want = {&limit, SLICE(""), amount};

    if (how != QUOTA_FIRST)
        quota_withdraw(quota, &want, 1);
    return quota_reserve(quota, now, &want, 1, how, &hold, &stand);
}

/* The leader's word on the one counter; the claim that it answers. */
static struct bus_claim
grant(struct bus_grant g)
{
    struct bus_claim claim = {0};
    struct bus_lease_grants grants = {
        .epoch = 1, .fleet = 4, .life_ms = LIFE_MS, .grants = &g, .count = 1};

    assert_int_equal(quota_claims(quota, now, &claim, 1), 1);
    quota_grants(quota, now, &grants);
    return claim;
}

static void
test_a_share_is_asked_for_and_used(void **state)
{
    (void)state;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    assert_true(quota_is_wanting(quota));
    struct bus_claim c = grant((struct bus_grant){.share = 2, .limit = 10});
    assert_int_equal(c.need, 1);
    assert_int_equal(c.has, 0);
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    c = grant((struct bus_grant){.share = 2, .limit = 10}); /* no more is to be had */
    assert_int_equal(c.used, 2);
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_REFUSED);
    assert_ptr_equal(stand.limit, &limit);
    assert_true(stand.reset_ms > 59000 && stand.reset_ms <= 62000);
}

static void
test_what_was_taken_counts_for_a_whole_window(void **state)
{
    (void)state;
    (void)take(1, QUOTA_FIRST);
    grant((struct bus_grant){.share = 1});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    for (int i = 0; i < 60; i++) { /* the lease is kept up */
        now += 1000;
        struct bus_claim c = grant((struct bus_grant){.share = 1});
        assert_int_equal(c.used, 1);
        assert_int_not_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
        struct quota_claim want = {&limit, SLICE(""), 1};
        quota_withdraw(quota, &want, 1);
    }
    now += 1000;
    grant((struct bus_grant){.share = 1});
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
}

static void
test_a_settlement_gives_back_what_was_not_used(void **state)
{
    (void)state;
    limit.metric = METRIC_TOKENS;
    limit.amount = 1000;
    (void)take(800, QUOTA_FIRST);
    grant((struct bus_grant){.share = 1000});
    assert_int_equal(take(800, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(take(800, QUOTA_FIRST), QUOTA_ASK);
    quota_settle(quota, now, &part, 100);
    assert_int_equal(take(800, QUOTA_AGAIN), QUOTA_ADMITTED);
    quota_settle(quota, now, &part, 950); /* more than it had reserved: the truth counts */
    struct bus_claim c;
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.used, 1050);
    assert_int_equal(c.has, 1050);
}

static void
test_more_than_the_whole_limit_never_fits(void **state)
{
    (void)state;
    assert_int_equal(take(11, QUOTA_FIRST), QUOTA_REFUSED);
    assert_true(stand.too_large);
    assert_int_equal(take(10, QUOTA_FIRST), QUOTA_ASK);
}

/* Without a leader: at first the smaller of the share and the safe share, much later the latter. */
static void
test_a_lease_runs_out(void **state)
{
    (void)state;
    (void)take(1, QUOTA_FIRST);
    grant((struct bus_grant){.share = 1});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    now += LIFE_MS + 60000 + 2000; /* the window is over; the share of 1 is below the safe 10 / 4 */
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_UNVERIFIABLE);
    now += 2 * LIFE_MS + 5000;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_UNVERIFIABLE);
    struct bus_claim c;
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_true(c.dark);
    assert_int_equal(c.has, 2);
}

static void
test_the_larger_share_is_not_kept_without_a_lease(void **state)
{
    (void)state;
    (void)take(1, QUOTA_FIRST);
    grant((struct bus_grant){.share = 10});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    now += LIFE_MS;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED); /* 2 of the safe 2 */
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_UNVERIFIABLE);
}

static void
test_all_or_none(void **state)
{
    struct policy_limit other = limit;
    struct quota_part parts[2];
    struct quota_claim claims[2] = {{&limit, SLICE(""), 1}, {&other, SLICE("x"), 1}};
    struct quota_hold two = {.parts = parts};
    struct bus_claim c[2];
    struct bus_grant g[2] = {{.share = 5}, {.share = 0}};
    struct bus_lease_grants grants = {
        .epoch = 1, .fleet = 4, .life_ms = LIFE_MS, .grants = g, .count = 2};

    (void)state;
    other.name = SLICE("o");
    other.id = SLICE("o:requests_per_minute");
    assert_int_equal(quota_reserve(quota, now, claims, 2, QUOTA_FIRST, &two, &stand), QUOTA_ASK);
    assert_int_equal(quota_claims(quota, now, c, 2), 2);
    quota_grants(quota, now, &grants);
    quota_withdraw(quota, claims, 2);
    assert_int_equal(quota_reserve(quota, now, claims, 2, QUOTA_AGAIN, &two, &stand),
                     QUOTA_REFUSED);
    assert_ptr_equal(stand.limit, &other);
    assert_int_equal(quota_claims(quota, now, c, 2), 2);
    assert_int_equal(c[0].used + c[1].used, 0); /* nothing was taken from the first either */
}

static void
test_a_budgets_slice(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(400, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 7, .share = 500, .limit = 1000, .remaining = 500});
    assert_int_equal(take(400, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(part.slice, 7);
    assert_true(slice_is(quota_part_budget(&part), "b"));
    quota_settle(quota, now, &part, 100);
    assert_int_equal(take(400, QUOTA_FIRST), QUOTA_ADMITTED);
    quota_settle(quota, now, &part, 500); /* beyond the bound: counted as what it is, an alarm */
    assert_int_equal(quota_counts(quota).overdrawn, 1);
    now += 3600000; /* no window: what was taken stays taken; the slice outlives the leader */
    assert_int_not_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
}

/* A request that comes to more than was held for it takes of what is left, while there is
 * something. */
static void
test_a_budgets_part_grows(void **state)
{
    struct bus_claim c;

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    limit.mode = LIMIT_ESTIMATE;
    (void)take(100, QUOTA_FIRST);
    grant((struct bus_grant){.slice = 7, .share = 300, .limit = 1000, .remaining = 200});
    assert_int_equal(take(100, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_true(quota_extend(&part, 80, 0)); /* it holds as much */
    assert_int_equal(part.amount, 100);
    assert_true(quota_extend(&part, 280, 0));
    assert_int_equal(part.amount, 280);
    assert_int_not_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED); /* nobody else can have it */
    struct quota_claim want = {&limit, SLICE(""), 100};
    quota_withdraw(quota, &want, 1);
    assert_true(quota_extend(&part, 500, 0)); /* beyond the slice: the leader has it */
    assert_false(quota_extend(&part, 501, 0));
    assert_false(quota_extend(&part, 521, 20));
    assert_int_equal(part.amount, 500);
    assert_true(quota_extend(&part, 520, 20));
    /* The leader makes the best of it; that is no second tolerance. */
    c = grant((struct bus_grant){.slice = 7, .share = 520, .limit = 500, .remaining = 0});
    assert_int_equal(c.used, 520);
    assert_false(quota_extend(&part, 521, 20));
    now += 5000; /* until it says the same again */
    (void)grant((struct bus_grant){.slice = 7, .share = 530, .limit = 1000, .remaining = 10});
    assert_true(quota_extend(&part, 540, 20)); /* there is more: the budget was raised */
    assert_false(quota_extend(&part, 541, 20));
    quota_settle(quota, now, &part, 510);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.used, 510);
}

static void
test_a_part_of_no_slice_does_not_grow(void **state)
{
    struct quota_part old;

    (void)state;
    make_budget(UNVERIFIABLE_ALLOW);
    assert_int_equal(take(100, QUOTA_LAST), QUOTA_ADMITTED);
    assert_true(quota_extend(&part, 5000, 0));
    assert_int_equal(part.amount, 100);
    grant((struct bus_grant){.slice = 7, .share = 300, .period_left_ms = 5000});
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED);
    old = part;
    now += 5000;
    grant((struct bus_grant){.slice = 8, .share = 100, .period_left_ms = 90000});
    assert_true(quota_extend(&old, 5000, 0)); /* of the period before */
    assert_int_equal(old.amount, 100);
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED);
}

/* Of many that wait, one can go on: they must not ask for all or nothing. */
static void
test_a_crowd_asks_for_one(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    for (int i = 0; i < 50; i++)
        assert_int_equal(take(800, QUOTA_FIRST), QUOTA_ASK);
    struct bus_claim c =
        grant((struct bus_grant){.slice = 7, .share = 800, .limit = 1000, .remaining = 200});
    assert_int_equal(c.need, 800);
    assert_true(c.wants >= 50 * 800);
    assert_int_equal(take(800, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(take(800, QUOTA_AGAIN), QUOTA_ASK); /* there were others: asked once more */
    (void)grant((struct bus_grant){.slice = 7, .share = 800, .limit = 1000, .remaining = 200});
    assert_int_equal(take(800, QUOTA_AGAIN), QUOTA_REFUSED);
    quota_settle(quota, now, &part, 800);
}

/* Two workers that hold half a request each, and wait for the other half: both give it back. */
static void
test_what_does_for_none_that_wait_is_given_back(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(200, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 7, .share = 300, .limit = 1000, .elsewhere = 700});
    assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_ASK);
    struct bus_claim c =
        grant((struct bus_grant){.slice = 7, .share = 400, .limit = 1000, .elsewhere = 600});
    assert_int_equal(c.has, 200);
    assert_int_equal(c.used, 200);
    assert_int_equal(c.need, 200);
    assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_ADMITTED);
}

/* They go on together, as many as there is for. */
static void
test_a_crowd_says_what_all_need(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(200, QUOTA_FIRST), QUOTA_ASK);
    struct bus_claim c =
        grant((struct bus_grant){.slice = 7, .share = 800, .limit = 1000, .remaining = 200});
    assert_int_equal(c.need, 200);
    assert_int_equal(c.waiting, 800);
    for (int i = 0; i < 4; i++)
        assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.waiting, 0);
}

/* What others hold of a budget is waited for only as long as it could do with what is left. */
static void
test_what_no_return_could_cover_is_refused_at_once(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(200, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 7, .limit = 1000, .remaining = 150, .elsewhere = 49});
    assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_REFUSED);
    assert_int_equal(take(199, QUOTA_FIRST), QUOTA_ASK); /* all of both would do */
}

/* A request that has waited for as long as it may, while the leader had enough left: that the
 * budget is used up would not be true. */
static void
test_what_may_be_had_is_not_refused_for_good(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(200, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 7, .share = 200, .limit = 1000, .remaining = 200});
    assert_int_equal(take(200, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(take(200, QUOTA_LAST), QUOTA_UNVERIFIABLE);
    assert_int_equal(take(201, QUOTA_LAST), QUOTA_REFUSED); /* more than was left */
}

/* No answer: those who wait still do, and it is asked again before the next regular claim. */
static void
test_the_unanswered_is_wanted_again(void **state)
{
    struct bus_claim c;
    struct quota_claim want = {&limit, SLICE(""), 1};

    (void)state;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_false(quota_is_wanting(quota));
    quota_unanswered(quota);
    assert_true(quota_is_wanting(quota));
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    quota_withdraw(quota, &want, 1);
    quota_unanswered(quota);
    assert_false(quota_is_wanting(quota));
}

static void
test_a_new_period_is_a_new_slice(void **state)
{
    struct quota_part old;

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    (void)take(400, QUOTA_FIRST);
    grant((struct bus_grant){.slice = 7, .share = 600, .remaining = 99000, .period_left_ms = 5000});
    assert_int_equal(take(400, QUOTA_AGAIN), QUOTA_ADMITTED);
    old = part;
    assert_false(quota_is_wanting(quota));
    now += 5000;                                              /* the period is over */
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED); /* of what lies here, and no wait */
    assert_true(quota_is_wanting(quota));
    struct quota_part late = part;
    assert_int_equal(late.slice, 7);
    struct bus_claim c =
        grant((struct bus_grant){.slice = 8, .share = 100, .period_left_ms = 90000});
    assert_int_equal(c.has, 600); /* should the leader's clock be behind, it is ours still */
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED);
    assert_int_equal(part.slice, 8);
    quota_settle(quota, now, &old, 1); /* of the old slice: gives nothing back to the new one */
    quota_settle(quota, now, &late, 1);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.slice, 8);
    assert_int_equal(c.used, 100);
}

static void
test_a_slice_does_not_outlive_its_period_by_much(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    (void)take(400, QUOTA_FIRST);
    grant((struct bus_grant){.slice = 7, .share = 600, .period_left_ms = 5000});
    now += 6999;
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ADMITTED);
    now += 1;
    assert_int_equal(take(100, QUOTA_FIRST),
                     QUOTA_UNVERIFIABLE); /* and nobody has answered since */
    /* Nor is one that nobody has spoken of for a day kept for its period's sake. */
    (void)take(100, QUOTA_FIRST);
    grant(
        (struct bus_grant){.slice = 8, .share = 600, .period_left_ms = INT64_C(25) * 3600 * 1000});
    now += INT64_C(24) * 3600 * 1000;
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_UNVERIFIABLE);
}

static void
test_an_unverified_budget_does_as_it_says(void **state)
{
    static const struct {
        enum unverifiable how;
        enum quota_verdict ten, more;
    } cases[] = {
        {UNVERIFIABLE_DENY, QUOTA_UNVERIFIABLE, QUOTA_UNVERIFIABLE},
        {UNVERIFIABLE_ALLOW_CAPPED, QUOTA_ADMITTED, QUOTA_UNVERIFIABLE}, /* a hundredth of 1000 */
        {UNVERIFIABLE_ALLOW, QUOTA_ADMITTED, QUOTA_ADMITTED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_budget(cases[i].how);
        assert_int_equal(take(10, QUOTA_FIRST), QUOTA_ASK);
        assert_int_equal(take(10, QUOTA_LAST), cases[i].ten);
        if (cases[i].ten == QUOTA_ADMITTED) {
            assert_int_equal(part.slice, 0);
            quota_settle(quota, now, &part, 10);
        }
        assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
        assert_int_equal(take(1, QUOTA_LAST), cases[i].more);
        if (cases[i].more == QUOTA_ADMITTED)
            quota_settle(quota, now, &part, 1);
        end(state);
        begin(state);
    }
}

/* A slice came with more than is used, and less is left than a request takes: the rest is given
 * back at once, for another worker's request waits for it. Where more is left it stays in hand. */
static void
test_what_another_waits_for_is_given_back(void **state)
{
    struct bus_claim c;

    (void)state;
    for (int64_t left = 99; left <= 100; left++) {
        make_budget(UNVERIFIABLE_DENY);
        assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ASK);
        grant((struct bus_grant){.slice = 3, .share = 150, .remaining = 600});
        assert_int_equal(take(100, QUOTA_AGAIN), QUOTA_ADMITTED);
        assert_false(quota_is_wanting(quota));
        assert_true(quota_is_near_end(quota));
        grant((struct bus_grant){.slice = 3, .share = 150, .remaining = 3200});
        assert_false(quota_is_near_end(quota)); /* for 32 more */
        grant((struct bus_grant){.slice = 3, .share = 150, .remaining = left});
        assert_int_equal(quota_is_wanting(quota), left < 100);
        assert_true(quota_is_near_end(quota));
        assert_int_equal(quota_claims(quota, now, &c, 1), 1);
        assert_int_equal(c.has, left < 100 ? 100 : 150);
        quota_unanswered(quota);
        quota_settle(quota, now, &part, 100);
        end(state);
        begin(state);
    }
}

/* While that is on its way, what the leader said before is no reason to refuse. */
static void
test_what_was_given_back_may_be_had_again(void **state)
{
    struct quota_claim want = {&limit, SLICE(""), 120};
    struct bus_claim c;

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(500, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 120, .remaining = 0, .tight = true});
    assert_int_equal(take(500, QUOTA_AGAIN), QUOTA_REFUSED);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.has, 0);
    assert_int_equal(quota_room(quota, &want), 120);
    assert_int_equal(take(500, QUOTA_FIRST), QUOTA_ASK);
    assert_int_equal(take(120, QUOTA_AGAIN), QUOTA_ASK);

    end(state);
    begin(state); /* and a rate */
    assert_int_equal(take(8, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.share = 5, .tight = true});
    assert_int_equal(take(8, QUOTA_AGAIN), QUOTA_REFUSED);
    assert_int_equal(take(8, QUOTA_FIRST), QUOTA_REFUSED);
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.has, 0);
    assert_int_equal(take(5, QUOTA_FIRST), QUOTA_ASK);
}

/* When the leader knows what was used, and nothing is held ready, there is nothing to say for a
 * while. */
static void
test_what_was_said_is_not_said_again_at_once(void **state)
{
    struct bus_claim c;

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 100, .remaining = 5000});
    assert_int_equal(take(100, QUOTA_AGAIN), QUOTA_ADMITTED);
    quota_settle(quota, now, &part, 100);
    grant((struct bus_grant){.slice = 3, .share = 100, .remaining = 5000}); /* it is said */
    now += 3999;
    assert_int_equal(quota_claims(quota, now, &c, 1), 0);
    quota_unanswered(quota);
    now += 1;
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    grant((struct bus_grant){.slice = 3, .share = 100, .remaining = 5000});
    assert_int_equal(quota_claims(quota, now, &c, 1), 0);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK); /* something new */
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
}

/* The leader has refused one request; what it has left does for a smaller one, and is asked for. */
static void
test_what_is_left_of_a_budget_does_for_less(void **state)
{
    struct quota_claim want = {&limit, SLICE(""), 500};

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(500, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 20, .remaining = 100});
    assert_int_equal(take(500, QUOTA_AGAIN), QUOTA_REFUSED);
    assert_int_equal(quota_room(quota, &want), 120);
    assert_int_equal(take(500, QUOTA_FIRST), QUOTA_REFUSED); /* known: nobody is asked */
    assert_int_equal(take(121, QUOTA_FIRST), QUOTA_REFUSED);
    assert_int_equal(take(120, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 120, .remaining = 0});
    assert_int_equal(take(120, QUOTA_AGAIN), QUOTA_ADMITTED);
    assert_int_equal(quota_room(quota, &want), 0);
}

static void
test_a_shadow_counts_and_lets_pass(void **state)
{
    (void)state;
    limit.mode = LIMIT_SHADOW;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
        quota_settle(quota, now, &part, 1);
    }
    assert_int_equal(quota_counts(quota).shadow_refused, 20);
}

static void
test_idle_counters_are_given_back_and_forgotten(void **state)
{
    (void)state;
    (void)take(1, QUOTA_FIRST);
    grant((struct bus_grant){.share = 10});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    quota_settle(quota, now, &part, 1);
    now += 10000;
    struct bus_claim c = grant((struct bus_grant){.share = 1});
    assert_int_equal(c.has, 1); /* what is in the window; the rest is for others */
    assert_int_equal(c.wants, 1);
    now += 61000; /* it has left the window, and nobody answers */
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 0);
}

/* --- rest ------------------------------------------------------------------------------------- */

/* One request, and the claims until there is nothing more to say: now is 4 s later. */
static void
let_rest(void)
{
    struct bus_claim c;

    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.share = 3, .limit = 10, .remaining = 9});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    quota_settle(quota, now, &part, 1);
    now += 4000;
    c = grant((struct bus_grant){.share = 1, .limit = 10, .remaining = 9});
    assert_int_equal(c.has, 1);
}

static size_t
claims_now(void)
{
    struct bus_claim c;
    size_t n = quota_claims(quota, now, &c, 1);

    quota_unanswered(quota);
    return n;
}

static void
hear_nothing_new(uint64_t epoch)
{
    struct bus_lease_grants none = {.epoch = epoch, .fleet = 4, .life_ms = LIFE_MS};

    assert_int_equal(claims_now(), 0);
    quota_grants(quota, now, &none);
}

/* When the leader knows what lies in the window, and no more is held, there is nothing to say until
 * some of it leaves the window. */
static void
test_a_rate_rests(void **state)
{
    struct bus_claim c;

    (void)state;
    let_rest();
    for (int64_t end = now + 56000; now < end; now += 4000)
        hear_nothing_new(1);
    now += 1000;
    c = grant((struct bus_grant){.share = 0, .limit = 10, .remaining = 10});
    assert_int_equal(c.has, 0);
    assert_int_equal(c.used, 0);
    assert_false(c.dark && c.has);
    hear_nothing_new(1);
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 0);
}

/* More is held than is used, it was used lately, or somebody waits: then it does not rest. */
static void
test_what_others_may_need_does_not_rest(void **state)
{
    (void)state;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.share = 3, .limit = 10, .remaining = 9});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    now += 1000;
    assert_int_equal(claims_now(), 1); /* of 3, it uses 1 */
    now += 3000;
    grant((struct bus_grant){.share = 2, .limit = 10, .remaining = 9});
    assert_int_equal(claims_now(), 1); /* it was given more than it wants */
    grant((struct bus_grant){.share = 1, .limit = 10, .remaining = 9});
    assert_int_equal(claims_now(), 0);
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    assert_int_equal(claims_now(), 1);
}

/* What is in flight has no window: the leader is told again and again. */
static void
test_what_is_in_flight_does_not_rest(void **state)
{
    (void)state;
    limit.metric = METRIC_CONCURRENT;
    limit.window_ms = 0;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.share = 1});
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
    for (int i = 0; i < 10; i++) {
        now += 4000;
        assert_int_equal(grant((struct bus_grant){.share = 1}).used, 1);
    }
    quota_settle(quota, now, &part, 0);
    assert_int_equal(grant((struct bus_grant){.share = 0}).has, 0);
    hear_nothing_new(1);
}

/* Not a request is let go on because something left the window while nobody was told. */
static void
test_what_leaves_the_window_at_rest_is_others(void **state)
{
    (void)state;
    let_rest();
    now += 56000;
    hear_nothing_new(1);
    now += 2000; /* it has left, and no lease was renewed; but the leader hears us */
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    assert_int_equal(grant((struct bus_grant){.share = 1}).has, 0);
    assert_int_equal(take(1, QUOTA_AGAIN), QUOTA_ADMITTED);
}

/* A share whose lease has run out is not fallen back to while the leader hears us: it keeps none
 * for us. */
static void
test_no_safe_share_while_the_leader_hears(void **state)
{
    struct bus_lease_grants none = {.epoch = 1, .fleet = 4, .life_ms = LIFE_MS};
    struct bus_grant unknown = {.unknown = true};
    struct bus_lease_grants some = none;
    struct bus_claim c;

    (void)state;
    some.grants = &unknown;
    some.count = 1;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.share = 9});
    for (int i = 0; i < 14; i++) {
        now += 1000;
        assert_int_equal(quota_claims(quota, now, &c, 1), 1);
        quota_grants(quota, now, &some);
    }
    now += 1000;
    assert_int_not_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
    now += LIFE_MS; /* silence: now it does */
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ADMITTED);
}

/* A new leader is told of what rests too, and says so much at once. */
static void
test_a_new_leader_hears_of_what_rests(void **state)
{
    struct bus_claim c;

    (void)state;
    let_rest();
    assert_false(quota_has_backlog(quota));
    hear_nothing_new(1);
    hear_nothing_new(2);
    assert_true(quota_has_backlog(quota));
    assert_int_equal(quota_claims(quota, now, &c, 1), 1);
    assert_int_equal(c.used, 1);
    quota_unanswered(quota);
    assert_int_equal(claims_now(), 1); /* until it is answered */
}

static void
test_a_lost_touch_is_said(void **state)
{
    (void)state;
    assert_false(quota_has_lost_touch(quota, now)); /* nobody was there yet */
    let_rest();
    assert_false(quota_has_lost_touch(quota, now + LIFE_MS / 2 - 1));
    assert_true(quota_has_lost_touch(quota, now + LIFE_MS / 2));
}

#define MANY 40

static void
take_of(unsigned subject, enum quota_verdict verdict)
{
    char text[16];
    struct quota_claim want = {&limit, {0}, 1};

    want.subject = slice_make(text, (size_t)snprintf(text, sizeof(text), "u%u", subject));
    assert_int_equal(quota_reserve(quota, now, &want, 1, QUOTA_FIRST, &hold, &stand), verdict);
    if (verdict == QUOTA_ADMITTED)
        quota_settle(quota, now, &part, 1);
}

/* Those for whom somebody waits go first, and leave room for the others; whose message has room
 * left has said all. */
static void
test_all_is_said_in_parts(void **state)
{
    struct bus_claim c[16];
    struct bus_grant g[16] = {{0}};
    struct bus_lease_grants grants = {
        .epoch = 1, .fleet = 4, .life_ms = LIFE_MS, .grants = g, .count = 16};
    size_t said[2 * MANY] = {0}, n, rounds = 0, urgent;

    (void)state;
    limit.mode = LIMIT_SHADOW; /* nobody waits */
    for (unsigned i = 0; i < MANY; i++)
        take_of(i, QUOTA_ADMITTED);
    for (int i = 0; i < 4; i++) {
        grants.count = quota_claims(quota, now, c, 16);
        quota_grants(quota, now, &grants);
    }
    grants.epoch = 2;
    quota_grants(quota, now, &grants);
    limit.mode = LIMIT_ENFORCE;
    for (unsigned i = MANY; i < 2 * MANY; i++)
        take_of(i, QUOTA_ASK);
    do {
        n = quota_claims(quota, now, c, 16);
        urgent = 0;
        for (size_t i = 0; i < n; i++) {
            urgent += c[i].need > 0;
            said[strtoul(c[i].subject.at + 1, NULL, 10)]++;
        }
        if (rounds < 3)
            assert_int_equal(urgent, 12);
        grants.count = n;
        quota_grants(quota, now, &grants);
        now += 100;
        rounds++;
    } while (rounds < 6);
    for (unsigned i = 0; i < 2 * MANY; i++)
        assert_true(said[i] > 0);
}

/* A budget that was deleted is not asked about for ever. */
static void
test_what_the_leader_never_knows_is_forgotten(void **state)
{
    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ASK);
    struct quota_claim want = {&limit, SLICE(""), 100};
    quota_withdraw(quota, &want, 1);
    now += 59000;
    grant((struct bus_grant){.unknown = true});
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 1);
    now += 1000;
    grant((struct bus_grant){.unknown = true});
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 0);
}

/* But not what it gave before: PostgreSQL may be away for long, and then it is to be given back. */
static void
test_a_slice_is_kept_to_be_given_back(void **state)
{
    struct bus_claim c;

    (void)state;
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 300, .remaining = 5000});
    struct quota_claim want = {&limit, SLICE(""), 100};
    quota_withdraw(quota, &want, 1);
    for (int i = 0; i < 5; i++) {
        now += 60000;
        c = grant((struct bus_grant){.unknown = true});
        quota_tend(quota, now);
    }
    assert_int_equal(c.slice, 3);
    assert_int_equal(c.has, 0);
    assert_int_equal(quota_counter_count(quota), 1);
    end(state);

    begin(state); /* nor, though the leader was heard of late, when not this was what it heard */
    make_budget(UNVERIFIABLE_DENY);
    assert_int_equal(take(100, QUOTA_FIRST), QUOTA_ASK);
    grant((struct bus_grant){.slice = 3, .share = 300, .remaining = 5000});
    assert_int_equal(take(100, QUOTA_AGAIN), QUOTA_ADMITTED);
    now += 4000;
    c = grant((struct bus_grant){.slice = 3, .share = 100, .remaining = 5000});
    assert_int_equal(c.has, 100);
    now += 4000;
    quota_settle(quota, now, &part, 20);
    assert_int_equal(grant((struct bus_grant){.unknown = true}).has, 20);
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 1);
    assert_int_equal(grant((struct bus_grant){.slice = 3, .share = 20}).has, 20);
    quota_tend(quota, now);
    assert_int_equal(quota_counter_count(quota), 0);
}

/* With nobody to say it to, what is of no use goes all the same. */
static void
test_without_a_leader_counters_are_forgotten_too(void **state)
{
    (void)state;
    assert_int_equal(take(1, QUOTA_FIRST), QUOTA_ASK);
    struct quota_claim want = {&limit, SLICE(""), 1};
    quota_withdraw(quota, &want, 1);
    quota_tend(quota, now + 5999);
    assert_int_equal(quota_counter_count(quota), 1);
    quota_tend(quota, now + 6000);
    assert_int_equal(quota_counter_count(quota), 0);
}

static void
test_there_are_only_so_many_counters(void **state)
{
    char subject[32];
    struct quota_claim want = {&limit, {0}, 1};

    (void)state;
    limit.mode = LIMIT_SHADOW;
    for (unsigned i = 0; i <= LIMIT_QUOTA_COUNTERS; i++) {
        int n = snprintf(subject, sizeof(subject), "user-%u", i);
        want.subject = slice_make(subject, (size_t)n);
        enum quota_verdict v = quota_reserve(quota, now, &want, 1, QUOTA_FIRST, &hold, &stand);
        assert_int_equal(v, i < LIMIT_QUOTA_COUNTERS ? QUOTA_ADMITTED : QUOTA_FULL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_share_is_asked_for_and_used, begin, end),
        cmocka_unit_test_setup_teardown(test_what_was_taken_counts_for_a_whole_window, begin, end),
        cmocka_unit_test_setup_teardown(test_a_settlement_gives_back_what_was_not_used, begin, end),
        cmocka_unit_test_setup_teardown(test_more_than_the_whole_limit_never_fits, begin, end),
        cmocka_unit_test_setup_teardown(test_a_lease_runs_out, begin, end),
        cmocka_unit_test_setup_teardown(test_the_larger_share_is_not_kept_without_a_lease, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_all_or_none, begin, end),
        cmocka_unit_test_setup_teardown(test_a_budgets_slice, begin, end),
        cmocka_unit_test_setup_teardown(test_a_budgets_part_grows, begin, end),
        cmocka_unit_test_setup_teardown(test_a_part_of_no_slice_does_not_grow, begin, end),
        cmocka_unit_test_setup_teardown(test_a_crowd_asks_for_one, begin, end),
        cmocka_unit_test_setup_teardown(test_what_does_for_none_that_wait_is_given_back, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_crowd_says_what_all_need, begin, end),
        cmocka_unit_test_setup_teardown(test_what_no_return_could_cover_is_refused_at_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_what_may_be_had_is_not_refused_for_good, begin, end),
        cmocka_unit_test_setup_teardown(test_the_unanswered_is_wanted_again, begin, end),
        cmocka_unit_test_setup_teardown(test_a_new_period_is_a_new_slice, begin, end),
        cmocka_unit_test_setup_teardown(test_a_slice_does_not_outlive_its_period_by_much, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_an_unverified_budget_does_as_it_says, begin, end),
        cmocka_unit_test_setup_teardown(test_what_another_waits_for_is_given_back, begin, end),
        cmocka_unit_test_setup_teardown(test_what_was_said_is_not_said_again_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_left_of_a_budget_does_for_less, begin, end),
        cmocka_unit_test_setup_teardown(test_what_was_given_back_may_be_had_again, begin, end),
        cmocka_unit_test_setup_teardown(test_a_shadow_counts_and_lets_pass, begin, end),
        cmocka_unit_test_setup_teardown(test_idle_counters_are_given_back_and_forgotten, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_rate_rests, begin, end),
        cmocka_unit_test_setup_teardown(test_what_others_may_need_does_not_rest, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_in_flight_does_not_rest, begin, end),
        cmocka_unit_test_setup_teardown(test_what_leaves_the_window_at_rest_is_others, begin, end),
        cmocka_unit_test_setup_teardown(test_no_safe_share_while_the_leader_hears, begin, end),
        cmocka_unit_test_setup_teardown(test_a_new_leader_hears_of_what_rests, begin, end),
        cmocka_unit_test_setup_teardown(test_a_lost_touch_is_said, begin, end),
        cmocka_unit_test_setup_teardown(test_all_is_said_in_parts, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_leader_never_knows_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_a_slice_is_kept_to_be_given_back, begin, end),
        cmocka_unit_test_setup_teardown(test_without_a_leader_counters_are_forgotten_too, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_there_are_only_so_many_counters, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
