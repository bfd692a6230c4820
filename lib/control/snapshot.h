/*
 * The signed root and its sections as bytes: making them (control plane) and checking them
 * (worker). Sans-I/O. Nothing is parsed before its signature or digest verifies.
 */
#ifndef LIB_CONTROL_SNAPSHOT_H
#define LIB_CONTROL_SNAPSHOT_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"

#include <stdint.h>

#define LIMIT_SNAPSHOT_BYTES                                                                       \
    ((size_t)192 << 20) /* all sections together: a million keys are 80 MB */
#define LIMIT_SECTION_BYTES ((size_t)32 << 20)
#define LIMIT_ROOT_BYTES ((size_t)256 << 10)
#define LIMIT_ENVELOPE_BYTES (LIMIT_ROOT_BYTES + 1024)
#define LIMIT_SECTIONS 1024
#define CLOCK_SKEW_MS (5 * 60 * 1000)

struct section_ref {
    struct slice name;
    unsigned char sha256[SHA256_BYTES];
    uint64_t size;
};

struct snapshot_root {
    struct slice cluster_id;
    uint64_t epoch, version, revision;
    int64_t created_ms, not_before_ms, not_after_ms;
    const struct section_ref *sections;
    size_t count;
};

/* Appends a signed envelope. sections must be sorted by name and unique. 0, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK int snapshot_sign(const struct snapshot_root *root,
                             const unsigned char sign_secret[static SIGN_SECRET_BYTES],
                             struct buf *into);

/* Why a snapshot was refused: the stable words of nacks, logs and metrics. */
enum snapshot_refusal {
    SNAPSHOT_FINE,
    SNAPSHOT_TORN, /* does not decode, or a digest or size differs */
    SNAPSHOT_AUTH, /* unsigned, unknown key, bad signature, other cluster, not yet valid */
    SNAPSHOT_EXPIRED,
    SNAPSHOT_OLD,          /* (epoch, version) below the one held */
    SNAPSHOT_EQUIVOCATION, /* the same (epoch, version) with other content */
    SNAPSHOT_OVERSIZE,
    SNAPSHOT_DUPLICATE, /* duplicate_id */
    SNAPSHOT_MEANING,   /* does not compile */
    SNAPSHOT_NOMEM,
    SNAPSHOT_POISON,  /* workers crashed on it, one after the other */
    SNAPSHOT_REFUSALS /* how many there are */
};
const char *snapshot_refusal_name(enum snapshot_refusal r);

struct snapshot_trust {
    const unsigned char (*public_keys)[SIGN_PUBLIC_BYTES];
    size_t key_count;
    struct slice cluster_id; /* empty: the first one seen is accepted */
    int64_t now_wall_ms;
    uint64_t avoid_epoch, avoid_version; /* refused as SNAPSHOT_POISON; version 0: none */
};
/* Verifies and decodes an envelope; *ret_root points into the arena and is filled for SNAPSHOT_FINE
 * and SNAPSHOT_EXPIRED (whose holder may go on serving it). */
enum snapshot_refusal snapshot_open(struct slice envelope, const struct snapshot_trust *trust,
                                    struct arena *a, struct snapshot_root *ret_root);
/* Decodes without verifying, for an envelope whose bytes are vouched for otherwise (its digest is
 * under a MAC). SNAPSHOT_FINE or why it does not decode. */
enum snapshot_refusal snapshot_peek(struct slice envelope, struct arena *a,
                                    struct snapshot_root *ret_root);
/* Whether these are the bytes the root means: SNAPSHOT_FINE, SNAPSHOT_TORN, SNAPSHOT_OVERSIZE. */
enum snapshot_refusal snapshot_check_section(const struct section_ref *ref, struct slice bytes);
/* Where a candidate stands to what is held: SNAPSHOT_FINE when it is newer, SNAPSHOT_OLD when
 * older. The same (epoch, version): SNAPSHOT_OLD when the digests of the roots agree too (nothing
 * to do), else SNAPSHOT_EQUIVOCATION. */
enum snapshot_refusal snapshot_order(uint64_t held_epoch, uint64_t held_version,
                                     const unsigned char held_digest[static SHA256_BYTES],
                                     uint64_t epoch, uint64_t version,
                                     const unsigned char digest[static SHA256_BYTES]);

#endif
