#include "tests/unit/check.h"

#include "dataplane/dialects/carry.h"
#include "lib/base/encode.h"

static struct arena arena;

static void
check_same(const struct canon_part *a, const struct canon_part *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->origin, b->origin);
    assert_true(slice_eq(a->text, b->text));
    assert_true(slice_eq(a->signature, b->signature));
    assert_true(slice_eq(a->encrypted, b->encrypted));
    assert_true(slice_eq(a->id, b->id));
    assert_true(slice_eq(a->raw, b->raw));
    /* absent stays absent, empty stays empty */
    assert_true(!a->text.at == !b->text.at);
}

static void
test_what_is_packed_comes_back(void **state)
{
    (void)state;
    const struct canon_part rows[] = {
        {.kind = PART_REASONING, .origin = DIALECT_GEMINI, .signature = SLICE("c2ln")},
        {.kind = PART_REASONING,
         .origin = DIALECT_RESPONSES,
         .text = SLICE("a \"quoted\" \\ th\xc3\xb6ught\n\x01"),
         .encrypted = SLICE("gAAAAB+/=="),
         .id = SLICE("rs_1")},
        {.kind = PART_REASONING, .origin = DIALECT_CONVERSE, .text = SLICE("")},
        {.kind = PART_REASONING, .origin = DIALECT_COHERE, .raw = SLICE("{ \"x\" : [1.0e5] }")},
        {.kind = PART_OPAQUE,
         .origin = DIALECT_ANTHROPIC,
         .id = SLICE("srvtoolu_1"),
         .raw = SLICE("{\"type\" : \"server_tool_use\",  \"n\":1.50}")},
        {.kind = PART_REASONING, .origin = DIALECT_CHAT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice packed;
        struct canon_part got;
        assert_int_equal(carry_pack(&arena, &rows[i], &packed), 0);
        assert_true(slice_starts(packed, SLICE("hg1.")));
        for (size_t j = 0; j < packed.len; j++)
            assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   "-_.",
                                   packed.at[j]));
        assert_int_equal(carry_unpack(&arena, packed, &got), 0);
        check_same(&rows[i], &got);
    }
}

static int
unpack(const char *text)
{
    struct canon_part part;
    return carry_unpack(&arena, slice_of(text), &part);
}

/* "hg1.gemini." and the Base64 of a JSON text. */
static int
unpack_json(const char *json)
{
    char text[512] = "hg1.gemini.";
    base64url_encode(json, strlen(json), text + 11);
    return unpack(text);
}

static void
test_reading_is_strict(void **state)
{
    (void)state;
    assert_int_equal(unpack(""), ERR_NOT_FOUND);
    assert_int_equal(unpack("EqQBCgIYAhIM1gbcDa9GJwZA"), ERR_NOT_FOUND); /* a provider's own */
    assert_int_equal(unpack("hg2.gemini.e30"), ERR_NOT_FOUND);
    assert_int_equal(unpack("hg1.gemini.e30"), 0);
    assert_int_equal(unpack("hg1.gemini."), ERR_SYNTAX);
    assert_int_equal(unpack("hg1.gemini"), ERR_SYNTAX);
    assert_int_equal(unpack("hg1.Gemini.e30"), ERR_SYNTAX);
    assert_int_equal(unpack("hg1..e30"), ERR_SYNTAX);
    assert_int_equal(unpack("hg1.gemini.e30="), ERR_SYNTAX);
    assert_int_equal(unpack("hg1.gemini.e3 0"), ERR_SYNTAX);
    assert_int_equal(unpack("hg1.gemini.e30.e30"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"text\":\"x\"}"), 0);
    assert_int_equal(unpack_json("{\"text\":1}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"text\":null}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"signature\":[]}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"text\":\"a\",\"text\":\"b\"}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"item\":\"x\"}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{\"raw\":[]}"), ERR_SYNTAX);
    assert_int_equal(unpack_json("[]"), ERR_SYNTAX);
    assert_int_equal(unpack_json("{} x"), ERR_SYNTAX);
    assert_int_equal(unpack_json("\"x\""), ERR_SYNTAX);
}

static void
test_sizes_are_bounded(void **state)
{
    (void)state;
    struct slice packed;
    struct canon_part got, part = {.kind = PART_REASONING, .origin = DIALECT_GEMINI};
    size_t most = LIMIT_CARRY_BYTES / 4 * 3 - 64 - sizeof("{\"signature\":\"\"}") + 1;
    char *text = malloc(LIMIT_CARRY_BYTES + 1);
    assert_non_null(text);
    memset(text, 'A', LIMIT_CARRY_BYTES + 1);
    part.signature = slice_make(text, most);
    assert_int_equal(carry_pack(&arena, &part, &packed), 0);
    assert_true(packed.len <= LIMIT_CARRY_BYTES);
    assert_int_equal(carry_unpack(&arena, packed, &got), 0);
    part.signature.len++;
    assert_int_equal(carry_pack(&arena, &part, &packed), ERR_LIMIT);
    memcpy(text, "hg1.gemini.", 11);
    assert_int_equal(carry_unpack(&arena, slice_make(text, LIMIT_CARRY_BYTES + 1), &got),
                     ERR_LIMIT);
    assert_int_equal(carry_unpack(&arena, slice_make(text, LIMIT_CARRY_BYTES), &got), ERR_SYNTAX);
    free(text);
}

static void
test_names(void **state)
{
    (void)state;
    enum dialect_id id;
    for (int i = 0; i < DIALECTS; i++) {
        assert_int_equal(carry_parse_name(slice_of(carry_name((enum dialect_id)i)), &id), 0);
        assert_int_equal(id, i);
    }
    assert_int_equal(carry_parse_name(SLICE("openai"), &id), ERR_NOT_FOUND);
}

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_is_packed_comes_back, tear_down),
        cmocka_unit_test_teardown(test_reading_is_strict, tear_down),
        cmocka_unit_test_teardown(test_sizes_are_bounded, tear_down),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
