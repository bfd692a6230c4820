/* What is sent to token endpoints, and how their answers are read. */
#include "tests/unit/check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "dataplane/upstream/oauth_grant.h"
#include "lib/base/buf.h"
#include "lib/json/scan.h"

static char pem[4096];

static int
make_key(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(out, &text);
    memcpy(pem, text, (size_t)n);
    BIO_free(out);
    EVP_PKEY_free(key);
    return n > 0 ? 0 : -1;
}

static int
make(enum oauth_kind kind, const char *credential, struct oauth_grant *g, const char **ret_why)
{
    static struct arena a;
    arena_free(&a);
    return oauth_grant_make(kind, slice_of(credential), INT64_C(1700000000000), &a, g, ret_why);
}

static void
test_google(void **state)
{
    struct buf json;
    struct oauth_grant g;
    const char *why = NULL;
    (void)state;
    buf_init(&json, 0);
    assert_int_equal(buf_add_str(&json, "{\"type\":\"service_account\",\"client_email\":\"e@x\","
                                        "\"token_uri\":\"https://t.example:8443/a?b=c\","
                                        "\"private_key\":"),
                     0);
    assert_int_equal(json_quote(&json, slice_of(pem)), 0);
    assert_int_equal(buf_add_str(&json, "}"), 0);
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(oauth_grant_make(OAUTH_GOOGLE, buf_slice(&json), 1000, &a, &g, &why), 0);
    assert_true(g.url.https);
    assert_slice_is(g.url.host, "t.example");
    assert_int_equal(g.url.port, 8443);
    assert_slice_is(g.url.path, "/a?b=c");
    struct slice body = secret_reveal(&g.body);
    struct slice start = SLICE("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
                               "&assertion=eyJ");
    assert_true(slice_starts(body, start));
    struct slice rest = body;
    assert_int_equal(slice_cut(&rest, '.').len > 0, 1);
    assert_int_equal(slice_cut(&rest, '.').len > 0, 1);
    assert_int_equal(rest.len, 342); /* 2048 bits */
    secret_free(&g.body);
    arena_free(&a);
    buf_free(&json);
}

static void
test_google_refused(void **state)
{
    struct oauth_grant g;
    const char *why = NULL;
    (void)state;
    assert_int_equal(make(OAUTH_GOOGLE, "{\"type\":\"x\"}", &g, &why), ERR_SYNTAX);
    assert_non_null(strstr(why, "type"));
    assert_int_equal(make(OAUTH_GOOGLE,
                          "{\"type\":\"service_account\",\"client_email\":\"e\","
                          "\"private_key\":\"k\",\"token_uri\":\"ftp://x\"}",
                          &g, &why),
                     ERR_SYNTAX);
    assert_non_null(strstr(why, "token_uri"));
    assert_int_equal(
        make(OAUTH_GOOGLE,
             "{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\"}", &g,
             &why),
        ERR_SYNTAX);
    assert_non_null(strstr(why, "private_key"));
    assert_null(g.body.at);
}

#define SCOPE "https%3A%2F%2Fcognitiveservices.azure.com%2F.default"

static void
test_entra(void **state)
{
    struct oauth_grant g;
    const char *why = NULL;
    (void)state;
    assert_int_equal(make(OAUTH_ENTRA,
                          "{\"tenant_id\":\"contoso.example\",\"client_id\":\"app\","
                          "\"client_secret\":\"s~+&\\u00e9 \\\"\"}",
                          &g, &why),
                     0);
    assert_true(g.url.https);
    assert_slice_is(g.url.host, "login.microsoftonline.com");
    assert_slice_is(g.url.path, "/contoso.example/oauth2/v2.0/token");
    assert_slice_is(secret_reveal(&g.body),
                    "client_id=app&scope=" SCOPE "&client_secret=s~%2B%26%C3%A9%20%22"
                    "&grant_type=client_credentials");
    secret_free(&g.body);
    assert_int_equal(make(OAUTH_ENTRA,
                          "{\"tenant_id\":\"t\",\"client_id\":\"a\",\"client_secret\":\"s\","
                          "\"authority\":\"http://127.0.0.1:99/base//\"}",
                          &g, &why),
                     0);
    assert_false(g.url.https);
    assert_int_equal(g.url.port, 99);
    assert_slice_is(g.url.path, "/base/t/oauth2/v2.0/token");
    secret_free(&g.body);
}

static void
test_entra_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"[1]", "one JSON object"},
        {"{\"client_id\":\"a\",\"client_secret\":\"s\"}", "tenant_id"},
        {"{\"tenant_id\":\"a/b\",\"client_id\":\"a\",\"client_secret\":\"s\"}", "tenant_id"},
        {"{\"tenant_id\":\"..\",\"client_id\":\"a\",\"client_secret\":\"s\"}", "tenant_id"},
        {"{\"tenant_id\":\"a?b\",\"client_id\":\"a\",\"client_secret\":\"s\"}", "tenant_id"},
        {"{\"tenant_id\":\"t\",\"client_id\":\"\",\"client_secret\":\"s\"}", "client_id"},
        {"{\"tenant_id\":\"t\",\"client_id\":\"a\",\"client_secret\":7}", "client_secret"},
        {"{\"tenant_id\":\"t\",\"client_id\":\"a\",\"client_secret\":\"s\",\"authority\":\"x\"}",
         "authority"},
        {"{\"tenant_id\":\"t\",\"client_id\":\"a\",\"client_secret\":\"s\","
         "\"authority\":\"https://x/a?b\"}",
         "authority"},
    };
    struct oauth_grant g;
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(make(OAUTH_ENTRA, rows[i].json, &g, &why), ERR_SYNTAX);
        assert_non_null(strstr(why, rows[i].part));
        assert_null(g.body.at);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
test_good_answers(void **state)
{
    static const struct {
        const char *body;
        int64_t life_ms;
    } rows[] = {
        {"{\"access_token\":\"ya29.x\",\"expires_in\":3599,\"token_type\":\"Bearer\"}", 3599000},
        {"{\"access_token\":\"ya29.x\",\"expires_in\":\"120\",\"token_type\":\"bearer\"}", 120000},
        {"{\"access_token\":\"ya29.x\"}", 300000},
        {"{\"access_token\":\"ya29.x\",\"expires_in\":86400}", 86400000},
        {"{\"access_token\":\"ya29.x\",\"expires_in\":86401}", 86400000},
        {"{\"access_token\":\"ya29.x\",\"expires_in\":99999999999999999999999}", 86400000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct secret token;
        char why[96];
        int64_t life = 0;
        assert_int_equal(
            oauth_grant_read(200, slice_of(rows[i].body), &token, &life, why, sizeof why), 0);
        assert_slice_is(secret_reveal(&token), "ya29.x");
        assert_int_equal(life, rows[i].life_ms);
        secret_free(&token);
    }
}

static void
test_bad_answers(void **state)
{
    static const struct {
        int status, err;
        const char *body, *why;
    } rows[] = {
        {200, ERR_PROTOCOL, "<html>", "the token endpoint's answer is no JSON object"},
        {200, ERR_PROTOCOL, "{}", "the token endpoint's answer has no usable access_token"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"\"}",
         "the token endpoint's answer has no usable access_token"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\\r\\nx: y\"}",
         "the token endpoint's answer has no usable access_token"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
         "the token endpoint's answer is for another token_type"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\",\"token_type\":3}",
         "the token endpoint's answer is for another token_type"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\",\"expires_in\":0}",
         "the token endpoint's answer has a malformed expires_in"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\",\"expires_in\":-5}",
         "the token endpoint's answer has a malformed expires_in"},
        {200, ERR_PROTOCOL, "{\"access_token\":\"a\",\"expires_in\":null}",
         "the token endpoint's answer has a malformed expires_in"},
        {401, ERR_AUTH, "{\"error\":\"invalid_client\",\"error_description\":\"secret!\"}",
         "the token endpoint answered 401 (invalid_client)"},
        {400, ERR_AUTH, "{\"error\":\"Bad Things\"}", "the token endpoint answered 400"},
        {403, ERR_AUTH, "<html>", "the token endpoint answered 403"},
        {429, ERR_UNAVAILABLE, "", "the token endpoint answered 429"},
        {503, ERR_UNAVAILABLE, "", "the token endpoint answered 503"},
        {302, ERR_PROTOCOL, "", "the token endpoint answered 302"},
        {204, ERR_PROTOCOL, "", "the token endpoint answered 204"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct secret token = {0};
        char why[96];
        int64_t life = 0;
        assert_int_equal(oauth_grant_read(rows[i].status, slice_of(rows[i].body), &token, &life,
                                          why, sizeof why),
                         rows[i].err);
        assert_string_equal(why, rows[i].why);
        assert_null(token.at);
    }
}

static void
test_token_limit(void **state)
{
    static char body[LIMIT_OAUTH_TOKEN_BYTES + 64];
    (void)state;
    for (size_t n = LIMIT_OAUTH_TOKEN_BYTES; n <= LIMIT_OAUTH_TOKEN_BYTES + 1; n++) {
        struct secret token = {0};
        char why[96];
        int64_t life;
        int len = snprintf(body, sizeof body, "{\"access_token\":\"");
        memset(body + len, 't', n);
        memcpy(body + (size_t)len + n, "\"}", 2);
        int err = oauth_grant_read(200, slice_make(body, (size_t)len + n + 2), &token, &life, why,
                                   sizeof why);
        assert_int_equal(err, n == LIMIT_OAUTH_TOKEN_BYTES ? 0 : ERR_PROTOCOL);
        secret_free(&token);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_google),       cmocka_unit_test(test_google_refused),
        cmocka_unit_test(test_entra),        cmocka_unit_test(test_entra_refused),
        cmocka_unit_test(test_good_answers), cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_token_limit),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
