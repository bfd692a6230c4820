/* A whole answer of a Responses provider, and its errors. */
#include "dataplane/dialects/openai.h"
#include "dataplane/dialects/responses_internal.h"

#include <string.h>

/* --- the output ------------------------------------------------------------------------------- */

struct reading {
    struct arena *a;
    struct responses_parts parts;
    bool has_calls;
    struct buf logprobs; /* the items of all texts' logprobs, joined by commas */
};

static int
add_logprobs(struct reading *r, struct json_view piece)
{
    struct json_view list = json_view_get(piece, "logprobs");
    if (list.kind != JSON_LIST || json_view_count(list) == 0)
        return 0;
    int err = r->logprobs.len ? buf_add_str(&r->logprobs, ",") : 0;
    return err ? err : buf_add_slice(&r->logprobs, slice_make(list.raw.at + 1, list.raw.len - 2));
}

static int
read_message(struct reading *r, struct json_view item)
{
    size_t cursor = 0;
    struct slice name, id, extra;
    struct json_view piece, content = json_view_get(item, "content");
    int err = json_view_opt_text(json_view_get(item, "id"), r->a, &id);
    if (err)
        return err;
    err = responses_message_extra(item, r->a, &extra);
    while (!err && json_view_next(content, &cursor, &name, &piece)) {
        struct canon_part part, *into;
        err = responses_read_text(piece, r->a, &part);
        if (err == ERR_NOT_FOUND) {
            err = 0;
            continue;
        }
        into = err ? NULL : responses_add(&r->parts, r->a);
        if (!into)
            return err ? err : ERR_NOMEM;
        *into = part;
        into->id = id;
        into->raw = extra;
        err = add_logprobs(r, piece);
    }
    return err;
}

/* Reasoning that shows nothing and holds nothing is left out: nobody can do anything with it. */
static int
read_reasoning(struct reading *r, struct json_view item)
{
    struct slice text, encrypted;
    int err = responses_reasoning_text(item, r->a, &text);
    if (!err)
        err = json_view_opt_text(json_view_get(item, "encrypted_content"), r->a, &encrypted);
    if (err || (text.len == 0 && encrypted.len == 0))
        return err;
    struct canon_part *part = responses_add(&r->parts, r->a);
    if (!part)
        return ERR_NOMEM;
    part->kind = PART_REASONING;
    part->text = text;
    part->encrypted = encrypted;
    return json_view_opt_text(json_view_get(item, "id"), r->a, &part->id);
}

static int
read_item(struct reading *r, struct json_view item)
{
    struct json_view type = json_view_get(item, "type");
    struct canon_part call;
    if (responses_is_said(item))
        return read_message(r, item);
    if (json_view_is(type, "reasoning"))
        return read_reasoning(r, item);
    int err = responses_read_call(item, r->a, &call);
    if (err && err != ERR_NOT_FOUND)
        return err;
    struct canon_part *part = responses_add(&r->parts, r->a);
    if (!part)
        return ERR_NOMEM;
    if (err == 0) {
        *part = call;
        r->has_calls = true;
        return 0;
    }
    part->kind = PART_OPAQUE;
    part->raw = item.raw;
    return json_view_opt_text(json_view_get(item, "id"), r->a, &part->id);
}

enum canon_finish
responses_finish(struct json_view response, bool has_calls, struct slice *ret_native)
{
    struct json_view status = json_view_get(response, "status");
    struct json_view reason =
        json_view_get(json_view_get(response, "incomplete_details"), "reason");
    bool incomplete = json_view_is(status, "incomplete");
    struct json_view word = incomplete && reason.kind == JSON_TEXT ? reason : status;
    *ret_native =
        word.kind == JSON_TEXT ? slice_make(word.raw.at + 1, word.raw.len - 2) : (struct slice){0};
    if (incomplete)
        return json_view_is(reason, "content_filter") ? FINISH_CONTENT_FILTER : FINISH_LENGTH;
    if (json_view_is(status, "failed") || json_view_is(status, "cancelled"))
        return FINISH_ERROR;
    if (has_calls)
        return FINISH_TOOL_CALLS;
    if (json_view_is(status, "in_progress") || json_view_is(status, "queued"))
        return FINISH_NONE;
    return FINISH_STOP;
}

static int
read_output(struct reading *r, struct json_view output)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view item;
    int err = 0;
    while (!err && json_view_next(output, &cursor, &name, &item))
        err = item.kind == JSON_MAP ? read_item(r, item) : ERR_SYNTAX;
    return err;
}

static int
read_head(struct json_view root, struct arena *a, struct canon_answer *ret)
{
    int err = json_view_opt_text(json_view_get(root, "id"), a, &ret->id);
    if (!err)
        err = json_view_opt_text(json_view_get(root, "model"), a, &ret->model);
    if (!err)
        err = json_view_opt_text(json_view_get(root, "service_tier"), a, &ret->service_tier);
    ret->created_unix_s = json_view_int_or(json_view_get(root, "created_at"), 0);
    ret->origin = DIALECT_RESPONSES;
    responses_read_usage(root, &ret->usage);
    return err;
}

static int
make_choice(struct reading *r, struct json_view root, struct canon_answer *ret)
{
    struct canon_choice_answer *choice = arena_zalloc(r->a, sizeof(*choice));
    if (!choice)
        return ERR_NOMEM;
    choice->parts = r->parts.at;
    choice->count = r->parts.count;
    choice->finish = responses_finish(root, r->has_calls, &choice->native_finish);
    if (r->logprobs.len) {
        char *at = arena_printf(r->a, "{\"content\":[%.*s],\"refusal\":null}",
                                SLICE_ARG(buf_slice(&r->logprobs)));
        if (!at)
            return ERR_NOMEM;
        choice->logprobs_raw = slice_of(at);
    }
    ret->choices = choice;
    ret->choice_count = 1;
    return 0;
}

int
responses_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                      struct canon_answer *ret, const char **ret_why)
{
    struct json_span span;
    struct json_error wrong;
    struct reading r = {.a = a};
    (void)x;
    *ret = (struct canon_answer){0};
    *ret_why = "it is not valid JSON";
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &span, &wrong) != 0)
        return ERR_PROTOCOL;
    struct json_view root = json_view_of(body), output = json_view_get(root, "output");
    *ret_why = "it tells of a failure";
    if (json_view_is(json_view_get(root, "status"), "failed") ||
        json_view_is_set(json_view_get(root, "error")))
        return ERR_PROTOCOL;
    *ret_why = "it has no output";
    if (output.kind != JSON_LIST)
        return ERR_PROTOCOL;
    *ret_why = "a member of it has the wrong type";
    buf_init(&r.logprobs, 0);
    int err = read_head(root, a, ret);
    if (!err)
        err = read_output(&r, output);
    if (!err)
        err = make_choice(&r, root, ret);
    buf_free(&r.logprobs);
    return err == 0 || err == ERR_NOMEM ? err : ERR_PROTOCOL;
}

/* --- errors ----------------------------------------------------------------------------------- */

/* The words of errors that come without a status: in streams, and in responses that failed. */
static const struct {
    const char *word;
    int status;
} statuses[] = {
    {"rate_limit_exceeded", 429},
    {"insufficient_quota", 429},
    {"tokens", 429},
    {"requests", 429},
    {"rate_limit_error", 429},
    {"server_error", 500},
    {"internal_error", 500},
    {"internal_server_error", 500},
    {"api_error", 500},
    {"server_is_overloaded", 503},
    {"overloaded_error", 503},
    {"slow_down", 503},
    {"service_unavailable", 503},
    {"vector_store_timeout", 504},
    {"timeout", 504},
    {"invalid_api_key", 401},
    {"authentication_error", 401},
    {"permission_error", 403},
    {"model_not_found", 404},
    {"not_found", 404},
    {"invalid_request_error", 400},
    {"invalid_prompt", 400},
    {"invalid_value", 400},
    {"context_length_exceeded", 400},
    {"content_filter", 400},
    {"content_policy_violation", 400},
};

static int
status_of(const struct canon_error *e)
{
    const struct slice words[] = {e->code, e->type};
    for (size_t w = 0; w < 2; w++)
        for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
            if (slice_is(words[w], statuses[i].word))
                return statuses[i].status;
    return slice_starts(e->code, SLICE("invalid_")) || slice_starts(e->code, SLICE("image_")) ||
                   slice_starts(e->code, SLICE("unsupported_"))
               ? 400
               : 500;
}

int
responses_read_failure(struct json_view error, struct arena *a, struct canon_error *ret)
{
    struct openai_error e;
    int status;
    *ret = (struct canon_error){.from_provider = true};
    int err = openai_read_error(error.kind == JSON_MAP ? error.raw : SLICE("{}"), a, &e, &status);
    if (err)
        return err;
    ret->message = e.message;
    if (!slice_is(e.type, "error")) /* the event's own type, not the error's */
        ret->type = e.type;
    ret->code = e.code;
    ret->param = e.param;
    ret->status = status ? status : status_of(ret);
    ret->kind = canon_class_of_status(ret->status);
    return 0;
}

/* A response object that failed has its words in `error`, as every other error of OpenAI's has. */
int
responses_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct openai_error e;
    int status;
    *ret = (struct canon_error){.from_provider = true, .status = f->status};
    int err = openai_read_error(f->body, a, &e, &status);
    if (err)
        return err;
    ret->message = e.message;
    ret->type = e.type;
    ret->code = e.code;
    ret->param = e.param;
    if (f->status < 400) /* an error in a good status's clothes */
        ret->status = status ? status : status_of(ret);
    ret->kind = canon_class_of_status(ret->status);
    return 0;
}
