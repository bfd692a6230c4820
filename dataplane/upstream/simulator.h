/*
 * The built-in provider: it answers chat, completions and embeddings inside the worker, with no
 * network and the same words every time, in exactly the bytes that an OpenAI-compatible server
 * would send. For first steps, demonstrations, and tests of everything else.
 *
 * What it does can be asked for by the model's name and by the client's header x-headgate-sim (in
 * whichever dialect the client speaks); both are lists of directives, the header's come later and
 * win:
 *
 *   model "simulator"              answers at once
 *   model "simulator-slow"         = latency=1000;gap=100
 *   model "simulator-fast", ...    any other name: as "simulator"
 *   model "simulator-error-429"    = status=429 (400..599)
 *   model "simulator-cut"          = cut_after=3: the stream breaks off without its end
 *   model "simulator-stall"        = stall_after=3: the stream falls silent
 *   model "simulator+text:3+..."   any directives, after any of these names
 *
 *   latency=MS      before the head             gap=MS     between chunks (10 ms steps)
 *   chunks=N        of a stream's text          text=WORDS how many words the answer has
 *   status=CODE     an error instead            usage=I/O  tokens reported, I in and O out
 *   no_usage=1      reports none                cut_after=N, stall_after=N, error_after=N  chunks
 *   retry_after=S   with an error               dims=N     of an embedding
 *   finish=REASON   finish_reason               cached=N   of the input tokens
 *   tools=N         calls in one turn, of all the tools in turn; their streams interleave
 *   citations=N     url_citations of the text   images=N   pictures beside it
 *   refusal=1       a refusal, not a text       filter=1   ends with content_filter
 *
 *   reasoning=WORDS    reasoning_content before the answer
 *   signature=1        it is signed: an entry of reasoning_details, whose format is
 *   format=NAME        "simulator", or a dialect's name: "anthropic", "gemini"
 *   encrypted=1        an entry that is encrypted; without signature=1 the words are not told
 *   call_signature=1   the first tool call is signed, as Gemini signs them
 *   demand_signature=1 a turn with tool calls that comes back without all this, or altered, is
 *                      answered with status 400
 *
 * Asked for by the request itself: logprobs and top_logprobs, service_tier (given back), n.
 */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_H
#define DATAPLANE_UPSTREAM_SIMULATOR_H

#include "dataplane/upstream/attempt.h"

extern const struct attempt_ops simulator_ops;

/* Starts an answer for a; a->running is set. 0 or ERR_NOMEM. */
MUST_CHECK int simulator_start(struct attempt *a, struct services *s,
                               const struct attempt_order *o);

#endif
