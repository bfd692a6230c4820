/* Recorded answers of Google's, whole and in streams cut at every byte. */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

static struct json *cases; /* of INDEX.json; NULL: no recordings here */

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

static bool
is_ours(struct json *c)
{
    struct slice api = member(c, "api");
    return slice_is(api, "google.generateContent") || slice_is(api, "google.streamGenerateContent");
}

/* --- what is expected ------------------------------------------------------------------------- */

static void
check_text(const char *name, const struct canon_choice_answer *c, enum canon_part_kind kind,
           struct slice want)
{
    struct buf got;
    buf_init(&got, 0);
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind)
            ASSERT_OK(buf_add_slice(&got, c->parts[i].text));
    if (!slice_eq(buf_slice(&got), want))
        fail_msg("%s: got \"%.*s\", want \"%.*s\"", name, SLICE_ARG(buf_slice(&got)),
                 SLICE_ARG(want));
    buf_free(&got);
}

static void
check_calls(const char *name, const struct canon_choice_answer *c, struct json *want)
{
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct canon_part *p = &c->parts[i];
        if (p->kind != PART_TOOL_CALL)
            continue;
        struct json *call = json_at(want, n++);
        struct buf arguments;
        buf_init(&arguments, 0);
        if (!call || !slice_eq(p->name, member(call, "name")))
            fail_msg("%s: call %zu is of %.*s", name, n, SLICE_ARG(p->name));
        ASSERT_OK(json_write(json_get(call, "arguments"), false, 0, &arguments));
        if (!json_same(p->arguments, buf_slice(&arguments)))
            fail_msg("%s: %.*s", name, SLICE_ARG(p->arguments));
        assert_true(p->id.len > 0);
        if (member(call, "id").len)
            assert_true(slice_eq(p->id, member(call, "id")));
        buf_free(&arguments);
    }
    assert_int_equal(n, json_size(want));
}

static enum canon_finish
finish_of(struct slice openai)
{
    return slice_is(openai, "stop")             ? FINISH_STOP
           : slice_is(openai, "length")         ? FINISH_LENGTH
           : slice_is(openai, "tool_calls")     ? FINISH_TOOL_CALLS
           : slice_is(openai, "content_filter") ? FINISH_CONTENT_FILTER
                                                : FINISH_NONE;
}

static void
check_count(const char *name, struct json *usage, const char *what, int64_t got)
{
    int64_t want;
    if (json_kind(json_get(usage, what)) == JSON_ABSENT)
        return;
    ASSERT_OK(json_to_int(json_get(usage, what), &want));
    if (got != want)
        fail_msg("%s: %s is %lld, not %lld", name, what, (long long)got, (long long)want);
}

static void
check_usage(const char *name, struct json *usage, const struct usage_report *r)
{
    check_count(name, usage, "prompt_tokens", tokens_input(&r->tokens));
    check_count(name, usage, "completion_tokens", tokens_output(&r->tokens));
    check_count(name, usage, "cached_tokens", r->tokens.cache_read);
    check_count(name, usage, "reasoning_tokens", r->tokens.reasoning);
    assert_false(r->suspect);
}

static void
check_answer(const char *name, struct json *c, struct json *expect, const struct canon_answer *a)
{
    const struct canon_choice_answer *choice = &a->choices[0];
    bool is_cut = json_is_true(json_get(expect, "partial"));
    check_text(name, choice, PART_TEXT, member(expect, "text"));
    check_text(name, choice, PART_REASONING, member(expect, "reasoning"));
    check_calls(name, choice, json_get(expect, "tool_calls"));
    if (!is_cut) {
        enum canon_finish want = finish_of(member(expect, "finish_reason_openai"));
        if (want == FINISH_NONE) /* given as a number, which says no word */
            assert_in_range(choice->finish, FINISH_STOP, FINISH_TOOL_CALLS);
        else
            assert_int_equal(choice->finish, want);
        check_usage(name, json_get(c, "usage"), &a->usage);
    }
}

/* --- whole ------------------------------------------------------------------------------------ */

static void
check_whole(const char *name, struct json *c, struct json *expect, struct slice body)
{
    struct arena arena;
    struct canon_answer answer;
    struct usage_report report = {0};
    const char *why = "";
    bool error;
    arena_init(&arena, 0);
    if (dialect_gemini.read_answer(body, NULL, &arena, &answer, &why))
        fail_msg("%s: %s", name, why);
    check_answer(name, c, expect, &answer);
    ASSERT_OK(dialect_gemini.look(body, &report, &error));
    assert_false(error);
    check_usage(name, json_get(c, "usage"), &report);
    arena_free(&arena);
}

static void
check_error(const char *name, struct json *c, struct slice body)
{
    struct arena arena;
    struct canon_error e;
    int64_t status;
    bool error;
    struct usage_report report = {0};
    arena_init(&arena, 0);
    ASSERT_OK(json_to_int(json_get(c, "status"), &status));
    struct dialect_fault f = {.status = (int)status, .body = body};
    ASSERT_OK(dialect_gemini.read_error(&f, &arena, &e));
    if (e.type.len == 0 || slice_starts(e.message, SLICE("The provider answered with an error")))
        fail_msg("%s: %.*s", name, SLICE_ARG(e.message));
    assert_int_equal(e.status, status);
    ASSERT_OK(dialect_gemini.look(body, &report, &error));
    assert_true(error);
    arena_free(&arena);
}

static size_t
each_case(bool stream,
          void (*check)(const char *name, struct json *c, struct json *expect, struct slice body))
{
    size_t n = 0;
    for (size_t i = 0; i < json_size(cases); i++) {
        struct json *c = json_at(cases, i);
        struct buf body;
        if (!is_ours(c) || json_is_true(json_get(c, "stream")) != stream)
            continue;
        struct slice path = member(c, "path");
        struct json *expect = shared_doc(path.at, "expect.json");
        assert_true(shared_read(path.at, member(c, "response_file").at, &body));
        check(path.at, c, expect, buf_slice(&body));
        buf_free(&body);
        json_free(expect);
        n++;
    }
    return n;
}

static void
check_whole_or_error(const char *name, struct json *c, struct json *expect, struct slice body)
{
    int64_t status;
    ASSERT_OK(json_to_int(json_get(c, "status"), &status));
    if (status >= 400)
        check_error(name, c, body);
    else
        check_whole(name, c, expect, body);
}

static void
test_whole_answers(void **state)
{
    (void)state;
    if (!cases)
        skip();
    assert_true(each_case(false, check_whole_or_error) > 20);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void
gathered(struct slice body, size_t cut, struct buf *into, struct json *c, struct json *expect,
         const char *name)
{
    struct decoding d;
    struct canon_answer answer;
    decoding_begin(&d, NULL);
    decoding_run(&d, body, cut);
    ASSERT_OK(buf_addf(into, "%d ", d.err));
    ASSERT_OK(gather_answer(d.gather, &d.keep, &answer));
    describe(&answer, into);
    if (name) {
        assert_int_equal(d.err, json_is_true(json_get(expect, "partial")) ? ERR_TRUNCATED : 0);
        check_answer(name, c, expect, &answer);
    }
    decoding_end(&d);
}

#define EVERY_BYTE_UP_TO 20000
#define STEP_BEYOND 97

static void
check_stream(const char *name, struct json *c, struct json *expect, struct slice body)
{
    struct buf want, got;
    buf_init(&want, 0);
    buf_init(&got, 0);
    gathered(body, body.len, &want, c, expect, name);
    for (size_t cut = 0; cut < body.len; cut += cut < EVERY_BYTE_UP_TO ? 1 : STEP_BEYOND) {
        buf_clear(&got);
        gathered(body, cut, &got, NULL, NULL, NULL);
        if (!slice_eq(buf_slice(&got), buf_slice(&want)))
            fail_msg("%s: another answer when cut at %zu", name, cut);
    }
    buf_free(&want);
    buf_free(&got);
}

static void
test_streams(void **state)
{
    (void)state;
    if (!cases)
        skip();
    assert_true(each_case(true, check_stream) > 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_answers),
        cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
