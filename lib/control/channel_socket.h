/* What both ends of the bus do with nng sockets: URLs, bounds, TLS, who may be at the other end.
 * Inside lib/control only. */
#ifndef LIB_CONTROL_CHANNEL_SOCKET_H
#define LIB_CONTROL_CHANNEL_SOCKET_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/control/channel.h"

/* The bounds and the peer check of a socket that was just opened: 0 or ERR_NOMEM. */
MUST_CHECK int channel_socket_prepare(nng_socket s, const char *url);
/* Starts listening, or dialling in the background. 0; ERR_SYNTAX (a URL we do not take), ERR_IO,
 * ERR_TLS with *ret_why (static, or nng's own words). */
MUST_CHECK int channel_socket_listen(nng_socket s, const char *url, const struct channel_tls *tls,
                                     const char **ret_why);
/* What dials one address, again and again. Zeroed before it is used. */
struct channel_dialer {
    nng_dialer dialer;
    bool started;
    nng_tls_config *config; /* NULL: none is needed, or not yet */
};
MUST_CHECK int channel_socket_dial(nng_socket s, const char *url, const struct channel_tls *tls,
                                   struct channel_dialer *d, const char **ret_why);
/* Begins anew, with what was read of the files before. 0, ERR_NOMEM, ERR_IO. */
MUST_CHECK int channel_socket_redial(nng_socket s, const char *url, struct channel_dialer *d);
void channel_socket_undial(struct channel_dialer *d); /* after the socket was closed */
/* Whether the URL is one that we take: 0, or ERR_SYNTAX with *ret_why (static). */
MUST_CHECK int channel_socket_check(const char *url, const struct channel_tls *tls,
                                    const char **ret_why);
/* nng's result codes to ours. */
int channel_socket_err(int nng_code);

#endif
