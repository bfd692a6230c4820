/* Cohere's errors: {"message":...}, with an id beside it or without. */
#include "dataplane/dialects/cohere_internal.h"

#include "dataplane/dialects/openai.h"

int
cohere_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct openai_error plain;
    int named = 0;
    int err = openai_read_error(f->body, a, &plain, &named);
    if (err)
        return err;
    *ret = (struct canon_error){
        .status = f->status,
        .from_provider = true,
        .message = plain.message,
        .type = plain.type,
        .code = plain.code,
    };
    /* 498 is a token that is not valid, 499 a client that has gone. */
    ret->kind = f->status == 498 ? ERROR_AUTH
                : f->status      ? canon_class_of_status(f->status)
                                 : ERROR_UPSTREAM;
    return 0;
}
