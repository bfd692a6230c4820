#include "dataplane/dialects/gemini_schema.h"

#include "dataplane/dialects/gemini_internal.h"
#include "lib/json/doc.h"

#include <ctype.h>
#include <string.h>

/* A schema being converted. */
struct conversion {
    struct json *root; /* what references refer to */
    const char *why;
    unsigned depth;
    size_t nodes;
    /* of every schema; takes apart `from`, fills the map `into` */
    int (*convert)(struct conversion *c, struct json *from, struct json *into);
};

static int
fail(struct conversion *c, int err, const char *why)
{
    if (!c->why)
        c->why = why;
    return err;
}

static int
convert(struct conversion *c, struct json *from, struct json **ret)
{
    *ret = NULL;
    if (c->depth == LIMIT_SCHEMA_DEPTH)
        return fail(c, ERR_DENIED, "is nested too deep, or refers to itself");
    if (c->nodes++ == LIMIT_SCHEMA_NODES)
        return fail(c, ERR_DENIED, "is too large once its references are written out");
    if (json_kind(from) == JSON_TRUE_) {
        *ret = json_new_map(); /* anything */
        return *ret ? 0 : ERR_NOMEM;
    }
    if (json_kind(from) != JSON_MAP)
        return fail(c, ERR_DENIED, "holds a schema that is no object");
    struct json *into = json_new_map();
    if (!into)
        return ERR_NOMEM;
    c->depth++;
    int err = c->convert(c, from, into);
    c->depth--;
    if (err)
        json_free(into);
    else
        *ret = into;
    return err;
}

static int
set_converted(struct conversion *c, struct json *into, const char *name, struct json *schema)
{
    struct json *made;
    int err = convert(c, schema, &made);
    return err ? err : json_set(into, name, made);
}

static int
set_converted_list(struct conversion *c, struct json *into, const char *name, struct json *list)
{
    struct json *made = json_new_list(), *one;
    int err = made ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        err = convert(c, json_at(list, i), &one);
        if (!err)
            err = json_append(made, one);
    }
    if (!err)
        return json_set(into, name, made);
    json_free(made);
    return err;
}

static int
set_converted_map(struct conversion *c, struct json *into, const char *name, struct json *map)
{
    struct json *made = json_new_map(), *v;
    const char *key;
    void *iter = NULL;
    int err = made ? 0 : ERR_NOMEM;
    while (!err && json_each(map, &iter, &key, &v))
        err = set_converted(c, made, key, v);
    if (!err)
        return json_set(into, name, made);
    json_free(made);
    return err;
}

static int
run(struct conversion *c, struct slice text, struct arena *a, struct slice *ret,
    const char **ret_why)
{
    char why[128];
    struct json *made = NULL;
    struct buf out;
    buf_init(&out, 0);
    int err = json_parse(text, &c->root, why, sizeof(why));
    if (!err)
        err = convert(c, c->root, &made);
    if (!err)
        err = json_write(made, false, 0, &out);
    if (!err) {
        *ret = arena_copy(a, buf_slice(&out));
        err = ret->at ? 0 : ERR_NOMEM;
    }
    *ret_why = c->why ? c->why : "is not a schema";
    json_free(made);
    json_free(c->root);
    buf_free(&out);
    return err;
}

static bool
is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* --- Google's to JSON Schema ------------------------------------------------------------------ */

static const char *const types[] = {NULL,      "string", "number", "integer",
                                    "boolean", "array",  "object", "null"};

/* The lower-case name of "STRING", "string" or 1; NULL: none (TYPE_UNSPECIFIED). */
static const char *
type_of(struct json *type)
{
    struct slice word = json_str(type);
    int64_t n;
    if (json_to_int(type, &n) == 0)
        return n > 0 && n < (int64_t)(sizeof(types) / sizeof(types[0])) ? types[n] : NULL;
    for (size_t i = 1; word.at && i < sizeof(types) / sizeof(types[0]); i++)
        if (slice_eq_nocase(word, slice_of(types[i])))
            return types[i];
    return NULL;
}

static int
set_type(struct json *into, const char *type, bool nullable)
{
    if (!nullable)
        return json_set_str(into, "type", type);
    struct json *list = json_new_list();
    int err = json_append(list, json_new_text(slice_of(type)));
    if (!err)
        err = json_append(list, json_new_text(SLICE("null")));
    if (!err)
        return json_set(into, "type", list);
    json_free(list);
    return err;
}

static int
set_enum(struct json *into, struct json *values, bool nullable)
{
    struct json *copy = json_copy(values);
    int err = copy ? 0 : ERR_NOMEM;
    if (!err && nullable)
        err = json_append(copy, json_new_null());
    if (!err)
        return json_set(into, "enum", copy);
    json_free(copy);
    return err;
}

/* Google writes its 64-bit numbers as texts too. */
static int
set_number(struct json *into, const char *name, struct json *v)
{
    int64_t n;
    struct slice digits = json_str(v);
    unsigned long long whole;
    if (digits.at && slice_to_u64(digits, &whole) == 0 && whole <= INT64_MAX)
        return json_set_int(into, name, (int64_t)whole);
    if (json_to_int(v, &n) == 0)
        return json_set_int(into, name, n);
    return json_set(into, name, json_ref(v));
}

static const char *const counts[] = {"minItems",      "maxItems",      "minLength", "maxLength",
                                     "minProperties", "maxProperties", NULL};
static const char *const camel[] = {"minItems",  "maxItems",         "minLength",
                                    "maxLength", "minProperties",    "maxProperties",
                                    "anyOf",     "propertyOrdering", "additionalProperties",
                                    NULL};

static const char *
camel_of(const char *name)
{
    for (size_t i = 0; camel[i]; i++)
        if (gemini_name_is(slice_of(name), camel[i]))
            return camel[i];
    return name;
}

static int
read_member(struct conversion *c, struct json *from, struct json *into, const char *name,
            struct json *v)
{
    bool nullable = json_is_true(json_get(from, "nullable"));
    const char *type;
    if (json_kind(v) == JSON_NULL_ || strcmp(name, "nullable") == 0 ||
        strcmp(name, "propertyOrdering") == 0 || strcmp(name, "example") == 0)
        return 0;
    if (strcmp(name, "type") == 0) {
        type = type_of(v);
        return type ? set_type(into, type, nullable) : 0;
    }
    if (strcmp(name, "enum") == 0 && json_kind(v) == JSON_LIST)
        return set_enum(into, v, nullable);
    if (strcmp(name, "properties") == 0 && json_kind(v) == JSON_MAP)
        return set_converted_map(c, into, name, v);
    if (strcmp(name, "items") == 0)
        return set_converted(c, into, name, v);
    if (strcmp(name, "anyOf") == 0 && json_kind(v) == JSON_LIST)
        return set_converted_list(c, into, name, v);
    if (is_one_of(name, counts))
        return set_number(into, name, v);
    return json_set(into, name, json_ref(v));
}

static int
read_schema(struct conversion *c, struct json *from, struct json *into)
{
    const char *name;
    struct json *v;
    void *iter = NULL;
    int err = 0;
    while (!err && json_each(from, &iter, &name, &v))
        err = read_member(c, from, into, camel_of(name), v);
    return err;
}

int
gemini_schema_read(struct slice google, struct arena *a, struct slice *ret, const char **ret_why)
{
    struct conversion c = {.convert = read_schema};
    int err = run(&c, google, a, ret, ret_why);
    return err == ERR_NOMEM || err == 0 ? err : ERR_SYNTAX;
}

/* --- JSON Schema to Google's ------------------------------------------------------------------ */

/* What both know by the same name. */
static const char *const kept[] = {
    "title",         "description",   "required",  "minimum",          "maximum",
    "minItems",      "maxItems",      "minLength", "maxLength",        "pattern",
    "minProperties", "maxProperties", "nullable",  "propertyOrdering", NULL};
/* What describes and binds nothing. */
static const char *const notes[] = {
    "$schema",     "$id",       "$anchor",         "$comment",         "$defs",
    "definitions", "default",   "examples",        "example",          "deprecated",
    "readOnly",    "writeOnly", "contentEncoding", "contentMediaType", "strict",
    NULL};

/* "#/$defs/Name" of the whole schema. */
static struct json *
referred(struct conversion *c, struct slice ref)
{
    struct json *at = c->root;
    if (ref.len == 0 || ref.at[0] != '#')
        return NULL;
    ref = slice_from(ref, 1);
    if (ref.len && ref.at[0] == '/')
        ref = slice_from(ref, 1);
    while (ref.len && at) {
        char name[128];
        struct slice step = slice_cut(&ref, '/');
        if (step.len >= sizeof(name))
            return NULL;
        memcpy(name, step.at, step.len);
        name[step.len] = '\0';
        at = json_get(at, name);
    }
    return at;
}

static int
merge(struct json *into, struct json *from)
{
    const char *name;
    struct json *v;
    void *iter = NULL;
    int err = 0;
    while (!err && json_each(from, &iter, &name, &v))
        err = json_set(into, name, json_ref(v));
    return err;
}

static int
write_merged(struct conversion *c, struct json *into, struct json *schema)
{
    struct json *made;
    int err = convert(c, schema, &made);
    if (!err)
        err = merge(into, made);
    json_free(made);
    return err;
}

static int
set_upper(struct json *into, struct slice type)
{
    char upper[16];
    size_t n = type.len < sizeof(upper) ? type.len : sizeof(upper) - 1;
    for (size_t i = 0; i < n; i++)
        upper[i] = (char)toupper((unsigned char)type.at[i]);
    return json_set_text(into, "type", slice_make(upper, n));
}

/* ["string","null"]; more types than one become anyOf. */
static int
write_types(struct json *into, struct json *list)
{
    struct json *any = json_new_list(), *one;
    struct slice last = {0};
    size_t n = 0;
    int err = any ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        struct slice type = json_str(json_at(list, i));
        if (slice_is(type, "null")) {
            err = json_set_bool(into, "nullable", true);
            continue;
        }
        last = type;
        n++;
        one = json_new_map();
        err = one ? set_upper(one, type) : ERR_NOMEM;
        if (err)
            json_free(one);
        else
            err = json_append(any, one);
    }
    if (!err && n > 1)
        return json_set(into, "anyOf", any);
    json_free(any);
    return !err && n == 1 ? set_upper(into, last) : err;
}

/* Google's enums are texts. */
static int
write_enum(struct conversion *c, struct json *into, struct json *values)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(values) && !err; i++) {
        struct json *v = json_at(values, i);
        if (json_kind(v) == JSON_NULL_)
            err = json_set_bool(into, "nullable", true);
        else if (json_kind(v) == JSON_TEXT)
            err = json_append(list, json_ref(v));
        else
            err = fail(c, ERR_DENIED, "has an enum or const of something else than texts");
    }
    if (!err && json_kind(json_get(into, "type")) == JSON_ABSENT)
        err = json_set_text(into, "type", SLICE("STRING"));
    if (!err)
        return json_set(into, "enum", list);
    json_free(list);
    return err;
}

static int
write_const(struct conversion *c, struct json *into, struct json *v)
{
    struct json *list = json_new_list();
    int err = json_append(list, json_ref(v));
    if (!err)
        err = write_enum(c, into, list);
    json_free(list);
    return err;
}

/* anyOf of something and null is that, nullable. */
static int
write_any(struct conversion *c, struct json *into, struct json *list)
{
    struct json *rest = json_new_list();
    int err = rest ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(list) && !err; i++) {
        struct json *v = json_at(list, i);
        if (slice_is(json_str(json_get(v, "type")), "null"))
            err = json_set_bool(into, "nullable", true);
        else
            err = json_append(rest, json_ref(v));
    }
    if (!err && json_size(rest) == 1)
        err = write_merged(c, into, json_at(rest, 0));
    else if (!err)
        err = set_converted_list(c, into, "anyOf", rest);
    json_free(rest);
    return err;
}

static int
write_format(struct json *from, struct json *into, struct json *v)
{
    static const char *const known[] = {"float", "double",    "int32", "int64",
                                        "enum",  "date-time", NULL};
    struct slice format = json_str(v);
    (void)from;
    for (size_t i = 0; known[i]; i++)
        if (slice_is(format, known[i]))
            return json_set_text(into, "format", format);
    return 0; /* describes only */
}

static int
write_member(struct conversion *c, struct json *from, struct json *into, const char *name,
             struct json *v)
{
    enum json_kind kind = json_kind(v);
    if (is_one_of(name, kept))
        return json_set(into, name, json_ref(v));
    if (is_one_of(name, notes))
        return 0;
    if (strcmp(name, "type") == 0)
        return kind == JSON_LIST ? write_types(into, v) : set_upper(into, json_str(v));
    if (strcmp(name, "enum") == 0)
        return write_enum(c, into, v);
    if (strcmp(name, "const") == 0)
        return write_const(c, into, v);
    if (strcmp(name, "properties") == 0)
        return json_size(v) ? set_converted_map(c, into, name, v) : 0;
    if (strcmp(name, "items") == 0)
        return set_converted(c, into, name, v);
    if (strcmp(name, "anyOf") == 0 || strcmp(name, "oneOf") == 0)
        return kind == JSON_LIST ? write_any(c, into, v)
                                 : fail(c, ERR_DENIED, "has alternatives that are no list");
    if (strcmp(name, "allOf") == 0 && json_size(v) == 1)
        return write_merged(c, into, json_at(v, 0));
    if (strcmp(name, "format") == 0)
        return write_format(from, into, v);
    if (strcmp(name, "additionalProperties") == 0 && (kind == JSON_FALSE_ || kind == JSON_TRUE_))
        return 0; /* Google's models write the named ones either way */
    if (name[0] == 'x' && name[1] == '-')
        return 0;
    return fail(c, ERR_DENIED, "uses a keyword that this model's schemas have no counterpart of");
}

static int
write_schema(struct conversion *c, struct json *from, struct json *into)
{
    const char *name;
    struct json *v, *target;
    void *iter = NULL;
    int err = 0;
    struct slice ref = json_str(json_get(from, "$ref"));
    if (ref.at) {
        target = referred(c, ref);
        if (!target)
            return fail(c, ERR_DENIED, "refers to a schema that is not in it");
        err = write_merged(c, into, target);
    }
    while (!err && json_each(from, &iter, &name, &v))
        if (strcmp(name, "$ref") != 0)
            err = write_member(c, from, into, name, v);
    return err;
}

int
gemini_schema_write(struct slice json_schema, struct arena *a, struct slice *ret,
                    const char **ret_why)
{
    struct conversion c = {.convert = write_schema};
    int err = run(&c, json_schema, a, ret, ret_why);
    return err == ERR_SYNTAX ? ERR_DENIED : err;
}
