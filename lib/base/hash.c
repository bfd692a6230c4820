/* The SHA256_* functions are deprecated in favour of EVP, which allocates and locks on every
 * digest and costs five times as much for the short inputs hashed on every request. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "lib/base/hash.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rand.h"

#define BLOCK_BYTES 64
#define NONCE_BYTES 12
#define TAG_BYTES 16

void
hash_sha256(const void *bytes, size_t n, unsigned char ret_digest[static SHA256_BYTES])
{
    /* Not SHA256(): that one fetches the algorithm anew each time, allocates, and can fail. */
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, bytes, n);
    SHA256_Final(ret_digest, &ctx);
}

void
hash_sha256_pieces(const struct slice *pieces, size_t count,
                   unsigned char ret_digest[static SHA256_BYTES])
{
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    for (size_t i = 0; i < count; i++)
        SHA256_Update(&ctx, pieces[i].at, pieces[i].len);
    SHA256_Final(ret_digest, &ctx);
}

/* --- HMAC (RFC 2104) -------------------------------------------------------------------------- */

struct hmac {
    SHA256_CTX inner, outer; /* after their first block, the padded key */
};

static void
start_with(SHA256_CTX *ctx, const unsigned char key[static BLOCK_BYTES], unsigned char pad)
{
    unsigned char block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(ctx);
    SHA256_Update(ctx, block, BLOCK_BYTES);
    secret_wipe(block, sizeof(block));
}

struct hmac *
hmac_new(const void *key, size_t n)
{
    unsigned char block[BLOCK_BYTES] = {0};
    struct hmac *h = n > 0 ? malloc(sizeof(*h)) : NULL;
    if (!h)
        return NULL;
    if (n > BLOCK_BYTES)
        hash_sha256(key, n, block);
    else
        memcpy(block, key, n);
    start_with(&h->inner, block, 0x36);
    start_with(&h->outer, block, 0x5c);
    secret_wipe(block, sizeof(block));
    return h;
}

void
hmac_free(struct hmac *h)
{
    if (!h)
        return;
    secret_wipe(h, sizeof(*h));
    free(h);
}

void
hmac_sha256(struct hmac *h, const void *bytes, size_t n, unsigned char ret_mac[static SHA256_BYTES])
{
    unsigned char digest[SHA256_BYTES];
    SHA256_CTX ctx = h->inner;
    SHA256_Update(&ctx, bytes, n);
    SHA256_Final(digest, &ctx);
    ctx = h->outer;
    SHA256_Update(&ctx, digest, sizeof(digest));
    SHA256_Final(ret_mac, &ctx);
}

/* --- AES-256-GCM ------------------------------------------------------------------------------ */

static const unsigned char *
bytes_of(struct slice s)
{
    return (const unsigned char *)s.at;
}

static bool
encrypt(EVP_CIPHER_CTX *c, const unsigned char *key, struct slice head, struct slice context,
        struct slice plain, unsigned char *nonce)
{
    unsigned char *text = nonce + NONCE_BYTES;
    int n = 0;
    return EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, bytes_of(head), (int)head.len) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, bytes_of(context), (int)context.len) == 1 &&
           EVP_EncryptUpdate(c, text, &n, bytes_of(plain), (int)plain.len) == 1 &&
           EVP_EncryptFinal_ex(c, text + plain.len, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + plain.len) == 1;
}

int
seal(const unsigned char key[static SEAL_KEY_BYTES], struct slice head, struct slice context,
     struct slice plain, void *ret_sealed)
{
    unsigned char *out = ret_sealed;
    if (plain.len > INT_MAX / 2 || context.len > INT_MAX / 2 || head.len > INT_MAX / 2)
        return ERR_RANGE;
    memcpy(out, head.at, head.len);
    rand_bytes(out + head.len, NONCE_BYTES);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool done = c && encrypt(c, key, head, context, plain, out + head.len);
    EVP_CIPHER_CTX_free(c);
    return done ? 0 : ERR_NOMEM;
}

static bool
decrypt(EVP_CIPHER_CTX *c, const unsigned char *key, struct slice head, struct slice context,
        const unsigned char *nonce, size_t plain_len, unsigned char *out)
{
    const unsigned char *text = nonce + NONCE_BYTES;
    unsigned char tag[TAG_BYTES];
    int n = 0;
    memcpy(tag, text + plain_len, TAG_BYTES);
    return EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, bytes_of(head), (int)head.len) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, bytes_of(context), (int)context.len) == 1 &&
           EVP_DecryptUpdate(c, out, &n, text, (int)plain_len) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(c, out + plain_len, &n) == 1;
}

int
unseal(const unsigned char key[static SEAL_KEY_BYTES], size_t head_bytes, struct slice context,
       struct slice sealed, struct secret *ret_plain)
{
    struct secret plain;
    if (sealed.len < SEALED_MORE_BYTES || head_bytes > sealed.len - SEALED_MORE_BYTES ||
        sealed.len > INT_MAX / 2 || context.len > INT_MAX / 2)
        return ERR_SYNTAX;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (!c)
        return ERR_NOMEM;
    int e = secret_set(&plain, NULL, sealed.len - SEALED_MORE_BYTES - head_bytes);
    if (e == 0 && !decrypt(c, key, slice_make(sealed.at, head_bytes), context,
                           bytes_of(sealed) + head_bytes, plain.len, plain.at)) {
        secret_free(&plain);
        e = ERR_AUTH;
    }
    EVP_CIPHER_CTX_free(c);
    if (e == 0)
        *ret_plain = plain;
    return e;
}

/* --- Ed25519 ---------------------------------------------------------------------------------- */

int
sign_generate(unsigned char ret_secret[static SIGN_SECRET_BYTES],
              unsigned char ret_public[static SIGN_PUBLIC_BYTES])
{
    rand_bytes(ret_secret, SIGN_SECRET_BYTES); /* any 32 bytes are a key (RFC 8032, 5.1.5) */
    return sign_public(ret_secret, ret_public);
}

int
sign_public(const unsigned char secret[static SIGN_SECRET_BYTES],
            unsigned char ret_public[static SIGN_PUBLIC_BYTES])
{
    size_t n = SIGN_PUBLIC_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SIGN_SECRET_BYTES);
    bool done = key && EVP_PKEY_get_raw_public_key(key, ret_public, &n) == 1;
    EVP_PKEY_free(key);
    return done ? 0 : ERR_NOMEM;
}

int
sign_make(const unsigned char secret[static SIGN_SECRET_BYTES], struct slice message,
          unsigned char ret_signature[static SIGNATURE_BYTES])
{
    size_t n = SIGNATURE_BYTES;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SIGN_SECRET_BYTES);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool done =
        key && c && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestSign(c, ret_signature, &n, (const unsigned char *)message.at, message.len) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    return done ? 0 : ERR_NOMEM;
}

int
sign_verify(const unsigned char public[static SIGN_PUBLIC_BYTES], struct slice message,
            const unsigned char signature[static SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, SIGN_PUBLIC_BYTES);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = key && c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(c, signature, SIGNATURE_BYTES, (const unsigned char *)message.at,
                                 message.len) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    return good ? 0 : ERR_AUTH;
}
