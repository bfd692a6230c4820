/*
 * The fields of a form that the gateway must know. Sans-I/O.
 */
#ifndef DATAPLANE_ENDPOINTS_FORM_H
#define DATAPLANE_ENDPOINTS_FORM_H

#include "dataplane/endpoints/codec.h"
#include "lib/http/multipart.h"

/* A form whose model may be missing. 0, or ERR_SYNTAX (*why). */
MUST_CHECK int form_brief(const struct codec_request *q, struct request_brief *ret,
                          size_t *ret_text_bytes, struct dialect_refusal *why);

#endif
