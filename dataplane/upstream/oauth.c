#include "dataplane/upstream/oauth.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "dataplane/upstream/oauth_grant.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define FETCH_MS 15000
#define MAX_MARGIN_MS 60000 /* a token is not used in its last minute, or last tenth */
#define MIN_AGE_MS 60000    /* a younger one that is refused would be followed by its like */
#define FIRST_PAUSE_MS 1000 /* after a failure; doubled each time */
#define MAX_PAUSE_MS 60000

TAILQ_HEAD(wait_list, oauth_wait);

struct oauth_wait {
    TAILQ_ENTRY(oauth_wait) link;
    struct wait_list *list;
    struct entry *entry;
    void (*on_done)(void *ctx, const struct oauth_result *r);
    void *ctx;
};

/* One provider's token. Of its times all are the loop's. */
struct entry {
    TAILQ_ENTRY(entry) link; /* in the order of use, oldest first */
    struct oauth *oauth;
    char *name;
    enum oauth_kind kind;
    struct secret credential;
    bool allow_private;

    struct secret token; /* empty: never had one */
    int64_t got_at, renew_at;
    int64_t serves_until; /* 0: it does not */

    struct http_call *call; /* NULL: no fetch is on */
    struct secret form;     /* its body, kept until it ends */
    int status;
    struct buf answer;

    int err; /* of the last fetch */
    char why[96];
    unsigned failures; /* in a row */
    int64_t not_before;

    struct wait_list waits; /* for the fetch that is on */
    size_t users;           /* waits of any list: it cannot go while there are some */
};

TAILQ_HEAD(entry_list, entry);

struct oauth {
    struct loop *loop;
    struct http_client *client;
    struct entry_list entries;
    size_t count;
    struct wait_list settled; /* what they wait for is known: told after this callback */
    struct wait_list told;    /* those being told */
    struct task tell;
};

/* --- entries ---------------------------------------------------------------------------------- */

static bool
kind_of(const struct policy_provider *p, enum oauth_kind *ret_kind)
{
    struct slice credential = secret_reveal(&p->credential);
    switch (provider_kind_row(p->kind)->auth) {
    case PROVIDER_AUTH_GOOGLE:
        *ret_kind = OAUTH_GOOGLE;
        break;
    case PROVIDER_AUTH_AZURE:
        *ret_kind = OAUTH_ENTRA;
        break;
    default:
        return false;
    }
    credential = slice_trim(credential); /* a document; else a key */
    return credential.len > 0 && credential.at[0] == '{';
}

static bool
is_of(const struct entry *e, const struct policy_provider *p, enum oauth_kind kind)
{
    return e->kind == kind && e->allow_private == p->allow_private && slice_is(p->name, e->name) &&
           slice_eq(secret_reveal(&e->credential), secret_reveal(&p->credential));
}

/* The entry, now the latest used; NULL: there is none. */
static struct entry *
find(struct oauth *o, const struct policy_provider *p)
{
    enum oauth_kind kind;
    struct entry *e;
    if (!kind_of(p, &kind))
        return NULL;
    TAILQ_FOREACH_REVERSE(e, &o->entries, entry_list, link)
    if (is_of(e, p, kind)) {
        TAILQ_REMOVE(&o->entries, e, link);
        TAILQ_INSERT_TAIL(&o->entries, e, link);
        return e;
    }
    return NULL;
}

static void
end_call(struct entry *e)
{
    e->call = NULL;
    secret_free(&e->form);
}

static void
discard(struct entry *e)
{
    assert(e->users == 0);
    TAILQ_REMOVE(&e->oauth->entries, e, link);
    e->oauth->count--;
    if (e->call)
        http_call_cancel(e->call);
    end_call(e);
    secret_free(&e->credential);
    secret_free(&e->token);
    buf_wipe(&e->answer);
    free(e->name);
    free(e);
}

/* Room for one more: the oldest that nobody waits for goes. */
static bool
make_room(struct oauth *o)
{
    struct entry *e;
    if (o->count < LIMIT_OAUTH_ENTRIES)
        return true;
    TAILQ_FOREACH (e, &o->entries, link)
        if (e->users == 0) {
            discard(e);
            return true;
        }
    return false;
}

static struct entry *
make(struct oauth *o, const struct policy_provider *p, enum oauth_kind kind)
{
    struct slice credential = secret_reveal(&p->credential);
    struct entry *e = make_room(o) ? calloc(1, sizeof *e) : NULL;
    if (!e)
        return NULL;
    e->name = slice_dup(p->name);
    if (!e->name || secret_set(&e->credential, credential.at, credential.len) != 0) {
        free(e->name);
        free(e);
        return NULL;
    }
    e->oauth = o;
    e->kind = kind;
    e->allow_private = p->allow_private;
    buf_init(&e->answer, LIMIT_OAUTH_ANSWER_BYTES);
    TAILQ_INIT(&e->waits);
    TAILQ_INSERT_TAIL(&o->entries, e, link);
    o->count++;
    return e;
}

/* --- telling ---------------------------------------------------------------------------------- */

static bool
serves(const struct entry *e)
{
    return loop_now_ms(e->oauth->loop) < e->serves_until;
}

/* w is in no list any more. */
static void
tell(struct oauth_wait *w)
{
    struct entry *e = w->entry;
    struct oauth_result r = {.err = 0, .why = ""};
    if (serves(e)) {
        r.token = secret_reveal(&e->token);
    } else {
        r.err = e->err ? e->err : ERR_AUTH;
        r.why = e->err ? e->why : "the provider refused its access token";
    }
    w->on_done(w->ctx, &r);
    e->users--;
    free(w);
}

static void
put(struct oauth_wait *w, struct wait_list *list)
{
    w->list = list;
    TAILQ_INSERT_TAIL(list, w, link);
}

static void
move_all(struct wait_list *from, struct wait_list *to)
{
    struct oauth_wait *w;
    while ((w = TAILQ_FIRST(from)) != NULL) {
        TAILQ_REMOVE(from, w, link);
        put(w, to);
    }
}

/* Those who begin to wait meanwhile are told in a later round. */
static void
tell_settled(void *ctx)
{
    struct oauth *o = ctx;
    struct oauth_wait *w;
    move_all(&o->settled, &o->told);
    while ((w = TAILQ_FIRST(&o->told)) != NULL) {
        TAILQ_REMOVE(&o->told, w, link);
        tell(w);
    }
}

static void
tell_later(struct oauth *o)
{
    loop_after(o->loop, &o->tell, tell_settled, o);
}

/* The fetch is over: all who waited for it are told after this callback. */
static void
settle(struct entry *e)
{
    move_all(&e->waits, &e->oauth->settled);
    tell_later(e->oauth);
}

/* --- fetching --------------------------------------------------------------------------------- */

static void
note_failure(struct entry *e, int err, const char *why)
{
    unsigned doublings = e->failures < 6 ? e->failures : 6;
    int64_t pause = (int64_t)FIRST_PAUSE_MS << doublings;
    if (pause > MAX_PAUSE_MS)
        pause = MAX_PAUSE_MS;
    /* Workers that failed together do not come back together. */
    pause = pause * 3 / 4 + (int64_t)rand_below((uint64_t)pause / 2);
    e->failures++;
    e->err = err;
    snprintf(e->why, sizeof e->why, "%s", why);
    e->not_before = loop_now_ms(e->oauth->loop) + pause;
    log_warn("oauth.failed", F_STR("provider", e->name), F_ERR(err), F_STR("why", e->why),
             F_INT("failures", e->failures), F_INT("pause_ms", pause));
}

static void
keep(struct entry *e, struct secret token, int64_t life_ms)
{
    int64_t now = loop_now_ms(e->oauth->loop), margin = life_ms / 10;
    secret_free(&e->token);
    e->token = token;
    e->got_at = now;
    e->serves_until = now + life_ms - (margin < MAX_MARGIN_MS ? margin : MAX_MARGIN_MS);
    e->renew_at = now + life_ms / 4 * 3;
    e->failures = 0;
    e->err = 0;
    e->not_before = 0;
    e->why[0] = '\0';
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct entry *e = ctx;
    (void)call;
    e->status = head->status;
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct entry *e = ctx;
    if (buf_add_slice(&e->answer, bytes) == 0)
        return;
    http_call_cancel(call);
    end_call(e);
    buf_wipe(&e->answer);
    note_failure(e, ERR_LIMIT, "the token endpoint's answer is too large");
    settle(e);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct entry *e = ctx;
    struct secret token;
    int64_t life_ms;
    char why[sizeof e->why];
    (void)call;
    end_call(e);
    int err = oauth_grant_read(e->status, buf_slice(&e->answer), &token, &life_ms, why, sizeof why);
    buf_wipe(&e->answer);
    if (err == 0)
        keep(e, token, life_ms);
    else
        note_failure(e, err, why);
    settle(e);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct entry *e = ctx;
    char text[sizeof e->why];
    (void)call;
    (void)why; /* may say what only administrators should know; the code tells them */
    end_call(e);
    buf_wipe(&e->answer);
    snprintf(text, sizeof text, "the token endpoint could not be reached (%s)", err_name(err));
    note_failure(e, err, text);
    settle(e);
}

static const struct http_call_handlers handlers = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

/* 0 or an error; then *ret_why is static. */
static int
send_grant(struct entry *e, struct oauth_grant *g, const char **ret_why)
{
    static const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("application/x-www-form-urlencoded"), false},
        {SLICE("accept"), SLICE("application/json"), false},
    };
    struct oauth *o = e->oauth;
    *ret_why = "the token endpoint must be https";
    if (!g->url.https && !e->allow_private)
        return ERR_DENIED; /* the grant would go in the clear */
    *ret_why = "no memory";
    e->form = g->body;
    struct slice body = secret_reveal(&e->form);
    struct http_request request = {.method = SLICE("POST"),
                                   .path = g->url.path,
                                   .fields = fields,
                                   .count = 2,
                                   .body = &body,
                                   .body_count = 1,
                                   .retry_dead = true,
                                   .first_byte_ms = FETCH_MS,
                                   .between_bytes_ms = FETCH_MS,
                                   .total_ms = FETCH_MS};
    struct http_origin *origin = http_origin_get(o->client, g->url.https, g->url.host, g->url.port,
                                                 HTTP_AUTO, e->allow_private);
    g->body = (struct secret){0};
    e->status = 0;
    e->call = origin ? http_call_start(o->client, origin, &request, &handlers, e) : NULL;
    if (origin)
        http_origin_unref(origin);
    return e->call ? 0 : ERR_NOMEM;
}

static void
fetch(struct entry *e)
{
    struct oauth_grant g;
    struct arena a;
    const char *why = "";
    arena_init(&a, 0);
    int err =
        oauth_grant_make(e->kind, secret_reveal(&e->credential), clock_wall_ms(), &a, &g, &why);
    if (err == 0)
        err = send_grant(e, &g, &why);
    secret_free(&g.body);
    arena_free(&a);
    if (err != 0) {
        end_call(e);
        note_failure(e, err, why);
    }
}

/* Fetches where it is time and nobody does. */
static void
refresh(struct entry *e)
{
    int64_t now = loop_now_ms(e->oauth->loop);
    bool is_due = !serves(e) || now >= e->renew_at;
    if (is_due && !e->call && now >= e->not_before)
        fetch(e);
}

/* --- what requests ask ------------------------------------------------------------------------ */

bool
oauth_is_wanted(const struct policy_provider *p)
{
    enum oauth_kind kind;
    return kind_of(p, &kind);
}

struct slice
oauth_peek(struct oauth *o, const struct policy_provider *p)
{
    struct entry *e = find(o, p);
    if (!e || !serves(e))
        return (struct slice){0};
    refresh(e);
    return secret_reveal(&e->token);
}

struct oauth_wait *
oauth_start(struct oauth *o, const struct policy_provider *p,
            void (*on_done)(void *ctx, const struct oauth_result *r), void *ctx)
{
    enum oauth_kind kind = OAUTH_GOOGLE;
    bool is_wanted = kind_of(p, &kind);
    assert(is_wanted);
    struct entry *e = find(o, p);
    struct oauth_wait *w = calloc(1, sizeof *w);
    if (!e && w)
        e = make(o, p, kind);
    if (!w || !e) {
        free(w);
        return NULL;
    }
    *w = (struct oauth_wait){.entry = e, .on_done = on_done, .ctx = ctx};
    e->users++;
    refresh(e);
    if (e->call && !serves(e)) {
        put(w, &e->waits);
        return w;
    }
    put(w, &o->settled);
    tell_later(o);
    return w;
}

void
oauth_cancel(struct oauth_wait *w)
{
    if (!w)
        return;
    TAILQ_REMOVE(w->list, w, link);
    w->entry->users--;
    free(w);
}

void
oauth_reject(struct oauth *o, const struct policy_provider *p, struct slice token)
{
    struct entry *e = find(o, p);
    bool is_old = e && loop_now_ms(o->loop) - e->got_at >= MIN_AGE_MS;
    if (is_old && slice_eq(secret_reveal(&e->token), token))
        e->serves_until = 0; /* the bytes stay: others may still be shown them */
}

/* --- life ------------------------------------------------------------------------------------- */

struct oauth *
oauth_new(struct loop *l, struct http_client *client)
{
    struct oauth *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->loop = l;
    o->client = client;
    TAILQ_INIT(&o->entries);
    TAILQ_INIT(&o->settled);
    TAILQ_INIT(&o->told);
    return o;
}

static bool
is_named(const struct entry *e, const struct policy *p)
{
    const struct policy_provider *named = p ? policy_find_provider(p, slice_of(e->name)) : NULL;
    enum oauth_kind kind;
    return named && kind_of(named, &kind) && is_of(e, named, kind);
}

void
oauth_follow(struct oauth *o, const struct policy *p)
{
    struct entry *e = TAILQ_FIRST(&o->entries);
    while (e) {
        struct entry *next = TAILQ_NEXT(e, link);
        if (e->users == 0 && !is_named(e, p))
            discard(e);
        e = next;
    }
}

void
oauth_free(struct oauth *o)
{
    if (!o)
        return;
    oauth_follow(o, NULL);
    assert(TAILQ_EMPTY(&o->entries));
    loop_unqueue(o->loop, &o->tell);
    free(o);
}
