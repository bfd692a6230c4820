#include "controlplane/leases/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"

#define UNITS INT64_C(1048576) /* of safe shares: 1 is so many */

struct holder {
    char *node;
    struct slice name;
    uint32_t slot;
    int64_t started_ms;
    uint64_t sequence;
    uint32_t told, acked; /* the fleet's size; 0: never */
    int64_t heard_ms;
    int64_t noted_ms; /* when it was heard first, or written down again; 0: never */
    size_t holds;     /* of pools that name it */
    bool released;
    bool expected; /* of an earlier leader's, not heard yet, or not all of it */
    bool back;     /* it was silent, and has not said all yet since */
    int64_t back_ms;
    bool gone; /* it said so, or a later process has its slot */
    int64_t gone_ms;
};

struct hold {
    struct holder *holder;
    int64_t held, used, wants;
    int64_t heard_ms;
};

struct pool {
    size_t at; /* among all */
    char *key;
    struct slice name;
    int64_t amount, window_ms;
    struct hold *holds;
    size_t count, cap;
};

struct fleet {
    int64_t life_ms, began_ms;
    struct holder **holders;
    size_t holder_count, holder_cap;
    struct map pools;
    struct pool **all;
    size_t pool_count, pool_cap;
    size_t tended;      /* the pool that is looked at next */
    int64_t longest_ms; /* window there ever was */
};

/* --- life ------------------------------------------------------------------------------------- */

struct fleet *
fleet_new(int64_t life_ms)
{
    struct fleet *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->life_ms = life_ms;
    map_init(&f->pools);
    return f;
}

static void
pool_free(struct pool *p)
{
    free(p->key);
    free(p->holds);
    free(p);
}

static void
holder_free(struct holder *h)
{
    free(h->node);
    free(h);
}

static void
forget_all(struct fleet *f)
{
    for (size_t i = 0; i < f->pool_count; i++)
        pool_free(f->all[i]);
    map_free(&f->pools);
    map_init(&f->pools);
    for (size_t i = 0; i < f->holder_count; i++)
        holder_free(f->holders[i]);
    f->holder_count = f->pool_count = 0;
}

void
fleet_free(struct fleet *f)
{
    if (!f)
        return;
    forget_all(f);
    map_free(&f->pools);
    free(f->all);
    free(f->holders);
    free(f);
}

void
fleet_begin(struct fleet *f, int64_t now_ms)
{
    forget_all(f);
    f->began_ms = now_ms;
}

/* --- holders ---------------------------------------------------------------------------------- */

static struct holder *
find_holder(const struct fleet *f, struct slice node, uint32_t slot, int64_t started_ms)
{
    for (size_t i = 0; i < f->holder_count; i++) {
        struct holder *h = f->holders[i];

        if (h->slot == slot && h->started_ms == started_ms && slice_eq(h->name, node))
            return h;
    }
    return NULL;
}

static int
add_holder(struct fleet *f, struct slice node, uint32_t slot, int64_t started_ms,
           struct holder **ret)
{
    struct holder *h;

    if (f->holder_count >= LIMIT_HOLDERS)
        return ERR_LIMIT;
    if (f->holder_count == f->holder_cap) {
        size_t cap = f->holder_cap ? 2 * f->holder_cap : 16;
        struct holder **all = realloc(f->holders, cap * sizeof(struct holder *));

        if (!all)
            return ERR_NOMEM;
        f->holders = all;
        f->holder_cap = cap;
    }
    if (!(h = calloc(1, sizeof(*h))) || !(h->node = malloc(node.len + 1))) {
        free(h);
        return ERR_NOMEM;
    }
    memcpy(h->node, node.at, node.len);
    h->name = slice_make(h->node, node.len);
    h->slot = slot;
    h->started_ms = started_ms;
    *ret = f->holders[f->holder_count++] = h;
    return 0;
}

int
fleet_expect(struct fleet *f, int64_t now_ms, struct slice node, uint32_t slot, int64_t started_ms)
{
    struct holder *h;
    int err = add_holder(f, node, slot, started_ms, &h);

    if (err)
        return err;
    h->expected = true;
    h->told = h->acked = FLEET_LEAST;
    h->heard_ms = now_ms; /* its lease may be as young as this */
    return 0;
}

/* A slot is locked by its process: earlier ones are dead. What they took may still count. */
static bool
succeed(struct fleet *f, int64_t now_ms, const struct fleet_word *w)
{
    for (size_t i = 0; i < f->holder_count; i++) {
        struct holder *h = f->holders[i];

        if (h->slot != w->slot || h->started_ms == w->started_ms || !slice_eq(h->name, w->node))
            continue;
        if (h->started_ms > w->started_ms)
            return false;
        if (!h->gone) {
            h->gone = true;
            h->gone_ms = now_ms;
        }
    }
    return true;
}

int
fleet_hear(struct fleet *f, int64_t now_ms, const struct fleet_word *w, struct holder **ret_holder)
{
    struct holder *h = find_holder(f, w->node, w->slot, w->started_ms);
    int err;

    if (!succeed(f, now_ms, w) || (h && h->sequence >= w->sequence))
        return ERR_STALE;
    if (!h && (err = add_holder(f, w->node, w->slot, w->started_ms, &h)) != 0)
        return err;
    /* In parts all has been said by the time at which there is nothing to be learned any more. */
    if (!w->partial || now_ms - f->began_ms >= f->life_ms + FLEET_LEARN_MS)
        h->expected = false;
    if (h->sequence && now_ms - h->heard_ms >= f->life_ms) {
        h->back = true;
        h->back_ms = now_ms;
    }
    if (!w->partial || now_ms - h->back_ms >= f->life_ms + FLEET_LEARN_MS)
        h->back = false;
    h->sequence = w->sequence;
    h->acked = w->told;
    h->heard_ms = now_ms;
    h->gone = w->leaving;
    h->gone_ms = now_ms;
    *ret_holder = h;
    if (!h->noted_ms || now_ms - h->noted_ms >= FLEET_NOTE_MS)
        h->noted_ms = now_ms;
    return 0;
}

bool
fleet_is_noted(const struct fleet *f, int64_t now_ms, const struct fleet_word *w)
{
    const struct holder *h = find_holder(f, w->node, w->slot, w->started_ms);

    return h && h->noted_ms && now_ms - h->noted_ms < FLEET_NOTE_MS;
}

bool
fleet_is_released(const struct holder *h)
{
    return h->released;
}

void
fleet_released(struct fleet *f, const struct fleet_word *w)
{
    struct holder *h = find_holder(f, w->node, w->slot, w->started_ms);

    if (h)
        h->released = true;
}

size_t
fleet_live(const struct fleet *f, int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < f->holder_count; i++)
        n += !f->holders[i]->gone && now_ms - f->holders[i]->heard_ms < f->life_ms;
    return n;
}

/* The part of any limit that h may fall back to, in UNITS: of the sizes it may believe in, the
 * smaller. */
static int64_t
safe_units(const struct holder *h)
{
    uint32_t size = h->told && (h->told < h->acked || !h->acked) ? h->told : h->acked;

    return size ? UNITS / size : 0;
}

uint32_t
fleet_size_for(struct fleet *f, int64_t now_ms, struct holder *h)
{
    int64_t left = UNITS;
    uint32_t size = FLEET_LEAST, there = 0;

    (void)now_ms;
    for (size_t i = 0; i < f->holder_count; i++) {
        there += !f->holders[i]->gone;
        if (f->holders[i] != h && !f->holders[i]->gone)
            left -= safe_units(f->holders[i]);
    }
    while (size < there)
        size *= 2;
    /* Others may believe that they are fewer, until they have heard: no more than what is left. */
    while (left > 0 && size <= UNITS && UNITS / size > left)
        size *= 2;
    if (left <= 0)
        size = UINT32_MAX;
    h->told = size;
    return size;
}

bool
fleet_is_learning(const struct fleet *f, int64_t now_ms, int64_t window_ms)
{
    int64_t most = window_ms < FLEET_LEARN_MS ? window_ms : FLEET_LEARN_MS;

    for (size_t i = 0; i < f->holder_count; i++) {
        const struct holder *h = f->holders[i];

        if (!h->expected)
            continue;
        /* Not heard yet; or dead, and what it took just before may still count. */
        if (h->gone ? now_ms - h->gone_ms < most : now_ms - f->began_ms < f->life_ms + most)
            return true;
    }
    return false;
}

/* --- pools ------------------------------------------------------------------------------------ */

static bool
make_room(struct fleet *f)
{
    size_t cap = f->pool_cap ? 2 * f->pool_cap : 64;
    struct pool **all;

    if (f->pool_count < f->pool_cap)
        return true;
    if (!(all = realloc(f->all, cap * sizeof(struct pool *))))
        return false;
    f->all = all;
    f->pool_cap = cap;
    return true;
}

static struct pool *
pool_new(struct fleet *f, struct slice key)
{
    struct pool *p = make_room(f) ? calloc(1, sizeof(*p)) : NULL;

    if (!p || !(p->key = malloc(key.len + 1)))
        goto no_memory;
    memcpy(p->key, key.at, key.len);
    p->name = slice_make(p->key, key.len);
    if (map_put(&f->pools, p->name, p) != 0)
        goto no_memory;
    p->at = f->pool_count++;
    f->all[p->at] = p;
    return p;
no_memory:
    if (p)
        pool_free(p);
    return NULL;
}

static void
forget_pool(struct fleet *f, struct pool *p)
{
    (void)map_remove(&f->pools, p->name);
    f->all[p->at] = f->all[--f->pool_count];
    f->all[p->at]->at = p->at;
    pool_free(p);
}

static struct pool *
pool_of(struct fleet *f, const struct fleet_claim *c, int *ret_err)
{
    struct pool *p = map_find(&f->pools, c->key);

    *ret_err = ERR_NOMEM;
    if (!p && f->pool_count >= LIMIT_POOLS) {
        *ret_err = ERR_LIMIT;
        return NULL;
    }
    if (!p && !(p = pool_new(f, c->key)))
        return NULL;
    p->amount = c->amount;
    p->window_ms = c->window_ms;
    if (f->longest_ms < c->window_ms)
        f->longest_ms = c->window_ms;
    return p;
}

static struct hold *
hold_of(struct pool *p, struct holder *h)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->holds[i].holder == h)
            return &p->holds[i];
    if (p->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 4;
        struct hold *holds = realloc(p->holds, cap * sizeof(*holds));

        if (!holds)
            return NULL;
        p->holds = holds;
        p->cap = cap;
    }
    p->holds[p->count] = (struct hold){.holder = h};
    h->holds++;
    return &p->holds[p->count++];
}

/* When what a hold's owner took of its share can have no effect any more. */
static int64_t
fades_ms(const struct fleet *f, const struct pool *p, const struct hold *x)
{
    /* What is in flight does not end with the lease. */
    int64_t end = x->heard_ms + (p->window_ms ? f->life_ms : FLEET_FORGET_MS);

    if (x->holder->gone && x->holder->gone_ms < end)
        end = x->holder->gone_ms;
    return end + p->window_ms;
}

/* The safe share that h may use, or may have used until lately. */
static int64_t
safe_of(const struct fleet *f, const struct pool *p, const struct holder *h, int64_t now_ms)
{
    /* For how long one has been cut off that this office has never heard, nobody knows. */
    bool silent = h->expected || h->back || now_ms - h->heard_ms >= f->life_ms;
    bool faded = h->gone && now_ms - h->gone_ms >= p->window_ms;

    return silent && !faded ? (int64_t)((__int128)p->amount * safe_units(h) / UNITS) : 0;
}

/* What others may be using of the pool, at the most, but for `self`. */
static int64_t
held_by_others(const struct fleet *f, const struct pool *p, int64_t now_ms,
               const struct holder *self)
{
    int64_t sum = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct hold *x = &p->holds[i];

        if (x->holder == self)
            continue;
        bool counts =
            (!x->holder->gone && now_ms - x->heard_ms < f->life_ms) || now_ms < fades_ms(f, p, x);
        int64_t safe = safe_of(f, p, x->holder, now_ms);
        int64_t held = counts ? x->held : 0;
        sum += held > safe ? held : safe;
    }
    return sum;
}

/* The safe shares of silent ones that never claimed from this pool. */
static int64_t
reserved_for_silent(const struct fleet *f, const struct pool *p, int64_t now_ms)
{
    int64_t sum = 0;

    for (size_t i = 0; i < f->holder_count; i++)
        sum += safe_of(f, p, f->holders[i], now_ms);
    for (size_t k = 0; k < p->count; k++)
        sum -= safe_of(f, p, p->holds[k].holder, now_ms);
    return sum;
}

static int
by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Max-min: the most that anybody may have, so that together they have no more than `room`. */
static int64_t
level_of(int64_t *wants, size_t count, int64_t room)
{
    qsort(wants, count, sizeof(*wants), by_size);
    for (size_t i = 0; i < count; i++) {
        int64_t part = room / (int64_t)(count - i);

        if (wants[i] > part)
            return part;
        room -= wants[i];
    }
    return INT64_MAX;
}

static int64_t
fair_part(const struct fleet *f, const struct pool *p, int64_t now_ms, const struct hold *mine,
          int64_t room)
{
    int64_t wants[LIMIT_HOLDERS]; /* the first n */
    size_t n = 0, before = 0;     /* those before `mine` in line for what is left over */

    for (size_t i = 0; i < p->count && n < LIMIT_HOLDERS; i++) {
        const struct hold *x = &p->holds[i];

        if (!x->holder->gone && now_ms - x->heard_ms < f->life_ms)
            wants[n++] = x->wants;
        else if (now_ms < fades_ms(f, p, x))
            room -= x->held;
    }
    if (n == 0)
        return 0;
    int64_t level = level_of(wants, n, room > 0 ? room : 0);
    if (mine->wants <= level)
        return mine->wants;
    /* Three among two is one each, and one more for the first. */
    for (size_t i = 0; i < n; i++)
        room -= wants[i] < level ? wants[i] : level;
    for (const struct hold *x = p->holds; x < mine; x++)
        before += !x->holder->gone && now_ms - x->heard_ms < f->life_ms && x->wants > level;
    return level + ((int64_t)before < room);
}

static int64_t
in_use(const struct fleet *f, const struct pool *p, int64_t now_ms)
{
    int64_t sum = 0;

    for (size_t i = 0; i < p->count; i++)
        if (now_ms < fades_ms(f, p, &p->holds[i]))
            sum += p->holds[i].used;
    return sum;
}

int
fleet_claim(struct fleet *f, int64_t now_ms, struct holder *h, const struct fleet_claim *c,
            struct fleet_grant *ret)
{
    int err;
    struct pool *p = pool_of(f, c, &err);
    struct hold *x = p ? hold_of(p, h) : NULL;

    if (!x)
        return err;
    *x = (struct hold){h, c->has, c->used, c->wants, now_ms};
    int64_t silent = reserved_for_silent(f, p, now_ms);
    int64_t others = held_by_others(f, p, now_ms, h) + silent;
    int64_t share = fair_part(f, p, now_ms, x, c->amount - silent);

    /* Half of what each of two requests takes lets none of them go on: first come, first served. */
    if (c->need && share - c->used < c->need)
        share = c->amount - others - c->used >= c->need ? c->used + c->need : c->used;
    if (share < c->used)
        share = c->used; /* that is a fact; it may only shrink with time */
    if (share > c->amount - others)
        share = c->amount - others;
    int64_t had = c->dark ? c->used : c->has;
    if (share > had && fleet_is_learning(f, now_ms, c->window_ms))
        share = had;
    if (share < 0 || h->gone)
        share = 0;
    /* Until its next word it may have what it said, or what it is given now. */
    if (share > x->held)
        x->held = share;
    int64_t unused = others - silent;
    for (size_t i = 0; i < p->count; i++)
        if (p->holds[i].holder != h)
            unused -= p->holds[i].used;
    int64_t remaining = c->amount - in_use(f, p, now_ms);
    *ret = (struct fleet_grant){.share = share,
                                .remaining = remaining > 0 ? remaining : 0,
                                .elsewhere = unused > 0 ? unused : 0};
    return 0;
}

/* --- looking and forgetting ------------------------------------------------------------------- */

bool
fleet_held(const struct fleet *f, int64_t now_ms, struct slice key, size_t i,
           struct slice *ret_node, uint32_t *ret_slot, int64_t *ret_held, int64_t *ret_used)
{
    const struct pool *p = map_find(&f->pools, key);

    if (!p || i >= p->count)
        return false;
    const struct hold *x = &p->holds[i];
    bool counts = now_ms < fades_ms(f, p, x);
    *ret_node = x->holder->name;
    *ret_slot = x->holder->slot;
    *ret_held = counts ? x->held : 0;
    *ret_used = counts ? x->used : 0;
    return true;
}

static bool
is_forgotten(const struct fleet *f, const struct holder *h, int64_t now_ms)
{
    int64_t since = h->gone ? h->gone_ms : h->heard_ms + FLEET_FORGET_MS;

    return now_ms - since >= f->life_ms + f->longest_ms;
}

static void
prune(struct fleet *f, struct pool *p, int64_t now_ms)
{
    for (size_t i = 0; i < p->count;) {
        struct hold *x = &p->holds[i];
        /* Nothing is held, and nothing was: what it took before has left the window. */
        bool empty = !x->held && (!x->wants || now_ms - x->heard_ms >= f->life_ms);

        if (!empty && now_ms < fades_ms(f, p, x) && !is_forgotten(f, x->holder, now_ms)) {
            i++;
            continue;
        }
        x->holder->holds--;
        *x = p->holds[--p->count];
    }
}

static void
prune_pools(struct fleet *f, int64_t now_ms)
{
    size_t most = f->pool_count < FLEET_TENDED ? f->pool_count : FLEET_TENDED;

    for (size_t n = 0; n < most && f->pool_count; n++) {
        if (f->tended >= f->pool_count)
            f->tended = 0;
        struct pool *p = f->all[f->tended];

        prune(f, p, now_ms);
        if (p->count == 0)
            forget_pool(f, p); /* another takes its place */
        else
            f->tended++;
    }
}

void
fleet_tend(struct fleet *f, int64_t now_ms)
{
    prune_pools(f, now_ms);
    for (size_t i = 0; i < f->holder_count;) {
        if (is_forgotten(f, f->holders[i], now_ms) && !f->holders[i]->holds) {
            holder_free(f->holders[i]);
            f->holders[i] = f->holders[--f->holder_count];
        } else {
            i++;
        }
    }
}
