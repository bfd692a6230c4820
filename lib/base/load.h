/* Numbers out of bytes that lie anywhere, whatever the machine's own order. */
#ifndef LIB_BASE_LOAD_H
#define LIB_BASE_LOAD_H

#include <stdint.h>
#include <string.h>

/* Eight bytes, the first one lowest. */
static inline uint64_t
load_le64(const void *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

#endif
