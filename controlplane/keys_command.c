/*
 * headgate-controlplane keys: the key files of a fleet, and the steps by which its sealing key is
 * replaced where `headgate secrets rotate-key` cannot reach all hosts (docs/operations.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/commands.h"
#include "controlplane/secrets/reseal.h"
#include "controlplane/secrets/ring.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/options.h"

struct keys {
    const char *path, *id; /* positional */
    const char *dsn, *wrapped, *to;
    bool force, allow_private;
};

__attribute__((format(printf, 1, 2))) static int
fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("headgate-controlplane keys: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

static int
load(const struct keys *k, struct keyring *ret)
{
    struct keyring_source source = {.name = k->path};
    char why[KEYRING_WHY_BYTES];
    return ring_load(&source, k->allow_private, ret, why) == 0 ? 0 : fail("%s: %s", k->path, why);
}

/* ---- make ------------------------------------------------------------------------------------ */

static int
make_seal_key(const struct keys *k, const char *path)
{
    unsigned char key[SEAL_KEY_BYTES];
    struct keyring ring;
    const struct keys there = {.path = path, .allow_private = k->allow_private};
    if (access(path, F_OK) == 0) {
        int code = load(&there, &ring);
        keyring_wipe(&ring);
        return code;
    }
    int err = file_key(path, key, sizeof(key), true);
    secret_wipe(key, sizeof(key));
    return err ? fail("%s: %s", path, err_name(err)) : 0;
}

static int
make_sign_key(const char *dir)
{
    unsigned char secret[SIGN_SECRET_BYTES], public_key[SIGN_PUBLIC_BYTES];
    char path[4096], hex[2 * SIGN_PUBLIC_BYTES + 2];
    snprintf(path, sizeof(path), "%s/sign.key", dir);
    int err = file_key(path, secret, sizeof(secret), true);
    if (!err)
        err = sign_public(secret, public_key);
    secret_wipe(secret, sizeof(secret));
    if (!err) {
        hex_encode(public_key, sizeof(public_key), hex);
        hex[2 * SIGN_PUBLIC_BYTES] = '\n';
        snprintf(path, sizeof(path), "%s/verify.key", dir);
        err = file_replace(path, slice_make(hex, 2 * SIGN_PUBLIC_BYTES + 1), 0644);
    }
    return err ? fail("%s: %s", path, err_name(err)) : 0;
}

static int
make(const struct keys *k)
{
    char path[4096];
    if (file_make_dirs(k->path, 0700) != 0)
        return fail("%s: cannot be made", k->path);
    snprintf(path, sizeof(path), "%s/seal.key", k->path);
    return make_seal_key(k, path) ?: make_sign_key(k->path);
}

/* ---- the ring's file ---------------------------------------------------------------------------
 */

static void
print_key(const struct keyring *ring, size_t i)
{
    char id[KEYRING_ID_TEXT], made[32] = "-";
    keyring_id_text(ring, i, id);
    if (ring->keys[i].made_ms)
        clock_rfc3339(ring->keys[i].made_ms, made);
    printf("%s  %-24s  %s\n", id, made, i == 0 ? "seals and opens" : "opens");
}

static int
list(const struct keys *k)
{
    struct keyring ring;
    int code = load(k, &ring);
    for (size_t i = 0; code == 0 && i < ring.count; i++)
        print_key(&ring, i);
    keyring_wipe(&ring);
    return code;
}

/* What was appended must be a key, or the file is as it was before. */
static int
append_checked(const struct keys *k, struct slice line)
{
    struct keyring ring;
    int code = load(k, &ring);
    size_t before = ring.count;
    keyring_wipe(&ring);
    if (code)
        return code;
    int err = keyring_file_append(k->path, line);
    if (err)
        return fail("%s: %s", k->path, err_name(err));
    code = load(k, &ring);
    if (code == 0)
        print_key(&ring, ring.count - 1);
    else if (keyring_file_drop(k->path, before) == 0)
        fail("%s: is as it was", k->path);
    keyring_wipe(&ring);
    return code;
}

static int
add(const struct keys *k)
{
    char time[32];
    struct buf line;
    buf_init(&line, LIMIT_KEYRING_BYTES);
    clock_rfc3339(clock_wall_ms(), time);
    int err = k->wrapped ? buf_addf(&line, "%s %s", k->wrapped, time) : keyring_new_line(&line);
    if (!err && memchr(line.at, '\n', line.len))
        err = ERR_SYNTAX;
    int code = err ? fail("--wrapped: %s", err_name(err)) : append_checked(k, buf_slice(&line));
    buf_wipe(&line);
    return code;
}

/* The place of --id in the file. */
static int
find(const struct keys *k, size_t *ret_place)
{
    unsigned char id[KEYRING_ID_BYTES];
    struct keyring ring;
    if (hex_decode(slice_of(k->id), id, sizeof(id)) != 0)
        return fail("%s: an id has 8 hexadecimal digits; `keys list` shows them", k->id);
    int code = load(k, &ring);
    int place = code ? -1 : keyring_find(&ring, id);
    *ret_place = (size_t)place;
    keyring_wipe(&ring);
    return code || place >= 0 ? code : fail("%s has no key %s", k->path, k->id);
}

static int
use(const struct keys *k)
{
    size_t place = 0;
    int code = find(k, &place);
    if (code || place == 0)
        return code;
    int err = keyring_file_to_front(k->path, place);
    return err ? fail("%s: %s", k->path, err_name(err)) : list(k);
}

/* ---- retire ------------------------------------------------------------------------------------
 */

struct tally {
    const char *id;
    int64_t under_it, without_id;
    char place[64];
};

static int
count_one(void *ctx, const struct reseal_count *c)
{
    struct tally *t = ctx;
    if (c->key.len == 0)
        t->without_id += c->values;
    else if (slice_is(c->key, t->id))
        t->under_it += c->values;
    else
        return 0;
    snprintf(t->place, sizeof(t->place), "%s", c->place);
    return 0;
}

static int
check_unused(const struct keys *k)
{
    struct tally t = {.id = k->id};
    struct db *db = db_new(k->dsn, "headgate keys");
    int err = db ? reseal_count(db, count_one, &t) : ERR_NOMEM;
    int code = err ? fail("%s: %s", err_name(err), db ? db_error(db) : "") : 0;
    db_free(db);
    if (code == 0 && t.under_it + t.without_id > 0)
        code =
            fail("the database still has %lld values sealed under %s and %lld of a version before "
                 "(the last in %s): seal them anew first (`headgate secrets reseal`), or say "
                 "--force and lose them",
                 (long long)t.under_it, k->id, (long long)t.without_id, t.place);
    return code;
}

static int
retire(const struct keys *k)
{
    size_t place = 0;
    int code = find(k, &place);
    if (code)
        return code;
    if (place == 0)
        return fail("%s seals: let another one do so first (keys use)", k->id);
    if (!k->force && (!k->dsn || !*k->dsn))
        return fail("--database is needed, to see that nothing is sealed under it any more; or "
                    "--force");
    if (!k->force && (code = check_unused(k)) != 0)
        return code;
    int err = keyring_file_drop(k->path, place);
    return err ? fail("%s: %s", k->path, err_name(err)) : list(k);
}

/* ---- unwrap ------------------------------------------------------------------------------------
 */

static int
write_plain(const struct keys *k, const struct keyring *ring)
{
    char hex[2 * SEAL_KEY_BYTES + 1], time[32];
    struct buf text;
    int err = 0;
    buf_init(&text, 0);
    for (size_t i = 0; !err && i < ring->count; i++) {
        hex_encode(ring->keys[i].bytes, SEAL_KEY_BYTES, hex);
        clock_rfc3339(ring->keys[i].made_ms, time);
        err = buf_addf(&text, "%s%s%s\n", hex, ring->keys[i].made_ms ? " " : "",
                       ring->keys[i].made_ms ? time : "");
    }
    secret_wipe(hex, sizeof(hex));
    if (!err)
        err = file_replace(k->to, buf_slice(&text), 0600);
    buf_wipe(&text);
    return err ? fail("%s: %s", k->to, err_name(err)) : 0;
}

/* A key service that is away must not keep a host from starting that has the keys already. */
static int
unwrap(const struct keys *k)
{
    struct keyring ring;
    const struct keys there = {.path = k->to};
    if (!k->to)
        return fail("--to FILE is needed: it belongs on a tmpfs, such as /run") + 1;
    int code = load(k, &ring);
    if (code == 0)
        code = write_plain(k, &ring);
    else if (access(k->to, R_OK) == 0 && load(&there, &ring) == 0)
        code = fail("%s is used as it is", k->to) - 1;
    keyring_wipe(&ring);
    return code;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    int (*run)(const struct keys *k);
    size_t args;
} actions[] = {
    {"list", list, 2},     {"add", add, 2},       {"use", use, 3},
    {"retire", retire, 3}, {"unwrap", unwrap, 2},
};

static int
run_action(struct keys *k, char **argv, size_t args)
{
    if (args == 1) {
        k->path = argv[1];
        return make(k);
    }
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(argv[1], actions[i].name) == 0 && args == actions[i].args) {
            k->path = argv[2];
            k->id = args > 2 ? argv[3] : NULL;
            return actions[i].run(k);
        }
    return fail("DIR, or list SOURCE, add FILE, use FILE ID, retire FILE ID, unwrap SOURCE") + 1;
}

int
command_keys(int argc, char **argv)
{
    struct keys k = {0};
    // clang-format off
    const struct option_row rows[] = {
        {.name = "wrapped", .kind = OPTION_TEXT, .into = &k.wrapped, .value = "TEXT", .help = "add: not a new key, but this one, which a key service wrapped (aws-kms:CIPHERTEXT, vault-transit:MOUNT/KEY:CIPHERTEXT)"},
        {.name = "database", .kind = OPTION_TEXT, .into = &k.dsn, .value = "DSN", .env = "HEADGATE_DATABASE_URL", .help = "retire: PostgreSQL, where nothing may be sealed under it any more"},
        {.name = "force", .kind = OPTION_FLAG, .into = &k.force, .help = "retire: without looking"},
        {.name = "to", .kind = OPTION_TEXT, .into = &k.to, .value = "FILE", .help = "unwrap: where the keys go in clear, for data planes; kept as it is while the key service is away"},
        {.name = "secrets-allow-private", .kind = OPTION_FLAG, .into = &k.allow_private, .env = "HEADGATE_SECRETS_ALLOW_PRIVATE", .help = "key services may have private addresses, and speak without TLS"},
    };
    // clang-format on
    const struct options o = {
        .program = "headgate-controlplane keys",
        .summary = "Make seal.key, sign.key and verify.key in DIR where they are missing; or, of a "
                   "file of sealing keys: list them, add a new one (it opens), use one (it seals), "
                   "retire one; or unwrap what a key service wrapped.",
        .arguments = "DIR | list SOURCE | add FILE | use FILE ID | retire FILE ID | unwrap SOURCE",
        .rows = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
        .min_args = 1,
        .max_args = 3};
    size_t args = 0;
    int parsed = options_parse(&o, argc, argv, &args);
    if (parsed)
        return parsed > 0 ? 0 : 2;
    log_init("controlplane", LOG_WARN, STDERR_FILENO);
    return run_action(&k, argv, args);
}
