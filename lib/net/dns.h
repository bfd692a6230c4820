/*
 * Names to addresses off the loop's way (libevent's resolver), with a small cache: positive
 * answers for their TTL (1 s to 5 min), the last good ones up to 10 min more while the resolver
 * fails, failures for 1 s. Literal addresses and /etc/hosts answer without a query.
 */
#ifndef LIB_NET_DNS_H
#define LIB_NET_DNS_H

#include "lib/base/err.h"
#include "lib/net/loop.h"

#include <sys/socket.h>

#define DNS_MAX_ADDRESSES 16

struct dns;
struct dns_query;

struct dns *dns_new(struct loop *l); /* NULL: no memory */
void dns_free(struct dns *d);
/* on_done comes once, from the loop, never before this returns: err 0 and 1..16 addresses (valid
 * during the call, port filled in), or ERR_DNS, ERR_TIMEOUT (5 s). NULL: no memory. */
struct dns_query *dns_resolve(struct dns *d, const char *host, int port,
                              void (*on_done)(void *ctx, int err,
                                              const struct sockaddr_storage *addresses, size_t n),
                              void *ctx);
void dns_cancel(struct dns_query *q);
/* Asks this server ("127.0.0.1:5353") instead of those of /etc/resolv.conf. 0 or ERR_NOMEM. */
MUST_CHECK int dns_set_servers(struct dns *d, const char *server);

/* --- the egress guard ------------------------------------------------------------------------ */

/* Whether an address is loopback, private, link-local, unique-local, multicast, unspecified,
 * carrier-grade NAT, IPv4-mapped of any of these, or otherwise not a public unicast address. */
bool address_is_private(const struct sockaddr *a);
bool address_is_loopback(const struct sockaddr *a);

#endif
