#include "lib/policy/policy.h"

#include <stdlib.h>

#include "lib/policy/policy_internal.h"

#define MANY_KEYS 50000 /* fewer stay in the caches anyway */

struct policy *
policy_ref(struct policy *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void
policy_unref(struct policy *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < KEY_SHARDS; i++)
        binding_unref(p->bindings[i]);
    people_unref(p->people);
    limits_unref(p->limits);
    core_unref(p->core);
    free(p);
}

uint64_t
policy_epoch(const struct policy *p)
{
    return p->epoch;
}

uint64_t
policy_version(const struct policy *p)
{
    return p->version;
}

uint64_t
policy_revision(const struct policy *p)
{
    return p->revision;
}

/* --- keys ---------------------------------------------------------------------------------- */

const struct policy_key *
policy_find_key(const struct policy *p, struct slice presented, struct policy_key *scratch)
{
    unsigned char digest[SHA256_BYTES];
    const struct key_binding *b;

    if (!p->core->pepper || presented.len == 0)
        return NULL;
    hmac_sha256(p->core->pepper, presented.at, presented.len, digest);
    b = p->bindings[digest[0]];
    return b && binding_find(b, digest, scratch) ? scratch : NULL;
}

size_t
policy_key_count(const struct policy *p)
{
    return p->key_count;
}

void
policy_settle(const struct policy *p)
{
    if (p->key_count < MANY_KEYS)
        return;
    for (size_t i = 0; i < KEY_SHARDS; i++)
        if (p->bindings[i])
            shard_settle(binding_shard(p->bindings[i]));
}

const struct policy_issuer *
policy_find_issuer(const struct policy *p, struct slice issuer)
{
    return map_find(&p->people->issuers, issuer);
}

const struct policy_team *
policy_find_team(const struct policy *p, struct slice name)
{
    return map_find(&p->people->teams, name);
}

bool
policy_user_is_disabled(const struct policy *p, struct slice name)
{
    const struct policy_user *u = map_find(&p->people->users, name);

    return u && u->disabled;
}

static bool
team_allows(const struct policy_team *team, struct slice model_name)
{
    if (team->all_models)
        return true;
    for (size_t i = 0; i < team->count; i++)
        if (glob_match(team->models[i], model_name))
            return true;
    return false;
}

static bool
key_allows(const struct policy_key *key, struct slice model_name)
{
    struct slice pattern;
    size_t cursor = 0;

    if (key->all_models)
        return true;
    while (policy_key_model(key, &cursor, &pattern))
        if (glob_match(pattern, model_name))
            return true;
    return false;
}

static bool
roles_allow(const struct policy_key *key, struct slice model_name)
{
    const struct policy_role *role;
    size_t cursor = 0;

    while ((role = policy_key_role(key, &cursor)) != NULL)
        if (policy_role_has_model(role, model_name))
            return true;
    return key->grant_count == 0;
}

bool
policy_may_use(const struct policy_key *key, struct slice model_name)
{
    return key_allows(key, model_name) && team_allows(key->team, model_name) &&
           roles_allow(key, model_name);
}

/* --- models, providers, prices ------------------------------------------------------------- */

/* "provider/model": everything after the first slash is the provider's own name. */
static const struct policy_model *
direct_model(const struct policy *p, struct slice name, struct policy_model *scratch,
             struct policy_target *target)
{
    size_t slash = slice_find(name, '/', 0);
    const struct policy_provider *provider = policy_find_provider(p, slice_make(name.at, slash));

    if (!provider || slash + 1 >= name.len)
        return NULL;
    *target = (struct policy_target){
        .provider = provider,
        .model = slice_from(name, slash + 1),
        .weight = 1,
        .price = prices_find(p->core, provider, slice_from(name, slash + 1)),
    };
    *scratch = (struct policy_model){
        .name = name,
        .strategy = ROUTE_WEIGHTED,
        .targets = target,
        .count = 1,
        .weights = 1,
    };
    return scratch;
}

const struct policy_model *
policy_find_model(const struct policy *p, struct slice name, struct policy_model *scratch,
                  struct policy_target *scratch_target)
{
    const struct policy_model *m = map_find(&p->core->model_by_name, name);

    return m ? m : direct_model(p, name, scratch, scratch_target);
}

const struct policy_model *
policy_model_at(const struct policy *p, size_t index)
{
    return index < p->core->model_count ? &p->core->models[index] : NULL;
}

size_t
policy_model_count(const struct policy *p)
{
    return p->core->model_count;
}

const struct policy_provider *
policy_provider_at(const struct policy *p, size_t index)
{
    return index < p->core->provider_count ? &p->core->providers[index] : NULL;
}

size_t
policy_provider_count(const struct policy *p)
{
    return p->core->provider_count;
}

const struct policy_provider *
policy_find_provider(const struct policy *p, struct slice name)
{
    return map_find(&p->core->provider_by_name, name);
}

const struct policy_price *
policy_find_price(const struct policy *p, const struct policy_provider *provider,
                  struct slice model)
{
    return prices_find(p->core, provider, model);
}
