/* headgate secrets keys and reseal: the sealing keys, who has them, what is sealed under which. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/reseal.h"
#include "controlplane/cli/table.h"
#include "lib/base/crash.h"

static const struct table_column key_columns[] = {
    {"KEY", "id", false, 0}, {"MADE", "made_at", false, 0}, {"SEALS", "seals", false, 0}};
static const struct table_column plane_columns[] = {{"CONTROL PLANE", "host", false, 0},
                                                    {"PID", "pid", true, 0},
                                                    {"ALIVE", "alive", false, 0},
                                                    {"KEYS", "seal_keys", false, 0}};
static const struct table_column worker_columns[] = {{"WORKER", "host", false, 0},
                                                     {"SLOT", "slot", true, 0},
                                                     {"ALIVE", "alive", false, 0},
                                                     {"POLICY", "held_version", true, 0},
                                                     {"KEYS", "seal_keys", false, 0}};
static const struct table_column value_columns[] = {
    {"PLACE", "place", false, 0}, {"KEY", "key", false, 0}, {"VALUES", "values", true, 0}};

#define TABLE(columns, rows)                                                                       \
    table_print(stdout, columns, sizeof(columns) / sizeof((columns)[0]), rows, 0)

static int
print(const struct cli *c, const struct json *keys, const struct json *planes,
      const struct json *workers)
{
    if (c->json)
        return cli_print_json(keys);
    TABLE(key_columns, json_get(keys, "keys"));
    putchar('\n');
    TABLE(plane_columns, json_get(planes, "data"));
    putchar('\n');
    TABLE(worker_columns, json_get(workers, "data"));
    putchar('\n');
    TABLE(value_columns, json_get(keys, "values"));
    return CLI_OK;
}

int
secrets_keys_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *keys = NULL, *planes = NULL, *workers = NULL;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(
            &client, &(struct client_call){.method = "GET", .path = "/api/v1/secrets/keys"}, &keys);
    if (e == CLI_OK)
        e = client_list(&client, "/api/v1/controlplanes", 0, &planes);
    if (e == CLI_OK)
        e = client_list(&client, "/api/v1/workers", 0, &workers);
    if (e == CLI_OK)
        e = print(&c, keys, planes, workers);
    json_free(keys);
    json_free(planes);
    json_free(workers);
    client_close(&client);
    return e;
}

int
reseal_all(const struct client *client, struct reseal_sum *ret_sum)
{
    const struct client_call call = {.method = "POST", .path = "/api/v1/secrets/reseal"};
    int64_t resealed = 1;
    *ret_sum = (struct reseal_sum){0};
    while (resealed > 0) {
        struct json *body = NULL;
        int e = client_do(client, &call, &body);
        if (e == CLI_OK && (json_to_int(json_get(body, "resealed"), &resealed) != 0 ||
                            json_to_int(json_get(body, "stuck"), &ret_sum->stuck) != 0))
            e = cli_fail("the control plane does not tell how much it sealed anew");
        if (e == CLI_OK)
            snprintf(ret_sum->key, sizeof(ret_sum->key), "%.*s",
                     SLICE_ARG(json_str(json_get(body, "key"))));
        json_free(body);
        if (e != CLI_OK)
            return e;
        ret_sum->resealed += resealed;
        CRASHPOINT("rotate.resealed_some");
    }
    return CLI_OK;
}

int
secrets_reseal_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct reseal_sum sum;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = reseal_all(&client, &sum);
    if (e == CLI_OK)
        printf("%lld values sealed anew under %s\n", (long long)sum.resealed, sum.key);
    if (e == CLI_OK && sum.stuck)
        e = cli_fail("%lld values are sealed under a key that the control plane does not have, and "
                     "stay as they are; its log names them (reseal.stuck)",
                     (long long)sum.stuck);
    client_close(&client);
    return e;
}
