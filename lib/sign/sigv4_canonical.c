#include "lib/sign/sigv4_canonical.h"

#include <stdlib.h>

#define LIMIT_SEGMENTS 128 /* of a path */

static bool
is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool
is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

static char
upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Percent-encodes what is not unreserved; keep_escapes: but for escapes that are there. */
static int
add_encoded(struct buf *into, struct slice s, bool keep_escapes)
{
    static const char digits[] = "0123456789ABCDEF";
    int err = 0;
    for (size_t i = 0; i < s.len && err == 0; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (is_unreserved(s.at[i])) {
            err = buf_add(into, s.at + i, 1);
        } else if (keep_escapes && c == '%' && s.len - i > 2 && is_hex(s.at[i + 1]) &&
                   is_hex(s.at[i + 2])) {
            err = buf_add(into, (char[]){'%', upper(s.at[i + 1]), upper(s.at[i + 2])}, 3);
            i += 2;
        } else {
            err = buf_add(into, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
        }
    }
    return err;
}

/* --- path ------------------------------------------------------------------------------------- */

/* Without "." and "..", and without empty segments but for a last one. */
static int
split_path(struct slice path, struct slice segments[static LIMIT_SEGMENTS], size_t *ret_count)
{
    size_t count = 0;
    while (path.at && path.len > 0) {
        struct slice segment = slice_cut(&path, '/');
        if (slice_is(segment, ".."))
            count = count > 0 ? count - 1 : 0;
        if (segment.len == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
            continue;
        if (count == LIMIT_SEGMENTS)
            return ERR_LIMIT;
        segments[count++] = segment;
    }
    *ret_count = count;
    return 0;
}

static int
add_path(struct buf *into, struct slice path)
{
    struct slice segments[LIMIT_SEGMENTS];
    size_t count = 0;
    int err = split_path(path, segments, &count);
    for (size_t i = 0; i < count && err == 0; i++) {
        err = buf_add_str(into, "/");
        if (err == 0)
            err = add_encoded(into, segments[i], false);
    }
    if (err == 0 && (count == 0 || path.at[path.len - 1] == '/'))
        err = buf_add_str(into, "/");
    return err;
}

/* --- query ------------------------------------------------------------------------------------ */

/* Offsets, since the buffer that holds the encoded text moves while it grows. */
struct parameter {
    size_t name, name_len, value, value_len;
    const struct buf *text;
};

static int
compare_bytes(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.at, b.at, n) : 0;
    if (order != 0 || a.len == b.len)
        return order;
    return a.len < b.len ? -1 : 1;
}

static struct slice
name_of(const struct parameter *p)
{
    return slice_make(p->text->at + p->name, p->name_len);
}

static struct slice
value_of(const struct parameter *p)
{
    return slice_make(p->text->at + p->value, p->value_len);
}

static int
compare_parameters(const void *left, const void *right)
{
    const struct parameter *a = left, *b = right;
    int order = compare_bytes(name_of(a), name_of(b));
    return order != 0 ? order : compare_bytes(value_of(a), value_of(b));
}

static int
read_query(struct slice query, struct buf *text, struct parameter *parameters, size_t *ret_count)
{
    size_t count = 0;
    while (query.at && query.len > 0) {
        struct slice value = slice_cut(&query, '&'), name = slice_cut(&value, '=');
        if (name.len == 0 && !value.at)
            continue;
        if (count == LIMIT_SIGV4_QUERY)
            return ERR_LIMIT;
        struct parameter *p = &parameters[count++];
        *p = (struct parameter){.name = text->len, .text = text};
        int err = add_encoded(text, name, true);
        p->value = text->len;
        p->name_len = p->value - p->name;
        if (err == 0)
            err = add_encoded(text, value, true);
        p->value_len = text->len - p->value;
        if (err != 0)
            return err;
    }
    *ret_count = count;
    return 0;
}

static int
add_query(struct buf *into, struct slice query)
{
    struct parameter parameters[LIMIT_SIGV4_QUERY];
    struct buf text;
    size_t count = 0;
    buf_init(&text, LIMIT_SIGV4_CANONICAL_BYTES);
    int err = read_query(query, &text, parameters, &count);
    if (err == 0 && count > 1)
        qsort(parameters, count, sizeof parameters[0], compare_parameters);
    for (size_t i = 0; i < count && err == 0; i++) {
        struct slice name = name_of(&parameters[i]), value = value_of(&parameters[i]);
        err = buf_addf(into, "%s%.*s=%.*s", i > 0 ? "&" : "", SLICE_ARG(name), SLICE_ARG(value));
    }
    buf_free(&text);
    return err;
}

/* --- headers ---------------------------------------------------------------------------------- */

static int
compare_names(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < n; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return lower(a.at[i]) < lower(b.at[i]) ? -1 : 1;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

/* By insertion: they are few, and those of one name must stay as they came. */
static void
sort_headers(struct sigv4_header *headers, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sigv4_header moved = headers[i];
        size_t at = i;
        for (; at > 0 && compare_names(headers[at - 1].name, moved.name) > 0; at--)
            headers[at] = headers[at - 1];
        headers[at] = moved;
    }
}

static int
check_header(const struct sigv4_header *h)
{
    bool bad = h->name.len == 0;
    for (size_t i = 0; i < h->name.len; i++)
        bad |= h->name.at[i] == ':' || h->name.at[i] == '\n' || h->name.at[i] == '\r';
    for (size_t i = 0; i < h->value.len; i++)
        bad |= h->value.at[i] == '\n' || h->value.at[i] == '\r';
    return bad ? ERR_SYNTAX : 0;
}

static int
add_name(struct buf *into, struct slice name)
{
    int err = 0;
    for (size_t i = 0; i < name.len && err == 0; i++)
        err = buf_add(into, (char[]){lower(name.at[i])}, 1);
    return err;
}

/* Trimmed, and runs of spaces made one. */
static int
add_value(struct buf *into, struct slice value)
{
    int err = 0;
    value = slice_trim(value);
    for (size_t i = 0; i < value.len && err == 0; i++)
        if (value.at[i] != ' ' || value.at[i - 1] != ' ')
            err = buf_add(into, value.at + i, 1);
    return err;
}

static bool
repeats(const struct sigv4_header *headers, size_t i)
{
    return i > 0 && compare_names(headers[i - 1].name, headers[i].name) == 0;
}

static int
add_headers(struct buf *into, const struct sigv4_header *headers, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        err = check_header(&headers[i]);
        if (err == 0 && repeats(headers, i)) {
            err = buf_add_str(into, ",");
        } else if (err == 0) {
            err = buf_add_str(into, i > 0 ? "\n" : "");
            err = err != 0 ? err : add_name(into, headers[i].name);
            err = err != 0 ? err : buf_add_str(into, ":");
        }
        err = err != 0 ? err : add_value(into, headers[i].value);
    }
    return err != 0 ? err : buf_add_str(into, "\n\n");
}

static int
add_names(struct buf *into, const struct sigv4_header *headers, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (!repeats(headers, i)) {
            err = buf_add_str(into, i > 0 ? ";" : "");
            err = err != 0 ? err : add_name(into, headers[i].name);
        }
    return err;
}

int
sigv4_canonical(const struct sigv4_request *r, struct sigv4_header *headers, size_t count,
                const char *content_sha256, struct buf *into, size_t *ret_names_at,
                size_t *ret_names_len)
{
    sort_headers(headers, count);
    int err = buf_addf(into, "%.*s\n", SLICE_ARG(r->method));
    err = err != 0 ? err : add_path(into, r->path);
    err = err != 0 ? err : buf_add_str(into, "\n");
    err = err != 0 ? err : add_query(into, r->query);
    err = err != 0 ? err : buf_add_str(into, "\n");
    err = err != 0 ? err : add_headers(into, headers, count);
    *ret_names_at = into->len;
    err = err != 0 ? err : add_names(into, headers, count);
    *ret_names_len = into->len - *ret_names_at;
    return err != 0 ? err : buf_addf(into, "\n%s", content_sha256);
}
