/*
 * The admin API in this process, over real HTTP and a real PostgreSQL (pg.h): the server's loop
 * runs on a thread of its own, the tests call it with lib/http's client. One database for each test
 * program.
 */
#ifndef TESTS_UNIT_CONTROLPLANE_ADMIN_H
#define TESTS_UNIT_CONTROLPLANE_ADMIN_H

#include "tests/unit/controlplane/pg.h"

#include <pthread.h>
#include <signal.h>

#include "controlplane/api/handlers.h"
#include "controlplane/api/server.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "controlplane/store/tokens.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/http/client.h"
#include "lib/json/doc.h"

static struct keyring admin_ring; /* of sealing keys */
static struct plane plane;
static struct loop *admin_loop;
static pthread_t admin_thread;
static struct waker *admin_stopper;
static int admin_port;
static char admin_dsn[256], admin_state[96];
static char admin_token[TOKEN_TEXT_BYTES + 1], reader_token[TOKEN_TEXT_BYTES + 1],
    expired_token[TOKEN_TEXT_BYTES + 1];

/* ---- one call -------------------------------------------------------------------------------- */

struct got {
    int status;
    char etag[40], retry_after[16], content_type[64], location[128];
    bool replayed;
    struct json *body; /* NULL: none, or no JSON */
    char text[65536];
};

struct want {
    const char *token;         /* NULL: the admin's; "": none */
    const char *authorization; /* instead of a token */
    const char *if_match, *idempotency_key, *content_type;
};

static void
copy_header(const struct http_head *head, const char *name, char *into, size_t room)
{
    struct slice v = http_field_get(head, name);
    snprintf(into, room, "%.*s", SLICE_ARG(v));
}

static void
got_free(struct got *g)
{
    json_free(g->body);
    free(g);
}

static struct got *
call_with(const struct want *w, const char *method, const char *path, const char *body)
{
    struct http_field fields[6];
    struct http_answer answer;
    char url[2048], bearer[8192];
    const char *why = "";
    size_t n = 0;
    struct got *g = calloc(1, sizeof(*g));
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", admin_port, path);
    snprintf(bearer, sizeof(bearer), "Bearer %s", w->token ? w->token : admin_token);
    if (w->authorization)
        fields[n++] =
            (struct http_field){SLICE("authorization"), slice_of(w->authorization), false};
    else if (!w->token || w->token[0])
        fields[n++] = (struct http_field){SLICE("authorization"), slice_of(bearer), false};
    if (w->if_match)
        fields[n++] = (struct http_field){SLICE("if-match"), slice_of(w->if_match), false};
    if (w->idempotency_key)
        fields[n++] =
            (struct http_field){SLICE("idempotency-key"), slice_of(w->idempotency_key), false};
    if (body)
        fields[n++] = (struct http_field){
            SLICE("content-type"), slice_of(w->content_type ? w->content_type : "application/json"),
            false};
    int err = http_fetch(NULL, slice_of(method), slice_of(url), fields, n, slice_of(body), true,
                         20000, &answer, &why);
    if (err) {
        g->status = err; /* the connection failed: no test expects that by accident */
        snprintf(g->text, sizeof(g->text), "%s", why);
        return g;
    }
    g->status = answer.status;
    copy_header(&answer.head, "etag", g->etag, sizeof(g->etag));
    copy_header(&answer.head, "retry-after", g->retry_after, sizeof(g->retry_after));
    copy_header(&answer.head, "content-type", g->content_type, sizeof(g->content_type));
    copy_header(&answer.head, "location", g->location, sizeof(g->location));
    g->replayed = http_field_get(&answer.head, "idempotency-replayed").at != NULL;
    snprintf(g->text, sizeof(g->text), "%.*s", (int)answer.body.len,
             answer.body.len ? answer.body.at : "");
    if (json_parse(buf_slice(&answer.body), &g->body, NULL, 0) != 0)
        g->body = NULL;
    http_answer_free(&answer);
    return g;
}

__attribute__((unused)) static struct got *
call(const char *method, const char *path, const char *body)
{
    return call_with(&(struct want){.if_match = "*"}, method, path, body);
}

/* The call must give this status; its text is in `got_text` until the next one. */
static char got_text[65536];

static void
expect_with(const struct want *w, int status, const char *method, const char *path,
            const char *body)
{
    struct got *g = call_with(w, method, path, body);
    memcpy(got_text, g->text, sizeof(got_text));
    if (g->status != status)
        fail_msg("%s %s %s: got %d %s, want %d", method, path, body ? body : "", g->status, g->text,
                 status);
    got_free(g);
}

__attribute__((unused)) static void
expect(int status, const char *method, const char *path, const char *body)
{
    expect_with(&(struct want){.if_match = "*"}, status, method, path, body);
}

__attribute__((unused)) static void
expect_text(const char *part)
{
    if (!strstr(got_text, part))
        fail_msg("\"%s\" is not in %s", part, got_text);
}

/* One cell, asked as a superuser. */
__attribute__((unused)) static int64_t
ask(const char *sql)
{
    struct db_rows *rows = NULL;
    struct db *db = db_new_owner(pg_dsn("postgres", "admin"), "test");
    if (db_query(db, sql, NULL, 0, &rows) != 0)
        fail_msg("%s: %s", sql, db_error(db));
    int64_t n = db_int(rows, 0, 0);
    db_rows_free(rows);
    db_free(db);
    return n;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static void *
run_loop(void *ctx)
{
    (void)ctx;
    loop_run(admin_loop);
    return NULL;
}

static void
admin_serve(void)
{
    struct buf why;
    buf_init(&why, 0);
    admin_loop = loop_new();
    admin_stopper = waker_new(admin_loop, stop_loop, admin_loop);
    if (api_server_start(&plane, admin_loop, &plane.api, &why) != 0)
        fail_msg("%s", buf_str(&why));
    admin_port = api_server_port(plane.api);
    assert_int_equal(pthread_create(&admin_thread, NULL, run_loop, NULL), 0);
    buf_free(&why);
}

static void
admin_unserve(void)
{
    waker_wake(admin_stopper);
    pthread_join(admin_thread, NULL);
    api_server_free(plane.api);
    waker_free(admin_stopper);
    loop_free(admin_loop);
}

static void
make_token(struct db *db, const char *name, const char *role, const char *expires, char *into)
{
    struct token t = {0};
    unsigned char digest[SHA256_BYTES];
    secrets_mint_token(into);
    hash_sha256(into, TOKEN_TEXT_BYTES, digest);
    snprintf(t.name, sizeof(t.name), "%s", name);
    snprintf(t.role, sizeof(t.role), "%s", role);
    snprintf(t.expires, sizeof(t.expires), "%s", expires);
    snprintf(t.prefix, sizeof(t.prefix), "%.8s", into);
    assert_int_equal(token_insert(db, &t, digest), 0);
}

/* With a bus that nobody is on: the compiler's say before every commit is the real one. */
static void
start_publisher(void)
{
    char pub[128], req[128];
    struct buf why;
    struct publisher_options o = {.database = admin_dsn,
                                  .state_dir = admin_state,
                                  .secrets = plane.secrets,
                                  .sign_secret = plane.sign_secret,
                                  .pub_url = pub,
                                  .req_url = req,
                                  .threads = 1};
    snprintf(pub, sizeof(pub), "ipc://%s/pub", pg_dir);
    snprintf(req, sizeof(req), "ipc://%s/req", pg_dir);
    buf_init(&why, 0);
    if (publisher_start(&o, &plane.publisher, &why) != 0)
        fail_msg("%s", buf_str(&why));
    buf_free(&why);
}

/* A fresh database "admin" with three tokens, and everything started on it. */
static void
admin_open(void)
{
    static int times;
    pg_migrated("admin");
    snprintf(admin_dsn, sizeof(admin_dsn), "%s", pg_dsn("headgate_app", "admin"));
    snprintf(admin_state, sizeof(admin_state), "%s/state%d/audit", pg_dir, ++times);
    assert_int_equal(file_make_dirs(admin_state, 0700), 0);
    snprintf(admin_state, sizeof(admin_state), "%s/state%d", pg_dir, times);
    plane.config.database = admin_dsn;
    plane.config.admin_listen = "127.0.0.1:0";
    plane.config.state_dir = admin_state;
    plane.config.threads = 4;
    plane.secrets = secrets_new(&admin_ring, NULL);
    struct db *db = plane_db(&plane, "test");
    assert_int_equal(secrets_load(plane.secrets, db), 0);
    make_token(db, "root", "admin", "", admin_token);
    make_token(db, "reader", "read-only", "", reader_token);
    make_token(db, "old", "admin", "2020-01-01T00:00:00Z", expired_token);
    db_free(db);
    start_publisher();
    admin_serve();
}

static void
admin_close(void)
{
    admin_unserve();
    publisher_stop(plane.publisher);
    secrets_free(plane.secrets);
}

/* Setup of a test that begins with nothing. */
__attribute__((unused)) static int
admin_fresh(void **state)
{
    (void)state;
    admin_close();
    pg_sql("postgres", "DROP DATABASE admin WITH (FORCE)");
    admin_open();
    return 0;
}

static int
admin_start(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    log_init("test", LOG_WARN, 2);
    pg_start(state);
    unsigned char key[SEAL_KEY_BYTES];
    rand_bytes(key, sizeof(key));
    admin_ring = keyring_of(key);
    assert_int_equal(sign_generate(plane.sign_secret, plane.sign_public), 0);
    admin_open();
    return 0;
}

static int
admin_stop(void **state)
{
    admin_close();
    return pg_stop(state);
}

#endif
