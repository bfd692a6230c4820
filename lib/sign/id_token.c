/* See id_token.h. */
#include "lib/sign/id_token.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/encode.h"
#include "lib/base/secret.h"
#include "lib/sign/bearer.h"

#define LIMIT_KEY_HEX (2 * LIMIT_BEARER_KEY_BYTES)

/* --- its signature ---------------------------------------------------------------------------- */

static bool
kind_is(struct slice name, enum bearer_kind kind)
{
    switch (kind) {
    case BEARER_RSA:
        return slice_is(name, "rsa");
    case BEARER_P256:
        return slice_is(name, "p256");
    case BEARER_ED25519:
        return slice_is(name, "ed25519");
    }
    return false;
}

/* The key is chosen by its id, and must be for the token's algorithm: never the other way. */
static int
find_key(const struct json *keys, const struct bearer *b, struct bearer_key **ret_key)
{
    unsigned char der[LIMIT_BEARER_KEY_BYTES];
    for (size_t i = 0; i < json_size(keys); i++) {
        const struct json *k = json_at(keys, i);
        struct slice hex = json_str(json_get(k, "der"));
        if (!slice_eq(json_str(json_get(k, "kid")), b->key_id))
            continue;
        if (!kind_is(json_str(json_get(k, "kind")), b->kind) || hex.len > LIMIT_KEY_HEX ||
            hex_decode(hex, der, hex.len / 2) != 0)
            return ERR_AUTH;
        return bearer_key_new(b->kind, slice_make(der, hex.len / 2), ret_key);
    }
    return ERR_NOT_FOUND;
}

static int
check_signature(const struct bearer *b, const struct json *keys, const char **ret_why)
{
    struct bearer_key *key = NULL;
    *ret_why = "none of the provider's keys has its id";
    int err = find_key(keys, b, &key);
    if (err == ERR_NOT_FOUND || err == ERR_NOMEM)
        return err;
    *ret_why = "its algorithm is not that of the provider's key";
    if (!err) {
        *ret_why = "its signature is not the provider's";
        err = bearer_verify(b, key);
    }
    bearer_key_free(key);
    return err ? ERR_AUTH : 0;
}

/* --- its claims ------------------------------------------------------------------------------- */

/* Access tokens of the same provider have the same issuer, keys, and sometimes audience (RFC 9068;
 * Keycloak's say typ Bearer in their claims). */
static bool
is_access_token(const struct bearer *b, const struct json *claims)
{
    struct slice type = b->type, inner = json_str(json_get(claims, "typ"));
    return (type.at && !slice_eq_nocase(type, SLICE("jwt"))) ||
           (inner.at && !slice_eq_nocase(inner, SLICE("id")));
}

static bool
same_secret(struct slice a, struct slice b)
{
    return a.at && b.at && a.len == b.len && secret_equal(a.at, b.at, a.len);
}

static int
check_claims(const struct bearer *b, const struct json *claims, const struct id_token_want *want,
             const char **ret_why)
{
    const struct json *azp = json_get(claims, "azp"), *aud = json_get(claims, "aud");
    struct slice subject = json_str(json_get(claims, "sub"));
    int64_t ends_s, issued_s;
    *ret_why = "it is no ID token";
    if (is_access_token(b, claims))
        return ERR_AUTH;
    *ret_why = "another issuer made it";
    if (!slice_eq(json_str(json_get(claims, "iss")), want->issuer))
        return ERR_AUTH;
    if (bearer_check(b, want->client_id, want->now_s, &ends_s, ret_why) != 0)
        return ERR_AUTH;
    *ret_why = "it was made for another client (azp)";
    if (azp ? !slice_eq(json_str(azp), want->client_id) : json_size(aud) > 1)
        return ERR_AUTH;
    *ret_why = "it has no time of issue (iat), or one that is not now";
    if (json_to_int(json_get(claims, "iat"), &issued_s) != 0 ||
        issued_s > want->now_s + BEARER_LEEWAY_S || issued_s < want->now_s - ID_TOKEN_AGE_S)
        return ERR_AUTH;
    *ret_why = "it does not answer this request (nonce)";
    if (!same_secret(json_str(json_get(claims, "nonce")), want->nonce))
        return ERR_AUTH;
    *ret_why = "it has no subject, or one over 255 bytes";
    if (subject.len == 0 || subject.len > 255)
        return ERR_AUTH;
    *ret_why = "";
    return 0;
}

int
id_token_check(struct slice token, const struct id_token_want *want, struct json **ret_claims,
               const char **ret_why)
{
    struct bearer b;
    struct arena arena;
    struct json *claims = NULL;
    arena_init(&arena, 4 * LIMIT_ID_TOKEN_BYTES);
    *ret_why = "it is malformed, too long, or of another algorithm than RS256, ES256 and EdDSA";
    int err = bearer_read(token, LIMIT_ID_TOKEN_BYTES, &arena, &b);
    if (err && err != ERR_NOMEM)
        err = ERR_AUTH;
    if (!err)
        err = check_signature(&b, want->keys, ret_why);
    if (!err && json_parse(b.payload, &claims, NULL, 0) != 0) {
        *ret_why = "its claims are malformed";
        err = ERR_AUTH;
    }
    if (!err)
        err = check_claims(&b, claims, want, ret_why);
    if (err)
        json_free(claims);
    else
        *ret_claims = claims;
    arena_free(&arena);
    return err;
}
