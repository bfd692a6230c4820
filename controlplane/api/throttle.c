/* See throttle.h. A bucket is the time at which it will be empty again: a failure moves it on. */
#include "controlplane/api/throttle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/cidr.h"
#include "lib/base/log.h"
#include "lib/base/map.h"

#define WINDOW_NS INT64_C(60000000000)
#define KNOWN_NS (INT64_C(86400) * 1000000000) /* a nightly job stays known */
#define WAYS 8                                 /* places that a key may have */

struct place {
    uint64_t key;     /* of a keyed hash: nobody chooses whom to share one with */
    int64_t until_ns; /* <= now: free */
    int64_t said_ns;  /* when a line was last written about it; 0: never */
};
struct table {
    struct place *places;
    size_t sets; /* of WAYS */
};
struct throttle {
    pthread_mutex_t lock;
    int64_t account_ns, address_ns; /* what one failure weighs */
    struct table buckets, known;    /* under the lock */
    atomic_ullong failures, refusals;
};

enum what { OF_ADDRESS = 1, OF_ACCOUNT, OF_CREDENTIAL };

/* ---- places ---------------------------------------------------------------------------------- */

/* Whoever has a /64 has all addresses in it. */
static struct slice
network_of(const char *peer, struct cidr *room)
{
    const char *why;
    if (cidr_parse(slice_of(peer), room, &why) != 0)
        return slice_of(peer);
    return slice_make((const char *)room->at + 1, room->len == CIDR_BYTES ? 8 : room->len - 1);
}

static uint64_t
key_of(enum what what, const char *peer, struct slice name)
{
    struct {
        uint64_t what, peer, name;
    } parts = {.what = what};
    struct cidr room;
    struct slice network = network_of(peer, &room);
    parts.peer = map_hash(network.at, network.len);
    parts.name = name.at ? map_hash(name.at, name.len) : 0;
    return map_hash(&parts, sizeof(parts));
}

static struct place *
find(const struct table *t, uint64_t key)
{
    struct place *set = t->places + key % t->sets * WAYS;
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].key == key)
            return &set[i];
    return NULL;
}

/* Found or made, in the place of the one that is over first. */
static struct place *
take(const struct table *t, uint64_t key)
{
    struct place *found = find(t, key), *set = t->places + key % t->sets * WAYS;
    if (found)
        return found;
    found = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].until_ns < found->until_ns)
            found = &set[i];
    *found = (struct place){.key = key};
    return found;
}

/* ---- buckets --------------------------------------------------------------------------------- */

/* How long until one more failure has room. */
static int64_t
wait_ns(const struct throttle *t, uint64_t key, int64_t weight_ns, int64_t now_ns)
{
    const struct place *p = find(&t->buckets, key);
    int64_t room_at_ns = p ? p->until_ns - WINDOW_NS + weight_ns : now_ns;
    return room_at_ns > now_ns ? room_at_ns - now_ns : 0;
}

/* true: it is full now, and that has not been said lately. */
static bool
charge(struct throttle *t, uint64_t key, int64_t weight_ns, int64_t now_ns)
{
    struct place *p = take(&t->buckets, key);
    p->until_ns = (p->until_ns > now_ns ? p->until_ns : now_ns) + weight_ns;
    if (p->until_ns - WINDOW_NS + weight_ns <= now_ns ||
        (p->said_ns && now_ns - p->said_ns < WINDOW_NS))
        return false;
    p->said_ns = now_ns;
    return true;
}

int
throttle_wait_s(struct throttle *t, const struct attempt_by *by, int64_t now_ns)
{
    int64_t wait = 0, more = 0;
    if (!t)
        return 0;
    pthread_mutex_lock(&t->lock);
    wait = wait_ns(t, key_of(OF_ADDRESS, by->peer, slice_none()), t->address_ns, now_ns);
    if (by->account.at)
        more = wait_ns(t, key_of(OF_ACCOUNT, by->peer, by->account), t->account_ns, now_ns);
    wait = more > wait ? more : wait;
    if (wait > 0 && by->credential.at) {
        const struct place *p = find(&t->known, key_of(OF_CREDENTIAL, by->peer, by->credential));
        wait = p && p->until_ns > now_ns ? 0 : wait;
    }
    pthread_mutex_unlock(&t->lock);
    if (wait == 0)
        return 0;
    atomic_fetch_add(&t->refusals, 1);
    return (int)((wait + 999999999) / 1000000000);
}

void
throttle_failed(struct throttle *t, const struct attempt_by *by, int64_t now_ns)
{
    bool account_full = false;
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    bool address_full =
        charge(t, key_of(OF_ADDRESS, by->peer, slice_none()), t->address_ns, now_ns);
    if (by->account.at)
        account_full = charge(t, key_of(OF_ACCOUNT, by->peer, by->account), t->account_ns, now_ns);
    struct place *p =
        by->credential.at ? find(&t->known, key_of(OF_CREDENTIAL, by->peer, by->credential)) : NULL;
    if (p)
        *p = (struct place){0}; /* it was good once */
    pthread_mutex_unlock(&t->lock);
    atomic_fetch_add(&t->failures, 1);
    if (address_full)
        log_warn("api.throttled", F_STR("peer", by->peer), F_STR("by", "address"));
    if (account_full)
        log_warn("api.throttled", F_STR("peer", by->peer), F_STR("by", "account"),
                 F_SLICE("account", by->said));
}

void
throttle_passed(struct throttle *t, const struct attempt_by *by, int64_t now_ns)
{
    if (!t)
        return;
    uint64_t key = key_of(OF_CREDENTIAL, by->peer, by->credential);
    pthread_mutex_lock(&t->lock);
    take(&t->known, key)->until_ns = now_ns + KNOWN_NS;
    pthread_mutex_unlock(&t->lock);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct throttle_counts
throttle_counts(const struct throttle *t)
{
    struct throttle_counts c = {0, 0};
    if (t)
        c = (struct throttle_counts){atomic_load(&t->failures), atomic_load(&t->refusals)};
    return c;
}

struct throttle *
throttle_new(long per_minute)
{
    struct throttle *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->account_ns = WINDOW_NS / per_minute;
    t->address_ns = t->account_ns / THROTTLE_ADDRESS_TIMES;
    t->buckets = (struct table){calloc(LIMIT_THROTTLE_BUCKETS, sizeof(struct place)),
                                LIMIT_THROTTLE_BUCKETS / WAYS};
    t->known = (struct table){calloc(LIMIT_THROTTLE_KNOWN, sizeof(struct place)),
                              LIMIT_THROTTLE_KNOWN / WAYS};
    if (t->buckets.places && t->known.places)
        return t;
    throttle_free(t);
    return NULL;
}

void
throttle_free(struct throttle *t)
{
    if (!t)
        return;
    free(t->buckets.places);
    free(t->known.places);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
