/*
 * A client's stream: each event is a whole response object with what is new. Text goes out as it
 * comes; function calls, pictures and signatures only whole, so that they are gathered until their
 * part ends. The last event holds the finish reasons, the sources and the usage.
 */
#include "dataplane/dialects/gemini_answer.h"
#include "dataplane/dialects/gemini_logprobs.h"

#include <stdlib.h>

#define LIMIT_OPEN_PARTS 256
#define LIMIT_GATHERED_BYTES ((size_t)32 << 20) /* of one part: a large picture */
#define LIMIT_STATE_BYTES ((size_t)2 << 20)     /* of reasoning, to be sent back */

struct open_part {
    struct open_part *next;
    unsigned choice, part;
    struct canon_part of; /* its texts in keep; what comes in pieces below */
    struct buf text;      /* arguments; of reasoning what must come back with its signature */
    struct buf data, signature;
    struct arena keep;
    struct gemini_places places; /* of text */
    bool is_lost;                /* too much reasoning: it cannot be sent back */
};

struct choice {
    bool seen;
    const char *word; /* finishReason */
    struct gemini_sources sources;
};

struct encoder {
    bool show;
    struct slice id, model;
    enum dialect_id origin;
    struct open_part *open;
    size_t open_count;
    struct usage_report usage;
    size_t chunk_at; /* where the chunk that is being written begins */
    struct choice choices[LIMIT_CANDIDATES];
};

static int
init(void *state, struct arena *keep, const struct canon_request *q,
     const struct answer_names *names)
{
    struct encoder *s = state;
    s->show = q->reasoning.show == TRI_YES;
    s->id = arena_copy(keep, names->id);
    s->model = arena_copy(keep, names->model);
    for (size_t i = 0; i < LIMIT_CANDIDATES; i++)
        gemini_sources_init(&s->choices[i].sources);
    return s->id.at && s->model.at ? 0 : ERR_NOMEM;
}

/* --- open parts ------------------------------------------------------------------------------- */

static void
free_part(struct open_part *p)
{
    buf_free(&p->text);
    buf_free(&p->data);
    buf_free(&p->signature);
    arena_free(&p->keep);
    free(p);
}

static void
fini(void *state)
{
    struct encoder *s = state;
    while (s->open) {
        struct open_part *p = s->open;
        s->open = p->next;
        free_part(p);
    }
    for (size_t i = 0; i < LIMIT_CANDIDATES; i++)
        gemini_sources_free(&s->choices[i].sources);
}

static struct open_part **
find(struct encoder *s, const struct canon_event *e)
{
    struct open_part **at = &s->open;
    while (*at && ((*at)->choice != e->choice || (*at)->part != e->part))
        at = &(*at)->next;
    return at;
}

static int
keep_all(struct open_part *p)
{
    struct canon_part *of = &p->of;
    struct slice *const all[] = {&of->id,        &of->name,       &of->signature,
                                 &of->encrypted, &of->raw,        &of->media.mime,
                                 &of->media.url, &of->media.name, &of->media.id};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!all[i]->at)
            continue;
        *all[i] = arena_copy(&p->keep, *all[i]);
        if (!all[i]->at)
            return ERR_NOMEM;
    }
    return 0;
}

static int
begin_part(struct encoder *s, const struct canon_event *e)
{
    if (s->open_count == LIMIT_OPEN_PARTS)
        return ERR_LIMIT;
    struct open_part *p = calloc(1, sizeof(*p));
    if (!p)
        return ERR_NOMEM;
    s->open_count++;
    p->next = s->open;
    s->open = p;
    p->choice = e->choice;
    p->part = e->part;
    p->of = e->of;
    p->of.citations = NULL;
    p->of.citation_count = 0;
    arena_init(&p->keep, 0);
    buf_init(&p->text, LIMIT_GATHERED_BYTES);
    buf_init(&p->data, LIMIT_GATHERED_BYTES);
    buf_init(&p->signature, LIMIT_STATE_BYTES);
    int err = keep_all(p);
    if (!err)
        err = buf_add_slice(&p->data, e->of.media.data);
    return err;
}

/* --- chunks ----------------------------------------------------------------------------------- */

static struct json_emit
begin_chunk(struct encoder *s, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    s->chunk_at = into->len;
    e.err = buf_add_str(into, "data: ");
    emit_map(&e);
    emit_name(&e, "candidates");
    emit_list(&e);
    return e;
}

static int
end_chunk(struct encoder *s, struct json_emit *e, bool is_last)
{
    emit_end_list(e);
    if (is_last || s->usage.seen) {
        emit_name(e, "usageMetadata");
        gemini_write_usage(e, &s->usage);
    }
    emit_text_member(e, "modelVersion", s->model);
    emit_text_member(e, "responseId", s->id);
    emit_end_map(e);
    /* What was written as it came may be laid out in lines, which in JSON stand between tokens
     * only; an event's data is one line. */
    for (size_t i = s->chunk_at; i < e->into->len; i++)
        if (e->into->at[i] == '\n' || e->into->at[i] == '\r')
            e->into->at[i] = ' ';
    return e->err ? e->err : buf_add_str(e->into, "\r\n\r\n");
}

static void
begin_candidate(struct json_emit *e)
{
    emit_map(e);
    emit_name(e, "content");
    emit_map(e);
    emit_name(e, "parts");
    emit_list(e);
}

/* The candidate's braces stay open. */
static void
end_content(struct json_emit *e)
{
    emit_end_list(e);
    emit_str_member(e, "role", "model");
    emit_end_map(e);
}

/* A chunk with one part; nothing where the part shows nothing. */
static int
send_part(struct encoder *s, unsigned choice, const struct canon_part *p, struct buf *into)
{
    size_t before = into->len;
    struct arena a;
    struct json_emit e = begin_chunk(s, into);
    arena_init(&a, 0);
    begin_candidate(&e);
    int written = gemini_write_part(&e, p, s->show, &a);
    arena_free(&a);
    if (written <= 0) {
        into->len = before; /* taken back */
        return written;
    }
    end_content(&e);
    emit_int_member(&e, "index", choice);
    emit_end_map(&e);
    return end_chunk(s, &e, false);
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* What is shown goes out; what must come back whole is gathered. */
static int
take_delta(struct encoder *s, struct open_part *p, struct slice text, struct buf *into)
{
    struct canon_part piece = {.kind = p->of.kind, .origin = p->of.origin, .text = text};
    int err = 0;
    switch (p->of.kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        err = gemini_places_add(&p->places, text, &p->keep);
        return err ? err : send_part(s, p->choice, &piece, into);
    case PART_REASONING:
        p->is_lost |= p->text.len + text.len > LIMIT_STATE_BYTES;
        if (p->of.origin != DIALECT_GEMINI && !p->is_lost)
            err = buf_add_slice(&p->text, text);
        return err ? err : send_part(s, p->choice, &piece, into);
    default:
        return buf_add_slice(&p->text, text);
    }
}

/* The part as a whole, without what has gone out already. */
static int
end_part(struct encoder *s, struct open_part **at, const struct canon_event *e, struct buf *into)
{
    struct open_part *p = *at;
    struct canon_part whole = p->of;
    if (p->signature.len)
        whole.signature = buf_slice(&p->signature);
    if (e->of.encrypted.len)
        whole.encrypted = e->of.encrypted;
    if (e->of.raw.len)
        whole.raw = e->of.raw;
    if (e->of.id.len)
        whole.id = e->of.id;
    if (p->data.len)
        whole.media.data = buf_slice(&p->data);
    whole.text = whole.arguments = (struct slice){0};
    if (whole.kind == PART_TOOL_CALL)
        whole.arguments = buf_slice(&p->text);
    else if (whole.kind == PART_REASONING || whole.kind == PART_AUDIO)
        whole.text = buf_slice(&p->text);
    if (p->is_lost && whole.origin != DIALECT_GEMINI)
        whole.signature = whole.encrypted = (struct slice){0};
    bool show = s->show;
    if (whole.kind == PART_REASONING)
        s->show = false; /* its text has gone out; here it is only what must come back */
    int err = send_part(s, p->choice, &whole, into);
    s->show = show;
    *at = p->next;
    s->open_count--;
    free_part(p);
    return err;
}

static int
take_part(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    if (e->kind == EVENT_PART_START)
        return begin_part(s, e);
    struct open_part **at = find(s, e), *p = *at;
    if (!p)
        return ERR_PROTOCOL;
    switch (e->kind) {
    case EVENT_DELTA:
        return take_delta(s, p, e->text, into);
    case EVENT_DATA:
        return buf_add_slice(&p->data, e->text);
    case EVENT_SIGNATURE:
        return buf_add_slice(&p->signature, e->text);
    case EVENT_CITATION:
        return gemini_sources_add(&s->choices[e->choice].sources, &e->citation, &p->places, 0);
    default:
        return end_part(s, at, e, into);
    }
}

static int
send_logprobs(struct encoder *s, const struct canon_event *e, struct buf *into)
{
    struct json_emit out = begin_chunk(s, into);
    begin_candidate(&out);
    end_content(&out);
    emit_int_member(&out, "index", e->choice);
    emit_name(&out, "logprobsResult");
    gemini_write_logprobs(&out, e->text);
    emit_end_map(&out);
    return end_chunk(s, &out, false);
}

static int
send_end(struct encoder *s, struct buf *into)
{
    struct json_emit e = begin_chunk(s, into);
    for (unsigned i = 0; i < LIMIT_CANDIDATES; i++) {
        const struct choice *c = &s->choices[i];
        if (!c->seen && i > 0)
            continue;
        begin_candidate(&e);
        emit_raw(&e, SLICE("{\"text\":\"\"}"));
        end_content(&e);
        emit_str_member(&e, "finishReason", c->word ? c->word : "STOP");
        emit_int_member(&e, "index", i);
        gemini_sources_write(&e, &c->sources);
        emit_end_map(&e);
    }
    return end_chunk(s, &e, true);
}

static int
take_event(void *state, const struct canon_event *e, struct buf *into)
{
    struct encoder *s = state;
    if (e->choice >= LIMIT_CANDIDATES)
        return ERR_LIMIT;
    struct choice *c = &s->choices[e->choice];
    switch (e->kind) {
    case EVENT_START:
        s->origin = e->of.origin;
        return 0;
    case EVENT_FINISH:
        c->seen = true;
        c->word = gemini_finish_word(e->finish, e->text, s->origin);
        return 0;
    case EVENT_USAGE:
        s->usage = e->usage;
        return 0;
    case EVENT_LOGPROBS:
        return send_logprobs(s, e, into);
    case EVENT_ERROR:
        return gemini_write_error_event(&e->error, into);
    case EVENT_END:
        return send_end(s, into);
    default:
        c->seen = true;
        return take_part(s, e, into);
    }
}

const struct dialect_encoder gemini_encoder = {
    .state_bytes = sizeof(struct encoder),
    .init = init,
    .event = take_event,
    .fini = fini,
};
