/* changes_check_references() of revisions.h: what items name must exist, and go on existing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/rules/item.h"
#include "controlplane/store/revisions.h"
#include "lib/base/near.h"

struct walk {
    struct db *db;
    const struct change *change;
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

static int
explain_dangling(struct walk *w, const struct kind *to, const char *name, const char *place)
{
    struct db_rows *rows = NULL;
    const char *const params[] = {to->plural};
    const char *best = NULL;
    size_t least = SIZE_MAX;
    int err =
        db_query(w->db, "SELECT name FROM config_items WHERE kind = $1 ORDER BY name LIMIT 1000",
                 params, 1, &rows);
    if (err)
        return err;
    for (size_t i = 0; i < db_count(rows); i++) {
        struct slice candidate = db_slice(rows, i, 0);
        size_t d = near_distance(slice_of(name), candidate);
        if (d < least && near_enough(slice_of(name), candidate, d)) {
            least = d;
            best = db_text(rows, i, 0);
        }
    }
    err = explain(w->why, ERR_NOT_FOUND, "%s%s%s: there is no %s '%s'%s%s%s", w->change->path,
                  dot(w->change), place, to->noun, name, best ? "; did you mean '" : "",
                  best ? best : "", best ? "'?" : "");
    db_rows_free(rows);
    return err;
}

static int
check_one(void *ctx, enum kind_id to, struct slice name, const char *place)
{
    struct walk *w = ctx;
    struct db_rows *rows = NULL;
    char *text = slice_dup(name);
    const char *const params[] = {kind_at(to)->plural, text};
    if (!text)
        return ERR_NOMEM;
    int err = db_query(w->db, "SELECT 1 FROM config_items WHERE kind = $1 AND name = $2", params, 2,
                       &rows);
    if (!err && db_count(rows) == 0)
        err = explain_dangling(w, kind_at(to), text, place);
    db_rows_free(rows);
    free(text);
    return err;
}

/* One query for each way in which an item can name another: by a member, by an element of a list,
 * by a member of a list's elements. The members' names come from our own tables, so that indexes
 * match. */
static void
referrer_sql(const struct kind_reference *r, char *sql, size_t room)
{
    static const char head[] = "SELECT name FROM config_items WHERE kind = $1 AND ";
    static const char tail[] = " ORDER BY name LIMIT 4";
    if (!r->list)
        snprintf(sql, room, "%sbody ->> '%s' = $2%s", head, r->field, tail);
    else if (!r->member)
        snprintf(sql, room, "%sbody -> '%s' ? $2%s", head, r->field, tail);
    else
        snprintf(sql, room,
                 "%sbody @> jsonb_build_object('%s', "
                 "jsonb_build_array(jsonb_build_object('%s', $2::text)))%s",
                 head, r->field, r->member, tail);
}

static int
append_referrers(struct walk *w, const struct kind *from, const struct kind_reference *r,
                 size_t *total)
{
    struct db_rows *rows = NULL;
    char sql[512];
    const char *const params[] = {from->plural, w->change->name};
    referrer_sql(r, sql, sizeof(sql));
    int err = db_query(w->db, sql, params, 2, &rows);
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = i == 3 ? buf_add_str(w->why, ", ...")
                     : buf_addf(w->why, "%s%s '%s'", (*total)++ ? ", " : "", from->noun,
                                db_text(rows, i, 0));
    db_rows_free(rows);
    return err;
}

static int
check_deleted(struct walk *w)
{
    const struct change *c = w->change;
    size_t total = 0;
    int err = explain(w->why, 0, "%s%s%s '%s' is still used by ", c->path, c->path[0] ? ": " : "",
                      c->kind->noun, c->name);
    for (size_t k = 0; k < KIND_COUNT && !err; k++)
        for (size_t i = 0; i < kinds[k].reference_count && !err; i++)
            if (kinds[k].references[i].to == c->kind->id)
                err = append_referrers(w, &kinds[k], &kinds[k].references[i], &total);
    if (err || total > 0)
        return err ? err : ERR_CONFLICT;
    buf_clear(w->why);
    return 0;
}

/* A key counts for a project of its own team only. */
static int
check_project_team(struct walk *w)
{
    const struct change *c = w->change;
    struct db_rows *rows = NULL;
    bool key = c->kind->id == KIND_KEYS;
    if (!key && c->kind->id != KIND_PROJECTS)
        return 0;
    const char *const params[] = {c->name};
    int err = db_query(
        w->db,
        key ? "SELECT k.name, p.name, p.body ->> 'team' FROM config_items k "
              "JOIN config_items p ON p.kind = 'projects' AND p.name = k.body ->> 'project' "
              "WHERE k.kind = 'keys' AND k.name = $1 "
              "AND p.body ->> 'team' <> k.body ->> 'team'"
            : "SELECT k.name, p.name, p.body ->> 'team' FROM config_items p "
              "JOIN config_items k ON k.kind = 'keys' AND k.body ->> 'project' = p.name "
              "WHERE p.kind = 'projects' AND p.name = $1 "
              "AND p.body ->> 'team' <> k.body ->> 'team' LIMIT 1",
        params, 1, &rows);
    if (!err && db_count(rows) > 0)
        err = explain(w->why, ERR_NOT_FOUND,
                      "%s%s%s: project '%s' belongs to team '%s', key '%s' to another", c->path,
                      dot(c), key ? "project" : "team", db_text(rows, 0, 1), db_text(rows, 0, 2),
                      db_text(rows, 0, 0));
    db_rows_free(rows);
    return err;
}

int
changes_check_references(struct db *db, const struct changes *c, struct buf *why)
{
    int err = 0;
    for (size_t i = 0; i < c->count && !err; i++) {
        struct walk w = {db, &c->at[i], why};
        if (!c->at[i].after) {
            err = check_deleted(&w);
            continue;
        }
        err = item_references(c->at[i].kind, c->at[i].after, check_one, &w);
        if (!err)
            err = check_project_team(&w);
    }
    return err;
}
