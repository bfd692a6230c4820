/*
 * Of one message, who has it, who is refused, and who is asked again. A refusal of RFC 5321, 4.2.1
 * is for good (5xx) or for now. What is known stands in a map by address: "taken", or the status of
 * a refusal for good; who is not in it is still asked.
 */
#ifndef CONTROLPLANE_ALERTS_RECEIVERS_H
#define CONTROLPLANE_ALERTS_RECEIVERS_H

#include "controlplane/alerts/smtp.h"

/* Those of `to` that are not settled: a list (the caller frees); NULL: no memory. */
struct json *receivers_left(const struct json *to, const struct json *settled);
/* Notes what a round gave: `sent` says whether the message was taken for those with a 2xx. A
 * refusal is noted only when somebody has the message: a server that refuses everybody may be the
 * one that is wrong, and then all are asked again. 0 or ERR_NOMEM. */
MUST_CHECK int receivers_note(struct json *settled, const struct json *asked,
                              const struct smtp_replies *replies, bool sent);
/* Whether somebody has it. */
bool receivers_has_taken(struct json *settled);
/* Whether one of `to` is still to be asked. */
bool receivers_is_open(const struct json *to, const struct json *settled);
/* "ada@x.example (550), ...": who was refused for good; empty: nobody. 0 or ERR_NOMEM. */
MUST_CHECK int receivers_refused(struct json *settled, struct buf *out);

#endif
