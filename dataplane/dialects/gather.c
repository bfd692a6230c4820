#include "dataplane/dialects/gather.h"

#include "lib/json/view.h"

#include <stdlib.h>
#include <string.h>

struct part {
    struct canon_part of;             /* its texts lie in the gatherer's arena; pieces below */
    struct buf text, data, signature; /* text: of a tool call, its arguments */
    struct canon_citation *citations;
    size_t citation_count, citation_cap;
    bool ended;
};

struct choice {
    struct part *parts;
    size_t count, cap;
    enum canon_finish finish;
    struct slice native_finish, stop_sequence;
    struct buf logprobs[2]; /* the items of "content" and of "refusal", joined by commas */
    bool has_logprobs[2];
    bool finished;
};

struct gather {
    struct arena keep;
    size_t bytes, max_bytes; /* held, and how much may be */
    struct choice *choices;
    size_t choice_count;
    bool started, ended;
    struct canon_answer head; /* all but the choices */
};

/* The most that any provider gives of one prompt. */
#define LIMIT_GATHERED_CHOICES 128

struct gather *
gather_new(size_t max_bytes)
{
    struct gather *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    arena_init(&g->keep, 0);
    g->max_bytes = max_bytes;
    return g;
}

static void
free_choice(struct choice *c)
{
    for (size_t i = 0; i < c->count; i++) {
        buf_free(&c->parts[i].text);
        buf_free(&c->parts[i].data);
        buf_free(&c->parts[i].signature);
        free(c->parts[i].citations);
    }
    free(c->parts);
    buf_free(&c->logprobs[0]);
    buf_free(&c->logprobs[1]);
}

void
gather_free(struct gather *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->choice_count; i++)
        free_choice(&g->choices[i]);
    free(g->choices);
    arena_free(&g->keep);
    free(g);
}

bool
gather_has_ended(const struct gather *g)
{
    return g->ended;
}

/* --- what is held ----------------------------------------------------------------------------- */

static int
charge(struct gather *g, size_t n)
{
    if (n > g->max_bytes - g->bytes)
        return ERR_LIMIT;
    g->bytes += n;
    return 0;
}

/* A copy that lives as long as g. Absent stays absent. */
static int
keep(struct gather *g, struct slice *s)
{
    if (!s->at)
        return 0;
    int err = charge(g, s->len);
    if (err)
        return err;
    *s = arena_copy(&g->keep, *s);
    return s->at ? 0 : ERR_NOMEM;
}

static int
keep_all(struct gather *g, struct slice *const *list, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = keep(g, list[i]);
    return err;
}

static int
more(struct gather *g, struct buf *into, struct slice s)
{
    int err = charge(g, s.len);
    return err ? err : buf_add_slice(into, s);
}

/* Room for one more in a list that grows. */
static int
grow(struct gather *g, void *list, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap)
        return 0;
    size_t new_cap = *cap ? 2 * *cap : 2;
    int err = charge(g, (new_cap - *cap) * item_bytes);
    if (err)
        return err;
    void *at = realloc(*(void **)list, new_cap * item_bytes);
    if (!at)
        return ERR_NOMEM;
    memset((char *)at + *cap * item_bytes, 0, (new_cap - *cap) * item_bytes);
    *(void **)list = at;
    *cap = new_cap;
    return 0;
}

/* --- parts ------------------------------------------------------------------------------------ */

static int
keep_citation(struct gather *g, struct canon_citation *c)
{
    struct slice *const all[] = {&c->url, &c->title, &c->cited_text, &c->raw};
    return keep_all(g, all, sizeof(all) / sizeof(all[0]));
}

static int
keep_part(struct gather *g, struct canon_part *of)
{
    struct canon_media *m = &of->media;
    struct slice *const all[] = {
        &of->id,     &of->name, &of->encrypted, &of->raw,   &m->mime, &m->url,
        &m->file_id, &m->text,  &m->name,       &m->detail, &m->id,   &m->expires,
    };
    return keep_all(g, all, sizeof(all) / sizeof(all[0]));
}

static struct slice
text_of(const struct canon_part *of)
{
    return of->kind == PART_TOOL_CALL ? of->arguments : of->text;
}

static int
add_citation(struct gather *g, struct part *p, const struct canon_citation *given)
{
    int err = grow(g, &p->citations, p->citation_count, &p->citation_cap, sizeof(*p->citations));
    if (err)
        return err;
    struct canon_citation *c = &p->citations[p->citation_count];
    *c = *given;
    err = keep_citation(g, c);
    if (!err)
        p->citation_count++;
    return err;
}

static int
begin_part(struct gather *g, struct choice *c, const struct canon_event *e)
{
    if (e->part != c->count)
        return ERR_PROTOCOL;
    int err = grow(g, &c->parts, c->count, &c->cap, sizeof(*c->parts));
    if (err)
        return err;
    struct part *p = &c->parts[c->count++];
    p->of = e->of;
    p->of.parts = NULL;
    p->of.part_count = 0;
    err = keep_part(g, &p->of);
    if (!err)
        err = more(g, &p->text, text_of(&e->of));
    if (!err)
        err = more(g, &p->data, e->of.media.data);
    if (!err)
        err = more(g, &p->signature, e->of.signature);
    for (size_t i = 0; i < e->of.citation_count && !err; i++)
        err = add_citation(g, p, &e->of.citations[i]);
    return err;
}

static int
end_part(struct gather *g, struct part *p, const struct canon_event *e)
{
    struct {
        struct slice *into;
        struct slice from;
    } late[] = {
        {&p->of.id, e->of.id},
        {&p->of.encrypted, e->of.encrypted},
        {&p->of.raw, e->of.raw},
        {&p->of.media.expires, e->of.media.expires},
    };
    int err = 0;
    p->ended = true;
    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]) && !err; i++)
        if (late[i].from.len) {
            *late[i].into = late[i].from;
            err = keep(g, late[i].into);
        }
    return err;
}

static int
take_part(struct gather *g, struct choice *c, const struct canon_event *e)
{
    if (e->kind == EVENT_PART_START)
        return begin_part(g, c, e);
    if (e->part >= c->count || c->parts[e->part].ended)
        return ERR_PROTOCOL;
    struct part *p = &c->parts[e->part];
    switch (e->kind) {
    case EVENT_DELTA:
        return more(g, &p->text, e->text);
    case EVENT_DATA:
        return more(g, &p->data, e->text);
    case EVENT_SIGNATURE:
        return more(g, &p->signature, e->text);
    case EVENT_CITATION:
        return add_citation(g, p, &e->citation);
    default:
        return end_part(g, p, e);
    }
}

/* --- choices ---------------------------------------------------------------------------------- */

/* The items of one of the two lists, without its brackets. */
static int
add_logprobs(struct gather *g, struct choice *c, size_t which, struct json_view list)
{
    struct slice inner = list.raw;
    if (list.kind != JSON_LIST)
        return 0;
    c->has_logprobs[which] = true;
    inner = json_view_of(slice_make(inner.at + 1, inner.len - 2)).raw;
    if (inner.len == 0)
        return 0;
    int err = c->logprobs[which].len ? more(g, &c->logprobs[which], SLICE(",")) : 0;
    return err ? err : more(g, &c->logprobs[which], inner);
}

static const char *const logprob_lists[2] = {"content", "refusal"};

static int
take_logprobs(struct gather *g, struct choice *c, const struct canon_event *e)
{
    struct json_view lists[2];
    json_view_fields(json_view_of(e->text), logprob_lists, 2, lists);
    int err = add_logprobs(g, c, 0, lists[0]);
    return err ? err : add_logprobs(g, c, 1, lists[1]);
}

static int
take_finish(struct gather *g, struct choice *c, const struct canon_event *e)
{
    struct slice *const all[] = {&c->native_finish, &c->stop_sequence};
    if (c->finished)
        return ERR_PROTOCOL;
    c->finished = true;
    c->finish = e->finish;
    c->native_finish = e->text;
    c->stop_sequence = e->stop_sequence;
    return keep_all(g, all, 2);
}

/* The choices up to this one. */
static int
reach_choice(struct gather *g, unsigned choice)
{
    if (choice < g->choice_count)
        return 0;
    if (choice >= LIMIT_GATHERED_CHOICES)
        return ERR_LIMIT;
    size_t count = choice + (size_t)1;
    int err = charge(g, (count - g->choice_count) * sizeof(struct choice));
    if (err)
        return err;
    struct choice *at = realloc(g->choices, count * sizeof(struct choice));
    if (!at)
        return ERR_NOMEM;
    memset(at + g->choice_count, 0, (count - g->choice_count) * sizeof(struct choice));
    g->choices = at;
    g->choice_count = count;
    return 0;
}

/* --- events ----------------------------------------------------------------------------------- */

static int
start(struct gather *g, const struct canon_event *e)
{
    struct canon_answer *h = &g->head;
    struct slice *const all[] = {&h->id, &h->model, &h->service_tier, &h->fingerprint};
    if (g->started)
        return ERR_PROTOCOL;
    g->started = true;
    *h = (struct canon_answer){
        .id = e->id,
        .model = e->model,
        .created_unix_s = e->created_unix_s,
        .origin = e->of.origin,
        .service_tier = e->service_tier,
        .fingerprint = e->fingerprint,
    };
    return keep_all(g, all, sizeof(all) / sizeof(all[0]));
}

int
gather_event(struct gather *g, const struct canon_event *e)
{
    if (e->kind == EVENT_START)
        return start(g, e);
    if (!g->started || g->ended || e->kind == EVENT_ERROR)
        return ERR_PROTOCOL;
    if (e->kind == EVENT_END) {
        g->ended = true;
        return 0;
    }
    if (e->kind == EVENT_USAGE) {
        g->head.usage = e->usage;
        return 0;
    }
    int err = reach_choice(g, e->choice);
    if (err)
        return err;
    struct choice *c = &g->choices[e->choice];
    if (e->kind == EVENT_LOGPROBS)
        return take_logprobs(g, c, e);
    if (e->kind == EVENT_FINISH)
        return take_finish(g, c, e);
    return take_part(g, c, e);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* An empty text is a text: at is set where pieces could have come. */
static struct slice
held(const struct buf *b)
{
    return b->len ? buf_slice(b) : SLICE("");
}

static void
show_part(const struct part *p, struct canon_part *ret)
{
    *ret = p->of;
    if (ret->kind == PART_TOOL_CALL)
        ret->arguments = held(&p->text);
    else if (ret->kind != PART_OPAQUE)
        ret->text = held(&p->text);
    ret->media.data = p->data.len ? buf_slice(&p->data) : (struct slice){0};
    ret->signature = p->signature.len ? buf_slice(&p->signature) : (struct slice){0};
    ret->citations = p->citations;
    ret->citation_count = p->citation_count;
}

bool
gather_part(struct gather *g, unsigned choice, unsigned part, struct canon_part *ret)
{
    if (choice >= g->choice_count || part >= g->choices[choice].count)
        return false;
    show_part(&g->choices[choice].parts[part], ret);
    return true;
}

static struct slice
joined_logprobs(const struct choice *c, struct arena *a)
{
    static const struct slice null = {"null", 4};
    struct slice list[2];
    for (size_t i = 0; i < 2; i++) {
        list[i] = null;
        if (!c->has_logprobs[i])
            continue;
        char *at = arena_printf(a, "[%.*s]", SLICE_ARG(held(&c->logprobs[i])));
        if (!at)
            return (struct slice){0};
        list[i] = slice_of(at);
    }
    return slice_of(arena_printf(a, "{\"content\":%.*s,\"refusal\":%.*s}", SLICE_ARG(list[0]),
                                 SLICE_ARG(list[1])));
}

static int
show_choice(const struct choice *c, struct arena *a, struct canon_choice_answer *ret)
{
    struct canon_part *parts = arena_alloc(a, (c->count + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->count; i++)
        show_part(&c->parts[i], &parts[i]);
    *ret = (struct canon_choice_answer){
        .parts = parts,
        .count = c->count,
        .finish = c->finish,
        .native_finish = c->native_finish,
        .stop_sequence = c->stop_sequence,
    };
    if (c->has_logprobs[0] || c->has_logprobs[1]) {
        ret->logprobs_raw = joined_logprobs(c, a);
        if (!ret->logprobs_raw.at)
            return ERR_NOMEM;
    }
    return 0;
}

int
gather_answer(struct gather *g, struct arena *a, struct canon_answer *ret)
{
    size_t count = g->choice_count ? g->choice_count : 1;
    struct canon_choice_answer *choices = arena_zalloc(a, count * sizeof(*choices));
    if (!choices)
        return ERR_NOMEM;
    for (size_t i = 0; i < g->choice_count; i++) {
        int err = show_choice(&g->choices[i], a, &choices[i]);
        if (err)
            return err;
    }
    *ret = g->head;
    ret->choices = choices;
    ret->choice_count = count;
    return 0;
}

/* --- the other way ---------------------------------------------------------------------------- */

static int
tell(const struct canon_sink *sink, const struct canon_event *e)
{
    return sink->take(sink->ctx, e);
}

static int
tell_piece(const struct canon_sink *sink, struct canon_event e, enum canon_event_kind kind,
           struct slice text)
{
    if (text.len == 0)
        return 0;
    e.kind = kind;
    e.text = text;
    return tell(sink, &e);
}

static int
replay_part(const struct canon_part *p, unsigned choice, unsigned part,
            const struct canon_sink *sink)
{
    const struct canon_event at = {.choice = choice, .part = part};
    struct canon_event e = at;
    e.kind = EVENT_PART_START;
    e.of = *p;
    e.of.text = e.of.arguments = e.of.media.data = (struct slice){0};
    if (p->kind != PART_TOOL_CALL)
        e.of.signature = (struct slice){0};
    e.of.citations = NULL;
    e.of.citation_count = 0;
    int err = tell(sink, &e);
    if (!err)
        err = tell_piece(sink, at, EVENT_DELTA, text_of(p));
    if (!err)
        err = tell_piece(sink, at, EVENT_DATA, p->media.data);
    for (size_t i = 0; i < p->citation_count && !err; i++) {
        struct canon_event c = at;
        c.kind = EVENT_CITATION;
        c.citation = p->citations[i];
        err = tell(sink, &c);
    }
    if (!err && p->kind != PART_TOOL_CALL)
        err = tell_piece(sink, at, EVENT_SIGNATURE, p->signature);
    e = at;
    e.kind = EVENT_PART_END;
    return err ? err : tell(sink, &e);
}

static int
replay_choice(const struct canon_choice_answer *c, unsigned choice, const struct canon_sink *sink)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++)
        err = replay_part(&c->parts[i], choice, (unsigned)i, sink);
    if (!err)
        err = tell_piece(sink, (struct canon_event){.choice = choice}, EVENT_LOGPROBS,
                         c->logprobs_raw);
    if (err)
        return err;
    return tell(sink, &(struct canon_event){.kind = EVENT_FINISH,
                                            .choice = choice,
                                            .finish = c->finish,
                                            .text = c->native_finish,
                                            .stop_sequence = c->stop_sequence});
}

int
gather_replay(const struct canon_answer *answer, const struct canon_sink *sink)
{
    int err = tell(sink, &(struct canon_event){.kind = EVENT_START,
                                               .id = answer->id,
                                               .model = answer->model,
                                               .created_unix_s = answer->created_unix_s,
                                               .service_tier = answer->service_tier,
                                               .fingerprint = answer->fingerprint,
                                               .of = {.origin = answer->origin}});
    for (size_t i = 0; i < answer->choice_count && !err; i++)
        err = replay_choice(&answer->choices[i], (unsigned)i, sink);
    if (!err)
        err = tell(sink, &(struct canon_event){.kind = EVENT_USAGE, .usage = answer->usage});
    return err ? err : tell(sink, &(struct canon_event){.kind = EVENT_END});
}
