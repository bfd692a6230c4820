/* See items.h. */
#include "controlplane/store/items.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/rand.h"

#define STAMP(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define COLUMNS "name, id, body, revision, " STAMP("created_at") ", " STAMP("updated_at")

void
item_free(struct item *i)
{
    if (!i)
        return;
    free(i->name);
    json_free(i->body);
    *i = (struct item){0};
}

void
items_free(struct items *list)
{
    for (size_t i = 0; i < list->count; i++)
        item_free(&list->at[i]);
    free(list->at);
    *list = (struct items){0};
}

static int
take_row(const struct db_rows *rows, size_t row, struct item *ret)
{
    *ret = (struct item){.revision = db_int(rows, row, 3)};
    ret->name = slice_dup(db_slice(rows, row, 0));
    snprintf(ret->id, sizeof(ret->id), "%s", db_text(rows, row, 1));
    snprintf(ret->created_at, sizeof(ret->created_at), "%s", db_text(rows, row, 4));
    snprintf(ret->updated_at, sizeof(ret->updated_at), "%s", db_text(rows, row, 5));
    int err = ret->name ? json_parse(db_slice(rows, row, 2), &ret->body, NULL, 0) : ERR_NOMEM;
    if (err)
        item_free(ret);
    return err;
}

static int
take_all(struct db_rows *rows, struct items *ret_list)
{
    size_t n = db_count(rows);
    int err = 0;
    *ret_list = (struct items){calloc(n ? n : 1, sizeof(struct item)), 0};
    if (!ret_list->at)
        err = ERR_NOMEM;
    for (size_t i = 0; i < n && !err; i++) {
        err = take_row(rows, i, &ret_list->at[i]);
        if (!err)
            ret_list->count++;
    }
    if (err)
        items_free(ret_list);
    db_rows_free(rows);
    return err;
}

int
items_find(struct db *db, const struct kind *kind, struct slice name_or_id, struct item *ret_item)
{
    unsigned char id[16];
    bool by_id = uuid_parse(name_or_id.at, name_or_id.len, id) == 0;
    char *text = slice_dup(name_or_id);
    struct db_rows *rows = NULL;
    const char *const params[] = {kind->plural, text};
    *ret_item = (struct item){0};
    if (!text)
        return ERR_NOMEM;
    int err =
        db_query(db,
                 by_id ? "SELECT " COLUMNS " FROM config_items WHERE kind = $1 AND id = $2::uuid"
                       : "SELECT " COLUMNS " FROM config_items WHERE kind = $1 AND name = $2",
                 params, 2, &rows);
    free(text);
    if (!err)
        err = db_count(rows) == 0 ? ERR_NOT_FOUND : take_row(rows, 0, ret_item);
    db_rows_free(rows);
    return err;
}

/* item_place() in SQL; a binding for a project belongs to the project's team too. Of the parameters
 * $2 and $3: the lists of a filter. */
#define PLACES                                                                                     \
    "($2::jsonb IS NULL OR "                                                                       \
    "$2::jsonb ? coalesce(CASE WHEN kind = 'teams' THEN name ELSE body ->> 'team' END, "           \
    "(SELECT p.body ->> 'team' FROM config_items AS p WHERE p.kind = 'projects' "                  \
    "AND p.name = i.body ->> 'project'), '') OR "                                                  \
    "$3::jsonb ? coalesce(CASE WHEN kind = 'projects' THEN name ELSE body ->> 'project' END, ''))"

int
items_page(struct db *db, const struct kind *kind, const char *after, struct slice team,
           const struct item_filter *filter, int64_t limit, struct items *ret_list)
{
    char count[24], *team_text = team.at ? slice_dup(team) : NULL;
    struct db_rows *rows = NULL;
    snprintf(count, sizeof(count), "%lld", (long long)limit);
    const char *const params[] = {kind->plural, filter->teams, filter->projects,
                                  after,        team_text,     count};
    int err = db_query(db,
                       "SELECT " COLUMNS " FROM config_items AS i WHERE kind = $1 AND " PLACES
                       " AND name > $4 AND ($5::text IS NULL OR body ->> 'team' = $5) "
                       "ORDER BY name LIMIT $6::bigint",
                       params, 6, &rows);
    free(team_text);
    return err ? err : take_all(rows, ret_list);
}

#define SEARCHED                                                                                   \
    " FROM config_items AS i WHERE kind = $1 AND " PLACES " AND ($4::text IS NULL OR name = $4) "  \
    "AND ($5::text IS NULL OR body ->> 'team' = $5) "                                              \
    "AND ($6::text IS NULL OR body ->> 'user' = $6) "                                              \
    "AND ($7::text IS NULL OR body -> 'teams' ? $7)"

int
items_search(struct db *db, const struct kind *kind, const struct item_query *q,
             struct items *ret_list, int64_t *ret_total)
{
    char offset[24], limit[24];
    struct db_rows *rows = NULL;
    snprintf(offset, sizeof(offset), "%lld", (long long)q->offset);
    snprintf(limit, sizeof(limit), "%lld", (long long)q->limit);
    const char *const params[] = {kind->plural,
                                  q->filter ? q->filter->teams : NULL,
                                  q->filter ? q->filter->projects : NULL,
                                  q->name,
                                  q->team,
                                  q->user,
                                  q->member_of,
                                  offset,
                                  limit};
    int err = ret_total ? db_query(db, "SELECT count(*)" SEARCHED, params, 7, &rows) : 0;
    if (!err && ret_total)
        *ret_total = db_int(rows, 0, 0);
    db_rows_free(rows);
    rows = NULL;
    if (!err)
        err = db_query(db,
                       q->newest_first
                           ? "SELECT " COLUMNS SEARCHED " ORDER BY i.created_at DESC, name "
                             "OFFSET $8::bigint LIMIT $9::bigint"
                           : "SELECT " COLUMNS SEARCHED " ORDER BY name OFFSET $8::bigint "
                             "LIMIT $9::bigint",
                       params, 9, &rows);
    return err ? err : take_all(rows, ret_list);
}

int
items_find_key(struct db *db, const char *digest, struct item *ret_item)
{
    struct db_rows *rows = NULL;
    *ret_item = (struct item){0};
    int err = db_query(db,
                       "SELECT " COLUMNS " FROM config_items WHERE kind = 'keys' "
                       "AND body ->> 'digest' = $1",
                       &digest, 1, &rows);
    if (!err)
        err = db_count(rows) == 0 ? ERR_NOT_FOUND : take_row(rows, 0, ret_item);
    db_rows_free(rows);
    return err;
}

int
items_load(struct db *db, const struct kind *kind, const struct json *names, struct items *ret_list)
{
    struct buf text;
    struct db_rows *rows = NULL;
    buf_init(&text, 0);
    int err = names ? json_write(names, false, 0, &text) : 0;
    const char *const params[] = {kind->plural, names ? buf_str(&text) : NULL};
    if (!err)
        err = db_query(db,
                       names ? "SELECT " COLUMNS " FROM config_items WHERE kind = $1 AND name IN "
                               "(SELECT jsonb_array_elements_text($2::jsonb)) ORDER BY name"
                             : "SELECT " COLUMNS " FROM config_items WHERE kind = $1 ORDER BY name",
                       params, names ? 2 : 1, &rows);
    buf_free(&text);
    return err ? err : take_all(rows, ret_list);
}

int
items_load_at(struct db *db, const struct kind *kind, int64_t revision, struct items *ret_list)
{
    char number[24];
    struct db_rows *rows = NULL;
    snprintf(number, sizeof(number), "%lld", (long long)revision);
    const char *const params[] = {kind->plural, number};
    int err =
        db_query(db,
                 "SELECT name, id, after, 0, " STAMP(
                     "item_created_at") ", '' FROM (SELECT DISTINCT ON (name) name, id, after, "
                                        "item_created_at FROM revision_changes "
                                        "WHERE kind = $1 AND revision <= $2::bigint "
                                        "ORDER BY name, revision DESC) AS latest "
                                        "WHERE after IS NOT NULL ORDER BY name",
                 params, 2, &rows);
    return err ? err : take_all(rows, ret_list);
}

static int
by_name(const void *key, const void *element)
{
    const struct slice *a = key;
    const struct item *b = element;
    size_t len = strlen(b->name);
    int order = memcmp(a->at, b->name, a->len < len ? a->len : len);
    return order ? order : (a->len > len) - (a->len < len);
}

struct item *
items_get(const struct items *list, struct slice name)
{
    return list->count == 0 ? NULL
                            : bsearch(&name, list->at, list->count, sizeof(struct item), by_name);
}
