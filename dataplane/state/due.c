#include "dataplane/state/due.h"

#include <assert.h>
#include <stdlib.h>

/* Places are counted from 1: those below place n are at 2n and 2n + 1. */

void
due_free(struct due_heap *h)
{
    free(h->all);
    *h = (struct due_heap){0};
}

int
due_reserve(struct due_heap *h, size_t count)
{
    size_t cap = h->cap ? h->cap : 32;
    struct due **all;

    while (cap < count)
        cap *= 2;
    if (cap == h->cap)
        return 0;
    if (!(all = realloc(h->all, cap * sizeof(struct due *))))
        return ERR_NOMEM;
    h->all = all;
    h->cap = cap;
    return 0;
}

static void
set(struct due_heap *h, size_t place, struct due *d)
{
    h->all[place - 1] = d;
    d->place = place;
}

static void
rise(struct due_heap *h, struct due *d)
{
    size_t at = d->place;

    for (; at > 1 && h->all[at / 2 - 1]->at_ms > d->at_ms; at /= 2)
        set(h, at, h->all[at / 2 - 1]);
    set(h, at, d);
}

static void
sink(struct due_heap *h, struct due *d)
{
    size_t at = d->place, below;

    for (; (below = 2 * at) <= h->count; at = below) {
        if (below < h->count && h->all[below]->at_ms < h->all[below - 1]->at_ms)
            below++;
        if (h->all[below - 1]->at_ms >= d->at_ms)
            break;
        set(h, at, h->all[below - 1]);
    }
    set(h, at, d);
}

void
due_put(struct due_heap *h, struct due *d, int64_t at_ms)
{
    assert(!d->place && h->count < h->cap);
    d->at_ms = at_ms;
    set(h, ++h->count, d);
    rise(h, d);
}

void
due_remove(struct due_heap *h, struct due *d)
{
    struct due *last = h->all[--h->count];

    if (last != d) {
        set(h, d->place, last);
        rise(h, last);
        sink(h, last);
    }
    d->place = 0;
}

struct due *
due_first(const struct due_heap *h)
{
    return h->count ? h->all[0] : NULL;
}
