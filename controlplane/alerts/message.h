/*
 * What an alert says, in the form that each kind of channel takes. No I/O, no clock. What a client
 * chose (an end user's name) is in it as text only: it begins no header, no line of SMTP, no
 * mention and no link.
 */
#ifndef CONTROLPLANE_ALERTS_MESSAGE_H
#define CONTROLPLANE_ALERTS_MESSAGE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdint.h>

#define ALERT_SIGNATURE_BYTES 48 /* "v1," and Base64 of 32 bytes */

struct alert_message {
    const char *id;           /* of the delivery: the same at every try */
    const char *alert;        /* the channel's name */
    const struct json *event; /* {"type","timestamp","data"} */
};

/* One line: "Headgate: budget 'x' has reached 80 %". Appended. */
MUST_CHECK int message_title(const struct alert_message *m, struct buf *into);
/* {"id","type","timestamp","alert","data"}: appended. */
MUST_CHECK int message_webhook(const struct alert_message *m, struct buf *into);
/* {"text","blocks"} as Slack takes it: appended. */
MUST_CHECK int message_slack(const struct alert_message *m, struct buf *into);

struct mail_envelope {
    struct slice from;
    const struct json *to; /* a list */
    int64_t date_ms;       /* wall */
};
/* A whole message of RFC 5322 with CRLF line ends: appended. */
MUST_CHECK int message_mail(const struct alert_message *m, const struct mail_envelope *e,
                            struct buf *into);

/* Standard Webhooks: "v1," and Base64 of HMAC-SHA-256 under the key over "ID.SECONDS.BODY". 0 or
 * ERR_NOMEM. */
MUST_CHECK int message_sign(const struct secret *key, const char *id, int64_t wall_s,
                            struct slice body, char ret_text[static ALERT_SIGNATURE_BYTES]);

#endif
