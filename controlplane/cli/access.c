/* headgate role list and show (the built-in ones too), headgate can: who may do what, and why. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"
#include "lib/base/buf.h"

static const struct table_column role_columns[] = {
    {"NAME", "name", false, 0},
    {"BUILT IN", "builtin", false, 1},
    {"PERMISSIONS", "permissions", false, 0},
    {"DESCRIPTION", "description", false, 2},
};
static const struct listing roles = {
    .columns = role_columns,
    .count = sizeof(role_columns) / sizeof(role_columns[0]),
};

/* Built-in roles first, then those of the configuration: {"data":[...]}. */
static int
fetch_roles(const struct client *client, struct json **ret_page)
{
    struct json *known = NULL, *page = NULL, *all = json_new_list();
    struct client_call call = {.method = "GET", .path = "/api/v1/permissions"};
    int e = client_do(client, &call, &known);
    if (e == CLI_OK)
        e = client_list(client, "/api/v1/roles", 0, &page);
    const struct json *lists[] = {json_get(known, "builtin_roles"), json_get(page, "data")};
    for (size_t i = 0; i < 2 && e == CLI_OK; i++)
        for (size_t k = 0; k < json_size(lists[i]) && e == CLI_OK; k++) {
            struct json *role = json_copy(json_at(lists[i], k));
            if (json_set_bool(role, "builtin", i == 0) != 0 || json_append(all, role) != 0)
                e = cli_fail("out of memory");
        }
    if (e == CLI_OK && json_set(page, "data", json_ref(all)) != 0)
        e = cli_fail("out of memory");
    json_free(all);
    json_free(known);
    if (e == CLI_OK)
        *ret_page = page;
    else
        json_free(page);
    return e;
}

int
role_list_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *page = NULL;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = fetch_roles(&client, &page);
    if (e == CLI_OK)
        e = show_page(&c, &roles, page);
    json_free(page);
    client_close(&client);
    return e;
}

/* The role of this name, or NULL. */
static const struct json *
role_named(const struct json *page, const char *name)
{
    const struct json *list = json_get(page, "data");
    for (size_t i = 0; i < json_size(list); i++)
        if (slice_is(json_str(json_get(json_at(list, i), "name")), name))
            return json_at(list, i);
    return NULL;
}

int
role_show_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *page = NULL;
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = fetch_roles(&client, &page);
    const struct json *role = e == CLI_OK ? role_named(page, c.argv[1]) : NULL;
    if (e == CLI_OK && !role)
        e = cli_fail("there is no role '%s'; headgate role list names them", c.argv[1]);
    else if (e == CLI_OK)
        e = show_item(&c, role);
    json_free(page);
    client_close(&client);
    return e;
}

/* ---- can ------------------------------------------------------------------------------------- */

static void
print_part(const struct json *because, const char *member, const char *before)
{
    struct slice text = json_str(json_get(because, member));
    if (text.at)
        printf("%s '%.*s'", before, SLICE_ARG(text));
}

/* "yes: role 'developer' for team 'a', by binding 'b', through group 'g' (a note)" */
static void
print_reason(const struct json *answer)
{
    const struct json *because = json_get(answer, "because");
    struct slice note = json_str(json_get(answer, "note"));
    bool by_role = json_str(json_get(because, "role")).at != NULL;
    print_part(because, "role", "yes: role");
    print_part(because, "team", " for team");
    print_part(because, "project", ", project");
    print_part(because, "binding", ", by binding");
    print_part(because, "group", ", through group");
    if (note.at)
        printf(by_role ? " (%.*s)" : "yes: %.*s", SLICE_ARG(note));
    printf("\n");
}

static int
print_answer(const struct cli *c, const struct json *answer)
{
    bool allowed = json_is_true(json_get(answer, "allowed"));
    struct slice missing = json_str(json_get(answer, "missing"));
    int e = CLI_OK;
    if (c->json)
        e = cli_print_json(answer);
    else if (allowed)
        print_reason(answer);
    else
        printf("no: %.*s\n", SLICE_ARG(missing));
    return e == CLI_OK && !allowed ? CLI_FAILED : e;
}

int
can_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct buf path;
    const char *as = NULL;
    struct json *answer = NULL;
    const struct option_row rows[] = {
        {.name = "as",
         .into = &as,
         .value = "NAME",
         .help = "a user, or keys/NAME; without it: the caller"},
    };
    int e = cli_begin(&c, command, rows, 1, 1, 2, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    const struct client_filter parts[] = {
        {"action", c.argv[1]}, {"as", as}, {"resource", c.args == 2 ? c.argv[2] : NULL}};
    buf_init(&path, 8192);
    e = client_open(&client, &c);
    if (e == CLI_OK && client_query(&path, "/api/v1/can", parts, 3) != 0)
        e = cli_fail("the names are too long");
    struct client_call call = {.method = "GET", .path = e == CLI_OK ? buf_str(&path) : NULL};
    if (e == CLI_OK)
        e = call.path ? client_do(&client, &call, &answer) : cli_fail("out of memory");
    if (e == CLI_OK)
        e = print_answer(&c, answer);
    json_free(answer);
    buf_free(&path);
    client_close(&client);
    return e;
}
