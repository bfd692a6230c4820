/*
 * The compiled policy: immutable, counted, shared by nothing but pointers. Both planes compile it
 * with the same code; a worker swaps one pointer, a request pins the one it started with.
 *
 * Sections that did not change are shared between generations (counted apart), so one changed key
 * among a million rebuilds one shard.
 */
#ifndef LIB_POLICY_POLICY_H
#define LIB_POLICY_POLICY_H

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/money.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"
#include "lib/policy/provider_kinds.h"
#include "lib/policy/rates.h"

#include <stdbool.h>
#include <stdint.h>

struct policy; /* opaque; accessors below */

struct policy_header {
    struct slice name, value;
};

/* Which of OpenAI's two APIs a server of its shape is asked in. */
enum provider_api {
    PROVIDER_API_DEFAULT, /* as its kind has it */
    PROVIDER_API_CHAT,
    PROVIDER_API_RESPONSES,
    PROVIDER_API_BOTH, /* clients of each in their own, all others in chat completions */
};

struct policy_provider {
    struct slice name;
    enum provider_kind kind;
    bool https;
    struct slice host; /* terminated */
    int port;
    struct slice path; /* prefix, no trailing slash: "/v1" */
    bool allow_private;
    int http;                                                  /* 0: automatic, 1, 2 */
    int connect_ms, first_byte_ms, between_bytes_ms, total_ms; /* 0: default */
    bool drain_on_disconnect;
    enum provider_api api;
    bool allow_private_media; /* URLs in requests may name private addresses */
    struct slice region, project, location, api_version; /* empty: not given */
    struct secret credential; /* opened; empty: none. Only in a worker (control plane: empty) */
    const struct policy_header *headers;
    size_t header_count;
    size_t index;                       /* 0..policy_provider_count-1, the order of names */
    unsigned char config[SHA256_BYTES]; /* of all that is configured of it */
};

struct policy_price {
    struct slice version;
    struct rates rates; /* of ordinary circumstances; all filled in */
    bool free;
    int64_t max_output_tokens; /* of an answer; 0: not known */
    /* Where others apply in other circumstances, all of them filled in, by tier and by how many of
     * the thresholds are passed: variants[tier * (level_count + 1) + level]. NULL: none. */
    const struct rates *variants;
    size_t level_count;
    int64_t over[LIMIT_PRICE_LEVELS]; /* input tokens, ascending */
};

struct policy_target {
    const struct policy_provider *provider;
    struct slice model; /* the provider's own name */
    uint32_t weight;
    const struct policy_price *price; /* NULL: unpriced */
};

enum route_strategy { ROUTE_WEIGHTED = 1, ROUTE_PRIORITY };

/* To whom an answer may be given again. */
enum cache_scope { CACHE_TEAM = 1, CACHE_PROJECT, CACHE_USER, CACHE_KEY };

#define MOST_CACHE_TTL_S 86400 /* older than a day is no answer to the question any more */

struct policy_cache {
    enum cache_scope scope;
    int64_t ttl_ms;
    unsigned char config[SHA256_BYTES]; /* of the model and its targets' providers: as answers were
                                           made */
};

struct policy_model {
    struct slice name;
    enum route_strategy strategy;
    bool free;
    const struct policy_target *targets;
    size_t count;
    uint64_t weights; /* their sum */
    int64_t created_unix_s;
    const struct policy_cache *cache; /* NULL: no answer is given again */
};

struct policy_team {
    struct slice name;
    struct slice scope; /* packed: policy_scope_read() */
    bool disabled;
    bool all_models;
    const struct slice *models; /* names and globs */
    size_t count;
};

struct policy_tag {
    struct slice name, value;
};

/* What a role lets its holders ask of models. */
struct policy_role {
    struct slice name;
    struct slice scope; /* packed: policy_scope_read() */
    bool all_models;
    const struct slice *models; /* names and globs */
    size_t count;
};

/* What a key's or a team's requests are limited to, beside models: both must allow. */
struct policy_scope {
    int64_t max_tokens; /* of an answer; 0: no limit */
    bool tools, stream; /* allowed */
    bool degrade;       /* what a provider cannot do may be left out (either may allow it) */
    struct slice endpoints, addresses; /* packed; at == NULL: not limited */
};
/* packed: of a key or team; "": no limits. */
void policy_scope_read(struct slice packed, struct policy_scope *ret);
/* What a request can be for, as scopes and records name it: "chat.completions", ...; NULL at the
 * end. */
extern const char *const policy_endpoint_names[];
bool policy_scope_has_endpoint(const struct policy_scope *s, struct slice name);
/* A numeric address, as http_peer() gives it. */
bool policy_scope_has_address(const struct policy_scope *s, struct slice address);

#define LIMIT_SCOPE_LIST 64  /* endpoints, or addresses, of one key or team */
#define LIMIT_KEY_MODELS 256 /* names and globs one key may list */
#define LIMIT_KEY_TAGS 32

/* A key as the request sees it: unpacked by policy_find_key() (a worker holds a million of them
 * packed, at about 100 bytes each). All slices point into the policy, but for id, which points into
 * this struct: do not copy it. */
struct policy_key {
    unsigned char digest[SHA256_BYTES];
    struct slice name, id, project, user; /* id: uuid text */
    const struct policy_team *team;
    bool all_models;
    bool disabled; /* the key itself, its project or its user; for the team see team->disabled */
    bool refuse_on_partition;
    struct slice models; /* packed names and globs: policy_key_model() */
    size_t model_count;
    int64_t expires_ms; /* 0: never */
    struct slice tags;  /* packed: policy_key_tag() */
    size_t tag_count;
    struct slice scope; /* packed: policy_scope_read() */
    /* Of the user who holds it: the roles that say what may be asked of models, wherever they are
     * bound. None: the roles say nothing, and key and team decide. */
    const struct policy_grant *grants;
    size_t grant_count;
    char id_text[37];
};

/* A role that somebody has, and where. */
struct policy_grant {
    const struct policy_role *role;
    const struct policy_team *team; /* NULL: everywhere */
    struct slice project;           /* empty: all of the team */
};

struct bearer; /* lib/sign/bearer.h */
struct bearer_key;

#define LIMIT_ISSUER_KEYS 32

struct policy_issuer_key {
    struct slice id;
    struct bearer_key *key;
};

/* Whose signed tokens are taken instead of keys. */
struct policy_issuer {
    struct slice name, issuer, audience; /* name: "jwt:NAME", for records */
    const struct policy_team *team;      /* NULL: team_claim says */
    struct slice team_claim, user_claim; /* terminated */
    bool disabled, all_models;
    struct slice models, scope; /* packed, as a key's */
    size_t model_count;
    struct policy_issuer_key *keys;
    size_t key_count;
};

struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p); /* NULL is fine */
uint64_t policy_epoch(const struct policy *p);
uint64_t policy_version(const struct policy *p);
uint64_t policy_revision(const struct policy *p);

/* HMAC-SHA-256 of a presented key under the pepper, then a look-up of the whole digest, compared in
 * constant time. Fills and returns *scratch (valid while the policy is held), or NULL: no such key.
 * A disabled or expired one is returned: the caller decides. Not thread-safe for one policy. */
const struct policy_key *policy_find_key(const struct policy *p, struct slice presented,
                                         struct policy_key *scratch);
/* Walk the packed lists: start with *cursor = 0; false at the end. */
bool policy_key_model(const struct policy_key *key, size_t *cursor, struct slice *ret_pattern);
bool policy_key_tag(const struct policy_key *key, size_t *cursor, struct policy_tag *ret_tag);
size_t policy_key_count(const struct policy *p);
/* Puts very many keys on large pages, which halves what a look-up among them takes. Takes some
 * milliseconds: for a helper thread, or before there is traffic. */
void policy_settle(const struct policy *p);

/* By the claim iss; NULL: not one of ours. */
const struct policy_issuer *policy_find_issuer(const struct policy *p, struct slice issuer);
const struct policy_team *policy_find_team(const struct policy *p, struct slice name);
/* Whether there is a user of this name that is disabled. */
bool policy_user_is_disabled(const struct policy *p, struct slice name);
/* Who holds a key that was not found here (a token's): its grants. */
void policy_set_holder(const struct policy *p, struct slice user, struct policy_key *key);
/* The next of the holder's roles that counts where the key belongs; start with *cursor = 0. NULL:
 * there is none any more. A request needs one role that allows all of it, when grant_count > 0. */
const struct policy_role *policy_key_role(const struct policy_key *key, size_t *cursor);
bool policy_role_has_model(const struct policy_role *role, struct slice model_name);

/* A configured model by name, else "provider/model" naming a provider directly. The second kind is
 * written into *scratch (with its one target in scratch_target) and returned. NULL: unknown. */
const struct policy_model *policy_find_model(const struct policy *p, struct slice name,
                                             struct policy_model *scratch,
                                             struct policy_target *scratch_target);
/* Whether key and team both allow the name as the client spelt it, and some role of the holder's.
 */
bool policy_may_use(const struct policy_key *key, struct slice model_name);
/* "gpt-*" against "gpt-4o": '*' matches any run of bytes. Linear time. */
bool glob_match(struct slice pattern, struct slice text);

/* Configured models in the order of names. */
const struct policy_model *policy_model_at(const struct policy *p, size_t index);
size_t policy_model_count(const struct policy *p);
const struct policy_provider *policy_provider_at(const struct policy *p, size_t index);
size_t policy_provider_count(const struct policy *p);
const struct policy_provider *policy_find_provider(const struct policy *p, struct slice name);
/* The price of a provider's model: the file's rows first (exact, then longest glob), then the
 * built-in book of the provider's kind. NULL: unpriced. */
const struct policy_price *policy_find_price(const struct policy *p,
                                             const struct policy_provider *provider,
                                             struct slice model);

/* The rates that apply under the circumstances: what is recorded with the use. */
const struct rates *policy_rates(const struct policy_price *price, const struct circumstances *c);
/* Exact cost by those rates: 0 or ERR_RANGE (a negative count or an overflow). */
MUST_CHECK int policy_cost(const struct policy_price *price, const struct circumstances *c,
                           const struct tokens *t, nanos *ret_cost);
/* No request costs more that stays within `most`: what may come in as text (fresh or of the cache)
 * is its input, what may go out as text or reasoning its output, and each other class is its own
 * bound. For a plain request these are the body's bytes and the limit of the output. The dearest of
 * all rates counts that could apply: of this tier (SERVICE_TIERS: of any), and up to the threshold
 * that so much input passes. 0 or ERR_RANGE. */
MUST_CHECK int policy_cost_bound(const struct policy_price *price, enum service_tier tier,
                                 const struct tokens *most, nanos *ret_bound);

#endif
