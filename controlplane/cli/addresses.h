/* The addresses a local gateway listens on: looked at before anything is started, so that a port in
 * use is one clear line and not a daemon that dies. */
#ifndef CONTROLPLANE_CLI_ADDRESSES_H
#define CONTROLPLANE_CLI_ADDRESSES_H

#include "controlplane/cli/home.h"

#include <stdbool.h>

/* Each can be bound now, unless our own process holds it; port 0 becomes a free one, and the
 * metrics' address is chosen when there is none. stopped() ends a wait. CLI_OK, or CLI_FAILED with
 * the error printed. */
int addresses_check(struct home *h, bool (*stopped)(void)) __attribute__((warn_unused_result));

#endif
