/*
 * libpq behind db.h. A struct db is in one of three states: no connection; connected; or "lost in a
 * transaction", where every statement fails until db_rollback() or db_commit() was called, so that
 * the second half of a transaction can never run by itself on a new connection.
 */
#include "controlplane/store/db.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"

#define RECONNECT_MS 1000
/* The server ends a statement after 5 s itself. When nothing has come by then, it is frozen or the
 * network swallows everything: the thread must not hang with it. */
#define ANSWER_MS 10000

struct db {
    PGconn *conn;
    char *dsn;
    bool as_owner;
    bool in_transaction;
    bool lost; /* the connection went away inside the transaction */
    int64_t next_try_ms;
    uint64_t connections; /* made so far */
    char application[64];
    char error[512];
    char sqlstate[6];
    char notified[64];
};

struct db_rows {
    PGresult *result;
};

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct {
    const char *sqlstate; /* or its class, two characters */
    int err;
} sqlstates[] = {
    {"23505", ERR_EXISTS},      {"23503", ERR_NOT_FOUND},   {"23514", ERR_RANGE},
    {"40001", ERR_CONFLICT},    {"40P01", ERR_CONFLICT},    {"42501", ERR_DENIED},
    {"57014", ERR_TIMEOUT},     {"55P03", ERR_TIMEOUT},     {"25P03", ERR_UNAVAILABLE},
    {"57P01", ERR_UNAVAILABLE}, {"57P02", ERR_UNAVAILABLE}, {"57P03", ERR_UNAVAILABLE},
    {"57P05", ERR_UNAVAILABLE}, /* db_end_when_idle() */
    {"25006", ERR_UNAVAILABLE}, /* a standby: the primary is elsewhere */
    {"42P01", ERR_UNAVAILABLE}, /* not migrated yet */
    {"08", ERR_UNAVAILABLE},    {"53", ERR_UNAVAILABLE},
};

static int
err_of_sqlstate(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++)
        if (strncmp(sqlstate, sqlstates[i].sqlstate, strlen(sqlstates[i].sqlstate)) == 0)
            return sqlstates[i].err;
    return ERR_IO;
}

static void
set_error(struct db *db, const char *sqlstate, const char *text)
{
    snprintf(db->sqlstate, sizeof(db->sqlstate), "%s", sqlstate ? sqlstate : "");
    snprintf(db->error, sizeof(db->error), "%s", text ? text : "");
    for (char *c = db->error; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    size_t n = strlen(db->error);
    while (n > 0 && db->error[n - 1] == ' ')
        db->error[--n] = '\0';
}

static void
disconnect(struct db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
    if (db->in_transaction)
        db->lost = true;
}

/* Notes why a statement failed; drops a connection that is of no more use. */
static int
fail(struct db *db, const PGresult *result)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    /* An error that the server did not make is libpq's own: the first one after the server closed,
     * for which the connection still counts as good. */
    if (PQstatus(db->conn) == CONNECTION_BAD || !sqlstate) {
        set_error(db, sqlstate, "the connection to PostgreSQL was lost");
        disconnect(db);
        return ERR_UNAVAILABLE;
    }
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    /* Data exceptions quote the value they choke on, which may be anybody's. */
    bool quotes_value = sqlstate && strncmp(sqlstate, "22", 2) == 0;
    set_error(db, sqlstate, quotes_value ? "a value does not fit its type" : text);
    int err = err_of_sqlstate(db->sqlstate);
    if (err == ERR_UNAVAILABLE && strncmp(db->sqlstate, "42", 2) != 0 &&
        strncmp(db->sqlstate, "53", 2) != 0)
        disconnect(db);
    return err;
}

const char *
db_error(const struct db *db)
{
    return db->error;
}

const char *
db_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static struct db *
new_db(const char *dsn, const char *application_name, bool as_owner)
{
    struct db *db = calloc(1, sizeof(*db));
    if (!db)
        return NULL;
    db->dsn = slice_dup(slice_of(dsn));
    if (!db->dsn) {
        free(db);
        return NULL;
    }
    db->as_owner = as_owner;
    snprintf(db->application, sizeof(db->application), "%s", application_name);
    return db;
}

struct db *
db_new(const char *dsn, const char *application_name)
{
    return new_db(dsn, application_name, false);
}

struct db *
db_new_owner(const char *dsn, const char *application_name)
{
    return new_db(dsn, application_name, true);
}

void
db_free(struct db *db)
{
    if (!db)
        return;
    PQfinish(db->conn);
    if (db->dsn)
        secret_wipe(db->dsn, strlen(db->dsn)); /* it may hold a password */
    free(db->dsn);
    free(db);
}

static void
on_notice(void *ctx, const PGresult *result)
{
    (void)ctx;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("db.notice", F_STR("text", text ? text : ""));
}

static const char session_settings[] =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET TimeZone = 'UTC';"
    "SET DateStyle = 'ISO'; SET bytea_output = 'hex'; SET client_min_messages = 'warning';"
    "SET idle_in_transaction_session_timeout = '60s';";

/* Whoever connects, superusers too, works with the rights of the application's role only. */
static const char become_app[] =
    "SELECT set_config('role', 'headgate_app', false) FROM pg_roles WHERE rolname = 'headgate_app' "
    "AND rolname <> current_user AND pg_has_role(oid, 'MEMBER')";

/* ---- waiting for answers, never for ever ----------------------------------------------------- */

static int
wait_socket(const struct db *db, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {PQsocket(db->conn), events, 0};
        int64_t left = deadline_ms - clock_mono_ms();
        /* A migration takes what it takes. */
        int n = poll(&p, 1, db->as_owner ? -1 : left > 0 ? (int)left : 0);
        if (n > 0)
            return 0;
        if (n == 0)
            return ERR_TIMEOUT;
        if (errno != EINTR)
            return ERR_RESET;
    }
}

static int64_t
answer_deadline(void)
{
    return clock_mono_ms() + ANSWER_MS;
}

/* Sends what libpq holds back. */
static int
flush(const struct db *db, int64_t deadline_ms)
{
    int n;
    while ((n = PQflush(db->conn)) == 1) {
        int err = wait_socket(db, POLLIN | POLLOUT, deadline_ms);
        if (err)
            return err;
        if (!PQconsumeInput(db->conn))
            return ERR_RESET;
    }
    return n < 0 ? ERR_RESET : 0;
}

static int
next_result(const struct db *db, int64_t deadline_ms, PGresult **ret_result)
{
    while (PQisBusy(db->conn)) {
        int err = wait_socket(db, POLLIN, deadline_ms);
        if (err)
            return err;
        if (!PQconsumeInput(db->conn))
            break; /* PQgetResult() makes the error's result of it */
    }
    *ret_result = PQgetResult(db->conn);
    return 0;
}

/* The last result of what was sent, as PQexec() gives it; of a COPY, the first. NULL: the
 * connection broke. 0 or ERR_TIMEOUT. */
static int
last_result(const struct db *db, PGresult **ret_result)
{
    int64_t deadline_ms = answer_deadline();
    PGresult *one = NULL;
    int err = flush(db, deadline_ms);
    *ret_result = NULL;
    while (err != ERR_TIMEOUT && (err = next_result(db, deadline_ms, &one)) == 0 && one) {
        PQclear(*ret_result);
        *ret_result = one;
        if (PQresultStatus(one) == PGRES_COPY_IN || PQstatus(db->conn) == CONNECTION_BAD)
            break;
    }
    return err == ERR_TIMEOUT ? err : 0;
}

static int
give_up(struct db *db)
{
    set_error(db, "", "PostgreSQL does not answer");
    disconnect(db);
    return ERR_UNAVAILABLE;
}

/* What was sent with `sent` (libpq's 1 or 0) came to: 0 with its result, or an error. */
static int
finish(struct db *db, int sent, ExecStatusType wanted, PGresult **ret_result)
{
    PGresult *result = NULL;
    int err = sent ? last_result(db, &result) : 0;
    ExecStatusType status = PQresultStatus(result);
    bool good =
        status == wanted ||
        (wanted != PGRES_COPY_IN &&
         (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY));
    if (!err && result && good) {
        *ret_result = result;
        return 0;
    }
    err = err ? give_up(db) : fail(db, result);
    PQclear(result);
    return err;
}

static int
exec_plain(struct db *db, const char *sql)
{
    PGresult *result = NULL;
    int err = finish(db, PQsendQuery(db->conn, sql), PGRES_COMMAND_OK, &result);
    PQclear(result);
    return err;
}

/* ---- connecting, continued ------------------------------------------------------------------- */

/* Whoever connects works with the rights of the application's role where that can be. */
static void
become_app_role(struct db *db)
{
    if (exec_plain(db, become_app) != 0 && db->conn)
        log_warn("db.own_rights", F_STR("why", db->error));
}

static int
connect_now(struct db *db)
{
    /* clang-format off */
    /* What stands before dbname is what the DSN says when it says nothing. */
    const char *const names[] = {"target_session_attrs",
                                 "dbname", "application_name", "connect_timeout", "client_encoding",
                                 "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                 "keepalives_count", "fallback_application_name", NULL};
    const char *const values[] = {"read-write", /* a stand-by is of no use to us */
                                  db->dsn, db->application, "3", "UTF8",
                                  "15000", "5", "3",
                                  "3", "headgate", NULL};
    /* clang-format on */
    db->conn = PQconnectdbParams(names, values, 1);
    if (!db->conn) {
        set_error(db, "", "no memory");
        return ERR_NOMEM;
    }
    if (PQstatus(db->conn) != CONNECTION_OK) {
        set_error(db, "", PQerrorMessage(db->conn));
        disconnect(db);
        return ERR_UNAVAILABLE;
    }
    db->connections++;
    PQsetNoticeReceiver(db->conn, on_notice, NULL);
    int err = PQsetnonblocking(db->conn, 1) == 0 ? exec_plain(db, session_settings) : ERR_NOMEM;
    if (!err && !db->as_owner)
        become_app_role(db);
    if (err && db->conn)
        disconnect(db);
    return err || !db->conn ? ERR_UNAVAILABLE : 0;
}

/* At most one attempt that fails a second: a pool of threads must not storm a database that comes
 * up. */
static int
ensure_connected(struct db *db)
{
    if (db->lost) {
        set_error(db, "", "the connection was lost inside this transaction");
        return ERR_UNAVAILABLE;
    }
    if (db->conn)
        return 0;
    int64_t now = clock_mono_ms();
    if (now < db->next_try_ms)
        return ERR_UNAVAILABLE; /* db_error() still says why the last attempt failed */
    int err = connect_now(db);
    if (err)
        db->next_try_ms = now + RECONNECT_MS;
    return err;
}

/* ---- statements ------------------------------------------------------------------------------ */

static int
run(struct db *db, const char *sql, const char *const *params, size_t count, PGresult **ret_result)
{
    int err = ensure_connected(db);
    if (err)
        return err;
    int sent = PQsendQueryParams(db->conn, sql, (int)count, NULL, params, NULL, NULL, 0 /* text */);
    return finish(db, sent, PGRES_TUPLES_OK, ret_result);
}

int
db_query(struct db *db, const char *sql, const char *const *params, size_t count,
         struct db_rows **ret_rows)
{
    PGresult *result = NULL;
    if (ret_rows)
        *ret_rows = NULL;
    int err = run(db, sql, params, count, &result);
    /* An idle connection that the server has closed is noticed only by using it: once more, unless
     * the statement may have run already. */
    if (err == ERR_UNAVAILABLE && !db->in_transaction && !db->conn &&
        strncmp(sql, "SELECT", 6) == 0)
        err = run(db, sql, params, count, &result);
    if (err)
        return err;
    if (!ret_rows) {
        PQclear(result);
        return 0;
    }
    *ret_rows = malloc(sizeof(**ret_rows));
    if (!*ret_rows) {
        PQclear(result);
        return ERR_NOMEM;
    }
    (*ret_rows)->result = result;
    return 0;
}

int
db_ping(struct db *db, uint64_t *ret_connection)
{
    int err = db_query(db, "SELECT", NULL, 0, NULL);

    *ret_connection = db->connections;
    return err;
}

uint64_t
db_connection(const struct db *db)
{
    return db->connections;
}

int
db_end_when_idle(struct db *db, int after_ms)
{
    char ms[16];
    const char *params[] = {ms};

    snprintf(ms, sizeof(ms), "%d", after_ms);
    return db_query(db,
                    "SELECT set_config(name, $1, false) FROM pg_settings "
                    "WHERE name = 'idle_session_timeout'",
                    params, 1, NULL);
}

int
db_script(struct db *db, const char *sql)
{
    int err = ensure_connected(db);
    return err ? err : exec_plain(db, sql);
}

#define BEGIN "BEGIN ISOLATION LEVEL READ COMMITTED"

static int
begin_with(struct db *db, const char *sql)
{
    int err = ensure_connected(db);
    if (err)
        return err;
    err = exec_plain(db, sql);
    if (err == ERR_UNAVAILABLE && !db->conn) { /* an idle connection closed by the server */
        err = ensure_connected(db);
        if (!err)
            err = exec_plain(db, sql);
    }
    if (!err)
        db->in_transaction = true;
    return err;
}

int
db_begin(struct db *db)
{
    return begin_with(db, BEGIN);
}

int
db_begin_brief(struct db *db)
{
    return begin_with(db, BEGIN "; SET LOCAL idle_in_transaction_session_timeout = '3s'");
}

int
db_commit(struct db *db)
{
    if (db->lost || !db->conn) {
        db->in_transaction = db->lost = false;
        return ERR_UNAVAILABLE;
    }
    PGresult *result = NULL;
    int err = finish(db, PQsendQuery(db->conn, "COMMIT"), PGRES_COMMAND_OK, &result);
    if (!err && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        /* A failed transaction is rolled back by COMMIT without an error. */
        set_error(db, "", "the transaction had failed and was rolled back");
        err = ERR_BAD_STATE;
    }
    PQclear(result);
    db->in_transaction = db->lost = false;
    return err;
}

void
db_rollback(struct db *db)
{
    if (db->in_transaction && db->conn) {
        char error[sizeof(db->error)], sqlstate[sizeof(db->sqlstate)];
        memcpy(error, db->error, sizeof(error)); /* the reason outlives the clean-up */
        memcpy(sqlstate, db->sqlstate, sizeof(sqlstate));
        if (exec_plain(db, "ROLLBACK") != 0 && db->conn)
            disconnect(db);
        memcpy(db->error, error, sizeof(error));
        memcpy(db->sqlstate, sqlstate, sizeof(sqlstate));
    }
    db->in_transaction = db->lost = false;
}

bool
db_in_transaction(const struct db *db)
{
    return db->in_transaction;
}

/* ---- results --------------------------------------------------------------------------------- */

size_t
db_count(const struct db_rows *r)
{
    return r ? (size_t)PQntuples(r->result) : 0;
}

const char *
db_text(const struct db_rows *r, size_t row, size_t column)
{
    return PQgetvalue(r->result, (int)row, (int)column);
}

struct slice
db_slice(const struct db_rows *r, size_t row, size_t column)
{
    return slice_make(db_text(r, row, column),
                      (size_t)PQgetlength(r->result, (int)row, (int)column));
}

int64_t
db_int(const struct db_rows *r, size_t row, size_t column)
{
    return strtoll(db_text(r, row, column), NULL, 10);
}

bool
db_bool(const struct db_rows *r, size_t row, size_t column)
{
    return db_text(r, row, column)[0] == 't';
}

bool
db_is_null(const struct db_rows *r, size_t row, size_t column)
{
    return PQgetisnull(r->result, (int)row, (int)column) != 0;
}

void
db_rows_free(struct db_rows *r)
{
    if (!r)
        return;
    PQclear(r->result);
    free(r);
}

/* ---- COPY ------------------------------------------------------------------------------------ */

/* Queues one piece, waiting for room: 0, ERR_TIMEOUT, or ERR_RESET. */
static int
put_piece(const struct db *db, const char *at, size_t n)
{
    int64_t deadline_ms = answer_deadline(); /* for each piece: a large COPY takes its time */
    for (;;) {
        int put = at ? PQputCopyData(db->conn, at, (int)n) : PQputCopyEnd(db->conn, NULL);
        if (put < 0)
            return ERR_RESET;
        int err = flush(db, deadline_ms);
        if (err || put == 1)
            return err;
    }
}

static int
put_all(const struct db *db, struct slice data)
{
    int err = 0;
    for (size_t done = 0; done < data.len && !err;) {
        size_t n = data.len - done < 65536 ? data.len - done : 65536;
        err = put_piece(db, data.at + done, n);
        done += n;
    }
    return err ? err : put_piece(db, NULL, 0);
}

int
db_copy(struct db *db, const char *sql, struct slice data, int64_t *ret_rows)
{
    PGresult *result = NULL;
    int err = ensure_connected(db);
    if (!err)
        err = finish(db, PQsendQuery(db->conn, sql), PGRES_COPY_IN, &result);
    PQclear(result);
    if (err)
        return err;
    if (put_all(db, data) == ERR_TIMEOUT)
        return give_up(db);
    /* What broke, or what the server objects to, is in the result. */
    err = finish(db, 1, PGRES_COMMAND_OK, &result);
    if (!err && ret_rows)
        *ret_rows = strtoll(PQcmdTuples(result), NULL, 10);
    if (!err)
        PQclear(result);
    return err;
}

static const char *
copy_escape(char c)
{
    switch (c) {
    case '\\':
        return "\\\\";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    default:
        return NULL;
    }
}

int
db_copy_cell(struct buf *into, const char *text, size_t len, bool last)
{
    int err = text ? 0 : buf_add_str(into, "\\N");
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; text && i < len && !err; i++) {
        const char *escaped = copy_escape(text[i]);
        if (!escaped)
            continue;
        err = buf_add(into, text + plain, i - plain);
        if (!err)
            err = buf_add_str(into, escaped);
        plain = i + 1;
    }
    if (!err && text && len > plain)
        err = buf_add(into, text + plain, len - plain);
    return err ? err : buf_add(into, last ? "\n" : "\t", 1);
}

/* ---- notifications --------------------------------------------------------------------------- */

static bool
take_notification(struct db *db)
{
    PGnotify *n = PQnotifies(db->conn);
    if (!n)
        return false;
    snprintf(db->notified, sizeof(db->notified), "%s", n->relname);
    PQfreemem(n);
    return true;
}

int
db_wait_notify(struct db *db, int timeout_ms)
{
    if (!db->conn) {
        set_error(db, "", "not connected");
        return ERR_UNAVAILABLE;
    }
    if (take_notification(db))
        return 1;
    struct pollfd p = {PQsocket(db->conn), POLLIN, 0};
    int n = poll(&p, 1, timeout_ms);
    if (n == 0 || (n < 0 && errno == EINTR))
        return 0;
    if (!PQconsumeInput(db->conn)) {
        set_error(db, "", "the connection to PostgreSQL was lost");
        disconnect(db);
        return ERR_UNAVAILABLE;
    }
    return take_notification(db) ? 1 : 0;
}

const char *
db_notified(const struct db *db)
{
    return db->notified;
}
