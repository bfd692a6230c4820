/* What passes between a Gemini client and a Gemini provider as it is: see dialect.h. */
#include "dataplane/dialects/gemini_internal.h"

#include <stdio.h>

/* --- the request ------------------------------------------------------------------------------ */

static int
refuse_json(struct dialect_refusal *why, int err, const struct json_error *at, const char *where)
{
    char member[96];
    if (err != ERR_CONFLICT)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body is not valid JSON: %s at byte %zu.",
                              at->reason ? at->reason : "malformed", at->offset);
    snprintf(member, sizeof(member), "%s%s", where, at->member ? at->member : "?");
    why->duplicate = true;
    return dialect_refuse(why, ERR_SYNTAX, member,
                          "The member '%s' appears more than once (at byte %zu).", member,
                          at->offset);
}

/* Both spellings of a member at once would be read differently by two parsers. */
static int
one_of(const struct json_span *at, size_t camel, size_t snake, const char *member,
       struct dialect_refusal *why, struct json_span *ret)
{
    *ret = at[camel].kind != JSON_ABSENT ? at[camel] : at[snake];
    if (at[camel].kind == JSON_ABSENT || at[snake].kind == JSON_ABSENT)
        return 0;
    why->duplicate = true;
    return dialect_refuse(why, ERR_SYNTAX, member,
                          "The member '%s' appears in both of its spellings.", member);
}

enum {
    CONFIG_MAX,
    CONFIG_MAX_SNAKE,
    CONFIG_COUNT,
    CONFIG_COUNT_SNAKE,
    CONFIG_THINKING,
    CONFIG_THINKING_SNAKE,
    CONFIG_NAMES
};
static const char *const config_names[CONFIG_NAMES] = {"maxOutputTokens", "max_output_tokens",
                                                       "candidateCount",  "candidate_count",
                                                       "thinkingConfig",  "thinking_config"};
#define MAX_MEMBER "generationConfig.maxOutputTokens"

/* What thinking may take is a part of the output: a limit below it leaves no answer. */
static void
brief_thinking(struct slice config, const struct json_span *at, struct request_brief *ret)
{
    struct json_span span =
        at[CONFIG_THINKING].kind ? at[CONFIG_THINKING] : at[CONFIG_THINKING_SNAKE];
    struct json_view thinking = {span.kind, json_raw(config, span)};
    int64_t n = json_view_int_or(gemini_get(thinking, "thinkingBudget"), 0);
    if (n > 0 && n < INT64_MAX)
        ret->least_tokens = n + 1;
}

static int
brief_config(struct slice config, struct request_brief *ret, struct dialect_refusal *why)
{
    struct json_span at[CONFIG_NAMES], max, count;
    struct json_error bad = {0};
    int64_t n;
    int err = json_scan(config, &json_limits_default, config_names, CONFIG_NAMES, at, NULL, &bad);
    if (err)
        return err == ERR_NOMEM ? err : refuse_json(why, err, &bad, "generationConfig.");
    err = one_of(at, CONFIG_MAX, CONFIG_MAX_SNAKE, MAX_MEMBER, why, &max);
    if (!err)
        err = one_of(at, CONFIG_COUNT, CONFIG_COUNT_SNAKE, "generationConfig.candidateCount", why,
                     &count);
    if (err)
        return err;
    if (max.kind != JSON_ABSENT && max.kind != JSON_NULL_) {
        ret->max_tokens_member = MAX_MEMBER;
        if (max.kind == JSON_NUMBER && json_int(config, max, &n) == 0 && n > 0)
            ret->max_tokens = n;
        else
            ret->max_tokens_odd = true;
    }
    if (count.kind == JSON_NUMBER && json_int(config, count, &n) == 0 && n > 1)
        ret->choices = n;
    brief_thinking(config, at, ret);
    return 0;
}

enum { TOP_TOOLS, TOP_CONFIG, TOP_CONFIG_SNAKE, TOP_NAMES };
static const char *const top_names[TOP_NAMES] = {"tools", "generationConfig", "generation_config"};

int
gemini_brief(struct slice body, const struct dialect_call *call, struct arena *a,
             struct request_brief *ret, struct dialect_refusal *why)
{
    struct json_span at[TOP_NAMES], root, config;
    struct json_error bad = {0};
    (void)a;
    *ret = (struct request_brief){.choices = 1};
    int err = json_scan(body, &json_limits_default, top_names, TOP_NAMES, at, &root, &bad);
    if (err)
        return err == ERR_NOMEM ? err : refuse_json(why, err, &bad, "");
    if (root.kind != JSON_MAP)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body must be a JSON object.");
    ret->model = call->path_model;
    ret->stream = call->path_stream;
    if (gemini_count((struct json_view){at[TOP_TOOLS].kind, json_raw(body, at[TOP_TOOLS])}) > 0)
        ret->tools_member = "tools";
    err = one_of(at, TOP_CONFIG, TOP_CONFIG_SNAKE, "generationConfig", why, &config);
    if (!err && config.kind == JSON_MAP)
        err = brief_config(json_raw(body, config), ret, why);
    else if (!err && config.kind != JSON_ABSENT && config.kind != JSON_NULL_)
        ret->max_tokens_odd = true;
    return err;
}

int
gemini_limit_output(struct slice body, const struct dialect_target *t, int64_t n, struct arena *a,
                    struct output_edits *ret)
{
    struct json_span at[TOP_NAMES], root, first, value;
    struct json_error why;
    size_t cursor;
    (void)t;
    if (json_scan(body, &json_limits_default, top_names, TOP_NAMES, at, &root, &why) != 0)
        return ERR_NOMEM; /* it was scanned before: nothing else is left */
    struct json_span config = at[TOP_CONFIG].kind ? at[TOP_CONFIG] : at[TOP_CONFIG_SNAKE];
    if (config.kind == JSON_MAP)
        return dialect_limit_member(body, &config, config_names, 2, config_names[CONFIG_MAX], n, a,
                                    ret);
    const char *map = arena_printf(a, "{\"%s\":%lld}", config_names[CONFIG_MAX], (long long)n);
    cursor = root.start;
    bool empty = !json_next(body, root, &cursor, &first, &value), absent = !config.kind;
    const char *member =
        arena_printf(a, "\"%s\":%s%s", top_names[TOP_CONFIG], map ? map : "", empty ? "" : ",");
    if (!map || !member)
        return ERR_NOMEM;
    ret->count = 1;
    ret->at[0] = absent ? (struct json_splice){root.start + 1, root.start + 1, slice_of(member)}
                        : (struct json_splice){config.start, config.end, slice_of(map)};
    return 0;
}

/* --- where it goes ---------------------------------------------------------------------------- */

/* Everything but RFC 3986's unreserved characters: a name must not become another path. */
static int
add_encoded(struct buf *into, struct slice name)
{
    int err = 0;
    for (size_t i = 0; i < name.len && !err; i++) {
        unsigned char c = (unsigned char)name.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        err = plain ? buf_add(into, &c, 1) : buf_addf(into, "%%%02X", c);
    }
    return err;
}

/* The kinds of models whose names say where they stand. */
static struct slice
collection_of(const struct dialect_target *t, struct slice *model)
{
    static const struct slice named[] = {{"models/", 7}, {"tunedModels/", 12}, {"endpoints/", 10}};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (slice_starts(*model, named[i])) {
            *model = slice_from(*model, named[i].len);
            if (i > 0)
                return named[i];
        }
    return t->provider->kind == PROVIDER_VERTEX ? SLICE("publishers/google/models/") : named[0];
}

int
gemini_path(const struct dialect_target *t, const char *method, struct arena *a, struct slice *ret)
{
    struct slice model = t->model, collection = collection_of(t, &model);
    struct buf path;
    int err = 0;
    buf_init(&path, 0);
    if (t->provider->kind == PROVIDER_VERTEX) {
        err = buf_add_str(&path, "/projects/");
        if (!err)
            err = add_encoded(&path, t->provider->project);
        if (!err)
            err = buf_add_str(&path, "/locations/");
        if (!err)
            err = add_encoded(&path, t->provider->location);
    }
    if (!err)
        err = buf_addf(&path, "/%.*s", SLICE_ARG(collection));
    if (!err)
        err = add_encoded(&path, model);
    if (!err)
        err = buf_addf(&path, ":%s", method);
    *ret = err ? slice_none() : arena_copy(a, buf_slice(&path));
    buf_free(&path);
    return ret->at ? 0 : ERR_NOMEM;
}

int
gemini_address(const struct dialect_target *t, bool stream, struct arena *a,
               struct dialect_address *ret)
{
    *ret = (struct dialect_address){.field_count = 0};
    return gemini_path(t, stream ? "streamGenerateContent?alt=sse" : "generateContent", a,
                       &ret->path);
}

/* --- what comes back -------------------------------------------------------------------------- */

/* The object of an answer: itself, or the first of a list, which is how Google answers some calls
 * (and errors of streams that did not ask for events). ERR_PROTOCOL: neither. */
static int
response_of(struct slice text, struct json_view *ret)
{
    struct json_span root;
    struct json_error why;
    size_t cursor = 0;
    struct slice name;
    if (json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &why))
        return ERR_PROTOCOL;
    struct json_view whole = {root.kind, json_raw(text, root)};
    *ret = whole;
    if (whole.kind == JSON_LIST && !json_view_next(whole, &cursor, &name, ret))
        return ERR_PROTOCOL;
    return ret->kind == JSON_MAP ? 0 : ERR_PROTOCOL;
}

static bool
has_ended(struct json_view response)
{
    struct json_view candidates = gemini_get(response, "candidates"), candidate;
    struct slice name, word;
    size_t cursor = 0;
    if (gemini_block_reason(response).len)
        return true;
    while (candidates.kind == JSON_LIST && json_view_next(candidates, &cursor, &name, &candidate))
        if (gemini_read_finish(gemini_get(candidate, "finishReason"), &word) != FINISH_NONE)
            return true;
    return false;
}

int
gemini_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret)
{
    struct json_view response;
    (void)name;
    int err = response_of(data, &response);
    if (err)
        return err;
    if (json_view_is_set(json_view_get(response, "error"))) {
        *ret = WATCH_BROKEN;
        return 0;
    }
    gemini_read_accounts(response, w->report);
    *ret = has_ended(response) ? WATCH_MAY_END : WATCH_PASS;
    return 0;
}

int
gemini_look(struct slice body, struct usage_report *report, bool *ret_error)
{
    struct json_view response;
    int err = response_of(body, &response);
    if (err)
        return err;
    *ret_error = json_view_is_set(json_view_get(response, "error"));
    if (!*ret_error)
        gemini_read_accounts(response, report);
    return 0;
}
