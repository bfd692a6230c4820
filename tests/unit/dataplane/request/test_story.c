/*
 * The story is tested by its trails: each stage is a letter, small when it runs, capital when it is
 * cancelled; '$' is the settlement, '.' the burial. Every stage that may wait is aborted there.
 */
#include "dataplane/request/story.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static char trail[64];
static enum usage_outcome settled_as;
static enum verdict plan[END];

static void
note(char c)
{
    size_t n = strlen(trail);
    assert_true(n + 1 < sizeof(trail));
    trail[n] = c;
    trail[n + 1] = '\0';
}

/* clang-format off */
enum verdict authenticate(struct request *r) { (void)r; note('a'); return plan[AUTHENTICATE]; }
enum verdict receive(struct request *r) { (void)r; note('b'); return plan[RECEIVE]; }
enum verdict authorize(struct request *r) { (void)r; note('c'); return plan[AUTHORIZE]; }
enum verdict recall(struct request *r) { (void)r; note('m'); return plan[RECALL]; }
enum verdict route(struct request *r) { (void)r; note('d'); return plan[ROUTE]; }
enum verdict admit(struct request *r) { (void)r; note('e'); return plan[ADMIT]; }
enum verdict translate(struct request *r) { (void)r; note('f'); return plan[TRANSLATE]; }
enum verdict exchange(struct request *r) { (void)r; note('g'); return plan[EXCHANGE]; }
enum verdict deliver(struct request *r) { (void)r; note('h'); return plan[DELIVER]; }
void receive_cancel(struct request *r) { (void)r; note('B'); }
void admit_cancel(struct request *r) { (void)r; note('E'); }
void translate_cancel(struct request *r) { (void)r; note('F'); }
void exchange_cancel(struct request *r) { (void)r; note('G'); }
void deliver_cancel(struct request *r) { (void)r; note('H'); }
void settle(struct request *r, enum usage_outcome why) { (void)r; note('$'); settled_as = why; }
void request_bury(struct request *r) { (void)r; note('.'); }
void request_mark(struct request *r) { (void)r; }
/* clang-format on */

/* All stages go on, but for those named: 'w' waits, 'r' replies. */
static void
script(const char *text)
{
    trail[0] = '\0';
    settled_as = 0;
    for (unsigned i = 0; i < END; i++)
        plan[i] = text[i] == 'w' ? WAIT : text[i] == 'r' ? REPLY : NEXT;
}

static void
test_plain_path(void **state)
{
    (void)state;
    struct request r = {0};
    script(".........");
    assert_true(request_walk(&r));
    assert_string_equal(trail, "abcmdefgh$.");
    assert_int_equal(settled_as, USAGE_DONE);
}

static void
test_reply_at_each_stage_goes_straight_to_deliver(void **state)
{
    (void)state;
    static const struct {
        const char *script, *trail;
    } cases[] = {
        {"r........", "ah$."},       {".r.......", "abh$."},       {"..r......", "abch$."},
        {"...r.....", "abcmh$."},    {"....r....", "abcmdh$."},    {".....r...", "abcmdeh$."},
        {"......r..", "abcmdefh$."}, {".......r.", "abcmdefgh$."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request r = {0};
        script(cases[i].script);
        assert_true(request_walk(&r));
        assert_string_equal(trail, cases[i].trail);
        assert_int_equal(settled_as, USAGE_DONE);
    }
}

static void
test_waits_resume_where_they_were(void **state)
{
    (void)state;
    struct request r = {0};
    script(".w.....ww");
    assert_false(request_walk(&r));
    assert_string_equal(trail, "ab");
    request_resume(&r, NEXT);
    assert_string_equal(trail, "abcmdefg");
    request_resume(&r, NEXT);
    assert_string_equal(trail, "abcmdefgh");
    assert_false(r.finished);
    request_resume(&r, NEXT);
    assert_string_equal(trail, "abcmdefgh$.");
}

static void
test_wait_may_end_in_a_reply(void **state)
{
    (void)state;
    struct request r = {0};
    script(".......w.");
    assert_false(request_walk(&r));
    request_resume(&r, REPLY);
    assert_string_equal(trail, "abcmdefgh$.");

    struct request s = {0};
    script(".w.......");
    assert_false(request_walk(&s));
    request_resume(&s, REPLY);
    assert_string_equal(trail, "abh$.");
}

static void
test_abort_at_each_wait_cancels_it_and_settles_once(void **state)
{
    (void)state;
    static const struct {
        const char *script, *trail;
        unsigned resumes;
    } cases[] = {
        {".w.......", "abB$.", 0},        {".....w...", "abcmdeE$.", 0},
        {"......w..", "abcmdefF$.", 0},   {".......w.", "abcmdefgG$.", 0},
        {"........w", "abcmdefghH$.", 0}, {".w.....w.", "abcmdefgG$.", 1},
        {".w.....ww", "abcmdefghH$.", 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct request r = {0};
        script(cases[i].script);
        assert_false(request_walk(&r));
        for (unsigned n = 0; n < cases[i].resumes; n++)
            request_resume(&r, NEXT);
        request_abort(&r, USAGE_CLIENT_GONE);
        assert_string_equal(trail, cases[i].trail);
        assert_int_equal(settled_as, USAGE_CLIENT_GONE);
        assert_true(r.finished);
    }
}

static void
test_every_stage_that_can_wait_has_a_cancel_and_a_name(void **state)
{
    (void)state;
    static const bool waits[END] = {
        [RECEIVE] = true, [ADMIT] = true, [TRANSLATE] = true, [EXCHANGE] = true, [DELIVER] = true};
    for (unsigned i = 0; i < END; i++) {
        assert_non_null(story[i].name);
        assert_non_null(story[i].run);
        assert_int_equal(story[i].cancel != NULL, waits[i]);
        assert_string_equal(stage_name(i), story[i].name);
    }
    assert_string_equal(stage_name(END), "end");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_path),
        cmocka_unit_test(test_reply_at_each_stage_goes_straight_to_deliver),
        cmocka_unit_test(test_waits_resume_where_they_were),
        cmocka_unit_test(test_wait_may_end_in_a_reply),
        cmocka_unit_test(test_abort_at_each_wait_cancels_it_and_settles_once),
        cmocka_unit_test(test_every_stage_that_can_wait_has_a_cancel_and_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
