/*
 * Error codes of every fallible function in the project.
 *
 * A function that can fail returns int: 0, or one of these (all negative), and is
 * marked MUST_CHECK. err_name() gives the stable lower-case name used in logs and tests.
 */
#ifndef LIB_BASE_ERR_H
#define LIB_BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    OK = 0,
    ERR_NOMEM = -1,        /* an allocation sized by a peer was refused */
    ERR_LIMIT = -2,        /* a configured limit was passed */
    ERR_SYNTAX = -3,       /* malformed input */
    ERR_RANGE = -4,        /* a number outside its type or its allowed range */
    ERR_BAD_STATE = -5,    /* not allowed now (OpenSSL has a type named ERR_STATE) */
    ERR_NOT_FOUND = -6,    /* no such thing */
    ERR_EXISTS = -7,       /* there is one already */
    ERR_DENIED = -8,       /* authenticated, but not allowed; or refused by a guard */
    ERR_AUTH = -9,         /* a signature, digest or credential does not verify */
    ERR_CLOSED = -10,      /* the peer ended the connection in order */
    ERR_RESET = -11,       /* the peer broke the connection */
    ERR_TIMEOUT = -12,     /* a deadline passed */
    ERR_CONNECT = -13,     /* no connection could be made */
    ERR_DNS = -14,         /* the name did not resolve */
    ERR_TLS = -15,         /* handshake, verification or record failure */
    ERR_PROTOCOL = -16,    /* the peer broke its protocol */
    ERR_IO = -17,          /* a system call failed; errno tells */
    ERR_FULL = -18,        /* no room: disk, spool, queue */
    ERR_STALE = -19,       /* older than what is held */
    ERR_CONFLICT = -20,    /* somebody else changed it, or two versions disagree */
    ERR_AGAIN = -21,       /* would block; wait for readiness */
    ERR_TRUNCATED = -22,   /* the message ended before it was complete */
    ERR_UNAVAILABLE = -23, /* something needed is away (database, control plane) */
    ERR_CANCELLED = -24,   /* our side gave up */
};

/* The stable name of a code ("limit", "truncated", ...). Never NULL. */
const char *err_name(int err);

#endif
