/* home_init(): what a gateway's directory needs once. Every step looks first, so that an
 * interrupted start is taken up where it stopped. */
#include "controlplane/cli/home.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/base/secret.h"

/* The longest name of a socket in run/, with its slash: "/.s.PGSQL.5432.lock" is a file, not one.
 */
#define SOCKET_NAME_BYTES 16

/* --- the user ----------------------------------------------------------------------------------
 */

/* As root: the user that everything but the supervisors runs as. */
static int
choose_user(struct home *h)
{
    static const char *const names[] = {"headgate", "postgres", "nobody", NULL};
    if (geteuid() != 0) {
        h->user[0] = '\0';
        h->uid = geteuid();
        h->gid = getegid();
        return 0;
    }
    if (h->exists && h->user[0])
        return 0; /* its files belong to that user */
    for (const char *const *name = names; *name; name++) {
        const struct passwd *p = getpwnam(*name);
        if (!p || p->pw_uid == 0)
            continue;
        snprintf(h->user, sizeof(h->user), "%s", *name);
        h->uid = p->pw_uid;
        h->gid = p->pw_gid;
        return 0;
    }
    cli_fail("root needs an unprivileged user to run as: add one with `useradd --system headgate`");
    return ERR_NOT_FOUND;
}

/* Whether the processes' user may pass through a directory: tried, not computed. */
static bool
user_can_enter(const struct home *h, const char *dir)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgid(h->gid) == 0 && setuid(h->uid) == 0 && access(dir, X_OK) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* --- the places --------------------------------------------------------------------------------
 */

static void
dir_hash(const struct home *h, char ret_hex[static 13])
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(h->dir, strlen(h->dir), digest);
    hex_encode(digest, 6, ret_hex);
}

/* A directory that is ours and nobody else's to write: made, or checked. */
static int
own_dir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat st;
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return cli_fail("cannot make %s: %s", path, strerror(errno)), ERR_IO;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cli_fail("%s must be a directory: %s", path, strerror(errno)), ERR_IO;
    int e = 0;
    if (fstat(fd, &st) < 0)
        e = ERR_IO;
    else if (st.st_uid != uid && st.st_uid != geteuid())
        e = ERR_DENIED;
    else if ((geteuid() == 0 && fchown(fd, uid, gid) < 0) || fchmod(fd, mode) < 0)
        e = ERR_IO;
    if (e == ERR_DENIED)
        cli_fail("%s belongs to another user (uid %u)", path, (unsigned)st.st_uid);
    else if (e)
        cli_fail("cannot set up %s: %s", path, strerror(errno));
    close(fd);
    return e;
}

static bool
parent_of(const char *path, char *ret_parent, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    int n = snprintf(ret_parent, bytes, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return n > 0 && (size_t)n < bytes;
}

/* DIR, with the parents that are missing. */
static int
make_home(const struct home *h)
{
    char parent[HOME_PATH_BYTES];
    struct stat st;
    if (stat(h->dir, &st) == 0 && !S_ISDIR(st.st_mode))
        return cli_fail("%s is not a directory", h->dir), ERR_IO;
    if (!parent_of(h->dir, parent, sizeof(parent)) ||
        (access(parent, F_OK) < 0 && file_make_dirs(parent, 0755) != 0))
        return cli_fail("cannot make %s: %s", h->dir, strerror(errno)), ERR_IO;
    if (mkdir(h->dir, 0700) < 0 && errno != EEXIST)
        return cli_fail("cannot make %s: %s", h->dir, strerror(errno)), ERR_IO;
    if (access(h->dir, W_OK | X_OK) < 0)
        return cli_fail("cannot write in %s: %s", h->dir, strerror(errno)), ERR_IO;
    return 0;
}

/* As root: lets the processes' user pass through DIR (and nothing more), or keeps the data
 * elsewhere. */
static int
place_data(struct home *h)
{
    char parent[HOME_PATH_BYTES], hex[13];
    if (h->exists)
        return 0;
    if (geteuid() != 0)
        return chmod(h->dir, 0700) == 0 ? 0 : ERR_IO;
    if (!parent_of(h->dir, parent, sizeof(parent)))
        return ERR_LIMIT;
    if (user_can_enter(h, parent)) {
        if (chown(h->dir, 0, h->gid) < 0 || chmod(h->dir, 0710) < 0)
            return cli_fail("cannot set up %s: %s", h->dir, strerror(errno)), ERR_IO;
        return 0;
    }
    dir_hash(h, hex);
    snprintf(h->data, sizeof(h->data), "/var/lib/headgate/%s", hex);
    if (file_make_dirs("/var/lib/headgate", 0755) != 0)
        return cli_fail("cannot make /var/lib/headgate: %s", strerror(errno)), ERR_IO;
    int e = own_dir(h->data, 0710, 0, h->gid);
    return e != 0 ? e : chmod(h->dir, 0700) == 0 ? 0 : ERR_IO;
}

/* Short enough, and nothing in it that a connection string or a URL would read as something else.
 */
static bool
fits_socket(const char *dir)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    return strlen(dir) + SOCKET_NAME_BYTES < sizeof(((struct sockaddr_un *)0)->sun_path) &&
           dir[strspn(dir, plain)] == '\0';
}

/* Where the sockets are: DATA/run, or a short private directory. */
static int
place_run(struct home *h)
{
    char hex[13], base[64];
    if (!home_data_path(h, h->run, sizeof(h->run), "run"))
        return ERR_LIMIT;
    if (!fits_socket(h->run)) {
        dir_hash(h, hex);
        if (geteuid() == 0) {
            snprintf(base, sizeof(base), "/run/headgate");
            if (file_make_dirs(base, 0755) != 0)
                return cli_fail("cannot make %s: %s", base, strerror(errno)), ERR_IO;
            snprintf(h->run, sizeof(h->run), "%s/%s", base, hex);
        } else {
            snprintf(h->run, sizeof(h->run), "/tmp/headgate-%u-%s", (unsigned)geteuid(), hex);
        }
    }
    return own_dir(h->run, 0700, h->uid, h->gid);
}

/* Links in DIR to what is elsewhere, so that people find it. */
static int
link_into_home(const struct home *h, const char *name, const char *target)
{
    char path[HOME_PATH_BYTES], now[HOME_PATH_BYTES];
    if (!home_path(h, path, sizeof(path), name))
        return ERR_LIMIT;
    if (strcmp(path, target) == 0)
        return 0;
    ssize_t n = readlink(path, now, sizeof(now) - 1);
    if (n > 0) {
        now[n] = '\0';
        if (strcmp(now, target) == 0)
            return 0;
        unlink(path);
    }
    if (symlink(target, path) < 0)
        return cli_fail("cannot link %s to %s: %s", path, target, strerror(errno)), ERR_IO;
    return 0;
}

static int
make_places(struct home *h)
{
    static const char *const ours[] = {"pid", "log", NULL};
    static const char *const theirs[] = {"secrets", "state", "control", "credentials", NULL};
    char path[HOME_PATH_BYTES];
    int e = place_data(h);
    for (const char *const *name = ours; *name && e == 0; name++)
        if ((e = home_path(h, path, sizeof(path), *name) ? 0 : ERR_LIMIT) == 0)
            e = own_dir(path, 0700, geteuid(), getegid());
    for (const char *const *name = theirs; *name && e == 0; name++)
        if ((e = home_data_path(h, path, sizeof(path), *name) ? 0 : ERR_LIMIT) == 0 &&
            (e = own_dir(path, 0700, h->uid, h->gid)) == 0)
            e = link_into_home(h, *name, path);
    if (e == 0)
        e = place_run(h);
    return e != 0 ? e : link_into_home(h, "run", h->run);
}

/* --- the keys ----------------------------------------------------------------------------------
 */

static int
give_to_user(const struct home *h, const char *path)
{
    if (geteuid() != 0 || lchown(path, h->uid, h->gid) == 0)
        return 0;
    return cli_fail("cannot give %s to %s: %s", path, h->user, strerror(errno)), ERR_IO;
}

static int
make_key(const struct home *h, const char *name, unsigned char *ret_key, size_t n)
{
    char path[HOME_PATH_BYTES], below[80];
    snprintf(below, sizeof(below), "secrets/%s", name);
    if (!home_data_path(h, path, sizeof(path), below))
        return ERR_LIMIT;
    int e = file_key(path, ret_key, n, true);
    if (e != 0) {
        cli_fail("cannot make or read the key file %s: %s", path, err_name(e));
        return e;
    }
    return give_to_user(h, path);
}

static int
write_public(const struct home *h, const unsigned char secret[static SIGN_SECRET_BYTES])
{
    unsigned char public[SIGN_PUBLIC_BYTES];
    char path[HOME_PATH_BYTES], text[2 * SIGN_PUBLIC_BYTES + 2];
    int e = sign_public(secret, public);
    if (e == 0 && !home_data_path(h, path, sizeof(path), "secrets/verify.pub"))
        e = ERR_LIMIT;
    if (e == 0) {
        hex_encode(public, sizeof(public), text);
        text[2 * SIGN_PUBLIC_BYTES] = '\n';
        e = file_replace(path, slice_make(text, sizeof(text) - 1), 0644);
    }
    if (e != 0) {
        cli_fail("cannot write the public key: %s", err_name(e));
        return e;
    }
    return give_to_user(h, path);
}

/* The ring of sealing keys: one key at first, more while it is rotated. */
static int
make_seal_key(const struct home *h)
{
    unsigned char seal_key[SEAL_KEY_BYTES];
    struct keyring ring;
    char path[HOME_PATH_BYTES], why[KEYRING_WHY_BYTES];
    struct keyring_source source = {.name = path};
    if (!home_data_path(h, path, sizeof(path), "secrets/seal.key"))
        return ERR_LIMIT;
    if (access(path, F_OK) != 0) {
        int e = make_key(h, "seal.key", seal_key, sizeof(seal_key));
        secret_wipe(seal_key, sizeof(seal_key));
        return e;
    }
    int e = keyring_load(&source, NULL, &ring, why);
    keyring_wipe(&ring);
    if (e == 0)
        return give_to_user(h, path);
    cli_fail("cannot read the key file %s: %s", path, why);
    return e;
}

static int
make_keys(const struct home *h)
{
    unsigned char sign_key[SIGN_SECRET_BYTES];
    int e = make_seal_key(h);
    if (e == 0)
        e = make_key(h, "sign.key", sign_key, sizeof(sign_key));
    if (e == 0)
        e = write_public(h, sign_key);
    secret_wipe(sign_key, sizeof(sign_key));
    return e;
}

int
home_init(struct home *h)
{
    int e = choose_user(h);
    if (e == 0)
        e = make_home(h);
    if (e == 0)
        e = make_places(h);
    if (e == 0)
        e = make_keys(h);
    return e == 0 ? home_save(h) : e;
}
