/*
 * Proving the books: what no guard of the database would have let happen, looked for in what is
 * there. Days are looked at one by one, all in one snapshot of the database: each entry against its
 * transaction, its account and its attempt, each attempt against its own counts and rates, the kept
 * sums against what they are sums of.
 */
#ifndef CONTROLPLANE_LEDGER_VERIFY_H
#define CONTROLPLANE_LEDGER_VERIFY_H

#include "controlplane/store/db.h"
#include "lib/base/err.h"

#include <stdint.h>

#define LIMIT_BOOKS_PROBLEMS 100 /* that are named in one go; the count goes on */
#define LIMIT_BOOKS_DAYS 400     /* of one go */

/* Texts are valid during the call; "" where there is none. */
struct books_problem {
    const char *kind;    /* a stable word: "unbalanced", "not_its_cost", ... */
    const char *attempt; /* UUID */
    int64_t transaction; /* 0: none */
    const char *account; /* its name */
    const char *day;     /* "2026-11-26", UTC */
    const char *detail;  /* for people */
};

struct books_verdict {
    int64_t attempts, entries; /* that were looked at */
    int64_t problems;          /* 0: the books are whole */
};

/* Looks at the attempts of [from_ms, to_ms), whole days of UTC around both (wall milliseconds).
 * `tell` is called for the first LIMIT_BOOKS_PROBLEMS. Not inside a transaction. 0, ERR_RANGE (no
 * day, or more than LIMIT_BOOKS_DAYS), or the database's error. */
MUST_CHECK int books_verify(struct db *db, int64_t from_ms, int64_t to_ms,
                            void (*tell)(void *ctx, const struct books_problem *p), void *ctx,
                            struct books_verdict *ret_verdict);

#endif
