/*
 * Calls: their lives and deadlines. Connections are the origin's business (origin.c), bytes the
 * protocol's (h1_client.c, h2_client.c).
 *
 * A call has one timer for all its deadlines. It is armed for the nearest one at the start and,
 * when it fires, for the then nearest: progress only moves a deadline, so an ordinary call arms it
 * once.
 */
#include "lib/http/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/client_internal.h"

#define MAX_IDLE_DEFAULT 256
#define IDLE_MS_DEFAULT 55000
/* Behind a call there is room for its answer's head, so that both are one allocation: as much as
 * the origin's heads were seen to need, within these. */
#define ANSWER_ROOM_BYTES 512
#define ANSWER_ROOM_MAX_BYTES 8192

/* --- the client ----------------------------------------------------------------------------------
 */

struct http_client *
http_client_new(struct loop *l, const struct http_client_config *config)
{
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->loop = l;
    c->config = *config;
    c->limits = config->limits ? config->limits : &http_limits_default;
    if (c->config.max_idle_per_origin == 0)
        c->config.max_idle_per_origin = MAX_IDLE_DEFAULT;
    if (c->config.idle_ms == 0)
        c->config.idle_ms = IDLE_MS_DEFAULT;
    map_init(&c->origins);
    c->dns = dns_new(l);
    if (!c->dns) {
        free(c);
        return NULL;
    }
    return c;
}

void
http_client_free(struct http_client *c)
{
    if (!c)
        return;
    size_t cursor = 0;
    struct slice key;
    void *origin;
    while (map_next(&c->origins, &cursor, &key, &origin)) {
        origin_destroy(origin);
        cursor = 0; /* the table has changed */
    }
    map_free(&c->origins);
    dns_free(c->dns);
    loop_bury(c->loop, c, free);
}

struct loop *
http_client_loop(struct http_client *c)
{
    return c->loop;
}

const struct http_limits *
http_client_limits(const struct http_client *c)
{
    return c->limits;
}

void
http_client_get_stats(const struct http_client *c, struct http_client_stats *ret_stats)
{
    *ret_stats = c->stats;
}

/* --- deadlines -----------------------------------------------------------------------------------
 */

static int
or_limit(int ms, int limit)
{
    return ms > 0 ? ms : limit;
}

/* The nearest deadline of the state the call is in, and what it means. */
static int64_t
next_deadline(const struct http_call *call, const char **ret_why)
{
    const struct http_limits *limits = call->client->limits;
    const struct http_request *r = &call->request;
    int64_t due;
    if (!call->conn) {
        due = call->last_byte_ms + or_limit(r->connect_ms, limits->connect_ms);
        *ret_why = "no connection in time";
    } else if (call->upload && !call->upload->dropped && !http_upload_is_out(call->upload)) {
        /* Without a byte to send it is our caller who is waited for. */
        due = call->upload->queue.len == 0
                  ? call->deadline_ms
                  : call->last_byte_ms + or_limit(r->between_bytes_ms, limits->between_bytes_ms);
        *ret_why = "the upload stalled";
    } else if (!call->got_head) {
        due = call->last_byte_ms + or_limit(r->first_byte_ms, limits->first_byte_ms);
        *ret_why = "no answer in time";
    } else if (call->paused) {
        due = call->deadline_ms; /* it is we who do not read */
        *ret_why = "the answer took too long in all";
    } else {
        due = call->last_byte_ms + or_limit(r->between_bytes_ms, limits->between_bytes_ms);
        *ret_why = "the answer stalled";
    }
    if (due < call->deadline_ms)
        return due;
    *ret_why = "the answer took too long in all";
    return call->deadline_ms;
}

static void detach(struct http_call *call);

static void
on_due(void *ctx)
{
    struct http_call *call = ctx;
    const char *why;
    int64_t left = next_deadline(call, &why) - loop_now_ms(call->client->loop);
    if (left > 0) {
        timer_set(&call->timer, call->client->loop, left, on_due, call);
        return;
    }
    detach(call);
    call->over = true;
    call->handlers->on_fail(call->ctx, call, ERR_TIMEOUT, why);
}

/* After a change of state: the new deadline may be nearer than the one armed. */
static void
check_deadline(struct http_call *call)
{
    const char *why;
    int64_t due = next_deadline(call, &why);
    if (timer_is_pending(&call->timer) && call->timer.due_ms <= due)
        return;
    timer_set(&call->timer, call->client->loop, due - loop_now_ms(call->client->loop), on_due,
              call);
}

static void
note_progress(struct http_call *call)
{
    call->last_byte_ms = loop_now_ms(call->client->loop);
}

void
client_call_moved(struct http_call *call)
{
    note_progress(call);
    check_deadline(call);
}

/* --- a call's end --------------------------------------------------------------------------------
 */

static void
call_free(void *arg)
{
    struct http_call *call = arg;
    http_upload_free(call->upload);
    arena_free(&call->arena);
    free(call);
}

/* Off its connection or queue; freed after the callback, when nobody reads its head any more. */
static void
bury(struct http_call *call)
{
    struct http_origin *o = call->origin;
    timer_cancel(&call->timer);
    if (call->upload)
        http_upload_stop(call->upload);
    loop_bury(call->client->loop, call, call_free);
    http_origin_unref(o);
}

/* Takes an unfinished call from wherever it is; its protocol forgets it. */
static void
detach(struct http_call *call)
{
    struct http_client_conn *c = call->conn;
    if (c) {
        c->ops->cancel(c, call);
        origin_release(c);
    } else {
        origin_dequeue(call->origin, call);
    }
    bury(call);
}

void
http_call_cancel(struct http_call *call)
{
    if (!call || call->over)
        return;
    call->over = true;
    detach(call);
}

void
client_call_refuse(struct http_call *call, int err, const char *why)
{
    origin_dequeue(call->origin, call);
    call->over = true;
    bury(call);
    call->handlers->on_fail(call->ctx, call, err, why);
}

/* --- what the protocols tell ---------------------------------------------------------------------
 */

/* A head that did not fit: the next calls get more room. */
static void
learn_room(struct http_origin *o, const struct http_head *h)
{
    size_t need =
        320; /* alignment, line ends, and the fields of the connection that were dropped */
    for (size_t i = 0; i < h->count; i++)
        need += sizeof *h->fields + h->fields[i].name.len + h->fields[i].value.len + 4;
    if (need > ANSWER_ROOM_MAX_BYTES)
        need = ANSWER_ROOM_MAX_BYTES;
    if (need > o->answer_room)
        o->answer_room = need;
}

void
http_call_head(struct http_call *call)
{
    if (call->arena.blocks)
        learn_room(call->origin, &call->response);
    call->got_byte = call->got_head = true;
    if (call->upload && call->response.status >= 400)
        http_upload_drop(call->upload);
    note_progress(call);
    check_deadline(call);
    if (call->handlers->on_head)
        call->handlers->on_head(call->ctx, call, &call->response);
}

void
http_call_body(struct http_call *call, struct slice bytes)
{
    note_progress(call);
    if (call->handlers->on_body)
        call->handlers->on_body(call->ctx, call, bytes);
}

/* call->conn stays readable (its peer) until the callback is over. */
void
http_call_end(struct http_call *call, bool keep)
{
    struct http_client_conn *c = call->conn;
    if (!keep)
        http_client_conn_retire(c);
    c->reused = true;
    origin_release(c);
    call->over = true;
    bury(call);
    call->handlers->on_end(call->ctx, call);
}

static bool
may_retry(const struct http_call *call, bool unprocessed)
{
    return unprocessed && call->request.retry_dead && !call->upload && !call->got_byte &&
           !call->retried;
}

void
http_call_fail(struct http_call *call, int err, const char *why, bool unprocessed)
{
    struct http_client_conn *c = call->conn;
    origin_release(c);
    if (may_retry(call, unprocessed)) {
        call->client->stats.retries++;
        call->conn = NULL;
        call->wire = NULL;
        call->retried = true;
        call->sent = false;
        note_progress(call);
        origin_enqueue(call->origin, call, true);
        return;
    }
    call->over = true;
    bury(call);
    call->handlers->on_fail(call->ctx, call, err, why);
}

/* --- a call's start ------------------------------------------------------------------------------
 */

void
client_call_assign(struct http_call *call, struct http_client_conn *c)
{
    call->conn = c;
    if (call->handlers->on_send && !call->handlers->on_send(call->ctx, call)) {
        if (call->over)
            return;
        origin_release(c);
        call->over = true;
        bury(call);
        call->handlers->on_fail(call->ctx, call, ERR_CANCELLED, "not sent");
        return;
    }
    if (call->over)
        return;
    call->sent = true;
    note_progress(call);
    check_deadline(call);
    bool paused = call->paused;
    c->ops->send(c, call);
    if (paused && !call->over && call->conn == c)
        c->ops->pause(c, call);
}

static void
put(char **at, struct slice from, struct slice *ret_copy)
{
    if (from.len > 0)
        memcpy(*at, from.at, from.len);
    *ret_copy = slice_make(*at, from.len);
    *at += from.len;
}

static size_t
text_bytes(const struct http_request *r)
{
    size_t n = r->method.len + r->path.len + r->authority.len;
    for (size_t i = 0; i < r->count; i++)
        n += r->fields[i].name.len + r->fields[i].value.len;
    return n;
}

/* Field array, body pieces and text in one allocation each. */
static bool
copy_request(struct http_call *call, const struct http_request *r)
{
    struct http_request *own = &call->request;
    struct http_field *fields = NULL;
    struct slice *body = NULL;
    *own = *r;
    if (r->authority.len == 0)
        own->authority = slice_of(call->origin->authority);
    char *text = arena_alloc(&call->arena, text_bytes(r) + 1);
    if (!text || (r->count && !(fields = arena_alloc(&call->arena, r->count * sizeof *fields))) ||
        (r->body_count && !(body = arena_alloc(&call->arena, r->body_count * sizeof *body))))
        return false;
    put(&text, r->method, &own->method);
    put(&text, r->path, &own->path);
    if (r->authority.len > 0)
        put(&text, r->authority, &own->authority);
    for (size_t i = 0; i < r->count; i++) {
        fields[i] = r->fields[i];
        put(&text, r->fields[i].name, &fields[i].name);
        put(&text, r->fields[i].value, &fields[i].value);
    }
    own->fields = fields;
    for (size_t i = 0; i < r->body_count; i++)
        body[i] = r->body[i];
    own->body = body;
    return true;
}

struct http_call *
http_call_start(struct http_client *c, struct http_origin *o, const struct http_request *r,
                const struct http_call_handlers *h, void *ctx)
{
    size_t room = text_bytes(r) + r->count * sizeof *r->fields + r->body_count * sizeof *r->body +
                  (o->answer_room > 0 ? o->answer_room : ANSWER_ROOM_BYTES);
    struct http_call *call = malloc(sizeof *call + room);
    if (!call)
        return NULL;
    *call = (struct http_call){.client = c, .origin = o, .handlers = h, .ctx = ctx};
    call->response.content_length = -1;
    arena_init(&call->arena, 0);
    arena_lend(&call->arena, call + 1, room);
    if (!copy_request(call, r) || (r->upload && http_upload_new(call) != 0)) {
        call_free(call);
        return NULL;
    }
    origin_ref(o);
    note_progress(call);
    call->started_ms = call->last_byte_ms;
    call->deadline_ms = call->started_ms + or_limit(r->total_ms, c->limits->total_ms);
    origin_enqueue(o, call, false);
    check_deadline(call);
    return call;
}

/* --- a call's life -------------------------------------------------------------------------------
 */

void
http_call_pause(struct http_call *call)
{
    if (call->paused || call->over)
        return;
    call->paused = true;
    if (call->conn && call->sent)
        call->conn->ops->pause(call->conn, call);
}

void
http_call_resume(struct http_call *call)
{
    if (!call->paused || call->over)
        return;
    call->paused = false;
    note_progress(call);
    check_deadline(call);
    if (call->conn && call->sent)
        call->conn->ops->resume(call->conn, call);
}

bool
http_call_was_sent(const struct http_call *call)
{
    return call->sent;
}

const char *
http_call_peer(const struct http_call *call)
{
    return call->conn ? conn_peer(call->conn->conn) : "";
}

int
http_call_version(const struct http_call *call)
{
    if (!call->conn)
        return 0;
    return call->origin->speaks;
}
