#include "tests/fault/fault.h"

#include <unistd.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/base/map.h"

static int
fill_buffer(void)
{
    struct buf b;
    int e = 0;
    buf_init(&b, 0);
    for (int i = 0; i < 300 && e == 0; i++) {
        size_t before = b.len;
        e = i % 2 ? buf_addf(&b, "%d and more of it;", i) : buf_add_str(&b, "some text;");
        if (e < 0)
            assert_int_equal(b.len, before); /* as it was */
        if (i % 5 == 0)
            buf_drop(&b, 3);
    }
    if (e == 0 && (!buf_reserve(&b, 100000) || !buf_str(&b)))
        e = ERR_NOMEM;
    buf_free(&b);
    return e;
}

static void
test_buffers(void **state)
{
    (void)state;
    fault_replay(fill_buffer);
}

static size_t hooks_run;

static void
on_free(void *ctx)
{
    (void)ctx;
    hooks_run++;
}

static int
fill_arena(void)
{
    struct arena a;
    size_t hooks = 0;
    bool done = true;
    arena_init(&a, 0);
    hooks_run = 0;
    for (size_t i = 0; i < 200 && done; i++) {
        done =
            arena_alloc(&a, i * 50) && arena_strdup(&a, SLICE("x")) && arena_printf(&a, "%zu", i);
        if (done && arena_on_free(&a, on_free, NULL) == 0)
            hooks++;
    }
    arena_free(&a);
    assert_int_equal(hooks_run, hooks); /* those that were taken, and no other */
    return done && hooks == 200 ? 0 : ERR_NOMEM;
}

static void
test_arenas(void **state)
{
    (void)state;
    fault_replay(fill_arena);
}

static int
fill_map(void)
{
    static char keys[500][8];
    struct map m;
    size_t held = 0;
    int e = 0;
    map_init(&m);
    for (size_t i = 0; i < 500; i++) {
        memcpy(keys[i], &i, sizeof(i));
        int put = map_put(&m, slice_make(keys[i], 8), keys[i]);
        if (put < 0)
            e = put;
        else
            held++;
        assert_int_equal(m.count, held);
    }
    for (size_t i = 0; i < 500; i++)
        held -= map_remove(&m, slice_make(keys[i], 8)) != NULL;
    assert_int_equal(held, 0);
    map_free(&m);
    return e;
}

static void
test_maps(void **state)
{
    (void)state;
    fault_replay(fill_map);
}

static int
seal_and_open(void)
{
    static const unsigned char key[SEAL_KEY_BYTES] = "k";
    unsigned char sealed[6 + SEAL_OVERHEAD_BYTES];
    struct secret plain = {0};
    struct keyring ring = keyring_of(key);
    int e = ring.count ? 0 : ERR_NOMEM;
    if (e == 0)
        e = keyring_seal(&ring, SLICE("c"), SLICE("secret"), sealed);
    if (e == 0)
        e = keyring_unseal(&ring, SLICE("c"), slice_make(sealed, sizeof(sealed)), &plain);
    if (e == 0)
        assert_true(slice_is(secret_reveal(&plain), "secret"));
    else
        assert_null(plain.at);
    secret_free(&plain);
    return e;
}

static void
test_sealing(void **state)
{
    (void)state;
    fault_replay(seal_and_open);
}

static int
sign_and_verify(void)
{
    unsigned char secret[SIGN_SECRET_BYTES] = "s", public[SIGN_PUBLIC_BYTES];
    unsigned char signature[SIGNATURE_BYTES];
    int e = sign_public(secret, public);
    if (e == 0)
        e = sign_make(secret, SLICE("root"), signature);
    /* a signature that is good may be refused without memory; a bad one is never taken */
    if (e == 0 && sign_verify(public, SLICE("other"), signature) == 0)
        fail_msg("a bad signature was taken");
    return e == 0 ? sign_verify(public, SLICE("root"), signature) : e;
}

static void
test_signing(void **state)
{
    (void)state;
    fault_replay(sign_and_verify);
}

static int
keep_hmac(void)
{
    unsigned char mac[SHA256_BYTES];
    struct hmac *h = hmac_new("pepper", 6);
    if (!h)
        return ERR_NOMEM;
    hmac_sha256(h, "x", 1, mac);
    hmac_free(h);
    return 0;
}

static void
test_hmac(void **state)
{
    (void)state;
    fault_replay(keep_hmac);
}

static int
replace_and_read(void)
{
    char path[] = "/tmp/fault-XXXXXX";
    unsigned char key[32];
    struct buf b;
    fault_pause();
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    fault_resume();
    buf_init(&b, 0);
    int e = file_replace(path, SLICE("content"), 0600);
    if (e == 0)
        e = file_read(path, 100, false, &b);
    if (e == 0)
        assert_true(slice_is(buf_slice(&b), "content"));
    unlink(path);
    if (e == 0)
        e = file_key(path, key, 32, true);
    unlink(path);
    buf_free(&b);
    return e;
}

static void
test_files(void **state)
{
    (void)state;
    fault_replay(replace_and_read);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers), cmocka_unit_test(test_arenas),  cmocka_unit_test(test_maps),
        cmocka_unit_test(test_sealing), cmocka_unit_test(test_signing), cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
