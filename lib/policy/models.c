/* Models: what clients ask for, and where it goes. */
#include "lib/policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_TARGETS 64
#define LIMIT_WEIGHT 1000000

static int
take_strategy(const struct place *at, struct slice name, enum route_strategy *ret)
{
    if (name.len == 0 || slice_is(name, "weighted"))
        *ret = ROUTE_WEIGHTED;
    else if (slice_is(name, "priority"))
        *ret = ROUTE_PRIORITY;
    else
        return BAD(at, ERR_NOT_FOUND, "strategy: no strategy '%.*s' (weighted, priority)",
                   SLICE_ARG(name));
    return 0;
}

static int
take_target(struct policy_core *c, const struct place *at, size_t i, const struct section_target *t,
            struct policy_target *to)
{
    const struct policy_provider *provider = map_find(&c->provider_by_name, t->provider);

    if (!provider)
        return BAD(at, ERR_NOT_FOUND, "targets[%zu]: no provider '%.*s'", i,
                   SLICE_ARG(t->provider));
    if (!name_is_valid(t->model))
        return BAD(at, ERR_SYNTAX, "targets[%zu]: the model's name is empty or malformed", i);
    if (t->weight > LIMIT_WEIGHT)
        return BAD(at, ERR_SYNTAX, "targets[%zu]: the weight is over %d", i, LIMIT_WEIGHT);
    to->provider = provider;
    to->model = arena_copy(&c->arena, t->model);
    to->weight = t->weight;
    to->price = prices_find(c, provider, t->model);
    return to->model.at ? 0 : BAD(at, ERR_NOMEM, "no memory");
}

static int
take_targets(struct policy_core *c, const struct place *at, const struct section_model *m,
             struct policy_model *to)
{
    struct policy_target *all;
    int err;

    if (m->target_count == 0)
        return BAD(at, ERR_SYNTAX, "there is no target");
    if (m->target_count > LIMIT_TARGETS)
        return BAD(at, ERR_LIMIT, "more than %d targets", LIMIT_TARGETS);
    all = arena_zalloc(&c->arena, m->target_count * sizeof(*all));
    if (!all)
        return BAD(at, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < m->target_count; i++) {
        if ((err = take_target(c, at, i, &m->targets[i], &all[i])) != 0)
            return err;
        to->weights += all[i].weight;
    }
    if (to->weights == 0)
        return BAD(at, ERR_SYNTAX, "targets: all weights are zero");
    to->targets = all;
    to->count = m->target_count;
    return 0;
}

/* --- the cache ----------------------------------------------------------------------------- */

static bool
take_scope(struct slice name, enum cache_scope *ret)
{
    static const char *const names[] = {[CACHE_TEAM] = "team",
                                        [CACHE_PROJECT] = "project",
                                        [CACHE_USER] = "user",
                                        [CACHE_KEY] = "key"};

    for (size_t i = CACHE_TEAM; i <= CACHE_KEY; i++)
        if (slice_is(name, names[i])) {
            *ret = (enum cache_scope)i;
            return true;
        }
    return false;
}

/* Digests have one length: what follows what is not in doubt. */
static void
digest_config(struct slice item, const struct policy_model *m,
              unsigned char ret_digest[static SHA256_BYTES])
{
    unsigned char own[SHA256_BYTES];
    struct slice pieces[1 + LIMIT_TARGETS] = {slice_make(own, sizeof(own))};

    hash_sha256(item.at, item.len, own);
    for (size_t i = 0; i < m->count; i++)
        pieces[1 + i] = slice_make(m->targets[i].provider->config, SHA256_BYTES);
    hash_sha256_pieces(pieces, 1 + m->count, ret_digest);
}

/* item: all that was said of the model. */
static int
take_cache(struct policy_core *c, const struct place *at, const struct section_model *m,
           struct slice item, struct policy_model *to)
{
    struct policy_cache *cache;

    if (m->cache_ttl_s == 0 && m->cache_scope.len == 0)
        return 0;
    if (m->cache_ttl_s < 1 || m->cache_ttl_s > MOST_CACHE_TTL_S)
        return BAD(at, ERR_SYNTAX, "cache: ttl_s: must be from 1 to %d", MOST_CACHE_TTL_S);
    if (!(cache = arena_zalloc(&c->arena, sizeof(*cache))))
        return BAD(at, ERR_NOMEM, "no memory");
    if (!take_scope(m->cache_scope, &cache->scope))
        return BAD(at, ERR_NOT_FOUND, "cache: scope: no scope '%.*s' (team, project, user, key)",
                   SLICE_ARG(m->cache_scope));
    cache->ttl_ms = (int64_t)m->cache_ttl_s * 1000;
    digest_config(item, to, cache->config);
    to->cache = cache;
    return 0;
}

static int
take_model(struct policy_core *c, const struct place *at, const struct section_model *m,
           struct slice item, struct policy_model *to)
{
    int err;

    if (!name_is_valid(m->name))
        return BAD(at, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (slice_find(m->name, '*', 0) < m->name.len)
        return BAD(at, ERR_SYNTAX, "name: must not contain '*'");
    if ((err = take_strategy(at, m->strategy, &to->strategy)) != 0 ||
        (err = take_targets(c, at, m, to)) != 0 || (err = take_cache(c, at, m, item, to)) != 0)
        return err;
    to->name = arena_copy(&c->arena, m->name);
    to->free = m->free;
    to->created_unix_s = m->created_unix_s;
    return to->name.at ? 0 : BAD(at, ERR_NOMEM, "no memory");
}

static int
by_name(const void *a, const void *b)
{
    const struct policy_model *x = a;
    const struct policy_model *y = b;

    return strcmp(x->name.at, y->name.at);
}

static int
index_models(struct policy_core *c, struct buf *why)
{
    if (c->model_count)
        qsort(c->models, c->model_count, sizeof(*c->models), by_name);
    for (size_t i = 0; i < c->model_count; i++) {
        struct policy_model *m = &c->models[i];

        if (map_find(&c->model_by_name, m->name))
            return refuse(why, ERR_EXISTS, "models: '%.*s' is there twice", SLICE_ARG(m->name));
        if (map_put(&c->model_by_name, m->name, m) != 0)
            return refuse(why, ERR_NOMEM, "models: no memory");
    }
    return 0;
}

static int
check_fallbacks(const struct policy_core *c, const struct place *at, const struct section_model *m)
{
    for (size_t i = 0; i < m->fallback_count; i++) {
        if (slice_eq(m->fallbacks[i], m->name))
            return BAD(at, ERR_SYNTAX, "fallbacks[%zu]: falls back to itself", i);
        if (!map_find(&c->model_by_name, m->fallbacks[i]))
            return BAD(at, ERR_NOT_FOUND, "fallbacks[%zu]: no model '%.*s'", i,
                       SLICE_ARG(m->fallbacks[i]));
    }
    return 0;
}

static int
fill_item(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_core *c = ctx;
    struct section_model m;

    if (section_get_model(item, scratch, &m) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = m.name;
    return take_model(c, at, &m, item, &c->models[c->model_count++]);
}

/* When all are known: what they name. */
static int
check_item(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct section_model m;

    if (section_get_model(item, scratch, &m) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = m.name;
    return check_fallbacks(ctx, at, &m);
}

static int
each_model(struct policy_core *c, item_take *take, struct buf *why)
{
    return each_item("models", c->bytes[CORE_MODELS], SECTION_MODEL, "models", take, c, why);
}

int
models_compile(struct policy_core *c, struct buf *why)
{
    struct item_walk w = {"models", SECTION_MODEL, c->bytes[CORE_MODELS], 0, 0};
    struct slice item;
    int err;

    while ((err = item_next(&w, &item, why)) == 1)
        ;
    if (err)
        return err;
    c->models = arena_zalloc(&c->arena, (w.next + 1) * sizeof(*c->models));
    if (!c->models)
        return refuse(why, ERR_NOMEM, "models: no memory");
    if ((err = each_model(c, fill_item, why)) != 0 || (err = index_models(c, why)) != 0)
        return err;
    return each_model(c, check_item, why);
}
