/* Shared by spool.c (writing), spool_read.c (upload), spool_recover.c (opening) and spool_flush.c.
 */
#ifndef DATAPLANE_STATE_SPOOL_INTERNAL_H
#define DATAPLANE_STATE_SPOOL_INTERNAL_H

#include "dataplane/state/segment.h"
#include "dataplane/state/spool.h"

#include <stdatomic.h>
#include <sys/queue.h>

#define CONTROL_BYTES 4096
#define ASIDE_FILES 64 /* damaged runs kept for people; beyond that they are only counted */
#define RETRY_MS 200   /* after a segment could not be made */
#define MOVE_DISTANCE                                                                              \
    4                     /* segments behind the current one before open reservations are moved on \
                           */
#define SETTLE_SLACK 512u /* what a settlement may be longer than its reservation */

/* A page shared by a slot's worker and the supervisor's flusher: DIR/wN/control. */
struct control {
    atomic_ullong written; /* records, by the worker; never goes back */
    atomic_ullong flushed; /* `written` as it was when the last flush began */
    atomic_ullong first;   /* number of the first segment of this opening */
    atomic_ullong current; /* number of the segment being written */
    atomic_ullong bad;     /* number of a segment whose flush failed; 0: none */
};

struct hold {
    unsigned char attempt_id[ATTEMPT_ID_BYTES];
    struct segment *segment; /* NULL: free */
    uint32_t start, end;     /* of its reservation in it */
    uint32_t room;           /* promised to its settlement */
    uint32_t next_free;      /* index + 1 */
};

/* A reservation of a dead worker that could not be settled yet (no disk). */
struct lost {
    STAILQ_ENTRY(lost) link;
    unsigned char attempt_id[ATTEMPT_ID_BYTES];
    struct segment *segment;
    size_t len;
    char bytes[];
};
STAILQ_HEAD(lost_list, lost);

struct lent {
    uint64_t sequence;
    uint32_t end;
};

struct spool {
    int dir_fd, lock_fd, aside_fd; /* aside_fd: -1 until needed */
    unsigned slot;
    struct control *control;
    struct spool_limits limits;
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t next_sequence, next_number;
    uint64_t recovered,
        acked; /* sequences of this opening: the last of recovery, of the control plane */

    /* Oldest first: what is left of earlier openings, then ours up to current, then spares. */
    struct segments segments;
    struct segment *current; /* NULL until the first segment is made */
    uint64_t promised;       /* to the settlements of open holds */
    uint64_t disk_bytes;
    int64_t retry_ms; /* monotonic: no new segment before this */

    struct hold *holds;
    uint32_t hold_cap, free_hold; /* index + 1 of the first free one; 0: none */
    struct lost_list lost;

    /* Everything before (cursor, cursor_at) is acknowledged. */
    struct segment *cursor;
    uint32_t cursor_at;
    char *loaded; /* the cursor's file, when it is not mapped */
    uint32_t loaded_len;
    struct slice lent[LIMIT_BATCH_RECORDS];
    struct lent lent_ends[LIMIT_BATCH_RECORDS];
    size_t lent_count;

    struct spool_depth counts; /* the counters; the gauges are kept here too */
    unsigned aside_files;
};

/* Room for records in the current segment and the spares, beyond what is promised. */
uint64_t spool_free_room(const struct spool *s);
/* Makes spares until `bytes` are free: 0, ERR_FULL, ERR_IO, ERR_NOMEM. */
MUST_CHECK int spool_make_room(struct spool *s, uint64_t bytes);
/* Appends one record to the current segment, moving on to a spare when it is full. There must be
 * room. Returns where it went: *ret_start in s->current. */
void spool_append(struct spool *s, enum record_type type, uint64_t sequence,
                  const unsigned char attempt_id[static ATTEMPT_ID_BYTES], struct slice payload,
                  uint32_t *ret_start);
/* Settles what dead workers left open, as far as there is room. */
void spool_settle_lost(struct spool *s);
/* Lists and scans what is on disk; fills segments, lost, counts. 0, ERR_NOMEM, ERR_IO. */
MUST_CHECK int spool_recover(struct spool *s);
/* Keeps damaged bytes for people, in DIR/wN/aside. */
void spool_set_aside(struct spool *s, uint64_t number, uint32_t start, struct slice bytes);
/* Moves a whole file there. */
void spool_file_aside(struct spool *s, uint64_t number, const char *why);
/* Takes the segment out of the list and away from the disk. */
void spool_remove(struct spool *s, struct segment *g);
/* Removes from the front what is acknowledged and not needed. */
void spool_drop_done(struct spool *s);
void spool_cursor_to(struct spool *s, struct segment *g);
/* DIR/wN, made when missing, and its control page: 0, ERR_LIMIT, ERR_FULL, ERR_IO. */
MUST_CHECK int spool_open_dir(const char *dir, unsigned slot, int *ret_fd);
MUST_CHECK int spool_map_control(int dir_fd, struct control **ret_control);

#endif
