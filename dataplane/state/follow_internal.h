/*
 * Guts of the follower, shared by follow.c (when to look, what to tell) and fetch.c (getting one
 * root in force).
 */
#ifndef DATAPLANE_STATE_FOLLOW_INTERNAL_H
#define DATAPLANE_STATE_FOLLOW_INTERNAL_H

#include "dataplane/state/follow.h"
#include "dataplane/state/helper.h"
#include "lib/policy/lkg.h"

#define LIMIT_TRUSTED_KEYS 8
#define FOLLOW_PULL_MS 10000

struct fetch;

/* A root by its numbers and the digest of its envelope. */
struct root_mark {
    uint64_t epoch, version;
    unsigned char digest[SHA256_BYTES];
};

struct follow {
    struct follow_options o;
    struct channel *channel;
    struct lkg *lkg;
    struct helper *compiler, *disk;
    struct bus_worker identity;
    char node[64], host[64], cluster_id[64]; /* cluster "": the first one seen is accepted */
    unsigned char keys[LIMIT_TRUSTED_KEYS][SIGN_PUBLIC_BYTES];
    size_t key_count;
    struct keyring ring; /* of sealing keys */

    struct root_mark held, head, refused;
    bool has_held, has_head, has_refused;
    bool refused_final;    /* the refused one would be refused again */
    bool asked_newest;     /* while we hold nothing: newest and last good in turns */
    bool disk_whole;       /* what is held is on disk with all its sections */
    int64_t disk_retry_ms; /* not again before this */
    int64_t not_after_ms, applied_wall_ms;
    int64_t contact_ms, started_ms; /* monotonic */
    bool from_disk;

    struct fetch *fetch; /* NULL: none is going on */
    unsigned failures;   /* in a row: the back-off */
    struct timer pull, beat;
    struct channel_call *beat_call, *applied_call;
    uint64_t applied, disk_errors, fetch_errors;
    uint64_t refusals[SNAPSHOT_REFUSALS];
};

/* --- fetch.c --- */

/* Gets the newest root (or the last accepted one) and puts it in force; ends with follow_fetched()
 * or follow_refused(), never before it returns. Nothing when one is going on. */
void fetch_start(struct follow *f, bool last_good);
void fetch_cancel(struct fetch *x); /* NULL is fine */

/* --- follow.c: how a fetch ends, all from the loop --- */

enum fetch_end {
    FETCH_SAME, /* there is nothing newer */
    FETCH_IN_FORCE,
    FETCH_FAILED, /* the bus, or a section that was superseded meanwhile: again soon */
};
void follow_fetched(struct follow *f, enum fetch_end end);
/* final: the same bytes would be refused again. */
void follow_refused(struct follow *f, enum snapshot_refusal why, bool final,
                    const struct root_mark *mark, struct slice detail);
/* Takes next. */
void follow_swap(struct follow *f, struct policy *next, const struct root_mark *mark,
                 const struct snapshot_root *root);
void follow_heard(struct follow *f); /* the control plane has answered */
/* The announced head is neither what we hold, nor older, nor what we have refused for good. */
bool follow_head_is_news(const struct follow *f);

#endif
