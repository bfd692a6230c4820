/* One request from straight-line code: a private loop and client that live for one answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/client.h"
#include "lib/http/url.h"

#define ANSWER_MAX_BYTES (64 * 1024 * 1024)

struct fetch {
    struct loop *loop;
    struct http_answer *answer;
    int err;
    const char *why;
};

static bool
copy_field(struct arena *a, const struct http_field *from, struct http_field *to)
{
    *to = *from;
    to->name = arena_copy(a, from->name);
    to->value = arena_copy(a, from->value);
    return to->name.at && to->value.at;
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct fetch *f = ctx;
    struct http_answer *answer = f->answer;
    (void)call;
    answer->status = head->status;
    answer->head = *head;
    answer->head.count = 0;
    answer->head.fields = arena_alloc(&answer->arena, (head->count + 1) * sizeof *head->fields);
    for (size_t i = 0; answer->head.fields && i < head->count; i++)
        if (copy_field(&answer->arena, &head->fields[i], &answer->head.fields[i]))
            answer->head.count++;
        else
            break;
    if (answer->head.count < head->count)
        f->err = ERR_NOMEM;
}

static void
stop(struct fetch *f, int err, const char *why)
{
    f->err = err;
    f->why = why;
    loop_stop(f->loop);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct fetch *f = ctx;
    int err = buf_add_slice(&f->answer->body, bytes);
    if (err != 0) {
        http_call_cancel(call);
        stop(f, err, "the answer is too large");
    }
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct fetch *f = ctx;
    (void)call;
    stop(f, f->err, f->err ? "no memory" : "");
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    (void)call;
    stop(ctx, err, why);
}

static const struct http_call_handlers handlers = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static int
run(struct fetch *f, struct http_client *client, struct http_origin *origin,
    const struct http_request *request)
{
    if (!http_call_start(client, origin, request, &handlers, f))
        return ERR_NOMEM;
    loop_run(f->loop);
    return f->err;
}

int
http_fetch(struct tls_client *tls, struct slice method, struct slice url,
           const struct http_field *fields, size_t count, struct slice body, bool allow_private,
           int total_ms, struct http_answer *ret_answer, const char **ret_why)
{
    struct url u;
    *ret_answer = (struct http_answer){.status = 0};
    buf_init(&ret_answer->body, ANSWER_MAX_BYTES);
    arena_init(&ret_answer->arena, 0);
    int err = url_parse(url, &u, ret_why);
    if (err != 0)
        return err;
    if (u.https && !tls) {
        *ret_why = "https needs a TLS context";
        return ERR_BAD_STATE;
    }
    struct fetch f = {.loop = loop_new(), .answer = ret_answer, .why = "no memory"};
    struct http_client_config config = {.tls = tls};
    struct http_client *client = f.loop ? http_client_new(f.loop, &config) : NULL;
    struct http_origin *origin =
        client ? http_origin_get(client, u.https, u.host, u.port, HTTP_AUTO, allow_private) : NULL;
    struct http_request request = {.method = method,
                                   .path = u.path.len > 0 ? u.path : SLICE("/"),
                                   .fields = fields,
                                   .count = count,
                                   .body = &body,
                                   .body_count = body.len > 0,
                                   .first_byte_ms = total_ms,
                                   .between_bytes_ms = total_ms,
                                   .total_ms = total_ms};
    err = origin ? run(&f, client, origin, &request) : ERR_NOMEM;
    *ret_why = f.why;
    http_origin_unref(origin);
    http_client_free(client);
    loop_free(f.loop);
    return err;
}

void
http_answer_free(struct http_answer *a)
{
    buf_free(&a->body);
    arena_free(&a->arena);
}
