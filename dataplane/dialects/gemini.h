/*
 * Google's embeddings, sans-I/O. generateContent is dialect_gemini (dialect.h); tokens are counted
 * with the others' (anthropic_count.h).
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_H
#define DATAPLANE_DIALECTS_GEMINI_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/embeddings.h"

/* --- embeddings (gemini_embed.c) --------------------------------------------------------------
 *
 * Three methods: the Gemini API's :batchEmbedContents for any number of texts; Vertex's :predict;
 * and, for models of its second generation, Vertex's :embedContent, which takes one text. */

/* How many texts one request may have. */
size_t gemini_embed_limit(const struct dialect_target *t);
/* 0 or ERR_NOMEM. */
MUST_CHECK int gemini_embed_address(const struct dialect_target *t, struct arena *a,
                                    struct dialect_address *ret);
/* 0; ERR_DENIED: more texts than the limit (*why); ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int gemini_embed_write_request(const struct canon_embeddings *q,
                                          const struct dialect_target *t, struct buf *into,
                                          struct dialect_refusal *why);
/* An answer of any of the three. `count` is how many texts were asked for. 0; ERR_PROTOCOL (not an
 * answer, or of another number of vectors); ERR_NOMEM. */
MUST_CHECK int gemini_embed_read_answer(struct slice body, size_t count, struct arena *a,
                                        struct canon_vectors *ret);

#endif
