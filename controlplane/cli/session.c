/* headgate session list, end: who is signed in. */
#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"

static const struct table_column columns[] = {
    {"ID", "id", false, 0},
    {"USER", "user", false, 0},
    {"SIGN-IN", "sign_in", false, 1},
    {"KIND", "kind", false, 2},
    {"SEEN", "seen_at", false, 1},
    {"ENDS", "ends_at", false, 2},
    {"THIS ONE", "current", false, 3},
};
const struct listing listing_sessions = {
    .path = "/api/v1/sessions", .columns = columns, .count = sizeof(columns) / sizeof(columns[0])};

int
session_end_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    char path[1024];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!client_path(path, sizeof(path), "sessions", c.argv[1]))
        return cli_fail("the id is too long");
    return show_delete(&c, path, NULL, "ended", "ended");
}
