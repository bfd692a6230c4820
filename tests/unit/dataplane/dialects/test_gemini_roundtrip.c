/*
 * Every recorded request, read and written again: the meaning stays. And every recorded answer,
 * told to a client and read again.
 */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

static struct json *cases;

static int
begin(void **state)
{
    (void)state;
    cases = shared_doc("", "INDEX.json");
    return 0;
}

static int
finish(void **state)
{
    (void)state;
    json_free(cases);
    return 0;
}

static struct slice
member(struct json *map, const char *name)
{
    return json_str(json_get(map, name));
}

static void
describe_parts(const struct canon_part *parts, size_t count, struct buf *into)
{
    for (size_t i = 0; i < count; i++) {
        describe_part(&parts[i], into);
        ASSERT_OK(buf_addf(into, " id=%.*s file=%.*s err=%d\n", SLICE_ARG(parts[i].id),
                           SLICE_ARG(parts[i].media.file_id), parts[i].is_error));
        describe_parts(parts[i].parts, parts[i].part_count, into);
    }
}

static void
describe_tool(const struct canon_tool *t, struct buf *into)
{
    /* No arguments are no arguments, however that is said. */
    struct json_view schema = json_view_of(t->schema_raw);
    bool has = json_view_count(json_view_get(schema, "properties")) > 0;
    ASSERT_OK(buf_addf(into, "tool %d %.*s '%.*s' %.*s %.*s %d\n", (int)t->kind, SLICE_ARG(t->name),
                       SLICE_ARG(t->description), SLICE_ARG(has ? t->schema_raw : SLICE("")),
                       SLICE_ARG(t->raw), (int)t->strict));
}

/* Everything that is canonical. */
static void
describe_request(const struct canon_request *q, struct buf *into)
{
    for (size_t i = 0; i < q->message_count; i++) {
        ASSERT_OK(buf_addf(into, "role %d\n", (int)q->messages[i].role));
        describe_parts(q->messages[i].parts, q->messages[i].count, into);
    }
    for (int kind = TOOL_FUNCTION; kind <= TOOL_HOSTED; kind++) /* functions go together */
        for (size_t i = 0; i < q->tool_count; i++)
            if ((int)q->tools[i].kind == kind)
                describe_tool(&q->tools[i], into);
    ASSERT_OK(buf_addf(
        into, "choice %d %.*s max %lld n %lld t %.*s p %.*s k %.*s fp %.*s pp %.*s seed %.*s\n",
        (int)q->tool_choice, SLICE_ARG(q->tool_choice_name), (long long)q->max_tokens,
        (long long)q->choices, SLICE_ARG(q->temperature), SLICE_ARG(q->top_p), SLICE_ARG(q->top_k),
        SLICE_ARG(q->frequency_penalty), SLICE_ARG(q->presence_penalty), SLICE_ARG(q->seed)));
    for (size_t i = 0; i < q->stop_count; i++)
        ASSERT_OK(buf_addf(into, "stop %.*s\n", SLICE_ARG(q->stops[i])));
    ASSERT_OK(buf_addf(into, "lp %d %lld format %d %.*s thinking %.*s %lld %d tier %.*s %.*s\n",
                       (int)q->logprobs, (long long)q->top_logprobs, (int)q->format,
                       SLICE_ARG(q->format_schema_raw), SLICE_ARG(q->reasoning.effort),
                       (long long)q->reasoning.budget, q->reasoning.show == TRI_YES,
                       SLICE_ARG(q->service_tier), SLICE_ARG(q->metadata_raw)));
    for (size_t i = 0; i < q->extra_count; i++)
        ASSERT_OK(buf_addf(into, "extra %.*s %.*s\n", SLICE_ARG(q->extras[i].name),
                           SLICE_ARG(q->extras[i].raw)));
}

static void
read_again(const char *name, struct slice body, const struct dialect_call *call, struct arena *a,
           struct canon_request *q)
{
    struct dialect_refusal why = {.duplicate = false};
    struct request_brief b;
    if (dialect_gemini.brief(body, call, a, &b, &why))
        fail_msg("%s: brief: %s", name, why.message);
    if (dialect_gemini.read_request(body, call, a, q, &why))
        fail_msg("%s: %s", name, why.message);
}

static void
check_request(const char *name, struct slice model, struct slice body)
{
    static const struct policy_provider provider = {.name = {"google", 6}, .kind = PROVIDER_GEMINI};
    struct dialect_call call = {.path_model = model};
    struct dialect_refusal why = {.duplicate = false};
    struct dialect_target target = {.provider = &provider, .model = model};
    struct canon_request first, second;
    struct buf written, want, got;
    struct arena a;
    arena_init(&a, 0);
    buf_init(&written, 0);
    buf_init(&want, 0);
    buf_init(&got, 0);
    struct dialect_writer w = {.arena = &a, .target = &target, .why = &why};
    read_again(name, body, &call, &a, &first);
    if (dialect_gemini.write_request(&first, &w, &written))
        fail_msg("%s: %s", name, why.message);
    assert_int_equal(w.degraded_count, 0);
    read_again(name, buf_slice(&written), &call, &a, &second);
    describe_request(&first, &want);
    describe_request(&second, &got);
    if (!slice_eq(buf_slice(&want), buf_slice(&got)))
        fail_msg("%s: read\n%.*s\nwritten %.*s\nand read again\n%.*s", name,
                 SLICE_ARG(buf_slice(&want)), SLICE_ARG(buf_slice(&written)),
                 SLICE_ARG(buf_slice(&got)));
    buf_free(&written);
    buf_free(&want);
    buf_free(&got);
    arena_free(&a);
}

static void
test_requests_keep_their_meaning(void **state)
{
    size_t n = 0;
    (void)state;
    if (!cases)
        skip();
    for (size_t i = 0; i < json_size(cases); i++) {
        struct json *c = json_at(cases, i);
        struct slice api = member(c, "api"), path = member(c, "path");
        struct buf body;
        if (!slice_is(api, "google.generateContent") &&
            !slice_is(api, "google.streamGenerateContent"))
            continue;
        assert_true(shared_read(path.at, member(c, "request_file").at, &body));
        check_request(path.at, member(c, "model"), buf_slice(&body));
        buf_free(&body);
        n++;
    }
    assert_true(n > 40);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int
encode_event(void *ctx, const struct canon_event *e)
{
    void **both = ctx;
    return dialect_gemini.encoder->event(both[0], e, both[1]);
}

/* The answer as a client's stream, read by the decoder. */
static void
stream_again(const char *name, const struct canon_answer *answer, const struct canon_request *q,
             const struct answer_names *names, struct buf *into)
{
    struct buf stream;
    struct arena keep;
    struct canon_answer back;
    struct decoding d;
    arena_init(&keep, 0);
    buf_init(&stream, 0);
    void *state = calloc(1, dialect_gemini.encoder->state_bytes);
    void *both[2] = {state, &stream};
    struct canon_sink sink = {encode_event, both};
    ASSERT_OK(dialect_gemini.encoder->init(state, &keep, q, names));
    ASSERT_OK(gather_replay(answer, &sink));
    dialect_gemini.encoder->fini(state);
    decoding_begin(&d, NULL);
    decoding_run(&d, buf_slice(&stream), stream.len);
    if (d.err)
        fail_msg("%s: %s in %.*s", name, err_name(d.err), SLICE_ARG(buf_slice(&stream)));
    ASSERT_OK(gather_answer(d.gather, &d.keep, &back));
    describe(&back, into);
    decoding_end(&d);
    free(state);
    buf_free(&stream);
    arena_free(&keep);
}

/* Items that come laid out in lines do not stay so in an event. */
static void
in_one_line(struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if (b->at[i] == '\n')
            b->at[i] = ' ';
}

static void
check_answer(const char *name, struct slice body)
{
    const char *why;
    struct arena a;
    struct canon_answer first, second;
    struct canon_request q = {.origin = DIALECT_GEMINI, .reasoning = {.show = TRI_YES}};
    struct buf written, want, got, streamed;
    arena_init(&a, 0);
    buf_init(&written, 0);
    buf_init(&want, 0);
    buf_init(&got, 0);
    buf_init(&streamed, 0);
    ASSERT_OK(dialect_gemini.read_answer(body, NULL, &a, &first, &why));
    struct answer_names names = {.id = first.id, .model = first.model};
    ASSERT_OK(dialect_gemini.write_answer(&q, &first, &names, &written));
    ASSERT_OK(dialect_gemini.read_answer(buf_slice(&written), NULL, &a, &second, &why));
    describe(&first, &want);
    describe(&second, &got);
    stream_again(name, &first, &q, &names, &streamed);
    /* A citation's text is not said again. */
    bool cites = memmem(want.at, want.len, "\n  [", 4) != NULL;
    if (!cites && !slice_eq(buf_slice(&want), buf_slice(&got)))
        fail_msg("%s:\n%.*s\n%.*s\n%.*s", name, SLICE_ARG(buf_slice(&want)),
                 SLICE_ARG(buf_slice(&written)), SLICE_ARG(buf_slice(&got)));
    in_one_line(&got);
    in_one_line(&streamed);
    if (!slice_eq(buf_slice(&streamed), buf_slice(&got)))
        fail_msg("%s:\n%.*s\nas a stream\n%.*s", name, SLICE_ARG(buf_slice(&got)),
                 SLICE_ARG(buf_slice(&streamed)));
    buf_free(&written);
    buf_free(&want);
    buf_free(&got);
    buf_free(&streamed);
    arena_free(&a);
}

static void
test_answers_keep_their_meaning(void **state)
{
    size_t n = 0;
    (void)state;
    if (!cases)
        skip();
    for (size_t i = 0; i < json_size(cases); i++) {
        struct json *c = json_at(cases, i);
        int64_t status;
        struct slice path = member(c, "path");
        struct buf body;
        if (!slice_is(member(c, "api"), "google.generateContent") ||
            json_to_int(json_get(c, "status"), &status) || status != 200)
            continue;
        assert_true(shared_read(path.at, member(c, "response_file").at, &body));
        check_answer(path.at, buf_slice(&body));
        buf_free(&body);
        n++;
    }
    assert_true(n > 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_keep_their_meaning),
        cmocka_unit_test(test_answers_keep_their_meaning),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
