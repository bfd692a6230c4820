#include "controlplane/publish/acks.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/keyring.h"
#include "lib/base/map.h"
#include "lib/base/utf8.h"

#define LAST_WALL_MS INT64_C(253402300799000) /* the year 9999 */

struct entry {
    struct worker_state state;
    char key[80]; /* NODE/SLOT */
    bool dirty;   /* not yet in the table as it is */
};

struct acks {
    pthread_mutex_t lock;
    struct map by_key; /* struct entry */
};

struct acks *
acks_new(void)
{
    struct acks *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    map_init(&a->by_key);
    return a;
}

void
acks_free(struct acks *a)
{
    struct slice key;
    size_t cursor = 0;
    void *value;

    if (!a)
        return;
    while (map_next(&a->by_key, &cursor, &key, &value))
        free(value);
    map_free(&a->by_key);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* --- what is heard --------------------------------------------------------------------------- */

/* What a worker says goes into PostgreSQL and JSON: valid UTF-8 without control characters. */
static void
copy_text(char *to, size_t room, struct slice from)
{
    size_t n = 0;

    for (size_t i = 0, step; i < from.len; i += step) {
        uint32_t code;
        size_t len = utf8_take(from.at + i, from.len - i, &code);
        bool plain = len > 0 && code >= 0x20 && code != 0x7f;

        step = len ? len : 1;
        if (n + step >= room)
            break;
        if (plain)
            memcpy(to + n, from.at + i, step);
        else
            memset(to + n, '?', step);
        n += step;
    }
    to[n] = '\0';
}

/* Room for one more: who was not heard for longest goes. */
static void
make_room(struct acks *a)
{
    struct entry *oldest = NULL;
    struct slice key;
    size_t cursor = 0;
    void *value;

    if (a->by_key.count < LIMIT_WORKERS)
        return;
    while (map_next(&a->by_key, &cursor, &key, &value)) {
        struct entry *e = value;

        if (!oldest || e->state.seen_ms < oldest->state.seen_ms)
            oldest = e;
    }
    map_remove(&a->by_key, slice_of(oldest->key));
    free(oldest);
}

/* Under the lock. NULL: no memory. */
static struct entry *
find_or_add(struct acks *a, const struct bus_worker *from)
{
    char key[80], node[64];
    struct entry *e;

    copy_text(node, sizeof(node), from->node);
    snprintf(key, sizeof(key), "%s/%" PRIu32, node, from->slot);
    if ((e = map_find(&a->by_key, slice_of(key))) != NULL)
        return e;
    make_room(a);
    if (!(e = calloc(1, sizeof(*e))))
        return NULL;
    memcpy(e->key, key, sizeof(key));
    memcpy(e->state.node, node, sizeof(node));
    if (map_put(&a->by_key, slice_of(e->key), e) == 0)
        return e;
    free(e);
    return NULL;
}

/* Slots and pids are integers in the table, and so bounded here. */
static int
hear(struct acks *a, const struct bus_worker *from, int64_t now_ms, struct entry **ret)
{
    struct entry *e;

    if (from->node.len == 0 || from->slot > INT32_MAX || from->pid > INT32_MAX)
        return ERR_SYNTAX;
    if (!(e = find_or_add(a, from)))
        return ERR_NOMEM;
    copy_text(e->state.host, sizeof(e->state.host), from->host);
    copy_text(e->state.build, sizeof(e->state.build), from->build);
    e->state.slot = from->slot;
    e->state.pid = from->pid;
    e->state.started_ms = from->started_ms < 0              ? 0
                          : from->started_ms > LAST_WALL_MS ? LAST_WALL_MS
                                                            : from->started_ms;
    e->state.seen_ms = now_ms;
    e->dirty = true;
    *ret = e;
    return 0;
}

static bool
is_newer(uint64_t epoch, uint64_t version, uint64_t than_epoch, uint64_t than_version)
{
    return epoch != than_epoch ? epoch > than_epoch : version > than_version;
}

static void
set_held(struct worker_state *w, uint64_t epoch, uint64_t version, int64_t now_ms)
{
    if (w->held_epoch != epoch || w->held_version != version)
        w->applied_ms = epoch ? now_ms : 0;
    w->held_epoch = epoch;
    w->held_version = version;
    /* the very same one may be taken later: with the sealing key that was missing */
    if (w->refused && !is_newer(w->refused_epoch, w->refused_version, epoch, version))
        w->refused = false;
}

int
acks_applied(struct acks *a, const struct bus_worker *from, const struct bus_applied *said,
             int64_t now_ms)
{
    struct entry *e;
    int err;

    pthread_mutex_lock(&a->lock);
    err = hear(a, from, now_ms, &e);
    if (!err) {
        set_held(&e->state, said->held_epoch, said->held_version, now_ms);
        if (said->error.len) {
            e->state.refused = true;
            e->state.refused_epoch = said->epoch;
            e->state.refused_version = said->version;
            e->state.refused_ms = now_ms;
            copy_text(e->state.refused_error, sizeof(e->state.refused_error), said->error);
            copy_text(e->state.refused_detail, sizeof(e->state.refused_detail), said->detail);
        }
    }
    pthread_mutex_unlock(&a->lock);
    return err;
}

static void
set_seal_keys(struct worker_state *w, const struct bus_heartbeat *said)
{
    struct keyring ring = {0};

    for (size_t i = 0; i < said->seal_key_count && i < KEYRING_MOST; i++)
        if (said->seal_keys[i].len == KEYRING_ID_BYTES)
            memcpy(ring.keys[ring.count++].id, said->seal_keys[i].at, KEYRING_ID_BYTES);
    keyring_ids_text(&ring, w->seal_keys);
}

int
acks_heartbeat(struct acks *a, const struct bus_worker *from, const struct bus_heartbeat *said,
               int64_t now_ms)
{
    struct entry *e;
    int err;

    pthread_mutex_lock(&a->lock);
    err = hear(a, from, now_ms, &e);
    if (!err) {
        set_held(&e->state, said->held_epoch, said->held_version, now_ms);
        e->state.spool_records = said->spool_records;
        e->state.spool_bytes = said->spool_bytes;
        e->state.requests = said->requests;
        e->state.open_streams = said->open_streams;
        e->state.draining = said->draining;
        set_seal_keys(&e->state, said);
    }
    pthread_mutex_unlock(&a->lock);
    return err;
}

/* --- what is told ---------------------------------------------------------------------------- */

static int
by_node(const void *a, const void *b)
{
    const struct worker_state *x = a;
    const struct worker_state *y = b;
    int c = strcmp(x->node, y->node);

    return c ? c : (x->slot > y->slot) - (x->slot < y->slot);
}

static struct worker_state *
copy(struct acks *a, bool dirty_only, size_t *ret_count)
{
    struct worker_state *all;
    struct slice key;
    size_t cursor = 0;
    size_t n = 0;
    void *value;

    pthread_mutex_lock(&a->lock);
    all = calloc(a->by_key.count + 1, sizeof(*all));
    while (all && map_next(&a->by_key, &cursor, &key, &value)) {
        struct entry *e = value;

        if (dirty_only && !e->dirty)
            continue;
        all[n++] = e->state;
        e->dirty = e->dirty && !dirty_only;
    }
    pthread_mutex_unlock(&a->lock);
    if (n)
        qsort(all, n, sizeof(*all), by_node);
    *ret_count = n;
    return all;
}

struct worker_state *
acks_copy(struct acks *a, size_t *ret_count)
{
    return copy(a, false, ret_count);
}

/* --- the table ------------------------------------------------------------------------------- */

static const char upsert[] =
    "INSERT INTO workers (node, slot, pid, host, build, started_at, seen_at, held_epoch, "
    "held_version, applied_at, refused_epoch, refused_version, refused_error, refused_detail, "
    "refused_at, spool_records, spool_bytes, requests, open_streams, draining, seal_keys) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, "
    "$20, $21) ON CONFLICT (node, slot) DO UPDATE SET pid = excluded.pid, host = excluded.host, "
    "build = excluded.build, started_at = excluded.started_at, seen_at = excluded.seen_at, "
    "held_epoch = excluded.held_epoch, held_version = excluded.held_version, "
    "applied_at = excluded.applied_at, refused_epoch = excluded.refused_epoch, "
    "refused_version = excluded.refused_version, refused_error = excluded.refused_error, "
    "refused_detail = excluded.refused_detail, refused_at = excluded.refused_at, "
    "spool_records = excluded.spool_records, spool_bytes = excluded.spool_bytes, "
    "requests = excluded.requests, open_streams = excluded.open_streams, "
    "draining = excluded.draining, seal_keys = excluded.seal_keys WHERE workers.seen_at <= "
    "excluded.seen_at";

#define COLUMNS 21

/* Texts of one row; NULL is SQL's. */
struct row {
    const char *at[COLUMNS];
    char numbers[COLUMNS][24];
    char times[4][32];
};

static void
put_number(struct row *r, size_t column, uint64_t v)
{
    snprintf(r->numbers[column], sizeof(r->numbers[column]), "%" PRIu64, v & INT64_MAX);
    r->at[column] = r->numbers[column];
}

static void
put_time(struct row *r, size_t column, size_t slot, int64_t wall_ms)
{
    clock_rfc3339(wall_ms, r->times[slot]);
    r->at[column] = r->times[slot];
}

static void
fill_row(struct row *r, const struct worker_state *w)
{
    *r = (struct row){0};
    r->at[0] = w->node;
    put_number(r, 1, w->slot);
    put_number(r, 2, w->pid);
    r->at[3] = w->host;
    r->at[4] = w->build;
    put_time(r, 5, 0, w->started_ms);
    put_time(r, 6, 1, w->seen_ms);
    put_number(r, 7, w->held_epoch);
    put_number(r, 8, w->held_version);
    if (w->applied_ms)
        put_time(r, 9, 2, w->applied_ms);
    if (w->refused) {
        put_number(r, 10, w->refused_epoch);
        put_number(r, 11, w->refused_version);
        r->at[12] = w->refused_error;
        r->at[13] = w->refused_detail;
        put_time(r, 14, 3, w->refused_ms);
    }
    put_number(r, 15, w->spool_records);
    put_number(r, 16, w->spool_bytes);
    put_number(r, 17, w->requests);
    put_number(r, 18, w->open_streams);
    r->at[19] = w->draining ? "true" : "false";
    r->at[20] = w->seal_keys;
}

static void
mark_dirty(struct acks *a, const struct worker_state *w)
{
    char key[80];
    struct entry *e;

    snprintf(key, sizeof(key), "%s/%" PRIu32, w->node, w->slot);
    pthread_mutex_lock(&a->lock);
    if ((e = map_find(&a->by_key, slice_of(key))) != NULL)
        e->dirty = true;
    pthread_mutex_unlock(&a->lock);
}

static int
write_rows(struct db *db, const struct worker_state *all, size_t n)
{
    struct row row;
    int err = db_begin(db);

    for (size_t i = 0; !err && i < n; i++) {
        fill_row(&row, &all[i]);
        err = db_query(db, upsert, row.at, COLUMNS, NULL);
    }
    if (!err)
        err = db_query(db, "DELETE FROM workers WHERE seen_at < now() - interval '1 day'", NULL, 0,
                       NULL);
    if (!err)
        return db_commit(db);
    db_rollback(db);
    return err;
}

int
acks_flush(struct acks *a, struct db *db)
{
    size_t n;
    struct worker_state *all = copy(a, true, &n);
    int err = all ? 0 : ERR_NOMEM;

    if (all && n)
        err = write_rows(db, all, n);
    for (size_t i = 0; all && err && i < n; i++)
        mark_dirty(a, &all[i]);
    free(all);
    return err;
}
