/* Opening a spool that somebody left: what is sound is kept, what is not is set aside and counted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/state/spool_internal.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/map.h"

/* --- what is damaged ------------------------------------------------------------------------- */

static int
aside_dir(struct spool *s)
{
    if (s->aside_fd < 0) {
        if (mkdirat(s->dir_fd, "aside", 0700) && errno != EEXIST)
            return -1;
        s->aside_fd = openat(s->dir_fd, "aside", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    }
    return s->aside_files < ASIDE_FILES ? s->aside_fd : -1;
}

void
spool_set_aside(struct spool *s, uint64_t number, uint32_t start, struct slice bytes)
{
    char name[64];
    int dir = aside_dir(s), fd;

    s->counts.corrupt++;
    log_error("spool.corrupt", F_INT("slot", s->slot), F_INT("segment", number),
              F_INT("offset", start), F_INT("bytes", bytes.len));
    if (dir < 0)
        return;
    (void)snprintf(name, sizeof(name), "%016llx-%08x.bin", (unsigned long long)number, start);
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    s->aside_files++;
    if (write(fd, bytes.at, bytes.len) != (ssize_t)bytes.len)
        log_warn("spool.aside_short", F_INT("slot", s->slot));
    (void)close(fd);
}

void
spool_file_aside(struct spool *s, uint64_t number, const char *why)
{
    char name[SEGMENT_NAME_BYTES];
    int dir = aside_dir(s);

    s->counts.bad_files++;
    segment_name(number, name);
    log_error("spool.file_set_aside", F_INT("slot", s->slot), F_STR("file", name),
              F_STR("reason", why));
    if (s->aside_fd < 0 || renameat(s->dir_fd, name, s->aside_fd, name))
        return; /* it stays where it is and is not read */
    if (dir >= 0)
        s->aside_files++;
}

/* --- what is on disk ------------------------------------------------------------------------- */

struct numbers {
    uint64_t *at;
    size_t count, cap;
};

static int
by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static int
add_number(struct numbers *n, uint64_t number)
{
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 64;
        uint64_t *at = realloc(n->at, cap * sizeof(*at));
        if (!at)
            return ERR_NOMEM;
        n->at = at;
        n->cap = cap;
    }
    n->at[n->count++] = number;
    return 0;
}

static int
list_segments(int dir_fd, struct numbers *ret)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    uint64_t number;

    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return ERR_IO;
    }
    while (!err && (e = readdir(d)))
        if (!segment_parse_name(e->d_name, &number))
            err = add_number(ret, number);
    (void)closedir(d);
    if (ret->count)
        qsort(ret->at, ret->count, sizeof(*ret->at), by_number);
    return err;
}

/* --- one segment ----------------------------------------------------------------------------- */

struct recovery {
    struct spool *s;
    struct map open; /* attempt id -> struct lost */
};

static int
note_open(struct recovery *rec, struct segment *g, const struct record *r)
{
    struct slice id = slice_make(r->attempt_id, ATTEMPT_ID_BYTES);
    struct lost *l = map_remove(&rec->open, id);

    if (l) { /* written again, further on */
        l->segment->open--;
        free(l);
    }
    if (!(l = malloc(sizeof(*l) + r->payload.len + 1)))
        return ERR_NOMEM;
    memcpy(l->attempt_id, r->attempt_id, ATTEMPT_ID_BYTES);
    memcpy(l->bytes, r->payload.at, r->payload.len);
    l->len = r->payload.len;
    l->segment = g;
    g->open++;
    if (map_put(&rec->open, slice_make(l->attempt_id, ATTEMPT_ID_BYTES), l)) {
        free(l);
        return ERR_NOMEM;
    }
    return 0;
}

static void
note_closed(struct recovery *rec, struct segment *g, const struct record *r)
{
    struct lost *l = map_remove(&rec->open, slice_make(r->attempt_id, ATTEMPT_ID_BYTES));

    if (!l)
        return;
    l->segment->open--;
    if (r->type == RECORD_SETTLE) {
        l->segment->needed_number = g->id.number;
        l->segment->needed_at = r->end;
    }
    free(l);
}

static int
note_record(struct recovery *rec, struct segment *g, const struct record *r)
{
    if (r->type == RECORD_RESERVE)
        return note_open(rec, g, r);
    if (r->type == RECORD_SETTLE) {
        g->settled++;
        rec->s->counts.records++;
    }
    note_closed(rec, g, r);
    return 0;
}

static int
scan(struct recovery *rec, struct segment *g, struct slice file)
{
    uint32_t from = SEGMENT_HEADER_BYTES;
    struct record r;
    enum scan_step step;
    int err = 0;

    g->at = SEGMENT_HEADER_BYTES;
    while (!err && (step = segment_scan(file, g->seed, &from, &r)) != SCAN_END) {
        if (step == SCAN_TORN) {
            rec->s->counts.torn++;
            log_warn("spool.torn_tail", F_INT("slot", rec->s->slot), F_INT("segment", g->id.number),
                     F_INT("offset", r.start));
            break;
        }
        if (step == SCAN_RECORD)
            err = note_record(rec, g, &r);
        else
            spool_set_aside(rec->s, g->id.number, r.start,
                            slice_make(file.at + r.start, r.end - r.start));
        g->at = from;
    }
    return err;
}

/* Gives the unused blocks back, and makes the cut of a torn tail last. */
static void
cut(struct spool *s, struct segment *g)
{
    char name[SEGMENT_NAME_BYTES];
    int fd;

    if (g->at >= g->size)
        return;
    segment_name(g->id.number, name);
    fd = openat(s->dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (ftruncate(fd, (off_t)g->at) == 0)
        g->size = g->at;
    (void)close(fd);
}

static bool
is_blank(struct slice file)
{
    return file.len == 0 || (file.at[0] == 0 && memcmp(file.at, file.at + 1, file.len - 1) == 0);
}

/* Whether the file is a segment of this version and of this name; else it is dealt with. */
static bool
is_ours(struct spool *s, uint64_t number, struct slice file, struct segment_identity *ret_id)
{
    char name[SEGMENT_NAME_BYTES];
    int err = segment_read_header(file, ret_id);

    if (!err && ret_id->number == number)
        return true;
    segment_name(number, name);
    if (err == ERR_STALE) { /* of a later version: that one will want it */
        s->counts.bad_files++;
        log_error("spool.later_version", F_INT("slot", s->slot), F_STR("file", name));
    } else if (err && is_blank(file)) {
        (void)unlinkat(s->dir_fd, name, 0); /* allocated and never used */
    } else {
        spool_file_aside(s, number, err ? "no readable header" : "a copy of another segment");
    }
    return false;
}

static int
take_segment(struct recovery *rec, struct slice file, const struct segment_identity *id)
{
    struct spool *s = rec->s;
    struct segment *g = calloc(1, sizeof(*g));
    int err;

    if (!g)
        return ERR_NOMEM;
    g->id = *id;
    g->seed = segment_seed(id);
    g->fd = -1;
    g->size = (uint32_t)file.len;
    TAILQ_INSERT_TAIL(&s->segments, g, link);
    if ((err = scan(rec, g, file)))
        return err;
    cut(s, g);
    s->disk_bytes += g->size;
    if (g->at == SEGMENT_HEADER_BYTES)
        spool_remove(s, g);
    else if (!s->cursor)
        spool_cursor_to(s, g);
    return 0;
}

static int
recover_segment(struct recovery *rec, uint64_t number)
{
    struct spool *s = rec->s;
    struct segment_identity id;
    char *bytes;
    uint32_t len;
    int err = segment_load(s->dir_fd, number, &bytes, &len);

    if (err == ERR_NOMEM)
        return err;
    if (number >= s->next_number)
        s->next_number = number + 1;
    if (err) {
        s->counts.disk_errors += err == ERR_IO;
        spool_file_aside(s, number, "unreadable");
        return 0;
    }
    if (is_ours(s, number, slice_make(bytes, len), &id))
        err = take_segment(rec, slice_make(bytes, len), &id);
    free(bytes);
    return err;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void
collect_lost(struct recovery *rec)
{
    size_t at = 0;
    struct slice id;
    void *l;

    while (map_next(&rec->open, &at, &id, &l))
        STAILQ_INSERT_TAIL(&rec->s->lost, (struct lost *)l, link);
    map_free(&rec->open);
}

int
spool_recover(struct spool *s)
{
    struct recovery rec = {.s = s};
    struct numbers numbers = {0};
    int err;

    map_init(&rec.open);
    err = list_segments(s->dir_fd, &numbers);
    for (size_t i = 0; !err && i < numbers.count; i++)
        err = recover_segment(&rec, numbers.at[i]);
    free(numbers.at);
    collect_lost(&rec);
    if (!err && (s->counts.records || !STAILQ_EMPTY(&s->lost)))
        log_info("spool.recovered", F_INT("slot", s->slot), F_INT("records", s->counts.records),
                 F_INT("torn", s->counts.torn), F_INT("corrupt", s->counts.corrupt),
                 F_INT("bad_files", s->counts.bad_files));
    return err;
}

/* --- reservations nobody settled ------------------------------------------------------------- */

/* At its estimate, and marked: an attempt whose fate is unknown is neither dropped nor free. */
static bool
settle_one(struct spool *s, const struct lost *l, struct arena *a)
{
    char bytes[LIMIT_USAGE_BYTES];
    struct usage u;
    uint32_t start;
    size_t len;

    if (usage_decode(slice_make(l->bytes, l->len), a, &u))
        return false;
    u.sequence = s->next_sequence;
    u.outcome = USAGE_LOST;
    u.estimated = u.incomplete = true;
    u.error_code = SLICE("worker_lost");
    if (usage_encode(&u, bytes, sizeof(bytes), &len))
        return false;
    s->next_sequence++;
    spool_append(s, RECORD_SETTLE, u.sequence, l->attempt_id, slice_make(bytes, len), &start);
    CRASHPOINT("spool.lost_settled");
    s->current->settled++;
    s->counts.records++;
    l->segment->needed_number = s->current->id.number;
    l->segment->needed_at = s->current->at;
    return true;
}

void
spool_settle_lost(struct spool *s)
{
    struct arena a;
    struct lost *l;

    while ((l = STAILQ_FIRST(&s->lost))) {
        if (spool_make_room(s, LIMIT_RECORD_BYTES))
            return; /* later: its segment stays */
        arena_init(&a, 0);
        if (settle_one(s, l, &a)) {
            s->counts.lost++;
            log_warn("spool.lost_attempt", F_INT("slot", s->slot));
        } else {
            spool_set_aside(s, l->segment->id.number, 0, slice_make(l->bytes, l->len));
        }
        arena_free(&a);
        STAILQ_REMOVE_HEAD(&s->lost, link);
        l->segment->open--;
        free(l);
    }
}

/* --- slots that no worker runs --------------------------------------------------------------- */

static bool
has_segments(const char *dir, const char *name)
{
    char path[4096];
    struct numbers numbers = {0};
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name), fd, err;

    if (n < 0 || (size_t)n >= sizeof(path))
        return false;
    if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return false;
    err = list_segments(fd, &numbers);
    (void)close(fd);
    free(numbers.at);
    return !err && numbers.count > 0;
}

size_t
spool_orphans(const char *dir, unsigned first, unsigned *ret_slots, size_t max)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    unsigned long long slot;
    size_t n = 0;

    while (d && n < max && (e = readdir(d))) {
        if (e->d_name[0] != 'w' || slice_to_u64(slice_of(e->d_name + 1), &slot))
            continue;
        if (slot >= first && slot < UINT32_MAX && has_segments(dir, e->d_name))
            ret_slots[n++] = (unsigned)slot;
    }
    if (d)
        (void)closedir(d);
    return n;
}
