/* Booked at other prices: the differences are posted, balanced, once. */
#include "controlplane/ledger/rerate.h"

#include "controlplane/ledger/query.h"
#include "tests/unit/controlplane/ledger/sample.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

/* Prices of "local": every model costs so much. */
static struct policy *
prices(int64_t input, int64_t output)
{
    struct fixture f;

    fixture_init_empty(&f);
    fixture_add_provider(&f, "local", "openai-compatible", "http://127.0.0.1:9000/v1");
    fixture_add_provider(&f, "bare", "openai-compatible", "http://127.0.0.1:9000/v1");
    if (input)
        fixture_add_price(&f, "local", "*", input, output);
    struct policy *p = fixture_policy(&f, NULL);
    fixture_free(&f);
    return p;
}

static struct rerate_result
rerate(struct policy *p, const char *model)
{
    int64_t now = clock_wall_ms();
    struct rerate r = {.policy = p,
                       .provider = "local",
                       .model = slice_of(model),
                       .from_ms = now - 3600000,
                       .to_ms = now + 3600000,
                       .author = "ada",
                       .reason = "a test"};
    struct rerate_result sum;

    assert_int_equal(db_begin(app), 0);
    if (ledger_rerate(app, &r, &sum) != 0)
        fail_msg("%s", db_error(app));
    assert_int_equal(db_commit(app), 0);
    return sum;
}

static nanos
cost_at(const struct usage *u, int64_t input, int64_t output)
{
    struct rates r = {.input = input, .cached_input = input, .output = output};
    nanos cost;

    assert_int_equal(rates_cost(&r, &u->tokens, &cost), 0);
    return cost;
}

static int64_t
number(const char *sql)
{
    struct db_rows *rows = NULL;

    if (db_query(owner, sql, NULL, 0, &rows))
        fail_msg("%s", db_error(owner));
    int64_t n = db_int(rows, 0, 0);
    db_rows_free(rows);
    return n;
}

static void
assert_books_are_whole(void)
{
    assert_int_equal(problems(), 0);
    assert_int_equal(number("SELECT count(*) FROM ledger_balance_differences"), 0);
    assert_int_equal(number("SELECT count(*) FROM ledger_usage_differences"), 0);
    assert_int_equal(number("SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger_entries"),
                     0);
}

static int64_t
owed(void)
{
    return number("SELECT coalesce(-sum(amount_nanos), 0)::bigint FROM ledger_entries l JOIN "
                  "ledger_accounts a ON a.id = l.account_id WHERE a.provider = 'local'");
}

static void
test_differences_are_posted_once(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 100);
    struct policy *up = prices(3000000, 12000000), *down = prices(1, 2);
    nanos before = 0, want_up = 0, want_down = 0;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 100; i++)
        if (slice_is(s->u[i].provider, "local")) {
            n++;
            before += s->u[i].cost;
            want_up += cost_at(&s->u[i], 3000000, 12000000);
            want_down += cost_at(&s->u[i], 1, 2);
        }
    (void)ingest(&s->batch);
    struct rerate_result sum = rerate(up, "*");
    assert_int_equal(sum.attempts, n);
    assert_int_equal(sum.changed, n);
    assert_int_equal(sum.booked, before);
    assert_int_equal(sum.rated, want_up);
    assert_true(sum.transaction > 0);
    assert_int_equal(owed(), want_up);
    assert_books_are_whole();
    sum = rerate(up, "*"); /* again: nothing to do */
    assert_int_equal(sum.changed, 0);
    assert_int_equal(sum.transaction, 0);
    assert_int_equal(owed(), want_up);
    sum = rerate(down, "gpt*"); /* and back */
    assert_int_equal(sum.booked, want_up);
    assert_int_equal(owed(), want_down);
    assert_books_are_whole();
    policy_unref(up);
    policy_unref(down);
    free(s);
}

/* What has no price now, is free on purpose, or is of another model stays as it is. */
static void
test_what_is_left_alone(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 3);
    struct policy *priced = prices(3000000, 12000000), *unpriced = prices(0, 0);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        s->u[i].provider = SLICE("local");
        if (i == 0) { /* of a free model */
            s->u[i].price_version = SLICE("");
            s->u[i].price = (struct rates){0};
            price(&s->u[i]);
        }
        encode(s, i);
    }
    (void)ingest(&s->batch);
    int64_t before = owed();
    struct rerate_result sum = rerate(unpriced, "*");
    assert_int_equal(sum.attempts, 3);
    assert_int_equal(sum.unpriced, 2);
    assert_int_equal(sum.free, 1);
    assert_int_equal(sum.changed, 0);
    sum = rerate(priced, "gpt\t4o"); /* not the whole name */
    assert_int_equal(sum.attempts, 0);
    sum = rerate(priced, "%");
    assert_int_equal(sum.attempts, 0);
    assert_int_equal(owed(), before);
    policy_unref(priced);
    policy_unref(unpriced);
    free(s);
}

/* An attempt that had cost nothing has no accounts yet; their names are those that ingest makes. */
static void
test_accounts_are_made(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 1);
    struct policy *p = prices(3000000, 12000000);

    (void)state;
    s->u[0].provider = SLICE("local");
    s->u[0].team = SLICE("sales/eu");
    s->u[0].project = SLICE("a:b");
    s->u[0].user = SLICE("ad%a");
    s->u[0].tokens = (struct tokens){.input = 5};
    s->u[0].price = (struct rates){0};
    price(&s->u[0]);
    encode(s, 0);
    (void)ingest(&s->batch);
    assert_int_equal(number("SELECT count(*) FROM ledger_accounts"), 0);
    assert_int_equal(rerate(p, "*").changed, 1);
    assert_int_equal(owed(), 15000);
    assert_int_equal(number("SELECT count(*) FROM ledger_accounts WHERE name IN ('provider:local', "
                            "'team:sales%2Feu/project:a%3Ab/user:ad%25a')"),
                     2);
    assert_books_are_whole();
    policy_unref(p);
    free(s);
}

static void
test_an_unknown_provider(void **state)
{
    struct policy *p = prices(1, 1);
    struct rerate r = {.policy = p, .provider = "nobody", .model = SLICE("*"), .to_ms = 1};
    struct rerate_result sum;

    (void)state;
    assert_int_equal(ledger_rerate(app, &r, &sum), ERR_NOT_FOUND);
    policy_unref(p);
}

#define EMPTIED(t) cmocka_unit_test_setup(t, empty)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTIED(test_differences_are_posted_once),
        EMPTIED(test_what_is_left_alone),
        EMPTIED(test_accounts_are_made),
        EMPTIED(test_an_unknown_provider),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
