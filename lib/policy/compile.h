/*
 * Sections to a policy. Used by a worker for what it received and by the control plane for every
 * change before it commits it: there is one meaning of a snapshot.
 *
 * Everything is checked: unknown kinds, unknown references, duplicate names or digests, unsorted
 * shards, bad URLs, weights of zero in sum, prices below zero. The first error names its place:
 * "models[3] 'smart': targets[0]: no provider 'opnai'".
 */
#ifndef LIB_POLICY_COMPILE_H
#define LIB_POLICY_COMPILE_H

#include "lib/base/buf.h"
#include "lib/base/keyring.h"
#include "lib/policy/policy.h"

struct policy_section {
    struct slice name; /* "providers", "keys/0f" */
    struct slice
        bytes; /* serialised section; borrowed during the call. at == NULL: policy_has_section() */
    unsigned char digest[SHA256_BYTES];
};

struct policy_input {
    uint64_t epoch, version, revision;
    const struct policy_section *sections; /* all of the root's, in its order */
    size_t count;
    /* What has an equal digest is taken over from here: its bytes need not be given. May be NULL.
     */
    const struct policy *previous;
    /* Opens credentials and the pepper. NULL: they stay closed (control plane's check); then
     * policy_find_key() finds nothing. */
    const struct keyring *keys;
};

/* Gives *ret_policy (policy_unref frees). 0; ERR_SYNTAX, ERR_EXISTS (duplicate), ERR_NOT_FOUND
 * (dangling reference), ERR_AUTH (a sealed value does not open), ERR_LIMIT, ERR_NOMEM, with a
 * message in *why. */
MUST_CHECK int policy_compile(const struct policy_input *in, struct policy **ret_policy,
                              struct buf *why);

/* Whether p holds this section, so that a compile after p does not need its bytes. */
bool policy_has_section(const struct policy *p, struct slice name,
                        const unsigned char digest[static SHA256_BYTES]);

#endif
