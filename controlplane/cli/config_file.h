/* The configuration file: read, applied through the admin API, its changes shown. */
#ifndef CONTROLPLANE_CLI_CONFIG_FILE_H
#define CONTROLPLANE_CLI_CONFIG_FILE_H

#include "controlplane/cli/client.h"
#include "controlplane/cli/yaml.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stdio.h>

struct config_file {
    const char *path; /* as the user gave it; "-": standard input */
    struct json *doc;
    struct yaml_places *places;
};
/* CLI_OK, or CLI_FAILED with "FILE:LINE:COLUMN: what is wrong" printed. */
int config_file_read(struct config_file *f, const char *path) __attribute__((warn_unused_result));
void config_file_free(struct config_file *f);

struct apply_options {
    bool prune, dry_run;
    const char *note; /* or NULL */
};
/* POST /config/apply. CLI_OK with the answer (the caller frees it), or CLI_FAILED with the error
 * printed, at its place in the file. */
int config_apply(const struct client *c, const struct config_file *f, const struct apply_options *o,
                 struct json **ret_applied) __attribute__((warn_unused_result));
/* The changes of an answer of apply or rollback, one a line with their members below, the keys that
 * were created, and the warnings (on standard error). */
void config_print_changes(FILE *out, struct json *applied);

#endif
