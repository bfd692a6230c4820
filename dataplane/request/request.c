#include "dataplane/request/request.h"

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/stages/stages.h"
#include "dataplane/state/metrics.h"
#include "dataplane/state/pin.h"

#define LIMIT_ARENA_BYTES ((size_t)96 << 20) /* texts of a body or an answer that is translated */

struct request *
request_new(struct services *svc, struct http_stream *client, const struct endpoint *endpoint)
{
    unsigned char id[16];
    if (svc->request_count >= svc->limits.requests)
        return NULL;
    struct request *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    arena_init(&r->arena, LIMIT_ARENA_BYTES);
    r->svc = svc;
    r->client = client;
    r->endpoint = endpoint;
    r->policy = pin_get(svc->pin);
    r->started_ms = loop_now_ms(svc->loop);
    r->started_wall_ms = clock_wall_ms();
    uuid7(id);
    memcpy(r->id, "req_", 4);
    hex_encode(id, sizeof(id), r->id + 4);
    TAILQ_INSERT_TAIL(&svc->requests, r, link);
    svc->request_count++;
    svc->request_total++;
    svc->metrics->page->open_requests = svc->request_count;
    return r;
}

void
request_mark(struct request *r)
{
    r->mark_ms[r->at] = (uint32_t)(loop_now_ms(r->svc->loop) - r->started_ms);
}

static void
destroy(void *corpse)
{
    struct request *r = corpse;
    policy_unref(r->policy);
    recall_release(r);
    services_release(r->svc, r->body.cap + r->body.charge + r->answer.held_charge);
    free(r->body.at);
    buf_free(&r->answer.held);
    if (r->wire.translated) {
        services_release(r->svc, r->wire.translated->body_charge);
        buf_free(&r->wire.translated->body);
    }
    if (r->answer.mode == ANSWER_STREAM)
        passage_fini(&r->answer.passage);
    buf_free(&r->sent.tail);
    arena_free(&r->arena);
    free(r);
}

void
request_bury(struct request *r)
{
    struct services *svc = r->svc;
    timer_cancel(&r->drain);
    timer_cancel(&r->sent.timer);
    if (r->client_gone)
        svc->drain_count--;
    TAILQ_REMOVE(&svc->requests, r, link);
    svc->request_count--;
    loop_bury(svc->loop, r, destroy);
    if (svc->on_request_gone)
        svc->on_request_gone(svc->ctx);
}

const struct http_head *
request_head(const struct request *r)
{
    static const struct http_head gone = {.content_length = -1};
    return r->client ? http_request_head(r->client) : &gone;
}
