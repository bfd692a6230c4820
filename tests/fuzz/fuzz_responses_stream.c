/*
 * Answers in Responses, on any bytes: as a stream of a provider, whose canonical events must gather
 * and must make a client's stream of valid events with one terminal; and as a whole answer and an
 * error.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/http/sse.h"
#include "lib/json/view.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct canon_request request = {
    .origin = DIALECT_RESPONSES, .max_tokens = -1, .top_logprobs = -1, .choices = 1};
static const struct answer_names names = {.id = {"ID", 2}, .model = {"m", 1}, .now_unix_s = 1};

struct run {
    struct arena keep, scratch;
    void *decoder, *encoder;
    struct gather *gather;
    struct buf out;
    bool ended, failed;
    int err;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    CHECK(!r->ended);
    r->ended = e->kind == EVENT_END || e->kind == EVENT_ERROR;
    r->failed |= e->kind == EVENT_ERROR;
    int err = r->failed ? 0 : gather_event(r->gather, e);
    CHECK(err == 0 || err == ERR_LIMIT);
    if (!err)
        err = dialect_responses.encoder->event(r->encoder, e, &r->out);
    CHECK(err == 0 || err == ERR_LIMIT);
    return err;
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct run *r = ctx;
    struct canon_sink sink = {take, r};
    struct wire_event event = {.name = e->name, .data = e->data};
    if (!e->has_data)
        return true;
    r->err = dialect_responses.decoder->event(r->decoder, &event, &r->scratch, &sink);
    arena_free(&r->scratch);
    CHECK(r->err == 0 || r->err == ERR_PROTOCOL || r->err == ERR_LIMIT);
    return r->err == 0;
}

struct seen {
    int64_t count;
    unsigned terminals;
};

static bool
on_written(void *ctx, const struct sse_event *e)
{
    struct seen *s = ctx;
    struct json_span root;
    struct json_error wrong;
    CHECK(json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &wrong) == 0);
    CHECK(s->terminals == 0);
    struct json_view v = json_view_of(e->data);
    CHECK(json_view_int_or(json_view_get(v, "sequence_number"), -1) == s->count++);
    s->terminals += slice_is(e->name, "response.completed") ||
                    slice_is(e->name, "response.incomplete") ||
                    slice_is(e->name, "response.failed") || slice_is(e->name, "error");
    return true;
}

static void
check_stream(struct slice bytes)
{
    struct run r = {.gather = gather_new((size_t)1 << 20)};
    struct dialect_exchange x = {.request = &request};
    struct sse_parser p;
    struct seen seen = {0};
    r.decoder = calloc(1, dialect_responses.decoder->state_bytes);
    r.encoder = calloc(1, dialect_responses.encoder->state_bytes);
    CHECK(r.gather && r.decoder && r.encoder);
    CHECK(dialect_responses.decoder->init(r.decoder, &r.keep, &x) == 0);
    CHECK(dialect_responses.encoder->init(r.encoder, &r.keep, &request, &names) == 0);
    sse_init(&p, 0);
    (void)!sse_push(&p, bytes, on_event, &r);
    sse_fini(&p);
    if (r.err == 0) {
        sse_init(&p, 0);
        CHECK(sse_push(&p, buf_slice(&r.out), on_written, &seen) == 0);
        CHECK(!sse_is_partial(&p));
        CHECK(seen.terminals == (r.ended ? 1u : 0u));
        sse_fini(&p);
    }
    dialect_responses.encoder->fini(r.encoder);
    gather_free(r.gather);
    free(r.decoder);
    free(r.encoder);
    buf_free(&r.out);
    arena_free(&r.keep);
}

static void
check_whole(struct slice bytes)
{
    struct arena a;
    struct canon_answer answer;
    struct canon_error error;
    struct dialect_exchange x = {.request = &request};
    struct dialect_fault fault = {.status = 500, .body = bytes};
    struct json_span root;
    struct json_error wrong;
    const char *why = NULL;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    int err = dialect_responses.read_answer(bytes, &x, &a, &answer, &why);
    CHECK(err == 0 || (err == ERR_PROTOCOL && why));
    if (err == 0 && dialect_responses.write_answer(&request, &answer, &names, &out) == 0)
        CHECK(json_scan(buf_slice(&out), &json_limits_default, NULL, 0, NULL, &root, &wrong) == 0);
    CHECK(dialect_responses.read_error(&fault, &a, &error) == 0 && error.message.len > 0);
    buf_free(&out);
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_stream(slice_make(data, n));
    check_whole(slice_make(data, n));
    return 0;
}
