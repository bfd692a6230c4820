/*
 * headgate team|project|user|role|group|binding|provider|model|price|key|alert list, show, create,
 * set, delete: the same five thin calls for every kind. What a command works on is the item_kind in
 * its row.
 */
#include "controlplane/cli/items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"
#include "controlplane/cli/yaml_scalar.h"
#include "lib/base/buf.h"

#define COLUMNS(a) (a), sizeof(a) / sizeof((a)[0])

static const struct table_column team_columns[] = {
    {"NAME", "name", false, 0},
    {"MODELS", "allow.models", false, 1},
    {"DISABLED", "disabled", false, 2},
    {"CREATED", "created_at", false, 3},
};
static const struct table_column project_columns[] = {
    {"NAME", "name", false, 0},
    {"TEAM", "team", false, 0},
    {"DISABLED", "disabled", false, 1},
    {"CREATED", "created_at", false, 2},
};
static const struct table_column user_columns[] = {
    {"NAME", "name", false, 0},          {"KIND", "kind", false, 0},
    {"TEAMS", "teams", false, 1},        {"DISABLED", "disabled", false, 2},
    {"CREATED", "created_at", false, 3},
};
static const struct table_column role_columns[] = {
    {"NAME", "name", false, 0},
    {"PERMISSIONS", "permissions", false, 0},
};
static const struct table_column group_columns[] = {
    {"NAME", "name", false, 0},
    {"USERS", "users", false, 0},
    {"GROUPS", "groups", false, 1},
};
static const struct table_column binding_columns[] = {
    {"NAME", "name", false, 0},     {"ROLE", "role", false, 0}, {"USERS", "users", false, 1},
    {"GROUPS", "groups", false, 2}, {"TEAM", "team", false, 0}, {"PROJECT", "project", false, 1},
};
static const struct table_column issuer_columns[] = {
    {"NAME", "name", false, 0},           {"ISSUER", "issuer", false, 0},
    {"AUDIENCE", "audience", false, 1},   {"TEAM", "team", false, 0},
    {"BY CLAIM", "team_claim", false, 0}, {"DISABLED", "disabled", false, 2},
};
static const struct table_column sign_in_columns[] = {
    {"NAME", "name", false, 0},
    {"ISSUER", "issuer", false, 0},
    {"CLIENT", "client_id", false, 1},
    {"USER BY", "user_claim", false, 0},
    {"CREATES", "create_users", false, 2},
    {"DISABLED", "disabled", false, 2},
};
static const struct table_column provider_columns[] = {
    {"NAME", "name", false, 0},
    {"KIND", "kind", false, 0},
    {"ADDRESS", "base_url", false, 1},
    {"CREDENTIAL", "credential", false, 2},
};
static const struct table_column model_columns[] = {
    {"NAME", "name", false, 0},
    {"STRATEGY", "strategy", false, 2},
    {"TARGETS", "targets", false, 1},
    {"FALLBACKS", "fallbacks", false, 3},
};
static const struct table_column price_columns[] = {
    {"PROVIDER", "provider", false, 0},
    {"MODEL", "model", false, 0},
    {"INPUT/MTOK", "input_per_mtok_usd", true, 0},
    {"CACHED/MTOK", "cached_input_per_mtok_usd", true, 1},
    {"OUTPUT/MTOK", "output_per_mtok_usd", true, 0},
    {"FREE", "free", false, 2},
};
static const struct table_column key_columns[] = {
    {"NAME", "name", false, 0},           {"TEAM", "team", false, 0},
    {"PROJECT", "project", false, 4},     {"USER", "user", false, 5},
    {"MODELS", "models", false, 3},       {"KEY", "prefix", false, 2},
    {"EXPIRES", "expires", false, 1},     {"DISABLED", "disabled", false, 6},
    {"LAST USED", "last_used", false, 7},
};

static const struct table_column quota_columns[] = {
    {"NAME", "name", false, 0},       {"MODE", "mode", false, 2},  {"METRIC", "metric", false, 0},
    {"WINDOW", "window", false, 1},   {"LIMIT", "limit", true, 0}, {"USED", "spent", true, 0},
    {"SUBJECT", "subject", false, 3},
};
static const struct table_column budget_columns[] = {
    {"NAME", "name", false, 0},          {"PERIOD", "period", false, 1},
    {"MODE", "mode", false, 3},          {"LIMIT", "limit", true, 0},
    {"SPENT", "spent", true, 0},         {"HELD", "held", true, 2},
    {"REMAINING", "remaining", true, 0}, {"UNTIL", "period_end", false, 4},
    {"SUBJECT", "subject", false, 5},
};

static const struct table_column alert_columns[] = {
    {"NAME", "name", false, 0}, {"KIND", "kind", false, 0},       {"URL", "url", false, 2},
    {"TO", "to", false, 2},     {"BUDGETS", "budgets", false, 0}, {"TEAMS", "teams", false, 1},
};

/* "openai/gpt-4o" for each target, so that a model fits a line. */
static struct json *
shorten_targets(const struct json *items)
{
    struct json *models = json_copy(items);
    int e = models ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(models) && e == 0; i++) {
        struct json *model = json_at(models, i);
        const struct json *targets = json_get(model, "targets");
        struct json *shown = json_new_list();
        for (size_t t = 0; t < json_size(targets) && shown && e == 0; t++) {
            char text[300];
            const struct json *target = json_at(targets, t);
            snprintf(text, sizeof(text), "%.*s/%.*s",
                     SLICE_ARG(json_str(json_get(target, "provider"))),
                     SLICE_ARG(json_str(json_get(target, "model"))));
            e = json_append(shown, json_new_text(slice_of(text)));
        }
        e = e == 0 ? json_set(model, "targets", shown) : e;
    }
    if (e == 0)
        return models;
    json_free(models);
    return NULL;
}

/* One row for each counter of a limit: its rules, and how it stands. */
static int
add_counters(const struct json *item, struct json *rows)
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

static struct json *
counters_of(const struct json *items)
{
    struct json *rows = json_new_list();
    int e = rows ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(items) && e == 0; i++)
        e = add_counters(json_at(items, i), rows);
    if (e == 0)
        return rows;
    json_free(rows);
    return NULL;
}

const struct item_kind item_teams = {"team", "teams", COLUMNS(team_columns), NULL};
const struct item_kind item_projects = {"project", "projects", COLUMNS(project_columns), NULL};
const struct item_kind item_users = {"user", "users", COLUMNS(user_columns), NULL};
const struct item_kind item_roles = {"role", "roles", COLUMNS(role_columns), NULL};
const struct item_kind item_groups = {"group", "groups", COLUMNS(group_columns), NULL};
const struct item_kind item_bindings = {"binding", "bindings", COLUMNS(binding_columns), NULL};
const struct item_kind item_issuers = {"issuer", "issuers", COLUMNS(issuer_columns), NULL};
const struct item_kind item_sign_ins = {"sign-in", "sign_ins", COLUMNS(sign_in_columns), NULL};
const struct item_kind item_providers = {"provider", "providers", COLUMNS(provider_columns), NULL};
const struct item_kind item_models = {"model", "models", COLUMNS(model_columns), shorten_targets};
const struct item_kind item_prices = {"price", "prices", COLUMNS(price_columns), NULL};
const struct item_kind item_quotas = {"quota", "quotas", COLUMNS(quota_columns), counters_of};
const struct item_kind item_budgets = {"budget", "budgets", COLUMNS(budget_columns), counters_of};
const struct item_kind item_alerts = {"alert", "alerts", COLUMNS(alert_columns), NULL};
const struct item_kind item_keys = {"key", "keys", COLUMNS(key_columns), NULL};

/* --- list and show -------------------------------------------------------------------------------
 */

int
item_list_run(const struct command *command, int argc, char **argv)
{
    const struct item_kind *kind = command->subject;
    struct cli c;
    char path[80];
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    snprintf(path, sizeof(path), "/api/v1/%s", kind->plural);
    const struct listing l = {
        .path = path, .columns = kind->columns, .count = kind->count, .shape = kind->shape};
    return show_listing(&c, &l, 0);
}

/* The path of the item that argv[1] names. */
static int
named_path(const struct cli *c, const struct item_kind *kind, char *path, size_t bytes)
{
    if (client_path(path, bytes, kind->plural, c->argv[1]))
        return CLI_OK;
    return cli_fail("the name is too long");
}

int
item_show_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    char path[1024];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = named_path(&c, command->subject, path, sizeof(path));
    return e == CLI_OK ? show_get(&c, path) : e;
}

/* --- create and set ------------------------------------------------------------------------------
 */

/* "allow.models=[\"a\"]" sets a member, making the maps on its way. The value is JSON where it is
 * valid JSON, else what YAML makes of it. */
static int
set_member(struct json *item, char *assignment)
{
    char why[120];
    struct json *value = NULL;
    char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return cli_fail("\"%s\" must be MEMBER=VALUE", assignment);
    *equals = '\0';
    struct slice text = slice_of(equals + 1);
    if (!memchr("[{\"", text.len ? text.at[0] : ' ', 3) ||
        json_parse(text, &value, why, sizeof(why)) != 0)
        value = yaml_scalar_resolve(text);
    char *name = assignment;
    for (char *dot; (dot = strchr(name, '.')) != NULL; name = dot + 1) {
        *dot = '\0';
        if (json_kind(json_get(item, name)) != JSON_MAP &&
            json_set(item, name, json_new_map()) != 0)
            break;
        item = json_get(item, name);
    }
    if (json_set(item, name, value) == 0)
        return CLI_OK;
    return cli_fail("cannot set %s: no valid text, or out of memory", name);
}

static int
set_members(const struct cli *c, size_t first, struct json *item)
{
    int e = CLI_OK;
    for (size_t i = first; i <= c->args && e == CLI_OK; i++)
        e = set_member(item, c->argv[i]);
    return e;
}

/* POST or PATCH of members given as arguments. */
static int
send_item(const struct cli *c, const struct item_kind *kind, bool create)
{
    struct client client;
    struct json *answer = NULL, *body = json_new_map();
    char path[1024];
    struct client_call call = {.method = create ? "POST" : "PATCH",
                               .path = path,
                               .body = body,
                               .if_match = create ? NULL : "*"};
    int e = body ? CLI_OK : cli_fail("out of memory");
    if (e == CLI_OK && create && strcmp(kind->noun, "price") != 0)
        e = json_set_str(body, "name", c->argv[1]) == 0
                ? CLI_OK
                : cli_fail("\"%s\" is no valid text", c->argv[1]);
    if (e == CLI_OK)
        e = set_members(c, create && strcmp(kind->noun, "price") == 0 ? 1 : 2, body);
    if (e == CLI_OK && create)
        snprintf(path, sizeof(path), "/api/v1/%s", kind->plural);
    else if (e == CLI_OK)
        e = named_path(c, kind, path, sizeof(path));
    if (e == CLI_OK)
        e = client_open(&client, c);
    else
        client = (struct client){0};
    if (e == CLI_OK)
        e = client_do(&client, &call, &answer);
    if (e == CLI_OK)
        e = show_item(c, answer);
    json_free(answer);
    json_free(body);
    client_close(&client);
    return e;
}

int
item_create_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    int e = cli_begin(&c, command, NULL, 0, 1, 64, argc, argv);
    return e == CLI_GO_ON ? send_item(&c, command->subject, true) : e;
}

int
item_set_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    int e = cli_begin(&c, command, NULL, 0, 2, 64, argc, argv);
    return e == CLI_GO_ON ? send_item(&c, command->subject, false) : e;
}

/* --- delete --------------------------------------------------------------------------------------
 */

int
item_delete_run(const struct command *command, int argc, char **argv)
{
    const struct item_kind *kind = command->subject;
    struct cli c;
    char path[1024], said[1100];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = named_path(&c, kind, path, sizeof(path));
    if (e != CLI_OK)
        return e;
    snprintf(said, sizeof(said), "deleted %s %s", kind->noun, c.argv[1]);
    return show_delete(&c, path, "*", "deleted", said);
}
