/*
 * The capability contract: what each kind of provider can do, and what each client dialect can ask
 * for. Data, not code: writers ask it, GET /v1/capabilities and docs/capabilities.md print it, and
 * the tests hold every row to what really happens.
 */
#ifndef DATAPLANE_DIALECTS_CAPABILITIES_H
#define DATAPLANE_DIALECTS_CAPABILITIES_H

#include "dataplane/dialects/canonical.h"
#include "lib/policy/policy.h"

enum capability {
    UNSUPPORTED, /* refused with 400, or left out where the key allows that */
    EMULATED,    /* done by other means; the answer means the same */
    EXACT,
};

/* One row a feature: what a request can ask for. */
enum feature {
    FEATURE_SYSTEM,     /* system and developer messages */
    FEATURE_MID_SYSTEM, /* a system message after the first turn */
    FEATURE_STREAM,
    FEATURE_STREAM_USAGE,
    FEATURE_TOOLS,
    FEATURE_PARALLEL_TOOLS,     /* several calls in one turn */
    FEATURE_PARALLEL_TOOLS_OFF, /* parallel_tool_calls: false */
    FEATURE_CHOICE_NONE,
    FEATURE_CHOICE_REQUIRED,
    FEATURE_CHOICE_NAMED,
    FEATURE_STRICT_TOOLS,
    FEATURE_CUSTOM_TOOLS, /* free-form input */
    FEATURE_TOOL_RESULT_IMAGE,
    FEATURE_JSON_OBJECT,
    FEATURE_JSON_SCHEMA,
    FEATURE_IMAGE_URL,
    FEATURE_IMAGE_DATA,
    FEATURE_AUDIO_INPUT,
    FEATURE_AUDIO_OUTPUT,
    FEATURE_PDF,
    FEATURE_FILE_URL,
    FEATURE_REASONING_EFFORT,
    FEATURE_REASONING_BUDGET,
    FEATURE_REASONING_REPLAY, /* signatures and encrypted reasoning come back unchanged */
    FEATURE_CITATIONS,
    FEATURE_CACHE_MARKERS,
    FEATURE_TEMPERATURE,
    FEATURE_TOP_P,
    FEATURE_TOP_K,
    FEATURE_PENALTIES, /* frequency_penalty, presence_penalty */
    FEATURE_SEED,
    FEATURE_STOP,
    FEATURE_CHOICES, /* n above 1 */
    FEATURE_LOGPROBS,
    FEATURE_LOGIT_BIAS,
    FEATURE_METADATA,
    FEATURE_USER,
    FEATURE_SERVICE_TIER,
    FEATURE_VERBOSITY,
    FEATURES
};
extern const char *const feature_names[FEATURES]; /* "tools.parallel", public and stable */

enum capability capability_of(enum provider_kind kind, enum feature f);
/* Whether a client of the dialect can ask for the feature at all. */
bool capability_is_said(enum dialect_id client, enum feature f);
/* What becomes of the feature for a client of that dialect at a provider of that kind: what the
 * dialect cannot say is UNSUPPORTED; where both speak the same dialect nothing is emulated. */
enum capability capability_between(enum dialect_id client, enum provider_kind kind, enum feature f);
const char *capability_name(enum capability c); /* "exact" */

/* Appends {"object":"list","data":[{"kind":"anthropic","clients":{"chat":{"tools":"exact",...}}}]}
 * for the kinds in `used`. 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int capabilities_write(const bool used[static PROVIDER_KINDS], struct buf *into);

#endif
