#include "dataplane/endpoints/forward.h"

#include "dataplane/endpoints/form.h"
#include "dataplane/endpoints/media.h"

#include <string.h>

/* --- paths and queries ------------------------------------------------------------------------ */

bool
forward_split(struct slice path, struct slice *ret_provider, struct slice *ret_rest)
{
    if (!slice_starts(path, SLICE(FORWARD_PREFIX)))
        return false;
    struct slice behind = slice_from(path, sizeof(FORWARD_PREFIX) - 1);
    size_t end = slice_find(behind, '/', 0);
    *ret_provider = slice_make(behind.at, end);
    *ret_rest = slice_from(behind, end);
    return end > 0 && ret_rest->len > 1;
}

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of an escape at s.at[i]; -1: it is none. */
static int
escaped(struct slice s, size_t i)
{
    int high = i + 2 < s.len ? digit(s.at[i + 1]) : -1;
    int low = high >= 0 ? digit(s.at[i + 2]) : -1;
    return low < 0 ? -1 : high * 16 + low;
}

static bool
is_segment(struct slice s)
{
    if (s.len == 0 || slice_is(s, ".") || slice_is(s, ".."))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '?' || c == '"')
            return false;
        if (c != '%')
            continue;
        int of = escaped(s, i);
        if (of < ' ' || of == 0x7f || memchr("./\\%", of, 4))
            return false;
        i += 2;
    }
    return true;
}

bool
forward_is_path(struct slice path)
{
    if (path.len < 2 || path.at[0] != '/')
        return false;
    struct slice rest = slice_from(path, 1);
    if (path.at[path.len - 1] == '/')
        return false;
    while (rest.len)
        if (!is_segment(slice_cut(&rest, '/')))
            return false;
    return true;
}

struct slice
forward_query_get(struct slice query, const char *name)
{
    while (query.len) {
        struct slice value = slice_cut(&query, '&'), key = slice_cut(&value, '=');
        if (slice_is(key, name))
            return value.at ? value : SLICE("");
    }
    return (struct slice){0};
}

/* Keys are the gateway's to add; whatever is spelt so is one. */
static bool
is_left_out(struct slice member)
{
    static const char *const names[] = {"provider",     "key",       "api_key",   "api-key",
                                        "access_token", "api%5fkey", "api%2dkey", "access%5ftoken"};
    struct slice key = slice_cut(&member, '=');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_eq_nocase(key, slice_of(names[i])))
            return true;
    return false;
}

struct slice
forward_query(struct slice query, struct arena *a)
{
    char *to = arena_alloc(a, query.len + 1);
    size_t n = 0;
    while (to && query.len) {
        struct slice member = slice_cut(&query, '&');
        if (member.len == 0 || is_left_out(member))
            continue;
        if (n)
            to[n++] = '&';
        memcpy(to + n, member.at, member.len);
        n += member.len;
    }
    return slice_make(to, n);
}

/* "%3A" and the like; what is_segment has let through. */
static struct slice
decoded(struct slice s, struct arena *a)
{
    char *to = arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.len; i++) {
        int of = s.at[i] == '%' ? escaped(s, i) : -1;
        to[n++] = of < 0 ? s.at[i] : (char)of;
        i += of < 0 ? 0 : 2;
    }
    return slice_make(to, n);
}

struct slice
forward_path_model(struct slice path, struct arena *a)
{
    struct slice rest = slice_from(path, 1);
    while (rest.len) {
        struct slice segment = slice_cut(&rest, '/');
        bool google = slice_is(segment, "models"),
             others = slice_is(segment, "model") || slice_is(segment, "deployments");
        if ((!google && !others) || !rest.len)
            continue;
        struct slice model = slice_cut(&rest, '/');
        if (google)
            model = slice_cut(&model, ':');
        return decoded(model, a);
    }
    return (struct slice){0};
}

static const char *const by_model[] = {
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/embed",
    "/messages",
    "/messages/count_tokens",
    "/rerank",
    "/images/generations",
    "/images/edits",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
    "/moderations",
    "/chat",
};

bool
forward_is_of_model(struct slice path)
{
    for (size_t i = 0; i < sizeof(by_model) / sizeof(by_model[0]); i++)
        if (slice_ends(path, slice_of(by_model[i])))
            return true;
    return false;
}

/* --- files and batches ------------------------------------------------------------------------ */

static bool
is_read(struct slice method)
{
    return slice_is(method, "GET") || slice_is(method, "HEAD") || slice_is(method, "DELETE");
}

static int
brief_files(const struct codec_request *q, struct arena *a, struct request_brief *ret,
            struct codec_units *units, struct dialect_refusal *why)
{
    (void)q, (void)a, (void)why;
    *ret = (struct request_brief){.choices = 1};
    *units = (struct codec_units){.unit = USAGE_CLASSES, .costs_nothing = true};
    return 0;
}

/* What a batch will cost is in its file: the provider's bill has it, and no bound is known. */
static int
brief_batches(const struct codec_request *q, struct arena *a, struct request_brief *ret,
              struct codec_units *units, struct dialect_refusal *why)
{
    int err = brief_files(q, a, ret, units, why);
    struct slice rest = q->path, path = slice_cut(&rest, '?');
    units->costs_nothing = is_read(q->method) || slice_ends(path, SLICE("/cancel"));
    units->unbounded = !units->costs_nothing;
    return err;
}

const struct codec codec_files = {
    .brief = brief_files, .any_answer = true, .forwards = true, .passes_up = true};
const struct codec codec_batches = {.brief = brief_batches, .any_answer = true, .forwards = true};

/* --- anything --------------------------------------------------------------------------------- */

static bool
is_json(struct slice content_type)
{
    struct slice type = slice_cut(&content_type, ';');
    return type.len == 0 || slice_eq_nocase(slice_trim(type), SLICE("application/json"));
}

/* The model that the body names, where it is of a kind that can. */
static int
brief_body(const struct codec_request *q, struct arena *a, struct request_brief *ret,
           struct codec_units *units, struct dialect_refusal *why)
{
    struct slice boundary;
    if (q->body.len == 0)
        return 0;
    if (multipart_boundary(q->content_type, &boundary) != ERR_NOT_FOUND)
        return form_brief(q, ret, &units->text_bytes, why);
    return is_json(q->content_type) ? codec_brief_json(q, a, ret, units, why) : 0;
}

/* Where `max_tokens` is what limits the output; elsewhere it may be a word that nobody reads. */
static bool
is_limited_by_max_tokens(struct slice path)
{
    return slice_ends(path, SLICE("/completions")) || slice_ends(path, SLICE("/messages"));
}

static int
brief_any(const struct codec_request *q, struct arena *a, struct request_brief *ret,
          struct codec_units *units, struct dialect_refusal *why)
{
    struct slice query = q->path, path = slice_cut(&query, '?'), provider, rest = {0}, named = {0};
    int err = brief_files(q, a, ret, units, why);
    units->costs_nothing = is_read(q->method);
    if (!err)
        err = brief_body(q, a, ret, units, why);
    if (!err && forward_split(path, &provider, &rest))
        named = forward_path_model(rest, a);
    if (err)
        return err;
    if (named.len && ret->model.len && !slice_eq(named, ret->model))
        return dialect_refuse(why, ERR_SYNTAX, "model",
                              "'model' and the path name two different models.");
    if (named.len)
        ret->model = named;
    if (!is_limited_by_max_tokens(rest)) {
        ret->max_tokens = 0;
        ret->max_tokens_member = NULL;
        ret->max_tokens_odd = false;
    }
    if (units->costs_nothing || ret->model.len == 0)
        units->text_bytes = 0;
    units->costs_nothing = is_read(q->method);
    units->unbounded = !units->costs_nothing && (ret->model.len == 0 || ret->max_tokens == 0);
    return 0;
}

static int
look(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view top, usage;
    *ret_error = false;
    if (codec_object(answer, &top))
        return 0; /* whatever it is, it is the provider's own */
    usage = json_view_get(top, "usage");
    if (usage.kind == JSON_MAP)
        media_usage_of_text(usage.raw, report);
    return 0;
}

const struct codec codec_passthrough = {
    .brief = brief_any,
    .look = look,
    .usage = media_usage_of_text,
    .any_answer = true,
    .forwards = true,
};
