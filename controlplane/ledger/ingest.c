#include "controlplane/ledger/ingest.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "controlplane/ledger/batch.h"
#include "controlplane/ledger/draws.h"
#include "controlplane/ledger/post.h"
#include "controlplane/ledger/rollup.h"
#include "lib/base/clock.h"
#include "lib/base/crash.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define TRIES 6 /* of a transaction that a neighbour made fail */
#define MS_PER_DAY INT64_C(86400000)
#define DAYS_BACK 40 /* a spool that comes later than this goes to the default partition */
#define DAYS_AHEAD 7

/* --- partitions ------------------------------------------------------------------------------ */

/* Days since 1970 for which partitions are known to exist: [from, until]. Several threads may find
 * out the same at once, which does no harm. */
static atomic_llong ready_from = 1, ready_until;

static void
make_partitions(struct db *db, int64_t from, int64_t until)
{
    char first[24], last[24];
    const char *params[] = {first, last};
    int err;

    (void)snprintf(first, sizeof(first), "%lld", (long long)from);
    (void)snprintf(last, sizeof(last), "%lld", (long long)until);
    err = db_query(db,
                   "SELECT headgate_make_partitions(DATE '1970-01-01' + $1::integer, "
                   "DATE '1970-01-01' + $2::integer)",
                   params, 2, NULL);
    if (err) { /* the default partition takes them meanwhile */
        log_warn("ledger.no_partitions", F_ERR(err), F_STR("cause", db_error(db)));
        return;
    }
    atomic_store(&ready_from, from);
    atomic_store(&ready_until, until);
}

/* Made ahead, and on demand for days that are near. */
static void
prepare_days(struct db *db, const struct batch *b)
{
    int64_t today = clock_wall_ms() / MS_PER_DAY, low = today, high = today + DAYS_AHEAD / 2;

    for (size_t i = 0; i < b->count; i++) {
        int64_t day = b->items[i].time_ms / MS_PER_DAY;
        if (day < low && day >= today - DAYS_BACK)
            low = day;
        if (day > high && day <= today + DAYS_AHEAD)
            high = day;
    }
    if (low >= atomic_load(&ready_from) && high <= atomic_load(&ready_until))
        return;
    make_partitions(db, low, today + DAYS_AHEAD);
}

/* --- one transaction ------------------------------------------------------------------------- */

/* Locks the spool's row first: two batches of one spool wait for each other here and nowhere else.
 */
static int
mark_spool(struct db *db, const struct batch *b, size_t added)
{
    char id[37], slot[16], last[24], first[24], count[24], repeated[24];
    char node[LIMIT_USAGE_NAME_BYTES + 1];
    const char *params[] = {id, node, slot, last, count, repeated, first};

    uuid_format(b->spool_id, id);
    (void)snprintf(node, sizeof(node), "%.*s", SLICE_ARG(b->node));
    (void)snprintf(slot, sizeof(slot), "%u", b->slot & 0x7fffffffu);
    (void)snprintf(last, sizeof(last), "%llu", (unsigned long long)b->last_sequence);
    (void)snprintf(first, sizeof(first), "%llu", (unsigned long long)b->first_sequence);
    (void)snprintf(count, sizeof(count), "%zu", added);
    (void)snprintf(repeated, sizeof(repeated), "%u", b->repeated);
    return db_query(
        db,
        "INSERT INTO usage_spools AS s (spool_id, node, slot, high_sequence, records, "
        "repeated, missing) VALUES ($1, $2, $3, $4, $5, $6, greatest(0, $7::bigint - 1)) "
        "ON CONFLICT (spool_id) DO UPDATE SET node = EXCLUDED.node, slot = "
        "EXCLUDED.slot, high_sequence = greatest(s.high_sequence, "
        "EXCLUDED.high_sequence), records = s.records + EXCLUDED.records, repeated = "
        "s.repeated + EXCLUDED.repeated, missing = s.missing + greatest(0, $7::bigint - "
        "s.high_sequence - 1), updated_at = now()",
        params, sizeof(params) / sizeof(*params), NULL);
}

static int
quarantine_one(struct db *db, struct batch *b, const struct batch_item *p)
{
    char spool[37], attempt[37], slot[16], node[LIMIT_USAGE_NAME_BYTES + 1];
    char *record = arena_alloc(&b->arena, 2 * p->bytes.len + 3);
    const char *params[] = {spool, node, slot, NULL, p->poison, p->detail, record};
    static const unsigned char none[ATTEMPT_ID_BYTES];

    if (!record)
        return ERR_NOMEM;
    uuid_format(b->spool_id, spool);
    (void)snprintf(node, sizeof(node), "%.*s", SLICE_ARG(b->node));
    (void)snprintf(slot, sizeof(slot), "%u", b->slot & 0x7fffffffu);
    if (memcmp(p->u.attempt_id, none, sizeof(none)) != 0) {
        uuid_format(p->u.attempt_id, attempt);
        params[3] = attempt;
    }
    record[0] = '\\';
    record[1] = 'x';
    hex_encode(p->bytes.at, p->bytes.len, record + 2);
    return db_query(
        db,
        "INSERT INTO usage_quarantine (spool_id, node, slot, attempt_id, reason, detail, "
        "record) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest) DO NOTHING",
        params, sizeof(params) / sizeof(*params), NULL);
}

static int
quarantine_all(struct db *db, struct batch *b)
{
    int err = 0;

    for (size_t i = 0; !err && i < b->poison_count; i++)
        err = quarantine_one(db, b, &b->poison[i]);
    return err;
}

/* What of items[from..to) makes up one unit of the books. Hot rows come last. */
static int
book(struct db *db, const struct batch *b, size_t from, size_t to)
{
    int err;

    if (from == to)
        return 0;
    if ((err = post_events(db, b, from, to)) || (err = post_entries(db, b, from, to)))
        return err;
    if ((err = rollup_add(db, b, from, to)))
        return err;
    return draws_book(db, b, from, to);
}

/* final: with the poison and the spool's mark, so that the acknowledgement covers all of it. */
static int
transact(struct db *db, struct batch *b, size_t from, size_t to, bool final)
{
    int err;

    CRASHPOINT("ledger.begin");
    if ((err = db_begin_brief(db)))
        return err;
    if (final)
        err = mark_spool(db, b, b->added + (to - from));
    if (!err)
        err = book(db, b, from, to);
    if (!err && final)
        err = quarantine_all(db, b);
    if (err) {
        db_rollback(db);
        return err;
    }
    CRASHPOINT("ledger.before_commit");
    err = db_commit(db);
    CRASHPOINT("ledger.after_commit");
    if (err)
        db_rollback(db);
    return err;
}

static void
wait_a_little(unsigned attempt)
{
    int64_t ms = 1 + (int64_t)rand_below(UINT64_C(8) << attempt);
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL);
}

/* Deadlocks and serialisation failures are nobody's fault: again. */
static int
transact_again(struct db *db, struct batch *b, size_t from, size_t to, bool final)
{
    int err = ERR_CONFLICT;

    for (unsigned i = 0; err == ERR_CONFLICT && i < TRIES; i++) {
        if (i)
            wait_a_little(i);
        err = transact(db, b, from, to, final);
    }
    return err;
}

/* --- repeated records ------------------------------------------------------------------------ */

static int
ids_as_array(const struct batch *b, struct buf *into)
{
    char id[37];
    int err = buf_add_str(into, "{");

    for (size_t i = 0; !err && i < b->count; i++) {
        uuid_format(b->items[i].u.attempt_id, id);
        err = buf_addf(into, i ? ",%s" : "%s", id);
    }
    return err ? err : buf_add_str(into, "}");
}

/* Both are sorted. */
static void
drop_known(struct batch *b, const struct db_rows *known)
{
    size_t kept = 0, row = 0;
    char id[37];

    for (size_t i = 0; i < b->count; i++) {
        uuid_format(b->items[i].u.attempt_id, id);
        if (row < db_count(known) && strcmp(id, db_text(known, row, 0)) == 0) {
            row++;
            b->repeated++;
            continue;
        }
        b->items[kept++] = b->items[i];
    }
    b->count = kept;
}

/* Leaves only the attempts that the books do not have. */
static int
leave_new(struct db *db, struct batch *b)
{
    struct db_rows *known = NULL;
    struct buf text;
    const char *param;
    int err;

    buf_init(&text, 0);
    err = ids_as_array(b, &text);
    if (!err && !(param = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db,
                       "SELECT attempt_id FROM usage_events WHERE attempt_id = ANY ($1::uuid[]) "
                       "ORDER BY attempt_id",
                       &param, 1, &known);
    if (!err)
        drop_known(b, known);
    db_rows_free(known);
    buf_free(&text);
    return err;
}

/* --- poison that only the database sees ------------------------------------------------------ */

/* About the data, not about the moment. */
static bool
is_poison(int err, const struct db *db)
{
    const char *state = db_sqlstate(db);

    return err == ERR_RANGE || err == ERR_NOT_FOUND ||
           (err == ERR_IO && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
                              strncmp(state, "54", 2) == 0));
}

/* Halves until the culprits stand alone. Each half that is sound is booked in its own transaction;
 * the spool's mark comes after all of them. */
static int
book_apart(struct db *db, struct batch *b, size_t from, size_t to)
{
    size_t middle = from + (to - from) / 2;
    int err = transact_again(db, b, from, to, false);

    if (!err) {
        b->added += (uint32_t)(to - from);
        return 0;
    }
    if (!is_poison(err, db))
        return err;
    if (to - from == 1)
        return batch_quarantine(b, &b->items[from], "refused_by_database", db_error(db));
    if ((err = book_apart(db, b, from, middle)))
        return err;
    return book_apart(db, b, middle, to);
}

/* Whether the spool has been acknowledged beyond the batch's beginning: then it is a repeat. Only a
 * hint, which spares the database an error; the key decides. */
static bool
seems_repeated(struct db *db, const struct batch *b)
{
    struct db_rows *rows = NULL;
    char id[37];
    const char *param = id;
    bool repeated;

    uuid_format(b->spool_id, id);
    if (db_query(db, "SELECT high_sequence FROM usage_spools WHERE spool_id = $1", &param, 1,
                 &rows))
        return false;
    repeated = db_count(rows) && (uint64_t)db_int(rows, 0, 0) >= b->first_sequence;
    db_rows_free(rows);
    return repeated;
}

static int
book_all(struct db *db, struct batch *b)
{
    int err = seems_repeated(db, b) ? leave_new(db, b) : 0;

    if (!err)
        err = transact_again(db, b, 0, b->count, true);
    for (int i = 0; err == ERR_EXISTS && i < TRIES; i++)
        if (!(err = leave_new(db, b)))
            err = transact_again(db, b, 0, b->count, true);
    if (!err) {
        b->added += (uint32_t)b->count;
        return 0;
    }
    if (!is_poison(err, db) || b->count == 0)
        return err;
    /* What is sound of it may have been booked when it came before. */
    if ((err = leave_new(db, b)) || (b->count && (err = book_apart(db, b, 0, b->count))))
        return err;
    return transact_again(db, b, 0, 0, true);
}

static void
report(const struct batch *b)
{
    for (size_t i = 0; i < b->poison_count; i++)
        log_error("ledger.quarantined", F_SLICE("node", b->node), F_INT("slot", b->slot),
                  F_STR("reason", b->poison[i].poison), F_STR("detail", b->poison[i].detail));
}

int
ledger_ingest(struct db *db, struct slice node, uint32_t slot, const struct usage_batch *batch,
              struct ingest_result *ret)
{
    struct batch b;
    int err = batch_init(&b, node, slot, batch);

    if (err)
        goto out;
    prepare_days(db, &b);
    if ((err = post_accounts(db, &b)))
        goto out;
    if ((err = book_all(db, &b)))
        goto out;
    report(&b);
    *ret = (struct ingest_result){
        .sequence = batch->last_sequence,
        .added = b.added,
        .repeated = b.repeated,
        .quarantined = (uint32_t)b.poison_count,
    };
out:
    if (err && err != ERR_UNAVAILABLE && err != ERR_LIMIT)
        log_error("ledger.not_booked", F_ERR(err), F_STR("cause", db_error(db)));
    batch_fini(&b);
    return err;
}
