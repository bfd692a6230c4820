/* Rings of sealing keys: what they seal and open, how they are read, how their files are changed.
 */
#include "tests/unit/check.h"

#include <unistd.h>

#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/keyring.h"

#define OLD "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NEW "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100"

static char why[KEYRING_WHY_BYTES];

static struct keyring
parsed(const char *text)
{
    struct keyring r;
    assert_int_equal(keyring_parse(slice_of(text), NULL, &r, why), 0);
    return r;
}

static int
open_with(const struct keyring *r, const void *sealed, size_t n)
{
    struct secret plain = {0};
    int err = keyring_unseal(r, SLICE("c"), slice_make(sealed, n), &plain);
    if (!err)
        assert_slice_is(secret_reveal(&plain), "value");
    secret_free(&plain);
    return err;
}

static void
test_the_first_seals_and_all_open(void **state)
{
    struct keyring old = parsed(OLD), both = parsed(OLD "\n" NEW "\n"),
                   switched = parsed(NEW "\n" OLD "\n"), new = parsed(NEW);
    unsigned char a[5 + SEAL_OVERHEAD_BYTES], b[5 + SEAL_OVERHEAD_BYTES];
    (void)state;
    assert_int_equal(keyring_seal(&both, SLICE("c"), SLICE("value"), a), 0);
    assert_int_equal(keyring_seal(&switched, SLICE("c"), SLICE("value"), b), 0);
    assert_int_equal(open_with(&old, a, sizeof(a)), 0);
    assert_int_equal(open_with(&both, b, sizeof(b)), 0);
    assert_int_equal(open_with(&switched, a, sizeof(a)), 0);
    assert_int_equal(open_with(&new, b, sizeof(b)), 0);
    assert_true(keyring_is_current(&old, slice_make(a, sizeof(a))));
    assert_false(keyring_is_current(&switched, slice_make(a, sizeof(a))));
    assert_true(keyring_same(&both, &both));
    assert_false(keyring_same(&both, &switched));
    assert_false(keyring_same(&both, &old));
    /* a key that is not there is named */
    assert_int_equal(open_with(&new, a, sizeof(a)), ERR_NOT_FOUND);
    keyring_explain(&new, slice_make(a, sizeof(a)), ERR_NOT_FOUND, why);
    char id[KEYRING_ID_TEXT], ids[KEYRING_IDS_TEXT];
    keyring_id_text(&old, 0, id);
    keyring_ids_text(&new, ids);
    assert_non_null(strstr(why, id));
    assert_non_null(strstr(why, ids));
    /* the id is part of what is authenticated */
    memcpy(a + 1, b + 1, KEYRING_ID_BYTES);
    assert_int_equal(open_with(&both, a, sizeof(a)), ERR_AUTH);
}

static void
test_any_changed_bit_is_noticed(void **state)
{
    struct keyring r = parsed(OLD "\n" NEW);
    unsigned char sealed[5 + SEAL_OVERHEAD_BYTES];
    (void)state;
    assert_int_equal(keyring_seal(&r, SLICE("c"), SLICE("value"), sealed), 0);
    for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        assert_int_not_equal(open_with(&r, sealed, sizeof(sealed)), 0);
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    for (size_t n = 0; n < sizeof(sealed); n++)
        assert_int_not_equal(open_with(&r, sealed, n), 0);
    assert_int_equal(open_with(&r, sealed, sizeof(sealed)), 0);
}

/* What databases hold of versions before this one: sealed by another implementation, without an id.
 */
static void
test_values_without_an_id_open_under_any_key(void **state)
{
    static const char known[] =
        "01a0a1a2a3a4a5a6a7a8a9aaab957351462ba475d14f04e9a0701fb28661ac4662238d62c9ba6a8fa288b8a3";
    static const char *const rings[] = {OLD, NEW "\n" OLD};
    unsigned char sealed[(sizeof(known) - 1) / 2];
    unsigned char id[KEYRING_ID_BYTES];
    (void)state;
    assert_int_equal(hex_decode(slice_of(known), sealed, sizeof(sealed)), 0);
    for (size_t i = 0; i < 2; i++) {
        struct keyring r = parsed(rings[i]);
        struct secret plain = {0};
        size_t key = 9;
        assert_int_equal(keyring_open(&r, SLICE("provider/openai"),
                                      slice_make(sealed, sizeof(sealed)), &plain, &key),
                         0);
        assert_slice_is(secret_reveal(&plain), "sk-known-answer");
        assert_int_equal(key, i);
        assert_false(keyring_is_current(&r, slice_make(sealed, sizeof(sealed))));
        secret_free(&plain);
    }
    struct keyring other = parsed(NEW);
    assert_int_equal(open_with(&other, sealed, sizeof(sealed)), ERR_AUTH);
    assert_false(keyring_sealed_id(slice_make(sealed, sizeof(sealed)), id));
}

static int
open_wrapped(void *ctx, struct slice wrapped, struct secret *ret_plain,
             char ret_why[static KEYRING_WHY_BYTES])
{
    unsigned char key[SEAL_KEY_BYTES] = {9};
    (*(int *)ctx)++;
    if (slice_is(wrapped, "kms:bytes"))
        return secret_set(ret_plain, key, sizeof(key));
    if (slice_is(wrapped, "kms:digits"))
        return secret_set(ret_plain, NEW "\n", 65);
    if (slice_is(wrapped, "kms:short"))
        return secret_set(ret_plain, key, 31);
    snprintf(ret_why, KEYRING_WHY_BYTES, "the service is away");
    return ERR_UNAVAILABLE;
}

static void
test_texts(void **state)
{
    static const struct {
        const char *text;
        int err;
        size_t count;
        const char *why;
    } rows[] = {
        {OLD, 0, 1, ""},
        {"# of 2026\n\n " OLD " 2026-11-26T00:00:00Z \r\n" NEW "\n", 0, 2, ""},
        {"", ERR_SYNTAX, 0, "no key"},
        {"# only this\n", ERR_SYNTAX, 0, "no key"},
        {OLD "0", ERR_SYNTAX, 0, "line 1: not a key"},
        {OLD "\n" OLD, ERR_SYNTAX, 0, "line 2: this key is there twice"},
        {OLD " yesterday", ERR_SYNTAX, 0, "line 1: what follows"},
        {OLD "\nkms:bytes", 0, 2, ""},
        {"kms:digits", 0, 1, ""},
        {"kms:short", ERR_SYNTAX, 0, "line 1: what the key service opened is no key"},
        {OLD "\nkms:else", ERR_UNAVAILABLE, 0, "line 2: the service is away"},
    };
    int asked = 0;
    const struct keyring_unwrap unwrap = {open_wrapped, &asked};
    struct keyring r;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        why[0] = '\0';
        int err = keyring_parse(slice_of(rows[i].text), &unwrap, &r, why);
        if (err != rows[i].err || r.count != rows[i].count || !strstr(why, rows[i].why))
            fail_msg("%s: %d, %zu keys, %s", rows[i].text, err, r.count, why);
    }
    assert_int_equal(asked, 4);
    assert_int_equal(keyring_parse(SLICE("kms:bytes"), NULL, &r, why), ERR_SYNTAX);
    assert_non_null(strstr(why, "keys unwrap"));
    char text[9 * 66 + 1] = "";
    for (int i = 0; i < 9; i++)
        snprintf(text + 66 * i, 67, "%02x%.62s \n", i, OLD);
    text[8 * 66] = '\0';
    assert_int_equal(keyring_parse(slice_of(text), NULL, &r, why), 0);
    assert_int_equal(r.count, KEYRING_MOST);
    text[8 * 66] = '0';
    assert_int_equal(keyring_parse(slice_of(text), NULL, &r, why), ERR_LIMIT);
    assert_int_equal(r.count, 0);
}

static void
test_sources(void **state)
{
    struct keyring_source s = {.name = "env:TEST_SEAL_KEYS"};
    struct keyring r;
    (void)state;
    unsetenv("TEST_SEAL_KEYS");
    assert_int_equal(keyring_load(&s, NULL, &r, why), ERR_NOT_FOUND);
    assert_int_equal(setenv("TEST_SEAL_KEYS", OLD "," NEW, 1), 0);
    assert_int_equal(keyring_load(&s, NULL, &r, why), 0);
    assert_int_equal(r.count, 2);
    assert_false(keyring_is_news(&s));
    s = (struct keyring_source){.name = "/nonexistent/seal.key"};
    assert_int_equal(keyring_load(&s, NULL, &r, why), ERR_NOT_FOUND);
    unsetenv("HEADGATE_SEAL_KEY");
    assert_null(keyring_default());
    assert_int_equal(setenv("HEADGATE_SEAL_KEY", NEW, 1), 0);
    s = (struct keyring_source){.name = keyring_default()};
    assert_int_equal(keyring_load(&s, NULL, &r, why), 0);
    unsetenv("HEADGATE_SEAL_KEY");
}

static void
expect_file(const char *path, const char *want)
{
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(file_read(path, 4096, true, &text), 0);
    assert_slice_is(buf_slice(&text), want);
    buf_free(&text);
}

static void
test_files_are_changed_whole(void **state)
{
    char path[] = "/tmp/headgate-ring-XXXXXX";
    int fd = mkstemp(path);
    struct keyring_source s = {.name = path};
    struct keyring r;
    struct stat st;
    struct buf line;
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "# a\n" OLD, 68), 68);
    assert_int_equal(fchmod(fd, 0640), 0);
    close(fd);
    assert_int_equal(keyring_load(&s, NULL, &r, why), 0);
    assert_false(keyring_is_news(&s));
    assert_int_equal(keyring_file_append(path, SLICE(NEW)), 0);
    assert_true(keyring_is_news(&s));
    assert_false(keyring_is_news(&s));
    expect_file(path, "# a\n" OLD "\n" NEW "\n");
    assert_int_equal(keyring_file_to_front(path, 2), ERR_NOT_FOUND);
    assert_int_equal(keyring_file_to_front(path, 1), 0);
    expect_file(path, "# a\n" NEW "\n" OLD "\n");
    assert_int_equal(keyring_file_to_front(path, 0), 0);
    expect_file(path, "# a\n" NEW "\n" OLD "\n");
    assert_int_equal(keyring_file_drop(path, 1), 0);
    assert_int_equal(keyring_file_drop(path, 1), ERR_NOT_FOUND);
    expect_file(path, "# a\n" NEW "\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640); /* who could read it still can, and nobody else */
    buf_init(&line, 0);
    assert_int_equal(keyring_new_line(&line), 0);
    assert_int_equal(keyring_file_append(path, buf_slice(&line)), 0);
    assert_int_equal(keyring_load(&s, NULL, &r, why), 0);
    assert_int_equal(r.count, 2);
    assert_true(r.keys[1].made_ms > 0);
    buf_free(&line);
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_seals_and_all_open),
        cmocka_unit_test(test_any_changed_bit_is_noticed),
        cmocka_unit_test(test_values_without_an_id_open_under_any_key),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_files_are_changed_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
