/*
 * JSON Web Tokens of others, verified (RFC 7519, 8725): RS256, ES256 and EdDSA under public keys
 * that their issuer publishes (RFC 7517, 8037). Which algorithm a token may have follows from the
 * key that is looked up for it, never from the token alone. Sans-I/O; the time is given.
 */
#ifndef LIB_SIGN_BEARER_H
#define LIB_SIGN_BEARER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_BEARER_BYTES 8192     /* of a token in a header */
#define LIMIT_BEARER_KEY_BYTES 2048 /* of a public key, as SubjectPublicKeyInfo */
#define BEARER_LEEWAY_S 30          /* clocks differ */

/* --- keys ------------------------------------------------------------------------------------ */

enum bearer_kind { BEARER_RSA = 1, BEARER_P256, BEARER_ED25519 };

/* One key of a JWK set. 0 with its id, kind and SubjectPublicKeyInfo (in the arena); ERR_NOT_FOUND:
 * of no use here (another kind, for encryption, without an id); ERR_SYNTAX; ERR_NOMEM. */
struct bearer_jwk {
    struct slice id, der;
    enum bearer_kind kind;
};
MUST_CHECK int bearer_jwk_read(struct slice json, struct arena *a, struct bearer_jwk *ret);

/* Immutable once made; any thread may verify with it. */
struct bearer_key;
/* From SubjectPublicKeyInfo: 0, ERR_SYNTAX (malformed, another kind, an RSA key outside of 2048 to
 * 8192 bits), ERR_NOMEM. */
MUST_CHECK int bearer_key_new(enum bearer_kind kind, struct slice der, struct bearer_key **ret_key);
void bearer_key_free(struct bearer_key *k); /* NULL is fine */

/* --- tokens ---------------------------------------------------------------------------------- */

struct bearer { /* slices of the token, or in the arena */
    struct slice signed_text, signature, payload, key_id, issuer;
    struct slice type;     /* of its header; at == NULL: none */
    enum bearer_kind kind; /* that its algorithm is for */
};

/* Whether it has the form of a token at all: what has not is somebody's key. */
bool bearer_looks_like(struct slice text);
/* 0; ERR_SYNTAX, ERR_LIMIT (over limit_bytes, another algorithm, critical extensions, no key id);
 * nothing in it is to be believed yet. */
MUST_CHECK int bearer_read(struct slice token, size_t limit_bytes, struct arena *a,
                           struct bearer *ret);
/* 0 or ERR_AUTH: the signature is not this key's, or the key is of another kind. */
MUST_CHECK int bearer_verify(const struct bearer *b, const struct bearer_key *key);
/* After the signature: for whom, and when. 0 with the end in seconds since 1970, or ERR_AUTH with a
 * static text. An end is needed. */
MUST_CHECK int bearer_check(const struct bearer *b, struct slice audience, int64_t now_s,
                            int64_t *ret_expires_s, const char **ret_why);
/* A claim that is a text: 0, or ERR_NOT_FOUND. */
MUST_CHECK int bearer_claim(const struct bearer *b, const char *name, struct arena *a,
                            struct slice *ret_text);

#endif
