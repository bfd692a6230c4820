/* See item.h. */
#include "controlplane/rules/item.h"

#include <stdio.h>

#include "controlplane/rules/permissions.h"
#include "lib/base/clock.h"
#include "lib/base/money.h"

/* ---- checking -------------------------------------------------------------------------------- */

static int
too_many(struct buf *why, const char *path, const char *member, size_t limit)
{
    buf_clear(why);
    int err =
        buf_addf(why, "%s%s%s: at most %zu are allowed", path, path[0] ? "." : "", member, limit);
    return err ? err : ERR_SYNTAX;
}

static size_t
size_limit(enum field_kind kind)
{
    switch (kind) {
    case FIELD_TEXTS:
    case FIELD_INTS:
        return LIMIT_TEXTS;
    case FIELD_TAGS:
        return LIMIT_TAGS;
    case FIELD_LIST:
        return LIMIT_TARGETS;
    case FIELD_TEXT:
    case FIELD_INT:
    case FIELD_BOOL:
    case FIELD_USD:
    case FIELD_PRICE:
    case FIELD_TIME:
    case FIELD_ENUM:
    case FIELD_MAP:
        break;
    }
    return 0;
}

static int
check_sizes(const struct json *map, const struct field_table *table, const char *path,
            struct buf *why)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct field_row *row = &table->rows[i];
        const struct json *v = json_get(map, row->name);
        size_t limit = row->most ? row->most : size_limit(row->kind);
        if (limit > 0 && json_size(v) > limit)
            return too_many(why, path, row->name, limit);
        if (row->kind != FIELD_MAP || !v)
            continue;
        char inner[256];
        snprintf(inner, sizeof(inner), "%s%s%s", path, path[0] ? "." : "", row->name);
        int err = check_sizes(v, row->item, inner, why);
        if (err)
            return err;
    }
    return 0;
}

int
item_check(const struct kind *kind, const struct json *input, const char *path, struct buf *why)
{
    const char *reason = "";
    buf_clear(why);
    int err = json_check(input, kind->fields, path, why);
    if (!err)
        err = check_sizes(input, kind->fields, path, why);
    if (err)
        return err;
    struct slice name = json_str(json_get(input, "name"));
    if (name.at && !kind_name_ok(kind, name, &reason)) {
        err = buf_addf(why, "%s%sname: %s", path, path[0] ? "." : "", reason);
        return err ? err : ERR_SYNTAX;
    }
    return kind->check ? kind->check(input, path, why) : 0;
}

int
item_name(const struct kind *kind, const struct json *input, struct buf *into)
{
    struct slice name = json_str(json_get(input, "name"));
    if (name.at || kind->id != KIND_PRICES)
        return buf_add_slice(into, name);
    struct slice provider = json_str(json_get(input, "provider"));
    struct slice model = json_str(json_get(input, "model"));
    return buf_addf(into, "%.*s/%.*s", SLICE_ARG(provider), SLICE_ARG(model));
}

/* ---- the body -------------------------------------------------------------------------------- */

/* One spelling for what may be spelt in several ways. Gives a new value. */
static struct json *
canonical_scalar(enum field_kind kind, const struct json *v)
{
    char decimal[JSON_DECIMAL_BYTES], text[MONEY_TEXT_BYTES];
    int64_t n;
    if (kind == FIELD_PRICE && json_decimal(v, decimal) == 0 &&
        money_parse_per_mtok(slice_of(decimal), &n) == 0) {
        money_format_per_mtok(n, text);
        return json_new_text(slice_of(text));
    }
    if (kind == FIELD_USD && json_decimal(v, decimal) == 0 &&
        money_parse_usd(slice_of(decimal), &n) == 0) {
        money_format_usd(n, text);
        return json_new_text(slice_of(text));
    }
    if (kind == FIELD_TIME && clock_parse_rfc3339(json_str(v).at, &n) == 0) {
        clock_rfc3339(n, text);
        return json_new_text(slice_of(text));
    }
    return json_copy(v);
}

static const struct kind_default *
default_of(const struct kind *kind, const char *list, const char *field)
{
    for (size_t i = 0; i < kind->default_count; i++) {
        const struct kind_default *d = &kind->defaults[i];
        bool same_list = d->list == list || (d->list && list && strcmp(d->list, list) == 0);
        if (same_list && strcmp(d->field, field) == 0)
            return d;
    }
    return NULL;
}

static bool
says_default(const struct kind *kind, const char *list, const char *field, const struct json *v)
{
    const struct kind_default *d = default_of(kind, list, field);
    struct json *value = NULL;
    if (!d || json_parse(slice_of(d->json), &value, NULL, 0) != 0)
        return false;
    bool same = json_equal(value, v);
    json_free(value);
    return same;
}

static struct json *canonical_map(const struct kind *kind, const char *list,
                                  const struct field_table *table, const struct json *map);

static struct json *
canonical_list(const struct kind *kind, const struct field_row *row, const struct json *list)
{
    struct json *out = json_new_list();
    for (size_t i = 0; out && i < json_size(list); i++)
        if (json_append(out, canonical_map(kind, row->name, row->item, json_at(list, i))) != 0) {
            json_free(out);
            return NULL;
        }
    return out;
}

static struct json *
canonical_value(const struct kind *kind, const struct field_row *row, const struct json *v)
{
    if (row->kind == FIELD_LIST)
        return canonical_list(kind, row, v);
    if (row->kind == FIELD_MAP)
        return canonical_map(kind, NULL, row->item, v);
    return canonical_scalar(row->kind, v);
}

/* Members in the table's order: a body reads the same whoever wrote it. An empty map of tags or
 * list of names says something ("none"), so it stays; an empty `timeouts` does not. */
static struct json *
canonical_map(const struct kind *kind, const char *list, const struct field_table *table,
              const struct json *map)
{
    struct json *out = json_new_map();
    for (size_t i = 0; out && i < table->count; i++) {
        const struct field_row *row = &table->rows[i];
        const struct json *v = json_get(map, row->name);
        bool top_name = table == kind->fields && strcmp(row->name, "name") == 0;
        if (!v || top_name || says_default(kind, list, row->name, v))
            continue;
        if (json_size(v) == 0 && (row->kind == FIELD_TAGS || row->kind == FIELD_MAP))
            continue;
        if (json_set(out, row->name, canonical_value(kind, row, v)) != 0) {
            json_free(out);
            return NULL;
        }
    }
    return out;
}

struct json *
item_body(const struct kind *kind, const struct json *input)
{
    return canonical_map(kind, NULL, kind->fields, input);
}

/* ---- the view -------------------------------------------------------------------------------- */

static int
show_credential(struct json *view, const struct json *stored)
{
    char marker[64];
    if (json_kind(stored) != JSON_MAP)
        return 0; /* a reference is shown as it is */
    struct slice fingerprint = json_str(json_get(stored, "fingerprint"));
    snprintf(marker, sizeof(marker), "sealed:%.*s", SLICE_ARG(fingerprint));
    return json_set_str(view, "credential", marker);
}

static int
fill_defaults(const struct kind *kind, const char *list, struct json *map)
{
    int err = 0;
    for (size_t i = 0; i < kind->default_count && !err; i++) {
        const struct kind_default *d = &kind->defaults[i];
        bool here = d->list == list || (d->list && list && strcmp(d->list, list) == 0);
        struct json *value = NULL;
        if (!here || json_get(map, d->field))
            continue;
        err = json_parse(slice_of(d->json), &value, NULL, 0);
        if (!err)
            err = json_set(map, d->field, value);
    }
    return err;
}

static int
fill_all_defaults(const struct kind *kind, struct json *view)
{
    int err = fill_defaults(kind, NULL, view);
    for (size_t i = 0; i < kind->fields->count && !err; i++) {
        const struct field_row *row = &kind->fields->rows[i];
        const struct json *list = row->kind == FIELD_LIST ? json_get(view, row->name) : NULL;
        for (size_t k = 0; k < json_size(list) && !err; k++)
            err = fill_defaults(kind, row->name, json_at(list, k));
    }
    return err;
}

static struct json *
view_or_null(struct json *view, int err)
{
    if (!err)
        return view;
    json_free(view);
    return NULL;
}

struct json *
item_view(const struct kind *kind, const char *name, const struct json *body, bool with_defaults)
{
    struct json *view = json_new_map();
    int err = view ? json_set_str(view, "name", name) : ERR_NOMEM;
    for (size_t i = 0; i < kind->fields->count && !err; i++) {
        const struct field_row *row = &kind->fields->rows[i];
        const struct json *v = json_get(body, row->name);
        if (v && strcmp(row->name, "name") != 0) /* PostgreSQL reorders members: ours again */
            err = json_set(view, row->name, canonical_value(kind, row, v));
    }
    const struct json *prefix = json_get(body, "prefix");
    const struct json *until = json_get(json_get(body, "retired"), "until");
    if (!err && with_defaults && prefix)
        err = json_set(view, "prefix", json_copy(prefix));
    if (!err && with_defaults && until)
        err = json_set(view, "retired_until", json_copy(until));
    if (!err)
        err = show_credential(view, json_get(body, "credential"));
    if (!err && with_defaults)
        err = fill_all_defaults(kind, view);
    return view_or_null(view, err);
}

struct json *
item_merge(const struct json *target, const struct json *patch)
{
    if (json_kind(patch) != JSON_MAP)
        return json_copy(patch);
    struct json *out = json_kind(target) == JSON_MAP ? json_copy(target) : json_new_map();
    struct json *changes = json_copy(patch), *value;
    const char *name;
    void *iter = NULL;
    int err = out && changes ? 0 : ERR_NOMEM;
    while (!err && json_each(changes, &iter, &name, &value)) {
        if (json_kind(value) == JSON_NULL_)
            (void)json_remove(out, name);
        else
            err = json_set(out, name, item_merge(json_get(out, name), value));
    }
    json_free(changes);
    return view_or_null(out, err);
}

/* ---- whom it belongs to ---------------------------------------------------------------------- */

static struct slice
text_or_empty(const struct json *body, const char *member)
{
    struct slice text = json_str(json_get(body, member));
    return text.at ? text : SLICE("");
}

struct item_place
item_place(const struct kind *kind, struct slice name, const struct json *body)
{
    struct item_place place = {text_or_empty(body, "team"), text_or_empty(body, "project")};
    if (kind->id == KIND_TEAMS)
        place.team = name;
    if (kind->id == KIND_PROJECTS)
        place.project = name;
    return place;
}

/* ---- references ------------------------------------------------------------------------------ */

int
item_references(const struct kind *kind, const struct json *body,
                int (*each)(void *ctx, enum kind_id to, struct slice name, const char *place),
                void *ctx)
{
    char place[96];
    int err = 0;
    for (size_t i = 0; i < kind->reference_count && !err; i++) {
        const struct kind_reference *r = &kind->references[i];
        const struct json *v = json_get(body, r->field);
        if (!v)
            continue;
        if (!r->list && r->to == KIND_ROLES && builtin_role_find(json_str(v)))
            continue; /* no item, and always there */
        if (!r->list) {
            err = each(ctx, r->to, json_str(v), r->field);
            continue;
        }
        for (size_t k = 0; k < json_size(v) && !err; k++) {
            const struct json *element = json_at(v, k);
            snprintf(place, sizeof(place), "%s[%zu]%s%s", r->field, k, r->member ? "." : "",
                     r->member ? r->member : "");
            err = each(ctx, r->to, json_str(r->member ? json_get(element, r->member) : element),
                       place);
        }
    }
    return err;
}
