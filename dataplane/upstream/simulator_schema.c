#include "dataplane/upstream/simulator_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_SCHEMA_DEPTH 24 /* a schema may refer to itself */
#define LIMIT_ITEMS 64

struct maker {
    const struct json *root;
    struct buf *into;
    unsigned depth;
};

static int make(struct maker *m, const struct json *schema);

static int64_t
bound(const struct json *schema, const char *name, int64_t otherwise)
{
    int64_t n;
    struct json *value = json_get(schema, name);
    return value && json_to_int(value, &n) == 0 ? n : otherwise;
}

/* "#/$defs/place" in the schema's own document; NULL when it leads nowhere. */
static const struct json *
follow(const struct maker *m, struct slice ref)
{
    const struct json *at = m->root;
    char name[256];
    if (ref.len == 0 || ref.at[0] != '#')
        return NULL;
    ref = slice_from(ref, 1);
    slice_cut(&ref, '/');
    while (at && ref.len) {
        struct slice part = slice_cut(&ref, '/');
        if (part.len >= sizeof(name))
            return NULL;
        memcpy(name, part.at, part.len);
        name[part.len] = '\0';
        at = json_get(at, name);
    }
    return at;
}

/* --- texts and numbers ------------------------------------------------------------------------ */

static int
make_text(struct maker *m, const struct json *schema)
{
    static const struct {
        const char *format, *text;
    } formats[] = {
        {"date-time", "2026-01-01T00:00:00Z"},
        {"date", "2026-01-01"},
        {"time", "00:00:00Z"},
        {"email", "someone@example.com"},
        {"uri", "https://example.com/"},
        {"uuid", "00000000-0000-4000-8000-000000000000"},
        {"ipv4", "192.0.2.1"},
        {"ipv6", "2001:db8::1"},
        {"hostname", "example.com"},
    };
    struct slice format = json_str(json_get(schema, "format"));
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (format.at && slice_is(format, formats[i].format))
            return buf_addf(m->into, "\"%s\"", formats[i].text);
    char text[257];
    int64_t least = bound(schema, "minLength", 0), most = bound(schema, "maxLength", 9);
    int64_t n = least > 9 ? least : most < 9 ? most : 9;
    if (n > 256)
        n = 256;
    for (int64_t i = 0; i < n; i++)
        text[i] = "simulated"[i % 9];
    text[n < 0 ? 0 : n] = '\0';
    return buf_addf(m->into, "\"%s\"", text);
}

/* The smallest allowed number that is not below 1, or the largest allowed one. */
static int
make_number(struct maker *m, const struct json *schema)
{
    int64_t n = 1, step = bound(schema, "multipleOf", 1);
    int64_t least = bound(schema, "minimum", bound(schema, "exclusiveMinimum", 0) + 1);
    int64_t most = bound(schema, "maximum", bound(schema, "exclusiveMaximum", INT64_MAX));
    if (json_get(schema, "exclusiveMaximum") && !json_get(schema, "maximum"))
        most--;
    if (json_get(schema, "minimum") || json_get(schema, "exclusiveMinimum"))
        n = least > n ? least : n;
    if (n > most)
        n = most;
    if (step > 1 && n % step)
        n += step - n % step;
    return buf_addf(m->into, "%lld", (long long)n);
}

/* --- lists and maps --------------------------------------------------------------------------- */

static int
make_list(struct maker *m, const struct json *schema)
{
    int64_t n = bound(schema, "minItems", 1), most = bound(schema, "maxItems", INT64_MAX);
    const struct json *fixed = json_get(schema, "prefixItems");
    if (n < 1)
        n = 1;
    if ((int64_t)json_size(fixed) > n)
        n = (int64_t)json_size(fixed);
    if (n > most)
        n = most;
    if (n > LIMIT_ITEMS)
        n = LIMIT_ITEMS;
    int err = buf_add_str(m->into, "[");
    for (int64_t i = 0; i < n && !err; i++) {
        const struct json *item = json_at(fixed, (size_t)i);
        if (i)
            err = buf_add_str(m->into, ",");
        if (!err)
            err = make(m, item ? item : json_get(schema, "items"));
    }
    return err ? err : buf_add_str(m->into, "]");
}

static bool
is_required(const struct json *schema, const char *name)
{
    const struct json *required = json_get(schema, "required");
    for (size_t i = 0; i < json_size(required); i++)
        if (slice_is(json_str(json_at(required, i)), name))
            return true;
    return false;
}

/* All properties; near the depth's end only those that are required, so that recursion ends. */
static int
make_map(struct maker *m, const struct json *schema)
{
    struct json *properties = json_get(schema, "properties"), *value;
    const char *name, *comma = "";
    void *iter = NULL;
    int err = buf_add_str(m->into, "{");
    while (!err && json_each(properties, &iter, &name, &value)) {
        if (m->depth > LIMIT_SCHEMA_DEPTH / 4 && !is_required(schema, name))
            continue;
        err = buf_add_str(m->into, comma);
        if (!err)
            err = json_quote(m->into, slice_of(name));
        if (!err)
            err = buf_add_str(m->into, ":");
        if (!err)
            err = make(m, value);
        comma = ",";
    }
    return err ? err : buf_add_str(m->into, "}");
}

/* --- any -------------------------------------------------------------------------------------- */

/* "string", or the first that is not "null" of a list of types. */
static struct slice
type_of(const struct json *schema)
{
    const struct json *type = json_get(schema, "type");
    if (json_kind(type) != JSON_LIST)
        return json_str(type);
    for (size_t i = 0; i < json_size(type); i++)
        if (!slice_is(json_str(json_at(type, i)), "null"))
            return json_str(json_at(type, i));
    return SLICE("null");
}

static int
make_untyped(struct maker *m, const struct json *schema)
{
    if (json_get(schema, "properties"))
        return make_map(m, schema);
    if (json_get(schema, "items"))
        return make_list(m, schema);
    return buf_add_str(m->into, "\"simulated\"");
}

static int
make_typed(struct maker *m, const struct json *schema)
{
    struct slice type = type_of(schema);
    if (!type.at)
        return make_untyped(m, schema);
    if (slice_is(type, "string"))
        return make_text(m, schema);
    if (slice_is(type, "integer") || slice_is(type, "number"))
        return make_number(m, schema);
    if (slice_is(type, "boolean"))
        return buf_add_str(m->into, "true");
    if (slice_is(type, "array"))
        return make_list(m, schema);
    if (slice_is(type, "object"))
        return make_map(m, schema);
    return buf_add_str(m->into, "null");
}

/* The branch of anyOf, oneOf or allOf to follow, or NULL. */
static const struct json *
branch_of(const struct json *schema)
{
    static const char *const names[] = {"anyOf", "oneOf", "allOf"};
    for (size_t i = 0; i < 3; i++) {
        const struct json *list = json_get(schema, names[i]);
        for (size_t k = 0; k < json_size(list); k++)
            if (!slice_is(json_str(json_get(json_at(list, k), "type")), "null"))
                return json_at(list, k);
    }
    return NULL;
}

static int
make(struct maker *m, const struct json *schema)
{
    struct slice ref = json_str(json_get(schema, "$ref"));
    const struct json *fixed = json_get(schema, "const"), *branch = branch_of(schema);
    if (!fixed)
        fixed = json_at(json_get(schema, "enum"), 0);
    if (!fixed)
        fixed = json_get(schema, "default");
    if (m->depth >= LIMIT_SCHEMA_DEPTH)
        return buf_add_str(m->into, "null");
    m->depth++;
    int err;
    if (ref.at)
        err = make(m, follow(m, ref));
    else if (fixed)
        err = json_write(fixed, false, 0, m->into);
    else if (branch && !json_get(schema, "properties"))
        err = make(m, branch);
    else
        err = make_typed(m, schema);
    m->depth--;
    return err;
}

int
simulator_schema_write(const struct json *schema, struct buf *into)
{
    struct maker m = {.root = schema, .into = into};
    return schema ? make(&m, schema) : buf_add_str(into, "{}");
}
