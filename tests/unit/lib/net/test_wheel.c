/*
 * The timer wheel by itself, with a clock of the test's own: hours pass in no time, and every timer
 * must fire once, in the first turn at which it is due.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The wheel is static: this includes its file. */
#include "lib/net/loop.c"

#define TIMERS 500

struct probe {
    struct timer timer;
    int fired;
};

static struct loop *loop;
static struct probe probes[TIMERS];
static int64_t now_ms;
static uint64_t seed = 88172645463325252u;

static uint64_t
roll(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void
at(int64_t ms)
{
    now_ms = ms;
    loop->now_ns = ms * 1000000;
    loop->running = true; /* the clock is not sampled behind our back */
}

static void
on_probe(void *ctx)
{
    struct probe *p = ctx;
    assert_true(p->timer.due_ms <= now_ms);
    assert_true(now_ms >= p->timer.due_ms);
    p->fired++;
}

static int
setup(void **state)
{
    (void)state;
    loop = loop_new();
    assert_non_null(loop);
    memset(probes, 0, sizeof probes);
    at(1000000);
    wheel_init(&loop->wheel, now_ms);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < TIMERS; i++)
        timer_cancel(&probes[i].timer);
    loop_free(loop);
    return 0;
}

/* Distances that matter: around a tick, around the slots and spans of all levels, far beyond. */
static int64_t
some_distance(void)
{
    static const int64_t edges[] = {0,       10,       2550,     2560,      2570,      5120,
                                    163830,  163840,   163850,   10485750,  10485760,  10485770,
                                    1800000, 60000000, 99999999, 655360000, 655370000, 5000};
    int64_t near = edges[roll(sizeof edges / sizeof *edges)];
    int64_t off = (int64_t)roll(41) - 20;
    if (roll(2))
        return (int64_t)roll(roll(2) ? 20000 : 20000000);
    return near + off > 0 ? near + off : 0;
}

/* Ends a turn: everything due must have fired, and the tick must not sleep past the next one. */
static void
check_turn(const int *before)
{
    for (size_t i = 0; i < TIMERS; i++) {
        const struct timer *t = &probes[i].timer;
        if (!timer_is_pending(t))
            continue;
        assert_int_equal(probes[i].fired, before[i]);
        /* One set for this very tick, which has run already, is due in the next. */
        int64_t due_tick = (t->due_ms + TICK_MS - 1) / TICK_MS;
        int64_t earliest = loop->wheel.tick + 1;
        assert_true(now_ms < (due_tick + 1) * TICK_MS);
        assert_true(loop->wheel.next_tick <= (due_tick > earliest ? due_tick : earliest));
    }
}

static void
test_every_timer_fires_once_in_its_turn(void **state)
{
    int before[TIMERS] = {0};
    int fired = 0;
    (void)state;
    for (int turn = 0; turn < 20000; turn++) {
        for (int k = 0; k < 5; k++) {
            struct probe *p = &probes[roll(TIMERS)];
            if (roll(4) == 0)
                timer_cancel(&p->timer);
            else if (!timer_is_pending(&p->timer) || roll(3) == 0)
                timer_set(&p->timer, loop, some_distance(), on_probe, p);
        }
        for (size_t i = 0; i < TIMERS; i++)
            before[i] = probes[i].fired;
        static const int64_t steps[] = {1, 5, 10, 11, 100, 2560, 30000, 200000, 12000000};
        int64_t step = (int64_t)roll((uint64_t)steps[roll(sizeof steps / sizeof *steps)]) + 1;
        /* As the loop does: never past what the tick was armed for, but late by some now and then.
         */
        int64_t armed_ms =
            loop->wheel.next_tick == INT64_MAX ? INT64_MAX : loop->wheel.next_tick * TICK_MS;
        if (roll(3) && now_ms + step > armed_ms)
            step = armed_ms > now_ms ? armed_ms - now_ms : 1;
        at(now_ms + step);
        wheel_run(loop);
        check_turn(before);
        for (size_t i = 0; i < TIMERS; i++)
            fired += probes[i].fired - before[i];
    }
    assert_true(fired > 10000);
}

/* Sleeping from one wake-up to the next, a timer far away comes in time, and few wake-ups are
 * spent. */
static void
test_a_far_timer_costs_few_turns(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct probe *p = &probes[0];
        int64_t distance = some_distance(), began = now_ms;
        int turns = 0;
        p->fired = 0;
        timer_set(&p->timer, loop, distance, on_probe, p);
        while (!p->fired) {
            at(loop->wheel.next_tick * TICK_MS);
            wheel_run(loop);
            assert_true(++turns < 80);
        }
        assert_true(now_ms - began >= distance);
        assert_true(now_ms - began < distance + 2 * TICK_MS);
    }
}

static void
test_an_empty_wheel_asks_for_nothing(void **state)
{
    (void)state;
    timer_set(&probes[0].timer, loop, 100, on_probe, &probes[0]);
    timer_cancel(&probes[0].timer);
    assert_int_equal(loop->wheel.count, 0);
    assert_true(loop->wheel.next_tick == INT64_MAX);
    at(now_ms + 123456789);
    wheel_run(loop);
    timer_set(&probes[0].timer, loop, 20, on_probe, &probes[0]);
    at(now_ms + 30);
    wheel_run(loop);
    assert_int_equal(probes[0].fired, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_timer_fires_once_in_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_far_timer_costs_few_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_wheel_asks_for_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
