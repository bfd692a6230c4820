/* See revisions.h. Sets of changes travel to PostgreSQL as one JSON parameter. */
#include "controlplane/store/revisions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rand.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

void
changes_free(struct changes *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->at[i].name);
        json_free(c->at[i].before);
        json_free(c->at[i].after);
    }
    free(c->at);
    *c = (struct changes){0};
}

struct change *
changes_add(struct changes *c)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 8;
        struct change *grown = realloc(c->at, cap * sizeof(*grown));
        if (!grown)
            return NULL;
        c->at = grown;
        c->cap = cap;
    }
    struct change *added = &c->at[c->count++];
    *added = (struct change){0};
    return added;
}

struct change *
changes_put(struct changes *c, const struct kind *kind, const char *name, const struct item *stored,
            struct json *after)
{
    unsigned char id[16];
    struct change *one = changes_add(c);
    if (!one) {
        json_free(after);
        return NULL;
    }
    one->kind = kind;
    one->after = after;
    one->name = slice_dup(slice_of(name));
    uuid7(id);
    uuid_format(id, one->id);
    if (stored) {
        one->before = json_copy(stored->body);
        memcpy(one->id, stored->id, sizeof(one->id));
        memcpy(one->created_at, stored->created_at, sizeof(one->created_at));
    }
    return one->name && (!stored || one->before) ? one : NULL;
}

int
revision_current(struct db *db, int64_t *ret_revision)
{
    struct db_rows *rows = NULL;
    int err = db_query(db, "SELECT coalesce(max(revision), 0) FROM revisions", NULL, 0, &rows);
    *ret_revision = err ? 0 : db_int(rows, 0, 0);
    db_rows_free(rows);
    return err;
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct json *
change_json(const struct change *c)
{
    struct json *out = json_new_map();
    int err = out ? json_set_str(out, "kind", c->kind->plural) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "name", c->name);
    if (!err)
        err = json_set_str(out, "id", c->id);
    if (!err && c->created_at[0])
        err = json_set_str(out, "created_at", c->created_at);
    if (!err && c->before)
        err = json_set(out, "before", json_ref(c->before));
    if (!err && c->after)
        err = json_set(out, "after", json_ref(c->after));
    if (!err)
        return out;
    json_free(out);
    return NULL;
}

static int
changes_text(const struct changes *c, struct buf *into)
{
    struct json *list = json_new_list();
    int err = list ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < c->count && !err; i++)
        err = json_append(list, change_json(&c->at[i]));
    if (!err)
        err = json_write(list, false, 0, into);
    json_free(list);
    return err;
}

#define RECORDSET                                                                                  \
    "jsonb_to_recordset($2::jsonb) AS c(kind text, name text, id uuid, created_at timestamptz, "   \
    "before jsonb, after jsonb)"

static int
write_rows(struct db *db, int64_t revision, const char *changes)
{
    static const char *const statements[] = {
        "INSERT INTO revision_changes (revision, kind, name, id, before, after, item_created_at) "
        "SELECT $1::bigint, kind, name, id, before, after, coalesce(created_at, now()) "
        "FROM " RECORDSET,
        "DELETE FROM config_items AS i USING " RECORDSET
        " WHERE $1::bigint > 0 AND i.kind = c.kind AND i.name = c.name AND c.after IS NULL",
        "INSERT INTO config_items AS i (kind, name, id, body, revision, created_at, updated_at) "
        "SELECT kind, name, id, after, $1::bigint, coalesce(created_at, now()), now() "
        "FROM " RECORDSET " WHERE after IS NOT NULL "
        "ON CONFLICT (kind, name) DO UPDATE SET id = excluded.id, body = excluded.body, "
        "revision = excluded.revision, created_at = excluded.created_at, updated_at = now()",
    };
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {number, changes};
    int err = 0;
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && !err; i++)
        err = db_query(db, statements[i], params, 2, NULL);
    return err;
}

int
changes_write(struct db *db, const struct changes *c, const struct revision_note *note,
              int64_t *ret_revision)
{
    struct buf text;
    struct db_rows *rows = NULL;
    char back[24];
    snprintf(back, sizeof(back), "%lld", (long long)note->rollback_of);
    /* Revision 0 is the empty configuration: it has no row to refer to. */
    const char *const params[] = {note->author, note->note, note->source,
                                  note->rollback_of > 0 ? back : NULL};
    buf_init(&text, 0);
    int err = changes_text(c, &text);
    if (!err)
        err =
            db_query(db,
                     "INSERT INTO revisions (revision, author, note, source, rollback_of) "
                     "SELECT coalesce(max(revision), 0) + 1, $1, $2, $3, $4::bigint FROM revisions "
                     "RETURNING revision",
                     params, 4, &rows);
    if (!err) {
        *ret_revision = db_int(rows, 0, 0);
        const char *changes = buf_str(&text);
        err = changes ? write_rows(db, *ret_revision, changes) : ERR_NOMEM;
    }
    db_rows_free(rows);
    buf_free(&text);
    return err;
}

/* ---- going back ------------------------------------------------------------------------------ */

static int
revision_exists(struct db *db, int64_t revision)
{
    struct db_rows *rows = NULL;
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {number};
    if (revision == 0)
        return 0;
    int err = db_query(db, "SELECT 1 FROM revisions WHERE revision = $1::bigint", params, 1, &rows);
    if (!err && db_count(rows) == 0)
        err = ERR_NOT_FOUND;
    db_rows_free(rows);
    return err;
}

static int
parse_cell(const struct db_rows *rows, size_t row, size_t column, struct json **ret)
{
    *ret = NULL;
    return db_is_null(rows, row, column) ? 0
                                         : json_parse(db_slice(rows, row, column), ret, NULL, 0);
}

static int
take_back_row(const struct db_rows *rows, size_t row, struct changes *into)
{
    const struct kind *kind = kind_find(db_slice(rows, row, 0));
    struct json *now = NULL, *then = NULL;
    if (!kind)
        return ERR_IO;
    int err = parse_cell(rows, row, 2, &now);
    if (!err)
        err = parse_cell(rows, row, 4, &then);
    bool same_id = strcmp(db_text(rows, row, 3), db_text(rows, row, 5)) == 0;
    bool same = (!now && !then) || (now && then && same_id && json_equal(now, then));
    struct change *c = err || same ? NULL : changes_add(into);
    if (!c) {
        json_free(now);
        json_free(then);
        return err || same ? err : ERR_NOMEM;
    }
    c->kind = kind;
    c->before = now;
    c->after = then;
    c->name = slice_dup(db_slice(rows, row, 1));
    snprintf(c->id, sizeof(c->id), "%s", db_text(rows, row, then ? 5 : 3));
    snprintf(c->created_at, sizeof(c->created_at), "%s", db_text(rows, row, 6));
    return c->name ? 0 : ERR_NOMEM;
}

int
changes_back_to(struct db *db, int64_t revision, struct changes *ret_changes)
{
    struct db_rows *rows = NULL;
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {number};
    *ret_changes = (struct changes){0};
    int err = revision_exists(db, revision);
    if (!err)
        err = db_query(
            db,
            "SELECT t.kind, t.name, i.body, i.id, o.after, o.id, " STAMP(
                "coalesce(o.item_created_at, i.created_at)") " FROM (SELECT DISTINCT kind, name "
                                                             "FROM revision_changes "
                                                             "WHERE revision > $1::bigint) AS t "
                                                             "LEFT JOIN config_items AS i USING "
                                                             "(kind, name) "
                                                             "LEFT JOIN LATERAL (SELECT after, id, "
                                                             "item_created_at FROM "
                                                             "revision_changes AS r "
                                                             "WHERE r.kind = t.kind AND r.name = "
                                                             "t.name AND r.revision <= $1::bigint "
                                                             "ORDER BY r.revision DESC LIMIT 1) AS "
                                                             "o ON o.after IS NOT NULL "
                                                             "ORDER BY t.kind, t.name",
            params, 1, &rows);
    for (size_t i = 0; i < db_count(rows) && !err; i++)
        err = take_back_row(rows, i, ret_changes);
    if (err)
        changes_free(ret_changes);
    db_rows_free(rows);
    return err;
}
