#ifndef DATAPLANE_DIALECTS_GEMINI_LOGPROBS_H
#define DATAPLANE_DIALECTS_GEMINI_LOGPROBS_H

#include "dataplane/dialects/gemini_internal.h"

/* Appends OpenAI's logprobs object of a logprobsResult. 0, ERR_PROTOCOL, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int gemini_read_logprobs(struct json_view result, struct arena *a, struct buf *into);
/* The logprobsResult of OpenAI's object. */
void gemini_write_logprobs(struct json_emit *e, struct slice openai);

#endif
