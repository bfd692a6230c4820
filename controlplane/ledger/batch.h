/*
 * A batch on its way into the books, in memory: decoded, judged, sorted by attempt, without
 * doubles. Shared by the files of this folder.
 */
#ifndef CONTROLPLANE_LEDGER_BATCH_H
#define CONTROLPLANE_LEDGER_BATCH_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/control/usage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_item {
    struct usage u;
    struct slice bytes; /* as it came */
    int64_t time_ms;    /* of its attempt id: the one time of the books */
    struct slice tags;  /* canonical JSON */
    int debit, credit;  /* accounts; 0 while unknown, or when it costs nothing */
    const char *poison; /* why it cannot be booked: a stable word; NULL: it can */
    const char *detail;
};

struct batch {
    struct arena arena;
    struct slice node;
    uint32_t slot;
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t first_sequence, last_sequence;
    struct batch_item *items; /* to be booked, sorted by attempt id */
    size_t count;
    struct batch_item *poison; /* to be quarantined */
    size_t poison_count, poison_cap;
    uint32_t added, repeated;
};

/* Takes it apart. in is borrowed until batch_fini. 0, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int batch_init(struct batch *b, struct slice node, uint32_t slot,
                          const struct usage_batch *in);
void batch_fini(struct batch *b);
/* Copies the item to the poison list: 0 or ERR_NOMEM. detail is copied. */
MUST_CHECK int batch_quarantine(struct batch *b, const struct batch_item *item, const char *reason,
                                const char *detail);

/* Why a record cannot be booked: a stable word, or NULL. Texts that only inform are made valid
 * UTF-8 (in the arena); anything that decides who pays what is refused. */
const char *judge_usage(struct usage *u, struct arena *a);

#endif
