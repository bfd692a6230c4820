/*
 * The secret managers that references name (reference.h), and the key services that open wrapped
 * sealing keys, with the control plane's own credentials
 * for them from its environment. Blocking; for one thread alone. Tokens are kept and renewed here.
 */
#ifndef CONTROLPLANE_SECRETS_MANAGER_H
#define CONTROLPLANE_SECRETS_MANAGER_H

#include "controlplane/secrets/ask.h"
#include "controlplane/secrets/reference.h"

struct managers;

/* allow_private: private addresses and http may be asked. NULL: no memory. */
struct managers *managers_new(bool allow_private);
void managers_free(struct managers *m);
/* The value that a reference names now: 0, or an error with one line that holds no secret. */
MUST_CHECK int managers_fetch(struct managers *m, struct slice text, struct secret *ret_value,
                              char ret_why[static ASK_WHY_BYTES]);
/* What a key service wrapped: "aws-kms:CIPHERTEXT" (Base64, as AWS KMS gave it) or
 * "vault-transit:MOUNT/KEY:CIPHERTEXT". 0, or an error as above. */
MUST_CHECK int managers_unwrap(struct managers *m, struct slice text, struct secret *ret_plain,
                               char ret_why[static ASK_WHY_BYTES]);
/* Renews what would end before the next question. Cheap: to be called every second or so. */
void managers_keep(struct managers *m);

/* --- one file each ---------------------------------------------------------------------------- */

/* What is kept between two questions. */
struct manager_state {
    struct ask_token token;
    struct tls_client *tls; /* of its own, or NULL */
};

typedef int manager_get(struct ask *a, struct manager_state *s, const struct reference *r,
                        struct secret *ret_value);
manager_get vault_get, aws_get, google_get, azure_get;
void vault_keep(struct ask *a, struct manager_state *s);
/* wrapped: what follows the scheme. */
typedef int manager_unwrap(struct ask *a, struct manager_state *s, struct slice wrapped,
                           struct secret *ret_plain);
manager_unwrap aws_unwrap, vault_unwrap;

/* A setting of the environment, or NULL when it is absent or empty. */
const char *manager_setting(const char *name);

#endif
