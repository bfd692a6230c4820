/*
 * What a compiled policy is made of. Three kinds of parts are counted apart, so that generations
 * share what did not change:
 *
 *   core     settings, providers, prices and models: they point at each other; rebuilt together
 *   people   teams, projects and users
 *   binding  one shard of keys (packed, with names) and what its names mean among the people
 *
 * Parts are immutable once compiled. Their counts are atomic: a helper thread compiles the next
 * generation while the loop uses this one.
 */
#ifndef LIB_POLICY_INTERNAL_H
#define LIB_POLICY_INTERNAL_H

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/control/section.h"
#include "lib/policy/compile.h"

#include <stdatomic.h>

#define KEY_SHARDS 256
#define LIMIT_NAME_BYTES 200
#define LIMIT_ITEMS 1000000 /* of any one list */

/* --- core ---------------------------------------------------------------------------------- */

enum core_section { CORE_MODELS, CORE_PRICES, CORE_PROVIDERS, CORE_SETTINGS, CORE_SECTIONS };

struct price_glob {
    struct slice pattern; /* ends in '*' */
    const struct policy_price *price;
};

/* All prices given under one name: a provider's, or "kind:openai". */
struct price_group {
    struct slice name;
    struct map exact;         /* model -> const struct policy_price */
    struct price_glob *globs; /* longest first */
    size_t count;
};

struct policy_core {
    atomic_uint refs;
    struct arena arena;
    unsigned char digests[CORE_SECTIONS][SHA256_BYTES];
    struct slice bytes[CORE_SECTIONS]; /* kept: one that changes needs the others again */
    bool opened;                       /* compiled with the seal keys*/
    struct hmac *pepper;               /* NULL while closed */
    struct policy_provider *providers;
    size_t provider_count;
    struct map provider_by_name;
    struct map groups;                      /* name -> struct price_group */
    const struct price_group **own, **book; /* by provider index; NULL: none */
    struct policy_model *models;            /* by name */
    size_t model_count;
    struct map model_by_name;
};

/* Everything of the four sections. 0 or an error with its place in *why. */
MUST_CHECK int core_compile(const struct slice bytes[static CORE_SECTIONS],
                            const struct keyring *keys, struct policy_core **ret_core,
                            struct buf *why);
void core_unref(struct policy_core *c);
const char *core_section_name(enum core_section s);

/* The parts of core_compile, by file: providers.c, prices.c, price.c, models.c. */
MUST_CHECK int providers_compile(struct policy_core *c, const struct keyring *keys,
                                 struct buf *why);
void providers_free(struct policy_core *c);
MUST_CHECK int prices_compile(struct policy_core *c, struct buf *why);
void prices_free(struct policy_core *c);
const struct policy_price *prices_find(const struct policy_core *c,
                                       const struct policy_provider *provider, struct slice model);
/* A price's rates for all circumstances, from what was given (price.c). 0, ERR_LIMIT (too many
 * thresholds), ERR_NOMEM. */
MUST_CHECK int price_fill(struct policy_price *to, const struct section_price *p, struct arena *a);

/* Other names of a model in the built-in book (book_name.c). */

/* Without what its kind of provider puts before a name: "us.anthropic.x" of Bedrock. */
struct slice book_name_plain(enum provider_kind kind, struct slice model);
/* Without a date at its end, "gpt-4o-2024-08-06", "claude-opus-4@20250514"; else the name. */
struct slice book_name_undated(struct slice model);
/* Whether a book of this version ("builtin-2026-08-21") can know a model of the date at the name's
 * end: one that came later may cost anything. */
bool book_knows(struct slice version, struct slice model);

MUST_CHECK int models_compile(struct policy_core *c, struct buf *why);

/* --- people -------------------------------------------------------------------------------- */

struct policy_project {
    struct slice name;
    const struct policy_team *team;
    bool disabled;
};

struct policy_user {
    struct slice name;
    bool disabled;
    struct policy_grant *grants;
    size_t grant_count, grant_cap;
};

struct policy_people {
    atomic_uint refs;
    struct arena arena;
    unsigned char digest[SHA256_BYTES];
    struct map teams, projects, users, roles; /* by name */
    struct map issuers;                       /* by their claim */
    struct policy_issuer **issuer_list;
    size_t issuer_count;
};

/* issuers.c */
MUST_CHECK int issuers_compile(struct policy_people *p, struct slice bytes, struct buf *why);
void issuers_free(struct policy_people *p);

/* roles.c: after the teams, projects and users */
MUST_CHECK int roles_compile(struct policy_people *p, struct slice bytes, struct buf *why);

MUST_CHECK int people_compile(struct slice bytes, struct policy_people **ret_people,
                              struct buf *why);
void people_unref(struct policy_people *p);

/* --- scopes: scope.c ------------------------------------------------------------------------ */

/* NULL, or what is wrong with it. */
const char *scope_problem(const struct section_scope *s);
/* Appends the packed form of a good one; nothing when it has no limits. 0 or ERR_NOMEM. */
MUST_CHECK int scope_pack(struct buf *to, const struct section_scope *s);

/* --- keys ---------------------------------------------------------------------------------- */

struct key_shard;
struct key_binding;

/* A list of texts as records have it, walked by policy_key_model(). 0 or ERR_NOMEM. */
MUST_CHECK int texts_pack(struct buf *to, const struct slice *texts, size_t count);
/* A shard's section, packed. `number` is the first byte of every digest in it. */
MUST_CHECK int shard_compile(struct slice bytes, unsigned number, struct key_shard **ret_shard,
                             struct buf *why);
struct key_shard *shard_ref(struct key_shard *s);
void shard_unref(struct key_shard *s);
size_t shard_count(const struct key_shard *s);
size_t shard_memory(const struct key_shard *s); /* bytes it occupies */
void shard_settle(const struct key_shard *s);   /* see policy_settle() */

/* Names to people: takes the shard's reference, also on failure. digest: of its section. */
MUST_CHECK int binding_make(struct key_shard *shard, unsigned number,
                            const unsigned char digest[static SHA256_BYTES],
                            struct policy_people *people, struct key_binding **ret_binding,
                            struct buf *why);
struct key_binding *binding_ref(struct key_binding *b);
void binding_unref(struct key_binding *b);
struct key_shard *binding_shard(const struct key_binding *b); /* borrowed */
const unsigned char *binding_digest(const struct key_binding *b);
/* Fills *ret and returns true when the digest is there. */
bool binding_find(const struct key_binding *b, const unsigned char digest[static SHA256_BYTES],
                  struct policy_key *ret);

/* --- limits -------------------------------------------------------------------------------- */

struct policy_limits;

/* Looks at core while it compiles: limits are made anew when it changes. */
MUST_CHECK int limits_compile(struct slice bytes, const struct policy_core *core,
                              struct policy_limits **ret_limits, struct buf *why);
struct policy_limits *limits_ref(struct policy_limits *p);
void limits_unref(struct policy_limits *p);
bool limits_are(const struct policy_limits *p, const unsigned char digest[static SHA256_BYTES]);
struct slice limits_bytes(const struct policy_limits *p); /* what they were compiled from */

/* --- all together -------------------------------------------------------------------------- */

struct policy {
    atomic_uint refs;
    uint64_t epoch, version, revision;
    struct policy_core *core;
    struct policy_people *people;
    struct policy_limits *limits;             /* NULL: a root without them */
    struct key_binding *bindings[KEY_SHARDS]; /* NULL: an empty shard */
    size_t key_count;
};

/* --- refusing ------------------------------------------------------------------------------ */

/* Sets the message and returns err. */
int refuse(struct buf *why, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A name of configuration: 1..200 bytes, valid UTF-8, no control characters. */
bool name_is_valid(struct slice name);
/* Walks a section's items of one kind; `at` counts them. Returns 1 with the item, 0 at the end, or
 * an error with the place in *why. */
struct item_walk {
    const char *section;
    enum section_item kind;
    struct slice rest;
    size_t at; /* index of the item last given */
    size_t next;
};
int item_next(struct item_walk *w, struct slice *ret_item, struct buf *why);
/* Where an item stands, for what is said of it. list: "roles"; the taker fills in the name. */
struct place {
    const char *list;
    size_t at;
    struct slice name;
    struct buf *why;
};
#define BAD(place_, err, format, ...)                                                              \
    refuse((place_)->why, (err), "%s[%zu] '%.*s': " format, (place_)->list, (place_)->at,          \
           SLICE_ARG((place_)->name), ##__VA_ARGS__)
/* scratch is empty again for the next item. */
typedef int item_take(void *ctx, struct place *at, struct slice item, struct arena *scratch);
/* Each item of a kind in a section, until one is refused: that error, or 0. */
MUST_CHECK int each_item(const char *section, struct slice bytes, enum section_item kind,
                         const char *list, item_take *take, void *ctx, struct buf *why);

#endif
