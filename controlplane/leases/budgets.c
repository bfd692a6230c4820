#include "controlplane/leases/budgets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/log.h"
#include "lib/json/doc.h"

#define TIGHT_PART 10 /* of the limit: below it nothing is held ready */

static const char lease_sql[] =
    "SELECT r.n, l.r_slice, l.r_share, l.r_limit, l.r_left, l.r_elsewhere, l.r_period_left_ms "
    "FROM (SELECT n, r FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS x (r, n) "
    /* one order of locks for everybody */
    "ORDER BY r ->> 0, r ->> 1 OFFSET 0) r, LATERAL headgate_budget_lease("
    "r.r ->> 0, r.r ->> 1, r.r ->> 2, r.r ->> 3, r.r ->> 4, (r.r ->> 5)::bigint, "
    "(SELECT coalesce(array_agg(t::integer), '{}') FROM jsonb_array_elements_text(r.r -> 11) t), "
    "$2, $3::integer, $4::bigint, $5::bigint, (r.r ->> 6)::bigint, (r.r ->> 7)::bigint, "
    "(r.r ->> 8)::bigint, (r.r ->> 9)::bigint, (r.r ->> 10)::bigint, $6::integer, "
    "(r.r ->> 12)::bigint) l";

static struct json *
thresholds(const struct policy_limit *l)
{
    struct json *list = json_new_list();

    for (size_t i = 0; list && i < l->threshold_count; i++)
        if (json_append(list, json_new_int(l->thresholds[i])) != 0) {
            json_free(list);
            return NULL;
        }
    return list;
}

static struct json *
row_of(const struct budget_claim *b)
{
    const struct policy_limit *l = b->limit;
    const struct bus_claim *c = b->claim;
    struct json *row = json_new_list();

    if (row && json_append(row, json_new_text(l->id)) == 0 &&
        json_append(row, json_new_text(c->subject)) == 0 &&
        json_append(row, json_new_text(l->period)) == 0 &&
        json_append(row, json_new_text(l->time_zone)) == 0 &&
        json_append(
            row, json_new_text(l->metric == METRIC_SPEND ? SLICE("usd") : SLICE("tokens"))) == 0 &&
        json_append(row, json_new_int(l->amount)) == 0 &&
        json_append(row, json_new_int((int64_t)c->slice)) == 0 &&
        json_append(row, json_new_int(c->has)) == 0 &&
        json_append(row, json_new_int(c->used)) == 0 &&
        json_append(row, json_new_int(c->wants)) == 0 &&
        json_append(row, json_new_int(c->need)) == 0 && json_append(row, thresholds(l)) == 0 &&
        json_append(row, json_new_int(c->waiting)) == 0)
        return row;
    json_free(row);
    return NULL;
}

static int
write_rows(const struct budget_claim *claims, size_t count, struct buf *into)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < count; i++)
        err = json_append(list, row_of(&claims[i]));
    if (!err)
        err = json_write(list, false, 0, into);
    json_free(list);
    return err;
}

static void
take_row(const struct db_rows *rows, size_t i, const struct budget_claim *claims, size_t count)
{
    size_t n = (size_t)db_int(rows, i, 0) - 1;

    if (n >= count)
        return;
    struct bus_grant *g = claims[n].grant;
    int64_t left = db_int(rows, i, 4), limit = db_int(rows, i, 3);

    if (db_is_null(rows, i, 1)) {
        g->unknown = true;
        return;
    }
    *g = (struct bus_grant){
        .slice = (uint64_t)db_int(rows, i, 1),
        .share = db_int(rows, i, 2),
        .limit = limit,
        .remaining = left > 0 ? left : 0,
        .elsewhere = db_int(rows, i, 5) > 0 ? db_int(rows, i, 5) : 0,
        .period_left_ms = db_int(rows, i, 6),
        .tight = left < limit / TIGHT_PART,
    };
}

static int
lease(struct db *db, const struct bus_worker *from, uint64_t sequence, size_t parts,
      const struct budget_claim *claims, size_t count)
{
    char node[256], slot[16], started[24], seq[24], part[24];
    const char *params[] = {NULL, node, slot, started, seq, part};
    struct db_rows *rows = NULL;
    struct buf text;
    int err;

    if (count == 0)
        return 0;
    snprintf(node, sizeof(node), "%.*s", SLICE_ARG(from->node));
    snprintf(slot, sizeof(slot), "%u", from->slot & 0x7fffffffu);
    snprintf(started, sizeof(started), "%" PRId64, from->started_ms);
    snprintf(seq, sizeof(seq), "%" PRIu64, sequence);
    snprintf(part, sizeof(part), "%zu", parts ? parts : 1);
    buf_init(&text, 0);
    err = write_rows(claims, count, &text);
    if (!err && !(params[0] = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, lease_sql, params, 6, &rows);
    for (size_t i = 0; !err && i < db_count(rows); i++)
        take_row(rows, i, claims, count);
    db_rows_free(rows);
    buf_free(&text);
    return err;
}

/* Whether PostgreSQL refuses what one row says (classes 22 and 23, data and constraints), at once
 * and again next time; else it is away, slow or full. */
static bool
is_of_one(const struct db *db)
{
    const char *state = db_sqlstate(db);

    return state[0] == '2' && (state[1] == '2' || state[1] == '3');
}

int
budgets_lease(struct db *db, const struct bus_worker *from, uint64_t sequence, size_t parts,
              const struct budget_claim *claims, size_t count)
{
    int err = lease(db, from, sequence, parts, claims, count);

    if (!err)
        return 0;
    if (count > 1 && is_of_one(db)) { /* the others go on without it */
        int first = budgets_lease(db, from, sequence, parts, claims, count / 2);
        err = budgets_lease(db, from, sequence, parts, claims + count / 2, count - count / 2);
        return first ? first : err;
    }
    log_warn("leases.budgets_failed", F_SLICE("first", claims[0].limit->name),
             F_INT("count", count), F_ERR(err), F_STR("cause", db_error(db)));
    for (size_t i = 0; i < count; i++)
        *claims[i].grant = (struct bus_grant){.unknown = true};
    return err;
}

static int
release(struct db *db, const char *sql, const char *const *params, size_t count, bool *ret_more)
{
    struct db_rows *rows = NULL;
    int err = db_query(db, sql, params, count, &rows);

    *ret_more = !err && db_int(rows, 0, 0) == BUDGETS_RELEASED;
    db_rows_free(rows);
    return err;
}

int
budgets_release(struct db *db, const struct bus_worker *from, bool *ret_more)
{
    char node[256], slot[16], started[24], most[16];
    const char *params[] = {node, slot, started, most};

    snprintf(node, sizeof(node), "%.*s", SLICE_ARG(from->node));
    snprintf(slot, sizeof(slot), "%u", from->slot & 0x7fffffffu);
    snprintf(started, sizeof(started), "%" PRId64, from->started_ms);
    snprintf(most, sizeof(most), "%d", BUDGETS_RELEASED);
    return release(db, "SELECT headgate_budget_release($1, $2::integer, $3::bigint, $4::integer)",
                   params, 4, ret_more);
}

int
budgets_release_lost(struct db *db, bool *ret_more)
{
    char most[16];
    const char *params[] = {most};

    snprintf(most, sizeof(most), "%d", BUDGETS_RELEASED);
    return release(db, "SELECT headgate_budget_release_lost($1::integer)", params, 1, ret_more);
}

/* Each name once, by the primary key: with as many steps as there are budgets, not periods. */
static const char names_of_budgets[] =
    "WITH RECURSIVE n AS ((SELECT budget FROM budget_periods ORDER BY budget LIMIT 1) UNION ALL "
    "SELECT (SELECT p.budget FROM budget_periods p WHERE p.budget > n.budget "
    "ORDER BY p.budget LIMIT 1) FROM n WHERE n.budget IS NOT NULL) "
    "SELECT budget FROM n WHERE budget IS NOT NULL";

/* A part of one budget's. */
static int
forget_some(struct db *db, const char *budget, int64_t *ret_count)
{
    char most[16];
    const char *params[] = {budget, most};
    struct db_rows *rows = NULL;

    snprintf(most, sizeof(most), "%d", BUDGETS_RELEASED);
    int err = db_query(db, "SELECT headgate_budget_forget($1, $2::integer)", params, 2, &rows);
    *ret_count = err ? 0 : db_int(rows, 0, 0);
    db_rows_free(rows);
    return err;
}

int
budgets_forget(struct db *db, bool (*is_stopping)(void *ctx), void *ctx, int64_t *ret_count)
{
    struct db_rows *names = NULL;
    int err = db_query(db, names_of_budgets, NULL, 0, &names);
    int64_t n = 0;

    *ret_count = 0;
    for (size_t i = 0; !err && i < db_count(names) && !is_stopping(ctx);) {
        err = forget_some(db, db_text(names, i, 0), &n);
        *ret_count += n;
        if (n < BUDGETS_RELEASED)
            i++;
    }
    db_rows_free(names);
    return err;
}
