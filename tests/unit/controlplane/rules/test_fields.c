/* The patterns that documents show of the checks of single texts: see field_pattern(). */
#include "controlplane/rules/fields.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/json/doc.h"
#include "tests/unit/check.h"

#include <regex.h>

typedef bool check_fn(struct slice text, const char **ret_why);

/* An expression of ECMA 262 for regcomp(): \xNN is the byte itself (NUL, that is in no text, the
 * next one). */
static void
compile(const char *pattern, regex_t *ret)
{
    char out[512];
    size_t n = 0;
    for (const char *c = pattern; *c; c++) {
        unsigned byte;
        assert_true(n + 1 < sizeof(out));
        if (c[0] == '\\' && c[1] == 'x' && sscanf(c + 2, "%2x", &byte) == 1) {
            out[n++] = (char)(byte ? byte : 1);
            c += 3;
        } else {
            out[n++] = *c;
        }
    }
    out[n] = '\0';
    assert_int_equal(regcomp(ret, out, REG_EXTENDED | REG_NOSUB), 0);
}

static bool
is_time(struct slice text, const char **ret_why)
{
    int64_t ms;
    *ret_why = "";
    return clock_parse_rfc3339(text.at, &ms) == 0;
}

static const struct {
    check_fn *check;
    bool exact;           /* what fits is taken */
    const char *seeds[8]; /* begin with what is taken, to be spoilt */
} cases[] = {
    {field_is_name, true, {"a", "Ada.l_o@v-e+1", "_a", "a/b", "\xc3\xa4"}},
    {field_is_model, true, {"a/b:c", "gpt-4.1", "/a", "a*"}},
    {field_is_pattern, true, {"*", "a*b/c:1", "-a"}},
    {field_is_zone, true, {"UTC", "America/New_York", "Etc/GMT+1", "utc"}},
    {field_is_margin, true, {"0", "12.5", "1000", "1000.0000", "0999.1234", "1000.0001", "1001"}},
    {field_is_discount, true, {"0", "99.9999", "100", "0100.0000", "0099", "100.0001", "101"}},
    {field_is_scope, true, {"openid", "a[b]^_", "a\"b", "a\\b", "a b"}},
    {field_is_text, true, {"", "a b", "\xc3\xa4", "a\tb", "a\x7f"}},
    {field_is_credential, false, {"secret", "env:NAME", "file:name.txt", "vault:a/b#c", "a\tb"}},
    {field_is_cidr, false, {"10.0.0.0/8", "2001:db8::/32", "::1", "127.0.0.1", "::ffff:1.2.3.4"}},
    {field_is_host, true, {"a.example", "::1", "127.0.0.1", "-a"}},
    {field_is_mail_address, true, {"ada@example.com", "a.b+c@d-e.f", "a..b@c", "@b"}},
    {field_is_url,
     false,
     {"https://a.example", "http://[::1]:80/a/b", "HTTP://a:65535/%41?",
      "http://a/!\"$&'()*+,;=:@[]<>^`{|}~", "http://a/\\b"}},
    {is_time,
     false,
     {"2027-01-31", "2027-01-31T12:00:00Z", "2027-12-01t23:59:60.123+01:30", "2027-13-01",
      "2027-02-30"}},
};

static void
expect(size_t i, const regex_t *pattern, const char *text, size_t *taken)
{
    const char *why;
    bool fits = regexec(pattern, text, 0, NULL, 0) == 0;
    bool ok = cases[i].check(slice_of(text), &why);
    *taken += ok;
    if (ok && !fits)
        fail_msg("case %zu: \"%s\" is taken, and does not fit its pattern", i, text);
    if (cases[i].exact && fits && !ok)
        fail_msg("case %zu: \"%s\" fits its pattern, and is not taken: %s", i, text, why);
}

/* Texts of one and two bytes, all of them; and the seeds, with up to three bytes changed, added or
 * taken away. */
static void
test_patterns_are_those_of_the_checks(void **state)
{
    uint64_t seed = test_seed();
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *pattern =
            cases[i].check == is_time ? JSON_TIME_PATTERN : field_pattern(cases[i].check);
        regex_t compiled;
        char text[64];
        size_t taken = 0;
        assert_non_null(pattern);
        compile(pattern, &compiled);
        for (int a = 1; a < 256; a++)
            for (int b = 0; b < 256; b++) {
                snprintf(text, sizeof(text), "%c%c", a, b);
                expect(i, &compiled, text, &taken);
            }
        for (size_t k = 0; k < 8 && cases[i].seeds[k]; k++)
            for (int round = 0; round < 3000; round++) {
                snprintf(text, sizeof(text), "%s", cases[i].seeds[k]);
                for (uint64_t n = test_below(&seed, 4); n > 0; n--) {
                    size_t len = strlen(text), at = test_below(&seed, len + 1);
                    char byte = (char)(test_below(&seed, 4) ? 0x20 + test_below(&seed, 0x60)
                                                            : 1 + test_below(&seed, 255));
                    switch (test_below(&seed, 3)) {
                    case 0:
                        text[at] = at < len ? byte : '\0';
                        break;
                    case 1:
                        memmove(text + at + 1, text + at, len - at + 1);
                        text[at] = byte;
                        break;
                    default:
                        if (at < len)
                            memmove(text + at, text + at + 1, len - at);
                    }
                }
                expect(i, &compiled, text, &taken);
            }
        assert_true(taken > 100);
        regfree(&compiled);
    }
}

static void
test_others_have_none(void **state)
{
    (void)state;
    assert_null(field_pattern(is_time));
    assert_null(field_pattern(NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_are_those_of_the_checks),
        cmocka_unit_test(test_others_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
