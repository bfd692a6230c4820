/* Admin tokens, by the SHA-256 of their text; and what was answered to repeated calls. */
#ifndef CONTROLPLANE_STORE_TOKENS_H
#define CONTROLPLANE_STORE_TOKENS_H

#include "controlplane/store/db.h"
#include "lib/base/hash.h"

struct token {
    char name[201], id[37], role[16], user[201], prefix[16], created_by[201]; /* role or user */
    char created_at[32], expires[32]; /* RFC 3339; expires "": never */
    bool expired;
};

/* 0, ERR_NOT_FOUND, or the database's error. The digest is compared in constant time. */
MUST_CHECK int token_find(struct db *db, const unsigned char digest[static SHA256_BYTES],
                          struct token *ret_token);
/* expires "" : never. ERR_EXISTS: the name is taken. Fills in id and created_at. */
MUST_CHECK int token_insert(struct db *db, struct token *t,
                            const unsigned char digest[static SHA256_BYTES]);
/* By name or id: 0 or ERR_NOT_FOUND. */
MUST_CHECK int token_get(struct db *db, struct slice name_or_id, struct token *ret_token);
MUST_CHECK int token_delete(struct db *db, const char *id);
/* Those of a user that is no more. */
MUST_CHECK int token_delete_of_user(struct db *db, const char *user);
/* In the order of names; *ret_count of at most limit. */
MUST_CHECK int token_page(struct db *db, const char *after, struct token *tokens, size_t limit,
                          size_t *ret_count);

/* --- idempotency keys ----------------------------------------------------------------------------
 */

struct kept_answer {
    unsigned char body_digest[SHA256_BYTES];
    char route[256];
    int status;
    struct buf sealed; /* the answer's body; the caller frees */
};
/* 0 or ERR_NOT_FOUND. */
MUST_CHECK int idempotency_find(struct db *db, const char *actor, const char *key,
                                struct kept_answer *ret_answer);
MUST_CHECK int idempotency_keep(struct db *db, const char *actor, const char *key,
                                const struct kept_answer *answer);
/* Forgets what is older than 24 hours. */
MUST_CHECK int idempotency_expire(struct db *db);

#endif
