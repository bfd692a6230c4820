/*
 * Arguments of a function call that come value by value: {"jsonPath":"$.a.b[0].c",
 * "stringValue":"...","willContinue":true}. They come in the order of the document, so that its
 * text can be written as they come: nothing is held but the place where the text stands.
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_PARTIAL_H
#define DATAPLANE_DIALECTS_GEMINI_PARTIAL_H

#include "lib/base/buf.h"
#include "lib/json/view.h"

#define LIMIT_PARTIAL_DEPTH 32
#define LIMIT_PARTIAL_PATH_BYTES 1024

struct gemini_step {
    bool is_index;
    unsigned index;    /* of a list */
    struct slice name; /* of a map; in the path's bytes */
};
struct gemini_partial {
    struct gemini_step steps[LIMIT_PARTIAL_DEPTH]; /* of the value written last */
    size_t depth;                                  /* 0: nothing was written */
    bool in_text;                                  /* a text is open: more of it may come */
    size_t which;                                  /* of the two below: where `steps` point */
    char paths[2][LIMIT_PARTIAL_PATH_BYTES];
};

/* Appends what one entry of partialArgs adds to the arguments' text. 0; ERR_PROTOCOL: no path, no
 * value, or out of order; ERR_LIMIT: deeper or longer than the limits; ERR_NOMEM. */
MUST_CHECK int gemini_partial_add(struct gemini_partial *p, struct json_view entry, struct arena *a,
                                  struct buf *into);
/* Appends what makes it a whole object: "{}" where nothing had come. */
MUST_CHECK int gemini_partial_end(struct gemini_partial *p, struct buf *into);

#endif
