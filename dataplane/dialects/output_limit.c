/* How a limit of the output is put into a body that goes up as it is: see dialect.h. */
#include "dataplane/dialects/dialect.h"

#include <inttypes.h>

static void
put(struct output_edits *e, size_t start, size_t end, const char *text)
{
    e->at[e->count++] = (struct json_splice){start, end, slice_of(text)};
}

/* Whatever was scanned before, and is scanned again, can fail for one reason only. */
static int
find(struct slice body, const struct json_span *map, const char *const *names, size_t count,
     struct json_span *ret_at, struct json_span *ret_map)
{
    struct json_span root;
    struct json_error why;
    struct slice text = map ? json_raw(body, *map) : body;
    if (json_scan(text, &json_limits_default, names, count, ret_at, &root, &why) != 0)
        return ERR_NOMEM;
    *ret_map = map ? *map : root;
    for (size_t i = 0; map && i < count; i++) {
        ret_at[i].start += map->start;
        ret_at[i].end += map->start;
    }
    return 0;
}

static int
put_in(struct slice body, struct json_span map, const char *name, const char *number,
       struct arena *a, struct output_edits *ret)
{
    struct json_span first, value;
    size_t cursor = map.start;
    bool empty = !json_next(body, map, &cursor, &first, &value);
    const char *member = arena_printf(a, "\"%s\":%s%s", name, number, empty ? "" : ",");
    if (!member)
        return ERR_NOMEM;
    put(ret, map.start + 1, map.start + 1, member);
    return 0;
}

int
dialect_limit_member(struct slice body, const struct json_span *map, const char *const *names,
                     size_t count, const char *name, int64_t n, struct arena *a,
                     struct output_edits *ret)
{
    struct json_span at[LIMIT_OUTPUT_EDITS], whole;
    const struct json_span *null = NULL;
    const char *number = arena_printf(a, "%" PRId64, n);
    bool given = false;
    ret->count = 0;
    if (!number || find(body, map, names, count, at, &whole) != 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        int64_t theirs = 0;
        if (at[i].kind == JSON_NULL_)
            null = &at[i];
        if (at[i].kind != JSON_NUMBER)
            continue;
        given = true;
        if (json_int(body, at[i], &theirs) != 0 || theirs > n)
            put(ret, at[i].start, at[i].end, number);
    }
    if (!given && null)
        put(ret, null->start, null->end, number);
    return given || null ? 0 : put_in(body, whole, name, number, a, ret);
}
