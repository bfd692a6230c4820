/*
 * Makes a whole answer of the events of a stream: for clients that asked for no stream of a
 * provider that gave one, for encoders whose last event repeats everything (Responses), and for the
 * proof that streams and whole answers of the same content are the same.
 *
 * And the other way: an answer told as events (a cached answer, a provider that does not stream).
 */
#ifndef DATAPLANE_DIALECTS_GATHER_H
#define DATAPLANE_DIALECTS_GATHER_H

#include "dataplane/dialects/canonical.h"

struct gather;

/* max_bytes bounds everything held. NULL: no memory. */
struct gather *gather_new(size_t max_bytes);
void gather_free(struct gather *g); /* NULL is fine */
/* Copies what it needs. 0; ERR_LIMIT: over max_bytes; ERR_PROTOCOL: events out of order (a delta of
 * a part that was not begun); ERR_NOMEM. ERROR events are refused with ERR_PROTOCOL: they are no
 * part of an answer. */
MUST_CHECK int gather_event(struct gather *g, const struct canon_event *e);
bool gather_has_ended(const struct gather *g); /* END was seen */
/* What has come so far. Everything in *ret points into g or the arena and is valid until the next
 * event. 0 or ERR_NOMEM. */
MUST_CHECK int gather_answer(struct gather *g, struct arena *a, struct canon_answer *ret);
/* One part as gathered so far (for encoders: the whole text at its end). False: no such part. */
bool gather_part(struct gather *g, unsigned choice, unsigned part, struct canon_part *ret);

/* Tells an answer as the events that gather to it; the sink's first failure ends it. */
MUST_CHECK int gather_replay(const struct canon_answer *answer, const struct canon_sink *sink);

#endif
