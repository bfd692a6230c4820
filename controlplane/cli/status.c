/* headgate status: what runs of a local gateway, and whether all is well (exit status 0 only then).
 */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/parts.h"
#include "controlplane/cli/table.h"
#include "lib/base/secret.h"

static int
add_row(struct json *rows, const char *name, pid_t pid, const char *state, const char *address)
{
    struct json *row = json_new_map();
    int e = row ? json_set_str(row, "name", name) : ERR_NOMEM;
    if (e == 0)
        e = json_set_str(row, "state", state);
    if (e == 0)
        e = pid > 0 ? json_set_int(row, "pid", pid) : json_set(row, "pid", json_new_null());
    if (e == 0)
        e = json_set_str(row, "address", address);
    if (e == 0)
        e = json_append(rows, json_ref(row));
    json_free(row);
    return e;
}

static int
add_part(struct json *rows, const struct home *h, enum part_id id, bool *all_well)
{
    struct process p = process_load(h, parts[id].name);
    const char *state = "down";
    if (p.pid > 0)
        state = parts[id].is_ready(h, &p) ? "ready" : "not ready";
    *all_well = *all_well && strcmp(state, "ready") == 0;
    const char *address = id == PART_POSTGRES        ? h->run
                          : id == PART_CONTROL_PLANE ? h->admin
                                                     : h->listen;
    return add_row(rows, parts[id].name, p.pid, state, address);
}

/* How many workers were heard of lately; -1: not known. */
static int64_t
count_workers(const struct home *h)
{
    struct client c;
    struct client_answer answer;
    char token[CLIENT_TOKEN_BYTES], why[CLIENT_URL_BYTES + 300];
    int64_t alive = -1;
    if (home_env_get(h, "HEADGATE_ADMIN_TOKEN", token, sizeof(token)) != 0)
        return -1;
    client_open_local(&c, h, token);
    secret_wipe(token, sizeof(token));
    struct client_call call = {.method = "GET", .path = "/api/v1/workers", .total_ms = 3000};
    if (client_call(&c, &call, &answer, why, sizeof(why)) == 0) {
        const struct json *data = json_get(answer.body, "data");
        alive = answer.status == 200 ? 0 : -1;
        for (size_t i = 0; i < json_size(data) && alive >= 0; i++)
            alive += json_is_true(json_get(json_at(data, i), "alive"));
        client_answer_free(&answer);
    }
    client_close(&c);
    return alive;
}

static int
collect(const struct home *h, struct json *status, bool *ret_well)
{
    struct json *rows = json_new_list();
    struct process s = process_load(h, "supervisor");
    *ret_well = s.pid > 0;
    int e = rows ? json_set_str(status, "home", h->dir) : ERR_NOMEM;
    if (e == 0)
        e = add_row(rows, "supervisor", s.pid, s.pid > 0 ? "ready" : "down", NULL);
    for (int id = 0; id < PART_COUNT && e == 0; id++)
        e = add_part(rows, h, (enum part_id)id, ret_well);
    int64_t workers = *ret_well ? count_workers(h) : -1;
    if (e == 0)
        e = json_set_bool(status, "healthy", *ret_well);
    if (e == 0)
        e = workers >= 0 ? json_set_int(status, "workers", workers)
                         : json_set(status, "workers", json_new_null());
    if (e == 0)
        e = json_set(status, "processes", json_ref(rows));
    json_free(rows);
    return e;
}

static void
print_text(struct json *status, bool well)
{
    static const struct table_column columns[] = {
        {"PROCESS", "name", false, 0},
        {"STATE", "state", false, 0},
        {"PID", "pid", true, 0},
        {"ADDRESS", "address", false, 1},
    };
    int64_t workers;
    table_print(stdout, columns, 4, json_get(status, "processes"), 0);
    if (json_to_int(json_get(status, "workers"), &workers) == 0)
        printf("\n%lld worker%s", (long long)workers, workers == 1 ? "" : "s");
    else
        putchar('\n');
    printf("%s\n", well ? "; all is well." : "Not well.");
}

int
status_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct home h;
    char dir[HOME_PATH_BYTES];
    bool well = false;
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (home_find(c.home, true, dir) != 0)
        return cli_fail("give the gateway's directory with --home DIR");
    e = home_open(&h, dir);
    if (e == ERR_NOT_FOUND)
        return cli_fail("no gateway in %s: start one with `headgate up --home %s`", dir, dir);
    if (e != 0)
        return CLI_FAILED;
    struct json *status = json_new_map();
    e = status ? collect(&h, status, &well) : ERR_NOMEM;
    if (e != 0)
        cli_fail("out of memory");
    else if (c.json)
        cli_print_json(status);
    else
        print_text(status, well);
    json_free(status);
    if (e == 0 && !well)
        e = cli_fail("the gateway in %s is not well: `headgate up --detach --home %s` repairs it",
                     h.dir, h.dir);
    return e == 0 ? CLI_OK : CLI_FAILED;
}
