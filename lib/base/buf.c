#include "lib/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/secret.h"

#define FIRST_BYTES 256

void
buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void
buf_free(struct buf *b)
{
    if (!b)
        return;
    free(b->base);
    *b = (struct buf){.max = b->max};
}

void
buf_clear(struct buf *b)
{
    b->at = b->base;
    b->len = 0;
}

void
buf_wipe(struct buf *b)
{
    if (!b)
        return;
    if (b->base)
        secret_wipe(b->base, b->cap);
    buf_free(b);
}

/* Moves the content to the front. */
static void
compact(struct buf *b)
{
    if (!b->base || b->at == b->base)
        return;
    memmove(b->base, b->at, b->len);
    b->at = b->base;
}

/* At least `need` bytes at base, content moved to the front. */
static int
grow(struct buf *b, size_t need)
{
    size_t cap = b->cap < FIRST_BYTES ? FIRST_BYTES : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    compact(b);
    char *base = realloc(b->base, cap);
    if (!base)
        return ERR_NOMEM;
    b->base = b->at = base;
    b->cap = cap;
    return 0;
}

/* Room for n bytes behind the content, whatever max says (max is the callers' affair). */
static int
make_room(struct buf *b, size_t n)
{
    size_t gap = b->base ? (size_t)(b->at - b->base) : 0;
    if (b->cap - gap - b->len >= n && b->base)
        return 0;
    /* Closing a small gap again and again would cost a move of everything each time. */
    if (b->base && b->cap - b->len >= n && gap >= b->cap / 4) {
        compact(b);
        return 0;
    }
    if (n > PTRDIFF_MAX - b->len) /* no allocation is larger */
        return ERR_NOMEM;
    size_t need = b->len + n;
    return grow(b, need <= b->cap && b->cap <= SIZE_MAX / 2 ? b->cap * 2 : need);
}

static int
check_max(const struct buf *b, size_t n)
{
    return b->max && (b->len > b->max || n > b->max - b->len) ? ERR_LIMIT : 0;
}

char *
buf_reserve(struct buf *b, size_t n)
{
    if (check_max(b, n) < 0 || make_room(b, n) < 0)
        return NULL;
    return b->at + b->len;
}

void
buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

int
buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return 0;
    int e = check_max(b, n);
    if (e == 0)
        e = make_room(b, n);
    if (e < 0)
        return e;
    memcpy(b->at + b->len, bytes, n);
    b->len += n;
    return 0;
}

int
buf_add_slice(struct buf *b, struct slice s)
{
    return buf_add(b, s.at, s.len);
}

int
buf_add_str(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int
buf_vaddf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return ERR_SYNTAX;
    int e = check_max(b, (size_t)n);
    if (e == 0)
        e = make_room(b, (size_t)n + 1);
    if (e < 0)
        return e;
    vsnprintf(b->at + b->len, (size_t)n + 1, format, args);
    b->len += (size_t)n;
    return 0;
}

int
buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int e = buf_vaddf(b, format, args);
    va_end(args);
    return e;
}

void
buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    b->at += n;
    b->len -= n;
}

struct slice
buf_slice(const struct buf *b)
{
    return (struct slice){b->at, b->len};
}

const char *
buf_str(struct buf *b)
{
    if (make_room(b, 1) < 0)
        return NULL;
    b->at[b->len] = '\0';
    return b->at;
}
