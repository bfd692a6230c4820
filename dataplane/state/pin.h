/*
 * The policy in force of a worker: one pointer, swapped between events. A request takes a counted
 * reference at its start and gives it back when it no longer needs the policy: it never sees a mix
 * of two versions. Belongs to the worker's loop.
 */
#ifndef DATAPLANE_STATE_PIN_H
#define DATAPLANE_STATE_PIN_H

#include "lib/policy/policy.h"

#include <stdint.h>

struct pin {
    struct policy *now; /* one reference; NULL: no policy yet (503 no_policy) */
    uint64_t swaps;
};

void pin_init(struct pin *p);
void pin_fini(struct pin *p);
/* A reference that the caller gives back with policy_unref(); NULL: no policy yet. */
struct policy *pin_get(const struct pin *p);
/* Borrows, without counting: valid until the callback that asks returns. May be NULL. */
const struct policy *pin_peek(const struct pin *p);
/* Takes next; drops the one before. */
void pin_swap(struct pin *p, struct policy *next);

#endif
