#include "dataplane/dialects/chat_think.h"

#include <string.h>

static const struct slice opening = {"<think>", 7}, closing = {"</think>", 8};

static bool
is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int
give(bool is_reasoning, struct slice text, think_fn *take, void *ctx)
{
    return text.len ? take(ctx, is_reasoning, text) : 0;
}

/* Gives what is held back. */
static int
release(struct think *t, bool is_reasoning, think_fn *take, void *ctx)
{
    struct slice held = slice_make(t->hold, t->held);
    t->held = 0;
    return give(is_reasoning, held, take, ctx);
}

/* One more byte before anything is known; false: it is no tag. */
static bool
may_open(struct think *t, char c)
{
    t->hold[t->held++] = c;
    struct slice text = slice_make(t->hold, t->held);
    while (text.len && is_blank(text.at[0]))
        text = slice_from(text, 1);
    if (slice_eq(text, opening)) {
        t->state = THINKING_INSIDE;
        t->held = 0;
        return true;
    }
    return t->held < sizeof(t->hold) && slice_starts(opening, text);
}

/* One more byte of reasoning after held ones that begin the closing tag. */
static int
may_close(struct think *t, char c, think_fn *take, void *ctx)
{
    int err = 0;
    if (closing.at[t->held] != c) {
        err = release(t, true, take, ctx);
        if (closing.at[0] != c)
            return err ? err : give(true, slice_make(&c, 1), take, ctx);
    }
    t->hold[t->held++] = c;
    if (t->held == closing.len) {
        t->held = 0;
        t->state = THINKING_BEHIND;
    }
    return err;
}

/* A run of reasoning in which no tag can begin goes as one. */
static int
pass_inside(struct think *t, struct slice *text, think_fn *take, void *ctx)
{
    if (t->held == 0) {
        size_t n = slice_find(*text, '<', 0);
        int err = give(true, slice_make(text->at, n), take, ctx);
        *text = slice_from(*text, n);
        if (err || text->len == 0)
            return err;
    }
    char c = text->at[0];
    *text = slice_from(*text, 1);
    return may_close(t, c, take, ctx);
}

int
think_take(struct think *t, struct slice text, think_fn *take, void *ctx)
{
    int err = 0;
    while (text.len && !err)
        switch (t->state) {
        case THINKING_UNKNOWN:
            if (!may_open(t, text.at[0])) {
                t->state = THINKING_NOT;
                err = release(t, false, take, ctx);
            }
            text = slice_from(text, 1);
            break;
        case THINKING_INSIDE:
            err = pass_inside(t, &text, take, ctx);
            break;
        case THINKING_BEHIND:
            if (is_blank(text.at[0]))
                text = slice_from(text, 1);
            else
                t->state = THINKING_NOT;
            break;
        case THINKING_NOT:
            return give(false, text, take, ctx);
        }
    return err;
}

int
think_end(struct think *t, think_fn *take, void *ctx)
{
    return release(t, t->state == THINKING_INSIDE, take, ctx);
}
