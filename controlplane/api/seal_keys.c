/*
 * GET /api/v1/secrets/keys: which sealing keys this control plane has, and what is sealed under
 * each; (who else has which, workers and control planes tell in their lists); POST
 * /api/v1/secrets/reseal: some of it anew, under the one that seals.
 */
#include <stdio.h>

#include "controlplane/api/api.h"
#include "controlplane/api/handlers.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/reseal.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"

#define BATCH 200 /* values sealed anew in one transaction */

static int
add_own(struct json *keys, const struct keyring *ring)
{
    int err = 0;
    for (size_t i = 0; i < ring->count && !err; i++) {
        char id[KEYRING_ID_TEXT], made[32];
        struct json *row = json_new_map();
        keyring_id_text(ring, i, id);
        clock_rfc3339(ring->keys[i].made_ms, made);
        err = row ? json_set_str(row, "id", id) : ERR_NOMEM;
        if (!err)
            err = json_set_str(row, "made_at", ring->keys[i].made_ms ? made : NULL);
        if (!err)
            err = json_set_bool(row, "seals", i == 0);
        if (err)
            json_free(row);
        else
            err = json_append(keys, row);
    }
    return err;
}

static int
add_value(void *ctx, const struct reseal_count *c)
{
    struct json *row = json_new_map();
    int err = row ? json_set_str(row, "place", c->place) : ERR_NOMEM;
    if (!err)
        err =
            c->key.len ? json_set_text(row, "key", c->key) : json_set(row, "key", json_new_null());
    if (!err)
        err = json_set_int(row, "values", c->values);
    if (!err)
        return json_append(ctx, row);
    json_free(row);
    return err;
}

static int
add_published(struct json *published, struct publisher *p)
{
    struct publisher_keys k = {0};
    struct json *ids = json_new_list();
    int err = ids ? 0 : ERR_NOMEM;
    if (!err)
        err = publisher_seal_keys(p, &k);
    for (size_t i = 0; i < k.count && !err; i++) {
        char id[KEYRING_ID_TEXT];
        hex_encode(k.ids[i], KEYRING_ID_BYTES, id);
        err = json_append(ids, json_new_text(slice_of(id)));
    }
    if (!err && k.without_id)
        err = json_append(ids, json_new_null());
    if (err) {
        json_free(ids);
        return err;
    }
    err = json_set(published, "keys", ids);
    if (!err)
        err = json_set_int(published, "epoch", (int64_t)k.epoch);
    return err ? err : json_set_int(published, "version", (int64_t)k.version);
}

/* A new member of the body; NULL: no memory. */
static struct json *
member(struct json *body, const char *name, struct json *value)
{
    return value && json_set(body, name, value) == 0 ? value : NULL;
}

int
seal_keys_show(struct api_request *r, struct api_reply *reply)
{
    struct json *body = json_new_map();
    struct keyring ring;
    secrets_ring(r->plane->secrets, &ring);
    int err = body ? 0 : ERR_NOMEM;
    struct json *keys = err ? NULL : member(body, "keys", json_new_list());
    struct json *values = keys ? member(body, "values", json_new_list()) : NULL;
    struct json *published = values ? member(body, "published", json_new_map()) : NULL;
    err = published ? add_own(keys, &ring) : ERR_NOMEM;
    keyring_wipe(&ring);
    if (!err)
        err = reseal_count(r->db, add_value, values);
    if (!err)
        err = add_published(published, r->plane->publisher);
    if (err) {
        json_free(body);
        return api_fail(r, reply, err);
    }
    reply->body = body;
    return 0;
}

/* ---- sealing anew ------------------------------------------------------------------------------
 */

static struct json *
result_json(const struct reseal_result *result, const char *id)
{
    struct json *out = json_new_map();
    if (out && json_set_str(out, "key", id) == 0 &&
        json_set_int(out, "resealed", (int64_t)result->sealed) == 0 &&
        json_set_int(out, "stuck", (int64_t)result->stuck) == 0 &&
        json_set_str(out, "stuck_place", result->stuck ? result->stuck_place : NULL) == 0)
        return out;
    json_free(out);
    return NULL;
}

int
seal_keys_reseal(struct api_request *r, struct api_reply *reply)
{
    struct reseal_result result;
    struct keyring ring;
    char id[KEYRING_ID_TEXT];
    int err = reseal_some(r->plane->secrets, r->db, BATCH, &result);
    if (!err && result.sealed)
        err = db_query(r->db, "NOTIFY " PUBLISH_CHANNEL, NULL, 0, NULL);
    if (err)
        return api_fail(r, reply, err);
    secrets_ring(r->plane->secrets, &ring);
    keyring_id_text(&ring, 0, id);
    keyring_wipe(&ring);
    reply->body = result_json(&result, id);
    reply->audit_detail = result_json(&result, id);
    if (!reply->body || !reply->audit_detail)
        return api_fail(r, reply, ERR_NOMEM);
    reply->unchanged = result.sealed == 0;
    snprintf(reply->audit_object, sizeof(reply->audit_object), "secrets/keys/%s", id);
    return 0;
}
