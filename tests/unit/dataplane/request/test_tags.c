/* Tags of a request, as its fields and its metadata give them. */
#include "dataplane/request/tags.h"

#include "tests/unit/check.h"

static struct arena arena;
static struct http_field fields[32];
static struct http_head head;
static struct tag_set *set;
static struct tag_refusal why;

static int
set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    head = (struct http_head){.fields = fields};
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void
give(const char *name, const char *value)
{
    fields[head.count++] = (struct http_field){.name = slice_of(name), .value = slice_of(value)};
}

/* "a=1 b=2 " of what is read; or the refusal. */
static const char *
read_all(void)
{
    static char text[16384];
    int err = tags_read_head(&head, &arena, &set, &why);

    head.count = 0;
    if (err)
        return why.message;
    text[0] = '\0';
    for (size_t i = 0; set && i < set->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s=%.*s ",
                 SLICE_ARG(set->at[i].name), SLICE_ARG(set->at[i].value));
    return text;
}

static const char *
read_one(const char *name, const char *value)
{
    give(name, value);
    return read_all();
}

static void
test_nothing(void **state)
{
    (void)state;
    give("host", "a");
    give("x-request-id", "b");
    give("content-type", "application/json");
    assert_string_equal(read_all(), "");
    assert_null(set);
}

static void
test_forms(void **state)
{
    (void)state;
    assert_string_equal(read_one("x-headgate-tags", "feature=chat, env = prod ,empty="),
                        "feature=chat env=prod empty= ");
    assert_string_equal(read_one("x-headgate-tags", "a=b=c"), "a=b=c ");
    assert_string_equal(read_one("x-headgate-tags", "{\"a\":\"x, y\",\"n\":1.5,\"t\":true}"),
                        "a=x, y n=1.5 t=true ");
    assert_string_equal(read_one("x-litellm-tags", "beta,team:red, k=v"),
                        "beta=true team=red k=v ");
    assert_string_equal(read_one("x-litellm-spend-logs-metadata", "{\"a\":\"1\"}"), "a=1 ");
    assert_string_equal(read_one("x-portkey-metadata", "{\"a\":\"1\",\"_user\":\"ada\"}"), "a=1 ");
    assert_slice_is(set->end_user, "ada");
    assert_string_equal(read_one("x-tfy-metadata", "{\"a\":\"\\u00e4\"}"), "a=\xc3\xa4 ");
    assert_string_equal(read_one("cf-aig-metadata", "{\"a\":false}"), "a=false ");
    assert_string_equal(read_one("helicone-property-session", "s 1"), "session=s 1 ");
    assert_string_equal(read_one("helicone-user-id", "u1"), "");
    assert_slice_is(set->end_user, "u1");
    assert_string_equal(read_one("x-litellm-end-user-id", "u2"), "");
    assert_slice_is(set->end_user, "u2");
    assert_string_equal(read_one("x-litellm-customer-id", "u3"), "");
    assert_slice_is(set->end_user, "u3");
}

static void
test_ours_counts_first(void **state)
{
    (void)state;
    give("cf-aig-metadata", "{\"a\":\"theirs\",\"b\":\"2\"}");
    give("x-headgate-tags", "a=ours");
    give("x-headgate-tags", "c=3");
    assert_string_equal(read_all(), "a=ours c=3 b=2 ");
}

static void
test_refusals(void **state)
{
    static const char *const bad[][2] = {
        {"x-headgate-tags", "a"},
        {"x-headgate-tags", "=v"},
        {"x-headgate-tags", "a=1,"},
        {"x-headgate-tags", "a b=1"},
        {"x-headgate-tags", "a=1,a=1"},
        {"x-headgate-tags", "a=\xff"},
        {"x-headgate-tags", "{\"a\":null}"},
        {"x-headgate-tags", "{\"a\":{}}"},
        {"x-headgate-tags", "{\"a\":[]}"},
        {"x-headgate-tags", "{\"a\":\"1\",\"a\":\"1\"}"},
        {"x-headgate-tags", "{\"a\":\"1\""},
        {"x-headgate-tags", "{\"a\":\"\\n\"}"},
        {"x-litellm-tags", "a,,b"},
        {"x-litellm-spend-logs-metadata", "a=1"},
        {"x-portkey-metadata", "[]"},
        {"x-portkey-metadata", "{\"_user\":\"\"}"},
        {"x-tfy-metadata", "\"a\""},
        {"cf-aig-metadata", "1"},
        {"helicone-property-", "v"},
        {"helicone-user-id", "\x01"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *said = read_one(bad[i][0], bad[i][1]);
        if (strncmp(said, bad[i][0], strlen(bad[i][0])) != 0 || said[strlen(bad[i][0])] != ':')
            fail_msg("%s: %s: %s", bad[i][0], bad[i][1], said);
    }
    give("x-headgate-tags", "a=1");
    give("x-headgate-tags", "a=2"); /* two lines of one list */
    assert_non_null(strstr(read_all(), "twice"));
}

static void
test_limits(void **state)
{
    char text[1024] = "";

    (void)state;
    memset(text, 'n', LIMIT_TAG_NAME_BYTES);
    strncpy(text + LIMIT_TAG_NAME_BYTES, "=v", 3);
    assert_int_equal(strlen(read_one("x-headgate-tags", text)), LIMIT_TAG_NAME_BYTES + 3);
    memmove(text + 1, text, LIMIT_TAG_NAME_BYTES + 3);
    assert_non_null(strstr(read_one("x-headgate-tags", text), "a tag's name"));
    memset(text, 'v', sizeof(text));
    memcpy(text, "a=", 2);
    text[2 + LIMIT_TAG_VALUE_BYTES] = '\0';
    assert_int_equal(strlen(read_one("x-headgate-tags", text)), 2 + LIMIT_TAG_VALUE_BYTES + 1);
    text[2 + LIMIT_TAG_VALUE_BYTES] = 'v';
    text[3 + LIMIT_TAG_VALUE_BYTES] = '\0';
    assert_non_null(strstr(read_one("x-headgate-tags", text), "a tag's value"));
    give("x-headgate-tags", "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1");
    read_all();
    assert_int_equal(set->count, LIMIT_REQUEST_TAGS);
    give("x-headgate-tags", "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1,l=1,m=1,n=1,o=1,p=1");
    give("helicone-property-q", "1");
    assert_string_equal(read_all(), "helicone-property-q: a request has at most 16 tags");
}

/* Of metadata only what can be a tag is one: the rest is the provider's business. */
static void
test_metadata(void **state)
{
    struct tag_set *own = NULL;

    (void)state;
    assert_int_equal(
        tags_add_metadata(SLICE("{\"n\":1,\"l\":[\"a\"],\"a b\":\"x\"}"), &arena, &own), 0);
    assert_null(own);
    read_one("x-headgate-tags", "a=field");
    assert_int_equal(
        tags_add_metadata(SLICE("{\"a\":\"body\",\"b\":\"2\",\"c\":\"\\u0001\"}"), &arena, &set),
        0);
    assert_int_equal(set->count, 2);
    assert_slice_is(set->at[0].value, "field");
    assert_slice_is(set->at[1].name, "b");
    for (int i = 0; i < 20; i++) {
        char map[32];
        snprintf(map, sizeof(map), "{\"m%d\":\"\"}", i);
        assert_int_equal(tags_add_metadata(slice_of(map), &arena, &set), 0);
        set->at[set->count - 1].name = arena_copy(&arena, set->at[set->count - 1].name);
    }
    assert_int_equal(set->count, LIMIT_REQUEST_TAGS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ours_counts_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_metadata, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
