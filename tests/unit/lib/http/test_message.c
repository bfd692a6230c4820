/* Fields, characters, URLs, dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/http/message.h"
#include "lib/http/stream.h"
#include "lib/http/url.h"

static void
test_fields_are_found(void **state)
{
    struct http_field fields[] = {{SLICE("accept"), SLICE("a"), false},
                                  {SLICE("cookie"), SLICE("1"), false},
                                  {SLICE("cookie"), SLICE("2"), false},
                                  {SLICE("content-type"), SLICE("Text/JSON ; charset=x"), false}};
    struct http_head h = {.fields = fields, .count = 4};
    (void)state;
    assert_true(slice_is(http_field_get(&h, "cookie"), "1"));
    assert_null(http_field_get(&h, "none").at);
    assert_int_equal(http_field_count(&h, "cookie"), 2);
    assert_int_equal(http_field_count(&h, "none"), 0);
    assert_true(http_content_type_is(&h, "text/json"));
    assert_false(http_content_type_is(&h, "text/jso"));
    h.count = 3;
    assert_false(http_content_type_is(&h, "text/json"));
}

static void
test_tokens(void **state)
{
    char one[1];
    (void)state;
    assert_false(http_is_token((struct slice){"", 0}));
    for (int c = 0; c < 256; c++) {
        bool expected = c > 0x20 && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
        one[0] = (char)c;
        assert_int_equal(http_is_token(slice_make(one, 1)), expected);
    }
}

/* Each byte at each place of a run of eight, among harmless and other suspicious neighbours. */
static void
test_field_values(void **state)
{
    static const char fill[] = {'a', '\t', '~', (char)0x80, ' ', (char)0xff, '!'};
    char text[25];
    (void)state;
    assert_true(http_is_field_value((struct slice){"", 0}));
    for (size_t f = 0; f < sizeof fill; f++)
        for (size_t at = 0; at < sizeof text; at++)
            for (int c = 0; c < 256; c++) {
                memset(text, fill[f], sizeof text);
                text[at] = (char)c;
                bool expected = c == '\t' || (c >= 0x20 && c != 0x7f);
                if (http_is_field_value(slice_make(text, sizeof text)) != expected)
                    fail_msg("byte %02x at %zu among %02x", c, at, fill[f]);
            }
}

static void
test_f015_paths(void **state)
{
    static const char *const good[] = {
        "/",       "/v1/models", "/a?b=c&d=%20",    "/%2f",          "//x",
        "/a/../b", "/a;b=c",     "/~x!$&'()*+,=:@", "/a?[]|{}^`\"<>"};
    static const char *const bad[] = {"",      "a",     "*",       "/a b",  "/a#b",
                                      "/%",    "/%2",   "/%zz",    "/%00",  "/a%2",
                                      "/\x80", "/a\tb", "/\\evil", "/\x7f", "/a?b#c"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!http_is_path(slice_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_is_path(slice_of(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(http_is_path(slice_make("/a\0b", 4)));
}

static void
test_f015_authorities(void **state)
{
    static const char *const good[] = {
        "a",     "a.b", "a:80", "127.0.0.1:8080",    "[::1]", "[::1]:80",
        "a_b-c", "a:",  "a.",   "[::ffff:1.2.3.4]:1"};
    static const char *const bad[] = {"",       ":80",    "a:b",     "a:99999", "a:123456",
                                      "u@a",    "a b",    "a/b",     "[::1",    "[]",
                                      "[::1]x", "[g::1]", "a:80:90", "::1",     "a\\b",
                                      "a%00b",  "a%",     "a#",      "a?b",     "a,b:x"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!http_is_authority(slice_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_is_authority(slice_of(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_false(http_is_authority(slice_make("a\0b", 3)));
}

static void
test_urls(void **state)
{
    struct url u;
    const char *why = NULL;
    (void)state;
    assert_int_equal(url_parse(SLICE("https://api.example.com"), &u, &why), 0);
    assert_true(u.https && u.port == 443 && u.path.len == 0);
    assert_true(slice_is(u.host, "api.example.com"));
    assert_int_equal(url_parse(SLICE("HTTP://[::1]:9000/v1?x=1"), &u, &why), 0);
    assert_true(!u.https && u.port == 9000);
    assert_true(slice_is(u.host, "::1"));
    assert_true(slice_is(u.path, "/v1?x=1"));
    assert_int_equal(url_parse(SLICE("http://a:8080/"), &u, &why), 0);
    assert_int_equal(u.port, 8080);
}

static void
test_f156_urls_that_are_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "starts with"},
        {"ftp://a", "starts with"},
        {"//a", "starts with"},
        {"a.com/v1", "starts with"},
        {"https:/a", "starts with"},
        {"https://", "host name"},
        {"https:///v1", "host name"},
        {"https://:80", "host name"},
        {"https://u:p@a/", "user name"},
        {"https://u@a", "user name"},
        {"https://a#b", "fragment"},
        {"https://a/b#c", "fragment"},
        {"https://a?b", "query needs a path"},
        {"https://a:0/", "port"},
        {"https://a:/", "port"},
        {"https://a:65536/", "host name"},
        {"https://a b/", "host name"},
        {"https://a/b c", "escaped"},
        {"https://a/\x80", "escaped"},
        {"https://evil.test\\@a/", "user name"},
    };
    struct url u;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = "";
        if (url_parse(slice_of(bad[i].text), &u, &why) != ERR_SYNTAX)
            fail_msg("accepted: %s", bad[i].text);
        if (!strstr(why, bad[i].why))
            fail_msg("%s: %s", bad[i].text, why);
    }
}

static void
test_the_date_is_now(void **state)
{
    struct loop *l = loop_new();
    struct tm tm = {0};
    (void)state;
    assert_non_null(l);
    time_t before = time(NULL);
    struct slice date = http_date(l);
    time_t after = time(NULL);
    assert_int_equal(date.len, 29);
    const char *end = strptime(date.at, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_ptr_equal(end, date.at + 29);
    time_t said = timegm(&tm);
    assert_true(said >= before && said <= after);
    loop_free(l);
}

static void
test_reasons(void **state)
{
    (void)state;
    assert_string_equal(http_reason(200), "OK");
    assert_string_equal(http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_reason(299), "Unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_found),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_field_values),
        cmocka_unit_test(test_f015_paths),
        cmocka_unit_test(test_f015_authorities),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_f156_urls_that_are_refused),
        cmocka_unit_test(test_the_date_is_now),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
