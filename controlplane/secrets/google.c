/* Google Secret Manager: AccessSecretVersion, with a service account's token. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/secrets/manager.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/sign/jwt.h"

#define SCOPE "https://www.googleapis.com/auth/cloud-platform"

static int
ask_token(struct ask *a, const struct service_account *account, struct ask_token *t)
{
    struct secret assertion = {0};
    struct buf form;
    buf_init(&form, 0);
    int err = jwt_make(account, SLICE(SCOPE), clock_wall_ms() / 1000, &assertion);
    if (err)
        err = ask_fail(a, err, "the service account's private key cannot sign");
    if (!err)
        err = ask_form(&form, "grant_type", SLICE("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    if (!err)
        err = ask_form(&form, "assertion", secret_reveal(&assertion));
    if (!err)
        err = ask_oauth(a, slice_of(account->token_uri), buf_slice(&form), t);
    secret_free(&assertion);
    buf_wipe(&form);
    buf_free(&form);
    return err;
}

static int
log_in(struct ask *a, struct ask_token *t)
{
    const char *path = manager_setting("GOOGLE_APPLICATION_CREDENTIALS"), *why = "";
    struct service_account account = {0};
    struct buf text;
    if (!path)
        return ask_fail(a, ERR_BAD_STATE,
                        "GOOGLE_APPLICATION_CREDENTIALS is not set in the control plane's "
                        "environment");
    buf_init(&text, 0);
    int err = file_read(path, LIMIT_ACCOUNT_BYTES, false, &text);
    if (err)
        err = ask_fail(a, err, "the file of GOOGLE_APPLICATION_CREDENTIALS: %s", err_name(err));
    if (!err && (err = service_account_read(buf_slice(&text), &account, &why)) != 0)
        err = ask_fail(a, err, "the file of GOOGLE_APPLICATION_CREDENTIALS: %s", why);
    if (!err)
        err = ask_token(a, &account, t);
    service_account_free(&account);
    buf_wipe(&text);
    buf_free(&text);
    return err;
}

static int
take(struct ask *a, const struct json *document, struct secret *ret_value)
{
    struct slice data = json_str(json_get(json_get(document, "payload"), "data"));
    char *text = malloc(data.len + 4);
    size_t len = 0;
    if (!text)
        return ERR_NOMEM;
    int err = data.at && base64_decode(data, text, &len) == 0
                  ? ask_take(a, slice_make(text, len), SLICE(""), ret_value)
                  : ask_fail(a, ERR_PROTOCOL, "the secret's version: no payload.data");
    secret_wipe(text, data.len);
    free(text);
    return err;
}

static int
read_version(struct ask *a, const struct ask_token *t, struct slice url, struct secret *ret_value)
{
    struct json *document = NULL;
    struct buf bearer;
    buf_init(&bearer, 0);
    int err = ask_bearer(t, &bearer);
    const struct http_field fields[] = {
        {SLICE("authorization"), buf_slice(&bearer), true},
        {SLICE("accept"), SLICE("application/json"), false},
    };
    struct ask_call call = {.what = "the secret's version",
                            .method = SLICE("GET"),
                            .url = url,
                            .fields = fields,
                            .count = 2};
    if (!err)
        err = ask_json(a, &call, &document);
    if (!err)
        err = take(a, document, ret_value);
    json_free(document);
    buf_wipe(&bearer);
    buf_free(&bearer);
    return err;
}

int
google_get(struct ask *a, struct manager_state *s, const struct reference *r,
           struct secret *ret_value)
{
    const char *base = manager_setting("HEADGATE_GCP_SM_URL");
    struct slice version = r->version.len ? r->version : SLICE("latest");
    struct buf url;
    buf_init(&url, 0);
    int err = ask_token_is_good(&s->token) ? 0 : log_in(a, &s->token);
    if (!err)
        err = buf_addf(&url, "%s/v1/projects/%.*s/secrets/%.*s/versions/%.*s:access",
                       base ? base : "https://secretmanager.googleapis.com", SLICE_ARG(r->name),
                       SLICE_ARG(r->secret), SLICE_ARG(version));
    if (!err)
        err = read_version(a, &s->token, buf_slice(&url), ret_value);
    if (err == ERR_AUTH)
        ask_token_free(&s->token); /* the next turn asks for another */
    buf_free(&url);
    return err;
}
