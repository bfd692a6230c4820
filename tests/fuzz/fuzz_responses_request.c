/*
 * Requests in Responses, on any bytes: what brief() takes is read or refused by name; what was read
 * is written as valid JSON for each kind of provider, and its own dialect reads that again as the
 * same.
 */
#include <string.h>

#include "dataplane/dialects/dialect.h"
#include "tests/fuzz/fuzz.h"

static const struct dialect_call call;

static int
write_for(struct arena *a, const struct canon_request *q, enum provider_kind kind, bool degrade,
          struct buf *into)
{
    struct policy_provider p = {.name = SLICE("p"), .kind = kind};
    struct dialect_target t = {.provider = &p, .model = q->model};
    struct dialect_refusal why = {.member = ""};
    struct dialect_writer w = {.arena = a, .target = &t, .may_degrade = degrade, .why = &why};
    int err = dialect_responses.write_request(q, &w, into);
    CHECK(err == 0 || (err == ERR_DENIED && why.message[0]));
    if (err == 0)
        check_valid(buf_slice(into));
    return err;
}

/* What was written is written the same again, and asks for the same. */
static void
check_again(struct arena *a, const struct canon_request *q, struct slice text)
{
    struct canon_request again;
    struct dialect_refusal why = {.member = ""};
    struct buf second;
    CHECK(dialect_responses.read_request(text, &call, a, &again, &why) == 0);
    CHECK(again.message_count <= q->message_count); /* what this provider does not get is out */
    CHECK(again.tool_count == q->tool_count);
    CHECK(again.format == q->format && again.tool_choice == q->tool_choice);
    buf_init(&second, 0);
    CHECK(write_for(a, &again, PROVIDER_OPENAI, false, &second) == 0);
    CHECK(slice_eq(buf_slice(&second), text));
    buf_free(&second);
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
    int err = dialect_responses.brief(body, &call, &a, &brief, &why);
    CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0]));
    if (err == 0) {
        err = dialect_responses.read_request(body, &call, &a, &q, &why);
        CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0] && why.member[0]));
    }
    for (int kind = PROVIDER_OPENAI; err == 0 && kind < PROVIDER_KINDS; kind++) {
        struct buf out;
        buf_init(&out, 0);
        int written = write_for(&a, &q, (enum provider_kind)kind, kind % 2, &out);
        if (kind == PROVIDER_OPENAI && written == 0)
            check_again(&a, &q, buf_slice(&out));
        buf_free(&out);
    }
    arena_free(&a);
    return 0;
}
