/* LiteLLM's configurations, as people write them: what becomes of each, and what is left. */
#include "controlplane/cli/litellm.h"

#include "controlplane/cli/yaml.h"
#include "tests/unit/check.h"

static struct buf why;

static int
import(const char *text, struct litellm_import *ret)
{
    struct json *doc = NULL;
    struct yaml_places *places = NULL;

    buf_clear(&why);
    if (yaml_read(slice_of(text), &doc, &places, &why) != 0)
        fail_msg("%s", buf_str(&why));
    int err = litellm_import(doc, ret, &why);
    json_free(doc);
    yaml_places_free(places);
    return err;
}

/* The document, and how many things were left, each of which begins with one of `left`. */
static void
expect(const char *text, const char *want, const char *const *left, size_t count)
{
    struct litellm_import in;
    struct json *wanted = NULL;
    struct buf got;

    if (import(text, &in) != 0)
        fail_msg("%s", buf_str(&why));
    buf_init(&got, 0);
    assert_int_equal(json_write(in.document, false, 0, &got), 0);
    if (json_parse(slice_of(want), &wanted, NULL, 0) != 0 || !json_equal(wanted, in.document))
        fail_msg("%s\nis not\n%s", buf_str(&got), want);
    for (size_t i = 0; i < json_size(in.left) || i < count; i++) {
        struct slice is = json_str(json_at(in.left, i));
        if (i >= count || !is.at || !slice_starts(is, slice_of(left[i])))
            fail_msg("left: %s, not %s", is.at ? is.at : "(none)", i < count ? left[i] : "(none)");
    }
    buf_free(&got);
    json_free(wanted);
    litellm_import_free(&in);
}
#define LEFT(...)                                                                                  \
    ((const char *const[]){__VA_ARGS__}),                                                          \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)

static void
test_a_quick_start(void **state)
{
    (void)state;
    expect(
        "model_list:\n"
        "  - model_name: gpt-4o\n"
        "    litellm_params:\n"
        "      model: openai/gpt-4o\n"
        "      api_key: os.environ/MY_KEY\n"
        "  - model_name: claude\n"
        "    litellm_params:\n"
        "      model: anthropic/claude-sonnet-4-5\n",
        "{\"providers\":[{\"kind\":\"openai\",\"credential\":\"env:MY_KEY\",\"name\":\"openai\"},"
        "{\"kind\":\"anthropic\",\"credential\":\"env:ANTHROPIC_API_KEY\",\"name\":\"anthropic\"}],"
        "\"models\":[{\"name\":\"gpt-4o\",\"targets\":[{\"provider\":\"openai\",\"model\":"
        "\"gpt-4o\"}]},{\"name\":\"claude\",\"targets\":[{\"provider\":\"anthropic\",\"model\":"
        "\"claude-sonnet-4-5\"}]}]}",
        NULL, 0);
}

/* Two deployments of one model, with limits that add up; fallbacks; what routing has no word for.
 */
static void
test_balanced_azure(void **state)
{
    (void)state;
    expect(
        "model_list:\n"
        "  - model_name: gpt-4\n"
        "    litellm_params:\n"
        "      model: azure/gpt-4-eu\n"
        "      api_base: https://eu.openai.azure.com/\n"
        "      api_version: 2024-06-01\n"
        "      api_key: os.environ/AZURE_EU\n"
        "      rpm: 6\n"
        "      tpm: 1000\n"
        "      weight: 2\n"
        "  - model_name: gpt-4\n"
        "    litellm_params:\n"
        "      model: azure/gpt-4-us\n"
        "      api_base: https://us.openai.azure.com\n"
        "      api_version: 2024-06-01\n"
        "      api_key: os.environ/AZURE_US\n"
        "      rpm: 4\n"
        "      timeout: 30\n"
        "  - model_name: cheap\n"
        "    litellm_params:\n"
        "      model: gpt-4o-mini\n"
        "router_settings:\n"
        "  routing_strategy: usage-based-routing-v2\n"
        "  fallbacks: [{gpt-4: [cheap, nobody]}, {ghost: [cheap]}]\n",
        "{\"providers\":[{\"base_url\":\"https://eu.openai.azure.com\",\"kind\":\"azure-openai\","
        "\"api_version\":\"2024-06-01\",\"credential\":\"env:AZURE_EU\",\"name\":\"azure\"},"
        "{\"base_url\":\"https://us.openai.azure.com\",\"kind\":\"azure-openai\","
        "\"api_version\":\"2024-06-01\",\"credential\":\"env:AZURE_US\",\"name\":\"azure-2\"},"
        "{\"kind\":\"openai\",\"credential\":\"env:OPENAI_API_KEY\",\"name\":\"openai\"}],"
        "\"models\":[{\"name\":\"gpt-4\",\"targets\":[{\"provider\":\"azure\",\"model\":"
        "\"gpt-4-eu\",\"weight\":2},{\"provider\":\"azure-2\",\"model\":\"gpt-4-us\"}],"
        "\"fallbacks\":[\"cheap\"]},{\"name\":\"cheap\",\"targets\":[{\"provider\":\"openai\","
        "\"model\":\"gpt-4o-mini\"}]}],\"quotas\":[{\"name\":\"gpt-4\",\"model\":\"gpt-4\","
        "\"requests_per_minute\":10,\"tokens_per_minute\":1000}]}",
        LEFT("model_list[1].litellm_params.timeout", "router_settings.fallbacks: 'gpt-4'",
             "router_settings.fallbacks: 'ghost'", "router_settings.routing_strategy"));
}

/* Own servers, own prices, secrets in the file, other vendors' members, patterns. */
static void
test_a_mixture(void **state)
{
    (void)state;
    expect("model_list:\n"
           "  - model_name: local\n"
           "    litellm_params:\n"
           "      model: openai/llama\n"
           "      api_base: http://10.0.0.1:8000/v1\n"
           "      api_key: sk-very-secret\n"
           "      input_cost_per_token: 0.0000025\n"
           "      output_cost_per_token: 1e-05\n"
           "    model_info: {mode: chat}\n"
           "  - model_name: half\n"
           "    litellm_params: {model: openai/half, api_base: 'http://10.0.0.1:8000/v1', "
           "input_cost_per_token: 1e-06}\n"
           "  - model_name: nova\n"
           "    litellm_params:\n"
           "      model: bedrock/converse/amazon.nova-pro-v1:0\n"
           "      aws_region_name: us-east-1\n"
           "  - model_name: gem\n"
           "    litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: p1, "
           "vertex_location: global}\n"
           "  - model_name: 'groq/*'\n"
           "    litellm_params: {model: 'groq/*'}\n"
           "  - model_name: odd\n"
           "    litellm_params: {model: watsonx/granite}\n"
           "general_settings: {master_key: sk-1234}\n",
           "{\"providers\":[{\"base_url\":\"http://10.0.0.1:8000/v1\",\"kind\":"
           "\"openai-compatible\",\"name\":\"openai\"},{\"kind\":\"bedrock\",\"region\":"
           "\"us-east-1\",\"name\":\"bedrock\"},{\"kind\":\"vertex\",\"project\":\"p1\","
           "\"location\":\"global\",\"name\":\"vertex_ai\"},{\"kind\":\"groq\",\"credential\":"
           "\"env:GROQ_API_KEY\",\"name\":\"groq\"}],\"models\":[{\"name\":\"local\",\"targets\":"
           "[{\"provider\":\"openai\",\"model\":\"llama\"}]},{\"name\":\"half\",\"targets\":"
           "[{\"provider\":\"openai\",\"model\":\"half\"}]},{\"name\":\"nova\",\"targets\":"
           "[{\"provider\":\"bedrock\",\"model\":\"amazon.nova-pro-v1:0\"}]},{\"name\":\"gem\","
           "\"targets\":[{\"provider\":\"vertex_ai\",\"model\":\"gemini-2.5-pro\"}]}],"
           "\"prices\":[{\"input_per_mtok_usd\":\"2.50\",\"output_per_mtok_usd\":\"10.00\","
           "\"provider\":\"openai\",\"model\":\"llama\"}]}",
           LEFT("model_list[0].litellm_params.api_key: a secret", "model_list[0].model_info",
                "model_list[1]: a price needs", "model_list[4]: 'groq/*'",
                "model_list[5]: 'watsonx/granite'", "general_settings"));
}

static void
test_refusals(void **state)
{
    static const char *const bad[][2] = {
        {"a: 1\n", "model_list: is missing"},
        {"model_list: {}\n", "model_list: is missing"},
        {"model_list: [{}]\n", "model_list[0].model_name"},
        {"model_list: [{model_name: a}]\n", "model_list[0].litellm_params.model"},
        {"model_list: [{model_name: a, litellm_params: {model: 1}}]\n",
         "model_list[0].litellm_params.model"},
        {"model_list: []\nrouter_settings: []\n", "router_settings: must be"},
        {"model_list: []\nlitellm_settings: {fallbacks: {}}\n", "litellm_settings.fallbacks"},
    };
    struct litellm_import in;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(import(bad[i][0], &in), ERR_SYNTAX);
        if (strncmp(buf_str(&why), bad[i][1], strlen(bad[i][1])) != 0)
            fail_msg("%s: %s", bad[i][0], buf_str(&why));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quick_start),
        cmocka_unit_test(test_balanced_azure),
        cmocka_unit_test(test_a_mixture),
        cmocka_unit_test(test_refusals),
    };
    buf_init(&why, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&why);
    return failed;
}
