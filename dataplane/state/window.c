#include "dataplane/state/window.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 4
#define LAST_CAP 64 /* WINDOW_LIVE of them are in use at most */

void
window_init(struct window *w, int64_t window_ms)
{
    *w = (struct window){.bucket_ms = (int32_t)(window_ms / WINDOW_PARTS)};
}

void
window_fini(struct window *w)
{
    if (w->cap)
        free(w->in.more);
    w->cap = w->count = 0;
}

static struct taken *
all(struct window *w)
{
    return w->cap ? w->in.more : &w->in.one;
}

static const struct taken *
each(const struct window *w)
{
    return w->cap ? w->in.more : &w->in.one;
}

static void
drop(struct window *w, uint8_t from, uint8_t count)
{
    struct taken *at = all(w), last;

    memmove(at + from, at + from + count, (size_t)(w->count - from - count) * sizeof(*at));
    w->count -= count;
    if (!w->cap || w->count > 1)
        return;
    last = at[0];
    free(w->in.more);
    w->cap = 0;
    w->in.one = last;
}

bool
window_has_left(const struct window *w, int64_t bucket)
{
    return bucket <= w->newest - WINDOW_LIVE;
}

int64_t
window_roll(struct window *w, int64_t now_ms)
{
    int64_t now = w->bucket_ms ? now_ms / w->bucket_ms : 0, sum = 0;
    uint8_t n = 0;

    if (now <= w->newest)
        return 0;
    w->newest = now;
    for (; n < w->count && window_has_left(w, each(w)[n].bucket); n++)
        sum += each(w)[n].amount;
    if (n)
        drop(w, 0, n);
    return sum;
}

static bool
make_room(struct window *w)
{
    uint8_t cap = w->cap ? (uint8_t)(2 * w->cap) : FIRST_CAP;
    struct taken *more;

    if (w->count < (w->cap ? w->cap : 1))
        return true;
    if (cap > LAST_CAP || !(more = malloc(cap * sizeof(*more))))
        return false;
    memcpy(more, all(w), w->count * sizeof(*more));
    if (w->cap)
        free(w->in.more);
    w->in.more = more;
    w->cap = cap;
    return true;
}

void
window_add(struct window *w, int64_t bucket, int64_t amount)
{
    struct taken *at = all(w);
    uint8_t i = w->count;

    if (!w->bucket_ms || amount == 0)
        return;
    while (i > 0 && at[i - 1].bucket >= bucket)
        i--;
    /* at[i] is the first that is not older */
    if (i < w->count && (at[i].bucket == bucket || amount < 0)) {
        at[i].amount += amount;
        if (at[i].amount == 0)
            drop(w, i, 1);
        return;
    }
    if (!make_room(w)) {
        if (i == w->count)
            at[--i].bucket = bucket;
        at[i].amount += amount;
        return;
    }
    at = all(w);
    memmove(at + i + 1, at + i, (size_t)(w->count - i) * sizeof(*at));
    at[i] = (struct taken){bucket, amount};
    w->count++;
}

int64_t
window_next_ms(const struct window *w)
{
    return w->count ? (each(w)[0].bucket + WINDOW_LIVE) * w->bucket_ms : INT64_MAX;
}

int64_t
window_leaves_ms(const struct window *w, int64_t amount)
{
    int64_t sum = 0;

    for (uint8_t i = 0; i < w->count; i++) {
        sum += each(w)[i].amount;
        if (sum >= amount)
            return (each(w)[i].bucket + WINDOW_LIVE) * w->bucket_ms;
    }
    return INT64_MAX;
}
