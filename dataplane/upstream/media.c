#include "dataplane/upstream/media.h"

#include <stdlib.h>

#include "lib/http/url.h"

struct media_fetch {
    struct services *svc;
    struct arena arena;
    struct http_call *call;
    struct timer timer; /* tells of a URL that was refused, after the start has returned */
    struct buf body;
    struct slice mime;
    int err;
    const char *why;
    void (*on_done)(void *ctx, const struct media_result *r);
    void *ctx;
};

static void
destroy(void *corpse)
{
    struct media_fetch *f = corpse;
    services_release(f->svc, f->body.len);
    buf_free(&f->body);
    arena_free(&f->arena);
    free(f);
}

static void
bury(struct media_fetch *f)
{
    timer_cancel(&f->timer);
    loop_bury(f->svc->loop, f, destroy);
}

static void
finish(struct media_fetch *f, int err, const char *why)
{
    struct media_result r = {err, why, f->mime, buf_slice(&f->body)};
    f->on_done(f->ctx, &r);
    bury(f);
}

static void
stop(struct media_fetch *f, int err, const char *why)
{
    http_call_cancel(f->call);
    f->call = NULL;
    finish(f, err, why);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct media_fetch *f = ctx;
    (void)call;
    struct slice type = http_field_get(head, "content-type"),
                 mime = slice_trim(slice_cut(&type, ';'));
    f->mime = arena_copy(&f->arena, mime.at ? mime : SLICE(""));
    if (head->status != 200)
        stop(f, ERR_NOT_FOUND, "the server did not answer 200");
    else if (head->content_length > (int64_t)LIMIT_MEDIA_BYTES)
        stop(f, ERR_LIMIT, "the file is over 20 MiB");
    else if (!f->mime.at)
        stop(f, ERR_NOMEM, "the gateway is short of memory");
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct media_fetch *f = ctx;
    (void)call;
    if (!f->call)
        return; /* its head has ended it */
    if (f->body.len + bytes.len > LIMIT_MEDIA_BYTES) {
        stop(f, ERR_LIMIT, "the file is over 20 MiB");
        return;
    }
    if (!services_hold(f->svc, bytes.len)) {
        stop(f, ERR_NOMEM, "the gateway is short of memory");
        return;
    }
    if (buf_add_slice(&f->body, bytes)) {
        services_release(f->svc, bytes.len);
        stop(f, ERR_NOMEM, "the gateway is short of memory");
    }
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct media_fetch *f = ctx;
    (void)call;
    f->call = NULL;
    finish(f, 0, NULL);
}

static const char *
reason_of(int err)
{
    switch (err) {
    case ERR_DENIED:
        return "the address is private";
    case ERR_DNS:
        return "the host's name has no address";
    case ERR_TIMEOUT:
        return "the server did not answer in time";
    default:
        return "the server could not be reached, or broke off";
    }
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct media_fetch *f = ctx;
    (void)call;
    (void)why;
    f->call = NULL;
    finish(f, err, reason_of(err));
}

static const struct http_call_handlers handlers = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
};

/* --- the start -------------------------------------------------------------------------------- */

static void
on_refused(void *ctx)
{
    struct media_fetch *f = ctx;
    finish(f, f->err, f->why);
}

static void
refuse_later(struct media_fetch *f, int err, const char *why)
{
    f->err = err;
    f->why = why;
    timer_set(&f->timer, f->svc->loop, 0, on_refused, f);
}

static void
start(struct media_fetch *f, struct slice address, bool allow_private)
{
    const struct http_field accept = {SLICE("accept"), SLICE("*/*"), false};
    struct url url;
    const char *why = "malformed";
    if (url_parse(address, &url, &why)) {
        refuse_later(f, ERR_SYNTAX, "it is no http or https URL");
        return;
    }
    struct http_origin *origin =
        http_origin_get(f->svc->client, url.https, url.host, url.port, HTTP_AUTO, allow_private);
    const struct http_request request = {
        .method = SLICE("GET"),
        .path = url.path.len ? url.path : SLICE("/"),
        .fields = &accept,
        .count = 1,
        .total_ms = MEDIA_FETCH_MS,
    };
    if (origin)
        f->call = http_call_start(f->svc->client, origin, &request, &handlers, f);
    http_origin_unref(origin);
    if (!f->call)
        refuse_later(f, ERR_NOMEM, "the gateway is short of memory");
}

struct media_fetch *
media_fetch_start(struct services *s, struct slice url, bool allow_private,
                  void (*on_done)(void *ctx, const struct media_result *r), void *ctx)
{
    struct media_fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->svc = s;
    f->on_done = on_done;
    f->ctx = ctx;
    arena_init(&f->arena, 64 << 10);
    buf_init(&f->body, LIMIT_MEDIA_BYTES);
    start(f, url, allow_private);
    return f;
}

void
media_fetch_cancel(struct media_fetch *f)
{
    if (!f)
        return;
    if (f->call)
        http_call_cancel(f->call);
    bury(f);
}
