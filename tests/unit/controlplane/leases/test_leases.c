/* The office of the granter in a real PostgreSQL: its epochs, also after the database went back. */
#include <unistd.h>

#include "controlplane/leases/leases.h"
#include "controlplane/store/epochs.h"
#include "tests/unit/controlplane/database.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

static struct database database;
static struct db *app;

static int
start(void **state)
{
    (void)state;
    if (database_start(&database))
        return -1;
    app = db_new(database.app_dsn, "test");
    return app ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    db_free(app);
    return database_stop(&database);
}

/* The epoch once somebody leads under one above that. */
static uint64_t
wait_office(struct leases *l, uint64_t above)
{
    struct leases_status s = {0};

    for (int i = 0; i < 1200; i++) {
        leases_status(l, &s);
        if (s.leading && s.epoch > above)
            return s.epoch;
        usleep(50000);
    }
    fail_msg("no office above epoch %llu within a minute", (unsigned long long)above);
    return 0;
}

/* A worker's word that says nothing but which epoch it has heard of. */
static int
claim(struct leases *l, uint64_t sequence, uint64_t epoch)
{
    struct bus_worker from = {.node = SLICE("node"), .slot = 0, .started_ms = 1};
    struct bus_lease ask = {.sequence = sequence, .epoch = epoch};
    struct bus_lease_grants got;
    struct arena a;
    int err;

    arena_init(&a, 65536);
    err = leases_answer(l, app, NULL, &from, &ask, &a, &got);
    arena_free(&a);
    return err;
}

static void
test_an_office_goes_above_what_workers_have_heard(void **state)
{
    struct leases *l = leases_start(database.app_dsn);
    uint64_t epoch;

    (void)state;
    assert_non_null(l);
    epoch = wait_office(l, 0);
    assert_int_equal(claim(l, 1, epoch + 500), 0);
    epoch = wait_office(l, epoch + 500);
    assert_int_equal(claim(l, 2, epoch), 0);
    leases_stop(l);
    /* The next one too, who has not heard it from anybody. */
    l = leases_start(database.app_dsn);
    assert_true(wait_office(l, 0) > epoch);
    leases_stop(l);
}

static void
test_an_epoch_that_never_was_changes_nothing(void **state)
{
    struct leases *l = leases_start(database.app_dsn);
    struct leases_status s;
    uint64_t epoch;

    (void)state;
    assert_non_null(l);
    epoch = wait_office(l, 0);
    assert_int_equal(claim(l, 3, epoch + LIMIT_EPOCH_STEP), 0);
    assert_int_equal(claim(l, 4, UINT64_MAX), 0);
    /* What is heard later is acted upon, from where we were: so those had no effect. */
    assert_int_equal(claim(l, 5, epoch + 10), 0);
    epoch = wait_office(l, epoch);
    assert_true(epoch < LIMIT_EPOCH_STEP);
    leases_status(l, &s);
    assert_true(s.leading);
    leases_stop(l);
}

static struct policy *
policy_with_a_quota(struct fixture *f)
{
    struct section_rate rate = {SLICE("requests"), 60, 60000};
    struct section_quota quota = {
        .name = SLICE("q"), .per = SLICE("end_user"), .rates = &rate, .rate_count = 1};

    fixture_init(f);
    assert_int_equal(section_put_quota(&f->limits, &quota), 0);
    return fixture_policy(f, NULL);
}

/* What cannot be counted for one subject is no reason to answer nobody. */
static void
test_a_subject_too_many_is_turned_away_alone(void **state)
{
    static struct fixture fixture;
    struct policy *policy = policy_with_a_quota(&fixture);
    struct leases *l = leases_start(database.app_dsn);
    char long_name[600];
    struct slice id = SLICE("q:requests_per_minute");
    struct bus_claim claims[] = {
        {.limit = id, .subject = slice_make(long_name, sizeof(long_name)), .wants = 5},
        {.limit = id, .subject = SLICE("ann"), .wants = 5}};
    struct bus_worker from = {.node = SLICE("node"), .slot = 1, .started_ms = 1};
    struct bus_lease ask = {.sequence = 1, .claims = claims, .count = 2};
    struct bus_lease_grants got;
    struct arena a;

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    assert_non_null(policy_find_limit(policy, id));
    ask.epoch = wait_office(l, 0);
    arena_init(&a, 65536);
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(got.count, 2);
    assert_true(got.grants[0].unknown);
    assert_false(got.grants[1].unknown);
    assert_int_equal(got.grants[1].limit, 60);
    arena_free(&a);
    leases_stop(l);
    policy_unref(policy);
    fixture_free(&fixture);
}

static void
test_epochs_are_drawn_above(void **state)
{
    uint64_t first, next;

    (void)state;
    assert_int_equal(epoch_draw(app, "lease_epoch", 0, &first), 0);
    assert_int_equal(epoch_draw(app, "lease_epoch", first, &next), 0);
    assert_int_equal(next, first + 1);
    assert_int_equal(epoch_draw(app, "lease_epoch", next + 100, &next), 0);
    assert_int_equal(next, first + 102);
    assert_int_equal(epoch_draw(app, "lease_epoch", next + 1 + LIMIT_EPOCH_STEP, &next), ERR_RANGE);
    assert_int_equal(epoch_draw(app, "lease_epoch", next + LIMIT_EPOCH_STEP, &next), 0);
}

/* A worker that cannot hear us is answered, and what it says is not taken for its word: it stays
 * silent for us until it has heard that we are there. */
static void
test_a_greeting_is_answered_and_not_heeded(void **state)
{
    static struct fixture fixture;
    struct policy *policy = policy_with_a_quota(&fixture);
    struct leases *l = leases_start(database.app_dsn);
    struct slice id = SLICE("q:requests_per_minute"), ann = SLICE("ann");
    struct bus_claim claims[] = {{.limit = id, .subject = ann, .has = 5, .wants = 5}};
    struct bus_worker from = {.node = SLICE("node"), .slot = 2, .started_ms = 1};
    struct bus_lease ask = {.sequence = 1, .claims = claims, .count = 1};
    struct bus_lease_grants got;
    struct arena a;
    char node[256];
    uint32_t slot;
    int64_t held, used;

    (void)state;
    ask.epoch = wait_office(l, 0);
    arena_init(&a, 65536);
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(got.grants[0].share, 5);
    ask.sequence = 2;
    ask.greeting = true;
    claims[0].has = claims[0].used = claims[0].wants = 1;
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(got.epoch, ask.epoch);
    assert_true(got.grants[0].unknown);
    assert_true(leases_held(l, id, ann, 0, node, &slot, &held, &used));
    assert_int_equal(held, 5);
    assert_int_equal(used, 0);
    ask.greeting = false; /* it has heard the answer */
    ask.sequence = 3;
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(got.grants[0].share, 1);
    arena_free(&a);
    leases_stop(l);
    policy_unref(policy);
    fixture_free(&fixture);
}

/* What an earlier process of the slot held cannot go back, as its rows contradict each other: the
 * next one has its budgets all the same. */
static void
test_a_release_that_fails_stops_no_lease(void **state)
{
    static struct fixture fixture;
    struct section_budget budget = {.name = SLICE("b"),
                                    .unit = SLICE("tokens"),
                                    .period = SLICE("lifetime"),
                                    .time_zone = SLICE("UTC"),
                                    .mode = SLICE("strict"),
                                    .on_unverifiable = SLICE("deny"),
                                    .amount = 1000};
    struct bus_claim claims[] = {
        {.limit = SLICE("b"), .subject = SLICE(""), .wants = 5, .need = 5, .waiting = 5}};
    struct bus_worker from = {.node = SLICE("node"), .slot = 3, .started_ms = 2};
    struct bus_lease ask = {.sequence = 1, .settled = true, .claims = claims, .count = 1};
    struct bus_lease_grants got;
    struct arena a;

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(section_put_budget(&fixture.limits, &budget), 0);
    struct policy *policy = fixture_policy(&fixture, NULL);
    database_do(app, "INSERT INTO budget_periods (budget, subject, period_start, unit, amount, "
                     "held) VALUES ('old', '', to_timestamp(0), 'tokens', 100, 1)");
    database_do(app, "INSERT INTO budget_slices (budget, subject, period_start, node, slot, "
                     "started_ms, sequence, granted) "
                     "VALUES ('old', '', to_timestamp(0), 'node', 3, 1, 1, 7)");
    struct leases *l = leases_start(database.app_dsn);
    ask.epoch = wait_office(l, 0);
    arena_init(&a, 65536);
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_false(got.grants[0].unknown);
    assert_int_equal(got.grants[0].share, 5);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices WHERE budget = 'old'"),
                     1); /* it did fail */
    arena_free(&a);
    leases_stop(l);
    policy_unref(policy);
    fixture_free(&fixture);
}

/* What stood still for longer than the worker waits grants nothing: here behind a claim of the slot
 * that is not committed. */
static void
test_an_answer_that_nobody_waits_for_grants_nothing(void **state)
{
    static struct fixture fixture;
    struct section_budget budget = {.name = SLICE("b"),
                                    .unit = SLICE("tokens"),
                                    .period = SLICE("lifetime"),
                                    .time_zone = SLICE("UTC"),
                                    .mode = SLICE("strict"),
                                    .on_unverifiable = SLICE("deny"),
                                    .amount = 1000};
    struct bus_claim claims[] = {
        {.limit = SLICE("b"), .subject = SLICE("late"), .wants = 5, .need = 5, .waiting = 5}};
    struct bus_worker from = {.node = SLICE("node"), .slot = 6, .started_ms = 2};
    struct bus_lease ask = {.sequence = 1, .settled = true, .claims = claims, .count = 1};
    struct db *slow = db_new(database.app_dsn, "test");
    struct bus_lease_grants got;
    struct arena a;

    (void)state;
    assert_non_null(slow);
    fixture_init(&fixture);
    assert_int_equal(section_put_budget(&fixture.limits, &budget), 0);
    struct policy *policy = fixture_policy(&fixture, NULL);
    struct leases *l = leases_start(database.app_dsn);
    ask.epoch = wait_office(l, 0);
    arena_init(&a, 65536);
    database_do(slow, "BEGIN");
    database_do(slow, "SELECT pg_advisory_xact_lock_shared(hashtext('node'), 6)");
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_true(got.grants[0].unknown);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices WHERE subject = 'late'"),
                     0);
    database_do(slow, "COMMIT");
    ask.sequence = 2;
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(got.grants[0].share, 5);
    arena_free(&a);
    leases_stop(l);
    db_free(slow);
    policy_unref(policy);
    fixture_free(&fixture);
}

/* A process that has left: no leader waits for it, and a claim of it that is answered only now is
 * known for what it is. */
static void
test_who_has_left_stays_written_down(void **state)
{
    static struct fixture fixture;
    struct policy *policy = policy_with_a_quota(&fixture);
    struct leases *l = leases_start(database.app_dsn);
    struct bus_worker from = {.node = SLICE("node"), .slot = 4, .started_ms = 1};
    struct bus_claim claims[] = {{.limit = SLICE("q:requests_per_minute"),
                                  .subject = SLICE("ann"),
                                  .wants = 60,
                                  .need = 60}};
    struct bus_lease ask = {.sequence = 1};
    struct bus_lease_grants got;
    struct arena a;

    (void)state;
    ask.epoch = wait_office(l, 0);
    arena_init(&a, 65536);
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    from.started_ms = 2;
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(
        database_int(app, "SELECT count(*) FROM lease_holders WHERE slot = 4 AND NOT has_left"), 2);
    ask.sequence = 2;
    ask.leaving = true;
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM lease_holders WHERE slot = 4"), 1);
    assert_int_equal(database_int(app, "SELECT started_ms FROM lease_holders WHERE slot = 4 AND "
                                       "has_left AND seen_at > now() - interval '1 minute'"),
                     2);
    leases_stop(l);
    database_do(app, "DELETE FROM lease_holders WHERE NOT has_left"); /* of other tests */
    l = leases_start(database.app_dsn);
    from.slot = 5;
    ask =
        (struct bus_lease){.sequence = 1, .epoch = wait_office(l, 0), .claims = claims, .count = 1};
    assert_int_equal(leases_answer(l, app, policy, &from, &ask, &a, &got), 0);
    assert_false(got.grants[0].unknown);
    assert_int_equal(got.grants[0].share, 60);
    arena_free(&a);
    leases_stop(l);
    policy_unref(policy);
    fixture_free(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_office_goes_above_what_workers_have_heard),
        cmocka_unit_test(test_an_epoch_that_never_was_changes_nothing),
        cmocka_unit_test(test_a_subject_too_many_is_turned_away_alone),
        cmocka_unit_test(test_a_greeting_is_answered_and_not_heeded),
        cmocka_unit_test(test_a_release_that_fails_stops_no_lease),
        cmocka_unit_test(test_an_answer_that_nobody_waits_for_grants_nothing),
        cmocka_unit_test(test_who_has_left_stays_written_down),
        cmocka_unit_test(test_epochs_are_drawn_above),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
