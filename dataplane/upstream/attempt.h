/*
 * One call of one provider: over HTTP, or by the simulator inside the worker. Those who use an
 * attempt cannot tell which.
 *
 * on_send? -> on_head -> on_body* -> exactly one of on_end, on_fail. Nothing is called before
 * attempt_start returns; attempt_cancel never calls back. `running` is NULL iff no call is pending;
 * it is cleared before on_end and on_fail.
 */
#ifndef DATAPLANE_UPSTREAM_ATTEMPT_H
#define DATAPLANE_UPSTREAM_ATTEMPT_H

#include "dataplane/state/services.h"
#include "lib/http/message.h"

struct attempt_handlers {
    /* The first byte is about to leave (again when a dead connection is replaced): false stops, and
     * on_fail(ERR_CANCELLED) follows. */
    bool (*on_send)(void *ctx);
    /* Slices are valid during the call. */
    void (*on_head)(void *ctx, const struct http_head *head);
    void (*on_body)(void *ctx, struct slice bytes);
    void (*on_end)(void *ctx);
    /* As http_call_handlers.on_fail. */
    void (*on_fail)(void *ctx, int err, const char *why);
    /* As http_call_handlers.on_upload_drained. May be NULL without uploads. */
    void (*on_upload_drained)(void *ctx);
};

struct attempt_ops {
    void (*cancel)(void *running);
    void (*pause)(void *running);
    void (*resume)(void *running);
    int (*upload)(void *running, struct slice bytes); /* NULL: takes no uploads */
    int (*upload_end)(void *running);
};

struct attempt {
    const struct attempt_ops *ops;
    const struct attempt_handlers *handlers; /* may be re-pointed by the owner at any time */
    void *ctx;
    void *running;
    bool paused;
};

/* What is sent. Everything is borrowed during attempt_start, but for the body's bytes, which are
 * kept until the attempt is over. */
struct attempt_order {
    const struct policy_provider *provider;
    struct slice model;              /* the provider's own name */
    struct slice method;             /* empty: POST */
    struct slice path;               /* the endpoint's below the provider's prefix: "/embeddings" */
    const struct http_field *fields; /* without the credential */
    size_t field_count;
    const struct slice *body;
    size_t body_count;
    bool upload;             /* more of the body follows by attempt_upload */
    int64_t upload_bytes;    /* in all; -1: not known */
    struct slice directives; /* x-headgate-sim, for the simulator */
    struct slice token;      /* instead of the credential: oauth_peek() */
};

/* 0, ERR_NOMEM, ERR_LIMIT (path or fields), ERR_AUTH (the credential is of no use: logged). */
MUST_CHECK int attempt_start(struct attempt *a, struct services *s, const struct attempt_order *o,
                             const struct attempt_handlers *h, void *ctx);
void attempt_cancel(struct attempt *a); /* no-op when none runs */
/* Back-pressure; idempotent. */
void attempt_pause(struct attempt *a);
void attempt_resume(struct attempt *a);
/* As http_call_upload and http_call_upload_end, of an attempt that runs. */
MUST_CHECK int attempt_upload(struct attempt *a, struct slice bytes);
MUST_CHECK int attempt_upload_end(struct attempt *a);
/* Ends it as a failure of its own would: on_fail follows at once. */
void attempt_fail(struct attempt *a, int err, const char *why);
static inline bool
attempt_is_running(const struct attempt *a)
{
    return a->running != NULL;
}

#endif
