/* See jobs.h. The table is the schedule. */
#include "controlplane/jobs/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/alerts/deliver.h"
#include "controlplane/alerts/outbox.h"
#include "controlplane/jobs/books.h"
#include "controlplane/jobs/issuers.h"
#include "controlplane/jobs/planes.h"
#include "controlplane/jobs/references.h"
#include "controlplane/jobs/seal_keys.h"
#include "controlplane/jobs/sign_ins.h"
#include "controlplane/leases/budgets.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "controlplane/store/sessions.h"
#include "controlplane/store/sign_ins.h"
#include "controlplane/store/tokens.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/tls.h"

#define TICK_MS 1000

/* What must not wait for a stranger's server, or for a long look at the books, has a thread of its
 * own. */
enum lane_id { LANE_OWN, LANE_NETWORK, LANE_MANAGERS, LANE_ALERTS, LANE_BOOKS, LANE_KEYS, LANES };

struct lane {
    enum lane_id id;
    struct jobs *jobs;
    struct plane *plane;
    struct db *db;
    struct managers *managers; /* of LANE_MANAGERS, once it was needed */
    struct tls_client *tls;    /* of LANE_ALERTS, likewise */
    int64_t night;             /* of LANE_BOOKS: the last one that was looked at */
    pthread_t thread;
    bool started;
};

struct jobs {
    struct lane lanes[LANES];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
};

static int
load_secrets(struct lane *j)
{
    if (secrets_ready(j->plane->secrets))
        return 0;
    int err = secrets_load(j->plane->secrets, j->db);
    if (err == ERR_AUTH)
        log_error("secrets.wrong_seal_key",
                  F_STR("do", "this database is sealed with another seal key: give that one"));
    if (!err && j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return err;
}

static int
refresh_credentials(struct lane *j)
{
    if (!secrets_refresh(j->plane->secrets))
        return 0;
    log_info("secrets.credential_changed");
    if (j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return 0;
}

static int
forget_answers(struct lane *j)
{
    return idempotency_expire(j->db);
}

static int
forget_sessions(struct lane *j)
{
    int err = session_expire(j->db);
    return err ? err : sign_in_expire(j->db);
}

static int
make_partitions(struct lane *j)
{
    return db_query(j->db,
                    "SELECT headgate_make_partitions((now() AT TIME ZONE 'UTC')::date - 1, "
                    "(now() AT TIME ZONE 'UTC')::date + 14)",
                    NULL, 0, NULL);
}

static int
export_audit_head(struct lane *j)
{
    char path[4096];
    struct audit_head head;
    int err = audit_head(j->db, &head);
    audit_anchor_path(j->plane->config.state_dir, path, sizeof(path));
    return err ? err : audit_anchor_write(path, &head, j->plane->sign_secret);
}

static int
note_plane(struct lane *j)
{
    return planes_note(j->db, j->plane);
}

static int
refresh_issuers(struct lane *j)
{
    bool changed;
    int err = issuers_refresh(j->db, &changed);
    if (changed && j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return err;
}

static int
refresh_sign_ins(struct lane *j)
{
    return sign_ins_refresh(j->db);
}

static int
refresh_references(struct lane *j)
{
    bool changed = false;
    if (!secrets_ready(j->plane->secrets))
        return 0;
    if (!j->managers)
        j->managers = managers_new(j->plane->config.secrets_allow_private);
    int err = j->managers ? references_refresh(j->db, j->plane->secrets, j->managers,
                                               j->plane->config.secrets_refresh_s, &changed)
                          : ERR_NOMEM;
    if (changed && j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return err;
}

static bool
is_stopping(void *ctx)
{
    struct lane *j = ctx;
    pthread_mutex_lock(&j->jobs->lock);
    bool stopping = j->jobs->stopping;
    pthread_mutex_unlock(&j->jobs->lock);
    return stopping;
}

static int
deliver_alerts(struct lane *j)
{
    struct deliverer d = {.db = j->db,
                          .secrets = j->plane->secrets,
                          .counts = &j->plane->alerts,
                          .tls = j->tls,
                          .is_stopping = is_stopping,
                          .ctx = j};
    bool changed = false;
    if (!secrets_ready(j->plane->secrets))
        return 0;
    int err = alerts_deliver(&d, &changed);
    j->tls = d.tls;
    if (changed && j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return err;
}

static int
forget_deliveries(struct lane *j)
{
    return outbox_forget(j->db);
}

static int
check_books(struct lane *j)
{
    struct publisher_status s = {0};
    int64_t now_ms = clock_wall_ms(), before = j->night;
    if (j->plane->publisher)
        publisher_status(j->plane->publisher, &s);
    if (!books_are_due(now_ms, &j->night) || !s.leader)
        return 0;
    int err = books_check(j->db, now_ms, &j->plane->books);
    if (err)
        j->night = before; /* again at the next turn */
    return err;
}

static int
forget_budgets(struct lane *j)
{
    int64_t count;
    int err = budgets_forget(j->db, is_stopping, j, &count);
    if (count > 0)
        log_info("budgets.forgotten", F_INT("periods", count));
    return err;
}

static int
watch_seal_keys(struct lane *j)
{
    return seal_keys_watch(j->plane, j->db);
}

struct schedule {
    enum lane_id lane;
    const char *name;
    int64_t every_ms; /* 0: of the configuration's anchor_s */
    int (*run)(struct lane *j);
    int64_t due_ms;
    bool failing; /* told in the log already */
};

static const struct schedule table[] = {
    {LANE_OWN, "load_secrets", TICK_MS, load_secrets, 0, false},
    {LANE_OWN, "note_plane", TICK_MS, note_plane, 0, false},
    {LANE_OWN, "refresh_credentials", 30000, refresh_credentials, 0, false},
    {LANE_OWN, "forget_answers", 600000, forget_answers, 0, false},
    {LANE_OWN, "forget_deliveries", 3600000, forget_deliveries, 0, false},
    {LANE_OWN, "forget_sessions", 60000, forget_sessions, 0, false},
    {LANE_OWN, "make_partitions", 3600000, make_partitions, 0, false},
    {LANE_OWN, "export_audit_head", 0, export_audit_head, 0, false},
    {LANE_NETWORK, "refresh_issuers", TICK_MS, refresh_issuers, 0, false},
    {LANE_KEYS, "watch_seal_keys", TICK_MS, watch_seal_keys, 0, false},
    {LANE_NETWORK, "refresh_sign_ins", TICK_MS, refresh_sign_ins, 0, false},
    {LANE_MANAGERS, "refresh_references", TICK_MS, refresh_references, 0, false},
    {LANE_ALERTS, "deliver_alerts", TICK_MS, deliver_alerts, 0, false},
    {LANE_BOOKS, "check_books", 60000, check_books, 0, false},
    {LANE_BOOKS, "forget_budgets", 3600000, forget_budgets, 0, false},
};
#define JOB_COUNT (sizeof(table) / sizeof(table[0]))

static void
run_one(struct lane *j, struct schedule *s, int64_t now_ms)
{
    int64_t every = s->every_ms ? s->every_ms : (int64_t)j->plane->config.anchor_s * 1000;
    int err = s->run(j);
    /* What failed is tried soon again: after a start without PostgreSQL everything is overdue. */
    s->due_ms = now_ms + (err && every > 5 * TICK_MS ? 5 * TICK_MS : every);
    if (err && !s->failing)
        log_warn("job.failed", F_STR("job", s->name), F_ERR(err),
                 F_STR("database", db_error(j->db)));
    else if (!err && s->failing)
        log_info("job.works_again", F_STR("job", s->name));
    s->failing = err != 0;
}

/* true: stop. */
static bool
wait_tick(struct jobs *j)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TICK_MS / 1000;
    pthread_mutex_lock(&j->lock);
    while (!j->stopping && pthread_cond_timedwait(&j->wake, &j->lock, &until) != ETIMEDOUT)
        continue;
    bool stop = j->stopping;
    pthread_mutex_unlock(&j->lock);
    return stop;
}

static void *
run(void *ctx)
{
    struct lane *j = ctx;
    struct schedule schedule[JOB_COUNT];
    memcpy(schedule, table, sizeof(table));
    do {
        int64_t now_ms = clock_mono_ms();
        for (size_t i = 0; i < JOB_COUNT; i++)
            if (schedule[i].lane == j->id && schedule[i].due_ms <= now_ms)
                run_one(j, &schedule[i], now_ms);
    } while (!wait_tick(j->jobs));
    if (j->id == LANE_OWN)
        (void)export_audit_head(j); /* the last word of an orderly end */
    return NULL;
}

static bool
start_lane(struct jobs *j, struct plane *plane, enum lane_id id)
{
    struct lane *l = &j->lanes[id];
    *l = (struct lane){.id = id, .jobs = j, .plane = plane, .db = plane_db(plane, "jobs")};
    l->started = l->db && pthread_create(&l->thread, NULL, run, l) == 0;
    return l->started;
}

struct jobs *
jobs_start(struct plane *plane)
{
    struct jobs *j = calloc(1, sizeof(*j));
    pthread_condattr_t monotonic;
    sigset_t all, old;
    bool started = true;
    if (!j)
        return NULL;
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    for (size_t i = 0; i < LANES && started; i++)
        started = start_lane(j, plane, (enum lane_id)i);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (started)
        return j;
    jobs_stop(j);
    return NULL;
}

void
jobs_stop(struct jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; i < LANES; i++) {
        if (j->lanes[i].started)
            pthread_join(j->lanes[i].thread, NULL);
        db_free(j->lanes[i].db);
        managers_free(j->lanes[i].managers);
        tls_client_free(j->lanes[i].tls);
    }
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
