/*
 * Memory with one lifetime: everything born of a request is freed by one call.
 *
 * Under AddressSanitizer unused and freed bytes are poisoned. An arena may be embedded;
 * the first block is allocated on first use.
 */
#ifndef LIB_BASE_ARENA_H
#define LIB_BASE_ARENA_H

#include "lib/base/slice.h"

#include <stddef.h>

struct arena_block;
struct arena_dispose;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *at, *end;             /* free room in the newest block */
    struct arena_dispose *disposals;
    size_t total; /* bytes asked from malloc, for accounting */
    size_t max;   /* refuses to grow beyond this; 0: no bound */
};

void arena_init(struct arena *a, size_t max_bytes);
/* Lends n bytes to be used before any block is asked for, until arena_free; they stay the caller's.
 * For an arena inside an object that is allocated with room behind it. */
void arena_lend(struct arena *a, void *memory, size_t n);
/* Runs the dispose hooks, newest first, and frees all memory. The arena can be used again. */
void arena_free(struct arena *a);
/* Aligned to 16, not zeroed; NULL when over max or out of memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
/* Copies, terminated with a NUL that is not counted. at == NULL on failure. */
struct slice arena_copy(struct arena *a, struct slice s);
char *arena_strdup(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Calls hook(ctx) in arena_free; for what is not memory. Returns 0 or ERR_NOMEM. */
int arena_on_free(struct arena *a, void (*hook)(void *), void *ctx)
    __attribute__((warn_unused_result));

#endif
