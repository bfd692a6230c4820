/*
 * How many usage records a second the ledger books: batches made ahead, ledger_ingest() on N
 * threads against the database of --database (migrated, the application's role). The books keep
 * what it adds: use a database of its own.
 *
 *   build/bench/ingest DSN RECORDS BATCH THREADS
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ledger/ingest.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

struct job {
    const char *dsn;
    size_t records, batch;
    size_t failures;
    pthread_t thread;
};

static struct usage
some_usage(uint64_t sequence)
{
    static const char *const teams[] = {"research", "sales", "ops", "support"};
    static char names[64][16];
    static char request[40];
    struct usage u = {
        .sequence = sequence,
        .attempt_no = 1,
        .latency_ms = 830,
        .ttft_ms = 210,
        .model = SLICE("smart"),
        .provider = SLICE("openai"),
        .provider_model = SLICE("gpt-4o-2024-11-20"),
        .endpoint = SLICE("chat.completions"),
        .status = 200,
        .upstream_status = 200,
        .outcome = USAGE_DONE,
        .stream = true,
        .tokens = {.input = 1200, .cache_read = 300, .output = 420},
        .price_version = SLICE("builtin-2026-08-21"),
        .price = {.input = 2500000, .cached_input = 1250000, .output = 10000000},
        .cost = 7575000,
        .reserved = 50000000,
    };
    size_t key = rand_below(64);

    (void)snprintf(names[key], sizeof(names[key]), "key-%zu", key);
    (void)snprintf(request, sizeof(request), "req_%016" PRIx64, rand_u64());
    u.key = slice_of(names[key]);
    u.team = slice_of(teams[key % 4]);
    u.request_id = slice_of(request);
    uuid7(u.attempt_id);
    return u;
}

static void
make_batch(struct usage_batch *b, struct slice *records, unsigned char (*bytes)[512], size_t n,
           uint64_t *sequence)
{
    for (size_t i = 0; i < n; i++) {
        struct usage u = some_usage(++*sequence);
        size_t len;
        if (usage_encode(&u, bytes[i], sizeof(bytes[i]), &len))
            abort();
        records[i] = slice_make(bytes[i], len);
    }
    b->records = records;
    b->count = n;
    b->last_sequence = *sequence;
}

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static void *
run(void *ctx)
{
    struct job *j = ctx;
    struct db *db = db_new(j->dsn, "bench");
    struct slice *records = calloc(j->batch, sizeof(*records));
    unsigned char(*bytes)[512] = calloc(j->batch, sizeof(*bytes));
    struct usage_batch b;
    uint64_t sequence = 0;

    if (!db || !records || !bytes)
        abort();
    uuid7(b.spool_id);
    for (size_t done = 0; done < j->records; done += j->batch) {
        struct ingest_result r;
        pthread_mutex_lock(&making);
        make_batch(&b, records, bytes, j->batch, &sequence);
        pthread_mutex_unlock(&making);
        if (ledger_ingest(db, SLICE("bench"), 0, &b, &r) || r.added != j->batch)
            j->failures++;
    }
    free(records);
    free(bytes);
    db_free(db);
    return NULL;
}

int
main(int argc, char **argv)
{
    struct job jobs[64] = {{0}};
    size_t records, batch, threads, failures = 0;
    int64_t began;

    if (argc != 5) {
        fprintf(stderr, "usage: ingest DSN RECORDS BATCH THREADS\n");
        return 2;
    }
    records = strtoul(argv[2], NULL, 10);
    batch = strtoul(argv[3], NULL, 10);
    threads = strtoul(argv[4], NULL, 10);
    if (!batch || batch > LIMIT_BATCH_RECORDS || !threads || threads > 64 || records < threads) {
        fprintf(stderr, "ingest: BATCH is 1 to %d, THREADS 1 to 64\n", LIMIT_BATCH_RECORDS);
        return 2;
    }
    log_init("bench", LOG_WARN, 2);
    began = clock_mono_ns();
    for (size_t i = 0; i < threads; i++) {
        jobs[i] = (struct job){.dsn = argv[1], .records = records / threads, .batch = batch};
        if (pthread_create(&jobs[i].thread, NULL, run, &jobs[i]))
            abort();
    }
    for (size_t i = 0; i < threads; i++) {
        pthread_join(jobs[i].thread, NULL);
        failures += jobs[i].failures;
    }
    printf("{\"records\":%zu,\"batch\":%zu,\"threads\":%zu,\"failed_batches\":%zu,"
           "\"records_per_second\":%.0f}\n",
           records, batch, threads, failures,
           (double)records / ((double)(clock_mono_ns() - began) / 1e9));
    return failures ? 1 : 0;
}
