#include "controlplane/leases/leases.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/leases/budgets.h"
#include "controlplane/leases/fleet.h"
#include "controlplane/store/epochs.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define LEASE_LOCK "7523094288201237"
#define CONFIRM_MS 250
#define OFFICE_MS 1500 /* without confirmation: then we grant no more, whoever leads */
#define IDLE_MS 2000   /* without a word of us: then PostgreSQL lets another have the office */
#define ANSWER_MS 2000 /* that a worker waits for an answer (lease.c) */
#define TEND_MS 10000
#define SAY_MS 60000 /* the same again in the log */
#define LIMIT_KEY_BYTES 512

struct leases {
    char *database;
    struct db *db;       /* the thread's: it holds the lock */
    uint64_t connection; /* that has it, by db_ping(); 0: none */
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stopping;
    struct fleet *fleet;
    uint64_t epoch;       /* 0: we do not lead */
    uint64_t heard;       /* the highest epoch that a worker has heard of, or that was ours */
    int64_t confirmed_ms; /* from when on it is certain that we still did */
    int64_t tended_ms;
    int64_t full_ms; /* when it was last said; 0: never */
};

/* --- the office ------------------------------------------------------------------------------- */

static int
ask(struct db *db, const char *sql, int64_t *ret)
{
    struct db_rows *rows = NULL;
    int err = db_query(db, sql, NULL, 0, &rows);

    if (!err)
        *ret = db_count(rows) ? db_int(rows, 0, 0) : 0;
    db_rows_free(rows);
    return err;
}

/* Who may hold something of an earlier leader's. */
static int
expect_holders(struct leases *l, int64_t now_ms)
{
    struct db_rows *rows = NULL;
    int err = db_query(l->db,
                       "SELECT node, slot, started_ms FROM lease_holders "
                       "WHERE seen_at > now() - interval '1 day' AND NOT has_left",
                       NULL, 0, &rows);

    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = fleet_expect(l->fleet, now_ms, db_slice(rows, i, 0), (uint32_t)db_int(rows, i, 1),
                           db_int(rows, i, 2));
    db_rows_free(rows);
    return err;
}

static bool wait_tick(struct leases *l);

/* The one before us may not have noticed yet: it stops within OFFICE_MS, so we begin after that. */
static int
wait_out(struct leases *l, uint64_t connection)
{
    int64_t until = clock_mono_ms() + OFFICE_MS;
    uint64_t now = connection;
    int err = 0;

    while (!err && clock_mono_ms() < until) {
        if (wait_tick(l))
            return ERR_CANCELLED;
        err = db_ping(l->db, &now);
        if (!err && now != connection)
            err = ERR_CONFLICT; /* the lock went with the connection */
    }
    return err;
}

/* Once: should it be a wrong number, the next office does without. */
static uint64_t
take_heard(struct leases *l)
{
    uint64_t heard;

    pthread_mutex_lock(&l->lock);
    heard = l->heard;
    l->heard = 0;
    pthread_mutex_unlock(&l->lock);
    return heard;
}

static int
take_office(struct leases *l, uint64_t connection)
{
    uint64_t epoch = 0, heard = take_heard(l);
    int64_t before = 0;
    int err = db_end_when_idle(l->db, IDLE_MS);

    if (!err)
        err = ask(l->db, "SELECT last_value FROM lease_epoch WHERE is_called", &before);
    if (!err)
        err = epoch_draw(l->db, "lease_epoch", heard, &epoch);
    if (!err && (before || heard))
        err = wait_out(l, connection);
    if (err)
        return err;
    pthread_mutex_lock(&l->lock);
    fleet_begin(l->fleet, clock_mono_ms());
    err = expect_holders(l, clock_mono_ms());
    if (!err && db_connection(l->db) != connection)
        err = ERR_CONFLICT;
    if (!err) {
        l->epoch = epoch;
        l->connection = connection;
    }
    pthread_mutex_unlock(&l->lock);
    if (!err)
        log_info("leases.leading", F_INT("epoch", epoch));
    return err;
}

static void
leave_office(struct leases *l, const char *why)
{
    pthread_mutex_lock(&l->lock);
    if (l->epoch)
        log_warn("leases.not_leading", F_STR("why", why));
    if (l->epoch > l->heard)
        l->heard = l->epoch;
    l->epoch = 0;
    l->connection = 0;
    pthread_mutex_unlock(&l->lock);
}

/* Nobody draws an epoch while we have the lock: one above ours is one that the database has
 * forgotten, and workers heed no answer below it. */
static bool
is_behind(struct leases *l)
{
    bool behind;

    pthread_mutex_lock(&l->lock);
    behind = l->epoch && l->heard > l->epoch;
    pthread_mutex_unlock(&l->lock);
    return behind;
}

/* Confirms the office or tries to get it. */
static void
keep_office(struct leases *l)
{
    struct db_rows *rows = NULL;
    int64_t asked_ms = clock_mono_ms();
    uint64_t connection;
    bool got;

    if (db_ping(l->db, &connection) != 0) {
        leave_office(l, "the database is away");
        return;
    }
    if (l->connection && l->connection != connection)
        leave_office(l, "the connection was lost");
    if (is_behind(l))
        leave_office(l, "workers have heard of a higher epoch: the database went back in time");
    if (!l->connection) {
        if (db_query(l->db, "SELECT pg_try_advisory_lock(" LEASE_LOCK ")", NULL, 0, &rows) != 0)
            return;
        got = db_bool(rows, 0, 0);
        db_rows_free(rows);
        if (!got || take_office(l, connection) != 0)
            return;
        asked_ms = clock_mono_ms();
    }
    pthread_mutex_lock(&l->lock);
    l->confirmed_ms = asked_ms;
    pthread_mutex_unlock(&l->lock);
}

/* Each turn a little: those who claim meanwhile wait for it. */
static void
tend(struct leases *l)
{
    int64_t now = clock_mono_ms();
    bool more = false;

    if (!l->connection)
        return;
    pthread_mutex_lock(&l->lock);
    fleet_tend(l->fleet, now);
    pthread_mutex_unlock(&l->lock);
    if (now - l->tended_ms < TEND_MS)
        return;
    l->tended_ms = now;
    if (budgets_release_lost(l->db, &more) != 0 ||
        db_query(l->db, "DELETE FROM lease_holders WHERE seen_at < now() - interval '1 day'", NULL,
                 0, NULL) != 0)
        log_debug("leases.tend_failed", F_STR("cause", db_error(l->db)));
    if (more)
        l->tended_ms = 0;
}

static bool
wait_tick(struct leases *l)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CONFIRM_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&l->lock);
    if (!l->stopping)
        (void)pthread_cond_timedwait(&l->wake, &l->lock, &until);
    bool stop = l->stopping;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

static void *
run(void *ctx)
{
    struct leases *l = ctx;

    do {
        keep_office(l);
        tend(l);
    } while (!wait_tick(l));
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool
start_thread(struct leases *l)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    bool started = pthread_create(&l->thread, NULL, run, l) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

struct leases *
leases_start(const char *database)
{
    struct leases *l = calloc(1, sizeof(*l));
    pthread_condattr_t monotonic;

    if (!l)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    l->fleet = fleet_new(LEASE_LIFE_MS);
    l->db = db_new(database, "headgate leases");
    if (l->fleet && l->db && start_thread(l))
        return l;
    fleet_free(l->fleet);
    db_free(l->db);
    free(l);
    return NULL;
}

void
leases_stop(struct leases *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    db_free(l->db);
    fleet_free(l->fleet);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* --- answering -------------------------------------------------------------------------------- */

/* One claim under way. */
struct job {
    struct leases *l;
    struct db *db;
    const struct policy *policy;
    const struct bus_worker *from;
    const struct bus_lease *ask;
    struct bus_grant *grants;
    struct budget_claim *budgets;
    size_t budget_count;
    size_t workers;
    int64_t heard_ms;
    bool release;
};

static bool
leads(const struct leases *l)
{
    return l->epoch && clock_mono_ms() - l->confirmed_ms < OFFICE_MS;
}

static size_t
write_key(struct slice id, struct slice subject, char key[static LIMIT_KEY_BYTES])
{
    if (id.len + 1 + subject.len > LIMIT_KEY_BYTES)
        return 0;
    memcpy(key, id.at, id.len);
    key[id.len] = '\0';
    if (subject.len)
        memcpy(key + id.len + 1, subject.at, subject.len);
    return id.len + 1 + subject.len;
}

static int
claim_rate(struct job *j, struct holder *h, const struct policy_limit *limit,
           const struct bus_claim *c, struct bus_grant *g)
{
    char key[LIMIT_KEY_BYTES];
    struct fleet_claim claim = {
        .key = slice_make(key, write_key(c->limit, c->subject, key)),
        .amount = limit->amount,
        .window_ms = limit->window_ms,
        .has = c->has,
        .used = c->used,
        .wants = c->wants,
        .need = c->need,
        .dark = c->dark,
    };
    struct fleet_grant got;
    int64_t now = clock_mono_ms();
    int err = claim.key.len ? fleet_claim(j->l->fleet, now, h, &claim, &got) : ERR_LIMIT;

    if (err)
        return err;
    *g = (struct bus_grant){.share = got.share,
                            .limit = limit->amount,
                            .remaining = got.remaining,
                            .elsewhere = got.elsewhere};
    /* What earlier holders have is not known yet: nothing can be said about more. */
    if (c->need && got.share - c->used < c->need &&
        fleet_is_learning(j->l->fleet, now, limit->window_ms))
        g->unknown = true;
    return 0;
}

/* More subjects than are counted: those beyond cannot be verified, and the others go on. */
static void
turn_away(struct leases *l, const struct policy_limit *limit, struct bus_grant *g)
{
    int64_t now = clock_mono_ms();

    g->unknown = true;
    if (l->full_ms && now - l->full_ms < SAY_MS)
        return;
    l->full_ms = now;
    log_warn("leases.full", F_SLICE("limit", limit->id), F_INT("most", LIMIT_POOLS));
}

static int
claim_each(struct job *j, struct holder *h)
{
    int err = 0;

    for (size_t i = 0; !err && i < j->ask->count; i++) {
        const struct bus_claim *c = &j->ask->claims[i];
        const struct policy_limit *limit = policy_find_limit(j->policy, c->limit);

        if (!limit)
            j->grants[i].unknown = true;
        else if (limit->is_budget)
            j->budgets[j->budget_count++] = (struct budget_claim){limit, c, &j->grants[i]};
        else
            err = claim_rate(j, h, limit, c, &j->grants[i]);
        if (err == ERR_LIMIT) {
            turn_away(j->l, limit, &j->grants[i]);
            err = 0;
        }
    }
    return err;
}

static struct fleet_word
word_of(const struct job *j)
{
    return (struct fleet_word){.node = j->from->node,
                               .slot = j->from->slot,
                               .started_ms = j->from->started_ms,
                               .sequence = j->ask->sequence,
                               .told = j->ask->fleet,
                               .leaving = j->ask->leaving,
                               .partial = j->ask->count == LIMIT_CLAIMS};
}

static int
claim_nothing(struct job *j, struct bus_lease_grants *ret)
{
    for (size_t i = 0; i < j->ask->count; i++)
        j->grants[i].unknown = true;
    ret->fleet = j->ask->fleet;
    return 0;
}

/* Of what a worker has heard only that counts which could have been. */
static void
hear_epoch(struct leases *l, uint64_t epoch)
{
    if (epoch > l->epoch && epoch > l->heard && epoch - l->epoch < LIMIT_EPOCH_STEP)
        l->heard = epoch;
}

static int
hear(struct job *j, struct bus_lease_grants *ret)
{
    struct fleet *f = j->l->fleet;
    int64_t now = clock_mono_ms();
    struct fleet_word word = word_of(j);
    struct holder *h;
    int err = leads(j->l) ? 0 : ERR_CONFLICT;

    ret->epoch = j->l->epoch;
    ret->life_ms = LEASE_LIFE_MS;
    if (!err)
        hear_epoch(j->l, j->ask->epoch);
    /* Made before this office was heard of: it may be old, and what it says no longer so. Or by one
     * who does not know whether we hear it: it is reckoned with as silent until it knows. */
    if (!err && (j->ask->epoch != j->l->epoch || j->ask->greeting))
        return claim_nothing(j, ret);
    if (!err)
        err = fleet_hear(f, now, &word, &h);

    if (err)
        return err;
    j->heard_ms = now;
    ret->fleet = fleet_size_for(f, now, h);
    j->workers = fleet_live(f, now);
    j->release = j->ask->settled && !fleet_is_released(h);
    return claim_each(j, h);
}

static int
write_down(struct job *j, bool leaving)
{
    char node[256], slot[16], started[24];
    const char *params[] = {node, slot, started};

    snprintf(node, sizeof(node), "%.*s", SLICE_ARG(j->from->node));
    snprintf(slot, sizeof(slot), "%u", j->from->slot & 0x7fffffffu);
    snprintf(started, sizeof(started), "%" PRId64, j->from->started_ms);
    return db_query(j->db,
                    /* Who has left stays, for claims of it that are still to be answered. */
                    leaving ? "WITH earlier AS (DELETE FROM lease_holders WHERE node = $1 AND "
                              "slot = $2::integer AND started_ms < $3::bigint) "
                              "UPDATE lease_holders SET has_left = true, seen_at = now() WHERE "
                              "(node, slot, started_ms) = ($1, $2::integer, $3::bigint)"
                            : "INSERT INTO lease_holders (node, slot, started_ms) "
                              "VALUES ($1, $2::integer, $3::bigint) ON CONFLICT "
                              "(node, slot, started_ms) DO UPDATE SET seen_at = now()",
                    params, 3, NULL);
}

/* Whether we lead; *ret_noted: and a later leader would know of it. */
static bool
may_answer(struct job *j, bool *ret_noted)
{
    struct fleet_word word = word_of(j);

    pthread_mutex_lock(&j->l->lock);
    bool leading = leads(j->l);
    *ret_noted = fleet_is_noted(j->l->fleet, clock_mono_ms(), &word);
    pthread_mutex_unlock(&j->l->lock);
    return leading;
}

/* All records of earlier processes are in: what they held goes back, with each claim some. */
static int
release(struct job *j)
{
    struct fleet_word word = word_of(j);
    bool more;
    int err = budgets_release(j->db, j->from, &more);

    if (err || more)
        return err;
    pthread_mutex_lock(&j->l->lock);
    fleet_released(j->l->fleet, &word);
    pthread_mutex_unlock(&j->l->lock);
    return 0;
}

/* Rates do not wait for PostgreSQL: when it fails, budgets alone cannot be verified. What earlier
 * processes held is tried again with the next claim; it keeps nobody from what there is. */
static void
lease_budgets(struct job *j)
{
    int err = j->release ? release(j) : 0;

    if (err)
        log_warn("leases.release_failed", F_SLICE("node", j->from->node),
                 F_INT("slot", j->from->slot), F_ERR(err), F_STR("cause", db_error(j->db)));
    /* Nobody waits for this any more. Who has forgotten the budget meanwhile would never give back
     * what it is granted of a period that has begun since. */
    if (clock_mono_ms() - j->heard_ms >= ANSWER_MS) {
        for (size_t i = 0; i < j->budget_count; i++)
            j->budgets[i].grant->unknown = true;
        return;
    }
    (void)budgets_lease(j->db, j->from, j->ask->sequence, 2 * j->workers, j->budgets,
                        j->budget_count);
}

static int
answer(struct job *j, struct bus_lease_grants *ret)
{
    bool noted;
    int err = may_answer(j, &noted) ? 0 : ERR_CONFLICT;

    if (!err && !noted)
        err = write_down(j, false);
    if (err)
        return err;
    pthread_mutex_lock(&j->l->lock);
    err = hear(j, ret);
    pthread_mutex_unlock(&j->l->lock);
    if (!err)
        lease_budgets(j);
    if (!err && j->ask->leaving && j->ask->epoch == ret->epoch)
        err = write_down(j, true);
    return err;
}

int
leases_answer(struct leases *l, struct db *db, const struct policy *policy,
              const struct bus_worker *from, const struct bus_lease *ask_, struct arena *a,
              struct bus_lease_grants *ret)
{
    struct job j = {.l = l, .db = db, .policy = policy, .from = from, .ask = ask_};

    j.grants = arena_zalloc(a, (ask_->count + 1) * sizeof(*j.grants));
    j.budgets = arena_zalloc(a, (ask_->count + 1) * sizeof(*j.budgets));
    if (!j.grants || !j.budgets)
        return ERR_NOMEM;
    *ret = (struct bus_lease_grants){.grants = j.grants, .count = ask_->count};
    return answer(&j, ret);
}

/* --- looking ---------------------------------------------------------------------------------- */

void
leases_status(struct leases *l, struct leases_status *ret)
{
    pthread_mutex_lock(&l->lock);
    *ret = (struct leases_status){
        .leading = leads(l), .epoch = l->epoch, .workers = fleet_live(l->fleet, clock_mono_ms())};
    pthread_mutex_unlock(&l->lock);
}

bool
leases_held(struct leases *l, struct slice id, struct slice subject, size_t i, char *ret_node,
            uint32_t *ret_slot, int64_t *ret_held, int64_t *ret_used)
{
    char key[LIMIT_KEY_BYTES];
    size_t n = write_key(id, subject, key);
    struct slice node;

    if (!n)
        return false;
    pthread_mutex_lock(&l->lock);
    bool found = fleet_held(l->fleet, clock_mono_ms(), slice_make(key, n), i, &node, ret_slot,
                            ret_held, ret_used);
    if (found)
        snprintf(ret_node, 256, "%.*s", SLICE_ARG(node));
    pthread_mutex_unlock(&l->lock);
    return found;
}
