/* The response object: what the model answered, and all that was asked of it again, as the SDKs
 * expect it. Nothing is kept here, and `store` says so. */
#include "dataplane/dialects/responses_internal.h"

static void
emit_text_or_null(struct json_emit *e, const char *name, struct slice text)
{
    emit_name(e, name);
    if (text.len)
        emit_text(e, text);
    else
        emit_null(e);
}

static void
emit_raw_or(struct json_emit *e, const char *name, struct slice raw, struct slice otherwise)
{
    emit_name(e, name);
    emit_raw(e, raw.len ? raw : otherwise);
}

static void
emit_count_or_null(struct json_emit *e, const char *name, int64_t n)
{
    emit_name(e, name);
    if (n >= 0)
        emit_int(e, n);
    else
        emit_null(e);
}

static struct slice
extra(const struct canon_request *q, const char *name)
{
    return q->origin == DIALECT_RESPONSES ? responses_extra(q, name) : (struct slice){0};
}

/* --- the request, again ----------------------------------------------------------------------- */

static void
emit_tools(struct json_emit *e, const struct canon_request *q)
{
    struct slice all = extra(q, "tools");
    emit_name(e, "tool_choice");
    responses_emit_choice(e, q);
    emit_name(e, "tools");
    if (all.len) {
        emit_raw(e, all);
        return;
    }
    emit_list(e);
    for (size_t i = 0; i < q->tool_count; i++)
        responses_emit_tool(e, &q->tools[i], true);
    emit_end_list(e);
}

static void
emit_reasoning(struct json_emit *e, const struct canon_request *q)
{
    emit_name(e, "reasoning");
    emit_map(e);
    emit_text_or_null(e, "effort", q->reasoning.effort);
    emit_text_or_null(e, "summary", q->reasoning.summary);
    emit_end_map(e);
}

static void
emit_format(struct json_emit *e, const struct canon_request *q)
{
    emit_name(e, "text");
    emit_map(e);
    emit_name(e, "format");
    responses_emit_format(e, q);
    emit_text_member(e, "verbosity", q->verbosity.len ? q->verbosity : SLICE("medium"));
    emit_end_map(e);
}

static void
emit_asked(struct json_emit *e, const struct canon_request *q)
{
    const struct slice null = SLICE("null");
    emit_raw_or(e, "instructions", extra(q, "instructions"), null);
    emit_count_or_null(e, "max_output_tokens", q->max_tokens);
    emit_raw_or(e, "max_tool_calls", extra(q, "max_tool_calls"), null);
    emit_bool_member(e, "parallel_tool_calls", q->parallel_tools != TRI_NO);
    emit_name(e, "previous_response_id");
    emit_null(e);
    emit_text_or_null(e, "prompt_cache_key", q->cache_key);
    emit_reasoning(e, q);
    emit_raw_or(e, "safety_identifier", extra(q, "safety_identifier"), null);
    emit_bool_member(e, "store", false);
    emit_raw_or(e, "temperature", q->temperature, SLICE("1.0"));
    emit_format(e, q);
    emit_tools(e, q);
    emit_int_member(e, "top_logprobs", q->top_logprobs < 0 ? 0 : q->top_logprobs);
    emit_raw_or(e, "top_p", q->top_p, SLICE("1.0"));
    emit_raw_or(e, "truncation", extra(q, "truncation"), SLICE("\"disabled\""));
    emit_text_or_null(e, "user", q->user);
    emit_raw_or(e, "metadata", q->metadata_raw, SLICE("{}"));
}

/* --- the answer ------------------------------------------------------------------------------- */

static void
emit_usage(struct json_emit *e, const struct usage_report *r)
{
    const struct tokens *t = &r->tokens;
    int64_t written = t->cache_write + t->cache_write_1h;
    emit_name(e, "usage");
    if (!r->seen) {
        emit_null(e);
        return;
    }
    emit_map(e);
    emit_int_member(e, "input_tokens", tokens_input(t));
    emit_name(e, "input_tokens_details");
    emit_map(e);
    emit_int_member(e, "cached_tokens", t->cache_read);
    emit_int_member(e, "cache_write_tokens", written);
    emit_end_map(e);
    emit_int_member(e, "output_tokens", tokens_output(t));
    emit_name(e, "output_tokens_details");
    emit_map(e);
    emit_int_member(e, "reasoning_tokens", t->reasoning);
    emit_end_map(e);
    emit_int_member(e, "total_tokens", usage_total(t));
    emit_end_map(e);
}

static void
emit_outcome(struct json_emit *e, const struct responses_object *o)
{
    bool failed = slice_is(slice_of(o->status), "failed");
    emit_str_member(e, "status", o->status);
    emit_bool_member(e, "background", false);
    emit_name(e, "error");
    if (failed) {
        emit_map(e);
        emit_str_member(e, "code", "server_error");
        emit_str_member(e, "message", "The provider could not finish its answer.");
        emit_end_map(e);
    } else {
        emit_null(e);
    }
    emit_name(e, "incomplete_details");
    if (o->incomplete_reason) {
        emit_map(e);
        emit_str_member(e, "reason", o->incomplete_reason);
        emit_end_map(e);
    } else {
        emit_null(e);
    }
}

/* The SDKs know these words only; other providers have others for the default. */
static const char *
tier_of(struct slice said)
{
    static const char *const tiers[] = {"auto", "flex", "scale", "priority", "fast"};
    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
        if (slice_is(said, tiers[i]))
            return tiers[i];
    return "default";
}

void
responses_emit_object(struct json_emit *e, const struct canon_request *q,
                      const struct responses_object *o)
{
    emit_map(e);
    emit_text_member(e, "id", o->id);
    emit_str_member(e, "object", "response");
    emit_int_member(e, "created_at", o->created_unix_s);
    emit_outcome(e, o);
    emit_text_member(e, "model", o->model);
    emit_name(e, "output");
    emit_list(e);
    if (o->output.len)
        emit_raw(e, o->output);
    emit_end_list(e);
    emit_asked(e, q);
    emit_str_member(e, "service_tier", tier_of(o->service_tier));
    emit_usage(e, &o->usage);
    emit_end_map(e);
}

/* --- citations -------------------------------------------------------------------------------- */

/* Those of others become the nearest kind that the SDKs know; what a provider cited of a document
 * stays readable in the title. */
void
responses_emit_citation(struct json_emit *e, const struct canon_citation *c, int64_t length)
{
    int64_t start = c->start < 0 ? 0 : c->start, end = c->end < 0 ? length : c->end;
    struct slice title = c->title.len ? c->title : c->cited_text.len ? c->cited_text : c->url;
    bool complete = c->url.len == 0 || (c->title.len && c->start >= 0 && c->end >= 0);
    if (c->origin == DIALECT_RESPONSES && c->raw.len && complete) { /* xAI's lack most */
        emit_raw(e, c->raw);
        return;
    }
    emit_map(e);
    if (c->url.len) {
        emit_str_member(e, "type", "url_citation");
        emit_text_member(e, "url", c->url);
        emit_text_member(e, "title", title);
        emit_int_member(e, "start_index", start);
        emit_int_member(e, "end_index", end);
    } else {
        emit_str_member(e, "type", "file_citation");
        emit_text_member(e, "file_id", title);
        emit_text_member(e, "filename", title);
        emit_int_member(e, "index", end);
    }
    emit_end_map(e);
}
