/*
 * Requests of Google's clients: whatever comes is read or refused with a reason, and what is read
 * and can be written again is a request of the same kind.
 */
#include <string.h>

#include "dataplane/dialects/gemini_internal.h"
#include "tests/fuzz/fuzz.h"

static const char *const models[] = {"gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro-preview",
                                     "gemma-3"};

static int
read_request(struct slice body, const struct dialect_call *call, struct arena *a,
             struct canon_request *q)
{
    struct dialect_refusal why = {.duplicate = false};
    struct request_brief brief;
    int err = dialect_gemini.brief(body, call, a, &brief, &why);
    if (!err)
        err = dialect_gemini.read_request(body, call, a, q, &why);
    CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0]));
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct policy_provider providers[] = {
        {.name = {"g", 1}, .kind = PROVIDER_GEMINI},
        {.name = {"v", 1}, .kind = PROVIDER_VERTEX},
    };
    if (n < 1)
        return 0;
    struct slice model = slice_of(models[data[0] % 4]);
    struct dialect_call call = {.path_model = model};
    struct dialect_target target = {.provider = &providers[data[0] / 4 % 2], .model = model};
    struct dialect_refusal why = {.duplicate = false};
    struct canon_request q;
    struct arena a;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    if (read_request(slice_make(data + 1, n - 1), &call, &a, &q) == 0) {
        struct dialect_writer w = {
            .arena = &a, .target = &target, .why = &why, .may_degrade = data[0] / 8 % 2};
        int err = dialect_gemini.write_request(&q, &w, &out);
        CHECK(err == 0 || (err == ERR_DENIED && why.message[0]));
        struct canon_request again;
        if (err == 0 && !w.json_by_tool && target.provider->kind == PROVIDER_GEMINI)
            CHECK(read_request(buf_slice(&out), &call, &a, &again) == 0);
    }
    buf_free(&out);
    arena_free(&a);
    return 0;
}
