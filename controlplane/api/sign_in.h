/*
 * Signing in with an identity provider: the authorization code flow of OpenID Connect with PKCE
 * (RFC 7636), state and nonce.
 *
 *   GET /auth/login      makes state, nonce and verifier, and sends the browser to the provider
 *   GET /auth/callback   takes the provider's answer, once, from the browser that began; a session
 *   POST /auth/token     gives the command line its token for the code that it was shown
 *
 * What was begun is kept by the browser alone, in a cookie sealed by us: strangers make us store
 * nothing. Nothing here looks at the Host field: our address is the configured one.
 */
#ifndef CONTROLPLANE_API_SIGN_IN_H
#define CONTROLPLANE_API_SIGN_IN_H

#include "controlplane/api/api.h"
#include "controlplane/rules/kinds.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/sessions.h"
#include "controlplane/store/sign_ins.h"

#define SIGN_IN_RANDOM_BYTES 43 /* 256 bits, base64url */
#define LIMIT_RETURN_BYTES 1024
#define LIMIT_CLI_STATE_BYTES 128

/* What was begun. */
struct sign_in_request {
    char sign_in[129], issuer[2049];
    char state[SIGN_IN_RANDOM_BYTES + 1], nonce[SIGN_IN_RANDOM_BYTES + 1],
        verifier[SIGN_IN_RANDOM_BYTES + 1];
    char return_to[LIMIT_RETURN_BYTES + 1]; /* a path of ours */
    int64_t begun_s;
    int64_t cli_port; /* 0: a browser's own */
    char cli_challenge[SIGN_IN_RANDOM_BYTES + 1], cli_state[LIMIT_CLI_STATE_BYTES + 1];
};
/* As the value of a cookie: appended. */
MUST_CHECK int sign_in_request_seal(struct secrets *s, const struct sign_in_request *q,
                                    struct buf *into);
/* 0, or ERR_AUTH: not ours, or too old. */
MUST_CHECK int sign_in_request_open(struct secrets *s, struct slice cookie, int64_t now_s,
                                    struct sign_in_request *ret);
void sign_in_random(char ret_text[static SIGN_IN_RANDOM_BYTES + 1]);
/* S256 of RFC 7636. */
void sign_in_challenge(struct slice verifier, char ret_text[static SIGN_IN_RANDOM_BYTES + 1]);

/* Where the provider sends the browser back to. */
void sign_in_redirect_uri(const struct plane *p, char *into, size_t room);

/* The one asked for, with its endpoints: 0, or a page. */
MUST_CHECK int sign_in_ready(struct api_request *r, struct api_reply *reply, const char *name,
                             struct sign_in *ret);

/* Whom an ID token stands for. */
struct sign_in_person {
    char user[LIMIT_NAME_BYTES + 1], subject[256];
    char *claims; /* JSON list of the provider's groups that are mapped; owned */
};
/* 0, or a page. The caller frees claims. */
MUST_CHECK int sign_in_person(struct api_request *r, struct api_reply *reply,
                              const struct sign_in *s, const struct json *claims,
                              struct sign_in_person *ret);
/* In a transaction, under the write lock: the user is there (it is made, where that is allowed), is
 * not disabled, and it is the same account as ever. 0, or a page. */
MUST_CHECK int sign_in_admit(struct api_request *r, struct api_reply *reply,
                             const struct sign_in *s, const struct sign_in_person *who);
/* Likewise: a new session, with its audit row. text: of the cookie or token, wiped by the caller.
 * 0, ERR_NOT_FOUND: the sign-in is gone; or the database's error. */
MUST_CHECK int sign_in_session(struct api_request *r, const struct new_session *n,
                               char ret_text[static TOKEN_TEXT_BYTES + 1],
                               struct session *ret_session);

#endif
