/* :countTokens. */
#include "dataplane/dialects/gemini.h"

#include "dataplane/dialects/gemini_internal.h"

int
gemini_count_address(const struct dialect_target *t, struct arena *a, struct dialect_address *ret)
{
    *ret = (struct dialect_address){.field_count = 0};
    return gemini_path(t, "countTokens", a, &ret->path);
}

/* Vertex counts a request as it is; the Gemini API wants it inside, with its model. */
int
gemini_count_write_request(const struct canon_request *q, struct dialect_writer *w,
                           struct buf *into)
{
    struct slice model = w->target->model;
    if (w->target->provider->kind == PROVIDER_VERTEX)
        return gemini_write_request(q, w, into);
    struct buf inner;
    buf_init(&inner, into->max);
    int err = gemini_write_request(q, w, &inner);
    struct json_emit e = json_emit_into(into);
    char *named = slice_starts(model, SLICE("models/"))
                      ? arena_strdup(w->arena, model)
                      : arena_printf(w->arena, "models/%.*s", SLICE_ARG(model));
    if (!err && !named)
        err = ERR_NOMEM;
    if (!err) {
        emit_map(&e);
        emit_name(&e, "generateContentRequest");
        emit_map(&e);
        emit_str_member(&e, "model", named);
        emit_members_of(&e, buf_slice(&inner));
        emit_end_map(&e);
        emit_end_map(&e);
        err = e.err;
    }
    buf_free(&inner);
    return err;
}

/* A valid JSON object, or ERR_PROTOCOL. */
static int
object_of(struct slice body, struct json_view *ret)
{
    struct json_span root;
    struct json_error why;
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &root, &why) || root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    *ret = (struct json_view){root.kind, json_raw(body, root)};
    return 0;
}

int
gemini_count_read_answer(struct slice body, int64_t *ret_tokens)
{
    struct json_view answer;
    int err = object_of(body, &answer);
    if (err)
        return err;
    *ret_tokens = json_view_int_or(gemini_get(answer, "totalTokens"), -1);
    return *ret_tokens >= 0 && *ret_tokens <= LIMIT_REPORTED_TOKENS ? 0 : ERR_PROTOCOL;
}

int
gemini_count_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                          struct canon_request *ret, struct dialect_refusal *why)
{
    struct json_view inner = gemini_get(json_view_of(body), "generateContentRequest");
    return gemini_read_request(inner.kind == JSON_MAP ? inner.raw : body, call, a, ret, why);
}

int
gemini_count_write_answer(int64_t tokens, struct buf *into)
{
    return buf_addf(into, "{\"totalTokens\":%lld}", (long long)tokens);
}
