#include "tests/unit/check.h"

#include "lib/control/bus.h"

static const struct bus_worker worker = {SLICE("n1"), SLICE("host"), SLICE("0.1.0"),
                                         3,           4242,          1700000000000};

static void
round_trip(const struct bus_request *q, struct arena *a, struct bus_request *ret)
{
    struct buf bytes;

    buf_init(&bytes, 0);
    assert_int_equal(bus_request_encode(q, &bytes), 0);
    assert_int_equal(bus_request_decode(buf_slice(&bytes), a, ret), 0);
    buf_free(&bytes);
    assert_int_equal(ret->kind, q->kind);
    assert_slice_is(ret->from.node, "n1");
    assert_slice_is(ret->from.host, "host");
    assert_slice_is(ret->from.build, "0.1.0");
    assert_int_equal(ret->from.slot, 3);
    assert_int_equal(ret->from.pid, 4242);
    assert_true(ret->from.started_ms == 1700000000000);
}

static void
test_requests_survive(void **state)
{
    struct slice records[] = {SLICE("one"), SLICE(""), SLICE("three")};
    struct bus_request q = {.from = worker}, r;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    q.kind = BUS_GET_ROOT;
    q.last_good = true;
    round_trip(&q, &a, &r);
    assert_true(r.last_good);
    q.last_good = false; /* an empty body is still that body */
    round_trip(&q, &a, &r);
    assert_false(r.last_good);
    q.kind = BUS_GET_SECTION;
    memset(q.sha256, 7, sizeof(q.sha256));
    round_trip(&q, &a, &r);
    assert_memory_equal(r.sha256, q.sha256, SHA256_BYTES);
    q.kind = BUS_APPLIED;
    q.applied = (struct bus_applied){1, 2, SLICE("torn"), SLICE("why"), 3, UINT64_MAX};
    round_trip(&q, &a, &r);
    assert_slice_is(r.applied.error, "torn");
    assert_slice_is(r.applied.detail, "why");
    assert_true(r.applied.epoch == 1 && r.applied.version == 2);
    assert_true(r.applied.held_epoch == 3 && r.applied.held_version == UINT64_MAX);
    q.kind = BUS_HEARTBEAT;
    const struct slice ids[] = {SLICE("\1\2\3\4"), SLICE("\5\6\7\10")};
    q.heartbeat = (struct bus_heartbeat){1, 2, 3, 4, 5, 6, true, ids, 2};
    round_trip(&q, &a, &r);
    assert_true(r.heartbeat.held_epoch == 1 && r.heartbeat.held_version == 2);
    assert_true(r.heartbeat.spool_records == 3 && r.heartbeat.spool_bytes == 4);
    assert_true(r.heartbeat.requests == 5 && r.heartbeat.open_streams == 6);
    assert_true(r.heartbeat.draining);
    assert_int_equal(r.heartbeat.seal_key_count, 2);
    assert_slice_is(r.heartbeat.seal_keys[1], "\5\6\7\10");
    q.kind = BUS_USAGE;
    q.usage = (struct usage_batch){{9}, 77, records, 3};
    round_trip(&q, &a, &r);
    assert_int_equal(r.usage.spool_id[0], 9);
    assert_int_equal(r.usage.last_sequence, 77);
    assert_int_equal(r.usage.count, 3);
    assert_slice_is(r.usage.records[0], "one");
    assert_slice_is(r.usage.records[1], "");
    assert_slice_is(r.usage.records[2], "three");
    arena_free(&a);
}

static void
test_a_claim_survives(void **state)
{
    struct bus_claim claim = {SLICE("l"), SLICE("s"), 1, 2, 3, 4, 5, 6, true};
    struct bus_request r,
        q = {.from = worker,
             .kind = BUS_LEASE,
             .lease = {.sequence = 7, .epoch = 8, .greeting = true, .claims = &claim, .count = 1}};
    struct buf bytes;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    round_trip(&q, &a, &r);
    assert_true(r.lease.sequence == 7 && r.lease.epoch == 8 && r.lease.greeting);
    assert_int_equal(r.lease.count, 1);
    const struct bus_claim *c = &r.lease.claims[0];
    assert_slice_is(c->limit, "l");
    assert_slice_is(c->subject, "s");
    assert_true(c->slice == 1 && c->has == 2 && c->used == 3 && c->wants == 4);
    assert_true(c->need == 5 && c->waiting == 6 && c->dark);
    int64_t *signs[] = {&claim.has, &claim.used, &claim.wants, &claim.need, &claim.waiting};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        *signs[i] = -1;
        buf_init(&bytes, 0);
        assert_int_equal(bus_request_encode(&q, &bytes), 0);
        assert_int_equal(bus_request_decode(buf_slice(&bytes), &a, &r), ERR_SYNTAX);
        buf_free(&bytes);
        *signs[i] = 1;
    }
    arena_free(&a);
}

static void
test_malformed_requests_are_refused(void **state)
{
    struct bus_request q = {.from = worker, .kind = BUS_GET_SECTION}, r;
    struct buf bytes;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    buf_init(&bytes, 0);
    assert_int_equal(bus_request_encode(&q, &bytes), 0);
    for (size_t i = 0; i < bytes.len; i++) { /* cut anywhere: refused, or another, known request */
        int err = bus_request_decode(slice_make(bytes.at, i), &a, &r);

        assert_true(err == ERR_SYNTAX || r.kind == BUS_NOTHING);
    }
    assert_int_equal(bus_request_decode(SLICE("\xff\xff"), &a, &r), ERR_SYNTAX);
    assert_int_equal(bus_request_decode(SLICE(""), &a, &r), ERR_SYNTAX); /* from nobody */
    q.kind = BUS_NOTHING;
    buf_clear(&bytes);
    assert_int_equal(bus_request_encode(&q, &bytes), 0);
    assert_int_equal(bus_request_decode(buf_slice(&bytes), &a, &r), 0);
    assert_int_equal(r.kind, BUS_NOTHING);
    buf_free(&bytes);
    arena_free(&a);
}

static void
test_batch_over_its_bound_is_refused(void **state)
{
    struct slice *records = calloc(LIMIT_BATCH_RECORDS + 1, sizeof(*records));
    struct bus_request q = {.from = worker, .kind = BUS_USAGE}, r;
    struct buf bytes;
    struct arena a;

    (void)state;
    for (size_t i = 0; i <= LIMIT_BATCH_RECORDS; i++)
        records[i] = SLICE("x");
    q.usage.records = records;
    q.usage.count = LIMIT_BATCH_RECORDS + 1;
    arena_init(&a, 0);
    buf_init(&bytes, 0);
    assert_int_equal(bus_request_encode(&q, &bytes), 0);
    assert_int_equal(bus_request_decode(buf_slice(&bytes), &a, &r), ERR_LIMIT);
    buf_free(&bytes);
    arena_free(&a);
    free(records);
}

static void
test_replies_survive(void **state)
{
    struct bus_reply q = {.status = BUS_OK, .section = SLICE("bytes")}, r;
    struct buf bytes;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    buf_init(&bytes, 0);
    assert_int_equal(bus_reply_encode(&q, &bytes), 0);
    assert_int_equal(bus_reply_decode(buf_slice(&bytes), &a, &r), 0);
    assert_int_equal(r.status, BUS_OK);
    assert_slice_is(r.section, "bytes");
    assert_true(r.section.at > bytes.at && r.section.at < bytes.at + bytes.len); /* not copied */
    assert_null(r.envelope.at);
    buf_clear(&bytes);
    q = (struct bus_reply){.status = BUS_OK, .section = SLICE("")}; /* an empty section is one */
    assert_int_equal(bus_reply_encode(&q, &bytes), 0);
    assert_int_equal(bus_reply_decode(buf_slice(&bytes), &a, &r), 0);
    assert_non_null(r.section.at);
    assert_int_equal(r.section.len, 0);
    buf_clear(&bytes);
    q = (struct bus_reply){
        .status = BUS_UNAVAILABLE, .message = SLICE("later"), .envelope = SLICE("env")};
    assert_int_equal(bus_reply_encode(&q, &bytes), 0);
    assert_int_equal(bus_reply_decode(buf_slice(&bytes), &a, &r), 0);
    assert_int_equal(r.status, BUS_UNAVAILABLE);
    assert_slice_is(r.message, "later");
    assert_slice_is(r.envelope, "env");
    buf_clear(&bytes);
    q = (struct bus_reply){.status = BUS_OK, .acked = true, .spool_id = {5}, .sequence = 9};
    assert_int_equal(bus_reply_encode(&q, &bytes), 0);
    assert_int_equal(bus_reply_decode(buf_slice(&bytes), &a, &r), 0);
    assert_true(r.acked);
    assert_int_equal(r.spool_id[0], 5);
    assert_int_equal(r.sequence, 9);
    assert_int_equal(bus_reply_decode(SLICE("\x22\x05xy"), &a, &r), ERR_SYNTAX);
    buf_free(&bytes);
    arena_free(&a);
}

static void
test_announcement_survives(void **state)
{
    struct bus_announcement a = {SLICE("c"), 3, 4, {1, 2, 3}}, b;
    struct arena arena;
    struct buf bytes;

    (void)state;
    arena_init(&arena, 4096);
    buf_init(&bytes, 0);
    assert_int_equal(bus_announcement_encode(&a, &bytes), 0);
    assert_int_equal(bus_announcement_decode(buf_slice(&bytes), &arena, &b), 0);
    assert_slice_is(b.cluster_id, "c");
    assert_true(b.epoch == 3 && b.version == 4);
    assert_memory_equal(b.root_sha256, a.root_sha256, SHA256_BYTES);
    assert_int_equal(bus_announcement_decode(SLICE(""), &arena, &b), ERR_SYNTAX);
    assert_int_equal(bus_announcement_decode(SLICE("garbage"), &arena, &b), ERR_SYNTAX);
    buf_free(&bytes);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_survive),
        cmocka_unit_test(test_a_claim_survives),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_batch_over_its_bound_is_refused),
        cmocka_unit_test(test_replies_survive),
        cmocka_unit_test(test_announcement_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
