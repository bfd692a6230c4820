/* What the gateway must know of a chat request, and where such a request goes. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/compat.h"
#include "dataplane/dialects/openai.h"

#include <string.h>

#define LIMIT_MODEL_BYTES 1024 /* of its JSON text */
#define LIMIT_END_USER_BYTES 256

static int
refuse_json(struct dialect_refusal *why, int err, const struct json_error *e)
{
    const char *member = e->member ? e->member : "?";
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_CONFLICT) {
        why->duplicate = true;
        return dialect_refuse(why, ERR_SYNTAX, member,
                              "The member '%s' appears more than once (at byte %zu).", member,
                              e->offset);
    }
    return dialect_refuse(why, ERR_SYNTAX, "", "The body is not valid JSON: %s at byte %zu.",
                          e->reason ? e->reason : "malformed", e->offset);
}

static int
read_model(struct slice body, struct json_span at, struct arena *a, struct request_brief *ret,
           struct dialect_refusal *why)
{
    if (at.kind == JSON_ABSENT)
        return 0;
    if (at.kind != JSON_TEXT || at.end - at.start > LIMIT_MODEL_BYTES)
        return dialect_refuse(why, ERR_SYNTAX, "model", "'model' must be the name of a model.");
    return json_text(body, at, a, &ret->model);
}

/* true, false, null or absent; nothing that two parsers could read differently. */
static int
read_stream(struct json_span at, struct request_brief *ret, struct dialect_refusal *why)
{
    switch (at.kind) {
    case JSON_TRUE_:
        ret->stream = true;
        return 0;
    case JSON_ABSENT:
    case JSON_NULL_:
    case JSON_FALSE_:
        return 0;
    default:
        return dialect_refuse(why, ERR_SYNTAX, "stream", "'stream' must be true or false.");
    }
}

static bool
is_given(struct json_span at)
{
    return at.kind != JSON_ABSENT && at.kind != JSON_NULL_;
}

/* Which of the two spellings counts is the provider's to choose: the larger one is assumed. */
static void
read_max_tokens(struct slice body, const struct json_span *at, struct request_brief *ret)
{
    static const enum openai_member spellings[] = {MEMBER_MAX_TOKENS, MEMBER_MAX_COMPLETION_TOKENS};
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct json_span given = at[spellings[i]];
        int64_t n = 0;
        if (!is_given(given))
            continue;
        bool odd = given.kind != JSON_NUMBER || json_int(body, given, &n) || n < 1;
        if (!ret->max_tokens_odd && (odd || n > ret->max_tokens))
            ret->max_tokens_member = openai_members[spellings[i]];
        ret->max_tokens_odd |= odd;
        if (!odd && n > ret->max_tokens)
            ret->max_tokens = n;
    }
}

/* At least 1; what is no count will be refused by the provider. */
static int64_t
count_of(struct slice body, struct json_span at)
{
    int64_t n;
    return at.kind == JSON_NUMBER && json_int(body, at, &n) == 0 && n > 1 ? n : 1;
}

/* Of completions a list of prompts, each of them a text or a list of tokens. */
static int64_t
prompts_of(struct slice body, struct json_span at)
{
    struct json_span name, value;
    size_t cursor = at.start;
    int64_t n = 0;
    while (at.kind == JSON_LIST && json_next(body, at, &cursor, &name, &value)) {
        if (value.kind == JSON_NUMBER) /* it is one list of tokens */
            return 1;
        n++;
    }
    return n > 1 ? n : 1;
}

/* How many answers are made (best_of: to choose from) and billed. */
static void
read_choices(struct slice body, const struct json_span *at, struct request_brief *ret)
{
    int64_t n = count_of(body, at[MEMBER_N]), best = count_of(body, at[MEMBER_BEST_OF]);
    if (__builtin_mul_overflow(n > best ? n : best, prompts_of(body, at[MEMBER_PROMPT]),
                               &ret->choices))
        ret->choices = INT64_MAX;
}

static int
read_end_user(struct slice body, struct json_span at, struct arena *a, struct request_brief *ret)
{
    if (at.kind != JSON_TEXT)
        return 0;
    int err = json_text(body, at, a, &ret->end_user);
    if (!err && ret->end_user.len > LIMIT_END_USER_BYTES)
        ret->end_user.len = LIMIT_END_USER_BYTES;
    return err;
}

int
chat_brief(struct slice body, const struct dialect_call *call, struct arena *a,
           struct request_brief *ret, struct dialect_refusal *why)
{
    struct json_span at[OPENAI_MEMBERS], root;
    struct json_error e = {0};
    (void)call;
    *ret = (struct request_brief){0};
    if (body.len == 0)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body is empty; it must be a JSON object.");
    int err = json_scan(body, &json_limits_default, openai_members, OPENAI_MEMBERS, at, &root, &e);
    if (err)
        return refuse_json(why, err, &e);
    if (root.kind != JSON_MAP)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body must be a JSON object.");
    ret->model_at = at[MEMBER_MODEL];
    ret->stream_at = at[MEMBER_STREAM];
    ret->stream_options_at = at[MEMBER_STREAM_OPTIONS];
    if (at[MEMBER_METADATA].kind == JSON_MAP)
        ret->metadata_at = at[MEMBER_METADATA];
    if (is_given(at[MEMBER_TOOLS]))
        ret->tools_member = openai_members[MEMBER_TOOLS];
    else if (is_given(at[MEMBER_FUNCTIONS]))
        ret->tools_member = openai_members[MEMBER_FUNCTIONS];
    read_max_tokens(body, at, ret);
    read_choices(body, at, ret);
    err = read_model(body, at[MEMBER_MODEL], a, ret, why);
    if (!err)
        err = read_end_user(body, at[MEMBER_USER], a, ret);
    return err ? err : read_stream(at[MEMBER_STREAM], ret, why);
}

int
chat_limit_output(struct slice body, const struct dialect_target *t, int64_t n, struct arena *a,
                  struct output_edits *ret)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens"};
    return dialect_limit_member(body, NULL, names, 2, t ? compat_max_tokens(t) : names[0], n, a,
                                ret);
}

/* --- addresses -------------------------------------------------------------------------------- */

int
chat_address(const struct dialect_target *t, bool stream, struct arena *a,
             struct dialect_address *ret)
{
    (void)stream;
    *ret = (struct dialect_address){.field_count = 0};
    return compat_address(t, "/chat/completions", a, &ret->path);
}
