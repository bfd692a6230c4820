/*
 * What Google's APIs answer beside generateContent: embeddings and the counting of tokens.
 * Sans-I/O, for the endpoints that need them; generateContent itself is dialect_gemini (dialect.h).
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_H
#define DATAPLANE_DIALECTS_GEMINI_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/embeddings.h"

/* --- embeddings: as a provider (gemini_embed.c) -----------------------------------------------
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

/* --- embeddings: as clients speak it ---------------------------------------------------------- */

/* :embedContent or, `batch`, :batchEmbedContents. 0, ERR_SYNTAX (*why), ERR_NOMEM. */
MUST_CHECK int gemini_embed_read_request(struct slice body, bool batch, struct slice path_model,
                                         struct arena *a, struct canon_embeddings *ret,
                                         struct dialect_refusal *why);
MUST_CHECK int gemini_embed_write_answer(const struct canon_vectors *v, bool batch,
                                         struct buf *into);

/* --- counting tokens (gemini_count.c) --------------------------------------------------------- */

/* 0 or ERR_NOMEM. */
MUST_CHECK int gemini_count_address(const struct dialect_target *t, struct arena *a,
                                    struct dialect_address *ret);
/* As write_request of a dialect. */
MUST_CHECK int gemini_count_write_request(const struct canon_request *q, struct dialect_writer *w,
                                          struct buf *into);
/* 0 and the tokens of the prompt, or ERR_PROTOCOL. */
MUST_CHECK int gemini_count_read_answer(struct slice body, int64_t *ret_tokens);
/* As read_request of a dialect: the request to be counted, bare or inside generateContentRequest.
 */
MUST_CHECK int gemini_count_read_request(struct slice body, const struct dialect_call *call,
                                         struct arena *a, struct canon_request *ret,
                                         struct dialect_refusal *why);
MUST_CHECK int gemini_count_write_answer(int64_t tokens, struct buf *into);

#endif
