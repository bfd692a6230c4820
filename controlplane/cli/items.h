/* Kinds of configuration items as the tool shows them: a row a kind. */
#ifndef CONTROLPLANE_CLI_ITEMS_H
#define CONTROLPLANE_CLI_ITEMS_H

#include "controlplane/cli/table.h"

#include <stddef.h>

struct item_kind {
    const char *noun;   /* "team" */
    const char *plural; /* of the path: "teams" */
    const struct table_column *columns;
    size_t count;
    /* What a list shows of them, as in struct listing, or NULL. */
    struct json *(*shape)(const struct json *items);
};
extern const struct item_kind item_teams, item_projects, item_users, item_providers, item_models,
    item_prices, item_quotas, item_budgets, item_alerts, item_keys, item_roles, item_groups,
    item_bindings, item_issuers, item_sign_ins;

#endif
