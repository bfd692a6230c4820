#include "dataplane/state/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/state/spool_internal.h"
#include "lib/base/clock.h"
#include "lib/base/crash.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define DEFAULT_BYTES (UINT64_C(1) << 30)
#define DEFAULT_SEGMENT_BYTES ((uint32_t)4 << 20)
#define MIN_SEGMENT_BYTES ((uint32_t)64 << 10)
/* A reservation and its settlement always fit in this. */
#define ATTEMPT_BYTES ((uint64_t)2 * LIMIT_RECORD_BYTES)

/* --- room ------------------------------------------------------------------------------------ */

/* A segment is left when less than the longest record fits, so this much is sure to be used. */
static uint64_t
usable(const struct segment *g)
{
    uint32_t rest = g->id.bytes - g->at;

    return rest > LIMIT_RECORD_BYTES ? rest - LIMIT_RECORD_BYTES : 0;
}

uint64_t
spool_free_room(const struct spool *s)
{
    uint64_t room = 0;

    for (const struct segment *g = s->current; g; g = TAILQ_NEXT(g, link))
        room += usable(g);
    return room > s->promised ? room - s->promised : 0;
}

static int
make_segment(struct spool *s)
{
    struct segment_identity id = {
        .number = s->next_number,
        .bytes = s->limits.segment_bytes,
        .created_ms = clock_wall_ms(),
    };
    struct segment *g;
    int err;

    if (clock_mono_ms() < s->retry_ms)
        return ERR_FULL;
    if (s->disk_bytes + id.bytes > s->limits.bytes)
        return ERR_FULL;
    memcpy(id.spool_id, s->spool_id, SPOOL_ID_BYTES);
    if ((err = segment_create(s->dir_fd, &id, &g))) {
        s->retry_ms = clock_mono_ms() + RETRY_MS;
        s->counts.disk_errors++;
        log_error("spool.no_segment", F_INT("slot", s->slot), F_ERR(err),
                  F_STR("cause", strerror(errno)));
        return err;
    }
    s->next_number++;
    s->disk_bytes += g->size;
    TAILQ_INSERT_TAIL(&s->segments, g, link);
    if (!s->current) {
        s->current = g;
        atomic_store(&s->control->current, g->id.number);
    }
    if (!s->cursor)
        spool_cursor_to(s, g);
    if (s->limits.sync == SPOOL_SYNC_ALWAYS && fsync(s->dir_fd)) /* its name */
        atomic_store(&s->control->bad, g->id.number);
    CRASHPOINT("spool.segment_made");
    return 0;
}

int
spool_make_room(struct spool *s, uint64_t bytes)
{
    int err = 0;

    while (!err && (!s->current || spool_free_room(s) < bytes))
        err = make_segment(s);
    return err;
}

/* The full segment stays mapped only while upload reads it. */
static void
leave(struct spool *s, struct segment *g)
{
    if (g == s->cursor)
        return;
    s->disk_bytes -= g->size;
    segment_retire(g);
    s->disk_bytes += g->size;
}

static void
rotate(struct spool *s)
{
    struct segment *full = s->current, *next = TAILQ_NEXT(full, link);

    assert(next); /* room was made before */
    s->current = next;
    atomic_store(&s->control->current, next->id.number);
    CRASHPOINT("spool.rotated");
    leave(s, full);
}

/* --- writing --------------------------------------------------------------------------------- */

/* Copies one live record of a segment that cannot be trusted. */
static void
copy_record(struct spool *s, const struct record *r, struct segment *bad, uint32_t cursor_at)
{
    uint32_t start;

    if (r->type == RECORD_SETTLE && r->start >= cursor_at)
        spool_append(s, RECORD_SETTLE, r->sequence, r->attempt_id, r->payload, &start);
    if (r->type == RECORD_SETTLE && r->start >= cursor_at)
        s->current->settled++;
    for (uint32_t i = 0; r->type == RECORD_RESERVE && i < s->hold_cap; i++) {
        struct hold *h = &s->holds[i];
        if (h->segment != bad || h->start != r->start)
            continue;
        spool_append(s, RECORD_RESERVE, 0, r->attempt_id, r->payload, &start);
        h->segment = s->current;
        h->start = start;
        h->end = s->current->at;
        s->current->open++;
    }
}

static void
copy_live(struct spool *s, struct segment *bad, uint32_t cursor_at)
{
    struct record r;
    uint32_t from = SEGMENT_HEADER_BYTES, len;
    char *bytes;
    enum scan_step step;
    int err = segment_load(s->dir_fd, bad->id.number, &bytes, &len);

    if (err) {
        log_error("spool.bad_segment_unreadable", F_INT("slot", s->slot), F_ERR(err));
        s->counts.corrupt++;
        return;
    }
    while ((step = segment_scan(slice_make(bytes, bad->at < len ? bad->at : len), bad->seed, &from,
                                &r)) != SCAN_END) {
        if (step == SCAN_RECORD)
            copy_record(s, &r, bad, cursor_at);
        else
            spool_set_aside(s, bad->id.number, r.start,
                            slice_make(bytes + r.start, r.end - r.start));
    }
    free(bytes);
}

/* Holds whose reservation could not be copied still have their settlement to come. */
static void
orphan_holds(struct spool *s, const struct segment *bad)
{
    for (uint32_t i = 0; i < s->hold_cap; i++)
        if (s->holds[i].segment == bad) {
            s->holds[i].segment = s->current;
            s->holds[i].start = s->holds[i].end = 0;
            s->current->open++;
        }
}

/* After a failed flush nothing in the file is sure: what is alive in it goes to a new one. When
 * there is no room for that, writing goes on where it is: better there than nowhere. */
static void
replace_current(struct spool *s)
{
    struct segment *bad = s->current, *next;
    uint32_t cursor_at = bad == s->cursor ? s->cursor_at : SEGMENT_HEADER_BYTES;
    uint64_t live = bad->at + usable(bad); /* its own usable room goes with it */

    atomic_store(&s->control->bad, 0);
    s->counts.disk_errors++;
    log_error("spool.flush_failed", F_INT("slot", s->slot), F_INT("segment", bad->id.number));
    if (spool_make_room(s, live + ATTEMPT_BYTES) || !(next = TAILQ_NEXT(bad, link)))
        return;
    s->current = next;
    atomic_store(&s->control->current, next->id.number);
    s->lent_count = 0;
    copy_live(s, bad, cursor_at);
    orphan_holds(s, bad);
    s->counts.records -= bad->settled;
    for (struct segment *g = next; g; g = TAILQ_NEXT(g, link))
        s->counts.records += g->settled;
    if (s->cursor == bad)
        spool_cursor_to(s, next);
    spool_file_aside(s, bad->id.number, "flush failed");
    spool_remove(s, bad);
}

void
spool_append(struct spool *s, enum record_type type, uint64_t sequence,
             const unsigned char attempt_id[static ATTEMPT_ID_BYTES], struct slice payload,
             uint32_t *ret_start)
{
    struct segment *g;

    if (s->current->id.bytes - s->current->at < LIMIT_RECORD_BYTES)
        rotate(s);
    g = s->current;
    if (payload.len)
        memcpy(g->map + g->at + RECORD_HEADER_BYTES, payload.at, payload.len);
    *ret_start = g->at;
    g->at += record_write(g->map + g->at, g->seed, type, sequence, attempt_id, payload.len);
    atomic_fetch_add_explicit(&s->control->written, 1, memory_order_release);
    if (s->limits.sync == SPOOL_SYNC_ALWAYS && segment_flush(g))
        atomic_store(&s->control->bad, g->id.number);
}

/* Between records, never in the middle of one: may move the current segment. */
static void
heed_disk(struct spool *s)
{
    uint64_t bad = atomic_load_explicit(&s->control->bad, memory_order_relaxed);

    if (bad && s->current && bad == s->current->id.number)
        replace_current(s);
}

/* --- reserve, settle, void ------------------------------------------------------------------- */

static int
grow_holds(struct spool *s)
{
    uint32_t cap = s->hold_cap ? s->hold_cap * 2 : 64;
    struct hold *holds = realloc(s->holds, cap * sizeof(*holds));

    if (!holds)
        return ERR_NOMEM;
    for (uint32_t i = cap; i-- > s->hold_cap;) {
        holds[i] = (struct hold){.next_free = s->free_hold};
        s->free_hold = i + 1;
    }
    s->holds = holds;
    s->hold_cap = cap;
    return 0;
}

static struct hold *
take_hold(struct spool *s, struct spool_hold *ret_hold)
{
    struct hold *h;

    if (!s->free_hold && grow_holds(s))
        return NULL;
    h = &s->holds[s->free_hold - 1];
    ret_hold->index = s->free_hold;
    s->free_hold = h->next_free;
    return h;
}

static void
return_hold(struct spool *s, struct spool_hold *hold)
{
    struct hold *h = &s->holds[hold->index - 1];

    h->segment->open--;
    h->segment = NULL;
    h->next_free = s->free_hold;
    s->free_hold = hold->index;
    s->promised -= h->room;
    s->counts.open--;
    hold->index = 0;
}

static int
refuse(struct spool *s, int err)
{
    s->counts.refused++;
    return err == ERR_NOMEM ? ERR_NOMEM : ERR_FULL;
}

int
spool_reserve(struct spool *s, const struct usage *u, struct spool_hold *ret_hold)
{
    char bytes[LIMIT_USAGE_BYTES];
    struct usage clipped = *u;
    struct hold *h;
    size_t len;
    int err;

    heed_disk(s);
    usage_clip(&clipped);
    clipped.sequence = 0;
    clipped.outcome = 0;
    clipped.estimated = clipped.incomplete = false;
    if ((err = usage_encode(&clipped, bytes, sizeof(bytes), &len)))
        return err;
    if ((err = spool_make_room(s, ATTEMPT_BYTES)))
        return refuse(s, err);
    if (!(h = take_hold(s, ret_hold)))
        return refuse(s, ERR_NOMEM);
    CRASHPOINT("spool.reserve");
    memcpy(h->attempt_id, u->attempt_id, ATTEMPT_ID_BYTES);
    spool_append(s, RECORD_RESERVE, 0, u->attempt_id, slice_make(bytes, len), &h->start);
    h->segment = s->current;
    h->end = s->current->at;
    h->room = (uint32_t)(h->end - h->start + SETTLE_SLACK);
    h->segment->open++;
    s->promised += h->room;
    s->counts.open++;
    CRASHPOINT("spool.reserved");
    heed_disk(s);
    return 0;
}

bool
spool_can_reserve(const struct spool *s)
{
    if (s->current && spool_free_room(s) >= ATTEMPT_BYTES)
        return true;
    return clock_mono_ms() >= s->retry_ms &&
           s->disk_bytes + s->limits.segment_bytes <= s->limits.bytes;
}

static size_t
encode_clipped(const struct usage *u, char bytes[static LIMIT_USAGE_BYTES])
{
    size_t len = 0;
    int err = usage_encode(u, bytes, LIMIT_USAGE_BYTES, &len);

    assert(!err); /* a clipped record fits */
    return len;
}

/* The settlement's bytes. When nothing but what was promised is left, it keeps to that: what only
 * informs is left out. */
static size_t
encode_settlement(struct spool *s, const struct hold *h, const struct usage *u,
                  char bytes[static LIMIT_USAGE_BYTES])
{
    struct usage clipped = *u;
    size_t len;

    usage_clip(&clipped);
    clipped.sequence = s->next_sequence;
    len = encode_clipped(&clipped, bytes);
    if (len + RECORD_HEADER_BYTES + RECORD_ALIGN <= h->room ||
        spool_free_room(s) >= LIMIT_RECORD_BYTES)
        return len;
    clipped.upstream_request_id = clipped.end_user = (struct slice){0};
    clipped.tag_count = 0;
    return encode_clipped(&clipped, bytes);
}

static void
note_needed(struct segment *reserved_in, const struct segment *settled_in)
{
    reserved_in->needed_number = settled_in->id.number;
    reserved_in->needed_at = settled_in->at;
}

bool
spool_settle(struct spool *s, struct spool_hold *hold, const struct usage *u)
{
    char bytes[LIMIT_USAGE_BYTES];
    uint64_t errors = s->counts.disk_errors;
    struct hold *h;
    uint32_t start;
    size_t len;

    heed_disk(s);
    assert(hold->index && hold->index <= s->hold_cap);
    h = &s->holds[hold->index - 1];
    assert(h->segment && memcmp(h->attempt_id, u->attempt_id, ATTEMPT_ID_BYTES) == 0);
    len = encode_settlement(s, h, u, bytes);
    CRASHPOINT("spool.settle");
    spool_append(s, RECORD_SETTLE, s->next_sequence++, u->attempt_id, slice_make(bytes, len),
                 &start);
    CRASHPOINT("spool.settled");
    s->current->settled++;
    s->counts.records++;
    note_needed(h->segment, s->current);
    return_hold(s, hold);
    heed_disk(s);
    return errors == s->counts.disk_errors;
}

void
spool_void(struct spool *s, struct spool_hold *hold)
{
    struct hold *h;
    uint32_t start;

    if (!hold->index)
        return;
    heed_disk(s);
    h = &s->holds[hold->index - 1];
    assert(h->segment);
    CRASHPOINT("spool.void");
    spool_append(s, RECORD_VOID, 0, h->attempt_id, (struct slice){0}, &start);
    CRASHPOINT("spool.voided");
    return_hold(s, hold);
}

/* --- tending --------------------------------------------------------------------------------- */

/* A long stream must not keep its old segment on disk for ever: its reservation is written again.
 */
static void
move_holds(struct spool *s, struct segment *old)
{
    char *bytes;
    uint32_t len;

    if (segment_load(s->dir_fd, old->id.number, &bytes, &len))
        return;
    for (uint32_t i = 0; i < s->hold_cap; i++) {
        struct hold *h = &s->holds[i];
        struct record r;
        if (h->segment != old || !record_read(slice_make(bytes, len), h->start, old->seed, &r))
            continue;
        if (spool_make_room(s, ATTEMPT_BYTES))
            break;
        spool_append(s, RECORD_RESERVE, 0, r.attempt_id, r.payload, &h->start);
        h->segment = s->current;
        h->end = s->current->at;
        old->open--;
        s->current->open++;
    }
    old->flush_gate = atomic_load(&s->control->written);
    free(bytes);
}

void
spool_tend(struct spool *s)
{
    struct segment *old;

    heed_disk(s);
    spool_settle_lost(s);
    spool_drop_done(s);
    old = TAILQ_FIRST(&s->segments);
    if (s->current && old->open && s->current->id.number - old->id.number >= MOVE_DISTANCE &&
        s->cursor != old)
        move_holds(s, old);
    /* A spare before half of the current one is left: no request waits for the disk. */
    if (s->current && spool_free_room(s) < s->limits.segment_bytes / 2 &&
        spool_make_room(s, s->limits.segment_bytes / 2))
        return; /* then a reservation finds out */
}

void
spool_depth(const struct spool *s, struct spool_depth *ret_depth)
{
    *ret_depth = s->counts;
    ret_depth->bytes = s->disk_bytes;
    ret_depth->limit_bytes = s->limits.bytes;
}

/* --- open, close ----------------------------------------------------------------------------- */

int
spool_open_dir(const char *dir, unsigned slot, int *ret_fd)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/w%u", dir, slot);

    if (n < 0 || (size_t)n >= sizeof(path))
        return ERR_LIMIT;
    if (file_make_dirs(path, 0700))
        return ERR_IO;
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? ERR_IO : 0;
}

static int
lock_slot(struct spool *s)
{
    s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return ERR_IO;
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? ERR_CONFLICT : ERR_IO;
    return 0;
}

int
spool_map_control(int dir_fd, struct control **ret_control)
{
    int fd = openat(dir_fd, "control", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    void *map = MAP_FAILED;

    if (fd < 0)
        return ERR_IO;
    errno = posix_fallocate(fd, 0, CONTROL_BYTES);
    if (!errno)
        map = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        return errno == ENOSPC ? ERR_FULL : ERR_IO;
    *ret_control = map;
    return 0;
}

static void
set_limits(struct spool *s, const struct spool_limits *limits)
{
    s->limits = *limits;
    if (!s->limits.bytes)
        s->limits.bytes = DEFAULT_BYTES;
    if (!s->limits.segment_bytes) /* a small spool consists of several segments, too */
        s->limits.segment_bytes = s->limits.bytes / 8 < DEFAULT_SEGMENT_BYTES
                                      ? (uint32_t)(s->limits.bytes / 8)
                                      : DEFAULT_SEGMENT_BYTES;
    if (s->limits.segment_bytes < MIN_SEGMENT_BYTES)
        s->limits.segment_bytes = MIN_SEGMENT_BYTES;
    if (s->limits.segment_bytes > LIMIT_SEGMENT_BYTES)
        s->limits.segment_bytes = LIMIT_SEGMENT_BYTES;
}

static void
publish_opening(struct spool *s)
{
    atomic_store(&s->control->bad, 0);
    atomic_store(&s->control->current, 0);
    atomic_store(&s->control->first, s->next_number);
}

int
spool_open(const char *dir, unsigned slot, const struct spool_limits *limits,
           struct spool **ret_spool)
{
    struct spool *s = calloc(1, sizeof(*s));
    int err;

    if (!s)
        return ERR_NOMEM;
    s->dir_fd = s->lock_fd = s->aside_fd = -1;
    s->slot = slot;
    s->next_sequence = s->next_number = 1;
    TAILQ_INIT(&s->segments);
    STAILQ_INIT(&s->lost);
    set_limits(s, limits);
    uuid7(s->spool_id);
    if ((err = spool_open_dir(dir, slot, &s->dir_fd)) || (err = lock_slot(s)) ||
        (err = spool_map_control(s->dir_fd, &s->control)) || (err = spool_recover(s)))
        goto undo;
    publish_opening(s);
    if (!s->limits.drain_only && (err = spool_make_room(s, ATTEMPT_BYTES)) && err != ERR_FULL)
        goto undo;
    spool_settle_lost(s);
    s->recovered = s->next_sequence; /* one more than there are: until all is gone, or ours are */
    spool_drop_done(s);
    *ret_spool = s;
    return 0;

undo:
    spool_close(s);
    return err;
}

/* Spares and an empty current segment are nothing to keep. */
static void
remove_unused(struct spool *s)
{
    struct segment *g, *next;

    for (g = s->current; g; g = next) {
        next = TAILQ_NEXT(g, link);
        if (g->settled == 0 && g->open == 0 &&
            (g->at == SEGMENT_HEADER_BYTES || g == TAILQ_FIRST(&s->segments))) {
            if (g == s->current)
                s->current = next;
            spool_remove(s, g);
        }
    }
}

void
spool_close(struct spool *s)
{
    struct segment *g;
    struct lost *l;

    if (!s)
        return;
    spool_drop_done(s);
    remove_unused(s);
    while ((g = TAILQ_FIRST(&s->segments))) {
        if (g->fd >= 0 && segment_flush(g))
            log_error("spool.flush_failed", F_INT("slot", s->slot), F_INT("segment", g->id.number));
        segment_retire(g);
        TAILQ_REMOVE(&s->segments, g, link);
        segment_free(g);
    }
    while ((l = STAILQ_FIRST(&s->lost))) {
        STAILQ_REMOVE_HEAD(&s->lost, link);
        free(l);
    }
    if (s->control)
        (void)munmap(s->control, CONTROL_BYTES);
    if (s->aside_fd >= 0)
        (void)close(s->aside_fd);
    if (s->dir_fd >= 0)
        (void)close(s->dir_fd);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    free(s->holds);
    free(s->loaded);
    free(s);
}
