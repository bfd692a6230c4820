#include "lib/base/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whole pages, because that is the unit the kernel leaves out of core dumps. */
static size_t
pages_bytes(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + 1 + page - 1) / page * page;
}

int
secret_set(struct secret *s, const void *bytes, size_t n)
{
    size_t whole = pages_bytes(n);
    if (whole < n)
        return ERR_NOMEM;
    void *at = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return ERR_NOMEM;
    (void)madvise(at, whole, MADV_DONTDUMP);
    if (bytes && n > 0)
        memcpy(at, bytes, n);
    *s = (struct secret){at, n};
    return 0;
}

void
secret_free(struct secret *s)
{
    if (!s || !s->at)
        return;
    secret_wipe(s->at, s->len);
    munmap(s->at, pages_bytes(s->len));
    *s = (struct secret){0};
}

struct slice
secret_reveal(const struct secret *s)
{
    return slice_make(s->at, s->len);
}

void
secret_wipe(void *at, size_t n)
{
    if (n > 0)
        explicit_bzero(at, n);
}

bool
secret_equal(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}
