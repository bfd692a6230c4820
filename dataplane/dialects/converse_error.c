/*
 * Bedrock's errors: {"message":...}, the type in the x-amzn-errortype field, in a stream in the
 * frame's header.
 */
#include "dataplane/dialects/converse_internal.h"

#include <string.h>

#define LIMIT_MESSAGE_BYTES 4096
#define NO_MESSAGE "The provider answered with an error and no readable message."

static const struct {
    const char *type;
    enum canon_error_class kind;
    int status; /* in a stream, which has none of its own */
} types[] = {
    {"ThrottlingException", ERROR_RATE, 429},
    {"ServiceQuotaExceededException", ERROR_RATE, 429},
    {"ModelNotReadyException", ERROR_OVERLOAD, 503},
    {"ServiceUnavailableException", ERROR_OVERLOAD, 503},
    {"ModelTimeoutException", ERROR_TIMEOUT, 504},
    {"ModelErrorException", ERROR_UPSTREAM, 502},
    {"ModelStreamErrorException", ERROR_UPSTREAM, 502},
    {"InternalServerException", ERROR_SERVER, 500},
    {"ValidationException", ERROR_INVALID, 400},
    {"ResourceNotFoundException", ERROR_NOT_FOUND, 404},
    {"AccessDeniedException", ERROR_DENIED, 403},
    {"ExpiredTokenException", ERROR_AUTH, 401},
    {"UnrecognizedClientException", ERROR_AUTH, 401},
    {"InvalidSignatureException", ERROR_AUTH, 401},
    {"IncompleteSignatureException", ERROR_AUTH, 401},
    {"MissingAuthenticationTokenException", ERROR_AUTH, 401},
    {"InvalidClientTokenId", ERROR_AUTH, 401},
};

/* "ThrottlingException:http://..." and "throttlingException" are the same type. */
static struct slice
bare_type(struct slice type)
{
    type.len = slice_find(type, ':', 0);
    return slice_trim(type);
}

static void
classify(struct canon_error *e)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (slice_eq_nocase(e->type, slice_of(types[i].type))) {
            e->kind = types[i].kind;
            if (e->status == 0)
                e->status = types[i].status;
            return;
        }
    e->kind = e->status ? canon_class_of_status(e->status) : ERROR_UPSTREAM;
}

static struct slice
cut(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    text.len = max;
    while (text.len > 0 && ((unsigned char)text.at[text.len] & 0xC0) == 0x80)
        text.len--;
    return text;
}

int
converse_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    static const char *const names[] = {"message", "Message"};
    struct json_span at[2];
    struct json_error why;
    *ret = (struct canon_error){
        .status = f->status, .from_provider = true, .type = cut(bare_type(f->error_type), 128)};
    if (json_scan(f->body, &json_limits_default, names, 2, at, NULL, &why) == 0) {
        struct json_span message = at[at[0].kind == JSON_TEXT ? 0 : 1];
        if (message.kind == JSON_TEXT && json_text(f->body, message, a, &ret->message) != 0)
            return ERR_NOMEM;
    }
    ret->message = cut(ret->message, LIMIT_MESSAGE_BYTES);
    if (!ret->message.len)
        ret->message = SLICE(NO_MESSAGE);
    classify(ret);
    return 0;
}
