/* The audit log, to be read and proved. It is written by the dispatcher only. */
#include "controlplane/store/audit.h"

#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/plane.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static struct json *
row_json(const struct db_rows *rows, size_t i)
{
    struct json *out = json_new_map(), *detail = NULL;
    if (out && json_parse(db_slice(rows, i, 5), &detail, NULL, 0) == 0 &&
        json_set_int(out, "seq", db_int(rows, i, 0)) == 0 &&
        json_set_str(out, "at", db_text(rows, i, 1)) == 0 &&
        json_set_str(out, "actor", db_text(rows, i, 2)) == 0 &&
        json_set_str(out, "action", db_text(rows, i, 3)) == 0 &&
        json_set_str(out, "object", db_text(rows, i, 4)) == 0 &&
        json_set(out, "detail", json_ref(detail)) == 0 &&
        json_set_str(out, "request_id", db_text(rows, i, 6)) == 0 &&
        json_set_str(out, "hash", db_text(rows, i, 7)) == 0) {
        json_free(detail);
        return out;
    }
    json_free(detail);
    json_free(out);
    return NULL;
}

int
audit_list(struct api_request *r, struct api_reply *reply)
{
    int64_t limit;
    const char *after;
    char count[24];
    unsigned long long below = 0;
    struct db_rows *rows = NULL;
    int err = api_page(r, reply, &limit, &after);
    if (err)
        return err;
    if (after[0] && slice_to_u64(slice_of(after), &below) != 0)
        return api_problem(reply, 400, "invalid_cursor", "cursor: not one that this list gave");
    snprintf(count, sizeof(count), "%lld", (long long)limit + 1);
    const char *const params[] = {after[0] ? after : NULL, api_query(r, "actor").at,
                                  api_query(r, "action").at, api_query(r, "object").at, count};
    err = db_query(
        r->db,
        "SELECT seq, " STAMP(
            "at") ", actor, action, object, detail, request_id, "
                  "encode(hash, 'hex') FROM audit_log WHERE ($1::bigint IS NULL OR seq < "
                  "$1::bigint) "
                  "AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3) "
                  "AND ($4::text IS NULL OR object = $4) ORDER BY seq DESC LIMIT $5::bigint",
        params, 5, &rows);
    if (err)
        return api_fail(r, reply, err);
    bool more = db_count(rows) > (size_t)limit;
    size_t n = more ? (size_t)limit : db_count(rows);
    struct json *data = json_new_list();
    for (size_t i = 0; i < n && !err; i++)
        err = json_append(data, row_json(rows, i));
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
set_verdict(struct json *body, const struct audit_verdict *v)
{
    int err = json_set_bool(body, "ok", v->first_bad == 0);
    if (!err)
        err = json_set_int(body, "rows", v->rows);
    if (!err)
        err = json_set_int(body, "head_seq", v->head.seq);
    if (!err)
        err = json_set_str(body, "head_hash", v->head.hash);
    if (!err)
        err = json_set_int(body, "anchors", (int64_t)v->anchors);
    if (!err)
        err = json_set(body, "first_bad",
                       v->first_bad ? json_new_int(v->first_bad) : json_new_null());
    return err ? err : json_set_str(body, "reason", v->first_bad ? v->reason : NULL);
}

int
audit_verify_now(struct api_request *r, struct api_reply *reply)
{
    char path[4096];
    size_t line = 0;
    struct audit_anchors anchors;
    struct audit_verdict verdict;
    audit_anchor_path(r->plane->config.state_dir, path, sizeof(path));
    int err = audit_anchors_load(path, r->plane->sign_public, &anchors, &line);
    if (err == ERR_AUTH || err == ERR_SYNTAX)
        return api_problem(
            reply, 500, "anchors_damaged",
            "line %zu of the file of exported heads is damaged or not signed by this "
            "installation",
            line);
    if (err)
        return api_fail(r, reply, err);
    err = audit_verify(r->db, &anchors, &verdict);
    audit_anchors_free(&anchors);
    if (err)
        return api_fail(r, reply, err);
    reply->body = json_new_map();
    return reply->body && set_verdict(reply->body, &verdict) == 0 ? 0
                                                                  : api_fail(r, reply, ERR_NOMEM);
}
