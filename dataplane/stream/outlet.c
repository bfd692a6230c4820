#include "dataplane/stream/outlet.h"

#include <stdlib.h>
#include <string.h>

#define OUTLET_BYTES (LOOP_SCRATCH_BYTES + 4096) /* a whole read, and the rest of a held event */

struct outlet {
    struct loop *loop;
    struct task task;
    struct http_stream *to; /* NULL: empty */
    void (*on_written)(void *ctx, int err);
    void *ctx;
    size_t len;
    char bytes[OUTLET_BYTES];
};

struct outlet *
outlet_new(struct loop *l)
{
    struct outlet *o = calloc(1, sizeof(*o));
    if (o)
        o->loop = l;
    return o;
}

void
outlet_free(struct outlet *o)
{
    if (!o)
        return;
    loop_unqueue(o->loop, &o->task);
    free(o);
}

void
outlet_flush(struct outlet *o)
{
    struct http_stream *to = o->to;
    if (!to)
        return;
    o->to = NULL;
    o->on_written(o->ctx, http_write(to, slice_make(o->bytes, o->len)));
}

static void
on_task(void *ctx)
{
    outlet_flush(ctx);
}

void
outlet_add(struct outlet *o, struct http_stream *to, struct slice bytes,
           void (*on_written)(void *ctx, int err), void *ctx)
{
    if (o->to != to || o->len + bytes.len > OUTLET_BYTES)
        outlet_flush(o);
    if (bytes.len > OUTLET_BYTES) {
        on_written(ctx, http_write(to, bytes));
        return;
    }
    if (!o->to) {
        o->to = to;
        o->on_written = on_written;
        o->ctx = ctx;
        o->len = 0;
        loop_after(o->loop, &o->task, on_task, o);
    }
    memcpy(o->bytes + o->len, bytes.at, bytes.len);
    o->len += bytes.len;
}

void
outlet_forget(struct outlet *o, const struct http_stream *to)
{
    if (o->to == to)
        o->to = NULL;
}
