/* See issuers.h. */
#include "controlplane/jobs/issuers.h"

#include <stdio.h>

#include "controlplane/jobs/openid.h"
#include "controlplane/publish/publish.h"
#include "lib/base/log.h"

struct issuer {
    const char *name, *revision; /* of the database's row */
    struct slice url, jwks_url;  /* jwks_url: "" to look it up */
    struct ask ask;
};

static int
fetch_keys(struct issuer *i, struct json **ret_keys)
{
    char url[OPENID_URL_BYTES + 1];
    struct json *document = NULL;
    int err = 0;
    if (i->jwks_url.len) {
        snprintf(url, sizeof(url), "%.*s", SLICE_ARG(i->jwks_url));
    } else {
        err = openid_discover(&i->ask, i->url, &document);
        if (!err)
            err = openid_url(&i->ask, document, "jwks_uri", url);
        json_free(document);
    }
    return err ? err : openid_fetch_keys(&i->ask, url, ret_keys);
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
                       .ask = {.tls = tls, .total_ms = OPENID_FETCH_MS}};
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
