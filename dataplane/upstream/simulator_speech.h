/* What the simulator has to say, before it is written: words, values that fit a schema, calls. */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_SPEECH_H
#define DATAPLANE_UPSTREAM_SIMULATOR_SPEECH_H

#include "dataplane/upstream/simulator_answer.h"

struct sim_text {
    struct buf text; /* all of it is ASCII */
    size_t words;    /* pieces it is sent in */
    size_t *ends;    /* where each word ends; NULL: pieces of equal length */
    int64_t tokens;
};

struct sim_call {
    struct slice name; /* of the request */
    struct sim_text arguments;
};

struct sim_speech {
    struct sim_text reasoning, text; /* without words: none */
    struct sim_call *calls;
    size_t call_count;
    const char *finish;
};

/* 0 or a negative error; the caller frees it in any case. The request must outlive it. */
MUST_CHECK int sim_speech_make(const struct json *request, const struct simulator_plan *plan,
                               uint32_t seed, struct sim_speech *ret_speech);
void sim_speech_free(struct sim_speech *s);
/* The i-th of the pieces the text is sent in. */
struct slice sim_piece(const struct sim_text *t, size_t i);
int64_t sim_speech_tokens(const struct sim_speech *s);

#endif
