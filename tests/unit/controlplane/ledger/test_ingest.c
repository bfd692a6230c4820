/* Batches into the books of a real PostgreSQL: once, balanced, and whatever happens meanwhile. */
#include <pthread.h>

#include "tests/unit/controlplane/ledger/sample.h"

/* What must hold at any time (faults.md, I2). */
static void
assert_books_are_sound(void)
{
    assert_int_equal(problems(), 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_cost_differences"), 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM ledger_usage_differences"), 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM ledger_balance_differences"), 0);
    assert_int_equal(database_int(app,
                                  "SELECT count(*) FROM (SELECT transaction_id FROM ledger_entries "
                                  "GROUP BY 1 HAVING sum(amount_nanos) <> 0) t"),
                     0);
    assert_int_equal(
        database_int(
            app, "SELECT count(*) FROM (SELECT date_trunc('hour', started_at) AS hour, team, "
                 "project, user_name, key, model, provider, provider_model, tags, "
                 "count(*) AS attempts, count(*) FILTER (WHERE attempt_no = 1) AS requests, "
                 "count(*) FILTER (WHERE error_code <> '') AS errors, sum(tokens_input) AS i, "
                 "sum(tokens_cache_read) AS r, sum(tokens_output) AS o, sum(cost_nanos) AS c, "
                 "sum(tokens_audio_input) AS ai, sum(tokens_audio_output) AS ao, "
                 "sum(tokens_image_input) AS ii, sum(tokens_image_output) AS io, "
                 "sum(web_searches) AS w, sum(search_units) AS su, sum(images) AS im, "
                 "sum(audio_ms) AS ms, sum(characters) AS ch "
                 "FROM usage_events GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) d FULL JOIN "
                 "usage_hourly h USING (hour, team, project, user_name, key, model, provider, "
                 "provider_model, tags) WHERE (d.attempts, d.requests, d.errors, d.i, d.r, d.o, "
                 "d.c, ai, ao, ii, io, w, su, im, ms, ch) IS DISTINCT FROM (h.attempts, "
                 "h.requests, h.errors, h.tokens_input, h.tokens_cache_read, h.tokens_output, "
                 "h.cost_nanos, tokens_audio_input, tokens_audio_output, tokens_image_input, "
                 "tokens_image_output, web_searches, search_units, images, audio_ms, "
                 "characters)"),
        0);
}

/* --- the ordinary way ------------------------------------------------------------------------ */

static void
test_a_batch_is_booked_whole(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 300);
    struct ingest_result r = ingest(&s->batch);
    struct db_rows *rows;

    (void)state;
    assert_int_equal(r.added, 300);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events"), 300);
    assert_int_equal(database_int(app, "SELECT sum(cost_nanos) FROM usage_events"),
                     total_cost(s, 300));
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events WHERE provider_model = "
                                       "E'gpt\\t4o\\\\n'"),
                     300);
    assert_int_equal(database_int(owner, "SELECT count(*) FROM usage_events_default"), 0);
    assert_int_equal(
        db_query(app, "SELECT high_sequence, records, missing FROM usage_spools", NULL, 0, &rows),
        0);
    assert_int_equal(db_int(rows, 0, 0), 300);
    assert_int_equal(db_int(rows, 0, 1), 300);
    assert_int_equal(db_int(rows, 0, 2), 0);
    db_rows_free(rows);
    assert_int_equal(database_int(app, "SELECT count(*) FROM ledger_accounts WHERE name LIKE "
                                       "'team:sales%2Feu%' AND team = 'sales/eu'") > 0,
                     1);
    assert_books_are_sound();
    free(s);
}

/* The roll-up and the sums of many batches over several hours and days equal the detail. */
static void
test_rollup_equals_detail(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct sample *s = make_sample(&seed, 100);
        for (size_t k = 0; k < 100; k++) {
            int64_t ms = clock_wall_ms() - (int64_t)test_below(&seed, 3 * 86400000);
            for (int byte = 0; byte < 6; byte++)
                s->u[k].attempt_id[byte] = (unsigned char)(ms >> (40 - 8 * byte));
            encode(s, k);
        }
        assert_int_equal(ingest(&s->batch).added, 100);
        free(s);
    }
    assert_int_equal(database_int(app, "SELECT (count(DISTINCT hour) > 20)::int FROM usage_hourly"),
                     1);
    assert_int_equal(database_int(app, "SELECT sum(attempts) FROM usage_hourly"), 2000);
    assert_books_are_sound();
}

/* Rows with and without rare classes, in one batch and in batches of their own. */
static void
test_rare_classes_are_booked_and_recomputed(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s;

    (void)state;
    for (int batch = 0; batch < 4; batch++) {
        s = make_sample(&seed, 100);
        for (size_t k = 0; k < 100; k++)
            if (batch && test_below(&seed, 3) < (unsigned)batch) {
                make_rare(&seed, &s->u[k]);
                encode(s, k);
            }
        assert_int_equal(ingest(&s->batch).added, 100);
        free(s);
    }
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_quarantine"), 0);
    assert_int_equal(database_int(app, "SELECT (count(*) > 50)::int FROM usage_events "
                                       "WHERE audio_ms > 0 AND price_audio_minute IS NOT NULL"),
                     1);
    assert_int_equal(database_int(app, "SELECT (count(DISTINCT service_tier) = 3 AND count(*) > "
                                       "count(service_tier))::int FROM usage_events"),
                     1);
    assert_books_are_sound();
}

/* An unused class is NULL, so that it takes no room; and a count cannot be without its price. */
static void
test_unused_classes_take_no_room(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 2);

    (void)state;
    s->u[0].tokens.images = 2;
    s->u[0].price.image = 40000000000;
    price(&s->u[0]);
    encode(s, 0);
    assert_int_equal(ingest(&s->batch).added, 2);
    assert_int_equal(
        database_int(app, "SELECT count(*) FROM usage_events WHERE num_nonnulls("
                          "tokens_audio_input, tokens_audio_output, tokens_image_input, "
                          "tokens_image_output, web_searches, search_units, audio_ms, characters, "
                          "price_audio_input, price_audio_output, price_image_input, "
                          "price_image_output, price_web_search, price_search_unit, "
                          "price_audio_minute, price_character, service_tier) = 0"),
        2);
    assert_int_equal(database_int(app, "SELECT price_image FROM usage_events WHERE images = 2"),
                     40000000000);
    assert_int_equal(database_int(app, "SELECT count(images) FROM usage_events"), 1);
    assert_int_not_equal(db_script(owner, "SET session_replication_role = replica;"
                                          "UPDATE usage_events SET audio_ms = 5"),
                         0);
    assert_string_equal(db_sqlstate(owner), "23514");
    free(s);
}

/* --- exactly once ---------------------------------------------------------------------------- */

static void
test_f132_repeated_and_overlapping_batches_add_nothing(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 200);
    struct usage_batch part = s->batch;

    (void)state;
    part.records = s->records + 100; /* the second half first */
    part.count = 50;
    part.last_sequence = 150;
    assert_int_equal(ingest(&part).added, 50);
    for (int i = 0; i < 3; i++) {
        struct ingest_result r = ingest(&s->batch);
        assert_int_equal(r.added, i ? 0 : 150);
        assert_int_equal(r.repeated, i ? 200 : 50);
    }
    uuid7(s->batch.spool_id); /* from a restored copy of the spool */
    assert_int_equal(ingest(&s->batch).added, 0);
    s->records[1] = s->records[0]; /* twice in one batch */
    uuid7(s->u[0].attempt_id);
    encode(s, 0);
    s->records[1] = s->records[0];
    assert_int_equal(ingest(&s->batch).added, 1);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events"), 201);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_quarantine"), 0);
    assert_books_are_sound();
    free(s);
}

static void
test_skipped_sequences_are_counted(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 10);
    struct usage_batch part = s->batch;

    (void)state;
    part.count = 3;
    part.last_sequence = 3;
    (void)ingest(&part);
    part.records += 5; /* 4 and 5 never come */
    part.last_sequence = 8;
    (void)ingest(&part);
    (void)ingest(&part);
    assert_int_equal(database_int(app, "SELECT missing FROM usage_spools"), 2);
    free(s);
}

/* Two daemons, the same accounts and partly the same records, in opposite order. */
struct writer {
    struct sample **samples;
    size_t count;
    bool backwards;
    int failures;
};

static void *
write_batches(void *ctx)
{
    struct writer *w = ctx;
    struct db *db = db_new(database.app_dsn, "writer");

    for (size_t i = 0; i < w->count; i++) {
        struct ingest_result r;
        struct sample *s = w->samples[w->backwards ? w->count - 1 - i : i];
        int err, tries = 0;
        do
            err = ledger_ingest(db, SLICE("node"), 0, &s->batch, &r);
        while (err && ++tries < 3);
        w->failures += err != 0;
    }
    db_free(db);
    return NULL;
}

static void
test_f103_two_writers_in_opposite_order(void **state)
{
    uint64_t seed = test_seed();
    struct sample *samples[40];
    struct writer forth = {samples, 40, false, 0}, back = {samples, 40, true, 0};
    pthread_t a, b;

    (void)state;
    for (size_t i = 0; i < 40; i++)
        samples[i] = make_sample(&seed, 100);
    assert_int_equal(pthread_create(&a, NULL, write_batches, &forth), 0);
    assert_int_equal(pthread_create(&b, NULL, write_batches, &back), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    assert_int_equal(forth.failures + back.failures, 0);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events"), 4000);
    assert_int_equal(database_int(owner, "SELECT deadlocks FROM pg_stat_database WHERE datname = "
                                         "current_database()"),
                     0);
    assert_books_are_sound();
    for (size_t i = 0; i < 40; i++)
        free(samples[i]);
}

static void
test_f103_a_deadlock_is_tried_again(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 5);

    (void)state;
    assert_int_equal(
        db_script(owner, "CREATE SEQUENCE tried; GRANT ALL ON tried TO headgate_app;"
                         "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                         "IF nextval('tried') <= 3 THEN RAISE EXCEPTION 'injected' USING ERRCODE = "
                         "'40P01'; END IF; RETURN NULL; END $$;"
                         "CREATE TRIGGER injected AFTER INSERT ON usage_events FOR EACH STATEMENT "
                         "EXECUTE FUNCTION injected()"),
        0);
    assert_int_equal(ingest(&s->batch).added, 5);
    assert_int_equal(db_script(owner,
                               "DROP TRIGGER injected ON usage_events; DROP FUNCTION injected; "
                               "DROP SEQUENCE tried"),
                     0);
    assert_books_are_sound();
    free(s);
}

/* The connection dies inside COMMIT: nobody knows, so the batch comes again. */
static void
test_f108_an_unknown_outcome_is_decided_by_the_key(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 20);
    struct ingest_result r;

    (void)state;
    (void)database_int(app, "SELECT 1");
    assert_int_equal(
        db_script(
            owner,
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
            "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; "
            "END $$; CREATE CONSTRAINT TRIGGER die AFTER INSERT ON usage_spools DEFERRABLE "
            "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"),
        0);
    assert_int_equal(ledger_ingest(app, SLICE("node"), 0, &s->batch, &r), ERR_UNAVAILABLE);
    assert_int_equal(db_script(owner, "DROP TRIGGER die ON usage_spools; DROP FUNCTION die"), 0);
    for (int i = 0; i < 2; i++) { /* not committed; then committed, and the answer lost */
        int err;
        do /* the connection is opened again once a second at most */
            err = ledger_ingest(app, SLICE("node"), 0, &s->batch, &r);
        while (err == ERR_UNAVAILABLE && usleep(50000) == 0);
        assert_int_equal(err, 0);
        assert_int_equal(r.added, i ? 0 : 20);
    }
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events"), 20);
    assert_books_are_sound();
    free(s);
}

/* --- poison ---------------------------------------------------------------------------------- */

static int64_t
quarantined(const char *reason)
{
    struct db_rows *rows = NULL;
    int64_t n;

    assert_int_equal(
        db_query(app, "SELECT count(*) FROM usage_quarantine WHERE reason = $1", &reason, 1, &rows),
        0);
    n = db_int(rows, 0, 0);
    db_rows_free(rows);
    return n;
}

static void
test_f107_poison_does_not_hold_up_the_others(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 20);

    (void)state;
    s->records[0] = SLICE("\xff\xff no message");
    s->u[1].cost++;
    s->u[2].team = SLICE("");
    s->u[3].tokens.input = -1;
    s->u[4].price.output = -1;
    s->u[5].outcome = (enum usage_outcome)77;
    s->u[6].attempt_id[6] = 0x40;
    s->u[7].key = SLICE("\xc3\x28");
    s->u[8].attempt_no = 0;
    s->u[10].cached = true;                        /* and costs something */
    s->u[9].request_id = SLICE("stray \xff byte"); /* only informs: cleaned, not refused */
    for (size_t i = 1; i < 11; i++)
        encode(s, i);
    for (int i = 0; i < 2; i++) {
        struct ingest_result r = ingest(&s->batch);
        assert_int_equal(r.quarantined, 10);
        assert_int_equal(r.added, i ? 0 : 10);
    }
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_quarantine"), 10);
    assert_int_equal(quarantined("cached_with_cost"), 1);
    assert_int_equal(quarantined("undecodable"), 1);
    assert_int_equal(quarantined("cost_mismatch"), 1);
    assert_int_equal(quarantined("missing_name"), 1);
    assert_int_equal(quarantined("tokens_out_of_range"), 1);
    assert_int_equal(quarantined("negative_price"), 1);
    assert_int_equal(quarantined("unknown_outcome"), 1);
    assert_int_equal(quarantined("attempt_id_not_v7"), 1);
    assert_int_equal(quarantined("malformed_name"), 1);
    assert_int_equal(quarantined("attempt_no_out_of_range"), 1);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events WHERE request_id = "
                                       "'stray ? byte'"),
                     1);
    assert_books_are_sound();
    free(s);
}

static void
test_f107_poison_that_only_the_database_sees(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 100);

    (void)state;
    s->u[17].request_id = s->u[63].request_id = SLICE("cursed");
    encode(s, 17);
    encode(s, 63);
    database_do(owner,
                "ALTER TABLE usage_events ADD CONSTRAINT no_curse CHECK (request_id <> 'cursed')");
    for (int i = 0; i < 3; i++) {
        struct ingest_result r = ingest(&s->batch);
        assert_int_equal(r.quarantined, 2);
        assert_int_equal(r.added, i ? 0 : 98);
        uuid7(s->batch.spool_id); /* the next time from a copy that nobody has heard of */
    }
    database_do(owner, "ALTER TABLE usage_events DROP CONSTRAINT no_curse");
    assert_int_equal(quarantined("refused_by_database"), 2);
    assert_int_equal(database_int(app, "SELECT min(high_sequence) FROM usage_spools"), 100);
    assert_books_are_sound();
    free(s);
}

static void
test_an_oversized_batch_is_refused(void **state)
{
    struct slice records[LIMIT_BATCH_RECORDS + 1];
    struct usage_batch batch = {.records = records, .count = LIMIT_BATCH_RECORDS + 1};
    struct ingest_result r;

    (void)state;
    for (size_t i = 0; i < batch.count; i++)
        records[i] = SLICE("x");
    assert_int_equal(ledger_ingest(app, SLICE("node"), 0, &batch, &r), ERR_LIMIT);
}

/* --- the database's own guards --------------------------------------------------------------- */

/* Two entries of one attempt on the first and the last account. */
static int
insert_entries(const char *transaction, int debit, int credit)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO ledger_entries VALUES ('01a20000-0000-7000-8000-000000000001', %s, "
                   "(SELECT min(id) FROM ledger_accounts), %d), "
                   "('01a20000-0000-7000-8000-000000000001', %s, (SELECT max(id) FROM "
                   "ledger_accounts), %d)",
                   transaction, debit, transaction, credit);
    return db_query(app, sql, NULL, 0, NULL);
}

static void
test_the_database_refuses_what_does_not_balance(void **state)
{
    static const char *const known = "(SELECT max(id) FROM ledger_transactions)";
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 3);

    (void)state;
    (void)ingest(&s->batch);
    assert_int_equal(insert_entries(known, 5, -4), ERR_RANGE);
    assert_int_equal(insert_entries(known, 5, 5), ERR_RANGE);
    assert_int_equal(insert_entries("999999", 5, -5), ERR_NOT_FOUND);
    assert_int_equal(db_query(app,
                              "INSERT INTO ledger_entries VALUES "
                              "('01a20000-0000-7000-8000-000000000001', (SELECT max(id) FROM "
                              "ledger_transactions), 999999, 0)",
                              NULL, 0, NULL),
                     ERR_RANGE);
    assert_int_equal(insert_entries(known, 5, -5), 0);
    assert_int_equal(insert_entries(known, 5, -5), ERR_EXISTS); /* one entry an account */
    free(s);
}

static void
test_f112_the_application_cannot_change_the_books(void **state)
{
    static const char *const tables[] = {"usage_events", "ledger_entries", "ledger_transactions",
                                         "ledger_accounts", "usage_quarantine"};
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 3);
    char sql[200];

    (void)state;
    (void)ingest(&s->batch);
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
        (void)snprintf(sql, sizeof(sql), "DELETE FROM %s", tables[i]);
        assert_int_equal(db_query(app, sql, NULL, 0, NULL), ERR_DENIED);
        (void)snprintf(sql, sizeof(sql), "TRUNCATE %s", tables[i]);
        assert_int_equal(db_query(app, sql, NULL, 0, NULL), ERR_DENIED);
    }
    assert_int_equal(db_query(app, "UPDATE usage_events SET cost_nanos = 0", NULL, 0, NULL),
                     ERR_DENIED);
    assert_int_equal(db_query(app, "UPDATE ledger_entries SET amount_nanos = 1", NULL, 0, NULL),
                     ERR_DENIED);
    assert_int_equal(db_query(app, "DELETE FROM usage_events_default", NULL, 0, NULL), ERR_DENIED);
    assert_int_equal(db_query(app, "DELETE FROM usage_hourly", NULL, 0, NULL), ERR_DENIED);
    /* nor its owner in passing */
    assert_int_equal(db_query(owner, "UPDATE ledger_entries SET amount_nanos = 1", NULL, 0, NULL),
                     ERR_DENIED);
    assert_int_equal(db_query(owner, "DELETE FROM usage_events", NULL, 0, NULL), ERR_DENIED);
    free(s);
}

static void
test_f112_a_day_without_partition(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 2);
    int64_t days[] = {clock_wall_ms() - INT64_C(20) * 86400000, INT64_C(4102444800000) /* 2100 */};

    (void)state;
    for (int k = 0; k < 2; k++) {
        for (int byte = 0; byte < 6; byte++)
            s->u[k].attempt_id[byte] = (unsigned char)(days[k] >> (40 - 8 * byte));
        encode(s, (size_t)k);
    }
    assert_int_equal(ingest(&s->batch).added, 2);
    /* the near one on demand, the far one in the default partition */
    assert_int_equal(database_int(owner, "SELECT count(*) FROM usage_events_default"), 1);
    assert_int_equal(database_int(app, "SELECT count(*) FROM usage_events"), 2);
    assert_books_are_sound();
    free(s);
}

static int64_t
rows_in(const char *view)
{
    char sql[100];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", view);
    return database_int(app, sql);
}

/* Whoever goes round all guards is seen: a cost changed, an entry changed, one dropped, one
 * doubled. */
static void
test_f129_edits_by_hand_are_named(void **state)
{
    static const struct {
        const char *edit, *view;
        int64_t rows;
    } edits[] = {
        {"UPDATE usage_events SET cost_nanos = cost_nanos + 1 WHERE attempt_id = (SELECT "
         "min(attempt_id::text)::uuid FROM usage_events WHERE cost_nanos > 0)",
         "usage_cost_differences", 1},
        {"UPDATE ledger_entries SET amount_nanos = amount_nanos + 1 WHERE amount_nanos = (SELECT "
         "max(amount_nanos) FROM ledger_entries)",
         "ledger_usage_differences", 1},
        {"DELETE FROM ledger_entries WHERE amount_nanos = (SELECT max(amount_nanos) FROM "
         "ledger_entries)",
         "ledger_usage_differences", 1},
        {"INSERT INTO ledger_entries SELECT attempt_id, transaction_id, 999999, amount_nanos FROM "
         "ledger_entries WHERE amount_nanos = (SELECT max(amount_nanos) FROM ledger_entries)",
         "ledger_usage_differences", 1},
        {"UPDATE ledger_entries SET amount_nanos = -5 WHERE amount_nanos = (SELECT "
         "min(amount_nanos) FROM ledger_entries)",
         "ledger_balance_differences", 1},
    };
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 20);

    (void)state;
    (void)ingest(&s->batch);
    assert_books_are_sound();
    for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
        assert_int_equal(db_begin(owner), 0);
        database_do(owner, "SET LOCAL session_replication_role = replica");
        database_do(owner, edits[i].edit);
        char sql[100];
        (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", edits[i].view);
        assert_int_equal(database_int(owner, sql), edits[i].rows);
        db_rollback(owner);
        assert_int_equal(rows_in(edits[i].view), 0);
    }
    free(s);
}

static void
test_alarms_count_what_is_to_be_looked_at(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 4);
    struct db_rows *rows = NULL;

    (void)state;
    s->u[0].cost++;
    s->u[1].attempt_id[0] = 0x0f; /* far in the future */
    encode(s, 0);
    encode(s, 1);
    s->batch.records++; /* the second is the first that comes: one is missing */
    s->batch.count = 2;
    (void)ingest(&s->batch);
    s->batch.records--;
    s->batch.count = 1;
    (void)ingest(&s->batch);
    assert_int_equal(
        db_query(app, "SELECT quarantined, missing, unforeseen FROM ledger_alarms", NULL, 0, &rows),
        0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(db_int(rows, 0, i), 1);
    db_rows_free(rows);
    free(s);
}

static void
add_bigints(struct buf *sql, const int64_t *values, int from, int to)
{
    for (int c = from; c < to; c++)
        assert_int_equal(buf_addf(sql, "%lld::bigint,", (long long)values[c]), 0);
}

static void
test_the_database_prices_as_the_worker_does(void **state)
{
    uint64_t seed = test_seed();
    struct buf sql;

    (void)state;
    buf_init(&sql, 0);
    assert_int_equal(buf_add_str(&sql, "SELECT count(*) FROM (VALUES "), 0);
    for (int i = 0; i < 1000; i++) {
        struct usage u = {0};
        assert_int_equal(buf_add_str(&sql, i ? ",(" : "("), 0);
        for (int c = 0; c < USAGE_CLASSES; c++) {
            u.tokens.of[c] = (int64_t)(test_random(&seed) >> (44 + test_below(&seed, 20)));
            u.price.of[c] = (int64_t)(test_random(&seed) >> (36 + test_below(&seed, 28)));
        }
        add_bigints(&sql, u.tokens.of, 0, CLASS_COMMON);
        add_bigints(&sql, u.price.of, 0, CLASS_COMMON);
        add_bigints(&sql, u.tokens.of, CLASS_COMMON, USAGE_CLASSES);
        add_bigints(&sql, u.price.of, CLASS_COMMON, USAGE_CLASSES);
        price(&u);
        assert_int_equal(buf_addf(&sql, "%lld)", (long long)u.cost), 0);
    }
    assert_int_equal(buf_add_str(&sql,
                                 ") v WHERE headgate_cost(column1, column2, column3, column4, "
                                 "column5, column6, column7, column8, column9, column10, "
                                 "column11, column12, headgate_rare_cost(column13, column14, "
                                 "column15, column16, column17, column18, column19, column20, "
                                 "column21, column22, column23, column24, column25, column26, "
                                 "column27, column28, column29, column30)) <> column31"),
                     0);
    assert_int_equal(database_int(app, buf_str(&sql)), 0);
    buf_free(&sql);
}

#define EMPTIED(t) cmocka_unit_test_setup(t, empty)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTIED(test_a_batch_is_booked_whole),
        EMPTIED(test_rollup_equals_detail),
        EMPTIED(test_rare_classes_are_booked_and_recomputed),
        EMPTIED(test_unused_classes_take_no_room),
        EMPTIED(test_f132_repeated_and_overlapping_batches_add_nothing),
        EMPTIED(test_skipped_sequences_are_counted),
        EMPTIED(test_f103_two_writers_in_opposite_order),
        EMPTIED(test_f103_a_deadlock_is_tried_again),
        EMPTIED(test_f108_an_unknown_outcome_is_decided_by_the_key),
        EMPTIED(test_f107_poison_does_not_hold_up_the_others),
        EMPTIED(test_f107_poison_that_only_the_database_sees),
        EMPTIED(test_an_oversized_batch_is_refused),
        EMPTIED(test_the_database_refuses_what_does_not_balance),
        EMPTIED(test_f112_the_application_cannot_change_the_books),
        EMPTIED(test_f112_a_day_without_partition),
        EMPTIED(test_f129_edits_by_hand_are_named),
        EMPTIED(test_alarms_count_what_is_to_be_looked_at),
        EMPTIED(test_the_database_prices_as_the_worker_does),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
