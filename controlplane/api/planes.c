/* GET /api/v1/controlplanes: who leads, under which epoch, and who stands by. */
#include <inttypes.h>
#include <stdio.h>

#include "controlplane/api/api.h"
#include "controlplane/api/fleet.h"
#include "controlplane/api/handlers.h"

/* An office is held under the highest epoch there is, by one that was heard of lately: of another
 * that still believes to hold it nobody takes anything. */
static const char plane_rows[] =
    "SELECT instance, host, pid, build, admin, "
    "to_char(started_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "to_char(seen_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
    "seen_at > now() - interval '5 s', publish_epoch, lease_epoch, "
    "publish_epoch > 0 AND publish_epoch = highest_publish, "
    "lease_epoch > 0 AND lease_epoch = highest_lease, seal_keys "
    "FROM control_planes, (SELECT max(publish_epoch) AS highest_publish, max(lease_epoch) AS "
    "highest_lease FROM control_planes) h WHERE instance > $1 ORDER BY instance LIMIT $2::bigint";

/* The epoch of an office that it holds; null: it stands by. */
static int
set_epoch(struct json *out, const char *name, bool holds, int64_t epoch)
{
    return holds ? json_set_int(out, name, epoch) : json_set(out, name, json_new_null());
}

static struct json *
plane_json(const struct db_rows *r, size_t i)
{
    static const char *const texts[] = {"instance", "host",       NULL,     "build",
                                        "admin",    "started_at", "seen_at"};
    struct json *out = json_new_map();
    bool is_alive = db_bool(r, i, 7);
    bool publishes = is_alive && db_bool(r, i, 10), grants = is_alive && db_bool(r, i, 11);
    int err = out ? json_set_int(out, "pid", db_int(r, i, 2)) : ERR_NOMEM;

    for (size_t k = 0; !err && k < sizeof(texts) / sizeof(texts[0]); k++)
        if (texts[k])
            err = json_set_text(out, texts[k], db_slice(r, i, k));
    if (!err)
        err = json_set_bool(out, "alive", is_alive);
    if (!err)
        err = json_set_str(out, "role",
                           !is_alive             ? "away"
                           : publishes || grants ? "leader"
                                                 : "standby");
    if (!err)
        err = set_epoch(out, "publish_epoch", publishes, db_int(r, i, 8));
    if (!err)
        err = set_epoch(out, "lease_epoch", grants, db_int(r, i, 9));
    if (!err)
        err = json_set(out, "seal_keys", fleet_words(db_slice(r, i, 12)));
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

int
planes_list(struct api_request *r, struct api_reply *reply)
{
    char count[24], next[64] = "";
    const char *params[] = {"", count};
    struct json *data = NULL;
    struct db_rows *rows = NULL;
    int64_t limit = 0;
    int err = api_page(r, reply, &limit, &params[0]);

    if (err)
        return err;
    snprintf(count, sizeof(count), "%" PRId64, limit + 1);
    err = db_query(r->db, plane_rows, params, 2, &rows);
    if (!err && !(data = json_new_list()))
        err = ERR_NOMEM;
    size_t n = db_count(rows) > (size_t)limit ? (size_t)limit : db_count(rows);
    for (size_t i = 0; !err && i < n; i++)
        err = json_append(data, plane_json(rows, i));
    if (n < db_count(rows))
        snprintf(next, sizeof(next), "%s", db_text(rows, n - 1, 0));
    db_rows_free(rows);
    if (!err)
        return api_page_reply(r, reply, data, next[0] ? next : NULL);
    json_free(data);
    return api_fail(r, reply, err);
}
