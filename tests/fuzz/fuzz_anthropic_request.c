/*
 * Requests in Anthropic's dialect, on any bytes: what brief() takes is read or refused by name;
 * what was read is written as valid JSON, for models of each kind, and what is written once is read
 * and written again as the same bytes.
 */
#include <string.h>

#include "dataplane/dialects/anthropic_count.h"
#include "dataplane/dialects/dialect.h"
#include "tests/fuzz/fuzz.h"

static const struct dialect_call call;
static const struct policy_provider provider = {.name = {"p", 1}, .kind = PROVIDER_ANTHROPIC};

static int
write_for(struct arena *a, const struct canon_request *q, const char *model, struct buf *into)
{
    struct dialect_target t = {.provider = &provider, .model = slice_of(model)};
    struct dialect_refusal why = {.member = ""};
    struct dialect_writer w = {.arena = a, .target = &t, .may_degrade = true, .why = &why};
    int err = dialect_anthropic.write_request(q, &w, into);
    CHECK(err == 0 || (err == ERR_DENIED && why.message[0]));
    if (err == 0)
        check_valid(buf_slice(into));
    return err;
}

static void
check_again(struct arena *a, const char *model, struct slice text)
{
    struct canon_request again;
    struct dialect_refusal why = {.member = ""};
    struct buf second;
    int err = dialect_anthropic.read_request(text, &call, a, &again, &why);
    if (err) { /* nothing that could be sent was in it */
        CHECK(err == ERR_SYNTAX && strcmp(why.member, "messages") == 0);
        return;
    }
    buf_init(&second, 0);
    CHECK(write_for(a, &again, model, &second) == 0);
    CHECK(slice_eq(buf_slice(&second), text));
    buf_free(&second);
}

static void
check_models(struct arena *a, const struct canon_request *q)
{
    static const char *const models[] = {"claude-3-5-haiku-latest", "claude-sonnet-4-5",
                                         "claude-opus-4-6", "claude-opus-5"};
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        struct buf out;
        buf_init(&out, 0);
        if (write_for(a, q, models[i], &out) == 0)
            check_again(a, models[i], buf_slice(&out));
        buf_free(&out);
    }
    CHECK(anthropic_count_estimate(q) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    struct request_brief brief;
    struct dialect_refusal why = {.member = ""};
    struct canon_request q;
    struct slice body = slice_make(data, n);
    arena_init(&a, 0);
    int err = dialect_anthropic.brief(body, &call, &a, &brief, &why);
    CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0]));
    if (err == 0) {
        err = dialect_anthropic.read_request(body, &call, &a, &q, &why);
        CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0] && why.member[0]));
    }
    if (err == 0)
        check_models(&a, &q);
    arena_free(&a);
    return 0;
}
