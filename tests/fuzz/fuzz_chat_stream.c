/*
 * Answers in chat completions, on any bytes: as a stream of a provider (the first byte chooses the
 * kind), whose canonical events must gather and must make a client's stream of valid chunks; as a
 * whole answer, and as an error.
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

static const struct canon_request request = {.choices = 1, .include_usage = true};
static const struct answer_names names = {.id = {"ID", 2}, .model = {"m", 1}, .now_unix_s = 1};

struct run {
    struct arena keep, scratch;
    void *decoder, *encoder;
    struct gather *gather;
    struct buf out;
    bool over, failed;
    int err;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    CHECK(!r->over);
    r->over = e->kind == EVENT_END || e->kind == EVENT_ERROR;
    r->failed |= e->kind == EVENT_ERROR;
    int err = r->failed ? 0 : gather_event(r->gather, e);
    CHECK(err == 0 || err == ERR_LIMIT);
    if (!err)
        err = dialect_chat.encoder->event(r->encoder, e, &r->out);
    CHECK(err == 0 || err == ERR_LIMIT);
    return err;
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct run *r = ctx;
    struct canon_sink sink = {take, r};
    struct wire_event event = {.name = e->name, .data = e->data};
    if (e->data.len == 0)
        return true;
    r->err = dialect_chat.decoder->event(r->decoder, &event, &r->scratch, &sink);
    CHECK(r->err == 0 || r->err == ERR_PROTOCOL || r->err == ERR_LIMIT);
    arena_free(&r->scratch);
    return r->err == 0 && !r->over;
}

static bool
on_chunk(void *ctx, const struct sse_event *e)
{
    struct json_span root;
    struct json_error wrong;
    size_t *chunks = ctx;
    if (slice_is(e->data, "[DONE]"))
        return true;
    CHECK(json_scan(e->data, &json_limits_default, NULL, 0, NULL, &root, &wrong) == 0);
    CHECK(root.kind == JSON_MAP);
    (*chunks)++;
    return true;
}

static void
check_stream(const struct dialect_exchange *x, struct slice text)
{
    struct run r = {.gather = gather_new((size_t)1 << 20)};
    struct sse_parser p, told;
    struct canon_answer answer;
    size_t chunks = 0;
    r.decoder = calloc(1, dialect_chat.decoder->state_bytes);
    r.encoder = calloc(1, dialect_chat.encoder->state_bytes);
    CHECK(r.gather && r.decoder && r.encoder);
    arena_init(&r.keep, 0);
    arena_init(&r.scratch, 0);
    buf_init(&r.out, 0);
    CHECK(dialect_chat.decoder->init(r.decoder, &r.keep, x) == 0);
    CHECK(dialect_chat.encoder->init(r.encoder, &r.keep, &request, &names) == 0);
    sse_init(&p, 0);
    int err = sse_push(&p, text, on_event, &r);
    if (!err && !r.err && !r.over) {
        err = dialect_chat.decoder->end(r.decoder, &(struct canon_sink){take, &r});
        CHECK(err == ERR_TRUNCATED || err == ERR_LIMIT || (err == 0 && r.over));
    }
    sse_fini(&p);
    CHECK(gather_answer(r.gather, &r.keep, &answer) == 0);
    sse_init(&told, 0);
    CHECK(sse_push(&told, buf_slice(&r.out), on_chunk, &chunks) == 0);
    sse_fini(&told);
    buf_free(&r.out);
    arena_free(&r.keep);
    gather_free(r.gather);
    free(r.decoder);
    free(r.encoder);
}

static void
check_whole(const struct dialect_exchange *x, struct slice text)
{
    struct arena a;
    struct canon_answer answer;
    struct canon_error e;
    struct dialect_fault f = {.status = 400, .body = text};
    struct json_span root;
    struct json_error wrong;
    const char *why = NULL;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    int err = dialect_chat.read_answer(text, x, &a, &answer, &why);
    CHECK(err == 0 || ((err == ERR_PROTOCOL || err == ERR_LIMIT) && why));
    if (err == 0) {
        CHECK(dialect_chat.write_answer(&request, &answer, &names, &out) == 0);
        CHECK(json_scan(buf_slice(&out), &json_limits_default, NULL, 0, NULL, &root, &wrong) == 0);
    }
    CHECK(dialect_chat.read_error(&f, &a, &e) == 0 && e.message.len > 0);
    buf_free(&out);
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    struct policy_provider p = {.kind = (enum provider_kind)(1 + data[0] % (PROVIDER_KINDS - 1))};
    struct dialect_target t = {.provider = &p, .model = SLICE("m")};
    const struct dialect_exchange x = {.request = &request, .target = &t};
    check_stream(&x, slice_make(data + 1, n - 1));
    check_whole(&x, slice_make(data + 1, n - 1));
    return 0;
}
