/*
 * A provider's stream through its dialect's decoder: each line of the input is an event, "name
 * data"
 * ("!name data": an exception). Whatever comes, the events are in order (the gatherer sees to
 * that), nothing follows an end, and what ended whole is an answer. The first byte's lowest bit
 * says whether structured output was made by a tool.
 */
#ifndef TESTS_FUZZ_FUZZ_DECODER_H
#define TESTS_FUZZ_FUZZ_DECODER_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES ((size_t)1 << 20)

struct run {
    struct gather *g;
    bool broke; /* an ERROR was told */
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    CHECK(!r->broke && !gather_has_ended(r->g)); /* nothing behind an end */
    if (e->kind == EVENT_ERROR) {
        CHECK(e->error.message.len > 0);
        r->broke = true;
        return 0;
    }
    int err = gather_event(r->g, e);
    CHECK(err == 0 || err == ERR_LIMIT);
    return err;
}

static inline void
feed(struct run *r, const struct dialect_decoder *d, void *state, struct slice text)
{
    const struct canon_sink sink = {take, r};
    struct arena scratch;
    int err = 0;
    arena_init(&scratch, 0);
    while (text.len > 0 && text.at && !err && !r->broke && !gather_has_ended(r->g)) {
        struct slice rest = slice_cut(&text, '\n'), name = slice_cut(&rest, ' ');
        bool is_exception = name.len > 0 && name.at[0] == '!';
        const struct wire_event e = {
            .name = slice_from(name, is_exception), .data = rest, .is_exception = is_exception};
        err = d->event(state, &e, &scratch, &sink);
        CHECK(err == 0 || err == ERR_PROTOCOL || err == ERR_LIMIT);
        arena_free(&scratch);
    }
    if (!err && !r->broke && !gather_has_ended(r->g))
        CHECK(d->end(state, &sink) == ERR_TRUNCATED);
}

static inline void
fuzz_decoder(const struct dialect_decoder *d, const uint8_t *data, size_t n)
{
    static const struct canon_request q;
    if (n < 1)
        return;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = data[0] & 1};
    struct run r = {.g = gather_new(MAX_BYTES)};
    struct canon_answer answer;
    struct arena keep;
    void *state = calloc(1, d->state_bytes);
    CHECK(r.g && state);
    arena_init(&keep, 0);
    CHECK(d->init(state, &keep, &x) == 0);
    feed(&r, d, state, slice_make(data + 1, n - 1));
    CHECK(gather_answer(r.g, &keep, &answer) == 0);
    arena_free(&keep);
    gather_free(r.g);
    free(state);
}

#endif
