#include "tests/unit/check.h"

#include "lib/control/snapshot.h"
#include "lib/control/wire.h"

static unsigned char sign_secret[SIGN_SECRET_BYTES], other_secret[SIGN_SECRET_BYTES];
static unsigned char public_key[1][SIGN_PUBLIC_BYTES], other_public[1][SIGN_PUBLIC_BYTES];

#define NOW INT64_C(1700000000000)

static int
make_keys(void **state)
{
    (void)state;
    assert_int_equal(sign_generate(sign_secret, public_key[0]), 0);
    assert_int_equal(sign_generate(other_secret, other_public[0]), 0);
    return 0;
}

static struct snapshot_trust
trust_at(int64_t now_ms)
{
    return (struct snapshot_trust){.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES])public_key,
                                   .key_count = 1,
                                   .cluster_id = SLICE("c1"),
                                   .now_wall_ms = now_ms};
}

static struct section_ref refs[] = {
    {SLICE("keys/00"), {1}, 100}, {SLICE("models"), {2}, 200}, {SLICE("teams"), {3}, 0}};

static struct snapshot_root
good_root(void)
{
    return (struct snapshot_root){.cluster_id = SLICE("c1"),
                                  .epoch = 3,
                                  .version = 9,
                                  .revision = 7,
                                  .created_ms = NOW,
                                  .sections = refs,
                                  .count = 3};
}

static void
sign(const struct snapshot_root *r, struct buf *envelope)
{
    buf_clear(envelope);
    assert_int_equal(snapshot_sign(r, sign_secret, envelope), 0);
}

static enum snapshot_refusal
open_at(struct slice envelope, int64_t now_ms)
{
    struct snapshot_trust trust = trust_at(now_ms);
    struct snapshot_root root;
    struct arena a;
    enum snapshot_refusal r;

    arena_init(&a, 0);
    r = snapshot_open(envelope, &trust, &a, &root);
    arena_free(&a);
    return r;
}

static void
test_signed_root_opens(void **state)
{
    struct snapshot_trust trust = trust_at(NOW);
    struct snapshot_root r = good_root(), root;
    struct buf envelope;
    struct arena a;

    (void)state;
    buf_init(&envelope, 0);
    arena_init(&a, 0);
    sign(&r, &envelope);
    assert_int_equal(snapshot_open(buf_slice(&envelope), &trust, &a, &root), SNAPSHOT_FINE);
    assert_slice_is(root.cluster_id, "c1");
    assert_true(root.epoch == 3 && root.version == 9 && root.revision == 7);
    assert_true(root.created_ms == NOW);
    assert_int_equal(root.count, 3);
    assert_slice_is(root.sections[1].name, "models");
    assert_int_equal(root.sections[1].size, 200);
    assert_int_equal(root.sections[1].sha256[0], 2);
    assert_int_equal(snapshot_peek(buf_slice(&envelope), &a, &root), SNAPSHOT_FINE);
    assert_int_equal(root.version, 9);
    trust.cluster_id = SLICE(""); /* the first one seen is accepted */
    assert_int_equal(snapshot_open(buf_slice(&envelope), &trust, &a, &root), SNAPSHOT_FINE);
    arena_free(&a);
    buf_free(&envelope);
}

static void
test_f070_truncated_at_every_offset(void **state)
{
    struct snapshot_root r = good_root();
    struct buf envelope;

    (void)state;
    buf_init(&envelope, 0);
    sign(&r, &envelope);
    for (size_t i = 0; i < envelope.len; i++) {
        /* a copy of its own, so that the sanitizer sees every byte read behind it */
        char *cut = malloc(i + 1);

        memcpy(cut, envelope.at, i);
        assert_int_equal(open_at(slice_make(cut, i), NOW), SNAPSHOT_TORN);
        free(cut);
    }
    buf_free(&envelope);
}

static void
test_f070_every_flipped_bit(void **state)
{
    struct snapshot_root r = good_root();
    struct buf envelope;

    (void)state;
    buf_init(&envelope, 0);
    sign(&r, &envelope);
    for (size_t i = 0; i < envelope.len * 8; i++) {
        enum snapshot_refusal got;

        envelope.at[i / 8] = (char)(envelope.at[i / 8] ^ 1 << i % 8);
        got = open_at(buf_slice(&envelope), NOW);
        if (got != SNAPSHOT_TORN)
            fail_msg("bit %zu: %s", i, snapshot_refusal_name(got));
        envelope.at[i / 8] = (char)(envelope.at[i / 8] ^ 1 << i % 8);
    }
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_FINE);
    buf_free(&envelope);
}

static void
test_f070_sections_by_size_and_digest(void **state)
{
    struct section_ref ref = {.name = SLICE("models"), .size = 5};
    char bytes[] = "hello";

    (void)state;
    hash_sha256(bytes, 5, ref.sha256);
    assert_int_equal(snapshot_check_section(&ref, slice_make(bytes, 5)), SNAPSHOT_FINE);
    assert_int_equal(snapshot_check_section(&ref, slice_make(bytes, 4)), SNAPSHOT_TORN);
    assert_int_equal(snapshot_check_section(&ref, slice_make(bytes, 6)), SNAPSHOT_TORN);
    for (size_t i = 0; i < 40; i++) {
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
        assert_int_equal(snapshot_check_section(&ref, slice_make(bytes, 5)), SNAPSHOT_TORN);
        bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
    }
    ref.size = LIMIT_SECTION_BYTES + 1;
    assert_int_equal(snapshot_check_section(&ref, slice_make(bytes, LIMIT_SECTION_BYTES + 1)),
                     SNAPSHOT_OVERSIZE); /* told by the length alone: the bytes are not there */
}

/* An envelope put together by hand: a forger can make the checksum right. */
static void
forge(struct slice root, struct slice signature, struct slice key_id, struct buf *envelope)
{
    unsigned char digest[SHA256_BYTES];
    struct wire w = {envelope, 0};
    struct buf all;

    buf_init(&all, 0);
    assert_int_equal(buf_add_slice(&all, root), 0);
    assert_int_equal(buf_add_slice(&all, signature), 0);
    assert_int_equal(buf_add_slice(&all, key_id), 0);
    hash_sha256(all.at, all.len, digest);
    buf_free(&all);
    buf_clear(envelope);
    wire_bytes(&w, 1, root);
    if (signature.at)
        wire_bytes(&w, 2, signature);
    if (key_id.at)
        wire_bytes(&w, 3, key_id);
    wire_bytes(&w, 4, slice_make(digest, SHA256_BYTES));
    assert_int_equal(w.err, 0);
}

/* The fields of a good envelope. */
static void
take_apart(const struct buf *envelope, struct slice *root, struct slice *signature,
           struct slice *key_id)
{
    struct slice rest = buf_slice(envelope), content;
    unsigned field;

    while (wire_next(&rest, &field, &content) == 1)
        *(field == 1 ? root : field == 2 ? signature : field == 3 ? key_id : &content) = content;
}

static void
test_f077_who_may_sign(void **state)
{
    struct snapshot_root r = good_root();
    struct slice root, signature, key_id;
    struct buf good, envelope;
    unsigned char wrong[SIGNATURE_BYTES];

    (void)state;
    buf_init(&good, 0);
    buf_init(&envelope, 0);
    sign(&r, &good);
    take_apart(&good, &root, &signature, &key_id);
    forge(root, signature, key_id, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_FINE); /* the forge is right */
    forge(root, (struct slice){0}, key_id, &envelope);                   /* unsigned */
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    forge(root, SLICE(""), key_id, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    forge(root, signature, (struct slice){0}, &envelope); /* by nobody */
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    forge(root, signature, SLICE("12345678"), &envelope); /* by an unknown key */
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    memcpy(wrong, signature.at, SIGNATURE_BYTES);
    wrong[0] ^= 1;
    forge(root, slice_make(wrong, SIGNATURE_BYTES), key_id, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    forge(SLICE("\xff\xff\xff"), signature, key_id, &envelope); /* and nothing of it is parsed */
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    buf_clear(&envelope);
    assert_int_equal(snapshot_sign(&r, other_secret, &envelope), 0); /* by another publisher */
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    buf_free(&good);
    buf_free(&envelope);
}

/* A signature over the bare root, as another tool of the house might make one, is none. */
static void
test_f077_signature_is_bound_to_its_purpose(void **state)
{
    struct snapshot_root r = good_root();
    struct slice root, signature, key_id;
    unsigned char bare[SIGNATURE_BYTES];
    struct buf good, envelope;

    (void)state;
    buf_init(&good, 0);
    buf_init(&envelope, 0);
    sign(&r, &good);
    take_apart(&good, &root, &signature, &key_id);
    assert_int_equal(sign_make(sign_secret, root, bare), 0);
    forge(root, slice_make(bare, SIGNATURE_BYTES), key_id, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    buf_free(&good);
    buf_free(&envelope);
}

static void
test_f077_for_whom_and_when(void **state)
{
    struct snapshot_root r = good_root();
    struct buf envelope;

    (void)state;
    buf_init(&envelope, 0);
    r.cluster_id = SLICE("c2");
    sign(&r, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    r = good_root();
    r.not_before_ms = NOW + CLOCK_SKEW_MS + 1;
    sign(&r, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_AUTH);
    assert_int_equal(open_at(buf_slice(&envelope), NOW + 1), SNAPSHOT_FINE);
    r = good_root();
    r.not_after_ms = NOW;
    sign(&r, &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW + CLOCK_SKEW_MS), SNAPSHOT_FINE);
    assert_int_equal(open_at(buf_slice(&envelope), NOW + CLOCK_SKEW_MS + 1), SNAPSHOT_EXPIRED);
    buf_free(&envelope);
}

static void
test_f073_bounds(void **state)
{
    struct snapshot_root r = good_root();
    struct section_ref big[8];
    struct section_ref *many;
    struct buf envelope;

    (void)state;
    buf_init(&envelope, 0);
    /* told by the length alone: the bytes are not there */
    assert_int_equal(open_at(slice_make("x", (size_t)4 << 30), NOW), SNAPSHOT_OVERSIZE);
    assert_int_equal(open_at(slice_make("x", LIMIT_ENVELOPE_BYTES + 1), NOW), SNAPSHOT_OVERSIZE);
    refs[1].size = LIMIT_SECTION_BYTES + 1;
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), ERR_LIMIT);
    refs[1].size = 200;
    r.sections = big;
    r.count = 8;
    for (size_t i = 0; i < 8; i++)
        big[i] = (struct section_ref){.name = slice_make("abcdefgh" + i, 1),
                                      .size = LIMIT_SECTION_BYTES};
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), ERR_LIMIT); /* all together */
    many = calloc(LIMIT_SECTIONS + 1, sizeof(*many));
    r.sections = many;
    r.count = LIMIT_SECTIONS + 1;
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), ERR_LIMIT);
    free(many);
    buf_free(&envelope);
}

/* A root that our own signer would not make, but whose signature is right. */
static void
test_f073_a_signed_root_is_bounded_too(void **state)
{
    struct buf message, root, envelope;
    unsigned char signature[SIGNATURE_BYTES], id[SHA256_BYTES];
    static const char domain[] = "headgate snapshot root v1";
    struct wire w;
    size_t at;

    (void)state;
    buf_init(&message, 0);
    buf_init(&root, 0);
    buf_init(&envelope, 0);
    hash_sha256(public_key[0], SIGN_PUBLIC_BYTES, id);
    w = (struct wire){&root, 0};
    wire_text(&w, 1, SLICE("c1"));
    at = wire_begin(&w);
    wire_text(&w, 1, SLICE("models"));
    wire_bytes(&w, 2, slice_make(id, SHA256_BYTES));
    wire_uint(&w, 3, UINT64_MAX);
    wire_end(&w, 8, at);
    assert_int_equal(buf_add(&message, domain, sizeof(domain)), 0);
    assert_int_equal(buf_add_slice(&message, buf_slice(&root)), 0);
    assert_int_equal(sign_make(sign_secret, buf_slice(&message), signature), 0);
    forge(buf_slice(&root), slice_make(signature, SIGNATURE_BYTES), slice_make(id, 8), &envelope);
    assert_int_equal(open_at(buf_slice(&envelope), NOW), SNAPSHOT_OVERSIZE);
    buf_free(&message);
    buf_free(&root);
    buf_free(&envelope);
}

static void
test_sections_must_be_sorted_and_unique(void **state)
{
    struct section_ref two[] = {{SLICE("b"), {0}, 0}, {SLICE("a"), {0}, 0}};
    struct snapshot_root r = good_root();
    struct buf envelope;

    (void)state;
    buf_init(&envelope, 0);
    r.sections = two;
    r.count = 2;
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), ERR_BAD_STATE);
    two[1].name = SLICE("b");
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), ERR_BAD_STATE);
    two[1].name = SLICE("bb");
    assert_int_equal(snapshot_sign(&r, sign_secret, &envelope), 0);
    buf_free(&envelope);
}

static void
test_f071_f072_order(void **state)
{
    static const unsigned char a[SHA256_BYTES] = {1}, b[SHA256_BYTES] = {2};

    (void)state;
    assert_int_equal(snapshot_order(5, 5, a, 5, 6, b), SNAPSHOT_FINE);
    assert_int_equal(snapshot_order(5, 5, a, 6, 1, b), SNAPSHOT_FINE);
    assert_int_equal(snapshot_order(5, 5, a, 5, 9, b), SNAPSHOT_FINE); /* a gap is no matter */
    assert_int_equal(snapshot_order(5, 5, a, 5, 4, b), SNAPSHOT_OLD);
    assert_int_equal(snapshot_order(5, 5, a, 4, 99, b), SNAPSHOT_OLD);
    assert_int_equal(snapshot_order(5, 5, a, 5, 5, a), SNAPSHOT_OLD);
    assert_int_equal(snapshot_order(5, 5, a, 5, 5, b), SNAPSHOT_EQUIVOCATION);
}

static void
test_names_are_stable(void **state)
{
    (void)state;
    assert_string_equal(snapshot_refusal_name(SNAPSHOT_TORN), "torn");
    assert_string_equal(snapshot_refusal_name(SNAPSHOT_AUTH), "auth");
    assert_string_equal(snapshot_refusal_name(SNAPSHOT_EQUIVOCATION), "equivocation");
    assert_string_equal(snapshot_refusal_name(SNAPSHOT_DUPLICATE), "duplicate_id");
    assert_string_equal(snapshot_refusal_name(SNAPSHOT_REFUSALS), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed_root_opens),
        cmocka_unit_test(test_f070_truncated_at_every_offset),
        cmocka_unit_test(test_f070_every_flipped_bit),
        cmocka_unit_test(test_f070_sections_by_size_and_digest),
        cmocka_unit_test(test_f077_who_may_sign),
        cmocka_unit_test(test_f077_signature_is_bound_to_its_purpose),
        cmocka_unit_test(test_f077_for_whom_and_when),
        cmocka_unit_test(test_f073_bounds),
        cmocka_unit_test(test_f073_a_signed_root_is_bounded_too),
        cmocka_unit_test(test_sections_must_be_sorted_and_unique),
        cmocka_unit_test(test_f071_f072_order),
        cmocka_unit_test(test_names_are_stable),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
