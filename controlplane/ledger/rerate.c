#include "controlplane/ledger/rerate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"

#define LIMIT_TEXT(n) #n
#define LIMIT_OF(n) LIMIT_TEXT(n)

/* Behind the classes, in their order. */
enum { AT_ID, AT_MODEL, AT_VERSION, AT_TIER, AT_BOOKED, AT_COUNTS };

/* What the ledger holds for an attempt is what it holds against its team, corrections included. */
static const char attempts[] =
    "SELECT e.attempt_id, e.provider_model, e.price_version, coalesce(e.service_tier, 'standard'), "
    "coalesce((SELECT sum(l.amount_nanos) FROM ledger_entries l JOIN ledger_accounts a ON a.id = "
    "l.account_id WHERE l.attempt_id = e.attempt_id AND a.kind = 'expense'), 0)::bigint, "
    "tokens_input, tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_output, "
    "tokens_reasoning, coalesce(tokens_audio_input, 0), coalesce(tokens_audio_output, 0), "
    "coalesce(tokens_image_input, 0), coalesce(tokens_image_output, 0), coalesce(web_searches, 0), "
    "coalesce(search_units, 0), coalesce(images, 0), coalesce(audio_ms, 0), coalesce(characters, "
    "0) "
    "FROM usage_events e WHERE provider = $1 "
    "AND attempt_id >= headgate_attempt_floor(to_timestamp($2::numeric / 1000)) "
    "AND attempt_id < headgate_attempt_floor(to_timestamp($3::numeric / 1000)) "
    "AND provider_model LIKE $4 ORDER BY attempt_id LIMIT " LIMIT_OF(LIMIT_RERATE_ATTEMPTS) " + 1";

#define DIFFERENCES                                                                                \
    "WITH d AS (SELECT (x ->> 0)::uuid AS attempt_id, (x ->> 1)::bigint AS nanos FROM "            \
    "jsonb_array_elements($1::jsonb) AS x), u AS (SELECT d.attempt_id, nanos, started_at, team, "  \
    "project, user_name, provider FROM d JOIN usage_events e ON e.attempt_id = d.attempt_id) "
/* ':' and '/' take the parts of an account's name apart. */
#define PART(kind, column)                                                                         \
    "'" kind ":' || replace(replace(replace(" column ", '%', '%25'), '/', '%2F'), ':', '%3A')"

/* Attempts that had cost nothing may have no accounts yet. */
// clang-format off
static const char accounts[] = DIFFERENCES
    "INSERT INTO ledger_accounts (name, kind, team, project, user_name, provider) "
    "SELECT DISTINCT " PART("team", "team")
    " || CASE project WHEN '' THEN '' ELSE '/' || " PART("project", "project") " END"
    " || CASE user_name WHEN '' THEN '' ELSE '/' || " PART("user", "user_name") " END"
    " AS n, 'expense', team, project, user_name, '' FROM u "
    "UNION SELECT DISTINCT " PART("provider", "provider") ", 'payable', '', '', '', provider FROM u "
    "ORDER BY n ON CONFLICT (name) DO NOTHING";
// clang-format on

static const char entries[] = DIFFERENCES
    "INSERT INTO ledger_entries (attempt_id, transaction_id, account_id, amount_nanos) "
    "SELECT u.attempt_id, $2::bigint, a.id, CASE a.kind WHEN 'expense' THEN nanos ELSE -nanos END "
    "FROM u JOIN ledger_accounts a ON (a.kind = 'expense' AND a.team = u.team AND a.project = "
    "u.project AND a.user_name = u.user_name) OR (a.kind = 'payable' AND a.provider = u.provider)";

/* In the order of accounts and days: everybody locks them so. */
static const char balances[] =
    "INSERT INTO ledger_balances AS b (account_id, day, debit_nanos, credit_nanos) "
    "SELECT account_id, (headgate_attempt_time(attempt_id) AT TIME ZONE 'UTC')::date AS day, "
    "coalesce(sum(amount_nanos) FILTER (WHERE amount_nanos > 0), 0), "
    "coalesce(-sum(amount_nanos) FILTER (WHERE amount_nanos < 0), 0) FROM ledger_entries "
    "WHERE transaction_id = $1::bigint AND attempt_id IN (SELECT (x ->> 0)::uuid FROM "
    "jsonb_array_elements($2::jsonb) AS x) GROUP BY 1, 2 ORDER BY 1, 2 "
    "ON CONFLICT (account_id, day) DO UPDATE SET debit_nanos = b.debit_nanos + "
    "EXCLUDED.debit_nanos, credit_nanos = b.credit_nanos + EXCLUDED.credit_nanos";

/* --- what it costs now ------------------------------------------------------------------------ */

struct run {
    const struct rerate *r;
    const struct policy_provider *provider;
    struct rerate_result *sum;
    struct buf differences; /* [["id",nanos],...] */
};

static int
note_difference(struct run *run, const char *id, nanos difference)
{
    run->sum->changed++;
    return buf_addf(&run->differences, "%s[\"%s\",%" PRId64 "]", run->differences.len ? "," : "[",
                    id, difference);
}

static int
rate_one(struct run *run, const struct db_rows *rows, size_t row)
{
    struct slice model = db_slice(rows, row, AT_MODEL);
    nanos booked = db_int(rows, row, AT_BOOKED), cost, difference;
    struct tokens t;
    enum service_tier tier;
    int err;

    if (!glob_match(run->r->model, model))
        return 0;
    run->sum->attempts++;
    if (!db_text(rows, row, AT_VERSION)[0]) {
        run->sum->free++;
        return 0;
    }
    const struct policy_price *price = policy_find_price(run->r->policy, run->provider, model);
    if (!price) {
        run->sum->unpriced++;
        return 0;
    }
    for (size_t c = 0; c < USAGE_CLASSES; c++)
        t.of[c] = db_int(rows, row, AT_COUNTS + c);
    if ((err = service_tier_parse(db_slice(rows, row, AT_TIER), &tier)))
        return err;
    struct circumstances c = circumstances_of(&t, tier);
    if ((err = policy_cost(price, &c, &t, &cost)) ||
        (err = money_add(run->sum->booked, booked, &run->sum->booked)) ||
        (err = money_add(run->sum->rated, cost, &run->sum->rated)) ||
        (err = money_add(cost, -booked, &difference)))
        return err;
    return difference ? note_difference(run, db_text(rows, row, AT_ID), difference) : 0;
}

/* Narrows what the database gives; the whole pattern is matched here. */
static int
add_like(struct buf *into, struct slice pattern)
{
    int err = 0;

    for (size_t i = 0; !err && i < pattern.len; i++) {
        char c = pattern.at[i];
        if (c == '*')
            c = '%';
        else if (c == '%' || c == '_' || c == '\\')
            err = buf_add_str(into, "\\");
        if (!err)
            err = buf_add(into, &c, 1);
    }
    return err;
}

static int
rate_all(struct db *db, struct run *run)
{
    const struct rerate *r = run->r;
    struct db_rows *rows = NULL;
    char from[24], to[24];
    struct buf like;
    int err;

    (void)snprintf(from, sizeof(from), "%" PRId64, r->from_ms);
    (void)snprintf(to, sizeof(to), "%" PRId64, r->to_ms);
    buf_init(&like, 0);
    err = add_like(&like, r->model);
    const char *params[] = {r->provider, from, to, err ? NULL : buf_str(&like)};
    if (!err && !params[3])
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, attempts, params, 4, &rows);
    if (!err && db_count(rows) > LIMIT_RERATE_ATTEMPTS)
        err = ERR_LIMIT;
    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = rate_one(run, rows, i);
    db_rows_free(rows);
    buf_free(&like);
    return err;
}

/* --- the books -------------------------------------------------------------------------------- */

static int
new_transaction(struct db *db, const struct rerate *r, char ret_id[static 24])
{
    const char *params[] = {r->author, r->reason};
    struct db_rows *rows = NULL;
    int err = db_query(db,
                       "INSERT INTO ledger_transactions (kind, author, reason) VALUES "
                       "('correction', $1, $2) RETURNING id",
                       params, 2, &rows);

    if (!err)
        (void)snprintf(ret_id, 24, "%s", db_text(rows, 0, 0));
    db_rows_free(rows);
    return err;
}

static int
post(struct db *db, struct run *run)
{
    char id[24];
    int err = buf_add_str(&run->differences, "]");
    const char *list = err ? NULL : buf_str(&run->differences);
    unsigned long long number;

    if (!list)
        return ERR_NOMEM;
    if ((err = db_query(db, accounts, &list, 1, NULL)) || (err = new_transaction(db, run->r, id)))
        return err;
    const char *what[] = {list, id}, *sums[] = {id, list};
    if ((err = db_query(db, entries, what, 2, NULL)) ||
        (err = db_query(db, balances, sums, 2, NULL)))
        return err;
    err = slice_to_u64(slice_of(id), &number);
    run->sum->transaction = (int64_t)number;
    return err;
}

int
ledger_rerate(struct db *db, const struct rerate *r, struct rerate_result *ret)
{
    struct run run = {.r = r, .sum = ret};
    int err;

    *ret = (struct rerate_result){0};
    run.provider = policy_find_provider(r->policy, slice_of(r->provider));
    if (!run.provider)
        return ERR_NOT_FOUND;
    buf_init(&run.differences, 0);
    /* Two at once would both find the same differences. */
    err = db_query(db, "SELECT pg_advisory_xact_lock(hashtextextended('headgate_rerate', 0))", NULL,
                   0, NULL);
    if (!err)
        err = rate_all(db, &run);
    if (!err && ret->changed)
        err = post(db, &run);
    buf_free(&run.differences);
    return err;
}
