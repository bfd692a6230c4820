/* GET /api/v1/workers and /snapshots over the admin API. */
#include "tests/unit/check.h"

#include "tests/unit/controlplane/admin.h"

#include "controlplane/publish/publisher.h"

static void
hear(const char *node, uint32_t slot, const char *error)
{
    struct bus_worker from = {.node = slice_of(node),
                              .host = SLICE("h1"),
                              .build = SLICE("0.1.0"),
                              .slot = slot,
                              .pid = 7};
    struct bus_applied said = {1, 9, slice_of(error), SLICE("why"), 1, 8};

    assert_int_equal(acks_applied(plane.publisher->acks, &from, &said, clock_wall_ms()), 0);
}

/* The member of the first row, as text. */
static struct json *
page(const char *path, struct json **ret_data)
{
    struct json *doc = NULL;

    expect(200, "GET", path, NULL);
    assert_int_equal(json_parse(slice_of(got_text), &doc, NULL, 0), 0);
    *ret_data = json_get(doc, "data");
    return doc;
}

static int64_t
number(struct json *map, const char *name)
{
    int64_t n = -1;

    assert_int_equal(json_to_int(json_get(map, name), &n), 0);
    return n;
}

static void
test_workers_in_pages(void **state)
{
    struct json *doc, *data, *row;
    char path[256];

    (void)state;
    hear("b", 0, "");
    hear("a", 10, "torn");
    hear("a", 2, "");
    doc = page("/api/v1/workers", &data);
    assert_int_equal(json_size(data), 3);
    row = json_at(data, 0); /* by node and slot, as numbers */
    assert_slice_is(json_str(json_get(row, "node")), "a");
    assert_int_equal(number(row, "slot"), 2);
    assert_int_equal(number(row, "held_version"), 8);
    assert_true(json_is_true(json_get(row, "alive")));
    assert_int_equal(json_kind(json_get(row, "refused")), JSON_NULL_);
    row = json_get(json_at(data, 1), "refused");
    assert_slice_is(json_str(json_get(row, "error")), "torn");
    assert_slice_is(json_str(json_get(row, "detail")), "why");
    assert_int_equal(number(row, "version"), 9);
    json_free(doc);
    doc = page("/api/v1/workers?limit=2", &data);
    assert_int_equal(json_size(data), 2);
    snprintf(path, sizeof(path), "/api/v1/workers?limit=2&cursor=%.*s",
             SLICE_ARG(json_str(json_get(doc, "next"))));
    json_free(doc);
    doc = page(path, &data);
    assert_int_equal(json_size(data), 1);
    assert_slice_is(json_str(json_get(json_at(data, 0), "node")), "b");
    assert_int_equal(json_kind(json_get(doc, "next")), JSON_NULL_);
    json_free(doc);
}

/* A worker that only another control plane has heard is shown from the table. */
static void
test_workers_of_other_control_planes(void **state)
{
    struct json *doc, *data, *row;

    (void)state;
    pg_sql("admin", "INSERT INTO workers (node, slot, pid, host, build, started_at, seen_at, "
                    "held_epoch, held_version) VALUES ('c', 1, 9, 'h2', '0.1.0', now(), "
                    "now() - interval '1 minute', 3, 4)");
    doc = page("/api/v1/workers", &data);
    row = json_at(data, json_size(data) - 1);
    assert_slice_is(json_str(json_get(row, "node")), "c");
    assert_int_equal(number(row, "held_epoch"), 3);
    assert_false(json_is_true(json_get(row, "alive")));
    json_free(doc);
}

static void
test_snapshots_in_pages(void **state)
{
    struct json *doc, *data;
    int64_t newest;
    char path[256];

    (void)state;
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"fleet\"}");
    for (int i = 0; i < 400; i++) {
        struct publisher_status s;
        struct timespec t = {.tv_nsec = 25000000};

        publisher_status(plane.publisher, &s);
        if (s.version >= 2)
            break;
        nanosleep(&t, NULL);
    }
    doc = page("/api/v1/snapshots?limit=1", &data);
    assert_int_equal(json_size(data), 1);
    newest = number(json_at(data, 0), "version");
    assert_int_equal(json_str(json_get(json_at(data, 0), "root_sha256")).len, 64);
    assert_true(number(json_at(data, 0), "sections") >= 5);
    snprintf(path, sizeof(path), "/api/v1/snapshots?limit=1&cursor=%.*s",
             SLICE_ARG(json_str(json_get(doc, "next"))));
    json_free(doc);
    doc = page(path, &data);
    assert_int_equal(number(json_at(data, 0), "version"), newest - 1);
    json_free(doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_in_pages),
        cmocka_unit_test(test_workers_of_other_control_planes),
        cmocka_unit_test(test_snapshots_in_pages),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
