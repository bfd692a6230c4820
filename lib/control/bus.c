#include "lib/control/bus.h"

#include <string.h>

#include "lib/control/message.h"
#include "lib/control/wire.h"
#include "proto/bus.pb-c.h"

static struct slice
text(const char *s)
{
    return slice_of(s);
}

static struct slice
digest_slice(const unsigned char digest[static SHA256_BYTES])
{
    return slice_make(digest, SHA256_BYTES);
}

/* Exactly n bytes: 0 or ERR_SYNTAX. */
static int
take_exact(ProtobufCBinaryData b, void *ret, size_t n)
{
    if (b.len != n)
        return ERR_SYNTAX;
    memcpy(ret, b.data, n);
    return 0;
}

/* --- announcements --------------------------------------------------------------------------- */

int
bus_announcement_encode(const struct bus_announcement *a, struct buf *into)
{
    struct wire w = {into, 0};

    wire_text(&w, 1, a->cluster_id);
    wire_uint(&w, 2, a->epoch);
    wire_uint(&w, 3, a->version);
    wire_bytes(&w, 4, digest_slice(a->root_sha256));
    return w.err;
}

int
bus_announcement_decode(struct slice bytes, struct arena *a, struct bus_announcement *ret)
{
    const Headgate__Bus__Announcement *m =
        message_read(&headgate__bus__announcement__descriptor, bytes, a);

    if (!m || take_exact(m->root_sha256, ret->root_sha256, SHA256_BYTES) != 0)
        return ERR_SYNTAX;
    ret->cluster_id = text(m->cluster_id);
    ret->epoch = m->epoch;
    ret->version = m->version;
    return 0;
}

/* --- requests -------------------------------------------------------------------------------- */

static void
put_worker(struct wire *w, const struct bus_worker *from)
{
    size_t at = wire_begin(w);

    wire_text(w, 1, from->node);
    wire_uint(w, 2, from->slot);
    wire_uint(w, 3, from->pid);
    wire_text(w, 4, from->host);
    wire_text(w, 5, from->build);
    wire_int(w, 6, from->started_ms);
    wire_end(w, 1, at);
}

static void
put_applied(struct wire *w, const struct bus_applied *a)
{
    wire_uint(w, 1, a->epoch);
    wire_uint(w, 2, a->version);
    wire_text(w, 3, a->error);
    wire_text(w, 4, a->detail);
    wire_uint(w, 5, a->held_epoch);
    wire_uint(w, 6, a->held_version);
}

static void
put_usage(struct wire *w, const struct usage_batch *b)
{
    wire_bytes(w, 1, slice_make(b->spool_id, SPOOL_ID_BYTES));
    wire_uint(w, 2, b->last_sequence);
    for (size_t i = 0; i < b->count; i++)
        wire_bytes(w, 3, b->records[i]);
}

static void
put_heartbeat(struct wire *w, const struct bus_heartbeat *h)
{
    wire_uint(w, 1, h->held_epoch);
    wire_uint(w, 2, h->held_version);
    wire_uint(w, 3, h->spool_records);
    wire_uint(w, 4, h->spool_bytes);
    wire_uint(w, 5, h->requests);
    wire_uint(w, 6, h->open_streams);
    wire_bool(w, 7, h->draining);
    for (size_t i = 0; i < h->seal_key_count; i++)
        wire_bytes(w, 8, h->seal_keys[i]);
}

static void
put_lease(struct wire *w, const struct bus_lease *l)
{
    wire_uint(w, 1, l->sequence);
    wire_uint(w, 2, l->epoch);
    wire_uint(w, 3, l->fleet);
    wire_bool(w, 4, l->settled);
    wire_bool(w, 5, l->leaving);
    for (size_t i = 0; i < l->count; i++) {
        const struct bus_claim *c = &l->claims[i];
        size_t at = wire_begin(w);

        wire_text(w, 1, c->limit);
        wire_text(w, 2, c->subject);
        wire_uint(w, 3, c->slice);
        wire_int(w, 4, c->has);
        wire_int(w, 5, c->used);
        wire_int(w, 6, c->wants);
        wire_int(w, 7, c->need);
        wire_bool(w, 8, c->dark);
        wire_int(w, 9, c->waiting);
        wire_end(w, 6, at);
    }
    wire_bool(w, 7, l->greeting);
}

int
bus_request_encode(const struct bus_request *r, struct buf *into)
{
    /* the field of the oneof that each kind is sent as */
    static const unsigned fields[] = {[BUS_GET_ROOT] = 2, [BUS_GET_SECTION] = 3, [BUS_APPLIED] = 4,
                                      [BUS_USAGE] = 5,    [BUS_HEARTBEAT] = 6,   [BUS_LEASE] = 7};
    struct wire w = {into, 0};
    size_t at;

    put_worker(&w, &r->from);
    at = wire_begin(&w);
    switch (r->kind) {
    case BUS_NOTHING:
        return w.err;
    case BUS_GET_ROOT:
        wire_bool(&w, 1, r->last_good);
        break;
    case BUS_GET_SECTION:
        wire_bytes(&w, 1, digest_slice(r->sha256));
        break;
    case BUS_APPLIED:
        put_applied(&w, &r->applied);
        break;
    case BUS_USAGE:
        put_usage(&w, &r->usage);
        break;
    case BUS_HEARTBEAT:
        put_heartbeat(&w, &r->heartbeat);
        break;
    case BUS_LEASE:
        put_lease(&w, &r->lease);
        break;
    }
    wire_end(&w, fields[r->kind], at);
    return w.err;
}

static int
get_usage(const Headgate__Bus__UsageBatch *m, struct arena *a, struct usage_batch *ret)
{
    struct slice *records;

    if (m->n_records > LIMIT_BATCH_RECORDS)
        return ERR_LIMIT;
    if (take_exact(m->spool_id, ret->spool_id, SPOOL_ID_BYTES) != 0)
        return ERR_SYNTAX;
    if (!(records = arena_alloc(a, (m->n_records + 1) * sizeof(*records))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_records; i++)
        records[i] = message_bytes(m->records[i].data, m->records[i].len);
    ret->last_sequence = m->last_sequence;
    ret->records = records;
    ret->count = m->n_records;
    return 0;
}

static void
get_applied(const Headgate__Bus__Applied *m, struct bus_applied *ret)
{
    *ret = (struct bus_applied){m->epoch,        m->version,    text(m->error),
                                text(m->detail), m->held_epoch, m->held_version};
}

static int
get_heartbeat(const Headgate__Bus__Heartbeat *m, struct arena *a, struct bus_heartbeat *ret)
{
    struct slice *ids;

    if (m->n_seal_keys > LIMIT_SEAL_KEYS)
        return ERR_LIMIT;
    if (!(ids = arena_alloc(a, (m->n_seal_keys + 1) * sizeof(*ids))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_seal_keys; i++)
        ids[i] = slice_make(m->seal_keys[i].data, m->seal_keys[i].len);
    *ret = (struct bus_heartbeat){.held_epoch = m->held_epoch,
                                  .held_version = m->held_version,
                                  .spool_records = m->spool_records,
                                  .spool_bytes = m->spool_bytes,
                                  .requests = m->requests,
                                  .open_streams = m->open_streams,
                                  .draining = m->draining,
                                  .seal_keys = ids,
                                  .seal_key_count = m->n_seal_keys};
    return 0;
}

static int
get_lease(const Headgate__Bus__LeaseRequest *m, struct arena *a, struct bus_lease *ret)
{
    struct bus_claim *claims;

    if (m->n_claims > LIMIT_CLAIMS)
        return ERR_LIMIT;
    if (!(claims = arena_alloc(a, (m->n_claims + 1) * sizeof(*claims))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_claims; i++) {
        const Headgate__Bus__LeaseClaim *c = m->claims[i];

        if (c->has < 0 || c->used < 0 || c->wants < 0 || c->need < 0 || c->waiting < 0)
            return ERR_SYNTAX;
        claims[i] = (struct bus_claim){.limit = text(c->limit),
                                       .subject = text(c->subject),
                                       .slice = c->slice,
                                       .has = c->has,
                                       .used = c->used,
                                       .wants = c->wants,
                                       .need = c->need,
                                       .dark = c->dark,
                                       .waiting = c->waiting};
    }
    *ret = (struct bus_lease){.sequence = m->sequence,
                              .epoch = m->epoch,
                              .fleet = m->fleet,
                              .settled = m->settled,
                              .leaving = m->leaving,
                              .greeting = m->greeting,
                              .claims = claims,
                              .count = m->n_claims};
    return 0;
}

static int
get_body(const Headgate__Bus__Request *m, struct arena *a, struct bus_request *ret)
{
    switch (m->body_case) {
    case HEADGATE__BUS__REQUEST__BODY_GET_ROOT:
        ret->kind = BUS_GET_ROOT;
        ret->last_good = m->get_root->last_good;
        return 0;
    case HEADGATE__BUS__REQUEST__BODY_GET_SECTION:
        ret->kind = BUS_GET_SECTION;
        return take_exact(m->get_section->sha256, ret->sha256, SHA256_BYTES);
    case HEADGATE__BUS__REQUEST__BODY_APPLIED:
        ret->kind = BUS_APPLIED;
        get_applied(m->applied, &ret->applied);
        return 0;
    case HEADGATE__BUS__REQUEST__BODY_USAGE:
        ret->kind = BUS_USAGE;
        return get_usage(m->usage, a, &ret->usage);
    case HEADGATE__BUS__REQUEST__BODY_HEARTBEAT:
        ret->kind = BUS_HEARTBEAT;
        return get_heartbeat(m->heartbeat, a, &ret->heartbeat);
    case HEADGATE__BUS__REQUEST__BODY_LEASE:
        ret->kind = BUS_LEASE;
        return get_lease(m->lease, a, &ret->lease);
    case HEADGATE__BUS__REQUEST__BODY__NOT_SET:
    default:
        ret->kind = BUS_NOTHING; /* of a newer worker */
        return 0;
    }
}

int
bus_request_decode(struct slice bytes, struct arena *a, struct bus_request *ret)
{
    const Headgate__Bus__Request *m = message_read(&headgate__bus__request__descriptor, bytes, a);

    *ret = (struct bus_request){0};
    if (!m || !m->from)
        return ERR_SYNTAX;
    ret->from = (struct bus_worker){
        .node = text(m->from->node),
        .host = text(m->from->host),
        .build = text(m->from->build),
        .slot = m->from->slot,
        .pid = m->from->pid,
        .started_ms = m->from->started_unix_ms,
    };
    return get_body(m, a, ret);
}

/* --- replies --------------------------------------------------------------------------------- */

static void
put_grants(struct wire *w, const struct bus_lease_grants *l)
{
    wire_uint(w, 1, l->epoch);
    wire_uint(w, 2, l->fleet);
    wire_uint(w, 3, l->life_ms);
    for (size_t i = 0; i < l->count; i++) {
        const struct bus_grant *g = &l->grants[i];
        size_t at = wire_begin(w);

        wire_int(w, 1, g->share);
        wire_uint(w, 2, g->slice);
        wire_int(w, 3, g->limit);
        wire_int(w, 4, g->remaining);
        wire_int(w, 5, g->elsewhere);
        wire_bool(w, 6, g->tight);
        wire_int(w, 7, g->period_left_ms);
        wire_bool(w, 8, g->unknown);
        wire_end(w, 4, at);
    }
}

int
bus_reply_encode(const struct bus_reply *r, struct buf *into)
{
    struct wire w = {into, 0};

    wire_uint(&w, 1, (uint64_t)r->status);
    wire_text(&w, 2, r->message);
    if (r->envelope.at)
        wire_bytes(&w, 3, r->envelope);
    if (r->section.at)
        wire_bytes(&w, 4, r->section);
    if (r->acked) {
        size_t at = wire_begin(&w);

        wire_bytes(&w, 1, slice_make(r->spool_id, SPOOL_ID_BYTES));
        wire_uint(&w, 2, r->sequence);
        wire_end(&w, 5, at);
    }
    if (r->leased) {
        size_t at = wire_begin(&w);

        put_grants(&w, &r->lease);
        wire_end(&w, 6, at);
    }
    return w.err;
}

/* A section may be 32 MB: it is pointed to where it lies. What is left, without it, is small enough
 * for protobuf-c to copy. */
static int
cut_section(struct slice bytes, struct buf *small, struct slice *ret_section)
{
    struct slice rest = bytes;
    struct slice content;
    unsigned field;
    int more;

    for (;;) {
        const char *from = rest.at;

        if ((more = wire_next(&rest, &field, &content)) != 1)
            return more;
        if (field == 4 && content.at) {
            *ret_section = content;
            continue;
        }
        int err = buf_add(small, from, (size_t)(rest.at - from));

        if (err)
            return err;
    }
}

static int
get_grants(const Headgate__Bus__LeaseReply *m, struct arena *a, struct bus_lease_grants *ret)
{
    struct bus_grant *grants;

    if (m->n_grants > LIMIT_CLAIMS)
        return ERR_LIMIT;
    if (!(grants = arena_alloc(a, (m->n_grants + 1) * sizeof(*grants))))
        return ERR_NOMEM;
    for (size_t i = 0; i < m->n_grants; i++) {
        const Headgate__Bus__LeaseGrant *g = m->grants[i];

        grants[i] = (struct bus_grant){.share = g->share,
                                       .limit = g->limit,
                                       .remaining = g->remaining,
                                       .elsewhere = g->elsewhere,
                                       .period_left_ms = g->period_left_ms,
                                       .slice = g->slice,
                                       .tight = g->tight,
                                       .unknown = g->unknown};
    }
    *ret = (struct bus_lease_grants){m->epoch, m->fleet, m->life_ms, grants, m->n_grants};
    return 0;
}

static int
get_reply(struct slice small, struct arena *a, struct bus_reply *ret)
{
    const Headgate__Bus__Reply *m = message_read(&headgate__bus__reply__descriptor, small, a);

    if (!m)
        return ERR_SYNTAX;
    ret->status = (enum bus_status)m->status;
    ret->message = text(m->message);
    if (m->body_case == HEADGATE__BUS__REPLY__BODY_ENVELOPE)
        ret->envelope = message_bytes(m->envelope.data, m->envelope.len);
    if (m->body_case == HEADGATE__BUS__REPLY__BODY_LEASE) {
        ret->leased = true;
        return get_grants(m->lease, a, &ret->lease);
    }
    if (m->body_case != HEADGATE__BUS__REPLY__BODY_USAGE)
        return 0;
    ret->acked = true;
    ret->sequence = m->usage->sequence;
    return take_exact(m->usage->spool_id, ret->spool_id, SPOOL_ID_BYTES);
}

int
bus_reply_decode(struct slice bytes, struct arena *a, struct bus_reply *ret)
{
    struct buf small;
    int err;

    *ret = (struct bus_reply){0};
    buf_init(&small, 0);
    err = cut_section(bytes, &small, &ret->section);
    if (!err)
        err = get_reply(buf_slice(&small), a, ret);
    buf_free(&small);
    return err;
}

bool
bus_is_answer(void *ctx, struct slice reply)
{
    struct bus_reply r;
    struct arena a;
    int err;

    (void)ctx;
    arena_init(&a, (size_t)4 << 20);
    err = bus_reply_decode(reply, &a, &r);
    arena_free(&a);
    return !err && r.status != BUS_UNAVAILABLE && r.status != BUS_NOT_FOUND &&
           r.status != BUS_NOT_LEADER;
}
