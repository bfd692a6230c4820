/*
 * A provider's stream: cut anywhere it is the same events, and what they say can be told to a
 * client of Google's in a stream that reads the same. The first byte says where it is cut.
 */
#include <string.h>

#include "dataplane/dialects/gather.h"
#include "dataplane/dialects/gemini_internal.h"
#include "lib/http/sse.h"
#include "tests/fuzz/fuzz.h"

struct run {
    struct arena keep, scratch;
    void *decoder, *encoder;
    struct gather *gather;
    struct canon_sink sink;
    struct buf told; /* to the client */
    int err;
    bool failed;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    CHECK(dialect_gemini.encoder->event(r->encoder, e, &r->told) == 0);
    if (e->kind == EVENT_ERROR) {
        CHECK(e->error.message.len > 0);
        r->failed = true;
        return ERR_CANCELLED;
    }
    int err = gather_event(r->gather, e);
    CHECK(err == 0 || err == ERR_LIMIT);
    return err;
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct run *r = ctx;
    struct wire_event w = {.name = e->name, .data = e->data};
    r->err = dialect_gemini.decoder->event(r->decoder, &w, &r->scratch, &r->sink);
    arena_free(&r->scratch);
    return r->err == 0;
}

static void
run(struct run *r, struct slice text, size_t piece)
{
    struct canon_request q = {.origin = DIALECT_GEMINI, .reasoning = {.show = TRI_YES}};
    struct answer_names names = {.id = SLICE("r"), .model = SLICE("m")};
    struct sse_parser p;
    memset(r, 0, sizeof(*r));
    arena_init(&r->keep, 0);
    arena_init(&r->scratch, 0);
    buf_init(&r->told, 0);
    r->decoder = calloc(1, dialect_gemini.decoder->state_bytes);
    r->encoder = calloc(1, dialect_gemini.encoder->state_bytes);
    r->gather = gather_new((size_t)1 << 24);
    r->sink = (struct canon_sink){take, r};
    CHECK(dialect_gemini.decoder->init(r->decoder, &r->keep, NULL) == 0);
    CHECK(dialect_gemini.encoder->init(r->encoder, &r->keep, &q, &names) == 0);
    sse_init(&p, 0);
    for (size_t at = 0; at < text.len && !r->err; at += piece)
        (void)!sse_push(&p, slice_make(text.at + at, text.len - at < piece ? text.len - at : piece),
                        on_event, r);
    if (!r->err)
        r->err = dialect_gemini.decoder->end(r->decoder, &r->sink);
    CHECK(r->err <= 0);
    sse_fini(&p);
}

static void
run_free(struct run *r)
{
    dialect_gemini.encoder->fini(r->encoder);
    free(r->decoder);
    free(r->encoder);
    gather_free(r->gather);
    buf_free(&r->told);
    arena_free(&r->keep);
    arena_free(&r->scratch);
}

/* The texts and arguments; ids may be minted. */
static void
show(struct run *r, struct buf *into)
{
    struct canon_answer answer;
    CHECK(gather_answer(r->gather, &r->keep, &answer) == 0);
    for (size_t i = 0; i < answer.choice_count; i++)
        for (size_t j = 0; j < answer.choices[i].count; j++) {
            const struct canon_part *p = &answer.choices[i].parts[j];
            CHECK(buf_addf(into, "%zu %d ", i, (int)p->kind) == 0);
            CHECK(buf_add_slice(into, p->text) == 0);
            CHECK(buf_add_slice(into, p->name) == 0);
            CHECK(buf_add_slice(into, p->arguments) == 0);
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct run whole, pieces;
    struct buf a, b;
    if (n < 2)
        return 0;
    struct slice text = slice_make(data + 1, n - 1);
    buf_init(&a, 0);
    buf_init(&b, 0);
    run(&whole, text, text.len);
    run(&pieces, text, data[0] % 32 + 1u);
    show(&whole, &a);
    show(&pieces, &b);
    CHECK(whole.err == pieces.err);
    CHECK(slice_eq(buf_slice(&a), buf_slice(&b)));
    if (whole.err == 0) { /* what the client was told is a whole stream too */
        struct slice told = buf_slice(&whole.told);
        struct run again;
        run(&again, told, told.len);
        CHECK(again.err == 0);
        run_free(&again);
    }
    run_free(&whole);
    run_free(&pieces);
    buf_free(&a);
    buf_free(&b);
    return 0;
}
