/*
 * The canonical form: what a chat request, an answer and the events of a stream mean, whichever
 * dialect they are written in. Each dialect converts to and from this form, so that N client
 * dialects and M provider dialects cost N + M files.
 *
 * Only requests that change dialect take this way; between equal dialects bytes pass untouched.
 *
 * Conventions:
 *  - Everything lies in one arena (the request's) or points into the text that was read; nothing is
 *    freed by itself.
 *  - `struct slice` members are decoded UTF-8 text, empty (at == NULL) when absent, unless their
 *    name ends in _raw: those are JSON texts, byte for byte as they came, so that what a provider
 *    must get back unchanged stays unchanged. Numbers of sampling are kept as their JSON text.
 *  - A dialect fills only what its wire format says; writers treat absent as the provider's
 * default.
 *  - What has no canonical meaning is never dropped in silence: it is an `extra` (a request's
 *    member) or an OPAQUE part (an item), with its origin. A writer of another dialect refuses it
 * by name or, where the key allows that, leaves it out and notes it (canon_degrade()).
 */
#ifndef DATAPLANE_DIALECTS_CANONICAL_H
#define DATAPLANE_DIALECTS_CANONICAL_H

#include "dataplane/dialects/usage.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Wire formats. The first four are also spoken by clients. */
enum dialect_id {
    DIALECT_CHAT,      /* OpenAI chat completions, and all who imitate it */
    DIALECT_RESPONSES, /* OpenAI Responses */
    DIALECT_ANTHROPIC, /* Anthropic Messages */
    DIALECT_GEMINI,    /* Gemini generateContent; Vertex AI */
    DIALECT_CONVERSE,  /* AWS Bedrock Converse */
    DIALECT_COHERE,    /* Cohere v2 chat */
    DIALECTS
};
#define CLIENT_DIALECTS 4

/* A yes or no that may be absent. */
enum tri { TRI_ABSENT, TRI_NO, TRI_YES };

/* --- parts of messages ------------------------------------------------------------------------ */

enum canon_role { ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL };

enum canon_part_kind {
    PART_TEXT,
    PART_REFUSAL,
    PART_REASONING,   /* text: what may be read of it (thinking, or its summary); may be empty */
    PART_IMAGE,       /* media */
    PART_AUDIO,       /* media; of an answer: media.id and text (the transcript) too */
    PART_FILE,        /* media: a document */
    PART_TOOL_CALL,   /* id, name, arguments */
    PART_TOOL_RESULT, /* id, parts, is_error */
    PART_OPAQUE,      /* raw: an item that only its origin understands (hosted tools, compaction) */
};

/* After this part the provider may cache the prompt (Anthropic cache_control, Bedrock cachePoint).
 */
enum canon_cache { CACHE_NONE, CACHE_5M, CACHE_1H };

struct canon_media {
    struct slice mime;    /* "image/png"; empty: not known */
    struct slice data;    /* base64 text, without line breaks; or */
    struct slice url;     /* https://..., gs://..., s3://...; or */
    struct slice file_id; /* of the provider's file store (origin says whose) */
    struct slice text;    /* a document given as plain text; mime is text/plain */
    struct slice name;    /* file name or title */
    struct slice detail;  /* OpenAI's image detail: "low", "high", "auto" */
    struct slice id;      /* audio of an earlier answer */
    struct slice expires; /* digits: unix seconds, of an answer's audio */
};

/* Where a piece of an answer's text comes from. raw is the origin's own object, byte for byte. */
struct canon_citation {
    struct slice url, title, cited_text;
    int64_t start, end; /* characters (code points) of the part's text; -1: not known */
    enum dialect_id origin;
    struct slice raw;
};

struct canon_part {
    enum canon_part_kind kind;
    enum canon_cache cache;
    enum dialect_id origin; /* of signature, encrypted, raw and media.file_id: only this dialect
                               gets them back */
    bool is_error;          /* TOOL_RESULT */
    bool custom;            /* TOOL_CALL and its RESULT: a tool with free-form input */
    struct slice text;      /* TEXT, REFUSAL, REASONING */
    struct slice id;        /* TOOL_CALL, TOOL_RESULT: of the call, never empty there (a dialect
                               without ids mints one: canon_mint_id()); REASONING, OPAQUE, TEXT: of
                               the item, when the origin has one */
    struct slice name;      /* TOOL_CALL: the function; TOOL_RESULT: the function, when known */
    struct slice arguments; /* TOOL_CALL: the JSON text of the arguments as the model wrote it
                               ("" means {}); with `custom`: the input text itself */
    struct slice signature; /* must come back unchanged with this part (Anthropic
                               thinking.signature, Gemini thoughtSignature, Bedrock) */
    struct slice encrypted; /* REASONING: all there is of it (Anthropic redacted_thinking.data,
                               OpenAI encrypted_content, Bedrock redactedContent) */
    struct slice raw;       /* OPAQUE: the whole item, byte for byte. Other kinds: empty, or members
                               of the origin that have no canonical meaning, as one JSON object */
    struct canon_media media;
    const struct canon_part *parts; /* TOOL_RESULT: its content (TEXT, IMAGE, FILE) */
    size_t part_count;
    const struct canon_citation *citations; /* TEXT */
    size_t citation_count;
};

struct canon_message {
    enum canon_role role;
    struct slice name;
    const struct canon_part *parts; /* ROLE_TOOL: TOOL_RESULTs only */
    size_t count;
};

/* --- tools ------------------------------------------------------------------------------------ */

enum canon_tool_kind {
    TOOL_FUNCTION,
    TOOL_CUSTOM, /* free-form input (OpenAI); format_raw says how it is bound */
    TOOL_HOSTED, /* run by the provider: raw, for its origin only */
};

struct canon_tool {
    enum canon_tool_kind kind;
    struct slice name, description;
    struct slice schema_raw; /* JSON Schema of the arguments; empty: none */
    struct slice format_raw; /* TOOL_CUSTOM: in the shape of chat completions */
    enum tri strict;
    enum canon_cache cache;
    enum dialect_id origin;
    struct slice raw; /* TOOL_HOSTED: whole; else members without canonical meaning, or empty */
};

enum canon_choice { CHOICE_ABSENT, CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED };

/* --- a request -------------------------------------------------------------------------------- */

enum canon_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SCHEMA };

/* A top-level member of the client's request that has no canonical meaning. */
struct canon_extra {
    struct slice name;
    struct slice raw;
};

#define LIMIT_STOPS 16
struct canon_request {
    enum dialect_id origin;
    struct slice model; /* as the client spelt it */
    bool stream;
    bool include_usage; /* the client wants usage in its stream (always true but for CHAT) */
    bool old_functions; /* CHAT: the client calls tools functions, and is answered so */

    const struct canon_message *messages; /* in order; system messages where they stand */
    size_t message_count;

    const struct canon_tool *tools;
    size_t tool_count;
    enum canon_choice tool_choice;
    struct slice tool_choice_name;
    enum tri parallel_tools;

    struct slice temperature, top_p, top_k, frequency_penalty, presence_penalty, seed; /* numbers */
    int64_t max_tokens; /* -1: absent. All output, reasoning included */
    int64_t choices;    /* n; 1 when absent */
    struct slice stops[LIMIT_STOPS];
    size_t stop_count;
    struct slice logit_bias_raw; /* object */
    enum tri logprobs;
    int64_t top_logprobs; /* -1: absent */

    enum canon_format format;
    struct slice format_name, format_description, format_schema_raw;
    enum tri format_strict;

    struct {
        struct slice effort;  /* "none", "minimal", "low", "medium", "high", "xhigh", "max" */
        int64_t budget;       /* tokens; -1: absent; 0: off; -2: the model decides (adaptive) */
        enum tri show;        /* whether the client wants to see it (summary, includeThoughts) */
        struct slice summary; /* OpenAI: "auto", "concise", "detailed" */
    } reasoning;

    struct slice user;         /* end user */
    struct slice metadata_raw; /* object of texts */
    struct slice service_tier, verbosity, cache_key;
    enum tri store;

    const struct canon_extra *extras;
    size_t extra_count;
};

/* --- an answer -------------------------------------------------------------------------------- */

enum canon_finish {
    FINISH_NONE, /* the provider said nothing */
    FINISH_STOP,
    FINISH_STOP_SEQUENCE,
    FINISH_LENGTH,
    FINISH_TOOL_CALLS,
    FINISH_CONTENT_FILTER,
    FINISH_REFUSAL, /* Anthropic's; to others a content filter */
    FINISH_PAUSE,   /* a hosted tool's turn is not over: send it back to go on */
    FINISH_ERROR,   /* malformed call, internal failure: no clean end */
};

struct canon_choice_answer {
    const struct canon_part *parts;
    size_t count;
    enum canon_finish finish;
    struct slice native_finish; /* the provider's own word */
    struct slice stop_sequence;
    struct slice logprobs_raw; /* OpenAI's object */
};

struct canon_answer {
    struct slice id, model; /* as the provider says; may be empty */
    int64_t created_unix_s; /* 0: not said */
    const struct canon_choice_answer *choices;
    size_t choice_count; /* at least 1 */
    struct usage_report usage;
    enum dialect_id origin;
    struct slice service_tier;
    struct slice fingerprint;
};

/* --- events of a stream -----------------------------------------------------------------------
 *
 * Order: START, then for each choice PART_START, DELTA*, PART_END in the order of `part` (counted
 * from 0 within the choice; parts may overlap: parallel tool calls whose deltas interleave), FINISH
 * for each choice, USAGE any number of times (the last one counts), END once. ERROR may stand
 * anywhere and is the last one then.
 *
 * A decoder gives START before anything else and END only for the provider's own terminal; what
 * ends without END was cut. The gatherer (gather.h) makes a canon_answer of events; answers and
 * streams of the same content gather to the same.
 */
enum canon_event_kind {
    EVENT_START,      /* id, model, created, service_tier, fingerprint; of.origin: the answer's */
    EVENT_PART_START, /* part: kind, id, name, origin; what comes whole (OPAQUE, encrypted, media)
                         is there already; so is a TOOL_CALL's signature, never told later: it
                         may have to travel inside the id */
    EVENT_DELTA,      /* text: more of text, reasoning, refusal or arguments */
    EVENT_DATA,       /* text: more of media.data (base64) */
    EVENT_SIGNATURE,  /* text: more of the part's signature */
    EVENT_CITATION,   /* citation */
    EVENT_PART_END,   /* of: id, encrypted, raw, media.expires where only the end of the part told
                         them, else empty */
    EVENT_LOGPROBS,   /* text: OpenAI's logprobs object of this piece */
    EVENT_FINISH,     /* finish, text (the provider's own word), stop_sequence */
    EVENT_USAGE,      /* usage */
    EVENT_ERROR,      /* error: the provider's own */
    EVENT_END,
};

/* How an error is classed; each dialect has its own word (and status) for the class. */
enum canon_error_class {
    ERROR_INVALID,   /* 400, 413, 415, 422 */
    ERROR_AUTH,      /* 401 */
    ERROR_BILLING,   /* 402 */
    ERROR_DENIED,    /* 403 */
    ERROR_NOT_FOUND, /* 404 */
    ERROR_TOO_LARGE, /* 413 */
    ERROR_RATE,      /* 429 */
    ERROR_SERVER,    /* 500 */
    ERROR_UPSTREAM,  /* 502 */
    ERROR_OVERLOAD,  /* 503, 529 */
    ERROR_TIMEOUT,   /* 408, 504 */
};

struct canon_error {
    enum canon_error_class kind;
    int status;              /* HTTP; 0 in a stream whose error names none */
    struct slice message;    /* never empty */
    struct slice type, code; /* the provider's or the gateway's own words; may be empty */
    struct slice param;      /* the member concerned */
    struct slice request_id; /* the gateway's, where the dialect's shape has a place for it */
    bool from_provider;      /* else the gateway's own */
    int64_t retry_ms;        /* when to try again, where the body says so (Gemini); 0: not said */
};
#define LIMIT_ERROR_MESSAGE_BYTES ((size_t)4096) /* of a message; escaped it stays below 8 KiB */
enum canon_error_class canon_class_of_status(int status);

struct canon_event {
    enum canon_event_kind kind;
    unsigned choice, part;
    struct canon_part of; /* PART_START, PART_END */
    struct slice text;
    struct slice id, model, service_tier, fingerprint; /* START */
    int64_t created_unix_s;                            /* START */
    enum canon_finish finish;
    struct slice stop_sequence;
    struct canon_citation citation;
    struct usage_report usage;
    struct canon_error error;
};

/* Takes one event; slices are valid during the call. 0 or a negative error, which ends the stream.
 */
struct canon_sink {
    int (*take)(void *ctx, const struct canon_event *e);
    void *ctx;
};

/* --- helpers that all dialects share (canonical.c) -------------------------------------------- */

/* An id for a call whose provider gives none: PREFIX and 24 letters and digits. In the arena; at ==
 * NULL: no memory. */
struct slice canon_mint_id(struct arena *a, const char *prefix);

/* A signature that belongs to a tool call travels inside the call's id where the client's dialect
 * has no place for it, so that clients which keep nothing but ids lose nothing:
 * "ID__sig_BASE64URL". canon_pack_id gives the packed id; canon_unpack_id takes one apart (false:
 * it carries none; *ret_id is then the whole). *ret_origin is which dialect the signature is of. */
MUST_CHECK int canon_pack_id(struct arena *a, struct slice id, enum dialect_id origin,
                             struct slice signature, struct slice *ret_packed);
bool canon_unpack_id(struct arena *a, struct slice packed, struct slice *ret_id,
                     enum dialect_id *ret_origin, struct slice *ret_signature);
/* An id that fits `max` bytes of [A-Za-z0-9_-]: the id itself when it does, else one derived from
 * it by hash, the same each time. */
struct slice canon_fit_id(struct arena *a, struct slice id, size_t max);

/* "data:image/png;base64,AAAA" to mime and data. False: it is no such URL. */
bool canon_data_url(struct slice url, struct slice *ret_mime, struct slice *ret_data);

/* Tokens for an effort and back, for providers that count a budget: minimal 1024, low 2048, medium
 * 8192, high 16384, xhigh and max 32768; none 0. -1: not an effort. */
int64_t canon_budget_of_effort(struct slice effort);
const char *canon_effort_of_budget(int64_t budget);

/* The text of all TEXT parts, joined. For one part no copy is made. at == NULL: no memory. */
struct slice canon_joined_text(struct arena *a, const struct canon_part *parts, size_t count);

#endif
