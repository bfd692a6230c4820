/* Answers to clients: what whole ones and streams share. */
#ifndef DATAPLANE_DIALECTS_GEMINI_ANSWER_H
#define DATAPLANE_DIALECTS_GEMINI_ANSWER_H

#include "dataplane/dialects/gemini_grounding.h"
#include "dataplane/dialects/gemini_internal.h"

/* Where answers' texts come from, collected as groundingMetadata. */
struct gemini_sources {
    struct buf chunks, supports; /* the lists' items */
    size_t count;
};
void gemini_sources_init(struct gemini_sources *s);
void gemini_sources_free(struct gemini_sources *s);
/* places: of the text it is of, which is part `part` of the answer. 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int gemini_sources_add(struct gemini_sources *s, const struct canon_citation *c,
                                  const struct gemini_places *places, size_t part);
/* "groundingMetadata", where there is any. */
void gemini_sources_write(struct json_emit *e, const struct gemini_sources *s);

/* A part as clients get it: a whole value in a list, or nothing where there is nothing to show.
 * Another dialect's state goes along as a signature; thoughts are shown where `show`. Returns
 * whether something was written, or ERR_NOMEM. */
MUST_CHECK int gemini_write_part(struct json_emit *e, const struct canon_part *p, bool show,
                                 struct arena *a);
/* "args": an object. What a model wrote wrong stays readable, for the next one too. */
void gemini_write_arguments(struct json_emit *e, struct slice arguments);

#endif
