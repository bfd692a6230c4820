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

static struct json *of_table(const struct field_table *table, json_pattern_of *pattern_of,
                             bool outermost);

/* A text, or each of a list or map of texts. JSON Schema counts characters, and we bytes: the same
 * for ASCII. */
static struct json *
of_text(const struct field_row *row, json_pattern_of *pattern_of)
{
    struct schema s = schema_begin();
    const char *pattern = !row->check  ? JSON_TEXT_PATTERN
                          : pattern_of ? pattern_of(row->check)
                                       : NULL;
    put_str(&s, "type", "string");
    if (row->min > 0)
        put(&s, "minLength", json_new_int(row->min));
    put(&s, "maxLength", json_new_int(row->max > 0 ? row->max : LIMIT_JSON_TEXT_BYTES));
    if (pattern)
        put_str(&s, "pattern", pattern);
    return schema_end(&s);
}

static struct json *
of_int(const struct field_row *row)
{
    struct schema s = schema_begin();
    put_str(&s, "type", "integer");
    put(&s, "minimum", json_new_int(row->min));
    if (row->max > 0)
        put(&s, "maximum", json_new_int(row->max));
    return schema_end(&s);
}

static void
put_decimal(struct schema *s, const char *pattern)
{
    static const char *const kinds[] = {"string", "number", NULL};
    put(s, "type", texts(kinds));
    put_str(s, "pattern", pattern);
    put(s, "maxLength", json_new_int(JSON_DECIMAL_BYTES - 1));
    put(s, "minimum", json_new_int(0));
}

static void
put_list(struct schema *s, const struct field_row *row, struct json *items)
{
    put_str(s, "type", "array");
    put(s, "items", items);
    if (row->most)
        put(s, "maxItems", json_new_int((int64_t)row->most));
}

/* In the place of a schema that was begun. */
static void
become(struct schema *s, struct json *map)
{
    json_free(s->map);
    s->map = map;
}

static struct json *
of_row(const struct field_row *row, json_pattern_of *pattern_of)
{
    struct schema s = schema_begin();
    switch (row->kind) {
    case FIELD_TEXT:
        become(&s, of_text(row, pattern_of));
        break;
    case FIELD_INT:
        become(&s, of_int(row));
        break;
    case FIELD_BOOL:
        put_str(&s, "type", "boolean");
        break;
    case FIELD_USD:
        put_decimal(&s, JSON_USD_PATTERN);
        break;
    case FIELD_PRICE:
        put_decimal(&s, JSON_PRICE_PATTERN);
        break;
    case FIELD_TIME:
        put_str(&s, "type", "string");
        put_str(&s, "pattern", JSON_TIME_PATTERN);
        break;
    case FIELD_ENUM:
        put(&s, "enum", texts(row->values));
        break;
    case FIELD_LIST:
        put_list(&s, row, of_table(row->item, pattern_of, false));
        break;
    case FIELD_TEXTS:
        put_list(&s, row, of_text(row, pattern_of));
        break;
    case FIELD_INTS:
        put_list(&s, row, of_int(row));
        break;
    case FIELD_MAP:
        become(&s, of_table(row->item, pattern_of, false));
        break;
    case FIELD_TAGS:
        put_str(&s, "type", "object");
        put(&s, "additionalProperties", of_text(row, pattern_of));
        if (row->most)
            put(&s, "maxProperties", json_new_int((int64_t)row->most));
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
of_table(const struct field_table *table, json_pattern_of *pattern_of, bool outermost)
{
    struct schema s = schema_begin(), properties = schema_begin();
    if (outermost)
        put_str(&s, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_str(&s, "title", table->noun);
    put_str(&s, "type", "object");
    put(&s, "additionalProperties", json_new_bool(false));
    put(&s, "required", required_names(table));
    for (size_t i = 0; i < table->count; i++)
        put(&properties, table->rows[i].name, of_row(&table->rows[i], pattern_of));
    put(&s, "properties", schema_end(&properties));
    return schema_end(&s);
}

struct json *
json_schema(const struct field_table *table, json_pattern_of *pattern_of)
{
    return of_table(table, pattern_of, true);
}
