/* Time. Durations and deadlines use the monotonic clock; the wall clock only dates records. */
#ifndef LIB_BASE_CLOCK_H
#define LIB_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
int64_t clock_wall_ns(void);
/* RFC 3339 with milliseconds, UTC: "2026-11-22T10:00:00.000Z" (24 bytes and a NUL). */
void clock_rfc3339(int64_t wall_ms, char ret_text[static 32]);
/* The reverse: also a plain date "2027-01-01" (midnight UTC) and numeric offsets.
 * 0 or ERR_SYNTAX. */
int clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms) __attribute__((warn_unused_result));

#endif
