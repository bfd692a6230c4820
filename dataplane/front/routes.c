#include "dataplane/endpoints/forward.h"
#include "dataplane/front/front.h"
#include "lib/base/utf8.h"

/* clang-format off */
static const struct endpoint
    chat            = {ENDPOINT_CHAT, "chat.completions", WAY_CHAT, DIALECT_CHAT, NULL, true, false, NULL},
    completions     = {ENDPOINT_COMPLETIONS, "completions", WAY_PLAIN, DIALECT_CHAT, "/completions", true, false, NULL},
    embeddings      = {ENDPOINT_EMBEDDINGS, "embeddings", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_embeddings},
    rerank          = {ENDPOINT_RERANK, "rerank", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_rerank},
    count_tokens    = {ENDPOINT_COUNT_TOKENS, "count_tokens", WAY_CODEC, DIALECT_ANTHROPIC, NULL, false, false, &codec_count},
    models          = {ENDPOINT_MODELS, "models", WAY_OWN, DIALECT_CHAT, NULL, false, false, NULL},
    responses       = {ENDPOINT_RESPONSES, "responses", WAY_CHAT, DIALECT_RESPONSES, NULL, true, false, NULL},
    messages        = {ENDPOINT_MESSAGES, "messages", WAY_CHAT, DIALECT_ANTHROPIC, NULL, true, false, NULL},
    moderations     = {ENDPOINT_MODERATIONS, "moderations", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_moderations},
    images          = {ENDPOINT_IMAGES, "images.generations", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_pictures},
    image_edits     = {ENDPOINT_IMAGE_EDITS, "images.edits", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_picture_edits},
    variations      = {ENDPOINT_IMAGE_VARIATIONS, "images.variations", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_picture_variations},
    speech          = {ENDPOINT_SPEECH, "audio.speech", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_speech},
    transcriptions  = {ENDPOINT_TRANSCRIPTIONS, "audio.transcriptions", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_transcriptions},
    translations    = {ENDPOINT_TRANSLATIONS, "audio.translations", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_translations},
    files           = {ENDPOINT_FILES, "files", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_files},
    batches         = {ENDPOINT_BATCHES, "batches", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_batches},
    passthrough     = {ENDPOINT_PASSTHROUGH, "passthrough", WAY_CODEC, DIALECT_CHAT, NULL, false, false, &codec_passthrough},
    messages_models = {ENDPOINT_MODELS, "models", WAY_OWN, DIALECT_ANTHROPIC, NULL, false, false, NULL},
    generate        = {ENDPOINT_GENERATE, "generate_content", WAY_CHAT, DIALECT_GEMINI, NULL, false, false, NULL},
    stream_generate = {ENDPOINT_GENERATE, "generate_content", WAY_CHAT, DIALECT_GEMINI, NULL, true, true, NULL},
    capabilities    = {ENDPOINT_CAPABILITIES, "capabilities", WAY_OWN, DIALECT_CHAT, NULL, false, false, NULL},
    gemini_models   = {ENDPOINT_MODELS, "models", WAY_OWN, DIALECT_GEMINI, NULL, false, false, NULL};
/* clang-format on */

const char *const front_endpoint_names[ENDPOINT_KINDS + 1] = {
    [ENDPOINT_CHAT] = "chat.completions",
    [ENDPOINT_COMPLETIONS] = "completions",
    [ENDPOINT_EMBEDDINGS] = "embeddings",
    [ENDPOINT_MODELS] = "models",
    [ENDPOINT_RESPONSES] = "responses",
    [ENDPOINT_MESSAGES] = "messages",
    [ENDPOINT_GENERATE] = "generate_content",
    [ENDPOINT_CAPABILITIES] = "capabilities",
    [ENDPOINT_RERANK] = "rerank",
    [ENDPOINT_COUNT_TOKENS] = "count_tokens",
    [ENDPOINT_MODERATIONS] = "moderations",
    [ENDPOINT_IMAGES] = "images.generations",
    [ENDPOINT_IMAGE_EDITS] = "images.edits",
    [ENDPOINT_IMAGE_VARIATIONS] = "images.variations",
    [ENDPOINT_SPEECH] = "audio.speech",
    [ENDPOINT_TRANSCRIPTIONS] = "audio.transcriptions",
    [ENDPOINT_TRANSLATIONS] = "audio.translations",
    [ENDPOINT_FILES] = "files",
    [ENDPOINT_BATCHES] = "batches",
    [ENDPOINT_PASSTHROUGH] = "passthrough",
    [ENDPOINT_KINDS] = "none",
};

/* ANY: but HEAD, CONNECT and the like, whose answers are of another kind. */
enum { GET, POST, DELETE, ANY };

/* Whose API a path belongs to. Each vendor's own SDK finds it where its base URL points: at the
 * root, and below a prefix of its own. */
enum api { OWN = 1, OPENAI = 2, ANTHROPIC = 4, GEMINI = 8, RERANK = 16 };

/* clang-format off */
static const struct mount {
    const char *prefix;
    unsigned apis;
    enum dialect_id dialect; /* of an error for a path that nothing answers */
} mounts[] = {
    { "/openai/v1",     OPENAI | RERANK,             DIALECT_CHAT },
    { "/openai",        OPENAI,                      DIALECT_CHAT },
    { "/anthropic/v1",  ANTHROPIC,                   DIALECT_ANTHROPIC },
    { "/genai/v1beta",  GEMINI,                      DIALECT_GEMINI },
    { "/genai/v1alpha", GEMINI,                      DIALECT_GEMINI },
    { "/genai/v1",      GEMINI,                      DIALECT_GEMINI },
    { "/v1beta",        GEMINI,                      DIALECT_GEMINI },
    { "/v1alpha",       GEMINI,                      DIALECT_GEMINI },
    { "/v1",            OPENAI | RERANK | ANTHROPIC | GEMINI, DIALECT_CHAT },
    { "/v2",            RERANK,                      DIALECT_CHAT },
    { "",               OWN | RERANK,                DIALECT_CHAT },
};

/* The first row that fits answers. A path with a suffix has the subject before it, one that ends in
 * '/' has it behind. */
static const struct row {
    unsigned api;
    const char *path, *suffix;
    int method;
    enum route_kind kind;
    const struct endpoint *endpoint;
} rows[] = {
    { OPENAI,    "/chat/completions", NULL,                     POST, ROUTE_REQUEST, &chat },
    { OPENAI,    "/completions",      NULL,                     POST, ROUTE_REQUEST, &completions },
    { OPENAI,    "/embeddings",       NULL,                     POST, ROUTE_REQUEST, &embeddings },
    { RERANK,    "/rerank",           NULL,                     POST, ROUTE_REQUEST, &rerank },
    { OPENAI,    "/responses",        NULL,                     POST, ROUTE_REQUEST, &responses },
    { OPENAI,    "/moderations",            NULL,               POST, ROUTE_REQUEST, &moderations },
    { OPENAI,    "/images/generations",     NULL,               POST, ROUTE_REQUEST, &images },
    { OPENAI,    "/images/edits",           NULL,               POST, ROUTE_REQUEST, &image_edits },
    { OPENAI,    "/images/variations",      NULL,               POST, ROUTE_REQUEST, &variations },
    { OPENAI,    "/audio/speech",           NULL,               POST, ROUTE_REQUEST, &speech },
    { OPENAI,    "/audio/transcriptions",   NULL,               POST, ROUTE_REQUEST, &transcriptions },
    { OPENAI,    "/audio/translations",     NULL,               POST, ROUTE_REQUEST, &translations },
    { OPENAI,    "/files",            NULL,                     POST,   ROUTE_REQUEST, &files },
    { OPENAI,    "/files",            NULL,                     GET,    ROUTE_REQUEST, &files },
    { OPENAI,    "/files/",           "",                       GET,    ROUTE_REQUEST, &files },
    { OPENAI,    "/files/",           "",                       DELETE, ROUTE_REQUEST, &files },
    { OPENAI,    "/batches",          NULL,                     POST,   ROUTE_REQUEST, &batches },
    { OPENAI,    "/batches",          NULL,                     GET,    ROUTE_REQUEST, &batches },
    { OPENAI,    "/batches/",         "/cancel",                POST,   ROUTE_REQUEST, &batches },
    { OPENAI,    "/batches/",         "",                       GET,    ROUTE_REQUEST, &batches },
    { OPENAI,    FORWARD_PREFIX,      "",                       ANY,    ROUTE_REQUEST, &passthrough },
    { OPENAI,    "/capabilities",     NULL,                     GET,  ROUTE_REQUEST, &capabilities },
    { ANTHROPIC, "/messages",         NULL,                     POST, ROUTE_REQUEST, &messages },
    { ANTHROPIC, "/messages/count_tokens", NULL,                POST, ROUTE_REQUEST, &count_tokens },
    { GEMINI,    "/models/",          ":generateContent",       POST, ROUTE_REQUEST, &generate },
    { GEMINI,    "/models/",          ":streamGenerateContent", POST, ROUTE_REQUEST, &stream_generate },
    { OPENAI,    "/models",           NULL,                     GET,  ROUTE_REQUEST, &models },
    { OPENAI,    "/models/",          "",                       GET,  ROUTE_REQUEST, &models },
    { ANTHROPIC, "/models",           NULL,                     GET,  ROUTE_REQUEST, &messages_models },
    { ANTHROPIC, "/models/",          "",                       GET,  ROUTE_REQUEST, &messages_models },
    { GEMINI,    "/models",           NULL,                     GET,  ROUTE_REQUEST, &gemini_models },
    { GEMINI,    "/models/",          "",                       GET,  ROUTE_REQUEST, &gemini_models },
    { OWN,       "/healthz",          NULL,                     GET,  ROUTE_HEALTH,  NULL },
    { OWN,       "/readyz",           NULL,                     GET,  ROUTE_READY,   NULL },
};
/* clang-format on */

static bool
is_method(struct slice method, int wanted)
{
    static const char *const any[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    if (wanted == POST)
        return slice_is(method, "POST");
    if (wanted == DELETE)
        return slice_is(method, "DELETE");
    for (size_t i = 0; wanted == ANY && i < sizeof(any) / sizeof(any[0]); i++)
        if (slice_is(method, any[i]))
            return true;
    if (wanted == ANY)
        return false;
    return slice_is(method, "GET") || slice_is(method, "HEAD");
}

/* *ret_subject: what stands between the row's path and its suffix. */
static bool
is_path(const struct row *row, struct slice path, struct slice *ret_subject)
{
    struct slice wanted = slice_of(row->path), suffix = slice_of(row->suffix);
    *ret_subject = (struct slice){0};
    if (!row->suffix)
        return slice_eq(path, wanted);
    if (path.len <= wanted.len + suffix.len || !slice_starts(path, wanted) ||
        !slice_ends(path, suffix))
        return false;
    *ret_subject = slice_make(path.at + wanted.len, path.len - wanted.len - suffix.len);
    return true;
}

/* The methods of all rows that fit a path. */
static const char *
allowed(const struct mount *mount, struct slice path)
{
    static const char *const texts[8] = {
        [1 << GET] = "GET, HEAD",
        [1 << POST] = "POST",
        [1 << DELETE] = "DELETE",
        [1 << GET | 1 << POST] = "GET, HEAD, POST",
        [1 << GET | 1 << DELETE] = "GET, HEAD, DELETE",
        [1 << POST | 1 << DELETE] = "POST, DELETE",
        [1 << GET | 1 << POST | 1 << DELETE] = "GET, HEAD, POST, DELETE",
    };
    struct slice subject;
    unsigned methods = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].api & mount->apis && is_path(&rows[i], path, &subject))
            methods |= 1u << rows[i].method;
    return methods & 1u << ANY ? "GET, POST, PUT, PATCH, DELETE" : texts[methods & 7];
}

/* Looks in one mount; a row whose path fits but not its method is remembered. */
static bool
find_in(const struct mount *mount, struct slice method, struct slice path, struct front_route *ret)
{
    struct slice subject;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (!(row->api & mount->apis) || !is_path(row, path, &subject))
            continue;
        if (!is_method(method, row->method)) {
            ret->kind = ROUTE_WRONG_METHOD;
            ret->allow = allowed(mount, path);
            continue;
        }
        *ret = (struct front_route){.kind = row->kind,
                                    .endpoint = row->endpoint,
                                    .subject = subject,
                                    .below = path,
                                    .dialect =
                                        row->endpoint ? row->endpoint->dialect : mount->dialect};
        return true;
    }
    return false;
}

struct front_route
front_find(struct slice method, struct slice target)
{
    struct slice path = slice_cut(&target, '?');
    struct front_route route = {.kind = ROUTE_NONE};
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        struct slice prefix = slice_of(mounts[i].prefix);
        if (!slice_starts(path, prefix))
            continue;
        if (route.kind == ROUTE_NONE && !route.dialect)
            route.dialect = mounts[i].dialect;
        if (find_in(&mounts[i], method, slice_from(path, prefix.len), &route)) {
            if (target.at) /* the query, which stands behind it */
                route.below.len = (size_t)(target.at + target.len - route.below.at);
            return route;
        }
    }
    return route;
}

void
front_for_sdk(struct front_route *route, bool anthropic)
{
    if (!anthropic || route->endpoint != &models)
        return;
    route->endpoint = &messages_models;
    route->dialect = messages_models.dialect;
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
