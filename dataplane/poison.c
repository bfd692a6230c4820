#include "dataplane/poison.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>

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

/* Sixteen hexadecimal digits. */
static bool
read_hex(const char *at, uint64_t *ret_value)
{
    *ret_value = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *d = at[i] ? strchr(digits, at[i]) : NULL;
        if (!d)
            return false;
        *ret_value = *ret_value << 4 | (uint64_t)(d - digits);
    }
    return true;
}

/* "root-EPOCH-VERSION", as lib/policy/lkg.h has it. */
static bool
read_name(const char *name, struct policy_mark *ret_mark)
{
    return strlen(name) == 5 + 16 + 1 + 16 && memcmp(name, "root-", 5) == 0 && name[21] == '-' &&
           read_hex(name + 5, &ret_mark->epoch) && read_hex(name + 22, &ret_mark->version);
}

struct policy_mark
poison_newest(const char *dir, struct policy_mark avoid)
{
    struct policy_mark newest = {0, 0}, m;
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL)
        if (read_name(e->d_name, &m) && !is_same(m, avoid) && is_newer(m, newest))
            newest = m;
    if (d)
        closedir(d);
    return newest;
}
