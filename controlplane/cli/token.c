/* headgate token create, list, revoke; headgate whoami: who may call the admin API. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/items.h"
#include "controlplane/cli/table.h"

static const struct table_column columns[] = {
    {"NAME", "name", false, 0},          {"USER", "user", false, 0},
    {"ROLE", "role", false, 0},          {"TOKEN", "prefix", false, 1},
    {"EXPIRES", "expires", false, 2},    {"CREATED BY", "created_by", false, 3},
    {"CREATED", "created_at", false, 4},
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
token_list_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *page = NULL;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_list(&client, "/api/v1/tokens", 0, &page);
    if (e == CLI_OK && c.json)
        e = cli_print_json(page);
    else if (e == CLI_OK)
        table_print(stdout, columns, sizeof(columns) / sizeof(columns[0]), json_get(page, "data"),
                    0);
    json_free(page);
    client_close(&client);
    return e;
}

int
token_revoke_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    char path[1024];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!client_path(path, sizeof(path), "tokens", c.argv[1]))
        return cli_fail("the name is too long");
    struct client_call call = {.method = "DELETE", .path = path};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, NULL);
    if (e == CLI_OK && c.json)
        printf("{\"revoked\": true}\n");
    else if (e == CLI_OK)
        printf("revoked token %s\n", c.argv[1]);
    client_close(&client);
    return e;
}

int
whoami_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *who = NULL;
    struct client_call call = {.method = "GET", .path = "/api/v1/whoami"};
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &who);
    if (e == CLI_OK && c.json)
        e = cli_print_json(who);
    else if (e == CLI_OK)
        item_print(who);
    json_free(who);
    client_close(&client);
    return e;
}
