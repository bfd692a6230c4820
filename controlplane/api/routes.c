/*
 * The route table: every endpoint there is, with what it takes to call it. docs/openapi.yaml says
 * the same for people; a test holds the two together.
 */
#include "controlplane/api/handlers.h"
#include "controlplane/rules/fields.h"
#include "controlplane/rules/kinds.h"
#include "controlplane/rules/permissions.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// clang-format off
const struct field_table api_any_object = {.noun = "patch", .rows = NULL, .count = 0};

static const struct field_row apply_rows[] = {
    {.name = "document", .kind = FIELD_MAP, .required = true, .item = &document_table, .help = "The configuration."},
    {.name = "prune", .kind = FIELD_BOOL, .help = "Delete what a named list does not contain."},
    {.name = "dry_run", .kind = FIELD_BOOL, .help = "Check and compare only."},
    {.name = "note", .kind = FIELD_TEXT, .max = 1000, .help = "Why; kept with the revision."},
};
static const struct field_table apply_body = {.noun = "call", .rows = apply_rows, .count = COUNT(apply_rows)};

static const struct field_row rollback_rows[] = {
    {.name = "dry_run", .kind = FIELD_BOOL, .help = "Compare only."},
    {.name = "note", .kind = FIELD_TEXT, .max = 1000, .help = "Why; kept with the revision."},
};
static const struct field_table rollback_body = {.noun = "call", .rows = rollback_rows, .count = COUNT(rollback_rows)};

static const struct field_row rotate_rows[] = {
    {.name = "grace_s", .kind = FIELD_INT, .min = 0, .max = LIMIT_GRACE_S, .help = "How many seconds the secret before goes on working."},
};
static const struct field_table rotate_body = {.noun = "call", .rows = rotate_rows, .count = COUNT(rotate_rows)};

static const char *const roles[] = {"admin", "read-only", NULL};
static const struct field_row token_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "The actor of the audit log."},
    {.name = "role", .kind = FIELD_ENUM, .values = roles, .help = "What it may do, when it belongs to no user: everything, or see everything."},
    {.name = "user", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Whose it is: it may do what this user may."},
    {.name = "expires", .kind = FIELD_TIME, .help = "When it stops to work."},
};
static const struct field_table token_body = {.noun = "token", .rows = token_rows, .count = COUNT(token_rows)};

static const struct field_row code_rows[] = {
    {.name = "code", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 128, .check = field_is_text, .help = "What the browser was given for the command line."},
    {.name = "code_verifier", .kind = FIELD_TEXT, .required = true, .min = 43, .max = 128, .check = field_is_text, .help = "RFC 7636: whose SHA-256 the command line named at the start."},
};
static const struct field_table code_body = {.noun = "call", .rows = code_rows, .count = COUNT(code_rows)};

static const struct field_row override_rows[] = {
    {.name = "add_usd", .kind = FIELD_USD, .help = "Dollars on top of the limit; of a budget in dollars."},
    {.name = "add_tokens", .kind = FIELD_INT, .min = 1, .max = INT64_C(1000000000000000), .help = "Tokens on top of the limit; of a budget in tokens."},
    {.name = "until", .kind = FIELD_TIME, .required = true, .help = "When the limit is what it was."},
    {.name = "reason", .kind = FIELD_TEXT, .max = 500, .check = field_is_text, .help = "Why; kept with it."},
};
static const struct field_table override_body = {.noun = "override", .rows = override_rows, .count = COUNT(override_rows)};

static const struct field_row refresh_rows[] = {
    {.name = "provider", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Only the one that this provider names."},
};
static const struct field_table refresh_body = {.noun = "call", .rows = refresh_rows, .count = COUNT(refresh_rows)};

static const struct field_row rerate_rows[] = {
    {.name = "provider", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Whose models."},
    {.name = "model", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "The provider's name of it, or a pattern with '*'."},
    {.name = "from", .kind = FIELD_TIME, .required = true, .help = "Attempts from here on."},
    {.name = "to", .kind = FIELD_TIME, .required = true, .help = "Before this."},
    {.name = "dry_run", .kind = FIELD_BOOL, .help = "Only tell what would be posted."},
};
static const struct field_table rerate_body = {.noun = "rerating", .rows = rerate_rows, .count = COUNT(rerate_rows)};

/* The six endpoints of a kind. */
#define RESOURCE(plural, noun, fields, filters)                                                                                            \
    {"GET",    "/api/v1/" plural,           plural ".read",   API_READ | API_SCOPED,  NULL,            resources_list,    NULL,            "List " plural " by name", "limit cursor" filters}, \
    {"POST",   "/api/v1/" plural,           plural ".create", API_WRITE | API_SCOPED, &(fields),       resources_create,  noun ".create",  "Create a " noun, NULL},  \
    {"GET",    "/api/v1/" plural "/{name}", plural ".read",   API_READ | API_SCOPED,  NULL,            resources_get,     NULL,            "Read a " noun, NULL},    \
    {"PUT",    "/api/v1/" plural "/{name}", plural ".write",  API_WRITE | API_SCOPED, &(fields),       resources_replace, noun ".replace", "Replace a " noun, NULL}, \
    {"PATCH",  "/api/v1/" plural "/{name}", plural ".write",  API_WRITE | API_SCOPED, &api_any_object, resources_patch,   noun ".change",  "Change a " noun, NULL},  \
    {"DELETE", "/api/v1/" plural "/{name}", plural ".delete", API_WRITE | API_SCOPED, NULL,            resources_delete,  noun ".delete",  "Delete a " noun, NULL}

/* The seven of a type of SCIM: the whole of it takes one permission, and what is touched one mark (docs/decisions/0024). */
#define SHOWN "attributes excludedAttributes"
#define SEARCHED "filter startIndex count sortBy sortOrder " SHOWN
#define SCIM(plural, noun)                                                                                                            \
    {"GET",    "/scim/v2/" plural,          "scim.provision", API_READ,  NULL,            scim_list,    NULL,                   "List " noun "s as SCIM has them", SEARCHED}, \
    {"POST",   "/scim/v2/" plural,          "scim.provision", API_WRITE, &api_any_object, scim_create,  "scim." noun ".create", "Provision a " noun, SHOWN},              \
    {"POST",   "/scim/v2/" plural "/.search", "scim.provision", API_READ,  &api_any_object, scim_search, NULL,                   "Search " noun "s as SCIM has them", NULL}, \
    {"GET",    "/scim/v2/" plural "/{id}",  "scim.provision", API_READ,  NULL,            scim_get,     NULL,                   "Read a " noun " as SCIM has it", SHOWN}, \
    {"PUT",    "/scim/v2/" plural "/{id}",  "scim.provision", API_WRITE, &api_any_object, scim_replace, "scim." noun ".replace", "Replace a provisioned " noun, SHOWN},   \
    {"PATCH",  "/scim/v2/" plural "/{id}",  "scim.provision", API_WRITE, &api_any_object, scim_change,  "scim." noun ".change", "Change a provisioned " noun, SHOWN},     \
    {"DELETE", "/scim/v2/" plural "/{id}",  "scim.provision", API_WRITE, NULL,            scim_delete,  "scim." noun ".delete", "Delete a provisioned " noun " and what is its alone", NULL}

#define USAGE_FILTERS "from to team project user key model provider provider_model endpoint end_user tag"

const struct route api_routes[] = {
    RESOURCE("providers", "provider", provider_fields, ""),
    RESOURCE("models", "model", model_fields, ""),
    RESOURCE("teams", "team", team_fields, ""),
    RESOURCE("projects", "project", project_fields, " team"),
    RESOURCE("users", "user", user_fields, ""),
    RESOURCE("roles", "role", role_fields, ""),
    RESOURCE("groups", "group", group_fields, ""),
    RESOURCE("bindings", "binding", binding_fields, " team"),
    RESOURCE("issuers", "issuer", issuer_fields, " team"),
    RESOURCE("sign_ins", "sign_in", sign_in_fields, ""),
    RESOURCE("keys", "key", key_fields, " team"),
    {"POST",   "/api/v1/keys/{name}/rotate",            "keys.rotate",    API_WRITE | API_SCOPED, &rotate_body, keys_rotate,      "key.rotate",        "Give a key a new secret", NULL},
    RESOURCE("prices", "price", price_fields, ""),
    RESOURCE("quotas", "quota", quota_fields, ""),
    RESOURCE("budgets", "budget", budget_fields, ""),
    {"POST",   "/api/v1/budgets/{name}/overrides",      "budgets.write",  API_WRITE, &override_body, budgets_override,   "budget.override",   "Allow more for a while", NULL},
    RESOURCE("alerts", "alert", alert_fields, ""),
    {"POST",   "/api/v1/alerts/{name}/test",            "alerts.write",   API_WRITE, NULL,           alerts_test,        "alert.test",        "Send a test message", NULL},
    {"GET",    "/api/v1/alert-deliveries",              "alerts.read",    API_READ,  NULL,           deliveries_list,    NULL,                "List what alerts sent or are to send, newest first", "limit cursor alert budget state id"},
    {"GET",    "/api/v1/secrets",                       "secrets.read",   API_READ,  NULL,           secrets_list,       NULL,                "List credentials that are references, and how they stand", "limit cursor"},
    {"POST",   "/api/v1/secrets/refresh",               "secrets.refresh", API_WRITE, &refresh_body, secrets_refresh_now, "secrets.refresh", "Fetch them again now", NULL},
    {"GET",    "/api/v1/secrets/keys",                  "secrets.read",   API_READ,  NULL,           seal_keys_show,     NULL,                "Sealing keys, and what is sealed under each", NULL},
    {"POST",   "/api/v1/secrets/reseal",                "secrets.reseal", API_WRITE, NULL,          seal_keys_reseal,   "secrets.reseal",    "Seal some values anew under the key that seals", NULL},
    {"GET",    "/api/v1/pricebook",                     "prices.read",    API_READ,  NULL,           pricebook_list,     NULL,                "List the built-in price book", "limit cursor kind"},
    {"GET",    "/api/v1/config",                        "config.read",    API_READ,  NULL,           config_export,      NULL,                "Export the configuration", "revision"},
    {"POST",   "/api/v1/config/apply",                  "config.apply",   API_WRITE, &apply_body,    config_apply,       "config.apply",      "Apply a document as one revision", NULL},
    {"GET",    "/api/v1/config/schema",                 "config.read",    API_READ,  NULL,           config_schema,      NULL,                "JSON Schema of the document", NULL},
    {"GET",    "/api/v1/revisions",                     "config.read",    API_READ,  NULL,           revisions_list,     NULL,                "List revisions, newest first", "limit cursor"},
    {"GET",    "/api/v1/revisions/{revision}",          "config.read",    API_READ,  NULL,           revisions_get,      NULL,                "Read a revision with its changes", NULL},
    {"POST",   "/api/v1/revisions/{revision}/rollback", "config.apply",   API_WRITE, &rollback_body, revisions_rollback, "config.rollback",   "Restore a revision as a new one", NULL},
    {"GET",    "/api/v1/tokens",                        "tokens.read",    API_READ,  NULL,           tokens_list,        NULL,                "List admin tokens", "limit cursor"},
    {"POST",   "/api/v1/tokens",                        "tokens.create",  API_WRITE, &token_body,    tokens_create,      "token.create",      "Create an admin token", NULL},
    {"DELETE", "/api/v1/tokens/{name}",                 "tokens.delete",  API_WRITE, NULL,           tokens_delete,      "token.delete",      "Revoke an admin token", NULL},
    {"GET",    "/api/v1/sessions",                      "own:sessions.read", API_READ,  NULL,           sessions_list,      NULL,                "List sessions of people who signed in", "limit cursor user"},
    {"DELETE", "/api/v1/sessions/{id}",                 "own:sessions.delete", API_WRITE, NULL,           sessions_delete,    "session.delete",    "End a session", NULL},
    {"GET",    "/api/v1/me",                            "self",           API_READ,  NULL,           system_whoami,      NULL,                "Who is calling", NULL},
    {"GET",    "/api/v1/whoami",                        "self",           API_READ,  NULL,           system_whoami,      NULL,                "Who is calling", NULL},
    {"GET",    "/api/v1/permissions",                   "self",           API_READ,  NULL,           permissions_list,   NULL,                "List permissions and built-in roles", NULL},
    {"GET",    "/api/v1/can",                           "self",           API_READ,  NULL,           system_can,         NULL,                "Explain whether something is allowed", "as action resource"},
    {"GET",    "/api/v1/audit",                         "audit.read",     API_READ,  NULL,           audit_list,         NULL,                "List what was done, newest first", "limit cursor actor action object"},
    {"GET",    "/api/v1/audit/verify",                  "audit.read",     API_READ,  NULL,           audit_verify_now,   NULL,                "Prove the audit log whole", NULL},
    {"GET",    "/api/v1/snapshots",                     "snapshots.read", API_READ,  NULL,           snapshots_list,     NULL,                "List snapshots, newest first", "limit cursor"},
    {"GET",    "/api/v1/workers",                       "workers.read",   API_READ,  NULL,           workers_list,       NULL,                "List workers and what they hold", "limit cursor"},
    {"GET",    "/api/v1/controlplanes",                 "workers.read",   API_READ,  NULL,           planes_list,        NULL,                "List control planes, who leads and who stands by", "limit cursor"},
    {"GET",    "/api/v1/usage",                         "usage.read",     API_READ | API_SCOPED, NULL,           usage_summary,      NULL,                "Usage in sums", "group_by time_zone format " USAGE_FILTERS},
    {"GET",    "/api/v1/usage/events",                  "usage.read",     API_READ | API_SCOPED, NULL,           usage_events,       NULL,                "Every upstream attempt, newest first", "limit cursor request_id " USAGE_FILTERS},
    {"GET",    "/api/v1/ledger/accounts",               "ledger.read",    API_READ | API_SCOPED, NULL,           ledger_accounts,    NULL,                "Accounts of the cost ledger", "limit cursor"},
    {"GET",    "/api/v1/ledger/verify",                 "ledger.read",    API_READ,  NULL,           ledger_verify_now,  NULL,                "Prove the books whole, or name what is wrong", "from to"},
    {"POST",   "/api/v1/ledger/rerate",                 "ledger.rerate",  API_WRITE, &rerate_body,   ledger_rerate_now,  "ledger.rerate",     "Post what is booked at the prices now in force", NULL},
    SCIM("Users", "user"),
    SCIM("Groups", "group"),
    {"POST",   "/scim/v2/.search",                      "scim.provision", API_READ,  &api_any_object, scim_search,      NULL,                "Search users and groups as SCIM has them", NULL},
    {"GET",    "/scim/v2/ServiceProviderConfig",        "scim.provision", API_READ,  NULL,           scim_config,        NULL,                "What of SCIM is supported", NULL},
    {"GET",    "/scim/v2/ResourceTypes",                "scim.provision", API_READ,  NULL,           scim_types,         NULL,                "List SCIM's types", NULL},
    {"GET",    "/scim/v2/ResourceTypes/{id}",           "scim.provision", API_READ,  NULL,           scim_type_get,      NULL,                "Read a type of SCIM", NULL},
    {"GET",    "/scim/v2/Schemas",                      "scim.provision", API_READ,  NULL,           scim_schemas,       NULL,                "List SCIM's schemas", NULL},
    {"GET",    "/scim/v2/Schemas/{id}",                 "scim.provision", API_READ,  NULL,           scim_schema_get,    NULL,                "Read a schema of SCIM", NULL},
    {"GET",    "/auth/login",                           "public",         API_READ,  NULL,           sign_in_start,      NULL,                "Sign in with an identity provider", "issuer return_to cli_port cli_challenge cli_state"},
    {"GET",    "/auth/callback",                        "public",         API_READ,  NULL,           sign_in_finish,     NULL,                "Take the identity provider's answer", "code state iss error"},
    {"POST",   "/auth/token",                           "public",         API_READ,  &code_body,     sign_in_token,      NULL,                "Give the command line its token", NULL},
    {"POST",   "/auth/logout",                          "self",           API_WRITE, NULL,           sign_out,           "session.delete",    "Sign out", NULL},
    {"GET",    "/healthz",                              "public",         API_READ,  NULL,           system_health,      NULL,                "The process runs", NULL},
    {"GET",    "/readyz",                               "public",         API_READ,  NULL,           system_ready,       NULL,                "It can serve", NULL},
    {"GET",    "/metrics",                              "public",         API_READ,  NULL,           system_metrics,     NULL,                "Prometheus metrics", NULL},
    /* LiteLLM's, where they were asked for; a body is checked by its handler against litellm_tables.h. */
    {"POST", "/key/generate", "keys.create", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_generate, "key.create", "LiteLLM: make a key", NULL},
    {"POST", "/key/update", "keys.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_update, "key.change", "LiteLLM: change a key", NULL},
    {"POST", "/key/delete", "keys.delete", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_delete, "key.delete", "LiteLLM: delete keys", NULL},
    {"GET", "/key/info", "keys.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_key_info, NULL, "LiteLLM: read a key", "key"},
    {"GET", "/key/list", "keys.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_key_list, NULL, "LiteLLM: list keys, newest first", "page size user_id team_id organization_id key_hash key_alias return_full_object include_team_keys sort_by sort_order"},
    {"POST", "/key/block", "keys.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_block, "key.change", "LiteLLM: block a key", NULL},
    {"POST", "/key/unblock", "keys.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_unblock, "key.change", "LiteLLM: let a key in again", NULL},
    {"POST", "/key/regenerate", "keys.rotate", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_regenerate, "key.rotate", "LiteLLM: give a key a new text", NULL},
    {"POST", "/key/{key}/regenerate", "keys.rotate", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_key_regenerate, "key.rotate", "LiteLLM: give a key a new text", NULL},
    {"POST", "/team/new", "teams.create", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_team_new, "team.create", "LiteLLM: make a team", NULL},
    {"POST", "/team/update", "teams.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_team_update, "team.change", "LiteLLM: change a team", NULL},
    {"POST", "/team/delete", "teams.delete", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_team_delete, "team.delete", "LiteLLM: delete teams with their keys", NULL},
    {"GET", "/team/info", "teams.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_team_info, NULL, "LiteLLM: read a team with its keys", "team_id"},
    {"GET", "/team/list", "teams.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_team_list, NULL, "LiteLLM: list teams", "user_id organization_id"},
    {"GET", "/v2/team/list", "teams.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_team_list_v2, NULL, "LiteLLM: list teams in pages", "page page_size team_id team_alias user_id organization_id sort_by sort_order"},
    {"POST", "/team/member_add", "users.write", API_WRITE | API_LITELLM, &api_any_object, litellm_member_add, "user.change", "LiteLLM: add members to a team", NULL},
    {"POST", "/team/member_delete", "users.write", API_WRITE | API_LITELLM, &api_any_object, litellm_member_delete, "user.change", "LiteLLM: take a member out of a team", NULL},
    {"POST", "/team/block", "teams.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_team_block, "team.change", "LiteLLM: block a team", NULL},
    {"POST", "/team/unblock", "teams.write", API_WRITE | API_SCOPED | API_LITELLM, &api_any_object, litellm_team_unblock, "team.change", "LiteLLM: let a team in again", NULL},
    {"POST", "/user/new", "users.create", API_WRITE | API_LITELLM, &api_any_object, litellm_user_new, "user.create", "LiteLLM: make a user, with a key", NULL},
    {"POST", "/user/update", "users.write", API_WRITE | API_LITELLM, &api_any_object, litellm_user_update, "user.change", "LiteLLM: change a user", NULL},
    {"POST", "/user/delete", "users.delete", API_WRITE | API_LITELLM, &api_any_object, litellm_user_delete, "user.delete", "LiteLLM: delete users with their keys", NULL},
    {"GET", "/user/info", "users.read", API_READ | API_LITELLM, NULL, litellm_user_info, NULL, "LiteLLM: read a user with keys and teams", "user_id"},
    {"GET", "/user/list", "users.read", API_READ | API_LITELLM, NULL, litellm_user_list, NULL, "LiteLLM: list users in pages", "page page_size user_ids team role sso_user_ids user_email sort_by sort_order"},
    {"GET", "/spend/logs", "usage.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_spend_logs, NULL, "LiteLLM: single attempts, or sums by day", "api_key user_id request_id start_date end_date summarize limit after"},
    {"GET", "/global/spend", "usage.read", API_READ | API_SCOPED | API_LITELLM, NULL, litellm_global_spend, NULL, "LiteLLM: what was spent in all", NULL},
    {"GET", "/model/info", "models.read", API_READ | API_LITELLM, NULL, litellm_model_info, NULL, "LiteLLM: list deployments", "litellm_model_id"},
    {"GET", "/v1/model/info", "models.read", API_READ | API_LITELLM, NULL, litellm_model_info, NULL, "LiteLLM: list deployments", "litellm_model_id"},
    {"GET", "/models", "models.read", API_READ | API_LITELLM, NULL, litellm_models, NULL, "LiteLLM: list names of models", NULL},
    {"GET", "/v1/models", "models.read", API_READ | API_LITELLM, NULL, litellm_models, NULL, "LiteLLM: list names of models", NULL},
};
// clang-format on
const size_t api_route_count = COUNT(api_routes);

struct slice
api_route_foreign(const struct route *route)
{
    struct slice permission = slice_of(route->permission);
    return slice_starts(permission, SLICE("own:")) ? slice_from(permission, 4) : slice_none();
}

bool
api_routes_are_guarded(const struct route **ret_bad)
{
    for (size_t i = 0; i < api_route_count; i++) {
        const char *permission = api_routes[i].permission;
        *ret_bad = &api_routes[i];
        struct slice foreign = api_route_foreign(&api_routes[i]);
        if (!permission || (strcmp(permission, "public") != 0 && strcmp(permission, "self") != 0 &&
                            permission_find(foreign.at ? foreign : slice_of(permission)) < 0))
            return false;
    }
    return true;
}
