/*
 * Price lists that others publish, read into prices as the configuration writes them. No input or
 * output. Two shapes are known: a list of models with amounts per million tokens in decimal text,
 * and a map of models with amounts per token as JSON numbers, whose digits are taken as they stand:
 * no amount goes through a floating-point number.
 */
#ifndef CONTROLPLANE_CLI_PRICE_IMPORT_H
#define CONTROLPLANE_CLI_PRICE_IMPORT_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

/* Why a model of the file is passed over. */
enum import_skip {
    SKIP_PROVIDER, /* of a provider that we know no kind of */
    SKIP_SUSPECT,  /* marked as doubtful by the list itself */
    SKIP_UNITS,    /* billed by what is not counted, or not priced at all */
    SKIP_NAME,     /* a name that no model of ours can have, or that names a region too */
    SKIP_FINE,     /* an amount finer than a picodollar, negative, or out of range */
    SKIP_TWICE,    /* named before, at another price */
    SKIP_TIERS,    /* more thresholds than a price can have */
    IMPORT_SKIPS
};
const char *import_skip_reason(enum import_skip s); /* for people */

/* Of an amount, for a million tokens or for one of anything else. */
#define LIMIT_IMPORT_USD INT64_C(1000000)
#define LIMIT_IMPORT_BYTES ((size_t)16 << 20)

struct price_import {
    /* Of {"source","kind","model","price":{...}}: the provider as the file calls it, the kind it
     * is, the model, and the members of its price. */
    struct json *rows;
    size_t skipped[IMPORT_SKIPS];
};

/* Reads the text. 0, ERR_NOMEM, or ERR_SYNTAX with what is wrong, and where, in *why. */
MUST_CHECK int price_import_read(struct slice text, struct price_import *ret, struct buf *why);
void price_import_free(struct price_import *i);

#endif
