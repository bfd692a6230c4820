/* Rows of config_items, read. They are written by changes_write() (store/revisions.h) only. */
#ifndef CONTROLPLANE_STORE_ITEMS_H
#define CONTROLPLANE_STORE_ITEMS_H

#include "controlplane/rules/kinds.h"
#include "controlplane/store/db.h"
#include "lib/json/doc.h"

struct item {
    char *name;
    char id[37];
    struct json *body;
    int64_t revision;
    char created_at[32], updated_at[32]; /* RFC 3339 */
};

struct items {
    struct item *at;
    size_t count;
};

void item_free(struct item *i);
void items_free(struct items *list);

/* By name, else by id: 0 or ERR_NOT_FOUND. for_update locks nothing: writers hold the one write
 * lock. */
MUST_CHECK int items_find(struct db *db, const struct kind *kind, struct slice name_or_id,
                          struct item *ret_item);
/* What somebody may see who may not see everything: JSON lists of names of teams and of projects,
 * whose items those are. Both NULL: everything. */
struct item_filter {
    const char *teams, *projects;
};

/* In the order of names, after a name ("": from the start), at most limit; team: only those of this
 * team, or at == NULL. */
MUST_CHECK int items_page(struct db *db, const struct kind *kind, const char *after,
                          struct slice team, const struct item_filter *filter, int64_t limit,
                          struct items *ret_list);
/* A part of a kind, by what its items say; NULL: anything. */
struct item_query {
    const char *name, *team, *user;
    const char *member_of; /* users: of this team */
    const struct item_filter *filter;
    bool newest_first; /* else by name */
    int64_t offset, limit;
};
/* *ret_total (may be NULL): how many there are on all pages. */
MUST_CHECK int items_search(struct db *db, const struct kind *kind, const struct item_query *q,
                            struct items *ret_list, int64_t *ret_total);
/* The key whose digest has this hex: 0 or ERR_NOT_FOUND. */
MUST_CHECK int items_find_key(struct db *db, const char *digest, struct item *ret_item);
/* All of a kind, or (names != NULL: a list of texts) those of them that exist; sorted by name. */
MUST_CHECK int items_load(struct db *db, const struct kind *kind, const struct json *names,
                          struct items *ret_list);
/* All of a kind as they were after a revision; revision and updated_at are not filled in. */
MUST_CHECK int items_load_at(struct db *db, const struct kind *kind, int64_t revision,
                             struct items *ret_list);
/* "Names $2 by this reference", as a condition of SQL; gives `into`. */
#define ITEMS_WHERE_BYTES 256
const char *items_where(const struct kind_reference *by, char into[static ITEMS_WHERE_BYTES]);
/* Those that name an item by this reference, sorted by name. */
MUST_CHECK int items_referring(struct db *db, const struct kind *kind,
                               const struct kind_reference *by, const char *name,
                               struct items *ret_list);

/* --- persons and groups, as SCIM has them (controlplane/scim) ------------------------------------
 * Service accounts are none of its business: no call gives one. */

enum item_lookup { LOOKUP_ALL, LOOKUP_ID, LOOKUP_TITLE, LOOKUP_EXTERNAL_ID };
/* At most limit after a name, in the order of names, whose id, title (ASCII letters in any case) or
 * external id is this. kind: users or groups. An id that is none finds nothing. */
MUST_CHECK int items_lookup(struct db *db, const struct kind *kind, enum item_lookup by,
                            struct slice value, const char *after, int64_t limit,
                            struct items *ret_list);
/* All but the first `skip`, at most limit; and how many there are in all. */
MUST_CHECK int items_window(struct db *db, const struct kind *kind, int64_t skip, int64_t limit,
                            struct items *ret_list, int64_t *ret_total);
/* Whose ids these are (a list of texts, each an id): rows of id, kind, name. */
MUST_CHECK int items_of_ids(struct db *db, const struct json *ids, struct db_rows **ret_rows);
/* Who a group names: rows of id, kind, in the order of names. */
MUST_CHECK int items_members(struct db *db, const struct json *group_body,
                             struct db_rows **ret_rows);
/* Which groups name a user: rows of id, title. */
MUST_CHECK int items_groups_of(struct db *db, const char *user, struct db_rows **ret_rows);
/* Those of a list of names that are service accounts: rows of name. */
MUST_CHECK int items_services(struct db *db, const struct json *names, struct db_rows **ret_rows);

/* In a list sorted by name, or NULL. */
struct item *items_get(const struct items *list, struct slice name);

#endif
