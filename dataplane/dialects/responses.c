/* OpenAI's Responses API: what the gateway must know of requests, events and answers that go by
 * untouched; and the dialect itself. */
#include "dataplane/dialects/responses_internal.h"

/* --- requests --------------------------------------------------------------------------------- */

enum {
    AT_MODEL,
    AT_STREAM,
    AT_MAX,
    AT_INPUT,
    AT_TOOLS,
    AT_USER,
    AT_SAFETY,
    AT_METADATA,
    AT_MEMBERS
};
static const char *const members[AT_MEMBERS] = {"model", "stream", "max_output_tokens", "input",
                                                "tools", "user",   "safety_identifier", "metadata"};

static int
refuse_json(struct dialect_refusal *why, int err, const struct json_error *e)
{
    if (err == ERR_CONFLICT) {
        why->duplicate = true;
        return dialect_refuse(why, ERR_SYNTAX, e->member,
                              "The member '%s' appears more than once (at byte %zu).", e->member,
                              e->offset);
    }
    return dialect_refuse(why, ERR_SYNTAX, "", "The body is not valid JSON: %s at byte %zu.",
                          e->reason, e->offset);
}

static void
read_max_tokens(struct slice body, struct json_span at, struct request_brief *ret)
{
    if (at.kind == JSON_ABSENT || at.kind == JSON_NULL_)
        return;
    ret->max_tokens_member = members[AT_MAX];
    if (json_int(body, at, &ret->max_tokens) != 0 || ret->max_tokens <= 0) {
        ret->max_tokens = 0;
        ret->max_tokens_odd = true;
    }
}

int
responses_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                struct request_brief *ret, struct dialect_refusal *why)
{
    struct json_span at[AT_MEMBERS], root;
    struct json_error wrong;
    (void)call;
    *ret = (struct request_brief){.choices = 1};
    int err = json_scan(body, &json_limits_default, members, AT_MEMBERS, at, &root, &wrong);
    if (err)
        return refuse_json(why, err, &wrong);
    if (at[AT_MODEL].kind == JSON_TEXT && json_text(body, at[AT_MODEL], a, &ret->model) != 0)
        return ERR_NOMEM;
    if (at[AT_MODEL].kind != JSON_TEXT && at[AT_MODEL].kind != JSON_ABSENT)
        return dialect_refuse(why, ERR_SYNTAX, "model", "'model' must be a text.");
    if (at[AT_STREAM].kind != JSON_ABSENT && at[AT_STREAM].kind != JSON_NULL_ &&
        at[AT_STREAM].kind != JSON_TRUE_ && at[AT_STREAM].kind != JSON_FALSE_)
        return dialect_refuse(why, ERR_SYNTAX, "stream", "'stream' must be true or false.");
    ret->model_at = at[AT_MODEL];
    ret->stream_at = at[AT_STREAM];
    if (at[AT_METADATA].kind == JSON_MAP)
        ret->metadata_at = at[AT_METADATA];
    ret->stream = at[AT_STREAM].kind == JSON_TRUE_;
    if (at[AT_TOOLS].kind == JSON_LIST &&
        json_view_count((struct json_view){JSON_LIST, json_raw(body, at[AT_TOOLS])}) > 0)
        ret->tools_member = members[AT_TOOLS];
    read_max_tokens(body, at[AT_MAX], ret);
    struct json_span user = at[AT_SAFETY].kind == JSON_TEXT ? at[AT_SAFETY] : at[AT_USER];
    if (user.kind == JSON_TEXT && json_text(body, user, a, &ret->end_user) != 0)
        return ERR_NOMEM;
    return 0;
}

int
responses_limit_output(struct slice body, const struct dialect_target *t, int64_t n,
                       struct arena *a, struct output_edits *ret)
{
    (void)t;
    return dialect_limit_member(body, NULL, &members[AT_MAX], 1, members[AT_MAX], n, a, ret);
}

/* Azure serves Responses on its v1 surface only, where the deployment's name stands in the body.
 * The dated versions belong to the other surface. */
static int
azure_address(const struct policy_provider *p, struct arena *a, struct dialect_address *ret)
{
    bool named = slice_is(p->api_version, "v1") || slice_is(p->api_version, "preview") ||
                 slice_is(p->api_version, "latest");
    const char *above = slice_ends(p->path, SLICE("/openai/v1")) ? ""
                        : slice_ends(p->path, SLICE("/openai"))  ? "/v1"
                                                                 : "/openai/v1";
    char *path = arena_printf(a, "%s/responses%s%.*s", above, named ? "?api-version=" : "",
                              named ? (int)p->api_version.len : 0, named ? p->api_version.at : "");
    if (!path)
        return ERR_NOMEM;
    ret->path = slice_of(path);
    return 0;
}

int
responses_address(const struct dialect_target *t, bool stream, struct arena *a,
                  struct dialect_address *ret)
{
    (void)stream;
    *ret = (struct dialect_address){.path = SLICE("/responses")};
    if (t->provider->kind == PROVIDER_AZURE_OPENAI)
        return azure_address(t->provider, a, ret);
    return 0;
}

/* --- events that go by ------------------------------------------------------------------------ */

static bool
is_error(struct json_span at)
{
    return at.kind == JSON_MAP || at.kind == JSON_TEXT;
}

/* The data's own type counts, not the event's name: it may stand behind its data, or be missing. */
int
responses_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret)
{
    static const char *const wanted[] = {"type", "response", "error"};
    struct json_span at[3];
    struct json_error why;
    *ret = WATCH_PASS;
    if (slice_is(data, "[DONE]")) /* OpenRouter's, behind the terminal; alone it ends nothing */
        return 0;
    if (json_scan(data, &json_limits_default, wanted, 3, at, NULL, &why) != 0)
        return ERR_PROTOCOL;
    struct json_view type = {at[0].kind, json_raw(data, at[0])};
    struct json_view response = {at[1].kind, json_raw(data, at[1])};
    bool failed = json_view_is(type, "response.failed");
    if (failed || json_view_is(type, "response.completed") ||
        json_view_is(type, "response.incomplete")) {
        responses_read_usage(response, w->report);
        *ret = failed ? WATCH_BROKEN : WATCH_DONE;
    } else if (json_view_is(type, "error") || slice_is(name, "error") || is_error(at[2])) {
        *ret = WATCH_BROKEN;
    }
    return 0;
}

int
responses_look(struct slice body, struct usage_report *report, bool *ret_error)
{
    static const char *const wanted[] = {"status", "error"};
    struct json_span at[2], root;
    struct json_error why;
    *ret_error = false;
    if (json_scan(body, &json_limits_default, wanted, 2, at, &root, &why) != 0)
        return ERR_PROTOCOL;
    struct json_view status = {at[0].kind, json_raw(body, at[0])};
    responses_read_usage((struct json_view){root.kind, json_raw(body, root)}, report);
    *ret_error = json_view_is(status, "failed") || is_error(at[1]);
    return 0;
}

/* --- the dialect ------------------------------------------------------------------------------ */

static const char *const passed_up[] = {"accept", "openai-beta", "idempotency-key", NULL};

const struct dialect dialect_responses = {
    .id = DIALECT_RESPONSES,
    .name = "responses",
    .passed_up = passed_up,
    .framing = FRAMING_SSE,
    .brief = responses_brief,
    .limit_output = responses_limit_output,
    .address = responses_address,
    .watch = responses_watch,
    .look = responses_look,
    .read_request = responses_read_request,
    .write_answer = responses_write_answer,
    .encoder = &responses_encoder,
    .write_error = responses_write_error,
    .write_error_event = responses_write_error_event,
    .write_request = responses_write_request,
    .read_answer = responses_read_answer,
    .decoder = &responses_decoder,
    .read_error = responses_read_error,
};
