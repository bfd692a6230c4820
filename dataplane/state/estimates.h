/*
 * What tokens weigh, learned per provider's model from what providers report: bytes of a request
 * per input token, bytes of text per output token, and how long answers are. Used before an answer
 * (the reservation) and where none was completed; never where the provider reported.
 *
 * A fixed table: a model falls out when another takes its place, and is learned again.
 */
#ifndef DATAPLANE_STATE_ESTIMATES_H
#define DATAPLANE_STATE_ESTIMATES_H

#include "lib/base/slice.h"

#include <stdint.h>

struct estimates;

struct estimates *estimates_new(void); /* NULL: no memory */
void estimates_free(struct estimates *e);

/* A finished answer as reported; 0 bytes or tokens teach nothing. */
void estimates_learn(struct estimates *e, struct slice provider, struct slice model,
                     uint64_t input_bytes, int64_t input_tokens, uint64_t output_bytes,
                     int64_t output_tokens);
/* At least 1 for any bytes at all. */
int64_t estimates_input(const struct estimates *e, struct slice provider, struct slice model,
                        uint64_t bytes);
/* Of a text that went by in `chunks` pieces: never less than one token a piece. */
int64_t estimates_output(const struct estimates *e, struct slice provider, struct slice model,
                         uint64_t bytes, uint64_t chunks);
/* Of an answer that nobody saw. */
int64_t estimates_answer(const struct estimates *e, struct slice provider, struct slice model);

#endif
