/* What every change of the configuration goes through, whichever endpoint it came by. */
#ifndef CONTROLPLANE_API_CHANGE_H
#define CONTROLPLANE_API_CHANGE_H

#include "controlplane/api/api.h"
#include "controlplane/rules/item.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/revisions.h"

struct minted {                    /* a key's secret, once */
    char text[KEY_TEXT_BYTES + 1]; /* "": none was minted */
};

struct change_input {
    const struct kind *kind;
    const char *name;
    const struct json *input;  /* item_check() passed it */
    const struct json *stored; /* the body that is replaced; NULL: created */
    const char *path;          /* of the item in its document, or "" */
};

/* The body to store: the credential sealed or kept, a key's digest kept or (when created) minted.
 * 0 or a problem. */
MUST_CHECK int change_body(struct api_request *r, struct api_reply *reply,
                           const struct change_input *in, struct json **ret_body,
                           struct minted *ret_minted);
/* A new secret of a key: its digest and prefix into the body. 0 or an error. */
MUST_CHECK int change_mint_key(struct api_request *r, struct json *body, struct minted *ret_minted);
/* Checks that the caller may (authority.h), writes the changes as one revision, checks references,
 * lets the workers' compiler look at the result, and refuses limits that are in vain (vain.h).
 * warnings: a list that gets texts; NULL: nobody would read them. Nothing is committed here. 0 or a
 * problem. */
MUST_CHECK int change_write(struct api_request *r, struct api_reply *reply, const struct changes *c,
                            const struct revision_note *note, struct json *warnings,
                            int64_t *ret_revision);
/* The same without asking whether anybody may: for what the gateway itself does. */
MUST_CHECK int change_write_granted(struct api_request *r, struct api_reply *reply,
                                    const struct changes *c, const struct revision_note *note,
                                    struct json *warnings, int64_t *ret_revision);
/* The same for what one call of this API does: writes them, if there are any, and says for the
 * audit log what they were. The caller sets audit_object. 0 or a problem. */
MUST_CHECK int change_commit(struct api_request *r, struct api_reply *reply,
                             const struct changes *c);
/* [{"kind","name","action","before","after"}] without secrets, the first `limit`; NULL: no memory.
 */
struct json *change_list(const struct changes *c, size_t limit);
/* For the audit row: the revision, how many changes, and the first of them (the revision has all).
 */
MUST_CHECK int change_detail(struct json *detail, const struct changes *c, int64_t revision);
/* What a caller sees of a stored item. NULL: no memory. */
struct json *change_view(const struct kind *kind, const struct item *item);

#endif
