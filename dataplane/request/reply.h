/*
 * Answers of our own: refusals and failures as rows of one table, and the fields that every answer
 * carries. A stage refuses with `return reply_refuse(r, PROBLEM_..., "...")`; deliver sends it.
 */
#ifndef DATAPLANE_REQUEST_REPLY_H
#define DATAPLANE_REQUEST_REPLY_H

#include "dataplane/dialects/canonical.h"
#include "dataplane/request/story.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/http/message.h"

enum problem {
    PROBLEM_NONE,
    PROBLEM_NO_KEY,
    PROBLEM_BAD_KEY,
    PROBLEM_NO_POLICY,
    PROBLEM_PARTITIONED,
    PROBLEM_INVALID_JSON,
    PROBLEM_INVALID_FORM,
    PROBLEM_DUPLICATE_MEMBER,
    PROBLEM_MISSING_MEMBER,
    PROBLEM_INVALID_VALUE,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_CONTENT_ENCODING,
    PROBLEM_TOO_LARGE,
    PROBLEM_OVERLOADED,
    PROBLEM_EXHAUSTED,
    PROBLEM_NO_SUCH_PATH,
    PROBLEM_METHOD,
    PROBLEM_TEAM_DISABLED,
    PROBLEM_SCOPE_ADDRESS,
    PROBLEM_SCOPE_ENDPOINT,
    PROBLEM_SCOPE_PARAMETER,
    PROBLEM_SCOPE_ROLE, /* no role of who asks allows it */
    PROBLEM_MODEL_NOT_FOUND,
    PROBLEM_PROVIDER_NOT_FOUND,
    PROBLEM_PROVIDER_NEEDED, /* and the request does not say which */
    PROBLEM_UNSUPPORTED,     /* the provider cannot do what a member asks for */
    PROBLEM_MEDIA,           /* what a URL names cannot be had */
    PROBLEM_WRONG_PROVIDER,  /* the provider has no such endpoint */
    PROBLEM_UNPRICED_MODEL,
    PROBLEM_UNBOUNDED,
    PROBLEM_QUOTA,
    PROBLEM_BUDGET,
    PROBLEM_SPENT, /* a stream is cut: it costs more than was reserved */
    PROBLEM_UNVERIFIABLE,
    PROBLEM_LEDGER,
    PROBLEM_SHUTDOWN,
    PROBLEM_UPSTREAM_UNREACHABLE,
    PROBLEM_UPSTREAM_DENIED,
    PROBLEM_UPSTREAM_TLS,
    PROBLEM_UPSTREAM_TRUNCATED,
    PROBLEM_UPSTREAM_PROTOCOL,
    PROBLEM_UPSTREAM_TIMEOUT,
    PROBLEM_UPSTREAM_AUTH,
    PROBLEM_UPSTREAM_ERROR, /* the provider's own error: status, type and code are its */
    PROBLEMS
};

struct problem_row {
    int status;
    const char *code;  /* public and stable: error.code, x-headgate-error, a metric's label */
    const char *type;  /* OpenAI's classes */
    int retry_after_s; /* 0: not sent */
};
extern const struct problem_row problems[PROBLEMS];

#define LIMIT_REPLY_EXTRAS 4

struct reply {
    enum problem problem;
    int status;                                  /* 0: there is no reply of our own */
    struct slice body;                           /* JSON */
    struct slice error_code;                     /* "" for an answer that is no error */
    struct slice retry_after;                    /* text; empty: none */
    struct http_field extra[LIMIT_REPLY_EXTRAS]; /* stages/admit.c: what a limit's refusal tells */
    size_t extra_count;
    bool from_provider; /* the error is the provider's own */
};

/* All of these make r's reply and return REPLY; a reply made earlier is replaced. */
enum verdict reply_refuse(struct request *r, enum problem p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, naming the member concerned as error.param. */
enum verdict reply_refuse_member(struct request *r, enum problem p, const char *member,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A provider's error, in the client's dialect; e->status is what the client gets. retry_after: its
 * field, or empty. */
enum verdict reply_provider_error(struct request *r, const struct canon_error *e,
                                  struct slice retry_after);
/* What a failed attempt (an error of http_call_handlers.on_fail) is to the client. */
enum verdict reply_upstream_failed(struct request *r, int err, const char *why);
enum problem problem_of_failure(int err);
/* A good answer of our own. body is kept: it lies in r's arena. */
enum verdict reply_json(struct request *r, struct slice body);

/* The fields that every answer carries, then those of the reply, into ret_fields (which has room
 * for LIMIT_ANSWER_FIELDS); returns how many. Values live in r's arena, or longer. */
size_t reply_fields(struct request *r, struct http_field *ret_fields);

/* Appends the error event that ends a stream that broke, in the client's dialect. 0 or ERR_NOMEM.
 */
MUST_CHECK int reply_event(const struct request *r, enum problem p, const char *message,
                           struct buf *into);
/* The same for an error event of the provider's own. */
MUST_CHECK int reply_provider_event(const struct request *r, const struct canon_error *e,
                                    struct buf *into);
/* Body of an error that is told before there is a request. */
void reply_early_error(enum dialect_id dialect, int status, const char *code, const char *message,
                       struct buf *into);
/* The same before it is known what was asked for; for http_server_config.error_body. */
void reply_server_error(int status, const char *code, const char *message, struct buf *into);

#endif
