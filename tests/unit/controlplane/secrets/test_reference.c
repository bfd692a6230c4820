/* References to secret managers: their forms, and what is taken of an answer. */
#include "tests/unit/check.h"

#include "controlplane/secrets/ask.h"
#include "controlplane/secrets/manager.h"
#include "controlplane/secrets/reference.h"
#include "controlplane/secrets/seal.h"

static void
test_good_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum manager manager;
        const char *name, *field, *secret, *version;
    } rows[] = {
        {"vault:secret/llm/openai#key", MANAGER_VAULT, "secret/llm/openai", "key", "", ""},
        {"vault:kv/a#b.c-d_e f", MANAGER_VAULT, "kv/a", "b.c-d_e f", "", ""},
        {"aws-sm:llm/openai", MANAGER_AWS_SM, "llm/openai", "", "", ""},
        {"aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf#k", MANAGER_AWS_SM,
         "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf", "k", "", ""},
        {"aws-ssm:/llm/openai", MANAGER_AWS_SSM, "/llm/openai", "", "", ""},
        {"aws-ssm:/llm/openai:3", MANAGER_AWS_SSM, "/llm/openai:3", "", "", ""},
        {"gcp-sm:projects/p-1/secrets/s_1", MANAGER_GCP, "p-1", "", "s_1", ""},
        {"gcp-sm:projects/p/secrets/s/versions/7", MANAGER_GCP, "p", "", "s", "7"},
        {"azure-kv:v-1/s-1", MANAGER_AZURE, "v-1", "", "s-1", ""},
        {"azure-kv:v/s/0a1b", MANAGER_AZURE, "v", "", "s", "0a1b"},
        {"azure-kv:https://v.vault.azure.net/secrets/s", MANAGER_AZURE, "v.vault.azure.net", "",
         "s", ""},
        {"azure-kv:https://v.vault.azure.cn/secrets/s/0a", MANAGER_AZURE, "v.vault.azure.cn", "",
         "s", "0a"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reference r;
        const char *why = "";
        if (reference_parse(slice_of(rows[i].text), &r, &why) != 0)
            fail_msg("%s: %s", rows[i].text, why);
        assert_true(reference_is_managed(slice_of(rows[i].text)));
        assert_int_equal(r.manager, rows[i].manager);
        assert_true(slice_is(r.name, rows[i].name));
        assert_true(slice_is(r.field, rows[i].field));
        assert_true(slice_is(r.secret, rows[i].secret));
        assert_true(slice_is(r.version, rows[i].version));
    }
}

static void
test_bad_forms(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "vault:",
        "vault:secret#k",
        "vault:secret/x",
        "vault:secret/x#",
        "vault:secret/x#a#b",
        "vault:/secret/x#k",
        "vault:secret/x/#k",
        "vault:secret//x#k",
        "vault:secret/./x#k",
        "vault:secret/../x#k",
        "vault:secret/x?y=1#k",
        "vault:secret/%2e%2e/x#k",
        "vault:secret/x y#k",
        "vault:secret/x\r\ny#k",
        "aws-sm:",
        "aws-sm:a b",
        "aws-sm:a#",
        "aws-ssm:",
        "aws-ssm:a#b",
        "gcp-sm:",
        "gcp-sm:projects/p",
        "gcp-sm:projects/p/secrets/",
        "gcp-sm:projects/../secrets/s",
        "gcp-sm:projects/p/secrets/s/",
        "gcp-sm:projects/p/secrets/s/versions/",
        "gcp-sm:projects/p/secrets/s/versions/1/x",
        "azure-kv:",
        "azure-kv:v",
        "azure-kv:v/",
        "azure-kv:v/s/",
        "azure-kv:v/s/../x",
        "azure-kv:v.example/s",
        "azure-kv:http://v.vault.azure.net/secrets/s",
        "azure-kv:https://evil.example/secrets/s",
        "azure-kv:https://.vault.azure.net/secrets/s",
        "azure-kv:https://evil.example/.vault.azure.net/secrets/s",
        "azure-kv:https://a@v.vault.azure.net/secrets/s",
        "azure-kv:https://v.vault.azure.net:444/secrets/s",
        "azure-kv:https://v.vault.azure.net/keys/s",
        "env:X",
        "plain",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reference r;
        const char *why = NULL;
        if (reference_parse(slice_of(rows[i]), &r, &why) != ERR_SYNTAX || !why)
            fail_msg("%s was taken", rows[i]);
    }
}

static void
test_the_limit_of_a_reference(void **state)
{
    (void)state;
    char text[LIMIT_REFERENCE_BYTES + 2];
    struct reference r;
    const char *why;
    memset(text, 'a', sizeof(text));
    memcpy(text, "vault:kv/", 9);
    memcpy(text + LIMIT_REFERENCE_BYTES - 2, "#k", 2);
    assert_int_equal(reference_parse(slice_make(text, LIMIT_REFERENCE_BYTES), &r, &why), 0);
    memcpy(text + LIMIT_REFERENCE_BYTES - 2, "a#k", 3);
    assert_int_equal(reference_parse(slice_make(text, LIMIT_REFERENCE_BYTES + 1), &r, &why),
                     ERR_SYNTAX);
}

static void
take(const char *text, const char *field, const char *want)
{
    struct ask a = {.why = ""};
    struct secret value = {0};
    int err = ask_take(&a, slice_of(text), slice_of(field), &value);
    if (!want) {
        assert_int_equal(err, ERR_SYNTAX);
        assert_true(a.why[0]);
        assert_null(strstr(a.why, "canary")); /* a problem holds nothing of the secret */
    } else {
        assert_int_equal(err, 0);
        assert_true(slice_is(secret_reveal(&value), want));
    }
    secret_free(&value);
}

static void
test_what_is_taken(void **state)
{
    (void)state;
    static char longest[LIMIT_CREDENTIAL_BYTES + 2];
    take("sk-1", "", "sk-1");
    take("sk-1\r\n", "", "sk-1");
    take("{\"k\": \"sk-2\\n\", \"n\": 1}", "k", "sk-2");
    take("{\"k\": \"canary\", \"n\": 1}", "n", NULL);
    take("{\"k\": \"canary\"}", "x", NULL);
    take("canary", "k", NULL);
    take("[\"canary\"]", "k", NULL);
    take("", "", NULL);
    take("\n", "", NULL);
    memset(longest, 's', LIMIT_CREDENTIAL_BYTES);
    take(longest, "", longest);
    longest[LIMIT_CREDENTIAL_BYTES] = 's';
    take(longest, "", NULL);
}

static void
test_forms_are_encoded(void **state)
{
    (void)state;
    struct buf form;
    buf_init(&form, 0);
    assert_int_equal(ask_form(&form, "a", SLICE("x~ &+=%\xc3\xa9")), 0);
    assert_int_equal(ask_form(&form, "b", SLICE("")), 0);
    assert_string_equal(buf_str(&form), "a=x~%20%26%2B%3D%25%C3%A9&b=");
    buf_free(&form);
}

static void
test_tokens_end(void **state)
{
    (void)state;
    struct ask_token t = {.renew_ms = 0};
    assert_false(ask_token_is_good(&t));
    assert_int_equal(ask_token_keep(&t, SLICE("x"), 3600), 0);
    assert_true(ask_token_is_good(&t));
    t.renew_ms = 1; /* long ago */
    assert_false(ask_token_is_good(&t));
    assert_int_equal(ask_token_keep(&t, SLICE("x"), 0), 0); /* without an end */
    assert_true(ask_token_is_good(&t));
    ask_token_free(&t);
    assert_false(ask_token_is_good(&t));
}

static void
test_what_is_missing_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *why;
    } rows[] = {{"vault:a/b#k", "VAULT_ADDR"},
                {"aws-sm:a", "AWS_ACCESS_KEY_ID"},
                {"aws-ssm:a", "AWS_ACCESS_KEY_ID"},
                {"gcp-sm:projects/p/secrets/s", "GOOGLE_APPLICATION_CREDENTIALS"},
                {"azure-kv:v/s", "AZURE_TENANT_ID"},
                {"env:X", "no reference"}};
    static const char *const settings[] = {"VAULT_ADDR", "AWS_ACCESS_KEY_ID",
                                           "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_TENANT_ID"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        assert_int_equal(unsetenv(settings[i]), 0);
    struct managers *m = managers_new(false);
    assert_non_null(m);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char why[ASK_WHY_BYTES];
        struct secret value = {0};
        assert_int_not_equal(managers_fetch(m, slice_of(rows[i].reference), &value, why), 0);
        if (!strstr(why, rows[i].why))
            fail_msg("%s: %s", rows[i].reference, why);
    }
    managers_keep(m);
    managers_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_forms),
        cmocka_unit_test(test_bad_forms),
        cmocka_unit_test(test_the_limit_of_a_reference),
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_forms_are_encoded),
        cmocka_unit_test(test_tokens_end),
        cmocka_unit_test(test_what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
