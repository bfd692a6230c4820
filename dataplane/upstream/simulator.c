#include "dataplane/upstream/simulator.h"

#include "dataplane/upstream/simulator_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_BYTES ((size_t)32 << 10) /* given in one piece; then others have their turn */

struct simulation {
    struct attempt *attempt; /* NULL: cancelled, or over */
    struct loop *loop;
    struct timer timer;
    struct task task;
    struct simulator_plan plan;
    struct simulator_answer answer;
    size_t sent;  /* bytes of the body */
    size_t event; /* events of a stream */
    bool begun, paused;
};

static void go_on(void *ctx);

static void
destroy(void *corpse)
{
    struct simulation *s = corpse;
    simulator_answer_free(&s->answer);
    free(s);
}

static void
bury(struct simulation *s)
{
    s->attempt = NULL;
    timer_cancel(&s->timer);
    loop_unqueue(s->loop, &s->task);
    loop_bury(s->loop, s, destroy);
}

static void
end(struct simulation *s)
{
    struct attempt *a = s->attempt;
    bury(s);
    a->running = NULL;
    a->handlers->on_end(a->ctx);
}

static void
fail(struct simulation *s, int err, const char *why)
{
    struct attempt *a = s->attempt;
    bury(s);
    a->running = NULL;
    a->handlers->on_fail(a->ctx, err, why);
}

/* Goes on after ms, or as soon as the callback of now has returned. */
static void
later(struct simulation *s, int64_t ms)
{
    if (ms > 0)
        timer_set(&s->timer, s->loop, ms, go_on, s);
    else
        loop_after(s->loop, &s->task, go_on, s);
}

static void
begin(struct simulation *s)
{
    char retry_after[24];
    struct attempt *a = s->attempt;
    struct http_field fields[3] = {
        {SLICE("content-type"),
         s->answer.stream ? SLICE("text/event-stream; charset=utf-8") : SLICE("application/json"),
         false},
        {SLICE("openai-processing-ms"), SLICE("1"), false},
    };
    struct http_head head = {.status = s->answer.status,
                             .fields = fields,
                             .count = 2,
                             .content_length = s->answer.stream ? -1 : (int64_t)s->answer.body.len,
                             .version = 11};
    if (s->plan.retry_after_s) {
        snprintf(retry_after, sizeof(retry_after), "%lld", (long long)s->plan.retry_after_s);
        fields[head.count++] =
            (struct http_field){SLICE("retry-after"), slice_of(retry_after), false};
    }
    s->begun = true;
    a->handlers->on_head(a->ctx, &head);
}

/* How far this turn goes: to the next event when they come one by one, else as far as is fair. */
static size_t
next_stop(struct simulation *s)
{
    const struct simulator_answer *a = &s->answer;
    size_t last = a->count;
    if (!a->stream)
        return s->sent + TURN_BYTES < a->body.len ? s->sent + TURN_BYTES : a->body.len;
    if (s->plan.cut_after >= 0 && (size_t)s->plan.cut_after < last)
        last = (size_t)s->plan.cut_after;
    if (s->plan.stall_after >= 0 && (size_t)s->plan.stall_after < last)
        last = (size_t)s->plan.stall_after;
    size_t to = s->sent;
    while (s->event < last) {
        to = a->ends[s->event++];
        if (s->plan.gap_ms > 0 || to - s->sent >= TURN_BYTES)
            break;
    }
    return to;
}

/* Nothing more will come: an end, or what a broken provider does instead. */
static void
stop(struct simulation *s)
{
    if (s->answer.stream && s->plan.stall_after >= 0 && s->event == (size_t)s->plan.stall_after &&
        s->event < s->answer.count)
        return; /* silence */
    if (s->answer.stream && s->plan.cut_after >= 0 && s->event == (size_t)s->plan.cut_after &&
        s->event < s->answer.count)
        fail(s, ERR_RESET, "the simulator was asked to break off");
    else if (s->answer.stream && s->plan.error_after >= 0 && s->sent == s->answer.body.len)
        fail(s, ERR_TRUNCATED, "the simulator was asked for an error");
    else
        end(s);
}

static void
give(struct simulation *s)
{
    struct attempt *a = s->attempt;
    size_t from = s->sent, to = next_stop(s);
    if (to == from) {
        stop(s);
        return;
    }
    s->sent = to;
    a->handlers->on_body(a->ctx, slice_make(s->answer.body.at + from, to - from));
    if (!s->attempt || s->paused)
        return;
    if (s->sent == s->answer.body.len)
        later(s, 0);
    else
        later(s, s->plan.gap_ms > 0 ? s->plan.gap_ms : 1);
}

static void
go_on(void *ctx)
{
    struct simulation *s = ctx;
    struct attempt *a = s->attempt;
    if (s->paused)
        return;
    if (s->begun) {
        give(s);
        return;
    }
    if (!a->handlers->on_send(a->ctx)) {
        fail(s, ERR_CANCELLED, "stopped before it was sent");
        return;
    }
    begin(s);
    if (s->attempt && !s->paused)
        give(s);
}

/* --- the attempt's side ----------------------------------------------------------------------- */

static void
cancel(void *running)
{
    bury(running);
}

static void
pause_answer(void *running)
{
    ((struct simulation *)running)->paused = true;
}

static void
resume_answer(void *running)
{
    struct simulation *s = running;
    s->paused = false;
    if (!timer_is_pending(&s->timer))
        later(s, 0);
}

const struct attempt_ops simulator_ops = {
    .cancel = cancel,
    .pause = pause_answer,
    .resume = resume_answer,
};

static enum simulator_kind
kind_of(struct slice path)
{
    if (slice_is(path, "/embeddings"))
        return SIMULATE_EMBEDDINGS;
    return slice_is(path, "/completions") ? SIMULATE_COMPLETION : SIMULATE_CHAT;
}

/* The pieces of the body as one document. */
static int
read_request(const struct attempt_order *o, struct json **ret_request)
{
    struct buf text;
    char why[128];
    int err = 0;
    buf_init(&text, (size_t)64 << 20);
    for (size_t i = 0; i < o->body_count && !err; i++)
        err = buf_add_slice(&text, o->body[i]);
    if (!err)
        err = json_parse(buf_slice(&text), ret_request, why, sizeof(why));
    buf_free(&text);
    return err;
}

int
simulator_start(struct attempt *a, struct services *svc, const struct attempt_order *o)
{
    struct json *request = NULL;
    struct simulation *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    s->attempt = a;
    s->loop = svc->loop;
    simulator_plan_init(&s->plan);
    simulator_plan_model(&s->plan, o->model);
    simulator_plan_read(&s->plan, o->directives);
    int err = read_request(o, &request);
    if (!err || err == ERR_SYNTAX) /* refused in the answer, as a provider would */
        err = simulator_answer_make(kind_of(o->path), request, o->model, &s->plan, &s->answer);
    json_free(request);
    if (err) {
        destroy(s);
        return err;
    }
    a->running = s;
    later(s, s->plan.latency_ms);
    return 0;
}
