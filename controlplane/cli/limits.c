/* headgate budget override. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"

static struct json *
make_override(const char *usd, long tokens, const char *until, const char *reason)
{
    struct json *body = json_new_map();
    if (body && (!usd || json_set_str(body, "add_usd", usd) == 0) &&
        (!tokens || json_set_int(body, "add_tokens", tokens) == 0) &&
        json_set_str(body, "until", until) == 0 &&
        (!reason || json_set_str(body, "reason", reason) == 0))
        return body;
    json_free(body);
    return NULL;
}

int
budget_override_run(const struct command *command, int argc, char **argv)
{
    const char *usd = NULL, *until = NULL, *reason = NULL;
    long tokens = 0;
    const struct option_row rows[] = {
        {.name = "add-usd",
         .kind = OPTION_TEXT,
         .into = &usd,
         .value = "USD",
         .help = "dollars on top of the limit"},
        {.name = "add-tokens",
         .kind = OPTION_NUMBER,
         .into = &tokens,
         .value = "N",
         .min = 1,
         .max = 1000000000000000,
         .help = "tokens on top of the limit"},
        {.name = "until",
         .kind = OPTION_TEXT,
         .into = &until,
         .value = "TIME",
         .help = "when the limit is what it was (RFC 3339, or a date)"},
        {.name = "reason",
         .kind = OPTION_TEXT,
         .into = &reason,
         .value = "TEXT",
         .help = "why; kept with it and in the audit log"},
    };
    struct cli c;
    struct client client;
    struct json *budget = NULL;
    char path[1100], name[1024];
    int e = cli_begin(&c, command, rows, 4, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!until || (!usd == !tokens))
        return cli_fail("give --until, and --add-usd or --add-tokens"), CLI_USAGE;
    if (!client_path(name, sizeof(name), "budgets", c.argv[1]))
        return cli_fail("the name is too long");
    snprintf(path, sizeof(path), "%s/overrides", name);
    struct json *body = make_override(usd, tokens, until, reason);
    struct client_call call = {.method = "POST", .path = path, .body = body};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = body ? client_do(&client, &call, &budget) : cli_fail("no valid text");
    if (e == CLI_OK && c.json)
        e = cli_print_json(budget);
    else if (e == CLI_OK)
        printf("budget %s: more until %s\n", c.argv[1], until);
    json_free(budget);
    json_free(body);
    client_close(&client);
    return e;
}
