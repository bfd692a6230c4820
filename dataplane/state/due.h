/*
 * What is to be looked at again, by when: a heap. Its items are embedded in what they are of.
 */
#ifndef DATAPLANE_STATE_DUE_H
#define DATAPLANE_STATE_DUE_H

#include "lib/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct due {
    int64_t at_ms;
    size_t place; /* due.c; 0: it is in no heap */
};

struct due_heap {
    struct due **all;
    size_t count, cap;
};

void due_free(struct due_heap *h); /* the table, not the items */
/* Makes room for so many in all: then due_put() needs none. 0 or ERR_NOMEM. */
MUST_CHECK int due_reserve(struct due_heap *h, size_t count);
void due_put(struct due_heap *h, struct due *d, int64_t at_ms); /* kept until it is removed */
void due_remove(struct due_heap *h, struct due *d);
struct due *due_first(const struct due_heap *h); /* borrowed; NULL: none */

#endif
