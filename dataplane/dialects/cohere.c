/* Cohere's v2 chat: what ties the dialect's files together. Providers alone speak it. */
#include "dataplane/dialects/cohere_internal.h"

static int
address(const struct dialect_target *t, bool stream, struct arena *a, struct dialect_address *ret)
{
    (void)t;
    (void)stream;
    (void)a;
    *ret = (struct dialect_address){.path = SLICE("/chat")};
    return 0;
}

const struct dialect dialect_cohere = {
    .id = DIALECT_COHERE,
    .name = "cohere",
    .framing = FRAMING_SSE,
    .address = address,
    .write_request = cohere_write_request,
    .read_answer = cohere_read_answer,
    .decoder = &cohere_decoder,
    .read_error = cohere_read_error,
};
