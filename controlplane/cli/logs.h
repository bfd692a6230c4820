/* The log files of a local gateway: their last lines for error messages, and their bound. */
#ifndef CONTROLPLANE_CLI_LOGS_H
#define CONTROLPLANE_CLI_LOGS_H

#include "controlplane/cli/home.h"

#include <stddef.h>

#define LIMIT_LOG_BYTES (64 << 20) /* of one file, and of the one before it (NAME.1) */

/* The last line that is not empty, control characters replaced; "" when there is none. */
void logs_last_line(const char *path, char *ret_line, size_t bytes);
/* Moves what is over the limit to NAME.1 and starts the file anew. The writers hold it open for
 * appending, so it is copied and cut, not renamed: lines written in between are lost. */
void logs_rotate(const struct home *h);

#endif
