/* Errors as chat completions tell them, and as all who imitate them do. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/openai.h"

#include <string.h>

#define LIMIT_WORD_BYTES 128 /* of a type or a code */

/* --- ours ------------------------------------------------------------------------------------- */

static const char *
type_of(enum canon_error_class kind)
{
    switch (kind) {
    case ERROR_AUTH:
        return "authentication_error";
    case ERROR_BILLING:
        return "billing_error";
    case ERROR_DENIED:
        return "permission_error";
    case ERROR_RATE:
        return "rate_limit_error";
    case ERROR_SERVER:
    case ERROR_UPSTREAM:
    case ERROR_OVERLOAD:
    case ERROR_TIMEOUT:
        return "server_error";
    case ERROR_INVALID:
    case ERROR_NOT_FOUND:
    case ERROR_TOO_LARGE:
        break;
    }
    return "invalid_request_error";
}

int
chat_write_error(const struct canon_error *e, struct buf *into)
{
    struct openai_error shown = {
        .message = e->message,
        .type = e->type.len ? e->type : slice_of(type_of(e->kind)),
        .code = e->code,
        .param = e->param,
        .source = e->from_provider ? "provider" : "gateway",
    };
    return openai_write_error(into, &shown);
}

int
chat_write_error_event(const struct canon_error *e, struct buf *into)
{
    int err = buf_add_str(into, "data: ");
    if (!err)
        err = chat_write_error(e, into);
    return err ? err : buf_add_str(into, "\n\n");
}

/* --- theirs ----------------------------------------------------------------------------------- */

static struct slice
cut(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    text.len = max;
    while (text.len > 0 && ((unsigned char)text.at[text.len] & 0xC0) == 0x80)
        text.len--;
    return text;
}

/* A text, or a number's digits; empty for anything else. */
static int
take_word(struct json_view v, size_t max, struct arena *a, struct slice *ret)
{
    int err = 0;
    *ret = (struct slice){0};
    if (v.kind == JSON_NUMBER)
        *ret = v.raw;
    else if (v.kind == JSON_TEXT)
        err = json_view_text(v, a, ret);
    *ret = cut(*ret, max);
    return err;
}

/* [{"loc":["body","n"],"msg":"..."}] of those who check requests with a schema: the first one. */
static int
take_detail(struct json_view detail, struct arena *a, struct slice *ret)
{
    struct slice name, loc = {0}, msg;
    struct json_view first = detail, step;
    size_t cursor = 0;
    if (detail.kind == JSON_LIST && !json_view_next(detail, &cursor, &name, &first))
        return 0;
    if (first.kind != JSON_MAP)
        return take_word(first, LIMIT_ERROR_MESSAGE_BYTES, a, ret);
    int err = take_word(json_view_get(first, "msg"), LIMIT_ERROR_MESSAGE_BYTES, a, &msg);
    cursor = 0;
    while (!err && json_view_next(json_view_get(first, "loc"), &cursor, &name, &step))
        err = take_word(step, LIMIT_WORD_BYTES, a, &loc); /* the last step names the member */
    if (err || !msg.len)
        return err;
    *ret = loc.len ? slice_of(arena_printf(a, "%.*s: %.*s", SLICE_ARG(loc), SLICE_ARG(msg))) : msg;
    return ret->at ? 0 : ERR_NOMEM;
}

/* OpenRouter's own message says little; what its provider said stands beside it. */
static int
add_raw(struct json_view of, struct arena *a, struct canon_error *e)
{
    struct slice raw;
    struct json_view metadata = json_view_get(of, "metadata");
    int err = take_word(json_view_get(metadata, "raw"), LIMIT_ERROR_MESSAGE_BYTES / 2, a, &raw);
    if (err || !raw.len || !e->message.len)
        return err;
    e->message = slice_of(arena_printf(a, "%.*s: %.*s",
                                       SLICE_ARG(cut(e->message, LIMIT_ERROR_MESSAGE_BYTES / 4)),
                                       SLICE_ARG(raw)));
    return e->message.at ? 0 : ERR_NOMEM;
}

/* An HTTP status that the error names: in its code, its status or its status_code. */
static int
named_status(struct json_view of)
{
    static const char *const names[] = {"code", "status", "status_code"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct json_view v = json_view_get(of, names[i]);
        unsigned long long n = (unsigned long long)json_view_int_or(v, 0);
        if (v.kind == JSON_TEXT && v.raw.len == 5 && /* Azure's "429" */
            slice_to_u64(slice_make(v.raw.at + 1, 3), &n))
            n = 0;
        if (n >= 400 && n <= 599)
            return (int)n;
    }
    return 0;
}

enum { E_MESSAGE, E_TYPE, E_ERROR_TYPE, E_CODE, E_PARAM, E_DETAIL, E_UPPER, E_NAMES };
static const char *const error_names[E_NAMES] = {"message", "type",   "error_type", "code",
                                                 "param",   "detail", "Message"};

static int
read_map(struct json_view of, struct arena *a, struct canon_error *e)
{
    struct json_view v[E_NAMES];
    json_view_fields(of, error_names, E_NAMES, v);
    struct json_view message = v[json_view_is_set(v[E_MESSAGE]) ? E_MESSAGE : E_UPPER];
    int err = take_word(message, LIMIT_ERROR_MESSAGE_BYTES, a, &e->message);
    if (!err && message.kind == JSON_MAP) /* Mistral */
        err = take_detail(json_view_get(message, "detail"), a, &e->message);
    if (!err && !e->message.len)
        err = take_detail(v[E_DETAIL], a, &e->message);
    if (!err)
        err = take_word(v[v[E_TYPE].kind == JSON_TEXT ? E_TYPE : E_ERROR_TYPE], LIMIT_WORD_BYTES, a,
                        &e->type);
    if (!err)
        err = take_word(v[E_CODE], LIMIT_WORD_BYTES, a, &e->code);
    if (!err)
        err = take_word(v[E_PARAM], 2 * LIMIT_WORD_BYTES, a, &e->param);
    return err ? err : add_raw(of, a, e);
}

/* {"error":{...}}, {"error":"text"} with a code or a type beside it, or all of it flat; maybe in a
 * list. */
static int
read_shapes(struct json_view root, struct arena *a, struct canon_error *e)
{
    struct slice name;
    size_t cursor = 0;
    if (root.kind == JSON_LIST && !json_view_next(root, &cursor, &name, &root))
        return 0;
    struct json_view inner = json_view_get(root, "error");
    struct json_view of = inner.kind == JSON_MAP ? inner : root;
    int err = read_map(of, a, e);
    if (!err && inner.kind == JSON_TEXT)
        err = take_word(inner, LIMIT_ERROR_MESSAGE_BYTES, a, &e->message);
    if (e->status < 400)
        e->status = named_status(of);
    return err;
}

/* In a stream an error may name no status; its words say what it is. */
static const struct {
    const char *word;
    enum canon_error_class kind;
} words[] = {
    {"rate_limit", ERROR_RATE},        {"insufficient_quota", ERROR_RATE},
    {"overloaded", ERROR_OVERLOAD},    {"authentication", ERROR_AUTH},
    {"invalid_api_key", ERROR_AUTH},   {"permission", ERROR_DENIED},
    {"not_found", ERROR_NOT_FOUND},    {"invalid_request", ERROR_INVALID},
    {"content_filter", ERROR_INVALID}, {"tool_use_failed", ERROR_INVALID},
    {"billing", ERROR_BILLING},        {"timeout", ERROR_TIMEOUT},
};

static bool
has_word(struct slice text, const char *word)
{
    return text.len && memmem(text.at, text.len, word, strlen(word));
}

static enum canon_error_class
class_of(const struct canon_error *e)
{
    if (e->status >= 400)
        return canon_class_of_status(e->status);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (has_word(e->type, words[i].word) || has_word(e->code, words[i].word))
            return words[i].kind;
    return ERROR_UPSTREAM;
}

int
chat_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct json_span root;
    struct json_error why;
    int err = 0;
    *ret = (struct canon_error){.status = f->status >= 400 ? f->status : 0, .from_provider = true};
    if (json_scan(f->body, &json_limits_default, NULL, 0, NULL, &root, &why) == 0)
        err = read_shapes(json_view_of(f->body), a, ret);
    if (!ret->type.len && f->error_type.len) {
        struct slice rest = f->error_type;
        ret->type = cut(slice_cut(&rest, ':'), LIMIT_WORD_BYTES);
    }
    if (!ret->message.len)
        ret->message = SLICE("The provider answered with an error and no readable message.");
    ret->kind = class_of(ret);
    return err == ERR_NOMEM ? err : 0;
}
