/* The Responses dialect, both sides: with no memory in turn. */
#include "tests/fault/fault.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"

static const char body[] =
    "{\"model\":\"m\",\"instructions\":\"i\\n\",\"input\":[{\"role\":\"user\",\"content\":["
    "{\"type\":\"input_text\",\"text\":\"a\\n\"},{\"type\":\"input_image\",\"image_url\":"
    "\"data:image/\\\"png;base64,AA\"},{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"A\","
    "\"format\":\"flac\"}}]},{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[{\"text\":\"x\\n\"},"
    "{\"text\":\"y\"}],\"encrypted_content\":\"e\"},{\"type\":\"function_call\",\"call_id\":\"c\","
    "\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\",\"namespace\":\"n\"},{\"type\":"
    "\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\\n\"},{\"type\":\"mcp_call\","
    "\"id\":\"m\"}],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\\n\","
    "\"odd\":1},{\"type\":\"custom\",\"name\":\"g\",\"format\":{\"type\":\"grammar\",\"syntax\":"
    "\"s\"}}],\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"name\":"
    "\"f\"},{\"name\":\"g\"}]},\"reasoning\":{\"effort\":\"low\",\"mode\":\"x\"},\"odd\":[1]}";

static int
carry_request(void)
{
    const struct policy_provider provider = {.name = {"p", 1}, .kind = PROVIDER_OPENAI};
    const struct dialect_target target = {&provider, {"m", 1}};
    const struct dialect_call call = {.path_stream = false};
    struct dialect_refusal why;
    struct request_brief brief;
    struct canon_request q;
    struct arena a;
    struct buf into;
    arena_init(&a, 0);
    buf_init(&into, 0);
    struct dialect_writer w = {.arena = &a, .target = &target, .why = &why};
    int err = dialect_responses.brief(slice_of(body), &call, &a, &brief, &why);
    if (!err)
        err = dialect_responses.read_request(slice_of(body), &call, &a, &q, &why);
    if (!err)
        err = dialect_responses.write_request(&q, &w, &into);
    buf_free(&into);
    arena_free(&a);
    return err;
}

static const char answer_body[] =
    "{\"id\":\"resp_\\u0031\",\"model\":\"m\",\"status\":\"completed\",\"output\":["
    "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"text\":\"a\\n\"},{\"text\":\"b\"}],"
    "\"encrypted_content\":\"e\"},{\"type\":\"web_search_call\",\"id\":\"w\"},{\"type\":"
    "\"message\","
    "\"id\":\"msg_1\",\"phase\":\"final_answer\",\"content\":[{\"type\":\"output_text\",\"text\":"
    "\"t\\n\",\"annotations\":[{\"type\":\"url_citation\",\"url\":\"u\"}],\"logprobs\":[{}]}]},"
    "{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":"
    "\"{}\"}],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}";

static const struct canon_request asked = {
    .origin = DIALECT_RESPONSES, .max_tokens = -1, .top_logprobs = -1, .choices = 1};
static const struct answer_names names = {.id = {"ID", 2}, .model = {"m", 1}, .now_unix_s = 1};

static int
carry_answer(void)
{
    struct dialect_exchange x = {.request = &asked};
    struct canon_answer answer;
    const char *why;
    struct arena a;
    struct buf into;
    arena_init(&a, 0);
    buf_init(&into, 0);
    int err = dialect_responses.read_answer(slice_of(answer_body), &x, &a, &answer, &why);
    if (!err)
        err = dialect_responses.write_answer(&asked, &answer, &names, &into);
    buf_free(&into);
    arena_free(&a);
    return err;
}

/* --- a stream --------------------------------------------------------------------------------- */

struct stream {
    void *encoder;
    struct buf out;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct stream *s = ctx;
    return dialect_responses.encoder->event(s->encoder, e, &s->out);
}

static int
feed(struct stream *s, void *decoder, const char *data)
{
    struct canon_sink sink = {take, s};
    struct wire_event e = {.data = slice_of(data)};
    struct arena scratch;
    arena_init(&scratch, 0);
    int err = dialect_responses.decoder->event(decoder, &e, &scratch, &sink);
    arena_free(&scratch);
    return err;
}

static int
carry_stream(void)
{
    static const char *const events[] = {
        "{\"type\":\"response.created\",\"response\":{\"id\":\"r\\n\",\"model\":\"m\"}}",
        "{\"type\":\"response.output_text.delta\",\"item_id\":\"i\\n\",\"delta\":\"a\\n\","
        "\"logprobs\":[{}]}",
        "{\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"url\":\"\\n\"}}",
        "{\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\",\"content\":[]}}",
        "{\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":"
        "\"function_call\",\"id\":\"x\",\"call_id\":\"c\",\"name\":\"f\"}}",
        "{\"type\":\"response.output_item.done\",\"output_index\":2,\"item\":{\"type\":"
        "\"reasoning\",\"encrypted_content\":\"e\"}}",
        "{\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[],"
        "\"usage\":{\"input_tokens\":1}}}",
    };
    const struct dialect_exchange x = {.request = &asked};
    struct stream s = {0};
    struct arena keep;
    arena_init(&keep, 0);
    buf_init(&s.out, 0);
    void *decoder = arena_zalloc(&keep, dialect_responses.decoder->state_bytes);
    s.encoder = arena_zalloc(&keep, dialect_responses.encoder->state_bytes);
    int err = decoder && s.encoder ? 0 : ERR_NOMEM;
    if (!err)
        err = dialect_responses.decoder->init(decoder, &keep, &x);
    if (!err)
        err = dialect_responses.encoder->init(s.encoder, &keep, &asked, &names);
    for (size_t i = 0; !err && i < sizeof(events) / sizeof(events[0]); i++)
        err = feed(&s, decoder, events[i]);
    if (s.encoder)
        dialect_responses.encoder->fini(s.encoder);
    buf_free(&s.out);
    arena_free(&keep);
    return err;
}

/* --- errors ----------------------------------------------------------------------------------- */

static int
carry_error(void)
{
    const struct dialect_fault fault = {
        .status = 400, .body = SLICE("{\"error\":{\"message\":\"m\\n\",\"code\":\"c\\n\"}}")};
    struct canon_error e;
    struct arena a;
    struct buf into;
    arena_init(&a, 0);
    buf_init(&into, 0);
    int err = dialect_responses.read_error(&fault, &a, &e);
    if (!err)
        err = dialect_responses.write_error_event(&e, &into);
    buf_free(&into);
    arena_free(&a);
    return err;
}

static void
test_requests(void **state)
{
    (void)state;
    fault_replay(carry_request);
}

static void
test_answers(void **state)
{
    (void)state;
    fault_replay(carry_answer);
}

static void
test_streams(void **state)
{
    (void)state;
    fault_replay(carry_stream);
}

static void
test_errors(void **state)
{
    (void)state;
    fault_replay(carry_error);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
