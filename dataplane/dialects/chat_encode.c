/* A stream as chat completions give it: chunk after chunk, and [DONE]. */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/chat_internal.h"

#include <string.h>

/* Of one stream, over all its choices: what must be remembered of each is small. */
#define LIMIT_ENCODED_PARTS 4096
#define LIMIT_ENCODED_CHOICES 128

struct part {
    unsigned choice, part;
    enum canon_part_kind kind;
    bool custom;
    size_t index;     /* of a call among the calls; else the part's place */
    bool has_pieces;  /* of arguments; of an entry of reasoning_details */
    bool has_details; /* comes back only by reasoning_details */
    enum dialect_id origin;
};

struct choice {
    bool begun;
    size_t calls;
    struct chat_places places;
};

struct encoder {
    struct arena *keep;
    const struct canon_request *q;
    struct answer_names names;
    struct slice prefix; /* of each chunk, up to its choices */
    struct part *parts;
    size_t count, cap;
    struct choice choices[LIMIT_ENCODED_CHOICES];
    struct usage_report usage;
};

static int
init(void *state, struct arena *keep, const struct canon_request *q,
     const struct answer_names *names)
{
    *(struct encoder *)state = (struct encoder){.keep = keep, .q = q, .names = *names};
    return 0;
}

static int
make_prefix(struct encoder *s, const struct canon_event *start)
{
    struct buf b;
    buf_init(&b, 0);
    int err = buf_add_str(&b, "data: ");
    struct json_emit e = json_emit_into(&b);
    struct slice id = start->id;
    if (start->of.origin != DIALECT_CHAT || id.len == 0)
        id = slice_of(arena_printf(s->keep, "chatcmpl-%.*s", SLICE_ARG(s->names.id)));
    emit_map(&e);
    emit_text_member(&e, "id", id);
    emit_str_member(&e, "object", "chat.completion.chunk");
    emit_int_member(&e, "created",
                    start->created_unix_s ? start->created_unix_s : s->names.now_unix_s);
    emit_text_member(&e, "model", start->model.len ? start->model : s->names.model);
    if (start->service_tier.len)
        emit_text_member(&e, "service_tier", start->service_tier);
    if (start->fingerprint.len)
        emit_text_member(&e, "system_fingerprint", start->fingerprint);
    emit_name(&e, "choices");
    if (!err)
        err = e.err;
    if (!err) {
        s->prefix = arena_copy(s->keep, buf_slice(&b));
        err = s->prefix.at ? 0 : ERR_NOMEM;
    }
    buf_free(&b);
    return err;
}

/* --- chunks ----------------------------------------------------------------------------------- */

/* Opens a chunk up to the inside of its delta. */
static struct json_emit
begin_chunk(struct encoder *s, unsigned choice, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    e.err = buf_add_slice(into, s->prefix);
    emit_list(&e);
    emit_map(&e);
    emit_int_member(&e, "index", choice);
    emit_name(&e, "delta"), emit_map(&e);
    return e;
}

static int
end_chunk(struct encoder *s, struct json_emit *e, const char *finish, struct slice logprobs)
{
    emit_end_map(e);
    emit_name(e, "logprobs"), emit_raw(e, logprobs.len ? logprobs : SLICE("null"));
    emit_name(e, "finish_reason");
    if (finish)
        emit_str(e, finish);
    else
        emit_null(e);
    emit_end_map(e);
    emit_end_list(e);
    if (s->q->include_usage)
        emit_name(e, "usage"), emit_null(e);
    emit_end_map(e);
    return e->err ? e->err : buf_add_str(e->into, "\n\n");
}

static int
plain_end(struct encoder *s, struct json_emit *e)
{
    return end_chunk(s, e, NULL, (struct slice){0});
}

static int
begin_choice(struct encoder *s, unsigned choice, struct buf *into)
{
    if (choice >= LIMIT_ENCODED_CHOICES)
        return ERR_LIMIT;
    if (s->choices[choice].begun)
        return 0;
    s->choices[choice].begun = true;
    struct json_emit e = begin_chunk(s, choice, into);
    emit_str_member(&e, "role", "assistant");
    emit_str_member(&e, "content", "");
    emit_name(&e, "refusal"), emit_null(&e);
    return plain_end(s, &e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static struct part *
find_part(struct encoder *s, const struct canon_event *e)
{
    for (size_t i = s->count; i-- > 0;)
        if (s->parts[i].choice == e->choice && s->parts[i].part == e->part)
            return &s->parts[i];
    return NULL;
}

static struct part *
add_part(struct encoder *s, const struct canon_event *e)
{
    struct choice *c = &s->choices[e->choice];
    if (s->count == LIMIT_ENCODED_PARTS)
        return NULL;
    if (s->count == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        struct part *at = arena_alloc(s->keep, cap * sizeof(*at));
        if (!at)
            return NULL;
        if (s->count)
            memcpy(at, s->parts, s->count * sizeof(*at));
        s->parts = at;
        s->cap = cap;
    }
    struct part *p = &s->parts[s->count++];
    *p = (struct part){.choice = e->choice,
                       .part = e->part,
                       .kind = e->of.kind,
                       .custom = e->of.custom,
                       .origin = e->of.origin,
                       .index = chat_place(&c->places, e->of.kind)};
    if (p->kind == PART_TOOL_CALL)
        p->index = c->calls++;
    p->has_details = p->kind == PART_REASONING && p->origin != DIALECT_CHAT;
    return p;
}

/* Opens one entry of a list of deltas that are told apart by their index. */
static struct json_emit
begin_entry(struct encoder *s, const struct part *p, const char *list, struct buf *into)
{
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_name(&e, list), emit_list(&e);
    emit_map(&e);
    return e;
}

static int
end_entry(struct encoder *s, struct json_emit *e)
{
    emit_end_map(e);
    emit_end_list(e);
    return plain_end(s, e);
}

static int
begin_call(struct encoder *s, const struct part *p, const struct canon_part *of, struct buf *into)
{
    int err = 0;
    if (s->q->old_functions) {
        if (p->index > 0)
            return 0; /* functions come one at a time */
        struct json_emit e = begin_chunk(s, p->choice, into);
        emit_name(&e, "function_call"), emit_map(&e);
        emit_text_member(&e, "name", of->name);
        emit_str_member(&e, "arguments", "");
        emit_end_map(&e);
        return plain_end(s, &e);
    }
    struct json_emit e = begin_entry(s, p, "tool_calls", into);
    emit_int_member(&e, "index", (int64_t)p->index);
    err = chat_emit_call(&e, s->keep, of, SLICE(""));
    return err ? err : end_entry(s, &e);
}

static int
more_arguments(struct encoder *s, struct part *p, struct slice text, struct buf *into)
{
    p->has_pieces = true;
    if (s->q->old_functions) {
        if (p->index > 0)
            return 0;
        struct json_emit e = begin_chunk(s, p->choice, into);
        emit_name(&e, "function_call"), emit_map(&e);
        emit_text_member(&e, "arguments", text);
        emit_end_map(&e);
        return plain_end(s, &e);
    }
    struct json_emit e = begin_entry(s, p, "tool_calls", into);
    emit_int_member(&e, "index", (int64_t)p->index);
    emit_name(&e, p->custom ? "custom" : "function"), emit_map(&e);
    emit_text_member(&e, p->custom ? "input" : "arguments", text);
    emit_end_map(&e);
    return end_entry(s, &e);
}

static int
simple_delta(struct encoder *s, const struct part *p, const char *name, struct slice text,
             struct buf *into)
{
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_text_member(&e, name, text);
    return plain_end(s, &e);
}

/* A piece of an entry: only the first says whose it is, since clients put the pieces' texts
 * together. */
static void
emit_piece_head(struct json_emit *e, struct part *p)
{
    emit_str_member(e, "type", "reasoning.text");
    if (!p->has_pieces)
        emit_str_member(e, "format", carry_name(p->origin));
    emit_int_member(e, "index", (int64_t)p->index);
    p->has_pieces = true;
}

static int
more_reasoning(struct encoder *s, struct part *p, struct slice text, struct buf *into)
{
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_text_member(&e, "reasoning_content", text);
    if (p->has_details) {
        emit_name(&e, "reasoning_details"), emit_list(&e);
        emit_map(&e);
        emit_piece_head(&e, p);
        emit_text_member(&e, "text", text);
        emit_end_map(&e);
        emit_end_list(&e);
    }
    return plain_end(s, &e);
}

static int
more_audio(struct encoder *s, const struct part *p, const char *name, struct slice text,
           struct buf *into)
{
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_name(&e, "audio"), emit_map(&e);
    emit_text_member(&e, name, text);
    emit_end_map(&e);
    return plain_end(s, &e);
}

static int
more(struct encoder *s, struct part *p, struct slice text, struct buf *into)
{
    if (text.len == 0)
        return 0;
    switch (p->kind) {
    case PART_TEXT:
        return simple_delta(s, p, "content", text, into);
    case PART_REFUSAL:
        return simple_delta(s, p, "refusal", text, into);
    case PART_REASONING:
        return more_reasoning(s, p, text, into);
    case PART_TOOL_CALL:
        return more_arguments(s, p, text, into);
    case PART_AUDIO:
        return more_audio(s, p, "transcript", text, into);
    default:
        return 0;
    }
}

static int
more_signature(struct encoder *s, struct part *p, struct slice text, struct buf *into)
{
    if (text.len == 0)
        return 0;
    if (p->kind == PART_TOOL_CALL) {
        struct json_emit e = begin_entry(s, p, "tool_calls", into);
        emit_int_member(&e, "index", (int64_t)p->index);
        emit_name(&e, "extra_content"), emit_map(&e);
        emit_name(&e, "google"), emit_map(&e);
        emit_text_member(&e, "thought_signature", text);
        emit_end_map(&e);
        emit_end_map(&e);
        return end_entry(s, &e);
    }
    if (p->kind != PART_REASONING && p->kind != PART_TEXT)
        return 0;
    struct json_emit e = begin_entry(s, p, "reasoning_details", into);
    emit_piece_head(&e, p);
    emit_text_member(&e, "signature", text);
    return end_entry(s, &e);
}

/* What comes back only whole: an item, encrypted reasoning. */
static int
whole_detail(struct encoder *s, struct part *p, const struct canon_part *of, struct buf *into)
{
    struct canon_part shown = *of;
    shown.kind = p->kind;
    shown.origin = p->origin;
    shown.text = (struct slice){0}; /* went by */
    shown.signature = (struct slice){0};
    if (p->kind != PART_OPAQUE && !shown.encrypted.len)
        return 0;
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_name(&e, "reasoning_details"), emit_list(&e);
    chat_emit_detail(&e, &shown, p->index);
    emit_end_list(&e);
    return plain_end(s, &e);
}

static int
whole_image(struct encoder *s, const struct part *p, const struct canon_media *m, struct buf *into)
{
    struct buf url;
    buf_init(&url, 0);
    int err = m->data.len ? buf_addf(&url, "data:%.*s;base64,", SLICE_ARG(m->mime)) : 0;
    if (!err)
        err = buf_add_slice(&url, m->data.len ? m->data : m->url);
    if (!err) {
        struct json_emit e = begin_entry(s, p, "images", into);
        emit_str_member(&e, "type", "image_url");
        emit_int_member(&e, "index", (int64_t)p->index);
        emit_name(&e, "image_url"), emit_map(&e);
        emit_text_member(&e, "url", buf_slice(&url));
        emit_end_map(&e);
        err = end_entry(s, &e);
    }
    buf_free(&url);
    return err;
}

static int
cite(struct encoder *s, const struct part *p, const struct canon_citation *c, struct buf *into)
{
    struct json_emit e = begin_chunk(s, p->choice, into);
    emit_name(&e, "annotations"), emit_list(&e);
    chat_emit_citation(&e, c);
    emit_end_list(&e);
    return plain_end(s, &e);
}

static int
begin_part(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    int err = begin_choice(s, e->choice, into);
    struct part *p = err ? NULL : add_part(s, e);
    if (!p)
        return err ? err : s->count == LIMIT_ENCODED_PARTS ? ERR_LIMIT : ERR_NOMEM;
    if (p->kind == PART_TOOL_CALL)
        err = begin_call(s, p, &e->of, into);
    else if (p->kind == PART_IMAGE)
        err = whole_image(s, p, &e->of.media, into);
    else if (p->kind == PART_AUDIO)
        err = more_audio(s, p, "id", e->of.media.id, into);
    if (!err)
        err = more(s, p, p->kind == PART_TOOL_CALL ? e->of.arguments : e->of.text, into);
    if (!err && p->kind == PART_AUDIO && e->of.media.data.len)
        err = more_audio(s, p, "data", e->of.media.data, into);
    if (!err && p->kind != PART_TOOL_CALL)
        err = more_signature(s, p, e->of.signature, into);
    if (!err && (e->of.encrypted.len || e->of.raw.len))
        err = whole_detail(s, p, &e->of, into);
    for (size_t i = 0; i < e->of.citation_count && !err; i++)
        err = cite(s, p, &e->of.citations[i], into);
    return err;
}

static int
end_part(struct encoder *s, struct part *p, const struct canon_event *e, struct buf *into)
{
    if (p->kind == PART_TOOL_CALL && !p->has_pieces && !p->custom)
        return more_arguments(s, p, SLICE("{}"), into);
    if (p->kind == PART_AUDIO && e->of.media.expires.len) {
        struct json_emit out = begin_chunk(s, p->choice, into);
        emit_name(&out, "audio"), emit_map(&out);
        emit_name(&out, "expires_at"), emit_raw(&out, e->of.media.expires);
        emit_end_map(&out);
        return plain_end(s, &out);
    }
    if (e->of.encrypted.len || (p->kind == PART_OPAQUE && e->of.raw.len))
        return whole_detail(s, p, &e->of, into);
    return 0;
}

static int
take_part(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    struct part *p = find_part(s, e);
    if (!p)
        return ERR_PROTOCOL;
    switch (e->kind) {
    case EVENT_DELTA:
        return more(s, p, e->text, into);
    case EVENT_DATA:
        return p->kind == PART_AUDIO ? more_audio(s, p, "data", e->text, into) : 0;
    case EVENT_SIGNATURE:
        return more_signature(s, p, e->text, into);
    case EVENT_CITATION:
        return cite(s, p, &e->citation, into);
    default:
        return end_part(s, p, e, into);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static int
finish(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    bool old_call = s->q->old_functions && e->finish == FINISH_TOOL_CALLS;
    int err = begin_choice(s, e->choice, into);
    if (err)
        return err;
    struct json_emit out = begin_chunk(s, e->choice, into);
    return end_chunk(s, &out, old_call ? "function_call" : chat_finish_name(e->finish),
                     (struct slice){0});
}

static int
logprobs(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    int err = begin_choice(s, e->choice, into);
    if (err)
        return err;
    struct json_emit out = begin_chunk(s, e->choice, into);
    return end_chunk(s, &out, NULL, e->text);
}

static int
end(struct encoder *s, struct buf *into)
{
    if (s->q->include_usage && s->usage.seen) {
        struct json_emit e = json_emit_into(into);
        e.err = buf_add_slice(into, s->prefix);
        emit_list(&e);
        emit_end_list(&e);
        emit_name(&e, "usage"), chat_emit_usage(&e, &s->usage);
        emit_end_map(&e);
        int err = e.err ? e.err : buf_add_str(into, "\n\n");
        if (err)
            return err;
    }
    return buf_add_str(into, "data: [DONE]\n\n");
}

static int
event(void *state, const struct canon_event *e, struct buf *into)
{
    struct encoder *s = state;
    if (e->kind == EVENT_START)
        return make_prefix(s, e);
    if (e->kind != EVENT_ERROR && !s->prefix.at)
        return ERR_PROTOCOL;
    switch (e->kind) {
    case EVENT_PART_START:
        return begin_part(s, e, into);
    case EVENT_LOGPROBS:
        return logprobs(s, e, into);
    case EVENT_FINISH:
        return finish(s, e, into);
    case EVENT_USAGE:
        s->usage = e->usage;
        return 0;
    case EVENT_ERROR:
        return chat_write_error_event(&e->error, into);
    case EVENT_END:
        return end(s, into);
    default:
        return take_part(s, e, into);
    }
}

const struct dialect_encoder chat_encoder = {
    .state_bytes = sizeof(struct encoder),
    .init = init,
    .event = event,
};
