/* What `headgate up` does once the processes run: an admin token, the default configuration, a key,
 * the env file, and the wait until a request would succeed. Each step looks first. */
#ifndef CONTROLPLANE_CLI_SETUP_H
#define CONTROLPLANE_CLI_SETUP_H

#include "controlplane/cli/config_file.h"
#include "controlplane/cli/home.h"
#include "controlplane/cli/parts.h"

#include <stdbool.h>

struct setup {
    const struct home *home;
    const struct programs *programs;
    const struct config_file *config; /* --config, or NULL */
    bool fresh_control_plane;         /* it was started now: it has our environment */
    void (*progress)(const char *text);
    /* results */
    char token[CLIENT_TOKEN_BYTES];
    char key[CLIENT_TOKEN_BYTES];
};
/* CLI_OK, or CLI_FAILED with the error printed. */
int setup_run(struct setup *s) __attribute__((warn_unused_result));

#endif
