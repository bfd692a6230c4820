/* See seal_keys.h. */
#include "controlplane/jobs/seal_keys.h"

#include <stdio.h>
#include <unistd.h>

#include "controlplane/publish/publish.h"
#include "controlplane/secrets/ring.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "lib/base/log.h"

static int
append_audit(struct db *db, const char *before, const char *now)
{
    char host[65] = "", actor[100];
    struct json *detail = json_new_map();
    gethostname(host, sizeof(host) - 1);
    snprintf(actor, sizeof(actor), "controlplane:%s", host);
    struct audit_row row = {.actor = actor,
                            .action = "secrets.keys",
                            .object = "secrets/keys",
                            .request_id = "job",
                            .detail = detail};
    int err = detail ? json_set_str(detail, "before", before) : ERR_NOMEM;
    if (!err)
        err = json_set_str(detail, "now", now);
    if (!err)
        err = audit_append(db, &row);
    json_free(detail);
    return err;
}

/* Which keys a control plane has is part of who could read what, and when. */
static int
audit(struct db *db, const char *before, const char *now)
{
    int err = db_begin(db);
    if (!err) /* the lock of every writer: see api/dispatch.c */
        err = db_query(db, "SELECT pg_advisory_xact_lock(7523094288201235)", NULL, 0, NULL);
    if (!err)
        err = append_audit(db, before, now);
    if (!err)
        return db_commit(db);
    db_rollback(db);
    return err;
}

static int
take(struct plane *p, struct db *db, const struct keyring *ring)
{
    char before[KEYRING_IDS_TEXT], now[KEYRING_IDS_TEXT];
    struct keyring old;
    secrets_ring(p->secrets, &old);
    keyring_ids_text(&old, before);
    keyring_ids_text(ring, now);
    keyring_wipe(&old);
    int err = secrets_set_ring(p->secrets, ring);
    if (err)
        return err;
    log_info("secrets.seal_keys", F_STR("before", before), F_STR("now", now));
    if (p->publisher)
        publisher_kick(p->publisher);
    return strcmp(before, now) == 0 ? 0 : audit(db, before, now);
}

int
seal_keys_watch(struct plane *p, struct db *db)
{
    char why[KEYRING_WHY_BYTES];
    struct keyring ring;
    int err;
    bool asked = atomic_exchange(&p->reread_keys, false);
    if (!keyring_is_news(&p->keys) && !asked)
        return 0;
    err = ring_load(&p->keys, p->config.secrets_allow_private, &ring, why);
    if (err) {
        if (strcmp(why, p->keys_problem) != 0)
            log_error("secrets.seal_keys_unusable", F_STR("source", p->keys.name),
                      F_STR("why", why));
        snprintf(p->keys_problem, sizeof(p->keys_problem), "%s", why);
        if (err != ERR_SYNTAX && err != ERR_LIMIT) /* a key service that is away comes back */
            atomic_store(&p->reread_keys, true);
        return 0;
    }
    p->keys_problem[0] = '\0';
    err = take(p, db, &ring);
    keyring_wipe(&ring);
    return err;
}
