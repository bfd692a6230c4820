/*
 * A growable byte buffer with a hard bound. Owned by whoever embeds it.
 *
 * Bytes live at [at, at + len). Consuming from the front moves `at`; growth compacts first.
 */
#ifndef LIB_BASE_BUF_H
#define LIB_BASE_BUF_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *base; /* the allocation, NULL while empty and never used */
    char *at;   /* first byte held */
    size_t len; /* bytes held */
    size_t cap; /* bytes allocated at base */
    size_t max; /* never holds more than this; 0: no bound of its own */
};

void buf_init(struct buf *b, size_t max_bytes);
/* Frees the memory; the buffer can be used again. NULL is fine. */
void buf_free(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* Room for n more bytes after the last one: a pointer to it, or NULL (over max, or no memory).
 * buf_commit() then says how many were written. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* 0, ERR_LIMIT or ERR_NOMEM; on an error the buffer is as before. */
MUST_CHECK int buf_add(struct buf *b, const void *bytes, size_t n);
MUST_CHECK int buf_add_slice(struct buf *b, struct slice s);
MUST_CHECK int buf_add_str(struct buf *b, const char *text);
MUST_CHECK int buf_addf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
MUST_CHECK int buf_vaddf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Drops n bytes from the front (n <= len). */
void buf_drop(struct buf *b, size_t n);
/* What it holds; valid until the next change. */
struct slice buf_slice(const struct buf *b);
/* Terminates the content (the NUL is not counted) and lends it; NULL without memory. */
const char *buf_str(struct buf *b);
/* Overwrites the memory before freeing it: for credentials. */
void buf_wipe(struct buf *b);

#endif
