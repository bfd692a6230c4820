#include "tests/fault/fault.h"

#include <errno.h>
#include <sanitizer/lsan_interface.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/base/err.h"

/* AddressSanitizer's own, under the names that are not overridden. */
void *__interceptor_malloc(size_t n);
void *__interceptor_calloc(size_t count, size_t n);
void *__interceptor_realloc(void *at, size_t n);

void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *at, size_t n);

/* Of this thread only: threads of libraries (nng) go on undisturbed. */
static _Thread_local struct {
    bool armed;
    bool only_one;  /* fail one, else all from it on */
    size_t passed;  /* allocations since armed */
    size_t failing; /* the first that fails, counted from 1; 0: none */
} fault;

static bool
must_fail(void)
{
    if (!fault.armed)
        return false;
    size_t nth = ++fault.passed;
    if (fault.failing == 0 || nth < fault.failing || (fault.only_one && nth > fault.failing))
        return false;
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t n)
{
    return must_fail() ? NULL : __interceptor_malloc(n);
}

void *
calloc(size_t count, size_t n)
{
    return must_fail() ? NULL : __interceptor_calloc(count, n);
}

void *
realloc(void *at, size_t n)
{
    return must_fail() ? NULL : __interceptor_realloc(at, n);
}

void
fault_pause(void)
{
    fault.armed = false;
}

void
fault_resume(void)
{
    fault.armed = true;
}

static int
run(fault_scenario scenario, size_t failing, bool only_one)
{
    fault.passed = 0;
    fault.failing = failing;
    fault.only_one = only_one;
    fault.armed = true;
    int e = scenario();
    fault.armed = false;
    if (e > 0 || strcmp(err_name(e), "unknown") == 0)
        fail_msg("with allocation %zu failing: %d is no error code", failing, e);
    return e;
}

/* Returns how many of the runs failed. */
static size_t
run_each(fault_scenario scenario, size_t count, bool only_one)
{
    size_t failed = 0;
    for (size_t i = 1; i <= count; i++) {
        failed += run(scenario, i, only_one) < 0;
        if (getenv("FAULT_LEAKS") && __lsan_do_recoverable_leak_check())
            fail_msg("a leak with allocation %zu failing%s", i,
                     only_one ? " alone" : " and all after");
    }
    return failed;
}

void
fault_replay(fault_scenario scenario)
{
    if (run(scenario, 0, false) != 0) /* also fills caches that stay */
        fail_msg("the scenario does not work as it is");
    assert_int_equal(run(scenario, 0, false), 0);
    size_t count = fault.passed;
    assert_true(count > 0);
    size_t failed = run_each(scenario, count, false) + run_each(scenario, count, true);
    print_message("%zu allocations, %zu of %zu runs failed\n", count, failed, 2 * count);
    assert_true(failed > 0);
    assert_int_equal(run(scenario, 0, false), 0);
    if (__lsan_do_recoverable_leak_check())
        fail_msg("a leak; FAULT_LEAKS=1 tells with which allocation failing");
}
