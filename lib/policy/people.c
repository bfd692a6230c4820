/* Teams, projects and users: whom keys belong to. */
#include "lib/policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_TEAM_MODELS 4096

/* Enters an item under its name, checked. */
static int
enter(struct policy_people *p, struct map *map, const struct place *at, void *item,
      struct slice *ret_name)
{
    if (!name_is_valid(at->name))
        return BAD(at, ERR_SYNTAX, "name: is empty, too long or malformed");
    if (map_find(map, at->name))
        return BAD(at, ERR_EXISTS, "is there twice");
    *ret_name = arena_copy(&p->arena, at->name);
    if (!ret_name->at || map_put(map, *ret_name, item) != 0)
        return BAD(at, ERR_NOMEM, "no memory");
    return 0;
}

static int
copy_scope(struct policy_people *p, const struct section_scope *from, struct slice *ret)
{
    struct buf packed;
    int err;

    buf_init(&packed, 0);
    err = scope_pack(&packed, from);
    *ret = packed.len ? arena_copy(&p->arena, buf_slice(&packed)) : SLICE("");
    buf_free(&packed);
    return err ? err : ret->at ? 0 : ERR_NOMEM;
}

static int
take_team(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_people *p = ctx;
    struct policy_team *to = arena_zalloc(&p->arena, sizeof(*to));
    struct section_team t;
    struct slice *models;

    if (section_get_team(item, scratch, &t) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = t.name;
    if (t.model_count > LIMIT_TEAM_MODELS)
        return BAD(at, ERR_LIMIT, "allow: more than %d models", LIMIT_TEAM_MODELS);
    models = arena_alloc(&p->arena, (t.model_count + 1) * sizeof(*models));
    if (!to || !models)
        return BAD(at, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < t.model_count; i++) {
        if (!name_is_valid(t.models[i]))
            return BAD(at, ERR_SYNTAX, "allow.models[%zu]: is empty or malformed", i);
        models[i] = arena_copy(&p->arena, t.models[i]);
        if (!models[i].at)
            return BAD(at, ERR_NOMEM, "no memory");
    }
    if (scope_problem(&t.scope))
        return BAD(at, ERR_SYNTAX, "allow: %s", scope_problem(&t.scope));
    if (copy_scope(p, &t.scope, &to->scope) != 0)
        return BAD(at, ERR_NOMEM, "no memory");
    to->disabled = t.disabled;
    to->all_models = t.all_models;
    to->models = models;
    to->count = t.model_count;
    return enter(p, &p->teams, at, to, &to->name);
}

static int
take_project(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_people *p = ctx;
    struct policy_project *to = arena_zalloc(&p->arena, sizeof(*to));
    struct section_project s;

    if (section_get_project(item, scratch, &s) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = s.name;
    if (!to)
        return BAD(at, ERR_NOMEM, "no memory");
    to->disabled = s.disabled;
    to->team = map_find(&p->teams, s.team);
    if (!to->team)
        return BAD(at, ERR_NOT_FOUND, "no team '%.*s'", SLICE_ARG(s.team));
    return enter(p, &p->projects, at, to, &to->name);
}

static int
take_user(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_people *p = ctx;
    struct policy_user *to = arena_zalloc(&p->arena, sizeof(*to));
    struct section_user s;

    if (section_get_user(item, scratch, &s) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = s.name;
    if (!to)
        return BAD(at, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < s.team_count; i++)
        if (!map_find(&p->teams, s.teams[i]))
            return BAD(at, ERR_NOT_FOUND, "teams[%zu]: no team '%.*s'", i, SLICE_ARG(s.teams[i]));
    to->disabled = s.disabled;
    return enter(p, &p->users, at, to, &to->name);
}

int
people_compile(struct slice bytes, struct policy_people **ret_people, struct buf *why)
{
    struct policy_people *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return refuse(why, ERR_NOMEM, "teams: no memory");
    atomic_init(&p->refs, 1);
    arena_init(&p->arena, 0);
    map_init(&p->teams);
    map_init(&p->projects);
    map_init(&p->users);
    map_init(&p->roles);
    map_init(&p->issuers);
    hash_sha256(bytes.at, bytes.len, p->digest);
    err = each_item("teams", bytes, SECTION_TEAM, "teams", take_team, p, why);
    if (!err)
        err = each_item("teams", bytes, SECTION_PROJECT, "projects", take_project, p, why);
    if (!err)
        err = each_item("teams", bytes, SECTION_USER, "users", take_user, p, why);
    if (!err)
        err = issuers_compile(p, bytes, why);
    if (!err)
        err = roles_compile(p, bytes, why);
    if (err) {
        people_unref(p);
        return err;
    }
    *ret_people = p;
    return 0;
}

void
people_unref(struct policy_people *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    map_free(&p->teams);
    map_free(&p->projects);
    map_free(&p->users);
    map_free(&p->roles);
    issuers_free(p);
    arena_free(&p->arena);
    free(p);
}
