/* Reading the books: sums by any dimension equal the detail, pages follow each other without a gap.
 */
#include "controlplane/ledger/query.h"

#include "tests/unit/controlplane/ledger/sample.h"

static struct sample *
book_sample(size_t n)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, n);

    assert_int_equal(ingest(&s->batch).added, n);
    return s;
}

static struct db_rows *
sums(const struct usage_filter *f, const char *const *names, size_t count)
{
    struct usage_group groups[LIMIT_GROUPS];
    struct db_rows *rows = NULL;

    for (size_t i = 0; i < count; i++)
        assert_int_equal(query_group(names[i], &groups[i]), 0);
    if (query_sums(app, f, groups, count, &rows) != 0)
        fail_msg("%s", db_error(app));
    return rows;
}

static void
test_the_total_is_the_sum_of_the_attempts(void **state)
{
    struct sample *s = book_sample(200);
    struct usage_filter all = {0};
    struct db_rows *rows = sums(&all, NULL, 0);
    int64_t input = 0, output = 0, requests = 0, errors = 0;

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        input += s->u[i].tokens.input + s->u[i].tokens.cache_read;
        output += s->u[i].tokens.output;
        requests += s->u[i].attempt_no == 1;
        errors += s->u[i].error_code.len > 0;
    }
    assert_int_equal(db_count(rows), 1);
    assert_int_equal(db_int(rows, 0, SUM_INPUT), input);
    assert_int_equal(db_int(rows, 0, SUM_OUTPUT), output);
    assert_int_equal(db_int(rows, 0, SUM_REQUESTS), requests);
    assert_int_equal(db_int(rows, 0, SUM_ERRORS), errors);
    assert_int_equal(db_int(rows, 0, SUM_COST), total_cost(s, 200));
    db_rows_free(rows);
    free(s);
}

static void
test_empty_books_sum_to_zero(void **state)
{
    struct usage_filter all = {0};
    struct db_rows *rows = sums(&all, NULL, 0);

    (void)state;
    assert_int_equal(db_count(rows), 1);
    assert_int_equal(db_int(rows, 0, SUM_COST), 0);
    db_rows_free(rows);
}

/* Every dimension, from the hours and from the attempts: the same rows. */
static void
test_hours_and_attempts_agree_on_every_dimension(void **state)
{
    static const char *const names[] = {
        "team", "project", "user",  "key",     "model",    "provider", "provider_model",
        "hour", "day",     "month", "tag:env", "tag:none", "endpoint", "end_user"};
    struct sample *s = book_sample(200);

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct usage_filter hours = {0}, attempts = {.from_ms = 1};
        const char *two[] = {names[i], "team"};
        struct db_rows *a = sums(&hours, two, 2), *b = sums(&attempts, two, 2);
        int64_t cost = 0;
        assert_int_equal(db_count(a), db_count(b));
        for (size_t row = 0; row < db_count(a); row++) {
            for (size_t column = 0; column < 2 + SUM_COUNT; column++)
                assert_string_equal(db_text(a, row, column), db_text(b, row, column));
            cost += db_int(a, row, 2 + SUM_COST);
        }
        assert_int_equal(cost, total_cost(s, 200));
        db_rows_free(a);
        db_rows_free(b);
    }
    free(s);
}

static int64_t
total(const struct usage_filter *f, enum usage_sum what)
{
    struct db_rows *rows = sums(f, NULL, 0);
    int64_t sum = db_int(rows, 0, what);

    db_rows_free(rows);
    return sum;
}

/* Each filter from the hours and from the attempts. */
static void
test_more_filters(void **state)
{
    struct sample *s = book_sample(200);
    int64_t tagged = 0, all = total_cost(s, 200);
    struct usage_filter f = {.tags = "{\"env\":\"pr\\\"od\"}"};

    (void)state;
    for (size_t i = 0; i < 200; i++)
        tagged += s->u[i].tag_count ? s->u[i].cost : 0;
    assert_int_equal(total(&f, SUM_COST), tagged);
    f.from_ms = 1;
    assert_int_equal(total(&f, SUM_COST), tagged);
    f = (struct usage_filter){.endpoint = "chat.completions"};
    assert_int_equal(total(&f, SUM_COST), all);
    f.endpoint = "embeddings";
    assert_int_equal(total(&f, SUM_COST), 0);
    f = (struct usage_filter){.end_user = ""};
    assert_int_equal(total(&f, SUM_COST), all);
    f.end_user = "ada";
    assert_int_equal(total(&f, SUM_COST), 0);
    f = (struct usage_filter){.provider_model = "gpt\t4o\\n"};
    assert_int_equal(total(&f, SUM_COST), all);
    f.provider_model = "gpt";
    assert_int_equal(total(&f, SUM_COST), 0);
    free(s);
}

/* One attempt at 23:40 UTC: it is tomorrow in Berlin and in Kolkata, in Kolkata at half past. */
static void
test_time_zones(void **state)
{
    static const struct {
        const char *zone, *hour, *day;
        bool odd;
    } zones[] = {
        {NULL, "2026-06-30T23:00:00Z", "2026-06-30", false},
        {"Europe/Berlin", "2026-07-01T01:00:00", "2026-07-01", false},
        {"Asia/Kolkata", "2026-07-01T05:00:00", "2026-07-01", true},
        {"Australia/Lord_Howe", "2026-07-01T10:00:00", "2026-07-01", true},
    };
    static const char *const names[] = {"hour", "day", "month"};
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 1);
    int64_t ms = INT64_C(1782862800000); /* 2026-06-30T23:40:00Z */

    (void)state;
    for (int byte = 0; byte < 6; byte++)
        s->u[0].attempt_id[byte] = (unsigned char)(ms >> (40 - 8 * byte));
    encode(s, 0);
    assert_int_equal(ingest(&s->batch).added, 1);
    for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++) {
        struct usage_filter f = {.zone = zones[i].zone};
        if (f.zone)
            assert_int_equal(query_zone(app, f.zone, &f.zone_is_odd), 0);
        assert_int_equal(f.zone_is_odd, zones[i].odd);
        struct db_rows *rows = sums(&f, names, 3);
        assert_string_equal(db_text(rows, 0, 0), zones[i].hour);
        assert_string_equal(db_text(rows, 0, 1), zones[i].day);
        assert_int_equal(strncmp(db_text(rows, 0, 2), zones[i].day, 7), 0);
        db_rows_free(rows);
    }
    bool odd;
    assert_int_equal(query_zone(app, "Mars/Olympus", &odd), ERR_NOT_FOUND);
    free(s);
}

static void
charge(const char *kind, const char *name, const char *body)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO config_items (kind, name, body, id, revision) VALUES ('%s', '%s', "
                   "'%s', gen_random_uuid(), 1)",
                   kind, name, body);
    if (db_script(owner, sql))
        fail_msg("%s", db_error(owner));
}

/* Exact until it is rounded once: halves up. A project goes before its team. */
static void
test_what_is_billed(void **state)
{
    struct sample *s = book_sample(200);
    int64_t ppm = 0;

    (void)state;
    assert_int_equal(total(&(struct usage_filter){0}, SUM_BILLED), total_cost(s, 200));
    charge("teams", "research", "{\"margin_percent\": \"12.3456\"}");
    charge("teams", "ops", "{\"discount_percent\": \"100\"}");
    charge("projects", "p1", "{\"margin_percent\": \"0\"}");
    __int128 want = 0;
    for (size_t i = 0; i < 200; i++) {
        ppm = s->u[i].project.len                  ? 0
              : slice_is(s->u[i].team, "research") ? 123456
              : slice_is(s->u[i].team, "ops")      ? -1000000
                                                   : 0;
        want += (__int128)s->u[i].cost * (1000000 + ppm);
    }
    int64_t rounded = (int64_t)((want + 500000) / 1000000);
    assert_int_equal(total(&(struct usage_filter){0}, SUM_BILLED), rounded);
    assert_int_equal(total(&(struct usage_filter){.from_ms = 1}, SUM_BILLED), rounded);
    assert_int_equal(total(&(struct usage_filter){0}, SUM_COST), total_cost(s, 200));
    assert_int_equal(
        db_script(owner, "DELETE FROM config_items WHERE kind IN ('teams', 'projects')"), 0);
    free(s);
}

static void
test_filters_narrow(void **state)
{
    struct sample *s = book_sample(200);
    int64_t want = 0, hour = clock_wall_ms() / 3600000 * 3600000;
    struct usage_filter f = {.team = "ops", .project = "p1", .key = "ci", .model = "smart"};
    struct db_rows *rows = sums(&f, NULL, 0);

    (void)state;
    for (size_t i = 0; i < 200; i++)
        if (slice_is(s->u[i].team, "ops") && s->u[i].project.len &&
            slice_is(s->u[i].model, "smart"))
            want += s->u[i].cost;
    assert_int_equal(db_int(rows, 0, SUM_COST), want);
    db_rows_free(rows);
    f = (struct usage_filter){.to_ms = hour - 3600000};
    rows = sums(&f, NULL, 0);
    assert_int_equal(db_int(rows, 0, SUM_COST), 0);
    db_rows_free(rows);
    f = (struct usage_filter){.from_ms = clock_wall_ms() + 10000};
    rows = sums(&f, NULL, 0);
    assert_int_equal(db_int(rows, 0, SUM_COST), 0);
    db_rows_free(rows);
    f = (struct usage_filter){.team = "x' OR 'a' = 'a"};
    rows = sums(&f, NULL, 0);
    assert_int_equal(db_int(rows, 0, SUM_COST), 0);
    db_rows_free(rows);
    free(s);
}

/* A range that begins or ends inside an hour is answered from the attempts, to the millisecond. */
static void
test_a_range_inside_an_hour(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 100);
    int64_t hour = (clock_wall_ms() / 3600000 - 1) * 3600000;
    struct usage_filter f = {.from_ms = hour + 30000, .to_ms = hour + 60001};
    struct db_rows *rows;
    int64_t want = 0;

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        int64_t ms = hour + (int64_t)i * 1000;
        for (int byte = 0; byte < 6; byte++)
            s->u[i].attempt_id[byte] = (unsigned char)(ms >> (40 - 8 * byte));
        encode(s, i);
        if (i >= 30 && i <= 60)
            want += s->u[i].cost;
    }
    (void)ingest(&s->batch);
    rows = sums(&f, NULL, 0);
    assert_int_equal(db_int(rows, 0, SUM_COST), want);
    db_rows_free(rows);
    free(s);
}

static void
test_an_unknown_group_is_refused(void **state)
{
    struct usage_group g;

    (void)state;
    assert_int_equal(query_group("teams", &g), ERR_NOT_FOUND);
    assert_int_equal(query_group("tag:", &g), ERR_NOT_FOUND);
    assert_int_equal(query_group("tag", &g), ERR_NOT_FOUND);
    assert_int_equal(query_group("team; DROP TABLE usage_events", &g), ERR_NOT_FOUND);
}

static void
test_pages_of_attempts_follow_each_other(void **state)
{
    struct sample *s = book_sample(95);
    struct usage_filter all = {0};
    char after[40] = "", last[40] = "";
    size_t seen = 0;

    (void)state;
    for (;;) {
        struct db_rows *rows = NULL;
        assert_int_equal(query_events(app, &all, after, 10, &rows), 0);
        size_t n = db_count(rows);
        for (size_t i = 0; i < n; i++) {
            const char *id = db_text(rows, i, EVENT_ATTEMPT_ID);
            assert_true(!last[0] || strcmp(id, last) < 0);
            (void)snprintf(last, sizeof(last), "%s", id);
        }
        seen += n;
        (void)snprintf(after, sizeof(after), "%s", last);
        db_rows_free(rows);
        if (n < 10)
            break;
    }
    assert_int_equal(seen, 95);
    free(s);
}

static void
test_one_attempt_is_shown_whole(void **state)
{
    uint64_t seed = test_seed();
    struct sample *s = make_sample(&seed, 3);
    struct usage_filter f = {.request_id = "the one"};
    struct db_rows *rows = NULL;
    struct usage *u = &s->u[1];
    char id[37];

    (void)state;
    u->request_id = SLICE("the one");
    for (int c = 0; c < USAGE_CLASSES; c++)
        u->tokens.of[c] = 10 * (c + 1);
    u->tier = TIER_FLEX;
    u->outcome = USAGE_LOST;
    u->incomplete = u->estimated = true;
    price(u);
    encode(s, 1);
    (void)ingest(&s->batch);
    assert_int_equal(query_events(app, &f, NULL, 10, &rows), 0);
    assert_int_equal(db_count(rows), 1);
    uuid_format(u->attempt_id, id);
    assert_string_equal(db_text(rows, 0, EVENT_ATTEMPT_ID), id);
    assert_int_equal(db_int(rows, 0, EVENT_INPUT), 10 + 20 + 30 + 40 + 70 + 90);
    assert_int_equal(db_int(rows, 0, EVENT_CACHED_INPUT), 20);
    assert_int_equal(db_int(rows, 0, EVENT_CACHE_WRITE), 70);
    assert_int_equal(db_int(rows, 0, EVENT_OUTPUT), 50 + 60 + 80 + 100);
    assert_int_equal(db_int(rows, 0, EVENT_REASONING), 60);
    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        assert_int_equal(db_int(rows, 0, EVENT_AUDIO_INPUT + (size_t)(c - CLASS_COMMON)),
                         10 * (c + 1));
    assert_string_equal(db_text(rows, 0, EVENT_SERVICE_TIER), "flex");
    assert_int_equal(db_int(rows, 0, EVENT_COST), u->cost);
    assert_string_equal(db_text(rows, 0, EVENT_OUTCOME), "lost");
    assert_true(db_bool(rows, 0, EVENT_INCOMPLETE));
    db_rows_free(rows);
    free(s);
}

static void
test_accounts_sum_to_zero(void **state)
{
    struct sample *s = book_sample(100);
    struct db_rows *rows = NULL;
    int64_t debit = 0, credit = 0;

    (void)state;
    assert_int_equal(query_accounts(app, &(struct usage_filter){0}, "", 1000, &rows), 0);
    for (size_t i = 0; i < db_count(rows); i++) {
        debit += db_int(rows, i, 6);
        credit += db_int(rows, i, 7);
    }
    assert_int_equal(debit, total_cost(s, 100));
    assert_int_equal(credit, debit);
    db_rows_free(rows);
    assert_int_equal(query_accounts(app, &(struct usage_filter){0}, "provider:openai", 1, &rows),
                     0);
    assert_int_equal(strncmp(db_text(rows, 0, 0), "team:", 5), 0);
    db_rows_free(rows);
    free(s);
}

#define EMPTIED(t) cmocka_unit_test_setup(t, empty)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTIED(test_the_total_is_the_sum_of_the_attempts),
        EMPTIED(test_empty_books_sum_to_zero),
        EMPTIED(test_more_filters),
        EMPTIED(test_time_zones),
        EMPTIED(test_what_is_billed),
        EMPTIED(test_hours_and_attempts_agree_on_every_dimension),
        EMPTIED(test_filters_narrow),
        EMPTIED(test_a_range_inside_an_hour),
        cmocka_unit_test(test_an_unknown_group_is_refused),
        EMPTIED(test_pages_of_attempts_follow_each_other),
        EMPTIED(test_one_attempt_is_shown_whole),
        EMPTIED(test_accounts_sum_to_zero),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
