#include "controlplane/cli/logs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 4096

static void
clean(char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = ' ';
}

void
logs_last_line(const char *path, char *ret_line, size_t bytes)
{
    char tail[TAIL_BYTES];
    struct stat st;
    ret_line[0] = '\0';
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = -1;
    if (fstat(fd, &st) == 0)
        n = pread(fd, tail, sizeof(tail), st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
    close(fd);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' '))
        n--;
    if (n <= 0)
        return;
    const char *newline = memrchr(tail, '\n', (size_t)n);
    const char *start = newline ? newline + 1 : tail;
    snprintf(ret_line, bytes, "%.*s", (int)(tail + n - start), start);
    clean(ret_line);
}

static void
rotate_one(int dir, const char *name)
{
    char old[280];
    struct stat st;
    snprintf(old, sizeof(old), "%s.1", name);
    int from = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return;
    if (fstat(from, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LIMIT_LOG_BYTES) {
        int into = openat(dir, old, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (into >= 0 && copy_file_range(from, NULL, into, NULL, (size_t)st.st_size, 0) >= 0)
            (void)!ftruncate(from, 0);
        if (into >= 0)
            close(into);
    }
    close(from);
}

void
logs_rotate(const struct home *h)
{
    char path[HOME_PATH_BYTES];
    if (!home_path(h, path, sizeof(path), "log"))
        return;
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n > 4 && n < 256 && strcmp(e->d_name + n - 4, ".log") == 0)
            rotate_one(dirfd(dir), e->d_name);
    }
    closedir(dir);
}
