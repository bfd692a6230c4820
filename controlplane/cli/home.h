/*
 * The directory of one local gateway: what lies where, and what `headgate up` was told.
 *
 *   DIR/gateway.json   how it was started: addresses, workers, where its data is
 *   DIR/env            HEADGATE_URL and so on, for shells and tests (0600)
 *   DIR/pid/           who runs: NAME holds "PID START", lock is held by the supervisor
 *   DIR/log/           one file a process
 *   data:  secrets/ postgres/ state/ control/ credentials/ run/
 *
 * As root the processes run as an unprivileged user, who owns what is under data. Data is in DIR,
 * or, when that user cannot reach DIR (/root), in /var/lib/headgate/HASH with links in DIR. Sockets
 * are in run/, or in a short directory when that path would be too long for a socket.
 */
#ifndef CONTROLPLANE_CLI_HOME_H
#define CONTROLPLANE_CLI_HOME_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HOME_PATH_BYTES 1024
#define HOME_ADDRESS_BYTES 128

struct home {
    char dir[HOME_PATH_BYTES];
    char data[HOME_PATH_BYTES];
    char run[HOME_PATH_BYTES];
    char listen[HOME_ADDRESS_BYTES], admin[HOME_ADDRESS_BYTES], metrics[HOME_ADDRESS_BYTES];
    long workers; /* 0: one a core */
    long drain_ms;
    char log_level[16];
    char data_plane_args[512]; /* further ones, split at blanks */
    char user[64];             /* the processes' user, when we are root; else "" */
    uid_t uid;
    gid_t gid;
    bool exists; /* gateway.json was read */
};

/* Where commands look: option, else HEADGATE_HOME, else (unless `local`) nowhere when
 * HEADGATE_ADMIN_URL is set, else ~/.headgate. Made absolute in *ret_dir. 0, ERR_NOT_FOUND (none of
 * them), ERR_LIMIT, ERR_IO. */
MUST_CHECK int home_find(const char *option, bool local, char ret_dir[static HOME_PATH_BYTES]);
/* Reads DIR/gateway.json. 0, ERR_NOT_FOUND (no gateway there; the rest is defaults), or an error
 * that was printed. */
MUST_CHECK int home_open(struct home *h, const char *dir);
/* Writes gateway.json. */
MUST_CHECK int home_save(const struct home *h);
/* Everything that up needs once, each step done only when it is missing: the directories with their
 * owners, the place of data and sockets, the keys. An error was printed. */
MUST_CHECK int home_init(struct home *h);

/* DIR/name and DATA/name into a buffer; false when it does not fit (never, after home_open). */
bool home_path(const struct home *h, char *ret_path, size_t bytes, const char *name);
bool home_data_path(const struct home *h, char *ret_path, size_t bytes, const char *name);

/* A variable of DIR/env: 0 with the text (terminated), or ERR_NOT_FOUND. */
MUST_CHECK int home_env_get(const struct home *h, const char *name, char *ret_text, size_t bytes);
/* Replaces DIR/env (0600) by these pairs. */
MUST_CHECK int home_env_write(const struct home *h, const char *const pairs[][2], size_t count);
/* http://HOST:PORT of a listening address, as a client on this machine reaches it. */
void home_url(const char *address, char *ret_url, size_t bytes);

#endif
