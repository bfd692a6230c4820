/* Work put off to the end of a turn: once, behind all callbacks of the turn, and never forgotten.
 */
#include "tests/unit/check.h"

#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/loop.h"

static struct loop *loop;
static struct task task, other;
static int pairs[2][2];
static char trail[64];

static void
note(char c)
{
    size_t n = strlen(trail);
    assert_true(n + 1 < sizeof(trail));
    trail[n] = c;
    trail[n + 1] = '\0';
}

static void
on_turn(void *ctx)
{
    note('t');
    loop_stop(ctx);
}

static void
on_ready(void *ctx, int what)
{
    char byte;
    int fd = *(int *)ctx;
    (void)what;
    assert_int_equal(read(fd, &byte, 1), 1);
    note('r');
    loop_after_turn(loop, &task, on_turn, loop);
}

static int
setup(void **state)
{
    (void)state;
    loop = loop_new();
    assert_non_null(loop);
    trail[0] = '\0';
    memset(&task, 0, sizeof(task));
    memset(&other, 0, sizeof(other));
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

/* Two descriptors are ready in one turn: the task that both queue runs once, behind both. */
static void
test_runs_once_behind_all_that_was_ready(void **state)
{
    (void)state;
    struct watch watches[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]), 0);
        watch_init(&watches[i], loop, pairs[i][0], on_ready, &pairs[i][0]);
        assert_int_equal(watch_want(&watches[i], WATCH_READ), 0);
        assert_int_equal(write(pairs[i][1], "x", 1), 1);
    }
    loop_run(loop);
    assert_string_equal(trail, "rrt");
    for (int i = 0; i < 2; i++) {
        watch_fini(&watches[i]);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

static void
queue_another(void *ctx)
{
    note('a');
    loop_after_turn(ctx, &task, on_turn, ctx);
}

/* What runs at the end of a turn may queue more: it runs without anything else happening. */
static void
test_what_it_queues_runs_too(void **state)
{
    (void)state;
    loop_after_turn(loop, &other, queue_another, loop);
    loop_run(loop);
    assert_string_equal(trail, "at");
}

static void
queue_itself(void *ctx)
{
    if (strlen(trail) == 40)
        loop_stop(loop);
    else
        loop_after_turn(loop, ctx, queue_itself, ctx);
    note('s');
}

/* One that always queues itself neither stops the loop from turning nor is it forgotten. */
static void
test_one_that_queues_itself_for_long(void **state)
{
    (void)state;
    loop_after_turn(loop, &other, queue_itself, &other);
    loop_run(loop);
    assert_int_equal(strlen(trail), 41);
}

static void
test_unqueued_it_does_not_run(void **state)
{
    (void)state;
    loop_after_turn(loop, &other, queue_another, loop);
    loop_after_turn(loop, &task, on_turn, loop);
    loop_unqueue(loop, &other);
    assert_false(other.queued);
    loop_run(loop);
    assert_string_equal(trail, "t");
}

/* A task serves one list at a time, and can change it. */
static void
test_the_same_task_after_a_callback_and_after_a_turn(void **state)
{
    (void)state;
    loop_after(loop, &task, on_turn, loop);
    loop_after_turn(loop, &task, queue_another, loop); /* queued already: nothing happens */
    loop_run(loop);
    assert_string_equal(trail, "t");
    loop_after_turn(loop, &task, on_turn, loop);
    loop_unqueue(loop, &task);
    loop_after(loop, &task, on_turn, loop);
    loop_run(loop);
    assert_string_equal(trail, "tt");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_runs_once_behind_all_that_was_ready),
        TEST(test_what_it_queues_runs_too),
        TEST(test_one_that_queues_itself_for_long),
        TEST(test_unqueued_it_does_not_run),
        TEST(test_the_same_task_after_a_callback_and_after_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
