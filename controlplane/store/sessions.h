/*
 * Sessions of people who signed in with an identity provider, by the SHA-256 of what their browser
 * (a cookie) or their command line (a token) shows. Looked up at each call: one that was ended,
 * whose user or sign-in is gone or disabled, or that is over, is not found.
 */
#ifndef CONTROLPLANE_STORE_SESSIONS_H
#define CONTROLPLANE_STORE_SESSIONS_H

#include "controlplane/store/db.h"
#include "lib/base/hash.h"
#include "lib/json/doc.h"

#define SESSION_PREFIX "hgse_" /* as long as that of a token */

enum session_kind { SESSION_BROWSER, SESSION_CLI };

struct session {
    char id[37]; /* for people; opens nothing. "": none */
    enum session_kind kind;
    char user[129], sign_in[129];
    char created_at[32], seen_at[32], idle_ends_at[32], ends_at[32]; /* RFC 3339 */
    char *groups;                                                    /* ours, a JSON list; owned */
    bool stale; /* seen_at is due to be moved: session_touch() */
};
void session_free(struct session *s);

/* 0, ERR_NOT_FOUND, or the database's error. The digest is compared in constant time. */
MUST_CHECK int session_find(struct db *db, enum session_kind kind,
                            const unsigned char digest[static SHA256_BYTES],
                            struct session *ret_session);
/* It was used. */
MUST_CHECK int session_touch(struct db *db, const struct session *s);

struct new_session {
    enum session_kind kind;
    const char *user, *sign_in;
    const char *claims; /* JSON list of the provider's names of groups */
};
/* How long it lives is in the sign-in's item. 0 with its id and end, ERR_NOT_FOUND: that item is
 * gone or disabled. */
MUST_CHECK int session_insert(struct db *db, const struct new_session *n,
                              const unsigned char digest[static SHA256_BYTES],
                              struct session *ret_session);
/* user NULL: whose ever it is. 0, ERR_NOT_FOUND. */
MUST_CHECK int session_delete(struct db *db, const char *id, const char *user);
MUST_CHECK int session_delete_by_digest(struct db *db,
                                        const unsigned char digest[static SHA256_BYTES]);
MUST_CHECK int session_delete_of_user(struct db *db, const char *user);
MUST_CHECK int session_delete_of_sign_in(struct db *db, const char *sign_in);
/* Newest last, after an id ("": from the start); user NULL: everybody's. A list of maps. */
MUST_CHECK int session_page(struct db *db, const char *user, const char *after, int64_t limit,
                            struct json *list);
/* Forgets what is over. */
MUST_CHECK int session_expire(struct db *db);

#endif
