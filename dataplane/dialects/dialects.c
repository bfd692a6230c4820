/* The register of dialects, which kind of provider speaks which, and what all writers share. */
#include "dataplane/dialects/dialect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct dialect *const dialects[DIALECTS] = {
    [DIALECT_CHAT] = &dialect_chat,           [DIALECT_RESPONSES] = &dialect_responses,
    [DIALECT_ANTHROPIC] = &dialect_anthropic, [DIALECT_CONVERSE] = &dialect_converse,
    [DIALECT_GEMINI] = &dialect_gemini,       [DIALECT_COHERE] = &dialect_cohere,
};

const struct dialect *
dialect_get(enum dialect_id id)
{
    return dialects[id];
}

#define BIT(dialect) (1u << (dialect))

/* What a kind speaks besides chat completions; the first of those that it speaks is its own. */
static const struct {
    enum dialect_id own;
    unsigned also;
} spoken[PROVIDER_KINDS] = {
    [PROVIDER_OPENAI] = {DIALECT_CHAT, BIT(DIALECT_RESPONSES)},
    [PROVIDER_AZURE_OPENAI] = {DIALECT_CHAT, BIT(DIALECT_RESPONSES)},
    [PROVIDER_XAI] = {DIALECT_CHAT, BIT(DIALECT_RESPONSES)},
    [PROVIDER_SIMULATOR] = {DIALECT_CHAT, 0},
    [PROVIDER_ANTHROPIC] = {DIALECT_ANTHROPIC, 0},
    [PROVIDER_GEMINI] = {DIALECT_GEMINI, 0},
    [PROVIDER_VERTEX] = {DIALECT_GEMINI, 0},
    [PROVIDER_BEDROCK] = {DIALECT_CONVERSE, 0},
    [PROVIDER_COHERE] = {DIALECT_COHERE, 0},
    /* all others: chat completions, which is 0 */
};

const struct dialect *
dialect_for(const struct policy_provider *p, enum dialect_id client)
{
    enum dialect_id own = spoken[p->kind].own;
    unsigned also = spoken[p->kind].also;
    if (own == DIALECT_CHAT && p->api != PROVIDER_API_DEFAULT) {
        own = p->api == PROVIDER_API_RESPONSES ? DIALECT_RESPONSES : DIALECT_CHAT;
        also = p->api == PROVIDER_API_BOTH ? BIT(DIALECT_RESPONSES) : 0;
    }
    return dialect_get(also & BIT(client) ? client : own);
}

bool
dialect_answers_deviate(const struct policy_provider *p)
{
    return p->kind == PROVIDER_MISTRAL; /* content that is a list of parts, calls without a type */
}

/* --- refusals --------------------------------------------------------------------------------- */

int
dialect_refuse(struct dialect_refusal *why, int err, const char *member, const char *format, ...)
{
    va_list args;
    snprintf(why->member, sizeof(why->member), "%s", member);
    va_start(args, format);
    vsnprintf(why->message, sizeof(why->message), format, args);
    va_end(args);
    return err;
}

int
dialect_leave_out(struct dialect_writer *w, const char *member, const char *reason)
{
    if (!w->may_degrade)
        return dialect_refuse(w->why, ERR_DENIED, member, "'%s': provider '%.*s' %s.", member,
                              SLICE_ARG(w->target->provider->name), reason);
    if (w->degraded_count == LIMIT_DEGRADED)
        return dialect_refuse(
            w->why, ERR_DENIED, member,
            "'%s': more of this request than %d members would have to be left out "
            "for provider '%.*s'.",
            member, LIMIT_DEGRADED, SLICE_ARG(w->target->provider->name));
    char *name = arena_strdup(w->arena, slice_of(member));
    if (!name)
        return ERR_NOMEM;
    w->degraded[w->degraded_count++] = slice_of(name);
    return 1;
}

int
dialect_need(struct dialect_writer *w, enum feature feature, const char *member)
{
    char reason[96];
    if (capability_of(w->target->provider->kind, feature) != UNSUPPORTED)
        return 0;
    snprintf(reason, sizeof(reason), "does not support it (%s)", feature_names[feature]);
    return dialect_leave_out(w, member, reason);
}

static bool
is_harmless(struct slice name, const char *const *harmless)
{
    for (size_t i = 0; harmless && harmless[i]; i++)
        if (slice_is(name, harmless[i]))
            return true;
    return false;
}

/* Members of Responses that ask for what only its own server holds or does. Leaving them out would
 * change what is answered, so they are refused whatever the key allows. */
static const struct {
    const char *name, *advice;
} stateful[] = {
    {"previous_response_id", "keeps no responses: send the earlier items again in 'input'"},
    {"conversation", "keeps no conversations: send their items again in 'input'"},
    {"prompt", "keeps no prompts: send its text as 'instructions' and 'input'"},
    {"background", "answers at once or not at all: leave it out, and stream instead"},
};

static int
refuse_stateful(struct dialect_writer *w, struct slice name)
{
    for (size_t i = 0; i < sizeof(stateful) / sizeof(stateful[0]); i++)
        if (slice_is(name, stateful[i].name))
            return dialect_refuse(w->why, ERR_DENIED, stateful[i].name, "'%s': provider '%.*s' %s.",
                                  stateful[i].name, SLICE_ARG(w->target->provider->name),
                                  stateful[i].advice);
    return 0;
}

/* Of Responses: what only says how the answer is delivered, cached or filed, or what is read
 * already and is kept as it was written. */
static const char *const responses_harmless[] = {"include",
                                                 "instructions",
                                                 "max_tool_calls",
                                                 "prompt_cache_options",
                                                 "stream_options",
                                                 "safety_identifier",
                                                 "prompt_cache_retention",
                                                 "tool_choice",
                                                 "tools",
                                                 "truncation",
                                                 NULL};

int
dialect_leave_extras(struct dialect_writer *w, const struct canon_request *q,
                     const char *const *harmless)
{
    int left = 0;
    char name[96];
    for (size_t i = 0; i < q->extra_count; i++) {
        bool responses = q->origin == DIALECT_RESPONSES;
        if (is_harmless(q->extras[i].name, harmless) ||
            (responses && is_harmless(q->extras[i].name, responses_harmless)))
            continue;
        int stays = responses ? refuse_stateful(w, q->extras[i].name) : 0;
        if (stays)
            return stays;
        snprintf(name, sizeof(name), "%.*s", SLICE_ARG(q->extras[i].name));
        int err = dialect_leave_out(w, name, "is spoken to in a dialect that has no such member");
        if (err < 0)
            return err;
        left = 1;
    }
    return left;
}
