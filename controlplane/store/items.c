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

/* ---- who names an item -------------------------------------------------------------------------
 */

/* By a member, by an element of a list, by a member of a list's elements. The members' names come
 * from our own tables, so that indexes match. */
const char *
items_where(const struct kind_reference *by, char into[static ITEMS_WHERE_BYTES])
{
    if (!by->list)
        snprintf(into, ITEMS_WHERE_BYTES, "body ->> '%s' = $2", by->field);
    else if (!by->member)
        snprintf(into, ITEMS_WHERE_BYTES, "body -> '%s' ? $2", by->field);
    else
        snprintf(into, ITEMS_WHERE_BYTES,
                 "body @> jsonb_build_object('%s', "
                 "jsonb_build_array(jsonb_build_object('%s', $2::text)))",
                 by->field, by->member);
    return into;
}

int
items_referring(struct db *db, const struct kind *kind, const struct kind_reference *by,
                const char *name, struct items *ret_list)
{
    char where[ITEMS_WHERE_BYTES], sql[512];
    struct db_rows *rows = NULL;
    const char *const params[] = {kind->plural, name};
    snprintf(sql, sizeof(sql),
             "SELECT " COLUMNS " FROM config_items WHERE kind = $1 AND %s ORDER BY name",
             items_where(by, where));
    *ret_list = (struct items){0};
    int err = db_query(db, sql, params, 2, &rows);
    return err ? err : take_all(rows, ret_list);
}

/* ---- persons and groups -------------------------------------------------------------------------
 */

#define TITLE "coalesce(body -> 'scim' ->> 'title', name)"
#define IS_PERSON "coalesce(body ->> 'kind', 'person') = 'person'"

/* The kind is a word of the text, not a parameter: the indexes are for one kind each. */
static int
query_kind(struct db *db, const struct kind *kind, const char *where, const char *const *params,
           size_t count, struct items *ret_list)
{
    char sql[768];
    struct db_rows *rows = NULL;
    snprintf(sql, sizeof(sql),
             "SELECT " COLUMNS " FROM config_items WHERE kind = '%s' AND " IS_PERSON " AND %s",
             kind->plural, where);
    int err = db_query(db, sql, params, count, &rows);
    return err ? err : take_all(rows, ret_list);
}

int
items_lookup(struct db *db, const struct kind *kind, enum item_lookup by, struct slice value,
             const char *after, int64_t limit, struct items *ret_list)
{
    static const char *const wheres[] = {
        [LOOKUP_ALL] = "$3::text IS NULL",
        [LOOKUP_ID] = "id = $3::uuid",
        [LOOKUP_TITLE] = "lower(" TITLE " COLLATE \"C\") = lower($3 COLLATE \"C\")",
        [LOOKUP_EXTERNAL_ID] = "body -> 'scim' ->> 'external_id' = $3"};
    unsigned char id[16];
    char count[24], where[256];
    char *text = by == LOOKUP_ALL ? NULL : slice_dup(value);
    *ret_list = (struct items){0};
    if (by == LOOKUP_ID && uuid_parse(value.at, value.len, id) != 0) {
        free(text);
        return 0;
    }
    if (by != LOOKUP_ALL && !text)
        return ERR_NOMEM;
    snprintf(count, sizeof(count), "%lld", (long long)limit);
    snprintf(where, sizeof(where), "name > $1 AND %s ORDER BY name LIMIT $2::bigint", wheres[by]);
    const char *const params[] = {after, count, text};
    int err = query_kind(db, kind, where, params, 3, ret_list);
    free(text);
    return err;
}

int
items_window(struct db *db, const struct kind *kind, int64_t skip, int64_t limit,
             struct items *ret_list, int64_t *ret_total)
{
    char from[24], count[24];
    struct db_rows *rows = NULL;
    const char *const of[] = {kind->plural}, *const params[] = {from, count};
    *ret_list = (struct items){0};
    int err = db_query(db, "SELECT count(*) FROM config_items WHERE kind = $1 AND " IS_PERSON, of,
                       1, &rows);
    *ret_total = err ? 0 : db_int(rows, 0, 0);
    db_rows_free(rows);
    snprintf(from, sizeof(from), "%lld", (long long)skip);
    snprintf(count, sizeof(count), "%lld", (long long)limit);
    if (err || limit == 0)
        return err;
    return query_kind(db, kind, "true ORDER BY name OFFSET $1::bigint LIMIT $2::bigint", params, 2,
                      ret_list);
}

static int
query_list(struct db *db, const char *sql, const struct json *list, struct db_rows **ret_rows)
{
    struct buf text;
    buf_init(&text, 0);
    *ret_rows = NULL;
    int err = json_write(list, false, 0, &text);
    const char *const params[] = {err ? NULL : buf_str(&text)};
    if (!err)
        err = params[0] ? db_query(db, sql, params, 1, ret_rows) : ERR_NOMEM;
    buf_free(&text);
    return err;
}

int
items_of_ids(struct db *db, const struct json *ids, struct db_rows **ret_rows)
{
    return query_list(db,
                      "SELECT id, kind, name FROM config_items WHERE kind IN ('users', 'groups') "
                      "AND " IS_PERSON " AND id IN "
                      "(SELECT i::uuid FROM jsonb_array_elements_text($1::jsonb) AS i)",
                      ids, ret_rows);
}

int
items_members(struct db *db, const struct json *group_body, struct db_rows **ret_rows)
{
    return query_list(db,
                      "SELECT id, kind FROM config_items "
                      "WHERE (kind = 'users' AND " IS_PERSON " AND name IN "
                      "(SELECT jsonb_array_elements_text(coalesce($1::jsonb -> 'users', '[]')))) "
                      "OR (kind = 'groups' AND name IN "
                      "(SELECT jsonb_array_elements_text(coalesce($1::jsonb -> 'groups', '[]')))) "
                      "ORDER BY kind DESC, name",
                      group_body, ret_rows);
}

int
items_services(struct db *db, const struct json *names, struct db_rows **ret_rows)
{
    return query_list(db,
                      "SELECT name FROM config_items WHERE kind = 'users' AND NOT " IS_PERSON
                      " AND name IN (SELECT jsonb_array_elements_text($1::jsonb)) ORDER BY name",
                      names, ret_rows);
}

int
items_groups_of(struct db *db, const char *user, struct db_rows **ret_rows)
{
    const char *const params[] = {user};
    *ret_rows = NULL;
    return db_query(db,
                    "SELECT id, " TITLE " FROM config_items WHERE kind = 'groups' "
                    "AND body -> 'users' ? $1 ORDER BY name",
                    params, 1, ret_rows);
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
