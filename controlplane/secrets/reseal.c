/* See reseal.h. */
#include "controlplane/secrets/reseal.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/crash.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"

#define BASE64(bytes) "translate(encode(" bytes ", 'base64'), E'\\n', '')"
#define NEW_TEXT BASE64("decode($3, 'hex')")

/* The statements of a place: id and context are texts, bytes the sealed value. `update` gives a
 * value: $1 is the id, $2 what was read, $3 what takes its place, both in hexadecimal. */
#define PLACE(name, id, context, bytes, from, update)                                              \
    {                                                                                              \
        name,                                                                                      \
            "SELECT " id ", " context ", encode(" bytes ", 'hex') FROM " from " AND substr(" bytes \
            ", 1, 5) <> decode('02' || $1, 'hex') ORDER BY 1 "                                     \
            "LIMIT $2::bigint OFFSET $3::bigint",                                                  \
            "SELECT CASE WHEN substr(b, 1, 1) = '\\x02'::bytea THEN encode(substr(b, 2, 4), "      \
            "'hex') ELSE '' END AS k, count(*) FROM (SELECT " bytes " AS b FROM " from             \
            ") AS x GROUP BY 1 ORDER BY 1",                                                        \
            update                                                                                 \
    }

/* Items with a credential, and under what it is sealed: see secrets_store_credential(). */
#define KINDS "kind IN ('providers', 'alerts', 'sign_ins')"
#define OWNER                                                                                      \
    "CASE kind WHEN 'providers' THEN 'provider/' WHEN 'alerts' THEN 'alert/' "                     \
    "ELSE 'sign_in/' END || name"

/* In the past of such an item: before a change, and after it. */
#define REVISIONS(side)                                                                            \
    PLACE("revisions_" side, "json_build_array(revision, kind, name)::text", OWNER,                \
          "decode(" side " -> 'credential' ->> 'sealed', 'base64')",                               \
          "revision_changes WHERE " KINDS " AND " side                                             \
          " -> 'credential' ->> 'sealed' IS NOT NULL",                                             \
          "SELECT headgate_reseal_revision(($1::json ->> 0)::bigint, $1::json ->> 1, $1::json "    \
          "->> 2, '" side "', decode($2, 'hex'), decode($3, 'hex'))")

static const struct place {
    const char *name, *list, *count, *update;
} places[] = {
    PLACE("settings", "name", "name",
          "CASE WHEN name IN ('pepper', 'fingerprint') THEN decode(value, 'base64') END",
          "settings WHERE name IN ('pepper', 'fingerprint')",
          "SELECT headgate_reseal_setting($1, decode($2, 'hex'), decode($3, 'hex'))"),
    PLACE("credentials", "json_build_array(kind, name)::text", OWNER,
          "decode(body -> 'credential' ->> 'sealed', 'base64')",
          "config_items WHERE " KINDS " AND body -> 'credential' ->> 'sealed' IS NOT NULL",
          "UPDATE config_items SET body = jsonb_set(body, '{credential,sealed}', "
          "to_jsonb(" NEW_TEXT
          ")) WHERE kind = $1::json ->> 0 AND name = $1::json ->> 1 AND decode(body -> "
          "'credential' ->> 'sealed', 'base64') = decode($2, 'hex')"),
    REVISIONS("before"),
    REVISIONS("after"),
    PLACE("references", "reference", "'reference/' || reference", "sealed",
          "secret_references WHERE sealed IS NOT NULL",
          "UPDATE secret_references SET sealed = decode($3, 'hex') WHERE reference = $1 "
          "AND sealed = decode($2, 'hex')"),
    PLACE("answers", "json_build_array(actor, key)::text", "'answer/' || actor || '/' || key",
          "answer", "idempotency_keys WHERE true",
          "SELECT headgate_reseal_answer($1::json ->> 0, $1::json ->> 1, decode($2, 'hex'), "
          "decode($3, 'hex'))"),
};
#define PLACES (sizeof(places) / sizeof(places[0]))

static int
open_hex(const struct keyring *ring, struct slice context, struct slice hex,
         struct secret *ret_plain)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    char *room = buf_reserve(&bytes, hex.len / 2 + 1);
    int err = room ? hex_decode(hex, room, hex.len / 2) : ERR_NOMEM;
    if (!err)
        err = keyring_unseal(ring, context, slice_make(room, hex.len / 2), ret_plain);
    buf_free(&bytes);
    return err;
}

static int
seal_hex(const struct keyring *ring, struct slice context, struct slice plain, char **ret_hex)
{
    size_t n = plain.len + SEAL_OVERHEAD_BYTES;
    unsigned char *bytes = malloc(n);
    char *hex = malloc(2 * n + 1);
    int err = bytes && hex ? keyring_seal(ring, context, plain, bytes) : ERR_NOMEM;
    if (err) {
        free(hex);
    } else {
        hex_encode(bytes, n, hex);
        *ret_hex = hex;
    }
    free(bytes);
    return err;
}

/* One value: 0; ERR_AUTH, ERR_NOT_FOUND, ERR_SYNTAX: nothing here opens it. */
static int
reseal_one(const struct place *p, const struct keyring *ring, struct db *db, const char *id,
           struct slice context, struct slice old)
{
    struct secret plain = {0};
    char *hex = NULL;
    int err = open_hex(ring, context, old, &plain);
    if (err)
        return err;
    err = seal_hex(ring, context, secret_reveal(&plain), &hex);
    secret_free(&plain);
    const char *const params[] = {id, old.at, hex};
    if (!err)
        err = db_query(db, p->update, params, 3, NULL);
    free(hex);
    if (!err)
        CRASHPOINT("reseal.value");
    return err;
}

static int
reseal_row(const struct place *p, const struct keyring *ring, struct db *db,
           const struct db_rows *rows, size_t i, struct reseal_result *result)
{
    int err =
        reseal_one(p, ring, db, db_text(rows, i, 0), db_slice(rows, i, 1), db_slice(rows, i, 2));
    if (err == ERR_AUTH || err == ERR_NOT_FOUND || err == ERR_SYNTAX) {
        log_error("reseal.stuck", F_STR("place", p->name), F_STR("id", db_text(rows, i, 0)),
                  F_ERR(err));
        snprintf(result->stuck_place, sizeof(result->stuck_place), "%s", p->name);
        result->stuck++;
        return 0;
    }
    if (!err)
        result->sealed++;
    return err;
}

/* What is stuck stays on the list: it is stepped over. */
static int
reseal_place(const struct place *p, const struct keyring *ring, struct db *db, size_t most,
             struct reseal_result *result)
{
    char id[KEYRING_ID_TEXT], limit[24], offset[24];
    const char *const params[] = {id, limit, offset};
    size_t stuck_before = result->stuck, got = 1;
    int err = 0;
    keyring_id_text(ring, 0, id);
    while (!err && got > 0 && result->sealed < most) {
        struct db_rows *rows = NULL;
        snprintf(limit, sizeof(limit), "%zu", most - result->sealed);
        snprintf(offset, sizeof(offset), "%zu", result->stuck - stuck_before);
        err = db_query(db, p->list, params, 3, &rows);
        got = err ? 0 : db_count(rows);
        for (size_t i = 0; i < got && !err; i++)
            err = reseal_row(p, ring, db, rows, i, result);
        db_rows_free(rows);
    }
    return err;
}

int
reseal_some(struct secrets *s, struct db *db, size_t most, struct reseal_result *ret_result)
{
    struct keyring ring;
    int err = 0;
    *ret_result = (struct reseal_result){0};
    secrets_ring(s, &ring);
    for (size_t i = 0; i < PLACES && !err && ret_result->sealed < most; i++)
        err = reseal_place(&places[i], &ring, db, most, ret_result);
    keyring_wipe(&ring);
    return err;
}

int
reseal_count(struct db *db, int (*visit)(void *ctx, const struct reseal_count *c), void *ctx)
{
    int err = 0;
    for (size_t i = 0; i < PLACES && !err; i++) {
        struct db_rows *rows = NULL;
        err = db_query(db, places[i].count, NULL, 0, &rows);
        for (size_t j = 0; j < db_count(rows) && !err; j++) {
            struct reseal_count c = {places[i].name, db_slice(rows, j, 0), db_int(rows, j, 1)};
            err = visit(ctx, &c);
        }
        db_rows_free(rows);
    }
    return err;
}
