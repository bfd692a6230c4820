/*
 * The conversation as Anthropic takes it: a system prompt, then turns of user and assistant that
 * alternate. Turns of the same side are merged; in a user's turn the results of tools come first.
 */
#include "dataplane/dialects/anthropic_internal.h"

#define TOOL_ID_BYTES 64

struct turns {
    struct json_emit *e;
    const struct canon_request *q;
    struct anthropic_plan *plan;
    struct arena *arena;
    const unsigned char *last; /* the mark of the last part that is sent; NULL: there is none */
};

enum side { SIDE_USER, SIDE_ASSISTANT, SIDE_SYSTEM };

/* System messages after the first turn stand where they stood, as the user's words in a frame; what
 * was Anthropic's own stays its own. */
static enum side
side_of(const struct canon_request *q, const struct canon_message *m)
{
    if (m->role == ROLE_ASSISTANT)
        return SIDE_ASSISTANT;
    if ((m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER) && q->origin == DIALECT_ANTHROPIC)
        return SIDE_SYSTEM;
    return SIDE_USER;
}

void
anthropic_emit_cache(struct json_emit *e, struct anthropic_plan *p, enum canon_cache cache)
{
    if (cache == CACHE_NONE)
        return;
    if (p->skip_caches) {
        p->skip_caches--;
        return;
    }
    emit_name(e, "cache_control");
    emit_map(e);
    emit_str_member(e, "type", "ephemeral");
    if (cache == CACHE_1H)
        emit_str_member(e, "ttl", "1h");
    emit_end_map(e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
emit_citations(struct json_emit *e, const struct canon_part *p)
{
    bool own = false;
    for (size_t i = 0; i < p->citation_count; i++)
        own |= p->citations[i].origin == DIALECT_ANTHROPIC;
    if (!own)
        return;
    emit_name(e, "citations");
    emit_list(e);
    for (size_t i = 0; i < p->citation_count; i++)
        if (p->citations[i].origin == DIALECT_ANTHROPIC)
            emit_raw(e, p->citations[i].raw);
    emit_end_list(e);
}

static void
emit_words(struct turns *t, const struct canon_part *p, struct slice text)
{
    emit_str_member(t->e, "type", "text");
    emit_text_member(t->e, "text", text);
    emit_citations(t->e, p);
}

static void
emit_reasoning(struct turns *t, const struct canon_part *p)
{
    if (p->encrypted.len) {
        emit_str_member(t->e, "type", "redacted_thinking");
        emit_text_member(t->e, "data", p->encrypted);
        return;
    }
    emit_str_member(t->e, "type", "thinking");
    emit_text_member(t->e, "thinking", p->text);
    emit_text_member(t->e, "signature", p->signature);
}

static void
emit_tool_id(struct turns *t, const char *member, struct slice id)
{
    struct slice fitted = canon_fit_id(t->arena, id, TOOL_ID_BYTES);
    if (!fitted.at)
        t->e->err = ERR_NOMEM;
    emit_text_member(t->e, member, fitted);
}

static void
emit_call(struct turns *t, const struct canon_part *p)
{
    emit_str_member(t->e, "type", "tool_use");
    emit_tool_id(t, "id", p->id);
    emit_text_member(t->e, "name", p->name);
    anthropic_emit_input(t->e, p);
    if (p->origin == DIALECT_ANTHROPIC && p->raw.at)
        emit_members_of(t->e, p->raw);
}

static bool
is_shown(const struct canon_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
        return p->text.len > 0;
    case PART_OPAQUE:
        return p->origin == DIALECT_ANTHROPIC;
    case PART_IMAGE:
    case PART_FILE:
        return anthropic_media_fits(p);
    default:
        return false;
    }
}

static size_t
count_marks(const struct canon_part *p)
{
    size_t n = p->cache != CACHE_NONE;
    if (p->kind == PART_REASONING || p->kind == PART_OPAQUE)
        return 0;
    for (size_t i = 0; p->kind == PART_TOOL_RESULT && i < p->part_count; i++)
        n += is_shown(&p->parts[i]) ? count_marks(&p->parts[i]) : 0;
    return n;
}

size_t
anthropic_count_caches(const struct canon_request *q, const struct anthropic_plan *p)
{
    const unsigned char *sent = p->sent;
    size_t n = 0;
    for (size_t i = 0; i < q->tool_count; i++)
        n += q->tools[i].kind == TOOL_FUNCTION && q->tools[i].cache != CACHE_NONE;
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t j = 0; j < q->messages[i].count; j++)
            n += *sent++ ? count_marks(&q->messages[i].parts[j]) : 0;
    return n;
}

static void
emit_result_content(struct turns *t, const struct canon_part *result)
{
    emit_name(t->e, "content");
    if (result->part_count == 1 && result->parts[0].kind == PART_TEXT &&
        result->parts[0].cache == CACHE_NONE) {
        emit_text(t->e, result->parts[0].text);
        return;
    }
    emit_list(t->e);
    for (size_t i = 0; i < result->part_count; i++) {
        const struct canon_part *p = &result->parts[i];
        if (!is_shown(p))
            continue;
        if (p->kind == PART_OPAQUE) {
            emit_raw(t->e, p->raw);
            continue;
        }
        emit_map(t->e);
        if (p->kind == PART_TEXT)
            emit_words(t, p, p->text);
        else
            anthropic_emit_media(t->e, p, t->arena);
        anthropic_emit_cache(t->e, t->plan, p->cache);
        emit_end_map(t->e);
    }
    emit_end_list(t->e);
}

static void
emit_result(struct turns *t, const struct canon_part *p)
{
    emit_str_member(t->e, "type", "tool_result");
    emit_tool_id(t, "tool_use_id", p->id);
    if (p->part_count)
        emit_result_content(t, p);
    if (p->is_error)
        emit_bool_member(t->e, "is_error", true);
}

static void
emit_part(struct turns *t, const struct canon_part *p, struct slice text)
{
    if (p->kind == PART_OPAQUE) {
        emit_raw(t->e, p->raw);
        return;
    }
    emit_map(t->e);
    switch (p->kind) {
    case PART_REASONING:
        emit_reasoning(t, p);
        break;
    case PART_TOOL_CALL:
        emit_call(t, p);
        break;
    case PART_TOOL_RESULT:
        emit_result(t, p);
        break;
    case PART_IMAGE:
    case PART_FILE:
        anthropic_emit_media(t->e, p, t->arena);
        break;
    default:
        emit_words(t, p, text);
        break;
    }
    if (p->kind != PART_REASONING)
        anthropic_emit_cache(t->e, t->plan, p->cache);
    emit_end_map(t->e);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool
is_blank(const struct canon_message *m, const unsigned char *sent)
{
    for (size_t i = 0; i < m->count; i++)
        if (sent[i])
            return false;
    return true;
}

/* White space at the end of the last turn of an assistant is refused. */
static struct slice
trim_end(struct slice s)
{
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\t' ||
                     s.at[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static struct slice
words_of(struct turns *t, const struct canon_message *m, const struct canon_part *p, bool is_last)
{
    bool frame = (m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER) && t->plan->frames;
    if (m->role == ROLE_ASSISTANT && is_last)
        return trim_end(p->text);
    if (!frame)
        return p->text;
    char *framed = arena_printf(t->arena, "<system>\n%.*s\n</system>", SLICE_ARG(p->text));
    if (!framed)
        t->e->err = ERR_NOMEM;
    return slice_of(framed);
}

enum which { RESULTS, OTHERS };

static void
emit_parts(struct turns *t, const struct canon_message *m, const unsigned char *sent,
           enum which which)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct canon_part *p = &m->parts[i];
        if (sent[i] && (p->kind == PART_TOOL_RESULT) == (which == RESULTS))
            emit_part(t, p, words_of(t, m, p, sent + i == t->last));
    }
}

/* One turn of messages [from, to), whose parts' marks begin at `sent`. */
static void
emit_turn(struct turns *t, enum side side, size_t from, size_t to, const unsigned char *sent)
{
    static const char *const roles[] = {"user", "assistant", "system"};
    emit_map(t->e);
    emit_str_member(t->e, "role", roles[side]);
    emit_name(t->e, "content");
    emit_list(t->e);
    for (int which = RESULTS; which <= OTHERS; which++) {
        const unsigned char *at = sent;
        for (size_t i = from; i < to; i++) {
            emit_parts(t, &t->q->messages[i], at, (enum which)which);
            at += t->q->messages[i].count;
        }
    }
    emit_end_list(t->e);
    emit_end_map(t->e);
}

/* The first turn must be the user's. */
static void
emit_opening(struct json_emit *e)
{
    emit_map(e);
    emit_str_member(e, "role", "user");
    emit_name(e, "content");
    emit_list(e);
    emit_map(e);
    emit_str_member(e, "type", "text");
    emit_str_member(e, "text", "(The conversation begins with the assistant.)");
    emit_end_map(e);
    emit_end_list(e);
    emit_end_map(e);
}

static void
emit_messages(struct turns *t, const unsigned char *sent)
{
    const struct canon_request *q = t->q;
    size_t i = t->plan->lead;
    bool first = true;
    while (i < q->message_count) {
        const struct canon_message *m = &q->messages[i];
        if (is_blank(m, sent)) {
            sent += m->count;
            i++;
            continue;
        }
        enum side side = side_of(q, m);
        const unsigned char *after = sent;
        size_t to = i;
        do
            after += q->messages[to++].count;
        while (to < q->message_count &&
               (side_of(q, &q->messages[to]) == side || is_blank(&q->messages[to], after)));
        if (first && side == SIDE_ASSISTANT)
            emit_opening(t->e);
        emit_turn(t, side, i, to, sent);
        first = false;
        sent = after;
        i = to;
    }
}

/* --- the system prompt ------------------------------------------------------------------------ */

static void
emit_instruction(struct json_emit *e, const struct canon_request *q)
{
    struct buf b;
    buf_init(&b, 0);
    int err =
        buf_add_str(&b, q->format == FORMAT_SCHEMA
                            ? "Answer with one JSON value and nothing else: no code fence, no "
                              "words before or after it. It must be valid against this JSON "
                              "Schema:\n"
                            : "Answer with one valid JSON object and nothing else: no code "
                              "fence, no words before or after it.");
    if (!err && q->format == FORMAT_SCHEMA)
        err = buf_add_slice(&b, q->format_schema_raw);
    emit_map(e);
    emit_str_member(e, "type", "text");
    emit_text_member(e, "text", buf_slice(&b));
    emit_end_map(e);
    if (err)
        e->err = err;
    buf_free(&b);
}

/* Returns the marks of the first message behind the system prompt. */
static const unsigned char *
emit_system(struct turns *t)
{
    const unsigned char *sent = t->plan->sent;
    size_t n = t->plan->json == JSON_IN_WORDS;
    for (size_t i = 0, k = 0; i < t->plan->lead; i++)
        for (size_t j = 0; j < t->q->messages[i].count; j++)
            n += sent[k++];
    if (n) {
        emit_name(t->e, "system");
        emit_list(t->e);
    }
    for (size_t i = 0; i < t->plan->lead; i++) {
        const struct canon_message *m = &t->q->messages[i];
        for (size_t j = 0; j < m->count; j++)
            if (*sent++)
                emit_part(t, &m->parts[j], m->parts[j].text);
    }
    if (t->plan->json == JSON_IN_WORDS)
        emit_instruction(t->e, t->q);
    if (n)
        emit_end_list(t->e);
    return sent;
}

static const unsigned char *
last_sent(const struct canon_request *q, const struct anthropic_plan *p)
{
    const unsigned char *at = p->sent, *last = NULL;
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t j = 0; j < q->messages[i].count; j++, at++)
            if (*at)
                last = at;
    return last;
}

void
anthropic_emit_turns(struct json_emit *e, const struct canon_request *q, struct anthropic_plan *p,
                     struct arena *a)
{
    struct turns t = {.e = e, .q = q, .plan = p, .arena = a, .last = last_sent(q, p)};
    const unsigned char *sent = emit_system(&t);
    emit_name(e, "messages");
    emit_list(e);
    emit_messages(&t, sent);
    emit_end_list(e);
}
