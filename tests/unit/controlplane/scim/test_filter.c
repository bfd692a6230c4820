/* Filters and paths of SCIM: what is read, what is refused, and what matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/scim/filter.h"

static const char ada[] =
    "{\"id\":\"01a21a04-6ebf-7446-938e-c0ea374c3e41\",\"userName\":\"Ada\",\"active\":true,"
    "\"externalId\":\"X1\",\"name\":{\"familyName\":\"Love\\\"lace\"},"
    "\"emails\":[{\"value\":\"ada@work.example\",\"type\":\"work\",\"primary\":true},"
    "{\"value\":\"ada@home.example\",\"type\":\"home\"}],"
    "\"meta\":{\"created\":\"2026-11-26T10:00:00.000Z\",\"resourceType\":\"User\"}}";

static struct json *resource;
static struct arena arena;
static struct buf why;

static int
set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    buf_init(&why, 1024);
    return json_parse(slice_of(ada), &resource, NULL, 0);
}

static int
tear_down(void **state)
{
    (void)state;
    json_free(resource);
    arena_free(&arena);
    buf_free(&why);
    return 0;
}

static bool
matches(const char *text)
{
    const struct scim_filter *f;
    if (scim_filter_parse(&scim_users, slice_of(text), &arena, &f, &why) != 0)
        fail_msg("%s: %s", text, buf_str(&why));
    return scim_filter_match(f, resource);
}

static void
test_what_matches(void **state)
{
    static const char *const yes[] = {
        "userName eq \"ada\"",
        "USERNAME EQ \"ADA\"",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"AD\"",
        "userName ne \"bob\"",
        "userName co \"D\" and userName ew \"da\"",
        "userName gt \"Ac\" and userName lt \"b\" and userName ge \"ada\" and userName le \"ada\"",
        "externalId eq \"X1\"",
        "name.familyName eq \"love\\\"lace\"",
        "name.familyName eq \"\\u004cove\\\"lace\"",
        "active eq true",
        "active eq \"True\"",
        "active ne false",
        "emails co \"@home\"",
        "emails.type eq \"work\"",
        "emails[type eq \"work\" and value sw \"ada\"]",
        "emails[primary eq true]",
        "emails[not (type eq \"work\")]",
        "displayName eq null",
        "userName ne null",
        "displayName ne \"x\"",
        "userName pr and not (displayName pr)",
        "emails pr and name pr",
        "meta.created gt \"2026-11-26T09:59:59Z\" and meta.created le "
        "\"2026-11-26T11:00:00+01:00\"",
        "meta.created eq \"2026-11-26T12:00:00+02:00\"",
        "displayName pr or userName pr and active eq true",
        "(displayName pr or userName pr) and not (active eq false)",
        "not(displayName pr)",
        "  userName   eq   \"ada\"  ",
    };
    static const char *const no[] = {
        "userName eq \"ad\"",
        "externalId eq \"x1\"", /* caseExact */
        "externalId co \"x\"",
        "active eq false",
        "userName eq null",
        "displayName gt \"\"",
        "displayName co \"\"",
        "emails[type eq \"work\" and value co \"home\"]", /* one element, not two */
        "groups[value eq \"x\"]",
        "not (userName eq \"ada\")",
        "userName pr and displayName pr or active eq false",
        "userName eq \"ada\" and (active eq false or displayName pr)",
        "meta.created lt \"2026-11-26T10:00:00Z\"",
        "userName ew \"xada\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!matches(yes[i]))
            fail_msg("%s does not match", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (matches(no[i]))
            fail_msg("%s matches", no[i]);
}

static void
refused(const char *text, const char *says)
{
    const struct scim_filter *f;
    int err = scim_filter_parse(&scim_users, slice_of(text), &arena, &f, &why);
    if (err != ERR_SYNTAX || !strstr(buf_str(&why), says))
        fail_msg("%s: %d %s", text, err, buf_str(&why));
}

static void
test_what_is_refused(void **state)
{
    (void)state;
    refused("", "an attribute is missing");
    refused("userName", "an operator is missing");
    refused("userName eq", "a value is missing");
    refused("userName eq ada", "a value is missing");
    refused("userName eq 5", "a value is missing");
    refused("userName eq true", "'userName' is a text");
    refused("userName is \"x\"", "an operator is missing");
    refused("userNam eq \"x\"", "there is no attribute 'userNam'");
    refused("name.middle eq \"x\"", "there is no attribute 'name.middle'");
    refused("userName.x eq \"x\"", "there is no attribute");
    refused("name eq \"x\"", "has parts");
    refused("active gt true", "only be eq or ne");
    refused("active eq \"perhaps\"", "true or false");
    refused("userName gt null", "null can only be");
    refused("meta.created gt \"yesterday\"", "is a time");
    refused("userName eq \"x", "a text has no end");
    refused("userName eq \"\\x\"", "not as JSON has it");
    refused("userName eq \"x\" userName pr", "ends too early");
    refused("userName eq \"x\" and", "an attribute is missing");
    refused("(userName pr", "')' is missing");
    refused("emails[type eq \"x\"", "']' is missing");
    refused("emails[emails[type pr]]", "there is no attribute");
    refused("userName[type pr]", "has no elements");
    refused("not userName pr", "there is no attribute 'not'");
}

static void
test_bounds(void **state)
{
    char text[LIMIT_SCIM_FILTER + 64];
    const struct scim_filter *f;
    (void)state;
    for (int deep = LIMIT_SCIM_DEPTH; deep <= LIMIT_SCIM_DEPTH + 1; deep++) {
        memset(text, '(', (size_t)deep);
        snprintf(text + deep, sizeof(text) - (size_t)deep, "userName pr");
        size_t n = strlen(text);
        memset(text + n, ')', (size_t)deep);
        int err =
            scim_filter_parse(&scim_users, slice_make(text, n + (size_t)deep), &arena, &f, &why);
        assert_int_equal(err, deep > LIMIT_SCIM_DEPTH ? ERR_SYNTAX : 0);
    }
    int n = snprintf(text, sizeof(text), "userName eq \"");
    memset(text + n, 'x', sizeof(text) - (size_t)n);
    text[LIMIT_SCIM_FILTER - 1] = '"';
    assert_int_equal(
        scim_filter_parse(&scim_users, slice_make(text, LIMIT_SCIM_FILTER), &arena, &f, &why), 0);
    text[LIMIT_SCIM_FILTER - 1] = 'x';
    text[LIMIT_SCIM_FILTER] = '"';
    assert_int_equal(
        scim_filter_parse(&scim_users, slice_make(text, LIMIT_SCIM_FILTER + 1), &arena, &f, &why),
        ERR_SYNTAX);
}

static void
test_pins(void **state)
{
    static const struct {
        const char *filter, *attribute, *text;
    } cases[] = {
        {"userName eq \"ada\"", "userName", "ada"},
        {"active eq true and (userName eq \"ada\")", "userName", "ada"},
        {"active eq true and userName eq \"ada\" and emails pr", "userName", "ada"},
        {"userName eq \"ada\" or active eq true", "userName", NULL},
        {"not (userName eq \"ada\")", "userName", NULL},
        {"userName co \"ada\"", "userName", NULL},
        {"userName eq null", "userName", NULL},
        {"userName eq \"ada\"", "externalId", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct scim_filter *f, *pin;
        assert_int_equal(
            scim_filter_parse(&scim_users, slice_of(cases[i].filter), &arena, &f, &why), 0);
        pin = scim_filter_pin(f, cases[i].attribute);
        if (!pin != !cases[i].text || (pin && !slice_is(pin->text, cases[i].text)))
            fail_msg("%s", cases[i].filter);
    }
}

static void
test_paths(void **state)
{
    struct scim_path p;
    (void)state;
    assert_int_equal(scim_path_parse(&scim_users, SLICE("Name.FamilyName"), &arena, &p, &why), 0);
    assert_string_equal(p.attribute->name, "name");
    assert_string_equal(p.sub->name, "familyName");
    assert_null(p.filter);
    assert_int_equal(
        scim_path_parse(&scim_users, SLICE("emails[type eq \"work\"].value"), &arena, &p, &why), 0);
    assert_string_equal(p.attribute->name, "emails");
    assert_string_equal(p.sub->name, "value");
    assert_non_null(p.filter);
    assert_int_equal(
        scim_path_parse(&scim_groups, SLICE("members[value eq \"x\"]"), &arena, &p, &why), 0);
    assert_null(p.sub);
    static const char *const ignored[] = {
        "title", "addresses[type eq \"work\"].country", "name.middleName", "phoneNumbers",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        assert_int_equal(scim_path_parse(&scim_users, slice_of(ignored[i]), &arena, &p, &why), 0);
        assert_true(p.ignored);
    }
    static const char *const bad[] = {"",
                                      "nope",
                                      "emails[",
                                      "emails[type eq \"work\"",
                                      "emails[type eq \"work\"]value",
                                      "emails[type eq \"work\"].nope",
                                      "emails[type eq \"work\"].",
                                      "emails value",
                                      "userName[value eq \"x\"]",
                                      "urn:custom:1.0:User:x",
                                      "emails.value[type pr]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (scim_path_parse(&scim_users, slice_of(bad[i]), &arena, &p, &why) != ERR_SYNTAX)
            fail_msg("%s is a path", bad[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_matches), cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_pins),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
