/* What the gateway must see of requests and answers that pass between equals. */
#include "dataplane/dialects/anthropic_count.h"
#include "dataplane/dialects/anthropic_internal.h"

/* --- requests --------------------------------------------------------------------------------- */

static int
refuse_json(int err, const struct json_error *why, struct dialect_refusal *ret)
{
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_CONFLICT) {
        ret->duplicate = true;
        return dialect_refuse(ret, ERR_SYNTAX, why->member ? why->member : "",
                              "The member '%s' appears more than once (at byte %zu).",
                              why->member ? why->member : "?", why->offset);
    }
    return dialect_refuse(ret, ERR_SYNTAX, "", "The body is not valid JSON: %s at byte %zu.",
                          why->reason ? why->reason : "malformed", why->offset);
}

static int
require(struct dialect_refusal *why, struct json_span at, enum json_kind kind, const char *member,
        const char *what)
{
    if (at.kind == kind)
        return 0;
    why->missing = at.kind == JSON_ABSENT;
    if (why->missing)
        return dialect_refuse(why, ERR_SYNTAX, member, "%s: Field required.", member);
    return dialect_refuse(why, ERR_SYNTAX, member, "%s: must be %s.", member, what);
}

static int
read_max_tokens(struct slice body, struct json_span at, struct request_brief *ret,
                struct dialect_refusal *why)
{
    int err = require(why, at, JSON_NUMBER, "max_tokens", "a positive integer");
    if (!err && (json_int(body, at, &ret->max_tokens) != 0 || ret->max_tokens < 1))
        err = dialect_refuse(why, ERR_SYNTAX, "max_tokens",
                             "max_tokens: must be a positive integer.");
    ret->max_tokens_member = at.kind == JSON_ABSENT ? NULL : "max_tokens";
    ret->max_tokens_odd = err != 0;
    return err;
}

static int
read_end_user(struct slice body, struct json_span metadata, struct arena *a,
              struct request_brief *ret)
{
    struct json_view map = {metadata.kind, json_raw(body, metadata)};
    struct json_view user = json_view_get(map, "user_id");
    return user.kind == JSON_TEXT ? json_view_text(user, a, &ret->end_user) : 0;
}

/* A budget of thinking must be below the limit of the output. */
static void
read_thinking(struct slice body, struct json_span thinking, struct request_brief *ret)
{
    struct json_view map = {thinking.kind, json_raw(body, thinking)};
    int64_t budget = json_view_int_or(json_view_get(map, "budget_tokens"), 0);
    if (budget > 0 && budget < INT64_MAX)
        ret->least_tokens = budget + 1;
}

static int
read_stream(struct json_span at, struct request_brief *ret, struct dialect_refusal *why)
{
    if (at.kind > JSON_FALSE_)
        return dialect_refuse(why, ERR_SYNTAX, "stream", "stream: must be true or false.");
    ret->stream = at.kind == JSON_TRUE_;
    ret->stream_at = at;
    return 0;
}

static int
read_brief(struct slice body, bool counts, struct arena *a, struct request_brief *ret,
           struct dialect_refusal *why)
{
    struct json_span at[ANTHROPIC_MEMBERS], root;
    struct json_error error = {0};
    *ret = (struct request_brief){.choices = 1};
    int err = json_scan(body, &json_limits_default, anthropic_members, ANTHROPIC_MEMBERS, at, &root,
                        &error);
    if (err)
        return refuse_json(err, &error, why);
    if (root.kind != JSON_MAP)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body must be a JSON object.");
    err = require(why, at[ANTHROPIC_MODEL], JSON_TEXT, "model", "a string");
    if (!err)
        err = json_text(body, at[ANTHROPIC_MODEL], a, &ret->model);
    if (!err)
        err = require(why, at[ANTHROPIC_MESSAGES], JSON_LIST, "messages", "a list");
    if (!err && !counts)
        err = read_max_tokens(body, at[ANTHROPIC_MAX_TOKENS], ret, why);
    if (!err && !counts)
        err = read_stream(at[ANTHROPIC_STREAM], ret, why);
    if (!err)
        err = read_end_user(body, at[ANTHROPIC_METADATA], a, ret);
    read_thinking(body, at[ANTHROPIC_THINKING], ret);
    ret->model_at = at[ANTHROPIC_MODEL];
    if (at[ANTHROPIC_TOOLS].kind == JSON_LIST)
        ret->tools_member = "tools";
    return err;
}

int
anthropic_limit_output(struct slice body, const struct dialect_target *t, int64_t n,
                       struct arena *a, struct output_edits *ret)
{
    static const char *const names[] = {"max_tokens"};
    (void)t;
    return dialect_limit_member(body, NULL, names, 1, names[0], n, a, ret);
}

int
anthropic_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                struct request_brief *ret, struct dialect_refusal *why)
{
    (void)call;
    return read_brief(body, false, a, ret, why);
}

int
anthropic_count_brief(struct slice body, struct arena *a, struct request_brief *ret,
                      struct dialect_refusal *why)
{
    return read_brief(body, true, a, ret, why);
}

/* --- streams ---------------------------------------------------------------------------------- */

static const char *const event_names[ANTHROPIC_EVENTS] = {
    [ANTHROPIC_MESSAGE_START] = "message_start",
    [ANTHROPIC_BLOCK_START] = "content_block_start",
    [ANTHROPIC_BLOCK_DELTA] = "content_block_delta",
    [ANTHROPIC_BLOCK_STOP] = "content_block_stop",
    [ANTHROPIC_MESSAGE_DELTA] = "message_delta",
    [ANTHROPIC_MESSAGE_STOP] = "message_stop",
    [ANTHROPIC_PING] = "ping",
    [ANTHROPIC_ERROR] = "error",
};

enum anthropic_event
anthropic_event_of(struct json_view type, struct slice name)
{
    if (type.kind == JSON_TEXT && type.raw.len >= 2)
        name = slice_make(type.raw.at + 1, type.raw.len - 2);
    for (int i = ANTHROPIC_MESSAGE_START; i < ANTHROPIC_EVENTS; i++)
        if (slice_is(name, event_names[i]))
            return (enum anthropic_event)i;
    return ANTHROPIC_UNKNOWN;
}

enum { SEEN_TYPE, SEEN_MESSAGE, SEEN_USAGE, SEEN_ERROR, SEEN_MEMBERS };
static const char *const seen_names[SEEN_MEMBERS] = {"type", "message", "usage", "error"};

/* The members of valid JSON that is an object; ERR_PROTOCOL for anything else. */
static int
scan_object(struct slice text, struct json_view ret[static SEEN_MEMBERS])
{
    struct json_span at[SEEN_MEMBERS], root;
    struct json_error why;
    int err = json_scan(text, &json_limits_default, seen_names, SEEN_MEMBERS, at, &root, &why);
    if (err || root.kind != JSON_MAP)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    for (int i = 0; i < SEEN_MEMBERS; i++)
        ret[i] = json_view_at(text, at[i]);
    return 0;
}

int
anthropic_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret)
{
    struct json_view at[SEEN_MEMBERS];
    int err = scan_object(data, at);
    if (err)
        return err;
    *ret = WATCH_PASS;
    switch (anthropic_event_of(at[SEEN_TYPE], name)) {
    case ANTHROPIC_MESSAGE_START:
        anthropic_begin_usage(at[SEEN_MESSAGE], w->report);
        break;
    case ANTHROPIC_MESSAGE_DELTA:
        anthropic_take_usage(at[SEEN_USAGE], w->report);
        break;
    case ANTHROPIC_MESSAGE_STOP:
        *ret = WATCH_DONE;
        break;
    case ANTHROPIC_ERROR:
        *ret = WATCH_BROKEN;
        break;
    case ANTHROPIC_UNKNOWN: /* an error of a proxy between, in a shape of its own */
        if (json_view_is_set(at[SEEN_ERROR]))
            *ret = WATCH_BROKEN;
        break;
    default:
        break;
    }
    return 0;
}

/* --- whole answers ---------------------------------------------------------------------------- */

int
anthropic_look(struct slice body, struct usage_report *report, bool *ret_error)
{
    struct json_view at[SEEN_MEMBERS];
    *ret_error = false;
    int err = scan_object(body, at);
    if (err)
        return err;
    *ret_error = json_view_is(at[SEEN_TYPE], "error") ||
                 (at[SEEN_TYPE].kind == JSON_ABSENT && json_view_is_set(at[SEEN_ERROR]));
    anthropic_take_usage(at[SEEN_USAGE], report);
    return 0;
}
