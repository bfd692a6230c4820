/*
 * A request's body that is sent while it comes. What waits here is bounded by the caller's
 * obedience to ERR_AGAIN, and by HTTP_UPLOAD_MOST_BYTES without it.
 */
#include <stdlib.h>

#include "lib/http/client_internal.h"

#define LOW_BYTES (HTTP_UPLOAD_MARK_BYTES / 2)

int
http_upload_new(struct http_call *call)
{
    struct http_request *r = &call->request;
    struct http_upload *u = calloc(1, sizeof *u);
    int err = 0;
    if (!u)
        return ERR_NOMEM;
    call->upload = u;
    u->call = call;
    u->left = r->upload_bytes < 0 ? -1 : r->upload_bytes;
    buf_init(&u->queue, HTTP_UPLOAD_MARK_BYTES);
    for (size_t i = 0; i < r->body_count && err == 0; i++)
        err = u->left >= 0 && (int64_t)(u->queue.len + r->body[i].len) > u->left
                  ? ERR_LIMIT
                  : buf_add_slice(&u->queue, r->body[i]);
    if (u->left >= 0)
        u->left -= (int64_t)u->queue.len;
    u->queue.max = HTTP_UPLOAD_MOST_BYTES;
    r->body_count = 0;
    return err;
}

void
http_upload_stop(struct http_upload *u)
{
    loop_unqueue(u->call->client->loop, &u->task);
    u->is_owed = false;
}

void
http_upload_free(struct http_upload *u)
{
    if (!u)
        return;
    buf_free(&u->queue);
    free(u);
}

static void
tell_drained(void *ctx)
{
    struct http_upload *u = ctx;
    struct http_call *call = u->call;
    if (!u->is_owed || call->over)
        return;
    u->is_owed = false;
    if (call->handlers->on_upload_drained)
        call->handlers->on_upload_drained(call->ctx, call);
}

/* From the loop: whoever has just taken bytes may be within a library's call. */
static void
check_drained(struct http_upload *u)
{
    if (u->is_owed && (u->dropped || u->queue.len <= LOW_BYTES))
        loop_after(u->call->client->loop, &u->task, tell_drained, u);
}

void
http_upload_drop(struct http_upload *u)
{
    u->dropped = true;
    buf_free(&u->queue);
    check_drained(u);
}

struct slice
http_upload_next(const struct http_upload *u, size_t n)
{
    struct slice s = buf_slice(&u->queue);
    if (s.len > n)
        s.len = n;
    return s;
}

void
http_upload_took(struct http_upload *u, size_t n)
{
    if (n == 0)
        return;
    buf_drop(&u->queue, n);
    client_call_moved(u->call);
    check_drained(u);
}

/* The connection is told of more, or of the end. */
static void
go_on(struct http_call *call)
{
    if (call->conn && call->sent)
        call->conn->ops->upload(call->conn, call);
}

int
http_call_upload(struct http_call *call, struct slice bytes)
{
    struct http_upload *u = call->upload;
    if (!u || call->over || u->ended)
        return ERR_BAD_STATE;
    if (u->dropped || bytes.len == 0)
        return 0;
    if (u->left >= 0 && bytes.len > (uint64_t)u->left)
        return ERR_LIMIT;
    bool was_empty = u->queue.len == 0;
    int err = buf_add_slice(&u->queue, bytes);
    if (err != 0)
        return err;
    if (u->left >= 0)
        u->left -= (int64_t)bytes.len;
    if (was_empty && call->conn)
        client_call_moved(call); /* from now on it is the upstream that is waited for */
    go_on(call);
    if (u->dropped || u->queue.len <= HTTP_UPLOAD_MARK_BYTES)
        return 0;
    u->is_owed = true;
    return ERR_AGAIN;
}

int
http_call_upload_end(struct http_call *call)
{
    struct http_upload *u = call->upload;
    if (!u || call->over || u->ended)
        return ERR_BAD_STATE;
    if (u->dropped)
        return 0;
    if (u->left > 0)
        return ERR_TRUNCATED;
    u->ended = true;
    if (call->conn)
        client_call_moved(call); /* for the answer */
    go_on(call);
    return 0;
}

size_t
http_call_upload_pending(const struct http_call *call)
{
    return call->upload ? call->upload->queue.len : 0;
}
