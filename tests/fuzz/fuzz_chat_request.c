/*
 * Chat requests, on any bytes: what brief() takes is read or refused by name; what was read is
 * written as valid JSON for each kind of provider, and read again it has the same messages; the
 * edits of the untouched way leave valid JSON too.
 */
#include <string.h>

#include "dataplane/dialects/compat.h"
#include "tests/fuzz/fuzz.h"

static const struct dialect_call call;

static void
check_written(struct arena *a, const struct canon_request *q, struct dialect_writer *w)
{
    struct canon_request again;
    struct dialect_refusal why = {.member = ""};
    struct buf out;
    buf_init(&out, 0);
    int err = dialect_chat.write_request(q, w, &out);
    CHECK(err == 0 || (err == ERR_DENIED && w->why->message[0]));
    if (err == 0) {
        check_valid(buf_slice(&out));
        CHECK(dialect_chat.read_request(buf_slice(&out), &call, a, &again, &why) == 0);
        CHECK(again.tool_choice != CHOICE_NAMED || again.tool_choice_name.at);
    }
    buf_free(&out);
}

static void
check_edits(struct slice body, struct dialect_writer *w)
{
    struct compat_edits edits;
    struct slice pieces[2 * LIMIT_COMPAT_EDITS + 1];
    struct buf out;
    int err = compat_edits(body, w, &edits);
    CHECK(err == 0 || (err == ERR_DENIED && w->why->message[0]));
    if (err)
        return;
    buf_init(&out, 0);
    size_t n = json_pieces(body, edits.at, edits.count, pieces);
    for (size_t i = 0; i < n; i++)
        CHECK(buf_add_slice(&out, pieces[i]) == 0);
    check_valid(buf_slice(&out));
    CHECK(edits.count || slice_eq(buf_slice(&out), body));
    buf_free(&out);
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
    int err = dialect_chat.brief(body, &call, &a, &brief, &why);
    CHECK(err == 0 || (err == ERR_SYNTAX && why.message[0]));
    bool is_read = !err && !dialect_chat.read_request(body, &call, &a, &q, &why);
    CHECK(err || is_read || (why.message[0] && why.member[0]));
    for (int kind = PROVIDER_OPENAI; err == 0 && kind < PROVIDER_KINDS; kind++) {
        struct policy_provider p = {.name = SLICE("p"), .kind = (enum provider_kind)kind};
        struct dialect_target t = {.provider = &p, .model = SLICE("gpt-5")};
        struct dialect_writer w = {.arena = &a, .target = &t, .may_degrade = kind % 2, .why = &why};
        check_edits(body, &w);
        w.degraded_count = 0;
        if (is_read)
            check_written(&a, &q, &w);
    }
    arena_free(&a);
    return 0;
}
