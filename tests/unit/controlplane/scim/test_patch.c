/* Resources as clients send them, PATCH, and items as SCIM shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/rules/item.h"
#include "controlplane/scim/patch.h"
#include "controlplane/scim/resource.h"

static struct json *
parsed(const char *text)
{
    struct json *j = NULL;
    char why[200] = "";
    if (json_parse(slice_of(text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", text, why);
    return j;
}

static void
same(const struct json *got, const char *want)
{
    struct json *wanted = parsed(want);
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(json_write(got, false, 0, &text), 0);
    if (!json_equal(got, wanted))
        fail_msg("got %s, want %s", buf_str(&text), want);
    buf_free(&text);
    json_free(wanted);
}

/* One list of operations on a resource: what it becomes, or the code of the refusal. */
static void
patch(const struct scim_schema *s, const char *resource, const char *operations, const char *want)
{
    char body[4096];
    struct arena a;
    struct scim_refusal no = {0};
    struct json *r = parsed(resource);
    snprintf(body, sizeof(body), "{\"Operations\":%s}", operations);
    struct json *b = parsed(body);
    arena_init(&a, 0);
    buf_init(&no.why, 2048);
    int err = scim_patch(s, r, b, &a, &no);
    if (want[0] == '{') {
        if (err)
            fail_msg("%s: %d %s", operations, err, buf_str(&no.why));
        same(r, want);
    } else if (err != ERR_SYNTAX || strcmp(no.code, want) != 0 || no.why.len == 0) {
        fail_msg("%s: %d %s, want %s", operations, err, no.code ? no.code : "-", want);
    }
    buf_free(&no.why);
    arena_free(&a);
    json_free(r);
    json_free(b);
}

#define USER(operations, want) patch(&scim_users, user, operations, want)
#define GROUP(operations, want) patch(&scim_groups, group, operations, want)

static void
test_simple_values(void **state)
{
    static const char user[] = "{\"userName\":\"ada\",\"active\":true}";
    (void)state;
    USER("[{\"op\":\"replace\",\"path\":\"active\",\"value\":false}]",
         "{\"userName\":\"ada\",\"active\":false}");
    USER("[{\"op\":\"Replace\",\"path\":\"ACTIVE\",\"value\":\"False\"}]",
         "{\"userName\":\"ada\",\"active\":false}");
    USER("[{\"op\":\"Replace\",\"path\":\"active\",\"value\":[{\"value\":\"False\"}]}]",
         "{\"userName\":\"ada\",\"active\":false}");
    USER("[{\"op\":\"replace\",\"value\":{\"active\":false,\"id\":\"x\",\"title\":\"Dr\","
         "\"customThing\":1,\"schemas\":[]}}]",
         "{\"userName\":\"ada\",\"active\":false}");
    USER("[{\"op\":\"add\",\"value\":{\"urn:ietf:params:scim:schemas:core:2.0:User\":"
         "{\"displayName\":\"Ada\"}}}]",
         "{\"userName\":\"ada\",\"active\":true,\"displayName\":\"Ada\"}");
    USER("[{\"op\":\"add\",\"path\":\"urn:ietf:params:scim:schemas:core:2.0:User:displayName\","
         "\"value\":\"Ada\"},{\"op\":\"remove\",\"path\":\"displayName\"}]",
         "{\"userName\":\"ada\",\"active\":true}");
    USER("[{\"op\":\"add\",\"path\":\"name.familyName\",\"value\":\"King\"},"
         "{\"op\":\"replace\",\"value\":{\"name.givenName\":\"Augusta\"}}]",
         "{\"userName\":\"ada\",\"active\":true,"
         "\"name\":{\"familyName\":\"King\",\"givenName\":\"Augusta\"}}");
    USER("[{\"op\":\"replace\",\"path\":\"name\",\"value\":{\"familyName\":\"King\","
         "\"middleName\":\"x\"}},{\"op\":\"replace\",\"path\":\"name\",\"value\":"
         "{\"givenName\":\"A\"}},{\"op\":\"remove\",\"path\":\"name.familyName\"}]",
         "{\"userName\":\"ada\",\"active\":true,\"name\":{\"givenName\":\"A\"}}");
    USER("[{\"op\":\"add\",\"path\":\"name.familyName\",\"value\":\"King\"},"
         "{\"op\":\"remove\",\"path\":\"name.familyName\"}]",
         "{\"userName\":\"ada\",\"active\":true}");
    USER("[{\"op\":\"replace\",\"path\":\"displayName\",\"value\":null}]",
         "{\"userName\":\"ada\",\"active\":true}");
    USER("[{\"op\":\"replace\",\"path\":\"title\",\"value\":\"Dr\"},{\"op\":\"Add\",\"path\":"
         "\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager\",\"value\":\"x\"}]",
         "{\"userName\":\"ada\",\"active\":true}");
}

static void
test_lists(void **state)
{
    static const char user[] =
        "{\"userName\":\"ada\",\"emails\":[{\"value\":\"w@x\",\"type\":\"work\",\"primary\":true},"
        "{\"value\":\"h@x\",\"type\":\"home\"}]}";
    (void)state;
    USER("[{\"op\":\"replace\",\"path\":\"emails[type eq \\\"work\\\"].value\",\"value\":\"n@x\"}]",
         "{\"userName\":\"ada\",\"emails\":[{\"value\":\"n@x\",\"type\":\"work\",\"primary\":true},"
         "{\"value\":\"h@x\",\"type\":\"home\"}]}");
    USER("[{\"op\":\"remove\",\"path\":\"emails[value eq \\\"W@X\\\"]\"}]",
         "{\"userName\":\"ada\",\"emails\":[{\"value\":\"h@x\",\"type\":\"home\"}]}");
    USER("[{\"op\":\"remove\",\"path\":\"emails\"}]", "{\"userName\":\"ada\"}");
    USER("[{\"op\":\"remove\",\"path\":\"emails[type pr]\"}]", "{\"userName\":\"ada\"}");
    USER("[{\"op\":\"remove\",\"path\":\"emails.primary\"}]",
         "{\"userName\":\"ada\",\"emails\":[{\"value\":\"w@x\",\"type\":\"work\"},"
         "{\"value\":\"h@x\",\"type\":\"home\"}]}");
    /* a new primary one is the only one */
    USER(
        "[{\"op\":\"add\",\"path\":\"emails\",\"value\":{\"value\":\"o@x\",\"primary\":\"True\"}}]",
        "{\"userName\":\"ada\",\"emails\":[{\"value\":\"w@x\",\"type\":\"work\"},"
        "{\"value\":\"h@x\",\"type\":\"home\"},{\"value\":\"o@x\",\"primary\":true}]}");
    /* what is there is not added again */
    USER("[{\"op\":\"add\",\"path\":\"emails\",\"value\":[{\"value\":\"h@x\"},"
         "{\"value\":\"h@x\",\"type\":\"HOME\"}]}]",
         user);
    /* elements that an `add` names are made */
    USER("[{\"op\":\"Add\",\"path\":\"emails[type eq \\\"other\\\"].value\",\"value\":\"o@x\"}]",
         "{\"userName\":\"ada\",\"emails\":[{\"value\":\"w@x\",\"type\":\"work\",\"primary\":true},"
         "{\"value\":\"h@x\",\"type\":\"home\"},{\"type\":\"other\",\"value\":\"o@x\"}]}");
    USER("[{\"op\":\"replace\",\"path\":\"emails\",\"value\":[\"only@x\"]}]",
         "{\"userName\":\"ada\",\"emails\":[{\"value\":\"only@x\"}]}");
    USER("[{\"op\":\"replace\",\"path\":\"emails\",\"value\":[]}]", "{\"userName\":\"ada\"}");
    USER("[{\"op\":\"add\",\"path\":\"emails[type sw \\\"o\\\"].value\",\"value\":\"o@x\"}]",
         "no_target");
    USER("[{\"op\":\"replace\",\"path\":\"emails[type eq \\\"other\\\"].value\",\"value\":\"o\"}]",
         "no_target");
}

static void
test_members(void **state)
{
    static const char group[] =
        "{\"displayName\":\"g\",\"members\":[{\"value\":\"1\",\"type\":\"User\"},"
        "{\"value\":\"2\",\"type\":\"User\"}]}";
    (void)state;
    GROUP("[{\"op\":\"Add\",\"path\":\"members\",\"value\":[{\"$ref\":null,\"value\":\"3\"},"
          "{\"value\":\"1\"}]}]",
          "{\"displayName\":\"g\",\"members\":[{\"value\":\"1\",\"type\":\"User\"},"
          "{\"value\":\"2\",\"type\":\"User\"},{\"value\":\"3\"}]}");
    GROUP("[{\"op\":\"Remove\",\"path\":\"members\",\"value\":[{\"value\":\"1\"}]}]",
          "{\"displayName\":\"g\",\"members\":[{\"value\":\"2\",\"type\":\"User\"}]}");
    GROUP("[{\"op\":\"remove\",\"path\":\"members[value eq \\\"2\\\"]\"},"
          "{\"op\":\"remove\",\"path\":\"members[value eq \\\"9\\\"]\"}]",
          "{\"displayName\":\"g\",\"members\":[{\"value\":\"1\",\"type\":\"User\"}]}");
    GROUP("[{\"op\":\"remove\",\"path\":\"members\"}]", "{\"displayName\":\"g\"}");
    GROUP(
        "[{\"op\":\"replace\",\"value\":{\"displayName\":\"h\",\"members\":[{\"value\":\"7\"}]}}]",
        "{\"displayName\":\"h\",\"members\":[{\"value\":\"7\"}]}");
}

static void
test_refusals(void **state)
{
    static const char user[] = "{\"userName\":\"ada\",\"active\":true}";
    (void)state;
    USER("[]", "invalid_syntax");
    USER("[{\"path\":\"active\",\"value\":true}]", "invalid_syntax");
    USER("[7]", "invalid_syntax");
    USER("[{\"op\":\"remove\"}]", "no_target");
    USER("[{\"op\":\"add\",\"path\":\"displayName\"}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"nope\",\"value\":1}]", "invalid_path");
    USER("[{\"op\":\"replace\",\"path\":7,\"value\":1}]", "invalid_path");
    USER("[{\"op\":\"replace\",\"path\":\"id\",\"value\":\"x\"}]", "mutability");
    USER("[{\"op\":\"add\",\"path\":\"groups\",\"value\":[{\"value\":\"x\"}]}]", "mutability");
    USER("[{\"op\":\"remove\",\"path\":\"userName\"}]", "invalid_value");
    USER("[{\"op\":\"remove\",\"path\":\"active\"}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"active\",\"value\":null}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"active\",\"value\":\"yes\"}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"displayName\",\"value\":5}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"displayName\",\"value\":[\"x\"]}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"path\":\"name\",\"value\":\"x\"}]", "invalid_value");
    USER("[{\"op\":\"replace\",\"value\":\"x\"}]", "invalid_value");
    USER("[{\"op\":\"add\",\"path\":\"emails\",\"value\":7}]", "invalid_value");
}

static void
test_bounds(void **state)
{
    struct scim_refusal no = {0};
    struct arena a;
    struct json *r = parsed("{\"displayName\":\"g\"}"), *b = json_new_map(), *l = json_new_list();
    (void)state;
    arena_init(&a, 0);
    buf_init(&no.why, 2048);
    for (int i = 0; i <= LIMIT_SCIM_OPERATIONS; i++)
        assert_int_equal(json_append(l, parsed("{\"op\":\"remove\",\"path\":\"members\"}")), 0);
    assert_int_equal(json_set(b, "Operations", json_ref(l)), 0);
    assert_int_equal(scim_patch(&scim_groups, r, b, &a, &no), ERR_SYNTAX);
    json_free(b);
    json_free(l);

    char text[64];
    struct json *members = json_new_list();
    for (int i = 0; i < LIMIT_SCIM_MEMBERS + 1; i++) {
        snprintf(text, sizeof(text), "{\"value\":\"%d\"}", i);
        assert_int_equal(json_append(members, parsed(text)), 0);
        if (i == LIMIT_SCIM_MEMBERS - 1) {
            assert_int_equal(json_set(r, "members", json_ref(members)), 0);
            assert_int_equal(scim_resource_check(&scim_groups, r, &no), 0);
        }
    }
    assert_int_equal(scim_resource_check(&scim_groups, r, &no), ERR_SYNTAX);
    assert_non_null(strstr(buf_str(&no.why), "members: at most 1000"));
    json_free(members);
    json_free(r);
    buf_free(&no.why);
    arena_free(&a);
}

static void
test_whole_resources(void **state)
{
    struct scim_refusal no = {0};
    struct json *in = parsed(
        "{\"USERNAME\":\"ada\",\"id\":\"x\",\"meta\":{},\"password\":\"secret\",\"active\":"
        "\"true\","
        "\"emails\":\"a@x\",\"name\":{\"GivenName\":\"Ada\",\"other\":1},\"groups\":[{\"value\":"
        "\"g\"}],\"displayName\":null,\"urn:x:y\":{\"z\":1}}");
    struct json *out = NULL;
    (void)state;
    buf_init(&no.why, 2048);
    assert_int_equal(scim_resource_read(&scim_users, in, &out, &no), 0);
    same(out, "{\"userName\":\"ada\",\"active\":true,\"emails\":[{\"value\":\"a@x\"}],"
              "\"name\":{\"givenName\":\"Ada\"}}");
    assert_int_equal(scim_resource_check(&scim_users, out, &no), 0);
    assert_int_equal(json_remove(out, "userName"), 0);
    assert_int_equal(scim_resource_check(&scim_users, out, &no), ERR_SYNTAX);
    json_free(in);
    json_free(out);
    buf_free(&no.why);
}

/* ---- items --------------------------------------------------------------------------------------
 */

static void
test_there_and_back(void **state)
{
    struct json *in =
        parsed("{\"userName\":\"Ada L\",\"externalId\":\"e\",\"displayName\":\"D\","
               "\"name\":{\"formatted\":\"F\",\"givenName\":\"G\","
               "\"familyName\":\"H\"},\"active\":false,\"emails\":[{\"value\":\"a@x\","
               "\"type\":\"work\",\"primary\":true}]}");
    struct json *input = scim_input(&scim_users, in, "Ada-L", NULL);
    struct buf why;
    (void)state;
    buf_init(&why, 1024);
    if (item_check(kind_at(KIND_USERS), input, "", &why) != 0)
        fail_msg("%s", buf_str(&why));
    struct item item = {.name = (char *)(uintptr_t) "Ada-L",
                        .id = "01a21a04-6ebf-7446-938e-c0ea374c3e41",
                        .revision = 7,
                        .created_at = "2026-11-26T10:00:00.000Z",
                        .updated_at = "2026-11-26T11:00:00.000Z",
                        .body = item_body(kind_at(KIND_USERS), input)};
    assert_true(scim_is_provisioned(item.body));
    assert_true(slice_is(scim_title(&item), "Ada L"));
    struct json *view = scim_view(&scim_users, &item);
    same(
        view,
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],"
        "\"id\":\"01a21a04-6ebf-7446-938e-c0ea374c3e41\",\"userName\":\"Ada L\","
        "\"externalId\":\"e\",\"displayName\":\"D\",\"name\":{\"formatted\":\"F\","
        "\"givenName\":\"G\",\"familyName\":\"H\"},\"active\":false,\"emails\":[{\"value\":\"a@x\","
        "\"type\":\"work\",\"primary\":true}],\"meta\":{\"resourceType\":\"User\","
        "\"created\":\"2026-11-26T10:00:00.000Z\",\"lastModified\":\"2026-11-26T11:00:00.000Z\","
        "\"location\":\"/scim/v2/Users/01a21a04-6ebf-7446-938e-c0ea374c3e41\","
        "\"version\":\"\\\"7\\\"\"}}");
    /* what a PUT does not say of a disabled user does not enable it; its teams stay */
    struct json *stored = parsed("{\"disabled\":true,\"teams\":[\"t\"],\"provisioned\":true}");
    struct json *put = parsed("{\"userName\":\"Ada-L\"}");
    struct json *again = scim_input(&scim_users, put, "Ada-L", stored);
    same(again, "{\"name\":\"Ada-L\",\"teams\":[\"t\"],\"disabled\":true,\"provisioned\":true,"
                "\"scim\":{}}");
    json_free(again);
    json_free(put);
    json_free(stored);
    json_free(view);
    json_free(item.body);
    json_free(input);
    json_free(in);
    buf_free(&why);
}

static void
test_names(void **state)
{
    static const struct {
        const char *title, *name;
    } cases[] = {
        {"ada@example.com", "ada@example.com"},
        {"Engineering Team", "Engineering-Team"},
        {"o'brien#EXT#@x", "o-brien-EXT-@x"},
        {"  -- x --  y", "x---y"},
        {"Zo\xc3\xab", "Zo-"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "group"},
        {"01a21a04-6ebf-7446-938e-c0ea374c3e41", "01a21a04-6ebf-7446-938e-c0ea374c3e41-group"}};
    char longest[301];
    const char *why;
    struct buf name;
    (void)state;
    buf_init(&name, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buf_clear(&name);
        assert_int_equal(scim_item_name(&scim_groups, slice_of(cases[i].title), &name), 0);
        assert_string_equal(buf_str(&name), cases[i].name);
        assert_true(kind_name_ok(kind_at(KIND_GROUPS), buf_slice(&name), &why));
    }
    memset(longest, 'a', 300);
    buf_clear(&name);
    assert_int_equal(scim_item_name(&scim_users, slice_make(longest, 300), &name), 0);
    assert_int_equal(name.len, 100);
    buf_free(&name);
}

static void
test_selection(void **state)
{
    struct json *r = parsed("{\"schemas\":[\"u\"],\"id\":\"1\",\"userName\":\"a\",\"active\":true,"
                            "\"emails\":[{\"value\":\"x\",\"type\":\"work\"}],"
                            "\"name\":{\"givenName\":\"g\",\"familyName\":\"f\"}}");
    static const struct {
        const char *names;
        bool exclude;
        const char *want;
    } cases[] = {
        {"[\"USERNAME\"]", false, "{\"schemas\":[\"u\"],\"id\":\"1\",\"userName\":\"a\"}"},
        {"[\"emails.value\",\"name.givenName\",\"nope\"]", false,
         "{\"schemas\":[\"u\"],\"id\":\"1\",\"name\":{\"givenName\":\"g\"},"
         "\"emails\":[{\"value\":\"x\"}]}"},
        {"[\"id\",\"schemas\",\"emails\",\"name.givenName\"]", true,
         "{\"schemas\":[\"u\"],\"id\":\"1\",\"userName\":\"a\",\"name\":{\"familyName\":\"f\"},"
         "\"active\":true}"},
        {"[\"urn:ietf:params:scim:schemas:core:2.0:User:active\"]", false,
         "{\"schemas\":[\"u\"],\"id\":\"1\",\"active\":true}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json *names = parsed(cases[i].names);
        struct json *out = scim_select(&scim_users, r, names, cases[i].exclude);
        same(out, cases[i].want);
        json_free(out);
        json_free(names);
    }
    json_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple_values),  cmocka_unit_test(test_lists),
        cmocka_unit_test(test_members),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bounds),         cmocka_unit_test(test_whole_resources),
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_names),
        cmocka_unit_test(test_selection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
