/* What workers ask: roots and sections from the shelf, their own reports to the acks, usage to the
 * ledger. Runs on the bus's threads; needs PostgreSQL for usage only. */
#include "controlplane/leases/leases.h"
#include "controlplane/ledger/ingest.h"
#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* A batch decodes to about its own size again. */
#define LIMIT_ANSWER_BYTES (8 * LIMIT_BATCH_BYTES)

static void
answer_root(struct publisher *p, const struct bus_request *q, struct buf *into)
{
    struct head *h = q->last_good ? shelf_last_good(p->shelf) : shelf_newest(p->shelf);
    struct bus_reply r = {.status = BUS_NOT_FOUND};

    if (h)
        r = (struct bus_reply){.status = BUS_OK, .envelope = head_envelope(h)};
    if (bus_reply_encode(&r, into) != 0)
        buf_clear(into);
    publisher_count(p, &p->status.roots_served);
    head_unref(h);
}

static void
answer_section(struct publisher *p, const struct bus_request *q, struct buf *into)
{
    struct section *s = shelf_section(p->shelf, q->sha256);
    struct bus_reply r = {.status = BUS_NOT_FOUND};

    if (s)
        r = (struct bus_reply){.status = BUS_OK, .section = section_bytes(s)};
    if (bus_reply_encode(&r, into) != 0)
        buf_clear(into);
    publisher_count(p, &p->status.sections_served);
    section_unref(s);
}

static enum bus_status
hear_applied(struct publisher *p, const struct bus_request *q)
{
    const struct bus_applied *a = &q->applied;

    if (a->error.len) {
        publisher_count(p, &p->status.refusals);
        log_error("publish.refused_by_worker", F_SLICE("node", q->from.node),
                  F_INT("slot", q->from.slot), F_INT("epoch", a->epoch),
                  F_INT("version", a->version), F_SLICE("reason", a->error),
                  F_SLICE("detail", a->detail));
    }
    shelf_accepted(p->shelf, a->held_epoch, a->held_version);
    return acks_applied(p->acks, &q->from, a, clock_wall_ms()) == 0 ? BUS_OK : BUS_REFUSED;
}

static enum bus_status
hear_heartbeat(struct publisher *p, const struct bus_request *q)
{
    const struct bus_heartbeat *h = &q->heartbeat;

    shelf_accepted(p->shelf, h->held_epoch, h->held_version);
    return acks_heartbeat(p->acks, &q->from, h, clock_wall_ms()) == 0 ? BUS_OK : BUS_REFUSED;
}

static enum bus_status
status_of(int err)
{
    switch (err) {
    case 0:
        return BUS_OK;
    case ERR_LIMIT:
    case ERR_SYNTAX:
        return BUS_REFUSED;
    default:
        return BUS_UNAVAILABLE;
    }
}

static void
answer_usage(struct publisher *p, size_t thread, const struct bus_request *q, struct buf *into)
{
    struct bus_reply r = {.status = BUS_UNAVAILABLE};
    struct ingest_result done = {0};

    if (!p->answer_db[thread])
        p->answer_db[thread] = db_new(p->database, "headgate ingest");
    if (p->answer_db[thread])
        r.status = status_of(
            ledger_ingest(p->answer_db[thread], q->from.node, q->from.slot, &q->usage, &done));
    if (r.status == BUS_OK) {
        r.acked = true;
        r.sequence = done.sequence;
        memcpy(r.spool_id, q->usage.spool_id, SPOOL_ID_BYTES);
    }
    if (bus_reply_encode(&r, into) != 0)
        buf_clear(into);
}

static void
answer_lease(struct publisher *p, size_t thread, const struct bus_request *q, struct arena *a,
             struct buf *into)
{
    struct bus_reply r = {.status = BUS_UNAVAILABLE};
    struct built *b = publisher_built(p);
    int err = ERR_UNAVAILABLE;

    if (!p->answer_db[thread])
        p->answer_db[thread] = db_new(p->database, "headgate ingest");
    if (b && p->answer_db[thread])
        err = leases_answer(p->leases, p->answer_db[thread], b->policy, &q->from, &q->lease, a,
                            &r.lease);
    if (!err)
        r.status = BUS_OK;
    else if (err == ERR_CONFLICT)
        r.status = BUS_NOT_LEADER;
    else if (err != ERR_UNAVAILABLE && err != ERR_STALE)
        log_warn("leases.not_answered", F_ERR(err), F_STR("cause", db_error(p->answer_db[thread])));
    r.leased = !err;
    if (bus_reply_encode(&r, into) != 0)
        buf_clear(into);
    built_unref(b);
}

static void
answer_status(enum bus_status status, const char *message, struct buf *into)
{
    struct bus_reply r = {.status = status, .message = slice_of(message)};

    if (bus_reply_encode(&r, into) != 0)
        buf_clear(into);
}

static void
dispatch(struct publisher *p, size_t thread, const struct bus_request *q, struct arena *a,
         struct buf *into)
{
    switch (q->kind) {
    case BUS_GET_ROOT:
        answer_root(p, q, into);
        return;
    case BUS_GET_SECTION:
        answer_section(p, q, into);
        return;
    case BUS_APPLIED:
        answer_status(hear_applied(p, q), NULL, into);
        return;
    case BUS_HEARTBEAT:
        answer_status(hear_heartbeat(p, q), NULL, into);
        return;
    case BUS_USAGE:
        answer_usage(p, thread, q, into);
        return;
    case BUS_LEASE:
        answer_lease(p, thread, q, a, into);
        return;
    case BUS_NOTHING:
        answer_status(BUS_REFUSED, "a request of a kind that this version does not know", into);
        return;
    }
}

void
answer(void *ctx, size_t thread, struct slice request, struct buf *reply)
{
    struct publisher *p = ctx;
    struct bus_request q;
    struct arena arena;
    int err;

    arena_init(&arena, LIMIT_ANSWER_BYTES);
    err = bus_request_decode(request, &arena, &q);
    if (err) {
        publisher_count(p, &p->status.requests_malformed);
        answer_status(BUS_REFUSED, "malformed", reply);
    } else {
        dispatch(p, thread, &q, &arena, reply);
    }
    arena_free(&arena);
}
