/*
 * One configuration item, from the body that config_items holds to the bytes that its section
 * holds. Defaults that the body leaves out are filled in here. Sans-I/O but for the credential,
 * which the caller's function resolves and seals.
 */
#ifndef CONTROLPLANE_PUBLISH_ITEM_BYTES_H
#define CONTROLPLANE_PUBLISH_ITEM_BYTES_H

#include "controlplane/rules/kinds.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdint.h>

struct item_source {
    enum kind_id kind;
    struct slice name;
    struct slice id; /* uuid text, or empty */
    const struct json *body;
    int64_t revision; /* of its last change: the version of a price */
    int64_t created_ms;
    /* Appends the sealed credential of a provider's body, nothing when it has none. NULL: left out.
     */
    int (*credential)(void *ctx, struct slice provider, const struct json *body, struct buf *into,
                      struct buf *why);
    /* The public keys of an issuer: [{"kid","kind","der"}], der in hexadecimal. NULL: none. */
    struct json *(*issuer_keys)(void *ctx, struct slice issuer, struct slice url);
    void *ctx;
};

/* Appends the item. Of a key, its digest too (else ret_digest may be NULL). 0, ERR_SYNTAX (a body
 * that the rules should never have let in), ERR_NOT_FOUND (a credential's reference), ERR_NOMEM,
 * ERR_LIMIT, with the place in *why. */
MUST_CHECK int item_bytes(const struct item_source *s, struct buf *into, unsigned char *ret_digest,
                          struct buf *why);
/* Whether a key has an earlier secret that is taken for a while: appends it as a key of its own. 1,
 * 0 (none), or an error as of item_bytes(). */
int item_bytes_retired(const struct item_source *s, struct buf *into,
                       unsigned char ret_digest[static SHA256_BYTES], struct buf *why);
/* The section that items of this kind go to: "providers", ...; "keys" stands for its shards;
 * "": to none. */
const char *item_section(enum kind_id kind);

#endif
