/* LiteLLM's calls in this process, for the sanitizers: each way through them, and each refusal.
 * What they mean is tested by tests/system/test_litellm_shim.py. */
#include "tests/unit/controlplane/admin.h"

static int
start(void **state)
{
    plane.config.litellm_shim = true;
    return admin_start(state);
}

static void
member(const char *name, char *into, size_t room)
{
    struct json *body = NULL;
    assert_int_equal(json_parse(slice_of(got_text), &body, NULL, 0), 0);
    struct slice text = json_str(json_get(body, name));
    snprintf(into, room, "%.*s", SLICE_ARG(text));
    json_free(body);
}

static void
test_keys(void **state)
{
    char key[64], token[64], body[256], path[256];
    (void)state;
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"default\"}");
    expect(200, "POST", "/key/generate",
           "{\"key_alias\":\"a\",\"models\":[\"m*\"],\"duration\":\"1mo\",\"max_budget\":1.5,"
           "\"budget_duration\":\"7d\",\"rpm_limit\":5,\"tags\":[\"x\",\"y:z\"],"
           "\"metadata\":{\"n\":1.5,\"tags\":[\"t\"],\"f\":false}}");
    member("key", key, sizeof(key));
    member("token", token, sizeof(token));
    expect_text("\"tags\":[\"f:false\",\"n:1.5\",\"t\",\"x\",\"y:z\"]");
    expect_text("\"budget_duration\":\"7d\"");
    snprintf(path, sizeof(path), "/key/info?key=%s", key);
    expect(200, "GET", path, NULL);
    snprintf(
        body, sizeof(body),
        "{\"key\":\"%s\",\"max_budget\":null,\"rpm_limit\":null,\"tags\":null,\"duration\":null}",
        key);
    expect(200, "POST", "/key/update", body);
    expect_text("\"tags\":[]");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind IN ('budgets', 'quotas')"),
                     0);
    expect(200, "POST", "/key/update", body); /* nothing to change makes no revision */
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), 3);
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", token);
    expect(200, "POST", "/key/block", body);
    expect(200, "POST", "/key/unblock", body);
    snprintf(path, sizeof(path), "/key/%s/regenerate", token);
    expect(200, "POST", path, "{}");
    expect(400, "POST", path, body); /* in both places */
    expect(200, "GET", "/key/list?return_full_object=true&page=1&size=2", NULL);
    expect_text("\"total_count\":1");
    expect(404, "POST", "/key/delete", "{\"keys\":[\"a\",\"b\"]}");
    expect_text("\"param\":\"keys[1]\"");
    expect(200, "POST", "/key/delete", "{\"key_aliases\":[\"a\"]}");
}

static void
test_teams_and_users(void **state)
{
    (void)state;
    expect(200, "POST", "/team/new",
           "{\"team_alias\":\"t\",\"models\":[\"m\"],\"max_budget\":1,\"members_with_roles\":"
           "[{\"role\":\"user\",\"user_id\":\"u\"},{\"user_email\":\"v@w\"}]}");
    expect(200, "POST", "/team/update", "{\"team_id\":\"t\",\"models\":null,\"tpm_limit\":9}");
    expect(200, "POST", "/team/member_add", "{\"team_id\":\"t\",\"member\":{\"user_id\":\"w\"}}");
    expect(400, "POST", "/team/member_add", "{\"team_id\":\"t\",\"member\":[{}]}");
    expect(400, "POST", "/team/member_add", "{\"team_id\":\"t\",\"member\":\"w\"}");
    expect(200, "POST", "/team/member_delete", "{\"team_id\":\"t\",\"user_id\":\"w\"}");
    expect(400, "POST", "/team/member_delete", "{\"team_id\":\"t\",\"user_id\":\"w\"}");
    expect(200, "POST", "/team/block", "{\"team_id\":\"t\"}");
    expect(200, "POST", "/user/new",
           "{\"user_email\":\"x@y\",\"teams\":[\"t\"],\"rpm_limit\":3,\"duration\":\"1d\"}");
    expect(400, "POST", "/user/new", "{\"user_id\":\"x@y\"}");
    expect(200, "POST", "/user/update", "{\"user_id\":\"x@y\",\"blocked\":true}");
    expect(200, "GET", "/user/info?user_id=x@y", NULL);
    expect_text("\"team_id\":\"t\"");
    expect(200, "GET", "/team/info?team_id=t", NULL);
    expect(200, "GET", "/team/list?user_id=x@y", NULL);
    expect(200, "GET", "/v2/team/list?team_id=t&page_size=1", NULL);
    expect(200, "GET", "/user/list?team=t", NULL);
    expect_text("\"total\":3");
    expect(200, "POST", "/team/delete", "{\"team_ids\":[\"t\"]}");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind IN ('keys', 'budgets') "
                         "OR body ? 'teams'"),
                     0);
    expect(200, "POST", "/user/delete", "{\"user_ids\":[\"x@y\",\"u\"]}");
    expect_text("2");
}

static void
test_spend_and_models(void **state)
{
    (void)state;
    expect(200, "GET", "/spend/logs", NULL);
    expect(200, "GET", "/spend/logs?start_date=2026-01-01&end_date=2026-02-01", NULL);
    expect(400, "GET", "/spend/logs?start_date=2026-01-01&end_date=2026-02-01&request_id=x", NULL);
    expect(200, "GET", "/global/spend", NULL);
    expect(201, "POST", "/api/v1/providers",
           "{\"name\":\"p\",\"kind\":\"openai\",\"credential\":\"c\"}");
    expect(201, "POST", "/api/v1/models",
           "{\"name\":\"m\",\"targets\":[{\"provider\":\"p\",\"model\":\"gpt-4o\"}]}");
    expect(200, "GET", "/model/info", NULL);
    expect_text("\"model\":\"openai/gpt-4o\"");
    expect_text("input_cost_per_token"); /* of the built-in book */
    expect(404, "GET", "/model/info?litellm_model_id=x", NULL);
    expect(200, "GET", "/v1/models", NULL);
}

/* Whatever is sent, an answer in LiteLLM's form, and nothing is changed. */
static void
test_refusals(void **state)
{
    static const char *const bodies[] = {"[]",
                                         "{",
                                         "null",
                                         "{\"key\":1}",
                                         "{\"keys\":\"x\"}",
                                         "{\"keys\":[1]}",
                                         "{\"metadata\":[1]}",
                                         "{\"metadata\":{\"tags\":\"x\"}}",
                                         "{\"team_ids\":[\"\"]}",
                                         "{\"max_budget\":1e99}",
                                         "{\"member\":{\"x\":1}}",
                                         "{\"key\":\"a\\u0000b\"}",
                                         "{\"aliases\":{\"a\":\"b\"}}",
                                         "{\"models\":[\"\\u00e9\"]}"};
    static const char *const queries[] = {"key=%00", "key=%ff",     "page=0",
                                          "size=x",  "team_id=%ff", "user_id=%C3"};
    int64_t before = ask("SELECT max(revision) FROM revisions");
    char path[128];
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        if (!(r->access & API_LITELLM) || strchr(r->path, '{'))
            continue;
        for (size_t k = 0; r->body && k < sizeof(bodies) / sizeof(bodies[0]); k++) {
            struct got *g = call("POST", r->path, bodies[k]);
            if (g->status >= 500 || g->status < 400 ||
                json_kind(json_get(g->body, "error")) != JSON_MAP)
                fail_msg("%s %s: %d %s", r->path, bodies[k], g->status, g->text);
            got_free(g);
        }
        for (size_t k = 0; !r->body && k < sizeof(queries) / sizeof(queries[0]); k++) {
            snprintf(path, sizeof(path), "%s?%s", r->path, queries[k]);
            struct got *g = call("GET", path, NULL);
            if (g->status >= 500 ||
                (g->status >= 400 && json_kind(json_get(g->body, "error")) != JSON_MAP))
                fail_msg("%s: %d %s", path, g->status, g->text);
            got_free(g);
        }
    }
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_teams_and_users),
        cmocka_unit_test(test_spend_and_models),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, start, admin_stop);
}
