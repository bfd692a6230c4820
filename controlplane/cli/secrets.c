/* headgate secrets list and refresh: credentials that are references, and how they stand. */
#include <stdio.h>
#include <time.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/show.h"
#include "lib/base/clock.h"

#define WAIT_MS 60000

static const struct table_column columns[] = {
    {"KIND", "kind", false, 1},
    {"NAME", "name", false, 0},
    {"REFERENCE", "reference", false, 0},
    {"STATE", "state", false, 0},
    {"LAST SUCCESS", "last_success", false, 2},
    {"LAST ERROR", "last_error", false, 0},
};

const struct listing listing_secrets = {
    .path = "/api/v1/secrets",
    .columns = columns,
    .count = sizeof(columns) / sizeof(columns[0]),
};

/* The rows of one provider, or all managed ones. */
static struct json *
rows_of(const struct json *page, const char *provider)
{
    const struct json *data = json_get(page, "data");
    struct json *out = json_new_map(), *rows = json_new_list();
    int err = out && rows ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < json_size(data) && !err; i++) {
        const struct json *row = json_at(data, i);
        bool ours = provider ? slice_is(json_str(json_get(row, "kind")), "provider") &&
                                   slice_is(json_str(json_get(row, "name")), provider)
                             : !slice_is(json_str(json_get(row, "state")), "local");
        if (ours)
            err = json_append(rows, json_copy(row));
    }
    if (err)
        json_free(rows);
    else if (json_set(out, "data", rows) == 0)
        return out;
    json_free(out);
    return NULL;
}

static bool
any(const struct json *page, bool failed)
{
    const struct json *data = json_get(page, "data");
    for (size_t i = 0; i < json_size(data); i++) {
        const struct json *row = json_at(data, i);
        if (failed ? json_str(json_get(row, "last_error")).at != NULL
                   : json_is_true(json_get(row, "asked")))
            return true;
    }
    return false;
}

static int
wait_done(const struct client *client, const char *provider, struct json **ret_page)
{
    const struct timespec pause = {0, 200000000};
    int64_t deadline = clock_mono_ms() + WAIT_MS;
    for (;;) {
        struct json *whole = NULL;
        int e = client_list(client, "/api/v1/secrets", 0, &whole);
        struct json *page = e == CLI_OK ? rows_of(whole, provider) : NULL;
        json_free(whole);
        if (!page)
            return e == CLI_OK ? cli_fail("out of memory") : e;
        if (!any(page, false) || clock_mono_ms() > deadline) {
            *ret_page = page;
            return any(page, false) ? cli_fail("not all were fetched within 60 s") : CLI_OK;
        }
        json_free(page);
        nanosleep(&pause, NULL);
    }
}

int
secrets_refresh_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *body = json_new_map(), *page = NULL;
    int e = cli_begin(&c, command, NULL, 0, 0, 1, argc, argv);
    if (e != CLI_GO_ON) {
        json_free(body);
        return e;
    }
    const char *provider = c.args > 0 ? c.argv[1] : NULL;
    e = client_open(&client, &c);
    if (e == CLI_OK && (!body || (provider && json_set_str(body, "provider", provider) != 0)))
        e = cli_fail("out of memory");
    if (e == CLI_OK)
        e = client_do(&client,
                      &(struct client_call){
                          .method = "POST", .path = "/api/v1/secrets/refresh", .body = body},
                      NULL);
    if (e == CLI_OK)
        e = wait_done(&client, provider, &page);
    if (e == CLI_OK)
        e = show_page(&c, &listing_secrets, page);
    if (e == CLI_OK && any(page, true))
        e = CLI_FAILED;
    json_free(body);
    json_free(page);
    client_close(&client);
    return e;
}
