/* Cohere's answers: plan, thinking, texts with citations, calls; the end and usage. */
#include "dataplane/dialects/cohere_internal.h"

#include <string.h>

/* --- usage ------------------------------------------------------------------------------------ */

/* -1: absent, or no count (then *suspect). Counts are written as 12 and as 12.0. */
static int64_t
read_count(struct json_view v, bool *suspect)
{
    int64_t n;
    if (!json_view_is_set(v))
        return -1;
    if (v.kind == JSON_NUMBER && slice_ends(v.raw, SLICE(".0")))
        v.raw.len -= 2;
    if (json_view_int(v, &n) == 0 && n >= 0 && n <= LIMIT_REPORTED_TOKENS)
        return n;
    *suspect = true;
    return -1;
}

/* tokens are all that was read and written, cached ones included; where there are none, those that
 * are billed. */
void
cohere_read_usage(struct json_view usage, struct usage_report *ret)
{
    struct usage_report r = {0};
    struct json_view counts = json_view_get(usage, "tokens");
    if (counts.kind != JSON_MAP)
        counts = json_view_get(usage, "billed_units");
    int64_t input = read_count(json_view_get(counts, "input_tokens"), &r.suspect);
    int64_t output = read_count(json_view_get(counts, "output_tokens"), &r.suspect);
    int64_t cached = read_count(json_view_get(usage, "cached_tokens"), &r.suspect);
    r.has_input = input >= 0;
    r.has_output = output >= 0;
    r.seen = r.has_input || r.has_output;
    r.tokens.cache_read = usage_part(cached, input > 0 ? input : 0, &r.suspect);
    r.tokens.input = (input > 0 ? input : 0) - r.tokens.cache_read;
    r.tokens.output = output > 0 ? output : 0;
    usage_merge(ret, &r);
}

/* --- the end ---------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum canon_finish finish;
} finishes[] = {
    {"COMPLETE", FINISH_STOP},      {"STOP_SEQUENCE", FINISH_STOP_SEQUENCE},
    {"MAX_TOKENS", FINISH_LENGTH},  {"TOOL_CALL", FINISH_TOOL_CALLS},
    {"ERROR", FINISH_ERROR},        {"TIMEOUT", FINISH_ERROR},
    {"ERROR_LIMIT", FINISH_LENGTH}, {"ERROR_TOXIC", FINISH_CONTENT_FILTER},
};

enum canon_finish
cohere_read_finish(struct json_view v, bool has_calls, struct slice *ret_word)
{
    *ret_word = (struct slice){0};
    if (v.kind != JSON_TEXT)
        return FINISH_NONE;
    enum canon_finish finish = FINISH_STOP; /* a word of a later day: the turn is over */
    *ret_word = slice_make(v.raw.at + 1, v.raw.len - 2); /* no word has an escape */
    for (size_t i = 0; i < sizeof(finishes) / sizeof(finishes[0]); i++)
        if (slice_is(*ret_word, finishes[i].word))
            finish = finishes[i].finish;
    return has_calls && finish == FINISH_STOP ? FINISH_TOOL_CALLS : finish;
}

/* --- citations -------------------------------------------------------------------------------- */

/* The first source: a document's title and address, or a tool's. */
static int
read_source(struct json_view citation, struct arena *a, struct canon_citation *ret)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view source = {0};
    if (!json_view_next(json_view_get(citation, "sources"), &cursor, &name, &source))
        return 0;
    struct json_view document = json_view_get(source, "document");
    struct json_view text = json_view_get(document, "text");
    if (text.kind != JSON_TEXT)
        text = json_view_get(document, "snippet");
    if (json_view_opt_text(json_view_get(document, "title"), a, &ret->title) == ERR_NOMEM ||
        json_view_opt_text(json_view_get(document, "url"), a, &ret->url) == ERR_NOMEM ||
        json_view_opt_text(text, a, &ret->cited_text) == ERR_NOMEM)
        return ERR_NOMEM;
    return 0;
}

int
cohere_read_citation(struct json_view v, struct arena *a, struct canon_citation *ret)
{
    *ret = (struct canon_citation){
        .start = json_view_int_or(json_view_get(v, "start"), -1),
        .end = json_view_int_or(json_view_get(v, "end"), -1),
        .origin = DIALECT_COHERE,
        .raw = v.raw,
    };
    return read_source(v, a, ret);
}

/* --- parts ------------------------------------------------------------------------------------ */

bool
cohere_is_null(struct slice arguments)
{
    return slice_is(slice_trim(arguments), "null");
}

struct reading {
    struct arena *a;
    struct canon_part *parts;
    size_t count;
    size_t content_at; /* where the parts of content begin: one an item */
    size_t content_count;
    bool has_calls;
};

static void
add(struct reading *r, struct canon_part part)
{
    part.origin = DIALECT_COHERE;
    r->parts[r->count++] = part;
}

static int
read_plan(struct reading *r, struct json_view v)
{
    struct canon_part p = {.kind = PART_REASONING, .raw = COHERE_PLAN};
    int err = json_view_opt_text(v, r->a, &p.text);
    if (!err && p.text.len)
        add(r, p);
    return err;
}

static int
read_item(struct reading *r, struct json_view item)
{
    bool is_thinking = json_view_is(json_view_get(item, "type"), "thinking");
    struct canon_part p = {.kind = is_thinking ? PART_REASONING : PART_TEXT};
    int err =
        json_view_opt_text(json_view_get(item, is_thinking ? "thinking" : "text"), r->a, &p.text);
    if (!err)
        add(r, p);
    return err;
}

/* A list of items; in some versions a plain text. */
static int
read_content(struct reading *r, struct json_view content)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view item;
    int err = 0;
    r->content_at = r->count;
    if (content.kind == JSON_TEXT) {
        struct canon_part p = {.kind = PART_TEXT};
        err = json_view_text(content, r->a, &p.text);
        if (!err)
            add(r, p);
    }
    while (!err && json_view_next(content, &cursor, &name, &item))
        err = read_item(r, item);
    r->content_count = r->count - r->content_at;
    return err;
}

static int
read_call(struct reading *r, struct json_view call)
{
    struct canon_part p = {.kind = PART_TOOL_CALL};
    struct json_view function = json_view_get(call, "function");
    int err = json_view_text(json_view_get(function, "name"), r->a, &p.name);
    if (!err)
        err = json_view_opt_text(json_view_get(function, "arguments"), r->a, &p.arguments);
    if (!err)
        err = json_view_opt_text(json_view_get(call, "id"), r->a, &p.id);
    if (err)
        return err;
    if (p.arguments.len == 0 || cohere_is_null(p.arguments))
        p.arguments = SLICE("{}");
    if (p.id.len == 0)
        p.id = canon_mint_id(r->a, "call_");
    if (!p.id.at)
        return ERR_NOMEM;
    r->has_calls = true;
    add(r, p);
    return 0;
}

static int
read_calls(struct reading *r, struct json_view calls)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view call;
    int err = 0;
    while (calls.kind == JSON_LIST && !err && json_view_next(calls, &cursor, &name, &call))
        err = read_call(r, call);
    return err;
}

/* --- citations of texts ----------------------------------------------------------------------- */

static size_t
first_text(const struct reading *r)
{
    for (size_t i = 0; i < r->content_count; i++)
        if (r->parts[r->content_at + i].kind == PART_TEXT)
            return i;
    return r->content_count;
}

/* Which item of content a citation is of: it says so, or means the first text. */
static size_t
item_of(const struct reading *r, struct json_view citation)
{
    int64_t index = json_view_int_or(json_view_get(citation, "content_index"), -1);
    bool is_text = index >= 0 && (uint64_t)index < r->content_count &&
                   r->parts[r->content_at + (size_t)index].kind == PART_TEXT;
    return is_text ? (size_t)index : first_text(r);
}

/* One item's citations, gathered from the list of all. */
static int
take_citations(struct reading *r, struct json_view list, size_t total, size_t item)
{
    struct canon_part *p = &r->parts[r->content_at + item];
    size_t cursor = 0;
    struct slice name;
    struct json_view one;
    struct canon_citation *into = arena_alloc(r->a, (total + 1) * sizeof(*into));
    int err = into ? 0 : ERR_NOMEM;
    while (!err && json_view_next(list, &cursor, &name, &one))
        if (item_of(r, one) == item)
            err = cohere_read_citation(one, r->a, &into[p->citation_count++]);
    p->citations = into;
    return err;
}

#define LIMIT_CITED_ITEMS 8 /* of content; Cohere writes one text */

static int
read_citations(struct reading *r, struct json_view list)
{
    size_t total = json_view_count(list);
    int err = 0;
    for (size_t i = 0; i < r->content_count && i < LIMIT_CITED_ITEMS && total > 0 && !err; i++)
        if (r->parts[r->content_at + i].kind == PART_TEXT)
            err = take_citations(r, list, total, i);
    return err;
}

/* --- the answer ------------------------------------------------------------------------------- */

enum { MESSAGE_PLAN, MESSAGE_CONTENT, MESSAGE_CALLS, MESSAGE_CITATIONS, MESSAGE_MEMBERS };
static const char *const message_members[MESSAGE_MEMBERS] = {"tool_plan", "content", "tool_calls",
                                                             "citations"};

/* Empty texts, which kept the items' numbers, go. */
static void
drop_empty(struct reading *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct canon_part *p = &r->parts[i];
        if (p->kind == PART_TOOL_CALL || p->text.len || p->citation_count)
            r->parts[kept++] = *p;
    }
    r->count = kept;
}

static int
read_message(struct reading *r, struct json_view message)
{
    struct json_view at[MESSAGE_MEMBERS];
    json_view_fields(message, message_members, MESSAGE_MEMBERS, at);
    size_t most = 2 + json_view_count(at[MESSAGE_CONTENT]) + json_view_count(at[MESSAGE_CALLS]);
    r->parts = arena_alloc(r->a, most * sizeof(*r->parts));
    int err = r->parts ? read_plan(r, at[MESSAGE_PLAN]) : ERR_NOMEM;
    if (!err)
        err = read_content(r, at[MESSAGE_CONTENT]);
    if (!err)
        err = read_calls(r, at[MESSAGE_CALLS]);
    if (!err)
        err = read_citations(r, at[MESSAGE_CITATIONS]);
    if (!err)
        drop_empty(r);
    return err;
}

enum { ANSWER_ID, ANSWER_MESSAGE, ANSWER_FINISH, ANSWER_USAGE, ANSWER_MEMBERS };
static const char *const answer_members[ANSWER_MEMBERS] = {"id", "message", "finish_reason",
                                                           "usage"};

int
cohere_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                   struct canon_answer *ret, const char **ret_why)
{
    struct json_view at[ANSWER_MEMBERS];
    struct json_span root;
    struct json_error error;
    struct reading r = {.a = a};
    (void)x;
    *ret_why = "it is no JSON object";
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &root, &error) != 0 ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    json_view_fields(json_view_of(body), answer_members, ANSWER_MEMBERS, at);
    *ret_why = "there is no message";
    if (at[ANSWER_MESSAGE].kind != JSON_MAP)
        return ERR_PROTOCOL;
    struct canon_choice_answer *choice = arena_zalloc(a, sizeof(*choice));
    *ret = (struct canon_answer){.choices = choice, .choice_count = 1, .origin = DIALECT_COHERE};
    *ret_why = "its message is malformed";
    int err = choice ? read_message(&r, at[ANSWER_MESSAGE]) : ERR_NOMEM;
    if (!err)
        err = json_view_opt_text(at[ANSWER_ID], a, &ret->id);
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    choice->parts = r.parts;
    choice->count = r.count;
    choice->finish = cohere_read_finish(at[ANSWER_FINISH], r.has_calls, &choice->native_finish);
    cohere_read_usage(at[ANSWER_USAGE], &ret->usage);
    return 0;
}
