/*
 * Ranges of IP addresses: "10.0.0.0/8", "2001:db8::/32", or one address. IPv4 addresses inside of
 * IPv6 ("::ffff:10.0.0.1", as a listener of both families gives them) are IPv4. Sans-I/O.
 */
#ifndef LIB_BASE_CIDR_H
#define LIB_BASE_CIDR_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>

#define CIDR_BYTES 17 /* packed: the prefix's length, then 4 or 16 bytes of address */

struct cidr {
    unsigned char at[CIDR_BYTES];
    size_t len; /* 5 or 17 */
};

/* 0, or ERR_SYNTAX with what is wrong. Bits behind the prefix must be zero: else one of the two is
 * a mistake. */
MUST_CHECK int cidr_parse(struct slice text, struct cidr *ret, const char **ret_why);
/* Whether packed bytes are a range that cidr_parse() could have given. */
bool cidr_is_valid(struct slice packed);
/* Whether a numeric address ("192.0.2.1") is in the range; what is no address is in none. */
bool cidr_has(struct slice packed, struct slice address);

#endif
