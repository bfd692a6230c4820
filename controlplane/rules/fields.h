/* Checks of single texts, for the columns of the kinds' tables. */
#ifndef CONTROLPLANE_RULES_FIELDS_H
#define CONTROLPLANE_RULES_FIELDS_H

#include "lib/base/slice.h"

#include <stdbool.h>

/* A letter or digit, then letters, digits and . _ @ + - */
bool field_is_name(struct slice text, const char **ret_why);
/* The same with '/' and ':' inside: names of models. */
bool field_is_model(struct slice text, const char **ret_why);
/* The same with '*' anywhere. */
bool field_is_pattern(struct slice text, const char **ret_why);
/* The name of a time zone, as far as its form tells: "UTC", "America/New_York". */
bool field_is_zone(struct slice text, const char **ret_why);
/* A decimal number of at most four decimals: from 0 to 1000, and to 100. */
bool field_is_margin(struct slice text, const char **ret_why);
bool field_is_discount(struct slice text, const char **ret_why);
/* An OAuth scope: printable ASCII without blanks, quotes and backslashes (RFC 6749, 3.3). */
bool field_is_scope(struct slice text, const char **ret_why);
/* Printable UTF-8 without control characters. */
bool field_is_text(struct slice text, const char **ret_why);
/* An http or https URL without userinfo, query or fragment. */
bool field_is_url(struct slice text, const char **ret_why);
/* A literal without control characters, or a well-formed reference. */
bool field_is_credential(struct slice text, const char **ret_why);

/* The name or address of a host: letters, digits, '.', '-' and ':'. */
bool field_is_host(struct slice text, const char **ret_why);
/* local@domain of RFC 5322's dot-atoms: nothing that a header or SMTP could take for anything else.
 */
bool field_is_mail_address(struct slice text, const char **ret_why);
/* Whether a host is private by its own text. The guard that counts looks at the connected address;
 * this one tells the operator early. */
bool field_is_private_host(struct slice host);

/* An address or a range of addresses: 10.0.0.0/8. */
bool field_is_cidr(struct slice text, const char **ret_why);

/* What a check above takes, as a regular expression (ECMA 262) for documents: all that the check
 * takes fits it; what fits may still be refused where a grammar says more (an address, a URL, a
 * reference). NULL: not one of these checks. Without classes like \d and without escapes in
 * brackets but \xNN, so that the test can hold each to its check with POSIX's expressions. */
const char *field_pattern(bool (*check)(struct slice text, const char **ret_why));

#endif
