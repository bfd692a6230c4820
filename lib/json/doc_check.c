/* A document checked against a table of fields: the first thing wrong is told, with its path. */
#include "lib/json/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/money.h"
#include "lib/base/near.h"
#include "lib/json/doc.h"

#define LIMIT_PATH_BYTES 512
#define LIMIT_NAME_SHOWN 64

/* The path is one text that grows and shrinks; path[len] is always its NUL. */
struct check {
    struct buf *why;
    size_t len;
    char path[LIMIT_PATH_BYTES];
};

static void
enter_name(struct check *c, const char *name)
{
    size_t room = sizeof(c->path) - c->len;
    int n =
        snprintf(c->path + c->len, room, "%s%.*s", c->len > 0 ? "." : "", LIMIT_NAME_SHOWN, name);
    c->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void
enter_index(struct check *c, size_t index)
{
    size_t room = sizeof(c->path) - c->len;
    int n = snprintf(c->path + c->len, room, "[%zu]", index);
    c->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void
leave_to(struct check *c, size_t len)
{
    c->len = len;
    c->path[len] = '\0';
}

/* Always ERR_SYNTAX; a message that does not fit its buffer changes nothing about that. */
__attribute__((format(printf, 2, 3))) static int
wrong(struct check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int e = c->len > 0 ? buf_addf(c->why, "%s: ", c->path) : 0;
    if (e == 0)
        e = buf_vaddf(c->why, format, args);
    va_end(args);
    return e == ERR_NOMEM ? e : ERR_SYNTAX;
}

static int
wrong_kind(struct check *c, const char *wanted, const struct json *got)
{
    static const char *const kinds[] = {
        [JSON_ABSENT] = "nothing", [JSON_NULL_] = "null",      [JSON_TRUE_] = "true",
        [JSON_FALSE_] = "false",   [JSON_NUMBER] = "a number", [JSON_TEXT] = "a text",
        [JSON_LIST] = "a list",    [JSON_MAP] = "a map"};
    return wrong(c, "must be %s, not %s", wanted, kinds[json_kind(got)]);
}

/* --- scalars --- ------------------------------------------------------------------------------ */

static int
check_text_bytes(struct check *c, const struct field_row *row, struct slice s)
{
    size_t max = row->max > 0 ? (size_t)row->max : LIMIT_JSON_TEXT_BYTES;
    if (s.len > max)
        return wrong(c, "is longer than %zu bytes", max);
    if (s.len < (size_t)(row->min > 0 ? row->min : 0))
        return s.len == 0 ? wrong(c, "must not be empty")
                          : wrong(c, "is shorter than %lld bytes", (long long)row->min);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char byte = (unsigned char)s.at[i];
        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f)
            return wrong(c, "has a control character");
    }
    return 0;
}

static int
check_text(struct check *c, const struct field_row *row, const struct json *v)
{
    struct slice s = json_str(v);
    const char *why = "is not valid";
    if (!s.at)
        return wrong_kind(c, "a text", v);
    int e = check_text_bytes(c, row, s);
    if (e == 0 && row->check && !row->check(s, &why))
        e = wrong(c, "%s", why);
    return e;
}

static int
check_int(struct check *c, const struct field_row *row, const struct json *v)
{
    int64_t n;
    if (json_to_int(v, &n) < 0)
        return wrong_kind(c, "a whole number", v);
    if (n < row->min && row->max > 0)
        return wrong(c, "must be from %lld to %lld", (long long)row->min, (long long)row->max);
    if (n < row->min)
        return wrong(c, "must be at least %lld", (long long)row->min);
    if (row->max > 0 && n > row->max)
        return wrong(c, "must be from %lld to %lld", (long long)row->min, (long long)row->max);
    return 0;
}

static int
check_decimal(struct check *c, const struct field_row *row, const struct json *v)
{
    char text[JSON_DECIMAL_BYTES];
    int64_t parsed;
    bool usd = row->kind == FIELD_USD;
    if (json_decimal(v, text) < 0)
        return wrong_kind(c, "an amount such as \"2.50\"", v);
    int e = usd ? money_parse_usd(slice_of(text), &parsed)
                : money_parse_per_mtok(slice_of(text), &parsed);
    if (e == ERR_RANGE)
        return wrong(c, "is out of range or finer than %d decimal places", usd ? 9 : 6);
    if (e == 0 && parsed < 0)
        return wrong(c, "must not be negative");
    return e < 0 ? wrong(c, "must be an amount such as \"2.50\"") : 0;
}

static int
check_time(struct check *c, const struct json *v)
{
    int64_t ms;
    const char *text = json_string_value(theirs_const(v));
    if (!text || strlen(text) != json_str(v).len || clock_parse_rfc3339(text, &ms) < 0)
        return wrong(c, "must be a time such as 2027-01-31T12:00:00Z, or a date");
    return 0;
}

static int
check_enum(struct check *c, const struct field_row *row, const struct json *v)
{
    struct slice s = json_str(v);
    const char *best = NULL;
    size_t least = SIZE_MAX;
    if (!s.at)
        return wrong_kind(c, "a text", v);
    for (const char *const *value = row->values; *value; value++) {
        size_t d = near_distance(s, slice_of(*value));
        if (slice_is(s, *value))
            return 0;
        if (d < least && near_enough(s, slice_of(*value), d)) {
            least = d;
            best = *value;
        }
    }
    if (best)
        return wrong(c, "unknown value; did you mean \"%s\"?", best);
    int e = wrong(c, "unknown value; must be one of");
    for (const char *const *value = row->values; *value; value++)
        if (buf_addf(c->why, "%s %s", value == row->values ? "" : ",", *value) == ERR_NOMEM)
            return ERR_NOMEM;
    return e;
}

/* --- containers --- --------------------------------------------------------------------------- */

static int check_map(struct check *c, const struct json *map, const struct field_table *table);

static int
check_list(struct check *c, const struct field_row *row, const struct json *v)
{
    size_t len = c->len;
    int e = 0;
    if (json_kind(v) != JSON_LIST)
        return wrong_kind(c, "a list", v);
    for (size_t i = 0; e == 0 && i < json_size(v); i++) {
        enter_index(c, i);
        e = row->kind == FIELD_TEXTS  ? check_text(c, row, json_at(v, i))
            : row->kind == FIELD_INTS ? check_int(c, row, json_at(v, i))
                                      : check_map(c, json_at(v, i), row->item);
        leave_to(c, len);
    }
    return e;
}

static int
check_tags(struct check *c, const struct field_row *row, const struct json *v)
{
    size_t len = c->len;
    const char *name;
    void *iter = NULL;
    struct json *value;
    int e = 0;
    if (json_kind(v) != JSON_MAP)
        return wrong_kind(c, "a map of texts", v);
    while (e == 0 && json_each(ours(theirs_const(v)), &iter, &name, &value)) {
        e = check_text_bytes(c, row, slice_of(name));
        enter_name(c, name);
        if (e == 0)
            e = check_text(c, row, value);
        leave_to(c, len);
    }
    return e;
}

static int
check_value(struct check *c, const struct field_row *row, const struct json *v)
{
    switch (row->kind) {
    case FIELD_TEXT:
        return check_text(c, row, v);
    case FIELD_INT:
        return check_int(c, row, v);
    case FIELD_BOOL:
        return json_kind(v) == JSON_TRUE_ || json_kind(v) == JSON_FALSE_
                   ? 0
                   : wrong_kind(c, "true or false", v);
    case FIELD_USD:
    case FIELD_PRICE:
        return check_decimal(c, row, v);
    case FIELD_TIME:
        return check_time(c, v);
    case FIELD_ENUM:
        return check_enum(c, row, v);
    case FIELD_LIST:
    case FIELD_TEXTS:
    case FIELD_INTS:
        return check_list(c, row, v);
    case FIELD_MAP:
        return check_map(c, v, row->item);
    case FIELD_TAGS:
        return check_tags(c, row, v);
    }
    return ERR_SYNTAX;
}

static const struct field_row *
find_row(const struct field_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    return NULL;
}

static int
check_member(struct check *c, const struct field_table *table, const char *name,
             const struct json *value)
{
    const struct field_row *row = find_row(table, name);
    const char *near = row ? NULL : json_nearest(table, slice_of(name));
    size_t len = c->len;
    int e;
    enter_name(c, name);
    if (near)
        e = wrong(c, "unknown field of a %s; did you mean \"%s\"?", table->noun, near);
    else if (!row)
        e = wrong(c, "unknown field of a %s", table->noun);
    else if (row->read_only)
        e = wrong(c, "is set by the gateway and cannot be given");
    else
        e = check_value(c, row, value);
    leave_to(c, len);
    return e;
}

static int
check_map(struct check *c, const struct json *map, const struct field_table *table)
{
    void *iter = NULL;
    const char *name;
    struct json *value;
    if (json_kind(map) != JSON_MAP)
        return wrong_kind(c, "a map", map);
    while (json_each(ours(theirs_const(map)), &iter, &name, &value)) {
        int e = check_member(c, table, name, value);
        if (e < 0)
            return e;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (!table->rows[i].required || json_get(map, table->rows[i].name))
            continue;
        enter_name(c, table->rows[i].name);
        return wrong(c, "is required");
    }
    return 0;
}

int
json_check(const struct json *map, const struct field_table *table, const char *path,
           struct buf *why)
{
    struct check c = {.why = why};
    if (path && *path)
        c.len = (size_t)snprintf(c.path, sizeof(c.path), "%.*s", LIMIT_PATH_BYTES / 2, path);
    return check_map(&c, map, table);
}

const char *
json_nearest(const struct field_table *table, struct slice name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < table->count; i++) {
        struct slice candidate = slice_of(table->rows[i].name);
        size_t d = near_distance(name, candidate);
        if (d < least && near_enough(name, candidate, d)) {
            least = d;
            best = table->rows[i].name;
        }
    }
    return best;
}

/* --- decimals --- ----------------------------------------------------------------------------- */

/* The shortest of the decimals that mean this double (what was written, up to 15 digits), without
 * an exponent. ERR_SYNTAX for what does not fit. */
static int
shortest(double v, char ret_text[static JSON_DECIMAL_BYTES])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(ret_text, JSON_DECIMAL_BYTES, "%.*g", digits, v);
        if (strtod(ret_text, NULL) == v)
            break;
    }
    if (!strchr(ret_text, 'e'))
        return 0;
    int n = snprintf(ret_text, JSON_DECIMAL_BYTES, "%.12f", v);
    if (n < 0 || n >= JSON_DECIMAL_BYTES || strtod(ret_text, NULL) != v)
        return ERR_SYNTAX;
    while (ret_text[n - 1] == '0')
        ret_text[--n] = '\0';
    if (ret_text[n - 1] == '.')
        ret_text[n - 1] = '\0';
    return 0;
}

int
json_decimal(const struct json *j, char ret_text[static JSON_DECIMAL_BYTES])
{
    const json_t *t = theirs_const(j);
    struct slice s = json_str(j);
    if (s.at) {
        if (s.len >= JSON_DECIMAL_BYTES || memchr(s.at, '\0', s.len))
            return ERR_SYNTAX;
        memcpy(ret_text, s.at, s.len + 1);
    } else if (json_is_integer(t)) {
        snprintf(ret_text, JSON_DECIMAL_BYTES, "%lld", (long long)json_integer_value(t));
    } else if (json_is_real(t)) {
        return shortest(json_real_value(t), ret_text);
    } else {
        return ERR_SYNTAX;
    }
    return 0;
}
