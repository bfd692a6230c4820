/* headgate revisions and rollback: the history of the configuration. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/config_file.h"
#include "controlplane/cli/show.h"

static const struct table_column columns[] = {
    {"REVISION", "revision", true, 0}, {"TIME", "created_at", false, 1},
    {"AUTHOR", "author", false, 0},    {"SOURCE", "source", false, 2},
    {"CHANGES", "changes", true, 0},   {"NOTE", "note", false, 0},
};
static const struct listing revisions = {
    .path = "/api/v1/revisions",
    .columns = columns,
    .count = sizeof(columns) / sizeof(columns[0]),
};

static int
show_one(const struct cli *c, unsigned long long revision)
{
    char path[80];
    struct client client;
    struct json *detail = NULL;
    snprintf(path, sizeof(path), "/api/v1/revisions/%llu", revision);
    struct client_call call = {.method = "GET", .path = path};
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &detail);
    if (e == CLI_OK && c->json)
        e = cli_print_json(detail);
    else if (e == CLI_OK) {
        printf("revision %llu by %.*s at %.*s (%.*s)\n", revision,
               SLICE_ARG(json_str(json_get(detail, "author"))),
               SLICE_ARG(json_str(json_get(detail, "created_at"))),
               SLICE_ARG(json_str(json_get(detail, "source"))));
        config_print_changes(stdout, detail);
    }
    json_free(detail);
    client_close(&client);
    return e;
}

int
revisions_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    long limit = 20;
    unsigned long long revision = 0;
    const struct option_row rows[] = {
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "newest ones only; 0: all"},
    };
    int e = cli_begin(&c, command, rows, 1, 0, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (c.args == 1 && slice_to_u64(slice_of(c.argv[1]), &revision) != 0)
        return cli_fail("a revision is a number, not \"%s\"", c.argv[1]), CLI_USAGE;
    return c.args == 1 ? show_one(&c, revision) : show_listing(&c, &revisions, limit);
}

static struct json *
rollback_body(bool dry_run, const char *note)
{
    struct json *body = json_new_map();
    int e = body ? json_set_bool(body, "dry_run", dry_run) : ERR_NOMEM;
    if (e == 0 && note)
        e = json_set_str(body, "note", note);
    if (e == 0)
        return body;
    json_free(body);
    return NULL;
}

int
rollback_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *applied = NULL;
    bool dry_run = false;
    const char *note = NULL;
    unsigned long long revision = 0;
    char path[80];
    const struct option_row rows[] = {
        {.name = "dry-run", .kind = OPTION_FLAG, .into = &dry_run, .help = "only print changes"},
        {.name = "note", .into = &note, .value = "TEXT", .help = "why; kept with the revision"},
    };
    int e = cli_begin(&c, command, rows, 2, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (slice_to_u64(slice_of(c.argv[1]), &revision) != 0)
        return cli_fail("a revision is a number, not \"%s\" (see `headgate revisions`)", c.argv[1]),
               CLI_USAGE;
    snprintf(path, sizeof(path), "/api/v1/revisions/%llu/rollback", revision);
    struct json *body = rollback_body(dry_run, note);
    struct client_call call = {.method = "POST", .path = path, .body = body};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = body ? client_do(&client, &call, &applied) : cli_fail("out of memory");
    if (e == CLI_OK && c.json)
        e = cli_print_json(applied);
    else if (e == CLI_OK)
        config_print_changes(stdout, applied);
    json_free(applied);
    json_free(body);
    client_close(&client);
    return e;
}
