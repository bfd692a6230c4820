/*
 * Both sides of the leases of rates, with a clock of the test's own: the workers' counters
 * (dataplane/state/quota.c) and the leader's books (controlplane/leases/fleet.c). Messages are
 * lost, late and doubled, workers are killed, cut off and come back, leaders die and are followed.
 *
 * What must hold at every admission: in any window that ends now, all workers together have
 * admitted no more than the limit. And where nothing is broken, it can be used.
 *
 * Some worlds have many subjects, each of which is asked about for a while, by some workers, and
 * then rests for so long that nobody says anything of it (docs/decisions/0033).
 */
#include "tests/unit/check.h"

#include "controlplane/leases/fleet.h"
#include "dataplane/state/quota.h"

#include <sys/wait.h>
#include <unistd.h>

#define LIFE_MS 15000
#define FEW 6     /* workers of most worlds */
#define MOST 2000 /* of the largest */
#define MESSAGES 8192
#define HOLDERS 65536
#define LOG 1024    /* of one subject: more than any limit here */
#define SUBJECTS 16 /* of the limit, in worlds that have several */
#define ROOM 4      /* claims of one message: fewer than there are subjects */

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
    bool leaving, greeting;
    struct bus_claim claims[ROOM];
    size_t subjects[ROOM]; /* the claims' */
    struct bus_grant grants[ROOM];
    size_t count; /* of claims or grants */
};

#define PARTS 64 /* requests in flight of one worker */

struct worker {
    struct quota *quota; /* NULL: it is dead */
    int64_t started_ms, back_ms, cut_ms, sent_ms;
    int64_t deaf_ms; /* until then it is heard, and hears nothing */
    uint64_t sequence, epoch;
    uint32_t fleet;
    bool outstanding, waiting;
    size_t waits_for; /* subject */
    unsigned weight;  /* of the demand */
    int64_t in_flight[SUBJECTS], parts_count;
    struct quota_part parts[PARTS];
    size_t parts_of[PARTS]; /* subjects */
};

struct world {
    uint64_t seed;
    struct dice dice;
    int64_t now;
    struct policy_limit limit;
    size_t subjects;
    struct {
        char name[2];
        int64_t until_ms; /* it is asked about until then, or not */
        bool awake;
        uint64_t workers; /* that are asked, a bit each */
        size_t first, last;
        int64_t admitted[LOG]; /* times */
    } about[SUBJECTS];
    bool calm;    /* nothing breaks */
    bool broken;  /* the limit was passed: it is told, and this world ends */
    size_t count; /* of workers */
    size_t posted;
    struct fleet *fleet; /* NULL: nobody leads */
    uint64_t epoch;
    int64_t leader_back_ms;
    size_t holder_count;
    uint64_t total, refused, leaders;
    uint64_t claims, returns; /* of subjects that had rested for longer than a lease */
    int64_t most;
    /* what follows is as long as is said above */
    struct worker workers[MOST];
    struct message net[MESSAGES]; /* the first `posted` may hold something */
    struct {                      /* what the leaders wrote down */
        size_t worker;
        int64_t started_ms;
    } holders[HOLDERS];
};

/* --- the network ------------------------------------------------------------------------------ */

static void
put(struct world *w, const struct message *m)
{
    for (size_t i = 0; i < MESSAGES; i++)
        if (!w->net[i].due_ms) {
            if (w->posted <= i)
                w->posted = i + 1;
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
    const struct worker *x = &w->workers[m->worker];

    if (!w->calm &&
        (x->cut_ms > w->now || (m->is_reply && x->deaf_ms > w->now) || roll(&w->dice, 12) == 0))
        return; /* lost */
    put(w, m);
    if (!w->calm && roll(&w->dice, 20) == 0)
        put(w, m);
}

/* --- the leader ------------------------------------------------------------------------------- */

static struct slice
name_of(size_t worker)
{
    static char names[MOST][8];

    if (!names[worker][0])
        snprintf(names[worker], sizeof(names[0]), "n%zu", worker);
    return slice_of(names[worker]);
}

static void
write_down(struct world *w, const struct message *m)
{
    for (size_t i = 0; i < w->holder_count; i++)
        if (w->holders[i].worker == m->worker && w->holders[i].started_ms == m->started_ms)
            return;
    assert_true(w->holder_count < HOLDERS);
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
                              .leaving = m->leaving,
                              .partial = m->count == ROOM};
    struct message reply = {.is_reply = true,
                            .worker = m->worker,
                            .started_ms = m->started_ms,
                            .sequence = m->sequence,
                            .greeting = m->greeting,
                            .count = m->count};
    struct holder *h;

    if (!w->fleet)
        return;
    reply.epoch = w->epoch;
    if (m->epoch != w->epoch || m->greeting) { /* see hear() in controlplane/leases/leases.c */
        reply.fleet = m->fleet;
        for (size_t i = 0; i < m->count; i++)
            reply.grants[i].unknown = true;
        post(w, &reply);
        return;
    }
    write_down(w, m);
    if (fleet_hear(w->fleet, w->now, &word, &h) != 0)
        return;
    reply.fleet = fleet_size_for(w->fleet, w->now, h);
    for (size_t i = 0; i < m->count; i++) {
        struct fleet_claim claim = {.key = slice_of(w->about[m->subjects[i]].name),
                                    .amount = w->limit.amount,
                                    .window_ms = w->limit.window_ms,
                                    .has = m->claims[i].has,
                                    .used = m->claims[i].used,
                                    .wants = m->claims[i].wants,
                                    .need = m->claims[i].need,
                                    .dark = m->claims[i].dark};
        struct fleet_grant got;

        assert_int_equal(fleet_claim(w->fleet, w->now, h, &claim, &got), 0);
        reply.grants[i] = (struct bus_grant){.share = got.share,
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
    w->leaders++;
    fleet_begin(w->fleet, w->now);
    for (size_t i = 0; i < w->holder_count; i++)
        assert_int_equal(fleet_expect(w->fleet, w->now, name_of(w->holders[i].worker), 0,
                                      w->holders[i].started_ms),
                         0);
}

/* --- the workers ------------------------------------------------------------------------------ */

static void
break_off(struct world *w, int64_t together)
{
    if (!w->broken)
        print_error("seed %llu, %zu workers, window %lld: at %lld ms %lld admitted, the limit is "
                    "%lld\n",
                    (unsigned long long)w->seed, w->count, (long long)w->limit.window_ms,
                    (long long)w->now, (long long)together, (long long)w->limit.amount);
    w->broken = true;
}

static void
note_admission(struct world *w, size_t subject)
{
    size_t first = w->about[subject].first, last = w->about[subject].last;

    while (first < last && w->about[subject].admitted[first % LOG] <= w->now - w->limit.window_ms)
        first++;
    w->about[subject].admitted[last++ % LOG] = w->now;
    w->about[subject].first = first;
    w->about[subject].last = last;
    int64_t together = (int64_t)(last - first);
    if (w->limit.window_ms == 0) {
        together = 0;
        for (size_t i = 0; i < w->count; i++)
            together += w->workers[i].in_flight[subject];
        together++;
    }
    w->total++;
    if (together > w->most)
        w->most = together;
    if (together > w->limit.amount)
        break_off(w, together);
}

static void
ask(struct world *w, struct worker *x, size_t subject, bool again)
{
    struct quota_claim want = {.limit = &w->limit, .amount = 1};
    struct quota_part part;
    struct quota_hold hold = {.parts = &part};
    struct quota_stand stand;

    want.subject = slice_of(w->about[subject].name);
    if (again)
        quota_withdraw(x->quota, &want, 1);
    x->waiting = false;
    switch (quota_reserve(x->quota, w->now, &want, 1, again ? QUOTA_AGAIN : QUOTA_FIRST, &hold,
                          &stand)) {
    case QUOTA_ADMITTED:
        note_admission(w, subject);
        if (w->limit.window_ms == 0 && x->parts_count < PARTS) {
            x->parts_of[x->parts_count] = subject;
            x->parts[x->parts_count++] = part;
            x->in_flight[subject]++;
        } else {
            quota_settle(x->quota, w->now, &part, w->limit.window_ms ? 1 : 0);
        }
        break;
    case QUOTA_ASK:
        x->waiting = true;
        x->waits_for = subject;
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

    m.greeting = quota_has_lost_touch(x->quota, w->now);
    m.count = quota_claims(x->quota, w->now, m.claims, ROOM);
    for (size_t k = 0; k < m.count; k++)
        m.subjects[k] = m.claims[k].subject.len ? (size_t)(m.claims[k].subject.at[0] - 'a') : 0;
    w->claims += m.count;
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
                                      .grants = m->grants,
                                      .count = m->count};

    if (!x->quota || m->started_ms != x->started_ms || !x->outstanding ||
        m->sequence != x->sequence || m->epoch < x->epoch)
        return;
    x->outstanding = false;
    if (m->epoch > x->epoch || m->greeting)
        x->sent_ms = 0;
    x->epoch = m->epoch;
    x->fleet = m->fleet;
    quota_grants(x->quota, w->now, &grants);
    if (x->waiting)
        ask(w, x, x->waits_for, true);
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
    memset(x->in_flight, 0, sizeof(x->in_flight)); /* its connections die with it */
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
    if (!x->outstanding && w->now - x->sent_ms >= (quota_has_backlog(x->quota)         ? 5
                                                   : quota_is_wanting(x->quota)        ? 50
                                                   : quota_counter_count(x->quota) > 0 ? 1000
                                                                                       : 5000))
        send_claim(w, i);
    for (uint64_t n = roll(&w->dice, x->weight); n > 0 && !x->waiting; n--) {
        size_t subject = w->subjects > 1 ? roll(&w->dice, w->subjects) : 0;

        if (w->about[subject].awake && (w->about[subject].workers >> (i % 64) & 1))
            ask(w, x, subject, false);
    }
    while (x->parts_count && roll(&w->dice, 4) == 0) {
        x->in_flight[x->parts_of[--x->parts_count]]--;
        quota_settle(x->quota, w->now, &x->parts[x->parts_count], 0);
    }
    if (roll(&w->dice, 500) == 0)
        quota_tend(x->quota, w->now);
}

/* --- the world -------------------------------------------------------------------------------- */

static void
break_something(struct world *w)
{
    struct worker *x = &w->workers[roll(&w->dice, w->count)];

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
    case 5:
        x->deaf_ms = w->now + (int64_t)roll(&w->dice, 150000);
        break;
    default:
        break;
    }
}

/* A subject is asked about for some seconds, by some of the workers; then for long it is not. */
static void
turn_over(struct world *w, size_t i)
{
    bool awake = !w->about[i].awake;

    if (w->subjects == 1 || w->now < w->about[i].until_ms)
        return;
    w->returns += awake && w->about[i].last && w->now - w->about[i].until_ms < 100 &&
                  w->now - w->about[i].admitted[(w->about[i].last - 1) % LOG] > LIFE_MS;
    w->about[i].awake = awake;
    w->about[i].until_ms = w->now + (int64_t)roll(&w->dice, awake ? 8000 : 60000);
    w->about[i].workers = roll(&w->dice, 64);
}

static void
deliver(struct world *w)
{
    for (size_t i = 0; i < w->posted; i++) {
        struct message m = w->net[i];

        if (!m.due_ms || m.due_ms > w->now)
            continue;
        w->net[i].due_ms = 0;
        while (w->posted && !w->net[w->posted - 1].due_ms)
            w->posted--;
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
    for (size_t i = 0; i < w->subjects; i++)
        turn_over(w, i);
    for (size_t i = 0; i < w->count; i++)
        run_worker(w, i);
}

struct batch {
    size_t workers;
    int64_t window_ms, for_ms;
    unsigned count;
    size_t subjects; /* 0: one, that is asked about all the time */
};

static void
begin(struct world *w, uint64_t seed, const struct batch *b, bool calm)
{
    size_t workers = b->workers;
    int64_t window_ms = b->window_ms;

    for (size_t i = 0; i < w->posted; i++)
        w->net[i].due_ms = 0;
    memset(w, 0, offsetof(struct world, workers));
    w->seed = w->dice.state = seed;
    w->count = workers;
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
    w->subjects = b->subjects ? b->subjects : 1;
    for (size_t i = 0; i < w->subjects; i++) {
        w->about[i].name[0] = (char)('a' + (int)i);
        w->about[i].awake = w->subjects == 1;
        w->about[i].workers = UINT64_MAX;
    }
    for (size_t i = 0; i < w->count; i++)
        start_worker(w, &w->workers[i]);
    lead(w);
}

static void
simulate(struct world *w, uint64_t seed, const struct batch *b, bool calm)
{
    begin(w, seed, b, calm);
    while (w->now < 1000000 + b->for_ms && !w->broken)
        step(w);
}

static void
end(struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        quota_free(w->workers[i].quota);
    fleet_free(w->fleet);
}

/* The same worlds each time, unless others are asked for. */
static uint64_t
first_seed(void)
{
    const char *given = getenv("HEADGATE_TEST_SEED");

    return given ? strtoull(given, NULL, 10) : UINT64_C(1795737046000);
}

static struct world world; /* too large for a stack */

/* Sanitizers and the analyser see the same code in fewer worlds. */
#ifdef __SANITIZE_ADDRESS__
#define SEEDS(n) ((n) / 20)
#else
#define SEEDS(n) (n)
#endif

/* In a process of its own. 0: the limit held in all of them. */
static int
run_part(const struct batch *b, uint64_t seed, unsigned from, unsigned step)
{
    uint64_t admitted = 0, leaders = 0, returns = 0, worlds = 0;
    bool broken = false;

    for (unsigned i = from; i < b->count && !broken; i += step, worlds++) {
        simulate(&world, seed + i, b, false);
        admitted += world.total;
        leaders += world.leaders;
        returns += world.returns;
        broken = world.broken;
        end(&world);
    }
    /* it is no proof that nothing is admitted, or that nobody ever leads after another */
    return broken || admitted < 20 * worlds || (worlds > 100 && leaders < worlds + worlds / 4) ||
           (b->subjects && returns < 4 * worlds);
}

#define PROCESSES 2

static void
run_many(struct batch b)
{
    uint64_t seed = first_seed();
    pid_t children[PROCESSES];
    int failed = 0, status;

    print_message("%u worlds of %zu workers, seeds from HEADGATE_TEST_SEED=%llu\n", b.count,
                  b.workers, (unsigned long long)seed);
    fflush(NULL);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(run_part(&b, seed, i, PROCESSES));
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        failed |= status;
    }
    assert_int_equal(failed, 0);
}

static void
test_no_window_holds_more_than_the_limit(void **state)
{
    (void)state;
    run_many((struct batch){FEW, 6000, 80000, SEEDS(6000), 0});
    run_many((struct batch){FEW, 60000, 240000, SEEDS(1000), 0});
}

/* Of most subjects nothing is said most of the time. */
static void
test_no_window_of_one_that_rests_either(void **state)
{
    (void)state;
    run_many((struct batch){FEW, 6000, 120000, SEEDS(1500), 6});
    run_many((struct batch){FEW, 60000, 400000, SEEDS(400), 12});
}

static void
test_no_more_are_in_flight_than_the_limit(void **state)
{
    (void)state;
    run_many((struct batch){FEW, 0, 80000, SEEDS(3000), 0});
    run_many((struct batch){FEW, 0, 240000, SEEDS(300), 6});
}

/* Some hundreds of workers, and thousands: the same, in worlds that are few and short. */
static void
test_large_fleets(void **state)
{
    (void)state;
    run_many((struct batch){300, 6000, 40000, SEEDS(40), 0});
    run_many((struct batch){MOST, 6000, 12000, SEEDS(40) / 10, 0});
}

/* Worlds in which the limit was once passed (and one to begin with): each stays here. */
static void
test_worlds_that_once_failed(void **state)
{
    static const struct {
        uint64_t seed;
        struct batch b;
    } kept[] = {
        {1, {FEW, 6000, 300000, 1, 0}},
        /* a worker that was cut off had more in flight than its safe share, for longer than its
         * lease */
        {1795736627448, {FEW, 0, 80000, 1, 0}},
        /* a new leader renewed another's share without a thought for the safe share of one that was
         * cut off before */
        {1795736602759, {FEW, 60000, 240000, 1, 0}},
        {1795736608866, {FEW, 60000, 240000, 1, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_int_equal(run_part(&kept[i].b, kept[i].seed, 0, 1), 0);
}

/* Ten windows with nothing broken, and more demand than the limit: at least 95 % of it is used. */
static void
test_the_limit_can_be_used(void **state)
{
    uint64_t seed = first_seed();

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        simulate(&world, seed + i, &(struct batch){FEW, 6000, 60000, 1, 0}, true);
        assert_false(world.broken);
        int64_t possible = world.limit.amount * 10;
        if ((int64_t)world.total * 100 < possible * 95)
            fail_msg("seed %llu: %llu of %lld", (unsigned long long)(seed + i),
                     (unsigned long long)world.total, (long long)possible);
        end(&world);
    }
}

/* A subject asks one worker until it has no more, rests for its window, and asks another: that one
 * gives as much, at once, though nobody has said anything of it for most of the time. Leaders
 * change meanwhile. */
static void
test_who_comes_back_elsewhere_has_all_of_the_limit(void **state)
{
    const struct batch b = {FEW, 60000, 0, 1, SUBJECTS - 1};
    uint64_t seed = first_seed();

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        begin(&world, seed + i, &b, true);
        for (size_t k = 0; k < FEW; k++)
            world.workers[k].weight = 20;
        for (unsigned turn = 0; turn < 8; turn++) {
            for (size_t k = 0; k < world.subjects; k++) {
                world.about[k].awake = true;
                world.about[k].workers = UINT64_C(1) << (turn + k) % FEW;
                world.about[k].until_ms = INT64_MAX;
            }
            uint64_t before = world.total, claims;
            int64_t until = world.now + 25000;
            while (world.now < until && !world.broken)
                step(&world);
            int64_t possible = world.limit.amount * (int64_t)world.subjects;
            if ((int64_t)(world.total - before) * 100 < possible * 95)
                fail_msg("seed %llu, turn %u: %llu of %lld", (unsigned long long)(seed + i), turn,
                         (unsigned long long)(world.total - before), (long long)possible);
            for (size_t k = 0; k < world.subjects; k++)
                world.about[k].awake = false;
            for (until = world.now + 5000; world.now < until;)
                step(&world);
            claims = world.claims;
            for (until = world.now + 30000; world.now < until;)
                step(&world);
            assert_int_equal(world.claims, claims); /* they rest */
            if (turn % 3 == 2) {
                fleet_free(world.fleet);
                world.fleet = NULL;
            }
            for (until = world.now + 32000; world.now < until;)
                step(&world);
        }
        assert_false(world.broken);
        end(&world);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_window_holds_more_than_the_limit),
        cmocka_unit_test(test_no_window_of_one_that_rests_either),
        cmocka_unit_test(test_who_comes_back_elsewhere_has_all_of_the_limit),
        cmocka_unit_test(test_no_more_are_in_flight_than_the_limit),
        cmocka_unit_test(test_large_fleets),
        cmocka_unit_test(test_worlds_that_once_failed),
        cmocka_unit_test(test_the_limit_can_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
