/* The loop: descriptors, the timer wheel, tasks, the graveyard, wakers, signals. */
#include "tests/unit/lib/net/net_rig.h"

#include <signal.h>
#include <threads.h>

static struct loop *loop;

static int
setup(void **state)
{
    (void)state;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

/* --- timers --------------------------------------------------------------------------------------
 */

struct alarm {
    struct timer timer;
    int64_t set_ms, after_ms, fired_ms;
    int fired;
    struct alarm *cancels; /* another one, when it fires */
};

static size_t alarms_fired;

static void
on_alarm(void *ctx)
{
    struct alarm *a = ctx;
    assert_false(timer_is_pending(&a->timer));
    a->fired++;
    a->fired_ms = clock_mono_ms();
    alarms_fired++;
    if (a->cancels)
        timer_cancel(&a->cancels->timer);
    loop_stop(loop);
}

static void
alarm_set(struct alarm *a, int64_t after_ms)
{
    a->set_ms = clock_mono_ms();
    a->after_ms = after_ms;
    timer_set(&a->timer, loop, after_ms, on_alarm, a);
}

static void
test_timers_fire_once_and_never_early(void **state)
{
    static const int64_t after[] = {0, 1, 9, 10, 11, 25, 50, 99, 300, 640, 2570, 2600};
    struct alarm alarms[sizeof after / sizeof *after] = {0};
    size_t n = sizeof after / sizeof *after;
    (void)state;
    alarms_fired = 0;
    for (size_t i = 0; i < n; i++)
        alarm_set(&alarms[i], after[i]);
    WAIT(loop, alarms_fired == n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(alarms[i].fired, 1);
        assert_true(alarms[i].fired_ms - alarms[i].set_ms >= after[i]);
    }
}

static void
test_a_timer_set_after_a_long_pause_is_not_early(void **state)
{
    struct alarm a = {0};
    struct timespec pause = {.tv_nsec = 60 * 1000 * 1000};
    (void)state;
    thrd_sleep(&pause,
               NULL); /* not to wait for anything: the loop's sample of the clock gets old */
    alarm_set(&a, 50);
    WAIT(loop, a.fired);
    assert_true(a.fired_ms - a.set_ms >= 50);
}

static void
test_a_timer_set_again_counts_from_then(void **state)
{
    struct alarm a = {0}, b = {0};
    (void)state;
    alarm_set(&a, 20);
    alarm_set(&b, 40);
    WAIT(loop, a.fired);
    alarm_set(&a, 60);
    alarm_set(&b, 200);
    WAIT(loop, a.fired == 2);
    assert_int_equal(b.fired, 0);
    assert_true(a.fired_ms - a.set_ms >= 60);
    timer_cancel(&b.timer);
    assert_false(timer_is_pending(&b.timer));
    timer_cancel(&b.timer); /* nothing happens */
}

static void
test_timers_of_one_slot_can_cancel_each_other(void **state)
{
    struct alarm a[3] = {0};
    (void)state;
    alarms_fired = 0;
    a[0].cancels = &a[1];
    a[1].cancels = &a[0];
    a[2].cancels = NULL;
    for (int i = 0; i < 3; i++)
        alarm_set(&a[i], 20);
    WAIT(loop, a[2].fired);
    assert_int_equal(a[0].fired + a[1].fired, 1);
}

/* Many timers over all levels of the wheel, most of them cancelled or moved: the ones that are left
 * fire in order. The far ones are checked by what the wheel would wake for, not by waiting. */
static void
test_timers_at_all_distances(void **state)
{
    enum { N = 4000 };
    struct alarm *a = calloc(N, sizeof *a);
    size_t kept = 0;
    (void)state;
    assert_non_null(a);
    alarms_fired = 0;
    for (int i = 0; i < N; i++)
        alarm_set(&a[i], (int64_t)i * i); /* up to 4.4 hours */
    for (int i = 0; i < N; i++) {
        if (i % 3 == 0)
            timer_cancel(&a[i].timer);
        else if (i % 7 == 0)
            alarm_set(&a[i], 100);
        kept += i % 3 != 0 && (i % 7 == 0 || (int64_t)i * i < 3500);
    }
    WAIT(loop, alarms_fired >= kept);
    for (int i = 0; i < N; i++) {
        if (a[i].fired)
            assert_true(a[i].fired_ms - a[i].set_ms >= a[i].after_ms);
        timer_cancel(&a[i].timer);
    }
    free(a);
}

/* --- tasks and the graveyard ---------------------------------------------------------------------
 */

struct note {
    struct task task;
    struct note *queues; /* another one, when it runs */
    int runs, most;
};

static char order[32];

static void
on_note(void *ctx)
{
    struct note *n = ctx;
    n->runs++;
    order[strlen(order)] = (char)('0' + n->most);
    if (n->queues)
        loop_after(loop, &n->queues->task, on_note, n->queues);
    else
        loop_stop(loop);
}

static void
test_tasks_run_in_order_and_may_queue_more(void **state)
{
    struct note c = {.most = 3}, b = {.most = 2, .queues = &c}, a = {.most = 1, .queues = &b};
    (void)state;
    memset(order, 0, sizeof order);
    loop_after(loop, &a.task, on_note, &a);
    loop_after(loop, &a.task, on_note, &a); /* queued already */
    loop_run(loop);
    assert_string_equal(order, "123");
}

static void
test_an_unqueued_task_does_not_run(void **state)
{
    struct note c = {.most = 3}, b = {.most = 2}, a = {.most = 1, .queues = &c};
    (void)state;
    memset(order, 0, sizeof order);
    loop_after(loop, &a.task, on_note, &a);
    loop_after(loop, &b.task, on_note, &b);
    loop_unqueue(loop, &b.task);
    loop_unqueue(loop, &b.task);
    loop_run(loop);
    assert_string_equal(order, "13");
}

static struct note forever;

static void
on_forever(void *ctx)
{
    forever.runs++;
    if (forever.runs < forever.most)
        loop_after(loop, &forever.task, on_forever, ctx);
}

/* A task that always queues itself does not keep the loop from its descriptors. */
static void
test_a_task_that_queues_itself_does_not_starve_others(void **state)
{
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct raw *r = raw_new(loop, pair[0]);
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    forever = (struct note){.most = INT32_MAX};
    loop_after(loop, &forever.task, on_forever, NULL);
    loop_run(loop); /* until the raw socket has read */
    assert_string_equal(raw_text(r), "x");
    loop_unqueue(loop, &forever.task);
    raw_free(r);
    close(pair[1]);
}

static int buried;

static void
on_burial(void *corpse)
{
    buried++;
    free(corpse);
}

static void
bury_one(void *ctx)
{
    (void)ctx;
    char *corpse = malloc(8);
    assert_non_null(corpse);
    loop_bury(loop, corpse, on_burial);
    assert_int_equal(buried, 0);
    corpse[0] = 'x'; /* still there */
    loop_stop(loop);
}

static void
test_the_buried_live_until_the_callback_ends(void **state)
{
    struct timer t = {.loop = NULL};
    (void)state;
    buried = 0;
    timer_set(&t, loop, 0, bury_one, NULL);
    loop_run(loop);
    assert_int_equal(buried, 1);
}

/* --- descriptors ---------------------------------------------------------------------------------
 */

static int ready_count, ready_what;

static void
on_ready(void *ctx, int what)
{
    ready_what |= what;
    if (++ready_count >= *(int *)ctx)
        loop_stop(loop);
}

static void
test_watches_are_level_triggered_and_exact(void **state)
{
    int pair[2], enough = 3;
    struct watch w;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    watch_init(&w, loop, pair[0], on_ready, &enough);
    ready_count = ready_what = 0;
    assert_int_equal(watch_want(&w, WATCH_READ), 0);
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    loop_run(loop); /* three times for one byte that nobody reads */
    assert_int_equal(ready_what, WATCH_READ);
    ready_what = ready_count = 0;
    assert_int_equal(watch_want(&w, WATCH_WRITE), 0);
    loop_run(loop);
    assert_int_equal(ready_what, WATCH_WRITE);
    assert_int_equal(watch_want(&w, 0), 0);
    ready_count = 0;
    rig_run(loop);
    assert_int_equal(ready_count, 0);
    watch_fini(&w);
    watch_fini(&w);
    close(pair[0]);
    close(pair[1]);
}

/* A descriptor that is closed and comes back with the same number is watched anew. */
static void
test_a_reused_descriptor_number_is_watched(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        struct raw *r = raw_new(loop, pair[0]);
        assert_int_equal(send(pair[1], "x", 1, 0), 1);
        WAIT(loop, raw_has(r, "x"));
        raw_free(r);
        close(pair[1]);
    }
}

/* --- from outside --------------------------------------------------------------------------------
 */

static int wakes;

static void
on_wake(void *ctx)
{
    (void)ctx;
    wakes++;
    loop_stop(loop);
}

static int
wake_from_thread(void *waker)
{
    for (int i = 0; i < 100; i++)
        waker_wake(waker);
    return 0;
}

static void
test_a_waker_wakes_from_another_thread(void **state)
{
    thrd_t thread;
    (void)state;
    wakes = 0;
    struct waker *w = waker_new(loop, on_wake, NULL);
    assert_non_null(w);
    assert_int_equal(thrd_create(&thread, wake_from_thread, w), thrd_success);
    WAIT(loop, wakes > 0);
    thrd_join(thread, NULL);
    waker_free(w);
}

static int signals;

static void
on_signal(void *ctx, int signo)
{
    (void)ctx;
    assert_int_equal(signo, SIGUSR1);
    signals++;
    loop_stop(loop);
}

static void
test_signals_come_through_the_loop(void **state)
{
    (void)state;
    signals = 0;
    struct loop_signal *s = loop_on_signal(loop, SIGUSR1, on_signal, NULL);
    assert_non_null(s);
    raise(SIGUSR1);
    assert_int_equal(signals, 0);
    WAIT(loop, signals == 1);
    loop_signal_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_fire_once_and_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_set_after_a_long_pause_is_not_early, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_set_again_counts_from_then, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers_of_one_slot_can_cancel_each_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_timers_at_all_distances, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tasks_run_in_order_and_may_queue_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_unqueued_task_does_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_task_that_queues_itself_does_not_starve_others,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_buried_live_until_the_callback_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_watches_are_level_triggered_and_exact, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_reused_descriptor_number_is_watched, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_waker_wakes_from_another_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals_come_through_the_loop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
