/* What a plain scalar means, in one place for reading and for writing. */
#ifndef CONTROLPLANE_CLI_YAML_SCALAR_H
#define CONTROLPLANE_CLI_YAML_SCALAR_H

#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>

/* The value of a plain (unquoted) scalar; NULL: no memory, or no valid UTF-8. */
struct json *yaml_scalar_resolve(struct slice text);
/* Whether a text, written plain, would be read as something else, by us or by YAML 1.1 programs. */
bool yaml_scalar_is_special(struct slice text);

#endif
