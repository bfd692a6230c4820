/*
 * One attempt to put a root in force: ask for it, verify it, ask for the sections that are missing
 * (a few at a time), compile on the helper thread, swap, save. A struct fetch lives from the
 * question to the end of the save; the follower knows it until the swap.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/state/follow_internal.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define ROOT_TIMEOUT_MS 10000
#define SECTION_TIMEOUT_MS 30000
#define PARALLEL 4    /* sections asked for at a time */
#define LIMIT_SAVES 4 /* waiting for a slow disk; what is over is saved at a later version */
#define LIMIT_WHY_BYTES 512
#define SETTLE_BYTES ((size_t)4 << 20) /* of sections; less is soon used again */

struct slot { /* of a section that is being asked for */
    struct fetch *fetch;
    struct channel_call *call; /* NULL: free */
    size_t section;
};

struct fetch {
    struct helper_job compile, save;
    struct follow *follow;
    struct channel_call *root_call;
    struct slot slots[PARALLEL];
    struct buf envelope;
    struct root_mark mark;
    struct arena arena; /* of the root */
    struct snapshot_root root;
    struct buf *sections; /* one a section; empty: not needed, or not yet there */
    bool *missing;
    size_t next; /* the first section that was not looked at */
    bool resave; /* in force already, but not whole on disk */
    /* for the helper threads, and from them */
    struct policy *previous, *policy;
    struct keyring ring;
    struct lkg *lkg;
    enum snapshot_refusal refusal;
    int save_err;
    struct buf why;
};

static void
fetch_free(struct fetch *x)
{
    for (size_t i = 0; x->sections && i < x->root.count; i++)
        buf_free(&x->sections[i]);
    free(x->sections);
    free(x->missing);
    buf_free(&x->envelope);
    buf_free(&x->why);
    arena_free(&x->arena);
    policy_unref(x->previous);
    policy_unref(x->policy);
    keyring_wipe(&x->ring);
    free(x);
}

/* No call of ours is in flight afterwards. */
static void
drop_calls(struct fetch *x)
{
    if (x->root_call)
        channel_cancel(x->root_call);
    x->root_call = NULL;
    for (size_t i = 0; i < PARALLEL; i++) {
        if (x->slots[i].call)
            channel_cancel(x->slots[i].call);
        x->slots[i].call = NULL;
    }
}

static void
end(struct fetch *x, enum fetch_end how)
{
    struct follow *f = x->follow;

    drop_calls(x);
    f->fetch = NULL;
    fetch_free(x);
    follow_fetched(f, how);
}

static void
end_refused(struct fetch *x, enum snapshot_refusal why, bool final, struct slice detail)
{
    struct follow *f = x->follow;
    struct root_mark mark = x->mark;
    char text[LIMIT_WHY_BYTES];
    int n = snprintf(text, sizeof(text), "%.*s", SLICE_ARG(detail));
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

    drop_calls(x);
    f->fetch = NULL;
    fetch_free(x);
    follow_refused(f, why, final, &mark, slice_make(text, len));
}

/* --- what is left over ----------------------------------------------------------------------- */

struct settling {
    struct helper_job job; /* the first member */
    struct policy *policy; /* counted */
};

static void
settle_run(struct helper_job *job)
{
    malloc_trim(0); /* first: it takes large pages apart */
    policy_settle(((struct settling *)(void *)job)->policy);
}

static void
settle_end(struct helper_job *job)
{
    policy_unref(((struct settling *)(void *)job)->policy);
    free(job);
}

/* The end of one that went well. What many sections came in, and the policy before, is a good part
 * of a worker's memory: the allocator gives such holes back to the system only when it is told to.
 */
static void
finish(struct fetch *x)
{
    struct follow *f = x->follow;
    struct settling *s = NULL;
    size_t bytes = 0;

    for (size_t i = 0; i < x->root.count; i++)
        bytes += x->sections[i].len;
    fetch_free(x);
    if (bytes >= SETTLE_BYTES && f->disk)
        s = calloc(1, sizeof(*s));
    if (!s)
        return;
    s->policy = pin_get(f->o.pin);
    s->job = (struct helper_job){.run = settle_run, .done = settle_end, .drop = settle_end};
    helper_submit(f->disk, &s->job);
}

/* --- saving ---------------------------------------------------------------------------------- */

static struct fetch *
of_save(struct helper_job *job)
{
    return (struct fetch *)(void *)((char *)job - offsetof(struct fetch, save));
}

static void
save_run(struct helper_job *job)
{
    struct fetch *x = of_save(job);
    struct slice *bytes = calloc(x->root.count + 1, sizeof(*bytes));

    x->save_err = ERR_NOMEM;
    for (size_t i = 0; bytes && i < x->root.count; i++)
        if (x->missing[i])
            bytes[i] = x->sections[i].len ? buf_slice(&x->sections[i]) : SLICE("");
    if (bytes)
        x->save_err = lkg_save(x->lkg, buf_slice(&x->envelope), &x->root, bytes);
    free(bytes);
}

static void
save_done(struct helper_job *job)
{
    struct fetch *x = of_save(job);
    struct follow *f = x->follow;

    f->disk_whole = x->save_err == 0;
    if (x->save_err) {
        f->disk_errors++;
        f->disk_retry_ms =
            loop_now_ms(f->o.loop) + 6 * (f->o.pull_ms ? f->o.pull_ms : FOLLOW_PULL_MS);
        log_error("policy.save_failed", F_INT("version", x->mark.version), F_ERR(x->save_err));
    }
    finish(x);
}

static void
save_drop(struct helper_job *job)
{
    fetch_free(of_save(job));
}

/* Takes x. A disk that cannot keep up is not waited for: a later version is saved whole. */
static void
save_start(struct fetch *x)
{
    struct follow *f = x->follow;

    if (!f->lkg || helper_pending(f->disk) >= LIMIT_SAVES) {
        f->disk_whole = false;
        finish(x);
        return;
    }
    x->lkg = f->lkg;
    x->save = (struct helper_job){.run = save_run, .done = save_done, .drop = save_drop};
    helper_submit(f->disk, &x->save);
}

/* --- compiling ------------------------------------------------------------------------------- */

static struct fetch *
of_compile(struct helper_job *job)
{
    return (struct fetch *)(void *)((char *)job - offsetof(struct fetch, compile));
}

static enum snapshot_refusal
refusal_of(int err)
{
    if (err == ERR_EXISTS)
        return SNAPSHOT_DUPLICATE;
    if (err == ERR_LIMIT)
        return SNAPSHOT_OVERSIZE;
    return err == ERR_NOMEM ? SNAPSHOT_NOMEM : SNAPSHOT_MEANING;
}

/* Every byte that came is checked against the signed root before it is read. */
static enum snapshot_refusal
check_sections(struct fetch *x)
{
    for (size_t i = 0; i < x->root.count; i++) {
        enum snapshot_refusal r = SNAPSHOT_FINE;

        if (x->missing[i])
            r = snapshot_check_section(&x->root.sections[i], buf_slice(&x->sections[i]));
        if (r != SNAPSHOT_FINE) {
            if (buf_addf(&x->why, "section %.*s", SLICE_ARG(x->root.sections[i].name)) != 0)
                buf_clear(&x->why);
            return r;
        }
    }
    return SNAPSHOT_FINE;
}

static enum snapshot_refusal
compile(struct fetch *x)
{
    struct policy_section *all = calloc(x->root.count + 1, sizeof(*all));
    struct policy_input in = {.epoch = x->root.epoch,
                              .version = x->root.version,
                              .revision = x->root.revision,
                              .sections = all,
                              .count = x->root.count,
                              .previous = x->previous,
                              .keys = &x->ring};
    int err;

    if (!all)
        return SNAPSHOT_NOMEM;
    for (size_t i = 0; i < x->root.count; i++) {
        all[i].name = x->root.sections[i].name;
        if (x->missing[i])
            all[i].bytes = x->sections[i].len ? buf_slice(&x->sections[i]) : SLICE("");
        memcpy(all[i].digest, x->root.sections[i].sha256, SHA256_BYTES);
    }
    err = policy_compile(&in, &x->policy, &x->why);
    free(all);
    return err ? refusal_of(err) : SNAPSHOT_FINE;
}

static void
compile_run(struct helper_job *job)
{
    struct fetch *x = of_compile(job);

    x->refusal = check_sections(x);
    if (x->refusal == SNAPSHOT_FINE && !x->resave)
        x->refusal = compile(x);
}

static void
compile_done(struct helper_job *job)
{
    struct fetch *x = of_compile(job);
    struct follow *f = x->follow;
    struct policy *next = x->policy;

    if (x->refusal != SNAPSHOT_FINE) {
        /* damage and want of memory may pass; a meaning does not */
        bool final = x->refusal != SNAPSHOT_TORN && x->refusal != SNAPSHOT_NOMEM;

        end_refused(x, x->refusal, final, buf_slice(&x->why));
        return;
    }
    x->policy = NULL;
    f->fetch = NULL;
    if (next)
        follow_swap(f, next, &x->mark, &x->root);
    save_start(x);
    follow_fetched(f, next ? FETCH_IN_FORCE : FETCH_SAME);
}

static void
compile_drop(struct helper_job *job)
{
    fetch_free(of_compile(job));
}

static void
compile_start(struct fetch *x)
{
    struct follow *f = x->follow;

    x->previous = pin_get(f->o.pin);
    x->ring = f->ring;
    x->compile =
        (struct helper_job){.run = compile_run, .done = compile_done, .drop = compile_drop};
    helper_submit(f->compiler, &x->compile);
}

/* --- sections -------------------------------------------------------------------------------- */

static void ask_more(struct fetch *x);

static int
take_section(struct fetch *x, size_t i, struct slice reply)
{
    struct bus_reply r;
    struct arena arena;
    int err;

    arena_init(&arena, 65536);
    err = bus_reply_decode(reply, &arena, &r);
    if (!err && (r.status != BUS_OK || !r.section.at))
        err = ERR_NOT_FOUND; /* superseded meanwhile */
    if (!err && r.section.len > x->root.sections[i].size)
        err = ERR_LIMIT;
    if (!err)
        err = buf_add_slice(&x->sections[i], r.section);
    arena_free(&arena);
    return err;
}

static void
on_section(void *ctx, int err, struct slice reply)
{
    struct slot *slot = ctx;
    struct fetch *x = slot->fetch;

    slot->call = NULL;
    if (!err) {
        follow_heard(x->follow);
        err = take_section(x, slot->section, reply);
    }
    if (err) {
        log_info("policy.section_failed", F_SLICE("section", x->root.sections[slot->section].name),
                 F_ERR(err));
        end(x, FETCH_FAILED);
        return;
    }
    ask_more(x);
}

/* q: all but the message. */
static int
request(struct fetch *x, const struct bus_request *r, struct channel_question q,
        struct channel_call **ret_call)
{
    struct buf message;
    int err;

    buf_init(&message, 0);
    err = bus_request_encode(r, &message);
    if (!err) {
        q.message = buf_slice(&message);
        *ret_call = channel_request(x->follow->channel, &q);
        err = *ret_call ? 0 : ERR_NOMEM;
    }
    buf_free(&message);
    return err;
}

static int
ask_section(struct fetch *x, struct slot *slot, size_t i)
{
    struct bus_request r = {.from = x->follow->identity, .kind = BUS_GET_SECTION};
    struct channel_question q = {.timeout_ms = SECTION_TIMEOUT_MS,
                                 .is_answer = bus_is_answer,
                                 .on_reply = on_section,
                                 .ctx = slot};

    memcpy(r.sha256, x->root.sections[i].sha256, SHA256_BYTES);
    slot->section = i;
    return request(x, &r, q, &slot->call);
}

/* Fills free slots; when none is in use and nothing is left to ask for, all is there. */
static void
ask_more(struct fetch *x)
{
    bool busy = false;

    for (size_t i = 0; i < PARALLEL; i++) {
        struct slot *slot = &x->slots[i];

        while (!slot->call && x->next < x->root.count) {
            if (x->missing[x->next] && ask_section(x, slot, x->next) != 0) {
                end(x, FETCH_FAILED);
                return;
            }
            x->next++;
        }
        busy = busy || slot->call;
    }
    if (!busy)
        compile_start(x);
}

static bool
disk_wants_more(const struct follow *f)
{
    return f->lkg && !f->disk_whole && helper_pending(f->disk) == 0 &&
           loop_now_ms(f->o.loop) >= f->disk_retry_ms;
}

/* What the policy in force does not hold, and what the disk lacks. */
static int
find_missing(struct fetch *x)
{
    struct follow *f = x->follow;
    const struct policy *now = pin_peek(f->o.pin);
    bool look_on_disk = disk_wants_more(f);

    x->sections = calloc(x->root.count + 1, sizeof(*x->sections));
    x->missing = calloc(x->root.count + 1, sizeof(*x->missing));
    if (!x->sections || !x->missing)
        return ERR_NOMEM;
    for (size_t i = 0; i < x->root.count; i++) {
        const struct section_ref *ref = &x->root.sections[i];

        buf_init(&x->sections[i], LIMIT_SECTION_BYTES);
        x->missing[i] = !now || !policy_has_section(now, ref->name, ref->sha256) ||
                        (look_on_disk && !lkg_has_section(f->lkg, ref));
    }
    return 0;
}

/* --- the root -------------------------------------------------------------------------------- */

static bool
same_digest(const struct root_mark *a, const struct root_mark *b)
{
    return memcmp(a->digest, b->digest, SHA256_BYTES) == 0;
}

static enum snapshot_refusal
open_root(struct fetch *x)
{
    struct follow *f = x->follow;
    struct snapshot_trust trust = {
        .public_keys = (const unsigned char(*)[SIGN_PUBLIC_BYTES])f->keys,
        .key_count = f->key_count,
        .cluster_id = slice_of(f->cluster_id),
        .now_wall_ms = clock_wall_ms(),
        .avoid_epoch = f->o.avoid_epoch,
        .avoid_version = f->o.avoid_version,
    };
    enum snapshot_refusal r = snapshot_open(buf_slice(&x->envelope), &trust, &x->arena, &x->root);

    if (r != SNAPSHOT_FINE) {
        x->root.count = 0;
        return r;
    }
    x->mark.epoch = x->root.epoch;
    x->mark.version = x->root.version;
    if (!f->has_held || x->resave)
        return SNAPSHOT_FINE;
    return snapshot_order(f->held.epoch, f->held.version, f->held.digest, x->mark.epoch,
                          x->mark.version, x->mark.digest);
}

/* The envelope is here: is it new, is it right, what is missing? */
static void
take_root(struct fetch *x)
{
    struct follow *f = x->follow;
    enum snapshot_refusal r;
    bool held, known_bad;

    hash_sha256(x->envelope.at, x->envelope.len, x->mark.digest);
    held = f->has_held && same_digest(&x->mark, &f->held);
    known_bad = f->has_refused && f->refused_final && same_digest(&x->mark, &f->refused);
    if (held)
        f->from_disk = false;
    x->resave = held && disk_wants_more(f);
    if ((held && !x->resave) || known_bad) {
        end(x, FETCH_SAME);
        return;
    }
    r = open_root(x);
    if (r != SNAPSHOT_FINE)
        end_refused(x, r, r != SNAPSHOT_TORN && r != SNAPSHOT_NOMEM, SLICE(""));
    else if (find_missing(x) != 0)
        end(x, FETCH_FAILED);
    else {
        if (f->o.on_candidate && !x->resave)
            f->o.on_candidate(f->o.ctx, x->mark.epoch, x->mark.version);
        ask_more(x);
    }
}

static int
take_envelope(struct fetch *x, struct slice reply, bool *ret_none)
{
    struct bus_reply r;
    struct arena arena;
    int err;

    arena_init(&arena, 4 * LIMIT_ROOT_BYTES);
    err = bus_reply_decode(reply, &arena, &r);
    *ret_none = !err && r.status == BUS_NOT_FOUND;
    if (!err && (r.status != BUS_OK || !r.envelope.at))
        err = ERR_NOT_FOUND;
    if (!err)
        err = buf_add_slice(&x->envelope, r.envelope);
    arena_free(&arena);
    return err;
}

/* A control plane may be behind the one that leads, for a moment: what is older than what we hold,
 * or the same though another is announced, is no answer as long as somebody else may be asked. */
static bool
is_behind(const struct follow *f, struct slice envelope)
{
    struct snapshot_root root;
    struct root_mark mark = {0};
    struct arena arena;
    bool behind = false;

    if (!f->has_held)
        return false;
    hash_sha256(envelope.at, envelope.len, mark.digest);
    if (same_digest(&mark, &f->held))
        return follow_head_is_news(f);
    arena_init(&arena, 16 * LIMIT_ROOT_BYTES);
    if (snapshot_peek(envelope, &arena, &root) == SNAPSHOT_FINE)
        behind = snapshot_order(f->held.epoch, f->held.version, f->held.digest, root.epoch,
                                root.version, mark.digest) == SNAPSHOT_OLD;
    arena_free(&arena);
    return behind;
}

static bool
root_is_answer(void *ctx, struct slice reply)
{
    const struct fetch *x = ctx;
    struct bus_reply r;
    struct arena arena;
    bool answer;

    arena_init(&arena, 4 * LIMIT_ROOT_BYTES);
    answer = bus_reply_decode(reply, &arena, &r) == 0 && r.status == BUS_OK && r.envelope.at &&
             !is_behind(x->follow, r.envelope);
    arena_free(&arena);
    return answer;
}

static void
on_root(void *ctx, int err, struct slice reply)
{
    struct fetch *x = ctx;
    bool none = false;

    x->root_call = NULL;
    if (!err) {
        follow_heard(x->follow);
        err = take_envelope(x, reply, &none);
    }
    if (none)
        end(x, FETCH_SAME); /* the control plane has none yet: it will announce one */
    else if (err)
        end(x, FETCH_FAILED);
    else
        take_root(x);
}

void
fetch_start(struct follow *f, bool last_good)
{
    struct bus_request r = {.from = f->identity, .kind = BUS_GET_ROOT, .last_good = last_good};
    struct channel_question q = {
        .timeout_ms = ROOT_TIMEOUT_MS, .is_answer = root_is_answer, .on_reply = on_root};
    struct fetch *x;

    if (f->fetch || !f->channel)
        return;
    x = calloc(1, sizeof(*x));
    if (!x)
        return; /* the timer asks again */
    x->follow = f;
    arena_init(&x->arena, 16 * LIMIT_ROOT_BYTES);
    buf_init(&x->envelope, LIMIT_ENVELOPE_BYTES);
    buf_init(&x->why, LIMIT_WHY_BYTES);
    for (size_t i = 0; i < PARALLEL; i++)
        x->slots[i].fetch = x;
    q.ctx = x;
    if (request(x, &r, q, &x->root_call) != 0) {
        fetch_free(x);
        return;
    }
    f->fetch = x;
}

/* While the helper compiles it is the helper's; helper_free() drops it. */
void
fetch_cancel(struct fetch *x)
{
    if (!x || x->compile.run)
        return;
    drop_calls(x);
    fetch_free(x);
}
