/* JWK sets: what is taken of them, and how much. */
#include "tests/unit/check.h"

#include "controlplane/jobs/openid.h"
#include "lib/policy/policy.h"

#define ED(kid)                                                                                    \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"" kid "\","                                    \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static int
read_set(const char *text, size_t *ret_count)
{
    struct json *keys = NULL;
    int err = openid_read_keys(slice_of(text), &keys);

    *ret_count = json_size(keys);
    if (!err)
        json_free(keys);
    return err;
}

static void
test_usable_keys_are_taken_and_others_passed_over(void **state)
{
    size_t count;

    (void)state;
    assert_int_equal(
        read_set("{\"keys\":[" ED("a") ",{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"AA\"},"
                                       "{\"kty\":\"RSA\",\"kid\":\"c\",\"n\":\"!\"},{},"
                                       "7]}",
                 &count),
        0);
    assert_int_equal(count, 1);
    assert_int_equal(read_set("{\"keys\":[]}", &count), 0);
    assert_int_equal(count, 0);
}

static void
test_what_is_no_set(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"keys\":{}}",
                                      "{\"keys\":[]",
                                      "{\"keys\":null}",
                                      "{\"keys\":[],\"keys\":[]}",
                                      "<html>"};
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read_set(bad[i], &count) == 0)
            fail_msg("%s is taken", bad[i]);
}

static int
read_many(size_t n, size_t *ret_count)
{
    struct buf text;
    int err;

    buf_init(&text, 0);
    assert_int_equal(buf_add_str(&text, "{\"keys\":["), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_addf(&text, "%s%s", i ? "," : "", ED("k")), 0);
    assert_int_equal(buf_add_str(&text, "]}"), 0);
    err = read_set(buf_str(&text), ret_count);
    buf_free(&text);
    return err;
}

static void
test_a_set_is_bounded(void **state)
{
    size_t count;

    (void)state;
    assert_int_equal(read_many(LIMIT_ISSUER_KEYS, &count), 0);
    assert_int_equal(count, LIMIT_ISSUER_KEYS);
    assert_int_equal(read_many(LIMIT_ISSUER_KEYS + 1, &count), ERR_LIMIT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usable_keys_are_taken_and_others_passed_over),
        cmocka_unit_test(test_what_is_no_set),
        cmocka_unit_test(test_a_set_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
