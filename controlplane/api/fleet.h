/* What the lists of workers and of control planes have in common. */
#ifndef CONTROLPLANE_API_FLEET_H
#define CONTROLPLANE_API_FLEET_H

#include "lib/base/slice.h"
#include "lib/json/doc.h"

/* A list of a text's words, which have blanks between. NULL: no memory. */
struct json *fleet_words(struct slice text);

#endif
