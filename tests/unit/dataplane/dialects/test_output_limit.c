/* A limit of the output that is put into a client's body, or lowered in it: what then goes up. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

#include <stdlib.h>

static const struct policy_provider openai = {.name = SLICE("o"), .kind = PROVIDER_OPENAI};
static const struct policy_provider any = {.name = SLICE("c"), .kind = PROVIDER_OPENAI_COMPATIBLE};

static const struct row {
    const struct dialect *dialect;
    const struct policy_provider *provider; /* NULL: no target, as of a completion */
    const char *in, *out;
} rows[] = {
    {&dialect_chat, &openai, "{\"model\":\"m\"}", "{\"max_completion_tokens\":50,\"model\":\"m\"}"},
    {&dialect_chat, &any, " { \"model\":\"m\"}", " {\"max_tokens\":50, \"model\":\"m\"}"},
    {&dialect_chat, NULL, "{\"prompt\":\"x\"}", "{\"max_tokens\":50,\"prompt\":\"x\"}"},
    {&dialect_chat, &any, "{}", "{\"max_tokens\":50}"},
    {&dialect_chat, &any, "{\"max_tokens\":null}", "{\"max_tokens\":50}"},
    {&dialect_chat, &any, "{\"max_tokens\":51,\"a\":1}", "{\"max_tokens\":50,\"a\":1}"},
    {&dialect_chat, &any, "{\"max_tokens\":50}", "{\"max_tokens\":50}"},
    {&dialect_chat, &any, "{\"max_tokens\":7,\"max_completion_tokens\" : 900}",
     "{\"max_tokens\":7,\"max_completion_tokens\" : 50}"},
    {&dialect_chat, &any, "{\"max_tokens\":null,\"max_completion_tokens\":9}",
     "{\"max_tokens\":null,\"max_completion_tokens\":9}"},
    {&dialect_chat, &any, "{\"x\":{\"max_tokens\":99},\"max\\u005ftokens\":99}",
     "{\"x\":{\"max_tokens\":99},\"max\\u005ftokens\":50}"},
    {&dialect_responses, &openai, "{\"input\":\"x\"}",
     "{\"max_output_tokens\":50,\"input\":\"x\"}"},
    {&dialect_responses, &openai, "{\"max_output_tokens\":1e9,\"input\":\"x\"}",
     "{\"max_output_tokens\":50,\"input\":\"x\"}"},
    {&dialect_anthropic, NULL, "{\"messages\":[],\"max_tokens\":64000}",
     "{\"messages\":[],\"max_tokens\":50}"},
    {&dialect_gemini, NULL, "{\"contents\":[]}",
     "{\"generationConfig\":{\"maxOutputTokens\":50},\"contents\":[]}"},
    {&dialect_gemini, NULL, "{}", "{\"generationConfig\":{\"maxOutputTokens\":50}}"},
    {&dialect_gemini, NULL, "{\"generationConfig\":null}",
     "{\"generationConfig\":{\"maxOutputTokens\":50}}"},
    {&dialect_gemini, NULL, "{\"generationConfig\":{\"topK\":1},\"contents\":[]}",
     "{\"generationConfig\":{\"maxOutputTokens\":50,\"topK\":1},\"contents\":[]}"},
    {&dialect_gemini, NULL, "{\"generationConfig\":{ }}",
     "{\"generationConfig\":{\"maxOutputTokens\":50 }}"},
    {&dialect_gemini, NULL, "{\"a\":[],\"generation_config\":{\"max_output_tokens\":99}}",
     "{\"a\":[],\"generation_config\":{\"max_output_tokens\":50}}"},
};

static char *
edited(const struct row *row)
{
    const struct dialect_target target = {row->provider, SLICE("m")};
    struct output_edits edits;
    struct slice pieces[2 * LIMIT_OUTPUT_EDITS + 1];
    struct arena a;
    struct buf text;
    arena_init(&a, 0);
    buf_init(&text, 0);
    assert_int_equal(row->dialect->limit_output(slice_of(row->in), row->provider ? &target : NULL,
                                                50, &a, &edits),
                     0);
    size_t n = json_pieces(slice_of(row->in), edits.at, edits.count, pieces);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_add_slice(&text, pieces[i]), 0);
    char *ret = strdup(buf_str(&text));
    buf_free(&text);
    arena_free(&a);
    return ret;
}

static void
test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = edited(&rows[i]);
        assert_string_equal(text, rows[i].out);
        free(text);
    }
}

/* --- what else bounds an answer --------------------------------------------------------------- */

static struct request_brief
brief(const struct dialect *d, const char *body)
{
    struct dialect_refusal why;
    struct request_brief b;
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(
        d->brief(slice_of(body), &(struct dialect_call){.path_stream = false}, &a, &b, &why), 0);
    arena_free(&a);
    return b;
}

/* A completion makes an answer for each of its prompts, and best_of of them to choose from. */
static void
test_choices(void **state)
{
    static const struct {
        const char *body;
        int64_t choices;
    } cases[] = {
        {"{\"prompt\":\"x\"}", 1},
        {"{\"prompt\":[\"x\",\"y\",\"z\"],\"n\":2}", 6},
        {"{\"prompt\":[1,2,3]}", 1},
        {"{\"prompt\":[[1,2],[3]],\"best_of\":4,\"n\":2}", 8},
        {"{\"prompt\":[],\"best_of\":\"odd\"}", 1},
        {"{\"n\":9223372036854775807,\"prompt\":[\"a\",\"b\"]}", INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(brief(&dialect_chat, cases[i].body).choices, cases[i].choices);
}

/* A limit below what thinking may take would be refused by the provider. */
static void
test_thinking_needs_room(void **state)
{
    (void)state;
    struct request_brief b =
        brief(&dialect_anthropic, "{\"model\":\"m\",\"messages\":[],\"max_tokens\":5000,"
                                  "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}}");
    assert_int_equal(b.least_tokens, 2001);
    b = brief(&dialect_gemini,
              "{\"generationConfig\":{\"thinking_config\":{\"thinking_budget\":300}}}");
    assert_int_equal(b.least_tokens, 301);
    b = brief(&dialect_gemini,
              "{\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":-1}}}");
    assert_int_equal(b.least_tokens, 0);
}

static void
test_an_odd_configuration_cannot_be_limited(void **state)
{
    (void)state;
    assert_true(brief(&dialect_gemini, "{\"generationConfig\":[]}").max_tokens_odd);
    assert_false(brief(&dialect_gemini, "{\"generationConfig\":null}").max_tokens_odd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_thinking_needs_room),
        cmocka_unit_test(test_an_odd_configuration_cannot_be_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
