/* A whole answer as chat completions give it, and the pieces it shares with streams. */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/chat_internal.h"

const char *
chat_finish_name(enum canon_finish f)
{
    switch (f) {
    case FINISH_LENGTH:
        return "length";
    case FINISH_TOOL_CALLS:
        return "tool_calls";
    case FINISH_CONTENT_FILTER:
    case FINISH_REFUSAL:
        return "content_filter";
    case FINISH_ERROR:
        return "error";
    case FINISH_NONE:
    case FINISH_STOP:
    case FINISH_STOP_SEQUENCE:
    case FINISH_PAUSE:
        break;
    }
    return "stop";
}

void
chat_emit_usage(struct json_emit *e, const struct usage_report *u)
{
    const struct tokens *t = &u->tokens;
    int64_t cache_write = t->cache_write + t->cache_write_1h;
    emit_map(e);
    emit_int_member(e, "prompt_tokens", tokens_input(t));
    emit_int_member(e, "completion_tokens", tokens_output(t));
    emit_int_member(e, "total_tokens", tokens_input(t) + tokens_output(t));
    emit_name(e, "prompt_tokens_details"), emit_map(e);
    emit_int_member(e, "cached_tokens", t->cache_read);
    emit_int_member(e, "audio_tokens", t->audio_input);
    if (cache_write)
        emit_int_member(e, "cache_write_tokens", cache_write);
    emit_end_map(e);
    emit_name(e, "completion_tokens_details"), emit_map(e);
    emit_int_member(e, "reasoning_tokens", t->reasoning);
    emit_int_member(e, "audio_tokens", t->audio_output);
    emit_int_member(e, "accepted_prediction_tokens", 0);
    emit_int_member(e, "rejected_prediction_tokens", 0);
    emit_end_map(e);
    emit_end_map(e);
}

void
chat_emit_citation(struct json_emit *e, const struct canon_citation *c)
{
    if (c->origin == DIALECT_CHAT && c->raw.len && c->raw.at[0] == '{') {
        emit_raw(e, c->raw);
        return;
    }
    emit_map(e);
    emit_str_member(e, "type", "url_citation");
    emit_name(e, "url_citation"), emit_map(e);
    emit_int_member(e, "start_index", c->start < 0 ? 0 : c->start);
    emit_int_member(e, "end_index", c->end < 0 ? 0 : c->end);
    emit_text_member(e, "title", c->title);
    emit_text_member(e, "url", c->url);
    emit_opt_text(e, "content", c->cited_text);
    emit_end_map(e);
    emit_end_map(e);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void
emit_call(struct json_emit *e, const struct canon_part *call, struct slice id,
          struct slice arguments)
{
    emit_text_member(e, "id", id);
    emit_str_member(e, "type", call->custom ? "custom" : "function");
    emit_name(e, call->custom ? "custom" : "function"), emit_map(e);
    emit_text_member(e, "name", call->name);
    emit_text_member(e, call->custom ? "input" : "arguments", arguments);
    emit_end_map(e);
    if (call->signature.len && call->origin == DIALECT_GEMINI) {
        emit_name(e, "extra_content"), emit_map(e);
        emit_name(e, "google"), emit_map(e);
        emit_text_member(e, "thought_signature", call->signature);
        emit_end_map(e);
        emit_end_map(e);
    }
}

int
chat_emit_call(struct json_emit *e, struct arena *a, const struct canon_part *call,
               struct slice arguments)
{
    struct slice id;
    int err = canon_pack_id(a, call->id, call->origin, call->signature, &id);
    if (!err)
        emit_call(e, call, id, arguments);
    return err;
}

void
chat_emit_call_as(struct json_emit *e, const struct canon_part *call, struct slice id)
{
    emit_call(e, call, id, call->arguments);
}

static struct slice
whole_arguments(const struct canon_part *call)
{
    bool is_none = call->arguments.len == 0 || slice_is(call->arguments, "null");
    return is_none && !call->custom ? SLICE("{}") : call->arguments;
}

static int
emit_calls(struct json_emit *e, struct arena *a, const struct canon_choice_answer *c)
{
    int err = 0;
    emit_name(e, "tool_calls"), emit_list(e);
    for (size_t i = 0; i < c->count && !err; i++)
        if (c->parts[i].kind == PART_TOOL_CALL) {
            emit_map(e);
            err = chat_emit_call(e, a, &c->parts[i], whole_arguments(&c->parts[i]));
            emit_end_map(e);
        }
    emit_end_list(e);
    return err;
}

/* As it was before tools: one call, without an id. */
static void
emit_function_call(struct json_emit *e, const struct canon_part *call)
{
    emit_name(e, "function_call"), emit_map(e);
    emit_text_member(e, "name", call->name);
    emit_text_member(e, "arguments", whole_arguments(call));
    emit_end_map(e);
}

/* --- reasoning and foreign items -------------------------------------------------------------- */

size_t
chat_place(struct chat_places *places, enum canon_part_kind kind)
{
    bool joins = kind == PART_TEXT && places->has_text;
    places->has_text |= kind == PART_TEXT;
    return joins ? places->next : places->next++;
}

bool
chat_needs_detail(const struct canon_part *p)
{
    switch (p->kind) {
    case PART_OPAQUE:
        return true;
    case PART_REASONING:
        return p->signature.len || p->encrypted.len || p->raw.len;
    case PART_TEXT:
        return p->signature.len > 0;
    default:
        return false;
    }
}

void
chat_emit_detail(struct json_emit *e, const struct canon_part *p, size_t index)
{
    bool is_own = p->origin == DIALECT_CHAT && p->raw.len && p->kind == PART_REASONING;
    emit_map(e);
    if (p->kind == PART_OPAQUE) {
        emit_str_member(e, "type", "opaque");
        emit_name(e, "item"), emit_raw(e, p->raw);
    } else if (is_own) {
        emit_members_of(e, p->raw);
        emit_opt_text(e, p->encrypted.len ? "data" : "text",
                      p->encrypted.len ? p->encrypted : p->text);
        emit_opt_text(e, "signature", p->signature);
        emit_end_map(e);
        return;
    } else if (p->encrypted.len) {
        emit_str_member(e, "type", "reasoning.encrypted");
        emit_text_member(e, "data", p->encrypted);
        if (p->text.len)
            emit_text_member(e, "summary", p->text);
    } else {
        emit_str_member(e, "type", "reasoning.text");
        emit_text_member(e, "text", p->kind == PART_TEXT ? SLICE("") : p->text);
    }
    emit_opt_text(e, "signature", p->signature);
    emit_opt_text(e, "id", p->id);
    emit_str_member(e, "format", carry_name(p->origin));
    emit_int_member(e, "index", (int64_t)index);
    emit_end_map(e);
}

static void
emit_details(struct json_emit *e, const struct canon_choice_answer *c)
{
    struct chat_places places = {0};
    bool begun = false;
    for (size_t i = 0; i < c->count; i++) {
        size_t place = chat_place(&places, c->parts[i].kind);
        if (!chat_needs_detail(&c->parts[i]))
            continue;
        if (!begun)
            emit_name(e, "reasoning_details"), emit_list(e);
        begun = true;
        chat_emit_detail(e, &c->parts[i], place);
    }
    if (begun)
        emit_end_list(e);
}

/* --- the message ------------------------------------------------------------------------------ */

static const struct canon_part *
first_of(const struct canon_choice_answer *c, enum canon_part_kind kind)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind)
            return &c->parts[i];
    return NULL;
}

/* The texts of all parts of one kind, as one. */
static int
emit_joined(struct json_emit *e, struct arena *a, const struct canon_choice_answer *c,
            enum canon_part_kind kind, const char *name)
{
    struct canon_part *parts = arena_alloc(a, (c->count + 1) * sizeof(*parts));
    size_t n = 0;
    if (!parts)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind) {
            parts[n] = c->parts[i];
            parts[n++].kind = PART_TEXT;
        }
    struct slice text = canon_joined_text(a, parts, n);
    if (!text.at && n)
        return ERR_NOMEM;
    emit_text_member(e, name, text);
    return 0;
}

static void
emit_annotations(struct json_emit *e, const struct canon_choice_answer *c)
{
    emit_name(e, "annotations"), emit_list(e);
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->parts[i].citation_count; k++)
            chat_emit_citation(e, &c->parts[i].citations[k]);
    emit_end_list(e);
}

static void
emit_audio(struct json_emit *e, const struct canon_part *p)
{
    emit_name(e, "audio"), emit_map(e);
    emit_text_member(e, "id", p->media.id);
    emit_text_member(e, "data", p->media.data);
    emit_text_member(e, "transcript", p->text);
    emit_name(e, "expires_at");
    emit_raw(e, p->media.expires.len ? p->media.expires : SLICE("0"));
    emit_end_map(e);
}

/* Pictures as OpenRouter gives them. */
static int
emit_images(struct json_emit *e, struct arena *a, const struct canon_choice_answer *c)
{
    emit_name(e, "images"), emit_list(e);
    for (size_t i = 0; i < c->count; i++) {
        const struct canon_media *m = &c->parts[i].media;
        if (c->parts[i].kind != PART_IMAGE)
            continue;
        struct slice url = m->url;
        if (m->data.len)
            url = slice_of(
                arena_printf(a, "data:%.*s;base64,%.*s", SLICE_ARG(m->mime), SLICE_ARG(m->data)));
        if (!url.at)
            return ERR_NOMEM;
        emit_map(e);
        emit_str_member(e, "type", "image_url");
        emit_name(e, "image_url"), emit_map(e);
        emit_text_member(e, "url", url);
        emit_end_map(e);
        emit_end_map(e);
    }
    emit_end_list(e);
    return 0;
}

static int
emit_message(struct json_emit *e, struct arena *a, const struct canon_request *q,
             const struct canon_choice_answer *c)
{
    const struct canon_part *call = first_of(c, PART_TOOL_CALL), *audio = first_of(c, PART_AUDIO);
    bool has_text = first_of(c, PART_TEXT), has_refusal = first_of(c, PART_REFUSAL);
    int err = 0;
    emit_map(e);
    emit_str_member(e, "role", "assistant");
    if (has_text || !(call || audio || has_refusal))
        err = emit_joined(e, a, c, PART_TEXT, "content");
    else
        emit_name(e, "content"), emit_null(e);
    if (has_refusal && !err)
        err = emit_joined(e, a, c, PART_REFUSAL, "refusal");
    else
        emit_name(e, "refusal"), emit_null(e);
    emit_annotations(e, c);
    if (first_of(c, PART_REASONING) && !err)
        err = emit_joined(e, a, c, PART_REASONING, "reasoning_content");
    emit_details(e, c);
    if (call && q->old_functions)
        emit_function_call(e, call);
    else if (call && !err)
        err = emit_calls(e, a, c);
    if (audio)
        emit_audio(e, audio);
    if (first_of(c, PART_IMAGE) && !err)
        err = emit_images(e, a, c);
    emit_end_map(e);
    return err;
}

static int
emit_choice(struct json_emit *e, struct arena *a, const struct canon_request *q,
            const struct canon_choice_answer *c, size_t index)
{
    bool old_call = q->old_functions && c->finish == FINISH_TOOL_CALLS;
    emit_map(e);
    emit_int_member(e, "index", (int64_t)index);
    emit_name(e, "message");
    int err = emit_message(e, a, q, c);
    emit_name(e, "logprobs");
    emit_raw(e, c->logprobs_raw.len ? c->logprobs_raw : SLICE("null"));
    emit_str_member(e, "finish_reason", old_call ? "function_call" : chat_finish_name(c->finish));
    emit_end_map(e);
    return err;
}

static int
emit_answer(struct json_emit *e, struct arena *a, const struct canon_request *q,
            const struct canon_answer *answer, const struct answer_names *names)
{
    struct slice id = answer->id;
    int err = 0;
    if (answer->origin != DIALECT_CHAT || id.len == 0)
        id = slice_of(arena_printf(a, "chatcmpl-%.*s", SLICE_ARG(names->id)));
    if (!id.at)
        return ERR_NOMEM;
    emit_map(e);
    emit_text_member(e, "id", id);
    emit_str_member(e, "object", "chat.completion");
    emit_int_member(e, "created",
                    answer->created_unix_s ? answer->created_unix_s : names->now_unix_s);
    emit_text_member(e, "model", answer->model.len ? answer->model : names->model);
    emit_name(e, "choices"), emit_list(e);
    for (size_t i = 0; i < answer->choice_count && !err; i++)
        err = emit_choice(e, a, q, &answer->choices[i], i);
    emit_end_list(e);
    if (answer->usage.seen)
        emit_name(e, "usage"), chat_emit_usage(e, &answer->usage);
    if (answer->service_tier.len)
        emit_text_member(e, "service_tier", answer->service_tier);
    if (answer->fingerprint.len)
        emit_text_member(e, "system_fingerprint", answer->fingerprint);
    emit_end_map(e);
    return err ? err : e->err;
}

int
chat_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                  const struct answer_names *names, struct buf *into)
{
    struct arena scratch;
    struct json_emit e = json_emit_into(into);
    arena_init(&scratch, 0);
    int err = emit_answer(&e, &scratch, q, answer, names);
    arena_free(&scratch);
    return err;
}
