/*
 * A client's stream: canonical events as those of Responses, in their order and numbered, and a
 * whole answer likewise (it is what the stream's terminal repeats, so the two are the same).
 *
 * Consecutive texts are the pieces of one message; each reasoning, call and foreign item is an
 * item. What has come is kept until the terminal, which repeats it all: bounded by
 * LIMIT_ENCODED_BYTES.
 */
#include "dataplane/dialects/gather.h"
#include "dataplane/dialects/responses_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_own(const struct canon_part *p)
{
    return p->origin == DIALECT_RESPONSES;
}

/* --- events ----------------------------------------------------------------------------------- */

/* "event: TYPE" and the beginning of its data; closed by close_event(). */
static struct json_emit
open_event(struct responses_encoding *s, const char *type, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    e.err = buf_addf(into, "event: %s\ndata: ", type);
    emit_map(&e);
    emit_str_member(&e, "type", type);
    emit_int_member(&e, "sequence_number", s->sequence++);
    return e;
}

static int
close_event(struct json_emit *e)
{
    emit_end_map(e);
    if (!e->err)
        e->err = buf_add_str(e->into, "\n\n");
    return e->err;
}

static struct json_emit
open_item_event(struct responses_encoding *s, const char *type, const struct responses_item *item,
                struct buf *into)
{
    struct json_emit e = open_event(s, type, into);
    emit_text_member(&e, "item_id", item->id);
    emit_int_member(&e, "output_index", item - s->items);
    return e;
}

/* Of a text's piece, with its place in the message. */
static struct json_emit
open_content_event(struct responses_encoding *s, const char *type, const struct responses_piece *p,
                   struct buf *into)
{
    struct json_emit e = open_item_event(s, type, &s->items[p->item], into);
    emit_int_member(&e, "content_index", p->content);
    return e;
}

static int
object_event(struct responses_encoding *s, const char *type, struct buf *into)
{
    struct json_emit e = open_event(s, type, into);
    emit_name(&e, "response");
    size_t before = into->len;
    responses_emit_object(&e, s->q, &s->object);
    s->object_at = before;
    s->object_len = into->len - before;
    return close_event(&e);
}

static int
item_event(struct responses_encoding *s, const char *type, struct responses_item *item,
           const char *status, struct buf *into)
{
    struct json_emit e = open_event(s, type, into);
    emit_int_member(&e, "output_index", item - s->items);
    emit_name(&e, "item");
    size_t before = into->len;
    int err = responses_emit_item(s, &e, item, status);
    if (!err && !e.err && item->done)
        err = responses_hold(s, &item->json, slice_make(into->at + before, into->len - before));
    return err ? err : close_event(&e);
}

static int
item_added(struct responses_encoding *s, struct responses_item *item, struct buf *into)
{
    return item_event(s, "response.output_item.added", item, "in_progress", into);
}

static int
item_done(struct responses_encoding *s, struct responses_item *item, const char *status,
          struct buf *into)
{
    if (item->done)
        return 0;
    item->done = true;
    return item_event(s, "response.output_item.done", item, status, into);
}

/* --- messages --------------------------------------------------------------------------------- */

static const char *
final_status(const struct responses_encoding *s)
{
    return s->finish == FINISH_LENGTH || s->finish == FINISH_CONTENT_FILTER ||
                   s->finish == FINISH_REFUSAL || s->finish == FINISH_ERROR
               ? "incomplete"
               : "completed";
}

/* Ends the messages all of whose pieces have ended; `all`: the others too. */
static int
close_messages(struct responses_encoding *s, bool all, const char *status, struct buf *into)
{
    int err = 0;
    for (size_t i = 0; !err && i < s->item_count; i++) {
        struct responses_item *item = &s->items[i];
        bool open = false;
        if (item->kind != ITEM_MESSAGE || item->done)
            continue;
        for (size_t k = 0; k < s->piece_count && !all; k++)
            open |=
                responses_piece_of(s, (unsigned)k) && s->pieces[k].item == i && !s->pieces[k].ended;
        if (!open)
            err = item_done(s, item, status, into);
    }
    return err;
}

/* The message that a text goes on with, or NULL: items of the provider's own stay apart. */
static struct responses_item *
open_message(struct responses_encoding *s, const struct canon_part *of)
{
    struct responses_item *last = s->item_count ? &s->items[s->item_count - 1] : NULL;
    if (!last || last->kind != ITEM_MESSAGE || last->done)
        return NULL;
    return is_own(of) && of->id.len && !slice_eq(of->id, last->id) ? NULL : last;
}

static int
begin_text(struct responses_encoding *s, struct responses_piece *p, struct buf *into)
{
    struct responses_item *item = open_message(s, &p->of);
    int err = 0;
    if (!item) {
        struct slice id = is_own(&p->of) ? p->of.id : (struct slice){0};
        err = close_messages(s, false, "completed", into);
        if (!err)
            err = responses_new_item(s, ITEM_MESSAGE, "msg_", id);
        if (err)
            return err;
        item = &s->items[s->item_count - 1];
        item->first = (size_t)(p - s->pieces);
        item->phase = is_own(&p->of) ? p->of.raw : (struct slice){0};
        err = item_added(s, item, into);
    }
    p->item = (unsigned)(item - s->items);
    p->content = item->pieces++;
    if (err)
        return err;
    struct json_emit e = open_content_event(s, "response.content_part.added", p, into);
    emit_name(&e, "part");
    responses_emit_piece(&e, p, false);
    return close_event(&e);
}

static int
take_logprobs(struct responses_encoding *s, struct responses_piece *p, struct json_emit *e)
{
    responses_emit_list(e, "logprobs", &s->logprobs);
    int err =
        s->logprobs.len ? responses_hold_element(s, &p->logprobs, buf_slice(&s->logprobs)) : 0;
    buf_clear(&s->logprobs);
    return err;
}

static int
text_delta(struct responses_encoding *s, struct responses_piece *p, struct slice text,
           struct buf *into)
{
    bool refusal = p->of.kind == PART_REFUSAL;
    int err = responses_hold(s, &p->text, text);
    struct json_emit e = open_content_event(
        s, refusal ? "response.refusal.delta" : "response.output_text.delta", p, into);
    emit_text_member(&e, "delta", text);
    if (!err && !refusal)
        err = take_logprobs(s, p, &e);
    return err ? err : close_event(&e);
}

static int
end_text(struct responses_encoding *s, struct responses_piece *p, struct buf *into)
{
    bool refusal = p->of.kind == PART_REFUSAL;
    int err = s->logprobs.len && !refusal
                  ? responses_hold_element(s, &p->logprobs, buf_slice(&s->logprobs))
                  : 0;
    buf_clear(&s->logprobs);
    if (err)
        return err;
    struct json_emit e = open_content_event(
        s, refusal ? "response.refusal.done" : "response.output_text.done", p, into);
    emit_text_member(&e, refusal ? "refusal" : "text", buf_slice(&p->text));
    if (!refusal)
        responses_emit_list(&e, "logprobs", &p->logprobs);
    err = close_event(&e);
    if (err)
        return err;
    e = open_content_event(s, "response.content_part.done", p, into);
    emit_name(&e, "part");
    responses_emit_piece(&e, p, true);
    return close_event(&e);
}

/* Characters, as OpenAI counts them in its citations. */
static int64_t
characters(struct slice text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.at[i] & 0xC0) != 0x80;
    return n;
}

static int
citation(struct responses_encoding *s, const struct canon_event *ev, struct buf *into)
{
    struct responses_piece *p = responses_piece_of(s, ev->part);
    if (!p || p->of.kind != PART_TEXT)
        return 0; /* a refusal has no place for one */
    struct json_emit e = open_content_event(s, "response.output_text.annotation.added", p, into);
    emit_int_member(&e, "annotation_index", p->note_count++);
    emit_name(&e, "annotation");
    size_t before = into->len;
    responses_emit_citation(&e, &ev->citation, characters(buf_slice(&p->text)));
    if (!e.err)
        e.err =
            responses_hold_element(s, &p->notes, slice_make(into->at + before, into->len - before));
    return close_event(&e);
}

/* --- reasoning -------------------------------------------------------------------------------- */

static struct json_emit
open_summary_event(struct responses_encoding *s, const char *type, const struct responses_piece *p,
                   struct buf *into)
{
    struct json_emit e = open_item_event(s, type, &s->items[p->item], into);
    emit_int_member(&e, "summary_index", 0);
    return e;
}

static int
summary_part(struct responses_encoding *s, const char *type, const struct responses_piece *p,
             struct slice text, struct buf *into)
{
    struct json_emit e = open_summary_event(s, type, p, into);
    emit_name(&e, "part");
    emit_map(&e);
    emit_str_member(&e, "type", "summary_text");
    emit_text_member(&e, "text", text);
    emit_end_map(&e);
    return close_event(&e);
}

static int
thought_delta(struct responses_encoding *s, struct responses_piece *p, struct slice text,
              struct buf *into)
{
    int err = responses_hold(s, &p->text, text);
    if (!err && !p->begun)
        err = summary_part(s, "response.reasoning_summary_part.added", p, (struct slice){0}, into);
    p->begun = true;
    if (err)
        return err;
    struct json_emit e = open_summary_event(s, "response.reasoning_summary_text.delta", p, into);
    emit_text_member(&e, "delta", text);
    return close_event(&e);
}

static int
end_thought(struct responses_encoding *s, struct responses_piece *p, struct buf *into)
{
    struct slice text = buf_slice(&p->text);
    if (!p->begun)
        return 0;
    struct json_emit e = open_summary_event(s, "response.reasoning_summary_text.done", p, into);
    emit_text_member(&e, "text", text);
    int err = close_event(&e);
    return err ? err : summary_part(s, "response.reasoning_summary_part.done", p, text, into);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* The id that the client gives back with the result carries the signature of a provider that wants
 * it again. The item's own id stands among the provider's own members. */
static int
prepare_call(struct responses_encoding *s, struct responses_piece *p, struct slice *ret_item_id)
{
    static const char *const known[] = {"id", NULL};
    struct slice id = {0};
    int err = is_own(&p->of) || p->of.signature.len == 0
                  ? 0
                  : canon_pack_id(&s->own, p->of.id, p->of.origin, p->of.signature, &p->of.id);
    if (!err && is_own(&p->of) && p->of.raw.len) {
        struct json_view raw = json_view_of(p->of.raw);
        err = json_view_opt_text(json_view_get(raw, "id"), &s->own, &id);
        if (err == ERR_SYNTAX)
            err = 0;
        if (!err)
            err = responses_leftover(raw, known, &s->own, &p->of.raw);
    }
    *ret_item_id = id;
    return err;
}

static int
call_delta(struct responses_encoding *s, struct responses_piece *p, struct slice text,
           struct buf *into)
{
    int err = responses_hold(s, &p->text, text);
    if (err)
        return err;
    struct json_emit e = open_item_event(s,
                                         p->of.custom ? "response.custom_tool_call_input.delta"
                                                      : "response.function_call_arguments.delta",
                                         &s->items[p->item], into);
    emit_text_member(&e, "delta", text);
    return close_event(&e);
}

static int
end_call(struct responses_encoding *s, struct responses_piece *p, struct buf *into)
{
    int err = p->text.len == 0 && !p->of.custom ? call_delta(s, p, SLICE("{}"), into) : 0;
    if (err)
        return err;
    struct json_emit e = open_item_event(s,
                                         p->of.custom ? "response.custom_tool_call_input.done"
                                                      : "response.function_call_arguments.done",
                                         &s->items[p->item], into);
    if (!p->of.custom)
        emit_text_member(&e, "name", p->of.name);
    emit_text_member(&e, p->of.custom ? "input" : "arguments", buf_slice(&p->text));
    return close_event(&e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static int
begin_item(struct responses_encoding *s, struct responses_piece *p, enum responses_item_kind kind,
           const char *prefix, struct buf *into)
{
    struct slice id = is_own(&p->of) && kind != ITEM_CALL ? p->of.id : (struct slice){0};
    int err = close_messages(s, false, "completed", into);
    if (!err && kind == ITEM_CALL)
        err = prepare_call(s, p, &id);
    if (!err)
        err = responses_new_item(s, kind, prefix, id);
    if (err)
        return err;
    struct responses_item *item = &s->items[s->item_count - 1];
    item->first = (size_t)(p - s->pieces);
    item->pieces = 1;
    p->item = (unsigned)(s->item_count - 1);
    return item_added(s, item, into);
}

static int
delta(struct responses_encoding *s, struct responses_piece *p, struct slice text, struct buf *into)
{
    if (text.len == 0 || p->ended)
        return 0;
    switch (p->of.kind) {
    case PART_TEXT:
    case PART_REFUSAL:
    case PART_AUDIO:
        return text_delta(s, p, text, into);
    case PART_REASONING:
        return thought_delta(s, p, text, into);
    case PART_TOOL_CALL:
        return call_delta(s, p, text, into);
    default:
        return 0;
    }
}

static int
begin_part(struct responses_encoding *s, const struct canon_event *e, struct buf *into)
{
    struct responses_piece *p;
    int err = responses_new_piece(s, e, &p);
    if (err)
        return err;
    switch (p->of.kind) {
    case PART_REASONING:
        err = begin_item(s, p, ITEM_REASONING, "rs_", into);
        break;
    case PART_TOOL_CALL:
        err = begin_item(s, p, ITEM_CALL, p->of.custom ? "ctc_" : "fc_", into);
        break;
    case PART_IMAGE:
        if (p->of.media.url.len) {
            p->of.kind = PART_TEXT; /* the dialect's pictures are base64: tell where it is */
            err = begin_text(s, p, into);
            return err ? err : delta(s, p, p->of.media.url, into);
        }
        err = begin_item(s, p, ITEM_IMAGE, "ig_", into);
        return err ? err : responses_hold(s, &p->text, p->of.media.data);
    case PART_OPAQUE: /* of others: what the client keeps and does not look into */
        return begin_item(s, p, is_own(&p->of) ? ITEM_OPAQUE : ITEM_REASONING, "rs_", into);
    default: /* of sound there is the transcript */
        err = begin_text(s, p, into);
        break;
    }
    return err ? err
               : delta(s, p, p->of.kind == PART_TOOL_CALL ? e->of.arguments : e->of.text, into);
}

static int
end_part(struct responses_encoding *s, const struct canon_event *e, struct buf *into)
{
    struct responses_piece *p = responses_piece_of(s, e->part);
    struct canon_part late = e->of;
    int err = responses_keep_slice(s, &late.encrypted);
    if (!err)
        err = responses_keep_slice(s, &late.raw);
    if (!p || p->ended || err)
        return p ? err : ERR_PROTOCOL;
    p->ended = true;
    if (late.encrypted.len)
        p->of.encrypted = late.encrypted;
    if (late.raw.len && p->of.kind == PART_REASONING)
        p->of.raw = late.raw;
    switch (p->of.kind) {
    case PART_REASONING:
        err = end_thought(s, p, into);
        break;
    case PART_TOOL_CALL:
        err = end_call(s, p, into);
        break;
    case PART_IMAGE:
    case PART_OPAQUE:
        break;
    default:
        return end_text(s, p, into); /* the message may go on */
    }
    return err ? err : item_done(s, &s->items[p->item], "completed", into);
}

/* --- beginning and end ------------------------------------------------------------------------ */

static int
start(struct responses_encoding *s, const struct canon_event *e, struct buf *into)
{
    struct responses_object *o = &s->object;
    bool own = e->of.origin == DIALECT_RESPONSES && e->id.len;
    if (s->started)
        return 0;
    s->started = true;
    char *id = own ? NULL : arena_printf(&s->own, "resp_%.*s", SLICE_ARG(s->names.id));
    o->id = own ? e->id : slice_of(id);
    o->model = e->model.len ? e->model : s->names.model;
    o->service_tier = e->service_tier;
    o->created_unix_s = e->created_unix_s ? e->created_unix_s : s->names.now_unix_s;
    o->status = "in_progress";
    if (!own && !id)
        return ERR_NOMEM;
    int err = responses_keep_slice(s, &o->id);
    if (!err)
        err = responses_keep_slice(s, &o->model);
    if (!err)
        err = responses_keep_slice(s, &o->service_tier);
    if (!err)
        err = object_event(s, "response.created", into);
    return err ? err : object_event(s, "response.in_progress", into);
}

/* Ends what no event has ended. */
static int
close_all(struct responses_encoding *s, struct buf *into)
{
    int err = 0;
    for (size_t i = 0; !err && i < s->piece_count; i++)
        if (responses_piece_of(s, (unsigned)i) && !s->pieces[i].ended)
            err = end_part(s, &(struct canon_event){.part = (unsigned)i}, into);
    return err ? err : close_messages(s, true, final_status(s), into);
}

static int
join_items(struct responses_encoding *s, struct buf *output)
{
    int err = 0;
    for (size_t i = 0; !err && i < s->item_count; i++) {
        if (i)
            err = buf_add_str(output, ",");
        if (!err)
            err = buf_add_slice(output, buf_slice(&s->items[i].json));
    }
    s->object.output = buf_slice(output);
    return err;
}

static int
end(struct responses_encoding *s, struct buf *into)
{
    struct buf output;
    struct responses_object *o = &s->object;
    const char *type = "response.completed";
    int err = close_all(s, into);
    buf_init(&output, 0);
    if (!err)
        err = join_items(s, &output);
    o->status = "completed";
    if (s->finish == FINISH_ERROR) {
        type = "response.failed";
        o->status = "failed";
    } else if (strcmp(final_status(s), "incomplete") == 0) {
        type = "response.incomplete";
        o->status = "incomplete";
        o->incomplete_reason = s->finish == FINISH_LENGTH ? "max_output_tokens" : "content_filter";
    }
    if (!err)
        err = object_event(s, type, into);
    s->ended = true;
    buf_free(&output);
    return err;
}

static int
logprobs(struct responses_encoding *s, struct slice object)
{
    struct json_view list = json_view_get(json_view_of(object), "content");
    if (list.kind != JSON_LIST || json_view_count(list) == 0)
        return 0;
    return responses_hold_element(s, &s->logprobs, slice_make(list.raw.at + 1, list.raw.len - 2));
}

/* --- the encoder ------------------------------------------------------------------------------ */

static int
encode_init(void *state, struct arena *keep, const struct canon_request *q,
            const struct answer_names *names)
{
    struct responses_encoding *s = state;
    (void)keep; /* what is held here is bounded by another limit */
    s->q = q;
    s->names = *names;
    return 0;
}

static int
take_part(struct responses_encoding *s, const struct canon_event *e, struct buf *into)
{
    struct responses_piece *p = responses_piece_of(s, e->part);
    if (!p)
        return ERR_PROTOCOL;
    switch (e->kind) {
    case EVENT_DELTA:
        return delta(s, p, e->text, into);
    case EVENT_DATA:
        return p->of.kind == PART_IMAGE ? responses_hold(s, &p->text, e->text) : 0;
    case EVENT_SIGNATURE:
        return responses_hold(s, &p->signature, e->text);
    case EVENT_CITATION:
        return citation(s, e, into);
    default:
        return end_part(s, e, into);
    }
}

static int
encode_event(void *state, const struct canon_event *e, struct buf *into)
{
    struct responses_encoding *s = state;
    if (s->ended || e->choice > 0) /* the dialect knows one answer only */
        return 0;
    switch (e->kind) {
    case EVENT_START:
        return start(s, e, into);
    case EVENT_PART_START:
        return begin_part(s, e, into);
    case EVENT_LOGPROBS:
        return logprobs(s, e->text);
    case EVENT_FINISH:
        s->finish = e->finish;
        return 0;
    case EVENT_USAGE:
        s->object.usage = e->usage;
        return 0;
    case EVENT_ERROR:
        s->ended = true;
        return responses_add_error_event(&e->error, s->sequence, into);
    case EVENT_END:
        return end(s, into);
    default:
        return take_part(s, e, into);
    }
}

static void
encode_fini(void *state)
{
    struct responses_encoding *s = state;
    for (size_t i = 0; i < s->piece_count; i++) {
        buf_free(&s->pieces[i].text);
        buf_free(&s->pieces[i].signature);
        buf_free(&s->pieces[i].notes);
        buf_free(&s->pieces[i].logprobs);
    }
    for (size_t i = 0; i < s->item_count; i++)
        buf_free(&s->items[i].json);
    free(s->pieces);
    free(s->items);
    buf_free(&s->logprobs);
    arena_free(&s->own);
}

const struct dialect_encoder responses_encoder = {
    .state_bytes = sizeof(struct responses_encoding),
    .init = encode_init,
    .event = encode_event,
    .fini = encode_fini,
};

/* --- whole answers ---------------------------------------------------------------------------- */

struct telling {
    struct responses_encoding s;
    struct buf events; /* of the last canonical event */
};

static int
tell(void *ctx, const struct canon_event *e)
{
    struct telling *t = ctx;
    buf_clear(&t->events);
    return encode_event(&t->s, e, &t->events);
}

int
responses_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                       const struct answer_names *names, struct buf *into)
{
    struct telling *t = calloc(1, sizeof(*t));
    if (!t)
        return ERR_NOMEM;
    struct canon_sink sink = {tell, t};
    int err = encode_init(&t->s, NULL, q, names);
    if (!err)
        err = gather_replay(answer, &sink);
    if (!err)
        err = buf_add(into, t->events.at + t->s.object_at, t->s.object_len);
    encode_fini(&t->s);
    buf_free(&t->events);
    free(t);
    return err;
}
