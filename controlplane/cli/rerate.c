/* headgate ledger rerate: what is booked, at the prices now in force. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"

struct rerate_options {
    const char *provider, *model, *from, *to;
    bool dry_run;
};

static struct json *
make_body(const struct rerate_options *o)
{
    struct json *body = json_new_map();
    if (body && json_set_str(body, "provider", o->provider) == 0 &&
        json_set_str(body, "model", o->model) == 0 && json_set_str(body, "from", o->from) == 0 &&
        json_set_str(body, "to", o->to) == 0 && json_set_bool(body, "dry_run", o->dry_run) == 0)
        return body;
    json_free(body);
    return NULL;
}

static long long
count_of(const struct json *done, const char *name)
{
    int64_t n = 0;
    return json_to_int(json_get(done, name), &n) ? 0 : (long long)n;
}

static void
print_result(const struct json *done, bool dry_run)
{
    printf("%lld attempts, booked at $%s, cost $%s now\n", count_of(done, "attempts"),
           json_str(json_get(done, "booked_usd")).at, json_str(json_get(done, "rated_usd")).at);
    if (count_of(done, "unpriced"))
        cli_note("%lld attempts have no price now and were left alone", count_of(done, "unpriced"));
    if (count_of(done, "free"))
        cli_note("%lld attempts are of free models and were left alone", count_of(done, "free"));
    if (count_of(done, "changed") == 0)
        printf("nothing to post\n");
    else
        printf("%s $%s for %lld attempts\n", dry_run ? "would post" : "posted",
               json_str(json_get(done, "difference_usd")).at, count_of(done, "changed"));
}

static int
rerate(const struct cli *c, const struct rerate_options *o)
{
    struct client client;
    struct json *body = make_body(o), *done = NULL;
    struct client_call call = {.method = "POST", .path = "/api/v1/ledger/rerate", .body = body};
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = body ? client_do(&client, &call, &done) : cli_fail("out of memory");
    if (e == CLI_OK && c->json)
        e = cli_print_json(done);
    else if (e == CLI_OK)
        print_result(done, o->dry_run);
    json_free(body);
    json_free(done);
    client_close(&client);
    return e;
}

int
ledger_rerate_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct rerate_options o = {0};
    const struct option_row rows[] = {
        {.name = "provider", .into = &o.provider, .value = "NAME", .help = "whose models"},
        {.name = "model",
         .into = &o.model,
         .value = "GLOB",
         .help = "the provider's name of it, or a pattern with '*'"},
        {.name = "from", .into = &o.from, .value = "TIME", .help = "a date or RFC 3339; inclusive"},
        {.name = "to", .into = &o.to, .value = "TIME", .help = "exclusive"},
        {.name = "dry-run", .kind = OPTION_FLAG, .into = &o.dry_run, .help = "only tell"},
    };
    int e = cli_begin(&c, command, rows, sizeof(rows) / sizeof(rows[0]), 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!o.provider || !o.model || !o.from || !o.to) {
        cli_fail("--provider, --model, --from and --to are needed");
        return CLI_USAGE;
    }
    return rerate(&c, &o);
}
