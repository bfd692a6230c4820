/* Answers in Responses (fuzz_answers.h): what the client is told are valid events, numbered, with
 * one terminal at their end. */
#include "lib/json/view.h"
#include "tests/fuzz/fuzz_answers.h"

static const struct canon_request request = {
    .origin = DIALECT_RESPONSES, .max_tokens = -1, .top_logprobs = -1, .choices = 1};

struct seen {
    int64_t count;
    unsigned terminals;
};

static bool
on_written(void *ctx, const struct sse_event *e)
{
    struct seen *s = ctx;
    check_valid(e->data);
    CHECK(s->terminals == 0);
    struct json_view v = json_view_of(e->data);
    CHECK(json_view_int_or(json_view_get(v, "sequence_number"), -1) == s->count++);
    s->terminals += slice_is(e->name, "response.completed") ||
                    slice_is(e->name, "response.incomplete") ||
                    slice_is(e->name, "response.failed") || slice_is(e->name, "error");
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct dialect_exchange x = {.request = &request};
    struct run r = {.dialect = &dialect_responses};
    run_stream(&r, &x, slice_make(data, n));
    if (r.err == 0) {
        struct seen seen = {0};
        struct sse_parser told;
        sse_init(&told, 0);
        CHECK(sse_push(&told, buf_slice(&r.out), on_written, &seen) == 0);
        CHECK(!sse_is_partial(&told));
        CHECK(seen.terminals == (r.over ? 1u : 0u));
        sse_fini(&told);
    }
    run_free(&r);
    check_whole(&dialect_responses, &x, slice_make(data, n));
    return 0;
}
