/*
 * Filters, paths and PATCH of SCIM, of any bytes: first line a filter, second a path, the rest a
 * PATCH. Beyond not crashing: what is refused says why; a filter and its negation never agree; what
 * a pin says is true of all that matches; and a patched resource has the schema's attributes only.
 */
#include "controlplane/scim/filter.h"
#include "controlplane/scim/patch.h"
#include "tests/fuzz/fuzz.h"

static const char ada[] =
    "{\"id\":\"1\",\"userName\":\"ada\",\"active\":true,\"externalId\":\"x\","
    "\"name\":{\"familyName\":\"l\"},\"emails\":[{\"value\":\"a@b\",\"type\":\"work\"},"
    "{\"value\":\"c@d\",\"type\":\"home\",\"primary\":true}],"
    "\"meta\":{\"created\":\"2026-11-26T10:00:00.000Z\"}}";

static void
try_filter(struct slice text, const struct json *resource, struct arena *a, struct buf *why)
{
    const struct scim_filter *f;
    int err = scim_filter_parse(&scim_users, text, a, &f, why);
    if (err) {
        CHECK(err == ERR_NOMEM || (err == ERR_SYNTAX && why->len > 0));
        return;
    }
    CHECK(text.len <= LIMIT_SCIM_FILTER);
    const struct scim_filter no = {.op = SCIM_NOT, .left = f};
    bool matches = scim_filter_match(f, resource);
    CHECK(scim_filter_match(&no, resource) == !matches);
    const struct scim_filter *pin = scim_filter_pin(f, "userName");
    CHECK(!pin || (pin->op == SCIM_EQ && pin->kind == JSON_TEXT));
    CHECK(!pin || !matches || slice_eq_nocase(pin->text, SLICE("ada")));
}

static void
try_path(struct slice text, struct arena *a, struct buf *why)
{
    struct scim_path path;
    int err = scim_path_parse(&scim_users, text, a, &path, why);
    CHECK(err == 0 || err == ERR_NOMEM || (err == ERR_SYNTAX && why->len > 0));
    CHECK(err || path.ignored || path.attribute);
}

static void
check_form(struct json *resource)
{
    const char *name;
    void *iter = NULL;
    struct json *value;
    while (json_each(resource, &iter, &name, &value)) {
        const struct scim_attribute *a =
            scim_attribute_find(scim_users.at, scim_users.count, slice_of(name));
        CHECK(a && (json_kind(value) == JSON_LIST) == a->multi);
    }
}

static void
try_patch(struct slice text, struct arena *a, struct buf *why)
{
    struct scim_refusal no = {.why = *why};
    struct json *body = NULL, *resource = NULL, *whole = NULL;
    if (json_parse(text, &body, NULL, 0) == 0) {
        CHECK(json_parse(slice_of(ada), &resource, NULL, 0) == 0);
        int err = scim_patch(&scim_users, resource, body, a, &no);
        CHECK(err != ERR_SYNTAX || (no.code && no.why.len > 0));
        check_form(resource);
        if (scim_resource_read(&scim_users, body, &whole, &no) == 0)
            check_form(whole);
    }
    *why = no.why;
    json_free(whole);
    json_free(resource);
    json_free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice rest = slice_make(data, n);
    struct json *resource = NULL;
    struct arena a;
    struct buf why;
    arena_init(&a, (size_t)4 << 20);
    buf_init(&why, 4096);
    CHECK(json_parse(slice_of(ada), &resource, NULL, 0) == 0);
    try_filter(slice_cut(&rest, '\n'), resource, &a, &why);
    try_path(slice_cut(&rest, '\n'), &a, &why);
    try_patch(rest, &a, &why);
    json_free(resource);
    buf_free(&why);
    arena_free(&a);
    return 0;
}
