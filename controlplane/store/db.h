/*
 * One libpq connection of one thread, with statements, transactions and errors made small. Only
 * controlplane/store includes libpq-fe.h; other folders write their SQL through these calls.
 *
 * All statements are text with $1.. parameters: values are never pasted into SQL. A connection that
 * is lost is opened again by the next db_begin() or db_query() outside a transaction (at most once
 * a second); inside one the call fails with ERR_UNAVAILABLE and the transaction is over.
 */
#ifndef CONTROLPLANE_STORE_DB_H
#define CONTROLPLANE_STORE_DB_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct db;      /* not thread-safe: one a thread */
struct db_rows; /* a result */

/* dsn: a libpq connection string or URL. Of several hosts the first that takes writes is used
 * (target_session_attrs is read-write unless the DSN says otherwise). Connects lazily. NULL: no
 * memory.
 * Sets statement_timeout 5 s, lock_timeout 2 s, application_name, tcp_user_timeout, and works as
 * the role headgate_app where the user is a member of it. */
struct db *db_new(const char *dsn, const char *application_name);
/* The same, but as the user that the DSN names: for migrations. */
struct db *db_new_owner(const char *dsn, const char *application_name);
void db_free(struct db *db);

/* 0 with *ret_rows (NULL allowed when no rows are wanted; else db_rows_free), or ERR_UNAVAILABLE
 * (no connection, or the server is shutting down), ERR_EXISTS (unique violation), ERR_CONFLICT
 * (serialisation failure, deadlock: run the transaction again), ERR_NOT_FOUND (foreign key),
 * ERR_DENIED (privilege), ERR_RANGE (check constraint), ERR_TIMEOUT, ERR_IO (anything else). The
 * server's message (no parameter values) is in db_error(). params: text, NULL for SQL NULL. */
MUST_CHECK int db_query(struct db *db, const char *sql, const char *const *params, size_t count,
                        struct db_rows **ret_rows);
const char *db_error(const struct db *db);    /* one line; valid until the next call */
const char *db_sqlstate(const struct db *db); /* "23505", "" when there is none */

/* Several statements in one text, without parameters or rows: migrations and session settings. */
MUST_CHECK int db_script(struct db *db, const char *sql);

/* From now on the server ends this connection, and what locks it holds, when it hears nothing of us
 * for so long outside of a transaction (since PostgreSQL 14; before that it does not). As
 * db_query().
 */
MUST_CHECK int db_end_when_idle(struct db *db, int after_ms);

/* Asks the server whether it is there, and says on which of this db's connections: with another
 * number than before, locks, LISTENs and settings of the session are gone. (A server's own number
 * for it would not do: another host may use the same.) As db_query(). */
MUST_CHECK int db_ping(struct db *db, uint64_t *ret_connection);
/* The number of the newest connection, without asking; from 1 on. */
uint64_t db_connection(const struct db *db);

MUST_CHECK int db_begin(struct db *db); /* READ COMMITTED */
/* The same, for what others wait for and takes no time of its own: the server ends it after three
 * seconds without a statement, should we hang, and not after a minute. */
MUST_CHECK int db_begin_brief(struct db *db);
MUST_CHECK int db_commit(struct db *db); /* ERR_UNAVAILABLE: the outcome is unknown */
void db_rollback(struct db *db); /* also right after a failure; no-op outside a transaction */
bool db_in_transaction(const struct db *db);

size_t db_count(const struct db_rows *r);
/* Text of a cell, "" for NULL; valid until db_rows_free. */
const char *db_text(const struct db_rows *r, size_t row, size_t column);
struct slice db_slice(const struct db_rows *r, size_t row, size_t column);
int64_t db_int(const struct db_rows *r, size_t row, size_t column); /* 0 for NULL */
bool db_bool(const struct db_rows *r, size_t row, size_t column);
bool db_is_null(const struct db_rows *r, size_t row, size_t column);
void db_rows_free(struct db_rows *r);

/* COPY sql FROM STDIN: the data is in COPY's text format (db_copy_cell escapes). */
MUST_CHECK int db_copy(struct db *db, const char *sql, struct slice data, int64_t *ret_rows);
/* Appends one cell (NULL text: \N), and the tab or newline after it. */
MUST_CHECK int db_copy_cell(struct buf *into, const char *text, size_t len, bool last);

/* LISTEN: waits up to timeout_ms for a notification of a channel this connection LISTENs to. 1: one
 * came (name in db_notified()); 0: none; or ERR_UNAVAILABLE. */
int db_wait_notify(struct db *db, int timeout_ms);
const char *db_notified(const struct db *db);

#endif
