/* Azure Key Vault: GET secret, with a token of Microsoft Entra for an application. */
#include <stdio.h>

#include "controlplane/secrets/manager.h"

#define API_VERSION "7.4"

/* Each cloud has its own audience: the vaults' common suffix. */
static const char *
audience_of(const struct reference *r)
{
    if (slice_ends(r->name, SLICE(".vault.azure.cn")))
        return "https://vault.azure.cn/.default";
    if (slice_ends(r->name, SLICE(".vault.usgovcloudapi.net")))
        return "https://vault.usgovcloudapi.net/.default";
    return "https://vault.azure.net/.default";
}

static int
make_form(const char *id, const char *secret, const char *scope, struct buf *form)
{
    int err = ask_form(form, "client_id", slice_of(id));
    if (!err)
        err = ask_form(form, "client_secret", slice_of(secret));
    if (!err)
        err = ask_form(form, "scope", slice_of(scope));
    return err ? err : ask_form(form, "grant_type", SLICE("client_credentials"));
}

static int
log_in(struct ask *a, const struct reference *r, struct ask_token *t)
{
    const char *tenant = manager_setting("AZURE_TENANT_ID"),
               *id = manager_setting("AZURE_CLIENT_ID"),
               *secret = manager_setting("AZURE_CLIENT_SECRET"),
               *authority = manager_setting("AZURE_AUTHORITY_HOST");
    struct buf form, url;
    if (!tenant || !id || !secret)
        return ask_fail(a, ERR_BAD_STATE,
                        "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET must be set in "
                        "the control plane's environment");
    buf_init(&form, 0);
    buf_init(&url, 0);
    struct slice host = slice_of(authority ? authority : "https://login.microsoftonline.com");
    while (host.len && host.at[host.len - 1] == '/')
        host.len--;
    int err = buf_addf(&url, "%.*s/%s/oauth2/v2.0/token", SLICE_ARG(host), tenant);
    if (!err)
        err = make_form(id, secret, audience_of(r), &form);
    if (!err)
        err = ask_oauth(a, buf_slice(&url), buf_slice(&form), t);
    buf_wipe(&form);
    buf_free(&form);
    buf_free(&url);
    return err;
}

static int
make_url(const struct reference *r, struct buf *url)
{
    const char *base = manager_setting("HEADGATE_AZURE_KV_URL");
    bool whole = slice_find(r->name, '.', 0) < r->name.len;
    int err =
        base ? buf_add_str(url, base)
             : buf_addf(url, "https://%.*s%s", SLICE_ARG(r->name), whole ? "" : ".vault.azure.net");
    if (!err)
        err = buf_addf(url, "/secrets/%.*s", SLICE_ARG(r->secret));
    if (!err && r->version.len)
        err = buf_addf(url, "/%.*s", SLICE_ARG(r->version));
    return err ? err : buf_add_str(url, "?api-version=" API_VERSION);
}

static int
read_secret(struct ask *a, const struct ask_token *t, struct slice url, struct secret *ret_value)
{
    struct json *document = NULL;
    struct buf bearer;
    buf_init(&bearer, 0);
    int err = ask_bearer(t, &bearer);
    const struct http_field fields[] = {
        {SLICE("authorization"), buf_slice(&bearer), true},
        {SLICE("accept"), SLICE("application/json"), false},
    };
    struct ask_call call = {
        .what = "the secret", .method = SLICE("GET"), .url = url, .fields = fields, .count = 2};
    if (!err)
        err = ask_json(a, &call, &document);
    struct slice value = json_str(json_get(document, "value"));
    if (!err)
        err = value.at ? ask_take(a, value, SLICE(""), ret_value)
                       : ask_fail(a, ERR_PROTOCOL, "the secret: no value");
    json_free(document);
    buf_wipe(&bearer);
    buf_free(&bearer);
    return err;
}

int
azure_get(struct ask *a, struct manager_state *s, const struct reference *r,
          struct secret *ret_value)
{
    struct buf url;
    buf_init(&url, 0);
    int err = ask_token_is_good(&s->token) ? 0 : log_in(a, r, &s->token);
    if (!err)
        err = make_url(r, &url);
    if (!err)
        err = read_secret(a, &s->token, buf_slice(&url), ret_value);
    if (err == ERR_AUTH)
        ask_token_free(&s->token); /* expired early, or of another cloud */
    buf_free(&url);
    return err;
}
