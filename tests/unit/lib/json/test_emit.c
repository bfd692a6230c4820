/* Documents written member by member: commas, escapes, raw values, and failures that stick. */
#include "tests/unit/check.h"

#include "lib/json/emit.h"
#include "lib/json/scan.h"

static void
test_shapes(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    struct json_emit e = json_emit_into(&b);
    emit_map(&e);
    emit_str_member(&e, "a", "q\"\n");
    emit_name(&e, "list"), emit_list(&e);
    emit_map(&e), emit_end_map(&e);
    emit_list(&e), emit_end_list(&e);
    emit_int(&e, -7);
    emit_raw(&e, SLICE("1.50"));
    emit_bool(&e, true);
    emit_null(&e);
    emit_end_list(&e);
    emit_members_of(&e, SLICE(" { \"x\" : 1 , \"y\":[2] } "));
    emit_members_of(&e, SLICE("{ }"));
    emit_opt_text(&e, "absent", (struct slice){0});
    emit_opt_text(&e, "empty", SLICE(""));
    emit_opt_raw(&e, "raw", SLICE("{\"k\": 1}"));
    emit_int_member(&e, "n", 3);
    emit_bool_member(&e, "no", false);
    emit_end_map(&e);
    assert_int_equal(e.err, 0);
    assert_slice_is(buf_slice(&b),
                    "{\"a\":\"q\\\"\\n\",\"list\":[{},[],-7,1.50,true,null],\"x\" : 1 , "
                    "\"y\":[2],\"empty\":\"\",\"raw\":{\"k\": 1},\"n\":3,\"no\":false}");
    buf_free(&b);
}

static void
test_the_first_failure_sticks(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8);
    struct json_emit e = json_emit_into(&b);
    emit_list(&e);
    emit_str(&e, "longer than eight");
    assert_int_equal(e.err, ERR_LIMIT);
    size_t len = b.len;
    emit_int(&e, 1);
    emit_end_list(&e);
    assert_int_equal(e.err, ERR_LIMIT);
    assert_int_equal(b.len, len);
    buf_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_the_first_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
