/* headgate audit list and verify. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/table.h"
#include "lib/base/buf.h"

static const struct table_column columns[] = {
    {"SEQ", "seq", true, 0},        {"TIME", "at", false, 1},       {"ACTOR", "actor", false, 0},
    {"ACTION", "action", false, 0}, {"OBJECT", "object", false, 0}, {"DETAIL", "detail", false, 2},
};

static int
audit_path(struct buf *path, const char *const filters[][2], size_t count)
{
    char separator = '?';
    int e = buf_add_str(path, "/api/v1/audit");
    for (size_t i = 0; i < count && e == 0; i++) {
        if (!filters[i][1])
            continue;
        e = buf_addf(path, "%c%s=", separator, filters[i][0]);
        if (e == 0)
            e = client_escape(path, slice_of(filters[i][1]));
        separator = '&';
    }
    return e;
}

int
audit_list_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *page = NULL;
    struct buf path;
    long limit = 20;
    const char *actor = NULL, *action = NULL, *object = NULL;
    const struct option_row rows[] = {
        {.name = "actor", .into = &actor, .value = "NAME", .help = "only by this token"},
        {.name = "action", .into = &action, .value = "NAME", .help = "only this: team.create, ..."},
        {.name = "object", .into = &object, .value = "NAME", .help = "only on this"},
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
    const char *const filters[][2] = {{"actor", actor}, {"action", action}, {"object", object}};
    buf_init(&path, 2048);
    e = client_open(&client, &c);
    if (e == CLI_OK && audit_path(&path, filters, 3) != 0)
        e = cli_fail("the filters are too long");
    if (e == CLI_OK)
        e = client_list(&client, buf_str(&path), (size_t)limit, &page);
    if (e == CLI_OK && c.json)
        e = cli_print_json(page);
    else if (e == CLI_OK)
        table_print(stdout, columns, sizeof(columns) / sizeof(columns[0]), json_get(page, "data"),
                    0);
    json_free(page);
    buf_free(&path);
    client_close(&client);
    return e;
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
