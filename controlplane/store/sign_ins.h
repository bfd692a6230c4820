/*
 * Identity providers as they are configured and as they were found, and what is kept of signing in:
 * answers that were taken, accounts and whom they stand for, codes for the command line.
 */
#ifndef CONTROLPLANE_STORE_SIGN_INS_H
#define CONTROLPLANE_STORE_SIGN_INS_H

#include "controlplane/store/db.h"
#include "lib/base/hash.h"
#include "lib/json/doc.h"

#define SIGN_IN_LIFE_S 600 /* from the start of a sign-in to its answer */
#define SIGN_IN_CODE_LIFE_S 120

struct sign_in {
    char name[129];
    struct json *body;      /* of the item */
    struct json *endpoints; /* {"authorization","token","methods"}; NULL: not found yet */
    struct json *keys;      /* as id_token.h wants them; NULL likewise */
    char problem[256];      /* of the last try to reach it */
};
void sign_in_free(struct sign_in *s);

/* One that is not disabled: 0, ERR_NOT_FOUND. */
MUST_CHECK int sign_in_load(struct db *db, const char *name, struct sign_in *ret);
/* Names of those that are not disabled, in their order. At most 100. */
MUST_CHECK int sign_in_names(struct db *db, struct json **ret_names);

/* An answer to the request of this digest: 0, or ERR_EXISTS: it was taken before. */
MUST_CHECK int sign_in_take_answer(struct db *db, const unsigned char digest[static SHA256_BYTES]);
/* Whether this account is the one that the user signed in with first; the first is noted. 0 or
 * ERR_DENIED. */
MUST_CHECK int sign_in_check_account(struct db *db, const char *issuer, const char *user,
                                     const char *subject);
/* Those of a user that is no more. */
MUST_CHECK int sign_in_forget_user(struct db *db, const char *user);

struct sign_in_code {
    char user[129], sign_in[129], challenge[44];
    char *claims; /* owned */
};
MUST_CHECK int sign_in_code_insert(struct db *db, const unsigned char digest[static SHA256_BYTES],
                                   const struct sign_in_code *code);
/* Gives it once: 0, ERR_NOT_FOUND (never made, taken, too old). The caller frees claims. */
MUST_CHECK int sign_in_code_take(struct db *db, const unsigned char digest[static SHA256_BYTES],
                                 struct sign_in_code *ret);
/* Forgets what is too old to matter, and what was known of items that are gone. */
MUST_CHECK int sign_in_expire(struct db *db);

#endif
