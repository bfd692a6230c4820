/* The connection against a real PostgreSQL: results, errors, loss, reconnection. */
#include "tests/unit/controlplane/pg.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/clock.h"

static void
test_results_and_parameters(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    struct db_rows *rows = NULL;
    /* F151: a value is a value, whatever it looks like. */
    const char *const params[] = {"'; DROP TABLE x; --", NULL, "42"};
    assert_int_equal(db_query(db, "SELECT $1::text, $2::text, $3::bigint, true", params, 3, &rows),
                     0);
    assert_int_equal(db_count(rows), 1);
    assert_string_equal(db_text(rows, 0, 0), "'; DROP TABLE x; --");
    assert_true(db_is_null(rows, 0, 1));
    assert_string_equal(db_text(rows, 0, 1), "");
    assert_int_equal(db_int(rows, 0, 2), 42);
    assert_true(db_bool(rows, 0, 3));
    db_rows_free(rows);
    db_free(db);
}

static void
test_errors_have_our_names(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    pg_sql("postgres", "CREATE TABLE e (a int PRIMARY KEY CHECK (a < 10)); "
                       "CREATE TABLE f (a int REFERENCES e (a)); INSERT INTO e VALUES (1)");
    assert_int_equal(db_query(db, "INSERT INTO e VALUES (1)", NULL, 0, NULL), ERR_EXISTS);
    assert_string_equal(db_sqlstate(db), "23505");
    assert_int_equal(db_query(db, "INSERT INTO e VALUES (11)", NULL, 0, NULL), ERR_RANGE);
    assert_int_equal(db_query(db, "INSERT INTO f VALUES (5)", NULL, 0, NULL), ERR_NOT_FOUND);
    assert_int_equal(db_query(db, "SELECT * FROM missing", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_int_equal(db_query(db, "SELEC", NULL, 0, NULL), ERR_IO);
    assert_int_equal(db_script(db, "SET statement_timeout = '20ms'; SELECT pg_sleep(5)"),
                     ERR_TIMEOUT);
    const char *const secret[] = {"hunter2-is-no-number"};
    assert_int_equal(db_query(db, "SELECT $1::int", secret, 1, NULL), ERR_IO);
    assert_null(strstr(db_error(db), "hunter2"));
    db_free(db);
}

static void
test_away_at_start_and_back(void **state)
{
    (void)state;
    pg_down("fast");
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_true(strlen(db_error(db)) > 0);
    pg_up();
    int64_t deadline = clock_mono_ms() + 60000;
    while (db_query(db, "SELECT 1", NULL, 0, NULL) != 0 && clock_mono_ms() < deadline)
        usleep(20000);
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0);
    db_free(db);
}

/* Takes connections and hangs up: how many came, when it is told to end. */
static void *
slam(void *arg)
{
    int listener = *(int *)arg, fd;
    uintptr_t came = 0;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        came++;
        close(fd);
    }
    return (void *)came;
}

/* One that is away is not tried again within the second, however often it is asked for. */
static void
test_tries_are_spaced(void **state)
{
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/hgdb.XXXXXX", dsn[128];
    pthread_t thread;
    void *came;
    assert_non_null(mkdtemp(dir));
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/.s.PGSQL.5432", dir);
    snprintf(dsn, sizeof(dsn), "host=%s user=x dbname=x", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(pthread_create(&thread, NULL, slam, &listener), 0);
    struct db *db = db_new(dsn, "test");
    int64_t before = clock_mono_ms();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(db_begin(db), ERR_UNAVAILABLE);
    int64_t seconds = (clock_mono_ms() - before) / 1000;
    db_free(db);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, &came);
    assert_in_range((uintptr_t)came, 1, seconds + 1);
    close(listener);
    unlink(at.sun_path);
    rmdir(dir);
}

static void
test_a_lost_transaction_never_goes_on(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    pg_sql("postgres", "CREATE TABLE half (a int)");
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(db_query(db, "INSERT INTO half VALUES (1)", NULL, 0, NULL), 0);
    pg_down("immediate");
    pg_up();
    assert_int_equal(db_query(db, "INSERT INTO half VALUES (2)", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_int_equal(db_query(db, "INSERT INTO half VALUES (3)", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_int_equal(db_commit(db), ERR_UNAVAILABLE);
    struct db_rows *rows = NULL;
    assert_int_equal(db_query(db, "SELECT count(*) FROM half", NULL, 0, &rows), 0);
    assert_int_equal(db_int(rows, 0, 0), 0);
    db_rows_free(rows);
    db_free(db);
}

static void
test_idle_connections_survive_a_restart(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0);
    pg_down("fast");
    pg_up();
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0);
    pg_down("immediate");
    pg_up();
    assert_int_equal(db_begin(db), 0);
    db_rollback(db);
    db_free(db);
}

static void
test_commit_of_a_failed_transaction_fails(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    assert_int_equal(db_begin(db), 0);
    assert_true(db_in_transaction(db));
    assert_int_not_equal(db_query(db, "SELECT 1/0", NULL, 0, NULL), 0);
    assert_int_equal(db_commit(db), ERR_BAD_STATE);
    assert_false(db_in_transaction(db));
    db_free(db);
}

static void
test_copy_and_its_escapes(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    struct buf data;
    struct db_rows *rows = NULL;
    static const char odd[] = "a\tb\nc\\d\re";
    int64_t n = 0;
    pg_sql("postgres", "CREATE TABLE copied (t text, u text)");
    buf_init(&data, 0);
    assert_int_equal(db_copy_cell(&data, odd, strlen(odd), false), 0);
    assert_int_equal(db_copy_cell(&data, NULL, 0, true), 0);
    assert_int_equal(db_copy(db, "COPY copied FROM STDIN", buf_slice(&data), &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(db_query(db, "SELECT t, u FROM copied", NULL, 0, &rows), 0);
    assert_string_equal(db_text(rows, 0, 0), odd);
    assert_true(db_is_null(rows, 0, 1));
    db_rows_free(rows);
    assert_int_not_equal(db_copy(db, "COPY copied FROM STDIN", SLICE("too\tmany\tcells\n"), &n), 0);
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0); /* still usable */
    buf_free(&data);
    db_free(db);
}

/* F104, F110: a frozen server, as a dead network, must not freeze us. */
static void
test_a_frozen_server_is_given_up(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    struct db_rows *rows = NULL;
    assert_int_equal(db_query(db, "SELECT pg_backend_pid()", NULL, 0, &rows), 0);
    pid_t backend = (pid_t)db_int(rows, 0, 0);
    db_rows_free(rows);
    assert_int_equal(db_begin(db), 0);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    int64_t before = clock_mono_ms();
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - before < 60000);
    assert_string_equal(db_error(db), "PostgreSQL does not answer");
    assert_int_equal(kill(backend, SIGCONT), 0);
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), ERR_UNAVAILABLE); /* still lost */
    db_rollback(db);
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0);
    db_free(db);
}

/* More than the sockets hold, both ways. */
static void
test_large_statements_and_answers(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    struct db_rows *rows = NULL;
    struct buf data;
    int64_t n = 0;
    size_t size = 20 << 20;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    const char *const params[] = {text};
    assert_int_equal(db_query(db, "SELECT $1::text", params, 1, &rows), 0);
    assert_int_equal(db_slice(rows, 0, 0).len, size);
    db_rows_free(rows);
    buf_init(&data, 0);
    pg_sql("postgres", "CREATE TABLE many (t text)");
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(db_copy_cell(&data, text, 1 << 20, true), 0);
    assert_int_equal(db_copy(db, "COPY many FROM STDIN", buf_slice(&data), &n), 0);
    assert_int_equal(n, 20);
    buf_free(&data);
    free(text);
    db_free(db);
}

static void
test_notifications(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    assert_int_equal(db_wait_notify(db, 0), ERR_UNAVAILABLE); /* not connected yet */
    assert_int_equal(db_query(db, "LISTEN headgate_changed", NULL, 0, NULL), 0);
    assert_int_equal(db_wait_notify(db, 0), 0);
    pg_sql("postgres", "NOTIFY headgate_changed");
    int got = 0;
    for (int i = 0; i < 100 && got == 0; i++)
        got = db_wait_notify(db, 100);
    assert_int_equal(got, 1);
    assert_string_equal(db_notified(db), "headgate_changed");
    db_free(db);
}

/* Whoever connects has the application's rights only. */
static void
test_superusers_become_the_application(void **state)
{
    (void)state;
    struct db_rows *rows = NULL;
    pg_sql("postgres", "CREATE ROLE headgate_app LOGIN");
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    assert_int_equal(db_query(db, "SELECT current_user", NULL, 0, &rows), 0);
    assert_string_equal(db_text(rows, 0, 0), "headgate_app");
    db_rows_free(rows);
    assert_int_equal(db_query(db, "CREATE TABLE mine (a int)", NULL, 0, NULL), ERR_DENIED);
    db_free(db);
}

/* Whoever holds a lock and says nothing loses it, with the connection: another gets it. */
static void
test_a_holder_that_says_nothing_is_ended(void **state)
{
    (void)state;
    struct db *one = db_new(pg_dsn("postgres", "postgres"), "test");
    struct db *other = db_new(pg_dsn("postgres", "postgres"), "test");
    struct db_rows *rows = NULL;
    bool got = false;
    assert_int_equal(db_query(one, "SELECT pg_advisory_lock(42)", NULL, 0, NULL), 0);
    assert_int_equal(db_end_when_idle(one, 60000), 0);
    assert_int_equal(db_query(other, "SELECT pg_try_advisory_lock(42)", NULL, 0, &rows), 0);
    assert_false(db_bool(rows, 0, 0));
    db_rows_free(rows);
    assert_int_equal(db_end_when_idle(one, 50), 0);
    for (int i = 0; i < 200 && !got; i++) {
        usleep(50000);
        assert_int_equal(db_query(other, "SELECT pg_try_advisory_lock(42)", NULL, 0, &rows), 0);
        got = db_bool(rows, 0, 0);
        db_rows_free(rows);
    }
    assert_true(got);
    assert_int_equal(db_begin(one), 0); /* a new connection: the next use is not an error */
    db_rollback(one);
    db_free(one);
    db_free(other);
}

static const char *
read_only(const char *more)
{
    static char dsn[400];
    snprintf(dsn, sizeof(dsn), "%s options='-c default_transaction_read_only=on' %s",
             pg_dsn("postgres", "postgres"), more);
    return dsn;
}

/* As a stand-by is: passed over, and the error says why. */
static void
test_a_host_that_takes_no_writes_is_no_primary(void **state)
{
    (void)state;
    struct db *db = db_new(read_only(""), "test");
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), ERR_UNAVAILABLE);
    assert_non_null(strstr(db_error(db), "session is read-only"));
    db_free(db);
    db = db_new(read_only("target_session_attrs=any"), "test"); /* the DSN has the last word */
    assert_int_equal(db_query(db, "SELECT 1", NULL, 0, NULL), 0);
    db_free(db);
}

static void
test_each_connection_has_a_number(void **state)
{
    (void)state;
    struct db *db = db_new(pg_dsn("postgres", "postgres"), "test");
    uint64_t first, again;
    assert_int_equal(db_ping(db, &first), 0);
    assert_int_equal(db_ping(db, &again), 0);
    assert_true(first > 0);
    assert_int_equal(first, again);
    pg_sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                       "WHERE application_name = 'test' AND pid <> pg_backend_pid()");
    assert_int_equal(db_ping(db, &again), 0);
    assert_int_equal(again, first + 1);
    assert_int_equal(db_connection(db), again);
    db_free(db);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_and_parameters),
        cmocka_unit_test(test_a_host_that_takes_no_writes_is_no_primary),
        cmocka_unit_test(test_each_connection_has_a_number),
        cmocka_unit_test(test_errors_have_our_names),
        cmocka_unit_test(test_away_at_start_and_back),
        cmocka_unit_test(test_tries_are_spaced),
        cmocka_unit_test(test_a_lost_transaction_never_goes_on),
        cmocka_unit_test(test_idle_connections_survive_a_restart),
        cmocka_unit_test(test_commit_of_a_failed_transaction_fails),
        cmocka_unit_test(test_copy_and_its_escapes),
        cmocka_unit_test(test_a_frozen_server_is_given_up),
        cmocka_unit_test(test_large_statements_and_answers),
        cmocka_unit_test(test_notifications),
        cmocka_unit_test(test_a_holder_that_says_nothing_is_ended),
        cmocka_unit_test(test_superusers_become_the_application),
    };
    return cmocka_run_group_tests(tests, pg_start, pg_stop);
}
