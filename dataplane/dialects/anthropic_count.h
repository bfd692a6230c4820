/*
 * POST /v1/messages/count_tokens: what a request would cost in input, without an answer.
 *
 * To Anthropic it goes untouched. A provider with a counting endpoint of its own (Gemini, Vertex;
 * Bedrock for Claude) is asked there; for the others the gateway estimates, and says so in the
 * answer's head. Sans-I/O.
 */
#ifndef DATAPLANE_DIALECTS_ANTHROPIC_COUNT_H
#define DATAPLANE_DIALECTS_ANTHROPIC_COUNT_H

#include "dataplane/dialects/dialect.h"

/* brief() of such a request: as of a message, but without max_tokens, and never a stream. After it
 * dialect_anthropic.read_request() may be called. 0, ERR_SYNTAX, ERR_NOMEM. */
MUST_CHECK int anthropic_count_brief(struct slice body, struct arena *a, struct request_brief *ret,
                                     struct dialect_refusal *why);

enum count_way {
    COUNT_UNTOUCHED, /* the body as it is, but for the model's name */
    COUNT_ASK,       /* anthropic_count_write_request() */
    COUNT_ESTIMATE,  /* no provider is asked */
};
enum count_way anthropic_count_way(const struct dialect_target *t);

/* Where it goes; not for COUNT_ESTIMATE. 0 or ERR_NOMEM. */
MUST_CHECK int anthropic_count_address(const struct dialect_target *t, struct arena *a,
                                       struct dialect_address *ret);
/* COUNT_ASK: as the provider's write_request(), in the form that it counts. */
MUST_CHECK int anthropic_count_write_request(const struct canon_request *q,
                                             struct dialect_writer *w, struct buf *into);
/* The count in a provider's answer: 0, or ERR_PROTOCOL: there is none. */
MUST_CHECK int anthropic_count_read_answer(const struct dialect_target *t, struct slice body,
                                           int64_t *ret_tokens);

/* About how many tokens the input has: of text a token for four characters of ASCII or for two
 * others, what a middling picture or page costs for those, and something for every item. */
int64_t anthropic_count_estimate(const struct canon_request *q);
/* The field of the head that says "true" where the count is an estimate. */
#define COUNT_ESTIMATED_FIELD "x-headgate-estimated"
/* The client's answer: {"input_tokens":N}. */
MUST_CHECK int anthropic_count_write(int64_t tokens, struct buf *into);

#endif
