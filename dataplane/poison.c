#include "dataplane/poison.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

bool
poison_is_crash(int signo)
{
    switch (signo) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
        return true;
    default:
        return false;
    }
}

static bool
is_same(struct policy_mark a, struct policy_mark b)
{
    return a.epoch == b.epoch && a.version == b.version;
}

bool
poison_crashed(struct poison *p, struct policy_mark with, int64_t taken_ms, int64_t now_ms)
{
    if (with.version == 0 || now_ms - taken_ms > POISON_WITHIN_MS) {
        p->crashes = 0;
        return false;
    }
    if (!is_same(with, p->suspect))
        p->crashes = 0;
    p->suspect = with;
    if (++p->crashes != POISON_CRASHES)
        return false;
    p->avoid = with;
    return true;
}

static bool
is_newer(struct policy_mark a, struct policy_mark b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.version > b.version;
}

struct policy_mark
poison_newest(const char *dir, struct policy_mark avoid)
{
    struct policy_mark newest = {0, 0}, m;
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        int end = 0;
        if (sscanf(e->d_name, "root-%16" SCNx64 "-%16" SCNx64 "%n", &m.epoch, &m.version, &end) ==
                2 &&
            e->d_name[end] == '\0' && !is_same(m, avoid) && is_newer(m, newest))
            newest = m;
    }
    if (d)
        closedir(d);
    return newest;
}
