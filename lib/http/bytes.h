/* Control characters in runs of bytes, many at a time: for lib/http's parsers. */
#ifndef LIB_HTTP_BYTES_H
#define LIB_HTTP_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A bit for each of 16 bytes that is a control character (HTAB, CR and LF among them) or DEL. */
static inline unsigned
controls16(const char *at)
{
#ifdef __SSE2__
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, del));
#else
    unsigned mask = 0;
    for (unsigned i = 0; i < 16; i++)
        mask |= (unsigned)((unsigned char)at[i] < 0x20 || at[i] == 0x7f) << i;
    return mask;
#endif
}

/* The same of n < 16 bytes, none read beyond them. */
static inline unsigned
controls_few(const char *at, size_t n)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < n; i++)
        mask |= (unsigned)((unsigned char)at[i] < 0x20 || at[i] == 0x7f) << i;
    return mask;
}

/* Whether eight bytes are all printable ASCII other than ":" (and more, but never less: 0x80 up is
 * let through): what a field's name must be at least, lest it make two fields of one. */
static inline bool
is_safe8(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t w;
    memcpy(&w, at, 8);
    uint64_t low = (w - ones * 0x21) & ~w;
    uint64_t del = w ^ (ones * 0x7f), colon = w ^ (ones * ':');
    del = (del - ones) & ~del;
    colon = (colon - ones) & ~colon;
    return ((low | del | colon) & high) == 0;
}

#endif
