/* headgate ledger verify: whether the books are whole, or each thing that is wrong with them. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/table.h"
#include "lib/base/buf.h"

static const struct table_column columns[] = {
    {"PROBLEM", "kind", false, 0},       {"DAY", "day", false, 0},
    {"ATTEMPT", "attempt_id", false, 0}, {"TRANSACTION", "transaction", true, 0},
    {"ACCOUNT", "account", false, 0},    {"DETAIL", "detail", false, 0},
};

static int
judge(const struct cli *c, const struct json *verdict)
{
    int64_t attempts = 0, entries = 0, problems = 0;
    struct json *named = json_get(verdict, "named");
    bool ok = json_is_true(json_get(verdict, "ok"));
    if (json_to_int(json_get(verdict, "attempts"), &attempts) != 0 ||
        json_to_int(json_get(verdict, "entries"), &entries) != 0 ||
        json_to_int(json_get(verdict, "problems"), &problems) != 0)
        return cli_fail("the control plane's answer is not what was expected");
    int e = c->json ? cli_print_json(verdict) : CLI_OK;
    if (ok && !c->json)
        printf("the books are whole: %lld attempts, %lld entries\n", (long long)attempts,
               (long long)entries);
    if (ok || e != CLI_OK)
        return e;
    if (!c->json)
        table_print(stdout, columns, sizeof(columns) / sizeof(columns[0]), named, 0);
    cli_fail("the books are not whole: %lld problems%s", (long long)problems,
             problems > (int64_t)json_size(named) ? ", the first of which are above" : "");
    return CLI_FAILED;
}

int
ledger_verify_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct buf path;
    struct json *verdict = NULL;
    struct client_filter f[] = {{"from", NULL}, {"to", NULL}};
    const struct option_row rows[] = {
        {.name = "from",
         .into = &f[0].value,
         .value = "TIME",
         .help = "a date or RFC 3339 (a week ago)"},
        {.name = "to", .into = &f[1].value, .value = "TIME", .help = "exclusive (now)"},
    };
    int e = cli_begin(&c, command, rows, 2, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    buf_init(&path, 1024);
    e = client_query(&path, "/api/v1/ledger/verify", f, 2) == 0
            ? client_open(&client, &c)
            : cli_fail("the filters are too long");
    if (e == CLI_OK) {
        struct client_call call = {.method = "GET", .path = buf_str(&path), .total_ms = 3600000};
        e = client_do(&client, &call, &verdict);
        if (e == CLI_OK)
            e = judge(&c, verdict);
        client_close(&client);
    }
    json_free(verdict);
    buf_free(&path);
    return e;
}
