#include "dataplane/dialects/capabilities.h"

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"

/* clang-format off */
const char *const feature_names[FEATURES] = {
    [FEATURE_SYSTEM]             = "messages.system",
    [FEATURE_MID_SYSTEM]         = "messages.system_later",
    [FEATURE_STREAM]             = "stream",
    [FEATURE_STREAM_USAGE]       = "stream.usage",
    [FEATURE_TOOLS]              = "tools",
    [FEATURE_PARALLEL_TOOLS]     = "tools.parallel",
    [FEATURE_PARALLEL_TOOLS_OFF] = "tools.parallel_off",
    [FEATURE_CHOICE_NONE]        = "tool_choice.none",
    [FEATURE_CHOICE_REQUIRED]    = "tool_choice.required",
    [FEATURE_CHOICE_NAMED]       = "tool_choice.named",
    [FEATURE_STRICT_TOOLS]       = "tools.strict",
    [FEATURE_CUSTOM_TOOLS]       = "tools.custom",
    [FEATURE_TOOL_RESULT_IMAGE]  = "tools.result_image",
    [FEATURE_JSON_OBJECT]        = "format.json_object",
    [FEATURE_JSON_SCHEMA]        = "format.json_schema",
    [FEATURE_IMAGE_URL]          = "image.url",
    [FEATURE_IMAGE_DATA]         = "image.data",
    [FEATURE_AUDIO_INPUT]        = "audio.input",
    [FEATURE_AUDIO_OUTPUT]       = "audio.output",
    [FEATURE_PDF]                = "file.pdf",
    [FEATURE_FILE_URL]           = "file.url",
    [FEATURE_REASONING_EFFORT]   = "reasoning.effort",
    [FEATURE_REASONING_BUDGET]   = "reasoning.budget",
    [FEATURE_REASONING_REPLAY]   = "reasoning.replay",
    [FEATURE_CITATIONS]          = "citations",
    [FEATURE_CACHE_MARKERS]      = "cache_control",
    [FEATURE_TEMPERATURE]        = "temperature",
    [FEATURE_TOP_P]              = "top_p",
    [FEATURE_TOP_K]              = "top_k",
    [FEATURE_PENALTIES]          = "penalties",
    [FEATURE_SEED]               = "seed",
    [FEATURE_STOP]               = "stop",
    [FEATURE_CHOICES]            = "n",
    [FEATURE_LOGPROBS]           = "logprobs",
    [FEATURE_LOGIT_BIAS]         = "logit_bias",
    [FEATURE_METADATA]           = "metadata",
    [FEATURE_USER]               = "user",
    [FEATURE_SERVICE_TIER]       = "service_tier",
    [FEATURE_VERBOSITY]          = "verbosity",
};

/* The families; a kind that differs from its family has rows in `differences`. */
enum family { OPENAI, COMPATIBLE, ANTHROPIC, GEMINI, BEDROCK, COHERE, FAMILIES };

#define X EXACT
#define E EMULATED
#define U UNSUPPORTED
static const unsigned char table[FEATURES][FAMILIES] = {
    /*                              openai compat anthr gemini bedrk cohere */
    [FEATURE_SYSTEM]             = { X,     X,     X,    X,     X,    X },
    [FEATURE_MID_SYSTEM]         = { X,     X,     E,    E,     E,    X },
    [FEATURE_STREAM]             = { X,     X,     X,    X,     X,    X },
    [FEATURE_STREAM_USAGE]       = { X,     X,     X,    X,     X,    X },
    [FEATURE_TOOLS]              = { X,     X,     X,    X,     X,    X },
    [FEATURE_PARALLEL_TOOLS]     = { X,     X,     X,    X,     X,    X },
    [FEATURE_PARALLEL_TOOLS_OFF] = { X,     X,     X,    U,     U,    U },
    [FEATURE_CHOICE_NONE]        = { X,     X,     X,    X,     E,    X },
    [FEATURE_CHOICE_REQUIRED]    = { X,     X,     X,    X,     X,    X },
    [FEATURE_CHOICE_NAMED]       = { X,     X,     X,    X,     X,    E },
    [FEATURE_STRICT_TOOLS]       = { X,     X,     E,    E,     E,    E },
    [FEATURE_CUSTOM_TOOLS]       = { X,     U,     U,    U,     U,    U },
    [FEATURE_TOOL_RESULT_IMAGE]  = { E,     E,     X,    E,     X,    U },
    [FEATURE_JSON_OBJECT]        = { X,     X,     E,    X,     E,    X },
    [FEATURE_JSON_SCHEMA]        = { X,     X,     E,    X,     E,    X },
    [FEATURE_IMAGE_URL]          = { X,     X,     X,    E,     E,    X },
    [FEATURE_IMAGE_DATA]         = { X,     X,     X,    X,     X,    X },
    [FEATURE_AUDIO_INPUT]        = { X,     X,     U,    X,     U,    U },
    [FEATURE_AUDIO_OUTPUT]       = { X,     U,     U,    U,     U,    U },
    [FEATURE_PDF]                = { X,     U,     X,    X,     X,    U },
    [FEATURE_FILE_URL]           = { E,     U,     X,    E,     E,    U },
    [FEATURE_REASONING_EFFORT]   = { X,     X,     E,    E,     E,    E },
    [FEATURE_REASONING_BUDGET]   = { E,     E,     X,    X,     X,    X },
    [FEATURE_REASONING_REPLAY]   = { X,     X,     X,    X,     X,    U },
    [FEATURE_CITATIONS]          = { X,     X,     X,    X,     X,    X },
    [FEATURE_CACHE_MARKERS]      = { E,     E,     X,    E,     X,    U }, /* most cache unasked */
    [FEATURE_TEMPERATURE]        = { X,     X,     E,    X,     X,    X },
    [FEATURE_TOP_P]              = { X,     X,     X,    X,     X,    X },
    [FEATURE_TOP_K]              = { U,     U,     X,    X,     X,    X },
    [FEATURE_PENALTIES]          = { X,     X,     U,    X,     U,    X },
    [FEATURE_SEED]               = { X,     X,     U,    X,     U,    X },
    [FEATURE_STOP]               = { X,     X,     X,    X,     X,    X },
    [FEATURE_CHOICES]            = { X,     X,     U,    X,     U,    U },
    [FEATURE_LOGPROBS]           = { X,     X,     U,    X,     U,    U },
    [FEATURE_LOGIT_BIAS]         = { X,     X,     U,    U,     U,    U },
    [FEATURE_METADATA]           = { X,     U,     U,    U,     X,    U },
    [FEATURE_USER]               = { X,     X,     X,    E,     E,    U },
    [FEATURE_SERVICE_TIER]       = { X,     U,     E,    X,     X,    U },
    [FEATURE_VERBOSITY]          = { X,     U,     U,    U,     U,    U },
};

static const struct {
    enum provider_kind kind;
    enum feature feature;
    enum capability capability;
} differences[] = {
    {PROVIDER_VERTEX,     FEATURE_METADATA,         EXACT}, /* labels */
    {PROVIDER_VERTEX,     FEATURE_SERVICE_TIER,     UNSUPPORTED}, /* said by fields */
    {PROVIDER_OPENROUTER, FEATURE_CACHE_MARKERS,    EXACT},
    /* chat completions: dialects/compat.c refuses the same */
    {PROVIDER_PERPLEXITY, FEATURE_TOOLS,              UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_PARALLEL_TOOLS,     UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_PARALLEL_TOOLS_OFF, UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_CHOICE_REQUIRED,    UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_CHOICE_NAMED,       UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_CHOICE_NONE,        UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_STRICT_TOOLS,       UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_TOOL_RESULT_IMAGE,  UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_STOP,               UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_SEED,               UNSUPPORTED},
    {PROVIDER_PERPLEXITY, FEATURE_TOP_K,              EXACT},
    {PROVIDER_MISTRAL,    FEATURE_CHOICE_NAMED,       EMULATED}, /* only that tool is offered */
    {PROVIDER_MISTRAL,    FEATURE_LOGPROBS,           UNSUPPORTED},
    {PROVIDER_MISTRAL,    FEATURE_LOGIT_BIAS,         UNSUPPORTED},
    {PROVIDER_MISTRAL,    FEATURE_USER,               EMULATED}, /* the gateway records who */
    {PROVIDER_MISTRAL,    FEATURE_METADATA,           EXACT},
    {PROVIDER_MISTRAL,    FEATURE_PDF,                EXACT},
    {PROVIDER_MISTRAL,    FEATURE_FILE_URL,           EXACT},
    {PROVIDER_GROQ,       FEATURE_LOGPROBS,           UNSUPPORTED},
    {PROVIDER_GROQ,       FEATURE_LOGIT_BIAS,         UNSUPPORTED},
    {PROVIDER_GROQ,       FEATURE_CHOICES,            UNSUPPORTED},
    {PROVIDER_GROQ,       FEATURE_SERVICE_TIER,       EXACT},
    {PROVIDER_DEEPSEEK,   FEATURE_JSON_SCHEMA,        EMULATED}, /* told, and json_object */
    {PROVIDER_DEEPSEEK,   FEATURE_CHOICES,            UNSUPPORTED},
    {PROVIDER_DEEPSEEK,   FEATURE_SEED,               UNSUPPORTED},
    {PROVIDER_CEREBRAS,   FEATURE_PENALTIES,          UNSUPPORTED},
    {PROVIDER_CEREBRAS,   FEATURE_LOGIT_BIAS,         UNSUPPORTED},
    {PROVIDER_CEREBRAS,   FEATURE_PARALLEL_TOOLS_OFF, UNSUPPORTED},
    {PROVIDER_TOGETHER,   FEATURE_TOP_K,              EXACT},
    {PROVIDER_FIREWORKS,  FEATURE_TOP_K,              EXACT},
    {PROVIDER_FIREWORKS,  FEATURE_SERVICE_TIER,       EXACT},
    {PROVIDER_OPENROUTER, FEATURE_TOP_K,              EXACT},
    {PROVIDER_OPENROUTER, FEATURE_REASONING_BUDGET,   EXACT},
    {PROVIDER_OPENROUTER, FEATURE_PDF,                EXACT},
    {PROVIDER_OPENROUTER, FEATURE_FILE_URL,           EXACT},
    {PROVIDER_OPENROUTER, FEATURE_VERBOSITY,          EXACT},
    {PROVIDER_VLLM,       FEATURE_TOP_K,              EXACT},
    {PROVIDER_OLLAMA,     FEATURE_IMAGE_URL,          EMULATED}, /* it fetches nothing */
};
#undef X
#undef E
#undef U
/* clang-format on */

static enum family
family_of(enum provider_kind kind)
{
    switch (kind) {
    case PROVIDER_OPENAI:
    case PROVIDER_AZURE_OPENAI:
    case PROVIDER_SIMULATOR:
        return OPENAI;
    case PROVIDER_ANTHROPIC:
        return ANTHROPIC;
    case PROVIDER_GEMINI:
    case PROVIDER_VERTEX:
        return GEMINI;
    case PROVIDER_BEDROCK:
        return BEDROCK;
    case PROVIDER_COHERE:
        return COHERE;
    default:
        return COMPATIBLE;
    }
}

enum capability
capability_of(enum provider_kind kind, enum feature f)
{
    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
        if (differences[i].kind == kind && differences[i].feature == f)
            return differences[i].capability;
    return (enum capability)table[f][family_of(kind)];
}

/* --- what clients can say --------------------------------------------------------------------- */

#define BIT(feature) (UINT64_C(1) << (feature))
_Static_assert(FEATURES <= 64, "a bit each");

/* What a client dialect has no words for. */
static const uint64_t unsaid[CLIENT_DIALECTS] = {
    [DIALECT_CHAT] = BIT(FEATURE_TOOL_RESULT_IMAGE) | BIT(FEATURE_FILE_URL) |
                     BIT(FEATURE_REASONING_BUDGET) | BIT(FEATURE_TOP_K),
    [DIALECT_RESPONSES] = BIT(FEATURE_REASONING_BUDGET) | BIT(FEATURE_TOP_K) |
                          BIT(FEATURE_CACHE_MARKERS) | BIT(FEATURE_PENALTIES) | BIT(FEATURE_SEED) |
                          BIT(FEATURE_STOP) | BIT(FEATURE_CHOICES) | BIT(FEATURE_LOGIT_BIAS) |
                          BIT(FEATURE_AUDIO_OUTPUT),
    [DIALECT_ANTHROPIC] = BIT(FEATURE_CUSTOM_TOOLS) | BIT(FEATURE_JSON_OBJECT) |
                          BIT(FEATURE_AUDIO_INPUT) | BIT(FEATURE_AUDIO_OUTPUT) |
                          BIT(FEATURE_PENALTIES) | BIT(FEATURE_SEED) | BIT(FEATURE_CHOICES) |
                          BIT(FEATURE_LOGPROBS) | BIT(FEATURE_LOGIT_BIAS) | BIT(FEATURE_METADATA) |
                          BIT(FEATURE_VERBOSITY),
    [DIALECT_GEMINI] = BIT(FEATURE_MID_SYSTEM) | BIT(FEATURE_PARALLEL_TOOLS_OFF) |
                       BIT(FEATURE_STRICT_TOOLS) | BIT(FEATURE_CUSTOM_TOOLS) |
                       BIT(FEATURE_CACHE_MARKERS) | BIT(FEATURE_LOGIT_BIAS) | BIT(FEATURE_USER) |
                       BIT(FEATURE_VERBOSITY),
};

bool
capability_is_said(enum dialect_id client, enum feature f)
{
    return !(unsaid[client] & BIT(f));
}

enum capability
capability_between(enum dialect_id client, enum provider_kind kind, enum feature f)
{
    const struct policy_provider p = {.kind = kind};
    enum capability c = capability_of(kind, f);
    if (!capability_is_said(client, f))
        return UNSUPPORTED;
    return c == EMULATED && dialect_for(&p, client)->id == client ? EXACT : c;
}

const char *
capability_name(enum capability c)
{
    static const char *const names[] = {
        [UNSUPPORTED] = "unsupported", [EMULATED] = "emulated", [EXACT] = "exact"};
    return names[c];
}

/* --- told ------------------------------------------------------------------------------------- */

static void
write_kind(struct json_emit *e, enum provider_kind kind)
{
    emit_map(e);
    emit_str_member(e, "kind", provider_kind_name(kind));
    emit_name(e, "clients");
    emit_map(e);
    for (enum dialect_id d = 0; d < CLIENT_DIALECTS; d++) {
        emit_name(e, dialect_get(d)->name);
        emit_map(e);
        for (enum feature f = 0; f < FEATURES; f++)
            emit_str_member(e, feature_names[f], capability_name(capability_between(d, kind, f)));
        emit_end_map(e);
    }
    emit_end_map(e);
    emit_end_map(e);
}

int
capabilities_write(const bool used[static PROVIDER_KINDS], struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    emit_map(&e);
    emit_str_member(&e, "object", "list");
    emit_name(&e, "data");
    emit_list(&e);
    for (enum provider_kind k = 1; k < PROVIDER_KINDS; k++)
        if (used[k])
            write_kind(&e, k);
    emit_end_list(&e);
    emit_end_map(&e);
    return e.err;
}
