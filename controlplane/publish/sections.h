/*
 * The sections of one version of the snapshot: immutable, counted, shared between versions. A
 * change of one key makes one new shard; everything else is taken over by reference.
 */
#ifndef CONTROLPLANE_PUBLISH_SECTIONS_H
#define CONTROLPLANE_PUBLISH_SECTIONS_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"
#include "lib/control/snapshot.h"

#include <stdatomic.h>
#include <stdint.h>

#define SHARDS 256

enum section_id {
    SECTION_LIMITS,
    SECTION_MODELS,
    SECTION_PRICES,
    SECTION_PROVIDERS,
    SECTION_SETTINGS,
    SECTION_TEAMS,
    FIXED_SECTIONS
};

struct section {
    atomic_uint refs;
    char name[16];
    unsigned char sha256[SHA256_BYTES];
    size_t size;
    char bytes[];
};
/* Copies the bytes. NULL: no memory. */
struct section *section_new(const char *name, struct slice bytes);
struct section *section_ref(struct section *s);
void section_unref(struct section *s);
static inline struct slice
section_bytes(const struct section *s)
{
    return slice_make(s->bytes, s->size);
}
const char *section_id_name(enum section_id id);

struct sections {
    atomic_uint refs;
    struct section *fixed[FIXED_SECTIONS]; /* never NULL once complete */
    struct section *shards[SHARDS];        /* NULL: no key begins so */
};
/* Empty; or with all that `base` has (may be NULL). NULL: no memory. */
struct sections *sections_new(const struct sections *base);
struct sections *sections_ref(struct sections *s);
void sections_unref(struct sections *s);
/* Takes one reference of `with`, drops what was there. NULL: an empty shard. */
void sections_set_fixed(struct sections *s, enum section_id id, struct section *with);
void sections_set_shard(struct sections *s, unsigned shard, struct section *with);
/* By the name of a root's reference; NULL: none such, or empty. */
struct section *sections_find(const struct sections *s, struct slice name);
#define SECTIONS_MOST (SHARDS + FIXED_SECTIONS)
/* In the order of names, as a root lists them; borrowed. Returns how many. */
size_t sections_list(const struct sections *s, struct section *ret_list[static SECTIONS_MOST]);
uint64_t sections_total(const struct sections *s); /* bytes */

/* --- editing the shards of keys ------------------------------------------------------------ */

struct key_edits;
struct key_edits *key_edits_new(void);
void key_edits_free(struct key_edits *e);
/* A key's item (as section_put_key writes it, copied) takes the place of any with this digest. */
MUST_CHECK int key_edits_put(struct key_edits *e, const unsigned char digest[static SHA256_BYTES],
                             struct slice item);
MUST_CHECK int key_edits_remove(struct key_edits *e,
                                const unsigned char digest[static SHA256_BYTES]);
/* Rebuilds the shards that are touched. Of several edits of one digest the last counts. 0,
 * ERR_NOMEM, ERR_LIMIT (a shard over LIMIT_SECTION_BYTES), ERR_SYNTAX (what is there is malformed).
 */
MUST_CHECK int key_edits_apply(struct key_edits *e, struct sections *s);

#endif
