/* headgate workers and snapshots: who serves, and which policy. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/table.h"

static const struct table_column worker_columns[] = {
    {"NODE", "node", false, 2},
    {"SLOT", "slot", true, 0},
    {"PID", "pid", true, 3},
    {"HOST", "host", false, 4},
    {"ALIVE", "alive", false, 0},
    {"EPOCH", "held_epoch", true, 1},
    {"VERSION", "held_version", true, 0},
    {"SPOOL", "spool_records", true, 0},
    {"OPEN", "open_streams", true, 5},
    {"SEEN", "seen_at", false, 6},
    {"REFUSED", "refused.error", false, 0},
};
static const struct table_column snapshot_columns[] = {
    {"EPOCH", "epoch", true, 0},       {"VERSION", "version", true, 0},
    {"REVISION", "revision", true, 0}, {"PUBLISHED", "published_at", false, 0},
    {"SECTIONS", "sections", true, 1}, {"BYTES", "bytes", true, 2},
};

static int
list(const struct command *command, int argc, char **argv, const char *path,
     const struct table_column *columns, size_t count, long limit)
{
    struct cli c;
    struct client client;
    struct json *page = NULL;
    const struct option_row rows[] = {
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "only so many; 0: all"},
    };
    int e = cli_begin(&c, command, rows, 1, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_list(&client, path, (size_t)limit, &page);
    if (e == CLI_OK && c.json)
        e = cli_print_json(page);
    else if (e == CLI_OK)
        table_print(stdout, columns, count, json_get(page, "data"), 0);
    json_free(page);
    client_close(&client);
    return e;
}

int
workers_run(const struct command *command, int argc, char **argv)
{
    return list(command, argc, argv, "/api/v1/workers", worker_columns,
                sizeof(worker_columns) / sizeof(worker_columns[0]), 0);
}

int
snapshots_run(const struct command *command, int argc, char **argv)
{
    return list(command, argc, argv, "/api/v1/snapshots", snapshot_columns,
                sizeof(snapshot_columns) / sizeof(snapshot_columns[0]), 20);
}
