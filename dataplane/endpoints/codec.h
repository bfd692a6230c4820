/*
 * An endpoint beside conversations: embeddings, rerank, pictures, sound. One const struct an
 * endpoint: what must be known of its requests, which providers have it and where, what is written
 * anew for those who have it in another shape, and how what was used is told.
 *
 * Sans-I/O, as dialects are. Errors of providers are read by the provider's dialect.
 */
#ifndef DATAPLANE_ENDPOINTS_CODEC_H
#define DATAPLANE_ENDPOINTS_CODEC_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/view.h"

/* What a request uses besides text in and text out: known, or guessed, from the request. */
struct codec_units {
    enum usage_class unit;      /* what is counted where tokens are not; USAGE_CLASSES: nothing */
    bool exact;                 /* likely.of[unit] is no guess */
    size_t text_bytes;          /* of the body: those that count as text */
    struct tokens likely, most; /* without the input's text */
    bool costs_nothing;         /* at any provider */
    bool unbounded;             /* no bound is known of what it may cost */
};

struct codec_request {
    struct slice body;
    struct slice content_type; /* as given; may be empty */
    struct slice method, path; /* the path below its mount, with the query */
};

enum codec_way {
    CODEC_UNTOUCHED,  /* the body as it is, but for the model's name */
    CODEC_TRANSLATED, /* write() and read() */
    CODEC_OWN,        /* no provider is asked: answer() */
};
struct codec_route {
    enum codec_way way;
    struct dialect_address address;
};

/* What reading an answer needs to know of what was asked. */
struct codec_exchange {
    const struct dialect_target *target;
    struct slice model; /* as the client spelt it */
    struct slice id;    /* of the request, without a prefix */
    void *asked;        /* made by write(), in the request's arena */
    struct arena *arena;
};

struct codec {
    /* *brief and *units; JSON is checked here. 0, ERR_SYNTAX (*why), ERR_NOMEM. */
    int (*brief)(const struct codec_request *q, struct arena *a, struct request_brief *brief,
                 struct codec_units *units, struct dialect_refusal *why);
    /* 0; ERR_DENIED: the provider has no such endpoint (*why); ERR_NOMEM. Not where it forwards. */
    int (*route)(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
                 struct dialect_refusal *why);
    /* CODEC_TRANSLATED, CODEC_OWN: the body for the provider, or the answer. 0, ERR_SYNTAX,
     * ERR_DENIED (*why), ERR_NOMEM, ERR_LIMIT. */
    int (*write)(struct slice body, struct dialect_writer *w, void **ret_asked, struct buf *into);
    /* CODEC_TRANSLATED: the client's answer of the provider's. 0; ERR_PROTOCOL (*ret_why static),
     * ERR_NOMEM, ERR_LIMIT. */
    int (*read)(struct slice answer, const struct codec_exchange *x, struct buf *into,
                struct usage_report *report, const char **ret_why);
    /* Usage in a whole untouched answer: 0 or ERR_PROTOCOL (no JSON). */
    int (*look)(struct slice answer, struct usage_report *report, bool *ret_error);
    /* The usage object at the end of an answer that was too long to be held, or is no JSON. NULL:
     * as a chat's. */
    void (*usage)(struct slice object, struct usage_report *report);
    bool any_answer;  /* answers may be something else than JSON: they pass as they come */
    bool takes_forms; /* requests are multipart/form-data, not JSON */
    bool forwards;    /* to a provider that is named; nothing is rewritten */
    bool passes_up; /* a POST's body says nothing that the gateway must know: it may go up unheld */
    bool estimates; /* CODEC_OWN answers are estimates, and say so */
};

extern const struct codec codec_embeddings, codec_rerank, codec_count, codec_moderations,
    codec_pictures, codec_picture_edits, codec_picture_variations, codec_speech,
    codec_transcriptions, codec_translations, codec_files, codec_batches, codec_passthrough;

/* --- what they share (codec.c) ---------------------------------------------------------------- */

/* A JSON body with a member `model`: as the chat dialect's brief, with all of it counted as text.
 */
MUST_CHECK int codec_brief_json(const struct codec_request *q, struct arena *a,
                                struct request_brief *brief, struct codec_units *units,
                                struct dialect_refusal *why);
/* Untouched to `method` of those who speak OpenAI's API; ERR_DENIED for all others. */
MUST_CHECK int codec_route_openai(const struct dialect_target *t, const char *method,
                                  struct arena *a, struct codec_route *ret,
                                  struct dialect_refusal *why);
/* ERR_DENIED, and why: the provider has no `what`. */
int codec_refuse(const struct dialect_target *t, const char *what, struct dialect_refusal *why);
/* POST /model/ID/invoke of Bedrock's. */
MUST_CHECK int codec_address_invoke(const struct dialect_target *t, struct arena *a,
                                    struct dialect_address *ret);
/* The view of a valid JSON object, or ERR_PROTOCOL. */
MUST_CHECK int codec_object(struct slice text, struct json_view *ret);
/* Tokens of input, with no output to come; -1 (none told) leaves the report as it is. */
void codec_report_input(struct usage_report *report, int64_t tokens);

#endif
