/* See openid.h. */
#include "controlplane/jobs/openid.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/encode.h"
#include "lib/json/scan.h"
#include "lib/policy/policy.h"
#include "lib/sign/bearer.h"

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
openid_read_keys(struct slice text, struct json **ret_keys)
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

/* Its text; the caller frees the answer, whatever comes of it. */
static int
fetch(struct ask *a, struct slice url, const char *what, struct http_answer *ret_answer)
{
    const struct ask_call call = {.what = what, .method = SLICE("GET"), .url = url};
    int err = ask_http(a, &call, ret_answer);
    if (!err && ret_answer->status != 200)
        err = ask_fail(a, ERR_UNAVAILABLE, "%s: status %d", what, ret_answer->status);
    return err;
}

/* Discovery 4.3: it must speak for the issuer that was asked. */
int
openid_discover(struct ask *a, struct slice issuer, struct json **ret_document)
{
    char at[2200];
    struct json *document = NULL;
    struct http_answer answer;
    struct slice base = issuer;
    while (base.len && base.at[base.len - 1] == '/')
        base.len--;
    snprintf(at, sizeof(at), "%.*s" WELL_KNOWN, SLICE_ARG(base));
    int err = fetch(a, slice_of(at), "OpenID configuration", &answer);
    if (!err && json_parse(buf_slice(&answer.body), &document, NULL, 0) != 0)
        err = ask_fail(a, ERR_UNAVAILABLE, "OpenID configuration: no JSON");
    if (!err && !slice_eq(json_str(json_get(document, "issuer")), issuer))
        err = ask_fail(a, ERR_UNAVAILABLE, "OpenID configuration: it speaks for another issuer");
    http_answer_free(&answer);
    if (err)
        json_free(document);
    else
        *ret_document = document;
    return err;
}

int
openid_url(struct ask *a, const struct json *document, const char *member,
           char ret_url[static OPENID_URL_BYTES])
{
    struct slice url = json_str(json_get(document, member));
    if (url.len == 0 || url.len >= OPENID_URL_BYTES)
        return ask_fail(a, ERR_UNAVAILABLE, "OpenID configuration: %s is missing or too long",
                        member);
    for (size_t i = 0; i < url.len; i++)
        if (url.at[i] <= ' ' || url.at[i] > '~' || url.at[i] == '"' || url.at[i] == '#')
            return ask_fail(a, ERR_UNAVAILABLE, "OpenID configuration: %s is no address", member);
    if (!slice_starts(url, SLICE("https://")) &&
        !(a->allow_private && slice_starts(url, SLICE("http://"))))
        return ask_fail(a, ERR_UNAVAILABLE, "OpenID configuration: %s is not https", member);
    snprintf(ret_url, OPENID_URL_BYTES, "%.*s", SLICE_ARG(url));
    return 0;
}

int
openid_fetch_keys(struct ask *a, const char *url, struct json **ret_keys)
{
    struct http_answer answer;
    int err = fetch(a, slice_of(url), "keys", &answer);
    if (!err && openid_read_keys(buf_slice(&answer.body), ret_keys) != 0)
        err = ask_fail(a, ERR_UNAVAILABLE, "keys: no set of at most %d keys", LIMIT_ISSUER_KEYS);
    if (!err && json_size(*ret_keys) == 0) {
        json_free(*ret_keys);
        err = ask_fail(a, ERR_UNAVAILABLE, "keys: none for RS256, ES256 or EdDSA");
    }
    http_answer_free(&answer);
    return err;
}
