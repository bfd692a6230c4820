/* What the tool shows of the admin API: a table or lines for people, the answer itself with
 * --output json. All give the command's exit status. */
#ifndef CONTROLPLANE_CLI_SHOW_H
#define CONTROLPLANE_CLI_SHOW_H

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/table.h"

#include <stdbool.h>
#include <stddef.h>

/* A collection: the subject of a row of commands.c whose function is list_run(). */
struct listing {
    const char *path; /* "/api/v1/workers" */
    const struct table_column *columns;
    size_t count;
    bool limited; /* takes --limit */
    long limit;   /* its default; 0: all */
    /* What the table shows of the items, or NULL: the items. The caller frees; NULL: no memory. */
    struct json *(*shape)(const struct json *items);
};
extern const struct listing listing_workers, listing_controlplanes, listing_snapshots,
    listing_tokens, listing_sessions, listing_secrets, listing_accounts;

/* Asks for the collection, all pages up to limit. */
int show_listing(const struct cli *c, const struct listing *l, long limit);
/* The same of those that the filters let through. */
int show_filtered(const struct cli *c, const struct listing *l, const struct client_filter *filters,
                  size_t count, long limit);
/* A page of it, {"data":[...]}. */
int show_page(const struct cli *c, const struct listing *l, const struct json *page);
/* One item's members, one a line. */
int show_item(const struct cli *c, const struct json *item);
/* What GET path answers, as an item. */
int show_get(const struct cli *c, const char *path);
/* DELETE path; then `said` for people, {"done": true} with --output json. if_match may be NULL. */
int show_delete(const struct cli *c, const char *path, const char *if_match, const char *done,
                const char *said);

#endif
