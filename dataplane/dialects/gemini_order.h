/* Writing a request for Google: what its files share. */
#ifndef DATAPLANE_DIALECTS_GEMINI_ORDER_H
#define DATAPLANE_DIALECTS_GEMINI_ORDER_H

#include "dataplane/dialects/gemini_internal.h"

struct gemini_order {
    const struct canon_request *q;
    struct dialect_writer *w;
    struct json_emit e;
    enum gemini_family family;
    bool on_vertex;
    bool no_tools;      /* none may be called, and JSON is wanted */
    bool json_by_words; /* the instruction to answer in JSON goes with the system's */
};

/* The members of a part, its braces left to the caller. 0 or ERR_DENIED. */
MUST_CHECK int gemini_write_media(struct gemini_order *o, const struct canon_part *p,
                                  const char *member);
/* "systemInstruction" and "contents" (gemini_turns.c). */
MUST_CHECK int gemini_write_turns(struct gemini_order *o);
int gemini_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into);

#endif
