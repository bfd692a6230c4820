/*
 * One mail to one server, by libcurl (the only folder that includes it). Blocking, bounded in time,
 * under the egress guard; no proxy of the environment is used. Certificates are verified against
 * the roots that the rest of the program trusts.
 */
#ifndef CONTROLPLANE_ALERTS_SMTP_H
#define CONTROLPLANE_ALERTS_SMTP_H

#include "controlplane/rules/alert.h"
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
    const struct json *to; /* LIMIT_ALERT_RECEIVERS at most */
    struct slice message;  /* RFC 5322, CRLF */
};
/* What the server said to the RCPT of each receiver, in the order of call->to: a status of RFC
 * 5321, 4.2, or 0 when it said nothing. Its texts are its own and not kept. */
struct smtp_replies {
    int at[LIMIT_ALERT_RECEIVERS];
};
/* 0: the server has taken it for every receiver with a 2xx in *ret_replies, of which there is one
 * at least. Else an error, with the problem noted in a->why, and nobody gets it; the replies say
 * what was heard until then. a->tls is not used. */
MUST_CHECK int smtp_send(struct ask *a, const struct smtp_call *call,
                         struct smtp_replies *ret_replies);

#endif
