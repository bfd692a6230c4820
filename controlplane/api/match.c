/* Finding a route: exact segments, one {parameter} for one segment, nothing normalised. */
#include <stdio.h>

#include "controlplane/api/dispatch.h"

static bool
match_path(const char *pattern, struct slice path, struct slice params[4])
{
    struct slice want_rest = slice_of(pattern), got_rest = path;
    size_t count = 0;
    while (want_rest.at && got_rest.at) {
        struct slice want = slice_cut(&want_rest, '/');
        struct slice got = slice_cut(&got_rest, '/');
        if (want.len > 0 && want.at[0] == '{') {
            if (got.len == 0 || count == 4)
                return false;
            params[count++] = got;
        } else if (!slice_eq(want, got)) {
            return false;
        }
    }
    return !want_rest.at && !got_rest.at;
}

const struct route *
api_route_find(bool litellm, struct slice method, struct slice path, struct slice params[4],
               char *ret_allow, size_t allow_room)
{
    size_t used = 0;
    bool plain = false; /* a path without parameters hides those behind it that have some */
    ret_allow[0] = '\0';
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *route = &api_routes[i];
        bool off = route->access & API_LITELLM && !litellm;
        if (off || !match_path(route->path, path, params) || (plain && strchr(route->path, '{')))
            continue;
        plain = plain || !strchr(route->path, '{');
        if (slice_is(method, route->method))
            return route;
        int n =
            snprintf(ret_allow + used, allow_room - used, "%s%s", used ? ", " : "", route->method);
        used += n > 0 && (size_t)n < allow_room - used ? (size_t)n : 0;
    }
    return NULL;
}

bool
api_path_is_public(struct slice path)
{
    struct slice params[4] = {{0}};
    for (size_t i = 0; i < api_route_count; i++)
        if (strcmp(api_routes[i].permission, "public") == 0 &&
            match_path(api_routes[i].path, path, params))
            return true;
    return false;
}
