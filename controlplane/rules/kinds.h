/*
 * The kinds of configuration items, as tables: their members, what each may hold, what it is when
 * it is absent, and what it names. A later kind is one more row. No I/O in this folder.
 */
#ifndef CONTROLPLANE_RULES_KINDS_H
#define CONTROLPLANE_RULES_KINDS_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/doc.h"

#include <stdbool.h>

/* In the order in which one may name another: what is named comes first, where it can. */
enum kind_id {
    KIND_PROVIDERS,
    KIND_MODELS,
    KIND_TEAMS,
    KIND_PROJECTS,
    KIND_USERS,
    KIND_ROLES,
    KIND_GROUPS,
    KIND_BINDINGS,
    KIND_ISSUERS,
    KIND_SIGN_INS,
    KIND_KEYS,
    KIND_PRICES,
    KIND_QUOTAS,
    KIND_BUDGETS,
    KIND_ALERTS,
    KIND_COUNT
};

#define LIMIT_NAME_BYTES 128
#define LIMIT_PRICE_NAME_BYTES 200 /* PROVIDER/MODEL */

/* A member that names an item of another kind: `field`, or each element of the list `field`, or
 * `member` of each element of the list `field`. */
struct kind_reference {
    const char *field;
    const char *member; /* or NULL */
    bool list;
    enum kind_id to;
};

/* What an absent member means: `field` of the item, or of each element of `list`. json: its value.
 */
struct kind_default {
    const char *list; /* or NULL */
    const char *field;
    const char *json;
};

struct kind {
    enum kind_id id;
    const char *plural; /* the list's name, and config_items.kind */
    const char *noun;
    const struct field_table *fields;
    const struct kind_reference *references;
    size_t reference_count;
    const struct kind_default *defaults;
    size_t default_count;
    bool path_names; /* names may contain '/', ':' and (prices) '*' */
    /* Rules across members, of an item that passed its table: 0, or ERR_SYNTAX with "PATH:
     * message". */
    int (*check)(const struct json *item, const char *path, struct buf *why);
};

extern const struct kind kinds[KIND_COUNT];
extern const struct field_table provider_fields, model_fields, team_fields, project_fields,
    user_fields, role_fields, group_fields, binding_fields, issuer_fields, sign_in_fields,
    key_fields, price_fields, quota_fields, budget_fields, alert_fields;
/* All lists as members of one map: the schema of a configuration document. */
extern const struct field_table document_table;

/* A quota's rates: the member that gives each, and what it counts in which window (0: at a time).
 */
struct quota_rate {
    const char *member, *metric;
    int64_t window_ms;
};
#define QUOTA_RATES 13
extern const struct quota_rate quota_rates[QUOTA_RATES];

const struct kind *kind_find(struct slice plural); /* or NULL */
/* "teams", KIND_TEAMS of every name below */
const struct kind *kind_at(enum kind_id id);
/* Whether its items have a credential: sealed, or a reference to one. */
bool kind_has_credential(const struct kind *kind);
/* Whether a text can be a name of this kind; else *ret_why says what is wrong. */
bool kind_name_ok(const struct kind *kind, struct slice name, const char **ret_why);

#endif
