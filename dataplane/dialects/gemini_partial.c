#include "dataplane/dialects/gemini_partial.h"

#include <string.h>

/* --- paths ------------------------------------------------------------------------------------ */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* at: behind "["; a number, or a quoted name. */
static int
read_bracket(struct slice *rest, struct gemini_step *step)
{
    char quote = rest->len ? rest->at[0] : '\0';
    if (quote == '\'' || quote == '"') {
        size_t end = slice_find(*rest, quote, 1);
        if (end + 1 >= rest->len || rest->at[end + 1] != ']')
            return ERR_PROTOCOL;
        step->name = slice_make(rest->at + 1, end - 1);
        *rest = slice_from(*rest, end + 2);
        return 0;
    }
    size_t n = 0;
    step->is_index = true;
    for (; n < rest->len && is_digit(rest->at[n]) && n < 7; n++)
        step->index = step->index * 10 + (unsigned)(rest->at[n] - '0');
    if (n == 0 || n >= rest->len || rest->at[n] != ']')
        return ERR_PROTOCOL;
    *rest = slice_from(*rest, n + 1);
    return 0;
}

/* "$.a.b[0]['c d']" */
static int
read_path(struct slice path, struct gemini_step *steps, size_t *ret_depth)
{
    size_t depth = 0;
    if (path.len < 2 || path.at[0] != '$')
        return ERR_PROTOCOL;
    path = slice_from(path, 1);
    for (; path.len; depth++) {
        if (depth == LIMIT_PARTIAL_DEPTH)
            return ERR_LIMIT;
        steps[depth] = (struct gemini_step){.is_index = false};
        char mark = path.at[0];
        path = slice_from(path, 1);
        if (mark == '[') {
            if (read_bracket(&path, &steps[depth]))
                return ERR_PROTOCOL;
            continue;
        }
        size_t n = 0;
        while (n < path.len && path.at[n] != '.' && path.at[n] != '[')
            n++;
        if (mark != '.' || n == 0)
            return ERR_PROTOCOL;
        steps[depth].name = slice_make(path.at, n);
        path = slice_from(path, n);
    }
    *ret_depth = depth;
    return steps[0].is_index ? ERR_PROTOCOL : 0; /* arguments are an object */
}

/* --- values ----------------------------------------------------------------------------------- */

enum { VALUE_PATH, VALUE_TEXT, VALUE_NUMBER, VALUE_BOOL, VALUE_NULL, VALUE_GOES_ON, VALUE_NAMES };
static const char *const value_names[VALUE_NAMES] = {
    "jsonPath", "stringValue", "numberValue", "boolValue", "nullValue", "willContinue",
};

/* The text without its quotes: what is escaped stays so. */
static struct slice
inner(struct json_view text)
{
    return slice_make(text.raw.at + 1, text.raw.len - 2);
}

static int
close_text(struct gemini_partial *p, struct buf *into)
{
    if (!p->in_text)
        return 0;
    p->in_text = false;
    return buf_add_str(into, "\"");
}

static int
add_value(struct gemini_partial *p, const struct json_view *at, struct buf *into)
{
    if (at[VALUE_TEXT].kind == JSON_TEXT) {
        int err = buf_add_str(into, "\"");
        if (!err)
            err = buf_add_slice(into, inner(at[VALUE_TEXT]));
        p->in_text = true;
        if (!err && at[VALUE_GOES_ON].kind != JSON_TRUE_)
            err = close_text(p, into);
        return err;
    }
    if (at[VALUE_NUMBER].kind == JSON_NUMBER)
        return buf_add_slice(into, at[VALUE_NUMBER].raw);
    if (at[VALUE_BOOL].kind == JSON_TRUE_ || at[VALUE_BOOL].kind == JSON_FALSE_)
        return buf_add_slice(into, at[VALUE_BOOL].raw);
    return at[VALUE_NULL].kind != JSON_ABSENT ? buf_add_str(into, "null") : ERR_PROTOCOL;
}

/* --- the text --------------------------------------------------------------------------------- */

static bool
is_same(const struct gemini_step *a, const struct gemini_step *b)
{
    if (a->is_index != b->is_index)
        return false;
    return a->is_index ? a->index == b->index : slice_eq(a->name, b->name);
}

static size_t
common(const struct gemini_partial *p, const struct gemini_step *steps, size_t depth)
{
    size_t n = 0;
    while (n < p->depth && n < depth && is_same(&p->steps[n], &steps[n]))
        n++;
    return n;
}

static int
add_name(const struct gemini_step *step, struct buf *into)
{
    if (step->is_index)
        return 0;
    int err = json_quote(into, step->name);
    return err ? err : buf_add_str(into, ":");
}

/* Closes the containers of the last value down to those that the new one is in too. */
static int
close_down(const struct gemini_partial *p, size_t keep, struct buf *into)
{
    int err = 0;
    for (size_t i = p->depth; i > keep + 1 && !err; i--)
        err = buf_add_str(into, p->steps[i - 1].is_index ? "]" : "}");
    return err;
}

/* Moves from the last value's place to a new one's, up to where the value is to be written. */
static int
move(const struct gemini_partial *p, const struct gemini_step *steps, size_t depth,
     struct buf *into)
{
    size_t same = common(p, steps, depth);
    const struct gemini_step *first = &steps[same];
    int err = 0;
    if (p->depth == 0) {
        err = buf_add_str(into, "{");
    } else {
        if (same == p->depth || same == depth || p->steps[same].is_index != first->is_index ||
            (first->is_index && first->index != p->steps[same].index + 1))
            return ERR_PROTOCOL;
        err = close_down(p, same, into);
        if (!err)
            err = buf_add_str(into, ",");
    }
    if (!err)
        err = add_name(first, into);
    for (size_t i = same + 1; i < depth && !err; i++) {
        if (steps[i].is_index && steps[i].index != 0)
            return ERR_PROTOCOL;
        err = buf_add_str(into, steps[i].is_index ? "[" : "{");
        if (!err)
            err = add_name(&steps[i], into);
    }
    return err;
}

int
gemini_partial_add(struct gemini_partial *p, struct json_view entry, struct arena *a,
                   struct buf *into)
{
    struct json_view at[VALUE_NAMES];
    struct gemini_step steps[LIMIT_PARTIAL_DEPTH];
    struct slice path;
    size_t depth = 0;
    json_view_fields(entry, value_names, VALUE_NAMES, at);
    int err = json_view_text(at[VALUE_PATH], a, &path);
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    if (path.len > LIMIT_PARTIAL_PATH_BYTES)
        return ERR_LIMIT;
    size_t which = 1 - p->which;
    memcpy(p->paths[which], path.at, path.len);
    err = read_path(slice_make(p->paths[which], path.len), steps, &depth);
    if (err)
        return err;
    if (p->in_text && depth == p->depth && common(p, steps, depth) == depth) {
        if (at[VALUE_TEXT].kind == JSON_TEXT)
            err = buf_add_slice(into, inner(at[VALUE_TEXT]));
        if (!err && at[VALUE_GOES_ON].kind != JSON_TRUE_)
            err = close_text(p, into);
        return err;
    }
    err = close_text(p, into);
    if (!err)
        err = move(p, steps, depth, into);
    if (!err)
        err = add_value(p, at, into);
    memcpy(p->steps, steps, depth * sizeof(steps[0]));
    p->depth = depth;
    p->which = which;
    return err;
}

int
gemini_partial_end(struct gemini_partial *p, struct buf *into)
{
    if (p->depth == 0)
        return buf_add_str(into, "{}");
    int err = close_text(p, into);
    if (!err)
        err = close_down(p, 0, into);
    if (!err)
        err = buf_add_str(into, "}");
    p->depth = 0;
    return err;
}
