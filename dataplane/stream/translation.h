/*
 * The inside of a translated passage: the provider's framing is taken apart, its decoder makes
 * canonical events, the client's encoder makes bytes of those. Used by passage.c only.
 */
#ifndef DATAPLANE_STREAM_TRANSLATION_H
#define DATAPLANE_STREAM_TRANSLATION_H

#include "dataplane/stream/passage.h"

/* Writes into p: state, err, events, meter, watched.report. NULL: no memory. */
struct translation *translation_new(struct passage *p, const struct dialect *client,
                                    const struct dialect_exchange *x,
                                    const struct answer_names *names);
void translation_free(struct translation *t); /* NULL is fine */
/* As passage_push, passage_end, passage_error. */
MUST_CHECK int translation_push(struct translation *t, struct slice bytes,
                                void (*emit)(void *ctx, struct slice run), void *ctx);
MUST_CHECK int translation_end(struct translation *t, void (*emit)(void *ctx, struct slice run),
                               void *ctx);
MUST_CHECK int translation_error(const struct translation *t, struct arena *a,
                                 struct canon_error *ret);

/* A whole answer as the client's stream, for a provider that gave no stream. 0, ERR_NOMEM, ... */
MUST_CHECK int translation_replay(const struct dialect *client, const struct canon_request *q,
                                  const struct canon_answer *answer,
                                  const struct answer_names *names, struct buf *into);

#endif
