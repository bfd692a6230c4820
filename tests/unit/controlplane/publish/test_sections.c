#include "tests/unit/check.h"

#include "controlplane/publish/sections.h"
#include "lib/control/section.h"

/* A digest in shard `shard` that sorts by `n`. */
static void
make_digest(unsigned shard, unsigned n, unsigned char ret[static SHA256_BYTES])
{
    memset(ret, 0, SHA256_BYTES);
    ret[0] = (unsigned char)shard;
    ret[30] = (unsigned char)(n >> 8);
    ret[31] = (unsigned char)n;
}

static void
put(struct key_edits *e, unsigned shard, unsigned n, const char *name)
{
    unsigned char digest[SHA256_BYTES];
    struct buf item;

    make_digest(shard, n, digest);
    buf_init(&item, 0);
    assert_int_equal(
        section_put_key(&item, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                                     .name = slice_of(name),
                                                     .team = SLICE("t")}),
        0);
    assert_int_equal(key_edits_put(e, digest, buf_slice(&item)), 0);
    buf_free(&item);
}

static void
take_out(struct key_edits *e, unsigned shard, unsigned n)
{
    unsigned char digest[SHA256_BYTES];

    make_digest(shard, n, digest);
    assert_int_equal(key_edits_remove(e, digest), 0);
}

static struct key_edits *
edits(void)
{
    struct key_edits *e = key_edits_new();

    assert_non_null(e);
    return e;
}

static void
apply(struct key_edits *e, struct sections *s)
{
    assert_int_equal(key_edits_apply(e, s), 0);
    key_edits_free(e);
}

/* The names in a shard, in order: "a b c". */
static const char *
names(const struct sections *s, unsigned shard)
{
    static char text[4096];
    struct slice rest = s->shards[shard] ? section_bytes(s->shards[shard]) : SLICE("");
    struct section_key k;
    struct arena arena;
    struct slice item;

    text[0] = '\0';
    arena_init(&arena, 0);
    while (section_next(SLICE("keys/00"), &rest, &item) == SECTION_KEY) {
        assert_int_equal(section_get_key(item, &arena, &k), 0);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", text[0] ? " " : "",
                 SLICE_ARG(k.name));
    }
    arena_free(&arena);
    return text;
}

static void
test_keys_are_merged_by_digest(void **state)
{
    struct sections *s = sections_new(NULL);
    struct key_edits *e = edits();

    (void)state;
    put(e, 7, 30, "c");
    put(e, 7, 10, "a");
    put(e, 7, 20, "b");
    put(e, 8, 1, "other");
    apply(e, s);
    assert_string_equal(names(s, 7), "a b c");
    assert_string_equal(names(s, 8), "other");
    e = edits();
    put(e, 7, 15, "ab");
    put(e, 7, 40, "d");
    put(e, 7, 20, "B");
    take_out(e, 7, 10);
    take_out(e, 7, 99); /* not there: no matter */
    apply(e, s);
    assert_string_equal(names(s, 7), "ab B c d");
    sections_unref(s);
}

static void
test_last_edit_of_a_digest_counts(void **state)
{
    struct sections *s = sections_new(NULL);
    struct key_edits *e = edits();

    (void)state;
    put(e, 0, 1, "first");
    put(e, 0, 1, "second");
    put(e, 0, 2, "gone");
    take_out(e, 0, 2);
    take_out(e, 0, 3);
    put(e, 0, 3, "back");
    apply(e, s);
    assert_string_equal(names(s, 0), "second back");
    sections_unref(s);
}

static void
test_an_empty_shard_is_no_section(void **state)
{
    struct section *list[SECTIONS_MOST];
    struct sections *s = sections_new(NULL);
    struct key_edits *e = edits();

    (void)state;
    put(e, 3, 1, "only");
    apply(e, s);
    assert_int_equal(sections_list(s, list), 1);
    assert_string_equal(list[0]->name, "keys/03");
    e = edits();
    take_out(e, 3, 1);
    apply(e, s);
    assert_null(s->shards[3]);
    assert_int_equal(sections_list(s, list), 0);
    sections_unref(s);
}

static void
test_untouched_shards_are_shared(void **state)
{
    struct sections *before = sections_new(NULL), *after;
    struct key_edits *e = edits();

    (void)state;
    put(e, 1, 1, "a");
    put(e, 2, 1, "b");
    apply(e, before);
    after = sections_new(before);
    e = edits();
    put(e, 2, 2, "c");
    apply(e, after);
    assert_ptr_equal(after->shards[1], before->shards[1]);
    assert_ptr_not_equal(after->shards[2], before->shards[2]);
    assert_string_equal(names(before, 2), "b");
    assert_string_equal(names(after, 2), "b c");
    sections_unref(before);
    assert_string_equal(names(after, 1), "a");
    sections_unref(after);
}

/* Many random edits against an array as the oracle; equal content gives equal bytes. */
static void
test_agrees_with_an_array(void **state)
{
    struct sections *s = sections_new(NULL), *once = sections_new(NULL);
    uint64_t seed = test_seed();
    bool there[64] = {false};
    char want[4096] = "", name[8];
    struct key_edits *e;

    (void)state;
    for (int round = 0; round < 300; round++) {
        e = edits();
        for (size_t i = test_below(&seed, 12); i > 0; i--) {
            unsigned n = (unsigned)test_below(&seed, 64);

            there[n] = test_below(&seed, 2) == 0;
            snprintf(name, sizeof(name), "k%u", n);
            if (there[n])
                put(e, 5, n, name);
            else
                take_out(e, 5, n);
        }
        apply(e, s);
    }
    e = edits();
    for (unsigned n = 0; n < 64; n++)
        if (there[n]) {
            snprintf(name, sizeof(name), "k%u", n);
            snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s", *want ? " " : "",
                     name);
            put(e, 5, n, name);
        }
    apply(e, once);
    assert_string_equal(names(s, 5), want);
    assert_memory_equal(s->shards[5]->sha256, once->shards[5]->sha256, SHA256_BYTES);
    sections_unref(s);
    sections_unref(once);
}

static void
test_names_of_sections(void **state)
{
    struct section *list[SECTIONS_MOST];
    struct sections *s = sections_new(NULL);
    struct key_edits *e = edits();

    (void)state;
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        sections_set_fixed(s, (enum section_id)i,
                           section_new(section_id_name((enum section_id)i), SLICE("x")));
    put(e, 255, 1, "a");
    put(e, 16, 1, "b");
    apply(e, s);
    assert_int_equal(sections_list(s, list), 2 + FIXED_SECTIONS);
    for (size_t i = 1; i < 2 + FIXED_SECTIONS; i++)
        assert_true(strcmp(list[i - 1]->name, list[i]->name) < 0); /* as a root wants them */
    assert_ptr_equal(sections_find(s, SLICE("keys/ff")), s->shards[255]);
    assert_ptr_equal(sections_find(s, SLICE("prices")), s->fixed[SECTION_PRICES]);
    assert_null(sections_find(s, SLICE("keys/00")));
    assert_null(sections_find(s, SLICE("keys/zz")));
    assert_null(sections_find(s, SLICE("quotas")));
    sections_unref(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_merged_by_digest),
        cmocka_unit_test(test_last_edit_of_a_digest_counts),
        cmocka_unit_test(test_an_empty_shard_is_no_section),
        cmocka_unit_test(test_untouched_shards_are_shared),
        cmocka_unit_test(test_agrees_with_an_array),
        cmocka_unit_test(test_names_of_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
