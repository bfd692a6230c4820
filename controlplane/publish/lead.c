#include "controlplane/publish/lead.h"

#include <inttypes.h>
#include <stdio.h>

#include "controlplane/store/epochs.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define LEAD_LOCK "7523094288201236"
#define LONG_MS 60000

/* --- the file: "epoch N" --------------------------------------------------------------------- */

static int
parse(struct slice text, uint64_t *ret)
{
    unsigned long long n;

    if (!slice_starts(text, SLICE("epoch ")) || text.at[text.len - 1] != '\n' ||
        slice_to_u64(slice_make(text.at + 6, text.len - 7), &n) != 0)
        return ERR_SYNTAX;
    *ret = n;
    return 0;
}

int
lead_init(struct lead *l, const char *dir, bool force, struct buf *why)
{
    struct buf text;
    int err;

    *l = (struct lead){.force = force};
    snprintf(l->path, sizeof(l->path), "%s/epoch", dir);
    buf_init(&text, 0);
    err = file_read(l->path, 64, true, &text);
    if (!err)
        err = parse(buf_slice(&text), &l->seen);
    buf_free(&text);
    if (err == ERR_NOT_FOUND)
        return 0; /* the first start here */
    if (err && buf_addf(why, "%s: %s; remove it if it is damaged, and start with --force-epoch",
                        l->path, err_name(err)) != 0)
        err = ERR_NOMEM;
    return err;
}

int
lead_saw(struct lead *l, uint64_t epoch)
{
    char text[40];
    int n, err;

    if (epoch <= l->seen)
        return 0;
    n = snprintf(text, sizeof(text), "epoch %" PRIu64 "\n", epoch);
    err = file_replace(l->path, slice_make(text, (size_t)n), 0600);
    if (!err)
        l->seen = epoch;
    return err;
}

/* --- the epoch ------------------------------------------------------------------------------- */

static int
ask(struct db *db, const char *sql, int64_t *ret)
{
    struct db_rows *rows;
    int err = db_query(db, sql, NULL, 0, &rows);

    if (err)
        return err;
    *ret = db_count(rows) ? db_int(rows, 0, 0) : 0;
    db_rows_free(rows);
    return 0;
}

static int
went_back(const struct lead *l, uint64_t last, struct buf *why)
{
    if (buf_addf(why,
                 "the database's last epoch is %" PRIu64 ", but %" PRIu64
                 " was published before: was it restored from a backup? Nothing is published until "
                 "this daemon is started with --force-epoch",
                 last, l->seen) != 0)
        return ERR_NOMEM;
    return ERR_STALE;
}

/* A new epoch, above all that were ever published from here or recorded there. Looks before it
 * draws: drawing again and again would catch up with what was seen, and hide that the database went
 * back. */
static int
draw_epoch(struct lead *l, struct db *db, uint64_t *ret, struct buf *why)
{
    int64_t last, recorded;
    int err = ask(db, "SELECT last_value FROM publisher_epoch WHERE is_called", &last);

    if (!err)
        err = ask(db, "SELECT coalesce(max(epoch), 0) FROM snapshots", &recorded);
    if (err)
        return err;
    if ((uint64_t)last < l->seen && !l->force)
        return went_back(l, (uint64_t)last, why);
    return epoch_draw(db, "publisher_epoch",
                      l->seen > (uint64_t)recorded ? l->seen : (uint64_t)recorded, ret);
}

/* --- the lock -------------------------------------------------------------------------------- */

static int
unlock(struct db *db)
{
    return db_query(db, "SELECT pg_advisory_unlock(" LEAD_LOCK ")", NULL, 0, NULL);
}

static int
take_office(struct lead *l, struct db *db, uint64_t connection, struct buf *why)
{
    uint64_t epoch = 0;
    int err = draw_epoch(l, db, &epoch, why);

    if (!err)
        err = lead_saw(l, epoch); /* on disk before anything is signed under it */
    if (!err)
        err = db_end_when_idle(db, LEAD_IDLE_MS);
    if (!err && db_connection(db) != connection)
        err = ERR_UNAVAILABLE; /* lost meanwhile, and the lock with it */
    if (err) {
        if (unlock(db) != 0)
            log_debug("publish.unlock_failed");
        return err;
    }
    l->epoch = epoch;
    l->connection = connection;
    l->force = false; /* once */
    log_info("publish.leading", F_INT("epoch", epoch));
    return 1;
}

int
lead_try(struct lead *l, struct db *db, struct buf *why)
{
    struct db_rows *rows;
    uint64_t connection;
    bool locked;
    int err = db_ping(db, &connection);

    if (err)
        return err;
    if (l->connection == connection)
        return 1;
    if (l->connection)
        log_warn("publish.not_leading", F_STR("why", "the connection was lost"));
    l->connection = 0; /* the lock went with the old one */
    err = db_query(db, "SELECT pg_try_advisory_lock(" LEAD_LOCK ")", NULL, 0, &rows);
    if (err)
        return err;
    locked = db_bool(rows, 0, 0);
    db_rows_free(rows);
    return locked ? take_office(l, db, connection, why) : 0;
}

int
lead_confirm(struct lead *l, struct db *db)
{
    uint64_t connection;
    int err = db_ping(db, &connection);

    if (err)
        return err;
    return l->connection && l->connection == connection ? 0 : ERR_CONFLICT;
}

int
lead_be_long(struct lead *l, struct db *db)
{
    return lead_is(l) ? db_end_when_idle(db, LONG_MS) : 0;
}

int
lead_be_quick(struct lead *l, struct db *db)
{
    return lead_is(l) ? db_end_when_idle(db, LEAD_IDLE_MS) : 0;
}
