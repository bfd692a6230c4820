/* Ports for tests: other tests run beside this one. */
#ifndef TESTS_UNIT_LIB_NET_FREE_PORT_H
#define TESTS_UNIT_LIB_NET_FREE_PORT_H

#include "tests/unit/check.h"

#include <unistd.h>

#include "lib/net/listener.h"

/* A port of the loopback address that nobody listens at. */
static inline int
free_port(void)
{
    int fd;
    const char *why;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    int port = listener_port(fd);
    close(fd);
    return port;
}

#endif
