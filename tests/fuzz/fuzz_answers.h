/*
 * Answers in a dialect that both clients and providers speak, on any bytes: as a stream of a
 * provider, whose events must gather and are told to a client in the same dialect; as a whole
 * answer, and as an error.
 */
#ifndef TESTS_FUZZ_FUZZ_ANSWERS_H
#define TESTS_FUZZ_FUZZ_ANSWERS_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/http/sse.h"
#include "tests/fuzz/fuzz.h"

static const struct answer_names names = {.id = {"ID", 2}, .model = {"m", 1}, .now_unix_s = 1};

struct run {
    const struct dialect *dialect;
    struct arena keep, scratch;
    void *decoder, *encoder;
    struct gather *gather;
    struct buf out; /* told to the client */
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
        err = r->dialect->encoder->event(r->encoder, e, &r->out);
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
    r->err = r->dialect->decoder->event(r->decoder, &event, &r->scratch, &sink);
    CHECK(r->err == 0 || r->err == ERR_PROTOCOL || r->err == ERR_LIMIT);
    arena_free(&r->scratch);
    return r->err == 0 && !r->over;
}

/* The whole stream through both; the caller looks at what was told, then frees. */
static inline void
run_stream(struct run *r, const struct dialect_exchange *x, struct slice text)
{
    struct canon_answer answer;
    struct sse_parser p;
    r->decoder = calloc(1, r->dialect->decoder->state_bytes);
    r->encoder = calloc(1, r->dialect->encoder->state_bytes);
    r->gather = gather_new((size_t)1 << 20);
    CHECK(r->gather && r->decoder && r->encoder);
    CHECK(r->dialect->decoder->init(r->decoder, &r->keep, x) == 0);
    CHECK(r->dialect->encoder->init(r->encoder, &r->keep, x->request, &names) == 0);
    sse_init(&p, 0);
    int err = sse_push(&p, text, on_event, r);
    if (!err && !r->err && !r->over) {
        err = r->dialect->decoder->end(r->decoder, &(struct canon_sink){take, r});
        CHECK(err == ERR_TRUNCATED || err == ERR_LIMIT || (err == 0 && r->over));
    }
    sse_fini(&p);
    CHECK(gather_answer(r->gather, &r->keep, &answer) == 0);
}

static inline void
run_free(struct run *r)
{
    if (r->dialect->encoder->fini)
        r->dialect->encoder->fini(r->encoder);
    gather_free(r->gather);
    free(r->decoder);
    free(r->encoder);
    buf_free(&r->out);
    arena_free(&r->keep);
}

static inline void
check_whole(const struct dialect *d, const struct dialect_exchange *x, struct slice text)
{
    struct arena a;
    struct canon_answer answer;
    struct canon_error error;
    struct dialect_fault fault = {.status = 500, .body = text};
    const char *why = NULL;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    int err = d->read_answer(text, x, &a, &answer, &why);
    CHECK(err == 0 || ((err == ERR_PROTOCOL || err == ERR_LIMIT) && why));
    if (err == 0 && d->write_answer(x->request, &answer, &names, &out) == 0)
        check_valid(buf_slice(&out));
    CHECK(d->read_error(&fault, &a, &error) == 0 && error.message.len > 0);
    buf_free(&out);
    arena_free(&a);
}

#endif
