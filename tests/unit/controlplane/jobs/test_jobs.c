/* What happens by the clock, against a real PostgreSQL: at the start, and again after it was away.
 */
#include "tests/unit/controlplane/admin.h"

#include "controlplane/jobs/jobs.h"

static bool
heads_tell(const char *part)
{
    char path[256];
    struct buf text;
    snprintf(path, sizeof(path), "%s/audit/heads.jsonl", admin_state);
    buf_init(&text, 0);
    bool found = file_read(path, 1 << 20, true, &text) == 0 && strstr(buf_str(&text), part);
    buf_free(&text);
    return found;
}

static bool
answers_forgotten(const char *part)
{
    (void)part;
    return ask("SELECT count(*) FROM idempotency_keys") == 1;
}

static bool
partitions_made(const char *part)
{
    (void)part;
    return ask("SELECT count(*) FROM pg_class WHERE relname = 'usage_events_' || "
               "to_char((now() AT TIME ZONE 'UTC')::date + 14, 'YYYYMMDD')") == 1;
}

static void
until(bool (*done)(const char *), const char *part, const char *what)
{
    int64_t deadline = clock_mono_ms() + 60000;
    while (!done(part)) {
        if (clock_mono_ms() > deadline)
            fail_msg("%s", what);
        usleep(50000);
    }
}

static void
keep(const char *key, const char *age)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "INSERT INTO idempotency_keys VALUES ('a', '%s', 'r', sha256('x'), 200, 'x', "
             "now() - interval '%s')",
             key, age);
    pg_sql("admin", sql);
}

static void
test_jobs_run_at_the_start(void **state)
{
    (void)state;
    keep("young", "23 hours");
    keep("old", "25 hours");
    pg_sql("admin", "DO $$ BEGIN EXECUTE 'DROP TABLE usage_events_' || "
                    "to_char((now() AT TIME ZONE 'UTC')::date + 14, 'YYYYMMDD'); END $$");
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"a\"}");
    plane.config.anchor_s = 1;
    struct jobs *j = jobs_start(&plane);
    assert_non_null(j);
    until(answers_forgotten, "", "the old answer is still kept");
    until(partitions_made, "", "no partition was made ahead");
    until(heads_tell, "\"seq\":1,", "the head was not exported");
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"b\"}");
    until(heads_tell, "\"seq\":2,", "the moved head was not exported");
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"c\"}");
    jobs_stop(j); /* an orderly end exports the last head */
    assert_true(heads_tell("\"seq\":3,"));
}

static void
test_jobs_come_good_when_the_database_does(void **state)
{
    (void)state;
    struct secrets *loaded = plane.secrets;
    pg_down("fast");
    plane.secrets = secrets_new(&admin_ring, NULL);
    struct jobs *j = jobs_start(&plane);
    assert_false(secrets_ready(plane.secrets));
    pg_up();
    int64_t deadline = clock_mono_ms() + 60000;
    while (!secrets_ready(plane.secrets) && clock_mono_ms() < deadline)
        usleep(50000);
    assert_true(secrets_ready(plane.secrets));
    assert_string_equal(secrets_cluster_id(plane.secrets), secrets_cluster_id(loaded));
    jobs_stop(j);
    secrets_free(plane.secrets);
    plane.secrets = loaded;
}

/* Another seal key is noticed, not written over. */
static void
test_another_seal_key_is_refused(void **state)
{
    (void)state;
    unsigned char other[SEAL_KEY_BYTES] = {9};
    struct keyring ring = keyring_of(other);
    struct secrets *s = secrets_new(&ring, NULL);
    struct db *db = plane_db(&plane, "test");
    int err = ERR_UNAVAILABLE;
    int64_t deadline = clock_mono_ms() + 60000;
    while (err == ERR_UNAVAILABLE && clock_mono_ms() < deadline)
        err = secrets_load(s, db);
    assert_int_equal(err, ERR_AUTH);
    assert_false(secrets_ready(s));
    db_free(db);
    secrets_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_run_at_the_start),
        cmocka_unit_test(test_jobs_come_good_when_the_database_does),
        cmocka_unit_test(test_another_seal_key_is_refused),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
