/*
 * Listening sockets. TCP_NODELAY and TCP_USER_TIMEOUT are set on the listening socket, from which
 * accepted ones inherit them: one system call an accept.
 */
#include "lib/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/slice.h"

#define BACKLOG 4096
#define ACCEPTS_AT_ONCE 64
#define FULL_PAUSE_MS 100
/* A peer that vanished is noticed after this, with unacknowledged data in flight. */
#define USER_TIMEOUT_MS 30000

struct listener {
    struct watch watch;
    struct timer again;
    void (*on_accept)(void *ctx, int fd);
    void *ctx;
    int reserve; /* spent to tell a peer that we are full */
    uint64_t refused;
    bool paused, waiting;
    bool freed;
};

/* --- addresses -----------------------------------------------------------------------------------
 */

/* Splits "host:port", "[v6]:port", ":port". */
static int
split_address(const char *address, char *ret_host, size_t host_size, int *ret_port)
{
    const char *colon = strrchr(address, ':');
    unsigned long long port;
    if (!colon || slice_to_u64(slice_of(colon + 1), &port) != 0 || port > 65535)
        return ERR_SYNTAX;
    struct slice host = slice_make(address, (size_t)(colon - address));
    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = slice_make(host.at + 1, host.len - 2);
    else if (memchr(host.at, ':', host.len))
        return ERR_SYNTAX; /* an IPv6 address without brackets */
    if (host.len >= host_size)
        return ERR_SYNTAX;
    memcpy(ret_host, host.at, host.len);
    ret_host[host.len] = '\0';
    *ret_port = (int)port;
    return 0;
}

static int
parse_address(const char *address, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
    char host[INET6_ADDRSTRLEN + 1];
    int port;
    if (split_address(address, host, sizeof host, &port) != 0)
        return ERR_SYNTAX;
    memset(ret_addr, 0, sizeof *ret_addr);
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_addr;
    const char *text = *host == '\0'                    ? "0.0.0.0"
                       : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                                        : host;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_len = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof *v6;
        return 0;
    }
    return ERR_SYNTAX;
}

static const char *
bind_why(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "the address is in use";
    case EACCES:
        return "no permission to bind the address";
    case EADDRNOTAVAIL:
        return "the address is not one of this machine";
    default:
        return "the socket cannot be made or bound";
    }
}

static int
set_options(int fd, bool reuse_port)
{
    int one = 1;
    unsigned int timeout_ms = USER_TIMEOUT_MS;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms) != 0)
        return ERR_IO;
    return 0;
}

int
listener_bind(const char *address, bool reuse_port, int *ret_fd, const char **ret_why)
{
    struct sockaddr_storage addr;
    socklen_t len;
    if (parse_address(address, &addr, &len) != 0) {
        *ret_why = "not an address: write 127.0.0.1:8080, [::1]:8080 or :8080";
        return ERR_SYNTAX;
    }
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || set_options(fd, reuse_port) != 0 ||
        bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0) {
        *ret_why = bind_why(errno);
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    return 0;
}

int
listener_port(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    if (addr.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): addr is zeroed as a whole */
    return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

/* --- accepting -----------------------------------------------------------------------------------
 */

static void
watch_update(struct listener *li)
{
    /* Cannot fail once it was armed: the event exists. */
    int err = watch_want(&li->watch, li->paused || li->waiting ? 0 : WATCH_READ);
    (void)err;
}

static void
on_again(void *ctx)
{
    struct listener *li = ctx;
    li->waiting = false;
    if (li->reserve < 0)
        li->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    watch_update(li);
}

/* Out of descriptors: the peer that waits is told by a close instead of left hanging. */
static void
refuse_one(struct listener *li)
{
    if (li->reserve >= 0) {
        close(li->reserve);
        int fd = accept4(li->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            close(fd);
            li->refused++;
        }
        li->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    li->waiting = true;
    watch_update(li);
    timer_set(&li->again, li->watch.loop, FULL_PAUSE_MS, on_again, li);
}

static void
on_ready(void *ctx, int what)
{
    struct listener *li = ctx;
    (void)what;
    for (int i = 0; i < ACCEPTS_AT_ONCE && !li->freed && !li->paused; i++) {
        int fd = accept4(li->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            li->on_accept(li->ctx, fd);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            refuse_one(li);
        return;
    }
}

struct listener *
listener_new(struct loop *l, int fd, void (*on_accept)(void *ctx, int fd), void *ctx)
{
    struct listener *li = calloc(1, sizeof *li);
    if (!li) {
        close(fd);
        return NULL;
    }
    watch_init(&li->watch, l, fd, on_ready, li);
    li->on_accept = on_accept;
    li->ctx = ctx;
    li->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (watch_want(&li->watch, WATCH_READ) != 0) {
        listener_free(li);
        return NULL;
    }
    return li;
}

void
listener_free(struct listener *li)
{
    if (!li || li->freed)
        return;
    li->freed = true;
    timer_cancel(&li->again);
    watch_fini(&li->watch);
    close(li->watch.fd);
    if (li->reserve >= 0)
        close(li->reserve);
    loop_bury(li->watch.loop, li, free);
}

void
listener_pause(struct listener *li)
{
    li->paused = true;
    watch_update(li);
}

void
listener_resume(struct listener *li)
{
    li->paused = false;
    watch_update(li);
}

uint64_t
listener_refused(const struct listener *li)
{
    return li->refused;
}
