/* Sealing anew, against a real PostgreSQL: what is done, in what portions, and what is left alone.
 */
#include "tests/unit/controlplane/admin.h"

#include "controlplane/secrets/reseal.h"
#include "lib/base/encode.h"

static const unsigned char next_key[SEAL_KEY_BYTES] = {5, 5};

/* The ring of the stand, with another key in front. */
static struct keyring
with_next(void)
{
    struct keyring ring = keyring_of(next_key);
    assert_int_equal(keyring_add(&ring, admin_ring.keys[0].bytes, 0), 0);
    return ring;
}

struct sum {
    int64_t under_next, others;
};

static int
add(void *ctx, const struct reseal_count *c)
{
    struct sum *sum = ctx;
    struct keyring ring = keyring_of(next_key);
    char id[KEYRING_ID_TEXT];
    keyring_id_text(&ring, 0, id);
    if (slice_is(c->key, id))
        sum->under_next += c->values;
    else
        sum->others += c->values;
    return 0;
}

static struct sum
count(struct db *db)
{
    struct sum sum = {0};
    assert_int_equal(reseal_count(db, add, &sum), 0);
    return sum;
}

static void
make_provider(const char *name)
{
    char body[200];
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"kind\":\"openai\",\"credential\":\"sk-%s\"}",
             name, name);
    expect(201, "POST", "/api/v1/providers", body);
}

static void
test_in_portions_and_again(void **state)
{
    (void)state;
    struct db *db = plane_db(&plane, "test");
    struct keyring ring = with_next(), next = keyring_of(next_key);
    struct reseal_result r;
    size_t all = 0, calls = 0;
    make_provider("a");
    make_provider("b.c@d");
    make_provider("d");
    struct sum before = count(db);
    assert_int_equal(before.under_next, 0);
    assert_int_equal(before.others, 2 + 3 + 3); /* settings, providers, their revisions */
    assert_int_equal(secrets_set_ring(plane.secrets, &ring), 0);
    do {
        assert_int_equal(reseal_some(plane.secrets, db, 3, &r), 0);
        assert_int_equal(r.stuck, 0);
        assert_true(r.sealed <= 3);
        all += r.sealed;
        calls++;
    } while (r.sealed > 0);
    assert_int_equal(all, 8);
    assert_int_equal(calls, 4);
    struct sum after = count(db);
    assert_int_equal(after.under_next, 8);
    assert_int_equal(after.others, 0);
    /* the new key alone is enough for somebody who starts now */
    struct secrets *s = secrets_new(&next, NULL);
    assert_int_equal(secrets_load(s, db), 0);
    secrets_free(s);
    assert_int_equal(secrets_set_ring(plane.secrets, &admin_ring), 0);
    assert_int_equal(reseal_some(plane.secrets, db, 100, &r), 0); /* and not without it */
    assert_int_equal(r.sealed, 0);
    assert_int_equal(r.stuck, 8);
    db_free(db);
}

/* What no key opens stays as it is, is told, and does not stand in the way of the others. */
static void
test_what_is_stuck_is_stepped_over(void **state)
{
    (void)state;
    struct db *db = plane_db(&plane, "test");
    struct keyring ring = with_next();
    struct reseal_result r;
    make_provider("a");
    make_provider("b");
    pg_sql("admin", "UPDATE config_items SET body = jsonb_set(body, '{credential,sealed}', "
                    "'\"Aqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq\"') "
                    "WHERE name = 'a'");
    assert_int_equal(secrets_set_ring(plane.secrets, &ring), 0);
    assert_int_equal(reseal_some(plane.secrets, db, 100, &r), 0);
    assert_int_equal(r.stuck, 1);
    assert_string_equal(r.stuck_place, "credentials");
    assert_int_equal(r.sealed, 2 + 1 + 2);
    assert_int_equal(
        ask("SELECT count(*) FROM config_items WHERE body -> 'credential' ->> 'sealed' "
            "LIKE 'Aqqqq%'"),
        1);
    assert_int_equal(reseal_some(plane.secrets, db, 100, &r), 0);
    assert_int_equal(r.sealed, 0);
    assert_int_equal(r.stuck, 1);
    assert_int_equal(secrets_set_ring(plane.secrets, &admin_ring), 0);
    db_free(db);
}

/* The application may exchange a sealed value that it has read, and nothing else of what is kept
 * for good. */
static void
test_what_the_role_may(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "UPDATE settings SET value = 'x'",
        "UPDATE revision_changes SET after = NULL",
        "UPDATE idempotency_keys SET answer = ''",
    };
    static const char *const without_effect[] = {
        "SELECT headgate_reseal_setting('pepper', '\\x00', '\\x01')",
        "SELECT headgate_reseal_setting('cluster_id', '\\x00', '\\x01')",
        "SELECT headgate_reseal_revision(1, 'providers', 'a', 'after', '\\x00', '\\x01')",
        "SELECT headgate_reseal_revision(1, 'keys', 'a', 'after', '\\x00', '\\x01')",
        "SELECT headgate_reseal_answer('a', 'b', '\\x00', '\\x01')",
    };
    struct db *db = plane_db(&plane, "test");
    make_provider("a");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(db_query(db, refused[i], NULL, 0, NULL), ERR_DENIED);
    for (size_t i = 0; i < sizeof(without_effect) / sizeof(without_effect[0]); i++) {
        struct db_rows *rows = NULL;
        assert_int_equal(db_query(db, without_effect[i], NULL, 0, &rows), 0);
        assert_false(db_bool(rows, 0, 0));
        db_rows_free(rows);
    }
    db_free(db);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_in_portions_and_again, admin_fresh),
        cmocka_unit_test_setup(test_what_is_stuck_is_stepped_over, admin_fresh),
        cmocka_unit_test_setup(test_what_the_role_may, admin_fresh),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
