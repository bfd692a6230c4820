/*
 * What the endpoints of pictures and sound share: how their use is told, what is likely. Sans-I/O.
 */
#ifndef DATAPLANE_ENDPOINTS_MEDIA_H
#define DATAPLANE_ENDPOINTS_MEDIA_H

#include "dataplane/endpoints/codec.h"

/* What is bounded by its name alone, in tokens; generous, as a bound must be. */
#define MOST_TOKENS_OF_A_PICTURE 8192
#define LIKELY_TOKENS_OF_A_PICTURE 1056 /* 1024 x 1024, of middling quality */
#define LIMIT_PICTURES 100              /* of one request */

/* Pictures to be made, and pictures that are given. */
void media_pictures(struct codec_units *u, int64_t made, size_t given);
/* Sound of so many bytes to be listened to. */
void media_sound(struct codec_units *u, size_t bytes);
/* `n` of a request: JSON or a form's field. 0, or ERR_SYNTAX. */
MUST_CHECK int media_read_n(struct slice digits, int64_t *ret_n, struct dialect_refusal *why);

/* A usage object of these endpoints: {"input_tokens",...,"input_tokens_details"}, or
 * {"type":"duration","seconds"}. What goes out without details counts as `output`. */
void media_read_usage(struct slice object, enum usage_class output, struct usage_report *report);
void media_usage_of_pictures(struct slice object, struct usage_report *report);
void media_usage_of_sound(struct slice object, struct usage_report *report);
void media_usage_of_text(struct slice object, struct usage_report *report);
/* Whole answers: usage, and what can be counted. 0 or ERR_PROTOCOL. */
MUST_CHECK int media_look_pictures(struct slice answer, struct usage_report *report,
                                   bool *ret_error);
MUST_CHECK int media_look_text(struct slice answer, struct usage_report *report, bool *ret_error);
/* Untouched to `method` of those who speak OpenAI's API for real. */
MUST_CHECK int media_route(const struct dialect_target *t, const char *method, struct arena *a,
                           struct codec_route *ret, struct dialect_refusal *why);

#endif
