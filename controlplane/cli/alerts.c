/* headgate alert deliveries and test: what alerts sent, and whether one works. */
#include <stdio.h>
#include <time.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"
#include "lib/base/clock.h"

#define WAIT_MS 30000 /* a sending takes ten seconds at most; the job may have others to do */

static const struct table_column columns[] = {
    {"CREATED", "created_at", false, 3}, {"ALERT", "alert", false, 0},
    {"BUDGET", "budget", false, 0},      {"SUBJECT", "subject", false, 1},
    {"PERCENT", "percent", true, 0},     {"STATE", "state", false, 0},
    {"ATTEMPTS", "attempts", true, 2},   {"LAST ERROR", "last_error", false, 0},
};

static const struct listing deliveries = {
    .path = "/api/v1/alert-deliveries",
    .columns = columns,
    .count = sizeof(columns) / sizeof(columns[0]),
};

int
alert_deliveries_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    long limit = 20;
    struct client_filter f[] = {{"alert", NULL}, {"budget", NULL}, {"state", NULL}};
    const struct option_row rows[] = {
        {.name = "alert", .into = &f[0].value, .value = "NAME", .help = "only through this alert"},
        {.name = "budget", .into = &f[1].value, .value = "NAME", .help = "only of this budget"},
        {.name = "state", .into = &f[2].value, .value = "STATE", .help = "pending, sent or failed"},
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "newest ones only; 0: all"},
    };
    int e = cli_begin(&c, command, rows, 4, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    return show_filtered(&c, &deliveries, f, 3, limit);
}

/* --- a test ----------------------------------------------------------------------------------- */

/* How the delivery stands once it is over, or the time is. */
static int
wait_over(const struct client *client, struct slice id, struct json **ret_delivery)
{
    const struct timespec pause = {0, 200000000};
    int64_t deadline = clock_mono_ms() + WAIT_MS;
    char path[128];
    snprintf(path, sizeof(path), "/api/v1/alert-deliveries?id=%.*s", SLICE_ARG(id));
    for (;;) {
        struct json *page = NULL;
        int e = client_list(client, path, 0, &page);
        const struct json *row = json_at(json_get(page, "data"), 0);
        bool pending = slice_is(json_str(json_get(row, "state")), "pending");
        if (e == CLI_OK && !row)
            e = cli_fail("the delivery is not there any more");
        if (e == CLI_OK && (!pending || clock_mono_ms() > deadline) &&
            !(*ret_delivery = json_copy(row)))
            e = cli_fail("out of memory");
        json_free(page);
        if (e != CLI_OK || *ret_delivery)
            return e;
        nanosleep(&pause, NULL);
    }
}

static int
judge(const struct cli *c, const struct json *delivery)
{
    struct slice state = json_str(json_get(delivery, "state"));
    struct slice why = json_str(json_get(delivery, "last_error"));
    int e = c->json ? cli_print_json(delivery) : CLI_OK;
    if (e != CLI_OK)
        return e;
    if (slice_is(state, "failed"))
        return cli_fail("alert %s: %.*s", c->argv[1], SLICE_ARG(why));
    if (slice_is(state, "pending"))
        return cli_fail("alert %s: not sent within 30 s; see `headgate alert deliveries`",
                        c->argv[1]);
    if (!c->json)
        printf("alert %s: the test message was taken%s%.*s\n", c->argv[1], why.len ? ", but " : "",
               SLICE_ARG(why));
    return CLI_OK;
}

int
alert_test_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *asked = NULL, *delivery = NULL;
    char path[1100], name[1024];
    int e = cli_begin(&c, command, NULL, 0, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (!client_path(name, sizeof(name), "alerts", c.argv[1]))
        return cli_fail("the name is too long");
    snprintf(path, sizeof(path), "%s/test", name);
    struct client_call call = {.method = "POST", .path = path};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &asked);
    if (e == CLI_OK)
        e = wait_over(&client, json_str(json_get(asked, "id")), &delivery);
    if (e == CLI_OK)
        e = judge(&c, delivery);
    json_free(asked);
    json_free(delivery);
    client_close(&client);
    return e;
}
