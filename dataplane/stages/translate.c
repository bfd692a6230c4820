/*
 * translate: the client's body into the provider's dialect. Between equal dialects the body stays
 * as it is, byte for byte, but for a few splices: the provider's name of the model, and the request
 * for usage at the end of a stream. Pieces refer to the body; nothing of it is copied. Otherwise
 * the request takes the way through the canonical form, and the body is written anew.
 *
 * Of the client's fields only those of a short list go up: never its credentials, cookies or
 * addresses.
 */
#include "dataplane/dialects/compat.h"
#include "dataplane/endpoints/forward.h"
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "dataplane/upstream/media.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"

#include <stdlib.h>
#include <string.h>

/* --- the body --------------------------------------------------------------------------------- */

#define LIMIT_BODY_EDITS (3 + LIMIT_COMPAT_EDITS + LIMIT_OUTPUT_EDITS)

struct edits {
    struct json_splice at[LIMIT_BODY_EDITS];
    size_t count;
};

static void
edit(struct edits *e, size_t start, size_t end, struct slice with)
{
    e->at[e->count++] = (struct json_splice){start, end, with};
}

static int
by_start(const void *a, const void *b)
{
    const struct json_splice *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end); /* what is put in goes before what is taken out */
}

static bool
rename_model(struct request *r, struct edits *e)
{
    struct json_span at = r->body.brief.model_at;
    struct slice name = r->plan.target->model;
    struct buf quoted;
    if (at.kind == JSON_ABSENT || slice_eq(r->grant.name, name))
        return true;
    if (r->body.brief.model_is_bare) {
        edit(e, at.start, at.end, name);
        return true;
    }
    buf_init(&quoted, 8192);
    struct slice with = {0};
    if (json_quote(&quoted, name) == 0)
        with = arena_copy(&r->arena, buf_slice(&quoted));
    buf_free(&quoted);
    edit(e, at.start, at.end, with);
    return with.at != NULL;
}

#define USAGE_OPTION "\"include_usage\":true"

/* stream_options is there, a map: sets include_usage in it. False: it was set by the client. */
static bool
merge_usage(struct request *r, struct edits *e)
{
    struct slice text = slice_make(r->body.at, r->body.len);
    struct json_span map = r->body.brief.stream_options_at, name, value;
    size_t cursor = map.start;
    bool empty = true;
    while (json_next(text, map, &cursor, &name, &value)) {
        empty = false;
        if (!slice_is(json_raw(text, name), "\"include_usage\""))
            continue;
        if (value.kind == JSON_TRUE_)
            return false;
        edit(e, value.start, value.end, SLICE("true"));
        return true;
    }
    edit(e, map.start + 1, map.start + 1, empty ? SLICE(USAGE_OPTION) : SLICE(USAGE_OPTION ","));
    return true;
}

/* Streams report usage only when asked. Whether it was us who asked. */
static bool
ask_usage(struct request *r, struct edits *e)
{
    struct json_span options = r->body.brief.stream_options_at;
    struct json_span stream = r->body.brief.stream_at;
    switch (options.kind) {
    case JSON_ABSENT:
        edit(e, stream.end, stream.end, SLICE(",\"stream_options\":{" USAGE_OPTION "}"));
        return true;
    case JSON_NULL_:
        edit(e, options.start, options.end, SLICE("{" USAGE_OPTION "}"));
        return true;
    case JSON_MAP:
        return merge_usage(r, e);
    default:
        return false; /* the provider will refuse it, and say how */
    }
}

/* --- the fields ------------------------------------------------------------------------------- */

#define LIMIT_PASSED_UP 8
#define OWN_FIELDS (5 + LIMIT_ADDRESS_FIELDS + LIMIT_PASSED_UP) /* those added below */

static void
add(struct request *r, struct slice name, struct slice value)
{
    if (value.at)
        r->wire.fields[r->wire.field_count++] = (struct http_field){.name = name, .value = value};
}

/* W3C trace context, level 1: "00-TRACE(32)-PARENT(16)-FLAGS(2)" in lower-case hexadecimal. */
static bool
is_traceparent(struct slice s)
{
    if (s.len != 55 || memcmp(s.at, "00-", 3) != 0 || s.at[35] != '-' || s.at[52] != '-')
        return false;
    bool zero = true;
    for (size_t i = 3; i < 55; i++) {
        if (i == 35 || i == 52)
            continue;
        char c = s.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        zero = zero && (c == '0' || i > 35);
    }
    return !zero;
}

/* The client's trace goes on under a parent of our own; anything malformed is dropped. */
static struct slice
new_traceparent(struct request *r, struct slice theirs)
{
    if (theirs.len == 0 || !is_traceparent(theirs))
        return (struct slice){0};
    struct slice ours = arena_copy(&r->arena, theirs);
    char span[17];
    hex_encode(r->wire.attempt_id + 8, 8, span);
    if (ours.at)
        memcpy((char *)(uintptr_t)ours.at + 36, span, 16);
    return ours;
}

static bool
has_field(const struct request *r, struct slice name)
{
    for (size_t i = 0; i < r->wire.field_count; i++)
        if (slice_eq(r->wire.fields[i].name, name))
            return true;
    return false;
}

/* What a client tells the provider goes up only where it speaks the provider's dialect. */
static void
add_passed_up(struct request *r, const struct http_head *head)
{
    const char *const *names = r->wire.dialect->passed_up;
    bool forwards = r->endpoint->codec && r->endpoint->codec->forwards;
    if (r->wire.dialect->id != r->endpoint->dialect && !forwards)
        return;
    for (size_t i = 0; names && names[i] && i < LIMIT_PASSED_UP; i++)
        add(r, slice_of(names[i]), http_field_get(head, names[i]));
    if (forwards && r->wire.dialect->id == DIALECT_ANTHROPIC &&
        !has_field(r, SLICE("anthropic-version")))
        add(r, SLICE("anthropic-version"), SLICE("2023-06-01"));
}

static bool
make_fields(struct request *r)
{
    const struct http_head *head = request_head(r);
    const struct policy_provider *provider = r->plan.target->provider;
    char id[37];
    size_t own = provider->header_count < LIMIT_PROVIDER_FIELDS ? provider->header_count
                                                                : LIMIT_PROVIDER_FIELDS;
    r->wire.fields = arena_alloc(&r->arena, (OWN_FIELDS + own) * sizeof(struct http_field));
    if (!r->wire.fields)
        return false;
    uuid_format(r->wire.attempt_id, id);
    struct slice attempt = arena_copy(&r->arena, slice_make(id, 36));
    const struct codec *codec = r->endpoint->codec;
    struct slice type = http_field_get(head, "content-type");
    if (codec && codec->forwards && r->body.len == 0 && !r->body.passes)
        type = (struct slice){0};
    else if (!codec || !(codec->takes_forms || codec->forwards) || !type.at)
        type = SLICE("application/json");
    add(r, SLICE("content-type"), type);
    add(r, SLICE("user-agent"), SLICE("Headgate/" HEADGATE_VERSION));
    add(r, SLICE("accept-encoding"), SLICE("identity"));
    add(r, SLICE("x-client-request-id"), attempt);
    add_passed_up(r, head);
    for (size_t i = 0; i < r->wire.address.field_count; i++)
        if (!has_field(r, r->wire.address.fields[i].name))
            add(r, r->wire.address.fields[i].name, r->wire.address.fields[i].value);
    add(r, SLICE("traceparent"), new_traceparent(r, http_field_get(head, "traceparent")));
    for (size_t i = 0; i < own; i++)
        add(r, provider->headers[i].name, provider->headers[i].value);
    if (provider->kind == PROVIDER_SIMULATOR)
        r->wire.directives = http_field_get(head, "x-headgate-sim");
    return attempt.at != NULL;
}

/* --- untouched -------------------------------------------------------------------------------- */

static enum verdict
refuse_memory(struct request *r)
{
    return reply_refuse(r, PROBLEM_OVERLOADED,
                        "The gateway is short of memory. Try again shortly.");
}

/* --- through the canonical form --------------------------------------------------------------- */

#define LIMIT_TRANSLATED_BODY_BYTES ((size_t)96 << 20) /* a body of 32 MiB, escaped anew */

static enum verdict
refuse_request(struct request *r, int err, const struct dialect_refusal *why)
{
    if (err == ERR_DENIED)
        return reply_refuse_member(r, PROBLEM_UNSUPPORTED, why->member, "%s", why->message);
    if (err == ERR_SYNTAX)
        return reply_refuse_member(r, why->missing ? PROBLEM_MISSING_MEMBER : PROBLEM_INVALID_VALUE,
                                   why->member, "%s", why->message);
    return refuse_memory(r);
}

/* The names of what was left out, for x-headgate-degraded. */
static bool
note_degraded(struct request *r, const struct dialect_writer *w)
{
    struct buf text;
    int err = 0;
    if (w->degraded_count == 0)
        return true;
    buf_init(&text, 0);
    for (size_t i = 0; i < w->degraded_count && !err; i++)
        err = buf_addf(&text, "%s%.*s", i ? ", " : "", SLICE_ARG(w->degraded[i]));
    if (!err)
        r->wire.degraded = arena_copy(&r->arena, buf_slice(&text));
    buf_free(&text);
    return r->wire.degraded.at != NULL;
}

static bool
may_degrade(const struct policy_key *key)
{
    struct policy_scope of_key, of_team;
    policy_scope_read(key->scope, &of_key);
    policy_scope_read(key->team->scope, &of_team);
    bool may = of_key.degrade || of_team.degrade;
    const struct policy_role *role;
    for (size_t cursor = 0; !may && (role = policy_key_role(key, &cursor)) != NULL;) {
        policy_scope_read(role->scope, &of_key);
        may = of_key.degrade;
    }
    return may;
}

/* What a compatible provider calls something else, or does not take. */
static enum verdict
edit_for_provider(struct request *r, const struct dialect_target *target, struct edits *edits)
{
    struct compat_edits own;
    struct dialect_refusal why = {.message = ""};
    if (r->endpoint->way != WAY_CHAT || r->wire.dialect->id != DIALECT_CHAT ||
        !compat_has_edits(target))
        return NEXT;
    struct dialect_writer w = {
        .arena = &r->arena, .target = target, .may_degrade = may_degrade(r->who.key), .why = &why};
    int err = compat_edits(slice_make(r->body.at, r->body.len), &w, &own);
    if (err)
        return refuse_request(r, err, &why);
    for (size_t i = 0; i < own.count; i++)
        edit(edits, own.at[i].start, own.at[i].end, own.at[i].with);
    return note_degraded(r, &w) ? NEXT : refuse_memory(r);
}

static bool
is_inside(const struct json_splice *x, const struct edits *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->at[i].start <= x->start && x->end <= e->at[i].end && x->start < x->end)
            return true;
    return false;
}

/* A limit of the output that is not the client's own. What the provider is not told at all needs
 * none. */
static bool
limit_output(struct request *r, const struct dialect_target *target, struct edits *e)
{
    struct output_edits own = {.count = 0};
    if (!r->output_limit)
        return true;
    if (r->wire.dialect->limit_output(slice_make(r->body.at, r->body.len),
                                      r->endpoint->way == WAY_PLAIN ? NULL : target,
                                      r->output_limit, &r->arena, &own) != 0)
        return false;
    for (size_t i = 0; i < own.count; i++)
        if (!is_inside(&own.at[i], e))
            edit(e, own.at[i].start, own.at[i].end, own.at[i].with);
    return true;
}

static enum verdict
pass_body(struct request *r, const struct dialect_target *target)
{
    struct edits edits = {.count = 0};
    if (!rename_model(r, &edits))
        return refuse_memory(r);
    if (r->body.brief.stream && !r->endpoint->codec && r->wire.dialect->id == DIALECT_CHAT &&
        compat_asks_usage(target))
        r->wire.usage_added = ask_usage(r, &edits);
    if (edit_for_provider(r, target, &edits) == REPLY)
        return REPLY;
    if (!limit_output(r, target, &edits))
        return refuse_memory(r);
    r->wire.pieces = arena_alloc(&r->arena, (2 * edits.count + 1) * sizeof(struct slice));
    if (!r->wire.pieces)
        return refuse_memory(r);
    qsort(edits.at, edits.count, sizeof(edits.at[0]), by_start);
    r->wire.piece_count =
        json_pieces(slice_make(r->body.at, r->body.len), edits.at, edits.count, r->wire.pieces);
    return NEXT;
}

static enum verdict
write_body(struct request *r, const struct dialect_target *target)
{
    struct translated *t = r->wire.translated;
    struct dialect_refusal why = {.message = ""};
    struct dialect_writer w = {
        .arena = &r->arena, .target = target, .may_degrade = may_degrade(r->who.key), .why = &why};
    int err = r->wire.dialect->write_request(&t->request, &w, &t->body);
    if (err)
        return refuse_request(r, err, &why);
    if (!services_hold(r->svc, t->body.len))
        return refuse_memory(r);
    t->body_charge = t->body.len;
    t->exchange.json_by_tool = w.json_by_tool;
    r->wire.pieces = arena_alloc(&r->arena, sizeof(struct slice));
    if (!r->wire.pieces || !note_degraded(r, &w))
        return refuse_memory(r);
    r->wire.pieces[0] = buf_slice(&t->body);
    r->wire.piece_count = 1;
    return NEXT;
}

static enum verdict
read_request(struct request *r)
{
    const struct dialect *client = dialect_get(r->endpoint->dialect);
    struct translated *t = arena_zalloc(&r->arena, sizeof(*t));
    struct dialect_refusal why = {.message = ""};
    if (!t)
        return refuse_memory(r);
    buf_init(&t->body, LIMIT_TRANSLATED_BODY_BYTES);
    r->wire.translated = t;
    int err = client->read_request(slice_make(r->body.at, r->body.len), &r->body.call, &r->arena,
                                   &t->request, &why);
    if (err)
        return refuse_request(r, err, &why);
    t->request.stream = r->body.brief.stream;
    if (r->output_limit && (t->request.max_tokens < 0 || t->request.max_tokens > r->output_limit))
        t->request.max_tokens = r->output_limit;
    t->exchange.request = &t->request;
    t->target = (struct dialect_target){r->plan.target->provider, r->plan.target->model};
    t->exchange.target = &t->target;
    t->names = (struct answer_names){.id = slice_make(r->id + 4, REQUEST_ID_BYTES - 5),
                                     .model = r->grant.name,
                                     .now_unix_s = r->started_wall_ms / 1000};
    return NEXT;
}

/* --- media by URL ------------------------------------------------------------------------------
 *
 * Where the provider takes only bytes, what a URL names is fetched, one after the other, and put
 * into the canonical part as if the client had sent it.
 */

static enum verdict fetch_media(struct request *r);

static bool
wants_inline(const struct request *r, const struct canon_part *part)
{
    const struct dialect_target target = {r->plan.target->provider, r->plan.target->model};
    const struct canon_media *m = &part->media;
    return m->url.at && !m->data.at && r->wire.dialect->wants_inline(&target, part);
}

/* The next one whose bytes are missing; NULL: none. */
static struct canon_part *
find_missing(const struct request *r, const struct canon_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (wants_inline(r, &parts[i]))
            return (struct canon_part *)(uintptr_t)&parts[i]; /* the request's own, in its arena */
        struct canon_part *inner = find_missing(r, parts[i].parts, parts[i].part_count);
        if (inner)
            return inner;
    }
    return NULL;
}

static struct canon_part *
next_missing(const struct request *r)
{
    const struct canon_request *q = &r->wire.translated->request;
    for (size_t i = 0; i < q->message_count && r->wire.dialect->wants_inline; i++) {
        struct canon_part *p = find_missing(r, q->messages[i].parts, q->messages[i].count);
        if (p)
            return p;
    }
    return NULL;
}

static enum verdict
refuse_media(struct request *r, struct slice url, const char *why)
{
    if (url.len > 200)
        url.len = 200;
    return reply_refuse(r, PROBLEM_MEDIA, "'%.*s' cannot be sent to the provider: %s.",
                        SLICE_ARG(url), why);
}

static bool
put_media(struct request *r, struct canon_part *part, const struct media_result *result)
{
    char *text = arena_alloc(&r->arena, BASE64_BYTES(result->bytes.len));
    if (!text)
        return false;
    part->media.data = slice_make(text, base64_encode(result->bytes.at, result->bytes.len, text));
    if (!part->media.mime.len)
        part->media.mime = arena_copy(&r->arena, result->mime);
    return part->media.mime.at != NULL;
}

static void
on_media(void *ctx, const struct media_result *result)
{
    struct request *r = ctx;
    struct canon_part *part = next_missing(r);
    enum verdict v;
    r->wire.media = NULL;
    if (result->err)
        v = refuse_media(r, part->media.url, result->why);
    else if (!put_media(r, part, result))
        v = refuse_memory(r);
    else
        v = fetch_media(r);
    if (v != WAIT)
        request_resume(r, v);
}

static enum verdict
write_now(struct request *r)
{
    const struct dialect_target target = {r->plan.target->provider, r->plan.target->model};
    return write_body(r, &target);
}

static enum verdict
fetch_media(struct request *r)
{
    const struct canon_part *part = next_missing(r);
    if (!part)
        return write_now(r);
    if (r->wire.fetches++ == LIMIT_MEDIA_FETCHES)
        return refuse_media(r, part->media.url, "a request may name 20 files by URL");
    r->wire.media = media_fetch_start(r->svc, part->media.url,
                                      r->plan.target->provider->allow_private_media, on_media, r);
    return r->wire.media ? WAIT : refuse_memory(r);
}

void
translate_cancel(struct request *r)
{
    media_fetch_cancel(r->wire.media);
    r->wire.media = NULL;
}

/* --- endpoints with a codec of their own ------------------------------------------------------ */

/* No provider is asked: the gateway's own answer. */
static enum verdict
answer_by_codec(struct request *r, struct slice text)
{
    struct slice kept = arena_copy(&r->arena, text);
    if (!kept.at)
        return refuse_memory(r);
    enum verdict v = reply_json(r, kept);
    if (r->endpoint->codec->estimates)
        r->reply.extra[r->reply.extra_count++] =
            (struct http_field){SLICE("x-headgate-estimated"), SLICE("true"), false};
    return v;
}

static enum verdict
write_by_codec(struct request *r, const struct dialect_target *target, enum codec_way way)
{
    struct translated *t = arena_zalloc(&r->arena, sizeof(*t));
    struct dialect_refusal why = {.message = ""};
    struct dialect_writer w = {
        .arena = &r->arena, .target = target, .may_degrade = may_degrade(r->who.key), .why = &why};
    if (!t || !(r->wire.pieces = arena_alloc(&r->arena, sizeof(struct slice))))
        return refuse_memory(r);
    t->target = *target;
    buf_init(&t->body, LIMIT_TRANSLATED_BODY_BYTES);
    r->wire.translated = t;
    int err =
        r->endpoint->codec->write(slice_make(r->body.at, r->body.len), &w, &t->asked, &t->body);
    if (err)
        return refuse_request(r, err, &why);
    if (!note_degraded(r, &w) || !services_hold(r->svc, t->body.len))
        return refuse_memory(r);
    t->body_charge = t->body.len;
    if (way == CODEC_OWN)
        return answer_by_codec(r, buf_slice(&t->body));
    r->wire.pieces[0] = buf_slice(&t->body);
    r->wire.piece_count = 1;
    return NEXT;
}

/* --- what is passed on ------------------------------------------------------------------------ */

static const char *
own_method(struct slice method)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (slice_is(method, methods[i]))
            return methods[i];
    return "GET"; /* HEAD: the answer's body is left out on the way to the client */
}

/* The path below the provider's address, and the query that is left; 0, ERR_SYNTAX, ERR_NOMEM. */
static int
forward_address(struct request *r, const struct dialect_target *target)
{
    struct slice query = r->below, path = slice_cut(&query, '?'), name, to = path;
    bool any = forward_split(path, &name, &to);
    if (!forward_is_path(to))
        return ERR_SYNTAX;
    query = forward_query(query, &r->arena);
    const char *text = arena_strdup(&r->arena, to);
    if (!query.at || !text)
        return ERR_NOMEM;
    to = slice_of(text);
    if (!any && compat_address(target, text, &r->arena, &to))
        return ERR_NOMEM;
    char mark = memchr(to.at, '?', to.len) ? '&' : '?';
    if (query.len)
        to = slice_of(arena_printf(&r->arena, "%.*s%c%.*s", SLICE_ARG(to), mark, SLICE_ARG(query)));
    r->wire.address = (struct dialect_address){.path = to};
    return to.at ? 0 : ERR_NOMEM;
}

static enum verdict
forward(struct request *r, const struct dialect_target *target)
{
    int err = forward_address(r, target);
    if (err == ERR_SYNTAX)
        return reply_refuse(r, PROBLEM_NO_SUCH_PATH,
                            "The path must have plain segments: none empty, no dots alone, no "
                            "escaped slashes, dots or percent signs.");
    if (r->endpoint->kind != ENDPOINT_PASSTHROUGH && r->wire.dialect->id != DIALECT_CHAT)
        return reply_refuse(r, PROBLEM_WRONG_PROVIDER, "The provider '%.*s' does not serve %s.",
                            SLICE_ARG(target->provider->name), r->endpoint->name);
    r->wire.method = own_method(request_head(r)->method);
    r->wire.pieces = arena_alloc(&r->arena, sizeof(struct slice));
    if (err || !r->wire.pieces || !make_fields(r))
        return refuse_memory(r);
    r->wire.pieces[0] = slice_make(r->body.at, r->body.len);
    r->wire.piece_count = r->body.len > 0;
    return NEXT;
}

static enum verdict
translate_by_codec(struct request *r, const struct dialect_target *target)
{
    struct codec_route way;
    struct dialect_refusal why = {.message = ""};
    if (r->endpoint->codec->forwards)
        return forward(r, target);
    int err = r->endpoint->codec->route(target, &r->arena, &way, &why);
    if (err == ERR_DENIED)
        return reply_refuse_member(r, PROBLEM_WRONG_PROVIDER, why.member, "%s", why.message);
    if (err)
        return refuse_memory(r);
    r->wire.address = way.address;
    if (way.way != CODEC_UNTOUCHED && write_by_codec(r, target, way.way) == REPLY)
        return REPLY;
    if (!make_fields(r))
        return refuse_memory(r);
    return way.way == CODEC_UNTOUCHED ? pass_body(r, target) : NEXT;
}

/* --- the stage -------------------------------------------------------------------------------- */

static bool
find_address(struct request *r, const struct dialect_target *target)
{
    if (r->endpoint->way == WAY_PLAIN) {
        r->wire.address = (struct dialect_address){.path = slice_of(r->endpoint->path)};
        return true;
    }
    return r->wire.dialect->address(target, r->body.brief.stream, &r->arena, &r->wire.address) == 0;
}

/* Reasoning of another provider that a client sends back in its own dialect (carry.h): its own
 * provider would refuse it, so such a body is written anew, without it. Chat has a place for it. */
static bool
carries_foreign(const struct request *r)
{
    static const char *const marks[CLIENT_DIALECTS] = {
        [DIALECT_RESPONSES] = "\"hg1.",
        [DIALECT_ANTHROPIC] = "\"hg1.",
        [DIALECT_GEMINI] = "\"aGcxL", /* the same in base64 */
    };
    const char *mark = marks[r->endpoint->dialect];
    return mark && memmem(r->body.at, r->body.len, mark, strlen(mark));
}

enum verdict
translate(struct request *r)
{
    const struct policy_provider *provider = r->plan.target->provider;
    const struct dialect_target target = {provider, r->plan.target->model};
    uuid7(r->wire.attempt_id);
    r->wire.dialect = dialect_for(provider, r->endpoint->dialect);
    if (r->endpoint->codec)
        return translate_by_codec(r, &target);
    bool same = r->wire.dialect->id == r->endpoint->dialect;
    if (r->endpoint->way == WAY_PLAIN && !same)
        return reply_refuse_member(r, PROBLEM_WRONG_PROVIDER, "model",
                                   "The provider '%.*s' of this model does not serve %s.",
                                   SLICE_ARG(provider->name), r->endpoint->name);
    bool untouched = same && !(r->endpoint->way == WAY_CHAT && carries_foreign(r));
    bool translate_answer =
        !untouched || (r->endpoint->way == WAY_CHAT && dialect_answers_deviate(provider));
    if (translate_answer && read_request(r) == REPLY)
        return REPLY;
    if (!find_address(r, &target) || !make_fields(r))
        return refuse_memory(r);
    return untouched ? pass_body(r, &target) : fetch_media(r);
}
