/*
 * headgate secrets rotate-key: another sealing key for a local gateway, without a dropped request.
 *
 *   1 add     a new key goes into the ring's file: it opens      everybody has it, or we wait
 *   2 use     it becomes the first: it seals                     every control plane, or we wait
 *   3 reseal  everything in the database, under it
 *   4 publish every worker holds a policy that needs it alone, or we wait
 *   5 retire  the others leave the file                          everybody has it alone, or we wait
 *
 * Where it stands is in the file and the database, and nowhere else: killed at any moment, it is
 * taken up by the next call where it stopped. The newest key of the file is the one it is about.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/home.h"
#include "controlplane/cli/process.h"
#include "controlplane/cli/reseal.h"
#include "lib/base/clock.h"
#include "lib/base/crash.h"
#include "lib/base/keyring.h"
#include "lib/base/secret.h"

#define POLL_MS 200

struct rotation {
    struct client client;
    char path[HOME_PATH_BYTES];
    struct keyring ring; /* the file, as read last */
    size_t newest;
    char id[KEYRING_ID_TEXT]; /* of the newest */
    int64_t wait_ms;
    struct json *keys, *planes, *workers; /* as asked last */
};

/* ---- the file ----------------------------------------------------------------------------------
 */

static int
read_ring(struct rotation *r)
{
    struct keyring_source source = {.name = r->path};
    char why[KEYRING_WHY_BYTES];
    if (keyring_load(&source, NULL, &r->ring, why) != 0)
        return cli_fail("%s: %s", r->path, why);
    r->newest = 0;
    for (size_t i = 1; i < r->ring.count; i++)
        if (r->ring.keys[i].made_ms > r->ring.keys[r->newest].made_ms)
            r->newest = i;
    keyring_id_text(&r->ring, r->newest, r->id);
    return CLI_OK;
}

static int
file_failed(const struct rotation *r, int err)
{
    return cli_fail("%s cannot be changed: %s", r->path, err_name(err));
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

static void
forget(struct rotation *r)
{
    json_free(r->keys);
    json_free(r->planes);
    json_free(r->workers);
    r->keys = r->planes = r->workers = NULL;
}

static int
ask(struct rotation *r)
{
    forget(r);
    int e =
        client_do(&r->client,
                  &(struct client_call){.method = "GET", .path = "/api/v1/secrets/keys"}, &r->keys);
    if (e == CLI_OK)
        e = client_list(&r->client, "/api/v1/controlplanes", 0, &r->planes);
    return e == CLI_OK ? client_list(&r->client, "/api/v1/workers", 0, &r->workers) : e;
}

/* What a step waits for: whether this control plane or worker is not so far yet. */
typedef bool (*lacks)(const struct rotation *r, const struct json *who, bool worker);

static bool
has_key(const struct rotation *r, const struct json *who)
{
    const struct json *ids = json_get(who, "seal_keys");
    for (size_t i = 0; i < json_size(ids); i++)
        if (slice_is(json_str(json_at(ids, i)), r->id))
            return true;
    return false;
}

static bool
lacks_key(const struct rotation *r, const struct json *who, bool worker)
{
    (void)worker;
    return !has_key(r, who);
}

static bool
lacks_use(const struct rotation *r, const struct json *who, bool worker)
{
    return !worker && !slice_is(json_str(json_at(json_get(who, "seal_keys"), 0)), r->id);
}

static bool
lacks_retirement(const struct rotation *r, const struct json *who, bool worker)
{
    (void)worker;
    return !has_key(r, who) || json_size(json_get(who, "seal_keys")) > 1;
}

/* The newest version needs our key alone, and the worker holds it or a newer one. */
static bool
lacks_policy(const struct rotation *r, const struct json *who, bool worker)
{
    const struct json *published = json_get(r->keys, "published"), *ids;
    int64_t epoch = 0, version = 0, held_epoch = 0, held_version = 0;
    ids = json_get(published, "keys");
    if (json_size(ids) != 1 || !slice_is(json_str(json_at(ids, 0)), r->id))
        return true;
    if (!worker)
        return false;
    if (json_to_int(json_get(published, "epoch"), &epoch) != 0 ||
        json_to_int(json_get(published, "version"), &version) != 0 ||
        json_to_int(json_get(who, "held_epoch"), &held_epoch) != 0 ||
        json_to_int(json_get(who, "held_version"), &held_version) != 0)
        return true;
    return held_epoch != epoch ? held_epoch < epoch : held_version < version;
}

/* The first of those that are alive for whom it is true. */
static bool
find_lacking(const struct rotation *r, lacks what, char *ret_who, size_t bytes)
{
    const struct json *planes = json_get(r->planes, "data"),
                      *workers = json_get(r->workers, "data");
    int64_t slot = 0;
    bool any = false;
    for (size_t i = 0; i < json_size(planes); i++)
        any = any || json_is_true(json_get(json_at(planes, i), "alive"));
    if (!any) { /* it writes down once a second what it has */
        snprintf(ret_who, bytes, "the control plane");
        return true;
    }
    for (size_t i = 0; i < json_size(planes); i++) {
        const struct json *p = json_at(planes, i);
        if (!json_is_true(json_get(p, "alive")) || !what(r, p, false))
            continue;
        snprintf(ret_who, bytes, "the control plane on %.*s",
                 SLICE_ARG(json_str(json_get(p, "host"))));
        return true;
    }
    for (size_t i = 0; i < json_size(workers); i++) {
        const struct json *w = json_at(workers, i);
        if (!json_is_true(json_get(w, "alive")) || !what(r, w, true))
            continue;
        if (json_to_int(json_get(w, "slot"), &slot) != 0)
            slot = -1;
        snprintf(ret_who, bytes, "worker %lld on %.*s", (long long)slot,
                 SLICE_ARG(json_str(json_get(w, "host"))));
        return true;
    }
    return false;
}

static int
wait_for(struct rotation *r, lacks what, const char *that)
{
    int64_t deadline = clock_mono_ms() + r->wait_ms;
    char who[200];
    for (;;) {
        int e = ask(r);
        if (e != CLI_OK)
            return e;
        if (!find_lacking(r, what, who, sizeof(who)))
            return CLI_OK;
        if (clock_mono_ms() > deadline)
            return cli_fail("%s does not %s; see its log, and call again: it goes on from here",
                            who, that);
        process_pause(POLL_MS);
    }
}

/* ---- the steps ---------------------------------------------------------------------------------
 */

static int
add(struct rotation *r, bool only_finish)
{
    struct buf line;
    if (r->ring.count == 1 && only_finish)
        return CLI_GO_ON;
    if (r->ring.count == 1) {
        buf_init(&line, 256);
        int err = keyring_new_line(&line);
        if (!err)
            err = keyring_file_append(r->path, buf_slice(&line));
        buf_wipe(&line);
        if (err)
            return file_failed(r, err);
        CRASHPOINT("rotate.added");
        int e = read_ring(r);
        if (e != CLI_OK)
            return e;
        printf("1 of 5: the new key %s is in %s\n", r->id, r->path);
    } else {
        printf("1 of 5: going on with the key %s\n", r->id);
    }
    fflush(stdout);
    return wait_for(r, lacks_key, "have the new key");
}

static int
use(struct rotation *r)
{
    if (r->newest > 0) {
        int err = keyring_file_to_front(r->path, r->newest);
        if (err)
            return file_failed(r, err);
    }
    CRASHPOINT("rotate.used");
    int e = read_ring(r);
    if (e == CLI_OK)
        e = wait_for(r, lacks_use, "seal with the new key");
    if (e == CLI_OK)
        printf("2 of 5: everybody has it, and it seals\n");
    fflush(stdout);
    return e;
}

static int
reseal(struct rotation *r)
{
    struct reseal_sum sum;
    int e = reseal_all(&r->client, &sum);
    if (e != CLI_OK)
        return e;
    if (sum.stuck)
        return cli_fail(
            "%lld values in the database are sealed under a key that is not in %s: put "
            "it back, or remove them; the control plane's log names them (reseal.stuck)",
            (long long)sum.stuck, r->path);
    CRASHPOINT("rotate.resealed");
    printf("3 of 5: %lld values sealed anew\n", (long long)sum.resealed);
    fflush(stdout);
    return CLI_OK;
}

static int
publish(struct rotation *r)
{
    int e = wait_for(r, lacks_policy, "hold a policy sealed under the new key");
    CRASHPOINT("rotate.published");
    if (e == CLI_OK)
        printf("4 of 5: every worker holds a policy that is sealed under it\n");
    fflush(stdout);
    return e;
}

static int
retire(struct rotation *r)
{
    for (size_t i = r->ring.count; i-- > 1;) {
        int err = keyring_file_drop(r->path, i);
        if (err)
            return file_failed(r, err);
        CRASHPOINT("rotate.retired");
    }
    int e = wait_for(r, lacks_retirement, "let go of the old key");
    if (e == CLI_OK)
        printf("5 of 5: the old key is gone; %s is the only one\n", r->id);
    return e;
}

static int
rotate(struct rotation *r, bool only_finish)
{
    int e = read_ring(r);
    if (e == CLI_OK)
        e = add(r, only_finish);
    if (e == CLI_GO_ON) { /* or it was killed right behind its last change of the file */
        e = wait_for(r, lacks_retirement, "let go of the old key");
        if (e == CLI_OK)
            printf("no rotation is under way; %s is the only key\n", r->id);
        return e;
    }
    if (e == CLI_OK)
        e = use(r);
    if (e == CLI_OK)
        e = reseal(r);
    if (e == CLI_OK)
        e = publish(r);
    return e == CLI_OK ? retire(r) : e;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static int
open_home(struct rotation *r, const struct cli *c, int *ret_lock)
{
    struct home h;
    char dir[HOME_PATH_BYTES], token[CLIENT_TOKEN_BYTES];
    if (home_find(c->home, true, dir) != 0)
        return cli_fail("give the gateway's directory with --home DIR");
    if (home_open(&h, dir) != 0 || !h.exists)
        return cli_fail("there is no gateway in %s; for a fleet on several hosts see "
                        "docs/operations.md, \"Another sealing key\"",
                        dir);
    if (home_env_get(&h, "HEADGATE_ADMIN_TOKEN", token, sizeof(token)) != 0)
        return cli_fail("there is no admin token in %s/env", h.dir);
    client_open_local(&r->client, &h, token);
    secret_wipe(token, sizeof(token));
    if (!home_data_path(&h, r->path, sizeof(r->path), "secrets/seal.key"))
        return cli_fail("the path of the key file is too long");
    *ret_lock = process_lock(&h, "rotate-key", false);
    return *ret_lock >= 0 ? CLI_OK : cli_fail("another rotate-key is at work here");
}

int
secrets_rotate_key_run(const struct command *command, int argc, char **argv)
{
    struct rotation r = {0};
    struct cli c;
    long wait_s = 60;
    bool finish = false;
    int lock = -1;
    const struct option_row rows[] = {
        {.name = "wait-s",
         .kind = OPTION_NUMBER,
         .into = &wait_s,
         .value = "SECONDS",
         .min = 1,
         .max = 3600,
         .help = "how long each step waits for all planes"},
        {.name = "finish",
         .kind = OPTION_FLAG,
         .into = &finish,
         .help = "only end one that was begun"},
    };
    int e = cli_begin(&c, command, rows, 2, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    r.wait_ms = wait_s * 1000;
    e = open_home(&r, &c, &lock);
    if (e == CLI_OK)
        e = rotate(&r, finish);
    forget(&r);
    keyring_wipe(&r.ring);
    client_close(&r.client);
    if (lock >= 0)
        close(lock);
    return e;
}
