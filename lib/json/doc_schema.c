/* The JSON Schema (2020-12) that says what json_check enforces. */
#include "lib/json/own.h"

#include "lib/json/doc.h"

/* Documents are built parse-straight-through: a failed step leaves NULL or a flag behind, and the
 * end of each function looks once. */
struct schema {
    struct json *map; /* NULL: no memory */
    int err;
};

static struct schema
schema_begin(void)
{
    struct schema s = {json_new_map(), 0};
    if (!s.map)
        s.err = ERR_NOMEM;
    return s;
}

/* Takes value. */
static void
put(struct schema *s, const char *name, struct json *value)
{
    int e = json_set(s->map, name, value);
    if (s->err == 0)
        s->err = e;
}

static void
put_str(struct schema *s, const char *name, const char *text)
{
    put(s, name, json_new_text(slice_of(text)));
}

static struct json *
schema_end(struct schema *s)
{
    if (s->err == 0)
        return s->map;
    json_free(s->map);
    return NULL;
}

/* {"type": type} */
static struct json *
of_type(const char *type)
{
    struct schema s = schema_begin();
    put_str(&s, "type", type);
    return schema_end(&s);
}

static struct json *
texts(const char *const *values)
{
    struct json *list = json_new_list();
    int e = list ? 0 : ERR_NOMEM;
    for (; e == 0 && *values; values++)
        e = json_append(list, json_new_text(slice_of(*values)));
    if (e == 0)
        return list;
    json_free(list);
    return NULL;
}

static struct json *of_table(const struct field_table *table, bool outermost);

static void
put_bounds(struct schema *s, const struct field_row *row, const char *min, const char *max)
{
    if (row->min != 0)
        put(s, min, json_new_int(row->min));
    if (row->max > 0)
        put(s, max, json_new_int(row->max));
}

/* The items of a list: the row's bounds are those of each. */
static struct json *
of_bounded(const char *type, const struct field_row *row, const char *min, const char *max)
{
    struct schema s = schema_begin();
    put_str(&s, "type", type);
    put_bounds(&s, row, min, max);
    return schema_end(&s);
}

static void
put_decimal(struct schema *s, const char *pattern)
{
    static const char *const kinds[] = {"string", "number", NULL};
    put(s, "type", texts(kinds));
    put_str(s, "pattern", pattern);
}

static void
put_list(struct schema *s, struct json *items)
{
    put_str(s, "type", "array");
    put(s, "items", items);
}

static struct json *
of_row(const struct field_row *row)
{
    struct schema s = schema_begin();
    switch (row->kind) {
    case FIELD_TEXT:
        put_str(&s, "type", "string");
        put_bounds(&s, row, "minLength", "maxLength");
        break;
    case FIELD_INT:
        put_str(&s, "type", "integer");
        put(&s, "minimum", json_new_int(row->min));
        if (row->max > 0)
            put(&s, "maximum", json_new_int(row->max));
        break;
    case FIELD_BOOL:
        put_str(&s, "type", "boolean");
        break;
    case FIELD_USD:
        put_decimal(&s, "^-?[0-9]+(\\.[0-9]{1,9})?$");
        break;
    case FIELD_PRICE:
        put_decimal(&s, "^[0-9]+(\\.[0-9]{1,6})?$");
        break;
    case FIELD_TIME:
        put_str(&s, "type", "string");
        put_str(&s, "pattern", "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$");
        break;
    case FIELD_ENUM:
        put(&s, "enum", texts(row->values));
        break;
    case FIELD_LIST:
        put_list(&s, of_table(row->item, false));
        break;
    case FIELD_TEXTS:
        put_list(&s, of_bounded("string", row, "minLength", "maxLength"));
        break;
    case FIELD_INTS:
        put_list(&s, of_bounded("integer", row, "minimum", "maximum"));
        break;
    case FIELD_MAP:
        json_free(s.map);
        s.map = of_table(row->item, false);
        break;
    case FIELD_TAGS:
        put_str(&s, "type", "object");
        put(&s, "additionalProperties", of_type("string"));
        break;
    }
    if (row->help)
        put_str(&s, "description", row->help);
    if (row->read_only)
        put(&s, "readOnly", json_new_bool(true));
    return schema_end(&s);
}

static struct json *
required_names(const struct field_table *table)
{
    struct json *list = json_new_list();
    int e = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; e == 0 && i < table->count; i++)
        if (table->rows[i].required)
            e = json_append(list, json_new_text(slice_of(table->rows[i].name)));
    if (e == 0)
        return list;
    json_free(list);
    return NULL;
}

static struct json *
of_table(const struct field_table *table, bool outermost)
{
    struct schema s = schema_begin(), properties = schema_begin();
    if (outermost)
        put_str(&s, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_str(&s, "title", table->noun);
    put_str(&s, "type", "object");
    put(&s, "additionalProperties", json_new_bool(false));
    put(&s, "required", required_names(table));
    for (size_t i = 0; i < table->count; i++)
        put(&properties, table->rows[i].name, of_row(&table->rows[i]));
    put(&s, "properties", schema_end(&properties));
    return schema_end(&s);
}

struct json *
json_schema(const struct field_table *table)
{
    return of_table(table, true);
}
