/* Items of every kind: what is accepted, what is refused and where, what is stored and shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/rules/fields.h"
#include "controlplane/rules/item.h"

static struct json *
parse(const char *text)
{
    struct json *j = NULL;
    char why[200] = "";
    if (json_parse(slice_of(text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", text, why);
    return j;
}

static void
assert_json(const struct json *got, const char *want)
{
    struct json *wanted = parse(want);
    if (!json_equal(got, wanted)) {
        struct buf text;
        buf_init(&text, 0);
        assert_int_equal(json_write(got, true, 0, &text), 0);
        fail_msg("got %s, want %s", buf_str(&text), want);
    }
    json_free(wanted);
}

/* ---- refusals -------------------------------------------------------------------------------- */

struct refusal {
    const char *kind, *input, *why; /* why: how the message begins */
};

static const struct refusal refusals[] = {
    {"teams", "{}", "x[1].name: is required"},
    {"teams", "{\"name\":\"\"}", "x[1].name: must not be empty"},
    {"teams", "{\"name\":\"a b\"}", "x[1].name: a name begins"},
    {"teams", "{\"name\":\"a/b\"}", "x[1].name: a name begins"},
    {"teams", "{\"name\":\"-a\"}", "x[1].name: a name begins"},
    {"teams", "{\"name\":\"a\\nb\"}", "x[1].name: "},
    {"teams", "{\"name\":\"01a202ec-ba3e-726b-b617-d0cb6bc42714\"}",
     "x[1].name: a name must not look like an id"},
    {"teams", "{\"name\":\"t\",\"alow\":{}}",
     "x[1].alow: unknown field of a team; did you mean \"allow\"?"},
    {"teams", "{\"name\":\"t\",\"id\":\"x\"}", "x[1].id: unknown field"},
    {"teams", "{\"name\":\"t\",\"allow\":{\"models\":[\"a b\"]}}",
     "x[1].allow.models[0]: a model's name"},
    {"teams", "{\"name\":\"t\",\"allow\":{\"models\":\"a\"}}", "x[1].allow.models: must be a list"},
    {"teams", "{\"name\":\"t\",\"disabled\":1}", "x[1].disabled: must be true or false"},
    {"projects", "{\"name\":\"p\"}", "x[1].team: is required"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"1\",\"discount_percent\":\"1\"}",
     "x[1].discount_percent: not together with margin_percent"},
    {"projects",
     "{\"name\":\"p\",\"team\":\"t\",\"margin_percent\":\"1\",\"discount_percent\":\"1\"}",
     "x[1].discount_percent: not together with margin_percent"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"1000.0001\"}",
     "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"1.00001\"}", "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"-1\"}", "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"1.\"}", "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\".5\"}", "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"margin_percent\":\"1e2\"}", "x[1].margin_percent: a decimal"},
    {"teams", "{\"name\":\"t\",\"discount_percent\":\"100.0001\"}",
     "x[1].discount_percent: a decimal"},
    {"users", "{\"name\":\"u\",\"kind\":\"robot\"}", "x[1].kind: unknown value"},
    {"providers", "{\"name\":\"p\",\"kind\":\"opnai\"}",
     "x[1].kind: unknown value; did you mean \"openai\"?"},
    {"providers", "{\"name\":\"p/q\",\"kind\":\"openai\"}", "x[1].name: a name begins"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai-compatible\"}",
     "x[1].base_url: needed by kind"},
    {"providers", "{\"name\":\"p\",\"kind\":\"simulator\",\"credential\":\"x\"}",
     "x[1].credential: kind simulator"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"base_url\":\"ftp://h/v1\"}",
     "x[1].base_url: "},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"base_url\":\"https://u:p@h/v1\"}",
     "x[1].base_url: "},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"base_url\":\"https://h/v1?a=b\"}",
     "x[1].base_url: "},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"base_url\":\"https://h/v1#f\"}",
     "x[1].base_url: "},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"headers\":{\"Authorization\":\"x\"}}",
     "x[1].headers: 'Authorization' is set by the gateway"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"headers\":{\"x y\":\"x\"}}",
     "x[1].headers: 'x y' is not a field name"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"headers\":{\"x-a\":\"a\\nb\"}}",
     "x[1].headers"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"timeouts\":{\"total_ms\":0}}",
     "x[1].timeouts.total_ms: must be from 1"},
    {"providers", "{\"name\":\"p\",\"kind\":\"openai\",\"credential\":\"file:../x\"}",
     "x[1].credential: file: takes"},
    {"models", "{\"name\":\"m\",\"targets\":[]}", "x[1].targets: at least one"},
    {"models", "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\"}]}",
     "x[1].targets[0].model: is required"},
    {"models", "{\"name\":\"m\",\"targets\":[{\"provder\":\"p\"}]}",
     "x[1].targets[0].provder: unknown field of a target; did you mean \"provider\"?"},
    {"models", "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\",\"model\":\"a#b\"}]}",
     "x[1].targets[0].model: "},
    {"models", "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\",\"weight\":0}]}",
     "x[1].targets: the weights must not all be zero"},
    {"models",
     "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\"},{\"provider\":\"p\","
     "\"model\":\"a\"}]}",
     "x[1].targets[1]: the same target as targets[0]"},
    {"models",
     "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\"}],\"fallbacks\":[\"m\"]}",
     "x[1].fallbacks[0]: a model cannot fall back to itself"},
    {"keys", "{\"name\":\"k\"}", "x[1].team: is required"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"digest\":\"00\"}", "x[1].digest: unknown field"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"prefix\":\"sk\"}", "x[1].prefix: unknown field"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"key\":\"sk-hg-x\"}", "x[1].key: unknown field"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"expires\":\"soon\"}",
     "x[1].expires: must be a time"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"tags\":{\"a b\":\"c\"}}", "x[1].tags: 'a b'"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"tags\":{\"a\":\"c\\td\"}}",
     "x[1].tags: 'a': control"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"on_partition\":\"stop\"}",
     "x[1].on_partition: unknown value"},
    {"prices", "{\"provider\":\"p\",\"model\":\"m\"}", "x[1].input_per_mtok_usd: needed"},
    {"prices", "{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":\"1\"}",
     "x[1].output_per_mtok_usd: needed"},
    {"prices", "{\"provider\":\"p\",\"model\":\"m\",\"free\":true,\"input_per_mtok_usd\":\"1\"}",
     "x[1].input_per_mtok_usd: a price that is free"},
    {"prices",
     "{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":\"-1\",\"output_per_mtok_usd\":"
     "\"1\"}",
     "x[1].input_per_mtok_usd: "},
    {"prices",
     "{\"provider\":\"p\",\"model\":\"a*b\",\"input_per_mtok_usd\":\"1\",\"output_per_mtok_usd\":"
     "\"1\"}",
     "x[1].model: '*' is allowed at the end only"},
    {"quotas", "{\"name\":\"q\"}", "x[1]: limits nothing"},
    {"quotas", "{\"name\":\"q\",\"requests_per_minute\":0}", "x[1].requests_per_minute: "},
    {"quotas", "{\"name\":\"q\",\"requests_per_fortnight\":1}",
     "x[1].requests_per_fortnight: unknown field"},
    {"quotas", "{\"name\":\"q\",\"requests_per_minute\":1,\"tag\":{}}", "x[1].tag: name 1 to 4"},
    {"quotas", "{\"name\":\"q\",\"requests_per_minute\":1,\"tag\":{\"a\":\"\"}}", "x[1].tag"},
    {"quotas", "{\"name\":\"q\",\"requests_per_minute\":1,\"per\":\"moon\"}",
     "x[1].per: unknown value"},
    {"budgets", "{\"name\":\"b\",\"period\":\"day\"}", "x[1].limit_usd: give limit_usd or"},
    {"budgets", "{\"name\":\"b\",\"period\":\"day\",\"limit_usd\":\"1\",\"limit_tokens\":1}",
     "x[1].limit_usd: give limit_usd or"},
    {"budgets", "{\"name\":\"b\",\"period\":\"day\",\"limit_usd\":\"0\"}",
     "x[1].limit_usd: must be above zero"},
    {"budgets", "{\"name\":\"b\",\"limit_usd\":\"1\"}", "x[1].period: is required"},
    {"budgets", "{\"name\":\"b\",\"limit_usd\":\"1\",\"period\":\"day\",\"time_zone\":\"berlin\"}",
     "x[1].time_zone: the name of a time zone"},
    {"budgets", "{\"name\":\"b\",\"limit_usd\":\"1\",\"period\":\"day\",\"thresholds\":[80,80]}",
     "x[1].thresholds: must rise"},
    {"budgets", "{\"name\":\"b\",\"limit_usd\":\"1\",\"period\":\"day\",\"thresholds\":[\"80\"]}",
     "x[1].thresholds[0]: "},
};

static void
test_refusals_say_where_and_what(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        struct json *input = parse(r->input);
        struct buf why;
        buf_init(&why, 8192);
        int err = item_check(kind_find(slice_of(r->kind)), input, "x[1]", &why);
        const char *text = buf_str(&why);
        if (err != ERR_SYNTAX || strncmp(text, r->why, strlen(r->why)) != 0)
            fail_msg("%s %s: got %d \"%s\", want \"%s\"", r->kind, r->input, err, text, r->why);
        buf_free(&why);
        json_free(input);
    }
}

/* F155, the part that rules can do: the guard on the connected address is the worker's. */
static void
test_f155_private_addresses_need_permission(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "127.0.0.1", "localhost",   "LOCALHOST.",      "a.localhost", "[::1]",
        "10.1.2.3",  "192.168.0.1", "169.254.169.254", "[fd00::1]",   "[::ffff:7f00:1]",
        "0.0.0.0",   "2130706433",  "0x7f.1",          "100.64.0.1"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        for (int allowed = 0; allowed < 2; allowed++) {
            char text[256];
            snprintf(text, sizeof(text),
                     "{\"name\":\"p\",\"kind\":\"openai\",\"base_url\":\"http://%s:80/v1\"%s}",
                     hosts[i], allowed ? ",\"allow_private\":true" : "");
            struct json *input = parse(text);
            struct buf why;
            buf_init(&why, 8192);
            int err = item_check(kind_at(KIND_PROVIDERS), input, "", &why);
            if ((err == 0) != (allowed == 1) &&
                !(err && slice_starts(buf_slice(&why), SLICE("base_url: "))))
                fail_msg("%s: %d %s", text, err, buf_str(&why));
            if (!allowed)
                assert_int_equal(err, ERR_SYNTAX);
            buf_free(&why);
            json_free(input);
        }
    }
}

static void
test_lists_are_bounded(void **state)
{
    (void)state;
    struct buf text, why;
    buf_init(&text, 0);
    buf_init(&why, 8192);
    assert_int_equal(buf_add_str(&text, "{\"name\":\"t\",\"allow\":{\"models\":[\"m\""), 0);
    for (int i = 0; i < LIMIT_TEXTS; i++)
        assert_int_equal(buf_add_str(&text, ",\"m\""), 0);
    assert_int_equal(buf_add_str(&text, "]}}"), 0);
    struct json *input = parse(buf_str(&text));
    assert_int_equal(item_check(kind_at(KIND_TEAMS), input, "", &why), ERR_SYNTAX);
    assert_string_equal(buf_str(&why), "allow.models: at most 1000 are allowed");
    json_free(input);
    buf_free(&text);
    buf_free(&why);
}

/* ---- bodies and views ------------------------------------------------------------------------ */

struct form {
    const char *kind, *input, *name, *body, *view;
};

static const struct form forms[] = {
    {"teams", "{\"disabled\":false,\"name\":\"t\"}", "t", "{}",
     "{\"name\":\"t\",\"disabled\":false}"},
    {"teams", "{\"name\":\"t\",\"allow\":{}}", "t", "{}", "{\"name\":\"t\",\"disabled\":false}"},
    {"teams", "{\"name\":\"t\",\"allow\":{\"models\":[]}}", "t", "{\"allow\":{\"models\":[]}}",
     "{\"name\":\"t\",\"allow\":{\"models\":[]},\"disabled\":false}"},
    {"keys",
     "{\"name\":\"k\",\"team\":\"t\",\"expires\":\"2027-01-01\",\"tags\":{},\"on_partition\":"
     "\"serve\"}",
     "k", "{\"team\":\"t\",\"expires\":\"2027-01-01T00:00:00.000Z\"}",
     "{\"name\":\"k\",\"team\":\"t\",\"expires\":\"2027-01-01T00:00:00.000Z\",\"on_partition\":"
     "\"serve\","
     "\"disabled\":false}"},
    {"keys", "{\"name\":\"k\",\"team\":\"t\",\"expires\":\"2027-01-01T02:00:00+02:00\"}", "k",
     "{\"team\":\"t\",\"expires\":\"2027-01-01T00:00:00.000Z\"}", NULL},
    {"prices",
     "{\"provider\":\"p\",\"model\":\"m/"
     "1\",\"input_per_mtok_usd\":2.5,\"output_per_mtok_usd\":\"010.0\"}",
     "p/m/1",
     "{\"provider\":\"p\",\"model\":\"m/"
     "1\",\"input_per_mtok_usd\":\"2.50\",\"output_per_mtok_usd\":\"10.00\"}",
     NULL},
    {"models",
     "{\"name\":\"m\",\"strategy\":\"weighted\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\","
     "\"weight\":1}]}",
     "m", "{\"targets\":[{\"provider\":\"p\",\"model\":\"a\"}]}",
     "{\"name\":\"m\",\"strategy\":\"weighted\",\"targets\":[{\"provider\":\"p\",\"model\":\"a\","
     "\"weight\":1}],"
     "\"free\":false}"},
};

static void
test_bodies_are_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct kind *kind = kind_find(slice_of(forms[i].kind));
        struct json *input = parse(forms[i].input);
        struct buf name, why;
        buf_init(&name, 1024);
        buf_init(&why, 1024);
        if (item_check(kind, input, "", &why) != 0)
            fail_msg("%s: %s", forms[i].input, buf_str(&why));
        assert_int_equal(item_name(kind, input, &name), 0);
        assert_string_equal(buf_str(&name), forms[i].name);
        struct json *body = item_body(kind, input);
        assert_json(body, forms[i].body);
        struct json *view = item_view(kind, forms[i].name, body, true);
        if (forms[i].view)
            assert_json(view, forms[i].view);
        json_free(view);
        /* What is exported applies as no change. */
        struct json *exported = item_view(kind, forms[i].name, body, false);
        assert_int_equal(item_check(kind, exported, "", &why), 0);
        struct json *again = item_body(kind, exported);
        assert_true(json_equal(body, again));
        json_free(again);
        json_free(exported);
        json_free(body);
        json_free(input);
        buf_free(&name);
        buf_free(&why);
    }
}

static void
test_views_hold_no_secret(void **state)
{
    (void)state;
    struct json *key = parse("{\"team\":\"t\",\"digest\":\"aabb\",\"prefix\":\"sk-hg-xx\"}");
    struct json *view = item_view(kind_at(KIND_KEYS), "k", key, true);
    assert_json(view,
                "{\"name\":\"k\",\"team\":\"t\",\"prefix\":\"sk-hg-xx\",\"on_partition\":\"serve\","
                "\"disabled\":false}");
    json_free(view);
    view = item_view(kind_at(KIND_KEYS), "k", key, false);
    assert_json(view, "{\"name\":\"k\",\"team\":\"t\"}");
    json_free(view);
    json_free(key);
    struct json *provider = parse("{\"kind\":\"openai\",\"credential\":{\"sealed\":\"AAAA\","
                                  "\"fingerprint\":\"0011223344556677\"}}");
    view = item_view(kind_at(KIND_PROVIDERS), "p", provider, false);
    assert_json(view,
                "{\"name\":\"p\",\"kind\":\"openai\",\"credential\":\"sealed:0011223344556677\"}");
    json_free(view);
    json_free(provider);
}

static void
test_merge_patch(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        /* RFC 7396, appendix A: target, patch, result */
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *target = parse(rows[i][0]), *patch = parse(rows[i][1]);
        struct json *merged = item_merge(target, patch);
        assert_json(merged, rows[i][2]);
        json_free(merged);
        json_free(patch);
        json_free(target);
    }
}

/* ---- references ------------------------------------------------------------------------------ */

static int
note_reference(void *ctx, enum kind_id to, struct slice name, const char *place)
{
    return buf_addf(ctx, "%s=%s:%.*s ", place, kind_at(to)->plural, SLICE_ARG(name));
}

static void
test_references_are_walked_with_their_places(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"models",
         "{\"targets\":[{\"provider\":\"p\",\"model\":\"a\"},{\"provider\":\"q\",\"model\":\"b\"}],"
         "\"fallbacks\":[\"n\"]}",
         "targets[0].provider=providers:p targets[1].provider=providers:q fallbacks[0]=models:n "},
        {"keys", "{\"team\":\"t\",\"project\":\"p\",\"user\":\"u\"}",
         "team=teams:t project=projects:p user=users:u "},
        {"users", "{\"teams\":[\"a\",\"b\"]}", "teams[0]=teams:a teams[1]=teams:b "},
        {"projects", "{\"team\":\"t\"}", "team=teams:t "},
        {"prices", "{\"provider\":\"p\",\"model\":\"m\"}", "provider=providers:p "},
        {"teams", "{\"allow\":{\"models\":[\"x\"]}}", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *body = parse(rows[i][1]);
        struct buf text;
        buf_init(&text, 0);
        assert_int_equal(
            item_references(kind_find(slice_of(rows[i][0])), body, note_reference, &text), 0);
        assert_string_equal(text.len ? buf_str(&text) : "", rows[i][2]);
        buf_free(&text);
        json_free(body);
    }
}

/* Every kind's table is complete: whoever adds a kind is told what is missing. */
static void
test_tables_are_consistent(void **state)
{
    (void)state;
    assert_int_equal(document_table.count, KIND_COUNT);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        assert_int_equal(kinds[i].id, i);
        assert_string_equal(document_table.rows[i].name, kinds[i].plural);
        assert_ptr_equal(document_table.rows[i].item, kinds[i].fields);
        assert_string_equal(kinds[i].fields->noun, kinds[i].noun);
        for (size_t d = 0; d < kinds[i].default_count; d++)
            json_free(parse(kinds[i].defaults[d].json));
        for (size_t f = 0; f < kinds[i].fields->count; f++)
            assert_non_null(kinds[i].fields->rows[f].help);
    }
    struct json *schema = json_schema(&document_table, field_pattern);
    assert_int_equal(json_kind(schema), JSON_MAP);
    json_free(schema);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_say_where_and_what),
        cmocka_unit_test(test_f155_private_addresses_need_permission),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_bodies_are_canonical),
        cmocka_unit_test(test_views_hold_no_secret),
        cmocka_unit_test(test_merge_patch),
        cmocka_unit_test(test_references_are_walked_with_their_places),
        cmocka_unit_test(test_tables_are_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
