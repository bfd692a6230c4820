#include "lib/policy/provider_kinds.h"

#include <string.h>

/* clang-format off */
/* Addresses are the vendors' documented ones. */
static const struct provider_kind_row rows[PROVIDER_KINDS] = {
    [PROVIDER_OPENAI]            = {"openai",            "https://api.openai.com/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_OPENAI_COMPATIBLE] = {"openai-compatible", NULL, PROVIDER_AUTH_BEARER, {"base_url"}},
    [PROVIDER_SIMULATOR]         = {"simulator",         NULL, PROVIDER_AUTH_NONE, {0}},
    [PROVIDER_AZURE_OPENAI]      = {"azure-openai",      NULL, PROVIDER_AUTH_AZURE, {"base_url"}},
    [PROVIDER_ANTHROPIC]         = {"anthropic",         "https://api.anthropic.com/v1", PROVIDER_AUTH_X_API_KEY, {0}},
    [PROVIDER_GEMINI]            = {"gemini",            "https://generativelanguage.googleapis.com/v1beta", PROVIDER_AUTH_X_GOOG_API_KEY, {0}},
    [PROVIDER_VERTEX]            = {"vertex",            "https://{location}-aiplatform.googleapis.com/v1", PROVIDER_AUTH_GOOGLE, {"project", "location"}},
    [PROVIDER_BEDROCK]           = {"bedrock",           "https://bedrock-runtime.{region}.amazonaws.com", PROVIDER_AUTH_AWS, {"region"}},
    [PROVIDER_COHERE]            = {"cohere",            "https://api.cohere.com/v2", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_MISTRAL]           = {"mistral",           "https://api.mistral.ai/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_GROQ]              = {"groq",              "https://api.groq.com/openai/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_TOGETHER]          = {"together",          "https://api.together.xyz/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_DEEPSEEK]          = {"deepseek",          "https://api.deepseek.com", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_XAI]               = {"xai",               "https://api.x.ai/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_OPENROUTER]        = {"openrouter",        "https://openrouter.ai/api/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_FIREWORKS]         = {"fireworks",         "https://api.fireworks.ai/inference/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_CEREBRAS]          = {"cerebras",          "https://api.cerebras.ai/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_PERPLEXITY]        = {"perplexity",        "https://api.perplexity.ai", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_HUGGINGFACE]       = {"huggingface",       "https://router.huggingface.co/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_OLLAMA]            = {"ollama",            "http://127.0.0.1:11434/v1", PROVIDER_AUTH_BEARER, {0}},
    [PROVIDER_VLLM]              = {"vllm",              NULL, PROVIDER_AUTH_BEARER, {"base_url"}},
};
/* clang-format on */

const struct provider_kind_row *
provider_kind_row(enum provider_kind k)
{
    return &rows[k];
}

int
provider_kind_parse(struct slice name, enum provider_kind *ret_kind)
{
    for (size_t i = 1; i < PROVIDER_KINDS; i++)
        if (slice_is(name, rows[i].name)) {
            *ret_kind = (enum provider_kind)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

const char *
provider_kind_name(enum provider_kind k)
{
    return k > 0 && k < PROVIDER_KINDS ? rows[k].name : "unknown";
}

/* Google's locations that are not the beginning of a host name. */
static const struct {
    const char *location, *base_url;
} vertex_hosts[] = {
    {"global", "https://aiplatform.googleapis.com/v1"},
    {"us", "https://aiplatform.us.rep.googleapis.com/v1"},
    {"eu", "https://aiplatform.eu.rep.googleapis.com/v1"},
};

int
provider_kind_base_url(enum provider_kind k, struct slice region, struct slice location,
                       struct buf *into)
{
    const char *text = rows[k].base_url;
    if (!text)
        return ERR_NOT_FOUND;
    if (k == PROVIDER_VERTEX)
        for (size_t i = 0; i < sizeof(vertex_hosts) / sizeof(vertex_hosts[0]); i++)
            if (slice_is(location, vertex_hosts[i].location))
                return buf_add_str(into, vertex_hosts[i].base_url);
    const char *open = strchr(text, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close)
        return buf_add_str(into, text);
    return buf_addf(into, "%.*s%.*s%s", (int)(open - text), text,
                    SLICE_ARG(open[1] == 'r' ? region : location), close + 1);
}
