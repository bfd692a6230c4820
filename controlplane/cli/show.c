/* See show.h. */
#include "controlplane/cli/show.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/cli/commands.h"
#include "lib/base/buf.h"

int
show_page(const struct cli *c, const struct listing *l, const struct json *page)
{
    const struct json *items = json_get(page, "data");
    struct json *shaped = NULL;
    if (c->json)
        return cli_print_json(page);
    if (l->shape) {
        shaped = l->shape(items);
        if (!shaped)
            return cli_fail("out of memory");
    }
    table_print(stdout, l->columns, l->count, shaped ? shaped : items, 0);
    json_free(shaped);
    return CLI_OK;
}

int
show_listing(const struct cli *c, const struct listing *l, long limit)
{
    struct client client;
    struct json *page = NULL;
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = client_list(&client, l->path, (size_t)limit, &page);
    if (e == CLI_OK)
        e = show_page(c, l, page);
    json_free(page);
    client_close(&client);
    return e;
}

int
show_filtered(const struct cli *c, const struct listing *l, const struct client_filter *filters,
              size_t count, long limit)
{
    struct listing filtered = *l;
    struct buf path;
    buf_init(&path, 2048);
    int e = client_query(&path, l->path, filters, count) == 0
                ? CLI_OK
                : cli_fail("the filters are too long");
    filtered.path = buf_str(&path);
    if (e == CLI_OK)
        e = show_listing(c, &filtered, limit);
    buf_free(&path);
    return e;
}

int
list_run(const struct command *command, int argc, char **argv)
{
    const struct listing *l = command->subject;
    struct cli c;
    long limit = l->limit;
    const struct option_row rows[] = {
        {.name = "limit",
         .kind = OPTION_NUMBER,
         .into = &limit,
         .value = "N",
         .min = 0,
         .help = "only so many; 0: all"},
    };
    int e = cli_begin(&c, command, rows, l->limited, 0, 0, argc, argv);
    return e == CLI_GO_ON ? show_listing(&c, l, limit) : e;
}

int
show_item(const struct cli *c, const struct json *item)
{
    struct json *copy = json_copy(item), *value;
    void *iter = NULL;
    const char *name;
    int e = c->json ? cli_print_json(item) : CLI_OK;
    while (!c->json && json_each(copy, &iter, &name, &value)) {
        char *cell = table_cell(value);
        printf("%-26s %s\n", name, cell ? cell : "");
        free(cell);
    }
    json_free(copy);
    return e;
}

int
show_get(const struct cli *c, const char *path)
{
    struct client client;
    struct json *item = NULL;
    struct client_call call = {.method = "GET", .path = path};
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &item);
    if (e == CLI_OK)
        e = show_item(c, item);
    json_free(item);
    client_close(&client);
    return e;
}

int
show_delete(const struct cli *c, const char *path, const char *if_match, const char *done,
            const char *said)
{
    struct client client;
    struct client_call call = {.method = "DELETE", .path = path, .if_match = if_match};
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = client_do(&client, &call, NULL);
    if (e == CLI_OK && c->json)
        printf("{\"%s\": true}\n", done);
    else if (e == CLI_OK)
        printf("%s\n", said);
    client_close(&client);
    return e;
}
