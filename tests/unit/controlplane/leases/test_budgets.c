/* Slices of budgets in a real PostgreSQL: nothing is given twice, whoever asks at the same time. */
#include <pthread.h>
#include <stdatomic.h>

#include "controlplane/leases/budgets.h"
#include "lib/base/clock.h"
#include "tests/unit/controlplane/database.h"

static struct database database;
static struct db *app, *owner;

static int
start(void **state)
{
    (void)state;
    if (database_start(&database))
        return -1;
    app = db_new(database.app_dsn, "test");
    owner = db_new_owner(database.owner_dsn, "test");
    return app && owner ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    db_free(app);
    db_free(owner);
    return database_stop(&database);
}

static int
empty(void **state)
{
    (void)state;
    return db_script(owner,
                     "TRUNCATE budget_periods, budget_slices, budget_overrides, "
                     "budget_crossings, lease_holders RESTART IDENTITY; DELETE FROM config_items");
}

static struct policy_limit
a_limit(int64_t amount)
{
    return (struct policy_limit){.name = SLICE("b"),
                                 .id = SLICE("b"),
                                 .is_budget = true,
                                 .metric = METRIC_TOKENS,
                                 .amount = amount,
                                 .period = SLICE("day"),
                                 .time_zone = SLICE("UTC"),
                                 .thresholds = {50, 100},
                                 .threshold_count = 2};
}

struct asking {
    int64_t started_ms;
    uint64_t sequence;
    struct bus_claim claim;
    struct bus_grant got;
    size_t parts;
};

static void
lease(struct db *db, const struct policy_limit *l, struct asking *a)
{
    struct bus_worker from = {.node = SLICE("n"), .slot = 0, .started_ms = a->started_ms};
    struct budget_claim c = {l, &a->claim, &a->got};

    a->claim.limit = l->id;
    a->claim.subject = SLICE("");
    a->got = (struct bus_grant){0};
    assert_int_equal(budgets_lease(db, &from, ++a->sequence, a->parts ? a->parts : 1, &c, 1), 0);
}

static void
book(uint64_t slice, int64_t amount)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "SELECT headgate_budget_book('b', '', %llu, now(), %lld)",
             (unsigned long long)slice, (long long)amount);
    database_do(app, sql);
}

static int64_t
value(const char *column)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "SELECT %s FROM budget_periods", column);
    return database_int(app, sql);
}

static void
test_a_slice_is_taken_out_of_what_is_left(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 400, .need = 100}};
    struct asking b = {.started_ms = 2, .claim = {.wants = 2000, .need = 700}};

    (void)state;
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 400);
    assert_int_equal(a.got.remaining, 600);
    lease(app, &l, &b); /* more than is left: nothing, and it is told who has the rest */
    assert_int_equal(b.got.share, 0);
    assert_int_equal(b.got.elsewhere, 400);
    b.claim = (struct bus_claim){.slice = b.got.slice, .wants = 2000, .need = 600};
    lease(app, &l, &b);
    assert_int_equal(b.got.share, 600);
    assert_true(b.got.tight);
    assert_int_equal(value("held"), 1000);
}

/* All that wait go on at once, however many workers the rest is kept for: it is not kept from those
 * who need it. */
static void
test_all_that_wait_are_granted_what_there_is(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {
        .started_ms = 1, .claim = {.wants = 2000, .need = 100, .waiting = 700}, .parts = 16};

    (void)state;
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 700);
    assert_int_equal(a.got.remaining, 300);
    a.claim = (struct bus_claim){
        .slice = a.got.slice, .has = 700, .used = 600, .wants = 2000, .waiting = 200};
    lease(app, &l, &a); /* what it has not used counts towards what they need */
    assert_int_equal(a.got.share, 800);
    a.claim.has = a.claim.used = 800;
    a.claim.waiting = 700;
    lease(app, &l, &a); /* the rest does for some of them */
    assert_int_equal(a.got.share, 1000);
    assert_int_equal(value("held"), 1000);
    a.claim = (struct bus_claim){
        .slice = a.got.slice, .has = 900, .used = 900, .wants = 1200, .need = 101, .waiting = 300};
    lease(app, &l, &a); /* it does for none */
    assert_int_equal(a.got.share, 900);
}

static void
test_a_claim_says_all_there_is_to_say(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 400, .need = 400}};

    (void)state;
    lease(app, &l, &a);
    uint64_t slice = a.got.slice;
    /* the answer was lost: the worker says that it has nothing, and asks again */
    a.claim = (struct bus_claim){.slice = slice, .has = 0, .wants = 300, .need = 300};
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 300);
    assert_int_equal(value("held"), 300);
    /* an older claim that comes late changes nothing */
    a.sequence -= 2;
    a.claim.has = 0;
    lease(app, &l, &a);
    assert_true(a.got.unknown);
    assert_int_equal(value("held"), 300);
    /* part is used, the rest goes back */
    a.sequence += 2;
    a.claim = (struct bus_claim){.slice = slice, .has = 120, .used = 120, .wants = 120};
    lease(app, &l, &a);
    assert_int_equal(value("held"), 120);
}

static void
test_booking_turns_held_into_spent(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 500, .need = 500}};

    (void)state;
    lease(app, &l, &a);
    book(a.got.slice, 200);
    assert_int_equal(value("spent"), 200);
    assert_int_equal(value("held"), 300);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_crossings"), 0);
    book(a.got.slice, 400); /* above what was reserved: the truth is booked */
    assert_int_equal(value("spent"), 600);
    assert_int_equal(value("held"), 0);
    book(a.got.slice, 1);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_crossings WHERE percent = 50"),
                     1); /* once */
}

/* A worker that had forgotten the budget counts from zero again: what it has used before, booked or
 * not, is not granted a second time. */
static void
test_a_forgotten_slice_is_no_beginning(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 500, .need = 500}};

    (void)state;
    lease(app, &l, &a);
    uint64_t first = a.got.slice;
    a.claim = (struct bus_claim){.slice = first, .has = 500, .used = 500, .wants = 500};
    lease(app, &l, &a);
    book(first, 300);
    a.claim = (struct bus_claim){.wants = 600, .need = 400}; /* forgotten meanwhile */
    lease(app, &l, &a);
    assert_true(a.got.slice != first);
    assert_int_equal(a.got.share, 500); /* all that is left */
    assert_int_equal(value("held"), 200 + 500);
    a.claim = (struct bus_claim){.slice = a.got.slice, .has = 500, .used = 100, .wants = 500};
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 500);
    book(first, 200); /* its last records: nothing is left of it */
    assert_int_equal(value("spent"), 500);
    assert_int_equal(value("held"), 500);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices"), 1);
    book(a.got.slice, 500);
    assert_int_equal(value("spent"), 1000);
    assert_int_equal(value("held"), 0);
    a.claim = (struct bus_claim){.wants = 1, .need = 1}; /* forgotten again, when all is booked */
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices"), 1);
}

/* Rows that contradict each other, as after a repair by hand: that budget alone has no answer. */
static void
test_a_budget_that_is_refused_stops_no_other(void **state)
{
    struct bus_worker from = {.node = SLICE("n"), .started_ms = 1};
    struct policy_limit limits[5];
    struct bus_claim claims[5];
    struct bus_grant grants[5];
    struct budget_claim all[5];
    static const char *const names[] = {"b0", "b1", "b2", "b3", "b4"};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        limits[i] = a_limit(1000);
        limits[i].id = limits[i].name = slice_of(names[i]);
        claims[i] = (struct bus_claim){
            .limit = limits[i].id, .subject = SLICE(""), .wants = 400, .need = 400};
        all[i] = (struct budget_claim){&limits[i], &claims[i], &grants[i]};
    }
    assert_int_equal(budgets_lease(app, &from, 1, 1, all, 5), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(grants[i].share, 400);
        claims[i].slice = grants[i].slice;
        claims[i].wants = claims[i].need = 0;
    }
    database_do(app, "UPDATE budget_periods SET held = 1 WHERE budget = 'b2'");
    assert_int_equal(budgets_lease(app, &from, 2, 1, all, 5),
                     ERR_RANGE); /* they have nothing of it, so all of it goes back */
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(grants[i].unknown, i == 2);
    assert_int_equal(value("sum(held)"), 1);
}

static void
test_a_dead_workers_slice_comes_back(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking dead = {.started_ms = 1, .claim = {.wants = 800, .need = 800}};
    struct bus_worker next = {.node = SLICE("n"), .slot = 0, .started_ms = 2};
    struct bus_worker other = {.node = SLICE("n"), .slot = 1, .started_ms = 2};
    bool more;

    (void)state;
    lease(app, &l, &dead);
    book(dead.got.slice, 300);
    assert_int_equal(budgets_release(app, &other, &more), 0); /* of another slot: nothing */
    assert_int_equal(value("held"), 500);
    assert_int_equal(budgets_release(app, &next, &more), 0);
    assert_false(more);
    assert_int_equal(value("held"), 0);
    assert_int_equal(value("spent"), 300);
    assert_int_equal(budgets_release_lost(app, &more), 0);
    book(dead.got.slice, 10); /* late, of a slice that is gone, and no such budget is configured */
    assert_int_equal(value("spent"), 300);
}

/* What a worker that lives has forgotten and is not booked yet is its own, whoever leads; it goes
 * back with the others when the next process has come. */
static void
test_a_forgotten_slice_is_not_released_before_its_process(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 5, .claim = {.wants = 500, .need = 500}};
    struct bus_worker same = {.node = SLICE("n"), .slot = 0, .started_ms = 5};
    struct bus_worker next = {.node = SLICE("n"), .slot = 0, .started_ms = 6};
    bool more;

    (void)state;
    lease(app, &l, &a);
    a.claim = (struct bus_claim){.slice = a.got.slice, .has = 500, .used = 500, .wants = 500};
    lease(app, &l, &a);
    a.claim = (struct bus_claim){.wants = 100, .need = 100}; /* forgotten */
    lease(app, &l, &a);
    assert_int_equal(value("held"), 600);
    assert_int_equal(budgets_release(app, &same, &more), 0);
    assert_int_equal(value("held"), 600);
    assert_int_equal(budgets_release(app, &next, &more), 0);
    assert_int_equal(value("held"), 0);
}

/* It waited in the leader while its process died, and the next one had all given back. */
static void
test_a_dead_workers_claim_gets_nothing(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking dead = {.started_ms = 1, .claim = {.wants = 800, .need = 800}};
    struct asking next = {.started_ms = 2, .claim = {.wants = 1000, .need = 1000}};

    (void)state;
    database_do(app, "INSERT INTO lease_holders (node, slot, started_ms) VALUES ('n', 0, 1), "
                     "('n', 0, 2), ('n', 1, 3)");
    lease(app, &l, &dead);
    assert_true(dead.got.unknown);
    lease(app, &l, &next);
    assert_int_equal(next.got.share, 1000);
    assert_int_equal(value("held"), 1000);
}

/* Likewise of one that has left in order, and of one before it. */
static void
test_a_claim_of_who_has_left_gets_nothing(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking dead = {.started_ms = 1, .claim = {.wants = 800, .need = 800}};
    struct asking left = {.started_ms = 2, .claim = {.wants = 800, .need = 800}};
    struct asking next = {.started_ms = 3, .claim = {.wants = 1000, .need = 1000}};

    (void)state;
    database_do(app, "INSERT INTO lease_holders (node, slot, started_ms, has_left) "
                     "VALUES ('n', 0, 2, true)");
    lease(app, &l, &dead);
    assert_true(dead.got.unknown);
    lease(app, &l, &left);
    assert_true(left.got.unknown);
    lease(app, &l, &next);
    assert_int_equal(next.got.share, 1000);
}

/* Very many slices: each time a part of them, and none that somebody may still use. */
static void
test_slices_come_back_in_parts(void **state)
{
    struct bus_worker next = {.node = SLICE("n"), .slot = 0, .started_ms = 2};
    bool more;

    (void)state;
    database_do(app,
                "INSERT INTO budget_periods (budget, subject, period_start, unit, amount, held) "
                "SELECT 'b', 'u' || n, to_timestamp(0), 'usd', 100, 7 "
                "FROM generate_series(1, 2001) n");
    database_do(app, "INSERT INTO budget_slices (budget, subject, period_start, node, slot, "
                     "started_ms, sequence, granted, seen_at) "
                     "SELECT 'b', 'u' || n, to_timestamp(0), CASE WHEN n <= 1001 THEN 'lost' "
                     "ELSE 'n' END, 0, 1, 1, 7, now() - CASE WHEN n <= 1001 THEN "
                     "interval '1 day 2 hours 1 minute' ELSE interval '1 day 1 hour 59 minutes' "
                     "END FROM generate_series(1, 2001) n");
    for (int64_t left = 2001; left > 1000; left -= BUDGETS_RELEASED) {
        assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices"), left);
        assert_int_equal(value("sum(held)"), 7 * left);
        assert_int_equal(budgets_release_lost(app, &more), 0);
        assert_int_equal(more, left > 1000 + BUDGETS_RELEASED);
    }
    assert_int_equal(value("sum(held)"), 7 * 1000);
    for (int64_t left = 1000; left > 0; left -= BUDGETS_RELEASED) {
        assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices"), left);
        assert_int_equal(budgets_release(app, &next, &more), 0);
        assert_true(more);
    }
    assert_int_equal(budgets_release(app, &next, &more), 0);
    assert_false(more);
    assert_int_equal(value("sum(held)"), 0);
}

/* A claim that says the same again writes what it must: not the index of seen_at, but once an hour.
 */
static void
test_a_claim_is_seen_once_an_hour(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 400, .need = 400}};

    (void)state;
    lease(app, &l, &a);
    a.claim = (struct bus_claim){.slice = a.got.slice, .has = 400, .wants = 400};
    database_do(app, "UPDATE budget_slices SET seen_at = now() - interval '59 minutes'");
    lease(app, &l, &a);
    assert_int_equal(
        database_int(
            app,
            "SELECT count(*) FROM budget_slices WHERE seen_at < now() - interval '58 minutes'"),
        1);
    database_do(app, "UPDATE budget_slices SET seen_at = now() - interval '61 minutes'");
    lease(app, &l, &a);
    assert_int_equal(
        database_int(
            app, "SELECT count(*) FROM budget_slices WHERE seen_at > now() - interval '1 minute'"),
        1);
}

/* What is told of the budget itself is written when it is new. */
static void
test_a_changed_limit_is_written(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 400, .need = 400}};

    (void)state;
    lease(app, &l, &a);
    l.amount = 700;
    a.claim = (struct bus_claim){.slice = a.got.slice, .has = 400, .wants = 400};
    lease(app, &l, &a);
    assert_int_equal(value("amount"), 700);
    l.thresholds[0] = 60;
    lease(app, &l, &a);
    assert_int_equal(value("thresholds[1]"), 60);
}

/* The period ends while its budget is claimed: both stand, and each slice draws on its own. */
static void
test_a_late_booking_is_of_its_own_period(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 400, .need = 400}};

    (void)state;
    lease(app, &l, &a);
    uint64_t old = a.got.slice;
    /* As if that had been a day ago. */
    database_do(app, "UPDATE budget_periods SET period_start = period_start - interval '1 day'");
    database_do(app, "UPDATE budget_slices SET period_start = period_start - interval '1 day'");
    a.claim = (struct bus_claim){.slice = old, .has = 400, .used = 150, .wants = 450, .need = 300};
    lease(app, &l, &a);
    assert_true(a.got.slice != old);
    assert_int_equal(a.got.share, 300); /* nothing of it is of the new one */
    book(old, 150);
    book(a.got.slice, 20);
    assert_int_equal(
        database_int(app, "SELECT spent FROM budget_periods ORDER BY period_start LIMIT 1"), 150);
    assert_int_equal(
        database_int(app, "SELECT spent FROM budget_periods ORDER BY period_start DESC LIMIT 1"),
        20);
}

static void
test_an_override_counts_until_its_time(void **state)
{
    struct policy_limit l = a_limit(100);
    struct asking a = {.started_ms = 1, .claim = {.wants = 150, .need = 150}};

    (void)state;
    database_do(app, "INSERT INTO budget_overrides (budget, amount, until, reason, actor) VALUES "
                     "('b', 50, now() + interval '1 hour', '', 'x'), "
                     "('b', 900, now() - interval '1 hour', '', 'x')");
    lease(app, &l, &a);
    assert_int_equal(a.got.limit, 150);
    assert_int_equal(a.got.share, 150);
}

static void
test_periods_follow_the_calendar_of_their_zone(void **state)
{
    static const struct {
        const char *period, *zone, *at, *start, *end;
    } cases[] = {
        {"day", "UTC", "2026-03-29 23:30Z", "2026-03-29 00:00Z", "2026-03-30 00:00Z"},
        {"day", "Europe/Berlin", "2026-03-29 23:30Z", "2026-03-29 22:00Z", "2026-03-30 22:00Z"},
        {"day", "Europe/Berlin", "2026-03-29 10:00Z", "2026-03-28 23:00Z", "2026-03-29 22:00Z"},
        {"month", "America/New_York", "2026-11-01 03:59Z", "2026-10-01 04:00Z",
         "2026-11-01 04:00Z"},
        {"week", "UTC", "2026-11-26 12:00Z", "2026-11-23 00:00Z", "2026-11-30 00:00Z"},
        {"hour", "Asia/Kolkata", "2026-11-26 12:40Z", "2026-11-26 12:00Z", "2026-11-26 13:00Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char sql[600];

        snprintf(sql, sizeof(sql),
                 "SELECT (headgate_period_start('%s', '%s', '%s') = '%s' AND "
                 "headgate_period_end('%s', '%s', '%s') = '%s')::integer",
                 cases[i].period, cases[i].zone, cases[i].at, cases[i].start, cases[i].period,
                 cases[i].zone, cases[i].at, cases[i].end);
        if (database_int(app, sql) != 1)
            fail_msg("%s", sql);
    }
}

/* --- two at once ------------------------------------------------------------------------------ */

/* A release on a connection of its own, that may have to wait for another transaction. */
struct releasing {
    struct db *db;
    const struct bus_worker *next; /* NULL: of what was lost */
    atomic_bool done;
    int err;
};

static void *
release_it(void *ctx)
{
    struct releasing *r = ctx;
    bool more;

    r->err = r->next ? budgets_release(r->db, r->next, &more) : budgets_release_lost(r->db, &more);
    atomic_store(&r->done, true);
    return NULL;
}

static struct db *
patient(void)
{
    struct db *db = db_new(database.app_dsn, "test");

    assert_non_null(db);
    if (db_script(db, "SET lock_timeout = 0; SET statement_timeout = 0") != 0)
        fail_msg("%s", db_error(db));
    return db;
}

/* Until it waits for a lock, or has ended without. */
static void
wait_for_wait(const struct releasing *r)
{
    for (int64_t until = clock_mono_ms() + 60000; !atomic_load(&r->done);) {
        if (database_int(app, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
            return;
        assert_true(clock_mono_ms() < until);
        usleep(1000);
    }
}

/* A worker that was silent for a day speaks again while its slice is being given back for that:
 * what it is granted now stays held, or another could have the same. */
static void
test_who_speaks_again_keeps_what_it_is_granted(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking a = {.started_ms = 1, .claim = {.wants = 800, .need = 800}};
    struct db *holder = patient();
    struct releasing r = {.db = patient()};
    pthread_t thread;

    (void)state;
    l.id = l.name = SLICE("a"); /* locked before the other, and kept so */
    lease(app, &l, &a);
    l = a_limit(1000);
    a.claim.slice = 0;
    lease(app, &l, &a);
    database_do(app, "UPDATE budget_slices SET seen_at = now() - interval '27 hours'");
    database_do(holder, "BEGIN");
    database_do(holder, "SELECT FROM budget_periods WHERE budget = 'a' FOR UPDATE");
    assert_int_equal(pthread_create(&thread, NULL, release_it, &r), 0);
    wait_for_wait(&r);
    assert_false(atomic_load(&r.done));
    a.claim.slice = a.got.slice;
    lease(app, &l, &a);
    assert_int_equal(a.got.share, 800);
    database_do(holder, "COMMIT");
    pthread_join(thread, NULL);
    assert_int_equal(r.err, 0);
    assert_int_equal(database_int(app, "SELECT held FROM budget_periods WHERE budget = 'a'"), 0);
    assert_int_equal(database_int(app, "SELECT held FROM budget_periods WHERE budget = 'b'"), 800);
    db_free(r.db);
    db_free(holder);
}

/* The claim of a dead worker is being answered while all that it held is given back: what it is
 * granted for the first time is among that, or nobody would give it back for a day. */
static void
test_a_release_waits_for_claims_of_the_dead(void **state)
{
    struct policy_limit l = a_limit(1000);
    struct asking dead = {.started_ms = 1, .claim = {.wants = 800, .need = 800}};
    struct bus_worker next = {.node = SLICE("n"), .slot = 0, .started_ms = 2};
    struct db *slow = patient();
    struct releasing r = {.db = patient(), .next = &next};
    pthread_t thread;

    (void)state;
    database_do(slow, "BEGIN");
    lease(slow, &l, &dead);
    assert_int_equal(dead.got.share, 800);
    database_do(app, "INSERT INTO lease_holders (node, slot, started_ms) VALUES ('n', 0, 2)");
    assert_int_equal(pthread_create(&thread, NULL, release_it, &r), 0);
    wait_for_wait(&r);
    database_do(slow, "COMMIT");
    pthread_join(thread, NULL);
    assert_int_equal(r.err, 0);
    assert_int_equal(value("held"), 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM budget_slices"), 0);
    db_free(r.db);
    db_free(slow);
}

#define THREADS 6
#define LIMIT_AMOUNT 5000

/* Each takes what it gets, books a part, gives back the rest; the sum may never be passed. */
static void *
worker(void *ctx)
{
    struct asking a = {.started_ms = 1 + (int64_t)(uintptr_t)ctx, .parts = 2};
    struct policy_limit l = a_limit(LIMIT_AMOUNT);
    struct db *db = db_new(database.app_dsn, "test");
    int64_t used = 0;
    char sql[200];

    assert_non_null(db);
    for (int i = 0; i < 60; i++) {
        a.claim.need = 40;
        a.claim.wants = used + 100;
        lease(db, &l, &a);
        a.claim.slice = a.got.slice;
        if (a.got.share - used >= 40) {
            used += 40;
            snprintf(sql, sizeof(sql), "SELECT headgate_budget_book('b', '', %llu, now(), 40)",
                     (unsigned long long)a.got.slice);
            database_do(db, sql);
        }
        a.claim.has = a.claim.used = used;
    }
    db_free(db);
    return NULL;
}

static void
test_many_at_once_do_not_overdraw(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(value("spent") <= LIMIT_AMOUNT);
    assert_true(value("spent") >= LIMIT_AMOUNT * 95 / 100);
    assert_int_equal(value("spent"), database_int(app, "SELECT sum(booked) FROM budget_slices"));
    assert_int_equal(value("held"), database_int(app, "SELECT sum(greatest(0, granted - booked)) "
                                                      "FROM budget_slices"));
}

/* ---- what is long past ----------------------------------------------------------------------- */

static bool
never_stopping(void *ctx)
{
    (void)ctx;
    return false;
}

static bool
stopping_soon(void *ctx)
{
    return (*(int *)ctx)-- == 0;
}

/* One period of budget b; began and ended so many days ago. */
static void
a_period(const char *subject, int began, int ended, int held)
{
    char sql[400];

    snprintf(
        sql, sizeof(sql),
        "INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount, "
        "spent, held) VALUES ('b', '%s', now() - interval '%d days', now() - interval '%d days', "
        "'tokens', 100, 60, %d)",
        subject, began, ended, held);
    database_do(owner, sql);
}

static void
test_only_periods_long_past_are_forgotten(void **state)
{
    (void)state;
    int64_t n;
    a_period("gone", 92, 91, 0);
    a_period("of yesterday", 2, 1, 0);
    a_period("of a long month", 120, 89, 0);
    a_period("held", 92, 91, 5);
    a_period("in use", 92, 91, 0);
    assert_int_equal(
        db_script(
            owner,
            "INSERT INTO budget_slices (budget, subject, period_start, node, slot, started_ms, "
            "sequence) SELECT 'b', subject, period_start, 'n', 0, 1, 1 FROM budget_periods "
            "WHERE subject = 'in use'; "
            "INSERT INTO budget_periods (budget, subject, period_start, unit, amount) "
            "VALUES ('b', 'lifetime', to_timestamp(0), 'usd', 1); "
            "INSERT INTO budget_crossings (budget, subject, period_start, percent, spent, amount) "
            "SELECT budget, subject, period_start, 50, 60, 100 FROM budget_periods"),
        0);
    assert_int_equal(budgets_forget(app, never_stopping, NULL, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(database_int(owner, "SELECT count(*) FROM budget_periods"), 5);
    assert_int_equal(
        database_int(owner, "SELECT count(*) FROM budget_periods WHERE subject = 'gone'"), 0);
    assert_int_equal(database_int(owner, "SELECT count(*) FROM budget_crossings"), 5);
}

/* Of each budget, however many there are; a daemon that is to stop does not wait for all. */
static void
test_the_past_is_forgotten_in_parts(void **state)
{
    (void)state;
    int64_t n;
    int times = 2;
    database_do(
        owner,
        "INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount) "
        "SELECT 'b' || n % 3, 's' || n, now() - interval '100 days', "
        "now() - interval '99 days', 'usd', 1 FROM generate_series(1, 7000) n");
    assert_int_equal(budgets_forget(app, stopping_soon, &times, &n), 0);
    assert_int_equal(n, 2 * BUDGETS_RELEASED);
    assert_int_equal(budgets_forget(app, never_stopping, NULL, &n), 0);
    assert_int_equal(n, 7000 - 2 * BUDGETS_RELEASED);
    assert_int_equal(budgets_forget(app, never_stopping, NULL, &n), 0);
    assert_int_equal(n, 0);
}

/* Two control planes at once: each waits for no row that the other deletes. */
static void
test_two_forget_at_once(void **state)
{
    (void)state;
    int64_t n;
    a_period("one", 100, 99, 0);
    a_period("two", 100, 99, 0);
    assert_int_equal(db_begin(owner), 0);
    database_do(owner, "SELECT FROM budget_periods WHERE subject = 'one' FOR UPDATE");
    assert_int_equal(budgets_forget(app, never_stopping, NULL, &n), 0);
    db_rollback(owner);
    assert_int_equal(n, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_slice_is_taken_out_of_what_is_left, empty),
        cmocka_unit_test_setup(test_all_that_wait_are_granted_what_there_is, empty),
        cmocka_unit_test_setup(test_a_claim_says_all_there_is_to_say, empty),
        cmocka_unit_test_setup(test_booking_turns_held_into_spent, empty),
        cmocka_unit_test_setup(test_a_forgotten_slice_is_no_beginning, empty),
        cmocka_unit_test_setup(test_a_budget_that_is_refused_stops_no_other, empty),
        cmocka_unit_test_setup(test_a_dead_workers_slice_comes_back, empty),
        cmocka_unit_test_setup(test_a_forgotten_slice_is_not_released_before_its_process, empty),
        cmocka_unit_test_setup(test_a_dead_workers_claim_gets_nothing, empty),
        cmocka_unit_test_setup(test_a_claim_of_who_has_left_gets_nothing, empty),
        cmocka_unit_test_setup(test_slices_come_back_in_parts, empty),
        cmocka_unit_test_setup(test_a_claim_is_seen_once_an_hour, empty),
        cmocka_unit_test_setup(test_a_changed_limit_is_written, empty),
        cmocka_unit_test_setup(test_a_late_booking_is_of_its_own_period, empty),
        cmocka_unit_test_setup(test_an_override_counts_until_its_time, empty),
        cmocka_unit_test_setup(test_periods_follow_the_calendar_of_their_zone, empty),
        cmocka_unit_test_setup(test_who_speaks_again_keeps_what_it_is_granted, empty),
        cmocka_unit_test_setup(test_a_release_waits_for_claims_of_the_dead, empty),
        cmocka_unit_test_setup(test_many_at_once_do_not_overdraw, empty),
        cmocka_unit_test_setup(test_only_periods_long_past_are_forgotten, empty),
        cmocka_unit_test_setup(test_the_past_is_forgotten_in_parts, empty),
        cmocka_unit_test_setup(test_two_forget_at_once, empty),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
