#include "tests/unit/check.h"

#include "controlplane/publish/item_bytes.h"
#include "lib/control/section.h"

static struct arena arena;
static struct buf bytes, why;

static int
clean(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&bytes);
    buf_free(&why);
    return 0;
}

static int
convert(enum kind_id kind, const char *name, const char *body, unsigned char *digest)
{
    struct item_source s = {.kind = kind,
                            .name = slice_of(name),
                            .id = SLICE("30313233-3435-3637-3839-616263646566"),
                            .revision = 7,
                            .created_ms = 1700000000123};
    struct json *doc = NULL;
    char reason[128];
    int err;

    assert_int_equal(json_parse(slice_of(body), &doc, reason, sizeof(reason)), 0);
    s.body = doc;
    buf_clear(&bytes);
    buf_clear(&why);
    err = item_bytes(&s, &bytes, digest, &why);
    json_free(doc);
    return err;
}

/* The one item that came of it. */
static struct slice
item(enum kind_id kind)
{
    struct slice rest = buf_slice(&bytes), one;
    const char *section = kind == KIND_KEYS ? "keys/00" : item_section(kind);

    assert_true(section_next(slice_of(section), &rest, &one) > 0);
    assert_int_equal(rest.len, 0);
    return one;
}

static void
test_provider_with_defaults(void **state)
{
    struct section_provider p;

    (void)state;
    assert_int_equal(convert(KIND_PROVIDERS, "openai", "{\"kind\":\"openai\"}", NULL), 0);
    assert_int_equal(section_get_provider(item(KIND_PROVIDERS), &arena, &p), 0);
    assert_slice_is(p.name, "openai");
    assert_slice_is(p.base_url, "https://api.openai.com/v1");
    assert_slice_is(p.http, "");
    assert_int_equal(p.total_ms, 0);
    assert_false(p.allow_private);
    assert_int_equal(p.sealed_credential.len, 0);
}

static void
test_provider_with_everything(void **state)
{
    struct section_provider p;

    (void)state;
    assert_int_equal(
        convert(KIND_PROVIDERS, "local",
                "{\"kind\":\"openai-compatible\",\"base_url\":\"http://127.0.0.1:1/v1\","
                "\"allow_private\":true,\"http\":\"2\",\"on_disconnect\":\"drain\","
                "\"timeouts\":{\"connect_ms\":1,\"first_byte_ms\":2,"
                "\"between_bytes_ms\":3,\"total_ms\":4},\"headers\":{\"X-A\":\"b\"}}",
                NULL),
        0);
    assert_int_equal(section_get_provider(item(KIND_PROVIDERS), &arena, &p), 0);
    assert_slice_is(p.base_url, "http://127.0.0.1:1/v1");
    assert_true(p.allow_private);
    assert_slice_is(p.http, "2");
    assert_slice_is(p.on_disconnect, "drain");
    assert_true(p.connect_ms == 1 && p.first_byte_ms == 2 && p.between_bytes_ms == 3 &&
                p.total_ms == 4);
    assert_int_equal(p.header_count, 1);
    assert_slice_is(p.headers[0].name, "X-A");
}

static void
test_model(void **state)
{
    struct section_model m;

    (void)state;
    assert_int_equal(
        convert(KIND_MODELS, "smart",
                "{\"strategy\":\"priority\",\"targets\":[{\"provider\":\"a\",\"model\":\"m\"},"
                "{\"provider\":\"b\",\"model\":\"n\",\"weight\":0}],"
                "\"fallbacks\":[\"x\"],\"free\":true,"
                "\"cache\":{\"ttl_s\":90,\"scope\":\"project\"}}",
                NULL),
        0);
    assert_int_equal(section_get_model(item(KIND_MODELS), &arena, &m), 0);
    assert_slice_is(m.strategy, "priority");
    assert_int_equal(m.targets[0].weight, 1); /* 1 when not given */
    assert_int_equal(m.targets[1].weight, 0);
    assert_slice_is(m.fallbacks[0], "x");
    assert_true(m.free);
    assert_int_equal(m.cache_ttl_s, 90);
    assert_slice_is(m.cache_scope, "project");
    assert_true(m.created_unix_s == 1700000000);
}

static void
test_people(void **state)
{
    struct section_project project;
    struct section_team team;
    struct section_user user;

    (void)state;
    assert_int_equal(convert(KIND_TEAMS, "t", "{}", NULL), 0);
    assert_int_equal(section_get_team(item(KIND_TEAMS), &arena, &team), 0);
    assert_true(team.all_models); /* no `allow`: everything */
    assert_int_equal(
        convert(KIND_TEAMS, "t", "{\"allow\":{\"models\":[]},\"disabled\":true}", NULL), 0);
    assert_int_equal(section_get_team(item(KIND_TEAMS), &arena, &team), 0);
    assert_false(team.all_models); /* an empty list: nothing */
    assert_true(team.disabled);
    assert_false(team.scope.limits_endpoints || team.scope.max_tokens || team.scope.no_stream);
    assert_int_equal(convert(KIND_TEAMS, "t",
                             "{\"allow\":{\"endpoints\":[],\"addresses\":[\"10.0.0.0/8\"],"
                             "\"max_tokens\":7,\"tools\":false,\"stream\":true}}",
                             NULL),
                     0);
    assert_int_equal(section_get_team(item(KIND_TEAMS), &arena, &team), 0);
    assert_true(team.all_models && team.scope.limits_endpoints && team.scope.endpoint_count == 0);
    assert_true(team.scope.limits_addresses && team.scope.address_count == 1);
    assert_int_equal(team.scope.addresses[0].len, 5);
    assert_true(team.scope.max_tokens == 7 && team.scope.no_tools && !team.scope.no_stream);
    assert_int_equal(convert(KIND_TEAMS, "t", "{\"allow\":{\"models\":[\"a\",\"b*\"]}}", NULL), 0);
    assert_int_equal(section_get_team(item(KIND_TEAMS), &arena, &team), 0);
    assert_int_equal(team.model_count, 2);
    assert_int_equal(convert(KIND_PROJECTS, "p", "{\"team\":\"t\"}", NULL), 0);
    assert_int_equal(section_get_project(item(KIND_PROJECTS), &arena, &project), 0);
    assert_slice_is(project.team, "t");
    assert_int_equal(convert(KIND_USERS, "u", "{\"kind\":\"service\",\"teams\":[\"t\"]}", NULL), 0);
    assert_int_equal(section_get_user(item(KIND_USERS), &arena, &user), 0);
    assert_true(user.service);
    assert_slice_is(user.teams[0], "t");
}

#define DIGEST "\"digest\":\"00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff\""

static void
test_key(void **state)
{
    unsigned char digest[SHA256_BYTES];
    struct section_key k;

    (void)state;
    assert_int_equal(convert(KIND_KEYS, "ci", "{\"team\":\"t\"," DIGEST "}", digest), 0);
    assert_int_equal(section_get_key(item(KIND_KEYS), &arena, &k), 0);
    assert_int_equal(digest[1], 0xff);
    assert_true(slice_eq(k.digest, slice_make(digest, SHA256_BYTES)));
    assert_slice_is(k.id, "0123456789abcdef");
    assert_true(k.all_models);
    assert_true(k.expires_ms == 0);
    assert_int_equal(convert(KIND_KEYS, "ci",
                             "{\"team\":\"t\",\"project\":\"p\",\"user\":\"u\",\"models\":[\"a\"],"
                             "\"expires\":\"2027-01-01T00:00:00.000Z\",\"tags\":{\"x\":\"y\"},"
                             "\"on_partition\":\"refuse\",\"disabled\":true," DIGEST "}",
                             digest),
                     0);
    assert_int_equal(section_get_key(item(KIND_KEYS), &arena, &k), 0);
    assert_false(k.all_models);
    assert_true(k.refuse_on_partition && k.disabled);
    assert_true(k.expires_ms == INT64_C(1798761600000));
    assert_slice_is(k.tags[0].value, "y");
    /* a time before 1970 must not become "never" */
    assert_int_equal(
        convert(KIND_KEYS, "ci", "{\"team\":\"t\",\"expires\":\"1970-01-01\"," DIGEST "}", digest),
        0);
    assert_int_equal(section_get_key(item(KIND_KEYS), &arena, &k), 0);
    assert_true(k.expires_ms == 1);
}

static void
test_price(void **state)
{
    struct section_price p;

    (void)state;
    assert_int_equal(convert(KIND_PRICES, "a/m",
                             "{\"provider\":\"a\",\"model\":\"m\",\"input_per_mtok_usd\":\"2.50\","
                             "\"cached_input_per_mtok_usd\":\"0\",\"output_per_mtok_usd\":\"10\"}",
                             NULL),
                     0);
    assert_int_equal(section_get_price(item(KIND_PRICES), &arena, &p), 0);
    assert_slice_is(p.version, "r7");
    assert_true(p.base.rates.input == 2500000 && p.base.rates.output == 10000000);
    assert_true(section_rates_has(&p.base, CLASS_CACHE_READ) && p.base.rates.cached_input == 0);
    assert_false(section_rates_has(&p.base, CLASS_REASONING));
    assert_int_equal(
        convert(KIND_PRICES, "a/m", "{\"provider\":\"a\",\"model\":\"m\",\"free\":true}", NULL), 0);
    assert_int_equal(section_get_price(item(KIND_PRICES), &arena, &p), 0);
    assert_true(p.free);
}

static int
no_credential(void *ctx, struct slice provider, const struct json *body, struct buf *into,
              struct buf *reason)
{
    (void)ctx;
    (void)provider;
    (void)body;
    (void)into;
    assert_int_equal(buf_add_str(reason, "provider 'p': env:X cannot be resolved"), 0);
    return ERR_NOT_FOUND;
}

/* What the rules should never have let in is refused with its place all the same. */
/* Only a role that says what may be asked of models is for workers. */
static void
test_roles(void **state)
{
    struct section_role role;
    struct slice rest, item;

    (void)state;
    assert_int_equal(convert(KIND_ROLES, "admin", "{\"permissions\":[\"keys.*\"]}", NULL), 0);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(
        convert(KIND_ROLES, "dev", "{\"allow\":{\"models\":[\"gpt-*\"],\"tools\":false}}", NULL),
        0);
    rest = buf_slice(&bytes);

    assert_int_equal(section_next(SLICE("teams"), &rest, &item), SECTION_ROLE);
    assert_int_equal(section_get_role(item, &arena, &role), 0);
    assert_slice_is(role.name, "dev");
    assert_slice_is(role.models[0], "gpt-*");
    assert_true(!role.all_models && role.scope.no_tools && !role.scope.limits_endpoints);
}

static void
test_bad_bodies(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *body, *message;
    } cases[] = {
        {KIND_KEYS, "{\"team\":\"t\"}", "keys 'x': digest: is missing"},
        {KIND_KEYS, "{\"team\":\"t\",\"digest\":\"00\"}",
         "keys 'x': digest: is missing or malformed"},
        {KIND_KEYS, "{\"team\":\"t\",\"expires\":\"soon\"," DIGEST "}",
         "keys 'x': expires: is no time"},
        {KIND_PRICES, "{\"input_per_mtok_usd\":\"much\"}",
         "prices 'x': input_per_mtok_usd: is no amount"},
        {KIND_PRICES, "{\"output_per_mtok_usd\":\"-1\"}",
         "prices 'x': output_per_mtok_usd: is no amount"},
        {KIND_MODELS, "{\"targets\":[{\"weight\":\"heavy\"}]}",
         "models 'x': weight: is no integer"},
        {KIND_PROVIDERS, "{\"timeouts\":{\"total_ms\":1.5}}",
         "providers 'x': total_ms: is no integer"},
    };
    unsigned char digest[SHA256_BYTES];
    struct item_source s = {
        .kind = KIND_PROVIDERS, .name = SLICE("p"), .credential = no_credential};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(convert(cases[i].kind, "x", cases[i].body, digest), ERR_SYNTAX);
        if (!strstr(buf_str(&why), cases[i].message))
            fail_msg("'%s', want '%s'", buf_str(&why), cases[i].message);
    }
    assert_int_equal(item_bytes(&s, &bytes, NULL, &why), ERR_NOT_FOUND);
    assert_string_equal(buf_str(&why), "provider 'p': env:X cannot be resolved");
}

#define TEST(f) cmocka_unit_test_teardown(f, clean)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_provider_with_defaults),
        TEST(test_provider_with_everything),
        TEST(test_model),
        TEST(test_people),
        TEST(test_key),
        TEST(test_price),
        TEST(test_roles),
        TEST(test_bad_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
