/* Recorded requests, answers and streams of chat completions, where the recordings are at hand. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "tests/unit/dataplane/dialects/wire.h"

static int answers, streams, errors, requests, broken;

/* --- who answered ----------------------------------------------------------------------------- */

static enum provider_kind
kind_of(const struct wire_case *c)
{
    static const struct {
        const char *folder;
        enum provider_kind kind;
    } rows[] = {
        {"azure/", PROVIDER_AZURE_OPENAI},
        {"cerebras/", PROVIDER_CEREBRAS},
        {"deepseek/", PROVIDER_DEEPSEEK},
        {"groq/", PROVIDER_GROQ},
        {"huggingface/", PROVIDER_HUGGINGFACE},
        {"mistral/", PROVIDER_MISTRAL},
        {"ollama/", PROVIDER_OLLAMA},
        {"openai/", PROVIDER_OPENAI},
        {"openrouter/", PROVIDER_OPENROUTER},
        {"perplexity/", PROVIDER_PERPLEXITY},
        {"together/", PROVIDER_TOGETHER},
        {"vllm/", PROVIDER_VLLM},
        {"crusoe/", PROVIDER_VLLM},
        {"xai/", PROVIDER_XAI},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strstr(c->path, rows[i].folder) == c->path)
            return rows[i].kind;
    return PROVIDER_OPENAI_COMPATIBLE;
}

struct target {
    struct policy_provider provider;
    struct dialect_target target;
    struct dialect_exchange exchange;
};

static void
aim(struct target *t, const struct wire_case *c)
{
    memset(t, 0, sizeof(*t));
    t->provider.kind = kind_of(c);
    t->provider.name = SLICE("p");
    t->target.provider = &t->provider;
    t->target.model = SLICE("m");
    t->exchange.target = &t->target;
}

/* --- what is expected ------------------------------------------------------------------------- */

static void
check_choice(const struct wire_case *c, struct arena *a, struct json_view want,
             const struct canon_choice_answer *got)
{
    struct json_view finish = json_view_get(want, "finish_reason_openai"),
                     reasoning = json_view_get(want, "reasoning");
    wire_check_text(c, a, "text", json_view_get(want, "text"), wire_joined(a, got, PART_TEXT));
    if (reasoning.kind == JSON_TEXT && reasoning.raw.len > 2)
        wire_check_text(c, a, "reasoning", reasoning, wire_joined(a, got, PART_REASONING));
    wire_check_calls(c, a, json_view_get(want, "tool_calls"), got);
    if (finish.kind == JSON_TEXT && !json_view_is(finish, wire_finish(got->finish)) &&
        !json_view_is(finish, "function_call"))
        fail_msg("%s: finish reason %s, expected %.*s", c->name, wire_finish(got->finish),
                 SLICE_ARG(finish.raw));
}

static void
check_answer(const struct wire_case *c, struct arena *a, const struct canon_answer *got)
{
    struct json_view want = json_view_of(wire_file("%s/expect.json", c->path)), one;
    struct json_view list = json_view_get(want, "choices");
    struct slice name;
    size_t cursor = 0, i = 0;
    if (list.kind != JSON_LIST) {
        check_choice(c, a, want, &got->choices[0]);
        return;
    }
    for (; json_view_next(list, &cursor, &name, &one); i++) {
        assert_true(i < got->choice_count);
        check_choice(c, a, one, &got->choices[i]);
    }
}

/* Everything that was gathered, as text: what is equal says the same. own: what only the first
 * reading has (the provider's words, entries that are told another way) is left out. */
static struct slice
told(struct gather *g, struct arena *a, bool own)
{
    struct canon_answer answer;
    struct buf b;
    int err = 0;
    buf_init(&b, 0);
    assert_int_equal(gather_answer(g, a, &answer), 0);
    for (size_t k = 0; k < answer.choice_count && !err; k++) {
        const struct canon_choice_answer *c = &answer.choices[k];
        err = buf_addf(&b, "%.*s %d %.*s %lld %lld %zu\n", SLICE_ARG(answer.model), (int)c->finish,
                       SLICE_ARG(own ? c->native_finish : SLICE("")),
                       (long long)tokens_input(&answer.usage.tokens),
                       (long long)tokens_output(&answer.usage.tokens), c->logprobs_raw.len);
        for (size_t i = 0; i < c->count && !err; i++) {
            const struct canon_part *p = &c->parts[i];
            err = buf_addf(&b, "%d|%.*s|%.*s|%.*s|%.*s|%.*s|%zu\n", (int)p->kind,
                           SLICE_ARG(p->name), SLICE_ARG(p->text), SLICE_ARG(p->arguments),
                           SLICE_ARG(p->signature), SLICE_ARG(p->encrypted), p->citation_count);
        }
    }
    assert_int_equal(err, 0);
    struct slice s = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* --- streams ---------------------------------------------------------------------------------- */

struct run {
    struct sse_parser parser;
    struct arena keep, scratch;
    void *state, *encoder;
    struct gather *gather;
    struct buf encoded;
    bool failed;
    uint64_t sum; /* of the events' bytes */
    bool decode;
    int err;
};

static const struct canon_request plain = {.include_usage = true};
static const struct answer_names names = {{"1", 1}, {"m", 1}, 1};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    if (r->encoder)
        assert_int_equal(dialect_chat.encoder->event(r->encoder, e, &r->encoded), 0);
    if (e->kind == EVENT_ERROR) {
        r->failed = true;
        assert_true(e->error.message.len > 0);
        return 0;
    }
    return gather_event(r->gather, e);
}

static void
add_bytes(struct run *r, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        r->sum = (r->sum ^ (unsigned char)s.at[i]) * UINT64_C(0x100000001b3);
    r->sum = (r->sum + 0x11) * UINT64_C(0x100000001b3);
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct run *r = ctx;
    struct canon_sink sink = {take, r};
    struct wire_event event = {.name = e->name, .data = e->data};
    if (!r->decode) {
        add_bytes(r, e->name);
        add_bytes(r, e->data);
        return true;
    }
    r->err = dialect_chat.decoder->event(r->state, &event, &r->scratch, &sink);
    arena_free(&r->scratch);
    return r->err == 0;
}

static void
run_init(struct run *r, const struct target *t, bool decode, bool encode)
{
    memset(r, 0, sizeof(*r));
    r->decode = decode;
    sse_init(&r->parser, 0);
    arena_init(&r->keep, 0);
    arena_init(&r->scratch, 0);
    buf_init(&r->encoded, 0);
    r->gather = gather_new((size_t)64 << 20);
    r->state = calloc(1, dialect_chat.decoder->state_bytes);
    assert_int_equal(dialect_chat.decoder->init(r->state, &r->keep, &t->exchange), 0);
    if (!encode)
        return;
    r->encoder = calloc(1, dialect_chat.encoder->state_bytes);
    assert_int_equal(dialect_chat.encoder->init(r->encoder, &r->keep, &plain, &names), 0);
}

static void
run_fini(struct run *r)
{
    sse_fini(&r->parser);
    arena_free(&r->keep);
    arena_free(&r->scratch);
    buf_free(&r->encoded);
    gather_free(r->gather);
    free(r->state);
    free(r->encoder);
}

static void
push(struct run *r, struct slice bytes)
{
    int err = sse_push(&r->parser, bytes, on_event, r);
    assert_int_equal(r->err, 0);
    assert_int_equal(err, 0);
}

static uint64_t
split_sum(const struct target *t, struct slice bytes, size_t at)
{
    struct run r;
    run_init(&r, t, false, false);
    push(&r, slice_make(bytes.at, at));
    push(&r, slice_from(bytes, at));
    uint64_t sum = r.sum;
    run_fini(&r);
    return sum;
}

/* The same told by our encoder, and read again. */
static void
check_encoded(const struct wire_case *c, struct slice encoded, struct slice want)
{
    struct target t;
    struct arena a;
    struct run r;
    aim(&t, c);
    t.provider.kind = PROVIDER_OPENAI; /* we end with [DONE], and tell no tags */
    arena_init(&a, 0);
    run_init(&r, &t, true, false);
    push(&r, encoded);
    assert_true(gather_has_ended(r.gather));
    if (!slice_eq(told(r.gather, &a, false), want))
        fail_msg("%s: encoded %.*s\nwas %.*s", c->name, SLICE_ARG(told(r.gather, &a, false)),
                 SLICE_ARG(want));
    run_fini(&r);
    arena_free(&a);
}

static struct slice
decode_in_pieces(const struct target *t, struct slice bytes, size_t piece, struct arena *a)
{
    struct run r;
    run_init(&r, t, true, false);
    for (size_t i = 0; i < bytes.len; i += piece)
        push(&r, slice_make(bytes.at + i, bytes.len - i < piece ? bytes.len - i : piece));
    struct slice s = told(r.gather, a, true);
    run_fini(&r);
    return s;
}

/* Split at every byte of the first 20 KB (and then every 97th) the events are the same; decoded
 * in pieces of several sizes they say the same. */
static void
check_splits(const struct wire_case *c, const struct target *t, struct slice bytes,
             struct slice want, struct arena *a)
{
    static const size_t pieces[] = {1, 2, 7, 97, 1000};
    uint64_t whole = split_sum(t, bytes, 0);
    for (size_t at = 1; at < bytes.len; at += at < 20480 ? 1 : 97)
        if (split_sum(t, bytes, at) != whole)
            fail_msg("%s: split at %zu", c->name, at);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        if (!slice_eq(decode_in_pieces(t, bytes, pieces[i], a), want))
            fail_msg("%s: in pieces of %zu", c->name, pieces[i]);
}

static void
check_stream(const struct wire_case *c, struct slice bytes)
{
    struct target t;
    struct canon_answer answer;
    struct arena a;
    struct run r;
    bool is_cut = strstr(c->name, "x-stream-cut") != NULL;
    aim(&t, c);
    arena_init(&a, 0);
    run_init(&r, &t, true, true);
    push(&r, bytes);
    if (r.failed) {
        broken++;
    } else if (is_cut) {
        assert_int_equal(dialect_chat.decoder->end(r.state, &(struct canon_sink){take, &r}),
                         ERR_TRUNCATED);
        broken++;
    } else {
        if (!gather_has_ended(r.gather) &&
            dialect_chat.decoder->end(r.state, &(struct canon_sink){take, &r}))
            fail_msg("%s: no end", c->name);
        assert_int_equal(gather_answer(r.gather, &a, &answer), 0);
        check_answer(c, &a, &answer);
        wire_check_usage(c, &answer.usage);
        check_encoded(c, buf_slice(&r.encoded), told(r.gather, &a, false));
        check_splits(c, &t, bytes, told(r.gather, &a, true), &a);
    }
    streams++;
    run_fini(&r);
    arena_free(&a);
}

/* --- whole answers ---------------------------------------------------------------------------- */

static void
check_whole(const struct wire_case *c, struct slice body)
{
    struct target t;
    struct canon_answer answer, again;
    struct usage_report looked = {0};
    struct arena a;
    struct buf out;
    const char *why = NULL;
    bool error;
    aim(&t, c);
    arena_init(&a, 0);
    buf_init(&out, 0);
    assert_int_equal(dialect_chat.look(body, &looked, &error), 0);
    if (error) { /* with status 200 */
        struct canon_error e;
        struct dialect_fault f = {.status = c->status, .body = body};
        assert_int_equal(dialect_chat.read_error(&f, &a, &e), 0);
        assert_int_equal(e.status, 400);
        assert_int_equal(dialect_chat.read_answer(body, &t.exchange, &a, &answer, &why),
                         ERR_PROTOCOL);
        errors++;
    } else {
        if (dialect_chat.read_answer(body, &t.exchange, &a, &answer, &why))
            fail_msg("%s: %s", c->name, why);
        check_answer(c, &a, &answer);
        wire_check_usage(c, &answer.usage);
        wire_check_usage(c, &looked);
        /* written for a client and read again it says the same */
        assert_int_equal(dialect_chat.write_answer(&plain, &answer, &names, &out), 0);
        t.provider.kind = PROVIDER_OPENAI;
        if (dialect_chat.read_answer(buf_slice(&out), &t.exchange, &a, &again, &why))
            fail_msg("%s: written: %s", c->name, why);
        check_answer(c, &a, &again);
        assert_int_equal(usage_total(&again.usage.tokens), usage_total(&answer.usage.tokens));
        answers++;
    }
    buf_free(&out);
    arena_free(&a);
}

static void
check_error(const struct wire_case *c, struct slice body)
{
    struct arena a;
    struct canon_error e;
    struct dialect_fault f = {.status = c->status, .body = body};
    arena_init(&a, 0);
    assert_int_equal(dialect_chat.read_error(&f, &a, &e), 0);
    assert_int_equal(e.status, c->status);
    if (e.message.len == 0 || memmem(e.message.at, e.message.len, "no readable message", 19))
        fail_msg("%s: no message", c->name);
    errors++;
    arena_free(&a);
}

/* --- requests --------------------------------------------------------------------------------- */

/* A member that both have is the same; `optional` may be absent, null or empty in one. */
static void
same_member(const struct wire_case *c, struct json_view a, struct json_view b, const char *name)
{
    struct json_view x = json_view_get(a, name), y = json_view_get(b, name);
    if (!json_view_is_set(x) && !json_view_is_set(y))
        return;
    if (x.kind == JSON_MAP && json_view_get(x, "function").kind == JSON_MAP) {
        x = json_view_get(x, "function"); /* some clients leave the type out */
        y = json_view_get(y, "function");
    }
    if (x.kind != y.kind || !wire_same_json(x.raw, y.raw))
        fail_msg("%s: %s was %.*s, is %.*s", c->name, name, SLICE_ARG(x.raw), SLICE_ARG(y.raw));
}

static void
same_calls(const struct wire_case *c, struct json_view a, struct json_view b)
{
    struct json_view x = json_view_get(a, "tool_calls"), y = json_view_get(b, "tool_calls"), p, r;
    struct slice name;
    size_t i = 0, k = 0;
    assert_int_equal(json_view_count(x), json_view_count(y));
    while (json_view_next(x, &i, &name, &p) && json_view_next(y, &k, &name, &r)) {
        struct json_view f = json_view_get(p, "function"), g = json_view_get(r, "function");
        if (!json_view_is(json_view_get(p, "id"), ""))
            same_member(c, p, r, "id");
        same_member(c, f, g, "name");
        if (!json_view_is(json_view_get(f, "arguments"), ""))
            same_member(c, f, g, "arguments");
    }
}

/* Read and written for the same provider, a request keeps what it says. */
static void
check_request(const struct wire_case *c)
{
    static const char *const kept[] = {"temperature",
                                       "top_p",
                                       "stop",
                                       "user",

                                       "frequency_penalty",
                                       "presence_penalty",
                                       "random_seed",
                                       "functions_",
                                       "web_search_options",
                                       "audio",
                                       "models",
                                       "provider",
                                       "transforms",
                                       "safe_prompt",
                                       "logprobs",
                                       "reasoning_format",
                                       "moderation",
                                       "stream"};
    struct slice body = wire_file("%s/request.json", c->path), name;
    struct canon_request q;
    struct request_brief brief;
    struct dialect_refusal why = {.message = ""};
    struct dialect_call call = {.path_stream = false};
    struct target t;
    struct arena a;
    struct buf out;
    struct json_view was = json_view_of(body), now, m, n;
    size_t i = 0, k = 0;
    if (!body.at)
        return;
    aim(&t, c);
    arena_init(&a, 0);
    buf_init(&out, 0);
    if (dialect_chat.brief(body, &call, &a, &brief, &why) ||
        dialect_chat.read_request(body, &call, &a, &q, &why)) {
        if (c->status < 400) /* the provider did not like it either */
            fail_msg("%s: %s", c->name, why.message);
        buf_free(&out);
        arena_free(&a);
        return;
    }
    struct dialect_writer w = {.arena = &a, .target = &t.target, .why = &why, .may_degrade = false};
    if (dialect_chat.write_request(&q, &w, &out))
        fail_msg("%s: %s", c->name, why.message);
    assert_int_equal(w.degraded_count, 0);
    now = json_view_of(buf_slice(&out));
    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (json_view_get(was, kept[i]).kind != JSON_FALSE_ &&
            !(strcmp(kept[i], "stop") == 0 && json_view_get(was, "stop").kind == JSON_TEXT))
            same_member(c, was, now, kept[i]);
    if (json_view_count(json_view_get(was, "tools")))
        same_member(c, was, now, "tool_choice"); /* without tools it says nothing */
    assert_int_equal(json_view_count(json_view_get(was, "messages")),
                     json_view_count(json_view_get(now, "messages")));
    i = 0;
    while (json_view_next(json_view_get(was, "messages"), &i, &name, &m) &&
           json_view_next(json_view_get(now, "messages"), &k, &name, &n)) {
        struct json_view old = json_view_get(m, "content"), new = json_view_get(n, "content");
        if (t.provider.kind == PROVIDER_OPENAI &&
            !json_view_is(json_view_get(m, "role"), "function"))
            same_member(c, m, n, "role");
        same_calls(c, m, n);
        if (json_view_is(json_view_get(m, "role"), "tool") &&
            json_view_get(m, "tool_call_id").raw.len > 2)
            same_member(c, m, n, "tool_call_id");
        if (old.kind == JSON_TEXT && old.raw.len > 2 && new.kind == JSON_TEXT)
            same_member(c, m, n, "content");
    }
    requests++;
    buf_free(&out);
    arena_free(&a);
}

static void
check_case(const struct wire_case *c)
{
    struct slice file = wire_file("%s/response.sse", c->path);
    if (!file.at)
        file = wire_file("%s/response.json", c->path);
    check_request(c);
    if (!file.at)
        return;
    if (c->status >= 400)
        check_error(c, file);
    else if (c->stream && file.at[0] != '{')
        check_stream(c, file);
    else
        check_whole(c, file);
}

static void
test_recorded(void **state)
{
    (void)state;
    int count = wire_each("openai.chat", check_case);
    if (count == 0)
        skip();
    print_message("%d cases: %d answers, %d streams (%d broken), %d errors; %d requests\n", count,
                  answers, streams, broken, errors, requests);
    assert_true(answers > 50 && streams > 30 && errors > 10 && requests > 100 && broken > 2);
}

/* The old completions: their usage and their errors pass by the same watch and look. */
static int completions;

static bool
watch_event(void *ctx, const struct sse_event *e)
{
    enum watch_verdict verdict;
    if (e->data.len)
        assert_int_equal(dialect_chat.watch(ctx, e->name, e->data, &verdict), 0);
    return true;
}

static void
check_completion(const struct wire_case *c)
{
    struct usage_report report = {0};
    struct watched w = {.report = &report};
    struct slice file = wire_file("%s/response.json", c->path);
    bool error;
    if (c->status >= 400)
        return;
    if (file.at) {
        assert_int_equal(dialect_chat.look(file, &report, &error), 0);
        assert_false(error);
    } else {
        struct sse_parser p;
        sse_init(&p, 0);
        assert_int_equal(sse_push(&p, wire_file("%s/response.sse", c->path), watch_event, &w), 0);
        sse_fini(&p);
    }
    wire_check_usage(c, &report);
    completions++;
}

static void
test_recorded_completions(void **state)
{
    (void)state;
    if (wire_each("openai.completions", check_completion) == 0)
        skip();
    assert_true(completions > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recorded),
                                       cmocka_unit_test(test_recorded_completions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
