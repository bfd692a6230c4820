/* Cells of COPY and arrays, written fast: a batch has some forty thousand of them. */
#ifndef CONTROLPLANE_LEDGER_TEXT_H
#define CONTROLPLANE_LEDGER_TEXT_H

#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Remembers its first error: write straight through, look once. */
struct text {
    struct buf buf;
    int err;
};

void text_init(struct text *t);
void text_fini(struct text *t);
/* Each with the tab behind it; text_end_row turns the last tab into a newline. */
void text_cell(struct text *t, struct slice s);
void text_int(struct text *t, int64_t v);
void text_bool(struct text *t, bool v);
void text_uuid(struct text *t, const unsigned char id[static 16]);
void text_time(struct text *t, int64_t wall_ms);
void text_end_row(struct text *t);
/* Without anything behind it. */
void text_add(struct text *t, const char *plain);
void text_add_int(struct text *t, int64_t v);

#endif
