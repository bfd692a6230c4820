#include "tests/unit/check.h"

#include "lib/control/wire.h"
#include "proto/snapshot.pb-c.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

/* --- helpers ------------------------------------------------------------------------------- */

static void
expect_refusal(struct fixture *f, int err, const char *message)
{
    struct policy *p = NULL;
    struct buf why;
    int got;

    buf_init(&why, 0);
    got = fixture_compile(f, NULL, &p, &why);
    if (got != err || !strstr(buf_str(&why), message))
        fail_msg("got %s '%s', want %s '%s'", err_name(got), buf_str(&why), err_name(err), message);
    assert_null(p);
    buf_free(&why);
    fixture_free(f);
}

static const struct policy_key *
find_key(const struct policy *p, const char *text, struct policy_key *scratch)
{
    return policy_find_key(p, slice_of(text), scratch);
}

/* --- what compiles ------------------------------------------------------------------------- */

static void
test_everything_is_found(void **state)
{
    struct policy_model scratch;
    struct policy_target target;
    const struct policy_provider *provider;
    const struct policy_model *m;
    struct policy_key k;
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init(&f);
    p = fixture_policy(&f, NULL);
    provider = policy_find_provider(p, SLICE("local"));
    assert_slice_is(provider->host, "127.0.0.1");
    assert_int_equal(provider->port, 9000);
    assert_slice_is(provider->path, "/v1");
    assert_false(provider->https);
    assert_slice_is(secret_reveal(&provider->credential), "sk-upstream");
    assert_int_equal(policy_provider_count(p), 2);
    assert_ptr_equal(policy_provider_at(p, provider->index), provider);
    m = policy_find_model(p, SLICE("smart"), &scratch, &target);
    assert_int_equal(m->count, 1);
    assert_ptr_equal(m->targets[0].provider, provider);
    assert_int_equal(m->targets[0].price->rates.input, 2500000);
    assert_int_equal(policy_model_count(p), 2);
    assert_slice_is(policy_model_at(p, 0)->name, "smart");
    assert_null(policy_model_at(p, 2));
    assert_non_null(find_key(p, "sk-one", &k));
    assert_slice_is(k.name, "one");
    assert_slice_is(k.team->name, "red");
    assert_slice_is(k.id, "30313233-3435-3637-3839-616263646566");
    assert_null(find_key(p, "sk-on", &k));
    assert_null(find_key(p, "", &k));
    assert_int_equal(policy_key_count(p), 2);
    policy_unref(p);
    fixture_free(&f);
}

static void
test_provider_is_addressed_directly(void **state)
{
    struct policy_model scratch;
    struct policy_target target;
    const struct policy_model *m;
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init(&f);
    fixture_add_model(&f, "local/known", "sim", "other");
    p = fixture_policy(&f, NULL);
    m = policy_find_model(p, SLICE("local/org/m9"), &scratch, &target);
    assert_ptr_equal(m, &scratch);
    assert_slice_is(m->targets[0].model, "org/m9");
    assert_null(m->targets[0].price);
    m = policy_find_model(p, SLICE("local/m1"), &scratch, &target);
    assert_int_equal(m->targets[0].price->rates.output, 10000000);
    /* a configured name comes first */
    m = policy_find_model(p, SLICE("local/known"), &scratch, &target);
    assert_slice_is(m->targets[0].provider->name, "sim");
    assert_null(policy_find_model(p, SLICE("nobody/m1"), &scratch, &target));
    assert_null(policy_find_model(p, SLICE("local/"), &scratch, &target));
    assert_null(policy_find_model(p, SLICE("/m1"), &scratch, &target));
    assert_null(policy_find_model(p, SLICE("local"), &scratch, &target));
    assert_null(policy_find_model(p, SLICE(""), &scratch, &target));
    policy_unref(p);
    fixture_free(&f);
}

static void
test_closed_policy_finds_no_key(void **state)
{
    struct policy_input in = {.epoch = 1, .version = 1};
    struct policy *p = NULL;
    struct policy_key k;
    struct fixture f;
    struct buf why;

    (void)state;
    fixture_init(&f);
    fixture_list(&f);
    in.sections = f.list;
    in.count = f.count;
    buf_init(&why, 0);
    assert_int_equal(policy_compile(&in, &p, &why), 0);
    assert_null(find_key(p, "sk-one", &k));
    assert_int_equal(policy_find_provider(p, SLICE("local"))->credential.len, 0);
    policy_unref(p);
    buf_free(&why);
    fixture_free(&f);
}

static void
test_both_key_and_team_must_allow(void **state)
{
    const struct slice some[] = {SLICE("gpt-*"), SLICE("smart")};
    unsigned char digest[SHA256_BYTES];
    struct policy_key k;
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init_empty(&f);
    assert_int_equal(section_put_team(&f.teams, &(struct section_team){.name = SLICE("narrow"),
                                                                       .models = some,
                                                                       .model_count = 2}),
                     0);
    assert_int_equal(section_put_team(&f.teams, &(struct section_team){.name = SLICE("none")}), 0);
    fixture_add_key(&f, "wide", "narrow");
    fixture_add_key(&f, "lost", "none");
    fixture_digest("sk-slim", digest);
    fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                              .name = SLICE("slim"),
                                              .team = SLICE("narrow"),
                                              .models = (struct slice[]){SLICE("gpt-4*")},
                                              .model_count = 1});
    p = fixture_policy(&f, NULL);
    assert_non_null(find_key(p, "sk-wide", &k));
    assert_true(policy_may_use(&k, SLICE("gpt-5")));
    assert_true(policy_may_use(&k, SLICE("smart")));
    assert_false(policy_may_use(&k, SLICE("toy")));
    assert_non_null(find_key(p, "sk-slim", &k));
    assert_true(policy_may_use(&k, SLICE("gpt-4o")));
    assert_false(policy_may_use(&k, SLICE("gpt-5")));
    assert_false(policy_may_use(&k, SLICE("smart")));
    assert_non_null(find_key(p, "sk-lost", &k));
    assert_false(policy_may_use(&k, SLICE("smart"))); /* an empty list allows nothing */
    policy_unref(p);
    fixture_free(&f);
}

/* --- what does not: every refusal names its place ------------------------------------------ */

static void
provider_case(struct section_provider p, int err, const char *message)
{
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(section_put_provider(&f.providers, &p), 0);
    expect_refusal(&f, err, message);
}

static void
test_providers_are_checked(void **state)
{
    struct section_provider good = {
        .name = SLICE("p"), .kind = SLICE("openai"), .base_url = SLICE("https://a.example/v1")};
    struct section_pair header = {SLICE("x-a"), SLICE("b")};
    struct section_provider p;

    (void)state;
    p = good, p.name = SLICE("");
    provider_case(p, ERR_SYNTAX, "providers[2] '': name: is empty");
    p = good, p.name = SLICE("a/b");
    provider_case(p, ERR_SYNTAX, "providers[2] 'a/b': name: must not contain '/'");
    p = good, p.name = SLICE("a\nb");
    provider_case(p, ERR_SYNTAX, "name: is empty, too long or malformed");
    p = good, p.name = SLICE("local");
    provider_case(p, ERR_EXISTS, "providers: 'local' is there twice");
    p = good, p.kind = SLICE("opnai");
    provider_case(p, ERR_NOT_FOUND, "providers[2] 'p': kind: no kind 'opnai'");
    p = good, p.base_url = SLICE("");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': base_url: is missing");
    p = good, p.base_url = SLICE("ftp://a");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': base_url: ");
    p = good, p.base_url = SLICE("https://a/v1?x=1");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': base_url: ");
    p = good, p.http = SLICE("3");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': http: must be");
    p = good, p.on_disconnect = SLICE("run");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': on_disconnect: must be");
    p = good, p.total_ms = UINT32_MAX;
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': total_timeout_ms: is over a day");
    p = good, p.sealed_credential = SLICE("not sealed at all, but long enough to be");
    provider_case(p, ERR_AUTH, "providers[2] 'p': credential: does not open");
    p = good, p.headers = &header, p.header_count = 1;
    header.name = SLICE("Host");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': headers: a name is malformed or reserved");
    header.name = SLICE("Authorization");
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': headers: a name is malformed or reserved");
    header = (struct section_pair){SLICE("x-a"), SLICE("b\r\nx-c: d")};
    provider_case(p, ERR_SYNTAX, "providers[2] 'p': headers: a value is malformed");
    p.headers = (struct section_pair[]){{SLICE("x-a"), SLICE("1")}, {SLICE("X-A"), SLICE("2")}};
    p.header_count = 2;
    provider_case(p, ERR_EXISTS, "providers[2] 'p': headers: a name is given twice");
}

/* A credential sealed for one provider does not open in another's place. */
static void
test_credential_is_bound_to_its_provider(void **state)
{
    struct section_provider p = {
        .name = SLICE("p"), .kind = SLICE("openai"), .base_url = SLICE("https://a.example/v1")};
    struct buf sealed;
    struct fixture f;

    (void)state;
    buf_init(&sealed, 0);
    fixture_seal(&sealed, "provider/q", "secret");
    p.sealed_credential = buf_slice(&sealed);
    fixture_init(&f);
    assert_int_equal(section_put_provider(&f.providers, &p), 0);
    expect_refusal(&f, ERR_AUTH, "providers[2] 'p': credential");
    buf_free(&sealed);
}

static void
model_case(struct section_model m, int err, const char *message)
{
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(section_put_model(&f.models, &m), 0);
    expect_refusal(&f, err, message);
}

static void
test_models_are_checked(void **state)
{
    struct section_target t = {SLICE("local"), SLICE("m"), 1};
    struct section_model good = {.name = SLICE("x"), .targets = &t, .target_count = 1};
    struct section_model m;

    (void)state;
    m = good, m.name = SLICE("");
    model_case(m, ERR_SYNTAX, "models[2] '': name: is empty");
    m = good, m.name = SLICE("gpt-*");
    model_case(m, ERR_SYNTAX, "models[2] 'gpt-*': name: must not contain '*'");
    m = good, m.name = SLICE("toy");
    model_case(m, ERR_EXISTS, "models: 'toy' is there twice");
    m = good, m.strategy = SLICE("luck");
    model_case(m, ERR_NOT_FOUND, "models[2] 'x': strategy: no strategy 'luck'");
    m = good, m.cache_scope = SLICE("team");
    model_case(m, ERR_SYNTAX, "models[2] 'x': cache: ttl_s: must be from 1 to 86400");
    m.cache_ttl_s = MOST_CACHE_TTL_S + 1;
    model_case(m, ERR_SYNTAX, "models[2] 'x': cache: ttl_s: must be from 1 to 86400");
    m.cache_ttl_s = 60, m.cache_scope = SLICE("all");
    model_case(m, ERR_NOT_FOUND, "models[2] 'x': cache: scope: no scope 'all'");
    m.cache_scope = SLICE("");
    model_case(m, ERR_NOT_FOUND, "models[2] 'x': cache: scope: no scope ''");
    m = good, m.target_count = 0;
    model_case(m, ERR_SYNTAX, "models[2] 'x': there is no target");
    t.provider = SLICE("opnai");
    model_case(good, ERR_NOT_FOUND, "models[2] 'x': targets[0]: no provider 'opnai'");
    t = (struct section_target){SLICE("local"), SLICE(""), 1};
    model_case(good, ERR_SYNTAX, "models[2] 'x': targets[0]: the model's name is empty");
    t = (struct section_target){SLICE("local"), SLICE("m"), 0};
    model_case(good, ERR_SYNTAX, "models[2] 'x': targets: all weights are zero");
    t.weight = 1000001;
    model_case(good, ERR_SYNTAX, "models[2] 'x': targets[0]: the weight is over");
    t.weight = 1;
    m = good, m.fallbacks = (struct slice[]){SLICE("smart"), SLICE("nope")}, m.fallback_count = 2;
    model_case(m, ERR_NOT_FOUND, "models[2] 'x': fallbacks[1]: no model 'nope'");
    m.fallbacks = (struct slice[]){SLICE("x")}, m.fallback_count = 1;
    model_case(m, ERR_SYNTAX, "models[2] 'x': fallbacks[0]: falls back to itself");
}

static void
price_case(struct section_price p, int err, const char *message)
{
    struct fixture f;

    fixture_init(&f);
    assert_int_equal(section_put_price(&f.prices, &p), 0);
    if (err) {
        expect_refusal(&f, err, message);
        return;
    }
    policy_unref(fixture_policy(&f, NULL));
    fixture_free(&f);
}

static void
test_prices_are_checked(void **state)
{
    struct section_price good = {
        .provider = SLICE("local"), .model = SLICE("m2"), .base.rates.input = 1};
    struct section_price p;

    (void)state;
    p = good, p.provider = SLICE("x");
    price_case(p, ERR_NOT_FOUND, "prices[2]: no provider 'x'");
    p = good, p.provider = SLICE("kind:x");
    price_case(p, ERR_NOT_FOUND, "prices[2]: no kind of provider 'x'");
    p = good, p.model = SLICE("");
    price_case(p, ERR_SYNTAX, "prices[2]: the model's name");
    p = good, p.model = SLICE("a*b");
    price_case(p, ERR_SYNTAX, "prices[2] 'a*b': '*' may only be the last");
    p = good, p.base.rates.output = -1;
    price_case(p, ERR_SYNTAX, "prices[2] 'm2': a price is below zero");
    p = good, p.free = true;
    price_case(p, ERR_SYNTAX, "prices[2] 'm2': free, but a price is given");
    p = good, p.base.rates.input = 0;
    price_case(p, ERR_SYNTAX, "prices[2] 'm2': all prices are zero"); /* never free by omission */
    p = good, p.base.rates.input = 0;
    section_rates_set(&p.base, CLASS_IMAGES, 1);
    price_case(p, 0, NULL);
    p = good, p.variants = &(struct section_variant){.input_tokens_over = 5}, p.variant_count = 1;
    price_case(p, 0, NULL);
    p.variants = &(struct section_variant){.input_tokens_over = 5,
                                           .rates = {{.image = -1}, 1 << CLASS_IMAGES}};
    price_case(p, ERR_SYNTAX, "prices[2] 'm2': a price is below zero");
    p.variants = &(struct section_variant){.service_tier = SERVICE_TIERS};
    price_case(p, ERR_SYNTAX, "prices[2].variants[0]: no service tier 4");
    p.variants = &(struct section_variant){.input_tokens_over = -1};
    price_case(p, ERR_SYNTAX, "prices[2].variants[0]: input_tokens_over is below zero");
    p.variants = &(struct section_variant){0};
    price_case(p, ERR_SYNTAX, "prices[2].variants[0]: neither a service_tier nor an");
    p.variants = (struct section_variant[]){{.service_tier = 1}, {.service_tier = 1}};
    p.variant_count = 2;
    price_case(p, ERR_EXISTS, "prices[2].variants[1]: the circumstances of variants[0]");
    p.variants = (struct section_variant[]){{.input_tokens_over = 1},
                                            {.input_tokens_over = 2},
                                            {.input_tokens_over = 3},
                                            {.input_tokens_over = 4}};
    p.variant_count = 4;
    price_case(p, ERR_LIMIT, "prices[2] 'm2': more than 3 thresholds of input");
    p = good, p.model = SLICE("m1");
    price_case(p, ERR_EXISTS, "prices[2]: 'm1' of 'local' is priced twice");
}

static void
test_people_are_checked(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_add_team(&f, "red");
    expect_refusal(&f, ERR_EXISTS, "teams[2] 'red': is there twice");
    fixture_init(&f);
    fixture_add_team(&f, "");
    expect_refusal(&f, ERR_SYNTAX, "teams[2] '': name: is empty");
    fixture_init(&f);
    assert_int_equal(section_put_project(&f.teams, &(struct section_project){.name = SLICE("p"),
                                                                             .team = SLICE("x")}),
                     0);
    expect_refusal(&f, ERR_NOT_FOUND, "projects[0] 'p': no team 'x'");
    fixture_init(&f);
    assert_int_equal(
        section_put_user(&f.teams,
                         &(struct section_user){.name = SLICE("u"),
                                                .teams = (struct slice[]){SLICE("red"), SLICE("x")},
                                                .team_count = 2}),
        0);
    expect_refusal(&f, ERR_NOT_FOUND, "users[0] 'u': teams[1]: no team 'x'");
}

/* The section before the item must be good for the place to be right. */
static void
key_case(struct section_key k, int err, const char *message)
{
    unsigned char digest[SHA256_BYTES] = {0x42, 1};
    struct fixture f;

    fixture_init_empty(&f);
    fixture_add_team(&f, "red");
    fixture_put_key(&f, &(struct section_key){.digest = slice_make(digest, SHA256_BYTES),
                                              .name = SLICE("first"),
                                              .team = SLICE("red"),
                                              .id = SLICE("0123456789abcdef")});
    assert_int_equal(section_put_key(&f.shards[0x42], &k), 0);
    expect_refusal(&f, err, message);
}

static void
test_keys_are_checked(void **state)
{
    unsigned char digest[SHA256_BYTES] = {0x42, 2};
    struct section_key good = {
        .digest = slice_make(digest, SHA256_BYTES), .name = SLICE("k"), .team = SLICE("red")};
    struct slice many[LIMIT_KEY_MODELS + 1];
    struct section_pair tags[LIMIT_KEY_TAGS + 1];
    struct section_key k;

    (void)state;
    k = good, k.digest.len = 31;
    key_case(k, ERR_SYNTAX, "keys/42[1] 'k': the digest is not 32 bytes");
    digest[0] = 0x43;
    key_case(good, ERR_SYNTAX, "keys/42[1] 'k': the digest belongs to another shard");
    digest[0] = 0x42, digest[1] = 0;
    key_case(good, ERR_SYNTAX, "keys/42[1] 'k': the digests are not sorted");
    digest[1] = 2;
    k = good, k.name = SLICE("");
    key_case(k, ERR_SYNTAX, "keys/42[1] '': name: is empty");
    k = good, k.id = SLICE("short");
    key_case(k, ERR_SYNTAX, "keys/42[1] 'k': the id is not 16 bytes");
    k = good, k.team = SLICE("");
    key_case(k, ERR_SYNTAX, "keys/42[1] 'k': team: is missing");
    k = good, k.team = SLICE("x");
    key_case(k, ERR_NOT_FOUND, "keys/42[1] 'k': no team 'x'");
    k = good, k.project = SLICE("x");
    key_case(k, ERR_NOT_FOUND, "keys/42[1] 'k': no project 'x'");
    k = good, k.user = SLICE("x");
    key_case(k, ERR_NOT_FOUND, "keys/42[1] 'k': no user 'x'");
    k = good, k.expires_ms = -1;
    key_case(k, ERR_SYNTAX, "keys/42[1] 'k': expires");
    for (size_t i = 0; i <= LIMIT_KEY_MODELS; i++)
        many[i] = SLICE("m");
    k = good, k.models = many, k.model_count = LIMIT_KEY_MODELS + 1;
    key_case(k, ERR_LIMIT, "keys/42[1] 'k': allow: more than");
    k = good, k.models = (struct slice[]){SLICE("")}, k.model_count = 1;
    key_case(k, ERR_SYNTAX, "keys/42[1] 'k': allow.models[0]: is empty");
    for (size_t i = 0; i <= LIMIT_KEY_TAGS; i++)
        tags[i] = (struct section_pair){SLICE("t"), SLICE("")};
    k = good, k.tags = tags, k.tag_count = LIMIT_KEY_TAGS + 1;
    key_case(k, ERR_LIMIT, "keys/42[1] 'k': more than 32 tags");
    k.tag_count = 2;
    key_case(k, ERR_EXISTS, "keys/42[1] 'k': tags: 't' is there twice");
}

/* F074: validly signed, with the same thing twice. */
static void
test_f074_duplicates_in_a_shard(void **state)
{
    unsigned char digest[SHA256_BYTES] = {0x42, 1};
    struct section_key k = {.digest = slice_make(digest, SHA256_BYTES),
                            .name = SLICE("k"),
                            .team = SLICE("red"),
                            .id = SLICE("fedcba9876543210")};

    (void)state;
    key_case(k, ERR_EXISTS, "keys/42[1] 'k': the digest is there twice");
    digest[1] = 2;
    k.name = SLICE("first");
    key_case(k, ERR_EXISTS, "keys/42[1] 'first': the name is there twice");
    k.name = SLICE("k");
    k.id = SLICE("0123456789abcdef");
    key_case(k, ERR_EXISTS, "keys/42[1] 'k': the id is there twice");
}

static int
compile_list(const struct policy_section *list, size_t count, struct buf *why)
{
    struct policy_input in = {
        .epoch = 1, .version = 1, .sections = list, .count = count, .keys = fixture_keys()};
    struct policy *p = NULL;
    int err = policy_compile(&in, &p, why);

    policy_unref(p);
    return err;
}

static void
test_sections_must_be_known_and_complete(void **state)
{
    struct policy_section list[FIXTURE_SECTIONS + 1];
    struct fixture f;
    struct buf why;

    (void)state;
    fixture_init(&f);
    fixture_list(&f);
    buf_init(&why, 0);
    for (size_t i = 0; i < f.count; i++) { /* each one left out; only shards may be */
        bool shard = slice_starts(f.list[i].name, SLICE("keys/"));
        size_t n = 0;

        for (size_t k = 0; k < f.count; k++)
            if (k != i)
                list[n++] = f.list[k];
        assert_int_equal(compile_list(list, n, &why), shard ? 0 : ERR_NOT_FOUND);
        if (!shard)
            assert_non_null(strstr(buf_str(&why), f.names[i]));
    }
    memcpy(list, f.list, f.count * sizeof(*list));
    list[f.count] = f.list[f.count - 1];
    assert_int_equal(compile_list(list, f.count + 1, &why), ERR_EXISTS);
    list[f.count].name =
        SLICE("quotas"); /* serving without a limit we do not know would be weaker */
    assert_int_equal(compile_list(list, f.count + 1, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(buf_str(&why), "'quotas' is not known"));
    list[f.count].name = SLICE("keys/zz");
    assert_int_equal(compile_list(list, f.count + 1, &why), ERR_NOT_FOUND);
    buf_free(&why);
    fixture_free(&f);
}

static void
test_wrong_seal_key_is_refused(void **state)
{
    unsigned char other[SEAL_KEY_BYTES] = "another seal key of 32 bytes!!!";
    struct keyring ring = keyring_of(other);
    struct policy_input in = {.epoch = 1, .version = 1, .keys = &ring};
    struct policy *p = NULL;
    struct fixture f;
    struct buf why;

    (void)state;
    fixture_init(&f);
    fixture_list(&f);
    in.sections = f.list;
    in.count = f.count;
    buf_init(&why, 0);
    assert_int_equal(policy_compile(&in, &p, &why), ERR_AUTH);
    assert_non_null(strstr(buf_str(&why), "settings: the pepper was sealed with key"));
    buf_free(&why);
    fixture_free(&f);
}

/* --- F075: from the schema, every field in every state, all pairs -------------------------- */

enum variant { ABSENT, EMPTY, LONGEST, OVERLONG, GARBAGE, WRONG_TYPE, VARIANTS };

static void
put_field(struct wire *w, const ProtobufCFieldDescriptor *d, enum variant v)
{
    static char big[LIMIT_ITEM_BYTES + 100];
    bool text = d->type == PROTOBUF_C_TYPE_STRING || d->type == PROTOBUF_C_TYPE_BYTES ||
                d->type == PROTOBUF_C_TYPE_MESSAGE;

    if (v == ABSENT)
        return;
    if (v == WRONG_TYPE)
        text = !text;
    memset(big, 'a', sizeof(big));
    if (!text) {
        static const uint64_t numbers[VARIANTS] = {0, 0, INT64_MAX, UINT64_MAX, UINT32_MAX, 1};

        wire_uint(w, d->id, numbers[v]);
    } else if (v == EMPTY || v == WRONG_TYPE) {
        wire_bytes(w, d->id, SLICE(""));
    } else if (v == GARBAGE) {
        wire_bytes(w, d->id, slice_make("\xff\x00\xc3\x28\x0a\x7f", 6));
    } else {
        wire_bytes(w, d->id, slice_make(big, v == LONGEST ? 200 : LIMIT_ITEM_BYTES));
    }
}

/* The good item's other fields, then the two in question. */
static void
put_item(struct buf *section, unsigned number, struct slice good, const ProtobufCFieldDescriptor *a,
         enum variant va, const ProtobufCFieldDescriptor *b, enum variant vb)
{
    struct wire w = {section, 0};
    size_t begun = wire_begin(&w);
    struct slice rest = good, content;
    unsigned field;

    for (;;) {
        const char *from = rest.at;

        if (wire_next(&rest, &field, &content) != 1)
            break;
        if (field != a->id && field != b->id)
            assert_int_equal(buf_add(section, from, (size_t)(rest.at - from)), 0);
    }
    put_field(&w, a, va);
    if (b != a)
        put_field(&w, b, vb);
    wire_end(&w, number, begun);
    assert_int_equal(w.err, 0);
}

/* A policy that was accepted must also be usable. */
static void
use(const struct policy *p)
{
    struct policy_model scratch;
    struct policy_target target;
    struct policy_tag tag;
    struct slice pattern;
    struct policy_key k;
    size_t cursor = 0;

    for (size_t i = 0; i < policy_model_count(p); i++)
        assert_non_null(policy_find_model(p, policy_model_at(p, i)->name, &scratch, &target));
    for (size_t i = 0; i < policy_provider_count(p); i++)
        (void)policy_find_price(p, policy_provider_at(p, i), SLICE("m1"));
    if (policy_find_key(p, SLICE("sk-one"), &k)) {
        (void)policy_may_use(&k, SLICE("smart"));
        while (policy_key_model(&k, &cursor, &pattern))
            assert_true(pattern.len > 0);
        cursor = 0;
        while (policy_key_tag(&k, &cursor, &tag))
            assert_true(tag.name.len > 0);
    }
}

/* What the first item of a section is, without its frame, and what follows it. */
static struct slice
first_item(const char *section, const struct buf *bytes, struct slice *ret_rest)
{
    struct slice item;

    *ret_rest = buf_slice(bytes);
    assert_true(section_next(slice_of(section), ret_rest, &item) > 0);
    return item;
}

static size_t
all_pairs(const char *section, unsigned number, const ProtobufCMessageDescriptor *type,
          struct buf *(*pick)(struct fixture *f))
{
    struct fixture good;
    size_t runs = 0, accepted = 0;
    struct buf why;

    buf_init(&why, 0);
    fixture_init(&good);
    for (unsigned i = 0; i < type->n_fields; i++)
        for (unsigned j = i; j < type->n_fields; j++)
            for (int v = 0; v < VARIANTS * VARIANTS; v++) {
                struct policy *p = NULL;
                struct slice item, rest;
                struct fixture f;
                struct buf *bytes;

                if (i == j && v >= VARIANTS)
                    continue;
                fixture_init(&f);
                bytes = pick(&f);
                buf_clear(bytes);
                item = first_item(section, pick(&good), &rest);
                put_item(bytes, number, item, &type->fields[i], (enum variant)(v % VARIANTS),
                         &type->fields[j], (enum variant)(v / VARIANTS));
                assert_int_equal(buf_add_slice(bytes, rest), 0);
                buf_clear(&why);
                if (fixture_compile(&f, NULL, &p, &why) == 0) {
                    accepted++;
                    use(p);
                } else {
                    assert_null(p);
                    assert_true(why.len > 0);
                }
                policy_unref(p);
                fixture_free(&f);
                runs++;
            }
    fixture_free(&good);
    buf_free(&why);
    print_message("%s: %zu of %zu accepted\n", section, accepted, runs);
    return runs;
}

static struct buf *
pick_providers(struct fixture *f)
{
    return &f->providers;
}

static struct buf *
pick_models(struct fixture *f)
{
    return &f->models;
}

static struct buf *
pick_teams(struct fixture *f)
{
    return &f->teams;
}

static struct buf *
pick_prices(struct fixture *f)
{
    return &f->prices;
}

static struct buf *
pick_keys(struct fixture *f)
{
    unsigned char digest[SHA256_BYTES];

    fixture_digest("sk-one", digest);
    return &f->shards[digest[0]];
}

static void
test_f075_every_field_in_every_state(void **state)
{
    (void)state;
    assert_true(all_pairs("providers", 1, &headgate__snapshot__provider__descriptor,
                          pick_providers) > 2000);
    assert_true(all_pairs("models", 1, &headgate__snapshot__model__descriptor, pick_models) > 500);
    assert_true(all_pairs("teams", 1, &headgate__snapshot__team__descriptor, pick_teams) > 200);
    assert_true(all_pairs("prices", 2, &headgate__snapshot__price__descriptor, pick_prices) > 3000);
    assert_true(all_pairs("keys/00", 1, &headgate__snapshot__key__descriptor, pick_keys) > 2000);
}

/* F073: a section that is only frames must not cost more than its length; nor one huge item. */
static void
test_f073_bounds_before_memory(void **state)
{
    struct fixture f;
    struct wire w;
    size_t begun;

    (void)state;
    fixture_init(&f);
    for (size_t i = 0; i < 2000000; i++) /* 4 MB of empty teams */
        assert_int_equal(buf_add(&f.teams, "\x0a\x00", 2), 0);
    expect_refusal(&f, ERR_SYNTAX, "teams[2] '': name: is empty");
    fixture_init(&f);
    w = (struct wire){&f.shards[0x42], 0};
    begun = wire_begin(&w);
    for (size_t i = 0; i < 1000000; i++) /* one key with a million rules */
        wire_bytes(&w, 7, SLICE("m"));
    wire_end(&w, 1, begun);
    expect_refusal(&f, ERR_LIMIT, "keys/42[0]: the item is over");
    fixture_init(&f);
    assert_int_equal(buf_add(&f.shards[0x42], "\x0a\xff\xff\xff\xff\x0f", 6), 0); /* 4 GiB */
    expect_refusal(&f, ERR_SYNTAX, "keys/42: malformed");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_found),
        cmocka_unit_test(test_provider_is_addressed_directly),
        cmocka_unit_test(test_closed_policy_finds_no_key),
        cmocka_unit_test(test_both_key_and_team_must_allow),
        cmocka_unit_test(test_providers_are_checked),
        cmocka_unit_test(test_credential_is_bound_to_its_provider),
        cmocka_unit_test(test_models_are_checked),
        cmocka_unit_test(test_prices_are_checked),
        cmocka_unit_test(test_people_are_checked),
        cmocka_unit_test(test_keys_are_checked),
        cmocka_unit_test(test_f074_duplicates_in_a_shard),
        cmocka_unit_test(test_sections_must_be_known_and_complete),
        cmocka_unit_test(test_wrong_seal_key_is_refused),
        cmocka_unit_test(test_f075_every_field_in_every_state),
        cmocka_unit_test(test_f073_bounds_before_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
