/* See verify.h. */
#include "controlplane/ledger/verify.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"

#define MS_PER_DAY INT64_C(86400000)

/* One day: $1 its midnight. u: its attempts, e: their entries, x: what is wrong. Each part gives
 * kind, attempt, transaction, account, detail. */
static const char day_sql[] =
    "WITH u AS MATERIALIZED ("
    "  SELECT attempt_id, team, project, user_name, provider, cost_nanos, date_trunc('hour', "
    "started_at) AS hour"
    "  FROM usage_events WHERE attempt_id >= headgate_attempt_floor($1::timestamptz)"
    "  AND attempt_id < headgate_attempt_floor($1::timestamptz + interval '1 day')), "
    "e AS MATERIALIZED ("
    "  SELECT l.attempt_id, l.transaction_id, l.account_id, l.amount_nanos, t.kind AS of_kind, "
    "a.name AS account,"
    "  a.kind AS side, a.team, a.project, a.user_name, a.provider"
    "  FROM ledger_entries l LEFT JOIN ledger_transactions t ON t.id = l.transaction_id"
    "  LEFT JOIN ledger_accounts a ON a.id = l.account_id"
    "  WHERE l.attempt_id >= headgate_attempt_floor($1::timestamptz)"
    "  AND l.attempt_id < headgate_attempt_floor($1::timestamptz + interval '1 day')), "
    "x (kind, attempt, transaction, account, detail) AS ("
    "  SELECT 'unbalanced', attempt_id, transaction_id, NULL,"
    "    format('its entries are off by %s nanodollars', sum(amount_nanos))"
    "  FROM e GROUP BY attempt_id, transaction_id HAVING sum(amount_nanos) <> 0"
    "  UNION ALL "
    "  SELECT 'not_its_cost', attempt_id, d.transaction, NULL,"
    "    format('it cost %s nanodollars; %s are booked to its team, %s to its provider',"
    "      coalesce(u.cost_nanos::text, 'unknown'), coalesce(d.debit, 0), coalesce(d.credit, 0))"
    "  FROM u FULL JOIN (SELECT attempt_id, min(transaction_id) AS transaction,"
    "      sum(amount_nanos) FILTER (WHERE amount_nanos > 0) AS debit,"
    "      -sum(amount_nanos) FILTER (WHERE amount_nanos < 0) AS credit"
    "    FROM e WHERE of_kind = 'usage' GROUP BY attempt_id) d USING (attempt_id)"
    "  WHERE u.cost_nanos IS DISTINCT FROM coalesce(d.debit, 0)"
    "    OR u.cost_nanos IS DISTINCT FROM coalesce(d.credit, 0)"
    "  UNION ALL "
    "  SELECT 'wrong_account', attempt_id, e.transaction_id, e.account,"
    "    format('the attempt is of team %L, project %L, user %L, provider %L',"
    "      u.team, u.project, u.user_name, u.provider)"
    "  FROM e JOIN u USING (attempt_id)"
    "  WHERE (e.side = 'expense' AND (e.team, e.project, e.user_name) <> (u.team, u.project, "
    "u.user_name))"
    "    OR (e.side = 'payable' AND e.provider <> u.provider)"
    "  UNION ALL "
    "  SELECT 'no_account', attempt_id, transaction_id, NULL, format('there is no account %s', "
    "account_id)"
    "  FROM e WHERE account IS NULL"
    "  UNION ALL "
    "  SELECT 'no_transaction', attempt_id, transaction_id, account, 'there is no such transaction'"
    "  FROM e WHERE of_kind IS NULL"
    "  UNION ALL "
    "  SELECT 'counted_twice', attempt_id, NULL, NULL, format('%s rows are of this attempt', "
    "count(*))"
    "  FROM u GROUP BY attempt_id HAVING count(*) > 1"
    "  UNION ALL "
    "  SELECT 'wrong_cost', attempt_id, NULL, NULL,"
    "    format('it says %s nanodollars; its counts and rates make %s', cost_nanos, expected)"
    "  FROM usage_cost_differences WHERE attempt_id >= headgate_attempt_floor($1::timestamptz)"
    "    AND attempt_id < headgate_attempt_floor($1::timestamptz + interval '1 day')"
    "  UNION ALL "
    "  SELECT 'wrong_balance', NULL, NULL, (SELECT name FROM ledger_accounts WHERE id = "
    "account_id),"
    "    format('%s debit and %s credit are kept; the entries make %s and %s',"
    "      coalesce(b.debit_nanos, 0), coalesce(b.credit_nanos, 0), coalesce(s.debit, 0), "
    "coalesce(s.credit, 0))"
    "  FROM (SELECT * FROM ledger_balances WHERE day = ($1::timestamptz AT TIME ZONE 'UTC')::date) "
    "b"
    "  FULL JOIN (SELECT account_id, coalesce(sum(amount_nanos) FILTER (WHERE amount_nanos > 0), "
    "0) AS debit,"
    "      coalesce(-sum(amount_nanos) FILTER (WHERE amount_nanos < 0), 0) AS credit FROM e GROUP "
    "BY account_id) s"
    "    USING (account_id)"
    "  WHERE (coalesce(b.debit_nanos, 0), coalesce(b.credit_nanos, 0))"
    "    <> (coalesce(s.debit, 0), coalesce(s.credit, 0))"
    "  UNION ALL "
    "  SELECT 'wrong_hour', NULL, NULL, NULL,"
    "    format('%s, team %L, provider %L: %s attempts of %s nanodollars are summed; there are %s "
    "of %s',"
    "      to_char(hour AT TIME ZONE 'UTC', 'HH24:00'), team, provider, coalesce(h.attempts, 0),"
    "      coalesce(h.cost, 0), coalesce(s.attempts, 0), coalesce(s.cost, 0))"
    "  FROM (SELECT hour, team, provider, sum(attempts) AS attempts, sum(cost_nanos) AS cost FROM "
    "usage_hourly"
    "      WHERE hour >= $1::timestamptz AND hour < $1::timestamptz + interval '1 day' GROUP BY 1, "
    "2, 3) h"
    "  FULL JOIN (SELECT hour, team, provider, count(*) AS attempts, sum(cost_nanos) AS cost FROM "
    "u GROUP BY 1, 2, 3) s"
    "    USING (hour, team, provider)"
    "  WHERE (coalesce(h.attempts, 0), coalesce(h.cost, 0)) <> (coalesce(s.attempts, 0), "
    "coalesce(s.cost, 0))) "
    "SELECT kind, attempt, transaction, account, detail, to_char($1::timestamptz AT TIME ZONE "
    "'UTC', 'YYYY-MM-DD'),"
    "  (SELECT count(*) FROM u), (SELECT count(*) FROM e), (SELECT count(*) FROM x) "
    "FROM (VALUES (1)) one (row) LEFT JOIN (SELECT * FROM x ORDER BY kind, attempt, transaction "
    "LIMIT $2) y ON true";

struct walk {
    struct db *db;
    void (*tell)(void *ctx, const struct books_problem *p);
    void *ctx;
    struct books_verdict *verdict;
    int64_t told;
};

static int
verify_day(struct walk *w, int64_t day_ms)
{
    char midnight[32], left[24];
    const char *const params[] = {midnight, left};
    struct db_rows *rows = NULL;
    clock_rfc3339(day_ms, midnight);
    snprintf(left, sizeof(left), "%" PRId64, LIMIT_BOOKS_PROBLEMS - w->told);
    int err = db_query(w->db, day_sql, params, 2, &rows);
    if (err)
        return err;
    w->verdict->attempts += db_int(rows, 0, 6);
    w->verdict->entries += db_int(rows, 0, 7);
    w->verdict->problems += db_int(rows, 0, 8);
    for (size_t i = 0; i < db_count(rows) && !db_is_null(rows, i, 0); i++) {
        struct books_problem p = {.kind = db_text(rows, i, 0),
                                  .attempt = db_text(rows, i, 1),
                                  .transaction = db_int(rows, i, 2),
                                  .account = db_text(rows, i, 3),
                                  .detail = db_text(rows, i, 4),
                                  .day = db_text(rows, i, 5)};
        w->tell(w->ctx, &p);
        w->told++;
    }
    db_rows_free(rows);
    return 0;
}

static int
verify_days(struct walk *w, int64_t first, int64_t end)
{
    /* One moment for all of it; the time limit is for a day. */
    int err =
        db_query(w->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, 0, NULL);
    if (!err)
        err = db_query(w->db, "SET LOCAL statement_timeout = '10min'", NULL, 0, NULL);
    for (int64_t day = first; !err && day < end; day++)
        err = verify_day(w, day * MS_PER_DAY);
    return err;
}

int
books_verify(struct db *db, int64_t from_ms, int64_t to_ms,
             void (*tell)(void *ctx, const struct books_problem *p), void *ctx,
             struct books_verdict *ret_verdict)
{
    struct walk w = {db, tell, ctx, ret_verdict, 0};
    int64_t first = from_ms / MS_PER_DAY, end = (to_ms + MS_PER_DAY - 1) / MS_PER_DAY;
    *ret_verdict = (struct books_verdict){0};
    if (from_ms < 0 || first >= end || end - first > LIMIT_BOOKS_DAYS)
        return ERR_RANGE;
    int err = db_begin(db);
    if (!err)
        err = verify_days(&w, first, end);
    db_rollback(db);
    return err;
}
