#include "lib/base/crash.h"

#ifdef HEADGATE_CRASHPOINTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long passed; /* how often the point that is looked for was passed */

static void
append_name(const char *path, const char *name)
{
    char newline = '\n';
    struct iovec line[] = {{(void *)(uintptr_t)name, strlen(name)}, {&newline, 1}};
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || writev(fd, line, 2) < 0)
        abort(); /* a test that miscounts proves nothing */
    close(fd);
}

static bool
is_first(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Whether this is the K-th time that NAME is passed, of NAME:K. Points of other names do not count,
 * so that threads and timers between them change nothing. */
static bool
is_at(const char *at, const char *name)
{
    size_t len = strlen(name);
    if (strncmp(at, name, len) != 0 || at[len] != ':')
        return false;
    return strtol(at + len + 1, NULL, 10) == atomic_fetch_add(&passed, 1) + 1;
}

void
crash_point(const char *name)
{
    const char *count = getenv("HEADGATE_CRASH_COUNT");
    const char *at = getenv("HEADGATE_CRASH_AT");
    const char *once = getenv("HEADGATE_CRASH_ONCE");
    if (count)
        append_name(count, name);
    if (at && is_at(at, name) && (!once || is_first(once)))
        (void)kill(getpid(), SIGKILL);
}

#endif
