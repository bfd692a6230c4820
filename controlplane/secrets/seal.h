/*
 * Secrets of the control plane: the pepper of API keys, credentials of items, answers kept for
 * repeated calls. Everything is sealed under the fleet's seal key (AES-256-GCM) before it reaches
 * PostgreSQL or a snapshot; nothing here is ever logged. Keys are replaced with reseal.h.
 *
 * The `credential` of a provider or an alert is one of
 *   a literal      sealed before it is stored; the body then holds {"sealed","fingerprint"}; shown
 * as the marker "sealed:FINGERPRINT", which applies as no change; env:NAME       the control
 * plane's environment (not HEADGATE_* and PG*: those are our own); file:NAME      a file of the
 * credentials directory (no slash, no link that leads out of it); a reference to a secret manager
 * (reference.h). The first two are resolved when a snapshot is made, cached, and looked at again
 * every 30 s; what managers hold is fetched by a job, kept sealed in PostgreSQL, and only read from
 * there.
 *
 * Thread-safe after secrets_new().
 */
#ifndef CONTROLPLANE_SECRETS_SEAL_H
#define CONTROLPLANE_SECRETS_SEAL_H

#include "controlplane/store/db.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>

#define KEY_PREFIX "sk-hg-"
#define KEY_TEXT_BYTES (6 + 43) /* without the NUL */
#define KEY_SHOWN_BYTES 8       /* "sk-hg-" and 2 characters, for people */
#define TOKEN_PREFIX "hgat_"
#define TOKEN_TEXT_BYTES (5 + 43)
#define FINGERPRINT_BYTES 16         /* hex digits */
#define LIMIT_CREDENTIAL_BYTES 16384 /* a service account file is about 2.5 KB */

struct secrets;

/* ring is copied. credentials_dir may be NULL; kept. NULL: no memory. */
struct secrets *secrets_new(const struct keyring *ring, const char *credentials_dir);
void secrets_free(struct secrets *s);

/* Other sealing keys (copied): what was resolved is sealed anew when the first one is another. */
MUST_CHECK int secrets_set_ring(struct secrets *s, const struct keyring *ring);
/* A copy, to be wiped. */
void secrets_ring(struct secrets *s, struct keyring *ret_ring);

/* Reads the pepper, the fingerprints' key and the cluster's id from the settings table, making them
 * at the very first start (several daemons may race: one wins, all agree). Idempotent, cheap once
 * done. 0, ERR_UNAVAILABLE, ERR_AUTH (no seal key here is the one this database was made with),
 * ERR_IO. */
MUST_CHECK int secrets_load(struct secrets *s, struct db *db);
bool secrets_ready(struct secrets *s);
/* The pepper as it goes into snapshots (sealed, context "pepper"): appended. ERR_BAD_STATE before
 * secrets_load(). */
MUST_CHECK int secrets_sealed_pepper(struct secrets *s, struct buf *into);
/* "" before secrets_load(); then constant. */
const char *secrets_cluster_id(struct secrets *s);

/* HMAC-SHA-256 of a key's text under the pepper: 0 or ERR_BAD_STATE. */
MUST_CHECK int secrets_key_digest(struct secrets *s, struct slice key,
                                  unsigned char ret_digest[static SHA256_BYTES]);
/* A new key "sk-hg-..." or token "hgat_..." with 256 random bits. The caller wipes it. */
void secrets_mint_key(char ret_text[static KEY_TEXT_BYTES + 1]);
void secrets_mint_token(char ret_text[static TOKEN_TEXT_BYTES + 1]);

/* Seals any bytes, appended to *into; context as in seal(). */
MUST_CHECK int secrets_seal(struct secrets *s, struct slice context, struct slice plain,
                            struct buf *into);
MUST_CHECK int secrets_unseal(struct secrets *s, struct slice context, struct slice sealed,
                              struct secret *ret_plain);

enum credential_form { CREDENTIAL_LITERAL, CREDENTIAL_REFERENCE, CREDENTIAL_MARKER };
/* What a configuration's text is. 0 with the form, or ERR_SYNTAX with *ret_why (static): a
 * malformed, forbidden or unknown reference. */
MUST_CHECK int credential_parse(struct slice text, enum credential_form *ret_form,
                                const char **ret_why);
/* Whose a credential is: "provider", "openai". It is sealed under "NOUN/NAME", so that what is one
 * item's is no other's. */
struct credential_owner {
    const char *noun;
    struct slice name;
};
/* A literal to the stored form {"sealed","fingerprint"}. When `stored` (the body's old member, may
 * be NULL) already holds the same credential, a copy of it is given, so that applying the same file
 * twice changes nothing. ERR_BAD_STATE before secrets_load(). */
MUST_CHECK int secrets_store_credential(struct secrets *s, struct credential_owner owner,
                                        struct slice literal, const struct json *stored,
                                        struct json **ret_stored);
/* The credential of a stored body itself, for the control plane's own use; empty when it has none.
 * The caller frees. ERR_NOT_FOUND, ERR_AGAIN: as below. */
MUST_CHECK int secrets_reveal_credential(struct secrets *s, struct credential_owner owner,
                                         const struct json *body, struct secret *ret_value,
                                         struct buf *why);
/* The credential of a stored provider body, sealed for the snapshot (context "provider/NAME"),
 * appended to *into; nothing is appended when it has none. Equal values give equal bytes for the
 * life of this process, so an unchanged credential does not make a new section. ERR_NOT_FOUND: a
 * reference that cannot be resolved now, with its name (never its value) in *why. ERR_AGAIN: no
 * daemon has fetched it yet; likewise. */
MUST_CHECK int secrets_provider_credential(struct secrets *s, struct slice provider,
                                           const struct json *body, struct buf *into,
                                           struct buf *why);
/* Values that a job fetched: sealed for the table secret_references; compared with what is known;
 * and read from the tables after secrets_load(), with how the pepper is sealed now; *ret_changed
 * when a provider's credential is another now (publish). secrets_sync: ERR_AUTH when the pepper is
 * sealed with a key that is not here. */
MUST_CHECK int secrets_seal_fetched(struct secrets *s, struct slice reference, struct slice value,
                                    struct buf *into);
bool secrets_fetched_is(struct secrets *s, struct slice reference, struct slice value);
MUST_CHECK int secrets_sync(struct secrets *s, struct db *db, bool *ret_changed);
/* Looks again at every reference handed out: true when a value has changed (publish then). */
bool secrets_refresh(struct secrets *s);

#endif
