/*
 * <think> tags: some models' reasoning stands at the beginning of the text, between tags. Takes
 * pieces of text as they come and tells which are reasoning; holds back what may be half a tag.
 */
#ifndef DATAPLANE_DIALECTS_CHAT_THINK_H
#define DATAPLANE_DIALECTS_CHAT_THINK_H

#include "lib/base/slice.h"

#include <stdbool.h>

enum think_state {
    THINKING_UNKNOWN, /* nothing but blanks and a part of the tag so far */
    THINKING_INSIDE,
    THINKING_BEHIND, /* the closing tag has come: blanks are passed over */
    THINKING_NOT,
};
struct think {
    enum think_state state;
    size_t held; /* bytes of `hold` */
    char hold[16];
};

/* Called for each run of text, in order; valid during the call. 0 or an error that ends it. */
typedef int think_fn(void *ctx, bool is_reasoning, struct slice text);
int think_take(struct think *t, struct slice text, think_fn *take, void *ctx);
/* There is no more: what was held back is what it looks like. */
int think_end(struct think *t, think_fn *take, void *ctx);

#endif
