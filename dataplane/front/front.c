#include "dataplane/front/front.h"

#include "dataplane/stages/stages.h"
#include "dataplane/state/metrics.h"
#include "dataplane/state/pin.h"
#include "dataplane/stream/outlet.h"

/* --- answers without a request ---------------------------------------------------------------- */

static void
answer(struct http_stream *s, int status, struct slice body, const char *allow, const char *code,
       int retry_after_s)
{
    struct http_field fields[6] = {
        {SLICE("content-type"), SLICE("application/json"), false},
        {SLICE("cache-control"), SLICE("no-store"), false},
    };
    size_t n = 2;
    if (code) {
        fields[n++] = (struct http_field){SLICE("x-headgate-error"), slice_of(code), false};
        fields[n++] =
            (struct http_field){SLICE("x-headgate-error-source"), SLICE("gateway"), false};
    }
    if (allow)
        fields[n++] = (struct http_field){SLICE("allow"), slice_of(allow), false};
    if (retry_after_s)
        fields[n++] = (struct http_field){SLICE("retry-after"), SLICE("1"), false};
    if (http_reply(s, status, fields, n, body))
        http_abort(s);
}

static void
refuse(struct services *svc, struct http_stream *s, enum problem p, enum dialect_id dialect,
       const char *allow, const char *message)
{
    const struct problem_row *row = &problems[p];
    struct metrics_page *page = svc->metrics->page;
    struct buf body;
    page->refused[p]++;
    page->requests[ENDPOINT_KINDS][row->status / 100 % METRICS_CLASSES][0]++;
    buf_init(&body, 4096);
    reply_early_error(dialect, row->status, row->code, message, &body);
    answer(s, row->status, buf_slice(&body), allow, row->code, row->retry_after_s);
    buf_free(&body);
}

/* Ready: has a policy, can record usage, and is not about to leave. Nothing else counts. */
static void
answer_ready(struct services *svc, struct http_stream *s)
{
    const char *why = NULL;
    if (svc->draining)
        why = "{\"status\":\"draining\"}";
    else if (!pin_peek(svc->pin))
        why = "{\"status\":\"no_policy\"}";
    else if (!spool_can_reserve(svc->spool))
        why = "{\"status\":\"spool_full\"}";
    if (why)
        answer(s, 503, slice_of(why), NULL, NULL, 1);
    else
        answer(s, 200, SLICE("{\"status\":\"ready\"}"), NULL, NULL, 0);
}

/* --- requests --------------------------------------------------------------------------------- */

static void *
start(struct services *svc, struct http_stream *s, const struct front_route *route)
{
    struct request *r = request_new(svc, s, route->endpoint);
    if (!r) {
        refuse(svc, s, PROBLEM_OVERLOADED, route->dialect, NULL,
               "The gateway has as many requests as it can bear. Try again shortly.");
        return NULL;
    }
    r->below = route->below;
    if (route->subject.at) {
        r->subject = front_unescape(route->subject, &r->arena);
        if (!r->subject.at)
            r->subject = route->subject; /* no model has such a name */
    }
    return request_walk(r) ? NULL : r;
}

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct services *svc = ctx;
    struct front_route route = front_find(head->method, head->path);
    front_for_sdk(&route, http_field_get(head, "anthropic-version").at != NULL);
    switch (route.kind) {
    case ROUTE_REQUEST:
        return start(svc, s, &route);
    case ROUTE_HEALTH:
        answer(s, 200, SLICE("{\"status\":\"ok\"}"), NULL, NULL, 0);
        break;
    case ROUTE_READY:
        answer_ready(svc, s);
        break;
    case ROUTE_WRONG_METHOD:
        refuse(svc, s, PROBLEM_METHOD, route.dialect, route.allow,
               "This path does not have that method.");
        break;
    case ROUTE_NONE:
        refuse(svc, s, PROBLEM_NO_SUCH_PATH, route.dialect, NULL, "There is nothing at this path.");
        break;
    }
    return NULL;
}

/* What is passed on without being held may be longer. */
static uint64_t
body_limit(void *ctx, const struct http_head *head)
{
    const struct services *svc = ctx;
    struct front_route route = front_find(head->method, head->path);
    uint64_t usual = svc->limits.http.body_bytes;
    bool passes = route.kind == ROUTE_REQUEST && receive_passes(route.endpoint, head);
    return passes && svc->limits.upload_bytes > usual ? svc->limits.upload_bytes : usual;
}

static void
on_body(void *x, struct http_stream *s, struct slice bytes)
{
    (void)s;
    receive_more(x, bytes);
}

static void
on_body_end(void *x, struct http_stream *s)
{
    (void)s;
    receive_end(x);
}

static void
on_drained(void *x, struct http_stream *s)
{
    (void)s;
    deliver_drained(x);
}

/* --- the client has gone ---------------------------------------------------------------------- */

static void
on_drain_due(void *ctx)
{
    request_abort(ctx, USAGE_CLIENT_GONE);
}

/* Whether the upstream call goes on without its client: where the provider bills for all of it
 * anyway, the usage it reports at the end is worth waiting for. */
static bool
may_go_on(const struct request *r)
{
    return attempt_is_running(&r->answer.attempt) && !(r->body.passes && !r->body.is_whole) &&
           r->plan.target->provider->drain_on_disconnect && !r->svc->draining &&
           r->svc->drain_count < r->svc->limits.drains;
}

static void
on_abort(void *x, struct http_stream *s, int err, const char *why)
{
    struct request *r = x;
    (void)why;
    outlet_forget(r->svc->outlet, s);
    r->client = NULL;
    if (err == ERR_CANCELLED) {
        request_abort(r, USAGE_SHUTDOWN);
    } else if (may_go_on(r)) {
        r->client_gone = true;
        r->svc->drain_count++;
        r->svc->metrics->page->drained++;
        timer_set(&r->drain, r->svc->loop, r->svc->limits.drain_ms, on_drain_due, r);
        attempt_resume(&r->answer.attempt);
    } else {
        request_abort(r, USAGE_CLIENT_GONE);
    }
}

/* A client that closes both ways looks the same until something is written to it. Streams are long,
 * and a client that half-closes before one has never been seen: it is taken to have gone, so that
 * the provider stops at once. The answer to anything else is short, and is given. */
static bool
on_half_close(void *x, struct http_stream *s)
{
    const struct request *r = x;
    return !r->body.brief.stream && http_request_head(s)->version == 11;
}

const struct http_handlers front_handlers = {
    .on_request = on_request,
    .body_limit = body_limit,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_half_close = on_half_close,
    .on_abort = on_abort,
};
