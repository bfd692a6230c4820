/* The outbox in a real PostgreSQL: a row for each crossing and channel, who gets it, and when
 * again. */
#include "controlplane/alerts/deliver.h"
#include "controlplane/alerts/outbox.h"
#include "tests/unit/controlplane/database.h"

static struct database database;
static struct db *app, *other, *owner;

static int
start(void **state)
{
    (void)state;
    if (database_start(&database))
        return -1;
    app = db_new(database.app_dsn, "test");
    other = db_new(database.app_dsn, "other");
    owner = db_new_owner(database.owner_dsn, "test");
    return app && other && owner ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    db_free(app);
    db_free(other);
    db_free(owner);
    return database_stop(&database);
}

static int
empty(void **state)
{
    (void)state;
    return db_script(owner, "TRUNCATE budget_periods, budget_slices, budget_crossings, "
                            "alert_deliveries RESTART IDENTITY; DELETE FROM config_items");
}

static void
item(const char *kind, const char *name, const char *body)
{
    const char *const params[] = {kind, name, body};
    assert_int_equal(db_query(owner,
                              "INSERT INTO config_items (kind, name, id, body, revision) VALUES "
                              "($1, $2, gen_random_uuid(), $3::jsonb, 1)",
                              params, 3, NULL),
                     0);
}

static int64_t
count(const char *where)
{
    char sql[512];
    struct db_rows *rows = NULL;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM alert_deliveries WHERE %s", where);
    if (db_query(owner, sql, NULL, 0, &rows) != 0)
        fail_msg("%s: %s", sql, db_error(owner));
    int64_t n = db_int(rows, 0, 0);
    db_rows_free(rows);
    return n;
}

static void
budget(const char *name, const char *more)
{
    char body[512];
    snprintf(body, sizeof(body), "{\"limit_usd\":\"1.00\",\"period\":\"day\"%s}", more);
    item("budgets", name, body);
}

static void
book(const char *budget_name, int64_t nanos)
{
    char sql[300];
    snprintf(sql, sizeof(sql), "SELECT headgate_budget_book('%s', '', 0, now(), %lld)", budget_name,
             (long long)nanos);
    database_do(app, sql);
}

/* --- what is written -------------------------------------------------------------------------- */

/* As the role that books: one row for each threshold and channel, whatever is booked behind it. */
static void
test_each_crossing_once_to_each(void **state)
{
    (void)state;
    budget("b", "");
    item("alerts", "one", "{\"kind\":\"webhook\"}");
    item("alerts", "two", "{\"kind\":\"webhook\"}");
    book("b", 490000000);
    assert_int_equal(count("true"), 0);
    book("b", 20000000);
    assert_int_equal(count("percent = 50"), 2);
    for (int i = 0; i < 5; i++)
        book("b", 1000000);
    assert_int_equal(count("true"), 2);
    book("b", 600000000); /* three at once */
    assert_int_equal(count("true"), 8);
    assert_int_equal(count("alert = 'one' AND percent IN (50, 80, 95, 100)"), 4);
    assert_int_equal(count("event #>> '{data,spent}' = '0.51' AND percent = 50"), 2);
    assert_int_equal(
        count("event #>> '{data,limit}' = '1.00' AND event #>> '{data,unit}' = 'usd' AND "
              "event #>> '{data,period}' = 'day' AND event ->> 'type' = "
              "'budget.threshold'"),
        8);
}

static void
test_with_the_booking_or_not_at_all(void **state)
{
    (void)state;
    budget("b", ",\"thresholds\":[10]");
    item("alerts", "one", "{\"kind\":\"webhook\"}");
    assert_int_equal(db_begin(app), 0);
    book("b", 500000000);
    db_rollback(app);
    assert_int_equal(count("true"), 0);
    book("b", 500000000);
    assert_int_equal(count("percent = 10"), 1);
}

static void
test_a_budget_without_thresholds_tells_nothing(void **state)
{
    (void)state;
    budget("b", ",\"thresholds\":[]");
    item("alerts", "one", "{\"kind\":\"webhook\"}");
    book("b", 2000000000);
    assert_int_equal(count("true"), 0);
}

static void
test_selectors(void **state)
{
    (void)state;
    item("projects", "p", "{\"team\":\"research\"}");
    budget("of-team", ",\"team\":\"research\",\"thresholds\":[10]");
    budget("of-project", ",\"project\":\"p\",\"thresholds\":[10]");
    budget("of-others", ",\"team\":\"sales\",\"thresholds\":[10]");
    budget("of-all", ",\"thresholds\":[10]");
    item("alerts", "all", "{}");
    item("alerts", "named", "{\"budgets\":[\"of-all\",\"of-others\"]}");
    item("alerts", "team", "{\"teams\":[\"research\"]}");
    item("alerts", "both", "{\"teams\":[\"research\"],\"budgets\":[\"of-all\"]}");
    item("alerts", "nobody", "{\"teams\":[\"idle\"]}");
    static const char *const budgets[] = {"of-team", "of-project", "of-others", "of-all"};
    for (size_t i = 0; i < 4; i++)
        book(budgets[i], 500000000);
    assert_int_equal(count("alert = 'all'"), 4);
    assert_int_equal(count("alert = 'named'"), 2);
    assert_int_equal(count("alert = 'named' AND budget IN ('of-all', 'of-others')"), 2);
    assert_int_equal(count("alert = 'team'"), 2);
    assert_int_equal(count("alert = 'team' AND budget IN ('of-team', 'of-project')"), 2);
    assert_int_equal(count("alert = 'both'"), 3);
    assert_int_equal(count("alert = 'nobody'"), 0);
}

/* --- who gets it ------------------------------------------------------------------------------ */

static void
waiting(const char *alert, int percent)
{
    char sql[400];
    snprintf(sql, sizeof(sql),
             "INSERT INTO alert_deliveries (alert, budget, period_start, percent, event) VALUES "
             "('%s', 'b', now(), %d, '{\"type\":\"budget.threshold\"}')",
             alert, percent);
    database_do(owner, sql);
}

static int
claim(struct db *db, const char *resting, struct delivery *d)
{
    struct json *names = json_new_list();
    if (resting)
        assert_int_equal(json_append(names, json_new_text(slice_of(resting))), 0);
    int found = outbox_claim(db, names, d);
    json_free(names);
    return found;
}

/* The row that comes next, or -1. */
static int
claimed_percent(struct db *db, const char *resting)
{
    struct delivery d;
    char sql[100];
    struct db_rows *rows = NULL;
    int found = claim(db, resting, &d);
    assert_true(found >= 0);
    if (!found)
        return -1;
    snprintf(sql, sizeof(sql), "SELECT percent FROM alert_deliveries WHERE id = '%s'", d.id);
    assert_int_equal(db_query(owner, sql, NULL, 0, &rows), 0);
    int percent = (int)db_int(rows, 0, 0);
    db_rows_free(rows);
    delivery_free(&d);
    return percent;
}

static void
test_one_has_it_at_a_time(void **state)
{
    (void)state;
    item("alerts", "one", "{}");
    waiting("one", 50);
    waiting("one", 80);
    /* Two daemons in the same moment: the second passes over what the first has locked. */
    assert_int_equal(db_begin(app), 0);
    assert_int_equal(claimed_percent(app, NULL), 50);
    assert_int_equal(claimed_percent(other, NULL), 80);
    assert_int_equal(db_commit(app), 0);
    assert_int_equal(claimed_percent(app, NULL), -1);
    /* One died in the midst of it. */
    database_do(owner, "UPDATE alert_deliveries SET claimed_at = now() - interval '59 s'");
    assert_int_equal(claimed_percent(app, NULL), -1);
    database_do(owner, "UPDATE alert_deliveries SET claimed_at = now() - interval '61 s' "
                       "WHERE percent = 50");
    assert_int_equal(claimed_percent(app, NULL), 50);
    assert_int_equal(count("percent = 50 AND attempts = 2"), 1);
}

static void
test_an_alert_that_rests_holds_up_nobody(void **state)
{
    (void)state;
    item("alerts", "one", "{}");
    item("alerts", "two", "{}");
    waiting("one", 50);
    waiting("two", 80);
    assert_int_equal(claimed_percent(app, "one"), 80);
    assert_int_equal(claimed_percent(app, "one"), -1);
    assert_int_equal(claimed_percent(app, NULL), 50);
}

/* --- how it goes on --------------------------------------------------------------------------- */

static void
test_pauses_grow_and_are_bounded(void **state)
{
    (void)state;
    static const int64_t pauses[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
        assert_int_equal(outbox_pause_s((int64_t)i + 1), pauses[i]);
    assert_int_equal(outbox_pause_s(1000000), 3600);
    assert_int_equal(outbox_pause_s(0), 3600);
}

static void
test_failures_are_bounded_and_seen(void **state)
{
    (void)state;
    struct delivery d;
    bool over;
    item("alerts", "one", "{}");
    waiting("one", 50);
    for (int i = 1; i <= LIMIT_ATTEMPTS; i++) {
        assert_int_equal(claim(app, NULL, &d), 1);
        assert_int_equal(d.attempt, i);
        assert_int_equal(d.last, i == LIMIT_ATTEMPTS);
        assert_int_equal(outbox_failed(app, &d, "no", false, &over), 0);
        assert_int_equal(over, i == LIMIT_ATTEMPTS);
        delivery_free(&d);
        if (i == 5)
            assert_int_equal(count("last_error = 'no' AND state = 'pending' AND attempts = 5 AND "
                                   "claimed_at IS NULL AND due_at - now() BETWEEN interval '14 s' "
                                   "AND interval '16 s'"),
                             1);
        assert_int_equal(claim(app, NULL, &d), 0); /* not before its time */
        database_do(owner, "UPDATE alert_deliveries SET due_at = now()");
    }
    assert_int_equal(claim(app, NULL, &d), 0);
    assert_int_equal(count("state = 'failed' AND ended_at IS NOT NULL AND last_error = 'no'"), 1);
}

/* Somebody else has it by now: a late word of failure changes nothing, one of success does. */
static void
test_late_words(void **state)
{
    (void)state;
    struct delivery first, second;
    bool over;
    item("alerts", "one", "{}");
    waiting("one", 50);
    assert_int_equal(claim(app, NULL, &first), 1);
    database_do(owner, "UPDATE alert_deliveries SET claimed_at = now() - interval '61 s'");
    assert_int_equal(claim(other, NULL, &second), 1);
    assert_int_equal(outbox_failed(app, &first, "late", true, &over), 0);
    assert_int_equal(count("state = 'pending' AND claimed_at IS NOT NULL AND last_error = ''"), 1);
    assert_int_equal(outbox_sent(app, &first, ""), 0);
    assert_int_equal(outbox_failed(other, &second, "no", true, &over), 0);
    assert_int_equal(count("state = 'sent' AND ended_at IS NOT NULL"), 1);
    delivery_free(&first);
    delivery_free(&second);
}

static void
test_a_test_is_tried_once(void **state)
{
    (void)state;
    struct delivery d;
    item("alerts", "one", "{}");
    database_do(
        owner,
        "INSERT INTO alert_deliveries (alert, event) SELECT 'one', '{\"type\":\"alert.test\"}' "
        "FROM generate_series(1, 2)"); /* any number of them */
    assert_int_equal(claim(app, NULL, &d), 1);
    assert_true(d.last);
    assert_false(d.beyond);
    delivery_free(&d);
    database_do(owner, "UPDATE alert_deliveries SET claimed_at = now() - interval '61 s', due_at = "
                       "now() - interval '1 h' WHERE attempts = 1");
    assert_int_equal(claim(app, NULL, &d), 1);
    assert_true(d.beyond);
    delivery_free(&d);
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool
never(void *ctx)
{
    (void)ctx;
    return false;
}

static bool
at_once(void *ctx)
{
    (void)ctx;
    return true;
}

/* What cannot be sent is given up where that is for good, and waits where it is not. */
static void
test_deliver(void **state)
{
    (void)state;
    static const unsigned char key[SEAL_KEY_BYTES] = {1};
    struct alert_counts counts = {0};
    struct keyring ring = keyring_of(key);
    struct secrets *secrets = secrets_new(&ring, NULL);
    struct deliverer d = {.db = app, .secrets = secrets, .counts = &counts, .is_stopping = at_once};
    bool changed;
    item("alerts", "private",
         "{\"kind\":\"webhook\",\"url\":\"https://127.0.0.1:1/\",\"credential\":"
         "\"env:TEST_HOOK\"}");
    item("alerts", "clear",
         "{\"kind\":\"webhook\",\"url\":\"http://127.0.0.1:1/\",\"credential\":"
         "\"env:TEST_HOOK\"}");
    item("alerts", "unset", "{\"kind\":\"slack\",\"credential\":\"env:TEST_NOT_SET\"}");
    item("alerts", "inside",
         "{\"kind\":\"email\",\"from\":\"a@b\",\"to\":[\"c@d\"],\"smtp\":{"
         "\"host\":\"127.0.0.1\",\"port\":1}}");
    item("alerts", "nobody-there",
         "{\"kind\":\"email\",\"from\":\"a@b\",\"to\":[\"c@d\"],\"smtp\":{"
         "\"host\":\"127.0.0.1\",\"port\":1},\"allow_private\":true}");
    assert_int_equal(setenv("TEST_HOOK", "0123456789abcdef", 1), 0);
    static const char *const alerts[] = {"private", "clear",        "unset",
                                         "inside",  "nobody-there", "deleted"};
    for (size_t i = 0; i < 6; i++) {
        waiting(alerts[i], 50);
        waiting(alerts[i], 80);
    }
    assert_int_equal(alerts_deliver(&d, &changed), 0);
    assert_int_equal(count("attempts > 0"), 0); /* stopping */
    d.is_stopping = never;
    assert_int_equal(alerts_deliver(&d, &changed), 0);
    assert_int_equal(count("attempts = 1"), 6); /* each alert until its first failure */
    assert_int_equal(count("attempts = 1 AND percent = 50"), 6);
    assert_int_equal(count("alert = 'private' AND last_error LIKE 'the webhook: denied%'"), 1);
    assert_int_equal(count("alert = 'clear' AND last_error LIKE '%address is not https'"), 1);
    assert_int_equal(count("alert = 'unset' AND last_error LIKE '%env:TEST_NOT_SET cannot be%'"),
                     1);
    assert_int_equal(
        count("alert = 'inside' AND last_error = 'the mail server: a private address'"), 1);
    assert_int_equal(count("alert = 'nobody-there' AND last_error LIKE 'the mail server: Couldn%'"),
                     1);
    assert_int_equal(count("alert = 'deleted' AND state = 'failed' AND last_error = "
                           "'the alert was deleted'"),
                     1);
    assert_int_equal(count("state = 'pending' AND percent = 50"), 5);
    assert_int_equal(atomic_load(&counts.failed), 6);
    assert_int_equal(atomic_load(&counts.given_up), 1);
    assert_int_equal(atomic_load(&counts.sent), 0);
    tls_client_free(d.tls);
    secrets_free(secrets);
}

static void
test_what_is_over_is_forgotten_in_time(void **state)
{
    (void)state;
    waiting("one", 50);
    waiting("one", 80);
    waiting("one", 95);
    waiting("one", 100);
    database_do(owner,
                "UPDATE alert_deliveries SET state = 'sent', ended_at = now() - interval '91 "
                "days' WHERE percent = 50");
    database_do(owner, "UPDATE alert_deliveries SET state = 'failed', ended_at = now() - interval "
                       "'89 days' WHERE percent = 80");
    database_do(owner, "UPDATE alert_deliveries SET created_at = now() - interval '91 days' WHERE "
                       "percent = 95");
    assert_int_equal(outbox_forget(app), 0);
    assert_int_equal(count("true"), 3);
    assert_int_equal(count("percent = 50"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_crossing_once_to_each, empty),
        cmocka_unit_test_setup(test_with_the_booking_or_not_at_all, empty),
        cmocka_unit_test_setup(test_a_budget_without_thresholds_tells_nothing, empty),
        cmocka_unit_test_setup(test_selectors, empty),
        cmocka_unit_test_setup(test_one_has_it_at_a_time, empty),
        cmocka_unit_test_setup(test_an_alert_that_rests_holds_up_nobody, empty),
        cmocka_unit_test(test_pauses_grow_and_are_bounded),
        cmocka_unit_test_setup(test_failures_are_bounded_and_seen, empty),
        cmocka_unit_test_setup(test_late_words, empty),
        cmocka_unit_test_setup(test_a_test_is_tried_once, empty),
        cmocka_unit_test_setup(test_deliver, empty),
        cmocka_unit_test_setup(test_what_is_over_is_forgotten_in_time, empty),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
