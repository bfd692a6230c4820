/* How quotas and budgets stand, and POST /api/v1/budgets/{name}/overrides. */
#include "controlplane/api/limits.h"

#include <inttypes.h>
#include <stdio.h>

#include "controlplane/api/change.h"
#include "controlplane/api/handlers.h"
#include "controlplane/leases/leases.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/store/items.h"
#include "lib/base/clock.h"
#include "lib/base/money.h"

#define LIMIT_OVERRIDE_REASON 500

/* --- budgets: PostgreSQL knows all of it ------------------------------------------------------ */

static const char budgets_sql[] =
    "SELECT c.name, jsonb_agg(jsonb_build_object('metric', t.unit, 'window', '', "
    "'subject', coalesce(p.subject, ''), 'limit', headgate_amount(t.unit, total), "
    "'spent', headgate_amount(t.unit, coalesce(p.spent, 0)), "
    "'held', headgate_amount(t.unit, coalesce(p.held, 0)), "
    "'remaining', headgate_amount(t.unit, greatest(0, total - coalesce(p.spent, 0) "
    "- coalesce(p.held, 0))), "
    "'period_start', CASE WHEN c.body ->> 'period' = 'lifetime' THEN NULL ELSE began END, "
    "'period_end', ends, "
    "'crossed', (SELECT coalesce(jsonb_agg(percent ORDER BY percent), '[]') FROM budget_crossings "
    "x "
    "WHERE (x.budget, x.subject, x.period_start) = (c.name, p.subject, began)), "
    "'workers', (SELECT coalesce(jsonb_agg(jsonb_build_object('node', node, 'slot', slot, 'held', "
    "headgate_amount(t.unit, greatest(0, s.granted - s.booked))) ORDER BY node, slot), '[]') "
    "FROM budget_slices s WHERE (s.budget, s.subject, s.period_start) = (c.name, p.subject, "
    "began))) "
    "ORDER BY p.subject) "
    "FROM config_items c CROSS JOIN LATERAL (SELECT "
    "headgate_period_start(c.body ->> 'period', coalesce(c.body ->> 'time_zone', 'UTC'), now()) "
    "began, "
    "headgate_period_end(c.body ->> 'period', coalesce(c.body ->> 'time_zone', 'UTC'), now()) "
    "ends, "
    "CASE WHEN c.body ? 'limit_tokens' THEN 'tokens' ELSE 'usd' END unit, "
    "coalesce((c.body ->> 'limit_tokens')::bigint, "
    "((c.body ->> 'limit_usd')::numeric * 1000000000)::bigint) + headgate_budget_extra(c.name) "
    "total) t "
    "LEFT JOIN LATERAL (SELECT * FROM budget_periods b WHERE b.budget = c.name "
    "AND b.period_start = t.began ORDER BY b.spent + b.held DESC LIMIT 1000) p ON true "
    "WHERE c.kind = 'budgets' AND c.name IN (SELECT jsonb_array_elements_text($1::jsonb)) "
    "GROUP BY c.name";

static struct json *
names_of(const struct json *data)
{
    struct json *names = json_new_list();

    for (size_t i = 0; names && i < json_size(data); i++)
        if (json_append(names, json_new_text(json_str(json_get(json_at(data, i), "name")))) != 0) {
            json_free(names);
            return NULL;
        }
    return names;
}

static int
attach(struct json *data, struct slice name, struct slice text)
{
    struct json *status = NULL;
    int err = json_parse(text, &status, NULL, 0);

    for (size_t i = 0; !err && status && i < json_size(data); i++) {
        struct json *item = json_at(data, i);

        if (!slice_eq(json_str(json_get(item, "name")), name))
            continue;
        err = json_set(item, "status", status);
        status = NULL;
    }
    json_free(status);
    return err;
}

static int
add_budgets(struct api_request *r, struct json *data)
{
    struct json *names = names_of(data);
    struct db_rows *rows = NULL;
    const char *param = NULL;
    struct buf text;
    int err = names ? 0 : ERR_NOMEM;

    buf_init(&text, 0);
    if (!err)
        err = json_write(names, false, 0, &text);
    if (!err && !(param = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(r->db, budgets_sql, &param, 1, &rows);
    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = attach(data, db_slice(rows, i, 0), db_slice(rows, i, 1));
    db_rows_free(rows);
    buf_free(&text);
    json_free(names);
    return err;
}

/* --- quotas: the leader's memory -------------------------------------------------------------- */

static const char *
window_name(int64_t window_ms)
{
    return window_ms == 60000      ? "minute"
           : window_ms == 3600000  ? "hour"
           : window_ms == 86400000 ? "day"
                                   : "";
}

static struct json *
holders_of(struct leases *l, struct slice id, int64_t *ret_used, int64_t *ret_held)
{
    struct json *list = json_new_list();
    char node[256];
    uint32_t slot;
    int64_t held, used;

    *ret_used = *ret_held = 0;
    for (size_t i = 0; list && leases_held(l, id, SLICE(""), i, node, &slot, &held, &used); i++) {
        struct json *one = json_new_map();

        *ret_used += used;
        *ret_held += held - used;
        if (!one || json_set_str(one, "node", node) != 0 || json_set_int(one, "slot", slot) != 0 ||
            json_set_int(one, "held", held) != 0 || json_append(list, one) != 0) {
            json_free(list);
            return NULL;
        }
    }
    return list;
}

static struct json *
rate_status(struct leases *l, struct slice name, const struct quota_rate *rate, int64_t limit)
{
    struct json *out = json_new_map();
    char id[256];
    int64_t used, held;
    int n = snprintf(id, sizeof(id), "%.*s:%s", SLICE_ARG(name), rate->member);
    struct json *workers = holders_of(l, slice_make(id, (size_t)n), &used, &held);

    if (out && workers && json_set_str(out, "metric", rate->metric) == 0 &&
        json_set_str(out, "window", window_name(rate->window_ms)) == 0 &&
        json_set_str(out, "subject", "") == 0 && json_set_int(out, "limit", limit) == 0 &&
        json_set_int(out, "spent", used) == 0 && json_set_int(out, "held", held) == 0 &&
        json_set_int(out, "remaining", limit > used ? limit - used : 0) == 0 &&
        json_set(out, "workers", workers) == 0)
        return out;
    json_free(out);
    return NULL;
}

static int
add_quota(struct leases *l, struct json *item)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < QUOTA_RATES; i++) {
        int64_t limit;

        if (json_to_int(json_get(item, quota_rates[i].member), &limit) == 0)
            err = json_append(
                list, rate_status(l, json_str(json_get(item, "name")), &quota_rates[i], limit));
    }
    return err ? err : json_set(item, "status", list);
}

int
limits_add_status(struct api_request *r, const struct kind *kind, struct json *data)
{
    struct leases *l = r->plane->publisher ? r->plane->publisher->leases : NULL;
    int err = 0;

    if (kind->id == KIND_BUDGETS)
        return add_budgets(r, data);
    if (kind->id != KIND_QUOTAS || !l)
        return 0;
    for (size_t i = 0; !err && i < json_size(data); i++)
        err = add_quota(l, json_at(data, i));
    return err;
}

/* --- overrides -------------------------------------------------------------------------------- */

/* In what the budget counts: nanodollars or tokens. */
static int
read_amount(struct api_request *r, struct api_reply *reply, const struct json *budget, int64_t *ret)
{
    bool in_tokens = json_get(budget, "limit_tokens") != NULL;
    const struct json *usd = json_get(r->body, "add_usd"),
                      *tokens = json_get(r->body, "add_tokens");
    char text[JSON_DECIMAL_BYTES];

    if (in_tokens ? !tokens || usd : !usd || tokens)
        return api_problem(reply, 400, "invalid_field", "this budget counts in %s: give %s",
                           in_tokens ? "tokens" : "dollars", in_tokens ? "add_tokens" : "add_usd");
    int err = in_tokens ? json_to_int(tokens, ret) : json_decimal(usd, text);
    if (!err && !in_tokens)
        err = money_parse_usd(slice_of(text), ret);
    if (err || *ret <= 0)
        return api_problem(reply, 400, "invalid_field", "%s: must be above zero",
                           in_tokens ? "add_tokens" : "add_usd");
    return 0;
}

static int
insert(struct api_request *r, struct slice name, int64_t amount, const char *until)
{
    char number[24], budget[LIMIT_NAME_BYTES + 1];
    struct slice reason = json_str(json_get(r->body, "reason"));
    const char *params[] = {budget, number, until, reason.at ? reason.at : "", r->actor};

    snprintf(budget, sizeof(budget), "%.*s", SLICE_ARG(name));
    snprintf(number, sizeof(number), "%" PRId64, amount);
    return db_query(r->db,
                    "INSERT INTO budget_overrides (budget, amount, until, reason, actor) "
                    "VALUES ($1, $2::bigint, $3::timestamptz, $4, $5)",
                    params, 5, NULL);
}

static int
override(struct api_request *r, struct api_reply *reply, const struct item *item)
{
    char until[32];
    int64_t amount = 0, until_ms = 0;
    struct json *list = NULL;
    int err = read_amount(r, reply, item->body, &amount);

    if (err)
        return err;
    if (clock_parse_rfc3339(json_str(json_get(r->body, "until")).at, &until_ms) != 0 ||
        until_ms <= clock_wall_ms())
        return api_problem(reply, 400, "invalid_field", "until: must be a time to come");
    clock_rfc3339(until_ms, until);
    snprintf(reply->audit_object, sizeof(reply->audit_object), "budgets/%s", item->name);
    reply->audit_detail = json_copy(r->body);
    err = insert(r, slice_of(item->name), amount, until);
    if (!err && !(list = json_new_list()))
        err = ERR_NOMEM;
    if (!err)
        err = json_append(list, change_view(kind_at(KIND_BUDGETS), item));
    if (!err)
        err = add_budgets(r, list);
    if (!err && !(reply->body = json_copy(json_at(list, 0))))
        err = ERR_NOMEM;
    json_free(list);
    return err ? api_fail(r, reply, err) : 0;
}

int
budgets_override(struct api_request *r, struct api_reply *reply)
{
    struct item item;
    int err = items_find(r->db, kind_at(KIND_BUDGETS), r->params[0], &item);

    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no budget '%.*s'",
                           (int)(r->params[0].len < 200 ? r->params[0].len : 200), r->params[0].at);
    if (err)
        return api_fail(r, reply, err);
    err = override(r, reply, &item);
    item_free(&item);
    return err;
}
