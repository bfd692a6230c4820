/* Migrations against a real PostgreSQL: once each, in order, refused when changed or unknown. */
#include "tests/unit/controlplane/pg.h"

#include <pthread.h>

#define FILE_OF(name_, text_)                                                                      \
    {                                                                                              \
        .name = (name_), .text = (text_), .len = sizeof(text_) - 1                                 \
    }

static const struct migration_file two[] = {
    FILE_OF("0001_a.sql", "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"),
    FILE_OF("0002_b.sql", "INSERT INTO a VALUES (2);"),
};

struct outcome {
    int err;
    size_t applied;
    char why[512];
};

static struct outcome
migrate(const char *database, const struct migration_file *files, size_t count)
{
    struct outcome o = {0};
    struct buf why;
    struct db *db = db_new_owner(pg_dsn("headgate_owner", database), "test");
    buf_init(&why, 0);
    o.err = migrate_run(db, files, count, &o.applied, &why);
    const char *text = buf_str(&why);
    snprintf(o.why, sizeof(o.why), "%s", text ? text : "");
    buf_free(&why);
    db_free(db);
    return o;
}

static int64_t
count_a(const char *database)
{
    struct db_rows *rows = NULL;
    struct db *db = db_new_owner(pg_dsn("headgate_owner", database), "test");
    int64_t n =
        db_query(db, "SELECT count(*) FROM a", NULL, 0, &rows) == 0 ? db_int(rows, 0, 0) : -1;
    db_rows_free(rows);
    db_free(db);
    return n;
}

static void
test_each_is_applied_once(void **state)
{
    (void)state;
    pg_database("once");
    struct outcome o = migrate("once", two, 1);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.applied, 1);
    o = migrate("once", two, 2);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.applied, 1);
    o = migrate("once", two, 2);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.applied, 0);
    assert_int_equal(count_a("once"), 2);
}

static void
test_a_changed_one_is_refused(void **state)
{
    (void)state;
    static const struct migration_file changed[] = {
        FILE_OF("0001_a.sql", "CREATE TABLE a (x int); INSERT INTO a VALUES (7);"),
        FILE_OF("0002_b.sql", "INSERT INTO a VALUES (2);"),
    };
    pg_database("changed");
    assert_int_equal(migrate("changed", two, 1).err, 0);
    struct outcome o = migrate("changed", changed, 2);
    assert_int_equal(o.err, ERR_CONFLICT);
    assert_non_null(strstr(o.why, "0001_a.sql was changed after"));
    assert_int_equal(count_a("changed"), 1); /* nothing was done */
}

static void
test_an_unknown_one_is_refused(void **state)
{
    (void)state;
    pg_database("newer");
    assert_int_equal(migrate("newer", two, 2).err, 0);
    struct outcome o = migrate("newer", two, 1);
    assert_int_equal(o.err, ERR_CONFLICT);
    assert_non_null(strstr(o.why, "0002_b.sql was applied to this database but is not part"));
}

static void
test_a_failing_one_leaves_nothing(void **state)
{
    (void)state;
    static const struct migration_file broken[] = {
        FILE_OF("0001_a.sql", "CREATE TABLE a (x int);"),
        FILE_OF("0002_b.sql", "INSERT INTO a VALUES (2); SELEC 1;"),
    };
    pg_database("broken");
    struct outcome o = migrate("broken", broken, 2);
    assert_int_not_equal(o.err, 0);
    assert_non_null(strstr(o.why, "0002_b.sql: "));
    assert_int_equal(count_a("broken"), 0);
    static const struct migration_file mended[] = {
        FILE_OF("0001_a.sql", "CREATE TABLE a (x int);"),
        FILE_OF("0002_b.sql", "INSERT INTO a VALUES (2);"),
    };
    assert_int_equal(migrate("broken", mended, 2).err, 0);
    assert_int_equal(count_a("broken"), 1);
}

static void
test_names_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"1_a.sql", "0001a.sql", "0001_a.txt", "000x_a.sql",
                                      "0001_.sql"};
    pg_database("names");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct migration_file f = {bad[i], "SELECT 1", 8};
        assert_int_equal(migrate("names", &f, 1).err, ERR_SYNTAX);
    }
    static const struct migration_file twice[] = {FILE_OF("0001_a.sql", "SELECT 1"),
                                                  FILE_OF("0001_b.sql", "SELECT 1")};
    assert_int_equal(migrate("names", twice, 2).err, ERR_SYNTAX);
}

static void *
migrate_thread(void *ctx)
{
    *(struct outcome *)ctx = (struct outcome){0};
    struct buf why;
    struct db *db = db_new_owner("", "test");
    db_free(db);
    char dsn[256];
    snprintf(dsn, sizeof(dsn), "host=%s user=headgate_owner dbname=racing", pg_dir);
    db = db_new_owner(dsn, "test");
    buf_init(&why, 0);
    struct outcome *o = ctx;
    o->err = migrate_run(db, migration_files, migration_file_count, &o->applied, &why);
    buf_free(&why);
    db_free(db);
    return NULL;
}

/* The real files, by eight at once: one applies them all. */
static void
test_concurrent_migrators(void **state)
{
    (void)state;
    pthread_t threads[8];
    struct outcome outcomes[8];
    size_t total = 0;
    pg_database("racing");
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, &outcomes[i]), 0);
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(outcomes[i].err, 0);
        assert_true(outcomes[i].applied == 0 || outcomes[i].applied == migration_file_count);
        total += outcomes[i].applied;
    }
    assert_int_equal(total, migration_file_count);
}

static void
test_check_tells_what_is_pending(void **state)
{
    (void)state;
    struct buf why;
    size_t pending = 0;
    pg_database("pending");
    struct db *db = db_new_owner(pg_dsn("headgate_owner", "pending"), "test");
    buf_init(&why, 0);
    assert_int_equal(migrate_check(db, two, 2, &pending, &why), ERR_UNAVAILABLE);
    assert_int_equal(migrate("pending", two, 1).err, 0);
    assert_int_equal(migrate_check(db, two, 2, &pending, &why), 0);
    assert_int_equal(pending, 1);
    buf_free(&why);
    db_free(db);
}

/* What the application's role must not be able to do, table by table (F112, F168). */
static void
test_the_application_has_least_rights(void **state)
{
    (void)state;
    static const char *const denied[] = {"UPDATE audit_log SET actor = 'x'",
                                         "DELETE FROM audit_log",
                                         "TRUNCATE audit_log",
                                         "UPDATE revisions SET note = 'x'",
                                         "DELETE FROM revisions",
                                         "TRUNCATE revisions",
                                         "UPDATE revision_changes SET name = 'x'",
                                         "DELETE FROM revision_changes",
                                         "UPDATE settings SET value = 'x'",
                                         "DELETE FROM settings",
                                         "TRUNCATE config_items",
                                         "UPDATE admin_tokens SET role = 'admin'",
                                         "UPDATE snapshots SET revision = 1",
                                         "DELETE FROM schema_migrations",
                                         "INSERT INTO schema_migrations VALUES (1, 'x', 'y')",
                                         "UPDATE usage_events SET status = 1",
                                         "DELETE FROM usage_events",
                                         "TRUNCATE usage_events",
                                         "UPDATE ledger_entries SET attempt_id = NULL",
                                         "DELETE FROM ledger_entries",
                                         "TRUNCATE ledger_entries",
                                         "DROP TABLE audit_log",
                                         "CREATE TABLE mine (a int)",
                                         "ALTER TABLE audit_log ADD COLUMN x int",
                                         "CREATE ROLE other"};
    pg_migrated("rights");
    struct db *db = db_new(pg_dsn("headgate_app", "rights"), "test");
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        int err = db_query(db, denied[i], NULL, 0, NULL);
        if (err != ERR_DENIED)
            fail_msg("%s: %d %s", denied[i], err, db_error(db));
    }
    db_free(db);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_applied_once),
        cmocka_unit_test(test_a_changed_one_is_refused),
        cmocka_unit_test(test_an_unknown_one_is_refused),
        cmocka_unit_test(test_a_failing_one_leaves_nothing),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_concurrent_migrators),
        cmocka_unit_test(test_check_tells_what_is_pending),
        cmocka_unit_test(test_the_application_has_least_rights),
    };
    return cmocka_run_group_tests(tests, pg_start, pg_stop);
}
