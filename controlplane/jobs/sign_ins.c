/* See sign_ins.h. */
#include "controlplane/jobs/sign_ins.h"

#include "controlplane/jobs/openid.h"
#include "lib/base/log.h"
#include "lib/json/doc.h"

/* What we need of an OpenID configuration: {"authorization","token","methods"}. */
static int
read_endpoints(struct ask *a, const struct json *document, struct json **ret_endpoints)
{
    char authorization[OPENID_URL_BYTES], token[OPENID_URL_BYTES];
    const struct json *methods = json_get(document, "token_endpoint_auth_methods_supported");
    int err = openid_url(a, document, "authorization_endpoint", authorization);
    if (!err)
        err = openid_url(a, document, "token_endpoint", token);
    if (err)
        return err;
    struct json *out = json_new_map();
    err = out ? json_set_str(out, "authorization", authorization) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "token", token);
    if (!err)
        err = json_set(out, "methods", methods ? json_copy(methods) : json_new_null());
    if (err)
        json_free(out);
    else
        *ret_endpoints = out;
    return err;
}

struct found {
    struct json *endpoints, *keys;
};

static int
ask_provider(struct ask *a, struct slice issuer, struct found *f)
{
    char url[OPENID_URL_BYTES];
    struct json *document = NULL;
    int err = openid_discover(a, issuer, &document);
    if (!err)
        err = read_endpoints(a, document, &f->endpoints);
    if (!err)
        err = openid_url(a, document, "jwks_uri", url);
    if (!err)
        err = openid_fetch_keys(a, url, &f->keys);
    json_free(document);
    return err;
}

static int
text_of(const struct json *j, struct buf *into, const char **ret_text)
{
    int err = json_write(j, false, 0, into);
    *ret_text = err ? NULL : buf_str(into);
    return *ret_text ? 0 : ERR_NOMEM;
}

/* f NULL: it could not be reached. */
static int
keep(struct db *db, const char *name, const char *revision, struct slice issuer, const char *why,
     const struct found *f)
{
    struct buf url, endpoints, keys;
    const char *endpoint_text = NULL, *key_text = NULL;
    buf_init(&url, 0);
    buf_init(&endpoints, 0);
    buf_init(&keys, 0);
    int err = buf_add_slice(&url, issuer);
    if (!err && f)
        err = text_of(f->endpoints, &endpoints, &endpoint_text);
    if (!err && f)
        err = text_of(f->keys, &keys, &key_text);
    const char *url_text = err ? NULL : buf_str(&url);
    const char *const params[] = {name, url_text, revision, endpoint_text, key_text, why};
    if (!err)
        err = url_text ? 0 : ERR_NOMEM;
    if (!err)
        err = db_query(
            db,
            "INSERT INTO sign_in_providers AS p (sign_in, issuer, revision, endpoints, keys, "
            "fetched_at, problem) VALUES ($1, $2, $3::bigint, $4::jsonb, $5::jsonb, "
            "CASE WHEN $6 = '' THEN now() END, $6) ON CONFLICT (sign_in) DO UPDATE SET "
            "issuer = excluded.issuer, revision = excluded.revision, tried_at = now(), "
            "problem = excluded.problem, fetched_at = coalesce(excluded.fetched_at, p.fetched_at), "
            "endpoints = coalesce(excluded.endpoints, CASE WHEN p.issuer = excluded.issuer THEN "
            "p.endpoints END), keys = coalesce(excluded.keys, CASE WHEN p.issuer = "
            "excluded.issuer THEN p.keys END)",
            params, 6, NULL);
    buf_free(&url);
    buf_free(&endpoints);
    buf_free(&keys);
    return err;
}

static int
refresh_row(struct db *db, struct tls_client *tls, const struct db_rows *rows, size_t at)
{
    struct json *body = NULL;
    struct found found = {NULL, NULL};
    struct ask a = {.tls = tls, .total_ms = OPENID_FETCH_MS};
    const char *name = db_text(rows, at, 0);
    int err = json_parse(db_slice(rows, at, 1), &body, NULL, 0);
    if (err)
        return err;
    struct slice issuer = json_str(json_get(body, "issuer"));
    a.allow_private = json_is_true(json_get(body, "allow_private"));
    bool was_well = db_slice(rows, at, 3).len == 0;
    bool reached = ask_provider(&a, issuer, &found) == 0;
    if (!reached && was_well)
        log_warn("sign_in.unreachable", F_STR("sign_in", name), F_STR("why", a.why));
    if (reached && !was_well)
        log_info("sign_in.works_again", F_STR("sign_in", name));
    err =
        keep(db, name, db_text(rows, at, 2), issuer, reached ? "" : a.why, reached ? &found : NULL);
    json_free(found.endpoints);
    json_free(found.keys);
    json_free(body);
    return err;
}

static int
refresh(struct db *db, const char *name)
{
    struct db_rows *rows = NULL;
    struct tls_client *tls = NULL;
    const char *why = "";
    const char *const params[] = {name};
    int err = db_query(
        db,
        "SELECT i.name, i.body, i.revision, coalesce(p.problem, '') FROM config_items AS i "
        "LEFT JOIN sign_in_providers AS p ON p.sign_in = i.name WHERE i.kind = 'sign_ins' "
        "AND coalesce(i.body ->> 'disabled', 'false') = 'false' "
        "AND ($1::text IS NULL OR i.name = $1) AND (p.sign_in IS NULL OR p.revision <> i.revision "
        "OR p.tried_at < now() - CASE WHEN p.problem = '' AND $1::text IS NULL "
        "THEN interval '60 s' ELSE interval '5 s' END) ORDER BY i.name LIMIT 100",
        params, 1, &rows);
    if (!err && db_count(rows) > 0)
        err = tls_client_new(NULL, NULL, NULL, NULL, &tls, &why);
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = refresh_row(db, tls, rows, i);
    db_rows_free(rows);
    tls_client_free(tls);
    return err;
}

int
sign_ins_refresh(struct db *db)
{
    return refresh(db, NULL);
}

int
sign_ins_refresh_one(struct db *db, const char *name)
{
    return refresh(db, name);
}
