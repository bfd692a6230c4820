/* Published price lists: both shapes to the last digit, what is passed over, and hostile files. */
#include "controlplane/cli/price_import.h"

#include "tests/unit/check.h"

static struct price_import in;
static struct buf why;

static int
read(const char *text)
{
    buf_clear(&why);
    return price_import_read(slice_of(text), &in, &why);
}

static void
expect_rows(const char *text, const char *want)
{
    struct json *rows = NULL;
    struct buf got;

    buf_init(&got, 0);
    if (read(text) != 0)
        fail_msg("%s", buf_str(&why));
    assert_int_equal(json_parse(slice_of(want), &rows, NULL, 0), 0);
    assert_int_equal(json_write(in.rows, false, 0, &got), 0);
    if (!json_equal(rows, in.rows))
        fail_msg("%s\nis not\n%s", buf_str(&got), want);
    buf_free(&got);
    json_free(rows);
    price_import_free(&in);
}

static void
expect_skip(const char *text, enum import_skip reason)
{
    if (read(text) != 0)
        fail_msg("%s", buf_str(&why));
    for (int i = 0; i < IMPORT_SKIPS; i++)
        assert_int_equal(in.skipped[i], i == (int)reason);
    price_import_free(&in);
}

/* --- the list --------------------------------------------------------------------------------- */

static void
test_a_list_in_millions(void **state)
{
    (void)state;
    expect_rows(
        "[{\"provider\":\"google\",\"model\":\"gemini-2.5-pro\",\"mode\":\"chat\","
        "\"input_per_mtok_usd\":\"1.25\",\"output_per_mtok_usd\":\"10\","
        "\"cache_read_per_mtok_usd\":\"0.125\",\"cache_write_per_mtok_usd\":null,"
        "\"audio_input_per_mtok_usd\":\"1.5\",\"unit_prices_usd\":{\"web_search\":\"0.035\","
        "\"maps\":\"0.025\"},\"batch\":{\"input_per_mtok_usd\":\"0.625\"},\"variants\":["
        "{\"region\":\"default\",\"service_tier\":\"standard\",\"input_tokens_over\":200000,"
        "\"input_per_mtok_usd\":\"2.5\"},"
        "{\"region\":\"default\",\"service_tier\":\"standard\",\"input_tokens_over\":0,"
        "\"input_per_mtok_usd\":\"9\"},"
        "{\"region\":\"eu\",\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"8\"},"
        "{\"service_tier\":\"fast\",\"input_per_mtok_usd\":\"7\"},"
        "{\"service_tier\":\"priority\"}]}]",
        "[{\"source\":\"google\",\"kind\":\"gemini\",\"model\":\"gemini-2.5-pro\",\"price\":{"
        "\"input_per_mtok_usd\":\"1.25\",\"output_per_mtok_usd\":\"10.00\","
        "\"cached_input_per_mtok_usd\":\"0.125\",\"audio_input_per_mtok_usd\":\"1.50\","
        "\"web_search_usd\":\"0.035\",\"variants\":["
        "{\"input_tokens_over\":200000,\"input_per_mtok_usd\":\"2.50\"},"
        "{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"0.625\"}]}}]");
}

static void
test_a_list_of_what_is_no_token(void **state)
{
    (void)state;
    expect_rows(
        "[{\"provider\":\"cohere\",\"model\":\"rerank-v3.5\",\"unit_prices_usd\":"
        "{\"search_unit\":\"0.002\"}},"
        "{\"provider\":\"openai\",\"model\":\"whisper-1\",\"input_per_mtok_usd\":\"0\","
        "\"output_per_mtok_usd\":\"0\",\"unit_prices_usd\":{\"audio_minute\":\"0.006\"}},"
        "{\"provider\":\"openai\",\"model\":\"tts-1\",\"input_per_mchar_usd\":\"15\"},"
        "{\"provider\":\"openai\",\"model\":\"img\",\"image_generation\":["
        "{\"usd_per_image\":\"0.04\"},{\"usd_per_image\":\"0.04\"}]},"
        "{\"provider\":\"openai\",\"model\":\"gpt-4o-transcribe\",\"input_per_mtok_usd\":\"2.5\","
        "\"output_per_mtok_usd\":\"10\",\"unit_prices_usd\":{\"audio_minute\":\"0.006\"}}]",
        "[{\"source\":\"cohere\",\"kind\":\"cohere\",\"model\":\"rerank-v3.5\",\"price\":"
        "{\"search_unit_usd\":\"0.002\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"whisper-1\",\"price\":"
        "{\"audio_minute_usd\":\"0.006\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"tts-1\",\"price\":"
        "{\"per_mchar_usd\":\"15.00\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"img\",\"price\":"
        "{\"image_usd\":\"0.04\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"gpt-4o-transcribe\",\"price\":"
        "{\"input_per_mtok_usd\":\"2.50\",\"output_per_mtok_usd\":\"10.00\"}}]");
}

#define MODEL "\"provider\":\"openai\",\"model\":\"m\""

static void
test_what_a_list_says_and_we_pass_over(void **state)
{
    (void)state;
    expect_skip("[{\"provider\":\"nobody\",\"model\":\"m\",\"input_per_mtok_usd\":\"1\"}]",
                SKIP_PROVIDER);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1\",\"suspect\":\"ten times too much\"}]",
                SKIP_SUSPECT);
    expect_skip("[{" MODEL "}]", SKIP_UNITS);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"0\",\"output_per_mtok_usd\":\"0\"}]",
                SKIP_UNITS); /* nothing is not free */
    expect_skip("[{" MODEL ",\"output_per_mtok_usd\":\"1\"}]", SKIP_UNITS);
    expect_skip("[{" MODEL ",\"image_generation\":[{\"usd_per_image\":\"1\"},"
                "{\"usd_per_image\":\"2\"}]}]",
                SKIP_UNITS);
    expect_skip("[{\"provider\":\"openai\",\"model\":\"a b\",\"input_per_mtok_usd\":\"1\"}]",
                SKIP_NAME);
    expect_skip("[{\"provider\":\"openai\",\"model\":\"a*\",\"input_per_mtok_usd\":\"1\"}]",
                SKIP_NAME);
    expect_skip("[{\"provider\":\"openai\",\"model\":\"\",\"input_per_mtok_usd\":\"1\"}]",
                SKIP_NAME);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"0.0000001\"}]", SKIP_FINE);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"-1\"}]", SKIP_FINE);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"much\"}]", SKIP_FINE);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1e30\"}]", SKIP_FINE);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1000000.000001\"}]", SKIP_FINE);
    expect_rows("[{" MODEL ",\"input_per_mtok_usd\":\"1000000\"}]",
                "[{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"m\",\"price\":"
                "{\"input_per_mtok_usd\":\"1000000.00\",\"output_per_mtok_usd\":\"0.00\"}}]");
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1\"},{" MODEL
                ",\"input_per_mtok_usd\":\"2\"}]",
                SKIP_TWICE);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1\",\"variants\":["
                "{\"input_tokens_over\":1,\"input_per_mtok_usd\":\"1\"},"
                "{\"input_tokens_over\":2,\"input_per_mtok_usd\":\"1\"},"
                "{\"input_tokens_over\":3,\"input_per_mtok_usd\":\"1\"},"
                "{\"input_tokens_over\":4,\"input_per_mtok_usd\":\"1\"}]}]",
                SKIP_TIERS);
    expect_skip("[{" MODEL ",\"input_per_mtok_usd\":\"1\",\"variants\":["
                "{\"input_tokens_over\":-1,\"input_per_mtok_usd\":\"1\"}]}]",
                SKIP_FINE);
}

/* --- the map ---------------------------------------------------------------------------------- */

static void
test_a_map_in_tokens_digit_by_digit(void **state)
{
    (void)state;
    /* 0.1 + 0.2 has no exact double: the digits are what counts */
    expect_rows(
        "{\"gpt-x\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\","
        "\"input_cost_per_token\":2.5e-06,\"output_cost_per_token\":0.00001,"
        "\"cache_read_input_token_cost\":1.25E-6,\"cache_creation_input_token_cost\":3.125e-06,"
        "\"cache_creation_input_token_cost_above_1hr\":5e-06,"
        "\"output_cost_per_reasoning_token\":0.3e-6,\"input_cost_per_audio_token\":4e-5,"
        "\"output_cost_per_audio_token\":8.0e-05,\"max_tokens\":4096,\"supports_vision\":true,"
        "\"input_cost_per_token_batches\":1.25e-06,\"output_cost_per_token_batches\":5e-06,"
        "\"input_cost_per_token_priority\":4.25e-06,"
        "\"input_cost_per_token_above_200k_tokens\":5e-06,"
        "\"output_cost_per_token_above_200k_tokens\":1.5e-05,"
        "\"input_cost_per_token_above_200k_tokens_priority\":9e-06,"
        "\"cache_creation_input_token_cost_above_1hr_above_200k_tokens\":1e-05}}",
        "[{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"gpt-x\",\"price\":{"
        "\"input_per_mtok_usd\":\"2.50\",\"output_per_mtok_usd\":\"10.00\","
        "\"cached_input_per_mtok_usd\":\"1.25\",\"cache_write_per_mtok_usd\":\"3.125\","
        "\"cache_write_1h_per_mtok_usd\":\"5.00\",\"reasoning_per_mtok_usd\":\"0.30\","
        "\"audio_input_per_mtok_usd\":\"40.00\",\"audio_output_per_mtok_usd\":\"80.00\","
        "\"variants\":[{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"1.25\","
        "\"output_per_mtok_usd\":\"5.00\"},{\"service_tier\":\"priority\","
        "\"input_per_mtok_usd\":\"4.25\"},{\"input_tokens_over\":200000,"
        "\"input_per_mtok_usd\":\"5.00\",\"output_per_mtok_usd\":\"15.00\","
        "\"cache_write_1h_per_mtok_usd\":\"10.00\"},{\"service_tier\":\"priority\","
        "\"input_tokens_over\":200000,\"input_per_mtok_usd\":\"9.00\"}]}}]");
}

static void
test_a_map_of_what_is_no_token(void **state)
{
    (void)state;
    expect_rows(
        "{\"whisper-1\":{\"litellm_provider\":\"openai\",\"mode\":\"audio_transcription\","
        "\"input_cost_per_second\":0.0001},"
        "\"tts-1\":{\"litellm_provider\":\"openai\",\"input_cost_per_character\":1.5e-05},"
        "\"rerank\":{\"litellm_provider\":\"cohere\",\"input_cost_per_query\":0.002,"
        "\"input_cost_per_token\":0.0,\"output_cost_per_token\":0.0},"
        "\"img\":{\"litellm_provider\":\"openai\",\"mode\":\"image_generation\","
        "\"output_cost_per_image\":0.04},"
        "\"see\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\",\"output_cost_per_image\":1,"
        "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6}}",
        "[{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"whisper-1\",\"price\":"
        "{\"audio_minute_usd\":\"0.006\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"tts-1\",\"price\":"
        "{\"per_mchar_usd\":\"15.00\"}},"
        "{\"source\":\"cohere\",\"kind\":\"cohere\",\"model\":\"rerank\",\"price\":"
        "{\"search_unit_usd\":\"0.002\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"img\",\"price\":"
        "{\"image_usd\":\"0.04\"}},"
        "{\"source\":\"openai\",\"kind\":\"openai\",\"model\":\"see\",\"price\":"
        "{\"input_per_mtok_usd\":\"1.00\",\"output_per_mtok_usd\":\"2.00\"}}]");
}

#define COSTS "\"input_cost_per_token\":1e-6,\"output_cost_per_token\":2e-6}"
#define PRICE "\"price\":{\"input_per_mtok_usd\":\"1.00\",\"output_per_mtok_usd\":\"2.00\"}}"

static void
test_names_lose_their_provider(void **state)
{
    (void)state;
    expect_rows(
        "{\"groq/llama\":{\"litellm_provider\":\"groq\"," COSTS
        ",\"gemini/g\":{\"litellm_provider\":\"gemini\"," COSTS
        ",\"vertex_ai/c\":{\"litellm_provider\":\"vertex_ai-anthropic_models\"," COSTS
        ",\"openrouter/a/b\":{\"litellm_provider\":\"openrouter\"," COSTS
        ",\"x.y-v1:0\":{\"litellm_provider\":\"bedrock_converse\"," COSTS "}",
        "[{\"source\":\"groq\",\"kind\":\"groq\",\"model\":\"llama\"," PRICE
        ",{\"source\":\"gemini\",\"kind\":\"gemini\",\"model\":\"g\"," PRICE
        ",{\"source\":\"vertex_ai-anthropic_models\",\"kind\":\"vertex\",\"model\":\"c\"," PRICE
        ",{\"source\":\"openrouter\",\"kind\":\"openrouter\",\"model\":\"a/b\"," PRICE
        ",{\"source\":\"bedrock_converse\",\"kind\":\"bedrock\",\"model\":\"x.y-v1:0\"," PRICE "]");
    expect_skip("{\"bedrock/us-east-1/x\":{\"litellm_provider\":\"bedrock\"," COSTS "}", SKIP_NAME);
    expect_skip("{\"azure/eu/x\":{\"litellm_provider\":\"azure\"," COSTS "}", SKIP_NAME);
}

static void
test_the_same_model_twice(void **state)
{
    (void)state;
    /* at one price it is one model */
    expect_rows("{\"groq/x\":{\"litellm_provider\":\"groq\"," COSTS
                ",\"x\":{\"litellm_provider\":\"groq\"," COSTS "}",
                "[{\"source\":\"groq\",\"kind\":\"groq\",\"model\":\"x\"," PRICE "]");
}

static void
test_what_a_map_says_and_we_pass_over(void **state)
{
    (void)state;
    expect_skip("{\"sample_spec\":{\"litellm_provider\":\"one of ...\"," COSTS "}", SKIP_PROVIDER);
    expect_skip("{\"m\":{" COSTS "}", SKIP_PROVIDER);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"mode\":\"video_generation\"," COSTS "}",
                SKIP_UNITS);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":\"1e-6\"}}",
                SKIP_UNITS); /* text is no cost here */
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\","
                "\"input_cost_per_token\":2.9999999999999997e-07,\"output_cost_per_token\":1e-6}}",
                SKIP_FINE);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":-1e-6}}",
                SKIP_FINE);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-999999999}}",
                SKIP_FINE);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e999999999}}",
                SKIP_FINE);
    expect_skip("{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_second\":1e-12,"
                "\"output_cost_per_token\":0}}",
                SKIP_FINE);
}

/* --- hostile files ---------------------------------------------------------------------------- */

static void
test_what_is_no_list_is_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "byte 0: "},
        {"[{\"provider\":\"openai\"", "byte "},
        {"1", "byte 0: neither a list"},
        {"[1]", "byte 1: each element needs a provider and a model"},
        {"[{\"provider\":\"openai\"}]", "byte 1: each element needs"},
        {"[{\"provider\":1,\"model\":\"m\"}]", "byte 1: each element needs"},
        {"{\"m\":5}", "byte 5: each model must be a map"},
        {"{\"m\":\xff}", "byte "},
        {"[{\"provider\":\"openai\",\"model\":\"\\ud800\"}]", "byte "},
        {"[] []", "byte "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(read(cases[i].text), ERR_SYNTAX);
        assert_null(in.rows);
        if (!slice_starts(buf_slice(&why), slice_of(cases[i].message)))
            fail_msg("case %zu: '%s'", i, buf_str(&why));
    }
}

static void
test_depth_is_bounded(void **state)
{
    char deep[402];

    (void)state;
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    deep[400] = '\0';
    assert_int_equal(read(deep), ERR_SYNTAX);
}

/* A model of a hundred thousand variants is passed over, and at once. */
static void
test_variants_are_bounded(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 0);
    assert_int_equal(buf_add_str(&text, "[{" MODEL ",\"input_per_mtok_usd\":\"1\",\"variants\":["),
                     0);
    for (int i = 1; i <= 100000; i++)
        assert_int_equal(buf_addf(&text,
                                  "%s{\"input_tokens_over\":%d,\"input_per_mtok_usd\":\"1\"}",
                                  i > 1 ? "," : "", i),
                         0);
    assert_int_equal(buf_add_str(&text, "]}]"), 0);
    expect_skip(buf_str(&text), SKIP_TIERS);
    buf_free(&text);
}

/* Every cut and every changed byte of a good file is read or refused, never more. */
static void
test_mangled_files(void **state)
{
    static const char good[] =
        "{\"groq/x\":{\"litellm_provider\":\"groq\",\"mode\":\"chat\",\"input_cost_per_token\":"
        "2.5e-06,\"output_cost_per_token\":1e-05,\"input_cost_per_token_above_200k_tokens\":5e-06,"
        "\"input_cost_per_token_batches\":1.25e-06,\"nested\":[{\"a\":\"\\u00e9\"}]}}";
    uint64_t seed = test_seed();
    char text[sizeof(good)];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t len = sizeof(good) - 1;
        memcpy(text, good, sizeof(good));
        for (uint64_t n = test_below(&seed, 3); n > 0; n--)
            text[test_below(&seed, len)] = (char)test_below(&seed, 256);
        if (test_below(&seed, 3) == 0)
            len = test_below(&seed, len);
        int err = price_import_read(slice_make(text, len), &in, &why);
        assert_true(err == 0 || err == ERR_SYNTAX);
        price_import_free(&in);
    }
}

static int
start(void **state)
{
    (void)state;
    buf_init(&why, 1024);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    buf_free(&why);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_in_millions),
        cmocka_unit_test(test_a_list_of_what_is_no_token),
        cmocka_unit_test(test_what_a_list_says_and_we_pass_over),
        cmocka_unit_test(test_a_map_in_tokens_digit_by_digit),
        cmocka_unit_test(test_a_map_of_what_is_no_token),
        cmocka_unit_test(test_names_lose_their_provider),
        cmocka_unit_test(test_the_same_model_twice),
        cmocka_unit_test(test_what_a_map_says_and_we_pass_over),
        cmocka_unit_test(test_what_is_no_list_is_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_variants_are_bounded),
        cmocka_unit_test(test_mangled_files),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
