/* The supervisor's side of the spool: flushes for all workers, so that none of them waits for a
 * disk. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/state/spool_internal.h"
#include "lib/base/log.h"

struct slot {
    int dir_fd;
    struct control *control;
    uint64_t named; /* the last segment whose directory entry is on disk */
};

struct spool_flusher {
    unsigned count;
    struct slot slots[];
};

int
spool_flusher_new(const char *dir, unsigned slots, struct spool_flusher **ret_flusher)
{
    struct spool_flusher *f = calloc(1, sizeof(*f) + slots * sizeof(f->slots[0]));
    int err = 0;

    if (!f)
        return ERR_NOMEM;
    for (; !err && f->count < slots; f->count++) {
        struct slot *s = &f->slots[f->count];
        s->dir_fd = -1;
        if (!(err = spool_open_dir(dir, f->count, &s->dir_fd)))
            err = spool_map_control(s->dir_fd, &s->control);
    }
    if (err) {
        spool_flusher_free(f);
        return err;
    }
    *ret_flusher = f;
    return 0;
}

void
spool_flusher_free(struct spool_flusher *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->count; i++) {
        if (f->slots[i].control)
            (void)munmap(f->slots[i].control, CONTROL_BYTES);
        if (f->slots[i].dir_fd >= 0)
            (void)close(f->slots[i].dir_fd);
    }
    free(f);
}

/* 1: flushed; 0: no such file any more; ERR_IO. */
static int
flush_segment(const struct slot *s, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    int fd, failed;

    segment_name(number, name);
    fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : ERR_IO;
    failed = fdatasync(fd);
    (void)close(fd);
    return failed ? ERR_IO : 1;
}

/* From the last one that was flushed as current to the one that is current now. */
static size_t
flush_slot(struct slot *s)
{
    struct control *c = s->control;
    uint64_t written = atomic_load_explicit(&c->written, memory_order_acquire);
    uint64_t current = atomic_load(&c->current), first = atomic_load(&c->first);
    size_t flushed = 0;

    if (written == atomic_load(&c->flushed) || !current)
        return 0;
    for (uint64_t n = s->named > first ? s->named : first; n <= current; n++) {
        int rc = flush_segment(s, n);
        if (rc < 0) {
            if (atomic_exchange(&c->bad, n) != n) /* told once */
                log_error("spool.flush_failed", F_INT("segment", n),
                          F_STR("cause", strerror(errno)));
            return flushed;
        }
        flushed += rc > 0;
    }
    if (s->named != current && fsync(s->dir_fd) == 0)
        s->named = current;
    atomic_store(&c->flushed, written);
    return flushed;
}

size_t
spool_flush(struct spool_flusher *f)
{
    size_t n = 0;

    for (unsigned i = 0; i < f->count; i++)
        n += flush_slot(&f->slots[i]);
    return n;
}
