/* docs/openapi.yaml says of each member of a body what the tables enforce of it: types, bounds,
 * values, patterns, and what is needed. All that differs is printed. test_fields.c holds the
 * patterns to the checks. */
#include "controlplane/api/dispatch.h"
#include "controlplane/api/litellm_tables.h"
#include "controlplane/rules/fields.h"
#include "controlplane/rules/item.h"
#include "tests/unit/controlplane/api/openapi.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static size_t differences;

/* What stands behind a $ref, or the node itself. */
static struct json *
resolved(struct json *node)
{
    struct slice ref = json_str(json_get(node, "$ref"));
    char name[128];
    if (!ref.at)
        return node;
    assert_true(slice_starts(ref, SLICE("#/")));
    struct json *found = document;
    for (struct slice rest = slice_from(ref, 2); rest.len > 0;) {
        struct slice part = slice_cut(&rest, '/');
        snprintf(name, sizeof(name), "%.*s", SLICE_ARG(part));
        found = json_get(found, name);
    }
    return found;
}

/* Of what may be one thing or a list of them, the list. */
static struct json *
list_of(struct json *schema)
{
    const struct json *any = json_get(schema, "anyOf");
    for (size_t i = 0; !json_get(schema, "type") && i < json_size(any); i++)
        if (slice_is(json_str(json_get(json_at(any, i), "type")), "array"))
            return json_at(any, i);
    return schema;
}

/* --- one schema against what its table says --------------------------------------------------- */

enum body {
    WHOLE,  /* of an item, or a call */
    PATCH,  /* of an item (RFC 7396): nothing is needed, null removes what is not */
    LITELLM /* null is nothing; members without a counterpart are another table's matter */
};
struct at {
    char path[256];
    enum body body;
    bool sized; /* rules/item.h bounds its lists and maps */
    bool null;  /* it may be null */
};

static void
differ(const struct at *at, const char *keyword, const struct json *got, const struct json *want)
{
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(buf_addf(&text, "%s: %s is ", at->path, keyword), 0);
    assert_int_equal(got ? json_write(got, false, 0, &text) : buf_add_str(&text, "absent"), 0);
    assert_int_equal(buf_add_str(&text, ", and enforced is "), 0);
    assert_int_equal(want ? json_write(want, false, 0, &text) : buf_add_str(&text, "nothing"), 0);
    print_message("%s\n", buf_str(&text));
    buf_free(&text);
    differences++;
}

static bool
has(const struct json *list, struct slice text)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (slice_eq(json_str(json_at(list, i)), text))
            return true;
    return false;
}

static bool
has_null(const struct json *list)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (json_kind(json_at(list, i)) == JSON_NULL_)
            return true;
    return false;
}

/* Whether all texts of a, a text or a list of texts, but `except` are in b. */
static bool
within(struct json *a, struct json *b, const char *except)
{
    struct json *lists[2];
    bool all = true;
    for (int i = 0; i < 2; i++) {
        struct json *one = i == 0 ? a : b;
        lists[i] = json_kind(one) == JSON_LIST ? json_ref(one) : json_new_list();
        if (json_kind(one) == JSON_TEXT)
            assert_int_equal(json_append(lists[i], json_ref(one)), 0);
    }
    for (size_t i = 0; i < json_size(lists[0]); i++) {
        struct slice text = json_str(json_at(lists[0], i));
        all = all && (!text.at || slice_is(text, except) || has(lists[1], text));
    }
    json_free(lists[0]);
    json_free(lists[1]);
    return all;
}

static void
compare_types(const struct at *at, struct json *got, struct json *want)
{
    struct json *type = json_get(got, "type"), *wanted = json_get(want, "type");
    struct json *values = json_get(got, "enum"), *allowed = json_get(want, "enum");
    bool null = has(type, SLICE("null")) || (!type && has_null(values));
    if (wanted && (!within(type, wanted, "null") || !within(wanted, type, "null")))
        differ(at, "type", type, wanted);
    if ((at->body != LITELLM && null != at->null) || (values && type && null != has_null(values)))
        differ(at, at->null ? "null, that is allowed," : "null, that is not allowed,", type,
               wanted);
    if (json_size(values) - has_null(values) != json_size(allowed) || !within(allowed, values, ""))
        differ(at, "enum", values, allowed);
}

/* How many a list or map may have: by its row, or by its kind where items are checked. */
static size_t
most_of(const struct at *at, const struct json *want, const char *keyword)
{
    const struct json *given = json_get(want, keyword), *items = json_get(want, "items");
    int64_t n;
    if (given) {
        assert_int_equal(json_to_int(given, &n), 0);
        return (size_t)n;
    }
    if (at->body == LITELLM)
        return items && strcmp(keyword, "maxItems") == 0 ? LIMIT_SHIM_ITEMS : 0;
    if (!at->sized || json_get(want, "properties"))
        return 0;
    if (strcmp(keyword, "maxItems") == 0)
        return !items ? 0 : json_get(items, "properties") ? LIMIT_TARGETS : LIMIT_TEXTS;
    return slice_is(json_str(json_get(want, "type")), "object") ? LIMIT_TAGS : 0;
}

static void
compare_bounds(const struct at *at, const struct json *got, const struct json *want)
{
    static const char *const keywords[] = {"minLength", "maxLength", "minimum", "maximum",
                                           "pattern"};
    static const char *const sizes[] = {"maxItems", "maxProperties"};
    for (size_t i = 0; i < COUNT(keywords); i++) {
        struct json *a = json_get(got, keywords[i]), *b = json_get(want, keywords[i]);
        if (a || b)
            if (!a || !b || !json_equal(a, b))
                differ(at, keywords[i], a, b);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t most = most_of(at, want, sizes[i]);
        struct json *a = json_get(got, sizes[i]), *b = most ? json_new_int((int64_t)most) : NULL;
        if ((a || b) && (!a || !b || !json_equal(a, b)))
            differ(at, sizes[i], a, b);
        json_free(b);
    }
}

static void compare(const struct at *at, struct json *schema, struct json *want);

static struct at
inside(const struct at *at, const char *between, const char *name, bool null)
{
    struct at in = *at;
    snprintf(in.path, sizeof(in.path), "%s%s%s", at->path, between, name);
    in.null = null;
    return in;
}

static void
compare_members(const struct at *at, struct json *got, struct json *want)
{
    struct json *members = json_get(got, "properties"), *table = json_get(want, "properties");
    struct json *needed = json_get(want, "required"), *member;
    void *iter = NULL;
    const char *name;
    while (json_each(table, &iter, &name, &member)) {
        if (at->body == PATCH && strcmp(name, "name") == 0 && !json_get(members, name))
            continue; /* names do not change */
        struct at in = inside(at, ".", name, at->body == PATCH && !has(needed, slice_of(name)));
        if (json_get(members, name))
            compare(&in, json_get(members, name), member);
        else
            differ(&in, "it", NULL, member);
    }
    for (iter = NULL; at->body != LITELLM && json_each(members, &iter, &name, &member);) {
        struct at in = inside(at, ".", name, false);
        if (!json_get(table, name) && !json_is_true(json_get(member, "readOnly")))
            differ(&in, "it", member, NULL);
    }
    if (at->body == PATCH ? json_size(json_get(got, "required")) > 0
                          : !within(json_get(got, "required"), needed, "") ||
                                !within(needed, json_get(got, "required"), ""))
        differ(at, "required", json_get(got, "required"), needed);
    if (at->body != LITELLM && json_kind(json_get(got, "additionalProperties")) != JSON_FALSE_)
        differ(at, "additionalProperties", json_get(got, "additionalProperties"),
               json_get(want, "additionalProperties"));
}

/* Whether a list of a call is one of items, whose schema test_items() looks at. */
static bool
is_named(const struct at *at, const struct json *items, const struct json *want)
{
    struct slice noun = json_str(json_get(want, "title"));
    char ref[128] = "";
    if (at->sized || !noun.len)
        return false;
    snprintf(ref, sizeof(ref), "#/components/schemas/%c%.*sInput", noun.at[0] & ~0x20,
             (int)noun.len - 1, noun.at + 1);
    return slice_is(json_str(json_get(items, "$ref")), ref);
}

static void
compare(const struct at *at, struct json *schema, struct json *want)
{
    struct json *got = list_of(resolved(schema)), *each = json_get(want, "additionalProperties");
    compare_types(at, got, want);
    compare_bounds(at, got, want);
    if (json_get(want, "properties")) {
        compare_members(at, got, want);
    } else if (each) {
        struct at in = inside(at, ".", "*", at->body == PATCH);
        compare(&in, json_get(got, "additionalProperties"), each);
    }
    if (json_get(want, "items") && !is_named(at, json_get(got, "items"), json_get(want, "items"))) {
        struct at in = inside(at, "[]", "", false);
        in.body = at->body == PATCH ? WHOLE : at->body; /* a patch replaces lists whole */
        compare(&in, json_get(got, "items"), json_get(want, "items"));
    }
}

static void
compare_table(const char *name, struct json *schema, const struct field_table *table,
              enum body body, bool sized)
{
    struct at at = {.body = body, .sized = sized};
    struct json *want = json_schema(table, field_pattern);
    snprintf(at.path, sizeof(at.path), "%s", name);
    assert_non_null(want);
    if (schema)
        compare(&at, schema, want);
    else
        differ(&at, "it", NULL, want);
    json_free(want);
}

static struct json *
component(const char *name)
{
    return json_get(json_get(json_get(document, "components"), "schemas"), name);
}

/* --- the bodies ------------------------------------------------------------------------------- */

static void
test_items(void **state)
{
    (void)state;
    differences = 0;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        char name[64];
        for (int patch = 0; patch < 2; patch++) {
            snprintf(name, sizeof(name), "%c%s%s", kinds[i].noun[0] & ~0x20, kinds[i].noun + 1,
                     patch ? "Patch" : "Input");
            compare_table(name, component(name), kinds[i].fields, patch ? PATCH : WHOLE, true);
        }
    }
    assert_int_equal(differences, 0);
}

static struct json *
body_of(const struct route *r)
{
    struct json *operation = json_get(json_get(json_get(document, "paths"), r->path), "post");
    return json_get(
        json_get(json_get(json_get(operation, "requestBody"), "content"), "application/json"),
        "schema");
}

static bool
is_of_a_kind(const struct field_table *table)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].fields == table)
            return true;
    return false;
}

static void
test_calls(void **state)
{
    size_t calls = 0;
    (void)state;
    differences = 0;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        if (!r->body || r->body == &api_any_object || is_of_a_kind(r->body))
            continue;
        compare_table(r->path, body_of(r), r->body, WHOLE, false);
        calls++;
    }
    assert_int_equal(differences, 0);
    assert_true(calls >= 8);
}

static void
test_litellms_calls(void **state)
{
    static const struct {
        const char *path;
        const struct field_table *table;
    } calls[] = {
        {"/key/generate", &litellm_key_fields},
        {"/key/update", &litellm_key_update_fields},
        {"/key/delete", &litellm_key_delete_fields},
        {"/key/block", &litellm_one_key_fields},
        {"/key/unblock", &litellm_one_key_fields},
        {"/key/regenerate", &litellm_one_key_fields},
        {"/key/{key}/regenerate", &api_any_object}, /* the key is in the path */
        {"/team/new", &litellm_team_fields},
        {"/team/update", &litellm_team_update_fields},
        {"/team/delete", &litellm_team_delete_fields},
        {"/team/block", &litellm_one_team_fields},
        {"/team/unblock", &litellm_one_team_fields},
        {"/team/member_add", &litellm_member_add_fields},
        {"/team/member_delete", &litellm_member_delete_fields},
        {"/user/new", &litellm_user_fields},
        {"/user/update", &litellm_user_update_fields},
        {"/user/delete", &litellm_user_delete_fields},
    };
    (void)state;
    differences = 0;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        size_t k = 0;
        if (!(r->access & API_LITELLM) || strcmp(r->method, "POST") != 0)
            continue;
        while (k < COUNT(calls) && strcmp(calls[k].path, r->path) != 0)
            k++;
        if (k == COUNT(calls))
            fail_msg("%s: which table has its body?", r->path);
        compare_table(r->path, body_of(r), calls[k].table, LITELLM, false);
    }
    assert_int_equal(differences, 0);
}

/* Parameters that every call reads in the same way. */
static void
test_parameters(void **state)
{
    static const struct field_row rows[] = {
        {.name = "limit", .kind = FIELD_INT, .min = 1, .max = LIMIT_PAGE_ITEMS},
        {.name = "from", .kind = FIELD_TIME},
        {.name = "to", .kind = FIELD_TIME},
    };
    size_t seen = 0;
    (void)state;
    differences = 0;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        struct json *operation = json_get(json_get(json_get(document, "paths"), r->path), "get");
        struct json *list = json_get(operation, "parameters");
        for (size_t k = 0; k < COUNT(rows) && strcmp(r->method, "GET") == 0; k++) {
            const struct field_table table = {.noun = "parameter", .rows = &rows[k], .count = 1};
            struct json *want = json_schema(&table, field_pattern);
            for (size_t p = 0; p < json_size(list); p++) {
                struct json *one = resolved(json_at(list, p));
                struct at at = {.body = WHOLE};
                if (!slice_is(json_str(json_get(one, "name")), rows[k].name))
                    continue;
                snprintf(at.path, sizeof(at.path), "%s?%s", r->path, rows[k].name);
                compare(&at, json_get(one, "schema"),
                        json_get(json_get(want, "properties"), rows[k].name));
                seen++;
            }
            json_free(want);
        }
    }
    assert_int_equal(differences, 0);
    assert_true(seen > 30);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_litellms_calls),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
