/*
 * What the caller may do, asked by handlers; and what nobody may do: give away more than one has.
 *
 * The dispatcher has refused already whoever lacks the route's permission everywhere. A route that
 * is API_SCOPED also takes callers who have it for a team or a project only: its handler must ask
 * here about each object, or filter its list. One that does neither is answered with a 500 for such
 * a caller.
 */
#ifndef CONTROLPLANE_API_AUTHORITY_H
#define CONTROLPLANE_API_AUTHORITY_H

#include "controlplane/api/api.h"
#include "controlplane/rules/item.h"
#include "controlplane/store/access.h"
#include "controlplane/store/items.h"
#include "controlplane/store/revisions.h"
#include "controlplane/store/sessions.h"
#include "controlplane/store/tokens.h"

/* 0 when a permission of the object's kind is there for it, ERR_DENIED, or the database's error. */
MUST_CHECK int authority_over(struct api_request *r, const char *permission,
                              const struct kind *kind, const char *name, const struct json *body);
/* What a list with this permission may show: 0 or a problem. Lives in the arena. */
MUST_CHECK int authority_filter(struct api_request *r, struct api_reply *reply,
                                const char *permission, struct item_filter *ret_filter);

/* Whether the caller may make these changes: what each was, and what it becomes. 0 or a problem. */
MUST_CHECK int authority_to_change(struct api_request *r, struct api_reply *reply,
                                   const struct changes *c);
/* Around the writing of changes: who may do what before and after. Nobody gains or loses what the
 * caller does not have, and no group contains itself. To mark a user or group as provisioned is to
 * give what it has into the hands of who provisions: it takes the same.
 *
 * Who provisions (docs/decisions/0024) may besides give and take what provisioned groups have, and
 * take what the users had that it deletes. Whether a provisioned user is disabled is for it to say.
 */
struct authority {
    bool concerned;    /* the changes are about users, groups, roles or bindings */
    bool provisioning; /* all of them are made with AUTHORITY_TO_PROVISION */
    struct access before;
};
#define AUTHORITY_TO_PROVISION "scim.provision"
MUST_CHECK int authority_begin(struct api_request *r, struct api_reply *reply,
                               const struct changes *c, struct authority *ret);
MUST_CHECK int authority_end(struct api_request *r, struct api_reply *reply,
                             const struct changes *c, struct authority *a);
void authority_free(struct authority *a);

/* What a token may do: 0 or ERR_NOT_FOUND (its user is gone or disabled), or the database's. */
MUST_CHECK int authority_of_token(struct db *db, const struct token *t, struct access *ret);
/* What a session may do: of its user, and of the groups that the provider put it into. Likewise. */
MUST_CHECK int authority_of_session(struct db *db, const struct session *s, struct access *ret);
/* Whether the caller may make or revoke a token that may do this: 0, or a problem. */
MUST_CHECK int authority_over_token(struct api_request *r, struct api_reply *reply,
                                    const struct token *t);

#endif
