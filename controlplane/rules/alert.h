/* Channels that alerts go through: the rules across their members, and what their secrets mean. */
#ifndef CONTROLPLANE_RULES_ALERT_H
#define CONTROLPLANE_RULES_ALERT_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/json/doc.h"

#include <stdint.h>

#define LIMIT_ALERT_RECEIVERS 50
#define LEAST_SIGNING_KEY_BYTES 16

/* As kind.check of kinds.h. */
int alert_check(const struct json *item, const char *path, struct buf *why);

/* The key that webhooks are signed with: of "whsec_BASE64" the bytes that it stands for (Standard
 * Webhooks), else the text's own. 0 (the caller frees), ERR_NOMEM, or ERR_SYNTAX with *ret_why
 * (static): no Base64, or too short a key. */
MUST_CHECK int alert_signing_key(struct slice text, struct secret *ret_key, const char **ret_why);
/* Whether a text is a URL that Slack-shaped messages may be posted to: else *ret_why (static). */
bool alert_is_slack_url(struct slice text, bool allow_private, const char **ret_why);
/* The mail server's port, by its `port` and `tls`. */
int64_t alert_smtp_port(const struct json *smtp);

#endif
