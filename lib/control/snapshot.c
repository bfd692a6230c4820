#include "lib/control/snapshot.h"

#include <string.h>

#include "lib/control/message.h"
#include "lib/control/wire.h"
#include "proto/snapshot.pb-c.h"

#define KEY_ID_BYTES 8
/* Signed together with the root, so that a signature made for anything else says nothing here. */
static const char domain[] = "headgate snapshot root v1"; /* its NUL is part of it */

static const char *const refusals[] = {
    [SNAPSHOT_FINE] = "fine",         [SNAPSHOT_TORN] = "torn",
    [SNAPSHOT_AUTH] = "auth",         [SNAPSHOT_EXPIRED] = "expired",
    [SNAPSHOT_OLD] = "old",           [SNAPSHOT_EQUIVOCATION] = "equivocation",
    [SNAPSHOT_OVERSIZE] = "oversize", [SNAPSHOT_DUPLICATE] = "duplicate_id",
    [SNAPSHOT_MEANING] = "meaning",   [SNAPSHOT_NOMEM] = "nomem",
    [SNAPSHOT_POISON] = "poison",
};

const char *
snapshot_refusal_name(enum snapshot_refusal r)
{
    return (size_t)r < sizeof(refusals) / sizeof(*refusals) ? refusals[r] : "unknown";
}

/* --- making ---------------------------------------------------------------------------------- */

/* Sorted, unique, and within the bounds that a worker will hold it to: 0 or ERR_LIMIT. */
static int
check_refs(const struct section_ref *refs, size_t count)
{
    uint64_t total = 0;

    if (count > LIMIT_SECTIONS)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (refs[i].name.len == 0 || refs[i].name.len > 64 || refs[i].size > LIMIT_SECTION_BYTES)
            return ERR_LIMIT;
        total += refs[i].size;
    }
    return total > LIMIT_SNAPSHOT_BYTES ? ERR_LIMIT : 0;
}

static int
name_order(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = memcmp(a.at, b.at, n);

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static bool
is_sorted(const struct section_ref *refs, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (name_order(refs[i - 1].name, refs[i].name) >= 0)
            return false;
    return true;
}

static int
put_root(const struct snapshot_root *r, struct buf *into)
{
    struct wire w = {into, 0};

    wire_text(&w, 1, r->cluster_id);
    wire_uint(&w, 2, r->epoch);
    wire_uint(&w, 3, r->version);
    wire_int(&w, 4, r->created_ms);
    wire_int(&w, 5, r->not_before_ms);
    wire_int(&w, 6, r->not_after_ms);
    wire_uint(&w, 7, r->revision);
    for (size_t i = 0; i < r->count; i++) {
        size_t at = wire_begin(&w);

        wire_text(&w, 1, r->sections[i].name);
        wire_bytes(&w, 2, slice_make(r->sections[i].sha256, SHA256_BYTES));
        wire_uint(&w, 3, r->sections[i].size);
        wire_end(&w, 8, at);
    }
    return w.err;
}

/* What a signature is made over. */
static int
put_signed(struct slice root, struct buf *into)
{
    int err = buf_add(into, domain, sizeof(domain));

    return err ? err : buf_add_slice(into, root);
}

static void
key_id_of(const unsigned char public[static SIGN_PUBLIC_BYTES], unsigned char ret_id[KEY_ID_BYTES])
{
    unsigned char digest[SHA256_BYTES];

    hash_sha256(public, SIGN_PUBLIC_BYTES, digest);
    memcpy(ret_id, digest, KEY_ID_BYTES);
}

static int
checksum_of(struct slice root, struct slice signature, struct slice key_id,
            unsigned char ret_digest[static SHA256_BYTES])
{
    struct buf all;
    int err;

    buf_init(&all, 0);
    err = buf_add_slice(&all, root);
    if (!err)
        err = buf_add_slice(&all, signature);
    if (!err)
        err = buf_add_slice(&all, key_id);
    if (!err)
        hash_sha256(all.at, all.len, ret_digest);
    buf_free(&all);
    return err;
}

static int
put_envelope(struct slice root, const unsigned char signature[static SIGNATURE_BYTES],
             const unsigned char public[static SIGN_PUBLIC_BYTES], struct buf *into)
{
    struct wire w = {into, 0};
    unsigned char checksum[SHA256_BYTES], key_id[KEY_ID_BYTES];
    struct slice sig = slice_make(signature, SIGNATURE_BYTES);
    struct slice id = slice_make(key_id, KEY_ID_BYTES);
    int err;

    key_id_of(public, key_id);
    if ((err = checksum_of(root, sig, id, checksum)) != 0)
        return err;
    wire_bytes(&w, 1, root);
    wire_bytes(&w, 2, sig);
    wire_bytes(&w, 3, id);
    wire_bytes(&w, 4, slice_make(checksum, SHA256_BYTES));
    return w.err;
}

static int
sign_root(struct slice root, const unsigned char secret[static SIGN_SECRET_BYTES], struct buf *into)
{
    unsigned char signature[SIGNATURE_BYTES], public[SIGN_PUBLIC_BYTES];
    struct buf message;
    int err;

    buf_init(&message, 0);
    err = put_signed(root, &message);
    if (!err)
        err = sign_public(secret, public);
    if (!err)
        err = sign_make(secret, buf_slice(&message), signature);
    if (!err)
        err = put_envelope(root, signature, public, into);
    buf_free(&message);
    return err;
}

int
snapshot_sign(const struct snapshot_root *root,
              const unsigned char sign_secret[static SIGN_SECRET_BYTES], struct buf *into)
{
    struct buf bytes;
    int err = check_refs(root->sections, root->count);

    if (err)
        return err;
    if (!is_sorted(root->sections, root->count))
        return ERR_BAD_STATE;
    buf_init(&bytes, LIMIT_ROOT_BYTES);
    err = put_root(root, &bytes);
    if (!err)
        err = sign_root(buf_slice(&bytes), sign_secret, into);
    buf_free(&bytes);
    return err;
}

/* --- checking -------------------------------------------------------------------------------- */

/* The trusted key that signed it, by the envelope's key id: NULL when none has it. */
static const unsigned char *
trusted_key(const struct snapshot_trust *trust, struct slice key_id)
{
    unsigned char id[KEY_ID_BYTES];

    for (size_t i = 0; key_id.len == KEY_ID_BYTES && i < trust->key_count; i++) {
        key_id_of(trust->public_keys[i], id);
        if (memcmp(id, key_id.at, KEY_ID_BYTES) == 0)
            return trust->public_keys[i];
    }
    return NULL;
}

static enum snapshot_refusal
verify(struct slice root, struct slice signature, const unsigned char *public_key)
{
    struct buf message;
    enum snapshot_refusal r = SNAPSHOT_NOMEM;

    buf_init(&message, 0);
    if (put_signed(root, &message) == 0)
        r = sign_verify(public_key, buf_slice(&message), (const unsigned char *)signature.at) == 0
                ? SNAPSHOT_FINE
                : SNAPSHOT_AUTH;
    buf_free(&message);
    return r;
}

/* Damage first (the checksum), then forgery (the signature). Nothing of the root is read here. */
static enum snapshot_refusal
check_envelope(const Headgate__Snapshot__Envelope *e, const struct snapshot_trust *trust)
{
    struct slice root = message_bytes(e->root.data, e->root.len);
    struct slice signature = message_bytes(e->signature.data, e->signature.len);
    struct slice key_id = message_bytes(e->key_id.data, e->key_id.len);
    unsigned char checksum[SHA256_BYTES];
    const unsigned char *key;

    if (root.len > LIMIT_ROOT_BYTES)
        return SNAPSHOT_OVERSIZE;
    if (checksum_of(root, signature, key_id, checksum) != 0)
        return SNAPSHOT_NOMEM;
    if (e->checksum.len != SHA256_BYTES || memcmp(e->checksum.data, checksum, SHA256_BYTES) != 0)
        return SNAPSHOT_TORN;
    key = trusted_key(trust, key_id);
    if (!key || signature.len != SIGNATURE_BYTES)
        return SNAPSHOT_AUTH;
    return verify(root, signature, key);
}

static enum snapshot_refusal
get_refs(const Headgate__Snapshot__Root *m, struct arena *a, struct snapshot_root *ret)
{
    struct section_ref *refs;

    if (m->n_sections > LIMIT_SECTIONS)
        return SNAPSHOT_OVERSIZE;
    if (!(refs = arena_alloc(a, (m->n_sections + 1) * sizeof(*refs))))
        return SNAPSHOT_NOMEM;
    for (size_t i = 0; i < m->n_sections; i++) {
        const Headgate__Snapshot__SectionRef *s = m->sections[i];

        if (s->sha256.len != SHA256_BYTES)
            return SNAPSHOT_TORN;
        refs[i] = (struct section_ref){.name = slice_of(s->name), .size = s->size};
        memcpy(refs[i].sha256, s->sha256.data, SHA256_BYTES);
    }
    ret->sections = refs;
    ret->count = m->n_sections;
    if (check_refs(refs, ret->count) != 0)
        return SNAPSHOT_OVERSIZE;
    return is_sorted(refs, ret->count) ? SNAPSHOT_FINE : SNAPSHOT_DUPLICATE;
}

static enum snapshot_refusal
get_root(struct slice bytes, struct arena *a, struct snapshot_root *ret)
{
    const Headgate__Snapshot__Root *m =
        message_read(&headgate__snapshot__root__descriptor, bytes, a);

    if (!m)
        return SNAPSHOT_TORN;
    *ret = (struct snapshot_root){
        .cluster_id = slice_of(m->cluster_id),
        .epoch = m->epoch,
        .version = m->version,
        .revision = m->revision,
        .created_ms = m->created_unix_ms,
        .not_before_ms = m->not_before_unix_ms,
        .not_after_ms = m->not_after_unix_ms,
    };
    return get_refs(m, a, ret);
}

/* Is it for us, and now? Clocks may differ by CLOCK_SKEW_MS. */
static enum snapshot_refusal
check_scope(const struct snapshot_root *r, const struct snapshot_trust *trust)
{
    if (trust->cluster_id.len && !slice_eq(trust->cluster_id, r->cluster_id))
        return SNAPSHOT_AUTH;
    if (trust->avoid_version && r->epoch == trust->avoid_epoch &&
        r->version == trust->avoid_version)
        return SNAPSHOT_POISON;
    if (r->not_before_ms && r->not_before_ms - CLOCK_SKEW_MS > trust->now_wall_ms)
        return SNAPSHOT_AUTH;
    if (r->not_after_ms && r->not_after_ms + CLOCK_SKEW_MS < trust->now_wall_ms)
        return SNAPSHOT_EXPIRED;
    return SNAPSHOT_FINE;
}

enum snapshot_refusal
snapshot_open(struct slice envelope, const struct snapshot_trust *trust, struct arena *a,
              struct snapshot_root *ret_root)
{
    const Headgate__Snapshot__Envelope *e;
    enum snapshot_refusal r;

    if (envelope.len > LIMIT_ENVELOPE_BYTES)
        return SNAPSHOT_OVERSIZE;
    e = message_read(&headgate__snapshot__envelope__descriptor, envelope, a);
    if (!e)
        return SNAPSHOT_TORN;
    r = check_envelope(e, trust);
    if (r == SNAPSHOT_FINE)
        r = get_root(message_bytes(e->root.data, e->root.len), a, ret_root);
    if (r == SNAPSHOT_FINE)
        r = check_scope(ret_root, trust);
    return r;
}

enum snapshot_refusal
snapshot_peek(struct slice envelope, struct arena *a, struct snapshot_root *ret_root)
{
    const Headgate__Snapshot__Envelope *e = NULL;

    if (envelope.len <= LIMIT_ENVELOPE_BYTES)
        e = message_read(&headgate__snapshot__envelope__descriptor, envelope, a);
    return e ? get_root(message_bytes(e->root.data, e->root.len), a, ret_root) : SNAPSHOT_TORN;
}

enum snapshot_refusal
snapshot_check_section(const struct section_ref *ref, struct slice bytes)
{
    unsigned char digest[SHA256_BYTES];

    if (bytes.len > LIMIT_SECTION_BYTES)
        return SNAPSHOT_OVERSIZE;
    if (bytes.len != ref->size)
        return SNAPSHOT_TORN;
    hash_sha256(bytes.at, bytes.len, digest);
    return memcmp(digest, ref->sha256, SHA256_BYTES) == 0 ? SNAPSHOT_FINE : SNAPSHOT_TORN;
}

enum snapshot_refusal
snapshot_order(uint64_t held_epoch, uint64_t held_version,
               const unsigned char held_digest[static SHA256_BYTES], uint64_t epoch,
               uint64_t version, const unsigned char digest[static SHA256_BYTES])
{
    if (epoch != held_epoch)
        return epoch > held_epoch ? SNAPSHOT_FINE : SNAPSHOT_OLD;
    if (version != held_version)
        return version > held_version ? SNAPSHOT_FINE : SNAPSHOT_OLD;
    return memcmp(digest, held_digest, SHA256_BYTES) == 0 ? SNAPSHOT_OLD : SNAPSHOT_EQUIVOCATION;
}
