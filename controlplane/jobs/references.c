/* See references.h. The table is the schedule. */
#include "controlplane/jobs/references.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/publish/publish.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"

#define HOLDERS "'providers', 'sign_ins', 'alerts'" /* kinds of items that have a credential */
#define MANAGED "'^(vault|aws-sm|aws-ssm|gcp-sm|azure-kv):'"

/* --- which ------------------------------------------------------------------------------------ */

/* The table follows the configuration. */
static int
follow_items(struct db *db)
{
    int err = db_query(db,
                       "INSERT INTO secret_references (reference) SELECT DISTINCT body ->> "
                       "'credential' FROM config_items AS i WHERE kind IN (" HOLDERS ") "
                       "AND body ->> 'credential' ~ " MANAGED " AND NOT EXISTS (SELECT FROM "
                       "secret_references WHERE reference = i.body ->> 'credential') "
                       "ON CONFLICT DO NOTHING",
                       NULL, 0, NULL);
    return err ? err
               : db_query(db,
                          "DELETE FROM secret_references AS r WHERE NOT EXISTS (SELECT FROM "
                          "config_items WHERE kind IN (" HOLDERS ") AND body ->> 'credential' = "
                          "r.reference)",
                          NULL, 0, NULL);
}

/* What failed is tried again sooner. A daemon that claimed and died holds nothing up for long. */
static int
claim(struct db *db, long every_s, struct db_rows **ret_rows)
{
    char seconds[24];
    const char *const params[] = {seconds};
    snprintf(seconds, sizeof(seconds), "%ld", every_s);
    return db_query(db,
                    "UPDATE secret_references SET claimed_at = now() WHERE reference IN (SELECT "
                    "reference FROM secret_references WHERE (claimed_at IS NULL OR claimed_at < "
                    "now() - interval '60 s') AND (tried_at IS NULL OR wanted_at IS NOT NULL OR "
                    "tried_at < now() - make_interval(secs => CASE WHEN problem = '' THEN "
                    "$1::integer ELSE least($1::integer, 10) END)) ORDER BY wanted_at NULLS LAST, "
                    "tried_at NULLS FIRST LIMIT 5 FOR UPDATE SKIP LOCKED) "
                    "RETURNING reference, problem",
                    params, 1, ret_rows);
}

/* --- keeping ---------------------------------------------------------------------------------- */

#define TRIED                                                                                      \
    "tried_at = now(), wanted_at = CASE WHEN wanted_at > claimed_at THEN wanted_at END, "          \
    "claimed_at = NULL "

static int
note_problem(struct db *db, const char *reference, const char *problem)
{
    const char *const params[] = {reference, problem};
    return db_query(db, "UPDATE secret_references SET problem = $2, " TRIED "WHERE reference = $1",
                    params, 2, NULL);
}

static int
note_success(struct db *db, const char *reference)
{
    const char *const params[] = {reference};
    return db_query(db,
                    "UPDATE secret_references SET problem = '', resolved_at = now(), " TRIED
                    "WHERE reference = $1",
                    params, 1, NULL);
}

static int
store(struct db *db, const char *reference, struct slice sealed)
{
    char *hex = malloc(2 * sealed.len + 1);
    const char *const params[] = {reference, hex};
    if (!hex)
        return ERR_NOMEM;
    hex_encode(sealed.at, sealed.len, hex);
    int err = db_query(db,
                       "UPDATE secret_references SET sealed = decode($2, 'hex'), version = "
                       "nextval('secret_versions'), problem = '', resolved_at = now(), " TRIED
                       "WHERE reference = $1",
                       params, 2, NULL);
    free(hex);
    return err ? err : db_query(db, "NOTIFY " PUBLISH_CHANNEL, NULL, 0, NULL);
}

static int
keep_value(struct db *db, struct secrets *s, const char *reference, struct slice value,
           bool *ret_changed)
{
    struct buf sealed;
    if (secrets_fetched_is(s, slice_of(reference), value))
        return note_success(db, reference);
    buf_init(&sealed, 0);
    int err = secrets_seal_fetched(s, slice_of(reference), value, &sealed);
    if (!err)
        err = store(db, reference, buf_slice(&sealed));
    buf_free(&sealed);
    if (!err)
        log_info("secret.changed", F_STR("reference", reference));
    *ret_changed = *ret_changed || !err;
    return err;
}

static int
refresh_one(struct db *db, struct secrets *s, struct managers *m, const char *reference,
            const char *problem_before, bool *ret_changed)
{
    char why[ASK_WHY_BYTES];
    struct secret value = {0};
    int err = managers_fetch(m, slice_of(reference), &value, why);
    if (err) {
        if (strcmp(why, problem_before) != 0)
            log_error("secret.unresolved", F_STR("reference", reference), F_STR("why", why));
        return note_problem(db, reference, why);
    }
    if (*problem_before)
        log_info("secret.resolved_again", F_STR("reference", reference));
    err = keep_value(db, s, reference, secret_reveal(&value), ret_changed);
    secret_free(&value);
    return err;
}

int
references_refresh(struct db *db, struct secrets *s, struct managers *m, long every_s,
                   bool *ret_changed)
{
    struct db_rows *rows = NULL;
    bool synced;
    *ret_changed = false;
    managers_keep(m);
    int err = follow_items(db);
    if (!err)
        err = claim(db, every_s, &rows);
    if (!err && db_count(rows) > 0)
        err = secrets_sync(s, db, &synced); /* what others fetched is not news */
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = refresh_one(db, s, m, db_text(rows, i, 0), db_text(rows, i, 1), ret_changed);
    db_rows_free(rows);
    return err;
}
