/* Revisions: list them, read one, go back to one. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/alerts.h"
#include "controlplane/api/applied.h"
#include "controlplane/api/handlers.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* ---- the end of apply and rollback ----------------------------------------------------------- */

static int
set_detail(struct api_reply *reply, const struct applied *a, int64_t revision, const char *note)
{
    struct json *detail = json_new_map();
    int err = detail ? change_detail(detail, a->changes, revision) : ERR_NOMEM;
    reply->audit_detail = detail;
    if (!err && note[0])
        err = json_set_str(detail, "note", note);
    if (!err && a->rollback_of >= 0)
        err = json_set_int(detail, "rollback_of", a->rollback_of);
    return err;
}

static int
set_body(struct api_reply *reply, const struct applied *a, int64_t revision)
{
    struct json *body = reply->body = json_new_map();
    int err = body ? json_set_int(body, "revision", revision) : ERR_NOMEM;
    if (!err)
        err = json_set_bool(body, "dry_run", a->dry_run);
    if (!err)
        err = json_set(body, "changes", change_list(a->changes, SIZE_MAX));
    /* A dry run's keys are thrown away: showing them would only mislead. */
    if (!err)
        err = json_set(body, "keys", a->dry_run ? json_new_list() : json_ref(a->keys));
    return err ? err : json_set(body, "warnings", json_ref(a->warnings));
}

int
applied_finish(struct api_request *r, struct api_reply *reply, const struct applied *a)
{
    struct slice note = json_str(json_get(r->body, "note"));
    struct revision_note row = {.author = r->actor,
                                .note = note.at ? note.at : "",
                                .source = a->source,
                                .rollback_of = a->rollback_of};
    int64_t revision = 0;
    int err = revision_current(r->db, &revision);
    if (err)
        return api_fail(r, reply, err);
    if (a->changes->count == 0)
        reply->unchanged = true;
    else if ((err = change_write(r, reply, a->changes, &row, a->warnings, &revision)) != 0)
        return err;
    snprintf(reply->audit_object, sizeof(reply->audit_object), "revisions/%lld",
             (long long)revision);
    reply->discard = a->dry_run;
    if (a->dry_run && a->changes->count > 0)
        revision--; /* the one that is in force goes on to be */
    err = alerts_warn(r, a->changes, a->warnings);
    if (!err)
        err = set_body(reply, a, revision);
    if (!err)
        err = set_detail(reply, a, revision, row.note);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
    "r.revision, " STAMP("r.created_at") ", r.author, r.note, r.source, r.rollback_of, "           \
                                         "(SELECT count(*) FROM revision_changes c WHERE "         \
                                         "c.revision = r.revision)"

static struct json *
revision_json(const struct db_rows *rows, size_t i)
{
    struct json *out = json_new_map();
    if (out && json_set_int(out, "revision", db_int(rows, i, 0)) == 0 &&
        json_set_str(out, "created_at", db_text(rows, i, 1)) == 0 &&
        json_set_str(out, "author", db_text(rows, i, 2)) == 0 &&
        json_set_str(out, "note", db_text(rows, i, 3)) == 0 &&
        json_set_str(out, "source", db_text(rows, i, 4)) == 0 &&
        json_set(out, "rollback_of",
                 db_is_null(rows, i, 5) ? json_new_null() : json_new_int(db_int(rows, i, 5))) ==
            0 &&
        json_set_int(out, "changes", db_int(rows, i, 6)) == 0)
        return out;
    json_free(out);
    return NULL;
}

int
revisions_list(struct api_request *r, struct api_reply *reply)
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
    const char *const params[] = {after[0] ? after : NULL, count};
    err = db_query(r->db,
                   "SELECT " COLUMNS " FROM revisions r WHERE $1::bigint IS NULL OR r.revision < "
                   "$1::bigint ORDER BY r.revision DESC LIMIT $2::bigint",
                   params, 2, &rows);
    if (err)
        return api_fail(r, reply, err);
    size_t n = db_count(rows);
    bool more = n > (size_t)limit;
    struct json *data = json_new_list();
    for (size_t i = 0; i < (more ? (size_t)limit : n) && !err; i++)
        err = json_append(data, revision_json(rows, i));
    if (err) {
        json_free(data);
        err = api_fail(r, reply, err);
    } else {
        err = api_page_reply(r, reply, data, more ? db_text(rows, (size_t)limit - 1, 0) : NULL);
    }
    db_rows_free(rows);
    return err;
}

static int
parse_number(struct api_request *r, struct api_reply *reply, int64_t *ret_revision)
{
    unsigned long long n = 0;
    if (slice_to_u64(r->params[0], &n) != 0 || n > INT64_MAX)
        return api_problem(reply, 404, "not_found", "a revision is a number");
    *ret_revision = (int64_t)n;
    return 0;
}

static int
load_changes(struct api_request *r, int64_t revision, struct changes *ret)
{
    char number[24];
    struct db_rows *rows = NULL;
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {number};
    int err = db_query(r->db,
                       "SELECT kind, name, before, after FROM revision_changes "
                       "WHERE revision = $1::bigint ORDER BY kind, name",
                       params, 1, &rows);
    for (size_t i = 0; i < db_count(rows) && !err; i++) {
        struct change *c = changes_add(ret);
        if (!c) {
            err = ERR_NOMEM;
            break;
        }
        c->kind = kind_find(db_slice(rows, i, 0));
        c->name = slice_dup(db_slice(rows, i, 1));
        err = c->kind && c->name ? 0 : ERR_IO;
        if (!err && !db_is_null(rows, i, 2))
            err = json_parse(db_slice(rows, i, 2), &c->before, NULL, 0);
        if (!err && !db_is_null(rows, i, 3))
            err = json_parse(db_slice(rows, i, 3), &c->after, NULL, 0);
    }
    db_rows_free(rows);
    return err;
}

int
revisions_get(struct api_request *r, struct api_reply *reply)
{
    int64_t revision = 0;
    char number[24];
    struct changes changes = {0};
    struct db_rows *rows = NULL;
    int err = parse_number(r, reply, &revision);
    if (err)
        return err;
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {number};
    err = db_query(r->db, "SELECT " COLUMNS " FROM revisions r WHERE r.revision = $1::bigint",
                   params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        err = load_changes(r, revision, &changes);
    if (!err) {
        reply->body = revision_json(rows, 0);
        err = reply->body ? json_set(reply->body, "changes", change_list(&changes, SIZE_MAX))
                          : ERR_NOMEM;
    }
    changes_free(&changes);
    db_rows_free(rows);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no revision %lld",
                           (long long)revision);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- going back ------------------------------------------------------------------------------ */

static int
warn_of_keys(const struct changes *c, struct json *warnings)
{
    char text[256];
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        if (c->at[i].kind->id != KIND_KEYS || c->at[i].before)
            continue;
        snprintf(text, sizeof(text), "the key '%s', deleted since, works again", c->at[i].name);
        err = json_append(warnings, json_new_text(slice_of(text)));
    }
    return err;
}

int
revisions_rollback(struct api_request *r, struct api_reply *reply)
{
    int64_t revision = 0;
    struct changes changes = {0};
    int err = parse_number(r, reply, &revision);
    if (err)
        return err;
    err = changes_back_to(r->db, revision, &changes);
    if (err == ERR_NOT_FOUND)
        return api_problem(reply, 404, "not_found", "there is no revision %lld",
                           (long long)revision);
    struct json *keys = json_new_list(), *warnings = json_new_list();
    if (!err)
        err = keys && warnings ? warn_of_keys(&changes, warnings) : ERR_NOMEM;
    if (err) {
        err = api_fail(r, reply, err);
    } else {
        struct applied outcome = {.changes = &changes,
                                  .keys = keys,
                                  .warnings = warnings,
                                  .dry_run = json_is_true(json_get(r->body, "dry_run")),
                                  .source = "rollback",
                                  .rollback_of = revision};
        err = applied_finish(r, reply, &outcome);
    }
    changes_free(&changes);
    json_free(keys);
    json_free(warnings);
    return err;
}
