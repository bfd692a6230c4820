/* The simulator's chats and completions: what is said, as an answer or as the events of a stream.
 */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_TALK_H
#define DATAPLANE_UPSTREAM_SIMULATOR_TALK_H

#include "dataplane/upstream/simulator_speech.h"

struct simulator_talk {
    enum simulator_kind kind;
    struct simulator_plan plan;
    struct slice model;
    const struct json *request;
    uint32_t seed;
    int64_t in; /* tokens */

    /* found out by simulator_talk_make */
    struct sim_speech speech;
    int64_t choices, out;
    int64_t alternatives; /* to each token: top_logprobs; -1: no logprobs */
    const char *finish;
    bool usage_asked;
};

/* Writes a's body; a->stream says how. 0 or a negative error. */
MUST_CHECK int simulator_talk_make(struct simulator_talk *t, struct simulator_answer *a);

#endif
