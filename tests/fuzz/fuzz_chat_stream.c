/* Answers in chat completions (fuzz_answers.h). The first byte chooses the kind of provider; what
 * the client is told is a stream of valid chunks. */
#include "tests/fuzz/fuzz_answers.h"

static const struct canon_request request = {.choices = 1, .include_usage = true};

static bool
on_chunk(void *ctx, const struct sse_event *e)
{
    (void)ctx;
    if (!slice_is(e->data, "[DONE]"))
        check_valid(e->data);
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    struct policy_provider p = {.kind = (enum provider_kind)(1 + data[0] % (PROVIDER_KINDS - 1))};
    struct dialect_target t = {.provider = &p, .model = SLICE("m")};
    const struct dialect_exchange x = {.request = &request, .target = &t};
    struct run r = {.dialect = &dialect_chat};
    struct sse_parser told;
    run_stream(&r, &x, slice_make(data + 1, n - 1));
    sse_init(&told, 0);
    CHECK(sse_push(&told, buf_slice(&r.out), on_chunk, NULL) == 0);
    sse_fini(&told);
    run_free(&r);
    check_whole(&dialect_chat, &x, slice_make(data + 1, n - 1));
    return 0;
}
