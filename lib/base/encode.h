/* Hexadecimal, Base64 (RFC 4648, both alphabets), CRC-32C and CRC-32. */
#ifndef LIB_BASE_ENCODE_H
#define LIB_BASE_ENCODE_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdint.h>

/* Lower-case, 2n digits and a NUL. */
void hex_encode(const void *bytes, size_t n, char *ret_text);
/* Exactly 2n digits: 0 or ERR_SYNTAX. */
MUST_CHECK int hex_decode(struct slice text, void *ret_bytes, size_t n);

#define BASE64_BYTES(n) (((n) + 2) / 3 * 4 + 1)
/* Standard alphabet with padding, terminated. Returns the length. */
size_t base64_encode(const void *bytes, size_t n, char *ret_text);
/* URL alphabet without padding, terminated. Returns the length. */
size_t base64url_encode(const void *bytes, size_t n, char *ret_text);
/* Either alphabet, padding optional, nothing else. ret must hold text.len / 4 * 3 + 3 bytes.
 * 0 or ERR_SYNTAX. */
MUST_CHECK int base64_decode(struct slice text, void *ret_bytes, size_t *ret_len);

/* CRC-32C (Castagnoli); start with crc = 0. Uses the SSE4.2 instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);
/* CRC-32 (IEEE 802.3, that of gzip and of AWS event streams); start with crc = 0. */
uint32_t crc32(uint32_t crc, const void *bytes, size_t n);

#endif
