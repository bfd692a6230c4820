/* Who may call what, over real HTTP: generated from the route table. */
#include "tests/unit/controlplane/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "controlplane/api/dispatch.h"

/* A path of the table with something in the place of its parameters. */
static void
concrete(const char *pattern, char *into, size_t room)
{
    const char *brace = strchr(pattern, '{');
    if (!brace)
        snprintf(into, room, "%s", pattern);
    else
        snprintf(into, room, "%.*s1%s", (int)(brace - pattern), pattern, strchr(brace, '}') + 1);
}

static int
status_of(const struct route *route, const struct want *w)
{
    char path[256];
    concrete(route->path, path, sizeof(path));
    struct got *g = call_with(w, route->method, path, NULL);
    int status = g->status;
    const char *form =
        api_is_scim(slice_of(path)) ? "application/scim+json" : "application/problem+json";
    if (status >= 400 && strcmp(route->permission, "public") != 0 &&
        strcmp(g->content_type, form) != 0)
        fail_msg("%s %s: %d is no %s", route->method, path, status, form);
    got_free(g);
    return status;
}

/* F158, the operation-level half: every row of the table, every kind of caller. */
static void
test_f158_every_route_with_every_caller(void **state)
{
    (void)state;
    static char random_token[TOKEN_TEXT_BYTES + 1];
    secrets_mint_token(random_token);
    const struct want strangers[] = {
        {.token = ""},
        {.token = random_token},
        {.token = expired_token},
        {.token = "sk-hg-0000000000000000000000000000000000000000000"},
        {.authorization = "Basic cm9vdDpyb290"},
        {.authorization = admin_token},
    };
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        bool is_public = strcmp(r->permission, "public") == 0;
        if (r->access & API_LITELLM) /* not there unless it is asked for: test_litellm.c */
            continue;
        for (size_t k = 0; k < sizeof(strangers) / sizeof(strangers[0]); k++) {
            int status = status_of(r, &strangers[k]);
            if ((status == 401) == is_public)
                fail_msg("%s %s: stranger %zu got %d", r->method, r->path, k, status);
        }
        int reader = status_of(r, &(struct want){.token = reader_token, .if_match = "*"});
        bool may_read = is_public || strcmp(r->permission, "self") == 0 ||
                        api_route_foreign(r).at ||
                        slice_ends(slice_of(r->permission), SLICE(".read"));
        if (reader == 401 || (reader == 403) == may_read)
            fail_msg("%s %s: the reader got %d", r->method, r->path, reader);
        int admin = status_of(r, &(struct want){.if_match = "*"});
        if (admin == 401 || admin == 403 || admin >= 500)
            fail_msg("%s %s: the admin got %d", r->method, r->path, admin);
    }
    /* Nothing of this changed anything. */
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 0);
    assert_int_equal(ask("SELECT count(*) FROM admin_tokens"), 3);
}

/* A new row cannot come without a permission, and a read cannot be a write. */
static void
test_the_table_is_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct route *r = &api_routes[i];
        assert_non_null(r->handler);
        assert_non_null(r->summary);
        bool is_public = strcmp(r->permission, "public") == 0;
        if (api_is_scim(slice_of(r->path))) { /* one permission for all of it; searches are POSTs */
            assert_string_equal(r->permission, "scim.provision");
            assert_true(((r->access & API_WRITE) != 0) == (r->audit != NULL));
            continue;
        }
        bool gets = strcmp(r->method, "GET") == 0,
             self = strcmp(r->permission, "self") == 0 || api_route_foreign(r).at;
        bool reads = self ? gets : slice_ends(slice_of(r->permission), SLICE(".read"));
        static const struct slice verbs[] = {{".create", 7},  {".write", 6},  {".delete", 7},
                                             {".apply", 6},   {".rotate", 7}, {".rerate", 7},
                                             {".refresh", 8}, {".reseal", 7}};
        bool writes = self && !gets;
        for (size_t k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++)
            writes = writes || slice_ends(slice_of(r->permission), verbs[k]);
        assert_true(is_public || reads || writes);
        assert_true(writes == ((r->access & API_WRITE) != 0));
        assert_true(writes == (r->audit != NULL));
        assert_true(is_public || reads == gets);
        assert_true(!is_public || strncmp(r->path, "/api/", 5) != 0);
    }
}

/* A GET written by hand: our own client refuses to send such paths. Gives the status. */
static int
raw_get(const char *path)
{
    char text[4096];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)admin_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), status = 0;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    int n = snprintf(text, sizeof(text),
                     "GET %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n", path,
                     admin_token);
    assert_int_equal(write(fd, text, (size_t)n), n);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    text[got > 0 ? got : 0] = '\0';
    assert_int_equal(sscanf(text, "HTTP/1.1 %d", &status), 1);
    close(fd);
    return status;
}

static void
test_f151_hostile_authorization(void **state)
{
    (void)state;
    static const char *const values[] = {
        "Bearer ' OR '1'='1",
        "Bearer \"; DROP TABLE admin_tokens; --",
        "Bearer",
        "Bearer ",
        "bearer  x",
        "Bearer Bearer x",
        "Bearer hgat_",
        "hgat_",
        "Bearer %00",
        "Bearer +ADw-",
        "Bearer hgat_' OR 1=1 -- 0000000000000000000000000000000000",
        "Digest x",
        "Bearer \xc3\xa9\xe2\x82\xac"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        expect_with(&(struct want){.authorization = values[i]}, 401, "GET", "/api/v1/teams", NULL);
    char long_value[8000];
    memset(long_value, 'a', sizeof(long_value));
    memcpy(long_value, "Bearer hgat_", 12);
    long_value[sizeof(long_value) - 1] = '\0';
    expect_with(&(struct want){.authorization = long_value}, 401, "POST", "/api/v1/teams", "{}");
    assert_int_equal(ask("SELECT count(*) FROM admin_tokens"), 3);
}

static void
test_f151_hostile_values_elsewhere(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/api/v1/teams/'%3B%20DROP%20TABLE%20config_items%3B--",
        "/api/v1/teams/%27%20OR%20%271%27=%271",
        "/api/v1/audit?actor=%27%20OR%201=1--",
        "/api/v1/audit?object=%22%3B--",
        "/api/v1/keys?team=%27%3B%20DELETE%20FROM%20admin_tokens%3B--",
        "/api/v1/teams/%C3%A9",
        "/api/v1/tokens/%27--"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct got *g = call("GET", paths[i], NULL);
        if (g->status != 200 && g->status != 404 && g->status != 405)
            fail_msg("%s: %d %s", paths[i], g->status, g->text);
        got_free(g);
    }
    assert_int_equal(raw_get("/api/v1/teams/a%00b"), 400);
    assert_int_equal(raw_get("/api/v1/teams/a%zz"), 400);
    assert_int_equal(raw_get("/api/v1/audit?actor=a%00b"), 400);
    assert_int_equal(raw_get("/api/v1/audit?actor=%"), 400);
    expect(400, "GET", "/api/v1/teams?limit=1%27", NULL);
    expect(404, "GET", "/api/v1/revisions/1%3B", NULL);
    assert_int_equal(ask("SELECT count(*) FROM admin_tokens"), 3);
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 0);
}

/* F153: one path decides permission and handler; nothing is normalised on the way. */
static void
test_f153_one_meaning_of_a_path(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/api/v1//teams",     "//api/v1/teams",           "/api/v1/teams/", "/api/v1/./teams",
        "/api/v1/x/../teams", "/api/v1/%74eams",          "/API/v1/teams",  "/api/v1/teams%2Fx",
        "/healthz/",          "/healthz/../api/v1/teams", "/metrics/x"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct got *with = call("GET", paths[i], NULL);
        struct got *without = call_with(&(struct want){.token = ""}, "GET", paths[i], NULL);
        if ((with->status != 404 && with->status != 400) ||
            (without->status != 401 && without->status != 400))
            fail_msg("%s: %d with, %d without a token", paths[i], with->status, without->status);
        got_free(with);
        got_free(without);
    }
    int status = raw_get("/readyz%00");
    assert_true(status == 400 || status == 404);
    expect(405, "POST", "/api/v1/whoami", "{}");
    expect_with(&(struct want){.token = ""}, 401, "POST", "/api/v1/whoami", "{}");
}

static void
test_roles(void **state)
{
    (void)state;
    expect_with(&(struct want){.token = reader_token}, 200, "GET", "/api/v1/whoami", NULL);
    expect_text("\"role\":\"read-only\"");
    expect_text("teams.read");
}

static void
test_tokens_come_and_go(void **state)
{
    (void)state;
    struct got *g = call("POST", "/api/v1/tokens", "{\"name\":\"ci\",\"role\":\"read-only\"}");
    assert_int_equal(g->status, 201);
    char token[64];
    snprintf(token, sizeof(token), "%s", json_str(json_get(g->body, "token")).at);
    got_free(g);
    expect_with(&(struct want){.token = token}, 200, "GET", "/api/v1/teams", NULL);
    expect_with(&(struct want){.token = token}, 403, "POST", "/api/v1/teams", "{\"name\":\"t\"}");
    expect(409, "POST", "/api/v1/tokens", "{\"name\":\"ci\",\"role\":\"admin\"}");
    expect(400, "POST", "/api/v1/tokens", "{\"name\":\"x\",\"role\":\"super\"}");
    expect(200, "GET", "/api/v1/tokens", NULL);
    if (strstr(got_text, token))
        fail_msg("the list shows a token");
    assert_int_equal(ask("SELECT count(*) FROM admin_tokens t WHERE t::text LIKE '%hgat\\_%' AND "
                         "length(prefix) > 8"),
                     0);
    expect(204, "DELETE", "/api/v1/tokens/ci", NULL);
    expect_with(&(struct want){.token = token}, 401, "GET", "/api/v1/teams", NULL);
    expect(404, "DELETE", "/api/v1/tokens/ci", NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_complete),
        cmocka_unit_test(test_f158_every_route_with_every_caller),
        cmocka_unit_test(test_f151_hostile_authorization),
        cmocka_unit_test(test_f151_hostile_values_elsewhere),
        cmocka_unit_test(test_f153_one_meaning_of_a_path),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_tokens_come_and_go),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
