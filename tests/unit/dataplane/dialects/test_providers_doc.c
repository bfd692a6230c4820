/* docs/providers.md has the tables that the code works by. A table that is missing is printed. */
#include "tests/unit/check.h"

#include "dataplane/dialects/compat.h"

static char *document;

static void
expect_table(const char *what, struct buf *table)
{
    assert_non_null(buf_str(table));
    if (!strstr(document, buf_str(table))) {
        fputs(buf_str(table), stderr);
        fail_msg("docs/providers.md lacks the table of %s, which stands above", what);
    }
    buf_free(table);
}

#define ADD(b, ...) assert_int_equal(buf_addf((b), __VA_ARGS__), 0)

static const char *
auth_words(enum provider_auth auth)
{
    switch (auth) {
    case PROVIDER_AUTH_NONE:
        return "none";
    case PROVIDER_AUTH_BEARER:
        return "`authorization: Bearer`";
    case PROVIDER_AUTH_X_API_KEY:
        return "`x-api-key`";
    case PROVIDER_AUTH_X_GOOG_API_KEY:
        return "`x-goog-api-key`";
    case PROVIDER_AUTH_AZURE:
        return "`api-key`; a JSON document: Entra client credentials";
    case PROVIDER_AUTH_AWS:
        return "a JSON access key: Signature V4; else a Bedrock API key";
    case PROVIDER_AUTH_GOOGLE:
        return "a service account's JSON: an OAuth token";
    }
    return "?";
}

static void
test_kinds(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    ADD(&b, "| kind | address | credential | needs |\n| --- | --- | --- | --- |\n");
    for (int k = 1; k < PROVIDER_KINDS; k++) {
        const struct provider_kind_row *row = provider_kind_row((enum provider_kind)k);
        ADD(&b, "| `%s` | %s%s%s | %s |", row->name, row->base_url ? "`" : "",
            row->base_url ? row->base_url : "", row->base_url ? "`" : "", auth_words(row->auth));
        for (size_t i = 0; i < 3 && row->needs[i]; i++)
            ADD(&b, "%s `%s`", i ? "," : "", row->needs[i]);
        ADD(&b, " |\n");
    }
    expect_table("kinds", &b);
}

static const char *
replay_words(enum compat_replay replay)
{
    switch (replay) {
    case REPLAY_NOTHING:
        return "not";
    case REPLAY_CONTENT:
        return "`reasoning_content`";
    case REPLAY_PLAIN:
        return "`reasoning`";
    case REPLAY_DETAILS:
        return "`reasoning`, `reasoning_details`";
    case REPLAY_PARTS:
        return "`thinking` parts";
    }
    return "?";
}

static const char *
thinking_words(enum compat_thinking thinking)
{
    switch (thinking) {
    case THINK_EFFORT:
        return "`reasoning_effort`";
    case THINK_SWITCH:
        return "`thinking`, `reasoning_effort`";
    case THINK_ENVELOPE:
        return "`reasoning`";
    }
    return "?";
}

static void
test_differences(void **state)
{
    (void)state;
    static const char *const efforts[] = {"none", "minimal", "low", "medium",
                                          "high", "xhigh",   "max"};
    struct buf b;
    buf_init(&b, 0);
    ADD(&b,
        "| kind | output limit | reasoning asked by | efforts | sent back as | role developer | "
        "stream usage | without [DONE] |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (int k = 1; k < PROVIDER_KINDS; k++) {
        const struct compat *c = compat_of((enum provider_kind)k);
        bool is_own = k == PROVIDER_OPENAI_COMPATIBLE;
        if (k == PROVIDER_SIMULATOR || (!is_own && c == compat_of(PROVIDER_OPENAI_COMPATIBLE)))
            continue;
        ADD(&b, "| `%s` | `%s` | %s |", provider_kind_name((enum provider_kind)k), c->max_tokens,
            thinking_words(c->thinking));
        for (unsigned i = 0; i < 7; i++)
            if (c->efforts & (1u << i))
                ADD(&b, " %s", efforts[i]);
        ADD(&b, " | %s | %s | %s | %s |\n", replay_words(c->replay), c->developer ? "yes" : "no",
            c->asks_usage ? "asked for" : "unasked", c->done_optional ? "yes" : "no");
    }
    expect_table("differences", &b);
}

static void
add_rule(struct buf *b, const struct compat_rule *r)
{
    ADD(b, "| `%s` | `%s` | ", provider_kind_name(r->kind), r->member);
    switch (r->action) {
    case COMPAT_RENAME:
        ADD(b, "sent as `%s`", r->with);
        break;
    case COMPAT_VALUE:
        ADD(b, "`%s` is sent as `%s`", r->from, r->with);
        break;
    case COMPAT_REFUSE:
        ADD(b, "refused");
        if (r->from)
            ADD(b, ", but for `%s`", r->from);
        break;
    case COMPAT_DROP:
        ADD(b, "left out");
        break;
    }
    ADD(b, " |\n");
}

static void
test_rules(void **state)
{
    (void)state;
    struct buf b;
    size_t count;
    const struct compat_rule *rules = compat_rules(&count);
    buf_init(&b, 0);
    ADD(&b, "| kind | member | |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++)
        add_rule(&b, &rules[i]);
    expect_table("rules", &b);
}

static int
read_document(void **state)
{
    (void)state;
    FILE *f = fopen("docs/providers.md", "rb");
    if (!f)
        return -1;
    document = calloc(1, 1 << 18);
    size_t n = document ? fread(document, 1, (1 << 18) - 1, f) : 0;
    fclose(f);
    return n > 0 ? 0 : -1;
}

static int
let_go(void **state)
{
    (void)state;
    free(document);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, read_document, let_go);
}
