/*
 * LiteLLM's config.yaml as a document of ours, and what of it could not be carried over. No input
 * or output. Secrets that stand in the file are not carried over: they are named.
 */
#ifndef CONTROLPLANE_CLI_LITELLM_H
#define CONTROLPLANE_CLI_LITELLM_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/doc.h"

#define LIMIT_LITELLM_MODELS 10000 /* entries of model_list */

struct litellm_import {
    struct json *document; /* providers, models, quotas, prices: those that have something */
    struct json *left;     /* texts: "model_list[2].litellm_params.timeout: ..." */
};

/* config: the file, parsed. 0; ERR_SYNTAX or ERR_LIMIT with the place and what is wrong in *why;
 * ERR_NOMEM. */
MUST_CHECK int litellm_import(struct json *config, struct litellm_import *ret, struct buf *why);
void litellm_import_free(struct litellm_import *i);

#endif
