/*
 * The kinds of providers: one row each says where it lives, how it is told who calls, and which
 * members of its configuration it needs. Which dialect a kind is spoken to in is the data plane's
 * business (dataplane/dialects/dialects.c).
 */
#ifndef LIB_POLICY_PROVIDER_KINDS_H
#define LIB_POLICY_PROVIDER_KINDS_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum provider_kind {
    PROVIDER_OPENAI = 1,
    PROVIDER_OPENAI_COMPATIBLE,
    PROVIDER_SIMULATOR,
    PROVIDER_AZURE_OPENAI,
    PROVIDER_ANTHROPIC,
    PROVIDER_GEMINI,
    PROVIDER_VERTEX,
    PROVIDER_BEDROCK,
    PROVIDER_COHERE,
    PROVIDER_MISTRAL,
    PROVIDER_GROQ,
    PROVIDER_TOGETHER,
    PROVIDER_DEEPSEEK,
    PROVIDER_XAI,
    PROVIDER_OPENROUTER,
    PROVIDER_FIREWORKS,
    PROVIDER_CEREBRAS,
    PROVIDER_PERPLEXITY,
    PROVIDER_HUGGINGFACE,
    PROVIDER_OLLAMA,
    PROVIDER_VLLM,
    PROVIDER_KINDS
};

/* How a call says who makes it. */
enum provider_auth {
    PROVIDER_AUTH_NONE,
    PROVIDER_AUTH_BEARER,         /* authorization: Bearer CREDENTIAL; nothing without one */
    PROVIDER_AUTH_X_API_KEY,      /* x-api-key: CREDENTIAL */
    PROVIDER_AUTH_X_GOOG_API_KEY, /* x-goog-api-key: CREDENTIAL */
    PROVIDER_AUTH_AZURE,  /* api-key: CREDENTIAL; a JSON document: Entra client credentials */
    PROVIDER_AUTH_AWS,    /* JSON access key: SigV4; anything else: a Bedrock API key */
    PROVIDER_AUTH_GOOGLE, /* a service account's JSON: an OAuth token; "ya29...." is one; anything
                             else: x-goog-api-key */
};

struct provider_kind_row {
    const char *name;
    /* With {region}, {location} filled in from the configuration; NULL: base_url must be given. */
    const char *base_url;
    enum provider_auth auth;
    const char *needs[3]; /* members of the configuration that it cannot do without */
};

const struct provider_kind_row *provider_kind_row(enum provider_kind k);
/* "openai-compatible" to its value: 0 or ERR_NOT_FOUND. */
MUST_CHECK int provider_kind_parse(struct slice name, enum provider_kind *ret_kind);
const char *provider_kind_name(enum provider_kind k);
/* The kind's own address for a region or location (text of ours or checked: letters, digits, '-').
 * 0; ERR_NOT_FOUND: it has none; ERR_NOMEM. */
MUST_CHECK int provider_kind_base_url(enum provider_kind k, struct slice region,
                                      struct slice location, struct buf *into);

#endif
