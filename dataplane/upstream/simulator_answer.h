/*
 * What the simulator says: complete bodies in OpenAI's dialect, the same for the same request every
 * time. Sans-I/O: simulator.c sends them, when and as far as it was told.
 */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_ANSWER_H
#define DATAPLANE_UPSTREAM_SIMULATOR_ANSWER_H

#include "lib/base/buf.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_SIMULATED_CALLS 64 /* of one turn */

/* How to answer; the fields are the directives of simulator.h, -1 or 0 where not given. */
struct simulator_plan {
    int64_t latency_ms, gap_ms;
    int64_t status;
    int64_t words, chunks, dims;
    int64_t input_tokens, output_tokens; /* -1: counted */
    int64_t cached_tokens;
    int64_t reasoning, tools, citations, images;
    bool no_usage, signature, encrypted, call_signature, demand_signature, refusal, filter;
    int64_t cut_after, stall_after, error_after; /* -1: never */
    int64_t retry_after_s;
    char finish[32];
    char format[32]; /* of the entries of reasoning_details */
};

enum simulator_kind { SIMULATE_CHAT, SIMULATE_COMPLETION, SIMULATE_EMBEDDINGS };

struct simulator_answer {
    int status;
    bool stream;
    struct buf body; /* whole, or all events of a stream one after the other */
    size_t *ends;    /* of a stream: where each event ends */
    size_t count;
};

void simulator_plan_init(struct simulator_plan *p);
/* "latency=200;chunks=20": what is unknown or malformed is passed over. */
void simulator_plan_read(struct simulator_plan *p, struct slice directives);
/* What the model's name asks for. */
void simulator_plan_model(struct simulator_plan *p, struct slice model);

/* 0 or ERR_NOMEM; a request that makes no sense is answered with status 400. The caller frees with
 * simulator_answer_free. */
MUST_CHECK int simulator_answer_make(enum simulator_kind kind, const struct json *request,
                                     struct slice model, const struct simulator_plan *plan,
                                     struct simulator_answer *ret_answer);
void simulator_answer_free(struct simulator_answer *a);

#endif
