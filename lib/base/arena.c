#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define REDZONE_BYTES 16
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define REDZONE_BYTES 0
#endif

#define ALIGN_BYTES 16
/* A block with malloc's header fills 2 KiB: what an ordinary request needs. */
#define FIRST_BLOCK_BYTES (2048 - 16)
#define LARGEST_BLOCK_BYTES (32768 - 16)

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of the whole block, this head included */
};
_Static_assert(sizeof(struct arena_block) % ALIGN_BYTES == 0, "the room behind it is aligned");

/* First blocks come and go with each request: a few are kept by each thread instead of going
 * through malloc. Not where every allocation is to be seen, or to fail. */
#if !defined(ARENA_ASAN) && !defined(HEADGATE_FAULT)
#define SPARES_MAX 64
static _Thread_local struct {
    struct arena_block *first;
    size_t count;
} spares;

static struct arena_block *
spare_take(void)
{
    struct arena_block *b = spares.first;
    if (b) {
        spares.first = b->next;
        spares.count--;
    }
    return b;
}

static bool
spare_give(struct arena_block *b)
{
    if (b->bytes != FIRST_BLOCK_BYTES || spares.count == SPARES_MAX)
        return false;
    b->next = spares.first;
    spares.first = b;
    spares.count++;
    return true;
}
#else
static struct arena_block *
spare_take(void)
{
    return NULL;
}

static bool
spare_give(struct arena_block *b)
{
    (void)b;
    return false;
}
#endif

struct arena_dispose {
    struct arena_dispose *next;
    void (*hook)(void *);
    void *ctx;
};

void
arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max = max_bytes};
}

void
arena_lend(struct arena *a, void *memory, size_t n)
{
    uintptr_t start = ((uintptr_t)memory + ALIGN_BYTES - 1) & ~(uintptr_t)(ALIGN_BYTES - 1);
    a->at = (char *)start;
    a->end = (char *)memory + n;
    if (a->end < a->at)
        a->end = a->at;
}

void
arena_free(struct arena *a)
{
    while (a->disposals) {
        struct arena_dispose *d = a->disposals;
        a->disposals = d->next;
        d->hook(d->ctx);
    }
    struct arena_block *next = NULL;
    for (struct arena_block *b = a->blocks; b; b = next) {
        next = b->next;
        ASAN_UNPOISON_MEMORY_REGION(b, b->bytes);
        if (!spare_give(b))
            free(b);
    }
    arena_init(a, a->max);
}

static struct arena_block *
block_new(struct arena *a, size_t bytes)
{
    if (a->max && (bytes > a->max || a->total > a->max - bytes))
        return NULL;
    struct arena_block *b = bytes == FIRST_BLOCK_BYTES ? spare_take() : NULL;
    if (!b)
        b = malloc(bytes);
    if (!b)
        return NULL;
    b->bytes = bytes;
    a->total += bytes;
    ASAN_POISON_MEMORY_REGION(b + 1, bytes - sizeof(*b));
    return b;
}

/* Something large gets a block of its own behind the newest, whose room stays in use. */
static void *
alloc_alone(struct arena *a, size_t n)
{
    struct arena_block *b = block_new(a, sizeof(*b) + n);
    if (!b)
        return NULL;
    if (a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = NULL;
        a->blocks = b;
        if (!a->at)
            a->at = a->end = (char *)b + b->bytes;
    }
    return b + 1;
}

/* The size of the next ordinary block: twice the newest, within bounds and what max leaves. */
static size_t
next_block_bytes(const struct arena *a, size_t need)
{
    size_t bytes = FIRST_BLOCK_BYTES;
    if (a->blocks && a->blocks->bytes >= FIRST_BLOCK_BYTES)
        bytes = (a->blocks->bytes + 16) * 2 - 16;
    if (bytes > LARGEST_BLOCK_BYTES)
        bytes = LARGEST_BLOCK_BYTES;
    if (a->max && a->total < a->max && bytes > a->max - a->total)
        bytes = a->max - a->total;
    return bytes < need ? need : bytes;
}

static void *
take(struct arena *a, size_t rounded)
{
    void *p = a->at;
    a->at += rounded;
    return p;
}

static void *
alloc_slow(struct arena *a, size_t rounded)
{
    if (rounded > LARGEST_BLOCK_BYTES / 4)
        return alloc_alone(a, rounded);
    struct arena_block *b = block_new(a, next_block_bytes(a, rounded + sizeof(*b)));
    if (!b)
        return NULL;
    b->next = a->blocks;
    a->blocks = b;
    a->at = (char *)(b + 1);
    a->end = (char *)b + b->bytes;
    return take(a, rounded);
}

void *
arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (n + REDZONE_BYTES + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (rounded == 0)
        rounded = ALIGN_BYTES;
    void *p = rounded <= (size_t)(a->end - a->at) ? take(a, rounded) : alloc_slow(a, rounded);
    if (p)
        ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *
arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    if (p)
        memset(p, 0, n);
    return p;
}

char *
arena_strdup(struct arena *a, struct slice s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    return copy;
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
    char *copy = arena_strdup(a, s);
    return (struct slice){copy, copy ? s.len : 0};
}

char *
arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

int
arena_on_free(struct arena *a, void (*hook)(void *), void *ctx)
{
    struct arena_dispose *d = arena_alloc(a, sizeof(*d));
    if (!d)
        return ERR_NOMEM;
    *d = (struct arena_dispose){a->disposals, hook, ctx};
    a->disposals = d;
    return 0;
}
