/*
 * The stream of a Responses provider. Items are told apart by their output_index: their ids may
 * change from event to event. What an item's deltas left out is in the item that ends it, and what
 * no event told is in the terminal's response.
 *
 * No text is kept: of what is open only how much of it has gone by.
 */
#include "dataplane/dialects/responses_internal.h"

#include <string.h>

#define LIMIT_OPEN_PARTS 128
#define LIMIT_STREAM_ITEMS 4096
#define WHOLE_ITEM (-1) /* as content_index */

/* A part that was begun and whose item has not ended. */
struct open_part {
    int64_t item, content;
    unsigned part;
    enum canon_part_kind kind;
    bool ended, from_content; /* from_content: reasoning_text, not its summary */
    size_t bytes, citations;  /* that have gone by */
};

struct stream {
    bool started, ended, has_calls;
    unsigned next_part;
    struct open_part open[LIMIT_OPEN_PARTS];
    size_t open_count;
    unsigned char done[LIMIT_STREAM_ITEMS / 8]; /* items that have ended */
    bool final_answer, commentary;              /* the phase of the message that is open */
};

/* One event in the works. */
struct step {
    struct stream *s;
    struct arena *scratch;
    const struct canon_sink *sink;
    struct json_view event;
    int64_t item, content;
};

static int
give(const struct step *t, const struct canon_event *e)
{
    return t->sink->take(t->sink->ctx, e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static struct open_part *
find(struct stream *s, int64_t item, int64_t content)
{
    for (size_t i = 0; i < s->open_count; i++)
        if (s->open[i].item == item && s->open[i].content == content)
            return &s->open[i];
    return NULL;
}

static int
end_part(const struct step *t, struct open_part *p, const struct canon_part *of)
{
    struct canon_event e = {.kind = EVENT_PART_END, .part = p->part};
    if (p->ended)
        return 0;
    p->ended = true;
    if (of) {
        e.of.kind = p->kind;
        e.of.origin = DIALECT_RESPONSES;
        e.of.encrypted = of->encrypted;
    }
    return give(t, &e);
}

/* Texts of one message follow each other: the next one ends the last. */
static int
end_texts(const struct step *t, int64_t item)
{
    int err = 0;
    for (size_t i = 0; !err && i < t->s->open_count; i++)
        if (t->s->open[i].item == item && t->s->open[i].content != WHOLE_ITEM)
            err = end_part(t, &t->s->open[i], NULL);
    return err;
}

static int
start_part(const struct step *t, int64_t content, const struct canon_part *of,
           struct open_part **ret)
{
    struct stream *s = t->s;
    struct canon_event e = {.kind = EVENT_PART_START, .part = s->next_part, .of = *of};
    if (s->open_count == LIMIT_OPEN_PARTS || s->next_part == LIMIT_STREAM_ITEMS)
        return ERR_LIMIT;
    int err = content == WHOLE_ITEM ? 0 : end_texts(t, t->item);
    if (err)
        return err;
    struct open_part *p = &s->open[s->open_count++];
    *p = (struct open_part){
        .item = t->item, .content = content, .part = s->next_part++, .kind = of->kind};
    *ret = p;
    s->has_calls |= of->kind == PART_TOOL_CALL;
    e.of.text = e.of.arguments = e.of.encrypted = (struct slice){0};
    e.of.citations = NULL;
    e.of.citation_count = 0;
    return give(t, &e);
}

static int
give_delta(const struct step *t, struct open_part *p, struct slice text)
{
    struct canon_event e = {.kind = EVENT_DELTA, .part = p->part, .text = text};
    if (text.len == 0 || p->ended)
        return 0;
    p->bytes += text.len;
    return give(t, &e);
}

static int
give_citation(const struct step *t, struct open_part *p, const struct canon_citation *c)
{
    struct canon_event e = {.kind = EVENT_CITATION, .part = p->part, .citation = *c};
    p->citations++;
    return give(t, &e);
}

/* What the deltas had left out, and the end. */
static int
complete_part(const struct step *t, struct open_part *p, const struct canon_part *of)
{
    struct slice text = of->kind == PART_TOOL_CALL ? of->arguments : of->text;
    int err = p->bytes == 0 ? give_delta(t, p, text) : 0;
    for (size_t i = p->citations; !err && !p->ended && i < of->citation_count; i++)
        err = give_citation(t, p, &of->citations[i]);
    return err ? err : end_part(t, p, of);
}

static int
whole_part(const struct step *t, int64_t content, const struct canon_part *of)
{
    struct open_part *p = find(t->s, t->item, content);
    int err = p ? 0 : start_part(t, content, of, &p);
    return err ? err : complete_part(t, p, of);
}

/* --- items ------------------------------------------------------------------------------------ */

static struct slice
message_extra(const struct stream *s)
{
    return s->final_answer ? SLICE("{\"phase\":\"final_answer\"}")
           : s->commentary ? SLICE("{\"phase\":\"commentary\"}")
                           : (struct slice){0};
}

static int
added(const struct step *t)
{
    struct json_view item = json_view_get(t->event, "item");
    struct json_view phase = json_view_get(item, "phase");
    struct canon_part call;
    struct open_part *p;
    t->s->final_answer = json_view_is(phase, "final_answer");
    t->s->commentary = json_view_is(phase, "commentary");
    int err = responses_read_call(item, t->scratch, &call);
    if (err || find(t->s, t->item, WHOLE_ITEM))
        return err == ERR_NOT_FOUND ? 0 : err;
    return start_part(t, WHOLE_ITEM, &call, &p);
}

static int
finish_message(const struct step *t, struct json_view item)
{
    struct json_view piece, content = json_view_get(item, "content");
    struct slice name, id, extra;
    size_t cursor = 0;
    int64_t index = 0;
    int err = json_view_opt_text(json_view_get(item, "id"), t->scratch, &id);
    if (!err)
        err = responses_message_extra(item, t->scratch, &extra);
    for (; !err && json_view_next(content, &cursor, &name, &piece); index++) {
        struct canon_part part;
        err = responses_read_text(piece, t->scratch, &part);
        if (err == ERR_NOT_FOUND) {
            err = 0;
            continue;
        }
        if (err)
            break;
        part.id = id;
        part.raw = extra;
        err = whole_part(t, index, &part);
    }
    return err;
}

static int
finish_reasoning(const struct step *t, struct json_view item)
{
    struct canon_part part = {.kind = PART_REASONING, .origin = DIALECT_RESPONSES};
    int err = json_view_opt_text(json_view_get(item, "id"), t->scratch, &part.id);
    if (!err)
        err = responses_reasoning_text(item, t->scratch, &part.text);
    if (!err)
        err = json_view_opt_text(json_view_get(item, "encrypted_content"), t->scratch,
                                 &part.encrypted);
    if (err || (part.text.len == 0 && part.encrypted.len == 0 && !find(t->s, t->item, WHOLE_ITEM)))
        return err;
    return whole_part(t, WHOLE_ITEM, &part);
}

/* An item that only the provider understands comes whole. */
static int
give_opaque(const struct step *t, struct json_view item)
{
    struct canon_part part = {.kind = PART_OPAQUE, .origin = DIALECT_RESPONSES, .raw = item.raw};
    struct open_part *p;
    int err = json_view_opt_text(json_view_get(item, "id"), t->scratch, &part.id);
    if (!err)
        err = start_part(t, WHOLE_ITEM, &part, &p);
    return err ? err : end_part(t, p, NULL);
}

static int
finish_known(const struct step *t, struct json_view item)
{
    struct json_view type = json_view_get(item, "type");
    struct canon_part call;
    if (responses_is_said(item))
        return finish_message(t, item);
    if (json_view_is(type, "reasoning"))
        return finish_reasoning(t, item);
    int err = responses_read_call(item, t->scratch, &call);
    if (err == 0)
        return whole_part(t, WHOLE_ITEM, &call);
    return err == ERR_NOT_FOUND ? give_opaque(t, item) : err;
}

/* Ends what the item left open, and forgets it. */
static int
close_item(const struct step *t, int64_t item)
{
    struct stream *s = t->s;
    size_t kept = 0;
    int err = 0;
    for (size_t i = 0; i < s->open_count; i++) {
        if (s->open[i].item != item)
            s->open[kept++] = s->open[i];
        else if (!err)
            err = end_part(t, &s->open[i], NULL);
    }
    s->open_count = kept;
    return err;
}

static bool
is_done(const struct stream *s, int64_t item)
{
    return s->done[item / 8] >> (item % 8) & 1;
}

static int
finish_item(struct step *t, struct json_view item)
{
    if (t->item < 0 || t->item >= LIMIT_STREAM_ITEMS)
        return ERR_LIMIT;
    if (item.kind != JSON_MAP)
        return ERR_PROTOCOL;
    if (is_done(t->s, t->item))
        return 0;
    int err = finish_known(t, item);
    t->s->done[t->item / 8] |= (unsigned char)(1u << (t->item % 8));
    return err ? err : close_item(t, t->item);
}

static int
item_done(struct step *t)
{
    return finish_item(t, json_view_get(t->event, "item"));
}

/* --- deltas ----------------------------------------------------------------------------------- */

static int
delta_text(const struct step *t, struct slice *ret)
{
    return json_view_opt_text(json_view_get(t->event, "delta"), t->scratch, ret);
}

static int
begin_text(struct step *t, enum canon_part_kind kind, int64_t content, struct open_part **ret)
{
    struct canon_part part = {.kind = kind, .origin = DIALECT_RESPONSES};
    *ret = find(t->s, t->item, content);
    if (*ret)
        return 0;
    int err = json_view_opt_text(json_view_get(t->event, "item_id"), t->scratch, &part.id);
    if (kind != PART_REASONING)
        part.raw = message_extra(t->s);
    return err ? err : start_part(t, content, &part, ret);
}

static int
give_logprobs(const struct step *t)
{
    struct json_view list = json_view_get(t->event, "logprobs");
    if (list.kind != JSON_LIST || json_view_count(list) == 0)
        return 0;
    char *at = arena_printf(t->scratch, "{\"content\":%.*s,\"refusal\":null}", SLICE_ARG(list.raw));
    struct canon_event e = {.kind = EVENT_LOGPROBS, .text = slice_of(at)};
    return at ? give(t, &e) : ERR_NOMEM;
}

static int
content_delta(struct step *t, enum canon_part_kind kind)
{
    struct open_part *p;
    struct slice text;
    int err = delta_text(t, &text);
    if (err || text.len == 0)
        return err;
    err = begin_text(t, kind, t->content, &p);
    if (!err)
        err = give_delta(t, p, text);
    return err ? err : give_logprobs(t);
}

static int
text_delta(struct step *t)
{
    return content_delta(t, PART_TEXT);
}

static int
refusal_delta(struct step *t)
{
    return content_delta(t, PART_REFUSAL);
}

/* Of an item that tells both its reasoning and a summary of it, the one that began is shown. */
static int
thought(struct step *t, bool from_content)
{
    struct open_part *p = find(t->s, t->item, WHOLE_ITEM);
    bool begun = p != NULL;
    struct slice text;
    int err = delta_text(t, &text);
    if (err || text.len == 0 || (begun && p->from_content != from_content))
        return err;
    err = begin_text(t, PART_REASONING, WHOLE_ITEM, &p);
    if (err)
        return err;
    p->from_content = from_content;
    return give_delta(t, p, text);
}

static int
summary_delta(struct step *t)
{
    return thought(t, false);
}

static int
reasoning_delta(struct step *t)
{
    return thought(t, true);
}

/* Deltas of a call whose beginning was not told wait for the whole item. */
static int
call_delta(struct step *t)
{
    struct open_part *p = find(t->s, t->item, WHOLE_ITEM);
    struct slice text;
    int err = delta_text(t, &text);
    return err || !p || p->kind != PART_TOOL_CALL ? err : give_delta(t, p, text);
}

static int
annotation(struct step *t)
{
    struct canon_citation c;
    struct open_part *p = NULL;
    struct json_view at = json_view_get(t->event, "annotation");
    if (at.kind != JSON_MAP)
        return ERR_PROTOCOL;
    int err = responses_read_citation(at, t->scratch, &c);
    if (!err)
        err = begin_text(t, PART_TEXT, t->content, &p);
    return err || !p || p->ended ? err : give_citation(t, p, &c);
}

/* --- beginning and end ------------------------------------------------------------------------ */

static int
start(const struct step *t, struct json_view response)
{
    struct canon_event e = {.kind = EVENT_START, .of = {.origin = DIALECT_RESPONSES}};
    if (t->s->started)
        return 0;
    t->s->started = true;
    e.created_unix_s = json_view_int_or(json_view_get(response, "created_at"), 0);
    int err = json_view_opt_text(json_view_get(response, "id"), t->scratch, &e.id);
    if (!err)
        err = json_view_opt_text(json_view_get(response, "model"), t->scratch, &e.model);
    if (!err)
        err = json_view_opt_text(json_view_get(response, "service_tier"), t->scratch,
                                 &e.service_tier);
    return err ? err : give(t, &e);
}

static int
fill_in(struct step *t, struct json_view output)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view item;
    int err = 0;
    for (t->item = 0; !err && json_view_next(output, &cursor, &name, &item); t->item++)
        err = finish_item(t, item);
    while (!err && t->s->open_count)
        err = close_item(t, t->s->open[0].item);
    return err;
}

static int
terminal(struct step *t)
{
    struct json_view response = json_view_get(t->event, "response");
    struct canon_event finish = {.kind = EVENT_FINISH}, usage = {.kind = EVENT_USAGE};
    struct canon_event end = {.kind = EVENT_END};
    if (response.kind != JSON_MAP)
        return ERR_PROTOCOL;
    int err = fill_in(t, json_view_get(response, "output"));
    if (err)
        return err;
    finish.finish = responses_finish(response, t->s->has_calls, &finish.text);
    err = give(t, &finish);
    responses_read_usage(response, &usage.usage);
    if (!err && (usage.usage.seen || usage.usage.suspect))
        err = give(t, &usage);
    t->s->ended = true;
    return err ? err : give(t, &end);
}

static int
fail(const struct step *t, struct json_view error)
{
    struct canon_event e = {.kind = EVENT_ERROR};
    int err = responses_read_failure(error, t->scratch, &e.error);
    t->s->ended = true;
    return err ? err : give(t, &e);
}

/* --- events ----------------------------------------------------------------------------------- */

/* What is not here (signs of progress, what a later event tells whole) is passed over, as OpenAI
 * asks of its clients. */
static const struct {
    const char *type;
    int (*take)(struct step *t);
} kinds[] = {
    {"response.output_text.delta", text_delta},
    {"response.reasoning_summary_text.delta", summary_delta},
    {"response.reasoning_text.delta", reasoning_delta},
    {"response.function_call_arguments.delta", call_delta},
    {"response.custom_tool_call_input.delta", call_delta},
    {"response.refusal.delta", refusal_delta},
    {"response.output_text.annotation.added", annotation},
    {"response.output_item.done", item_done},
    {"response.completed", terminal},
    {"response.incomplete", terminal},
};

static int
dispatch(struct step *t, struct json_view type)
{
    struct json_view error = json_view_get(t->event, "error");
    if (json_view_is(type, "response.failed"))
        return fail(t, json_view_get(json_view_get(t->event, "response"), "error"));
    if (json_view_is(type, "error") || json_view_is_set(error))
        return fail(t, error.kind == JSON_MAP ? error : t->event);
    if (type.kind != JSON_TEXT)
        return ERR_PROTOCOL;
    int err = start(t, json_view_get(t->event, "response"));
    if (!err && json_view_is(type, "response.output_item.added"))
        return added(t);
    for (size_t i = 0; !err && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (json_view_is(type, kinds[i].type))
            return kinds[i].take(t);
    return err;
}

static int
decode_event(void *state, const struct wire_event *e, struct arena *scratch,
             const struct canon_sink *sink)
{
    struct stream *s = state;
    struct json_span root;
    struct json_error wrong;
    struct step t = {.s = s, .scratch = scratch, .sink = sink};
    if (s->ended || slice_is(e->data, "[DONE]"))
        return 0;
    if (json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &wrong) != 0 ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    t.event = json_view_of(e->data);
    t.item = json_view_int_or(json_view_get(t.event, "output_index"), 0);
    t.content = json_view_int_or(json_view_get(t.event, "content_index"), 0);
    if (t.item < 0 || t.content < 0)
        return ERR_PROTOCOL;
    int err = dispatch(&t, json_view_get(t.event, "type"));
    return err == ERR_SYNTAX ? ERR_PROTOCOL : err; /* a member of another kind than it should be */
}

static int
decode_init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    (void)state;
    (void)keep;
    (void)x;
    return 0;
}

static int
decode_end(void *state, const struct canon_sink *sink)
{
    (void)state;
    (void)sink;
    return ERR_TRUNCATED;
}

const struct dialect_decoder responses_decoder = {
    .state_bytes = sizeof(struct stream),
    .init = decode_init,
    .event = decode_event,
    .end = decode_end,
};
