/*
 * Signature Version 4 against the signatures that AWS publishes with its signing test suite, and
 * against what botocore 1.44.8 makes of requests for Bedrock.
 */
#include "tests/unit/check.h"

#include "lib/sign/sigv4.h"

#define SUITE_KEY "AKIDEXAMPLE"
#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SUITE_TIME INT64_C(1440938160000) /* 20150830T123600Z */
#define SUITE_TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"

struct vector {
    const char *name, *method, *path, *query;
    struct sigv4_header headers[4];
    const char *body, *token;
    bool sign_content;
    const char *names, *signature;
};

#define H(n, v)                                                                                    \
    {                                                                                              \
        {n, sizeof(n) - 1},                                                                        \
        {                                                                                          \
            v, sizeof(v) - 1                                                                       \
        }                                                                                          \
    }

static const struct vector suite[] = {
    {"get-vanilla", "GET", "/", "", .names = "host;x-amz-date",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla, no path", "GET", "", "", .names = "host;x-amz-date",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1",
     .names = "host;x-amz-date",
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-encoded", "GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     .names = "host;x-amz-date",
     .signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-unreserved", "GET", "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     .names = "host;x-amz-date",
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query", "GET", "/", "\xe1\x88\xb4=bar", .names = "host;x-amz-date",
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-utf8", "GET", "/\xe1\x88\xb4", "", .names = "host;x-amz-date",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-space-normalized", "GET", "/example space/", "", .names = "host;x-amz-date",
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-relative-normalized", "GET", "/example/..", "", .names = "host;x-amz-date",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slashes-normalized", "GET", "//example//", "", .names = "host;x-amz-date",
     .signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-header-key-duplicate", "GET", "/", "",
     .headers = {H("My-Header1", "value2"), H("My-Header1", "value2"), H("My-Header1", "value1")},
     .names = "host;my-header1;x-amz-date",
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order", "GET", "/", "",
     .headers = {H("My-Header1", "value4"), H("My-Header1", "value1"), H("My-Header1", "value3"),
                 H("My-Header1", "value2")},
     .names = "host;my-header1;x-amz-date",
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim", "GET", "/", "",
     .headers = {H("My-Header2", " \"a   b   c\""), H("My-Header1", " value1")},
     .names = "host;my-header1;my-header2;x-amz-date",
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-vanilla-with-session-token", "GET", "/", "", .token = SUITE_TOKEN,
     .names = "host;x-amz-date;x-amz-security-token",
     .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-vanilla", "POST", "/", "", .names = "host;x-amz-date",
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-x-www-form-urlencoded", "POST", "/", "",
     .headers = {H("Content-Type", "application/x-www-form-urlencoded"), H("Content-Length", "13")},
     .body = "Param1=value1", .sign_content = true,
     .names = "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     .signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {"botocore: dots, empty segments, sorted query", "GET", "/a/b/../c/./d//e/", "b=2&a=%20x&a=1&c",
     .names = "host;x-amz-date",
     .signature = "788918deff9063ae00f1b9c1aa84bc05a09b030791539b13a00c623a8a79f3c0"},
};

static const struct sigv4_key suite_key = {
    {SUITE_KEY, sizeof(SUITE_KEY) - 1}, {SUITE_SECRET, sizeof(SUITE_SECRET) - 1}, {0}};

static size_t
count_headers(const struct sigv4_header *headers)
{
    size_t count = 0;
    while (count < 4 && headers[count].name.len > 0)
        count++;
    return count;
}

static void
assert_authorization(const struct sigv4_signature *s, const char *scope, const char *names,
                     const char *signature)
{
    char want[1024];
    snprintf(want, sizeof want,
             "AWS4-HMAC-SHA256 Credential=" SUITE_KEY "/%s, SignedHeaders=%s, Signature=%s", scope,
             names, signature);
    assert_string_equal(s->authorization, want);
    assert_string_equal(s->date, "20150830T123600Z");
}

static void
test_published_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof suite / sizeof suite[0]; i++) {
        const struct vector *v = &suite[i];
        struct slice body = slice_of(v->body);
        struct sigv4_request r = {.method = slice_of(v->method),
                                  .host = SLICE("example.amazonaws.com"),
                                  .path = slice_of(v->path),
                                  .query = slice_of(v->query),
                                  .headers = v->headers,
                                  .header_count = count_headers(v->headers),
                                  .body = &body,
                                  .body_count = v->body ? 1 : 0,
                                  .region = SLICE("us-east-1"),
                                  .service = SLICE("service"),
                                  .sign_content = v->sign_content,
                                  .wall_ms = SUITE_TIME + 999};
        struct sigv4_key key = suite_key;
        struct sigv4_signature s;
        key.session_token = slice_of(v->token);
        print_message("%s\n", v->name);
        assert_int_equal(sigv4_sign(&r, &key, &s), 0);
        assert_authorization(&s, "20150830/us-east-1/service/aws4_request", v->names, v->signature);
    }
}

#define CONVERSE "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]}"

static struct sigv4_request
bedrock_request(const char *region, const char *host, const char *path)
{
    static const struct sigv4_header type[] = {H("content-type", "application/json")};
    static const struct slice body[] = {{CONVERSE, 10}, {CONVERSE + 10, sizeof(CONVERSE) - 11}};
    return (struct sigv4_request){.method = SLICE("POST"),
                                  .host = slice_of(host),
                                  .path = slice_of(path),
                                  .headers = type,
                                  .header_count = 1,
                                  .body = body,
                                  .body_count = 2,
                                  .region = slice_of(region),
                                  .service = SLICE("bedrock"),
                                  .wall_ms = SUITE_TIME};
}

/* A model's id has colons, an ARN slashes too: as escapes in the path, escaped again when signed.
 */
static void
test_bedrock_paths(void **state)
{
    struct sigv4_signature s;
    struct sigv4_key key = suite_key;
    (void)state;
    struct sigv4_request r =
        bedrock_request("eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com",
                        "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse");
    assert_int_equal(sigv4_sign(&r, &key, &s), 0);
    assert_authorization(&s, "20150830/eu-west-1/bedrock/aws4_request",
                         "content-type;host;x-amz-date",
                         "464cda2f697da163d213bb52aadde69353a91805e605b811b6352d239c9867d7");
    r.path = SLICE("/model/anthropic.claude-3-5-sonnet-20240620-v1:0/converse");
    assert_int_equal(sigv4_sign(&r, &key, &s), 0);
    assert_authorization(&s, "20150830/eu-west-1/bedrock/aws4_request",
                         "content-type;host;x-amz-date",
                         "7e35d39a2c6d4516a45db44c093b1e5a53cab92bc9254360a9253aa70127dee4");
    r = bedrock_request("us-east-1", "bedrock-runtime.us-east-1.amazonaws.com",
                        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile"
                        "%2Fus.amazon.nova-pro-v1%3A0/converse-stream");
    key.session_token = SLICE("FwoGZXIvYXdzEXAMPLE//token+==");
    assert_int_equal(sigv4_sign(&r, &key, &s), 0);
    assert_authorization(&s, "20150830/us-east-1/bedrock/aws4_request",
                         "content-type;host;x-amz-date;x-amz-security-token",
                         "b9202513ad6c29da9e66468a3b800dc6b767839e84a20fa62e1a70c8b649000e");
}

static void
test_content_digest(void **state)
{
    struct sigv4_signature s;
    (void)state;
    struct sigv4_request r = bedrock_request("us-east-1", "h", "/");
    r.body = NULL;
    r.body_count = 0;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), 0);
    assert_string_equal(s.content_sha256,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void
test_refuses(void **state)
{
    struct sigv4_signature s;
    (void)state;
    struct sigv4_request good = bedrock_request("us-east-1", "h", "/"), r = good;
    struct sigv4_key key = suite_key;
    key.secret_key = SLICE("");
    assert_int_equal(sigv4_sign(&good, &key, &s), ERR_SYNTAX);
    key = suite_key;
    key.access_key = SLICE("");
    assert_int_equal(sigv4_sign(&good, &key, &s), ERR_SYNTAX);
    r.region = SLICE("");
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_SYNTAX);
    r = good;
    r.wall_ms = -1;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_RANGE);
    r.wall_ms = INT64_C(253402300800000); /* the year 10000 */
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_RANGE);
    r = good;
    const struct sigv4_header bad[] = {H("x-a", "1\nx-b: 2")};
    r.headers = bad;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_SYNTAX);
}

/* `count` parameters, segments or headers: the largest number that is signed, and one more. */
static int
sign_with(struct sigv4_request r, const char *unit, size_t count, bool as_query)
{
    static char text[LIMIT_SIGV4_CANONICAL_BYTES + 64];
    struct sigv4_signature s;
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", unit);
    if (as_query)
        r.query = slice_make(text, len);
    else
        r.path = slice_make(text, len);
    return sigv4_sign(&r, &suite_key, &s);
}

static void
test_limits(void **state)
{
    static struct sigv4_header headers[LIMIT_SIGV4_HEADERS];
    static char secret[600], token[2100];
    struct sigv4_signature s;
    (void)state;
    struct sigv4_request r = bedrock_request("us-east-1", "h", "/");
    assert_int_equal(sign_with(r, "a=1&", LIMIT_SIGV4_QUERY, true), 0);
    assert_int_equal(sign_with(r, "a=1&", LIMIT_SIGV4_QUERY + 1, true), ERR_LIMIT);
    assert_int_equal(sign_with(r, "/a", 128, false), 0);
    assert_int_equal(sign_with(r, "/a", 129, false), ERR_LIMIT);
    for (size_t i = 0; i < LIMIT_SIGV4_HEADERS; i++)
        headers[i] = (struct sigv4_header){SLICE("x-a"), SLICE("1")};
    r.headers = headers;
    r.header_count = LIMIT_SIGV4_HEADERS - 4;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), 0);
    r.header_count++;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_LIMIT);
    r = bedrock_request("us-east-1", "h", "/");
    struct sigv4_key key = suite_key;
    memset(secret, 'k', sizeof secret);
    key.secret_key = slice_make(secret, 512);
    assert_int_equal(sigv4_sign(&r, &key, &s), 0);
    key.secret_key.len = 513;
    assert_int_equal(sigv4_sign(&r, &key, &s), ERR_LIMIT);
    static char value[LIMIT_SIGV4_CANONICAL_BYTES];
    memset(value, 'v', sizeof value);
    headers[0].value = slice_make(value, LIMIT_SIGV4_CANONICAL_BYTES - 500);
    r.headers = headers;
    r.header_count = 1;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), 0);
    headers[0].value.len = LIMIT_SIGV4_CANONICAL_BYTES;
    assert_int_equal(sigv4_sign(&r, &suite_key, &s), ERR_LIMIT);
    r = bedrock_request("us-east-1", "h", "/");
    memset(token, 'A', sizeof token);
    key = suite_key;
    key.access_key = slice_make(token, 1800);
    assert_int_equal(sigv4_sign(&r, &key, &s), 0);
    key.access_key.len = 2000;
    assert_int_equal(sigv4_sign(&r, &key, &s), ERR_LIMIT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_suite), cmocka_unit_test(test_bedrock_paths),
        cmocka_unit_test(test_content_digest),  cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
