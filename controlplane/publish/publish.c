#include "controlplane/publish/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/leases/leases.h"
#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define DEFAULT_THREADS 4
#define NOTIFY_SLICE_MS 100 /* how long a kick may wait behind a wait for NOTIFY */
#define TURN_MS 1000        /* between looks without a word from anybody; announcements too */
#define FLUSH_MS 2000       /* between copies of the acks to PostgreSQL */

/* --- what threads share ---------------------------------------------------------------------- */

struct built *
publisher_built(struct publisher *p)
{
    struct built *b;

    pthread_mutex_lock(&p->lock);
    b = p->built ? built_ref(p->built) : NULL;
    pthread_mutex_unlock(&p->lock);
    return b;
}

struct built *
publisher_base(struct publisher *p)
{
    struct built *b = publisher_built(p);

    if (!b || !b->forgotten)
        return b;
    built_unref(b);
    return NULL;
}

void
publisher_set_built(struct publisher *p, struct built *b)
{
    struct built *before;

    pthread_mutex_lock(&p->lock);
    before = p->built;
    p->built = b;
    pthread_mutex_unlock(&p->lock);
    built_unref(before);
}

void
publisher_count(struct publisher *p, uint64_t *counter)
{
    pthread_mutex_lock(&p->lock);
    (*counter)++;
    pthread_mutex_unlock(&p->lock);
}

static bool
is_stopping(struct publisher *p)
{
    bool stopping;

    pthread_mutex_lock(&p->lock);
    stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

static bool
take_kick(struct publisher *p)
{
    bool kicked;

    pthread_mutex_lock(&p->lock);
    kicked = p->kicked;
    p->kicked = false;
    pthread_mutex_unlock(&p->lock);
    return kicked;
}

/* Up to ms, or until a kick (which is left for take_kick) or the end. */
static void
doze(struct publisher *p, int64_t ms)
{
    struct timespec until;
    int64_t ns = clock_mono_ns() + ms * 1000000;

    until.tv_sec = ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && !p->kicked && pthread_cond_timedwait(&p->wake, &p->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&p->lock);
}

/* --- announcing ------------------------------------------------------------------------------ */

void
publisher_announce(struct publisher *p)
{
    struct head *h = shelf_newest(p->shelf);
    struct bus_announcement a;
    struct buf message;

    if (!h)
        return;
    a = (struct bus_announcement){
        .cluster_id = slice_of(h->cluster_id), .epoch = h->epoch, .version = h->version};
    memcpy(a.root_sha256, h->digest, SHA256_BYTES);
    buf_init(&message, 0);
    if (bus_announcement_encode(&a, &message) == 0 &&
        channel_host_announce(p->host, buf_slice(&message)) == 0)
        publisher_count(p, &p->status.announced);
    buf_free(&message);
    head_unref(h);
}

/* A thread of its own: the publishing one may wait for PostgreSQL. */
static void *
announce_on(void *arg)
{
    struct publisher *p = arg;
    struct timespec second = {.tv_sec = 0, .tv_nsec = TURN_MS * 1000000L / 4};
    int quarter = 0;

    while (!is_stopping(p)) {
        if (quarter++ % 4 == 0)
            publisher_announce(p);
        nanosleep(&second, NULL);
    }
    return NULL;
}

/* --- one turn of the publishing thread ----------------------------------------------------- */

static void
set_status(struct publisher *p, int err, const struct buf *why)
{
    struct head *h = shelf_newest(p->shelf);
    struct built *b = publisher_built(p);
    struct publisher_status *s = &p->status;

    pthread_mutex_lock(&p->lock);
    s->epoch = h ? h->epoch : 0;
    s->version = h ? h->version : 0;
    s->revision = h ? h->revision : 0;
    s->published_wall_ms = h ? h->created_ms : 0;
    s->section_bytes = h ? sections_total(h->sections) : 0;
    s->key_count = b && b->policy ? policy_key_count(b->policy) : 0;
    s->leader = lead_is(&p->lead);
    s->leader_epoch = s->leader ? p->lead.epoch : 0;
    s->database = err != ERR_UNAVAILABLE && err != ERR_TIMEOUT;
    if (err)
        snprintf(s->problem, sizeof(s->problem), "%.*s",
                 why->len ? (int)why->len : (int)strlen(err_name(err)),
                 why->len ? why->at : err_name(err));
    else
        s->problem[0] = '\0';
    pthread_mutex_unlock(&p->lock);
    built_unref(b);
    head_unref(h);
}

/* A state to go on from, made of the newest head; NULL when it cannot be. */
static struct built *
built_of_head(struct publisher *p, const struct head *h)
{
    struct built *b = calloc(1, sizeof(*b));
    struct keyring ring;
    struct buf why;
    int err;

    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->revision = (int64_t)h->revision;
    b->sections = sections_ref(h->sections);
    buf_init(&why, 4096);
    secrets_ring(p->secrets, &ring);
    err = compile_sections(b->sections, &ring, b->revision, NULL, &b->policy, &why);
    keyring_wipe(&ring);
    if (err)
        log_warn("publish.head_unusable", F_SLICE("why", buf_slice(&why)));
    buf_free(&why);
    if (!err)
        return b;
    built_unref(b);
    return NULL;
}

/* The database has forgotten the newest head, which is in force until there is a newer: leases are
 * granted by it. */
static void
keep_forgotten(struct publisher *p, const struct head *h)
{
    struct built *b = built_of_head(p, h);

    if (b)
        b->forgotten = true;
    publisher_set_built(p, b);
}

/* On a new connection: the database behind it may be another, restored one. What we know is good to
 * go on from only when it has recorded the very version we hold; else everything is read again. */
static int
resume(struct publisher *p)
{
    struct head *h = shelf_newest(p->shelf);
    struct built *now = publisher_base(p);
    int known = h && p->build_noted ? record_is_known(p, h) : 0;
    int forgotten = h && known == 0 ? record_went_back(p, h) : 0;

    if (known == 1 && !(now && now->sections == h->sections))
        publisher_set_built(p, built_of_head(p, h));
    else if (forgotten == 1)
        keep_forgotten(p, h);
    else if (known == 0 && forgotten == 0)
        publisher_set_built(p, NULL);
    built_unref(now);
    head_unref(h);
    p->published_epoch = 0;
    p->refresh = true;
    return known < 0 ? known : forgotten < 0 ? forgotten : 0;
}

static int
say_wrong_key(struct buf *why)
{
    return buf_add_str(why, "this database is sealed with another seal key: give that one") == 0
               ? ERR_AUTH
               : ERR_NOMEM;
}

/* LISTENs on a new connection. */
static int
greet(struct publisher *p, struct buf *why)
{
    uint64_t connection;
    int err = db_ping(p->db, &connection);

    if (err || connection == p->connection)
        return err;
    err = db_query(p->db, "LISTEN " PUBLISH_CHANNEL, NULL, 0, NULL);
    if (!err)
        err = db_query(p->db, "LISTEN " PUBLISHED_CHANNEL, NULL, 0, NULL);
    if (!err)
        err = secrets_load(p->secrets, p->db);
    if (err == ERR_AUTH)
        err = say_wrong_key(why);
    if (!err)
        err = resume(p);
    if (!err)
        p->connection = connection;
    return err;
}

static int
compile_now(struct publisher *p, struct built *base, struct built **ret, struct buf *why)
{
    struct head *h = shelf_newest(p->shelf);
    struct keyring ring;
    struct compile_input in = {.db = p->db,
                               .secrets = p->secrets,
                               .keys = &ring,
                               .base = base,
                               .refresh = p->refresh,
                               .providers_before =
                                   h ? h->sections->fixed[SECTION_PROVIDERS] : NULL};
    bool changed;
    int err = secrets_sync(p->secrets, p->db, &changed);

    secrets_ring(p->secrets, &ring);
    if (err == ERR_AUTH)
        err = say_wrong_key(why);
    if (!err)
        err = db_begin(p->db);
    if (!err)
        err = db_query(p->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, 0,
                       NULL);
    if (!err)
        err = compile_config(&in, ret, why);
    db_rollback(p->db);
    keyring_wipe(&ring);
    head_unref(h);
    return err;
}

static bool
same_sections(const struct built *a, const struct built *b)
{
    struct section *x[SECTIONS_MOST], *y[SECTIONS_MOST];
    size_t n = sections_list(a->sections, x);

    if (sections_list(b->sections, y) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (memcmp(x[i]->sha256, y[i]->sha256, SHA256_BYTES) != 0)
            return false;
    return true;
}

/* Whether the state that was compiled is what the head says already. */
static bool
is_published(struct publisher *p, const struct built *base, const struct built *b)
{
    return base && p->published_epoch == p->lead.epoch && p->published_revision == b->revision &&
           same_sections(base, b);
}

static int
publish(struct publisher *p, struct buf *why)
{
    struct built *base = publisher_base(p);
    struct built *b = NULL;
    int err = compile_now(p, base, &b, why);

    if (!err && is_published(p, base, b)) {
        built_unref(b);
        built_unref(base);
        return 0;
    }
    built_unref(base);
    if (!err)
        err = record_version(p, b, why);
    if (err) {
        built_unref(b);
        return err;
    }
    p->published_epoch = p->lead.epoch;
    p->published_revision = b->revision;
    p->refresh = false;
    publisher_set_built(p, b);
    publisher_count(p, &p->status.published);
    publisher_announce(p);
    err = lead_be_long(&p->lead, p->db);
    if (!err)
        record_save(p);
    return err ? err : lead_be_quick(&p->lead, p->db);
}

/* Nothing to compile when no revision came and nobody asked. */
static int
has_news(struct publisher *p)
{
    struct db_rows *rows;
    int64_t revision;
    int err = db_query(p->db, "SELECT coalesce(max(revision), 0) FROM revisions", NULL, 0, &rows);

    if (err)
        return err;
    revision = db_int(rows, 0, 0);
    db_rows_free(rows);
    return p->published_epoch != p->lead.epoch || p->published_revision != revision;
}

static int
lead_turn(struct publisher *p, bool asked, struct buf *why)
{
    int news = asked ? 1 : has_news(p);

    return news == 1 ? publish(p, why) : news;
}

static int
follow_turn(struct publisher *p, struct buf *why)
{
    int adopted = record_adopt(p, why);

    if (adopted == 1) {
        publisher_announce(p);
        record_save(p);
    }
    return adopted < 0 ? adopted : 0;
}

/* What is on disk is under the sealing keys there are now. */
static void
rekey_disk(struct publisher *p)
{
    struct keyring ring;
    int err;

    secrets_ring(p->secrets, &ring);
    if (!keyring_same(&ring, &p->disk_ring)) {
        p->disk_ring = ring;
        err = lkg_rekey(p->disk, &ring);
        if (err)
            log_error("publish.floor_not_rekeyed", F_ERR(err));
    }
    keyring_wipe(&ring);
}

static int
turn(struct publisher *p, bool asked, struct buf *why)
{
    int err = greet(p, why);
    int leading;

    rekey_disk(p);
    if (err)
        return err;
    leading = lead_try(&p->lead, p->db, why);
    if (leading < 0)
        return leading;
    return leading ? lead_turn(p, asked, why) : follow_turn(p, why);
}

/* A NOTIFY, a kick, or a second without either. Returns whether somebody asked. */
static bool
wait_for_word(struct publisher *p, bool connected)
{
    int64_t until = clock_mono_ms() + TURN_MS;

    do {
        int got = connected ? db_wait_notify(p->db, NOTIFY_SLICE_MS) : ERR_UNAVAILABLE;

        if (got < 0)
            doze(p, until - clock_mono_ms());
        if (got == 1 && lead_is(&p->lead) && strcmp(db_notified(p->db), PUBLISHED_CHANNEL) == 0)
            continue; /* our own */
        if (got == 1 || take_kick(p))
            return true;
    } while (!is_stopping(p) && clock_mono_ms() < until);
    return false;
}

static void
log_problem(struct publisher *p, int err, const struct buf *why, int *last)
{
    (void)p;
    if (err && err != *last)
        log_error("publish.stuck", F_ERR(err),
                  F_SLICE("why", why->len ? buf_slice(why) : slice_of(db_error(p->db))));
    if (!err && *last)
        log_info("publish.recovered");
    *last = err;
}

static void *
run(void *arg)
{
    struct publisher *p = arg;
    int64_t flush_ms = 0;
    bool asked = true;
    int last = 0;
    struct buf why;

    buf_init(&why, 4096);
    while (!is_stopping(p)) {
        int err;

        buf_clear(&why);
        err = turn(p, asked, &why);
        set_status(p, err, &why);
        log_problem(p, err, &why, &last);
        if (!err && clock_mono_ms() >= flush_ms) {
            if (acks_flush(p->acks, p->db) == 0)
                flush_ms = clock_mono_ms() + FLUSH_MS;
        }
        asked = wait_for_word(p, err == 0) || err != 0;
    }
    buf_free(&why);
    return NULL;
}

/* --- starting and stopping ----------------------------------------------------------------- */

static int
open_disk(struct publisher *p, const char *state_dir, bool force, struct buf *why)
{
    char dir[4096 - 64], policy[4096];
    int err;

    snprintf(dir, sizeof(dir), "%s/publish", state_dir);
    snprintf(policy, sizeof(policy), "%s/snapshots", dir);
    snprintf(p->build_path, sizeof(p->build_path), "%s/build", dir);
    err = file_make_dirs(dir, 0700);
    if (!err)
        err = lead_init(&p->lead, dir, force, why);
    if (!err)
        err = lkg_open(policy, &p->disk_ring, &p->disk);
    if (err && why->len == 0 && buf_addf(why, "%s: cannot be used: %s", dir, err_name(err)) != 0)
        return ERR_NOMEM;
    return err;
}

static int
open_bus(struct publisher *p, const struct publisher_options *o, struct buf *why)
{
    const char *reason = "";
    int err =
        channel_host_open(o->pub_url, o->req_url, o->tls, p->threads, answer, p, &p->host, &reason);

    if (err && buf_addf(why, "cannot listen on %s and %s: %s", o->pub_url, o->req_url, reason) != 0)
        return ERR_NOMEM;
    return err;
}

static int
start_threads(struct publisher *p)
{
    p->started = pthread_create(&p->thread, NULL, run, p) == 0;
    p->announcing = p->started && pthread_create(&p->announcer, NULL, announce_on, p) == 0;
    return p->announcing ? 0 : ERR_NOMEM;
}

static void
init_locks(struct publisher *p)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static int
fill(struct publisher *p, const struct publisher_options *o)
{
    size_t threads = o->threads ? o->threads : DEFAULT_THREADS;

    p->threads = threads < LIMIT_ANSWER_THREADS ? threads : LIMIT_ANSWER_THREADS;
    p->secrets = o->secrets;
    memcpy(p->sign_secret, o->sign_secret, SIGN_SECRET_BYTES);
    secrets_ring(p->secrets, &p->disk_ring);
    p->database = slice_dup(slice_of(o->database));
    p->shelf = shelf_new();
    p->acks = acks_new();
    p->db = db_new(o->database, "headgate publish");
    p->leases = leases_start(o->database);
    if (!p->database || !p->shelf || !p->acks || !p->db || !p->leases)
        return ERR_NOMEM;
    return sign_public(p->sign_secret, p->sign_public);
}

int
publisher_start(const struct publisher_options *o, struct publisher **ret_publisher,
                struct buf *why)
{
    struct publisher *p = calloc(1, sizeof(*p));
    int err;

    buf_clear(why);
    if (!p)
        return ERR_NOMEM;
    init_locks(p);
    err = fill(p, o);
    if (!err)
        err = open_disk(p, o->state_dir, o->force_epoch, why);
    if (!err) {
        record_load(p);                                   /* before anybody can ask */
        set_status(p, ERR_UNAVAILABLE, &(struct buf){0}); /* until the first turn says more */
        err = open_bus(p, o, why);
    }
    if (!err)
        err = start_threads(p);
    if (err) {
        publisher_stop(p);
        return err;
    }
    *ret_publisher = p;
    return 0;
}

static void
stop_threads(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    if (p->started)
        pthread_join(p->thread, NULL);
    if (p->announcing)
        pthread_join(p->announcer, NULL);
}

void
publisher_stop(struct publisher *p)
{
    if (!p)
        return;
    stop_threads(p);
    channel_host_close(p->host);
    leases_stop(p->leases);
    for (size_t i = 0; i < p->threads; i++)
        db_free(p->answer_db[i]);
    db_free(p->db);
    built_unref(p->built);
    shelf_free(p->shelf);
    acks_free(p->acks);
    lkg_close(p->disk);
    if (p->database)
        secret_wipe(p->database, strlen(p->database));
    free(p->database);
    secret_wipe(p->sign_secret, sizeof(p->sign_secret));
    keyring_wipe(&p->disk_ring);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void
publisher_kick(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    p->kicked = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void
publisher_status(struct publisher *p, struct publisher_status *ret_status)
{
    pthread_mutex_lock(&p->lock);
    *ret_status = p->status;
    pthread_mutex_unlock(&p->lock);
}

/* --- the check of a change ----------------------------------------------------------------- */

int
publish_check(struct publisher *p, struct db *db, struct policy **ret_policy, struct buf *why)
{
    struct built *base = p ? publisher_base(p) : NULL;
    struct compile_input in = {.db = db,
                               .secrets = p && secrets_ready(p->secrets) ? p->secrets : NULL,
                               .base = base,
                               .strict = true};
    struct built *b = NULL;
    struct keyring ring = {0};
    int err;

    if (in.secrets) {
        secrets_ring(in.secrets, &ring);
        in.keys = &ring;
    }
    in.providers_before = base ? base->sections->fixed[SECTION_PROVIDERS] : NULL;
    err = compile_config(&in, &b, why);
    if (err == ERR_STALE) { /* we knew more than there is: look at all of it */
        in.base = NULL;
        err = compile_config(&in, &b, why);
    }
    if (!err && ret_policy)
        *ret_policy = policy_ref(b->policy);
    keyring_wipe(&ring);
    built_unref(b);
    built_unref(base);
    return err;
}
