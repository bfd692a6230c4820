/*
 * Signed envelopes. Bit 0 of the first byte chooses: the rest is an envelope (nothing but what our
 * key signed may pass), or it is a root, which is signed here first so that the fuzzer gets behind
 * the signature. What passes is a root as the interface promises.
 */
#include <string.h>

#include "lib/control/snapshot.h"
#include "lib/control/wire.h"
#include "tests/fuzz/fuzz.h"

#define NOW_MS INT64_C(1800000000000)

static const unsigned char secret[SIGN_SECRET_BYTES] = "not a secret at all, only a seed";
static unsigned char public_key[1][SIGN_PUBLIC_BYTES];

/* An envelope as the publisher writes it (proto/snapshot.proto), around any bytes. */
static void
seal_root(struct slice root, struct buf *into)
{
    static const char domain[] = "headgate snapshot root v1";
    unsigned char signature[SIGNATURE_BYTES], digest[SHA256_BYTES];
    struct buf b;
    struct wire w = {into, 0};
    buf_init(&b, 0);
    CHECK(buf_add(&b, domain, sizeof(domain)) == 0 && buf_add_slice(&b, root) == 0);
    CHECK(sign_make(secret, buf_slice(&b), signature) == 0);
    wire_bytes(&w, 1, root);
    wire_bytes(&w, 2, slice_make(signature, sizeof(signature)));
    hash_sha256(public_key[0], SIGN_PUBLIC_BYTES, digest);
    wire_bytes(&w, 3, slice_make(digest, 8));
    buf_clear(&b);
    CHECK(buf_add_slice(&b, root) == 0 && buf_add(&b, signature, sizeof(signature)) == 0);
    CHECK(buf_add(&b, digest, 8) == 0);
    hash_sha256(b.at, b.len, digest);
    wire_bytes(&w, 4, slice_make(digest, sizeof(digest)));
    CHECK(w.err == 0);
    buf_free(&b);
}

static void
check_root(const struct snapshot_root *r)
{
    uint64_t total = 0;
    for (size_t i = 0; i < r->count; i++) {
        CHECK(r->sections[i].name.len > 0 && r->sections[i].size <= LIMIT_SECTION_BYTES);
        total += r->sections[i].size;
        for (size_t k = 0; k < i && i < 64; k++)
            CHECK(!slice_eq(r->sections[i].name, r->sections[k].name));
    }
    CHECK(total <= LIMIT_SNAPSHOT_BYTES);
    CHECK(r->not_before_ms == 0 || r->not_before_ms <= NOW_MS + CLOCK_SKEW_MS);
    CHECK(r->not_after_ms == 0 || r->not_after_ms >= NOW_MS - CLOCK_SKEW_MS);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool ready;
    struct snapshot_root root;
    struct arena arena;
    struct buf made;
    if (!ready)
        CHECK(sign_public(secret, public_key[0]) == 0);
    ready = true;
    if (n < 1)
        return 0;
    arena_init(&arena, 0);
    buf_init(&made, 0);
    struct snapshot_trust trust = {public_key, 1, SLICE(""), NOW_MS};
    if (data[0] & 2)
        trust.cluster_id = SLICE("c");
    struct slice envelope = slice_make(data + 1, n - 1);
    if (data[0] & 1) {
        seal_root(envelope, &made);
        envelope = buf_slice(&made);
    }
    enum snapshot_refusal r = snapshot_open(envelope, &trust, &arena, &root);
    CHECK(strcmp(snapshot_refusal_name(r), "unknown") != 0);
    if (r == SNAPSHOT_FINE) {
        check_root(&root);
        CHECK(trust.cluster_id.len == 0 || slice_is(root.cluster_id, "c"));
    }
    /* With no key trusted nothing passes, whatever it says of itself. */
    trust.key_count = 0;
    CHECK(snapshot_open(envelope, &trust, &arena, &root) != SNAPSHOT_FINE);
    buf_free(&made);
    arena_free(&arena);
    return 0;
}
