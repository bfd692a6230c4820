/*
 * Cookies of the admin API (RFC 6265). Under https they are bound to our very host by the prefix
 * __Host-, so that no neighbouring name can set one; Secure is left out for clear http on loopback
 * only, where a browser would not keep them otherwise.
 */
#ifndef CONTROLPLANE_API_COOKIE_H
#define CONTROLPLANE_API_COOKIE_H

#include "controlplane/plane.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define COOKIE_SESSION "headgate_session"
#define COOKIE_SIGN_IN "headgate_sign_in"

/* The value of ours in a Cookie field; at == NULL: not there, there more than once, or nobody can
 * sign in here. */
struct slice cookie_find(const struct plane *p, struct slice field, const char *name);
/* Appends a Set-Cookie value and a newline. value "": forget it. max_age_s 0: until the browser
 * ends. */
MUST_CHECK int cookie_add(const struct plane *p, struct buf *into, const char *name,
                          struct slice value, long max_age_s);

#endif
