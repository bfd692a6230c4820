/*
 * A stand for requests: a worker's services with a real policy, spool and loop, but no socket. The
 * client is a stream that writes down what it is given.
 */
#ifndef TESTS_UNIT_DATAPLANE_STAND_H
#define TESTS_UNIT_DATAPLANE_STAND_H

#include "tests/unit/check.h"

#include <unistd.h>

#include "dataplane/front/front.h"
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/estimates.h"
#include "dataplane/state/metrics.h"
#include "dataplane/state/pin.h"
#include "dataplane/stream/outlet.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/control/section.h"
#include "lib/http/stream.h"
#include "lib/policy/compile.h"

#ifndef STAND_QUIET /* of tests that make allocations fail: around what the stand itself does */
#define STAND_QUIET() ((void)0)
#define STAND_LOUD() ((void)0)
#endif

/* --- a client --------------------------------------------------------------------------------- */

struct test_client {
    struct http_stream stream;
    struct http_field fields[32];
    struct buf body;
    int status;
    struct http_field answer[64];
    size_t answer_count;
    struct arena kept;
    bool ended, aborted;
    struct http_field trailers[8];
    size_t trailer_count;
    int write_result; /* what the next writes return */
};

static int
test_respond(struct http_stream *s, int status, const struct http_field *fields, size_t count,
             int64_t length, bool end_now)
{
    struct test_client *c = (struct test_client *)s;
    (void)length;
    assert_false(s->responded);
    assert_false(c->ended || c->aborted);
    s->responded = true;
    c->status = status;
    STAND_QUIET();
    for (size_t i = 0; i < count; i++) {
        c->answer[i].name = arena_copy(&c->kept, fields[i].name);
        c->answer[i].value = arena_copy(&c->kept, fields[i].value);
    }
    STAND_LOUD();
    c->answer_count = count;
    c->ended = end_now;
    return 0;
}

static int
test_write(struct http_stream *s, struct slice bytes)
{
    struct test_client *c = (struct test_client *)s;
    assert_true(s->responded);
    assert_false(c->ended || c->aborted);
    STAND_QUIET();
    assert_int_equal(buf_add_slice(&c->body, bytes), 0);
    STAND_LOUD();
    return c->write_result;
}

static void
test_end(struct http_stream *s, const struct http_field *trailers, size_t count)
{
    struct test_client *c = (struct test_client *)s;
    assert_false(c->ended || c->aborted);
    c->ended = true;
    STAND_QUIET();
    for (size_t i = 0; i < count && i < 8; i++) {
        c->trailers[i].name = arena_copy(&c->kept, trailers[i].name);
        c->trailers[i].value = arena_copy(&c->kept, trailers[i].value);
    }
    STAND_LOUD();
    c->trailer_count = count;
}

static void
test_abort(struct http_stream *s)
{
    struct test_client *c = (struct test_client *)s;
    assert_false(c->ended || c->aborted);
    c->aborted = true;
}

static size_t
test_pending(const struct http_stream *s)
{
    (void)s;
    return 0;
}

static const struct http_stream_ops test_ops = {
    .respond = test_respond,
    .write = test_write,
    .end = test_end,
    .abort = test_abort,
    .pending = test_pending,
};

static inline void
client_init(struct test_client *c, const char *method, const char *path)
{
    memset(c, 0, sizeof(*c));
    c->stream.ops = &test_ops;
    c->stream.head = (struct http_head){.method = slice_of(method),
                                        .path = slice_of(path),
                                        .fields = c->fields,
                                        .content_length = -1,
                                        .version = 11};
    buf_init(&c->body, 0);
    arena_init(&c->kept, 0);
}

static inline void
client_field(struct test_client *c, const char *name, const char *value)
{
    c->fields[c->stream.head.count++] =
        (struct http_field){.name = slice_of(name), .value = slice_of(value)};
}

static inline void
client_fini(struct test_client *c)
{
    buf_free(&c->body);
    arena_free(&c->kept);
}

/* A field of the answer; at == NULL when absent. */
static inline struct slice
client_answer(const struct test_client *c, const char *name)
{
    for (size_t i = 0; i < c->answer_count; i++)
        if (slice_is(c->answer[i].name, name))
            return c->answer[i].value;
    return (struct slice){0};
}

static inline bool
client_body_has(struct test_client *c, const char *text)
{
    return c->body.len && memmem(c->body.at, c->body.len, text, strlen(text)) != NULL;
}

/* --- a policy --------------------------------------------------------------------------------- */

#define TEST_KEY "sk-hg-good"
#define TEST_KEY_LIMITED "sk-hg-limited"
#define TEST_KEY_DISABLED "sk-hg-disabled"
#define TEST_KEY_EXPIRED "sk-hg-expired"
#define TEST_KEY_STRICT "sk-hg-strict"
#define TEST_KEY_OFF_TEAM "sk-hg-off-team"
#define TEST_KEY_SCOPED "sk-hg-scoped"       /* limited in all that a key can be */
#define TEST_KEY_NARROW_TEAM "sk-hg-narrow"  /* the same limits, by its team */
#define TEST_KEY_NO_ENDPOINT "sk-hg-nowhere" /* an empty list of endpoints */

static const unsigned char test_seal_key[SEAL_KEY_BYTES] = {7};

static inline const struct keyring *
test_keys(void)
{
    static struct keyring ring;
    if (ring.count == 0)
        ring = keyring_of(test_seal_key);
    return &ring;
}

static const unsigned char test_pepper[32] = {9};

struct policy_draft {
    struct buf settings, providers, models, teams, prices;
    struct buf keys[256];
};

static inline void
draft_key(struct policy_draft *d, struct hmac *h, const char *text, struct section_key k)
{
    unsigned char digest[SHA256_BYTES];
    hmac_sha256(h, text, strlen(text), digest);
    k.digest = slice_make(digest, sizeof(digest));
    assert_int_equal(section_put_key(&d->keys[digest[0]], &k), 0);
}

static const struct slice test_endpoints[] = {{"chat.*", 6}};
static const struct section_scope test_scope = {.endpoints = test_endpoints,
                                                .endpoint_count = 1,
                                                .limits_endpoints = true,
                                                .max_tokens = 100,
                                                .no_tools = true,
                                                .no_stream = true};

static inline void
draft_keys(struct policy_draft *d)
{
    static const struct slice limited[] = {{"sim-*", 5}};
    struct hmac *h = hmac_new(test_pepper, sizeof(test_pepper));
    draft_key(d, h, TEST_KEY,
              (struct section_key){.name = SLICE("good"), .team = SLICE("t"), .all_models = true});
    draft_key(
        d, h, TEST_KEY_LIMITED,
        (struct section_key){
            .name = SLICE("limited"), .team = SLICE("t"), .models = limited, .model_count = 1});
    draft_key(
        d, h, TEST_KEY_DISABLED,
        (struct section_key){
            .name = SLICE("disabled"), .team = SLICE("t"), .all_models = true, .disabled = true});
    draft_key(
        d, h, TEST_KEY_EXPIRED,
        (struct section_key){
            .name = SLICE("expired"), .team = SLICE("t"), .all_models = true, .expires_ms = 1});
    draft_key(d, h, TEST_KEY_OFF_TEAM,
              (struct section_key){.name = SLICE("off"), .team = SLICE("off"), .all_models = true});
    draft_key(
        d, h, TEST_KEY_SCOPED,
        (struct section_key){
            .name = SLICE("scoped"), .team = SLICE("t"), .all_models = true, .scope = test_scope});
    draft_key(d, h, TEST_KEY_NARROW_TEAM,
              (struct section_key){
                  .name = SLICE("of-narrow"), .team = SLICE("narrow"), .all_models = true});
    draft_key(d, h, TEST_KEY_NO_ENDPOINT,
              (struct section_key){.name = SLICE("nowhere"),
                                   .team = SLICE("t"),
                                   .all_models = true,
                                   .scope = {.limits_endpoints = true}});
    draft_key(d, h, TEST_KEY_STRICT,
              (struct section_key){.name = SLICE("strict"),
                                   .team = SLICE("t"),
                                   .all_models = true,
                                   .refuse_on_partition = true});
    hmac_free(h);
}

/* Of the model "cached"; a test may change them before it makes another policy. */
static const char *stand_cache_scope = "team";
static uint32_t stand_cache_ttl_s = 60;

static inline void
draft_models(struct policy_draft *d)
{
    static const struct section_target sim = {SLICE("sim"), SLICE("simulator"), 1};
    static const struct section_target renamed = {SLICE("sim"), SLICE("simulator-x"), 1};
    static const struct section_target unpriced = {SLICE("sim"), SLICE("nobody-knows"), 1};
    static const struct section_target drained = {SLICE("drain"), SLICE("simulator"), 1};
    static const struct {
        const char *name;
        const struct section_target *target;
        bool free;
    } rows[] = {{"drained", &drained, false},
                {"free", &unpriced, true},
                {"renamed", &renamed, false},
                {"simulator", &sim, false},
                {"unpriced", &unpriced, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct section_model m = {.name = slice_of(rows[i].name),
                                  .strategy = SLICE("weighted"),
                                  .targets = rows[i].target,
                                  .target_count = 1,
                                  .free = rows[i].free};
        assert_int_equal(section_put_model(&d->models, &m), 0);
    }
    struct section_model cached = {.name = SLICE("cached"),
                                   .targets = &renamed,
                                   .target_count = 1,
                                   .cache_ttl_s = stand_cache_ttl_s,
                                   .cache_scope = slice_of(stand_cache_scope)};
    assert_int_equal(section_put_model(&d->models, &cached), 0);
}

static inline void
draft_fill(struct policy_draft *d)
{
    char sealed[sizeof(test_pepper) + SEAL_OVERHEAD_BYTES];
    struct section_provider drain = {
        .name = SLICE("drain"), .kind = SLICE("simulator"), .on_disconnect = SLICE("drain")};
    struct section_provider sim = {.name = SLICE("sim"), .kind = SLICE("simulator")};
    struct section_team off = {.name = SLICE("off"), .all_models = true, .disabled = true};
    struct section_team on = {.name = SLICE("t"), .all_models = true};
    struct section_team narrow = {.name = SLICE("narrow"), .all_models = true, .scope = test_scope};
    memset(d, 0, sizeof(*d));
    assert_int_equal(keyring_seal(test_keys(), SLICE("pepper"),
                                  slice_make(test_pepper, sizeof(test_pepper)), sealed),
                     0);
    assert_int_equal(section_put_pepper(&d->settings, slice_make(sealed, sizeof(sealed))), 0);
    assert_int_equal(section_put_provider(&d->providers, &drain), 0);
    assert_int_equal(section_put_provider(&d->providers, &sim), 0);
    draft_models(d);
    assert_int_equal(section_put_team(&d->teams, &off), 0);
    assert_int_equal(section_put_team(&d->teams, &on), 0);
    assert_int_equal(section_put_team(&d->teams, &narrow), 0);
    for (int i = 0; i < 2; i++) {
        struct section_price p = {.provider = i ? SLICE("sim") : SLICE("drain"),
                                  .model = SLICE("simulator*"),
                                  .version = SLICE("test-1"),
                                  .base.rates = {.input = 1000000, .output = 2000000}};
        assert_int_equal(section_put_price(&d->prices, &p), 0);
    }
    draft_keys(d);
}

static inline struct policy *
policy_make(void)
{
    static struct policy_draft d;
    static char names[256][8];
    struct policy_section sections[5 + 256];
    struct policy *p = NULL;
    struct buf why;
    size_t n = 0;
    draft_fill(&d);
    for (int i = 0; i < 256; i++) {
        if (!d.keys[i].len)
            continue;
        snprintf(names[i], sizeof(names[i]), "keys/%02x", i);
        sections[n++] = (struct policy_section){slice_of(names[i]), buf_slice(&d.keys[i]), {0}};
    }
    sections[n++] = (struct policy_section){SLICE("models"), buf_slice(&d.models), {0}};
    sections[n++] = (struct policy_section){SLICE("prices"), buf_slice(&d.prices), {0}};
    sections[n++] = (struct policy_section){SLICE("providers"), buf_slice(&d.providers), {0}};
    sections[n++] = (struct policy_section){SLICE("settings"), buf_slice(&d.settings), {0}};
    sections[n++] = (struct policy_section){SLICE("teams"), buf_slice(&d.teams), {0}};
    for (size_t i = 0; i < n; i++)
        hash_sha256(sections[i].bytes.at, sections[i].bytes.len, sections[i].digest);
    struct policy_input in = {.epoch = 3,
                              .version = 14,
                              .revision = 2,
                              .sections = sections,
                              .count = n,
                              .keys = test_keys()};
    buf_init(&why, 0);
    if (policy_compile(&in, &p, &why))
        fail_msg("policy: %s", buf_str(&why));
    buf_free(&why);
    buf_free(&d.settings);
    buf_free(&d.providers);
    buf_free(&d.models);
    buf_free(&d.teams);
    buf_free(&d.prices);
    for (int i = 0; i < 256; i++)
        buf_free(&d.keys[i]);
    return p;
}

/* --- a worker's services ---------------------------------------------------------------------- */

struct stand {
    struct services svc;
    struct pin pin;
    struct metrics metrics;
    struct metrics_page *page;
    char dir[64];
    struct timer stop;
};

static inline void
stand_init(struct stand *s)
{
    static const struct spool_limits limits = {.bytes = 8 << 20, .segment_bytes = 256 << 10};
    memset(s, 0, sizeof(*s));
    log_init("test", LOG_ERROR + 1, 2);
    memcpy(s->dir, "/tmp/headgate-stand-XXXXXX", 27);
    assert_non_null(mkdtemp(s->dir));
    s->page = metrics_pages_new(1);
    metrics_init(&s->metrics, s->page);
    pin_init(&s->pin);
    pin_swap(&s->pin, policy_make());
    s->svc.loop = loop_new();
    s->svc.contact_ms = loop_now_ms(s->svc.loop);
    s->svc.pin = &s->pin;
    s->svc.metrics = &s->metrics;
    s->svc.limits = limits_default;
    s->svc.limits.http = http_limits_default;
    s->svc.estimates = estimates_new();
    s->svc.outlet = outlet_new(s->svc.loop);
    s->svc.cache = cache_new(s->svc.limits.cache_bytes);
    TAILQ_INIT(&s->svc.requests);
    assert_int_equal(spool_open(s->dir, 0, &limits, &s->svc.spool), 0);
}

static inline void
stand_fini(struct stand *s)
{
    char command[128];
    assert_int_equal(s->svc.request_count, 0);
    assert_int_equal(s->svc.held_bytes, 0);
    spool_close(s->svc.spool);
    outlet_free(s->svc.outlet);
    cache_free(s->svc.cache);
    estimates_free(s->svc.estimates);
    pin_fini(&s->pin);
    loop_free(s->svc.loop);
    snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
    assert_int_equal(system(command), 0);
}

static inline void
stand_stop(void *ctx)
{
    loop_stop(((struct stand *)ctx)->svc.loop);
}

/* Lets the loop run for a while. */
static inline void
stand_run(struct stand *s, int ms)
{
    timer_set(&s->stop, s->svc.loop, ms, stand_stop, s);
    loop_run(s->svc.loop);
    timer_cancel(&s->stop);
}

/* Sends a request with this body and runs until its answer has ended (or 3 s). NULL body: none. */
static inline void *
stand_start(struct stand *s, struct test_client *c, const char *body)
{
    void *x = front_handlers.on_request(&s->svc, &c->stream, &c->stream.head);
    if (x && body && !c->ended)
        front_handlers.on_body(x, &c->stream, slice_of(body));
    if (x && !c->ended)
        front_handlers.on_body_end(x, &c->stream);
    return x;
}

static inline void
stand_finish(struct stand *s, struct test_client *c)
{
    for (int i = 0; i < 300 && !c->ended && !c->aborted; i++)
        stand_run(s, 10);
    stand_run(s, 10); /* the graveyard */
    assert_true(c->ended || c->aborted);
}

/* POST with the good key. */
static inline void
stand_post(struct stand *s, struct test_client *c, const char *path, const char *sim,
           const char *body)
{
    client_init(c, "POST", path);
    client_field(c, "authorization", "Bearer " TEST_KEY);
    client_field(c, "content-type", "application/json");
    if (sim)
        client_field(c, "x-headgate-sim", sim);
    stand_start(s, c, body);
    stand_finish(s, c);
}

/* The last settled record, decoded into the arena; how many there are. */
static inline size_t
stand_records(struct stand *s, struct arena *a, struct usage *ret_last)
{
    struct usage_batch batch;
    if (!spool_peek(s->svc.spool, 1000, 1 << 20, &batch))
        return 0;
    assert_int_equal(usage_decode(batch.records[batch.count - 1], a, ret_last), 0);
    return batch.count;
}

#endif
