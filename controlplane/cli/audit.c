/* headgate audit list and verify. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"

static const struct table_column columns[] = {
    {"SEQ", "seq", true, 0},        {"TIME", "at", false, 1},       {"ACTOR", "actor", false, 0},
    {"ACTION", "action", false, 0}, {"OBJECT", "object", false, 0}, {"DETAIL", "detail", false, 2},
};

static const struct listing audit = {
    .path = "/api/v1/audit",
    .columns = columns,
    .count = sizeof(columns) / sizeof(columns[0]),
};

int
audit_list_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    long limit = 20;
    struct client_filter f[] = {{"actor", NULL}, {"action", NULL}, {"object", NULL}};
    const struct option_row rows[] = {
        {.name = "actor", .into = &f[0].value, .value = "NAME", .help = "only by this token"},
        {.name = "action",
         .into = &f[1].value,
         .value = "NAME",
         .help = "only this: team.create, ..."},
        {.name = "object", .into = &f[2].value, .value = "NAME", .help = "only on this"},
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "newest ones only; 0: all"},
    };
    int e = cli_begin(&c, command, rows, 4, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    return show_filtered(&c, &audit, f, 3, limit);
}

static int
judge(const struct cli *c, const struct json *verdict)
{
    int64_t rows = 0, anchors = 0, bad = 0;
    bool ok = json_is_true(json_get(verdict, "ok"));
    bool counted = json_to_int(json_get(verdict, "rows"), &rows) == 0 &&
                   json_to_int(json_get(verdict, "anchors"), &anchors) == 0;
    int e = c->json ? cli_print_json(verdict) : CLI_OK;
    if (ok && counted && !c->json)
        printf("the audit log is whole: %lld rows, %lld exported heads\n", (long long)rows,
               (long long)anchors);
    if (ok)
        return e;
    bool named = json_to_int(json_get(verdict, "first_bad"), &bad) == 0;
    char *reason = table_cell(json_get(verdict, "reason"));
    if (named)
        cli_fail("the audit log is broken at row %lld: %s", (long long)bad, reason ? reason : "");
    else
        cli_fail("the audit log is broken: %s", reason ? reason : "");
    free(reason);
    return CLI_FAILED;
}

int
audit_verify_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *verdict = NULL;
    struct client_call call = {
        .method = "GET", .path = "/api/v1/audit/verify", .total_ms = 3600000};
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &verdict);
    if (e == CLI_OK)
        e = judge(&c, verdict);
    json_free(verdict);
    client_close(&client);
    return e;
}
