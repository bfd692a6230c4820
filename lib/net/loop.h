/*
 * The event loop of a process: descriptor readiness, coarse timers, work after the current
 * callback, wake-ups from other threads. libevent and its types stay inside lib/net.
 *
 * Time is sampled once per turn: loop_now_ms(). Timers have a resolution of 10 ms and cost no
 * system call; a timer never fires early. Everything here belongs to the thread that runs the
 * loop, except loop_wake().
 */
#ifndef LIB_NET_LOOP_H
#define LIB_NET_LOOP_H

#include "lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;

struct loop *loop_new(void); /* NULL: out of memory */
void loop_free(struct loop *l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Monotonic milliseconds of this turn. */
int64_t loop_now_ms(const struct loop *l);

/* --- descriptors: embedded, level-triggered ------------------------------------------------ */

enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct event;
struct watch {
    struct loop *loop;
    struct event *read_event, *write_event; /* NULL until first wanted */
    void (*on_ready)(void *ctx, int what);  /* what: WATCH_READ or WATCH_WRITE */
    void *ctx;
    int fd;
    int wanted; /* WATCH_* bits now armed */
};
void watch_init(struct watch *w, struct loop *l, int fd, void (*on_ready)(void *, int), void *ctx);
/* Arms exactly these; no system call when nothing changes. 0 or ERR_NOMEM/ERR_IO. */
MUST_CHECK int watch_want(struct watch *w, int what);
/* Disarms; does not close the descriptor. Never calls back after this. */
void watch_fini(struct watch *w);

/* --- timers: embedded ----------------------------------------------------------------------- */

struct timer {
    TAILQ_ENTRY(timer) link;
    struct loop *loop; /* NULL iff not pending */
    int64_t due_ms;
    void (*on_due)(void *ctx);
    void *ctx;
};
/* (Re)arms t; fires once, from the loop. O(1). t need only be zeroed before first use. */
void timer_set(struct timer *t, struct loop *l, int64_t after_ms, void (*on_due)(void *),
               void *ctx);
void timer_cancel(struct timer *t);
static inline bool
timer_is_pending(const struct timer *t)
{
    return t->loop != NULL;
}

/* --- after the current callback ------------------------------------------------------------- */

/* Runs when the readiness callback or timer that is on now has returned, before the loop sleeps:
 * used to write out what was queued (corked output) and to free what was buried. Embedded; queueing
 * a queued task is a no-op; a task may queue further ones, itself included. */
struct task {
    STAILQ_ENTRY(task) link;
    bool queued;
    bool at_turns_end; /* waits in the list of loop_after_turn */
    void (*run)(void *ctx);
    void *ctx;
};
void loop_after(struct loop *l, struct task *t, void (*run)(void *), void *ctx);
/* The same, but once all that is ready in this turn has been dealt with: for what several callbacks
 * add to, such as the output of one connection that many streams share. */
void loop_after_turn(struct loop *l, struct task *t, void (*run)(void *), void *ctx);
/* Takes it out again if queued. */
void loop_unqueue(struct loop *l, struct task *t);
/* Frees memory after the current callback: the graveyard. bury(l, p, free_function). */
void loop_bury(struct loop *l, void *corpse, void (*destroy)(void *));

/* --- from outside ---------------------------------------------------------------------------- */

/* Makes a loop of another thread call on_wake soon (eventfd). Many wakes may merge into one. */
struct waker;
struct waker *waker_new(struct loop *l, void (*on_wake)(void *), void *ctx);
void waker_free(struct waker *w);
void waker_wake(struct waker *w); /* any thread; async-signal-safe */
/* Signals of this process, delivered from the loop. */
struct loop_signal;
struct loop_signal *loop_on_signal(struct loop *l, int signo, void (*on_signal)(void *, int),
                                   void *ctx);
void loop_signal_free(struct loop_signal *s);

/* A read buffer of this loop, shared by all its connections (64 KiB): the bytes are valid until
 * the callback returns. What must stay is copied by whoever wants it: idle connections own none. */
#define LOOP_SCRATCH_BYTES 65536
char *loop_scratch(struct loop *l);

#endif
