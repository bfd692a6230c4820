/* What a provider answers: blocks, and whole messages of them. */
#include "dataplane/dialects/anthropic_internal.h"

/* --- citations -------------------------------------------------------------------------------- */

static const char *const citation_members[] = {"url", "source", "title", "document_title",
                                               "cited_text"};

/* The first of two members that is a text. */
static int
read_either(const struct json_view *at, struct arena *a, struct slice *ret)
{
    *ret = (struct slice){0};
    if (at[0].kind == JSON_TEXT)
        return json_view_text(at[0], a, ret);
    return at[1].kind == JSON_TEXT ? json_view_text(at[1], a, ret) : 0;
}

int
anthropic_read_citation(struct json_view v, struct arena *a, struct canon_citation *ret)
{
    struct json_view at[5];
    *ret =
        (struct canon_citation){.start = -1, .end = -1, .origin = DIALECT_ANTHROPIC, .raw = v.raw};
    json_view_fields(v, citation_members, 5, at);
    int err = read_either(&at[0], a, &ret->url);
    if (!err)
        err = read_either(&at[2], a, &ret->title);
    if (!err && at[4].kind == JSON_TEXT)
        err = json_view_text(at[4], a, &ret->cited_text);
    return err;
}

static int
read_citations(struct json_view list, struct arena *a, struct canon_part *ret)
{
    size_t cursor = 0, count = json_view_count(list);
    struct slice name;
    struct json_view v;
    if (list.kind != JSON_LIST || count == 0)
        return 0;
    struct canon_citation *at = arena_alloc(a, count * sizeof(*at));
    if (!at)
        return ERR_NOMEM;
    ret->citations = at;
    while (json_view_next(list, &cursor, &name, &v)) {
        if (v.kind != JSON_MAP)
            return ERR_SYNTAX;
        int err = anthropic_read_citation(v, a, &at[ret->citation_count++]);
        if (err)
            return err;
    }
    return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

enum {
    BLOCK_TYPE,
    BLOCK_TEXT,
    BLOCK_CITATIONS,
    BLOCK_THINKING,
    BLOCK_SIGNATURE,
    BLOCK_DATA,
    BLOCK_ID,
    BLOCK_TOOL_USE_ID,
    BLOCK_NAME,
    BLOCK_INPUT,
    BLOCK_CALLER,
    BLOCK_MEMBERS
};
static const char *const block_members[BLOCK_MEMBERS] = {
    "type", "text",        "citations", "thinking", "signature", "data",
    "id",   "tool_use_id", "name",      "input",    "caller",
};

static int
read_text(const struct json_view *at, struct arena *a, struct canon_part *ret)
{
    ret->kind = PART_TEXT;
    int err = json_view_text(at[BLOCK_TEXT], a, &ret->text);
    return err ? err : read_citations(at[BLOCK_CITATIONS], a, ret);
}

static int
read_thinking(const struct json_view *at, struct arena *a, struct canon_part *ret)
{
    ret->kind = PART_REASONING;
    int err = json_view_text(at[BLOCK_THINKING], a, &ret->text);
    return err ? err : json_view_opt_text(at[BLOCK_SIGNATURE], a, &ret->signature);
}

static int
read_redacted(const struct json_view *at, struct arena *a, struct canon_part *ret)
{
    ret->kind = PART_REASONING;
    return json_view_text(at[BLOCK_DATA], a, &ret->encrypted);
}

static int
read_tool_use(const struct json_view *at, struct arena *a, struct canon_part *ret)
{
    ret->kind = PART_TOOL_CALL;
    int err = json_view_text(at[BLOCK_ID], a, &ret->id);
    if (!err)
        err = json_view_text(at[BLOCK_NAME], a, &ret->name);
    if (!err && ret->id.len == 0)
        err = ERR_SYNTAX;
    if (json_view_is_set(at[BLOCK_INPUT]))
        ret->arguments = at[BLOCK_INPUT].raw;
    if (!err && json_view_is_set(at[BLOCK_CALLER])) {
        ret->raw = slice_of(arena_printf(a, "{\"caller\":%.*s}", SLICE_ARG(at[BLOCK_CALLER].raw)));
        err = ret->raw.at ? 0 : ERR_NOMEM;
    }
    return err;
}

/* Whatever only Anthropic understands: hosted tools and their results, compaction, ... */
static int
read_opaque(struct json_view block, const struct json_view *at, struct arena *a,
            struct canon_part *ret)
{
    ret->kind = PART_OPAQUE;
    ret->raw = block.raw;
    if (at[BLOCK_ID].kind == JSON_TEXT)
        return json_view_text(at[BLOCK_ID], a, &ret->id);
    if (at[BLOCK_TOOL_USE_ID].kind == JSON_TEXT)
        return json_view_text(at[BLOCK_TOOL_USE_ID], a, &ret->id);
    return 0;
}

int
anthropic_read_block(struct json_view block, struct arena *a, struct canon_part *ret)
{
    struct json_view at[BLOCK_MEMBERS];
    *ret = (struct canon_part){.origin = DIALECT_ANTHROPIC};
    if (block.kind != JSON_MAP)
        return ERR_SYNTAX;
    json_view_fields(block, block_members, BLOCK_MEMBERS, at);
    struct json_view type = at[BLOCK_TYPE];
    if (type.kind != JSON_TEXT)
        return ERR_SYNTAX;
    if (json_view_is(type, "text"))
        return read_text(at, a, ret);
    if (json_view_is(type, "thinking"))
        return read_thinking(at, a, ret);
    if (json_view_is(type, "redacted_thinking"))
        return read_redacted(at, a, ret);
    if (json_view_is(type, "tool_use"))
        return read_tool_use(at, a, ret);
    return read_opaque(block, at, a, ret);
}

bool
anthropic_is_json_call(const struct canon_part *part)
{
    return part->kind == PART_TOOL_CALL && slice_is(part->name, JSON_TOOL_NAME);
}

/* --- how it ended ----------------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum canon_finish finish;
} reasons[] = {
    {"end_turn", FINISH_STOP},
    {"stop_sequence", FINISH_STOP_SEQUENCE},
    {"max_tokens", FINISH_LENGTH},
    {"model_context_window_exceeded", FINISH_LENGTH},
    {"tool_use", FINISH_TOOL_CALLS},
    {"refusal", FINISH_REFUSAL},
    {"pause_turn", FINISH_PAUSE},
    {"compaction", FINISH_PAUSE}, /* stopped behind a compaction: send it back to go on */
};

enum canon_finish
anthropic_finish_of(struct slice reason, bool has_calls)
{
    enum canon_finish finish = reason.len ? FINISH_STOP : FINISH_NONE;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (slice_is(reason, reasons[i].word))
            finish = reasons[i].finish;
    if (has_calls && (finish == FINISH_STOP || finish == FINISH_NONE))
        return FINISH_TOOL_CALLS;
    /* the only call was the one that stands for structured output */
    return !has_calls && finish == FINISH_TOOL_CALLS ? FINISH_STOP : finish;
}

/* --- whole messages --------------------------------------------------------------------------- */

enum {
    ANSWER_TYPE,
    ANSWER_ID,
    ANSWER_MODEL,
    ANSWER_CONTENT,
    ANSWER_REASON,
    ANSWER_SEQUENCE,
    ANSWER_DETAILS,
    ANSWER_USAGE,
    ANSWER_MEMBERS
};
static const char *const answer_members[ANSWER_MEMBERS] = {
    "type", "id", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage",
};

static int
read_content(struct json_view content, const struct dialect_exchange *x, struct arena *a,
             struct canon_choice_answer *ret, bool *ret_has_calls)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view block;
    /* one more for the words of a refusal */
    struct canon_part *parts = arena_alloc(a, (json_view_count(content) + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    ret->parts = parts;
    while (json_view_next(content, &cursor, &name, &block)) {
        struct canon_part *part = &parts[ret->count];
        int err = anthropic_read_block(block, a, part);
        if (err)
            return err;
        if (x->json_by_tool && anthropic_is_json_call(part))
            *part =
                (struct canon_part){.kind = PART_TEXT,
                                    .origin = DIALECT_ANTHROPIC,
                                    .text = part->arguments.len ? part->arguments : SLICE("{}")};
        *ret_has_calls |= part->kind == PART_TOOL_CALL;
        ret->count++;
    }
    return 0;
}

/* Why it was refused is told in stop_details, outside the content. */
static int
add_refusal(struct json_view details, struct arena *a, struct canon_choice_answer *ret)
{
    struct json_view words = json_view_get(details, "explanation");
    struct canon_part *part = (struct canon_part *)(uintptr_t)&ret->parts[ret->count];
    if (ret->finish != FINISH_REFUSAL || words.kind != JSON_TEXT)
        return 0;
    *part = (struct canon_part){.kind = PART_REFUSAL, .origin = DIALECT_ANTHROPIC};
    ret->count++;
    return json_view_text(words, a, &part->text);
}

static int
read_message(const struct json_view *at, const struct dialect_exchange *x, struct arena *a,
             struct canon_answer *ret)
{
    bool has_calls = false;
    struct canon_choice_answer *choice = arena_zalloc(a, sizeof(*choice));
    if (!choice)
        return ERR_NOMEM;
    ret->choices = choice;
    ret->choice_count = 1;
    int err = read_content(at[ANSWER_CONTENT], x, a, choice, &has_calls);
    if (!err)
        err = json_view_opt_text(at[ANSWER_ID], a, &ret->id);
    if (!err)
        err = json_view_opt_text(at[ANSWER_MODEL], a, &ret->model);
    if (!err)
        err = json_view_opt_text(at[ANSWER_REASON], a, &choice->native_finish);
    if (!err)
        err = json_view_opt_text(at[ANSWER_SEQUENCE], a, &choice->stop_sequence);
    if (!err)
        err = json_view_opt_text(json_view_get(at[ANSWER_USAGE], "service_tier"), a,
                                 &ret->service_tier);
    choice->finish = anthropic_finish_of(choice->native_finish, has_calls);
    return err ? err : add_refusal(at[ANSWER_DETAILS], a, choice);
}

int
anthropic_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                      struct canon_answer *ret, const char **ret_why)
{
    struct json_span spans[ANSWER_MEMBERS], root;
    struct json_view at[ANSWER_MEMBERS];
    struct json_error why;
    *ret = (struct canon_answer){.origin = DIALECT_ANTHROPIC};
    *ret_why = "it is no JSON object";
    int err =
        json_scan(body, &json_limits_default, answer_members, ANSWER_MEMBERS, spans, &root, &why);
    if (err || root.kind != JSON_MAP)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    for (int i = 0; i < ANSWER_MEMBERS; i++)
        at[i] = json_view_at(body, spans[i]);
    *ret_why = "it is no message";
    if (at[ANSWER_CONTENT].kind != JSON_LIST || json_view_is(at[ANSWER_TYPE], "error"))
        return ERR_PROTOCOL;
    *ret_why = "a member of its message is malformed";
    err = read_message(at, x, a, ret);
    anthropic_take_usage(at[ANSWER_USAGE], &ret->usage);
    return err == ERR_SYNTAX ? ERR_PROTOCOL : err;
}
