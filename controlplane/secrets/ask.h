/* What questions to secret managers (lib/http/ask.h), and their answers, have in common. */
#ifndef CONTROLPLANE_SECRETS_ASK_H
#define CONTROLPLANE_SECRETS_ASK_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/http/ask.h"

#include <stdbool.h>
#include <stdint.h>

/* A token with its end. */
struct ask_token {
    struct secret text;
    int64_t renew_ms; /* monotonic: from when on another is asked for; 0: never */
};
bool ask_token_is_good(const struct ask_token *t);
/* Keeps it for three quarters of its life. life_s 0: for good. */
MUST_CHECK int ask_token_keep(struct ask_token *t, struct slice text, int64_t life_s);
void ask_token_free(struct ask_token *t);
/* "Bearer TOKEN", secret; the caller wipes and frees the buffer. */
MUST_CHECK int ask_bearer(const struct ask_token *t, struct buf *into);
/* An OAuth token endpoint's answer to this form (RFC 6749 section 5.1). */
MUST_CHECK int ask_oauth(struct ask *a, struct slice url, struct slice form, struct ask_token *t);
/* name=value, percent-encoded, with '&' between. */
MUST_CHECK int ask_form(struct buf *form, const char *name, struct slice value);

/* What a key service opened, which it gives in Base64. */
MUST_CHECK int ask_plain(struct ask *a, struct slice base64, struct secret *ret_plain);
/* A secret's text without line ends behind it; with a field, that member of the JSON object that it
 * is. ERR_SYNTAX with the problem noted. */
MUST_CHECK int ask_take(struct ask *a, struct slice text, struct slice field,
                        struct secret *ret_value);

#endif
