/*
 * Tokens of others, and the keys that their issuers publish, on any bytes: what is read stays
 * inside of what was given, and nothing that this finds is signed by the one key there is.
 */
#include <string.h>

#include "lib/sign/bearer.h"
#include "tests/fuzz/fuzz.h"

/* RFC 8037, whose private half is public: a fuzzer that signed with it would deserve to be seen. */
static const char jwk[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d1\","
                          "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";

static struct bearer_key *
key_of_ours(struct arena *a)
{
    struct bearer_key *key = NULL;
    struct bearer_jwk read;
    CHECK(bearer_jwk_read(slice_of(jwk), a, &read) == 0);
    CHECK(bearer_key_new(read.kind, read.der, &key) == 0);
    return key;
}

static void
try_token(struct slice text, struct arena *a)
{
    struct bearer b;
    struct slice claim;
    const char *why = NULL;
    int64_t expires;
    if (bearer_read(text, LIMIT_BEARER_BYTES, a, &b) != 0)
        return;
    CHECK(bearer_looks_like(text) && text.len <= LIMIT_BEARER_BYTES && b.key_id.len > 0);
    CHECK(b.signed_text.at == text.at && b.signed_text.len < text.len);
    struct bearer_key *key = key_of_ours(a);
    CHECK(bearer_verify(&b, key) == ERR_AUTH);
    bearer_key_free(key);
    if (bearer_check(&b, SLICE("headgate"), 1700000000, &expires, &why) == 0)
        CHECK(expires + BEARER_LEEWAY_S > 1700000000 && why && !*why);
    else
        CHECK(why && *why);
    (void)!bearer_claim(&b, "sub", a, &claim);
}

static void
try_jwk(struct slice text, struct arena *a)
{
    struct bearer_jwk read;
    struct bearer_key *key = NULL;
    if (bearer_jwk_read(text, a, &read) != 0)
        return;
    CHECK(read.id.len > 0 && read.der.len <= LIMIT_BEARER_KEY_BYTES);
    CHECK(bearer_key_new(read.kind, read.der, &key) == 0);
    bearer_key_free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice text = slice_make((const char *)data, n);
    struct arena a;
    arena_init(&a, (size_t)4 << 20);
    try_token(text, &a);
    try_jwk(text, &a);
    arena_free(&a);
    return 0;
}
