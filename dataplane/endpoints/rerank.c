/*
 * POST /v1/rerank, in the shape that Cohere, Jina and those who imitate them have: {model, query,
 * documents, top_n, return_documents}. To those who speak OpenAI's API beside it goes untouched;
 * Cohere (also on Bedrock) and Voyage have their own spellings.
 */
#include "dataplane/endpoints/codec.h"

#include "dataplane/dialects/openai.h"
#include "lib/json/emit.h"

#include <string.h>

#define LIMIT_RERANKED 10000
#define DOCUMENTS_OF_A_UNIT 100 /* of which a search unit has at most so many */

enum { IN_MODEL, IN_QUERY, IN_DOCUMENTS, IN_TOP, IN_RETURN, IN_MAX_TOKENS, IN_NAMES };
static const char *const in_names[IN_NAMES] = {
    "model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc",
};

/* --- what is asked ---------------------------------------------------------------------------- */

struct asked {
    struct json_view at[IN_NAMES];
    const struct slice *documents_raw; /* JSON texts */
    size_t count;
    bool returns;
};

static int64_t
units_of(size_t documents)
{
    return (int64_t)((documents + DOCUMENTS_OF_A_UNIT - 1) / DOCUMENTS_OF_A_UNIT);
}

static int
brief(const struct codec_request *q, struct arena *a, struct request_brief *ret,
      struct codec_units *units, struct dialect_refusal *why)
{
    int err = codec_brief_json(q, a, ret, units, why);
    if (err)
        return err;
    size_t n = json_view_count(json_view_get(json_view_of(q->body), "documents"));
    if (n == 0 || n > LIMIT_RERANKED)
        return dialect_refuse(why, ERR_SYNTAX, "documents",
                              "'documents' must be a list of 1 to %d documents.", LIMIT_RERANKED);
    units->unit = CLASS_SEARCH_UNITS;
    units->likely.search_units = units_of(n);
    /* Long documents are cut into several, of 500 tokens or so; no token is less than a byte. */
    units->most.search_units = units_of(n + q->body.len / 500);
    return 0;
}

/* A text, or a map with one: what the providers' own shape takes is the text. */
static int
take_document(struct json_view v, struct dialect_writer *w, struct slice *ret_raw)
{
    if (v.kind == JSON_MAP)
        v = json_view_get(v, "text");
    *ret_raw = v.raw;
    if (v.kind == JSON_TEXT)
        return 0;
    return dialect_refuse(w->why, ERR_SYNTAX, "documents",
                          "'documents' must hold texts, or objects with a 'text'.");
}

static int
take_documents(struct asked *q, struct dialect_writer *w)
{
    struct json_view v;
    struct slice name, *raw;
    size_t cursor = 0;
    raw = arena_alloc(w->arena, (json_view_count(q->at[IN_DOCUMENTS]) + 1) * sizeof(*raw));
    if (!raw)
        return ERR_NOMEM;
    q->documents_raw = raw;
    while (json_view_next(q->at[IN_DOCUMENTS], &cursor, &name, &v)) {
        int err = take_document(v, w, &raw[q->count++]);
        if (err)
            return err;
    }
    return 0;
}

static int
leave_others(struct json_view top, struct dialect_writer *w)
{
    struct slice name;
    struct json_view v;
    size_t cursor = 0;
    while (json_view_next(top, &cursor, &name, &v)) {
        bool known = !json_view_is_set(v);
        for (size_t i = 0; i < IN_NAMES && !known; i++)
            known = slice_is(name, in_names[i]);
        const char *member = known ? "" : arena_strdup(w->arena, name);
        int err = known     ? 0
                  : !member ? ERR_NOMEM
                            : dialect_leave_out(w, member, "has no such option");
        if (err && err != 1)
            return err;
    }
    return 0;
}

static int
read_request(struct slice body, struct dialect_writer *w, struct asked *q)
{
    json_view_fields(json_view_of(body), in_names, IN_NAMES, q->at);
    if (q->at[IN_QUERY].kind != JSON_TEXT) {
        w->why->missing = q->at[IN_QUERY].kind == JSON_ABSENT;
        return dialect_refuse(w->why, ERR_SYNTAX, "query", "'query' must be a text.");
    }
    if (json_view_is_set(q->at[IN_TOP]) && json_view_int_or(q->at[IN_TOP], 0) < 1)
        return dialect_refuse(w->why, ERR_SYNTAX, "top_n", "'top_n' must be a positive integer.");
    q->returns = q->at[IN_RETURN].kind == JSON_TRUE_;
    int err = take_documents(q, w);
    return err ? err : leave_others(json_view_of(body), w);
}

/* --- as the provider takes it ----------------------------------------------------------------- */

static bool
is_voyage(const struct policy_provider *p)
{
    return slice_ends(p->host, SLICE("voyageai.com"));
}

static bool
is_cohere_on_bedrock(const struct dialect_target *t)
{
    return t->provider->kind == PROVIDER_BEDROCK && t->model.len &&
           memmem(t->model.at, t->model.len, "cohere.rerank", 13);
}

static int
route(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
      struct dialect_refusal *why)
{
    *ret = (struct codec_route){.way = CODEC_TRANSLATED, .address.path = SLICE("/rerank")};
    if (is_cohere_on_bedrock(t))
        return codec_address_invoke(t, a, &ret->address);
    if (t->provider->kind == PROVIDER_COHERE || is_voyage(t->provider))
        return 0;
    if (t->provider->kind == PROVIDER_OPENAI || t->provider->kind == PROVIDER_AZURE_OPENAI ||
        t->provider->kind == PROVIDER_SIMULATOR)
        return codec_refuse(t, "rerank", why);
    return codec_route_openai(t, "/rerank", a, ret, why);
}

static int
write_request(struct slice body, struct dialect_writer *w, void **ret_asked, struct buf *into)
{
    struct asked *q = arena_zalloc(w->arena, sizeof(*q));
    struct json_emit e = json_emit_into(into);
    bool on_bedrock = w->target->provider->kind == PROVIDER_BEDROCK;
    int err = q ? read_request(body, w, q) : ERR_NOMEM;
    if (err)
        return err;
    *ret_asked = q;
    emit_map(&e);
    if (on_bedrock)
        emit_int_member(&e, "api_version", 2);
    else
        emit_text_member(&e, "model", w->target->model);
    emit_opt_raw(&e, "query", q->at[IN_QUERY].raw);
    emit_name(&e, "documents");
    emit_list(&e);
    for (size_t i = 0; i < q->count; i++)
        emit_raw(&e, q->documents_raw[i]);
    emit_end_list(&e);
    if (json_view_is_set(q->at[IN_TOP]))
        emit_opt_raw(&e, is_voyage(w->target->provider) ? "top_k" : "top_n", q->at[IN_TOP].raw);
    if (json_view_is_set(q->at[IN_MAX_TOKENS]) && !is_voyage(w->target->provider))
        emit_opt_raw(&e, "max_tokens_per_doc", q->at[IN_MAX_TOKENS].raw);
    emit_end_map(&e);
    return e.err;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
report_units(struct usage_report *report, int64_t units)
{
    if (units < 0)
        return;
    if (units > LIMIT_REPORTED_TOKENS) {
        report->suspect = true;
        return;
    }
    report->tokens.search_units = units;
    report->has_units = true;
}

/* Cohere's units, or the tokens that others tell. */
static void
read_usage(struct json_view top, struct usage_report *report)
{
    struct json_view usage = json_view_get(top, "usage");
    struct json_view billed = json_view_get(json_view_get(top, "meta"), "billed_units");
    if (usage.kind == JSON_MAP) {
        openai_read_usage(usage.raw, report);
        report->has_output |= report->seen; /* there is none */
    }
    codec_report_input(report, json_view_int_or(json_view_get(billed, "input_tokens"), -1));
    report_units(report, json_view_int_or(json_view_get(billed, "search_units"), -1));
}

static int
look(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view top;
    int err = codec_object(answer, &top);
    *ret_error = !err && json_view_is_set(json_view_get(top, "error"));
    if (!err && !*ret_error)
        read_usage(top, report);
    return err;
}

static int
write_result(struct json_emit *e, const struct asked *q, struct json_view v)
{
    struct json_view score = json_view_get(v, "relevance_score");
    int64_t index = json_view_int_or(json_view_get(v, "index"), -1);
    if (index < 0 || (size_t)index >= q->count || score.kind != JSON_NUMBER)
        return ERR_PROTOCOL;
    emit_map(e);
    emit_int_member(e, "index", index);
    emit_opt_raw(e, "relevance_score", score.raw);
    if (q->returns) {
        emit_name(e, "document");
        emit_map(e);
        emit_opt_raw(e, "text", q->documents_raw[index]);
        emit_end_map(e);
    }
    emit_end_map(e);
    return 0;
}

static void
write_usage(struct json_emit *e, const struct usage_report *report)
{
    emit_name(e, "meta");
    emit_map(e);
    emit_name(e, "billed_units");
    emit_map(e);
    if (report->has_units)
        emit_int_member(e, "search_units", report->tokens.search_units);
    if (report->seen)
        emit_int_member(e, "input_tokens", tokens_input(&report->tokens));
    emit_end_map(e);
    emit_end_map(e);
    if (!report->seen)
        return;
    emit_name(e, "usage");
    emit_map(e);
    emit_int_member(e, "total_tokens", tokens_input(&report->tokens));
    emit_end_map(e);
}

static int
read_answer(struct slice answer, const struct codec_exchange *x, struct buf *into,
            struct usage_report *report, const char **ret_why)
{
    struct json_view top, list, v;
    struct json_emit e = json_emit_into(into);
    struct slice name;
    size_t cursor = 0;
    int err = codec_object(answer, &top);
    *ret_why = "not the results of a rerank";
    if (err)
        return err;
    list = json_view_get(top, "results");
    if (list.kind != JSON_LIST)
        list = json_view_get(top, "data");
    if (list.kind != JSON_LIST)
        return ERR_PROTOCOL;
    read_usage(top, report);
    emit_map(&e);
    emit_text_member(&e, "id", x->id);
    emit_text_member(&e, "model", x->model);
    emit_name(&e, "results");
    emit_list(&e);
    while (!err && json_view_next(list, &cursor, &name, &v))
        err = write_result(&e, x->asked, v);
    emit_end_list(&e);
    write_usage(&e, report);
    emit_end_map(&e);
    return err ? err : e.err;
}

const struct codec codec_rerank = {
    .brief = brief,
    .route = route,
    .write = write_request,
    .read = read_answer,
    .look = look,
};
