/* White box: both ways of the checksum are tested, whatever this machine would choose. */
#include "tests/unit/check.h"

#include "lib/base/encode.c" /* NOLINT: on purpose */

static void
test_hex(void **state)
{
    unsigned char bytes[4];
    char text[9];
    (void)state;
    hex_encode("\x00\x7f\x80\xff", 4, text);
    assert_string_equal(text, "007f80ff");
    hex_encode("", 0, text);
    assert_string_equal(text, "");
    assert_int_equal(hex_decode(SLICE("007F80fF"), bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
    assert_int_equal(hex_decode(SLICE("007F80f"), bytes, 4), ERR_SYNTAX);
    assert_int_equal(hex_decode(SLICE("007F80ff0"), bytes, 4), ERR_SYNTAX);
    assert_int_equal(hex_decode(SLICE("007F80fg"), bytes, 4), ERR_SYNTAX);
    assert_int_equal(hex_decode(SLICE("0x7F80ff"), bytes, 4), ERR_SYNTAX);
    assert_int_equal(hex_decode(SLICE(" 07F80ff"), bytes, 4), ERR_SYNTAX);
}

static void
test_base64_vectors(void **state)
{
    static const char *const rows[][2] = {/* RFC 4648, section 10 */
                                          {"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[BASE64_BYTES(8)], back[12];
        size_t n = 0;
        assert_int_equal(base64_encode(rows[i][0], strlen(rows[i][0]), text), strlen(rows[i][1]));
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(base64_decode(slice_of(text), back, &n), 0);
        assert_slice_is(slice_make(back, n), rows[i][0]);
        size_t bare = strcspn(text, "=");
        assert_int_equal(base64_decode(slice_make(text, bare), back, &n), 0);
        assert_slice_is(slice_make(back, n), rows[i][0]);
        assert_int_equal(base64url_encode(rows[i][0], strlen(rows[i][0]), text), bare);
        assert_int_equal(strlen(text), bare);
    }
}

static void
test_base64_alphabets(void **state)
{
    char text[BASE64_BYTES(3)];
    unsigned char back[4];
    size_t n = 0;
    (void)state;
    base64_encode("\xfb\xff\xbf", 3, text);
    assert_string_equal(text, "+/+/");
    base64url_encode("\xfb\xff\xbf", 3, text);
    assert_string_equal(text, "-_-_");
    assert_int_equal(base64_decode(SLICE("-/+_"), back, &n), 0);
    assert_memory_equal(back, "\xfb\xff\xbf", 3);
}

static void
test_base64_refuses(void **state)
{
    static const char *const rows[] = {"Z",        "Zg=",   "Zg===", "=",     "====",
                                       "Zm9v=",    "Zh==",  "Zm9=",  "Zm 9v", "Zm9v\n",
                                       "Zg==Zg==", "Zm9v!", "Zm=9v", "Zm9vY"};
    unsigned char back[16];
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (base64_decode(slice_of(rows[i]), back, &n) != ERR_SYNTAX)
            fail_msg("\"%s\" was taken", rows[i]);
}

static void
test_base64_round_trips(void **state)
{
    uint64_t seed = test_seed();
    (void)state;
    for (int i = 0; i < 5000; i++) {
        unsigned char bytes[70], back[80];
        char text[BASE64_BYTES(70)];
        size_t n = test_below(&seed, sizeof(bytes)), got = 0;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (unsigned char)test_random(&seed);
        size_t len = i % 2 ? base64_encode(bytes, n, text) : base64url_encode(bytes, n, text);
        assert_int_equal(base64_decode(slice_make(text, len), back, &got), 0);
        assert_int_equal(got, n);
        assert_memory_equal(back, bytes, n);
    }
}

/* RFC 3720, appendix B.4, and the check value of the catalogue. */
static void
check_crc_vectors(crc_function crc)
{
    unsigned char bytes[32];
    crc_best = crc;
    memset(bytes, 0, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    /* continued = all at once */
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void
test_crc32c(void **state)
{
    (void)state;
    (void)crc32c(0, "", 0);
    crc_function chosen = crc_best;
    check_crc_vectors(crc_by_table);
    check_crc_vectors(chosen);
}

/* The check value of the catalogue, and those of RFC 3720's patterns as zlib computes them. */
static void
test_crc32(void **state)
{
    unsigned char bytes[32];
    (void)state;
    assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(crc32(0, "", 0), 0);
    memset(bytes, 0, 32);
    assert_int_equal(crc32(0, bytes, 32), 0x190a55ad);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32(0, bytes, 32), 0xff6cab0b);
    assert_int_equal(crc32(crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_alphabets),
        cmocka_unit_test(test_base64_refuses),
        cmocka_unit_test(test_base64_round_trips),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
