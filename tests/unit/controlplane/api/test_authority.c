/* Roles, groups and bindings over real HTTP: who reaches what, and that nobody gives away more than
 * they have. */
#include "tests/unit/controlplane/admin.h"

#include "controlplane/api/dispatch.h"
#include "controlplane/rules/permissions.h"

static char lead_token[64], dev_token[64], boss_token[64], nobody_token[64];

static void
mint(const char *name, const char *user, char into[64])
{
    char body[256];
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"user\":\"%s\"}", name, user);
    struct got *g = call("POST", "/api/v1/tokens", body);
    if (g->status != 201)
        fail_msg("%s: %s", name, g->text);
    snprintf(into, 64, "%s", json_str(json_get(g->body, "token")).at);
    got_free(g);
}

/* Two teams with a project and a key each; lea leads red, dan develops red's project, bob is admin,
 * nina has nothing. */
static int
populate(void **state)
{
    (void)admin_fresh(state);
    expect(
        200, "POST", "/api/v1/config/apply",
        "{\"document\":{\"teams\":[{\"name\":\"red\"},{\"name\":\"blue\"}],"
        "\"projects\":[{\"name\":\"rp\",\"team\":\"red\"},{\"name\":\"bp\",\"team\":\"blue\"}],"
        "\"users\":[{\"name\":\"lea\"},{\"name\":\"dan\"},{\"name\":\"bob\"},{\"name\":\"nina\"}],"
        "\"groups\":[{\"name\":\"leads\",\"users\":[\"lea\"]},"
        "{\"name\":\"outer\",\"groups\":[\"leads\"]}],"
        "\"bindings\":[{\"name\":\"b1\",\"role\":\"team-admin\",\"groups\":[\"outer\"],"
        "\"team\":\"red\"},"
        "{\"name\":\"b2\",\"role\":\"developer\",\"users\":[\"dan\"],\"project\":\"rp\"},"
        "{\"name\":\"b3\",\"role\":\"admin\",\"users\":[\"bob\"]}],"
        "\"keys\":[{\"name\":\"rk\",\"team\":\"red\",\"project\":\"rp\"},"
        "{\"name\":\"rk0\",\"team\":\"red\"},"
        "{\"name\":\"bk\",\"team\":\"blue\",\"project\":\"bp\"}]}}");
    mint("lea", "lea", lead_token);
    mint("dan", "dan", dev_token);
    mint("bob", "bob", boss_token);
    mint("nina", "nina", nobody_token);
    return 0;
}

static void
as(const char *token, int status, const char *method, const char *path, const char *body)
{
    expect_with(&(struct want){.token = token, .if_match = "*"}, status, method, path, body);
}

static void
expect_no_text(const char *part)
{
    if (strstr(got_text, part))
        fail_msg("\"%s\" is in %s", part, got_text);
}

static void
test_f158_lists_show_ones_own(void **state)
{
    (void)state;
    static const char *const kinds_of[] = {"teams", "projects", "keys", "bindings"};
    static const char *const reds[] = {"\"red\"", "\"rp\"", "\"rk\"", "\"b2\""};
    static const char *const blues[] = {"\"blue\"", "\"bp\"", "\"bk\"", "\"b3\""};
    char path[64];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "/api/v1/%s", kinds_of[i]);
        as(lead_token, 200, "GET", path, NULL);
        expect_text(reds[i]);
        expect_no_text(blues[i]);
    }
    as(dev_token, 200, "GET", "/api/v1/keys", NULL);
    expect_text("\"rk\"");
    expect_no_text("\"rk0\"");
    as(lead_token, 200, "GET", "/api/v1/keys?team=blue", NULL);
    expect_no_text("\"bk\"");
    as(lead_token, 403, "GET", "/api/v1/users", NULL);
    as(lead_token, 403, "GET", "/api/v1/audit", NULL);
    as(lead_token, 403, "GET", "/api/v1/config", NULL);
    as(nobody_token, 403, "GET", "/api/v1/keys", NULL);
    as(nobody_token, 200, "GET", "/api/v1/whoami", NULL);
}

/* F177: somebody else's is as if it were not there, to the byte. */
static void
test_f177_a_foreign_object_is_a_missing_one(void **state)
{
    static const struct {
        const char *method, *body;
    } calls[] = {
        {"GET", NULL},
        {"PATCH", "{\"disabled\":true}"},
        {"PUT", "{\"name\":\"bk\",\"team\":\"blue\"}"},
        {"DELETE", NULL},
    };
    char missing[65536];
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        as(lead_token, 404, calls[i].method, "/api/v1/keys/xx", calls[i].body);
        snprintf(missing, sizeof(missing), "%.*s", (int)(strstr(got_text, "request_id") - got_text),
                 got_text);
        as(lead_token, 404, calls[i].method, "/api/v1/keys/bk", calls[i].body);
        char *name = strstr(got_text, "'bk'");
        assert_non_null(name);
        memcpy(name, "'xx'", 4);
        assert_memory_equal(got_text, missing, strlen(missing));
    }
    as(lead_token, 404, "POST", "/api/v1/keys/bk/rotate", NULL);
    /* What may be seen but not touched is a 403: there is nothing to hide. */
    as(dev_token, 403, "DELETE", "/api/v1/keys/rk", NULL);
    as(dev_token, 404, "GET", "/api/v1/keys/rk0", NULL);
}

static void
test_f158_writes_stay_in_their_team(void **state)
{
    (void)state;
    as(lead_token, 201, "POST", "/api/v1/keys", "{\"name\":\"n1\",\"team\":\"red\"}");
    as(lead_token, 403, "POST", "/api/v1/keys", "{\"name\":\"n2\",\"team\":\"blue\"}");
    as(lead_token, 403, "POST", "/api/v1/keys", "{\"name\":\"n2\",\"team\":\"no-such-team\"}");
    as(lead_token, 403, "PATCH", "/api/v1/keys/n1", "{\"team\":\"blue\"}");
    as(dev_token, 403, "POST", "/api/v1/keys", "{\"name\":\"n3\",\"team\":\"red\"}");
    as(dev_token, 201, "POST", "/api/v1/keys",
       "{\"name\":\"n3\",\"team\":\"red\",\"project\":\"rp\"}");
    /* A project of another team and none at all sound the same. */
    as(lead_token, 400, "POST", "/api/v1/keys",
       "{\"name\":\"n4\",\"team\":\"red\",\"project\":\"bp\"}");
    expect_text("project: names something that is not there, or not in your reach");
    expect_no_text("blue");
    as(lead_token, 400, "POST", "/api/v1/keys",
       "{\"name\":\"n4\",\"team\":\"red\",\"project\":\"bpp\"}");
    expect_text("project: names something that is not there, or not in your reach");
    as(lead_token, 403, "POST", "/api/v1/config/apply", "{\"document\":{}}");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'keys' "
                         "AND body ->> 'team' = 'blue'"),
                     1);
}

static void
test_nobody_gives_what_they_lack(void **state)
{
    (void)state;
    /* A lead binds roles for the own team, up to the own. */
    as(lead_token, 201, "POST", "/api/v1/bindings",
       "{\"name\":\"l1\",\"role\":\"developer\",\"users\":[\"nina\"],\"team\":\"red\"}");
    as(lead_token, 201, "POST", "/api/v1/bindings",
       "{\"name\":\"l2\",\"role\":\"developer\",\"users\":[\"nina\"],\"project\":\"rp\"}");
    static const char *const too_much[] = {
        "{\"name\":\"x\",\"role\":\"owner\",\"users\":[\"lea\"],\"team\":\"red\"}",
        "{\"name\":\"x\",\"role\":\"auditor\",\"users\":[\"lea\"],\"team\":\"red\"}",
        "{\"name\":\"x\",\"role\":\"team-admin\",\"users\":[\"lea\"],\"team\":\"blue\"}",
        "{\"name\":\"x\",\"role\":\"team-admin\",\"users\":[\"lea\"],\"project\":\"bp\"}",
        "{\"name\":\"x\",\"role\":\"team-admin\",\"users\":[\"lea\"]}",
    };
    for (size_t i = 0; i < sizeof(too_much) / sizeof(too_much[0]); i++)
        as(lead_token, 403, "POST", "/api/v1/bindings", too_much[i]);
    /* An admin is no owner, by whatever way: bindings, groups, roles, tokens, a whole document. */
    as(boss_token, 403, "POST", "/api/v1/bindings",
       "{\"name\":\"x\",\"role\":\"owner\",\"users\":[\"bob\"]}");
    expect_text("escalation");
    as(boss_token, 403, "POST", "/api/v1/roles", "{\"name\":\"r\",\"permissions\":[\"*\"]}");
    as(boss_token, 403, "POST", "/api/v1/tokens", "{\"name\":\"x\",\"role\":\"admin\"}");
    as(boss_token, 201, "POST", "/api/v1/tokens", "{\"name\":\"x\",\"role\":\"read-only\"}");
    expect(201, "POST", "/api/v1/groups", "{\"name\":\"owners\"}");
    expect(201, "POST", "/api/v1/bindings",
           "{\"name\":\"top\",\"role\":\"owner\",\"groups\":[\"owners\"]}");
    as(boss_token, 403, "PATCH", "/api/v1/groups/owners", "{\"users\":[\"bob\"]}");
    as(boss_token, 403, "PATCH", "/api/v1/groups/owners", "{\"groups\":[\"leads\"]}");
    as(boss_token, 403, "POST", "/api/v1/config/apply",
       "{\"document\":{\"groups\":[{\"name\":\"owners\",\"users\":[\"bob\"]}]}}");
    expect_text("escalation");
    as(boss_token, 403, "POST", "/api/v1/config/apply",
       "{\"dry_run\":true,\"document\":{\"bindings\":[{\"name\":\"y\",\"role\":\"owner\","
       "\"users\":[\"nina\"]}]}}");
    /* Nor does an admin take from an owner. */
    expect(200, "PATCH", "/api/v1/groups/owners", "{\"users\":[\"lea\"]}");
    as(boss_token, 403, "DELETE", "/api/v1/bindings/top", NULL);
    as(boss_token, 403, "PATCH", "/api/v1/groups/owners", "{\"users\":[]}");
    as(boss_token, 403, "PATCH", "/api/v1/users/lea", "{\"disabled\":true}");
    as(boss_token, 403, "DELETE", "/api/v1/tokens/root", NULL);
    /* What is one's own one may give: a lead's token by the admin, who has all of it. */
    as(boss_token, 201, "POST", "/api/v1/tokens", "{\"name\":\"dan2\",\"user\":\"dan\"}");
    as(boss_token, 403, "POST", "/api/v1/tokens", "{\"name\":\"lea2\",\"user\":\"lea\"}");
}

static void
test_custom_roles(void **state)
{
    (void)state;
    expect(400, "POST", "/api/v1/roles", "{\"name\":\"owner\",\"permissions\":[\"*\"]}");
    expect_text("built-in");
    expect(400, "POST", "/api/v1/roles", "{\"name\":\"r\",\"permissions\":[\"keys.creat\"]}");
    expect_text("did you mean 'keys.create'?");
    expect(400, "POST", "/api/v1/bindings", "{\"name\":\"x\",\"role\":\"nope\"}");
    expect(201, "POST", "/api/v1/roles",
           "{\"name\":\"looker\",\"permissions\":[\"keys.read\",\"teams.read\"]}");
    expect(201, "POST", "/api/v1/bindings",
           "{\"name\":\"c\",\"role\":\"looker\",\"users\":[\"nina\"],\"team\":\"blue\"}");
    as(nobody_token, 200, "GET", "/api/v1/keys/bk", NULL);
    as(nobody_token, 404, "GET", "/api/v1/keys/rk", NULL);
    as(nobody_token, 403, "DELETE", "/api/v1/keys/bk", NULL);
    expect(409, "DELETE", "/api/v1/roles/looker", NULL);
    /* A change of the role holds at once. */
    expect(200, "PATCH", "/api/v1/roles/looker", "{\"permissions\":[\"teams.read\"]}");
    as(nobody_token, 403, "GET", "/api/v1/keys/bk", NULL);
    expect(400, "POST", "/api/v1/bindings",
           "{\"name\":\"z\",\"role\":\"looker\",\"team\":\"red\",\"project\":\"rp\"}");
    expect_text("not both");
}

static void
test_groups_do_not_contain_themselves(void **state)
{
    (void)state;
    expect(400, "PATCH", "/api/v1/groups/leads", "{\"groups\":[\"outer\"]}");
    expect_text("'leads' > 'outer' > 'leads'");
    expect(400, "PATCH", "/api/v1/groups/leads", "{\"groups\":[\"leads\"]}");
    expect_text("'leads' > 'leads'");
    expect(400, "POST", "/api/v1/config/apply",
           "{\"document\":{\"groups\":[{\"name\":\"g1\",\"groups\":[\"g2\"]},"
           "{\"name\":\"g2\",\"groups\":[\"g3\"]},{\"name\":\"g3\",\"groups\":[\"g1\"]}]}}");
    expect_text("group_cycle");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'groups'"), 2);
}

/* A chain of groups, the last within the one before: as deep as it may be, and one deeper. */
static void
test_groups_are_bounded_in_depth(void **state)
{
    (void)state;
    for (int depth = 64; depth <= 65; depth++) {
        struct buf text;
        buf_init(&text, 0);
        assert_int_equal(buf_add_str(&text, "{\"document\":{\"groups\":["), 0);
        for (int i = 0; i < depth - 1; i++)
            assert_int_equal(buf_addf(&text, "{\"name\":\"c%d\",\"groups\":[\"c%d\"]},", i, i + 1),
                             0);
        assert_int_equal(buf_addf(&text, "{\"name\":\"c%d\"}]}}", depth - 1), 0);
        expect(depth == 64 ? 200 : 400, "POST", "/api/v1/config/apply", buf_str(&text));
        buf_free(&text);
    }
    expect_text("more than 64 within each other");
}

static void
test_a_token_lives_with_its_user(void **state)
{
    (void)state;
    expect(400, "POST", "/api/v1/tokens", "{\"name\":\"t\"}");
    expect(400, "POST", "/api/v1/tokens", "{\"name\":\"t\",\"user\":\"dan\",\"role\":\"admin\"}");
    expect(400, "POST", "/api/v1/tokens", "{\"name\":\"t\",\"user\":\"ghost\"}");
    as(dev_token, 200, "GET", "/api/v1/whoami", NULL);
    expect_text("\"user\":\"dan\"");
    expect_text("\"project\":\"rp\"");
    expect(200, "PATCH", "/api/v1/users/dan", "{\"disabled\":true}");
    as(dev_token, 401, "GET", "/api/v1/whoami", NULL);
    expect(200, "PATCH", "/api/v1/users/dan", "{\"disabled\":false}");
    as(dev_token, 200, "GET", "/api/v1/keys", NULL);
    /* A user that is made anew is another one: the old tokens are gone for good. */
    expect(200, "PATCH", "/api/v1/bindings/b2", "{\"users\":[]}");
    expect(204, "DELETE", "/api/v1/users/dan", NULL);
    expect(201, "POST", "/api/v1/users", "{\"name\":\"dan\"}");
    as(dev_token, 401, "GET", "/api/v1/whoami", NULL);
}

static void
test_can_explains(void **state)
{
    (void)state;
    expect(200, "GET", "/api/v1/can?as=lea&action=keys.create&resource=teams/red", NULL);
    expect_text("\"allowed\":true");
    expect_text("\"binding\":\"b1\"");
    expect_text("\"group\":\"outer\"");
    expect(200, "GET", "/api/v1/can?as=lea&action=keys.create&resource=keys/bk", NULL);
    expect_text("\"allowed\":false");
    expect_text("'lea' has keys.create only for team 'red' (role 'team-admin')");
    expect(200, "GET", "/api/v1/can?as=lea&action=audit.read", NULL);
    expect_text("none of the roles of 'lea' has the permission audit.read");
    expect(200, "GET", "/api/v1/can?as=nina&action=audit.read", NULL);
    expect_text("no binding gives 'nina' a role");
    expect(400, "GET", "/api/v1/can?as=nina&action=audit.eat", NULL);
    expect(404, "GET", "/api/v1/can?as=ghost&action=audit.read", NULL);
    expect(404, "GET", "/api/v1/can?action=keys.read&resource=keys/none", NULL);
    expect(400, "GET", "/api/v1/can?action=keys.read&resource=keys", NULL);
    as(lead_token, 200, "GET", "/api/v1/can?action=keys.create&resource=teams/red", NULL);
    as(lead_token, 403, "GET", "/api/v1/can?as=bob&action=keys.create", NULL);
    as(lead_token, 404, "GET", "/api/v1/can?action=keys.read&resource=keys/bk", NULL);
    as(lead_token, 404, "GET", "/api/v1/can?action=keys.read&resource=keys/none", NULL);
}

/* A new secret; the old one goes on in the snapshot until the grace ends. */
static void
test_rotation(void **state)
{
    (void)state;
    as(dev_token, 200, "POST", "/api/v1/keys/rk/rotate", "{\"grace_s\":60}");
    expect_text("\"key\":\"sk-hg-");
    expect_text("\"retired_until\":");
    expect_no_text("digest");
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'keys' AND name = 'rk' "
                         "AND body -> 'retired' ->> 'digest' <> body ->> 'digest'"),
                     1);
    /* A change of the key keeps both; an export has neither. */
    expect(200, "PATCH", "/api/v1/keys/rk", "{\"disabled\":true}");
    expect_text("retired_until");
    expect(200, "GET", "/api/v1/config", NULL);
    expect_no_text("retired");
    expect(200, "POST", "/api/v1/keys/rk/rotate", "{\"grace_s\":0}");
    expect_no_text("retired_until");
    expect(400, "POST", "/api/v1/keys/rk/rotate", "{\"grace_s\":2592001}");
    expect(400, "POST", "/api/v1/keys/rk/rotate", "{\"grace\":1}");
    as(boss_token, 200, "POST", "/api/v1/keys/rk/rotate", NULL); /* a day */
    expect_text("retired_until");
    assert_int_equal(ask("SELECT count(*) FROM audit_log WHERE action = 'key.rotate'"), 3);
    assert_int_equal(ask("SELECT count(*) FROM audit_log WHERE detail::text LIKE '%digest%'"), 0);
}

/* F174: somebody with a new token of an old name does not get the old one's answers. */
static void
test_f174_kept_answers_are_of_one_token(void **state)
{
    (void)state;
    const char *body = "{\"name\":\"kept\",\"team\":\"red\"}";
    char first[64], second[64];
    mint("twice", "lea", first);
    expect_with(&(struct want){.token = first, .idempotency_key = "k"}, 201, "POST", "/api/v1/keys",
                body);
    expect(204, "DELETE", "/api/v1/tokens/twice", NULL);
    mint("twice", "nina", second);
    expect_with(&(struct want){.token = second, .idempotency_key = "k"}, 403, "POST",
                "/api/v1/keys", body);
}

/* F174: what a caller may not set is no member. */
static void
test_f174_mass_assignment(void **state)
{
    static const char *const members[] = {"digest",     "prefix", "id",        "revision",
                                          "retired",    "spend",  "role",      "org_id",
                                          "created_at", "key",    "last_used", "retired_until"};
    char body[128];
    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        snprintf(body, sizeof(body), "{\"name\":\"m\",\"team\":\"red\",\"%s\":\"x\"}", members[i]);
        as(lead_token, 400, "POST", "/api/v1/keys", body);
        snprintf(body, sizeof(body), "{\"%s\":\"x\"}", members[i]);
        as(lead_token, 400, "PATCH", "/api/v1/keys/rk0", body);
    }
    as(lead_token, 400, "GET", "/api/v1/keys?limit=1001", NULL);
    as(lead_token, 400, "GET", "/api/v1/keys?limit=0", NULL);
    as(lead_token, 400, "GET", "/api/v1/keys?team=red&owner=x", NULL);
    as(lead_token, 200, "GET", "/api/v1/keys?team=red%27%20OR%20%271%27=%271", NULL);
    expect_text("\"data\":[]");
}

static void
test_every_route_has_a_permission_that_exists(void **state)
{
    const struct route *bad;
    (void)state;
    assert_true(api_routes_are_guarded(&bad));
    assert_int_equal(permission_find(SLICE("keys.*")), -1);
    assert_int_equal(permission_find(SLICE("")), -1);
    struct permissions none = {{0}};
    assert_false(permissions_has(&none, -1));
    /* Every permission opens something: one that does not is a mistake in the list. */
    for (size_t i = 0; i < permission_count(); i++) {
        char name[PERMISSION_TEXT_BYTES];
        bool used = false;
        permission_name(i, name);
        for (size_t k = 0; k < api_route_count; k++)
            used = used || strcmp(api_routes[k].permission, name) == 0 ||
                   slice_is(api_route_foreign(&api_routes[k]), name);
        if (!used)
            fail_msg("no route takes %s", name);
    }
}

#define POPULATED(test) cmocka_unit_test_setup(test, populate)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_has_a_permission_that_exists),
        POPULATED(test_f158_lists_show_ones_own),
        POPULATED(test_f177_a_foreign_object_is_a_missing_one),
        POPULATED(test_f158_writes_stay_in_their_team),
        POPULATED(test_nobody_gives_what_they_lack),
        POPULATED(test_custom_roles),
        POPULATED(test_groups_do_not_contain_themselves),
        POPULATED(test_groups_are_bounded_in_depth),
        POPULATED(test_a_token_lives_with_its_user),
        POPULATED(test_can_explains),
        POPULATED(test_rotation),
        POPULATED(test_f174_kept_answers_are_of_one_token),
        POPULATED(test_f174_mass_assignment),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
