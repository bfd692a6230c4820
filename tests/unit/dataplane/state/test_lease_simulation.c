/*
 * Both sides of the leases of rates, with a clock of the test's own: the workers' counters
 * (dataplane/state/quota.c) and the leader's books (controlplane/leases/fleet.c). Messages are
 * lost, late and doubled, workers are killed, cut off and come back, leaders die and are followed.
 *
 * What must hold at every admission: in any window that ends now, all workers together have
 * admitted no more than the limit. And where nothing is broken, it can be used.
 */
#include "tests/unit/check.h"

#include "controlplane/leases/fleet.h"
#include "dataplane/state/quota.h"

#include <time.h>

#define LIFE_MS 15000
#define WORKERS 6
#define MESSAGES 64
#define LOG 65536

struct dice {
    uint64_t state;
};

static uint64_t
roll(struct dice *d, uint64_t below)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (d->state >> 33) % below;
}

struct message {
    int64_t due_ms; /* 0: free */
    bool is_reply;
    size_t worker;
    int64_t started_ms;
    uint64_t sequence, epoch;
    uint32_t fleet;
    bool leaving;
    struct bus_claim claim;
    struct bus_grant grant;
    size_t count; /* claims or grants: 0 or 1 */
};

struct worker {
    struct quota *quota; /* NULL: it is dead */
    int64_t started_ms, back_ms, cut_ms, sent_ms;
    uint64_t sequence, epoch;
    uint32_t fleet;
    bool outstanding, waiting;
    unsigned weight; /* of the demand */
    int64_t in_flight, parts_count;
    struct quota_part parts[512];
};

struct world {
    struct dice dice;
    int64_t now;
    struct policy_limit limit;
    struct quota_claim want;
    bool calm; /* nothing breaks */
    struct worker workers[WORKERS];
    struct message net[MESSAGES];
    struct fleet *fleet; /* NULL: nobody leads */
    uint64_t epoch;
    int64_t leader_back_ms;
    struct { /* what the leaders wrote down */
        size_t worker;
        int64_t started_ms;
    } holders[256];
    size_t holder_count;
    int64_t admitted[LOG]; /* times */
    size_t first, last;
    uint64_t total, refused, overlooked;
    int64_t most;
};

/* --- the network ------------------------------------------------------------------------------ */

static void
put(struct world *w, const struct message *m)
{
    for (size_t i = 0; i < MESSAGES; i++)
        if (!w->net[i].due_ms) {
            w->net[i] = *m;
            w->net[i].due_ms = w->now + 1 + (int64_t)roll(&w->dice, w->calm ? 5 : 40);
            if (!w->calm && roll(&w->dice, 20) == 0)
                w->net[i].due_ms += (int64_t)roll(&w->dice, 8000);
            return;
        }
}

static void
post(struct world *w, const struct message *m)
{
    if (!w->calm && (w->workers[m->worker].cut_ms > w->now || roll(&w->dice, 12) == 0))
        return; /* lost */
    put(w, m);
    if (!w->calm && roll(&w->dice, 20) == 0)
        put(w, m);
}

/* --- the leader ------------------------------------------------------------------------------- */

static struct slice
name_of(size_t worker)
{
    static const char *const names[WORKERS] = {"a", "b", "c", "d", "e", "f"};

    return slice_of(names[worker]);
}

static void
write_down(struct world *w, const struct message *m)
{
    for (size_t i = 0; i < w->holder_count; i++)
        if (w->holders[i].worker == m->worker && w->holders[i].started_ms == m->started_ms)
            return;
    assert_true(w->holder_count < 256);
    w->holders[w->holder_count].worker = m->worker;
    w->holders[w->holder_count++].started_ms = m->started_ms;
}

static void
on_claim(struct world *w, const struct message *m)
{
    struct fleet_word word = {.node = name_of(m->worker),
                              .started_ms = m->started_ms,
                              .sequence = m->sequence,
                              .told = m->fleet,
                              .leaving = m->leaving};
    struct message reply = {.is_reply = true,
                            .worker = m->worker,
                            .started_ms = m->started_ms,
                            .sequence = m->sequence,
                            .count = m->count};
    struct holder *h;

    if (!w->fleet)
        return;
    reply.epoch = w->epoch;
    if (m->epoch != w->epoch) { /* made before this leader was heard of: it may be old */
        reply.fleet = m->fleet;
        reply.grant.unknown = true;
        post(w, &reply);
        return;
    }
    write_down(w, m);
    if (fleet_hear(w->fleet, w->now, &word, &h) != 0)
        return;
    reply.fleet = fleet_size_for(w->fleet, w->now, h);
    if (m->count) {
        struct fleet_claim claim = {.key = w->limit.id,
                                    .amount = w->limit.amount,
                                    .window_ms = w->limit.window_ms,
                                    .has = m->claim.has,
                                    .used = m->claim.used,
                                    .wants = m->claim.wants,
                                    .need = m->claim.need,
                                    .dark = m->claim.dark};
        struct fleet_grant got;

        assert_int_equal(fleet_claim(w->fleet, w->now, h, &claim, &got), 0);
        reply.grant = (struct bus_grant){.share = got.share,
                                         .limit = w->limit.amount,
                                         .remaining = got.remaining,
                                         .elsewhere = got.elsewhere};
    }
    post(w, &reply);
}

static void
lead(struct world *w)
{
    w->fleet = fleet_new(LIFE_MS);
    assert_non_null(w->fleet);
    w->epoch++;
    fleet_begin(w->fleet, w->now);
    for (size_t i = 0; i < w->holder_count; i++)
        assert_int_equal(fleet_expect(w->fleet, w->now, name_of(w->holders[i].worker), 0,
                                      w->holders[i].started_ms),
                         0);
}

/* --- the workers ------------------------------------------------------------------------------ */

static void
note_admission(struct world *w)
{
    while (w->first < w->last && w->admitted[w->first % LOG] <= w->now - w->limit.window_ms)
        w->first++;
    w->admitted[w->last++ % LOG] = w->now;
    int64_t together = (int64_t)(w->last - w->first);
    if (w->limit.window_ms == 0) {
        together = 0;
        for (size_t i = 0; i < WORKERS; i++)
            together += w->workers[i].in_flight;
        together++;
    }
    w->total++;
    if (together > w->most)
        w->most = together;
    if (together > w->limit.amount)
        fail_msg("at %lld ms: %lld admitted, the limit is %lld", (long long)w->now,
                 (long long)together, (long long)w->limit.amount);
}

static void
ask(struct world *w, struct worker *x, bool again)
{
    struct quota_part part;
    struct quota_hold hold = {.parts = &part};
    struct quota_stand stand;

    if (again)
        quota_withdraw(x->quota, &w->want, 1);
    x->waiting = false;
    switch (quota_reserve(x->quota, w->now, &w->want, 1, again ? QUOTA_AGAIN : QUOTA_FIRST, &hold,
                          &stand)) {
    case QUOTA_ADMITTED:
        note_admission(w);
        if (w->limit.window_ms == 0 && x->parts_count < 512) {
            x->parts[x->parts_count++] = part;
            x->in_flight++;
        } else {
            quota_settle(x->quota, w->now, &part, w->limit.window_ms ? 1 : 0);
        }
        break;
    case QUOTA_ASK:
        x->waiting = true;
        break;
    default:
        w->refused++;
    }
}

static void
send_claim(struct world *w, size_t i)
{
    struct worker *x = &w->workers[i];
    struct message m = {
        .worker = i, .started_ms = x->started_ms, .epoch = x->epoch, .fleet = x->fleet};

    m.count = quota_claims(x->quota, w->now, &m.claim, 1);
    m.sequence = ++x->sequence;
    x->sent_ms = w->now;
    x->outstanding = true;
    post(w, &m);
}

static void
on_grant(struct world *w, const struct message *m)
{
    struct worker *x = &w->workers[m->worker];
    struct bus_lease_grants grants = {.epoch = m->epoch,
                                      .fleet = m->fleet,
                                      .life_ms = LIFE_MS,
                                      .grants = &m->grant,
                                      .count = m->count};

    if (!x->quota || m->started_ms != x->started_ms || !x->outstanding ||
        m->sequence != x->sequence || m->epoch < x->epoch)
        return;
    x->outstanding = false;
    if (m->epoch > x->epoch)
        x->sent_ms = 0;
    x->epoch = m->epoch;
    x->fleet = m->fleet;
    quota_grants(x->quota, w->now, &grants);
    if (x->waiting)
        ask(w, x, true);
}

static void
start_worker(struct world *w, struct worker *x)
{
    uint64_t sequence = x->sequence;

    *x = (struct worker){.quota = quota_new(),
                         .started_ms = w->now,
                         .sent_ms = w->now - 1000,
                         .sequence = sequence,
                         .weight = 1 + (unsigned)roll(&w->dice, 20)};
    assert_non_null(x->quota);
}

static void
kill_worker(struct world *w, struct worker *x)
{
    quota_free(x->quota);
    x->quota = NULL;
    x->in_flight = 0; /* its connections die with it */
    x->back_ms = w->now + (int64_t)roll(&w->dice, 30000);
}

static void
run_worker(struct world *w, size_t i)
{
    struct worker *x = &w->workers[i];

    if (!x->quota) {
        if (w->now >= x->back_ms)
            start_worker(w, x);
        return;
    }
    if (x->outstanding && w->now - x->sent_ms >= 2000) {
        x->outstanding = false;
        quota_unanswered(x->quota);
    }
    if (!x->outstanding && w->now - x->sent_ms >= (quota_is_wanting(x->quota)          ? 50
                                                   : quota_counter_count(x->quota) > 0 ? 1000
                                                                                       : 5000))
        send_claim(w, i);
    for (uint64_t n = roll(&w->dice, x->weight); n > 0 && !x->waiting; n--)
        ask(w, x, false);
    while (x->parts_count && roll(&w->dice, 4) == 0) {
        x->in_flight--;
        quota_settle(x->quota, w->now, &x->parts[--x->parts_count], 0);
    }
    if (roll(&w->dice, 500) == 0)
        quota_tend(x->quota, w->now);
}

/* --- the world -------------------------------------------------------------------------------- */

static void
break_something(struct world *w)
{
    struct worker *x = &w->workers[roll(&w->dice, WORKERS)];

    switch (roll(&w->dice, 1500)) {
    case 0:
    case 1:
        if (x->quota)
            kill_worker(w, x);
        break;
    case 2:
        x->cut_ms = w->now + (int64_t)roll(&w->dice, 150000);
        break;
    case 3:
        if (w->fleet) {
            fleet_free(w->fleet);
            w->fleet = NULL;
            w->leader_back_ms = w->now + 2000 + (int64_t)roll(&w->dice, 90000);
        }
        break;
    case 4:
        x->weight = 1 + (unsigned)roll(&w->dice, 20);
        break;
    default:
        break;
    }
}

static void
deliver(struct world *w)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        struct message m = w->net[i];

        if (!m.due_ms || m.due_ms > w->now)
            continue;
        w->net[i].due_ms = 0;
        if (m.is_reply)
            on_grant(w, &m);
        else
            on_claim(w, &m);
    }
}

static void
step(struct world *w)
{
    w->now += 1 + (int64_t)roll(&w->dice, 30);
    deliver(w);
    if (!w->calm)
        break_something(w);
    if (!w->fleet && w->now >= w->leader_back_ms)
        lead(w);
    if (w->fleet && roll(&w->dice, 300) == 0)
        fleet_tend(w->fleet, w->now);
    for (size_t i = 0; i < WORKERS; i++)
        run_worker(w, i);
}

static void
simulate(struct world *w, uint64_t seed, int64_t window_ms, bool calm, int64_t for_ms)
{
    memset(w, 0, sizeof(*w));
    w->dice.state = seed;
    w->now = 1000000;
    w->calm = calm;
    w->limit = (struct policy_limit){
        .name = SLICE("q"),
        .id = SLICE("q:requests"),
        .metric = window_ms ? METRIC_REQUESTS : METRIC_CONCURRENT,
        .mode = LIMIT_ENFORCE,
        .amount = 1 + (int64_t)roll(&w->dice, calm ? 400 : 200),
        .window_ms = window_ms,
    };
    if (calm)
        w->limit.amount += 100;
    w->want = (struct quota_claim){.limit = &w->limit, .subject = SLICE(""), .amount = 1};
    for (size_t i = 0; i < WORKERS; i++)
        start_worker(w, &w->workers[i]);
    lead(w);
    while (w->now < 1000000 + for_ms)
        step(w);
}

static void
end(struct world *w)
{
    for (size_t i = 0; i < WORKERS; i++)
        quota_free(w->workers[i].quota);
    fleet_free(w->fleet);
}

static uint64_t
first_seed(void)
{
    const char *given = getenv("HEADGATE_TEST_SEED");

    return given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000;
}

static struct world world; /* too large for a stack */

static void
run_many(int64_t window_ms, unsigned count)
{
    uint64_t seed = first_seed(), admitted = 0;

    print_message("seeds from HEADGATE_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < count; i++) {
        simulate(&world, seed + i, window_ms, false, 300000);
        admitted += world.total;
        end(&world);
    }
    assert_true(admitted > 100 * (uint64_t)count); /* it is no proof that nothing is admitted */
}

static void
test_no_window_holds_more_than_the_limit(void **state)
{
    (void)state;
    run_many(6000, 150);
    run_many(60000, 50);
}

static void
test_no_more_are_in_flight_than_the_limit(void **state)
{
    (void)state;
    run_many(0, 100);
}

/* Ten windows with nothing broken, and more demand than the limit: at least 95 % of it is used. */
static void
test_the_limit_can_be_used(void **state)
{
    uint64_t seed = first_seed();

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        simulate(&world, seed + i, 6000, true, 60000);
        int64_t possible = world.limit.amount * 10;
        if ((int64_t)world.total * 100 < possible * 95)
            fail_msg("seed %llu: %llu of %lld", (unsigned long long)(seed + i),
                     (unsigned long long)world.total, (long long)possible);
        end(&world);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_window_holds_more_than_the_limit),
        cmocka_unit_test(test_no_more_are_in_flight_than_the_limit),
        cmocka_unit_test(test_the_limit_can_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
