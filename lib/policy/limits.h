/*
 * Quotas and budgets, compiled: which of them count a given request. A request that none counts
 * costs a comparison; otherwise one look-up for each dimension that some selector uses.
 *
 * A quota with several rates is several limits here, each with an id of its own
 * ("research-rpm:requests_per_minute"); a budget is one, and its id is its name.
 */
#ifndef LIB_POLICY_LIMITS_H
#define LIB_POLICY_LIMITS_H

#include "lib/policy/policy.h"

#define LIMIT_REQUEST_LIMITS 32 /* that may count one request */
#define LIMIT_SELECTOR_TAGS 4
#define LIMIT_THRESHOLDS 16
#define LIMIT_SUBJECT_BYTES 128 /* of `per`: a longer value is named by its digest */
#define LIMIT_LIMIT_ID_BYTES 256

enum limit_metric {
    METRIC_REQUESTS = 1,
    METRIC_TOKENS,
    METRIC_INPUT_TOKENS,
    METRIC_OUTPUT_TOKENS,
    METRIC_CONCURRENT, /* requests in flight */
    METRIC_SPEND,      /* nanodollars: budgets only */
};
const char *limit_metric_name(enum limit_metric m); /* "requests", ... */

enum limit_mode {
    LIMIT_ENFORCE = 1, /* a quota */
    LIMIT_STRICT,      /* a budget: what is reserved is an upper bound */
    LIMIT_ESTIMATE,    /* a budget: what is reserved is the estimate */
    LIMIT_SHADOW,      /* either: counted, never refused */
};

enum limit_dimension { /* in the order in which an index is chosen: the most particular first */
                       BY_KEY,
                       BY_USER,
                       BY_END_USER,
                       BY_PROJECT,
                       BY_TEAM,
                       BY_MODEL,
                       BY_PROVIDER,
                       LIMIT_DIMENSIONS,
};

enum unverifiable { UNVERIFIABLE_DENY = 1, UNVERIFIABLE_ALLOW_CAPPED, UNVERIFIABLE_ALLOW };

struct policy_limit {
    struct slice name; /* the quota's or the budget's */
    struct slice id;
    bool is_budget;
    enum limit_metric metric;
    enum limit_mode mode;
    int64_t amount;    /* requests, tokens or nanodollars; > 0 */
    int64_t window_ms; /* of a rate; 0: concurrency, or a budget */
    bool has_per;
    enum limit_dimension per;
    struct slice period, time_zone; /* of a budget: "month", "Europe/Berlin" */
    enum unverifiable on_unverifiable;
    uint32_t thresholds[LIMIT_THRESHOLDS];
    size_t threshold_count;
    struct slice by[LIMIT_DIMENSIONS]; /* the selector; empty: any */
    bool model_is_glob;
    const struct policy_tag *tags;
    size_t tag_count;
};

/* What a request is, for the selectors. Empty: it has none. */
struct limit_facts {
    struct slice by[LIMIT_DIMENSIONS];
    const struct policy_key *key;  /* its tags; NULL: none */
    const struct policy_tag *tags; /* the request's own; no name that the key has too */
    size_t tag_count;
};

/* Whether this very limit counts such a request. */
bool limit_counts(const struct policy_limit *l, const struct limit_facts *f);
/* All that count it, in no particular order, into ret (room for LIMIT_REQUEST_LIMITS). How many
 * there are, which may be more than fit: then only the first ones are given. */
size_t policy_limits_for(const struct policy *p, const struct limit_facts *f,
                         const struct policy_limit *ret[static LIMIT_REQUEST_LIMITS]);
/* The counter of a request within a limit: "" for one without `per`, else the dimension's value (or
 * its digest, when that is long), in ret_text. */
struct slice limit_subject(const struct policy_limit *l, const struct limit_facts *f,
                           char ret_text[static LIMIT_SUBJECT_BYTES]);

size_t policy_limit_count(const struct policy *p);
const struct policy_limit *policy_limit_at(const struct policy *p, size_t index);
const struct policy_limit *policy_find_limit(const struct policy *p, struct slice id);

#endif
