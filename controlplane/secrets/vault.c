/*
 * HashiCorp Vault and OpenBao: the key/value engine, either version, and the transit engine. Where
 * an engine is mounted and which version it has is asked as their own command line does
 * (sys/internal/ui/mounts).
 *
 * Ways in, the first that is set: VAULT_TOKEN, VAULT_TOKEN_FILE (read again each time: an agent may
 * write it), AppRole (VAULT_ROLE_ID, VAULT_SECRET_ID), Kubernetes (VAULT_K8S_ROLE). A token got by
 * a login is replaced by a new login before it ends; a token that was given is renewed.
 */
#include <stdio.h>

#include "controlplane/secrets/manager.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define LIMIT_TOKEN_BYTES 8192
#define LOOK_AGAIN_S 60 /* at a token of which nothing could be learnt */
#define AGAIN_MS 60000
#define K8S_TOKEN_FILE "/var/run/secrets/kubernetes.io/serviceaccount/token"

/* --- one call --------------------------------------------------------------------------------- */

static int
call_vault(struct ask *a, const struct ask_token *t, const char *what, const char *method,
           struct slice path, struct slice body, struct json **ret_document)
{
    const char *space = manager_setting("VAULT_NAMESPACE");
    struct slice base = slice_of(manager_setting("VAULT_ADDR"));
    struct http_field fields[4] = {{SLICE("x-vault-request"), SLICE("true"), false}};
    size_t n = 1;
    struct buf url;
    *ret_document = NULL;
    while (base.len && base.at[base.len - 1] == '/')
        base.len--;
    if (t)
        fields[n++] = (struct http_field){SLICE("x-vault-token"), secret_reveal(&t->text), true};
    if (space)
        fields[n++] = (struct http_field){SLICE("x-vault-namespace"), slice_of(space), false};
    if (body.len)
        fields[n++] = (struct http_field){SLICE("content-type"), SLICE("application/json"), false};
    buf_init(&url, 0);
    int err = buf_addf(&url, "%.*s/v1/%.*s", SLICE_ARG(base), SLICE_ARG(path));
    struct ask_call call = {.what = what,
                            .method = slice_of(method),
                            .url = buf_slice(&url),
                            .body = body,
                            .fields = fields,
                            .count = n};
    if (!err)
        err = ask_json(a, &call, ret_document);
    buf_free(&url);
    return err;
}

/* --- ways in ---------------------------------------------------------------------------------- */

static int
read_file(struct ask *a, const char *path, const char *what, struct buf *into)
{
    int err = file_read(path, LIMIT_TOKEN_BYTES, false, into);
    return err ? ask_fail(a, ERR_BAD_STATE, "%s: %s", what, err_name(err)) : 0;
}

static struct slice
without_line_end(const struct buf *text)
{
    struct slice s = buf_slice(text);
    while (s.len > 0 && (s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static int
post_login(struct ask *a, const char *mount, const struct json *form, struct ask_token *t)
{
    char path[256];
    struct json *document = NULL;
    struct buf body;
    int64_t life_s = 0;
    buf_init(&body, 0);
    snprintf(path, sizeof(path), "auth/%s/login", mount);
    int err = json_write(form, false, 0, &body);
    if (!err)
        err = call_vault(a, NULL, "the login", "POST", slice_of(path), buf_slice(&body), &document);
    const struct json *auth = json_get(document, "auth");
    struct slice token = json_str(json_get(auth, "client_token"));
    if (!err && (!token.len || json_to_int(json_get(auth, "lease_duration"), &life_s) != 0))
        err = ask_fail(a, ERR_PROTOCOL, "the login: no client_token with lease_duration");
    if (!err)
        err = ask_token_keep(t, token, life_s);
    json_free(document);
    buf_wipe(&body);
    buf_free(&body);
    return err;
}

static int
log_in_approle(struct ask *a, const char *role, struct ask_token *t)
{
    const char *secret = manager_setting("VAULT_SECRET_ID"),
               *mount = manager_setting("VAULT_AUTH_MOUNT");
    struct json *form = json_new_map();
    int err = form ? json_set_str(form, "role_id", role) : ERR_NOMEM;
    if (!err && secret)
        err = json_set_str(form, "secret_id", secret);
    if (!err)
        err = post_login(a, mount ? mount : "approle", form, t);
    json_free(form);
    return err;
}

static int
log_in_kubernetes(struct ask *a, const char *role, struct ask_token *t)
{
    const char *path = manager_setting("VAULT_K8S_TOKEN_FILE"),
               *mount = manager_setting("VAULT_AUTH_MOUNT");
    struct json *form = json_new_map();
    struct buf jwt;
    buf_init(&jwt, 0);
    int err = form ? json_set_str(form, "role", role) : ERR_NOMEM;
    if (!err)
        err = read_file(a, path ? path : K8S_TOKEN_FILE, "the service account's token file", &jwt);
    if (!err)
        err = json_set_text(form, "jwt", without_line_end(&jwt));
    if (!err)
        err = post_login(a, mount ? mount : "kubernetes", form, t);
    json_free(form);
    buf_wipe(&jwt);
    buf_free(&jwt);
    return err;
}

/* A token that was given: its own life decides when it is renewed. One that cannot be looked up or
 * renewed is used as it is. */
static int
take_token(struct ask *a, struct slice text, struct ask_token *t)
{
    bool same =
        t->text.len == text.len && secret_equal(secret_reveal(&t->text).at, text.at, text.len);
    struct json *document = NULL;
    int64_t life_s = 0;
    if (same && ask_token_is_good(t))
        return 0;
    int err = same ? 0 : ask_token_keep(t, text, 0);
    if (!err && same) {
        (void)call_vault(a, t, "the token's renewal", "POST", SLICE("auth/token/renew-self"),
                         SLICE("{}"), &document);
        if (json_to_int(json_get(json_get(document, "auth"), "lease_duration"), &life_s) != 0)
            life_s = LOOK_AGAIN_S;
    } else if (!err) {
        int looked = call_vault(a, t, "the token", "GET", SLICE("auth/token/lookup-self"),
                                SLICE(""), &document);
        const struct json *data = json_get(document, "data");
        if (!json_is_true(json_get(data, "renewable")) ||
            json_to_int(json_get(data, "ttl"), &life_s) != 0)
            life_s = looked == ERR_UNAVAILABLE ? LOOK_AGAIN_S : 0;
    }
    json_free(document);
    return err ? err : ask_token_keep(t, text, life_s);
}

static int
log_in(struct ask *a, struct ask_token *t)
{
    const char *approle = manager_setting("VAULT_ROLE_ID"),
               *k8s = manager_setting("VAULT_K8S_ROLE");
    const char *token = manager_setting("VAULT_TOKEN"), *path = manager_setting("VAULT_TOKEN_FILE");
    struct buf text;
    if (!token && !path && approle)
        return log_in_approle(a, approle, t);
    if (!token && !path && k8s)
        return log_in_kubernetes(a, k8s, t);
    if (!token && !path)
        return ask_fail(a, ERR_BAD_STATE,
                        "one of VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_ROLE_ID and VAULT_K8S_ROLE "
                        "must be set in the control plane's environment");
    buf_init(&text, 0);
    int err = token ? buf_add_str(&text, token) : read_file(a, path, "VAULT_TOKEN_FILE", &text);
    if (!err && without_line_end(&text).len == 0)
        err = ask_fail(a, ERR_BAD_STATE, "VAULT_TOKEN_FILE is empty");
    if (!err)
        err = take_token(a, without_line_end(&text), t);
    buf_wipe(&text);
    buf_free(&text);
    return err;
}

/* What is done with a token. */
struct errand {
    int (*run)(struct ask *a, const struct ask_token *t, const struct errand *e);
    const struct reference *reference; /* of read_secret */
    struct slice wrapped;              /* of decrypt */
    struct secret *ret;
};

/* --- reading ---------------------------------------------------------------------------------- */

/* The path to read: in version 2, "data/" goes behind the mount. */
static int
find_path(struct ask *a, const struct ask_token *t, struct slice path, bool *ret_second,
          struct buf *into)
{
    struct json *document = NULL;
    struct buf at;
    buf_init(&at, 0);
    int err = buf_addf(&at, "sys/internal/ui/mounts/%.*s", SLICE_ARG(path));
    if (!err)
        err = call_vault(a, t, "the secret's mount", "GET", buf_slice(&at), SLICE(""), &document);
    const struct json *data = json_get(document, "data");
    struct slice mount = json_str(json_get(data, "path"));
    *ret_second = slice_is(json_str(json_get(json_get(data, "options"), "version")), "2");
    if (!err && (!mount.len || !slice_starts(path, mount)))
        err = ask_fail(a, ERR_NOT_FOUND, "no engine is mounted at the secret's path");
    if (!err)
        err = buf_addf(into, "%.*s%s%.*s", SLICE_ARG(mount), *ret_second ? "data/" : "",
                       SLICE_ARG(slice_from(path, mount.len)));
    json_free(document);
    buf_free(&at);
    return err;
}

static int
read_secret(struct ask *a, const struct ask_token *t, const struct errand *e)
{
    const struct reference *r = e->reference;
    char field[LIMIT_REFERENCE_BYTES + 1];
    struct json *document = NULL;
    struct buf path;
    bool second = false;
    buf_init(&path, 0);
    int err = find_path(a, t, r->name, &second, &path);
    if (!err)
        err = call_vault(a, t, "the secret", "GET", buf_slice(&path), SLICE(""), &document);
    const struct json *data = json_get(document, "data");
    if (second)
        data = json_get(data, "data");
    snprintf(field, sizeof(field), "%.*s", SLICE_ARG(r->field));
    struct slice value = json_str(json_get(data, field));
    if (!err)
        err = value.at ? ask_take(a, value, SLICE(""), e->ret)
                       : ask_fail(a, ERR_SYNTAX, "the secret has no text in its field '%s'", field);
    json_free(document);
    buf_free(&path);
    return err;
}

static int
make_tls(struct ask *a, struct manager_state *s)
{
    const char *ca = manager_setting("VAULT_CACERT"), *why = "";
    if (!ca || s->tls)
        return 0;
    return tls_client_new(ca, NULL, NULL, NULL, &s->tls, &why) == 0
               ? 0
               : ask_fail(a, ERR_TLS, "VAULT_CACERT: %s", why);
}

void
vault_keep(struct ask *a, struct manager_state *s)
{
    struct tls_client *common = a->tls;
    bool given = manager_setting("VAULT_TOKEN") || manager_setting("VAULT_TOKEN_FILE");
    if (!given || !s->token.text.len || ask_token_is_good(&s->token) ||
        !manager_setting("VAULT_ADDR"))
        return;
    if (s->tls)
        a->tls = s->tls;
    if (log_in(a, &s->token) != 0) {
        log_warn("vault.token_not_renewed", F_STR("why", a->why));
        s->token.renew_ms = clock_mono_ms() + AGAIN_MS;
    }
    a->tls = common;
}

/* With a token that is good; once more with another when it was revoked. */
static int
run_errand(struct ask *a, struct manager_state *s, const struct errand *e)
{
    struct tls_client *common = a->tls;
    if (!manager_setting("VAULT_ADDR"))
        return ask_fail(a, ERR_BAD_STATE,
                        "VAULT_ADDR is not set in the control plane's environment");
    int err = make_tls(a, s);
    if (err)
        return err;
    if (s->tls)
        a->tls = s->tls;
    bool fresh = !ask_token_is_good(&s->token) || manager_setting("VAULT_TOKEN_FILE");
    err = fresh ? log_in(a, &s->token) : 0;
    if (!err)
        err = e->run(a, &s->token, e);
    if (err == ERR_AUTH && !fresh) { /* revoked: once more with another */
        ask_token_free(&s->token);
        err = log_in(a, &s->token);
        if (!err)
            err = e->run(a, &s->token, e);
    }
    if (err == ERR_AUTH)
        ask_token_free(&s->token);
    a->tls = common;
    return err;
}

int
vault_get(struct ask *a, struct manager_state *s, const struct reference *r,
          struct secret *ret_value)
{
    return run_errand(a, s, &(struct errand){.run = read_secret, .reference = r, .ret = ret_value});
}

/* --- the transit engine ------------------------------------------------------------------------
 */

/* MOUNT/KEY:CIPHERTEXT, the ciphertext as the engine wrote it ("vault:v1:..."). */
static int
decrypt(struct ask *a, const struct ask_token *t, const struct errand *e)
{
    struct slice cipher = e->wrapped;
    struct slice mount = slice_cut(&cipher, ':');
    struct json *document = NULL, *form = json_new_map();
    struct slice key = mount;
    struct buf path, body;
    buf_init(&path, 0);
    buf_init(&body, 0);
    for (size_t slash; (slash = slice_find(key, '/', 0)) < key.len;)
        key = slice_from(key, slash + 1);
    mount.len -= key.len;
    int err = form ? json_set_text(form, "ciphertext", cipher.at ? cipher : SLICE("")) : ERR_NOMEM;
    if (!err)
        err = json_write(form, false, 0, &body);
    if (!err)
        err = buf_addf(&path, "%.*sdecrypt/%.*s", SLICE_ARG(mount), SLICE_ARG(key));
    if (!err)
        err = call_vault(a, t, "the decryption", "POST", buf_slice(&path), buf_slice(&body),
                         &document);
    if (!err)
        err = ask_plain(a, json_str(json_get(json_get(document, "data"), "plaintext")), e->ret);
    json_free(document);
    json_free(form);
    buf_free(&path);
    buf_free(&body);
    return err;
}

int
vault_unwrap(struct ask *a, struct manager_state *s, struct slice wrapped, struct secret *ret_plain)
{
    struct slice cipher = wrapped;
    struct slice path = slice_cut(&cipher, ':');
    bool good = cipher.len > 0 && slice_find(path, '/', 0) < path.len && path.at[0] != '/' &&
                path.at[path.len - 1] != '/';
    for (size_t i = 0; i < path.len && good; i++)
        good = (path.at[i] | 32) >= 'a' ? (path.at[i] | 32) <= 'z'
                                        : path.at[i] && strchr("-_/0123456789", path.at[i]);
    if (!good)
        return ask_fail(a, ERR_SYNTAX,
                        "vault-transit: takes MOUNT/KEY:CIPHERTEXT, such as "
                        "vault-transit:transit/headgate:vault:v1:...");
    return run_errand(a, s, &(struct errand){.run = decrypt, .wrapped = wrapped, .ret = ret_plain});
}
