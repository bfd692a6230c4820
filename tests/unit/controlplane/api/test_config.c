/* The configuration through the API: items, documents, revisions, conflicts, repeated calls. */
#include "tests/unit/controlplane/admin.h"

#define PROVIDER                                                                                   \
    "{\"name\":\"local\",\"kind\":\"openai-compatible\",\"base_url\":\"http://127.0.0.1:9/"        \
    "v1\",\"allow_private\":true,\"credential\":\"CANARY-credential-1\"}"
#define MODEL                                                                                      \
    "{\"name\":\"smart\",\"targets\":[{\"provider\":\"local\",\"model\":\"m1\",\"weight\":3}]}"
#define PRICE                                                                                      \
    "{\"provider\":\"local\",\"model\":\"m1\",\"input_per_mtok_usd\":2.5,\"output_per_mtok_usd\":" \
    "\"10\"}"
#define FULL                                                                                       \
    "{\"providers\":[" PROVIDER "],\"models\":[" MODEL                                             \
    "],\"teams\":[{\"name\":\"research\",\"allow\":{\"models\":[\"smart\",\"gpt-*\"]}},"           \
    "{\"name\":\"default\"}],\"projects\":[{\"name\":\"p1\",\"team\":\"research\"}],"              \
    "\"users\":[{\"name\":\"bot\",\"kind\":\"service\",\"teams\":[\"research\"]}],"                \
    "\"keys\":[{\"name\":\"ci\",\"team\":\"research\",\"project\":\"p1\",\"user\":\"bot\","        \
    "\"expires\":\"2099-01-01\",\"tags\":{\"a\":\"b\"}}],"                                         \
    "\"prices\":[" PRICE "]}"

static struct got *
apply(const char *document, const char *more)
{
    struct buf body;
    buf_init(&body, 0);
    assert_int_equal(buf_addf(&body, "{\"document\":%s%s}", document, more), 0);
    struct got *g = call_with(&(struct want){0}, "POST", "/api/v1/config/apply", buf_str(&body));
    buf_free(&body);
    return g;
}

static void
apply_ok(const char *document, const char *more, int64_t revision, size_t changes)
{
    int64_t got = -1;
    struct got *g = apply(document, more);
    if (g->status != 200 || json_to_int(json_get(g->body, "revision"), &got) != 0 ||
        got != revision || json_size(json_get(g->body, "changes")) != changes)
        fail_msg("%s%s: %d %s; want revision %d with %zu changes", document, more, g->status,
                 g->text, (int)revision, changes);
    got_free(g);
}

static void
apply_refused(const char *document, const char *more, int status, const char *code,
              const char *path, const char *part)
{
    struct got *g = apply(document, more);
    if (g->status != status || !slice_is(json_str(json_get(g->body, "code")), code) ||
        (path && !slice_is(json_str(json_get(g->body, "path")), path)) || !strstr(g->text, part))
        fail_msg("%s: %d %s; want %d %s at %s with \"%s\"", document, g->status, g->text, status,
                 code, path ? path : "-", part);
    got_free(g);
}

/* ---- documents ------------------------------------------------------------------------------- */

static void
test_apply_is_idempotent_and_export_applies_as_no_change(void **state)
{
    (void)state;
    apply_ok(FULL, ",\"dry_run\":true", 0, 8);
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 0);
    assert_int_equal(ask("SELECT count(*) FROM audit_log"), 0);
    apply_ok(FULL, ",\"note\":\"first\"", 1, 8);
    apply_ok(FULL, "", 1, 0);
    struct got *exported = call("GET", "/api/v1/config", NULL);
    assert_int_equal(exported->status, 200);
    assert_string_equal(exported->etag, "\"1\"");
    apply_ok(exported->text, ",\"prune\":true", 1, 0);
    got_free(exported);
    assert_int_equal(ask("SELECT count(*) FROM revisions"), 1);
    assert_int_equal(ask("SELECT count(*) FROM audit_log"), 1);
}

static void
test_apply_owns_the_lists_it_names_only(void **state)
{
    (void)state;
    apply_ok(FULL, "", 1, 8);
    apply_ok("{\"teams\":[{\"name\":\"third\"}]}", "", 2, 1); /* others stay */
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'teams'"), 3);
    apply_ok("{\"teams\":[{\"name\":\"research\",\"allow\":{\"models\":[\"smart\",\"gpt-*\"]}}]}",
             ",\"prune\":true", 3, 2);
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'teams'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind <> 'teams'"), 6);
    apply_ok("{\"prices\":[]}", "", 3, 0);
    apply_ok("{\"prices\":[]}", ",\"prune\":true", 4, 1);
    apply_ok("{}", ",\"prune\":true", 4, 0);
}

static void
test_what_is_wrong_is_told_with_its_place_and_changes_nothing(void **state)
{
    (void)state;
    apply_ok(FULL, "", 1, 8);
    apply_refused("{\"modles\":[]}", "", 400, "unknown_field", "modles",
                  "did you mean \\\"models\\\"");
    apply_refused("{\"models\":[" MODEL
                  ",{\"name\":\"x\",\"targets\":[{\"provder\":\"local\",\"model\":\"y\"}]}]}",
                  "", 400, "unknown_field", "models[1].targets[0].provder",
                  "did you mean \\\"provider\\\"");
    apply_refused("{\"teams\":[{\"name\":\"new\"},{\"name\":\"new\"}]}", "", 400, "duplicate_name",
                  "teams[1].name", "is also at teams[0]");
    apply_refused(
        "{\"teams\":[{\"name\":\"new\"}],\"keys\":[{\"name\":\"k\",\"team\":\"resarch\"}]}", "",
        400, "unknown_reference", "keys[0].team", "did you mean 'research'");
    apply_refused(
        "{\"models\":[{\"name\":\"m\",\"targets\":[{\"provider\":\"locl\",\"model\":\"m1\"}]}]}",
        "", 400, "unknown_reference", "models[0].targets[0].provider", "did you mean 'local'");
    apply_refused("{\"teams\":[{\"name\":\"default\"}]}", ",\"prune\":true", 409, "in_use", NULL,
                  "team 'research' is still used by project 'p1', user 'bot', key 'ci'");
    apply_refused("{\"providers\":[]}", ",\"prune\":true", 409, "in_use", NULL,
                  "still used by model 'smart'");
    apply_refused("{\"keys\":[{\"name\":\"k\",\"team\":\"default\",\"project\":\"p1\"}]}", "", 400,
                  "unknown_reference", "keys[0].project", "belongs to team 'research'");
    apply_refused("{\"projects\":[{\"name\":\"p1\",\"team\":\"default\"}]}", "", 400,
                  "unknown_reference", "projects[0].team", "key 'ci' to another");
    apply_refused("{\"providers\":[{\"name\":\"other\",\"kind\":\"openai\",\"credential\":\"sealed:"
                  "0011223344556677\"}]}",
                  "", 400, "unknown_marker", "providers[0].credential", "does not have");
    apply_refused("{\"teams\":[{\"name\":\"new\"}]}", ",\"prun\":true", 400, "unknown_field",
                  "prun", "did you mean \\\"prune\\\"");
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), 1);
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 8);
    assert_int_equal(ask("SELECT count(*) FROM audit_log"), 1);
}

static void
test_apply_against_an_older_base_is_refused(void **state)
{
    (void)state;
    apply_ok(FULL, "", 1, 8);
    expect_with(&(struct want){.if_match = "\"1\""}, 200, "POST", "/api/v1/config/apply",
                "{\"document\":{\"teams\":[{\"name\":\"a\"}]}}");
    expect_with(&(struct want){.if_match = "\"1\""}, 412, "POST", "/api/v1/config/apply",
                "{\"document\":{\"teams\":[{\"name\":\"b\"}]}}");
}

/* ---- going back ------------------------------------------------------------------------------ */

static void
test_rollback_restores_everything_as_a_new_revision(void **state)
{
    (void)state;
    apply_ok(FULL, "", 1, 8);
    int64_t digests =
        ask("SELECT hashtext(string_agg(body ->> 'digest' || id, ',')) FROM config_items "
            "WHERE kind = 'keys'");
    struct got *before = call("GET", "/api/v1/config", NULL);
    expect(204, "DELETE", "/api/v1/keys/ci", NULL);
    expect(200, "PATCH", "/api/v1/models/smart", "{\"free\":true}");
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"later\"}");
    expect(200, "POST", "/api/v1/revisions/1/rollback", "{\"dry_run\":true}");
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), 4);
    expect(200, "POST", "/api/v1/revisions/1/rollback", "{\"note\":\"oops\"}");
    expect_text("\"revision\":5");
    expect_text("the key 'ci', deleted since, works again");
    struct got *after = call("GET", "/api/v1/config", NULL);
    assert_string_equal(before->text, after->text);
    assert_int_equal(
        ask("SELECT hashtext(string_agg(body ->> 'digest' || id, ',')) FROM config_items "
            "WHERE kind = 'keys'"),
        digests);
    assert_int_equal(ask("SELECT rollback_of FROM revisions WHERE revision = 5"), 1);
    /* Again: nothing to do. To nothing, and back. */
    expect(200, "POST", "/api/v1/revisions/1/rollback", NULL);
    expect_text("\"revision\":5,\"dry_run\":false,\"changes\":[]");
    expect(200, "POST", "/api/v1/revisions/0/rollback", "{}");
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 0);
    expect(200, "POST", "/api/v1/revisions/5/rollback", "{}");
    struct got *again = call("GET", "/api/v1/config", NULL);
    assert_string_equal(before->text, again->text);
    got_free(before);
    got_free(after);
    got_free(again);
    expect(404, "POST", "/api/v1/revisions/99/rollback", "{}");
    expect(404, "POST", "/api/v1/revisions/x/rollback", "{}");
    expect(200, "GET", "/api/v1/config?revision=2", NULL);
    assert_null(strstr(got_text, "\"keys\""));
    expect(404, "GET", "/api/v1/config?revision=99", NULL);
}

static void
test_revisions_tell_what_changed(void **state)
{
    (void)state;
    apply_ok(FULL, ",\"note\":\"first\"", 1, 8);
    expect(200, "PATCH", "/api/v1/teams/default", "{\"disabled\":true}");
    expect(200, "GET", "/api/v1/revisions/2", NULL);
    expect_text(
        "\"action\":\"update\",\"before\":{\"name\":\"default\"},\"after\":{\"name\":\"default\","
        "\"disabled\":true}");
    expect(200, "GET", "/api/v1/revisions?limit=1", NULL);
    expect_text("\"revision\":2");
    expect_text("\"author\":\"root\"");
    expect(404, "GET", "/api/v1/revisions/3", NULL);
}

/* ---- items ----------------------------------------------------------------------------------- */

static void
test_items_by_name_and_id_with_etags(void **state)
{
    (void)state;
    struct got *g = call_with(&(struct want){0}, "POST", "/api/v1/teams", "{\"name\":\"a\"}");
    assert_int_equal(g->status, 201);
    assert_string_equal(g->etag, "\"1\"");
    expect(200, "GET", g->location, NULL);
    got_free(g);
    expect(409, "POST", "/api/v1/teams", "{\"name\":\"a\"}");
    const struct want none = {0}, stale = {.if_match = "\"7\""}, right = {.if_match = "\"1\""},
                      weak = {.if_match = "W/\"1\""};
    expect_with(&none, 428, "PUT", "/api/v1/teams/a", "{\"name\":\"a\"}");
    expect_with(&none, 428, "PATCH", "/api/v1/teams/a", "{}");
    expect_with(&none, 428, "DELETE", "/api/v1/teams/a", NULL);
    expect_with(&stale, 412, "PATCH", "/api/v1/teams/a", "{\"disabled\":true}");
    expect_with(&weak, 412, "PATCH", "/api/v1/teams/a", "{\"disabled\":true}");
    expect_with(&right, 200, "PATCH", "/api/v1/teams/a", "{\"disabled\":true}");
    expect_with(&right, 412, "PATCH", "/api/v1/teams/a", "{\"disabled\":false}");
    expect(200, "PUT", "/api/v1/teams/a", "{\"name\":\"a\",\"disabled\":true}");
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), 2); /* the same: no revision */
    expect(400, "PUT", "/api/v1/teams/a", "{\"name\":\"b\"}");
    expect_text("name_is_identity");
    expect(400, "PATCH", "/api/v1/teams/a", "{\"disabld\":true}");
    expect(400, "PATCH", "/api/v1/teams/a", "{\"id\":\"x\"}");
    expect(404, "PUT", "/api/v1/teams/b", "{\"name\":\"b\"}");
    expect(404, "GET", "/api/v1/teams/01a202ec-ba3e-726b-b617-d0cb6bc42714", NULL);
    expect(204, "DELETE", "/api/v1/teams/a", NULL);
    expect(404, "GET", "/api/v1/teams/a", NULL);
}

static void
test_a_key_shows_its_secret_once(void **state)
{
    (void)state;
    unsigned char digest[SHA256_BYTES];
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"t\"}");
    struct got *g =
        call_with(&(struct want){0}, "POST", "/api/v1/keys", "{\"name\":\"k\",\"team\":\"t\"}");
    assert_int_equal(g->status, 201);
    struct slice key = json_str(json_get(g->body, "key"));
    assert_int_equal(key.len, KEY_TEXT_BYTES);
    assert_true(slice_starts(key, SLICE("sk-hg-")));
    assert_int_equal(secrets_key_digest(plane.secrets, key, digest), 0);
    static const char *const paths[] = {"/api/v1/keys/k", "/api/v1/keys", "/api/v1/config",
                                        "/api/v1/revisions/2", "/api/v1/audit"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        expect(200, "GET", paths[i], NULL);
        if (strstr(got_text, key.at) || strstr(got_text, "digest"))
            fail_msg("%s shows a secret: %s", paths[i], got_text);
    }
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'keys' AND "
                         "length(body ->> 'digest') = 64 AND length(body ->> 'prefix') = 8"),
                     1);
    /* A change keeps the secret. */
    expect(200, "PATCH", "/api/v1/keys/k", "{\"disabled\":true}");
    assert_null(strstr(got_text, "\"key\""));
    assert_int_equal(
        ask("SELECT count(DISTINCT body ->> 'digest') FROM config_items, "
            "(SELECT after ->> 'digest' AS d FROM revision_changes WHERE kind = 'keys') c "
            "WHERE kind = 'keys' AND body ->> 'digest' = c.d"),
        1);
    got_free(g);
}

/* I7: a literal credential is in no answer, no table and no export. */
static void
test_f157_a_literal_credential_is_sealed(void **state)
{
    (void)state;
    apply_ok("{\"providers\":[" PROVIDER "]}", "", 1, 1);
    expect(200, "GET", "/api/v1/providers/local", NULL);
    expect_text("\"credential\":\"sealed:");
    expect(200, "PATCH", "/api/v1/providers/local", "{\"http\":\"2\"}"); /* keeps it */
    expect(200, "GET", "/api/v1/audit", NULL);
    assert_null(strstr(got_text, "CANARY"));
    char command[512];
    snprintf(command, sizeof(command),
             "%s/pg_dump -h %s -U postgres admin | grep -ci 'canary\\|%s'", pg_bin, pg_dir,
             "Q0FOQVJZ\\|43414e415259"); /* base64 and hex of CANARY */
    FILE *dump = popen(command, "r");
    int hits = -1;
    assert_int_equal(fscanf(dump, "%d", &hits), 1);
    pclose(dump);
    assert_int_equal(hits, 0);
    /* What the workers get opens to the literal. */
    struct db *db = plane_db(&plane, "test");
    struct db_rows *rows = NULL;
    struct json *body = NULL;
    struct buf sealed, why;
    struct secret plain = {0};
    buf_init(&sealed, 0);
    buf_init(&why, 0);
    assert_int_equal(
        db_query(db, "SELECT body FROM config_items WHERE kind = 'providers'", NULL, 0, &rows), 0);
    assert_int_equal(json_parse(db_slice(rows, 0, 0), &body, NULL, 0), 0);
    assert_int_equal(
        secrets_provider_credential(plane.secrets, SLICE("local"), body, &sealed, &why), 0);
    assert_int_equal(
        secrets_unseal(plane.secrets, SLICE("provider/local"), buf_slice(&sealed), &plain), 0);
    assert_true(slice_is(secret_reveal(&plain), "CANARY-credential-1"));
    secret_free(&plain);
    buf_free(&sealed);
    buf_free(&why);
    json_free(body);
    db_rows_free(rows);
    db_free(db);
    /* Another one is a change; taken away, it is gone. */
    expect(200, "PATCH", "/api/v1/providers/local", "{\"credential\":\"other\"}");
    expect_text("\"revision\":3");
    expect(200, "PATCH", "/api/v1/providers/local", "{\"credential\":null}");
    assert_null(strstr(got_text, "credential"));
}

/* F154: what looks like an indirection is a literal, or is refused; never read by surprise. */
static void
test_f154_no_surprising_indirection(void **state)
{
    (void)state;
    static const char *const refused[] = {"file:///etc/passwd",
                                          "file:../sign.key",
                                          "file:a/b",
                                          "env:PATH=x",
                                          "env:HEADGATE_DATABASE_URL",
                                          "env:PGPASSWORD",
                                          "vault:x",
                                          "env:",
                                          "file:.hidden"};
    static const char *const literal[] = {"os.environ/HOME", "${HOME}", "@/etc/passwd", "|id"};
    char body[256];
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"name\":\"r%zu\",\"kind\":\"openai\",\"credential\":\"%s\"}", i, refused[i]);
        expect(400, "POST", "/api/v1/providers", body);
        expect_text("\"path\":\"credential\"");
    }
    for (size_t i = 0; i < sizeof(literal) / sizeof(literal[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"name\":\"l%zu\",\"kind\":\"openai\",\"credential\":\"%s\"}", i, literal[i]);
        expect(201, "POST", "/api/v1/providers", body);
        expect_text("\"credential\":\"sealed:");
    }
}

static void
test_a_reference_must_mean_something_when_it_is_given(void **state)
{
    (void)state;
    static const char given[] = "{\"providers\":[{\"name\":\"p\",\"kind\":\"openai\","
                                "\"credential\":\"env:TEST_GIVEN\"}]}";
    apply_refused(given, "", 400, "credential_unresolved", "providers[0].credential",
                  "env:TEST_GIVEN is not there");
    apply_refused(
        "{\"providers\":[{\"name\":\"p\",\"kind\":\"openai\",\"credential\":\"file:x\"}]}", "", 400,
        "credential_unresolved", "providers[0].credential", "credentials directory");
    assert_int_equal(setenv("TEST_GIVEN", "value", 1), 0);
    apply_ok(given, "", 1, 1);
    /* Lost since: nothing else is held up by it, and what stands is no change. */
    assert_int_equal(unsetenv("TEST_GIVEN"), 0);
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"t\"}");
    apply_ok(given, "", 2, 0);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void
test_pages_cover_everything_once(void **state)
{
    (void)state;
    char path[512], body[64], seen[32][16];
    size_t count = 0;
    for (int i = 0; i < 7; i++) {
        snprintf(body, sizeof(body), "{\"name\":\"t%d\"}", i);
        expect(201, "POST", "/api/v1/teams", body);
    }
    snprintf(path, sizeof(path), "/api/v1/teams?limit=3");
    for (;;) {
        struct got *g = call("GET", path, NULL);
        assert_int_equal(g->status, 200);
        const struct json *data = json_get(g->body, "data");
        for (size_t i = 0; i < json_size(data); i++)
            snprintf(seen[count++], 16, "%s", json_str(json_get(json_at(data, i), "name")).at);
        struct slice next = json_str(json_get(g->body, "next"));
        if (next.at)
            snprintf(path, sizeof(path), "/api/v1/teams?limit=3&cursor=%s", next.at);
        got_free(g);
        if (!next.at)
            break;
    }
    assert_int_equal(count, 7);
    for (size_t i = 0; i < count; i++) {
        snprintf(body, sizeof(body), "t%zu", i);
        assert_string_equal(seen[i], body);
    }
}

/* F174: nothing is unbounded, unknown or taken from another list. */
static void
test_f174_abuse_of_parameters(void **state)
{
    (void)state;
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"a\"}");
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"b\"}");
    expect(200, "GET", "/api/v1/teams?limit=1000", NULL);
    expect(400, "GET", "/api/v1/teams?limit=1001", NULL);
    expect(400, "GET", "/api/v1/teams?limit=0", NULL);
    expect(400, "GET", "/api/v1/teams?limit=-1", NULL);
    expect(400, "GET", "/api/v1/teams?limt=1", NULL);
    expect_text("did you mean 'limit'");
    expect(400, "GET", "/api/v1/teams?cursor=x", NULL);
    expect(400, "GET", "/api/v1/teams?cursor=!!!!", NULL);
    struct got *g = call("GET", "/api/v1/teams?limit=1", NULL);
    char path[512];
    snprintf(path, sizeof(path), "/api/v1/keys?cursor=%s", json_str(json_get(g->body, "next")).at);
    got_free(g);
    expect(400, "GET", path, NULL);
    expect_text("invalid_cursor");
    static const char *const bodies[] = {"",
                                         "[]",
                                         "null",
                                         "1",
                                         "\"x\"",
                                         "{",
                                         "{\"name\":\"x\"}}",
                                         "{\"name\":\"x\",\"name\":\"y\"}",
                                         "{\"name\":\"x\",\"role\":\"admin\"}",
                                         "{\"name\":\"x\",\"revision\":9}",
                                         "{\"name\":\"\\u0000\"}",
                                         "{\"name\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        expect(400, "POST", "/api/v1/teams", bodies[i]);
    expect_with(&(struct want){.content_type = "text/plain"}, 415, "POST", "/api/v1/teams",
                "{\"name\":\"x\"}");
    expect(400, "DELETE", "/api/v1/teams/a", "{}");
    assert_int_equal(ask("SELECT count(*) FROM config_items"), 2);
}

/* ---- repeated calls -------------------------------------------------------------------------- */

static void
test_idempotency_keys(void **state)
{
    (void)state;
    const struct want once = {.idempotency_key = "order-1"};
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"t\"}");
    struct got *first = call_with(&once, "POST", "/api/v1/keys", "{\"name\":\"k\",\"team\":\"t\"}");
    struct got *second =
        call_with(&once, "POST", "/api/v1/keys", "{\"name\":\"k\",\"team\":\"t\"}");
    assert_int_equal(first->status, 201);
    assert_false(first->replayed);
    assert_int_equal(second->status, 201);
    assert_true(second->replayed);
    assert_true(json_equal(first->body, second->body)); /* the secret too */
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'keys'"), 1);
    got_free(first);
    got_free(second);
    expect_with(&once, 409, "POST", "/api/v1/keys", "{\"name\":\"k2\",\"team\":\"t\"}");
    expect_text("idempotency_key_reused");
    expect_with(&once, 409, "POST", "/api/v1/projects", "{\"name\":\"k\",\"team\":\"t\"}");
    /* A refusal is not kept: mended, the same key works. */
    const struct want other = {.idempotency_key = "order-2"};
    expect_with(&other, 400, "POST", "/api/v1/keys", "{\"name\":\"k3\",\"team\":\"nobody\"}");
    expect_with(&other, 201, "POST", "/api/v1/keys", "{\"name\":\"k3\",\"team\":\"t\"}");
    expect_with(&(struct want){.idempotency_key = "a b"}, 400, "POST", "/api/v1/teams",
                "{\"name\":\"x\"}");
    /* The kept answer is sealed: the table shows no key. */
    assert_int_equal(
        ask("SELECT count(*) FROM idempotency_keys WHERE encode(answer, 'escape') LIKE '%sk-hg%'"),
        0);
}

static void *
create_once(void *ctx)
{
    const struct want once = {.idempotency_key = "race"};
    struct got *g = call_with(&once, "POST", "/api/v1/keys", "{\"name\":\"k\",\"team\":\"t\"}");
    if (g->status == 201)
        snprintf(ctx, KEY_TEXT_BYTES + 1, "%s", json_str(json_get(g->body, "key")).at);
    got_free(g);
    return NULL;
}

/* The same call four times at once: one key, and all get its secret. */
static void
test_repeated_calls_may_race(void **state)
{
    (void)state;
    pthread_t threads[4];
    char keys[4][KEY_TEXT_BYTES + 1] = {""};
    expect(201, "POST", "/api/v1/teams", "{\"name\":\"t\"}");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_once, keys[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(strlen(keys[i]), KEY_TEXT_BYTES);
        assert_string_equal(keys[i], keys[0]);
    }
    assert_int_equal(ask("SELECT count(*) FROM config_items WHERE kind = 'keys'"), 1);
}

/* ---- many at once ---------------------------------------------------------------------------- */

static void *
create_ten(void *ctx)
{
    size_t me = (size_t)(uintptr_t)ctx;
    char body[64];
    size_t made = 0;
    for (int i = 0; i < 10; i++) {
        snprintf(body, sizeof(body), "{\"name\":\"t%zu-%d\"}", me, i);
        struct got *g = call_with(&(struct want){0}, "POST", "/api/v1/teams", body);
        made += g->status == 201;
        got_free(g);
    }
    return (void *)(uintptr_t)made;
}

static void
test_concurrent_writers_are_serialised(void **state)
{
    (void)state;
    pthread_t threads[6];
    void *made;
    size_t total = 0;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_ten, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], &made);
        total += (size_t)(uintptr_t)made;
    }
    assert_int_equal(total, 60);
    assert_int_equal(ask("SELECT max(revision) FROM revisions"), 60);
    assert_int_equal(ask("SELECT max(seq) FROM audit_log"), 60);
    expect(200, "GET", "/api/v1/audit/verify", NULL);
    expect_text("\"ok\":true,\"rows\":60");
}

#define TEST(f) cmocka_unit_test_setup(f, admin_fresh)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_apply_is_idempotent_and_export_applies_as_no_change),
        TEST(test_apply_owns_the_lists_it_names_only),
        TEST(test_what_is_wrong_is_told_with_its_place_and_changes_nothing),
        TEST(test_apply_against_an_older_base_is_refused),
        TEST(test_rollback_restores_everything_as_a_new_revision),
        TEST(test_revisions_tell_what_changed),
        TEST(test_items_by_name_and_id_with_etags),
        TEST(test_a_key_shows_its_secret_once),
        TEST(test_f157_a_literal_credential_is_sealed),
        TEST(test_f154_no_surprising_indirection),
        TEST(test_a_reference_must_mean_something_when_it_is_given),
        TEST(test_pages_cover_everything_once),
        TEST(test_f174_abuse_of_parameters),
        TEST(test_idempotency_keys),
        TEST(test_repeated_calls_may_race),
        TEST(test_concurrent_writers_are_serialised),
    };
    return cmocka_run_group_tests(tests, admin_start, admin_stop);
}
