#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/encode.h"
#include "lib/base/rand.h"
#include "lib/base/secret.h"

#define LIMIT_KEY_BYTES 128

static int
err_of_errno(void)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return ERR_NOT_FOUND;
    return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
}

/* Closes and keeps errno for the message. */
static void
shut(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
}

static ssize_t
read_retry(int fd, void *into, size_t n)
{
    ssize_t got;
    do
        got = read(fd, into, n);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Asks for one byte more than may be there, so that a file that grows meanwhile is noticed. */
static int
read_all(int fd, size_t max_bytes, struct buf *into)
{
    size_t total = 0;
    for (;;) {
        size_t room = max_bytes - total < 65536 ? max_bytes - total + 1 : 65536;
        char *at = buf_reserve(into, room);
        if (!at)
            return into->max && into->len + room > into->max ? ERR_LIMIT : ERR_NOMEM;
        ssize_t got = read_retry(fd, at, room);
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            return 0;
        total += (size_t)got;
        if (total > max_bytes)
            return ERR_LIMIT;
        buf_commit(into, (size_t)got);
    }
}

/* O_NONBLOCK: a named pipe must not hold us up before we see that it is one. */
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Reads and closes it. */
static int
read_open(int fd, size_t max_bytes, struct buf *into)
{
    struct stat st;
    size_t before = into->len;
    int e = ERR_IO;
    if (fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode))
            e = read_all(fd, max_bytes, into);
        else
            errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    }
    if (e < 0)
        into->len = before;
    shut(fd);
    return e;
}

int
file_read(const char *path, size_t max_bytes, bool no_links, struct buf *into)
{
    int fd = open(path, READ_FLAGS | (no_links ? O_NOFOLLOW : 0));
    return fd < 0 ? err_of_errno() : read_open(fd, max_bytes, into);
}

/* The kernel itself sees that nothing leads out (openat2, Linux 5.6); an older one follows no link
 * at all. */
static int
open_beneath(int dir, const char *name)
{
    struct open_how how = {.flags = READ_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
    return fd >= 0 || (errno != ENOSYS && errno != EPERM)
               ? fd
               : openat(dir, name, READ_FLAGS | O_NOFOLLOW);
}

int
file_read_beneath(const char *dir, const char *name, size_t max_bytes, struct buf *into)
{
    if (strchr(name, '/') || !*name)
        return ERR_NOT_FOUND;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return err_of_errno();
    int fd = open_beneath(at, name);
    int e = fd >= 0 ? 0 : errno == EXDEV || errno == ELOOP ? ERR_DENIED : err_of_errno();
    shut(at);
    return e ? e : read_open(fd, max_bytes, into);
}

static int
write_all(int fd, struct slice content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.at, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_of_errno();
        content = slice_from(content, (size_t)n);
    }
    return 0;
}

/* Makes the directory's entries survive a loss of power. */
static int
sync_parent(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof(dir))
        return ERR_IO;
    memcpy(dir, path, n);
    dir[n] = '\0';
    int fd = open(n > 0 ? dir : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    int e = fsync(fd) == 0 ? 0 : err_of_errno();
    shut(fd);
    return e;
}

/* A synced file beside `path` with this content; its name is in temp. owner: NULL, or whose it
 * becomes. */
static int
write_beside(const char *path, struct slice content, mode_t mode, const struct stat *owner,
             char temp[static PATH_MAX])
{
    int n = snprintf(temp, PATH_MAX, "%s.new-XXXXXX", path);
    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_of_errno() == ERR_FULL ? ERR_FULL : ERR_IO;
    int e = write_all(fd, content);
    if (e == 0 && owner && owner->st_uid != geteuid() &&
        fchown(fd, owner->st_uid, owner->st_gid) < 0)
        e = ERR_IO;
    if (e == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        e = err_of_errno();
    shut(fd);
    if (e < 0)
        unlink(temp);
    return e;
}

static int
replace(const char *path, struct slice content, mode_t mode, const struct stat *owner)
{
    char temp[PATH_MAX];
    int e = write_beside(path, content, mode, owner, temp);
    if (e < 0)
        return e;
    if (rename(temp, path) < 0) {
        e = err_of_errno();
        int saved = errno;
        unlink(temp);
        errno = saved;
        return e == ERR_FULL ? e : ERR_IO;
    }
    return sync_parent(path);
}

int
file_replace(const char *path, struct slice content, mode_t mode)
{
    return replace(path, content, mode, NULL);
}

int
file_rewrite(const char *path, struct slice content)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_of_errno();
    return replace(path, content, st.st_mode & 07777, &st);
}

static int
make_dir(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        errno = ENOTDIR;
    }
    return ERR_IO;
}

int
file_make_dirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        errno = len == 0 ? ENOENT : ENAMETOOLONG;
        return ERR_IO;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        if (make_dir(part, mode) < 0)
            return ERR_IO;
        part[i] = '/';
    }
    return make_dir(part, mode);
}

/* --- key files -------------------------------------------------------------------------------- */

static int
read_key(const char *path, void *ret_key, size_t n)
{
    struct buf text;
    buf_init(&text, 0);
    int e = file_read(path, 2 * LIMIT_KEY_BYTES + 2, false, &text);
    if (e == 0) {
        struct slice digits = slice_trim(buf_slice(&text));
        while (digits.len > 0 && strchr("\r\n", digits.at[digits.len - 1]))
            digits.len--;
        e = hex_decode(digits, ret_key, n);
    }
    buf_wipe(&text);
    return e == ERR_LIMIT ? ERR_SYNTAX : e;
}

/* Appears whole or not at all; ERR_EXISTS when somebody else was first. */
static int
create_key(const char *path, size_t n)
{
    unsigned char key[LIMIT_KEY_BYTES];
    char text[2 * LIMIT_KEY_BYTES + 2], temp[PATH_MAX];
    rand_bytes(key, n);
    hex_encode(key, n, text);
    memcpy(text + 2 * n, "\n", 2);
    int e = write_beside(path, slice_make(text, 2 * n + 1), 0600, NULL, temp);
    secret_wipe(key, sizeof(key));
    secret_wipe(text, sizeof(text));
    if (e < 0)
        return e;
    if (link(temp, path) < 0)
        e = errno == EEXIST ? ERR_EXISTS : ERR_IO;
    int saved = errno;
    unlink(temp);
    errno = saved;
    return e == 0 ? sync_parent(path) : e;
}

int
file_key(const char *path, void *ret_key, size_t n, bool make)
{
    if (n > LIMIT_KEY_BYTES)
        return ERR_RANGE;
    int e = read_key(path, ret_key, n);
    if (e != ERR_NOT_FOUND || !make)
        return e;
    e = create_key(path, n);
    return e == 0 || e == ERR_EXISTS ? read_key(path, ret_key, n) : e;
}
