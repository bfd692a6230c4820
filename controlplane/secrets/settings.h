/*
 * What an installation is told apart by: the pepper of its API keys, the key of its fingerprints,
 * its id. In the table `settings`, the first two sealed; made at the very first start, by whoever
 * of several daemons is first, and the same for good.
 */
#ifndef CONTROLPLANE_SECRETS_SETTINGS_H
#define CONTROLPLANE_SECRETS_SETTINGS_H

#include "controlplane/store/db.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"

struct settings {
    struct hmac *pepper;      /* NULL: not loaded */
    struct hmac *fingerprint; /* of literal credentials */
    struct buf sealed_pepper; /* as the table has it */
    char cluster_id[37];
};

/* 0; ERR_UNAVAILABLE, ERR_AUTH (no key of the ring opens them), ERR_IO: then *ret is empty.
 * settings_fini() frees. */
MUST_CHECK int settings_load(struct db *db, const struct keyring *ring, struct settings *ret);
void settings_fini(struct settings *s);
/* How the pepper is sealed now, in *sealed_pepper: it changes with the sealing keys, the pepper
 * does not. 0, or an error as above (the buffer may be empty then). */
MUST_CHECK int settings_follow(struct db *db, const struct keyring *ring,
                               struct buf *sealed_pepper);

#endif
