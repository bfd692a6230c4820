/*
 * The Gemini dialect: Google's generateContent, of the Gemini API and of Vertex AI.
 *
 * Of a client's fields go up: what it accepts, which SDK it is (Google's statistics), and the two
 * with which Vertex is told to serve at another tier (its answer says which one it was, and that is
 * what is billed). x-goog-user-project does not: it would have another project billed.
 */
#include "dataplane/dialects/gemini_internal.h"

static const char *const passed_up[] = {
    "accept",
    "x-goog-api-client",
    "x-vertex-ai-llm-request-type",
    "x-vertex-ai-llm-shared-request-type",
    NULL,
};

const struct dialect dialect_gemini = {
    .id = DIALECT_GEMINI,
    .name = "gemini",
    .passed_up = passed_up,
    .framing = FRAMING_SSE,
    .brief = gemini_brief,
    .limit_output = gemini_limit_output,
    .address = gemini_address,
    .watch = gemini_watch,
    .look = gemini_look,
    .write_answer = gemini_write_answer,
    .encoder = &gemini_encoder,
    .write_error = gemini_write_error,
    .write_error_event = gemini_write_error_event,
    .read_request = gemini_read_request,
    .write_request = gemini_write_request,
    .wants_inline = gemini_wants_inline,
    .read_answer = gemini_read_answer,
    .decoder = &gemini_decoder,
    .read_error = gemini_read_error,
};
