/*
 * Where an answer's text comes from. Google counts in bytes of the text, the gateway in characters;
 * what lies between is remembered as runs of characters of one width, of which even long texts have
 * few, so that no text must be kept.
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_GROUNDING_H
#define DATAPLANE_DIALECTS_GEMINI_GROUNDING_H

#include "dataplane/dialects/gemini_internal.h"

#define LIMIT_TEXT_RUNS 4096 /* places beyond are not known */
#define LIMIT_CITATIONS 512  /* of a candidate */

#define RUNS_PER_BLOCK 63
struct gemini_runs {
    struct gemini_runs *next;
    struct gemini_run {
        int64_t byte, character; /* where it begins */
        unsigned width;
    } runs[RUNS_PER_BLOCK];
};
struct gemini_places {
    struct gemini_runs *first, *last;
    size_t count; /* of runs */
    int64_t bytes, characters;
    bool lost; /* too many runs: what comes later has no place */
};

/* Takes more of the text (valid UTF-8). 0 or ERR_NOMEM. */
MUST_CHECK int gemini_places_add(struct gemini_places *p, struct slice text, struct arena *keep);
/* The character at a byte; -1: not known. */
int64_t gemini_places_find(const struct gemini_places *p, int64_t byte);
/* The other way. */
int64_t gemini_places_byte(const struct gemini_places *p, int64_t character);

struct gemini_cite {
    const struct gemini_places *places;
    struct arena *scratch;
    int (*take)(void *ctx, const struct canon_citation *c);
    void *ctx;
    size_t count; /* taken so far */
};
/* The citations of a candidate's groundingMetadata and citationMetadata. Sources without a place in
 * the text are told where `whole`: nothing more will come. 0, ERR_NOMEM, or as take() says. */
MUST_CHECK int gemini_cite(struct gemini_cite *to, struct json_view candidate, bool whole);

#endif
