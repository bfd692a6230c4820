/* The nightly look at the books, and what may be asked of it. */
#include "controlplane/jobs/books.h"
#include "tests/unit/controlplane/ledger/sample.h"

static const int64_t hour = 3600000, day = 86400000;

static void
test_once_a_night(void **state)
{
    int64_t night = 0, three = 20000 * day + BOOKS_HOUR * hour;

    (void)state;
    assert_false(books_are_due(three - hour, &night)); /* a start is no night */
    assert_false(books_are_due(three - 1, &night));
    assert_true(books_are_due(three, &night));
    assert_false(books_are_due(three + 1, &night));
    assert_false(books_are_due(three + day - 1, &night));
    assert_true(books_are_due(three + 3 * day, &night)); /* it was away meanwhile */
    assert_false(books_are_due(three + 3 * day + hour, &night));
}

static void
test_what_is_found_is_kept_for_the_metrics(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 50);
    struct books_status status = {0};
    int64_t now_ms = clock_wall_ms();

    (void)state;
    (void)ingest(&s->batch);
    assert_int_equal(books_check(app, now_ms, &status), 0);
    assert_int_equal(atomic_load(&status.problems), 0);
    assert_int_equal(atomic_load(&status.checked_ms), now_ms);
    assert_int_equal(db_script(owner, "SET session_replication_role = replica;"
                                      "UPDATE ledger_entries SET amount_nanos = amount_nanos * 3;"
                                      "SET session_replication_role = DEFAULT"),
                     0);
    assert_int_equal(books_check(app, now_ms, &status), 0);
    assert_true(atomic_load(&status.problems) > 50);
    free(s);
}

struct counted {
    int64_t told;
};

static void
count(void *ctx, const struct books_problem *p)
{
    struct counted *c = ctx;

    assert_true(p->kind[0] && p->day[0] && p->detail[0]);
    c->told++;
}

/* Not more than so many are named, all are counted. */
static void
test_the_list_is_bounded(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 300);
    struct counted c = {0};
    struct books_verdict v;
    int64_t now_ms = clock_wall_ms();

    (void)state;
    (void)ingest(&s->batch);
    assert_int_equal(db_script(owner, "SET session_replication_role = replica;"
                                      "DELETE FROM ledger_entries WHERE amount_nanos < 0;"
                                      "SET session_replication_role = DEFAULT"),
                     0);
    assert_int_equal(books_verify(app, now_ms - 2 * day, now_ms + 1, count, &c, &v), 0);
    assert_int_equal(c.told, LIMIT_BOOKS_PROBLEMS);
    assert_true(v.problems > LIMIT_BOOKS_PROBLEMS);
    assert_int_equal(v.attempts, 300);
    free(s);
}

static void
test_ranges(void **state)
{
    struct counted c = {0};
    struct books_verdict v;

    (void)state;
    assert_int_equal(books_verify(app, day, day, count, &c, &v), ERR_RANGE);
    assert_int_equal(books_verify(app, 2 * day, day, count, &c, &v), ERR_RANGE);
    assert_int_equal(books_verify(app, -1, day, count, &c, &v), ERR_RANGE);
    assert_int_equal(books_verify(app, 0, LIMIT_BOOKS_DAYS * day + 1, count, &c, &v), ERR_RANGE);
    assert_int_equal(books_verify(app, 0, LIMIT_BOOKS_DAYS * day, count, &c, &v), 0);
    assert_int_equal(v.attempts, 0);
    assert_int_equal(c.told, 0);
}

#define EMPTIED(t) cmocka_unit_test_setup(t, empty)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_a_night),
        EMPTIED(test_what_is_found_is_kept_for_the_metrics),
        EMPTIED(test_the_list_is_bounded),
        EMPTIED(test_ranges),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
