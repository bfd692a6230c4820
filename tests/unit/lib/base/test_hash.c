#include "tests/unit/check.h"

#include "lib/base/encode.h"
#include "lib/base/hash.h"

/* The bytes of a hex text, in a static buffer that lives until the next but three. */
static struct slice
hex(const char *digits)
{
    static unsigned char ring[4][512];
    static unsigned next;
    unsigned char *at = ring[next++ % 4];
    size_t n = strlen(digits) / 2;
    assert_true(n <= sizeof(ring[0]));
    assert_int_equal(hex_decode(slice_of(digits), at, n), 0);
    return slice_make(at, n);
}

static void
assert_hex(const void *got, size_t n, const char *want)
{
    char text[1025];
    hex_encode(got, n, text);
    assert_string_equal(text, want);
}

static void
test_sha256(void **state)
{
    unsigned char digest[SHA256_BYTES];
    (void)state;
    hash_sha256("", 0, digest);
    assert_hex(digest, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_sha256("abc", 3, digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const struct slice pieces[] = {SLICE("a"), SLICE(""), SLICE("bc")};
    hash_sha256_pieces(pieces, 3, digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256_pieces(NULL, 0, digest);
    assert_hex(digest, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231 */
static void
test_hmac_vectors(void **state)
{
    static const struct {
        const char *key, *data, *mac;
    } rows[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
         "d"
         "dddddddddd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "a"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368"
         "204b6579204669727374",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned char mac[SHA256_BYTES];
        struct slice key = hex(rows[i].key), data = hex(rows[i].data);
        struct hmac *h = hmac_new(key.at, key.len);
        assert_non_null(h);
        for (int again = 0; again < 2; again++) { /* the key schedule is not used up */
            hmac_sha256(h, data.at, data.len, mac);
            assert_hex(mac, 32, rows[i].mac);
        }
        hmac_free(h);
    }
    assert_null(hmac_new("", 0));
    hmac_free(NULL);
}

/* --- sealing --- ------------------------------------------------------------------------------ */

static const unsigned char seal_key[SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcde";

static int
open_with(struct slice context, const void *sealed, size_t n)
{
    struct secret plain = {0};
    int e = unseal(seal_key, 1, context, slice_make(sealed, n), &plain);
    secret_free(&plain);
    return e;
}

static void
test_seal_opens_again(void **state)
{
    static const char *const texts[] = {"", "x", "sk-provider-credential-0123456789"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        unsigned char sealed[128], other[128];
        struct secret plain = {0};
        size_t n = strlen(texts[i]) + 1 + SEALED_MORE_BYTES;
        assert_int_equal(
            seal(seal_key, SLICE("\1"), SLICE("provider/openai"), slice_of(texts[i]), sealed), 0);
        assert_int_equal(
            seal(seal_key, SLICE("\1"), SLICE("provider/openai"), slice_of(texts[i]), other), 0);
        assert_memory_not_equal(sealed, other, n); /* a nonce of its own */
        assert_int_equal(
            unseal(seal_key, 1, SLICE("provider/openai"), slice_make(sealed, n), &plain), 0);
        assert_slice_is(secret_reveal(&plain), texts[i]);
        secret_free(&plain);
    }
}

static void
test_any_changed_bit_is_noticed(void **state)
{
    unsigned char sealed[5 + 1 + SEALED_MORE_BYTES];
    (void)state;
    assert_int_equal(seal(seal_key, SLICE("\1"), SLICE("a"), SLICE("hello"), sealed), 0);
    for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        assert_int_equal(open_with(SLICE("a"), sealed, sizeof(sealed)), ERR_AUTH);
        sealed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    assert_int_equal(open_with(SLICE("a"), sealed, sizeof(sealed)), 0);
    assert_int_equal(open_with(SLICE("b"), sealed, sizeof(sealed)), ERR_AUTH);
    assert_int_equal(open_with(SLICE(""), sealed, sizeof(sealed)), ERR_AUTH);
    assert_int_equal(open_with(SLICE("a"), sealed, sizeof(sealed) - 1), ERR_AUTH);
    assert_int_equal(open_with(SLICE("a"), sealed, SEALED_MORE_BYTES), ERR_SYNTAX);
    assert_int_equal(open_with(SLICE("a"), sealed, 0), ERR_SYNTAX);
}

/* AES-256-GCM itself, against a text sealed by another implementation (written from FIPS 197
 * and SP 800-38D for this; the additional data is the version byte and the context). */
static void
test_a_known_seal_opens(void **state)
{
    struct secret plain = {0};
    struct slice key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    struct slice sealed = hex(
        "01a0a1a2a3a4a5a6a7a8a9aaab957351462ba475d14f04e9a0701fb28661ac4662238d62c9ba6a8fa288b8a3");
    (void)state;
    assert_int_equal(
        unseal((const unsigned char *)key.at, 1, SLICE("provider/openai"), sealed, &plain), 0);
    assert_slice_is(secret_reveal(&plain), "sk-known-answer");
    secret_free(&plain);
}

/* --- signing --- ------------------------------------------------------------------------------ */

/* RFC 8032, 7.1: tests 1, 2 and 3 */
static void
test_ed25519_vectors(void **state)
{
    static const struct {
        const char *secret, *public, *message, *signature;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9"
         "b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f1"
         "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
         "84d"
         "c6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned char public[SIGN_PUBLIC_BYTES], signature[SIGNATURE_BYTES];
        const unsigned char *secret = (const unsigned char *)hex(rows[i].secret).at;
        struct slice message = hex(rows[i].message);
        assert_int_equal(sign_public(secret, public), 0);
        assert_hex(public, 32, rows[i].public);
        assert_int_equal(sign_make(secret, message, signature), 0);
        assert_hex(signature, 64, rows[i].signature);
        assert_int_equal(sign_verify(public, message, signature), 0);
        signature[i * 20] ^= 1;
        assert_int_equal(sign_verify(public, message, signature), ERR_AUTH);
        signature[i * 20] ^= 1;
        assert_int_equal(sign_verify(public, SLICE("other"), signature), ERR_AUTH);
    }
}

static void
test_generated_keys_sign(void **state)
{
    unsigned char secret[2][SIGN_SECRET_BYTES], public[2][SIGN_PUBLIC_BYTES];
    unsigned char signature[SIGNATURE_BYTES];
    (void)state;
    assert_int_equal(sign_generate(secret[0], public[0]), 0);
    assert_int_equal(sign_generate(secret[1], public[1]), 0);
    assert_memory_not_equal(secret[0], secret[1], SIGN_SECRET_BYTES);
    assert_int_equal(sign_make(secret[0], SLICE("root"), signature), 0);
    assert_int_equal(sign_verify(public[0], SLICE("root"), signature), 0);
    assert_int_equal(sign_verify(public[1], SLICE("root"), signature), ERR_AUTH);
    memset(public[0], 0xff, SIGN_PUBLIC_BYTES); /* no point of the curve */
    assert_int_equal(sign_verify(public[0], SLICE("root"), signature), ERR_AUTH);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac_vectors),
        cmocka_unit_test(test_seal_opens_again),
        cmocka_unit_test(test_any_changed_bit_is_noticed),
        cmocka_unit_test(test_a_known_seal_opens),
        cmocka_unit_test(test_ed25519_vectors),
        cmocka_unit_test(test_generated_keys_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
