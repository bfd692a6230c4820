/* TLS contexts. 1.2 with ECDHE/AEAD and 1.3 only; no compression, no renegotiation, no 0-RTT. */
#ifndef LIB_NET_TLS_H
#define LIB_NET_TLS_H

#include "lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_server;
struct tls_client;

/* PEM files. alpn: protocols offered, best first, NULL-terminated. client_ca: NULL, or clients must
 * show a certificate of it. On failure *ret_why says which file and why (static or thread-local
 * text, valid until the next call). 0, ERR_NOT_FOUND, ERR_TLS, ERR_NOMEM. */
MUST_CHECK int tls_server_new(const char *cert_file, const char *key_file, const char *client_ca,
                              const char *const *alpn, struct tls_server **ret_tls,
                              const char **ret_why);
/* Reads the files again; connections that are open keep the old certificate. The old one stays in
 * force on failure. */
MUST_CHECK int tls_server_reload(struct tls_server *t, const char **ret_why);
void tls_server_free(struct tls_server *t); /* counted: open connections keep theirs */

/* ca_file NULL: the system's roots. Verification cannot be turned off. */
MUST_CHECK int tls_client_new(const char *ca_file, const char *cert_file, const char *key_file,
                              const char *const *alpn, struct tls_client **ret_tls,
                              const char **ret_why);
void tls_client_free(struct tls_client *t);

#endif
