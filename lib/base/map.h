/*
 * A hash map from bytes to a pointer. Keys are hashed with SipHash under a random
 * per-process key, so peers cannot choose collisions. Keys are borrowed: they must live
 * as long as their entry. Open addressing; not safe against change while iterating.
 */
#ifndef LIB_BASE_MAP_H
#define LIB_BASE_MAP_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdint.h>

struct map_slot;

struct map {
    struct map_slot *slots;
    size_t count, cap;
};

void map_init(struct map *m);
void map_free(struct map *m); /* frees the table, not the values */
/* The value, or NULL. */
void *map_find(const struct map *m, struct slice key);
/* Inserts or replaces; value must not be NULL. 0 or ERR_NOMEM. */
MUST_CHECK int map_put(struct map *m, struct slice key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, struct slice key);
/* Walks all entries: start with *cursor = 0; false at the end. */
bool map_next(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value);
/* The keyed hash itself, for other tables. */
uint64_t map_hash(const void *bytes, size_t n);

#endif
