/* See tokens.h. */
#include "controlplane/store/tokens.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/encode.h"
#include "lib/base/rand.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define COLUMNS                                                                                    \
    "name, id, coalesce(role, ''), prefix, created_by, " STAMP("created_at") ", coalesce(" STAMP(  \
        "expires_at") ", ''), coalesce(expires_at <= now(), false), encode(digest, 'hex'), "       \
                      "coalesce(user_name, '')"

static void
copy_cell(const struct db_rows *rows, size_t row, size_t column, char *into, size_t room)
{
    snprintf(into, room, "%s", db_text(rows, row, column));
}

static void
take_token(const struct db_rows *rows, size_t row, struct token *t)
{
    *t = (struct token){.expired = db_bool(rows, row, 7)};
    copy_cell(rows, row, 0, t->name, sizeof(t->name));
    copy_cell(rows, row, 1, t->id, sizeof(t->id));
    copy_cell(rows, row, 2, t->role, sizeof(t->role));
    copy_cell(rows, row, 3, t->prefix, sizeof(t->prefix));
    copy_cell(rows, row, 4, t->created_by, sizeof(t->created_by));
    copy_cell(rows, row, 5, t->created_at, sizeof(t->created_at));
    copy_cell(rows, row, 6, t->expires, sizeof(t->expires));
    copy_cell(rows, row, 9, t->user, sizeof(t->user));
}

int
token_find(struct db *db, const unsigned char digest[static SHA256_BYTES], struct token *ret_token)
{
    char hex[2 * SHA256_BYTES + 1];
    struct db_rows *rows = NULL;
    hex_encode(digest, SHA256_BYTES, hex);
    const char *const params[] = {hex};
    int err = db_query(db, "SELECT " COLUMNS " FROM admin_tokens WHERE digest = decode($1, 'hex')",
                       params, 1, &rows);
    if (err)
        return err;
    if (db_count(rows) == 1 && db_slice(rows, 0, 8).len == 2 * SHA256_BYTES &&
        secret_equal(db_text(rows, 0, 8), hex, 2 * SHA256_BYTES))
        take_token(rows, 0, ret_token);
    else
        err = ERR_NOT_FOUND;
    db_rows_free(rows);
    return err;
}

int
token_insert(struct db *db, struct token *t, const unsigned char digest[static SHA256_BYTES])
{
    char hex[2 * SHA256_BYTES + 1];
    unsigned char id[16];
    struct db_rows *rows = NULL;
    hex_encode(digest, SHA256_BYTES, hex);
    uuid7(id);
    uuid_format(id, t->id);
    const char *const params[] = {
        t->id,     t->name,       t->role[0] ? t->role : NULL,       hex,
        t->prefix, t->created_by, t->expires[0] ? t->expires : NULL, t->user[0] ? t->user : NULL};
    int err =
        db_query(db,
                 "INSERT INTO admin_tokens (id, name, role, digest, prefix, created_by, "
                 "expires_at, user_name) VALUES ($1::uuid, $2, $3, decode($4, 'hex'), $5, $6, "
                 "$7::timestamptz, $8) RETURNING " STAMP("created_at"),
                 params, 8, &rows);
    if (!err)
        copy_cell(rows, 0, 0, t->created_at, sizeof(t->created_at));
    db_rows_free(rows);
    return err;
}

int
token_get(struct db *db, struct slice name_or_id, struct token *ret_token)
{
    unsigned char id[16];
    bool by_id = uuid_parse(name_or_id.at, name_or_id.len, id) == 0;
    struct db_rows *rows = NULL;
    char *text = slice_dup(name_or_id);
    const char *const params[] = {text};
    if (!text)
        return ERR_NOMEM;
    int err = db_query(db,
                       by_id ? "SELECT " COLUMNS " FROM admin_tokens WHERE id = $1::uuid"
                             : "SELECT " COLUMNS " FROM admin_tokens WHERE name = $1",
                       params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        take_token(rows, 0, ret_token);
    db_rows_free(rows);
    free(text);
    return err;
}

int
token_delete(struct db *db, const char *id)
{
    const char *const params[] = {id};
    return db_query(db, "DELETE FROM admin_tokens WHERE id = $1::uuid", params, 1, NULL);
}

int
token_delete_of_user(struct db *db, const char *user)
{
    const char *const params[] = {user};
    return db_query(db, "DELETE FROM admin_tokens WHERE user_name = $1", params, 1, NULL);
}

int
token_page(struct db *db, const char *after, struct token *tokens, size_t limit, size_t *ret_count)
{
    char count[24];
    struct db_rows *rows = NULL;
    snprintf(count, sizeof(count), "%zu", limit);
    const char *const params[] = {after, count};
    int err = db_query(
        db, "SELECT " COLUMNS " FROM admin_tokens WHERE name > $1 ORDER BY name LIMIT $2::bigint",
        params, 2, &rows);
    *ret_count = 0;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        take_token(rows, i, &tokens[(*ret_count)++]);
    db_rows_free(rows);
    return err;
}

/* ---- idempotency keys ------------------------------------------------------------------------ */

static int
take_answer(const struct db_rows *rows, struct kept_answer *ret)
{
    ret->status = (int)db_int(rows, 0, 0);
    copy_cell(rows, 0, 1, ret->route, sizeof(ret->route));
    struct slice hex = db_slice(rows, 0, 3);
    char *room = buf_reserve(&ret->sealed, hex.len / 2 + 1);
    int err = hex_decode(db_slice(rows, 0, 2), ret->body_digest, SHA256_BYTES);
    if (!err)
        err = room ? hex_decode(hex, room, hex.len / 2) : ERR_NOMEM;
    if (!err)
        buf_commit(&ret->sealed, hex.len / 2);
    return err;
}

int
idempotency_find(struct db *db, const char *actor, const char *key, struct kept_answer *ret_answer)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {actor, key};
    *ret_answer = (struct kept_answer){0};
    buf_init(&ret_answer->sealed, 0);
    int err = db_query(db,
                       "SELECT status, route, encode(body_digest, 'hex'), encode(answer, 'hex') "
                       "FROM idempotency_keys WHERE actor = $1 AND key = $2 "
                       "AND created_at > now() - interval '24 hours'",
                       params, 2, &rows);
    if (!err)
        err = db_count(rows) == 0 ? ERR_NOT_FOUND : take_answer(rows, ret_answer);
    db_rows_free(rows);
    return err;
}

int
idempotency_keep(struct db *db, const char *actor, const char *key,
                 const struct kept_answer *answer)
{
    char digest[2 * SHA256_BYTES + 1], status[16];
    char *hex = malloc(2 * answer->sealed.len + 1);
    if (!hex)
        return ERR_NOMEM;
    hex_encode(answer->body_digest, SHA256_BYTES, digest);
    hex_encode(answer->sealed.at, answer->sealed.len, hex);
    snprintf(status, sizeof(status), "%d", answer->status);
    const char *const params[] = {actor, key, answer->route, digest, status, hex};
    /* One that is older than a day may still be there: it makes way. */
    int err =
        db_query(db, "DELETE FROM idempotency_keys WHERE actor = $1 AND key = $2", params, 2, NULL);
    if (!err)
        err = db_query(
            db,
            "INSERT INTO idempotency_keys (actor, key, route, body_digest, status, answer) "
            "VALUES ($1, $2, $3, decode($4, 'hex'), $5::integer, decode($6, 'hex'))",
            params, 6, NULL);
    free(hex);
    return err;
}

int
idempotency_expire(struct db *db)
{
    return db_query(db,
                    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'",
                    NULL, 0, NULL);
}
