/* The spool's way out: what waits is lent to upload, what is acknowledged is removed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/state/spool_internal.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

/* --- the cursor ------------------------------------------------------------------------------ */

void
spool_cursor_to(struct spool *s, struct segment *g)
{
    struct segment *left = s->cursor;

    s->cursor = g;
    s->cursor_at = SEGMENT_HEADER_BYTES;
    s->lent_count = 0;
    free(s->loaded);
    s->loaded = NULL;
    /* Of ours, and full: it was kept mapped for the cursor. */
    if (left && left != g && left->map && s->current && left->id.number < s->current->id.number) {
        s->disk_bytes -= left->size;
        segment_retire(left);
        s->disk_bytes += left->size;
    }
}

/* Whether segments behind the cursor's can hold settlements. */
static bool
has_next(const struct spool *s)
{
    return s->cursor && s->cursor != s->current && TAILQ_NEXT(s->cursor, link);
}

/* What the books said was in it and is not: damaged since it was counted. */
static void
forget_rest(struct spool *s, struct segment *g)
{
    s->counts.records -= g->settled;
    g->settled = 0;
}

/* The cursor's records as bytes: 0; an error when the file cannot be read. */
static int
view(struct spool *s, struct slice *ret_file)
{
    struct segment *g = s->cursor;
    int err;

    if (g->map) {
        *ret_file = slice_make(g->map, g->at);
        return 0;
    }
    if (!s->loaded && (err = segment_load(s->dir_fd, g->id.number, &s->loaded, &s->loaded_len)))
        return err;
    *ret_file = slice_make(s->loaded, s->loaded_len < g->at ? s->loaded_len : g->at);
    return 0;
}

static void
drop_unreadable(struct spool *s, int err)
{
    struct segment *g = s->cursor;

    log_error("spool.segment_unreadable", F_INT("slot", s->slot), F_INT("segment", g->id.number),
              F_ERR(err));
    s->counts.disk_errors++;
    forget_rest(s, g);
    spool_file_aside(s, g->id.number, "unreadable");
}

/* --- lending --------------------------------------------------------------------------------- */

struct gathering {
    size_t max_records, max_bytes, bytes;
};

/* True when the record was lent or needs no lending; false when the batch is full. */
static bool
gather(struct spool *s, const struct record *r, struct gathering *g)
{
    if (r->type != RECORD_SETTLE)
        return true;
    if (s->lent_count == g->max_records ||
        (s->lent_count && g->bytes + r->payload.len > g->max_bytes))
        return false;
    if (!s->lent_count)
        s->counts.oldest_ms = uuid7_wall_ms(r->attempt_id);
    s->lent[s->lent_count] = r->payload;
    s->lent_ends[s->lent_count++] = (struct lent){r->sequence, r->end};
    g->bytes += r->payload.len;
    return true;
}

/* Lends from the cursor's segment. */
static void
gather_segment(struct spool *s, struct slice file, struct gathering *g)
{
    uint32_t from = s->cursor_at;
    struct record r;
    enum scan_step step;

    while ((step = segment_scan(file, s->cursor->seed, &from, &r)) != SCAN_END) {
        if (step == SCAN_RECORD && !gather(s, &r, g))
            return;
        if (step != SCAN_RECORD)
            spool_set_aside(s, s->cursor->id.number, r.start,
                            slice_make(file.at + r.start, r.end - r.start));
        if (!s->lent_count)
            s->cursor_at = from; /* nothing here to come back to */
    }
}

bool
spool_peek(struct spool *s, size_t max_records, size_t max_bytes, struct usage_batch *ret_batch)
{
    struct gathering g = {
        .max_records = max_records < LIMIT_BATCH_RECORDS ? max_records : LIMIT_BATCH_RECORDS,
        .max_bytes = max_bytes,
    };
    struct slice file;
    int err;

    s->lent_count = 0;
    s->counts.oldest_ms = 0;
    while (s->cursor) {
        if ((err = view(s, &file)))
            drop_unreadable(s, err);
        else
            gather_segment(s, file, &g);
        if (s->lent_count || s->cursor == s->current)
            break;
        forget_rest(s, s->cursor);
        if (!has_next(s))
            break;
        spool_cursor_to(s, TAILQ_NEXT(s->cursor, link));
    }
    if (!s->lent_count) {
        spool_drop_done(s);
        return false;
    }
    memcpy(ret_batch->spool_id, s->cursor->id.spool_id, SPOOL_ID_BYTES);
    ret_batch->last_sequence = s->lent_ends[s->lent_count - 1].sequence;
    ret_batch->records = s->lent;
    ret_batch->count = s->lent_count;
    return true;
}

void
spool_ack(struct spool *s, const unsigned char spool_id[static SPOOL_ID_BYTES], uint64_t sequence)
{
    size_t n = 0;

    if (!s->lent_count || memcmp(s->cursor->id.spool_id, spool_id, SPOOL_ID_BYTES) != 0)
        return;
    while (n < s->lent_count && s->lent_ends[n].sequence <= sequence)
        n++;
    if (!n)
        return;
    CRASHPOINT("spool.ack");
    if (memcmp(spool_id, s->spool_id, SPOOL_ID_BYTES) == 0)
        s->acked = s->lent_ends[n - 1].sequence;
    s->cursor_at = s->lent_ends[n - 1].end;
    s->cursor->settled -= n < s->cursor->settled ? n : s->cursor->settled;
    s->counts.records -= n < s->counts.records ? n : s->counts.records;
    s->lent_count = 0;
    spool_drop_done(s);
    CRASHPOINT("spool.acked");
}

bool
spool_is_settled(struct spool *s)
{
    if (!STAILQ_EMPTY(&s->lost)) {
        s->recovered = UINT64_MAX; /* what they will be settled under is not known */
        return false;
    }
    if (s->counts.records == 0)
        s->recovered = 0;
    if (s->recovered == 0)
        return true;
    return s->cursor && memcmp(s->cursor->id.spool_id, s->spool_id, SPOOL_ID_BYTES) == 0 &&
           s->acked >= s->recovered;
}

/* --- removing -------------------------------------------------------------------------------- */

static bool
is_acknowledged_to(const struct spool *s, uint64_t number, uint32_t at)
{
    if (!s->cursor || s->cursor->id.number > number)
        return true;
    return s->cursor->id.number == number && s->cursor_at >= at;
}

/* Everything in it is acknowledged. */
static bool
is_passed(const struct spool *s, const struct segment *g)
{
    if (!s->cursor || s->cursor->id.number > g->id.number)
        return true;
    return s->cursor == g && g->settled == 0 && !TAILQ_NEXT(g, link);
}

static bool
is_done(const struct spool *s, const struct segment *g)
{
    if (g == s->current || !is_passed(s, g) || g->open)
        return false;
    if (g->needed_number && !is_acknowledged_to(s, g->needed_number, g->needed_at))
        return false;
    return s->limits.sync != SPOOL_SYNC_GROUP || atomic_load(&s->control->flushed) >= g->flush_gate;
}

void
spool_remove(struct spool *s, struct segment *g)
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(g->id.number, name);
    (void)unlinkat(s->dir_fd, name, 0);
    CRASHPOINT("spool.segment_removed");
    s->disk_bytes -= g->size;
    if (s->cursor == g)
        s->cursor = NULL;
    TAILQ_REMOVE(&s->segments, g, link);
    segment_free(g);
}

void
spool_drop_done(struct spool *s)
{
    struct segment *g;

    while (has_next(s) && s->cursor->settled == 0)
        spool_cursor_to(s, TAILQ_NEXT(s->cursor, link));
    while ((g = TAILQ_FIRST(&s->segments)) && is_done(s, g))
        spool_remove(s, g);
}
