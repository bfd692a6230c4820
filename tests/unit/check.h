/* What every unit test includes: cmocka and the headers it wants before it. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/slice.h"

/* A slice equals a literal, both shown when not. */
static inline void
assert_slice_is(struct slice got, const char *want)
{
    if (!slice_is(got, want))
        fail_msg("got \"%.*s\", want \"%s\"", SLICE_ARG(got), want);
}

/* Generated tests print their seed; HEADGATE_TEST_SEED repeats a run. */
static inline uint64_t
test_seed(void)
{
    const char *given = getenv("HEADGATE_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : UINT64_C(0x9e3779b97f4a7c15);
    print_message("seed: HEADGATE_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* xorshift64*: enough for tests, and the same everywhere. */
static inline uint64_t
test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t
test_below(uint64_t *state, uint64_t below)
{
    return test_random(state) % below;
}

#endif
