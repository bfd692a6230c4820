#include "dataplane/stream/translation.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/dialects/gather.h"
#include "lib/http/eventstream.h"

#define LIMIT_KEPT_BYTES ((size_t)1 << 20) /* of a decoder's and an encoder's state */
#define LIMIT_OUT_BYTES ((size_t)64 << 20) /* of what one read may become */

struct translation {
    struct passage *p;
    const struct dialect *client;
    struct arena keep, scratch;
    void *decoder, *encoder;
    struct buf out;                    /* for the client, emitted at the end of each push */
    struct canon_error error;          /* in keep */
    struct eventstream_parser *frames; /* FRAMING_EVENTSTREAM */
    struct buf line;                   /* FRAMING_NDJSON: the beginning of a line */
    bool begun;                        /* the encoder was made ready */
    char room[2048];                   /* lent to scratch: most events need no more */
};

/* --- life ------------------------------------------------------------------------------------- */

static int
make_states(struct translation *t, const struct dialect_exchange *x,
            const struct answer_names *names)
{
    const struct dialect_decoder *d = t->p->dialect->decoder;
    const struct dialect_encoder *e = t->client->encoder;
    t->decoder = arena_zalloc(&t->keep, d->state_bytes);
    t->encoder = arena_zalloc(&t->keep, e->state_bytes);
    if (!t->decoder || !t->encoder || d->init(t->decoder, &t->keep, x) ||
        e->init(t->encoder, &t->keep, x->request, names))
        return ERR_NOMEM;
    t->begun = true;
    if (t->p->dialect->framing != FRAMING_EVENTSTREAM)
        return 0;
    t->frames = malloc(sizeof(*t->frames));
    if (t->frames)
        eventstream_init(t->frames, t->p->sse.max_event_bytes);
    return t->frames ? 0 : ERR_NOMEM;
}

struct translation *
translation_new(struct passage *p, const struct dialect *client, const struct dialect_exchange *x,
                const struct answer_names *names)
{
    struct translation *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->p = p;
    t->client = client;
    arena_init(&t->keep, LIMIT_KEPT_BYTES);
    arena_init(&t->scratch, 0);
    buf_init(&t->out, LIMIT_OUT_BYTES);
    buf_init(&t->line, p->sse.max_event_bytes);
    if (make_states(t, x, names)) {
        translation_free(t);
        return NULL;
    }
    return t;
}

void
translation_free(struct translation *t)
{
    if (!t)
        return;
    if (t->begun && t->client->encoder->fini)
        t->client->encoder->fini(t->encoder);
    if (t->frames)
        eventstream_fini(t->frames);
    free(t->frames);
    buf_free(&t->line);
    buf_free(&t->out);
    arena_free(&t->scratch);
    arena_free(&t->keep);
    free(t);
}

/* --- events ----------------------------------------------------------------------------------- */

static int
keep_error(struct translation *t, const struct canon_error *e)
{
    struct slice *texts[] = {&t->error.message, &t->error.type, &t->error.code, &t->error.param};
    t->error = *e;
    t->p->state = PASSAGE_BROKEN;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!texts[i]->at)
            continue;
        *texts[i] = arena_copy(&t->keep, *texts[i]);
        if (!texts[i]->at)
            return ERR_NOMEM;
    }
    return 0;
}

/* What of an event counts as something that the client was given. */
static void
meter_event(struct translation *t, const struct canon_event *e)
{
    if (e->kind != EVENT_DELTA || e->text.len == 0)
        return;
    meter_text(&t->p->meter, e->text);
}

static int
take(void *ctx, const struct canon_event *e)
{
    struct translation *t = ctx;
    if (t->p->state != PASSAGE_OPEN)
        return 0; /* the decoder goes on after its own end: nothing of it is for the client */
    if (e->kind != EVENT_START)
        t->p->events++;
    switch (e->kind) {
    case EVENT_ERROR:
        return keep_error(t, &e->error);
    case EVENT_USAGE:
        usage_merge(t->p->watched.report, &e->usage);
        break;
    case EVENT_END:
        t->p->state = PASSAGE_DONE;
        break;
    default:
        meter_event(t, e);
        break;
    }
    return t->client->encoder->event(t->encoder, e, &t->out);
}

/* False stops the parsing: p->err and p->state say why. */
static bool
decode(struct translation *t, const struct wire_event *e)
{
    const struct canon_sink sink = {take, t};
    arena_lend(&t->scratch, t->room, sizeof(t->room));
    int err = t->p->dialect->decoder->event(t->decoder, e, &t->scratch, &sink);
    arena_free(&t->scratch);
    if (err && !t->p->err)
        t->p->err = err;
    return !t->p->err && t->p->state == PASSAGE_OPEN;
}

/* --- framings --------------------------------------------------------------------------------- */

static bool
on_sse(void *ctx, const struct sse_event *e)
{
    if (e->data.len == 0)
        return true; /* a comment, or a sign of life */
    return decode(ctx, &(struct wire_event){.name = e->name, .data = e->data});
}

static bool
on_message(void *ctx, const struct eventstream_message *m)
{
    struct slice type = eventstream_text(m, ":message-type");
    struct wire_event e = {.data = m->payload};
    if (slice_is(type, "event")) {
        e.name = eventstream_text(m, ":event-type");
    } else {
        e.is_exception = true;
        e.name = eventstream_text(m, ":exception-type");
        if (!e.name.at)
            e.name = eventstream_text(m, ":error-code");
        if (e.data.len == 0)
            e.data = eventstream_text(m, ":error-message");
    }
    return decode(ctx, &e);
}

static bool
on_line(struct translation *t, struct slice line)
{
    line = slice_trim(line);
    while (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    return line.len == 0 || decode(t, &(struct wire_event){.data = line});
}

static int
push_lines(struct translation *t, struct slice bytes)
{
    size_t end;
    while ((end = slice_find(bytes, '\n', 0)) < bytes.len) {
        int err = buf_add(&t->line, bytes.at, end);
        if (err)
            return err;
        bool more = on_line(t, buf_slice(&t->line));
        buf_clear(&t->line);
        if (!more)
            return ERR_CANCELLED;
        bytes = slice_from(bytes, end + 1);
    }
    return buf_add_slice(&t->line, bytes);
}

static int
push_frames(struct translation *t, struct slice bytes)
{
    switch (t->p->dialect->framing) {
    case FRAMING_EVENTSTREAM:
        return eventstream_push(t->frames, bytes, on_message, t);
    case FRAMING_NDJSON:
        return push_lines(t, bytes);
    case FRAMING_SSE:
        break;
    }
    return sse_push(&t->p->sse, bytes, on_sse, t);
}

static bool
is_partial(const struct translation *t)
{
    switch (t->p->dialect->framing) {
    case FRAMING_EVENTSTREAM:
        return eventstream_is_partial(t->frames);
    case FRAMING_NDJSON:
        return false; /* the last line needs no end: it was decoded or is no JSON */
    case FRAMING_SSE:
        break;
    }
    return sse_is_partial(&t->p->sse);
}

/* --- in and out ------------------------------------------------------------------------------- */

static void
give(struct translation *t, void (*emit)(void *ctx, struct slice run), void *ctx)
{
    if (t->out.len)
        emit(ctx, buf_slice(&t->out));
    buf_clear(&t->out);
}

int
translation_push(struct translation *t, struct slice bytes,
                 void (*emit)(void *ctx, struct slice run), void *ctx)
{
    struct passage *p = t->p;
    if (p->state != PASSAGE_OPEN || p->err)
        return p->err;
    int err = push_frames(t, bytes);
    give(t, emit, ctx);
    if (!p->err && err && err != ERR_CANCELLED)
        p->err = err == ERR_AUTH || err == ERR_SYNTAX ? ERR_PROTOCOL : err;
    return p->err;
}

int
translation_end(struct translation *t, void (*emit)(void *ctx, struct slice run), void *ctx)
{
    struct passage *p = t->p;
    const struct canon_sink sink = {take, t};
    if (p->dialect->framing == FRAMING_NDJSON && t->line.len)
        (void)on_line(t, buf_slice(&t->line));
    else if (is_partial(t))
        p->err = ERR_TRUNCATED;
    if (!p->err && p->state == PASSAGE_OPEN)
        p->err = p->dialect->decoder->end(t->decoder, &sink);
    if (!p->err && p->state == PASSAGE_OPEN)
        p->err = ERR_TRUNCATED;
    if (!p->err)
        give(t, emit, ctx);
    return p->err;
}

int
translation_error(const struct translation *t, struct arena *a, struct canon_error *ret)
{
    (void)a;
    *ret = t->error;
    return 0;
}

/* --- a whole answer as a stream --------------------------------------------------------------- */

struct replay {
    const struct dialect_encoder *encoder;
    void *state;
    struct buf *into;
};

static int
encode(void *ctx, const struct canon_event *e)
{
    struct replay *r = ctx;
    return r->encoder->event(r->state, e, r->into);
}

int
translation_replay(const struct dialect *client, const struct canon_request *q,
                   const struct canon_answer *answer, const struct answer_names *names,
                   struct buf *into)
{
    struct replay r = {client->encoder, NULL, into};
    struct arena keep;
    arena_init(&keep, LIMIT_KEPT_BYTES);
    r.state = arena_zalloc(&keep, r.encoder->state_bytes);
    int err = r.state ? r.encoder->init(r.state, &keep, q, names) : ERR_NOMEM;
    if (!err) {
        err = gather_replay(answer, &(struct canon_sink){encode, &r});
        if (r.encoder->fini)
            r.encoder->fini(r.state);
    }
    arena_free(&keep);
    return err;
}
