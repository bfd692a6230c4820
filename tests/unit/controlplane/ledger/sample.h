/* Random batches of usage, for the tests of the ledger, and one database for all of a file's tests.
 */
#ifndef TESTS_UNIT_CONTROLPLANE_LEDGER_SAMPLE_H
#define TESTS_UNIT_CONTROLPLANE_LEDGER_SAMPLE_H

#include "controlplane/ledger/ingest.h"
#include "controlplane/ledger/verify.h"
#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "tests/unit/controlplane/database.h"

static struct database database;
static struct db *app, *owner;

static inline int
start(void **state)
{
    (void)state;
    if (database_start(&database))
        return -1;
    app = db_new(database.app_dsn, "test");
    owner = db_new_owner(database.owner_dsn, "test");
    return app && owner ? 0 : -1;
}

static inline int
stop(void **state)
{
    (void)state;
    db_free(app);
    db_free(owner);
    return database_stop(&database);
}

/* Every test begins with empty books; triggers of the ledger stand in the way of that, as they
 * should. */
static inline int
empty(void **state)
{
    (void)state;
    return db_script(owner,
                     "SET session_replication_role = replica;"
                     "TRUNCATE usage_events, ledger_entries, ledger_balances, ledger_transactions, "
                     "ledger_accounts, usage_hourly, usage_spools, usage_quarantine;"
                     "SET session_replication_role = DEFAULT") == 0
               ? 0
               : -1;
}

static inline void
show_problem(void *ctx, const struct books_problem *p)
{
    (void)ctx;
    print_error("%s %s %s: %s\n", p->kind, p->attempt, p->account, p->detail);
}

/* How much is wrong with the books of the last days, by the program's own look at them. */
static inline int64_t
problems(void)
{
    struct books_verdict v;
    int64_t now_ms = clock_wall_ms();
    int err =
        books_verify(app, now_ms - INT64_C(3 * 86400000), now_ms + 60000, show_problem, NULL, &v);

    assert_int_equal(err, 0);
    return v.problems;
}

struct sample {
    struct usage u[512];
    unsigned char bytes[512][LIMIT_USAGE_BYTES / 16];
    struct slice records[512];
    struct usage_batch batch;
};

static inline void
price(struct usage *u)
{
    assert_int_equal(rates_cost(&u->price, &u->tokens, &u->cost), 0);
}

static const char *const teams[] = {"research", "sales/eu", "ops"};
static const char *const models[] = {"smart", "cheap"};
static const char *const providers[] = {"openai", "local"};

static inline struct usage
random_usage(uint64_t *seed, uint64_t sequence)
{
    static const struct policy_tag tags[] = {{SLICE("env"), SLICE("pr\"od")}};
    struct usage u = {
        .sequence = sequence,
        .request_id = SLICE("req"),
        .attempt_no = 1 + (uint32_t)test_below(seed, 2),
        .latency_ms = (uint32_t)test_below(seed, 1000),
        .key = SLICE("ci"),
        .team = slice_of(teams[test_below(seed, 3)]),
        .project = test_below(seed, 2) ? SLICE("p1") : SLICE(""),
        .user = test_below(seed, 3) ? SLICE("") : SLICE("ada"),
        .model = slice_of(models[test_below(seed, 2)]),
        .provider = slice_of(providers[test_below(seed, 2)]),
        .provider_model = SLICE("gpt\t4o\\n"), /* COPY's own characters */
        .endpoint = SLICE("chat.completions"),
        .status = 200,
        .outcome = USAGE_DONE,
        .error_code = test_below(seed, 10) ? SLICE("") : SLICE("upstream_truncated"),
        .tokens = {.input = (int64_t)test_below(seed, 100000),
                   .cache_read = (int64_t)test_below(seed, 1000),
                   .output = (int64_t)test_below(seed, 5000)},
        .price_version = SLICE("v1"),
        .price = {.input = 2500000, .cached_input = 1250000, .output = 10000000},
        .tags = tags,
        .tag_count = test_below(seed, 2),
    };

    uuid7(u.attempt_id);
    price(&u);
    return u;
}

/* Some of the rare classes, which most attempts have none of. */
static inline void
make_rare(uint64_t *seed, struct usage *u)
{
    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        if (test_below(seed, 3) == 0) {
            u->tokens.of[c] = 1 + (int64_t)test_below(seed, 100000);
            u->price.of[c] = (picos_tok)test_below(seed, 50000000);
        }
    u->tier = (enum service_tier)test_below(seed, SERVICE_TIERS);
    price(u);
}

static inline void
encode(struct sample *s, size_t i)
{
    size_t len;

    assert_int_equal(usage_encode(&s->u[i], s->bytes[i], sizeof(s->bytes[i]), &len), 0);
    s->records[i] = slice_make(s->bytes[i], len);
}

static inline struct sample *
make_sample(uint64_t *seed, size_t n)
{
    struct sample *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    uuid7(s->batch.spool_id);
    for (size_t i = 0; i < n; i++) {
        s->u[i] = random_usage(seed, i + 1);
        encode(s, i);
    }
    s->batch.records = s->records;
    s->batch.count = n;
    s->batch.last_sequence = n;
    return s;
}

static inline struct ingest_result
ingest(const struct usage_batch *batch)
{
    struct ingest_result r = {0};
    int err = ledger_ingest(app, SLICE("node"), 0, batch, &r);

    if (err)
        fail_msg("ingest: %d %s", err, db_error(app));
    assert_int_equal(r.sequence, batch->last_sequence);
    return r;
}

static inline nanos
total_cost(const struct sample *s, size_t n)
{
    nanos sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += s->u[i].cost;
    return sum;
}

#endif
