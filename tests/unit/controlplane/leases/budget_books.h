/*
 * The truth about budgets in a simulated world, beside the books that PostgreSQL keeps of them:
 * what each slice was really used for, what its worker may still take, what is booked; and the
 * comparison of both. The world's time is PostgreSQL's too (see budget_time()).
 */
#ifndef TESTS_UNIT_CONTROLPLANE_LEASES_BUDGET_BOOKS_H
#define TESTS_UNIT_CONTROLPLANE_LEASES_BUDGET_BOOKS_H

#include <inttypes.h>

#include "lib/policy/limits.h"
#include "tests/unit/controlplane/database.h"

#define BUDGETS 3
#define SUBJECTS 2
#define ACCOUNTS (BUDGETS * SUBJECTS) /* a budget's subject each */
#define SLICES 4096                   /* of one world: their ids begin at 1 */
#define PERIODS 64

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_MS (24 * HOUR_MS)
/* 2026-12-01 00:00 UTC: hours, days and months end together. */
#define BOUNDARY_MS (INT64_C(20788) * DAY_MS)
#define MONTH_MS (BOUNDARY_MS - 30 * DAY_MS)

struct truth_period {
    size_t account;
    int64_t start_ms;
    int64_t most;        /* the highest limit by which anything was granted */
    int64_t booked;      /* all that was */
    int64_t unleased;    /* drawn without a slice */
    int64_t spent, held; /* as the ledger has it */
    int64_t slices_held; /* the same, by its slices */
};

struct truth_slice {
    size_t period; /* PERIODS: no such slice */
    size_t slot;
    int64_t started_ms;
    int64_t used;   /* in flight as reserved, or what it came to */
    int64_t cap;    /* what its worker may use of it; 0: its worker is no more, or has another */
    int64_t booked; /* of used */
    int64_t lost;   /* of used: no record of it will ever come */
    int64_t granted, ledger_booked; /* as the ledger has it; granted < 0: it has none */
};

struct books {
    struct db *db, *owner;
    int64_t now, told_now; /* wall clock */
    struct policy_limit budgets[BUDGETS];
    int64_t extra[BUDGETS]; /* by overrides */
    size_t count;           /* of budgets */
    struct truth_period periods[PERIODS];
    size_t period_count;
    struct truth_slice slices[SLICES];
    uint64_t newest; /* slice */
    char why[256];   /* what broke; "": nothing */
};

static const char budget_names[BUDGETS][4] = {"b0", "b1", "b2"};
static const char subject_names[SUBJECTS][4] = {"", "u"};

__attribute__((format(printf, 2, 3))) static void
books_break(struct books *b, const char *format, ...)
{
    va_list args;

    if (b->why[0])
        return;
    va_start(args, format);
    vsnprintf(b->why, sizeof(b->why), format, args);
    va_end(args);
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

/* A schema before pg_catalog has the clock: what the functions of migrations/ ask for the time. */
static const char budget_clock[] =
    "CREATE SCHEMA sim; GRANT USAGE ON SCHEMA sim TO headgate_app;"
    "CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
    "RETURN to_timestamp(current_setting('sim.now')::bigint / 1000.0);"
    "CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql "
    "RETURN to_timestamp(current_setting('sim.now')::bigint / 1000.0);"
    "SET search_path = sim, pg_catalog, public;"
    "ALTER TABLE budget_slices ALTER seen_at SET DEFAULT clock_timestamp();"
    "ALTER TABLE budget_crossings ALTER crossed_at SET DEFAULT clock_timestamp();";
static const char budget_session[] =
    "SET search_path = sim, pg_catalog, public; SET synchronous_commit = off;";

static void
books_do(struct books *b, struct db *db, const char *sql)
{
    if (db_query(db, sql, NULL, 0, NULL) != 0)
        books_break(b, "%s: %s", sql, db_error(db));
}

/* Before each statement. */
static void
budget_time(struct books *b)
{
    char sql[80];

    if (b->told_now == b->now)
        return;
    snprintf(sql, sizeof(sql), "SELECT set_config('sim.now', '%" PRId64 "', false)", b->now);
    books_do(b, b->db, sql);
    b->told_now = b->now;
}

/* An empty ledger, and these budgets in the configuration: a draw without a slice is booked by it.
 */
static void
books_begin(struct books *b)
{
    char sql[400];

    if (db_script(b->owner,
                  "TRUNCATE budget_periods, budget_slices, budget_overrides, "
                  "budget_crossings, lease_holders RESTART IDENTITY; DELETE FROM config_items") !=
        0)
        books_break(b, "%s", db_error(b->owner));
    for (size_t i = 0; i < b->count; i++) {
        snprintf(sql, sizeof(sql),
                 "INSERT INTO config_items (kind, name, id, body, revision) VALUES ('budgets', "
                 "'%s', gen_random_uuid(), '{\"period\":\"%.*s\",\"limit_tokens\":%lld}', 1)",
                 budget_names[i], SLICE_ARG(b->budgets[i].period), (long long)b->budgets[i].amount);
        books_do(b, b->owner, sql);
    }
}

/* More for a while, or (0) no more. */
static void
books_override(struct books *b, size_t budget, int64_t amount)
{
    char sql[300];

    if (amount)
        snprintf(sql, sizeof(sql),
                 "INSERT INTO budget_overrides (budget, amount, until, reason, actor) VALUES "
                 "('%s', %lld, '2100-01-01', '', '')",
                 budget_names[budget], (long long)amount);
    else
        snprintf(sql, sizeof(sql), "DELETE FROM budget_overrides WHERE budget = '%s'",
                 budget_names[budget]);
    books_do(b, b->owner, sql);
    b->extra[budget] = amount ? b->extra[budget] + amount : 0;
}

/* --- periods ---------------------------------------------------------------------------------- */

static int64_t
period_start(const struct policy_limit *l, int64_t at_ms)
{
    if (slice_is(l->period, "hour"))
        return at_ms - at_ms % HOUR_MS;
    if (slice_is(l->period, "day"))
        return at_ms - at_ms % DAY_MS;
    if (slice_is(l->period, "month"))
        return at_ms < BOUNDARY_MS ? MONTH_MS : BOUNDARY_MS;
    return 0; /* of a life */
}

static size_t
period_at(struct books *b, size_t account, int64_t start_ms)
{
    struct truth_period *p = b->periods;

    for (size_t i = 0; i < b->period_count; i++)
        if (p[i].account == account && p[i].start_ms == start_ms)
            return i;
    if (b->period_count == PERIODS) {
        books_break(b, "more than %d periods", PERIODS);
        return 0;
    }
    p[b->period_count] = (struct truth_period){.account = account, .start_ms = start_ms};
    return b->period_count++;
}

static const struct policy_limit *
limit_of(const struct books *b, size_t account)
{
    return &b->budgets[account / SUBJECTS];
}

static size_t
period_now(struct books *b, size_t account, int64_t at_ms)
{
    return period_at(b, account, period_start(limit_of(b, account), at_ms));
}

/* Only where what is reserved is an upper bound does the limit hold. */
static bool
is_exact(const struct books *b, size_t account)
{
    return limit_of(b, account)->mode != LIMIT_ESTIMATE;
}

/* What of the account's period is really used, in flight or booked. */
static int64_t
really_used(const struct books *b, size_t period)
{
    int64_t sum = b->periods[period].unleased;

    for (uint64_t i = 1; i <= b->newest; i++)
        if (b->slices[i].period == period)
            sum += b->slices[i].used;
    return sum;
}

/* --- what happens ------------------------------------------------------------------------------
 */

/* The ledger has granted; whether the worker will hear of it is another question. */
static void
books_granted(struct books *b, uint64_t slice, size_t account, size_t slot, int64_t started_ms,
              int64_t limit)
{
    size_t period = period_now(b, account, b->now);

    if (slice == 0 || slice >= SLICES) {
        books_break(b, "slice %llu", (unsigned long long)slice);
        return;
    }
    for (; b->newest < slice; b->newest++)
        b->slices[b->newest + 1] = (struct truth_slice){.period = PERIODS};
    if (limit > b->periods[period].most)
        b->periods[period].most = limit;
    struct truth_slice *s = &b->slices[slice];
    if (s->period == PERIODS)
        *s = (struct truth_slice){.period = period, .slot = slot, .started_ms = started_ms};
    if (s->period != period || s->slot != slot || s->started_ms != started_ms)
        books_break(b, "slice %llu is given to two", (unsigned long long)slice);
}

static void
books_draw(struct books *b, uint64_t slice, size_t account, int64_t at_ms, int64_t amount)
{
    if (slice)
        b->slices[slice].used += amount;
    else
        b->periods[period_now(b, account, at_ms)].unleased += amount;
}

static void
books_booked(struct books *b, uint64_t slice, size_t account, int64_t at_ms, int64_t amount)
{
    if (slice) {
        b->slices[slice].booked += amount;
        b->periods[b->slices[slice].period].booked += amount;
    } else {
        b->periods[period_now(b, account, at_ms)].booked += amount;
    }
}

/* --- what must hold ----------------------------------------------------------------------------
 */

/* What all may still take, what is in flight and what is booked: never above the limit. */
static void
check_truth(struct books *b)
{
    int64_t sums[PERIODS] = {0};

    for (uint64_t i = 1; i <= b->newest; i++) {
        const struct truth_slice *s = &b->slices[i];

        if (s->period == PERIODS || !is_exact(b, b->periods[s->period].account))
            continue;
        sums[s->period] += s->cap > s->used ? s->cap : s->used;
        if (s->cap && s->used > s->cap)
            books_break(b, "slice %llu: %lld used of %lld", (unsigned long long)i,
                        (long long)s->used, (long long)s->cap);
    }
    for (size_t i = 0; i < b->period_count; i++)
        if (sums[i] > b->periods[i].most)
            books_break(b, "%s/%s: %lld may be used in all, the limit is %lld",
                        budget_names[b->periods[i].account / SUBJECTS],
                        subject_names[b->periods[i].account % SUBJECTS], (long long)sums[i],
                        (long long)b->periods[i].most);
}

static void
read_ledger(struct books *b)
{
    struct db_rows *rows = NULL;

    for (uint64_t i = 1; i <= b->newest; i++)
        b->slices[i].granted = -1;
    for (size_t i = 0; i < b->period_count; i++)
        b->periods[i].spent = b->periods[i].held = b->periods[i].slices_held = 0;
    if (db_query(b->db,
                 "SELECT substr(budget, 2), (subject <> '')::integer, "
                 "(extract(epoch FROM period_start) * 1000)::bigint, spent, held FROM "
                 "budget_periods",
                 NULL, 0, &rows) != 0)
        books_break(b, "%s", db_error(b->db));
    for (size_t i = 0; rows && i < db_count(rows); i++) {
        size_t account = (size_t)(db_int(rows, i, 0) * SUBJECTS + db_int(rows, i, 1));
        struct truth_period *p = &b->periods[period_at(b, account, db_int(rows, i, 2))];
        p->spent = db_int(rows, i, 3);
        p->held = db_int(rows, i, 4);
    }
    db_rows_free(rows);
    rows = NULL;
    if (db_query(b->db, "SELECT id, granted, booked FROM budget_slices", NULL, 0, &rows) != 0)
        books_break(b, "%s", db_error(b->db));
    for (size_t i = 0; rows && i < db_count(rows); i++) {
        uint64_t id = (uint64_t)db_int(rows, i, 0);
        if (id == 0 || id > b->newest || b->slices[id].period == PERIODS)
            continue; /* granted by a claim that is not answered yet */
        b->slices[id].granted = db_int(rows, i, 1);
        b->slices[id].ledger_booked = db_int(rows, i, 2);
        if (b->slices[id].granted > b->slices[id].ledger_booked)
            b->periods[b->slices[id].period].slices_held +=
                b->slices[id].granted - b->slices[id].ledger_booked;
    }
    db_rows_free(rows);
}

/* What a worker may take or has taken and is not booked is held for it. */
static void
check_slice(struct books *b, uint64_t id)
{
    const struct truth_slice *s = &b->slices[id];
    int64_t may = s->cap > s->used ? s->cap : s->used;

    if (s->period == PERIODS || !is_exact(b, b->periods[s->period].account))
        return;
    if (s->granted < 0 && may - s->lost > s->booked)
        books_break(b, "slice %llu is forgotten, %lld of it may be used, %lld is booked",
                    (unsigned long long)id, (long long)may, (long long)s->booked);
    if (s->granted >= 0 && may > s->granted && may > s->ledger_booked)
        books_break(b, "slice %llu: %lld may be used, %lld is granted", (unsigned long long)id,
                    (long long)may, (long long)s->granted);
    if (s->granted >= 0 && s->booked != s->ledger_booked)
        books_break(b, "slice %llu: %lld is booked, the ledger has %lld", (unsigned long long)id,
                    (long long)s->booked, (long long)s->ledger_booked);
}

/* As check_truth(), for what the ledger has; after it was read. */
static void
check_ledger(struct books *b)
{
    read_ledger(b);
    for (uint64_t i = 1; i <= b->newest; i++)
        check_slice(b, i);
    for (size_t i = 0; i < b->period_count; i++) {
        const struct truth_period *p = &b->periods[i];
        const char *name = budget_names[p->account / SUBJECTS];

        if (p->held < 0 || p->spent < 0 || p->spent + p->held < 0)
            books_break(b, "%s: %lld spent, %lld held", name, (long long)p->spent,
                        (long long)p->held);
        if (p->spent != p->booked)
            books_break(b, "%s: %lld spent, %lld was booked", name, (long long)p->spent,
                        (long long)p->booked);
        if (p->held != p->slices_held)
            books_break(b, "%s: %lld held, by its slices %lld", name, (long long)p->held,
                        (long long)p->slices_held);
        if (is_exact(b, p->account) && !p->unleased && p->spent + p->held > p->most)
            books_break(b, "%s: %lld spent and %lld held, the limit is %lld", name,
                        (long long)p->spent, (long long)p->held, (long long)p->most);
    }
}

#endif
