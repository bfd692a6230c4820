/*
 * What LiteLLM calls things, and what stands for them here: one place for `headgate import litellm`
 * and for the admin API's calls in LiteLLM's shapes. Facts of its documents and of its package
 * (litellm/proxy/_types.py, litellm_core_utils/duration_parser.py). No input or output in this
 * folder.
 */
#ifndef CONTROLPLANE_COMPAT_LITELLM_H
#define CONTROLPLANE_COMPAT_LITELLM_H

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stddef.h>
#include <stdint.h>

/* What stands before the '/' of litellm_params.model. env: the variable that LiteLLM reads where no
 * api_key is given, or NULL. */
struct litellm_vendor {
    const char *prefix, *kind, *env;
};
const struct litellm_vendor *litellm_vendor(struct slice prefix);       /* or NULL */
const struct litellm_vendor *litellm_vendor_of_kind(struct slice kind); /* the first, or NULL */

/* Limits: member of a quota; in litellm_params of a deployment, or NULL; of a key, team or user. */
struct litellm_rate {
    const char *member, *deployment, *limit;
};
#define LITELLM_RATES 3
extern const struct litellm_rate litellm_rates[LITELLM_RATES];
#define LIMIT_LITELLM_RATE INT64_C(1000000000000) /* the most that a quota takes */

/* Prices: member of ours, dollars for a million; theirs, dollars for one. The first two are what a
 * price must have. */
struct litellm_price {
    const char *member, *per_token;
};
#define LITELLM_PRICES 4
extern const struct litellm_price litellm_prices[LITELLM_PRICES];

/* "30s", "30m", "30h", "30d", "2w", "1mo" behind a time, both in wall milliseconds: 0; ERR_SYNTAX;
 * ERR_RANGE: nothing, or more than a hundred years. A month ends on the same day of a later one, or
 * on that one's last. */
MUST_CHECK int litellm_after(struct slice duration, int64_t from_wall_ms, int64_t *ret_wall_ms);
/* The period of a budget that a budget_duration means: "hour", "day", "week", "month"; NULL: none
 * of ours. And back; NULL for "lifetime". */
const char *litellm_period(struct slice duration);
const char *litellm_duration(struct slice period);

/* Tags out of "a", "b:c" or "d=e": a=true, b=c, d=e, as x-litellm-tags is read. ERR_SYNTAX: empty,
 * or nothing before the sign. */
MUST_CHECK int litellm_add_tag(struct json *tags, struct slice text);

#endif
