/*
 * The story of a request, from the first look at its key to the last byte of its answer.
 *
 * Read the table from top to bottom: that is the order in which things happen. A stage answers one
 * question and returns a verdict; step() turns a verdict into the next stage, and is the only place
 * that does; walk() runs stages until one must wait. Whatever waits is ended in one of two ways:
 * its completion calls request_resume(), or the request is aborted and the stage's cancel is
 * called. Either way the story comes to finish(), once, and finish() settles, once.
 *
 * A row without a cancel never waits: story_test walks an abort through every row that has one.
 */
#include "dataplane/request/story.h"

#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/stages/stages.h"

#include <assert.h>

struct stage {
    const char *name;
    enum verdict (*run)(struct request *r);
    void (*cancel)(struct request *r);
};

/* clang-format off */
static const struct stage story[END] = {
    [AUTHENTICATE] = { "authenticate", authenticate, NULL },            /* whose key is this? */
    [RECEIVE]      = { "receive",      receive,      receive_cancel },  /* read and scan the body */
    [AUTHORIZE]    = { "authorize",    authorize,    NULL },            /* may this key use this model? */
    [RECALL]       = { "recall",       recall,       NULL },            /* was this answered before? */
    [ROUTE]        = { "route",        route,        NULL },            /* which upstream? */
    [ADMIT]        = { "admit",        admit,        admit_cancel },    /* is there room in its limits? */
    [TRANSLATE]    = { "translate",    translate,    translate_cancel }, /* into its dialect */
    [EXCHANGE]     = { "exchange",     exchange,     exchange_cancel }, /* send; await a good answer */
    [DELIVER]      = { "deliver",      deliver,      deliver_cancel },  /* pass it to the client */
};
/* clang-format on */

/* Every transition there is, is here. */
static unsigned
step(const struct request *r, enum verdict v)
{
    switch (v) {
    case NEXT:
        return r->at + 1;
    case REPLY:
        assert(r->at < DELIVER && "the answer is being delivered already");
        return DELIVER;
    case WAIT:
        break;
    }
    assert(false && "a stage that waits does not step");
    return END;
}

static void
finish(struct request *r, enum usage_outcome why)
{
    assert(!r->finished);
    r->finished = true;
    settle(r, why);
    request_bury(r);
}

/* Until a stage waits (false) or the story has ended (true, and r is buried). */
static bool
walk(struct request *r)
{
    assert(!r->walking && !r->waiting);
    r->walking = true;
    while (r->at < END) {
        request_mark(r); /* the time at which this stage was entered */
        enum verdict v = story[r->at].run(r);
        if (v == WAIT) {
            assert(story[r->at].cancel && "only a stage that can be cancelled may wait");
            r->waiting = true;
            r->walking = false;
            return false;
        }
        r->at = step(r, v);
    }
    request_mark(r);
    r->walking = false;
    finish(r, USAGE_DONE);
    return true;
}

bool
request_walk(struct request *r)
{
    assert(r->at == AUTHENTICATE);
    return walk(r);
}

void
request_resume(struct request *r, enum verdict v)
{
    assert(r->waiting && !r->walking);
    r->waiting = false;
    r->at = step(r, v);
    walk(r);
}

void
request_abort(struct request *r, enum usage_outcome why)
{
    assert(!r->walking && "a stage returns a verdict; it does not abort");
    if (r->waiting)
        story[r->at].cancel(r);
    r->waiting = false;
    finish(r, why);
}

const char *
stage_name(unsigned at)
{
    return at < END ? story[at].name : "end";
}
