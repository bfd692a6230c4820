/* Which field tells a provider who calls, for every way there is, and what cannot be used. */
#include "tests/unit/check.h"

#include "dataplane/upstream/credential.h"

static struct policy_provider provider;
static struct credential made;

static int
make(enum provider_kind kind, const char *key, const char *token)
{
    const struct slice body = SLICE("{}");
    const char *why = NULL;
    provider.kind = kind;
    provider.region = SLICE("us-east-1");
    secret_free(&provider.credential);
    assert_int_equal(secret_set(&provider.credential, key, strlen(key)), 0);
    const struct credential_call call = {
        .method = SLICE("POST"),
        .content_type = SLICE("application/json"),
        .provider = &provider,
        .token = slice_of(token),
        .authority = SLICE("bedrock-runtime.us-east-1.amazonaws.com"),
        .target = SLICE("/model/m%3A0/converse"),
        .body = &body,
        .body_count = 1,
        .wall_ms = INT64_C(1440938160000),
    };
    int err = credential_make(&made, &call, &why);
    assert_true((err != 0) == (why != NULL));
    return err;
}

static void
test_each_way(void **state)
{
    static const struct {
        enum provider_kind kind;
        const char *key, *token, *name, *value;
    } rows[] = {
        {PROVIDER_OPENAI, "sk-1", NULL, "authorization", "Bearer sk-1"},
        {PROVIDER_COHERE, "co", NULL, "authorization", "Bearer co"},
        {PROVIDER_ANTHROPIC, "sk-ant", NULL, "x-api-key", "sk-ant"},
        {PROVIDER_GEMINI, "AIza", NULL, "x-goog-api-key", "AIza"},
        {PROVIDER_AZURE_OPENAI, "az", NULL, "api-key", "az"},
        {PROVIDER_BEDROCK, "ABSK", NULL, "authorization", "Bearer ABSK"},
        {PROVIDER_VERTEX, "{}", "ya29", "authorization", "Bearer ya29"},
        {PROVIDER_VERTEX, "ya29.x", NULL, "authorization", "Bearer ya29.x"},
        {PROVIDER_VERTEX, "AQ.key", NULL, "x-goog-api-key", "AQ.key"},
        {PROVIDER_AZURE_OPENAI, "{}", "entra", "authorization", "Bearer entra"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(make(rows[i].kind, rows[i].key, rows[i].token), 0);
        assert_int_equal(made.count, 1);
        assert_slice_is(made.fields[0].name, rows[i].name);
        assert_slice_is(made.fields[0].value, rows[i].value);
        assert_true(made.fields[0].never_index);
    }
    assert_int_equal(make(PROVIDER_OPENAI_COMPATIBLE, "", NULL), 0);
    assert_int_equal(made.count, 0);
    assert_int_equal(make(PROVIDER_SIMULATOR, "x", NULL), 0);
    assert_int_equal(made.count, 0);
}

#define KEYS "\"access_key_id\":\"AKIDEXAMPLE\",\"secret_access_key\":\"s3cr3t/+\""

static void
test_aws_is_signed(void **state)
{
    (void)state;
    assert_int_equal(make(PROVIDER_BEDROCK, "{" KEYS "}", NULL), 0);
    assert_int_equal(made.count, 2);
    assert_slice_is(made.fields[1].value, "20150830T123600Z");
    assert_true(slice_starts(made.fields[0].value,
                             SLICE("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/"
                                   "bedrock/aws4_request, SignedHeaders=")));
    assert_null(memmem(made.fields[0].value.at, made.fields[0].value.len, "s3cr3t", 6));
    assert_int_equal(make(PROVIDER_BEDROCK, "{" KEYS ",\"session_token\":\"tok\"}", NULL), 0);
    assert_int_equal(made.count, 3);
    assert_slice_is(made.fields[2].name, "x-amz-security-token");
    assert_slice_is(made.fields[2].value, "tok");
}

static void
test_what_cannot_be_used(void **state)
{
    (void)state;
    assert_int_equal(make(PROVIDER_BEDROCK, "{\"access_key_id\":\"A\"}", NULL), ERR_AUTH);
    assert_int_equal(
        make(PROVIDER_BEDROCK, "{\"access_key_id\":\"A\",\"secret_access_key\":\"a\\nb\"}", NULL),
        ERR_AUTH);
    assert_int_equal(make(PROVIDER_OPENAI, "two\nlines", NULL), ERR_AUTH);
    assert_int_equal(made.count, 0);
}

static void
test_wiped(void **state)
{
    (void)state;
    assert_int_equal(make(PROVIDER_OPENAI, "sk-canary", NULL), 0);
    credential_wipe(&made);
    assert_null(memmem(&made, sizeof(made), "canary", 6));
    /* also what was refused after it had been written */
    assert_int_equal(make(PROVIDER_OPENAI, "sk\ncanary", NULL), ERR_AUTH);
    assert_non_null(memmem(&made, sizeof(made), "canary", 6));
    credential_wipe(&made);
    assert_null(memmem(&made, sizeof(made), "canary", 6));
    assert_int_equal(make(PROVIDER_BEDROCK, "{" KEYS ",\"session_token\":\"canary\"}", NULL), 0);
    credential_wipe(&made);
    assert_null(memmem(&made, sizeof(made), "canary", 6));
    assert_null(memmem(&made, sizeof(made), "Signature=", 10));
    secret_free(&provider.credential);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_way),
        cmocka_unit_test(test_aws_is_signed),
        cmocka_unit_test(test_what_cannot_be_used),
        cmocka_unit_test(test_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
