/*
 * What a price list would change: each of its prices beside the one that applies today. No input or
 * output; all documents are those of the admin API.
 */
#ifndef CONTROLPLANE_CLI_PRICE_DIFF_H
#define CONTROLPLANE_CLI_PRICE_DIFF_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stddef.h>

/* What the gateway has: the data of /providers, /prices and /pricebook. Borrowed. */
struct price_state {
    const struct json *providers, *prices, *book;
};

/* The price that applies to a provider's model, NULL: none. *ret_own: whether it is configured, for
 * exactly this model. The book is searched by its lines alone: what it finds by rule is no line. */
const struct json *price_state_find(const struct price_state *s, struct slice provider,
                                    struct slice kind, struct slice model, bool *ret_own);

/* "2.50" as an integer to compare, in nanodollars; -1: no amount, or one beyond nine billion. */
int64_t price_amount(struct slice text);

struct price_diff {
    struct json *items; /* of the configuration's `prices`: to be applied */
    struct json
        *changes; /* of {"provider","model","price","old","new","implausible"}, for people */
    size_t added, changed, unchanged, implausible;
};
/* Takes the difference of one price: what it does not give stays as it is. A change is implausible
 * that is more than tenfold either way, or from or to nothing. 0 or ERR_NOMEM. */
MUST_CHECK int price_diff_init(struct price_diff *d);
void price_diff_fini(struct price_diff *d);
MUST_CHECK int price_diff_add(struct price_diff *d, const struct price_state *s,
                              struct slice provider, struct slice kind, struct slice model,
                              const struct json *price);

#endif
