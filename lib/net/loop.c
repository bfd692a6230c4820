/*
 * The loop on libevent. One turn: arm the tick for the nearest timer, let libevent wait once and
 * call what is ready; after each callback run the queued tasks and free the buried.
 *
 * Timers live in a wheel of three levels (10 ms, 2.56 s, 164 s a slot) and move down as their time
 * comes near; libevent sees one timer, the tick. Slots are circles with a sentinel, so that a timer
 * can be taken out without knowing which slot it is in.
 */
#include "lib/net/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/net/loop_internal.h"

#define TICK_MS 10
#define LEVELS 3
#define FIRST_BITS 8
#define UPPER_BITS 6
#define FIRST_SLOTS (1u << FIRST_BITS)
#define UPPER_SLOTS (1u << UPPER_BITS)
#define SPAN_TICKS (INT64_C(1) << (FIRST_BITS + 2 * UPPER_BITS))
/* Tasks after one callback; what is left waits for the next turn, which comes at once. */
#define TASKS_AT_ONCE 4096
#define ROUNDS_AT_TURNS_END 16
#define BLOCKS_KEPT 16
#define GRAVES_FIRST 64

/* A slot is the sentinel of its circle: its layout is that of struct timer's link. */
struct slot {
    struct timer *first;
    struct timer **last;
};
static_assert(offsetof(struct timer, link) == 0, "a slot stands in for a timer");

struct wheel {
    int64_t tick;      /* all slots up to here have run */
    int64_t next_tick; /* no timer is due before this one; INT64_MAX: none */
    size_t count;
    uint64_t first_used[FIRST_SLOTS / 64]; /* a bit may be stale, never missing */
    uint64_t upper_used[LEVELS - 1];
    struct slot first[FIRST_SLOTS];
    struct slot upper[LEVELS - 1][UPPER_SLOTS];
};

struct grave {
    void *corpse;
    void (*destroy)(void *);
};

struct graveyard {
    struct grave *graves;
    size_t len, cap;
};

struct loop {
    struct event_base *base;
    struct event *tick_event;
    int64_t armed_tick; /* what tick_event waits for; 0: nothing */
    int64_t now_ns;
    bool sampled; /* now_ns is of this turn */
    bool running;
    bool stopping;
    STAILQ_HEAD(task_list, task) tasks;
    struct task_list turn_tasks; /* for when this turn is over */
    struct graveyard graves;     /* freed after this callback */
    struct graveyard late[2];    /* freed after this turn, and after the next */
    TAILQ_HEAD(, orphan) orphans;
    char *scratch;
    char *blocks[BLOCKS_KEPT];
    size_t blocks_len;
    struct wheel wheel;
};

/* --- the wheel ------------------------------------------------------------------------------- */

static struct timer *
slot_end(struct slot *s)
{
    return (struct timer *)(void *)s;
}

static void
slot_init(struct slot *s)
{
    s->first = slot_end(s);
    s->last = &s->first;
}

static bool
slot_is_empty(struct slot *s)
{
    return s->first == slot_end(s);
}

static void
slot_push(struct slot *s, struct timer *t)
{
    t->link.tqe_next = slot_end(s);
    t->link.tqe_prev = s->last;
    *s->last = t;
    s->last = &t->link.tqe_next;
}

static void
slot_remove(struct timer *t)
{
    *t->link.tqe_prev = t->link.tqe_next;
    t->link.tqe_next->link.tqe_prev = t->link.tqe_prev;
}

/* Moves the whole circle to an empty one. */
static void
slot_move(struct slot *from, struct slot *to)
{
    slot_init(to);
    if (slot_is_empty(from))
        return;
    to->first = from->first;
    to->first->link.tqe_prev = &to->first;
    to->last = from->last;
    *to->last = slot_end(to);
    slot_init(from);
}

static void
wheel_init(struct wheel *w, int64_t now_ms)
{
    w->tick = now_ms / TICK_MS;
    w->next_tick = INT64_MAX;
    for (size_t i = 0; i < FIRST_SLOTS; i++)
        slot_init(&w->first[i]);
    for (size_t level = 0; level < LEVELS - 1; level++)
        for (size_t i = 0; i < UPPER_SLOTS; i++)
            slot_init(&w->upper[level][i]);
}

/* earliest: the first slot that has not run yet. */
static void
wheel_put(struct wheel *w, struct timer *t, int64_t earliest)
{
    int64_t tick = (t->due_ms + TICK_MS - 1) / TICK_MS; /* never early */
    if (tick < earliest)
        tick = earliest;
    int64_t ahead = tick - w->tick;
    if (ahead >= SPAN_TICKS)
        tick = w->tick + SPAN_TICKS - 1; /* comes back here when that slot moves down */
    size_t at;
    if (ahead < FIRST_SLOTS) {
        at = (size_t)tick % FIRST_SLOTS;
        w->first_used[at / 64] |= UINT64_C(1) << (at % 64);
        slot_push(&w->first[at], t);
    } else {
        size_t level = ahead < (FIRST_SLOTS << UPPER_BITS) ? 0 : 1;
        unsigned shift = FIRST_BITS + (unsigned)level * UPPER_BITS;
        at = (size_t)(tick >> shift) % UPPER_SLOTS;
        w->upper_used[level] |= UINT64_C(1) << at;
        slot_push(&w->upper[level][at], t);
        tick = (tick >> shift) << shift; /* when it moves down */
    }
    if (tick < w->next_tick)
        w->next_tick = tick;
}

/* Timers of an upper slot whose time has come move to where they belong now. */
static void
wheel_move_down(struct wheel *w, size_t level)
{
    unsigned shift = FIRST_BITS + (unsigned)level * UPPER_BITS;
    size_t at = (size_t)(w->tick >> shift) % UPPER_SLOTS;
    struct slot moving;
    slot_move(&w->upper[level][at], &moving);
    w->upper_used[level] &= ~(UINT64_C(1) << at);
    while (!slot_is_empty(&moving)) {
        struct timer *t = moving.first;
        slot_remove(t);
        wheel_put(w, t, w->tick); /* the slot of this very tick runs after this */
    }
}

/* The first used slot of a ring after `from`, as a distance of 1..slots; 0: none. */
static size_t
ring_next(const uint64_t *used, size_t slots, size_t from)
{
    for (size_t step = 1; step <= slots;) {
        size_t at = (from + step) % slots;
        uint64_t word = used[at / 64] >> (at % 64);
        if (word != 0) {
            size_t found = step + (size_t)__builtin_ctzll(word);
            return found <= slots ? found : 0;
        }
        step += 64 - at % 64;
    }
    return 0;
}

static int64_t
wheel_find_next(struct wheel *w)
{
    int64_t next = INT64_MAX;
    size_t from = (size_t)w->tick % FIRST_SLOTS;
    size_t step;
    while ((step = ring_next(w->first_used, FIRST_SLOTS, from)) != 0) {
        size_t at = (from + step) % FIRST_SLOTS;
        if (!slot_is_empty(&w->first[at])) {
            next = w->tick + (int64_t)step;
            break;
        }
        w->first_used[at / 64] &= ~(UINT64_C(1) << (at % 64));
    }
    for (size_t level = 0; level < LEVELS - 1; level++) {
        unsigned shift = FIRST_BITS + (unsigned)level * UPPER_BITS;
        int64_t turn = w->tick >> shift;
        while ((step = ring_next(&w->upper_used[level], UPPER_SLOTS, (size_t)turn % UPPER_SLOTS))) {
            size_t at = (size_t)(turn + (int64_t)step) % UPPER_SLOTS;
            if (!slot_is_empty(&w->upper[level][at])) {
                int64_t tick = (turn + (int64_t)step) << shift;
                next = tick < next ? tick : next;
                break;
            }
            w->upper_used[level] &= ~(UINT64_C(1) << at);
        }
    }
    return next;
}

static void
timer_fire(struct loop *l, struct timer *t)
{
    slot_remove(t);
    t->loop = NULL;
    l->wheel.count--;
    t->on_due(t->ctx);
    loop_leave(l);
}

static void
wheel_run(struct loop *l)
{
    struct wheel *w = &l->wheel;
    int64_t now_tick = l->now_ns / 1000000 / TICK_MS;
    while (w->tick < now_tick && !l->stopping) {
        if (w->next_tick > now_tick) {
            w->tick = now_tick;
            return;
        }
        if (w->tick + 1 < w->next_tick)
            w->tick = w->next_tick - 1;
        w->tick++;
        for (size_t level = LEVELS - 1; level-- > 0;)
            if ((w->tick & ((INT64_C(1) << (FIRST_BITS + level * UPPER_BITS)) - 1)) == 0)
                wheel_move_down(w, level);
        struct slot due;
        slot_move(&w->first[(size_t)w->tick % FIRST_SLOTS], &due);
        while (!slot_is_empty(&due))
            timer_fire(l, due.first);
        w->next_tick = w->count ? wheel_find_next(w) : INT64_MAX;
    }
}

static void
sample(struct loop *l)
{
    struct wheel *w = &l->wheel;
    l->now_ns = clock_mono_ns();
    l->sampled = true;
    int64_t now_tick = l->now_ns / 1000000 / TICK_MS;
    if (w->next_tick > now_tick)
        w->tick = now_tick; /* nothing is due on the way, no slot to move down */
}

void
timer_set(struct timer *t, struct loop *l, int64_t after_ms, void (*on_due)(void *), void *ctx)
{
    timer_cancel(t);
    if (!l->running)
        sample(l);
    t->loop = l;
    t->on_due = on_due;
    t->ctx = ctx;
    t->due_ms = loop_now_ms(l) + (after_ms > 0 ? after_ms : 0);
    l->wheel.count++;
    wheel_put(&l->wheel, t, l->wheel.tick + 1);
}

void
timer_cancel(struct timer *t)
{
    if (!t->loop)
        return;
    struct wheel *w = &t->loop->wheel;
    if (--w->count == 0)
        w->next_tick = INT64_MAX;
    t->loop = NULL;
    slot_remove(t);
}

/* --- the dead --------------------------------------------------------------------------------- */

static bool
graveyard_grow(struct graveyard *y)
{
    size_t cap = y->cap ? 2 * y->cap : GRAVES_FIRST;
    struct grave *more = realloc(y->graves, cap * sizeof *more);
    if (!more)
        return false;
    y->graves = more;
    y->cap = cap;
    return true;
}

/* There is room from the start: dying must not fail for want of memory, or nothing would get any.
 */
static void
graveyard_add(struct graveyard *y, void *corpse, void (*destroy)(void *))
{
    if (y->len == y->cap && !graveyard_grow(y))
        abort(); /* more died at once than ever before: the supervisor starts a new worker */
    y->graves[y->len++] = (struct grave){corpse, destroy};
}

/* Those who die meanwhile go too. */
static void
graveyard_empty(struct graveyard *y)
{
    while (y->len > 0) {
        struct grave g = y->graves[--y->len];
        g.destroy(g.corpse);
    }
}

static void
end_turn(struct loop *l)
{
    if (l->late[0].len == 0 && l->late[1].len == 0)
        return;
    graveyard_empty(&l->late[0]);
    struct graveyard emptied = l->late[0];
    l->late[0] = l->late[1];
    l->late[1] = emptied;
}

/* --- the loop -------------------------------------------------------------------------------- */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;
    (void)fd;
    (void)what;
    l->armed_tick = 0;
    loop_enter(l);
    wheel_run(l);
    loop_leave(l);
}

/* libevent's own words go where ours go. */
static void
on_libevent_log(int severity, const char *message)
{
    if (severity >= EVENT_LOG_WARN)
        log_warn("net.libevent", F_STR("message", message));
    else
        log_debug("net.libevent", F_STR("message", message));
}

static struct event_base *
make_base(void)
{
    event_set_log_callback(on_libevent_log);
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    struct event_base *base = NULL;
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0 &&
        event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct loop *
loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    STAILQ_INIT(&l->tasks);
    STAILQ_INIT(&l->turn_tasks);
    TAILQ_INIT(&l->orphans);
    l->now_ns = clock_mono_ns();
    wheel_init(&l->wheel, l->now_ns / 1000000);
    l->scratch = malloc(LOOP_SCRATCH_BYTES);
    l->base = make_base();
    if (l->base)
        l->tick_event = event_new(l->base, -1, 0, on_tick, l);
    bool graves =
        graveyard_grow(&l->graves) && graveyard_grow(&l->late[0]) && graveyard_grow(&l->late[1]);
    if (!l->scratch || !l->tick_event || !graves) {
        loop_free(l);
        return NULL;
    }
    return l;
}

void
loop_free(struct loop *l)
{
    if (!l)
        return;
    struct orphan *o;
    while ((o = TAILQ_FIRST(&l->orphans)))
        o->close(o->ctx);
    loop_leave(l);
    end_turn(l);
    end_turn(l);
    if (l->tick_event)
        event_free(l->tick_event);
    if (l->base)
        event_base_free(l->base);
    while (l->blocks_len > 0)
        free(l->blocks[--l->blocks_len]);
    free(l->graves.graves);
    free(l->late[0].graves);
    free(l->late[1].graves);
    free(l->scratch);
    free(l);
}

void
loop_adopt(struct loop *l, struct orphan *o, void (*close)(void *), void *ctx)
{
    o->close = close;
    o->ctx = ctx;
    TAILQ_INSERT_TAIL(&l->orphans, o, link);
}

void
loop_disown(struct loop *l, struct orphan *o)
{
    TAILQ_REMOVE(&l->orphans, o, link);
}

struct event_base *
loop_base(struct loop *l)
{
    return l->base;
}

void
loop_enter(struct loop *l)
{
    if (!l->sampled)
        sample(l);
}

static void
run_tasks(struct loop *l)
{
    for (int left = TASKS_AT_ONCE; left > 0 && !STAILQ_EMPTY(&l->tasks); left--) {
        struct task *t = STAILQ_FIRST(&l->tasks);
        STAILQ_REMOVE_HEAD(&l->tasks, link);
        t->queued = false;
        t->run(t->ctx);
    }
}

void
loop_leave(struct loop *l)
{
    if (!STAILQ_EMPTY(&l->tasks))
        run_tasks(l);
    if (l->graves.len > 0)
        graveyard_empty(&l->graves);
}

/* All that was ready has been dealt with: what waited for that runs, and what that queues, within
 * reason: what is left makes the next turn come at once. */
static void
run_turn_tasks(struct loop *l)
{
    for (int left = ROUNDS_AT_TURNS_END; left > 0 && !STAILQ_EMPTY(&l->turn_tasks); left--) {
        struct task *t;
        STAILQ_FOREACH (t, &l->turn_tasks, link)
            t->at_turns_end = false;
        STAILQ_CONCAT(&l->tasks, &l->turn_tasks);
        loop_leave(l);
    }
}

static bool
has_tasks(const struct loop *l)
{
    return !STAILQ_EMPTY(&l->tasks) || !STAILQ_EMPTY(&l->turn_tasks);
}

static void
arm_tick(struct loop *l)
{
    int64_t tick = l->wheel.next_tick;
    if (has_tasks(l))
        tick = l->wheel.tick;
    else if (l->wheel.count == 0)
        return; /* a tick that is still armed wakes us once for nothing */
    if (l->armed_tick != 0 && l->armed_tick <= tick)
        return;
    int64_t wait_ms = tick * TICK_MS - loop_now_ms(l);
    if (wait_ms < 0 || has_tasks(l))
        wait_ms = 0;
    struct timeval tv = {wait_ms / 1000, (wait_ms % 1000) * 1000};
    if (event_add(l->tick_event, &tv) == 0)
        l->armed_tick = tick > 0 ? tick : 1;
}

void
loop_run(struct loop *l)
{
    l->stopping = false;
    l->running = true;
    sample(l);
    loop_leave(l);
    run_turn_tasks(l);
    while (!l->stopping) {
        arm_tick(l);
        if (event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) < 0)
            break;
        loop_leave(l);
        run_turn_tasks(l);
        end_turn(l);
        l->sampled = false;
    }
    sample(l);
    loop_leave(l);
    l->running = false;
}

void
loop_stop(struct loop *l)
{
    l->stopping = true;
    event_base_loopbreak(l->base);
}

int64_t
loop_now_ms(const struct loop *l)
{
    return l->now_ns / 1000000;
}

char *
loop_scratch(struct loop *l)
{
    return l->scratch;
}

char *
loop_block_take(struct loop *l)
{
    return l->blocks_len > 0 ? l->blocks[--l->blocks_len] : malloc(LOOP_BLOCK_BYTES);
}

void
loop_block_give(struct loop *l, char *block)
{
    if (l->blocks_len < BLOCKS_KEPT)
        l->blocks[l->blocks_len++] = block;
    else
        free(block);
}

void
loop_after(struct loop *l, struct task *t, void (*run)(void *), void *ctx)
{
    if (t->queued)
        return;
    t->queued = true;
    t->at_turns_end = false;
    t->run = run;
    t->ctx = ctx;
    STAILQ_INSERT_TAIL(&l->tasks, t, link);
}

void
loop_after_turn(struct loop *l, struct task *t, void (*run)(void *), void *ctx)
{
    if (t->queued)
        return;
    t->queued = t->at_turns_end = true;
    t->run = run;
    t->ctx = ctx;
    STAILQ_INSERT_TAIL(&l->turn_tasks, t, link);
}

void
loop_unqueue(struct loop *l, struct task *t)
{
    if (!t->queued)
        return;
    t->queued = false;
    STAILQ_REMOVE(t->at_turns_end ? &l->turn_tasks : &l->tasks, t, task, link);
}

void
loop_bury(struct loop *l, void *corpse, void (*destroy)(void *))
{
    graveyard_add(&l->graves, corpse, destroy);
}

void
loop_bury_late(struct loop *l, void *corpse, void (*destroy)(void *))
{
    graveyard_add(&l->late[1], corpse, destroy);
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void
on_fd_event(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct loop *l = w->loop;
    (void)fd;
    loop_enter(l);
    w->on_ready(w->ctx, what & EV_READ ? WATCH_READ : WATCH_WRITE);
    loop_leave(l);
}

void
watch_init(struct watch *w, struct loop *l, int fd, void (*on_ready)(void *, int), void *ctx)
{
    *w = (struct watch){.loop = l, .fd = fd, .on_ready = on_ready, .ctx = ctx};
}

static int
arm(struct watch *w, struct event **event, short what)
{
    if (!*event) {
        *event = event_new(w->loop->base, w->fd, (short)(what | EV_PERSIST), on_fd_event, w);
        if (!*event)
            return ERR_NOMEM;
    }
    return event_add(*event, NULL) == 0 ? 0 : ERR_IO;
}

int
watch_want(struct watch *w, int what)
{
    int err = 0;
    int on = what & ~w->wanted;
    int off = w->wanted & ~what;
    if (on & WATCH_READ)
        err = arm(w, &w->read_event, EV_READ);
    if (on & WATCH_WRITE && err == 0)
        err = arm(w, &w->write_event, EV_WRITE);
    if (err != 0)
        return err;
    if (off & WATCH_READ)
        event_del(w->read_event);
    if (off & WATCH_WRITE)
        event_del(w->write_event);
    w->wanted = what;
    return 0;
}

void
watch_fini(struct watch *w)
{
    if (w->read_event)
        event_free(w->read_event);
    if (w->write_event)
        event_free(w->write_event);
    w->read_event = w->write_event = NULL;
    w->wanted = 0;
}

/* --- from outside ---------------------------------------------------------------------------- */

struct waker {
    struct watch watch;
    void (*on_wake)(void *ctx);
    void *ctx;
};

static void
on_waker_ready(void *arg, int what)
{
    struct waker *w = arg;
    uint64_t count;
    (void)what;
    if (read(w->watch.fd, &count, sizeof count) == (ssize_t)sizeof count)
        w->on_wake(w->ctx);
}

struct waker *
waker_new(struct loop *l, void (*on_wake)(void *), void *ctx)
{
    struct waker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->on_wake = on_wake;
    w->ctx = ctx;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    watch_init(&w->watch, l, fd, on_waker_ready, w);
    if (fd < 0 || watch_want(&w->watch, WATCH_READ) != 0) {
        waker_free(w);
        return NULL;
    }
    return w;
}

static void
destroy_waker(void *arg)
{
    free(arg);
}

void
waker_free(struct waker *w)
{
    if (!w)
        return;
    watch_fini(&w->watch);
    if (w->watch.fd >= 0)
        close(w->watch.fd);
    loop_bury(w->watch.loop, w, destroy_waker);
}

void
waker_wake(struct waker *w)
{
    int saved = errno; /* may interrupt anything: it is called from signal handlers too */
    uint64_t one = 1;
    ssize_t n = write(w->watch.fd, &one, sizeof one);
    (void)n; /* full: a wake is pending already */
    errno = saved;
}

struct loop_signal {
    struct loop *loop;
    struct event *event;
    void (*on_signal)(void *ctx, int signo);
    void *ctx;
};

static void
on_signal_event(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *s = arg;
    struct loop *l = s->loop;
    (void)what;
    loop_enter(l);
    s->on_signal(s->ctx, (int)signo);
    loop_leave(l);
}

struct loop_signal *
loop_on_signal(struct loop *l, int signo, void (*on_signal)(void *, int), void *ctx)
{
    struct loop_signal *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct loop_signal){.loop = l, .on_signal = on_signal, .ctx = ctx};
    s->event = evsignal_new(l->base, signo, on_signal_event, s);
    if (!s->event || event_add(s->event, NULL) != 0) {
        loop_signal_free(s);
        return NULL;
    }
    return s;
}

void
loop_signal_free(struct loop_signal *s)
{
    if (!s)
        return;
    if (s->event)
        event_free(s->event);
    loop_bury(s->loop, s, free);
}
