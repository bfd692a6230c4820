/* Jansson behind our own names: parsing, making, reading and writing of trees. */
#include "lib/json/own.h"

#include <stdio.h>

#include "lib/json/doc.h"

/* --- parsing ---------------------------------------------------------------------------------- */

static void
say(char *why, size_t why_bytes, const char *what, int line, int column)
{
    if (why && why_bytes > 0)
        snprintf(why, why_bytes, "line %d, column %d: %s", line, column, what);
}

/* Line and column, both from 1, of a byte. */
static void
say_at(char *why, size_t why_bytes, struct slice text, const struct json_error *error)
{
    int line = 1, column = 1;
    for (size_t i = 0; i < error->offset && i < text.len; i++) {
        column = text.at[i] == '\n' ? 1 : column + 1;
        line += text.at[i] == '\n' ? 1 : 0;
    }
    say(why, why_bytes, error->reason, line, column);
}

/* What can still be wrong with a text that our scanner has passed. Out of memory, Jansson fails
 * with one code or another. */
static bool
is_syntax(enum json_error_code code)
{
    return code == json_error_duplicate_key || code == json_error_numeric_overflow ||
           code == json_error_null_character || code == json_error_null_byte_in_key ||
           code == json_error_stack_overflow;
}

int
json_parse(struct slice text, struct json **ret_doc, char *why, size_t why_bytes)
{
    struct json_error wrong;
    json_error_t error;
    /* Our scanner first: its limits and messages are the same here as on the data plane. */
    if (json_scan(text, &json_limits_default, NULL, 0, NULL, NULL, &wrong) < 0) {
        say_at(why, why_bytes, text, &wrong);
        return ERR_SYNTAX;
    }
    json_t *doc = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!doc) {
        say(why, why_bytes, error.text, error.line, error.column);
        return is_syntax(json_error_code(&error)) ? ERR_SYNTAX : ERR_NOMEM;
    }
    *ret_doc = ours(doc);
    return 0;
}

void
json_free(struct json *j)
{
    json_decref(theirs(j));
}

struct json *
json_ref(struct json *j)
{
    return ours(json_incref(theirs(j)));
}

struct json *
json_copy(const struct json *j)
{
    return ours(json_deep_copy(theirs_const(j)));
}

/* --- making ----------------------------------------------------------------------------------- */

struct json *
json_new_map(void)
{
    return ours(json_object());
}

struct json *
json_new_list(void)
{
    return ours(json_array());
}

struct json *
json_new_text(struct slice s)
{
    return ours(json_stringn(s.at ? s.at : "", s.len));
}

struct json *
json_new_int(int64_t v)
{
    return ours(json_integer(v));
}

struct json *
json_new_number(double v)
{
    return ours(json_real(v));
}

struct json *
json_new_bool(bool v)
{
    return ours(json_boolean(v));
}

struct json *
json_new_null(void)
{
    return ours(json_null());
}

int
json_set(struct json *map, const char *name, struct json *value)
{
    return json_object_set_new(theirs(map), name, theirs(value)) == 0 ? 0 : ERR_NOMEM;
}

int
json_append(struct json *list, struct json *value)
{
    return json_array_append_new(theirs(list), theirs(value)) == 0 ? 0 : ERR_NOMEM;
}

int
json_set_text(struct json *map, const char *name, struct slice s)
{
    return json_set(map, name, json_new_text(s));
}

int
json_set_str(struct json *map, const char *name, const char *text)
{
    return json_set(map, name, text ? json_new_text(slice_of(text)) : json_new_null());
}

int
json_set_int(struct json *map, const char *name, int64_t v)
{
    return json_set(map, name, json_new_int(v));
}

int
json_set_bool(struct json *map, const char *name, bool v)
{
    return json_set(map, name, json_new_bool(v));
}

int
json_remove(struct json *map, const char *name)
{
    return json_object_del(theirs(map), name) == 0 ? 0 : ERR_NOT_FOUND;
}

/* --- reading ---------------------------------------------------------------------------------- */

enum json_kind
json_kind(const struct json *j)
{
    if (!j)
        return JSON_ABSENT;
    switch (json_typeof(theirs_const(j))) {
    case JSON_OBJECT:
        return JSON_MAP;
    case JSON_ARRAY:
        return JSON_LIST;
    case JSON_STRING:
        return JSON_TEXT;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_NUMBER;
    case JSON_TRUE:
        return JSON_TRUE_;
    case JSON_FALSE:
        return JSON_FALSE_;
    case JSON_NULL:
        return JSON_NULL_;
    }
    return JSON_ABSENT;
}

struct json *
json_get(const struct json *map, const char *name)
{
    return ours(json_object_get(theirs_const(map), name));
}

struct json *
json_at(const struct json *list, size_t index)
{
    return ours(json_array_get(theirs_const(list), index));
}

size_t
json_size(const struct json *j)
{
    /* Jansson gives 0 for what is not of the kind asked for. */
    return json_object_size(theirs_const(j)) + json_array_size(theirs_const(j));
}

struct slice
json_str(const struct json *j)
{
    const json_t *t = theirs_const(j);
    return slice_make(json_string_value(t), json_string_length(t));
}

int
json_to_int(const struct json *j, int64_t *ret_value)
{
    const json_t *t = theirs_const(j);
    if (!json_is_integer(t))
        return ERR_SYNTAX;
    *ret_value = json_integer_value(t);
    return 0;
}

bool
json_is_true(const struct json *j)
{
    return json_kind(j) == JSON_TRUE_;
}

bool
json_equal(const struct json *a, const struct json *b)
{
    return jansson_equal(theirs_const(a), theirs_const(b));
}

bool
json_each(struct json *map, void **iter, const char **ret_name, struct json **ret_value)
{
    json_t *m = theirs(map);
    *iter = *iter ? json_object_iter_next(m, *iter) : json_object_iter(m);
    if (!*iter)
        return false;
    *ret_name = json_object_iter_key(*iter);
    *ret_value = ours(json_object_iter_value(*iter));
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct writer {
    struct buf *into;
    int err;
};

static int
on_piece(const char *bytes, size_t n, void *ctx)
{
    struct writer *w = ctx;
    w->err = buf_add(w->into, bytes, n);
    return w->err < 0 ? -1 : 0;
}

int
json_write(const struct json *j, bool sorted, int indent, struct buf *into)
{
    struct writer w = {.into = into};
    size_t before = into->len;
    size_t flags = JSON_ENCODE_ANY | (indent > 0 ? JSON_INDENT(indent) : JSON_COMPACT) |
                   (sorted ? JSON_SORT_KEYS : 0);
    if (json_dump_callback(theirs_const(j), on_piece, &w, flags) == 0)
        return 0;
    into->len = before;
    return w.err < 0 ? w.err : ERR_NOMEM;
}
