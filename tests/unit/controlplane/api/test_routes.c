/* The route table and docs/openapi.yaml say the same: neither can change alone. And matching. */
#include "controlplane/api/dispatch.h"
#include "controlplane/rules/kinds.h"
#include "tests/unit/controlplane/api/openapi.h"

static struct json *
operation_of(const struct route *r)
{
    char method[16];
    snprintf(method, sizeof(method), "%s", r->method);
    for (char *c = method; *c; c++)
        *c = (char)(*c | 0x20);
    return json_get(json_get(json_get(document, "paths"), r->path), method);
}

/* A parameter, behind its $ref where it has one. */
static struct json *
resolved(struct json *parameter)
{
    struct slice ref = json_str(json_get(parameter, "$ref"));
    if (!ref.at)
        return parameter;
    const char *name = strrchr(ref.at, '/') + 1;
    return json_get(json_get(json_get(document, "components"), "parameters"), name);
}

static bool
documents(struct json *operation, const char *in, struct slice name)
{
    const struct json *list = json_get(operation, "parameters");
    for (size_t i = 0; i < json_size(list); i++) {
        struct json *p = resolved(json_at(list, i));
        if (slice_is(json_str(json_get(p, "in")), in) &&
            slice_eq(json_str(json_get(p, "name")), name))
            return true;
    }
    return false;
}

static void
test_every_route_is_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        struct json *op = operation_of(r);
        if (!op)
            fail_msg("%s %s is not in openapi.yaml", r->method, r->path);
        if (strcmp(r->permission, "public") == 0) {
            assert_int_equal(json_kind(json_get(op, "security")), JSON_LIST);
            assert_int_equal(json_size(json_get(op, "security")), 0);
        } else if (!slice_is(json_str(json_get(op, "x-permission")), r->permission)) {
            fail_msg("%s %s: its permission is %s", r->method, r->path, r->permission);
        }
        if ((json_get(op, "requestBody") != NULL) != (r->body != NULL))
            fail_msg("%s %s: its body", r->method, r->path);
        if (!json_str(json_get(op, "summary")).at || json_size(json_get(op, "responses")) < 1)
            fail_msg("%s %s: summary and responses", r->method, r->path);
    }
}

static void
test_every_operation_is_a_route(void **state)
{
    (void)state;
    void *paths = NULL;
    const char *path, *method;
    struct json *operations, *op;
    while (json_each(json_get(document, "paths"), &paths, &path, &operations)) {
        void *iter = NULL;
        while (json_each(operations, &iter, &method, &op)) {
            char upper[16], allow[64];
            struct slice params[4] = {{0}};
            snprintf(upper, sizeof(upper), "%s", method);
            for (char *c = upper; *c; c++)
                *c = (char)(*c & ~0x20);
            const struct route *r =
                api_route_find(true, slice_of(upper), slice_of(path), params, allow, sizeof(allow));
            if (!r || strcmp(r->path, path) != 0)
                fail_msg("%s %s is no route", upper, path);
        }
    }
}

static void
test_query_parameters_are_documented_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        struct json *op = operation_of(r);
        struct slice rest = slice_of(r->query);
        size_t known = 0, documented = 0;
        while (rest.len > 0) {
            struct slice name = slice_cut(&rest, ' ');
            known++;
            if (!documents(op, "query", name))
                fail_msg("%s %s: the query parameter %.*s", r->method, r->path, SLICE_ARG(name));
        }
        const struct json *list = json_get(op, "parameters");
        for (size_t k = 0; k < json_size(list); k++)
            documented += slice_is(json_str(json_get(resolved(json_at(list, k)), "in")), "query");
        if (known != documented)
            fail_msg("%s %s: %zu query parameters, %zu documented", r->method, r->path, known,
                     documented);
        if (strcmp(r->method, "POST") == 0 && strcmp(r->permission, "public") != 0 &&
            !documents(op, "header", SLICE("Idempotency-Key")))
            fail_msg("%s %s: Idempotency-Key", r->method, r->path);
    }
}

/* The members of each kind's input, by its table and by its schema. */
static void
test_schemas_have_the_tables_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%c%sInput", kinds[i].noun[0] & ~0x20, kinds[i].noun + 1);
        struct json *schema = json_get(json_get(json_get(document, "components"), "schemas"), name);
        struct json *members = json_get(schema, "properties");
        assert_int_equal(json_size(members), kinds[i].fields->count);
        for (size_t f = 0; f < kinds[i].fields->count; f++) {
            const struct field_row *row = &kinds[i].fields->rows[f];
            if (!json_get(members, row->name))
                fail_msg("%s has no %s", name, row->name);
            bool required = false;
            const struct json *list = json_get(schema, "required");
            for (size_t k = 0; k < json_size(list); k++)
                required = required || slice_is(json_str(json_at(list, k)), row->name);
            if (required != row->required)
                fail_msg("%s: is %s required?", name, row->name);
        }
    }
}

static void
test_matching(void **state)
{
    (void)state;
    char allow[64];
    struct slice params[4] = {{0}};
    const struct route *r = api_route_find(true, SLICE("GET"), SLICE("/api/v1/teams/a%2Fb"), params,
                                           allow, sizeof(allow));
    assert_string_equal(r->path, "/api/v1/teams/{name}");
    assert_true(slice_is(params[0], "a%2Fb"));
    assert_null(
        api_route_find(true, SLICE("GET"), SLICE("/api/v1/teams/"), params, allow, sizeof(allow)));
    assert_null(api_route_find(true, SLICE("GET"), SLICE("/api/v1/teams/a/b"), params, allow,
                               sizeof(allow)));
    assert_null(api_route_find(true, SLICE("GET"), SLICE(""), params, allow, sizeof(allow)));
    assert_null(
        api_route_find(true, SLICE("TRACE"), SLICE("/api/v1/teams"), params, allow, sizeof(allow)));
    assert_string_equal(allow, "GET, POST");
    /* a word of its own is no id */
    assert_null(api_route_find(false, SLICE("GET"), SLICE("/scim/v2/Users/.search"), params, allow,
                               sizeof(allow)));
    assert_string_equal(allow, "POST");
}

static void
test_percent_decoding(void **state)
{
    (void)state;
    struct arena a;
    struct slice out;
    arena_init(&a, 0);
    assert_int_equal(api_percent_decode(&a, SLICE("a%2Fb+c"), false, &out), 0);
    assert_true(slice_is(out, "a/b+c"));
    assert_int_equal(api_percent_decode(&a, SLICE("a%2fb+c"), true, &out), 0);
    assert_true(slice_is(out, "a/b c"));
    assert_int_equal(api_percent_decode(&a, SLICE("%41"), true, &out), 0);
    assert_true(slice_is(out, "A"));
    static const char *const bad[] = {"%", "%4", "%zz", "%4z", "a%00b", "%ff", "a%C3", "%ed%a0%80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(api_percent_decode(&a, slice_of(bad[i]), true, &out), ERR_SYNTAX);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_documented),
        cmocka_unit_test(test_every_operation_is_a_route),
        cmocka_unit_test(test_query_parameters_are_documented_both_ways),
        cmocka_unit_test(test_schemas_have_the_tables_members),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_percent_decoding),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
