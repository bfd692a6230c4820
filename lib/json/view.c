#include "lib/json/view.h"

#include <string.h>

static enum json_kind
kind_of(char first)
{
    switch (first) {
    case '{':
        return JSON_MAP;
    case '[':
        return JSON_LIST;
    case '"':
        return JSON_TEXT;
    case 't':
        return JSON_TRUE_;
    case 'f':
        return JSON_FALSE_;
    case 'n':
        return JSON_NULL_;
    default:
        return JSON_NUMBER;
    }
}

struct json_view
json_view_of(struct slice valid)
{
    while (valid.len && strchr(" \t\r\n", valid.at[0]))
        valid = slice_from(valid, 1);
    while (valid.len && strchr(" \t\r\n", valid.at[valid.len - 1]))
        valid.len--;
    if (valid.len == 0)
        return (struct json_view){.kind = JSON_ABSENT};
    return (struct json_view){kind_of(valid.at[0]), valid};
}

static struct json_span
whole(struct json_view v)
{
    return (struct json_span){.kind = v.kind, .end = v.raw.len};
}

bool
json_view_next(struct json_view v, size_t *cursor, struct slice *ret_name,
               struct json_view *ret_value)
{
    struct json_span name = {0}, value;
    if (v.kind != JSON_MAP && v.kind != JSON_LIST)
        return false;
    if (!json_next(v.raw, whole(v), cursor, &name, &value))
        return false;
    *ret_value = (struct json_view){value.kind, json_raw(v.raw, value)};
    if (v.kind == JSON_MAP)
        *ret_name = slice_make(v.raw.at + name.start + 1, name.end - name.start - 2);
    else
        *ret_name = (struct slice){0};
    return true;
}

void
json_view_fields(struct json_view map, const char *const *names, size_t count,
                 struct json_view *ret)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view value;
    memset(ret, 0, count * sizeof(*ret));
    if (map.kind != JSON_MAP)
        return;
    while (json_view_next(map, &cursor, &name, &value))
        for (size_t i = 0; i < count; i++)
            if (slice_is(name, names[i])) {
                ret[i] = value;
                break;
            }
}

struct json_view
json_view_get(struct json_view map, const char *name)
{
    struct json_view found;
    json_view_fields(map, &name, 1, &found);
    return found;
}

size_t
json_view_count(struct json_view v)
{
    size_t cursor = 0, n = 0;
    struct slice name;
    struct json_view value;
    while (json_view_next(v, &cursor, &name, &value))
        n++;
    return n;
}

int
json_view_text(struct json_view v, struct arena *a, struct slice *ret_text)
{
    return json_text(v.raw, whole(v), a, ret_text);
}

int
json_view_opt_text(struct json_view v, struct arena *a, struct slice *ret_text)
{
    *ret_text = (struct slice){0};
    return json_view_is_set(v) ? json_view_text(v, a, ret_text) : 0;
}

int
json_view_int(struct json_view v, int64_t *ret_value)
{
    return json_int(v.raw, whole(v), ret_value);
}

int64_t
json_view_int_or(struct json_view v, int64_t otherwise)
{
    int64_t n;
    return v.kind == JSON_NUMBER && json_view_int(v, &n) == 0 ? n : otherwise;
}

bool
json_view_is(struct json_view v, const char *text)
{
    return v.kind == JSON_TEXT && v.raw.len >= 2 &&
           slice_is(slice_make(v.raw.at + 1, v.raw.len - 2), text);
}
