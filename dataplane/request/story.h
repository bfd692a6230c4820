/*
 * The story of a request: its stages in order, and the three ways it is moved along.
 *
 * story.c is the place to read what happens to a request. Stages return verdicts and know
 * nothing of each other; only the story knows who comes next.
 */
#ifndef DATAPLANE_REQUEST_STORY_H
#define DATAPLANE_REQUEST_STORY_H

#include "lib/control/usage.h"

#include <stdbool.h>

struct request;

/* What a stage says when it returns, and what a completion says when its wait is over. */
enum verdict {
    NEXT,  /* nothing more to do here */
    WAIT,  /* an operation is pending; its completion calls request_resume() */
    REPLY, /* the answer is known (a refusal, a list, one given before): deliver it */
};

enum stage_id {
    AUTHENTICATE,
    RECEIVE,
    AUTHORIZE,
    RECALL,
    ROUTE,
    ADMIT,
    TRANSLATE,
    EXCHANGE,
    DELIVER,
    END
};

/* Starts the story; may finish the request before it returns. Then true, and r is gone. */
bool request_walk(struct request *r);
/* The last statement of every completion callback: r may be gone when it returns. */
void request_resume(struct request *r, enum verdict v);
/* Client gone, drain over: cancels what is pending and finishes. r is gone when it returns. */
void request_abort(struct request *r, enum usage_outcome why);

/* "exchange"; "end" for END. The names are log fields, metric labels and test names. */
const char *stage_name(unsigned at);

#endif
