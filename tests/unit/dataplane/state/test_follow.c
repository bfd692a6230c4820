/* The follower against a scripted control plane in the same process. */
#include "tests/unit/check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/state/follow.h"
#include "lib/base/clock.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

#define DEADLINE_MS 60000
#define VERSIONS 16

static unsigned char sign_secret[SIGN_SECRET_BYTES], other_secret[SIGN_SECRET_BYTES];
static unsigned char public_key[1][SIGN_PUBLIC_BYTES], other_public[1][SIGN_PUBLIC_BYTES];

struct version {
    struct fixture f;
    struct buf envelope;
    uint64_t epoch, version;
};

/* The control plane: what it serves is changed by the test, under the lock. */
struct script {
    pthread_mutex_t lock;
    struct channel_host *host;
    struct version versions[VERSIONS];
    size_t count;
    struct version *newest, *good;
    bool damage_sections;
    size_t roots, sections, beats; /* asked for */
    char nack[64], nack_detail[256];
    uint64_t nack_version, held_epoch, held_version;
};

struct stand {
    char dir[64], pub[128], req[128], policy_dir[128];
    struct script script;
    struct loop *loop;
    struct pin pin;
    struct follow *follow;
};

static int
make_keys(void **state)
{
    (void)state;
    assert_int_equal(sign_generate(sign_secret, public_key[0]), 0);
    assert_int_equal(sign_generate(other_secret, other_public[0]), 0);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

/* --- the scripted control plane ------------------------------------------------------------ */

static struct slice
find_section(struct script *s, const unsigned char sha256[static SHA256_BYTES])
{
    for (size_t v = 0; v < s->count; v++)
        for (size_t i = 0; i < s->versions[v].f.count; i++)
            if (memcmp(s->versions[v].f.list[i].digest, sha256, SHA256_BYTES) == 0)
                return s->versions[v].f.list[i].bytes;
    return (struct slice){0};
}

static void
note(struct script *s, const struct bus_request *q)
{
    if (q->kind == BUS_HEARTBEAT) {
        s->beats++;
        s->held_epoch = q->heartbeat.held_epoch;
        s->held_version = q->heartbeat.held_version;
    }
    if (q->kind != BUS_APPLIED)
        return;
    s->held_epoch = q->applied.held_epoch;
    s->held_version = q->applied.held_version;
    if (q->applied.error.len) {
        snprintf(s->nack, sizeof(s->nack), "%.*s", SLICE_ARG(q->applied.error));
        snprintf(s->nack_detail, sizeof(s->nack_detail), "%.*s", SLICE_ARG(q->applied.detail));
        s->nack_version = q->applied.version;
    }
}

static void
serve_section(struct script *s, const struct bus_request *q, struct bus_reply *r, char *spoilt,
              size_t room)
{
    s->sections++;
    r->section = find_section(s, q->sha256);
    if (!r->section.at)
        r->status = BUS_NOT_FOUND;
    else if (s->damage_sections && r->section.len && r->section.len <= room) {
        memcpy(spoilt, r->section.at, r->section.len);
        spoilt[0] = (char)(spoilt[0] ^ 1);
        r->section.at = spoilt;
    }
}

static void
serve_locked(struct script *s, const struct bus_request *q, struct buf *reply)
{
    struct bus_reply r = {.status = BUS_OK};
    struct version *v = q->last_good ? s->good : s->newest;
    char spoilt[4096];

    note(s, q);
    if (q->kind == BUS_GET_ROOT) {
        s->roots++;
        r.status = v ? BUS_OK : BUS_NOT_FOUND;
        if (v)
            r.envelope = buf_slice(&v->envelope);
    }
    if (q->kind == BUS_GET_SECTION)
        serve_section(s, q, &r, spoilt, sizeof(spoilt));
    assert_int_equal(bus_reply_encode(&r, reply), 0);
}

static void
serve(void *ctx, size_t thread, struct slice request, struct buf *reply)
{
    struct script *s = ctx;
    struct bus_request q;
    struct arena a;

    (void)thread;
    arena_init(&a, 0);
    assert_int_equal(bus_request_decode(request, &a, &q), 0);
    pthread_mutex_lock(&s->lock);
    serve_locked(s, &q, reply);
    pthread_mutex_unlock(&s->lock);
    arena_free(&a);
}

/* Adds a version with the keys "a".."n" of team red, and `extra`; it is not served yet. */
static struct version *
add_version(struct stand *t, uint64_t epoch, uint64_t version, const char *extra,
            const unsigned char *secret)
{
    struct script *s = &t->script;
    struct version *v = &s->versions[s->count];

    assert_true(s->count < VERSIONS);
    pthread_mutex_lock(&s->lock);
    v->epoch = epoch;
    v->version = version;
    if (s->count == 0) {
        fixture_init(&v->f);
    } else { /* the sealed values stay the same bytes, as a publisher's do */
        const struct fixture *first = &s->versions[0].f;

        memset(&v->f, 0, sizeof(v->f));
        assert_int_equal(buf_add_slice(&v->f.models, buf_slice(&first->models)), 0);
        assert_int_equal(buf_add_slice(&v->f.prices, buf_slice(&first->prices)), 0);
        assert_int_equal(buf_add_slice(&v->f.providers, buf_slice(&first->providers)), 0);
        assert_int_equal(buf_add_slice(&v->f.settings, buf_slice(&first->settings)), 0);
        assert_int_equal(buf_add_slice(&v->f.teams, buf_slice(&first->teams)), 0);
        fixture_add_key(&v->f, "one", "red");
        fixture_add_key(&v->f, "two", "blue");
    }
    if (extra)
        fixture_add_key(&v->f, extra, strcmp(extra, "poison") == 0 ? "nobody" : "red");
    fixture_list(&v->f);
    buf_init(&v->envelope, 0);
    fixture_sign(&v->f, secret, epoch, version, &v->envelope);
    s->count++;
    pthread_mutex_unlock(&s->lock);
    return v;
}

static void
announce(struct stand *t, const struct version *v)
{
    struct bus_announcement a = {
        .cluster_id = SLICE(FIXTURE_CLUSTER), .epoch = v->epoch, .version = v->version};
    struct buf message;

    hash_sha256(v->envelope.at, v->envelope.len, a.root_sha256);
    buf_init(&message, 0);
    assert_int_equal(bus_announcement_encode(&a, &message), 0);
    assert_int_equal(channel_host_announce(t->script.host, buf_slice(&message)), 0);
    buf_free(&message);
}

static void
set_newest(struct stand *t, struct version *v)
{
    pthread_mutex_lock(&t->script.lock);
    t->script.newest = v;
    pthread_mutex_unlock(&t->script.lock);
}

static struct version *
publish(struct stand *t, uint64_t version, const char *extra)
{
    struct version *v = add_version(t, 1, version, extra, sign_secret);

    set_newest(t, v);
    announce(t, v);
    return v;
}

/* --- the stand ----------------------------------------------------------------------------- */

static void
host_up(struct stand *t)
{
    const char *why = "";

    if (channel_host_open(t->pub, t->req, NULL, 2, serve, &t->script, &t->script.host, &why) != 0)
        fail_msg("host: %s", why);
}

static void
host_down(struct stand *t)
{
    channel_host_close(t->script.host);
    t->script.host = NULL;
}

static void
worker_up(struct stand *t)
{
    const char *why = "";
    struct follow_options o = {.loop = t->loop,
                               .pin = &t->pin,
                               .pub_url = t->pub,
                               .req_url = t->req,
                               .public_keys = (const unsigned char(*)[SIGN_PUBLIC_BYTES])public_key,
                               .key_count = 1,
                               .ring = fixture_keys(),
                               .policy_dir = t->policy_dir,
                               .node = "n1",
                               .slot = 2,
                               .pull_ms = 300,
                               .heartbeat_ms = 100};

    pin_init(&t->pin);
    t->follow = follow_start(&o, &why);
    if (!t->follow)
        fail_msg("follow: %s", why);
}

static void
worker_down(struct stand *t)
{
    follow_stop(t->follow);
    t->follow = NULL;
    pin_fini(&t->pin);
}

static int
stand_up(void **state)
{
    struct stand *t = calloc(1, sizeof(*t));

    *state = t;
    snprintf(t->dir, sizeof(t->dir), "/tmp/hgfollow.XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->pub, sizeof(t->pub), "ipc://%s/pub", t->dir);
    snprintf(t->req, sizeof(t->req), "ipc://%s/req", t->dir);
    snprintf(t->policy_dir, sizeof(t->policy_dir), "%s/policy", t->dir);
    pthread_mutex_init(&t->script.lock, NULL);
    t->loop = loop_new();
    return 0;
}

static int
stand_down(void **state)
{
    struct stand *t = *state;
    char command[128];

    worker_down(t);
    host_down(t);
    loop_free(t->loop);
    for (size_t i = 0; i < t->script.count; i++) {
        fixture_free(&t->script.versions[i].f);
        buf_free(&t->script.versions[i].envelope);
    }
    pthread_mutex_destroy(&t->script.lock);
    snprintf(command, sizeof(command), "rm -rf %s", t->dir);
    free(t);
    return system(command);
}

static void
on_tick(void *ctx)
{
    struct loop *l = ctx;

    loop_stop(l);
}

/* Runs the loop until the condition holds. */
#define WAIT_FOR(t, condition)                                                                     \
    do {                                                                                           \
        int64_t end_ = clock_mono_ms() + DEADLINE_MS;                                              \
        while (!(condition)) {                                                                     \
            struct timer tick_ = {0};                                                              \
            if (clock_mono_ms() > end_)                                                            \
                fail_msg("never: %s", #condition);                                                 \
            timer_set(&tick_, (t)->loop, 10, on_tick, (t)->loop);                                  \
            loop_run((t)->loop);                                                                   \
            timer_cancel(&tick_);                                                                  \
        }                                                                                          \
    } while (0)

static void
run_for(struct stand *t, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    WAIT_FOR(t, clock_mono_ms() >= end);
}

static uint64_t
held(const struct stand *t)
{
    return t->pin.now ? policy_version(t->pin.now) : 0;
}

static bool
has_key(const struct stand *t, const char *key)
{
    struct policy_key k;

    return t->pin.now && policy_find_key(t->pin.now, slice_of(key), &k);
}

static struct script
peek(struct stand *t)
{
    struct script copy;

    pthread_mutex_lock(&t->script.lock);
    copy = t->script;
    pthread_mutex_unlock(&t->script.lock);
    return copy;
}

static struct follow_status
status_of(const struct stand *t)
{
    struct follow_status s;

    follow_status(t->follow, &s);
    return s;
}

/* --- the ordinary way ---------------------------------------------------------------------- */

static void
test_policy_is_fetched_applied_and_told(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, "three");
    worker_up(t);
    assert_null(pin_get(&t->pin));
    WAIT_FOR(t, held(t) == 1);
    assert_true(has_key(t, "sk-three"));
    WAIT_FOR(t, peek(t).held_version == 1 && peek(t).beats > 2);
    assert_int_equal(status_of(t).applied, 1);
    assert_false(status_of(t).from_disk);
    assert_slice_is(follow_identity(t->follow)->node, "n1");
}

static void
test_one_changed_key_moves_one_section(void **state)
{
    struct stand *t = *state;
    size_t before;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    before = peek(t).sections;
    assert_true(before >= 7); /* five sections and two shards */
    publish(t, 2, "three");
    WAIT_FOR(t, held(t) == 2);
    assert_true(has_key(t, "sk-three"));
    assert_int_equal(peek(t).sections, before + 1);
    publish(t, 3, NULL); /* the key is gone again: nothing is to be fetched */
    WAIT_FOR(t, held(t) == 3);
    assert_false(has_key(t, "sk-three"));
    assert_int_equal(peek(t).sections, before + 1);
}

/* A request that began under the old policy keeps it. */
static void
test_a_pinned_policy_stays(void **state)
{
    struct stand *t = *state;
    struct policy_key k;
    struct policy *mine;

    host_up(t);
    publish(t, 1, "three");
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    mine = pin_get(&t->pin);
    publish(t, 2, NULL);
    WAIT_FOR(t, held(t) == 2);
    assert_false(has_key(t, "sk-three"));
    assert_non_null(policy_find_key(mine, SLICE("sk-three"), &k));
    policy_unref(mine);
}

/* --- faults -------------------------------------------------------------------------------- */

static void
test_f071_the_same_again_is_nothing_new(void **state)
{
    struct stand *t = *state;
    struct version *v;
    size_t before;

    host_up(t);
    v = publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    before = peek(t).sections;
    for (int i = 0; i < 10000; i++)
        announce(t, v);
    run_for(t, 300);
    assert_int_equal(status_of(t).applied, 1);
    assert_int_equal(peek(t).sections, before);
    assert_string_equal(peek(t).nack, "");
}

static void
test_f071_equivocation(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    publish(t, 1, "three"); /* the same number, other content */
    WAIT_FOR(t, strcmp(peek(t).nack, "equivocation") == 0);
    assert_int_equal(held(t), 1);
    assert_false(has_key(t, "sk-three"));
    assert_true(status_of(t).refused[SNAPSHOT_EQUIVOCATION] > 0);
    publish(t, 2, "three");
    WAIT_FOR(t, has_key(t, "sk-three"));
}

static void
test_f072_older_versions_are_ignored(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 5, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 5);
    publish(t, 3, "three");
    publish(t, 4, "four");
    run_for(t, 700);
    assert_int_equal(held(t), 5);
    assert_false(has_key(t, "sk-four"));
    publish(t, 9, "nine"); /* a gap is no matter: sections are by content */
    WAIT_FOR(t, held(t) == 9);
    assert_string_equal(peek(t).nack, "");
}

static void
test_f078_replay_of_an_old_root_on_the_bus(void **state)
{
    struct stand *t = *state;
    struct version *old;

    host_up(t);
    old = publish(t, 1, "revoked");
    worker_up(t);
    WAIT_FOR(t, has_key(t, "sk-revoked"));
    publish(t, 2, NULL);
    WAIT_FOR(t, held(t) == 2);
    set_newest(t, old); /* rightly signed, with the key in it */
    announce(t, old);
    WAIT_FOR(t, status_of(t).refused[SNAPSHOT_OLD] > 0);
    assert_false(has_key(t, "sk-revoked"));
}

static void
test_f076_poison_then_fixed(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    publish(t, 2, "poison"); /* its team does not exist */
    WAIT_FOR(t, strcmp(peek(t).nack, "meaning") == 0);
    assert_non_null(strstr(peek(t).nack_detail, "'poison': no team 'nobody'"));
    assert_int_equal(peek(t).nack_version, 2);
    assert_int_equal(held(t), 1);
    assert_true(has_key(t, "sk-one"));
    publish(t, 3, "three");
    WAIT_FOR(t, held(t) == 3); /* no restart needed */
    assert_true(has_key(t, "sk-three"));
}

static void
test_f077_wrong_signature(void **state)
{
    struct stand *t = *state;
    struct version *forged;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    forged = add_version(t, 1, 2, "three", other_secret);
    set_newest(t, forged);
    announce(t, forged);
    WAIT_FOR(t, strcmp(peek(t).nack, "auth") == 0);
    assert_int_equal(held(t), 1);
    assert_false(has_key(t, "sk-three"));
    publish(t, 3, "three");
    WAIT_FOR(t, held(t) == 3);
}

static void
test_f070_damaged_section(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    pthread_mutex_lock(&t->script.lock);
    t->script.damage_sections = true;
    pthread_mutex_unlock(&t->script.lock);
    publish(t, 2, "three");
    WAIT_FOR(t, strcmp(peek(t).nack, "torn") == 0);
    assert_int_equal(held(t), 1);
    pthread_mutex_lock(&t->script.lock);
    t->script.damage_sections = false;
    pthread_mutex_unlock(&t->script.lock);
    WAIT_FOR(t, held(t) == 2); /* damage may pass: it is tried again */
}

/* The newest is bad and a worker starts that holds nothing. */
static void
test_f083_new_worker_gets_the_last_good_one(void **state)
{
    struct stand *t = *state;
    struct version *good;

    host_up(t);
    good = publish(t, 1, "three");
    publish(t, 2, "poison");
    pthread_mutex_lock(&t->script.lock);
    t->script.good = good;
    pthread_mutex_unlock(&t->script.lock);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    assert_true(has_key(t, "sk-three"));
    assert_string_equal(peek(t).nack, "meaning");
    publish(t, 3, NULL);
    WAIT_FOR(t, held(t) == 3);
}

/* No last good one either: it goes on asking, and takes the next that is right. */
static void
test_f083_nothing_good_yet(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, "poison");
    worker_up(t);
    WAIT_FOR(t, strcmp(peek(t).nack, "meaning") == 0);
    run_for(t, 500);
    assert_int_equal(held(t), 0);
    set_newest(t, add_version(t, 1, 2, "three", sign_secret)); /* without a word on PUB */
    WAIT_FOR(t, held(t) == 2);
}

static void
test_f085_starts_from_disk_and_catches_up(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, "three");
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    run_for(t, 300); /* the disk is behind the swap */
    worker_down(t);
    host_down(t);
    worker_up(t);
    assert_int_equal(held(t), 1); /* at once, with nobody there */
    assert_true(has_key(t, "sk-three"));
    assert_true(status_of(t).from_disk);
    host_up(t);
    publish(t, 2, NULL);
    WAIT_FOR(t, held(t) == 2);
    assert_false(has_key(t, "sk-three"));
    assert_false(status_of(t).from_disk);
    WAIT_FOR(t, peek(t).held_version == 2);
}

static void
test_f087_no_policy_until_the_control_plane_comes(void **state)
{
    struct stand *t = *state;

    worker_up(t);
    run_for(t, 300);
    assert_int_equal(held(t), 0);
    assert_int_equal(status_of(t).contact_ms, 0);
    host_up(t);
    run_for(t, 300);
    assert_int_equal(held(t), 0); /* there, but it has published nothing yet */
    publish(t, 1, NULL);
    WAIT_FOR(t, held(t) == 1);
    assert_true(status_of(t).contact_ms > 0);
}

static void
test_f095_missed_announcements(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, NULL);
    worker_up(t);
    WAIT_FOR(t, held(t) == 1);
    for (uint64_t v = 2; v < 10; v++) /* never announced */
        set_newest(t, add_version(t, 1, v, v == 9 ? "nine" : NULL, sign_secret));
    WAIT_FOR(t, held(t) == 9);
    assert_true(has_key(t, "sk-nine"));
}

/* The control plane restarts under a higher epoch; versions may begin anew. */
static void
test_f080_higher_epoch_counts(void **state)
{
    struct stand *t = *state;
    struct version *v;

    host_up(t);
    publish(t, 7, "seven");
    worker_up(t);
    WAIT_FOR(t, held(t) == 7);
    host_down(t);
    host_up(t);
    v = add_version(t, 2, 1, NULL, sign_secret);
    set_newest(t, v);
    announce(t, v);
    WAIT_FOR(t, held(t) == 1);
    assert_int_equal(policy_epoch(t->pin.now), 2);
    assert_false(has_key(t, "sk-seven"));
}

/* What could not be saved is saved when the disk is well again, without a new version. */
static void
test_f084_disk_full_then_well(void **state)
{
    struct stand *t = *state;
    struct rlimit before, none = {0, 0};

    host_up(t);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    worker_up(t);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    publish(t, 1, "three");
    WAIT_FOR(t, status_of(t).disk_errors > 0);
    assert_int_equal(held(t), 1); /* it serves nevertheless */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (int64_t end = clock_mono_ms() + DEADLINE_MS; clock_mono_ms() < end;) {
        char floor[160];

        run_for(t, 100);
        snprintf(floor, sizeof(floor), "%s/floor.b", t->policy_dir);
        if (access(floor, F_OK) == 0)
            break;
    }
    worker_down(t);
    host_down(t);
    worker_up(t);
    assert_int_equal(held(t), 1);
    assert_true(has_key(t, "sk-three"));
}

/* Stopping at any moment frees all and calls nobody back (the sanitizers see to it). */
static void
test_stop_at_any_moment(void **state)
{
    struct stand *t = *state;

    host_up(t);
    publish(t, 1, NULL);
    for (int i = 0; i < 30; i++) {
        worker_up(t);
        run_for(t, i);
        worker_down(t);
    }
}

static void
test_directory_of_someone_else(void **state)
{
    struct stand *t = *state;
    const char *why = "";
    struct follow_options o = {.loop = t->loop,
                               .pin = &t->pin,
                               .public_keys = (const unsigned char(*)[SIGN_PUBLIC_BYTES])public_key,
                               .key_count = 1,
                               .ring = fixture_keys(),
                               .policy_dir = "/dev/null/x",
                               .node = "n1"};

    assert_null(follow_start(&o, &why));
    assert_non_null(strstr(why, "directory"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stand_up, stand_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_policy_is_fetched_applied_and_told),
        TEST(test_one_changed_key_moves_one_section),
        TEST(test_a_pinned_policy_stays),
        TEST(test_f071_the_same_again_is_nothing_new),
        TEST(test_f071_equivocation),
        TEST(test_f072_older_versions_are_ignored),
        TEST(test_f078_replay_of_an_old_root_on_the_bus),
        TEST(test_f076_poison_then_fixed),
        TEST(test_f077_wrong_signature),
        TEST(test_f070_damaged_section),
        TEST(test_f083_new_worker_gets_the_last_good_one),
        TEST(test_f083_nothing_good_yet),
        TEST(test_f085_starts_from_disk_and_catches_up),
        TEST(test_f087_no_policy_until_the_control_plane_comes),
        TEST(test_f095_missed_announcements),
        TEST(test_f080_higher_epoch_counts),
        TEST(test_f084_disk_full_then_well),
        TEST(test_stop_at_any_moment),
        TEST(test_directory_of_someone_else),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
