/*
 * A price as people write it: which member stands for which class of usage, and in which unit.
 * Amounts per million tokens (or characters) have at most 6 fraction digits, amounts for one at
 * most 9.
 */
#ifndef CONTROLPLANE_RULES_PRICE_H
#define CONTROLPLANE_RULES_PRICE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/control/section.h"
#include "lib/json/doc.h"

/* A decimal amount in the class's unit: 0, ERR_SYNTAX, ERR_RANGE (also below zero). */
MUST_CHECK int price_parse(enum usage_class c, struct slice text, picos_tok *ret_price);

/* The amounts of a price, or of one of its variants. 0, or ERR_SYNTAX with the member at fault in
 * *ret_member. Variants: the list of `price`, in the arena. ERR_NOMEM without a member. */
MUST_CHECK int price_read(const struct json *map, struct section_rates *ret,
                          const char **ret_member);
MUST_CHECK int price_read_variants(const struct json *price, struct arena *a,
                                   struct section_price *ret, const char **ret_member);
/* The other way: sets the members of what is given. 0 or ERR_NOMEM. */
MUST_CHECK int price_write(struct json *map, const struct section_price *p);

/* The rules across a price's members (see struct kind). */
MUST_CHECK int price_check(const struct json *item, const char *path, struct buf *why);

#endif
