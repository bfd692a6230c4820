/*
 * A provider's answer as events. Every chunk of a stream is a whole response object with some parts
 * more: pieces of text go on where the last ones ended, everything else comes whole (or, asked for
 * so, as partialArgs). There is no terminal: a finishReason of every candidate and a clean end of
 * the connection are it, so that what a late chunk adds (sources, usage) is in time.
 *
 * A whole answer is a stream of one chunk: gemini_read_answer gathers its events.
 */
#include "dataplane/dialects/gemini_grounding.h"
#include "dataplane/dialects/gemini_internal.h"
#include "dataplane/dialects/gemini_logprobs.h"
#include "dataplane/dialects/gemini_partial.h"

#include "dataplane/dialects/gather.h"
#include "lib/base/clock.h"

#define LIMIT_PARTS 4096 /* of a candidate */

enum open { OPEN_NONE, OPEN_TEXT, OPEN_REASONING, OPEN_CALL, OPEN_JSON };

/* One candidate: its parts come one after the other. */
struct candidate {
    enum open open;
    bool is_signed; /* the open part has its signature: more text is another part */
    bool has_calls, seen;
    unsigned next; /* part that is begun next; the open one is next - 1 */
    enum canon_finish finish;
    char word[48]; /* the native one */
    size_t word_len;
    size_t citations;
    struct gemini_places places;    /* of the open text */
    struct gemini_partial *partial; /* of the open call; made when first needed */
};

struct decoder {
    struct arena *keep;
    bool json_by_tool;
    bool started, is_blocked;
    struct candidate candidates[LIMIT_CANDIDATES];
    unsigned count; /* of candidates seen */
    struct usage_report usage;
    char model[96];
    size_t model_len;
};

/* What is at hand while a chunk is read. */
struct reading {
    struct decoder *d;
    struct candidate *c;
    unsigned choice;
    struct arena *scratch;
    const struct canon_sink *sink;
};

static int
tell(const struct reading *r, struct canon_event e)
{
    e.choice = r->choice;
    return r->sink->take(r->sink->ctx, &e);
}

/* About the open part. */
static int
tell_text(const struct reading *r, enum canon_event_kind kind, struct slice text)
{
    if (text.len == 0)
        return 0;
    return tell(r, (struct canon_event){.kind = kind, .part = r->c->next - 1, .text = text});
}

static int
text_of(const struct reading *r, struct json_view v, struct slice *ret)
{
    *ret = (struct slice){0};
    if (v.kind != JSON_TEXT)
        return 0;
    int err = json_view_text(v, r->scratch, ret);
    return err == ERR_SYNTAX ? ERR_PROTOCOL : err;
}

/* --- parts ------------------------------------------------------------------------------------ */

static int
end_arguments(const struct reading *r)
{
    struct buf text;
    if (!r->c->partial)
        return tell_text(r, EVENT_DELTA, SLICE("{}"));
    buf_init(&text, 0);
    int err = gemini_partial_end(r->c->partial, &text);
    if (!err)
        err = tell_text(r, EVENT_DELTA, buf_slice(&text));
    buf_free(&text);
    return err;
}

static int
end_part(const struct reading *r)
{
    enum open was = r->c->open;
    int err = 0;
    if (was == OPEN_NONE)
        return 0;
    if (was == OPEN_CALL || was == OPEN_JSON)
        err = end_arguments(r);
    r->c->open = OPEN_NONE;
    return err ? err
               : tell(r, (struct canon_event){.kind = EVENT_PART_END, .part = r->c->next - 1});
}

static int
begin_part(const struct reading *r, enum open open, const struct canon_part *of)
{
    int err = end_part(r);
    if (err)
        return err;
    if (r->c->next == LIMIT_PARTS)
        return ERR_LIMIT;
    r->c->open = open;
    r->c->is_signed = false;
    if (open == OPEN_TEXT)
        r->c->places = (struct gemini_places){.count = 0};
    if (r->c->partial)
        r->c->partial->depth = 0;
    struct canon_event e = {.kind = EVENT_PART_START, .part = r->c->next++, .of = *of};
    e.of.origin = DIALECT_GEMINI;
    return tell(r, e);
}

/* What comes whole. */
static int
give_part(const struct reading *r, const struct canon_part *of)
{
    int err = begin_part(r, OPEN_NONE, of);
    return err ? err
               : tell(r, (struct canon_event){.kind = EVENT_PART_END, .part = r->c->next - 1});
}

static int
take_text(const struct reading *r, struct slice text, bool is_thought, struct slice signature)
{
    enum open open = is_thought ? OPEN_REASONING : OPEN_TEXT;
    int err = 0;
    if (text.len == 0 && signature.len == 0)
        return 0;
    /* A signature on an empty text is of what came before it. */
    bool goes_on = r->c->open == open && (!r->c->is_signed || text.len == 0);
    if (text.len == 0 && r->c->open == OPEN_REASONING)
        goes_on = !r->c->is_signed;
    if (!goes_on)
        err = begin_part(r, open,
                         &(struct canon_part){.kind = is_thought ? PART_REASONING : PART_TEXT});
    if (!err)
        err = tell_text(r, EVENT_DELTA, text);
    if (!err && r->c->open == OPEN_TEXT)
        err = gemini_places_add(&r->c->places, text, r->d->keep);
    if (!err && signature.len) {
        err = tell_text(r, EVENT_SIGNATURE, signature);
        r->c->is_signed = true;
    }
    return err;
}

static int
take_media(const struct reading *r, struct json_view blob, struct slice signature)
{
    static const char *const names[] = {"mimeType", "data", "fileUri", "displayName"};
    struct json_view at[4];
    struct canon_part part = {.kind = PART_FILE, .signature = signature};
    gemini_fields(blob, names, 4, at);
    int err = text_of(r, at[0], &part.media.mime);
    if (!err)
        err = text_of(r, at[1], &part.media.data);
    if (!err)
        err = text_of(r, at[2], &part.media.url);
    if (!err)
        err = text_of(r, at[3], &part.media.name);
    if (slice_starts(part.media.mime, SLICE("image/")))
        part.kind = PART_IMAGE;
    else if (slice_starts(part.media.mime, SLICE("audio/")))
        part.kind = PART_AUDIO;
    return err ? err : give_part(r, &part);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Without the blanks between tokens, of which the wire has many. */
static struct slice
compact(struct slice json, struct arena *a)
{
    char *at = arena_alloc(a, json.len + 1);
    size_t n = 0;
    bool in_text = false;
    if (!at)
        return (struct slice){0};
    for (size_t i = 0; i < json.len; i++) {
        char c = json.at[i];
        if (in_text && c == '\\')
            at[n++] = json.at[i++];
        else if (c == '"')
            in_text = !in_text;
        if (in_text || !(c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            at[n++] = json.at[i];
    }
    return slice_make(at, n);
}

enum { CALL_ID, CALL_NAME, CALL_ARGS, CALL_PARTIAL, CALL_GOES_ON, CALL_NAMES };
static const char *const call_names[CALL_NAMES] = {"id", "name", "args", "partialArgs",
                                                   "willContinue"};

static int
begin_call(const struct reading *r, const struct json_view *at, struct slice signature)
{
    struct canon_part part = {.kind = PART_TOOL_CALL, .signature = signature};
    int err = text_of(r, at[CALL_NAME], &part.name);
    if (!err)
        err = text_of(r, at[CALL_ID], &part.id);
    if (err)
        return err;
    if (r->d->json_by_tool && slice_is(part.name, JSON_TOOL_NAME))
        return begin_part(r, OPEN_JSON, &(struct canon_part){.kind = PART_TEXT});
    if (part.id.len == 0)
        part.id = canon_mint_id(r->scratch, "call_");
    if (!part.id.at)
        return ERR_NOMEM;
    r->c->has_calls = true;
    return begin_part(r, OPEN_CALL, &part);
}

static int
take_partial(const struct reading *r, struct json_view list)
{
    struct json_view entry;
    struct slice name;
    struct buf text;
    size_t cursor = 0;
    int err = 0;
    if (!r->c->partial)
        r->c->partial = arena_zalloc(r->d->keep, sizeof(*r->c->partial));
    if (!r->c->partial)
        return ERR_NOMEM;
    buf_init(&text, 0);
    while (!err && json_view_next(list, &cursor, &name, &entry))
        err = gemini_partial_add(r->c->partial, entry, r->scratch, &text);
    if (!err)
        err = tell_text(r, EVENT_DELTA, buf_slice(&text));
    buf_free(&text);
    return err;
}

static int
take_call(const struct reading *r, struct json_view call, struct slice signature)
{
    struct json_view at[CALL_NAMES];
    int err = 0;
    gemini_fields(call, call_names, CALL_NAMES, at);
    bool is_open = r->c->open == OPEN_CALL || r->c->open == OPEN_JSON;
    if (json_view_is_set(at[CALL_NAME]))
        err = begin_call(r, at, signature);
    else if (!is_open)
        return 0; /* the end of a call that has ended */
    if (!err && at[CALL_PARTIAL].kind == JSON_LIST)
        err = take_partial(r, at[CALL_PARTIAL]);
    if (err || at[CALL_GOES_ON].kind == JSON_TRUE_)
        return err;
    if (at[CALL_ARGS].kind != JSON_MAP || (r->c->partial && r->c->partial->depth > 0))
        return end_part(r);
    struct slice args = compact(at[CALL_ARGS].raw, r->scratch);
    if (!args.at)
        return ERR_NOMEM;
    err = tell_text(r, EVENT_DELTA, args);
    r->c->open = OPEN_NONE; /* nothing is left of the arguments to be ended */
    return err ? err
               : tell(r, (struct canon_event){.kind = EVENT_PART_END, .part = r->c->next - 1});
}

/* --- one part --------------------------------------------------------------------------------- */

enum {
    PART_IS_TEXT,
    PART_THOUGHT,
    PART_SIGNATURE,
    PART_CALL,
    PART_INLINE,
    PART_FILE_DATA,
    PART_NAMES
};
static const char *const part_names[PART_NAMES] = {
    "text", "thought", "thoughtSignature", "functionCall", "inlineData", "fileData",
};

static int
take_part(const struct reading *r, struct json_view part)
{
    struct json_view at[PART_NAMES];
    struct slice text, signature;
    gemini_fields(part, part_names, PART_NAMES, at);
    int err = text_of(r, at[PART_SIGNATURE], &signature);
    if (!err)
        err = text_of(r, at[PART_IS_TEXT], &text);
    if (err)
        return err;
    bool is_thought = at[PART_THOUGHT].kind == JSON_TRUE_;
    if (at[PART_CALL].kind == JSON_MAP)
        return take_call(r, at[PART_CALL], signature);
    if (at[PART_IS_TEXT].kind == JSON_TEXT)
        return take_text(r, text, is_thought, signature);
    if (at[PART_INLINE].kind == JSON_MAP && !is_thought)
        return take_media(r, at[PART_INLINE], signature);
    if (at[PART_FILE_DATA].kind == JSON_MAP && !is_thought)
        return take_media(r, at[PART_FILE_DATA], signature);
    /* What is left: hosted tools' calls and results, pictures of a thought, what is new. */
    size_t members = json_view_count(part);
    if (members > (size_t)(signature.len > 0) + is_thought)
        return give_part(r, &(struct canon_part){.kind = PART_OPAQUE, .raw = part.raw});
    return take_text(r, (struct slice){0}, is_thought, signature);
}

/* --- candidates ------------------------------------------------------------------------------- */

static int
take_citation(void *ctx, const struct canon_citation *c)
{
    const struct reading *r = ctx;
    int err = 0;
    if (r->c->open != OPEN_TEXT)
        err = begin_part(r, OPEN_TEXT, &(struct canon_part){.kind = PART_TEXT});
    return err ? err
               : tell(r, (struct canon_event){
                             .kind = EVENT_CITATION, .part = r->c->next - 1, .citation = *c});
}

static int
take_logprobs(const struct reading *r, struct json_view result)
{
    struct buf text;
    if (result.kind != JSON_MAP)
        return 0;
    buf_init(&text, 0);
    int err = gemini_read_logprobs(result, r->scratch, &text);
    if (!err)
        err = tell(r, (struct canon_event){.kind = EVENT_LOGPROBS, .text = buf_slice(&text)});
    buf_free(&text);
    return err;
}

static void
note_finish(struct candidate *c, enum canon_finish finish, struct slice word)
{
    if (finish == FINISH_NONE)
        return;
    c->finish = finish == FINISH_STOP && c->has_calls ? FINISH_TOOL_CALLS : finish;
    c->word_len = word.len < sizeof(c->word) ? word.len : sizeof(c->word);
    memcpy(c->word, word.at, c->word_len);
}

enum {
    CANDIDATE_CONTENT,
    CANDIDATE_FINISH,
    CANDIDATE_GROUNDING,
    CANDIDATE_LOGPROBS,
    CANDIDATE_NAMES
};
static const char *const candidate_names[CANDIDATE_NAMES] = {
    "content",
    "finishReason",
    "groundingMetadata",
    "logprobsResult",
};

static int
take_candidate(struct reading *r, struct json_view candidate)
{
    struct json_view at[CANDIDATE_NAMES], part;
    struct slice name, word;
    size_t cursor = 0;
    int err = 0;
    gemini_fields(candidate, candidate_names, CANDIDATE_NAMES, at);
    struct json_view parts = gemini_get(at[CANDIDATE_CONTENT], "parts");
    r->c->seen = true;
    while (!err && parts.kind == JSON_LIST && json_view_next(parts, &cursor, &name, &part))
        err = take_part(r, part);
    if (!err)
        err = take_logprobs(r, at[CANDIDATE_LOGPROBS]);
    if (err)
        return err;
    note_finish(r->c, gemini_read_finish(at[CANDIDATE_FINISH], &word), word);
    gemini_read_searches(at[CANDIDATE_GROUNDING], slice_make(r->d->model, r->d->model_len),
                         &r->d->usage);
    struct gemini_cite to = {.places = &r->c->places,
                             .scratch = r->scratch,
                             .take = take_citation,
                             .ctx = r,
                             .count = r->c->citations};
    err = gemini_cite(&to, candidate, r->c->finish != FINISH_NONE);
    r->c->citations = to.count;
    return err;
}

static int
take_candidates(struct reading *r, struct json_view list)
{
    struct json_view candidate;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    while (!err && json_view_next(list, &cursor, &name, &candidate)) {
        int64_t index = json_view_int_or(json_view_get(candidate, "index"), 0);
        if (candidate.kind != JSON_MAP || index < 0 || index >= LIMIT_CANDIDATES)
            return ERR_PROTOCOL;
        r->choice = (unsigned)index;
        r->c = &r->d->candidates[index];
        if (r->d->count <= r->choice)
            r->d->count = r->choice + 1;
        err = take_candidate(r, candidate);
    }
    return err;
}

/* --- chunks ----------------------------------------------------------------------------------- */

enum { TOP_CANDIDATES, TOP_USAGE, TOP_ID, TOP_MODEL, TOP_CREATED, TOP_ERROR, TOP_NAMES };
static const char *const top_names[TOP_NAMES] = {
    "candidates", "usageMetadata", "responseId", "modelVersion", "createTime", "error",
};

static int
take_start(struct reading *r, const struct json_view *at)
{
    struct canon_event e = {.kind = EVENT_START, .of = {.origin = DIALECT_GEMINI}};
    struct slice created;
    int64_t wall_ms;
    if (r->d->started)
        return 0;
    r->d->started = true;
    int err = text_of(r, at[TOP_ID], &e.id);
    if (!err)
        err = text_of(r, at[TOP_MODEL], &e.model);
    if (!err)
        err = text_of(r, at[TOP_CREATED], &created);
    if (!err)
        err = text_of(r, gemini_get(at[TOP_USAGE], "serviceTier"), &e.service_tier);
    if (err)
        return err;
    char *text = created.len ? arena_strdup(r->scratch, created) : NULL;
    if (text && clock_parse_rfc3339(text, &wall_ms) == 0)
        e.created_unix_s = wall_ms / 1000;
    r->d->model_len = e.model.len < sizeof(r->d->model) ? e.model.len : 0;
    memcpy(r->d->model, e.model.at ? e.model.at : "", r->d->model_len);
    return tell(r, e);
}

static int
take_error(const struct reading *r, struct slice data)
{
    struct canon_event e = {.kind = EVENT_ERROR};
    int err = gemini_read_error(&(struct dialect_fault){.body = data}, r->scratch, &e.error);
    return err ? err : tell(r, e);
}

static int
take_chunk(struct reading *r, struct json_view chunk)
{
    struct json_view at[TOP_NAMES];
    gemini_fields(chunk, top_names, TOP_NAMES, at);
    struct slice blocked = gemini_block_reason(chunk);
    r->c = &r->d->candidates[0];
    int err = take_start(r, at);
    if (!err && at[TOP_CANDIDATES].kind == JSON_LIST)
        err = take_candidates(r, at[TOP_CANDIDATES]);
    if (err)
        return err;
    if (blocked.len) {
        r->d->candidates[0].seen = true;
        r->d->count = r->d->count ? r->d->count : 1;
        note_finish(&r->d->candidates[0], FINISH_CONTENT_FILTER, blocked);
    }
    if (at[TOP_USAGE].kind != JSON_MAP)
        return 0;
    gemini_read_usage(at[TOP_USAGE], &r->d->usage);
    r->choice = 0;
    return tell(r, (struct canon_event){.kind = EVENT_USAGE, .usage = r->d->usage});
}

static int
init(void *state, struct arena *keep, const struct dialect_exchange *x)
{
    struct decoder *d = state;
    d->keep = keep;
    d->json_by_tool = x && x->json_by_tool;
    return 0;
}

static int
take_event(void *state, const struct wire_event *e, struct arena *scratch,
           const struct canon_sink *sink)
{
    struct reading r = {.d = state, .scratch = scratch, .sink = sink};
    struct json_span root;
    struct json_error why;
    if (json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &why))
        return ERR_PROTOCOL;
    struct json_view chunk = {root.kind, json_raw(e->data, root)};
    struct slice name;
    size_t cursor = 0;
    if (chunk.kind == JSON_LIST)
        (void)json_view_next((struct json_view){root.kind, chunk.raw}, &cursor, &name, &chunk);
    if (chunk.kind != JSON_MAP)
        return ERR_PROTOCOL;
    if (json_view_is_set(json_view_get(chunk, "error")))
        return take_error(&r, chunk.raw);
    return take_chunk(&r, chunk);
}

/* Ends what is open, and tells how each candidate ended. */
static int
finish_all(struct decoder *d, const struct canon_sink *sink)
{
    int err = 0;
    for (unsigned i = 0; i < d->count && !err; i++) {
        struct candidate *c = &d->candidates[i];
        struct reading r = {.d = d, .c = c, .choice = i, .sink = sink};
        bool is_call = c->finish == FINISH_NONE && c->has_calls; /* of a whole answer only */
        err = end_part(&r);
        if (!err)
            err = tell(&r, (struct canon_event){.kind = EVENT_FINISH,
                                                .finish = is_call ? FINISH_TOOL_CALLS : c->finish,
                                                .text = slice_make(c->word, c->word_len)});
    }
    if (!err && d->usage.tokens.web_searches)
        err = sink->take(sink->ctx, &(struct canon_event){.kind = EVENT_USAGE, .usage = d->usage});
    return err;
}

static int
end(void *state, const struct canon_sink *sink)
{
    struct decoder *d = state;
    if (!d->started || d->count == 0)
        return ERR_TRUNCATED;
    for (unsigned i = 0; i < d->count; i++)
        if (d->candidates[i].seen && d->candidates[i].finish == FINISH_NONE)
            return ERR_TRUNCATED;
    int err = finish_all(d, sink);
    return err ? err : sink->take(sink->ctx, &(struct canon_event){.kind = EVENT_END});
}

const struct dialect_decoder gemini_decoder = {
    .state_bytes = sizeof(struct decoder),
    .init = init,
    .event = take_event,
    .end = end,
};

/* --- whole answers ---------------------------------------------------------------------------- */

static int
gather_take(void *ctx, const struct canon_event *e)
{
    return gather_event(ctx, e);
}

static void
free_gather(void *ctx)
{
    gather_free(ctx);
}

/* What a part costs the gatherer beside its bytes is bounded by the number of parts. */
#define GATHER_BYTES(body) (4 * (body).len + LIMIT_CANDIDATES * LIMIT_PARTS * (size_t)1024)

int
gemini_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                   struct canon_answer *ret, const char **ret_why)
{
    struct decoder *d = arena_zalloc(a, sizeof(*d));
    struct gather *g = gather_new(GATHER_BYTES(body));
    struct canon_sink sink = {gather_take, g};
    *ret_why = "not a response of generateContent";
    if (!g || arena_on_free(a, free_gather, g)) {
        gather_free(g);
        return ERR_NOMEM;
    }
    int err = d ? init(d, a, x) : ERR_NOMEM;
    if (!err)
        err = take_event(d, &(struct wire_event){.data = body}, a, &sink);
    if (!err && d->count == 0) {
        *ret_why = "neither candidates nor a reason for blocking the prompt";
        return ERR_PROTOCOL;
    }
    if (!err)
        err = finish_all(d, &sink);
    if (!err)
        err = gather_answer(g, a, ret);
    if (err == ERR_NOMEM)
        return err;
    return err ? ERR_PROTOCOL : 0;
}
