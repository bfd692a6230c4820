#include "lib/sign/jwt.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/encode.h"
#include "lib/json/scan.h"

#define DEFAULT_TOKEN_URI "https://oauth2.googleapis.com/token"
#define MIN_KEY_BITS 2048
#define MAX_KEY_BITS 16384
#define MAX_SIGNATURE_BYTES (MAX_KEY_BITS / 8)
#define TOKEN_BYTES 16384 /* more than any token has: it never moves and leaves no copy behind */

/* --- the account ------------------------------------------------------------------------------ */

enum member { TYPE, EMAIL, KEY, KEY_ID, TOKEN_URI, MEMBERS };
static const char *const members[MEMBERS] = {
    [TYPE] = "type",           [EMAIL] = "client_email",
    [KEY] = "private_key",     [KEY_ID] = "private_key_id",
    [TOKEN_URI] = "token_uri",
};

struct reading {
    struct slice json;
    struct json_span spans[MEMBERS];
    struct arena arena;
    const char *why;
};

static int
refuse(struct reading *r, int err, const char *why)
{
    r->why = why;
    return err;
}

/* A text; the fallback where it is absent, or `why` where there is no fallback. */
static int
read_text(struct reading *r, enum member m, const char *fallback, const char *why, char **ret_text)
{
    struct slice value = slice_of(fallback);
    if (r->spans[m].kind == JSON_ABSENT && !fallback)
        return refuse(r, ERR_SYNTAX, why);
    if (r->spans[m].kind != JSON_ABSENT && json_text(r->json, r->spans[m], &r->arena, &value) != 0)
        return refuse(r, ERR_SYNTAX, why);
    if (value.len > LIMIT_ACCOUNT_TEXT_BYTES || (!fallback && value.len == 0))
        return refuse(r, ERR_LIMIT, why);
    *ret_text = slice_dup(value);
    return *ret_text ? 0 : refuse(r, ERR_NOMEM, "no memory");
}

static bool
is_within(struct slice inner, struct slice outer)
{
    return inner.at >= outer.at && inner.at < outer.at + outer.len;
}

static int
read_key(struct reading *r, struct secret *ret_key)
{
    struct slice pem;
    int err = json_text(r->json, r->spans[KEY], &r->arena, &pem);
    if (err != 0 || pem.len == 0)
        return refuse(r, ERR_SYNTAX, "private_key must be a private key in PEM form");
    err = secret_set(ret_key, pem.at, pem.len);
    if (!is_within(pem, r->json)) /* decoded into the arena: our copy to wipe */
        secret_wipe((char *)(uintptr_t)pem.at, pem.len);
    return err != 0 ? refuse(r, err, "no memory") : 0;
}

static int
read_account(struct reading *r, struct service_account *a)
{
    struct json_error error;
    struct slice type = {0};
    if (json_scan(r->json, &json_limits_default, members, MEMBERS, r->spans, NULL, &error) != 0)
        return refuse(r, ERR_SYNTAX, "a service account is one JSON object");
    if (json_text(r->json, r->spans[TYPE], &r->arena, &type) != 0 ||
        !slice_is(type, "service_account"))
        return refuse(r, ERR_SYNTAX, "type must be \"service_account\"");
    int err = read_text(r, EMAIL, NULL, "client_email must be a text of 1 to 1024 bytes",
                        &a->client_email);
    if (err == 0)
        err = read_text(r, KEY_ID, "", "private_key_id must be a text of up to 1024 bytes",
                        &a->private_key_id);
    if (err == 0)
        err = read_text(r, TOKEN_URI, DEFAULT_TOKEN_URI,
                        "token_uri must be a text of up to 1024 bytes", &a->token_uri);
    return err == 0 ? read_key(r, &a->private_key) : err;
}

int
service_account_read(struct slice json, struct service_account *ret_account, const char **ret_why)
{
    struct reading r = {.json = json, .why = ""};
    struct service_account a = {0};
    int err = json.len > LIMIT_ACCOUNT_BYTES
                  ? refuse(&r, ERR_LIMIT, "a service account has at most 64 KiB")
                  : 0;
    arena_init(&r.arena, 2 * LIMIT_ACCOUNT_BYTES);
    if (err == 0)
        err = read_account(&r, &a);
    arena_free(&r.arena);
    *ret_why = r.why;
    if (err == 0)
        *ret_account = a;
    else
        service_account_free(&a);
    return err;
}

void
service_account_free(struct service_account *a)
{
    if (!a)
        return;
    free(a->client_email);
    free(a->private_key_id);
    free(a->token_uri);
    secret_free(&a->private_key);
    *a = (struct service_account){0};
}

/* --- the token -------------------------------------------------------------------------------- */

static int
refuse_passphrase(char *into, int size, int writing, void *ctx)
{
    (void)into;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1; /* instead of asking at the terminal */
}

/* NULL: not a key of ours. */
static EVP_PKEY *
read_pem(const struct secret *pem)
{
    struct slice text = secret_reveal(pem);
    BIO *in = text.len > 0 ? BIO_new_mem_buf(text.at, (int)text.len) : NULL;
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, refuse_passphrase, NULL) : NULL;
    BIO_free(in);
    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
        EVP_PKEY_get_bits(key) >= MIN_KEY_BITS && EVP_PKEY_get_bits(key) <= MAX_KEY_BITS)
        return key;
    EVP_PKEY_free(key);
    ERR_clear_error(); /* the thread's queue is TLS's too */
    return NULL;
}

static int
sign_rs256(EVP_PKEY *key, struct slice text, unsigned char *signature, size_t *ret_len)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    *ret_len = MAX_SIGNATURE_BYTES;
    bool done =
        c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(c, signature, ret_len, (const unsigned char *)text.at, text.len) == 1;
    EVP_MD_CTX_free(c);
    if (!done)
        ERR_clear_error();
    return done ? 0 : ERR_NOMEM;
}

/* Appends the URL form of Base64. */
static int
add_encoded(struct buf *into, const void *bytes, size_t n)
{
    char *at = buf_reserve(into, BASE64_BYTES(n));
    if (!at)
        return ERR_LIMIT;
    buf_commit(into, base64url_encode(bytes, n, at));
    return 0;
}

/* Appends ,"name":"text". */
static int
add_member(struct buf *into, const char *name, struct slice text)
{
    int err = buf_addf(into, "%s\"%s\":", into->len > 1 ? "," : "", name);
    return err != 0 ? err : json_quote(into, text);
}

static int
add_header(struct buf *into, const struct service_account *a)
{
    struct buf json;
    buf_init(&json, 0);
    int err = buf_add_str(&json, "{");
    err = err != 0 ? err : add_member(&json, "alg", SLICE("RS256"));
    err = err != 0 ? err : add_member(&json, "typ", SLICE("JWT"));
    if (a->private_key_id[0])
        err = err != 0 ? err : add_member(&json, "kid", slice_of(a->private_key_id));
    err = err != 0 ? err : buf_add_str(&json, "}");
    err = err != 0 ? err : add_encoded(into, json.at, json.len);
    buf_free(&json);
    return err;
}

static int
add_claims(struct buf *into, const struct service_account *a, struct slice scope, int64_t issued_s)
{
    struct buf json;
    buf_init(&json, 0);
    int err = buf_add_str(&json, "{");
    err = err != 0 ? err : add_member(&json, "iss", slice_of(a->client_email));
    err = err != 0 ? err : add_member(&json, "scope", scope);
    err = err != 0 ? err : add_member(&json, "aud", slice_of(a->token_uri));
    err = err != 0 ? err
                   : buf_addf(&json, ",\"iat\":%lld,\"exp\":%lld}", (long long)issued_s,
                              (long long)issued_s + JWT_LIFE_S);
    err = err != 0 ? err : add_encoded(into, json.at, json.len);
    buf_free(&json);
    return err;
}

static int
add_signature(struct buf *token, EVP_PKEY *key)
{
    unsigned char signature[MAX_SIGNATURE_BYTES];
    size_t n;
    int err = sign_rs256(key, buf_slice(token), signature, &n);
    err = err != 0 ? err : buf_add_str(token, ".");
    return err != 0 ? err : add_encoded(token, signature, n);
}

int
jwt_make(const struct service_account *a, struct slice scope, int64_t issued_s,
         struct secret *ret_token)
{
    struct buf token;
    EVP_PKEY *key = read_pem(&a->private_key);
    if (!key)
        return ERR_SYNTAX;
    buf_init(&token, TOKEN_BYTES);
    int err = buf_reserve(&token, TOKEN_BYTES) ? add_header(&token, a) : ERR_NOMEM;
    err = err != 0 ? err : buf_add_str(&token, ".");
    err = err != 0 ? err : add_claims(&token, a, scope, issued_s);
    err = err != 0 ? err : add_signature(&token, key);
    if (err == 0)
        err = secret_set(ret_token, token.at, token.len);
    EVP_PKEY_free(key);
    buf_wipe(&token);
    return err;
}
