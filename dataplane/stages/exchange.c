/*
 * exchange: one attempt at the upstream, until there is an answer worth passing on. Nothing reaches
 * the client from here: a failure up to this point becomes a proper status, and not a stream that
 * breaks. Good are: the first event of a stream that is no error; a JSON document that is whole;
 * the first megabyte of one that is longer.
 *
 * The reservation goes into the spool before the first byte goes up.
 */
#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/stages/stages.h"
#include "lib/base/crash.h"

#define LIMIT_ERROR_BODY_BYTES                                                                     \
    ((size_t)64 << 10)                          /* of a provider's error; the rest is not read     \
                                                 */
#define LIMIT_PREAMBLE_BYTES ((size_t)64 << 10) /* of a stream before its first event */

/* --- the head --------------------------------------------------------------------------------- */

/* What clients know and use; everything else of the provider's head stays here. */
static bool
is_passed_back(struct slice name)
{
    switch (name.len ? name.at[0] : '\0') {
    case 'c':
        return slice_eq(name, SLICE("content-type"));
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
        if (slice_eq(f->name, SLICE("x-request-id")))
            r->answer.upstream_id = arena_copy(&r->arena, f->value);
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
    if (http_content_type_is(head, "text/event-stream")) {
        r->answer.mode = ANSWER_STREAM;
        buf_init(&r->answer.held,
                 LIMIT_PREAMBLE_BYTES + LOOP_SCRATCH_BYTES + r->svc->limits.event_bytes);
        passage_init(&r->answer.passage, &r->answer.report, r->wire.usage_added,
                     r->svc->limits.event_bytes);
        return NULL;
    }
    if (!http_content_type_is(head, "application/json"))
        return "neither JSON nor an event stream";
    r->answer.mode = ANSWER_WHOLE;
    buf_init(&r->answer.held, r->svc->limits.answer_bytes + LOOP_SCRATCH_BYTES);
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

/* The provider's error, from its body or its event, with the status that fits. */
static enum verdict
provider_error(struct request *r, struct slice body, int status)
{
    struct openai_error e;
    int named_status;
    if (openai_read_error(body, &r->arena, &e, &named_status))
        return reply_upstream_failed(r, ERR_NOMEM, NULL);
    if (status < 400)
        status = named_status ? named_status : 502;
    return reply_provider_error(r, status, &e, answer_field(r, "retry-after"));
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
        request_resume(r, provider_error(r, buf_slice(&p->error), r->answer.status));
    } else if (p->events > 0) {
        r->answer.err = err;
        request_resume(r, NEXT);
    }
}

static void
take_whole(struct request *r, struct slice bytes)
{
    int err = hold(r, bytes);
    if (err) {
        give_up(r, ERR_NOMEM, NULL);
    } else if (r->answer.held.len > r->svc->limits.answer_bytes) {
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

enum { ANSWER_USAGE, ANSWER_FAULT, ANSWER_NAMES };
static const char *const answer_names[ANSWER_NAMES] = {"usage", "error"};

/* A whole document: valid, and no error in a good status's clothes. */
static enum verdict
check_whole(struct request *r)
{
    struct slice text = buf_slice(&r->answer.held);
    struct json_span at[ANSWER_NAMES], root;
    struct json_error why;
    if (json_scan(text, &json_limits_default, answer_names, ANSWER_NAMES, at, &root, &why) ||
        root.kind != JSON_MAP)
        return reply_upstream_failed(r, ERR_PROTOCOL, "not a JSON object");
    if (at[ANSWER_FAULT].kind != JSON_ABSENT && at[ANSWER_FAULT].kind != JSON_NULL_)
        return provider_error(r, text, r->answer.status);
    if (at[ANSWER_USAGE].kind == JSON_MAP)
        openai_read_usage(json_raw(text, at[ANSWER_USAGE]), &r->answer.report);
    return NEXT;
}

static void
on_end(void *ctx)
{
    struct request *r = ctx;
    CRASHPOINT("exchange.end");
    switch (r->answer.mode) {
    case ANSWER_WHOLE:
        request_resume(r, check_whole(r));
        return;
    case ANSWER_ERROR:
        request_resume(r, provider_error(r, buf_slice(&r->answer.held), r->answer.status));
        return;
    case ANSWER_STREAM: /* it ended without one event */
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
};

enum verdict
exchange(struct request *r)
{
    struct attempt_order order = {
        .provider = r->plan.target->provider,
        .model = r->plan.target->model,
        .path = slice_of(r->endpoint->path),
        .fields = r->wire.fields,
        .field_count = r->wire.field_count,
        .body = r->wire.pieces,
        .body_count = r->wire.piece_count,
        .directives = r->wire.directives,
    };
    if (attempt_start(&r->answer.attempt, r->svc, &order, &handlers, r))
        return reply_refuse(r, PROBLEM_OVERLOADED,
                            "The gateway is short of memory. Try again shortly.");
    return WAIT;
}

void
exchange_cancel(struct request *r)
{
    attempt_cancel(&r->answer.attempt);
}
