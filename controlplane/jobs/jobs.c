/* See jobs.h. The table is the schedule. */
#include "controlplane/jobs/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "controlplane/publish/publish.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "controlplane/store/tokens.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS 1000

struct jobs {
    struct plane *plane;
    struct db *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
};

static int
load_secrets(struct jobs *j)
{
    if (secrets_ready(j->plane->secrets))
        return 0;
    int err = secrets_load(j->plane->secrets, j->db);
    if (err == ERR_AUTH)
        log_error("secrets.wrong_seal_key",
                  F_STR("do", "this database was made with another seal key: give that one"));
    if (!err && j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return err;
}

static int
refresh_credentials(struct jobs *j)
{
    if (!secrets_refresh(j->plane->secrets))
        return 0;
    log_info("secrets.credential_changed");
    if (j->plane->publisher)
        publisher_kick(j->plane->publisher);
    return 0;
}

static int
forget_answers(struct jobs *j)
{
    return idempotency_expire(j->db);
}

static int
make_partitions(struct jobs *j)
{
    return db_query(j->db,
                    "SELECT headgate_make_partitions((now() AT TIME ZONE 'UTC')::date - 1, "
                    "(now() AT TIME ZONE 'UTC')::date + 14)",
                    NULL, 0, NULL);
}

static int
export_audit_head(struct jobs *j)
{
    char path[4096];
    struct audit_head head;
    int err = audit_head(j->db, &head);
    audit_anchor_path(j->plane->config.state_dir, path, sizeof(path));
    return err ? err : audit_anchor_write(path, &head, j->plane->sign_secret);
}

struct schedule {
    const char *name;
    int64_t every_ms; /* 0: of the configuration's anchor_s */
    int (*run)(struct jobs *j);
    int64_t due_ms;
    bool failing; /* told in the log already */
};

static const struct schedule table[] = {
    {"load_secrets", TICK_MS, load_secrets, 0, false},
    {"refresh_credentials", 30000, refresh_credentials, 0, false},
    {"forget_answers", 600000, forget_answers, 0, false},
    {"make_partitions", 3600000, make_partitions, 0, false},
    {"export_audit_head", 0, export_audit_head, 0, false},
};
#define JOB_COUNT (sizeof(table) / sizeof(table[0]))

static void
run_one(struct jobs *j, struct schedule *s, int64_t now_ms)
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
    struct jobs *j = ctx;
    struct schedule schedule[JOB_COUNT];
    memcpy(schedule, table, sizeof(table));
    do {
        int64_t now_ms = clock_mono_ms();
        for (size_t i = 0; i < JOB_COUNT; i++)
            if (schedule[i].due_ms <= now_ms)
                run_one(j, &schedule[i], now_ms);
    } while (!wait_tick(j));
    (void)export_audit_head(j); /* the last word of an orderly end */
    return NULL;
}

struct jobs *
jobs_start(struct plane *plane)
{
    struct jobs *j = calloc(1, sizeof(*j));
    pthread_condattr_t monotonic;
    sigset_t all, old;
    if (!j)
        return NULL;
    j->plane = plane;
    j->db = plane_db(plane, "jobs");
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    bool started = j->db && pthread_create(&j->thread, NULL, run, j) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (started)
        return j;
    db_free(j->db);
    free(j);
    return NULL;
}

void
jobs_stop(struct jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    db_free(j->db);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
