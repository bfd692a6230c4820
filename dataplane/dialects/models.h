/*
 * The list of models, as each vendor's SDK reads it: GET /v1/models (OpenAI; Anthropic), GET
 * /v1beta/models (Gemini). The names are the gateway's.
 */
#ifndef DATAPLANE_DIALECTS_MODELS_H
#define DATAPLANE_DIALECTS_MODELS_H

#include "dataplane/dialects/canonical.h"
#include "lib/json/emit.h"
#include "lib/policy/policy.h"

/* Appends one model's object. 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int model_write(enum dialect_id dialect, const struct policy_model *m, struct buf *into);

struct model_list {
    enum dialect_id dialect;
    struct json_emit emit;
    struct slice first, last; /* names, for Anthropic's page */
};
MUST_CHECK int model_list_begin(struct model_list *l, enum dialect_id dialect, struct buf *into);
/* m->name must live until the list has ended. */
MUST_CHECK int model_list_add(struct model_list *l, const struct policy_model *m);
MUST_CHECK int model_list_end(struct model_list *l);

#endif
