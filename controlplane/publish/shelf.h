/*
 * The last few published versions, in memory: what workers are served from. A worker that is told
 * of one version may still fetch its sections when the next one is out.
 */
#ifndef CONTROLPLANE_PUBLISH_SHELF_H
#define CONTROLPLANE_PUBLISH_SHELF_H

#include "controlplane/publish/sections.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"
#include "lib/control/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHELF_HEADS 8

/* One published version. Constant but for `good`. */
struct head {
    atomic_uint refs;
    uint64_t epoch, version, revision;
    int64_t created_ms;
    unsigned char digest[SHA256_BYTES]; /* of the envelope */
    char cluster_id[64];
    struct sections *sections;
    atomic_bool good; /* a worker has accepted it */
    size_t size;
    char envelope[];
};
/* Keeps a reference of sections. NULL: no memory. */
struct head *head_new(const struct snapshot_root *root, struct slice envelope,
                      struct sections *sections);
struct head *head_ref(struct head *h);
void head_unref(struct head *h);
static inline struct slice
head_envelope(const struct head *h)
{
    return slice_make(h->envelope, h->size);
}

struct shelf; /* thread-safe */
struct shelf *shelf_new(void);
void shelf_free(struct shelf *s);
/* Takes the head; it becomes the newest. The last accepted one is kept however old it is. */
void shelf_push(struct shelf *s, struct head *h);
/* Counted, or NULL: nothing is published. */
struct head *shelf_newest(struct shelf *s);
/* The newest that a worker has accepted. Counted, or NULL. */
struct head *shelf_last_good(struct shelf *s);
/* A section of any version on the shelf. Counted, or NULL. */
struct section *shelf_section(struct shelf *s, const unsigned char sha256[static SHA256_BYTES]);
/* A worker holds this version. */
void shelf_accepted(struct shelf *s, uint64_t epoch, uint64_t version);

#endif
