/* See issuers.h. */
#include "controlplane/jobs/issuers.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/publish/publish.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/http/ask.h"
#include "lib/json/scan.h"
#include "lib/policy/policy.h"
#include "lib/sign/bearer.h"

#define FETCH_MS 5000
#define WELL_KNOWN "/.well-known/openid-configuration"

/* ---- a JWK set ------------------------------------------------------------------------------- */

static const char *
kind_name(enum bearer_kind kind)
{
    switch (kind) {
    case BEARER_RSA:
        return "rsa";
    case BEARER_P256:
        return "p256";
    case BEARER_ED25519:
        return "ed25519";
    }
    return "";
}

static struct json *
key_json(const struct bearer_jwk *k)
{
    struct json *out = json_new_map();
    char *hex = malloc(2 * k->der.len + 1);
    int err = out && hex ? 0 : ERR_NOMEM;
    if (!err)
        hex_encode(k->der.at, k->der.len, hex);
    if (!err)
        err = json_set_text(out, "kid", k->id);
    if (!err)
        err = json_set_str(out, "kind", kind_name(k->kind));
    if (!err)
        err = json_set_str(out, "der", hex);
    free(hex);
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

/* Adds the key when it is of use; others are passed over. */
static int
add_key(struct slice json, struct json *keys)
{
    struct bearer_jwk k;
    struct arena a;
    arena_init(&a, (size_t)1 << 20);
    int err = bearer_jwk_read(json, &a, &k);
    if (!err)
        err = json_append(keys, key_json(&k));
    else if (err == ERR_NOT_FOUND || err == ERR_SYNTAX)
        err = 0;
    arena_free(&a);
    return err;
}

int
issuers_read_keys(struct slice text, struct json **ret_keys)
{
    static const char *const names[] = {"keys"};
    struct json_span list, name, value;
    struct json_error why;
    if (json_scan(text, &json_limits_default, names, 1, &list, NULL, &why) != 0 ||
        list.kind != JSON_LIST)
        return ERR_SYNTAX;
    struct json *keys = json_new_list();
    size_t cursor = list.start;
    int err = keys ? 0 : ERR_NOMEM;
    while (!err && json_next(text, list, &cursor, &name, &value)) {
        err = add_key(json_raw(text, value), keys);
        if (!err && json_size(keys) > LIMIT_ISSUER_KEYS)
            err = ERR_LIMIT;
    }
    if (!err)
        *ret_keys = keys;
    else
        json_free(keys);
    return err;
}

/* ---- fetching -------------------------------------------------------------------------------- */

struct issuer {
    const char *name, *revision; /* of the database's row */
    struct slice url, jwks_url;  /* jwks_url: "" to look it up */
    struct ask ask;
};

/* A document of the issuer's, parsed later: its text. The caller frees. */
static int
fetch(struct issuer *i, struct slice url, const char *what, struct http_answer *ret_answer)
{
    const struct ask_call call = {.what = what, .method = SLICE("GET"), .url = url};
    int err = ask_http(&i->ask, &call, ret_answer);
    if (!err && ret_answer->status != 200)
        err = ask_fail(&i->ask, ERR_UNAVAILABLE, "%s: status %d", what, ret_answer->status);
    return err;
}

/* The OpenID configuration must speak for this very issuer (OpenID Connect Discovery 4.3). */
static int
discover(struct issuer *i, char *ret_url, size_t room)
{
    char at[2200];
    struct json *document = NULL;
    struct http_answer answer;
    struct slice base = i->url;
    while (base.len && base.at[base.len - 1] == '/')
        base.len--;
    snprintf(at, sizeof(at), "%.*s" WELL_KNOWN, SLICE_ARG(base));
    int err = fetch(i, slice_of(at), "OpenID configuration", &answer);
    if (!err && json_parse(buf_slice(&answer.body), &document, NULL, 0) != 0)
        err = ask_fail(&i->ask, ERR_UNAVAILABLE, "OpenID configuration: no JSON");
    if (!err && !slice_eq(json_str(json_get(document, "issuer")), i->url))
        err = ask_fail(&i->ask, ERR_UNAVAILABLE,
                       "OpenID configuration: it speaks for another issuer");
    struct slice url = json_str(json_get(document, "jwks_uri"));
    if (!err && (!url.at || url.len >= room))
        err = ask_fail(&i->ask, ERR_UNAVAILABLE,
                       "OpenID configuration: jwks_uri is missing or too long");
    if (!err)
        snprintf(ret_url, room, "%.*s", SLICE_ARG(url));
    json_free(document);
    http_answer_free(&answer);
    return err;
}

static int
fetch_keys(struct issuer *i, struct json **ret_keys)
{
    char url[2048];
    struct http_answer answer;
    int err = 0;
    if (i->jwks_url.len)
        snprintf(url, sizeof(url), "%.*s", SLICE_ARG(i->jwks_url));
    else
        err = discover(i, url, sizeof(url));
    if (err)
        return err;
    err = fetch(i, slice_of(url), "keys", &answer);
    if (!err && issuers_read_keys(buf_slice(&answer.body), ret_keys) != 0)
        err = ask_fail(&i->ask, ERR_UNAVAILABLE, "keys: no set of at most %d keys",
                       LIMIT_ISSUER_KEYS);
    if (!err && json_size(*ret_keys) == 0) {
        json_free(*ret_keys);
        err = ask_fail(&i->ask, ERR_UNAVAILABLE, "keys: none for RS256, ES256 or EdDSA");
    }
    http_answer_free(&answer);
    return err;
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* 1: keys came or went. In a transaction. */
static int
replace_keys(struct db *db, const struct issuer *i, const char *url, const char *keys)
{
    const char *const params[] = {i->name, url, keys};
    struct db_rows *gone = NULL, *came = NULL;
    int err = db_query(db,
                       "DELETE FROM issuer_keys AS i WHERE i.issuer = $1 AND NOT EXISTS "
                       "(SELECT FROM jsonb_array_elements($3::jsonb) AS k WHERE i.url = $2 "
                       "AND k ->> 'kid' = i.kid AND k ->> 'kind' = i.kind "
                       "AND k ->> 'der' = encode(i.der, 'hex')) RETURNING kid",
                       params, 3, &gone);
    if (!err)
        err = db_query(db,
                       "INSERT INTO issuer_keys (issuer, url, kid, kind, der) SELECT $1, $2, "
                       "k ->> 'kid', k ->> 'kind', decode(k ->> 'der', 'hex') "
                       "FROM jsonb_array_elements($3::jsonb) AS k ON CONFLICT DO NOTHING "
                       "RETURNING kid",
                       params, 3, &came);
    int changed = err ? 0 : db_count(gone) + db_count(came) > 0;
    db_rows_free(gone);
    db_rows_free(came);
    if (changed)
        err = db_query(db, "NOTIFY " PUBLISH_CHANNEL, NULL, 0, NULL);
    return err ? err : changed;
}

static int
note_state(struct db *db, const struct issuer *i)
{
    const char *const params[] = {i->name, i->revision, i->ask.why};
    return db_query(db,
                    "INSERT INTO issuer_state AS s (issuer, revision, fetched_at, problem) "
                    "VALUES ($1, $2::bigint, CASE WHEN $3 = '' THEN now() END, $3) "
                    "ON CONFLICT (issuer) DO UPDATE SET revision = excluded.revision, "
                    "tried_at = now(), problem = excluded.problem, "
                    "fetched_at = coalesce(excluded.fetched_at, s.fetched_at)",
                    params, 3, NULL);
}

/* keys NULL: they could not be fetched. 1: something changed. */
static int
keep(struct db *db, const struct issuer *i, const struct json *keys)
{
    struct buf text, url;
    int changed = 0;
    buf_init(&text, 0);
    buf_init(&url, 0);
    int err = buf_add_slice(&url, i->url);
    if (!err && keys)
        err = json_write(keys, false, 0, &text);
    const char *key_text = !err && keys ? buf_str(&text) : NULL, *url_text = buf_str(&url);
    if (!err && (!url_text || (keys && !key_text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_begin(db);
    if (!err && keys && (changed = replace_keys(db, i, url_text, key_text)) < 0)
        err = changed;
    if (!err)
        err = note_state(db, i);
    if (!err)
        err = db_commit(db);
    if (err)
        db_rollback(db);
    buf_free(&text);
    buf_free(&url);
    return err ? err : changed;
}

/* 1: something changed. */
static int
refresh_one(struct db *db, struct tls_client *tls, const struct db_rows *rows, size_t at)
{
    struct json *body = NULL, *keys = NULL;
    struct issuer i = {.name = db_text(rows, at, 0),
                       .revision = db_text(rows, at, 2),
                       .ask = {.tls = tls, .total_ms = FETCH_MS}};
    int err = json_parse(db_slice(rows, at, 1), &body, NULL, 0);
    if (err)
        return err;
    i.url = json_str(json_get(body, "issuer"));
    i.jwks_url = json_str(json_get(body, "jwks_url"));
    i.ask.allow_private = json_is_true(json_get(body, "allow_private"));
    bool was_well = db_slice(rows, at, 3).len == 0;
    bool fetched = fetch_keys(&i, &keys) == 0;
    if (!fetched && was_well)
        log_warn("issuer.unreachable", F_STR("issuer", i.name), F_STR("why", i.ask.why));
    if (fetched && !was_well)
        log_info("issuer.works_again", F_STR("issuer", i.name));
    int changed = keep(db, &i, fetched ? keys : NULL);
    if (changed > 0)
        log_info("issuer.keys_changed", F_STR("issuer", i.name),
                 F_INT("keys", (int64_t)json_size(keys)));
    if (fetched)
        json_free(keys);
    json_free(body);
    return changed;
}

static int
forget_orphans(struct db *db)
{
    int err = db_query(db,
                       "DELETE FROM issuer_keys AS k WHERE NOT EXISTS (SELECT FROM config_items "
                       "WHERE kind = 'issuers' AND name = k.issuer)",
                       NULL, 0, NULL);
    return err ? err
               : db_query(db,
                          "DELETE FROM issuer_state AS s WHERE NOT EXISTS (SELECT FROM "
                          "config_items WHERE kind = 'issuers' AND name = s.issuer)",
                          NULL, 0, NULL);
}

int
issuers_refresh(struct db *db, bool *ret_changed)
{
    struct db_rows *rows = NULL;
    struct tls_client *tls = NULL;
    const char *why = "";
    *ret_changed = false;
    int err = db_query(
        db,
        "SELECT i.name, i.body, i.revision, coalesce(s.problem, '') FROM config_items AS i "
        "LEFT JOIN issuer_state AS s ON s.issuer = i.name WHERE i.kind = 'issuers' "
        "AND coalesce(i.body ->> 'disabled', 'false') = 'false' AND (s.issuer IS NULL "
        "OR s.revision <> i.revision OR s.tried_at < now() - CASE WHEN s.problem = '' "
        "THEN interval '60 s' ELSE interval '5 s' END) ORDER BY i.name LIMIT 100",
        NULL, 0, &rows);
    if (!err && db_count(rows) > 0)
        err = tls_client_new(NULL, NULL, NULL, NULL, &tls, &why);
    for (size_t i = 0; i < db_count(rows) && !err; i++) {
        int changed = refresh_one(db, tls, rows, i);
        err = changed < 0 ? changed : 0;
        *ret_changed = *ret_changed || changed > 0;
    }
    db_rows_free(rows);
    tls_client_free(tls);
    return err ? err : forget_orphans(db);
}
