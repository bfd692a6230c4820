/* Where the methods of OpenAI's API are at those who have them. */
#include "dataplane/dialects/compat.h"

#include <string.h>

/* What a deployment's name may have in it besides letters and digits without being escaped. */
static bool
is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr("-._~", c, 4);
}

/* A text as one segment of a path, or one value of a query. */
static struct slice
escaped(struct arena *a, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *at = arena_alloc(a, 3 * text.len + 1), *to = at;
    if (!at)
        return (struct slice){0};
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (is_unreserved(text.at[i])) {
            *to++ = text.at[i];
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    return slice_make(at, (size_t)(to - at));
}

/* Azure has two surfaces. The one without versions takes the deployment's name for a model; of the
 * older one the deployment and a version are part of the address. base_url is the resource's root,
 * or goes on to either. */
static char *
azure_path(const struct dialect_target *t, const char *method, struct arena *a)
{
    const struct policy_provider *p = t->provider;
    bool has_v1 = slice_ends(p->path, SLICE("/openai/v1"));
    bool has_root = has_v1 || slice_ends(p->path, SLICE("/openai"));
    bool is_v1 = has_v1 || p->api_version.len == 0 || slice_is(p->api_version, "v1") ||
                 slice_is(p->api_version, "preview");
    struct slice version = escaped(a, p->api_version), deployment = escaped(a, t->model);
    if (!version.at || !deployment.at)
        return NULL;
    if (is_v1)
        return arena_printf(a, "%s%s%s%.*s",
                            has_v1     ? ""
                            : has_root ? "/v1"
                                       : "/openai/v1",
                            method, version.len ? "?api-version=" : "", SLICE_ARG(version));
    return arena_printf(a, "%s/deployments/%.*s%s?api-version=%.*s", has_root ? "" : "/openai",
                        SLICE_ARG(deployment), method, SLICE_ARG(version));
}

int
compat_address(const struct dialect_target *t, const char *method, struct arena *a,
               struct slice *ret_path)
{
    *ret_path = slice_of(method);
    if (t->provider->kind == PROVIDER_AZURE_OPENAI)
        *ret_path = slice_of(azure_path(t, method, a));
    return ret_path->at ? 0 : ERR_NOMEM;
}
