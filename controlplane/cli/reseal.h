/* Sealing anew what the database holds, over the admin API: for `secrets reseal` and
 * `secrets rotate-key`. */
#ifndef CONTROLPLANE_CLI_RESEAL_H
#define CONTROLPLANE_CLI_RESEAL_H

#include "controlplane/cli/client.h"

#include <stdint.h>

struct reseal_sum {
    int64_t resealed;
    int64_t stuck; /* no key opens them: they stay as they are */
    char key[16];  /* the id of the one that seals now */
};
/* Call by call until nothing is left; each call is one transaction. CLI_OK, or the error was
 * printed. */
int reseal_all(const struct client *client, struct reseal_sum *ret_sum)
    __attribute__((warn_unused_result));

#endif
