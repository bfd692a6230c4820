/* White box: the hash is tested on its published vectors, and made to collide. */
#include "tests/unit/check.h"

#include "lib/base/map.c" /* NOLINT: on purpose */

static void
test_siphash_vectors(void **state)
{
    /* SipHash-2-4 of 00, 01, ..., n - 1 under the key 00 01 ... 0f: from the reference code */
    static const struct {
        size_t n;
        uint64_t want;
    } rows[] = {{0, UINT64_C(0x726fdb47dd0e0e31)},
                {1, UINT64_C(0x74f839c593dc67fd)},
                {7, UINT64_C(0xab0200f58b01d137)},
                {8, UINT64_C(0x93f5f5799a932462)},
                {15, UINT64_C(0xa129ca6149be45e5)}};
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char in[16];
    (void)state;
    for (unsigned char i = 0; i < 16; i++)
        in[i] = i;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(siphash(key, in, rows[i].n) == rows[i].want);
}

static void
test_put_find_remove(void **state)
{
    struct map m;
    int one, two;
    (void)state;
    map_init(&m);
    assert_null(map_find(&m, SLICE("a")));
    assert_null(map_remove(&m, SLICE("a")));
    assert_int_equal(map_put(&m, SLICE("a"), &one), 0);
    assert_int_equal(map_put(&m, SLICE("a\0"), &two), 0);
    assert_int_equal(map_put(&m, SLICE(""), &two), 0);
    assert_ptr_equal(map_find(&m, SLICE("a")), &one);
    assert_ptr_equal(map_find(&m, SLICE("a\0")), &two);
    assert_ptr_equal(map_find(&m, slice_of(NULL)), &two);
    assert_int_equal(map_put(&m, SLICE("a"), &two), 0);
    assert_int_equal(m.count, 3);
    assert_ptr_equal(map_remove(&m, SLICE("a")), &two);
    assert_null(map_remove(&m, SLICE("a")));
    assert_int_equal(m.count, 2);
    map_free(&m);
    map_free(&m);
    map_free(NULL);
}

#define KEYS 600

/* Random puts and removes against an array of what should be there. */
static void
test_it_holds_what_was_put(void **state)
{
    static char keys[KEYS][16];
    static char *there[KEYS];
    uint64_t seed = test_seed();
    struct map m;
    (void)state;
    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
    map_init(&m);
    for (int step = 0; step < 100000; step++) {
        size_t i = test_below(&seed, KEYS);
        if (test_below(&seed, 2)) {
            assert_int_equal(map_put(&m, slice_of(keys[i]), keys[i]), 0);
            there[i] = keys[i];
        } else {
            assert_ptr_equal(map_remove(&m, slice_of(keys[i])), there[i]);
            there[i] = NULL;
        }
        i = test_below(&seed, KEYS);
        assert_ptr_equal(map_find(&m, slice_of(keys[i])), there[i]);
    }
    size_t count = 0, cursor = 0, walked = 0;
    struct slice key;
    void *value;
    for (int i = 0; i < KEYS; i++)
        count += there[i] != NULL;
    assert_int_equal(m.count, count);
    for (; map_next(&m, &cursor, &key, &value); walked++)
        assert_ptr_equal(value, key.at);
    assert_int_equal(walked, count);
    map_free(&m);
}

/* Keys whose homes are the same slot, or the last ones, so that probing wraps around. */
static void
test_collisions_and_wrap(void **state)
{
    static char keys[20000][16];
    char *chosen[6];
    size_t n = 0;
    struct map m;
    (void)state;
    for (int i = 0; i < 20000 && n < 6; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
        if ((map_hash(keys[i], strlen(keys[i])) & 7) == (n < 3 ? 7u : n == 3 ? 0u : 6u))
            chosen[n++] = keys[i];
    }
    assert_int_equal(n, 6);
    for (size_t gone = 0; gone < 6; gone++) {
        map_init(&m);
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(map_put(&m, slice_of(chosen[i]), chosen[i]), 0);
        assert_int_equal(m.cap, 8);
        assert_ptr_equal(map_remove(&m, slice_of(chosen[gone])), chosen[gone]);
        for (size_t i = 0; i < 6; i++)
            assert_ptr_equal(map_find(&m, slice_of(chosen[i])), i == gone ? NULL : chosen[i]);
        map_free(&m);
    }
}

/* F021: the hash is keyed by the process, so a peer cannot prepare keys that collide. */
static void
test_f021_the_key_is_random(void **state)
{
    (void)state;
    (void)map_hash("", 0);
    assert_true(hash_key[0] != 0 && hash_key[1] != 0 && hash_key[0] != hash_key[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_vectors),        cmocka_unit_test(test_put_find_remove),
        cmocka_unit_test(test_it_holds_what_was_put),  cmocka_unit_test(test_collisions_and_wrap),
        cmocka_unit_test(test_f021_the_key_is_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
