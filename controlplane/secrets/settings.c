/* See settings.h. */
#include "controlplane/secrets/settings.h"

#include <stdio.h>

#include "lib/base/encode.h"
#include "lib/base/rand.h"

#define PEPPER_BYTES 32 /* the fingerprints' key likewise */
#define LIMIT_SETTING_BYTES 256

/* Offers values; where another daemon was first, its values stay. */
static int
offer_setting(const struct keyring *ring, struct db *db, const char *name, struct slice value)
{
    unsigned char sealed[PEPPER_BYTES + SEAL_OVERHEAD_BYTES];
    char text[BASE64_BYTES(sizeof(sealed))];
    const char *const params[] = {name, text};
    int err = keyring_seal(ring, slice_of(name), value, sealed);
    if (err)
        return err;
    base64_encode(sealed, sizeof(sealed), text);
    return db_query(
        db, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        params, 2, NULL);
}

static int
offer_pepper(const struct keyring *ring, struct db *db)
{
    unsigned char pepper[PEPPER_BYTES];
    rand_bytes(pepper, sizeof(pepper));
    int err = offer_setting(ring, db, "pepper", slice_make(pepper, sizeof(pepper)));
    secret_wipe(pepper, sizeof(pepper));
    return err;
}

static int
offer_cluster(struct db *db)
{
    unsigned char id[16];
    char cluster[37];
    const char *const values[] = {cluster};
    uuid7(id);
    uuid_format(id, cluster);
    return db_query(db,
                    "INSERT INTO settings (name, value) VALUES ('cluster_id', $1) "
                    "ON CONFLICT (name) DO NOTHING",
                    values, 1, NULL);
}

/* It outlives the sealing keys, so that marks in files go on meaning what they meant: of the first
 * key there was it is made, as every version before made it anew each time. */
static int
offer_fingerprint(const struct keyring *ring, struct db *db, size_t key)
{
    static const char label[] = "headgate credential fingerprint v1";
    unsigned char made[SHA256_BYTES];
    struct hmac *outer = hmac_new(ring->keys[key].bytes, SEAL_KEY_BYTES);
    if (!outer)
        return ERR_NOMEM;
    hmac_sha256(outer, label, sizeof(label), made);
    hmac_free(outer);
    int err = offer_setting(ring, db, "fingerprint", slice_make(made, sizeof(made)));
    secret_wipe(made, sizeof(made));
    return err;
}

/* As it is stored: 0, ERR_NOT_FOUND, ERR_AUTH (it is no sealed value). */
static int
read_setting(struct db *db, const char *name, struct buf *into)
{
    const char *const params[] = {name};
    struct db_rows *rows = NULL;
    size_t len = 0;
    char *room;
    int err = db_query(db, "SELECT value FROM settings WHERE name = $1", params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    buf_clear(into);
    if (!err) {
        struct slice text = db_slice(rows, 0, 0);
        room = text.len < LIMIT_SETTING_BYTES ? buf_reserve(into, text.len + 4) : NULL;
        err = room && base64_decode(text, room, &len) == 0 ? 0 : ERR_AUTH;
    }
    if (!err)
        buf_commit(into, len);
    db_rows_free(rows);
    return err;
}

/* What it is sealed to: 0, ERR_AUTH, ERR_NOMEM. */
static int
open_setting(const struct keyring *ring, const char *name, struct slice sealed,
             struct hmac **ret_hmac, size_t *ret_key)
{
    struct secret value = {0};
    int err = keyring_open(ring, slice_of(name), sealed, &value, ret_key);
    if (err)
        return err == ERR_NOMEM ? err : ERR_AUTH;
    *ret_hmac = hmac_new(value.at, value.len);
    secret_free(&value);
    return *ret_hmac ? 0 : ERR_NOMEM;
}

static int
take_setting(const struct keyring *ring, struct db *db, const char *name, struct buf *sealed,
             struct hmac **ret_hmac, size_t *ret_key)
{
    int err = read_setting(db, name, sealed);
    return err ? err : open_setting(ring, name, buf_slice(sealed), ret_hmac, ret_key);
}

static int
take_cluster(struct db *db, char ret_id[static 37])
{
    struct db_rows *rows = NULL;
    int err = db_query(db, "SELECT value FROM settings WHERE name = 'cluster_id'", NULL, 0, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        snprintf(ret_id, 37, "%s", db_text(rows, 0, 0));
    db_rows_free(rows);
    return err;
}

/* A database of a version before has none: the key that opened its pepper is the first. */
static int
take_fingerprint(const struct keyring *ring, struct db *db, size_t key, struct hmac **ret_hmac)
{
    struct buf sealed;
    size_t other;
    buf_init(&sealed, LIMIT_SETTING_BYTES);
    int err = take_setting(ring, db, "fingerprint", &sealed, ret_hmac, &other);
    if (err == ERR_NOT_FOUND) {
        err = offer_fingerprint(ring, db, key);
        if (!err)
            err = take_setting(ring, db, "fingerprint", &sealed, ret_hmac, &other);
    }
    buf_free(&sealed);
    return err;
}

/* All of it or nothing. */
static int
take_settings(const struct keyring *ring, struct db *db, struct settings *ret)
{
    size_t key = 0;
    int err = take_cluster(db, ret->cluster_id);
    if (!err)
        err = take_setting(ring, db, "pepper", &ret->sealed_pepper, &ret->pepper, &key);
    if (!err)
        err = take_fingerprint(ring, db, key, &ret->fingerprint);
    if (!err)
        return 0;
    settings_fini(ret);
    return err;
}

int
settings_load(struct db *db, const struct keyring *ring, struct settings *ret)
{
    int err;
    *ret = (struct settings){0};
    buf_init(&ret->sealed_pepper, LIMIT_SETTING_BYTES);
    err = take_settings(ring, db, ret);
    if (err != ERR_NOT_FOUND)
        return err;
    err = offer_cluster(db);
    if (!err)
        err = offer_pepper(ring, db);
    return err ? err : take_settings(ring, db, ret);
}

void
settings_fini(struct settings *s)
{
    hmac_free(s->pepper);
    hmac_free(s->fingerprint);
    buf_free(&s->sealed_pepper);
    s->pepper = s->fingerprint = NULL;
}

int
settings_follow(struct db *db, const struct keyring *ring, struct buf *sealed_pepper)
{
    struct hmac *pepper = NULL;
    struct buf sealed;
    size_t key;
    buf_init(&sealed, LIMIT_SETTING_BYTES);
    int err = read_setting(db, "pepper", &sealed);
    if (!err && !slice_eq(buf_slice(&sealed), buf_slice(sealed_pepper))) {
        err = open_setting(ring, "pepper", buf_slice(&sealed), &pepper, &key);
        hmac_free(pepper);
        buf_clear(sealed_pepper);
        if (!err)
            err = buf_add_slice(sealed_pepper, buf_slice(&sealed));
    }
    buf_free(&sealed);
    return err;
}
