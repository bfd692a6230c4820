/* F160: how long a look-up takes tells nothing about a key. Keys that share all but their end with
 * a good one, and keys that share nothing, are looked up in random order; Welch's t between the
 * two. */
#include "tests/unit/check.h"

#include "lib/base/clock.h"
#include "lib/policy/policy_internal.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

#define GOOD "sk-hg-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
#define KEY_BYTES (sizeof(GOOD) - 1)
#define SAMPLES 200000
#define ROUNDS 5 /* a machine that is busy for one of them is not a leak */
#define LIMIT_T 4.5

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct sample {
    char key[KEY_BYTES];
    bool near;
    int64_t ns;
};

static void
fill(struct sample *s)
{
    unsigned char noise[KEY_BYTES + 1];

    rand_bytes(noise, sizeof(noise));
    s->near = noise[KEY_BYTES] & 1;
    memcpy(s->key, GOOD, KEY_BYTES);
    for (size_t i = s->near ? KEY_BYTES - 8 : 6; i < KEY_BYTES; i++)
        s->key[i] = letters[noise[i] % 64];
}

static int
by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Interrupts are no information: the slowest tenth of all is left out of both. */
static int64_t
crop_at(const struct sample *all)
{
    int64_t *times = malloc(SAMPLES * sizeof(*times));
    int64_t at;

    for (size_t i = 0; i < SAMPLES; i++)
        times[i] = all[i].ns;
    qsort(times, SAMPLES, sizeof(*times), by_time);
    at = times[SAMPLES * 9 / 10];
    free(times);
    return at;
}

/* The square of Welch's t. */
static double
welch(const struct sample *all)
{
    double n[2] = {0}, mean[2] = {0}, m2[2] = {0};
    int64_t crop = crop_at(all);
    double difference, error;

    for (size_t i = 0; i < SAMPLES; i++) {
        unsigned k = all[i].near;
        double x = (double)all[i].ns, d = x - mean[k];

        if (all[i].ns > crop)
            continue;
        n[k]++;
        mean[k] += d / n[k];
        m2[k] += d * (x - mean[k]);
    }
    difference = mean[0] - mean[1];
    error = m2[0] / (n[0] - 1) / n[0] + m2[1] / (n[1] - 1) / n[1];
    return difference * difference / error;
}

static double
measure(const struct policy *p, struct sample *all)
{
    struct policy_key scratch;

    for (size_t i = 0; i < SAMPLES; i++)
        fill(&all[i]);
    for (size_t i = 0; i < SAMPLES; i++) {
        int64_t began = clock_mono_ns();
        const struct policy_key *k =
            policy_find_key(p, slice_make(all[i].key, KEY_BYTES), &scratch);

        all[i].ns = clock_mono_ns() - began;
        assert_null(k);
    }
    return welch(all);
}

static void
test_f160_a_prefix_is_not_told_by_time(void **state)
{
    struct sample *all = malloc(SAMPLES * sizeof(*all));
    struct fixture f;
    struct policy *p;
    double least = 1e9;

    (void)state;
    fixture_init(&f);
    fixture_add_key(&f, GOOD + 3, "red"); /* whose text is "sk-" and this: GOOD */
    p = fixture_policy(&f, NULL);
    assert_non_null(policy_find_key(p, SLICE(GOOD), &(struct policy_key){0}));
    for (int round = 0; round < ROUNDS && least >= LIMIT_T * LIMIT_T; round++) {
        double t2 = measure(p, all);

        least = t2 < least ? t2 : least;
    }
    if (least >= LIMIT_T * LIMIT_T)
        fail_msg("the square of t is %.1f in each of %d rounds", least, ROUNDS);
    policy_unref(p);
    fixture_free(&f);
    free(all);
}

/* The measure itself: a look-up that leaked a short comparison would be found, with room: t is
 * near 25, so that chance does not decide. */
static void
test_the_measure_finds_a_leak(void **state)
{
    struct sample *all = malloc(SAMPLES * sizeof(*all));

    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        unsigned char noise[2];

        rand_bytes(noise, sizeof(noise));
        all[i].near = noise[0] & 1;
        all[i].ns = 1000 + noise[1] + (all[i].near ? 15 : 0);
    }
    assert_true(welch(all) > LIMIT_T * LIMIT_T);
    free(all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f160_a_prefix_is_not_told_by_time),
        cmocka_unit_test(test_the_measure_finds_a_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
