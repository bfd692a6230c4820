/* The way from the spool to a control plane that drops, refuses, lies and comes back: each record
 * arrives. */
#include "dataplane/state/upload.h"

#include <pthread.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/net/loop.h"
#include "tests/unit/check.h"

#define RECORDS 500

static char root[] = "/tmp/headgate-upload-XXXXXX";
static char pub_url[100], req_url[100];

/* --- a control plane ----------------------------------------------------------------------------
 */

enum behaviour { COMMIT, LOSE_ACK, AWAY, REFUSE, GARBAGE, OTHER_SPOOL, HALF };

struct plane {
    pthread_mutex_t lock;
    struct channel_host *host;
    const enum behaviour *script; /* for the first calls; then COMMIT */
    size_t script_len, calls;
    unsigned char ids[4 * RECORDS][ATTEMPT_ID_BYTES]; /* each committed record, once */
    size_t committed, repeated;
};

static void
commit(struct plane *p, const struct slice *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena a;
        struct usage u;
        size_t at = 0;
        arena_init(&a, 0);
        assert_int_equal(usage_decode(records[i], &a, &u), 0);
        while (at < p->committed && memcmp(p->ids[at], u.attempt_id, ATTEMPT_ID_BYTES) != 0)
            at++;
        if (at < p->committed)
            p->repeated++;
        else
            memcpy(p->ids[p->committed++], u.attempt_id, ATTEMPT_ID_BYTES);
        arena_free(&a);
    }
}

static uint64_t
sequence_of(struct slice record)
{
    struct arena a;
    struct usage u;

    arena_init(&a, 0);
    assert_int_equal(usage_decode(record, &a, &u), 0);
    arena_free(&a);
    return u.sequence;
}

static void
answer(struct plane *p, const struct usage_batch *batch, struct buf *reply)
{
    enum behaviour b = p->calls < p->script_len ? p->script[p->calls] : COMMIT;
    struct bus_reply r = {.status = BUS_OK, .acked = true, .sequence = batch->last_sequence};
    size_t half = (batch->count + 1) / 2;

    p->calls++;
    memcpy(r.spool_id, batch->spool_id, SPOOL_ID_BYTES);
    if (b == GARBAGE) {
        assert_int_equal(buf_add_str(reply, "\xff\xff\xff"), 0);
        return;
    }
    if (b == AWAY || b == REFUSE)
        r = (struct bus_reply){.status = b == AWAY ? BUS_UNAVAILABLE : BUS_REFUSED};
    if (b == COMMIT || b == LOSE_ACK)
        commit(p, batch->records, batch->count);
    if (b == HALF) {
        commit(p, batch->records, half);
        r.sequence = sequence_of(batch->records[half - 1]);
    }
    if (b == LOSE_ACK)
        r = (struct bus_reply){.status = BUS_UNAVAILABLE};
    if (b == OTHER_SPOOL)
        r.spool_id[0] ^= 1;
    assert_int_equal(bus_reply_encode(&r, reply), 0);
}

static void
on_request(void *ctx, size_t thread, struct slice request, struct buf *reply)
{
    struct plane *p = ctx;
    struct bus_request r;
    struct arena a;

    (void)thread;
    arena_init(&a, 0);
    assert_int_equal(bus_request_decode(request, &a, &r), 0);
    assert_int_equal(r.kind, BUS_USAGE);
    pthread_mutex_lock(&p->lock);
    answer(p, &r.usage, reply);
    pthread_mutex_unlock(&p->lock);
    arena_free(&a);
}

static void
open_host(struct plane *p)
{
    const char *why = NULL;

    if (channel_host_open(pub_url, req_url, NULL, 2, on_request, p, &p->host, &why) != 0)
        fail_msg("channel_host_open: %s", why ? why : "");
}

/* --- a worker --------------------------------------------------------------------------------- */

struct worker {
    struct loop *loop;
    struct channel *channel;
    struct spool *spool;
    struct upload *upload;
    struct timer timer;
    int64_t deadline_ms;
    bool (*done)(struct worker *w);
    struct plane *plane;
};

static const struct bus_worker self = {
    .node = SLICE("node"), .host = SLICE("host"), .build = SLICE("1")};
static const struct spool_limits small = {.bytes = 4 << 20, .segment_bytes = 64 << 10};

static void
on_announce(void *ctx, struct slice message)
{
    (void)ctx;
    (void)message;
}

static void
worker_open(struct worker *w, struct plane *p, size_t batch_records)
{
    struct upload_options o = {.interval_ms = 10,
                               .batch_records = batch_records,
                               .timeout_ms = 500,
                               .spool_dir = root,
                               .first_orphan = 1,
                               .from = &self};
    const char *why = NULL;

    memset(w, 0, sizeof(*w));
    w->plane = p;
    assert_non_null(o.loop = w->loop = loop_new());
    o.channel = w->channel = channel_open(w->loop, pub_url, req_url, NULL, on_announce, NULL, &why);
    assert_non_null(w->channel);
    assert_int_equal(spool_open(root, 0, &small, &w->spool), 0);
    o.spool = w->spool;
    assert_non_null(w->upload = upload_new(&o));
}

static void
worker_close(struct worker *w)
{
    upload_free(w->upload);
    spool_close(w->spool);
    channel_close(w->channel);
    loop_free(w->loop);
}

static void
on_look(void *ctx)
{
    struct worker *w = ctx;

    if (w->done(w) || clock_mono_ms() > w->deadline_ms)
        loop_stop(w->loop);
    else
        timer_set(&w->timer, w->loop, 10, on_look, w);
}

/* Runs the loop until it is so; fails after 30 s. */
static void
run_until(struct worker *w, bool (*done)(struct worker *))
{
    w->done = done;
    w->deadline_ms = clock_mono_ms() + 30000;
    timer_set(&w->timer, w->loop, 0, on_look, w);
    loop_run(w->loop);
    assert_true(done(w));
}

static bool
is_idle(struct worker *w)
{
    return upload_is_idle(w->upload);
}

static bool
has_tried(struct worker *w)
{
    return upload_counts(w->upload).failures > 0;
}

static void
settle(struct spool *s, size_t n)
{
    while (n--) {
        struct usage u = {
            .attempt_no = 1, .key = SLICE("k"), .team = SLICE("t"), .outcome = USAGE_DONE};
        struct spool_hold hold = {0};
        uuid7(u.attempt_id);
        assert_int_equal(spool_reserve(s, &u, &hold), 0);
        assert_true(spool_settle(s, &hold, &u));
    }
}

static int
make_root(void **state)
{
    (void)state;
    log_init("test", LOG_ERROR + 1, 2);
    memcpy(root + sizeof(root) - 7, "XXXXXX", 6);
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(pub_url, sizeof(pub_url), "ipc://%s/pub", root);
    (void)snprintf(req_url, sizeof(req_url), "ipc://%s/req", root);
    return 0;
}

static int
drop_root(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command) == 0 ? 0 : -1;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void
test_everything_arrives_once(void **state)
{
    static struct plane p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;

    (void)state;
    open_host(&p);
    worker_open(&w, &p, 64);
    settle(w.spool, RECORDS);
    run_until(&w, is_idle);
    assert_int_equal(p.committed, RECORDS);
    assert_int_equal(p.repeated, 0);
    assert_int_equal(upload_counts(w.upload).records, RECORDS);
    worker_close(&w);
    channel_host_close(p.host);
}

static void
test_f096_bad_answers_only_repeat(void **state)
{
    static const enum behaviour script[] = {AWAY, LOSE_ACK, GARBAGE, OTHER_SPOOL, HALF,
                                            AWAY, COMMIT,   HALF,    LOSE_ACK};
    static struct plane p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;

    (void)state;
    p.script = script;
    p.script_len = sizeof(script) / sizeof(*script);
    open_host(&p);
    worker_open(&w, &p, 64);
    settle(w.spool, RECORDS);
    run_until(&w, is_idle);
    assert_int_equal(p.committed, RECORDS);
    assert_true(p.repeated > 0);
    assert_true(upload_counts(w.upload).failures >= 4);
    worker_close(&w);
    channel_host_close(p.host);
}

static void
test_a_control_plane_that_comes_back(void **state)
{
    static struct plane p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;
    struct spool_depth d;

    (void)state;
    worker_open(&w, &p, 64);
    settle(w.spool, RECORDS);
    run_until(&w, has_tried);
    spool_depth(w.spool, &d);
    assert_int_equal(d.records, RECORDS);
    open_host(&p);
    run_until(&w, is_idle);
    channel_host_close(p.host); /* and again */
    settle(w.spool, RECORDS);
    open_host(&p);
    run_until(&w, is_idle);
    assert_int_equal(p.committed, 2 * RECORDS);
    worker_close(&w);
    channel_host_close(p.host);
}

/* The worker ends with a batch in flight: its successor sends it again. */
static void
test_a_worker_that_ends_in_the_middle(void **state)
{
    static const enum behaviour script[] = {LOSE_ACK};
    static struct plane p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;

    (void)state;
    p.script = script;
    p.script_len = 1;
    open_host(&p);
    worker_open(&w, &p, 64);
    settle(w.spool, RECORDS);
    run_until(&w, has_tried);
    worker_close(&w);
    worker_open(&w, &p, 64);
    run_until(&w, is_idle);
    assert_int_equal(p.committed, RECORDS);
    worker_close(&w);
    channel_host_close(p.host);
}

static bool
has_drained_orphans(struct worker *w)
{
    unsigned slot;

    return upload_is_idle(w->upload) && spool_orphans(root, 1, &slot, 1) == 0;
}

static void
test_slots_without_a_worker_are_drained(void **state)
{
    static struct plane p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker w;

    (void)state;
    for (unsigned slot = 1; slot < 4; slot++) {
        struct spool *s = NULL;
        assert_int_equal(spool_open(root, slot, &small, &s), 0);
        settle(s, 100);
        spool_close(s);
    }
    open_host(&p);
    worker_open(&w, &p, 64);
    settle(w.spool, 100);
    run_until(&w, has_drained_orphans);
    assert_int_equal(p.committed, 400);
    worker_close(&w);
    channel_host_close(p.host);
}

#define ROOTED(t) cmocka_unit_test_setup_teardown(t, make_root, drop_root)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ROOTED(test_everything_arrives_once),
        ROOTED(test_f096_bad_answers_only_repeat),
        ROOTED(test_a_control_plane_that_comes_back),
        ROOTED(test_a_worker_that_ends_in_the_middle),
        ROOTED(test_slots_without_a_worker_are_drained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
