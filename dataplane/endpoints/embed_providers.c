/* Embeddings of Google, Cohere and Bedrock. */
#include "dataplane/dialects/gemini.h"
#include "dataplane/endpoints/embed.h"
#include "lib/json/emit.h"

#include <string.h>

#define LIMIT_COHERE_TEXTS 96 /* its own */

static bool
holds(struct slice text, const char *word)
{
    return text.len && memmem(text.at, text.len, word, strlen(word)) != NULL;
}

static int
refuse_count(const struct dialect_writer *w, size_t limit)
{
    return dialect_refuse(w->why, ERR_DENIED, "input",
                          "'input': model '%.*s' of provider '%.*s' takes at most %zu text%s in a "
                          "request.",
                          SLICE_ARG(w->target->model), SLICE_ARG(w->target->provider->name), limit,
                          limit == 1 ? "" : "s");
}

/* --- Google ----------------------------------------------------------------------------------- */

/* What Cohere, Voyage and NVIDIA call the purpose of a text, and Google's words for it. */
static const struct {
    const char *type, *task;
} tasks[] = {
    {"search_document", "RETRIEVAL_DOCUMENT"},
    {"search_query", "RETRIEVAL_QUERY"},
    {"classification", "CLASSIFICATION"},
    {"clustering", "CLUSTERING"},
    {"document", "RETRIEVAL_DOCUMENT"},
    {"passage", "RETRIEVAL_DOCUMENT"},
    {"query", "RETRIEVAL_QUERY"},
};

static int
gemini_write(const struct canon_embeddings *q, struct dialect_writer *w, struct buf *into)
{
    struct canon_embeddings named = *q;
    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++)
        if (slice_is(q->task, tasks[i].type))
            named.task = slice_of(tasks[i].task);
    return gemini_embed_write_request(&named, w->target, into, w->why);
}

static const struct embed_provider gemini = {gemini_embed_address, gemini_write,
                                             gemini_embed_read_answer};

/* --- Cohere, at home and on Bedrock ----------------------------------------------------------- */

static void
emit_texts(struct json_emit *e, const struct canon_embeddings *q)
{
    emit_name(e, "texts");
    emit_list(e);
    for (size_t i = 0; i < q->count; i++)
        emit_text(e, q->texts[i]);
    emit_end_list(e);
    /* It will not guess what the texts are for; documents are what most are. */
    emit_text_member(e, "input_type", q->task.len ? q->task : SLICE("search_document"));
    emit_name(e, "embedding_types");
    emit_raw(e, SLICE("[\"float\"]"));
    if (q->dimensions > 0)
        emit_int_member(e, "output_dimension", q->dimensions);
}

static int
cohere_address(const struct dialect_target *t, struct arena *a, struct dialect_address *ret)
{
    (void)t, (void)a;
    *ret = (struct dialect_address){.path = SLICE("/embed")};
    return 0;
}

static int
cohere_write(const struct canon_embeddings *q, struct dialect_writer *w, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    if (q->count > LIMIT_COHERE_TEXTS)
        return refuse_count(w, LIMIT_COHERE_TEXTS);
    emit_map(&e);
    if (w->target->provider->kind != PROVIDER_BEDROCK) /* there the path has it */
        emit_text_member(&e, "model", w->target->model);
    emit_texts(&e, q);
    emit_end_map(&e);
    return e.err;
}

/* Lists in a list. */
static int
take_vectors(struct json_view list, size_t count, struct arena *a, struct canon_vectors *ret)
{
    struct slice *vectors = arena_alloc(a, (count + 1) * sizeof(*vectors)), name;
    struct json_view v;
    size_t cursor = 0;
    if (!vectors)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &v)) {
        if (v.kind != JSON_LIST || ret->count == count)
            return ERR_PROTOCOL;
        vectors[ret->count++] = v.raw;
    }
    ret->vectors_raw = vectors;
    return ret->count == count ? 0 : ERR_PROTOCOL;
}

static int
cohere_read(struct slice answer, size_t count, struct arena *a, struct canon_vectors *ret)
{
    struct json_view top, list;
    *ret = (struct canon_vectors){.count = 0};
    int err = codec_object(answer, &top);
    if (err)
        return err;
    list = json_view_get(top, "embeddings");
    if (list.kind == JSON_MAP)
        list = json_view_get(list, "float");
    struct json_view billed = json_view_get(json_view_get(top, "meta"), "billed_units");
    codec_report_input(&ret->usage, json_view_int_or(json_view_get(billed, "input_tokens"), -1));
    return take_vectors(list, count, a, ret);
}

static const struct embed_provider cohere = {cohere_address, cohere_write, cohere_read};
static const struct embed_provider bedrock_cohere = {codec_address_invoke, cohere_write,
                                                     cohere_read};

/* --- Amazon's own ----------------------------------------------------------------------------- */

static int
titan_write(const struct canon_embeddings *q, struct dialect_writer *w, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    if (q->count > 1)
        return refuse_count(w, 1);
    emit_map(&e);
    emit_text_member(&e, "inputText", q->texts[0]);
    if (q->dimensions > 0)
        emit_int_member(&e, "dimensions", q->dimensions);
    emit_end_map(&e);
    return e.err;
}

static int
titan_read(struct slice answer, size_t count, struct arena *a, struct canon_vectors *ret)
{
    struct json_view top, vector;
    struct slice *one = arena_alloc(a, sizeof(*one));
    *ret = (struct canon_vectors){.count = 1, .vectors_raw = one};
    int err = one ? codec_object(answer, &top) : ERR_NOMEM;
    if (err)
        return err;
    vector = json_view_get(top, "embedding");
    *one = vector.raw;
    codec_report_input(&ret->usage,
                       json_view_int_or(json_view_get(top, "inputTextTokenCount"), -1));
    return vector.kind == JSON_LIST && count == 1 ? 0 : ERR_PROTOCOL;
}

static int
nova_write(const struct canon_embeddings *q, struct dialect_writer *w, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    if (q->count > 1)
        return refuse_count(w, 1);
    emit_map(&e);
    emit_str_member(&e, "schemaVersion", "nova-multimodal-embed-v1");
    emit_str_member(&e, "taskType", "SINGLE_EMBEDDING");
    emit_name(&e, "singleEmbeddingParams");
    emit_map(&e);
    emit_text_member(&e, "embeddingPurpose", q->task.len ? q->task : SLICE("GENERIC_INDEX"));
    if (q->dimensions > 0)
        emit_int_member(&e, "embeddingDimension", q->dimensions);
    emit_name(&e, "text");
    emit_map(&e);
    emit_str_member(&e, "truncationMode", "END");
    emit_text_member(&e, "value", q->texts[0]);
    emit_end_map(&e);
    emit_end_map(&e);
    emit_end_map(&e);
    return e.err;
}

/* {"embeddings":[{"embeddingType","embedding":[...]}]} */
static int
nova_read(struct slice answer, size_t count, struct arena *a, struct canon_vectors *ret)
{
    struct json_view top, first = {.kind = JSON_ABSENT};
    struct slice *one = arena_alloc(a, sizeof(*one)), name;
    size_t cursor = 0;
    *ret = (struct canon_vectors){.count = 1, .vectors_raw = one};
    int err = one ? codec_object(answer, &top) : ERR_NOMEM;
    if (err)
        return err;
    if (!json_view_next(json_view_get(top, "embeddings"), &cursor, &name, &first))
        return ERR_PROTOCOL;
    struct json_view vector = json_view_get(first, "embedding");
    *one = vector.raw;
    codec_report_input(&ret->usage,
                       json_view_int_or(json_view_get(top, "inputTextTokenCount"), -1));
    return vector.kind == JSON_LIST && count == 1 ? 0 : ERR_PROTOCOL;
}

static const struct embed_provider titan = {codec_address_invoke, titan_write, titan_read};
static const struct embed_provider nova = {codec_address_invoke, nova_write, nova_read};

static const struct embed_provider *
of_bedrock(struct slice model)
{
    if (holds(model, "cohere.embed"))
        return &bedrock_cohere;
    if (holds(model, "titan-embed"))
        return &titan;
    return holds(model, "nova") && holds(model, "embed") ? &nova : NULL;
}

const struct embed_provider *
embed_provider_of(const struct dialect_target *t)
{
    switch ((int)t->provider->kind) {
    case PROVIDER_GEMINI:
    case PROVIDER_VERTEX:
        return &gemini;
    case PROVIDER_COHERE:
        return &cohere;
    case PROVIDER_BEDROCK:
        return of_bedrock(t->model);
    default:
        return NULL;
    }
}
