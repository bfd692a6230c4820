/* headgate quota list, budget list, budget override. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/items.h"
#include "controlplane/cli/table.h"

/* One row for each counter of an item: its rules, and how it stands. */
static int
add_rows(const struct json *item, struct json *rows)
{
    const struct json *status = json_get(item, "status");
    int e = 0;
    for (size_t i = 0; i < json_size(status) && e == 0; i++) {
        struct json *row = json_copy(item), *value, *counter = json_copy(json_at(status, i));
        void *iter = NULL;
        const char *name;
        while (row && e == 0 && json_each(counter, &iter, &name, &value))
            e = json_set(row, name, json_copy(value));
        json_free(counter);
        e = e == 0 ? json_append(rows, row) : e;
    }
    return e;
}

static int
print_rows(const struct item_kind *kind, const struct json *data)
{
    struct json *rows = json_new_list();
    int e = rows ? 0 : -1;
    for (size_t i = 0; i < json_size(data) && e == 0; i++)
        e = add_rows(json_at(data, i), rows);
    if (e == 0)
        table_print(stdout, kind->columns, kind->count, rows, 0);
    json_free(rows);
    return e == 0 ? CLI_OK : cli_fail("out of memory");
}

int
limit_list_run(const struct command *command, int argc, char **argv)
{
    const struct item_kind *kind = command->subject;
    struct cli c;
    struct client client;
    struct json *page = NULL;
    char path[80];
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    snprintf(path, sizeof(path), "/api/v1/%s", kind->plural);
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_list(&client, path, 0, &page);
    if (e == CLI_OK)
        e = c.json ? cli_print_json(page) : print_rows(kind, json_get(page, "data"));
    json_free(page);
    client_close(&client);
    return e;
}

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
