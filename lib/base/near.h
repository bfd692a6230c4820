/* How far apart two names are, for messages that name the nearest valid one. */
#ifndef LIB_BASE_NEAR_H
#define LIB_BASE_NEAR_H

#include "lib/base/slice.h"

#include <stdbool.h>

/* Edits between them: a byte inserted, dropped, replaced, or two neighbours swapped; upper and
 * lower case and '-' and '_' count as equal. Names of more than 48 bytes are SIZE_MAX apart. */
size_t near_distance(struct slice a, struct slice b);
/* Near enough to be meant: at most a third of the longer name differs. */
bool near_enough(struct slice name, struct slice candidate, size_t distance);

#endif
