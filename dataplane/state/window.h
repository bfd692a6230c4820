/*
 * What was taken in a window of time, by sixtieths of it: only those in which something was taken
 * are kept, for of very many counters most take once. No input or output; the caller gives the
 * time, which does not go back.
 */
#ifndef DATAPLANE_STATE_WINDOW_H
#define DATAPLANE_STATE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_PARTS 60
#define WINDOW_LIVE 61 /* what was taken is counted for at least a whole window */

struct taken {
    int64_t bucket, amount;
};

struct window {
    int64_t newest; /* bucket's number, as of the last roll */
    union {
        struct taken one;   /* cap 0 */
        struct taken *more; /* oldest first */
    } in;
    int32_t bucket_ms; /* 0: there is no window, and nothing is kept */
    uint8_t count, cap;
};

void window_init(struct window *w, int64_t window_ms);
void window_fini(struct window *w);
/* How much has left the window since the last roll. */
int64_t window_roll(struct window *w, int64_t now_ms);
bool window_has_left(const struct window *w, int64_t bucket);
/* In a bucket that has not left; less than 0: gives back what was taken in it. Without memory it
 * counts with a later one, and so for longer. */
void window_add(struct window *w, int64_t bucket, int64_t amount);
/* When something leaves next; INT64_MAX: never. */
int64_t window_next_ms(const struct window *w);
/* When so much will have left, in all; INT64_MAX: never. */
int64_t window_leaves_ms(const struct window *w, int64_t amount);

#endif
