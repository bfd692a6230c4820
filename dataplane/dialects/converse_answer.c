/* Bedrock's answers: blocks to parts, the reason of the end, usage, citations. */
#include "dataplane/dialects/converse_internal.h"

#include <string.h>

/* --- usage ------------------------------------------------------------------------------------ */

enum { USAGE_INPUT, USAGE_OUTPUT, USAGE_READ, USAGE_WRITE, USAGE_DETAILS, USAGE_MEMBERS };
static const char *const usage_members[USAGE_MEMBERS] = {
    "inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "cacheDetails",
};

/* -1: absent, or no count (then *suspect). */
static int64_t
read_count(struct json_view v, bool *suspect)
{
    int64_t n;
    if (!json_view_is_set(v))
        return -1;
    if (json_view_int(v, &n) == 0 && n >= 0 && n <= LIMIT_REPORTED_TOKENS)
        return n;
    *suspect = true;
    return -1;
}

/* How much was written to the cache for an hour. */
static int64_t
read_hour(struct json_view details, bool *suspect)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view one;
    int64_t hour = 0;
    while (details.kind == JSON_LIST && json_view_next(details, &cursor, &name, &one)) {
        int64_t n = read_count(json_view_get(one, "inputTokens"), suspect);
        if (n > 0 && n <= LIMIT_REPORTED_TOKENS - hour &&
            json_view_is(json_view_get(one, "ttl"), "1h"))
            hour += n;
    }
    return hour;
}

void
converse_read_usage(struct json_view usage, struct json_view tier, struct usage_report *ret)
{
    struct json_view at[USAGE_MEMBERS];
    struct usage_report r = {0};
    struct json_view type = json_view_get(tier, "type");
    if (type.kind == JSON_TEXT &&
        service_tier_parse(slice_make(type.raw.at + 1, type.raw.len - 2), &r.tier) != 0)
        r.tier = TIER_STANDARD;
    json_view_fields(usage, usage_members, USAGE_MEMBERS, at);
    int64_t input = read_count(at[USAGE_INPUT], &r.suspect);
    int64_t output = read_count(at[USAGE_OUTPUT], &r.suspect);
    int64_t read = read_count(at[USAGE_READ], &r.suspect);
    int64_t written = read_count(at[USAGE_WRITE], &r.suspect);
    r.has_input = input >= 0;
    r.has_output = output >= 0;
    r.seen = r.has_input || r.has_output;
    r.tokens.input = input > 0 ? input : 0;
    r.tokens.output = output > 0 ? output : 0;
    r.tokens.cache_read = read > 0 ? read : 0;
    r.tokens.cache_write_1h =
        usage_part(read_hour(at[USAGE_DETAILS], &r.suspect), written > 0 ? written : 0, &r.suspect);
    r.tokens.cache_write = (written > 0 ? written : 0) - r.tokens.cache_write_1h;
    usage_merge(ret, &r);
}

/* --- the end ---------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum canon_finish finish;
} finishes[] = {
    {"end_turn", FINISH_STOP},
    {"tool_use", FINISH_TOOL_CALLS},
    {"max_tokens", FINISH_LENGTH},
    {"model_context_window_exceeded", FINISH_LENGTH},
    {"stop_sequence", FINISH_STOP_SEQUENCE},
    {"guardrail_intervened", FINISH_CONTENT_FILTER},
    {"content_filtered", FINISH_CONTENT_FILTER},
    {"malformed_model_output", FINISH_ERROR},
    {"malformed_tool_use", FINISH_ERROR},
};

enum canon_finish
converse_read_finish(struct json_view v, bool made_json, struct slice *ret_word)
{
    *ret_word = (struct slice){0};
    if (v.kind != JSON_TEXT)
        return FINISH_NONE;
    *ret_word = slice_make(v.raw.at + 1, v.raw.len - 2); /* no word has an escape */
    for (size_t i = 0; i < sizeof(finishes) / sizeof(finishes[0]); i++)
        if (slice_is(*ret_word, finishes[i].word))
            return made_json && finishes[i].finish == FINISH_TOOL_CALLS ? FINISH_STOP
                                                                        : finishes[i].finish;
    return FINISH_STOP; /* a word of a later day: the turn is over */
}

/* --- citations -------------------------------------------------------------------------------- */

/* The source's words: the text of the first piece of sourceContent. */
static struct json_view
cited_text(struct json_view citation)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view first = {0};
    if (!json_view_next(json_view_get(citation, "sourceContent"), &cursor, &name, &first))
        return (struct json_view){0};
    return json_view_get(first, "text");
}

int
converse_read_citation(struct json_view v, struct arena *a, struct canon_citation *ret)
{
    struct json_view web = json_view_get(json_view_get(v, "location"), "web");
    *ret =
        (struct canon_citation){.start = -1, .end = -1, .origin = DIALECT_CONVERSE, .raw = v.raw};
    if (json_view_opt_text(json_view_get(v, "title"), a, &ret->title) == ERR_NOMEM ||
        json_view_opt_text(json_view_get(web, "url"), a, &ret->url) == ERR_NOMEM ||
        json_view_opt_text(cited_text(v), a, &ret->cited_text) == ERR_NOMEM)
        return ERR_NOMEM;
    return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

struct reading {
    struct arena *a;
    const struct dialect_exchange *x;
    struct canon_part *parts;
    size_t count;
    bool has_calls, made_json;
};

static void
add(struct reading *r, struct canon_part part)
{
    part.origin = DIALECT_CONVERSE;
    r->parts[r->count++] = part;
}

static int
read_text(struct reading *r, struct json_view v)
{
    struct canon_part p = {.kind = PART_TEXT};
    int err = json_view_text(v, r->a, &p.text);
    if (err || p.text.len == 0)
        return err;
    add(r, p);
    return 0;
}

static int
read_reasoning(struct reading *r, struct json_view v)
{
    struct canon_part p = {.kind = PART_REASONING};
    struct json_view text = json_view_get(v, "reasoningText");
    struct json_view redacted = json_view_get(v, "redactedContent");
    int err = json_view_opt_text(redacted, r->a, &p.encrypted);
    if (!err)
        err = json_view_opt_text(json_view_get(text, "text"), r->a, &p.text);
    if (!err)
        err = json_view_opt_text(json_view_get(text, "signature"), r->a, &p.signature);
    if (!err && (p.encrypted.len || p.text.len || p.signature.len))
        add(r, p);
    return err;
}

/* Calls of the model's own tools are answered by Bedrock, and no business of the client's. */
static bool
is_of_server(struct json_view call)
{
    return json_view_is(json_view_get(call, "type"), "server_tool_use");
}

static int
read_call(struct reading *r, struct json_view v)
{
    struct canon_part p = {.kind = PART_TOOL_CALL};
    struct json_view input = json_view_get(v, "input");
    if (is_of_server(v))
        return 0;
    int err = json_view_text(json_view_get(v, "name"), r->a, &p.name);
    if (!err)
        err = json_view_text(json_view_get(v, "toolUseId"), r->a, &p.id);
    if (err)
        return err;
    p.arguments = json_view_is_set(input) ? input.raw : SLICE("{}");
    if (r->x->json_by_tool && slice_is(p.name, JSON_TOOL_NAME)) {
        r->made_json = true;
        add(r, (struct canon_part){.kind = PART_TEXT, .text = p.arguments});
        return 0;
    }
    if (p.id.len == 0)
        p.id = canon_mint_id(r->a, "tooluse_");
    if (!p.id.at)
        return ERR_NOMEM;
    r->has_calls = true;
    add(r, p);
    return 0;
}

/* The texts of a citationsContent, joined. */
static int
read_cited_texts(struct reading *r, struct json_view list, struct slice *ret)
{
    size_t cursor = 0, count = 0;
    struct slice name;
    struct json_view one;
    struct canon_part *texts = arena_alloc(r->a, (json_view_count(list) + 1) * sizeof(*texts));
    if (!texts)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &one)) {
        texts[count] = (struct canon_part){.kind = PART_TEXT};
        int err = json_view_opt_text(json_view_get(one, "text"), r->a, &texts[count].text);
        if (err)
            return err;
        count++;
    }
    *ret = canon_joined_text(r->a, texts, count);
    return ret->at ? 0 : ERR_NOMEM;
}

static int
read_cited(struct reading *r, struct json_view v)
{
    struct json_view citations = json_view_get(v, "citations"), one;
    struct canon_part p = {.kind = PART_TEXT};
    struct slice name;
    size_t cursor = 0;
    struct canon_citation *list =
        arena_alloc(r->a, (json_view_count(citations) + 1) * sizeof(*list));
    int err = list ? read_cited_texts(r, json_view_get(v, "content"), &p.text) : ERR_NOMEM;
    while (!err && json_view_next(citations, &cursor, &name, &one))
        err = converse_read_citation(one, r->a, &list[p.citation_count++]);
    if (err)
        return err;
    p.citations = list;
    if (p.text.len || p.citation_count)
        add(r, p);
    return 0;
}

static int
read_image(struct reading *r, struct json_view v)
{
    struct canon_part p = {.kind = PART_IMAGE};
    struct slice format = {0};
    struct json_view source = json_view_get(v, "source");
    int err = json_view_opt_text(json_view_get(v, "format"), r->a, &format);
    if (!err)
        err = json_view_text(json_view_get(source, "bytes"), r->a, &p.media.data);
    if (err)
        return err;
    p.media.mime = slice_of(arena_printf(r->a, "image/%.*s", SLICE_ARG(format)));
    if (!p.media.mime.at)
        return ERR_NOMEM;
    add(r, p);
    return 0;
}

static const struct {
    const char *member;
    int (*read)(struct reading *r, struct json_view v);
} blocks[] = {
    {"text", read_text},    {"reasoningContent", read_reasoning},
    {"toolUse", read_call}, {"citationsContent", read_cited},
    {"image", read_image},
};

/* A kind of a later day, or a result of the model's own tools, is passed over: no client could do
 * anything with it. */
static int
read_block(struct reading *r, struct json_view block)
{
    if (block.kind != JSON_MAP)
        return ERR_SYNTAX;
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        struct json_view v = json_view_get(block, blocks[i].member);
        if (json_view_is_set(v))
            return blocks[i].read(r, v);
    }
    return 0;
}

static int
read_content(struct reading *r, struct json_view content)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view block;
    int err = 0;
    r->parts = arena_alloc(r->a, (json_view_count(content) + 1) * sizeof(*r->parts));
    if (!r->parts)
        return ERR_NOMEM;
    while (!err && json_view_next(content, &cursor, &name, &block))
        err = read_block(r, block);
    return err;
}

/* --- the answer ------------------------------------------------------------------------------- */

enum { ANSWER_OUTPUT, ANSWER_STOP, ANSWER_USAGE, ANSWER_TIER, ANSWER_MEMBERS };
static const char *const answer_members[ANSWER_MEMBERS] = {"output", "stopReason", "usage",
                                                           "serviceTier"};

int
converse_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                     struct canon_answer *ret, const char **ret_why)
{
    struct json_view at[ANSWER_MEMBERS];
    struct json_span root;
    struct json_error error;
    struct reading r = {.a = a, .x = x};
    *ret_why = "it is no JSON object";
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &root, &error) != 0 ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    struct canon_choice_answer *choice = arena_zalloc(a, sizeof(*choice));
    if (!choice)
        return ERR_NOMEM;
    json_view_fields(json_view_of(body), answer_members, ANSWER_MEMBERS, at);
    struct json_view message = json_view_get(at[ANSWER_OUTPUT], "message");
    struct json_view content = json_view_get(message, "content");
    *ret_why = "there is no output.message.content";
    if (content.kind != JSON_LIST)
        return ERR_PROTOCOL;
    *ret_why = "a block of output.message.content is malformed";
    int err = read_content(&r, content);
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    *ret = (struct canon_answer){.choices = choice, .choice_count = 1, .origin = DIALECT_CONVERSE};
    choice->parts = r.parts;
    choice->count = r.count;
    choice->finish =
        converse_read_finish(at[ANSWER_STOP], r.made_json && !r.has_calls, &choice->native_finish);
    converse_read_usage(at[ANSWER_USAGE], at[ANSWER_TIER], &ret->usage);
    err = json_view_opt_text(json_view_get(at[ANSWER_TIER], "type"), a, &ret->service_tier);
    return err == ERR_NOMEM ? err : 0;
}
