/*
 * Whole answers as a client of Anthropic's expects them.
 *
 * What has no place in that dialect: reasoning of another provider is a thinking block whose
 * signature carries what must come back (or redacted_thinking, when there is nothing to read);
 * pictures are told as Markdown; what another provider was refused with stands as text, under the
 * stop reason "refusal".
 */
#include "dataplane/dialects/anthropic_internal.h"
#include "dataplane/dialects/carry.h"

#include <stdio.h>

/* --- pieces that streams share ---------------------------------------------------------------- */

const char *
anthropic_reason_of(enum canon_finish finish, bool has_refusal)
{
    switch (finish) {
    case FINISH_STOP_SEQUENCE:
        return "stop_sequence";
    case FINISH_LENGTH:
        return "max_tokens";
    case FINISH_TOOL_CALLS:
        return "tool_use";
    case FINISH_PAUSE:
        return "pause_turn";
    case FINISH_CONTENT_FILTER:
    case FINISH_REFUSAL:
    case FINISH_ERROR: /* no clean end: clients must not take it for one */
        return "refusal";
    default:
        return has_refusal ? "refusal" : "end_turn";
    }
}

void
anthropic_emit_details(struct json_emit *e, struct slice explanation)
{
    if (explanation.len == 0)
        return;
    emit_name(e, "stop_details");
    emit_map(e);
    emit_str_member(e, "type", "refusal");
    emit_name(e, "category");
    emit_null(e);
    emit_text_member(e, "explanation", explanation);
    emit_end_map(e);
}

void
anthropic_emit_id(struct json_emit *e, struct slice own, enum dialect_id origin,
                  const struct answer_names *names)
{
    char id[128];
    if (origin == DIALECT_ANTHROPIC && own.len) {
        emit_text_member(e, "id", own);
        return;
    }
    snprintf(id, sizeof(id), "msg_%.*s", SLICE_ARG(names->id));
    emit_str_member(e, "id", id);
}

static const char *
tier_name(enum service_tier t)
{
    return t == TIER_PRIORITY ? "priority" : t == TIER_BATCH ? "batch" : "standard";
}

void
anthropic_emit_usage(struct json_emit *e, const struct usage_report *u, bool whole)
{
    const struct tokens *t = &u->tokens;
    emit_name(e, "usage");
    emit_map(e);
    emit_int_member(e, "input_tokens", t->input + t->audio_input + t->image_input);
    emit_int_member(e, "cache_creation_input_tokens", t->cache_write + t->cache_write_1h);
    emit_int_member(e, "cache_read_input_tokens", t->cache_read);
    if (whole) {
        emit_name(e, "cache_creation");
        emit_map(e);
        emit_int_member(e, "ephemeral_5m_input_tokens", t->cache_write);
        emit_int_member(e, "ephemeral_1h_input_tokens", t->cache_write_1h);
        emit_end_map(e);
    }
    emit_int_member(e, "output_tokens", tokens_output(t));
    if (t->reasoning) {
        emit_name(e, "output_tokens_details");
        emit_map(e);
        emit_int_member(e, "thinking_tokens", t->reasoning);
        emit_end_map(e);
    }
    if (t->web_searches) {
        emit_name(e, "server_tool_use");
        emit_map(e);
        emit_int_member(e, "web_search_requests", t->web_searches);
        emit_int_member(e, "web_fetch_requests", 0);
        emit_end_map(e);
    }
    if (whole)
        emit_str_member(e, "service_tier", tier_name(u->tier));
    emit_end_map(e);
}

/* Citations of others are told as results of a search, which have an address and a title. */
void
anthropic_emit_citation(struct json_emit *e, const struct canon_citation *c)
{
    if (c->origin == DIALECT_ANTHROPIC && c->raw.at) {
        emit_raw(e, c->raw);
        return;
    }
    emit_map(e);
    emit_str_member(e, "type", "web_search_result_location");
    emit_text_member(e, "url", c->url);
    emit_text_member(e, "title", c->title.at ? c->title : c->url);
    emit_text_member(e, "cited_text", c->cited_text);
    emit_str_member(e, "encrypted_index", "");
    emit_end_map(e);
}

void
anthropic_emit_input(struct json_emit *e, const struct canon_part *p)
{
    struct json_span root = {0};
    struct json_error why;
    bool valid = !p->custom &&
                 json_scan(p->arguments, &json_limits_default, NULL, 0, NULL, &root, &why) == 0;
    emit_name(e, "input");
    if (valid && root.kind == JSON_MAP) {
        emit_raw(e, json_raw(p->arguments, root));
        return;
    }
    emit_map(e);
    if (p->arguments.len && !(valid && root.kind == JSON_NULL_))
        emit_text_member(e, "input", p->arguments);
    emit_end_map(e);
}

void
anthropic_emit_call(struct json_emit *e, const struct canon_part *p, bool pieces_follow,
                    struct arena *a)
{
    struct slice id = p->id;
    if (p->signature.len && canon_pack_id(a, p->id, p->origin, p->signature, &id) != 0)
        e->err = ERR_NOMEM;
    emit_str_member(e, "type", "tool_use");
    emit_text_member(e, "id", id);
    emit_text_member(e, "name", p->name);
    if (pieces_follow) {
        emit_name(e, "input");
        emit_raw(e, SLICE("{}"));
    } else {
        anthropic_emit_input(e, p);
    }
    if (p->origin == DIALECT_ANTHROPIC && p->raw.at)
        emit_members_of(e, p->raw);
}

int
anthropic_pack_foreign(const struct canon_part *p, struct arena *a, struct slice *ret)
{
    struct canon_part state = *p;
    state.text = (struct slice){0}; /* it stands in the open */
    return carry_pack(a, &state, ret);
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void
emit_text_block(struct json_emit *e, const struct canon_part *p)
{
    emit_map(e);
    emit_str_member(e, "type", "text");
    emit_text_member(e, "text", p->text);
    if (p->citation_count) {
        emit_name(e, "citations");
        emit_list(e);
        for (size_t i = 0; i < p->citation_count; i++)
            anthropic_emit_citation(e, &p->citations[i]);
        emit_end_list(e);
    }
    emit_end_map(e);
}

static void
emit_redacted(struct json_emit *e, struct slice data)
{
    emit_map(e);
    emit_str_member(e, "type", "redacted_thinking");
    emit_text_member(e, "data", data);
    emit_end_map(e);
}

static void
emit_thinking(struct json_emit *e, struct slice text, struct slice signature)
{
    emit_map(e);
    emit_str_member(e, "type", "thinking");
    emit_text_member(e, "thinking", text);
    emit_text_member(e, "signature", signature);
    emit_end_map(e);
}

static void
emit_reasoning_block(struct json_emit *e, const struct canon_part *p, struct arena *a)
{
    struct slice packed;
    if (p->origin == DIALECT_ANTHROPIC) {
        if (p->encrypted.len)
            emit_redacted(e, p->encrypted);
        else
            emit_thinking(e, p->text, p->signature);
        return;
    }
    int err = anthropic_pack_foreign(p, a, &packed);
    if (err)
        e->err = err;
    else if (p->text.len)
        emit_thinking(e, p->text, packed);
    else if (p->signature.len || p->encrypted.len)
        emit_redacted(e, packed);
}

static void
emit_opaque_block(struct json_emit *e, const struct canon_part *p, struct arena *a)
{
    struct slice packed;
    if (p->origin == DIALECT_ANTHROPIC) {
        emit_raw(e, p->raw);
        return;
    }
    int err = anthropic_pack_foreign(p, a, &packed);
    if (err)
        e->err = err;
    else
        emit_redacted(e, packed);
}

static void
emit_picture(struct json_emit *e, const struct canon_part *p, struct arena *a)
{
    const struct canon_media *m = &p->media;
    struct canon_part words = {.kind = PART_TEXT};
    struct slice mime = m->mime.len ? m->mime : SLICE("image/png");
    char *text = m->data.len ? arena_printf(a, "![image](data:%.*s;base64,%.*s)", SLICE_ARG(mime),
                                            SLICE_ARG(m->data))
                             : arena_printf(a, "![image](%.*s)", SLICE_ARG(m->url));
    if (!text)
        e->err = ERR_NOMEM;
    words.text = slice_of(text);
    emit_text_block(e, &words);
}

static void
emit_block(struct json_emit *e, const struct canon_part *p, struct arena *a)
{
    switch (p->kind) {
    case PART_REASONING:
        emit_reasoning_block(e, p, a);
        break;
    case PART_TOOL_CALL:
        emit_map(e);
        anthropic_emit_call(e, p, false, a);
        emit_end_map(e);
        break;
    case PART_OPAQUE:
        emit_opaque_block(e, p, a);
        break;
    case PART_IMAGE:
        emit_picture(e, p, a);
        break;
    default:
        /* an empty block could not be sent back */
        if (p->text.len && !(p->kind == PART_REFUSAL && p->origin == DIALECT_ANTHROPIC))
            emit_text_block(e, p);
        break;
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The first refusal, or NULL. */
static const struct canon_part *
refusal_of(const struct canon_choice_answer *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == PART_REFUSAL)
            return &c->parts[i];
    return NULL;
}

int
anthropic_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                       const struct answer_names *names, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    const struct canon_choice_answer *c = &answer->choices[0];
    const struct canon_part *refusal = refusal_of(c);
    struct arena a;
    (void)q;
    arena_init(&a, 0);
    emit_map(&e);
    anthropic_emit_id(&e, answer->id, answer->origin, names);
    emit_str_member(&e, "type", "message");
    emit_str_member(&e, "role", "assistant");
    emit_text_member(&e, "model", answer->model.len ? answer->model : names->model);
    emit_name(&e, "content");
    emit_list(&e);
    for (size_t i = 0; i < c->count; i++)
        emit_block(&e, &c->parts[i], &a);
    emit_end_list(&e);
    emit_str_member(&e, "stop_reason", anthropic_reason_of(c->finish, refusal != NULL));
    emit_name(&e, "stop_sequence");
    if (c->stop_sequence.at)
        emit_text(&e, c->stop_sequence);
    else
        emit_null(&e);
    if (refusal && refusal->origin == DIALECT_ANTHROPIC)
        anthropic_emit_details(&e, refusal->text);
    anthropic_emit_usage(&e, &answer->usage, true);
    emit_end_map(&e);
    arena_free(&a);
    return e.err;
}
