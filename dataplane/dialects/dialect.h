/*
 * A dialect: one wire format, as clients speak it, as providers speak it, or both. One const struct
 * a dialect, registered in dialects.c; what it cannot do is NULL.
 *
 * Sans-I/O and without globals: texts in, texts and events out. A dialect knows no socket, no clock
 * and no request; limits come with the texts it is given (they are bounded by then).
 *
 * Two ways through the gateway:
 *  - untouched: client and provider speak the same dialect. brief() finds what the gateway must
 * know, address() says where to send it, watch() looks at each event that goes by.
 *  - translated: read_request() -> canonical -> the provider's write_request(); the provider's
 * decoder or read_answer() -> canonical -> the client's encoder or write_answer().
 */
#ifndef DATAPLANE_DIALECTS_DIALECT_H
#define DATAPLANE_DIALECTS_DIALECT_H

#include "dataplane/dialects/canonical.h"
#include "dataplane/dialects/capabilities.h"
#include "lib/http/message.h"
#include "lib/json/scan.h"
#include "lib/policy/policy.h"

/* --- why a request is refused ----------------------------------------------------------------- */

/* Filled by whoever returns ERR_SYNTAX (malformed, forbidden by the dialect) or ERR_DENIED (the
 * provider cannot do it). */
struct dialect_refusal {
    char message[512];
    char member[96]; /* "messages[2].content[0].image_url"; "" when no member is concerned */
    bool duplicate;  /* the member stands twice */
    bool missing;    /* the member is required */
};
/* Fills *why and returns err, for `return dialect_refuse(why, ERR_SYNTAX, "tools[1].name", "...")`.
 */
MUST_CHECK int dialect_refuse(struct dialect_refusal *why, int err, const char *member,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* --- where a request goes --------------------------------------------------------------------- */

struct dialect_target {
    const struct policy_provider *provider;
    struct slice model; /* the provider's own name */
};

#define LIMIT_ADDRESS_FIELDS 6
struct dialect_address {
    struct slice path; /* below the provider's prefix, query included: "/messages" */
    struct http_field fields[LIMIT_ADDRESS_FIELDS]; /* fixed ones: anthropic-version */
    size_t field_count;
};

/* --- untouched -------------------------------------------------------------------------------- */

/* How the request came: what is not in its body. */
struct dialect_call {
    struct slice path_model; /* Gemini: from the path, decoded; else empty */
    bool path_stream;        /* Gemini: streamGenerateContent */
};

/* What the gateway must know of any request. Spans are of the body. */
struct request_brief {
    struct json_span model_at; /* JSON_ABSENT where the model stands in the path */
    bool model_is_bare;        /* it is a form's field, not JSON */
    struct json_span stream_at, stream_options_at;
    struct slice model; /* decoded, in the arena or the body; empty: not given */
    bool stream;
    const char *tools_member; /* the first member that gives tools ("tools", "functions") */
    int64_t max_tokens;       /* the largest limit of output that is given; 0: none */
    const char
        *max_tokens_member; /* the member that is, or that is malformed; NULL: none is there */
    bool max_tokens_odd;    /* max_tokens_member is no positive integer */
    int64_t choices;        /* at least 1 */
    int64_t
        least_tokens; /* below it a limit of output would be refused: what thinking takes, and one
                       */
    struct slice end_user;
    struct json_span metadata_at; /* a map; JSON_ABSENT: the dialect has none, or it is no map */
};

/* Edits of a client's body that set the limit of its output. */
#define LIMIT_OUTPUT_EDITS 2
struct output_edits {
    struct json_splice at[LIMIT_OUTPUT_EDITS];
    size_t count;
};
/* `map` is an object of the body; NULL: the body. Each of the `names` (spellings of one member)
 * that is a number above n becomes n; where none is a number, `name` is put in, or takes the place
 * of null. 0 or ERR_NOMEM. */
MUST_CHECK int dialect_limit_member(struct slice body, const struct json_span *map,
                                    const char *const *names, size_t count, const char *name,
                                    int64_t n, struct arena *a, struct output_edits *ret);

enum watch_verdict {
    WATCH_PASS,
    WATCH_DROP,    /* not for the client: only the gateway had asked for it */
    WATCH_CUT,     /* pass it without the member at `cut` */
    WATCH_MAY_END, /* pass; from here on the connection's clean end is a clean end */
    WATCH_DONE,    /* pass; this is the provider's terminal */
    WATCH_BROKEN,  /* an error event of the provider's: kept back, told in our shape */
};
struct watched {
    struct usage_report *report;
    bool strip_usage;      /* usage was asked for by us, not by the client */
    bool may_end;          /* WATCH_MAY_END was said */
    bool done_is_optional; /* this provider ends some streams without its terminal */
    struct json_span cut;
};

/* --- translated ------------------------------------------------------------------------------- */

#define LIMIT_DEGRADED 16
/* What a writer works with, and what it found out. */
struct dialect_writer {
    struct arena *arena;
    const struct dialect_target *target;
    bool may_degrade; /* the key allows leaving out what the provider cannot do */
    struct dialect_refusal *why;

    struct slice degraded[LIMIT_DEGRADED]; /* members left out: names for x-headgate-degraded */
    size_t degraded_count;
    bool json_by_tool; /* structured output is made by a forced call of the tool json_tool_name */
};
/* The tool that stands for structured output where a provider has none. */
#define JSON_TOOL_NAME "respond_with_json"

/* Whether the target can do `feature`, which `member` of the request asks for: 0 yes (exactly or
 * emulated); 1 no, but it may be left out: skip it (noted); ERR_DENIED: refused, *w->why filled. */
MUST_CHECK int dialect_need(struct dialect_writer *w, enum feature feature, const char *member);
/* The same for what no feature covers: 1 or ERR_DENIED. `reason` ends a sentence after "PROVIDER".
 */
MUST_CHECK int dialect_leave_out(struct dialect_writer *w, const char *member, const char *reason);
/* All extras of a request from another dialect, but for the `harmless` ones (NULL-terminated names
 * that change nothing about the answer): 0 when none is left, 1 when all others were left out.
 * What names something that only the dialect's own server keeps is refused in any case. */
MUST_CHECK int dialect_leave_extras(struct dialect_writer *w, const struct canon_request *q,
                                    const char *const *harmless);

/* What a reader of answers must know of the request. */
struct dialect_exchange {
    const struct canon_request *request;
    const struct dialect_target *target; /* who answers; NULL: not known */
    bool json_by_tool;                   /* the call of JSON_TOOL_NAME is text */
};

enum framing { FRAMING_SSE, FRAMING_EVENTSTREAM, FRAMING_NDJSON };

/* One event of a provider's stream, whatever its framing. */
struct wire_event {
    struct slice
        name; /* SSE "event:"; eventstream ":event-type" or ":exception-type"; else empty */
    struct slice data;
    bool is_exception; /* eventstream: an exception or error frame */
};

struct dialect_decoder {
    size_t state_bytes;
    /* state is zeroed. keep lives as long as the stream: only what is bounded goes there. */
    int (*init)(void *state, struct arena *keep, const struct dialect_exchange *x);
    /* scratch is emptied after each event. 0; ERR_PROTOCOL: what came is not this dialect; else as
     * the sink says. */
    int (*event)(void *state, const struct wire_event *e, struct arena *scratch,
                 const struct canon_sink *sink);
    /* The connection has ended cleanly: END when that is this dialect's terminal, else
     * ERR_TRUNCATED. Not called after END or ERROR. */
    int (*end)(void *state, const struct canon_sink *sink);
};

/* What the client sees as id and model, where the provider's own are absent or of no use to it. */
struct answer_names {
    struct slice id;    /* letters and digits, without the dialect's prefix ("msg_", "resp_") */
    struct slice model; /* as the client spelt it */
    int64_t now_unix_s;
};

/* Writes a client's stream. Gets the events of a decoder; puts whole SSE events into `into`. */
struct dialect_encoder {
    size_t state_bytes;
    int (*init)(void *state, struct arena *keep, const struct canon_request *q,
                const struct answer_names *names);
    int (*event)(void *state, const struct canon_event *e, struct buf *into);
    void (*fini)(void *state); /* may be NULL */
};

/* A provider's error answer, before any stream. */
struct dialect_fault {
    int status;
    struct slice body;       /* maybe empty, maybe HTML */
    struct slice error_type; /* x-amzn-errortype */
};

struct dialect {
    enum dialect_id id;
    const char *name;             /* "chat", "responses", "anthropic", "gemini", "converse" ... */
    const char *const *passed_up; /* client's fields that go up on the untouched way; NULL-ended */
    enum framing framing;

    /* --- untouched; JSON is valid when these are called, but for brief --------------------------
     */
    /* Scans the whole body (valid JSON, no duplicate of a member it reads). 0, ERR_SYNTAX,
     * ERR_NOMEM. */
    int (*brief)(struct slice body, const struct dialect_call *call, struct arena *a,
                 struct request_brief *ret, struct dialect_refusal *why);
    /* The edits with which the client's body (brief() has passed it, and found no odd limit) lets
     * no more than n tokens out. 0 or ERR_NOMEM. NULL: no client speaks it. */
    int (*limit_output)(struct slice body, const struct dialect_target *t, int64_t n,
                        struct arena *a, struct output_edits *ret);
    /* Also for the translated way. 0 or ERR_NOMEM. */
    int (*address)(const struct dialect_target *t, bool stream, struct arena *a,
                   struct dialect_address *ret);
    /* 0 and *ret, or ERR_PROTOCOL: not an event of this dialect. Scans the data (once). */
    int (*watch)(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret);
    /* Usage of a whole answer that went by. *ret_error: it is an error in a good status's clothes.
     * 0 or ERR_PROTOCOL (no JSON object). */
    int (*look)(struct slice body, struct usage_report *report, bool *ret_error);

    /* --- as clients speak it --------------------------------------------------------------------
     */
    /* body has passed brief(). Slices may point into body. 0, ERR_SYNTAX, ERR_NOMEM. */
    int (*read_request)(struct slice body, const struct dialect_call *call, struct arena *a,
                        struct canon_request *ret, struct dialect_refusal *why);
    int (*write_answer)(const struct canon_request *q, const struct canon_answer *answer,
                        const struct answer_names *names, struct buf *into);
    const struct dialect_encoder *encoder;
    /* An error as a whole body, and as the event(s) that end a stream. 0 or ERR_NOMEM. */
    int (*write_error)(const struct canon_error *e, struct buf *into);
    int (*write_error_event)(const struct canon_error *e, struct buf *into);

    /* --- as providers speak it ------------------------------------------------------------------
     */
    int (*write_request)(const struct canon_request *q, struct dialect_writer *w, struct buf *into);
    /* Media given by URL that the provider does not fetch itself: it is fetched first, and then
     * media->data is there when write_request comes. NULL: never. */
    bool (*wants_inline)(const struct dialect_target *t, const struct canon_part *part);
    /* 0, ERR_PROTOCOL (not an answer of this dialect; *ret_why static), ERR_NOMEM. */
    int (*read_answer)(struct slice body, const struct dialect_exchange *x, struct arena *a,
                       struct canon_answer *ret, const char **ret_why);
    const struct dialect_decoder *decoder;
    /* Always gives a message. 0 or ERR_NOMEM. */
    int (*read_error)(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
};

extern const struct dialect dialect_chat, dialect_responses, dialect_anthropic, dialect_gemini,
    dialect_converse, dialect_cohere;

/* Whether a provider's answers differ so much from the dialect they claim to be in that clients of
 * that dialect cannot read them: they are translated, though the request is not. */
bool dialect_answers_deviate(const struct policy_provider *p);
const struct dialect *dialect_get(enum dialect_id id);
/* The dialect that a provider is spoken to in, for a client of dialect `client`: the client's own
 * where the provider speaks it, else the provider's first. */
const struct dialect *dialect_for(const struct policy_provider *p, enum dialect_id client);

#endif
