/*
 * exchange: one attempt at the upstream, until there is an answer worth passing on. Nothing reaches
 * the client from here: a failure up to this point becomes a proper status, and not a stream that
 * breaks. Good are: the first event of a stream that is no error; a JSON document that is whole;
 * the first megabyte of one that is longer.
 *
 * The reservation goes into the spool before the first byte goes up.
 */
#include "dataplane/dialects/compat.h"
#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stream/translation.h"
#include "dataplane/upstream/oauth.h"
#include "lib/base/crash.h"

#include <string.h>

#define LIMIT_ERROR_BODY_BYTES                                                                     \
    ((size_t)64 << 10) /* of a provider's error; the rest is not read                              \
                        */
#define LIMIT_TRANSLATED_ANSWER_BYTES ((size_t)64 << 20)
#define LIMIT_PREAMBLE_BYTES ((size_t)64 << 10) /* of a stream before its first event */

/* --- the head --------------------------------------------------------------------------------- */

/* What clients know and use; everything else of the provider's head stays here. */
static bool
is_passed_back(struct slice name)
{
    switch (name.len ? name.at[0] : '\0') {
    case 'a':
        return slice_starts(name, SLICE("anthropic-ratelimit-"));
    case 'c':
        return slice_eq(name, SLICE("content-type")) ||
               slice_eq(name, SLICE("content-disposition"));
    case 'o':
        return slice_eq(name, SLICE("openai-model")) || slice_eq(name, SLICE("openai-version")) ||
               slice_eq(name, SLICE("openai-processing-ms"));
    case 'r':
        return slice_eq(name, SLICE("retry-after")) || slice_eq(name, SLICE("retry-after-ms"));
    case 'x':
        return slice_starts(name, SLICE("x-ratelimit-"));
    default:
        return false;
    }
}

/* By which a provider's support finds the call. */
static bool
is_request_id(struct slice name)
{
    return slice_eq(name, SLICE("x-request-id")) || slice_eq(name, SLICE("request-id")) ||
           slice_eq(name, SLICE("apim-request-id")) || slice_eq(name, SLICE("x-amzn-requestid"));
}

static bool
copy_field(struct request *r, const struct http_field *from)
{
    struct http_field *to = &r->answer.fields[r->answer.field_count];
    to->name = arena_copy(&r->arena, from->name);
    to->value = arena_copy(&r->arena, from->value);
    to->never_index = false;
    r->answer.field_count++;
    return to->name.at && to->value.at;
}

/* Into exactly as much memory as they need: a stream keeps it to its end. */
static bool
copy_fields(struct request *r, const struct http_head *head)
{
    size_t count = 0;
    for (size_t i = 0; i < head->count; i++)
        count += is_passed_back(head->fields[i].name);
    if (count > LIMIT_ANSWER_FIELDS)
        count = LIMIT_ANSWER_FIELDS;
    r->answer.fields = arena_alloc(&r->arena, (count + 1) * sizeof(struct http_field));
    if (!r->answer.fields)
        return false;
    for (size_t i = 0; i < head->count; i++) {
        const struct http_field *f = &head->fields[i];
        if (r->answer.field_count < count && is_passed_back(f->name) && !copy_field(r, f))
            return false;
        if (is_request_id(f->name))
            r->answer.upstream_id = arena_copy(&r->arena, f->value);
        if (slice_eq(f->name, SLICE("x-amzn-errortype")))
            r->answer.error_type = arena_copy(&r->arena, f->value);
    }
    return true;
}

static struct slice
answer_field(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->answer.field_count; i++)
        if (slice_is(r->answer.fields[i].name, name))
            return r->answer.fields[i].value;
    return (struct slice){0};
}

/* Ends the attempt, which is of no use any more, with a refusal. */
static void
give_up(struct request *r, int err, const char *why)
{
    attempt_cancel(&r->answer.attempt);
    r->answer.err = err;
    request_resume(r, reply_upstream_failed(r, err, why));
}

/* Providers who frame streams in another way say so by another media type. */
static bool
is_stream(const struct request *r, const struct http_head *head)
{
    static const char *const types[] = {
        [FRAMING_SSE] = "text/event-stream",
        [FRAMING_EVENTSTREAM] = "application/vnd.amazon.eventstream",
        [FRAMING_NDJSON] = "application/x-ndjson",
    };
    return http_content_type_is(head, types[r->wire.dialect->framing]);
}

/* The passage for what comes. What it needs to know of the client's dialect stands in `wire`. */
static const char *
begin_stream(struct request *r)
{
    struct translated *t = r->wire.translated;
    size_t event_bytes = r->svc->limits.event_bytes;
    r->answer.mode = ANSWER_STREAM;
    buf_init(&r->answer.held, LIMIT_PREAMBLE_BYTES + LOOP_SCRATCH_BYTES + event_bytes);
    if (!t) {
        passage_init(&r->answer.passage, r->wire.dialect, &r->answer.report, r->wire.usage_added,
                     event_bytes);
        if (r->wire.dialect->id == DIALECT_CHAT)
            r->answer.passage.watched.done_is_optional =
                compat_of(r->plan.target->provider->kind)->done_optional;
        return NULL;
    }
    if (passage_init_translated(&r->answer.passage, r->wire.dialect,
                                dialect_get(r->endpoint->dialect), &r->answer.report, &t->exchange,
                                &t->names, event_bytes))
        return "the gateway is short of memory";
    return NULL;
}

/* How much of a whole answer is held before it is passed on: one that is translated has to be
 * whole.
 */
static size_t
whole_limit(const struct request *r)
{
    return r->wire.translated ? LIMIT_TRANSLATED_ANSWER_BYTES : r->svc->limits.answer_bytes;
}

static const char *
choose_mode(struct request *r, const struct http_head *head)
{
    struct slice coding = http_field_get(head, "content-encoding");
    if (head->status >= 400) {
        r->answer.mode = ANSWER_ERROR;
        buf_init(&r->answer.held, LIMIT_ERROR_BODY_BYTES);
        return NULL;
    }
    if (head->status < 200 || head->status >= 300)
        return "redirects are not followed";
    if (coding.len && !slice_eq_nocase(coding, SLICE("identity")))
        return "a coding that was not asked for";
    if (is_stream(r, head) && !r->endpoint->codec)
        return begin_stream(r);
    if (!http_content_type_is(head, "application/json") && r->endpoint->codec &&
        r->endpoint->codec->any_answer) {
        r->answer.mode = ANSWER_LONG;
        return NULL;
    }
    if (!http_content_type_is(head, "application/json"))
        return "neither JSON nor an event stream";
    r->answer.mode = ANSWER_WHOLE;
    buf_init(&r->answer.held, whole_limit(r) + LOOP_SCRATCH_BYTES);
    return NULL;
}

static void
on_head(void *ctx, const struct http_head *head)
{
    struct request *r = ctx;
    CRASHPOINT("exchange.head");
    r->answer.status = head->status;
    r->answer.content_length = head->content_length;
    if (!copy_fields(r, head)) {
        give_up(r, ERR_NOMEM, NULL);
        return;
    }
    const char *why = choose_mode(r, head);
    if (why)
        give_up(r, ERR_PROTOCOL, why);
    else if (r->answer.mode == ANSWER_LONG) /* sound, or text that is no JSON: nothing is held */
        request_resume(r, NEXT);
}

/* --- the body --------------------------------------------------------------------------------- */

static int
hold(struct request *r, struct slice bytes)
{
    if (!services_hold(r->svc, bytes.len))
        return ERR_NOMEM;
    r->answer.held_charge += bytes.len;
    return buf_add_slice(&r->answer.held, bytes);
}

/* After a failure nothing more: what is held must not have a hole. */
static void
hold_run(void *ctx, struct slice run)
{
    struct request *r = ctx;
    if (!r->answer.err && hold(r, run))
        r->answer.err = ERR_NOMEM;
}

/* An error in a good status's clothes gets the status that it names, or 502. */
static enum verdict
told_error(struct request *r, struct canon_error *e)
{
    e->from_provider = true;
    if (e->status < 400 || e->status > 599)
        e->status = 502;
    struct slice retry_after = answer_field(r, "retry-after");
    if (!retry_after.at && e->retry_ms > 0) /* RFC 9110 10.2.3: whole seconds */
        retry_after =
            slice_of(arena_printf(&r->arena, "%lld", (long long)((e->retry_ms + 999) / 1000)));
    return reply_provider_error(r, e, retry_after);
}

static enum verdict
first_event_error(struct request *r)
{
    struct canon_error e;
    if (passage_error(&r->answer.passage, &r->arena, &e))
        return reply_upstream_failed(r, ERR_NOMEM, NULL);
    return told_error(r, &e);
}

/* The provider's error, from its body, with the status that fits. */
static enum verdict
provider_error(struct request *r, struct slice body, int status)
{
    struct canon_error e;
    struct dialect_fault fault = {status, body, r->answer.error_type};
    const struct policy_provider *provider = r->plan.target->provider;
    if (status == 401 &&
        oauth_is_wanted(provider)) /* it may have been revoked: the next one asks */
        oauth_reject(r->svc->oauth, provider, oauth_peek(r->svc->oauth, provider));
    if (r->wire.dialect->read_error(&fault, &r->arena, &e))
        return reply_upstream_failed(r, ERR_NOMEM, NULL);
    return told_error(r, &e);
}

static void
take_stream(struct request *r, struct slice bytes)
{
    struct passage *p = &r->answer.passage;
    int err = passage_push(p, bytes, hold_run, r);
    if (r->answer.err)
        err = r->answer.err;
    if (!err && p->events == 0 && r->answer.held.len > LIMIT_PREAMBLE_BYTES)
        err = ERR_LIMIT;
    if (r->answer.err || (err && p->events < 2)) {
        give_up(r, err, "before the first event");
    } else if (p->state == PASSAGE_BROKEN && p->events == 1) {
        attempt_cancel(&r->answer.attempt);
        request_resume(r, first_event_error(r));
    } else if (p->events > 0) {
        r->answer.err = err;
        request_resume(r, NEXT);
    }
}

/* Some send a stream and call it JSON. The first byte tells, of "data:", "event:" or a comment: no
 * JSON text begins so. */
static bool
begins_stream(const struct request *r, struct slice bytes)
{
    return r->body.brief.stream && !r->endpoint->codec && r->answer.held.len == 0 &&
           r->wire.dialect->framing == FRAMING_SSE && bytes.len > 0 &&
           memchr("de:", bytes.at[0], 3);
}

static void
take_whole(struct request *r, struct slice bytes)
{
    if (begins_stream(r, bytes)) {
        const char *why = begin_stream(r);
        if (why)
            give_up(r, ERR_NOMEM, why);
        else
            take_stream(r, bytes);
        return;
    }
    int err = hold(r, bytes);
    if (err) {
        give_up(r, ERR_NOMEM, NULL);
    } else if (r->answer.held.len <= whole_limit(r)) {
        return;
    } else if (r->wire.translated) {
        give_up(r, ERR_PROTOCOL, "its answer is too long to be translated");
    } else {
        r->answer.mode = ANSWER_LONG;
        request_resume(r, NEXT);
    }
}

static void
on_body(void *ctx, struct slice bytes)
{
    struct request *r = ctx;
    if (!r->answer.first_byte_ms)
        r->answer.first_byte_ms = loop_now_ms(r->svc->loop);
    CRASHPOINT("exchange.body");
    switch (r->answer.mode) {
    case ANSWER_STREAM:
        take_stream(r, bytes);
        break;
    case ANSWER_WHOLE:
        take_whole(r, bytes);
        break;
    case ANSWER_ERROR:
        if (buf_add_slice(&r->answer.held, bytes)) /* what is too long is not read further */
            give_up(r, ERR_PROTOCOL, "its error is too long");
        break;
    case ANSWER_NONE:
    case ANSWER_LONG:
        break;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What was passed on is the provider's own, whatever it is; usage is read where there is some. */
static enum verdict
look_forwarded(struct request *r, struct slice text)
{
    const struct codec *codec = r->endpoint->codec;
    bool is_error;
    if (!codec->look) /* what it tells is not of this request */
        return NEXT;
    int err = r->wire.dialect->look ? r->wire.dialect->look(text, &r->answer.report, &is_error) : 0;
    if (!err && !r->answer.report.seen)
        err = codec->look(text, &r->answer.report, &is_error);
    r->answer.report.suspect |= err == ERR_PROTOCOL && r->body.units->text_bytes;
    return NEXT;
}

/* A whole document in the client's own dialect: valid, and no error in a good status's clothes. */
static enum verdict
check_whole(struct request *r)
{
    struct slice text = buf_slice(&r->answer.held);
    const struct codec *codec = r->endpoint->codec;
    bool is_error = false;
    if (codec && codec->forwards)
        return look_forwarded(r, text);
    if ((codec && codec->look ? codec->look : r->wire.dialect->look)(text, &r->answer.report,
                                                                     &is_error))
        return reply_upstream_failed(r, ERR_PROTOCOL, "not a JSON object");
    return is_error ? provider_error(r, text, r->answer.status) : NEXT;
}

/* The answer in the client's dialect takes the place of the provider's. */
static enum verdict
put_in_place(struct request *r, struct buf *written)
{
    services_release(r->svc, r->answer.held_charge);
    r->answer.held_charge = 0;
    buf_free(&r->answer.held);
    r->answer.held = *written;
    if (!services_hold(r->svc, written->len))
        return reply_upstream_failed(r, ERR_NOMEM, NULL);
    r->answer.held_charge = written->len;
    return NEXT;
}

static enum verdict
translate_by_codec(struct request *r)
{
    struct translated *t = r->wire.translated;
    const struct codec_exchange x = {.target = &t->target,
                                     .model = r->grant.name,
                                     .id = slice_make(r->id + 4, REQUEST_ID_BYTES - 5),
                                     .asked = t->asked,
                                     .arena = &r->arena};
    struct buf written;
    const char *why = NULL;
    buf_init(&written, LIMIT_TRANSLATED_ANSWER_BYTES);
    int err =
        r->endpoint->codec->read(buf_slice(&r->answer.held), &x, &written, &r->answer.report, &why);
    if (err) {
        buf_free(&written);
        return reply_upstream_failed(r, err, why);
    }
    return put_in_place(r, &written);
}

/* A client that asked for a stream gets one, also of a provider that gave none. */
static enum verdict
translate_whole(struct request *r)
{
    const struct dialect *client = dialect_get(r->endpoint->dialect);
    struct translated *t = r->wire.translated;
    struct slice text = buf_slice(&r->answer.held);
    struct canon_answer answer;
    struct buf written;
    const char *why = NULL;
    bool is_error = false;
    if (r->wire.dialect->look && r->wire.dialect->look(text, &r->answer.report, &is_error))
        return reply_upstream_failed(r, ERR_PROTOCOL, "not a JSON object");
    if (is_error)
        return provider_error(r, text, r->answer.status);
    int err = r->wire.dialect->read_answer(text, &t->exchange, &r->arena, &answer, &why);
    if (err)
        return reply_upstream_failed(r, err, why);
    usage_merge(&r->answer.report, &answer.usage);
    buf_init(&written, LIMIT_TRANSLATED_ANSWER_BYTES);
    err = t->request.stream ? translation_replay(client, &t->request, &answer, &t->names, &written)
                            : client->write_answer(&t->request, &answer, &t->names, &written);
    if (err) {
        buf_free(&written);
        return reply_upstream_failed(r, err, "it cannot be told in the client's dialect");
    }
    return put_in_place(r, &written);
}

/* The stream ended before it was handed on: without one event, or with so few that all of them came
 * at once. */
static enum verdict
end_early(struct request *r)
{
    int err = passage_end(&r->answer.passage, hold_run, r);
    if (!err && r->answer.passage.state == PASSAGE_BROKEN)
        return first_event_error(r);
    if (!err && !r->answer.err)
        return NEXT;
    r->answer.err = r->answer.err ? r->answer.err : err;
    return reply_upstream_failed(r, r->answer.err, NULL);
}

static void
on_end(void *ctx)
{
    struct request *r = ctx;
    CRASHPOINT("exchange.end");
    switch (r->answer.mode) {
    case ANSWER_WHOLE:
        request_resume(r, !r->wire.translated  ? check_whole(r)
                          : r->endpoint->codec ? translate_by_codec(r)
                                               : translate_whole(r));
        return;
    case ANSWER_ERROR:
        request_resume(r, provider_error(r, buf_slice(&r->answer.held), r->answer.status));
        return;
    case ANSWER_STREAM:
        request_resume(r, end_early(r));
        return;
    case ANSWER_NONE:
    case ANSWER_LONG:
        break;
    }
    r->answer.err = ERR_TRUNCATED;
    request_resume(r, reply_upstream_failed(r, ERR_TRUNCATED, NULL));
}

static void
on_fail(void *ctx, int err, const char *why)
{
    struct request *r = ctx;
    bool refused = r->answer.err != 0; /* by on_send */
    if (!r->answer.err)
        r->answer.err = err;
    if (refused)
        request_resume(r, reply_refuse(r, PROBLEM_LEDGER,
                                       "Usage cannot be recorded at present. Try again shortly."));
    else if (r->answer.mode == ANSWER_ERROR) /* its status says more than how its text ended */
        request_resume(r, provider_error(r, buf_slice(&r->answer.held), r->answer.status));
    else
        request_resume(r, reply_upstream_failed(r, err, why));
}

/* --- the start -------------------------------------------------------------------------------- */

static bool
on_send(void *ctx)
{
    struct request *r = ctx;
    if (r->answer.reserved)
        return true; /* a dead connection is being replaced: the same attempt */
    r->answer.err = settle_reserve(r);
    r->answer.reserved = r->answer.err == 0;
    return r->answer.reserved;
}

static const struct attempt_handlers handlers = {
    .on_send = on_send,
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_upload_drained = receive_go_on,
};

static enum verdict
refuse_start(struct request *r, int err)
{
    if (err == ERR_AUTH)
        return reply_refuse(r, PROBLEM_UPSTREAM_AUTH,
                            "The gateway's credential for the provider is of no use; the gateway's "
                            "operator must replace it.");
    if (err == ERR_LIMIT)
        return reply_refuse(r, PROBLEM_UPSTREAM_PROTOCOL,
                            "The provider's address with this model's name is too long.");
    return reply_refuse(r, PROBLEM_OVERLOADED,
                        "The gateway is short of memory. Try again shortly.");
}

static enum verdict
begin(struct request *r, struct slice token)
{
    struct attempt_order order = {
        .provider = r->plan.target->provider,
        .model = r->plan.target->model,
        .path = r->wire.address.path,
        .fields = r->wire.fields,
        .field_count = r->wire.field_count,
        .method = slice_of(r->wire.method),
        .body = r->wire.pieces,
        .body_count = r->wire.piece_count,
        .upload = r->body.passes,
        .upload_bytes = r->body.passes ? request_head(r)->content_length : -1,
        .directives = r->wire.directives,
        .token = token,
    };
    int err = attempt_start(&r->answer.attempt, r->svc, &order, &handlers, r);
    if (!err && r->body.passes)
        receive_go_on(r);
    return err ? refuse_start(r, err) : WAIT;
}

static void
on_token(void *ctx, const struct oauth_result *result)
{
    struct request *r = ctx;
    r->answer.token = NULL;
    enum verdict v =
        result->err ? reply_refuse(r, PROBLEM_UPSTREAM_AUTH,
                                   "The gateway has no access to the provider: %s.", result->why)
                    : begin(r, result->token);
    if (v != WAIT)
        request_resume(r, v);
}

enum verdict
exchange(struct request *r)
{
    const struct policy_provider *provider = r->plan.target->provider;
    struct slice token = {0};
    if (oauth_is_wanted(provider)) {
        token = oauth_peek(r->svc->oauth, provider);
        if (!token.at) {
            r->answer.token = oauth_start(r->svc->oauth, provider, on_token, r);
            return r->answer.token ? WAIT : refuse_start(r, ERR_NOMEM);
        }
    }
    return begin(r, token);
}

void
exchange_cancel(struct request *r)
{
    oauth_cancel(r->answer.token);
    r->answer.token = NULL;
    attempt_cancel(&r->answer.attempt);
}
