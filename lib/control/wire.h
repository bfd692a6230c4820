/*
 * Writing protobuf's wire format straight into a buffer, and walking a message's top level without
 * unpacking it. Inside lib/control only: messages are read by protobuf-c (message.h); writing needs
 * no library, and no copy of every string first. Like every proto3 writer it leaves defaults out.
 */
#ifndef LIB_CONTROL_WIRE_H
#define LIB_CONTROL_WIRE_H

#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Remembers its first error: write straight through, look once. */
struct wire {
    struct buf *into;
    int err;
};

void wire_uint(struct wire *w, unsigned field, uint64_t v);
void wire_int(struct wire *w, unsigned field, int64_t v);
void wire_bool(struct wire *w, unsigned field, bool v);
void wire_text(struct wire *w, unsigned field, struct slice s);  /* nothing when empty */
void wire_bytes(struct wire *w, unsigned field, struct slice s); /* also when empty */
/* A nested message: what is written between the two becomes its content. */
size_t wire_begin(struct wire *w);
void wire_end(struct wire *w, unsigned field, size_t begun);

/* Takes the next field off *rest: 1 with its number and, for a length-delimited one, its content
 * (else at == NULL); 0 at the end; ERR_SYNTAX. */
int wire_next(struct slice *rest, unsigned *ret_field, struct slice *ret_content);

#endif
