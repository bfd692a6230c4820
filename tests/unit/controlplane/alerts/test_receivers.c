/* Of a mail to several: who has it, who never will, who is asked again. */
#include "controlplane/alerts/receivers.h"
#include "tests/unit/check.h"

static struct json *
parse(const char *text)
{
    struct json *j = NULL;
    assert_int_equal(json_parse(slice_of(text), &j, NULL, 0), 0);
    return j;
}

/* One round to ["a@x", "b@x", "c@x"]: what is settled then, and who is left. */
static void
check_round(const char *before, int a, int b, int c, bool sent, const char *after, const char *left)
{
    const struct smtp_replies replies = {{a, b, c}};
    struct json *to = parse("[\"a@x\", \"b@x\", \"c@x\"]"), *settled = parse(before);
    struct json *wanted = parse(after), *open = parse(left);
    assert_int_equal(receivers_note(settled, to, &replies, sent), 0);
    assert_true(json_equal(settled, wanted));
    struct json *found = receivers_left(to, settled);
    assert_true(json_equal(found, open));
    assert_int_equal(receivers_is_open(to, settled), json_size(open) > 0);
    json_free(found);
    json_free(open);
    json_free(wanted);
    json_free(settled);
    json_free(to);
}

static void
test_rounds(void **state)
{
    (void)state;
    check_round("{}", 250, 251, 250, true,
                "{\"a@x\": \"taken\", \"b@x\": \"taken\", \"c@x\": \"taken\"}", "[]");
    check_round("{}", 250, 550, 451, true, "{\"a@x\": \"taken\", \"b@x\": \"550\"}", "[\"c@x\"]");
    /* Nobody has it: nobody is refused for good, whatever the server said. */
    check_round("{}", 550, 550, 554, false, "{}", "[\"a@x\", \"b@x\", \"c@x\"]");
    check_round("{}", 250, 550, 0, false, "{}", "[\"a@x\", \"b@x\", \"c@x\"]");
    /* Somebody has it from before. */
    check_round("{\"a@x\": \"taken\"}", 0, 550, 0, false, "{\"a@x\": \"taken\", \"b@x\": \"550\"}",
                "[\"c@x\"]");
    check_round("{\"a@x\": \"taken\"}", 0, 499, 600, true, "{\"a@x\": \"taken\"}",
                "[\"b@x\", \"c@x\"]");
}

static void
test_who_was_refused(void **state)
{
    (void)state;
    struct json *settled = parse("{\"a@x\": \"taken\", \"b@x\": \"550\", \"c@x\": \"553\"}");
    struct buf out;
    buf_init(&out, 0);
    assert_true(receivers_has_taken(settled));
    assert_int_equal(receivers_refused(settled, &out), 0);
    assert_string_equal(buf_str(&out), "b@x (550), c@x (553)");
    buf_free(&out);
    json_free(settled);
    settled = parse("{\"b@x\": \"550\"}");
    assert_false(receivers_has_taken(settled));
    json_free(settled);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_who_was_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
