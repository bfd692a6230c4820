/* Credentials and keys: what is a reference, what is sealed, what is minted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "controlplane/secrets/seal.c"

static const unsigned char key[SEAL_KEY_BYTES] = {1, 2, 3};
static char dir[64];

/* As after secrets_load(), which needs a database. */
static struct secrets *
secrets_made(const char *credentials_dir)
{
    struct keyring ring = keyring_of(key);
    struct secrets *s = secrets_new(&ring, credentials_dir);
    assert_non_null(s);
    s->settings.fingerprint = hmac_new("fingerprint", 11);
    assert_non_null(s->settings.fingerprint);
    return s;
}

static void
test_forms_of_a_credential(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        enum credential_form form;
    } rows[] = {
        {"sk-literal", 0, CREDENTIAL_LITERAL},
        {"https://not-a-scheme-of-ours", 0, CREDENTIAL_LITERAL},
        {"user:password", 0, CREDENTIAL_LITERAL},
        {"env:OPENAI_API_KEY", 0, CREDENTIAL_REFERENCE},
        {"file:sa.json", 0, CREDENTIAL_REFERENCE},
        {"sealed:0011223344556677", 0, CREDENTIAL_MARKER},
        {"sealed:001122334455667", ERR_SYNTAX, CREDENTIAL_MARKER},
        {"sealed:x", ERR_SYNTAX, CREDENTIAL_MARKER},
        {"env:", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:1A", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:A-B", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:HEADGATE_X", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:PGPASSWORD", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:VAULT_TOKEN", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:AWS_SECRET_ACCESS_KEY", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:AWS_SESSION_TOKEN", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"env:AZURE_CLIENT_SECRET", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"file:/etc/passwd", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"file:..", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"file:a/../b", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"vault:secret/x", ERR_SYNTAX, CREDENTIAL_REFERENCE},
        {"vault:secret/x#k", 0, CREDENTIAL_REFERENCE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum credential_form form;
        const char *why = NULL;
        int err = credential_parse(slice_of(rows[i].text), &form, &why);
        if (err != rows[i].err || form != rows[i].form || (err && !why))
            fail_msg("%s: %d, form %d", rows[i].text, err, form);
    }
}

static struct credential_owner
owner(const char *name)
{
    return (struct credential_owner){"provider", slice_of(name)};
}

static void
test_a_literal_is_sealed_and_recognised_again(void **state)
{
    (void)state;
    struct secrets *s = secrets_made(NULL);
    struct json *first = NULL, *same = NULL, *other = NULL, *elsewhere = NULL, *alert = NULL;
    const struct credential_owner of_alert = {"alert", SLICE("p")};
    assert_int_equal(secrets_store_credential(s, owner("p"), SLICE("top"), NULL, &first), 0);
    assert_int_equal(secrets_store_credential(s, owner("p"), SLICE("top"), first, &same), 0);
    assert_int_equal(secrets_store_credential(s, owner("p"), SLICE("other"), first, &other), 0);
    assert_int_equal(secrets_store_credential(s, owner("q"), SLICE("top"), NULL, &elsewhere), 0);
    assert_int_equal(secrets_store_credential(s, of_alert, SLICE("top"), NULL, &alert), 0);
    assert_true(json_equal(first, same)); /* the very same sealed bytes: no change */
    assert_false(json_equal(first, other));
    /* Equal credentials of two items do not show as equal. */
    assert_false(slice_eq(json_str(json_get(first, "fingerprint")),
                          json_str(json_get(elsewhere, "fingerprint"))));
    assert_false(slice_eq(json_str(json_get(first, "fingerprint")),
                          json_str(json_get(alert, "fingerprint"))));
    json_free(first);
    json_free(same);
    json_free(other);
    json_free(elsewhere);
    json_free(alert);
    secrets_free(s);
}

static struct json *
body_with(const char *credential)
{
    struct json *body = json_new_map();
    assert_int_equal(json_set_str(body, "credential", credential), 0);
    return body;
}

static void
check_value(struct secrets *s, const char *credential, const char *want)
{
    struct json *body = body_with(credential);
    struct buf sealed, again, why;
    struct secret plain = {0};
    buf_init(&sealed, 0);
    buf_init(&again, 0);
    buf_init(&why, 0);
    int err = secrets_provider_credential(s, SLICE("p"), body, &sealed, &why);
    if (!want) {
        assert_int_equal(err, ERR_NOT_FOUND);
        assert_non_null(strstr(buf_str(&why), credential));
    } else {
        assert_int_equal(err, 0);
        assert_int_equal(secrets_unseal(s, SLICE("provider/p"), buf_slice(&sealed), &plain), 0);
        assert_true(slice_is(secret_reveal(&plain), want));
        /* Sealed once: an unchanged credential does not make a new section. */
        assert_int_equal(secrets_provider_credential(s, SLICE("p"), body, &again, &why), 0);
        assert_true(slice_eq(buf_slice(&sealed), buf_slice(&again)));
    }
    secret_free(&plain);
    buf_free(&sealed);
    buf_free(&again);
    buf_free(&why);
    json_free(body);
}

static void
check_revealed(struct secrets *s, struct credential_owner of, const struct json *body, int err,
               const char *want)
{
    struct secret plain = {0};
    struct buf why;
    buf_init(&why, 0);
    assert_int_equal(secrets_reveal_credential(s, of, body, &plain, &why), err);
    if (!err)
        assert_true(slice_is(secret_reveal(&plain), want));
    secret_free(&plain);
    buf_free(&why);
}

/* For its owner alone: a body that was moved to another item opens nothing. */
static void
test_the_control_planes_own_use(void **state)
{
    (void)state;
    struct secrets *s = secrets_made(NULL);
    const struct credential_owner alert = {"alert", SLICE("a")}, other = {"alert", SLICE("b")};
    struct json *body = json_new_map(), *sealed = NULL;
    assert_int_equal(secrets_store_credential(s, alert, SLICE("top"), NULL, &sealed), 0);
    assert_int_equal(json_set(body, "credential", sealed), 0);
    check_revealed(s, alert, body, 0, "top");
    check_revealed(s, other, body, ERR_AUTH, NULL);
    check_revealed(s, owner("a"), body, ERR_AUTH, NULL);
    json_free(body);
    assert_int_equal(setenv("TEST_ALERT_SECRET", "of the environment", 1), 0);
    body = body_with("env:TEST_ALERT_SECRET");
    check_revealed(s, alert, body, 0, "of the environment");
    assert_int_equal(unsetenv("TEST_ALERT_SECRET"), 0);
    check_revealed(s, alert, body, ERR_NOT_FOUND, NULL);
    json_free(body);
    body = body_with("vault:kv/a#k");
    check_revealed(s, alert, body, ERR_AGAIN, NULL);
    json_free(body);
    body = json_new_map();
    check_revealed(s, alert, body, 0, "");
    json_free(body);
    secrets_free(s);
}

static void
test_references_are_resolved_and_refreshed(void **state)
{
    (void)state;
    char path[128], link[128];
    struct secrets *s = secrets_made(dir);
    snprintf(path, sizeof(path), "%s/one", dir);
    snprintf(link, sizeof(link), "%s/link", dir);
    assert_int_equal(setenv("TEST_CREDENTIAL", "from-env", 1), 0);
    check_value(s, "env:TEST_CREDENTIAL", "from-env");
    check_value(s, "env:TEST_CREDENTIAL_MISSING", NULL);
    check_value(s, "file:one", NULL);
    assert_int_equal(file_replace(path, SLICE("from-file\n"), 0600), 0);
    check_value(s, "file:one", "from-file");
    assert_int_equal(symlink("/etc/hostname", link), 0);
    check_value(s, "file:link", NULL);
    assert_false(secrets_refresh(s));
    assert_int_equal(file_replace(path, SLICE("rotated"), 0600), 0);
    assert_true(secrets_refresh(s));
    assert_false(secrets_refresh(s));
    check_value(s, "file:one", "rotated");
    /* A file that is gone for a moment does not take the credential away. */
    assert_int_equal(unlink(path), 0);
    assert_false(secrets_refresh(s));
    check_value(s, "file:one", "rotated");
    secrets_free(s);
}

/* As the kubelet lays out a mounted secret, and changes it: the link ..data leads elsewhere. */
static void
test_files_as_kubernetes_mounts_them(void **state)
{
    static const struct {
        const char *name, *to;
    } out[] = {{"absolute", "/etc/hostname"},
               {"climbs", "../../etc/hostname"},
               {"through", "up/x"},
               {"round", "round"},
               {"proc", "/proc/self/environ"}};
    char path[200], command[700];
    struct secrets *s = secrets_made(dir);
    (void)state;
    snprintf(
        command, sizeof(command),
        "cd %s && mkdir ..one ..two && printf first >..one/token && printf second >..two/token "
        "&& ln -s ..one ..data && ln -s ..data/token token && ln -s / up",
        dir);
    assert_int_equal(system(command), 0);
    check_value(s, "file:token", "first");
    snprintf(command, sizeof(command), "cd %s && ln -s ..two ..new && mv -T ..new ..data", dir);
    assert_int_equal(system(command), 0);
    assert_true(secrets_refresh(s));
    check_value(s, "file:token", "second");
    /* no link leads out of the directory */
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        char reference[64];
        snprintf(path, sizeof(path), "%s/%s", dir, out[i].name);
        snprintf(reference, sizeof(reference), "file:%s", out[i].name);
        assert_int_equal(symlink(out[i].to, path), 0);
        check_value(s, reference, NULL);
    }
    secrets_free(s);
}

/* What was resolved is sealed anew when the first key is another, and only then. */
static void
test_another_ring(void **state)
{
    (void)state;
    unsigned char other[SEAL_KEY_BYTES] = {7};
    struct keyring ring = keyring_of(key), next = keyring_of(other);
    struct secrets *s = secrets_made(NULL);
    struct json *body = json_new_map();
    struct buf before, same, after, why;
    buf_init(&before, 0);
    buf_init(&same, 0);
    buf_init(&after, 0);
    buf_init(&why, 0);
    assert_int_equal(setenv("TEST_CREDENTIAL", "from-env", 1), 0);
    assert_int_equal(json_set_str(body, "credential", "env:TEST_CREDENTIAL"), 0);
    assert_int_equal(secrets_provider_credential(s, SLICE("p"), body, &before, &why), 0);
    assert_int_equal(keyring_add(&ring, other, 1), 0);
    assert_int_equal(secrets_set_ring(s, &ring), 0); /* it opens */
    assert_int_equal(secrets_provider_credential(s, SLICE("p"), body, &same, &why), 0);
    assert_true(slice_eq(buf_slice(&before), buf_slice(&same)));
    assert_int_equal(secrets_set_ring(s, &next), 0); /* it seals */
    assert_int_equal(secrets_provider_credential(s, SLICE("p"), body, &after, &why), 0);
    assert_true(keyring_is_current(&next, buf_slice(&after)));
    buf_free(&before);
    buf_free(&same);
    buf_free(&after);
    buf_free(&why);
    json_free(body);
    secrets_free(s);
}

static void
test_without_a_directory_no_file(void **state)
{
    (void)state;
    struct secrets *s = secrets_made(NULL);
    check_value(s, "file:one", NULL);
    secrets_free(s);
}

static void
test_keys_and_tokens_are_minted(void **state)
{
    (void)state;
    char a[KEY_TEXT_BYTES + 1], b[KEY_TEXT_BYTES + 1], t[TOKEN_TEXT_BYTES + 1];
    secrets_mint_key(a);
    secrets_mint_key(b);
    secrets_mint_token(t);
    assert_int_equal(strlen(a), KEY_TEXT_BYTES);
    assert_int_equal(strlen(t), TOKEN_TEXT_BYTES);
    assert_true(strncmp(a, "sk-hg-", 6) == 0 && strncmp(t, "hgat_", 5) == 0);
    assert_string_not_equal(a, b);
}

/* Nothing can be hashed before the pepper is there: a key made then would never work. */
static void
test_no_digest_without_the_pepper(void **state)
{
    (void)state;
    unsigned char digest[SHA256_BYTES];
    struct buf out;
    struct secrets *s = secrets_made(NULL);
    buf_init(&out, 0);
    assert_false(secrets_ready(s));
    assert_int_equal(secrets_key_digest(s, SLICE("x"), digest), ERR_BAD_STATE);
    assert_int_equal(secrets_sealed_pepper(s, &out), ERR_BAD_STATE);
    assert_string_equal(secrets_cluster_id(s), "");
    buf_free(&out);
    secrets_free(s);
}

static int
make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/hgseal.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
remove_dir(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_a_credential),
        cmocka_unit_test(test_a_literal_is_sealed_and_recognised_again),
        cmocka_unit_test(test_the_control_planes_own_use),
        cmocka_unit_test(test_references_are_resolved_and_refreshed),
        cmocka_unit_test(test_files_as_kubernetes_mounts_them),
        cmocka_unit_test(test_another_ring),
        cmocka_unit_test(test_without_a_directory_no_file),
        cmocka_unit_test(test_keys_and_tokens_are_minted),
        cmocka_unit_test(test_no_digest_without_the_pepper),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
