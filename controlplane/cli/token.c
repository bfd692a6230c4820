/* headgate token create, list, revoke; headgate whoami: who may call the admin API. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"

static const struct table_column columns[] = {
    {"NAME", "name", false, 0},          {"USER", "user", false, 0},
    {"ROLE", "role", false, 0},          {"TOKEN", "prefix", false, 1},
    {"EXPIRES", "expires", false, 2},    {"CREATED BY", "created_by", false, 3},
    {"CREATED", "created_at", false, 4},
};

const struct listing listing_tokens = {
    .path = "/api/v1/tokens",
    .columns = columns,
    .count = sizeof(columns) / sizeof(columns[0]),
};

static int
print_token(const struct cli *c, const struct json *token)
{
    if (c->json)
        return cli_print_json(token);
    printf("%.*s\n", SLICE_ARG(json_str(json_get(token, "token"))));
    fprintf(stderr, "(shown this once; only its digest is kept)\n");
    return CLI_OK;
}

static struct json *
make_body(const char *name, const char *user, const char *role, const char *expires)
{
    struct json *body = json_new_map();
    int e = body ? json_set_str(body, "name", name) : ERR_NOMEM;
    if (e == 0 && user)
        e = json_set_str(body, "user", user);
    if (e == 0 && role)
        e = json_set_str(body, "role", role);
    if (e == 0 && expires)
        e = json_set_str(body, "expires", expires);
    if (e == 0)
        return body;
    json_free(body);
    return NULL;
}

int
token_create_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *token = NULL;
    const char *name = NULL, *user = NULL, *role = NULL, *expires = NULL;
    const struct option_row rows[] = {
        {.name = "name", .into = &name, .value = "NAME", .help = "the actor in the audit log"},
        {.name = "user", .into = &user, .value = "USER", .help = "it may do what this user may"},
        {.name = "role",
         .into = &role,
         .value = "ROLE",
         .help = "without a user: admin or read-only (the default)"},
        {.name = "expires", .into = &expires, .value = "DATE", .help = "2027-01-01, or RFC 3339"},
    };
    int e = cli_begin(&c, command, rows, 4, 0, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (c.args == 1 && !name)
        name = c.argv[1];
    if (!name)
        return cli_fail("how shall it be called? headgate token create --name NAME"), CLI_USAGE;
    struct json *body = make_body(name, user, role || user ? role : "read-only", expires);
    struct client_call call = {.method = "POST", .path = "/api/v1/tokens", .body = body};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = body ? client_do(&client, &call, &token) : cli_fail("no valid text");
    if (e == CLI_OK)
        e = print_token(&c, token);
    json_free(token);
    json_free(body);
    client_close(&client);
    return e;
}

int
token_revoke_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    char path[1024], said[1024];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!client_path(path, sizeof(path), "tokens", c.argv[1]))
        return cli_fail("the name is too long");
    snprintf(said, sizeof(said), "revoked token %s", c.argv[1]);
    return show_delete(&c, path, NULL, "revoked", said);
}

int
whoami_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    return e == CLI_GO_ON ? show_get(&c, "/api/v1/whoami") : e;
}
