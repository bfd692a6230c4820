#include "lib/base/utf8.h"

#include <stdbool.h>

static bool
continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

static size_t
take_two(const unsigned char *s, size_t n, uint32_t *ret_code)
{
    if (n < 2 || s[0] < 0xc2 || !continues(s[1]))
        return 0;
    *ret_code = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3fu);
    return 2;
}

static size_t
take_three(const unsigned char *s, size_t n, uint32_t *ret_code)
{
    if (n < 3 || !continues(s[1]) || !continues(s[2]))
        return 0;
    uint32_t code = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3fu);
    if (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return 3;
}

static size_t
take_four(const unsigned char *s, size_t n, uint32_t *ret_code)
{
    if (n < 4 || !continues(s[1]) || !continues(s[2]) || !continues(s[3]))
        return 0;
    uint32_t code = (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
                    (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3fu);
    if (s[0] > 0xf4 || code < 0x10000 || code > 0x10ffff)
        return 0;
    *ret_code = code;
    return 4;
}

size_t
utf8_take(const void *at, size_t n, uint32_t *ret_code)
{
    const unsigned char *s = at;
    if (n == 0)
        return 0;
    if (s[0] < 0x80) {
        *ret_code = s[0];
        return 1;
    }
    if (s[0] < 0xe0)
        return take_two(s, n, ret_code);
    return s[0] < 0xf0 ? take_three(s, n, ret_code) : take_four(s, n, ret_code);
}

size_t
utf8_put(uint32_t code, char ret_bytes[static 4])
{
    unsigned char *out = (unsigned char *)ret_bytes;
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (unsigned char)(0x80 | (code & 0x3f));
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (unsigned char)(leads[n] | code);
    return n;
}
