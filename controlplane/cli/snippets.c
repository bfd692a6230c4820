/* headgate snippets: the first lines of code that call this gateway. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/home.h"

#define KEY_BYTES 256

struct snippet {
    const char *language;
    void (*print)(const char *url, const char *key, const char *model);
};

static void
print_curl(const char *url, const char *key, const char *model)
{
    printf("curl %s/v1/chat/completions -H 'Authorization: Bearer %s' "
           "-H 'Content-Type: application/json' -d '{\"model\":\"%s\",\"messages\":"
           "[{\"role\":\"user\",\"content\":\"Hello!\"}]}'\n",
           url, key, model);
}

static void
print_python(const char *url, const char *key, const char *model)
{
    printf(
        "from openai import OpenAI\n\n"
        "client = OpenAI(base_url=\"%s/v1\", api_key=\"%s\")\n"
        "stream = client.chat.completions.create(\n"
        "    model=\"%s\", stream=True, messages=[{\"role\": \"user\", \"content\": \"Hello!\"}])\n"
        "for chunk in stream:\n"
        "    if chunk.choices:\n"
        "        print(chunk.choices[0].delta.content or \"\", end=\"\", flush=True)\n",
        url, key, model);
}

static void
print_node(const char *url, const char *key, const char *model)
{
    printf(
        "import OpenAI from \"openai\";\n\n"
        "const client = new OpenAI({ baseURL: \"%s/v1\", apiKey: \"%s\" });\n"
        "const stream = await client.chat.completions.create({\n"
        "  model: \"%s\", stream: true, messages: [{ role: \"user\", content: \"Hello!\" }] });\n"
        "for await (const chunk of stream)\n"
        "  process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n",
        url, key, model);
}

static const struct snippet snippets[] = {
    {"curl", print_curl},
    {"python", print_python},
    {"node", print_node},
};
#define COUNT (sizeof(snippets) / sizeof(snippets[0]))

/* The gateway's address and key: of its directory, or of the environment. */
static int
find_gateway(const struct cli *c, char *url, size_t url_bytes, char *key, size_t key_bytes)
{
    char dir[HOME_PATH_BYTES];
    struct home h;
    const char *given = getenv("HEADGATE_URL"), *given_key = getenv("HEADGATE_API_KEY");
    int e = home_find(c->home, false, dir);
    if (e == 0 && home_open(&h, dir) == 0) {
        home_url(h.listen, url, url_bytes);
        if (!*key && home_env_get(&h, "HEADGATE_API_KEY", key, key_bytes) != 0)
            snprintf(key, key_bytes, "$HEADGATE_API_KEY");
        return CLI_OK;
    }
    if (!given || !*given)
        return cli_fail("no gateway: give --home DIR, or set HEADGATE_URL and HEADGATE_API_KEY");
    snprintf(url, url_bytes, "%s", given);
    if (!*key)
        snprintf(key, key_bytes, "%s", given_key && *given_key ? given_key : "$HEADGATE_API_KEY");
    return CLI_OK;
}

static int
print_all(const char *language, const char *url, const char *key, const char *model)
{
    bool any = false;
    for (size_t i = 0; i < COUNT; i++) {
        if (language && strcmp(language, snippets[i].language) != 0)
            continue;
        if (!language)
            printf("%s# %s\n", any ? "\n" : "", snippets[i].language);
        snippets[i].print(url, key, model);
        any = true;
    }
    return any ? CLI_OK : cli_fail("--language must be curl, python or node, not \"%s\"", language);
}

static int
print_json(const char *url, const char *key, const char *model)
{
    struct json *j = json_new_map();
    int e = j ? json_set_str(j, "base_url", url) : ERR_NOMEM;
    if (e == 0)
        e = json_set_str(j, "api_key", key);
    if (e == 0)
        e = json_set_str(j, "model", model);
    e = e == 0 ? cli_print_json(j) : cli_fail("out of memory");
    json_free(j);
    return e;
}

int
snippets_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    char url[512] = "", key[KEY_BYTES] = "";
    const char *language = NULL, *given_key = NULL, *model = "simulator";
    const struct option_row rows[] = {
        {.name = "language", .into = &language, .value = "NAME", .help = "curl, python or node"},
        {.name = "key",
         .into = &given_key,
         .value = "KEY",
         .help = "default: that of the first start"},
        {.name = "model", .into = &model, .value = "NAME", .help = "what to ask for"},
    };
    int e = cli_begin(&c, command, rows, 3, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (given_key)
        snprintf(key, sizeof(key), "%s", given_key);
    e = find_gateway(&c, url, sizeof(url), key, sizeof(key));
    if (e != CLI_OK)
        return e;
    return c.json ? print_json(url, key, model) : print_all(language, url, key, model);
}
