/* Embeddings of Google's. */
#include "dataplane/dialects/gemini.h"

#include "dataplane/dialects/gemini_internal.h"

enum method { METHOD_BATCH, METHOD_PREDICT, METHOD_ONE };

#define LIMIT_BATCH 100   /* the Gemini API's own */
#define LIMIT_PREDICT 250 /* Vertex's own */

static bool
holds(struct slice text, const char *word)
{
    return text.len && memmem(text.at, text.len, word, strlen(word)) != NULL;
}

static enum method
method_of(const struct dialect_target *t)
{
    if (t->provider->kind != PROVIDER_VERTEX)
        return METHOD_BATCH;
    return holds(t->model, "gemini-embedding-2") ? METHOD_ONE : METHOD_PREDICT;
}

size_t
gemini_embed_limit(const struct dialect_target *t)
{
    switch (method_of(t)) {
    case METHOD_BATCH:
        return LIMIT_BATCH;
    case METHOD_PREDICT: /* the first of Gemini's takes one, others many */
        return holds(t->model, "gemini-embedding") ? 1 : LIMIT_PREDICT;
    case METHOD_ONE:
        break;
    }
    return 1;
}

int
gemini_embed_address(const struct dialect_target *t, struct arena *a, struct dialect_address *ret)
{
    static const char *const methods[] = {
        [METHOD_BATCH] = "batchEmbedContents",
        [METHOD_PREDICT] = "predict",
        [METHOD_ONE] = "embedContent",
    };
    *ret = (struct dialect_address){.field_count = 0};
    return gemini_path(t, methods[method_of(t)], a, &ret->path);
}

/* --- asked ------------------------------------------------------------------------------------ */

static void
write_content(struct json_emit *e, const struct canon_embeddings *q, size_t i)
{
    emit_name(e, "content");
    emit_map(e);
    emit_name(e, "parts");
    emit_list(e);
    emit_map(e);
    emit_text_member(e, "text", q->texts[i]);
    emit_end_map(e);
    emit_end_list(e);
    emit_end_map(e);
    if (q->task.len)
        emit_text_member(e, "taskType", q->task);
    if (q->title.len)
        emit_text_member(e, "title", q->title);
    if (q->dimensions >= 0)
        emit_int_member(e, "outputDimensionality", q->dimensions);
}

static void
write_batch(struct json_emit *e, const struct canon_embeddings *q, struct slice model)
{
    struct buf name;
    buf_init(&name, 0);
    if (!slice_starts(model, SLICE("models/")))
        e->err = buf_add_str(&name, "models/");
    if (!e->err)
        e->err = buf_add_slice(&name, model);
    emit_name(e, "requests");
    emit_list(e);
    for (size_t i = 0; i < q->count; i++) {
        emit_map(e);
        emit_text_member(e, "model", buf_slice(&name));
        write_content(e, q, i);
        emit_end_map(e);
    }
    emit_end_list(e);
    buf_free(&name);
}

static void
write_instances(struct json_emit *e, const struct canon_embeddings *q)
{
    emit_name(e, "instances");
    emit_list(e);
    for (size_t i = 0; i < q->count; i++) {
        emit_map(e);
        emit_text_member(e, "content", q->texts[i]);
        if (q->task.len)
            emit_text_member(e, "task_type", q->task);
        if (q->title.len)
            emit_text_member(e, "title", q->title);
        emit_end_map(e);
    }
    emit_end_list(e);
    if (q->dimensions < 0)
        return;
    emit_name(e, "parameters");
    emit_map(e);
    emit_int_member(e, "outputDimensionality", q->dimensions);
    emit_end_map(e);
}

int
gemini_embed_write_request(const struct canon_embeddings *q, const struct dialect_target *t,
                           struct buf *into, struct dialect_refusal *why)
{
    struct json_emit e = json_emit_into(into);
    size_t limit = gemini_embed_limit(t);
    if (q->count > limit)
        return dialect_refuse(why, ERR_DENIED, "input",
                              "'input': model '%.*s' of provider '%.*s' takes at most %zu text%s "
                              "in a request.",
                              SLICE_ARG(t->model), SLICE_ARG(t->provider->name), limit,
                              limit == 1 ? "" : "s");
    emit_map(&e);
    switch (method_of(t)) {
    case METHOD_BATCH:
        write_batch(&e, q, t->model);
        break;
    case METHOD_PREDICT:
        write_instances(&e, q);
        break;
    case METHOD_ONE:
        if (q->count)
            write_content(&e, q, 0);
        break;
    }
    emit_end_map(&e);
    return e.err;
}

/* --- answered --------------------------------------------------------------------------------- */

/* {"values":[...]}, and of :predict what the text counted. */
static int
read_vector(struct json_view embedding, struct slice *ret, int64_t *tokens)
{
    static const char *const names[] = {"values", "statistics"};
    struct json_view at[2];
    gemini_fields(embedding, names, 2, at);
    if (at[0].kind != JSON_LIST)
        return ERR_PROTOCOL;
    *ret = at[0].raw;
    int64_t n = json_view_int_or(gemini_get(at[1], "tokenCount"), -1);
    if (n >= 0 && n <= LIMIT_REPORTED_TOKENS)
        *tokens = (*tokens < 0 ? 0 : *tokens) + n;
    return 0;
}

static void
read_embed_usage(struct json_view metadata, int64_t tokens, struct usage_report *ret)
{
    *ret = (struct usage_report){.seen = false};
    if (metadata.kind == JSON_MAP)
        gemini_read_usage(metadata, ret);
    if (!ret->seen && tokens >= 0) {
        ret->seen = ret->has_input = true;
        ret->tokens.input = tokens;
    }
    ret->has_output = ret->seen; /* there is none */
}

int
gemini_embed_read_answer(struct slice body, size_t count, struct arena *a,
                         struct canon_vectors *ret)
{
    static const char *const names[] = {"embeddings", "predictions", "embedding", "usageMetadata"};
    struct json_view at[4], v;
    struct json_span root;
    struct json_error why;
    size_t cursor = 0;
    int64_t tokens = -1;
    *ret = (struct canon_vectors){.count = 0};
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &root, &why) || root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    gemini_fields((struct json_view){root.kind, json_raw(body, root)}, names, 4, at);
    bool is_predict = at[1].kind == JSON_LIST;
    struct json_view list = is_predict ? at[1] : at[0].kind == JSON_LIST ? at[0] : at[2];
    struct slice *vectors = arena_alloc(a, (count + 1) * sizeof(*vectors));
    if (!vectors)
        return ERR_NOMEM;
    while (gemini_each(list, &cursor, &v)) {
        if (is_predict)
            v = json_view_get(v, "embeddings");
        if (ret->count == count || read_vector(v, &vectors[ret->count], &tokens))
            return ERR_PROTOCOL;
        ret->count++;
    }
    ret->vectors_raw = vectors;
    read_embed_usage(at[3], tokens, &ret->usage);
    return ret->count == count ? 0 : ERR_PROTOCOL;
}
