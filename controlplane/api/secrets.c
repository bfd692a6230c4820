/* GET /api/v1/secrets: how each item's reference stands; POST /api/v1/secrets/refresh. */
#include <stdio.h>

#include "controlplane/api/api.h"
#include "controlplane/api/handlers.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define MANAGED "'^(vault|aws-sm|aws-ssm|gcp-sm|azure-kv):'"

/* env: and file: are looked at by every daemon itself: nothing of them is in the database. */
/* clang-format off */
static const char list_sql[] =
    "SELECT i.name || '/' || i.kind, json_build_object('kind', rtrim(i.kind, 's'), 'name', i.name, "
    "'reference', i.body ->> 'credential', "
    "'state', CASE WHEN i.body ->> 'credential' !~ " MANAGED " THEN 'local' "
    "WHEN coalesce(r.problem, '') <> '' THEN CASE WHEN r.sealed IS NULL THEN 'unresolved' "
    "ELSE 'stale' END WHEN r.sealed IS NULL THEN 'pending' ELSE 'resolved' END, "
    "'last_success', " STAMP("r.resolved_at") ", 'last_try', " STAMP("r.tried_at") ", "
    "'last_error', nullif(r.problem, ''), 'asked', r.wanted_at IS NOT NULL) "
    "FROM config_items AS i LEFT JOIN secret_references AS r "
    "ON r.reference = i.body ->> 'credential' WHERE i.kind IN ('providers', 'alerts', 'sign_ins') "
    "AND i.body ->> 'credential' ~ '^(env|file|vault|aws-sm|aws-ssm|gcp-sm|azure-kv):' "
    "AND (i.name, i.kind) > (split_part($1, '/', 1), split_part($1, '/', 2)) "
    "ORDER BY i.name, i.kind LIMIT $2::bigint";
/* clang-format on */

static int
add_row(struct json *data, struct slice text)
{
    struct json *row = NULL;
    int err = json_parse(text, &row, NULL, 0);
    return err ? err : json_append(data, row);
}

int
secrets_list(struct api_request *r, struct api_reply *reply)
{
    int64_t limit;
    const char *after;
    char count[24];
    struct db_rows *rows = NULL;
    int err = api_page(r, reply, &limit, &after);
    if (err)
        return err;
    snprintf(count, sizeof(count), "%lld", (long long)limit + 1);
    const char *const params[] = {after, count};
    err = db_query(r->db, list_sql, params, 2, &rows);
    if (err)
        return api_fail(r, reply, err);
    bool more = db_count(rows) > (size_t)limit;
    size_t n = more ? (size_t)limit : db_count(rows);
    struct json *data = json_new_list();
    err = data ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < n && !err; i++)
        err = add_row(data, db_slice(rows, i, 1));
    if (err) {
        json_free(data);
        err = api_fail(r, reply, err);
    } else {
        err = api_page_reply(r, reply, data, more ? db_text(rows, n - 1, 0) : NULL);
    }
    db_rows_free(rows);
    return err;
}

static int
reply_count(struct api_request *r, struct api_reply *reply, struct slice provider, size_t count)
{
    struct json *body = json_new_map();
    int err = body ? json_set_int(body, "references", (int64_t)count) : ERR_NOMEM;
    if (err) {
        json_free(body);
        return api_fail(r, reply, err);
    }
    reply->body = body;
    snprintf(reply->audit_object, sizeof(reply->audit_object), "%s%.*s",
             provider.len ? "providers/" : "secrets", SLICE_ARG(provider));
    return 0;
}

/* A job does it: within a second, out of turn. */
int
secrets_refresh_now(struct api_request *r, struct api_reply *reply)
{
    struct slice provider = json_str(json_get(r->body, "provider"));
    char name[256];
    const char *const params[] = {provider.len ? name : NULL};
    struct db_rows *rows = NULL;
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(provider));
    int err =
        db_query(r->db,
                 "INSERT INTO secret_references (reference, wanted_at) SELECT DISTINCT "
                 "body ->> 'credential', clock_timestamp() FROM config_items WHERE "
                 "(kind = 'providers' OR (kind IN ('alerts', 'sign_ins') AND $1::text IS NULL)) "
                 "AND ($1::text IS NULL OR name = $1) AND body ->> 'credential' ~ " MANAGED
                 " ON CONFLICT (reference) DO UPDATE SET wanted_at = "
                 "excluded.wanted_at RETURNING reference",
                 params, 1, &rows);
    size_t count = db_count(rows);
    db_rows_free(rows);
    if (err)
        return api_fail(r, reply, err);
    if (provider.len && count == 0)
        return api_problem(reply, 404, "not_found",
                           "provider: none of this name has a reference to a secret manager");
    return reply_count(r, reply, provider, count);
}
