/* See access.h. */
#include "controlplane/store/access.h"

#include <stdio.h>
#include <stdlib.h>

/* UNION (not UNION ALL) ends at a cycle of groups, should there ever be one. $1: a user, or NULL
 * for everybody; $2: see access_load_all(); $3: groups that the user is in beside. */
static const char grants_sql[] =
    "WITH RECURSIVE member (group_name, user_name) AS ("
    "SELECT g.name, u FROM config_items AS g, "
    "jsonb_array_elements_text(coalesce(g.body -> 'users', '[]')) AS u "
    "WHERE g.kind = 'groups' AND ($1::text IS NULL OR (g.body -> 'users' ? $1 AND u = $1)) "
    "UNION SELECT g.name, '" ACCESS_GROUP_MARK "' || g.name FROM config_items AS g "
    "WHERE g.kind = 'groups' AND $1::text IS NULL AND g.body ->> 'provisioned' = 'true' "
    "UNION SELECT g.name, $1 FROM config_items AS g WHERE g.kind = 'groups' "
    "AND $1::text IS NOT NULL AND coalesce($3::jsonb, '[]') ? g.name "
    "UNION SELECT c ->> 'group', '" ACCESS_SIGNED_MARK "' || (c ->> 'group') "
    "FROM config_items AS i, jsonb_array_elements(coalesce(i.body -> 'groups', '[]')) AS c "
    "WHERE i.kind = 'sign_ins' AND $1::text IS NULL "
    "UNION SELECT g.name, m.user_name FROM config_items AS g "
    "JOIN member AS m ON g.kind = 'groups' AND g.body -> 'groups' ? m.group_name), "
    "subject (binding, user_name, group_name) AS ("
    "SELECT b.name, u, '' FROM config_items AS b, "
    "jsonb_array_elements_text(coalesce(b.body -> 'users', '[]')) AS u "
    "WHERE b.kind = 'bindings' AND ($1::text IS NULL OR (b.body -> 'users' ? $1 AND u = $1)) "
    "UNION SELECT b.name, m.user_name, m.group_name FROM config_items AS b "
    "JOIN member AS m ON b.kind = 'bindings' AND b.body -> 'groups' ? m.group_name) "
    "SELECT s.user_name, b.name, b.body ->> 'role', s.group_name, "
    "coalesce(b.body ->> 'team', p.body ->> 'team', ''), coalesce(b.body ->> 'project', ''), "
    "r.body -> 'permissions' FROM subject AS s "
    "LEFT JOIN config_items AS w ON w.kind = 'users' AND w.name = s.user_name "
    "AND (coalesce(w.body ->> 'disabled', 'false') = 'false' "
    "OR ($2::boolean AND w.body ->> 'provisioned' = 'true')) "
    "JOIN config_items AS b ON b.kind = 'bindings' AND b.name = s.binding "
    "LEFT JOIN config_items AS r ON r.kind = 'roles' AND r.name = b.body ->> 'role' "
    "LEFT JOIN config_items AS p ON p.kind = 'projects' AND p.name = b.body ->> 'project' "
    "WHERE w.name IS NOT NULL OR starts_with(s.user_name, '" ACCESS_GROUP_MARK "') "
    "OR starts_with(s.user_name, '" ACCESS_SIGNED_MARK "') "
    "ORDER BY s.user_name COLLATE \"C\", b.name, s.group_name";

void
access_free(struct access *a)
{
    free(a->at);
    *a = (struct access){0};
}

static void
copy(char into[static ACCESS_NAME_BYTES], const char *text)
{
    snprintf(into, ACCESS_NAME_BYTES, "%s", text);
}

/* A role that is neither built in nor there grants nothing. */
static int
take_permissions(struct slice role, struct slice list, struct permissions *ret)
{
    const struct builtin_role *builtin = builtin_role_find(role);
    struct json *patterns = NULL;
    *ret = (struct permissions){{0}};
    if (builtin) {
        builtin_role_permissions(builtin, ret);
        return 0;
    }
    if (list.len == 0)
        return 0;
    int err = json_parse(list, &patterns, NULL, 0);
    for (size_t i = 0; !err && i < json_size(patterns); i++)
        (void)permissions_add(ret, json_str(json_at(patterns, i)));
    json_free(patterns);
    return err;
}

static int
take_grant(const struct db_rows *rows, size_t i, struct grant *g)
{
    copy(g->user, db_text(rows, i, 0));
    copy(g->binding, db_text(rows, i, 1));
    copy(g->role, db_text(rows, i, 2));
    copy(g->group, db_text(rows, i, 3));
    copy(g->team, db_text(rows, i, 4));
    copy(g->project, db_text(rows, i, 5));
    return take_permissions(db_slice(rows, i, 2), db_slice(rows, i, 6), &g->permissions);
}

static int
load(struct db *db, const char *user, const char *groups, bool dormant, struct access *ret)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {user, dormant ? "true" : "false", groups};
    *ret = (struct access){0};
    int err = db_query(db, grants_sql, params, 3, &rows);
    if (err)
        return err;
    ret->at = calloc(db_count(rows) + 1, sizeof(*ret->at));
    err = ret->at ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < db_count(rows); i++)
        err = take_grant(rows, i, &ret->at[ret->count++]);
    db_rows_free(rows);
    if (err)
        access_free(ret);
    return err;
}

int
access_load(struct db *db, const char *user, const char *groups, struct access *ret)
{
    return load(db, user, groups, false, ret);
}

int
access_load_all(struct db *db, bool dormant, struct access *ret)
{
    return load(db, NULL, NULL, dormant, ret);
}

int
access_user(struct db *db, const char *user)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {user};
    int err = db_query(db,
                       "SELECT 1 FROM config_items WHERE kind = 'users' AND name = $1 "
                       "AND coalesce(body ->> 'disabled', 'false') = 'false'",
                       params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    db_rows_free(rows);
    return err;
}

int
access_of_role(const char *role, struct access *ret)
{
    const struct builtin_role *builtin = builtin_role_find(slice_of(role));
    *ret = (struct access){0};
    if (!builtin)
        return ERR_NOT_FOUND;
    ret->at = calloc(1, sizeof(*ret->at));
    if (!ret->at)
        return ERR_NOMEM;
    copy(ret->at->role, role);
    builtin_role_permissions(builtin, &ret->at->permissions);
    ret->count = 1;
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* What belongs to nobody belongs to the organisation: a grant for a team does not reach it. */
static bool
reaches(const struct grant *g, struct item_place where)
{
    if (g->project[0])
        return slice_is(where.project, g->project);
    return !g->team[0] || slice_is(where.team, g->team);
}

const struct grant *
access_find(const struct access *a, int permission, struct item_place where)
{
    for (size_t i = 0; i < a->count; i++)
        if (permissions_has(&a->at[i].permissions, permission) && reaches(&a->at[i], where))
            return &a->at[i];
    return NULL;
}

bool
access_somewhere(const struct access *a, int permission)
{
    for (size_t i = 0; i < a->count; i++)
        if (permissions_has(&a->at[i].permissions, permission))
            return true;
    return false;
}

bool
access_everywhere(const struct access *a, int permission)
{
    return access_find(a, permission, (struct item_place){{NULL, 0}, {NULL, 0}}) != NULL;
}

struct permissions
access_left(const struct access *a, const struct grant *g)
{
    struct permissions rest = g->permissions;
    struct item_place where = {slice_of(g->team), slice_of(g->project)};
    for (size_t i = 0; i < a->count; i++)
        if (reaches(&a->at[i], where))
            permissions_remove(&rest, &a->at[i].permissions);
    return rest;
}

bool
access_covers(const struct access *a, const struct grant *g)
{
    struct permissions left = access_left(a, g);
    return permissions_is_empty(&left);
}
