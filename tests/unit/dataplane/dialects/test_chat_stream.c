/* Streams and answers of chat providers: what they do that the documents do not say. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"

struct rig {
    struct arena keep, scratch;
    struct policy_provider provider;
    struct dialect_target target;
    void *state;
    struct gather *gather;
    struct canon_answer answer;
    struct canon_error error;
    bool failed;
    char message[128];
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct rig *r = ctx;
    if (e->kind != EVENT_ERROR)
        return gather_event(r->gather, e);
    r->failed = true;
    r->error = e->error;
    snprintf(r->message, sizeof(r->message), "%.*s", SLICE_ARG(e->error.message));
    return 0;
}

static void
rig_init(struct rig *r, enum provider_kind kind)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->keep, 0);
    arena_init(&r->scratch, 0);
    r->provider.kind = kind;
    r->target.provider = &r->provider;
    r->gather = gather_new((size_t)1 << 20);
    r->state = calloc(1, dialect_chat.decoder->state_bytes);
    struct dialect_exchange x = {.target = &r->target};
    assert_int_equal(dialect_chat.decoder->init(r->state, &r->keep, &x), 0);
}

static void
rig_fini(struct rig *r)
{
    arena_free(&r->keep);
    arena_free(&r->scratch);
    gather_free(r->gather);
    free(r->state);
}

static int
event(struct rig *r, const char *name, const char *data)
{
    struct wire_event e = {.name = slice_of(name), .data = slice_of(data)};
    int err = dialect_chat.decoder->event(r->state, &e, &r->scratch, &(struct canon_sink){take, r});
    arena_free(&r->scratch); /* nothing of an event may be needed later */
    return err;
}

static int
end(struct rig *r)
{
    return dialect_chat.decoder->end(r->state, &(struct canon_sink){take, r});
}

/* Chunks in a row, then [DONE]; what they gather to. */
static const struct canon_choice_answer *
stream(struct rig *r, enum provider_kind kind, const char *const *chunks)
{
    rig_init(r, kind);
    for (size_t i = 0; chunks[i]; i++)
        if (event(r, "", chunks[i]))
            fail_msg("chunk %zu: %s", i, chunks[i]);
    assert_int_equal(event(r, "", "[DONE]"), 0);
    assert_true(gather_has_ended(r->gather));
    assert_int_equal(event(r, "", "{\"choices\":[{\"delta\":{\"content\":\"late\"}}]}"), 0);
    assert_int_equal(gather_answer(r->gather, &r->keep, &r->answer), 0);
    return &r->answer.choices[0];
}
#define STREAM(r, kind, ...) stream((r), (kind), (const char *const[]){__VA_ARGS__, NULL})

#define DELTA(members)                                                                             \
    "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" members "}}]}"
#define FINISH(word) "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":" word "}]}"

static void
test_azure_begins_without_choices(void **state)
{
    (void)state;
    struct rig r;
    const struct canon_choice_answer *c = STREAM(
        &r, PROVIDER_AZURE_OPENAI, "{\"choices\":[],\"id\":\"\",\"model\":\"\",\"created\":0}",
        DELTA("\"content\":\"a\""), FINISH("\"stop\""));
    assert_slice_is(r.answer.id, "i");
    assert_slice_is(r.answer.model, "m");
    assert_slice_is(c->parts[0].text, "a");
    assert_int_equal(c->finish, FINISH_STOP);
    rig_fini(&r);
}

static void
test_content_in_a_list(void **state)
{
    (void)state;
    struct rig r;
    const struct canon_choice_answer *c = STREAM(
        &r, PROVIDER_MISTRAL,
        DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":"
              "\"t1\"}]}]"),
        DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":"
              "\"t2\"}]},{\"type\":\"text\",\"text\":\"a\"}]"),
        DELTA("\"content\":\"b\""),
        DELTA("\"content\":[{\"type\":\"reference\",\"reference_ids\":[1]}]"), FINISH("\"stop\""));
    assert_int_equal(c->count, 2);
    assert_int_equal(c->parts[0].kind, PART_REASONING);
    assert_slice_is(c->parts[0].text, "t1t2");
    assert_slice_is(c->parts[1].text, "ab");
    assert_int_equal(c->parts[1].citation_count, 1);
    rig_fini(&r);
}

static void
test_reasoning_spellings(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        DELTA("\"reasoning_content\":\"x\",\"content\":null"),
        DELTA("\"reasoning\":\"x\""),
        DELTA("\"reasoning\":\"x\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":"
              "\"x\",\"index\":0,\"format\":\"f\"}]"),
        DELTA("\"reasoning_details\":[{\"type\":\"reasoning.summary\",\"summary\":\"x\"}]"),
        DELTA("\"reasoning\":\"\",\"reasoning_content\":\"x\""),
    };
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct rig r;
        const struct canon_choice_answer *c =
            STREAM(&r, PROVIDER_OPENROUTER, spellings[i], DELTA("\"content\":\"a\""));
        assert_int_equal(c->count, 2);
        assert_int_equal(c->parts[0].kind, PART_REASONING);
        assert_slice_is(c->parts[0].text, "x");
        assert_slice_is(c->parts[1].text, "a");
        rig_fini(&r);
    }
}

/* Entries of a provider's own: one part each, with what must go back unchanged. */
static void
test_reasoning_details(void **state)
{
    (void)state;
    struct rig r;
    const struct canon_choice_answer *c = STREAM(
        &r, PROVIDER_OPENROUTER,
        DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"a\",\"index\":0,"
              "\"format\":\"f-v1\"}]"),
        DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"b\",\"index\":0}]"),
        DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"signature\":\"s\",\"index\":0}"
              "]"),
        DELTA("\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"e\",\"id\":"
              "\"rs\",\"index\":1}]"));
    assert_int_equal(c->count, 2);
    assert_slice_is(c->parts[0].text, "ab");
    assert_slice_is(c->parts[0].signature, "s");
    assert_slice_is(c->parts[0].raw,
                    "{\"type\":\"reasoning.text\",\"index\":0,\"format\":\"f-v1\"}");
    assert_slice_is(c->parts[1].encrypted, "e");
    assert_slice_is(c->parts[1].id, "rs");
    rig_fini(&r);
    /* of a gateway like this one: the origin's own again */
    c = STREAM(&r, PROVIDER_OPENAI_COMPATIBLE,
               DELTA("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"a\",\"index\":"
                     "0,\"format\":\"anthropic\",\"signature\":\"s\"}]"),
               DELTA("\"reasoning_details\":[{\"type\":\"opaque\",\"format\":\"anthropic\","
                     "\"item\":{\"x\":1},\"index\":1}]"));
    assert_int_equal(c->parts[0].origin, DIALECT_ANTHROPIC);
    assert_int_equal(c->parts[0].raw.len, 0);
    assert_int_equal(c->parts[1].kind, PART_OPAQUE);
    assert_slice_is(c->parts[1].raw, "{\"x\":1}");
    rig_fini(&r);
}

static void
test_think_tags(void **state)
{
    (void)state;
    static const struct {
        const char *pieces[6], *reasoning, *text;
    } rows[] = {
        {{"<think>a</think>\n\nb"}, "a", "b"},
        {{"\n<th", "ink>a<", "/thi", "nk>", "\n", "b"}, "a", "b"},
        {{"<think>a<b></think>c<think>d"}, "a<b>", "c<think>d"},
        {{"<think>a</", "</think>b"}, "a</", "b"},
        {{"<think>not closed</thi"}, "not closed</thi", ""},
        {{"<thin", "k no"}, "", "<think no"},
        {{"<th"}, "", "<th"},
        {{"plain <think>x</think>"}, "", "plain <think>x</think>"},
        {{"               <think>"}, "", "               <think>"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        struct buf reasoning, text;
        rig_init(&r, PROVIDER_PERPLEXITY);
        buf_init(&reasoning, 0);
        buf_init(&text, 0);
        for (size_t k = 0; k < 6 && rows[i].pieces[k]; k++) {
            char chunk[256];
            struct buf quoted;
            buf_init(&quoted, 0);
            assert_int_equal(json_quote(&quoted, slice_of(rows[i].pieces[k])), 0);
            snprintf(chunk, sizeof(chunk), DELTA("\"content\":%s"), buf_str(&quoted));
            buf_free(&quoted);
            assert_int_equal(event(&r, "", chunk), 0);
        }
        assert_int_equal(event(&r, "", "[DONE]"), 0);
        assert_int_equal(gather_answer(r.gather, &r.keep, &r.answer), 0);
        for (size_t k = 0; k < r.answer.choices[0].count; k++) {
            const struct canon_part *p = &r.answer.choices[0].parts[k];
            assert_int_equal(buf_add_slice(p->kind == PART_REASONING ? &reasoning : &text, p->text),
                             0);
        }
        assert_string_equal(reasoning.len ? buf_str(&reasoning) : "", rows[i].reasoning);
        assert_string_equal(text.len ? buf_str(&text) : "", rows[i].text);
        buf_free(&reasoning);
        buf_free(&text);
        rig_fini(&r);
    }
    struct rig r; /* where the vendor does not say so, the text stays as it is */
    assert_slice_is(
        STREAM(&r, PROVIDER_HUGGINGFACE, DELTA("\"content\":\"<think>a</think>b\""))->parts[0].text,
        "<think>a</think>b");
    rig_fini(&r);
}

static void
test_calls(void **state)
{
    (void)state;
    static const struct {
        const char *chunks[5];
        const char *first, *second;
    } rows[] = {
        /* by index, interleaved */
        {{DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]"),
          DELTA("\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"2\"}}]"),
          DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1\"}}]")},
         "1",
         "2"},
        /* counted from 1; a name that is repeated empty */
        {{DELTA("\"tool_calls\":[{\"index\":1,\"id\":\"a\",\"function\":{\"name\":\"f\"}}]"),
          DELTA("\"tool_calls\":[{\"index\":1,\"id\":\"a\",\"function\":{\"name\":\"\","
                "\"arguments\":\"1\"}}]"),
          DELTA("\"tool_calls\":[{\"index\":2,\"id\":\"b\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"2\"}}]")},
         "1",
         "2"},
        /* whole, without an index (Mistral) or all with the same */
        {{DELTA("\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}},"
                "{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"2\"}}]")},
         "1",
         "2"},
        {{DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"1\"}}]"),
          DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\","
                "\"arguments\":\"2\"}}]")},
         "1",
         "2"},
        /* neither index nor id; the rest goes on with the last */
        {{DELTA("\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"1\"}}]"),
          DELTA("\"tool_calls\":[{\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]"),
          DELTA("\"tool_calls\":[{\"function\":{\"arguments\":\"2\"}}]")},
         "1",
         "2"},
        /* an object where a text belongs */
        {{DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
                "\"arguments\":{\"x\":1}}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\","
                "\"arguments\":null}}]")},
         "{\"x\":1}",
         ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        const struct canon_choice_answer *c = stream(&r, PROVIDER_MISTRAL, rows[i].chunks);
        assert_int_equal(c->count, 2);
        assert_slice_is(c->parts[0].name, "f");
        assert_slice_is(c->parts[0].arguments, rows[i].first);
        assert_slice_is(c->parts[1].name, "g");
        assert_slice_is(c->parts[1].arguments, rows[i].second);
        assert_true(c->parts[0].id.len > 0 && c->parts[1].id.len > 0);
        assert_false(slice_eq(c->parts[0].id, c->parts[1].id));
        assert_int_equal(c->finish, FINISH_TOOL_CALLS); /* though nobody said so */
        rig_fini(&r);
    }
}

static void
test_calls_limit(void **state)
{
    (void)state;
    struct rig r;
    char chunk[256];
    rig_init(&r, PROVIDER_OPENAI);
    for (int i = 0; i <= 1024; i++) {
        snprintf(
            chunk, sizeof(chunk),
            DELTA("\"tool_calls\":[{\"index\":%d,\"id\":\"a\",\"function\":{\"name\":\"f\"}}]"), i);
        assert_int_equal(event(&r, "", chunk), i < 1024 ? 0 : ERR_LIMIT);
    }
    rig_fini(&r);
    rig_init(&r, PROVIDER_OPENAI);
    assert_int_equal(event(&r, "", "{\"choices\":[{\"index\":127,\"delta\":{}}]}"), 0);
    assert_int_equal(event(&r, "", "{\"choices\":[{\"index\":128,\"delta\":{}}]}"), ERR_LIMIT);
    assert_int_equal(event(&r, "", "{\"choices\":[{\"index\":-1,\"delta\":{}}]}"), ERR_LIMIT);
    rig_fini(&r);
}

static void
test_signatures(void **state)
{
    (void)state;
    struct rig r;
    const struct canon_choice_answer *c = STREAM(
        &r, PROVIDER_OPENAI_COMPATIBLE,
        DELTA("\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}},\"tool_calls\":["
              "{\"id\":\"\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
              "{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"},"
              "\"extra_content\":{\"google\":{\"thought_signature\":\"t\"}}},"
              "{\"id\":\"c__sig_eQUJD\",\"function\":{\"name\":\"h\",\"arguments\":\"{}\"}}]"));
    assert_int_equal(c->count, 3);
    assert_slice_is(c->parts[0].signature, "s");
    assert_int_equal(c->parts[0].origin, DIALECT_GEMINI);
    assert_slice_is(c->parts[1].signature, "t");
    assert_slice_is(c->parts[2].id, "c");
    assert_slice_is(c->parts[2].signature, "ABC");
    assert_int_equal(c->parts[2].origin, DIALECT_CONVERSE);
    rig_fini(&r);
}

static void
test_finishes(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        enum canon_finish finish;
    } rows[] = {
        {FINISH("\"stop\""), FINISH("\"stop\""), FINISH_STOP}, /* repeated (OpenRouter) */
        {FINISH("\"length\""), FINISH("\"stop\""), FINISH_LENGTH},
        {FINISH("\"\""), FINISH("null"), FINISH_STOP}, /* never said (Snowflake) */
        {FINISH("\"eos\""), FINISH("null"), FINISH_STOP},
        {FINISH("\"model_length\""), FINISH("null"), FINISH_LENGTH},
        {FINISH("\"sensitive\""), FINISH("null"), FINISH_CONTENT_FILTER},
        {FINISH("\"error\""), FINISH("null"), FINISH_ERROR},
        {FINISH("\"what nobody knows\""), FINISH("null"), FINISH_STOP},
        {"{\"choices\":[{\"delta\":{},\"finish_details\":{\"type\":\"max_tokens\"}}]}",
         FINISH("null"), FINISH_LENGTH},
        {"{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"##\"}]}",
         FINISH("null"), FINISH_STOP_SEQUENCE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        const struct canon_choice_answer *c =
            STREAM(&r, PROVIDER_OPENROUTER, DELTA("\"content\":\"a\""), rows[i].first,
                   DELTA("\"content\":\"b\""), rows[i].second);
        assert_int_equal(c->finish, rows[i].finish);
        assert_slice_is(c->parts[0].text, "ab"); /* also what came behind the finish */
        if (c->finish == FINISH_STOP_SEQUENCE)
            assert_slice_is(c->stop_sequence, "##");
        rig_fini(&r);
    }
}

static void
test_usage_anywhere(void **state)
{
    (void)state;
#define USAGE "{\"prompt_tokens\":9,\"completion_tokens\":2}"
    static const char *const rows[] = {
        "{\"choices\":[],\"usage\":" USAGE "}",
        "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":" USAGE "}",
        "{\"choices\":[{\"delta\":{}}],\"usage\":null,\"x_groq\":{\"usage\":" USAGE "}}",
        "{\"choices\":[{\"delta\":{},\"usage\":" USAGE "}]}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        STREAM(&r, PROVIDER_GROQ, DELTA("\"content\":\"a\""), rows[i]);
        assert_int_equal(r.answer.usage.tokens.input, 9);
        assert_int_equal(r.answer.usage.tokens.output, 2);
        rig_fini(&r);
    }
}

static void
test_sources_beside_the_text(void **state)
{
    (void)state;
    struct rig r;
    const struct canon_choice_answer *c =
        STREAM(&r, PROVIDER_PERPLEXITY,
               "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"citations\":[\"u\",\"v\"]}",
               "{\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"citations\":[\"u\",\"v\"]}");
    assert_int_equal(c->parts[0].citation_count, 2);
    assert_slice_is(c->parts[0].citations[1].url, "v");
    rig_fini(&r);
    c = STREAM(&r, PROVIDER_PERPLEXITY,
               "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"citations\":[\"u\"],"
               "\"search_results\":[{\"title\":\"t\",\"url\":\"w\"}]}");
    assert_int_equal(c->parts[0].citation_count, 1);
    assert_slice_is(c->parts[0].citations[0].title, "t");
    rig_fini(&r);
}

static void
test_errors_in_streams(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data, *message;
        int status;
    } rows[] = {
        {"error", "{\"error\":{\"message\":\"m\",\"status_code\":400}}", "m", 400}, /* Groq */
        {"error", "no JSON", "The provider answered with an error and no readable message.", 0},
        {"", "{\"error\":{\"code\":502,\"message\":\"m\"},\"choices\":[{\"delta\":{}}]}", "m", 502},
        {"", "{\"code\":\"x\",\"error\":\"m\"}", "m", 0},
        {"", "{\"object\":\"error\",\"message\":\"m\",\"code\":400}", "m", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, PROVIDER_OPENAI);
        assert_int_equal(event(&r, "", DELTA("\"content\":\"a\"")), 0);
        assert_int_equal(event(&r, rows[i].name, rows[i].data), 0);
        assert_true(r.failed);
        assert_string_equal(r.message, rows[i].message);
        assert_int_equal(r.error.status, rows[i].status);
        assert_int_equal(event(&r, "", "[DONE]"), 0); /* nothing comes behind it */
        assert_false(gather_has_ended(r.gather));
        rig_fini(&r);
    }
}

static void
test_ends(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *chunk;
        int err;
    } rows[] = {
        {PROVIDER_OPENAI, FINISH("\"stop\""), ERR_TRUNCATED}, /* [DONE] belongs to it */
        {PROVIDER_VLLM, FINISH("\"stop\""), 0},
        {PROVIDER_VLLM, FINISH("\"\""), ERR_TRUNCATED},
        {PROVIDER_VLLM, DELTA("\"content\":\"a\""), ERR_TRUNCATED},
        {PROVIDER_VLLM, "{\"choices\":[]}", ERR_TRUNCATED},
        {PROVIDER_VLLM,
         "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"},{\"index\":1,\"delta\":{}}]}",
         ERR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, rows[i].kind);
        assert_int_equal(event(&r, "", rows[i].chunk), 0);
        assert_int_equal(end(&r), rows[i].err);
        assert_int_equal(gather_has_ended(r.gather), rows[i].err == 0);
        rig_fini(&r);
    }
}

static void
test_no_chunks(void **state)
{
    (void)state;
    static const char *const rows[] = {"{", "[]", "1", "DONE", "{\"choices\":[1]}"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        rig_init(&r, PROVIDER_OPENAI);
        assert_int_equal(event(&r, "", rows[i]), ERR_PROTOCOL);
        rig_fini(&r);
    }
}

/* More choices than were asked for are not mixed into the first. */
static void
test_choices_asked_for(void **state)
{
    (void)state;
    for (int64_t asked = 1; asked <= 2; asked++) {
        struct rig r;
        struct canon_request q = {.choices = asked};
        struct dialect_exchange x = {.request = &q};
        rig_init(&r, PROVIDER_OPENAI);
        assert_int_equal(dialect_chat.decoder->init(r.state, &r.keep, &x), 0);
        assert_int_equal(event(&r, "", DELTA("\"content\":\"a\"")), 0);
        assert_int_equal(
            event(&r, "", "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}"), 0);
        assert_int_equal(event(&r, "", "[DONE]"), 0);
        assert_int_equal(gather_answer(r.gather, &r.keep, &r.answer), 0);
        assert_int_equal(r.answer.choice_count, asked);
        assert_slice_is(r.answer.choices[0].parts[0].text, "a");
        rig_fini(&r);
    }
}

/* --- whole answers ---------------------------------------------------------------------------- */

static void
test_whole(void **state)
{
    (void)state;
    static const char body[] =
        "{\"id\":\"i\",\"model\":\"m\",\"created\":5,\"service_tier\":\"flex\","
        "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"a\",\"refusal\":null,\"reasoning\":\"r\",\"annotations\":["
        "{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"u\",\"start_index\":0,"
        "\"end_index\":1}}],\"audio\":{\"id\":\"au\",\"data\":\"QQ==\",\"transcript\":\"t\","
        "\"expires_at\":9},\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"data:image/png;base64,QQ==\"}}],\"function_call\":{\"name\":\"\",\"arguments\":\"\"}},"
        "\"logprobs\":{\"content\":[],\"refusal\":null},\"finish_reason\":\"stop\"},{\"index\":1,"
        "\"message\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},\"finish_reason\":"
        "\"function_call\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    struct arena a;
    struct canon_answer answer;
    const char *why;
    arena_init(&a, 0);
    struct dialect_exchange x = {.json_by_tool = false};
    assert_int_equal(dialect_chat.read_answer(slice_of(body), &x, &a, &answer, &why), 0);
    assert_slice_is(answer.id, "i");
    assert_int_equal(answer.created_unix_s, 5);
    assert_int_equal(answer.usage.tier, TIER_FLEX);
    assert_slice_is(answer.fingerprint, "fp");
    assert_int_equal(answer.choice_count, 2);
    const struct canon_part *p = answer.choices[0].parts;
    assert_int_equal(answer.choices[0].count, 4);
    assert_int_equal(p[0].kind, PART_REASONING);
    assert_slice_is(p[1].text, "a");
    assert_int_equal(p[1].citation_count, 1);
    assert_slice_is(p[2].media.data, "QQ==");
    assert_int_equal(p[2].kind, PART_IMAGE);
    assert_slice_is(p[3].media.id, "au");
    assert_slice_is(p[3].text, "t");
    assert_slice_is(p[3].media.expires, "9");
    assert_slice_is(answer.choices[0].logprobs_raw, "{\"content\":[],\"refusal\":null}");
    assert_slice_is(answer.choices[1].parts[0].name, "f");
    assert_int_equal(answer.choices[1].finish, FINISH_TOOL_CALLS);
    arena_free(&a);
}

static void
test_no_answers(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "<html>",
                                       "[]",
                                       "{}",
                                       "{\"choices\":null}",
                                       "{\"choices\":[]}",
                                       "{\"error\":{\"message\":\"m\"}}"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        struct canon_answer answer;
        struct dialect_exchange x = {.json_by_tool = false};
        const char *why = NULL;
        arena_init(&a, 0);
        assert_int_equal(dialect_chat.read_answer(slice_of(rows[i]), &x, &a, &answer, &why),
                         ERR_PROTOCOL);
        assert_non_null(why);
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_azure_begins_without_choices),
        cmocka_unit_test(test_content_in_a_list),
        cmocka_unit_test(test_reasoning_spellings),
        cmocka_unit_test(test_reasoning_details),
        cmocka_unit_test(test_think_tags),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_calls_limit),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_finishes),
        cmocka_unit_test(test_usage_anywhere),
        cmocka_unit_test(test_sources_beside_the_text),
        cmocka_unit_test(test_errors_in_streams),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_no_chunks),
        cmocka_unit_test(test_choices_asked_for),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_no_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
