/* A cursor that writes until the first failure: what the simulator's bodies are written with. */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_WRITE_H
#define DATAPLANE_UPSTREAM_SIMULATOR_WRITE_H

#include "lib/base/buf.h"
#include "lib/json/scan.h"

#include <stdarg.h>

#define LIMIT_ANSWER_BYTES ((size_t)48 << 20)

struct sim_writer {
    struct buf *into;
    int err;
};

__attribute__((format(printf, 2, 3))) static inline void
sim_add(struct sim_writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!w->err)
        w->err = buf_vaddf(w->into, format, args);
    va_end(args);
}

static inline void
sim_quote(struct sim_writer *w, struct slice text)
{
    if (!w->err)
        w->err = json_quote(w->into, text);
}

#endif
