/* The table of references to secret managers, against a real PostgreSQL: who asks, what is kept. */
#include "tests/unit/controlplane/admin.h"

#include "controlplane/jobs/references.h"
#include "lib/base/encode.h"

#define REFERENCE "vault:kv/a#k"

/* Not plane.secrets: the publisher looks there too, and would be told first what is new. */
static struct secrets *own;

struct stand {
    struct db *db;
    struct managers *managers; /* without settings: every question fails */
};

static struct stand
stand_make(void)
{
    assert_int_equal(unsetenv("VAULT_ADDR"), 0);
    struct stand t = {plane_db(&plane, "test"), managers_new(false)};
    assert_non_null(t.db);
    assert_non_null(t.managers);
    own = secrets_new(&admin_ring, NULL);
    assert_non_null(own);
    assert_int_equal(secrets_load(own, t.db), 0);
    return t;
}

static void
stand_end(struct stand *t)
{
    db_free(t->db);
    managers_free(t->managers);
    secrets_free(own);
}

static void
turn(struct stand *t)
{
    bool changed;
    assert_int_equal(references_refresh(t->db, own, t->managers, 300, &changed), 0);
    assert_false(changed);
}

static long long
rows_where(const char *condition)
{
    char sql[512];
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM secret_references WHERE %s", condition);
    return ask(sql);
}

static void
test_who_asks_and_when(void **state)
{
    (void)state;
    struct stand t = stand_make();
    expect(201, "POST", "/api/v1/providers",
           "{\"name\":\"p\",\"kind\":\"openai\",\"credential\":\"" REFERENCE "\"}");
    expect(201, "POST", "/api/v1/providers",
           "{\"name\":\"q\",\"kind\":\"openai\",\"credential\":\"literal\"}");
    turn(&t);
    assert_int_equal(rows_where("true"), 1);
    assert_int_equal(rows_where("problem LIKE '%VAULT_ADDR%' AND claimed_at IS NULL"), 1);
    /* Not again at once, though it failed. */
    pg_sql("admin", "UPDATE secret_references SET problem = 'x'");
    turn(&t);
    assert_int_equal(rows_where("problem = 'x'"), 1);
    /* Somebody wants it, but another daemon is at it; it died; then it is ours. */
    pg_sql("admin", "UPDATE secret_references SET wanted_at = now(), claimed_at = now()");
    turn(&t);
    assert_int_equal(rows_where("problem = 'x' AND wanted_at IS NOT NULL"), 1);
    pg_sql("admin", "UPDATE secret_references SET claimed_at = now() - interval '61 s'");
    turn(&t);
    assert_int_equal(rows_where("problem LIKE '%VAULT_ADDR%' AND wanted_at IS NULL"), 1);
    /* What failed is due again after ten seconds, what did well after the interval. */
    pg_sql("admin",
           "UPDATE secret_references SET tried_at = now() - interval '11 s', problem = 'x'");
    turn(&t);
    assert_int_equal(rows_where("problem = 'x'"), 0);
    pg_sql("admin",
           "UPDATE secret_references SET tried_at = now() - interval '290 s', problem = ''");
    turn(&t);
    assert_int_equal(rows_where("problem = ''"), 1);
    pg_sql("admin", "UPDATE secret_references SET tried_at = now() - interval '301 s'");
    turn(&t);
    assert_int_equal(rows_where("problem = ''"), 0);
    pg_sql("admin", "DELETE FROM config_items WHERE kind = 'providers' AND name = 'p'");
    turn(&t);
    assert_int_equal(rows_where("true"), 0);
    stand_end(&t);
}

/* As another daemon would. */
static void
put(const char *value, int version)
{
    struct buf sealed;
    char hex[512], sql[1024];
    buf_init(&sealed, 0);
    assert_int_equal(secrets_seal_fetched(own, SLICE(REFERENCE), slice_of(value), &sealed), 0);
    hex_encode(sealed.at, sealed.len, hex);
    snprintf(sql, sizeof(sql),
             "INSERT INTO secret_references (reference, sealed, version) VALUES ('" REFERENCE
             "', '\\x%s', %d) ON CONFLICT (reference) DO UPDATE SET sealed = excluded.sealed, "
             "version = excluded.version",
             hex, version);
    pg_sql("admin", sql);
    buf_free(&sealed);
}

static int
given(struct buf *sealed)
{
    struct json *body = json_new_map();
    struct buf why;
    buf_init(&why, 0);
    buf_clear(sealed);
    assert_int_equal(json_set_str(body, "credential", REFERENCE), 0);
    int err = secrets_provider_credential(own, SLICE("p"), body, sealed, &why);
    buf_free(&why);
    json_free(body);
    return err;
}

static void
check_given(const char *want)
{
    struct buf sealed;
    struct secret value = {0};
    buf_init(&sealed, 0);
    assert_int_equal(given(&sealed), 0);
    assert_int_equal(secrets_unseal(own, SLICE("provider/p"), buf_slice(&sealed), &value), 0);
    assert_true(slice_is(secret_reveal(&value), want));
    secret_free(&value);
    buf_free(&sealed);
}

static void
test_what_others_fetched(void **state)
{
    (void)state;
    struct stand t = stand_make();
    struct buf sealed;
    bool changed;
    buf_init(&sealed, 0);
    assert_int_equal(given(&sealed), ERR_AGAIN);
    put("sk-one", 1000);
    assert_int_equal(secrets_sync(own, t.db, &changed), 0);
    check_given("sk-one");
    assert_int_equal(secrets_sync(own, t.db, &changed), 0);
    assert_false(changed);
    put("sk-two", 1001);
    assert_int_equal(secrets_sync(own, t.db, &changed), 0);
    assert_true(changed);
    check_given("sk-two");
    assert_true(secrets_fetched_is(own, SLICE(REFERENCE), SLICE("sk-two")));
    assert_false(secrets_fetched_is(own, SLICE(REFERENCE), SLICE("sk-one")));
    /* A damaged row, or one of another reference, is not believed and holds nothing up. */
    pg_sql("admin", "UPDATE secret_references SET sealed = set_byte(sealed, 20, get_byte(sealed, "
                    "20) # 1), version = 1002");
    assert_int_equal(secrets_sync(own, t.db, &changed), 0);
    assert_false(changed);
    check_given("sk-two");
    buf_free(&sealed);
    stand_end(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_asks_and_when),
        cmocka_unit_test(test_what_others_fetched),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
