/*
 * The events of ConverseStream. A block opens with contentBlockStart (calls) or with its first
 * delta (texts, reasoning); its part begins when there is something to tell of it. The stream is
 * whole when both its messageStop and its metadata were there.
 */
#include "dataplane/dialects/converse_internal.h"

#include <string.h>

#define LIMIT_OPEN_BLOCKS 16 /* at once; Bedrock has one */

struct block {
    int64_t index; /* Bedrock's, which may skip numbers */
    enum canon_part_kind kind;
    unsigned part;
    bool in_use, begun, has_text, is_ignored;
    bool is_call; /* of a tool, the one that stands for structured output included */
};

struct decoding {
    struct dialect_exchange x;
    struct block blocks[LIMIT_OPEN_BLOCKS];
    unsigned parts; /* begun */
    struct usage_report usage;
    bool started, stopped, counted, ended, has_calls, made_json;
};

/* One event being read. */
struct step {
    struct decoding *d;
    struct arena *scratch;
    const struct canon_sink *sink;
};

static int
tell(const struct step *s, const struct canon_event *e)
{
    return s->sink->take(s->sink->ctx, e);
}

static int
start(const struct step *s)
{
    if (s->d->started)
        return 0;
    s->d->started = true;
    return tell(s, &(struct canon_event){.kind = EVENT_START, .of = {.origin = DIALECT_CONVERSE}});
}

/* A member's text, empty where there is none. 0, ERR_NOMEM, ERR_PROTOCOL. */
static int
text_of(const struct step *s, struct json_view map, const char *name, struct slice *ret)
{
    int err = json_view_opt_text(json_view_get(map, name), s->scratch, ret);
    return err == 0 || err == ERR_NOMEM ? err : ERR_PROTOCOL;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static struct block *
find_block(struct decoding *d, int64_t index)
{
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++)
        if (d->blocks[i].in_use && d->blocks[i].index == index)
            return &d->blocks[i];
    return NULL;
}

static struct block *
open_block(struct decoding *d, int64_t index)
{
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++)
        if (!d->blocks[i].in_use) {
            d->blocks[i] = (struct block){.index = index, .in_use = true};
            return &d->blocks[i];
        }
    return NULL;
}

/* The event's block, opened where it was not. */
static struct block *
block_of(struct decoding *d, struct json_view index)
{
    int64_t n = json_view_int_or(index, -1);
    if (n < 0)
        return NULL;
    struct block *b = find_block(d, n);
    return b ? b : open_block(d, n);
}

/* The part begins; b is of its kind from here on. */
static int
begin(const struct step *s, struct block *b, const struct canon_part *of)
{
    struct canon_event e = {.kind = EVENT_PART_START, .part = s->d->parts, .of = *of};
    b->kind = of->kind;
    b->part = s->d->parts++;
    b->begun = true;
    e.of.origin = DIALECT_CONVERSE;
    return tell(s, &e);
}

/* Begins a part of that kind unless it is under way; a block does not change its kind. */
static int
reach(const struct step *s, struct block *b, enum canon_part_kind kind)
{
    if (!b->begun)
        return begin(s, b, &(struct canon_part){.kind = kind});
    return b->kind == kind ? 0 : ERR_PROTOCOL;
}

static int
more(const struct step *s, struct block *b, enum canon_event_kind kind, struct slice text)
{
    if (text.len == 0)
        return 0;
    b->has_text = true;
    return tell(s, &(struct canon_event){.kind = kind, .part = b->part, .text = text});
}

static int
close_block(const struct step *s, struct block *b)
{
    int err = 0;
    b->in_use = false;
    if (!b->begun)
        return 0;
    if (b->is_call && !b->has_text)
        err = more(s, b, EVENT_DELTA, SLICE("{}")); /* no piece at all is the empty object */
    if (err)
        return err;
    return tell(s, &(struct canon_event){.kind = EVENT_PART_END, .part = b->part});
}

/* --- events ----------------------------------------------------------------------------------- */

static int
on_call_start(const struct step *s, struct block *b, struct json_view call)
{
    struct canon_part p = {.kind = PART_TOOL_CALL};
    if (json_view_is(json_view_get(call, "type"), "server_tool_use")) {
        b->is_ignored = true;
        return 0;
    }
    int err = text_of(s, call, "name", &p.name);
    if (!err)
        err = text_of(s, call, "toolUseId", &p.id);
    if (err || p.name.len == 0)
        return err ? err : ERR_PROTOCOL;
    b->is_call = true;
    if (s->d->x.json_by_tool && slice_is(p.name, JSON_TOOL_NAME)) {
        s->d->made_json = true;
        return begin(s, b, &(struct canon_part){.kind = PART_TEXT});
    }
    if (p.id.len == 0)
        p.id = canon_mint_id(s->scratch, "tooluse_");
    if (!p.id.at)
        return ERR_NOMEM;
    s->d->has_calls = true;
    return begin(s, b, &p);
}

static int
on_block_start(const struct step *s, struct json_view data)
{
    int64_t index = json_view_int_or(json_view_get(data, "contentBlockIndex"), -1);
    struct json_view what = json_view_get(data, "start");
    struct json_view call = json_view_get(what, "toolUse");
    struct block *b = index < 0 || find_block(s->d, index) ? NULL : open_block(s->d, index);
    if (!b)
        return ERR_PROTOCOL;
    if (json_view_is_set(call))
        return on_call_start(s, b, call);
    b->is_ignored = json_view_is_set(json_view_get(what, "toolResult"));
    return 0;
}

/* Each comes whole; should a block have several they are parts of their own. */
static int
on_redacted(const struct step *s, struct block *b, const struct canon_part *p)
{
    int err =
        b->begun ? tell(s, &(struct canon_event){.kind = EVENT_PART_END, .part = b->part}) : 0;
    return err ? err : begin(s, b, p);
}

static int
on_reasoning(const struct step *s, struct block *b, struct json_view v)
{
    struct canon_part p = {.kind = PART_REASONING};
    struct slice text = {0}, signature = {0};
    int err = text_of(s, v, "redactedContent", &p.encrypted);
    if (!err)
        err = text_of(s, v, "text", &text);
    if (!err)
        err = text_of(s, v, "signature", &signature);
    if (err)
        return err;
    if (p.encrypted.len)
        return on_redacted(s, b, &p);
    if (!text.len && !signature.len)
        return 0;
    err = reach(s, b, PART_REASONING);
    if (!err)
        err = more(s, b, EVENT_DELTA, text);
    return err ? err : more(s, b, EVENT_SIGNATURE, signature);
}

static int
on_citation(const struct step *s, struct block *b, struct json_view v)
{
    struct canon_event e = {.kind = EVENT_CITATION};
    int err = reach(s, b, PART_TEXT);
    if (!err)
        err = converse_read_citation(v, s->scratch, &e.citation);
    e.part = b->part;
    return err ? err : tell(s, &e);
}

static int
on_text(const struct step *s, struct block *b, struct json_view v)
{
    struct slice text;
    int err = json_view_text(v, s->scratch, &text);
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    err = text.len ? reach(s, b, PART_TEXT) : 0;
    return err ? err : more(s, b, EVENT_DELTA, text);
}

/* More of a call's arguments; of JSON_TOOL_NAME's they are text. */
static int
on_input(const struct step *s, struct block *b, struct json_view v)
{
    struct slice text;
    if (!b->begun || b->kind == PART_REASONING)
        return ERR_PROTOCOL;
    int err = text_of(s, v, "input", &text);
    return err ? err : more(s, b, EVENT_DELTA, text);
}

static const struct {
    const char *member;
    int (*take)(const struct step *s, struct block *b, struct json_view v);
} deltas[] = {
    {"text", on_text},
    {"toolUse", on_input},
    {"reasoningContent", on_reasoning},
    {"citation", on_citation},
};

static int
on_delta(const struct step *s, struct json_view data)
{
    struct json_view delta = json_view_get(data, "delta");
    struct block *b = block_of(s->d, json_view_get(data, "contentBlockIndex"));
    if (!b)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < sizeof(deltas) / sizeof(deltas[0]) && !b->is_ignored; i++) {
        struct json_view v = json_view_get(delta, deltas[i].member);
        if (json_view_is_set(v))
            return deltas[i].take(s, b, v);
    }
    return 0;
}

static int
on_block_stop(const struct step *s, struct json_view data)
{
    struct block *b =
        find_block(s->d, json_view_int_or(json_view_get(data, "contentBlockIndex"), -1));
    return b ? close_block(s, b) : 0; /* one that had nothing to tell */
}

static int
end_if_whole(const struct step *s)
{
    if (!s->d->stopped || !s->d->counted)
        return 0;
    s->d->ended = true;
    return tell(s, &(struct canon_event){.kind = EVENT_END});
}

static int
on_message_stop(const struct step *s, struct json_view data)
{
    struct canon_event e = {.kind = EVENT_FINISH};
    int err = s->d->stopped ? ERR_PROTOCOL : 0;
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS && !err; i++)
        if (s->d->blocks[i].in_use)
            err = close_block(s, &s->d->blocks[i]);
    e.finish = converse_read_finish(json_view_get(data, "stopReason"),
                                    s->d->made_json && !s->d->has_calls, &e.text);
    s->d->stopped = true;
    if (!err)
        err = tell(s, &e);
    return err ? err : end_if_whole(s);
}

static int
on_metadata(const struct step *s, struct json_view data)
{
    struct canon_event e = {.kind = EVENT_USAGE};
    converse_read_usage(json_view_get(data, "usage"), json_view_get(data, "serviceTier"),
                        &s->d->usage);
    e.usage = s->d->usage;
    s->d->counted = true;
    int err = tell(s, &e);
    return err ? err : end_if_whole(s);
}

static int
on_message_start(const struct step *s, struct json_view data)
{
    (void)s; /* any first event starts the answer */
    (void)data;
    return 0;
}

static const struct {
    const char *name;
    int (*take)(const struct step *s, struct json_view data);
} events[] = {
    {"messageStart", on_message_start}, {"contentBlockStart", on_block_start},
    {"contentBlockDelta", on_delta},    {"contentBlockStop", on_block_stop},
    {"messageStop", on_message_stop},   {"metadata", on_metadata},
};

/* --- the decoder ------------------------------------------------------------------------------ */

static int
on_exception(const struct step *s, const struct wire_event *e)
{
    const struct dialect_fault fault = {.body = e->data, .error_type = e->name};
    struct canon_event told = {.kind = EVENT_ERROR};
    int err = converse_read_error(&fault, s->scratch, &told.error);
    s->d->ended = true;
    return err ? err : tell(s, &told);
}

static int
init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    struct decoding *d = state;
    (void)keep;
    d->x = *x;
    return 0;
}

static int
take_event(void *state, const struct wire_event *e, struct arena *scratch,
           const struct canon_sink *sink)
{
    struct decoding *d = state;
    const struct step s = {.d = d, .scratch = scratch, .sink = sink};
    struct json_span root;
    struct json_error why;
    if (d->ended)
        return ERR_PROTOCOL;
    if (e->is_exception)
        return on_exception(&s, e);
    if (json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &why) != 0 ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    int err = start(&s);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && !err; i++)
        if (slice_is(e->name, events[i].name))
            return events[i].take(&s, json_view_of(e->data));
    return err; /* an event of a later day is passed over */
}

static int
end(void *state, const struct canon_sink *sink)
{
    (void)state; /* END was told with the last of messageStop and metadata */
    (void)sink;
    return ERR_TRUNCATED;
}

const struct dialect_decoder converse_decoder = {
    .state_bytes = sizeof(struct decoding),
    .init = init,
    .event = take_event,
    .end = end,
};
