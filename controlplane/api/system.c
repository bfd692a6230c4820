/* Is the daemon alive, and is it ready; numbers for Prometheus. */
#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/api/throttle.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/migrate.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

int
system_health(struct api_request *r, struct api_reply *reply)
{
    reply->body = json_new_map();
    if (!reply->body || json_set_str(reply->body, "status", "ok") != 0)
        return api_fail(r, reply, ERR_NOMEM);
    return 0;
}

/* ---- readiness ------------------------------------------------------------------------------- */

static int
set_check(struct json *checks, const char *name, bool good, const char *why, bool *all_good)
{
    *all_good = *all_good && good;
    return json_set_str(checks, name, good ? "ok" : why);
}

static int
run_checks(struct api_request *r, struct json *checks, bool *all_good)
{
    struct buf why;
    size_t pending = 0;
    buf_init(&why, 1024);
    int found = migrate_check(r->db, migration_files, migration_file_count, &pending, &why);
    const char *text = buf_str(&why);
    int err = set_check(checks, "database", found != ERR_UNAVAILABLE && found != ERR_TIMEOUT,
                        "away, or never migrated", all_good);
    if (!err)
        err = set_check(checks, "migrations", found == 0 && pending == 0,
                        found == ERR_CONFLICT && text ? text : "run: headgate-controlplane migrate",
                        all_good);
    if (!err)
        err = set_check(checks, "secrets", secrets_ready(r->plane->secrets),
                        "the pepper is not loaded yet, or the seal key is another one", all_good);
    if (!err && r->plane->publisher) {
        struct publisher_status status;
        publisher_status(r->plane->publisher, &status);
        err = set_check(checks, "publisher", status.version > 0,
                        status.problem[0] ? status.problem : "nothing is published yet", all_good);
    }
    buf_free(&why);
    return err;
}

int
system_ready(struct api_request *r, struct api_reply *reply)
{
    bool all_good = true;
    struct json *checks = json_new_map();
    reply->body = json_new_map();
    int err = checks && reply->body ? run_checks(r, checks, &all_good) : ERR_NOMEM;
    if (!err)
        err = json_set_str(reply->body, "status", all_good ? "ok" : "not ready");
    if (err)
        json_free(checks);
    else
        err = json_set(reply->body, "checks", checks);
    if (err)
        return api_fail(r, reply, err);
    reply->status = all_good ? 200 : 503;
    reply->retry_after_s = all_good ? 0 : 1;
    return 0;
}

/* ---- metrics --------------------------------------------------------------------------------- */

static int
metric(struct buf *out, const char *kind, const char *name, const char *help, int64_t value)
{
    return buf_addf(out,
                    "# HELP headgate_control_%s %s\n# TYPE headgate_control_%s %s\n"
                    "headgate_control_%s %lld\n",
                    name, help, name, kind, name, (long long)value);
}

static int
metrics_of_publisher(struct buf *out, struct publisher *p)
{
    struct publisher_status s;
    publisher_status(p, &s);
    const struct {
        const char *kind, *name, *help;
        int64_t value;
    } rows[] = {
        {"gauge", "snapshot_epoch", "Epoch of the snapshot that is served.", (int64_t)s.epoch},
        {"gauge", "snapshot_version", "Version of the snapshot that is served.",
         (int64_t)s.version},
        {"gauge", "snapshot_revision", "Configuration revision of that snapshot.",
         (int64_t)s.revision},
        {"gauge", "snapshot_keys", "API keys in that snapshot.", (int64_t)s.key_count},
        {"gauge", "publisher_leader", "1: this daemon publishes.", s.leader ? 1 : 0},
        {"gauge", "publisher_stuck", "1: the newest revision could not be published.",
         s.problem[0] ? 1 : 0},
        {"counter", "snapshots_published_total", "Snapshots published.", (int64_t)s.published},
        {"counter", "sections_served_total", "Sections given to workers.",
         (int64_t)s.sections_served},
        {"counter", "snapshot_refusals_total", "Snapshots that workers refused.",
         (int64_t)s.refusals},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !err; i++)
        err = metric(out, rows[i].kind, rows[i].name, rows[i].help, rows[i].value);
    return err;
}

/* What only the database knows; absent while it is away. */
static int
metrics_of_database(struct api_request *r, struct buf *out)
{
    struct db_rows *rows = NULL;
    int away = db_query(r->db,
                        "SELECT (SELECT coalesce(max(revision), 0) FROM revisions), "
                        "(SELECT count(*) FROM workers WHERE seen_at > now() - interval '15 s'), "
                        "(SELECT coalesce(sum(spool_records), 0) FROM workers), "
                        "(SELECT count(*) FROM secret_references), "
                        "(SELECT count(*) FROM secret_references WHERE problem <> ''), "
                        "(SELECT count(*) FROM alert_deliveries WHERE state = 'pending')",
                        NULL, 0, &rows);
    int err = metric(out, "gauge", "database_up", "1: PostgreSQL answers.", away ? 0 : 1);
    if (!away && !err)
        err =
            metric(out, "gauge", "revision", "Newest configuration revision.", db_int(rows, 0, 0));
    if (!away && !err)
        err =
            metric(out, "gauge", "workers", "Workers heard from within 15 s.", db_int(rows, 0, 1));
    if (!away && !err)
        err = metric(out, "gauge", "usage_waiting_records",
                     "Usage records in the workers' spools, not yet acknowledged.",
                     db_int(rows, 0, 2));
    if (!away && !err)
        err = metric(out, "gauge", "secret_references", "References of items to secret managers.",
                     db_int(rows, 0, 3));
    if (!away && !err)
        err = metric(out, "gauge", "secret_references_failing",
                     "Those that could not be fetched at the last try.", db_int(rows, 0, 4));
    if (!away && !err)
        err = metric(out, "gauge", "alerts_pending", "Messages of alerts that are to be sent.",
                     db_int(rows, 0, 5));
    db_rows_free(rows);
    return err;
}

/* What the ledger could not book, or never got. */
static int
metrics_of_ledger(struct api_request *r, struct buf *out)
{
    static const char *const names[][2] = {
        {"usage_quarantined", "Usage records that could not be booked (table usage_quarantine)."},
        {"usage_missing", "Usage records that workers set aside as damaged, or "
                          "that the database has forgotten."},
        {"usage_unforeseen", "Attempts outside every day's partition: a clock is far off."},
    };
    struct db_rows *rows = NULL;
    int err = 0;
    if (db_query(r->db, "SELECT quarantined, missing, unforeseen FROM ledger_alarms", NULL, 0,
                 &rows) != 0)
        return 0; /* database_up tells */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !err; i++)
        err = metric(out, "gauge", names[i][0], names[i][1], db_int(rows, 0, i));
    db_rows_free(rows);
    return err;
}

static int
metrics_of_alerts(struct buf *out, const struct alert_counts *c)
{
    int err = metric(out, "counter", "alerts_sent_total", "Messages of alerts that were taken.",
                     (int64_t)atomic_load(&c->sent));
    if (!err)
        err = metric(out, "counter", "alert_failures_total", "Attempts to send one that failed.",
                     (int64_t)atomic_load(&c->failed));
    return err ? err
               : metric(out, "counter", "alerts_given_up_total",
                        "Messages that will not be sent any more.",
                        (int64_t)atomic_load(&c->given_up));
}

static int
metrics_of_books(struct buf *out, const struct books_status *s)
{
    int64_t checked_ms = atomic_load(&s->checked_ms);
    if (!checked_ms)
        return 0;
    int err = metric(out, "gauge", "ledger_problems",
                     "What the last nightly look found wrong in the books (the log names it).",
                     atomic_load(&s->problems));
    return err ? err
               : metric(out, "gauge", "ledger_checked_timestamp_seconds", "When that was.",
                        checked_ms / 1000);
}

int
system_metrics(struct api_request *r, struct api_reply *reply)
{
    struct buf *out = &reply->text;
    int err = metric(out, "counter", "requests_total", "Calls of the admin API.",
                     (int64_t)atomic_load(&r->plane->requests));
    if (!err)
        err = metric(out, "counter", "request_failures_total", "Calls answered with a 5xx.",
                     (int64_t)atomic_load(&r->plane->request_failures));
    struct throttle_counts wrong = throttle_counts(r->plane->throttle);
    if (!err)
        err = metric(out, "counter", "wrong_credentials_total",
                     "Tokens, sessions and sign-ins that were not taken.", (int64_t)wrong.failures);
    if (!err)
        err = metric(out, "counter", "throttled_total",
                     "Calls refused unlooked-at, after too many of those from their address.",
                     (int64_t)wrong.refusals);
    if (!err)
        err = metric(out, "gauge", "uptime_seconds", "Since the daemon started.",
                     (clock_mono_ms() - r->plane->started_ms) / 1000);
    if (!err)
        err = metric(out, "counter", "log_lines_dropped_total", "Log lines that found no room.",
                     (int64_t)log_dropped());
    if (!err && r->plane->publisher)
        err = metrics_of_publisher(out, r->plane->publisher);
    if (!err)
        err = metrics_of_alerts(out, &r->plane->alerts);
    if (!err)
        err = metrics_of_books(out, &r->plane->books);
    if (!err)
        err = metrics_of_database(r, out);
    if (!err)
        err = metrics_of_ledger(r, out);
    return err ? api_fail(r, reply, err) : 0;
}
