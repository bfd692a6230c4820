/*
 * Who may do what where: the bindings of a user, by name or through groups, with the permissions of
 * their roles. Read from the configuration at each call of the admin API, so that a change holds
 * from its commit on.
 */
#ifndef CONTROLPLANE_STORE_ACCESS_H
#define CONTROLPLANE_STORE_ACCESS_H

#include "controlplane/rules/item.h"
#include "controlplane/rules/permissions.h"
#include "controlplane/store/db.h"

#define ACCESS_NAME_BYTES 201

struct grant {
    struct permissions permissions;
    char user[ACCESS_NAME_BYTES];
    char binding[ACCESS_NAME_BYTES]; /* "": of the token itself */
    char role[ACCESS_NAME_BYTES];
    char group[ACCESS_NAME_BYTES];   /* through which; "": by name */
    char team[ACCESS_NAME_BYTES];    /* "": the organisation; of a project's binding: its team */
    char project[ACCESS_NAME_BYTES]; /* "": all of the team */
};

struct access { /* all zero: nothing */
    struct grant *at;
    size_t count;
};

void access_free(struct access *a);
/* A user's grants, also as a member of these groups (a JSON list of names; NULL: none). Disabled
 * users have none. */
MUST_CHECK int access_load(struct db *db, const char *user, const char *groups, struct access *ret);
/* Everybody's, in the order of users. A provisioned group has what somebody in it would have, as a
 * user called ACCESS_GROUP_MARK and its name, whoever is in it. dormant: users that are provisioned
 * and disabled have what they would have enabled. */
#define ACCESS_GROUP_MARK ">"
/* Likewise a group that an identity provider may put people into while they are signed in, as a
 * user called so and its name. */
#define ACCESS_SIGNED_MARK "~"
MUST_CHECK int access_load_all(struct db *db, bool dormant, struct access *ret);
/* Whether there is such a user, and it is not disabled: 0 or ERR_NOT_FOUND. */
MUST_CHECK int access_user(struct db *db, const char *user);
/* One grant of a built-in role for the whole organisation: 0, ERR_NOT_FOUND, ERR_NOMEM. */
MUST_CHECK int access_of_role(const char *role, struct access *ret);

/* The grant that allows it to what belongs there, or NULL. */
const struct grant *access_find(const struct access *a, int permission, struct item_place where);
/* Whether there is any place where it is allowed. */
bool access_somewhere(const struct access *a, int permission);
/* Whether it is allowed in the whole organisation. */
bool access_everywhere(const struct access *a, int permission);
/* What the grant allows that these do not, wherever it is allowed. */
struct permissions access_left(const struct access *a, const struct grant *g);
/* Whether everything that the grant allows is allowed by these too, wherever it is allowed. */
bool access_covers(const struct access *a, const struct grant *g);

#endif
