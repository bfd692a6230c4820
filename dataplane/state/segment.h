/*
 * One file of the spool: a header and framed records, memory-mapped, its blocks allocated ahead.
 * Layout and scanning are sans-I/O (fuzzed); the file calls below them are all the spool needs.
 *
 *   file    header (128 bytes), then records, each at a multiple of 8; zeros behind the last one
 *   record  marker | length | CRC-32C | type | sequence | attempt id | payload | padding
 *
 * The CRC covers type, length, sequence, attempt id and payload, seeded with the spool's id and the
 * segment's number: a record of another file never passes for one of this. The marker is written
 * last, so a process killed in between leaves no record.
 */
#ifndef DATAPLANE_STATE_SEGMENT_H
#define DATAPLANE_STATE_SEGMENT_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/control/usage.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define SEGMENT_VERSION 1
#define SEGMENT_HEADER_BYTES 128
#define RECORD_HEADER_BYTES 40
#define RECORD_ALIGN 8
/* The longest record with its frame; a segment with less room than this is full. */
#define LIMIT_RECORD_BYTES ((RECORD_HEADER_BYTES + LIMIT_USAGE_BYTES + RECORD_ALIGN - 1) & ~7u)
#define LIMIT_SEGMENT_BYTES ((uint32_t)64 << 20)
#define SEGMENT_NAME_BYTES 32

enum record_type { RECORD_RESERVE = 1, RECORD_SETTLE, RECORD_VOID };

struct record {
    enum record_type type;
    uint64_t sequence; /* of a settlement; else 0 */
    unsigned char attempt_id[ATTEMPT_ID_BYTES];
    struct slice payload; /* a serialised Usage; empty for a void */
    uint32_t start, end;  /* where it lies in the file */
};

struct segment_identity {
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t number;
    uint32_t bytes; /* of the file as it was allocated */
    int64_t created_ms;
};

/* --- layout ---------------------------------------------------------------------------------- */

void segment_write_header(char *at, const struct segment_identity *id);
/* 0; ERR_SYNTAX (no header, or damaged); ERR_STALE (written by a later version). */
MUST_CHECK int segment_read_header(struct slice file, struct segment_identity *ret_id);
uint32_t segment_seed(const struct segment_identity *id);

/* Frames what already stands at at + RECORD_HEADER_BYTES. Returns the whole length, padded. */
uint32_t record_write(char *at, uint32_t seed, enum record_type type, uint64_t sequence,
                      const unsigned char attempt_id[static ATTEMPT_ID_BYTES], size_t payload);
/* A sound record at offset `from`? */
bool record_read(struct slice file, uint32_t from, uint32_t seed, struct record *ret_record);

enum scan_step {
    SCAN_RECORD, /* *ret_record is sound */
    SCAN_BAD,    /* [start, end) is damaged; a sound record follows */
    SCAN_TORN, /* [start, end of file) is damaged and nothing follows: the tail of a broken write */
    SCAN_END,  /* zeros to the end */
};
/* Looks at offset *from and moves it on. BAD and TORN fill only start and end. */
enum scan_step segment_scan(struct slice file, uint32_t seed, uint32_t *from,
                            struct record *ret_record);

/* --- file ------------------------------------------------------------------------------------ */

struct segment {
    TAILQ_ENTRY(segment) link; /* the spool's list, by number */
    struct segment_identity id;
    uint32_t seed;
    int fd;        /* -1 when not open for writing */
    char *map;     /* read-write; NULL when not mapped */
    uint32_t size; /* of the file on disk */
    uint32_t at;   /* end of the records */
    uint32_t open; /* reservations in it that nothing closed yet */
    /* Reservations in it were closed by settlements up to here: it stays until that is
     * acknowledged. */
    uint64_t needed_number;
    uint32_t needed_at;
    uint64_t flush_gate; /* and until this much is flushed (reservations moved elsewhere) */
    uint64_t settled;    /* settlements in it, not acknowledged */
};
TAILQ_HEAD(segments, segment);

void segment_name(uint64_t number, char ret_name[static SEGMENT_NAME_BYTES]);
/* "0000000000000001.seg" to its number: 0 or ERR_SYNTAX. */
MUST_CHECK int segment_parse_name(const char *name, uint64_t *ret_number);
/* A new file in dir_fd, allocated and mapped: 0, ERR_FULL, ERR_IO, ERR_NOMEM. */
MUST_CHECK int segment_create(int dir_fd, const struct segment_identity *id,
                              struct segment **ret_segment);
/* Writes to disk: 0 or ERR_IO. */
MUST_CHECK int segment_flush(struct segment *s);
/* Unmaps and closes; what is behind `at` is given back to the disk. */
void segment_retire(struct segment *s);
void segment_free(struct segment *s);
/* The whole file, read (never mapped: a bad sector is an error, not a signal) into memory that the
 * caller frees: 0, ERR_NOT_FOUND, ERR_LIMIT, ERR_NOMEM, ERR_IO. */
MUST_CHECK int segment_load(int dir_fd, uint64_t number, char **ret_bytes, uint32_t *ret_len);

#endif
