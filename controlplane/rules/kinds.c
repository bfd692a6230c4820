/* The tables: see kinds.h. docs/openapi.yaml and docs/configuration.md say the same in prose. */
#include "controlplane/rules/kinds.h"

#include <stdio.h>

#include "controlplane/rules/alert.h"
#include "controlplane/rules/fields.h"
#include "controlplane/rules/permissions.h"
#include "controlplane/rules/price.h"
#include "controlplane/rules/pricebook.h"
#include "controlplane/rules/rule.h"
#include "controlplane/secrets/seal.h"
#include "lib/base/money.h"
#include "lib/base/near.h"
#include "lib/base/rand.h"
#include "lib/http/message.h"
#include "lib/http/url.h"
#include "lib/policy/policy.h"
#include "lib/policy/provider_kinds.h"

#define LIMIT_SELECTOR_TAGS 4
#define LIMIT_THRESHOLDS 16 /* of a budget */
/* A worker packs endpoints and addresses small: LIMIT_SCOPE_LIST. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TABLE(name_, rows_)                                                                        \
    {                                                                                              \
        .noun = (name_), .rows = (rows_), .count = COUNT(rows_)                                    \
    }

// clang-format off

/* ---- providers --------------------------------------------------------------------------------- */

static const char *const provider_kinds[] = {
    "openai", "openai-compatible", "simulator", "azure-openai", "anthropic", "gemini", "vertex", "bedrock", "cohere", "mistral",
    "groq", "together", "deepseek", "xai", "openrouter", "fireworks", "cerebras", "perplexity", "huggingface", "ollama", "vllm", NULL};
static const char *const provider_apis[] = {"chat", "responses", "both", NULL};
static const char *const http_versions[] = {"auto", "1", "2", NULL};
static const char *const disconnects[] = {"cancel", "drain", NULL};

static const struct field_row timeout_rows[] = {
    {.name = "connect_ms", .kind = FIELD_INT, .min = 1, .max = 60000, .help = "To connect, TLS included."},
    {.name = "first_byte_ms", .kind = FIELD_INT, .min = 1, .max = 3600000, .help = "To the answer's head."},
    {.name = "between_bytes_ms", .kind = FIELD_INT, .min = 1, .max = 3600000, .help = "Between two pieces of the answer."},
    {.name = "total_ms", .kind = FIELD_INT, .min = 1, .max = 86400000, .help = "For the whole call."},
};
static const struct field_table timeout_table = TABLE("timeouts", timeout_rows);

static const struct field_row provider_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name: clients may ask for NAME/MODEL."},
    {.name = "kind", .kind = FIELD_ENUM, .required = true, .values = provider_kinds, .help = "What dialect and defaults it has."},
    {.name = "base_url", .kind = FIELD_TEXT, .min = 1, .max = 2048, .check = field_is_url, .help = "http(s) URL with its path prefix; replaces the kind's own."},
    {.name = "credential", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_CREDENTIAL_BYTES, .check = field_is_credential, .help = "A literal (sealed, never shown again), env:NAME, file:NAME, or a reference to a secret manager (vault:, aws-sm:, aws-ssm:, gcp-sm:, azure-kv:)."},
    {.name = "region", .kind = FIELD_TEXT, .min = 1, .max = 64, .check = field_is_name, .help = "bedrock: the AWS region."},
    {.name = "project", .kind = FIELD_TEXT, .min = 1, .max = 128, .check = field_is_name, .help = "vertex: the Google Cloud project."},
    {.name = "location", .kind = FIELD_TEXT, .min = 1, .max = 64, .check = field_is_name, .help = "vertex: the location, or global."},
    {.name = "api_version", .kind = FIELD_TEXT, .min = 1, .max = 64, .check = field_is_name, .help = "azure-openai: v1 (the default), or the date of the deployments API."},
    {.name = "allow_private", .kind = FIELD_BOOL, .help = "Private, loopback and link-local addresses are refused without it."},
    {.name = "api", .kind = FIELD_ENUM, .values = provider_apis, .help = "Of a server in OpenAI's shape: chat (completions) only, responses only, or both. Absent: what the kind has."},
    {.name = "allow_private_media", .kind = FIELD_BOOL, .help = "URLs in requests (images, files) that the gateway fetches for this provider may name private addresses."},
    {.name = "http", .kind = FIELD_ENUM, .values = http_versions, .help = "Protocol to the upstream."},
    {.name = "timeouts", .kind = FIELD_MAP, .item = &timeout_table, .help = "Milliseconds; absent: the gateway's defaults."},
    {.name = "on_disconnect", .kind = FIELD_ENUM, .values = disconnects, .help = "When the client goes away: cancel the call, or read it to its end."},
    {.name = "headers", .kind = FIELD_TAGS, .max = 1024, .help = "Sent with every request; no credentials."},
};

static const struct kind_default provider_defaults[] = {
    {NULL, "allow_private", "false"}, {NULL, "http", "\"auto\""}, {NULL, "on_disconnect", "\"cancel\""},
};

/* ---- models ------------------------------------------------------------------------------------ */

static const char *const strategies[] = {"weighted", "priority", NULL};

static const struct field_row target_rows[] = {
    {.name = "provider", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "A provider's name."},
    {.name = "model", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_model, .help = "The provider's own name of the model."},
    {.name = "weight", .kind = FIELD_INT, .min = 0, .max = 1000000, .help = "Share under `weighted`."},
};
static const struct field_table target_table = TABLE("target", target_rows);

static const char *const cache_scopes[] = {"team", "project", "user", "key", NULL};
static const struct field_row cache_rows[] = {
    {.name = "ttl_s", .kind = FIELD_INT, .required = true, .min = 1, .max = MOST_CACHE_TTL_S, .help = "Seconds for which an answer may be given again."},
    {.name = "scope", .kind = FIELD_ENUM, .required = true, .values = cache_scopes, .help = "To whom: all keys of the team, of the project in it, of the user in it, or the same key only. A key without project or user has only its own answers there."},
};
static const struct field_table cache_table = TABLE("cache", cache_rows);

static const struct field_row model_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_model, .help = "What clients ask for."},
    {.name = "strategy", .kind = FIELD_ENUM, .values = strategies, .help = "How a target is chosen."},
    {.name = "targets", .kind = FIELD_LIST, .required = true, .item = &target_table, .help = "Where it may go."},
    {.name = "fallbacks", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_model, .help = "Other models to try, in order."},
    {.name = "free", .kind = FIELD_BOOL, .help = "Costs nothing on purpose."},
    {.name = "cache", .kind = FIELD_MAP, .item = &cache_table, .help = "The same request again gets the same answer again, from the gateway, for nothing. Absent: never."},
};

static const struct kind_reference model_references[] = {
    {"targets", "provider", true, KIND_PROVIDERS}, {"fallbacks", NULL, true, KIND_MODELS},
};
static const struct kind_default model_defaults[] = {
    {NULL, "strategy", "\"weighted\""}, {NULL, "free", "false"}, {"targets", "weight", "1"},
};

/* ---- teams, projects, users -------------------------------------------------------------------- */

static const struct field_row allow_rows[] = {
    {.name = "models", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Names, or patterns with '*'. Absent: all models."},
    {.name = "endpoints", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Only these endpoints: chat.completions, embeddings, ..., or patterns with '*'."},
    {.name = "addresses", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = 64, .check = field_is_cidr, .help = "Only from these: 10.0.0.0/8, 2001:db8::/32, or one address."},
    {.name = "max_tokens", .kind = FIELD_INT, .min = 1, .max = 100000000, .help = "Most that a request may ask for; it must then ask."},
    {.name = "tools", .kind = FIELD_BOOL, .help = "false: requests with tools are refused."},
    {.name = "stream", .kind = FIELD_BOOL, .help = "false: streams are refused."},
    {.name = "degrade", .kind = FIELD_BOOL, .help = "true: what a provider cannot do is left out and named in x-headgate-degraded, not refused."},
};
static const struct field_table allow_table = TABLE("allow", allow_rows);

#define CHARGE_ROWS                                                                                \
    {.name = "margin_percent", .kind = FIELD_TEXT, .min = 1, .max = 16, .check = field_is_margin, .help = "Charged on top of the provider's cost, in reports: \"12.5\"."}, \
    {.name = "discount_percent", .kind = FIELD_TEXT, .min = 1, .max = 16, .check = field_is_discount, .help = "Taken off the provider's cost, in reports: \"10\". One of the two."},

static const struct field_row team_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "allow", .kind = FIELD_MAP, .item = &allow_table, .help = "What the team may use."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "All its keys are refused."},
    CHARGE_ROWS
};

static const struct field_row project_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "team", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "The team it belongs to."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "Its keys are refused."},
    CHARGE_ROWS
};
static const struct kind_reference project_references[] = {{"team", NULL, false, KIND_TEAMS}};

static const char *const user_kinds[] = {"person", "service", NULL};

/* What SCIM keeps of a user: RFC 7643, 4.1. */
static const struct field_row email_rows[] = {
    {.name = "value", .kind = FIELD_TEXT, .min = 1, .max = 320, .check = field_is_text, .help = "The address."},
    {.name = "type", .kind = FIELD_TEXT, .min = 1, .max = 64, .check = field_is_text, .help = "work, home, or another word."},
    {.name = "primary", .kind = FIELD_BOOL, .help = "The one to use."},
};
static const struct field_table email_table = TABLE("email", email_rows);
static const struct field_row user_scim_rows[] = {
    {.name = "title", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "userName, where it is not the name."},
    {.name = "external_id", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "externalId."},
    {.name = "display_name", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "displayName."},
    {.name = "formatted", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "name.formatted."},
    {.name = "given_name", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "name.givenName."},
    {.name = "family_name", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "name.familyName."},
    {.name = "emails", .kind = FIELD_LIST, .item = &email_table, .help = "emails."},
};
static const struct field_table user_scim_table = TABLE("scim", user_scim_rows);
static const struct field_row group_scim_rows[] = {
    {.name = "title", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "displayName, where it is not the name."},
    {.name = "external_id", .kind = FIELD_TEXT, .min = 1, .max = 256, .check = field_is_text, .help = "externalId."},
};
static const struct field_table group_scim_table = TABLE("scim", group_scim_rows);

static const struct field_row user_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "kind", .kind = FIELD_ENUM, .values = user_kinds, .help = "A person, or a service account."},
    {.name = "teams", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Teams it belongs to."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "Its keys are refused."},
    {.name = "provisioned", .kind = FIELD_BOOL, .help = "An identity provider may change it by SCIM, disable and delete it."},
    {.name = "scim", .kind = FIELD_MAP, .item = &user_scim_table, .help = "What the identity provider says of it."},
};
static const struct kind_reference user_references[] = {{"teams", NULL, true, KIND_TEAMS}};
static const struct kind_default user_defaults[] = {
    {NULL, "kind", "\"person\""}, {NULL, "disabled", "false"}, {NULL, "provisioned", "false"},
};
static const struct kind_default disabled_default[] = {{NULL, "disabled", "false"}};

/* ---- roles, groups, bindings ------------------------------------------------------------------- */

static const struct field_row role_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name; not that of a built-in role."},
    {.name = "description", .kind = FIELD_TEXT, .max = 1000, .check = field_is_text, .help = "What it is for."},
    {.name = "permissions", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "keys.create, or patterns: keys.*, *.read."},
    {.name = "allow", .kind = FIELD_MAP, .item = &allow_table, .help = "What its holders may ask of models, within what the key and its team allow. Who has a role with it needs one, bound there, that allows all of a request."},
};

static const struct field_row group_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "users", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its members."},
    {.name = "groups", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Groups whose members are its members too."},
    {.name = "provisioned", .kind = FIELD_BOOL, .help = "An identity provider may say by SCIM who is in it, and gives so what the group has."},
    {.name = "scim", .kind = FIELD_MAP, .item = &group_scim_table, .help = "What the identity provider says of it."},
};
static const struct kind_default group_defaults[] = {{NULL, "provisioned", "false"}};
static const struct kind_reference group_references[] = {
    {"users", NULL, true, KIND_USERS}, {"groups", NULL, true, KIND_GROUPS},
};

static const struct field_row binding_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "role", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "owner, admin, team-admin, developer, auditor, billing, provisioner, or one of `roles`."},
    {.name = "users", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Who has the role."},
    {.name = "groups", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Groups whose members have it."},
    {.name = "team", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "For what belongs to this team only."},
    {.name = "project", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "For what belongs to this project only. Without team and project: for everything."},
};
static const struct kind_reference binding_references[] = {
    {"role", NULL, false, KIND_ROLES}, {"users", NULL, true, KIND_USERS}, {"groups", NULL, true, KIND_GROUPS},
    {"team", NULL, false, KIND_TEAMS}, {"project", NULL, false, KIND_PROJECTS},
};

/* ---- issuers of tokens ------------------------------------------------------------------------- */

static const struct field_row issuer_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 120, .check = field_is_name, .help = "Its name: usage is recorded under jwt:NAME."},
    {.name = "issuer", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 2048, .check = field_is_url, .help = "The claim iss, exactly; keys are found through its OpenID configuration."},
    {.name = "audience", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 512, .check = field_is_text, .help = "What the claim aud must have."},
    {.name = "jwks_url", .kind = FIELD_TEXT, .min = 1, .max = 2048, .check = field_is_url, .help = "Where its keys are, when it has no OpenID configuration."},
    {.name = "allow_private", .kind = FIELD_BOOL, .help = "Clear HTTP, and private addresses, are refused without it."},
    {.name = "team", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Whose requests they are; or team_claim."},
    {.name = "team_claim", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text, .help = "The claim that names the team."},
    {.name = "user_claim", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text, .help = "The claim that names who asks."},
    {.name = "models", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Names, or patterns with '*', that its tokens are limited to."},
    {.name = "endpoints", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Only these endpoints: chat.completions, embeddings, ..., or patterns with '*'."},
    {.name = "addresses", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = 64, .check = field_is_cidr, .help = "Only from these: 10.0.0.0/8, 2001:db8::/32, or one address."},
    {.name = "max_tokens", .kind = FIELD_INT, .min = 1, .max = 100000000, .help = "Most that a request may ask for; it must then ask."},
    {.name = "tools", .kind = FIELD_BOOL, .help = "false: requests with tools are refused."},
    {.name = "stream", .kind = FIELD_BOOL, .help = "false: streams are refused."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "Its tokens are refused."},
};
static const struct kind_reference issuer_references[] = {{"team", NULL, false, KIND_TEAMS}};
static const struct kind_default issuer_defaults[] = {
    {NULL, "allow_private", "false"}, {NULL, "user_claim", "\"sub\""}, {NULL, "disabled", "false"},
};

/* ---- where administrators sign in -------------------------------------------------------------- */

static const struct field_row mapping_rows[] = {
    {.name = "claim", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 512, .check = field_is_text, .help = "The provider's name of a group, as groups_claim has it."},
    {.name = "group", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "One of `groups`: whoever is in the first is in this one, while the session lasts."},
};
static const struct field_table mapping_table = TABLE("group", mapping_rows);

static const struct field_row sign_in_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name: /auth/login?issuer=NAME."},
    {.name = "issuer", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 2048, .check = field_is_url, .help = "The provider's issuer, exactly; all else is found through its OpenID configuration."},
    {.name = "client_id", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 512, .check = field_is_text, .help = "What the provider calls us."},
    {.name = "credential", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_CREDENTIAL_BYTES, .check = field_is_credential, .help = "The client secret: a literal (sealed, never shown again), env:NAME, file:NAME, or a reference to a secret manager. Absent: a public client."},
    {.name = "scopes", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_scope, .help = "What is asked for; openid is one of them."},
    {.name = "user_claim", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text, .help = "The claim that names one of `users`: email (it must be verified), preferred_username, sub, ..."},
    {.name = "groups_claim", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text, .help = "The claim that lists the provider's groups."},
    {.name = "groups", .kind = FIELD_LIST, .item = &mapping_table, .help = "Which of the provider's groups stand for which of ours; others are passed over."},
    {.name = "create_users", .kind = FIELD_BOOL, .help = "Whoever the provider vouches for becomes a user at the first sign-in, without any right by that alone."},
    {.name = "session_idle_s", .kind = FIELD_INT, .min = 60, .max = 2592000, .help = "Seconds without a call after which a session is over."},
    {.name = "session_max_s", .kind = FIELD_INT, .min = 60, .max = 2592000, .help = "Seconds after which it is over in any case."},
    {.name = "allow_private", .kind = FIELD_BOOL, .help = "Clear HTTP, and private addresses, are refused without it."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "Nobody signs in here, and its sessions are over."},
};
static const struct kind_reference sign_in_references[] = {{"groups", "group", true, KIND_GROUPS}};
static const struct kind_default sign_in_defaults[] = {
    {NULL, "scopes", "[\"openid\",\"email\",\"profile\"]"}, {NULL, "user_claim", "\"email\""}, {NULL, "groups_claim", "\"groups\""},
    {NULL, "create_users", "false"}, {NULL, "session_idle_s", "3600"}, {NULL, "session_max_s", "43200"},
    {NULL, "allow_private", "false"}, {NULL, "disabled", "false"},
};

/* ---- keys -------------------------------------------------------------------------------------- */

static const char *const partitions[] = {"serve", "refuse", NULL};

static const struct field_row key_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "team", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "The team it belongs to."},
    {.name = "project", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "A project of that team."},
    {.name = "user", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Who holds it."},
    {.name = "models", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Names, or patterns with '*', that it is limited to."},
    {.name = "endpoints", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "Only these endpoints: chat.completions, embeddings, ..., or patterns with '*'."},
    {.name = "addresses", .kind = FIELD_TEXTS, .most = LIMIT_SCOPE_LIST, .min = 1, .max = 64, .check = field_is_cidr, .help = "Only from these: 10.0.0.0/8, 2001:db8::/32, or one address."},
    {.name = "max_tokens", .kind = FIELD_INT, .min = 1, .max = 100000000, .help = "Most that a request may ask for; it must then ask."},
    {.name = "tools", .kind = FIELD_BOOL, .help = "false: requests with tools are refused."},
    {.name = "stream", .kind = FIELD_BOOL, .help = "false: streams are refused."},
    {.name = "degrade", .kind = FIELD_BOOL, .help = "true: what a provider cannot do is left out and named in x-headgate-degraded, not refused."},
    {.name = "expires", .kind = FIELD_TIME, .help = "When it stops to work: RFC 3339, or a date."},
    {.name = "tags", .kind = FIELD_TAGS, .max = 1024, .help = "Recorded with every use."},
    {.name = "on_partition", .kind = FIELD_ENUM, .values = partitions, .help = "When workers cannot reach the control plane for 60 s: go on, or stop."},
    {.name = "disabled", .kind = FIELD_BOOL, .help = "Refused until enabled again."},
};
static const struct kind_reference key_references[] = {
    {"team", NULL, false, KIND_TEAMS}, {"project", NULL, false, KIND_PROJECTS}, {"user", NULL, false, KIND_USERS},
};
static const struct kind_default key_defaults[] = {
    {NULL, "on_partition", "\"serve\""}, {NULL, "disabled", "false"},
};

/* ---- prices ------------------------------------------------------------------------------------ */

static const char *const service_tiers[] = {"standard", "batch", "flex", "priority", NULL};

/* Of a price, and of each of its variants. */
#define AMOUNTS                                                                                                            \
    {.name = "input_per_mtok_usd", .kind = FIELD_PRICE, .help = "Fresh input tokens."},                                    \
    {.name = "cached_input_per_mtok_usd", .kind = FIELD_PRICE, .help = "Input read from the provider's cache; absent: the input price."}, \
    {.name = "cache_write_per_mtok_usd", .kind = FIELD_PRICE, .help = "Input written to a 5-minute cache; absent: the input price."}, \
    {.name = "cache_write_1h_per_mtok_usd", .kind = FIELD_PRICE, .help = "Input written to a 1-hour cache; absent: the 5-minute price."}, \
    {.name = "output_per_mtok_usd", .kind = FIELD_PRICE, .help = "Output tokens."},                                        \
    {.name = "reasoning_per_mtok_usd", .kind = FIELD_PRICE, .help = "Reasoning tokens; absent: the output price."},        \
    {.name = "audio_input_per_mtok_usd", .kind = FIELD_PRICE, .help = "Tokens of sound that come in; absent: the input price."}, \
    {.name = "audio_output_per_mtok_usd", .kind = FIELD_PRICE, .help = "Tokens of sound that go out; absent: the output price."}, \
    {.name = "image_input_per_mtok_usd", .kind = FIELD_PRICE, .help = "Tokens of pictures that come in; absent: the input price."}, \
    {.name = "image_output_per_mtok_usd", .kind = FIELD_PRICE, .help = "Tokens of pictures that go out; absent: the output price."}, \
    {.name = "web_search_usd", .kind = FIELD_USD, .help = "A call of the provider's own web search; absent: nothing."},    \
    {.name = "search_unit_usd", .kind = FIELD_USD, .help = "A search unit of reranking; absent: nothing."},                \
    {.name = "image_usd", .kind = FIELD_USD, .help = "A generated image; absent: nothing."},                               \
    {.name = "audio_minute_usd", .kind = FIELD_USD, .help = "A minute of sound listened to, billed by the millisecond; absent: nothing."}, \
    {.name = "per_mchar_usd", .kind = FIELD_PRICE, .help = "A million characters spoken; absent: nothing."}

static const struct field_row variant_rows[] = {
    {.name = "service_tier", .kind = FIELD_ENUM, .values = service_tiers, .help = "Of calls that the provider bills by this tier."},
    {.name = "input_tokens_over", .kind = FIELD_INT, .min = 0, .max = 1000000000, .help = "Of the whole call, when all its input is more than this."},
    AMOUNTS,
};
static const struct field_table variant_table = TABLE("variant", variant_rows);

static const struct field_row price_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_PRICE_NAME_BYTES, .check = field_is_pattern, .help = "PROVIDER/MODEL when not given."},
    {.name = "provider", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "A provider's name."},
    {.name = "model", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "The provider's own name, or a prefix with '*' at its end."},
    AMOUNTS,
    {.name = "max_output_tokens", .kind = FIELD_INT, .min = 1, .max = 1000000000, .help = "What the model can give in one answer: the limit that a strict budget sets where a request has none (at most 16,384; absent: 4,096)."},
    {.name = "variants", .kind = FIELD_LIST, .most = LIMIT_PRICE_VARIANTS, .item = &variant_table, .help = "Other prices in other circumstances; what one does not give is as above."},
    {.name = "free", .kind = FIELD_BOOL, .help = "Costs nothing on purpose; excludes the prices."},
};
static const struct kind_reference price_references[] = {{"provider", NULL, false, KIND_PROVIDERS}};
static const struct kind_default price_defaults[] = {
    {NULL, "free", "false"}, {"variants", "service_tier", "\"standard\""}, {"variants", "input_tokens_over", "0"},
};

/* ---- quotas and budgets ------------------------------------------------------------------------ */

/* Whom a limit counts. */
#define SELECTOR_ROWS                                                                                                                                     \
    {.name = "key", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Requests with this key."},                       \
    {.name = "user", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Of this user's keys."},                         \
    {.name = "team", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Of this team's keys."},                         \
    {.name = "project", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Of this project's keys."},                   \
    {.name = "model", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern, .help = "For this model as clients name it, or a pattern with '*'."}, \
    {.name = "provider", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "That go to this provider."},                \
    {.name = "tag", .kind = FIELD_TAGS, .most = LIMIT_SELECTOR_TAGS, .max = 1024, .help = "Of keys with these tags."},                                                                     \
    {.name = "end_user", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text, .help = "Whose own `user` member says this."},       \
    {.name = "per", .kind = FIELD_ENUM, .values = limit_pers, .help = "A counter of its own for each value of this; what has none shares one."}

static const char *const limit_pers[] = {"key", "user", "end_user", "project", "team", "model", "provider", NULL};
static const char *const quota_modes[] = {"enforce", "shadow", NULL};
static const char *const budget_modes[] = {"strict", "estimate", "shadow", NULL};
static const char *const budget_periods[] = {"hour", "day", "week", "month", "lifetime", NULL};
static const char *const unverifiables[] = {"deny", "allow_capped", "allow", NULL};

#define RATE(name_, help_) {.name = (name_), .kind = FIELD_INT, .min = 1, .max = INT64_C(1000000000000), .help = (help_)}

static const struct field_row quota_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name, told to who is refused."},
    SELECTOR_ROWS,
    RATE("requests_per_minute", "In any minute, not only in those of the clock."),
    RATE("requests_per_hour", "In any hour."),
    RATE("requests_per_day", "In any 24 hours."),
    RATE("tokens_per_minute", "Input and output; reserved before, corrected after the answer."),
    RATE("tokens_per_hour", "Likewise."),
    RATE("tokens_per_day", "Likewise."),
    RATE("input_tokens_per_minute", "All input, cached included."),
    RATE("input_tokens_per_hour", "Likewise."),
    RATE("input_tokens_per_day", "Likewise."),
    RATE("output_tokens_per_minute", "All output, reasoning included."),
    RATE("output_tokens_per_hour", "Likewise."),
    RATE("output_tokens_per_day", "Likewise."),
    RATE("concurrent_requests", "At one time."),
    {.name = "mode", .kind = FIELD_ENUM, .values = quota_modes, .help = "shadow: counted and told, nothing is refused."},
};

const struct quota_rate quota_rates[QUOTA_RATES] = {
    {"requests_per_minute", "requests", 60000},
    {"requests_per_hour", "requests", 3600000},
    {"requests_per_day", "requests", 86400000},
    {"tokens_per_minute", "tokens", 60000},
    {"tokens_per_hour", "tokens", 3600000},
    {"tokens_per_day", "tokens", 86400000},
    {"input_tokens_per_minute", "input_tokens", 60000},
    {"input_tokens_per_hour", "input_tokens", 3600000},
    {"input_tokens_per_day", "input_tokens", 86400000},
    {"output_tokens_per_minute", "output_tokens", 60000},
    {"output_tokens_per_hour", "output_tokens", 3600000},
    {"output_tokens_per_day", "output_tokens", 86400000},
    {"concurrent_requests", "concurrent_requests", 0},
};

static const struct field_row budget_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name, told to who is refused."},
    SELECTOR_ROWS,
    {.name = "limit_usd", .kind = FIELD_USD, .help = "Dollars a period; this or limit_tokens."},
    {.name = "limit_tokens", .kind = FIELD_INT, .min = 1, .max = INT64_C(1000000000000000), .help = "Tokens a period, input and output."},
    {.name = "period", .kind = FIELD_ENUM, .required = true, .values = budget_periods, .help = "Of the calendar, in time_zone; spending counts from when the budget is there."},
    {.name = "time_zone", .kind = FIELD_TEXT, .min = 1, .max = 64, .check = field_is_zone, .help = "Where its days begin: Europe/Berlin."},
    {.name = "mode", .kind = FIELD_ENUM, .values = budget_modes, .help = "strict: never exceeded, since what a request may cost at most is reserved; estimate: what it will likely cost; shadow: nothing is refused."},
    {.name = "on_unverifiable", .kind = FIELD_ENUM, .values = unverifiables, .help = "When the control plane is away and the slice in hand is spent."},
    {.name = "thresholds", .kind = FIELD_INTS, .most = LIMIT_THRESHOLDS, .min = 1, .max = 1000, .help = "Per cent of the limit whose crossing is recorded, rising."},
};

#define SELECTOR_REFERENCES                                                                                            \
    {"key", NULL, false, KIND_KEYS}, {"user", NULL, false, KIND_USERS}, {"team", NULL, false, KIND_TEAMS},              \
        {"project", NULL, false, KIND_PROJECTS}, {"provider", NULL, false, KIND_PROVIDERS}

static const struct kind_reference limit_references[] = {SELECTOR_REFERENCES};
static const struct kind_default quota_defaults[] = {{NULL, "mode", "\"enforce\""}};
static const struct kind_default budget_defaults[] = {
    {NULL, "time_zone", "\"UTC\""}, {NULL, "mode", "\"strict\""},
    {NULL, "on_unverifiable", "\"deny\""}, {NULL, "thresholds", "[50,80,95,100]"},
};

/* ---- alerts ------------------------------------------------------------------------------------ */

static const char *const alert_kinds[] = {"webhook", "slack", "email", NULL};
static const char *const smtp_tls[] = {"starttls", "implicit", "none", NULL};

static const struct field_row smtp_rows[] = {
    {.name = "host", .kind = FIELD_TEXT, .required = true, .min = 1, .max = 253, .check = field_is_host, .help = "The mail server."},
    {.name = "port", .kind = FIELD_INT, .min = 1, .max = 65535, .help = "Absent: 587 with starttls, 465 with implicit, 25 with none."},
    {.name = "tls", .kind = FIELD_ENUM, .values = smtp_tls, .help = "starttls (when absent): none is sent before it is on; implicit: from the first byte; none: in the clear."},
    {.name = "user", .kind = FIELD_TEXT, .min = 1, .max = 255, .check = field_is_text, .help = "Whom to sign in as, with the credential as password."},
};
static const struct field_table smtp_table = TABLE("mail server", smtp_rows);

static const struct field_row alert_rows[] = {
    {.name = "name", .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Its name."},
    {.name = "kind", .kind = FIELD_ENUM, .required = true, .values = alert_kinds, .help = "How it tells."},
    {.name = "url", .kind = FIELD_TEXT, .min = 1, .max = 2048, .check = field_is_url, .help = "webhook: where it is posted to."},
    {.name = "smtp", .kind = FIELD_MAP, .item = &smtp_table, .help = "email: through which server."},
    {.name = "from", .kind = FIELD_TEXT, .min = 3, .max = 254, .check = field_is_mail_address, .help = "email: its sender."},
    {.name = "to", .kind = FIELD_TEXTS, .most = LIMIT_ALERT_RECEIVERS, .min = 3, .max = 254, .check = field_is_mail_address, .help = "email: its receivers."},
    {.name = "credential", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_CREDENTIAL_BYTES, .check = field_is_credential, .help = "webhook: what it is signed with; slack: the webhook's URL, which is the secret; email: the password. In the forms of a provider's."},
    {.name = "budgets", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Of these budgets."},
    {.name = "teams", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name, .help = "Of budgets that select these teams, or a project of theirs. Without budgets and teams: of all budgets."},
    {.name = "allow_private", .kind = FIELD_BOOL, .help = "Clear HTTP, clear mail and private addresses are refused without it."},
};
static const struct kind_reference alert_references[] = {
    {"budgets", NULL, true, KIND_BUDGETS}, {"teams", NULL, true, KIND_TEAMS},
};
static const struct kind_default alert_defaults[] = {{NULL, "allow_private", "false"}};

/* ---- the kinds --------------------------------------------------------------------------------- */

const struct field_table provider_fields = TABLE("provider", provider_rows);
const struct field_table model_fields = TABLE("model", model_rows);
const struct field_table team_fields = TABLE("team", team_rows);
const struct field_table project_fields = TABLE("project", project_rows);
const struct field_table user_fields = TABLE("user", user_rows);
const struct field_table role_fields = TABLE("role", role_rows);
const struct field_table group_fields = TABLE("group", group_rows);
const struct field_table binding_fields = TABLE("binding", binding_rows);
const struct field_table issuer_fields = TABLE("issuer", issuer_rows);
const struct field_table sign_in_fields = TABLE("sign_in", sign_in_rows);
const struct field_table key_fields = TABLE("key", key_rows);
const struct field_table price_fields = TABLE("price", price_rows);
const struct field_table quota_fields = TABLE("quota", quota_rows);
const struct field_table budget_fields = TABLE("budget", budget_rows);
const struct field_table alert_fields = TABLE("alert", alert_rows);

static const struct field_row document_rows[] = {
    {.name = "providers", .kind = FIELD_LIST, .item = &provider_fields, .help = "Upstreams."},
    {.name = "models", .kind = FIELD_LIST, .item = &model_fields, .help = "Names that clients ask for."},
    {.name = "teams", .kind = FIELD_LIST, .item = &team_fields, .help = "Who keys belong to."},
    {.name = "projects", .kind = FIELD_LIST, .item = &project_fields, .help = "Parts of a team's work."},
    {.name = "users", .kind = FIELD_LIST, .item = &user_fields, .help = "People and service accounts."},
    {.name = "roles", .kind = FIELD_LIST, .item = &role_fields, .help = "Sets of permissions, beside the built-in ones."},
    {.name = "groups", .kind = FIELD_LIST, .item = &group_fields, .help = "Users by another name."},
    {.name = "bindings", .kind = FIELD_LIST, .item = &binding_fields, .help = "Who has which role, and where."},
    {.name = "issuers", .kind = FIELD_LIST, .item = &issuer_fields, .help = "Whose signed tokens are taken instead of keys."},
    {.name = "sign_ins", .kind = FIELD_LIST, .item = &sign_in_fields, .help = "Identity providers that administrators sign in with."},
    {.name = "keys", .kind = FIELD_LIST, .item = &key_fields, .help = "API keys, without their secrets."},
    {.name = "prices", .kind = FIELD_LIST, .item = &price_fields, .help = "What providers' models cost."},
    {.name = "quotas", .kind = FIELD_LIST, .item = &quota_fields, .help = "How much in how long, over all workers."},
    {.name = "budgets", .kind = FIELD_LIST, .item = &budget_fields, .help = "What may be spent in a period, over all workers."},
    {.name = "alerts", .kind = FIELD_LIST, .item = &alert_fields, .help = "Who is told when a budget's thresholds are crossed."},
};
const struct field_table document_table = TABLE("configuration", document_rows);

static int check_provider(const struct json *item, const char *path, struct buf *why);
static int check_model(const struct json *item, const char *path, struct buf *why);
static int check_charge(const struct json *item, const char *path, struct buf *why);
static int check_role(const struct json *item, const char *path, struct buf *why);
static int check_binding(const struct json *item, const char *path, struct buf *why);
static int check_issuer(const struct json *item, const char *path, struct buf *why);
static int check_sign_in(const struct json *item, const char *path, struct buf *why);
static int check_key_tags(const struct json *item, const char *path, struct buf *why);
static int check_quota(const struct json *item, const char *path, struct buf *why);
static int check_budget(const struct json *item, const char *path, struct buf *why);

#define ROWS(array) (array), COUNT(array)
const struct kind kinds[KIND_COUNT] = {
    {KIND_PROVIDERS, "providers", "provider", &provider_fields, NULL, 0, ROWS(provider_defaults), false, check_provider},
    {KIND_MODELS, "models", "model", &model_fields, ROWS(model_references), ROWS(model_defaults), true, check_model},
    {KIND_TEAMS, "teams", "team", &team_fields, NULL, 0, ROWS(disabled_default), false, check_charge},
    {KIND_PROJECTS, "projects", "project", &project_fields, ROWS(project_references), ROWS(disabled_default), false, check_charge},
    {KIND_USERS, "users", "user", &user_fields, ROWS(user_references), ROWS(user_defaults), false, NULL},
    {KIND_ROLES, "roles", "role", &role_fields, NULL, 0, NULL, 0, false, check_role},
    {KIND_GROUPS, "groups", "group", &group_fields, ROWS(group_references), ROWS(group_defaults), false, NULL},
    {KIND_BINDINGS, "bindings", "binding", &binding_fields, ROWS(binding_references), NULL, 0, false, check_binding},
    {KIND_ISSUERS, "issuers", "issuer", &issuer_fields, ROWS(issuer_references), ROWS(issuer_defaults), false, check_issuer},
    {KIND_SIGN_INS, "sign_ins", "sign_in", &sign_in_fields, ROWS(sign_in_references), ROWS(sign_in_defaults), false, check_sign_in},
    {KIND_KEYS, "keys", "key", &key_fields, ROWS(key_references), ROWS(key_defaults), false, check_key_tags},
    {KIND_PRICES, "prices", "price", &price_fields, ROWS(price_references), ROWS(price_defaults), true, price_check},
    {KIND_QUOTAS, "quotas", "quota", &quota_fields, ROWS(limit_references), ROWS(quota_defaults), false, check_quota},
    {KIND_BUDGETS, "budgets", "budget", &budget_fields, ROWS(limit_references), ROWS(budget_defaults), false, check_budget},
    {KIND_ALERTS, "alerts", "alert", &alert_fields, ROWS(alert_references), ROWS(alert_defaults), false, alert_check},
};
// clang-format on

const struct kind *
kind_find(struct slice plural)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (slice_is(plural, kinds[i].plural))
            return &kinds[i];
    return NULL;
}

const struct kind *
kind_at(enum kind_id id)
{
    return &kinds[id];
}

bool
kind_has_credential(const struct kind *kind)
{
    return kind->id == KIND_PROVIDERS || kind->id == KIND_SIGN_INS || kind->id == KIND_ALERTS;
}

bool
kind_name_ok(const struct kind *kind, struct slice name, const char **ret_why)
{
    unsigned char id[16];
    if (uuid_parse(name.at, name.len, id) == 0) {
        *ret_why = "a name must not look like an id";
        return false;
    }
    if (kind->id == KIND_PRICES)
        return field_is_pattern(name, ret_why);
    return kind->path_names ? field_is_model(name, ret_why) : field_is_name(name, ret_why);
}

/* ---- rules across members -------------------------------------------------------------------- */

static int
check_headers(const struct json *headers, const char *path, struct buf *why)
{
    static const char *const ours[] = {"authorization",
                                       "proxy-authorization",
                                       "x-api-key",
                                       "api-key",
                                       "x-goog-api-key",
                                       "cookie",
                                       "host",
                                       "connection",
                                       "keep-alive",
                                       "transfer-encoding",
                                       "content-length",
                                       "content-type",
                                       "te",
                                       "trailer",
                                       "upgrade",
                                       "expect",
                                       "accept-encoding",
                                       "x-client-request-id"};
    void *iter = NULL;
    const char *name;
    struct json *value, *map = json_ref((struct json *)(uintptr_t)headers);
    int err = 0;
    while (!err && json_each(map, &iter, &name, &value)) {
        if (!http_is_token(slice_of(name)))
            err = rule_refuse(why, path, "headers", "'%s' is not a field name", name);
        else if (!http_is_field_value(json_str(value)))
            err = rule_refuse(why, path, "headers", "the value of '%s' is not a field value", name);
        for (size_t i = 0; i < COUNT(ours) && !err; i++)
            if (slice_eq_nocase(slice_of(name), slice_of(ours[i])))
                err = rule_refuse(why, path, "headers",
                                  "'%s' is set by the gateway; secrets go into `credential`", name);
    }
    json_free(map);
    return err;
}

/* An address of the operator's own stands for the places that make the kind's. */
static int
check_needs(const struct json *item, struct slice name, const char *path, struct buf *why)
{
    enum provider_kind kind;
    if (provider_kind_parse(name, &kind) != 0)
        return 0; /* the table has refused it */
    const struct provider_kind_row *row = provider_kind_row(kind);
    for (size_t i = 0; i < COUNT(row->needs) && row->needs[i]; i++)
        if (!json_get(item, row->needs[i]))
            return rule_refuse(why, path, row->needs[i], "needed by kind %s", row->name);
    return 0;
}

static int
check_provider(const struct json *item, const char *path, struct buf *why)
{
    struct slice kind = json_str(json_get(item, "kind"));
    struct slice base = json_str(json_get(item, "base_url"));
    struct url url;
    const char *reason;
    int err = check_needs(item, kind, path, why);
    if (err)
        return err;
    if (slice_is(kind, "simulator") && (base.at || json_get(item, "credential")))
        return rule_refuse(why, path, base.at ? "base_url" : "credential",
                           "kind simulator lives inside the worker and takes none");
    if (base.at && url_parse(base, &url, &reason) == 0 && field_is_private_host(url.host) &&
        !json_is_true(json_get(item, "allow_private")))
        return rule_refuse(why, path, "base_url",
                           "a private address; add `allow_private: true` when that is meant");
    return check_headers(json_get(item, "headers"), path, why);
}

static int
check_model(const struct json *item, const char *path, struct buf *why)
{
    const struct json *targets = json_get(item, "targets");
    const struct json *fallbacks = json_get(item, "fallbacks");
    struct slice name = json_str(json_get(item, "name"));
    int64_t sum = 0, weight;
    char place[64];
    if (json_size(targets) == 0)
        return rule_refuse(why, path, "targets", "at least one is needed");
    for (size_t i = 0; i < json_size(targets); i++) {
        const struct json *t = json_at(targets, i);
        if (json_to_int(json_get(t, "weight"), &weight) != 0)
            weight = 1;
        sum += weight;
        for (size_t k = 0; k < i; k++)
            if (slice_eq(json_str(json_get(t, "provider")),
                         json_str(json_get(json_at(targets, k), "provider"))) &&
                slice_eq(json_str(json_get(t, "model")),
                         json_str(json_get(json_at(targets, k), "model")))) {
                snprintf(place, sizeof(place), "targets[%zu]", i);
                return rule_refuse(why, path, place, "the same target as targets[%zu]", k);
            }
    }
    if (sum == 0)
        return rule_refuse(why, path, "targets", "the weights must not all be zero");
    for (size_t i = 0; i < json_size(fallbacks); i++)
        if (slice_eq(json_str(json_at(fallbacks, i)), name)) {
            snprintf(place, sizeof(place), "fallbacks[%zu]", i);
            return rule_refuse(why, path, place, "a model cannot fall back to itself");
        }
    return 0;
}

static int
check_key_tags(const struct json *item, const char *path, struct buf *why)
{
    void *iter = NULL;
    const char *name, *reason;
    struct json *value;
    while (json_each(json_get(item, "tags"), &iter, &name, &value)) {
        if (!field_is_name(slice_of(name), &reason) || strlen(name) > 64)
            return rule_refuse(why, path, "tags", "'%.64s': %s, at most 64 bytes", name, reason);
        if (!field_is_text(json_str(value), &reason))
            return rule_refuse(why, path, "tags", "'%s': %s", name, reason);
    }
    return 0;
}

static int
check_charge(const struct json *item, const char *path, struct buf *why)
{
    if (json_get(item, "margin_percent") && json_get(item, "discount_percent"))
        return rule_refuse(why, path, "discount_percent", "not together with margin_percent");
    return 0;
}

static int
refuse_permission(struct buf *why, const char *path, const char *place, struct slice given)
{
    char text[PERMISSION_TEXT_BYTES], best[PERMISSION_TEXT_BYTES] = "";
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < permission_count(); i++) {
        permission_name(i, text);
        size_t d = near_distance(given, slice_of(text));
        if (d < least && near_enough(given, slice_of(text), d)) {
            least = d;
            memcpy(best, text, sizeof(best));
        }
    }
    return rule_refuse(why, path, place, "no permission is called '%.*s'%s%s%s", SLICE_ARG(given),
                       best[0] ? "; did you mean '" : "", best, best[0] ? "'?" : "");
}

static int
check_role(const struct json *item, const char *path, struct buf *why)
{
    const struct json *list = json_get(item, "permissions");
    struct permissions all = {{0}};
    char place[64];
    if (builtin_role_find(json_str(json_get(item, "name"))))
        return rule_refuse(why, path, "name", "a built-in role is called so; it cannot be changed");
    if (!list && !json_get(item, "allow"))
        return rule_refuse(why, path, "permissions",
                           "gives nothing: needed, unless the role has an `allow`");
    if (json_get(item, "allow") && json_size(json_get(item, "allow")) == 0)
        return rule_refuse(why, path, "allow",
                           "is empty: say `models: [\"*\"]` where all is meant");
    for (size_t i = 0; i < json_size(list); i++) {
        snprintf(place, sizeof(place), "permissions[%zu]", i);
        if (permissions_add(&all, json_str(json_at(list, i))) == 0)
            return refuse_permission(why, path, place, json_str(json_at(list, i)));
    }
    return 0;
}

static int
check_binding(const struct json *item, const char *path, struct buf *why)
{
    if (json_get(item, "team") && json_get(item, "project"))
        return rule_refuse(why, path, "project",
                           "a binding is for a team or for a project, not both");
    return 0;
}

/* Where an identity provider is asked for its documents. */
static int
check_public_url(const struct json *item, const char *member, const char *path, struct buf *why)
{
    struct slice text = json_str(json_get(item, member));
    struct url url;
    const char *reason;
    if (!text.at || json_is_true(json_get(item, "allow_private")) ||
        url_parse(text, &url, &reason) != 0 || (url.https && !field_is_private_host(url.host)))
        return 0;
    return rule_refuse(
        why, path, member,
        "not https, or a private address; add `allow_private: true` when that is meant");
}

static int
check_sign_in(const struct json *item, const char *path, struct buf *why)
{
    const struct json *scopes = json_get(item, "scopes");
    int64_t idle = 3600, most = 43200;
    bool openid = !scopes;
    for (size_t i = 0; i < json_size(scopes); i++)
        openid = openid || slice_is(json_str(json_at(scopes, i)), "openid");
    if (!openid)
        return rule_refuse(why, path, "scopes", "openid must be one of them");
    if ((json_get(item, "session_idle_s") &&
         json_to_int(json_get(item, "session_idle_s"), &idle) != 0) ||
        (json_get(item, "session_max_s") &&
         json_to_int(json_get(item, "session_max_s"), &most) != 0) ||
        idle > most)
        return rule_refuse(why, path, "session_idle_s", "is longer than session_max_s (%lld)",
                           (long long)most);
    return check_public_url(item, "issuer", path, why);
}

static int
check_issuer(const struct json *item, const char *path, struct buf *why)
{
    static const char *const urls[] = {"issuer", "jwks_url"};
    for (size_t i = 0; i < COUNT(urls); i++) {
        int err = check_public_url(item, urls[i], path, why);
        if (err)
            return err;
    }
    if (!json_get(item, "team") == !json_get(item, "team_claim"))
        return rule_refuse(why, path, "team",
                           "give a team, or the claim that names one: one of the two");
    return 0;
}

static int
check_selector(const struct json *item, const char *path, struct buf *why)
{
    const struct json *tags = json_get(item, "tag");
    void *iter = NULL;
    const char *name, *reason;
    struct json *value, *map = tags ? json_ref((struct json *)(uintptr_t)tags) : NULL;
    int err = 0;
    if (tags && json_size(tags) == 0)
        err = rule_refuse(why, path, "tag", "name 1 to %d tags", LIMIT_SELECTOR_TAGS);
    while (!err && map && json_each(map, &iter, &name, &value))
        if (!field_is_name(slice_of(name), &reason) || !json_str(value).len)
            err = rule_refuse(why, path, "tag", "'%.64s': a tag's name and its value are needed",
                              name);
    json_free(map);
    return err;
}

static int
check_quota(const struct json *item, const char *path, struct buf *why)
{
    for (size_t i = 0; i < QUOTA_RATES; i++)
        if (json_get(item, quota_rates[i].member))
            return check_selector(item, path, why);
    return rule_refuse(why, path, "",
                       "limits nothing: give requests_per_minute, tokens_per_day, "
                       "concurrent_requests or the like");
}

static int
check_thresholds(const struct json *list, const char *path, struct buf *why)
{
    int64_t last = 0, n;
    for (size_t i = 0; i < json_size(list); i++) {
        if (json_to_int(json_at(list, i), &n) != 0 || n <= last)
            return rule_refuse(why, path, "thresholds", "must rise");
        last = n;
    }
    return 0;
}

static int
check_budget(const struct json *item, const char *path, struct buf *why)
{
    const struct json *usd = json_get(item, "limit_usd"), *tokens = json_get(item, "limit_tokens");
    char text[JSON_DECIMAL_BYTES];
    int64_t amount = 0;
    if (!usd == !tokens)
        return rule_refuse(why, path, "limit_usd",
                           "give limit_usd or limit_tokens, one of the two");
    if (usd && (json_decimal(usd, text) != 0 || money_parse_usd(slice_of(text), &amount) != 0 ||
                amount <= 0))
        return rule_refuse(why, path, "limit_usd",
                           "must be above zero; to allow nothing, disable the key or the team");
    int err = check_thresholds(json_get(item, "thresholds"), path, why);
    return err ? err : check_selector(item, path, why);
}
