#include "dataplane/state/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/state/follow_internal.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define BEAT_MS 1000
#define CALL_TIMEOUT_MS 5000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000

static void look(void *ctx);

/* --- when to look ---------------------------------------------------------------------------- */

/* Full jitter: a fleet that lost its control plane does not come back as one. */
static void
look_within(struct follow *f, int64_t ms)
{
    timer_set(&f->pull, f->o.loop, 1 + (int64_t)rand_below((uint64_t)ms), look, f);
}

static void
look_later(struct follow *f)
{
    int64_t half = (f->o.pull_ms ? f->o.pull_ms : FOLLOW_PULL_MS) / 2;

    timer_set(&f->pull, f->o.loop, half + (int64_t)rand_below((uint64_t)half + 1), look, f);
}

static void
look(void *ctx)
{
    struct follow *f = ctx;
    bool last_good = !f->has_held && f->has_refused && f->asked_newest;

    look_later(f);
    if (!f->fetch)
        f->asked_newest = !last_good;
    fetch_start(f, last_good);
}

static bool
same_mark(const struct root_mark *a, const struct root_mark *b)
{
    return a->epoch == b->epoch && a->version == b->version &&
           memcmp(a->digest, b->digest, SHA256_BYTES) == 0;
}

bool
follow_head_is_news(const struct follow *f)
{
    if (!f->has_head || (f->has_held && same_mark(&f->head, &f->held)))
        return false;
    if (f->has_refused && f->refused_final &&
        memcmp(f->head.digest, f->refused.digest, SHA256_BYTES) == 0)
        return false;
    return !f->has_held ||
           snapshot_order(f->held.epoch, f->held.version, f->held.digest, f->head.epoch,
                          f->head.version, f->head.digest) != SNAPSHOT_OLD;
}

/* Of several control planes one may be behind what another has announced. */
static void
note_head(struct follow *f, const struct bus_announcement *a)
{
    if (f->has_head && f->has_held &&
        snapshot_order(f->held.epoch, f->held.version, f->held.digest, a->epoch, a->version,
                       a->root_sha256) == SNAPSHOT_OLD &&
        memcmp(a->root_sha256, f->held.digest, SHA256_BYTES) != 0)
        return;
    f->head = (struct root_mark){.epoch = a->epoch, .version = a->version};
    memcpy(f->head.digest, a->root_sha256, SHA256_BYTES);
    f->has_head = true;
}

static void
on_announce(void *ctx, struct slice message)
{
    struct follow *f = ctx;
    struct bus_announcement a;
    struct arena arena;

    arena_init(&arena, 4096);
    if (bus_announcement_decode(message, &arena, &a) == 0 &&
        (!f->cluster_id[0] || slice_is(a.cluster_id, f->cluster_id))) {
        note_head(f, &a);
        follow_heard(f);
        if (follow_head_is_news(f) && f->failures == 0)
            fetch_start(f, false);
    }
    arena_free(&arena);
}

/* --- what is told to the control plane ------------------------------------------------------- */

static struct channel_call *
tell(struct follow *f, const struct bus_request *r, void (*on_reply)(void *, int, struct slice))
{
    struct channel_call *call = NULL;
    struct buf message;

    if (!f->channel)
        return NULL;
    buf_init(&message, 0);
    if (bus_request_encode(r, &message) == 0)
        call =
            channel_request(f->channel, &(struct channel_question){.message = buf_slice(&message),
                                                                   .timeout_ms = CALL_TIMEOUT_MS,
                                                                   .is_answer = bus_is_answer,
                                                                   .on_reply = on_reply,
                                                                   .ctx = f});
    buf_free(&message);
    return call;
}

static void
on_applied_reply(void *ctx, int err, struct slice reply)
{
    struct follow *f = ctx;

    (void)reply;
    f->applied_call = NULL;
    if (!err)
        follow_heard(f);
}

/* The newest word counts: one that is still under way is taken back. */
static void
tell_applied(struct follow *f, const struct root_mark *mark, struct slice error,
             struct slice detail)
{
    struct bus_request r = {.from = f->identity,
                            .kind = BUS_APPLIED,
                            .applied = {.epoch = mark->epoch,
                                        .version = mark->version,
                                        .error = error,
                                        .detail = detail,
                                        .held_epoch = f->held.epoch,
                                        .held_version = f->held.version}};

    if (f->applied_call)
        channel_cancel(f->applied_call);
    f->applied_call = tell(f, &r, on_applied_reply);
}

static void
on_beat_reply(void *ctx, int err, struct slice reply)
{
    struct follow *f = ctx;

    (void)reply;
    f->beat_call = NULL;
    if (!err)
        follow_heard(f);
}

static void
beat(void *ctx)
{
    struct follow *f = ctx;
    struct follow_load load = {0};
    struct slice ids[KEYRING_MOST];
    struct bus_request r = {.from = f->identity, .kind = BUS_HEARTBEAT};

    timer_set(&f->beat, f->o.loop, f->o.heartbeat_ms ? f->o.heartbeat_ms : BEAT_MS, beat, f);
    if (f->beat_call)
        return; /* the last one was not answered yet */
    if (f->o.load)
        f->o.load(f->o.ctx, &load);
    r.heartbeat = (struct bus_heartbeat){.held_epoch = f->held.epoch,
                                         .held_version = f->held.version,
                                         .spool_records = load.spool_records,
                                         .spool_bytes = load.spool_bytes,
                                         .requests = load.requests,
                                         .open_streams = load.open_streams,
                                         .draining = load.draining};
    for (size_t i = 0; i < f->ring.count; i++)
        ids[i] = slice_make(f->ring.keys[i].id, KEYRING_ID_BYTES);
    r.heartbeat.seal_keys = ids;
    r.heartbeat.seal_key_count = f->ring.count;
    f->beat_call = tell(f, &r, on_beat_reply);
}

void
follow_heard(struct follow *f)
{
    f->contact_ms = clock_mono_ms();
}

/* --- how a fetch ends ---------------------------------------------------------------------- */

static void
back_off(struct follow *f)
{
    int64_t most = RETRY_MIN_MS << (f->failures < 5 ? f->failures : 5);

    f->failures++;
    look_within(f, most < RETRY_MAX_MS ? most : RETRY_MAX_MS);
}

void
follow_fetched(struct follow *f, enum fetch_end how)
{
    if (how == FETCH_FAILED) {
        f->fetch_errors++;
        back_off(f);
        return;
    }
    f->failures = 0;
    look_later(f);
    if (how == FETCH_IN_FORCE && follow_head_is_news(f))
        fetch_start(f, false); /* another change came meanwhile */
}

void
follow_refused(struct follow *f, enum snapshot_refusal why, bool final,
               const struct root_mark *mark, struct slice detail)
{
    bool again = f->has_refused && memcmp(f->refused.digest, mark->digest, SHA256_BYTES) == 0;

    f->refusals[why]++;
    f->refused = *mark;
    f->has_refused = true;
    f->refused_final = final;
    if (!again)
        log_error("policy.refused", F_STR("reason", snapshot_refusal_name(why)),
                  F_INT("epoch", mark->epoch), F_INT("version", mark->version),
                  F_SLICE("detail", detail));
    if (why != SNAPSHOT_OLD)
        tell_applied(f, mark, slice_of(snapshot_refusal_name(why)), detail);
    back_off(f);
    if (final)
        f->failures = 0; /* what is announced next is another one: look at it at once */
}

void
follow_swap(struct follow *f, struct policy *next, const struct root_mark *mark,
            const struct snapshot_root *root)
{
    f->held = *mark;
    f->has_held = true;
    f->from_disk = false;
    f->not_after_ms = root->not_after_ms;
    f->applied++;
    f->applied_wall_ms = clock_wall_ms();
    snprintf(f->cluster_id, sizeof(f->cluster_id), "%.*s", SLICE_ARG(root->cluster_id));
    pin_swap(f->o.pin, next);
    log_info("policy.applied", F_INT("epoch", mark->epoch), F_INT("version", mark->version),
             F_INT("keys", policy_key_count(next)));
    tell_applied(f, mark, SLICE(""), SLICE(""));
    if (f->o.on_policy)
        f->o.on_policy(f->o.ctx, next);
}

/* --- starting -------------------------------------------------------------------------------- */

static void
load_from_disk(struct follow *f)
{
    struct snapshot_trust trust = {
        .public_keys = (const unsigned char(*)[SIGN_PUBLIC_BYTES])f->keys,
        .key_count = f->key_count,
        .now_wall_ms = clock_wall_ms(),
        .avoid_epoch = f->o.avoid_epoch,
        .avoid_version = f->o.avoid_version,
    };
    struct lkg_found found;
    struct buf why;

    buf_init(&why, 4096);
    if (lkg_load(f->lkg, &trust, &f->ring, &found, &why) != 0) {
        log_warn("policy.none_on_disk", F_SLICE("why", buf_slice(&why)));
        buf_free(&why);
        return;
    }
    if (found.skipped)
        log_error("policy.disk_damaged", F_SLICE("why", buf_slice(&why)));
    buf_free(&why);
    f->held.epoch = policy_epoch(found.policy);
    f->held.version = policy_version(found.policy);
    memcpy(f->held.digest, found.root_digest, SHA256_BYTES);
    f->has_held = true;
    f->from_disk = true;
    f->disk_whole = found.skipped == 0;
    f->not_after_ms = found.not_after_ms;
    f->applied_wall_ms = clock_wall_ms();
    memcpy(f->cluster_id, found.cluster_id, sizeof(f->cluster_id));
    policy_settle(found.policy);
    pin_swap(f->o.pin, found.policy);
    log_info("policy.from_disk", F_INT("epoch", f->held.epoch), F_INT("version", f->held.version),
             F_INT("keys", policy_key_count(found.policy)), F_BOOL("expired", found.expired));
}

static void
set_identity(struct follow *f)
{
    snprintf(f->node, sizeof(f->node), "%s", f->o.node ? f->o.node : "");
    if (gethostname(f->host, sizeof(f->host) - 1) != 0)
        f->host[0] = '\0';
    f->identity = (struct bus_worker){
        .node = slice_of(f->node),
        .host = slice_of(f->host),
        .build = SLICE(HEADGATE_VERSION),
        .slot = f->o.slot,
        .pid = (uint32_t)getpid(),
        .started_ms = clock_wall_ms(),
    };
}

static bool
open_parts(struct follow *f, const char **ret_why)
{
    *ret_why = "no memory, or no more threads";
    f->compiler = helper_new(f->o.loop);
    f->disk = f->compiler ? helper_new(f->o.loop) : NULL;
    if (!f->disk)
        return false;
    if (f->o.policy_dir && lkg_open(f->o.policy_dir, &f->ring, &f->lkg) != 0) {
        *ret_why = "the policy's directory cannot be used (it must be a directory of this user)";
        return false;
    }
    if (f->lkg)
        load_from_disk(f);
    if (!f->o.pub_url || !f->o.req_url)
        return true;
    f->channel =
        channel_open(f->o.loop, f->o.pub_url, f->o.req_url, f->o.tls, on_announce, f, ret_why);
    return f->channel != NULL;
}

struct follow *
follow_start(const struct follow_options *o, const char **ret_why)
{
    struct follow *f = calloc(1, sizeof(*f));

    *ret_why = "no memory";
    if (!f)
        return NULL;
    f->o = *o;
    f->key_count = o->key_count < LIMIT_TRUSTED_KEYS ? o->key_count : LIMIT_TRUSTED_KEYS;
    memcpy(f->keys, o->public_keys, f->key_count * SIGN_PUBLIC_BYTES);
    f->ring = *o->ring;
    f->started_ms = clock_mono_ms();
    set_identity(f);
    if (!open_parts(f, ret_why)) {
        follow_stop(f);
        return NULL;
    }
    if (f->channel) {
        look(f);
        beat(f);
    }
    return f;
}

void
follow_stop(struct follow *f)
{
    if (!f)
        return;
    timer_cancel(&f->pull);
    timer_cancel(&f->beat);
    fetch_cancel(f->fetch);
    if (f->applied_call)
        channel_cancel(f->applied_call);
    if (f->beat_call)
        channel_cancel(f->beat_call);
    helper_free(f->compiler);
    helper_free(f->disk);
    channel_close(f->channel);
    lkg_close(f->lkg);
    keyring_wipe(&f->ring);
    free(f);
}

/* --- other sealing keys ---------------------------------------------------------------------- */

struct rekey {
    struct helper_job job;
    struct follow *follow;
    struct keyring ring;
    int err;
};

static struct rekey *
of_job(struct helper_job *job)
{
    return (struct rekey *)(void *)((char *)job - offsetof(struct rekey, job));
}

static void
rekey_run(struct helper_job *job)
{
    struct rekey *r = of_job(job);

    r->err = lkg_rekey(r->follow->lkg, &r->ring);
}

static void
rekey_drop(struct helper_job *job)
{
    struct rekey *r = of_job(job);

    keyring_wipe(&r->ring);
    free(r);
}

static void
rekey_done(struct helper_job *job)
{
    struct rekey *r = of_job(job);

    if (r->err) {
        r->follow->disk_errors++;
        log_error("policy.floor_not_rekeyed", F_ERR(r->err));
    }
    rekey_drop(job);
}

/* The disk's thread alone touches the lkg. */
static void
rekey_disk(struct follow *f)
{
    struct rekey *r = f->lkg ? calloc(1, sizeof(*r)) : NULL;

    if (!f->lkg)
        return;
    if (!r) {
        log_error("policy.floor_not_rekeyed", F_ERR(ERR_NOMEM));
        return;
    }
    r->follow = f;
    r->ring = f->ring;
    r->job = (struct helper_job){.run = rekey_run, .done = rekey_done, .drop = rekey_drop};
    helper_submit(f->disk, &r->job);
}

void
follow_set_ring(struct follow *f, const struct keyring *ring)
{
    f->ring = *ring;
    f->has_refused = false;
    f->failures = 0;
    rekey_disk(f);
    if (!f->channel)
        return;
    if (f->fetch) /* begun with the old ones: what comes of it is looked at once more */
        look_within(f, RETRY_MIN_MS);
    else
        look(f);
    beat(f);
}

struct channel *
follow_channel(const struct follow *f)
{
    return f->channel;
}

const struct bus_worker *
follow_identity(const struct follow *f)
{
    return &f->identity;
}

void
follow_status(const struct follow *f, struct follow_status *ret_status)
{
    const struct policy *now = pin_peek(f->o.pin);

    *ret_status = (struct follow_status){
        .epoch = f->has_held ? f->held.epoch : 0,
        .version = f->has_held ? f->held.version : 0,
        .revision = now ? policy_revision(now) : 0,
        .head_epoch = f->head.epoch,
        .head_version = f->head.version,
        .applied_wall_ms = f->applied_wall_ms,
        .contact_ms = f->contact_ms,
        .stale_policy = f->not_after_ms && f->not_after_ms + CLOCK_SKEW_MS < clock_wall_ms(),
        .from_disk = f->from_disk,
        .applied = f->applied,
        .disk_errors = f->disk_errors,
        .fetch_errors = f->fetch_errors,
    };
    memcpy(ret_status->root_digest, f->held.digest, SHA256_BYTES);
    memcpy(ret_status->refused, f->refusals, sizeof(f->refusals));
}
