/* See server.h. */
#include "controlplane/api/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "controlplane/api/dispatch.h"
#include "controlplane/api/litellm.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/http/server.h"
#include "lib/net/listener.h"

#define LIMIT_QUEUE_CALLS 1024               /* waiting for a thread; more are told to come later */
#define LIMIT_HELD_BYTES ((size_t)256 << 20) /* of all bodies together: 503 beyond it */
#define LIMIT_STRANGER_BYTES 8192            /* of a body, where nobody has to say who calls */
#define MAX_THREADS 64

/* One call. Belongs to the loop's thread, but for the time between submit() and its place in
 * `done`. */
struct job {
    STAILQ_ENTRY(job) link;
    struct api_server *server;
    struct http_stream *stream; /* NULL: the client has gone; only the loop's thread looks */
    const struct route *route;  /* or NULL */
    bool submitted;
    bool stranger; /* the route is public */
    struct buf body;
    struct arena arena; /* copies of the head: the stream may go while a thread works */
    struct api_call call;
    struct api_answer answer;
    char request_id[37];
};
STAILQ_HEAD(jobs_list, job);

struct api_server {
    struct plane *plane;
    struct loop *loop;
    struct http_server *http;
    struct listener *listener;
    struct tls_server *tls;
    struct waker *waker;
    size_t held; /* bytes of bodies, of calls that are not answered yet */
    int port;
    pthread_t threads[MAX_THREADS];
    size_t thread_count;
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct jobs_list todo, done; /* under the lock */
    size_t waiting;              /* length of todo; under the lock */
    bool stopping;               /* under the lock */
};

static void
job_free(struct job *j)
{
    j->server->held -= j->body.len;
    buf_wipe(&j->body);
    buf_free(&j->body);
    arena_free(&j->arena);
    api_answer_free(&j->answer);
    free(j);
}

/* ---- the answer ------------------------------------------------------------------------------ */

struct fields {
    struct http_field at[20];
    size_t count;
};

static void
add_field(struct fields *f, const char *name, const char *value)
{
    f->at[f->count++] = (struct http_field){slice_of(name), slice_of(value), false};
}

/* Pages load nothing, are in nobody's frame, and tell no other place where they are from. */
static void
add_page_fields(struct fields *f)
{
    add_field(f, "content-security-policy",
              "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
              "frame-ancestors 'none'");
    add_field(f, "referrer-policy", "no-referrer");
}

#define LIMIT_COOKIES 4

static void
add_cookies(struct fields *f, const struct api_answer *a)
{
    struct slice rest = buf_slice(&a->cookies);
    for (int i = 0; i < LIMIT_COOKIES && rest.len > 0; i++)
        f->at[f->count++] = (struct http_field){SLICE("set-cookie"), slice_cut(&rest, '\n'), true};
}

static void
reply(struct http_stream *s, const struct api_answer *a, const char *request_id)
{
    struct fields f = {.count = 0};
    char etag[48], retry[16];
    add_field(&f, "x-request-id", request_id);
    add_field(&f, "cache-control", "no-store");
    add_field(&f, "x-content-type-options", "nosniff");
    if (a->content_type)
        add_field(&f, "content-type", a->content_type);
    if (a->content_type && strncmp(a->content_type, "text/html", 9) == 0)
        add_page_fields(&f);
    add_cookies(&f, a);
    if (a->status == 401)
        add_field(&f, "www-authenticate", "Bearer realm=\"headgate\"");
    if (a->etag[0]) {
        snprintf(etag, sizeof(etag), "\"%s\"", a->etag);
        add_field(&f, "etag", etag);
    }
    if (a->location[0])
        add_field(&f, "location", a->location);
    if (a->allow[0])
        add_field(&f, "allow", a->allow);
    if (a->ignored[0])
        add_field(&f, "x-headgate-ignored", a->ignored);
    if (a->next[0])
        add_field(&f, "x-headgate-next", a->next);
    if (a->replayed)
        add_field(&f, "idempotency-replayed", "true");
    if (a->retry_after_s > 0) {
        snprintf(retry, sizeof(retry), "%d", a->retry_after_s);
        add_field(&f, "retry-after", retry);
    }
    if (http_reply(s, a->status, f.at, f.count, buf_slice(&a->body)) != 0)
        http_abort(s);
}

/* A refusal that needs no thread: the form is that of a handler's all the same. */
static void
refuse_for(struct http_stream *s, const char *request_id, const struct route *route, int status,
           const char *code, const char *detail, int retry_after_s)
{
    struct api_answer a = {.status = status,
                           .content_type = "application/problem+json",
                           .retry_after_s = retry_after_s};
    bool litellm = route && route->access & API_LITELLM;
    bool scim = route && api_is_scim(slice_of(route->path));
    int err;
    buf_init(&a.body, 2048);
    if (litellm || scim)
        a.content_type = scim ? "application/scim+json" : "application/json";
    if (litellm)
        err = litellm_error_text(status, detail, &a.body);
    else if (scim)
        err = buf_addf(&a.body,
                       "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:Error\"],"
                       "\"status\":\"%d\",\"detail\":\"%s\"}",
                       status, detail);
    else
        err = buf_addf(&a.body,
                       "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":"
                       "\"%s\",\"code\":\"%s\",\"request_id\":\"%s\"}",
                       code, http_reason(status), status, detail, code, request_id);
    if (err)
        buf_clear(&a.body);
    reply(s, &a, request_id);
    api_answer_free(&a);
}

static void
refuse(struct http_stream *s, const char *request_id, const struct route *route, int status,
       const char *code, const char *detail)
{
    refuse_for(s, request_id, route, status, code, detail, status == 503 ? 1 : 0);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static struct job *
take_job(struct api_server *s)
{
    pthread_mutex_lock(&s->lock);
    while (STAILQ_EMPTY(&s->todo) && !s->stopping)
        pthread_cond_wait(&s->wanted, &s->lock);
    struct job *j = STAILQ_FIRST(&s->todo);
    if (j) {
        STAILQ_REMOVE_HEAD(&s->todo, link);
        s->waiting--;
    }
    pthread_mutex_unlock(&s->lock);
    return j;
}

static void *
work(void *ctx)
{
    struct api_server *s = ctx;
    struct job *j;
    struct db *db = plane_db(s->plane, "api");
    while (db && (j = take_job(s)) != NULL) {
        api_dispatch(s->plane, db, &j->call, &j->answer);
        pthread_mutex_lock(&s->lock);
        STAILQ_INSERT_TAIL(&s->done, j, link);
        pthread_mutex_unlock(&s->lock);
        waker_wake(s->waker);
    }
    db_free(db);
    return NULL;
}

static void
on_wake(void *ctx)
{
    struct api_server *s = ctx;
    struct jobs_list ready = STAILQ_HEAD_INITIALIZER(ready);
    struct job *j;
    pthread_mutex_lock(&s->lock);
    STAILQ_CONCAT(&ready, &s->done);
    pthread_mutex_unlock(&s->lock);
    while ((j = STAILQ_FIRST(&ready)) != NULL) {
        STAILQ_REMOVE_HEAD(&ready, link);
        if (j->stream)
            reply(j->stream, &j->answer, j->request_id);
        job_free(j);
    }
}

/* false: too many are waiting. */
static bool
submit(struct api_server *s, struct job *j)
{
    pthread_mutex_lock(&s->lock);
    bool room = s->waiting < LIMIT_QUEUE_CALLS && !s->stopping;
    if (room) {
        j->submitted = true;
        s->waiting++;
        STAILQ_INSERT_TAIL(&s->todo, j, link);
        pthread_cond_signal(&s->wanted);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

/* ---- streams --------------------------------------------------------------------------------- */

static struct slice
copy_field(struct job *j, const struct http_head *head, const char *name)
{
    struct slice value = http_field_get(head, name);
    return value.at ? arena_copy(&j->arena, value) : value;
}

static bool
copy_head(struct job *j, const struct http_head *head)
{
    struct api_call *c = &j->call;
    c->method = arena_copy(&j->arena, head->method);
    c->target = arena_copy(&j->arena, head->path);
    c->authorization = copy_field(j, head, "authorization");
    c->authorizations = http_field_count(head, "authorization");
    c->litellm_key = copy_field(j, head, "x-litellm-api-key");
    if (http_field_count(head, "x-litellm-api-key") > 1)
        c->authorizations += 2;
    c->content_type = copy_field(j, head, "content-type");
    c->if_match = copy_field(j, head, "if-match");
    c->accept = copy_field(j, head, "accept");
    c->idempotency_key = copy_field(j, head, "idempotency-key");
    c->cookie = copy_field(j, head, "cookie");
    c->origin = copy_field(j, head, "origin");
    c->fetch_site = copy_field(j, head, "sec-fetch-site");
    c->csrf_token = copy_field(j, head, "x-csrf-token");
    c->request_id = j->request_id;
    c->peer = arena_strdup(&j->arena, slice_of(http_peer(j->stream)));
    return c->method.at && c->target.at && c->peer;
}

static struct job *
job_new(struct api_server *s, struct http_stream *stream, const struct http_head *head)
{
    struct job *j = calloc(1, sizeof(*j));
    unsigned char id[16];
    if (!j)
        return NULL;
    j->server = s;
    j->stream = stream;
    buf_init(&j->body, 0); /* the server's own limit bounds it */
    buf_init(&j->answer.body, 0);
    arena_init(&j->arena, (size_t)256 << 10);
    uuid7(id);
    uuid_format(id, j->request_id);
    if (copy_head(j, head))
        return j;
    job_free(j);
    return NULL;
}

static const struct route *
route_of(const struct api_server *s, const struct http_head *head)
{
    struct slice rest = head->path, params[4] = {{0}};
    char allow[64];
    return api_route_find(s->plane->config.litellm_shim, head->method, slice_cut(&rest, '?'),
                          params, allow, sizeof(allow));
}

static void *
on_request(void *ctx, struct http_stream *stream, const struct http_head *head)
{
    struct job *j = job_new(ctx, stream, head);
    const struct route *route = route_of(ctx, head);
    if (!j) {
        refuse(stream, "", route, 503, "unavailable", "no memory left: try again");
        return NULL;
    }
    /* Who shows nothing like a token is not worth reading a body from. */
    struct slice rest = head->path;
    j->stranger = api_path_is_public(slice_cut(&rest, '?'));
    if (!j->stranger && !api_caller_plausible(j->server->plane, &j->call, route)) {
        refuse(stream, j->request_id, route, 401, "unauthorized",
               "send an admin token: Authorization: Bearer hgat_...");
        job_free(j);
        return NULL;
    }
    int wait_s = j->stranger ? 0 : api_caller_wait_s(j->server->plane, &j->call, route);
    if (wait_s > 0) { /* no thread, no query, no line for each */
        refuse_for(stream, j->request_id, route, 429, "too_many_failures", API_WAIT, wait_s);
        job_free(j);
        return NULL;
    }
    j->route = route;
    return j;
}

static void
on_body(void *x, struct http_stream *stream, struct slice bytes)
{
    struct job *j = x;
    struct api_server *s = j->server;
    if (j->stranger && j->body.len + bytes.len > LIMIT_STRANGER_BYTES) {
        refuse(stream, j->request_id, j->route, 413, "too_large",
               "the body of this call may have 8 KiB");
        job_free(j);
        return;
    }
    if (bytes.len <= LIMIT_HELD_BYTES - s->held && buf_add_slice(&j->body, bytes) == 0) {
        s->held += bytes.len;
        return;
    }
    refuse(stream, j->request_id, j->route, 503, "overloaded",
           "too many large calls at once: try again");
    job_free(j);
}

static void
on_body_end(void *x, struct http_stream *stream)
{
    struct job *j = x;
    j->call.body = buf_slice(&j->body);
    if (submit(j->server, j))
        return;
    refuse(stream, j->request_id, j->route, 503, "overloaded",
           "too many calls are waiting: try again");
    job_free(j);
}

static void
on_drained(void *x, struct http_stream *stream)
{
    (void)x;
    (void)stream;
}

static void
on_abort(void *x, struct http_stream *stream, int err, const char *why)
{
    struct job *j = x;
    (void)stream;
    log_debug("api.client_gone", F_STR("request_id", j->request_id), F_ERR(err), F_STR("why", why));
    if (j->submitted)
        j->stream = NULL; /* a thread has it; on_wake() frees it */
    else
        job_free(j);
}

static const struct http_handlers handlers = {.on_request = on_request,
                                              .on_body = on_body,
                                              .on_body_end = on_body_end,
                                              .on_drained = on_drained,
                                              .on_abort = on_abort};

/* What the HTTP server itself refuses, in the same form. */
static void
error_body(int status, const char *code, const char *message, struct buf *into)
{
    int err =
        buf_addf(into,
                 "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
                 "\"code\":\"%s\"}",
                 code, http_reason(status), status, message, code);
    if (err)
        buf_clear(into);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
on_accept(void *ctx, int fd)
{
    struct api_server *s = ctx;
    http_server_accept(s->http, fd, s->tls);
}

static int
open_listener(struct api_server *s, struct buf *why)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    const struct plane_config *c = &s->plane->config;
    const char *reason = "";
    int fd = -1, err = 0;
    if (c->admin_tls_cert)
        err = tls_server_new(c->admin_tls_cert, c->admin_tls_key, NULL, alpn, &s->tls, &reason);
    if (err)
        return buf_addf(why, "admin TLS: %s", reason) ?: err;
    err = listener_bind(c->admin_listen, false, &fd, &reason);
    if (err)
        return buf_addf(why, "cannot listen on %s: %s", c->admin_listen, reason) ?: err;
    s->port = listener_port(fd);
    s->listener = listener_new(s->loop, fd, on_accept, s);
    return s->listener ? 0 : ERR_NOMEM;
}

static int
start_threads(struct api_server *s)
{
    sigset_t all, old;
    size_t want = (size_t)s->plane->config.threads;
    int err = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the main thread's */
    while (s->thread_count < want && s->thread_count < MAX_THREADS && !err) {
        err = pthread_create(&s->threads[s->thread_count], NULL, work, s) == 0 ? 0 : ERR_NOMEM;
        s->thread_count += err ? 0 : 1;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

int
api_server_start(struct plane *plane, struct loop *loop, struct api_server **ret_server,
                 struct buf *why)
{
    struct http_server_config config = {.server_name = "headgate",
                                        .http1 = true,
                                        .http2 = true,
                                        .half_close_ok = true,
                                        .error_body = error_body,
                                        .error_type = "application/problem+json"};
    const struct route *bad;
    if (!api_routes_are_guarded(&bad)) {
        int full = buf_addf(why, "%s %s has no permission", bad->method, bad->path);
        return full ? full : ERR_SYNTAX;
    }
    struct api_server *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    s->plane = plane;
    s->loop = loop;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wanted, NULL);
    STAILQ_INIT(&s->todo);
    STAILQ_INIT(&s->done);
    s->http = http_server_new(loop, &config, &handlers, s);
    s->waker = waker_new(loop, on_wake, s);
    int err = s->http && s->waker ? open_listener(s, why) : ERR_NOMEM;
    if (!err)
        err = start_threads(s);
    if (err) {
        api_server_free(s);
        return err;
    }
    *ret_server = s;
    return 0;
}

int
api_server_port(const struct api_server *s)
{
    return s->port;
}

void
api_server_reload(struct api_server *s)
{
    const char *why;
    if (!s->tls)
        return;
    if (tls_server_reload(s->tls, &why) == 0)
        log_info("api.certificate_reloaded");
    else
        log_error("api.certificate_kept", F_STR("why", why));
}

void
api_server_drain(struct api_server *s, void (*on_idle)(void *), void *ctx)
{
    listener_free(s->listener);
    s->listener = NULL;
    http_server_drain(s->http, on_idle, ctx);
}

void
api_server_free(struct api_server *s)
{
    struct job *j;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->wanted);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    listener_free(s->listener);
    http_server_free(s->http); /* aborts what is left: on_abort */
    while ((j = STAILQ_FIRST(&s->done)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->done, link);
        job_free(j);
    }
    waker_free(s->waker);
    tls_server_free(s->tls);
    pthread_cond_destroy(&s->wanted);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
