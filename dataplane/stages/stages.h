/*
 * The stages of the story, one file each. A stage does its one thing and returns a verdict; it
 * writes only its own group of struct request. One that can return WAIT has a cancel, which never
 * calls back.
 *
 * Not here: what comes after what (request/story.c), and what a refusal looks like
 * (request/reply.c).
 */
#ifndef DATAPLANE_STAGES_STAGES_H
#define DATAPLANE_STAGES_STAGES_H

#include "dataplane/request/story.h"
#include "lib/base/slice.h"
#include "lib/http/message.h"

enum verdict authenticate(struct request *r); /* whose key is this? */
enum verdict receive(struct request *r);      /* read the body and find its members */
enum verdict authorize(struct request *r);    /* may this key use this model? */
enum verdict route(struct request *r);        /* which upstream? */
enum verdict admit(struct request *r);        /* is there room in its quotas and budgets? */
enum verdict translate(struct request *r);    /* into its dialect */
enum verdict exchange(struct request *r);     /* send; await an answer worth passing on */
enum verdict deliver(struct request *r);      /* give it to the client */

/* authenticate, for a credential that has the form of a token: stages/bearer.c */
enum verdict authenticate_bearer(struct request *r, struct slice token);

void receive_cancel(struct request *r);
void admit_cancel(struct request *r);
void translate_cancel(struct request *r);
void exchange_cancel(struct request *r);
void deliver_cancel(struct request *r);

/* What front/ tells while the body comes in; ignored once the story has moved on. Each may end r.
 */
void receive_more(struct request *r, struct slice bytes);
void receive_end(struct request *r);
/* Whether a request's body goes up as it comes when it is large, and is not held first. */
struct endpoint;
bool receive_passes(const struct endpoint *e, const struct http_head *head);
/* The attempt has begun, or can take more: the client may send. ctx: the request. */
void receive_go_on(void *ctx);
/* The client can take more again. */
void deliver_drained(struct request *r);
/* The drain's time is up: tells a client that is still there, in whichever way is left. The caller
 * aborts r next. */
void deliver_farewell(struct request *r);

#endif
