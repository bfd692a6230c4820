/* How compatible providers differ: the table, and the edits of bodies that pass untouched. */
#include "tests/unit/check.h"

#include "dataplane/dialects/compat.h"
#include "lib/json/doc.h"

struct rig {
    struct arena arena;
    struct policy_provider provider;
    struct dialect_target target;
    struct dialect_refusal why;
    struct dialect_writer w;
    struct compat_edits edits;
};

static void
rig_init(struct rig *r, enum provider_kind kind, const char *model, bool may_degrade)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, 0);
    r->provider.kind = kind;
    r->provider.name = SLICE("up");
    r->target = (struct dialect_target){&r->provider, slice_of(model)};
    r->w = (struct dialect_writer){
        .arena = &r->arena, .target = &r->target, .may_degrade = may_degrade, .why = &r->why};
}

/* The body after its edits, in the arena. */
static const char *
edited(struct rig *r, const char *body)
{
    struct slice pieces[2 * LIMIT_COMPAT_EDITS + 1];
    struct buf out;
    struct json *doc;
    char why[128];
    size_t n = json_pieces(slice_of(body), r->edits.at, r->edits.count, pieces);
    buf_init(&out, 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_add_slice(&out, pieces[i]), 0);
    if (json_parse(buf_slice(&out), &doc, why, sizeof(why)))
        fail_msg("%s: %s", buf_str(&out), why);
    json_free(doc);
    char *text = arena_strdup(&r->arena, buf_slice(&out));
    buf_free(&out);
    return text;
}

static void
test_edits(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *model, *body, *want;
    } rows[] = {
        /* nothing to do */
        {PROVIDER_OPENAI, "gpt-4o", "{\"max_tokens\":1}", "{\"max_tokens\":1}"},
        {PROVIDER_OPENAI_COMPATIBLE, "m",
         "{\"max_tokens\":1,\"messages\":[{\"role\":\"developer\"}],\"logit_bias\":{\"1\":1}}",
         "{\"max_tokens\":1,\"messages\":[{\"role\":\"developer\"}],\"logit_bias\":{\"1\":1}}"},
        /* OpenAI's reasoning models */
        {PROVIDER_OPENAI, "o3-mini", "{\"max_tokens\" : 1}", "{\"max_completion_tokens\" : 1}"},
        {PROVIDER_AZURE_OPENAI, "gpt-5-nano", "{\"max_tokens\":1}",
         "{\"max_completion_tokens\":1}"},
        {PROVIDER_OPENAI, "gpt-5", "{\"max_tokens\":1,\"max_completion_tokens\":2}",
         "{\"max_completion_tokens\":2}"},
        /* names and values */
        {PROVIDER_MISTRAL, "m",
         " {\"seed\":1,\"max_completion_tokens\":2,\"tool_choice\":\"required\"}",
         " {\"random_seed\":1,\"max_tokens\":2,\"tool_choice\":\"any\"}"},
        {PROVIDER_MISTRAL, "m", "{\"tool_choice\":\"auto\"}", "{\"tool_choice\":\"auto\"}"},
        /* what is left out, with its comma: first, in the middle, last, alone, in a run */
        {PROVIDER_MISTRAL, "m", "{\"user\":\"u\",\"a\":1}", "{\"a\":1}"},
        {PROVIDER_MISTRAL, "m", "{\"a\":1, \"user\":\"u\", \"b\":2}", "{\"a\":1, \"b\":2}"},
        {PROVIDER_MISTRAL, "m", "{\"a\":1,\"user\":\"u\"}", "{\"a\":1}"},
        {PROVIDER_MISTRAL, "m", "{\"user\":\"u\"}", "{}"},
        {PROVIDER_MISTRAL, "m", "{\"user\":\"u\",\"store\":true,\"stream_options\":{}}", "{}"},
        {PROVIDER_MISTRAL, "m", "{\"user\":\"u\",\"store\":true,\"seed\":1,\"logprobs\":false}",
         "{\"random_seed\":1}"},
        {PROVIDER_MISTRAL, "m", "{\"seed\":1,\"user\":\"u\",\"store\":true,\"seed2\":1}",
         "{\"random_seed\":1,\"seed2\":1}"},
        /* refused members that say nothing */
        {PROVIDER_CEREBRAS, "m", "{\"frequency_penalty\":0,\"logit_bias\":null,\"a\":1}",
         "{\"a\":1}"},
        {PROVIDER_GROQ, "m", "{\"n\":1}", "{}"},
        /* developers */
        {PROVIDER_DEEPSEEK, "m",
         "{\"messages\":[{\"content\":\"x\",\"role\":\"developer\"},{\"role\":\"user\","
         "\"content\":\"developer\"}]}",
         "{\"messages\":[{\"content\":\"x\",\"role\":\"system\"},{\"role\":\"user\","
         "\"content\":\"developer\"}]}"},
        {PROVIDER_OPENROUTER, "m", "{\"messages\":[{\"role\":\"developer\"}]}",
         "{\"messages\":[{\"role\":\"developer\"}]}"},
        /* a schema in words */
        {PROVIDER_DEEPSEEK, "m",
         "{\"messages\":[],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
         "{\"name\":\"n\",\"schema\":{\"a\":1}}}}",
         "{\"messages\":[{\"role\":\"system\",\"content\":\"Answer with one JSON object and "
         "nothing else. It must match this JSON Schema:\\n{\\\"a\\\":1}\"}],"
         "\"response_format\":{\"type\":\"json_object\"}}"},
        {PROVIDER_DEEPSEEK, "m", "{\"response_format\":{\"type\":\"json_object\"},\"messages\":[]}",
         "{\"response_format\":{\"type\":\"json_object\"},\"messages\":[]}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, rows[i].kind, rows[i].model, false);
        if (compat_edits(slice_of(rows[i].body), &r.w, &r.edits))
            fail_msg("row %zu: %s", i, r.why.message);
        assert_string_equal(edited(&r, rows[i].body), rows[i].want);
        if (r.edits.count)
            assert_true(compat_has_edits(&r.target));
        arena_free(&r.arena);
    }
}

static void
test_refusals(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *body, *member, *degraded;
    } rows[] = {
        {PROVIDER_CEREBRAS, "{\"a\":1,\"frequency_penalty\":1}", "frequency_penalty", "{\"a\":1}"},
        {PROVIDER_CEREBRAS, "{\"parallel_tool_calls\":false}", "parallel_tool_calls", "{}"},
        {PROVIDER_PERPLEXITY, "{\"tools\":[{}],\"a\":1}", "tools", "{\"a\":1}"},
        {PROVIDER_GROQ, "{\"n\":2}", "n", "{}"},
        {PROVIDER_DEEPSEEK, "{\"seed\":2}", "seed", "{}"},
        {PROVIDER_MISTRAL, "{\"logit_bias\":{\"1\":1}}", "logit_bias", "{}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, rows[i].kind, "m", false);
        assert_int_equal(compat_edits(slice_of(rows[i].body), &r.w, &r.edits), ERR_DENIED);
        assert_string_equal(r.why.member, rows[i].member);
        assert_non_null(strstr(r.why.message, "provider 'up'"));
        arena_free(&r.arena);
        rig_init(&r, rows[i].kind, "m", true);
        assert_int_equal(compat_edits(slice_of(rows[i].body), &r.w, &r.edits), 0);
        assert_string_equal(edited(&r, rows[i].body), rows[i].degraded);
        assert_int_equal(r.w.degraded_count, 1);
        assert_slice_is(r.w.degraded[0], rows[i].member);
        arena_free(&r.arena);
    }
}

static void
test_edits_limit(void **state)
{
    (void)state;
    for (size_t n = LIMIT_COMPAT_EDITS; n <= LIMIT_COMPAT_EDITS + 1; n++) {
        struct rig r;
        struct buf body;
        buf_init(&body, 0);
        rig_init(&r, PROVIDER_GROQ, "m", true);
        int err = buf_add_str(&body, "{\"messages\":[");
        for (size_t i = 0; i < n && !err; i++)
            err = buf_addf(&body, "%s{\"role\":\"developer\"}", i ? "," : "");
        assert_int_equal(err ? err : buf_add_str(&body, "]}"), 0);
        assert_int_equal(compat_edits(buf_slice(&body), &r.w, &r.edits),
                         n == LIMIT_COMPAT_EDITS ? 0 : ERR_DENIED);
        assert_string_equal(r.why.member, n == LIMIT_COMPAT_EDITS ? "" : "messages");
        buf_free(&body);
        arena_free(&r.arena);
    }
}

/* What is refused untouched is no capability of the kind, by whichever name. */
static void
test_rules_agree_with_capabilities(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        enum feature feature;
    } features[] = {
        {"logit_bias", FEATURE_LOGIT_BIAS},
        {"logprobs", FEATURE_LOGPROBS},
        {"top_logprobs", FEATURE_LOGPROBS},
        {"service_tier", FEATURE_SERVICE_TIER},
        {"verbosity", FEATURE_VERBOSITY},
        {"n", FEATURE_CHOICES},
        {"seed", FEATURE_SEED},
        {"stop", FEATURE_STOP},
        {"tools", FEATURE_TOOLS},
        {"tool_choice", FEATURE_CHOICE_NAMED},
        {"frequency_penalty", FEATURE_PENALTIES},
        {"presence_penalty", FEATURE_PENALTIES},
        {"parallel_tool_calls", FEATURE_PARALLEL_TOOLS_OFF},
    };
    size_t count, known = 0;
    const struct compat_rule *rules = compat_rules(&count);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        if (rules[i].action != COMPAT_REFUSE)
            continue;
        while (k < sizeof(features) / sizeof(features[0]) &&
               strcmp(features[k].member, rules[i].member) != 0)
            k++;
        if (k == sizeof(features) / sizeof(features[0]))
            fail_msg("no feature for %s", rules[i].member);
        if (capability_of(rules[i].kind, features[k].feature) != UNSUPPORTED)
            fail_msg("%s of kind %d", rules[i].member, (int)rules[i].kind);
        known++;
    }
    assert_true(known > 10);
}

static void
test_targets(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *model, *version, *max_tokens;
        bool reasoning, asks_usage;
    } rows[] = {
        {PROVIDER_OPENAI, "gpt-4o", "", "max_completion_tokens", false, true},
        {PROVIDER_OPENAI, "o1", "", "max_completion_tokens", true, true},
        {PROVIDER_OPENAI, "o4-mini-2025-04-16", "", "max_completion_tokens", true, true},
        {PROVIDER_OPENAI, "gpt-5.1", "", "max_completion_tokens", true, true},
        {PROVIDER_OPENAI, "ft:o3-mini:org", "", "max_completion_tokens", true, true},
        {PROVIDER_OPENAI, "omni-moderation", "", "max_completion_tokens", false, true},
        {PROVIDER_OPENAI, "o10x", "", "max_completion_tokens", false, true},
        {PROVIDER_GROQ, "o3", "", "max_completion_tokens", false, true},
        {PROVIDER_AZURE_OPENAI, "d", "2023-07-01-preview", "max_tokens", false, false},
        {PROVIDER_AZURE_OPENAI, "d", "2024-10-21", "max_completion_tokens", false, true},
        {PROVIDER_AZURE_OPENAI, "d", "v1", "max_completion_tokens", false, true},
        {PROVIDER_AZURE_OPENAI, "d", "", "max_completion_tokens", false, true},
        {PROVIDER_MISTRAL, "m", "", "max_tokens", false, false},
        {PROVIDER_PERPLEXITY, "m", "", "max_tokens", false, false},
        {PROVIDER_OPENAI_COMPATIBLE, "gpt-5", "", "max_tokens", false, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, rows[i].kind, rows[i].model, false);
        r.provider.api_version = slice_of(rows[i].version);
        assert_string_equal(compat_max_tokens(&r.target), rows[i].max_tokens);
        assert_int_equal(compat_is_reasoning_model(&r.target), rows[i].reasoning);
        assert_int_equal(compat_asks_usage(&r.target), rows[i].asks_usage);
        arena_free(&r.arena);
    }
    assert_ptr_equal(compat_of(PROVIDER_ANTHROPIC), compat_of(PROVIDER_OPENAI_COMPATIBLE));
}

static void
test_efforts(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *asked, *sent;
    } rows[] = {
        {PROVIDER_OPENAI, "minimal", "minimal"},
        {PROVIDER_OPENAI, "none", "none"},
        {PROVIDER_XAI, "minimal", "low"},
        {PROVIDER_XAI, "max", "high"},
        {PROVIDER_XAI, "none", ""},
        {PROVIDER_MISTRAL, "low", "high"},
        {PROVIDER_MISTRAL, "none", "none"},
        {PROVIDER_DEEPSEEK, "xhigh", "max"},
        {PROVIDER_GROQ, "default", "default"},
        {PROVIDER_OPENROUTER, "max", "xhigh"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_slice_is(compat_effort(rows[i].kind, slice_of(rows[i].asked)), rows[i].sent);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_edits_limit), cmocka_unit_test(test_rules_agree_with_capabilities),
        cmocka_unit_test(test_targets),     cmocka_unit_test(test_efforts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
