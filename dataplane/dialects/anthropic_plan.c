/*
 * What is decided of a request before it is written to Anthropic: how the model thinks, how
 * structured output is had, which parts are sent. What the provider cannot do is refused here, or
 * left out where the key allows that.
 *
 * Emulated, because it means the same: an effort as a budget (below max_tokens) on models that
 * count one; temperatures above 1 as 1 (the most that Anthropic knows); structured output by a
 * forced call on models without it; a JSON object by instruction.
 */
#include "dataplane/dialects/anthropic_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_BUDGET 1024
#define LIMIT_CACHE_MARKERS 4

static const char *const said[SAID_MEMBERS][CLIENT_DIALECTS] = {
    [SAID_REASONING] = {"reasoning_effort", "reasoning", "thinking",
                        "generationConfig.thinkingConfig"},
    [SAID_TEMPERATURE] = {"temperature", "temperature", "temperature",
                          "generationConfig.temperature"},
    [SAID_TOP_P] = {"top_p", "top_p", "top_p", "generationConfig.topP"},
    [SAID_TOP_K] = {"top_k", "top_k", "top_k", "generationConfig.topK"},
    [SAID_FREQUENCY] = {"frequency_penalty", "frequency_penalty", "frequency_penalty",
                        "generationConfig.frequencyPenalty"},
    [SAID_PRESENCE] = {"presence_penalty", "presence_penalty", "presence_penalty",
                       "generationConfig.presencePenalty"},
    [SAID_SEED] = {"seed", "seed", "seed", "generationConfig.seed"},
    [SAID_CHOICES] = {"n", "n", "n", "generationConfig.candidateCount"},
    [SAID_STOP] = {"stop", "stop", "stop_sequences", "generationConfig.stopSequences"},
    [SAID_TIER] = {"service_tier", "service_tier", "service_tier", "serviceTier"},
};

const char *
anthropic_said(const struct canon_request *q, enum anthropic_said what)
{
    return said[what][q->origin < CLIENT_DIALECTS ? q->origin : DIALECT_CHAT];
}

/* How a number compares: below, equal, above; -2: it is none. */
static int
compare(struct slice number, double value)
{
    char text[40];
    if (number.len == 0 || number.len >= sizeof(text))
        return -2;
    memcpy(text, number.at, number.len);
    text[number.len] = 0;
    double n = strtod(text, NULL);
    return n < value ? -1 : n > value;
}

bool
anthropic_number_is(struct slice number, double value)
{
    return compare(number, value) == 0;
}

bool
anthropic_number_above(struct slice number, double value)
{
    return compare(number, value) == 1;
}

bool
anthropic_has_words(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n", text.at[i]))
            return true;
    return false;
}

/* --- what it cannot do ------------------------------------------------------------------------ */

static bool
is_asked(struct slice number)
{
    return number.len && !anthropic_number_is(number, 0);
}

static int
check_features(const struct canon_request *q, struct dialect_writer *w)
{
    const struct {
        bool asked;
        enum feature feature;
        const char *member;
    } rows[] = {
        {q->choices > 1, FEATURE_CHOICES, anthropic_said(q, SAID_CHOICES)},
        {is_asked(q->frequency_penalty), FEATURE_PENALTIES, anthropic_said(q, SAID_FREQUENCY)},
        {is_asked(q->presence_penalty), FEATURE_PENALTIES, anthropic_said(q, SAID_PRESENCE)},
        {q->seed.len > 0, FEATURE_SEED, anthropic_said(q, SAID_SEED)},
        {q->logprobs == TRI_YES || q->top_logprobs > 0, FEATURE_LOGPROBS, "logprobs"},
        {json_view_count(json_view_of(q->logit_bias_raw)) > 0, FEATURE_LOGIT_BIAS, "logit_bias"},
        {json_view_count(json_view_of(q->metadata_raw)) > 0, FEATURE_METADATA, "metadata"},
        {q->verbosity.len > 0, FEATURE_VERBOSITY, "verbosity"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = rows[i].asked ? dialect_need(w, rows[i].feature, rows[i].member) : 0;
        if (err < 0)
            return err;
    }
    return 0;
}

static int
check_tools(const struct canon_request *q, struct dialect_writer *w)
{
    char member[32];
    for (size_t i = 0; i < q->tool_count; i++) {
        const struct canon_tool *t = &q->tools[i];
        int err = 0;
        snprintf(member, sizeof(member), "tools[%zu]", i);
        if (t->kind == TOOL_CUSTOM)
            err = dialect_need(w, FEATURE_CUSTOM_TOOLS, member);
        else if (t->kind == TOOL_HOSTED && t->origin != DIALECT_ANTHROPIC &&
                 !anthropic_is_search(t))
            err = dialect_leave_out(w, member, "does not run this tool");
        if (err < 0)
            return err;
    }
    return 0;
}

/* --- which parts are sent --------------------------------------------------------------------- */

/* Signed by Anthropic: everything else would be refused, and is no part of the conversation. */
static bool
is_replayable(const struct canon_part *p)
{
    return p->kind == PART_REASONING && p->origin == DIALECT_ANTHROPIC &&
           (p->signature.len || p->encrypted.len);
}

static int
check_result(const struct canon_part *result, struct dialect_writer *w, const char *member)
{
    for (size_t i = 0; i < result->part_count; i++) {
        const struct canon_part *p = &result->parts[i];
        int err = 0;
        if (p->kind == PART_IMAGE || p->kind == PART_FILE || p->kind == PART_AUDIO)
            err = anthropic_check_media(p, w, member);
        else if (p->kind == PART_OPAQUE && p->origin != DIALECT_ANTHROPIC)
            err = dialect_leave_out(w, member, "does not understand this item");
        if (err < 0)
            return err;
    }
    return 0;
}

/* 0: sent; 1: not; ERR_DENIED. */
static int
check_part(const struct canon_message *m, const struct canon_part *p, struct dialect_writer *w,
           const char *member)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        return anthropic_has_words(p->text) ? 0 : 1; /* empty blocks are refused */
    case PART_REASONING:
        return is_replayable(p) ? 0 : 1;
    case PART_AUDIO:
        if (m->role == ROLE_ASSISTANT)
            return anthropic_has_words(p->text) ? 0 : 1; /* of an earlier answer: what was said */
        return anthropic_check_media(p, w, member);
    case PART_IMAGE:
    case PART_FILE:
        return anthropic_check_media(p, w, member);
    case PART_TOOL_RESULT:
        return check_result(p, w, member);
    case PART_OPAQUE:
        return p->origin == DIALECT_ANTHROPIC
                   ? 0
                   : dialect_leave_out(w, member, "does not understand this item");
    default:
        return 0;
    }
}

static bool
is_system(const struct canon_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

static int
check_parts(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *ret)
{
    size_t count = 0, n = 0, turns = 0;
    char member[96];
    for (size_t i = 0; i < q->message_count; i++)
        count += q->messages[i].count;
    ret->sent = arena_zalloc(w->arena, count + 1);
    if (!ret->sent)
        return ERR_NOMEM;
    for (size_t i = 0; i < q->message_count; i++) {
        const struct canon_message *m = &q->messages[i];
        for (size_t j = 0; j < m->count; j++, n++) {
            snprintf(member, sizeof(member), "messages[%zu].content[%zu]", i, j);
            int err = check_part(m, &m->parts[j], w, member);
            if (err < 0)
                return err;
            ret->sent[n] = err == 0;
            turns += err == 0 && !is_system(m);
        }
    }
    /* A system prompt alone is no conversation: it is what the user says then. */
    bool own = q->origin == DIALECT_ANTHROPIC;
    ret->frames = turns && !own;
    while ((turns || own) && ret->lead < q->message_count && is_system(&q->messages[ret->lead]))
        ret->lead++;
    return 0;
}

/* --- thinking --------------------------------------------------------------------------------- */

static bool
forces_tool(const struct canon_request *q)
{
    return q->tool_count && (q->tool_choice == CHOICE_REQUIRED || q->tool_choice == CHOICE_NAMED);
}

/* The first part that is sent of messages[i], whose marks are `sent`; NULL: none is. */
static const struct canon_part *
first_sent(const struct canon_message *m, const unsigned char *sent)
{
    for (size_t j = 0; j < m->count; j++)
        if (sent[j])
            return &m->parts[j];
    return NULL;
}

/* With a budget, a turn that goes on behind tool results must begin with signed thinking. Turns are
 * those that are written: messages of which nothing is sent are none. */
static bool
lacks_signed_thinking(const struct canon_request *q, const struct anthropic_plan *p)
{
    const unsigned char *sent = p->sent;
    const struct canon_part *turn = NULL; /* the first part of the last turn of the assistant's */
    bool has_results = false, goes_on = false;
    for (size_t i = 0; i < q->message_count; i++) {
        const struct canon_message *m = &q->messages[i];
        const struct canon_part *first = first_sent(m, sent);
        sent += m->count;
        if (!first)
            continue;
        if (m->role != ROLE_ASSISTANT) {
            has_results |= m->role == ROLE_TOOL;
            goes_on = false;
        } else if (!goes_on) {
            turn = first;
            has_results = false;
            goes_on = true;
        }
    }
    return turn && has_results && !is_replayable(turn);
}

static const char *
fit_effort(const struct anthropic_model *m, struct slice effort)
{
    if (slice_is(effort, "minimal") || slice_is(effort, "low"))
        return "low";
    if (slice_is(effort, "medium"))
        return "medium";
    if (slice_is(effort, "xhigh") && m->xhigh)
        return "xhigh";
    if (slice_is(effort, "max") && m->max)
        return "max";
    return effort.len ? "high" : NULL;
}

static int
leave_thinking(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *p,
               const char *reason)
{
    p->thinking = p->model->unasked ? THINK_OFF : THINK_UNSAID;
    int err = dialect_leave_out(w, anthropic_said(q, SAID_REASONING), reason);
    return err < 0 ? err : 0;
}

/* A budget is at least 1024 and below max_tokens; an effort leaves a quarter for the answer. */
static int
plan_budget(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *p)
{
    bool exact = q->reasoning.budget > 0;
    bool own = q->origin == DIALECT_ANTHROPIC; /* whose bounds are the provider's to judge */
    int64_t most = own ? INT64_MAX : exact ? p->max_tokens - 1 : p->max_tokens - p->max_tokens / 4;
    int64_t effort = canon_budget_of_effort(q->reasoning.effort);
    p->budget = exact ? q->reasoning.budget : effort > 0 ? effort : 8192;
    if (lacks_signed_thinking(q, p))
        return leave_thinking(q, w, p,
                              "demands the signed thinking of the turn that its tool calls are of");
    if (p->budget < MIN_BUDGET)
        p->budget = MIN_BUDGET;
    if (p->budget > most)
        p->budget = most;
    if (p->budget < MIN_BUDGET)
        return exact ? leave_thinking(q, w, p, "thinks with 1024 tokens at least, below the limit")
                     : 0; /* so short an answer is not worth an effort */
    p->thinking = THINK_BUDGET;
    return 0;
}

static int
plan_adaptive(const struct canon_request *q, struct anthropic_plan *p)
{
    struct slice effort = q->reasoning.effort;
    if (effort.len == 0 && q->reasoning.budget > 0)
        effort = slice_of(canon_effort_of_budget(q->reasoning.budget));
    p->thinking = THINK_ADAPTIVE;
    p->effort = fit_effort(p->model, effort);
    return 0;
}

/* Anthropic's own effort, without a word about thinking. */
static int
plan_effort(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *p)
{
    if (q->origin != DIALECT_ANTHROPIC || q->reasoning.effort.len == 0)
        return 0;
    if (p->model->effort) {
        p->effort = fit_effort(p->model, q->reasoning.effort);
        return 0;
    }
    int err = dialect_leave_out(w, "output_config.effort", "runs a model that does not take it");
    return err < 0 ? err : 0;
}

static int
plan_thinking(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *p)
{
    const struct anthropic_model *m = p->model;
    int64_t budget = q->reasoning.budget;
    bool off = budget == 0 || slice_is(q->reasoning.effort, "none");
    bool on = !off && (budget > 0 || budget == -2 ||
                       (q->reasoning.effort.len && q->origin != DIALECT_ANTHROPIC));
    if (!on) {
        if ((off && m->thinks && (m->unasked || q->origin == DIALECT_ANTHROPIC)) ||
            (m->unasked && forces_tool(q)))
            p->thinking = THINK_OFF;
        return plan_effort(q, w, p);
    }
    if (!m->thinks)
        return leave_thinking(q, w, p, "runs a model that does not think");
    if (forces_tool(q))
        return leave_thinking(q, w, p, "cannot think while a tool call is forced");
    if (m->adaptive && !(m->manual && budget > 0))
        return plan_adaptive(q, p);
    int err = plan_budget(q, w, p);
    return err ? err : plan_effort(q, w, p);
}

/* --- structured output ------------------------------------------------------------------------ */

static void
plan_json(const struct canon_request *q, struct dialect_writer *w, struct anthropic_plan *p)
{
    struct json_view schema = json_view_of(q->format_schema_raw);
    bool thinks = p->thinking == THINK_BUDGET || p->thinking == THINK_ADAPTIVE ||
                  (p->thinking == THINK_UNSAID && p->model->unasked);
    if (q->format == FORMAT_TEXT)
        return;
    bool own = q->origin == DIALECT_ANTHROPIC;
    if (q->format == FORMAT_SCHEMA && p->model->schema && (own || anthropic_schema_fits(schema)))
        p->json = JSON_NATIVE;
    else if (q->format == FORMAT_SCHEMA && forces_tool(q))
        p->json = JSON_UNSAID; /* a call is all that comes */
    else if (q->format == FORMAT_SCHEMA && !thinks &&
             json_view_is(json_view_get(schema, "type"), "object"))
        p->json = JSON_TOOL;
    else
        p->json = JSON_IN_WORDS;
    w->json_by_tool = p->json == JSON_TOOL;
}

int
anthropic_make_plan(const struct canon_request *q, struct dialect_writer *w,
                    struct anthropic_plan *ret)
{
    *ret = (struct anthropic_plan){.model = anthropic_model_of(w->target->model)};
    ret->max_tokens = q->max_tokens > 0 ? q->max_tokens : ret->model->max_output;
    /* More than the model can give means the same as all it can give. */
    if (q->origin != DIALECT_ANTHROPIC && ret->max_tokens > ret->model->max_output)
        ret->max_tokens = ret->model->max_output;
    int err = check_features(q, w);
    if (!err)
        err = check_tools(q, w);
    if (!err)
        err = check_parts(q, w, ret);
    if (!err)
        err = plan_thinking(q, w, ret);
    if (err)
        return err;
    plan_json(q, w, ret);
    size_t caches = anthropic_count_caches(q, ret);
    ret->skip_caches = caches > LIMIT_CACHE_MARKERS ? caches - LIMIT_CACHE_MARKERS : 0;
    return 0;
}
