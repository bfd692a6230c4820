/*
 * The items of a snapshot's sections in plain form, and their bytes (proto/snapshot.proto). The
 * control plane writes them, the compiler (lib/policy) reads them; protobuf-c stays behind this.
 * Sans-I/O.
 *
 * A section is walked item by item with a bound on each, so that reading one needs memory for one
 * item, whatever its length claims.
 */
#ifndef LIB_CONTROL_SECTION_H
#define LIB_CONTROL_SECTION_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/money.h"
#include "lib/base/slice.h"
#include "lib/policy/rates.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_ITEM_BYTES ((size_t)64 << 10) /* of one provider, model, team, key, ... as bytes */

struct section_pair { /* a header, a tag */
    struct slice name, value;
};

struct section_provider {
    struct slice name, kind, base_url, sealed_credential, http, on_disconnect;
    struct slice region, project, location, api_version, api;
    bool allow_private, allow_private_media;
    uint32_t connect_ms, first_byte_ms, between_bytes_ms, total_ms; /* 0: default */
    const struct section_pair *headers;
    size_t header_count;
};

struct section_target {
    struct slice provider, model;
    uint32_t weight;
};

struct section_model {
    struct slice name, strategy;
    const struct section_target *targets;
    size_t target_count;
    const struct slice *fallbacks;
    size_t fallback_count;
    int64_t created_unix_s;
    bool free;
    uint32_t cache_ttl_s;     /* 0: no cache */
    struct slice cache_scope; /* "team", ... */
};

struct section_scope { /* all zero: no limits */
    const struct slice *endpoints, *addresses;
    size_t endpoint_count, address_count;
    bool limits_endpoints, limits_addresses; /* also to none */
    int64_t max_tokens;
    bool no_tools, no_stream, degrade;
};

struct section_team {
    struct slice name;
    bool all_models, disabled;
    const struct slice *models;
    size_t model_count;
    struct section_scope scope;
};

struct section_project {
    struct slice name, team;
    bool disabled;
};

struct section_user {
    struct slice name;
    bool service, disabled;
    const struct slice *teams;
    size_t team_count;
};

/* Which classes were given, by their bits: what was not is 0 here. */
struct section_rates {
    struct rates rates;
    uint32_t given; /* 1 << enum usage_class */
};
static inline void
section_rates_set(struct section_rates *r, enum usage_class c, picos_tok price)
{
    r->rates.of[c] = price;
    r->given |= UINT32_C(1) << c;
}
static inline bool
section_rates_has(const struct section_rates *r, enum usage_class c)
{
    return r->given >> c & 1;
}

struct section_variant {
    uint32_t service_tier;     /* enum service_tier */
    int64_t input_tokens_over; /* 0: of any input */
    struct section_rates rates;
};

struct section_role {
    struct slice name;
    bool all_models;
    const struct slice *models;
    size_t model_count;
    struct section_scope scope;
};

struct section_grant {
    struct slice user, role, team, project;
};

struct section_issuer_key {
    struct slice id, der;
    uint32_t kind; /* enum bearer_kind */
};

struct section_issuer {
    struct slice name, issuer, audience, team, team_claim, user_claim;
    bool all_models, disabled;
    const struct slice *models;
    size_t model_count;
    struct section_scope scope;
    const struct section_issuer_key *keys;
    size_t key_count;
};

struct section_price {
    struct slice provider, model, version;
    struct section_rates base; /* input and output always count as given */
    bool free;
    int64_t max_output_tokens; /* of an answer of the model; 0: not known */
    const struct section_variant *variants;
    size_t variant_count;
};

struct section_key {
    struct slice digest; /* 32 bytes */
    struct slice id;     /* 16 bytes, or empty */
    struct slice name, team, project, user;
    bool all_models, disabled, refuse_on_partition;
    const struct slice *models;
    size_t model_count;
    int64_t expires_ms;
    const struct section_pair *tags;
    size_t tag_count;
    struct section_scope scope;
    bool retired; /* an earlier secret: its name and id are there twice */
};

struct section_selector { /* empty: not given */
    struct slice key, user, team, project, model, provider, end_user;
    const struct section_pair *tags;
    size_t tag_count;
};

struct section_rate {
    struct slice metric;
    int64_t amount, window_ms;
};

struct section_quota {
    struct slice name, per;
    struct section_selector selector;
    bool shadow;
    const struct section_rate *rates;
    size_t rate_count;
};

struct section_budget {
    struct slice name, per, unit, period, time_zone, mode, on_unverifiable;
    struct section_selector selector;
    int64_t amount;
    const uint32_t *thresholds;
    size_t threshold_count;
};

/* --- writing: append one item of its section. 0, ERR_NOMEM, ERR_LIMIT ------------------------ */

MUST_CHECK int section_put_pepper(struct buf *into, struct slice sealed); /* "settings", whole */
MUST_CHECK int section_put_provider(struct buf *into, const struct section_provider *p);
MUST_CHECK int section_put_model(struct buf *into, const struct section_model *m);
MUST_CHECK int section_put_team(struct buf *into, const struct section_team *t);
MUST_CHECK int section_put_project(struct buf *into, const struct section_project *p);
MUST_CHECK int section_put_user(struct buf *into, const struct section_user *u);
MUST_CHECK int section_put_issuer(struct buf *into, const struct section_issuer *i);
MUST_CHECK int section_put_role(struct buf *into, const struct section_role *r);
MUST_CHECK int section_put_grant(struct buf *into, const struct section_grant *g);
MUST_CHECK int section_put_price_version(struct buf *into, struct slice version); /* of the list */
MUST_CHECK int section_put_price(struct buf *into, const struct section_price *p);
MUST_CHECK int section_put_quota(struct buf *into, const struct section_quota *q);
MUST_CHECK int section_put_budget(struct buf *into, const struct section_budget *b);
MUST_CHECK int section_put_key(struct buf *into, const struct section_key *k);

/* --- reading --------------------------------------------------------------------------------- */

enum section_item {
    SECTION_END,
    SECTION_PEPPER, /* of "settings"; the item is the sealed pepper itself */
    SECTION_PROVIDER,
    SECTION_MODEL,
    SECTION_TEAM,
    SECTION_PROJECT,
    SECTION_USER,
    SECTION_ISSUER,
    SECTION_ROLE,
    SECTION_GRANT,
    SECTION_PRICE_VERSION, /* the item is the text itself */
    SECTION_PRICE,
    SECTION_KEY,
    SECTION_QUOTA,
    SECTION_BUDGET,
};

/* The next known item of the section called `name` (unknown fields are passed over): which, and its
 * bytes (borrowed from *rest). SECTION_END at the end; ERR_SYNTAX (negative), ERR_LIMIT (an item
 * over LIMIT_ITEM_BYTES), ERR_NOT_FOUND (no section is called so). */
int section_next(struct slice name, struct slice *rest, struct slice *ret_item);

/* The digest of a key's item, without unpacking the rest: 0 or ERR_SYNTAX. */
MUST_CHECK int section_key_digest(struct slice item, unsigned char ret_digest[static 32]);

/* One item to its plain form; slices point into the arena. 0, or ERR_SYNTAX (malformed, or over the
 * arena's bound). */
MUST_CHECK int section_get_provider(struct slice item, struct arena *a,
                                    struct section_provider *ret);
MUST_CHECK int section_get_model(struct slice item, struct arena *a, struct section_model *ret);
MUST_CHECK int section_get_team(struct slice item, struct arena *a, struct section_team *ret);
MUST_CHECK int section_get_project(struct slice item, struct arena *a, struct section_project *ret);
MUST_CHECK int section_get_user(struct slice item, struct arena *a, struct section_user *ret);
MUST_CHECK int section_get_issuer(struct slice item, struct arena *a, struct section_issuer *ret);
MUST_CHECK int section_get_role(struct slice item, struct arena *a, struct section_role *ret);
MUST_CHECK int section_get_grant(struct slice item, struct arena *a, struct section_grant *ret);
MUST_CHECK int section_get_price(struct slice item, struct arena *a, struct section_price *ret);
MUST_CHECK int section_get_quota(struct slice item, struct arena *a, struct section_quota *ret);
MUST_CHECK int section_get_budget(struct slice item, struct arena *a, struct section_budget *ret);
MUST_CHECK int section_get_key(struct slice item, struct arena *a, struct section_key *ret);

#endif
