#include "dataplane/front/front.h"
#include "lib/base/utf8.h"

static const struct endpoint chat = {ENDPOINT_CHAT, "chat.completions", "/chat/completions", true};
static const struct endpoint completions = {ENDPOINT_COMPLETIONS, "completions", "/completions",
                                            true};
static const struct endpoint embeddings = {ENDPOINT_EMBEDDINGS, "embeddings", "/embeddings", false};
static const struct endpoint models = {ENDPOINT_MODELS, "models", NULL, false};

const char *const front_endpoint_names[ENDPOINT_KINDS + 1] = {
    [ENDPOINT_CHAT] = "chat.completions",
    [ENDPOINT_COMPLETIONS] = "completions",
    [ENDPOINT_EMBEDDINGS] = "embeddings",
    [ENDPOINT_MODELS] = "models",
    [ENDPOINT_KINDS] = "none",
};

enum { GET, POST };

/* clang-format off */
static const struct row {
    const char *path;
    bool prefix; /* the subject follows */
    int method;
    enum route_kind kind;
    const struct endpoint *endpoint;
} rows[] = {
    { "/v1/chat/completions", false, POST, ROUTE_REQUEST, &chat },
    { "/v1/completions",      false, POST, ROUTE_REQUEST, &completions },
    { "/v1/embeddings",       false, POST, ROUTE_REQUEST, &embeddings },
    { "/v1/models",           false, GET,  ROUTE_REQUEST, &models },
    { "/v1/models/",          true,  GET,  ROUTE_REQUEST, &models },
    { "/healthz",             false, GET,  ROUTE_HEALTH,  NULL },
    { "/readyz",              false, GET,  ROUTE_READY,   NULL },
};
/* clang-format on */

static bool
is_method(struct slice method, int wanted)
{
    if (wanted == POST)
        return slice_is(method, "POST");
    return slice_is(method, "GET") || slice_is(method, "HEAD");
}

static bool
is_path(const struct row *row, struct slice path)
{
    struct slice wanted = slice_of(row->path);
    if (row->prefix)
        return path.len > wanted.len && slice_starts(path, wanted);
    return slice_eq(path, wanted);
}

struct front_route
front_find(struct slice method, struct slice target)
{
    struct slice path = slice_cut(&target, '?');
    /* OpenAI SDKs are also pointed at /openai/v1. */
    if (slice_starts(path, SLICE("/openai/v1/")))
        path = slice_from(path, sizeof("/openai") - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (!is_path(row, path))
            continue;
        struct front_route route = {.kind = row->kind, .endpoint = row->endpoint};
        if (!is_method(method, row->method)) {
            route.kind = ROUTE_WRONG_METHOD;
            route.allow = row->method == POST ? "POST" : "GET, HEAD";
        }
        if (row->prefix)
            route.subject = slice_from(path, slice_of(row->path).len);
        return route;
    }
    return (struct front_route){.kind = ROUTE_NONE};
}

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
is_utf8(struct slice s)
{
    uint32_t code;
    while (s.len) {
        size_t n = utf8_take(s.at, s.len, &code);
        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

struct slice
front_unescape(struct slice text, struct arena *a)
{
    char *to = arena_alloc(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? digit(text.at[i + 1]) : -1;
            int low = high >= 0 ? digit(text.at[i + 2]) : -1;
            if (low < 0)
                return (struct slice){0};
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return (struct slice){0};
        to[n++] = c;
    }
    if (!to || !is_utf8(slice_make(to, n)))
        return (struct slice){0};
    return slice_make(to, n);
}
