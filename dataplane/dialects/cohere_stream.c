/*
 * The events of Cohere's v2 stream; what an event is stands in its data. Texts stay open until
 * something else begins, since their citations come behind them; message-end is the end.
 */
#include "dataplane/dialects/cohere_internal.h"

#include <string.h>

/* What is being told. Items follow one another; only a text is held open a while. */
enum open { OPEN_NOTHING, OPEN_PLAN, OPEN_ITEM, OPEN_CALL };

struct decoding {
    enum open open;
    unsigned part;  /* the open one's number */
    unsigned parts; /* begun */
    int64_t index;  /* Cohere's own, of the open item or call */
    bool is_text;   /* of an item that is open: else thinking */
    bool has_text;  /* something of it was told */
    bool is_null;   /* a call whose arguments begin as "null" does */
    bool started, ended, has_calls;
    struct usage_report usage;
};

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

/* A text, empty where there is none. 0, ERR_NOMEM, ERR_PROTOCOL. */
static int
text_of(const struct step *s, struct json_view v, struct slice *ret)
{
    int err = json_view_opt_text(v, s->scratch, ret);
    return err == 0 || err == ERR_NOMEM ? err : ERR_PROTOCOL;
}

/* --- parts ------------------------------------------------------------------------------------ */

static int
more(const struct step *s, struct slice text)
{
    if (text.len == 0)
        return 0;
    s->d->has_text = true;
    return tell(s, &(struct canon_event){.kind = EVENT_DELTA, .part = s->d->part, .text = text});
}

/* What is open ends. A call without a piece of arguments, or with "null", has none. */
static int
close_open(const struct step *s)
{
    struct decoding *d = s->d;
    int err = 0;
    if (d->open == OPEN_NOTHING)
        return 0;
    if (d->open == OPEN_CALL && !d->has_text)
        err = more(s, SLICE("{}"));
    d->open = OPEN_NOTHING;
    return err ? err : tell(s, &(struct canon_event){.kind = EVENT_PART_END, .part = d->part});
}

static int
begin(const struct step *s, enum open open, int64_t index, const struct canon_part *of)
{
    struct decoding *d = s->d;
    struct canon_event e = {.kind = EVENT_PART_START, .part = d->parts, .of = *of};
    int err = close_open(s);
    if (err)
        return err;
    d->open = open;
    d->index = index;
    d->part = d->parts++;
    d->is_text = of->kind == PART_TEXT;
    d->has_text = d->is_null = false;
    e.of.origin = DIALECT_COHERE;
    return tell(s, &e);
}

/* --- events ----------------------------------------------------------------------------------- */

static struct json_view
in_message(struct json_view data, const char *member)
{
    return json_view_get(json_view_get(json_view_get(data, "delta"), "message"), member);
}

static int
on_start(const struct step *s, struct json_view data)
{
    struct canon_event e = {.kind = EVENT_START, .of = {.origin = DIALECT_COHERE}};
    if (s->d->started)
        return ERR_PROTOCOL;
    if (json_view_opt_text(json_view_get(data, "id"), s->scratch, &e.id) == ERR_NOMEM)
        return ERR_NOMEM;
    s->d->started = true;
    return tell(s, &e);
}

static int
on_plan(const struct step *s, struct json_view data)
{
    const struct canon_part plan = {.kind = PART_REASONING, .raw = COHERE_PLAN};
    struct slice text;
    int err = text_of(s, in_message(data, "tool_plan"), &text);
    if (!err && text.len && s->d->open != OPEN_PLAN)
        err = begin(s, OPEN_PLAN, -1, &plan);
    return err ? err : more(s, text);
}

/* An item's first or next piece; it begins with the first that is not empty. */
static int
take_piece(const struct step *s, int64_t index, struct json_view content)
{
    struct json_view thinking = json_view_get(content, "thinking");
    bool is_text = thinking.kind != JSON_TEXT;
    struct slice text;
    int err = text_of(s, is_text ? json_view_get(content, "text") : thinking, &text);
    bool is_open = s->d->open == OPEN_ITEM && s->d->index == index && s->d->is_text == is_text;
    if (!err && text.len && !is_open)
        err = begin(s, OPEN_ITEM, index,
                    &(struct canon_part){.kind = is_text ? PART_TEXT : PART_REASONING});
    return err ? err : more(s, text);
}

static int
on_content(const struct step *s, struct json_view data)
{
    return take_piece(s, json_view_int_or(json_view_get(data, "index"), 0),
                      in_message(data, "content"));
}

static int
on_content_end(const struct step *s, struct json_view data)
{
    (void)data;
    return s->d->open == OPEN_ITEM && !s->d->is_text ? close_open(s) : 0;
}

static int
on_call_start(const struct step *s, struct json_view data)
{
    struct canon_part p = {.kind = PART_TOOL_CALL};
    struct json_view call = in_message(data, "tool_calls");
    struct json_view function = json_view_get(call, "function");
    struct slice first = {0};
    int err = text_of(s, json_view_get(function, "name"), &p.name);
    if (!err)
        err = text_of(s, json_view_get(call, "id"), &p.id);
    if (!err)
        err = text_of(s, json_view_get(function, "arguments"), &first);
    if (err || p.name.len == 0)
        return err ? err : ERR_PROTOCOL;
    if (p.id.len == 0)
        p.id = canon_mint_id(s->scratch, "call_");
    if (!p.id.at)
        return ERR_NOMEM;
    s->d->has_calls = true;
    err = begin(s, OPEN_CALL, json_view_int_or(json_view_get(data, "index"), 0), &p);
    return err ? err : more(s, first);
}

/* Arguments are an object, or "null" in whichever pieces: then nothing of it is told. */
static int
on_call_delta(const struct step *s, struct json_view data)
{
    struct decoding *d = s->d;
    struct json_view function = json_view_get(in_message(data, "tool_calls"), "function");
    struct slice text;
    if (d->open != OPEN_CALL || json_view_int_or(json_view_get(data, "index"), 0) != d->index)
        return ERR_PROTOCOL;
    int err = text_of(s, json_view_get(function, "arguments"), &text);
    if (err)
        return err;
    if (!d->has_text && text.len && text.at[0] == 'n')
        d->is_null = true;
    return d->is_null ? 0 : more(s, text);
}

static int
on_call_end(const struct step *s, struct json_view data)
{
    (void)data;
    return s->d->open == OPEN_CALL ? close_open(s) : 0;
}

/* Of the text that is open; of nothing, when it has not begun or is over. */
static int
on_citation(const struct step *s, struct json_view data)
{
    struct canon_event e = {.kind = EVENT_CITATION, .part = s->d->part};
    struct json_view citation = in_message(data, "citations");
    if (citation.kind != JSON_MAP)
        return ERR_PROTOCOL;
    if (s->d->open != OPEN_ITEM || !s->d->is_text)
        return 0;
    int err = cohere_read_citation(citation, s->scratch, &e.citation);
    return err ? err : tell(s, &e);
}

static int
on_citation_end(const struct step *s, struct json_view data)
{
    (void)s;
    (void)data;
    return 0;
}

/* An error's text, in the place of an answer. */
static int
tell_error(const struct step *s, struct slice data)
{
    const struct dialect_fault fault = {.body = data};
    struct canon_event e = {.kind = EVENT_ERROR};
    int err = cohere_read_error(&fault, s->scratch, &e.error);
    s->d->ended = true;
    return err ? err : tell(s, &e);
}

static int
on_end(const struct step *s, struct json_view data)
{
    struct canon_event finish = {.kind = EVENT_FINISH}, usage = {.kind = EVENT_USAGE};
    struct json_view delta = json_view_get(data, "delta");
    if (json_view_is_set(json_view_get(delta, "error")))
        return tell_error(s, delta.raw);
    int err = close_open(s);
    finish.finish =
        cohere_read_finish(json_view_get(delta, "finish_reason"), s->d->has_calls, &finish.text);
    cohere_read_usage(json_view_get(delta, "usage"), &s->d->usage);
    usage.usage = s->d->usage;
    s->d->ended = true;
    if (!err)
        err = tell(s, &finish);
    if (!err)
        err = tell(s, &usage);
    return err ? err : tell(s, &(struct canon_event){.kind = EVENT_END});
}

static const struct {
    const char *type;
    int (*take)(const struct step *s, struct json_view data);
} events[] = {
    {"tool-plan-delta", on_plan},       {"content-start", on_content},
    {"content-delta", on_content},      {"content-end", on_content_end},
    {"tool-call-start", on_call_start}, {"tool-call-delta", on_call_delta},
    {"tool-call-end", on_call_end},     {"citation-start", on_citation},
    {"citation-end", on_citation_end},  {"message-end", on_end},
};

/* --- the decoder ------------------------------------------------------------------------------ */

static int
init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    (void)state;
    (void)keep;
    (void)x;
    return 0;
}

static int
take_typed(const struct step *s, struct json_view data, struct json_view type)
{
    if (json_view_is(type, "message-start"))
        return on_start(s, data);
    if (!s->d->started)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (json_view_is(type, events[i].type))
            return events[i].take(s, data);
    return 0; /* an event of a later day is passed over */
}

static int
take_event(void *state, const struct wire_event *e, struct arena *scratch,
           const struct canon_sink *sink)
{
    struct decoding *d = state;
    const struct step s = {.d = d, .scratch = scratch, .sink = sink};
    struct json_span root;
    struct json_error why;
    if (d->ended || json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &why) != 0 ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    struct json_view data = json_view_of(e->data), type = json_view_get(data, "type");
    if (type.kind != JSON_TEXT && json_view_is_set(json_view_get(data, "message")))
        return tell_error(&s, data.raw);
    return take_typed(&s, data, type);
}

static int
end(void *state, const struct canon_sink *sink)
{
    (void)state; /* END was told with message-end */
    (void)sink;
    return ERR_TRUNCATED;
}

const struct dialect_decoder cohere_decoder = {
    .state_bytes = sizeof(struct decoding),
    .init = init,
    .event = take_event,
    .end = end,
};
