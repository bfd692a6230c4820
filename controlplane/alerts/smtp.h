/*
 * One mail to one server, by libcurl (the only folder that includes it). Blocking, bounded in time,
 * under the egress guard; no proxy of the environment is used. Certificates are verified against
 * the roots that the rest of the program trusts.
 */
#ifndef CONTROLPLANE_ALERTS_SMTP_H
#define CONTROLPLANE_ALERTS_SMTP_H

#include "lib/base/secret.h"
#include "lib/http/ask.h"
#include "lib/json/doc.h"

enum smtp_tls { SMTP_STARTTLS, SMTP_IMPLICIT, SMTP_CLEAR };

struct smtp_call {
    struct slice host;
    int port;
    enum smtp_tls tls;
    struct slice user;             /* empty: no sign-in */
    const struct secret *password; /* with a user */
    struct slice from;
    const struct json *to;
    struct slice message; /* RFC 5322, CRLF */
};
/* 0: the server has taken it for every receiver. Else an error, with the problem noted in a->why;
 * a->tls is not used. */
MUST_CHECK int smtp_send(struct ask *a, const struct smtp_call *call);

#endif
