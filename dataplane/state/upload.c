#include "dataplane/state/upload.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define INTERVAL_MS 200
#define BATCH_RECORDS 1000
#define TIMEOUT_MS 10000
#define LIMIT_WAIT_MS 2000    /* between attempts, while the control plane is away */
#define REFUSED_WAIT_MS 10000 /* what cannot be read will not be read a moment later */
#define ORPHANS_EVERY_MS 5000

struct upload {
    struct upload_options o;
    struct timer timer;
    struct channel_call *call;
    struct spool *sent; /* whose batch is in flight */
    uint64_t sent_last;
    size_t sent_count;
    struct spool *adopted; /* of a slot that no worker runs */
    bool adopted_turn;
    int64_t orphans_due_ms;
    int wait_ms; /* after a failure; 0: the last one went well */
    int64_t send_due_ms;
    struct buf request;
    struct upload_counts counts;
};

static void on_due(void *ctx);
static void on_reply(void *ctx, int err, struct slice bytes);

/* --- slots that no worker runs --------------------------------------------------------------- */

static void
adopt(struct upload *u)
{
    struct spool_limits limits = {.sync = SPOOL_SYNC_ALWAYS, .drain_only = true};
    unsigned slots[16];
    size_t n;

    if (!u->o.first_orphan || u->adopted || loop_now_ms(u->o.loop) < u->orphans_due_ms)
        return;
    u->orphans_due_ms = loop_now_ms(u->o.loop) + ORPHANS_EVERY_MS;
    n = spool_orphans(u->o.spool_dir, u->o.first_orphan, slots, sizeof(slots) / sizeof(*slots));
    for (size_t i = 0; i < n && !u->adopted; i++)
        if (!spool_open(u->o.spool_dir, slots[i], &limits, &u->adopted))
            log_info("upload.adopted", F_INT("slot", slots[i]));
}

static void
let_go_when_drained(struct upload *u)
{
    struct spool_depth d;

    if (!u->adopted || u->sent == u->adopted)
        return;
    spool_tend(u->adopted);
    spool_depth(u->adopted, &d);
    if (d.records)
        return;
    spool_close(u->adopted);
    u->adopted = NULL;
    u->orphans_due_ms = 0; /* the next one at once */
}

/* --- sending --------------------------------------------------------------------------------- */

/* Both get their turn when both have something. */
static struct spool *
pick(struct upload *u, struct usage_batch *ret_batch)
{
    struct spool *order[2] = {u->o.spool, u->adopted};

    if (u->adopted_turn) {
        order[0] = u->adopted;
        order[1] = u->o.spool;
    }
    u->adopted_turn = !u->adopted_turn;
    for (size_t i = 0; i < 2; i++)
        if (order[i] && spool_peek(order[i], u->o.batch_records, LIMIT_BATCH_BYTES, ret_batch))
            return order[i];
    return NULL;
}

static int
encode(struct upload *u, const struct usage_batch *batch)
{
    struct bus_request request = {.from = *u->o.from, .kind = BUS_USAGE, .usage = *batch};

    buf_clear(&u->request);
    return bus_request_encode(&request, &u->request);
}

/* False: nothing to send, or no memory to send it with. */
static bool
send_next(struct upload *u)
{
    struct usage_batch batch;
    struct spool *from = pick(u, &batch);

    if (!from || encode(u, &batch))
        return false;
    CRASHPOINT("upload.send");
    u->call =
        channel_request(u->o.channel, &(struct channel_question){.message = buf_slice(&u->request),
                                                                 .timeout_ms = u->o.timeout_ms,
                                                                 .is_answer = bus_is_answer,
                                                                 .on_reply = on_reply,
                                                                 .ctx = u});
    if (!u->call)
        return false;
    u->sent = from;
    u->sent_last = batch.last_sequence;
    u->sent_count = batch.count;
    CRASHPOINT("upload.sent");
    return true;
}

static void
on_due(void *ctx)
{
    struct upload *u = ctx;

    timer_set(&u->timer, u->o.loop, u->o.interval_ms, on_due, u);
    spool_tend(u->o.spool);
    let_go_when_drained(u);
    adopt(u);
    if (!u->call && loop_now_ms(u->o.loop) >= u->send_due_ms)
        (void)send_next(u);
}

/* --- the answer ------------------------------------------------------------------------------ */

/* Full jitter: many workers must not come back at the same moment. */
static void
back_off(struct upload *u)
{
    u->wait_ms = u->wait_ms ? u->wait_ms * 2 : u->o.interval_ms;
    if (u->wait_ms > LIMIT_WAIT_MS)
        u->wait_ms = LIMIT_WAIT_MS;
    u->send_due_ms = loop_now_ms(u->o.loop) + 1 + (int64_t)rand_below((uint64_t)u->wait_ms);
}

/* 0: acknowledged; else why not. */
static int
read_reply(struct slice bytes, struct bus_reply *ret_reply)
{
    struct arena a;
    int err;

    arena_init(&a, 64 << 10);
    err = bus_reply_decode(bytes, &a, ret_reply);
    ret_reply->message = ret_reply->envelope = ret_reply->section = (struct slice){0};
    arena_free(&a);
    if (err)
        return ERR_SYNTAX;
    if (ret_reply->status == BUS_REFUSED)
        return ERR_DENIED;
    return ret_reply->status == BUS_OK && ret_reply->acked ? 0 : ERR_UNAVAILABLE;
}

static void
heed_failure(struct upload *u, int err)
{
    u->counts.failures++;
    if (err == ERR_DENIED) {
        u->counts.refused++;
        u->send_due_ms = loop_now_ms(u->o.loop) + REFUSED_WAIT_MS;
        log_error("upload.refused", F_INT("records", u->sent_count));
        return;
    }
    log_debug("upload.failed", F_ERR(err));
    back_off(u);
}

static void
on_reply(void *ctx, int err, struct slice bytes)
{
    struct upload *u = ctx;
    struct bus_reply reply = {0};
    struct spool *from = u->sent;
    bool whole = u->sent_count >= u->o.batch_records;

    u->call = NULL;
    u->sent = NULL;
    if (!err)
        err = read_reply(bytes, &reply);
    if (err) {
        heed_failure(u, err);
        return;
    }
    CRASHPOINT("upload.acked");
    u->wait_ms = 0;
    u->counts.batches++;
    if (reply.sequence >= u->sent_last)
        u->counts.records += u->sent_count;
    spool_ack(from, reply.spool_id, reply.sequence);
    if (u->o.on_acked)
        u->o.on_acked(u->o.ctx);
    if (whole)
        (void)send_next(u); /* a backlog does not wait for the clock */
}

/* --- life ------------------------------------------------------------------------------------ */

struct upload *
upload_new(const struct upload_options *o)
{
    struct upload *u = calloc(1, sizeof(*u));

    if (!u)
        return NULL;
    u->o = *o;
    if (!u->o.interval_ms)
        u->o.interval_ms = INTERVAL_MS;
    if (!u->o.batch_records)
        u->o.batch_records = BATCH_RECORDS;
    if (!u->o.timeout_ms)
        u->o.timeout_ms = TIMEOUT_MS;
    buf_init(&u->request, LIMIT_BUS_MESSAGE_BYTES);
    timer_set(&u->timer, u->o.loop, u->o.interval_ms, on_due, u);
    return u;
}

void
upload_free(struct upload *u)
{
    if (!u)
        return;
    timer_cancel(&u->timer);
    if (u->call)
        channel_cancel(u->call);
    spool_close(u->adopted);
    buf_free(&u->request);
    free(u);
}

void
upload_kick(struct upload *u)
{
    u->send_due_ms = 0;
    timer_set(&u->timer, u->o.loop, 0, on_due, u);
}

bool
upload_is_idle(const struct upload *u)
{
    struct spool_depth d;

    spool_depth(u->o.spool, &d);
    return !u->call && d.records == 0;
}

struct upload_counts
upload_counts(const struct upload *u)
{
    return u->counts;
}
