/* See cookie.h. */
#include "controlplane/api/cookie.h"

static const char *
prefix(const struct plane *p)
{
    return strncmp(p->config.admin_public_url, "https://", 8) == 0 ? "__Host-" : "";
}

static bool
is_named(const struct plane *p, struct slice name, const char *ours)
{
    struct slice before = slice_of(prefix(p));
    return slice_starts(name, before) && slice_is(slice_from(name, before.len), ours);
}

struct slice
cookie_find(const struct plane *p, struct slice field, const char *name)
{
    struct slice rest = field, found = slice_none();
    if (!p->config.admin_public_url)
        return found;
    while (rest.len > 0) {
        struct slice value = slice_trim(slice_cut(&rest, ';'));
        if (!is_named(p, slice_cut(&value, '='), name))
            continue;
        if (found.at)
            return slice_none();
        found = value;
    }
    return found;
}

int
cookie_add(const struct plane *p, struct buf *into, const char *name, struct slice value,
           long max_age_s)
{
    bool secure = *prefix(p) != '\0';
    bool strict = strcmp(name, COOKIE_SIGN_IN) != 0; /* that one comes back from the provider */
    int err = buf_addf(into, "%s%s=%.*s; Path=/; HttpOnly; SameSite=%s%s", prefix(p), name,
                       SLICE_ARG(value), strict ? "Strict" : "Lax", secure ? "; Secure" : "");
    if (!err && (value.len == 0 || max_age_s > 0))
        err = buf_addf(into, "; Max-Age=%ld", value.len ? max_age_s : 0);
    return err ? err : buf_add_str(into, "\n");
}
