/*
 * What a provider of Google's must get back unchanged, through clients of every dialect: an answer
 * is written for the client, the client sends it back as its history, and the request that Google
 * gets holds the same signatures and items, byte for byte.
 */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

static const char answer_text[] =
    "{\"candidates\":[{\"content\":{\"parts\":["
    "{\"text\":\"think\",\"thought\":true},"
    "{\"toolCall\":{\"id\":\"i\",\"toolType\":\"FILE_SEARCH\"},\"thoughtSignature\":\"T0sx+/==\"},"
    "{\"text\":\"said\"},"
    "{\"functionCall\":{\"id\":\"abc\",\"name\":\"f\",\"args\":{\"a\":1}},"
    "\"thoughtSignature\":\"Q2Fs+/bA==\"},"
    "{\"functionCall\":{\"id\":\"def\",\"name\":\"f\",\"args\":{\"a\":2}}}"
    "]},\"finishReason\":\"STOP\"}],\"modelVersion\":\"gemini-3-pro-preview\"}";

/* How each client's dialect sends an answer back: what of it, and between what. */
static const struct client {
    const struct dialect *dialect;
    const char *path[4]; /* members (or indices) down to the piece */
    const char *before, *after;
} clients[] = {
    {&dialect_chat,
     {"choices", "0", "message"},
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},",
     "]}"},
    {&dialect_responses,
     {"output"},
     "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"q\"},",
     "]}"},
    {&dialect_anthropic,
     {"content"},
     "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{"
     "\"role\":\"assistant\",\"content\":[",
     "]}]}"},
    {&dialect_gemini,
     {"candidates", "0", "content"},
     "{\"contents\":[{\"parts\":[{\"text\":\"q\"}]},",
     "]}"},
};

static struct json_view
down(struct json_view v, const char *const *path)
{
    for (size_t i = 0; i < 4 && path[i]; i++) {
        size_t cursor = 0;
        struct slice name;
        if (path[i][0] != '0')
            v = json_view_get(v, path[i]);
        else if (!json_view_next(v, &cursor, &name, &v))
            fail_msg("nothing at %s", path[i]);
    }
    return v;
}

/* The client's next request: the answer as its history. */
static void
history(const struct client *c, const struct canon_answer *answer, struct buf *into)
{
    struct canon_request q = {.origin = c->dialect->id,
                              .choices = 1,
                              .include_usage = true,
                              .reasoning = {.show = TRI_YES, .budget = -1}};
    struct answer_names names = {.id = SLICE("abc"), .model = SLICE("m")};
    struct buf written;
    buf_init(&written, 0);
    ASSERT_OK(c->dialect->write_answer(&q, answer, &names, &written));
    struct slice piece = down(json_view_of(buf_slice(&written)), c->path).raw;
    if (piece.len && piece.at[0] == '[') /* the items */
        piece = slice_make(piece.at + 1, piece.len - 2);
    assert_true(piece.len > 0);
    ASSERT_OK(buf_add_str(into, c->before));
    ASSERT_OK(buf_add_slice(into, piece));
    ASSERT_OK(buf_add_str(into, c->after));
    buf_free(&written);
}

static void
asked_again(const struct client *c, struct slice body, struct arena *a, struct buf *into)
{
    static const struct policy_provider google = {.name = {"g", 1}, .kind = PROVIDER_GEMINI};
    struct dialect_target target = {.provider = &google, .model = SLICE("gemini-3-pro-preview")};
    struct dialect_call call = {.path_model = SLICE("m")};
    struct dialect_refusal why = {.duplicate = false};
    struct dialect_writer w = {.arena = a, .target = &target, .why = &why};
    struct canon_request q;
    struct request_brief b;
    if (c->dialect->brief(body, &call, a, &b, &why) ||
        c->dialect->read_request(body, &call, a, &q, &why))
        fail_msg("%s: %s in %.*s", c->dialect->name, why.message, SLICE_ARG(body));
    if (dialect_gemini.write_request(&q, &w, into))
        fail_msg("%s: %s", c->dialect->name, why.message);
}

static bool
holds(const struct buf *b, const char *text)
{
    return memmem(b->at, b->len, text, strlen(text)) != NULL;
}

static void
test_answers_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        const struct client *c = &clients[i];
        static const char *const wanted[] = {
            "{\"functionCall\":{\"id\":\"abc\",\"name\":\"f\",\"args\":{\"a\":1}},"
            "\"thoughtSignature\":\"Q2Fs+/bA==\"}",
            "{\"functionCall\":{\"id\":\"def\",\"name\":\"f\",\"args\":{\"a\":2}}}",
            "{\"toolCall\":{\"id\":\"i\",\"toolType\":\"FILE_SEARCH\"},\"thoughtSignature\":"
            "\"T0sx+/==\"}",
            "{\"text\":\"said\"}",
        };
        struct arena a;
        struct canon_answer answer;
        struct buf body, asked;
        const char *why;
        arena_init(&a, 0);
        buf_init(&body, 0);
        buf_init(&asked, 0);
        ASSERT_OK(dialect_gemini.read_answer(slice_of(answer_text), NULL, &a, &answer, &why));
        history(c, &answer, &body);
        asked_again(c, buf_slice(&body), &a, &asked);
        for (size_t j = 0; j < sizeof(wanted) / sizeof(wanted[0]); j++)
            if (!holds(&asked, wanted[j]))
                fail_msg("%s: no %s in\n%.*s\nof\n%.*s", c->dialect->name, wanted[j],
                         SLICE_ARG(buf_slice(&asked)), SLICE_ARG(buf_slice(&body)));
        buf_free(&body);
        buf_free(&asked);
        arena_free(&a);
    }
}

static int
encode(void *ctx, const struct canon_event *e)
{
    void **both = ctx;
    return dialect_chat.encoder->event(both[0], e, both[1]);
}

/* In a stream too, ids carry signatures: a call's comes with its beginning. */
static void
test_ids_carry_signatures_in_streams(void **state)
{
    struct decoding d;
    struct canon_answer answer;
    struct canon_request q = {.origin = DIALECT_CHAT, .choices = 1};
    struct answer_names names = {.id = SLICE("abc"), .model = SLICE("m")};
    struct buf stream, told;
    (void)state;
    buf_init(&stream, 0);
    buf_init(&told, 0);
    ASSERT_OK(buf_addf(&stream, "data: %s\r\n\r\n", answer_text));
    decoding_begin(&d, NULL);
    decoding_run(&d, buf_slice(&stream), 0);
    assert_int_equal(d.err, 0);
    ASSERT_OK(gather_answer(d.gather, &d.keep, &answer));
    void *encoder = calloc(1, dialect_chat.encoder->state_bytes);
    void *both[2] = {encoder, &told};
    ASSERT_OK(dialect_chat.encoder->init(encoder, &d.keep, &q, &names));
    ASSERT_OK(gather_replay(&answer, &(struct canon_sink){encode, both}));
    if (dialect_chat.encoder->fini)
        dialect_chat.encoder->fini(encoder);
    assert_true(holds(&told, "\"abc__sig_bUTJGcysvYkE9PQ\""));
    free(encoder);
    decoding_end(&d);
    buf_free(&stream);
    buf_free(&told);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_come_back),
        cmocka_unit_test(test_ids_carry_signatures_in_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
