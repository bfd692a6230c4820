#include "lib/http/h2_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A queue of 128 streams takes 1 KiB; the pages are not touched before they are needed. */
#define SLOT_BYTES 2048
#define SLOTS 64

static _Alignas(16) char reserve[SLOTS][SLOT_BYTES];
static uint64_t used; /* a bit a slot */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool
is_reserved(const void *at)
{
    return (uintptr_t)at >= (uintptr_t)reserve && (uintptr_t)at < (uintptr_t)(reserve + SLOTS);
}

static void *
take_slot(void)
{
    void *slot = NULL;
    pthread_mutex_lock(&lock);
    if (~used != 0) {
        int i = __builtin_ctzll(~used);
        used |= UINT64_C(1) << i;
        slot = reserve[i];
    }
    pthread_mutex_unlock(&lock);
    if (!slot)
        abort(); /* the supervisor starts a new worker: better than what nghttp2 would do */
    return slot;
}

static void
give_slot(const void *at)
{
    size_t i = (size_t)((const char *)at - reserve[0]) / SLOT_BYTES;
    pthread_mutex_lock(&lock);
    used &= ~(UINT64_C(1) << i);
    pthread_mutex_unlock(&lock);
}

static void *
on_malloc(size_t n, void *ctx)
{
    (void)ctx;
    void *at = malloc(n);
    if (at || n == 0 || n > SLOT_BYTES)
        return at;
    return take_slot();
}

static void
on_free(void *at, void *ctx)
{
    (void)ctx;
    if (is_reserved(at))
        give_slot(at);
    else
        free(at);
}

static void *
on_calloc(size_t count, size_t n, void *ctx)
{
    (void)ctx;
    void *at = calloc(count, n);
    if (at || n == 0 || count == 0 || count > SLOT_BYTES / n)
        return at;
    at = take_slot();
    memset(at, 0, SLOT_BYTES);
    return at;
}

static void *
on_realloc(void *old, size_t n, void *ctx)
{
    if (!old)
        return on_malloc(n, ctx);
    if (is_reserved(old) && n <= SLOT_BYTES)
        return old;
    if (!is_reserved(old)) {
        void *at = realloc(old, n);
        if (at || n == 0 || n > SLOT_BYTES)
            return at;
    }
    size_t held = is_reserved(old) ? SLOT_BYTES : malloc_usable_size(old);
    void *at = on_malloc(n, ctx);
    if (at) {
        memcpy(at, old, held < n ? held : n);
        on_free(old, ctx);
    }
    return at;
}

nghttp2_mem *
h2_memory(void)
{
    static nghttp2_mem mem = {NULL, on_malloc, on_free, on_calloc, on_realloc};
    return &mem;
}

unsigned
h2_memory_in_reserve(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = (unsigned)__builtin_popcountll(used);
    pthread_mutex_unlock(&lock);
    return n;
}
