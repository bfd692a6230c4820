/* OpenAI chat completions, and all who imitate it (compat.h has how they differ). */
#include "dataplane/dialects/chat_internal.h"

static const char *const passed_up[] = {"accept", "openai-beta", "idempotency-key", NULL};

const struct dialect dialect_chat = {
    .id = DIALECT_CHAT,
    .name = "chat",
    .passed_up = passed_up,
    .framing = FRAMING_SSE,
    .brief = chat_brief,
    .limit_output = chat_limit_output,
    .address = chat_address,
    .watch = chat_watch,
    .look = chat_look,
    .read_request = chat_read_request,
    .write_answer = chat_write_answer,
    .encoder = &chat_encoder,
    .write_error = chat_write_error,
    .write_error_event = chat_write_error_event,
    .write_request = chat_write_request,
    .wants_inline = chat_wants_inline,
    .read_answer = chat_read_answer,
    .decoder = &chat_decoder,
    .read_error = chat_read_error,
};
