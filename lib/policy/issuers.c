/* Issuers of tokens, and their public keys. */
#include "lib/policy/policy_internal.h"

#include <stdlib.h>

#include "lib/sign/bearer.h"

#define LIMIT_ISSUER_BYTES 2048 /* of the claims iss and aud */

struct taking {
    struct policy_people *p;
    const struct place *at;
};

static int
copy(struct taking *c, struct slice from, struct slice *ret)
{
    *ret = arena_copy(&c->p->arena, from.at ? from : SLICE(""));
    return ret->at ? 0 : BAD(c->at, ERR_NOMEM, "no memory");
}

static int
pack(struct taking *c, const struct section_issuer *s, struct policy_issuer *to)
{
    const char *problem = scope_problem(&s->scope);
    struct buf models, scope;
    int err;

    if (problem)
        return BAD(c->at, ERR_SYNTAX, "%s", problem);
    if (s->model_count > LIMIT_KEY_MODELS)
        return BAD(c->at, ERR_LIMIT, "more than %d models", LIMIT_KEY_MODELS);
    for (size_t i = 0; i < s->model_count; i++)
        if (!name_is_valid(s->models[i]))
            return BAD(c->at, ERR_SYNTAX, "models[%zu]: is empty or malformed", i);
    buf_init(&models, 0);
    buf_init(&scope, 0);
    err = texts_pack(&models, s->models, s->model_count);
    if (!err)
        err = scope_pack(&scope, &s->scope);
    if (err)
        err = BAD(c->at, err, "no memory");
    if (!err && (err = copy(c, buf_slice(&models), &to->models)) == 0)
        err = copy(c, buf_slice(&scope), &to->scope);
    buf_free(&models);
    buf_free(&scope);
    to->all_models = s->all_models;
    to->model_count = s->model_count;
    return err;
}

static int
take_keys(struct taking *c, const struct section_issuer *s, struct policy_issuer *to)
{
    if (s->key_count > LIMIT_ISSUER_KEYS)
        return BAD(c->at, ERR_LIMIT, "more than %d keys", LIMIT_ISSUER_KEYS);
    to->keys = arena_zalloc(&c->p->arena, (s->key_count + 1) * sizeof(*to->keys));
    if (!to->keys)
        return BAD(c->at, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < s->key_count; i++) {
        struct policy_issuer_key *k = &to->keys[i];
        int err = bearer_key_new((enum bearer_kind)s->keys[i].kind, s->keys[i].der, &k->key);

        if (err)
            return BAD(c->at, err, "keys[%zu]: is malformed", i);
        to->key_count++;
        if ((err = copy(c, s->keys[i].id, &k->id)) != 0)
            return err;
    }
    return 0;
}

static int
take_names(struct taking *c, const struct section_issuer *s, struct policy_issuer *to)
{
    char *name;
    int err;

    if (!name_is_valid(s->name) || s->name.len > LIMIT_NAME_BYTES - 4)
        return BAD(c->at, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (s->issuer.len == 0 || s->issuer.len > LIMIT_ISSUER_BYTES || s->audience.len == 0 ||
        s->audience.len > LIMIT_ISSUER_BYTES)
        return BAD(c->at, ERR_SYNTAX, "issuer or audience: is empty or too long");
    if (s->team.len && !(to->team = map_find(&c->p->teams, s->team)))
        return BAD(c->at, ERR_NOT_FOUND, "no team '%.*s'", SLICE_ARG(s->team));
    if (!to->team && !name_is_valid(s->team_claim))
        return BAD(c->at, ERR_SYNTAX, "neither a team nor a claim that names one");
    if (!name_is_valid(s->user_claim))
        return BAD(c->at, ERR_SYNTAX, "user_claim: is empty or malformed");
    name = arena_printf(&c->p->arena, "jwt:%.*s", SLICE_ARG(s->name));
    if (!name)
        return BAD(c->at, ERR_NOMEM, "no memory");
    to->name = slice_of(name);
    if ((err = copy(c, s->issuer, &to->issuer)) != 0 ||
        (err = copy(c, s->audience, &to->audience)) != 0 ||
        (err = copy(c, s->team_claim, &to->team_claim)) != 0)
        return err;
    return copy(c, s->user_claim, &to->user_claim);
}

/* In the list at once, so that what it has made of its keys is freed whatever comes. */
static struct policy_issuer *
enlist(struct policy_people *p)
{
    size_t bytes = (p->issuer_count + 1) * sizeof(*p->issuer_list);
    struct policy_issuer **more = realloc(p->issuer_list, bytes);
    struct policy_issuer *to = arena_zalloc(&p->arena, sizeof(*to));

    if (more)
        p->issuer_list = more;
    if (!more || !to)
        return NULL;
    p->issuer_list[p->issuer_count++] = to;
    return to;
}

static int
take_issuer(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct taking of = {ctx, at}, *c = &of;
    struct policy_issuer *to = enlist(c->p);
    struct section_issuer s;
    int err;

    if (!to)
        return BAD(c->at, ERR_NOMEM, "no memory");
    if (section_get_issuer(item, scratch, &s) != 0)
        return BAD(c->at, ERR_SYNTAX, "malformed");
    at->name = s.name;
    if ((err = take_names(c, &s, to)) != 0 || (err = pack(c, &s, to)) != 0 ||
        (err = take_keys(c, &s, to)) != 0)
        return err;
    to->disabled = s.disabled;
    if (map_find(&c->p->issuers, to->issuer))
        return BAD(c->at, ERR_EXISTS, "the issuer '%.*s' is there twice", SLICE_ARG(to->issuer));
    return map_put(&c->p->issuers, to->issuer, to) == 0 ? 0 : BAD(c->at, ERR_NOMEM, "no memory");
}

int
issuers_compile(struct policy_people *p, struct slice bytes, struct buf *why)
{
    return each_item("teams", bytes, SECTION_ISSUER, "issuers", take_issuer, p, why);
}

void
issuers_free(struct policy_people *p)
{
    for (size_t i = 0; i < p->issuer_count; i++)
        for (size_t k = 0; k < p->issuer_list[i]->key_count; k++)
            bearer_key_free(p->issuer_list[i]->keys[k].key);
    free(p->issuer_list);
    map_free(&p->issuers);
}
