#include "lib/http/url.h"

#include "lib/http/message.h"

static int
refuse(const char **ret_why, const char *why)
{
    if (ret_why)
        *ret_why = why;
    return ERR_SYNTAX;
}

static int
parse_port(struct slice text, int *ret_port)
{
    unsigned long long port;
    if (text.len > 5 || slice_to_u64(text, &port) != 0 || port == 0 || port > 65535)
        return ERR_SYNTAX;
    *ret_port = (int)port;
    return 0;
}

/* authority = host [":" port], checked for its characters already. */
static int
split_authority(struct slice authority, struct url *u, const char **ret_why)
{
    struct slice rest;
    if (authority.at[0] == '[') {
        size_t end = slice_find(authority, ']', 0);
        u->host = slice_make(authority.at + 1, end - 1);
        rest = slice_from(authority, end + 1);
    } else {
        size_t colon = slice_find(authority, ':', 0);
        u->host = slice_make(authority.at, colon);
        rest = slice_from(authority, colon);
    }
    if (rest.len > 0 && parse_port(slice_from(rest, 1), &u->port) != 0)
        return refuse(ret_why, "the port must be 1 to 65535");
    return 0;
}

int
url_parse(struct slice text, struct url *ret_url, const char **ret_why)
{
    struct url u = {.port = 0};
    if (text.len >= 8 && slice_eq_nocase(slice_make(text.at, 8), SLICE("https://"))) {
        u.https = true;
        u.port = 443;
        text = slice_from(text, 8);
    } else if (text.len >= 7 && slice_eq_nocase(slice_make(text.at, 7), SLICE("http://"))) {
        u.port = 80;
        text = slice_from(text, 7);
    } else {
        return refuse(ret_why, "a URL starts with http:// or https://");
    }
    size_t end = 0;
    while (end < text.len && text.at[end] != '/' && text.at[end] != '?' && text.at[end] != '#')
        end++;
    struct slice authority = {text.at, end};
    u.path = slice_from(text, end);
    if (slice_find(authority, '@', 0) < authority.len)
        return refuse(ret_why, "a URL must not carry a user name or password");
    if (!http_is_authority(authority))
        return refuse(ret_why, "the host name is missing or malformed");
    if (slice_find(u.path, '#', 0) < u.path.len)
        return refuse(ret_why, "a URL must not have a fragment (#)");
    if (u.path.len > 0 && !http_is_path(u.path))
        return refuse(ret_why, u.path.at[0] == '/' ? "the path has characters that must be escaped"
                                                   : "a query needs a path before it");
    int err = split_authority(authority, &u, ret_why);
    if (err == 0)
        *ret_url = u;
    return err;
}
