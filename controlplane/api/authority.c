/* See authority.h. */
#include "controlplane/api/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/store/sign_ins.h"

#define LIMIT_GROUP_DEPTH 64

/* ---- objects --------------------------------------------------------------------------------- */

/* A binding or budget for a project is its team's business too. */
static int
find_team(struct api_request *r, struct item_place *place)
{
    struct item project;
    if (place->team.len > 0 || place->project.len == 0)
        return 0;
    int err = items_find(r->db, kind_at(KIND_PROJECTS), place->project, &project);
    if (!err)
        place->team = arena_copy(&r->arena, json_str(json_get(project.body, "team")));
    item_free(&project);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int
authority_over(struct api_request *r, const char *permission, const struct kind *kind,
               const char *name, const struct json *body)
{
    int number = permission_find(slice_of(permission));
    struct item_place place = item_place(kind, slice_of(name), body);
    r->asked = true;
    if (access_everywhere(r->access, number))
        return 0;
    int err = find_team(r, &place);
    if (err)
        return err;
    return access_find(r->access, number, place) ? 0 : ERR_DENIED;
}

static int
filter_text(struct api_request *r, const struct json *list, const char **ret)
{
    struct buf text;
    buf_init(&text, 0);
    int err = json_write(list, false, 0, &text);
    *ret = err ? NULL : arena_strdup(&r->arena, buf_slice(&text));
    buf_free(&text);
    return *ret ? 0 : ERR_NOMEM;
}

static int
collect_places(const struct access *a, int permission, struct json *teams, struct json *projects)
{
    int err = 0;
    for (size_t i = 0; i < a->count && !err; i++) {
        const struct grant *g = &a->at[i];
        if (permissions_has(&g->permissions, permission))
            err = g->project[0] ? json_append(projects, json_new_text(slice_of(g->project)))
                                : json_append(teams, json_new_text(slice_of(g->team)));
    }
    return err;
}

int
authority_filter(struct api_request *r, struct api_reply *reply, const char *permission,
                 struct item_filter *ret_filter)
{
    int number = permission_find(slice_of(permission));
    *ret_filter = (struct item_filter){NULL, NULL};
    r->asked = true;
    if (access_everywhere(r->access, number))
        return 0;
    struct json *teams = json_new_list(), *projects = json_new_list();
    int err = teams && projects ? collect_places(r->access, number, teams, projects) : ERR_NOMEM;
    if (!err)
        err = filter_text(r, teams, &ret_filter->teams);
    if (!err)
        err = filter_text(r, projects, &ret_filter->projects);
    json_free(teams);
    json_free(projects);
    return err ? api_fail(r, reply, err) : 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static const char *
verb_of(const struct change *c)
{
    return !c->before ? "create" : c->after ? "write" : "delete";
}

static int
may_change(struct api_request *r, struct api_reply *reply, const struct change *c,
           const struct json *body)
{
    char permission[PERMISSION_TEXT_BYTES];
    if (c->permission)
        snprintf(permission, sizeof(permission), "%s", c->permission);
    else
        snprintf(permission, sizeof(permission), "%s.%s", c->kind->plural, verb_of(c));
    int err = body ? authority_over(r, permission, c->kind, c->name, body) : 0;
    if (err == ERR_DENIED)
        return api_problem(reply, 403, "forbidden", "%s%sno permission %s for %s '%s'", c->path,
                           c->path[0] ? ": " : "", permission, c->kind->noun, c->name);
    return err ? api_fail(r, reply, err) : 0;
}

int
authority_to_change(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        err = may_change(r, reply, &c->at[i], c->at[i].before);
        if (!err)
            err = may_change(r, reply, &c->at[i], c->at[i].after);
    }
    return err;
}

/* ---- nobody gives more than they have -------------------------------------------------------- */

static bool
is_about_access(const struct kind *kind)
{
    return kind->id == KIND_USERS || kind->id == KIND_ROLES || kind->id == KIND_GROUPS ||
           kind->id == KIND_BINDINGS || kind->id == KIND_SIGN_INS;
}

int
authority_begin(struct api_request *r, struct api_reply *reply, const struct changes *c,
                struct authority *ret)
{
    *ret = (struct authority){.provisioning = true};
    for (size_t i = 0; i < c->count; i++) {
        const char *permission = c->at[i].permission;
        ret->concerned = ret->concerned || is_about_access(c->at[i].kind);
        ret->provisioning =
            ret->provisioning && permission && strcmp(permission, AUTHORITY_TO_PROVISION) == 0;
    }
    int err = ret->concerned ? access_load_all(r->db, ret->provisioning, &ret->before) : 0;
    return err ? api_fail(r, reply, err) : 0;
}

void
authority_free(struct authority *a)
{
    access_free(&a->before);
}

static const char *
scope_text(const struct grant *g, char *into, size_t room)
{
    if (g->project[0])
        snprintf(into, room, "project '%s'", g->project);
    else if (g->team[0])
        snprintf(into, room, "team '%s'", g->team);
    else
        snprintf(into, room, "the organisation");
    return into;
}

static void
first_missing(const struct access *have, const struct grant *g, char ret[PERMISSION_TEXT_BYTES])
{
    struct grant one = *g;
    snprintf(ret, PERMISSION_TEXT_BYTES, "?");
    for (size_t i = 0; i < permission_count(); i++) {
        if (!permissions_has(&g->permissions, (int)i))
            continue;
        one.permissions = (struct permissions){{0}};
        one.permissions.bits[i / 64] = UINT64_C(1) << i % 64;
        if (access_covers(have, &one)) /* the caller has this one */
            continue;
        permission_name(i, ret);
        return;
    }
}

/* path: of the item that says so, where it is known; else "". */
static int
refuse_escalation(struct api_request *r, struct api_reply *reply, const struct grant *g,
                  const char *path, const char *what)
{
    char missing[PERMISSION_TEXT_BYTES], scope[ACCESS_NAME_BYTES + 16];
    first_missing(r->access, g, missing);
    return api_problem(reply, 403, "escalation",
                       "%s%s%s role '%s' for %s, which has permissions that you do not have there: "
                       "%s",
                       path, path[0] ? ".permissions: " : "", what, g->role,
                       scope_text(g, scope, sizeof(scope)), missing);
}

/* The grants of one user: neighbours in a list that is in the order of users. */
static struct access
run_of(const struct access *all, size_t from)
{
    struct access run = {&all->at[from], 0};
    while (from + run.count < all->count &&
           strcmp(all->at[from + run.count].user, all->at[from].user) == 0)
        run.count++;
    return run;
}

/* What provisioned groups had: neighbours too. */
static struct access
run_of_groups(const struct access *all)
{
    size_t from = 0, to;
    while (from < all->count && all->at[from].user[0] != ACCESS_GROUP_MARK[0])
        from++;
    for (to = from; to < all->count && all->at[to].user[0] == ACCESS_GROUP_MARK[0];)
        to++;
    return (struct access){all->at + from, to - from};
}

static bool
is_deleted(const struct changes *c, const char *user)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->at[i].kind->id == KIND_USERS && !c->at[i].after && strcmp(c->at[i].name, user) == 0)
            return true;
    return false;
}

/* Whether the caller may give or take this. */
static bool
may_move(const struct api_request *r, const struct authority *a, const struct changes *c,
         const struct grant *g)
{
    struct grant rest = *g;
    rest.permissions = access_left(r->access, g);
    if (permissions_is_empty(&rest.permissions))
        return true;
    if (!a->provisioning)
        return false;
    struct access delegated = run_of_groups(&a->before);
    return access_covers(&delegated, &rest) || is_deleted(c, g->user);
}

struct comparison {
    const struct access *now, *then;
    const struct changes *changes;
    const struct authority *authority;
    const char *what;
};

/* Every grant of `now` that `then` did not cover for the same user must be the caller's to give. */
static int
check_difference(struct api_request *r, struct api_reply *reply, const struct comparison *d)
{
    const struct access *now = d->now, *then = d->then;
    int err = 0;
    size_t j = 0;
    for (size_t i = 0; i < now->count && !err;) {
        struct access mine = run_of(now, i);
        while (j < then->count && strcmp(then->at[j].user, mine.at->user) < 0)
            j++;
        bool had = j < then->count && strcmp(then->at[j].user, mine.at->user) == 0;
        struct access old = had ? run_of(then, j) : (struct access){0};
        for (size_t k = 0; k < mine.count && !err; k++) {
            struct grant new = mine.at[k];
            new.permissions = access_left(&old, &mine.at[k]);
            if (!may_move(r, d->authority, d->changes, &new))
                err = refuse_escalation(r, reply, &new, "", d->what);
        }
        i += mine.count;
    }
    return err;
}

static bool
is_marked(const struct json *body)
{
    return json_is_true(json_get(body, "provisioned"));
}

/* Who marks a user lets somebody else take what it has: as though the caller took it. */
static int
check_mark(struct api_request *r, struct api_reply *reply, const struct access *all,
           const char *user)
{
    int err = 0;
    for (size_t i = 0; i < all->count && !err; i++)
        if (strcmp(all->at[i].user, user) == 0 && !access_covers(r->access, &all->at[i]))
            err = refuse_escalation(r, reply, &all->at[i], "", "this would let SCIM take");
    return err;
}

static int
check_marks(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    struct access all = {0};
    bool loaded = false;
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        const struct change *one = &c->at[i];
        if (one->kind->id != KIND_USERS || is_marked(one->before) || !is_marked(one->after))
            continue;
        if (!loaded && (err = access_load_all(r->db, true, &all)) != 0)
            return api_fail(r, reply, err);
        loaded = true;
        err = check_mark(r, reply, &all, one->name);
    }
    access_free(&all);
    return err;
}

/* A role that is bound to nobody yet is still a promise. */
static int
check_role(struct api_request *r, struct api_reply *reply, const struct change *c,
           const struct json *body)
{
    struct grant g = {.role = ""};
    const struct json *list = json_get(body, "permissions");
    snprintf(g.role, sizeof(g.role), "%s", c->name);
    for (size_t i = 0; i < json_size(list); i++)
        (void)permissions_add(&g.permissions, json_str(json_at(list, i)));
    return access_covers(r->access, &g)
               ? 0
               : refuse_escalation(r, reply, &g, c->path, "this would define the");
}

static int
check_roles(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        if (c->at[i].kind->id != KIND_ROLES)
            continue;
        if (c->at[i].before)
            err = check_role(r, reply, &c->at[i], c->at[i].before);
        if (!err && c->at[i].after)
            err = check_role(r, reply, &c->at[i], c->at[i].after);
    }
    return err;
}

/* Whoever says which provider is believed can sign in as anybody. */
static int
check_sign_ins(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    struct grant all = {.role = "owner"};
    builtin_role_permissions(builtin_role_find(SLICE("owner")), &all.permissions);
    for (size_t i = 0; i < c->count; i++)
        if (c->at[i].kind->id == KIND_SIGN_INS && !access_covers(r->access, &all))
            return refuse_escalation(r, reply, &all, "",
                                     "through a sign-in one can become anybody: it takes the");
    return 0;
}

/* ---- groups in groups ------------------------------------------------------------------------ */

struct walk {
    const struct items *groups;
    unsigned char *done; /* by group: nothing below it comes back */
    size_t path[LIMIT_GROUP_DEPTH];
    size_t depth;
};

static int
refuse_path(const struct walk *w, size_t from, const char *what, struct api_reply *reply)
{
    struct buf text;
    buf_init(&text, 16384);
    int err = buf_addf(&text, "groups: %s: ", what);
    for (size_t i = from; i < w->depth && !err; i++)
        err = buf_addf(&text, "'%s' > ", w->groups->at[w->path[i]].name);
    if (!err)
        err = buf_addf(&text, "'%s'", w->groups->at[w->path[from]].name);
    const char *why = err ? NULL : buf_str(&text);
    err = api_problem(reply, 400, "group_cycle", "%s", why ? why : what);
    buf_free(&text);
    return err;
}

/* Depth first; recursion is bounded by LIMIT_GROUP_DEPTH. */
static int
visit(struct walk *w, size_t group, struct api_reply *reply)
{
    const struct json *inner = json_get(w->groups->at[group].body, "groups");
    if (w->done[group])
        return 0;
    for (size_t i = 0; i < w->depth; i++)
        if (w->path[i] == group)
            return refuse_path(w, i, "a group would contain itself", reply);
    if (w->depth == LIMIT_GROUP_DEPTH)
        return api_problem(reply, 400, "group_depth", "groups: more than %d within each other",
                           LIMIT_GROUP_DEPTH);
    w->path[w->depth++] = group;
    int err = 0;
    for (size_t i = 0; i < json_size(inner) && !err; i++) {
        const struct item *next = items_get(w->groups, json_str(json_at(inner, i)));
        if (next)
            err = visit(w, (size_t)(next - w->groups->at), reply);
    }
    w->depth--;
    w->done[group] = 1;
    return err;
}

static int
check_groups(struct api_request *r, struct api_reply *reply)
{
    struct items groups = {0};
    struct walk w = {.groups = &groups};
    int err = items_load(r->db, kind_at(KIND_GROUPS), NULL, &groups);
    if (!err && !(w.done = calloc(groups.count + 1, 1)))
        err = ERR_NOMEM;
    if (err)
        err = api_fail(r, reply, err);
    for (size_t i = 0; w.done && i < groups.count && !err; i++)
        err = visit(&w, i, reply);
    free(w.done);
    items_free(&groups);
    return err;
}

static bool
is_off(const struct change *c)
{
    return !c->after || json_is_true(json_get(c->after, "disabled"));
}

/* A user that comes back under the same name does not find its old tokens; one that is enabled
 * again signs in again. */
static int
drop_of_user(struct db *db, const struct change *c)
{
    int err = is_off(c) ? session_delete_of_user(db, c->name) : 0;
    if (!err && !c->after)
        err = token_delete_of_user(db, c->name);
    return err || c->after ? err : sign_in_forget_user(db, c->name);
}

/* What another provider said is not what this one says. */
static int
drop_of_sign_in(struct db *db, const struct change *c)
{
    struct slice before = json_str(json_get(c->before, "issuer"));
    bool moved = c->after && !slice_eq(before, json_str(json_get(c->after, "issuer")));
    return is_off(c) || moved ? session_delete_of_sign_in(db, c->name) : 0;
}

static int
drop_credentials(struct api_request *r, struct api_reply *reply, const struct changes *c)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++)
        if (c->at[i].kind->id == KIND_USERS)
            err = drop_of_user(r->db, &c->at[i]);
        else if (c->at[i].kind->id == KIND_SIGN_INS)
            err = drop_of_sign_in(r->db, &c->at[i]);
    return err ? api_fail(r, reply, err) : 0;
}

int
authority_end(struct api_request *r, struct api_reply *reply, const struct changes *c,
              struct authority *a)
{
    struct access after;
    if (!a->concerned)
        return 0;
    int err = check_groups(r, reply);
    if (!err)
        err = check_roles(r, reply, c);
    if (!err)
        err = check_sign_ins(r, reply, c);
    if (err)
        return err;
    err = access_load_all(r->db, a->provisioning, &after);
    if (err)
        return api_fail(r, reply, err);
    const struct comparison gained = {&after, &a->before, c, a, "this would give somebody"};
    const struct comparison lost = {&a->before, &after, c, a, "this would take from somebody"};
    err = check_difference(r, reply, &gained);
    if (!err)
        err = check_difference(r, reply, &lost);
    access_free(&after);
    if (!err)
        err = check_marks(r, reply, c);
    return err ? err : drop_credentials(r, reply, c);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

int
authority_of_token(struct db *db, const struct token *t, struct access *ret)
{
    *ret = (struct access){0};
    if (!t->user[0])
        return access_of_role(strcmp(t->role, "admin") == 0 ? "owner" : "auditor", ret);
    int err = access_user(db, t->user);
    return err ? err : access_load(db, t->user, NULL, ret);
}

int
authority_of_session(struct db *db, const struct session *s, struct access *ret)
{
    *ret = (struct access){0};
    int err = access_user(db, s->user);
    return err ? err : access_load(db, s->user, s->groups, ret);
}

int
authority_over_token(struct api_request *r, struct api_reply *reply, const struct token *t)
{
    struct access its;
    int err = authority_of_token(r->db, t, &its);
    if (err == ERR_NOT_FOUND)
        return 0; /* it opens nothing */
    if (err)
        return api_fail(r, reply, err);
    for (size_t i = 0; i < its.count && !err; i++)
        if (!access_covers(r->access, &its.at[i]))
            err = refuse_escalation(r, reply, &its.at[i], "", "the token has");
    access_free(&its);
    return err;
}
