/* Keys beyond what every kind has: a new secret, while the one before goes on for a while. */
#include <stdio.h>

#include "controlplane/api/handlers.h"
#include "controlplane/api/resources.h"
#include "controlplane/ledger/query.h"
#include "lib/base/clock.h"
#include "lib/base/secret.h"

/* ---- when each was last used ----------------------------------------------------------------- */

static int
set_last_used(const struct db_rows *rows, struct json *view)
{
    struct slice name = json_str(json_get(view, "name"));
    int err = json_set(view, "last_used", json_new_null());
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        if (slice_eq(db_slice(rows, i, 0), name) && db_slice(rows, i, 1).len > 0)
            err = json_set_str(view, "last_used", db_text(rows, i, 1));
    return err;
}

static int
names_of(const struct json *views, struct buf *into)
{
    struct json *names = json_new_list();
    int err = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(views) && !err; i++)
        err = json_append(names, json_copy(json_get(json_at(views, i), "name")));
    if (!err)
        err = json_write(names, false, 0, into);
    json_free(names);
    return err;
}

int
keys_add_last_used(struct db *db, struct json *views)
{
    struct db_rows *rows = NULL;
    struct buf names;
    buf_init(&names, 0);
    int err = names_of(views, &names);
    const char *text = err ? NULL : buf_str(&names);
    if (!err)
        err = text ? query_last_used(db, text, &rows) : ERR_NOMEM;
    for (size_t i = 0; i < json_size(views) && !err; i++)
        err = set_last_used(rows, json_at(views, i));
    db_rows_free(rows);
    buf_free(&names);
    return err;
}

/* ---- a new secret ---------------------------------------------------------------------------- */

/* {"digest","until"}: the secret before, which workers take until then. */
static int
retire(struct json *body, const struct json *digest, int64_t grace_s)
{
    char until[32];
    struct json *retired = json_new_map();
    clock_rfc3339(clock_wall_ms() + grace_s * 1000, until);
    int err = retired ? json_set(retired, "digest", json_copy(digest)) : ERR_NOMEM;
    if (!err)
        err = json_set_str(retired, "until", until);
    if (!err)
        return json_set(body, "retired", retired);
    json_free(retired);
    return err;
}

int
keys_rotated_body(struct api_request *r, const struct item *key, int64_t grace_s,
                  struct minted *ret_minted, struct json **ret_body)
{
    struct json *body = json_copy(key->body);
    int err = body ? 0 : ERR_NOMEM;
    if (!err)
        (void)json_remove(body, "retired");
    if (!err && grace_s > 0)
        err = retire(body, json_get(key->body, "digest"), grace_s);
    if (!err)
        err = change_mint_key(r, body, ret_minted);
    if (!err) {
        *ret_body = body;
        return 0;
    }
    json_free(body);
    return err;
}

int
keys_rotate(struct api_request *r, struct api_reply *reply)
{
    const struct kind *kind = kind_at(KIND_KEYS);
    int64_t grace_s = DEFAULT_GRACE_S;
    struct minted minted = {""};
    struct json *body = NULL;
    struct item key;
    int err = resource_find(r, reply, kind, &key);
    if (!err && json_get(r->body, "grace_s") &&
        json_to_int(json_get(r->body, "grace_s"), &grace_s) != 0)
        err = api_fail(r, reply, ERR_IO);
    if (!err && (err = keys_rotated_body(r, &key, grace_s, &minted, &body)) != 0)
        err = api_fail(r, reply, err);
    if (!err)
        err = resource_write(r, reply, kind, key.name, &key, body, "keys.rotate");
    if (!err)
        err = resource_show(r, reply, kind, key.name);
    if (!err && json_set_str(reply->body, "key", minted.text) != 0)
        err = api_fail(r, reply, ERR_NOMEM);
    secret_wipe(&minted, sizeof(minted));
    item_free(&key);
    return err;
}
