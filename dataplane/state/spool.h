/*
 * The spool: a worker's own journal of upstream attempts on the local disk. What is in it reaches
 * the ledger exactly once, whoever is killed when.
 *
 *   reserve  before the first upstream byte: who, what, at which prices, and the estimate that is
 *            booked when nobody comes back to settle it
 *   settle   after the end: the usage record as it goes to the ledger
 *   void     instead of settle, when provably no byte left for upstream: nothing is booked
 *
 * One directory a worker slot (DIR/wN), locked by its process. Records are framed (marker, length,
 * type, sequence, CRC-32C) in memory-mapped segments whose blocks are allocated ahead: writing one
 * costs no system call and a full disk is met when a segment is made, never in between. Every
 * reservation holds the room its settlement needs, so a full spool refuses new attempts only.
 *
 * Opening recovers: torn tails are cut and counted, a corrupt record is set aside and counted and
 * reading goes on behind it, and reservations that a dead worker left open are settled as
 * USAGE_LOST (estimated, incomplete) at their estimate. Each opening writes under a new spool id,
 * so that a sequence number never means two records.
 *
 * A worker is single-threaded: nothing here locks. The supervisor flushes (spool_flusher).
 */
#ifndef DATAPLANE_STATE_SPOOL_H
#define DATAPLANE_STATE_SPOOL_H

#include "lib/base/err.h"
#include "lib/control/usage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;

enum spool_sync {
    SPOOL_SYNC_GROUP,  /* the supervisor flushes at most 10 ms later (default) */
    SPOOL_SYNC_ALWAYS, /* flushed before reserve and settle return: survives a power cut, slow */
    SPOOL_SYNC_NONE,   /* the kernel writes when it likes; still survives any killed process */
};

struct spool_limits {
    uint64_t bytes;         /* of all segments of this slot together; 0: 1 GiB */
    uint32_t segment_bytes; /* 0: 4 MiB */
    enum spool_sync sync;
    bool drain_only; /* recover and upload, make no segment ahead: for slots that no worker runs */
};

/* Opens slot `slot` under dir (made when missing, mode 0700), recovers what is there, allocates the
 * first segment. 0; ERR_CONFLICT (another process holds the slot), ERR_FULL (no disk), ERR_NOMEM,
 * ERR_IO. */
MUST_CHECK int spool_open(const char *dir, unsigned slot, const struct spool_limits *limits,
                          struct spool **ret_spool);
/* Flushes and lets the slot go. What is not acknowledged stays on disk. NULL is fine. */
void spool_close(struct spool *s);

/* --- the request's way ----------------------------------------------------------------------- */

/* A reservation, kept in the attempt from reserve to settle or void. Zero: none held. */
struct spool_hold {
    uint32_t index;
};

/* Writes the reservation. u borrowed: attempt_id, names, prices; tokens and cost: the estimate that
 * is booked if the worker dies; reserved: the upper bound. sequence, outcome, estimated and
 * incomplete are not looked at. end_user, tags and the like that do not fit are cut
 * (LIMIT_USAGE_BYTES). 0; ERR_FULL or ERR_IO: refuse the request with 503 ledger_unavailable;
 * ERR_NOMEM. */
MUST_CHECK int spool_reserve(struct spool *s, const struct usage *u, struct spool_hold *ret_hold);
/* Writes the usage record and lets the hold go. u borrowed, complete but for the sequence. Never
 * for want of room; false only when the disk itself failed under it (counted, logged once). */
bool spool_settle(struct spool *s, struct spool_hold *hold, const struct usage *u);
/* No byte of the attempt was sent: nothing is booked. No-op on a zero hold. */
void spool_void(struct spool *s, struct spool_hold *hold);
/* Whether spool_reserve would find room now: for /readyz and early refusals. */
bool spool_can_reserve(const struct spool *s);
/* Makes the next segment ahead of need and drops what is done; call it now and then (a timer). */
void spool_tend(struct spool *s);

/* --- upload ---------------------------------------------------------------------------------- */

/* The oldest settled records not acknowledged yet, of one spool id, in sequence order: as many as
 * fit both bounds. Slices and batch are lent until the next call on s. False: nothing waits. */
bool spool_peek(struct spool *s, size_t max_records, size_t max_bytes,
                struct usage_batch *ret_batch);
/* The control plane has committed this spool id up to `sequence`: never given again, segments that
 * are done are removed. An unknown id or an older sequence changes nothing. */
void spool_ack(struct spool *s, const unsigned char spool_id[static SPOOL_ID_BYTES],
               uint64_t sequence);

/* Whether all that earlier openings of this slot left behind has been acknowledged. */
bool spool_is_settled(struct spool *s);

struct spool_depth {
    uint64_t records; /* settled and not acknowledged */
    uint64_t open;    /* reserved and not settled */
    uint64_t bytes;   /* on disk */
    uint64_t limit_bytes;
    int64_t oldest_ms; /* wall clock of the oldest record not acknowledged; 0: none */
    /* since this process opened it */
    uint64_t refused;   /* reservations, for want of room or disk */
    uint64_t torn;      /* tails cut at recovery */
    uint64_t corrupt;   /* runs of bytes set aside at recovery or upload */
    uint64_t lost;      /* open reservations closed at recovery */
    uint64_t bad_files; /* segments set aside whole: foreign, future version, unreadable header */
    uint64_t disk_errors;
};
void spool_depth(const struct spool *s, struct spool_depth *ret_depth);

/* --- slots that no worker runs --------------------------------------------------------------- */

/* Slots >= first that have records on disk; at most max. Returns how many. One that another process
 * holds gives ERR_CONFLICT when opened. */
size_t spool_orphans(const char *dir, unsigned first, unsigned *ret_slots, size_t max);

/* --- the supervisor's part ------------------------------------------------------------------- */

/* Group flush of slots 0..slots-1 under dir. Run spool_flush every 10 ms; it costs a memory read a
 * slot when nothing was written. A failed flush is told to the worker through a page they share: it
 * moves what the bad segment holds to a new file. Make it before the workers are forked. */
struct spool_flusher;
/* 0, ERR_NOMEM, ERR_FULL, ERR_IO. */
MUST_CHECK int spool_flusher_new(const char *dir, unsigned slots,
                                 struct spool_flusher **ret_flusher);
void spool_flusher_free(struct spool_flusher *f);
/* How many files were flushed. */
size_t spool_flush(struct spool_flusher *f);

#endif
