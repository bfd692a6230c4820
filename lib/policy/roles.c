/* Roles that say what may be asked of models, and who has them where. */
#include "lib/policy/policy_internal.h"

#include <string.h>

#define LIMIT_ROLE_MODELS 4096
#define LIMIT_USER_GRANTS 256 /* of one user, that a request may have to look at */

/* --- roles ------------------------------------------------------------------------------------ */

static int
take_models(struct policy_people *p, const struct place *at, const struct section_role *from,
            struct policy_role *to)
{
    struct slice *models = arena_alloc(&p->arena, (from->model_count + 1) * sizeof(*models));

    if (from->model_count > LIMIT_ROLE_MODELS)
        return BAD(at, ERR_LIMIT, "allow: more than %d models", LIMIT_ROLE_MODELS);
    for (size_t i = 0; models && i < from->model_count; i++) {
        if (!name_is_valid(from->models[i]))
            return BAD(at, ERR_SYNTAX, "allow.models[%zu]: is empty or malformed", i);
        models[i] = arena_copy(&p->arena, from->models[i]);
        if (!models[i].at)
            return BAD(at, ERR_NOMEM, "no memory");
    }
    to->all_models = from->all_models;
    to->models = models;
    to->count = from->model_count;
    return models ? 0 : BAD(at, ERR_NOMEM, "no memory");
}

static int
take_role(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_people *p = ctx;
    struct policy_role *to = arena_zalloc(&p->arena, sizeof(*to));
    struct section_role r;
    struct buf packed;
    int err;

    if (section_get_role(item, scratch, &r) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = r.name;
    if (!to)
        return BAD(at, ERR_NOMEM, "no memory");
    if (!name_is_valid(r.name) || map_find(&p->roles, r.name))
        return BAD(at, ERR_SYNTAX, "name: is malformed, or there twice");
    if (scope_problem(&r.scope))
        return BAD(at, ERR_SYNTAX, "allow: %s", scope_problem(&r.scope));
    if ((err = take_models(p, at, &r, to)) != 0)
        return err;
    buf_init(&packed, 0);
    err = scope_pack(&packed, &r.scope);
    to->scope = packed.len ? arena_copy(&p->arena, buf_slice(&packed)) : SLICE("");
    to->name = arena_copy(&p->arena, r.name);
    buf_free(&packed);
    if (err || !to->scope.at || !to->name.at || map_put(&p->roles, to->name, to) != 0)
        return BAD(at, ERR_NOMEM, "no memory");
    return 0;
}

/* --- who has them ----------------------------------------------------------------------------- */

/* A list that doubles, in the arena. */
static struct policy_grant *
add_grant(struct policy_people *p, struct policy_user *u)
{
    if (u->grant_count == u->grant_cap) {
        size_t cap = u->grant_cap ? 2 * u->grant_cap : 2;
        struct policy_grant *more = arena_alloc(&p->arena, cap * sizeof(*more));

        if (!more)
            return NULL;
        if (u->grant_count)
            memcpy(more, u->grants, u->grant_count * sizeof(*more));
        u->grants = more;
        u->grant_cap = cap;
    }
    return &u->grants[u->grant_count++];
}

static int
take_grant(void *ctx, struct place *at, struct slice item, struct arena *scratch)
{
    struct policy_people *p = ctx;
    struct section_grant g;
    struct policy_grant *to;

    if (section_get_grant(item, scratch, &g) != 0)
        return BAD(at, ERR_SYNTAX, "malformed");
    at->name = g.user;
    struct policy_user *user = map_find(&p->users, g.user);
    const struct policy_role *role = map_find(&p->roles, g.role);
    const struct policy_team *team = g.team.len ? map_find(&p->teams, g.team) : NULL;
    const struct policy_project *project = g.project.len ? map_find(&p->projects, g.project) : NULL;

    if (!user || !role || (g.team.len && !team) || (g.project.len && !project))
        return BAD(at, ERR_NOT_FOUND, "no such user, role, team or project");
    if (user->grant_count == LIMIT_USER_GRANTS)
        return BAD(at, ERR_LIMIT, "more than %d roles that have an `allow`", LIMIT_USER_GRANTS);
    if (!(to = add_grant(p, user)))
        return BAD(at, ERR_NOMEM, "no memory");
    *to = (struct policy_grant){role, team, project ? project->name : SLICE("")};
    return 0;
}

/* --- all of them ------------------------------------------------------------------------------ */

int
roles_compile(struct policy_people *p, struct slice bytes, struct buf *why)
{
    int err = each_item("teams", bytes, SECTION_ROLE, "roles", take_role, p, why);

    return err ? err : each_item("teams", bytes, SECTION_GRANT, "grants", take_grant, p, why);
}

/* --- questions -------------------------------------------------------------------------------- */

void
policy_set_holder(const struct policy *p, struct slice user, struct policy_key *key)
{
    const struct policy_user *u = map_find(&p->people->users, user);

    key->grants = u ? u->grants : NULL;
    key->grant_count = u ? u->grant_count : 0;
}

static bool
reaches(const struct policy_grant *g, const struct policy_key *key)
{
    if (g->project.len)
        return slice_eq(g->project, key->project);
    return !g->team || g->team == key->team;
}

const struct policy_role *
policy_key_role(const struct policy_key *key, size_t *cursor)
{
    while (*cursor < key->grant_count) {
        const struct policy_grant *g = &key->grants[(*cursor)++];

        if (reaches(g, key))
            return g->role;
    }
    return NULL;
}

bool
policy_role_has_model(const struct policy_role *role, struct slice model_name)
{
    for (size_t i = 0; !role->all_models && i < role->count; i++)
        if (glob_match(role->models[i], model_name))
            return true;
    return role->all_models;
}
