/* http and https URLs of configuration: strict, no userinfo, no fragment. RFC 3986. */
#ifndef LIB_HTTP_URL_H
#define LIB_HTTP_URL_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct url {
    bool https;
    struct slice host; /* without brackets for IPv6 */
    int port;
    struct slice path; /* "/v1", "" when absent; with the query, if any */
};
/* Slices point into text. 0 or ERR_SYNTAX, with *ret_why a static explanation. */
MUST_CHECK int url_parse(struct slice text, struct url *ret_url, const char **ret_why);

#endif
