/* What loop.c lends to the other files of lib/net; nobody else includes this. */
#ifndef LIB_NET_LOOP_INTERNAL_H
#define LIB_NET_LOOP_INTERNAL_H

#include "lib/net/loop.h"

struct event_base;

struct event_base *loop_base(struct loop *l);
/* Around every callback that libevent makes into our code: enter samples the clock once a turn,
 * leave runs the tasks and buries the dead. */
void loop_enter(struct loop *l);
void loop_leave(struct loop *l);

/* As loop_bury, but two turns later: for what libevent may still have a callback queued for. */
void loop_bury_late(struct loop *l, void *corpse, void (*destroy)(void *));

/* What nobody owns any more but the loop, closed when the loop is freed before its time has come.
 */
struct orphan {
    TAILQ_ENTRY(orphan) link;
    void (*close)(void *ctx); /* takes it out of the list */
    void *ctx;
};
void loop_adopt(struct loop *l, struct orphan *o, void (*close)(void *), void *ctx);
void loop_disown(struct loop *l, struct orphan *o);

/* Blocks of memory for output that is about to leave. Taken when the first byte is corked and given
 * back when the kernel has taken the last, so that a few hot blocks serve all connections. */
#define LOOP_BLOCK_BYTES 16384
char *loop_block_take(struct loop *l); /* NULL: no memory */
void loop_block_give(struct loop *l, char *block);

#endif
