/* changes_check_references() of revisions.h: what items name must exist, and go on existing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/rules/item.h"
#include "controlplane/store/revisions.h"
#include "lib/base/map.h"
#include "lib/base/near.h"

struct check {
    struct db *db;
    const struct changes *changes;
    struct buf *why;
};

static int explain(struct buf *why, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
explain(struct buf *why, int err, const char *format, ...)
{
    va_list args;
    buf_clear(why);
    va_start(args, format);
    int full = buf_vaddf(why, format, args);
    va_end(args);
    return full ? full : err;
}

/* "keys[3]." of an apply, "" of a call that concerns one item only. */
static const char *
dot(const struct change *c)
{
    return c->path[0] ? "." : "";
}

/* Runs a query whose second parameter is a list of names; none: no query. */
static int
query_names(struct db *db, const char *sql, const char *first, const struct json *names,
            struct db_rows **ret_rows)
{
    struct buf text;
    *ret_rows = NULL;
    if (json_size(names) == 0)
        return 0;
    buf_init(&text, 0);
    int err = json_write(names, false, 0, &text);
    const char *const params[] = {first, buf_str(&text)};
    if (!err)
        err = db_query(db, sql, params, 2, ret_rows);
    buf_free(&text);
    return err;
}

/* ---- what is named must exist ---------------------------------------------------------------- */

/* The distinct names that the changes refer to, a list for each kind; and those that are missing.
 */
struct named {
    struct json *lists[KIND_COUNT];
    struct map seen[KIND_COUNT];
    struct map missing[KIND_COUNT];
    struct db_rows *rows[KIND_COUNT]; /* hold the texts of the missing ones */
};

static int
collect(void *ctx, enum kind_id to, struct slice name, const char *place)
{
    struct named *n = ctx;
    (void)place;
    if (map_find(&n->seen[to], name))
        return 0;
    if (!n->lists[to] && !(n->lists[to] = json_new_list()))
        return ERR_NOMEM;
    int err = json_append(n->lists[to], json_new_text(name));
    struct json *added = json_at(n->lists[to], json_size(n->lists[to]) - 1);
    return err ? err : map_put(&n->seen[to], json_str(added), added);
}

static int
find_missing(struct check *c, struct named *n, size_t kind)
{
    int err =
        query_names(c->db,
                    "SELECT n FROM jsonb_array_elements_text($2::jsonb) AS n WHERE NOT EXISTS "
                    "(SELECT FROM config_items AS i WHERE i.kind = $1 AND i.name = n)",
                    kinds[kind].plural, n->lists[kind], &n->rows[kind]);
    for (size_t i = 0; !err && i < db_count(n->rows[kind]); i++)
        err = map_put(&n->missing[kind], db_slice(n->rows[kind], i, 0), n);
    return err;
}

static int
explain_dangling(struct check *c, const struct change *change, const struct kind *to,
                 struct slice name, const char *place)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {to->plural};
    const char *best = NULL;
    size_t least = SIZE_MAX;
    int err =
        db_query(c->db, "SELECT name FROM config_items WHERE kind = $1 ORDER BY name LIMIT 1000",
                 params, 1, &rows);
    if (err)
        return err;
    for (size_t i = 0; i < db_count(rows); i++) {
        struct slice candidate = db_slice(rows, i, 0);
        size_t d = near_distance(name, candidate);
        if (d < least && near_enough(name, candidate, d)) {
            least = d;
            best = db_text(rows, i, 0);
        }
    }
    err = explain(c->why, ERR_NOT_FOUND, "%s%s%s: there is no %s '%.*s'%s%s%s", change->path,
                  dot(change), place, to->noun, SLICE_ARG(name), best ? "; did you mean '" : "",
                  best ? best : "", best ? "'?" : "");
    db_rows_free(rows);
    return err;
}

struct blame {
    struct check *check;
    const struct named *named;
    const struct change *change;
};

static int
blame_one(void *ctx, enum kind_id to, struct slice name, const char *place)
{
    const struct blame *b = ctx;
    if (!map_find(&b->named->missing[to], name))
        return 0;
    return explain_dangling(b->check, b->change, kind_at(to), name, place);
}

/* The first change, in the document's order, that names something missing. */
static int
blame_all(struct check *c, const struct named *n)
{
    int err = 0;
    for (size_t i = 0; i < c->changes->count && !err; i++) {
        const struct change *change = &c->changes->at[i];
        struct blame b = {c, n, change};
        if (change->after)
            err = item_references(change->kind, change->after, blame_one, &b);
    }
    return err;
}

static int
check_named(struct check *c)
{
    struct named n = {0};
    int err = 0;
    for (size_t i = 0; i < c->changes->count && !err; i++)
        if (c->changes->at[i].after)
            err = item_references(c->changes->at[i].kind, c->changes->at[i].after, collect, &n);
    for (size_t k = 0; k < KIND_COUNT && !err; k++)
        err = find_missing(c, &n, k);
    if (!err)
        err = blame_all(c, &n);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        map_free(&n.missing[k]);
        map_free(&n.seen[k]);
        json_free(n.lists[k]);
        db_rows_free(n.rows[k]);
    }
    return err;
}

/* ---- what is deleted must not be named ------------------------------------------------------- */

static int
append_referrers(struct check *c, const struct change *change, const struct kind *from,
                 const struct kind_reference *r, size_t *total)
{
    struct db_rows *rows = NULL;
    char where[ITEMS_WHERE_BYTES], sql[512];
    const char *const params[] = {from->plural, change->name};
    snprintf(sql, sizeof(sql),
             "SELECT name FROM config_items WHERE kind = $1 AND %s ORDER BY name LIMIT 4",
             items_where(r, where));
    int err = db_query(c->db, sql, params, 2, &rows);
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = i == 3 ? buf_add_str(c->why, ", ...")
                     : buf_addf(c->why, "%s%s '%s'", (*total)++ ? ", " : "", from->noun,
                                db_text(rows, i, 0));
    db_rows_free(rows);
    return err;
}

static int
check_deleted(struct check *c, const struct change *change)
{
    size_t total = 0;
    int err = explain(c->why, 0, "%s%s%s '%s' is still used by ", change->path,
                      change->path[0] ? ": " : "", change->kind->noun, change->name);
    for (size_t k = 0; k < KIND_COUNT && !err; k++)
        for (size_t i = 0; i < kinds[k].reference_count && !err; i++)
            if (kinds[k].references[i].to == change->kind->id)
                err = append_referrers(c, change, &kinds[k], &kinds[k].references[i], &total);
    if (err || total > 0)
        return err ? err : ERR_CONFLICT;
    buf_clear(c->why);
    return 0;
}

/* ---- a key counts for a project of its own team only ----------------------------------------- */

static int
explain_team(struct check *c, const struct kind *kind, const struct db_rows *rows)
{
    struct slice name = db_slice(rows, 0, kind->id == KIND_KEYS ? 0 : 1);
    for (size_t i = 0; i < c->changes->count; i++) {
        const struct change *change = &c->changes->at[i];
        if (change->kind == kind && slice_is(name, change->name))
            return explain(c->why, ERR_NOT_FOUND,
                           "%s%s%s: project '%s' belongs to team '%s', key '%s' to another",
                           change->path, dot(change), kind->id == KIND_KEYS ? "project" : "team",
                           db_text(rows, 0, 1), db_text(rows, 0, 2), db_text(rows, 0, 0));
    }
    return ERR_IO;
}

static int
check_teams_of(struct check *c, enum kind_id id, const char *sql)
{
    const struct kind *kind = kind_at(id);
    struct json *names = json_new_list();
    struct db_rows *rows = NULL;
    int err = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < c->changes->count && !err; i++) {
        const struct change *change = &c->changes->at[i];
        if (change->kind == kind && change->after &&
            (id == KIND_PROJECTS || json_get(change->after, "project")))
            err = json_append(names, json_new_text(slice_of(change->name)));
    }
    if (!err)
        err = query_names(c->db, sql, "projects", names, &rows);
    if (!err && db_count(rows) > 0)
        err = explain_team(c, kind, rows);
    db_rows_free(rows);
    json_free(names);
    return err;
}

static int
check_project_teams(struct check *c)
{
    int err = check_teams_of(
        c, KIND_KEYS,
        "SELECT k.name, p.name, p.body ->> 'team' FROM config_items AS k JOIN config_items AS p "
        "ON p.kind = $1 AND p.name = k.body ->> 'project' WHERE k.kind = 'keys' AND k.name IN "
        "(SELECT jsonb_array_elements_text($2::jsonb)) AND p.body ->> 'team' <> k.body ->> 'team' "
        "ORDER BY k.name LIMIT 1");
    if (err)
        return err;
    return check_teams_of(
        c, KIND_PROJECTS,
        "SELECT k.name, p.name, p.body ->> 'team' FROM config_items AS p JOIN config_items AS k "
        "ON k.kind = 'keys' AND k.body ->> 'project' = p.name WHERE p.kind = $1 AND p.name IN "
        "(SELECT jsonb_array_elements_text($2::jsonb)) AND p.body ->> 'team' <> k.body ->> 'team' "
        "ORDER BY k.name LIMIT 1");
}

int
changes_check_references(struct db *db, const struct changes *changes, struct buf *why)
{
    struct check c = {db, changes, why};
    int err = check_named(&c);
    for (size_t i = 0; i < changes->count && !err; i++)
        if (!changes->at[i].after)
            err = check_deleted(&c, &changes->at[i]);
    return err ? err : check_project_teams(&c);
}
