#include "dataplane/upstream/attempt.h"

#include "dataplane/upstream/credential.h"
#include "dataplane/upstream/origins.h"
#include "dataplane/upstream/simulator.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <assert.h>
#include <string.h>

#define LIMIT_ORDER_FIELDS 48
#define LIMIT_PATH_BYTES 2048

/* --- by HTTP ---------------------------------------------------------------------------------- */

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct attempt *a = ctx;
    (void)call;
    a->handlers->on_head(a->ctx, head);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct attempt *a = ctx;
    (void)call;
    a->handlers->on_body(a->ctx, bytes);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct attempt *a = ctx;
    (void)call;
    a->running = NULL;
    a->handlers->on_end(a->ctx);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct attempt *a = ctx;
    (void)call;
    a->running = NULL;
    a->handlers->on_fail(a->ctx, err, why);
}

static bool
on_send(void *ctx, struct http_call *call)
{
    struct attempt *a = ctx;
    (void)call;
    return a->handlers->on_send(a->ctx);
}

static void
on_upload_drained(void *ctx, struct http_call *call)
{
    struct attempt *a = ctx;
    (void)call;
    if (a->handlers->on_upload_drained)
        a->handlers->on_upload_drained(a->ctx);
}

static const struct http_call_handlers http_handlers = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_send = on_send,
    .on_upload_drained = on_upload_drained,
};

static void
http_cancel(void *running)
{
    http_call_cancel(running);
}

static void
http_pause_call(void *running)
{
    http_call_pause(running);
}

static void
http_resume_call(void *running)
{
    http_call_resume(running);
}

static int
http_upload(void *running, struct slice bytes)
{
    return http_call_upload(running, bytes);
}

static int
http_upload_end(void *running)
{
    return http_call_upload_end(running);
}

static const struct attempt_ops http_ops = {
    .cancel = http_cancel,
    .pause = http_pause_call,
    .resume = http_resume_call,
    .upload = http_upload,
    .upload_end = http_upload_end,
};

static size_t
join_path(const struct attempt_order *o, char path[static LIMIT_PATH_BYTES])
{
    struct slice prefix = o->provider->path;
    if (prefix.len + o->path.len > LIMIT_PATH_BYTES)
        return 0;
    memcpy(path, prefix.at, prefix.len);
    memcpy(path + prefix.len, o->path.at, o->path.len);
    return prefix.len + o->path.len;
}

static struct slice
content_type_of(const struct attempt_order *o)
{
    for (size_t i = 0; i < o->field_count; i++)
        if (slice_is(o->fields[i].name, "content-type"))
            return o->fields[i].value;
    return (struct slice){0};
}

static int
http_call(struct attempt *a, struct services *s, const struct attempt_order *o,
          struct http_origin *origin, struct slice path, struct credential *credential)
{
    const struct policy_provider *p = o->provider;
    struct http_field fields[LIMIT_ORDER_FIELDS];
    struct slice method = o->method.len ? o->method : SLICE("POST");
    const struct credential_call who = {
        .method = method,
        .content_type = content_type_of(o),
        .provider = p,
        .token = o->token,
        .authority = slice_of(http_origin_authority(origin)),
        .target = path,
        .body = o->body,
        .body_count = o->body_count,
        .wall_ms = clock_wall_ms(),
    };
    const char *why;
    int err = credential_make(credential, &who, &why);
    if (err) {
        log_error("upstream.credential", F_SLICE("provider", p->name), F_STR("why", why));
        return err;
    }
    memcpy(fields, o->fields, o->field_count * sizeof(fields[0]));
    memcpy(fields + o->field_count, credential->fields,
           credential->count * sizeof(credential->fields[0]));
    struct http_request request = {
        .method = method,
        .path = path,
        .fields = fields,
        .count = o->field_count + credential->count,
        .body = o->body,
        .body_count = o->body_count,
        .retry_dead = !o->upload,
        .upload = o->upload,
        .upload_bytes = o->upload_bytes,
        .connect_ms = p->connect_ms,
        .first_byte_ms = p->first_byte_ms,
        .between_bytes_ms = p->between_bytes_ms,
        .total_ms = p->total_ms,
    };
    a->ops = &http_ops;
    a->running = http_call_start(s->client, origin, &request, &http_handlers, a);
    return a->running ? 0 : ERR_NOMEM;
}

static int
http_start(struct attempt *a, struct services *s, const struct attempt_order *o)
{
    char path[LIMIT_PATH_BYTES];
    struct credential credential;
    size_t path_len = join_path(o, path);
    if (o->field_count > LIMIT_ORDER_FIELDS - CREDENTIAL_FIELDS || path_len == 0)
        return ERR_LIMIT;
    struct http_origin *held = origins_peek(s->origins, o->provider);
    struct http_origin *origin = held ? held : origins_get(s->client, o->provider);
    if (!origin)
        return ERR_NOMEM;
    int err = http_call(a, s, o, origin, slice_make(path, path_len), &credential);
    credential_wipe(&credential);
    if (!held)
        http_origin_unref(origin);
    return err;
}

/* --- either ----------------------------------------------------------------------------------- */

int
attempt_start(struct attempt *a, struct services *s, const struct attempt_order *o,
              const struct attempt_handlers *h, void *ctx)
{
    assert(!a->running);
    a->handlers = h;
    a->ctx = ctx;
    a->paused = false;
    if (o->provider->kind == PROVIDER_SIMULATOR) {
        a->ops = &simulator_ops;
        return simulator_start(a, s, o);
    }
    return http_start(a, s, o);
}

void
attempt_cancel(struct attempt *a)
{
    void *running = a->running;
    a->running = NULL;
    if (running)
        a->ops->cancel(running);
}

int
attempt_upload(struct attempt *a, struct slice bytes)
{
    return a->running && a->ops->upload ? a->ops->upload(a->running, bytes) : ERR_BAD_STATE;
}

int
attempt_upload_end(struct attempt *a)
{
    return a->running && a->ops->upload_end ? a->ops->upload_end(a->running) : ERR_BAD_STATE;
}

void
attempt_fail(struct attempt *a, int err, const char *why)
{
    attempt_cancel(a);
    a->handlers->on_fail(a->ctx, err, why);
}

void
attempt_pause(struct attempt *a)
{
    if (a->running && !a->paused) {
        a->paused = true;
        a->ops->pause(a->running);
    }
}

void
attempt_resume(struct attempt *a)
{
    if (a->running && a->paused) {
        a->paused = false;
        a->ops->resume(a->running);
    }
}
