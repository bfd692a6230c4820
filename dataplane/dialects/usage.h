/*
 * What a provider reports of an attempt's usage, in whichever dialect it says so.
 */
#ifndef DATAPLANE_DIALECTS_USAGE_H
#define DATAPLANE_DIALECTS_USAGE_H

#include "lib/policy/policy.h"

#include <stdbool.h>

struct usage_report {
    bool seen;                  /* the provider reported something usable */
    bool has_input, has_output; /* which sides: the other is to be estimated */
    bool has_units;             /* what is no token was counted too, in whatever it is billed by */
    bool suspect; /* a value was negative, absurd or went backwards: an alarm, and the larger counts
                   */
    struct tokens tokens;   /* disjoint classes */
    enum service_tier tier; /* whose prices the provider says apply */
};

/* No answer has more tokens of one kind: a report above it is an error, not a bill. */
#define LIMIT_REPORTED_TOKENS INT64_C(100000000)

/* Merges a later report into *report: the later one stands, except that a running count that went
 * backwards is suspect and the larger one is kept. */
void usage_merge(struct usage_report *report, const struct usage_report *later);
/* `part` of `whole`: 0 when absent (negative), the whole (and *suspect) when it is more. */
int64_t usage_part(int64_t part, int64_t whole, bool *suspect);
int64_t usage_total(const struct tokens *t);
/* For a bound in money: where sound or pictures cost more than text, and the body has the word, all
 * of what may come in or go out may be such as well. */
void usage_widen(struct tokens *most, const struct rates *rates, struct slice body);

#endif
