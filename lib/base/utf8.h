/* UTF-8, one character at a time, as strict as RFC 3629. */
#ifndef LIB_BASE_UTF8_H
#define LIB_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length (1-4) of the valid character that begins at `at`, with its code point; 0 when there is
 * none within n bytes: overlong, surrogate, above U+10FFFF, cut off, or a lone continuation. */
size_t utf8_take(const void *at, size_t n, uint32_t *ret_code);
/* Writes 1-4 bytes; code must be a valid scalar value. Returns how many. */
size_t utf8_put(uint32_t code, char ret_bytes[static 4]);

#endif
