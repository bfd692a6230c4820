/* ID tokens under an Ed25519 key: what is believed, and that each check counts. */
#include "tests/unit/check.h"

#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/sign/bearer.h"
#include "lib/sign/id_token.h"

#define NOW 1800000000
#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"k1\"}"
#define NONCE "n0nce"

static unsigned char secret[SIGN_SECRET_BYTES];
static struct json *keys;
static char token[4 * LIMIT_ID_TOKEN_BYTES];

static struct json *
key_list(const char *kid, const char *kind)
{
    unsigned char der[12 + SIGN_PUBLIC_BYTES] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    char hex[2 * sizeof(der) + 1], text[512];
    struct json *list = NULL;
    assert_int_equal(sign_public(secret, der + 12), 0);
    hex_encode(der, sizeof(der), hex);
    snprintf(text, sizeof(text), "[{\"kid\":\"%s\",\"kind\":\"%s\",\"der\":\"%s\"}]", kid, kind,
             hex);
    assert_int_equal(json_parse(slice_of(text), &list, NULL, 0), 0);
    return list;
}

static int
set_up(void **state)
{
    unsigned char public[SIGN_PUBLIC_BYTES];
    (void)state;
    assert_int_equal(sign_generate(secret, public), 0);
    keys = key_list("k1", "ed25519");
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    json_free(keys);
    return 0;
}

/* A token signed with our key, whatever is in it. */
static struct slice
sign_token(const char *header, const char *claims)
{
    unsigned char signature[SIGNATURE_BYTES];
    size_t n = base64url_encode(header, strlen(header), token);
    token[n++] = '.';
    n += base64url_encode(claims, strlen(claims), token + n);
    assert_int_equal(sign_make(secret, slice_make(token, n), signature), 0);
    token[n++] = '.';
    n += base64url_encode(signature, sizeof(signature), token + n);
    return slice_make(token, n);
}

static int
check_with(const struct json *with, const char *header, const char *claims, const char **ret_why)
{
    const struct id_token_want want = {.issuer = SLICE("https://idp"),
                                       .client_id = SLICE("us"),
                                       .nonce = SLICE(NONCE),
                                       .keys = with,
                                       .now_s = NOW};
    struct json *got = NULL;
    int err = id_token_check(sign_token(header, claims), &want, &got, ret_why);
    json_free(got);
    return err;
}

/* The claims of a good token but for what `more` says; a member that is there twice is an error of
 * the test's. */
static int
check(const char *iss, const char *aud, const char *more)
{
    char claims[2048];
    const char *why;
    snprintf(claims, sizeof(claims), "{\"iss\":%s,\"aud\":%s,%s}", iss, aud, more);
    return check_with(keys, HEADER, claims, &why);
}

#define GOOD_TIMES "\"exp\":1800000300,\"iat\":1799999990"
#define REST "\"sub\":\"s\",\"nonce\":\"" NONCE "\""

static void
test_what_is_believed(void **state)
{
    (void)state;
    const char *why;
    assert_int_equal(check("\"https://idp\"", "\"us\"", GOOD_TIMES "," REST), 0);
    assert_int_equal(check("\"https://idp\"", "[\"us\"]", GOOD_TIMES "," REST), 0);
    assert_int_equal(
        check("\"https://idp\"", "[\"us\",\"x\"]", "\"azp\":\"us\"," GOOD_TIMES "," REST), 0);
    assert_int_equal(check_with(keys, "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"JWT\"}",
                                "{\"iss\":\"https://idp\",\"aud\":\"us\"," GOOD_TIMES "," REST "}",
                                &why),
                     0);
}

static void
test_f152_one_thing_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *iss, *aud, *rest;
    } bad[] = {
        {"\"https://idp/\"", "\"us\"", GOOD_TIMES "," REST},
        {"null", "\"us\"", GOOD_TIMES "," REST},
        {"\"https://idp\"", "\"them\"", GOOD_TIMES "," REST},
        {"\"https://idp\"", "[\"us\",\"x\"]", GOOD_TIMES "," REST},
        {"\"https://idp\"", "\"us\"", "\"azp\":\"them\"," GOOD_TIMES "," REST},
        {"\"https://idp\"", "\"us\"", "\"azp\":7," GOOD_TIMES "," REST},
        {"\"https://idp\"", "\"us\"", "\"typ\":\"Bearer\"," GOOD_TIMES "," REST},
        {"\"https://idp\"", "\"us\"", GOOD_TIMES ",\"sub\":\"s\""},
        {"\"https://idp\"", "\"us\"", GOOD_TIMES ",\"sub\":\"s\",\"nonce\":\"n0ncE\""},
        {"\"https://idp\"", "\"us\"", GOOD_TIMES ",\"sub\":\"s\",\"nonce\":\"n0nc\""},
        {"\"https://idp\"", "\"us\"", GOOD_TIMES ",\"nonce\":\"" NONCE "\""},
        {"\"https://idp\"", "\"us\"", GOOD_TIMES ",\"sub\":\"\",\"nonce\":\"" NONCE "\""},
        {"\"https://idp\"", "\"us\"", "\"iat\":1799999990," REST},
        {"\"https://idp\"", "\"us\"", "\"exp\":1800000300," REST},
        {"\"https://idp\"", "\"us\"", "\"exp\":1800000300,\"iat\":\"1799999990\"," REST},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (check(bad[i].iss, bad[i].aud, bad[i].rest) != ERR_AUTH)
            fail_msg("%zu was not refused", i);
}

/* On either side of each edge. */
static void
test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t exp, iat;
        int want;
    } rows[] = {
        {NOW - BEARER_LEEWAY_S + 1, NOW, 0},   {NOW - BEARER_LEEWAY_S, NOW, ERR_AUTH},
        {NOW + 300, NOW + BEARER_LEEWAY_S, 0}, {NOW + 300, NOW + BEARER_LEEWAY_S + 1, ERR_AUTH},
        {NOW + 300, NOW - ID_TOKEN_AGE_S, 0},  {NOW + 300, NOW - ID_TOKEN_AGE_S - 1, ERR_AUTH},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[256];
        snprintf(rest, sizeof(rest), "\"exp\":%lld,\"iat\":%lld," REST, (long long)rows[i].exp,
                 (long long)rows[i].iat);
        assert_int_equal(check("\"https://idp\"", "\"us\"", rest), rows[i].want);
    }
}

static void
test_keys(void **state)
{
    (void)state;
    const char *why, *claims = "{\"iss\":\"https://idp\",\"aud\":\"us\"," GOOD_TIMES "," REST "}";
    struct json *other = key_list("k2", "ed25519"), *kind = key_list("k1", "p256");
    assert_int_equal(check_with(other, HEADER, claims, &why), ERR_NOT_FOUND);
    assert_int_equal(check_with(NULL, HEADER, claims, &why), ERR_NOT_FOUND);
    assert_int_equal(check_with(kind, HEADER, claims, &why), ERR_AUTH);
    static const char *const headers[] = {
        "{\"alg\":\"none\",\"kid\":\"k1\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k1\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
        "{\"alg\":\"EdDSA\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":7}",
        "{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"crit\":[]}",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (check_with(keys, headers[i], claims, &why) != ERR_AUTH)
            fail_msg("%s was not refused", headers[i]);
    secret[0] ^= 1; /* somebody else signs */
    assert_int_equal(check_with(keys, HEADER, claims, &why), ERR_AUTH);
    secret[0] ^= 1;
    json_free(other);
    json_free(kind);
}

static void
test_length(void **state)
{
    (void)state;
    static char claims[LIMIT_ID_TOKEN_BYTES];
    const char *why;
    for (int more = 0; more < 2; more++) {
        size_t fill = more ? 60000 : 40000;
        int n =
            snprintf(claims, sizeof(claims),
                     "{\"iss\":\"https://idp\",\"aud\":\"us\"," GOOD_TIMES "," REST ",\"x\":\"");
        memset(claims + n, 'x', fill);
        snprintf(claims + n + fill, sizeof(claims) - (size_t)n - fill, "\"}");
        assert_int_equal(check_with(keys, HEADER, claims, &why), more ? ERR_AUTH : 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_believed),
        cmocka_unit_test(test_f152_one_thing_wrong),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
