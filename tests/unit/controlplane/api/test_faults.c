/* PostgreSQL away and back; the audit log tampered with. Over real HTTP. */
#include "tests/unit/controlplane/admin.h"

static char heads_path[256];

/* ---- F101 and a restart ---------------------------------------------------------------------- */

static void
wait_for(int status, const char *method, const char *path, const char *body)
{
    int64_t deadline = clock_mono_ms() + 60000;
    for (;;) {
        struct got *g = call(method, path, body);
        bool done = g->status == status || clock_mono_ms() > deadline;
        if (done && g->status != status)
            fail_msg("%s %s: still %d %s", method, path, g->status, g->text);
        memcpy(got_text, g->text, sizeof(got_text));
        got_free(g);
        if (done)
            return;
        usleep(50000);
    }
}

static void
test_f101_database_away_at_start(void **state)
{
    (void)state;
    admin_unserve();
    pg_down("fast");
    admin_serve();
    expect(200, "GET", "/healthz", NULL);
    expect(503, "GET", "/readyz", NULL);
    expect_text("\"database\":\"away");
    expect(200, "GET", "/metrics", NULL);
    expect_text("headgate_control_database_up 0");
    struct got *g = call("GET", "/api/v1/teams", NULL);
    assert_int_equal(g->status, 503); /* never a 401: I14 */
    assert_string_equal(g->retry_after, "1");
    got_free(g);
    expect(503, "POST", "/api/v1/teams", "{\"name\":\"x\"}");
    expect_with(&(struct want){.token = ""}, 401, "GET", "/api/v1/teams", NULL);
    pg_up();
    wait_for(201, "POST", "/api/v1/teams", "{\"name\":\"back\"}");
    wait_for(200, "GET", "/readyz", NULL);
    wait_for(204, "DELETE", "/api/v1/teams/back", NULL);
}

static void
test_f100_database_restarts(void **state)
{
    (void)state;
    wait_for(201, "POST", "/api/v1/teams", "{\"name\":\"before\"}");
    pg_down("immediate");
    expect(503, "PATCH", "/api/v1/teams/before", "{\"disabled\":true}");
    pg_up();
    wait_for(200, "PATCH", "/api/v1/teams/before", "{\"disabled\":true}");
    wait_for(200, "GET", "/api/v1/teams", NULL);
    expect_text("before");
    wait_for(200, "GET", "/api/v1/audit/verify", NULL);
    expect_text("\"ok\":true");
}

/* F106: somebody holds a table; we wait 2 s, say so, and are well again when it is free. */
static void
test_f106_a_locked_table(void **state)
{
    (void)state;
    /* Threads that met no database in the test before would say 503 for a second, for that reason.
     */
    admin_unserve();
    admin_serve();
    struct db *other = db_new_owner(pg_dsn("postgres", "admin"), "test");
    assert_int_equal(db_begin(other), 0);
    assert_int_equal(db_script(other, "LOCK TABLE config_items IN ACCESS EXCLUSIVE MODE"), 0);
    struct got *g = call("POST", "/api/v1/teams", "{\"name\":\"locked\"}");
    assert_int_equal(g->status, 503);
    assert_string_equal(g->retry_after, "1");
    got_free(g);
    expect(503, "GET", "/api/v1/teams", NULL);
    expect(200, "GET", "/healthz", NULL);
    db_rollback(other);
    db_free(other);
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"locked\"}");
    expect(204, "DELETE", "/api/v1/teams/locked", NULL);
}

static void
test_a_database_never_migrated_is_not_ready(void **state)
{
    (void)state;
    char dsn[256];
    pg_database("bare");
    snprintf(dsn, sizeof(dsn), "host=%s user=headgate_app dbname=bare", pg_dir);
    admin_unserve();
    plane.config.database = dsn;
    admin_serve();
    expect(503, "GET", "/readyz", NULL);
    expect_text("headgate-controlplane migrate");
    expect(503, "GET", "/api/v1/teams", NULL);
    admin_unserve();
    plane.config.database = admin_dsn;
    admin_serve();
}

/* ---- F168: the audit log --------------------------------------------------------------------- */

/* Eight rows, and the head exported after the eighth. */
static int
eight_rows(void **state)
{
    char body[64];
    admin_fresh(state);
    snprintf(heads_path, sizeof(heads_path), "%s/audit/heads.jsonl", admin_state);
    for (int i = 1; i <= 8; i++) {
        snprintf(body, sizeof(body), "{\"name\":\"t%d\"}", i);
        expect(201, "POST", "/api/v1/teams", body);
    }
    return 0;
}

static void
export_head(void)
{
    struct audit_head head;
    struct db *db = plane_db(&plane, "test");
    assert_int_equal(audit_head(db, &head), 0);
    assert_int_equal(audit_anchor_write(heads_path, &head, plane.sign_secret), 0);
    db_free(db);
}

static void
expect_bad_row(int64_t row, const char *reason)
{
    char part[64];
    expect(200, "GET", "/api/v1/audit/verify", NULL);
    expect_text("\"ok\":false");
    snprintf(part, sizeof(part), "\"first_bad\":%lld,", (long long)row);
    expect_text(part);
    expect_text(reason);
}

static void
test_f168_untouched_is_whole(void **state)
{
    (void)state;
    export_head();
    export_head(); /* the same head is not written twice */
    expect(200, "GET", "/api/v1/audit/verify", NULL);
    expect_text("\"ok\":true,\"rows\":8,\"head_seq\":8");
    expect_text("\"anchors\":1,\"first_bad\":null,\"reason\":null");
}

static void
test_f168_every_column_counts(void **state)
{
    (void)state;
    static const char *const edits[] = {
        "actor = 'somebody'", "action = 'team.delete'",    "object = 'teams/other'",
        "request_id = 'x'",   "at = at + interval '1 ms'", "detail = detail || '{\"x\":1}'",
        "hash = sha256('x')", "prev_hash = sha256('x')"};
    char sql[512];
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        snprintf(
            sql, sizeof(sql),
            "CREATE TABLE kept AS SELECT * FROM audit_log; UPDATE audit_log SET %s WHERE seq = 5",
            edits[i]);
        pg_sql("admin", sql);
        expect_bad_row(5, "");
        pg_sql("admin",
               "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept; DROP TABLE kept");
        expect(200, "GET", "/api/v1/audit/verify", NULL);
        expect_text("\"ok\":true");
    }
}

static void
test_f168_delete(void **state)
{
    (void)state;
    pg_sql("admin", "DELETE FROM audit_log WHERE seq = 4");
    expect_bad_row(4, "is missing");
}

static void
test_f168_insert_renumbered(void **state)
{
    (void)state;
    pg_sql(
        "admin",
        "UPDATE audit_log SET seq = seq + 100 WHERE seq > 3; "
        "UPDATE audit_log SET seq = seq - 99 WHERE seq > 100; "
        "INSERT INTO audit_log SELECT 4, at, actor, action, object, detail, request_id, prev_hash, "
        "hash FROM audit_log WHERE seq = 3");
    expect_bad_row(4, "does not follow");
}

static void
test_f168_reorder(void **state)
{
    (void)state;
    pg_sql(
        "admin",
        "UPDATE audit_log SET seq = 99 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3; "
        "UPDATE audit_log SET seq = 3 WHERE seq = 99");
    expect_bad_row(2, "does not follow");
}

static void
test_f168_tail_cut_off(void **state)
{
    (void)state;
    pg_sql("admin", "DELETE FROM audit_log WHERE seq > 6");
    expect(200, "GET", "/api/v1/audit/verify", NULL);
    expect_text("\"ok\":true,\"rows\":6"); /* the chain alone cannot know */
    eight_rows(NULL);
    export_head();
    pg_sql("admin", "DELETE FROM audit_log WHERE seq > 6");
    expect_bad_row(7, "an exported head tells of later rows");
    pg_sql("admin", "DELETE FROM audit_log");
    expect_bad_row(1, "an exported head tells of later rows");
}

/* The whole chain made anew, as the database's superuser can: only the exported head knows. */
static void
test_f168_chain_written_anew(void **state)
{
    (void)state;
    char body[64];
    export_head();
    pg_sql("admin", "TRUNCATE audit_log");
    for (int i = 1; i <= 9; i++) {
        snprintf(body, sizeof(body), "{\"name\":\"other%d\"}", i);
        expect(201, "POST", "/api/v1/teams", body);
    }
    expect_bad_row(8, "differs from the exported head");
}

static void
test_f168_exported_heads_are_signed(void **state)
{
    (void)state;
    struct audit_anchors anchors;
    size_t line;
    unsigned char other_secret[SIGN_SECRET_BYTES], other_public[SIGN_PUBLIC_BYTES];
    export_head();
    assert_int_equal(sign_generate(other_secret, other_public), 0);
    assert_int_equal(audit_anchors_load(heads_path, other_public, &anchors, &line), ERR_AUTH);
    assert_int_equal(line, 1);
    char command[600];
    snprintf(command, sizeof(command), "sed -i 's/\"seq\":8/\"seq\":7/' %s", heads_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(audit_anchors_load(heads_path, plane.sign_public, &anchors, &line), ERR_AUTH);
    expect(500, "GET", "/api/v1/audit/verify", NULL);
    expect_text("anchors_damaged");
    unlink(heads_path);
}

/* The file does not grow without end, and what is left of it still verifies. */
static void
test_exported_heads_are_thinned(void **state)
{
    (void)state;
    struct buf content;
    struct audit_anchors anchors;
    size_t line, lines = 0;
    export_head();
    buf_init(&content, 0);
    assert_int_equal(file_read(heads_path, 4096, true, &content), 0);
    char copy[4096];
    size_t one = content.len;
    memcpy(copy, content.at, one);
    for (lines = 1; content.len < (8 << 20); lines++)
        assert_int_equal(buf_add(&content, copy, one), 0);
    assert_int_equal(file_replace(heads_path, buf_slice(&content), 0600), 0);
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"ninth\"}");
    export_head();
    assert_int_equal(audit_anchors_load(heads_path, plane.sign_public, &anchors, &line), 0);
    assert_in_range(anchors.count, lines / 2, lines / 2 + 3);
    assert_int_equal(anchors.at[anchors.count - 1].seq, 9);
    assert_int_equal(anchors.at[anchors.count - 2].seq, 8);
    audit_anchors_free(&anchors);
    buf_free(&content);
}

/* What failed left no row; what was done left exactly one, in the same transaction. */
static void
test_every_write_is_audited_once(void **state)
{
    (void)state;
    expect(409, "POST", "/api/v1/teams", "{\"name\":\"t1\"}");
    expect(400, "POST", "/api/v1/teams", "{\"nme\":\"t1\"}");
    expect_with(&(struct want){.token = reader_token}, 403, "POST", "/api/v1/teams",
                "{\"name\":\"x\"}");
    assert_int_equal(ask("SELECT count(*) FROM audit_log"), 8);
    expect(204, "DELETE", "/api/v1/teams/t1", NULL);
    expect(200, "GET", "/api/v1/audit?limit=1", NULL);
    expect_text("\"actor\":\"root\",\"action\":\"team.delete\",\"object\":\"teams/t1\"");
    expect(200, "GET", "/api/v1/audit?action=team.create&limit=3", NULL);
    expect_text("\"seq\":8");
    assert_int_equal(ask("SELECT count(*) FROM audit_log"), 9);
    /* A log that cannot be written to refuses the change (F142). */
    pg_sql("admin", "REVOKE INSERT ON audit_log FROM headgate_app");
    expect(500, "POST", "/api/v1/teams", "{\"name\":\"unseen\"}");
    pg_sql("admin", "GRANT INSERT ON audit_log TO headgate_app");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE name = 'unseen'"), 0);
}

#define AUDIT_TEST(f) cmocka_unit_test_setup(f, eight_rows)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f101_database_away_at_start),
        cmocka_unit_test(test_f100_database_restarts),
        cmocka_unit_test(test_f106_a_locked_table),
        cmocka_unit_test(test_a_database_never_migrated_is_not_ready),
        AUDIT_TEST(test_f168_untouched_is_whole),
        AUDIT_TEST(test_f168_every_column_counts),
        AUDIT_TEST(test_f168_delete),
        AUDIT_TEST(test_f168_insert_renumbered),
        AUDIT_TEST(test_f168_reorder),
        AUDIT_TEST(test_f168_tail_cut_off),
        AUDIT_TEST(test_f168_chain_written_anew),
        AUDIT_TEST(test_f168_exported_heads_are_signed),
        AUDIT_TEST(test_exported_heads_are_thinned),
        AUDIT_TEST(test_every_write_is_audited_once),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
