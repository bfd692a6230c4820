#include "controlplane/cli/addresses.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/parts.h"
#include "lib/base/clock.h"
#include "lib/base/rand.h"

#define POLL_MS 50
#define LEAVING_MS 5000
#define LOWEST_PORT 21000 /* of those chosen for port 0 */
#define HIGHEST_PORT 32767

/* HOST:PORT to a socket address: 0 with *ret_list (freeaddrinfo), or an error printed. */
static int
resolve(const char *name, const char *address, struct addrinfo **ret_list)
{
    char host[HOME_ADDRESS_BYTES];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    size_t n = colon ? (size_t)(colon - address) : 0;
    unsigned long long port;
    if (!colon || strlen(address) >= sizeof(host) ||
        slice_to_u64(slice_of(colon + 1), &port) != 0 || port > 65535)
        return cli_fail("%s must be HOST:PORT, not \"%s\"", name, address);
    bool bracketed = n > 1 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? n - 2 : n),
             bracketed ? address + 1 : address);
    int e = getaddrinfo(*host ? host : NULL, colon + 1, &hints, ret_list);
    return e == 0 ? CLI_OK : cli_fail("%s %s: %s", name, address, gai_strerror(e));
}

/* Whether it could be bound now: 0, or errno. */
static int
try_bind(const struct addrinfo *a)
{
    int e = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 1) < 0)
        e = errno;
    close(fd);
    return e;
}

/* 0, errno, or -1 with the error printed. */
static int
try_address(const char *name, const char *address)
{
    struct addrinfo *list = NULL;
    if (resolve(name, address, &list) != CLI_OK)
        return -1;
    int e = list ? try_bind(list) : EADDRNOTAVAIL;
    freeaddrinfo(list);
    return e;
}

/* Port 0 becomes one that is free, below those that the kernel gives to outgoing connections: they
 * could take it before the daemon does. */
static int
choose_port(const char *name, char address[static HOME_ADDRESS_BYTES])
{
    char *colon = strrchr(address, ':');
    int e = EADDRINUSE;
    if (!colon || strcmp(colon, ":0") != 0)
        return try_address(name, address);
    for (int i = 0; i < 100 && e == EADDRINUSE; i++) {
        snprintf(colon, HOME_ADDRESS_BYTES - (size_t)(colon - address), ":%u",
                 (unsigned)(LOWEST_PORT + rand_below(HIGHEST_PORT - LOWEST_PORT)));
        e = try_address(name, address);
    }
    return e;
}

/* ours: an earlier start listened here. Workers whose supervisor was killed may hold the address
 * for a moment while they leave. */
static int
check_address(const char *name, char address[static HOME_ADDRESS_BYTES], bool ours,
              bool (*stopped)(void))
{
    int64_t deadline = clock_mono_ms() + (ours ? LEAVING_MS : 0);
    int e = choose_port(name, address);
    while (e == EADDRINUSE && !stopped() && clock_mono_ms() < deadline) {
        process_pause(POLL_MS);
        e = try_address(name, address);
    }
    if (e == 0)
        return CLI_OK;
    if (e == EADDRINUSE)
        return cli_fail("%s %s is in use by another program: stop it, or choose another with %s",
                        name, address, name);
    return e < 0 ? CLI_FAILED : cli_fail("cannot listen on %s %s: %s", name, address, strerror(e));
}

/* The metrics' own port: the one after the admin API's when it is free, else any. */
static int
choose_metrics(struct home *h, bool (*stopped)(void))
{
    const char *colon = strrchr(h->admin, ':');
    unsigned long long admin_port = 0;
    if (h->metrics[0])
        return CLI_OK;
    if (slice_to_u64(slice_of(colon ? colon + 1 : ""), &admin_port) != 0 || admin_port >= 65535)
        admin_port = 0;
    snprintf(h->metrics, sizeof(h->metrics), "127.0.0.1:%llu", admin_port ? admin_port + 1 : 0);
    if (admin_port == 0 || strcmp(h->metrics, h->listen) == 0 ||
        try_address("--metrics", h->metrics) != 0)
        snprintf(h->metrics, sizeof(h->metrics), "127.0.0.1:0");
    return check_address("--metrics", h->metrics, false, stopped);
}

int
addresses_check(struct home *h, bool (*stopped)(void))
{
    if (process_load(h, parts[PART_DATA_PLANE].name).pid == 0 &&
        check_address("--listen", h->listen, h->exists, stopped) != CLI_OK)
        return CLI_FAILED;
    if (process_load(h, parts[PART_CONTROL_PLANE].name).pid == 0 &&
        check_address("--admin", h->admin, h->exists, stopped) != CLI_OK)
        return CLI_FAILED;
    if (strcmp(h->listen, h->admin) == 0)
        return cli_fail("--listen and --admin must differ");
    return choose_metrics(h, stopped);
}
