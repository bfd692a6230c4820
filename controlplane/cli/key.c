/* headgate key create, rotate and revoke. list and show are those of every kind (items.c). */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"

struct key_options {
    const char *name, *team, *project, *user, *models, *expires, *tags, *on_partition;
};

/* "a,b" to a list. */
static struct json *
split(const char *text)
{
    struct json *list = json_new_list();
    struct slice rest = slice_of(text);
    int e = list ? 0 : ERR_NOMEM;
    while (rest.at && e == 0) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        if (item.len)
            e = json_append(list, json_new_text(item));
    }
    if (e == 0)
        return list;
    json_free(list);
    return NULL;
}

/* "a=1,b=2" to a map of texts. */
static struct json *
split_tags(const char *text)
{
    struct json *map = json_new_map();
    struct slice rest = slice_of(text);
    int e = map ? 0 : ERR_NOMEM;
    while (rest.at && e == 0) {
        char name[128];
        struct slice value = slice_cut(&rest, ',');
        struct slice key = slice_trim(slice_cut(&value, '='));
        snprintf(name, sizeof(name), "%.*s", SLICE_ARG(key));
        e = value.at ? json_set_text(map, name, slice_trim(value)) : ERR_SYNTAX;
    }
    if (e == 0)
        return map;
    json_free(map);
    return NULL;
}

static int
fill(struct json *body, const struct key_options *o)
{
    const char *const texts[][2] = {
        {"name", o->name}, {"team", o->team},       {"project", o->project},
        {"user", o->user}, {"expires", o->expires}, {"on_partition", o->on_partition},
    };
    int e = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && e == 0; i++)
        if (texts[i][1])
            e = json_set_str(body, texts[i][0], texts[i][1]);
    if (e == 0 && o->models)
        e = json_set(body, "models", split(o->models));
    if (e == 0 && o->tags)
        e = json_set(body, "tags", split_tags(o->tags));
    return e;
}

static int
print_key(const struct cli *c, const struct json *key)
{
    if (c->json)
        return cli_print_json(key);
    printf("%.*s\n", SLICE_ARG(json_str(json_get(key, "key"))));
    fprintf(stderr, "(shown this once; the gateway does not keep it)\n");
    return CLI_OK;
}

int
key_create_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct key_options o = {.team = "default"};
    struct json *key = NULL;
    const struct option_row rows[] = {
        {.name = "name", .into = &o.name, .value = "NAME", .help = "how it is called"},
        {.name = "team", .into = &o.team, .value = "TEAM", .help = "who it belongs to"},
        {.name = "project", .into = &o.project, .value = "PROJECT", .help = "of that team"},
        {.name = "user", .into = &o.user, .value = "USER", .help = "who holds it"},
        {.name = "models",
         .into = &o.models,
         .value = "A,B",
         .help = "only these; * matches any run"},
        {.name = "expires", .into = &o.expires, .value = "DATE", .help = "2027-01-01, or RFC 3339"},
        {.name = "tags", .into = &o.tags, .value = "A=1,B=2", .help = "recorded with every use"},
        {.name = "on-partition",
         .into = &o.on_partition,
         .value = "WHAT",
         .help = "serve or refuse, when workers lost the control plane for 60 s"},
    };
    int e = cli_begin(&c, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (c.args == 1 && !o.name)
        o.name = c.argv[1];
    if (!o.name)
        return cli_fail("how shall it be called? headgate key create --name NAME"), CLI_USAGE;
    struct json *body = json_new_map();
    struct client_call call = {.method = "POST", .path = "/api/v1/keys", .body = body};
    e = body && fill(body, &o) == 0
            ? client_open(&client, &c)
            : cli_fail("--tags must be NAME=VALUE,NAME=VALUE, and all of it valid text");
    if (e != CLI_OK)
        client = (struct client){0};
    if (e == CLI_OK)
        e = client_do(&client, &call, &key);
    if (e == CLI_OK)
        e = print_key(&c, key);
    json_free(key);
    json_free(body);
    client_close(&client);
    return e;
}

/* "90s", "30m", "24h", "7d" to seconds; -1: none of these. */
static long long
seconds_of(const char *text)
{
    static const struct {
        char unit;
        long long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct slice s = slice_of(text);
    unsigned long long n;
    if (slice_is(s, "0"))
        return 0;
    if (s.len < 2 || slice_to_u64(slice_make(s.at, s.len - 1), &n) != 0 || n > 1000000)
        return -1;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (s.at[s.len - 1] == units[i].unit)
            return (long long)n * units[i].seconds;
    return -1;
}

int
key_rotate_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    const char *grace = "24h";
    char path[1100];
    struct json *key = NULL;
    const struct option_row rows[] = {
        {.name = "grace",
         .into = &grace,
         .value = "TIME",
         .help = "how long the secret before goes on: 90s, 30m, 24h (the default), 7d, 0"},
    };
    int e = cli_begin(&c, command, rows, 1, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (seconds_of(grace) < 0)
        return cli_fail("--grace must be a time such as 30m, 24h or 7d, not \"%s\"", grace),
               CLI_USAGE;
    if (!client_path(path, sizeof(path) - 8, "keys", c.argv[1]))
        return cli_fail("the name is too long");
    snprintf(path + strlen(path), 8, "/rotate");
    struct json *body = json_new_map();
    struct client_call call = {.method = "POST", .path = path, .body = body};
    e = client_open(&client, &c);
    if (e == CLI_OK && (!body || json_set_int(body, "grace_s", seconds_of(grace)) != 0))
        e = cli_fail("out of memory");
    if (e == CLI_OK)
        e = client_do(&client, &call, &key);
    if (e == CLI_OK)
        e = print_key(&c, key);
    json_free(key);
    json_free(body);
    client_close(&client);
    return e;
}

int
key_revoke_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    char path[1024], said[1100];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!client_path(path, sizeof(path), "keys", c.argv[1]))
        return cli_fail("the name is too long");
    snprintf(said, sizeof(said), "revoked %s; all workers refuse it within 2 s", c.argv[1]);
    return show_delete(&c, path, "*", "revoked", said);
}
