/*
 * receive: the whole body into one buffer, then one strict scan that finds what the gateway must
 * know of it, by the client's dialect. The buffer is drawn from the worker's byte budget: when that
 * is spent, new requests are refused with 503 rather than the worker dying.
 *
 * A large file is none of that: nothing in it matters to the gateway. The client is told to wait
 * until the provider has been found and called; then each piece goes up as it comes, and the client
 * waits whenever the provider is the slower one.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BODY_BYTES ((size_t)4096) /* when the length is not declared */
/* Shorter ones are held: they can be sent again on a connection that was dead. */
#define LIMIT_HELD_FILE_BYTES ((int64_t)1 << 20)

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

/* Only JSON as it is, or a form: no other media type, no coding. An absent type is taken for JSON.
 */
static enum verdict
check_head(struct request *r, const struct http_head *head)
{
    struct slice coding = http_field_get(head, "content-encoding");
    if (coding.len && !slice_eq_nocase(coding, SLICE("identity")))
        return reply_refuse(r, PROBLEM_CONTENT_ENCODING, "A request body must not be compressed.");
    struct slice type = http_field_get(head, "content-type");
    if (r->endpoint->codec && r->endpoint->codec->forwards &&
        !http_content_type_is(head, "application/json"))
        return NEXT; /* the provider says what it takes */
    if (r->endpoint->codec && r->endpoint->codec->takes_forms)
        return http_content_type_is(head, "multipart/form-data")
                   ? NEXT
                   : reply_refuse(r, PROBLEM_MEDIA_TYPE,
                                  "The content type must be multipart/form-data.");
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

/* The fields of the head that say what the request is for. */
static enum verdict
read_tags(struct request *r, const struct http_head *head)
{
    struct tag_refusal why = {.message = ""};
    int err = tags_read_head(head, &r->arena, &r->body.tags, &why);
    if (err == ERR_NOMEM)
        return refuse_overload(r);
    return err ? reply_refuse(r, PROBLEM_INVALID_VALUE, "%s.", why.message) : NEXT;
}

static enum verdict read_body(struct request *r);

bool
receive_passes(const struct endpoint *e, const struct http_head *head)
{
    return e->codec && e->codec->passes_up && slice_is(head->method, "POST");
}

static enum verdict
pass(struct request *r)
{
    if (!services_hold(r->svc, HTTP_UPLOAD_MARK_BYTES))
        return refuse_overload(r);
    r->body.charge = HTTP_UPLOAD_MARK_BYTES;
    r->body.passes = true;
    http_pause(r->client);
    return read_body(r);
}

enum verdict
receive(struct request *r)
{
    const struct http_head *head = request_head(r);
    if (r->endpoint->way == WAY_OWN)
        return NEXT; /* it has no body */
    if (check_head(r, head) == REPLY || read_tags(r, head) == REPLY)
        return REPLY;
    if (receive_passes(r->endpoint, head) &&
        (head->content_length < 0 || head->content_length > LIMIT_HELD_FILE_BYTES))
        return pass(r);
    if (head->content_length > 0 && !grow(r, (size_t)head->content_length))
        return refuse_overload(r);
    return WAIT;
}

/* --- a body that goes up as it comes ---------------------------------------------------------- */

void
receive_go_on(void *ctx)
{
    const struct request *r = ctx;
    if (r->client)
        http_resume(r->client);
}

/* What comes when the attempt is over is of no use to anybody. */
static void
pass_more(struct request *r, struct slice bytes)
{
    if (!attempt_is_running(&r->answer.attempt))
        return;
    int err = attempt_upload(&r->answer.attempt, bytes);
    if (err == ERR_AGAIN)
        http_pause(r->client);
    else if (err)
        attempt_fail(&r->answer.attempt, err, "the body cannot be passed on");
}

static void
pass_end(struct request *r)
{
    r->body.is_whole = true;
    if (!attempt_is_running(&r->answer.attempt))
        return;
    int err = attempt_upload_end(&r->answer.attempt);
    if (err)
        attempt_fail(&r->answer.attempt, err, "the body is shorter than was declared");
}

void
receive_more(struct request *r, struct slice bytes)
{
    if (r->body.passes) {
        pass_more(r, bytes);
        return;
    }
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
refuse_body(struct request *r, const struct dialect_refusal *why)
{
    enum problem p = why->duplicate   ? PROBLEM_DUPLICATE_MEMBER
                     : why->missing   ? PROBLEM_MISSING_MEMBER
                     : why->member[0] ? PROBLEM_INVALID_VALUE
                     : http_content_type_is(request_head(r), "multipart/form-data")
                         ? PROBLEM_INVALID_FORM
                         : PROBLEM_INVALID_JSON;
    return reply_refuse_member(r, p, why->member[0] ? why->member : NULL, "%s", why->message);
}

/* What the endpoint's own codec, or the client's dialect, finds in it. */
static int
read_brief(struct request *r, struct dialect_refusal *why)
{
    struct slice body = slice_make(r->body.at, r->body.len);
    const struct codec *codec = r->endpoint->codec;
    r->body.call = (struct dialect_call){r->subject, r->endpoint->streams};
    if (!codec)
        return dialect_get(r->endpoint->dialect)
            ->brief(body, &r->body.call, &r->arena, &r->body.brief, why);
    const struct codec_request q = {body, http_field_get(request_head(r), "content-type"),
                                    request_head(r)->method, r->below};
    r->body.units = arena_zalloc(&r->arena, sizeof(*r->body.units));
    if (!r->body.units)
        return ERR_NOMEM;
    return codec->brief(&q, &r->arena, &r->body.brief, r->body.units, why);
}

/* What the body adds to the tags; what the key says stands. */
static int
complete_tags(struct request *r)
{
    struct request_brief *brief = &r->body.brief;
    int err = 0;
    if (brief->metadata_at.kind == JSON_MAP)
        err = tags_add_metadata(json_raw(slice_make(r->body.at, r->body.len), brief->metadata_at),
                                &r->arena, &r->body.tags);
    if (err || !r->body.tags)
        return err;
    tags_yield_to_key(r->body.tags, r->who.key);
    if (!brief->end_user.len)
        brief->end_user = r->body.tags->end_user;
    return 0;
}

static enum verdict
read_body(struct request *r)
{
    struct dialect_refusal why = {.message = ""};
    int err = read_brief(r, &why);
    if (!err)
        err = complete_tags(r);
    if (err == ERR_NOMEM)
        return refuse_overload(r);
    if (err)
        return refuse_body(r, &why);
    if (!r->endpoint->can_stream && !(r->endpoint->codec && r->endpoint->codec->any_answer))
        r->body.brief.stream = false;
    return NEXT;
}

void
receive_end(struct request *r)
{
    if (r->body.passes) {
        pass_end(r);
        return;
    }
    if (r->at != RECEIVE || !r->waiting)
        return;
    request_resume(r, read_body(r));
}

void
receive_cancel(struct request *r)
{
    (void)r; /* the body is let go with the request */
}
