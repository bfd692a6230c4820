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
enum verdict recall(struct request *r);       /* was this answered before? */
enum verdict route(struct request *r);        /* which upstream? */
enum verdict admit(struct request *r);        /* is there room in its quotas and budgets? */
enum verdict translate(struct request *r);    /* into its dialect */
enum verdict exchange(struct request *r);     /* send; await an answer worth passing on */
enum verdict deliver(struct request *r);      /* give it to the client */

/* authenticate, for a credential that has the form of a token: stages/bearer.c */
enum verdict authenticate_bearer(struct request *r, struct slice token);

/* What deliver tells: bytes that the client was given of a stream; and that it has all of an
 * answer, with these fields. What may be given again is kept. */
void recall_tape(struct request *r, struct slice bytes);
bool recall_is_taped(const struct request *r);
void recall_keep(struct request *r, const struct http_field *fields, size_t count,
                 struct slice body);
/* For x-headgate-cache: "none", "bypass", "miss", "hit". */
const char *recall_word(const struct request *r);
void recall_release(struct request *r);

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
