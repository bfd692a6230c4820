/*
 * The built-in price book: list prices of well-known models, in the snapshot's own form. An
 * operator's `prices` add to it and override it. A price that is not here does not exist: an
 * unpriced model is refused, never free.
 *
 * Facts: public list prices in US dollars, collected on the day that the version names. Not in it:
 * surcharges for very long inputs, service tiers, batches, tools; models of images, sound and
 * video.
 */
#ifndef CONTROLPLANE_RULES_PRICEBOOK_H
#define CONTROLPLANE_RULES_PRICEBOOK_H

#include "lib/control/section.h"

#include <stddef.h>

/* Of every row, and recorded with every use: "builtin-2026-08-21". */
struct slice pricebook_version(void);
size_t pricebook_count(void);
/* Row `at` < count, for its kind of provider ("kind:openai"); slices are static. */
struct section_price pricebook_at(size_t at);

#endif
