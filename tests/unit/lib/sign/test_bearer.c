/* Tokens and keys that another program made (PyJWT), and what becomes of them when they are
 * touched. */
#include "tests/unit/check.h"

#include "lib/base/encode.h"
#include "lib/sign/bearer.h"

#define NOW 1700000000 /* between the tokens' nbf and exp */

static const char jwk_rs256[] =
    "{\"kty\":\"RSA\",\"n\":\"ugVQltXo5FdJtYUBEy9Y8nQHG7BTHWayFo6Koj9Sy8AGWsEEkBzfD906mrdJhJ"
    "M8nF_VeZBZwaZU4APciLNGwshmbJkO-uVGu7JP7T7A_-07f4GOoS3upnbgVaJBxh-bdGm913mlnltkK_"
    "bHL1kzVq-L_oLd8lxgtYi4zMSeBIU8K2XxzLGytm8y2Xh2rITPp1xnOMSmbls1JIQKqTw1e_isTIiIDQ"
    "ZAfDsnII9QjDxkiy1rQpjqQQjyIxIukN5kxU6SjfdOfPUs5vavti-4qiJzWDkcY0gqaHexi558fq4guc"
    "JToMIE8a9hSdX4bViQHNtNBzHa6z4-PKrEzHjUQQ\",\"e\":\"AQAB\",\"kid\":\"r1\",\"use\":\"sig\",\"alg"
    "\":\"RS256\"}";

static const char token_rs256[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjpbIm90aGVyIiwiaGVhZGdhdGUiXSwic3ViIjoiYWRhIiwidGVhbSI6InJlZCIs"
    "ImV4cCI6MjAwMDAwMDAwMCwibmJmIjoxMDAwMDAwMDAwfQ.soFYxdB4NHmSpojaGz07UtD8gR4Rm2WTn"
    "LfHZ3ab2yn1ang0UxQYJx-TzR4OzB39v0Bddhc_GwJkmCyW97wpyXsrxPRghFCE4nPzpzrSeLcqqa9iI"
    "iQm3MjDuDzsm5RmexRCfK7-e1pBKW0GDC_2s7wwJuG6EORNh3tXZAzlVZuixnsRwXCjlXcjZRSscTQP-"
    "ie_VMF3gIb-uWzXxt4jgrdUcWlf9PY87WYj4Plr-DH4bQREQWOxU0ebMavflWY3OemvgyNdylyw2gTif"
    "2k_MNQogPqQn3eYY6Vimon_-7kSeS64BH7PE577XDjAoveEBBbkd3Det8CUJ_odz8WsjA";

static const char jwk_es256[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"T0sl-ssQ53y_Maem4fLu5sATu_ohYCYh0V-sK91jUVk\",\"y\":"
    "\"_06gRU2f7njNT7B0aHhFEDIvG7nOiYSDTdz3psDej1k\",\"kid\":\"e1\",\"use\":\"sig\",\"alg\":\"ES25"
    "6\"}";

static const char token_es256[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjpbIm90aGVyIiwiaGVhZGdhdGUiXSwic3ViIjoiYWRhIiwidGVhbSI6InJlZCIs"
    "ImV4cCI6MjAwMDAwMDAwMCwibmJmIjoxMDAwMDAwMDAwfQ.UUXMxY_x8lPlughCD_rkc0wpUJqVV2SmM"
    "1CS2a3X1D4ogzsFgq3Dxcu0cozY6k4CP00tPbwYlRsJX2Yf-ZqMyA";

static const char jwk_eddsa[] =
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"vbZVvU0Ctsafl7oGQyJJ0trINy3yF8tfGEvRrKtvQfg\",\""
    "kid\":\"e1\",\"use\":\"sig\",\"alg\":\"EdDSA\"}";

static const char token_eddsa[] =
    "eyJhbGciOiJFZERTQSIsImtpZCI6ImUxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjpbIm90aGVyIiwiaGVhZGdhdGUiXSwic3ViIjoiYWRhIiwidGVhbSI6InJlZCIs"
    "ImV4cCI6MjAwMDAwMDAwMCwibmJmIjoxMDAwMDAwMDAwfQ.XPaf6du9qYHBJXn4-2XuK8hfrziRVj73l"
    "8Sq6Ji8-zcGEAGWBtcXlVpi8yskWF6CqEhQIkv-JVXaeGZPdr4XAA";

static const struct {
    const char *jwk, *token;
    enum bearer_kind kind;
} made[] = {
    {jwk_rs256, token_rs256, BEARER_RSA},
    {jwk_es256, token_es256, BEARER_P256},
    {jwk_eddsa, token_eddsa, BEARER_ED25519},
};
#define MADE (sizeof(made) / sizeof(made[0]))

static struct arena arena;

static int
set_up(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct bearer_key *
key_of(size_t i)
{
    struct bearer_key *key = NULL;
    struct bearer_jwk jwk;

    assert_int_equal(bearer_jwk_read(slice_of(made[i].jwk), &arena, &jwk), 0);
    assert_int_equal(jwk.kind, made[i].kind);
    assert_int_equal(bearer_key_new(jwk.kind, jwk.der, &key), 0);
    return key;
}

static void
test_each_kind_is_verified_by_its_own_key_only(void **state)
{
    struct slice text;
    const char *why;
    struct bearer b;
    int64_t expires;

    (void)state;
    for (size_t i = 0; i < MADE; i++) {
        assert_true(bearer_looks_like(slice_of(made[i].token)));
        assert_int_equal(bearer_read(slice_of(made[i].token), LIMIT_BEARER_BYTES, &arena, &b), 0);
        assert_slice_is(b.issuer, "https://idp.example");
        for (size_t k = 0; k < MADE; k++) {
            struct bearer_key *key = key_of(k);

            assert_int_equal(bearer_verify(&b, key), k == i ? 0 : ERR_AUTH);
            bearer_key_free(key);
        }
        assert_int_equal(bearer_check(&b, SLICE("headgate"), NOW, &expires, &why), 0);
        assert_true(expires == 2000000000);
        assert_int_equal(bearer_claim(&b, "sub", &arena, &text), 0);
        assert_slice_is(text, "ada");
        assert_int_equal(bearer_claim(&b, "exp", &arena, &text), ERR_NOT_FOUND); /* no text */
        assert_int_equal(bearer_claim(&b, "none", &arena, &text), ERR_NOT_FOUND);
    }
}

/* Each character of a token changed to another of its alphabet: never believed. The last one of a
 * part may have bits that count for nothing. */
static void
test_a_changed_token_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MADE; i++) {
        struct bearer_key *key = key_of(i);
        char text[1024];
        size_t len = strlen(made[i].token);

        for (size_t at = 0; at < len; at++) {
            struct bearer b;
            bool last = at + 1 == len || made[i].token[at + 1] == '.';

            memcpy(text, made[i].token, len + 1);
            text[at] = text[at] == 'A' ? 'B' : 'A';
            if (text[at] == '.' || last)
                continue;
            if (bearer_read(slice_make(text, len), LIMIT_BEARER_BYTES, &arena, &b) == 0 &&
                bearer_verify(&b, key) == 0)
                fail_msg("kind %d: believed with its byte %zu changed", made[i].kind, at);
        }
        for (size_t cut = 0; cut < len; cut++) {
            struct bearer b;

            if (bearer_read(slice_make(made[i].token, cut), LIMIT_BEARER_BYTES, &arena, &b) == 0 &&
                bearer_verify(&b, key) == 0)
                fail_msg("kind %d: believed when cut to %zu", made[i].kind, cut);
        }
        bearer_key_free(key);
    }
}

static void
test_time_and_audience(void **state)
{
    static const struct {
        const char *audience, *says;
        int64_t now;
        int err;
    } rows[] = {
        {"headgate", "", NOW, 0},
        {"other", "", NOW, 0},
        {"headgat", "another audience", NOW, ERR_AUTH},
        {"headgate2", "another audience", NOW, ERR_AUTH},
        {"", "another audience", NOW, ERR_AUTH},
        {"headgate", "", 2000000000 + BEARER_LEEWAY_S - 1, 0},
        {"headgate", "expired", 2000000000 + BEARER_LEEWAY_S, ERR_AUTH},
        {"headgate", "", 1000000000 - BEARER_LEEWAY_S, 0},
        {"headgate", "not valid yet", 1000000000 - BEARER_LEEWAY_S - 1, ERR_AUTH},
    };
    struct bearer b;

    (void)state;
    assert_int_equal(bearer_read(slice_of(token_es256), LIMIT_BEARER_BYTES, &arena, &b), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *why;
        int64_t expires;

        assert_int_equal(bearer_check(&b, slice_of(rows[i].audience), rows[i].now, &expires, &why),
                         rows[i].err);
        assert_non_null(strstr(why, rows[i].says));
    }
}

/* Header and claims in clear, with a signature that nobody looks at here. */
static int
read_made(const char *header, const char *payload, struct bearer *ret)
{
    static char text[16384];
    size_t n = base64url_encode(header, strlen(header), text);

    text[n++] = '.';
    n += base64url_encode(payload, strlen(payload), text + n);
    memcpy(text + n, ".AAAA", 6);
    return bearer_read(slice_of(text), LIMIT_BEARER_BYTES, &arena, ret);
}

#define CLAIMS "{\"iss\":\"i\"}"

static void
test_headers_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "{\"alg\":\"none\",\"kid\":\"k\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k\"}",
        "{\"alg\":\"RS512\",\"kid\":\"k\"}",
        "{\"alg\":\"rs256\",\"kid\":\"k\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"RS256\",\"kid\":\"\"}",
        "{\"alg\":\"RS256\",\"kid\":7}",
        "{\"kid\":\"k\"}",
        "{\"alg\":[\"RS256\"],\"kid\":\"k\"}",
        "{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"k\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"RS256\",\"kid\":\"k\",\"crit\":null}",
        "{\"alg\":\"RS256\",\"kid\":\"k\",\"b64\":false}",
        "{\"alg\":\"RS256\",\"kid\":\"k\"",
    };
    struct bearer b;

    (void)state;
    assert_int_equal(read_made("{\"alg\":\"RS256\",\"kid\":\"k\"}", CLAIMS, &b), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read_made(bad[i], CLAIMS, &b) == 0)
            fail_msg("%s is taken", bad[i]);
    static const char *const payloads[] = {
        "[]", "{}", "\"x\"", "{\"iss\":1}", "{\"iss\":\"a\",\"iss\":\"b\"}", "{\"iss\":\"a\"", ""};
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        if (read_made("{\"alg\":\"RS256\",\"kid\":\"k\"}", payloads[i], &b) == 0)
            fail_msg("%s is taken", payloads[i]);
}

/* A claim grows until the whole token has exactly as many bytes as it may. */
static void
test_a_token_is_bounded(void **state)
{
    static char payload[LIMIT_BEARER_BYTES], text[2 * LIMIT_BEARER_BYTES];
    static const char header[] = "{\"alg\":\"RS256\",\"kid\":\"k\"}";
    struct bearer b;

    (void)state;
    for (size_t more = 0; more < 3; more++) {
        size_t n = base64url_encode(header, strlen(header), text);
        size_t pad = 6000, len;

        memset(payload, ' ', sizeof(payload));
        memcpy(payload, "{\"iss\":\"i\"}", 11);
        text[n++] = '.';
        n += base64url_encode(payload, pad, text + n);
        text[n++] = '.';
        len = LIMIT_BEARER_BYTES - 1 + more;
        memset(text + n, 'A', len - n);
        text[len] = '\0';
        if ((len - n) % 4 == 1)
            continue; /* no length of base64 */
        assert_int_equal(bearer_read(slice_make(text, len), LIMIT_BEARER_BYTES, &arena, &b),
                         len > LIMIT_BEARER_BYTES ? ERR_LIMIT : 0);
    }
}

static void
test_what_has_no_form_of_a_token(void **state)
{
    static const char *const keys[] = {
        "",          "sk-hg-abc", "eyJ",       "eyJ.a",     "eyJ.a.b.c",  "eyJ..b", "eyJa.b.",
        "eyJ a.b.c", "xyJ.a.b",   "eyJa.b=.c", "eyJa.b.c ", "eyJa.b/x.c", ".eyJa.b"};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_false(bearer_looks_like(slice_of(keys[i])));
    assert_true(bearer_looks_like(SLICE("eyJa.b-_.c")));
}

static void
test_keys_that_are_refused(void **state)
{
    static const struct {
        const char *jwk;
        int err;
    } rows[] = {
        {"[]", ERR_SYNTAX},
        {"{}", ERR_NOT_FOUND},
        {"{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"AAAA\"}", ERR_NOT_FOUND},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"k\",\"x\":\"AA\",\"y\":\"AA\"}",
         ERR_NOT_FOUND},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"AA\",\"y\":\"AA\"}", ERR_SYNTAX},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"AA\"}", ERR_SYNTAX},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"kid\":\"k\",\"x\":\"AA\"}", ERR_NOT_FOUND},
        {"{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", ERR_SYNTAX}, /* 17 bits */
        {"{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\"}", ERR_SYNTAX},
        {"{\"kty\":\"RSA\",\"kid\":\"k\",\"use\":\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
         ERR_NOT_FOUND},
        {"{\"kty\":\"RSA\",\"kid\":\"k\",\"alg\":\"RS512\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
         ERR_NOT_FOUND},
    };
    struct bearer_key *key;
    struct bearer_jwk jwk;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (bearer_jwk_read(slice_of(rows[i].jwk), &arena, &jwk) != rows[i].err)
            fail_msg("%s", rows[i].jwk);
    /* A point that is not on the curve. */
    assert_int_equal(
        bearer_jwk_read(SLICE("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\","
                              "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
                              "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}"),
                        &arena, &jwk),
        ERR_SYNTAX);
    assert_int_equal(bearer_jwk_read(slice_of(jwk_rs256), &arena, &jwk), 0);
    assert_int_equal(bearer_key_new(BEARER_P256, jwk.der, &key), ERR_SYNTAX);
    assert_int_equal(bearer_key_new(BEARER_RSA, slice_make(jwk.der.at, jwk.der.len - 1), &key),
                     ERR_SYNTAX);
    assert_int_equal(bearer_key_new((enum bearer_kind)0, jwk.der, &key), ERR_SYNTAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_is_verified_by_its_own_key_only),
        cmocka_unit_test(test_a_changed_token_is_refused),
        cmocka_unit_test(test_time_and_audience),
        cmocka_unit_test(test_headers_that_are_refused),
        cmocka_unit_test(test_a_token_is_bounded),
        cmocka_unit_test(test_what_has_no_form_of_a_token),
        cmocka_unit_test(test_keys_that_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
