/*
 * See seal.h. One mutex guards everything; what is slow under it is a small file read every 30 s.
 */
#include "controlplane/secrets/seal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "controlplane/secrets/fetched.h"
#include "controlplane/secrets/reference.h"
#include "controlplane/secrets/settings.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define REFRESH_MS 30000

/* A reference that was resolved, and what it was sealed to. */
struct resolved {
    LIST_ENTRY(resolved) link;
    char *provider, *reference;
    struct secret value;
    struct buf sealed;
    int64_t looked_ms;
};

struct secrets {
    pthread_mutex_t lock;
    struct keyring ring;
    const char *credentials_dir;
    struct settings settings; /* empty before secrets_load() */
    LIST_HEAD(, resolved) resolved;
    struct fetched fetched;
};

struct secrets *
secrets_new(const struct keyring *ring, const char *credentials_dir)
{
    struct secrets *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->ring = *ring;
    s->credentials_dir = credentials_dir;
    LIST_INIT(&s->resolved);
    LIST_INIT(&s->fetched);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void
resolved_free(struct resolved *r)
{
    secret_free(&r->value);
    buf_free(&r->sealed);
    free(r->provider);
    free(r->reference);
    free(r);
}

void
secrets_free(struct secrets *s)
{
    if (!s)
        return;
    struct resolved *r;
    while ((r = LIST_FIRST(&s->resolved)) != NULL) {
        LIST_REMOVE(r, link);
        resolved_free(r);
    }
    fetched_fini(&s->fetched);
    settings_fini(&s->settings);
    pthread_mutex_destroy(&s->lock);
    keyring_wipe(&s->ring);
    free(s);
}

/* ---- the settings ---------------------------------------------------------------------------- */

int
secrets_load(struct secrets *s, struct db *db)
{
    int err = 0;
    bool changed;
    pthread_mutex_lock(&s->lock);
    if (!s->settings.pepper)
        err = settings_load(db, &s->ring, &s->settings);
    pthread_mutex_unlock(&s->lock);
    return err ? err : secrets_sync(s, db, &changed);
}

/* Not under the lock while PostgreSQL is asked. */
static int
follow_pepper(struct secrets *s, struct db *db)
{
    struct keyring ring;
    struct buf sealed;
    buf_init(&sealed, 0);
    int err = secrets_sealed_pepper(s, &sealed);
    secrets_ring(s, &ring);
    if (!err)
        err = settings_follow(db, &ring, &sealed);
    keyring_wipe(&ring);
    pthread_mutex_lock(&s->lock);
    if (!err) {
        buf_clear(&s->settings.sealed_pepper);
        err = buf_add_slice(&s->settings.sealed_pepper, buf_slice(&sealed));
    }
    pthread_mutex_unlock(&s->lock);
    buf_free(&sealed);
    return err;
}

bool
secrets_ready(struct secrets *s)
{
    pthread_mutex_lock(&s->lock);
    bool ready = s->settings.pepper != NULL;
    pthread_mutex_unlock(&s->lock);
    return ready;
}

int
secrets_sealed_pepper(struct secrets *s, struct buf *into)
{
    pthread_mutex_lock(&s->lock);
    int err = s->settings.pepper ? buf_add_slice(into, buf_slice(&s->settings.sealed_pepper))
                                 : ERR_BAD_STATE;
    pthread_mutex_unlock(&s->lock);
    return err;
}

const char *
secrets_cluster_id(struct secrets *s)
{
    return secrets_ready(s) ? s->settings.cluster_id : "";
}

int
secrets_key_digest(struct secrets *s, struct slice key,
                   unsigned char ret_digest[static SHA256_BYTES])
{
    pthread_mutex_lock(&s->lock);
    bool ready = s->settings.pepper != NULL;
    if (ready)
        hmac_sha256(s->settings.pepper, key.at, key.len, ret_digest);
    pthread_mutex_unlock(&s->lock);
    return ready ? 0 : ERR_BAD_STATE;
}

/* ---- minting and sealing --------------------------------------------------------------------- */

static void
mint(const char *prefix, char *ret_text)
{
    unsigned char bytes[32];
    size_t n = strlen(prefix);
    memcpy(ret_text, prefix, n);
    rand_bytes(bytes, sizeof(bytes));
    base64url_encode(bytes, sizeof(bytes), ret_text + n);
    secret_wipe(bytes, sizeof(bytes));
}

void
secrets_mint_key(char ret_text[static KEY_TEXT_BYTES + 1])
{
    mint(KEY_PREFIX, ret_text);
}

void
secrets_mint_token(char ret_text[static TOKEN_TEXT_BYTES + 1])
{
    mint(TOKEN_PREFIX, ret_text);
}

void
secrets_ring(struct secrets *s, struct keyring *ret_ring)
{
    pthread_mutex_lock(&s->lock);
    *ret_ring = s->ring;
    pthread_mutex_unlock(&s->lock);
}

static int
seal_into(const struct keyring *ring, struct slice context, struct slice plain, struct buf *into)
{
    char *room = buf_reserve(into, plain.len + SEAL_OVERHEAD_BYTES);
    int err = room ? keyring_seal(ring, context, plain, room) : ERR_NOMEM;
    if (!err)
        buf_commit(into, plain.len + SEAL_OVERHEAD_BYTES);
    return err;
}

int
secrets_seal(struct secrets *s, struct slice context, struct slice plain, struct buf *into)
{
    struct keyring ring;
    secrets_ring(s, &ring);
    int err = seal_into(&ring, context, plain, into);
    keyring_wipe(&ring);
    return err;
}

int
secrets_unseal(struct secrets *s, struct slice context, struct slice sealed,
               struct secret *ret_plain)
{
    struct keyring ring;
    secrets_ring(s, &ring);
    int err = keyring_unseal(&ring, context, sealed, ret_plain);
    keyring_wipe(&ring);
    return err;
}

/* ---- credentials ----------------------------------------------------------------------------- */

static bool
is_word(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (!c || !strchr(more, c)))
            return false;
    }
    return s.len > 0 && s.len <= 128;
}

/* What opens more than one credential is not given to whoever may write a provider. */
static bool
is_own_setting(struct slice name)
{
    return slice_starts(name, SLICE("HEADGATE_")) || slice_starts(name, SLICE("PG")) ||
           slice_starts(name, SLICE("VAULT_")) || slice_is(name, "AWS_SECRET_ACCESS_KEY") ||
           slice_is(name, "AWS_SESSION_TOKEN") || slice_is(name, "AZURE_CLIENT_SECRET");
}

static int
parse_env(struct slice name, const char **ret_why)
{
    if (!is_word(name, "_") || (name.at[0] >= '0' && name.at[0] <= '9'))
        *ret_why = "env: takes the name of an environment variable of the control plane";
    else if (is_own_setting(name))
        *ret_why = "env: does not give out the gateway's own settings (HEADGATE_*, PG*, and what "
                   "opens secret managers)";
    else
        return 0;
    return ERR_SYNTAX;
}

static int
parse_file(struct slice name, const char **ret_why)
{
    if (is_word(name, "._-") && name.at[0] != '.')
        return 0;
    *ret_why = "file: takes the name of a file in the credentials directory, without slashes";
    return ERR_SYNTAX;
}

static int
parse_marker(struct slice hex, const char **ret_why)
{
    unsigned char bytes[FINGERPRINT_BYTES / 2];
    if (hex_decode(hex, bytes, sizeof(bytes)) == 0)
        return 0;
    *ret_why = "sealed: is the mark of a stored credential and cannot be written by hand";
    return ERR_SYNTAX;
}

int
credential_parse(struct slice text, enum credential_form *ret_form, const char **ret_why)
{
    struct reference managed;
    struct slice rest = text;
    struct slice scheme = slice_cut(&rest, ':');
    *ret_form = CREDENTIAL_LITERAL;
    if (!rest.at)
        return 0;
    if (slice_is(scheme, "sealed")) {
        *ret_form = CREDENTIAL_MARKER;
        return parse_marker(rest, ret_why);
    }
    *ret_form = CREDENTIAL_REFERENCE;
    if (slice_is(scheme, "env"))
        return parse_env(rest, ret_why);
    if (slice_is(scheme, "file"))
        return parse_file(rest, ret_why);
    if (reference_is_managed(text))
        return reference_parse(text, &managed, ret_why);
    *ret_form = CREDENTIAL_LITERAL;
    return 0;
}

static struct credential_owner
of_provider(struct slice name)
{
    return (struct credential_owner){"provider", name};
}

static int
owner_context(struct credential_owner owner, struct buf *into)
{
    buf_init(into, 512);
    return buf_addf(into, "%s/%.*s", owner.noun, SLICE_ARG(owner.name));
}

static int
fingerprint(struct secrets *s, struct credential_owner owner, struct slice literal,
            char ret_hex[static FINGERPRINT_BYTES + 1])
{
    struct buf text;
    unsigned char mac[SHA256_BYTES];
    buf_init(&text, LIMIT_CREDENTIAL_BYTES + 1024);
    int err = buf_addf(&text, "%s/%.*s", owner.noun, SLICE_ARG(owner.name));
    if (!err)
        err = buf_add(&text, "", 1);
    if (!err)
        err = buf_add_slice(&text, literal);
    if (!err) {
        pthread_mutex_lock(&s->lock);
        if (s->settings.fingerprint)
            hmac_sha256(s->settings.fingerprint, text.at, text.len, mac);
        else
            err = ERR_BAD_STATE;
        pthread_mutex_unlock(&s->lock);
    }
    if (!err)
        hex_encode(mac, FINGERPRINT_BYTES / 2, ret_hex);
    buf_wipe(&text);
    buf_free(&text);
    return err;
}

static int
seal_for_owner(const struct keyring *ring, struct credential_owner owner, struct slice plain,
               struct buf *into)
{
    struct buf context;
    int err = owner_context(owner, &context);
    if (!err)
        err = seal_into(ring, buf_slice(&context), plain, into);
    buf_free(&context);
    return err;
}

static struct json *
stored_form(struct slice sealed, const char *print)
{
    char *text = malloc(BASE64_BYTES(sealed.len));
    struct json *out = text ? json_new_map() : NULL;
    if (out) {
        base64_encode(sealed.at, sealed.len, text);
        if (json_set_str(out, "sealed", text) != 0 ||
            json_set_str(out, "fingerprint", print) != 0) {
            json_free(out);
            out = NULL;
        }
    }
    free(text);
    return out;
}

int
secrets_store_credential(struct secrets *s, struct credential_owner owner, struct slice literal,
                         const struct json *stored, struct json **ret_stored)
{
    char print[FINGERPRINT_BYTES + 1];
    struct buf sealed;
    int err = fingerprint(s, owner, literal, print);
    if (err)
        return err;
    if (slice_is(json_str(json_get(stored, "fingerprint")), print)) {
        *ret_stored = json_copy(stored);
        return *ret_stored ? 0 : ERR_NOMEM;
    }
    struct keyring ring;
    secrets_ring(s, &ring);
    buf_init(&sealed, 0);
    err = seal_for_owner(&ring, owner, literal, &sealed);
    keyring_wipe(&ring);
    if (!err) {
        *ret_stored = stored_form(buf_slice(&sealed), print);
        err = *ret_stored ? 0 : ERR_NOMEM;
    }
    buf_free(&sealed);
    return err;
}

/* ---- references ------------------------------------------------------------------------------ */

static int
read_file_reference(const char *dir, struct slice name, struct secret *ret_value)
{
    char text_of_name[160];
    struct buf content;
    snprintf(text_of_name, sizeof(text_of_name), "%.*s", SLICE_ARG(name));
    buf_init(&content, 0);
    int err = file_read_beneath(dir, text_of_name, LIMIT_CREDENTIAL_BYTES, &content);
    if (err && err != ERR_NOMEM)
        err = ERR_NOT_FOUND; /* leads out, a directory, too long, not ours to read: not there */
    struct slice text = buf_slice(&content);
    while (text.len > 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
        text.len--;
    if (!err && text.len == 0)
        err = ERR_NOT_FOUND;
    if (!err)
        err = secret_set(ret_value, text.at, text.len);
    buf_wipe(&content);
    buf_free(&content);
    return err;
}

static int
resolve_managed(const struct secrets *s, struct slice reference, struct secret *ret_value)
{
    const struct fetched_value *v = fetched_find(&s->fetched, reference);
    struct slice text = v ? secret_reveal(&v->value) : SLICE("");
    return v ? secret_set(ret_value, text.at, text.len) : ERR_AGAIN;
}

static int
resolve(const struct secrets *s, struct slice reference, struct secret *ret_value)
{
    struct slice rest = reference;
    struct slice scheme = slice_cut(&rest, ':');
    char name[160];
    if (reference_is_managed(reference))
        return resolve_managed(s, reference, ret_value);
    if (slice_is(scheme, "file"))
        return s->credentials_dir ? read_file_reference(s->credentials_dir, rest, ret_value)
                                  : ERR_NOT_FOUND;
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(rest));
    const char *value = getenv(name);
    if (!value || !*value || strlen(value) > LIMIT_CREDENTIAL_BYTES)
        return ERR_NOT_FOUND;
    return secret_set(ret_value, value, strlen(value));
}

static struct resolved *
find_resolved(struct secrets *s, struct slice provider, struct slice reference)
{
    struct resolved *r;
    LIST_FOREACH(r, &s->resolved, link)
    {
        if (slice_is(provider, r->provider) && slice_is(reference, r->reference))
            return r;
    }
    return NULL;
}

static struct resolved *
add_resolved(struct secrets *s, struct slice provider, struct slice reference)
{
    struct resolved *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    buf_init(&r->sealed, 0);
    r->provider = slice_dup(provider);
    r->reference = slice_dup(reference);
    if (!r->provider || !r->reference) {
        resolved_free(r);
        return NULL;
    }
    LIST_INSERT_HEAD(&s->resolved, r, link);
    return r;
}

/* Looks the value up again; *ret_changed when it differs. What was known stays when it is gone now.
 */
static int
look(struct secrets *s, struct resolved *r, bool *ret_changed)
{
    struct secret value = {0};
    *ret_changed = false;
    r->looked_ms = clock_mono_ms();
    int err = resolve(s, slice_of(r->reference), &value);
    if (err)
        return r->value.len > 0 ? 0 : err;
    if (value.len == r->value.len && secret_equal(value.at, r->value.at, value.len)) {
        secret_free(&value);
        return 0;
    }
    buf_clear(&r->sealed);
    err = seal_for_owner(&s->ring, of_provider(slice_of(r->provider)), secret_reveal(&value),
                         &r->sealed);
    if (err) {
        secret_free(&value);
        return err;
    }
    secret_free(&r->value);
    r->value = value;
    *ret_changed = true;
    return 0;
}

static int
append_reference(struct secrets *s, struct slice provider, struct slice reference, struct buf *into)
{
    bool changed;
    int err = 0;
    pthread_mutex_lock(&s->lock);
    struct resolved *r = find_resolved(s, provider, reference);
    if (!r)
        r = add_resolved(s, provider, reference);
    if (!r)
        err = ERR_NOMEM;
    else if (r->value.len == 0 || clock_mono_ms() - r->looked_ms >= REFRESH_MS)
        err = look(s, r, &changed);
    if (!err)
        err = buf_add_slice(into, buf_slice(&r->sealed));
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* The bytes of a stored credential that was given as a literal. */
static int
append_sealed(struct slice coded, struct buf *into)
{
    size_t len;
    char *room = buf_reserve(into, coded.len + 4); /* what base64_decode may touch */
    int err = room ? base64_decode(coded, room, &len) : ERR_NOMEM;
    if (!err)
        buf_commit(into, len);
    return err;
}

/* Names the credential that is not to be had; gives err. */
static int
tell(struct credential_owner owner, struct slice reference, int err, struct buf *why)
{
    if (err && err != ERR_NOMEM &&
        buf_addf(why, "%s '%.*s': its credential %.*s %s", owner.noun, SLICE_ARG(owner.name),
                 SLICE_ARG(reference),
                 err == ERR_AGAIN ? "was not fetched yet" : "cannot be resolved now") != 0)
        return ERR_NOMEM;
    return err;
}

int
secrets_provider_credential(struct secrets *s, struct slice provider, const struct json *body,
                            struct buf *into, struct buf *why)
{
    const struct json *credential = json_get(body, "credential");
    struct slice sealed = json_str(json_get(credential, "sealed"));
    struct slice reference = json_str(credential);
    int err = 0;
    if (sealed.at)
        err = append_sealed(sealed, into);
    else if (reference.at)
        err = append_reference(s, provider, reference, into);
    return tell(of_provider(provider), reference, err, why);
}

static int
reveal_sealed(struct secrets *s, struct credential_owner owner, struct slice coded,
              struct secret *ret_value)
{
    struct buf context, sealed;
    buf_init(&sealed, 0);
    int err = owner_context(owner, &context);
    if (!err)
        err = append_sealed(coded, &sealed);
    if (!err)
        err = secrets_unseal(s, buf_slice(&context), buf_slice(&sealed), ret_value);
    buf_free(&context);
    buf_free(&sealed);
    return err;
}

int
secrets_reveal_credential(struct secrets *s, struct credential_owner owner, const struct json *body,
                          struct secret *ret_value, struct buf *why)
{
    const struct json *credential = json_get(body, "credential");
    struct slice sealed = json_str(json_get(credential, "sealed"));
    struct slice reference = json_str(credential);
    int err = 0;
    if (sealed.at) {
        err = reveal_sealed(s, owner, sealed, ret_value);
    } else if (reference.at) {
        pthread_mutex_lock(&s->lock);
        err = resolve(s, reference, ret_value);
        pthread_mutex_unlock(&s->lock);
    }
    return tell(owner, reference, err, why);
}

/* ---- what secret managers said --------------------------------------------------------------- */

static int
reference_context(struct slice reference, struct buf *into)
{
    buf_init(into, 0);
    int err = buf_add_str(into, "reference/");
    return err ? err : buf_add_slice(into, reference);
}

int
secrets_seal_fetched(struct secrets *s, struct slice reference, struct slice value,
                     struct buf *into)
{
    struct buf context;
    int err = reference_context(reference, &context);
    if (!err)
        err = secrets_seal(s, buf_slice(&context), value, into);
    buf_free(&context);
    return err;
}

bool
secrets_fetched_is(struct secrets *s, struct slice reference, struct slice value)
{
    pthread_mutex_lock(&s->lock);
    const struct fetched_value *v = fetched_find(&s->fetched, reference);
    struct slice known = v ? secret_reveal(&v->value) : SLICE("");
    bool same = v && known.len == value.len && secret_equal(known.at, value.at, value.len);
    pthread_mutex_unlock(&s->lock);
    return same;
}

static int
take_fetched(struct secrets *s, struct slice reference, int64_t version, struct slice hex)
{
    struct secret value = {0};
    struct buf context, sealed;
    buf_init(&sealed, 0);
    int err = reference_context(reference, &context);
    char *room = err ? NULL : buf_reserve(&sealed, hex.len / 2 + 1);
    if (!err && (!room || hex_decode(hex, room, hex.len / 2) != 0))
        err = room ? ERR_SYNTAX : ERR_NOMEM;
    if (!err)
        err = keyring_unseal(&s->ring, buf_slice(&context), slice_make(room, hex.len / 2), &value);
    if (!err)
        err = fetched_put(&s->fetched, reference, version, &value);
    buf_free(&context);
    buf_free(&sealed);
    return err;
}

int
secrets_sync(struct secrets *s, struct db *db, bool *ret_changed)
{
    struct db_rows *rows = NULL;
    bool any = false;
    *ret_changed = false;
    int err = db_query(db,
                       "SELECT reference, version, encode(sealed, 'hex') FROM secret_references "
                       "WHERE sealed IS NOT NULL",
                       NULL, 0, &rows);
    if (!err && secrets_ready(s))
        err = follow_pepper(s, db);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < db_count(rows) && !err; i++) {
        struct slice reference = db_slice(rows, i, 0);
        const struct fetched_value *v = fetched_find(&s->fetched, reference);
        if (v && v->version == db_int(rows, i, 1))
            continue;
        err = take_fetched(s, reference, db_int(rows, i, 1), db_slice(rows, i, 2));
        if (err == ERR_AUTH || err == ERR_SYNTAX || err == ERR_NOT_FOUND) {
            /* it will be fetched again */
            log_error("secret.cached_value_damaged", F_SLICE("reference", reference), F_ERR(err));
            err = 0;
            continue;
        }
        any = !err;
    }
    pthread_mutex_unlock(&s->lock);
    db_rows_free(rows);
    *ret_changed = !err && any && secrets_refresh(s);
    return err;
}

int
secrets_set_ring(struct secrets *s, const struct keyring *ring)
{
    struct resolved *r;
    int err = 0;
    pthread_mutex_lock(&s->lock);
    s->ring = *ring;
    LIST_FOREACH(r, &s->resolved, link)
    {
        if (err || r->value.len == 0 || keyring_is_current(ring, buf_slice(&r->sealed)))
            continue;
        buf_clear(&r->sealed);
        err = seal_for_owner(ring, of_provider(slice_of(r->provider)), secret_reveal(&r->value),
                             &r->sealed);
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

bool
secrets_refresh(struct secrets *s)
{
    bool any = false;
    struct resolved *r;
    pthread_mutex_lock(&s->lock);
    LIST_FOREACH(r, &s->resolved, link)
    {
        bool changed = false;
        if (look(s, r, &changed) == 0 && changed)
            any = true;
    }
    pthread_mutex_unlock(&s->lock);
    return any;
}
