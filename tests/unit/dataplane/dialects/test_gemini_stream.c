/* Answers and streams of Google's, and the streams that clients of Google's get. */
#include "tests/unit/dataplane/dialects/gemini_wire.h"

#include "dataplane/dialects/gemini_grounding.h"
#include "dataplane/dialects/gemini_partial.h"

#define DATA(json) "data: " json "\r\n\r\n"
#define PARTS(parts) "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]}"
#define STOP ",\"finishReason\":\"STOP\"}]}"
#define MORE "}]}"

/* --- what comes of a stream ------------------------------------------------------------------- */

static const struct row {
    const char *what, *stream, *want; /* "ERR " and the parts */
} rows[] = {
    {"pieces of text are one part",
     DATA(PARTS("{\"text\":\"a\"}") MORE) DATA(PARTS("{\"text\":\"b\"},{\"text\":\"c\"}") MORE)
         DATA(PARTS("{\"text\":\"\"}") STOP),
     "0 1 STOP|0 'abc'"},
    {"a signature on an empty text is of the text before it",
     DATA(PARTS("{\"text\":\"a\"}") MORE)
         DATA(PARTS("{\"text\":\"\",\"thoughtSignature\":\"S\"}") STOP),
     "0 1 STOP|0 'a' sig=S"},
    {"and text after it is another part",
     DATA(PARTS("{\"text\":\"a\",\"thoughtSignature\":\"S\"}") MORE)
         DATA(PARTS("{\"text\":\"b\"}") STOP),
     "0 1 STOP|0 'a' sig=S|0 'b'"},
    {"thoughts are apart",
     DATA(PARTS("{\"text\":\"t\",\"thought\":true}") MORE)
         DATA(PARTS("{\"text\":\"u\",\"thought\":true},{\"text\":\"a\"}") STOP),
     "0 1 STOP|2 'tu'|0 'a'"},
    {"calls are whole, and are the reason to end",
     DATA(PARTS("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\": [1, \"x y\"]}},"
                "\"thoughtSignature\":\"S\"},{\"functionCall\":{\"name\":\"g\"}}") STOP),
     "0 4 STOP|6 f({\"a\":[1,\"x y\"]}) sig=S|6 g({})"},
    {"length stays length",
     DATA(PARTS("{\"functionCall\":{\"name\":\"f\"}}") ",\"finishReason\":\"MAX_TOKENS\"}]}"),
     "0 3 MAX_TOKENS|6 f({})"},
    {"arguments value by value",
     DATA(PARTS("{\"functionCall\":{\"name\":\"f\",\"willContinue\":true},"
                "\"thoughtSignature\":\"S\"}") MORE)
         DATA(PARTS("{\"functionCall\":{\"partialArgs\":[{\"jsonPath\":\"$.a\",\"stringValue\":"
                    "\"x\\n\",\"willContinue\":true}],\"willContinue\":true}}") MORE)
             DATA(PARTS("{\"functionCall\":{\"partialArgs\":[{\"jsonPath\":\"$.a\",\"stringValue\":"
                        "\"y\"}],\"willContinue\":true}}") MORE)
                 DATA(PARTS("{\"functionCall\":{\"partialArgs\":[{\"jsonPath\":\"$.b.c[0]\","
                            "\"numberValue\":1.5},{\"jsonPath\":\"$.b.c[1].d\",\"boolValue\":true}"
                            ",{\"jsonPath\":\"$.b['e f']\",\"nullValue\":\"NULL_VALUE\"}],"
                            "\"willContinue\":true}},{\"functionCall\":{}}") STOP),
     "0 4 STOP|6 f({\"a\":\"x\\ny\",\"b\":{\"c\":[1.5,{\"d\":true}],\"e f\":null}}) sig=S"},
    {"the closing part may be missing",
     DATA(PARTS("{\"functionCall\":{\"name\":\"f\",\"willContinue\":true}},{\"functionCall\":{"
                "\"partialArgs\":[{\"jsonPath\":\"$.a.b\",\"stringValue\":\"x\",\"willContinue\":"
                "true}],\"willContinue\":true}},{\"functionCall\":{\"name\":\"g\",\"willContinue\":"
                "true}}") STOP),
     "0 4 STOP|6 f({\"a\":{\"b\":\"x\"}})|6 g({})"},
    {"what only Google understands goes by",
     DATA(PARTS("{\"executableCode\":{\"code\":\"x\"}},{\"toolCall\":{\"id\":\"i\"},"
                "\"thoughtSignature\":\"S\"},{\"text\":\"a\"}") STOP),
     "0 1 STOP|8 raw={\"executableCode\":{\"code\":\"x\"}}|8 raw={\"toolCall\":{\"id\":\"i\"},"
     "\"thoughtSignature\":\"S\"}|0 'a'"},
    {"pictures",
     DATA(PARTS("{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AA==\"}}") STOP),
     "0 1 STOP|3 image/png:AA=="},
    {"a blocked prompt", DATA("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}"), "0 5 SAFETY"},
    {"no content", DATA("{\"candidates\":[{\"finishReason\":\"MODEL_ARMOR\"}]}"),
     "0 5 MODEL_ARMOR"},
    {"enums as numbers", DATA("{\"candidates\":[{\"finishReason\":2}]}"), "0 3 MAX_TOKENS"},
    {"malformed calls", DATA("{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}]}"),
     "0 8 MALFORMED_FUNCTION_CALL"},
    {"two candidates",
     DATA("{\"candidates\":[{\"index\":1,\"content\":{\"parts\":[{\"text\":\"b\"}]},"
          "\"finishReason\":\"STOP\"},{\"index\":0,\"content\":{\"parts\":[{\"text\":\"a\"}]},"
          "\"finishReason\":\"STOP\"}]}"),
     "0 1 STOP|0 'a' 1 STOP|0 'b'"},
    {"cut before its end", DATA(PARTS("{\"text\":\"a\"}") MORE), "-22 0 |0 'a'"},
    {"cut in one of two",
     DATA("{\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\"},{\"index\":1}]}"), "-22 0 "},
    {"nothing at all", "", "-22 0 "},
    {"no JSON", DATA("[DONE]"), "-16 0 "},
    {"no object", DATA("1"), "-16 0 "},
    {"more candidates than there are", DATA("{\"candidates\":[{\"index\":8}]}"), "-16 0 "},
    {"values out of order",
     DATA(PARTS("{\"functionCall\":{\"name\":\"f\",\"partialArgs\":[{\"jsonPath\":\"$.a[1]\","
                "\"numberValue\":1}]}}") STOP),
     "-16 0 |6 f()"},
};

static void
show(const struct canon_answer *answer, struct buf *into)
{
    for (size_t i = 0; i < answer->choice_count; i++) {
        const struct canon_choice_answer *c = &answer->choices[i];
        ASSERT_OK(buf_addf(into, " %d %.*s", (int)c->finish, SLICE_ARG(c->native_finish)));
        for (size_t j = 0; j < c->count; j++) {
            const struct canon_part *p = &c->parts[j];
            ASSERT_OK(buf_addf(into, "|%d", (int)p->kind));
            if (p->kind == PART_TEXT || p->kind == PART_REASONING)
                ASSERT_OK(buf_addf(into, " '%.*s'", SLICE_ARG(p->text)));
            if (p->kind == PART_TOOL_CALL)
                ASSERT_OK(
                    buf_addf(into, " %.*s(%.*s)", SLICE_ARG(p->name), SLICE_ARG(p->arguments)));
            if (p->raw.len)
                ASSERT_OK(buf_addf(into, " raw=%.*s", SLICE_ARG(p->raw)));
            if (p->media.data.len)
                ASSERT_OK(buf_addf(into, " %.*s:%.*s", SLICE_ARG(p->media.mime),
                                   SLICE_ARG(p->media.data)));
            if (p->signature.len)
                ASSERT_OK(buf_addf(into, " sig=%.*s", SLICE_ARG(p->signature)));
        }
    }
}

static void
test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t cut = 0; cut <= strlen(rows[i].stream); cut++) {
            struct decoding d;
            struct canon_answer answer;
            struct buf got;
            buf_init(&got, 0);
            decoding_begin(&d, NULL);
            decoding_run(&d, slice_of(rows[i].stream), cut);
            ASSERT_OK(gather_answer(d.gather, &d.keep, &answer));
            ASSERT_OK(buf_addf(&got, "%d", d.err));
            show(&answer, &got);
            if (!slice_is(buf_slice(&got), rows[i].want))
                fail_msg("%s, cut at %zu: got %.*s, want %s", rows[i].what, cut,
                         SLICE_ARG(buf_slice(&got)), rows[i].want);
            buf_free(&got);
            decoding_end(&d);
        }
}

static void
test_errors_in_streams(void **state)
{
    struct decoding d;
    (void)state;
    decoding_begin(&d, NULL);
    decoding_run(&d,
                 SLICE(DATA(PARTS("{\"text\":\"a\"}") MORE)
                           DATA("{\"error\":{\"code\":503,\"message\":\"m\",\"status\":"
                                "\"UNAVAILABLE\"}}")),
                 0);
    assert_true(d.failed);
    assert_slice_is(d.error.message, "m");
    assert_int_equal(d.error.kind, ERROR_OVERLOAD);
    assert_int_equal(d.error.status, 503);
    decoding_end(&d);
}

static void
test_parts_are_bounded(void **state)
{
    struct decoding d;
    struct buf stream;
    (void)state;
    buf_init(&stream, 0);
    decoding_begin(&d, NULL);
    for (int i = 0; i < 4096; i++)
        ASSERT_OK(buf_add_str(&stream, DATA(PARTS("{\"functionCall\":{\"name\":\"f\"}}") MORE)));
    decoding_run(&d, buf_slice(&stream), 0);
    assert_int_equal(d.err, ERR_TRUNCATED); /* that many are fine */
    decoding_end(&d);
    decoding_begin(&d, NULL);
    ASSERT_OK(buf_add_str(&stream, DATA(PARTS("{\"functionCall\":{\"name\":\"f\"}}") MORE)));
    decoding_run(&d, buf_slice(&stream), 0);
    assert_int_equal(d.err, ERR_LIMIT);
    decoding_end(&d);
    buf_free(&stream);
}

static void
test_whole_answers_must_say_something(void **state)
{
    static const char *const none[] = {
        "", "[]", "{}", "{\"candidates\":[]}", "null", "{\"error\":{\"message\":\"m\"}}"};
    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct arena a;
        struct canon_answer answer;
        const char *why = NULL;
        arena_init(&a, 0);
        assert_int_equal(dialect_gemini.read_answer(slice_of(none[i]), NULL, &a, &answer, &why),
                         ERR_PROTOCOL);
        assert_non_null(why);
        arena_free(&a);
    }
}

static void
test_logprobs(void **state)
{
    struct arena a;
    struct canon_answer answer;
    const char *why;
    (void)state;
    arena_init(&a, 0);
    ASSERT_OK(dialect_gemini.read_answer(
        SLICE("{\"candidates\":[{\"finishReason\":\"STOP\",\"logprobsResult\":{"
              "\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-0.5}],\"topCandidates\":"
              "[{\"candidates\":[{\"token\":\"b\",\"logProbability\":-1}]}]}}]}"),
        NULL, &a, &answer, &why));
    assert_true(json_same(answer.choices[0].logprobs_raw,
                          SLICE("{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],"
                                "\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-1,\"bytes\":[98]}"
                                "]}],\"refusal\":null}")));
    arena_free(&a);
}

/* --- sources ---------------------------------------------------------------------------------- */

/* Google counts bytes: "\u00e9\u20ac x" is é (2), € (3), a blank and x. */
static void
test_sources_are_placed_in_characters(void **state)
{
    struct arena a;
    struct canon_answer answer;
    const char *why;
    (void)state;
    arena_init(&a, 0);
    ASSERT_OK(dialect_gemini.read_answer(
        SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\\u00e9\\u20ac x\"}]},"
              "\"finishReason\":\"STOP\",\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{"
              "\"uri\":\"u\",\"title\":\"t\"}}],\"groundingSupports\":[{\"segment\":{\"startIndex\""
              ":2,\"endIndex\":7,\"text\":\"\\u20ac x\"},\"groundingChunkIndices\":[0,7]},{"
              "\"segment\":{\"startIndex\":3,\"endIndex\":7},\"groundingChunkIndices\":[0]},{"
              "\"segment\":{\"endIndex\":99},\"groundingChunkIndices\":[0]},{\"segment\":{"
              "\"endIndex\":2,\"text\":\"other\"},\"groundingChunkIndices\":[0]}]}}]}"),
        NULL, &a, &answer, &why));
    const struct canon_part *p = &answer.choices[0].parts[0];
    static const struct {
        int64_t start, end;
    } want[] = {{1, 4}, {-1, -1}, {-1, -1}, {-1, -1}};
    assert_int_equal(p->citation_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(p->citations[i].start, want[i].start);
        assert_int_equal(p->citations[i].end, want[i].end);
        assert_slice_is(p->citations[i].url, "u");
        assert_slice_is(p->citations[i].title, "t");
        assert_slice_is(p->citations[i].raw, "{\"web\":{\"uri\":\"u\",\"title\":\"t\"}}");
    }
    assert_slice_is(p->citations[0].cited_text, "\xe2\x82\xac x");
    arena_free(&a);
}

static void
test_sources_without_a_place(void **state)
{
    struct arena a;
    struct canon_answer answer;
    const char *why;
    (void)state;
    arena_init(&a, 0);
    ASSERT_OK(dialect_gemini.read_answer(
        SLICE("{\"candidates\":[{\"finishReason\":\"STOP\",\"groundingMetadata\":{"
              "\"groundingChunks\":[{\"web\":{\"uri\":\"u\"}},{\"retrievedContext\":{\"title\":"
              "\"f\",\"text\":\"x\"}}]}}]}"),
        NULL, &a, &answer, &why));
    assert_int_equal(answer.choices[0].count, 1);
    assert_int_equal(answer.choices[0].parts[0].citation_count, 2);
    assert_int_equal(answer.choices[0].parts[0].citations[0].start, -1);
    assert_slice_is(answer.choices[0].parts[0].citations[1].cited_text, "x");
    arena_free(&a);
}

/* Runs of one width are remembered, up to a limit; a place beyond it is not made up. */
static void
test_places(void **state)
{
    struct gemini_places p = {.count = 0};
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    for (int i = 0; i < LIMIT_TEXT_RUNS / 2; i++)
        ASSERT_OK(gemini_places_add(&p, SLICE("aa\xc3\xa9\xc3\xa9"), &a));
    int64_t runs = LIMIT_TEXT_RUNS / 2;
    assert_false(p.lost);
    for (int64_t i = 0; i < runs; i += 7) {
        assert_int_equal(gemini_places_find(&p, 6 * i + 1), 4 * i + 1);
        assert_int_equal(gemini_places_find(&p, 6 * i + 4), 4 * i + 3);
        assert_int_equal(gemini_places_find(&p, 6 * i + 3), -1);
        assert_int_equal(gemini_places_byte(&p, 4 * i + 3), 6 * i + 4);
    }
    assert_int_equal(gemini_places_find(&p, 6 * runs), 4 * runs);
    ASSERT_OK(gemini_places_add(&p, SLICE("a"), &a));
    assert_true(p.lost);
    assert_int_equal(gemini_places_find(&p, 6 * runs + 1), -1);
    assert_int_equal(gemini_places_find(&p, -1), -1);
    arena_free(&a);
}

/* --- arguments value by value ------------------------------------------------------------------
 */

static void
test_partial_paths(void **state)
{
    static const struct {
        const char *entry;
        int err;
    } entries[] = {
        {"{\"jsonPath\":\"$.a\",\"numberValue\":1}", 0},
        {"{\"jsonPath\":\"$.a\"}", ERR_PROTOCOL},
        {"{\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$[0]\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"a\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.a[\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.a[x]\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.a['x\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.a[9999999999]\",\"numberValue\":1}", ERR_PROTOCOL},
        {"{\"jsonPath\":\"$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\","
         "\"numberValue\":1}",
         0},
        {"{\"jsonPath\":\"$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\","
         "\"numberValue\":1}",
         ERR_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        struct gemini_partial *p = calloc(1, sizeof(*p));
        struct arena a;
        struct buf out;
        arena_init(&a, 0);
        buf_init(&out, 0);
        int err = gemini_partial_add(p, json_view_of(slice_of(entries[i].entry)), &a, &out);
        if (err != entries[i].err)
            fail_msg("row %zu: %d", i, err);
        if (!err)
            ASSERT_OK(gemini_partial_end(p, &out));
        if (!err) /* it is JSON */
            assert_true(json_same(buf_slice(&out), buf_slice(&out)));
        free(p);
        buf_free(&out);
        arena_free(&a);
    }
}

/* --- to clients ------------------------------------------------------------------------------- */

struct encoding {
    struct arena keep;
    void *state;
    struct buf out;
};

static void
encoding_begin(struct encoding *e, enum tri show)
{
    struct canon_request q = {.origin = DIALECT_GEMINI, .reasoning = {.show = show}};
    struct answer_names names = {.id = SLICE("r1"), .model = SLICE("m")};
    arena_init(&e->keep, 0);
    buf_init(&e->out, 0);
    e->state = calloc(1, dialect_gemini.encoder->state_bytes);
    ASSERT_OK(dialect_gemini.encoder->init(e->state, &e->keep, &q, &names));
}

static void
encode(struct encoding *e, struct canon_event event)
{
    ASSERT_OK(dialect_gemini.encoder->event(e->state, &event, &e->out));
}

static void
encoding_end(struct encoding *e)
{
    dialect_gemini.encoder->fini(e->state);
    free(e->state);
    buf_free(&e->out);
    arena_free(&e->keep);
}

#define TAIL ",\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n"

/* Calls whose arguments interleave go out whole, each when it ends. */
static void
test_calls_go_out_whole(void **state)
{
    struct encoding e;
    (void)state;
    encoding_begin(&e, TRI_ABSENT);
    encode(&e, (struct canon_event){.kind = EVENT_START, .of = {.origin = DIALECT_CHAT}});
    encode(&e, (struct canon_event){.kind = EVENT_PART_START,
                                    .of = {.kind = PART_TEXT, .origin = DIALECT_CHAT}});
    encode(&e, (struct canon_event){.kind = EVENT_DELTA, .text = SLICE("a")});
    encode(&e, (struct canon_event){.kind = EVENT_PART_END});
    for (unsigned i = 1; i < 3; i++)
        encode(&e, (struct canon_event){.kind = EVENT_PART_START,
                                        .part = i,
                                        .of = {.kind = PART_TOOL_CALL,
                                               .id = i == 1 ? SLICE("c1") : SLICE("c2"),
                                               .name = SLICE("f")}});
    encode(&e, (struct canon_event){.kind = EVENT_DELTA, .part = 1, .text = SLICE("{\"a\"")});
    encode(&e, (struct canon_event){.kind = EVENT_DELTA, .part = 2, .text = SLICE("{\n\"b\":2")});
    encode(&e, (struct canon_event){.kind = EVENT_DELTA, .part = 1, .text = SLICE(":1}")});
    encode(&e, (struct canon_event){.kind = EVENT_DELTA, .part = 2, .text = SLICE("}")});
    encode(&e, (struct canon_event){.kind = EVENT_PART_END, .part = 2});
    encode(&e, (struct canon_event){.kind = EVENT_PART_END, .part = 1});
    encode(&e, (struct canon_event){.kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS});
    encode(&e,
           (struct canon_event){.kind = EVENT_USAGE,
                                .usage = {.seen = true, .tokens = {{{.input = 3, .output = 4}}}}});
    encode(&e, (struct canon_event){.kind = EVENT_END});
    assert_slice_is(
        buf_slice(&e.out),
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}],\"role\":\"model\"},"
        "\"index\":0}]" TAIL
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"id\":\"c2\","
        "\"name\":\"f\",\"args\":{ \"b\":2}}}],\"role\":\"model\"},\"index\":0}]" TAIL
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"id\":\"c1\","
        "\"name\":\"f\",\"args\":{\"a\":1}}}],\"role\":\"model\"},\"index\":0}]" TAIL
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},"
        "\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,"
        "\"candidatesTokenCount\":4,\"totalTokenCount\":7,\"promptTokensDetails\":[{\"modality\":"
        "\"TEXT\",\"tokenCount\":3}],\"candidatesTokensDetails\":[{\"modality\":\"TEXT\","
        "\"tokenCount\":4}]}" TAIL);
    encoding_end(&e);
}

/* Another dialect's reasoning comes back with its text and its signature, shown or not. */
static void
test_foreign_reasoning_comes_back(void **state)
{
    (void)state;
    for (int show = TRI_NO; show <= TRI_YES; show++) {
        struct encoding e;
        struct decoding d;
        struct canon_answer answer;
        encoding_begin(&e, (enum tri)show);
        encode(&e, (struct canon_event){.kind = EVENT_START, .of = {.origin = DIALECT_ANTHROPIC}});
        encode(&e,
               (struct canon_event){.kind = EVENT_PART_START,
                                    .of = {.kind = PART_REASONING, .origin = DIALECT_ANTHROPIC}});
        encode(&e, (struct canon_event){.kind = EVENT_DELTA, .text = SLICE("th")});
        encode(&e, (struct canon_event){.kind = EVENT_DELTA, .text = SLICE("ink")});
        encode(&e, (struct canon_event){.kind = EVENT_SIGNATURE, .text = SLICE("SIG")});
        encode(&e, (struct canon_event){.kind = EVENT_PART_END});
        encode(&e, (struct canon_event){.kind = EVENT_FINISH, .finish = FINISH_STOP});
        encode(&e, (struct canon_event){.kind = EVENT_END});
        assert_int_equal(memmem(e.out.at, e.out.len, "\"th\"", 4) != NULL, show == TRI_YES);

        decoding_begin(&d, NULL);
        decoding_run(&d, buf_slice(&e.out), 0);
        assert_int_equal(d.err, 0);
        ASSERT_OK(gather_answer(d.gather, &d.keep, &answer));
        const struct canon_part *p = &answer.choices[0].parts[answer.choices[0].count - 1];
        char body[2048];
        snprintf(body, sizeof(body),
                 "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"th\",\"thought\":true},"
                 "{\"text\":\"ink\",\"thought\":true},{\"text\":\"\",\"thought\":true,"
                 "\"thoughtSignature\":"
                 "\"%.*s\"}]}]}",
                 SLICE_ARG(p->signature));
        struct canon_request q;
        struct dialect_refusal why;
        struct dialect_call call = {.path_stream = false};
        ASSERT_OK(dialect_gemini.read_request(slice_of(body), &call, &d.keep, &q, &why));
        assert_int_equal(q.messages[0].count, 1);
        assert_int_equal(q.messages[0].parts[0].kind, PART_REASONING);
        assert_int_equal(q.messages[0].parts[0].origin, DIALECT_ANTHROPIC);
        assert_slice_is(q.messages[0].parts[0].text, "think");
        assert_slice_is(q.messages[0].parts[0].signature, "SIG");
        decoding_end(&d);
        encoding_end(&e);
    }
}

static void
test_errors_end_streams(void **state)
{
    struct encoding e;
    (void)state;
    encoding_begin(&e, TRI_ABSENT);
    encode(&e, (struct canon_event){.kind = EVENT_START});
    encode(&e, (struct canon_event){.kind = EVENT_ERROR,
                                    .error = {.kind = ERROR_OVERLOAD, .message = SLICE("m")}});
    assert_slice_is(buf_slice(&e.out),
                    "data: {\"error\":{\"code\":503,\"message\":\"m\",\"status\":"
                    "\"UNAVAILABLE\"}}\r\n\r\n");
    encoding_end(&e);
}

static void
test_open_parts_are_bounded(void **state)
{
    struct encoding e;
    struct canon_event start = {.kind = EVENT_PART_START, .of = {.kind = PART_TOOL_CALL}};
    (void)state;
    encoding_begin(&e, TRI_ABSENT);
    for (; start.part < 256; start.part++)
        encode(&e, start);
    assert_int_equal(dialect_gemini.encoder->event(e.state, &start, &e.out), ERR_LIMIT);
    struct canon_event nobody = {.kind = EVENT_DELTA, .part = 999};
    assert_int_equal(dialect_gemini.encoder->event(e.state, &nobody, &e.out), ERR_PROTOCOL);
    nobody.choice = LIMIT_CANDIDATES;
    assert_int_equal(dialect_gemini.encoder->event(e.state, &nobody, &e.out), ERR_LIMIT);
    encoding_end(&e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_errors_in_streams),
        cmocka_unit_test(test_parts_are_bounded),
        cmocka_unit_test(test_whole_answers_must_say_something),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_sources_are_placed_in_characters),
        cmocka_unit_test(test_sources_without_a_place),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_partial_paths),
        cmocka_unit_test(test_calls_go_out_whole),
        cmocka_unit_test(test_foreign_reasoning_comes_back),
        cmocka_unit_test(test_errors_end_streams),
        cmocka_unit_test(test_open_parts_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
