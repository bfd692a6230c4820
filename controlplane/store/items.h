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
/* In a list sorted by name, or NULL. */
struct item *items_get(const struct items *list, struct slice name);

#endif
