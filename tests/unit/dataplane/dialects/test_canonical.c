/* What all dialects share: ids that carry signatures, data URLs, efforts; and the lists of models.
 */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/models.h"

static struct arena a;

static void
test_signatures_travel_in_ids(void **state)
{
    static const char *const signatures[] = {"x", "CpcBA/+=", "\x01\x02\xff zero"};
    (void)state;
    for (enum dialect_id d = 0; d < DIALECTS; d++)
        for (size_t i = 0; i < 3; i++) {
            struct slice packed, id, signature;
            enum dialect_id origin = DIALECTS;
            assert_int_equal(
                canon_pack_id(&a, SLICE("call_1"), d, slice_of(signatures[i]), &packed), 0);
            assert_true(slice_eq(canon_fit_id(&a, packed, 4096), packed));
            assert_true(canon_unpack_id(&a, packed, &id, &origin, &signature));
            assert_slice_is(id, "call_1");
            assert_slice_is(signature, signatures[i]);
            assert_int_equal(origin, d);
        }
}

static void
test_ids_that_carry_nothing(void **state)
{
    static const char *const ids[] = {
        "", "call_1", "call__sig_", "call__sig_z", "a__sig_zAAAA", "a__sig_c!!!!", "a__sig_c"};
    struct slice packed;
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct slice id, signature;
        enum dialect_id origin;
        assert_false(canon_unpack_id(&a, slice_of(ids[i]), &id, &origin, &signature));
        assert_slice_is(id, ids[i]);
        assert_null(signature.at);
    }
    assert_int_equal(canon_pack_id(&a, SLICE("c"), DIALECT_GEMINI, SLICE(""), &packed), 0);
    assert_slice_is(packed, "c");
}

static void
test_ids_that_fit(void **state)
{
    (void)state;
    assert_slice_is(canon_fit_id(&a, SLICE("abc_-9"), 6), "abc_-9");
    struct slice hashed = canon_fit_id(&a, SLICE("abc_-99"), 6);
    assert_int_equal(hashed.len, 6);
    assert_true(slice_eq(hashed, canon_fit_id(&a, SLICE("abc_-99"), 6)));
    assert_int_equal(canon_fit_id(&a, SLICE("a b"), 64).len, 32);
    struct slice one = canon_mint_id(&a, "call_"), two = canon_mint_id(&a, "call_");
    assert_true(slice_starts(one, SLICE("call_")) && one.len == 29);
    assert_false(slice_eq(one, two));
}

static void
test_data_urls(void **state)
{
    struct slice mime, data;
    (void)state;
    assert_true(canon_data_url(SLICE("data:image/png;base64,AAAA"), &mime, &data));
    assert_slice_is(mime, "image/png");
    assert_slice_is(data, "AAAA");
    assert_true(canon_data_url(SLICE("DATA:text/plain;charset=utf-8;base64,"), &mime, &data));
    assert_slice_is(mime, "text/plain");
    assert_int_equal(data.len, 0);
    assert_false(canon_data_url(SLICE("data:image/png,AAAA"), &mime, &data));
    assert_false(canon_data_url(SLICE("data:image/png;base64"), &mime, &data));
    assert_false(canon_data_url(SLICE("https://a.example/x"), &mime, &data));
    assert_false(canon_data_url(SLICE(""), &mime, &data));
}

static void
test_efforts(void **state)
{
    static const struct {
        int64_t budget;
        const char *effort;
    } rows[] = {{0, "none"},     {1, "minimal"},   {1024, "minimal"},
                {1025, "low"},   {2048, "low"},    {8192, "medium"},
                {16384, "high"}, {16385, "xhigh"}, {99999, "xhigh"}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(canon_effort_of_budget(rows[i].budget), rows[i].effort);
    assert_int_equal(canon_budget_of_effort(SLICE("medium")), 8192);
    assert_int_equal(canon_budget_of_effort(SLICE("max")), 32768);
    assert_int_equal(canon_budget_of_effort(SLICE("enormous")), -1);
}

static void
test_joined_text(void **state)
{
    struct canon_part parts[] = {{.kind = PART_TEXT, .text = SLICE("a")},
                                 {.kind = PART_IMAGE},
                                 {.kind = PART_TEXT},
                                 {.kind = PART_TEXT, .text = SLICE("bc")}};
    (void)state;
    assert_slice_is(canon_joined_text(&a, parts, 4), "abc");
    assert_non_null(canon_joined_text(&a, parts + 2, 1).at); /* a text that is not there is empty */
    assert_slice_is(canon_joined_text(&a, parts, 0), "");
}

static void
test_lists_of_models(void **state)
{
    const struct policy_model models[] = {{.name = SLICE("m\"1"), .created_unix_s = 86400},
                                          {.name = SLICE("m2")}};
    static const struct {
        enum dialect_id dialect;
        const char *text;
    } rows[] = {
        {DIALECT_CHAT,
         "{\"object\":\"list\",\"data\":[{\"id\":\"m\\\"1\",\"object\":\"model\",\"created\":86400,"
         "\"owned_by\":\"headgate\"},{\"id\":\"m2\",\"object\":\"model\",\"created\":0,"
         "\"owned_by\":\"headgate\"}]}"},
        {DIALECT_ANTHROPIC,
         "{\"data\":[{\"type\":\"model\",\"id\":\"m\\\"1\",\"display_name\":\"m\\\"1\","
         "\"created_at\":\"1970-01-02T00:00:00Z\"},{\"type\":\"model\",\"id\":\"m2\","
         "\"display_name\":\"m2\",\"created_at\":\"1970-01-01T00:00:00Z\"}],\"has_more\":false,"
         "\"first_id\":\"m\\\"1\",\"last_id\":\"m2\"}"},
        {DIALECT_GEMINI,
         "{\"models\":[{\"name\":\"models/m\\\"1\",\"version\":\"1\",\"displayName\":\"m\\\"1\","
         "\"supportedGenerationMethods\":[\"generateContent\",\"streamGenerateContent\"]},"
         "{\"name\":\"models/m2\",\"version\":\"1\",\"displayName\":\"m2\","
         "\"supportedGenerationMethods\":[\"generateContent\",\"streamGenerateContent\"]}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_list list;
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(model_list_begin(&list, rows[i].dialect, &b), 0);
        assert_int_equal(model_list_add(&list, &models[0]), 0);
        assert_int_equal(model_list_add(&list, &models[1]), 0);
        assert_int_equal(model_list_end(&list), 0);
        assert_slice_is(buf_slice(&b), rows[i].text);
        buf_free(&b);
    }
}

static int
set_up(void **state)
{
    (void)state;
    arena_init(&a, 0);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&a);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_travel_in_ids),
        cmocka_unit_test(test_ids_that_carry_nothing),
        cmocka_unit_test(test_ids_that_fit),
        cmocka_unit_test(test_data_urls),
        cmocka_unit_test(test_efforts),
        cmocka_unit_test(test_joined_text),
        cmocka_unit_test(test_lists_of_models),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
