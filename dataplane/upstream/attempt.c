#include "dataplane/upstream/attempt.h"

#include "dataplane/upstream/origins.h"
#include "dataplane/upstream/simulator.h"
#include "lib/base/secret.h"

#include <assert.h>
#include <string.h>

#define LIMIT_CREDENTIAL_BYTES 4096
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

static const struct http_call_handlers http_handlers = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
    .on_send = on_send,
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

static const struct attempt_ops http_ops = {
    .cancel = http_cancel,
    .pause = http_pause_call,
    .resume = http_resume_call,
};

/* "Bearer " and the credential, in memory that the caller wipes. Empty when there is none. */
static struct slice
authorization(const struct policy_provider *p, char text[static LIMIT_CREDENTIAL_BYTES])
{
    static const char scheme[] = "Bearer ";
    struct slice credential = secret_reveal(&p->credential);
    size_t n = sizeof(scheme) - 1;
    if (credential.len == 0 || credential.len > LIMIT_CREDENTIAL_BYTES - n)
        return (struct slice){0};
    memcpy(text, scheme, n);
    memcpy(text + n, credential.at, credential.len);
    return slice_make(text, n + credential.len);
}

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

static int
http_start(struct attempt *a, struct services *s, const struct attempt_order *o)
{
    struct http_field fields[LIMIT_ORDER_FIELDS];
    char credential[LIMIT_CREDENTIAL_BYTES], path[LIMIT_PATH_BYTES];
    const struct policy_provider *p = o->provider;
    size_t count = o->field_count, path_len = join_path(o, path);
    if (count >= LIMIT_ORDER_FIELDS || path_len == 0)
        return ERR_LIMIT;
    struct http_origin *held = origins_peek(s->origins, p);
    struct http_origin *origin = held ? held : origins_get(s->client, p);
    if (!origin)
        return ERR_NOMEM;
    memcpy(fields, o->fields, count * sizeof(fields[0]));
    struct slice key = authorization(p, credential);
    if (key.len)
        fields[count++] = (struct http_field){SLICE("authorization"), key, true};
    struct http_request request = {
        .method = SLICE("POST"),
        .path = slice_make(path, path_len),
        .fields = fields,
        .count = count,
        .body = o->body,
        .body_count = o->body_count,
        .retry_dead = true,
        .connect_ms = p->connect_ms,
        .first_byte_ms = p->first_byte_ms,
        .between_bytes_ms = p->between_bytes_ms,
        .total_ms = p->total_ms,
    };
    a->ops = &http_ops;
    a->running = http_call_start(s->client, origin, &request, &http_handlers, a);
    secret_wipe(credential, key.len);
    if (!held)
        http_origin_unref(origin);
    return a->running ? 0 : ERR_NOMEM;
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
