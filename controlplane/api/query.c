/* Query parameters and pages. A cursor is base64url of "PATH\nAFTER": opaque, and good for its
 * route only. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/api.h"
#include "controlplane/api/dispatch.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/utf8.h"

#define LIMIT_CURSOR_BYTES 1024

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A name that is not UTF-8 is nobody's, and PostgreSQL would take offence. */
static bool
is_utf8(struct slice text)
{
    uint32_t code;
    for (size_t i = 0, n; i < text.len; i += n)
        if ((n = utf8_take(text.at + i, text.len - i, &code)) == 0)
            return false;
    return true;
}

int
api_percent_decode(struct arena *a, struct slice text, bool plus_is_space, struct slice *ret_text)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t n = 0;
    if (!out)
        return ERR_NOMEM;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.at[i + 2]) : -1;
            if (low < 0)
                return ERR_SYNTAX;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return ERR_SYNTAX; /* PostgreSQL's texts end there */
        out[n++] = c;
    }
    out[n] = '\0';
    *ret_text = slice_make(out, n);
    return is_utf8(*ret_text) ? 0 : ERR_SYNTAX;
}

struct slice
api_query(struct api_request *r, const char *name)
{
    struct slice rest = r->query, value = {NULL, 0};
    while (rest.len > 0) {
        struct slice one = slice_cut(&rest, '&');
        struct slice key = slice_cut(&one, '=');
        if (slice_is(key, name) && api_percent_decode(&r->arena, one, true, &value) == 0)
            return value;
    }
    return (struct slice){NULL, 0};
}

int
api_query_time(struct api_request *r, struct api_reply *reply, const char *name,
               int64_t *ret_wall_ms)
{
    struct slice text = api_query(r, name);
    if (!text.at || clock_parse_rfc3339(text.at, ret_wall_ms) == 0)
        return 0;
    return api_problem(reply, 400, "invalid_parameter",
                       "%s: must be a time such as 2027-01-31T12:00:00Z, or a date", name);
}

static int
read_cursor(struct api_request *r, struct slice cursor, const char **ret_after)
{
    char *text = arena_alloc(&r->arena, cursor.len / 4 * 3 + 4);
    size_t len = 0;
    if (!text || cursor.len > LIMIT_CURSOR_BYTES || base64_decode(cursor, text, &len) != 0)
        return ERR_SYNTAX;
    text[len] = '\0';
    struct slice rest = slice_make(text, len);
    struct slice path = slice_cut(&rest, '\n');
    if (!rest.at || strlen(text) != len || !slice_eq(path, r->path))
        return ERR_SYNTAX;
    *ret_after = rest.at;
    return 0;
}

int
api_page(struct api_request *r, struct api_reply *reply, int64_t *ret_limit, const char **ret_after)
{
    struct slice limit = api_query(r, "limit"), cursor = api_query(r, "cursor");
    unsigned long long n = DEFAULT_PAGE_ITEMS;
    *ret_after = "";
    if (limit.at && (slice_to_u64(limit, &n) != 0 || n < 1 || n > LIMIT_PAGE_ITEMS))
        return api_problem(reply, 400, "invalid_parameter", "limit: must be from 1 to %d",
                           LIMIT_PAGE_ITEMS);
    *ret_limit = (int64_t)n;
    if (cursor.at && read_cursor(r, cursor, ret_after) != 0)
        return api_problem(reply, 400, "invalid_cursor",
                           "cursor: not one that this list gave; begin without it");
    return 0;
}

static struct json *
make_cursor(struct api_request *r, const char *after)
{
    size_t n = r->path.len + 1 + strlen(after);
    char *plain = arena_printf(&r->arena, "%.*s\n%s", SLICE_ARG(r->path), after);
    char *text = plain ? arena_alloc(&r->arena, BASE64_BYTES(n)) : NULL;
    if (!text)
        return NULL;
    size_t len = base64url_encode(plain, n, text);
    return json_new_text(slice_make(text, len));
}

int
api_page_reply(struct api_request *r, struct api_reply *reply, struct json *data, const char *after)
{
    reply->body = json_new_map();
    int err = reply->body ? 0 : ERR_NOMEM;
    if (err)
        json_free(data);
    else
        err = json_set(reply->body, "data", data);
    if (!err)
        err = json_set(reply->body, "next", after ? make_cursor(r, after) : json_new_null());
    return err ? api_fail(r, reply, err) : 0;
}
