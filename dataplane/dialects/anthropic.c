/* Anthropic Messages: what ties the dialect's files together. */
#include "dataplane/dialects/anthropic_internal.h"

#define API_VERSION "2023-06-01" /* the only one there is, for what this dialect writes */

static int
address(const struct dialect_target *t, bool stream, struct arena *a, struct dialect_address *ret)
{
    (void)t;
    (void)stream;
    (void)a;
    *ret = (struct dialect_address){.path = SLICE("/messages"), .field_count = 1};
    ret->fields[0] =
        (struct http_field){.name = SLICE("anthropic-version"), .value = SLICE(API_VERSION)};
    return 0;
}

/* A client's own anthropic-version goes before the fixed one of address(). */
static const char *const passed_up[] = {"accept", "anthropic-version", "anthropic-beta",
                                        "idempotency-key", NULL};

const struct dialect dialect_anthropic = {
    .id = DIALECT_ANTHROPIC,
    .name = "anthropic",
    .passed_up = passed_up,
    .framing = FRAMING_SSE,
    .brief = anthropic_brief,
    .limit_output = anthropic_limit_output,
    .address = address,
    .watch = anthropic_watch,
    .look = anthropic_look,
    .read_request = anthropic_read_request,
    .write_answer = anthropic_write_answer,
    .encoder = &anthropic_encoder,
    .write_error = anthropic_write_error,
    .write_error_event = anthropic_write_error_event,
    .write_request = anthropic_write_request,
    .wants_inline = anthropic_wants_inline,
    .read_answer = anthropic_read_answer,
    .decoder = &anthropic_decoder,
    .read_error = anthropic_read_error,
};
