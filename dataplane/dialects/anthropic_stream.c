/*
 * A provider's stream to events. Blocks are told apart by their index; a block that only Anthropic
 * understands is an item that is given whole, so that its input (which comes in pieces) is held
 * until its end. Everything else goes by at once.
 */
#include "dataplane/dialects/anthropic_internal.h"

#include <string.h>

#define LIMIT_OPEN_BLOCKS 16                     /* at a time; Anthropic's come one by one */
#define LIMIT_HELD_BLOCK_BYTES ((size_t)4 << 20) /* a hosted tool's call, a compaction */

/* Of a held block: how it began; its input, or its content, as far as it came. */
struct held {
    struct buf start, pieces;
};

struct block {
    bool used;
    bool holds;   /* an item whose members are still to come */
    bool is_json; /* the call that stands for structured output: its input is text */
    bool filled;  /* its input came whole with its start: pieces would repeat it */
    bool empty;   /* no piece of input came yet */
    enum canon_part_kind kind;
    int64_t index;
    unsigned part;
    struct held *held; /* stays with this place */
};

struct decoder {
    bool json_by_tool, started, ended, has_calls, has_reason;
    unsigned parts; /* given so far */
    struct slice reason, sequence;
    struct usage_report usage;
    struct block blocks[LIMIT_OPEN_BLOCKS];
    struct arena *keep, *scratch;
    const struct canon_sink *sink;
};

static void
free_held(void *ctx)
{
    struct held *all = ctx;
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++) {
        buf_free(&all[i].start);
        buf_free(&all[i].pieces);
    }
}

static int
init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    struct decoder *d = state;
    struct held *all = arena_zalloc(keep, LIMIT_OPEN_BLOCKS * sizeof(*all));
    if (!all)
        return ERR_NOMEM;
    d->keep = keep;
    d->json_by_tool = x->json_by_tool;
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++) {
        buf_init(&all[i].start, LIMIT_HELD_BLOCK_BYTES);
        buf_init(&all[i].pieces, LIMIT_HELD_BLOCK_BYTES);
        d->blocks[i].held = &all[i];
    }
    return arena_on_free(keep, free_held, all);
}

/* --- giving events ---------------------------------------------------------------------------- */

static int
give(struct decoder *d, const struct canon_event *e)
{
    return d->sink->take(d->sink->ctx, e);
}

static int
give_text(struct decoder *d, enum canon_event_kind kind, unsigned part, struct slice text)
{
    if (text.len == 0)
        return 0;
    return give(d, &(struct canon_event){.kind = kind, .part = part, .text = text});
}

static int
give_end(struct decoder *d, unsigned part)
{
    return give(d, &(struct canon_event){.kind = EVENT_PART_END, .part = part});
}

static int
give_usage(struct decoder *d)
{
    if (!d->usage.seen)
        return 0;
    return give(d, &(struct canon_event){.kind = EVENT_USAGE, .usage = d->usage});
}

static int
give_error(struct decoder *d, struct slice data)
{
    struct canon_event e = {.kind = EVENT_ERROR};
    int err = anthropic_read_error(&(struct dialect_fault){.body = data}, d->scratch, &e.error);
    d->ended = true;
    return err ? err : give(d, &e);
}

/* Begins a part and gives what of it is there already. */
static int
give_start(struct decoder *d, const struct canon_part *of, unsigned part)
{
    struct canon_event e = {.kind = EVENT_PART_START, .part = part, .of = *of};
    e.of.text = e.of.arguments = e.of.signature = (struct slice){0};
    e.of.citations = NULL;
    e.of.citation_count = 0;
    int err = give(d, &e);
    if (!err)
        err = give_text(d, EVENT_DELTA, part, of->text);
    for (size_t i = 0; i < of->citation_count && !err; i++)
        err = give(d, &(struct canon_event){
                          .kind = EVENT_CITATION, .part = part, .citation = of->citations[i]});
    return err ? err : give_text(d, EVENT_SIGNATURE, part, of->signature);
}

/* --- blocks ----------------------------------------------------------------------------------- */

static struct block *
find_block(struct decoder *d, int64_t index)
{
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++)
        if (d->blocks[i].used && d->blocks[i].index == index)
            return &d->blocks[i];
    return NULL;
}

static struct block *
free_block(struct decoder *d)
{
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS; i++)
        if (!d->blocks[i].used)
            return &d->blocks[i];
    return NULL;
}

/* Whether members of this item come later, in pieces. */
static bool
comes_in_pieces(struct json_view block)
{
    return json_view_is_set(json_view_get(block, "input")) ||
           json_view_is(json_view_get(block, "type"), "compaction");
}

static bool
is_empty_map(struct slice json)
{
    return json_view_count(json_view_of(json)) == 0;
}

static int
start_call(struct decoder *d, struct block *b, struct canon_part *part)
{
    struct slice input = part->arguments;
    b->is_json = d->json_by_tool && anthropic_is_json_call(part);
    b->filled = input.len && !is_empty_map(input);
    b->empty = !b->filled;
    d->has_calls |= !b->is_json;
    if (b->is_json)
        *part = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_ANTHROPIC};
    int err = give_start(d, part, b->part);
    return err || !b->filled ? err : give_text(d, EVENT_DELTA, b->part, input);
}

static int
start_block(struct decoder *d, struct json_view index, struct json_view content)
{
    struct canon_part part;
    int64_t n;
    struct block *b = free_block(d);
    if (!d->started || json_view_int(index, &n) != 0 || n < 0 || find_block(d, n))
        return ERR_PROTOCOL;
    if (!b)
        return ERR_LIMIT;
    int err = anthropic_read_block(content, d->scratch, &part);
    if (err)
        return err;
    *b = (struct block){.used = true, .index = n, .kind = part.kind, .held = b->held};
    b->holds = part.kind == PART_OPAQUE && comes_in_pieces(content);
    if (b->holds) {
        buf_clear(&b->held->start);
        buf_clear(&b->held->pieces);
        return buf_add_slice(&b->held->start, content.raw);
    }
    b->part = d->parts++;
    return part.kind == PART_TOOL_CALL ? start_call(d, b, &part) : give_start(d, &part, b->part);
}

/* The held block with what came in pieces in its place. What does not parse was cut off by the
 * provider, and is no input to replay. */
static int
complete(struct block *b, struct arena *a, struct slice *ret)
{
    struct json_view block = json_view_of(buf_slice(&b->held->start)), value;
    struct json_error why;
    struct slice name, pieces = buf_slice(&b->held->pieces);
    struct buf whole;
    size_t cursor = 0;
    bool is_compaction = json_view_is(json_view_get(block, "type"), "compaction");
    bool use = pieces.len && (is_compaction || json_scan(pieces, &json_limits_default, NULL, 0,
                                                         NULL, NULL, &why) == 0);
    int err = 0;
    buf_init(&whole, 0);
    while (!err && json_view_next(block, &cursor, &name, &value)) {
        err = buf_addf(&whole, "%c\"%.*s\":", whole.len ? ',' : '{', SLICE_ARG(name));
        bool replace = use && slice_is(name, is_compaction ? "content" : "input");
        if (!err && replace && is_compaction)
            err = json_quote(&whole, pieces);
        else if (!err)
            err = buf_add_slice(&whole, replace ? pieces : value.raw);
    }
    if (!err)
        err = buf_add_str(&whole, "}");
    *ret = err ? slice_none() : arena_copy(a, buf_slice(&whole));
    buf_free(&whole);
    return err ? err : ret->at ? 0 : ERR_NOMEM;
}

static int
stop_held(struct decoder *d, struct block *b)
{
    struct slice whole;
    struct canon_part part;
    int err = complete(b, d->scratch, &whole);
    if (!err)
        err = anthropic_read_block(json_view_of(whole), d->scratch, &part);
    if (err)
        return err;
    b->part = d->parts++;
    err = give_start(d, &part, b->part);
    return err ? err : give_end(d, b->part);
}

static int
stop_block(struct decoder *d, struct block *b)
{
    b->used = false;
    if (b->holds)
        return stop_held(d, b);
    int err = b->is_json && b->empty ? give_text(d, EVENT_DELTA, b->part, SLICE("{}")) : 0;
    return err ? err : give_end(d, b->part);
}

/* --- deltas ----------------------------------------------------------------------------------- */

enum {
    DELTA_TYPE,
    DELTA_TEXT,
    DELTA_JSON,
    DELTA_THINKING,
    DELTA_SIGNATURE,
    DELTA_CONTENT,
    DELTA_CITATION,
    DELTA_MEMBERS
};
static const char *const delta_members[DELTA_MEMBERS] = {
    "type", "text", "partial_json", "thinking", "signature", "content", "citation"};

/* The kinds of deltas: which member holds it, for which part, and what it becomes. */
static const struct delta_row {
    const char *type;
    int member;
    enum canon_part_kind kind;
    enum canon_event_kind event;
} delta_rows[] = {
    {"text_delta", DELTA_TEXT, PART_TEXT, EVENT_DELTA},
    {"input_json_delta", DELTA_JSON, PART_TOOL_CALL, EVENT_DELTA},
    {"thinking_delta", DELTA_THINKING, PART_REASONING, EVENT_DELTA},
    {"signature_delta", DELTA_SIGNATURE, PART_REASONING, EVENT_SIGNATURE},
    {"compaction_delta", DELTA_CONTENT, PART_OPAQUE, EVENT_DELTA},
};

static int
take_citation(struct decoder *d, struct block *b, struct json_view v)
{
    struct canon_event e = {.kind = EVENT_CITATION, .part = b->part};
    if (b->kind != PART_TEXT || v.kind != JSON_MAP)
        return ERR_PROTOCOL;
    int err = anthropic_read_citation(v, d->scratch, &e.citation);
    return err ? err : give(d, &e);
}

static int
take_piece(struct decoder *d, struct block *b, const struct delta_row *row, struct json_view v)
{
    struct slice text;
    int err = json_view_opt_text(v, d->scratch, &text);
    if (err)
        return err;
    if (b->holds)
        return buf_add_slice(&b->held->pieces, text);
    if (b->kind != row->kind)
        return b->kind == PART_OPAQUE ? 0 : ERR_PROTOCOL;
    if (b->filled && b->kind == PART_TOOL_CALL)
        return 0;
    b->empty = b->empty && text.len == 0;
    return give_text(d, row->event, b->part, text);
}

static int
take_delta(struct decoder *d, struct json_view index, struct json_view delta)
{
    struct json_view at[DELTA_MEMBERS];
    struct block *b = find_block(d, json_view_int_or(index, -1));
    if (!b || delta.kind != JSON_MAP)
        return ERR_PROTOCOL;
    json_view_fields(delta, delta_members, DELTA_MEMBERS, at);
    if (json_view_is(at[DELTA_TYPE], "citations_delta"))
        return take_citation(d, b, at[DELTA_CITATION]);
    for (size_t i = 0; i < sizeof(delta_rows) / sizeof(delta_rows[0]); i++)
        if (json_view_is(at[DELTA_TYPE], delta_rows[i].type))
            return take_piece(d, b, &delta_rows[i], at[delta_rows[i].member]);
    return 0; /* a later kind */
}

/* --- the message ------------------------------------------------------------------------------ */

/* Keeps why it ended; what is said twice is kept once. */
static int
take_reason(struct decoder *d, struct json_view reason, struct json_view sequence,
            struct json_view details)
{
    struct slice word, stop;
    if (d->has_reason || reason.kind != JSON_TEXT)
        return 0;
    int err = json_view_text(reason, d->scratch, &word);
    if (!err)
        err = json_view_opt_text(sequence, d->scratch, &stop);
    if (err)
        return err;
    d->has_reason = true;
    d->reason = arena_copy(d->keep, word);
    d->sequence = stop.at ? arena_copy(d->keep, stop) : stop;
    if (!d->reason.at || (stop.at && !d->sequence.at))
        return ERR_NOMEM;
    struct json_view words = json_view_get(details, "explanation");
    if (words.kind != JSON_TEXT || anthropic_finish_of(word, false) != FINISH_REFUSAL)
        return 0;
    struct canon_part part = {.kind = PART_REFUSAL, .origin = DIALECT_ANTHROPIC};
    err = json_view_text(words, d->scratch, &part.text);
    unsigned n = d->parts++;
    if (!err)
        err = give_start(d, &part, n);
    return err ? err : give_end(d, n);
}

/* Blocks that stand in message_start already: nothing more is said of them. */
static int
take_content(struct decoder *d, struct json_view content)
{
    size_t cursor = 0;
    int err = 0;
    struct slice name;
    struct json_view block;
    while (!err && json_view_next(content, &cursor, &name, &block)) {
        struct canon_part part;
        struct block b = {.part = d->parts};
        err = anthropic_read_block(block, d->scratch, &part);
        if (err)
            break;
        d->parts++;
        err = part.kind == PART_TOOL_CALL ? start_call(d, &b, &part) : give_start(d, &part, b.part);
        if (!err && b.is_json && b.empty)
            err = give_text(d, EVENT_DELTA, b.part, SLICE("{}"));
        if (!err)
            err = give_end(d, b.part);
    }
    return err;
}

enum {
    MESSAGE_ID,
    MESSAGE_MODEL,
    MESSAGE_CONTENT,
    MESSAGE_REASON,
    MESSAGE_SEQUENCE,
    MESSAGE_DETAILS,
    MESSAGE_USAGE,
    MESSAGE_MEMBERS
};
static const char *const message_members[MESSAGE_MEMBERS] = {
    "id", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"};

static int
start_message(struct decoder *d, struct json_view message)
{
    struct canon_event e = {.kind = EVENT_START, .of.origin = DIALECT_ANTHROPIC};
    struct json_view at[MESSAGE_MEMBERS];
    if (message.kind != JSON_MAP)
        return ERR_PROTOCOL;
    json_view_fields(message, message_members, MESSAGE_MEMBERS, at);
    anthropic_begin_usage(message, &d->usage);
    if (d->started)
        return give_usage(d); /* said twice by a proxy */
    d->started = true;
    int err = json_view_opt_text(at[MESSAGE_ID], d->scratch, &e.id);
    if (!err)
        err = json_view_opt_text(at[MESSAGE_MODEL], d->scratch, &e.model);
    if (!err)
        err = json_view_opt_text(json_view_get(at[MESSAGE_USAGE], "service_tier"), d->scratch,
                                 &e.service_tier);
    if (!err)
        err = give(d, &e);
    if (!err)
        err = take_content(d, at[MESSAGE_CONTENT]);
    if (!err)
        err = take_reason(d, at[MESSAGE_REASON], at[MESSAGE_SEQUENCE], at[MESSAGE_DETAILS]);
    return err ? err : give_usage(d);
}

static int
take_message_delta(struct decoder *d, struct json_view delta, struct json_view usage)
{
    struct json_view at[MESSAGE_MEMBERS];
    if (!d->started)
        return ERR_PROTOCOL;
    json_view_fields(delta, message_members, MESSAGE_MEMBERS, at);
    anthropic_take_usage(usage, &d->usage);
    int err = take_reason(d, at[MESSAGE_REASON], at[MESSAGE_SEQUENCE], at[MESSAGE_DETAILS]);
    return err ? err : give_usage(d);
}

static int
stop_message(struct decoder *d)
{
    int err = d->started ? 0 : ERR_PROTOCOL;
    for (size_t i = 0; i < LIMIT_OPEN_BLOCKS && !err; i++)
        if (d->blocks[i].used)
            err = stop_block(d, &d->blocks[i]);
    if (!err)
        err = give(d, &(struct canon_event){
                          .kind = EVENT_FINISH,
                          .finish = anthropic_finish_of(d->reason, d->has_calls),
                          .text = d->reason,
                          .stop_sequence = d->sequence,
                      });
    d->ended = true;
    return err ? err : give(d, &(struct canon_event){.kind = EVENT_END});
}

/* --- events ----------------------------------------------------------------------------------- */

enum { EV_TYPE, EV_MESSAGE, EV_INDEX, EV_BLOCK, EV_DELTA, EV_USAGE, EV_ERROR, EV_MEMBERS };
static const char *const event_members[EV_MEMBERS] = {"type",  "message", "index", "content_block",
                                                      "delta", "usage",   "error"};

static int
dispatch(struct decoder *d, enum anthropic_event kind, const struct json_view *at,
         struct slice data)
{
    struct block *b;
    switch (kind) {
    case ANTHROPIC_MESSAGE_START:
        return start_message(d, at[EV_MESSAGE]);
    case ANTHROPIC_BLOCK_START:
        return start_block(d, at[EV_INDEX], at[EV_BLOCK]);
    case ANTHROPIC_BLOCK_DELTA:
        return take_delta(d, at[EV_INDEX], at[EV_DELTA]);
    case ANTHROPIC_BLOCK_STOP:
        b = find_block(d, json_view_int_or(at[EV_INDEX], -1));
        return b ? stop_block(d, b) : ERR_PROTOCOL;
    case ANTHROPIC_MESSAGE_DELTA:
        return take_message_delta(d, at[EV_DELTA], at[EV_USAGE]);
    case ANTHROPIC_MESSAGE_STOP:
        return stop_message(d);
    case ANTHROPIC_ERROR:
        return give_error(d, data);
    case ANTHROPIC_UNKNOWN: /* an error of a proxy between, in a shape of its own */
        return json_view_is_set(at[EV_ERROR]) ? give_error(d, data) : 0;
    default:
        return 0;
    }
}

static int
event(void *state, const struct wire_event *e, struct arena *scratch, const struct canon_sink *sink)
{
    struct decoder *d = state;
    struct json_span spans[EV_MEMBERS], root;
    struct json_view at[EV_MEMBERS];
    struct json_error why;
    if (d->ended)
        return 0;
    d->scratch = scratch;
    d->sink = sink;
    int err =
        json_scan(e->data, &json_limits_default, event_members, EV_MEMBERS, spans, &root, &why);
    if (err || root.kind != JSON_MAP)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    for (int i = 0; i < EV_MEMBERS; i++)
        at[i] = json_view_at(e->data, spans[i]);
    err = dispatch(d, anthropic_event_of(at[EV_TYPE], e->name), at, e->data);
    return err == ERR_SYNTAX ? ERR_PROTOCOL : err;
}

static int
end(void *state, const struct canon_sink *sink)
{
    (void)state;
    (void)sink;
    return ERR_TRUNCATED; /* message_stop is the only terminal */
}

const struct dialect_decoder anthropic_decoder = {
    .state_bytes = sizeof(struct decoder),
    .init = init,
    .event = event,
    .end = end,
};
