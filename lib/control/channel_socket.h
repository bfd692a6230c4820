/* What both ends of the bus do with nng sockets: URLs, bounds, TLS, who may be at the other end.
 * Inside lib/control only. */
#ifndef LIB_CONTROL_CHANNEL_SOCKET_H
#define LIB_CONTROL_CHANNEL_SOCKET_H

#include <nng/nng.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/control/channel.h"

/* The bounds and the peer check of a socket that was just opened: 0 or ERR_NOMEM. */
MUST_CHECK int channel_socket_prepare(nng_socket s, const char *url);
/* Starts listening, or dialling in the background. 0; ERR_SYNTAX (a URL we do not take), ERR_IO,
 * ERR_TLS with *ret_why (static, or nng's own words). */
MUST_CHECK int channel_socket_listen(nng_socket s, const char *url, const struct channel_tls *tls,
                                     const char **ret_why);
MUST_CHECK int channel_socket_dial(nng_socket s, const char *url, const struct channel_tls *tls,
                                   const char **ret_why);
/* Whether the URL is one that we take: 0, or ERR_SYNTAX with *ret_why (static). */
MUST_CHECK int channel_socket_check(const char *url, const struct channel_tls *tls,
                                    const char **ret_why);
/* nng's result codes to ours. */
int channel_socket_err(int nng_code);

#endif
