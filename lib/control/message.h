/* Reading messages with protobuf-c into an arena. Inside lib/control only. */
#ifndef LIB_CONTROL_MESSAGE_H
#define LIB_CONTROL_MESSAGE_H

#include "lib/base/arena.h"
#include "lib/base/slice.h"

#include <stddef.h>
#include <stdint.h>

struct ProtobufCMessageDescriptor;

/* The message, living in the arena with everything it points to (its bound bounds the message);
 * NULL: malformed, or more than the arena may hold. Never free_unpacked it. */
void *message_read(const struct ProtobufCMessageDescriptor *type, struct slice bytes,
                   struct arena *a);
/* bytes fields: at is never NULL, so that an empty one differs from none. */
static inline struct slice
message_bytes(const uint8_t *data, size_t len)
{
    return slice_make(len ? (const char *)data : "", len);
}

#endif
