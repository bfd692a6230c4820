/* Public keys of token issuers, and signatures under them: OpenSSL's part of bearer.h. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/encode.h"
#include "lib/json/scan.h"
#include "lib/sign/bearer.h"

#define MIN_RSA_BITS 2048
#define MAX_RSA_BITS 8192
#define P256_BYTES 32

struct bearer_key {
    enum bearer_kind kind;
    EVP_PKEY *key;
};

/* --- JSON Web Keys ---------------------------------------------------------------------------- */

enum { KTY, USE, ALG, KID, CRV, N, E, X, Y, MEMBERS };
static const char *const members[MEMBERS] = {
    [KTY] = "kty", [USE] = "use", [ALG] = "alg", [KID] = "kid", [CRV] = "crv",
    [N] = "n",     [E] = "e",     [X] = "x",     [Y] = "y",
};

struct jwk {
    struct slice json;
    struct json_span at[MEMBERS];
    struct arena *arena;
};

/* "" when it is absent or no text. */
static struct slice
text(const struct jwk *k, size_t m)
{
    struct slice s;
    return json_text(k->json, k->at[m], k->arena, &s) == 0 ? s : SLICE("");
}

static struct slice
bytes(const struct jwk *k, size_t m)
{
    struct slice s = text(k, m);
    size_t len = 0;
    char *at = arena_alloc(k->arena, s.len / 4 * 3 + 4);
    if (!at || s.len == 0 || base64_decode(s, at, &len) != 0)
        return SLICE("");
    return slice_make(at, len);
}

static EVP_PKEY *
from_params(const char *kind, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *key = NULL;
    if (params && c && EVP_PKEY_fromdata_init(c) == 1)
        (void)EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *
rsa_key(const struct jwk *k)
{
    struct slice n = bytes(k, N), e = bytes(k, E);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn = BN_bin2bn((const unsigned char *)n.at, (int)n.len, NULL);
    BIGNUM *be = BN_bin2bn((const unsigned char *)e.at, (int)e.len, NULL);
    EVP_PKEY *key = NULL;
    if (build && bn && be && n.len > 0 && e.len > 0 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
        key = from_params("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn);
    BN_free(be);
    return key;
}

static EVP_PKEY *
p256_key(const struct jwk *k)
{
    unsigned char point[1 + 2 * P256_BYTES] = {0x04};
    struct slice x = bytes(k, X), y = bytes(k, Y);
    if (x.len != P256_BYTES || y.len != P256_BYTES)
        return NULL;
    memcpy(point + 1, x.at, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.at, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
        key = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *
ed25519_key(const struct jwk *k)
{
    struct slice x = bytes(k, X);
    if (x.len != 32)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.at, x.len);
}

static const struct jwk_kind {
    const char *kty, *crv, *alg;
    enum bearer_kind kind;
    EVP_PKEY *(*make)(const struct jwk *k);
} jwk_kinds[] = {
    {"RSA", "", "RS256", BEARER_RSA, rsa_key},
    {"EC", "P-256", "ES256", BEARER_P256, p256_key},
    {"OKP", "Ed25519", "EdDSA", BEARER_ED25519, ed25519_key},
};

static const struct jwk_kind *
kind_of(const struct jwk *k)
{
    for (size_t i = 0; i < sizeof(jwk_kinds) / sizeof(jwk_kinds[0]); i++) {
        const struct jwk_kind *kind = &jwk_kinds[i];
        bool same_alg = k->at[ALG].kind == JSON_ABSENT || slice_is(text(k, ALG), kind->alg);
        if (slice_is(text(k, KTY), kind->kty) && slice_is(text(k, CRV), kind->crv) && same_alg)
            return kind;
    }
    return NULL;
}

static int
put_der(EVP_PKEY *key, struct arena *a, struct slice *ret)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    *ret = len > 0 ? arena_copy(a, slice_make((const char *)der, (size_t)len))
                   : (struct slice){NULL, 0};
    OPENSSL_free(der);
    return ret->at ? 0 : ERR_NOMEM;
}

int
bearer_jwk_read(struct slice json, struct arena *a, struct bearer_jwk *ret)
{
    struct jwk k = {.json = json, .arena = a};
    struct json_error why;
    struct json_span root;
    struct bearer_key *checked = NULL;
    if (json_scan(json, &json_limits_default, members, MEMBERS, k.at, &root, &why) != 0 ||
        root.kind != JSON_MAP)
        return ERR_SYNTAX;
    const struct jwk_kind *kind = kind_of(&k);
    ret->id = text(&k, KID);
    if (!kind || ret->id.len == 0 ||
        (k.at[USE].kind != JSON_ABSENT && !slice_is(text(&k, USE), "sig")))
        return ERR_NOT_FOUND;
    ret->kind = kind->kind;
    EVP_PKEY *key = kind->make(&k);
    int err = key ? put_der(key, a, &ret->der) : ERR_SYNTAX;
    EVP_PKEY_free(key);
    ERR_clear_error(); /* the thread's queue is TLS's too */
    if (!err)
        err = bearer_key_new(ret->kind, ret->der, &checked);
    bearer_key_free(checked);
    return err;
}

/* --- keys ------------------------------------------------------------------------------------- */

static bool
is_kind(EVP_PKEY *key, enum bearer_kind kind)
{
    char group[32] = "";
    switch (kind) {
    case BEARER_RSA:
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
               EVP_PKEY_get_bits(key) >= MIN_RSA_BITS && EVP_PKEY_get_bits(key) <= MAX_RSA_BITS;
    case BEARER_P256:
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
               EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
               strcmp(group, "prime256v1") == 0;
    case BEARER_ED25519:
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
    }
    return false;
}

int
bearer_key_new(enum bearer_kind kind, struct slice der, struct bearer_key **ret_key)
{
    const unsigned char *at = (const unsigned char *)der.at;
    if (der.len == 0 || der.len > LIMIT_BEARER_KEY_BYTES)
        return ERR_SYNTAX;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.len);
    struct bearer_key *k = calloc(1, sizeof(*k));
    bool good = key && at == (const unsigned char *)der.at + der.len && is_kind(key, kind);
    ERR_clear_error();
    if (k && good) {
        *k = (struct bearer_key){kind, key};
        *ret_key = k;
        return 0;
    }
    EVP_PKEY_free(key);
    free(k);
    return k ? ERR_SYNTAX : ERR_NOMEM;
}

void
bearer_key_free(struct bearer_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key);
    free(k);
}

/* --- signatures ------------------------------------------------------------------------------- */

/* r and s side by side, as JWS has them, to the form that OpenSSL takes. The caller frees. */
static unsigned char *
ecdsa_der(struct slice raw, size_t *ret_len)
{
    unsigned char *der = NULL;
    if (raw.len != 2 * P256_BYTES)
        return NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.at, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.at + P256_BYTES, P256_BYTES, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return NULL;
    }
    int len = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    *ret_len = len > 0 ? (size_t)len : 0;
    return len > 0 ? der : NULL;
}

static bool
verify(const struct bearer_key *key, struct slice text_signed, const unsigned char *signature,
       size_t len)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    const EVP_MD *hash = key->kind == BEARER_ED25519 ? NULL : EVP_sha256();
    bool good = c && EVP_DigestVerifyInit(c, NULL, hash, NULL, key->key) == 1 &&
                EVP_DigestVerify(c, signature, len, (const unsigned char *)text_signed.at,
                                 text_signed.len) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return good;
}

int
bearer_verify(const struct bearer *b, const struct bearer_key *key)
{
    size_t len = b->signature.len;
    if (b->kind != key->kind)
        return ERR_AUTH;
    if (key->kind != BEARER_P256)
        return verify(key, b->signed_text, (const unsigned char *)b->signature.at, len) ? 0
                                                                                        : ERR_AUTH;
    unsigned char *der = ecdsa_der(b->signature, &len);
    bool good = der && verify(key, b->signed_text, der, len);
    OPENSSL_free(der);
    return good ? 0 : ERR_AUTH;
}
