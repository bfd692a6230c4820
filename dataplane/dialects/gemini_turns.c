/*
 * Messages as Google's contents. There are two roles, and turns of one role are merged; the results
 * of a model's calls are a turn of their own, in the order of the calls, since not every version
 * matches them by id.
 */
#include "dataplane/dialects/gemini_answer.h"
#include "dataplane/dialects/gemini_order.h"

#include <stdio.h>

/* A history could be made that takes forever to match. */
#define LIMIT_MATCHING_STEPS ((size_t)4 << 20)

enum turn { TURN_NONE, TURN_USER, TURN_MODEL, TURN_RESULTS };

struct turns {
    struct gemini_order *o;
    enum turn open;
    bool has_call; /* in the open turn */
    size_t at;     /* the message that is being written */
    size_t steps;  /* taken to match results with calls */
    size_t count;  /* of turns */
};

static void
close_turn(struct turns *t)
{
    if (t->open == TURN_NONE)
        return;
    emit_end_list(&t->o->e);
    emit_end_map(&t->o->e);
    t->open = TURN_NONE;
}

static void
open_turn(struct turns *t, enum turn turn)
{
    if (t->open == turn)
        return;
    close_turn(t);
    emit_map(&t->o->e);
    emit_str_member(&t->o->e, "role", turn == TURN_MODEL ? "model" : "user");
    emit_name(&t->o->e, "parts");
    emit_list(&t->o->e);
    t->open = turn;
    t->has_call = false;
    t->count++;
}

static void
write_text(struct turns *t, enum turn turn, struct slice text)
{
    open_turn(t, turn);
    emit_map(&t->o->e);
    emit_text_member(&t->o->e, "text", text);
    emit_end_map(&t->o->e);
}

static int
write_media(struct turns *t, enum turn turn, const struct canon_part *p)
{
    char member[32];
    snprintf(member, sizeof(member), "messages[%zu]", t->at);
    open_turn(t, turn);
    emit_map(&t->o->e);
    int err = gemini_write_media(t->o, p, member);
    if (!err && p->origin == DIALECT_GEMINI && p->signature.len)
        emit_text_member(&t->o->e, "thoughtSignature", p->signature);
    emit_end_map(&t->o->e);
    return err;
}

static int
leave_out(struct turns *t, const char *reason)
{
    char member[32];
    snprintf(member, sizeof(member), "messages[%zu]", t->at);
    int err = dialect_leave_out(t->o->w, member, reason);
    return err < 0 ? err : 0;
}

/* --- calls and results ------------------------------------------------------------------------ */

/* The call's own id, without a signature that travels in it. */
static struct slice
own_id(const struct turns *t, struct slice id, struct slice *ret_signature)
{
    struct slice own, signature;
    enum dialect_id origin = DIALECT_GEMINI;
    if (!canon_unpack_id(t->o->w->arena, id, &own, &origin, &signature) || origin != DIALECT_GEMINI)
        signature = (struct slice){0};
    if (ret_signature)
        *ret_signature = signature;
    return own;
}

static bool
is_map(struct slice text)
{
    struct json_span root;
    struct json_error why;
    return text.len && json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &why) == 0 &&
           root.kind == JSON_MAP;
}

/* Gemini 3 refuses a turn whose first call has no signature. For calls that another model made
 * Google has this word instead of one. */
#define SIGNATURE_OF_OTHERS "skip_thought_signature_validator"

static int
write_call(struct turns *t, const struct canon_part *p)
{
    struct json_emit *e = &t->o->e;
    struct slice signature, id = own_id(t, p->id, &signature);
    if (p->custom)
        return leave_out(t, "has no tools with free-form input");
    if (p->signature.len && p->origin == DIALECT_GEMINI)
        signature = p->signature;
    open_turn(t, TURN_MODEL);
    if (signature.len == 0 && !t->has_call && t->o->family == GEMINI_3)
        signature = SLICE(SIGNATURE_OF_OTHERS);
    t->has_call = true;
    emit_map(e);
    emit_name(e, "functionCall");
    emit_map(e);
    if (id.len && !t->o->on_vertex)
        emit_text_member(e, "id", id);
    emit_text_member(e, "name", p->name);
    gemini_write_arguments(e, p->arguments);
    emit_end_map(e);
    if (signature.len)
        emit_text_member(e, "thoughtSignature", signature);
    emit_end_map(e);
    return 0;
}

/* The function that a result is of. */
static struct slice
name_of(struct turns *t, const struct canon_part *result)
{
    const struct canon_request *q = t->o->q;
    struct slice id = own_id(t, result->id, NULL);
    if (result->name.len)
        return result->name;
    for (size_t i = t->at; i > 0; i--)
        for (size_t j = 0; j < q->messages[i - 1].count; j++) {
            const struct canon_part *p = &q->messages[i - 1].parts[j];
            if (++t->steps > LIMIT_MATCHING_STEPS)
                return (struct slice){0};
            if (p->kind == PART_TOOL_CALL && slice_eq(own_id(t, p->id, NULL), id))
                return p->name;
        }
    return (struct slice){0};
}

static bool
is_media(const struct canon_part *p)
{
    return p->kind == PART_IMAGE || p->kind == PART_AUDIO || p->kind == PART_FILE;
}

/* An object: the text itself where it is one, else a member of one. */
static int
write_response(struct turns *t, const struct canon_part *p)
{
    struct json_emit *e = &t->o->e;
    struct slice text = canon_joined_text(t->o->w->arena, p->parts, p->part_count);
    if (!text.at)
        return ERR_NOMEM;
    emit_name(e, "response");
    if (is_map(text) && !p->is_error) {
        emit_raw(e, text);
        return 0;
    }
    emit_map(e);
    emit_name(e, p->is_error ? "error" : "result");
    if (is_map(text))
        emit_raw(e, text);
    else
        emit_text(e, text);
    emit_end_map(e);
    return 0;
}

/* Gemini 3 takes media inside a result; before, they follow in a turn of the user's. */
static int
write_result_media(struct turns *t, const struct canon_part *p)
{
    char member[32];
    int err = 0;
    bool any = false;
    snprintf(member, sizeof(member), "messages[%zu]", t->at);
    for (size_t i = 0; i < p->part_count && !err; i++) {
        if (!is_media(&p->parts[i]))
            continue;
        if (!any) {
            emit_name(&t->o->e, "parts");
            emit_list(&t->o->e);
        }
        any = true;
        emit_map(&t->o->e);
        err = gemini_write_media(t->o, &p->parts[i], member);
        emit_end_map(&t->o->e);
    }
    if (any)
        emit_end_list(&t->o->e);
    return err;
}

static int
write_result(struct turns *t, const struct canon_part *p)
{
    struct json_emit *e = &t->o->e;
    struct slice name = name_of(t, p), id = own_id(t, p->id, NULL);
    char member[32];
    snprintf(member, sizeof(member), "messages[%zu]", t->at);
    if (t->steps > LIMIT_MATCHING_STEPS)
        return dialect_refuse(t->o->w->why, ERR_DENIED, "messages",
                              "'messages': there are too many calls and results to match.");
    if (name.len == 0)
        return dialect_refuse(t->o->w->why, ERR_DENIED, member,
                              "'%s': no call before it has the id '%.*s', and without the "
                              "function's name Google does not take a result.",
                              member, id.len < 64 ? (int)id.len : 64, id.at ? id.at : "");
    open_turn(t, TURN_RESULTS);
    emit_map(e);
    emit_name(e, "functionResponse");
    emit_map(e);
    if (id.len && !t->o->on_vertex)
        emit_text_member(e, "id", id);
    emit_text_member(e, "name", name);
    int err = write_response(t, p);
    if (!err && t->o->family == GEMINI_3)
        err = write_result_media(t, p);
    emit_end_map(e);
    emit_end_map(e);
    return err;
}

static int
write_media_after(struct turns *t, const struct canon_part *result)
{
    int err = 0;
    bool any = false;
    for (size_t i = 0; i < result->part_count && !err; i++) {
        if (!is_media(&result->parts[i]))
            continue;
        if (!any) {
            char *text =
                arena_printf(t->o->w->arena,
                             "This belongs to the result of %.*s:", SLICE_ARG(name_of(t, result)));
            if (!text)
                return ERR_NOMEM;
            write_text(t, TURN_USER, slice_of(text));
        }
        any = true;
        err = write_media(t, TURN_USER, &result->parts[i]);
    }
    return err;
}

/* A run of tool messages, [from, to): the results in the order of the calls before them. */
struct results {
    const struct canon_part **parts;
    size_t count;
};

static int
collect_results(const struct turns *t, size_t from, size_t to, struct results *ret)
{
    const struct canon_request *q = t->o->q;
    size_t count = 0, n = 0;
    for (size_t i = from; i < to; i++)
        count += q->messages[i].count;
    ret->count = count;
    ret->parts = arena_alloc(t->o->w->arena, (count + 1) * sizeof(ret->parts[0]));
    if (!ret->parts)
        return ERR_NOMEM;
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; j < q->messages[i].count; j++)
            ret->parts[n++] = &q->messages[i].parts[j];
    return 0;
}

/* Moves the result of call `id` to place `to`, where it is not before it. */
static bool
move_result(struct turns *t, struct results *r, struct slice id, size_t to)
{
    for (size_t i = to; i < r->count && ++t->steps <= LIMIT_MATCHING_STEPS; i++) {
        const struct canon_part *found = r->parts[i];
        if (!slice_eq(own_id(t, found->id, NULL), id))
            continue;
        for (; i > to; i--)
            r->parts[i] = r->parts[i - 1];
        r->parts[to] = found;
        return true;
    }
    return false;
}

static int
write_results(struct turns *t, size_t from, size_t to)
{
    const struct canon_request *q = t->o->q;
    struct results r;
    size_t placed = 0, first = from;
    int err = collect_results(t, from, to, &r);
    while (first > 0 && q->messages[first - 1].role == ROLE_ASSISTANT)
        first--;
    for (size_t i = first; i < from && !err; i++)
        for (size_t j = 0; j < q->messages[i].count; j++)
            if (q->messages[i].parts[j].kind == PART_TOOL_CALL)
                placed += move_result(t, &r, own_id(t, q->messages[i].parts[j].id, NULL), placed);
    for (size_t i = 0; i < r.count && !err; i++)
        err = r.parts[i]->custom ? leave_out(t, "has no tools with free-form input")
                                 : write_result(t, r.parts[i]);
    for (size_t i = 0; i < r.count && !err && t->o->family != GEMINI_3; i++)
        err = write_media_after(t, r.parts[i]);
    return err;
}

/* --- messages --------------------------------------------------------------------------------- */

static void
write_signed_text(struct turns *t, const struct canon_part *p, bool is_thought)
{
    struct json_emit *e = &t->o->e;
    bool is_signed = p->origin == DIALECT_GEMINI && p->signature.len;
    if (p->text.len == 0 && !is_signed)
        return;
    open_turn(t, TURN_MODEL);
    emit_map(e);
    emit_text_member(e, "text", p->text);
    if (is_thought)
        emit_bool_member(e, "thought", true);
    if (is_signed)
        emit_text_member(e, "thoughtSignature", p->signature);
    emit_end_map(e);
}

static int
write_model_part(struct turns *t, const struct canon_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        write_signed_text(t, p, false);
        return 0;
    case PART_REASONING: /* of another model's, what may be read of it */
        write_signed_text(t, p, true);
        return 0;
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_FILE:
        return write_media(t, TURN_MODEL, p);
    case PART_TOOL_CALL:
        return write_call(t, p);
    case PART_OPAQUE:
        if (p->origin != DIALECT_GEMINI)
            return leave_out(t, "cannot take an item of another provider's");
        open_turn(t, TURN_MODEL);
        emit_raw(&t->o->e, p->raw);
        return 0;
    case PART_TOOL_RESULT:
        break;
    }
    return leave_out(t, "takes no results in an assistant's message");
}

static int
write_user_part(struct turns *t, const struct canon_part *p)
{
    if (p->kind == PART_TEXT || p->kind == PART_REFUSAL) {
        write_text(t, TURN_USER, p->text);
        return 0;
    }
    if (is_media(p))
        return write_media(t, TURN_USER, p);
    if (p->kind == PART_OPAQUE && p->origin == DIALECT_GEMINI) {
        open_turn(t, TURN_USER);
        emit_raw(&t->o->e, p->raw);
        return 0;
    }
    return leave_out(t, "cannot take such a part of a user's message");
}

/* A system message behind the first turn: said where it stands, and by whom. */
static int
write_later_system(struct turns *t, const struct canon_message *m)
{
    struct slice text = canon_joined_text(t->o->w->arena, m->parts, m->count);
    char *told =
        text.at ? arena_printf(t->o->w->arena, "<system>\n%.*s\n</system>", SLICE_ARG(text)) : NULL;
    if (!told)
        return ERR_NOMEM;
    write_text(t, TURN_USER, slice_of(told));
    return 0;
}

static bool
is_system(const struct canon_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

static int
write_message(struct turns *t)
{
    const struct canon_request *q = t->o->q;
    const struct canon_message *m = &q->messages[t->at];
    int err = 0;
    if (is_system(m))
        return write_later_system(t, m);
    if (m->role == ROLE_TOOL) {
        size_t to = t->at + 1;
        while (to < q->message_count && q->messages[to].role == ROLE_TOOL)
            to++;
        err = write_results(t, t->at, to);
        t->at = to - 1;
        return err;
    }
    for (size_t i = 0; i < m->count && !err; i++)
        err = m->role == ROLE_ASSISTANT ? write_model_part(t, &m->parts[i])
                                        : write_user_part(t, &m->parts[i]);
    return err;
}

/* --- all of them ------------------------------------------------------------------------------ */

#define JSON_WORDS "Answer with a single JSON object and nothing else."

/* The messages before the first turn. Gemma knows no system: there they are said in the turn. */
static int
write_system(struct turns *t, size_t *ret_count)
{
    const struct canon_request *q = t->o->q;
    struct json_emit *e = &t->o->e;
    size_t n = 0;
    while (n < q->message_count && is_system(&q->messages[n]))
        n++;
    if (t->o->family == GEMINI_GEMMA)
        n = 0;
    *ret_count = n;
    if (n == 0 && !(t->o->json_by_words && t->o->family != GEMINI_GEMMA))
        return 0;
    emit_name(e, "systemInstruction");
    emit_map(e);
    emit_name(e, "parts");
    emit_list(e);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < q->messages[i].count; j++) {
            const struct canon_part *p = &q->messages[i].parts[j];
            t->at = i;
            int err = p->kind == PART_TEXT ? 0 : leave_out(t, "takes only text from the system");
            if (err)
                return err;
            if (p->kind != PART_TEXT)
                continue;
            emit_map(e);
            emit_text_member(e, "text", p->text);
            emit_end_map(e);
        }
    if (t->o->json_by_words) {
        emit_map(e);
        emit_str_member(e, "text", JSON_WORDS);
        emit_end_map(e);
    }
    emit_end_list(e);
    emit_end_map(e);
    return 0;
}

int
gemini_write_turns(struct gemini_order *o)
{
    struct turns t = {.o = o};
    size_t first;
    int err = write_system(&t, &first);
    emit_name(&o->e, "contents");
    emit_list(&o->e);
    for (t.at = first; t.at < o->q->message_count && !err; t.at++)
        err = write_message(&t);
    if (!err && t.count == 0)
        write_text(&t, TURN_USER, SLICE("")); /* Google wants one */
    close_turn(&t);
    emit_end_list(&o->e);
    return err;
}
