/*
 * Tags that a client gives its request: x-headgate-tags, the fields of other gateways that clients
 * send already, and `metadata` of OpenAI's dialects. docs/cost.md lists them. Sans-I/O.
 *
 * A field is read strictly: one that is malformed refuses the request. `metadata` is the provider's
 * too, so that of it only what can be a tag is one.
 */
#ifndef DATAPLANE_REQUEST_TAGS_H
#define DATAPLANE_REQUEST_TAGS_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/http/message.h"
#include "lib/policy/policy.h"

#define LIMIT_REQUEST_TAGS 16
#define LIMIT_TAG_NAME_BYTES 64
#define LIMIT_TAG_VALUE_BYTES 256

struct tag_set {
    struct policy_tag at[LIMIT_REQUEST_TAGS];
    size_t count;
    struct slice end_user; /* of other gateways' fields; empty: not given */
};

/* Why a field was refused: it is named, its value is not repeated. */
struct tag_refusal {
    char message[192];
};

/* Reads the head's fields into *ret_set, which lies in the arena as do its texts; NULL where there
 * are none, which costs a look at each field's name. Where two fields give a name, x-headgate-tags
 * counts, then the first. 0, ERR_SYNTAX (with why), ERR_NOMEM. */
MUST_CHECK int tags_read_head(const struct http_head *head, struct arena *a,
                              struct tag_set **ret_set, struct tag_refusal *why);
/* Adds the members of a valid JSON map that can be tags and are not there yet, as long as there is
 * room. Borrows from the map. *set may be NULL. 0 or ERR_NOMEM. */
MUST_CHECK int tags_add_metadata(struct slice map, struct arena *a, struct tag_set **set);
/* Takes out what the key says itself: a client does not disguise its key. */
void tags_yield_to_key(struct tag_set *set, const struct policy_key *key);

#endif
