/* A configuration as sections, in memory: what tests of the compiler, of the disk, of the follower
 * and of the bus begin from. Included after tests/unit/check.h. */
#ifndef TESTS_UNIT_LIB_POLICY_SNAPSHOT_FIXTURE_H
#define TESTS_UNIT_LIB_POLICY_SNAPSHOT_FIXTURE_H

#include "lib/base/rand.h"
#include "lib/control/section.h"
#include "lib/control/snapshot.h"
#include "lib/policy/compile.h"

#define FIXTURE_SECTIONS 262

static const unsigned char fixture_seal_key[SEAL_KEY_BYTES] = "a seal key of thirty-two bytes!";
static inline const struct keyring *
fixture_keys(void)
{
    static struct keyring ring;

    if (ring.count == 0)
        ring = keyring_of(fixture_seal_key);
    return &ring;
}

static const char fixture_pepper[] = "pepper of the tests";
#define FIXTURE_CLUSTER "cluster-of-the-tests"

/* Sections by name, in the order of a root: 256 shards, then the others. */
struct fixture {
    struct buf shards[256];
    struct buf models, prices, providers, settings, teams;
    struct buf limits; /* empty: the root has no such section */
    struct policy_section list[FIXTURE_SECTIONS];
    struct section_ref refs[FIXTURE_SECTIONS];
    char names[FIXTURE_SECTIONS][12];
    size_t count;
};

static inline void
fixture_digest(const char *key, unsigned char ret[static SHA256_BYTES])
{
    struct hmac *h = hmac_new(fixture_pepper, strlen(fixture_pepper));

    hmac_sha256(h, key, strlen(key), ret);
    hmac_free(h);
}

static inline void
fixture_seal(struct buf *into, const char *context, const char *plain)
{
    unsigned char sealed[512];

    assert_int_equal(keyring_seal(fixture_keys(), slice_of(context), slice_of(plain), sealed), 0);
    assert_int_equal(buf_add(into, sealed, strlen(plain) + SEAL_OVERHEAD_BYTES), 0);
}

/* Keys are appended as they come: those of one shard must be added in the order of their digests.
 */
static inline void
fixture_put_key(struct fixture *f, const struct section_key *k)
{
    assert_int_equal(section_put_key(&f->shards[(unsigned char)k->digest.at[0]], k), 0);
}

/* One key "sk-NAME" of a team. */
static inline void
fixture_add_key(struct fixture *f, const char *name, const char *team)
{
    unsigned char digest[SHA256_BYTES];
    char text[64];

    snprintf(text, sizeof(text), "sk-%s", name);
    fixture_digest(text, digest);
    fixture_put_key(f, &(struct section_key){.digest = slice_make(digest, sizeof(digest)),
                                             .name = slice_of(name),
                                             .team = slice_of(team),
                                             .id = SLICE("0123456789abcdef"),
                                             .all_models = true});
}

static inline void
fixture_add_provider(struct fixture *f, const char *name, const char *kind, const char *url)
{
    struct buf sealed;
    char context[64];

    buf_init(&sealed, 0);
    snprintf(context, sizeof(context), "provider/%s", name);
    fixture_seal(&sealed, context, "sk-upstream");
    assert_int_equal(
        section_put_provider(&f->providers,
                             &(struct section_provider){.name = slice_of(name),
                                                        .kind = slice_of(kind),
                                                        .base_url = slice_of(url),
                                                        .sealed_credential = buf_slice(&sealed)}),
        0);
    buf_free(&sealed);
}

static inline void
fixture_add_model(struct fixture *f, const char *name, const char *provider, const char *model)
{
    struct section_target t = {slice_of(provider), slice_of(model), 1};

    assert_int_equal(section_put_model(&f->models, &(struct section_model){.name = slice_of(name),
                                                                           .targets = &t,
                                                                           .target_count = 1}),
                     0);
}

static inline void
fixture_add_team(struct fixture *f, const char *name)
{
    assert_int_equal(section_put_team(&f->teams, &(struct section_team){.name = slice_of(name),
                                                                        .all_models = true}),
                     0);
}

static inline void
fixture_add_price(struct fixture *f, const char *provider, const char *model, int64_t input,
                  int64_t output)
{
    assert_int_equal(
        section_put_price(&f->prices, &(struct section_price){.provider = slice_of(provider),
                                                              .model = slice_of(model),
                                                              .version = SLICE("v1"),
                                                              .base.rates =
                                                                  {
                                                                      .input = input,
                                                                      .output = output,
                                                                  }}),
        0);
}

/* Nothing but the pepper. */
static inline void
fixture_init_empty(struct fixture *f)
{
    struct buf sealed;

    memset(f, 0, sizeof(*f));
    buf_init(&sealed, 0);
    fixture_seal(&sealed, "pepper", fixture_pepper);
    assert_int_equal(section_put_pepper(&f->settings, buf_slice(&sealed)), 0);
    buf_free(&sealed);
}

/* Two providers, two models, two teams, two keys, prices. */
static inline void
fixture_init(struct fixture *f)
{
    fixture_init_empty(f);
    fixture_add_provider(f, "local", "openai-compatible", "http://127.0.0.1:9000/v1");
    fixture_add_provider(f, "sim", "simulator", "");
    fixture_add_model(f, "smart", "local", "m1");
    fixture_add_model(f, "toy", "sim", "simulator");
    fixture_add_team(f, "red");
    fixture_add_team(f, "blue");
    fixture_add_price(f, "local", "m1", 2500000, 10000000);
    fixture_add_price(f, "kind:simulator", "*", 1, 2);
    fixture_add_key(f, "one", "red");
    fixture_add_key(f, "two", "blue");
}

static inline void
fixture_free(struct fixture *f)
{
    for (size_t i = 0; i < 256; i++)
        buf_free(&f->shards[i]);
    buf_free(&f->models);
    buf_free(&f->prices);
    buf_free(&f->providers);
    buf_free(&f->settings);
    buf_free(&f->teams);
    buf_free(&f->limits);
}

static inline void
fixture_list_one(struct fixture *f, const char *name, const struct buf *bytes)
{
    struct policy_section *s = &f->list[f->count];

    snprintf(f->names[f->count], sizeof(f->names[0]), "%s", name);
    s->name = slice_of(f->names[f->count]);
    s->bytes = bytes->len ? buf_slice(bytes) : SLICE("");
    hash_sha256(s->bytes.at, s->bytes.len, s->digest);
    f->refs[f->count] = (struct section_ref){.name = s->name, .size = s->bytes.len};
    memcpy(f->refs[f->count].sha256, s->digest, SHA256_BYTES);
    f->count++;
}

/* Fills list and refs from the buffers, in the order of names; empty shards are left out. */
static inline void
fixture_list(struct fixture *f)
{
    char name[12];

    f->count = 0;
    for (unsigned i = 0; i < 256; i++) {
        snprintf(name, sizeof(name), "keys/%02x", i);
        if (f->shards[i].len)
            fixture_list_one(f, name, &f->shards[i]);
    }
    if (f->limits.len)
        fixture_list_one(f, "limits", &f->limits);
    fixture_list_one(f, "models", &f->models);
    fixture_list_one(f, "prices", &f->prices);
    fixture_list_one(f, "providers", &f->providers);
    fixture_list_one(f, "settings", &f->settings);
    fixture_list_one(f, "teams", &f->teams);
}

static inline int
fixture_compile(struct fixture *f, const struct policy *previous, struct policy **ret,
                struct buf *why)
{
    struct policy_input in = {
        .epoch = 1, .version = 1, .revision = 1, .previous = previous, .keys = fixture_keys()};

    fixture_list(f);
    in.sections = f->list;
    in.count = f->count;
    return policy_compile(&in, ret, why);
}

/* Must compile. */
static inline struct policy *
fixture_policy(struct fixture *f, const struct policy *previous)
{
    struct policy *p = NULL;
    struct buf why;

    buf_init(&why, 0);
    if (fixture_compile(f, previous, &p, &why) != 0)
        fail_msg("does not compile: %s", buf_str(&why));
    buf_free(&why);
    return p;
}

/* Signed as (epoch, version), appended. The sections are those of the last fixture_list(). */
static inline void
fixture_sign(const struct fixture *f, const unsigned char *sign_secret, uint64_t epoch,
             uint64_t version, struct buf *envelope)
{
    struct snapshot_root root = {.cluster_id = SLICE(FIXTURE_CLUSTER),
                                 .epoch = epoch,
                                 .version = version,
                                 .revision = version,
                                 .created_ms = 1700000000000,
                                 .sections = f->refs,
                                 .count = f->count};

    assert_int_equal(snapshot_sign(&root, sign_secret, envelope), 0);
}

#endif
