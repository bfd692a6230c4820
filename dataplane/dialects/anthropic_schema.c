/*
 * A JSON Schema as Anthropic's structured output takes it: objects are closed, and what bounds
 * numbers, lengths and patterns goes into the description, where the model still reads it.
 */
#include "dataplane/dialects/anthropic_internal.h"

static const char *const kept[] = {"$ref",  "type",    "title",    "enum",
                                   "const", "default", "required", NULL};
static const char *const formats[] = {"date-time", "time", "date", "duration", "email", "hostname",
                                      "uri",       "ipv4", "ipv6", "uuid",     NULL};
static const char *const maps[] = {"properties", "$defs", "definitions", NULL};
static const char *const lists[] = {"anyOf", "allOf", "oneOf", NULL};

static bool
is_among(struct slice name, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (slice_is(name, names[i]))
            return true;
    return false;
}

/* --- whether it can be said ------------------------------------------------------------------- */

static bool
children_fit(struct json_view container)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    while (json_view_next(container, &cursor, &name, &v))
        if (!anthropic_schema_fits(v))
            return false;
    return true;
}

static bool
object_fits(struct json_view schema)
{
    struct json_view more = json_view_get(schema, "additionalProperties");
    bool is_object = json_view_is(json_view_get(schema, "type"), "object");
    if (json_view_is_set(more) && more.kind != JSON_FALSE_)
        return false;
    return !is_object || json_view_get(schema, "properties").kind == JSON_MAP;
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than the JSON, whose depth is bounded */
bool
anthropic_schema_fits(struct json_view schema)
{
    if (schema.kind != JSON_MAP || !object_fits(schema))
        return false;
    for (size_t i = 0; maps[i]; i++)
        if (!children_fit(json_view_get(schema, maps[i])))
            return false;
    for (size_t i = 0; lists[i]; i++)
        if (!children_fit(json_view_get(schema, lists[i])))
            return false;
    struct json_view items = json_view_get(schema, "items");
    return !json_view_is_set(items) || anthropic_schema_fits(items);
}

/* --- saying it -------------------------------------------------------------------------------- */

static void
emit_member_name(struct json_emit *e, struct slice raw_name)
{
    struct slice colon = SLICE(":");
    if (e->comma && !e->err)
        e->err = buf_add_str(e->into, ",");
    if (!e->err)
        e->err = buf_addf(e->into, "\"%.*s\"%.*s", SLICE_ARG(raw_name), SLICE_ARG(colon));
    e->comma = false;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void
emit_children(struct json_emit *e, struct json_view container, struct arena *a)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    bool is_map = container.kind == JSON_MAP;
    if (is_map)
        emit_map(e);
    else
        emit_list(e);
    while (json_view_next(container, &cursor, &name, &v)) {
        if (is_map)
            emit_member_name(e, name);
        anthropic_emit_schema(e, v, a);
    }
    if (is_map)
        emit_end_map(e);
    else
        emit_end_list(e);
}

static bool
is_kept(struct slice name, struct json_view v)
{
    if (is_among(name, kept))
        return true;
    if (slice_is(name, "format"))
        return v.kind == JSON_TEXT && is_among(slice_make(v.raw.at + 1, v.raw.len - 2), formats);
    return slice_is(name, "minItems") && json_view_int_or(v, -1) >= 0 &&
           json_view_int_or(v, -1) <= 1;
}

/* The description, and behind it what only words can say. */
static void
emit_description(struct json_emit *e, struct json_view given, const struct buf *bounds,
                 struct arena *a)
{
    struct slice text = {0};
    if (given.kind == JSON_TEXT && json_view_text(given, a, &text) != 0)
        e->err = ERR_NOMEM;
    if (bounds->len == 0) {
        emit_opt_text(e, "description", text);
        return;
    }
    char *all = arena_printf(a, "%.*s%s{%.*s}", SLICE_ARG(text), text.len ? "\n\n" : "",
                             SLICE_ARG(buf_slice(bounds)));
    if (all)
        emit_str_member(e, "description", all);
    else
        e->err = ERR_NOMEM;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void
emit_keyword(struct json_emit *e, struct slice name, struct json_view v, struct buf *bounds,
             struct arena *a)
{
    if (slice_is(name, "description") || slice_is(name, "additionalProperties") ||
        slice_is(name, "$schema"))
        return;
    if (is_kept(name, v)) {
        emit_member_name(e, name);
        emit_raw(e, v.raw);
    } else if (is_among(name, maps) || is_among(name, lists)) {
        emit_member_name(e, slice_is(name, "oneOf") ? SLICE("anyOf") : name);
        emit_children(e, v, a);
    } else if (slice_is(name, "items") && v.kind == JSON_MAP) {
        emit_member_name(e, name);
        anthropic_emit_schema(e, v, a);
    } else if (!e->err) {
        e->err = buf_addf(bounds, "%s%.*s: %.*s", bounds->len ? ", " : "", SLICE_ARG(name),
                          SLICE_ARG(v.raw));
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): no deeper than the JSON, whose depth is bounded */
void
anthropic_emit_schema(struct json_emit *e, struct json_view schema, struct arena *a)
{
    struct json_view v;
    struct slice name;
    struct buf bounds;
    size_t cursor = 0;
    if (schema.kind != JSON_MAP) {
        emit_raw(e, schema.raw);
        return;
    }
    buf_init(&bounds, 0); /* no longer than the schema, which is bounded by the request */
    emit_map(e);
    while (json_view_next(schema, &cursor, &name, &v))
        emit_keyword(e, name, v, &bounds, a);
    emit_description(e, json_view_get(schema, "description"), &bounds, a);
    if (json_view_get(schema, "properties").kind == JSON_MAP)
        emit_bool_member(e, "additionalProperties", false);
    emit_end_map(e);
    buf_free(&bounds);
}
