/*
 * A stream as a client of Anthropic's expects it: blocks one after the other, numbered from 0, each
 * begun, filled and stopped before the next. Parts that overlap (parallel calls whose pieces
 * interleave) are held until it is their turn. A block of text or thinking begins with its first
 * piece, so that there is no empty one.
 */
#include "dataplane/dialects/anthropic_internal.h"

#include <stdlib.h>

#define LIMIT_OPEN_PARTS 128
#define LIMIT_HELD_BYTES ((size_t)8 << 20)

struct open {
    struct canon_part of;                  /* kind, origin, and what a call's block begins with */
    struct buf signature, encrypted, item; /* of another provider: packed at the end */
    struct buf held;                       /* events, until it is their turn */
    unsigned part, index;
    bool begun, stopped;
    bool filled; /* a piece has come */
};

struct encoder {
    struct arena *keep;
    struct answer_names names;
    struct usage_report usage;
    enum canon_finish finish;
    struct buf stop_sequence, explanation; /* of a refusal of Anthropic's */
    bool started, has_refusal, has_stop_sequence;
    unsigned begun, turn; /* blocks begun; whose turn it is */
    size_t held;
    struct open *open[LIMIT_OPEN_PARTS];
    size_t count;
    struct buf *into;
};

static struct slice
held(const struct buf *b)
{
    return b->len ? buf_slice(b) : (struct slice){0};
}

static int
keep_slice(struct encoder *s, struct slice *one)
{
    if (!one->at)
        return 0;
    *one = arena_copy(s->keep, *one);
    return one->at ? 0 : ERR_NOMEM;
}

static int
init(void *state, struct arena *keep, const struct canon_request *q,
     const struct answer_names *names)
{
    struct encoder *s = state;
    (void)q;
    *s = (struct encoder){.keep = keep};
    s->names = *names;
    buf_init(&s->stop_sequence, 4096);
    buf_init(&s->explanation, LIMIT_HELD_BYTES);
    int err = keep_slice(s, &s->names.id);
    return err ? err : keep_slice(s, &s->names.model);
}

static void
free_open(struct open *o)
{
    buf_free(&o->signature);
    buf_free(&o->encrypted);
    buf_free(&o->item);
    buf_free(&o->held);
    free(o);
}

static void
fini(void *state)
{
    struct encoder *s = state;
    for (size_t i = 0; i < s->count; i++)
        free_open(s->open[i]);
    s->count = 0;
    buf_free(&s->stop_sequence);
    buf_free(&s->explanation);
}

/* --- events ----------------------------------------------------------------------------------- */

static struct json_emit
begin_event(struct buf *into, const char *type)
{
    struct json_emit e = json_emit_into(into);
    e.err = buf_addf(into, "event: %s\ndata: ", type);
    emit_map(&e);
    emit_str_member(&e, "type", type);
    return e;
}

static int
end_event(struct json_emit *e)
{
    emit_end_map(e);
    return e->err ? e->err : buf_add_str(e->into, "\n\n");
}

static int
start_message(struct encoder *s, const struct canon_event *start)
{
    if (s->started)
        return 0;
    s->started = true;
    struct json_emit e = begin_event(s->into, "message_start");
    emit_name(&e, "message");
    emit_map(&e);
    anthropic_emit_id(&e, start->id, start->of.origin, &s->names);
    emit_str_member(&e, "type", "message");
    emit_str_member(&e, "role", "assistant");
    emit_text_member(&e, "model", start->model.len ? start->model : s->names.model);
    emit_name(&e, "content");
    emit_raw(&e, SLICE("[]"));
    emit_name(&e, "stop_reason");
    emit_null(&e);
    emit_name(&e, "stop_sequence");
    emit_null(&e);
    anthropic_emit_usage(&e, &s->usage, true);
    emit_end_map(&e);
    return end_event(&e);
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Where a block's events go now. */
static struct buf *
way_of(struct encoder *s, struct open *o)
{
    return o->index == s->turn ? s->into : &o->held;
}

static int
charge(struct encoder *s, const struct open *o, size_t before)
{
    s->held += o->held.len - before;
    return s->held > LIMIT_HELD_BYTES ? ERR_LIMIT : 0;
}

static void
emit_block_start(struct json_emit *e, const struct open *o, struct slice packed, struct arena *a)
{
    emit_map(e);
    switch (o->of.kind) {
    case PART_TOOL_CALL:
        anthropic_emit_call(e, &o->of, true, a);
        break;
    case PART_REASONING:
        if (packed.len) {
            emit_str_member(e, "type", "redacted_thinking");
            emit_text_member(e, "data", packed);
            break;
        }
        emit_str_member(e, "type", "thinking");
        emit_str_member(e, "thinking", "");
        emit_str_member(e, "signature", "");
        break;
    case PART_OPAQUE:
        emit_str_member(e, "type", "redacted_thinking");
        emit_text_member(e, "data", packed);
        break;
    default:
        emit_str_member(e, "type", "text");
        emit_str_member(e, "text", "");
        break;
    }
    emit_end_map(e);
}

/* packed: the data of redacted_thinking, or (of Anthropic's own item) the whole block. */
static int
begin_block(struct encoder *s, struct open *o, struct slice packed)
{
    if (o->begun)
        return 0;
    o->begun = true;
    o->index = s->begun++;
    size_t before = o->held.len;
    struct arena a;
    arena_init(&a, 0);
    struct json_emit e = begin_event(way_of(s, o), "content_block_start");
    emit_int_member(&e, "index", o->index);
    emit_name(&e, "content_block");
    if (o->of.kind == PART_OPAQUE && o->of.origin == DIALECT_ANTHROPIC)
        emit_raw(&e, packed);
    else
        emit_block_start(&e, o, packed, &a);
    int err = end_event(&e);
    arena_free(&a);
    return err ? err : charge(s, o, before);
}

static struct json_emit
begin_delta(struct encoder *s, struct open *o, const char *type)
{
    struct json_emit e = begin_event(way_of(s, o), "content_block_delta");
    emit_int_member(&e, "index", o->index);
    emit_name(&e, "delta");
    emit_map(&e);
    emit_str_member(&e, "type", type);
    return e;
}

static int
give_delta(struct encoder *s, struct open *o, const char *type, const char *member,
           struct slice text)
{
    int err = begin_block(s, o, (struct slice){0});
    if (err)
        return err;
    size_t before = o->held.len;
    struct json_emit e = begin_delta(s, o, type);
    emit_text_member(&e, member, text);
    emit_end_map(&e);
    err = end_event(&e);
    return err ? err : charge(s, o, before);
}

static int
give_citation(struct encoder *s, struct open *o, const struct canon_citation *c)
{
    int err = o->of.kind == PART_TEXT ? begin_block(s, o, (struct slice){0}) : ERR_PROTOCOL;
    if (err)
        return err;
    size_t before = o->held.len;
    struct json_emit e = begin_delta(s, o, "citations_delta");
    emit_name(&e, "citation");
    anthropic_emit_citation(&e, c);
    emit_end_map(&e);
    err = end_event(&e);
    return err ? err : charge(s, o, before);
}

static int
give_piece(struct encoder *s, struct open *o, struct slice text)
{
    if (text.len == 0)
        return 0;
    bool first = !o->filled;
    o->filled = true;
    switch (o->of.kind) {
    case PART_TOOL_CALL:
        if (first && slice_is(text, "null"))
            return 0; /* no arguments: nothing said is {} */
        return give_delta(s, o, "input_json_delta", "partial_json", text);
    case PART_REASONING:
        return give_delta(s, o, "thinking_delta", "thinking", text);
    case PART_OPAQUE:
        return 0;
    case PART_REFUSAL:
        if (o->of.origin == DIALECT_ANTHROPIC)
            return buf_add_slice(&s->explanation, text);
        return give_delta(s, o, "text_delta", "text", text);
    default:
        return give_delta(s, o, "text_delta", "text", text);
    }
}

static int
give_data(struct encoder *s, struct open *o, struct slice data)
{
    if (data.len == 0 || o->of.kind != PART_IMAGE)
        return 0;
    if (!o->filled) {
        struct slice mime = o->of.media.mime;
        int err = give_piece(s, o, SLICE("![image](data:"));
        if (!err)
            err = give_piece(s, o, mime.len ? mime : SLICE("image/png"));
        if (!err)
            err = give_piece(s, o, SLICE(";base64,"));
        if (err)
            return err;
    }
    return give_piece(s, o, data);
}

/* --- parts ------------------------------------------------------------------------------------ */

static struct open *
find_open(struct encoder *s, unsigned part)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->open[i]->part == part && !s->open[i]->stopped)
            return s->open[i];
    return NULL;
}

/* What a block begins with, kept until then. All of it is short. */
static int
keep_head(struct encoder *s, struct canon_part *of, const struct canon_part *given)
{
    *of = (struct canon_part){.kind = given->kind,
                              .origin = given->origin,
                              .id = given->id,
                              .name = given->name,
                              .media.mime = given->media.mime,
                              .media.url = given->media.url};
    struct slice *const all[] = {&of->id, &of->name, &of->media.mime, &of->media.url};
    if (given->kind == PART_TOOL_CALL) {
        of->raw = given->raw;
        int err = keep_slice(s, &of->raw);
        if (err)
            return err;
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int err = keep_slice(s, all[i]);
        if (err)
            return err;
    }
    return 0;
}

static int
take_state(struct open *o, const struct canon_part *given)
{
    int err = buf_add_slice(&o->signature, given->signature);
    if (!err)
        err = buf_add_slice(&o->encrypted, given->encrypted);
    if (!err && given->kind != PART_TOOL_CALL)
        err = buf_add_slice(&o->item, given->raw);
    return err;
}

static int
start_part(struct encoder *s, const struct canon_event *event)
{
    const struct canon_part *given = &event->of;
    if (find_open(s, event->part))
        return ERR_PROTOCOL;
    if (s->count == LIMIT_OPEN_PARTS)
        return ERR_LIMIT;
    struct open *o = calloc(1, sizeof(*o));
    if (!o)
        return ERR_NOMEM;
    s->open[s->count++] = o;
    o->part = event->part;
    buf_init(&o->signature, LIMIT_HELD_BYTES);
    buf_init(&o->encrypted, LIMIT_HELD_BYTES);
    buf_init(&o->item, LIMIT_HELD_BYTES);
    s->has_refusal |= given->kind == PART_REFUSAL;
    int err = keep_head(s, &o->of, given);
    if (!err)
        err = take_state(o, given);
    if (!err && given->kind != PART_TOOL_CALL)
        err = give_piece(s, o, given->text);
    if (!err && given->kind == PART_TOOL_CALL) { /* all of its head is there, the signature too */
        o->of.signature = held(&o->signature);
        err = begin_block(s, o, (struct slice){0});
        if (!err)
            err = give_piece(s, o, given->arguments);
    }
    return err ? err : give_data(s, o, given->media.data);
}

/* What of the part comes at its end: the signature, or the block itself. */
static int
finish_reasoning(struct encoder *s, struct open *o, struct arena *a)
{
    struct canon_part p = o->of;
    struct slice packed;
    bool own = p.origin == DIALECT_ANTHROPIC;
    p.signature = held(&o->signature);
    p.encrypted = held(&o->encrypted);
    if (own && p.encrypted.len)
        return begin_block(s, o, p.encrypted);
    if (own)
        return p.signature.len || o->begun
                   ? give_delta(s, o, "signature_delta", "signature", p.signature)
                   : 0;
    p.raw = held(&o->item);
    int err = anthropic_pack_foreign(&p, a, &packed);
    if (err)
        return err;
    if (o->begun)
        return give_delta(s, o, "signature_delta", "signature", packed);
    return p.signature.len || p.encrypted.len ? begin_block(s, o, packed) : 0;
}

static int
finish_opaque(struct encoder *s, struct open *o, struct arena *a)
{
    struct canon_part p = o->of;
    struct slice packed = held(&o->item);
    p.raw = packed;
    if (packed.len == 0)
        return 0;
    int err = p.origin == DIALECT_ANTHROPIC ? 0 : anthropic_pack_foreign(&p, a, &packed);
    return err ? err : begin_block(s, o, packed);
}

static int
finish_picture(struct encoder *s, struct open *o)
{
    if (!o->filled && o->of.media.url.len) {
        int err = give_piece(s, o, SLICE("![image]("));
        if (!err)
            err = give_piece(s, o, o->of.media.url);
        if (err)
            return err;
    }
    return o->filled ? give_piece(s, o, SLICE(")")) : 0;
}

static int
finish_part(struct encoder *s, struct open *o)
{
    struct arena a;
    int err = 0;
    arena_init(&a, 0);
    switch (o->of.kind) {
    case PART_REASONING:
        err = finish_reasoning(s, o, &a);
        break;
    case PART_OPAQUE:
        err = finish_opaque(s, o, &a);
        break;
    case PART_IMAGE:
        err = finish_picture(s, o);
        break;
    default:
        break;
    }
    arena_free(&a);
    return err;
}

static void
drop_open(struct encoder *s, size_t i)
{
    free_open(s->open[i]);
    s->open[i] = s->open[--s->count];
}

static int
give_stop(struct encoder *s, unsigned index)
{
    struct json_emit e = begin_event(s->into, "content_block_stop");
    emit_int_member(&e, "index", index);
    return end_event(&e);
}

/* Stops the block whose turn it was, and lets the next one go: what was held of it, and its stop
 * when it has come already. */
static int
next_turn(struct encoder *s)
{
    int err = 0;
    for (size_t i = 0; i < s->count && !err; i++) {
        struct open *o = s->open[i];
        if (!o->begun || o->index != s->turn)
            continue;
        err = buf_add_slice(s->into, held(&o->held));
        s->held -= o->held.len;
        buf_clear(&o->held);
        if (err || !o->stopped)
            return err;
        err = give_stop(s, s->turn++);
        drop_open(s, i);
        i = (size_t)-1; /* the next one may stand anywhere */
    }
    return err;
}

static int
stop_part(struct encoder *s, struct open *o)
{
    int err = finish_part(s, o);
    if (err)
        return err;
    o->stopped = true;
    if (o->begun)
        return o->index == s->turn ? next_turn(s) : 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->open[i] == o) {
            drop_open(s, i); /* nothing came of it */
            break;
        }
    return 0;
}

static int
take_part(struct encoder *s, const struct canon_event *event)
{
    struct open *o = find_open(s, event->part);
    if (!o)
        return ERR_PROTOCOL;
    switch (event->kind) {
    case EVENT_DELTA:
        return give_piece(s, o, event->text);
    case EVENT_DATA:
        return give_data(s, o, event->text);
    case EVENT_SIGNATURE:
        return buf_add_slice(&o->signature, event->text);
    case EVENT_CITATION:
        return give_citation(s, o, &event->citation);
    default: {
        int err = take_state(o, &event->of);
        if (!err && event->of.id.len && !o->of.id.len) {
            o->of.id = event->of.id;
            err = keep_slice(s, &o->of.id);
        }
        return err ? err : stop_part(s, o);
    }
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static struct open *
first_running(struct encoder *s)
{
    struct open *first = NULL;
    for (size_t i = 0; i < s->count; i++)
        if (!s->open[i]->stopped && (!first || s->open[i]->part < first->part))
            first = s->open[i];
    return first;
}

static int
end_message(struct encoder *s)
{
    struct open *o;
    while ((o = first_running(s)) != NULL) { /* the decoder left it so */
        int err = stop_part(s, o);
        if (err)
            return err;
    }
    struct json_emit e = begin_event(s->into, "message_delta");
    emit_name(&e, "delta");
    emit_map(&e);
    emit_str_member(&e, "stop_reason", anthropic_reason_of(s->finish, s->has_refusal));
    emit_name(&e, "stop_sequence");
    if (s->has_stop_sequence)
        emit_text(&e, buf_slice(&s->stop_sequence));
    else
        emit_null(&e);
    anthropic_emit_details(&e, held(&s->explanation));
    emit_end_map(&e);
    anthropic_emit_usage(&e, &s->usage, false);
    int err = end_event(&e);
    if (err)
        return err;
    e = begin_event(s->into, "message_stop");
    return end_event(&e);
}

static int
take_finish(struct encoder *s, const struct canon_event *event)
{
    s->finish = event->finish;
    s->has_stop_sequence = event->stop_sequence.at != NULL;
    buf_clear(&s->stop_sequence);
    return buf_add_slice(&s->stop_sequence, event->stop_sequence);
}

static int
event(void *state, const struct canon_event *e, struct buf *into)
{
    struct encoder *s = state;
    s->into = into;
    if (e->kind == EVENT_ERROR)
        return anthropic_write_error_event(&e->error, into);
    if (e->kind == EVENT_USAGE) {
        s->usage = e->usage;
        return 0;
    }
    int err = start_message(s, e);
    if (err || e->choice > 0)
        return err;
    switch (e->kind) {
    case EVENT_START:
    case EVENT_LOGPROBS:
        return 0;
    case EVENT_PART_START:
        return start_part(s, e);
    case EVENT_FINISH:
        return take_finish(s, e);
    case EVENT_END:
        return end_message(s);
    default:
        return take_part(s, e);
    }
}

const struct dialect_encoder anthropic_encoder = {
    .state_bytes = sizeof(struct encoder),
    .init = init,
    .event = event,
    .fini = fini,
};
