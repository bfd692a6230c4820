/*
 * What `headgate login` leaves behind: whose gateway, whose token. In the directory of a local
 * gateway (DIR/login.json), or for one elsewhere in ~/.config/headgate/login.json
 * (XDG_CONFIG_HOME). Mode 0600.
 */
#ifndef CONTROLPLANE_CLI_LOGIN_FILE_H
#define CONTROLPLANE_CLI_LOGIN_FILE_H

#include "controlplane/cli/client.h"
#include "lib/base/err.h"

struct login {
    char url[CLIENT_URL_BYTES];
    char token[CLIENT_TOKEN_BYTES];
    char user[160], expires[40]; /* RFC 3339 */
};

/* dir: of a local gateway; NULL: the one elsewhere. Paths that do not fit: ERR_LIMIT; no HOME:
 * ERR_NOT_FOUND. */
MUST_CHECK int login_path(const char *dir, char ret_path[static HOME_PATH_BYTES]);
/* 0, ERR_NOT_FOUND (nobody is logged in), ERR_TIMEOUT (it is over; the rest is filled in),
 * ERR_SYNTAX, ERR_IO. The caller wipes it. */
MUST_CHECK int login_read(const char *path, struct login *ret);
MUST_CHECK int login_write(const char *path, const struct login *l);
int login_remove(const char *path); /* 0, ERR_NOT_FOUND, ERR_IO */

#endif
