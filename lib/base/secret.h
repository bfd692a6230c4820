/*
 * Bytes that must not leak: wiped when freed, left out of core dumps, compared in constant
 * time, and unprintable (no log field takes one).
 */
#ifndef LIB_BASE_SECRET_H
#define LIB_BASE_SECRET_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct secret {
    unsigned char *at;
    size_t len;
};

/* Copies n bytes (a terminating NUL is kept behind them, not counted); bytes NULL: n zero bytes,
 * to be filled in place. 0 or ERR_NOMEM. */
MUST_CHECK int secret_set(struct secret *s, const void *bytes, size_t n);
/* Wipes and frees; the secret is empty afterwards. */
void secret_free(struct secret *s);
/* For the one moment it is used (an HTTP header, a key schedule). Valid until secret_free. */
struct slice secret_reveal(const struct secret *s);
/* Overwrites memory so that the compiler cannot drop it. */
void secret_wipe(void *at, size_t n);
/* Constant time in the content, not in the lengths. */
bool secret_equal(const void *a, const void *b, size_t n);

#endif
