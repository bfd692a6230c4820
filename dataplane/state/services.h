/*
 * What a worker lends to its requests. One per worker process, made by worker.c before the first
 * request and outliving the last; stages reach everything that is not the request itself through
 * it, so that no stage reads a global.
 */
#ifndef DATAPLANE_STATE_SERVICES_H
#define DATAPLANE_STATE_SERVICES_H

#include "lib/http/client.h"
#include "lib/http/server.h"
#include "lib/net/loop.h"
#include "lib/policy/policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct cache;
struct estimates;
struct lease;
struct metrics;
struct oauth;
struct origins;
struct outlet;
struct pin;
struct quota;
struct request;
struct spool;

TAILQ_HEAD(request_list, request);

/* Bounds of one worker; the defaults are those of limits_default. */
struct limits {
    struct http_limits http;
    uint64_t held_bytes;   /* request bodies and buffered answers of all requests together */
    uint64_t upload_bytes; /* a body that is passed on as it comes */
    size_t answer_bytes;   /* a JSON answer up to this is held whole before it is passed on */
    size_t event_bytes;    /* one server-sent event */
    uint64_t cache_bytes;  /* answers that are kept to be given again; 0: none */
    unsigned requests;     /* in flight at once */
    unsigned drains;       /* upstream calls going on without their client */
    int drain_ms;          /* how long such a call may go on */
    int terminal_ms;       /* wait for the end of a stream that has said [DONE] */
};
extern const struct limits limits_default;

struct services {
    struct loop *loop;
    struct http_client *client;
    struct origins *origins;
    struct oauth *oauth; /* access tokens of providers */
    struct pin *pin;     /* the policy in force; NULL content: none yet */
    struct spool *spool;
    struct estimates *estimates;
    struct cache *cache; /* answers that may be given again; NULL: none is */
    struct quota *quota;
    struct lease *lease;
    struct metrics *metrics;
    struct outlet *outlet;
    struct limits limits;
    struct request_list requests; /* in flight, oldest first */
    unsigned request_count;
    uint64_t request_total; /* since the start */
    unsigned drain_count;
    uint64_t held_bytes;
    int64_t contact_ms; /* monotonic: when the control plane was last heard of, or the start */
    bool draining;      /* SIGTERM came: answers are the connection's last */
    bool access_log;    /* a line for every request, not only for failures */
    int64_t warned_s;   /* the second in which `warnings` were written */
    unsigned warnings;
    /* Told after each request's end: the worker waits for the last. */
    void (*on_request_gone)(void *ctx);
    void *ctx;
    /* "epoch.version" of the policy last asked about, so that it is not printed for each answer */
    struct {
        uint64_t epoch, version;
        char text[48];
    } policy_text;
};

/* Lends "epoch.version" until the next call for another version; to be copied if kept longer. */
struct slice services_policy_text(struct services *s, const struct policy *p);

/* Takes n bytes out of the worker's budget, or refuses: then the request gets a 503. */
static inline bool
services_hold(struct services *s, uint64_t n)
{
    if (n > s->limits.held_bytes - s->held_bytes)
        return false;
    s->held_bytes += n;
    return true;
}

static inline void
services_release(struct services *s, uint64_t n)
{
    s->held_bytes -= n;
}

#endif
