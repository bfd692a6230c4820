/*
 * deliver: gives the client its answer: a reply of our own, a whole document, or the rest of an
 * attempt as it comes. From the first byte on, failures are told in the stream: one error event and
 * an abnormal end. A clean end is given only for an upstream's own clean end.
 *
 * Back-pressure: while the client does not take what it was given, the upstream is not read.
 *
 * A request whose client has gone may come here too, to learn its usage: then nothing is written.
 */
#include "dataplane/request/overrun.h"
#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/metrics.h"
#include "dataplane/stream/outlet.h"
#include "lib/base/money.h"

#include <stdio.h>
#include <string.h>

#define TAIL_BYTES ((size_t)4096) /* of a long answer: its usage stands at its end */

/* --- to the client ---------------------------------------------------------------------------- */

static void
on_stuck(void *ctx)
{
    request_abort(ctx, USAGE_CLIENT_GONE);
}

/* The result of a write: the upstream waits while the client's buffer is full. What could not be
 * written at all leaves a hole: the stream must not go on, but this is no place to end it. */
static void
on_written(void *ctx, int err)
{
    struct request *r = ctx;
    if (err)
        attempt_pause(&r->answer.attempt);
    if (err && err != ERR_AGAIN) {
        struct http_stream *client = r->client;
        r->client = NULL;
        r->sent.error_code = "client_write";
        if (client)
            http_abort(client);
        timer_set(&r->sent.timer, r->svc->loop, 0, on_stuck, r);
    }
}

static void
write_client(struct request *r, struct slice bytes)
{
    if (r->client && bytes.len)
        on_written(r, http_write(r->client, bytes));
}

static void
write_later(void *ctx, struct slice run)
{
    struct request *r = ctx;
    recall_tape(r, run);
    if (r->client)
        outlet_add(r->svc->outlet, r->client, run, on_written, r);
}

/* Hands back the client, with what is still on its way to it. */
static struct http_stream *
take_client(struct request *r)
{
    outlet_flush(r->svc->outlet);
    struct http_stream *client = r->client;
    r->client = NULL;
    return client;
}

static void
add_cost(struct request *r, struct http_field *fields, size_t *n)
{
    char text[MONEY_TEXT_BYTES];
    money_format_usd(r->tally.cost, text);
    struct slice cost = arena_copy(&r->arena, slice_of(text));
    if (cost.at)
        fields[(*n)++] = (struct http_field){.name = SLICE("x-headgate-cost-usd"), .value = cost};
}

static bool
says_stream(const struct request *r)
{
    for (size_t i = 0; i < r->answer.field_count; i++)
        if (slice_eq(r->answer.fields[i].name, SLICE("content-type")))
            return slice_starts(r->answer.fields[i].value, SLICE("text/event-stream"));
    return false;
}

static size_t
answer_fields(struct request *r, struct http_field *fields)
{
    size_t n = reply_fields(r, fields);
    bool is_stream = r->answer.mode == ANSWER_STREAM;
    /* Not every provider says what a stream is. */
    bool own = r->wire.translated || (is_stream && !says_stream(r));
    for (size_t i = 0; i < r->answer.field_count && n < 2 * LIMIT_ANSWER_FIELDS; i++)
        if (!own || !slice_eq(r->answer.fields[i].name, SLICE("content-type")))
            fields[n++] = r->answer.fields[i];
    if (own)
        fields[n++] =
            (struct http_field){SLICE("content-type"),
                                is_stream || r->body.brief.stream ? SLICE("text/event-stream")
                                                                  : SLICE("application/json"),
                                false};
    return n;
}

/* --- answers that are whole ------------------------------------------------------------------- */

static void
give(struct request *r, int status, const struct http_field *fields, size_t count,
     struct slice body)
{
    struct http_stream *client = take_client(r);
    if (!client)
        return;
    if (http_reply(client, status, fields, count, body) == 0) {
        r->sent.status = status;
    } else {
        http_abort(client);
        r->sent.outcome = USAGE_CLIENT_GONE;
    }
}

static enum verdict
give_reply(struct request *r)
{
    struct http_field fields[LIMIT_ANSWER_FIELDS];
    size_t n = reply_fields(r, fields);
    give(r, r->reply.status, fields, n, r->reply.body);
    return NEXT;
}

static enum verdict
give_whole(struct request *r)
{
    struct http_field fields[2 * LIMIT_ANSWER_FIELDS + 1];
    size_t n = answer_fields(r, fields);
    settle_tally(r);
    add_cost(r, fields, &n);
    give(r, r->answer.status, fields, n, buf_slice(&r->answer.held));
    recall_keep(r, fields, n, buf_slice(&r->answer.held));
    return NEXT;
}

/* As it was given before, under a name and with an age of its own; a stream all at once. */
static enum verdict
give_recalled(struct request *r, const struct cached *a)
{
    struct http_field fields[2 * LIMIT_ANSWER_FIELDS + 1];
    int64_t age_s = (loop_now_ms(r->svc->loop) - a->stored_ms) / 1000;
    if (settle_recalled(r) != 0) {
        reply_refuse(r, PROBLEM_LEDGER, "Usage cannot be recorded at present. Try again shortly.");
        return give_reply(r);
    }
    size_t n = reply_fields(r, fields);
    struct slice age = slice_of(arena_printf(&r->arena, "%lld", (long long)age_s));
    for (size_t i = 0; i < a->field_count; i++)
        fields[n++] = a->fields[i];
    if (age.at) /* RFC 9111 5.1 */
        fields[n++] = (struct http_field){.name = SLICE("age"), .value = age};
    settle_tally(r);
    add_cost(r, fields, &n);
    give(r, a->status, fields, n, a->body);
    return NEXT;
}

/* --- answers that come as they come ----------------------------------------------------------- */

static void
begin(struct request *r, int64_t length)
{
    struct http_field fields[2 * LIMIT_ANSWER_FIELDS + 1];
    size_t n = answer_fields(r, fields);
    if (!r->client)
        return;
    int err = http_respond(r->client, r->answer.status, fields, n, length, false);
    if (err)
        on_written(r, err);
    else
        r->sent.status = r->answer.status;
    if (r->answer.mode == ANSWER_STREAM)
        recall_tape(r, buf_slice(&r->answer.held));
    write_client(r, buf_slice(&r->answer.held));
    buf_free(&r->answer.held);
    services_release(r->svc, r->answer.held_charge);
    r->answer.held_charge = 0;
}

static void
keep_stream(struct request *r)
{
    struct http_field fields[2 * LIMIT_ANSWER_FIELDS + 1];
    if (recall_is_taped(r))
        recall_keep(r, fields, answer_fields(r, fields), buf_slice(&r->recall->tape));
}

/* The upstream's own clean end: ours too, with the cost behind it. */
static enum verdict
end_well(struct request *r)
{
    struct http_field trailers[LIMIT_ANSWER_FIELDS];
    size_t n = 0;
    timer_cancel(&r->sent.timer);
    attempt_cancel(&r->answer.attempt);
    settle_tally(r);
    add_cost(r, trailers, &n);
    struct http_stream *client = take_client(r);
    if (client)
        http_end(client, trailers, n);
    if (client && r->answer.mode == ANSWER_STREAM)
        keep_stream(r);
    return NEXT;
}

/* Any other end. A stream gets its one error event first; then the connection tells the rest. */
static enum verdict
break_off(struct request *r, const struct buf *event, enum usage_outcome outcome, const char *code)
{
    timer_cancel(&r->sent.timer);
    attempt_cancel(&r->answer.attempt);
    r->sent.outcome = outcome;
    r->sent.error_code = code;
    struct http_stream *client = take_client(r);
    if (!client)
        return NEXT;
    if (event->len && http_write(client, buf_slice(event)) == ERR_NOMEM)
        r->sent.error_code = "client_write";
    http_abort(client);
    return NEXT;
}

static enum verdict
break_off_failed(struct request *r, int err)
{
    struct buf event;
    enum problem p = problem_of_failure(err);
    enum usage_outcome outcome = err == ERR_TIMEOUT ? USAGE_DEADLINE : USAGE_UPSTREAM_FAILED;
    if (p == PROBLEM_UPSTREAM_UNREACHABLE)
        p = PROBLEM_UPSTREAM_TRUNCATED; /* it was reached: what broke was the answer */
    buf_init(&event, 4 * LIMIT_ERROR_MESSAGE_BYTES);
    if (r->answer.mode == ANSWER_STREAM && reply_event(r, p, NULL, &event))
        buf_clear(&event);
    enum verdict v = break_off(r, &event, outcome, problems[p].code);
    buf_free(&event);
    return v;
}

/* The provider's own error event, in the client's dialect. */
static enum verdict
break_off_told(struct request *r)
{
    struct buf event;
    struct canon_error e;
    buf_init(&event, 4 * LIMIT_ERROR_MESSAGE_BYTES);
    if (passage_error(&r->answer.passage, &r->arena, &e))
        e = (struct canon_error){.message = SLICE("The provider broke off with an error.")};
    e.from_provider = true;
    if (e.status < 400)
        e.status = 502;
    if (reply_provider_event(r, &e, &event))
        buf_clear(&event);
    enum verdict v =
        break_off(r, &event, USAGE_UPSTREAM_FAILED, problems[PROBLEM_UPSTREAM_ERROR].code);
    buf_free(&event);
    return v;
}

/* It costs more than there is for it. */
static enum verdict
break_off_spent(struct request *r, const struct policy_limit *l)
{
    struct buf event;
    char message[256];
    snprintf(message, sizeof(message),
             "The answer was cut: it has cost more than was reserved for it of the budget '%.*s'.",
             SLICE_ARG(l->name));
    r->svc->metrics->page->limit_cut++;
    buf_init(&event, 4 * LIMIT_ERROR_MESSAGE_BYTES);
    if (reply_event(r, PROBLEM_SPENT, message, &event))
        buf_clear(&event);
    enum verdict v = break_off(r, &event, USAGE_BUDGET_EXHAUSTED, problems[PROBLEM_SPENT].code);
    buf_free(&event);
    return v;
}

/* --- a stream --------------------------------------------------------------------------------- */

static void
on_terminal_due(void *ctx)
{
    struct request *r = ctx;
    request_resume(r, end_well(r)); /* it has said [DONE], and does not hang up */
}

/* After a push: whether the stream has ended, and then how. */
static enum verdict
look(struct request *r, int err)
{
    if (err)
        return break_off_failed(r, err == ERR_LIMIT ? ERR_PROTOCOL : err);
    const struct policy_limit *spent;
    switch (r->answer.passage.state) {
    case PASSAGE_OPEN:
        if ((spent = overrun_look(r)))
            return break_off_spent(r, spent);
        break;
    case PASSAGE_DONE:
        if (!timer_is_pending(&r->sent.timer))
            timer_set(&r->sent.timer, r->svc->loop, r->svc->limits.terminal_ms, on_terminal_due, r);
        break;
    case PASSAGE_BROKEN:
        return break_off_told(r);
    }
    return WAIT;
}

static void
on_stream_body(void *ctx, struct slice bytes)
{
    struct request *r = ctx;
    enum verdict v = look(r, passage_push(&r->answer.passage, bytes, write_later, r));
    if (v != WAIT)
        request_resume(r, v);
}

static void
on_stream_end(void *ctx)
{
    struct request *r = ctx;
    int err = passage_end(&r->answer.passage, write_later, r);
    if (!err && r->answer.passage.state == PASSAGE_BROKEN)
        request_resume(r, break_off_told(r));
    else
        request_resume(r, err ? break_off_failed(r, err) : end_well(r));
}

static void
on_stream_fail(void *ctx, int err, const char *why)
{
    struct request *r = ctx;
    (void)why;
    bool whole = r->answer.passage.state == PASSAGE_DONE;
    request_resume(r, whole ? end_well(r) : break_off_failed(r, err));
}

static const struct attempt_handlers stream_handlers = {
    .on_body = on_stream_body,
    .on_end = on_stream_end,
    .on_fail = on_stream_fail,
    .on_upload_drained = receive_go_on,
};

static enum verdict
begin_stream(struct request *r)
{
    begin(r, -1);
    r->answer.attempt.handlers = &stream_handlers;
    return look(r, r->answer.err);
}

/* --- a long document -------------------------------------------------------------------------- */

/* Keeps the last bytes of what went by. */
static void
keep_tail(struct request *r, struct slice bytes)
{
    struct buf *tail = &r->sent.tail;
    if (bytes.len > TAIL_BYTES)
        bytes = slice_from(bytes, bytes.len - TAIL_BYTES);
    if (tail->len + bytes.len > TAIL_BYTES)
        buf_drop(tail, tail->len + bytes.len - TAIL_BYTES);
    if (buf_add_slice(tail, bytes))
        buf_clear(tail); /* the usage is estimated then */
}

/* "usage":{...} as the last member of the document, whose beginning has gone by. */
static void
read_tail(struct request *r)
{
    static const char name[] = "\"usage\"";
    struct slice tail = buf_slice(&r->sent.tail), found = {0};
    const char *at = tail.at;
    while (at && (at = memmem(at, (size_t)(tail.at + tail.len - at), name, sizeof(name) - 1))) {
        at += sizeof(name) - 1;
        found = slice_make(at, (size_t)(tail.at + tail.len - at));
    }
    size_t open = slice_find(found, '{', 0);
    if (open == found.len)
        return;
    found = slice_from(found, open);
    for (size_t end = found.len; end > 1; end--) {
        struct json_span root;
        struct json_error why;
        struct slice object = slice_make(found.at, end);
        if (found.at[end - 1] == '}' &&
            json_scan(object, &json_limits_default, NULL, 0, NULL, &root, &why) == 0) {
            const struct codec *codec = r->endpoint->codec;
            (codec && codec->usage ? codec->usage : openai_read_usage)(object, &r->answer.report);
            return;
        }
    }
}

static void
on_long_body(void *ctx, struct slice bytes)
{
    struct request *r = ctx;
    if (!r->answer.first_byte_ms)
        r->answer.first_byte_ms = loop_now_ms(r->svc->loop);
    r->sent.passed += bytes.len;
    keep_tail(r, bytes);
    write_client(r, bytes);
}

static void
on_long_end(void *ctx)
{
    struct request *r = ctx;
    read_tail(r);
    request_resume(r, end_well(r));
}

static void
on_long_fail(void *ctx, int err, const char *why)
{
    struct request *r = ctx;
    (void)why;
    request_resume(r, break_off_failed(r, err));
}

static const struct attempt_handlers long_handlers = {
    .on_body = on_long_body,
    .on_end = on_long_end,
    .on_fail = on_long_fail,
    .on_upload_drained = receive_go_on,
};

static enum verdict
begin_long(struct request *r)
{
    buf_init(&r->sent.tail, 2 * TAIL_BYTES);
    keep_tail(r, buf_slice(&r->answer.held));
    r->sent.passed = r->answer.held.len;
    begin(r, r->answer.content_length);
    r->answer.attempt.handlers = &long_handlers;
    return WAIT;
}

/* --- the stage -------------------------------------------------------------------------------- */

enum verdict
deliver(struct request *r)
{
    const struct cached *before = recall_hit(r);
    r->sent.outcome = USAGE_DONE;
    if (r->reply.status)
        return give_reply(r);
    if (before)
        return give_recalled(r, before);
    switch (r->answer.mode) {
    case ANSWER_WHOLE:
        return give_whole(r);
    case ANSWER_STREAM:
        return begin_stream(r);
    case ANSWER_LONG:
        return begin_long(r);
    case ANSWER_NONE:
    case ANSWER_ERROR:
        break;
    }
    return NEXT;
}

void
deliver_drained(struct request *r)
{
    if (r->at == DELIVER && r->waiting)
        attempt_resume(&r->answer.attempt);
}

void
deliver_cancel(struct request *r)
{
    timer_cancel(&r->sent.timer);
    attempt_cancel(&r->answer.attempt);
}

void
deliver_farewell(struct request *r)
{
    struct buf event;
    if (!r->client)
        return;
    if (!http_has_responded(r->client)) {
        reply_refuse(r, PROBLEM_SHUTDOWN, "The gateway is shutting down. Try again.");
        give_reply(r);
        return;
    }
    buf_init(&event, 4 * LIMIT_ERROR_MESSAGE_BYTES);
    if (r->answer.mode == ANSWER_STREAM &&
        reply_event(r, PROBLEM_SHUTDOWN, "The gateway is shutting down.", &event))
        buf_clear(&event);
    break_off(r, &event, USAGE_SHUTDOWN, problems[PROBLEM_SHUTDOWN].code);
    buf_free(&event);
}
