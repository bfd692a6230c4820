#include "dataplane/dialects/gemini_internal.h"

bool
gemini_name_is(struct slice written, const char *camel)
{
    size_t i = 0;
    for (; *camel; camel++, i++) {
        if (i < written.len && written.at[i] == *camel)
            continue;
        if (*camel < 'A' || *camel > 'Z' || i + 1 >= written.len || written.at[i] != '_' ||
            written.at[i + 1] != *camel - 'A' + 'a')
            return false;
        i++;
    }
    return i == written.len;
}

void
gemini_fields(struct json_view map, const char *const *camel, size_t count, struct json_view *ret)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view value;
    memset(ret, 0, count * sizeof(*ret));
    if (map.kind != JSON_MAP)
        return;
    while (json_view_next(map, &cursor, &name, &value))
        for (size_t i = 0; i < count; i++)
            if (gemini_name_is(name, camel[i])) {
                ret[i] = value;
                break;
            }
}

struct json_view
gemini_get(struct json_view map, const char *camel)
{
    struct json_view found;
    gemini_fields(map, &camel, 1, &found);
    return found;
}

bool
gemini_each(struct json_view list, size_t *cursor, struct json_view *ret)
{
    struct slice name;
    if (list.kind == JSON_LIST)
        return json_view_next(list, cursor, &name, ret);
    *ret = list;
    return list.kind == JSON_MAP && (*cursor)++ == 0;
}

size_t
gemini_count(struct json_view list)
{
    return list.kind == JSON_LIST ? json_view_count(list) : list.kind == JSON_MAP;
}

struct slice
gemini_enum(struct json_view v, const char *const *words, size_t count)
{
    int64_t n = json_view_int_or(v, -1);
    if (v.kind == JSON_TEXT)
        return slice_make(v.raw.at + 1, v.raw.len - 2);
    if (n >= 0 && (size_t)n < count && words[n])
        return slice_of(words[n]);
    return (struct slice){0};
}

/* --- models ----------------------------------------------------------------------------------- */

/* "gemini-2.5-pro" of "models/gemini-2.5-pro" and the like. */
static struct slice
bare(struct slice model)
{
    for (size_t i = model.len; i > 0; i--)
        if (model.at[i - 1] == '/')
            return slice_from(model, i);
    return model;
}

enum gemini_family
gemini_family_of(struct slice model)
{
    static const struct {
        struct slice prefix;
        enum gemini_family family;
    } rows[] = {
        {{"gemini-1", 8}, GEMINI_OLD},
        {{"gemini-2.0", 10}, GEMINI_OLD},
        {{"gemini-pro-latest", 17}, GEMINI_2_5},
        {{"gemini-pro", 10}, GEMINI_OLD},
        {{"gemini-exp", 10}, GEMINI_OLD},
        {{"gemini-2.5", 10}, GEMINI_2_5},
        {{"gemini-robotics", 15}, GEMINI_2_5},
        {{"gemini-flash", 12}, GEMINI_2_5},
        {{"gemma", 5}, GEMINI_GEMMA},
    };
    model = bare(model);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_starts(model, rows[i].prefix))
            return rows[i].family;
    /* Later ones, and names that say nothing (tuned models, which are 2.5 at best). */
    return slice_starts(model, SLICE("gemini-")) ? GEMINI_3 : GEMINI_2_5;
}

bool
gemini_takes_json_schema(struct slice model)
{
    enum gemini_family family = gemini_family_of(model);
    return family == GEMINI_2_5 || family == GEMINI_3;
}
