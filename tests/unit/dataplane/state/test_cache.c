#include "tests/unit/check.h"

#include <stdlib.h>

#include "dataplane/state/cache.h"

#define TTL 1000

/* An answer of this key whose body has so many bytes. */
static struct cached
answer(unsigned char key, struct slice body)
{
    struct cached a = {.model = SLICE("m"),
                       .team = SLICE("t"),
                       .target = 3,
                       .status = 200,
                       .fields = {{.name = SLICE("content-type"), .value = SLICE("text/x")}},
                       .field_count = 1,
                       .body = body};
    a.key[0] = key;
    return a;
}

static void
put(struct cache *c, unsigned char key, struct slice body, int64_t now)
{
    struct cached a = answer(key, body);
    assert_int_equal(cache_put(c, &a, now, TTL), 0);
}

static const struct cached *
get(struct cache *c, unsigned char key, int64_t now)
{
    unsigned char digest[SHA256_BYTES] = {key};
    return cache_get(c, digest, now);
}

static bool
has(struct cache *c, unsigned char key, int64_t now)
{
    const struct cached *a = get(c, key, now);
    cache_unref(a);
    return a != NULL;
}

/* What one entry takes, of a body of so many bytes. */
static uint64_t
size_with(size_t body)
{
    struct cache *c = cache_new(1 << 20);
    char *bytes = calloc(1, body + 1);
    put(c, 1, slice_make(bytes, body), 0);
    uint64_t n = cache_counts(c).bytes;
    free(bytes);
    cache_free(c);
    return n;
}

static void
test_what_is_kept_is_a_copy(void **state)
{
    struct cache *c = cache_new(1 << 20);
    char body[] = "hello", name[] = "content-type";
    struct cached a = answer(1, slice_of(body));
    (void)state;
    a.fields[0].name = slice_of(name);
    a.config[5] = 9;
    assert_false(has(c, 1, 0));
    assert_int_equal(cache_put(c, &a, 40, TTL), 0);
    memset(body, 'x', 5);
    memset(name, 'x', 5);
    const struct cached *b = get(c, 1, 41);
    assert_non_null(b);
    assert_slice_is(b->body, "hello");
    assert_slice_is(b->fields[0].name, "content-type");
    assert_slice_is(b->fields[0].value, "text/x");
    assert_slice_is(b->model, "m");
    assert_slice_is(b->team, "t");
    assert_int_equal(b->target, 3);
    assert_int_equal(b->status, 200);
    assert_int_equal(b->stored_ms, 40);
    assert_int_equal(b->config[5], 9);
    assert_false(has(c, 2, 41));
    cache_unref(b);
    cache_free(c);
}

static void
test_each_has_its_time(void **state)
{
    struct cache *c = cache_new(1 << 20);
    (void)state;
    put(c, 1, SLICE("a"), 500);
    put(c, 2, SLICE("b"), 600);
    assert_true(has(c, 1, 500 + TTL - 1));
    assert_false(has(c, 1, 500 + TTL));
    assert_int_equal(cache_counts(c).answers, 1); /* it is gone, not only passed over */
    assert_false(has(c, 1, 600));
    cache_tend(c, 600 + TTL - 1);
    assert_int_equal(cache_counts(c).answers, 1);
    cache_tend(c, 600 + TTL);
    assert_int_equal(cache_counts(c).answers, 0);
    assert_int_equal(cache_counts(c).bytes, 0);
    assert_int_equal(cache_counts(c).evicted, 0);
    cache_free(c);
}

static void
test_the_longest_unused_goes_first(void **state)
{
    uint64_t each = size_with(100);
    struct cache *c = cache_new(3 * each);
    char body[101] = {0};
    (void)state;
    for (unsigned char k = 1; k <= 3; k++)
        put(c, k, slice_make(body, 100), 0);
    assert_true(has(c, 1, 1)); /* used: 2 is the oldest now */
    put(c, 4, slice_make(body, 100), 2);
    assert_false(has(c, 2, 3));
    assert_true(has(c, 1, 3) && has(c, 3, 3) && has(c, 4, 3));
    assert_int_equal(cache_counts(c).bytes, 3 * each);
    assert_int_equal(cache_counts(c).evicted, 1);
    put(c, 5, slice_make(body, 101), 4); /* a byte more: two must go */
    assert_int_equal(cache_counts(c).answers, 2);
    assert_true(cache_counts(c).bytes <= 3 * each);
    assert_int_equal(cache_counts(c).stored, 5);
    cache_free(c);
}

static void
test_bounds_of_one(void **state)
{
    uint64_t none = size_with(0);
    size_t most = LIMIT_CACHED_BYTES - none;
    char *body = calloc(1, most + 1);
    struct cache *c = cache_new(4 * LIMIT_CACHED_BYTES), *small = cache_new(none + 10);
    struct cached a = answer(1, slice_make(body, most)), b = answer(1, slice_make(body, most + 1));
    (void)state;
    assert_int_equal(cache_put(c, &a, 0, TTL), 0);
    assert_true(has(c, 1, 1));
    assert_int_equal(cache_put(c, &b, 0, TTL), ERR_LIMIT);
    assert_false(has(c, 1, 1)); /* it would be the answer before */
    a.body.len = 10;
    assert_int_equal(cache_put(small, &a, 0, TTL), 0);
    a.body.len = 11;
    assert_int_equal(cache_put(small, &a, 0, TTL), ERR_LIMIT);
    cache_free(c);
    cache_free(small);
    c = cache_new(0);
    a.body.len = 0;
    assert_int_equal(cache_put(c, &a, 0, TTL), ERR_LIMIT);
    cache_free(c);
    free(body);
}

static void
test_one_key_has_one_answer(void **state)
{
    struct cache *c = cache_new(1 << 20);
    (void)state;
    put(c, 1, SLICE("first"), 0);
    put(c, 1, SLICE("second"), TTL - 1);
    const struct cached *a = get(c, 1, TTL + 1); /* with a time of its own */
    assert_non_null(a);
    assert_slice_is(a->body, "second");
    cache_unref(a);
    assert_int_equal(cache_counts(c).answers, 1);
    cache_free(c);
}

/* On its way to a client it stays, whatever becomes of its place. */
static void
test_what_is_lent_stays(void **state)
{
    struct cache *c = cache_new(1 << 20);
    (void)state;
    put(c, 1, SLICE("lent"), 0);
    const struct cached *a = get(c, 1, 1), *b = get(c, 1, 1);
    put(c, 1, SLICE("other"), 2);
    cache_tend(c, 2 + TTL);
    assert_int_equal(cache_counts(c).answers, 0);
    cache_unref(b);
    assert_slice_is(a->body, "lent");
    cache_free(c);
    assert_slice_is(a->body, "lent");
    cache_unref(a);
}

/* --- the key ---------------------------------------------------------------------------------- */

static bool
same(const struct slice *a, size_t n, const struct slice *b, size_t m)
{
    unsigned char x[SHA256_BYTES], y[SHA256_BYTES];
    cache_key(a, n, x);
    cache_key(b, m, y);
    return memcmp(x, y, SHA256_BYTES) == 0;
}

/* The same bytes in other places, and lengths written into texts, are another sequence. */
static void
test_f159_no_text_is_another_ones(void **state)
{
    static const struct slice rows[][3] = {
        {{"ab", 2}, {"c", 1}, {"", 0}},
        {{"a", 1}, {"bc", 2}, {"", 0}},
        {{"abc", 3}, {"", 0}, {"", 0}},
        {{"", 0}, {"abc", 3}, {"", 0}},
        {{"", 0}, {"", 0}, {"abc", 3}},
        {{"ab", 2}, {NULL, 0}, {"c", 1}},
        {{"ab", 2}, {"", 0}, {"c", 1}},
        {{NULL, 0}, {NULL, 0}, {"abc", 3}},
        {{"ab\1\0\0\0\0\0\0\0c", 11}, {"", 0}, {"", 0}},
        {{"ab", 2}, {"c", 1}, {NULL, 0}},
        {{"AB", 2}, {"c", 1}, {"", 0}},
    };
    size_t n = sizeof(rows) / sizeof(rows[0]);
    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (same(rows[i], 3, rows[k], 3) != (i == k))
                fail_msg("rows %zu and %zu", i, k);
    assert_false(same(rows[0], 3, rows[0], 2)); /* an empty one more is one more */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_kept_is_a_copy),
        cmocka_unit_test(test_each_has_its_time),
        cmocka_unit_test(test_the_longest_unused_goes_first),
        cmocka_unit_test(test_bounds_of_one),
        cmocka_unit_test(test_one_key_has_one_answer),
        cmocka_unit_test(test_what_is_lent_stays),
        cmocka_unit_test(test_f159_no_text_is_another_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
