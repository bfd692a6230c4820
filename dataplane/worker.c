#include "dataplane/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/front/front.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/estimates.h"
#include "dataplane/state/follow.h"
#include "dataplane/state/lease.h"
#include "dataplane/state/pin.h"
#include "dataplane/state/upload.h"
#include "dataplane/stream/outlet.h"
#include "dataplane/upstream/oauth.h"
#include "dataplane/upstream/origins.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/listener.h"

#define SAMPLE_MS 1000
#define LAST_ACCEPT_MS 20 /* who has connected already is served */
#define FAREWELL_MS 200   /* for last words to leave */
#define WATCH_MS 20
#define UPLOAD_MS 1000 /* for the last records to leave: the rest waits on disk */
#define ORPHAN_MS 2000 /* to drain when the supervisor is dead: another one wants our place */

struct worker {
    const struct worker_options *o;
    struct services svc;
    struct loop *loop;
    struct tls_client *tls_client;
    struct tls_server *tls_server;
    struct http_server *server;
    struct listener *listener, *tls_listener;
    struct origins origins;
    struct pin pin;
    struct metrics metrics;
    struct follow *follow;
    struct upload *upload;
    char spool_dir[512], policy_dir[512];
    struct waker *waker;
    struct timer sample, drain;
    struct keyring ring; /* of sealing keys */
    struct keyring_source keys;
    int64_t leave_ms; /* the loop ends then at the latest */
    bool farewell_said;
    int exit_code;
};

/* --- accepting -------------------------------------------------------------------------------- */

static void
on_accept(void *ctx, int fd)
{
    struct worker *w = ctx;
    http_server_accept(w->server, fd, NULL);
}

static void
on_accept_tls(void *ctx, int fd)
{
    struct worker *w = ctx;
    http_server_accept(w->server, fd, w->tls_server);
}

/* --- gauges ----------------------------------------------------------------------------------- */

static void
sample_policy(struct worker *w)
{
    struct metrics_page *page = w->o->page;
    struct follow_status status;
    follow_status(w->follow, &status);
    page->policy_epoch = status.epoch;
    page->policy_version = status.version;
    page->policy_revision = status.revision;
    page->policy_stale = status.stale_policy;
    page->policy_disk_errors = status.disk_errors;
    if (status.contact_ms > w->svc.contact_ms)
        w->svc.contact_ms = status.contact_ms;
    memcpy(page->snapshot_refused, status.refused, sizeof(page->snapshot_refused));
}

static void
sample_spool(struct worker *w)
{
    struct metrics_page *page = w->o->page;
    struct spool_depth d;
    spool_depth(w->svc.spool, &d);
    page->spool_records = d.records;
    page->spool_open = d.open;
    page->spool_bytes = d.bytes;
    page->spool_limit_bytes = d.limit_bytes;
    page->spool_refused = d.refused;
    page->spool_torn = d.torn;
    page->spool_corrupt = d.corrupt;
    page->spool_lost = d.lost;
    page->spool_disk_errors = d.disk_errors;
    if (w->upload)
        page->upload_failures = upload_counts(w->upload).failures;
}

static void
on_acked(void *ctx)
{
    sample_spool(ctx);
}

static void
sample_http(struct worker *w)
{
    struct metrics_page *page = w->o->page;
    struct http_server_stats server;
    struct http_client_stats client;
    http_server_get_stats(w->server, &server);
    http_client_get_stats(w->svc.client, &client);
    page->accepted = server.accepted;
    page->connections = server.connections;
    page->head_timeouts = server.head_timeouts;
    page->bad_requests = server.bad_requests;
    page->upstream_connects = client.connects;
    page->upstream_reuses = client.reuses;
    page->upstream_retries = client.retries;
    page->upstream_connections = client.connections;
    page->accept_refused = (w->listener ? listener_refused(w->listener) : 0) +
                           (w->tls_listener ? listener_refused(w->tls_listener) : 0);
}

static void
sample_limits(struct worker *w)
{
    struct metrics_page *page = w->o->page;
    struct quota_counts q = quota_counts(w->svc.quota);
    struct lease_counts l = lease_counts(w->svc.lease);
    page->limit_overdrawn = q.overdrawn;
    page->limit_shadowed = q.shadow_refused;
    page->limit_unverified = q.unverified;
    page->lease_claims = l.claims;
    page->lease_failures = l.failures;
    page->lease_waits = l.waits;
}

static void
sample_cache(struct worker *w)
{
    struct metrics_page *page = w->o->page;
    cache_tend(w->svc.cache, loop_now_ms(w->loop));
    struct cache_counts c = cache_counts(w->svc.cache);
    page->cache_answers = c.answers;
    page->cache_bytes = c.bytes;
    page->cache_stored = c.stored;
    page->cache_evicted = c.evicted;
}

/* A file that was changed but cannot be used changes nothing: what we have still opens. */
static bool
read_ring(struct worker *w)
{
    char why[KEYRING_WHY_BYTES], ids[KEYRING_IDS_TEXT];
    struct keyring ring;
    if (keyring_load(&w->keys, NULL, &ring, why) != 0) {
        log_error("worker.seal_keys", F_STR("source", w->keys.name), F_STR("why", why));
        return false;
    }
    w->ring = ring;
    keyring_wipe(&ring);
    keyring_ids_text(&w->ring, ids);
    log_info("worker.seal_keys", F_STR("ids", ids));
    return true;
}

static void
watch_ring(struct worker *w)
{
    if (keyring_is_news(&w->keys) && read_ring(w))
        follow_set_ring(w->follow, &w->ring);
}

static void
on_sample(void *ctx)
{
    struct worker *w = ctx;
    struct metrics_page *page = w->o->page;
    watch_ring(w);
    sample_policy(w);
    sample_spool(w);
    sample_http(w);
    sample_limits(w);
    sample_cache(w);
    page->open_requests = w->svc.request_count;
    page->held_bytes = w->svc.held_bytes;
    page->log_dropped = log_dropped();
    if (!w->upload)
        spool_tend(w->svc.spool);
    timer_set(&w->sample, w->loop, SAMPLE_MS, on_sample, w);
}

/* --- the policy ------------------------------------------------------------------------------- */

static void
on_load(void *ctx, struct follow_load *load)
{
    struct worker *w = ctx;
    struct spool_depth d;
    spool_depth(w->svc.spool, &d);
    load->spool_records = d.records;
    load->spool_bytes = d.bytes;
    load->requests = w->svc.request_total;
    load->open_streams = w->svc.request_count;
    load->draining = w->svc.draining;
}

/* Told to the supervisor before the policy is looked at: it may be the last thing we do. */
static void
on_candidate(void *ctx, uint64_t epoch, uint64_t version)
{
    struct metrics_page *page = ((struct worker *)ctx)->o->page;
    page->candidate_epoch = epoch;
    page->candidate_version = version;
    page->candidate_mono_ms = (uint64_t)clock_mono_ms();
}

static void
on_policy(void *ctx, const struct policy *now)
{
    struct worker *w = ctx;
    origins_follow(&w->origins, now);
    oauth_follow(w->svc.oauth, now);
    cache_follow(w->svc.cache, now);
    sample_policy(w);
}

static bool
start_policy(struct worker *w)
{
    const struct worker_options *o = w->o;
    const char *why = NULL;
    struct follow_options options = {
        .loop = w->loop,
        .pin = &w->pin,
        .pub_url = o->bus_pub,
        .req_url = o->bus_req,
        .tls = o->bus_tls,
        .public_keys = &o->verify_key,
        .key_count = 1,
        .ring = &w->ring,
        .policy_dir = w->policy_dir,
        .node = o->node,
        .slot = o->slot,
        .load = on_load,
        .on_policy = on_policy,
        .on_candidate = on_candidate,
        .avoid_epoch = o->avoid.epoch,
        .avoid_version = o->avoid.version,
        .ctx = w,
    };
    w->follow = follow_start(&options, &why);
    if (!w->follow) {
        log_error("worker.setup", F_STR("what", "policy"), F_STR("why", why));
        return false;
    }
    if (w->pin.now) {
        on_candidate(w, policy_epoch(w->pin.now), policy_version(w->pin.now));
        origins_follow(&w->origins, w->pin.now);
    }
    return true;
}

static bool
start_lease(struct worker *w)
{
    struct lease_options options = {
        .loop = w->loop,
        .channel = follow_channel(w->follow),
        .quota = w->svc.quota,
        .spool = w->svc.spool,
        .from = follow_identity(w->follow),
    };
    w->svc.lease = lease_new(&options);
    return w->svc.lease != NULL;
}

static bool
start_upload(struct worker *w)
{
    struct channel *channel = follow_channel(w->follow);
    struct upload_options options = {
        .loop = w->loop,
        .channel = channel,
        .spool = w->svc.spool,
        .from = follow_identity(w->follow),
        .spool_dir = w->spool_dir,
        .first_orphan = w->o->slot == 0 ? w->o->workers : 0,
        .on_acked = on_acked,
        .ctx = w,
    };
    if (!channel)
        return true;
    w->upload = upload_new(&options);
    return w->upload != NULL;
}

/* --- leaving ---------------------------------------------------------------------------------- */

/* All answers are out, or as far as they will get. Records go up, and what is left of limits goes
 * back, while that takes a moment only. */
static void
watch_leaving(void *ctx)
{
    struct worker *w = ctx;
    bool done = (!w->upload || upload_is_idle(w->upload)) && lease_has_left(w->svc.lease);
    if (done || loop_now_ms(w->loop) >= w->leave_ms)
        loop_stop(w->loop);
    else
        timer_set(&w->drain, w->loop, WATCH_MS, watch_leaving, w);
}

static void
leave(struct worker *w)
{
    w->leave_ms = loop_now_ms(w->loop) + UPLOAD_MS;
    lease_leave(w->svc.lease);
    if (w->upload)
        upload_kick(w->upload);
    watch_leaving(w);
}

static void
on_farewell_sent(void *ctx)
{
    leave(ctx);
}

/* The drain's time is up: who is still there is told. */
static void
say_farewell(void *ctx)
{
    struct worker *w = ctx;
    struct request *r, *next;
    w->farewell_said = true;
    log_warn("worker.drain_deadline", F_INT("requests", w->svc.request_count));
    for (r = TAILQ_FIRST(&w->svc.requests); r; r = next) {
        next = TAILQ_NEXT(r, link);
        deliver_farewell(r);
        request_abort(r, USAGE_SHUTDOWN);
    }
    timer_set(&w->drain, w->loop, FAREWELL_MS, on_farewell_sent, w);
}

static void
on_server_idle(void *ctx)
{
    struct worker *w = ctx;
    if (w->svc.request_count == 0 && !w->farewell_said) {
        timer_cancel(&w->drain);
        leave(w);
    }
}

/* A request may outlive its connection: the one that goes on for its usage. */
static void
on_request_gone(void *ctx)
{
    struct worker *w = ctx;
    struct http_server_stats stats;
    sample_spool(w); /* first: who finds no request open finds its record */
    w->o->page->open_requests = w->svc.request_count;
    if (!w->svc.draining || w->svc.request_count || w->farewell_said)
        return;
    http_server_get_stats(w->server, &stats);
    if (stats.connections == 0) {
        timer_cancel(&w->drain);
        leave(w);
    }
}

static void
close_doors(void *ctx)
{
    struct worker *w = ctx;
    int64_t ms = w->o->drain_ms;
    if (getppid() != w->o->supervisor && ms > ORPHAN_MS)
        ms = ORPHAN_MS;
    log_info("worker.draining", F_INT("requests", w->svc.request_count), F_INT("drain_ms", ms));
    listener_free(w->listener);
    listener_free(w->tls_listener);
    w->listener = w->tls_listener = NULL;
    timer_set(&w->drain, w->loop, ms, say_farewell, w);
    http_server_drain(w->server, on_server_idle, w);
}

static void
on_term(struct worker *w)
{
    if (w->farewell_said)
        return;
    if (w->svc.draining) { /* asked twice: now */
        say_farewell(w);
        return;
    }
    w->svc.draining = true;
    w->o->page->state = WORKER_DRAINING;
    timer_set(&w->drain, w->loop, LAST_ACCEPT_MS, close_doors, w);
}

static void
on_hup(struct worker *w)
{
    const char *why = NULL;
    if (read_ring(w))
        follow_set_ring(w->follow, &w->ring);
    if (!w->tls_server)
        return;
    if (tls_server_reload(w->tls_server, &why))
        log_error("worker.certificate", F_STR("why", why ? why : "unreadable"));
    else
        log_info("worker.certificate", F_STR("reloaded", w->o->tls_cert));
}

/* --- signals ---------------------------------------------------------------------------------- */

/* By hand, not by the loop: libevent keeps one base for the signals of a process, and after a fork
 * that is still the supervisor's. */
static struct {
    struct waker *waker;
    volatile sig_atomic_t term, hup;
} signals;

static void
on_signal(int signo)
{
    if (signo == SIGTERM)
        signals.term = 1;
    else
        signals.hup = 1;
    waker_wake(signals.waker);
}

static void
on_wake(void *ctx)
{
    if (signals.term) {
        signals.term = 0;
        on_term(ctx);
    }
    if (signals.hup) {
        signals.hup = 0;
        on_hup(ctx);
    }
}

static bool
catch_signals(struct worker *w)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    w->waker = waker_new(w->loop, on_wake, w);
    if (!w->waker)
        return false;
    signals.waker = w->waker;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGHUP, &action, NULL) == 0;
}

/* --- setting up ------------------------------------------------------------------------------- */

static bool
fault(const char *what, const char *why)
{
    log_error("worker.setup", F_STR("what", what), F_STR("why", why ? why : "out of memory"));
    return false;
}

static bool
set_up_http(struct worker *w)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    const struct worker_options *o = w->o;
    const char *why = NULL;
    struct http_client_config client = {.limits = &w->svc.limits.http};
    struct http_server_config server = {.limits = &w->svc.limits.http,
                                        .server_name = "headgate",
                                        .http1 = true,
                                        .http2 = true,
                                        .half_close_ok = true,
                                        .error_body = reply_server_error};
    if (tls_client_new(o->upstream_ca, NULL, NULL, alpn, &w->tls_client, &why))
        return fault("tls of upstreams", why);
    client.tls = w->tls_client;
    w->svc.client = http_client_new(w->loop, &client);
    w->server = http_server_new(w->loop, &server, &front_handlers, &w->svc);
    if (o->tls_listen_fd >= 0 &&
        tls_server_new(o->tls_cert, o->tls_key, NULL, alpn, &w->tls_server, &why))
        return fault("certificate", why);
    w->svc.oauth = w->svc.client ? oauth_new(w->loop, w->svc.client) : NULL;
    if (!w->svc.client || !w->svc.oauth || !w->server)
        return fault("http", NULL);
    origins_init(&w->origins, w->svc.client);
    w->svc.origins = &w->origins;
    return true;
}

static bool
set_up_state(struct worker *w)
{
    const struct worker_options *o = w->o;
    pin_init(&w->pin);
    metrics_init(&w->metrics, o->page);
    TAILQ_INIT(&w->svc.requests);
    w->svc.pin = &w->pin;
    w->svc.metrics = &w->metrics;
    w->svc.estimates = estimates_new();
    w->svc.quota = quota_new();
    w->svc.cache = cache_new(w->svc.limits.cache_bytes);
    w->svc.outlet = outlet_new(w->loop);
    w->svc.on_request_gone = on_request_gone;
    w->svc.ctx = w;
    int err = spool_open(w->spool_dir, o->slot, &o->spool, &w->svc.spool);
    if (err)
        return fault("spool", err_name(err));
    if (!w->svc.estimates || !w->svc.outlet || !w->svc.quota || !w->svc.cache)
        return fault("state", NULL);
    return true;
}

static bool
start_listening(struct worker *w)
{
    const struct worker_options *o = w->o;
    if (o->listen_fd >= 0)
        w->listener = listener_new(w->loop, o->listen_fd, on_accept, w);
    if (o->tls_listen_fd >= 0)
        w->tls_listener = listener_new(w->loop, o->tls_listen_fd, on_accept_tls, w);
    if ((o->listen_fd >= 0 && !w->listener) || (o->tls_listen_fd >= 0 && !w->tls_listener))
        return fault("listener", NULL);
    return true;
}

static bool
set_up(struct worker *w)
{
    const struct worker_options *o = w->o;
    w->loop = loop_new();
    if (!w->loop)
        return fault("loop", NULL);
    w->svc.loop = w->loop;
    w->ring = o->ring;
    w->keys = o->keys;
    if (keyring_is_news(&w->keys))
        (void)read_ring(w); /* the supervisor started us long after it read them */
    w->svc.contact_ms = clock_mono_ms();
    w->svc.limits = o->limits;
    w->svc.access_log = o->access_log;
    snprintf(w->spool_dir, sizeof(w->spool_dir), "%s/spool", o->state_dir);
    snprintf(w->policy_dir, sizeof(w->policy_dir), "%s/policy", o->state_dir);
    if (!set_up_http(w) || !set_up_state(w) || !start_policy(w) || !start_lease(w) ||
        !start_upload(w))
        return false;
    if (!catch_signals(w))
        return fault("signals", NULL);
    if (!start_listening(w))
        return false;
    on_sample(w);
    return true;
}

/* In the order of who uses whom; half set up is fine. */
static void
tear_down(struct worker *w)
{
    struct request *r;
    if (!w->loop)
        return;
    listener_free(w->listener);
    listener_free(w->tls_listener);
    if (w->server)
        http_server_free(w->server); /* aborts what is left */
    while ((r = TAILQ_FIRST(&w->svc.requests)) != NULL)
        request_abort(r, USAGE_SHUTDOWN);
    lease_free(w->svc.lease);
    upload_free(w->upload);
    follow_stop(w->follow);
    oauth_free(w->svc.oauth);
    origins_fini(&w->origins);
    if (w->svc.client)
        http_client_free(w->svc.client);
    if (w->svc.metrics)
        pin_fini(&w->pin);
    spool_close(w->svc.spool);
    outlet_free(w->svc.outlet);
    estimates_free(w->svc.estimates);
    cache_free(w->svc.cache);
    quota_free(w->svc.quota);
    tls_server_free(w->tls_server);
    tls_client_free(w->tls_client);
    timer_cancel(&w->sample);
    timer_cancel(&w->drain);
    signal(SIGTERM, SIG_IGN); /* we are leaving */
    signal(SIGHUP, SIG_IGN);
    if (w->waker)
        waker_free(w->waker);
    keyring_wipe(&w->ring);
    loop_free(w->loop);
}

int
worker_run(const struct worker_options *o)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return WORKER_EXIT_SETUP;
    w->o = o;
    o->page->state = WORKER_STARTING;
    TAILQ_INIT(&w->svc.requests);
    if (set_up(w)) {
        o->page->state = WORKER_READY;
        log_info("worker.ready", F_INT("slot", o->slot));
        loop_run(w->loop);
    } else {
        w->exit_code = WORKER_EXIT_SETUP;
    }
    int code = w->exit_code;
    tear_down(w);
    o->page->state = WORKER_DOWN;
    free(w);
    return code;
}
