/* What passes between the planes: a snapshot made, signed, opened and compiled; messages of the
 * bus; usage records. */
#include "tests/fault/fault.h"

#include "lib/base/arena.h"
#include "lib/base/encode.h"
#include "lib/base/keyring.h"
#include "lib/base/rand.h"
#include "lib/control/bus.h"
#include "lib/control/section.h"
#include "lib/control/snapshot.h"
#include "lib/policy/compile.h"

#define KEY "sk-hg-fault"
#define SECTIONS 6

static const unsigned char seal_key[SEAL_KEY_BYTES] = "seal",
                           sign_secret[SIGN_SECRET_BYTES] = "sign";
static unsigned char sign_public_key[1][SIGN_PUBLIC_BYTES];

static struct keyring ring; /* of seal_key alone */

/* The sections in the order of their names. */
struct made {
    struct buf bytes[SECTIONS];
    struct section_ref refs[SECTIONS];
    struct buf envelope;
};

static int
put_sealed_pepper(struct buf *into)
{
    unsigned char sealed[6 + SEAL_OVERHEAD_BYTES];
    int e = keyring_seal(&ring, SLICE("pepper"), SLICE("pepper"), sealed);
    return e < 0 ? e : section_put_pepper(into, slice_make(sealed, sizeof(sealed)));
}

static int
put_key(struct buf *into)
{
    unsigned char digest[SHA256_BYTES], id[16] = {1};
    const struct section_pair tag = {SLICE("env"), SLICE("test")};
    struct hmac *h = hmac_new("pepper", 6);
    if (!h)
        return ERR_NOMEM;
    hmac_sha256(h, KEY, strlen(KEY), digest);
    hmac_free(h);
    const struct section_key k = {.digest = slice_make(digest, sizeof(digest)),
                                  .id = slice_make(id, sizeof(id)),
                                  .name = SLICE("ci"),
                                  .team = SLICE("research"),
                                  .all_models = true,
                                  .tags = &tag,
                                  .tag_count = 1};
    return section_put_key(into, &k);
}

static int
put_provider(struct buf *into)
{
    const struct section_pair header = {SLICE("x-a"), SLICE("b")};
    unsigned char sealed[2 + SEAL_OVERHEAD_BYTES];
    int e = keyring_seal(&ring, SLICE("provider/local"), SLICE("sk"), sealed);
    const struct section_provider p = {.name = SLICE("local"),
                                       .kind = SLICE("openai-compatible"),
                                       .base_url = SLICE("http://127.0.0.1:9000/v1"),
                                       .sealed_credential = slice_make(sealed, sizeof(sealed)),
                                       .allow_private = true,
                                       .headers = &header,
                                       .header_count = 1};
    return e < 0 ? e : section_put_provider(into, &p);
}

static int
put_model(struct buf *into)
{
    const struct section_target target = {SLICE("local"), SLICE("m1"), 3};
    const struct section_model m = {.name = SLICE("smart"),
                                    .strategy = SLICE("weighted"),
                                    .targets = &target,
                                    .target_count = 1};
    return section_put_model(into, &m);
}

static int
put_price(struct buf *into)
{
    const struct section_variant batch = {
        .service_tier = TIER_BATCH,
        .rates = {.rates = {.input = 1250000}, .given = 1 << CLASS_INPUT}};
    const struct section_price p = {.provider = SLICE("local"),
                                    .model = SLICE("m*"),
                                    .version = SLICE("v1"),
                                    .base.rates = {.input = 2500000, .output = 10000000},
                                    .variants = &batch,
                                    .variant_count = 1};
    int e = section_put_price_version(into, SLICE("2026-11"));
    return e < 0 ? e : section_put_price(into, &p);
}

static int
put_team(struct buf *into)
{
    const struct section_team t = {.name = SLICE("research"), .all_models = true};
    return section_put_team(into, &t);
}

static int
make_sections(struct made *m)
{
    static int (*const put[SECTIONS])(struct buf *) = {put_key,      put_model,         put_price,
                                                       put_provider, put_sealed_pepper, put_team};
    unsigned char digest[SHA256_BYTES];
    char shard[16] = "keys/";
    struct hmac *h = hmac_new("pepper", 6);
    if (!h)
        return ERR_NOMEM;
    hmac_sha256(h, KEY, strlen(KEY), digest);
    hmac_free(h);
    hex_encode(digest, 1, shard + 5);
    static char shard_name[16];
    memcpy(shard_name, shard, sizeof(shard_name));
    const char *const names[SECTIONS] = {shard_name,  "models",   "prices",
                                         "providers", "settings", "teams"};
    for (size_t i = 0; i < SECTIONS; i++) {
        int e = put[i](&m->bytes[i]);
        if (e < 0)
            return e;
        m->refs[i].name = slice_of(names[i]);
        m->refs[i].size = m->bytes[i].len;
        hash_sha256(m->bytes[i].at, m->bytes[i].len, m->refs[i].sha256);
    }
    return 0;
}

static int
make(struct made *m)
{
    *m = (struct made){0};
    int e = make_sections(m);
    const struct snapshot_root root = {.cluster_id = SLICE("c"),
                                       .epoch = 1,
                                       .version = 2,
                                       .created_ms = 1000,
                                       .not_before_ms = 1,
                                       .not_after_ms = INT64_MAX / 4,
                                       .sections = m->refs,
                                       .count = SECTIONS};
    return e < 0 ? e : snapshot_sign(&root, sign_secret, &m->envelope);
}

static void
free_made(struct made *m)
{
    for (size_t i = 0; i < SECTIONS; i++)
        buf_free(&m->bytes[i]);
    buf_free(&m->envelope);
}

static int
publish(void)
{
    struct made m;
    int e = make(&m);
    free_made(&m);
    return e;
}

static void
test_publishing(void **state)
{
    (void)state;
    fault_replay(publish);
}

static struct made published; /* for the reading side */

static int
open_snapshot(void)
{
    const struct snapshot_trust trust = {
        .public_keys = (const unsigned char(*)[SIGN_PUBLIC_BYTES])sign_public_key,
        .key_count = 1,
        .cluster_id = SLICE("c"),
        .now_wall_ms = 2000,
    };
    struct snapshot_root root;
    struct arena a;
    arena_init(&a, 0);
    enum snapshot_refusal r = snapshot_open(buf_slice(&published.envelope), &trust, &a, &root);
    for (size_t i = 0; r == SNAPSHOT_FINE && i < root.count; i++)
        r = snapshot_check_section(&root.sections[i], buf_slice(&published.bytes[i]));
    arena_free(&a);
    /* without memory the signature may not be verifiable: then it is refused, never taken */
    assert_true(r == SNAPSHOT_FINE || r == SNAPSHOT_NOMEM || r == SNAPSHOT_AUTH ||
                r == SNAPSHOT_TORN);
    return r == SNAPSHOT_FINE ? 0 : ERR_NOMEM;
}

static void
test_opening_a_snapshot(void **state)
{
    (void)state;
    fault_replay(open_snapshot);
}

static int
compile_after(const struct policy *previous, struct policy **ret_policy)
{
    struct policy_section sections[SECTIONS];
    struct buf why;
    buf_init(&why, 4096);
    for (size_t i = 0; i < SECTIONS; i++) {
        sections[i].name = published.refs[i].name;
        sections[i].bytes = buf_slice(&published.bytes[i]);
        memcpy(sections[i].digest, published.refs[i].sha256, SHA256_BYTES);
    }
    const struct policy_input in = {1, 2, 3, sections, SECTIONS, previous, &ring};
    int e = policy_compile(&in, ret_policy, &why);
    buf_free(&why);
    return e;
}

static int
compile_and_find(void)
{
    struct policy *p = NULL, *next = NULL;
    struct policy_key key;
    struct policy_model model;
    struct policy_target target;
    int e = compile_after(NULL, &p);
    if (e < 0) {
        assert_null(p);
        return e;
    }
    assert_non_null(policy_find_key(p, SLICE(KEY), &key));
    assert_null(policy_find_key(p, SLICE("sk-hg-other"), &key));
    const struct policy_model *m = policy_find_model(p, SLICE("smart"), &model, &target);
    assert_non_null(m);
    assert_true(slice_is(secret_reveal(&m->targets[0].provider->credential), "sk"));
    e = compile_after(p, &next); /* shares what did not change */
    policy_unref(p);
    if (e == 0)
        assert_non_null(policy_find_key(next, SLICE(KEY), &key));
    policy_unref(next);
    return e;
}

static void
test_compiling_a_policy(void **state)
{
    (void)state;
    fault_replay(compile_and_find);
}

/* --- messages --- ----------------------------------------------------------------------------- */

static const struct policy_tag tags[] = {{SLICE("env"), SLICE("test")}};

static struct usage
a_record(void)
{
    return (struct usage){.sequence = 7,
                          .attempt_id = {1, 2, 3},
                          .request_id = SLICE("req"),
                          .attempt_no = 1,
                          .key = SLICE("ci"),
                          .team = SLICE("research"),
                          .model = SLICE("smart"),
                          .provider = SLICE("local"),
                          .outcome = USAGE_DONE,
                          .tokens = {.input = 10, .output = 20},
                          .cost = 123,
                          .tags = tags,
                          .tag_count = 1};
}

static int
pass_requests(void)
{
    unsigned char record[LIMIT_USAGE_BYTES];
    size_t len = 0;
    struct usage u = a_record();
    struct bus_request r = {.from = {SLICE("n"), SLICE("h"), SLICE("b"), 0, 1, 2},
                            .kind = BUS_USAGE};
    struct bus_request back;
    struct buf b;
    struct arena a;
    arena_init(&a, 0);
    buf_init(&b, 0);
    assert_int_equal(usage_encode(&u, record, sizeof(record), &len), 0); /* allocates nothing */
    struct slice records[2] = {slice_make(record, len), slice_make(record, len)};
    r.usage = (struct usage_batch){.last_sequence = 8, .records = records, .count = 2};
    int e = bus_request_encode(&r, &b);
    if (e == 0)
        e = bus_request_decode(buf_slice(&b), &a, &back);
    if (e == 0) {
        assert_int_equal(back.usage.count, 2);
        e = usage_decode(back.usage.records[1], &a, &u);
    }
    if (e == 0)
        assert_int_equal(u.tokens.output, 20);
    buf_free(&b);
    arena_free(&a);
    return e;
}

static void
test_usage_on_the_bus(void **state)
{
    (void)state;
    fault_replay(pass_requests);
}

static int
pass_replies(void)
{
    struct bus_reply r = {
        .status = BUS_OK, .message = SLICE("fine"), .envelope = buf_slice(&published.envelope)};
    struct bus_announcement n = {SLICE("c"), 1, 2, {0}};
    struct buf b;
    struct arena a;
    arena_init(&a, 0);
    buf_init(&b, 0);
    int e = bus_reply_encode(&r, &b);
    if (e == 0)
        e = bus_reply_decode(buf_slice(&b), &a, &r);
    if (e == 0)
        assert_true(slice_eq(r.envelope, buf_slice(&published.envelope)));
    buf_clear(&b);
    if (e == 0)
        e = bus_announcement_encode(&n, &b);
    if (e == 0)
        e = bus_announcement_decode(buf_slice(&b), &a, &n);
    buf_free(&b);
    arena_free(&a);
    return e;
}

static void
test_replies_on_the_bus(void **state)
{
    (void)state;
    fault_replay(pass_replies);
}

static int
set_up(void **state)
{
    (void)state;
    ring = keyring_of(seal_key);
    int e = make(&published);
    return e == 0 ? sign_public(sign_secret, sign_public_key[0]) : e;
}

static int
tear_down(void **state)
{
    (void)state;
    free_made(&published);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publishing),         cmocka_unit_test(test_opening_a_snapshot),
        cmocka_unit_test(test_compiling_a_policy), cmocka_unit_test(test_usage_on_the_bus),
        cmocka_unit_test(test_replies_on_the_bus),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
