/* GET /api/v1/alert-deliveries: what was sent, or is to be; POST /api/v1/alerts/{name}/test. */
#include "controlplane/api/alerts.h"

#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/rules/kinds.h"
#include "controlplane/store/items.h"
#include "lib/base/rand.h"

/* --- the list --------------------------------------------------------------------------------- */

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* clang-format off */
#define DELIVERY                                                                                   \
    "json_build_object('id', id, 'alert', alert, 'type', event ->> 'type', "                       \
    "'budget', nullif(budget, ''), 'subject', subject, 'percent', percent, "                       \
    "'period_start', event #>> '{data,period_start}', 'state', state, 'attempts', attempts, "      \
    "'last_error', nullif(last_error, ''), 'created_at', " STAMP("created_at") ", "                \
    "'next_attempt', CASE WHEN state = 'pending' THEN " STAMP("due_at") " END, "                   \
    "'ended_at', " STAMP("ended_at") ")"
/* clang-format on */

static const char list_sql[] =
    "SELECT (extract(epoch FROM created_at) * 1000000)::bigint || '/' || id, " DELIVERY
    " FROM alert_deliveries WHERE ($1::bigint IS NULL OR (created_at, id) < (to_timestamp(0) + "
    "$1::bigint * interval '1 microsecond', $2::uuid)) "
    "AND ($4::text IS NULL OR alert = $4) AND ($5::text IS NULL OR budget = $5) "
    "AND ($6::text IS NULL OR state = $6) AND ($7::uuid IS NULL OR id = $7::uuid) "
    "ORDER BY created_at DESC, id DESC LIMIT $3::bigint";

static int
add_row(struct json *data, struct slice text)
{
    struct json *row = NULL;
    int err = json_parse(text, &row, NULL, 0);
    return err ? err : json_append(data, row);
}

static int
reply_page(struct api_request *r, struct api_reply *reply, const struct db_rows *rows,
           int64_t limit)
{
    bool more = db_count(rows) > (size_t)limit;
    size_t n = more ? (size_t)limit : db_count(rows);
    struct json *data = json_new_list();
    int err = data ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < n && !err; i++)
        err = add_row(data, db_slice(rows, i, 1));
    if (!err)
        return api_page_reply(r, reply, data, more ? db_text(rows, n - 1, 0) : NULL);
    json_free(data);
    return api_fail(r, reply, err);
}

static bool
is_uuid(struct slice text)
{
    unsigned char bytes[16];
    return uuid_parse(text.at, text.len, bytes) == 0;
}

/* "MICROSECONDS/ID" of the row that the page begins behind; both NULL on the first one. */
static bool
read_place(struct arena *a, const char *after, const char **ret_time, const char **ret_id)
{
    unsigned long long n;
    struct slice id = slice_of(after), time = slice_cut(&id, '/');
    *ret_time = *ret_id = NULL;
    if (!after[0])
        return true;
    if (slice_to_u64(time, &n) != 0 || n > INT64_MAX || !id.at || !is_uuid(id))
        return false;
    *ret_time = arena_copy(a, time).at;
    *ret_id = id.at;
    return *ret_time != NULL;
}

static bool
is_state(struct slice text)
{
    return slice_is(text, "pending") || slice_is(text, "sent") || slice_is(text, "failed");
}

int
deliveries_list(struct api_request *r, struct api_reply *reply)
{
    struct slice state = api_query(r, "state"), id = api_query(r, "id");
    struct db_rows *rows = NULL;
    int64_t limit;
    const char *after, *time, *behind;
    char count[24];
    int err = api_page(r, reply, &limit, &after);
    if (err)
        return err;
    if (!read_place(&r->arena, after, &time, &behind))
        return api_problem(reply, 400, "invalid_cursor", "cursor: not one that this list gave");
    if (state.at && !is_state(state))
        return api_problem(reply, 400, "invalid_parameter",
                           "state: must be pending, sent or failed");
    if (id.at && !is_uuid(id))
        return api_problem(reply, 400, "invalid_parameter", "id: must be a UUID");
    snprintf(count, sizeof(count), "%lld", (long long)limit + 1);
    const char *const params[] = {
        time, behind, count, api_query(r, "alert").at, api_query(r, "budget").at, state.at, id.at};
    err = db_query(r->db, list_sql, params, 7, &rows);
    err = err ? api_fail(r, reply, err) : reply_page(r, reply, rows, limit);
    db_rows_free(rows);
    return err;
}

/* --- tests ------------------------------------------------------------------------------------ */

static int
enqueue(struct api_request *r, struct api_reply *reply, const char *alert)
{
    const char *const params[] = {alert, r->actor};
    struct db_rows *rows = NULL;
    int err = db_query(r->db,
                       "INSERT INTO alert_deliveries (alert, event) VALUES ($1, "
                       "jsonb_build_object('type', 'alert.test', 'timestamp', " STAMP(
                           "now()") ", 'data', jsonb_build_object('actor', $2::text))) "
                                    "RETURNING " DELIVERY,
                       params, 2, &rows);
    if (!err)
        err = json_parse(db_slice(rows, 0, 0), &reply->body, NULL, 0);
    db_rows_free(rows);
    snprintf(reply->audit_object, sizeof(reply->audit_object), "alerts/%s", alert);
    reply->status = 202;
    return err ? api_fail(r, reply, err) : 0;
}

/* A job sends it: within a second or two, once. */
int
alerts_test(struct api_request *r, struct api_reply *reply)
{
    struct item item;
    int err = items_find(r->db, kind_at(KIND_ALERTS), r->params[0], &item);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no alert '%.*s'",
                           (int)(r->params[0].len < 200 ? r->params[0].len : 200), r->params[0].at);
    if (err)
        return api_fail(r, reply, err);
    err = enqueue(r, reply, item.name);
    item_free(&item);
    return err;
}

/* --- warnings --------------------------------------------------------------------------------- */

static int
warn_one(struct api_request *r, const struct change *c, struct json *warnings)
{
    const char *const params[] = {c->name};
    struct db_rows *rows = NULL;
    struct buf text;
    int err = db_query(r->db,
                       "SELECT FROM config_items a JOIN config_items b ON b.kind = 'budgets' "
                       "AND headgate_alert_covers(a.body, b.name, b.body) "
                       "WHERE a.kind = 'alerts' AND a.name = $1 LIMIT 1",
                       params, 1, &rows);
    bool covers = db_count(rows) > 0;
    db_rows_free(rows);
    if (err || covers)
        return err;
    buf_init(&text, 2048);
    err = buf_addf(&text, "%s%sno budget is of alert '%s': it tells nothing until there is one",
                   c->path, c->path[0] ? ": " : "", c->name);
    if (!err)
        err = json_append(warnings, json_new_text(buf_slice(&text)));
    buf_free(&text);
    return err;
}

int
alerts_warn(struct api_request *r, const struct changes *c, struct json *warnings)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++)
        if (c->at[i].kind->id == KIND_ALERTS && c->at[i].after)
            err = warn_one(r, &c->at[i], warnings);
    return err;
}
