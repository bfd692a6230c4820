#include "dataplane/state/helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICE 10 /* requests first: a policy may come a few milliseconds later */

STAILQ_HEAD(job_queue, helper_job);

struct helper {
    struct waker *waker;
    pthread_t thread;
    bool started;
    size_t pending;       /* the loop's own count */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wanted;
    struct job_queue todo, ended;
    bool stopping;
};

static struct helper_job *
take(struct helper *h)
{
    struct helper_job *job = NULL;

    pthread_mutex_lock(&h->lock);
    while (!h->stopping && STAILQ_EMPTY(&h->todo))
        pthread_cond_wait(&h->wanted, &h->lock);
    if (!h->stopping) {
        job = STAILQ_FIRST(&h->todo);
        STAILQ_REMOVE_HEAD(&h->todo, link);
    }
    pthread_mutex_unlock(&h->lock);
    return job;
}

static void *
work(void *arg)
{
    struct helper *h = arg;
    struct helper_job *job;

    /* On Linux this is the thread's own; failing costs nothing but the order of work. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    while ((job = take(h)) != NULL) {
        job->run(job);
        pthread_mutex_lock(&h->lock);
        STAILQ_INSERT_TAIL(&h->ended, job, link);
        pthread_mutex_unlock(&h->lock);
        waker_wake(h->waker);
    }
    return NULL;
}

static struct helper_job *
take_ended(struct helper *h)
{
    struct helper_job *job;

    pthread_mutex_lock(&h->lock);
    job = STAILQ_FIRST(&h->ended);
    if (job)
        STAILQ_REMOVE_HEAD(&h->ended, link);
    pthread_mutex_unlock(&h->lock);
    return job;
}

static void
on_wake(void *ctx)
{
    struct helper *h = ctx;
    struct helper_job *job;

    while ((job = take_ended(h)) != NULL) {
        h->pending--;
        job->done(job);
    }
}

/* Signals are the loop's. */
static bool
start(struct helper *h)
{
    sigset_t all, before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(&h->thread, NULL, work, h) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

struct helper *
helper_new(struct loop *l)
{
    struct helper *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wanted, NULL);
    STAILQ_INIT(&h->todo);
    STAILQ_INIT(&h->ended);
    h->waker = waker_new(l, on_wake, h);
    h->started = h->waker && start(h);
    if (h->started)
        return h;
    helper_free(h);
    return NULL;
}

static void
drop_all(struct job_queue *q)
{
    struct helper_job *job;

    while ((job = STAILQ_FIRST(q)) != NULL) {
        STAILQ_REMOVE_HEAD(q, link);
        job->drop(job);
    }
}

void
helper_free(struct helper *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_signal(&h->wanted);
    pthread_mutex_unlock(&h->lock);
    if (h->started)
        pthread_join(h->thread, NULL);
    drop_all(&h->todo);
    drop_all(&h->ended);
    if (h->waker)
        waker_free(h->waker);
    pthread_cond_destroy(&h->wanted);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void
helper_submit(struct helper *h, struct helper_job *job)
{
    h->pending++;
    pthread_mutex_lock(&h->lock);
    STAILQ_INSERT_TAIL(&h->todo, job, link);
    pthread_cond_signal(&h->wanted);
    pthread_mutex_unlock(&h->lock);
}

size_t
helper_pending(const struct helper *h)
{
    return h->pending;
}
