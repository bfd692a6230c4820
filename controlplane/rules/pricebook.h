/*
 * The built-in price book: list prices of well-known models by kind of provider, in the snapshot's
 * own form. An operator's `prices` add to it and override it. A price that is not here does not
 * exist: an unpriced model is refused, never free.
 *
 * The facts are in pricebook.txt, which says how it is written, and which travels inside the
 * program. Not in it: surcharges of single regions; models billed by what we do not count (video,
 * pages) or by more than one price an image.
 */
#ifndef CONTROLPLANE_RULES_PRICEBOOK_H
#define CONTROLPLANE_RULES_PRICEBOOK_H

#include "lib/control/section.h"

#include <stdbool.h>
#include <stddef.h>

/* Circumstances: each tier below and beyond each threshold, but for the plain one. */
#define LIMIT_PRICE_VARIANTS (SERVICE_TIERS * (LIMIT_PRICE_LEVELS + 1) - 1)

/* A walk through its rows. */
struct pricebook {
    struct slice rest;
    size_t line; /* of the row last given */
    char provider[64];
    struct section_variant variants[LIMIT_PRICE_VARIANTS];
};

/* Of every row, and recorded with every use: "builtin-2026-08-21". */
struct slice pricebook_version(void);
void pricebook_start(struct pricebook *b);
/* The next row, for its kind of provider ("kind:openai"); false at the end. Variants and the
 * provider's name lie in *b until the next call, the rest is static. */
bool pricebook_next(struct pricebook *b, struct section_price *ret_price);

#endif
