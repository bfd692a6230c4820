/*
 * Allocations that fail on demand (the failmalloc pattern): a scenario is run once to count its
 * allocations, then again and again with one failing, and with all failing from one on.
 *
 * The test program itself defines malloc, calloc and realloc, which the dynamic linker prefers to
 * those of AddressSanitizer's library: so our code, libc and every library fail alike, still under
 * ASan.
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Returns 0 when it did all its work, else a code of enum err. Must leave nothing behind on either
 * way, and must assert whatever has to hold after a failure. */
typedef int (*fault_scenario)(void);

/* Replays it. Fails the test when it ends otherwise than with 0 or an err code, leaks, or no longer
 * works afterwards, and when no allocation of it could be made to fail. */
void fault_replay(fault_scenario scenario);

/* Within a scenario: allocations between these two do not fail (building input, comparing). */
void fault_pause(void);
void fault_resume(void);

#endif
