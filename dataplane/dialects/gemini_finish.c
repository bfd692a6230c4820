/* How a turn ended, in Google's words and ours. */
#include "dataplane/dialects/gemini_internal.h"

/* In the order of Vertex's enum FinishReason: clients of Vertex may ask for numbers. */
static const char *const words[] = {
    NULL,
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL",
    "NO_IMAGE",
};

static const struct {
    const char *word;
    enum canon_finish finish;
} meanings[] = {
    {"STOP", FINISH_STOP},
    {"MAX_TOKENS", FINISH_LENGTH},
    {"SAFETY", FINISH_CONTENT_FILTER},
    {"RECITATION", FINISH_CONTENT_FILTER},
    {"LANGUAGE", FINISH_CONTENT_FILTER},
    {"BLOCKLIST", FINISH_CONTENT_FILTER},
    {"PROHIBITED_CONTENT", FINISH_CONTENT_FILTER},
    {"SPII", FINISH_CONTENT_FILTER},
    {"MODEL_ARMOR", FINISH_CONTENT_FILTER},
    {"IMAGE_SAFETY", FINISH_CONTENT_FILTER},
    {"IMAGE_PROHIBITED_CONTENT", FINISH_CONTENT_FILTER},
    {"IMAGE_RECITATION", FINISH_CONTENT_FILTER},
    /* OTHER, MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, TOO_MANY_TOOL_CALLS, NO_IMAGE,
     * IMAGE_OTHER, MISSING_THOUGHT_SIGNATURE and what is new: no clean end */
};
#define MEANINGS (sizeof(meanings) / sizeof(meanings[0]))

enum canon_finish
gemini_read_finish(struct json_view v, struct slice *ret_word)
{
    *ret_word = gemini_enum(v, words, sizeof(words) / sizeof(words[0]));
    if (v.kind == JSON_NUMBER && json_view_int_or(v, 0) > 0 && ret_word->len == 0)
        *ret_word = v.raw; /* newer than this list */
    if (ret_word->len == 0 || slice_is(*ret_word, "FINISH_REASON_UNSPECIFIED"))
        return *ret_word = (struct slice){0}, FINISH_NONE;
    for (size_t i = 0; i < MEANINGS; i++)
        if (slice_is(*ret_word, meanings[i].word))
            return meanings[i].finish;
    return FINISH_ERROR;
}

struct slice
gemini_block_reason(struct json_view response)
{
    static const char *const reasons[] = {
        NULL, "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"};
    struct json_view reason = gemini_get(gemini_get(response, "promptFeedback"), "blockReason");
    struct slice word = gemini_enum(reason, reasons, sizeof(reasons) / sizeof(reasons[0]));
    return slice_is(word, "BLOCKED_REASON_UNSPECIFIED") ? slice_none() : word;
}

const char *
gemini_finish_word(enum canon_finish finish, struct slice native, enum dialect_id origin)
{
    if (origin == DIALECT_GEMINI)
        for (size_t i = 1; i < sizeof(words) / sizeof(words[0]); i++)
            if (slice_is(native, words[i]))
                return words[i];
    switch (finish) {
    case FINISH_ERROR:
        return "OTHER";
    case FINISH_LENGTH:
        return "MAX_TOKENS";
    case FINISH_CONTENT_FILTER:
    case FINISH_REFUSAL:
        return "SAFETY";
    case FINISH_NONE:
    case FINISH_STOP:
    case FINISH_STOP_SEQUENCE:
    case FINISH_TOOL_CALLS:
    case FINISH_PAUSE:
        break;
    }
    return "STOP";
}
