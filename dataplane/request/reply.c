#include "dataplane/request/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "lib/policy/policy.h"

/* OpenAI's class names, so that the SDKs' own exceptions come out right. */
#define INVALID "invalid_request_error"
#define DENIED "permission_error"
#define SERVER "server_error"
#define LIMITED "rate_limit_exceeded"
#define SPENT "insufficient_quota"

/* clang-format off */
const struct problem_row problems[PROBLEMS] = {
    [PROBLEM_NONE]                 = { 200, "",                         "",      0 },
    [PROBLEM_NO_KEY]               = { 401, "invalid_api_key",          INVALID, 0 },
    [PROBLEM_BAD_KEY]              = { 401, "invalid_api_key",          INVALID, 0 },
    [PROBLEM_NO_POLICY]            = { 503, "no_policy",                SERVER,  1 },
    [PROBLEM_PARTITIONED]          = { 503, "partitioned",              SERVER,  5 },
    [PROBLEM_INVALID_JSON]         = { 400, "invalid_json",             INVALID, 0 },
    [PROBLEM_INVALID_FORM]         = { 400, "invalid_form",             INVALID, 0 },
    [PROBLEM_DUPLICATE_MEMBER]     = { 400, "duplicate_member",         INVALID, 0 },
    [PROBLEM_MISSING_MEMBER]       = { 400, "missing_required_parameter", INVALID, 0 },
    [PROBLEM_INVALID_VALUE]        = { 400, "invalid_value",            INVALID, 0 },
    [PROBLEM_MEDIA_TYPE]           = { 415, "unsupported_media_type",   INVALID, 0 },
    [PROBLEM_CONTENT_ENCODING]     = { 415, "unsupported_content_encoding", INVALID, 0 },
    [PROBLEM_TOO_LARGE]            = { 413, "body_too_large",           INVALID, 0 },
    [PROBLEM_OVERLOADED]           = { 503, "overloaded",               SERVER,  1 },
    [PROBLEM_EXHAUSTED]            = { 503, "local_exhaustion",         SERVER,  1 },
    [PROBLEM_NO_SUCH_PATH]         = { 404, "unknown_url",              INVALID, 0 },
    [PROBLEM_METHOD]               = { 405, "method_not_allowed",       INVALID, 0 },
    [PROBLEM_TEAM_DISABLED]        = { 403, "team_disabled",            DENIED,  0 },
    [PROBLEM_SCOPE_ADDRESS]        = { 403, "address_not_allowed",      DENIED,  0 },
    [PROBLEM_SCOPE_ENDPOINT]       = { 403, "endpoint_not_allowed",     DENIED,  0 },
    [PROBLEM_SCOPE_PARAMETER]      = { 403, "parameter_not_allowed",    DENIED,  0 },
    [PROBLEM_SCOPE_ROLE]           = { 403, "role_not_allowed",         DENIED,  0 },
    [PROBLEM_MODEL_NOT_FOUND]      = { 404, "model_not_found",          INVALID, 0 },
    [PROBLEM_PROVIDER_NOT_FOUND]   = { 404, "provider_not_found",       INVALID, 0 },
    [PROBLEM_PROVIDER_NEEDED]      = { 400, "provider_required",        INVALID, 0 },
    [PROBLEM_UNSUPPORTED]          = { 400, "unsupported_feature",      INVALID, 0 },
    [PROBLEM_MEDIA]                = { 400, "media_unavailable",        INVALID, 0 },
    [PROBLEM_WRONG_PROVIDER]       = { 400, "endpoint_not_served",      INVALID, 0 },
    [PROBLEM_UNPRICED_MODEL]       = { 400, "unpriced_model",           INVALID, 0 },
    [PROBLEM_UNBOUNDED]            = { 400, "output_limit_required",    INVALID, 0 },
    [PROBLEM_QUOTA]                = { 429, "quota_exceeded",           LIMITED, 0 },
    [PROBLEM_BUDGET]               = { 429, "budget_exceeded",          SPENT,   0 },
    [PROBLEM_SPENT]                = { 429, "budget_exhausted",         SPENT,   0 },
    [PROBLEM_UNVERIFIABLE]         = { 503, "budget_unverifiable",      SERVER,  2 },
    [PROBLEM_LEDGER]               = { 503, "ledger_unavailable",       SERVER,  5 },
    [PROBLEM_SHUTDOWN]             = { 503, "shutting_down",            SERVER,  1 },
    [PROBLEM_UPSTREAM_UNREACHABLE] = { 502, "upstream_unreachable",     SERVER,  0 },
    [PROBLEM_UPSTREAM_DENIED]      = { 502, "upstream_address_refused", SERVER,  0 },
    [PROBLEM_UPSTREAM_TLS]         = { 502, "upstream_tls",             SERVER,  0 },
    [PROBLEM_UPSTREAM_TRUNCATED]   = { 502, "upstream_truncated",       SERVER,  0 },
    [PROBLEM_UPSTREAM_PROTOCOL]    = { 502, "upstream_protocol",        SERVER,  0 },
    [PROBLEM_UPSTREAM_TIMEOUT]     = { 504, "upstream_timeout",         SERVER,  0 },
    /* The provider refuses the gateway's own credential. That is not the client's key: a 401 here
     * would send people to replace a key that is good. Its message may show parts of ours. */
    [PROBLEM_UPSTREAM_AUTH]        = { 502, "upstream_auth",            SERVER,  0 },
    [PROBLEM_UPSTREAM_ERROR]       = { 502, "upstream_error",           SERVER,  0 },
};
/* clang-format on */

/* --- making a reply --------------------------------------------------------------------------- */

/* Of last resort: every dialect's reader finds a message in it. */
static const char out_of_memory[] =
    "{\"type\":\"error\",\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\","
    "\"param\":null,\"code\":\"overloaded\",\"source\":\"gateway\"}}";

static enum verdict
set_error(struct request *r, enum problem p, const struct canon_error *given)
{
    struct canon_error e = *given;
    struct buf body;
    r->reply = (struct reply){.problem = p, .status = e.status};
    e.request_id = slice_make(r->id, REQUEST_ID_BYTES - 1);
    buf_init(&body, 3 * LIMIT_ERROR_MESSAGE_BYTES);
    if (dialect_get(r->endpoint->dialect)->write_error(&e, &body) == 0)
        r->reply.body = arena_copy(&r->arena, buf_slice(&body));
    buf_free(&body);
    if (!r->reply.body.at)
        r->reply.body = slice_of(out_of_memory);
    r->reply.error_code = slice_of(problems[p].code);
    return REPLY;
}

static struct canon_error
own_error(enum problem p, struct slice message)
{
    const struct problem_row *row = &problems[p];
    return (struct canon_error){.kind = canon_class_of_status(row->status),
                                .status = row->status,
                                .message = message,
                                .type = slice_of(row->type),
                                .code = slice_of(row->code)};
}

static enum verdict
refuse(struct request *r, enum problem p, const char *member, const char *format, va_list args)
{
    char message[1024];
    const struct problem_row *row = &problems[p];
    int n = vsnprintf(message, sizeof(message), format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(message) ? (size_t)n : sizeof(message) - 1;
    struct canon_error e = own_error(p, slice_make(message, len));
    e.param = slice_of(member);
    enum verdict v = set_error(r, p, &e);
    if (row->retry_after_s)
        r->reply.retry_after = slice_of(arena_printf(&r->arena, "%d", row->retry_after_s));
    return v;
}

enum verdict
reply_refuse(struct request *r, enum problem p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum verdict v = refuse(r, p, NULL, format, args);
    va_end(args);
    return v;
}

enum verdict
reply_refuse_member(struct request *r, enum problem p, const char *member, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum verdict v = refuse(r, p, member, format, args);
    va_end(args);
    return v;
}

enum verdict
reply_json(struct request *r, struct slice body)
{
    r->reply = (struct reply){.status = 200, .body = body};
    return REPLY;
}

/* --- upstream's failures ---------------------------------------------------------------------- */

enum problem
problem_of_failure(int err)
{
    switch (err) {
    case ERR_DNS:
    case ERR_CONNECT:
    case ERR_RESET:
        return PROBLEM_UPSTREAM_UNREACHABLE;
    case ERR_DENIED:
        return PROBLEM_UPSTREAM_DENIED;
    case ERR_TLS:
        return PROBLEM_UPSTREAM_TLS;
    case ERR_TRUNCATED:
    case ERR_CLOSED:
        return PROBLEM_UPSTREAM_TRUNCATED;
    case ERR_TIMEOUT:
        return PROBLEM_UPSTREAM_TIMEOUT;
    case ERR_NOMEM:
        return PROBLEM_OVERLOADED;
    case ERR_FULL:
        return PROBLEM_EXHAUSTED;
    default:
        return PROBLEM_UPSTREAM_PROTOCOL;
    }
}

static const char *
explanation(enum problem p)
{
    switch ((int)p) {
    case PROBLEM_UPSTREAM_UNREACHABLE:
        return "The provider could not be reached";
    case PROBLEM_UPSTREAM_DENIED:
        return "The provider's address is private, and its configuration does not allow that";
    case PROBLEM_UPSTREAM_TLS:
        return "No secure connection to the provider could be made";
    case PROBLEM_UPSTREAM_TRUNCATED:
        return "The provider's answer ended before it was complete";
    case PROBLEM_UPSTREAM_TIMEOUT:
        return "The provider did not answer in time";
    case PROBLEM_OVERLOADED:
        return "The gateway is short of memory";
    case PROBLEM_EXHAUSTED:
        return "The gateway has no descriptor or port left for a connection to the provider";
    default:
        return "The provider's answer was malformed";
    }
}

enum verdict
reply_upstream_failed(struct request *r, int err, const char *why)
{
    enum problem p = problem_of_failure(err);
    if (why && *why)
        return reply_refuse(r, p, "%s (%s).", explanation(p), why);
    return reply_refuse(r, p, "%s.", explanation(p));
}

enum verdict
reply_provider_error(struct request *r, const struct canon_error *e, struct slice retry_after)
{
    enum verdict v;
    if (e->status == 401)
        v = reply_refuse(r, PROBLEM_UPSTREAM_AUTH,
                         "The provider refused the gateway's credential; the gateway's operator "
                         "must replace it.");
    else
        v = set_error(r, PROBLEM_UPSTREAM_ERROR, e);
    r->reply.from_provider = true;
    r->reply.retry_after = retry_after;
    return v;
}

static int
write_event(const struct request *r, struct canon_error e, struct buf *into)
{
    e.request_id = slice_make(r->id, REQUEST_ID_BYTES - 1);
    return dialect_get(r->endpoint->dialect)->write_error_event(&e, into);
}

int
reply_event(const struct request *r, enum problem p, const char *message, struct buf *into)
{
    return write_event(r, own_error(p, slice_of(message ? message : explanation(p))), into);
}

int
reply_provider_event(const struct request *r, const struct canon_error *e, struct buf *into)
{
    return write_event(r, *e, into);
}

void
reply_early_error(enum dialect_id dialect, int status, const char *code, const char *message,
                  struct buf *into)
{
    struct canon_error e = {.kind = canon_class_of_status(status),
                            .status = status,
                            .message = slice_of(message),
                            .type = slice_of(status >= 500 ? SERVER : INVALID),
                            .code = slice_of(code)};
    if (dialect_get(dialect)->write_error(&e, into))
        buf_clear(into);
}

void
reply_server_error(int status, const char *code, const char *message, struct buf *into)
{
    reply_early_error(DIALECT_CHAT, status, code, message, into);
}

/* --- the fields of an answer ------------------------------------------------------------------ */

static void
add(struct http_field *fields, size_t *n, struct slice name, struct slice value)
{
    if (value.at && *n < LIMIT_ANSWER_FIELDS)
        fields[(*n)++] = (struct http_field){.name = name, .value = value};
}

size_t
reply_fields(struct request *r, struct http_field *fields)
{
    size_t n = 0;
    const struct policy_target *target = r->plan.target;
    struct slice id = slice_make(r->id, REQUEST_ID_BYTES - 1);
    add(fields, &n, SLICE("x-request-id"), id);
    if (r->endpoint->dialect == DIALECT_ANTHROPIC)
        add(fields, &n, SLICE("request-id"), id); /* where its SDKs look */
    add(fields, &n, SLICE("cache-control"), SLICE("no-store"));
    if (r->policy)
        add(fields, &n, SLICE("x-headgate-policy"), services_policy_text(r->svc, r->policy));
    if (target) {
        add(fields, &n, SLICE("x-headgate-provider"), target->provider->name);
        add(fields, &n, SLICE("x-headgate-model"), target->model);
        add(fields, &n, SLICE("x-headgate-attempts"),
            r->answer.reserved && !recall_hit(r) ? SLICE("1") : SLICE("0"));
        add(fields, &n, SLICE("x-headgate-cache"), slice_of(recall_word(r)));
        add(fields, &n, SLICE("x-headgate-degraded"), r->wire.degraded);
        if (r->output_limit)
            add(fields, &n, SLICE("x-headgate-max-tokens"),
                slice_of(arena_printf(&r->arena, "%lld", (long long)r->output_limit)));
    }
    if (!r->reply.status)
        return n;
    add(fields, &n, SLICE("content-type"), SLICE("application/json"));
    if (r->reply.error_code.len) {
        add(fields, &n, SLICE("x-headgate-error"), r->reply.error_code);
        add(fields, &n, SLICE("x-headgate-error-source"),
            r->reply.from_provider ? SLICE("provider") : SLICE("gateway"));
    }
    if (r->reply.retry_after.len)
        add(fields, &n, SLICE("retry-after"), r->reply.retry_after);
    for (size_t i = 0; i < r->reply.extra_count; i++)
        add(fields, &n, r->reply.extra[i].name, r->reply.extra[i].value);
    if (r->reply.status == 401)
        add(fields, &n, SLICE("www-authenticate"), SLICE("Bearer"));
    return n;
}
