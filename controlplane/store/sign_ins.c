/* See sign_ins.h. */
#include "controlplane/store/sign_ins.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/encode.h"

/* A text that becomes a macro's number. */
#define TEXT_(n) #n
#define TEXT(n) TEXT_(n)

void
sign_in_free(struct sign_in *s)
{
    json_free(s->body);
    json_free(s->endpoints);
    json_free(s->keys);
    s->body = s->endpoints = s->keys = NULL;
}

static int
take_document(const struct db_rows *rows, size_t column, struct json **ret)
{
    return db_is_null(rows, 0, column) ? 0 : json_parse(db_slice(rows, 0, column), ret, NULL, 0);
}

int
sign_in_load(struct db *db, const char *name, struct sign_in *ret)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {name};
    *ret = (struct sign_in){.name = ""};
    int err =
        db_query(db,
                 "SELECT i.name, i.body, p.endpoints, p.keys, coalesce(p.problem, '') "
                 "FROM config_items AS i LEFT JOIN sign_in_providers AS p ON p.sign_in = i.name "
                 "AND p.issuer = i.body ->> 'issuer' WHERE i.kind = 'sign_ins' AND i.name = $1 "
                 "AND coalesce(i.body ->> 'disabled', 'false') = 'false'",
                 params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    if (!err) {
        snprintf(ret->name, sizeof(ret->name), "%s", db_text(rows, 0, 0));
        snprintf(ret->problem, sizeof(ret->problem), "%s", db_text(rows, 0, 4));
        err = take_document(rows, 1, &ret->body);
    }
    if (!err)
        err = take_document(rows, 2, &ret->endpoints);
    if (!err)
        err = take_document(rows, 3, &ret->keys);
    db_rows_free(rows);
    if (err)
        sign_in_free(ret);
    return err;
}

int
sign_in_names(struct db *db, struct json **ret_names)
{
    struct db_rows *rows = NULL;
    struct json *names = json_new_list();
    int err = names ? db_query(db,
                               "SELECT name FROM config_items WHERE kind = 'sign_ins' AND "
                               "coalesce(body ->> 'disabled', 'false') = 'false' "
                               "ORDER BY name LIMIT 100",
                               NULL, 0, &rows)
                    : ERR_NOMEM;
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = json_append(names, json_new_text(db_slice(rows, i, 0)));
    db_rows_free(rows);
    if (err)
        json_free(names);
    else
        *ret_names = names;
    return err;
}

/* ---- once ------------------------------------------------------------------------------------ */

int
sign_in_take_answer(struct db *db, const unsigned char digest[static SHA256_BYTES])
{
    char hex[2 * SHA256_BYTES + 1];
    const char *const params[] = {hex};
    hex_encode(digest, SHA256_BYTES, hex);
    return db_query(db, "INSERT INTO sign_in_answers (digest) VALUES (decode($1, 'hex'))", params,
                    1, NULL);
}

int
sign_in_check_account(struct db *db, const char *issuer, const char *user, const char *subject)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {issuer, user, subject};
    int err = db_query(db,
                       "INSERT INTO sign_in_accounts (issuer, user_name, subject) "
                       "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                       params, 3, NULL);
    if (!err)
        err = db_query(db,
                       "SELECT 1 FROM sign_in_accounts WHERE issuer = $1 AND user_name = $2 "
                       "AND subject = $3",
                       params, 3, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_DENIED;
    db_rows_free(rows);
    return err;
}

int
sign_in_forget_user(struct db *db, const char *user)
{
    const char *const params[] = {user};
    return db_query(db, "DELETE FROM sign_in_accounts WHERE user_name = $1", params, 1, NULL);
}

/* ---- codes ----------------------------------------------------------------------------------- */

int
sign_in_code_insert(struct db *db, const unsigned char digest[static SHA256_BYTES],
                    const struct sign_in_code *code)
{
    char hex[2 * SHA256_BYTES + 1];
    const char *const params[] = {hex, code->challenge, code->user, code->sign_in, code->claims};
    hex_encode(digest, SHA256_BYTES, hex);
    return db_query(db,
                    "INSERT INTO sign_in_codes (digest, challenge, user_name, sign_in, claims) "
                    "VALUES (decode($1, 'hex'), $2, $3, $4, $5::jsonb)",
                    params, 5, NULL);
}

int
sign_in_code_take(struct db *db, const unsigned char digest[static SHA256_BYTES],
                  struct sign_in_code *ret)
{
    char hex[2 * SHA256_BYTES + 1];
    struct db_rows *rows = NULL;
    const char *const params[] = {hex};
    *ret = (struct sign_in_code){.claims = NULL};
    hex_encode(digest, SHA256_BYTES, hex);
    int err = db_query(db,
                       "DELETE FROM sign_in_codes WHERE digest = decode($1, 'hex') RETURNING "
                       "user_name, sign_in, challenge, claims, made_at > now() - "
                       "interval '" TEXT(SIGN_IN_CODE_LIFE_S) " s'",
                       params, 1, &rows);
    if (!err && (db_count(rows) == 0 || !db_bool(rows, 0, 4)))
        err = ERR_NOT_FOUND;
    if (!err) {
        snprintf(ret->user, sizeof(ret->user), "%s", db_text(rows, 0, 0));
        snprintf(ret->sign_in, sizeof(ret->sign_in), "%s", db_text(rows, 0, 1));
        snprintf(ret->challenge, sizeof(ret->challenge), "%s", db_text(rows, 0, 2));
        ret->claims = slice_dup(db_slice(rows, 0, 3));
        err = ret->claims ? 0 : ERR_NOMEM;
    }
    db_rows_free(rows);
    return err;
}

int
sign_in_expire(struct db *db)
{
    static const char *const sql[] = {
        /* Twice its life: no clock is so wrong that an answer could come back. */
        "DELETE FROM sign_in_answers WHERE used_at < now() - 2 * interval '" TEXT(
            SIGN_IN_LIFE_S) " s'",
        "DELETE FROM sign_in_codes WHERE made_at < now() - interval '" TEXT(
            SIGN_IN_CODE_LIFE_S) " s'",
        "DELETE FROM sign_in_providers AS p WHERE NOT EXISTS (SELECT FROM config_items "
        "WHERE kind = 'sign_ins' AND name = p.sign_in)",
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]) && !err; i++)
        err = db_query(db, sql[i], NULL, 0, NULL);
    return err;
}
