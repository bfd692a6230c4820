/*
 * Service accounts and the tokens they sign: the texts are what RFC 7519 and RFC 7523 ask for, and
 * the signature is checked by OpenSSL with the public half of a key made here.
 */
#include "tests/unit/check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/base/buf.h"
#include "lib/base/encode.h"
#include "lib/json/scan.h"
#include "lib/sign/jwt.h"

static EVP_PKEY *key; /* made once: it takes a while */

static void
write_pem(EVP_PKEY *of, char *into, size_t size)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, of, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(out, &text);
    assert_true(n > 0 && (size_t)n < size);
    memcpy(into, text, (size_t)n);
    into[n] = '\0';
    BIO_free(out);
}

static int
make_key(void **state)
{
    (void)state;
    key = EVP_RSA_gen(2048);
    return key ? 0 : -1;
}

static int
free_key(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    return 0;
}

/* The account's JSON with these members (NULL: without), the key as PEM. */
static void
write_account(struct buf *into, const char *type, const char *email, const char *pem,
              const char *more)
{
    buf_init(into, 0);
    assert_int_equal(buf_addf(into, "{\"type\":\"%s\"", type), 0);
    if (email)
        assert_int_equal(buf_addf(into, ",\"client_email\":\"%s\"", email), 0);
    if (pem) {
        assert_int_equal(buf_add_str(into, ",\"private_key\":"), 0);
        assert_int_equal(json_quote(into, slice_of(pem)), 0);
    }
    assert_int_equal(buf_addf(into, "%s}", more), 0);
}

#define EMAIL "gateway@p1.iam.gserviceaccount.com"
#define MORE ",\"private_key_id\":\"k1\",\"token_uri\":\"https://t.example/token\""

static struct service_account
read_good(const char *more)
{
    char pem[4096];
    struct service_account a;
    struct buf json;
    const char *why = NULL;
    write_pem(key, pem, sizeof pem);
    write_account(&json, "service_account", EMAIL, pem, more);
    assert_int_equal(service_account_read(buf_slice(&json), &a, &why), 0);
    assert_string_equal(why, "");
    assert_slice_is(secret_reveal(&a.private_key), pem);
    buf_free(&json);
    return a;
}

static void
test_reads(void **state)
{
    (void)state;
    struct service_account a = read_good(MORE ",\"project_id\":\"p1\",\"universe_domain\":\"x\"");
    assert_string_equal(a.client_email, EMAIL);
    assert_string_equal(a.private_key_id, "k1");
    assert_string_equal(a.token_uri, "https://t.example/token");
    service_account_free(&a);
    assert_null(a.client_email);
    service_account_free(&a);
    service_account_free(NULL);
    a = read_good("");
    assert_string_equal(a.private_key_id, "");
    assert_string_equal(a.token_uri, "https://oauth2.googleapis.com/token");
    service_account_free(&a);
}

static void
assert_refused(const char *type, const char *email, const char *pem, const char *more, int err,
               const char *part)
{
    struct service_account a;
    struct buf json;
    const char *why = NULL;
    write_account(&json, type, email, pem, more);
    assert_int_equal(service_account_read(buf_slice(&json), &a, &why), err);
    assert_non_null(strstr(why, part));
    buf_free(&json);
}

static void
test_refuses(void **state)
{
    char text[1100];
    struct service_account a;
    const char *why = NULL;
    (void)state;
    assert_int_equal(service_account_read(SLICE("[]"), &a, &why), ERR_SYNTAX);
    assert_int_equal(service_account_read(SLICE("{"), &a, &why), ERR_SYNTAX);
    assert_refused("authorized_user", EMAIL, "pem", "", ERR_SYNTAX, "type");
    assert_refused("service_account", NULL, "pem", "", ERR_SYNTAX, "client_email");
    assert_refused("service_account", "", "pem", "", ERR_LIMIT, "client_email");
    assert_refused("service_account", EMAIL, NULL, "", ERR_SYNTAX, "private_key");
    assert_refused("service_account", EMAIL, "", "", ERR_SYNTAX, "private_key");
    assert_refused("service_account", EMAIL, "pem", ",\"token_uri\":3", ERR_SYNTAX, "token_uri");
    memset(text, 'e', sizeof text);
    text[LIMIT_ACCOUNT_TEXT_BYTES + 1] = '\0';
    assert_refused("service_account", text, "pem", "", ERR_LIMIT, "client_email");
    text[LIMIT_ACCOUNT_TEXT_BYTES] = '\0';
    assert_refused("service_account", text, NULL, "", ERR_SYNTAX, "private_key");
}

static void
test_size_limit(void **state)
{
    static char json[LIMIT_ACCOUNT_BYTES + 2];
    struct service_account a;
    const char *why = NULL;
    (void)state;
    memset(json, ' ', sizeof json);
    const char *good =
        "{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\"}";
    memcpy(json, good, strlen(good));
    assert_int_equal(service_account_read(slice_make(json, LIMIT_ACCOUNT_BYTES), &a, &why), 0);
    service_account_free(&a);
    assert_int_equal(service_account_read(slice_make(json, LIMIT_ACCOUNT_BYTES + 1), &a, &why),
                     ERR_LIMIT);
}

static void
assert_decodes(struct slice encoded, const char *want)
{
    char text[1024];
    size_t n;
    assert_true(encoded.len < sizeof text);
    assert_int_equal(slice_find(encoded, '=', 0), encoded.len);
    assert_int_equal(base64_decode(encoded, text, &n), 0);
    assert_slice_is(slice_make(text, n), want);
}

static bool
is_signed(struct slice text, struct slice signature)
{
    unsigned char bytes[512];
    size_t n;
    assert_int_equal(base64_decode(signature, bytes, &n), 0);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key), 1);
    int good = EVP_DigestVerify(c, bytes, n, (const unsigned char *)text.at, text.len);
    EVP_MD_CTX_free(c);
    return good == 1;
}

static void
assert_token(const char *more, const char *header, const char *claims)
{
    struct service_account a = read_good(more);
    struct secret token;
    assert_int_equal(jwt_make(&a, SLICE("https://s.example/a \"q\""), 1700000000, &token), 0);
    struct slice rest = secret_reveal(&token), all = rest;
    struct slice head = slice_cut(&rest, '.'), body = slice_cut(&rest, '.');
    assert_decodes(head, header);
    assert_decodes(body, claims);
    struct slice text = slice_make(all.at, head.len + 1 + body.len);
    assert_true(is_signed(text, rest));
    text.len--;
    assert_false(is_signed(text, rest));
    secret_free(&token);
    service_account_free(&a);
}

static void
test_token(void **state)
{
    (void)state;
    assert_token(MORE, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}",
                 "{\"iss\":\"" EMAIL "\",\"scope\":\"https://s.example/a \\\"q\\\"\","
                 "\"aud\":\"https://t.example/token\",\"iat\":1700000000,\"exp\":1700003600}");
    assert_token("", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
                 "{\"iss\":\"" EMAIL "\",\"scope\":\"https://s.example/a \\\"q\\\"\","
                 "\"aud\":\"https://oauth2.googleapis.com/token\",\"iat\":1700000000,"
                 "\"exp\":1700003600}");
}

static int
sign_with(const char *pem)
{
    struct service_account a = {.client_email = (char *)(uintptr_t) "e",
                                .private_key_id = (char *)(uintptr_t) "",
                                .token_uri = (char *)(uintptr_t) "u"};
    struct secret token;
    assert_int_equal(secret_set(&a.private_key, pem, strlen(pem)), 0);
    int err = jwt_make(&a, SLICE("s"), 0, &token);
    if (err == 0)
        secret_free(&token);
    secret_free(&a.private_key);
    return err;
}

static void
test_other_keys(void **state)
{
    char pem[8192];
    (void)state;
    assert_int_equal(sign_with("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                     ERR_SYNTAX);
    assert_int_equal(sign_with("no key"), ERR_SYNTAX);
    EVP_PKEY *ec = EVP_EC_gen("P-256"), *small = EVP_RSA_gen(1024);
    write_pem(ec, pem, sizeof pem);
    assert_int_equal(sign_with(pem), ERR_SYNTAX);
    write_pem(small, pem, sizeof pem);
    assert_int_equal(sign_with(pem), ERR_SYNTAX);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(small);
    write_pem(key, pem, sizeof pem);
    assert_int_equal(sign_with(pem), 0);
}

static void
test_scope_limit(void **state)
{
    static char scope[20000];
    struct secret token;
    (void)state;
    struct service_account a = read_good("");
    memset(scope, 's', sizeof scope);
    assert_int_equal(jwt_make(&a, slice_make(scope, 4000), 0, &token), 0);
    secret_free(&token);
    assert_int_equal(jwt_make(&a, slice_make(scope, sizeof scope), 0, &token), ERR_LIMIT);
    service_account_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),      cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_size_limit), cmocka_unit_test(test_token),
        cmocka_unit_test(test_other_keys), cmocka_unit_test(test_scope_limit),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
