#include "lib/base/rand.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"

#define POOL_BYTES 1024

/* Bytes asked from the kernel ahead; each is handed out once and wiped. A thread has its own, so
 * there is no lock; a child of fork() must not hand out what its parent will, so a change of
 * generation empties it. */
struct pool {
    unsigned generation; /* 0: never filled */
    size_t left;         /* unused bytes, at the end of `bytes` */
    unsigned char bytes[POOL_BYTES];
};

static _Thread_local struct pool pool;
static atomic_uint generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
on_fork_child(void)
{
    atomic_fetch_add(&generation, 1);
}

static void
watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, on_fork_child) != 0)
        abort();
}

static void
from_kernel(unsigned char *into, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(into, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* no randomness: nothing we do would be safe */
        into += got;
        n -= (size_t)got;
    }
}

static void
refill(void)
{
    pthread_once(&once, watch_forks);
    from_kernel(pool.bytes, POOL_BYTES);
    pool.generation = atomic_load(&generation);
    pool.left = POOL_BYTES;
}

void
rand_bytes(void *into, size_t n)
{
    if (n > POOL_BYTES / 4) {
        from_kernel(into, n);
        return;
    }
    if (pool.left < n || pool.generation != atomic_load_explicit(&generation, memory_order_relaxed))
        refill();
    unsigned char *at = pool.bytes + POOL_BYTES - pool.left;
    memcpy(into, at, n);
    secret_wipe(at, n);
    pool.left -= n;
}

uint64_t
rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof(v));
    return v;
}

uint64_t
rand_below(uint64_t below)
{
    /* The low `reject` values would make some remainders likelier than others. */
    uint64_t reject = (0 - below) % below;
    for (;;) {
        uint64_t v = rand_u64();
        if (v >= reject)
            return v % below;
    }
}

void
uuid7(unsigned char ret_id[static 16])
{
    uint64_t ms = (uint64_t)clock_wall_ms();
    rand_bytes(ret_id + 6, 10);
    for (int i = 0; i < 6; i++)
        ret_id[i] = (unsigned char)(ms >> (40 - 8 * i));
    ret_id[6] = (unsigned char)(0x70 | (ret_id[6] & 0x0f));
    ret_id[8] = (unsigned char)(0x80 | (ret_id[8] & 0x3f));
}

int64_t
uuid7_wall_ms(const unsigned char id[static 16])
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return ms;
}

void
uuid_format(const unsigned char id[static 16], char ret_text[static 37])
{
    char digits[33];
    hex_encode(id, 16, digits);
    static const int lengths[] = {8, 4, 4, 4, 12};
    const char *from = digits;
    char *to = ret_text;
    for (int i = 0; i < 5; i++) {
        memcpy(to, from, (size_t)lengths[i]);
        from += lengths[i];
        to += lengths[i];
        *to++ = '-';
    }
    to[-1] = '\0';
}

int
uuid_parse(const char *text, size_t len, unsigned char ret_id[static 16])
{
    char digits[32];
    size_t n = 0;
    if (len != 36)
        return ERR_SYNTAX;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-'))
            return ERR_SYNTAX;
        if (!dash)
            digits[n++] = text[i];
    }
    return hex_decode(slice_make(digits, 32), ret_id, 16);
}
