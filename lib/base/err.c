#include "lib/base/err.h"

#include <stddef.h>

/* Indexed by the negated code. */
static const char *const names[] = {
    [-OK] = "ok",
    [-ERR_NOMEM] = "nomem",
    [-ERR_LIMIT] = "limit",
    [-ERR_SYNTAX] = "syntax",
    [-ERR_RANGE] = "range",
    [-ERR_BAD_STATE] = "state",
    [-ERR_NOT_FOUND] = "not_found",
    [-ERR_EXISTS] = "exists",
    [-ERR_DENIED] = "denied",
    [-ERR_AUTH] = "auth",
    [-ERR_CLOSED] = "closed",
    [-ERR_RESET] = "reset",
    [-ERR_TIMEOUT] = "timeout",
    [-ERR_CONNECT] = "connect",
    [-ERR_DNS] = "dns",
    [-ERR_TLS] = "tls",
    [-ERR_PROTOCOL] = "protocol",
    [-ERR_IO] = "io",
    [-ERR_FULL] = "full",
    [-ERR_STALE] = "stale",
    [-ERR_CONFLICT] = "conflict",
    [-ERR_AGAIN] = "again",
    [-ERR_TRUNCATED] = "truncated",
    [-ERR_UNAVAILABLE] = "unavailable",
    [-ERR_CANCELLED] = "cancelled",
};

const char *
err_name(int err)
{
    if (err > 0 || err <= -(int)(sizeof(names) / sizeof(names[0])))
        return "unknown";
    return names[-err];
}
