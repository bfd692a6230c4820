/* What tls.c lends to conn_tls.c; nobody else includes this. OpenSSL stays inside lib/net. */
#ifndef LIB_NET_TLS_INTERNAL_H
#define LIB_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "lib/net/tls.h"

/* A session in accept state; it keeps the context that is in force now. NULL: no memory. */
SSL *tls_server_session(struct tls_server *t);
/* A session in connect state that will verify `name` (a host name or a literal address) and, for a
 * host name, sends it as SNI. NULL: no memory, or the name cannot be one. */
SSL *tls_client_session(struct tls_client *t, const char *name);

#endif
