#include "lib/control/message.h"

#include <protobuf-c/protobuf-c.h>

static void *
from_arena(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void
to_arena(void *ctx, void *at)
{
    (void)ctx; /* freed with the arena */
    (void)at;
}

void *
message_read(const struct ProtobufCMessageDescriptor *type, struct slice bytes, struct arena *a)
{
    ProtobufCAllocator allocator = {from_arena, to_arena, a};

    return protobuf_c_message_unpack(type, &allocator, bytes.len, (const uint8_t *)bytes.at);
}
