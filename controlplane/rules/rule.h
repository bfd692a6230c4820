/* How a rule says no: with the place of the member it is about. */
#ifndef CONTROLPLANE_RULES_RULE_H
#define CONTROLPLANE_RULES_RULE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* Puts "PATH.MEMBER: message" into *why; path and member may be "". Gives ERR_SYNTAX, or what the
 * buffer says. */
int rule_refuse(struct buf *why, const char *path, const char *member, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
