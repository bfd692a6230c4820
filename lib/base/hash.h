/* SHA-256, HMAC-SHA-256, Ed25519, AES-256-GCM: thin, checked calls of OpenSSL. */
#ifndef LIB_BASE_HASH_H
#define LIB_BASE_HASH_H

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"

#define SHA256_BYTES 32
#define SEAL_KEY_BYTES 32
#define SEALED_MORE_BYTES 28 /* nonce 12, tag 16 */
#define SIGNATURE_BYTES 64
#define SIGN_PUBLIC_BYTES 32
#define SIGN_SECRET_BYTES 32

void hash_sha256(const void *bytes, size_t n, unsigned char ret_digest[static SHA256_BYTES]);
/* Of the pieces, one after the other. */
void hash_sha256_pieces(const struct slice *pieces, size_t count,
                        unsigned char ret_digest[static SHA256_BYTES]);

/* A keyed hash with its key schedule computed once; one per thread (not thread-safe). */
struct hmac;
struct hmac *hmac_new(const void *key, size_t n); /* NULL: no memory, or an empty key */
void hmac_free(struct hmac *h);
void hmac_sha256(struct hmac *h, const void *bytes, size_t n,
                 unsigned char ret_mac[static SHA256_BYTES]);

/* AES-256-GCM. Output: head | nonce | ciphertext | tag. `head` (which tells the format and the key)
 * and `context` are authenticated; the context is not stored: the same bytes must be given to open
 * ("provider/openai"). Whoever seals values of the fleet uses keyring.h. */
MUST_CHECK int seal(const unsigned char key[static SEAL_KEY_BYTES], struct slice head,
                    struct slice context, struct slice plain,
                    void *ret_sealed /* head.len + plain.len + SEALED_MORE_BYTES */);
/* Gives the plain bytes of what has a head of so many bytes: 0, ERR_AUTH, ERR_NOMEM, ERR_SYNTAX. */
MUST_CHECK int unseal(const unsigned char key[static SEAL_KEY_BYTES], size_t head_bytes,
                      struct slice context, struct slice sealed, struct secret *ret_plain);

/* Ed25519 (RFC 8032), raw keys. */
MUST_CHECK int sign_generate(unsigned char ret_secret[static SIGN_SECRET_BYTES],
                             unsigned char ret_public[static SIGN_PUBLIC_BYTES]);
MUST_CHECK int sign_public(const unsigned char secret[static SIGN_SECRET_BYTES],
                           unsigned char ret_public[static SIGN_PUBLIC_BYTES]);
MUST_CHECK int sign_make(const unsigned char secret[static SIGN_SECRET_BYTES], struct slice message,
                         unsigned char ret_signature[static SIGNATURE_BYTES]);
/* 0 or ERR_AUTH. */
MUST_CHECK int sign_verify(const unsigned char public[static SIGN_PUBLIC_BYTES],
                           struct slice message,
                           const unsigned char signature[static SIGNATURE_BYTES]);

#endif
