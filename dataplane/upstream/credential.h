/*
 * How a call tells the provider who makes it: the fields that carry the credential, in memory of
 * the caller's stack that is wiped as soon as the call has taken them.
 */
#ifndef DATAPLANE_UPSTREAM_CREDENTIAL_H
#define DATAPLANE_UPSTREAM_CREDENTIAL_H

#include "lib/base/err.h"
#include "lib/http/message.h"
#include "lib/policy/policy.h"
#include "lib/sign/sigv4.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_CREDENTIAL_BYTES 8192 /* of one field: an OAuth token is the longest */
#define CREDENTIAL_FIELDS 4

struct credential {
    struct http_field fields[CREDENTIAL_FIELDS];
    size_t count;
    size_t text_bytes, session_bytes; /* written of text and session: what there is to wipe */
    bool has_signature;
    char text[LIMIT_CREDENTIAL_BYTES + 8]; /* "Bearer " and the token */
    char session[4096];                    /* x-amz-security-token */
    struct sigv4_signature signature;
};

/* What is signed, where the provider wants a signature. */
struct credential_call {
    const struct policy_provider *provider;
    struct slice token; /* from oauth_peek(), where oauth_is_wanted() */
    struct slice method;
    struct slice content_type;      /* as sent; empty: none is */
    struct slice authority, target; /* as sent; target with its query */
    const struct slice *body;
    size_t body_count;
    int64_t wall_ms;
};

/* Fills *c; no field at all where the provider has no credential. 0; ERR_AUTH: the credential
 * cannot be used, *ret_why (static) says why. Either way credential_wipe() comes after. */
MUST_CHECK int credential_make(struct credential *c, const struct credential_call *call,
                               const char **ret_why);
/* Overwrites what credential_make() wrote; the rest of its 14 KB was never touched. */
void credential_wipe(struct credential *c);

#endif
