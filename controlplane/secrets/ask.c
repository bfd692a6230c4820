/* See ask.h. */
#include "controlplane/secrets/ask.h"

#include <stdio.h>

#include "controlplane/secrets/seal.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"

/* --- tokens ----------------------------------------------------------------------------------- */

bool
ask_token_is_good(const struct ask_token *t)
{
    return t->text.len > 0 && (t->renew_ms == 0 || clock_mono_ms() < t->renew_ms);
}

int
ask_token_keep(struct ask_token *t, struct slice text, int64_t life_s)
{
    secret_free(&t->text);
    int64_t life_ms = life_s > 0 && life_s < INT64_C(1000000000) ? life_s * 1000 : 0;
    t->renew_ms = life_ms ? clock_mono_ms() + life_ms / 4 * 3 : 0;
    return secret_set(&t->text, text.at, text.len);
}

void
ask_token_free(struct ask_token *t)
{
    secret_free(&t->text);
    t->renew_ms = 0;
}

int
ask_bearer(const struct ask_token *t, struct buf *into)
{
    int err = buf_add_str(into, "Bearer ");
    return err ? err : buf_add_slice(into, secret_reveal(&t->text));
}

int
ask_form(struct buf *form, const char *name, struct slice value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int err = buf_addf(form, "%s%s=", form->len ? "&" : "", name);
    for (size_t i = 0; i < value.len && !err; i++)
        err = value.at[i] && strchr(plain, value.at[i])
                  ? buf_add(form, &value.at[i], 1)
                  : buf_addf(form, "%%%02X", (unsigned)(unsigned char)value.at[i]);
    return err;
}

int
ask_oauth(struct ask *a, struct slice url, struct slice form, struct ask_token *t)
{
    const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("application/x-www-form-urlencoded"), false},
        {SLICE("accept"), SLICE("application/json"), false},
    };
    struct ask_call call = {.what = "the token endpoint",
                            .method = SLICE("POST"),
                            .url = url,
                            .body = form,
                            .fields = fields,
                            .count = 2};
    struct json *document;
    int64_t life_s = 0;
    int err = ask_json(a, &call, &document);
    struct slice token = json_str(json_get(document, "access_token"));
    if (!err && (token.len == 0 || json_to_int(json_get(document, "expires_in"), &life_s) != 0 ||
                 life_s <= 0))
        err = ask_fail(a, ERR_PROTOCOL, "the token endpoint: no access_token with expires_in");
    if (!err)
        err = ask_token_keep(t, token, life_s);
    json_free(document);
    return err;
}

/* --- values ----------------------------------------------------------------------------------- */

static int
keep_text(struct ask *a, struct slice text, struct secret *ret_value)
{
    while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
        text.len--;
    if (text.len == 0)
        return ask_fail(a, ERR_SYNTAX, "the secret is empty");
    if (text.len > LIMIT_CREDENTIAL_BYTES)
        return ask_fail(a, ERR_SYNTAX, "the secret is longer than 16384 bytes");
    return secret_set(ret_value, text.at, text.len);
}

int
ask_take(struct ask *a, struct slice text, struct slice field, struct secret *ret_value)
{
    struct json *document = NULL;
    char name[LIMIT_CREDENTIAL_BYTES / 16];
    if (field.len == 0)
        return keep_text(a, text, ret_value);
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(field));
    if (json_parse(text, &document, NULL, 0) != 0 || json_kind(document) != JSON_MAP) {
        json_free(document);
        return ask_fail(a, ERR_SYNTAX, "the secret is no JSON object to take '%s' of", name);
    }
    struct slice value = json_str(json_get(document, name));
    int err = value.at ? keep_text(a, value, ret_value)
                       : ask_fail(a, ERR_SYNTAX, "the secret has no text in its member '%s'", name);
    json_free(document);
    return err;
}

int
ask_plain(struct ask *a, struct slice base64, struct secret *ret_plain)
{
    struct buf bytes;
    size_t len = 0;
    buf_init(&bytes, 0);
    char *room = base64.len ? buf_reserve(&bytes, base64.len + 4) : NULL;
    int err = room && base64_decode(base64, room, &len) == 0 && len > 0
                  ? secret_set(ret_plain, room, len)
                  : ask_fail(a, ERR_SYNTAX, "the key service gave no key");
    buf_wipe(&bytes);
    return err;
}
