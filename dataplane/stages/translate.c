/*
 * translate: the client's body into the provider's dialect. Between equal dialects the body stays
 * as it is, byte for byte, but for two splices: the provider's name of the model, and the request
 * for usage at the end of a stream. Pieces refer to the body; nothing of it is copied.
 *
 * Of the client's fields only those of a short list go up: never its credentials, cookies or
 * addresses.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"

#include <stdlib.h>
#include <string.h>

/* --- the body --------------------------------------------------------------------------------- */

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
    return (x->start > y->start) - (x->start < y->start);
}

static bool
rename_model(struct request *r, struct edits *e)
{
    struct json_span at = r->body.members[MEMBER_MODEL];
    struct slice name = r->plan.target->model;
    struct buf quoted;
    if (slice_eq(r->grant.name, name))
        return true;
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
    struct json_span map = r->body.members[MEMBER_STREAM_OPTIONS], name, value;
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
    struct json_span options = r->body.members[MEMBER_STREAM_OPTIONS];
    struct json_span stream = r->body.members[MEMBER_STREAM];
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

static const char *const passed_up[] = {"accept", "openai-beta", "idempotency-key"};

#define OWN_FIELDS (5 + sizeof(passed_up) / sizeof(passed_up[0])) /* those added below */

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
    add(r, SLICE("content-type"), SLICE("application/json"));
    add(r, SLICE("user-agent"), SLICE("Headgate/" HEADGATE_VERSION));
    add(r, SLICE("accept-encoding"), SLICE("identity"));
    add(r, SLICE("x-client-request-id"), attempt);
    for (size_t i = 0; i < sizeof(passed_up) / sizeof(passed_up[0]); i++)
        add(r, slice_of(passed_up[i]), http_field_get(head, passed_up[i]));
    add(r, SLICE("traceparent"), new_traceparent(r, http_field_get(head, "traceparent")));
    for (size_t i = 0; i < own; i++)
        add(r, provider->headers[i].name, provider->headers[i].value);
    if (provider->kind == PROVIDER_SIMULATOR)
        r->wire.directives = http_field_get(head, "x-headgate-sim");
    return attempt.at != NULL;
}

/* --- the stage -------------------------------------------------------------------------------- */

enum verdict
translate(struct request *r)
{
    struct edits edits = {.count = 0};
    struct slice text = slice_make(r->body.at, r->body.len);
    uuid7(r->wire.attempt_id);
    if (!rename_model(r, &edits) || !make_fields(r))
        return reply_refuse(r, PROBLEM_OVERLOADED,
                            "The gateway is short of memory. Try again shortly.");
    if (r->body.stream)
        r->wire.usage_added = ask_usage(r, &edits);
    qsort(edits.at, edits.count, sizeof(edits.at[0]), by_start);
    r->wire.piece_count = json_pieces(text, edits.at, edits.count, r->wire.pieces);
    return NEXT;
}
