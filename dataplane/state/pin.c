#include "dataplane/state/pin.h"

void
pin_init(struct pin *p)
{
    *p = (struct pin){0};
}

void
pin_fini(struct pin *p)
{
    policy_unref(p->now);
    p->now = NULL;
}

struct policy *
pin_get(const struct pin *p)
{
    return p->now ? policy_ref(p->now) : NULL;
}

const struct policy *
pin_peek(const struct pin *p)
{
    return p->now;
}

void
pin_swap(struct pin *p, struct policy *next)
{
    struct policy *before = p->now;

    p->now = next;
    p->swaps++;
    policy_unref(before);
}
