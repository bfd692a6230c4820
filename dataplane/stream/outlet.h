/*
 * Where pieces of a stream meet before they leave: an upstream sends many small pieces in one read,
 * and each would cost the client a frame. One outlet a worker; what it holds belongs to one stream,
 * and leaves when that stream's callback has returned, or another stream comes.
 */
#ifndef DATAPLANE_STREAM_OUTLET_H
#define DATAPLANE_STREAM_OUTLET_H

#include "lib/base/slice.h"
#include "lib/http/server.h"
#include "lib/net/loop.h"

struct outlet;

struct outlet *outlet_new(struct loop *l); /* NULL: no memory */
void outlet_free(struct outlet *o);

/* Copies bytes for `to`. The result of each http_write is told by on_written(ctx, err), maybe
 * during this call, maybe later, until outlet_flush or outlet_forget; it must not end the stream.
 */
void outlet_add(struct outlet *o, struct http_stream *to, struct slice bytes,
                void (*on_written)(void *ctx, int err), void *ctx);
/* Writes what is held, whosever it is. */
void outlet_flush(struct outlet *o);
/* Drops what is held for `to`; its on_written is not called any more. */
void outlet_forget(struct outlet *o, const struct http_stream *to);

#endif
