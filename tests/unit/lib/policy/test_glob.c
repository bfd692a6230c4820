#include "tests/unit/check.h"

#include "lib/policy/policy.h"

static const struct {
    const char *pattern, *text;
    bool matches;
} cases[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "a", true},
    {"a", "A", false},
    {"a", "ab", false},
    {"*", "", true},
    {"*", "anything/at:all", true},
    {"**", "", true},
    {"gpt-*", "gpt-", true},
    {"gpt-*", "gpt-4o", true},
    {"gpt-*", "gpt", false},
    {"gpt-*", "my-gpt-4o", false},
    {"*-mini", "gpt-4o-mini", true},
    {"*-mini", "-mini", true},
    {"*-mini", "gpt-4o-mini-2", false},
    {"a*a", "a", false}, /* the ends must not overlap */
    {"a*a", "aa", true},
    {"a*b*c", "aXbYc", true},
    {"a*b*c", "abc", true},
    {"a*b*c", "acb", false},
    {"*a*b", "xaab", true},
    {"*ab*ab", "xabab", true},
    {"*ab*ab", "xab", false},
    {"a**b", "ab", true},
    {"openai/*", "openai/gpt-4o", true},
    {"openai/*", "openai", false},
    {"[a-z]?", "[a-z]?", true}, /* nothing but '*' is special */
    {"[a-z]?", "ab", false},
};

static void
test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (glob_match(slice_of(cases[i].pattern), slice_of(cases[i].text)) != cases[i].matches)
            fail_msg("'%s' against '%s'", cases[i].pattern, cases[i].text);
}

/* The obvious recursive definition, as an oracle. */
static bool
oracle(const char *p, const char *t)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p == '*')
        return oracle(p + 1, t) || (*t && oracle(p, t + 1));
    return *p == *t && oracle(p + 1, t + 1);
}

static void
test_agrees_with_the_definition(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char p[8], t[12];
        size_t pn = test_below(&seed, sizeof(p)), tn = test_below(&seed, sizeof(t));

        for (size_t k = 0; k < pn; k++)
            p[k] = "ab*"[test_below(&seed, 3)];
        for (size_t k = 0; k < tn; k++)
            t[k] = "ab"[test_below(&seed, 2)];
        p[pn] = t[tn] = '\0';
        if (glob_match(slice_make(p, pn), slice_make(t, tn)) != oracle(p, t))
            fail_msg("'%s' against '%s'", p, t);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_agrees_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
