/*
 * receive: the whole body into one buffer, then one strict scan that finds the members the gateway
 * reads. The buffer is drawn from the worker's byte budget: when that is spent, new requests are
 * refused with 503 rather than the worker dying.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BODY_BYTES ((size_t)4096) /* when the length is not declared */

static enum verdict
refuse_overload(struct request *r)
{
    return reply_refuse(r, PROBLEM_OVERLOADED,
                        "The gateway holds as much as it may at present. Try again shortly.");
}

/* Makes the buffer `cap` bytes large; the budget is charged with what is allocated. */
static bool
grow(struct request *r, size_t cap)
{
    if (!services_hold(r->svc, cap - r->body.cap))
        return false;
    char *at = realloc(r->body.at, cap);
    if (!at) {
        services_release(r->svc, cap - r->body.cap);
        return false;
    }
    r->body.at = at;
    r->body.cap = cap;
    return true;
}

static bool
make_room(struct request *r, size_t need)
{
    size_t cap = r->body.cap ? r->body.cap : FIRST_BODY_BYTES;
    if (need <= r->body.cap)
        return true;
    while (cap < need)
        cap *= 2;
    return grow(r, cap);
}

/* Only JSON as it is: no other media type, no coding. An absent type is taken for JSON. */
static enum verdict
check_head(struct request *r, const struct http_head *head)
{
    struct slice coding = http_field_get(head, "content-encoding");
    if (coding.len && !slice_eq_nocase(coding, SLICE("identity")))
        return reply_refuse(r, PROBLEM_CONTENT_ENCODING, "A request body must not be compressed.");
    struct slice type = http_field_get(head, "content-type");
    if (type.len && !http_content_type_is(head, "application/json"))
        return reply_refuse(r, PROBLEM_MEDIA_TYPE, "The content type must be application/json.");
    struct slice charset = type;
    slice_cut(&charset, ';');
    charset = slice_trim(charset);
    if (charset.len && slice_starts(charset, SLICE("charset=")) &&
        !slice_eq_nocase(charset, SLICE("charset=utf-8")) &&
        !slice_eq_nocase(charset, SLICE("charset=\"utf-8\"")))
        return reply_refuse(r, PROBLEM_MEDIA_TYPE, "The charset must be UTF-8.");
    return NEXT;
}

enum verdict
receive(struct request *r)
{
    const struct http_head *head = request_head(r);
    if (!r->endpoint->path)
        return NEXT; /* ours to answer: it has no body */
    if (check_head(r, head) == REPLY)
        return REPLY;
    if (head->content_length > 0 && !grow(r, (size_t)head->content_length))
        return refuse_overload(r);
    return WAIT;
}

void
receive_more(struct request *r, struct slice bytes)
{
    if (r->at != RECEIVE || !r->waiting || bytes.len == 0)
        return;
    if (!make_room(r, r->body.len + bytes.len)) {
        request_resume(r, refuse_overload(r));
        return;
    }
    memcpy(r->body.at + r->body.len, bytes.at, bytes.len);
    r->body.len += bytes.len;
}

/* --- what the body says ----------------------------------------------------------------------- */

static enum verdict
refuse_json(struct request *r, int err, const struct json_error *why)
{
    if (err == ERR_CONFLICT)
        return reply_refuse_member(r, PROBLEM_DUPLICATE_MEMBER, why->member,
                                   "The member '%s' appears more than once (at byte %zu).",
                                   why->member ? why->member : "?", why->offset);
    return reply_refuse(r, PROBLEM_INVALID_JSON, "The body is not valid JSON: %s at byte %zu.",
                        why->reason ? why->reason : "malformed", why->offset);
}

/* true, false, null or absent; nothing that two parsers could read differently. */
static enum verdict
read_stream(struct request *r)
{
    switch (r->body.members[MEMBER_STREAM].kind) {
    case JSON_TRUE_:
        r->body.stream = r->endpoint->can_stream;
        return NEXT;
    case JSON_ABSENT:
    case JSON_NULL_:
    case JSON_FALSE_:
        return NEXT;
    default:
        return reply_refuse_member(r, PROBLEM_INVALID_VALUE, "stream",
                                   "'stream' must be true or false.");
    }
}

/* A positive integer member, or 0. What is odd here is the provider's to refuse. */
static int64_t
positive(struct request *r, enum openai_member m)
{
    struct slice text = slice_make(r->body.at, r->body.len);
    int64_t n;
    if (r->body.members[m].kind != JSON_NUMBER || json_int(text, r->body.members[m], &n) || n < 0)
        return 0;
    return n;
}

static enum verdict
read_members(struct request *r)
{
    struct slice text = slice_make(r->body.at, r->body.len);
    r->body.max_tokens = positive(r, MEMBER_MAX_COMPLETION_TOKENS);
    if (!r->body.max_tokens)
        r->body.max_tokens = positive(r, MEMBER_MAX_TOKENS);
    r->body.choices = positive(r, MEMBER_N);
    if (r->body.choices < 1)
        r->body.choices = 1;
    if (r->body.members[MEMBER_USER].kind == JSON_TEXT) {
        struct slice user;
        if (json_text(text, r->body.members[MEMBER_USER], &r->arena, &user))
            return refuse_overload(r);
        if (user.len > 256)
            user.len = 256;
        r->body.end_user = arena_copy(&r->arena, user);
    }
    return read_stream(r);
}

static enum verdict
read_body(struct request *r)
{
    struct json_error why = {0};
    struct json_span root;
    struct slice text = slice_make(r->body.at, r->body.len);
    if (text.len == 0)
        return reply_refuse(r, PROBLEM_INVALID_JSON,
                            "The body is empty; it must be a JSON object.");
    int err = json_scan(text, &json_limits_default, openai_members, OPENAI_MEMBERS, r->body.members,
                        &root, &why);
    if (err == ERR_NOMEM)
        return refuse_overload(r);
    if (err)
        return refuse_json(r, err, &why);
    if (root.kind != JSON_MAP)
        return reply_refuse(r, PROBLEM_INVALID_JSON, "The body must be a JSON object.");
    return read_members(r);
}

void
receive_end(struct request *r)
{
    if (r->at != RECEIVE || !r->waiting)
        return;
    request_resume(r, read_body(r));
}

void
receive_cancel(struct request *r)
{
    (void)r; /* the body is let go with the request */
}
