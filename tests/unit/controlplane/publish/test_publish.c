/* The publisher over a real PostgreSQL. What workers would ask is asked of its handler directly;
 * the bus itself is tested in lib/control. */
#include "tests/unit/check.h"

#include "tests/unit/controlplane/pg.h"

#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/control/section.h"

#define DEADLINE_MS 60000

static const unsigned char seal_key[SEAL_KEY_BYTES] = "the seal key of the publisher's";

static const struct keyring *
ring(void)
{
    static struct keyring r;

    if (r.count == 0)
        r = keyring_of(seal_key);
    return &r;
}
static unsigned char sign_secret[SIGN_SECRET_BYTES], sign_public_key[1][SIGN_PUBLIC_BYTES];

/* One database and one state directory a test; one publisher, or two. */
struct stand {
    char database[32], state_dir[2][64];
    struct secrets *secrets[2];
    struct publisher *p[2];
    struct db *db;
    int64_t revision;
};
static unsigned stands;

/* --- the stand ----------------------------------------------------------------------------- */

static void
publisher_up(struct stand *t, size_t i, bool force)
{
    char pub[96], req[96];
    struct publisher_options o = {.database = pg_dsn("headgate_app", t->database),
                                  .state_dir = t->state_dir[i],
                                  .secrets = t->secrets[i],
                                  .sign_secret = sign_secret,
                                  .pub_url = pub,
                                  .req_url = req,
                                  .threads = 2,
                                  .force_epoch = force};
    struct buf why;

    snprintf(pub, sizeof(pub), "ipc://%s/pub", t->state_dir[i]);
    snprintf(req, sizeof(req), "ipc://%s/req", t->state_dir[i]);
    buf_init(&why, 0);
    if (publisher_start(&o, &t->p[i], &why) != 0)
        fail_msg("publisher: %s", buf_str(&why));
    buf_free(&why);
}

static void
publisher_down(struct stand *t, size_t i)
{
    publisher_stop(t->p[i]);
    t->p[i] = NULL;
}

static int
stand_up(void **state)
{
    struct stand *t = calloc(1, sizeof(*t));

    *state = t;
    snprintf(t->database, sizeof(t->database), "publish_%u", stands++);
    pg_migrated(t->database);
    t->db = db_new(pg_dsn("headgate_app", t->database), "test");
    for (size_t i = 0; i < 2; i++) {
        snprintf(t->state_dir[i], sizeof(t->state_dir[i]), "/tmp/hgpub.XXXXXX");
        assert_non_null(mkdtemp(t->state_dir[i]));
        t->secrets[i] = secrets_new(ring(), NULL);
    }
    assert_int_equal(secrets_load(t->secrets[0], t->db), 0);
    return 0;
}

static int
stand_down(void **state)
{
    struct stand *t = *state;
    char command[200];

    publisher_down(t, 0);
    publisher_down(t, 1);
    secrets_free(t->secrets[0]);
    secrets_free(t->secrets[1]);
    db_free(t->db);
    snprintf(command, sizeof(command), "rm -rf %s %s", t->state_dir[0], t->state_dir[1]);
    free(t);
    return system(command);
}

static int
start(void **state)
{
    log_init("test", LOG_ERROR, 2);
    assert_int_equal(sign_generate(sign_secret, sign_public_key[0]), 0);
    return pg_start(state);
}

/* --- changing the configuration ------------------------------------------------------------ */

static void
sql(struct stand *t, const char *text, const char *const *params, size_t count)
{
    if (db_query(t->db, text, params, count, NULL) != 0)
        fail_msg("%s: %s", text, db_error(t->db));
}

/* Begins a revision in a transaction, as the admin API does. */
static void
begin(struct stand *t)
{
    char revision[24];
    const char *params[] = {revision};

    assert_int_equal(db_begin(t->db), 0);
    snprintf(revision, sizeof(revision), "%lld", (long long)++t->revision);
    sql(t, "INSERT INTO revisions (revision, author, source) VALUES ($1, 'test', 'api')", params,
        1);
}

/* body NULL: removes it. */
static void
put(struct stand *t, const char *kind, const char *name, const char *body)
{
    char revision[24];
    const char *params[] = {kind, name, body, revision};

    snprintf(revision, sizeof(revision), "%lld", (long long)t->revision);
    sql(t,
        "INSERT INTO revision_changes (revision, kind, name, id, before, after) "
        "SELECT $4::bigint, $1::text, $2::text, coalesce(old.id, gen_random_uuid()), old.body, "
        "$3::jsonb FROM (SELECT 1) one "
        "LEFT JOIN config_items old ON old.kind = $1 AND old.name = $2",
        params, 4);
    if (body)
        sql(t,
            "INSERT INTO config_items (kind, name, id, body, revision) "
            "SELECT kind, name, id, after, revision FROM revision_changes "
            "WHERE revision = $4::bigint AND kind = $1 AND name = $2 AND $3::text IS NOT NULL "
            "ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, "
            "revision = excluded.revision",
            params, 4);
    else
        sql(t, "DELETE FROM config_items WHERE kind = $1 AND name = $2", params, 2);
}

static void
commit(struct stand *t)
{
    sql(t, "NOTIFY " PUBLISH_CHANNEL, NULL, 0);
    assert_int_equal(db_commit(t->db), 0);
}

/* A key "sk-TEXT" called `name`. */
static void
put_key(struct stand *t, const char *name, const char *text, const char *team)
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1], body[256];

    assert_int_equal(secrets_key_digest(t->secrets[0], slice_of(text), digest), 0);
    hex_encode(digest, SHA256_BYTES, hex);
    snprintf(body, sizeof(body), "{\"team\":\"%s\",\"digest\":\"%s\",\"prefix\":\"sk\"}", team,
             hex);
    put(t, "keys", name, body);
}

static void
put_basics(struct stand *t)
{
    begin(t);
    put(t, "providers", "sim", "{\"kind\":\"simulator\"}");
    put(t, "models", "toy", "{\"targets\":[{\"provider\":\"sim\",\"model\":\"simulator\"}]}");
    put(t, "teams", "red", "{}");
    put_key(t, "one", "sk-one", "red");
    put_key(t, "two", "sk-two", "red");
    commit(t);
}

/* --- what a worker would see --------------------------------------------------------------- */

static void
ask(struct publisher *p, const struct bus_request *q, struct arena *a, struct buf *bytes,
    struct bus_reply *ret)
{
    struct bus_request named = *q;
    struct buf request;

    named.from = (struct bus_worker){.node = SLICE("n1"), .host = SLICE("h"), .slot = 3, .pid = 7};
    buf_init(&request, 0);
    buf_clear(bytes);
    assert_int_equal(bus_request_encode(&named, &request), 0);
    answer(p, 0, buf_slice(&request), bytes);
    assert_int_equal(bus_reply_decode(buf_slice(bytes), a, ret), 0);
    buf_free(&request);
}

/* The newest version as a worker compiles it, from nothing. NULL: none is published. */
static struct policy *
fetch(struct publisher *p, bool last_good)
{
    struct snapshot_trust trust = {.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES])sign_public_key,
                                   .key_count = 1,
                                   .now_wall_ms = clock_wall_ms()};
    struct bus_request q = {.kind = BUS_GET_ROOT, .last_good = last_good};
    struct policy_section sections[SECTIONS_MOST];
    struct policy_input in = {.sections = sections, .keys = ring()};
    struct policy *policy = NULL;
    struct snapshot_root root;
    struct bus_reply r;
    struct buf bytes, why;
    struct arena a;

    arena_init(&a, 0);
    buf_init(&bytes, 0);
    buf_init(&why, 0);
    ask(p, &q, &a, &bytes, &r);
    if (r.status == BUS_OK) {
        assert_int_equal(snapshot_open(r.envelope, &trust, &a, &root), SNAPSHOT_FINE);
        in.epoch = root.epoch;
        in.version = root.version;
        in.revision = root.revision;
        in.count = root.count;
        for (size_t i = 0; i < root.count; i++) {
            q = (struct bus_request){.kind = BUS_GET_SECTION};
            memcpy(q.sha256, root.sections[i].sha256, SHA256_BYTES);
            ask(p, &q, &a, &bytes, &r);
            assert_int_equal(r.status, BUS_OK);
            assert_int_equal(snapshot_check_section(&root.sections[i], r.section), SNAPSHOT_FINE);
            sections[i].name = root.sections[i].name;
            sections[i].bytes = arena_copy(&a, r.section);
            memcpy(sections[i].digest, root.sections[i].sha256, SHA256_BYTES);
        }
        if (policy_compile(&in, &policy, &why) != 0)
            fail_msg("%s", buf_str(&why));
    }
    buf_free(&why);
    buf_free(&bytes);
    arena_free(&a);
    return policy;
}

static bool
knows(const struct policy *p, const char *key)
{
    struct policy_key k;

    return policy_find_key(p, slice_of(key), &k) != NULL;
}

static struct publisher_status
status_of(struct publisher *p)
{
    struct publisher_status s;

    publisher_status(p, &s);
    return s;
}

static void
nap(void)
{
    struct timespec t = {.tv_nsec = 5000000};

    nanosleep(&t, NULL);
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t end_ = clock_mono_ms() + DEADLINE_MS;                                              \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > end_)                                                            \
                fail_msg("never: %s", #condition);                                                 \
            nap();                                                                                 \
        }                                                                                          \
    } while (0)

static void
wait_published(struct stand *t, size_t i)
{
    WAIT_FOR(status_of(t->p[i]).revision == (uint64_t)t->revision &&
             status_of(t->p[i]).problem[0] == '\0');
}

/* --- publishing ---------------------------------------------------------------------------- */

static void
test_configuration_reaches_the_bus(void **state)
{
    struct stand *t = *state;
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    p = fetch(t->p[0], false);
    assert_int_equal(policy_key_count(p), 2);
    assert_true(knows(p, "sk-one"));
    assert_int_equal(policy_revision(p), 1);
    assert_int_equal(policy_version(p), 1);
    assert_non_null(
        policy_find_price(p, policy_find_provider(p, SLICE("sim")), SLICE("simulator")));
    policy_unref(p);
    assert_true(status_of(t->p[0]).leader);
    assert_int_equal(status_of(t->p[0]).key_count, 2);
}

/* The book's rows come with the first provider of their kind. */
static void
test_the_book_is_published_by_kinds(void **state)
{
    struct stand *t = *state;
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    begin(t);
    put(t, "providers", "oai", "{\"kind\":\"openai\"}");
    commit(t);
    wait_published(t, 0);
    p = fetch(t->p[0], false);
    assert_int_equal(
        policy_find_price(p, policy_find_provider(p, SLICE("oai")), SLICE("gpt-4o"))->rates.input,
        2500000);
    policy_unref(p);
}

static void
test_nothing_configured_is_published_too(void **state)
{
    struct stand *t = *state;
    struct policy *p;

    publisher_up(t, 0, false);
    WAIT_FOR(status_of(t->p[0]).version == 1);
    p = fetch(t->p[0], false);
    assert_int_equal(policy_key_count(p), 0);
    policy_unref(p);
}

static size_t
new_sections(const struct head *a, const struct head *b)
{
    struct section *x[SECTIONS_MOST], *y[SECTIONS_MOST];
    size_t n = sections_list(a->sections, x), m = sections_list(b->sections, y), differ = 0;

    for (size_t i = 0; i < m; i++) {
        bool found = false;

        for (size_t k = 0; k < n; k++)
            found = found || memcmp(x[k]->sha256, y[i]->sha256, SHA256_BYTES) == 0;
        differ += !found;
    }
    return differ;
}

static void
test_one_changed_key_makes_one_new_section(void **state)
{
    struct stand *t = *state;
    struct head *before, *after;
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    before = shelf_newest(t->p[0]->shelf);
    begin(t);
    put_key(t, "three", "sk-three", "red");
    commit(t);
    wait_published(t, 0);
    after = shelf_newest(t->p[0]->shelf);
    assert_int_equal(new_sections(before, after), 1);
    assert_true(after->version == before->version + 1 && after->epoch == before->epoch);
    head_unref(before);
    head_unref(after);
    begin(t);
    put_key(t, "three", "sk-rotated", "red"); /* another digest, most likely another shard */
    put(t, "keys", "one", NULL);
    commit(t);
    wait_published(t, 0);
    p = fetch(t->p[0], false);
    assert_int_equal(policy_key_count(p), 2);
    assert_false(knows(p, "sk-one"));
    assert_false(knows(p, "sk-three"));
    assert_true(knows(p, "sk-rotated"));
    assert_true(knows(p, "sk-two"));
    policy_unref(p);
}

/* Two hundred changes, some of one key again and again: what is published is what is configured. */
static void
test_incremental_is_the_same_as_everything(void **state)
{
    struct stand *t = *state;
    uint64_t seed = test_seed();
    struct head *h, *again;
    bool there[40] = {false};

    put_basics(t);
    publisher_up(t, 0, false);
    for (int i = 0; i < 200; i++) {
        size_t which = test_below(&seed, 40);
        bool gone = there[which] && test_below(&seed, 3) == 0;
        char name[32], text[48];

        snprintf(name, sizeof(name), "k%zu", which);
        snprintf(text, sizeof(text), "sk-%s-%d", name, i);
        begin(t);
        if (gone)
            put(t, "keys", name, NULL);
        else
            put_key(t, name, text, "red");
        there[which] = !gone;
        commit(t);
    }
    wait_published(t, 0);
    h = shelf_newest(t->p[0]->shelf);
    publisher_down(t, 0);
    pg_sql(t->database, "DELETE FROM snapshots");
    publisher_up(t, 0, false); /* reads everything */
    WAIT_FOR(status_of(t->p[0]).epoch > h->epoch);
    again = shelf_newest(t->p[0]->shelf);
    assert_int_equal(new_sections(h, again), 0);
    assert_int_equal(new_sections(again, h), 0);
    head_unref(h);
    head_unref(again);
}

/* --- checking a change --------------------------------------------------------------------- */

static void
check_refuses(struct stand *t, int err, const char *message)
{
    struct buf why;
    int got;

    for (int with = 0; with < 2; with++) { /* the command line checks without a publisher */
        buf_init(&why, 0);
        got = publish_check(with ? t->p[0] : NULL, t->db, NULL, &why);
        if (got != err || !strstr(buf_str(&why), message))
            fail_msg("got %s '%s', want '%s'", err_name(got), buf_str(&why), message);
        buf_free(&why);
    }
    db_rollback(t->db);
    t->revision--;
}

static void
test_a_bad_change_is_refused_before_it_is_committed(void **state)
{
    struct stand *t = *state;
    struct buf why;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    begin(t);
    put(t, "models", "bad", "{\"targets\":[{\"provider\":\"opnai\",\"model\":\"x\"}]}");
    check_refuses(t, ERR_NOT_FOUND, "'bad': targets[0]: no provider 'opnai'");
    begin(t);
    put(t, "teams", "red", NULL); /* keys belong to it */
    check_refuses(t, ERR_NOT_FOUND, "no team 'red'");
    begin(t);
    put(t, "prices", "sim/x", "{\"provider\":\"sim\",\"model\":\"x\"}");
    check_refuses(t, ERR_SYNTAX, "all prices are zero");
    begin(t);
    put_key(t, "three", "sk-three", "red");
    buf_init(&why, 0);
    assert_int_equal(publish_check(t->p[0], t->db, NULL, &why), 0);
    assert_int_equal(publish_check(NULL, t->db, NULL, &why), 0);
    buf_free(&why);
    assert_int_equal(status_of(t->p[0]).version, 1); /* checking publishes nothing */
    commit(t);
    wait_published(t, 0);
    assert_int_equal(status_of(t->p[0]).version, 2);
}

static void
test_credentials(void **state)
{
    struct stand *t = *state;
    const char *body = "{\"kind\":\"openai\",\"credential\":\"env:TEST_CREDENTIAL\"}";
    struct policy *p;

    assert_int_equal(setenv("TEST_CREDENTIAL", "sk-provider-secret", 1), 0);
    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    begin(t);
    put(t, "providers", "openai", body);
    commit(t);
    wait_published(t, 0);
    p = fetch(t->p[0], false);
    assert_slice_is(secret_reveal(&policy_find_provider(p, SLICE("openai"))->credential),
                    "sk-provider-secret");
    assert_slice_is(policy_find_provider(p, SLICE("openai"))->host, "api.openai.com");
    policy_unref(p);
    /* one that this very change brings must resolve */
    begin(t);
    put(t, "providers", "other", "{\"kind\":\"openai\",\"credential\":\"env:TEST_MISSING\"}");
    {
        struct buf why;

        buf_init(&why, 0);
        assert_int_equal(publish_check(t->p[0], t->db, NULL, &why), ERR_NOT_FOUND);
        assert_non_null(strstr(buf_str(&why), "TEST_MISSING"));
        buf_free(&why);
    }
    db_rollback(t->db);
    t->revision--;
    /* one that is lost later does not hold up a revocation, and goes on working */
    assert_int_equal(unsetenv("TEST_CREDENTIAL"), 0);
    publisher_down(t, 0);
    secrets_free(t->secrets[0]);
    t->secrets[0] = secrets_new(ring(), NULL);
    publisher_up(t, 0, false);
    begin(t);
    put(t, "keys", "one", NULL);
    commit(t);
    wait_published(t, 0);
    p = fetch(t->p[0], false);
    assert_false(knows(p, "sk-one"));
    assert_slice_is(secret_reveal(&policy_find_provider(p, SLICE("openai"))->credential),
                    "sk-provider-secret");
    policy_unref(p);
}

/* --- restarts, restores, rivals ------------------------------------------------------------ */

static void
test_f080_epochs_grow_over_restarts(void **state)
{
    struct stand *t = *state;
    uint64_t epoch = 0, version = 0;

    put_basics(t);
    for (int i = 0; i < 4; i++) {
        publisher_up(t, 0, false);
        WAIT_FOR(status_of(t->p[0]).epoch > epoch && status_of(t->p[0]).leader);
        assert_true(status_of(t->p[0]).version > version);
        epoch = status_of(t->p[0]).epoch;
        version = status_of(t->p[0]).version;
        publisher_down(t, 0);
    }
}

/* A restart goes on from the version on disk when the database has recorded that very version, and
 * reads everything when it has not (it was restored, and has another history). */
static void
test_restart_goes_on_from_what_is_known(void **state)
{
    struct stand *t = *state;
    struct policy *p;
    uint64_t epoch;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    epoch = status_of(t->p[0]).epoch;
    publisher_down(t, 0);
    begin(t);
    put_key(t, "three", "sk-three", "red");
    commit(t);
    /* behind the revisions' back: who reads only what changed cannot see it */
    pg_sql(t->database, "DELETE FROM config_items WHERE kind = 'keys' AND name = 'one'");
    publisher_up(t, 0, false);
    WAIT_FOR(status_of(t->p[0]).epoch > epoch);
    p = fetch(t->p[0], false);
    assert_true(knows(p, "sk-three"));
    assert_true(knows(p, "sk-one"));
    policy_unref(p);
    epoch = status_of(t->p[0]).epoch;
    publisher_down(t, 0);
    pg_sql(t->database,
           "DELETE FROM snapshots WHERE version = (SELECT max(version) FROM snapshots)");
    publisher_up(t, 0, false);
    WAIT_FOR(status_of(t->p[0]).epoch > epoch);
    p = fetch(t->p[0], false);
    assert_true(knows(p, "sk-three"));
    assert_false(knows(p, "sk-one"));
    policy_unref(p);
}

static void
test_f080_database_restored_to_yesterday(void **state)
{
    struct stand *t = *state;
    uint64_t epoch, version;
    struct policy *p;

    put_basics(t);
    for (int i = 0; i < 3; i++) {
        publisher_up(t, 0, false);
        WAIT_FOR(status_of(t->p[0]).leader && status_of(t->p[0]).revision == 1);
        epoch = status_of(t->p[0]).epoch;
        version = status_of(t->p[0]).version;
        publisher_down(t, 0);
    }
    pg_sql(t->database, "DELETE FROM snapshots WHERE epoch > 1;"
                        "SELECT setval('publisher_epoch', 1);"
                        "DELETE FROM config_items WHERE kind = 'keys' AND name = 'one';");
    for (int i = 0; i < 6; i++) { /* however often it is tried, by this one or the next */
        publisher_up(t, 0, false);
        for (int k = 0; k < 3; k++) {
            WAIT_FOR(strstr(status_of(t->p[0]).problem, "--force-epoch"));
            publisher_kick(t->p[0]);
        }
        assert_false(status_of(t->p[0]).leader);
        publisher_down(t, 0);
    }
    publisher_up(t, 0, false);
    /* what was published goes on being served */
    assert_int_equal(status_of(t->p[0]).version, version);
    p = fetch(t->p[0], false);
    assert_true(knows(p, "sk-one"));
    policy_unref(p);
    publisher_down(t, 0);
    publisher_up(t, 0, true);
    WAIT_FOR(status_of(t->p[0]).epoch > epoch);
    assert_true(status_of(t->p[0]).version > version);
    p = fetch(t->p[0], false);
    assert_false(knows(p, "sk-one"));
    policy_unref(p);
}

static void
test_f092_serves_from_disk_without_postgresql(void **state)
{
    struct stand *t = *state;
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    publisher_down(t, 0);
    pg_down("immediate");
    secrets_free(t->secrets[0]);
    t->secrets[0] = secrets_new(ring(), NULL);
    publisher_up(t, 0, false);
    p = fetch(t->p[0], false); /* at once */
    assert_true(knows(p, "sk-one"));
    policy_unref(p);
    WAIT_FOR(status_of(t->p[0]).problem[0]);
    assert_false(status_of(t->p[0]).database);
    pg_up();
    WAIT_FOR(status_of(t->p[0]).leader && status_of(t->p[0]).problem[0] == '\0');
    db_free(t->db);
    t->db = db_new(pg_dsn("headgate_app", t->database), "test");
    begin(t);
    put_key(t, "three", "sk-three", "red");
    commit(t);
    wait_published(t, 0);
}

static void
test_f088_two_publishers(void **state)
{
    struct stand *t = *state;
    struct db_rows *rows;
    struct head *a, *b;
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    publisher_up(t, 1, false);
    wait_published(t, 1);
    assert_true(status_of(t->p[0]).leader);
    assert_false(status_of(t->p[1]).leader);
    for (int i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "k%d", i);
        begin(t);
        put_key(t, name, name, "red");
        commit(t);
        wait_published(t, 0);
        wait_published(t, 1); /* the same bytes from either */
        a = shelf_newest(t->p[0]->shelf);
        b = shelf_newest(t->p[1]->shelf);
        assert_memory_equal(a->digest, b->digest, SHA256_BYTES);
        head_unref(a);
        head_unref(b);
    }
    p = fetch(t->p[1], false);
    assert_true(knows(p, "k4"));
    policy_unref(p);
    a = shelf_newest(t->p[0]->shelf);
    publisher_down(t, 0);
    WAIT_FOR(status_of(t->p[1]).leader && status_of(t->p[1]).epoch > a->epoch);
    head_unref(a);
    begin(t);
    put(t, "keys", "one", NULL);
    commit(t);
    wait_published(t, 1);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    assert_false(status_of(t->p[0]).leader);
    p = fetch(t->p[0], false);
    assert_false(knows(p, "sk-one"));
    policy_unref(p);
    assert_int_equal(db_query(t->db,
                              "SELECT count(*) FROM snapshots GROUP BY version HAVING count(*) > 1",
                              NULL, 0, &rows),
                     0);
    assert_int_equal(db_count(rows), 0); /* no number was given twice */
    db_rows_free(rows);
}

/* The leader's connection is cut: its lock goes, and with it its epoch. */
static void
test_f088_a_cut_connection_costs_the_office(void **state)
{
    struct stand *t = *state;
    uint64_t epoch;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    epoch = status_of(t->p[0]).epoch;
    pg_sql(t->database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'headgate publish'");
    WAIT_FOR(status_of(t->p[0]).epoch > epoch);
    begin(t);
    put_key(t, "three", "sk-three", "red");
    commit(t);
    wait_published(t, 0);
}

/* --- what workers say ---------------------------------------------------------------------- */

static enum bus_status
tell(struct publisher *p, const struct bus_request *q)
{
    struct bus_reply r;
    struct buf bytes;
    struct arena a;

    arena_init(&a, 0);
    buf_init(&bytes, 0);
    ask(p, q, &a, &bytes, &r);
    buf_free(&bytes);
    arena_free(&a);
    return r.status;
}

static int64_t
count_rows(struct stand *t, const char *text)
{
    struct db_rows *rows;
    int64_t n;

    if (db_query(t->db, text, NULL, 0, &rows) != 0)
        fail_msg("%s: %s", text, db_error(t->db));
    n = db_int(rows, 0, 0);
    db_rows_free(rows);
    return n;
}

static void
test_acks_reach_the_table(void **state)
{
    struct stand *t = *state;
    struct bus_request q = {.kind = BUS_APPLIED};

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    q.applied = (struct bus_applied){1, 9, SLICE("meaning"), SLICE("keys/00: \xff\x01"), 1, 1};
    assert_int_equal(tell(t->p[0], &q), BUS_OK);
    WAIT_FOR(count_rows(t, "SELECT count(*) FROM workers WHERE node = 'n1' AND slot = 3 AND "
                           "held_version = 1 AND refused_version = 9 AND refused_error = 'meaning' "
                           "AND refused_detail = 'keys/00: ?\?'") == 1);
    q.applied = (struct bus_applied){1, 10, SLICE(""), SLICE(""), 1, 10};
    assert_int_equal(tell(t->p[0], &q), BUS_OK);
    WAIT_FOR(count_rows(t, "SELECT count(*) FROM workers WHERE held_version = 10 AND refused_error "
                           "IS NULL AND applied_at IS NOT NULL") == 1);
    q = (struct bus_request){.kind = BUS_HEARTBEAT,
                             .heartbeat = {1, 10, 5, 500, UINT64_MAX, 2, true}};
    assert_int_equal(tell(t->p[0], &q), BUS_OK);
    WAIT_FOR(count_rows(t, "SELECT count(*) FROM workers WHERE spool_records = 5 AND draining") ==
             1);
    assert_int_equal(status_of(t->p[0]).refusals, 1);
}

static void
test_f083_last_good_one_is_served(void **state)
{
    struct stand *t = *state;
    struct bus_request q = {.kind = BUS_HEARTBEAT};
    struct policy *p;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    assert_null(fetch(t->p[0], true)); /* nobody has accepted anything yet */
    q.heartbeat.held_epoch = status_of(t->p[0]).epoch;
    q.heartbeat.held_version = status_of(t->p[0]).version;
    assert_int_equal(tell(t->p[0], &q), BUS_OK);
    for (int i = 0; i < 12; i++) { /* more than the shelf holds, none accepted */
        char name[16];

        snprintf(name, sizeof(name), "k%d", i);
        begin(t);
        put_key(t, name, name, "red");
        commit(t);
        wait_published(t, 0);
    }
    p = fetch(t->p[0], true);
    assert_non_null(p);
    assert_int_equal(policy_version(p), q.heartbeat.held_version);
    assert_true(knows(p, "sk-one"));
    policy_unref(p);
}

static void
test_malformed_requests_are_answered(void **state)
{
    struct stand *t = *state;
    struct bus_request q = {.kind = BUS_GET_SECTION};
    struct bus_reply r;
    struct buf bytes;
    struct arena a;

    publisher_up(t, 0, false);
    arena_init(&a, 0);
    buf_init(&bytes, 0);
    answer(t->p[0], 0, SLICE("garbage"), &bytes);
    assert_int_equal(bus_reply_decode(buf_slice(&bytes), &a, &r), 0);
    assert_int_equal(r.status, BUS_REFUSED);
    assert_int_equal(tell(t->p[0], &q), BUS_NOT_FOUND); /* no such section */
    q.kind = BUS_NOTHING;
    assert_int_equal(tell(t->p[0], &q), BUS_REFUSED);
    WAIT_FOR(status_of(t->p[0]).requests_malformed == 1);
    buf_free(&bytes);
    arena_free(&a);
}

static void
test_usage_goes_to_the_ledger(void **state)
{
    struct stand *t = *state;
    unsigned char record[LIMIT_USAGE_BYTES];
    struct usage u = {.sequence = 1,
                      .request_id = SLICE("r1"),
                      .attempt_no = 1,
                      .started_ms = clock_wall_ms(),
                      .key = SLICE("one"),
                      .team = SLICE("red"),
                      .model = SLICE("toy"),
                      .provider = SLICE("sim"),
                      .provider_model = SLICE("simulator"),
                      .endpoint = SLICE("chat.completions"),
                      .status = 200,
                      .outcome = USAGE_DONE};
    struct slice records[1];
    struct bus_request q = {.kind = BUS_USAGE, .usage = {{1}, 1, records, 1}};
    struct bus_reply r;
    struct buf bytes;
    struct arena a;
    size_t len;

    put_basics(t);
    publisher_up(t, 0, false);
    wait_published(t, 0);
    uuid7(u.attempt_id);
    assert_int_equal(usage_encode(&u, record, sizeof(record), &len), 0);
    records[0] = slice_make(record, len);
    arena_init(&a, 0);
    buf_init(&bytes, 0);
    for (int i = 0; i < 2; i++) { /* the second time it is there already */
        ask(t->p[0], &q, &a, &bytes, &r);
        assert_int_equal(r.status, BUS_OK);
        assert_true(r.acked);
        assert_int_equal(r.sequence, 1);
        assert_int_equal(r.spool_id[0], 1);
    }
    assert_int_equal(count_rows(t, "SELECT count(*) FROM usage_events"), 1);
    pg_down("immediate");
    ask(t->p[0], &q, &a, &bytes, &r);
    assert_int_equal(r.status, BUS_UNAVAILABLE);
    assert_false(r.acked);
    pg_up();
    buf_free(&bytes);
    arena_free(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stand_up, stand_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_configuration_reaches_the_bus),
        TEST(test_the_book_is_published_by_kinds),
        TEST(test_nothing_configured_is_published_too),
        TEST(test_one_changed_key_makes_one_new_section),
        TEST(test_incremental_is_the_same_as_everything),
        TEST(test_a_bad_change_is_refused_before_it_is_committed),
        TEST(test_credentials),
        TEST(test_f080_epochs_grow_over_restarts),
        TEST(test_restart_goes_on_from_what_is_known),
        TEST(test_f080_database_restored_to_yesterday),
        TEST(test_f092_serves_from_disk_without_postgresql),
        TEST(test_f088_two_publishers),
        TEST(test_f088_a_cut_connection_costs_the_office),
        TEST(test_acks_reach_the_table),
        TEST(test_f083_last_good_one_is_served),
        TEST(test_malformed_requests_are_answered),
        TEST(test_usage_goes_to_the_ledger),
    };
    return cmocka_run_group_tests(tests, start, pg_stop);
}
