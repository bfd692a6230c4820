/*
 * Very many subjects of a day's quota, at rest, with the code of both sides of the leases
 * (docs/decisions/0033): memory of a counter and of a pool, what a round and a request cost beside
 * them, and what it takes until a new leader has heard of all.
 *
 *   build/tests/bench_quota WORKERS SUBJECTS     of each worker; prints lines for people
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/leases/fleet.h"
#include "dataplane/state/quota.h"

#define LIFE_MS 15000
#define MOST 64

static struct policy_limit limit = {.name = {"each", 4},
                                    .id = {"each:requests_per_day", 21},
                                    .metric = METRIC_REQUESTS,
                                    .mode = LIMIT_ENFORCE,
                                    .amount = 1000,
                                    .window_ms = 24 * 3600 * 1000};
static struct fleet *fleet;
static struct quota *quotas[MOST];
static uint64_t sequence;
static int64_t now = 1000000000;
static uint64_t epoch = 1;
static double worker_s, leader_s;

static double
seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct slice
key_of(const struct bus_claim *c, char into[512])
{
    memcpy(into, c->limit.at, c->limit.len);
    into[c->limit.len] = '\0';
    memcpy(into + c->limit.len + 1, c->subject.at, c->subject.len);
    return slice_make(into, c->limit.len + 1 + c->subject.len);
}

/* One message and its answer. How many claims. */
static size_t
claim(int worker)
{
    static struct bus_claim claims[LIMIT_CLAIMS];
    static struct bus_grant grants[LIMIT_CLAIMS];
    char node[16], key[512];
    double a = seconds(), b, c;
    size_t n = quota_claims(quotas[worker], now, claims, LIMIT_CLAIMS);
    struct fleet_word word = {.started_ms = 1, .sequence = ++sequence, .told = FLEET_LEAST};
    struct bus_lease_grants answer = {
        .epoch = epoch, .fleet = FLEET_LEAST, .life_ms = LIFE_MS, .grants = grants, .count = n};
    struct holder *h;

    b = seconds();
    word.node = slice_make(node, (size_t)snprintf(node, sizeof(node), "w%d", worker));
    word.partial = n == LIMIT_CLAIMS;
    if (fleet_hear(fleet, now, &word, &h) != 0)
        exit(1);
    for (size_t i = 0; i < n; i++) {
        struct fleet_claim f = {.key = key_of(&claims[i], key),
                                .amount = limit.amount,
                                .window_ms = limit.window_ms,
                                .has = claims[i].has,
                                .used = claims[i].used,
                                .wants = claims[i].wants,
                                .need = claims[i].need,
                                .dark = claims[i].dark};
        struct fleet_grant g;

        if (fleet_claim(fleet, now, h, &f, &g) != 0)
            exit(1);
        grants[i] =
            (struct bus_grant){.share = g.share, .limit = limit.amount, .remaining = g.remaining};
    }
    c = seconds();
    quota_grants(quotas[worker], now, &answer);
    worker_s += seconds() - c + b - a;
    leader_s += c - b;
    return n;
}

static void
request(int worker, int subject)
{
    char text[40];
    struct quota_claim want = {.limit = &limit, .amount = 1};
    struct quota_part part;
    struct quota_hold hold = {.parts = &part};
    struct quota_stand stand;

    want.subject = slice_make(
        text, (size_t)snprintf(text, sizeof(text), "user-%08d-%d@example.com", subject, worker));
    if (quota_reserve(quotas[worker], now, &want, 1, QUOTA_FIRST, &hold, &stand) == QUOTA_ASK) {
        (void)claim(worker);
        quota_withdraw(quotas[worker], &want, 1);
        if (quota_reserve(quotas[worker], now, &want, 1, QUOTA_AGAIN, &hold, &stand) !=
            QUOTA_ADMITTED)
            exit(1);
    }
    if (hold.count != 1)
        exit(2);
    quota_settle(quotas[worker], now, &part, 1);
}

static size_t
claim_all(int workers)
{
    size_t sum = 0;

    for (int w = 0; w < workers; w++)
        do
            sum += claim(w);
        while (quota_has_backlog(quotas[w]) || quota_is_wanting(quotas[w]));
    return sum;
}

int
main(int argc, char **argv)
{
    int workers = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 8,
        subjects = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 100000;
    size_t before, quota_bytes = 0, claims = 0;
    double began;

    if (workers < 1 || workers > MOST || subjects < 1 || subjects > LIMIT_QUOTA_COUNTERS)
        return 1;
    fleet = fleet_new(LIFE_MS);
    fleet_begin(fleet, now);
    for (int w = 0; w < workers; w++)
        quotas[w] = quota_new();
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    limit.mode = LIMIT_SHADOW; /* counted without a claim: the memory of a worker alone */
    for (int i = 0; i < subjects; i++)
        request(0, i);
    quota_bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    for (int w = 1; w < workers; w++)
        for (int i = 0; i < subjects; i++)
            request(w, i);
    limit.mode = LIMIT_ENFORCE;
    for (int i = 0; i < 10; i++, now += 1000)
        claims += claim_all(workers);
    printf("a counter: %zu bytes\n", quota_bytes / (size_t)subjects);
    before = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("a pool with one holder: %zu bytes\n",
           (before - quota_bytes * (size_t)workers) / ((size_t)subjects * (size_t)workers));
    printf("claims until all rest: %.1f a subject\n",
           (double)claims / (double)subjects / (double)workers);

    worker_s = leader_s = 0;
    for (claims = 0; claims < 1000; claims++, now += 1)
        if (claim(0) != 0)
            exit(1);
    printf("a round with %d at rest: %.2f us\n", subjects, worker_s * 1e6 / 1000);

    double spent = 0;
    for (int i = 0; i < 1000; i++) {
        began = seconds();
        request(0, (int)((int64_t)i * 7919 % subjects));
        spent += seconds() - began;
        for (int k = 0; k < 2; k++) { /* until it rests again */
            now += 4000;
            (void)claim_all(workers);
        }
    }
    printf("a request of one at rest, with its claim and the answer: %.2f us\n", spent * 1e3);

    fleet_begin(fleet, now);
    epoch++;
    worker_s = leader_s = 0;
    for (int w = 0; w < workers; w++)
        quota_grants(quotas[w], now,
                     &(struct bus_lease_grants){.epoch = epoch, .fleet = 4, .life_ms = LIFE_MS});
    claims = claim_all(workers);
    printf("a new leader hears %zu claims: %.2f s of its, %.2f s of a worker's\n", claims, leader_s,
           worker_s / workers);
    began = seconds();
    for (int i = 0; i < 100; i++)
        fleet_tend(fleet, now);
    printf("fleet_tend(): %.0f us\n", (seconds() - began) * 1e6 / 100);
    for (int w = 0; w < workers; w++)
        quota_free(quotas[w]);
    fleet_free(fleet);
    return 0;
}
