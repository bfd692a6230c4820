/* See sessions.h. */
#include "controlplane/store/sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/encode.h"
#include "lib/base/rand.h"

#define STAMP(what) "to_char(" what " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define IDLE_END "(s.seen_at + make_interval(secs => s.idle_s))"
#define IS_OVER "(s.ends_at <= now() OR " IDLE_END " <= now())"
/* A sign-in that is gone or disabled takes its sessions with it. */
#define LIVE                                                                                       \
    "JOIN config_items AS i ON i.kind = 'sign_ins' AND i.name = s.sign_in "                        \
    "AND coalesce(i.body ->> 'disabled', 'false') = 'false' "

static const char *
kind_text(enum session_kind kind)
{
    return kind == SESSION_CLI ? "cli" : "browser";
}

void
session_free(struct session *s)
{
    free(s->groups);
    s->groups = NULL;
}

static void
copy_cell(const struct db_rows *rows, size_t column, char *into, size_t room)
{
    snprintf(into, room, "%s", db_text(rows, 0, column));
}

static int
take_session(const struct db_rows *rows, enum session_kind kind, struct session *s)
{
    *s = (struct session){.kind = kind, .stale = db_bool(rows, 0, 8)};
    copy_cell(rows, 0, s->id, sizeof(s->id));
    copy_cell(rows, 1, s->user, sizeof(s->user));
    copy_cell(rows, 2, s->sign_in, sizeof(s->sign_in));
    copy_cell(rows, 3, s->created_at, sizeof(s->created_at));
    copy_cell(rows, 4, s->seen_at, sizeof(s->seen_at));
    copy_cell(rows, 5, s->idle_ends_at, sizeof(s->idle_ends_at));
    copy_cell(rows, 6, s->ends_at, sizeof(s->ends_at));
    s->groups = slice_dup(db_slice(rows, 0, 7));
    return s->groups ? 0 : ERR_NOMEM;
}

/* What the provider said is mapped as the item says now, not as it did at the sign-in. */
static const char find_sql[] =
    "SELECT s.id, s.user_name, s.sign_in, " STAMP("s.created_at") ", " STAMP(
        "s.seen_at") ", " STAMP(IDLE_END) ", " STAMP("s.ends_at") ", coalesce((SELECT "
                                                                  "jsonb_agg(DISTINCT m ->> "
                                                                  "'group') FROM "
                                                                  "jsonb_array_elements(coalesce(i."
                                                                  "body -> 'groups', "
                                                                  "'[]')) AS m WHERE s.claims ? (m "
                                                                  "->> 'claim')), '[]'), "
                                                                  "s.seen_at < now() - "
                                                                  "make_interval(secs => "
                                                                  "least(s.idle_s / 4, 60)), "
                                                                  "encode(s.digest, 'hex') "
                                                                  "FROM admin_sessions AS s " LIVE
                                                                  "WHERE s.digest = decode($1, "
                                                                  "'hex') AND s.kind = $2 AND "
                                                                  "NOT " IS_OVER;

int
session_find(struct db *db, enum session_kind kind, const unsigned char digest[static SHA256_BYTES],
             struct session *ret_session)
{
    char hex[2 * SHA256_BYTES + 1];
    struct db_rows *rows = NULL;
    const char *const params[] = {hex, kind_text(kind)};
    *ret_session = (struct session){.id = ""};
    hex_encode(digest, SHA256_BYTES, hex);
    int err = db_query(db, find_sql, params, 2, &rows);
    if (err)
        return err;
    if (db_count(rows) == 1 && db_slice(rows, 0, 9).len == 2 * SHA256_BYTES &&
        secret_equal(db_text(rows, 0, 9), hex, 2 * SHA256_BYTES))
        err = take_session(rows, kind, ret_session);
    else
        err = ERR_NOT_FOUND;
    db_rows_free(rows);
    return err;
}

int
session_touch(struct db *db, const struct session *s)
{
    const char *const params[] = {s->id};
    return db_query(db, "UPDATE admin_sessions SET seen_at = now() WHERE id = $1::uuid", params, 1,
                    NULL);
}

int
session_insert(struct db *db, const struct new_session *n,
               const unsigned char digest[static SHA256_BYTES], struct session *ret_session)
{
    char hex[2 * SHA256_BYTES + 1];
    unsigned char id[16];
    struct db_rows *rows = NULL;
    *ret_session = (struct session){.kind = n->kind};
    hex_encode(digest, SHA256_BYTES, hex);
    uuid7(id);
    uuid_format(id, ret_session->id);
    const char *const params[] = {ret_session->id, hex,        kind_text(n->kind),
                                  n->user,         n->sign_in, n->claims};
    int err = db_query(
        db,
        "INSERT INTO admin_sessions AS s (id, digest, kind, user_name, sign_in, claims, idle_s, "
        "ends_at) SELECT $1::uuid, decode($2, 'hex'), $3, $4, i.name, $6::jsonb, "
        "coalesce((i.body ->> 'session_idle_s')::integer, 3600), now() + make_interval(secs => "
        "coalesce((i.body ->> 'session_max_s')::integer, 43200)) FROM config_items AS i "
        "WHERE i.kind = 'sign_ins' AND i.name = $5 "
        "AND coalesce(i.body ->> 'disabled', 'false') = 'false' RETURNING " STAMP("ends_at"),
        params, 6, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        copy_cell(rows, 0, ret_session->ends_at, sizeof(ret_session->ends_at));
    db_rows_free(rows);
    snprintf(ret_session->user, sizeof(ret_session->user), "%s", n->user);
    snprintf(ret_session->sign_in, sizeof(ret_session->sign_in), "%s", n->sign_in);
    return err;
}

int
session_delete(struct db *db, const char *id, const char *user)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {id, user};
    int err = db_query(db,
                       "DELETE FROM admin_sessions WHERE id = $1::uuid "
                       "AND ($2::text IS NULL OR user_name = $2) RETURNING id",
                       params, 2, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    db_rows_free(rows);
    return err;
}

int
session_delete_by_digest(struct db *db, const unsigned char digest[static SHA256_BYTES])
{
    char hex[2 * SHA256_BYTES + 1];
    const char *const params[] = {hex};
    hex_encode(digest, SHA256_BYTES, hex);
    return db_query(db, "DELETE FROM admin_sessions WHERE digest = decode($1, 'hex')", params, 1,
                    NULL);
}

int
session_delete_of_user(struct db *db, const char *user)
{
    const char *const params[] = {user};
    int err = db_query(db, "DELETE FROM admin_sessions WHERE user_name = $1", params, 1, NULL);
    return err ? err
               : db_query(db, "DELETE FROM sign_in_codes WHERE user_name = $1", params, 1, NULL);
}

int
session_delete_of_sign_in(struct db *db, const char *sign_in)
{
    const char *const params[] = {sign_in};
    int err = db_query(db, "DELETE FROM admin_sessions WHERE sign_in = $1", params, 1, NULL);
    return err ? err
               : db_query(db, "DELETE FROM sign_in_codes WHERE sign_in = $1", params, 1, NULL);
}

static const char page_sql[] =
    "SELECT json_build_object('id', s.id, 'user', s.user_name, 'sign_in', s.sign_in, 'kind', "
    "s.kind, 'created_at', " STAMP("s.created_at") ", 'seen_at', " STAMP(
        "s.seen_at") ", 'idle_ends_at', " STAMP(IDLE_END) ", 'ends_at', " STAMP("s.ends_at") ") "
                                                                                             "FROM "
                                                                                             "admin"
                                                                                             "_sess"
                                                                                             "ions "
                                                                                             "AS "
                                                                                             "s"
                                                                                             " " LIVE
                                                                                             "WHERE"
                                                                                             " NOT"
                                                                                             " " IS_OVER
                                                                                             " AND "
                                                                                             "($1::"
                                                                                             "text "
                                                                                             "IS "
                                                                                             "NULL "
                                                                                             "OR "
                                                                                             "s."
                                                                                             "user_"
                                                                                             "name "
                                                                                             "= "
                                                                                             "$1) "
                                                                                             "AND "
                                                                                             "($2::"
                                                                                             "uuid "
                                                                                             "IS "
                                                                                             "NULL "
                                                                                             "OR "
                                                                                             "s.id "
                                                                                             "> "
                                                                                             "$2::"
                                                                                             "uuid)"
                                                                                             " "
                                                                                             "ORDER"
                                                                                             " BY "
                                                                                             "s.id "
                                                                                             "LIMIT"
                                                                                             " $3::"
                                                                                             "bigin"
                                                                                             "t";

int
session_page(struct db *db, const char *user, const char *after, int64_t limit, struct json *list)
{
    char count[24];
    struct db_rows *rows = NULL;
    const char *const params[] = {user, *after ? after : NULL, count};
    snprintf(count, sizeof(count), "%lld", (long long)limit);
    int err = db_query(db, page_sql, params, 3, &rows);
    for (size_t i = 0; i < db_count(rows) && !err; i++) {
        struct json *one = NULL;
        err = json_parse(db_slice(rows, i, 0), &one, NULL, 0);
        if (!err)
            err = json_append(list, one);
    }
    db_rows_free(rows);
    return err;
}

int
session_expire(struct db *db)
{
    return db_query(db, "DELETE FROM admin_sessions AS s WHERE " IS_OVER, NULL, 0, NULL);
}
