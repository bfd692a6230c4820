/* Settings, providers, prices and models, compiled together because they point at each other. */
#include "lib/policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[CORE_SECTIONS] = {
    [CORE_MODELS] = "models",
    [CORE_PRICES] = "prices",
    [CORE_PROVIDERS] = "providers",
    [CORE_SETTINGS] = "settings",
};

const char *
core_section_name(enum core_section s)
{
    return names[s];
}

static int
copy_bytes(struct policy_core *c, const struct slice bytes[static CORE_SECTIONS])
{
    for (size_t i = 0; i < CORE_SECTIONS; i++) {
        c->bytes[i] = arena_copy(&c->arena, bytes[i]);
        if (!c->bytes[i].at)
            return ERR_NOMEM;
        hash_sha256(bytes[i].at, bytes[i].len, c->digests[i]);
    }
    return 0;
}

int
core_compile(const struct slice bytes[static CORE_SECTIONS], const struct keyring *keys,
             struct policy_core **ret_core, struct buf *why)
{
    struct policy_core *c = calloc(1, sizeof(*c));
    int err;

    if (!c)
        return refuse(why, ERR_NOMEM, "no memory");
    atomic_init(&c->refs, 1);
    arena_init(&c->arena, 0);
    map_init(&c->provider_by_name);
    map_init(&c->groups);
    map_init(&c->model_by_name);
    c->opened = keys != NULL;
    err = copy_bytes(c, bytes) != 0 ? refuse(why, ERR_NOMEM, "no memory") : 0;
    if (!err)
        err = providers_compile(c, keys, why);
    if (!err)
        err = prices_compile(c, why);
    if (!err)
        err = models_compile(c, why);
    if (err) {
        core_unref(c);
        return err;
    }
    *ret_core = c;
    return 0;
}

void
core_unref(struct policy_core *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    map_free(&c->model_by_name);
    prices_free(c);
    providers_free(c);
    arena_free(&c->arena);
    free(c);
}
