/* GET /api/v1/workers and /api/v1/snapshots. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/api/api.h"
#include "controlplane/api/fleet.h"
#include "controlplane/api/handlers.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"

#define ALIVE_MS 15000

/* --- workers ------------------------------------------------------------------------------------
 */

static struct json *
refusal_json(const struct worker_state *w)
{
    char at[32];
    struct json *out;

    if (!w->refused)
        return json_new_null();
    out = json_new_map();
    clock_rfc3339(w->refused_ms, at);
    if (out && json_set_int(out, "epoch", (int64_t)w->refused_epoch) == 0 &&
        json_set_int(out, "version", (int64_t)w->refused_version) == 0 &&
        json_set_str(out, "error", w->refused_error) == 0 &&
        json_set_str(out, "detail", w->refused_detail) == 0 && json_set_str(out, "at", at) == 0)
        return out;
    json_free(out);
    return NULL;
}

static int
set_time(struct json *out, const char *name, int64_t wall_ms)
{
    char text[32];

    clock_rfc3339(wall_ms, text);
    return json_set_str(out, name, wall_ms ? text : NULL);
}

static int
set_counts(struct json *out, const struct worker_state *w)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"held_epoch", w->held_epoch},       {"held_version", w->held_version},
        {"spool_records", w->spool_records}, {"spool_bytes", w->spool_bytes},
        {"requests", w->requests},           {"open_streams", w->open_streams},
    };
    int err = 0;

    for (size_t i = 0; !err && i < sizeof(all) / sizeof(*all); i++)
        err = json_set_int(out, all[i].name, (int64_t)(all[i].value & INT64_MAX));
    return err;
}

struct json *
fleet_words(struct slice text)
{
    struct json *out = json_new_list();
    struct slice rest = text;
    int err = out ? 0 : ERR_NOMEM;

    while (!err && rest.at && rest.len > 0)
        err = json_append(out, json_new_text(slice_cut(&rest, ' ')));
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

static struct json *
worker_json(const struct worker_state *w, int64_t now_ms)
{
    struct json *out = json_new_map();

    if (out && json_set_str(out, "node", w->node) == 0 && json_set_int(out, "slot", w->slot) == 0 &&
        json_set_int(out, "pid", w->pid) == 0 && json_set_str(out, "host", w->host) == 0 &&
        json_set_str(out, "build", w->build) == 0 &&
        set_time(out, "started_at", w->started_ms) == 0 &&
        set_time(out, "seen_at", w->seen_ms) == 0 &&
        json_set_bool(out, "alive", now_ms - w->seen_ms < ALIVE_MS) == 0 &&
        set_counts(out, w) == 0 && set_time(out, "applied_at", w->applied_ms) == 0 &&
        json_set(out, "refused", refusal_json(w)) == 0 &&
        json_set_bool(out, "draining", w->draining) == 0 &&
        json_set(out, "seal_keys", fleet_words(slice_of(w->seal_keys))) == 0)
        return out;
    json_free(out);
    return NULL;
}

static void
take_row(const struct db_rows *r, size_t i, struct worker_state *w)
{
    *w = (struct worker_state){
        .slot = (uint32_t)db_int(r, i, 1),
        .pid = (uint32_t)db_int(r, i, 2),
        .started_ms = db_int(r, i, 5),
        .seen_ms = db_int(r, i, 6),
        .held_epoch = (uint64_t)db_int(r, i, 7),
        .held_version = (uint64_t)db_int(r, i, 8),
        .applied_ms = db_int(r, i, 9),
        .refused = !db_is_null(r, i, 10),
        .refused_epoch = (uint64_t)db_int(r, i, 10),
        .refused_version = (uint64_t)db_int(r, i, 11),
        .refused_ms = db_int(r, i, 14),
        .spool_records = (uint64_t)db_int(r, i, 15),
        .spool_bytes = (uint64_t)db_int(r, i, 16),
        .requests = (uint64_t)db_int(r, i, 17),
        .open_streams = (uint64_t)db_int(r, i, 18),
        .draining = db_bool(r, i, 19),
    };
    snprintf(w->node, sizeof(w->node), "%s", db_text(r, i, 0));
    snprintf(w->host, sizeof(w->host), "%s", db_text(r, i, 3));
    snprintf(w->build, sizeof(w->build), "%s", db_text(r, i, 4));
    snprintf(w->refused_error, sizeof(w->refused_error), "%s", db_text(r, i, 12));
    snprintf(w->refused_detail, sizeof(w->refused_detail), "%s", db_text(r, i, 13));
    snprintf(w->seal_keys, sizeof(w->seal_keys), "%s", db_text(r, i, 20));
}

#define MS(column) "(extract(epoch FROM " column ") * 1000)::bigint"
static const char worker_rows[] = "SELECT node, slot, pid, host, build, " MS("started_at") ", " MS(
    "seen_at") ", held_epoch, "
               "held_version, coalesce(" MS(
                   "applied_at") ", 0), refused_epoch, refused_version, "
                                 "refused_error, refused_detail, " MS(
                                     "refused_at") ", spool_records, spool_bytes, requests, "
                                                   "open_streams, draining, seal_keys FROM workers "
                                                   "LIMIT "
                                                   "10000";

static int
by_node(const void *a, const void *b)
{
    const struct worker_state *x = a;
    const struct worker_state *y = b;
    int c = strcmp(x->node, y->node);

    return c ? c : (x->slot > y->slot) - (x->slot < y->slot);
}

/* What this daemon heard itself, or what another one has written down, when it was heard there
 * later. The caller frees. */
static struct worker_state *
all_workers(struct api_request *r, size_t *ret_count)
{
    struct db_rows *rows = NULL;
    size_t heard;
    struct worker_state *own = acks_copy(r->plane->publisher->acks, &heard);
    bool known = own && db_query(r->db, worker_rows, NULL, 0, &rows) == 0;
    size_t n = heard;
    struct worker_state *all =
        own ? realloc(own, (heard + (known ? db_count(rows) : 0) + 1) * sizeof(*all)) : NULL;

    for (size_t i = 0; all && known && i < db_count(rows); i++) {
        take_row(rows, i, &all[n]);
        struct worker_state *here =
            heard ? bsearch(&all[n], all, heard, sizeof(*all), by_node) : NULL;
        if (!here)
            n++;
        else if (here->seen_ms < all[n].seen_ms)
            *here = all[n];
    }
    if (known)
        db_rows_free(rows);
    if (all && n)
        qsort(all, n, sizeof(*all), by_node);
    else if (!all)
        free(own);
    *ret_count = all ? n : 0;
    return all;
}

/* "NODE/SLOT", the cursor of a page. */
static bool
is_behind(const struct worker_state *w, const char *after)
{
    struct worker_state mark = {0};
    const char *slash = strrchr(after, '/');
    unsigned long long slot;

    if (!slash || slice_to_u64(slice_of(slash + 1), &slot) != 0)
        return true;
    snprintf(mark.node, sizeof(mark.node), "%.*s", (int)(slash - after), after);
    mark.slot = (uint32_t)slot;
    return by_node(w, &mark) > 0;
}

int
workers_list(struct api_request *r, struct api_reply *reply)
{
    struct json *data = json_new_list();
    struct worker_state *all;
    const char *after = "";
    char next[96] = "";
    int64_t limit = 0;
    size_t n, given = 0, last = 0;
    bool more = false;
    int err = api_page(r, reply, &limit, &after);

    if (err) {
        json_free(data);
        return err;
    }
    all = all_workers(r, &n);
    err = all && data ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < n && !more; i++) {
        if (*after && !is_behind(&all[i], after))
            continue;
        more = given == (size_t)limit;
        if (more)
            break;
        err = json_append(data, worker_json(&all[i], clock_wall_ms()));
        last = i;
        given++;
    }
    if (!err && more)
        snprintf(next, sizeof(next), "%s/%" PRIu32, all[last].node, all[last].slot);
    free(all);
    if (!err)
        return api_page_reply(r, reply, data, more ? next : NULL);
    json_free(data);
    return api_fail(r, reply, err);
}

/* --- snapshots ----------------------------------------------------------------------------------
 */

static struct json *
snapshot_json(const struct db_rows *r, size_t i)
{
    struct json *out = json_new_map();

    if (out && json_set_int(out, "epoch", db_int(r, i, 0)) == 0 &&
        json_set_int(out, "version", db_int(r, i, 1)) == 0 &&
        json_set_int(out, "revision", db_int(r, i, 2)) == 0 &&
        json_set_text(out, "root_sha256", db_slice(r, i, 3)) == 0 &&
        json_set_int(out, "sections", db_int(r, i, 4)) == 0 &&
        json_set_int(out, "bytes", db_int(r, i, 5)) == 0 &&
        set_time(out, "published_at", db_int(r, i, 6)) == 0)
        return out;
    json_free(out);
    return NULL;
}

/* "EPOCH.VERSION" of the last row of the page before; beyond every row when there is none. */
static void
parse_after(const char *after, char epoch[static 24], char version[static 24])
{
    unsigned long long e = INT64_MAX, v = INT64_MAX;
    struct slice rest = slice_of(after);
    struct slice first = slice_cut(&rest, '.');

    if (slice_to_u64(first, &e) != 0 || e > INT64_MAX || slice_to_u64(rest, &v) != 0 ||
        v > INT64_MAX)
        e = v = INT64_MAX;
    snprintf(epoch, 24, "%llu", e);
    snprintf(version, 24, "%llu", v);
}

int
snapshots_list(struct api_request *r, struct api_reply *reply)
{
    char epoch[24], version[24], count[24], next[64];
    const char *params[] = {epoch, version, count};
    struct json *data;
    struct db_rows *rows;
    const char *after = "";
    int64_t limit = 0;
    size_t n;
    bool more;
    int err = api_page(r, reply, &limit, &after);

    if (err)
        return err;
    parse_after(after, epoch, version);
    snprintf(count, sizeof(count), "%" PRId64, limit + 1);
    err = db_query(r->db,
                   "SELECT epoch, version, revision, encode(root_sha256, 'hex'), sections, bytes, "
                   "(extract(epoch FROM published_at) * 1000)::bigint FROM snapshots "
                   "WHERE (epoch, version) < ($1::bigint, $2::bigint) "
                   "ORDER BY epoch DESC, version DESC LIMIT $3::bigint",
                   params, 3, &rows);
    if (err)
        return api_fail(r, reply, err);
    more = db_count(rows) > (size_t)limit;
    n = more ? (size_t)limit : db_count(rows);
    data = json_new_list();
    for (size_t i = 0; !err && i < n; i++)
        err = json_append(data, snapshot_json(rows, i));
    if (more)
        snprintf(next, sizeof(next), "%" PRId64 ".%" PRId64, db_int(rows, n - 1, 0),
                 db_int(rows, n - 1, 1));
    db_rows_free(rows);
    if (!err && data)
        return api_page_reply(r, reply, data, more ? next : NULL);
    json_free(data);
    return api_fail(r, reply, err ? err : ERR_NOMEM);
}
