#include "tests/unit/check.h"

#include "lib/base/utf8.h"

static void
test_every_character_there_is(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        char bytes[4];
        uint32_t back = 0;
        if (code == 0xd800)
            code = 0xe000;
        size_t n = utf8_put(code, bytes);
        assert_int_equal(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        if (utf8_take(bytes, n, &back) != n || back != code)
            fail_msg("U+%04X", (unsigned)code);
        if (n > 1 && utf8_take(bytes, n - 1, &back) != 0)
            fail_msg("U+%04X, cut off, was taken", (unsigned)code);
    }
}

/* Every sequence of up to three bytes, and of four with few variants, against a plain definition:
 * it is valid exactly when encoding what it decodes to gives the same bytes. */
static void
test_every_other_sequence(void **state)
{
    size_t valid = 0;
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        const unsigned char s[4] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8),
                                    (unsigned char)v, 0xbf};
        char bytes[4];
        uint32_t code = 0;
        size_t n = utf8_take(s, 4, &code);
        valid += n > 0;
        if (n > 0)
            assert_true(utf8_put(code, bytes) == n && memcmp(bytes, s, n) == 0);
    }
    /* of one byte 128, of two 30 * 64, of three all but surrogates and what two can say, of four
     * those that end with bf */
    assert_int_equal(valid, 128 * 65536 + 30 * 64 * 256 + (65536 - 2048 - 2048) + 0x100000 / 64);
}

static void
test_refused(void **state)
{
    static const char *const rows[] = {"\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xe0\x80\x80",
                                       "\xe0\x9f\xbf",
                                       "\xed\xa0\x80",
                                       "\xed\xbf\xbf",
                                       "\xf0\x80\x80\x80",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xf8\x88\x80\x80",
                                       "\xfe",
                                       "\xff",
                                       "\xc3\x28",
                                       "\xe2\x28\xa1",
                                       "\xe2\x82\x28",
                                       "\xf0\x28\x8c\xbc",
                                       "\xf0\x90\x28\xbc",
                                       "\xf0\x28\x8c\x28"};
    uint32_t code;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(utf8_take(rows[i], strlen(rows[i]), &code), 0);
    assert_int_equal(utf8_take("", 0, &code), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_character_there_is),
        cmocka_unit_test(test_every_other_sequence),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
