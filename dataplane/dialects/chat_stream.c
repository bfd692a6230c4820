/*
 * The answers of chat providers as canonical events. A whole answer is read as a stream of one
 * chunk, so that both are the same.
 */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/chat_think.h"
#include "dataplane/dialects/compat.h"
#include "dataplane/dialects/openai.h"
#include "lib/base/map.h"

#include <string.h>

#define LIMIT_STREAM_CHOICES 128
#define LIMIT_STREAM_CALLS 1024      /* of one choice */
#define LIMIT_SOURCES_BYTES 65536    /* a list of sources that is told beside the text */
#define LIMIT_NATIVE_FINISH_BYTES 32 /* a longer word is cut */
#define LIMIT_STOP_BYTES 256
#define NO_PART (-1)

struct call {
    int64_t index; /* as the provider counts; -1: it does not */
    uint64_t id;   /* its hash; 0: none came */
    int part;
};

struct choice {
    unsigned number, parts;              /* parts: the next one's number */
    int text, reasoning, refusal, audio; /* the open ones, or NO_PART */
    int64_t detail; /* of the open reasoning: its index among reasoning_details */
    struct call *calls;
    size_t call_count, call_cap;
    struct think think;
    bool ended_word; /* a finish reason came */
    enum canon_finish finish;
    char native[LIMIT_NATIVE_FINISH_BYTES];
    size_t native_len;
    char stop[LIMIT_STOP_BYTES];
    size_t stop_len;
    char expires[24]; /* of the open sound */
};

struct decoder {
    struct arena *keep;
    const struct compat *compat;
    int64_t asked; /* how many choices were asked for; more are passed over */
    struct choice *choices[LIMIT_STREAM_CHOICES];
    struct usage_report usage;
    struct slice sources; /* JSON: Perplexity's search_results, or citations */
    bool started, over;

    /* during an event */
    struct arena *scratch;
    const struct canon_sink *sink;
};

static int
tell(struct decoder *d, const struct canon_event *e)
{
    return d->sink->take(d->sink->ctx, e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static int
begin_part(struct decoder *d, struct choice *c, const struct canon_part *of, int *ret_part)
{
    struct canon_event e = {
        .kind = EVENT_PART_START, .choice = c->number, .part = c->parts, .of = *of};
    *ret_part = (int)c->parts++;
    return tell(d, &e);
}

static int
more(struct decoder *d, const struct choice *c, int part, enum canon_event_kind kind,
     struct slice text)
{
    if (text.len == 0)
        return 0;
    return tell(d, &(struct canon_event){
                       .kind = kind, .choice = c->number, .part = (unsigned)part, .text = text});
}

static int
end_part(struct decoder *d, const struct choice *c, int *part)
{
    if (*part == NO_PART)
        return 0;
    struct canon_event e = {.kind = EVENT_PART_END, .choice = c->number, .part = (unsigned)*part};
    if (part == &c->audio)
        e.of.media.expires = slice_of(c->expires[0] ? c->expires : NULL);
    *part = NO_PART;
    return tell(d, &e);
}

/* Text, reasoning and refusals come one after the other: what begins ends the others. */
static int
end_others(struct decoder *d, struct choice *c, const int *but)
{
    int *const open[] = {&c->reasoning, &c->text, &c->refusal};
    int err = 0;
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]) && !err; i++)
        if (open[i] != but)
            err = end_part(d, c, open[i]);
    return err;
}

static int
take_piece(struct decoder *d, struct choice *c, int *open, enum canon_part_kind kind,
           struct slice text)
{
    int err = 0;
    if (text.len == 0)
        return 0;
    if (*open == NO_PART) {
        err = end_others(d, c, open);
        if (!err)
            err =
                begin_part(d, c, &(struct canon_part){.kind = kind, .origin = DIALECT_CHAT}, open);
        c->detail = -1;
    }
    return err ? err : more(d, c, *open, EVENT_DELTA, text);
}

/* --- text ------------------------------------------------------------------------------------- */

struct text_to {
    struct decoder *d;
    struct choice *c;
};

static int
take_run(void *ctx, bool is_reasoning, struct slice text)
{
    struct text_to *to = ctx;
    int *open = is_reasoning ? &to->c->reasoning : &to->c->text;
    return take_piece(to->d, to->c, open, is_reasoning ? PART_REASONING : PART_TEXT, text);
}

static int
take_text(struct decoder *d, struct choice *c, struct json_view v)
{
    struct slice text;
    int err = json_view_text(v, d->scratch, &text);
    if (err)
        return err;
    if (d->compat->think_tags)
        return think_take(&c->think, text, take_run, &(struct text_to){d, c});
    return take_piece(d, c, &c->text, PART_TEXT, text);
}

/* A text that may be absent, null or of another kind: then it is empty. */
static int
any_text(struct decoder *d, struct json_view v, struct slice *ret)
{
    *ret = (struct slice){0};
    return v.kind == JSON_TEXT ? json_view_text(v, d->scratch, ret) : 0;
}

/* The part that what is said about the text belongs to. */
static int
reach_text(struct decoder *d, struct choice *c)
{
    if (c->text != NO_PART)
        return 0;
    int err = end_others(d, c, &c->text);
    if (err)
        return err;
    return begin_part(d, c, &(struct canon_part){.kind = PART_TEXT, .origin = DIALECT_CHAT},
                      &c->text);
}

static int
cite(struct decoder *d, struct choice *c, const struct canon_citation *citation)
{
    int err = reach_text(d, c);
    if (err)
        return err;
    return tell(d, &(struct canon_event){.kind = EVENT_CITATION,
                                         .choice = c->number,
                                         .part = (unsigned)c->text,
                                         .citation = *citation});
}

static int
take_image(struct decoder *d, struct choice *c, struct json_view entry)
{
    struct json_view url = json_view_get(entry, "image_url");
    struct canon_part image = {.kind = PART_IMAGE, .origin = DIALECT_CHAT};
    struct slice text;
    int part, err;
    if (url.kind == JSON_MAP)
        url = json_view_get(url, "url");
    err = any_text(d, url, &text);
    if (err || !text.len)
        return err;
    if (!canon_data_url(text, &image.media.mime, &image.media.data))
        image.media.url = text;
    err = end_others(d, c, NULL);
    if (!err)
        err = begin_part(d, c, &image, &part);
    return err ? err : end_part(d, c, &part);
}

/* Mistral's thinking: a list of texts. */
static int
take_thinking(struct decoder *d, struct choice *c, struct json_view thinking)
{
    struct json_view item = thinking;
    struct slice name, text;
    size_t cursor = 0;
    int err = 0;
    if (thinking.kind == JSON_TEXT) {
        err = any_text(d, thinking, &text);
        return err ? err : take_piece(d, c, &c->reasoning, PART_REASONING, text);
    }
    while (!err && json_view_next(thinking, &cursor, &name, &item)) {
        err = any_text(d, json_view_get(item, "text"), &text);
        if (!err)
            err = take_piece(d, c, &c->reasoning, PART_REASONING, text);
    }
    return err;
}

static int
take_content_part(struct decoder *d, struct choice *c, struct json_view part)
{
    struct json_view type = json_view_get(part, "type"), text = json_view_get(part, "text");
    if (json_view_is(type, "thinking"))
        return take_thinking(d, c, json_view_get(part, "thinking"));
    if (json_view_is(type, "image_url"))
        return take_image(d, c, part);
    if (json_view_is(type, "reference"))
        return cite(d, c,
                    &(struct canon_citation){
                        .start = -1, .end = -1, .origin = DIALECT_CHAT, .raw = part.raw});
    return text.kind == JSON_TEXT ? take_text(d, c, text) : 0;
}

static int
take_content(struct decoder *d, struct choice *c, struct json_view content)
{
    struct slice name;
    struct json_view part;
    size_t cursor = 0;
    int err = 0;
    if (content.kind == JSON_TEXT)
        return take_text(d, c, content);
    while (!err && json_view_next(content, &cursor, &name, &part))
        err = take_content_part(d, c, part);
    return err;
}

static int
take_annotations(struct decoder *d, struct choice *c, struct json_view list)
{
    const struct canon_citation *citations;
    size_t count;
    int err = chat_read_annotations(d->scratch, list, &citations, &count);
    for (size_t i = 0; i < count && !err; i++)
        err = cite(d, c, &citations[i]);
    return err;
}

/* --- reasoning -------------------------------------------------------------------------------- */

/* A gateway of our kind told an item of its provider's. */
static int
take_item(struct decoder *d, struct choice *c, struct json_view entry, enum dialect_id origin)
{
    struct canon_part item = {
        .kind = PART_OPAQUE, .origin = origin, .raw = json_view_get(entry, "item").raw};
    int part, err = end_others(d, c, NULL);
    if (!err)
        err = begin_part(d, c, &item, &part);
    return err ? err : end_part(d, c, &part);
}

static int
begin_detail(struct decoder *d, struct choice *c, struct json_view entry, bool known,
             struct canon_part *of)
{
    int err = any_text(d, json_view_get(entry, "id"), &of->id);
    if (!err)
        err = any_text(d, json_view_get(entry, "data"), &of->encrypted);
    if (!err && !known)
        err = chat_detail_rest(d->scratch, entry, &of->raw);
    if (!err)
        err = end_part(d, c, &c->reasoning);
    if (!err)
        err = end_others(d, c, &c->reasoning);
    return err ? err : begin_part(d, c, of, &c->reasoning);
}

static int
take_detail(struct decoder *d, struct choice *c, struct json_view entry)
{
    struct json_view text = json_view_get(entry, "text"), format = json_view_get(entry, "format");
    struct canon_part of = {.kind = PART_REASONING, .origin = DIALECT_CHAT};
    int64_t index = json_view_int_or(json_view_get(entry, "index"), 0);
    struct slice name, piece = {0}, signature = {0};
    int err = any_text(d, format, &name);
    if (err || entry.kind != JSON_MAP)
        return err;
    bool known = name.len && carry_parse_name(name, &of.origin) == 0;
    bool is_whole = json_view_get(entry, "data").kind == JSON_TEXT;
    if (json_view_is(json_view_get(entry, "type"), "opaque") && known)
        return take_item(d, c, entry, of.origin);
    if (c->reasoning == NO_PART || c->detail != index || is_whole) {
        err = begin_detail(d, c, entry, known, &of);
        c->detail = index;
    }
    if (!err)
        err = any_text(d, text.kind == JSON_TEXT ? text : json_view_get(entry, "summary"), &piece);
    if (!err)
        err = any_text(d, json_view_get(entry, "signature"), &signature);
    if (!err)
        err = more(d, c, c->reasoning, EVENT_DELTA, piece);
    if (!err)
        err = more(d, c, c->reasoning, EVENT_SIGNATURE, signature);
    return err;
}

/* Under whichever of its names; the details say the same again, and more. */
static int
take_reasoning(struct decoder *d, struct choice *c, struct json_view delta)
{
    struct json_view details = json_view_get(delta, "reasoning_details"),
                     text = json_view_get(delta, "reasoning_content"), entry;
    struct slice name, piece;
    size_t cursor = 0;
    int err = 0;
    if (details.kind == JSON_LIST && json_view_count(details)) {
        while (!err && json_view_next(details, &cursor, &name, &entry))
            err = take_detail(d, c, entry);
        return err;
    }
    if (text.kind != JSON_TEXT)
        text = json_view_get(delta, "reasoning");
    err = any_text(d, text, &piece);
    return err ? err : take_piece(d, c, &c->reasoning, PART_REASONING, piece);
}

/* --- calls ------------------------------------------------------------------------------------ */

static struct call *
add_call(struct decoder *d, struct choice *c)
{
    if (c->call_count == LIMIT_STREAM_CALLS)
        return NULL;
    if (c->call_count == c->call_cap) {
        size_t cap = c->call_cap ? 2 * c->call_cap : 4;
        struct call *at = arena_alloc(d->keep, cap * sizeof(*at));
        if (!at)
            return NULL;
        if (c->calls)
            memcpy(at, c->calls, c->call_count * sizeof(*at));
        c->calls = at;
        c->call_cap = cap;
    }
    return &c->calls[c->call_count++];
}

/* Which call a delta is of: that of its index, unless another id and a name say that a new one
 * begins; without an index that of its id; with neither the last one. NULL: a new one. */
static struct call *
find_call(struct choice *c, int64_t index, uint64_t id, bool has_name)
{
    for (size_t i = c->call_count; i-- > 0;) {
        struct call *call = &c->calls[i];
        bool other_id = id && call->id && id != call->id;
        if (index >= 0 && call->index == index)
            return other_id && has_name ? NULL : call;
        if (index < 0 && id && id == call->id)
            return call;
    }
    if (index >= 0 || id || has_name || c->call_count == 0)
        return NULL;
    return &c->calls[c->call_count - 1];
}

struct given_call {
    struct slice id, name, arguments, signature;
    int64_t index;
    bool custom;
};

static int
begin_call(struct decoder *d, struct choice *c, struct call *call, const struct given_call *g)
{
    struct canon_part of = {.kind = PART_TOOL_CALL,
                            .origin = DIALECT_CHAT,
                            .id = g->id,
                            .name = g->name,
                            .custom = g->custom};
    if (g->signature.len) {
        of.signature = g->signature;
        of.origin = DIALECT_GEMINI;
    } else {
        canon_unpack_id(d->scratch, g->id, &of.id, &of.origin, &of.signature);
    }
    if (of.id.len == 0)
        of.id = canon_mint_id(d->scratch, "call_");
    if (!of.id.at)
        return ERR_NOMEM;
    int err = end_others(d, c, NULL);
    return err ? err : begin_part(d, c, &of, &call->part);
}

static int
take_given(struct decoder *d, struct choice *c, const struct given_call *g)
{
    uint64_t id = g->id.len ? map_hash(g->id.at, g->id.len) | 1 : 0;
    struct call *call = find_call(c, g->index, id, g->name.len > 0);
    int err = 0;
    if (!call) {
        call = add_call(d, c);
        if (!call)
            return c->call_count == LIMIT_STREAM_CALLS ? ERR_LIMIT : ERR_NOMEM;
        *call = (struct call){.index = g->index, .id = id, .part = NO_PART};
    }
    if (call->part == NO_PART)
        err = begin_call(d, c, call, g);
    return err ? err : more(d, c, call->part, EVENT_DELTA, g->arguments);
}

static int
read_signature(struct decoder *d, struct json_view of, struct slice *ret)
{
    struct json_view google = json_view_get(json_view_get(of, "extra_content"), "google");
    return any_text(d, json_view_get(google, "thought_signature"), ret);
}

static int
take_call(struct decoder *d, struct choice *c, struct json_view v, struct slice *signature)
{
    struct json_view of = json_view_get(v, "function"), arguments;
    struct given_call g = {.index = json_view_int_or(json_view_get(v, "index"), -1)};
    if (of.kind != JSON_MAP && json_view_get(v, "custom").kind == JSON_MAP) {
        of = json_view_get(v, "custom");
        g.custom = true;
    }
    arguments = json_view_get(of, g.custom ? "input" : "arguments");
    int err = any_text(d, json_view_get(v, "id"), &g.id);
    if (!err)
        err = any_text(d, json_view_get(of, "name"), &g.name);
    if (!err && arguments.kind == JSON_MAP)
        g.arguments = arguments.raw; /* an object where a text belongs */
    else if (!err)
        err = any_text(d, arguments, &g.arguments);
    if (!err)
        err = read_signature(d, v, &g.signature);
    if (!g.signature.len)
        g.signature = *signature; /* Google's may stand beside the calls: of the first */
    *signature = (struct slice){0};
    return err ? err : take_given(d, c, &g);
}

static int
take_calls(struct decoder *d, struct choice *c, struct json_view delta)
{
    struct json_view list = json_view_get(delta, "tool_calls"), call,
                     function = json_view_get(delta, "function_call");
    struct slice name, signature;
    size_t cursor = 0;
    int err = read_signature(d, delta, &signature);
    while (!err && json_view_next(list, &cursor, &name, &call))
        if (call.kind == JSON_MAP)
            err = take_call(d, c, call, &signature);
    if (err || function.kind != JSON_MAP)
        return err;
    struct given_call g = {.index = 0};
    err = any_text(d, json_view_get(function, "name"), &g.name);
    if (!err)
        err = any_text(d, json_view_get(function, "arguments"), &g.arguments);
    bool is_empty = !g.name.len && !g.arguments.len; /* Snowflake's, in every message */
    return err || is_empty ? err : take_given(d, c, &g);
}

/* --- sound ------------------------------------------------------------------------------------ */

static int
take_audio(struct decoder *d, struct choice *c, struct json_view audio)
{
    struct canon_part of = {.kind = PART_AUDIO, .origin = DIALECT_CHAT};
    struct json_view expires = json_view_get(audio, "expires_at");
    struct slice data = {0}, transcript = {0};
    int err = any_text(d, json_view_get(audio, "data"), &data);
    if (!err)
        err = any_text(d, json_view_get(audio, "transcript"), &transcript);
    if (!err)
        err = any_text(d, json_view_get(audio, "id"), &of.media.id);
    if (err || (c->audio == NO_PART && !data.len && !transcript.len && !of.media.id.len))
        return err;
    if (c->audio == NO_PART)
        err = begin_part(d, c, &of, &c->audio);
    if (!err)
        err = more(d, c, c->audio, EVENT_DATA, data);
    if (!err)
        err = more(d, c, c->audio, EVENT_DELTA, transcript);
    if (expires.kind == JSON_NUMBER && expires.raw.len < sizeof(c->expires)) {
        memcpy(c->expires, expires.raw.at, expires.raw.len);
        c->expires[expires.raw.len] = 0;
    }
    return err;
}

/* --- why it ended ----------------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum canon_finish finish;
} finishes[] = {
    {"stop", FINISH_STOP},
    {"eos", FINISH_STOP}, /* Together */
    {"length", FINISH_LENGTH},
    {"max_tokens", FINISH_LENGTH},   /* OpenAI's first vision models */
    {"model_length", FINISH_LENGTH}, /* Mistral */
    {"tool_calls", FINISH_TOOL_CALLS},
    {"function_call", FINISH_TOOL_CALLS},
    {"content_filter", FINISH_CONTENT_FILTER},
    {"sensitive", FINISH_CONTENT_FILTER}, /* Z.AI */
    {"error", FINISH_ERROR},              /* OpenRouter, Mistral */
    {"network_error", FINISH_ERROR},
    {"insufficient_system_resource", FINISH_ERROR}, /* DeepSeek */
};

/* Said twice (OpenRouter), the first one counts. */
static int
take_finish(struct decoder *d, struct choice *c, struct json_view choice)
{
    struct json_view reason = json_view_get(choice, "finish_reason"),
                     stop = json_view_get(choice, "stop_reason");
    struct slice word, text;
    if (!json_view_is_set(reason))
        reason = json_view_get(json_view_get(choice, "finish_details"), "type");
    int err = any_text(d, reason, &word);
    if (!err)
        err = any_text(d, stop, &text); /* vLLM: the text that it stopped at */
    if (err || !word.len || c->ended_word)
        return err;
    c->ended_word = true;
    c->finish = FINISH_STOP;
    for (size_t i = 0; i < sizeof(finishes) / sizeof(finishes[0]); i++)
        if (slice_is(word, finishes[i].word))
            c->finish = finishes[i].finish;
    c->native_len = word.len < sizeof(c->native) ? word.len : sizeof(c->native);
    memcpy(c->native, word.at, c->native_len);
    if (c->finish == FINISH_STOP && text.len && text.len <= sizeof(c->stop)) {
        c->finish = FINISH_STOP_SEQUENCE;
        memcpy(c->stop, text.at, text.len);
        c->stop_len = text.len;
    }
    return 0;
}

/* Perplexity tells its sources beside the choices, in every chunk: they belong to the text. */
static int
cite_sources(struct decoder *d, struct choice *c)
{
    struct json_view list = json_view_of(d->sources), one;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    while (!err && json_view_next(list, &cursor, &name, &one)) {
        struct canon_citation source = {.start = -1, .end = -1, .origin = DIALECT_CHAT};
        err = any_text(d, one.kind == JSON_MAP ? json_view_get(one, "url") : one, &source.url);
        if (!err)
            err = any_text(d, json_view_get(one, "title"), &source.title);
        if (!err && source.url.len)
            err = cite(d, c, &source);
    }
    return err;
}

static int
finish_choice(struct decoder *d, struct choice *c)
{
    int err = think_end(&c->think, take_run, &(struct text_to){d, c});
    if (!err && d->sources.len && c->number == 0)
        err = cite_sources(d, c);
    if (!err)
        err = end_others(d, c, NULL);
    if (!err)
        err = end_part(d, c, &c->audio);
    for (size_t i = 0; i < c->call_count && !err; i++)
        err = end_part(d, c, &c->calls[i].part);
    bool is_plain = c->finish == FINISH_NONE || c->finish == FINISH_STOP;
    enum canon_finish finish = is_plain ? FINISH_STOP : c->finish;
    if (is_plain && c->call_count)
        finish = FINISH_TOOL_CALLS;
    if (err)
        return err;
    return tell(d, &(struct canon_event){.kind = EVENT_FINISH,
                                         .choice = c->number,
                                         .finish = finish,
                                         .text = slice_make(c->native, c->native_len),
                                         .stop_sequence = slice_make(c->stop, c->stop_len)});
}

/* --- chunks ----------------------------------------------------------------------------------- */

static int
start(struct decoder *d, struct json_view root)
{
    struct canon_event e = {.kind = EVENT_START, .of = {.origin = DIALECT_CHAT}};
    if (d->started)
        return 0;
    d->started = true;
    int err = any_text(d, json_view_get(root, "id"), &e.id);
    if (!err)
        err = any_text(d, json_view_get(root, "model"), &e.model);
    if (!err)
        err = any_text(d, json_view_get(root, "service_tier"), &e.service_tier);
    if (!err)
        err = any_text(d, json_view_get(root, "system_fingerprint"), &e.fingerprint);
    e.created_unix_s = json_view_int_or(json_view_get(root, "created"), 0);
    if (e.created_unix_s < 0)
        e.created_unix_s = 0;
    return err ? err : tell(d, &e);
}

static int
take_logprobs(struct decoder *d, struct choice *c, struct json_view logprobs)
{
    if (json_view_get(logprobs, "content").kind != JSON_LIST &&
        json_view_get(logprobs, "refusal").kind != JSON_LIST)
        return 0;
    return tell(d, &(struct canon_event){
                       .kind = EVENT_LOGPROBS, .choice = c->number, .text = logprobs.raw});
}

/* delta, or a whole message. */
static int
take_delta(struct decoder *d, struct choice *c, struct json_view delta)
{
    struct json_view image, images = json_view_get(delta, "images");
    struct slice name, refusal = {0};
    size_t cursor = 0;
    int err = take_reasoning(d, c, delta);
    if (!err)
        err = take_content(d, c, json_view_get(delta, "content"));
    if (!err)
        err = any_text(d, json_view_get(delta, "refusal"), &refusal);
    if (!err)
        err = take_piece(d, c, &c->refusal, PART_REFUSAL, refusal);
    if (!err)
        err = take_annotations(d, c, json_view_get(delta, "annotations"));
    while (!err && json_view_next(images, &cursor, &name, &image))
        err = take_image(d, c, image);
    if (!err)
        err = take_audio(d, c, json_view_get(delta, "audio"));
    return err ? err : take_calls(d, c, delta);
}

static struct choice *
reach_choice(struct decoder *d, int64_t number)
{
    struct choice *c = d->choices[number];
    if (c)
        return c;
    c = arena_zalloc(d->keep, sizeof(*c));
    if (!c)
        return NULL;
    c->number = (unsigned)number;
    c->text = c->reasoning = c->refusal = c->audio = NO_PART;
    c->detail = -1;
    d->choices[number] = c;
    return c;
}

static int
take_choice(struct decoder *d, struct json_view choice)
{
    int64_t number = json_view_int_or(json_view_get(choice, "index"), 0);
    struct json_view delta = json_view_get(choice, "delta");
    if (choice.kind != JSON_MAP)
        return ERR_PROTOCOL;
    if (number < 0 || number >= LIMIT_STREAM_CHOICES)
        return ERR_LIMIT;
    if (number >= d->asked)
        return 0; /* not every client's dialect could tell them apart */
    struct choice *c = reach_choice(d, number);
    if (!c)
        return ERR_NOMEM;
    if (delta.kind != JSON_MAP)
        delta = json_view_get(choice, "message");
    int err = take_delta(d, c, delta);
    if (!err)
        err = take_logprobs(d, c, json_view_get(choice, "logprobs"));
    return err ? err : take_finish(d, c, choice);
}

/* Usage where it should be, or where Groq and Moonshot put it; whose prices apply. */
static void
take_usage(struct decoder *d, struct json_view root)
{
    struct json_view usage = json_view_get(root, "usage"), first = {0},
                     tier = json_view_get(root, "service_tier");
    enum service_tier known;
    struct slice name;
    size_t cursor = 0;
    if (usage.kind != JSON_MAP)
        usage = json_view_get(json_view_get(root, "x_groq"), "usage");
    if (usage.kind != JSON_MAP &&
        json_view_next(json_view_get(root, "choices"), &cursor, &name, &first))
        usage = json_view_get(first, "usage");
    if (usage.kind == JSON_MAP)
        openai_read_usage(usage.raw, &d->usage);
    if (tier.kind == JSON_TEXT &&
        service_tier_parse(slice_make(tier.raw.at + 1, tier.raw.len - 2), &known) == 0)
        d->usage.tier = known;
}

static int
take_sources(struct decoder *d, struct json_view root)
{
    struct json_view list = json_view_get(root, "search_results");
    if (json_view_count(list) == 0)
        list = json_view_get(root, "citations");
    if (d->sources.at || json_view_count(list) == 0 || list.raw.len > LIMIT_SOURCES_BYTES)
        return 0;
    d->sources = arena_copy(d->keep, list.raw);
    return d->sources.at ? 0 : ERR_NOMEM;
}

/* One chunk, or a whole answer. */
static int
take_chunk(struct decoder *d, struct json_view root)
{
    struct json_view choices = json_view_get(root, "choices"), choice;
    struct slice name;
    size_t cursor = 0;
    take_usage(d, root);
    int err = take_sources(d, root);
    while (!err && json_view_next(choices, &cursor, &name, &choice)) {
        err = start(d, root); /* Azure's first chunk has no choices, and knows no id yet */
        if (!err)
            err = take_choice(d, choice);
    }
    return err == ERR_SYNTAX ? ERR_PROTOCOL : err;
}

/* The provider's own end. */
static int
finish_all(struct decoder *d)
{
    int err = start(d, (struct json_view){.kind = JSON_ABSENT});
    d->over = true;
    for (size_t i = 0; i < LIMIT_STREAM_CHOICES && !err; i++)
        if (d->choices[i])
            err = finish_choice(d, d->choices[i]);
    if (!err && (d->usage.seen || d->usage.tier != TIER_STANDARD || d->usage.suspect))
        err = tell(d, &(struct canon_event){.kind = EVENT_USAGE, .usage = d->usage});
    return err ? err : tell(d, &(struct canon_event){.kind = EVENT_END});
}

/* --- streams ---------------------------------------------------------------------------------- */

static void
set_up(struct decoder *d, struct arena *keep, const struct dialect_exchange *x)
{
    enum provider_kind kind = x->target ? x->target->provider->kind : PROVIDER_OPENAI_COMPATIBLE;
    *d = (struct decoder){.keep = keep, .compat = compat_of(kind), .asked = LIMIT_STREAM_CHOICES};
    if (x->request)
        d->asked = x->request->choices > 1 ? x->request->choices : 1;
}

static int
init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    set_up(state, keep, x);
    return 0;
}

static int
take_error(struct decoder *d, struct slice data)
{
    struct canon_event e = {.kind = EVENT_ERROR};
    int err = chat_read_error(&(struct dialect_fault){.body = data}, d->scratch, &e.error);
    d->over = true;
    return err ? err : tell(d, &e);
}

static int
event(void *state, const struct wire_event *e, struct arena *scratch, const struct canon_sink *sink)
{
    struct decoder *d = state;
    struct json_span root;
    struct json_error why;
    if (d->over || e->data.len == 0)
        return 0;
    d->scratch = scratch;
    d->sink = sink;
    if (slice_is(e->data, "[DONE]"))
        return finish_all(d);
    if (slice_is(e->name, "error")) /* Groq; its data may be anything */
        return take_error(d, e->data);
    if (json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &why) ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    struct json_view chunk = json_view_of(e->data);
    if (chat_is_error(chunk))
        return take_error(d, e->data);
    int64_t before = usage_total(&d->usage.tokens);
    int err = take_chunk(d, chunk);
    /* Some count as they go. The last count comes with the end, too. */
    if (!err && json_view_count(json_view_get(chunk, "choices")) &&
        usage_total(&d->usage.tokens) != before)
        err = tell(d, &(struct canon_event){.kind = EVENT_USAGE, .usage = d->usage});
    return err;
}

/* Those who end without [DONE] have said for each choice why it ended. */
static int
end(void *state, const struct canon_sink *sink)
{
    struct decoder *d = state;
    struct arena scratch;
    bool all = false;
    for (size_t i = 0; i < LIMIT_STREAM_CHOICES; i++) {
        if (!d->choices[i])
            continue;
        if (!d->choices[i]->ended_word)
            return ERR_TRUNCATED;
        all = true;
    }
    if (!all || !d->compat->done_optional)
        return ERR_TRUNCATED;
    arena_init(&scratch, 0);
    d->scratch = &scratch;
    d->sink = sink;
    int err = finish_all(d);
    arena_free(&scratch);
    return err;
}

const struct dialect_decoder chat_decoder = {
    .state_bytes = sizeof(struct decoder),
    .init = init,
    .event = event,
    .end = end,
};

/* --- whole answers ---------------------------------------------------------------------------- */

bool
chat_is_error(struct json_view root)
{
    return json_view_is_set(json_view_get(root, "error")) ||
           json_view_is(json_view_get(root, "object"), "error");
}

int
chat_tell_answer(struct json_view root, const struct dialect_exchange *x, struct arena *a,
                 const struct canon_sink *sink)
{
    struct decoder *d = arena_alloc(a, sizeof(*d));
    if (!d)
        return ERR_NOMEM;
    set_up(d, a, x);
    d->scratch = a;
    d->sink = sink;
    int err = take_chunk(d, root);
    return err ? err : finish_all(d);
}
