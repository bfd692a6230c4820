/*
 * What the files of the Converse dialect share: AWS Bedrock's Converse and ConverseStream, spoken
 * to providers only. One shape for all families of models; what differs by family is here.
 */
#ifndef DATAPLANE_DIALECTS_CONVERSE_INTERNAL_H
#define DATAPLANE_DIALECTS_CONVERSE_INTERNAL_H

#include "dataplane/dialects/anthropic_internal.h"
#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

#define LIMIT_CONVERSE_NAME_BYTES 64 /* of a tool, and of a call's id */

/* --- models (converse_model.c) ---------------------------------------------------------------- */

enum converse_family {
    CONVERSE_OTHER, /* whatever an ARN of the account's own hides, too */
    CONVERSE_CLAUDE,
    CONVERSE_NOVA,
    CONVERSE_NOVA_2,
    CONVERSE_MISTRAL,
    CONVERSE_LLAMA,
    CONVERSE_TITAN,
    CONVERSE_GPT_OSS,
};

/* How structured output is had. */
enum converse_json { CONVERSE_JSON_NATIVE, CONVERSE_JSON_TOOL, CONVERSE_JSON_ASKED };

struct converse_model {
    enum converse_family family;
    bool may_choose_any, may_choose_one;  /* toolChoice any, tool */
    bool has_status;                      /* toolResult.status */
    bool has_cache;                       /* cachePoint */
    bool has_cache_hour;                  /* ttl "1h" */
    const struct anthropic_model *claude; /* of that family, else NULL */
    enum converse_json json;
};
/* By its id: "anthropic.claude-...", "us.amazon.nova-...", an ARN that ends in one. */
struct converse_model converse_model_of(struct slice id);

/* --- writing ---------------------------------------------------------------------------------- */

struct converse_writing {
    struct json_emit e;
    struct dialect_writer *w;
    const struct canon_request *q;
    struct converse_model model;
    const struct canon_part *call; /* the history's first one, or NULL */
    bool gives_tools;              /* the request's own */
    bool thinks;                   /* thinking was turned on */
    bool is_lone_system;           /* it stands in the user's place */
    unsigned documents;            /* named so far */
    char member[96];               /* where we are: "messages[3]" */
};

/* converse_content.c: the blocks of messages that are no system messages, as turns that alternate.
 * 0 or an error. */
MUST_CHECK int converse_write_messages(struct converse_writing *c);
void converse_write_cache(struct converse_writing *c, enum canon_cache cache);

/* converse_tools.c: finds out which tools are given; toolConfig, where there are any or the history
 * has calls. */
void converse_look_at_tools(struct converse_writing *c);
MUST_CHECK int converse_write_tools(struct converse_writing *c);

/* converse_metadata.c: requestMetadata, of the request's metadata and its user. */
MUST_CHECK int converse_write_metadata(struct converse_writing *c);

/* converse_request.c */
int converse_write_request(const struct canon_request *q, struct dialect_writer *w,
                           struct buf *into);

/* --- reading ---------------------------------------------------------------------------------- */

/* converse_answer.c */
int converse_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                         struct canon_answer *ret, const char **ret_why);
void converse_read_usage(struct json_view usage, struct json_view tier, struct usage_report *ret);
/* made_json: the only calls were of JSON_TOOL_NAME, which are text. */
enum canon_finish converse_read_finish(struct json_view v, bool made_json, struct slice *ret_word);
/* One of citationsContent's, or of a stream's citation. 0 or ERR_NOMEM. */
MUST_CHECK int converse_read_citation(struct json_view v, struct arena *a,
                                      struct canon_citation *ret);

/* converse_error.c */
int converse_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);

/* converse_stream.c */
extern const struct dialect_decoder converse_decoder;

#endif
