/*
 * Look-ups among very many keys, in the policy that a worker has on disk (DIR: a copy of its
 * state/policy), with the worker's own code.
 *
 *   build/tests/bench_keys digests DIR SEAL VERIFY N   digests of keys 0 .. N-1 under the policy's
 *                                                      pepper, in hex, a line each
 *   build/tests/bench_keys key I                       the text of key I
 *   build/tests/bench_keys lookup DIR SEAL VERIFY N    finds each of them once, in random order
 *
 * SEAL and VERIFY are files with the keys in hex. lookup prints one line of JSON.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/keyring.h"
#include "lib/base/rand.h"
#include "lib/policy/lkg.h"
#include "lib/policy/policy_internal.h"

#define KEY_BYTES 49 /* "sk-hg-" and 256 bits in base64url, like those that the API makes */

static void
die(const char *what, const char *detail)
{
    fprintf(stderr, "bench_keys: %s: %s\n", what, detail);
    exit(1);
}

static void
key_text(uint64_t i, char into[static KEY_BYTES + 1])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char digest[SHA256_BYTES], more[SHA256_BYTES];

    hash_sha256(&i, sizeof(i), digest);
    hash_sha256(digest, sizeof(digest), more);
    memcpy(into, "sk-hg-", 6);
    for (size_t c = 6; c < KEY_BYTES; c++)
        into[c] = letters[(c < 6 + SHA256_BYTES ? digest[c - 6] : more[c - 6 - SHA256_BYTES]) & 63];
    into[KEY_BYTES] = '\0';
}

static struct policy *
load(char **argv, double *ret_seconds)
{
    unsigned char seal[SEAL_KEY_BYTES], verify[1][SIGN_PUBLIC_BYTES];
    struct snapshot_trust trust = {.public_keys = verify, .key_count = 1};
    struct lkg_found found = {0};
    struct keyring ring;
    struct timespec a, b;
    struct lkg *lkg;
    struct buf why;

    buf_init(&why, 4096);
    if (file_key(argv[1], seal, sizeof(seal), false) != 0)
        die(argv[1], "is not 64 hexadecimal digits");
    if (file_key(argv[2], verify[0], SIGN_PUBLIC_BYTES, false) != 0)
        die(argv[2], "is not 64 hexadecimal digits");
    trust.now_wall_ms = (int64_t)time(NULL) * 1000;
    ring = keyring_of(seal);
    if (lkg_open(argv[0], &ring, &lkg) != 0)
        die(argv[0], "cannot be opened");
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (lkg_load(lkg, &trust, &ring, &found, &why) != 0)
        die(argv[0], buf_str(&why));
    clock_gettime(CLOCK_MONOTONIC, &b);
    *ret_seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    lkg_close(lkg);
    buf_free(&why);
    policy_settle(found.policy); /* as a worker does */
    return found.policy;
}

static void
print_digests(const struct policy *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        unsigned char digest[SHA256_BYTES];
        char text[KEY_BYTES + 1], hex[2 * SHA256_BYTES + 1];

        key_text(i, text);
        hmac_sha256(p->core->pepper, text, KEY_BYTES, digest);
        hex_encode(digest, sizeof(digest), hex);
        puts(hex);
    }
}

static int
by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The texts lie in the order in which they are asked for, as a request has its key at hand. */
static char *
shuffled(uint64_t n)
{
    char *all = malloc(n * (KEY_BYTES + 1));
    uint32_t *order = malloc(n * sizeof(*order));

    if (!all || !order)
        die("memory", "none left");
    for (uint64_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (uint64_t i = n; i-- > 1;) {
        uint64_t with = rand_below(i + 1);
        uint32_t t = order[i];

        order[i] = order[with];
        order[with] = t;
    }
    for (uint64_t i = 0; i < n; i++)
        key_text(order[i], all + i * (KEY_BYTES + 1));
    free(order);
    return all;
}

struct times {
    uint32_t *ns;
    uint64_t n;
};

static void
print_times(const char *name, struct times *t)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < t->n; i++)
        sum += t->ns[i];
    qsort(t->ns, t->n, sizeof(*t->ns), by_size);
    printf("\"%s\": {\"mean\": %" PRIu64 ", \"p50\": %" PRIu32 ", \"p99\": %" PRIu32
           ", \"p999\": %" PRIu32 "}",
           name, sum / t->n, t->ns[t->n / 2], t->ns[t->n * 99 / 100], t->ns[t->n * 999 / 1000]);
}

/* Each key once: by its digest (the look-up), and by its text (the HMAC under the pepper too).
 * Two clock readings are in each time; `clock` says what they cost alone. */
static void
measure(const struct policy *p, uint64_t n)
{
    struct times by_digest = {malloc(n * 4), n}, by_text = {malloc(n * 4), n},
                 clock = {malloc(n * 4), n};
    char *all = shuffled(n);
    struct policy_key scratch;

    if (!by_digest.ns || !by_text.ns || !clock.ns)
        die("memory", "none left");
    for (uint64_t i = 0; i < n; i++) {
        unsigned char digest[SHA256_BYTES];
        const char *text = all + i * (KEY_BYTES + 1);
        int64_t a;
        bool found;

        hmac_sha256(p->core->pepper, text, KEY_BYTES, digest);
        a = clock_mono_ns();
        found = p->bindings[digest[0]] && binding_find(p->bindings[digest[0]], digest, &scratch);
        by_digest.ns[i] = (uint32_t)(clock_mono_ns() - a);
        if (!found)
            die("lookup", "a key is missing");
        a = clock_mono_ns();
        clock.ns[i] = (uint32_t)(clock_mono_ns() - a);
    }
    for (uint64_t i = 0; i < n; i++) { /* from the other end: the caches know nothing of these */
        int64_t a = clock_mono_ns();
        const struct policy_key *k = policy_find_key(
            p, slice_make(all + (n - 1 - i) * (KEY_BYTES + 1), KEY_BYTES), &scratch);

        by_text.ns[i] = (uint32_t)(clock_mono_ns() - a);
        if (!k)
            die("lookup", "a key is missing");
    }
    print_times("digest_ns", &by_digest);
    printf(", ");
    print_times("text_ns", &by_text);
    printf(", ");
    print_times("clock_ns", &clock);
    free(all);
    free(by_digest.ns);
    free(by_text.ns);
    free(clock.ns);
}

int
main(int argc, char **argv)
{
    double seconds;

    if (argc == 3 && strcmp(argv[1], "key") == 0) {
        char text[KEY_BYTES + 1];

        key_text(strtoull(argv[2], NULL, 10), text);
        puts(text);
        return 0;
    }
    if (argc != 6)
        die("usage", "digests|lookup DIR SEAL VERIFY N, or key I");
    uint64_t n = strtoull(argv[5], NULL, 10);
    struct policy *p = load(argv + 2, &seconds);
    if (strcmp(argv[1], "digests") == 0) {
        print_digests(p, n);
        policy_unref(p);
        return 0;
    }
    printf("{\"keys\": %zu, \"load_seconds\": %.3f, \"heap_bytes\": %zu, ", policy_key_count(p),
           seconds, mallinfo2().uordblks + mallinfo2().hblkhd);
    measure(p, n);
    printf("}\n");
    policy_unref(p);
    return 0;
}
