/*
 * Embeddings at providers who have them in a shape of their own. Sans-I/O.
 */
#ifndef DATAPLANE_ENDPOINTS_EMBED_H
#define DATAPLANE_ENDPOINTS_EMBED_H

#include "dataplane/dialects/embeddings.h"
#include "dataplane/endpoints/codec.h"

struct embed_provider {
    int (*address)(const struct dialect_target *t, struct arena *a, struct dialect_address *ret);
    /* 0; ERR_DENIED (*w->why); ERR_NOMEM, ERR_LIMIT. */
    int (*write)(const struct canon_embeddings *q, struct dialect_writer *w, struct buf *into);
    /* 0; ERR_PROTOCOL: not an answer, or of another number of vectors; ERR_NOMEM. */
    int (*read)(struct slice answer, size_t count, struct arena *a, struct canon_vectors *ret);
};
/* NULL: the target has none. */
const struct embed_provider *embed_provider_of(const struct dialect_target *t);

/* A client's request. Tokens instead of texts are ERR_DENIED. */
MUST_CHECK int embed_read_request(struct slice body, struct dialect_writer *w,
                                  struct canon_embeddings *ret);
/* OpenAI's answer; in base64 where that was asked for. 0, ERR_PROTOCOL (a vector that holds
 * something else than numbers), ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int embed_write_answer(const struct canon_embeddings *q, const struct canon_vectors *v,
                                  struct slice model, struct buf *into);

#endif
