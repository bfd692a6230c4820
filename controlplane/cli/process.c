#include "controlplane/cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"

#define POLL_MS 20

void
process_pause(int64_t ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* --- who is it ---------------------------------------------------------------------------------
 */

/* State and start time from /proc/PID/stat; the name in it may hold anything but a last ')'. */
static bool
read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *after = strrchr(text, ')');
    unsigned long long start = 0;
    return after &&
           sscanf(/* NOLINT(cert-err34-c): the kernel's own number */
                  after + 1,
                  " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                  "%llu",
                  ret_state, &start) == 2 &&
           (*ret_start = start, true);
}

bool
process_identify(pid_t pid, struct process *ret_process)
{
    char state;
    *ret_process = (struct process){.pid = pid};
    return pid > 0 && read_stat(pid, &state, &ret_process->start);
}

bool
process_is_alive(const struct process *p)
{
    char state;
    uint64_t start;
    if (p->pid <= 0 || !read_stat(p->pid, &state, &start) || start != p->start)
        return false;
    return state != 'Z' && state != 'X';
}

void
process_signal(const struct process *p, int signo)
{
    if (process_is_alive(p))
        kill(p->pid, signo);
}

bool
process_wait_gone(const struct process *p, int64_t ms)
{
    int64_t deadline = clock_mono_ms() + ms;
    while (process_is_alive(p)) {
        if (clock_mono_ms() >= deadline)
            return false;
        process_pause(POLL_MS);
    }
    if (p->pid > 0)
        waitpid(p->pid, NULL, WNOHANG); /* when it is our child */
    return true;
}

/* --- starting ----------------------------------------------------------------------------------
 */

static int
open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool
become(const struct spawn *s)
{
    if (!s->drop)
        return true;
    return initgroups(s->user, s->gid) == 0 && setgid(s->gid) == 0 && setuid(s->uid) == 0;
}

static void
reset_signals(void)
{
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &normal, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. The program is opened before privileges are dropped: the new user need not be able
 * to reach its folder. */
static void
run_child(const struct spawn *s, int log, int report)
{
    int program = open(s->program, O_PATH | O_CLOEXEC);
    int in = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!s->same_session)
        setsid();
    if (program >= 0 && in >= 0 && dup2(in, 0) >= 0) {
        if (log >= 0 && (dup2(log, 1) < 0 || dup2(log, 2) < 0))
            goto failed;
        if (s->output >= 0 && dup2(s->output, 1) < 0)
            goto failed;
        reset_signals();
        umask(077);
        if (become(s) && chdir("/") == 0) {
            /* The path where it can be reached: then /proc/PID/comm is the program's name. */
            if (access(s->program, X_OK) == 0)
                execve(s->program, s->argv, s->env);
            fexecve(program, s->argv, s->env);
        }
    }
failed:;
    int e = errno;
    ssize_t n = write(report, &e, sizeof(e));
    _exit(n == (ssize_t)sizeof(e) ? 127 : 126);
}

int
process_spawn(const struct spawn *s, struct process *ret_process, char *why, size_t why_bytes)
{
    int report[2], log = -1, problem = 0;
    *ret_process = (struct process){0};
    if (s->log && (log = open_log(s->log)) < 0) {
        snprintf(why, why_bytes, "cannot write %s: %s", s->log, strerror(errno));
        return ERR_IO;
    }
    if (pipe2(report, O_CLOEXEC) < 0) {
        snprintf(why, why_bytes, "no pipe: %s", strerror(errno));
        if (log >= 0)
            close(log);
        return ERR_IO;
    }
    pid_t pid = fork();
    if (pid == 0)
        run_child(s, log, report[1]);
    close(report[1]);
    if (log >= 0)
        close(log);
    ssize_t n = pid > 0 ? read(report[0], &problem, sizeof(problem)) : 0;
    close(report[0]);
    if (pid < 0 || n > 0) {
        snprintf(why, why_bytes, "cannot start %s: %s", s->program,
                 strerror(pid < 0 ? errno : problem));
        if (pid > 0)
            waitpid(pid, NULL, 0);
        return ERR_IO;
    }
    if (!process_identify(pid, ret_process))
        ret_process->pid = pid; /* it is gone already; is_alive says so */
    return 0;
}

int
process_run(const struct spawn *s, char *why, size_t why_bytes)
{
    struct process p;
    int status, e = process_spawn(s, &p, why, why_bytes);
    if (e != 0)
        return e;
    while (waitpid(p.pid, &status, 0) < 0)
        if (errno != EINTR)
            return ERR_IO;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- records -----------------------------------------------------------------------------------
 */

static bool
record_path(const struct home *h, const char *name, char ret_path[static HOME_PATH_BYTES])
{
    char below[80];
    snprintf(below, sizeof(below), "pid/%s", name);
    return home_path(h, ret_path, HOME_PATH_BYTES, below);
}

int
process_save(const struct home *h, const char *name, const struct process *p)
{
    char path[HOME_PATH_BYTES], text[64];
    snprintf(text, sizeof(text), "%d %llu\n", (int)p->pid, (unsigned long long)p->start);
    return record_path(h, name, path) ? file_replace(path, slice_of(text), 0600) : ERR_LIMIT;
}

struct process
process_load(const struct home *h, const char *name)
{
    char path[HOME_PATH_BYTES];
    struct process p = {0};
    struct buf text;
    buf_init(&text, 0);
    if (record_path(h, name, path) && file_read(path, 128, true, &text) == 0) {
        struct slice rest = buf_slice(&text);
        struct slice pid = slice_cut(&rest, ' ');
        unsigned long long number = 0, start = 0;
        if (slice_to_u64(pid, &number) == 0 && slice_to_u64(slice_cut(&rest, '\n'), &start) == 0 &&
            number <= INT32_MAX)
            p = (struct process){(pid_t)number, start};
    }
    buf_free(&text);
    return process_is_alive(&p) ? p : (struct process){0};
}

void
process_forget(const struct home *h, const char *name)
{
    char path[HOME_PATH_BYTES];
    if (record_path(h, name, path))
        unlink(path);
}

int
process_lock(const struct home *h, const char *name, bool wait)
{
    char path[HOME_PATH_BYTES];
    if (!record_path(h, name, path))
        return ERR_LIMIT;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_IO;
    while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
        if (errno == EINTR && wait)
            continue;
        int e = errno == EWOULDBLOCK ? ERR_EXISTS : ERR_IO;
        close(fd);
        return e;
    }
    return fd;
}

bool
process_beside(const char *name, char *ret_path, size_t bytes)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    int len = snprintf(ret_path, bytes, "%s/%s", self, name);
    return len > 0 && (size_t)len < bytes && access(ret_path, X_OK) == 0;
}
