/* See outbox.h. */
#include "controlplane/alerts/outbox.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_OF(number) #number
#define SECONDS(number) "interval '" TEXT_OF(number) " s'"
#define DAYS(number) "interval '" TEXT_OF(number) " days'"

void
delivery_free(struct delivery *d)
{
    json_free(d->event);
    json_free(d->body);
    json_free(d->settled);
    d->event = d->body = d->settled = NULL;
}

int64_t
outbox_pause_s(int64_t attempt)
{
    int64_t pause = attempt >= 1 && attempt < 20 ? INT64_C(1) << (attempt - 1) : LIMIT_PAUSE_S;
    return pause < LIMIT_PAUSE_S ? pause : LIMIT_PAUSE_S;
}

/* --- claiming --------------------------------------------------------------------------------- */

static const char claim_sql[] =
    "UPDATE alert_deliveries d SET claimed_at = now(), attempts = attempts + 1 FROM (SELECT id "
    "FROM alert_deliveries WHERE state = 'pending' AND due_at <= now() AND (claimed_at IS NULL OR "
    "claimed_at < now() - " SECONDS(
        OUTBOX_CLAIM_S) ") AND alert NOT IN (SELECT jsonb_array_elements_text($1::jsonb)) "
                        "ORDER BY due_at, percent, id LIMIT 1 FOR UPDATE SKIP LOCKED) c "
                        "WHERE d.id = c.id RETURNING d.id, d.alert, d.attempts, d.event, "
                        "(SELECT body FROM config_items i WHERE i.kind = 'alerts' AND i.name = "
                        "d.alert), d.settled";

static int
take(const struct db_rows *rows, struct delivery *ret)
{
    *ret = (struct delivery){.attempt = db_int(rows, 0, 2)};
    snprintf(ret->id, sizeof(ret->id), "%s", db_text(rows, 0, 0));
    snprintf(ret->alert, sizeof(ret->alert), "%s", db_text(rows, 0, 1));
    int err = json_parse(db_slice(rows, 0, 3), &ret->event, NULL, 0);
    if (!err && !db_is_null(rows, 0, 4))
        err = json_parse(db_slice(rows, 0, 4), &ret->body, NULL, 0);
    if (!err)
        err = json_parse(db_slice(rows, 0, 5), &ret->settled, NULL, 0);
    /* Whoever asked for a test looks at it now. */
    bool test = slice_is(json_str(json_get(ret->event, "type")), "alert.test");
    int64_t most = test ? 1 : LIMIT_ATTEMPTS;
    ret->last = ret->attempt >= most;
    ret->beyond = ret->attempt > most;
    return err;
}

int
outbox_claim(struct db *db, const struct json *resting, struct delivery *ret)
{
    struct db_rows *rows = NULL;
    struct buf text;
    buf_init(&text, 0);
    *ret = (struct delivery){.attempt = 0};
    int err = json_write(resting, false, 0, &text);
    const char *const params[] = {buf_str(&text)};
    if (!err && !params[0])
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, claim_sql, params, 1, &rows);
    int found = !err && db_count(rows) > 0;
    if (found)
        err = take(rows, ret);
    if (err)
        delivery_free(ret);
    db_rows_free(rows);
    buf_free(&text);
    return err ? err : found;
}

/* --- how it went ------------------------------------------------------------------------------ */

/* Runs a statement whose first parameter is the row's id, and whose second is what is settled. */
static int
note(struct db *db, const struct delivery *d, const char *sql, const char **params, size_t count)
{
    struct buf settled;
    buf_init(&settled, 0);
    int err = json_write(d->settled, false, 0, &settled);
    params[0] = d->id;
    params[1] = buf_str(&settled);
    if (!err && !params[1])
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, sql, params, count, NULL);
    buf_free(&settled);
    return err;
}

int
outbox_sent(struct db *db, const struct delivery *d, const char *said)
{
    const char *params[] = {NULL, NULL, said};
    return note(db, d,
                "UPDATE alert_deliveries SET state = 'sent', ended_at = now(), "
                "claimed_at = NULL, settled = $2::jsonb, last_error = $3 WHERE id = $1::uuid",
                params, 3);
}

/* Only while it is still ours: another daemon may have it by now. */
int
outbox_failed(struct db *db, const struct delivery *d, const char *why, bool for_good,
              bool *ret_over)
{
    char attempt[24], pause[24];
    *ret_over = for_good || d->last;
    snprintf(attempt, sizeof(attempt), "%" PRId64, d->attempt);
    snprintf(pause, sizeof(pause), "%" PRId64, outbox_pause_s(d->attempt));
    const char *params[] = {NULL, NULL, attempt, why, pause, *ret_over ? "failed" : "pending"};
    return note(db, d,
                "UPDATE alert_deliveries SET claimed_at = NULL, settled = $2::jsonb, "
                "last_error = $4, state = $6, "
                "due_at = now() + make_interval(secs => $5::integer), "
                "ended_at = CASE WHEN $6 = 'failed' THEN now() END "
                "WHERE id = $1::uuid AND attempts = $3::integer AND state = 'pending'",
                params, 6);
}

int
outbox_forget(struct db *db)
{
    return db_query(
        db,
        "DELETE FROM alert_deliveries WHERE state <> 'pending' AND ended_at < now() - " DAYS(
            OUTBOX_KEEP_DAYS),
        NULL, 0, NULL);
}
