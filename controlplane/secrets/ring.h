/* The sealing keys of a control plane: as lib/base/keyring.h has them, with wrapped keys opened by
 * the key services that managers_unwrap() knows. */
#ifndef CONTROLPLANE_SECRETS_RING_H
#define CONTROLPLANE_SECRETS_RING_H

#include "lib/base/err.h"
#include "lib/base/keyring.h"

#include <stdbool.h>

/* Reads the source; a key service is asked only where there is a wrapped key, and may take seconds.
 * allow_private: it may be at a private address, without TLS. 0, or an error with a line in why. */
MUST_CHECK int ring_load(struct keyring_source *source, bool allow_private, struct keyring *ret,
                         char ret_why[static KEYRING_WHY_BYTES]);

#endif
